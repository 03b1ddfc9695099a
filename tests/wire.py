# -*- test-case-name: tests.conformance -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Small raw clients for tests, which send what they are told and hide nothing.

Library clients repair requests, merge chunks, answer pings and refuse to send rubbish; a test of a wire protocol needs
the opposite.  L{HTTPClient} writes exactly the bytes asked for and hands back chunks as they were framed on the wire.
L{WebSocketClient} sends any frame, valid or not, and shows every frame that comes.

Every wait is bounded by L{PATIENCE}, and L{HTTPClient.close} leaves no connection behind.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol

from txsockjs.testing.memory import encodeFrame

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PATIENCE",
    "PING",
    "PONG",
    "TEXT",
    "Cut",
    "Frame",
    "HTTPClient",
    "HTTPConnection",
    "Headers",
    "Response",
    "WebSocketClient",
    "closePayload",
    "encodeFrame",
]

#: How long one wait may last, in seconds, before the test is given up.
PATIENCE = 30.0

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

HeaderList = Iterable[tuple[str, str | bytes]]


class Cut(Exception):
    """
    The connection ended before everything that was waited for had come.
    """


class Headers:
    """
    The header fields of a response: several values a name, names in any case.
    """

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self.fields = fields

    def all(self, name: str) -> list[str]:
        """
        Every value of C{name}, in the order of the wire.
        """
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """
        The only value of C{name}, or L{None}; it is an error when there are more.
        """
        values = self.all(name)
        if len(values) > 1:
            raise AssertionError(f"{name} came {len(values)} times: {values!r}")
        return values[0] if values else None

    def tokens(self, name: str) -> list[str]:
        """
        The comma-separated items of all values of C{name}.
        """
        return [item.strip() for value in self.all(name) for item in value.split(",") if item.strip()]

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def __repr__(self) -> str:
        return f"Headers({self.fields!r})"


class _Wire(Protocol):
    """
    A byte stream that is read by waiting for it.

    @ivar lost: why the connection has ended, L{None} while it lives.
    """

    def __init__(self, reactor) -> None:
        self._reactor = reactor
        self._buffer = bytearray()
        self._waiting: list[Deferred] = []
        self.lost = None

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        self._wake()

    def connectionLost(self, reason) -> None:
        self.lost = reason
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    async def _change(self, patience: float | None) -> None:
        deferred: Deferred = Deferred(lambda d: d in self._waiting and self._waiting.remove(d))
        self._waiting.append(deferred)
        await deferred.addTimeout(PATIENCE if patience is None else patience, self._reactor)

    async def _need(self, enough, patience: float | None = None) -> None:
        while not enough():
            if self.lost is not None:
                raise Cut(f"{self.lost.value!r}, with {bytes(self._buffer[:200])!r} unread")
            await self._change(patience)

    @property
    def unread(self) -> bool:
        """
        Whether something has come that was not read.
        """
        return bool(self._buffer)

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def exactly(self, size: int, patience: float | None = None) -> bytes:
        """
        The next C{size} bytes.
        """
        await self._need(lambda: len(self._buffer) >= size, patience)
        return self._take(size)

    async def line(self, patience: float | None = None) -> bytes:
        """
        The next line, without its CRLF.
        """
        await self._need(lambda: b"\r\n" in self._buffer, patience)
        line = self._take(self._buffer.index(b"\r\n"))
        self._take(2)
        return line

    async def some(self, patience: float | None = None) -> bytes:
        """
        Whatever has come and was not read, or C{b""} when the peer has closed.
        """
        while not self._buffer and self.lost is None:
            await self._change(patience)
        return self._take(len(self._buffer))

    async def gone(self, patience: float | None = None) -> None:
        """
        Wait for the end of the connection.
        """
        while self.lost is None:
            await self._change(patience)

    def seconds(self) -> float:
        """
        The time of the reactor.
        """
        return self._reactor.seconds()

    def write(self, data: bytes) -> None:
        """
        Send C{data} as it is.
        """
        self.transport.write(data)

    def finish(self) -> None:
        """
        Close in the orderly way (FIN).
        """
        self.transport.loseConnection()

    def abort(self) -> None:
        """
        Close at once (RST).
        """
        self.transport.abortConnection()


class Response:
    """
    The answer to one request; its head has come, its body may still be coming.

    @ivar chunked: whether the body travels in chunks.
    @ivar bodyless: whether the answer has no body by its nature (204, 304, HEAD, 101).
    """

    def __init__(self, wire: _Wire, version: str, status: int, headers: Headers, bodyless: bool) -> None:
        self.wire = wire
        self.version = version
        self.status = status
        self.headers = headers
        self.chunked = (headers.get("Transfer-Encoding") or "").lower() == "chunked"
        self.bodyless = bodyless
        length = headers.get("Content-Length")
        self.length = None if length is None else int(length)
        self._ended = bodyless

    async def chunk(self, patience: float | None = None) -> bytes | None:
        """
        The next chunk of the body as it is framed on the wire, or L{None} when the body is complete.  A body with a
        Content-Length is one chunk; one that ends with the connection comes in the pieces of the socket.
        """
        if self._ended:
            return None
        if self.chunked:
            size = int((await self.wire.line(patience)).split(b";")[0], 16)
            if size:
                data = await self.wire.exactly(size, patience)
                if await self.wire.exactly(2, patience) != b"\r\n":
                    raise AssertionError("a chunk does not end in CRLF")
                return data
            while await self.wire.line(patience):
                pass
            self._ended = True
            return None
        if self.length is not None:
            self._ended = True
            return await self.wire.exactly(self.length, patience) or None
        data = await self.wire.some(patience)
        if data:
            return data
        self._ended = True
        return None

    async def chunks(self) -> list[bytes]:
        """
        All chunks that are still to come.
        """
        chunks = []
        while True:
            chunk = await self.chunk()
            if chunk is None:
                return chunks
            chunks.append(chunk)

    async def body(self) -> bytes:
        """
        The rest of the body.
        """
        return b"".join(await self.chunks())

    def abort(self) -> None:
        """
        Cut the connection under the response (RST).
        """
        self.wire.abort()

    def finish(self) -> None:
        """
        Close the connection under the response in the orderly way.
        """
        self.wire.finish()


class HTTPConnection(_Wire):
    """
    One connection to an HTTP server, for one request after the other.
    """

    def __init__(self, reactor, host: str, responses: type[Response] = Response) -> None:
        super().__init__(reactor)
        self.host = host
        self._responses = responses

    def send(
        self, method: str, path: str, headers: HeaderList = (), body: bytes | None = None, version: str = "1.1"
    ) -> None:
        """
        Write a request: a C{Host}, the C{headers} as they stand, a C{Content-Length} if there is a C{body} (also an
        empty one) and none of the headers says how long it is; nothing else.
        """
        fields = [("Host", self.host), *headers]
        names = {name.lower() for name, _ in fields}
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            fields.append(("Content-Length", str(len(body))))
        head = f"{method} {path} HTTP/{version}\r\n".encode("latin-1")
        for name, value in fields:
            raw = value if isinstance(value, bytes) else value.encode("latin-1")
            head += name.encode("latin-1") + b": " + raw + b"\r\n"
        self.write(head + b"\r\n" + (body or b""))

    async def response(self, method: str = "GET") -> Response:
        """
        Wait for the head of the answer to a request of C{method}.
        """
        version, status = (await self.line()).decode("latin-1").split(" ", 2)[:2]
        fields = []
        while True:
            line = (await self.line()).decode("latin-1")
            if not line:
                break
            name, value = line.split(":", 1)
            fields.append((name, value.strip()))
        bodyless = method == "HEAD" or status in ("101", "204", "304")
        return self._responses(self, version, int(status), Headers(fields), bodyless)

    async def request(
        self, method: str, path: str, headers: HeaderList = (), body: bytes | None = None, version: str = "1.1"
    ) -> Response:
        """
        Send a request and wait for the head of its answer.
        """
        self.send(method, path, headers, body, version)
        return await self.response(method)


class HTTPClient:
    """
    Makes connections to the server of one URL, and ends them.

    @ivar path: the path of the URL without a slash at the end; it is put before every path that is asked for.
    """

    def __init__(self, reactor, url: str, responses: type[Response] = Response) -> None:
        """
        @param responses: what answers are read with.
        """
        self._responses = responses
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not a URL of a web server: {url!r}")
        self._reactor = reactor
        self.host = parts.netloc.rpartition("@")[2]
        self.path = parts.path.rstrip("/")
        secure = parts.scheme == "https"
        self._address = parts.hostname, parts.port or (443 if secure else 80)
        self._endpoint = TCP4ClientEndpoint(reactor, *self._address)
        if secure:
            # Imported here so that plain HTTP needs no OpenSSL.
            from twisted.internet.ssl import optionsForClientTLS

            self._endpoint = wrapClientTLS(optionsForClientTLS(parts.hostname), self._endpoint)
        self._wires: list[_Wire] = []

    def comeFrom(self, address: str) -> None:
        """
        Connect from some address, without TLS.
        """
        self._endpoint = TCP4ClientEndpoint(self._reactor, *self._address, bindAddress=(address, 0))

    async def connect(self) -> HTTPConnection:
        """
        A new connection, on which nothing was sent.
        """
        factory = Factory.forProtocol(lambda: HTTPConnection(self._reactor, self.host, self._responses))
        wire = await self._endpoint.connect(factory).addTimeout(PATIENCE, self._reactor)
        self._wires.append(wire)
        return wire

    async def request(
        self, method: str, path: str, headers: HeaderList = (), body: bytes | None = None, version: str = "1.1"
    ) -> Response:
        """
        Send one request on a connection of its own and wait for the head of the answer.
        """
        wire = await self.connect()
        return await wire.request(method, self.path + path, headers, body, version)

    async def fetch(
        self, method: str, path: str, headers: HeaderList = (), body: bytes | None = None, version: str = "1.1"
    ) -> tuple[Response, bytes]:
        """
        Send one request, wait for the whole answer and close the connection.
        """
        response = await self.request(method, path, headers, body, version)
        content = await response.body()
        response.finish()
        return response, content

    async def websocket(self, path: str, headers: HeaderList = ()) -> WebSocketClient:
        """
        A WebSocket on C{path}; it is an error when the server refuses.
        """
        wire = await self.connect()
        key = base64.b64encode(os.urandom(16))
        response = await wire.request("GET", self.path + path, [*upgradeHeaders(key), *headers])
        if response.status != 101:
            raise AssertionError(f"the upgrade was refused with {response.status}")
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode("ascii")
        if response.headers.get("Sec-WebSocket-Accept") != accept:
            raise AssertionError(f"wrong Sec-WebSocket-Accept in {response.headers!r}")
        return WebSocketClient(wire, response)

    async def close(self) -> None:
        """
        Cut all connections and wait until they are gone.
        """
        wires, self._wires = self._wires, []
        for wire in wires:
            if wire.lost is None:
                wire.abort()
        await gatherResults([Deferred.fromCoroutine(wire.gone()) for wire in wires])


def upgradeHeaders(key: bytes = b"dGhlIHNhbXBsZSBub25jZQ==") -> list[tuple[str, str | bytes]]:
    """
    The headers with which a client asks for a WebSocket.
    """
    return [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
    ]


class Frame(NamedTuple):
    """
    One WebSocket frame as it came.
    """

    fin: bool
    rsv: int
    opcode: int
    payload: bytes

    @property
    def closeCode(self) -> int | None:
        """
        The code in a close frame, if there is one.
        """
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None

    @property
    def closeReason(self) -> str:
        """
        The reason in a close frame.
        """
        return self.payload[2:].decode("utf-8")


def closePayload(code: int, reason: str = "") -> bytes:
    """
    What a close frame carries.
    """
    return struct.pack("!H", code) + reason.encode("utf-8")


class WebSocketClient:
    """
    An open WebSocket.

    @ivar response: the answer to the upgrade.
    """

    def __init__(self, wire: _Wire, response: Response) -> None:
        self.wire = wire
        self.response = response

    def write(self, data: bytes) -> None:
        """
        Send raw bytes, such as half a frame.
        """
        self.wire.write(data)

    def sendFrame(self, opcode: int, payload: bytes = b"", fin: bool = True, mask: bool = True, rsv: int = 0) -> None:
        """
        Send one frame, be it allowed or not.
        """
        self.write(encodeFrame(opcode, payload, fin, mask, rsv))

    def sendText(self, text: str) -> None:
        """
        Send a text message in one frame.
        """
        self.sendFrame(TEXT, text.encode("utf-8"))

    async def frame(self, patience: float | None = None) -> Frame:
        """
        The next frame, whatever it is.
        """
        first, second = await self.wire.exactly(2, patience)
        if second & 0x80:
            raise AssertionError("a server must not mask its frames")
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.wire.exactly(2, patience))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.wire.exactly(8, patience))
        payload = await self.wire.exactly(size, patience)
        return Frame(bool(first & 0x80), first >> 4 & 7, first & 0xF, payload)

    async def message(self, patience: float | None = None) -> str | Frame:
        """
        The next text message, put together from its fragments, or the close frame that came instead.  Pings are
        answered and pongs dropped on the way, and do not make the wait longer.
        """
        parts: list[bytes] = []
        end = self.wire.seconds() + (PATIENCE if patience is None else patience)
        while True:
            frame = await self.frame(max(0.0, end - self.wire.seconds()))
            if frame.opcode == CLOSE:
                return frame
            if frame.opcode == PING:
                self.sendFrame(PONG, frame.payload)
            elif frame.opcode in (TEXT, CONTINUATION):
                if frame.rsv or (frame.opcode == CONTINUATION) != bool(parts):
                    raise AssertionError(f"an unexpected frame: {frame!r}")
                parts.append(frame.payload)
                if frame.fin:
                    return b"".join(parts).decode("utf-8")
            elif frame.opcode != PONG:
                raise AssertionError(f"an unexpected frame: {frame!r}")

    async def ending(self) -> Frame | None:
        """
        Wait until the server has ended the connection, passing over data that was on its way.

        @return: the close frame, or L{None} if the connection went without one.
        """
        found = None
        while True:
            try:
                frame = await self.frame()
            except Cut:
                return found
            if frame.opcode == CLOSE and found is None:
                found = frame
                # The answer that the closing handshake asks for; the server hangs up after it.
                self.sendFrame(CLOSE, frame.payload[:2])

    def abort(self) -> None:
        """
        Cut the connection (RST).
        """
        self.wire.abort()

    def finish(self) -> None:
        """
        Close the connection (FIN) without a closing handshake.
        """
        self.wire.finish()

    @property
    def cleanly(self) -> bool:
        """
        Whether the connection ended with a FIN.
        """
        return self.wire.lost is not None and self.wire.lost.check(ConnectionDone) is not None
