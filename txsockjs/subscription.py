# -*- test-case-name: tests.test_multiplex -*-
"""
One channel of a multiplexed session: what lies between a protocol and the session that it shares with others.

The rules:

  1. A channel is open from the moment in which its protocol is connected until it is over. It is over when its protocol
     closes or aborts it, when the protocol or its producer fails, when the client leaves or subscribes anew, and when
     the session ends. What is written later is dropped, and what has not been delivered by then is.
  2. The protocol hears of the end once, last of all, and never from within a call of its own.
  3. An end that comes from the protocol is told to the client in the turn in which the protocol hears of it, not
     before. If the client leaves or subscribes anew meanwhile, it is not told at all: it would take the news for the
     end of its next channel.
  4. A close waits for the protocol's producer to finish. The session's end and the service's stop don't.
  5. What comes while the protocol has paused its intake waits in the channel. The other channels go on, until the
     session has as much waiting as it may have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.codec import SharedMessage
from txsockjs.connection import Connection, Link
from txsockjs.encoding import Encoding
from txsockjs.errors import SessionDone
from txsockjs.interfaces import IMultiplexTransport, RequestFacts
from txsockjs.session import Producer
from txsockjs.timers import Turns

__all__ = ["Carrier", "ChannelTransport", "Subscription"]

_log = Logger()


class Carrier(Protocol):
    """
    What a channel needs of the session that carries it.
    """

    turns: Turns[Subscription]

    @property
    def isFull(self) -> bool:
        """Whether the session takes no more for now."""

    @property
    def isClosing(self) -> bool:
        """Whether the session is over, or about to be."""

    def send(self, text: str) -> None:
        """Send one message of the multiplex protocol."""

    def sendShared(self, message: SharedMessage) -> None:
        """Send one that goes to others as well."""

    def produces(self, channel: Subscription, does: bool) -> None:
        """A producer of C{channel} came or went."""

    def waits(self, messages: int, size: int) -> None:
        """So many more messages wait for protocols that have paused their intake; fewer, where it is below 0."""

    def leave(self, channel: Subscription, reason: Failure, tell: bool = False) -> None:
        """
        Forget C{channel}, and end it.

        @param tell: whether the client has to be told.
        """


@implementer(IMultiplexTransport)
class ChannelTransport(Connection):
    """
    The transport of a protocol that has a topic of a multiplexed session for its own.

    @ivar topic: the name of the topic.
    """

    def __init__(
        self,
        link: Link,
        factory: IProtocolFactory,
        encoding: Encoding,
        transportName: str,
        facts: RequestFacts,
        peer: IAddress,
        host: IAddress,
        topic: str,
        publish: Callable[[str, bytes | str], None],
    ) -> None:
        super().__init__(link, factory, encoding, transportName, facts, peer, host)
        self.topic = topic
        self._publish = publish

    def broadcast(self, message: bytes | str) -> None:
        """
        See L{IMultiplexTransport.broadcast}.
        """
        self._publish(self.topic, message)


class Subscription:
    """
    One channel. It is the L{txsockjs.connection.Link} of its protocol's transport.

    @ivar wire: its topic, as the client writes it.
    @ivar transport: what the protocol has as its transport; set before the channel is opened.
    """

    transport: ChannelTransport

    def __init__(self, carrier: Carrier, wire: str) -> None:
        self.wire = wire
        self._carrier = carrier
        self._prefix = f"msg,{wire},"
        self._over = False
        self._outcome: Failure | None = None  # what the protocol is told, where it has brought about the end
        self._closeAsked: Failure | None = None  # the same, while the producer has not finished
        self._producer: Any = None
        self._streaming = False
        self._producerPaused = False
        self._reading = True
        self._inbox: deque[tuple[str, int]] = deque()

    # -- what the session does ------------------------------------------------------------------------------------

    def opened(self) -> None:
        """
        Connect the protocol.
        """
        self._call(self.transport.opened)

    def received(self, payload: str) -> None:
        """
        One message came.
        """
        if self._over:
            return
        if self._reading and not self._inbox:
            self._call(self.transport.received, payload)
            return
        size = len(payload.encode("utf-8", "surrogatepass"))
        self._inbox.append((payload, size))
        self._carrier.waits(1, size)

    def deliver(self) -> None:
        """
        Give the protocol what has waited, until it pauses its intake again.
        """
        while self._inbox and self._reading:
            payload, size = self._inbox.popleft()
            self._carrier.waits(-1, -size)
            self._call(self.transport.received, payload)

    def lost(self, reason: Failure) -> None:
        """
        Be over, and tell the protocol. The last thing that happens to a channel.

        @param reason: why, unless the protocol has brought about the end before.
        """
        self._over = True
        self._forgetInbox()
        self.stopProducer()
        self._call(self.transport.lost, self._outcome or reason)

    def stopProducer(self) -> None:
        """
        Stop the producer, if there is one, since nothing of what it has for the client will get there.
        """
        producer = self._takeProducer()
        if producer is not None:
            self._call(producer.stopProducing)
        if self._closeAsked is not None:
            self._end(self._closeAsked)

    def full(self) -> None:
        """
        The session takes no more for now.
        """
        if self._producer is not None and self._streaming and not (self._producerPaused or self._over):
            self._producerPaused = True
            self._call(self._producer.pauseProducing)

    def drained(self) -> None:
        """
        The session takes more again.
        """
        if self._producer is None or self._over:
            return
        if not self._streaming:
            self._carrier.turns.add(self)
        elif self._producerPaused:
            self._producerPaused = False
            self._call(self._producer.resumeProducing)

    def turn(self) -> None:
        """
        The turn of the reactor in which something was asked for is over: tell of the end, or deliver what has waited
        and ask a pull producer for more, which is done once a turn until the session is full.
        """
        if self._over:
            if self._outcome is not None:
                self._carrier.leave(self, self._outcome, tell=True)
            return
        self.deliver()
        if self._over or self._producer is None or self._streaming:
            return
        # Not while the session closes: what is written then is dropped, and there would be no end of asking.
        if not (self._carrier.isFull or self._carrier.isClosing):
            self._carrier.turns.add(self)
            self._call(self._producer.resumeProducing)

    # -- how it is done -------------------------------------------------------------------------------------------

    def _call(self, function: Callable[..., Any], *args: object) -> None:
        # As in a session of its own, an exception ends this channel and no other.
        try:
            function(*args)
        except BaseException:  # as there
            failure = Failure()
            _log.failure("the application failed; its channel is closed", failure)
            self._end(failure)

    def _end(self, outcome: Failure) -> None:
        """
        Be over; the client and the protocol are told in a turn of its own.
        """
        if not self._over:
            self._over = True
            self._outcome = outcome
            self._forgetInbox()
            self._carrier.turns.add(self)

    def _forgetInbox(self) -> None:
        if self._inbox:
            self._carrier.waits(-len(self._inbox), -sum(size for _, size in self._inbox))
            self._inbox.clear()

    def _takeProducer(self) -> Any:
        producer, self._producer = self._producer, None
        if producer is not None:
            self._carrier.produces(self, False)
        return producer

    # -- Link -----------------------------------------------------------------------------------------------------

    @property
    def isClosing(self) -> bool:
        """
        Whether the channel is over, or will be as soon as its producer is done.
        """
        return self._over or self._closeAsked is not None or self._carrier.isClosing

    def send(self, text: str) -> None:
        """
        Send one message.
        """
        if not self._over:
            self._carrier.send(self._prefix + text)

    def sendShared(self, message: SharedMessage) -> None:
        """
        Send one message that goes to others as well.
        """
        if not self._over:
            self._carrier.sendShared(message.prefixed(self._prefix))

    def close(self, code: int, reason: str) -> None:
        """
        Close, as soon as no producer is registered. The client is told neither code nor reason.
        """
        if self._over or self._closeAsked is not None:
            return
        self._closeAsked = Failure(SessionDone(code, reason))
        if self._producer is None:
            self._end(self._closeAsked)

    def abort(self) -> None:
        """
        Close now. What was written before is on its way with what others have written, and can't be had back.
        """
        self._end(Failure(ConnectionAborted()))

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer.registerProducer}.

        @raise RuntimeError: when one is registered already.
        """
        if self._producer is not None:
            raise RuntimeError(
                f"can't register {producer!r}: {self._producer!r} is registered and was never unregistered"
            )
        if self.isClosing:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producerPaused = False
        self._carrier.produces(self, True)
        if self._carrier.isFull:
            self.full()
        elif not streaming:
            self._carrier.turns.add(self)

    def unregisterProducer(self) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer.unregisterProducer}.
        """
        self._takeProducer()
        if self._closeAsked is not None:
            self._end(self._closeAsked)

    def pauseReading(self) -> None:
        """
        Deliver no more messages for now.
        """
        self._reading = False

    def resumeReading(self) -> None:
        """
        Deliver messages again, those that have waited in a turn of their own.
        """
        self._reading = True
        if self._inbox:
            self._carrier.turns.add(self)
