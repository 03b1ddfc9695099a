# -*- test-case-name: tests.test_codec -*-
"""
SockJS on the wire: JSON, escaping and frames, as pure functions on C{str} and C{bytes}.

A I{frame} is what the protocol calls C{o}, C{h}, C{a[...]} and C{c[...]}: UTF-8 encoded bytes without the dress that a
transport puts around it. An I{encoded message} is one message made ready for a frame, so that a broadcast encodes once
for all its receivers.

Two framings exist. L{SOCKJS} is that of every SockJS transport. L{RAW} is that of the raw WebSocket, where a message is
its own frame and there is nothing else. A session works with either and does not know which one it has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Protocol

try:
    import orjson
except ImportError:  # an extra: the standard library's json does the same work, only slower
    orjson = None  # type: ignore[assignment]

__all__ = [
    "RAW",
    "SOCKJS",
    "BrokenJSON",
    "DecodeError",
    "Framing",
    "PayloadExpected",
    "SharedMessage",
    "decodeMessages",
    "encodeMessage",
    "encodeText",
    "onceForAll",
    "quote",
]


class DecodeError(ValueError):
    """
    What a client sent is not a list of messages. The text of the error is the answer that the protocol prescribes.
    """


class PayloadExpected(DecodeError):
    """
    The body is empty, or is JSON but no array of strings.
    """

    def __init__(self) -> None:
        super().__init__("Payload expected.")


class BrokenJSON(DecodeError):
    """
    The body is not JSON in UTF-8.
    """

    def __init__(self) -> None:
        super().__init__("Broken JSON encoding.")


# Beyond what JSON itself demands, browsers mangle these on some transport or other; surrogates can't be UTF-8 at all.
# The control characters below U+0020 are JSON's own business, U+007F is not.
_MANGLED = re.compile("[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")


def _escape(match: re.Match[str]) -> str:
    return "\\u%04x" % ord(match[0])


def _dumpsStandard(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _dumpsFast(text: str) -> str:
    try:
        return orjson.dumps(text).decode("utf-8")
    except TypeError:  # a lone surrogate: legal here, refused there
        return _dumpsStandard(text)


_dumps: Callable[[str], str] = _dumpsStandard if orjson is None else _dumpsFast


def _dumpsASCIIStandard(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode("ascii")


_dumpsASCII: Callable[[str], bytes] = _dumpsASCIIStandard if orjson is None else orjson.dumps


def quote(text: str) -> str:
    """
    Write C{text} as a JSON string, as the protocol wants it (protocol section "Frames").

    @param text: any text; lone surrogates are welcome.

    @return: the JSON string with its quotes. It holds no surrogate, so it can always be encoded as UTF-8.
    """
    return _MANGLED.sub(_escape, _dumps(text))


def encodeMessage(text: str) -> bytes:
    """
    Encode one message for an C{a[...]} frame.

    @param text: any text; lone surrogates are welcome.

    @return: a JSON string in UTF-8.
    """
    if text.isascii():  # then nothing in it is mangled
        return _dumpsASCII(text)
    return quote(text).encode("utf-8")


def encodeText(text: str) -> bytes:
    """
    Encode text as UTF-8 where nothing can be escaped.

    @param text: any text. UTF-8 has no lone surrogates: U+FFFD stands in for them, as in what browsers send themselves.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode("utf-8")


def _loadsStandard(data: bytes) -> object:
    return json.loads(data.decode("utf-8"))


def _loadsFast(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except ValueError:  # broken, or legal with a lone surrogate, which orjson refuses: the standard library decides
        return _loadsStandard(data)


_loads: Callable[[bytes], object] = _loadsStandard if orjson is None else _loadsFast


def decodeMessages(data: bytes, *, single: bool = False) -> list[str]:
    """
    Decode what a client sent (protocol section "Messages from client to server").

    @param data: JSON in UTF-8: an array of strings.

    @param single: whether one JSON string alone is welcome as well, as it is on a WebSocket.

    @return: the messages, in order; they may hold lone surrogates, which real browsers send.

    @raise PayloadExpected: when there is no body, or it is no array of strings.
    @raise BrokenJSON: when the body does not parse.
    """
    if not data:
        raise PayloadExpected()
    try:
        payload = _loads(data)
    except (ValueError, RecursionError):
        # RecursionError: a hostile depth of brackets is as broken as any other text that can't be read.
        raise BrokenJSON() from None
    if isinstance(payload, list):
        for item in payload:
            if not isinstance(item, str):
                raise PayloadExpected()
        return payload
    if single and isinstance(payload, str):
        return [payload]
    raise PayloadExpected()


class Framing(Protocol):
    """
    How the events of a session become frames.
    """

    opening: bytes | None
    """The first frame, or L{None} where there is none."""

    heartbeat: bytes | None
    """The frame that keeps a silent connection alive, or L{None} where there is none."""

    def encode(self, text: str) -> bytes:
        """
        Make one message ready to be queued.
        """

    def frames(self, messages: Sequence[bytes]) -> list[bytes]:
        """
        Turn queued messages, at least one, into frames.
        """

    def close(self, code: int, reason: str) -> bytes | None:
        """
        The last frame, or L{None} where the connection's own close carries code and reason.
        """


class SharedMessage:
    """
    One message for many sessions, encoded once for each framing.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._encoded: dict[Framing, bytes] = {}
        self._prefixed: dict[str, SharedMessage] = {}

    def encoded(self, framing: Framing) -> bytes:
        """
        @return: the message as C{framing} encodes it.
        """
        encoded = self._encoded.get(framing)
        if encoded is None:
            encoded = self._encoded[framing] = framing.encode(self._text)
        return encoded

    def prefixed(self, prefix: str) -> SharedMessage:
        """
        @return: the message with C{prefix} in front; the same one each time.
        """
        prefixed = self._prefixed.get(prefix)
        if prefixed is None:
            prefixed = self._prefixed[prefix] = SharedMessage(prefix + self._text)
        return prefixed


def onceForAll(dress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """
    Have a function that makes one text of another remember the last one. The receivers of a broadcast ask it for the
    same object one after another.

    @param dress: a function whose answer depends on nothing but its argument.
    """
    last: bytes | None = None
    dressed = b""

    def remembering(text: bytes) -> bytes:
        nonlocal last, dressed
        if text is not last:
            dressed = dress(text)
            last = text
        return dressed

    return remembering


@onceForAll
def _alone(message: bytes) -> bytes:
    return b"a[" + message + b"]"


class _SockJSFraming:
    """
    C{o}, C{h}, C{a[...]}, C{c[...]}.
    """

    opening: bytes | None = b"o"
    heartbeat: bytes | None = b"h"

    def encode(self, text: str) -> bytes:
        return encodeMessage(text)

    def frames(self, messages: Sequence[bytes]) -> list[bytes]:
        return [_alone(messages[0]) if len(messages) == 1 else b"a[" + b",".join(messages) + b"]"]

    def close(self, code: int, reason: str) -> bytes | None:
        return b"c[%d,%s]" % (code, encodeMessage(reason))


class _RawFraming:
    """
    One message, one frame, nothing else.
    """

    opening: bytes | None = None
    heartbeat: bytes | None = None

    def encode(self, text: str) -> bytes:
        return encodeText(text)

    def frames(self, messages: Sequence[bytes]) -> list[bytes]:
        return list(messages)

    def close(self, code: int, reason: str) -> bytes | None:
        return None


SOCKJS: Framing = _SockJSFraming()
RAW: Framing = _RawFraming()
