# -*- test-case-name: tests.test_policy -*-
"""
Who may connect, and who a client is, as far as the application may know: its address, and facts of the request that
opened the session.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from functools import cache
from ipaddress import IPv6Address as IPv6
from ipaddress import ip_address, ip_network
from urllib.parse import parse_qs

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.web.server import Request

from txsockjs.interfaces import RequestFacts
from txsockjs.options import Options
from txsockjs.origins import SAME, Patterns
from txsockjs.proxies import FORWARDED, Address, Hop, TrustedProxies, entriesOf, plainAddress

__all__ = ["OriginPolicy", "hostOf", "networkOf", "peerOf", "requestFacts"]

_log = Logger()

_PLAIN_ORIGIN = re.compile(rb"[^\x00-\x20\x7f-\xff\"',;<>\\]+")
"""No browser sends others, and these can be sent back within a header without a second look."""

_FOREIGN = (b"cross-site", b"same-site")
"""What C{Sec-Fetch-Site} says of a request by a page of another origin."""


class OriginPolicy:
    """
    Which pages may use a service.

    @ivar restricted: whether there are origins that are not allowed.
    @ivar silent: whether scripts of other origins are told nothing (CORS), not even that they are allowed.
    @ivar ancestors: which pages may show a page of the service in a frame, for a Content-Security-Policy; empty for
        any.
    """

    def __init__(self, options: Options) -> None:
        origins = options.origins
        self.restricted = options.restricted
        self.silent = options.disable_cors
        self.ancestors = ""
        self._ask = None if isinstance(origins, (str, tuple)) else origins
        self._patterns = Patterns(())
        if self.restricted and isinstance(origins, (str, tuple)):
            names = (origins,) if isinstance(origins, str) else origins
            # What the iframe page sends for others is of the service's own origin.
            self._patterns = Patterns((*names, SAME) if options.iframe else names)
            # Frames within the iframe page are within a page of the service's own origin as well.
            self.ancestors = " ".join(dict.fromkeys(["'self'", *self._patterns.sources()]))

    def originOf(self, request: Request) -> bytes | None:
        """
        @return: the origin that a request tells, or L{None} if it tells none, or something that is no origin.
        """
        origin = request.getHeader(b"origin")
        return origin if origin and _PLAIN_ORIGIN.fullmatch(origin) else None

    def allows(self, request: Request, told: bool = True) -> bool:
        """
        @param told: whether browsers tell the origin of a page that sends such a request from another one.
        """
        if not self.restricted:
            return True
        lines = request.requestHeaders.getRawHeaders(b"origin")
        if lines is None:
            if self._ask is not None:
                return self._askFor(None, request)
            # So it is the same origin, or no browser. Of a few requests from elsewhere browsers tell only this much.
            return not told or request.getHeader(b"sec-fetch-site") not in _FOREIGN
        if len(lines) > 1 or not _PLAIN_ORIGIN.fullmatch(lines[0]):
            return False
        origin = lines[0].decode("ascii")
        if self._ask is not None:
            return self._askFor(origin, request)
        return self._patterns.allow(origin, (request.getHeader(b"host") or b"").decode("latin-1"), request.isSecure())

    def _askFor(self, origin: str | None, request: Request) -> bool:
        assert self._ask is not None
        try:
            answer = self._ask(origin, request)
            if isinstance(answer, Awaitable):  # which would count as true
                raise TypeError(f"it has to answer at once, and returned {answer!r}")
        except Exception:
            _log.failure("the callable of the option origins failed")
            return False
        return bool(answer)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _lines(request: Request, name: str) -> list[str]:
    values = request.requestHeaders.getRawHeaders(name.encode("ascii"), ())
    return [value.decode("latin-1") for value in values]


@cache
def _encoded(names: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """
    @return: the names of headers, each with its form on the wire.
    """
    return [(name, name.encode("ascii")) for name in names]


def requestFacts(request: Request, depth: int, options: Options) -> RequestFacts:
    """
    @param request: the request that opens a session.

    @param depth: how many segments of its path lie below the service.

    @return: what the application may know of it.
    """
    headers = {}
    linesOf = request.requestHeaders.getRawHeaders
    for name, field in _encoded(options.exposed_headers):
        lines = linesOf(field)
        if lines:
            # RFC 9110 section 5.3: lines of the same name are one list.
            headers[name] = ", ".join([line.decode("latin-1") for line in lines])
    segments: list[bytes] = [*(request.prepath or ()), *(request.postpath or ())]
    base = segments[:-depth]
    # Not request.args: for a POST that has the fields of a form as well.
    query = request.uri.partition(b"?")[2].decode("latin-1")
    fields = parse_qs(query, keep_blank_values=True) if query else {}
    args = {name: tuple(values) for name, values in fields.items()}
    return RequestFacts("/" + "/".join(map(_text, base)), args, headers)


# -- addresses --------------------------------------------------------------------------------------------------------


def peerOf(request: Request, options: Options) -> IAddress:
    """
    @return: the address of the client. That is whoever the connection is from, or, where this is a trusted proxy,
        whom its headers name: a TCP address, with the port 0 if they don't tell that.
    """
    peer: IAddress = request.getClientAddress()
    hop = _behind(peer, request, options)
    if hop is None:
        return peer
    return (IPv6Address if isinstance(hop.address, IPv6) else IPv4Address)("TCP", str(hop.address), hop.port)


def _behind(peer: IAddress, request: Request, options: Options) -> Hop | None:
    """
    @return: the client, if C{peer} is only a proxy of its.
    """
    header = options.proxy_header
    trusted = options.trusted_proxies
    if trusted is None:
        return None if header is None else _last(request, header)
    proxies = TrustedProxies.of(trusted)
    if not (proxies.unix if isinstance(peer, UNIXAddress) else proxies.trusts(_addressOf(peer))):
        return None
    return _told(request, header, proxies)


def _last(request: Request, header: str) -> Hop | None:
    """
    @return: whom a header names last, whoever sent it, as in txsockjs 1.x: a list has addresses without ports there.
    """
    entries = entriesOf(header, _lines(request, header))
    if header == FORWARDED:
        return TrustedProxies.of(1).client(entries)
    try:
        return Hop(ip_address(entries[-1]), 0)
    except (IndexError, ValueError):
        return None


def _told(request: Request, header: str | None, proxies: TrustedProxies) -> Hop | None:
    """
    @return: the client that the headers name.
    """
    names = ("x-forwarded-for", FORWARDED) if header is None else (header,)
    hops = {proxies.client(entriesOf(name, lines)) for name in names if (lines := _lines(request, name))}
    # Of two that do not agree, one is likely to be the client's invention, and there is no telling which.
    if len({hop and hop.address for hop in hops}) != 1:
        return None
    hop = hops.pop()
    return hop._replace(port=0) if hop and hops else hop


def _addressOf(peer: IAddress) -> Address | None:
    if not isinstance(peer, (IPv4Address, IPv6Address)):
        return None
    try:
        return plainAddress(peer.host)
    except ValueError:  # nobody checks what a PROXY header says
        return None


def hostOf(peer: IAddress) -> str:
    """
    @return: the host of an address, by which clients are told apart: the same text for each way to write it, and empty
        where there is none, as on a Unix socket.
    """
    return str(_addressOf(peer) or "")


def networkOf(host: str) -> str:
    """
    @param host: what L{hostOf} gave.

    @return: whom it belongs to: a single customer has 2**64 addresses of IPv6 to come from, or more.
    """
    return str(ip_network((host, 64), strict=False)) if ":" in host else host
