# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
One measurement: a fresh server on one core, the load on another.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer
from benchmarks.programs import Failed, Program, cores, freePort, loadCommand, putLoad, running
from benchmarks.works import Work

__all__ = ["Bench", "Failed", "loadFlags", "loadWords", "median", "serving", "summary"]

#: Seconds that a run may take beside its measuring.
_RUN = 300.0


@contextmanager
def serving(peer: Peer, directory: Path, core: int) -> Iterator[tuple[int, int]]:
    """
    A server runs inside.

    @return: its process id and its port.
    """
    port = freePort()
    server = Program(peer.title, peer.command(directory, port), directory, port, peer.environment(directory), core)
    with running([server]) as (pid,):
        yield pid, port


def loadFlags(work: Work, duration: float, warmup: float) -> dict[str, Any]:
    """
    @return: what the load is told of a work.
    """
    flags: dict[str, Any] = {
        "mode": work.mode,
        "transport": work.transport,
        "conns": work.conns,
        "duration": duration,
        "ramp": 30,
        "open-timeout": 60,
    }
    if not work.isMemory:
        flags["warmup"] = warmup
    if work.mode in ("echo", "fanout"):
        flags |= {"size": work.size, "window": work.window}
    return flags


def loadWords(flags: dict[str, Any]) -> list[str]:
    """
    @return: flags as words of a command line.
    """
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


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
        flags = loadFlags(work, self.duration, self.warmup)
        flags |= {"transport": peer.transports[work.transport], "server-pid": pid}
        if rate:
            flags["rate"] = rate
        words = [*loadWords(flags), f"http://127.0.0.1:{port}/{work.service}"]
        return loadCommand(words, None if rate else self.load)

    def measure(self, peer: Peer, work: Work, rate: float = 0) -> dict[str, Any]:
        """
        @param rate: messages a second in all; by default as many as come back.

        @return: what the load has found.

        @raise Failed: when a message was lost, late or wrong, or there was no measuring at all.
        """
        serverCore, loadCore = cores()
        with serving(peer, self.directory(peer), serverCore) as (pid, port):
            command = self.loadCommand(peer, work, pid, port, rate)
            figures = putLoad(f"{peer.title}, {work.title}", command, loadCore, _RUN + self.duration)
        return summary(work, figures)


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
