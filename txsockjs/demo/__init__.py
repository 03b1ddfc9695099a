# -*- test-case-name: tests.test_demo -*-
"""
What C{twistd sockjs} serves without C{--factory}: the standard test services, which public client and protocol test suites expect, and a
page to try them by hand.
"""

from __future__ import annotations

import html
from importlib.resources import files
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.static import Data

from txsockjs.demo.services import standardServices
from txsockjs.options import Options
from txsockjs.resource import SockJSResource

__all__ = ["makeRoot"]


def makeRoot(reactor: IReactorTime | None = None, **settings: Any) -> Resource:
    """
    Make the resource of C{/}.

    @param reactor: where time comes from; the global reactor by default.

    @param settings: settings for all services, which yield to those that a service is there to show.

    @raise ValueError: when there is no such setting, or its value is wrong.
    """
    root = Resource()
    for prefix, factory, own in standardServices(reactor):
        root.putChild(prefix.encode("ascii"), SockJSResource(factory, Options.build(settings), reactor=reactor, **own))
    page = files(__name__).joinpath("index.html").read_text("utf-8")
    page = page.replace("{{sockjs_url}}", html.escape(Options.build(settings).sockjs_url))
    root.putChild(b"", Data(page.encode("utf-8"), "text/html; charset=UTF-8"))
    return root
