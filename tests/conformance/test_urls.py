# -*- test-case-name: tests.conformance.test_urls -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Which URLs a service has, and which methods they take.
"""

from __future__ import annotations

from tests.conformance.case import ANY, HTTP, JSONP, XHR, ConformanceCase, HTTPSession, Transport, messages, over
from tests.wire import upgradeHeaders

__all__ = ["GreetingTests", "IframePathTests", "MethodTests", "SessionPathTests", "SwitchedOffTests"]


class GreetingTests(ConformanceCase):
    """
    The service's own URL.
    """

    async def test_greeting(self) -> None:
        """
        The base, with a slash and without, greets in plain text and sets no cookie.
        """
        for base in ("/echo", "/cookie_needed_echo", "/disabled_websocket_echo", "/close"):
            for path in (base, base + "/"):
                response, body = await self.client.fetch("GET", path)
                self.assertEqual(response.status, 200, path)
                self.assertEqual(response.headers.get("Content-Type"), "text/plain; charset=UTF-8")
                self.assertEqual(body, b"Welcome to SockJS!\n")
                self.assertNotIn("Set-Cookie", response.headers)

    async def test_nothingThere(self) -> None:
        """
        A path under the base that means nothing answers 404.
        """
        for path in ("//", "///", "/a", "/a.html", "/a/a", "/a/a/", "/a/", "/Info", "/infos"):
            response, _ = await self.client.fetch("GET", "/echo" + path)
            self.assertEqual(response.status, 404, path)


class IframePathTests(ConformanceCase):
    """
    The many names of the iframe page.
    """

    async def test_names(self) -> None:
        """
        Digits, dashes, dots, small letters and underscores may stand in the name of the iframe page, and a query
        after it.
        """
        for name in (
            "iframe.html",
            "iframe-a.html",
            "iframe-.html",
            "iframe-0.1.2.html",
            "iframe-0.1.2abc-dirty.2144.html",
            "iframe_x9.html",
            "iframe.html.html",
            "iframe.html?t=1234",
            "iframe-a.html?t=1234&u=%20",
        ):
            response, body = await self.client.fetch("GET", "/echo/" + name)
            self.assertEqual(response.status, 200, name)
            self.assertIn(b"bootstrap_iframe", body)

    async def test_wrongNames(self) -> None:
        """
        Names that only look like the iframe page answer 404.
        """
        for name in (
            "iframe.htm",
            "iframe",
            "IFRAME.HTML",
            "IFRAME",
            "iframe.HTML",
            "iframe.xml",
            "iframe-/.html",
            "iframeA.html",
            "iframe%20.html",
            "iframe.html%0A",
            "xiframe.html",
            "iframe.html/a",
        ):
            response, _ = await self.client.fetch("GET", "/echo/" + name)
            self.assertEqual(response.status, 404, name)


class SessionPathTests(ConformanceCase):
    """
    C{/<server>/<session>/<transport>}.
    """

    @over(*HTTP)
    async def test_anyNames(self, transport: Transport) -> None:
        """
        Server and session are any strings that are not empty and have no dot.
        """
        unique = self.newPath().rpartition("/")[2]
        for path in (
            "/a/a",
            "/_/_",
            "/1/%20",
            "/%20/abc",
            "/-/x-y_z",
            "/%C3%A9/%C3%A9",
            "/~!$&'()*+,;=:@/s",
            "/info/info",
        ):
            session = await self.session(transport, path=path + unique).open()
            await session.send("x")
            self.assertEqual(await session.messages(1), ["x"], path)

    @over(*ANY)
    async def test_emptyOrDotted(self, transport: Transport) -> None:
        """
        An empty part, a part with a dot, and too few or too many parts answer 404.
        """
        method = transport.method or "GET"
        headers = [] if transport.method else upgradeHeaders()
        for path in (
            "//",
            "/a./a",
            "/a/a.",
            "/./a",
            "/../a",
            "/a/.",
            "/a/..",
            "/.a/a",
            "//a",
            "/a/",
            "/a/a/",
            "///",
            "//a/a",
            "/a/a/a",
            "/a",
            "/.",
        ):
            url = transport.path("/echo" + path)
            response, _ = await self.client.fetch(method, url, headers, b"" if method == "POST" else None)
            self.assertEqual(response.status, 404, url)

    @over(*HTTP)
    async def test_slashAtTheEnd(self, transport: Transport) -> None:
        """
        A slash after the transport is an empty part too, and answers 404.
        """
        path = f"/echo{self.newPath()}/{transport.name}/?c=callback"
        body = b"" if transport.method == "POST" else None
        response = await self.client.request(transport.method, path, body=body)
        self.assertEqual(response.status, 404)

    async def test_unknownTransport(self) -> None:
        """
        A transport that does not exist answers 404.
        """
        for name in ("XHR", "xhr_sends", "polling", "info", "iframe.html"):
            for method in ("GET", "POST"):
                response, _ = await self.client.fetch(method, f"/echo/a/b/{name}", body=b"")
                self.assertEqual(response.status, 404, name)

    async def test_serverIsIgnored(self) -> None:
        """
        The server part may change from request to request, as only the session part names the session.
        """
        unique = self.newPath().rpartition("/")[2]
        session = self.session(XHR, path=f"/000/{unique}")
        await (await session.open()).rested()
        other = HTTPSession(self.client, XHR, "/echo", f"/999/{unique}")
        await other.send("x")
        self.assertEqual(messages(await other.frame()), ["x"])

    async def test_sessionsAreApart(self) -> None:
        """
        Another session part is another session, whatever the server part.
        """
        server = self.newPath().rpartition("/")[2]
        one = await self.session(XHR, path=f"/{server}/one{server}").open()
        two = await self.session(XHR, path=f"/{server}/two{server}").open()
        await one.send("1")
        await two.send("2")
        self.assertEqual(await two.messages(1), ["2"])
        self.assertEqual(await one.messages(1), ["1"])

    async def test_unknownSession(self) -> None:
        """
        A message for a session that nobody has opened answers 404.
        """
        for transport in (XHR, JSONP):
            response, _ = await self.session(transport).post(b'["x"]')
            self.assertEqual(response.status, 404, transport.sender)

    @over(*ANY)
    async def test_unknownSessionOpens(self, transport: Transport) -> None:
        """
        A receiving URL with an unknown session opens it.
        """
        self.assertEqual(await self._firstFrame(transport), "o")

    async def _firstFrame(self, transport: Transport) -> str:
        session = self.session(transport)
        if isinstance(session, HTTPSession):
            return await session.frame()
        socket = await self.client.websocket(f"/echo{self.newPath()}/websocket")
        return str(await socket.message())


class MethodTests(ConformanceCase):
    """
    Which methods a path takes.
    """

    async def test_wrongMethod(self) -> None:
        """
        A known path with a method that it does not take answers 405 with C{Allow}, no C{Content-Type} and an empty
        body.
        """
        get, post, getOnly = {"OPTIONS", "GET"}, {"OPTIONS", "POST"}, {"GET"}
        for path, allowed in (
            ("", getOnly),
            ("/", getOnly),
            ("/info", get),
            ("/iframe.html", getOnly),
            ("/iframe-1.html", getOnly),
            ("/websocket", getOnly),
            ("/0/0/websocket", getOnly),
            ("/0/0/xhr", post),
            ("/0/0/xhr_streaming", post),
            ("/0/0/eventsource", getOnly),
            ("/0/0/htmlfile", getOnly),
            ("/0/0/jsonp", getOnly),
            ("/0/0/xhr_send", post),
            ("/0/0/jsonp_send", {"POST"}),
        ):
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                if method in allowed:
                    continue
                response, body = await self.client.fetch(method, "/echo" + path, body=b"")
                self.assertEqual(response.status, 405, (method, path))
                # A server that can answer GET may say so of HEAD.
                self.assertEqual(set(response.headers.tokens("Allow")) - {"HEAD"}, allowed, (method, path))
                self.assertNotIn("Content-Type", response.headers)
                self.assertEqual(body, b"")

    async def test_postWithoutBody(self) -> None:
        """
        A POST with neither a length nor a body is answered, and the server lives on.
        """
        session = self.session(XHR)
        for version in ("1.0", "1.1"):
            for url in ("xhr", "xhr_send", "xhr_streaming", "jsonp_send"):
                response = await self.client.request("POST", f"/echo{self.newPath()}/{url}", version=version)
                self.assertIn(response.status, (200, 404, 500, 411), url)
                response.abort()
        response = await self.client.request("POST", f"/echo{session.path}/xhr")
        self.assertEqual((response.status, await response.body()), (200, b"o\n"))
        response, _ = await session.post(None)
        self.assertEqual(response.status, 500)
        await session.send("x")
        self.assertEqual(await session.messages(1), ["x"])

    async def test_postWithoutBodyOpens(self) -> None:
        """
        A receiving POST without a length opens its session as any other does.
        """
        for url, start in (("xhr", b"o\n"), ("xhr_streaming", b"h" * 2048 + b"\n")):
            response = await self.client.request("POST", f"/echo{self.newPath()}/{url}")
            self.assertEqual((response.status, await response.chunk()), (200, start))


class SwitchedOffTests(ConformanceCase):
    """
    A service with a transport switched off.
    """

    async def test_websocketOff(self) -> None:
        """
        Without WebSocket both its URLs answer 404, whatever the request.
        """
        for path in ("/websocket", "/0/0/websocket"):
            for method in ("GET", "POST"):
                for headers in ([], upgradeHeaders()):
                    if headers and method == "POST":
                        continue
                    response, _ = await self.client.fetch(
                        method, "/disabled_websocket_echo" + path, headers, b"" if method == "POST" else None
                    )
                    self.assertEqual(response.status, 404, (method, path, headers))

    @over(*HTTP)
    async def test_theRestStaysOn(self, transport: Transport) -> None:
        """
        Without WebSocket the other transports work.
        """
        session = await self.session(transport, "/disabled_websocket_echo").open()
        await session.send("x")
        self.assertEqual(await session.messages(1), ["x"])
