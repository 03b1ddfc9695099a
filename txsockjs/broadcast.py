# -*- test-case-name: tests.test_broadcast -*-
"""
One message to many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from txsockjs.codec import SharedMessage
from txsockjs.connection import Connection

__all__ = ["broadcast"]


def broadcast(message: bytes | str, targets: Iterable[Any]) -> None:
    """
    Send one message to many. It is encoded once for all sessions that take it in the same form.

    @param message: what C{write} of each target takes.

    @param targets: transports, or protocols whose transports are meant. Those of other kinds than SockJS get it by
        their C{write}.

    @raise ValueError: when the bytes can't be decoded in the encoding of a target; then nobody has got the message.
    """
    transports: list[Any] = [target if hasattr(target, "write") else target.transport for target in targets]
    shared: dict[str, SharedMessage | None] = {}
    for transport in transports:
        if isinstance(transport, Connection) and (name := transport.encodingName) not in shared:
            text = transport.textOf(message)
            shared[name] = None if text is None else SharedMessage(text)
    for transport in transports:
        if not isinstance(transport, Connection):
            transport.write(message)
        elif (prepared := shared[transport.encodingName]) is not None:
            transport.writeShared(prepared)
