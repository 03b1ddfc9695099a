# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GROWTH", "WORKS", "Work", "byName"]


@dataclass(frozen=True)
class Work:
    """
    One kind of load.

    @ivar mode: what is done with the sessions; see L{benchmarks.load.run.MODES}.

    @ivar window: how many messages each session has on its way; in a fan-out, how many there are in all.

    @ivar target: what ours shall need at most, as a part of what sockjs-node needs.
    """

    name: str
    title: str
    mode: str = "echo"
    transport: str = "websocket"
    conns: int = 50
    window: int = 1
    size: int = 64
    target: float | None = None

    @property
    def service(self) -> str:
        """
        The path of the service.
        """
        return "fanout" if self.mode == "fanout" else "echo"

    @property
    def isMemory(self) -> bool:
        """
        Whether memory is what counts, not time.
        """
        return self.mode == "idle"

    @property
    def unit(self) -> str:
        """
        The unit of the figure that counts.
        """
        return "kB" if self.isMemory else "µs"


def byName(works: list[Work]) -> dict[str, Work]:
    """
    @return: works by their names.
    """
    return {work.name: work for work in works}


WORKS = byName(
    [
        Work("ws-echo-16", "websocket echo, 50 connections, 16 outstanding each", window=16, target=0.25),
        Work("ws-echo-1", "websocket echo, 50 connections, 1 outstanding each", target=0.65),
        Work("ws-fanout", "websocket fan-out, 1 message to 1,000, a delivery", "fanout", conns=1000, target=0.65),
        Work("xhr-streaming", "xhr-streaming echo (POST in, chunk out), 8 outstanding", "echo", "xhr-streaming",
             window=8, target=0.8),
        Work("xhr-polling", "xhr-polling echo (POST in, poll out), 1 outstanding", "echo", "xhr-polling", target=0.75),
        Work("ws-open-close", "open and close a websocket session", "connect", conns=20, target=1.0),
        Work("ws-idle", "an idle websocket session", "idle", conns=5000, target=0.75),
        Work("xhr-idle", "an idle xhr-streaming session", "idle", "xhr-streaming", conns=5000, target=0.65),
    ]
)  # fmt: skip
"""
The rows of the comparison.
"""

GROWTH: dict[str, list[Work]] = {
    "connections": [
        Work(f"ws-echo-1-c{conns}", f"{conns:,} connections", conns=conns) for conns in (10, 100, 1000, 5000, 10_000)
    ],
    "bytes in a message": [
        Work(f"ws-echo-1-s{size}", f"{size:,} bytes", size=size) for size in (16, 64, 256, 1024, 4096, 16_384, 65_536)
    ],
    "receivers": [
        Work(f"ws-fanout-r{conns}", f"{conns:,} receivers", "fanout", conns=conns) for conns in (1, 10, 100, 1000, 5000)
    ],
}
"""
How cost grows, by what grows.
"""
