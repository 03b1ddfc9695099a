# -*- test-case-name: tests.test_resource,tests.test_transports,tests.test_websocket -*-
"""
What the tests of the HTTP side have in common: a site in memory, under a clock that stands still.

The site, its channels and its requests are those of C{twisted.web}; only the sockets and the time are not real.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import implementer

from tests.wire import encodeFrame
from txsockjs.interfaces import ISockJSProtocol
from txsockjs.resource import SockJSResource

__all__ = [
    "KEY",
    "UPGRADE",
    "Answer",
    "Apps",
    "Frame",
    "MemoryConnection",
    "MemoryTransport",
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


class MemoryTransport(StringTransport):
    """
    A transport that loses its connection a turn after it was asked to, and can be full.

    As with TLS, an orderly close waits until no producer is registered any more and all is written.
    """

    def __init__(self, clock: Clock, host: IAddress, peer: IAddress) -> None:
        super().__init__(host, peer, lenient=True)
        self._clock = clock
        self.blocked = False
        self.gone = False
        self.aborted = False
        self.client: MemoryConnection

    def loseConnection(self) -> None:
        self.disconnecting = True
        self._closeWhenDone()

    def abortConnection(self) -> None:
        self.aborted = self.disconnecting = True
        self._clock.callLater(0, self.client.lose, ConnectionAborted())

    def unregisterProducer(self) -> None:
        self.producer = None
        if self.disconnecting:
            self._closeWhenDone()

    def _closeWhenDone(self) -> None:
        if self.producer is None and not self.blocked and not self.aborted:
            self._clock.callLater(0, self.client.lose, ConnectionDone())

    def block(self) -> None:
        """
        Be full.
        """
        self.blocked = True
        if self.producer is not None:
            self.producer.pauseProducing()

    def unblock(self) -> None:
        """
        Have room again.
        """
        self.blocked = False
        if self.producer is not None:
            self.producer.resumeProducing()
        elif self.disconnecting:
            self._closeWhenDone()


class Answer(NamedTuple):
    """
    What came so far of one answer.

    @ivar chunks: the chunks of a chunked body, or the whole of another one.
    @ivar ended: whether it is complete.
    """

    version: bytes
    code: int
    headers: Headers
    chunks: list[bytes]
    ended: bool

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        """
        The value of a header, which must not be there twice.
        """
        values = self.headers.getRawHeaders(name)
        if values is None:
            return None
        (value,) = values
        return value


class Frame(NamedTuple):
    """
    A frame of a WebSocket.
    """

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        return struct.unpack("!H", self.payload[:2])[0]


def chunked(*chunks: bytes) -> bytes:
    """
    A chunked body.
    """
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


class MemoryConnection:
    """
    A client's connection. Nothing here waits: what the server has to say it has said already.
    """

    def __init__(self, site: IProtocolFactory, clock: Clock, peer: IAddress | None = None) -> None:
        host = IPv4Address("TCP", "127.0.0.1", 8081)
        self.transport = MemoryTransport(clock, host, peer or IPv4Address("TCP", "127.0.0.1", 50000))
        self.transport.client = self
        self._methods: list[str] = []
        self._clock = clock
        self.protocol = site.buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """
        Let bytes arrive at the server.
        """
        if not self.transport.gone:
            self.protocol.dataReceived(data)
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
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        number = len(self._methods)
        self._methods.append(method)
        self.send(f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode("latin-1") + (body or b""))
        nothing = Answer(b"", 0, Headers(), [], False)
        return lambda: [*self.answers(), *[nothing] * len(self._methods)][number]

    def answers(self) -> list[Answer]:
        """
        Everything that has come.
        """
        rest, found = self.transport.value(), []
        for method in self._methods:
            if b"\r\n\r\n" not in rest:
                break
            answer, rest = self._parse(rest, method)
            found.append(answer)
        return found

    def _parse(self, data: bytes, method: str) -> tuple[Answer, bytes]:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        version, code = first.split(b" ")[:2]
        headers = Headers()
        for line in lines:
            name, _, value = line.partition(b": ")
            headers.addRawHeader(name, value)
        start = version, int(code), _Texts(headers)
        length = headers.getRawHeaders(b"content-length")
        if method == "HEAD" or int(code) in (101, 204, 304):
            return Answer(*start, [], True), rest
        if headers.getRawHeaders(b"transfer-encoding") == [b"chunked"]:
            return self._parseChunks(start, rest)
        if length is None:
            return Answer(*start, [rest], self.transport.gone), b""
        size = int(length[0])
        return Answer(*start, [rest[:size]], len(rest) >= size), rest[size:]

    def _parseChunks(self, start: tuple[bytes, int, Headers], rest: bytes) -> tuple[Answer, bytes]:
        chunks = []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            chunk, rest = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
            if not chunk:
                return Answer(*start, chunks, True), rest
            chunks.append(chunk)
        return Answer(*start, chunks, False), b""

    def lose(self, reason: Exception | None = None) -> None:
        """
        Let the connection break, unless it has.
        """
        if not self.transport.gone:
            self.transport.gone = True
            self.transport.producer = None
            self.protocol.connectionLost(Failure(reason or ConnectionLost()))
            self._clock.advance(0)

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

    def sendFrame(self, opcode: int, payload: bytes = b"", fin: bool = True, mask: bool = True) -> None:
        """
        Send a frame of a WebSocket.
        """
        self.send(encodeFrame(opcode, payload, fin, mask))

    def frames(self) -> list[Frame]:
        """
        All frames since the handshake.
        """
        rest, found = self.transport.value().partition(b"\r\n\r\n")[2], []
        while rest:
            size, at = rest[1], 2
            if size == 126:
                (size,), at = struct.unpack("!H", rest[2:4]), 4
            elif size == 127:
                (size,), at = struct.unpack("!Q", rest[2:10]), 10
            found.append(Frame(rest[0] & 15, rest[at : at + size]))
            rest = rest[at + size :]
        return found

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


class _Texts(Headers):
    """
    Headers whose values can be asked for by either kind of name, and are text.
    """

    def __init__(self, headers: Headers) -> None:
        super().__init__()
        for name, values in headers.getAllRawHeaders():
            self.setRawHeaders(name, values)

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:  # type: ignore[override]
        values = super().getRawHeaders(name.encode("ascii") if isinstance(name, str) else name)
        return default if values is None else [value.decode("latin-1") for value in values]


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
        self.clock.advance(0)
        self.assertEqual([str(call) for call in self.clock.getDelayedCalls()], [])

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
