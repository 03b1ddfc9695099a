# -*- test-case-name: tests.test_bus_redis -*-
"""
What travels on a bus: several messages of one process on one channel, in one piece.

A piece is a line of ASCII and what the messages are made of, one after another::

    1 <origin> <number> <mark> <length>,<length>,...\\n<message><message>...

The origin is the process, and the number counts its pieces. Lengths are in bytes; that of a message which was published
as C{bytes} has a C{b} in front, the others are texts in UTF-8 (lone surrogates included).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["MAX_ORIGINS", "Envelope", "Seen", "pack", "part", "unpack"]

MAX_ORIGINS = 4096
"""How many processes are remembered, with the number of their last piece."""


class Envelope(NamedTuple):
    """
    A piece that came.
    """

    origin: str
    number: int
    mark: int
    messages: list[bytes | str]
    size: int


def part(message: bytes | str) -> bytes:
    """
    @return: what a message is made of on the bus.
    """
    return message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message


def pack(origin: str, number: int, mark: int, parts: Sequence[tuple[bool, bytes]]) -> bytes:
    """
    @param origin: the process, without spaces.

    @param number: which of its pieces this is.

    @param mark: a number that means something to that process.

    @param parts: of each message whether it was published as C{bytes}, and what it is made of.

    @return: the piece.
    """
    lengths = ",".join(f"b{len(data)}" if isBytes else str(len(data)) for isBytes, data in parts)
    head = f"1 {origin} {number} {mark} {lengths}\n".encode("ascii")
    return head + b"".join([data for _, data in parts])


def unpack(piece: bytes) -> Envelope:
    """
    @return: what L{pack} has been given.

    @raise ValueError: when this is no such piece.
    """
    head, _, data = piece.partition(b"\n")
    version, origin, number, mark, lengths = head.split(b" ")
    if version != b"1":
        raise ValueError(f"unknown version {version!r}")
    messages: list[bytes | str] = []
    start = 0
    for length in lengths.split(b","):
        isBytes = length[:1] == b"b"
        end = start + int(length[1:] if isBytes else length)
        message = data[start:end]
        messages.append(message if isBytes else message.decode("utf-8", "surrogatepass"))
        if end < start:
            raise ValueError("negative length")
        start = end
    if start != len(data):
        raise ValueError("the lengths do not fit")
    return Envelope(origin.decode("ascii"), int(number), int(mark), messages, start)


class Seen:
    """
    Tells pieces that come for the first time from those that were sent once more.

    Each process sends its pieces in the order of their numbers, and what it sends once more begins with the first one
    of which it does not know whether it has arrived. So whatever the bus does, before a piece comes for the first time
    all with lower numbers have come.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()

    def isNew(self, origin: str, number: int) -> bool:
        """
        @return: whether a piece comes for the first time. It is remembered.
        """
        last = self._last.get(origin)
        if last is not None and number <= last:
            return False
        self._last[origin] = number
        self._last.move_to_end(origin)
        if len(self._last) > MAX_ORIGINS:
            self._last.popitem(last=False)
        return True
