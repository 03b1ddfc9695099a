# -*- test-case-name: tests.test_factory -*-
"""
Ready sites: C{twisted.web} servers that are nothing but SockJS services.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory, IReactorTime
from twisted.logger import Logger
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from txsockjs.channel import Channel, Front
from txsockjs.options import Options
from txsockjs.resource import SockJSResource
from txsockjs.timers import Deadlines
from txsockjs.transports import BELOW_SERVICE, BELOW_SESSION
from txsockjs.transports.answers import Answer, NotFound, UnreadBody
from txsockjs.transports.base import SESSION_DEPTH

__all__ = ["SockJSFactory", "SockJSMultiFactory", "SockJSResource", "mount"]

_log = Logger(namespace="txsockjs")


class _Way(Resource):
    """
    A place where nothing is mounted, on the way to something that is.
    """

    def render(self, request: Request) -> Answer:
        """
        @return: that it is not found.
        """
        return NotFound().render(request)


def mount(root: IResource, prefix: str | bytes, resource: IResource) -> IResource:
    """
    Hang a resource into a tree.

    @param root: the resource of C{/}.

    @param prefix: the path, such as C{echo}, C{/echo}, C{/a/b} or C{/}; what is missing on the way is made.

    @return: the resource of C{/}, which is C{resource} itself if it was mounted there.

    @raise ValueError: when the path is taken.
    """
    parent: Any = None
    place: Any = root
    for segment in _segments(prefix):
        parent, place = place, place.children.get(segment)
        if place is None:
            place = _Way()
            parent.putChild(segment, place)
    if not isinstance(place, _Way):
        path = b"/".join(_segments(prefix)).decode("utf-8", "replace")
        raise ValueError(f"there is something else at /{path}")
    for name, child in place.children.items():
        resource.putChild(name, child)
    if parent is None:
        return resource
    parent.putChild(segment, resource)
    return root


def _segments(prefix: str | bytes) -> tuple[bytes, ...]:
    path = (prefix.encode("utf-8") if isinstance(prefix, str) else prefix).strip(b"/")
    return tuple(path.split(b"/")) if path else ()


def _functionOf(method: Any) -> object:
    return getattr(method, "__func__", None)


class _Request(Request):
    """
    A request whose body is left as it is where SockJS reads it, whatever its type is said to be. Twisted would read a
    form, and refuse a broken one, before it knows whom the request is for.

    A body that is too large is refused as soon as this is known, and not kept.
    """

    _contentTypes: list[bytes] | None = None
    _limit: int | None = None
    _refused = False

    def gotLength(self, length: int | None) -> None:
        """
        The headers are here, and tell the length of the body or that it comes in chunks.
        """
        channel: Any = self.channel
        self._limit = channel.site.limitFor(channel._path if isinstance(channel, Channel) else channel.path)
        if self._limit is not None and length is not None and length > self._limit:
            self._refuse()
        else:
            super().gotLength(length)

    def parseCookies(self) -> None:
        """
        All headers are here. Over HTTP/2, where this comes after the length, do not ask for a body that is refused.
        """
        super().parseCookies()
        if self._refused:
            self.requestHeaders.removeHeader(b"expect")

    def handleContentChunk(self, data: bytes) -> None:
        """
        A part of the body came.
        """
        if self._refused:
            return
        content: Any = self.content
        if self._limit is not None and content.tell() + len(data) > self._limit:
            content.close()
            self._refuse()
        else:
            super().handleContentChunk(data)

    def _refuse(self) -> None:
        """
        Keep nothing of the body. Over HTTP/1 answer at once; an HTTP/2 stream is answered when it has ended.
        """
        self._refused = True
        self.content = UnreadBody()
        self.requestHeaders.removeHeader(b"expect")
        if isinstance(self.channel, Channel):
            self.channel.refuse()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """
        Hide the type of the body until the request is processed.
        """
        if path.partition(b"?")[0].rpartition(b"/")[2] in BELOW_SESSION:
            types = self.requestHeaders.getRawHeaders(b"content-type")
            self._contentTypes = None if types is None else list(types)
            self.requestHeaders.removeHeader(b"content-type")
        super().requestReceived(command, path, version)

    def process(self) -> None:
        """
        Find the resource, which may see the type.
        """
        if self._contentTypes is not None:
            self.requestHeaders.setRawHeaders(b"content-type", self._contentTypes)
        super().process()


class _ServiceSite(Site):
    """
    A site that starts and stops with its services, and knows its connections.

    @ivar arrivals: the requests that have begun to arrive, by when they must be whole.
    """

    reactor: IReactorTime

    def __init__(self, root: IResource, reactor: IReactorTime | None) -> None:
        super().__init__(root, requestFactory=_Request, reactor=reactor)
        self.arrivals: Deadlines[Channel] = Deadlines(self.reactor, 0, Channel.overdue)
        self._services: list[tuple[SockJSResource, IProtocolFactory]] = []
        self._places: dict[tuple[bytes, ...], SockJSResource] = {}
        self._requests: object = _Request  # those for which the shortcut may stand in
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
        self._places[_segments(prefix)] = resource
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
            service.stats.refused["request timeout"] += 1

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
            or _functionOf(self.log) is not _ServiceSite.log
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


class SockJSFactory(_ServiceSite):
    """
    A site that is one service, at C{/}.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        options: Options | Mapping[str, Any] | None = None,
        *,
        reactor: IReactorTime | None = None,
        **settings: Any,
    ) -> None:
        """
        See L{SockJSResource.__init__}.
        """
        resource = SockJSResource(factory, options, reactor=reactor, **settings)
        super().__init__(_Way(), reactor)
        self._add(resource, factory, "/")


class SockJSMultiFactory(_ServiceSite):
    """
    A site of several services.

    @ivar paths: the paths of the services, such as C{/echo}, in the order in which they were added.
    """

    def __init__(self, *, reactor: IReactorTime | None = None, root: Resource | None = None) -> None:
        """
        @param reactor: where time comes from; the global reactor by default.

        @param root: what answers the URLs that belong to no service, such as a L{twisted.web.static.File}; by
            default they are not found.
        """
        super().__init__(_Way() if root is None else root, reactor)
        self._reactor = reactor
        self.paths: list[str] = []

    def addFactory(
        self,
        factory: IProtocolFactory,
        prefix: str | bytes,
        options: Options | Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> SockJSResource:
        """
        Add a service.

        @param factory: makes a protocol for every session.

        @param prefix: where it is mounted, such as C{echo}; C{/} is the site's root, which has room for prefixed
            services as well.

        @param options: see L{SockJSResource.__init__}.

        @param settings: see L{SockJSResource.__init__}.

        @return: the service, for its C{stats} for instance.

        @raise ValueError: when a setting is wrong, or the prefix is taken.
        """
        return self.addResource(SockJSResource(factory, options, reactor=self._reactor, **settings), prefix)

    def addResource(self, resource: SockJSResource, prefix: str | bytes) -> SockJSResource:
        """
        Add a service that is made already, such as a L{txsockjs.multiplex.SockJSMultiplexResource}.

        @param resource: the service, which is mounted nowhere else.

        @param prefix: see L{addFactory}.

        @return: the service.

        @raise ValueError: when the prefix is taken.
        """
        self._add(resource, resource.factory, prefix)
        path = prefix if isinstance(prefix, str) else prefix.decode("utf-8", "replace")
        self.paths.append("/" + path.strip("/"))
        return resource
