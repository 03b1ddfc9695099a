# -*- test-case-name: tests.test_multiplex -*-
"""
Many protocols over one session, wire-compatible with the client of websocket-multiplex.

Its messages are C{sub,topic}, C{msg,topic,payload} and C{uns,topic}, both ways. A topic that a client subscribes to
becomes a channel: a transport of its own, with the protocol of the factory that was added under that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocolFactory, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.broadcast import broadcast
from txsockjs.codec import SharedMessage
from txsockjs.connection import Connection
from txsockjs.encoding import Encoding, lookupEncoding
from txsockjs.errors import SessionDone
from txsockjs.interfaces import ISockJSProtocol
from txsockjs.options import Options
from txsockjs.resource import SockJSResource
from txsockjs.session import Producer
from txsockjs.timers import Turns, chooseClock

__all__ = ["SockJSMultiplexResource"]

_UNSUBSCRIBED = (1000, "Unsubscribed")

_log = Logger()


class _Channel:
    """
    One topic in one session: a L{txsockjs.connection.Link}.
    """

    def __init__(self, session: _MultiplexProtocol, topic: str, factory: IProtocolFactory) -> None:
        outer = session.transport
        self.topic = topic
        self.connection = Connection(
            self,
            factory,
            session.factory.encoding,
            outer.transportName,
            outer.requestFacts,
            outer.getPeer(),
            outer.getHost(),
        )
        self._session = session
        self._turns = session.factory.turns
        self._prefix = f"msg,{topic},"
        self._outcome: Failure | None = None  # what the protocol is told, once an end is near
        self._over = False
        self._producer: Any = None
        self._streaming = False

    @property
    def isClosing(self) -> bool:
        """
        Whether the channel is over, or will be as soon as its producer is done.
        """
        return self._over or self._outcome is not None

    @property
    def hasProducer(self) -> bool:
        """
        Whether a producer is registered.
        """
        return self._producer is not None

    def opened(self) -> None:
        """
        Connect the protocol.
        """
        self._call(self.connection.opened)

    def received(self, payload: str) -> None:
        """
        One message came.
        """
        if not self._over:
            self._call(self.connection.received, payload)

    def lost(self, reason: Failure) -> None:
        """
        Be over, and tell the protocol. The last thing that happens to a channel.
        """
        self._over = True
        producer, self._producer = self._producer, None
        if producer is not None:
            self._call(producer.stopProducing)
        self._call(self.connection.lost, reason)

    def full(self) -> None:
        """
        The session takes no more for now.
        """
        if self._producer is not None and self._streaming and not self._over:
            self._call(self._producer.pauseProducing)

    def drained(self) -> None:
        """
        The session takes more again.
        """
        if self._producer is None or self._over:
            return
        if self._streaming:
            self._call(self._producer.resumeProducing)
        else:
            self._turns.add(self)

    def turn(self) -> None:
        """
        The turn of the reactor in which something was asked for is over: tell the protocol of the end, or ask its pull
        producer for more, which is done once a turn until the session is full.
        """
        if self._over:
            if self._outcome is not None:
                self._session.drop(self, self._outcome)
        elif self._producer is not None and not self._streaming and not self._session.isFull:
            self._turns.add(self)
            self._call(self._producer.resumeProducing)

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
        Be over, and tell the client now and the protocol in a turn of its own.
        """
        if not self._over:
            self._over = True
            self._outcome = outcome
            self._session.transport.write(f"uns,{self.topic}")
            self._turns.add(self)

    # -- Link -----------------------------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        if not self._over:
            self._session.transport.write(self._prefix + text)

    def sendShared(self, message: SharedMessage) -> None:
        if not self._over:
            self._session.transport.writeShared(message.prefixed(self._prefix))

    def close(self, code: int, reason: str) -> None:
        if self.isClosing:
            return
        self._outcome = Failure(SessionDone(code, reason))
        if self._producer is None:
            self._end(self._outcome)

    def abort(self) -> None:
        self._end(Failure(ConnectionAborted()))

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(
                f"can't register {producer!r}: {self._producer!r} is registered and was never unregistered"
            )
        if self.isClosing:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._session.regulate()
        if self._session.isFull:
            self.full()
        elif not streaming:
            self._turns.add(self)

    def unregisterProducer(self) -> None:
        self._producer = None
        self._session.regulate()
        if self._outcome is not None:
            self._end(self._outcome)

    def pauseReading(self) -> None:
        self._session.pauseReading(self)

    def resumeReading(self) -> None:
        self._session.resumeReading(self)


@implementer(ISockJSProtocol, IPushProducer)
class _MultiplexProtocol(Protocol):
    """
    The protocol of a session that carries channels.
    """

    factory: _MultiplexFactory
    transport: Connection

    def __init__(self) -> None:
        self.channels: dict[str, _Channel] = {}
        self._producing = False
        self._paused = False
        self._slow: set[_Channel] = set()

    def connectionMade(self) -> None:
        self.factory.sessions.add(self)

    def messageReceived(self, message: str) -> None:
        kind, _, rest = message.partition(",")
        topic, _, payload = rest.partition(",")
        channel = self.channels.get(topic)
        if kind == "sub":
            if channel is None:
                self._subscribe(topic)
        elif channel is not None:
            if kind == "msg":
                channel.received(payload)
            elif kind == "uns":
                self.drop(channel, Failure(SessionDone(*_UNSUBSCRIBED)))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.sessions.discard(self)
        for channel in list(self.channels.values()):
            self.drop(channel, reason)

    def _subscribe(self, topic: str) -> None:
        try:
            channel = self._accepted(topic)
        except BaseException:
            _log.failure("the application failed; its channel is refused")
            channel = None
        if channel is None:
            self.transport.write(f"uns,{topic}")
        else:
            self.channels[topic] = channel
            channel.opened()

    def _accepted(self, topic: str) -> _Channel | None:
        """
        @return: a new channel, if the application wants it.
        """
        factory = self.factory.resource.factoryFor(topic)
        if factory is None:
            return None
        channel = _Channel(self, topic, factory)
        return channel if channel.connection.accept() else None

    def drop(self, channel: _Channel, reason: Failure) -> None:
        """
        Forget a channel, which is told of its end if it has not been yet.
        """
        if self.channels.get(channel.topic) is channel:
            del self.channels[channel.topic]
            self.resumeReading(channel)
            channel.lost(reason)
            self.regulate()

    # -- flow: all channels share what the session has ------------------------------------------------------------

    def regulate(self) -> None:
        """
        Be the session's producer as long as a channel has one.
        """
        wanted = any(channel.hasProducer for channel in self.channels.values())
        if wanted and not self._producing:
            self._producing, self._paused = True, False
            self.transport.registerProducer(self, True)
        elif self._producing and not wanted:
            self._producing = False
            self.transport.unregisterProducer()

    @property
    def isFull(self) -> bool:
        """
        Whether the session takes no more for now.
        """
        return self._producing and self._paused

    def pauseProducing(self) -> None:
        self._paused = True
        for channel in list(self.channels.values()):
            channel.full()

    def resumeProducing(self) -> None:
        self._paused = False
        for channel in list(self.channels.values()):
            channel.drained()

    def stopProducing(self) -> None:
        pass  # connectionLost follows and tells every channel

    def pauseReading(self, channel: _Channel) -> None:
        self._slow.add(channel)
        self.transport.pauseProducing()

    def resumeReading(self, channel: _Channel) -> None:
        if channel in self._slow:
            self._slow.discard(channel)
            if not self._slow:
                self.transport.resumeProducing()


class _MultiplexFactory(Factory):
    """
    Knows the sessions of a service.

    @ivar turns: channels that have something to do at the end of this turn of the reactor.
    """

    protocol = _MultiplexProtocol  # type: ignore[assignment]

    def __init__(self, resource: SockJSMultiplexResource, encoding: Encoding, clock: IReactorTime) -> None:
        self.resource = resource
        self.encoding = encoding
        self.turns: Turns[_Channel] = Turns(clock, _Channel.turn)
        self.sessions: set[_MultiplexProtocol] = set()


class SockJSMultiplexResource(SockJSResource):
    """
    A SockJS service whose sessions carry channels, a protocol each.

    To answer topics that are not known beforehand, override L{factoryFor}.
    """

    def __init__(
        self,
        options: Options | Mapping[str, Any] | None = None,
        *,
        reactor: IReactorTime | None = None,
        **settings: Any,
    ) -> None:
        """
        See L{SockJSResource.__init__}. The option C{encoding} counts for the channels.
        """
        built = Options.build(options, **settings)
        clock = chooseClock(reactor)
        self._multiplex = _MultiplexFactory(self, lookupEncoding(built.encoding), clock)
        self._topics: dict[str, IProtocolFactory] = {}
        # What travels between the channels and the client is text.
        super().__init__(self._multiplex, replace(built, encoding="utf-8"), reactor=clock)

    def addFactory(self, name: str, factory: IProtocolFactory) -> None:
        """
        Add a topic.

        @param name: its name.

        @param factory: makes a protocol for every channel of that name.

        @raise ValueError: when the name has a comma, which ends a topic on the wire.
        """
        if "," in name:
            raise ValueError(f"the name of a topic can't have a comma: {name!r}")
        self._topics[name] = factory

    def removeFactory(self, name: str, factory: IProtocolFactory | None = None) -> None:
        """
        Remove a topic. Channels that are open stay open.

        @param factory: ignored; txsockjs 1.x took it.

        @raise KeyError: when there is no such topic.
        """
        del self._topics[name]

    def factoryFor(self, name: str) -> IProtocolFactory | None:
        """
        @param name: the topic that a client subscribes to.

        @return: the factory of its protocols, or L{None} to refuse.
        """
        return self._topics.get(name)

    def broadcast(self, name: str, message: bytes | str) -> None:
        """
        Send one message to all channels of a topic.
        """
        sessions = self._multiplex.sessions
        channels = [session.channels[name] for session in sessions if name in session.channels]
        broadcast(message, [channel.connection for channel in channels])

    def stop(self) -> None:
        """
        See L{SockJSResource.stop}.
        """
        super().stop()
        self._multiplex.turns.finish()
