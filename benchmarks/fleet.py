# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A service of several processes, with Redis between them and HAProxy before them, on loopback.
"""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks import balancer
from benchmarks.peers import Unavailable, ours, run
from benchmarks.programs import Program, fileLimit, freePort, running

__all__ = ["Fleet", "Plan", "Traffic", "fleet", "redisTraffic", "versions"]

#: Seconds that Redis has for an answer.
_ANSWER = 5.0

#: Files that HAProxy may have beside those of the sessions.
_SPARE = 1000

#: What the example in examples/deploy tells the processes behind HAProxy.
_BEHIND = ("--trusted-proxies", "127.0.0.1", "--proxy-header", "x-forwarded-for")


@dataclass(frozen=True)
class Plan:
    """
    How a service is laid out.

    @ivar bus: whether Redis is between the processes.

    @ivar balancer: whether HAProxy is before them.

    @ivar sessions: how many it has to hold.

    @ivar cores: where the processes run, and where HAProxy does; L{None} lets the system choose.
    """

    processes: int = 1
    bus: bool = False
    balancer: bool = False
    sessions: int = 1
    cores: tuple[int | None, int | None] = (None, None)

    def __str__(self) -> str:
        parts = [f"{self.processes} process{'es' if self.processes > 1 else ''}"]
        parts += ["Redis"] * self.bus + ["HAProxy"] * self.balancer
        return f"{', '.join(parts)}, {self.sessions:,} session{'s' if self.sessions > 1 else ''}"


@dataclass(frozen=True)
class Fleet:
    """
    A service that runs.

    @ivar ports: where clients come.

    @ivar pids: the processes, by what they are: C{servers}, C{redis} and C{haproxy}.

    @ivar redis: the port of Redis, if there is one.
    """

    ports: list[int]
    pids: dict[str, list[int]]
    redis: int | None


def versions(plan: Plan) -> dict[str, str]:
    """
    @return: the versions of the programs that a plan needs beside Python.

    @raise Unavailable: when one is not here.
    """
    found = {}
    if plan.bus and find_spec("txredisapi") is None:
        raise Unavailable("txredisapi is not installed: pip install txsockjs[redis]")
    for wanted, program, flag in ((plan.bus, "redis-server", "--version"), (plan.balancer, "haproxy", "-v")):
        if not wanted:
            continue
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed; Debian has it in the package {program}")
        version = re.search(r"\d+\.\d+[.\d]*", run([program, flag], Path.cwd()))
        found[program] = version[0] if version is not None else "of an unknown version"
    return found


@contextmanager
def fleet(plan: Plan, scratch: Path) -> Iterator[Fleet]:
    """
    A service runs inside.

    @param scratch: where it has its files.

    @raise Failed: when one of its programs does not run.
    """
    with ExitStack() as stack:
        pids: dict[str, list[int]] = {}
        settings: list[str] = []
        bus = None
        if plan.bus:
            redis = _redis(scratch)
            bus = redis.port
            pids["redis"] = stack.enter_context(running([redis]))
            settings += ["--bus", f"redis://127.0.0.1:{bus}"]
        if plan.balancer:
            settings += _BEHIND
        servers = [_server(number, scratch, settings, plan.cores[0]) for number in range(plan.processes)]
        pids["servers"] = stack.enter_context(running(servers))
        ports = [server.port for server in servers]
        if plan.balancer:
            balancers = _balancers(scratch, ports, plan)
            pids["haproxy"] = stack.enter_context(running(balancers))
            ports = [each.port for each in balancers]
        yield Fleet(ports, pids, bus)


def _server(number: int, scratch: Path, settings: list[str], core: int | None) -> Program:
    name = f"p{number + 1}"
    peer, directory, port = ours(settings=settings), scratch / name, freePort()
    return Program(f"process {name}", peer.command(directory, port), directory, port, peer.environment(directory), core)


def _redis(scratch: Path) -> Program:
    directory, port = scratch / "redis", freePort()
    settings = {"bind": "127.0.0.1", "port": port, "save": "", "appendonly": "no", "daemonize": "no", "dir": directory}
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return Program("redis-server", ["redis-server", *words], directory, port)


def _balancers(scratch: Path, servers: list[int], plan: Plan) -> list[Program]:
    """
    @return: as many as are needed for all sessions: a program may only have so many files open.
    """
    programs = []
    # No more than are needed: HAProxy keeps tables of that size.
    files = min(fileLimit(), 2 * plan.sessions + _SPARE)
    for number in range(-(-plan.sessions // balancer.connections(files))):
        directory, port = scratch / f"haproxy{number + 1}", freePort()
        directory.mkdir(parents=True, exist_ok=True)
        configuration = balancer.adapted(balancer.EXAMPLE.read_text("utf-8"), port, servers, files, freePort())
        (directory / "haproxy.cfg").write_text(configuration, "utf-8")
        # -db: in the foreground, as one process.
        command = ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]
        programs.append(Program("haproxy", command, directory, port, core=plan.cores[1]))
    return programs


@dataclass(frozen=True)
class Traffic:
    """
    What Redis has got and has sent, in bytes.
    """

    received: int
    sent: int

    def since(self, before: Traffic) -> Traffic:
        """
        @return: what has come since then.
        """
        return Traffic(self.received - before.received, self.sent - before.sent)


def redisTraffic(port: int) -> Traffic:
    """
    @param port: where Redis is.

    @return: its own count.
    """
    with socket.create_connection(("127.0.0.1", port), _ANSWER) as sock:
        sock.settimeout(_ANSWER)
        sock.sendall(b"INFO stats\r\nQUIT\r\n")
        answer = b"".join(iter(lambda: sock.recv(1 << 16), b"")).decode("ascii")
    found = dict(line.split(":", 1) for line in answer.splitlines() if ":" in line)
    return Traffic(int(found["total_net_input_bytes"]), int(found["total_net_output_bytes"]))
