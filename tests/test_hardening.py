# -*- test-case-name: tests.test_hardening -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Output that can't be turned against a user: headers, scripts, and what is sent back of a request; with a test for each
flaw that was found in another server.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import json
import random
import re
from importlib.resources import files

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

import txsockjs
from tests.support import UPGRADE, Apps, SiteCase, TextEcho
from tests.wire import HTTPClient, upgradeHeaders
from txsockjs.codec import quote
from txsockjs.factory import SockJSFactory

PLAIN_POLICY = "default-src 'none'; frame-ancestors 'none'"
FRAMED_POLICY = "default-src 'none'"
HTMLFILE_POLICY = "default-src 'none'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

URLS = {
    "/": ("GET", PLAIN_POLICY),
    "/info": ("GET", PLAIN_POLICY),
    "/iframe.html": ("GET", None),
    "/websocket": ("GET", PLAIN_POLICY),
    "/0/1/websocket": ("GET", PLAIN_POLICY),
    "/0/1/xhr": ("POST", PLAIN_POLICY),
    "/0/2/xhr_streaming": ("POST", PLAIN_POLICY),
    "/0/1/xhr_send": ("POST", PLAIN_POLICY),
    "/0/3/eventsource": ("GET", PLAIN_POLICY),
    "/0/4/htmlfile?c=c": ("GET", HTMLFILE_POLICY),
    "/0/5/jsonp?c=c": ("GET", PLAIN_POLICY),
    "/0/5/jsonp_send": ("POST", FRAMED_POLICY),
}
"""Method and Content-Security-Policy of every URL."""

STREAMS = ("xhr_streaming", "eventsource", "htmlfile")

RESTRICTED = {"origins": ["https://*.example.com", "http://localhost:*", "null", "http://[::1]"]}
ANCESTORS = "; frame-ancestors 'self' https://*.example.com http://localhost:*"

HOSTILE = "</script><script>alert(1)</script><!--\u2028\u2029<![CDATA[ ]]> &lt; --> \" ' \\"
"""What would do something in a page, if it was let."""


SPOKEN = (
    "Origin", "Referer", "User-Agent", "Access-Control-Request-Headers", "Access-Control-Request-Method", "Accept",
    "If-None-Match", "X-Forwarded-For", "X-Forwarded-Host", "Content-Type", "Sec-WebSocket-Protocol", "Range",
    "Sec-WebSocket-Extensions", "Sec-Fetch-Site",
)  # fmt: skip
"""Headers by which a request can say anything."""


class HardeningCase(SiteCase):
    """
    What these tests have in common.
    """

    def setUp(self):
        super().setUp()
        self.events = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def assertNothingLogged(self):
        self.assertEqual([event for event in self.events if event["log_level"] > LogLevel.debug], [])

    def policy(self, path, method="GET", **settings):
        """
        @return: the Content-Security-Policy of a URL.
        """
        self.serve(**settings)
        return self.ask(method, path, body=None if method == "GET" else b"[]")().header("content-security-policy")


class HeaderTests(HardeningCase):
    """
    Headers that tell browsers and proxies what an answer is not.
    """

    def assertHardened(self, answer, policy, what):
        self.assertEqual(answer.header("x-content-type-options"), "nosniff", what)
        if policy is None:
            self.assertIn("default-src 'none'; ", answer.header("content-security-policy"), what)
        else:
            self.assertEqual(answer.header("content-security-policy"), policy, what)

    def test_everyAnswer(self):
        """
        Every answer forbids to take it for something else, and forbids it to do anything that it is not there for.
        """
        self.serve(max_body_size=1000)
        for body in (None, b"[]", b"[", b"x" * 1001):
            for path, (method, policy) in URLS.items():
                # A session of its own for each, since polls may wait.
                path = path.replace("/0/", f"/0/{len(body or b'')}")
                self.assertHardened(self.ask(method, path, body=body)(), policy, path)

    def test_refusals(self):
        """
        So do refusals and preflights.
        """
        self.serve()
        for path, (_, policy) in URLS.items():
            for method in ("PUT", "OPTIONS", "HEAD"):
                self.assertHardened(self.ask(method, path)(), policy, (method, path))
        for path in ("/nothing", "/0/1/nothing", "/a.b/c/xhr"):
            self.assertHardened(self.answerTo("GET", path), PLAIN_POLICY, path)
        self.serve(origins=["http://a"])
        for path in ("/info", "/0/1/xhr_streaming", "/websocket"):
            method = URLS.get(path, ("POST",))[0]
            answer = self.answerTo(method, path, {"Origin": "http://b"})
            self.assertEqual(answer.code, 403)
            self.assertHardened(answer, PLAIN_POLICY, path)

    def test_unbuffered(self):
        """
        Streams ask proxies not to hold them back, and nothing else does.
        """
        self.serve()
        for path, (method, _) in URLS.items():
            answer = self.ask(method, path)()
            self.assertEqual(
                answer.header("x-accel-buffering"), "no" if any(name in path for name in STREAMS) else None
            )

    def test_onTheWire(self):
        """
        None of them is there twice.
        """
        self.serve()
        for path, (method, _) in URLS.items():
            connection = self.connect()
            connection.ask(method, path)
            head = connection.transport.value().partition(b"\r\n\r\n")[0].lower()
            for name in (b"x-content-type-options: ", b"content-security-policy: "):
                self.assertEqual(head.count(name), 1, path)


class FramingTests(HardeningCase):
    """
    Which pages may show an answer in a frame.
    """

    def test_everyone(self):
        """
        Where every origin is allowed, any page may show those that are made for frames.
        """
        for path, method in (("/iframe.html", "GET"), ("/0/1/htmlfile?c=c", "GET"), ("/0/1/jsonp_send", "POST")):
            self.assertNotIn("frame-ancestors", self.policy(path, method))

    def test_restricted(self):
        """
        Where they are not, only pages of those origins and of the service's own may, as far as browsers can be told.
        """
        names = ["xhr-polling", "htmlfile", "jsonp-polling", "iframe"]
        for path, method in (("/iframe.html", "GET"), ("/0/1/htmlfile?c=c", "GET"), ("/0/1/jsonp_send", "POST")):
            policy = self.policy(path, method, transports=names, **RESTRICTED)
            self.assertTrue(policy.endswith(ANCESTORS), policy)
            policy = self.policy(path, method, transports=names, origins="same")
            self.assertTrue(policy.endswith("; frame-ancestors 'self'"), policy)

    def test_callable(self):
        """
        What a callable says can't be told before, so who names such a transport lets any page show it.
        """
        self.assertNotIn(
            "frame-ancestors", self.policy("/iframe.html", origins=bool, transports=["websocket", "iframe"])
        )


class IFrameTests(HardeningCase):
    """
    The Content-Security-Policy of the iframe page.
    """

    def sources(self, url):
        """
        @return: what the page may load scripts from, save its own.
        """
        policy = self.policy("/iframe.html", sockjs_url=url)
        found = re.fullmatch(
            "default-src 'none'; script-src 'sha256-([^' ]+)' ([^;]+); connect-src 'self'; frame-src 'self'; "
            "base-uri 'none'; form-action 'none'",
            policy,
        )
        self.assertIsNotNone(found, policy)
        return found[2]

    def test_inlineScript(self):
        """
        The one script in the page is allowed by its digest.
        """
        self.serve()
        answer = self.answerTo("GET", "/iframe.html")
        (script,) = re.findall(b"<script>(.*?)</script>", answer.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script).digest()).decode("ascii")
        self.assertIn(f"script-src 'sha256-{digest}' ", answer.header("content-security-policy"))

    def test_client(self):
        """
        sockjs-client is allowed from just where it is, or from as near as can be said.
        """
        for url, sources in (
            ("/sockjs.js", "'self'"),
            ("sockjs.js?v=1", "'self'"),
            ("https://cdn.example/npm/sockjs-client@1/sockjs.min.js", "https://cdn.example/npm/sockjs-client@1/sockjs.min.js"),
            ("http://127.0.0.1:8080/s.js?a=1&b#c", "http://127.0.0.1:8080/s.js"),
            ("https://user:pass@CDN.example/s.js", "https://cdn.example/s.js"),
            ("//cdn.example:81/s.js", "cdn.example:81/s.js"),
            ("https://cdn.example", "https://cdn.example"),
            ("https://cdn.example/a;b,c'd%20e\"\xe9.js", "https://cdn.example/a%3Bb%2Cc%27d%20e%22%C3%A9.js"),
            ("https://b\xfccher.example/s.js", "https://xn--bcher-kva.example/s.js"),
            ("https://[::1]:8080/s.js", "https:"),
            ("//[::1]:8080/s.js", "http: https:"),
            ("https://a;script-src%20*/s.js", "https:"),
            ("https://[/s.js", "http: https:"),
            ("https://a:99999/s.js", "http: https:"),
            ("https://a..b/s.js", "http: https:"),
            ("data:text/javascript,x;script-src", "data:"),
        ):  # fmt: skip
            self.assertEqual(self.sources(url), sources, url)

    def test_nothingElse(self):
        """
        Whatever the URL is, it adds no directive, leaves its attribute nowhere, and is the same URL when it is read.
        """
        for url in (
            '"><script>alert(1)</script>',
            "';default-src*",
            "https://a/;,'\"<>&",
            "{script}{0}%s",
            "\xe9\u2028;",
        ):
            self.serve(sockjs_url=url)
            answer = self.answerTo("GET", "/iframe.html")
            (source,) = re.findall('<script src="([^"<>]*)"></script>', answer.body.decode("utf-8"))
            self.assertEqual(html.unescape(source), url)
            self.assertEqual(answer.body.count(b"<script"), 2)
            self.assertEqual(answer.header("content-security-policy").count(";"), 5)

    def test_etag(self):
        """
        A browser that has the page with another policy gets it anew.
        """
        etags = set()
        for settings in ({}, {"origins": "same"}, RESTRICTED, {}):
            self.serve(transports=["websocket", "iframe"], **settings)
            answer = self.answerTo("GET", "/iframe.html")
            etags.add(answer.header("etag"))
            again = self.answerTo("GET", "/iframe.html", {"If-None-Match": answer.header("etag")})
            self.assertEqual(again.code, 304)
            self.assertEqual(again.header("content-security-policy"), answer.header("content-security-policy"))
        self.assertEqual(len(etags), 3)


class ScriptTests(HardeningCase):
    """
    Messages within scripts.
    """

    def test_htmlfile(self):
        """
        No message can end or hide the script that it is in.
        """
        self.serve(Apps(TextEcho))
        stream = self.ask("GET", "/0/1/htmlfile?c=c")
        self.post("/0/1/xhr_send", HOSTILE)
        chunk = stream().chunks[-1]
        self.assertTrue(chunk.startswith(b"<script>\np(") and chunk.endswith(b");\n</script>\r\n"), chunk)
        inner = chunk[len(b"<script>\np(") : -len(b");\n</script>\r\n")].decode("utf-8")
        for bad in ("<", "\u2028", "\u2029", "\n"):
            self.assertNotIn(bad, inner)
        self.assertEqual(json.loads(json.loads(inner)[1:]), [HOSTILE])

    def test_jsonp(self):
        """
        Nor can it end the call or the line that it is in.
        """
        self.serve(Apps(TextEcho))
        self.answerTo("GET", "/0/1/jsonp?c=c")
        self.answerTo("POST", "/0/1/jsonp_send", body=json.dumps([HOSTILE]).encode("ascii"))
        body = self.answerTo("GET", "/0/1/jsonp?c=c").body.decode("utf-8")
        self.assertEqual(body, f"/**/c({quote('a' + json.dumps([HOSTILE]).replace('/', '/'))});\r\n")
        self.assertNotIn("\u2028", body)
        self.assertEqual(body.count("\n"), 1)

    def test_closeReason(self):
        """
        The reason with which a session is closed is as harmless.
        """
        self.serve()
        stream = self.ask("GET", "/0/1/htmlfile?c=c")
        self.apps.last.transport.close(3001, "</script><!--")
        self.clock.advance(0)
        self.assertEqual(stream().body.count(b"</script"), stream().body.count(b"<script"))
        self.assertNotIn(b"<!--", stream().body)


class ReflectionTests(HardeningCase):
    """
    What is sent back of a request.
    """

    MARK = "zq<x>'\"&;zq"

    def test_nowhere(self):
        """
        Whatever a request says in whatever place, no answer and no log line holds it as it was.
        """
        mark, quoted = self.MARK, "zq%3Cx%3E'%22&;zq"
        headers = dict.fromkeys(SPOKEN, mark)
        headers["Cookie"] = f"JSESSIONID={mark}"
        for settings in ({}, {"origins": "same", "transports": ["xhr-polling", "htmlfile", "jsonp-polling", "iframe"]}):
            self.serve(cookie_needed=True, **settings)
            for path in (*URLS, "/nothing"):
                for method in ("GET", "POST", "OPTIONS", "PUT"):
                    for target in (path, f"{path}?c={quoted}", f"{path}{quoted}", f"/{quoted}/{quoted}{path[4:]}"):
                        for more in ({}, UPGRADE):
                            connection = self.connect()
                            connection.ask(method, target, {**headers, **more}, mark.encode("ascii"))
                            for told in (b"zq<", b"zq%3C", b"<x>"):
                                self.assertNotIn(told, connection.transport.value(), (method, target))
        self.assertNothingLogged()

    def test_lines(self):
        """
        No line of a request's header becomes a line of an answer's.
        """
        self.serve(cookie_needed=True)
        for path, (method, _) in URLS.items():
            for name in ("Origin", "Access-Control-Request-Headers", "Cookie: JSESSIONID=a\r\nOrigin"):
                for fold in ("\r\n ", "\r\n\t", "\r", "\n", "\r\n"):
                    connection = self.connect()
                    connection.send(
                        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{name}: a{fold}X-Mine: 1\r\n\r\n".encode()
                    )
                    head = connection.transport.value().partition(b"\r\n\r\n")[0]
                    self.assertNotRegex(head, rb"(?im)^x-mine")

    def test_callback(self):
        """
        A callback is a name, or the request is refused with a line that does not tell it.
        """
        self.serve()
        for path in ("/0/1/htmlfile", "/0/2/jsonp"):
            for bad in (
                "%3C",
                "a(",
                "a%3Bb",
                "a%20b",
                "a%0Ab",
                "a=b",
                "a%5B0%5D",
                "%22",
                "'",
                "a%2F",
                "%00",
                "a%E2%80%A8",
                "$",
                "%C3%A9",
            ):
                answer = self.answerTo("GET", f"{path}?c={bad}")
                self.assertEqual((answer.code, answer.body), (500, b'invalid "callback" parameter'), bad)
                self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
            self.assertEqual(self.answerTo("GET", path).body, b'"callback" parameter required')
        self.assertEqual(self.apps.built, [])
        self.assertEqual(self.resource.stats.refused, {"callback": 30})
        self.assertNothingLogged()


class CVE_2014_4671Tests(HardeningCase):
    """
    Rosetta Flash: a Flash film made of letters and digits only, as the callback of a JSONP answer. The browser's
    plugin took the answer for a film of the server's own, which could read everything there with the user's cookies.
    """

    FILM = "CWSMIKI0hCD0Up0IZUnnnnnnnnnnnnnn"

    def test_firstBytes(self):
        """
        No answer of JSONP begins with the callback, or with anything else of the client's choice.
        """
        self.serve()
        for callback in (self.FILM, "FWS", "ZWS" + 29 * "x"):
            answer = self.answerTo("GET", f"/0/{callback}/jsonp?c={callback}")
            self.assertEqual(answer.code, 200)
            self.assertTrue(answer.body.startswith(f"/**/{callback}(".encode("ascii")))
            self.assertEqual(answer.header("x-content-type-options"), "nosniff")
            self.assertEqual(answer.header("content-type"), "application/javascript; charset=UTF-8")

    def test_long(self):
        """
        No film fits into a callback.
        """
        self.serve()
        self.assertEqual(self.answerTo("GET", f"/0/s/jsonp?c={self.FILM}x").code, 500)


class CVE_2020_7693Tests(HardeningCase):
    """
    sockjs-node before 0.3.20: C{Upgrade: websocket} on a URL that does not expect it stopped the whole server.
    """

    METHODS = ("GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "TRACE", "BREW")

    def test_everywhere(self):
        """
        Such a request is answered on every URL, whatever its method, and the next one is too.
        """
        self.serve(Apps(TextEcho))
        for path in (*URLS, "/nothing", "/0/1/nothing", "//", "/a.b/c/websocket"):
            for method in self.METHODS:
                for headers in ({"Upgrade": "websocket"}, {"Upgrade": "websocket", "Connection": "Upgrade"}, UPGRADE):
                    connection = self.connect()
                    connection.ask(method, path.replace("/0/", f"/0/{len(self.connections)}"), headers)
                    (answer,) = connection.answers()
                    upgraded = headers is UPGRADE and method == "GET" and path in ("/websocket", "/0/1/websocket")
                    self.assertEqual(answer.code == 101, upgraded, (method, path))
                    self.assertIn(answer.code, (101, 200, 204, 400, 404, 405, 500), (method, path))
        self.assertEqual(self.answerTo("GET", "/").code, 200)
        self.assertNothingLogged()


class CVE_2020_8823Tests(HardeningCase):
    """
    SockJS before 0.3: the callback of htmlfile went into the page as it was, with any script in it.
    """

    def test_script(self):
        """
        A callback that is more than a name never reaches the page, nor the answer that refuses it.
        """
        self.serve()
        for bad in (
            "%3Cscript%3Ealert(1)%3C/script%3E",
            "</script><script>alert(1)</script>",
            "x%3Balert(1)//",
            "x%0Aalert(1)",
        ):
            for name in ("c", "callback"):
                answer = self.answerTo("GET", f"/0/s/htmlfile?{name}={bad}")
                self.assertEqual((answer.code, answer.body), (500, b'invalid "callback" parameter'))
                self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
                self.assertEqual(answer.header("x-content-type-options"), "nosniff")
        self.assertEqual(self.apps.built, [])

    def test_first(self):
        """
        What is checked is what is used, where the callback is given more than once.
        """
        self.serve()
        for query in ("c=ok&c=<b>", "c=ok&callback=<b>", "callback=ok&callback=<b>"):
            stream = self.ask("GET", f"/0/{len(query)}/htmlfile?{query}")()
            self.assertIn(b"var c = parent.ok;", stream.body)
            self.assertNotIn(b"<b>", stream.body)
        self.assertEqual(self.answerTo("GET", "/0/s/htmlfile?c=<b>&c=ok").code, 500)


class CVE_2026_41838Tests(HardeningCase):
    """
    Spring's WebSocket support: ids of sessions came from a generator whose next numbers can be told from those that
    were seen.
    """

    def ids(self, seed):
        random.seed(seed)
        self.serve()
        for number in range(50):
            self.ask("POST", f"/0/{number}/xhr")
            self.connect().upgrade("/websocket")
        return [protocol.transport.id for protocol in self.apps.built]

    def test_ids(self):
        """
        Ids do not follow from the common generator, are never the same, and have 64 bits or more.
        """
        state = random.getstate()
        self.addCleanup(random.setstate, state)
        ids = self.ids(1) + self.ids(1)
        self.assertEqual(len(set(ids)), 200)
        for one in ids:
            self.assertRegex(one, "^[0-9a-f]{16,}$")
        # Each of 64 places has both bits; that one is the same a hundred times happens once in 2 ** 199.
        numbers = [int(one, 16) for one in ids]
        for bit in range(64):
            self.assertEqual({number >> bit & 1 for number in numbers}, {0, 1})

    def test_entropy(self):
        """
        Neither does the entropy that clients make their ids of.
        """
        state = random.getstate()
        self.addCleanup(random.setstate, state)
        self.serve()
        found = []
        for _ in range(100):
            random.seed(1)
            found.append(json.loads(self.answerTo("GET", "/info").body)["entropy"])
        self.assertGreater(len(set(found)), 90)
        for bit in range(32):
            self.assertEqual({number >> bit & 1 for number in found}, {0, 1})


class SourceTests(SynchronousTestCase):
    """
    CVE-2026-41838 again: what no module of ours uses.
    """

    def modules(self, folder):
        for entry in folder.iterdir():
            if entry.is_dir():
                yield from self.modules(entry)
            elif entry.name.endswith(".py"):
                yield entry

    def test_noPredictableNumbers(self):
        """
        Nothing imports C{random}, or makes ids of clocks and counters by C{uuid}.
        """
        seen = 0
        for module in self.modules(files(txsockjs)):
            seen += 1
            for node in ast.walk(ast.parse(module.read_text("utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [str(node.module)]
                for name in names:
                    self.assertNotIn(name.partition(".")[0], ("random", "uuid"), str(module))
        self.assertGreater(seen, 20)


class RealTests(TestCase):
    """
    Over a real socket.
    """

    async def test_upgrade(self):
        """
        The server lives on after C{Upgrade: websocket} where it does not belong (CVE-2020-7693), and its answers are
        hardened.
        """
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(SockJSFactory(Apps(TextEcho)))
        self.addCleanup(port.stopListening)
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        try:
            for path in ("/", "/info", "/iframe.html", "/0/s/xhr_send", "/0/s/nothing", "/0/s/eventsource"):
                for method in ("GET", "POST", "OPTIONS", "DELETE"):
                    response = await client.request(method, path, upgradeHeaders(), b"")
                    self.assertNotEqual(response.status, 101)
                    self.assertEqual(response.headers.get("X-Content-Type-Options"), "nosniff")
                    self.assertIn("default-src 'none'", response.headers.get("Content-Security-Policy"))
                    response.abort()
            socket = await client.websocket("/websocket")
            socket.sendText("still here")
            self.assertEqual(await socket.message(), "still here")
        finally:
            await client.close()
