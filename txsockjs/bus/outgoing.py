# -*- test-case-name: tests.test_bus_redis -*-
"""
What a process has published and the bus has not taken yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from txsockjs.bus.envelopes import pack

__all__ = ["MAX_FLIGHT", "MAX_PIECE", "MAX_PIECES", "Outgoing", "Piece"]

MAX_PIECE = 65536
"""Bytes of messages from which on a piece takes no more of them."""

MAX_FLIGHT = 1_048_576
"""Bytes that may be on their way, as the bus has not said yet that it has them; what waits meanwhile grows together."""


MAX_PIECES = 1000
"""How many pieces may be on their way: what is to be done for each is done in one go, while all else has to wait."""


class Piece:
    """
    Messages of one channel that travel together.

    @ivar parts: see L{pack}.
    @ivar size: the size of the messages.
    @ivar since: when the first one was published.
    @ivar number: which of this process's pieces it is, once it is sent.
    @ivar packed: what travels, once it is sent.
    """

    __slots__ = ("channel", "mark", "number", "packed", "parts", "since", "size")

    def __init__(self, channel: str, mark: int, since: float) -> None:
        self.channel = channel
        self.mark = mark
        self.since = since
        self.parts: list[tuple[bool, bytes]] = []
        self.size = 0
        self.number = 0
        self.packed = b""


class Outgoing:
    """
    A bounded buffer: pieces that wait for their turn, by channel, and then those that are on their way, in the order of
    their numbers.

    @ivar flight: the pieces that are on their way.
    @ivar messages: how many messages there are.
    @ivar size: their size in bytes.
    """

    def __init__(self, origin: str, maxMessages: int, maxBytes: int) -> None:
        self._origin = origin
        self._maxMessages = maxMessages
        self._maxBytes = maxBytes
        self._waiting: dict[str, deque[Piece]] = {}
        self._number = 0
        self._flying = 0
        self.flight: deque[Piece] = deque()
        self.messages = 0
        self.size = 0

    def put(self, channel: str, isBytes: bool, data: bytes, mark: int, now: float) -> bool:
        """
        Keep a message.

        @return: whether there is room for it.
        """
        size = len(data)
        if self.messages >= self._maxMessages or self.size + size > self._maxBytes:
            return False
        pieces = self._waiting.get(channel)
        if pieces is None:
            pieces = self._waiting[channel] = deque()
        if pieces and pieces[-1].mark == mark and pieces[-1].size < MAX_PIECE:
            piece = pieces[-1]
        else:
            piece = Piece(channel, mark, now)
            pieces.append(piece)
        piece.parts.append((isBytes, data))
        piece.size += size
        self.messages += 1
        self.size += size
        return True

    def take(self, isHeld: Callable[[str], bool]) -> list[Piece]:
        """
        Take what may go now, as much as may be on its way at once.

        @param isHeld: tells whether a channel has to wait.

        @return: the pieces, which are in L{flight} from then on.
        """
        taken: list[Piece] = []
        emptied: list[str] = []
        unfinished: str | None = None
        for channel, pieces in self._waiting.items():
            if self._isFull:
                break
            if isHeld(channel):
                continue
            while pieces and not self._isFull:
                taken.append(self._depart(pieces.popleft()))
            if pieces:
                unfinished = channel
            else:
                emptied.append(channel)
        for channel in emptied:
            del self._waiting[channel]
        if unfinished is not None:
            # Others first, the next time.
            self._waiting[unfinished] = self._waiting.pop(unfinished)
        return taken

    @property
    def _isFull(self) -> bool:
        return self._flying >= MAX_FLIGHT or len(self.flight) >= MAX_PIECES

    def _depart(self, piece: Piece) -> Piece:
        self._number += 1
        piece.number = self._number
        piece.packed = pack(self._origin, piece.number, piece.mark, piece.parts)
        self._flying += piece.size
        self.flight.append(piece)
        return piece

    def landed(self) -> Piece:
        """
        The first of those that are on their way has arrived.

        @return: that one.
        """
        piece = self.flight.popleft()
        self._flying -= piece.size
        self.messages -= len(piece.parts)
        self.size -= piece.size
        return piece

    def clear(self) -> dict[str, int]:
        """
        Give everything up.

        @return: how many messages that were, by channel.
        """
        lost: dict[str, int] = {}
        for piece in [*self.flight, *(piece for pieces in self._waiting.values() for piece in pieces)]:
            lost[piece.channel] = lost.get(piece.channel, 0) + len(piece.parts)
        self._waiting.clear()
        self.flight.clear()
        self.messages = self.size = self._flying = 0
        return lost

    @property
    def isEmpty(self) -> bool:
        """
        Whether everything has arrived.
        """
        return not self.messages
