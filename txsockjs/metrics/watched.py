# -*- test-case-name: tests.test_metrics -*-
"""
What is watched: the services of this process, and the process itself.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime

import txsockjs
from txsockjs.broadcast import Channels, channels
from txsockjs.factory import SockJSFactory, SockJSMultiFactory
from txsockjs.memory import residentMemory
from txsockjs.metrics.loop import LoopLag
from txsockjs.resource import SockJSResource
from txsockjs.session import State
from txsockjs.timers import chooseClock

__all__ = ["Places", "Watched"]

Places = Mapping[str, SockJSResource] | SockJSFactory | SockJSMultiFactory
"""Services by their paths, or a site, whose services are watched as they are added."""


class Watched:
    """
    This process.

    @ivar name: its name among the processes of the service; empty where there is but one.
    @ivar lag: how late its reactor is.
    @ivar channels: its channels.
    """

    def __init__(
        self,
        places: Places,
        name: str = "",
        reactor: IReactorTime | None = None,
        channels: Channels = channels,
    ) -> None:
        """
        @param places: what to watch.

        @param name: the name of this process.

        @param reactor: where time comes from; the global reactor by default.

        @param channels: the channels of this process; by default those of L{txsockjs.broadcast}.
        """
        self.name = name
        self.channels = channels
        self._places = places
        self._clock = chooseClock(reactor)
        self._since = self._clock.seconds()
        self.lag = LoopLag(self._clock)

    @property
    def services(self) -> Mapping[str, SockJSResource]:
        """
        The services, by their paths.
        """
        return self._places if isinstance(self._places, Mapping) else self._places.services

    @property
    def isDraining(self) -> bool:
        """
        Whether something that is watched takes no new sessions.
        """
        if isinstance(self._places, Mapping):
            return any(service.isDraining for service in self._places.values())
        return self._places.isDraining

    def start(self) -> None:
        """
        Begin to look at the reactor.
        """
        self.lag.start()

    def stop(self) -> None:
        """
        Look at it no longer; no delayed call is left.
        """
        self.lag.stop()

    def facts(self) -> dict[str, Any]:
        """
        @return: how things stand now, ready for JSON; see the page "Watching" of the documentation.
        """
        return {
            "process": self.name,
            "state": "draining" if self.isDraining else "serving",
            "pid": os.getpid(),
            "version": txsockjs.__version__,
            "uptime": round(self._clock.seconds() - self._since, 3),
            "memory": residentMemory(),
            "cpu": round(time.process_time(), 3),
            "lag": {"last": round(self.lag.last, 6), "most": round(self.lag.most, 6)},
            "channels": _factsOfChannels(self.channels),
            "services": [_factsOf(path, service) for path, service in self.services.items()],
        }


def _factsOfChannels(channels: Channels) -> dict[str, Any]:
    gauges, bus = channels.gauges(), channels.bus
    facts, stats = bus.facts(), bus.stats
    return {
        "channels": gauges.channels,
        "members": gauges.members,
        **channels.stats.asDict(),
        "bus": {
            "name": facts.name,
            "connected": facts.connected,
            "waiting_messages": facts.waitingMessages,
            "waiting_bytes": facts.waitingBytes,
            "lag": round(stats.lastLag, 6) if stats.lagCount else None,
            "disconnects": stats.disconnects,
        },
    }


def _factsOf(path: str, service: SockJSResource) -> dict[str, Any]:
    gauges = service.gauges()
    transports: Counter[str] = Counter()
    states: Counter[str] = Counter()
    for (transport, state), number in gauges.sessions.items():
        states[state] += number
        if state != State.CLOSED.value:
            transports[transport] += number
    return {
        "path": path,
        "draining": service.isDraining,
        "sessions": dict(transports),
        "states": dict(states),
        "queued_bytes": gauges.queuedBytes,
        "queued_messages": gauges.queuedMessages,
        "paused": gauges.paused,
        "blocked": gauges.blocked,
        **service.stats.asDict(),
    }
