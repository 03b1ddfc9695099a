# -*- test-case-name: tests.test_metrics -*-
"""
What is watched, in the words of Prometheus. Nothing is counted here: the numbers are those that services keep anyway,
and each scrape looks at every session once.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from twisted.internet.interfaces import IReactorTime

import twisted
import txsockjs
from txsockjs.broadcast import Channels, channels
from txsockjs.bus.interfaces import LAG_BOUNDS, IBus
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
        return [*_ofServices({}), *_ofChannels(self._watched.channels), *_ofProcess(self._watched)]

    def collect(self) -> Iterator[Metric]:
        """
        Look at the services.
        """
        yield from _ofServices(self._watched.services)
        yield from _ofChannels(self._watched.channels)
        yield from _ofProcess(self._watched)

    def stop(self) -> None:
        """
        Look at the reactor no longer; no delayed call is left. For tests that make collectors.
        """
        self._watched.stop()


def collectorOf(
    services: Places, reactor: IReactorTime | None = None, channels: Channels = channels
) -> SockJSCollector:
    """
    Make a collector for a C{CollectorRegistry} of your own, which has to be read in the reactor's thread. It looks at
    the reactor from now on, twice a second.

    @param services: services by their paths, or a site.

    @param reactor: where time comes from; the global reactor by default.

    @param channels: the channels of this process; by default those of L{txsockjs.broadcast}.
    """
    watched = Watched(services, "", reactor, channels)
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
            "sockjs_received_messages", "Messages that came from clients.", labels=["service"]
        ),
        "messagesOut": CounterMetricFamily(
            "sockjs_sent_messages", "Messages that protocols sent, by session.", labels=["service"]
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
        for why in dict.fromkeys([*service.refusalCauses, *stats.refused]):
            refused.add_metric([path, str(why)], stats.refused[why])
        for name, counter in families.items():
            counter.add_metric([path], getattr(stats, name))
        for name, gauge in waiting.items():
            gauge.add_metric([path], getattr(gauges, name))
        if service.options.max_sessions:
            limit.add_metric([path], service.options.max_sessions)
        draining.add_metric([path], service.isDraining)
    yield from (sessions, limit, opened, closed, refused, *families.values(), *waiting.values(), draining)


def _ofChannels(channels: Channels) -> Iterator[Metric]:
    gauges, counted = channels.gauges(), channels.stats
    yield GaugeMetricFamily("sockjs_channels", "Channels that have members in this process.", gauges.channels)
    yield GaugeMetricFamily("sockjs_channel_members", "Members, counted for each channel.", gauges.members)
    yield CounterMetricFamily("sockjs_channel_joins", "How often a connection joined a channel.", counted.joined)
    yield CounterMetricFamily("sockjs_channel_leaves", "How often a connection left a channel.", counted.left)
    yield CounterMetricFamily(
        "sockjs_channel_published_messages", "Messages that this process has published.", counted.published
    )
    yield CounterMetricFamily(
        "sockjs_channel_delivered_messages", "Messages given to members, counted for each.", counted.delivered
    )
    yield CounterMetricFamily(
        "sockjs_channel_undeliverable_messages",
        "Messages not given to members whose service can't decode them.",
        counted.undeliverable,
    )
    yield CounterMetricFamily(
        "sockjs_bus_gaps", "How often messages may have been missed since the bus was away.", counted.gaps
    )
    yield CounterMetricFamily(
        "sockjs_bus_lost_messages", "Messages that never left this process since the bus was away.", counted.lost
    )
    yield from _ofBus(channels.bus)


def _ofBus(bus: IBus) -> Iterator[Metric]:
    facts, stats = bus.facts(), bus.stats
    connected = GaugeMetricFamily("sockjs_bus_connected", "1 while the bus carries messages, else 0.", labels=["bus"])
    connected.add_metric([facts.name], facts.connected)
    yield connected
    yield GaugeMetricFamily("sockjs_bus_waiting_messages", "Messages that wait for the bus.", facts.waitingMessages)
    yield GaugeMetricFamily(
        "sockjs_bus_waiting_bytes", "The size of messages that wait for the bus.", facts.waitingBytes
    )
    for name, about, value in (
        ("sent_messages", "Messages that the bus has taken.", stats.messagesOut),
        ("sent_bytes", "The size of messages that the bus has taken.", stats.bytesOut),
        ("sent_batches", "Pieces in which the bus has taken messages.", stats.batchesOut),
        ("received_messages", "Messages that came from the bus.", stats.messagesIn),
        ("received_bytes", "The size of messages that came from the bus.", stats.bytesIn),
        ("received_batches", "Pieces in which messages came from the bus.", stats.batchesIn),
        ("duplicates", "Pieces that came a second time, and were dropped.", stats.duplicates),
        ("malformed", "Pieces that could not be understood, and were dropped.", stats.malformed),
        ("connects", "How often a connection to the bus was made.", stats.connects),
        ("disconnects", "How often a connection to the bus was lost.", stats.disconnects),
        ("connect_failures", "How often no connection to the bus could be made.", stats.failures),
    ):
        yield CounterMetricFamily(f"sockjs_bus_{name}", about, value)
    yield _histogram(
        "sockjs_bus_lag_seconds",
        "The time from publishing on the bus to having it back.",
        LAG_BOUNDS,
        stats.lags,
        stats.lagSum,
    )
    yield GaugeMetricFamily(
        "sockjs_bus_lag_last_seconds", "The last time from publishing to having it back.", stats.lastLag
    )


def _histogram(name: str, about: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Metric:
    """
    @param counts: one number for each of C{bounds}, and one for what is beyond; each value is counted once.
    """
    made = HistogramMetricFamily(name, about)
    made.add_metric([], list(zip([*map(str, bounds), "+Inf"], accumulate(counts))), total)
    return made


def _ofProcess(watched: Watched) -> Iterator[Metric]:
    lag = watched.lag
    yield _histogram(
        "sockjs_event_loop_lag_seconds",
        "How late the reactor calls what is due, looked at twice a second.",
        BOUNDS,
        lag.counts,
        lag.total,
    )
    yield GaugeMetricFamily(
        "sockjs_event_loop_lag_last_seconds", "How late the reactor was when last looked at.", lag.last
    )
    yield GaugeMetricFamily("sockjs_event_loop_lag_max_seconds", "The greatest lag of the last minute.", lag.most)
    yield GaugeMetricFamily("sockjs_up", "1 for a process that tells its metrics, else 0.", 1)
    build = GaugeMetricFamily(
        "sockjs_build_info",
        "Always 1; the labels tell the versions of what runs.",
        labels=["version", "twisted", "python"],
    )
    build.add_metric([txsockjs.__version__, twisted.__version__, platform.python_version()], 1)
    yield build
