# -*- test-case-name: tests.test_factory -*-
"""
Ready sites: C{twisted.web} servers that are nothing but SockJS services.
"""

from __future__ import annotations

from typing import Any, Mapping

from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from txsockjs.options import Options
from txsockjs.resource import SockJSResource
from txsockjs.transports.answers import Answer, NotFound

__all__ = ["SockJSFactory", "SockJSMultiFactory", "SockJSResource", "mount"]


class _Way(Resource):
    """
    What lies between the root and a resource: nothing that could be asked for.
    """

    def render(self, request: Request) -> Answer:
        """
        @return: that it is not found.
        """
        return NotFound().render(request)


def mount(root: IResource, prefix: str | bytes, resource: IResource) -> None:
    """
    Hang a resource into a tree.

    @param root: the resource of C{/}.

    @param prefix: the path, such as C{echo}, C{/echo} or C{/a/b}; what is missing on the way is made.

    @raise ValueError: when the path is taken, or empty.
    """
    path = prefix.encode("utf-8") if isinstance(prefix, str) else prefix
    *way, last = path.strip(b"/").split(b"/")
    if not last:
        raise ValueError("a prefix must not be empty")
    parent = root
    for segment in way:
        child = parent.children.get(segment)  # type: ignore[attr-defined]
        if child is None:
            child = _Way()
            parent.putChild(segment, child)
        parent = child
    if last in parent.children:  # type: ignore[attr-defined]
        raise ValueError(f"there are two services at /{path.strip(b'/').decode('utf-8', 'replace')}")
    parent.putChild(last, resource)


class SockJSFactory(Site):
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
        self._factory = factory
        resource = SockJSResource(factory, options, reactor=reactor, **settings)
        super().__init__(resource, reactor=reactor)

    def startFactory(self) -> None:
        """
        Start the wrapped factory as well.
        """
        super().startFactory()
        self._factory.doStart()

    def stopFactory(self) -> None:
        """
        Close every session, and stop the wrapped factory as well.
        """
        self.resource.stop()
        self._factory.doStop()
        super().stopFactory()


class SockJSMultiFactory(Site):
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
        super().__init__(Resource() if root is None else root, reactor=reactor)
        self._reactor = reactor
        self._rootIsFree = root is None
        self._services: list[tuple[SockJSResource, IProtocolFactory]] = []
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

        @raise ValueError: when a setting is wrong, or the prefix is empty or taken.
        """
        resource = SockJSResource(factory, options, reactor=self._reactor, **settings)
        if prefix in ("/", b"/"):
            self._mountAtRoot(resource)
        else:
            mount(self.resource, prefix, resource)
        self._services.append((resource, factory))
        self.paths.append("/" + (prefix if isinstance(prefix, str) else prefix.decode("utf-8", "replace")).strip("/"))
        if self.numPorts:
            factory.doStart()

    def _mountAtRoot(self, resource: SockJSResource) -> None:
        if not self._rootIsFree:
            raise ValueError("there is something else at /")
        for name, child in self.resource.children.items():
            resource.putChild(name, child)
        self.resource = resource
        self._rootIsFree = False

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
