# -*- test-case-name: tests.test_metrics -*-
"""
What C{--metrics} serves: C{/metrics}, C{/health}, and the status page at C{/}.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import REGISTRY
from prometheus_client.registry import CollectorRegistry
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from txsockjs.broadcast import Channels, channels
from txsockjs.channel import Channel
from txsockjs.factory import SockJSMultiFactory
from txsockjs.health import HealthResource
from txsockjs.metrics.exposition import ExpositionResource
from txsockjs.metrics.page import page, pageFiles
from txsockjs.metrics.peers import Peer
from txsockjs.metrics.status import AllHealthResource, Board, StatusResource
from txsockjs.metrics.watched import Places, Watched
from txsockjs.mounting import mount
from txsockjs.timers import Deadlines

__all__ = ["MetricsResource", "StatusSite"]

_PATIENCE = 20
"""Seconds that a request has to arrive."""

_MOST = 4096
"""The size that the body of a request may have; nothing here needs one."""


class MetricsResource(ExpositionResource):
    """
    C{/metrics}, to be hung into a site of your own.
    """

    def __init__(
        self,
        services: Places,
        *,
        process: str = "",
        registry: CollectorRegistry = REGISTRY,
        reactor: IReactorTime | None = None,
        channels: Channels = channels,
    ) -> None:
        """
        Look at the reactor from now on, twice a second.

        @param services: services by their paths, or a site.

        @param process: the name of this process, for the label of that name; there is none by default.

        @param registry: what is told as well: the application's own metrics, and by default facts of the process.

        @param reactor: where time comes from; the global reactor by default.

        @param channels: the channels of this process; by default those of L{txsockjs.broadcast}.
        """
        watched = Watched(services, process, reactor, channels)
        super().__init__(watched, registry=registry)
        watched.start()
        self.stop = watched.stop


class StatusSite(SockJSMultiFactory):
    """
    A site for those who watch: C{/metrics}, C{/health}, C{/status.json}, and the status page at C{/}. It has no
    services.
    """

    def __init__(
        self,
        watched: Watched | None,
        peers: Sequence[Peer] = (),
        *,
        registry: CollectorRegistry = REGISTRY,
        reactor: IReactorTime | None = None,
    ) -> None:
        """
        @param watched: this process; L{None} if it serves nothing itself, such as a supervisor.

        @param peers: other processes that are shown as well.

        @param registry: what else to tell at C{/metrics}: the application's own metrics, and facts of the process.

        @param reactor: where time comes from; the global reactor by default.
        """
        super().__init__(reactor=reactor)
        self.arrivals = Deadlines(self.reactor, _PATIENCE, Channel.overdue)
        board = Board(watched, peers, self.reactor)
        alone = watched is not None and not peers
        leaves: dict[str, IResource] = {
            "metrics": ExpositionResource(watched, peers, registry),
            "health": HealthResource(watched) if watched is not None and alone else AllHealthResource(board),
            "status.json": StatusResource(board),
            **pageFiles(),
        }
        for path, leaf in leaves.items():
            mount(self.resource, path, leaf)
        self.resource.putChild(b"", page())

    def limitFor(self, uri: bytes) -> int:
        """
        @return: the size that the body of any request may have.
        """
        return _MOST
