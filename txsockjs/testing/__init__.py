# -*- test-case-name: tests.test_testing -*-
"""
For the tests of programs that use txsockjs: clients in memory, by any transport, under a clock that stands still.

L{connect} is where to begin. What is behind it is the real thing: the site or resource under test, the channels and
requests of C{twisted.web}, and the transports of this package, down to the bytes. Only sockets and time are not real.
Any test framework will do.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.web.resource import IResource
from twisted.web.server import Site

from txsockjs.options import TRANSPORTS
from txsockjs.testing.client import Client, Close, NotConnected, NothingReceived, Refused, makeClient
from txsockjs.testing.places import Company, placeOf
from txsockjs.testing.turns import Endless, LeftBehind, SteppedClock, advance, assertNothingLeft, flush

__all__ = [
    "TRANSPORTS",
    "Client",
    "Close",
    "Endless",
    "LeftBehind",
    "NotConnected",
    "NothingReceived",
    "Refused",
    "advance",
    "assertNothingLeft",
    "connect",
    "finish",
    "flush",
]

_PORT = 50000
_numbers = itertools.count(1)


def connect(
    target: IProtocolFactory | IResource | Site,
    *,
    transport: str = "websocket",
    path: str = "/",
    clock: SteppedClock | None = None,
    headers: Mapping[str, str] | None = None,
    origin: str | None = None,
    cookies: Mapping[str, str] | None = None,
    peer: IAddress | str | None = None,
    session: str | None = None,
    **settings: Any,
) -> Client:
    """
    Connect a client to a service, in memory, and let everything happen that needs no time. As a rule the session is
    open then; it is not yet where an C{authorize} of the service has not decided.

    @param target: the factory of your protocols, which is served by a L{txsockjs.factory.SockJSFactory}; or a
        L{txsockjs.resource.SockJSResource}, or another resource with one somewhere below; or a
        L{twisted.web.server.Site}, such as L{txsockjs.factory.SockJSFactory} and
        L{txsockjs.factory.SockJSMultiFactory}. A site that listens nowhere is started, as a port would start it.

    @param transport: one of L{TRANSPORTS}.

    @param path: where the service is, such as C{/chat}, with nothing in it quoted; it may have a query, such as
        C{/chat?room=1}, which is quoted already.

    @param clock: a L{twisted.internet.task.Clock}, where time comes from. By default that of the site or resource,
        which must have been made with one; a factory gets one of its own.

    @param headers: more headers for each request, or others than those that would be sent, such as C{Host}, which is
        C{localhost}.

    @param origin: the origin of the page, such as C{https://example.com}; by default none is told.

    @param cookies: names and values of the cookies that each request has.

    @param peer: the address of the client: a host, or an address of Twisted's; by default 127.0.0.1.

    @param session: the session id for the URL; by default one that no other client has.

    @param settings: single settings of the service, where C{target} is a factory; see L{txsockjs.options.Options}.

    @return: the client.

    @raise Refused: when the service does not open the session.
    @raise ValueError: when there is no such transport or setting, when it is not clear what the clock is, or when a
        value can't be sent in a header.
    @raise TypeError: when C{target} is something else, or does not go with settings.
    """
    place = placeOf(target, path, clock, settings)
    number = next(_numbers)
    client = makeClient(
        transport,
        place,
        _headers(headers or {}, origin, cookies or {}),
        _address(peer) if isinstance(peer, str) else peer,
        session or f"client-{number}",
    )
    client.begin()
    refusal = client.refusal
    if refusal is not None:
        raise refusal
    return client


def finish(clock: SteppedClock) -> None:
    """
    End everything on a clock: drop all clients, end all sessions of the services that they were connected to, and stop
    the sites that L{connect} has started. Made for C{addCleanup}, where one call serves any number of clients.

    @param clock: that of the clients.

    @raise LeftBehind: when there are still delayed calls on the clock: the application has forgotten them.
    """
    Company.of(clock).finish()


def _headers(others: Mapping[str, str], origin: str | None, cookies: Mapping[str, str]) -> dict[str, str]:
    headers = {"Host": "localhost"}
    if origin is not None:
        headers["Origin"] = origin
    if cookies:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    for name, value in others.items():
        headers = {known: old for known, old in headers.items() if known.lower() != name.lower()}
        headers[name] = value
    for name, value in headers.items():
        if not value.isprintable() or not value.isascii():
            raise ValueError(f"the header {name} must be printable ASCII, not {value!r}")
    return headers


def _address(host: str) -> IAddress:
    if isIPAddress(host):
        return IPv4Address("TCP", host, _PORT)
    if isIPv6Address(host):
        return IPv6Address("TCP", host, _PORT)
    raise ValueError(f"peer must be an IP address such as 10.0.0.7, or an address of Twisted's, not {host!r}")
