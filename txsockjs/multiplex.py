# -*- test-case-name: tests.test_multiplex -*-
"""
Many protocols over one session, wire-compatible with the client of websocket-multiplex.

Its messages are C{sub,topic}, C{msg,topic,payload} and C{uns,topic}, both ways. A topic that a client subscribes to
becomes a channel: a transport of its own, with the protocol of the factory that was added under that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory, IPushProducer, IReactorTime
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
from txsockjs.timers import chooseClock

__all__ = ["SockJSMultiplexResource"]

_UNSUBSCRIBED = (1000, "Unsubscribed")

_log = Logger()


class _PullProducer:
    """
    Makes a push producer of a pull producer: it is asked once a turn of the reactor, until it is paused.
    """

    def __init__(self, producer: Producer, clock: IReactorTime) -> None:
        self._producer = producer
        self._clock = clock
        self._call: IDelayedCall | None = None

    def resumeProducing(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(0, self._ask)

    def pauseProducing(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._producer.stopProducing()

    def _ask(self) -> None:
        self._call = self._clock.callLater(0, self._ask)
        self._producer.resumeProducing()


class _Channel:
    """
    One topic in one session: a L{txsockjs.connection.Link}.
    """

    def __init__(self, session: _MultiplexProtocol, topic: str) -> None:
        self.isClosing = False
        self.producer: Producer | None = None
        self.connection: Connection | None = None
        self._session = session
        self._topic = topic
        self._prefix = f"msg,{topic},"

    def open(self, factory: IProtocolFactory, encoding: Encoding) -> bool:
        """
        @return: whether the factory wants this channel.
        """
        outer = self._session.transport
        self.connection = Connection(
            self, factory, encoding, outer.transportName, outer.requestFacts, outer.getPeer(), outer.getHost()
        )
        try:
            if not self.connection.accept():
                return False
        except Exception:
            _log.failure("the application failed; its channel is refused")
            return False
        self._call(self.connection.opened)
        return True

    def received(self, payload: str) -> None:
        """
        One message came.
        """
        if not self.isClosing:
            self._call(self.connection.received, payload)  # type: ignore[union-attr]

    def lost(self, reason: Failure) -> None:
        """
        Be over, and tell the protocol. The last thing that happens to a channel.
        """
        self.isClosing = True
        producer, self.producer = self.producer, None
        if producer is not None:
            self._call(producer.stopProducing)
        self._call(self.connection.lost, reason)  # type: ignore[union-attr]

    def _call(self, function: Any, *args: object) -> Any:
        # As in a session of its own, an exception ends this channel and no other.
        try:
            return function(*args)
        except Exception:
            failure = Failure()
            _log.failure("the application failed; its channel is closed", failure)
            self._end(failure)
            return None

    def _end(self, reason: Failure) -> None:
        if not self.isClosing:
            self.isClosing = True
            self._session.leave(self._topic, reason)

    # -- Link -----------------------------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        if not self.isClosing:
            self._session.transport.write(self._prefix + text)

    def sendShared(self, message: SharedMessage) -> None:
        if not self.isClosing:
            self._session.transport.writeShared(message.prefixed(self._prefix))

    def close(self, code: int, reason: str) -> None:
        self._end(Failure(SessionDone(code, reason)))

    def abort(self) -> None:
        self._end(Failure(ConnectionAborted()))

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError(
                f"can't register {producer!r}: {self.producer!r} is registered and was never unregistered"
            )
        if self.isClosing:
            producer.stopProducing()
            return
        self.producer = producer if streaming else _PullProducer(producer, self._session.factory.clock)
        self._session.regulate()
        if self._session.isFull:
            if streaming:
                self.producer.pauseProducing()  # type: ignore[attr-defined]
        elif not streaming:
            self.producer.resumeProducing()

    def unregisterProducer(self) -> None:
        producer, self.producer = self.producer, None
        if isinstance(producer, _PullProducer):
            producer.pauseProducing()
        self._session.regulate()

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
                self._drop(topic, Failure(SessionDone(*_UNSUBSCRIBED)))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.sessions.discard(self)
        for topic in list(self.channels):
            self._drop(topic, reason)

    def _subscribe(self, topic: str) -> None:
        factory = self.factory.resource.factoryFor(topic)
        channel = _Channel(self, topic)
        self.channels[topic] = channel
        if factory is None or not channel.open(factory, self.factory.encoding):
            self.channels.pop(topic, None)
            self.transport.write(f"uns,{topic}")

    def leave(self, topic: str, reason: Failure) -> None:
        """
        Close a channel from our side. Its protocol hears of it in a turn of its own.
        """
        self.transport.write(f"uns,{topic}")
        channel = self.channels[topic]
        self.factory.clock.callLater(0, self._drop, topic, reason, channel)

    def _drop(self, topic: str, reason: Failure, only: _Channel | None = None) -> None:
        channel = self.channels.get(topic)
        if channel is None or (only is not None and channel is not only):
            return
        del self.channels[topic]
        self.resumeReading(channel)
        channel.lost(reason)
        self.regulate()

    # -- flow: all channels share what the session has ------------------------------------------------------------

    def regulate(self) -> None:
        """
        Be the session's producer as long as a channel has one.
        """
        wanted = any(channel.producer is not None for channel in self.channels.values())
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
            if channel.producer is not None:
                channel.producer.pauseProducing()  # type: ignore[attr-defined]

    def resumeProducing(self) -> None:
        self._paused = False
        for channel in list(self.channels.values()):
            if channel.producer is not None:
                channel.producer.resumeProducing()

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
    """

    protocol = _MultiplexProtocol  # type: ignore[assignment]

    def __init__(self, resource: SockJSMultiplexResource, encoding: Encoding, clock: IReactorTime) -> None:
        self.resource = resource
        self.encoding = encoding
        self.clock = clock
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
        broadcast(message, [channel.connection for channel in channels if channel.connection is not None])
