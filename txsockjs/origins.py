# -*- test-case-name: tests.test_origins -*-
"""
Which web pages may use a service: the values of the option C{origins}, and what they allow.

An origin is scheme, host and port of a page (RFC 6454). A browser tells it in the header C{Origin}, and no script can
forge that; programs that are no browsers can send what they like, so this protects users, not the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = ["ANY", "SAME", "Origin", "Patterns", "checkOrigins"]

ANY = "*"
"""Every origin is allowed."""

SAME = "same"
"""Pages of the service's own scheme, host and port are allowed."""

_NULL = "null"
"""What pages without an origin of their own send, such as sandboxed frames and local files."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

_HOST = r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]"
_ORIGIN = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?")
_PATTERN = re.compile(
    rf"(?:(?P<scheme>[a-z][a-z0-9+.-]*|\*)://)?(?P<host>\*|(?:\*\.)?(?:{_HOST}))(?::(?P<port>[0-9]{{1,5}}|\*))?"
)
_AUTHORITY = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?")


class Origin(NamedTuple):
    """
    The origin of a page.
    """

    scheme: str
    host: str
    port: int | None
    """L{None} for the default of a scheme that we don't know."""

    @classmethod
    def parse(cls, text: str) -> Origin | None:
        """
        @param text: what the header said.

        @return: the origin, or L{None} when that is C{null}, or no origin at all.
        """
        match = _ORIGIN.fullmatch(text.lower())
        if match is None:
            return None
        scheme, host, port = match["scheme"], match["host"], match["port"]
        return cls(scheme, host, int(port) if port else _DEFAULT_PORTS.get(scheme))

    def isOf(self, authority: str, secure: bool) -> bool:
        """
        @param authority: the C{Host} of a request.

        @param secure: whether the request came by TLS. If not, a proxy may have had that part, so the scheme is not
            compared.

        @return: whether this is the origin of the server that got the request.
        """
        match = _AUTHORITY.fullmatch(authority.lower())
        if match is None or self.scheme not in (("https",) if secure else _DEFAULT_PORTS):
            return False
        port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[self.scheme]
        return self.host == match["host"] and self.port == port


class _Pattern(NamedTuple):
    scheme: str | None
    host: str
    port: str | None

    @classmethod
    def parse(cls, text: str) -> _Pattern:
        match = _PATTERN.fullmatch(text.lower())
        if match is None:
            raise ValueError(
                f"has {text!r}, which is no origin; right are 'https://example.com', 'https://*.example.com', "
                f"'http://localhost:*', 'null' or 'same'"
            )
        return cls(match["scheme"], match["host"], match["port"])

    def matches(self, origin: Origin) -> bool:
        if self.scheme is None:
            if origin.scheme not in _DEFAULT_PORTS:
                return False
        elif self.scheme not in ("*", origin.scheme):
            return False
        if self.host.startswith("*."):
            if not origin.host.endswith(self.host[1:]):
                return False
        elif self.host not in ("*", origin.host):
            return False
        if self.port == "*":
            return True
        return origin.port == (int(self.port) if self.port else _DEFAULT_PORTS.get(origin.scheme))


class Patterns:
    """
    A list of origins that are allowed.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        """
        @param texts: a list, or just C{same}, as L{checkOrigins} gave it.

        @raise ValueError: when one of them makes no sense.
        """
        names = [text.lower() for text in texts]
        self.same = SAME in names
        self._null = _NULL in names
        self._patterns = [_Pattern.parse(name) for name in names if name not in (SAME, _NULL)]

    def allow(self, text: str, authority: str, secure: bool) -> bool:
        """
        @param text: the header C{Origin} of a request.

        @param authority: its C{Host}.

        @param secure: see L{Origin.isOf}.
        """
        if text == _NULL:
            return self._null
        origin = Origin.parse(text)
        if origin is None:
            return False
        return (self.same and origin.isOf(authority, secure)) or any(item.matches(origin) for item in self._patterns)

    def sources(self) -> list[str]:
        """
        @return: the same list for a Content-Security-Policy. What can't be said there is left out: C{null}, addresses
            of IPv6, and of any scheme but those of the web.
        """
        found = ["'self'"] if self.same else []
        for scheme, host, port in self._patterns:
            if host.startswith("["):
                continue
            # Without a scheme, a browser would take that of the page that is framed.
            schemes = _DEFAULT_PORTS if scheme in (None, "*") else (scheme,)
            found += [f"{name}://{host}{f':{port}' if port else ''}" for name in schemes]
        return found


def checkOrigins(value: object) -> str | tuple[str, ...] | Callable[..., Any]:
    """
    @param value: what a user gave for the option C{origins}.

    @return: the value as it is kept: L{ANY}, L{SAME}, a tuple of origins with or without wildcards, or a callable.

    @raise ValueError: when it is none of these.
    """
    if value in (ANY, SAME) or callable(value):
        return value
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ValueError(f"must be '*', 'same', a list of origins, or a callable, not {value!r}")
    names = tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"must be a list of origins, and {name!r} is no str")
        if name == ANY:
            if len(names) > 1:
                raise ValueError("has '*', which allows every origin, among others; use it alone or not at all")
            return ANY
    if not names:
        raise ValueError("must name at least one origin; 'same' allows the service's own")
    Patterns(names)
    return names
