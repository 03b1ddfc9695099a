# -*- test-case-name: tests.test_demo -*-
"""
What C{twistd sockjs} serves without C{--factory}: the standard test services, which public client and protocol test
suites expect, and a page to try them by hand.
"""

from __future__ import annotations

import html
from importlib.resources import files
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.static import Data

from txsockjs.demo.services import standardServices
from txsockjs.factory import SockJSMultiFactory
from txsockjs.options import Options

__all__ = ["makeSite"]


def makeSite(reactor: IReactorTime | None = None, root: Resource | None = None, **settings: Any) -> SockJSMultiFactory:
    """
    Make the site of the demo.

    @param reactor: where time comes from; the global reactor by default.

    @param root: what answers the URLs that belong to no service; by default there is just the page at C{/}.

    @param settings: settings for all services, which yield to those that a service is there to show.

    @raise ValueError: when there is no such setting, or its value is wrong.
    """
    options = Options.build(settings)
    site = SockJSMultiFactory(reactor=reactor, root=root)
    for prefix, factory, own in standardServices(reactor):
        site.addFactory(factory, prefix, options, **own)
    if root is None:
        page = files(__name__).joinpath("index.html").read_text("utf-8")
        page = page.replace("{{sockjs_url}}", html.escape(options.sockjs_url))
        site.resource.putChild(b"", Data(page.encode("utf-8"), "text/html; charset=UTF-8"))
    return site
