# -*- test-case-name: tests.test_resource -*-
"""
The URLs of a service, and the pages that belong to no session.
"""

from __future__ import annotations

import json
import random
import re

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.static import Data

from tests.support import Apps, SiteCase
from txsockjs.factory import SockJSMultiFactory
from txsockjs.options import Options
from txsockjs.resource import SockJSResource

NO_CACHE = "no-store, no-cache, no-transform, must-revalidate, max-age=0"


class GreetingTests(SiteCase):
    """
    The service's own URL.
    """

    def greeted(self, path):
        answer = self.answerTo("GET", path)
        self.assertEqual((answer.code, answer.body), (200, b"Welcome to SockJS!\n"))
        self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
        self.assertIsNone(answer.header("set-cookie"))

    def test_root(self):
        """
        A service greets at C{/} of a site, without a cookie even where it needs one.
        """
        self.serve(cookie_needed=True)
        self.greeted("/")

    def test_mounted(self):
        """
        A mounted service greets with and without a slash at the end of its URL.
        """
        root = Resource()
        self.serve()
        root.putChild(b"echo", self.resource)
        self.serveTree(root)
        self.greeted("/echo")
        self.greeted("/echo/")

    def test_head(self):
        """
        HEAD is answered as GET is, without the body.
        """
        self.serve()
        connection = self.connect()
        answer = connection.ask("HEAD", "/")()
        self.assertEqual((answer.code, answer.header("content-length")), (200, "19"))
        self.assertTrue(connection.transport.value().endswith(b"\r\n\r\n"))
        for path in ("/info", "/iframe.html"):
            connection = self.connect()
            answer, got = connection.ask("HEAD", path)(), self.answerTo("GET", path)
            self.assertEqual(answer.code, 200)
            for name in ("content-type", "cache-control", "etag", "vary"):
                self.assertEqual(answer.header(name), got.header(name), (path, name))
            self.assertTrue(connection.transport.value().endswith(b"\r\n\r\n"))
            self.assertEqual(connection.ask("GET", "/")().body, b"Welcome to SockJS!\n")

    def test_otherMethod(self):
        """
        Another method gets 405 with C{Allow}, without a C{Content-Type} or a body.
        """
        self.serve()
        for path in ("/", "/info", "/iframe.html"):
            answer = self.answerTo("PUT", path, body=b"x")
            self.assertEqual((answer.code, answer.body), (405, b""), path)
            self.assertIn("GET", answer.header("allow").split(", "))
            self.assertIsNone(answer.header("content-type"))


class InfoTests(SiteCase):
    """
    C{/info}.
    """

    def info(self, **settings):
        self.serve(**settings)
        answer = self.answerTo("GET", "/info")
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.header("content-type"), "application/json; charset=UTF-8")
        self.assertEqual(answer.header("cache-control"), NO_CACHE)
        for name in ("expires", "last-modified", "set-cookie"):
            self.assertIsNone(answer.header(name))
        return json.loads(answer.body)

    def test_defaults(self):
        """
        By default there are the four facts that clients know, and nothing else.
        """
        facts = self.info()
        entropy = facts.pop("entropy")
        self.assertEqual(facts, {"websocket": True, "cookie_needed": False, "origins": ["*:*"]})
        self.assertIsInstance(entropy, int)
        self.assertTrue(0 <= entropy < 2**32)

    def test_entropy(self):
        """
        The entropy is new each time.
        """
        self.assertGreater(len({self.info()["entropy"] for _ in range(5)}), 1)

    def test_entropyIsUnpredictable(self):
        """
        The entropy is none of the numbers that follow from a seed, such as the time.
        """
        self.serve()
        found = set()
        for _ in range(3):
            connection = self.connect()
            random.seed(1)
            found.add(json.loads(connection.ask("GET", "/info")().body)["entropy"])
        self.assertEqual(len(found), 3)

    def test_withoutWebSocket(self):
        """
        A service without WebSocket says so, and names the transports that it has.
        """
        facts = self.info(transports=["xhr-polling", "websocket-raw"])
        self.assertIs(facts["websocket"], False)
        self.assertEqual(facts["transports"], ["websocket-raw", "xhr-polling"])

    def test_cookie(self):
        """
        A service that needs a cookie says so, also when a callable makes it.
        """
        self.assertIs(self.info(cookie_needed=True)["cookie_needed"], True)
        self.assertIs(self.info(cookie_needed=lambda request: "x")["cookie_needed"], True)

    def test_baseURL(self):
        """
        The base URL is told as it is, or as a callable makes it of the request.
        """
        self.assertEqual(self.info(base_url="https://b.example/x")["base_url"], "https://b.example/x")
        facts = self.info(base_url=lambda request: "https://b.example" + request.uri.decode("ascii"))
        self.assertEqual(facts["base_url"], "https://b.example/info")

    def test_baseURLFields(self):
        """
        It may hold the name of the process and the path of the service, which is as it stands in URLs.
        """
        settings = {"base_url": "https://b.example/{process}/{service}", "process_name": "p1"}
        self.assertEqual(self.info(**settings)["base_url"], "https://b.example/p1")
        site = SockJSMultiFactory(reactor=self.clock)
        site.addFactory(Apps(), "a b/c", **settings)
        self.site = site
        facts = json.loads(self.answerTo("GET", "/a%20b/c/info").body)
        self.assertEqual(facts["base_url"], "https://b.example/p1/a%20b/c")

    def test_origin(self):
        """
        Any origin, C{null} included, is let in by its own name, with credentials.
        """
        self.serve()
        for origin in ("http://a.example", "null"):
            answer = self.answerTo("GET", "/info", {"Origin": origin})
            self.assertEqual(answer.header("access-control-allow-origin"), origin)
            self.assertEqual(answer.header("access-control-allow-credentials"), "true")
            self.assertEqual(answer.header("vary"), "Origin")

    def test_noOrigin(self):
        """
        Without an origin anyone is let in, without credentials; the answer still varies by origin.
        """
        self.serve()
        answer = self.answerTo("GET", "/info")
        self.assertEqual(answer.header("access-control-allow-origin"), "*")
        self.assertIsNone(answer.header("access-control-allow-credentials"))
        self.assertEqual(answer.header("vary"), "Origin")

    def test_preflight(self):
        """
        OPTIONS is a preflight for GET that may be kept for a year, and sets no cookie.
        """
        self.serve(cookie_needed=True)
        answer = self.answerTo("OPTIONS", "/info", {"Origin": "http://a", "Access-Control-Request-Headers": "x-a, b"})
        self.assertEqual((answer.code, answer.body), (204, b""))
        self.assertEqual(answer.header("access-control-allow-methods"), "OPTIONS, GET")
        self.assertEqual(answer.header("access-control-max-age"), "31536000")
        self.assertEqual(answer.header("access-control-allow-headers"), "x-a, b")
        self.assertEqual(answer.header("cache-control"), "public, max-age=31536000")
        self.assertEqual(answer.header("expires"), "Fri, 01 Jan 1971 00:00:00 GMT")
        self.assertEqual(answer.header("access-control-allow-origin"), "http://a")

    def test_emptyRequestHeaders(self):
        """
        An empty list of headers in a preflight is not echoed.
        """
        self.serve()
        answer = self.answerTo("OPTIONS", "/info", {"Access-Control-Request-Headers": ""})
        self.assertIsNone(answer.header("access-control-allow-headers"))


class IFrameTests(SiteCase):
    """
    C{/iframe*.html}.
    """

    def test_page(self):
        """
        The page is the one of the protocol, with the URL of the client in it, and may be kept for a year.
        """
        self.serve(sockjs_url="http://cdn.example/sockjs.js", cookie_needed=True)
        answer = self.answerTo("GET", "/iframe.html")
        self.assertEqual((answer.code, answer.header("content-type")), (200, "text/html; charset=UTF-8"))
        self.assertEqual(
            answer.body.decode("utf-8"),
            "<!DOCTYPE html>\n<html>\n<head>\n"
            '  <meta http-equiv="X-UA-Compatible" content="IE=edge" />\n'
            '  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />\n'
            '  <script src="http://cdn.example/sockjs.js"></script>\n'
            "  <script>\n    document.domain = document.domain;\n    SockJS.bootstrap_iframe();\n  </script>\n"
            "</head>\n<body>\n  <h2>Don't panic!</h2>\n"
            "  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>\n</body>\n</html>",
        )
        self.assertEqual(answer.header("cache-control"), "public, max-age=31536000")
        self.assertEqual(answer.header("expires"), "Fri, 01 Jan 1971 00:00:00 GMT")
        self.assertIsNone(answer.header("set-cookie"))
        self.assertIsNone(answer.header("last-modified"))

    def test_escaped(self):
        """
        A URL with characters of HTML's own can't leave its attribute.
        """
        self.serve(sockjs_url='/s.js?a=1&b="><script>')
        body = self.answerTo("GET", "/iframe.html").body
        self.assertIn(b'src="/s.js?a=1&amp;b=&quot;&gt;&lt;script&gt;"', body)

    def test_names(self):
        """
        Any version may stand in the name, and any query behind it; all are the same page.
        """
        self.serve()
        answers = [
            self.answerTo("GET", path)
            for path in (
                "/iframe.html",
                "/iframe-a_1.2-x.html",
                "/iframe0.html?t=qr5",
                "/iframe-.html",
                "/iframe...html",
            )
        ]
        self.assertEqual({answer.code for answer in answers}, {200})
        self.assertEqual(len({answer.header("etag") for answer in answers}), 1)

    def test_notModified(self):
        """
        Who names the ETag gets 304 and nothing else, also when it is weak or one of several.
        """
        self.serve()
        etag = self.answerTo("GET", "/iframe.html").header("etag")
        self.assertRegex(etag, '^"[^"]+"$')
        for known in (etag, "W/" + etag, f'"x", {etag}'):
            answer = self.answerTo("GET", "/iframe.html", {"If-None-Match": known})
            self.assertEqual((answer.code, answer.body), (304, b""))
            self.assertIsNone(answer.header("content-type"))
            self.assertEqual(answer.header("etag"), etag)

    def test_modified(self):
        """
        Another ETag gets the page.
        """
        self.serve()
        self.assertEqual(self.answerTo("GET", "/iframe.html", {"If-None-Match": '"x"'}).code, 200)

    def test_etagFollowsContent(self):
        """
        The ETag is another one when the page is.
        """
        etags = set()
        for url in ("/a.js", "/b.js", "/a.js"):
            self.serve(sockjs_url=url)
            etags.add(self.answerTo("GET", "/iframe.html").header("etag"))
        self.assertEqual(len(etags), 2)


class PathTests(SiteCase):
    """
    What is a URL of the service, and what is not.
    """

    def test_notFound(self):
        """
        What the protocol does not name is not there.
        """
        self.serve()
        paths = (
            "//", "///", "/a", "/a.html", "/a/a", "/a/a/", "/a/", "/iframe.htm", "/iframe", "/IFRAME.HTML",
            "/iframe.HTML", "/iframe.xml", "/iframe-/.html", "/iframe.html/", "/info/", "/info/a", "/xhr", "/a/xhr",
            "/a/b/xhr/", "/a/b/xhr/c", "/a/b/c/xhr", "//b/xhr", "/a//xhr", "/a.a/b/xhr", "/a/b.b/xhr", "/a./b/xhr",
            "/a/b/XHR", "/a/b/info", "/websocket/", "/websocket/a",
        )  # fmt: skip
        for path in paths:
            for method in ("GET", "POST"):
                answer = self.answerTo(method, path)
                self.assertEqual(answer.code, 404, (method, path))
                self.assertIsNone(answer.header("set-cookie"))
        self.assertEqual(self.apps.built, [])

    def test_names(self):
        """
        Server and session may have any characters but dots.
        """
        self.serve()
        for name in ("a", "_", "-", "1", "%20", "abc_i/%ff", "%E2%98%83", "a%2Fb"):
            path = f"/{name}/xhr" if "/" in name else f"/{name}/{name}/xhr"
            self.assertEqual(self.answerTo("POST", path).body, b"o\n", path)

    def test_serverIgnored(self):
        """
        The server part of the URL is ignored: the session is the same one.
        """
        self.serve()
        self.answerTo("POST", "/a/s/xhr")
        self.assertEqual(self.post("/b/s/xhr_send", "x").code, 204)
        self.assertEqual(self.apps.last.received, [b"x"])

    def test_switchedOff(self):
        """
        The URLs of a transport that is switched off are not there, and those of the others are.
        """
        urls = {
            "websocket": ("GET", "/a/b/websocket", 400),
            "websocket-raw": ("GET", "/websocket", 400),
            "xhr-streaming": ("POST", "/a/1/xhr_streaming", 200),
            "xhr-polling": ("POST", "/a/2/xhr", 200),
            "eventsource": ("GET", "/a/3/eventsource", 200),
            "htmlfile": ("GET", "/a/4/htmlfile?c=c", 200),
            "jsonp-polling": ("GET", "/a/5/jsonp?c=c", 200),
        }
        for on in urls:
            self.serve(transports=[on])
            for name, (method, path, code) in urls.items():
                self.assertEqual(self.ask(method, path)().code, code if name == on else 404, (on, name))

    def test_sendingSwitchedOff(self):
        """
        A URL to send by is there as long as a transport is that sends by it.
        """
        for on, there in (
            ("xhr-polling", "xhr_send"),
            ("xhr-streaming", "xhr_send"),
            ("eventsource", "xhr_send"),
            ("htmlfile", "xhr_send"),
            ("jsonp-polling", "jsonp_send"),
            ("websocket", None),
        ):
            self.serve(transports=[on])
            for name in ("xhr_send", "jsonp_send"):
                # 405 and 404 tell a URL that is there from one that is not.
                self.assertEqual(self.answerTo("GET", f"/a/b/{name}").code, 405 if name == there else 404)

    def test_children(self):
        """
        A child that is put into the resource comes before the service's own URLs.
        """
        self.serve()
        self.resource.putChild(b"info", Data(b"mine", "text/plain"))
        self.assertEqual(self.answerTo("GET", "/info").body, b"mine")


class SettingsTests(SiteCase):
    """
    How a service is made.
    """

    def test_options(self):
        """
        The options of a service can be read; single settings win over ready options and dicts.
        """
        ready = Options(heartbeat_delay=7, response_limit=99)
        for options in (ready, {"heartbeat_delay": 7, "response_limit": 99}):
            resource = SockJSResource(Apps(), options, reactor=self.clock, response_limit=50)
            self.assertEqual((resource.options.heartbeat_delay, resource.options.response_limit), (7, 50))

    def test_wrong(self):
        """
        A name or value that is wrong is an error at construction.
        """
        with self.assertRaisesRegex(ValueError, "heartbeat_dely"):
            SockJSResource(Apps(), reactor=self.clock, heartbeat_dely=3)
        with self.assertRaisesRegex(ValueError, "response_limit"):
            SockJSResource(Apps(), {"response_limit": 0}, reactor=self.clock)

    def test_noFactory(self):
        """
        A protocol class, or whatever else makes no protocols, is an error at construction, not at the first client.
        """
        for wrong in (Protocol, Factory, None, "chat"):
            with self.assertRaisesRegex(TypeError, re.escape(repr(wrong))):
                SockJSResource(wrong, reactor=self.clock)

    def test_defaultReactor(self):
        """
        Without a reactor it is the global one.
        """
        self.assertIs(SockJSResource(Apps())._service.clock, reactor)

    def test_separateServices(self):
        """
        Two services never share a session, even under the same clock.
        """
        clock, first, second, root = Clock(), Apps(), Apps(), Resource()
        self.clock = clock
        for name, factory in ((b"a", first), (b"b", second)):
            resource = SockJSResource(factory, reactor=clock)
            self.resources.append(resource)
            root.putChild(name, resource)
        self.serveTree(root)
        self.answerTo("POST", "/a/0/same/xhr")
        self.assertEqual(self.post("/b/0/same/xhr_send", "x").code, 404)
        self.answerTo("POST", "/b/0/same/xhr")
        self.assertEqual(self.post("/b/0/same/xhr_send", "x").code, 204)
        self.assertEqual((first.last.received, second.last.received), ([], [b"x"]))


class StopTests(SiteCase):
    """
    C{SockJSResource.stop}.
    """

    def test_stop(self):
        """
        Every session ends and is forgotten at once; those that have a receiver are told.
        """
        self.serve()
        streaming = self.ask("POST", "/a/1/xhr_streaming")
        socket = self.connect()
        socket.upgrade("/a/2/websocket")
        self.answerTo("POST", "/a/3/xhr")
        self.resource.stop()
        self.assertTrue(streaming().ended)
        self.assertEqual(streaming().chunks[1:], [b"o\n", b'c[3000,"Go away!"]\n'])
        self.assertEqual(socket.texts(), ["o", 'c[3000,"Go away!"]'])
        self.assertEqual(socket.closed().code, 1000)
        self.clock.advance(5)  # the client of the WebSocket does not answer
        self.assertTrue(socket.transport.aborted)
        self.assertEqual([len(app.lost) for app in self.apps.built], [1, 1, 1])
        self.assertEqual(self.post("/a/3/xhr_send", "x").code, 503)
        self.resource.start()
        self.assertEqual(self.post("/a/3/xhr_send", "x").code, 404)

    def test_noDelayedCalls(self):
        """
        A service that is stopped has no delayed call left, not even one of this turn.
        """
        self.serve()
        self.answerTo("POST", "/a/1/xhr")
        self.ask("POST", "/a/2/xhr_streaming")
        self.apps.last.transport.write("x")
        for connection in self.connections:
            connection.lose()
        self.resource.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
