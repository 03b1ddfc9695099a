# -*- test-case-name: tests.test_resource -*-
"""
One service: an application's factory, its options, and its sessions; what the transports are given to work with.
"""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.web.server import Request

from txsockjs.codec import SOCKJS, Framing
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.options import Options
from txsockjs.policy import peerOf, requestFacts
from txsockjs.registry import Registry
from txsockjs.session import Session

__all__ = ["Service"]


class Service:
    """
    What is mounted at one URL.

    @ivar options: its settings.
    @ivar clock: where time comes from.
    @ivar registry: its sessions.
    """

    def __init__(self, factory: IProtocolFactory, options: Options, clock: IReactorTime) -> None:
        # Otherwise the mistake would show only when the first client comes.
        if isinstance(factory, type) or not hasattr(factory, "buildProtocol"):
            raise TypeError(f"a service needs a factory such as Factory.forProtocol(Echo), not {factory!r}")
        self.options = options
        self.clock = clock
        self.registry = Registry(options, clock)
        self._factory = factory
        self._encoding = lookupEncoding(options.encoding)

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
        session = self.registry.create(framing, name)
        session.bind(Connection(session, self._factory, self._encoding, transportName, facts, peer, request.getHost()))
        return session
