# -*- test-case-name: tests.test_policy -*-
"""
Who a client is, as far as the application may know: its address, and facts of the request that opened the session.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import parse_qs

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.web.server import Request

from txsockjs.interfaces import RequestFacts
from txsockjs.options import Options

__all__ = ["peerOf", "requestFacts"]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _header(request: Request, name: str) -> str | None:
    values = request.requestHeaders.getRawHeaders(name.encode("ascii"))
    # RFC 9110 section 5.3: lines of the same name are one list.
    return None if values is None else ", ".join(value.decode("latin-1") for value in values)


def requestFacts(request: Request, depth: int, options: Options) -> RequestFacts:
    """
    @param request: the request that opens a session.

    @param depth: how many segments of its path lie below the service.

    @return: what the application may know of it.
    """
    headers = {}
    for name in options.exposed_headers:
        value = _header(request, name)
        if value is not None:
            headers[name] = value
    segments: list[bytes] = [*(request.prepath or ()), *(request.postpath or ())]
    base = segments[:-depth]
    # Not request.args: for a POST that has the fields of a form as well.
    query = request.uri.partition(b"?")[2].decode("latin-1")
    args = {name: tuple(values) for name, values in parse_qs(query, keep_blank_values=True).items()}
    return RequestFacts("/" + "/".join(map(_text, base)), args, headers)


def peerOf(request: Request, options: Options) -> IAddress:
    """
    @return: the address of the client: that of the connection, or the one that the header of the option
        C{proxy_header} names. A header without a plain IP address at its end is ignored.
    """
    connection: IAddress = request.getClientAddress()
    if options.proxy_header is None:
        return connection
    value = _header(request, options.proxy_header)
    if value is None:
        return connection
    try:
        address = ip_address(value.rpartition(",")[2].strip())
    except ValueError:
        return connection
    # The header has no port; 0 stands for one that is not known.
    return (IPv4Address if address.version == 4 else IPv6Address)("TCP", str(address), 0)
