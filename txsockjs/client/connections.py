# -*- test-case-name: tests.test_client_connections -*-
"""
The sockets of one connection: how they are opened, and that none is left behind.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
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
        See L{twisted.web.iweb.IAgentEndpointFactory.endpointForURI}.
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
        self._open: dict[ProtocolWrapper, None] = {}
        self._addresses: tuple[IAddress, IAddress] | None = None
        self._over = False

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        See L{twisted.web.iweb.IAgentEndpointFactory.endpointForURI}.
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
        for connection in list(self._open):
            connection.abortConnection()

    def opened(self, connection: ProtocolWrapper) -> IProtocol:
        """
        A socket was opened.

        @return: the protocol that it is for.

        @raise ConnectionAborted: when nobody wants it any more.
        """
        if self._over:
            connection.abortConnection()
            raise ConnectionAborted()
        self._addresses = connection.getPeer(), connection.getHost()
        return connection.wrappedProtocol

    def add(self, connection: ProtocolWrapper) -> None:
        """
        There is a connection.
        """
        self._open[connection] = None

    def remove(self, connection: ProtocolWrapper) -> None:
        """
        It is gone.
        """
        self._open.pop(connection, None)


class _Register(WrappingFactory):
    """
    Tells which connections there are.
    """

    noisy = False

    def __init__(self, connections: Connections, factory: IProtocolFactory) -> None:
        super().__init__(factory)
        self._connections = connections

    def registerProtocol(self, p: ProtocolWrapper) -> None:
        self._connections.add(p)

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        self._connections.remove(p)


@implementer(IStreamClientEndpoint)
class _Tracked:
    def __init__(self, connections: Connections, endpoint: IStreamClientEndpoint) -> None:
        self._connections = connections
        self._endpoint = endpoint

    def __repr__(self) -> str:
        return repr(self._endpoint)  # the pool shows it

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting: Deferred[Any] = self._endpoint.connect(_Register(self._connections, protocolFactory))
        return connecting.addCallback(self._connections.opened)
