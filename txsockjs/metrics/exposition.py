# -*- test-case-name: tests.test_metrics -*-
"""
C{/metrics}: everything that is known here, in the format that Prometheus reads.

It is put together in the reactor's thread, where services live; C{prometheus_client}'s own resource for Twisted would
collect in another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry
from twisted.internet.defer import DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import INTERNAL_SERVER_ERROR
from twisted.web.server import NOT_DONE_YET, Request

from txsockjs.metrics.collector import SockJSCollector
from txsockjs.metrics.peers import BadAnswer, Peer, fullName
from txsockjs.metrics.watched import Watched
from txsockjs.transports.answers import Answer, Leaf, finishWith, forbidCaching, plainText

__all__ = ["LABEL", "ExpositionResource", "labelled", "merged", "ownFamilies"]

LABEL = "process"
"""The label that tells processes apart."""

_log = Logger(namespace="txsockjs")


class _Families(Collector):
    """
    What has been collected, in place of a registry.
    """

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def labelled(families: Iterable[Metric], name: str) -> Iterator[Metric]:
    """
    @param families: what a process has told.

    @param name: what it is called here; nothing changes if it has no name.

    @return: the same, where each sample tells the process that it is from.
    """
    for family in families:
        made = Metric(family.name, family.documentation, family.type)
        for sample in family.samples:
            own = sample.labels.get(LABEL, "")
            process = fullName(name, own) if name else own
            labels = {**sample.labels, LABEL: process} if process else sample.labels
            made.samples.append(sample._replace(labels=labels))
        yield made


def merged(families: Iterable[Metric]) -> list[Metric]:
    """
    @return: one family for each name. What is of another type than the first of that name is left out, and so is a
        sample that is there already: both would make the whole unreadable.
    """
    found: dict[str, Metric] = {}
    seen: set[tuple[object, ...]] = set()
    for family in families:
        first = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        if first.type != family.type:
            continue
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            if key not in seen:
                seen.add(key)
                first.samples.append(sample)
    return list(found.values())


def ownFamilies(watched: Watched | None, registry: CollectorRegistry) -> list[Metric]:
    """
    @param watched: this process; L{None} if it serves nothing itself.

    @param registry: what else it has to tell: what the application counts, and facts of the process.

    @return: both, with the name of the process.
    """
    if watched is None:
        return []
    return list(labelled([*SockJSCollector(watched).collect(), *registry.collect()], watched.name))


class ExpositionResource(Leaf):
    """
    C{/metrics}.
    """

    def __init__(
        self, watched: Watched | None, peers: Sequence[Peer] = (), registry: CollectorRegistry = REGISTRY
    ) -> None:
        """
        @param watched: this process; L{None} if it serves nothing itself.

        @param peers: other processes. Those that do not answer in time are left out, but for C{sockjs_up}.

        @param registry: what else to tell: the application's own metrics, and facts of the process.
        """
        super().__init__()
        self._watched = watched
        self._peers = peers
        self._registry = registry

    def answer(self, request: Request) -> Answer:
        """
        Collect, and ask the peers.
        """
        forbidCaching(request)
        if not self._peers:
            return self._told(request, [])
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        asked = [peer.ask("/metrics").addCallback(_familiesOf, peer) for peer in self._peers]
        DeferredList(asked, consumeErrors=True).addCallback(self._asked, request, gone)
        return NOT_DONE_YET

    def _asked(self, results: Any, request: Request, gone: list[Failure]) -> None:
        if gone:
            return
        families: list[Metric] = []
        for peer, (isThere, result) in zip(self._peers, results):
            families += result if isThere else _absent(peer)
        finishWith(request, self._told(request, families))

    def _told(self, request: Request, others: list[Metric]) -> bytes:
        try:
            families = merged([*ownFamilies(self._watched, self._registry), *others])
            encode, contentType = choose_encoder(request.getHeader("accept") or "")
            body = encode(_Families(families))
        except Exception:  # a collector of the application may do anything
            _log.failure("the metrics can't be collected")
            return plainText(request, INTERNAL_SERVER_ERROR, "The metrics can't be collected; the log tells why\n")
        request.setHeader(b"content-type", contentType.encode("ascii"))
        return body


def _familiesOf(body: bytes, peer: Peer) -> list[Metric]:
    try:
        families = list(labelled(text_string_to_metric_families(body.decode("utf-8")), peer.name))
    except ValueError:
        raise BadAnswer("answers with something else")
    names = {sample.labels[LABEL] for family in families if family.name == "sockjs_up" for sample in family.samples}
    if not names:
        raise BadAnswer("answers with something else")
    peer.known = sorted(names)
    return families


def _absent(peer: Peer) -> list[Metric]:
    up = GaugeMetricFamily("sockjs_up", "1 for a process that tells its metrics, else 0.", labels=[LABEL])
    for name in peer.known:
        up.add_metric([name], 0)
    return [up]
