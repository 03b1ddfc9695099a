# -*- test-case-name: tests.test_multiplex,tests.test_multiplex_machine -*-
"""
Many protocols over one session, wire-compatible with the client of websocket-multiplex.

Its messages are C{sub,topic}, C{msg,topic,payload} and C{uns,topic}, both ways. A topic that a client subscribes to
becomes a channel: a transport of its own, with the protocol of the factory that was added under that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, ClassVar

from twisted.internet.interfaces import IProtocolFactory, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.broadcast import broadcast
from txsockjs.codec import SharedMessage
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.errors import SessionDone
from txsockjs.interfaces import ISockJSProtocol
from txsockjs.options import Options
from txsockjs.resource import SockJSResource
from txsockjs.stats import RefusalCause
from txsockjs.subscription import ChannelTransport, Subscription
from txsockjs.timers import Turns, chooseClock
from txsockjs.topics import Topics, checkTopic
from txsockjs.values import checkPositive

__all__ = ["MAX_CHANNELS", "MAX_TOPIC_LENGTH", "ChannelRefusalCause", "SockJSMultiplexResource"]

MAX_CHANNELS = 1000
"""How many channels one session may have, unless the service says otherwise."""

MAX_TOPIC_LENGTH = 256
"""How many characters a topic may have on the wire, unless the service says otherwise."""


class ChannelRefusalCause(StrEnum):
    """
    Why something that is about channels was refused.
    """

    UNKNOWN = "unknown multiplex message"
    NO_CHANNEL = "message without a channel"
    LONG_TOPIC = "topic too long"
    TOO_MANY = "too many channels"
    NO_TOPIC = "unknown topic"
    REFUSED = "channel refused"


_UNSUBSCRIBED = (1000, "Unsubscribed")
_REPLACED = (1000, "Subscribed again")

_log = Logger()


@implementer(ISockJSProtocol, IPushProducer)
class _MultiplexProtocol(Protocol):
    """
    The protocol of a session that carries channels: the L{txsockjs.subscription.Carrier} of each.

    @ivar channels: those that the client has not been told are over, by their topics on the wire.
    """

    factory: _MultiplexFactory
    transport: Connection

    def __init__(self, turns: Turns[Subscription]) -> None:
        self.turns = turns
        self.channels: dict[str, Subscription] = {}
        self._producers: dict[Subscription, None] = {}
        self._producing = False
        self._paused = False
        self._waiting = 0
        self._waitingBytes = 0
        self._holding = False

    def messageReceived(self, message: str) -> None:
        """
        See L{ISockJSProtocol.messageReceived}.
        """
        kind, comma, rest = message.partition(",")
        wire, _, payload = rest.partition(",")
        channel = self.channels.get(wire)
        if not comma or kind not in ("sub", "msg", "uns"):
            self.factory.refuse(ChannelRefusalCause.UNKNOWN)
        elif kind == "sub":
            self._subscribe(wire)
        elif channel is None:
            # Both sides may leave at a time, so that these cross what the client is told on the way.
            if kind == "msg":
                self.factory.refuse(ChannelRefusalCause.NO_CHANNEL)
        elif kind == "msg":
            channel.received(payload)
        else:
            self._left(channel, _UNSUBSCRIBED)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The session is over, and so is every channel.
        """
        for channel in list(self.channels.values()):
            self.leave(channel, reason)

    # -- subscribing ----------------------------------------------------------------------------------------------

    def _subscribe(self, wire: str) -> None:
        # A client that subscribes anew has done with the channel of before, and may have been told so meanwhile.
        former = self.channels.get(wire)
        if former is not None:
            self._left(former, _REPLACED)
        refusal = self._refusal(wire)
        if refusal is not None:
            self.factory.refuse(refusal)
            self.send(f"uns,{wire}")

    def _refusal(self, wire: str) -> ChannelRefusalCause | None:
        """
        Open a channel, unless it has to be refused.

        @return: why it has, for whoever counts.
        """
        if len(wire) > self.factory.maxTopicLength:
            return ChannelRefusalCause.LONG_TOPIC
        if len(self.channels) >= self.factory.maxChannels:
            return ChannelRefusalCause.TOO_MANY
        try:
            name = self.factory.resource.topics.nameOf(wire)
            factory = self.factory.resource.factoryFor(name)
            if factory is None:
                return ChannelRefusalCause.NO_TOPIC
            channel = self._channel(wire, name, factory)
            if not channel.transport.accept():
                return ChannelRefusalCause.REFUSED
        except BaseException:  # the reactor logs any, and goes on
            _log.failure("the application failed; its channel is refused")
            return ChannelRefusalCause.REFUSED
        self.channels[wire] = channel
        self.factory.enter(channel)
        channel.opened()
        return None

    def _channel(self, wire: str, name: str, factory: IProtocolFactory) -> Subscription:
        outer = self.transport
        channel = Subscription(self, wire)
        channel.transport = ChannelTransport(
            channel,
            factory,
            self.factory.encoding,
            outer.transportName,
            outer.requestFacts,
            outer.getPeer(),
            outer.getHost(),
            name,
            self.factory.resource.broadcast,
        )
        return channel

    def _left(self, channel: Subscription, closing: tuple[int, str]) -> None:
        """
        The client has left. What it has said before is for the protocol, unless that has paused its intake.
        """
        channel.deliver()
        self.leave(channel, Failure(SessionDone(*closing)))

    def leave(self, channel: Subscription, reason: Failure, tell: bool = False) -> None:
        """
        See L{txsockjs.subscription.Carrier.leave}. Without effect on one that is forgotten already.
        """
        if self.channels.get(channel.wire) is channel:
            del self.channels[channel.wire]
            self.factory.exit(channel)
            if tell:
                self.send(f"uns,{channel.wire}")
            channel.lost(reason)

    # -- to the client: all channels share what the session has ---------------------------------------------------

    def send(self, text: str) -> None:
        """
        See L{txsockjs.subscription.Carrier.send}.
        """
        self.transport.write(text)

    def sendShared(self, message: SharedMessage) -> None:
        """
        See L{txsockjs.subscription.Carrier.sendShared}.
        """
        self.transport.writeShared(message)

    def produces(self, channel: Subscription, does: bool) -> None:
        """
        See L{txsockjs.subscription.Carrier.produces}. This is the session's producer as long as a channel has one.
        """
        if does:
            self._producers[channel] = None
        else:
            self._producers.pop(channel, None)
        if self._producers and not self._producing:
            self._producing, self._paused = True, False
            self.transport.registerProducer(self, True)
        elif self._producing and not self._producers:
            self._producing = False
            self.transport.unregisterProducer()

    @property
    def isFull(self) -> bool:
        """
        Whether the session takes no more for now.
        """
        return self._producing and self._paused

    @property
    def isClosing(self) -> bool:
        """
        Whether the session is over, or about to be.
        """
        return self.transport.disconnecting

    def pauseProducing(self) -> None:
        """
        The session is full.
        """
        self._paused = True
        for channel in list(self._producers):
            if self._paused:  # what a producer does can change that
                channel.full()

    def resumeProducing(self) -> None:
        """
        The session takes more again.
        """
        self._paused = False
        for channel in list(self._producers):
            if not self._paused:
                channel.drained()

    def stopProducing(self) -> None:
        """
        The service stops, or the session is closing: no producer gets anything to the client any more.
        """
        for channel in list(self._producers):
            channel.stopProducer()

    # -- from the client: a channel that has paused holds up the others only when too much waits ------------------

    def waits(self, messages: int, size: int) -> None:
        """
        See L{txsockjs.subscription.Carrier.waits}.
        """
        self._waiting += messages
        self._waitingBytes += size
        options = self.factory.resource.options
        holds = self._waitingBytes >= options.max_queued_bytes or self._waiting >= options.max_queued_messages
        if holds == self._holding:
            return
        self._holding = holds
        if holds:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()


class _MultiplexFactory(Factory):
    """
    What the sessions of a service have in common.

    @ivar turns: channels that have something to do at the end of this turn of the reactor.
    @ivar members: the open channels of each topic that has any, by its name.
    """

    def __init__(
        self, resource: SockJSMultiplexResource, options: Options, clock: IReactorTime, most: int, longest: int
    ) -> None:
        self.resource = resource
        self.encoding = lookupEncoding(options.encoding)
        self.turns: Turns[Subscription] = Turns(clock, Subscription.turn)
        self.members: dict[str, dict[Subscription, None]] = {}
        self.maxChannels = most
        self.maxTopicLength = longest

    def buildProtocol(self, addr: object) -> Any:
        """
        @return: the protocol of one session.
        """
        protocol = _MultiplexProtocol(self.turns)
        protocol.factory = self
        return protocol

    def enter(self, channel: Subscription) -> None:
        """
        A channel is open.
        """
        self.members.setdefault(channel.transport.topic, {})[channel] = None

    def exit(self, channel: Subscription) -> None:
        """
        A channel is over.
        """
        members = self.members[channel.transport.topic]
        del members[channel]
        if not members:
            del self.members[channel.transport.topic]

    def refuse(self, cause: ChannelRefusalCause) -> None:
        """
        Count what a client is refused.
        """
        self.resource.stats.refused[cause] += 1


class SockJSMultiplexResource(SockJSResource):
    """
    A SockJS service whose sessions carry channels, a protocol each.

    To answer topics that are not known beforehand, override L{factoryFor}.
    """

    refusalCauses: ClassVar[tuple[str, ...]] = (*RefusalCause, *ChannelRefusalCause)

    def __init__(
        self,
        options: Options | Mapping[str, Any] | None = None,
        *,
        reactor: IReactorTime | None = None,
        max_channels: int = MAX_CHANNELS,
        max_topic_length: int = MAX_TOPIC_LENGTH,
        **settings: Any,
    ) -> None:
        """
        See L{SockJSResource.__init__}. The option C{encoding} counts for the channels.

        @param max_channels: how many channels one session may have at a time; one more is refused.

        @param max_topic_length: how many characters a topic may have as a client writes it; a longer one is refused.

        @raise ValueError: when one of these two is no whole number, or below 1.
        """
        most = _checked("max_channels", max_channels)
        longest = _checked("max_topic_length", max_topic_length)
        built = Options.build(options, **settings)
        clock = chooseClock(reactor)
        self.topics = Topics(longest)
        self._multiplex = _MultiplexFactory(self, built, clock, most, longest)
        # What travels between the channels and the client is text.
        super().__init__(self._multiplex, replace(built, encoding="utf-8"), reactor=clock)

    def addFactory(self, name: str, factory: IProtocolFactory) -> None:
        """
        Add a topic, or give it another factory; channels that are open keep their protocols.

        @param name: its name. A client finds it by this name, and by what C{escape} of JavaScript makes of it, which is
            what the client of websocket-multiplex writes.

        @param factory: makes a protocol for every channel of that name. Its C{buildProtocol} may return L{None}, which
            refuses the channel.

        @raise ValueError: when no client could subscribe to the name: it has a comma, which ends a topic on the wire,
            or is longer than C{max_topic_length}.
        @raise TypeError: when C{name} is no C{str}, or C{factory} is none, for instance a class of protocols.
        """
        self.topics.add(name, factory)

    def removeFactory(self, name: str, factory: IProtocolFactory | None = None) -> None:
        """
        Remove a topic. Channels that are open stay open.

        @param factory: ignored; txsockjs 1.x took it.

        @raise KeyError: when there is no such topic.
        """
        self.topics.remove(name)

    def factoryFor(self, name: str) -> IProtocolFactory | None:
        """
        @param name: the topic that a client subscribes to: the name that was given to L{addFactory}, or for any other
            one what the client has written, in which that of websocket-multiplex has escaped all but letters, digits
            and C{@*_+-./}.

        @return: the factory of its protocols, or L{None} to refuse.
        """
        return self.topics.find(name)

    def broadcast(self, name: str, message: bytes | str) -> None:
        """
        Send one message to all channels of a topic, in all sessions of this service and process.

        @param name: the name of the topic; see L{factoryFor}. Where nobody is subscribed nothing is sent.

        @raise ValueError: when the name has a comma, or the bytes can't be decoded; then nobody has got the message.
        @raise TypeError: when C{name} is no C{str}.
        """
        members = self._multiplex.members.get(checkTopic(name), {})
        broadcast(message, [channel.transport for channel in members])

    def stop(self) -> None:
        """
        See L{SockJSResource.stop}.
        """
        super().stop()
        self._multiplex.turns.finish()


def _checked(name: str, value: object) -> int:
    try:
        return checkPositive(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
