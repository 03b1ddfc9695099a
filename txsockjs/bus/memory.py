# -*- test-case-name: tests.test_bus -*-
"""
The bus of an application that has one process.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from txsockjs.bus.interfaces import BusFacts, BusStats, GapReport, IBus, Receive

__all__ = ["MemoryBus"]


@implementer(IBus)
class MemoryBus:
    """
    Gives back at once what is published.
    """

    _receive: Receive

    def __init__(self) -> None:
        self.stats = BusStats()
        self._channels = 0

    def start(self, receive: Receive, gap: GapReport) -> None:
        """
        See L{IBus.start}.
        """
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
        """
        self._receive(channel, (message,), mark)

    def stop(self) -> Deferred[None]:
        """
        See L{IBus.stop}.
        """
        return succeed(None)

    def facts(self) -> BusFacts:
        """
        See L{IBus.facts}.
        """
        return BusFacts("memory", True, 0, 0, self._channels)
