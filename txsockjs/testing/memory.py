# -*- test-case-name: tests.test_testing -*-
"""
Connections in memory, down to the bytes: the server's end behaves as Twisted's TCP does, and the client's end speaks
HTTP/1.1 and WebSocket just well enough to say what a test wants to be said.

This is what L{txsockjs.testing.connect} is built on. It is public for tests that look at HTTP itself.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, IProtocolFactory, IPushProducer, ITransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from txsockjs.testing.turns import SteppedClock

__all__ = ["Answer", "Frame", "FrameReader", "MemoryConnection", "MemoryTransport", "encodeFrame"]

_READ_SIZE = 65536
"""How much a transport of Twisted's reads at a time."""


# -- frames of a WebSocket --------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """
    A frame of a WebSocket.
    """

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """
        The code of a close frame; 1005 if it has none.
        """
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else 1005

    @property
    def reason(self) -> str:
        """
        The reason of a close frame.
        """
        return self.payload[2:].decode("utf-8")


def encodeFrame(opcode: int, payload: bytes = b"", fin: bool = True, mask: bool = True, rsv: int = 0) -> bytes:
    """
    @return: the bytes of one WebSocket frame, be it allowed or not.
    """
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    flag = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head += bytes([flag | size])
    elif size < 1 << 16:
        head += bytes([flag | 126]) + struct.pack("!H", size)
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    stream = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return head + key + masked.to_bytes(size, "big")


class FrameReader:
    """
    Finds the frames in what a server sends.
    """

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Frame]:
        """
        @return: the frames that are whole now.
        """
        self._buffer += data
        found = []
        while (frame := self._next()) is not None:
            found.append(frame)
        return found

    def _next(self) -> Frame | None:
        data = self._buffer
        if len(data) < 2:
            return None
        size, at = data[1], 2
        if size > 125:
            at, form = (4, "!H") if size == 126 else (10, "!Q")
            if len(data) < at:
                return None
            (size,) = struct.unpack(form, data[2:at])
        if len(data) < at + size:
            return None
        self._buffer = data[at + size :]
        return Frame(data[0] & 15, data[at : at + size])


# -- answers of HTTP --------------------------------------------------------------------------------------------------


class Answer:
    """
    What has come of the answer to a request; it grows.

    @ivar method: the method of the request.
    @ivar version: such as C{b"HTTP/1.1"}; empty before the head has come.
    @ivar code: the status; 0 before the head has come.
    @ivar headers: its headers.
    @ivar chunks: the chunks of a chunked body, or the whole of another one.
    @ivar ended: whether it is complete.
    @ivar isChunked: whether its body comes in chunks.
    """

    def __init__(self, method: str = "GET") -> None:
        self.method = method
        self.version = b""
        self.code = 0
        self.headers = Headers()
        self.chunks: list[bytes] = []
        self.ended = False
        self._left: int | None = None  # how many bytes of the body are missing, where that is known
        self.isChunked = False

    def __repr__(self) -> str:
        return f"<Answer to {self.method}: {self.code} {self.body!r}{'' if self.ended else ' ...'}>"

    @property
    def body(self) -> bytes:
        """
        What has come of the body.
        """
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        """
        @return: the value of a header.

        @raise ValueError: when it is there more than once.
        """
        values = self.headers.getRawHeaders(name)
        if values is None:
            return None
        (value,) = values
        return value

    def snapshot(self) -> Answer:
        """
        @return: a copy, which does not grow.
        """
        twin = copy(self)
        twin.chunks = list(self.chunks)
        return twin

    def feed(self, data: bytes) -> bytes:
        """
        Take what belongs to this answer.

        @return: the rest, which is not understood yet if the answer has not ended.
        """
        while not self.code:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                return head
            self._begin(head)
        if self.ended:
            return data
        if self.isChunked:
            return self._feedChunks(data)
        taken = data if self._left is None else data[: self._left]
        self.chunks = [self.body + taken]
        if self._left is not None:
            self._left -= len(taken)
            self.ended = not self._left
        return data[len(taken) :]

    def cut(self) -> None:
        """
        There is no more to come. That is a proper end only for a body whose length was not told.
        """
        if self.code and not self.isChunked and self._left is None:
            self.ended = True

    def _begin(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        version, number = first.split(b" ")[:2]
        code = int(number)
        if 100 <= code < 200 and code != 101:
            return  # RFC 9110 section 15.2: an interim one, which the answer follows
        self.version, self.code = version, code
        for line in lines:
            name, _, value = line.partition(b": ")
            self.headers.addRawHeader(name, value)
        length = self.header("content-length")
        if self.method == "HEAD" or self.code in (101, 204, 304) or length == "0":
            self.ended = True
        elif self.header("transfer-encoding") == "chunked":
            self.isChunked = True
        elif length is not None:
            self._left = int(length)

    def _feedChunks(self, data: bytes) -> bytes:
        while not self.ended:
            size, end, rest = data.partition(b"\r\n")
            length = int(size, 16) if end else 0
            if not end or len(rest) < length + 2:
                break
            if length:
                self.chunks.append(rest[:length])
            self.ended = not length
            data = rest[length + 2 :]
        return data


# -- connections ------------------------------------------------------------------------------------------------------


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """
    The server's end of a connection. It closes a turn after it was asked to, and when everything is written and no
    producer is registered; it pauses its producer while it is full, and holds back what comes while it is paused.

    It is not built on Twisted's C{StringTransport}, which would import C{twisted.trial} and do little of that.

    @ivar disconnecting: whether the server has asked for its end.
    @ivar gone: whether the connection is over.
    @ivar aborted: whether the server has broken it.
    @ivar producer: what the server has registered.
    @ivar producerState: C{"producing"}, or C{"paused"} while the server does not read.
    """

    def __init__(self, clock: SteppedClock, host: IAddress, peer: IAddress, client: MemoryConnection) -> None:
        self.disconnecting = False
        self.gone = False
        self.aborted = False
        self.producer: Any = None
        self.producerState = "producing"
        self._streaming = False
        self._clock = clock
        self._host = host
        self._peer = peer
        self._client = client
        self._written: list[bytes] = []
        self._room: int | None = None  # how much is held for a client that takes nothing; None while it takes all
        self._held = b""
        self._producerPaused = False
        self._backlog: list[bytes] = []  # what came while the server did not read

    def value(self) -> bytes:
        """
        @return: all that the server has written.
        """
        return b"".join(self._written)

    @property
    def isFull(self) -> bool:
        """
        Whether more is held than there is room for.
        """
        return self._room is not None and len(self._held) >= self._room

    @property
    def isHolding(self) -> bool:
        """
        Whether something is held for the client.
        """
        return bool(self._held)

    # -- what the server does -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """
        Send, unless the connection is over.
        """
        self._written.append(data)
        if self.gone or self.aborted:
            return
        if self._room is None:
            self._client.dataArrived(data)
        else:
            self._held += data
            self._pauseProducer()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Send several pieces.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Close in an orderly way.
        """
        self.disconnecting = True
        self._closeWhenDone()

    def abortConnection(self) -> None:
        """
        Break the connection.
        """
        self.aborted = self.disconnecting = True
        self.discard()
        self._clock.callLater(0, self._client.over, ConnectionAborted())

    def getPeer(self) -> IAddress:
        """
        @return: the address of the client.
        """
        return self._peer

    def getHost(self) -> IAddress:
        """
        @return: the address of the server.
        """
        return self._host

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer.registerProducer}.

        @raise RuntimeError: when there is one.
        """
        if self.producer is not None:
            raise RuntimeError(f"can't register {producer!r}: {self.producer!r} is registered")
        self.producer = producer
        self._streaming = streaming
        self._producerPaused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer.unregisterProducer}.
        """
        self.producer = None
        if self.disconnecting:
            self._closeWhenDone()

    def pauseProducing(self) -> None:
        """
        Read no more for now.
        """
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        """
        Read again, from the next turn on.
        """
        self.producerState = "producing"
        if self._backlog:
            self._clock.callLater(0, self._read)

    def stopProducing(self) -> None:
        """
        Close.
        """
        self.loseConnection()

    # -- what the client does -----------------------------------------------------------------------------------------

    def deliver(self, data: bytes) -> None:
        """
        Let bytes arrive at the server.
        """
        self._backlog += [data[at : at + _READ_SIZE] for at in range(0, len(data), _READ_SIZE)]
        self._read()

    def block(self, room: int = 0) -> None:
        """
        Take nothing more of what the server sends.

        @param room: how many bytes find room on the way, before the server notices.
        """
        self._room = room
        self._pauseProducer()

    def discard(self) -> None:
        """
        Forget what is held for the client.
        """
        self._held = b""

    def unblock(self) -> None:
        """
        Take what has been held, and all that follows.
        """
        self._room = None
        held, self._held = self._held, b""
        if held:
            self._client.dataArrived(held)
        if self.gone:
            return
        if self.producer is not None and (self._producerPaused or not self._streaming):
            self._producerPaused = False
            self.producer.resumeProducing()
        elif self.disconnecting:
            self._closeWhenDone()

    # -- how it is done -----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        while self._backlog and self.producerState == "producing" and not self.gone and not self.aborted:
            self._client.protocol.dataReceived(self._backlog.pop(0))

    def _pauseProducer(self) -> None:
        if self.producer is not None and self._streaming and self.isFull and not self._producerPaused:
            self._producerPaused = True
            self.producer.pauseProducing()

    def _closeWhenDone(self) -> None:
        if self.producer is None and not self.isFull and not self.aborted:
            self._clock.callLater(0, self._client.over, ConnectionDone())


class MemoryConnection:
    """
    A client's connection.

    @ivar transport: the server's end.
    @ivar protocol: what the server's factory has made for it.
    @ivar changed: called when something has come, or the connection is over.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        clock: SteppedClock,
        peer: IAddress | None = None,
        host: IAddress | None = None,
    ) -> None:
        """
        @param factory: the server: a L{twisted.web.server.Site} for instance.

        @param clock: where time comes from.

        @param peer: the address of the client; by default one of the loopback interface.

        @param host: the address of the server; likewise.

        @raise ConnectionRefusedError: when the factory makes no protocol.
        """
        self.changed: Callable[[], None] = _nothing
        self._answers: list[Answer] = []
        self._open: deque[Answer] = deque()  # those that have not ended
        self._frames: list[Frame] = []
        self._reader: FrameReader | None = None
        self._buffer = b""
        client = peer or IPv4Address("TCP", "127.0.0.1", 50000)
        self.transport = MemoryTransport(clock, host or IPv4Address("TCP", "127.0.0.1", 80), client, self)
        protocol: Any = factory.buildProtocol(client)
        if protocol is None:
            raise ConnectionRefusedError(f"{factory!r} has made no protocol for {client!r}")
        self.protocol = protocol
        protocol.makeConnection(self.transport)

    # -- what the client does -----------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """
        Let bytes arrive at the server, unless the connection is over.
        """
        if not self.transport.gone:
            self.transport.deliver(data)

    def request(
        self, method: str, url: str, headers: dict[str, str], body: bytes = b"", version: str = "1.1"
    ) -> Answer:
        """
        Send a request.

        @param headers: all of them.

        @return: its answer, which grows as it comes.
        """
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = self.expect(method)
        self.send(f"{method} {url} HTTP/{version}\r\n{head}\r\n".encode("latin-1") + body)
        return answer

    def expect(self, method: str) -> Answer:
        """
        Be ready for the answer to a request that L{send} is about to send, as bytes.

        @param method: that of the request.

        @return: its answer, which grows as it comes.
        """
        answer = Answer(method)
        self._answers.append(answer)
        self._open.append(answer)
        return answer

    def sendFrame(self, opcode: int, payload: bytes = b"", fin: bool = True, mask: bool = True) -> None:
        """
        Send a frame of a WebSocket.
        """
        self.send(encodeFrame(opcode, payload, fin, mask))

    def lose(self, reason: Exception | None = None) -> None:
        """
        End the connection, unless it is over; what was held for the client is gone.

        @param reason: what the server is told; that it broke, by default.
        """
        self.transport.discard()
        self.over(reason or ConnectionLost())

    @property
    def isIdle(self) -> bool:
        """
        Whether it is open for another request.
        """
        return not (self._open or self.transport.disconnecting or self.transport.gone or self._reader)

    def answers(self) -> list[Answer]:
        """
        @return: the answers that have begun to come.
        """
        return [answer for answer in self._answers if answer.code]

    def frames(self, start: int = 0) -> list[Frame]:
        """
        @param start: how many to leave out.

        @return: the frames that have come, of the WebSocket that the connection has become.
        """
        return self._frames[start:]

    # -- what comes ---------------------------------------------------------------------------------------------------

    def dataArrived(self, data: bytes) -> None:
        """
        Bytes came.
        """
        if self._reader is not None:
            self._frames += self._reader.feed(data)
        else:
            self._buffer += data
            while self._buffer and self._open:
                answer = self._open[0]
                self._buffer = answer.feed(self._buffer)
                if not answer.ended:
                    break
                self._open.popleft()
                if answer.code == 101:
                    self._reader = FrameReader()
                    self._frames += self._reader.feed(self._buffer)
                    break
        if self.transport.gone:
            self._end()
        else:
            self.changed()

    def over(self, reason: Exception) -> None:
        """
        The connection ends, unless it has.
        """
        transport = self.transport
        if transport.gone:
            return
        transport.gone = True
        producer, transport.producer = transport.producer, None
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(Failure(reason))
        if not transport.isHolding:
            self._end()

    def _end(self) -> None:
        for answer in self._open:
            answer.cut()
        self.changed()


def _nothing() -> None:
    """
    Nobody is interested.
    """
