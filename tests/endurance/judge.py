# -*- test-case-name: tests.test_fuzz -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A strict reader of all that a service sends: answers, chunks, WebSocket frames, SockJS frames, and the numbered messages
of the applications in L{tests.endurance.fuzz}.

A L{Judge} reads one connection. What connections have in common, such as the order of the frames of a session that
comes by many responses, is kept in their L{Ledger}.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

__all__ = ["MARK", "Judge", "Ledger", "Wrong"]

MARK = b"<zz9>"
"""Clients put this into all that they send. It must not come back within HTML."""

_HEAD = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d) [ -~]+\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~\x80-\xff]*\r\n)*)\r\n")
_CHUNK_SIZE = re.compile(rb"([0-9a-f]{1,8})\r\n")
_MANGLED = re.compile("[\0-\x1f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")
_ERRORS = re.compile(
    rb'Payload expected\.|Broken JSON encoding\.|"callback" parameter required|invalid "callback" parameter'
)
_LONGEST_HEAD = 65536
_CLOSE_CODES = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011}
_TIMEOUT = {b"connection": b"close", b"content-length": b"0"}
_HEAD_END = b"\r\n\r\n"

ANOTHER_RECEIVER = 2010


class Wrong(AssertionError):
    """
    The service sent what it must not send.
    """


def check(right: object, what: str, *found: object) -> None:
    """
    @raise Wrong: unless it is right.
    """
    if not right:
        raise Wrong(f"{what}: {', '.join(repr(item)[:300] for item in found)}")


class Ledger:
    """
    What was sent to all connections of one site.

    @ivar decode: makes of a message's text what the application wrote.
    @ivar statuses: how often each status came.
    @ivar frames: how many SockJS frames, or messages of a raw WebSocket, came.
    """

    def __init__(self, decode: Callable[[str], str] = str) -> None:
        self.decode = decode
        self.statuses: dict[int, int] = {}
        self.frames = 0
        self._numbers: dict[str, int] = {}
        self._states: dict[object, str] = {}

    def message(self, text: str) -> None:
        """
        A message came. Those of one application come in their order, and none is missing or comes twice.
        """
        name, _, rest = self.decode(text).partition(":")
        number = rest.partition(":")[0]
        check(name.isdigit() and number.isdigit(), "a message that no application wrote", text)
        last = self._numbers.get(name, -1)
        check(int(number) == last + 1, f"message {number} of application {name} came after {last}")
        self._numbers[name] = int(number)

    def frame(self, session: object, frame: bytes) -> str:
        """
        A SockJS frame came: it has the form of one, and may follow the one before.

        @param session: names the session.

        @return: its letter.
        """
        self.frames += 1
        text = frame.decode("utf-8")
        check(not _MANGLED.search(text), "characters that must be escaped", text)
        state = self._states.get(session, "none")
        letter = text[:1]
        if text == "o":
            # The session before may have been lost in silence.
            self._states[session] = "open"
        elif text == "h":
            check(state == "open", f"a heartbeat of a session that is {state}", session)
        elif letter == "a":
            check(state == "open", f"messages of a session that is {state}", session)
            messages = _json(text[1:])
            check(messages and isinstance(messages, list), "no array of messages", text)
            for message in messages:
                self.message(message)
        elif letter == "c":
            content = _json(text[1:])
            check(len(content) == 2 and isinstance(content[1], str), "no close frame", text)
            check(_isCloseCode(content[0]) or content[0] == ANOTHER_RECEIVER, "no close code", text)
            if content[0] != ANOTHER_RECEIVER:
                self._states[session] = "closed"
        else:
            raise Wrong(f"no frame of SockJS: {text[:300]!r}")
        return letter


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise Wrong(f"no JSON: {text[:300]!r}") from None


def _isCloseCode(code: object) -> bool:
    return code in _CLOSE_CODES or (isinstance(code, int) and 3000 <= code <= 4999)


# -- the bodies of receiving requests ---------------------------------------------------------------------------------


def _line(data: bytes) -> bytes:
    check(data.endswith(b"\n"), "no line", data)
    return data[:-1]


def _event(data: bytes) -> bytes:
    check(data.startswith(b"data: ") and data.endswith(b"\r\n\r\n"), "no event", data)
    content = data[6:-4]
    check(not re.search(rb"[\r\n\0]", content), "an event of many lines", data)
    return unquote_to_bytes(content)


_SCRIPT = re.compile(rb"<script>\np\((\"[^<\n]*\")\);\n</script>\r\n")
_CALL = re.compile(rb"/\*\*/[a-zA-Z0-9\-_.]{1,32}\((\"[^\n]*\")\);\r\n")


def _argument(pattern: re.Pattern[bytes]) -> Callable[[bytes], bytes]:
    def undress(data: bytes) -> bytes:
        match = pattern.fullmatch(data)
        check(match, "no script", data)
        return _json(match[1].decode("utf-8")).encode("utf-8")  # type: ignore

    return undress


_BODIES: dict[bytes, tuple[re.Pattern[bytes] | None, Callable[[bytes], bytes], bool]] = {
    b"xhr": (None, _line, True),
    b"xhr_streaming": (re.compile(rb"h{2048}\n"), _line, False),
    b"eventsource": (re.compile(rb"\r\n"), _event, False),
    b"htmlfile": (re.compile(rb"<!doctype html>\n[^\0]{1009,}\r\n\r\n"), _argument(_SCRIPT), False),
    b"jsonp": (None, _argument(_CALL), True),
}
"""What the prelude is, how a frame is undressed, and whether the response ends after one frame."""


class _ReceivingBody:
    """
    The body of a receiving request, chunk by chunk.
    """

    def __init__(self, ledger: Ledger, session: bytes, kind: bytes) -> None:
        self._ledger = ledger
        self._session = session
        self._prelude, self._undress, self._single = _BODIES[kind]
        self._last = ""
        self._count = 0

    def chunk(self, data: bytes) -> None:
        if self._prelude is not None:
            check(self._prelude.fullmatch(data), "no prelude", data)
            self._prelude = None
            return
        check(self._last != "c", "something after a close frame", data)
        check(not (self._single and self._count), "two frames in a poll", data)
        letter = self._ledger.frame(self._session, self._undress(data))
        check(letter != "o" or not self._count, "an opening in the middle", data)
        self._last, self._count = letter, self._count + 1

    def end(self) -> None:
        check(self._count, "a receiving request ended without a frame", self._session)


class _Page:
    """
    Any other body.
    """

    def __init__(self, status: int, contentType: bytes, path: bytes) -> None:
        self._status = status
        self._type = contentType
        self._path = path
        self._data = b""

    def chunk(self, data: bytes) -> None:
        self._data += data

    def end(self) -> None:
        if self._type.startswith(b"application/json"):
            info = json.loads(self._data)
            check(info.keys() >= {"websocket", "cookie_needed", "origins", "entropy"}, "an incomplete info", info)
        if self._status == 500:
            check(_ERRORS.fullmatch(self._data), "an error of the service", self._path, self._data)
        if self._type.startswith(b"text/html"):
            check(MARK not in self._data, "something is reflected into HTML", self._path, self._data)


# -- one connection ---------------------------------------------------------------------------------------------------


class Judge:
    """
    Reads what one connection gets.

    @ivar asked: method and path of each request that the service has begun to answer, in order.
    @ivar upgraded: whether it has become a WebSocket.
    @ivar ended: whether the service has said its last word.
    @ivar pings: the payloads of the pings that came.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.asked: list[tuple[bytes, bytes]] = []
        self.upgraded = False
        self.ended = False
        self.pings: list[bytes] = []
        self._answered = 0
        self._buffer = b""
        self._read: Callable[[bytes], int] = self._head
        self._body: _ReceivingBody | _Page | None = None
        self._left = 0
        self._raw = False
        self._last = ""

    @property
    def unanswered(self) -> list[tuple[bytes, bytes]]:
        """
        The requests whose answers are not complete.
        """
        return self.asked[self._answered - (self._body is not None) :]

    def write(self, data: bytes) -> None:
        """
        The service has written this, at once.

        @raise Wrong: when it must not.
        """
        if not data:
            return
        check(not self.ended, "something after the end", data)
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer:
            size = self._read(self._buffer)
            if not size:
                break
            self._buffer = self._buffer[size:]

    def lost(self, byService: bool) -> None:
        """
        The connection is gone.

        @param byService: whether the service closed it, in an orderly way.
        """
        if byService:
            check(not self._buffer, "the connection was closed in the middle", self._buffer)
            if self._read == self._untilClose and self._body is not None:
                self._body.end()
            else:
                # A body can be cut short only by a break.
                check(self._body is None, "the connection was closed in the middle of an answer", *self.asked[-1:])

    # -- HTTP: each of these is given what came, and returns how much of it is read ------------------------------------

    def _head(self, data: bytes) -> int:
        match = _HEAD.match(data)
        if match is None:
            check(_HEAD_END not in data and len(data) < _LONGEST_HEAD, "no head of an answer", data)
            return 0
        status = int(match[1])
        self._ledger.statuses[status] = self._ledger.statuses.get(status, 0) + 1
        fields = self._fields(match[2])
        if status == 100:
            check(not fields, "headers where none belong", match[0])
            return match.end()
        if (status == 400 and not fields) or (status == 408 and fields == _TIMEOUT):
            # What is no request, or does not become one, is answered without being one.
            check(match.end() == len(data), "something after the end", data)
            self.ended = True
            return match.end()
        check(self._answered < len(self.asked), "an answer that nobody asked for", match[0])
        method, path = self.asked[self._answered]
        self._answered += 1
        self._checkHead(status, fields, method)
        if status == 101:
            self._upgrade(fields, path)
        elif method == b"HEAD" or status in (204, 304):
            pass
        else:
            self._beginBody(status, fields, path, match[0].startswith(b"HTTP/1.1"))
        return match.end()

    def _fields(self, head: bytes) -> dict[bytes, bytes]:
        fields: dict[bytes, bytes] = {}
        for line in head.split(b"\r\n")[:-1]:
            name, _, value = line.partition(b": ")
            name = name.lower()
            check(name not in fields or name == b"set-cookie", "a header comes twice", head)
            fields[name] = value
        return fields

    def _checkHead(self, status: int, fields: dict[bytes, bytes], method: bytes) -> None:
        length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
        check(length is None or (length.isdigit() and coding is None), "two lengths", fields)
        check(coding in (None, b"chunked"), "an unknown coding", fields)
        if status in (101, 204):
            check(length is None and coding is None, "a length where there is no body", fields)
        check((status == 405) == (b"allow" in fields), "Allow and 405 belong together", status, fields)
        credentials = fields.get(b"access-control-allow-credentials")
        check(
            credentials is None or fields.get(b"access-control-allow-origin") != b"*", "everybody's credentials", fields
        )
        check(MARK not in fields.get(b"set-cookie", b""), "a cookie is reflected", fields)

    def _upgrade(self, fields: dict[bytes, bytes], path: bytes) -> None:
        check(fields.get(b"upgrade", b"").lower() == b"websocket", "no upgrade", fields)
        check(len(base64.b64decode(fields.get(b"sec-websocket-accept", b""))) == 20, "no accept", fields)
        self.upgraded = True
        self._raw = path.partition(b"?")[0].count(b"/") == 1
        self._read = self._frame

    def _beginBody(self, status: int, fields: dict[bytes, bytes], path: bytes, chunkable: bool) -> None:
        *_, session, kind = [b"", *path.partition(b"?")[0].split(b"/")]
        if status == 200 and kind in _BODIES:
            self._body = _ReceivingBody(self._ledger, unquote_to_bytes(session), kind)
        else:
            self._body = _Page(status, fields.get(b"content-type", b""), path)
        if b"transfer-encoding" in fields:
            check(chunkable, "chunks for HTTP/1.0")
            self._read = self._chunk
        elif b"content-length" in fields:
            self._left = int(fields[b"content-length"])
            self._read = self._sized
            if not self._left:
                self._endBody()
        else:
            check(not chunkable, "an answer without a length", path)
            self._read = self._untilClose

    def _endBody(self) -> None:
        assert self._body is not None
        self._body.end()
        self._body = None
        self._read = self._head

    def _sized(self, data: bytes) -> int:
        assert self._body is not None
        part = data[: self._left]
        self._left -= len(part)
        self._body.chunk(part)
        if not self._left:
            self._endBody()
        return len(part)

    def _untilClose(self, data: bytes) -> int:
        assert self._body is not None
        self._body.chunk(data)
        return len(data)

    def _chunk(self, data: bytes) -> int:
        match = _CHUNK_SIZE.match(data)
        if match is None:
            check(len(data) < 12 and b"\n" not in data, "no size of a chunk", data)
            return 0
        size = int(match[1], 16)
        end = match.end() + size
        if len(data) < end + 2:
            return 0
        check(data[end : end + 2] == b"\r\n", "a chunk without an end", data)
        assert self._body is not None
        if size:
            self._body.chunk(data[match.end() : end])
        else:
            self._endBody()
        return end + 2

    # -- WebSocket ----------------------------------------------------------------------------------------------------

    def _frame(self, data: bytes) -> int:
        if len(data) < 2:
            return 0
        first, size = data[0], data[1]
        check(first in (0x81, 0x88, 0x89, 0x8A), "no frame that a service sends", data[:10])
        check(size < 128, "a masked frame", data[:10])
        start = 2
        if size > 125:
            check(first == 0x81, "a control frame that is too long", data[:10])
            start = 4 if size == 126 else 10
            if len(data) < start:
                return 0
            size = int.from_bytes(data[2:start], "big")
            check(size > (125 if start == 4 else 65535), "a length that is longer than it need be", data[:10])
        end = start + size
        if len(data) < end:
            return 0
        self._take(first & 15, data[start:end])
        return end

    def _take(self, opcode: int, payload: bytes) -> None:
        check(not self.ended, "a frame after the close frame", payload)
        if opcode == 9:
            self.pings.append(payload)
        elif opcode == 8:
            if payload:
                check(_isCloseCode(struct.unpack("!H", payload[:2])[0]), "no close code", payload)
                payload[2:].decode("utf-8")
            self.ended = True
        elif opcode == 1 and self._raw:
            self._ledger.frames += 1
            self._ledger.message(payload.decode("utf-8"))
        elif opcode == 1:
            check(self._last != "c", "something after a close frame", payload)
            letter = self._ledger.frame(self, payload)
            check(letter != "o" or not self._last, "an opening in the middle", payload)
            self._last = letter
