# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What the processes behind a balancer serve: C{--factory load=tests.many.application.Member} and so on.

Every message of the server to a session begins with its number, so that its client sees whether one is missing, is
there twice or comes too early. When a session ends, what the application knows of it is added as a line of JSON to a
file in the directory that the variable C{JOURNAL} names.
"""

from __future__ import annotations

import json
import os

from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from txsockjs.broadcast import Gap, channels, publish, subscribe
from txsockjs.interfaces import ISockJSProtocol

__all__ = ["PUBLISH", "WHERE", "Crowd", "Member", "Peer", "Ticking", "Whereabouts"]

PUBLISH = 1000
"""The numbers from here on are published by L{Crowd}."""

WHERE = "where?"
"""What L{Whereabouts} answers."""

TICK = 0.2
"""Seconds between two messages of L{Ticking}."""


@implementer(ISockJSProtocol)
class Member(Protocol):
    """
    Greets with its id, and sends back what comes.

    @ivar written: how many messages were accepted, which is before the session began to close.
    @ivar taken: the numbers that came from the client.
    """

    def connectionMade(self) -> None:
        self.written = 0
        self.taken: list[int] = []
        self.say(f"hello {self.transport.id} {os.getpid()}")

    def say(self, text: str) -> None:
        """
        Send a message, with its number.
        """
        if not self.transport.disconnecting:
            self.transport.write(f"{self.written} {text}")
            self.written += 1

    def messageReceived(self, message: str) -> None:
        self.taken.append(int(message))
        self.say(f"echo {message}")

    def connectionLost(self, reason: object = None) -> None:
        directory = os.environ.get("JOURNAL")
        if directory is None:
            return
        line = {
            "id": self.transport.id,
            "transport": self.transport.transportName,
            "written": self.written,
            "taken": self.taken,
            "code": getattr(reason.value, "code", None),
        }
        with open(os.path.join(directory, f"{os.getpid()}.jsonl"), "a", encoding="ascii") as journal:
            journal.write(json.dumps(line) + "\n")


class Ticking(Member):
    """
    Sends something all the time, too.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self.loop = LoopingCall(self.say, "tick")
        self.loop.clock = reactor
        self.loop.start(TICK, now=False)

    def connectionLost(self, reason: object = None) -> None:
        self.loop.stop()
        super().connectionLost(reason)


CHANNEL = "crowd"


class Crowd(Member):
    """
    Publishes what it is told to, to all of its kind.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        subscribe(self, CHANNEL)

    def messageReceived(self, message: str) -> None:
        if int(message) < PUBLISH:
            super().messageReceived(message)
        else:
            publish(CHANNEL, f"! {os.getpid()} {message}")


@channels.onGap
def tellOfGap(gap: Gap) -> None:
    """
    Tell all of this process that others may have published something that was lost.
    """
    for member in channels.members(CHANNEL):
        member.write("! gap")


class Peer(Protocol):
    """
    Tells where its client is, as it sees it, and by which process.
    """

    def connectionMade(self) -> None:
        self.transport.write(f"{self.transport.getPeer().host} {os.getpid()}".encode("ascii"))


@implementer(ISockJSProtocol)
class Whereabouts(Protocol):
    """
    Sends back what comes, and tells which process it is if it is asked.
    """

    def messageReceived(self, message: str) -> None:
        self.transport.write(str(os.getpid()) if message == WHERE else message)
