# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The clients: a SockJS session by each transport.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Any, Protocol

from benchmarks.load.http import END, HEAD, UNTIL_CLOSED, Responses
from benchmarks.load.loop import Connection, Loop, newPath
from benchmarks.load.messages import Messages, Receiver, maskedFrame

__all__ = ["TRANSPORTS", "HTTPSession", "IEvents", "Session", "WebSocketSession"]

_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_MASK = b"\x37\xfa\x21\x3d"


class IEvents(Protocol):
    """
    What a session tells.
    """

    def opened(self, session: Session) -> None:
        """It is open."""

    def received(self, session: Session, content: bytes) -> None:
        """A frame of messages has come; see L{Receiver.take}."""

    def progress(self, session: Session) -> None:
        """It may be possible to send now."""

    def ended(self, session: Session, reason: str) -> None:
        """It is gone; the reason is C{""} when that was our wish."""


class Session:
    """
    One session.

    @ivar receiver: checks what comes; set by who reads it.

    @ivar since: when opening or closing began.
    """

    raw = False

    def __init__(self, number: int, loop: Loop, address: tuple[str, int], prefix: str, events: IEvents) -> None:
        self.number = number
        self.isOpen = self.wasOpen = self.isClosing = self.gone = False
        self.since = 0.0
        self.receiver: Receiver | None = None
        self.sent: Messages | None = None
        self.place = 0
        self.frames = 0
        self._loop = loop
        self._address = address
        self._prefix = prefix
        self._events = events

    def open(self) -> None:
        """
        Begin to open.
        """
        raise NotImplementedError

    def send(self, count: int) -> None:
        """
        Send the next messages of C{sent}.
        """
        raise NotImplementedError

    def close(self) -> None:
        """
        Begin to close.
        """
        raise NotImplementedError

    def fail(self, reason: str) -> None:
        """
        End at once.
        """
        if not self.gone:
            self.gone = True
            self.isOpen = False
            self._drop()
            self._events.ended(self, reason)

    def _drop(self) -> None:
        raise NotImplementedError

    def _frame(self, frame: bytes) -> None:
        kind = frame[:1]
        if kind == b"a" and self.isOpen:
            self.frames += 1
            self._events.received(self, frame[3:-2])
        elif frame == b"o" and not self.wasOpen:
            self._opened()
        elif frame != b"h" and not self.isClosing:
            self.fail(f"unexpected frame: {frame[:100]!r}")

    def _opened(self) -> None:
        self.isOpen = self.wasOpen = True
        self._events.opened(self)


class WebSocketSession(Session):
    """
    A session in a WebSocket.
    """

    _connection: Connection

    def open(self) -> None:
        """
        Ask for the upgrade.
        """
        path = self._prefix + ("" if self.raw else newPath())
        self._rest = b""
        self._fragments = b""
        self._upgraded = False
        self._connection = Connection(self._loop, self._address, self._data, self._lost)
        self._connection.write(
            b"GET %s/websocket HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
            % (path.encode(), self._address[0].encode(), self._address[1], _KEY)
        )

    def send(self, count: int) -> None:
        """
        Send each message in a frame of its own, all in one go.
        """
        assert self.sent is not None
        if not self.place and not hasattr(self, "_ring"):
            self._ring, self._length = self.sent.frames(self.raw)
        start = self.place * self._length
        self.place = (self.place + count) % self.sent.period
        self._connection.write(self._ring[start : start + count * self._length])

    def close(self) -> None:
        """
        Begin the closing handshake.
        """
        self.isClosing = True
        self.isOpen = False
        self._connection.write(maskedFrame(0x8, b"\x03\xe8", _MASK))

    def _drop(self) -> None:
        self._connection.close()

    def _lost(self, reason: str) -> None:
        self.fail("" if self.isClosing else reason or "closed by the server")

    def _data(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if not self._upgraded:
            data = self._handshake(data)
        position, end = 0, len(data)
        while end - position >= 2:
            length = data[position + 1]
            start = position + 2
            if length == 126:
                start += 2
                length = int.from_bytes(data[position + 2 : start], "big")
            elif length == 127:
                start += 8
                length = int.from_bytes(data[position + 2 : start], "big")
            if start + length > end:
                break
            if data[position] == 0x81:
                self._message(data[start : start + length])
            else:
                self._other(data[position], data[start : start + length])
            position = start + length
        self._rest = data[position:]
        if self.isOpen:
            self._events.progress(self)

    def _handshake(self, data: bytes) -> bytes:
        responses = Responses()
        try:
            for what, _ in responses.feed(data):
                if what == HEAD and responses.head is not None and responses.head.status != 101:
                    self.fail(f"handshake: HTTP {responses.head.status}")
                    return b""
                if what == END:
                    break
            else:
                self._rest = data
                return b""
        except ValueError as error:
            self.fail(f"handshake: {error}")
            return b""
        self._upgraded = True
        if self.raw:
            self._opened()
        return responses.rest()

    def _message(self, payload: bytes) -> None:
        if not self.raw:
            self._frame(payload)
        elif self.isOpen:
            self.frames += 1
            self._events.received(self, payload)

    def _other(self, first: int, payload: bytes) -> None:
        """
        A frame that is no whole text.
        """
        opcode = first & 0xF
        if opcode == 0x9:
            self._connection.write(maskedFrame(0xA, payload, _MASK))
        elif opcode == 0x8:
            if self.isClosing:
                self.fail("")
                return
            code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            self.fail(f"WebSocket close frame, code {code}")
        elif opcode in (0x0, 0x1):
            self._fragments += payload
            if first & 0x80:
                whole, self._fragments = self._fragments, b""
                self._message(whole)
        elif opcode != 0xA:
            self.fail("a WebSocket frame of an unexpected kind")


class RawWebSocketSession(WebSocketSession):
    """
    Messages as they are in a WebSocket, as plain servers of WebSockets have them.
    """

    raw = True


class HTTPSession(Session):
    """
    A session that receives by one request after the other on one connection, and sends by others on a second one.
    """

    receivingURL = ""

    def open(self) -> None:
        """
        Send the first request.
        """
        self._path = self._prefix + newPath()
        self._host = f"Host: {self._address[0]}:{self._address[1]}\r\n"
        self._line = b""
        self._receiving: Connection | None = None
        self._sending: Connection | None = None
        self._busy = False
        self._waiting: deque[int] = deque()
        self._receive()

    def send(self, count: int) -> None:
        """
        Send messages, one in a request, each when the one before is answered.
        """
        assert self.sent is not None
        for _ in range(count):
            self._waiting.append(self.place)
            self.place = (self.place + 1) % self.sent.period
        self._sendNext()

    def close(self) -> None:
        """
        Cut the connections.
        """
        self.isClosing = True
        self.fail("")

    def _drop(self) -> None:
        for connection in (self._receiving, self._sending):
            if connection is not None:
                connection.close()

    # -- receiving

    def _receive(self) -> None:
        if self._receiving is None:
            self._answers = Responses()
            self._receiving = Connection(self._loop, self._address, self._data, self._receivingLost)
            self._request = (
                f"POST {self._path}/{self.receivingURL} HTTP/1.1\r\n{self._host}Content-Length: 0\r\n\r\n".encode()
            )
        self._receiving.write(self._request)

    def _data(self, data: bytes) -> None:
        try:
            for what, piece in self._answers.feed(data):
                if what == END:
                    self._answered()
                elif what == HEAD:
                    head = self._answers.head
                    if head is not None and head.status != 200:
                        self.fail(f"receiving: HTTP {head.status}")
                    self._keepAlive = head is not None and head.keepAlive
                else:
                    self._lines(piece)
                if self.gone:
                    return
        except ValueError as error:
            self.fail(f"receiving: {error}")
            return
        if self.isOpen:
            self._events.progress(self)

    def _answered(self) -> None:
        if not self._keepAlive and self._receiving is not None:
            self._receiving.close()
            self._receiving = None
        self._receive()

    def _lines(self, piece: bytes) -> None:
        *lines, self._line = (self._line + piece).split(b"\n")
        for line in lines:
            if len(line) == 2048 and not line.strip(b"h"):
                continue  # what comes before the first frame of a stream
            self._frame(line)
            if self.gone:
                return

    def _receivingLost(self, reason: str) -> None:
        self._receiving = None
        head = self._answers.head
        if not reason and head is not None and head.length == UNTIL_CLOSED:
            self._receive()
        else:
            self.fail(reason or "closed by the server")

    # -- sending

    def _sendNext(self) -> None:
        if self._busy or not self._waiting or self.sent is None:
            return
        if self._sending is None:
            self._sendAnswers = Responses()
            self._sending = Connection(self._loop, self._address, self._sendAnswered, self._sendingLost)
            self._sendHead = (
                f"POST {self._path}/xhr_send HTTP/1.1\r\n{self._host}Content-Type: text/plain\r\nContent-Length: "
            ).encode()
        self._busy = True
        body = self.sent.bodies[self._waiting.popleft()]
        self._sending.write(b"%s%d\r\n\r\n%s" % (self._sendHead, len(body), body))

    def _sendAnswered(self, data: bytes) -> None:
        try:
            for what, _ in self._sendAnswers.feed(data):
                head = self._sendAnswers.head
                if what == HEAD and head is not None:
                    self._sendKeepAlive = head.keepAlive
                    if head.status != 204:
                        self.fail(f"xhr_send: HTTP {head.status}")
                        return
                elif what == END:
                    self._busy = False
        except ValueError as error:
            self.fail(f"xhr_send: {error}")
            return
        if self._busy:
            return
        if not self._sendKeepAlive and self._sending is not None:
            self._sending.close()
            self._sending = None
        self._sendNext()

    def _sendingLost(self, reason: str) -> None:
        self._sending = None
        if self._busy:
            self.fail(reason or "xhr_send: closed without an answer")


class StreamingSession(HTTPSession):
    """
    A session by xhr-streaming.
    """

    receivingURL = "xhr_streaming"


class PollingSession(HTTPSession):
    """
    A session by xhr-polling.
    """

    receivingURL = "xhr"


TRANSPORTS: dict[str, Any] = {
    "websocket": WebSocketSession,
    "websocket-raw": RawWebSocketSession,
    "xhr-streaming": StreamingSession,
    "xhr-polling": PollingSession,
}
"""
The sessions by the names of their transports.
"""
