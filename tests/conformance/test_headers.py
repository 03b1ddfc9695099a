# -*- test-case-name: tests.conformance.test_headers -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Caching, CORS and cookies.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tests.conformance.case import HTTP, ConformanceCase, Transport, over
from tests.wire import Headers, Response

__all__ = ["CORSTests", "CachingTests", "CookieTests", "PreflightTests"]

NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"

#: Method, path under the session, and body of every request that CORS is for.
CORS_REQUESTS: list[tuple[str, str, bytes | None]] = [
    ("POST", "/xhr", b""),
    ("POST", "/xhr_streaming", b""),
    ("POST", "/xhr_send", b"[]"),
    ("GET", "/eventsource", None),
]


class CachingTests(ConformanceCase):
    """
    What must not be kept.
    """

    def assertNotCached(self, response: Response) -> None:
        """
        Fail unless the answer forbids to keep it.
        """
        self.assertEqual(response.headers.get("Cache-Control"), NOT_CACHED)
        self.assertNotIn("Expires", response.headers)
        self.assertNotIn("Last-Modified", response.headers)

    async def test_info(self) -> None:
        """
        The capabilities are not cached.
        """
        response, _ = await self.client.fetch("GET", "/echo/info")
        self.assertNotCached(response)

    @over(*HTTP)
    async def test_receivers(self, transport: Transport) -> None:
        """
        A receiving response is not cached, the first of a session or a later one.
        """
        session = self.session(transport)
        first = await session.receive()
        self.assertNotCached(await first.response())
        if transport.streams:
            return
        self.assertEqual(await first.rest(), ["o"])
        await session.send("x")
        second = await session.receive()
        self.assertNotCached(await second.response())

    @over(*HTTP)
    async def test_senders(self, transport: Transport) -> None:
        """
        The answer to a message is not cached, whether it was taken or refused.
        """
        session = await self.session(transport).open()
        for body in (b'["x"]', b"", b"["):
            response, _ = await session.post(body)
            self.assertNotCached(response)


class CORSTests(ConformanceCase):
    """
    Who may read an answer.
    """

    async def ask(self, headers: list[tuple[str, str]]) -> list[tuple[str, Headers]]:
        """
        The headers of all that CORS is for, when asked with C{headers}.
        """
        response, _ = await self.client.fetch("GET", "/echo/info", headers)
        self.assertEqual(response.status, 200)
        answers = [("/info", response.headers)]
        for method, path, body in CORS_REQUESTS:
            session = self.session()
            if path == "/xhr_send":
                await session.open()
            response = await self.client.request(method, f"/echo{session.path}{path}", headers, body)
            self.assertIn(response.status, (200, 204), path)
            answers.append((path, response.headers))
        return answers

    def assertVaries(self, headers: Headers, path: str) -> None:
        """
        Fail unless caches are told that the answer depends on the origin.
        """
        self.assertIn("origin", [item.lower() for item in headers.tokens("Vary")], path)

    async def test_origin(self) -> None:
        """
        With an origin, that origin may read the answer, with credentials.
        """
        for origin in ("http://example.com", "https://example.com:8443", "test"):
            for path, headers in await self.ask([("Origin", origin)]):
                self.assertEqual(headers.get("Access-Control-Allow-Origin"), origin, path)
                self.assertEqual(headers.get("Access-Control-Allow-Credentials"), "true", path)
                self.assertVaries(headers, path)

    async def test_nullOrigin(self) -> None:
        """
        The origin C{null} is an origin like any other, but for eventsource, where it counts as none.
        """
        for path, headers in await self.ask([("Origin", "null")]):
            if path == "/eventsource":
                self.assertEqual(headers.get("Access-Control-Allow-Origin"), "*")
                self.assertNotIn("Access-Control-Allow-Credentials", headers)
            else:
                self.assertEqual(headers.get("Access-Control-Allow-Origin"), "null", path)
                self.assertEqual(headers.get("Access-Control-Allow-Credentials"), "true", path)
            self.assertVaries(headers, path)

    async def test_noOrigin(self) -> None:
        """
        Without an origin everybody may read the answer, without credentials.
        """
        for path, headers in await self.ask([]):
            self.assertEqual(headers.get("Access-Control-Allow-Origin"), "*", path)
            self.assertNotIn("Access-Control-Allow-Credentials", headers)
            self.assertVaries(headers, path)

    async def test_requestHeaders(self) -> None:
        """
        The request headers that are asked for are allowed.
        """
        asked = [("Origin", "http://a.b"), ("Access-Control-Request-Headers", "a, b, c")]
        for path, headers in await self.ask(asked):
            self.assertEqual(headers.get("Access-Control-Allow-Headers"), "a, b, c", path)

    async def test_noRequestHeaders(self) -> None:
        """
        No request headers are allowed when none or an empty list was asked for.
        """
        for asked in ([], [("Access-Control-Request-Headers", "")]):
            for path, headers in await self.ask([("Origin", "http://a.b"), *asked]):
                self.assertNotIn("Access-Control-Allow-Headers", headers, path)

    async def test_refusals(self) -> None:
        """
        A page can also read why its message was refused.
        """
        known = await self.session().open()
        for path, body, status in ((known.path, b"", 500), (known.path, b"[", 500), (self.newPath(), b'["x"]', 404)):
            response, _ = await self.client.fetch("POST", f"/echo{path}/xhr_send", [("Origin", "http://a.b")], body)
            self.assertEqual(response.status, status)
            self.assertEqual(response.headers.get("Access-Control-Allow-Origin"), "http://a.b")
            self.assertEqual(response.headers.get("Access-Control-Allow-Credentials"), "true")
            self.assertVaries(response.headers, path)


class PreflightTests(ConformanceCase):
    """
    OPTIONS.
    """

    def targets(self) -> list[tuple[str, str]]:
        """
        Every path that answers OPTIONS, and the methods it allows.
        """
        paths = [(f"/echo{self.newPath()}/{name}", "OPTIONS, POST") for name in ("xhr", "xhr_streaming", "xhr_send")]
        return [("/echo/info", "OPTIONS, GET"), *paths]

    async def test_preflight(self) -> None:
        """
        A preflight is answered with nothing but headers, to be kept for a year.
        """
        for path, methods in self.targets():
            response, body = await self.client.fetch("OPTIONS", path, [("Origin", "http://a.b")])
            headers = response.headers
            self.assertEqual((response.status, body), (204, b""), path)
            self.assertEqual(headers.get("Cache-Control"), "public, max-age=31536000")
            ahead = parsedate_to_datetime(headers.get("Expires") or "") - datetime.now(UTC)
            self.assertTrue(timedelta(days=364) < ahead < timedelta(days=366), ahead)
            self.assertEqual(headers.get("Access-Control-Max-Age"), "31536000")
            self.assertEqual(headers.get("Access-Control-Allow-Methods"), methods)

    async def test_origins(self) -> None:
        """
        A preflight says who may ask, by the same rules as the answer itself.
        """
        for path, _ in self.targets():
            for origin in ("http://example.com", "null", None):
                asked = [] if origin is None else [("Origin", origin)]
                response, _ = await self.client.fetch("OPTIONS", path, asked)
                headers = response.headers
                self.assertEqual(headers.get("Access-Control-Allow-Origin"), origin or "*", path)
                self.assertEqual(headers.get("Access-Control-Allow-Credentials"), "true" if origin else None, path)
                self.assertIn("Origin", headers.tokens("Vary"), path)

    async def test_requestHeaders(self) -> None:
        """
        A preflight allows the request headers that were asked for, and none when none were.
        """
        for path, _ in self.targets():
            for value, allowed in (("a, b, c", "a, b, c"), ("X-Thing", "X-Thing"), ("", None), (None, None)):
                asked = [] if value is None else [("Access-Control-Request-Headers", value)]
                response, _ = await self.client.fetch("OPTIONS", path, [("Origin", "http://a.b"), *asked])
                self.assertEqual(response.headers.get("Access-Control-Allow-Headers"), allowed, path)

    async def test_opensNothing(self) -> None:
        """
        A preflight opens no session.
        """
        session = self.session()
        await self.client.fetch("OPTIONS", f"/echo{session.path}/xhr")
        response, _ = await session.post(b'["x"]')
        self.assertEqual(response.status, 404)


class CookieTests(ConformanceCase):
    """
    The cookie by which load balancers know a client.
    """

    async def cookies(self, base: str, headers: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
        """
        What every session URL of C{base} sets.
        """
        found = []
        for method, name, body in (
            ("POST", "xhr", b""),
            ("POST", "xhr_streaming", b""),
            ("GET", "eventsource", None),
            ("GET", "htmlfile?c=x", None),
            ("GET", "jsonp?c=x", None),
            ("POST", "xhr_send", b'["x"]'),
            ("POST", "jsonp_send", b'["x"]'),
            ("OPTIONS", "xhr", None),
            ("OPTIONS", "xhr_streaming", None),
            ("OPTIONS", "xhr_send", None),
        ):
            session = self.session(base=base)
            if name.endswith("_send") and method == "POST":
                await session.open()
            asked = [*headers, ("Content-Type", "text/plain")] if body else headers
            response = await self.client.request(method, f"{base}{session.path}/{name}", asked, body)
            self.assertIn(response.status, (200, 204), name)
            cookies = response.headers.all("Set-Cookie")
            if self.isProxied:  # a process may put its name in front, for a balancer
                cookies = [re.sub(r"^JSESSIONID=[\w-]+\.", "JSESSIONID=", cookie) for cookie in cookies]
            found.append((f"{method} {name}", cookies))
        return found

    async def test_dummy(self) -> None:
        """
        A service that needs a cookie sets a dummy one for a client that has none.
        """
        for sent in ([], [("Cookie", "other=1")], [("Cookie", "XJSESSIONID=abc")], [("Cookie", "JSESSIONID=")]):
            for name, cookies in await self.cookies("/cookie_needed_echo", sent):
                self.assertEqual(cookies, ["JSESSIONID=dummy; path=/"], (name, sent))

    async def test_echoed(self) -> None:
        """
        A service that needs a cookie sets the one that it was sent.
        """
        for sent in ("JSESSIONID=abcdef", "a=b; JSESSIONID=abcdef; c=d"):
            for name, cookies in await self.cookies("/cookie_needed_echo", [("Cookie", sent)]):
                self.assertEqual(cookies, ["JSESSIONID=abcdef; path=/"], (name, sent))

    async def test_notEchoed(self) -> None:
        """
        A value that is no plain cookie token is not sent back.
        """
        for value in ('a"b', "a b", "a,b", "a\\b", "a\xe9b", "a\tb"):
            for name, cookies in await self.cookies("/cookie_needed_echo", [("Cookie", f"JSESSIONID={value}")]):
                for cookie in cookies:
                    self.assertRegex(cookie, r"^JSESSIONID=[!#$%&'*+\-.^_`|~0-9A-Za-z]+; path=/$", (name, value))

    async def test_noneNeeded(self) -> None:
        """
        A service that needs no cookie sets none.
        """
        for sent in ([], [("Cookie", "JSESSIONID=abcdef")]):
            for name, cookies in await self.cookies("/echo", sent):
                self.assertEqual(cookies, [], name)

    async def test_neverElsewhere(self) -> None:
        """
        Greeting, iframe and capabilities set no cookie, even where one is needed.
        """
        for path in ("", "/", "/iframe.html", "/info"):
            response, _ = await self.client.fetch(
                "GET", "/cookie_needed_echo" + path, [("Cookie", "JSESSIONID=abcdef")]
            )
            self.assertEqual(response.status, 200)
            self.assertNotIn("Set-Cookie", response.headers, path)

    async def test_neverOnWebSocket(self) -> None:
        """
        The answer to an upgrade sets no cookie.
        """
        for path in ("/websocket", self.newPath() + "/websocket"):
            socket = await self.client.websocket("/cookie_needed_echo" + path, [("Cookie", "JSESSIONID=abcdef")])
            self.assertNotIn("Set-Cookie", socket.response.headers, path)
