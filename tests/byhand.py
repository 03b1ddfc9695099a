# -*- test-case-name: tests.test_direct,tests.test_differential -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Twisted's own TCP transport, turn by turn: over real sockets or over ones in memory, without a reactor that runs.

So a test says what happens in which turn, and how much the kernel takes.
"""

from __future__ import annotations

import errno
import select
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IReactorFDSet
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["HandReactor", "MemorySocket", "serverOn"]

PEER = ("127.0.0.1", 50000)


@implementer(IReactorFDSet)
class HandReactor(Clock):
    """
    A reactor of which each turn is asked for. What is put off within a turn happens in a later one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: dict[Any, None] = {}
        self.writers: dict[Any, None] = {}

    def addReader(self, reader: Any) -> None:
        self.readers[reader] = None

    def addWriter(self, writer: Any) -> None:
        self.writers[writer] = None

    def removeReader(self, reader: Any) -> None:
        self.readers.pop(reader, None)

    def removeWriter(self, writer: Any) -> None:
        self.writers.pop(writer, None)

    def removeAll(self) -> list[Any]:
        return []

    def getReaders(self) -> list[Any]:
        return list(self.readers)

    def getWriters(self) -> list[Any]:
        return list(self.writers)

    def turn(self, patience: float = 0) -> bool:
        """
        One turn: what is due, then each transport that can read or write, in this order, as C{epoll} does it.

        @param patience: how long to wait for real sockets.

        @return: whether anything happened.
        """
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        readable, writable = self._ready(patience)
        for transport in {**dict.fromkeys(readable), **dict.fromkeys(writable)}:
            why = transport.doRead() if transport in readable and transport in self.readers else None
            if why is not None and transport.connected and isinstance(why, ConnectionDone):
                self.removeReader(transport)
                transport.readConnectionLost(Failure(why))  # the other end may still take something
                continue
            if why is None and transport in writable and transport in self.writers:
                why = transport.doWrite()
            if why is not None:
                transport.connectionLost(Failure(why))
        return bool(due or readable or writable)

    def _ready(self, patience: float) -> tuple[list[Any], list[Any]]:
        readers, writers = list(self.readers), list(self.writers)
        if all(isinstance(transport.socket, MemorySocket) for transport in readers + writers):
            return (
                [reader for reader in readers if reader.socket.isReadable],
                [writer for writer in writers if writer.socket.isWritable],
            )
        return select.select(readers, writers, [], patience)[:2]

    def wait(self, seconds: float) -> None:
        """
        Let time pass, and everything happen at its time.
        """
        end = self.rightNow + seconds
        self.settle()
        while self.calls and (due := min(call.getTime() for call in self.calls)) <= end:
            self.rightNow = max(self.rightNow, due)
            self.settle()
        self.rightNow = end

    def settle(self) -> None:
        """
        Go on until nothing more happens by itself.
        """
        for _ in range(100_000):
            if not self.turn():
                return
        raise AssertionError("there is no end of it")


class MemorySocket:
    """
    One end of a connection, with what the kernel would hold for it.

    @ivar room: how many bytes may be sent before the other end takes any.
    @ivar sent: all that was sent.
    @ivar taken: how much of it the other end has taken.
    @ivar ended: how the other end has ended, a number of C{errno}, or 0 for the orderly way.
    @ivar closed: whether this end is closed.
    """

    family = 0  # none that has options

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent = bytearray()
        self.taken = 0
        self.ended: int | None = None
        self.closed = False
        self._arrived = bytearray()

    # -- the other end ------------------------------------------------------------------------------------------------

    def arrive(self, data: bytes) -> None:
        """
        The other end sends.
        """
        if self.ended is None:
            self._arrived += data

    def take(self, size: int) -> None:
        """
        The other end reads.
        """
        self.taken = min(len(self.sent), self.taken + size)

    @property
    def isReadable(self) -> bool:
        return bool(self._arrived) or self.ended is not None

    @property
    def isWritable(self) -> bool:
        return bool(self.ended) or self._free > 0

    @property
    def _free(self) -> int:
        return self.room - (len(self.sent) - self.taken)

    # -- this end -----------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> int:
        if self.ended:
            raise OSError(self.ended, "broken")
        size = min(len(data), self._free)
        if size <= 0:
            raise OSError(errno.EWOULDBLOCK, "full")
        self.sent += data[:size]
        return size

    def recv(self, size: int) -> bytes:
        data = bytes(self._arrived[:size])
        if not data and self.ended:
            raise OSError(self.ended, "broken")
        if not data and self.ended is None:
            raise OSError(errno.EWOULDBLOCK, "empty")
        del self._arrived[:size]
        return data

    def setblocking(self, flag: bool) -> None:
        pass

    def setsockopt(self, *args: object) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 8081)

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def serverOn(reactor: HandReactor, sock: Any, protocol: IProtocol) -> Server:
    """
    @return: a transport on a socket that is connected, with its protocol.
    """
    transport = Server(sock, protocol, PEER, None, 0, reactor)
    transport.repstr = "<a server by hand>"
    protocol.makeConnection(transport)
    return transport
