# -*- test-case-name: tests.test_encoding -*-
"""
Between the bytes of a Twisted protocol and the text of a SockJS message: what the C{encoding} option names.

SockJS carries text. A protocol that provides L{txsockjs.interfaces.ISockJSProtocol} deals in text as well; every
other one reads and writes bytes, and an L{Encoding} translates. It is strict: bytes that are no text in the named
encoding are an error of the program, told to it at once as a L{ValueError}.
"""

from __future__ import annotations

import base64
import binascii
import codecs
from typing import Protocol

from txsockjs.codec import encodeText

__all__ = ["BASE64", "LENIENT", "Decoder", "Encoding", "UnencodableMessage", "lookupEncoding"]

BASE64 = "base64"
"""
The one encoding that is no text codec of Python's: each message is the base64 of arbitrary bytes.
"""

LENIENT = "utf-8+"
"""
The beginning of an encoding that is UTF-8, with the codec whose name follows for bytes that are not.
"""


class UnencodableMessage(ValueError):
    """
    A client's message can't be given to the protocol as bytes in the encoding that the service has.
    """


class Decoder(Protocol):
    """
    Turns what one protocol writes into messages; it remembers a character that is split over two writes.
    """

    @property
    def pending(self) -> bool:
        """Whether the start of a character waits for its rest."""

    def decode(self, data: bytes) -> str | None:
        """
        @param data: the bytes of one write.

        @return: the message, or L{None} where the bytes so far hold no whole character.

        @raise ValueError: when the bytes can't be decoded. Nothing of them is kept.
        """

    def encodeText(self, text: str) -> str:
        """
        @param text: what the protocol wrote as C{str}.

        @return: the message that carries it.

        @raise ValueError: when half a character written as bytes stands before it.
        """


class Encoding(Protocol):
    """
    One value of the C{encoding} option.
    """

    name: str

    def encode(self, message: str) -> bytes:
        """
        @param message: a message from the client.

        @return: the bytes for C{dataReceived}.

        @raise UnencodableMessage: when the encoding has no bytes for it.
        """

    def decoder(self) -> Decoder:
        """
        @return: a fresh decoder for one session.
        """


class _TextDecoder:
    """
    Any text codec, incrementally. Its decoder is made when bytes come: most sessions, and every message that is asked
    for its text, only ever have C{str}.
    """

    __slots__ = ("_decoder", "_name", "pending")

    def __init__(self, name: str) -> None:
        self._name = name
        self._decoder: codecs.IncrementalDecoder | None = None
        self.pending = False

    def decode(self, data: bytes) -> str | None:
        decoder = self._decoder
        if decoder is None:
            decoder = self._decoder = codecs.getincrementaldecoder(self._name)()
        try:
            text = decoder.decode(data)
        except UnicodeError as error:  # some codecs raise no more special one
            decoder.reset()
            self.pending = False
            raise ValueError(
                f"these bytes are not {self._name} ({error}); write str, or choose the option encoding='latin-1' or "
                f"encoding='base64' to carry any bytes"
            ) from None
        self.pending = bool(decoder.getstate()[0])
        return text or None

    def encodeText(self, text: str) -> str:
        if self.pending:
            raise ValueError(
                f"str written after bytes that end within a character of the option encoding={self._name!r}"
            )
        return text


class _TextEncoding:
    """
    One of Python's text codecs.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, message: str) -> bytes:
        try:
            return message.encode(self.name)
        except UnicodeError:
            raise UnencodableMessage(f"a message has characters that {self.name} can't encode") from None

    def decoder(self) -> Decoder:
        return _TextDecoder(self.name)


class _UTF8Encoding(_TextEncoding):
    """
    UTF-8, where one thing that legal JSON can carry has no bytes: a lone surrogate. Real browsers send it and it must
    not end the session, so the protocol gets U+FFFD for it, as it would from a plain WebSocket.
    """

    def encode(self, message: str) -> bytes:
        return encodeText(message)


class _LenientEncoding(_UTF8Encoding):
    """
    What the option C{encoding} meant in txsockjs 1.x: UTF-8 both ways, and another codec for a write that is none as a
    whole. It keeps no state, so it is its own decoder.
    """

    pending = False

    def __init__(self, fallback: str) -> None:
        super().__init__(LENIENT + fallback)
        self._fallback = fallback

    def decoder(self) -> Decoder:
        return self

    def decode(self, data: bytes) -> str | None:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode(self._fallback, "replace")
        return text or None

    def encodeText(self, text: str) -> str:
        return text


class _Base64Codec:
    """
    Each message is base64 of bytes (RFC 4648 section 4, with padding); it keeps no state, so it is its own decoder.
    """

    name = BASE64
    pending = False

    def encode(self, message: str) -> bytes:
        try:
            return base64.b64decode(message, validate=True)
        except (binascii.Error, ValueError):
            raise UnencodableMessage("a message is not base64") from None

    def decoder(self) -> Decoder:
        return self

    def decode(self, data: bytes) -> str | None:
        return base64.b64encode(data).decode("ascii") if data else None

    def encodeText(self, text: str) -> str:
        return base64.b64encode(text.encode("utf-8")).decode("ascii")


def lookupEncoding(name: str) -> Encoding:
    """
    Find the encoding that an option names.

    @param name: C{"base64"}; any text codec of Python's, by any of its names; or C{"utf-8+"} and such a name, for UTF-8
        with a fallback.

    @raise ValueError: when there is no such codec, or it does not make text of bytes.
    """
    if name.lower() == BASE64:
        return _Base64Codec()
    if name.startswith(LENIENT):
        return _LenientEncoding(_textCodec(name.removeprefix(LENIENT)).name)
    info = _textCodec(name)
    return _UTF8Encoding("utf-8") if info.name == "utf-8" else _TextEncoding(info.name)


def _textCodec(name: str) -> codecs.CodecInfo:
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        raise ValueError(f"encoding must be 'base64' or a text codec of Python's, not {name!r}") from None
    # Python has no public name for this; without it hex or rot13 would be found only when the first message fails.
    if not getattr(info, "_is_text_encoding", True) or info.incrementaldecoder is None:
        raise ValueError(f"encoding must be 'base64' or a text codec of Python's, not {name!r}")
    return info
