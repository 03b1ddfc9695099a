# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Our own server, for C{twistd sockjs --factory echo=...Echo --factory fanout=...Fanout}.
"""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.broadcast import broadcast
from txsockjs.interfaces import ISockJSProtocol

__all__ = ["Echo", "Fanout"]


@implementer(ISockJSProtocol)
class Echo(Protocol):
    """
    Sends every message back.
    """

    def messageReceived(self, message: str) -> None:
        """
        Send it back.
        """
        self.transport.write(message)  # type: ignore[union-attr, arg-type]


@implementer(ISockJSProtocol)
class _Member(Protocol):
    factory: Fanout  # type: ignore[assignment]

    def connectionMade(self) -> None:
        self.factory.members.add(self)

    def messageReceived(self, message: str) -> None:
        broadcast(message, self.factory.members)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.members.discard(self)


class Fanout(Factory):
    """
    Sends every message to all.
    """

    protocol = _Member

    def __init__(self) -> None:
        self.members: set[_Member] = set()
