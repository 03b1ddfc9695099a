# -*- test-case-name: tests.test_bus_redis -*-
"""
A connection to a Redis server that comes back by itself.

The commands are those of C{txredisapi}. Its own pool is not used: it takes time from the global reactor, notices only
connections that break, not those that hang, and tells nobody.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import txredisapi
from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["FIRST_DELAY", "LAST_DELAY", "PING", "STOP_TIMEOUT", "Publisher", "Subscriber", "Wire", "backOff"]

PING = 3.0
"""Seconds between looks at whether a connection is alive. One that was silent between three of them is given up."""

FIRST_DELAY = 0.1
"""Seconds before the first attempt to reconnect, on average; each next one waits twice as long."""

LAST_DELAY = 5.0
"""Seconds before any further attempt, on average."""

STOP_TIMEOUT = 2.0
"""Seconds that the last bytes have to leave in, before a connection is cut."""

_log = Logger()


def backOff(attempt: int) -> float:
    """
    @param attempt: how many have failed.

    @return: the seconds to wait before the next one: they double up to L{LAST_DELAY}, and vary by half so that many
        processes do not come back at the same moment.
    """
    # min, since a number with thousands of bits is no float.
    return min(FIRST_DELAY * 2 ** min(attempt - 1, 20), LAST_DELAY) * secrets.SystemRandom().uniform(0.5, 1.5)


class _Attentive:
    """
    What both protocols have in common: they know whether something came.
    """

    wire: Wire
    heard = False
    refusal: str | None = None

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        self.heard = True
        super().dataReceived(data, unpause)  # type: ignore[misc]

    def connectionLost(self, why: Failure) -> None:
        super().connectionLost(why)  # type: ignore[misc]
        self.wire.connectionLost(self, why)


class Publisher(_Attentive, txredisapi.RedisProtocol):
    """
    A connection for commands.
    """


class Subscriber(_Attentive, txredisapi.SubscriberProtocol):
    """
    A connection on which messages come in.
    """

    def messageReceived(self, pattern: None, channel: bytes, message: bytes) -> None:
        self.wire.received(channel, message)


@implementer(IStreamClientEndpoint)
class _Told:
    """
    An endpoint that tells of its failures.
    """

    def __init__(self, wire: Wire, endpoint: IStreamClientEndpoint) -> None:
        self._wire = wire
        self._endpoint = endpoint

    def __repr__(self) -> str:
        return f"{self._wire.name}"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting.addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self._wire.attemptFailed(failure.getErrorMessage())
        return failure


class _Protocols(Factory):
    """
    Makes the protocol of each new connection.
    """

    noisy = False
    isLazy = True  # asked for by the protocol when something fails

    def __init__(self, wire: Wire, protocol: Callable[..., Any]) -> None:
        self._wire = wire
        self._make = protocol

    def buildProtocol(self, addr: object) -> Any:
        protocol = self._make(charset=None, convertNumbers=False)
        protocol.factory = self
        protocol.wire = self._wire
        protocol.callLater = self._wire.clock.callLater
        protocol.whenConnected().addCallback(self._wire.connectionMade)
        return protocol


class Wire:
    """
    One connection, again and again.

    @ivar protocol: the connection that is ready for use, or L{None}.
    @ivar completeUntil: all that the server has sent by then is here, since it has answered what it was asked then.
        When something came last says less: it may have been on its way, or waited for this process, for long.
    """

    def __init__(
        self,
        name: str,
        endpoint: IStreamClientEndpoint,
        protocol: Callable[..., Any],
        clock: IReactorTime,
        credentials: tuple[str, str | None],
        *,
        ready: Callable[[], object],
        lost: Callable[[str], object],
        failed: Callable[[str], object],
        received: Callable[[bytes, bytes], object] = lambda channel, message: None,
    ) -> None:
        """
        @param name: what it is, for the log.

        @param endpoint: where the server is.

        @param protocol: L{Publisher} or L{Subscriber}.

        @param clock: where time comes from.

        @param credentials: user and password.

        @param ready: called when there is a connection that can be used.

        @param lost: called with a reason when it can't be any more.

        @param failed: called with a reason when none could be made.

        @param received: called with the name of a channel and a message.
        """
        self.name = name
        self.clock = clock
        self.protocol: Any = None
        self.completeUntil = 0.0
        self.received = received
        self._user, self._password = credentials
        self._ready = ready
        self._lost = lost
        self._failed = failed
        self._service = ClientService(_Told(self, endpoint), _Protocols(self, protocol), self._delay, clock)
        self._rejected = 0  # how many connections in a row came to nothing
        self._current: Any = None  # the connection, ready or not
        self._watch: IDelayedCall | None = None
        self._silent = 0
        self._stopping = False

    def start(self) -> None:
        """
        Connect.
        """
        self._service.startService()

    def stop(self) -> Deferred[None]:
        """
        Disconnect for good, when what was written is sent or has taken too long. Over TLS, something may still come
        meanwhile.

        @return: fires when that is done.
        """
        self._stopping = True
        self.protocol = None
        stopped: Deferred[None] = self._service.stopService()
        if stopped.called:
            return stopped
        cut = self.clock.callLater(STOP_TIMEOUT, self.cut)

        def done(result: None) -> None:
            if cut.active():
                cut.cancel()

        return stopped.addCallback(done)

    def cut(self) -> None:
        """
        Give the connection up, if there is one.
        """
        if self._current is not None:
            self._current.transport.abortConnection()

    def _delay(self, attempt: int) -> float:
        return backOff(max(attempt, self._rejected))

    # -- for the protocols ----------------------------------------------------------------------------------------

    def attemptFailed(self, why: str) -> None:
        """
        No connection could be made.
        """
        if not self._stopping:
            self._failed(why)

    def connectionMade(self, protocol: Any) -> None:
        """
        There is a connection, which has to show that it can be used.
        """
        self._current = protocol
        self._rejected += 1
        self._silent = 0
        protocol.heard = True
        self._watch = self.clock.callLater(PING, self._look)
        if self._password is not None:
            protocol.auth(self._password, self._user or None).addErrback(self._refused, protocol)
        self._ping(protocol).addCallbacks(
            self._usable, self._refused, callbackArgs=(protocol,), errbackArgs=(protocol,)
        )

    def connectionLost(self, protocol: Any, why: Failure) -> None:
        """
        A connection is gone.
        """
        if protocol is not self._current:
            return
        self._current = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        wasReady, self.protocol = self.protocol is not None, None
        if self._stopping:
            return
        if wasReady:
            self._lost(why.getErrorMessage())
        else:
            self._failed(protocol.refusal or why.getErrorMessage())

    def _ping(self, protocol: Any) -> Deferred[None]:
        asked = self.clock.seconds()

        def answered(answer: object) -> None:
            self.completeUntil = asked

        pinged: Deferred[object] = protocol.ping()
        return pinged.addCallback(answered)

    def _usable(self, answer: object, protocol: Any) -> None:
        if protocol is self._current and protocol.refusal is None and not self._stopping:
            self._rejected = 0
            self.protocol = protocol
            self._ready()

    def _refused(self, failure: Failure, protocol: Any) -> None:
        if failure.check(txredisapi.ConnectionError) is None:
            # The first one is the reason; without a password, all that follows is refused.
            protocol.refusal = protocol.refusal or f"refused: {failure.getErrorMessage().strip()}"
            protocol.transport.loseConnection()

    def _look(self) -> None:
        """
        See whether the connection is alive. It is not by the time that has passed, since it may be this process that
        was stopped for a while.
        """
        protocol = self._current
        self._silent = 0 if protocol.heard else self._silent + 1
        protocol.heard = False
        self._watch = self.clock.callLater(PING, self._look)
        if self._silent < 2:
            self._ping(protocol).addErrback(lambda failure: None)  # told otherwise
        else:
            _log.warn("{name} does not answer", name=self.name)
            protocol.transport.abortConnection()
