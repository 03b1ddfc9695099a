# -*- test-case-name: tests.test_client,tests.node.check_peer -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Protocols that tests connect with the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.interfaces import ISockJSProtocol

__all__ = ["Bot", "BytesBot", "connected"]


class BytesBot(Protocol):
    """
    Writes down what comes, and can be waited for.

    @ivar received: what came.
    @ivar lost: why the connection ended, once it has.
    """

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.lost: Failure | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self._took(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self._look()

    def until(self, what: Callable[[], bool], clock: IReactorTime, patience: float = 30.0) -> Deferred[None]:
        """
        @return: fires when C{what} is true; it is asked each time that something happens.
        """
        happened: Deferred[None] = Deferred()
        self._waiting.append((what, happened))
        self._look()
        return happened.addTimeout(patience, clock)

    async def gets(self, count: int, clock: IReactorTime, patience: float = 30.0) -> list[Any]:
        """
        Wait for so many messages.

        @return: all that came.
        """
        await self.until(lambda: len(self.received) >= count or self.lost is not None, clock, patience)
        return self.received

    async def ends(self, clock: IReactorTime, patience: float = 30.0) -> BaseException | None:
        """
        Wait for the end.

        @return: why.
        """
        await self.until(lambda: self.lost is not None, clock, patience)
        assert self.lost is not None
        return self.lost.value

    def _took(self, message: Any) -> None:
        self.received.append(message)
        self._look()

    def _look(self) -> None:
        for waiting in list(self._waiting):
            if waiting[0]():
                self._waiting.remove(waiting)
                waiting[1].callback(None)


@implementer(ISockJSProtocol)
class Bot(BytesBot):
    """
    The same with messages of text.
    """

    def messageReceived(self, message: str) -> None:
        self._took(message)


async def connected(endpoint: Any, protocol: Callable[[], Protocol] = Bot) -> Any:
    """
    Connect.

    @return: the protocol.
    """
    return await endpoint.connect(Factory.forProtocol(protocol))
