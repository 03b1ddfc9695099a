# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Our own server, for C{twistd sockjs --factory echo=...Echo --factory fanout=...Fanout}.
"""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.broadcast import broadcast
from txsockjs.connection import Connection
from txsockjs.interfaces import ISockJSProtocol

__all__ = ["Echo", "Fanout", "Member"]


@implementer(ISockJSProtocol)
class Echo(Protocol):
    """
    Sends every message back.
    """

    transport: Connection

    def messageReceived(self, message: str) -> None:
        """
        Send it back.
        """
        self.transport.write(message)


@implementer(ISockJSProtocol)
class Member(Protocol):
    """
    One session of L{Fanout}.
    """

    factory: Fanout

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

    protocol = Member  # type: ignore[assignment]

    def __init__(self) -> None:
        self.members: set[Member] = set()
