# -*- test-case-name: tests.test_client_frames -*-
"""
What comes from a server, as frames; and what goes to it.

A streamed response comes cut anywhere. A L{Parser} takes the pieces and gives the frames that are whole by then,
without the dress of its transport. What is not whole yet is kept, up to a bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import unquote_to_bytes

from txsockjs.codec import DecodeError, Framing, decodeMessages, encodeMessage

__all__ = ["TO_SERVER", "Events", "FrameTooLarge", "Lines", "Parser", "WrongFrame", "closeOf", "messagesOf"]


class WrongFrame(ValueError):
    """
    What the server sent is no frame of SockJS. The text shows its beginning.
    """

    def __init__(self, frame: bytes) -> None:
        shown = frame[:60].decode("utf-8", "replace")
        super().__init__(f"The server sent what is no frame of SockJS: {shown!r}")


class FrameTooLarge(ValueError):
    """
    A frame is larger than may be.
    """


class Parser(Protocol):
    """
    Takes the body of one response.
    """

    def feed(self, data: bytes) -> list[bytes]:
        """
        @param data: the next piece.

        @return: the frames that are whole now.

        @raise FrameTooLarge: when one is, or is going to be.
        """

    @property
    def pending(self) -> bool:
        """Whether a part of a frame waits for its rest."""


class Lines:
    """
    One frame a line: the body of C{xhr} and C{xhr_streaming}.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: size of the largest frame.
        """
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """
        See L{Parser.pending}.
        """
        return bool(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """
        See L{Parser.feed}.
        """
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._held, lines[0]))
            self._held = []
            self._size = 0
        if rest:
            self._held.append(rest)
            self._size += len(rest)
        if self._size > self._limit or any(len(line) > self._limit for line in lines):
            raise FrameTooLarge(f"The server sent a frame of more than {self._limit} bytes")
        return [line for line in lines if line]


class Events:
    """
    Server-sent events: the body of C{eventsource}. The data of each event is a frame with percent escapes.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: size of the largest frame.
        """
        self._limit = limit
        self._held: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._afterCR = False
        self._begun = False

    @property
    def pending(self) -> bool:
        """
        See L{Parser.pending}.
        """
        return bool(self._held or self._data)

    def feed(self, data: bytes) -> list[bytes]:
        """
        See L{Parser.feed}.
        """
        if self._afterCR and data.startswith(b"\n"):  # a line end that was cut in two
            data = data[1:]
            self._afterCR = False
        if not data:
            return []
        self._afterCR = data.endswith(b"\r")
        frames: list[bytes] = []
        for line in data.splitlines(keepends=True):
            self._size += len(line)
            self._held.append(line)
            if line.endswith((b"\r", b"\n")):
                whole = b"".join(self._held).rstrip(b"\r\n")
                self._held = []
                self._take(whole, frames)
            if self._size > self._limit + _ROOM:
                raise FrameTooLarge(f"The server sent an event of more than {self._limit} bytes")
        return frames

    def _take(self, line: bytes, frames: list[bytes]) -> None:
        """
        Take one line, without its end.
        """
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            if not self._data:
                self._size = 0  # of a comment nothing is kept
            return
        if self._data:
            frames.append(unquote_to_bytes(b"\n".join(self._data)))
            self._data = []
        self._size = 0


_ROOM = 64
"""Bytes that an event may have beyond its frame."""


def messagesOf(frame: bytes) -> list[str]:
    """
    @param frame: an C{a} frame.

    @return: its messages.

    @raise WrongFrame: when it has none.
    """
    try:
        return decodeMessages(frame[1:])
    except DecodeError:
        raise WrongFrame(frame) from None


def closeOf(frame: bytes) -> tuple[int, str]:
    """
    @param frame: a C{c} frame.

    @return: its code and reason.

    @raise WrongFrame: when it has none.
    """
    try:
        code, reason = json.loads(frame[1:])
    except (ValueError, TypeError, RecursionError):
        raise WrongFrame(frame) from None
    if type(code) is not int or not isinstance(reason, str):
        raise WrongFrame(frame)
    return code, re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", reason)


class _ToServer:
    """
    Messages to the server: a JSON array of strings, on every transport with SockJS framing. Nothing else is sent.
    """

    opening: bytes | None = None
    heartbeat: bytes | None = None

    def encode(self, text: str) -> bytes:
        return encodeMessage(text)

    def frames(self, messages: Iterable[bytes]) -> list[bytes]:
        return [b"[" + b",".join(messages) + b"]"]

    def close(self, code: int, reason: str) -> bytes | None:
        return None


TO_SERVER: Framing = _ToServer()
