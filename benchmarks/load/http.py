# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The answers on an HTTP connection, as far as SockJS servers need them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["BODY", "CHUNKED", "END", "HEAD", "UNTIL_CLOSED", "Head", "Responses", "parseHead"]

HEAD, BODY, END = "head", "body", "end"

CHUNKED, UNTIL_CLOSED = -1, -2


class Head(NamedTuple):
    """
    What matters of a response's head.

    @ivar length: of the body; or L{CHUNKED} or L{UNTIL_CLOSED}.
    """

    status: int
    length: int
    keepAlive: bool
    headers: dict[str, str]


def parseHead(data: bytes) -> Head:
    """
    @raise ValueError: when this is no HTTP.
    """
    first, *lines = data.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError("not HTTP")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    connection = headers.get("connection", "").lower()
    keepAlive = connection == "keep-alive" if version == "HTTP/1.0" else "close" not in connection
    if status in ("101", "204", "304"):
        length = 0
    elif "chunked" in headers.get("transfer-encoding", "").lower():
        length = CHUNKED
    else:
        length = int(headers.get("content-length", UNTIL_CLOSED))
    return Head(int(status), length, keepAlive and length != UNTIL_CLOSED, headers)


class Responses:
    """
    Cuts the bytes of a connection into responses.

    @ivar head: of the response that is coming, or L{None} between two.
    """

    #: Heads by their bytes: within a second, the heads of a server are all the same.
    _known: dict[bytes, Head] = {}

    def __init__(self) -> None:
        self.head: Head | None = None
        self._buffer = b""
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """
        @return: what has come: C{HEAD}, then the body in pieces, then C{END}.

        @raise ValueError: when this is no HTTP.
        """
        self._buffer = self._buffer + data if self._buffer else data
        while True:
            if self.head is None:
                if not self._takeHead():
                    return
                yield HEAD, b""
            piece = self._takePiece()
            if piece is None:
                return
            if piece:
                yield BODY, piece
            if not piece or self._left == 0:
                self.head = None
                yield END, b""

    def rest(self) -> bytes:
        """
        @return: what has come and was not used.
        """
        rest, self._buffer = self._buffer, b""
        return rest

    def _takeHead(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        text, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        head = self._known.get(text)
        if head is None:
            if len(self._known) > 1000:
                self._known.clear()
            head = self._known[text] = parseHead(text)
        self.head = head
        self._left = head.length
        return True

    def _takePiece(self) -> bytes | None:
        """
        @return: a piece of the body; C{b""} at its end; L{None} when more has to come first.
        """
        assert self.head is not None
        buffer = self._buffer
        if self.head.length == CHUNKED:
            return self._takeChunk()
        if self.head.length == UNTIL_CLOSED:
            self._buffer = b""
            return buffer or None
        if self._left and not buffer:
            return None
        piece, self._buffer = buffer[: self._left], buffer[self._left :]
        self._left -= len(piece)
        return piece

    def _takeChunk(self) -> bytes | None:
        buffer = self._buffer
        start = buffer.find(b"\r\n") + 2
        if start < 2:
            return None
        end = start + int(buffer[: start - 2].partition(b";")[0], 16)
        if len(buffer) < end + 2:
            return None
        self._buffer = buffer[end + 2 :]
        return buffer[start:end]
