# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What a scrape of C{/metrics} costs, by the number of sessions: C{python -m benchmarks.scrape}.

The sessions are real ones of xhr-polling, in memory; each has a message that waits for it. The time is that of the
fastest of some scrapes, from the services to the text, during which the reactor does nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from benchmarks import report
from txsockjs.factory import SockJSFactory
from txsockjs.metrics import collectorOf
from txsockjs.testing import connect

COUNTS = (0, 100, 1000, 10_000)

_TIMES = 20


class _Waiting(Protocol):
    """
    Has something to say to whoever comes.
    """

    def connectionMade(self) -> None:
        """
        Say it.
        """
        self.transport.write(b"welcome")


def _fastest(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_TIMES):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def measure(count: int) -> tuple[int, float, int]:
    """
    @return: how many sessions there really are, the seconds that a scrape takes, and its size.
    """
    clock = Clock()
    site = SockJSFactory(Factory.forProtocol(_Waiting), reactor=clock, disconnect_delay=900, heartbeat_delay=0)
    clients = [connect(site.resource, transport="xhr-polling") for _ in range(count)]
    registry = CollectorRegistry()
    registry.register(collectorOf(site, clock))
    seconds = _fastest(lambda: generate_latest(registry))
    sessions = sum(site.resource.gauges().sessions.values())
    assert len(clients) == count
    return sessions, seconds, len(generate_latest(registry))


def main() -> None:
    """
    Measure, and print a table.
    """
    rows = []
    for count in COUNTS:
        sessions, seconds, size = measure(count)
        rows.append([f"{sessions:,}", f"{seconds * 1000:.1f} ms", f"{size / 1000:.0f} kB"])
    print(report.grid(["Sessions", "A scrape", "Its size"], rows))


if __name__ == "__main__":
    main()
