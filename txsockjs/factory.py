# -*- test-case-name: tests.test_factory -*-
"""
Ready sites: C{twisted.web} servers that are nothing but SockJS services.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from txsockjs.options import Options
from txsockjs.resource import SockJSResource
from txsockjs.transports import BELOW_SESSION
from txsockjs.transports.answers import Answer, NotFound

__all__ = ["SockJSFactory", "SockJSMultiFactory", "SockJSResource", "mount"]


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
    path = (prefix.encode("utf-8") if isinstance(prefix, str) else prefix).strip(b"/")
    parent: Any = None
    place: Any = root
    for segment in path.split(b"/") if path else []:
        parent, place = place, place.children.get(segment)
        if place is None:
            place = _Way()
            parent.putChild(segment, place)
    if not isinstance(place, _Way):
        raise ValueError(f"there is something else at /{path.decode('utf-8', 'replace')}")
    for name, child in place.children.items():
        resource.putChild(name, child)
    if parent is None:
        return resource
    parent.putChild(segment, resource)
    return root


class _Request(Request):
    """
    A request whose body is left as it is where SockJS reads it, whatever its type is said to be. Twisted would read a
    form, and refuse a broken one, before it knows whom the request is for.
    """

    _contentTypes: list[bytes] | None = None

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
    A site that starts and stops with its services.
    """

    def __init__(self, root: IResource, reactor: IReactorTime | None) -> None:
        super().__init__(root, requestFactory=_Request, reactor=reactor)
        self._services: list[tuple[SockJSResource, IProtocolFactory]] = []

    def _add(self, resource: SockJSResource, factory: IProtocolFactory, prefix: str | bytes) -> None:
        self.resource = mount(self.resource, prefix, resource)
        self._services.append((resource, factory))
        if self.numPorts:
            factory.doStart()

    def log(self, request: object) -> None:
        """
        Write no access log: a line for every poll would drown what matters, and the URLs hold the ids of sessions.
        """

    def startFactory(self) -> None:
        """
        Start the wrapped factories as well.
        """
        super().startFactory()
        for _, factory in self._services:
            factory.doStart()

    def stopFactory(self) -> None:
        """
        Close every session, and stop the wrapped factories as well.
        """
        for resource, factory in self._services:
            resource.stop()
            factory.doStop()
        super().stopFactory()


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
    ) -> None:
        """
        Add a service.

        @param factory: makes a protocol for every session.

        @param prefix: where it is mounted, such as C{echo}; C{/} is the site's root, which has room for prefixed
            services as well.

        @param options: see L{SockJSResource.__init__}.

        @param settings: see L{SockJSResource.__init__}.

        @raise ValueError: when a setting is wrong, or the prefix is taken.
        """
        self._add(SockJSResource(factory, options, reactor=self._reactor, **settings), factory, prefix)
        path = prefix if isinstance(prefix, str) else prefix.decode("utf-8", "replace")
        self.paths.append("/" + path.strip("/"))
