# -*- test-case-name: tests.test_liveness -*-
"""
What a socket tells about the peer at its other end: whether it takes what is sent, and that it is gone.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.tcp import Server

__all__ = ["unsentBytes", "watchPeer"]

_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

_MOST = 2**31 - 1
"""What a socket option has room for."""


def unsentBytes(transport: Any) -> int:
    """
    @param transport: a transport, whatever TLS or PROXY protocol lies between it and the socket.

    @return: how many bytes the peer has yet to take: those that wait in Twisted and, where the platform tells, those
        in the kernel. 0 where there is no socket to ask, so that it never seems to shrink.
    """
    descriptor = transport if type(transport) is Server else _descriptorBelow(transport)
    if descriptor is None:
        return 0
    waiting: int = len(descriptor.dataBuffer) - descriptor.offset + descriptor._tempDataLen
    return waiting + _inKernel(descriptor)


def watchPeer(transport: Any, timeout: float) -> None:
    """
    Have the kernel break the connection when what was sent stays unacknowledged for C{timeout} seconds, where the
    platform can do that; otherwise it tries for a quarter of an hour. Does nothing where there is no TCP.

    @param timeout: 0 for as long as the kernel likes.
    """
    connection = getattr(_descriptorBelow(transport), "socket", None)
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # a connection that is broken already is lost soon
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if _USER_TIMEOUT is not None and timeout:
            connection.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, max(1, min(int(timeout * 1000), _MOST)))


def _descriptorBelow(transport: Any) -> FileDescriptor | None:
    # An HTTP/2 stream has no transport of its own.
    transport = getattr(transport, "_conn", transport)
    while transport is not None and not isinstance(transport, FileDescriptor):
        transport = getattr(transport, "transport", None)
    return transport


if sys.platform == "win32":

    def _inKernel(descriptor: FileDescriptor) -> int:
        return 0

else:
    import fcntl
    import termios

    def _inKernel(descriptor: FileDescriptor) -> int:
        try:
            answer = fcntl.ioctl(descriptor.fileno(), termios.TIOCOUTQ, _ROOM)
        except (OSError, ValueError):  # it may be gone
            return 0
        return int.from_bytes(answer, sys.byteorder)

    _ROOM = bytes(4)
