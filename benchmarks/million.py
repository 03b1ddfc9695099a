# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What a million sessions take, computed from what was measured with some thousands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.report import Table, number

__all__ = ["SCENARIOS", "SESSIONS", "Costs", "Estimate", "Scenario", "assumptions", "costs", "estimate", "table"]

SESSIONS = 1_000_000
"""How many sessions there are."""

SHARE = 0.6
"""The part of a core that a process may be busy: what comes unevenly needs the rest."""

BEATS = 2 / 25
"""Pieces that an idle session sends or gets in a second: a heartbeat with its ping every 25 seconds, and the answer."""

_MOST = 1_000_000
"""More processes than this are no answer."""


@dataclass(frozen=True)
class Scenario:
    """
    @ivar publishes: messages that are published in a second, in all.

    @ivar receivers: how many sessions each of them goes to.
    """

    title: str
    publishes: float
    receivers: int

    @property
    def deliveries(self) -> float:
        """
        What is delivered in a second.
        """
        return self.publishes * self.receivers


SCENARIOS = (
    Scenario("nothing but heartbeats", 0, 0),
    Scenario("a message to all, once a minute", 1 / 60, SESSIONS),
    Scenario("a message to all, once a second", 1, SESSIONS),
    Scenario("10,000 channels of 100, a message in each every 10 seconds", 1000, 100),
    Scenario("10,000 channels of 100, a message in each every second", 10_000, 100),
    Scenario("100,000 channels of 10, a message in each every second", 100_000, 10),
)
"""What the sessions do."""


@dataclass(frozen=True)
class Costs:
    """
    What was measured. Times are microseconds of CPU.

    @ivar sessions: the most that one process had.

    @ivar idle: of a process for an idle session, in a second.

    @ivar delivery: of a process, and C{balanced} of HAProxy, for one message to one session.

    @ivar publish: of a process that publishes a message of one of its sessions.

    @ivar hear: of a process to get a message from the bus, and to deliver it to one session, when it comes alone;
        C{hearBusy} when many come at a time.

    @ivar relay: of Redis for a message, and C{relayEach} for each process that it goes to.

    @ivar kB: of a process for a session; C{kBEach} for a process without any; C{kBBalanced} of HAProxy for a session.

    @ivar bytesIn: what a message is on the bus to Redis, and C{bytesOut} to each process.

    @ivar opening: of a process to open a session through HAProxy, and C{openingBalanced} of HAProxy.
    """

    sessions: int
    idle: float
    delivery: float
    balanced: float
    publish: float
    hear: float
    hearBusy: float
    relay: float
    relayEach: float
    kB: float
    kBEach: float
    kBBalanced: float
    bytesIn: float
    bytesOut: float
    opening: float
    openingBalanced: float


def _line(rows: list[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> tuple[float, float]:
    """
    @return: what a message costs by itself, and for each process: the line through the fewest and the most processes.
    """
    first, last = rows[0], rows[-1]
    more = last["processes"] - first["processes"]
    each = (value(last) - value(first)) / more if more else value(first)
    each = max(each, 0.0)
    return max(value(first) - each * first["processes"], 0.0), each


def costs(data: dict[str, Any]) -> Costs:
    """
    @param data: what C{python -m benchmarks many} has measured, all parts of it.

    @return: what counts for a million. Where there are two figures it is the higher one.

    @raise KeyError: when a part is missing.
    """
    behind = [row for row in data["fanout"]["haproxy"].values() if row is not None]
    onBus = [row for row in data["bus"] if row["bus"] == "redis" and row["asked_messages_per_s"]]
    busy = [row for row in data["bus"] if row["bus"] == "redis" and not row["asked_messages_per_s"]]
    publish, hear = _line(onBus, lambda row: row["servers"]["cost"] * row["sessions"])
    relay, relayEach = _line(onBus, lambda row: row["redis"]["cost"] * row["sessions"])
    bytesIn, bytesOut = onBus[-1]["bus_bytes_in"], onBus[-1]["bus_bytes_out"]
    return Costs(
        sessions=max(row["sessions"] // row["processes"] for row in data["growth"]),
        idle=data["idle"]["cpu"],
        delivery=max(row["servers"]["cost"] for row in behind),
        balanced=max(row["haproxy"]["cost"] for row in behind),
        publish=publish,
        hear=hear,
        hearBusy=busy[-1]["servers"]["cost"],
        relay=relay,
        relayEach=relayEach,
        kB=data["idle"]["kB"],
        kBEach=behind[0]["servers"]["kB_before"] / behind[0]["processes"],
        kBBalanced=behind[0]["haproxy"]["kB_each"],
        bytesIn=bytesIn,
        bytesOut=bytesOut / onBus[-1]["processes"],
        opening=behind[0]["servers"]["opening"],
        openingBalanced=behind[0]["haproxy"]["opening"],
    )


@dataclass(frozen=True)
class Estimate:
    """
    What a scenario takes: cores that are busy, memory in kB, and on the bus bits a second.

    @ivar processes: L{None} when no number of them suffices, since each of them has to hear more than it can.
    """

    processes: int | None
    cores: float = 0.0
    kB: float = 0.0
    balancerCores: float = 0.0
    balancerKB: float = 0.0
    redisCores: float = 0.0
    bits: float = 0.0


def _reached(processes: int, receivers: int) -> float:
    """
    @return: how many processes have one of the receivers of a message, if these are anywhere.
    """
    return processes * (1.0 - (1.0 - 1.0 / processes) ** receivers)


def _busy(cost: Costs, scenario: Scenario, processes: int) -> float:
    """
    @return: the cores that all processes keep busy.
    """
    heard = scenario.publishes * _reached(processes, scenario.receivers)
    used = SESSIONS * cost.idle + scenario.deliveries * cost.delivery
    return (used + scenario.publishes * cost.publish + heard * cost.hear) / 1e6


def estimate(cost: Costs, scenario: Scenario) -> Estimate:
    """
    @return: what a million sessions take that do this.
    """
    processes = math.ceil(SESSIONS / cost.sessions)
    while _busy(cost, scenario, processes) > SHARE * processes:
        # More processes hear more: the next guess is what these would need, and at least one more.
        processes = max(processes + 1, math.ceil(_busy(cost, scenario, processes) / SHARE))
        if processes > _MOST:
            return Estimate(None)
    reached = _reached(processes, scenario.receivers)
    return Estimate(
        processes,
        _busy(cost, scenario, processes),
        SESSIONS * cost.kB + processes * cost.kBEach,
        (scenario.deliveries + SESSIONS * BEATS) * cost.balanced / 1e6,
        SESSIONS * cost.kBBalanced,
        scenario.publishes * (cost.relay + cost.relayEach * reached) / 1e6,
        scenario.publishes * (cost.bytesIn + cost.bytesOut * reached) * 8,
    )


_HEADERS = [
    "what happens",
    "published a second",
    "delivered a second",
    "processes",
    "their cores",
    "their memory, GB",
    "HAProxy's cores",
    "its memory, GB",
    "Redis' cores",
    "bus, Mbit a second",
]


def _cells(scenario: Scenario, found: Estimate) -> list[str]:
    cells = [scenario.title, _fine(scenario.publishes), f"{scenario.deliveries:,.0f}"]
    if found.processes is None:
        return [*cells, "no number suffices", *[""] * (len(_HEADERS) - len(cells) - 1)]
    figures = (
        found.cores,
        found.kB / 1e6,
        found.balancerCores,
        found.balancerKB / 1e6,
        found.redisCores,
        found.bits / 1e6,
    )
    return [*cells, f"{found.processes:,}", *map(_fine, figures)]


def _fine(value: float) -> str:
    """
    @return: a figure, with enough digits that what is little is not nothing.
    """
    if not value or value >= 0.95:
        return number(value) if value else "0"
    return f"{value:.2g}" if value >= 0.01 else "< 0.01"


def table(data: dict[str, Any]) -> Table:
    """
    @param data: see L{costs}.

    @return: what a million sessions take.
    """
    cost = costs(data)
    rows = [_cells(scenario, estimate(cost, scenario)) for scenario in SCENARIOS]
    return "What a million sessions take, on paper", _HEADERS, rows


def assumptions(data: dict[str, Any]) -> list[str]:
    """
    @return: sentences on what the table rests on.
    """
    cost = costs(data)
    restart = cost.sessions * (cost.opening + cost.openingBalanced) / 1e6
    return [
        "All sessions are WebSockets behind HAProxy without TLS; messages have 64 bytes; receivers of a message are "
        "anywhere among the processes.",
        f"A process is busy for at most {SHARE:.0%} of its core, and has at most {cost.sessions:,} sessions, since no "
        f"more were measured in one.",
        f"An idle session takes {cost.idle:.2g} µs of CPU a second and {number(cost.kB)} kB in its process, and "
        f"{number(cost.kBBalanced)} kB in HAProxy; a process takes {cost.kBEach / 1e3:,.0f} MB by itself. What the "
        f"kernel keeps for the sockets, three for each session, comes on top.",
        f"A delivery takes {number(cost.delivery)} µs in a process and {number(cost.balanced)} µs in HAProxy, which is "
        f"also what HAProxy needs for each heartbeat and each answer to one.",
        f"To publish takes {number(cost.publish)} µs, and each process that hears of it by the bus {number(cost.hear)} "
        f"µs more; Redis takes {number(cost.relay)} µs and {number(cost.relayEach)} µs for each such process. A "
        f"message is {number(cost.bytesIn)} bytes on its way to Redis and {number(cost.bytesOut)} on its way to each "
        f"process. This is what messages cost that come alone, at {number(data['bus_rate'])} a second. Where they come "
        f"many at a time, all of that is {number(cost.hearBusy)} µs for each process: the table has rather too much "
        f"than too little of it. "
        f"Only processes with members of a channel hear its messages.",
        "Redis uses one core: where the table says more, channels have to be divided among several.",
        f"To open a session takes {number(cost.opening)} µs in a process and {number(cost.openingBalanced)} µs in "
        f"HAProxy. The {cost.sessions:,} sessions of a process that ends come back to the others for {number(restart)} "
        f"seconds of CPU in all.",
    ]
