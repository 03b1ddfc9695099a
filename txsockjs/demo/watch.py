# -*- test-case-name: tests.test_demo_watch -*-
"""
C{/stats}: the server's own numbers, every second, for the page of the demo.

They are sums. Nothing in them tells who is connected, or names a session.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IPullProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.broadcast import broadcast
from txsockjs.connection import Connection
from txsockjs.memory import residentMemory
from txsockjs.resource import SockJSResource
from txsockjs.session import State
from txsockjs.timers import chooseClock

__all__ = ["Watch", "WatchFactory", "numbersOf"]

PERIOD = 1.0
"""Seconds from one snapshot to the next."""

_log = Logger()


def numbersOf(service: SockJSResource) -> dict[str, Any]:
    """
    @return: how things stand with a service, and what it has counted so far, ready for JSON.
    """
    sessions: Counter[str] = Counter()
    for (transport, state), number in service.gauges().sessions.items():
        if state != State.CLOSED.value:
            sessions[transport] += number
    stats = service.stats
    return {
        "sessions": dict(sessions),
        "opened": stats.opened.total(),
        "refused": stats.refused.total(),
        "messages_in": stats.messagesIn,
        "messages_out": stats.messagesOut,
        "bytes_in": stats.bytesIn,
        "bytes_out": stats.bytesOut,
    }


@implementer(IPullProducer)
class Watch(Protocol):
    """
    Sends the numbers to one that watches. It is asked for them when everything that went before is on its way, so one
    who is slow gets fewer, and never more than one snapshot waits. What it is sent is of no interest.
    """

    factory: WatchFactory
    transport: Connection

    isReady = False
    """Whether it is asked for numbers."""

    def connectionMade(self) -> None:
        """
        Begin with the numbers of now.
        """
        self.factory.watchers[self] = None
        self.transport.write(self.factory.latest())
        self.transport.registerProducer(self, False)
        self.factory.begin()

    def resumeProducing(self) -> None:
        """
        The next numbers can come.
        """
        self.isReady = True

    def stopProducing(self) -> None:
        """
        The session is about to end.
        """
        self.isReady = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End.
        """
        del self.factory.watchers[self]
        self.factory.endIfAlone()


class WatchFactory(Factory):
    """
    Looks at the services once a second, for all that watch, and not at all when nobody does.

    @ivar watchers: those who watch, in the order in which they came.
    """

    protocol = Watch  # type: ignore[assignment]
    noisy = False

    def __init__(self, services: Mapping[str, SockJSResource], clock: IReactorTime | None = None) -> None:
        """
        @param services: what to look at, by the path.

        @param clock: where time comes from; the global reactor by default.
        """
        self.watchers: dict[Watch, None] = {}
        self._services = services
        self._clock = chooseClock(clock)
        self._since = self._clock.seconds()
        self._latest = ""
        self._taken = self._since
        self._loop = LoopingCall(self._tell)
        self._loop.clock = self._clock

    def latest(self) -> str:
        """
        @return: numbers that are less than a second old, however often they are asked for.
        """
        if not self._latest or self._clock.seconds() - self._taken >= PERIOD:
            return self.snapshot()
        return self._latest

    def snapshot(self) -> str:
        """
        @return: the numbers of now, as JSON: C{uptime} in seconds, C{memory} in bytes or null, C{watching}, and for
            each of the C{services} what L{numbersOf} tells, with its path.
        """
        self._taken = self._clock.seconds()
        self._latest = json.dumps(
            {
                "uptime": round(self._taken - self._since, 1),
                "memory": residentMemory(),
                "watching": len(self.watchers),
                "services": [{"path": path, **numbersOf(service)} for path, service in self._services.items()],
            },
            separators=(",", ":"),
        )
        return self._latest

    def begin(self) -> None:
        """
        Look every second, from now on.
        """
        if not self._loop.running:
            self._loop.start(PERIOD, now=False).addErrback(self._failed)

    def endIfAlone(self) -> None:
        """
        Look no longer, if nobody watches.
        """
        if not self.watchers and self._loop.running:
            self._loop.stop()

    def _tell(self) -> None:
        ready = [watch for watch in self.watchers if watch.isReady]
        if not ready:
            return
        text = self.snapshot()
        for watch in ready:
            watch.isReady = False
        broadcast(text, ready)

    def _failed(self, failure: Failure) -> None:
        _log.failure("the numbers of the demo failed", failure)
