# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A service of many processes: what a fan-out costs, what HAProxy adds, what the bus costs, and how it all grows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.fleet import Fleet, Plan, Traffic, fleet, redisTraffic, versions
from benchmarks.measure import Failed, loadFlags, loadWords
from benchmarks.peers import ROOT
from benchmarks.programs import cores, fileLimit, loadCommand, putLoad
from benchmarks.report import number
from benchmarks.works import WORKS, Work

__all__ = ["PARTS", "QUICK", "Many", "committedIdle", "needed", "row"]

#: Seconds that a run may take beside its measuring.
_RUN = 90.0

#: Files that a process with many sessions has open beside them, and more.
_FILES = 100

#: Messages on their way at once that show the cost of the bus when it is busy.
_WINDOW = 64

_ECHOES = ("ws-echo-1", "xhr-streaming", "xhr-polling")

_GROWTH = ROOT / "docs" / "_static" / "benchmarks" / "growth.json"


@dataclass(frozen=True)
class Many:
    """
    What to measure.

    @ivar sessions: how many there are in a fan-out.

    @ivar processes: how many a service has at most.

    @ivar rate: messages a second of the fan-outs by the clock; L{None} for half of what the machine can bear.

    @ivar echoRate: messages a second of the echoes by the clock.

    @ivar busRate: messages a second of what shows the cost of the bus.

    @ivar limit: seconds after which no run is begun any more.

    @ivar say: told of what is being done.

    @ivar failures: what went wrong; filled.
    """

    scratch: Path
    say: Callable[[str], None]
    sessions: int = 10_000
    processes: int = 4
    duration: float = 5.0
    warmup: float = 1.0
    rate: float | None = None
    echoRate: float = 1000.0
    busRate: float = 1000.0
    limit: float = 420.0
    failures: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    _highest: dict[Plan, dict[str, Any]] = field(default_factory=dict)

    def check(self) -> None:
        """
        @raise ValueError: when this can't be measured here.
        """
        most = fileLimit() - _FILES
        if self.sessions > most:
            raise ValueError(
                f"--sessions {self.sessions}: a program may have {fileLimit()} files open here (see "
                f"ulimit -n), so there can be {most} sessions"
            )
        if self.processes > self.sessions:
            raise ValueError(f"--processes {self.processes}: more than the {self.sessions} sessions")

    def measure(self, parts: Sequence[str]) -> dict[str, Any]:
        """
        @param parts: some of L{PARTS}.

        @return: what was measured, and what went wrong.
        """
        found = {part: getattr(self, part)() for part in parts}
        settings = {
            "sessions": self.sessions,
            "processes": self.processes,
            "duration": self.duration,
            "echo_rate": self.echoRate,
            "bus_rate": self.busRate,
        }
        return {**settings, "idle": committedIdle(), **found, "failures": self.failures}

    def fanout(self) -> dict[str, Any]:
        """
        @return: a fan-out to all sessions, directly and through HAProxy, as fast as it goes and by the clock.
        """
        found: dict[str, Any] = {}
        plans = {
            "direct": Plan(self.processes, True, False, self.sessions),
            "haproxy": Plan(self.processes, True, True, self.sessions),
        }
        for name, plan in plans.items():
            if (highest := self._fastest(plan)) is not None:
                found[name] = {"highest": highest}
        if not found:
            return found
        rate = self.rate or min(each["highest"]["messages_per_s"] for each in found.values()) / 2
        for name in found:
            found[name]["paced"] = self._one(plans[name], self._fanoutWork(plans[name]), rate)
        return found

    def growth(self) -> list[dict[str, Any]]:
        """
        @return: the same fan-out with more and more processes: first with as many sessions in all, then in each.
        """
        each = max(self.sessions // self.processes, 1)
        plans = [Plan(1, False, False, self.sessions)]
        plans += [Plan(count, True, False, self.sessions) for count in self._counts()]
        plans += [Plan(count, True, False, each * count) for count in self._counts()]
        rows = [self._fastest(plan) for plan in dict.fromkeys(plans)]
        return [row for row in rows if row is not None]

    def bus(self) -> list[dict[str, Any]]:
        """
        @return: a message that goes to a single session in each process, so that the bus is most of what it costs: by
            the clock, where most come alone, and then many at a time.
        """
        rows = []
        for plan in [Plan(1), *(Plan(count, True, False, count) for count in self._counts())]:
            work = self._fanoutWork(plan)
            rows += self._measure(plan, [(work, self.busRate), (replace(work, window=_WINDOW), None)])
        return rows

    def echo(self) -> dict[str, Any]:
        """
        @return: an echo by each transport, directly and through HAProxy, as fast as it goes and by the clock.
        """
        first, last = cores()
        found: dict[str, Any] = {}
        for name in _ECHOES:
            work = WORKS[name]
            # The server has a core of its own; HAProxy is on that of the load.
            direct = Plan(1, False, False, work.conns, (first, last))
            for way, plan in (("direct", direct), ("haproxy", replace(direct, balancer=True))):
                loads = ((work, None), (work, self.echoRate))
                for kind, row in zip(("highest", "paced"), self._measure(plan, loads), strict=False):
                    found.setdefault(name, {}).setdefault(way, {})[kind] = row
        return found

    # -- the runs

    def _counts(self) -> list[int]:
        """
        @return: 1, 2, 4 ... processes.
        """
        counts = [1]
        while counts[-1] * 2 < self.processes:
            counts.append(counts[-1] * 2)
        return sorted({*counts, self.processes})

    def _fanoutWork(self, plan: Plan) -> Work:
        return Work("fanout", f"fan-out to {plan.sessions:,}", "fanout", conns=plan.sessions)

    def _fastest(self, plan: Plan) -> dict[str, Any] | None:
        if plan not in self._highest:
            found = self._one(plan, self._fanoutWork(plan), None)
            if found is None:
                return None
            self._highest[plan] = found
        return self._highest[plan]

    def _one(self, plan: Plan, work: Work, rate: float | None) -> dict[str, Any] | None:
        rows = self._measure(plan, [(work, rate)])
        return rows[0] if rows else None

    def _measure(self, plan: Plan, loads: Any) -> list[dict[str, Any]]:
        """
        @return: what the load has found in each of its turns, up to the first that failed.
        """
        rows: list[dict[str, Any]] = []
        if time.monotonic() - self.begun > self.limit:
            self.failures.append(f"{plan}: not measured, since the {self.limit:g} seconds of --limit are over")
            self.say(self.failures[-1])
            return rows
        try:
            with fleet(plan, self.scratch) as running:
                for work, rate in loads:
                    speed = f"{number(rate)} messages a second" if rate else "as it goes"
                    self.say(f"{plan}: {work.title}, {speed}")
                    rows.append(self._load(running, plan, work, rate))
                    self.say("    " + _summary(rows[-1]))
        except Failed as error:
            self.failures.append(str(error))
            self.say(f"FAILED: {error}")
        return rows

    def _load(self, running: Fleet, plan: Plan, work: Work, rate: float | None) -> dict[str, Any]:
        flags = loadFlags(work, self.duration, self.warmup)
        if rate:
            flags["rate"] = rate
        words = loadWords(flags) + (["--wait"] if rate else [])
        for name, pids in running.pids.items():
            words += ["--watch", f"{name}={','.join(map(str, pids))}"]
        service = "channel" if work.mode == "fanout" else work.service
        words += [f"http://127.0.0.1:{port}/{service}" for port in running.ports]
        with _traffic(running.redis) as traffic:
            figures = putLoad(f"{plan}, {work.title}", loadCommand(words), plan.cores[1], _RUN + self.duration)
        return row(plan, figures, rate, traffic)


PARTS = {"fanout": (True, True), "echo": (False, True), "growth": (True, False), "bus": (True, False)}
"""The methods of L{Many} that measure, and whether they need Redis, and HAProxy."""

QUICK: dict[str, Any] = {
    "sessions": 40,
    "processes": 2,
    "duration": 0.3,
    "warmup": 0.1,
    "echoRate": 100.0,
    "busRate": 100.0,
}
"""Sizes for L{Many} with which every part is run and nothing takes long."""


def needed(parts: Sequence[str]) -> dict[str, str]:
    """
    @param parts: some of L{PARTS}.

    @return: the versions of the programs that they need beside Python.

    @raise Unavailable: when one is not here.
    """
    bus, balancer = (any(PARTS[part][place] for part in parts) for place in (0, 1))
    return versions(Plan(bus=bus, balancer=balancer))


@contextmanager
def _traffic(port: int | None) -> Iterator[list[Traffic]]:
    """
    @return: gets what Redis got and sent inside, if there is one.
    """
    found: list[Traffic] = []
    before = None if port is None else redisTraffic(port)
    yield found
    if port is not None and before is not None:
        found.append(redisTraffic(port).since(before))


def row(plan: Plan, figures: dict[str, Any], rate: float | None, traffic: list[Traffic]) -> dict[str, Any]:
    """
    @param figures: as the load tells them.

    @param rate: the messages a second that were asked for, if any.

    @param traffic: of Redis, if there is one.

    @return: what there is to say of a run. Times are in microseconds, of CPU for a delivery or an echo if nothing else
        is said; memory is in kB.
    """
    unit = "deliveries" if figures["mode"] == "fanout" else "messages"
    units, sessions = max(figures[unit], 1), max(figures["sessions_opened"], 1)
    each = plan.sessions if figures["mode"] == "fanout" else 1
    found: dict[str, Any] = {
        "processes": plan.processes,
        "bus": "redis" if plan.bus else "none",
        "behind_haproxy": plan.balancer,
        "sessions": figures["sessions_opened"],
        "asked_messages_per_s": rate,
        "messages_per_s": figures[f"{unit}_per_s"] / each,
        "units_per_s": figures[f"{unit}_per_s"],
        "messages_per_frame": figures["messages_per_frame"],
        "p50": figures["latency_p50_us"],
        "p99": figures["latency_p99_us"],
        "load_percent": figures["client_cpu_percent"],
    }
    for name, group in figures["watched"].items():
        cpu = group["cpu_user_s"] + group["cpu_system_s"]
        found[name] = {
            "cost": cpu * 1e6 / units,
            "user": group["cpu_user_s"] * 1e6 / units,
            "system": group["cpu_system_s"] * 1e6 / units,
            "percent": 100 * cpu / figures["measured_s"],
            "opening": group["cpu_opening_s"] * 1e6 / sessions,
            "kB_before": group["rss_start_kb"],
            "kB_each": (group["rss_ramped_kb"] - group["rss_start_kb"]) / sessions,
        }
    for used in traffic:
        sent = max(figures["messages_sent"], 1)
        found |= {"bus_bytes_in": used.received / sent, "bus_bytes_out": used.sent / sent}
    return found


def _summary(row: dict[str, Any]) -> str:
    """
    @return: a run in one line.
    """
    costs = (f"{name} {row[name]['cost']:.1f}" for name in ("servers", "redis", "haproxy") if name in row)
    return (
        f"{row['units_per_s']:,.0f} a second; µs of CPU for each: {', '.join(costs)}; "
        f"p50 {row['p50'] / 1e3:,.1f} ms, p99 {row['p99'] / 1e3:,.1f} ms; the load {row['load_percent']:.0f} %"
    )


def committedIdle(path: Path = _GROWTH) -> dict[str, float]:
    """
    @return: what the documentation says of idle sessions: the CPU time of one in microseconds a second, and its memory
        in kB.
    """
    (idle,) = json.loads(path.read_text("utf-8"))["results"]["idle"].values()
    return {"cpu": idle["cpu_percent"] * 1e4 / 10_000, "kB": idle["rss"]}
