# -*- test-case-name: tests.test_resource -*-
"""
L{SockJSResource}: the URLs of one service, and the pages that belong to no session.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from txsockjs.iframe import IFrame
from txsockjs.options import TRANSPORTS, Options
from txsockjs.service import DRAINING, Service
from txsockjs.stats import Gauges, Stats
from txsockjs.timers import chooseClock
from txsockjs.transports import BELOW_SERVICE, BELOW_SESSION, QUICK, leaves
from txsockjs.transports.admission import refuse
from txsockjs.transports.answers import (
    JSON,
    PLAIN,
    Answer,
    Leaf,
    NotFound,
    allowOrigin,
    allowPreflight,
    forbidCaching,
    refuseOrigin,
)

__all__ = ["SockJSResource"]

_NAME = re.compile(rb"(?:[^.\x00-\x1f\x7f\xc2]|\xc2(?![\x80-\x9f]))+")
"""Neither a dot, which would make it the name of a page, nor a control character of ASCII or of Unicode (in UTF-8)."""

_IFRAME_NAME = re.compile(rb"iframe[0-9\-.a-z_]*\.html")


class _Greeting(Leaf):
    """
    The service's own URL: a sign of life.
    """

    def answer(self, request: Request) -> Answer:
        request.setHeader(b"content-type", PLAIN)
        return b"Welcome to SockJS!\n"


class _Info(Leaf):
    """
    C{/info}: what the service can do. The client times this request, so the answer is at once.
    """

    methods: Sequence[bytes] = (b"GET", b"HEAD", b"OPTIONS")

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def answer(self, request: Request) -> Answer:
        service = self._service
        refusal = refuseOrigin(request, service)
        if refusal is not None:
            return refusal
        if request.method == b"OPTIONS":
            return allowPreflight(request, b"GET", service.origins, service.clock)
        forbidCaching(request)
        allowOrigin(request, service.origins)
        if service.registry.isDraining:
            return refuse(service, request, DRAINING)
        request.setHeader(b"content-type", JSON)
        return json.dumps(self._facts(request)).encode("ascii")

    def _facts(self, request: Request) -> dict[str, object]:
        options = self._service.options
        facts: dict[str, object] = {
            "websocket": "websocket" in options.transports,
            "cookie_needed": bool(options.cookie_needed),
            "origins": ["*:*"],
            "entropy": secrets.randbits(32),
        }
        transports = [name for name in TRANSPORTS if name in options.transports]
        if len(transports) < len(TRANSPORTS):
            facts["transports"] = transports
        service = b"/".join((request.prepath or [])[:-1]).decode("utf-8", "replace")
        base = options.baseURLOf(request, quote(service))
        if base is not None:
            facts["base_url"] = base
        return facts


class SockJSResource(Resource):
    """
    A SockJS service, to be hung anywhere in a tree of C{twisted.web} resources.

    Its children, if it is given any, come before the URLs of the service.
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
        @param factory: makes a protocol for every session. Its C{buildProtocol} may return L{None}, which refuses the
            session.

        @param options: the settings of the service, as L{Options} or a dict.

        @param reactor: where time comes from; the global reactor by default.

        @param settings: single settings, which win over C{options}; see L{Options} for names and defaults.

        @raise ValueError: when there is no such setting, or its value is wrong.
        @raise TypeError: when C{factory} is none, for instance a class of protocols.
        """
        super().__init__()
        self._service = Service(factory, Options.build(options, **settings), chooseClock(reactor))
        service, on = self._service, self._service.options.transports
        self._notFound = NotFound()
        self._greeting = _Greeting()
        self._iframe: IResource = IFrame(service) if self.options.iframe else self._notFound
        self._pages: dict[bytes, IResource] = {b"": self._greeting, b"info": _Info(service)}
        self._pages.update(leaves(BELOW_SERVICE, service, on))
        self._transports = leaves(BELOW_SESSION, service, on)
        self._quick = not service.asksTheUser

    @property
    def factory(self) -> IProtocolFactory:
        """
        What makes a protocol for every session.
        """
        return self._service.factory

    @property
    def options(self) -> Options:
        """
        The settings of the service.
        """
        return self._service.options

    def getChild(self, name: bytes, request: Request) -> IResource:
        """
        Find what a URL of the service leads to.
        """
        below = request.postpath
        if not below:
            if _IFRAME_NAME.fullmatch(name):
                return self._iframe
            return self._pages.get(name, self._notFound)
        if len(below) == 2:
            if self._isName(name) and self._isName(below[0]):
                return self._transports.get(below[1], self._notFound)
            if max(len(name), len(below[0])) > self.options.max_session_id_length:
                self.stats.refused["session id too long"] += 1
        return self._notFound

    def quickLeaf(self, method: bytes, below: Sequence[bytes], size: int) -> IResource | None:
        """
        @param method: the method of a request.

        @param below: the segments of a URL below the service: server, session and transport.

        @param size: the size of its body.

        @return: what L{getChild} would find, if this is one of the URLs of L{QUICK}, and if no callable of the user's
            is to see the request.
        """
        server, session, transport = below
        if QUICK.get(transport) != method or not self._quick or size > self.options.max_body_size:
            return None
        if not self._isName(server) or not self._isName(session):
            return None
        return self._transports.get(transport)

    def _isName(self, segment: bytes) -> bool:
        """
        Whether this may be the server or the session part of a URL.
        """
        return len(segment) <= self.options.max_session_id_length and _NAME.fullmatch(segment) is not None

    def render(self, request: Request) -> Answer:
        """
        Answer a request for the service's URL without a slash at its end.
        """
        return self._greeting.render(request)

    @property
    def stats(self) -> Stats:
        """
        What the service has counted.
        """
        return self._service.registry.stats

    def gauges(self) -> Gauges:
        """
        @return: how things stand with the sessions of the service. This looks at every session.
        """
        return self._service.registry.gauges()

    @property
    def isDraining(self) -> bool:
        """
        Whether the service stops, and takes no new sessions.
        """
        return self._service.registry.isDraining

    def drain(self, timeout: float | None = None) -> Deferred[None]:
        """
        Stop in an orderly way: from now on C{/info}, requests for new sessions and what is sent to sessions that are
        not known here are answered with 503, and every session gets what is queued for it and a close frame. Afterwards
        no delayed call of the service is left, save those of WebSockets that are being closed.

        @param timeout: the number of seconds after which sessions that are left are cut; by default the option
            C{drain_timeout}.

        @return: fires when no session is left.
        """
        return self._service.registry.drain(self.options.drain_timeout if timeout is None else timeout)

    def start(self) -> None:
        """
        Take sessions again after L{drain} or L{stop}.
        """
        self._service.registry.isDraining = False

    def stop(self) -> None:
        """
        Close every session now, and take none any more until L{start}. Afterwards no delayed call of the service is
        left, save those of WebSockets that are being closed.
        """
        self._service.registry.stop()
