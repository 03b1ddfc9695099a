# -*- test-case-name: tests.test_proxies -*-
"""
Who a client is behind proxies: the values of the option C{trusted_proxies}, and the walk along the addresses that
C{X-Forwarded-For} and C{Forwarded} (RFC 7239) name.

Each proxy adds the address of whoever spoke to it at the right end. So the list is believed from the right, as far as
proxies are trusted, and what stands to the left of that may be anybody's invention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

__all__ = ["UNIX", "Hop", "TrustedProxies", "checkTrustedProxies", "forwardedFor", "xForwardedFor"]

UNIX = "unix"
"""Stands for proxies that connect by a unix socket, which have no address."""

Address = IPv4Address | IPv6Address


class Hop(NamedTuple):
    """
    Where a request came by.
    """

    address: Address
    port: int
    """0 for one that is not known."""


_IPV6 = re.compile(r"\[([0-9a-f:.]+)\](?::([0-9]{1,5}))?", re.IGNORECASE)
_IPV4 = re.compile(r"([0-9.]+):([0-9]{1,5})")


def parseHop(text: str) -> Hop | None:
    """
    @param text: an address, with or without a port; IPv6 with or without brackets.

    @return: where that is, or L{None} when it is not known: RFC 7239 has C{unknown} and invented names as well.
    """
    match = _IPV6.fullmatch(text) or _IPV4.fullmatch(text)
    address, port = (match[1], int(match[2] or 0)) if match else (text, 0)
    try:
        return Hop(plain(ip_address(address)), port if port < 65536 else 0)
    except ValueError:
        return None


def plain(address: Address) -> Address:
    """
    @return: the same address without what does not matter: a socket for IPv6 gives IPv4 addresses in disguise.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:
            return IPv6Address(int(address))
    return address


def xForwardedFor(value: str) -> list[str]:
    """
    @return: the entries of C{X-Forwarded-For}, or of another header that is a list of addresses.
    """
    return [entry.strip() for entry in value.split(",") if entry.strip()]


_PAIR = re.compile(r'\s*(?:([!#$%&\'*+.^_`|~0-9a-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*))?\s*([;,]|$)', re.IGNORECASE)


def forwardedFor(value: str) -> list[str]:
    """
    @return: for each element of C{Forwarded}, whom it names by C{for}; empty where it names nobody. Of a header that
        breaks the rules of RFC 7239 section 4, nothing is believed.
    """
    found, current, at = [], "", 0
    while True:
        match = _PAIR.match(value, at)
        if match is None:
            return []
        name, said, end = match.groups()
        if name and name.lower() == "for":
            current = re.sub(r"\\(.)", r"\1", said[1:-1]) if said.startswith('"') else said
        if end != ";":
            found.append(current)
            current = ""
        if not end:
            return found
        at = match.end()


class TrustedProxies:
    """
    The proxies that are believed.
    """

    def __init__(self, value: int | Sequence[str]) -> None:
        """
        @param value: how many proxies each request comes by, or their networks.

        @raise ValueError: when one of them is no network.
        """
        self._count = value if isinstance(value, int) else None
        names = () if isinstance(value, int) else value
        self._unix = UNIX in names
        self._networks = [_network(name) for name in names if name != UNIX]

    def trusts(self, address: Address | None) -> bool:
        """
        @param address: whoever speaks to us; L{None} by a unix socket.
        """
        if self._count is not None:
            return True
        if address is None:
            return self._unix
        return any(address in network for network in self._networks)

    def client(self, entries: Sequence[str]) -> Hop | None:
        """
        @param entries: what the last proxy, which is trusted, says of where the request came by.

        @return: the client, or L{None} when that is not known, and the last proxy stands for it.
        """
        client = None
        for number, hop in self._hops(entries):
            client = hop
            if number == self._count or (self._count is None and not self.trusts(hop.address)):
                break
        return client

    def _hops(self, entries: Sequence[str]) -> Iterator[tuple[int, Hop]]:
        for number, entry in enumerate(reversed(entries), 1):
            hop = parseHop(entry)
            if hop is None:
                return
            yield number, hop


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(
            f"has {text!r}, which is no network; right are '10.0.0.0/8', '192.0.2.1', '2001:db8::/32' or 'unix'"
        ) from None


def checkTrustedProxies(value: object) -> int | tuple[str, ...] | None:
    """
    @param value: what a user gave for the option C{trusted_proxies}.

    @return: the value as it is kept: L{None}, a number of proxies, or networks.

    @raise ValueError: when it is none of these.
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"must be a number of proxies, 1 or more, or a list of networks, not {value!r}")
        return value
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ValueError(f"must be a number of proxies or a list of networks, not {value!r}")
    names = tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"must be a list of networks, and {name!r} is no str")
    if not names:
        raise ValueError("must name at least one network")
    TrustedProxies(names)
    return names
