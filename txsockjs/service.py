# -*- test-case-name: tests.test_resource -*-
"""
One service: an application's factory, its options, and its sessions; what the transports are given to work with.
"""

from __future__ import annotations

from typing import NamedTuple

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.web.http import SERVICE_UNAVAILABLE
from twisted.web.server import Request

from txsockjs.codec import SOCKJS, Framing
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.options import Options
from txsockjs.policy import OriginPolicy, hostOf, peerOf, requestFacts
from txsockjs.registry import Registry
from txsockjs.session import Session

__all__ = ["DRAINING", "Refusal", "Service"]

_TOO_MANY_REQUESTS = 429  # RFC 6585 section 4


class Refusal(NamedTuple):
    """
    Why a request may not open a session.
    """

    status: int
    cause: str
    """For whoever counts."""

    text: str
    """For the client."""

    passes: bool = False
    """Whether it is worth to try again later."""


DRAINING = Refusal(SERVICE_UNAVAILABLE, "draining", "This service is about to stop\n", passes=True)
"""What is asked of a service that stops, and what another process may do."""

_FULL = Refusal(SERVICE_UNAVAILABLE, "too many sessions", "There are too many sessions\n", passes=True)
_ENOUGH = Refusal(
    _TOO_MANY_REQUESTS, "too many sessions of one host", "There are too many sessions from your address\n", passes=True
)


class Service:
    """
    What is mounted at one URL.

    @ivar options: its settings.
    @ivar origins: which pages may use it.
    @ivar clock: where time comes from.
    @ivar registry: its sessions.
    @ivar factory: makes their protocols.
    """

    def __init__(self, factory: IProtocolFactory, options: Options, clock: IReactorTime) -> None:
        # Otherwise the mistake would show only when the first client comes.
        if isinstance(factory, type) or not hasattr(factory, "buildProtocol"):
            raise TypeError(f"a service needs a factory such as Factory.forProtocol(Echo), not {factory!r}")
        self.options = options
        self.origins = OriginPolicy(options)
        self.clock = clock
        self.registry = Registry(options, clock)
        self.factory = factory
        self._encoding = lookupEncoding(options.encoding)

    @property
    def asksTheUser(self) -> bool:
        """
        Whether a callable of the user's is to see requests to sessions, or a cookie is to be set.
        """
        options = self.options
        return options.authorize is not None or callable(options.origins) or bool(options.cookie_needed)

    def refusal(self, request: Request) -> Refusal | None:
        """
        @return: why there is no room for a session that C{request} would open, or L{None} if there is.
        """
        registry = self.registry
        if registry.isDraining:
            return DRAINING
        if registry.isFull:
            return _FULL
        if self.options.max_sessions_per_host and registry.hasEnoughOf(hostOf(peerOf(request, self.options))):
            return _ENOUGH
        return None

    def authorize(self, request: Request) -> Deferred[object]:
        """
        Ask the application whether a request may open a session.

        @return: what it said: L{True} or L{None}, or L{False}.
        """
        assert self.options.authorize is not None
        return maybeDeferred(self.options.authorize, request)

    def isForeign(self, request: Request, session: Session) -> bool:
        """
        @return: whether a request comes from another address than the session that it asks for is bound to.
        """
        return self.options.bind_sessions and hostOf(peerOf(request, self.options)) != session.host

    def createSession(
        self,
        request: Request,
        transportName: str,
        depth: int,
        name: str | None = None,
        framing: Framing = SOCKJS,
    ) -> Session:
        """
        Begin a session.

        @param request: the request that opens it.

        @param transportName: the transport that it came by.

        @param depth: how many segments of the request's path lie below the service.

        @param name: the session id of the URL, where the session can be looked up by it.

        @return: the session, to which the caller attaches a receiver at once.
        """
        facts = requestFacts(request, depth, self.options)
        peer = peerOf(request, self.options)
        session = self.registry.create(framing, name, transportName, hostOf(peer))
        session.bind(Connection(session, self.factory, self._encoding, transportName, facts, peer, request.getHost()))
        return session
