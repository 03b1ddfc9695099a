# -*- test-case-name: tests.test_factory -*-
"""
Ready sites: C{twisted.web} servers that are nothing but SockJS services.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.web.resource import Resource

from txsockjs.mounting import Way, mount
from txsockjs.options import Options
from txsockjs.resource import SockJSResource
from txsockjs.site import ServiceSite

__all__ = ["SockJSFactory", "SockJSMultiFactory", "SockJSResource", "mount"]


class SockJSFactory(ServiceSite):
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
        super().__init__(Way(), reactor)
        self._add(resource, factory, "/")


class SockJSMultiFactory(ServiceSite):
    """
    A site of several services.
    """

    def __init__(self, *, reactor: IReactorTime | None = None, root: Resource | None = None) -> None:
        """
        @param reactor: where time comes from; the global reactor by default.

        @param root: what answers the URLs that belong to no service, such as a L{twisted.web.static.File}; by
            default they are not found.
        """
        super().__init__(Way() if root is None else root, reactor)

    @property
    def paths(self) -> list[str]:
        """
        The paths of the services, such as C{/echo}, in the order in which they were added.
        """
        return list(self.services)

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
        return self.addResource(SockJSResource(factory, options, reactor=self.reactor, **settings), prefix)

    def addResource(self, resource: SockJSResource, prefix: str | bytes) -> SockJSResource:
        """
        Add a service that is made already, such as a L{txsockjs.multiplex.SockJSMultiplexResource}.

        @param resource: the service, which is mounted nowhere else.

        @param prefix: see L{addFactory}.

        @return: the service.

        @raise ValueError: when the prefix is taken.
        """
        self._add(resource, resource.factory, prefix)
        return resource
