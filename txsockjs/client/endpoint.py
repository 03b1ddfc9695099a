# -*- test-case-name: tests.test_client,tests.test_client_options -*-
"""
The client's endpoint: what it is given, and whether that makes sense.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

import txsockjs
from txsockjs.client.connecting import Attempt
from txsockjs.client.connections import Direct
from txsockjs.client.options import ClientOptions
from txsockjs.client.urls import ServiceURL

__all__ = ["SockJSClientEndpoint"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2

_OWN_HEADERS = frozenset({"connection", "content-length", "content-type", "host", "transfer-encoding", "upgrade"})


@implementer(IStreamClientEndpoint)
class SockJSClientEndpoint:
    """
    Connects to a SockJS service. The protocol's transport is as on the server: it provides
    L{txsockjs.interfaces.ISockJSTransport}, and a protocol that provides L{txsockjs.interfaces.ISockJSProtocol} gets
    messages rather than bytes.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        options: ClientOptions | Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        tlsPolicy: IPolicyForHTTPS | None = None,
        agent: IAgent | None = None,
        endpointFactory: IAgentEndpointFactory | None = None,
        **settings: Any,
    ) -> None:
        """
        @param reactor: opens sockets, resolves names and keeps time.

        @param url: the service, such as C{http://localhost:8081/echo}: what a page gives to sockjs-client.

        @param options: ready options, or a dict of settings; see L{ClientOptions}.

        @param headers: what each request has, such as C{Authorization} or C{Origin}; the handshake of a WebSocket and a
            C{base_url} elsewhere get them too.

        @param tlsPolicy: which certificates are trusted; by default those that the platform trusts.

        @param agent: makes the requests of HTTP, with its own policy, proxies and pool; by default an
            L{twisted.web.client.Agent} with a pool for each connection. An agent can't open a WebSocket, so without
            C{endpointFactory} the default is to try none.

        @param endpointFactory: opens the sockets of WebSockets and, without C{agent}, of all requests; by default by
            TCP and, for C{https}, TLS with C{tlsPolicy}.

        @param settings: single settings, which win over C{options}.

        @raise ValueError: when the URL, a header, the name or the value of a setting is wrong, or when they do not go
            together; it says what would be right.
        """
        self._reactor = reactor
        self._url = ServiceURL.fromText(url)
        self._options = _chosen(options, settings, agent is not None and endpointFactory is None)
        if tlsPolicy is not None and not (endpointFactory is None and agent is None):
            raise ValueError(
                "tlsPolicy has no effect beside endpointFactory or agent, which decide about TLS themselves"
            )
        self._headers = _checked(headers or {})
        self._agent = agent
        self._endpointFactory = endpointFactory or Direct(reactor, tlsPolicy)

    def __repr__(self) -> str:
        return f"<SockJSClientEndpoint {self._url}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open a session.

        @return: fires with the protocol once it has its connection. It fails with L{CannotConnect} or one of its
            subclasses, with what the factory's C{buildProtocol} has raised, or with
            L{twisted.internet.error.NoProtocol} when it has returned L{None}. It can be cancelled at any time, and
            fails with L{twisted.internet.error.ConnectingCancelledError} then.
        """
        attempt = Attempt(
            self._reactor, self._url, self._options, self._headers, self._agent, self._endpointFactory, protocolFactory
        )

        def cancel(connecting: Deferred[IProtocol]) -> None:
            attempt.isCancelled = True
            running.cancel()

        connecting: Deferred[IProtocol] = Deferred(cancel)
        running = Deferred.fromCoroutine(attempt.run())
        running.chainDeferred(connecting)
        return connecting


def _chosen(options: Any, settings: Mapping[str, Any], onlyHTTP: bool) -> ClientOptions:
    """
    @param onlyHTTP: whether there is no way to open a WebSocket.
    """
    chosen = ClientOptions.build(options, **settings)
    if not onlyHTTP:
        return chosen
    names = tuple(name for name in chosen.transports if not name.startswith("websocket"))
    if names != chosen.transports and chosen.transports != ClientOptions().transports:
        raise ValueError(
            "an agent can't open a WebSocket: beside agent give endpointFactory as well, by which it is opened, or "
            "leave websocket out of transports"
        )
    return ClientOptions.build(chosen, transports=names)


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """
    @return: the headers of each request; of names that differ in their case only, the last one counts.
    """
    checked = {"user-agent": ("User-Agent", f"txsockjs/{txsockjs.__version__}")}
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"a header is a name and a value, both str, not {name!r} and {value!r}")
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"headers has {name!r}, which is no name of a header")
        if name.lower() in _OWN_HEADERS or name.lower().startswith("sec-websocket-"):
            raise ValueError(f"headers can't have {name!r}, which is set for each request")
        if not re.fullmatch(r"[\t\x20-\x7e]*", value):
            raise ValueError(f"the header {name!r} can't have the value {value!r}: it must be printable ASCII")
        checked[name.lower()] = name, value
    return dict(checked.values())
