# -*- test-case-name: tests.test_metrics -*-
"""
Watching services run: metrics for Prometheus, a status page, and how late the event loop is.

It needs C{prometheus-client}, which the extra C{metrics} brings. Nothing else in the package imports it.
"""

from __future__ import annotations

from txsockjs.metrics.collector import SockJSCollector, collectorOf
from txsockjs.metrics.loop import LoopLag
from txsockjs.metrics.peers import Peer, peerAt, peerFromString
from txsockjs.metrics.site import MetricsResource, StatusSite
from txsockjs.metrics.watched import Watched

__all__ = [
    "LoopLag",
    "MetricsResource",
    "Peer",
    "SockJSCollector",
    "StatusSite",
    "Watched",
    "collectorOf",
    "peerAt",
    "peerFromString",
]
