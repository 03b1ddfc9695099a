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
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

__all__ = ["FORWARDED", "UNIX", "Address", "Hop", "TrustedProxies", "checkTrustedProxies", "entriesOf", "plainAddress"]

UNIX = "unix"
"""Stands for proxies that connect by a unix socket, which have no address."""

FORWARDED = "forwarded"
"""The header with a grammar of its own; all others are lists of addresses."""

Address = IPv4Address | IPv6Address


class Hop(NamedTuple):
    """
    Where a request came by.
    """

    address: Address
    port: int
    """0 for one that is not known."""


# -- addresses --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def plainAddress(text: str) -> Address:
    """
    @return: the address that C{text} stands for, without what does not matter: a socket for IPv6 gives IPv4 addresses
        in disguise, and the scope of an address means something on one machine only.

    @raise ValueError: when it is none.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:
            return IPv6Address(int(address))
    return address


# RFC 7239 section 6.3 has ports under an invented name, too.
_PORT = r":(?:([0-9]{1,5})|_[0-9a-z._-]+)"
_IPV6 = re.compile(rf"\[([0-9a-f:.]+)\](?:{_PORT})?", re.IGNORECASE)
_IPV4 = re.compile(rf"([0-9.]+){_PORT}", re.IGNORECASE)


def _parseHop(text: str) -> Hop | None:
    """
    @param text: an address, with or without a port; IPv6 with or without brackets.

    @return: where that is, or L{None} when it is not known: RFC 7239 has C{unknown} and invented names as well.
    """
    match = _IPV6.fullmatch(text) or _IPV4.fullmatch(text)
    host, port = (match[1], int(match[2] or 0)) if match else (text, 0)
    try:
        return Hop(plainAddress(host), port if port < 65536 else 0)
    except ValueError:
        return None


# -- headers ----------------------------------------------------------------------------------------------------------


def entriesOf(name: str, lines: Iterable[str]) -> list[str]:
    """
    @param name: the name of a header, in lower case.

    @param lines: its values, which are one list (RFC 9110 section 5.3).

    @return: whom each entry names. What names nobody is kept, for it stands for someone who is not known: were it
        left out, what a client has invented to the left of it would take its place.
    """
    read = _forwarded if name == FORWARDED else _addresses
    # Each line by itself: what a client has broken must not reach into a line that a proxy has added.
    return [entry for line in lines for entry in read(line)]


def _addresses(line: str) -> list[str]:
    return [entry.strip(" \t") for entry in line.split(",")]


# A pair of RFC 7239 section 4, or none, and what ends it. Nothing is tried twice, or a long line would take its time.
# Spaces after a semicolon, and an address of IPv6 without quotes, are wrong there but common.
_GRAMMAR = r"""[ \t]*+ (?: ([!#$%&'*+.^_`|~0-9a-z-]++) = ("(?:[^"\\]|\\.)*+" | [^\s;,"]*+) [ \t]*+ )? ([;,]|\Z)"""
_PAIR = re.compile(_GRAMMAR, re.IGNORECASE | re.VERBOSE)


def _forwarded(line: str) -> list[str]:
    """
    @return: for each element of C{Forwarded}, whom it names by C{for}; empty where it names nobody. A line that
        breaks the rules names nobody at all.
    """
    found, current, at = [], "", 0
    while match := _PAIR.match(line, at):
        name, value, end = match.groups()
        if name and name.lower() == "for":
            current = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if end != ";":
            found.append(current)
            current = ""
        if not end:
            return found
        at = match.end()
    return [""]


# -- the option -------------------------------------------------------------------------------------------------------


class TrustedProxies:
    """
    The proxies that are believed.

    @ivar unix: whether those that connect by a unix socket are.
    """

    def __init__(self, value: int | Sequence[str]) -> None:
        """
        @param value: how many proxies each request comes by, or their networks.

        @raise ValueError: when one of them is no network.
        """
        self._count = value if isinstance(value, int) else None
        names = () if isinstance(value, int) else value
        self.unix = self._count is not None or UNIX in names
        self._networks = [_network(name) for name in names if name != UNIX]

    @classmethod
    @lru_cache
    def of(cls, value: int | tuple[str, ...]) -> TrustedProxies:
        """
        @return: the proxies for a value of the option, made once.
        """
        return cls(value)

    def trusts(self, address: Address | None) -> bool:
        """
        @param address: whoever speaks to us; L{None} for one without an address.
        """
        if self._count is not None:
            return True
        return address is not None and any(address in network for network in self._networks)

    def client(self, entries: Sequence[str]) -> Hop | None:
        """
        @param entries: what the last proxy, which is trusted, says of where the request came by.

        @return: the client, or L{None} when that is not known, and the last proxy stands for it.
        """
        client = None
        for number, hop in self._hops(entries):
            client = hop
            if number == self._count or not self.trusts(hop.address):
                break
        return client

    def _hops(self, entries: Sequence[str]) -> Iterator[tuple[int, Hop]]:
        for number, entry in enumerate(reversed(entries), 1):
            hop = _parseHop(entry)
            if hop is None:
                return
            yield number, hop


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"has a wrong network: {error}; right are '10.0.0.0/8', '192.0.2.1', '2001:db8::/32' or 'unix'"
        ) from None
    # As logs on a socket for IPv6 have them; the addresses are compared without that disguise.
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - 96))


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
        raise ValueError("must be a number of proxies or at least one network")
    TrustedProxies(names)
    return names
