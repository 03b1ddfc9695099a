# -*- test-case-name: tests.test_resource,tests.test_transports,tests.test_websocket -*-
"""
What the tests of the HTTP side have in common: a site in memory, under a clock that stands still.

The site, its channels and its requests are those of C{twisted.web}; only the sockets and the time are not real.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import implementer

import txsockjs.testing.memory
from txsockjs.interfaces import ISockJSProtocol
from txsockjs.resource import SockJSResource
from txsockjs.testing import Client, connect, finish
from txsockjs.testing.memory import Answer, Frame

__all__ = [
    "KEY",
    "UPGRADE",
    "Apps",
    "MemoryConnection",
    "Recorder",
    "SiteCase",
    "TextEcho",
    "chunked",
]

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
"""A key of an opening handshake; the accept value that belongs to it stands in RFC 6455 section 1.3."""

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY.decode("ascii"),
}


# -- applications ---------------------------------------------------------------------------------------------------


class Recorder(Protocol):
    """
    Writes down what it sees.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost: list[Failure] = []
        self.made = 0

    def connectionMade(self) -> None:
        self.made += 1

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.lost.append(reason)


@implementer(ISockJSProtocol)
class TextEcho(Recorder):
    """
    Sends back what it gets, as text.
    """

    def messageReceived(self, message: str) -> None:
        self.transport.write(message)


class Apps(Factory):
    """
    Remembers the protocols that it has built.

    @ivar refuse: whether to build none any more.
    """

    refuse = False
    noisy = False

    def __init__(self, protocol: Callable[[], Protocol] = Recorder) -> None:
        self.protocol = protocol
        self.built: list[Any] = []
        self.addresses: list[IAddress] = []

    def buildProtocol(self, addr: IAddress) -> Protocol | None:
        self.addresses.append(addr)
        if self.refuse:
            return None
        protocol = self.protocol()
        protocol.factory = self
        self.built.append(protocol)
        return protocol

    @property
    def last(self) -> Any:
        """
        The youngest protocol.
        """
        return self.built[-1]


# -- connections ----------------------------------------------------------------------------------------------------


def chunked(*chunks: bytes) -> bytes:
    """
    A chunked body.
    """
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


class MemoryConnection(txsockjs.testing.memory.MemoryConnection):
    """
    A client's connection. Nothing here waits: what the server has to say it has said already.
    """

    def __init__(self, site: IProtocolFactory, clock: Clock, peer: IAddress | None = None) -> None:
        self._clock = clock
        super().__init__(site, clock, peer, IPv4Address("TCP", "127.0.0.1", 8081))

    def send(self, data: bytes) -> None:
        """
        Let bytes arrive at the server.
        """
        super().send(data)
        self._clock.advance(0)

    def lose(self, reason: Exception | None = None) -> None:
        """
        Let the connection break, unless it has.
        """
        super().lose(reason)
        self._clock.advance(0)

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        version: str = "1.1",
    ) -> Callable[[], Answer]:
        """
        Send a request.

        @return: gives what has come of its answer by the time it is called.
        """
        fields = {"Host": "localhost", **(headers or {})}
        if body is not None and "Transfer-Encoding" not in fields:
            fields["Content-Length"] = str(len(body))
        answer = self.request(method, path, fields, body or b"", version)
        return answer.snapshot

    # -- WebSocket ----------------------------------------------------------------------------------------------------

    def upgrade(self, path: str, headers: dict[str, str] | None = None) -> Callable[[], Answer]:
        """
        Send an opening handshake.
        """
        return self.ask("GET", path, {**UPGRADE, **(headers or {})})

    def sendText(self, text: str) -> None:
        """
        Send a text message.
        """
        self.sendFrame(1, text.encode("utf-8"))

    def texts(self) -> list[str]:
        """
        The payloads of the text frames.
        """
        return [frame.payload.decode("utf-8") for frame in self.frames() if frame.opcode == 1]

    def closed(self) -> Frame | None:
        """
        The close frame, if there is one; it must be the last frame.
        """
        frames = self.frames()
        places = [at for at, frame in enumerate(frames) if frame.opcode == 8]
        if not places:
            return None
        if places != [len(frames) - 1]:
            raise AssertionError(f"something follows the close frame: {frames!r}")
        return frames[-1]


# -- test cases -----------------------------------------------------------------------------------------------------


class SiteCase(SynchronousTestCase):
    """
    Tests of one service at C{/} of a site. When a test is over, no delayed call may be left.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.connections: list[MemoryConnection] = []
        self.resources: list[SockJSResource] = []

    def tearDown(self) -> None:
        for connection in self.connections:
            connection.lose()
        for resource in self.resources:
            resource.stop()
        finish(self.clock)

    def serve(self, factory: IProtocolFactory | None = None, **settings: Any) -> Apps:
        """
        Make the service.

        @return: its factory.
        """
        self.apps: Any = Apps() if factory is None else factory
        self.resource = SockJSResource(self.apps, reactor=self.clock, **settings)
        self.resources.append(self.resource)
        self.serveTree(self.resource)
        return self.apps

    def serveTree(self, root: IResource) -> None:
        """
        Serve any resource.
        """
        self.site: IProtocolFactory = Site(root, reactor=self.clock)

    def client(self, transport: str = "websocket", **settings: Any) -> Client:
        """
        Connect a client to the service. See L{txsockjs.testing.connect}.
        """
        return connect(self.resource, transport=transport, **settings)

    def connect(self, peer: IAddress | None = None) -> MemoryConnection:
        """
        Open a connection.
        """
        connection = MemoryConnection(self.site, self.clock, peer)
        self.connections.append(connection)
        return connection

    def ask(self, method: str, path: str, *args: Any, **kwargs: Any) -> Callable[[], Answer]:
        """
        Send a request on a connection of its own. See L{MemoryConnection.ask}.
        """
        return self.connect().ask(method, path, *args, **kwargs)

    def answerTo(self, method: str, path: str, *args: Any, **kwargs: Any) -> Answer:
        """
        Send a request that is answered at once.
        """
        answer = self.ask(method, path, *args, **kwargs)()
        self.assertTrue(answer.ended, f"{method} {path} is not answered: {answer!r}")
        return answer

    def post(self, path: str, *messages: str) -> Answer:
        """
        Send messages by C{xhr_send}.
        """
        return self.answerTo("POST", path, body=json.dumps(messages).encode("ascii"))
