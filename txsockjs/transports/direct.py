# -*- test-case-name: tests.test_direct -*-
"""
Writing without a detour, for speed. C{transport.write} waits for the reactor to say that the socket has room, which
costs two system calls around every C{send}; a plain TCP connection that has nothing to send as yet can be tried at
once.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Server

__all__ = ["writeNow"]


def writeNow(transport: Any, data: bytes) -> None:
    """
    Write C{data}, at once where that can be done; in any case as C{transport.write} would, in order, and with whatever
    has no room left to the transport, which pauses its producer then.
    """
    if (
        type(transport) is not Server
        or transport.dataBuffer
        or transport._tempDataBuffer
        or transport.disconnecting
        or transport._aborting
        or transport._writeDisconnected
        or not transport.connected
        or transport.TLS
        or len(data) > Server.SEND_LIMIT
    ):
        transport.write(data)
        return
    try:
        sent = transport.socket.send(data)
    except OSError:  # it has no room, or is broken: the reactor finds that out, and tells
        transport.write(data)
        return
    if sent < len(data):
        transport.write(data[sent:])
