# -*- test-case-name: tests.test_bus -*-
"""
The bus of an application that has one process.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from txsockjs.bus.envelopes import part
from txsockjs.bus.interfaces import BusFacts, BusStats, GapReport, IBus, Receive

__all__ = ["MAX_WAITING", "MemoryBus"]

MAX_WAITING = 10_000
"""How many messages may be published before it begins."""


@implementer(IBus)
class MemoryBus:
    """
    Gives back at once what is published.
    """

    def __init__(self) -> None:
        self.stats = BusStats()
        self._channels = 0
        self._receive: Receive | None = None
        self._waiting: deque[tuple[str, bytes | str, int]] = deque()
        self._early = 0

    def start(self, receive: Receive, gap: GapReport, before: IBus | None) -> None:
        """
        See L{IBus.start}. There is no gap, since nothing comes from other processes.
        """
        while self._waiting:  # what is published about it meanwhile comes behind
            channel, message, mark = self._waiting.popleft()
            receive(channel, (message,), mark)
        self._receive = receive

    def subscribe(self, channel: str) -> None:
        """
        See L{IBus.subscribe}.
        """
        self._channels += 1

    def unsubscribe(self, channel: str) -> None:
        """
        See L{IBus.unsubscribe}.
        """
        self._channels -= 1

    def publish(self, channel: str, message: bytes | str, mark: int) -> None:
        """
        See L{IBus.publish}.

        @raise ValueError: when L{MAX_WAITING} messages were published before it began.
        """
        if self._receive is not None:
            self._receive(channel, (message,), mark)
            return
        if self._early >= MAX_WAITING:
            raise ValueError(f"{MAX_WAITING} messages wait for the bus to begin, which is all that it takes")
        self._early += 1  # and never less, or an answer to each would have no end
        self._waiting.append((channel, message, mark))

    def stop(self) -> Deferred[None]:
        """
        See L{IBus.stop}.
        """
        return succeed(None)

    def facts(self) -> BusFacts:
        """
        See L{IBus.facts}.
        """
        sizes = [len(part(message)) for _, message, _ in self._waiting]
        return BusFacts("memory", self._receive is not None, len(sizes), sum(sizes), self._channels)
