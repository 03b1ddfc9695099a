# -*- test-case-name: tests.test_shortcut -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The shortcut for the common HTTP request: what it takes, what it answers, and what it never goes past. That it is
invisible is proven by L{tests.test_differential_http}.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from twisted.cred.portal import Portal
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ClientEndpoint, TCP4ClientEndpoint, serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.certificates import makeCertificate
from tests.support import Apps, SiteCase, TextEcho
from txsockjs import shortcut
from txsockjs.factory import SockJSFactory, SockJSMultiFactory
from txsockjs.shortcut import Common, QuickRequest, parseCommon


def post(path=b"/0/s/xhr_send", body=b"", *lines, length=None):
    """
    The bytes of a request.
    """
    size = b"%d" % len(body) if length is None else length
    head = b"".join(line + b"\r\n" for line in (b"Host: localhost", *lines, b"Content-Length: " + size))
    return b"POST " + path + b" HTTP/1.1\r\n" + head + b"\r\n" + body


POLL = post(b"/0/s/xhr")


class ParseCommonTests(SynchronousTestCase):
    """
    L{parseCommon}.
    """

    def assertLeft(self, *requests):
        for data in requests:
            self.assertIsNone(parseCommon(data), data[:200])

    def test_common(self):
        """
        It gives the path, the headers by their names in lower case, and the body.
        """
        data = post(b"/a/b_-~/0/xhr_send", b'["x"]', b"X-y: a\tb, c;d  e", b"ORIGIN: http://e.com")
        fields = {b"host": b"localhost", b"x-y": b"a\tb, c;d  e", b"origin": b"http://e.com", b"content-length": b"5"}
        self.assertEqual(parseCommon(data), (b"POST", b"/a/b_-~/0/xhr_send", fields, b'["x"]'))
        self.assertEqual(parseCommon(POLL).body, b"")
        self.assertIsNotNone(parseCommon(post(b"/0/s/xhr", b"\r\n\0\xff")))

    def test_pieces(self):
        """
        A request is left that is not whole, or has something in front of it or behind it.
        """
        data = post(body=b'["x"]')
        self.assertLeft(*(data[:size] for size in range(len(data))))
        self.assertLeft(data + b"\r\n", data + data, b"\r\n" + data, b"\n" + data, b" " + data)

    def test_firstLine(self):
        """
        So is any other first line.
        """
        rest = POLL.partition(b"\r\n")[2]
        for line in (
            b"POST /0/s/xhr HTTP/1.0", b"POST /0/s/xhr HTTP/1.2", b"POST /0/s/xhr HTTP/2.0", b"POST /0/s/xhr http/1.1",
            b"POST /0/s/xhr", b"post /0/s/xhr HTTP/1.1", b"GET /0/s/xhr HTTP/1.1", b"PUT /0/s/xhr HTTP/1.1",
            b"POST  /0/s/xhr HTTP/1.1", b"POST /0/s/xhr  HTTP/1.1", b"POST\t/0/s/xhr HTTP/1.1",
            b"POST /0/s/xhr HTTP/1.1 ", b"POST /0/s/xhr HTTP/1.1\r", b"POST /0/s/xhr HTTP/1x1",
            b"POST http://localhost/0/s/xhr HTTP/1.1", b"POST * HTTP/1.1", b"POST 0/s/xhr HTTP/1.1",
        ):  # fmt: skip
            self.assertLeft(line + b"\r\n" + rest)

    def test_path(self):
        """
        So is any path with something in it that Twisted would unquote, cut off or look at twice.
        """
        for path in (
            b"/0/xhr", b"/xhr", b"/", b"", b"//s/xhr", b"/0//xhr", b"/0/s/xhr/", b"//0/s/xhr", b"/0/s/xhr?",
            b"/0/s/xhr#x", b"/0/%73/xhr", b"/0/s%2fs/xhr", b"/0/./xhr", b"/0/../s/xhr", b"/0/a.b/xhr", b"/0/s;x/xhr",
            b"/0/s+s/xhr", b"/0/s s/xhr", b"/0/s\xe9/xhr", b"/0/s\0/xhr", b"/0/s\\s/xhr", b"/0/s/xhr\n", b"/0/s\t/xhr",
        ):  # fmt: skip
            self.assertLeft(post(path))

    def test_length(self):
        """
        The length of the body is told once, in digits, and is right.
        """
        for length in (
            b"+5", b"-5", b" 5", b"5 ", b"\t5", b"5\t", b"5, 5", b"5,5", b"0x5", b"5.0", b"5e0", b"", b"4", b"6", b"0",
            b"five", b"\xb2", b"\xd9\xa5", b"5_0", b"1" * 400, b"9999999999", b"0000000005", b"5\0", b"5;",
        ):  # fmt: skip
            self.assertLeft(post(body=b'["x"]', length=length))
        self.assertIsNotNone(parseCommon(post(body=b'["x"]', length=b"000000005")))
        self.assertLeft(b"POST /0/s/xhr HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /0/s/xhr HTTP/1.1\r\n\r\n")

    def test_twice(self):
        """
        No header is there twice, however its name is written.
        """
        for line in (b"Content-Length: 0", b"content-length: 5", b"CONTENT-LENGTH: 0", b"hOST: x"):
            self.assertLeft(post(b"/0/s/xhr", b"", line))
        self.assertLeft(post(b"/0/s/xhr", b"", b"X-A: 1", b"x-a: 1"))

    def test_uncommon(self):
        """
        Nothing changes how the request or its answer travels.
        """
        for line in (
            b"Transfer-Encoding: chunked", b"transfer-encoding: identity", b"TRANSFER-ENCODING: x",
            b"Expect: 100-continue", b"expect: x", b"Upgrade: websocket", b"Trailer: x", b"TE: trailers",
            b"Keep-Alive: 5", b"Proxy-Connection: keep-alive", b"Connection: close", b"connection: CLOSE",
            b"Connection: keep-alive, close", b"Connection: close, keep-alive", b"Connection: upgrade",
            b"Connection: keep-alive, Upgrade", b"Connection: keep-alive ", b"Connection: x",
        ):  # fmt: skip
            self.assertLeft(post(b"/0/s/xhr", b"", line))
        for line in (b"Connection: keep-alive", b"connection: Keep-Alive"):
            self.assertIsNotNone(parseCommon(post(b"/0/s/xhr", b"", line)))

    def test_upgrade(self):
        """
        A request that begins a WebSocket is taken as browsers write it, with nothing behind it.
        """
        lines = [b"Host: e.com", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: a2V5"]

        def get(*more, path=b"/0/s/websocket"):
            return b"\r\n".join([b"GET %s HTTP/1.1" % path, *lines, *more, b"", b""])

        for connection in (b"Upgrade", b"upgrade", b"keep-alive, Upgrade"):
            common = parseCommon(get(b"Connection: " + connection))
            self.assertEqual((common.method, common.path, common.body), (b"GET", b"/0/s/websocket", b""))
            self.assertEqual(common.fields[b"sec-websocket-key"], b"a2V5")
        usual = b"Connection: Upgrade"
        self.assertLeft(
            get(), get(b"Connection: keep-alive"), get(b"Connection: close, Upgrade"), get(b"Connection: Upgrade, x"),
            get(usual, b"Content-Length: 0"), get(usual, b"Transfer-Encoding: chunked"), get(usual, b"Expect: x"),
            get(usual, b"Upgrade: websocket"), get(usual) + b"\x81", get(usual) + get(usual), get(usual)[:-1],
            get(usual, path=b"/websocket"), get(usual).replace(b"Upgrade: websocket", b"Upgrade: h2c"),
            get(usual).replace(b"Upgrade: websocket\r\n", b""), get(usual).replace(b"GET", b"HEAD"),
        )  # fmt: skip

    def test_lines(self):
        """
        Every line is a plain name, a colon, one space and printable text.
        """
        for line in (
            b"X", b"X:", b"X: ", b"X:y", b"X:  y", b"X:\ty", b"X: y ", b"X: y\t", b"X : y", b" X: y", b"\tX: y", b": y",
            b"X Y: y", b"X_Y: y", b"X!: y", b"X\xe9: y", b"X\0: y", b"X: \xe9", b"X: a\0b", b"X: a\x7f", b"X: a\x0bb",
            b"X: a\rb", b"X: a\nb", b"X: a\r\n b", b"X: a\r\n\tb", b"X: a\r", b"X: a\n", b"X: a\r\r\nY: b",
            b"X: a\nTransfer-Encoding: chunked", b"X: a\rContent-Length: 0", b"Transfer_Encoding: chunked",
            b"Transfer-Encoding : chunked", b"Transfer-Encoding:chunked", b"Transfer-Encoding\t: chunked", b"",
        ):  # fmt: skip
            self.assertLeft(post(b"/0/s/xhr", b"", line))
        self.assertLeft(POLL.replace(b"\r\n", b"\n"), POLL.replace(b"\r\n", b"\r"), POLL[:-2] + b"\n")

    def test_size(self):
        """
        There are at most 64 headers, and the head has at most 8 kB, however much follows.
        """
        lines = [b"X-%d: y" % number for number in range(63)]
        self.assertIsNotNone(parseCommon(post(b"/0/s/xhr", b"", *lines[:62])))
        self.assertLeft(post(b"/0/s/xhr", b"", *lines))
        room = 8192 - len(post(body=b"y" * 10_000).partition(b"\r\n\r\n")[0]) - 4 - len(b"X: \r\n")
        self.assertIsNotNone(parseCommon(post(b"/0/s/xhr_send", b"y" * 10_000, b"X: " + b"x" * room)))
        self.assertLeft(post(b"/0/s/xhr_send", b"y" * 10_000, b"X: " + b"x" * (room + 1)))

    def test_hostile(self):
        """
        Of a megabyte it looks at no more than the first 8 kB, where nothing is looked at over and over. (This would
        take forever otherwise.)
        """
        for data in (
            b"POST " + b"/a" * 500_000,
            b"POST /" + b"a" * 1_000_000,
            b"POST /0/s/xhr HTTP/1.1\r\n" + b"A" * 1_000_000,
            b"POST /0/s/xhr HTTP/1.1\r\nA: " + b" x" * 500_000,
            b"POST /0/s/xhr HTTP/1.1\r\nA: x" + b" \t" * 500_000,
            b"POST /0/s/xhr HTTP/1.1\r\n" + b"A: b\r\n" * 160_000,
            b"POST /0/s/xhr HTTP/1.1\r\n" + (b"A: " + b"b " * 50 + b"c\r\n") * 60 + b"A: " + b" " * 1_000_000,
            b"POST /0/s/xhr HTTP/1.1\r\n" + b"A: b: c: " * 110_000 + b"\r\n\r\n",
        ):
            for _ in range(20):
                self.assertIsNone(parseCommon(data))


class _Channel:
    """
    As much of a channel as a request needs.
    """

    factory = None

    def __init__(self, site):
        self.site = site
        self.transport = StringTransport()
        self.write = self.transport.write
        self.getPeer, self.getHost = self.transport.getPeer, self.transport.getHost
        self.done = []
        self.producers = []

    def requestDone(self, request):
        self.done.append(request)

    def registerProducer(self, producer, streaming):
        self.producers.append(producer)

    def unregisterProducer(self):
        self.producers.pop()


class _Leaf(Resource):
    def __init__(self, render):
        self.render = render


class QuickRequestTests(SynchronousTestCase):
    """
    L{QuickRequest}.
    """

    def setUp(self):
        self.channel = _Channel(SockJSFactory(Apps()))
        fields = {b"origin": b"http://e.com", b"x-y": b"z"}
        self.request = QuickRequest(self.channel, Common(b"POST", b"/p/0/s/xhr", fields, b"body"))

    def sent(self):
        """
        The head of the answer without its date, and the body.
        """
        head, _, body = self.channel.transport.value().partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith((b"Date: ", b"Server: "))]
        self.assertEqual(len(lines) + 2, len(head.split(b"\r\n")))
        return lines, body

    def test_request(self):
        """
        It tells what any other one would.
        """
        request = self.request
        self.assertEqual((request.method, request.uri, request.path), (b"POST", b"/p/0/s/xhr", b"/p/0/s/xhr"))
        self.assertEqual((request.prepath, request.postpath), ([b"p", b"0"], [b"s", b"xhr"]))
        self.assertEqual((request.content.read(), request.args), (b"body", {}))
        self.assertEqual(request.getHeader(b"origin"), b"http://e.com")
        self.assertEqual(request.getHeader(b"Origin"), b"http://e.com")
        self.assertEqual(request.getHeader("Origin"), "http://e.com")
        self.assertIsNone(request.getHeader(b"cookie"))
        headers = Headers({b"Origin": [b"http://e.com"], b"X-Y": [b"z"]})
        self.assertEqual(list(request.requestHeaders.getAllRawHeaders()), list(headers.getAllRawHeaders()))
        self.assertTrue(request.requestHeaders.hasHeader(b"ORIGIN"))
        for name in (b"Origin", "Origin", b"x-y", b"cookie"):
            self.assertEqual(request.requestHeaders.getRawHeaders(name), headers.getRawHeaders(name))
            self.assertEqual(request.requestHeaders.getRawHeaders(name, 1), headers.getRawHeaders(name, 1))
        self.assertEqual(request.getClientAddress(), self.channel.transport.getPeer())
        self.assertEqual(request.getHost(), self.channel.transport.getHost())
        self.assertIn("/p/0/s/xhr", repr(request))

    def test_body(self):
        """
        A body that C{render} returns has its length in front.
        """

        def render(request):
            request.setHeader(b"X-Y", b"z")
            return b"hello"

        self.request.answer(_Leaf(render))
        self.assertEqual(self.sent(), ([b"HTTP/1.1 200 OK", b"X-Y: z", b"Content-Length: 5"], b"hello"))
        self.assertEqual(self.channel.done, [self.request])

    def test_chunks(self):
        """
        A body of unknown length comes in chunks, of which none is empty but the last.
        """
        for data in (b"", b"one", b"", b"two"):
            self.request.write(data)
        self.request.finish()
        self.assertEqual(
            self.sent(), ([b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"], b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        )

    def test_noContent(self):
        """
        204 has neither a body nor a length.
        """
        self.request.setResponseCode(204)
        self.request.finish()
        self.assertEqual(self.sent(), ([b"HTTP/1.1 204 No Content"], b""))

    def test_failure(self):
        """
        What a leaf raises becomes the 500 of Twisted's, and is logged.
        """

        def render(request):
            raise ZeroDivisionError

        self.request.answer(_Leaf(render))
        lines, body = self.sent()
        self.assertEqual(lines[0], b"HTTP/1.1 500 Internal Server Error")
        self.assertIn(b"Processing Failed", body)
        self.assertIn(b"Content-Length: %d" % len(body), lines)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.channel.done, [self.request])

    def test_finished(self):
        """
        Nothing can be written any more after the end, and whoever asked is told of it.
        """
        told = self.request.notifyFinish()
        self.request.finish()
        self.assertIsNone(self.successResultOf(told))
        self.assertRaises(RuntimeError, self.request.write, b"x")

    def test_disconnected(self):
        """
        When the connection is gone, whoever asked is told of it, and what is written is lost.
        """
        told = self.request.notifyFinish()
        self.request.answer(_Leaf(lambda request: NOT_DONE_YET))
        self.request.connectionLost(ZeroDivisionError())
        self.failureResultOf(told, ZeroDivisionError)
        self.request.write(b"x")
        self.assertEqual(self.channel.transport.value(), b"")
        self.assertRaises(RuntimeError, self.request.finish)

    def test_producer(self):
        """
        A producer is the channel's for as long as it is registered.
        """
        producer = object()
        self.request.registerProducer(producer, True)
        self.assertEqual(self.channel.producers, [producer])
        self.assertRaises(ValueError, self.request.registerProducer, object(), True)
        self.request.unregisterProducer()
        self.assertEqual(self.channel.producers, [])

    def test_heads(self):
        """
        Few heads are kept, each for just the same headers; none has a line of the client's making.
        """
        with mock.patch.dict(shortcut._heads, clear=True), mock.patch.object(shortcut, "_MOST_HEADS", 10):
            for number in range(100):
                head = shortcut._headOf(200, b"OK", {b"access-control-allow-origin": b"http://%d" % number})
                self.assertTrue(head.endswith(b"\r\nAccess-Control-Allow-Origin: http://%d\r\n" % number))
                self.assertLessEqual(len(shortcut._heads), 10)
            for value in (b"a\r\nX: y", b"a\nX: y", b"a\rX: y"):
                self.assertNotIn(b"\nX", shortcut._headOf(200, b"OK", {b"vary": value}))

    def test_longHeads(self):
        """
        None is kept that a client has made long; it is answered with all the same.
        """
        with mock.patch.dict(shortcut._heads, clear=True):
            for size in (2000, 8000):
                value = b"x" * size
                for name in (b"access-control-allow-origin", b"access-control-allow-headers"):
                    for _ in range(2):
                        self.assertTrue(shortcut._headOf(200, b"OK", {name: value}).endswith(value + b"\r\n"))
            self.assertEqual(shortcut._heads, {})
            usual = shortcut._headOf(200, b"OK", {b"access-control-allow-origin": b"x" * 500})
            self.assertEqual(list(shortcut._heads.values()), [usual])


class Guard(Resource):
    """
    Lets nobody through.
    """

    def __init__(self, inner=None):
        super().__init__()
        self.asked = 0

    def getChildWithDefault(self, path, request):
        self.asked += 1
        return Resource.getChild(self, path, request)


class _Case(SiteCase):
    def setUp(self):
        super().setUp()
        self.quick = []
        answer = QuickRequest.answer

        def note(request, leaf):
            self.quick.append(request.path)
            answer(request, leaf)

        self.patch(QuickRequest, "answer", note)

    def make(self, *prefixes, kind=SockJSMultiFactory, **settings):
        self.site = kind(reactor=self.clock)
        self.apps = Apps(TextEcho)
        services = [
            self.site.addFactory(self.apps, prefix, heartbeat_delay=0, **settings) for prefix in prefixes or ("/",)
        ]
        self.resources.extend(services)
        return services[0]

    def answerFor(self, path="/0/s/xhr", body=b"", headers=None):
        """
        @return: the status, and whether the shortcut was taken.
        """
        before = len(self.quick)
        connection = self.connect()
        answer = connection.ask("POST", path, headers, body)
        return answer().code, len(self.quick) > before


class SiteTests(_Case):
    """
    What a site lets take the shortcut.
    """

    def test_leaves(self):
        """
        The three URLs that are asked for most take it, and no others.
        """
        self.make()
        self.assertEqual(self.answerFor("/0/s/xhr"), (200, True))
        self.assertEqual(self.answerFor("/0/s/xhr_send", b'["x"]'), (204, True))
        self.assertEqual(self.answerFor("/0/t/xhr_streaming"), (200, True))
        for path in (
            "/0/s/jsonp_send",
            "/0/s/eventsource",
            "/0/s/websocket",
            "/0/s/nothing",
            "/a/0/s/xhr",
            "/0/s/xhr/x",
        ):
            self.assertFalse(self.answerFor(path)[1], path)

    def test_prefixes(self):
        """
        Each service of a site is found, the innermost one first.
        """
        self.make("/", "/echo", "/deep/er")
        for path in ("/0/s/xhr", "/echo/0/s/xhr", "/deep/er/0/s/xhr"):
            self.assertEqual(self.answerFor(path), (200, True))
        for path in ("/echo/s/xhr", "/deep/er/xhr", "/deep/0/s/xhr", "/other/0/s/xhr", "/echo/echo/0/s/xhr"):
            self.assertEqual(self.answerFor(path), (404, False))
        self.resources[0].putChild(b"mine", Guard())
        self.assertEqual(self.answerFor("/mine/s/xhr"), (404, False))

    def test_settings(self):
        """
        No service takes it that has something of the user's look at requests, or sets a cookie.
        """
        for settings in (
            {"authorize": lambda request: False},
            {"origins": lambda origin, request: False},
            {"cookie_needed": True},
            {"cookie_needed": lambda request: "x"},
        ):
            self.make(**settings)
            code, quick = self.answerFor()
            self.assertFalse(quick)
            self.assertEqual(code, 200 if "cookie_needed" in settings else 403)

    def test_limits(self):
        """
        What is too large is refused, and counted once, as without it.
        """
        stats = self.make(max_body_size=7, max_session_id_length=2).stats
        self.answerFor()
        self.assertEqual(self.answerFor("/0/s/xhr_send", b'["abc"]'), (204, True))
        self.assertEqual(self.answerFor("/0/s/xhr_send", b'["abcd"]'), (413, False))
        self.assertEqual(self.answerFor("/0/sss/xhr"), (404, False))
        self.assertEqual(self.answerFor("/sss/s/xhr"), (404, False))
        self.assertEqual(stats.refused, {"body too large": 1, "session id too long": 2})

    def test_guards(self):
        """
        A guard of the user's is not bypassed, wherever it stands and whenever it came there.
        """

        def onTop(site):
            site.resource = Guard()

        def login(site):
            site.resource = HTTPAuthSessionWrapper(Portal(None), [BasicCredentialFactory("x")])

        def inTheWay(site):
            site.resource.children[b"deep"] = Guard()

        def putInTheWay(site):
            site.resource.putChild(b"deep", HTTPAuthSessionWrapper(Portal(None), [BasicCredentialFactory("x")]))

        def inPlace(site):
            site.resource.children[b"deep"].putChild(b"er", Guard())

        def gone(site):
            del site.resource.children[b"deep"]

        def patched(site):
            site.resource.getChildWithDefault = Guard().getChildWithDefault

        def patchedService(site):
            site._services[0][0].getChildWithDefault = Guard().getChildWithDefault

        def finding(site):
            site.getResourceFor = lambda request: Guard()

        for guard in (onTop, login, inTheWay, putInTheWay, inPlace, gone, patched, patchedService, finding):
            self.make("/deep/er")
            self.assertEqual(self.answerFor("/deep/er/0/s/xhr"), (200, True))
            guard(self.site)
            code, quick = self.answerFor("/deep/er/0/s/xhr")
            self.assertFalse(quick, guard)
            self.assertIn(code, (401, 404, 405), guard)

    def test_guardAtRoot(self):
        """
        So it is with a root of the user's that finds children in its own way.
        """
        guard = Guard()
        self.site = SockJSMultiFactory(reactor=self.clock, root=guard)
        self.resources.append(self.site.addFactory(Apps(), "/echo"))
        self.assertEqual(self.answerFor("/echo/0/s/xhr"), (404, False))
        self.assertEqual(guard.asked, 1)

    def test_guardAroundService(self):
        """
        So it is with a service that was wrapped at its place.
        """
        service = self.make("/echo")
        guard = Guard()
        guard.putChild(b"0", service)
        self.site.resource.putChild(b"echo", guard)
        self.assertEqual(self.answerFor("/echo/0/s/xhr"), (404, False))

    def test_ownSite(self):
        """
        So it is with a site of the user's that looks at requests itself, and with requests of the user's own kind.
        """

        class Finding(SockJSMultiFactory):
            def getResourceFor(self, request):
                return Guard()

        logged = []

        class Logging(SockJSMultiFactory):
            def log(self, request):
                logged.append(request.responseHeaders.getRawHeaders(b"content-type"))

        self.make(kind=Finding)
        self.assertEqual(self.answerFor(), (405, False))
        self.make(kind=Logging)
        self.assertEqual(self.answerFor(), (200, False))
        self.assertEqual(logged, [[b"application/javascript; charset=UTF-8"]])
        self.make()
        seen = []

        class Own(self.site.requestFactory):
            def process(self):
                seen.append(self.uri)
                super().process()

        self.site.requestFactory = Own
        self.assertEqual(self.answerFor(), (200, False))
        self.site.requestFactory = lambda *args: Own(*args)
        self.assertEqual(self.answerFor("/0/t/xhr"), (200, False))
        self.assertEqual(seen, [b"/0/s/xhr", b"/0/t/xhr"])


class ConnectionTests(_Case):
    """
    What becomes of a connection of which requests take the shortcut.
    """

    def test_mixed(self):
        """
        Requests that take it and others follow each other on a connection.
        """
        self.make()
        connection = self.connect()
        asked = [
            connection.ask("POST", path, headers, body)
            for path, headers, body in (
                ("/0/s/xhr", None, b""),
                ("/0/s/xhr_send", None, b'["x"]'),
                ("/0/s/xhr_send?", None, b'["y"]'),
                ("/0/s/xhr", None, b""),
                ("/0/s/jsonp_send", {"Content-Type": "text/plain"}, b'["z"]'),
                ("/0/s/xhr", {"Connection": "close"}, b""),
            )
        ]
        self.assertEqual([answer().code for answer in asked], [200, 204, 204, 200, 200, 200])
        self.assertEqual([asked[place]().body for place in (0, 3, 5)], [b"o\n", b'a["x","y"]\n', b'a["z"]\n'])
        self.assertEqual(len(self.quick), 3)
        self.assertTrue(connection.transport.gone)

    def test_idle(self):
        """
        A connection is closed 60 seconds after its last answer, and not while a poll waits.
        """
        self.make(disconnect_delay=900)
        connection = self.connect()
        connection.ask("POST", "/0/s/xhr", None, b"")
        self.clock.advance(59)
        poll = connection.ask("POST", "/0/s/xhr", None, b"")
        self.clock.advance(500)
        self.assertFalse(connection.transport.gone)
        self.answerFor("/0/s/xhr_send", b'["x"]')
        self.assertEqual(poll().body, b'a["x"]\n')
        self.clock.advance(59)
        self.assertFalse(connection.transport.gone)
        self.clock.advance(2)
        self.assertTrue(connection.transport.gone)
        self.assertEqual(len(self.quick), 3)

    def test_arrivals(self):
        """
        A whole request has no deadline, and ends the one that an empty line before it had.
        """
        self.make(request_timeout=5)
        connection = self.connect()
        for data in (b"\r", b"\n", POLL, POLL):
            connection.send(data)
        self.assertEqual(len(self.quick), 2)
        self.clock.advance(20)
        self.assertFalse(connection.transport.gone)

    def test_pipelined(self):
        """
        What comes while a poll waits is answered after it.
        """
        self.make()
        connection = self.connect()
        connection.send(POLL)
        connection.send(POLL)
        connection.send(post(b"/0/t/xhr") + post(b"/0/u/xhr"))
        self.assertEqual(len(self.apps.built), 1)
        self.answerFor("/0/s/xhr_send", b'["x"]')
        self.assertEqual(len(self.apps.built), 3)
        bodies = connection.transport.value().split(b"\r\n\r\n")[1:]
        self.assertEqual([body.partition(b"HTTP/1.1")[0] for body in bodies], [b"o\n", b'a["x"]\n', b"o\n", b"o\n"])

    def test_leave(self):
        """
        A connection that is told to leave does so when its answer is complete, and at once when it is idle.
        """
        self.make()
        waiting, idle = self.connect(), self.connect()
        idle.send(POLL)
        waiting.send(POLL)
        for connection in (idle, waiting):
            connection.protocol.leave()
            self.clock.advance(0)
        self.assertEqual((idle.transport.gone, waiting.transport.gone), (True, False))
        self.answerFor("/0/s/xhr_send", b'["x"]')
        self.clock.advance(0)
        self.assertTrue(waiting.transport.gone)
        self.assertTrue(waiting.transport.value().endswith(b'a["x"]\n'))

    def test_leaveWhileAnswering(self):
        """
        A connection that is told to leave while its answer is made is not kept by a client that takes nothing.
        """
        self.make()
        connection = self.connect()
        self.apps.protocol = lambda: _Leaving(connection)
        connection.transport.block(1)
        connection.send(POLL)
        self.assertEqual(len(self.quick), 1)
        self.assertTrue(connection.transport.disconnecting)
        self.clock.advance(61)
        self.clock.advance(16)
        self.assertTrue(connection.transport.aborted)


class _Leaving(Protocol):
    """
    Has the connection leave on which its session is opened.
    """

    def __init__(self, connection):
        self._connection = connection

    def connectionMade(self):
        self._connection.protocol.leave()


class SocketTests(TestCase):
    """
    The shortcut over real sockets, whatever lies between.
    """

    async def serve(self, endpoint):
        self.quick = []
        answer = QuickRequest.answer

        def note(request, leaf):
            self.quick.append(request.path)
            answer(request, leaf)

        self.patch(QuickRequest, "answer", note)
        self.apps = Apps(TextEcho)
        port = await serverFromString(reactor, endpoint).listen(SockJSFactory(self.apps))
        self.addCleanup(port.stopListening)
        return port.getHost().port

    async def exchange(self, client, preface=b""):
        """
        Open a session, send it a message, and get it back, on one connection.
        """
        factory = Factory.forProtocol(_Collector)
        connection = await client.connect(factory)
        connection.transport.write(preface)
        for data, end in ((POLL, b"o\n"), (post(body=b'["x"]'), b"\r\n\r\n"), (POLL, b'a["x"]\n')):
            await connection.say(data, end)
        connection.transport.loseConnection()
        await connection.gone
        self.assertEqual(self.quick, [b"/0/s/xhr", b"/0/s/xhr_send", b"/0/s/xhr"])

    async def test_tcp(self):
        """
        TCP.
        """
        port = await self.serve("tcp:0:interface=127.0.0.1")
        await self.exchange(TCP4ClientEndpoint(reactor, "127.0.0.1", port))

    async def test_tls(self):
        """
        TLS.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        makeCertificate(directory)
        keys = f"privateKey={directory / 'k.pem'}:certKey={directory / 'c.pem'}"
        port = await self.serve(f"ssl:0:interface=127.0.0.1:{keys}")
        await self.exchange(SSL4ClientEndpoint(reactor, "127.0.0.1", port, ssl.CertificateOptions()))

    async def test_haproxy(self):
        """
        The PROXY protocol, whose address the application sees.
        """
        port = await self.serve("haproxy:tcp:0:interface=127.0.0.1")
        preface = b"PROXY TCP4 192.0.2.7 192.0.2.8 4000 80\r\n"
        await self.exchange(TCP4ClientEndpoint(reactor, "127.0.0.1", port), preface)
        self.assertEqual(self.apps.addresses[0].host, "192.0.2.7")


class _Collector(Protocol):
    """
    A client that waits for the end of an answer.
    """

    def connectionMade(self):
        self.gone = Deferred()
        self._data, self._end, self._waiting = b"", b"", None

    def say(self, data, end):
        self._data, self._end, self._waiting = b"", end, Deferred()
        self.transport.write(data)
        return self._waiting

    def dataReceived(self, data):
        self._data += data
        if self._waiting is not None and self._data.endswith(self._end) and b"\r\n\r\n" in self._data:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    def connectionLost(self, reason=None):
        self.gone.callback(None)
