# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
One measurement: a fresh server on one core, the load on another.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import ROOT, Peer
from benchmarks.works import Work

__all__ = ["Bench", "Failed", "cores", "median", "serving"]

#: Seconds until a server must listen, and until it must have ended.
_START, _STOP = 30.0, 10.0

#: Seconds that a run may take beside its measuring.
_RUN = 300.0


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


def _freePort() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _prepare(core: int) -> None:
    os.sched_setaffinity(0, {core})
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(peer: Peer, directory: Path, core: int) -> Iterator[tuple[int, int]]:
    """
    A server runs inside.

    @return: its process id and its port.
    """
    port = _freePort()
    log = directory / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            peer.command(directory, port),
            cwd=directory,
            env={**os.environ, **peer.environment(directory)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: _prepare(core),
        )
        try:
            deadline = time.monotonic() + _START
            while not _listens(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"{peer.title} does not serve: {log.read_text('utf-8', 'replace')[-500:]}")
                time.sleep(0.05)
            yield server.pid, port
        finally:
            server.terminate()
            try:
                server.wait(_STOP)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@dataclass(frozen=True)
class Bench:
    """
    How to measure.

    @ivar scratch: where the peers are installed.

    @ivar load: the program that puts on the load; L{None} for ours.
    """

    scratch: Path
    load: str | None = None
    duration: float = 3.0
    warmup: float = 1.0

    def directory(self, peer: Peer) -> Path:
        """
        @return: where a peer is installed. The variants of one library have different ones.
        """
        directory = self.scratch / peer.name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def loadCommand(self, peer: Peer, work: Work, pid: int, port: int, rate: float = 0) -> list[str]:
        """
        @return: the command line of the load.
        """
        command = [self.load] if self.load and not rate else [sys.executable, "-m", "benchmarks.load"]
        flags: dict[str, Any] = {
            "mode": work.mode,
            "transport": peer.transports[work.transport],
            "conns": work.conns,
            "duration": self.duration,
            "ramp": 30,
            "server-pid": pid,
            "open-timeout": 60,
        }
        if not work.isMemory:
            flags["warmup"] = self.warmup
        if work.mode in ("echo", "fanout"):
            flags |= {"size": work.size, "window": work.window}
        if rate:
            flags["rate"] = rate
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        return [*command, "--json", *words, f"http://127.0.0.1:{port}/{work.service}"]

    def measure(self, peer: Peer, work: Work, rate: float = 0) -> dict[str, Any]:
        """
        @param rate: messages a second in all; by default as many as come back.

        @return: what the load has found.

        @raise Failed: when a message was lost, late or wrong, or there was no measuring at all.
        """
        serverCore, loadCore = cores()
        with serving(peer, self.directory(peer), serverCore) as (pid, port):
            try:
                done = subprocess.run(
                    self.loadCommand(peer, work, pid, port, rate),
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    timeout=_RUN + self.duration,
                    check=False,
                    preexec_fn=lambda: _prepare(loadCore),
                )
            except subprocess.TimeoutExpired as error:
                raise Failed(f"{peer.title}, {work.title}: no end after {error.timeout:g} seconds") from None
        try:
            figures: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise Failed(f"{peer.title}, {work.title}: {(done.stderr or done.stdout).strip()[-500:]}") from None
        if figures["result"] != "ok":
            wrong = {name: value for name, value in figures.items() if name.startswith("fail") or name in _ERRORS}
            raise Failed(f"{peer.title}, {work.title}: {wrong}")
        return summary(work, figures)


_ERRORS = ("open_failed", "sessions_lost", "messages_missing", "messages_out_of_order", "messages_corrupt", "stalled")


def summary(work: Work, figures: dict[str, Any]) -> dict[str, Any]:
    """
    @param figures: as the load tells them.

    @return: those that are compared, under the same names for all works. C{cost} is the one that counts; times are in
        microseconds, memory in kB a session.
    """
    rss = figures.get("server_rss_end_kb_per_conn")
    if work.isMemory:
        return {"cost": rss, "rss": rss, "cpu_percent": figures["server_cpu_percent"]}
    unit = {"echo": "messages", "fanout": "deliveries", "connect": "sessions"}[work.mode]
    units = max(figures[unit], 1)
    kind = "opening" if work.mode == "connect" else "latency"
    return {
        "cost": figures["server_cpu_s"] * 1e6 / units,
        "user": figures["server_cpu_user_s"] * 1e6 / units,
        "system": figures["server_cpu_system_s"] * 1e6 / units,
        "rate": figures[f"{unit}_per_s"],
        "p50": figures[f"{kind}_p50_us"],
        "p99": figures[f"{kind}_p99_us"],
        "rss": rss,
        "messages_per_frame": figures.get("messages_per_frame"),
        "server_percent": figures["server_cpu_percent"],
        "load_percent": figures["client_cpu_percent"],
    }


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """
    @return: the median of each figure, and under C{spread} the lowest and the highest cost.
    """
    middle: dict[str, Any] = {}
    for name in runs[0]:
        values = [run[name] for run in runs if run[name] is not None]
        middle[name] = statistics.median(values) if values else None
    costs = [run["cost"] for run in runs]
    return middle | {"spread": [min(costs), max(costs)], "runs": len(runs)}
