# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What publishing on a channel costs, beside a plain C{broadcast()}, and what a bus adds::

    python -m benchmarks.channels

The sessions are real, with all but their sockets. Times are those of this process's CPU, the best of several runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from txsockjs.broadcast import Channels, broadcast
from txsockjs.bus.envelopes import Seen, pack, unpack
from txsockjs.codec import SOCKJS
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.interfaces import RequestFacts
from txsockjs.options import Options
from txsockjs.registry import Registry

_MESSAGE = "a message of some thirty bytes"

_RUNS = 15


class _Receiver:
    """
    Takes everything.
    """

    persistent = True

    def send(self, frame: bytes) -> bool:
        return True

    def unsent(self) -> int:
        return 0

    def pauseReading(self) -> None:
        pass

    def resumeReading(self) -> None:
        pass


def _sessions(count: int, clock: Clock) -> list[Connection]:
    """
    @return: the connections of open sessions.
    """
    registry = Registry(Options(), clock)
    factory = Factory.forProtocol(Protocol)
    connections = []
    for _ in range(count):
        session = registry.create(SOCKJS)
        facts = RequestFacts("/", {}, {})
        connection = Connection(session, factory, lookupEncoding("utf-8"), "websocket", facts, None, None)
        session.bind(connection)
        session.attach(_Receiver())
        connections.append(connection)
    return connections


def _time(work: Callable[[], object], times: int) -> float:
    """
    @return: the microseconds of one call.
    """
    best = float("inf")
    for _ in range(_RUNS):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, time.process_time() - began)
    return best / times * 1e6


def main() -> None:
    """
    Measure, and print.
    """
    clock = Clock()
    connections = _sessions(1000, clock)
    channels = Channels()
    for connection in connections:
        channels.subscribe(connection, "all")
    channels.subscribe(connections[0], "one")

    def publish(channel: str) -> None:
        channels.publish(channel, _MESSAGE)
        clock.advance(0)

    def plain(targets: list[Connection]) -> None:
        broadcast(_MESSAGE, targets)
        clock.advance(0)

    for name, work, times in (
        ("broadcast() to 1,000 sessions", lambda: plain(connections), 50),
        ("publish() to 1,000 sessions", lambda: publish("all"), 50),
        ("broadcast() to one session", lambda: plain(connections[:1]), 5000),
        ("publish() to one session", lambda: publish("one"), 5000),
    ):
        print(f"{name:40} {_time(work, times):10.2f} µs")

    seen = Seen()
    numbers = iter(range(1, 10**9))
    for count in (1, 10, 100):
        parts = [(False, _MESSAGE.encode())] * count
        piece = pack("0123456789abcdef", 1, 1, parts)

        def receive(piece: bytes = piece) -> None:
            unpack(piece)
            seen.isNew("0123456789abcdef", next(numbers))

        def send(parts: list[tuple[bool, bytes]] = parts) -> None:
            pack("0123456789abcdef", 1, 1, parts)

        for name, work in (("packed", send), ("unpacked", receive)):
            print(f"a message {name}, {count:3} together {'':8} {_time(work, 5000 // count) / count:10.2f} µs")


if __name__ == "__main__":
    main()
