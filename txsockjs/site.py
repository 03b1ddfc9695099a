# -*- test-case-name: tests.test_factory,tests.test_mounting,tests.test_drain -*-
"""
What serves services: it finds the one that a request is for, knows its connections, and leaves in an orderly way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory, IReactorTime
from twisted.logger import Logger
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site

from txsockjs.bodies import BoundedRequest
from txsockjs.channel import Channel, Front
from txsockjs.mounting import mount, segmentsOf
from txsockjs.resource import SockJSResource
from txsockjs.stats import RefusalCause
from txsockjs.timers import Deadlines
from txsockjs.transports import BELOW_SERVICE, BELOW_SESSION
from txsockjs.transports.base import SESSION_DEPTH

__all__ = ["ServiceSite"]

_log = Logger(namespace="txsockjs")


class ServiceSite(Site):
    """
    A site that starts and stops with its services, and knows its connections.

    @ivar arrivals: the requests that have begun to arrive, by when they must be whole.
    """

    reactor: IReactorTime

    def __init__(self, root: IResource, reactor: IReactorTime | None) -> None:
        super().__init__(root, requestFactory=BoundedRequest, reactor=reactor)
        self.arrivals: Deadlines[Channel] = Deadlines(self.reactor, 0, Channel.overdue)
        self._services: list[tuple[SockJSResource, IProtocolFactory]] = []
        self._places: dict[tuple[bytes, ...], SockJSResource] = {}
        self._requests: object = BoundedRequest  # those for which the shortcut may stand in
        self._dated = -1
        self._dateLine = b""
        self._connections: set[Front] = set()
        self._drains: list[Deferred[None]] = []  # while there are any, a drain is under way
        self._leaving = False  # the second half of a drain: the sessions are gone, ports and connections go
        self._closers: list[Callable[[], object]] = []
        self._closing: set[Deferred[Any]] = set()  # ports that are being closed
        self._cutCall: IDelayedCall | None = None
        self._noticeCall: IDelayedCall | None = None
        self._stopAfterDrain = False
        self._outcome = ""

    def protocol(self) -> Front:
        """
        @return: what serves one connection.
        """
        return Front(Channel())

    def _add(self, resource: SockJSResource, factory: IProtocolFactory, prefix: str | bytes) -> None:
        self.resource = mount(self.resource, prefix, resource)
        self._places[segmentsOf(prefix)] = resource
        self._services.append((resource, factory))
        patience = max(service.options.request_timeout for service, _ in self._services)
        self.arrivals = Deadlines(self.reactor, patience, Channel.overdue)
        if self.numPorts:
            factory.doStart()

    @property
    def services(self) -> dict[str, SockJSResource]:
        """
        The services, by their paths, such as C{/echo}.
        """
        return {"/" + b"/".join(way).decode("utf-8", "replace"): each for way, each in self._places.items()}

    # -- for its connections --------------------------------------------------------------------------------------

    def limitFor(self, uri: bytes) -> int | None:
        """
        @return: the size that the body of a request may have, if this is the URL of a session of one of the services.
        """
        service = self._serviceOf(uri)
        return None if service is None else service.options.max_body_size

    def countTimeout(self, uri: bytes) -> None:
        """
        Count a request that did not arrive in time, where it is known for whom it was.

        @param uri: its URL, or nothing if not even that has arrived.
        """
        service = self._serviceOf(uri)
        if service is not None:
            service.stats.refused[RefusalCause.LATE] += 1

    def _serviceOf(self, uri: bytes) -> SockJSResource | None:
        path = tuple(unquote_to_bytes(segment) for segment in uri.partition(b"?")[0][1:].split(b"/"))
        if path[-1] in BELOW_SERVICE and path[:-1] in self._places:
            return self._places[path[:-1]]
        if len(path) < SESSION_DEPTH or path[-1] not in BELOW_SESSION:
            return None
        service = self._places.get(path[:-SESSION_DEPTH])
        return None if service is None or path[-SESSION_DEPTH] in service.children else service

    def leafFor(self, method: bytes, path: bytes, size: int) -> IResource | None:
        """
        @param method: the method of a request.

        @param path: its URL, with nothing in it that is quoted.

        @param size: the size of its body.

        @return: the leaf of a service that C{twisted.web} would find for it, where none but ours have a say in that,
            and nothing of the user's is to see the request.
        """
        segments = path[1:].split(b"/")
        place = segments[:-SESSION_DEPTH]
        service = self._places.get(tuple(place))
        if service is None or segments[-SESSION_DEPTH] in service.children or not self._leadsTo(service, place):
            return None
        return service.quickLeaf(method, segments[-SESSION_DEPTH:], size)

    def _leadsTo(self, service: SockJSResource, path: list[bytes]) -> bool:
        """
        Whether requests find a service in the usual way, as long as nothing was put around it or before it.
        """
        if (
            self.requestFactory is not self._requests
            or _functionOf(self.getResourceFor) is not Site.getResourceFor
            or _functionOf(self.log) is not ServiceSite.log
        ):
            return False
        place: Any = self.resource
        for segment in path:
            if place.isLeaf or _functionOf(place.getChildWithDefault) is not Resource.getChildWithDefault:
                return False
            place = place.children.get(segment)
            if place is None:
                return False
        return place is service and _functionOf(place.getChildWithDefault) is Resource.getChildWithDefault

    @property
    def dateLine(self) -> bytes:
        """
        The last lines of the head of an answer: its date, and the empty line.
        """
        now = int(self.reactor.seconds())
        if now != self._dated:
            self._dated = now
            self._dateLine = b"Date: %s\r\n\r\n" % datetimeToString()
        return self._dateLine

    def connected(self, connection: Front) -> None:
        """
        There is one connection more.
        """
        self._connections.add(connection)
        if self._leaving:
            connection.leave()

    def disconnected(self, connection: Front) -> None:
        """
        There is one less.
        """
        self._connections.discard(connection)
        self._lookAround()

    def log(self, request: object) -> None:
        """
        Write no access log: a line for every poll would drown what matters, and the URLs hold the ids of sessions.
        """

    # -- coming and going -----------------------------------------------------------------------------------------

    def startFactory(self) -> None:
        """
        Start the wrapped factories as well.
        """
        super().startFactory()
        for resource, factory in self._services:
            resource.start()
            factory.doStart()

    def stopFactory(self) -> None:
        """
        The last port is closed. Close every session, and stop the wrapped factories as well; where a drain is under
        way this waits for its end.
        """
        super().stopFactory()
        if self._drains:
            self._stopAfterDrain = True
        else:
            self._stopServices()

    def _stopServices(self) -> None:
        for resource, factory in self._services:
            resource.stop()
            factory.doStop()

    @property
    def isDraining(self) -> bool:
        """
        Whether the site leaves or has left, or one of its services does; from the first moment of L{drain}.
        """
        return bool(self._drains) or any(resource.isDraining for resource, _ in self._services)

    def drain(self, timeout: float | None = None, close: Callable[[], object] | None = None) -> Deferred[None]:
        """
        Leave in an orderly way. New sessions are refused with 503 from now on, and so is C{/info}. Every session gets
        its queued messages and a close frame. When all have ended, and C{drain_notice} is over, ports and connections
        are closed, each connection as soon as everything is sent.

        Do not stop listening before: a site whose last port was closed has closed its sessions at once.

        @param timeout: the seconds after which the rest is cut; the option C{drain_timeout} of each service by
            default. 0 means not to wait.

        @param close: closes the ports of this site, and returns a C{Deferred} where that takes time. It is called when
            no session is left, and C{drain_notice} is over. Until then clients fetch what is left for them by new
            connections too.

        @return: fires with L{None} when all sessions, ports and connections are gone. While a drain is under way,
            another one has the same end.
        """
        end: Deferred[None] = Deferred()
        self._drains.append(end)
        if close is not None:
            self._closers.append(close)
        if len(self._drains) == 1:
            self._drain(timeout)
        elif self._leaving:
            self._closePorts()
        return end

    def _drain(self, timeout: float | None) -> None:
        resources = [resource for resource, _ in self._services]
        if timeout is None:
            patience = max([resource.options.drain_timeout for resource in resources], default=0.0)
        else:
            patience = timeout
        notice = min(patience, max([resource.options.drain_notice for resource in resources], default=0.0))
        if resources:
            _log.info(
                "closing {sessions} sessions, which have {patience} seconds to end",
                sessions=sum(sum(resource.gauges().sessions.values()) for resource in resources),
                patience=patience,
            )
        self._outcome = "all sessions have ended"
        self._cutCall = self.reactor.callLater(patience, self._losePatience)
        ends = [resource.drain(timeout) for resource in resources]
        if notice:
            noticed: Deferred[None] = Deferred()
            self._noticeCall = self.reactor.callLater(notice, noticed.callback, None)
            ends.append(noticed)
        gatherResults(ends).addCallback(self._leave)
        if not patience:
            self.stop()

    def stop(self) -> None:
        """
        Close every session now. A drain that is under way ends, and does not wait for connections to be closed.
        """
        self._outcome = "did not wait for sessions to end"
        for resource, _ in self._services:
            resource.stop()
        if self._drains:
            self._drained()

    def _leave(self, ended: object) -> None:
        """
        All sessions are gone.
        """
        self._leaving = True
        self._closePorts()
        for connection in list(self._connections):
            connection.leave()
        self._lookAround()

    def _closePorts(self) -> None:
        closers, self._closers = self._closers, []
        begun = [maybeDeferred(close) for close in closers]
        self._closing.update(begun)
        for closing in begun:
            closing.addErrback(lambda failure: _log.failure("a port can't be closed", failure))
            closing.addCallback(self._closed, closing)

    def _closed(self, result: object, closing: Deferred[Any]) -> None:
        self._closing.discard(closing)
        self._lookAround()

    def _lookAround(self) -> None:
        """
        End the drain when there is nothing left to wait for.
        """
        if self._leaving and not self._connections and not self._closing:
            self._drained()

    def _losePatience(self) -> None:
        # The services cut their sessions at this very moment, and after us.
        self._outcome = "the time is over, and what was left is cut"
        self._cutCall = self.reactor.callLater(0, self._cut)

    def _cut(self) -> None:
        self._cutCall = self.reactor.callLater(0, self._drained)  # when they are gone, at the latest
        for connection in list(self._connections):
            connection.abort()

    def _drained(self) -> None:
        if self._services:
            _log.info("{outcome}", outcome=self._outcome)
        self._leaving = False
        for call in (self._cutCall, self._noticeCall):
            if call is not None and call.active():
                call.cancel()
        self._cutCall = self._noticeCall = None
        self._closePorts()  # unless they are closed already
        drains, self._drains = self._drains, []
        if self._stopAfterDrain:
            self._stopAfterDrain = False
            self._stopServices()
        DeferredList(list(self._closing)).addCallback(self._tell, drains)

    def _tell(self, closed: object, drains: Sequence[Deferred[None]]) -> None:
        for end in drains:
            end.callback(None)


def _functionOf(method: Any) -> object:
    return getattr(method, "__func__", None)
