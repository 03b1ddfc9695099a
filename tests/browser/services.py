# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What C{twistd sockjs} serves to the pages of the matrix: C{--factory PREFIX=tests.browser.services.NAME}.
"""

from __future__ import annotations

import json

from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from tests.browser.matrix import MESSAGES
from txsockjs.interfaces import ISockJSProtocol

__all__ = ["Closing", "Pushing"]


class Pushing(Protocol):
    """
    Sends all the messages of the matrix by itself, in ten pieces, and then nothing more.
    """

    def connectionMade(self) -> None:
        self.pieces = [MESSAGES[start : start + 10] for start in range(0, len(MESSAGES), 10)]
        self.loop = LoopingCall(self.push)
        self.loop.clock = reactor
        self.loop.start(0.03)

    def push(self) -> None:
        for message in self.pieces.pop(0):
            self.transport.write(message)
        if not self.pieces:
            self.loop.stop()

    def connectionLost(self, reason: object = None) -> None:
        if self.loop.running:
            self.loop.stop()


@implementer(ISockJSProtocol)
class Closing(Protocol):
    """
    Says farewell and closes as it is told, by a code and a reason in JSON.
    """

    def messageReceived(self, message: str) -> None:
        code, reason = json.loads(message)
        self.transport.write("farewell")
        self.transport.close(code, reason)
