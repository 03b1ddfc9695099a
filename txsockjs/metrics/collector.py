# -*- test-case-name: tests.test_metrics -*-
"""
What is watched, in the words of Prometheus. Nothing is counted here: the numbers are those that services keep anyway,
and each scrape looks at every session once.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from twisted.internet.interfaces import IReactorTime

import twisted
import txsockjs
from txsockjs.metrics.loop import BOUNDS
from txsockjs.metrics.watched import Places, Watched
from txsockjs.resource import SockJSResource
from txsockjs.session import State
from txsockjs.stats import Cause

__all__ = ["SockJSCollector", "collectorOf"]


class SockJSCollector(Collector):
    """
    Collects from one process. Call it in the reactor's thread: services belong to that.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def describe(self) -> Iterable[Metric]:
        """
        @return: the names, for the registry, which would otherwise collect to learn them.
        """
        return [*_ofServices({}), *_ofProcess(self._watched)]

    def collect(self) -> Iterator[Metric]:
        """
        Look at the services.
        """
        yield from _ofServices(self._watched.services)
        yield from _ofProcess(self._watched)

    def stop(self) -> None:
        """
        Look at the reactor no longer; no delayed call is left. For tests that make collectors.
        """
        self._watched.stop()


def collectorOf(services: Places, reactor: IReactorTime | None = None) -> SockJSCollector:
    """
    Make a collector for a C{CollectorRegistry} of your own, which has to be read in the reactor's thread. It looks at
    the reactor from now on, twice a second.

    @param services: services by their paths, or a site.

    @param reactor: where time comes from; the global reactor by default.
    """
    watched = Watched(services, "", reactor)
    watched.start()
    return SockJSCollector(watched)


def _ofServices(services: Mapping[str, SockJSResource]) -> Iterator[Metric]:
    sessions = GaugeMetricFamily(
        "sockjs_sessions", "Sessions now, by transport and state.", labels=["service", "transport", "state"]
    )
    limit = GaugeMetricFamily("sockjs_sessions_limit", "Sessions that there may be.", labels=["service"])
    opened = CounterMetricFamily(
        "sockjs_sessions_opened", "Sessions that were opened, by transport.", labels=["service", "transport"]
    )
    closed = CounterMetricFamily(
        "sockjs_sessions_closed", "Sessions that ended, by what ended them.", labels=["service", "cause"]
    )
    refused = CounterMetricFamily(
        "sockjs_refused", "Requests and messages that were refused, by cause.", labels=["service", "cause"]
    )
    families = {
        "messagesIn": CounterMetricFamily(
            "sockjs_messages_received", "Messages that came from clients.", labels=["service"]
        ),
        "messagesOut": CounterMetricFamily(
            "sockjs_messages_sent", "Messages that protocols sent, by session.", labels=["service"]
        ),
        "bytesIn": CounterMetricFamily(
            "sockjs_received_bytes", "What messages came in, with the JSON around them.", labels=["service"]
        ),
        "bytesOut": CounterMetricFamily(
            "sockjs_sent_bytes", "Messages that protocols sent, encoded, without frames.", labels=["service"]
        ),
        "pauses": CounterMetricFamily(
            "sockjs_producer_pauses", "How often a producer of a protocol was paused.", labels=["service"]
        ),
    }
    waiting = {
        "queuedBytes": GaugeMetricFamily("sockjs_queued_bytes", "What waits for clients, encoded.", labels=["service"]),
        "queuedMessages": GaugeMetricFamily(
            "sockjs_queued_messages", "Messages that wait for clients.", labels=["service"]
        ),
        "paused": GaugeMetricFamily("sockjs_sessions_paused", "Sessions whose producer is paused.", labels=["service"]),
        "blocked": GaugeMetricFamily(
            "sockjs_sessions_blocked", "Sessions whose connection takes no data for now.", labels=["service"]
        ),
    }
    draining = GaugeMetricFamily(
        "sockjs_draining", "1 while the service takes no new sessions, else 0.", labels=["service"]
    )
    for path, service in services.items():
        gauges, stats = service.gauges(), service.stats
        # What can be is there from the beginning, or the first of a kind would not look like a rise.
        for transport in dict.fromkeys([*service.options.transports, *stats.opened]):
            opened.add_metric([path, transport], stats.opened[transport])
            gauges.sessions[transport, State.OPEN.value] += 0
        for (transport, state), number in sorted(gauges.sessions.items()):
            sessions.add_metric([path, transport, state], number)
        for cause in Cause:
            closed.add_metric([path, str(cause)], stats.closed[cause])
        for why, number in sorted(stats.refused.items()):
            refused.add_metric([path, why], number)
        for name, counter in families.items():
            counter.add_metric([path], getattr(stats, name))
        for name, gauge in waiting.items():
            gauge.add_metric([path], getattr(gauges, name))
        if service.options.max_sessions:
            limit.add_metric([path], service.options.max_sessions)
        draining.add_metric([path], service.isDraining)
    yield from (sessions, limit, opened, closed, refused, *families.values(), *waiting.values(), draining)


def _ofProcess(watched: Watched) -> Iterator[Metric]:
    lag = watched.lag
    bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
    histogram = HistogramMetricFamily(
        "sockjs_event_loop_lag_seconds", "How late the reactor calls what is due, looked at twice a second."
    )
    histogram.add_metric([], list(zip(bounds, accumulate(lag.counts))), lag.total)
    yield histogram
    yield GaugeMetricFamily("sockjs_event_loop_lag_last_seconds", "The last of these.", lag.last)
    yield GaugeMetricFamily("sockjs_event_loop_lag_max_seconds", "The greatest of the last minute.", lag.most)
    yield GaugeMetricFamily("sockjs_up", "1 for a process that answers, else 0.", 1)
    build = GaugeMetricFamily("sockjs_build_info", "1, with what runs.", labels=["version", "twisted", "python"])
    build.add_metric([txsockjs.__version__, twisted.__version__, platform.python_version()], 1)
    yield build
