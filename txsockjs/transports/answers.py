# -*- test-case-name: tests.test_answers -*-
"""
The headers and the short answers that the URLs of a service have in common (protocol section "Headers on all of it").
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from io import BytesIO

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import (
    FORBIDDEN,
    NO_CONTENT,
    NOT_ALLOWED,
    NOT_FOUND,
    REQUEST_ENTITY_TOO_LARGE,
    datetimeToString,
)
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from txsockjs.options import Options
from txsockjs.policy import OriginPolicy
from txsockjs.service import Service
from txsockjs.stats import RefusalCause

__all__ = [
    "HTML",
    "JAVASCRIPT",
    "JSON",
    "PLAIN",
    "SAFE",
    "SCRIPTED",
    "UNBUFFERED",
    "Answer",
    "FixedHeaders",
    "Leaf",
    "NotFound",
    "UnreadBody",
    "allowOrigin",
    "allowPreflight",
    "cacheForAYear",
    "confined",
    "finishEmpty",
    "finishWith",
    "forbidCaching",
    "isTooLarge",
    "plainText",
    "refuseBody",
    "refuseOrigin",
    "setHeaders",
    "setSessionCookie",
    "sizeOf",
]

Answer = bytes | int
"""What C{render} of a resource returns: a body, or C{NOT_DONE_YET}."""

HTML = b"text/html; charset=UTF-8"
JAVASCRIPT = b"application/javascript; charset=UTF-8"
JSON = b"application/json; charset=UTF-8"
PLAIN = b"text/plain; charset=UTF-8"

FixedHeaders = tuple[tuple[bytes, tuple[bytes, ...]], ...]
"""Names and values that are the same on every answer of a URL."""


def confined(ancestors: str, *directives: str) -> FixedHeaders:
    """
    @param ancestors: which pages may show the answer in a frame, in the words of a Content-Security-Policy; empty for
        any.

    @param directives: what else the answer may do in a browser, which is nothing otherwise.

    @return: the headers that keep an answer from being used as something that it is not.
    """
    framing = [f"frame-ancestors {ancestors}"] if ancestors else []
    policy = "; ".join(["default-src 'none'", *directives, *framing])
    return (
        (b"X-Content-Type-Options", (b"nosniff",)),
        (b"Content-Security-Policy", (policy.encode("ascii"),)),
    )


SAFE = confined("'none'")
"""For what is no page. C{X-Frame-Options} would say nothing more to any browser that knows C{frame-ancestors}."""

SCRIPTED = ("base-uri 'none'", "form-action 'none'")
"""Directives for pages with scripts; C{default-src} does not stand in for these."""

UNBUFFERED: FixedHeaders = ((b"X-Accel-Buffering", (b"no",)),)
"""For streams: nginx, and what has learned it from there, shall pass them on as they come."""

_YEAR = 31536000

_COOKIE = b"JSESSIONID"
_COOKIE_VALUE = re.compile(rb"[!#-+\--:<-\[\]-~]{1,256}")  # RFC 6265 section 4.1.1, cookie-octet
_NO_COOKIE_VALUE = b"dummy"

_HEADER_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z, \t-]+")

_log = Logger()


def setHeaders(request: Request, headers: FixedHeaders) -> None:
    """
    Put headers on an answer.
    """
    for name, values in headers:
        request.responseHeaders.setRawHeaders(name, values)


def forbidCaching(request: Request) -> None:
    """
    Nobody may keep this answer.
    """
    request.setHeader(b"cache-control", b"no-store, no-cache, no-transform, must-revalidate, max-age=0")


def cacheForAYear(request: Request, clock: IReactorTime) -> None:
    """
    Everybody may keep this answer.
    """
    request.setHeader(b"cache-control", b"public, max-age=%d" % _YEAR)
    request.setHeader(b"expires", datetimeToString(clock.seconds() + _YEAR))


def allowOrigin(request: Request, origins: OriginPolicy, nullIsAnyone: bool = False) -> None:
    """
    Let the page whose origin was found to be allowed read this answer (CORS).

    @param nullIsAnyone: whether the origin C{null} is answered with C{*} rather than itself, where that is true.
    """
    request.setHeader(b"vary", b"Origin")
    if origins.silent:
        return
    origin = origins.originOf(request)
    if origin is not None and (origins.restricted or not nullIsAnyone or origin != b"null"):
        request.setHeader(b"access-control-allow-origin", origin)
        request.setHeader(b"access-control-allow-credentials", b"true")
    elif not origins.restricted:
        request.setHeader(b"access-control-allow-origin", b"*")
    headers = request.getHeader(b"access-control-request-headers")
    if headers and _HEADER_NAMES.fullmatch(headers):
        request.setHeader(b"access-control-allow-headers", headers)


def allowPreflight(request: Request, method: bytes, origins: OriginPolicy, clock: IReactorTime) -> Answer:
    """
    Answer the request by which a browser asks whether it may send another one.
    """
    cacheForAYear(request, clock)
    allowOrigin(request, origins)
    if not origins.silent:
        request.setHeader(b"access-control-max-age", b"%d" % _YEAR)
        request.setHeader(b"access-control-allow-methods", b"OPTIONS, " + method)
    return finishEmpty(request)


def refuseOrigin(request: Request, service: Service, told: bool = True) -> bytes | None:
    """
    Answer a request for a page that may not use the service.

    @param told: see L{OriginPolicy.allows}.

    @return: the body, or L{None} if the page may, and nothing was done.
    """
    if service.origins.allows(request, told):
        return None
    service.registry.stats.refused[RefusalCause.ORIGIN] += 1
    forbidCaching(request)
    request.setHeader(b"vary", b"Origin")
    return plainText(request, FORBIDDEN, "This origin is not allowed\n")


def setSessionCookie(request: Request, options: Options) -> None:
    """
    Set the cookie that balancers stick to, if the service needs one.

    The client's own value is sent back when it is a plain cookie value; it is untrusted. Where this process has a name,
    this takes the place of whatever name there was.
    """
    needed = options.cookie_needed
    if not needed:
        return
    value = _valueByApplication(request, needed) if callable(needed) else request.getCookie(_COOKIE)
    if value is None or not _COOKIE_VALUE.fullmatch(value):
        value = _NO_COOKIE_VALUE
    if options.process_name is not None and not callable(needed):
        value = b"%s.%s" % (options.process_name.encode("ascii"), value.partition(b".")[2] or value.strip(b"."))
    request.cookies.append(_COOKIE + b"=" + value + b"; path=/")


def _valueByApplication(request: Request, value: Callable[[Request], str]) -> bytes | None:
    try:
        made = value(request).encode("ascii")
        if not _COOKIE_VALUE.fullmatch(made):
            raise ValueError(f"{made!r} is no plain cookie value")
        return made
    except Exception:
        _log.failure("the callable of the option cookie_needed failed")
        return None


def plainText(request: Request, code: int, text: str) -> bytes:
    """
    Answer with a line of text.
    """
    request.setResponseCode(code)
    request.setHeader(b"content-type", PLAIN)
    return text.encode("utf-8")


class UnreadBody(BytesIO):
    """
    Takes the place of a body that is too large, and was not read.
    """


def isTooLarge(request: Request, limit: int) -> bool:
    """
    @param limit: the option C{max_body_size}.

    @return: whether the request brought a larger body.
    """
    return isinstance(request.content, UnreadBody) or sizeOf(request) > limit


def sizeOf(request: Request) -> int:
    """
    @return: the size of a request's body, in bytes.
    """
    content = request.content
    if content is None:
        return 0
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    return size


def refuseBody(request: Request, service: Service) -> bytes:
    """
    Answer a request whose body is too large.
    """
    service.registry.stats.refused[RefusalCause.BODY] += 1
    limit = service.options.max_body_size
    return plainText(request, REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {limit} bytes\n")


def finishWith(request: Request, body: bytes) -> None:
    """
    Answer a request that C{render} has left open.
    """
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    request.finish()


def finishEmpty(request: Request, code: int = NO_CONTENT) -> Answer:
    """
    Answer without a body, and without the C{Content-Length} that C{render} would add: RFC 9110 section 8.6 forbids it
    here.
    """
    request.setResponseCode(code)
    request.finish()
    return NOT_DONE_YET


def _withoutBody(request: Request, body: bytes) -> bytes:
    """
    Drop the body of an answer to HEAD. Twisted would do so too, but write the request into the log each time.
    """
    if request.method != b"HEAD":
        return body
    request.setHeader(b"content-length", b"%d" % len(body))
    return b""


class NotFound(Resource):
    """
    404 for every path below.
    """

    isLeaf = True

    def render(self, request: Request) -> Answer:
        """
        @return: a line of text.
        """
        if request.channel is None:
            return NOT_DONE_YET  # nobody is left to be told
        setHeaders(request, SAFE)
        return _withoutBody(request, plainText(request, NOT_FOUND, "Not found\n"))


class Leaf(Resource):
    """
    One URL of a service.
    """

    isLeaf = True

    methods: Sequence[bytes] = (b"GET", b"HEAD")
    """The methods that it takes."""

    headers: FixedHeaders = SAFE
    """What is on all of its answers."""

    def render(self, request: Request) -> Answer:
        """
        Answer a method that this URL takes by L{answer}, and any other one by 405. Who is gone gets no answer.
        """
        if request.channel is None:
            return NOT_DONE_YET  # its client went away before it was its turn, for instance behind a slow login
        setHeaders(request, self.headers)
        if request.method in self.methods:
            body = self.answer(request)
            return _withoutBody(request, body) if isinstance(body, bytes) else body
        request.setResponseCode(NOT_ALLOWED)
        request.setHeader(b"allow", b", ".join(self.methods))
        request.defaultContentType = None  # or Twisted would say that the empty body is HTML
        return b""

    def answer(self, request: Request) -> Answer:
        """
        Answer a request whose method is right.
        """
        raise NotImplementedError
