# -*- test-case-name: tests.test_bus -*-
"""
What carries published messages between processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

__all__ = ["LAG_BOUNDS", "BusFacts", "BusStats", "Gap", "GapReport", "IBus", "Receive"]

LAG_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The seconds up to which L{BusStats.lags} counts."""


@dataclass(frozen=True)
class Gap:
    """
    The bus was away, or did not take as much as was published. The application may want to fetch elsewhere what its
    members have missed.

    @ivar channels: the names of the channels that this is about, sorted: those that have members in this process, where
        something was missed, and those for which something was lost.
    @ivar since: when it began at the earliest, in seconds as the reactor counts them.
    @ivar until: when all was well again.
    @ivar lost: how many messages that were published in this process never left it.
    @ivar missed: whether members in this process may have missed messages, from whatever process.
    """

    channels: tuple[str, ...]
    since: float
    until: float
    lost: int
    missed: bool

    def __str__(self) -> str:
        missed = "messages may have been missed" if self.missed else "nothing was missed"
        return (
            f"gap of {self.until - self.since:.1f} seconds on the bus: {missed}, "
            f"{self.lost} of this process were lost, on {len(self.channels)} channels"
        )


Receive = Callable[[str, Sequence["bytes | str"], "int | None"], None]
"""What takes the messages of one channel that come in; see L{IBus.start}."""

GapReport = Callable[[Gap], None]
"""What is told of a gap; see L{IBus.start}."""


class BusStats:
    """
    The counters of one bus. They only ever grow, but for C{lastLag}.

    @ivar messagesOut: messages of this process that the bus has taken.
    @ivar bytesOut: their size, without what they are wrapped in.
    @ivar batchesOut: in how many pieces they were.
    @ivar messagesIn: messages that came from the bus, this process's own included.
    @ivar bytesIn: their size.
    @ivar batchesIn: in how many pieces they were.
    @ivar duplicates: pieces that came a second time, and were dropped.
    @ivar malformed: pieces that could not be understood, and were dropped.
    @ivar lost: messages of this process that never left it.
    @ivar gaps: how often the application was told of a gap.
    @ivar connects: how often a connection to the bus was made.
    @ivar disconnects: how often one was lost.
    @ivar failures: how often none could be made.
    @ivar lastLag: the seconds from publishing to having the piece back, or acknowledged where this process is no member
        of the channel, of the latest piece.
    @ivar lagSum: the sum of these.
    @ivar lagCount: how many there were.
    @ivar lags: how many there were, by the first of L{LAG_BOUNDS} that they did not exceed, and at the end those that
        exceeded all.
    """

    def __init__(self) -> None:
        self.messagesOut = 0
        self.bytesOut = 0
        self.batchesOut = 0
        self.messagesIn = 0
        self.bytesIn = 0
        self.batchesIn = 0
        self.duplicates = 0
        self.malformed = 0
        self.lost = 0
        self.gaps = 0
        self.connects = 0
        self.disconnects = 0
        self.failures = 0
        self.lastLag = 0.0
        self.lagSum = 0.0
        self.lagCount = 0
        self.lags = [0] * (len(LAG_BOUNDS) + 1)

    def asDict(self) -> dict[str, Any]:
        """
        @return: all counters as plain numbers and lists, ready for JSON.
        """
        return {
            "messages_out": self.messagesOut,
            "bytes_out": self.bytesOut,
            "batches_out": self.batchesOut,
            "messages_in": self.messagesIn,
            "bytes_in": self.bytesIn,
            "batches_in": self.batchesIn,
            "duplicates": self.duplicates,
            "malformed": self.malformed,
            "lost": self.lost,
            "gaps": self.gaps,
            "connects": self.connects,
            "disconnects": self.disconnects,
            "failures": self.failures,
            "last_lag": self.lastLag,
            "lag_sum": self.lagSum,
            "lag_count": self.lagCount,
            "lags": list(self.lags),
        }


class BusFacts(NamedTuple):
    """
    How a bus stands at a moment.
    """

    name: str
    """What it is and where, without a password."""

    connected: bool
    """Whether it carries messages just now."""

    waitingMessages: int
    """How many messages of this process it has not taken yet."""

    waitingBytes: int
    """Their size."""

    channels: int
    """How many channels this process gets from it."""


class IBus(Interface):
    """
    A bus. One L{txsockjs.broadcast.Channels} uses it, and calls everything from the reactor's thread.
    """

    stats = Attribute("L{BusStats}: what was counted.")

    def start(receive: Receive, gap: GapReport, before: IBus | None) -> None:
        """
        Begin. It need not carry anything at once: what is published meanwhile waits.

        C{subscribe}, C{unsubscribe} and C{publish} may be called before that, while another bus comes to its end. What
        is published then waits as well, and is carried before all else. A channel that is subscribed to by then has
        members, who may have missed something, and so the bus tells of a gap as soon as it carries.

        @param receive: called with the name of a channel, its messages in order, and, when this process has published
            them, the mark that it has given with them, otherwise L{None}. What this process has published comes back to
            it in the order in which all processes get it, if the channel is subscribed to.

        @param gap: called with a L{Gap} when one is over.

        @param before: the bus that was used before, if there was one. It has stopped. One of the same kind knows what
            must not come a second time.
        """

    def subscribe(channel: str) -> None:
        """
        Have the messages of a channel come in. What this process publishes afterwards comes back to it.
        """

    def unsubscribe(channel: str) -> None:
        """
        There is nobody any more who would get the messages of a channel.
        """

    def publish(channel: str, message: bytes | str, mark: int) -> None:
        """
        Send a message to all processes that have subscribed to the channel, this one included.

        @param mark: given back with the message.

        @raise ValueError: when the message can't be carried; then it reaches nobody.
        """

    def stop() -> Deferred[None]:
        """
        Send what waits, and end. A second call ends the wait for that. It was started before.

        @return: fires when that is done, or has taken too long.
        """

    def facts() -> BusFacts:
        """
        @return: how it stands.
        """
