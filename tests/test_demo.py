# -*- test-case-name: tests.test_demo -*-
"""
The demo: the standard test services (protocol section "The standard test services") and their page.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files

from twisted.web.resource import Resource
from twisted.web.static import Data

import txsockjs
from tests.support import SiteCase
from txsockjs import demo
from txsockjs.demo import makeSite

STANDARD = ("echo", "disabled_websocket_echo", "cookie_needed_echo", "close", "ticker", "amplify", "broadcast")

SERVICES = (*STANDARD, "stats")


class DemoCase(SiteCase):
    """
    Serves the demo.
    """

    def setUp(self):
        super().setUp()
        self.serveDemo()

    def serveDemo(self, **settings):
        root = makeSite(self.clock, **settings).resource
        self.services = {name: root.children[name.encode("ascii")] for name in SERVICES}
        self.resources.extend(self.services.values())
        self.serveTree(root)

    def info(self, name):
        return json.loads(self.answerTo("GET", f"/{name}/info").body)

    def open(self, name):
        socket = self.connect()
        self.assertEqual(socket.upgrade(f"/{name}/0/s/websocket")().code, 101)
        return socket


class DemoTests(DemoCase):
    """
    L{makeSite}.
    """

    def test_echo(self):
        """
        C{/echo} sends every message back; its responses end after 4096 bytes.
        """
        answer = self.ask("POST", "/echo/0/s/xhr_streaming")
        self.post("/echo/0/s/xhr_send", "x" * 4000)
        self.clock.advance(0)
        self.assertFalse(answer().ended)
        self.post("/echo/0/s/xhr_send", "\u2603", "y" * 100)
        self.clock.advance(0)
        self.assertTrue(answer().ended)
        self.assertEqual(answer().chunks[-1].decode("utf-8"), 'a["\u2603","' + "y" * 100 + '"]\n')

    def test_infos(self):
        """
        The services differ in what they tell.
        """
        for name in SERVICES:
            facts = self.info(name)
            self.assertEqual(facts["websocket"], name != "disabled_websocket_echo")
            self.assertEqual(facts["cookie_needed"], name == "cookie_needed_echo")

    def test_withoutWebSocket(self):
        """
        C{/disabled_websocket_echo} has neither WebSocket, and echoes.
        """
        for path in ("/disabled_websocket_echo/0/s/websocket", "/disabled_websocket_echo/websocket"):
            self.assertEqual(self.connect().upgrade(path)().code, 404)
        self.answerTo("POST", "/disabled_websocket_echo/0/s/xhr")
        self.post("/disabled_websocket_echo/0/s/xhr_send", "x")
        self.assertEqual(self.answerTo("POST", "/disabled_websocket_echo/0/s/xhr").body, b'a["x"]\n')

    def test_cookie(self):
        """
        C{/cookie_needed_echo} sets the cookie, and echoes.
        """
        answer = self.answerTo("POST", "/cookie_needed_echo/0/s/xhr")
        self.assertEqual(answer.header("set-cookie"), "JSESSIONID=dummy; path=/")
        self.assertIsNone(self.answerTo("POST", "/echo/0/s/xhr").header("set-cookie"))

    def test_close(self):
        """
        C{/close} closes as soon as it opens.
        """
        socket = self.open("close")
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["o", 'c[3000,"Go away!"]'])
        answer = self.answerTo("POST", "/close/0/s/xhr_streaming")
        self.assertEqual(answer.chunks[1:], [b"o\n", b'c[3000,"Go away!"]\n'])

    def test_ticker(self):
        """
        C{/ticker} ticks every second, until the connection ends.
        """
        socket = self.open("ticker")
        self.clock.pump([0.5, 0.5, 0.5, 0.5])
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["o", 'a["tick!"]', 'a["tick!"]'])
        socket.lose()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_amplify(self):
        """
        C{/amplify} answers n with two to the n characters, and all else as if it were 1.
        """
        socket = self.open("amplify")
        for text, size in (
            ("1", 2),
            ("10", 1024),
            ("18", 2**18),
            ("0", 2),
            ("19", 2),
            ("-1", 2),
            ("x", 2),
            ("", 2),
            ("9" * 5000, 2),
        ):
            socket.sendText(json.dumps([text]))
            self.assertEqual(socket.texts()[-1], 'a["' + "x" * size + '"]', text[:10])

    def test_broadcast(self):
        """
        C{/broadcast} sends every message to all that are connected, the sender included, over any transport.
        """
        first, second, gone = (self.open("broadcast") for _ in range(3))
        stream = self.ask("POST", "/broadcast/0/s/xhr_streaming")
        gone.lose()
        self.clock.advance(0)
        first.sendText('"hi"')
        self.clock.advance(0)
        for socket in (first, second):
            self.assertEqual(socket.texts(), ["o", 'a["hi"]'])
        self.assertEqual(stream().chunks[-1], b'a["hi"]\n')

    def test_settings(self):
        """
        Settings hold for all services, but not for what a service is there to show.
        """
        self.serveDemo(heartbeat_delay=7, response_limit=9, transports=["websocket"], cookie_needed=False)
        self.assertEqual({service.options.heartbeat_delay for service in self.services.values()}, {7})
        self.assertEqual(self.services["echo"].options.response_limit, 4096)
        self.assertEqual(self.services["close"].options.transports, ("websocket",))
        self.assertNotIn("websocket", self.services["disabled_websocket_echo"].options.transports)
        self.assertIs(self.services["cookie_needed_echo"].options.cookie_needed, True)

    def test_wrongSetting(self):
        """
        A wrong setting is an error.
        """
        self.assertRaises(ValueError, makeSite, self.clock, nonsense=1)

    def test_ownRoot(self):
        """
        Where the user has a resource for C{/}, the standard services hang below it, and there is neither the page nor
        what belongs to it.
        """
        root = Resource()
        root.putChild(b"", Data(b"home", "text/plain"))
        self.site = makeSite(self.clock, root)
        self.assertEqual(self.site.paths, ["/" + name for name in STANDARD])
        self.assertEqual(set(root.children), {b"", *(name.encode("ascii") for name in STANDARD)})
        self.assertEqual(self.answerTo("GET", "/").body, b"home")
        self.assertEqual(self.answerTo("GET", "/echo").body, b"Welcome to SockJS!\n")

    def test_defaultReactor(self):
        """
        Without a reactor it is the global one.
        """
        self.assertIn(b"ticker", makeSite().resource.children)


class PageTests(DemoCase):
    """
    The page, and what it is made of.
    """

    def policy(self, **settings):
        """
        @return: the directives of the Content-Security-Policy of the page, by name.
        """
        self.serveDemo(**settings)
        header = self.answerTo("GET", "/").header("content-security-policy")
        return {name: sources for name, _, sources in (part.partition(" ") for part in header.split("; "))}

    def test_page(self):
        """
        At C{/} there is a page, which names every service and the URL of the client, escaped.
        """
        self.serveDemo(sockjs_url='/s.js?a=1&b="><script>')
        answer = self.answerTo("GET", "/")
        self.assertEqual((answer.code, answer.header("content-type")), (200, "text/html; charset=UTF-8"))
        page = answer.body.decode("utf-8")
        self.assertIn('data-client="/s.js?a=1&amp;b=&quot;&gt;&lt;script&gt;"', page)
        self.assertNotIn("{{", page)
        for name in SERVICES:
            self.assertIn("/" + name, page)

    def test_files(self):
        """
        Whatever the page and its scripts and styles name is there, with its type, and nothing else of the folder is.
        """
        types = {"css": "text/css; charset=UTF-8", "js": "text/javascript; charset=UTF-8"}
        types["svg"] = "image/svg+xml; charset=UTF-8"
        wanted = set(re.findall(r'(?:href|src)="(demo/[^"]+)"', self.answerTo("GET", "/").body.decode("utf-8")))
        self.assertIn("demo/main.js", wanted)
        seen = set()
        while wanted - seen:
            path = min(wanted - seen)
            seen.add(path)
            answer = self.answerTo("GET", "/" + path)
            self.assertEqual((answer.code, answer.header("content-type")), (200, types[path.rpartition(".")[2]]), path)
            self.assertEqual(answer.header("x-content-type-options"), "nosniff")
            names = re.findall(r'from "\./([^"]+)"', answer.body.decode("utf-8"))
            wanted.update(f"demo/{name}" for name in names)
        shipped = {f"demo/{file.name}" for file in files(demo).joinpath("static").iterdir()} - {"demo/index.html"}
        shipped.update(f"demo/{file.name}" for file in files(txsockjs).joinpath("static").iterdir())
        self.assertEqual(seen, shipped)
        self.assertEqual(self.answerTo("GET", "/demo/index.html").code, 404)

    def test_nothingElsewhere(self):
        """
        No file of the page names a place of somebody else's.
        """
        for file in files(demo).joinpath("static").iterdir():
            addresses = re.findall(r"https?://[^\s\"'`<>]*", file.read_text("utf-8"))
            self.assertLessEqual(set(addresses), {"http://www.w3.org/2000/svg"}, file.name)

    def test_noInlineScript(self):
        """
        The page has neither scripts nor styles nor handlers of its own, which its policy would forbid.
        """
        page = self.answerTo("GET", "/").body.decode("utf-8")
        self.assertEqual(re.findall(r"<style|style=|<script(?![^>]* src=)|\son[a-z]+=", page), [])

    def test_unchanged(self):
        """
        A browser that has the page or a file of it already is told so; one that has another version gets the new one.
        """
        for path in ("/", "/demo/style.css"):
            tag = self.answerTo("GET", path).header("etag")
            for known in (tag, f'"other", W/{tag}'):
                answer = self.answerTo("GET", path, {"If-None-Match": known})
                self.assertEqual((answer.code, answer.body, answer.header("content-type")), (304, b"", None))
                self.assertEqual(answer.header("cache-control"), "no-cache")
            self.assertEqual(self.answerTo("GET", path, {"If-None-Match": '"other"'}).code, 200)
        before = self.answerTo("GET", "/").header("etag")
        self.serveDemo(sockjs_url="/other.js")
        self.assertNotEqual(self.answerTo("GET", "/").header("etag"), before)

    def test_methods(self):
        """
        The page and its files can be looked at, and nothing else.
        """
        for path in ("/", "/demo/main.js"):
            answer = self.answerTo("HEAD", path)
            self.assertEqual((answer.code, answer.body), (200, b""))
            answer = self.answerTo("POST", path, body=b"x")
            self.assertEqual((answer.code, answer.header("allow")), (405, "GET, HEAD"))

    def test_policy(self):
        """
        The page may load scripts from its own origin and the client from where it is, connect to its own origin, and do
        nothing else; no other page may put it into a frame.
        """
        own = "'self'"
        self.assertEqual(
            self.policy(sockjs_url="https://cdn.example/a/sockjs.js"),
            {
                "default-src": "'none'",
                "script-src": "'self' https://cdn.example/a/sockjs.js",
                **dict.fromkeys(("style-src", "img-src", "connect-src", "frame-src", "form-action"), own),
                "base-uri": "'none'",
                "frame-ancestors": "'none'",
            },
        )
        self.assertEqual(self.policy(sockjs_url="/sockjs.js")["script-src"], own)

    def test_policyElsewhere(self):
        """
        Where clients are told to connect elsewhere, the page may do so.
        """
        policy = self.policy(base_url="https://real.example:8443/sockjs", sockjs_url="/sockjs.js")
        expected = "'self' https://real.example:8443 wss://real.example:8443"
        for directive in ("script-src", "connect-src", "frame-src", "form-action"):
            self.assertEqual(policy[directive], expected)
        self.assertEqual(self.policy(base_url="/elsewhere")["connect-src"], "'self'")
        anywhere = self.policy(base_url=lambda request: "https://x.example/")["connect-src"]
        self.assertEqual(anywhere, "'self' http: https: ws: wss:")

    def test_policyElsewhereHosts(self):
        """
        Where the URL of elsewhere has no scheme, each that a page may use is allowed; and the host stays as it is.
        """
        for url, expected in (
            ("http://http.example/x", "http://http.example ws://http.example"),
            ("https://https.example/x", "https://https.example wss://https.example"),
            ("HTTPS://b.example/x", "https://b.example wss://b.example"),
            ("//b.example", "http://b.example https://b.example ws://b.example wss://b.example"),
            (
                "//httpbin.example:81/x",
                "http://httpbin.example:81 https://httpbin.example:81 ws://httpbin.example:81 wss://httpbin.example:81",
            ),
            ("https://[::1]:81/x", "https: wss:"),
            ("//[::1]:81/x", "http: https: ws: wss:"),
            ("https://b..example/x", "https: wss:"),
        ):
            for directive in ("connect-src", "frame-src", "form-action"):
                self.assertEqual(self.policy(base_url=url)[directive], f"'self' {expected}", url)
