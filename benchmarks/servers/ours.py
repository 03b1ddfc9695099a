# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Our own server, for C{twistd sockjs --factory echo=...Echo --factory fanout=...Fanout --factory channel=...Listener}.

L{Fanout} is for one process, and L{Listener} for any number of them.
"""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.broadcast import broadcast, publish, subscribe
from txsockjs.connection import Connection
from txsockjs.interfaces import ISockJSProtocol

__all__ = ["Echo", "Fanout", "Listener", "Member"]


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


@implementer(ISockJSProtocol)
class Listener(Protocol):
    """
    Sends every message to all, in whatever process they are.
    """

    transport: Connection

    def connectionMade(self) -> None:
        subscribe(self.transport, "all")

    def messageReceived(self, message: str) -> None:
        """
        Send it to all.
        """
        publish("all", message)
