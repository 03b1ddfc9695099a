# -*- test-case-name: tests.test_limits -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
How much a service takes: the options C{max_body_size}, C{max_sessions} and C{max_session_id_length}.
"""

from __future__ import annotations

import json
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import TestCase
from twisted.web.http import Request
from twisted.web.resource import Resource

from tests.http2 import HTTP2Client, h2
from tests.support import UPGRADE, Apps, SiteCase, chunked
from tests.wire import HTTPClient
from txsockjs.factory import SockJSFactory, SockJSMultiFactory

RECEIVING = (
    ("xhr-polling", "POST", "/0/{}/xhr"),
    ("xhr-streaming", "POST", "/0/{}/xhr_streaming"),
    ("eventsource", "GET", "/0/{}/eventsource"),
    ("htmlfile", "GET", "/0/{}/htmlfile?c=f"),
    ("jsonp-polling", "GET", "/0/{}/jsonp?c=f"),
)

TOO_LARGE = b"The body is larger than 16 bytes\n"


class ReadBodyTests(SiteCase):
    """
    C{max_body_size} in a site that reads the whole body before it asks the service.
    """

    def test_boundary(self):
        """
        A body of that size is taken, and one that is a byte larger is not; the session goes on.
        """
        self.serve(max_body_size=16)
        self.answerTo("POST", "/0/s/xhr")
        for path, status in (("/0/s/xhr_send", 204), ("/0/s/jsonp_send", 200)):
            self.apps.last.received.clear()
            self.assertEqual(self.answerTo("POST", path, body=json.dumps(["x" * 12]).encode()).code, status)
            answer = self.answerTo("POST", path, body=json.dumps(["x" * 13]).encode())
            self.assertEqual((answer.code, answer.body), (413, TOO_LARGE))
            self.assertEqual(self.apps.last.received, [b"x" * 12])
        self.assertEqual(self.resource.stats.refused, {"body too large": 2})

    def test_headers(self):
        """
        The answer has the headers of the other answers of its URL.
        """
        self.serve(max_body_size=16, cookie_needed=True)
        for path, cors in (("/0/s/xhr", True), ("/0/s/xhr_send", True), ("/0/s/jsonp_send", False)):
            answer = self.answerTo("POST", path, {"Origin": "http://a"}, b"x" * 17)
            self.assertEqual(answer.code, 413)
            self.assertEqual(answer.header("Content-Type"), "text/plain; charset=UTF-8")
            self.assertEqual(answer.header("Access-Control-Allow-Origin"), "http://a" if cors else None)
            self.assertIn("no-store", answer.header("Cache-Control"))
            self.assertEqual(answer.header("Set-Cookie"), "JSESSIONID=dummy; path=/")

    def test_receiving(self):
        """
        No receiving URL, preflight or handshake of a WebSocket takes a larger body, nor begins a session for it.
        """
        self.serve(max_body_size=16)
        for _, method, path in RECEIVING:
            self.assertEqual(self.answerTo(method, path.format("s"), body=b"x" * 17).code, 413)
        self.assertEqual(self.answerTo("OPTIONS", "/0/s/xhr", body=b"x" * 17).code, 413)
        for path in ("/0/s/websocket", "/websocket"):
            self.assertEqual(self.answerTo("GET", path, UPGRADE, b"x" * 17).code, 413)
        self.assertEqual(self.apps.built, [])

    def test_connectionGoesOn(self):
        """
        The body was read, so that the connection can be used again.
        """
        self.serve(max_body_size=16)
        connection = self.connect()
        self.assertEqual(connection.ask("POST", "/0/s/xhr", body=b"x" * 17)().code, 413)
        self.assertEqual(connection.ask("POST", "/0/s/xhr")().body, b"o\n")


class UnreadBodyTests(SiteCase):
    """
    C{max_body_size} in our own sites.
    """

    def setUp(self):
        super().setUp()
        self.apps = Apps()
        self.kept = []
        keep = Request.handleContentChunk
        self.patch(Request, "handleContentChunk", lambda it, data: (self.kept.append(data), keep(it, data)))

    def make(self, **settings):
        self.site = SockJSFactory(self.apps, reactor=self.clock, max_body_size=16, **settings)
        self.resources.append(self.site.resource)

    def assertRefused(self, connection, answer):
        """
        Assert that the answer is there, and that nothing which comes behind it is read as a request.
        """
        self.assertEqual((answer().code, answer().body, answer().ended), (413, TOO_LARGE, True))
        self.assertEqual(answer().header("Connection"), "close")
        said = connection.transport.value()
        connection.send(b"x" * 1000)
        connection.send(b"\r\nPOST /0/s/xhr HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        self.assertFalse(connection.transport.gone)
        self.clock.advance(5)
        self.clock.advance(0)
        self.assertTrue(connection.transport.gone)
        self.assertEqual(connection.transport.value(), said)
        self.assertEqual(self.kept, [])
        self.assertEqual(self.apps.built, [])

    def test_byLength(self):
        """
        A body that is said to be too large is refused before any of it has come, and never asked for.
        """
        self.make(cookie_needed=True)
        for headers in ({}, {"Expect": "100-continue"}):
            connection = self.connect()
            fields = {"Content-Length": "17", "Origin": "http://a", **headers}
            answer = connection.ask("POST", "/0/s/xhr_send", fields)
            self.assertEqual(answer().header("Access-Control-Allow-Origin"), "http://a")
            self.assertIn("no-store", answer().header("Cache-Control"))
            self.assertEqual(answer().header("Set-Cookie"), "JSESSIONID=dummy; path=/")
            self.assertRefused(connection, answer)

    def test_webSockets(self):
        """
        The same holds for a handshake.
        """
        self.make()
        for path in ("/0/s/websocket", "/websocket", "/websocket?x"):
            connection = self.connect()
            self.assertRefused(connection, connection.upgrade(path, {"Content-Length": "17"}))

    def test_withHeaders(self):
        """
        The same holds when the body comes in one piece with the headers, by whatever version of HTTP and method.
        """
        self.make()
        for path in ("/0/s/xhr", "/0/s/xhr_streaming", "/0/s/xhr_send", "/0/s/jsonp_send?x=1", "/0/%73/xhr%5fsend"):
            for version in ("1.0", "1.1"):
                connection = self.connect()
                self.assertRefused(connection, connection.ask("POST", path, body=b"x" * 17, version=version))
        for _, method, path in RECEIVING:
            connection = self.connect()
            self.assertRefused(connection, connection.ask(method, path.format("s"), body=b"x" * 17))
        connection = self.connect()
        self.assertRefused(connection, connection.ask("GET", "/0/s/websocket", UPGRADE, b"x" * 17))

    def test_otherwiseWrong(self):
        """
        A request that is wrong for another reason gets that answer, and its body is not read either.
        """
        self.make(transports=["xhr-polling"])
        for method, path, code in (("PUT", "/0/s/xhr", 405), ("POST", "/0/s/jsonp_send", 404)):
            connection = self.connect()
            answer = connection.ask(method, path, {"Content-Length": "17"})
            self.assertEqual((answer().code, answer().ended), (code, True))
            connection.send(b"x" * 17)
        self.assertEqual(self.kept, [])

    def test_chunked(self):
        """
        A body in chunks is refused with the chunk by which it becomes too large, be it the last one or not.
        """
        self.make()
        first = b"9\r\nxxxxxxxxx\r\n"
        for begin, rest in (
            (first, b"8\r\nxxxxxxxx\r\n"),
            (first, chunked(b"x" * 8)),
            (first, chunked(b"x" * 8, b"x" * 8)),
            (b"", chunked(b"x" * 17)),
            (b"", b"1000\r\n" + b"x" * 17),
        ):
            connection = self.connect()
            answer = connection.ask("POST", "/0/s/xhr_send", {"Transfer-Encoding": "chunked"}, begin)
            self.assertEqual(answer().code, 0)
            self.kept.clear()
            connection.send(rest)
            self.assertRefused(connection, answer)

    def test_small(self):
        """
        Smaller bodies are taken, with and without a length, and the connection goes on.
        """
        self.make()
        connection = self.connect()
        self.assertEqual(connection.ask("POST", "/0/s/xhr", body=b"x" * 16)().body, b"o\n")
        body = json.dumps(["x" * 12]).encode()
        self.assertEqual(connection.ask("POST", "/0/s/xhr_send", body=body)().code, 204)
        answer = connection.ask("POST", "/0/s/xhr_send", {"Transfer-Encoding": "chunked"}, chunked(body[:8], body[8:]))
        self.assertEqual(answer().code, 204)
        self.assertEqual(self.apps.last.received, [b"x" * 12] * 2)

    def test_gone(self):
        """
        A client that goes away after the answer leaves nothing behind.
        """
        self.make()
        connection = self.connect()
        self.assertEqual(connection.ask("POST", "/0/s/xhr_send", {"Content-Length": "17"})().code, 413)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ownLimits(self):
        """
        Each service of a site has its own limit, and other resources have none.
        """

        class Upload(Resource):
            isLeaf = True

            def render_POST(self, request):
                return b"%d" % len(request.content.read())

        root = Resource()
        root.putChild(b"upload", Upload())
        self.site = SockJSMultiFactory(reactor=self.clock, root=root)
        self.site.addFactory(self.apps, "small", max_body_size=16)
        self.site.addFactory(self.apps, "large", max_body_size=32)
        self.site.addFactory(self.apps, "small/inner", max_body_size=64)
        self.site.resource.children[b"small"].putChild(b"mine", Upload())
        for path, size in (("small", 16), ("large", 32), ("small/inner", 64)):
            for more in (0, 1):
                answer = self.ask("POST", f"/{path}/0/s/xhr_send", body=b"x" * (size + more))
                self.assertEqual(answer().code, 413 if more else 404)
        for path in ("/upload", "/upload/xhr", "/upload/0/s/xhr_send", "/small/mine/s/xhr_send"):
            for body, headers in ((b"x" * 100, {}), (chunked(b"x" * 100), {"Transfer-Encoding": "chunked"})):
                self.assertEqual(self.answerTo("POST", path, headers, body).body, b"100")
        for resource, _ in self.site._services:
            self.resources.append(resource)


@skipIf(h2 is None, "h2 is not there")
class HTTP2BodyTests(SiteCase):
    """
    C{max_body_size} over HTTP/2, in our own sites.
    """

    def test_refused(self):
        """
        Nothing of a body that is too large is kept, and the stream gets its answer when it has ended.
        """
        kept = []
        self.patch(Request, "handleContentChunk", lambda it, data: kept.append(data))
        self.site = SockJSFactory(Apps(), reactor=self.clock, max_body_size=16)
        self.resources.append(self.site.resource)
        client = HTTP2Client(self.connect(), self.clock)
        codes = []
        for method, more in (
            ("POST", [("content-length", "17"), ("expect", "100-continue")]),
            ("POST", []),
            ("GET", []),
        ):
            codes += client.codes(client.ask(method, "/0/s/xhr_send", more, b"x" * 17))
        self.assertEqual(codes, [413, 413, 405])
        self.assertEqual(kept, [])


class SessionsTests(SiteCase):
    """
    C{max_sessions}.
    """

    def assertFull(self, answer):
        self.assertEqual((answer.code, answer.body), (503, b"There are too many sessions\n"))
        self.assertGreater(self.resource.stats.refused["too many sessions"], 0)
        self.assertEqual(answer.header("Retry-After"), "5")
        self.assertEqual(answer.header("Content-Type"), "text/plain; charset=UTF-8")

    def test_eachTransport(self):
        """
        One session too many is refused on every transport, and the others are not disturbed.
        """
        self.serve(max_sessions=1)
        self.answerTo("POST", "/0/first/xhr")
        for _, method, path in RECEIVING:
            self.assertFull(self.answerTo(method, path.format("s")))
        for path in ("/0/s/websocket", "/websocket"):
            self.assertFull(self.connect().upgrade(path)())
        self.assertEqual(self.answerTo("POST", "/0/s/xhr", {"Origin": "http://a"}).header("Vary"), "Origin")
        self.assertEqual(len(self.apps.built), 1)
        self.assertEqual(self.post("/0/s/xhr_send", "x").code, 404)
        self.assertEqual(self.post("/0/first/xhr_send", "x").code, 204)
        self.assertEqual(self.apps.last.received, [b"x"])
        poll = self.ask("POST", "/0/first/xhr")
        self.apps.last.transport.write("y")
        self.clock.advance(0)
        self.assertEqual(poll().body, b'a["y"]\n')

    def test_webSocketsCount(self):
        """
        WebSockets count as long as they last.
        """
        self.serve(max_sessions=2)
        sockets = []
        for path in ("/0/s/websocket", "/websocket"):
            sockets.append(self.connect())
            self.assertEqual(sockets[-1].upgrade(path)().code, 101)
        self.assertFull(self.answerTo("POST", "/0/s/xhr"))
        sockets[0].lose()
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b"o\n")
        self.assertFull(self.answerTo("POST", "/0/t/xhr"))

    def test_over(self):
        """
        A session that is over makes room, although it is remembered.
        """
        self.serve(max_sessions=1)
        self.answerTo("POST", "/0/s/xhr")
        self.apps.last.transport.loseConnection()
        self.clock.advance(0)
        close = b'c[3000,"Go away!"]\n'
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, close)
        self.clock.advance(0)
        self.assertEqual(self.answerTo("POST", "/0/t/xhr").body, b"o\n")
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, close)
        self.assertFull(self.answerTo("POST", "/0/u/xhr"))

    def test_unlimited(self):
        """
        By default there may be any number.
        """
        self.serve()
        for number in range(100):
            self.assertEqual(self.answerTo("POST", f"/0/{number}/xhr").body, b"o\n")


class SessionIdTests(SiteCase):
    """
    C{max_session_id_length}, and what else may not stand in the server and session parts.
    """

    def test_length(self):
        """
        The server and the session part may have that many bytes, of UTF-8 where they are decoded.
        """
        self.serve(max_session_id_length=8)
        for fits, tooLong in (("x" * 8, "x" * 9), ("%79" * 8, "%79" * 9), ("%C3%A9" * 4, "%C3%A9" * 4 + "x")):
            for server, session, code in ((fits, fits, 200), (fits, tooLong, 404), (tooLong, fits, 404)):
                self.assertEqual(self.answerTo("POST", f"/{server}/{session}/xhr").code, code)
        self.assertEqual(self.connect().upgrade(f"/0/{'x' * 9}/websocket")().code, 404)
        self.assertEqual(self.resource.stats.refused, {"session id too long": 7})

    def test_default(self):
        """
        By default they may have 128 bytes.
        """
        self.serve()
        self.assertEqual(self.answerTo("POST", f"/{'x' * 128}/{'y' * 128}/xhr").code, 200)
        self.assertEqual(self.answerTo("POST", f"/0/{'y' * 129}/xhr").code, 404)

    def test_controlCharacters(self):
        """
        They must not have control characters; everything else is taken, even if it is not UTF-8.
        """
        self.serve()
        for wrong in ("%00", "a%0Ab", "%1F", "%7F", "%C2%80", "a%C2%85", "%C2%9F"):
            for path in (f"/0/{wrong}/xhr", f"/{wrong}/s/xhr"):
                self.assertEqual(self.answerTo("POST", path).code, 404, path)
        for right in ("%20", "~", "%C2%A0", "%C3%A9", "%C2", "%C3%82", "%80", "%FF", "%E2%82%AC", "%F0%9F%98%80"):
            self.assertEqual(self.answerTo("POST", f"/0/{right}/xhr").code, 200, right)


class SocketTests(TestCase):
    """
    Over a real socket.
    """

    async def test_limits(self):
        """
        A client that sends far too much sees the whole answer, and the connection ends in an orderly way.
        """
        site = SockJSFactory(Apps(), max_body_size=1000, max_sessions=1, max_session_id_length=8)
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site)
        self.addCleanup(port.stopListening)
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        try:
            _, body = await client.fetch("POST", "/0/s/xhr")
            self.assertEqual(body, b"o\n")
            response, body = await client.fetch("POST", "/0/s/xhr_send", body=b"x" * 5000000)
            self.assertEqual((response.status, body), (413, b"The body is larger than 1000 bytes\n"))
            response, _ = await client.fetch("POST", "/0/s/xhr_send", body=json.dumps(["x"]).encode())
            self.assertEqual(response.status, 204)
            response, _ = await client.fetch("POST", "/0/t/xhr")
            self.assertEqual(response.status, 503)
            response, _ = await client.fetch("POST", "/0/123456789/xhr")
            self.assertEqual(response.status, 404)
        finally:
            await client.close()
            await site.drain(0.1)  # our ends of the client's connections are closed by then
