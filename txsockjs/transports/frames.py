# -*- test-case-name: tests.test_frames -*-
"""
The one common shape of a WebSocket's frames, for speed: a complete, unfragmented, masked text frame from the client,
and an unmasked text frame to it (RFC 6455 section 5.2). Everything else is Autobahn's.
"""

from __future__ import annotations

from struct import Struct

from txsockjs.codec import onceForAll

__all__ = ["takeText", "textFrame"]

_TEXT = 0x81  # FIN and the opcode of text, no reserved bits
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
