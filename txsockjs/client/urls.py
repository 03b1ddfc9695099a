# -*- test-case-name: tests.test_client_urls -*-
"""
The URLs of a service, as a client asks for them.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urljoin, urlsplit, urlunsplit

from hyperlink import URL
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address

__all__ = ["ServiceURL", "newServerID", "newSessionID"]

_PORTS = {"http": 80, "https": 443}

_EXAMPLE = "a URL such as http://localhost:8081/echo"


def newServerID() -> str:
    """
    @return: three digits, by which a balancer can tell servers apart. They stay the same for all tries of a connection.
    """
    return f"{secrets.randbelow(1000):03d}"


def newSessionID() -> str:
    """
    @return: a name for a session that nobody can guess: whoever knows it can read and write in it.
    """
    return secrets.token_hex(16)


class ServiceURL(NamedTuple):
    """
    Where a service is.
    """

    scheme: str
    """C{http} or C{https}."""

    netloc: str
    """Host and port, as they stand in the URL."""

    path: str
    """The path, as it stands in the URL, without slashes at its end."""

    query: str
    """What follows a question mark; each request of the session has it too."""

    @classmethod
    def fromText(cls, text: str) -> ServiceURL:
        """
        @param text: an URL; it may have characters beyond ASCII.

        @raise ValueError: when it is none that a service can have; it says why.
        """
        if not isinstance(text, str):
            raise ValueError(f"the service must be {_EXAMPLE}, not {text!r}")
        if re.search(r"[\x00-\x20\x7f]", text):
            raise ValueError(f"the service must be {_EXAMPLE}, without spaces, not {text!r}")
        try:
            parts = urlsplit(text if text.isascii() else URL.from_text(text).to_uri().to_text())
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"the service must be {_EXAMPLE}, not {text!r}: {error}") from None
        if parts.scheme not in _PORTS:
            raise ValueError(f"the service must be an http or https URL, not {text!r}")
        if not host or port == 0:
            raise ValueError(f"the service must be {_EXAMPLE}, not {text!r}")
        if parts.username is not None:
            raise ValueError(f"{_hidden(text)!r} has a user name in it; give it in a header Authorization instead")
        if parts.fragment:
            raise ValueError(f"the URL of a service has no fragment, and {text!r} has {'#' + parts.fragment!r}")
        return cls(parts.scheme, parts.netloc, parts.path.rstrip("/"), parts.query)

    def joined(self, other: str) -> ServiceURL:
        """
        @param other: another URL, as C{base_url} tells it; it may be relative to this one.

        @raise ValueError: when it is none, or leads from https to http.
        """
        url = ServiceURL.fromText(urljoin(str(self) + "/", other))
        if self.scheme == "https" and url.scheme == "http":
            raise ValueError(f"it leads from https to http: {url}")
        return url

    def __str__(self) -> str:
        return urlunsplit((self.scheme, self.netloc, self.path, self.query, ""))

    def below(self, *segments: str) -> str:
        """
        @return: the URL of something below the service.
        """
        return urlunsplit((self.scheme, self.netloc, "/".join((self.path, *segments)), self.query, ""))

    @property
    def host(self) -> str:
        """
        The host, without the brackets of IPv6.
        """
        return urlsplit(str(self)).hostname or ""

    @property
    def port(self) -> int:
        """
        The port, which the scheme decides where none is named.
        """
        return urlsplit(str(self)).port or _PORTS[self.scheme]

    @property
    def address(self) -> IPv4Address | IPv6Address | HostnameAddress:
        """
        Host and port as an address.
        """
        try:
            version = ipaddress.ip_address(self.host).version
        except ValueError:
            return HostnameAddress(self.host.encode("ascii"), self.port)
        return (IPv4Address if version == 4 else IPv6Address)("TCP", self.host, self.port)

    @property
    def decodedPath(self) -> str:
        """
        The path without percent escapes.
        """
        return unquote(self.path, errors="replace") or "/"

    @property
    def args(self) -> dict[str, list[str]]:
        """
        The query arguments: each name with its values.
        """
        return parse_qs(self.query, keep_blank_values=True)


def _hidden(text: str) -> str:
    # The password shall not stand in a log.
    return re.sub(r"//[^/@]*@", "//...@", text)
