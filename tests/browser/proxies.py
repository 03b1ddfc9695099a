# -*- test-case-name: tests.test_matrix -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Proxies that are in the way, as those of companies and hotels are.

They pass on bytes, and look at no more than the head of the first request on a connection. They listen with TCP or, as
those that end TLS do, with TLS, and connect by TCP.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import interfaces
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["BlockingProxy", "BufferingProxy", "Proxy", "SilenceProxy"]

REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Upstream(Protocol):
    """
    The connection to the server.
    """

    def __init__(self, client: _Client) -> None:
        self.client = client

    def connectionMade(self) -> None:
        self.client.reached(self)

    def dataReceived(self, data: bytes) -> None:
        self.client.answered(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.client.ended()


class _UpstreamFactory(ClientFactory):
    noisy = False

    def __init__(self, client: _Client) -> None:
        self.client = client

    def buildProtocol(self, addr: Any) -> _Upstream:
        return _Upstream(self.client)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.client.ended()


class _Client(Protocol):
    """
    The connection from the browser.
    """

    factory: Proxy
    transport: interfaces.ITCPTransport

    def __init__(self) -> None:
        self.upstream: _Upstream | None = None
        self.waiting = b""
        self.lost = False

    def connectionMade(self) -> None:
        self.factory.clients.add(self)
        self.factory.reactor.connectTCP("127.0.0.1", self.factory.port, _UpstreamFactory(self))

    def reached(self, upstream: _Upstream) -> None:
        self.upstream = upstream
        if self.lost:
            upstream.transport.abortConnection()
            return
        waiting, self.waiting = self.waiting, b""
        if waiting:
            upstream.transport.write(waiting)

    def dataReceived(self, data: bytes) -> None:
        self.pass_(data)

    def pass_(self, data: bytes) -> None:
        """
        Hand something on to the server.
        """
        if self.upstream is None:
            self.waiting += data
        else:
            self.upstream.transport.write(data)

    def answered(self, data: bytes) -> None:
        """
        There is something from the server.
        """
        self.transport.write(data)

    def ended(self) -> None:
        """
        There is no more from the server.
        """
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        self.factory.clients.discard(self)
        if self.upstream is not None:
            self.upstream.transport.abortConnection()


@implementer(interfaces.IProtocolNegotiationFactory)
class Proxy(Factory):
    """
    One that does nothing but pass on.

    @ivar port: the port of the server.
    @ivar clients: the connections from browsers.
    """

    noisy = False
    protocol: Any = _Client

    def __init__(self, reactor: Any, port: int) -> None:
        self.reactor = reactor
        self.port = port
        self.clients: set[_Client] = set()

    def acceptableProtocols(self) -> list[bytes]:
        """
        @return: what it takes where it ends TLS.
        """
        return [b"http/1.1"]

    def stop(self) -> None:
        """
        Cut all connections.
        """
        for client in list(self.clients):
            client.transport.abortConnection()


# -- one that knows no WebSocket --------------------------------------------------------------------------------------


class _HeadClient(_Client):
    """
    Reads the head of a request before it hands that on, and has one request on each connection.
    """

    head: bytes | None = b""

    def dataReceived(self, data: bytes) -> None:
        if self.head is None:
            self.pass_(data)
            return
        self.head += data
        if b"\r\n\r\n" in self.head:
            (head, _, rest), self.head = self.head.partition(b"\r\n\r\n"), None
            self.requested(head.split(b"\r\n"), rest)

    def requested(self, head: list[bytes], rest: bytes) -> None:
        """
        Hand on a request.

        @param head: its lines.
        @param rest: what there is already of its body.
        """
        if not isUpgrade(head):
            head = [line for line in head if not line.lower().startswith(b"connection:")] + [b"Connection: close"]
        self.pass_(b"\r\n".join([*head, b"", rest]))


def isUpgrade(head: list[bytes]) -> bool:
    """
    @return: whether a request asks for a WebSocket.
    """
    return any(line.lower().startswith(b"upgrade:") for line in head)


class _BlockingClient(_HeadClient):
    def requested(self, head: list[bytes], rest: bytes) -> None:
        if not isUpgrade(head):
            super().requested(head, rest)
            return
        self.factory.refused += 1
        self.transport.write(REFUSAL)
        self.transport.loseConnection()


class BlockingProxy(Proxy):
    """
    Answers 502 to whoever asks for a WebSocket.

    @ivar refused: to how many it has.
    """

    protocol = _BlockingClient
    refused = 0


# -- one that waits for the end of a response -------------------------------------------------------------------------


class _BufferingClient(_HeadClient):
    upgraded = False
    buffered = b""

    def requested(self, head: list[bytes], rest: bytes) -> None:
        self.upgraded = isUpgrade(head)
        super().requested(head, rest)

    def answered(self, data: bytes) -> None:
        if self.upgraded:
            super().answered(data)
        else:
            self.buffered += data

    def ended(self) -> None:
        if self.buffered:
            self.transport.write(self.buffered)
        super().ended()


class BufferingProxy(Proxy):
    """
    Hands on a response when it is complete. A WebSocket gets through.
    """

    protocol = _BufferingClient


# -- one that does not like silence -----------------------------------------------------------------------------------


class _SilenceClient(_Client):
    delayed: interfaces.IDelayedCall

    def connectionMade(self) -> None:
        self.delayed = self.factory.reactor.callLater(self.factory.silence, self.silent)
        super().connectionMade()

    def pass_(self, data: bytes) -> None:
        self.noise()
        super().pass_(data)

    def answered(self, data: bytes) -> None:
        self.noise()
        super().answered(data)

    def noise(self) -> None:
        if self.delayed.active():
            self.delayed.reset(self.factory.silence)

    def silent(self) -> None:
        # Where this process had no time for long, there may be something to read; the reactor looks for that first.
        self.delayed = self.factory.reactor.callLater(0, self.cut)

    def cut(self) -> None:
        self.factory.cuts += 1
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.delayed.active():
            self.delayed.cancel()
        super().connectionLost(reason)


class SilenceProxy(Proxy):
    """
    Cuts a connection on which nothing was said for some time.

    @ivar silence: the seconds.
    @ivar cuts: how many it has cut.
    """

    protocol = _SilenceClient
    cuts = 0

    def __init__(self, reactor: Any, port: int, silence: float) -> None:
        super().__init__(reactor, port)
        self.silence = silence
