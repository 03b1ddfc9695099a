# -*- test-case-name: tests.test_frames -*-
"""
The one common shape of a WebSocket's frames, for speed: a complete, unfragmented, masked text frame from the client,
and an unmasked text frame to it (RFC 6455 section 5.2); and the close frame by which clients leave. Everything else is
Autobahn's.
"""

from __future__ import annotations

from struct import Struct

from txsockjs.codec import onceForAll

__all__ = ["NO_CODE", "closeFrame", "takeClose", "takeText", "textFrame"]

_TEXT = 0x81  # FIN and the opcode of text, no reserved bits
_CLOSE = 0x88
_MASKED = 0x80

_SHORT = 125
_LONG = 126
_LONGEST = 127

_length16 = Struct("!H")
_length64 = Struct("!Q")
_frame16 = Struct("!BBH").pack
_frame64 = Struct("!BBQ").pack
_heads = [bytes((_TEXT, length)) for length in range(_LONG)]


def takeText(data: bytes, start: int, limit: int) -> tuple[bytes, int] | None:
    """
    @param data: what came.

    @param start: where a frame begins in it.

    @param limit: the number of bytes that a payload may have.

    @return: the payload and where the next frame begins, or L{None} when this is not a frame of the common shape, or
        not all of it is there.
    """
    have = len(data) - start
    if have < 6 or data[start] != _TEXT:
        return None
    length = data[start + 1] - _MASKED
    head = start + 6
    if length > _SHORT:
        if length == _LONG and have >= 8:
            (length,) = _length16.unpack_from(data, start + 2)
            head += 2
            if length <= _SHORT:
                return None  # not the shortest form
        elif length == _LONGEST and have >= 14:
            (length,) = _length64.unpack_from(data, start + 2)
            head += 8
            if length <= 0xFFFF:
                return None
        else:
            return None
    elif length < 0:
        return None  # not masked
    end = head + length
    if length > limit or end > len(data):
        return None
    mask = data[head - 4 : head]
    # One big number is the fastest that Python has for this.
    key = int.from_bytes((mask * ((length + 3) >> 2))[:length], "little")
    return (int.from_bytes(data[head:end], "little") ^ key).to_bytes(length, "little"), end


NO_CODE = 0
"""Stands for a close frame without a code."""

_ORDINARY = frozenset({1000, 1001, *range(3000, 5000)})
"""The close codes of those who just leave (RFC 6455 section 7.4)."""


def takeClose(data: bytes, start: int) -> int | None:
    """
    @param data: what came.

    @param start: where a frame begins in it.

    @return: the code of a close frame without a reason, behind which nothing comes, or L{NO_CODE}; L{None} when this is
        something else.
    """
    size = len(data) - start - 6
    if size not in (0, 2) or data[start] != _CLOSE or data[start + 1] != _MASKED | size:
        return None
    if not size:
        return NO_CODE
    code = (data[start + 2] ^ data[start + 6]) << 8 | data[start + 3] ^ data[start + 7]
    return code if code in _ORDINARY else None


def closeFrame(code: int) -> bytes:
    """
    @return: a close frame with this code, which may be L{NO_CODE}.
    """
    return bytes((_CLOSE, 2, code >> 8, code & 0xFF)) if code else bytes((_CLOSE, 0))


@onceForAll
def textFrame(payload: bytes) -> bytes:
    """
    @return: C{payload} in one text frame.
    """
    length = len(payload)
    if length <= _SHORT:
        return _heads[length] + payload
    if length <= 0xFFFF:
        return _frame16(_TEXT, _LONG, length) + payload
    return _frame64(_TEXT, _LONGEST, length) + payload
