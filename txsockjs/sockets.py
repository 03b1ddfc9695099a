# -*- test-case-name: tests.test_sockets -*-
"""
Unix sockets that were left behind.

Twisted takes away the socket of a process that was killed, if the number of that process in the lock beside it is
nobody's. In a container the numbers begin anew with each start, so that this number may well be somebody's, such as
that of the very process which is about to listen.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

__all__ = ["removeLeftover"]


def removeLeftover(path: str) -> None:
    """
    Remove a socket with its lock, if there are both and nobody listens there. Nothing is said where that can't be done:
    listening fails then, and tells why.

    @param path: the path of the socket.
    """
    lock = f"{path}.lock"
    if not os.path.islink(lock):
        return
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            os.unlink(lock)
