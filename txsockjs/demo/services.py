# -*- test-case-name: tests.test_demo -*-
"""
The standard test services (protocol section "The standard test services").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.broadcast import publish, subscribe
from txsockjs.connection import Connection
from txsockjs.interfaces import ISockJSProtocol
from txsockjs.timers import chooseClock

__all__ = ["Amplify", "Broadcast", "Close", "Echo", "Ticker", "standardServices"]

_BROADCAST = "txsockjs.demo.broadcast"
"""The channel of all connections of the service."""


@implementer(ISockJSProtocol)
class Echo(Protocol):
    """
    Sends every message back.
    """

    transport: Connection

    def messageReceived(self, message: str) -> None:
        """
        Send it back.
        """
        self.transport.write(message)


class Close(Protocol):
    """
    Closes as soon as it opens.
    """

    transport: Connection

    def connectionMade(self) -> None:
        """
        Close, with the default code and reason.
        """
        self.transport.loseConnection()


class Ticker(Protocol):
    """
    Sends C{tick!} every second.
    """

    transport: Connection
    _next: IDelayedCall

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def connectionMade(self) -> None:
        """
        Begin.
        """
        self._next = self._clock.callLater(1, self._tick)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End.
        """
        self._next.cancel()

    def _tick(self) -> None:
        self._next = self._clock.callLater(1, self._tick)
        self.transport.write("tick!")


@implementer(ISockJSProtocol)
class Amplify(Protocol):
    """
    Answers a number I{n} with 2 to the power of I{n} times C{x}.
    """

    transport: Connection

    def messageReceived(self, message: str) -> None:
        """
        Answer; what is no number from 1 to 18 counts as 1.
        """
        try:
            power = int(message)
        except ValueError:
            power = 1
        self.transport.write("x" * 2 ** (power if 1 <= power <= 18 else 1))


@implementer(ISockJSProtocol)
class Broadcast(Protocol):
    """
    Sends every message to all connections of the service, the sender's own included, and with a bus to those of other
    processes, too.
    """

    def connectionMade(self) -> None:
        """
        Join.
        """
        subscribe(self, _BROADCAST)

    def messageReceived(self, message: str) -> None:
        """
        Send it to all.
        """
        publish(_BROADCAST, message)


class _TickerFactory(Factory):
    """
    Hands every ticker its clock.
    """

    def __init__(self, clock: IReactorTime | None) -> None:
        self._clock = chooseClock(clock)

    def buildProtocol(self, addr: object) -> Ticker:
        """
        @return: a new ticker.
        """
        return Ticker(self._clock)


def standardServices(reactor: IReactorTime | None = None) -> Iterator[tuple[str, IProtocolFactory, dict[str, Any]]]:
    """
    @param reactor: where time comes from; the global reactor by default.

    @return: prefix, factory and settings of each service.
    """
    noWebSocket = ("xhr-streaming", "xhr-polling", "eventsource", "htmlfile", "jsonp-polling")
    echo = Factory.forProtocol(Echo)
    yield "echo", echo, {"response_limit": 4096}
    yield "disabled_websocket_echo", echo, {"transports": noWebSocket}
    yield "cookie_needed_echo", echo, {"cookie_needed": True}
    yield "close", Factory.forProtocol(Close), {}
    yield "ticker", _TickerFactory(reactor), {}
    yield "amplify", Factory.forProtocol(Amplify), {}
    yield "broadcast", Factory.forProtocol(Broadcast), {}
