# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The messages: made in advance, and checked when they come.
"""

from __future__ import annotations

import json
import os
import struct
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["MINIMUM", "Errors", "Messages", "Receiver", "maskedFrame"]

#: A message is not shorter than its number and its origin.
MINIMUM = 14

_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


def maskedFrame(opcode: int, payload: bytes, key: bytes) -> bytes:
    """
    @return: a whole WebSocket frame of a client.
    """
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    mask = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + key + masked.to_bytes(size, "big")


class Messages:
    """
    What one origin sends: a ring of different messages, each C{size} bytes long, none of which JSON has to escape.

    @ivar texts: the messages.

    @ivar joined: the ring twice, as it stands within the brackets and outer quotes of a frame, so that what any number
        of messages look like in one frame is a slice of it.
    """

    def __init__(self, origin: int, size: int, period: int) -> None:
        """
        @param origin: the number of the session that sends them.

        @param size: the length of each.

        @param period: how many there are. More than are ever on their way, so that one that was lost, repeated or late
            can't be taken for another.
        """
        if size < MINIMUM:
            raise ValueError(f"a message has at least {MINIMUM} bytes")
        self.period = period
        filler = _ALPHABET * (size // len(_ALPHABET) + 2)
        self.texts = [
            (f"{number:08x}{origin:06x}" + filler[number % len(_ALPHABET) :])[:size].encode()
            for number in range(period)
        ]
        self.stride = size + 3
        self.joined = b'","'.join(self.texts * 2)

    @cached_property
    def bodies(self) -> list[bytes]:
        """
        What a client sends: an array of one message each.
        """
        return [b'["' + text + b'"]' for text in self.texts]

    @cached_property
    def places(self) -> dict[bytes, int]:
        """
        Where each message stands in the ring.
        """
        return {text: place for place, text in enumerate(self.texts)}

    def frames(self, raw: bool) -> tuple[bytes, int]:
        """
        @param raw: whether a message travels as it is, for a server of plain WebSockets.

        @return: the ring twice as masked WebSocket frames, and the length of each.
        """
        key = os.urandom(4)
        frames = [maskedFrame(0x1, payload, key) for payload in (self.texts if raw else self.bodies)]
        return b"".join(frames * 2), len(frames[0])


@dataclass
class Errors:
    """
    What went wrong in a run.
    """

    missing: int = 0
    outOfOrder: int = 0
    corrupt: int = 0
    lost: int = 0
    openFailed: int = 0
    stalled: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def note(self, reason: str) -> None:
        """
        Count a reason for which sessions ended.
        """
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def __bool__(self) -> bool:
        return any((self.missing, self.outOfOrder, self.corrupt, self.lost, self.openFailed, self.stalled))


class Receiver:
    """
    Checks what one session receives: every message of its L{Messages}, whole and in order.

    @ivar issued: the messages that are on their way, in runs of the same time of departure: C{[time, count]}.

    @ivar outstanding: how many they are.
    """

    __slots__ = ("_errors", "_next", "issued", "messages", "outstanding")

    def __init__(self, messages: Messages, errors: Errors) -> None:
        self.messages = messages
        self.issued: deque[list[float]] = deque()
        self.outstanding = 0
        self._next = 0
        self._errors = errors

    def expect(self, now: float, count: int) -> None:
        """
        Some more messages depart.
        """
        self.issued.append([now, count])
        self.outstanding += count

    def take(self, content: bytes) -> int:
        """
        @param content: what stands in the frame between the brackets and the outer quotes.

        @return: the number of messages that came, or are given up because later ones came.
        """
        messages = self.messages
        stride = messages.stride
        count = (len(content) + 3) // stride
        start = self._next * stride
        if count <= self.outstanding and content == messages.joined[start : start + count * stride - 3]:
            self._next = (self._next + count) % messages.period
            self.outstanding -= count
            return count
        return self._takeApart(content)

    def _takeApart(self, content: bytes) -> int:
        try:
            texts = json.loads(b'["' + content + b'"]')
        except ValueError:
            self._errors.corrupt += 1
            return 0
        return sum(self._takeOne(str(text).encode()) for text in texts)

    def _takeOne(self, text: bytes) -> int:
        messages = self.messages
        place = messages.places.get(text)
        if place is None:
            self._errors.corrupt += 1
            place = self._next  # so that the load goes on
        ahead = (place - self._next) % messages.period
        if ahead >= self.outstanding:
            self._errors.outOfOrder += 1
            return 0
        self._errors.missing += ahead
        self._next = (place + 1) % messages.period
        self.outstanding -= ahead + 1
        return ahead + 1

    def departures(self, count: int) -> list[tuple[float, int]]:
        """
        @param count: how many messages L{take} has told of.

        @return: when they departed, and how many at each time.
        """
        issued = self.issued
        found = []
        while count:
            run = issued[0]
            some = int(min(count, run[1]))
            found.append((run[0], some))
            if some == run[1]:
                issued.popleft()
            else:
                run[1] -= some
            count -= some
        return found
