# -*- test-case-name: tests.test_client_connections -*-
"""
The sockets of one connection: how they are opened, and that none is left behind.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

__all__ = ["Connections", "Direct"]


@implementer(IAgentEndpointFactory)
class Direct:
    """
    Connects by TCP, and by TLS for C{https}.
    """

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS | None = None) -> None:
        """
        @param reactor: opens sockets and resolves names.

        @param policy: which certificates are trusted; by default those that the platform trusts.
        """
        self._reactor = reactor
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        See L{IAgentEndpointFactory.endpointForURI}.
        """
        endpoint = HostnameEndpoint(self._reactor, uri.host, uri.port)
        if uri.scheme == b"http":
            return endpoint
        if self._policy is None:
            self._policy = BrowserLikePolicyForHTTPS()
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)


@implementer(IAgentEndpointFactory)
class Connections:
    """
    Knows every socket that was opened by it, so that all can be closed at once, whoever has them: a response of
    Twisted's C{Agent} can be left, but over TLS that waits for the peer, which may be gone.
    """

    def __init__(self, inner: IAgentEndpointFactory) -> None:
        """
        @param inner: opens them.
        """
        self._inner = inner
        self._protocols: WeakSet[Any] = WeakSet()
        self._addresses: tuple[IAddress, IAddress] | None = None
        self._over = False

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        See L{IAgentEndpointFactory.endpointForURI}.
        """
        return _Tracked(self, self._inner.endpointForURI(uri))

    @property
    def addresses(self) -> tuple[IAddress, IAddress] | None:
        """
        The peer's address and ours of the last socket, or L{None} if there is none.
        """
        return self._addresses

    def abort(self) -> None:
        """
        Close every socket now, and each that may yet be opened.
        """
        self._over = True
        for protocol in list(self._protocols):
            protocol.transport.abortConnection()
        self._protocols.clear()

    def opened(self, protocol: IProtocol) -> IProtocol:
        """
        A socket was opened for C{protocol}.

        @raise ConnectionAborted: when nobody wants it any more.
        """
        transport: Any = protocol.transport  # type: ignore[attr-defined]
        if self._over:
            transport.abortConnection()
            raise ConnectionAborted()
        self._protocols.add(protocol)
        self._addresses = transport.getPeer(), transport.getHost()
        return protocol


@implementer(IStreamClientEndpoint)
class _Tracked:
    def __init__(self, connections: Connections, endpoint: IStreamClientEndpoint) -> None:
        self._connections = connections
        self._endpoint = endpoint

    def __repr__(self) -> str:
        return repr(self._endpoint)  # the pool shows it

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._endpoint.connect(protocolFactory).addCallback(self._connections.opened)
