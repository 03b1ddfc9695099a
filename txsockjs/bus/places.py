# -*- test-case-name: tests.test_bus -*-
"""
The texts that describe a Redis server. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["RedisPlace"]

_PORT = 6379

_FORMS = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH?db=DB"


@dataclass(frozen=True)
class RedisPlace:
    """
    Where a Redis server is, and how to use it.

    @ivar host: its name or address; empty for a Unix socket.
    @ivar port: its port.
    @ivar path: the path of its Unix socket; empty for TCP.
    @ivar tls: whether it speaks TLS.
    @ivar ca: a file with the certificates that its own may be signed by, PEM; empty for those of the system.
    @ivar db: the number of the database. Redis itself does not separate channels by it, so it is a part of their names.
    @ivar user: who we are; empty for the default user.
    @ivar password: the password, or L{None}.
    @ivar prefix: what the names of channels begin with on the server: printable characters but spaces and colons. A
        colon ends it there, so that no two prefixes and databases have a channel in common.
    @ivar maxMessages: how many messages may wait while the server is away.
    @ivar maxBytes: their size in bytes.
    """

    host: str = "127.0.0.1"
    port: int = _PORT
    path: str = ""
    tls: bool = False
    ca: str = ""
    db: int = 0
    user: str = ""
    password: str | None = None
    prefix: str = "sockjs"
    maxMessages: int = 100_000
    maxBytes: int = 16_777_216

    def __post_init__(self) -> None:
        """
        @raise ValueError: when there can be no such prefix.
        """
        if not self.prefix.isprintable() or not {" ", ":"}.isdisjoint(self.prefix):
            raise ValueError(f"prefix should be printable and have no spaces and no colons, not {self.prefix!r}")

    def __str__(self) -> str:
        """
        @return: the same as a text, without the password.
        """
        if self.path:
            return f"unix://{self.path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{host}:{self.port}/{self.db}"

    # What dataclass makes would show the password in logs.
    __repr__ = __str__

    @classmethod
    def fromString(cls, description: str) -> RedisPlace:
        """
        @param description: C{redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]}, the same with C{rediss} for TLS, or
            C{unix://[[USER]:PASSWORD@]/PATH[?db=DB]}. After a question mark there may be C{db}, C{prefix},
            C{max_messages}, C{max_bytes}, C{password_file} and C{ca}.

        @raise ValueError: when it is none of these; the text says why, and does not show a password.
        """
        if "#" in description:
            raise ValueError("there is a '#', which has to be written as %23")
        try:
            parts = urlsplit(description)
            port = parts.port
        except ValueError:
            raise ValueError(f"that is no URL with a port from 0 to 65535; it should be {_FORMS}") from None
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError(f"it should be {_FORMS}")
        settings = _settings(parts.query)
        isUnix = parts.scheme == "unix"
        _checkPlace(parts, isUnix)
        if "ca" in settings and parts.scheme != "rediss":
            raise ValueError("ca is for rediss:// only")
        return cls(
            host="" if isUnix else unquote(parts.hostname or ""),
            port=_PORT if port is None else port,
            path=unquote(parts.path) if isUnix else "",
            tls=parts.scheme == "rediss",
            ca=settings.get("ca", ""),
            db=_db(parts, settings, isUnix),
            user=unquote(parts.username or ""),
            password=_password(parts, settings),
            prefix=settings.get("prefix", cls.prefix),
            maxMessages=_number(settings, "max_messages", cls.maxMessages),
            maxBytes=_number(settings, "max_bytes", cls.maxBytes),
        )

    @property
    def channelPrefix(self) -> str:
        """
        What stands before the name of a channel on the server.
        """
        return f"{self.prefix}:{self.db}:"


_SETTINGS = ("db", "prefix", "max_messages", "max_bytes", "password_file", "ca")


def _settings(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    except ValueError:
        raise ValueError("what follows the question mark should be NAME=VALUE&NAME=VALUE") from None
    settings: dict[str, str] = {}
    for name, value in pairs:
        if name not in _SETTINGS:
            raise ValueError(f"there is no setting {name!r}; there are {', '.join(_SETTINGS)}")
        if not value:
            raise ValueError(f"{name} needs a value")
        if name in settings:
            raise ValueError(f"{name} is there twice")
        settings[name] = value
    return settings


def _checkPlace(parts: SplitResult, isUnix: bool) -> None:
    # Not urlsplit's hostname, which is None for more than one reason.
    place = parts.netloc.rpartition("@")[2]
    if isUnix:
        if place or not parts.path.startswith("/") or parts.path == "/":
            raise ValueError("it should be unix:///PATH, with the whole path of the socket")
    elif not parts.hostname:
        raise ValueError(f"there is no host; it should be {parts.scheme}://HOST:PORT/DB")


def _db(parts: SplitResult, settings: Mapping[str, str], isUnix: bool) -> int:
    text = "" if isUnix else parts.path.removeprefix("/")
    if text and "db" in settings:
        raise ValueError("db is there twice")
    text = text or settings.get("db", "0")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the database should be a number, not {text!r}")
    return int(text)


def _password(parts: SplitResult, settings: Mapping[str, str]) -> str | None:
    path = settings.get("password_file")
    if path is None:
        if parts.username and parts.password is None:
            raise ValueError("there is a user without a password; it should be USER:PASSWORD@ or :PASSWORD@")
        return unquote(parts.password) if parts.password else None
    if parts.password:
        raise ValueError("there is a password and a password_file")
    try:
        with open(path, encoding="utf-8") as file:
            password = file.readline().rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ValueError(f"password_file {path} can't be read: {why}") from None
    if not password:
        raise ValueError(f"password_file {path} has no password in its first line")
    return password


def _number(settings: Mapping[str, str], name: str, default: int) -> int:
    text = settings.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not int(text):
        raise ValueError(f"{name} should be a number above 0, not {text!r}")
    return int(text)
