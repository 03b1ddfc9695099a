# -*- test-case-name: tests.test_demo -*-
"""
What C{twistd sockjs} serves without C{--factory}: the standard test services, which public client and protocol test
suites expect, and a page to try them by hand, with a service of its own for the server's numbers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource

from txsockjs.demo.page import FILES, index
from txsockjs.demo.services import standardServices
from txsockjs.demo.watch import WatchFactory
from txsockjs.factory import SockJSMultiFactory, mount
from txsockjs.options import Options
from txsockjs.pages import assets

__all__ = ["makeSite"]

_WATCHERS = 200
"""How many may watch the numbers, where there is no other limit."""


def makeSite(reactor: IReactorTime | None = None, root: Resource | None = None, **settings: Any) -> SockJSMultiFactory:
    """
    Make the site of the demo.

    @param reactor: where time comes from; the global reactor by default.

    @param root: what answers the URLs that belong to no service; by default there is the page at C{/}, which brings
        the service C{/stats} with it.

    @param settings: settings for all services, which yield to those that a service is there to show.

    @raise ValueError: when there is no such setting, or its value is wrong.
    """
    options = Options.build(settings)
    site = SockJSMultiFactory(reactor=reactor, root=root)
    services = {
        f"/{prefix}": site.addFactory(factory, prefix, options, **own)
        for prefix, factory, own in standardServices(reactor)
    }
    if root is None:
        watchers = options.max_sessions or _WATCHERS
        site.addFactory(WatchFactory(services, reactor), "stats", options, max_sessions=watchers)
        site.resource.putChild(b"", index(options))
        for path, file in assets(FILES, "demo"):
            mount(site.resource, path, file)
    return site
