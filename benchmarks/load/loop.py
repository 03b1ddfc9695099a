# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The connections: non-blocking sockets on one epoll.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

__all__ = ["Connection", "Loop"]

_READ_SIZE = 1 << 16

#: epoll waits for whole milliseconds; waits that are shorter than this many seconds are left to select.
_SHORT = 0.05

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Connection:
    """
    A TCP connection.

    @ivar received: called with the bytes that come.

    @ivar closed: called with the reason, or C{""} for an orderly end, unless we close it ourselves.
    """

    __slots__ = ("_loop", "_out", "_socket", "closed", "fd", "received")

    def __init__(
        self,
        loop: Loop,
        address: tuple[str, int],
        received: Callable[[bytes], None],
        closed: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self.received = received
        self.closed = closed
        self._out = b""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self._socket.fileno()
        loop.bind(self._socket)
        self._socket.connect_ex(address)
        loop.connections[self.fd] = self
        loop.epoll.register(self.fd, _IN)

    def write(self, data: bytes) -> None:
        """
        Send, now or when there is room.
        """
        if self._out:
            self._out += data
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            sent = 0  # of an end, reading tells more
        if sent != len(data):
            self._out = data[sent:]
            self._loop.epoll.modify(self.fd, _IN | _OUT)

    def ready(self, events: int) -> None:
        """
        There is something to do.
        """
        if events & _OUT:
            data, self._out = self._out, b""
            self._loop.epoll.modify(self.fd, _IN)
            self.write(data)
            if not events & ~_OUT:
                return
        try:
            data = self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self.close()
            self.closed(error.strerror or str(error))
            return
        if data:
            self._loop.received += len(data)
            self.received(data)
        else:
            self.close()
            self.closed("")

    def close(self) -> None:
        """
        Close, if that has not happened.
        """
        if self._loop.connections.pop(self.fd, None) is not None:
            self._socket.close()


class Loop:
    """
    All connections.

    @ivar received: how many bytes have come.
    """

    def __init__(self, sources: int = 1) -> None:
        """
        @param sources: how many addresses of this host connections come from, in turn. The ports of one can run out.
        """
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.received = 0
        self._sources = sources
        self._next = 0

    def bind(self, sock: socket.socket) -> None:
        """
        Choose the address that a connection comes from.
        """
        if self._sources > 1:
            self._next = (self._next + 1) % self._sources
            sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            sock.bind((f"127.0.0.{self._next + 1}", 0))

    def turn(self, timeout: float) -> None:
        """
        Wait for something to do, and do it.

        @param timeout: seconds to wait at most.
        """
        connections = self.connections
        if 0 < timeout < _SHORT:
            select.select([self.epoll], [], [], timeout)
            timeout = 0
        for fd, events in self.epoll.poll(timeout):
            connection = connections.get(fd)
            if connection is not None:
                connection.ready(events)

    def close(self) -> None:
        """
        Close all.
        """
        for connection in list(self.connections.values()):
            connection.close()
        self.epoll.close()


def newPath() -> str:
    """
    @return: the path of a session that nobody has had.
    """
    return f"/{os.getpid() % 1000:03d}/{os.urandom(8).hex()}"
