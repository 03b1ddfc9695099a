# -*- test-case-name: tests.test_commands -*-
"""
The commands that a supervisor starts: C{twistd sockjs} with the flags that it was given itself, save for what each
process has of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.application.reactors import getReactorTypes

__all__ = ["commandsFor", "namesOf"]

_OWN = {"--port", "--processes", "--process-name", "--print-haproxy-config", "--metrics", "--metrics-peer"}
"""Flags that are not passed on."""

_TWISTD = "import os; os.setpgid(0, 0); from twisted.scripts.twistd import run; run()"
"""Signals of a terminal are for the supervisor, which tells each process when it is its turn, so each is a group of its
own, before all else. C{spawnProcess} has no way to say that."""


def namesOf(count: int) -> list[str]:
    """
    @return: the names of so many processes.
    """
    return [f"p{number}" for number in range(1, count + 1)]


def commandsFor(
    given: Iterable[tuple[str, str]],
    ports: Mapping[str, Sequence[str]],
    reactor: object,
    runner: Mapping[str, Any] | None = None,
) -> dict[str, list[str]]:
    """
    @param given: the flags that were given, each with its value, which is empty where it takes none.

    @param ports: the descriptions of the endpoints of each process, by its name.

    @param reactor: the reactor that runs here, and shall run there.

    @param runner: the options of C{twistd} itself.

    @return: the commands with their arguments, by the names of the processes.
    """
    start = [sys.executable, "-P", "-c", _TWISTD, "--nodaemon", "--pidfile="]
    here = type(reactor).__module__
    kind = next((each.shortName for each in getReactorTypes() if getattr(each, "moduleName", None) == here), None)
    if kind is not None:
        start.append(f"--reactor={kind}")
    for option in ("rundir", "umask"):
        value = (runner or {}).get(option)
        if value not in (None, "", "."):
            start.append(f"--{option}={value:o}" if isinstance(value, int) else f"--{option}={value}")
    shared = [f"{name}={value}" if value else name for name, value in given if name not in _OWN]
    return {
        name: [*start, "sockjs", f"--process-name={name}", *(f"--port={port}" for port in own), *shared]
        for name, own in ports.items()
    }
