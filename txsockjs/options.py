# -*- test-case-name: tests.test_options -*-
"""
Every setting of a service, once: default, unit, check, help, and how it is read from text.

Command line, endpoint strings, keyword arguments, the option dict of txsockjs 1.x and the tables in the documentation
are all derived from the fields of L{Options}.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import FrameType
from typing import Any, NamedTuple

from twisted.web.iweb import IRequest

from txsockjs.encoding import BASE64, LENIENT
from txsockjs.origins import ANY, SAME, checkOrigins
from txsockjs.proxies import checkTrustedProxies
from txsockjs.values import (
    checkBoolean,
    checkCallable,
    checkCloseCode,
    checkCloseReason,
    checkCount,
    checkEncoding,
    checkHeaderName,
    checkHeaderNames,
    checkNames,
    checkPositive,
    checkPositiveSeconds,
    checkProcessName,
    checkSeconds,
    checkTemplate,
    checkTruth,
    checkURL,
    readBoolean,
    readInteger,
    readNames,
    readNumber,
    readObject,
    suggest,
)

__all__ = [
    "IFRAME",
    "OPTIONS",
    "TRANSPORTS",
    "OptionInfo",
    "Options",
    "option",
]

TRANSPORTS = (
    "websocket",
    "websocket-raw",
    "xhr-streaming",
    "xhr-polling",
    "eventsource",
    "htmlfile",
    "jsonp-polling",
)
"""
The names of all transports, in the order of preference.
"""

IFRAME = "iframe"
"""
Names the iframe page among the transports: by it, pages of other origins use the transports that need the same origin.
"""

_WITHOUT_ORIGIN = frozenset({"htmlfile", "jsonp-polling", IFRAME})
"""What browsers load without telling for which page, so that no policy of origins can be kept there."""

_EXPOSED_HEADERS = (
    "origin",
    "referer",
    "host",
    "user-agent",
    "accept-language",
    "dnt",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-ssl",
)

_PROCESS = "process"
_URL_FIELDS = (_PROCESS, "service")
"""What may stand between braces in C{base_url}."""

_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


# -- how values are read and checked that no other option has ---------------------------------------------------------


def _originNames(text: str) -> str | tuple[str, ...]:
    return text if text in (ANY, SAME) else readNames(text)


def _proxyNames(text: str) -> int | tuple[str, ...]:
    return int(text) if text.isascii() and text.isdigit() else readNames(text)


def _transports(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = checkNames(value)
    known = (*TRANSPORTS, IFRAME)
    for name in names:
        if name not in known:
            raise ValueError(f"has no transport {name!r}{suggest(name, known)}; there are {', '.join(known)}")
    if not set(names) - {IFRAME}:
        raise ValueError(f"must name at least one of {', '.join(TRANSPORTS)}")
    return tuple(name for name in known if name in names)


def _cookie(value: object) -> bool | Callable[[IRequest], str]:
    if isinstance(value, bool) or callable(value):
        return value
    raise ValueError(
        f"must be true, false, or a callable that is given the request and returns the cookie's value, not {value!r}"
    )


def _baseURL(value: object) -> str | Callable[[IRequest], str] | None:
    if value is None or callable(value):
        return value
    url = checkURL(value)
    if not url.lower().startswith(("https://", "http://", "/")):
        raise ValueError(f"must begin with https://, http:// or /, not {value!r}")
    checkTemplate(url, _URL_FIELDS)
    return url


# -- the options themselves -------------------------------------------------------------------------------------------


class _Meta(NamedTuple):
    unit: str
    help: str
    check: Callable[[object], Any]
    parse: Callable[[str], Any]
    text: str | None


def option(
    default: Any,
    unit: str,
    help: str,
    check: Callable[[object], Any],
    parse: Callable[[str], Any],
    text: str | None = None,
) -> Any:
    """
    Declare one option, as a field of a dataclass.

    @param default: its value when nothing is given.

    @param unit: what it is counted in, or what kind of value it is.

    @param help: what it does, in one sentence.

    @param check: gives the value as it is kept, or raises C{ValueError}.

    @param parse: reads a value from text, or raises C{ValueError}.

    @param text: how the default is shown, where that is not its value as text.
    """
    return field(default=default, metadata={"option": _Meta(unit, help, check, parse, text)})


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    The settings of one service. Times are in seconds, sizes in bytes.
    """

    transports: tuple[str, ...] = option(
        None,
        "names",
        "transports that clients may use; the URLs of all others answer 404. Where origins are restricted, htmlfile, "
        "jsonp-polling and the iframe page are on only if they are named here, the page as iframe, since browsers do "
        "not tell the origin there",
        _transports,
        readNames,
        ",".join(TRANSPORTS),
    )
    origins: str | tuple[str, ...] | Callable[[str | None, IRequest], object] = option(
        ANY,
        "origins",
        "which pages may use the service: * for all, same for those of its own origin, or a list such as "
        "https://example.com,https://*.example.com,http://localhost:*; in Python also a callable that is given the "
        "origin, or None, and the request. Others get 403",
        checkOrigins,
        _originNames,
    )
    disable_cors: bool = option(
        False,
        "true or false",
        "whether to leave out the CORS headers, for a service whose pages are of its own origin",
        checkBoolean,
        readBoolean,
    )
    authorize: Callable[[IRequest], object] | None = option(
        None,
        "callable",
        "asked with the request before each new session: it returns True or None to allow it, False to refuse it "
        "with 403, or a Deferred or coroutine of these; as text its dotted name",
        checkCallable,
        readObject,
    )
    authorize_timeout: float = option(
        30.0,
        "seconds",
        "how long authorize may take, before the request is answered with 503",
        checkPositiveSeconds,
        readNumber,
    )
    heartbeat_delay: float = option(
        25.0,
        "seconds",
        "silence after which a heartbeat frame is sent; 0 switches heartbeats off",
        checkSeconds,
        readNumber,
    )
    disconnect_delay: float = option(
        5.0,
        "seconds",
        "how long a client may be without a receiving request before its session is over, and how long a session that "
        "is over is remembered",
        checkPositiveSeconds,
        readNumber,
    )
    response_limit: int = option(
        131072,
        "bytes",
        "size after which a streaming response ends and the client opens the next",
        checkPositive,
        readInteger,
    )
    cookie_needed: bool | Callable[[IRequest], str] = option(
        False,
        "true or false",
        "whether to set the JSESSIONID cookie, for balancers that need one; in Python also a callable that is given "
        "the request and returns the cookie's value",
        _cookie,
        readBoolean,
    )
    process_name: str | None = option(
        None,
        "name",
        "what this process is called among those of the service, by letters, digits, - and _: a balancer finds it, and "
        "a dot, at the beginning of the JSESSIONID cookie where cookie_needed is on, and base_url may have it as "
        "{process}",
        checkProcessName,
        str,
    )
    sockjs_url: str = option(
        "https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js",
        "URL",
        "where the iframe page loads sockjs-client from; use the same version as your pages",
        checkURL,
        str,
    )
    base_url: str | Callable[[IRequest], str] | None = option(
        None,
        "URL",
        "where clients shall connect instead of the URL that they know, told in info; {process} in it stands for "
        "process_name, and {service} for the path of the service without its first slash. In Python also a callable "
        "that is given the request",
        _baseURL,
        str,
    )
    encoding: str = option(
        "utf-8",
        "name",
        "between the bytes of the wrapped protocol and the text of messages: a text codec of Python's, or base64",
        checkEncoding,
        str,
    )
    exposed_headers: tuple[str, ...] = option(
        _EXPOSED_HEADERS,
        "names",
        "headers of the first request that the application may see",
        checkHeaderNames,
        readNames,
    )
    max_queued_bytes: int = option(
        1048576,
        "bytes",
        "how much may wait, encoded, for a client that does not take it; beyond that its session is over with 1008. "
        "Also how much may wait for a protocol that has paused its intake; beyond that sending requests get 503",
        checkPositive,
        readInteger,
    )
    max_queued_messages: int = option(
        16384,
        "messages",
        "how many messages may wait for a client that does not take them; beyond that its session is over with 1008. "
        "Also how many a client may send in one piece; more end its session with 1009",
        checkPositive,
        readInteger,
    )
    write_timeout: float = option(
        60.0,
        "seconds",
        "how long a client may take nothing of what is sent to it before its session is over; 0 for any time",
        checkSeconds,
        readNumber,
    )
    max_message_size: int = option(
        131072,
        "bytes",
        "size of the largest message that a client may send, in UTF-8; a larger one ends its session with 1009",
        checkPositive,
        readInteger,
    )
    max_body_size: int = option(
        1048576,
        "bytes",
        "size of the largest body that a request to a session may have; a larger one gets 413",
        checkPositive,
        readInteger,
    )
    max_sessions: int = option(
        0,
        "sessions",
        "how many sessions there may be at a time; one more gets 503. 0 for any number",
        checkCount,
        readInteger,
    )
    max_sessions_per_host: int = option(
        0,
        "sessions",
        "how many sessions there may be at a time from one address, or from one /64 network of IPv6; one more gets "
        "429. 0 for any number",
        checkCount,
        readInteger,
    )
    max_session_id_length: int = option(
        128,
        "bytes",
        "length of the longest server or session part that a URL may have; others get 404",
        checkPositive,
        readInteger,
    )
    close_timeout: float = option(
        5.0,
        "seconds",
        "how long the client of a closed WebSocket may take to close it too, before it is cut",
        checkPositiveSeconds,
        readNumber,
    )
    ping_interval: float = option(
        25.0,
        "seconds",
        "silence of a WebSocket's client after which it is pinged; 0 switches pings off",
        checkSeconds,
        readNumber,
    )
    pong_timeout: float = option(
        20.0,
        "seconds",
        "how long the client of a WebSocket may be silent after a ping before its session is over",
        checkPositiveSeconds,
        readNumber,
    )
    request_timeout: float = option(
        30.0,
        "seconds",
        "how long a request may take to arrive whole, in the sites of txsockjs, before it gets 408; of several "
        "services the longest counts",
        checkPositiveSeconds,
        readNumber,
    )
    drain_timeout: float = option(
        10.0,
        "seconds",
        "how long an orderly stop waits for clients to take what is queued, before it cuts them",
        checkSeconds,
        readNumber,
    )
    drain_notice: float = option(
        0.0,
        "seconds",
        "how long an orderly stop keeps ports open at the least, though no session may be left, so that a balancer "
        "notices by /health and sends nothing any more before they are closed; never longer than drain_timeout",
        checkSeconds,
        readNumber,
    )
    drain_code: int = option(
        3000, "close code", "what sessions are closed with when the service stops", checkCloseCode, readInteger
    )
    drain_reason: str = option("Go away!", "text", "the reason that goes with drain_code", checkCloseReason, str)
    bind_sessions: bool = option(
        False,
        "true or false",
        "whether all requests of a session must come from the address that opened it; those from others get 404. "
        "Clients whose address changes, as that of phones does, then lose their sessions",
        checkBoolean,
        readBoolean,
    )
    trusted_proxies: int | tuple[str, ...] | None = option(
        None,
        "networks",
        "proxies whose X-Forwarded-For or Forwarded is believed when they tell the client's address: networks such "
        "as 10.0.0.0/8,unix, or how many proxies each request comes by",
        checkTrustedProxies,
        _proxyNames,
    )
    proxy_header: str | None = option(
        None,
        "name",
        "the header that tells the client's address, such as x-forwarded-for or forwarded. Without trusted_proxies "
        "its last entry is believed whoever sends it, so name one only behind a proxy of yours that sets it",
        checkHeaderName,
        str,
    )

    def __post_init__(self) -> None:
        for info in OPTIONS:
            object.__setattr__(self, info.name, info.checked(getattr(self, info.name)))
        if self.transports is None:
            object.__setattr__(self, "transports", _unlessNamed(self.origins))
        self._checkSecrets()
        url = self.base_url if isinstance(self.base_url, str) else ""
        if self.process_name is None and _PROCESS in checkTemplate(url, _URL_FIELDS):
            raise ValueError("base_url has {process} in it, but there is no process_name")

    def _checkSecrets(self) -> None:
        """
        Credentials are shown to the application only where no foreign page can make a browser send them.
        """
        secret = next((name for name in self.exposed_headers if name in _SECRET_HEADERS), None)
        if secret is None:
            return
        why = "any website could ride on its visitors' credentials"
        if self.origins == ANY:
            raise ValueError(
                f"exposed_headers must not name {secret!r} while origins is '*': {why}; restrict origins, or carry a "
                f"token in a message instead"
            )
        risky = [name for name in self.transports if name in _WITHOUT_ORIGIN]
        if risky:
            raise ValueError(
                f"exposed_headers must not name {secret!r} while transports has {', '.join(risky)}, where browsers do "
                f"not tell the origin: {why}"
            )

    def baseURLOf(self, request: IRequest, service: str) -> str | None:
        """
        @param service: the path of the service, without its first slash.

        @return: what clients are told, if anything.
        """
        if self.base_url is None or callable(self.base_url):
            return None if self.base_url is None else self.base_url(request)
        if not checkTemplate(self.base_url, _URL_FIELDS):
            return self.base_url.format()
        return self.base_url.format(process=self.process_name, service=service).rstrip("/")

    @property
    def restricted(self) -> bool:
        """
        Whether there are origins that are not allowed.
        """
        return self.origins != ANY

    @property
    def iframe(self) -> bool:
        """
        Whether the iframe page is served.
        """
        return not self.restricted or IFRAME in self.transports

    @classmethod
    def build(cls, options: Options | Mapping[str, Any] | None = None, **settings: Any) -> Options:
        """
        Make options of what a user gave.

        @param options: ready options, or a dict of settings; the names of txsockjs 1.x are understood, with a
            C{DeprecationWarning}.

        @param settings: single settings, which win over C{options}.

        @raise ValueError: when a name or a value is wrong; it says which, and what would be right.
        """
        if options is None:
            base: dict[str, Any] = {}
        elif isinstance(options, Options):
            if not settings:
                return options
            base = {info.name: getattr(options, info.name) for info in OPTIONS}
            if options.transports == _unlessNamed(options.origins):
                del base["transports"]  # they may be others with other origins
        elif isinstance(options, Mapping):
            base = _modern(options, {})
        else:
            raise ValueError(f"options must be a dict or an Options, not {options!r}")
        base.update(_modern(settings, base))
        for name in base:
            if name not in _BY_NAME:
                raise ValueError(
                    f"there is no option {name!r}{suggest(str(name), _BY_NAME)}; there are {', '.join(_BY_NAME)}"
                )
        return cls(**base)

    @classmethod
    def fromStrings(cls, texts: Mapping[str, str]) -> Options:
        """
        Make options of what stood in an endpoint string or on a command line.

        @param texts: names and values as text; the names of txsockjs 1.x are understood.

        @raise ValueError: when a name or a value is wrong.
        """
        settings: dict[str, Any] = {}
        for name, text in texts.items():
            if name == "websocket":
                settings[name] = _named(name, readBoolean, text)
                continue
            info = _BY_NAME.get(_OLD_NAMES.get(name, name))
            settings[name] = text if info is None else info.parsed(text)
        return cls.build(settings)


def _unlessNamed(origins: object) -> tuple[str, ...]:
    """
    @return: the transports that are on where none are named.
    """
    return TRANSPORTS if origins == ANY else tuple(name for name in TRANSPORTS if name not in _WITHOUT_ORIGIN)


class OptionInfo(NamedTuple):
    """
    One option, for whatever is derived from the options.
    """

    name: str
    default: Any
    unit: str
    help: str
    check: Callable[[object], Any]
    parse: Callable[[str], Any]
    text: str | None = None
    """How the default is shown, where that is not its value as text."""

    @property
    def isFlag(self) -> bool:
        """
        Whether the option is either on or off, and off by default.
        """
        return self.default is False

    @property
    def defaultText(self) -> str:
        """
        The default as a user would write it.
        """
        if self.text is not None:
            return self.text
        if self.default is None:
            return ""
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)

    def checked(self, value: object) -> Any:
        """
        @return: the value as it is kept.

        @raise ValueError: when it is not allowed; the text begins with the option's name.
        """
        return _named(self.name, self.check, value)

    def parsed(self, text: str) -> Any:
        """
        @return: the value that C{text} stands for.

        @raise ValueError: when it is none; the text begins with the option's name.
        """
        return _named(self.name, self.check, _named(self.name, self.parse, text))


def _named(name: str, function: Callable[[Any], Any], value: object) -> Any:
    try:
        return function(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


OPTIONS: tuple[OptionInfo, ...] = tuple(
    OptionInfo(item.name, item.default, *item.metadata["option"]) for item in fields(Options)
)
"""
All options, in the order of their declaration.
"""

_BY_NAME = {info.name: info for info in OPTIONS}


# -- the names of txsockjs 1.x ----------------------------------------------------------------------------------------

_OLD_NAMES = {"heartbeat": "heartbeat_delay", "timeout": "disconnect_delay", "streaming_limit": "response_limit"}


def _modern(settings: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """
    @param base: what was given before, by today's names; C{settings} are about to win over it.
    """
    modern: dict[str, Any] = {name: value for name, value in settings.items() if name not in _OLD_NAMES}
    for old, name in _OLD_NAMES.items():
        if old in settings:
            _deprecated(old, f"use {name!r}")
            modern.setdefault(name, settings[old])
    if "websocket" in settings:
        _deprecated("websocket", "name the transports that you want in 'transports'")
        if not _named("websocket", checkTruth, modern.pop("websocket")):
            origins = modern.get("origins", base.get("origins", ANY))
            names = modern.get("transports", base.get("transports", _unlessNamed(origins)))
            modern["transports"] = [
                name for name in _named("transports", checkNames, names) if not name.startswith("websocket")
            ]
    if "encoding" in modern and (_OLD_NAMES.keys() | {"websocket"}) & settings.keys():
        # There it named what stands in for UTF-8 where a write is none; a dict copied from then must not turn UTF-8
        # into something else.
        encoding = _named("encoding", checkEncoding, modern["encoding"])
        if encoding not in ("utf-8", BASE64) and not encoding.startswith(LENIENT):
            modern["encoding"] = LENIENT + encoding
    return modern


def _deprecated(name: str, instead: str) -> None:
    # The warning belongs to the line of the user's own that gave the option: others are hidden by default. An endpoint
    # string comes by way of Twisted.
    level = 2
    frame: FrameType | None = sys._getframe(level)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("txsockjs", "twisted"):
        frame = frame.f_back
        level += 1
    warnings.warn(
        f"the option {name!r} of txsockjs 1.x is deprecated; {instead}", DeprecationWarning, stacklevel=level + 1
    )
