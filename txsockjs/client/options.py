# -*- test-case-name: tests.test_client_options -*-
"""
Every setting of the client, once: default, unit, check, help, and how it is read from text.

Keyword arguments, endpoint strings, the flags of C{python -m txsockjs} and the table in the documentation are all
derived from the fields of L{ClientOptions}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from txsockjs.options import OptionInfo, option
from txsockjs.values import (
    checkEncoding,
    checkNames,
    checkPositive,
    checkPositiveSeconds,
    checkSeconds,
    readInteger,
    readNames,
    readNumber,
    suggest,
)

__all__ = ["CLIENT_OPTIONS", "CLIENT_TRANSPORTS", "RAW_TRANSPORT", "ClientOptions"]

RAW_TRANSPORT = "websocket-raw"
"""The transport that is no part of the fallback, since it speaks no SockJS."""

CLIENT_TRANSPORTS = ("websocket", "xhr-streaming", "eventsource", "xhr-polling", RAW_TRANSPORT)
"""
The names of all transports that the client has, in the order of preference.
"""


def _transports(value: object) -> tuple[str, ...]:
    names = checkNames(value)
    for name in names:
        if name not in CLIENT_TRANSPORTS:
            known = ", ".join(CLIENT_TRANSPORTS)
            raise ValueError(f"has no transport {name!r}{suggest(name, CLIENT_TRANSPORTS)}; there are {known}")
    if not names:
        raise ValueError(f"must name at least one of {', '.join(CLIENT_TRANSPORTS)}")
    return tuple(dict.fromkeys(names))


def _frameSize(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < _LEAST_FRAME:
        raise ValueError(f"must be a whole number, {_LEAST_FRAME} or more, not {value!r}")
    return value


_LEAST_FRAME = 4096  # xhr-streaming begins with a line of 2048 bytes


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """
    The settings of a client. Times are in seconds, sizes in bytes.
    """

    transports: tuple[str, ...] = option(
        CLIENT_TRANSPORTS[:-1],
        "names",
        "transports to try, in this order. websocket-raw, which speaks plain WebSocket to the service's /websocket, is "
        "tried only if it is named",
        _transports,
        readNames,
    )
    encoding: str = option(
        "utf-8",
        "name",
        "between the bytes of the protocol and the text of messages: a text codec of Python's, or base64",
        checkEncoding,
        str,
    )
    info_timeout: float = option(
        8.0, "seconds", "how long the service's /info may take to answer", checkPositiveSeconds, readNumber
    )
    open_timeout: float = option(
        2.0,
        "seconds",
        "how long each transport has to open at least, before the next one is tried; it has longer where the round "
        "trip of /info took long",
        checkSeconds,
        readNumber,
    )
    heartbeat_timeout: float = option(
        60.0,
        "seconds",
        "how long the server may send nothing, not even a heartbeat, before the session is lost; it should be more "
        "than twice the server's heartbeat delay, which is 25 by default. 0 for any time",
        checkSeconds,
        readNumber,
    )
    write_timeout: float = option(
        60.0,
        "seconds",
        "how long the server may take nothing of what is sent to it before the session is lost; 0 for any time",
        checkSeconds,
        readNumber,
    )
    close_timeout: float = option(
        5.0,
        "seconds",
        "how long the server of a WebSocket that is closed may take to close it too, before it is cut",
        checkPositiveSeconds,
        readNumber,
    )
    max_queued_bytes: int = option(
        1048576,
        "bytes",
        "how much may wait, encoded, for a server that does not take it; beyond that the session is lost with 1008. "
        "Also how much may wait for a protocol that has paused its intake; beyond that no more is read",
        checkPositive,
        readInteger,
    )
    max_queued_messages: int = option(
        16384,
        "messages",
        "how many messages may wait for a server that does not take them; beyond that the session is lost with 1008. "
        "Also how many may wait for a protocol that has paused its intake; beyond that no more are read",
        checkPositive,
        readInteger,
    )
    max_message_size: int = option(
        1048576,
        "bytes",
        "size of the largest message that the server may send, in UTF-8; a larger one ends the session with 1009",
        checkPositive,
        readInteger,
    )
    max_frame_size: int = option(
        16777216,
        "bytes",
        "size of the largest frame that the server may send, which is one message or many; while a frame is not whole "
        "this much is kept of it. A larger one ends the session with 1009",
        _frameSize,
        readInteger,
    )

    def __post_init__(self) -> None:
        for info in CLIENT_OPTIONS:
            object.__setattr__(self, info.name, info.checked(getattr(self, info.name)))

    @classmethod
    def build(cls, options: ClientOptions | Mapping[str, Any] | None = None, **settings: Any) -> ClientOptions:
        """
        Make options of what a user gave.

        @param options: ready options, or a dict of settings.

        @param settings: single settings, which win over C{options}.

        @raise ValueError: when a name or a value is wrong; it says which, and what would be right.
        """
        if options is None:
            base: dict[str, Any] = {}
        elif isinstance(options, ClientOptions):
            base = {info.name: getattr(options, info.name) for info in CLIENT_OPTIONS}
        elif isinstance(options, Mapping):
            base = dict(options)
        else:
            raise ValueError(f"options must be a dict or a ClientOptions, not {options!r}")
        base.update(settings)
        for name in base:
            _find(name)
        return cls(**base)

    @classmethod
    def fromStrings(cls, texts: Mapping[str, str]) -> ClientOptions:
        """
        Make options of what stood in an endpoint string or on a command line.

        @param texts: names and values as text.

        @raise ValueError: when a name or a value is wrong.
        """
        return cls.build({name: _find(name).parsed(text) for name, text in texts.items()})


CLIENT_OPTIONS: tuple[OptionInfo, ...] = tuple(
    OptionInfo(item.name, item.default, *item.metadata["option"]) for item in fields(ClientOptions)
)
"""
All options, in the order of their declaration.
"""

_BY_NAME = {info.name: info for info in CLIENT_OPTIONS}


def _find(name: str) -> OptionInfo:
    info = _BY_NAME.get(name)
    if info is None:
        raise ValueError(f"there is no option {name!r}{suggest(str(name), _BY_NAME)}; there are {', '.join(_BY_NAME)}")
    return info
