# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The programs that are measured, and the load: how they are started, and ended again.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers import ROOT

__all__ = ["Failed", "Program", "cores", "fileLimit", "freePort", "loadCommand", "putLoad", "running"]

#: Seconds until a server must listen, and until it must have ended.
_START, _STOP = 30.0, 10.0

#: Files that are enough where there is no limit.
_FILES = 1 << 20


class Failed(Exception):
    """
    A server did not serve, or a run had errors.
    """


def cores() -> tuple[int, int]:
    """
    @return: the core for the server, and the one for the load.
    """
    own = sorted(os.sched_getaffinity(0))
    return own[0], own[-1]


def fileLimit() -> int:
    """
    @return: how many files a program may have open.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _FILES if most == resource.RLIM_INFINITY else most


def freePort() -> int:
    """
    @return: a port of 127.0.0.1 that nobody listens at.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _prepare(core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    resource.setrlimit(resource.RLIMIT_NOFILE, (fileLimit(), fileLimit()))


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Program:
    """
    What listens at a port of 127.0.0.1.

    @ivar directory: where it runs, and has its log.

    @ivar core: where it runs; L{None} lets the system choose.
    """

    name: str
    command: list[str]
    directory: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    core: int | None = None

    @property
    def log(self) -> Path:
        """
        Where its output goes.
        """
        return self.directory / "server.log"

    def start(self) -> subprocess.Popen[bytes]:
        """
        Begin.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as output:
            return subprocess.Popen(
                self.command,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: _prepare(self.core),
            )

    def awaitPort(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        """
        Wait until it listens.

        @raise Failed: when it has ended, or it is too late.
        """
        while not _listens(self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.name} does not serve: {self.log.read_text('utf-8', 'replace').strip()[-500:]}")
            time.sleep(0.05)


@contextmanager
def running(programs: Iterable[Program]) -> Iterator[list[int]]:
    """
    Programs run inside, which start together.

    @return: their process ids.

    @raise Failed: when one does not begin to listen.
    """
    started: list[tuple[Program, subprocess.Popen[bytes]]] = []
    try:
        for program in programs:
            started.append((program, program.start()))
        deadline = time.monotonic() + _START
        for program, process in started:
            program.awaitPort(process, deadline)
        yield [process.pid for _, process in started]
    finally:
        _stop([process for _, process in started])


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _STOP
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def loadCommand(words: Sequence[str], program: str | None = None) -> list[str]:
    """
    @param words: what the load generator is told.

    @param program: another one than ours.

    @return: its command line.
    """
    return [*([program] if program else [sys.executable, "-m", "benchmarks.load"]), "--json", *words]


def putLoad(title: str, command: list[str], core: int | None, seconds: float) -> dict[str, Any]:
    """
    Run the load generator to its end.

    @param title: what is measured, for who reads of a failure.

    @param command: see L{loadCommand}.

    @param core: where it runs; L{None} lets the system choose.

    @param seconds: how long it may take.

    @return: what it has found.

    @raise Failed: when a message was lost, late or wrong, or there was no measuring at all.
    """
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            preexec_fn=lambda: _prepare(core),
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{title}: no end after {error.timeout:g} seconds") from None
    try:
        figures: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise Failed(f"{title}: {(done.stderr or done.stdout).strip()[-500:]}") from None
    if figures["result"] != "ok":
        wrong = {name: value for name, value in figures.items() if name.startswith("fail") or name in _ERRORS}
        raise Failed(f"{title}: {wrong}")
    return figures


_ERRORS = ("open_failed", "sessions_lost", "messages_missing", "messages_out_of_order", "messages_corrupt", "stalled")
