# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
HAProxy with the settings of C{examples/deploy/haproxy.cfg}, at ports of this machine's choice and without TLS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.peers import ROOT

__all__ = ["EXAMPLE", "adapted", "connections"]

EXAMPLE = ROOT / "examples" / "deploy" / "haproxy.cfg"

#: What needs a directory, a user or a logger that is there where HAProxy is a service.
_INSTALLED = re.compile(r"^[ \t]+(log /|user |group |chroot |stats socket |pidfile ).*\n", re.MULTILINE)

#: Files that HAProxy has open beside those of the sessions.
_OTHERS = 200


def connections(files: int) -> int:
    """
    @param files: how many files a program may have open.

    @return: how many sessions one HAProxy can have then, each with a connection on either side.
    """
    return (files - _OTHERS) // 2


def adapted(example: str, port: int, servers: Sequence[int], files: int, peer: int) -> str:
    """
    @param example: the configuration.

    @param port: where clients come.

    @param servers: the ports of the processes.

    @param files: how many files a program may have open.

    @param peer: a free port, for the address at which it tells another HAProxy of its tables.

    @return: the same for this machine.

    @raise ValueError: when a line that has to change is not there.
    """
    text = _INSTALLED.sub("", example)
    sections = [section for section in re.split(r"^(?=\w)", text, flags=re.MULTILINE) if not _isPlain(section)]
    text = "".join(sections)
    text = _only(text, r"maxconn \d+", f"maxconn {connections(files)}")
    text = _only(text, r"bind .*", f"bind 127.0.0.1:{port}")
    text = _only(text, r"server \S+ .*", *_servers(text, servers))
    if (found := re.search(r"^[ \t]+peer (\S+) ", text, re.MULTILINE)) is not None:
        text = _only(text, r"peer .*", f"peer {found[1]} 127.0.0.1:{peer}")
    return text


def _servers(text: str, ports: Sequence[int]) -> list[str]:
    """
    @return: a line for each process, with what the example says of its first one.
    """
    found = re.search(r"^[ \t]+server (\S+) \S+(.*)$", text, re.MULTILINE)
    name, more = found.groups() if found is not None else ("", "")
    return [
        f"server p{number} 127.0.0.1:{port}{more.replace(name, f'p{number}')}" for number, port in enumerate(ports, 1)
    ]


def _isPlain(section: str) -> bool:
    """
    @return: whether this is the frontend that sends clients to TLS.
    """
    return section.startswith("frontend ") and "redirect scheme https" in section


def _only(text: str, line: str, *lines: str) -> str:
    """
    @return: the text with these lines instead of all like C{line}.
    """
    first, *others = re.split(rf"^[ \t]+{line}\n", text, flags=re.MULTILINE)
    if not others:
        raise ValueError(f"{EXAMPLE.name} has no line like {line!r}")
    return first + "".join(f"    {each}\n" for each in lines) + "".join(others)
