# -*- test-case-name: tests.test_origins -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
One origin policy for every transport: L{txsockjs.origins}, L{txsockjs.policy.OriginPolicy}, and what they do to every
URL of a service.
"""

from __future__ import annotations

import json

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import ISSLTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import alsoProvides

from tests.support import UPGRADE, Apps, SiteCase, TextEcho
from tests.wire import HTTPClient, upgradeHeaders
from txsockjs.factory import SockJSFactory
from txsockjs.options import TRANSPORTS
from txsockjs.origins import Origin, Patterns, checkOrigins

OWN = "http://localhost"
APP = "https://app.example"
EVIL = "https://evil.example"

EVERYTHING = (*TRANSPORTS, "iframe")

CORS = {
    "info": ("GET", "/info"),
    "xhr": ("POST", "/0/1/xhr"),
    "xhr_streaming": ("POST", "/0/2/xhr_streaming"),
    "xhr_send": ("POST", "/0/3/xhr_send"),
    "eventsource": ("GET", "/0/4/eventsource"),
}
"""What scripts of other origins reach by requests that need leave."""

UNTOLD = {
    "htmlfile": ("GET", "/0/5/htmlfile?c=c"),
    "jsonp": ("GET", "/0/6/jsonp?c=c"),
    "jsonp_send": ("POST", "/0/6/jsonp_send"),
}
"""What pages of other origins reach without that browsers tell it."""

SOCKETS = {"websocket": ("GET", "/0/7/websocket"), "websocket-raw": ("GET", "/websocket")}

URLS = {**CORS, **UNTOLD, **SOCKETS}


def saying(answer):
    """
    @return: a policy that gives this answer to everybody.
    """
    return lambda origin, request: answer


class OriginTests(SynchronousTestCase):
    """
    L{Origin}.
    """

    def test_parse(self):
        """
        An origin is scheme, host and port in any case; the port of a scheme that is known need not be there.
        """
        for text, origin in (
            ("https://Example.COM", ("https", "example.com", 443)),
            ("HTTP://example.com", ("http", "example.com", 80)),
            ("http://example.com:80", ("http", "example.com", 80)),
            ("https://a_b.example.com:8443", ("https", "a_b.example.com", 8443)),
            ("http://[::1]:8081", ("http", "[::1]", 8081)),
            ("http://127.0.0.1", ("http", "127.0.0.1", 80)),
            ("moz-extension://0a1b-2c", ("moz-extension", "0a1b-2c", None)),
            ("capacitor://localhost", ("capacitor", "localhost", None)),
        ):
            self.assertEqual(Origin.parse(text), origin)

    def test_noOrigin(self):
        """
        C{null} and whatever is no origin is none.
        """
        for text in (
            "null", "", "example.com", "//example.com", "https:example.com", "https://", "https://example.com/",
            "https://example.com/x", "https://user@example.com", "https://example.com:", "https://example.com:x",
            "https://example.com:123456", "https://ex ample.com", "https://example.com, https://b", "https://.example",
            "https://-.example", "https://example.com.", "https://b\xfccher.example", "https://*.example.com", "https://[",
            "https://[::1", " https://example.com", "https://example.com\n", "https://example.com\0", "1://example.com",
            "https://example.com?", "https://example.com#", "https://example.com\\x", "file://",
        ):  # fmt: skip
            self.assertIsNone(Origin.parse(text), text)

    def test_own(self):
        """
        The server's own origin is of the host and port that the request names, in any case.
        """
        for text, authority in (
            ("http://example.com", "example.com"),
            ("http://example.com", "EXAMPLE.com:80"),
            ("http://example.com:8081", "example.com:8081"),
            ("http://[::1]:8081", "[::1]:8081"),
            ("http://[2001:db8::A]", "[2001:DB8::a]"),
            ("http://127.0.0.1:8081", "127.0.0.1:8081"),
        ):
            self.assertTrue(Origin.parse(text).isOf(authority, False), text)

    def test_notOwn(self):
        """
        Another host, another port, another scheme than those of the web, or a request that names no host: it is not.
        """
        for text, authority in (
            ("http://example.com", "a.example.com"),
            ("http://a.example.com", "example.com"),
            ("http://example.com", "example.com.evil.example"),
            ("http://example.com", "example.com:8081"),
            ("http://example.com:8081", "example.com"),
            ("http://example.com:8081", "example.com:8082"),
            ("http://localhost:8081", "127.0.0.1:8081"),
            ("http://[::1]", "[::2]"),
            ("http://example.com", ""),
            ("http://example.com", "example.com, example.com"),
            ("http://example.com", "user@example.com"),
            ("http://example.com", "*"),
            ("capacitor://example.com", "example.com"),
            ("capacitor://example.com:80", "example.com:80"),
        ):
            for secure in (False, True):
                self.assertFalse(Origin.parse(text).isOf(authority, secure), (text, authority))

    def test_tls(self):
        """
        Over TLS an origin without is another one.
        """
        self.assertTrue(Origin.parse("https://example.com").isOf("example.com", True))
        self.assertTrue(Origin.parse("https://example.com:8443").isOf("example.com:8443", True))
        self.assertFalse(Origin.parse("http://example.com").isOf("example.com", True))
        self.assertFalse(Origin.parse("http://example.com:443").isOf("example.com:443", True))

    def test_tlsEndsBefore(self):
        """
        Where a proxy ends TLS the request looks as if there was none; the ports are compared by the origin's scheme.
        """
        self.assertTrue(Origin.parse("https://example.com").isOf("example.com", False))
        self.assertTrue(Origin.parse("https://example.com").isOf("example.com:443", False))
        self.assertTrue(Origin.parse("https://example.com:8443").isOf("example.com:8443", False))
        self.assertFalse(Origin.parse("https://example.com").isOf("example.com:80", False))
        self.assertFalse(Origin.parse("https://example.com:8443").isOf("example.com", False))


class PatternTests(SynchronousTestCase):
    """
    L{Patterns}: lists of origins.
    """

    def allowed(self, pattern, origins):
        return [text for text in origins if Patterns([pattern]).allow(text, "own.example", False)]

    def test_exact(self):
        """
        An origin stands for itself, in any case, with the port of its scheme or without.
        """
        for pattern in ("https://example.com", "HTTPS://Example.com:443"):
            self.assertEqual(
                self.allowed(
                    pattern,
                    ["https://example.com", "https://EXAMPLE.com", "https://example.com:443", "http://example.com",
                     "https://example.com:8443", "https://a.example.com", "https://example.com.evil", "null", "",
                     "https://evilexample.com", "https://own.example", "https://example.com/"],
                ),
                ["https://example.com", "https://EXAMPLE.com", "https://example.com:443"],
            )  # fmt: skip

    def test_subdomains(self):
        """
        C{*.} stands for one or more names before a host, and not for none.
        """
        self.assertEqual(
            self.allowed(
                "https://*.example.com",
                ["https://a.example.com", "https://b.a.example.com", "https://example.com", "https://evilexample.com",
                 "https://a.example.com.evil", "http://a.example.com", "https://a.example.com:8443", "https://.example.com"],
            ),
            ["https://a.example.com", "https://b.a.example.com"],
        )  # fmt: skip

    def test_anyHost(self):
        """
        C{*} stands for any host of a scheme.
        """
        self.assertEqual(
            self.allowed("https://*", ["https://a", "https://b.c", "https://[::1]", "http://a", "https://a:1", "null"]),
            ["https://a", "https://b.c", "https://[::1]"],
        )

    def test_anyPort(self):
        """
        C{:*} stands for any port.
        """
        self.assertEqual(
            self.allowed("http://localhost:*", ["http://localhost", "http://localhost:1", "https://localhost", "http://a"]),
            ["http://localhost", "http://localhost:1"],
        )  # fmt: skip
        self.assertEqual(
            self.allowed("http://[::1]:*", ["http://[::1]:8081", "http://[::2]:8081"]), ["http://[::1]:8081"]
        )

    def test_otherPort(self):
        """
        A port that is named is the only one.
        """
        self.assertEqual(
            self.allowed("example.com:8443", ["https://example.com:8443", "http://example.com:8443", "https://example.com"]),
            ["https://example.com:8443", "http://example.com:8443"],
        )  # fmt: skip

    def test_anyScheme(self):
        """
        Without a scheme those of the web are meant, and C{*} stands for any scheme.
        """
        origins = ["https://localhost", "http://localhost", "capacitor://localhost", "capacitor://a"]
        self.assertEqual(self.allowed("localhost", origins), ["https://localhost", "http://localhost"])
        self.assertEqual(self.allowed("*://localhost", origins), origins[:3])
        self.assertEqual(self.allowed("capacitor://localhost", origins), ["capacitor://localhost"])
        self.assertEqual(self.allowed("capacitor://*", origins), ["capacitor://localhost", "capacitor://a"])

    def test_null(self):
        """
        C{null} is allowed by its name only.
        """
        self.assertEqual(self.allowed("null", ["null", "http://null", "NULL"]), ["null"])
        self.assertEqual(self.allowed("*://*:*", ["null", "http://a:1"]), ["http://a:1"])

    def test_same(self):
        """
        C{same} can be one of a list.
        """
        patterns = Patterns(["https://a", "same"])
        for text, allowed in (("https://a", True), ("http://own.example", True), ("http://b", False), ("null", False)):
            self.assertIs(patterns.allow(text, "own.example", False), allowed)
        self.assertFalse(patterns.allow("http://own.example", "own.example", True))

    def test_sources(self):
        """
        A Content-Security-Policy says the same, as far as it can.
        """
        for pattern, sources in (
            ("https://example.com", ["https://example.com"]),
            ("https://*.Example.com:8443", ["https://*.example.com:8443"]),
            ("http://localhost:*", ["http://localhost:*"]),
            ("example.com", ["http://example.com", "https://example.com"]),
            ("*://example.com:1", ["http://example.com:1", "https://example.com:1"]),
            ("https://*", ["https://*"]),
            ("capacitor://localhost", ["capacitor://localhost"]),
            ("same", ["'self'"]),
            ("null", []),
            ("http://[::1]:8081", []),
        ):
            self.assertEqual(Patterns([pattern]).sources(), sources, pattern)
        self.assertEqual(Patterns(["http://a", "same", "http://b"]).sources(), ["'self'", "http://a", "http://b"])


class CheckTests(SynchronousTestCase):
    """
    L{checkOrigins}: what the option takes. What it refuses is in C{tests.test_options}.
    """

    def test_kept(self):
        """
        The words and callables are kept as they are, lists as tuples, and C{*} alone in a list is that word.
        """
        for value, kept in (
            ("*", "*"),
            ("same", "same"),
            (["*"], "*"),
            (["same"], ("same",)),
            (iter(["https://a", "null"]), ("https://a", "null")),
            (checkOrigins, checkOrigins),
        ):
            self.assertEqual(checkOrigins(value), kept)


class PolicyCase(SiteCase):
    """
    What tests of a whole service have in common.
    """

    def ask(self, method, path, headers=None, *args, **kwargs):
        """
        As L{SiteCase.ask}; a WebSocket's URL gets a handshake.
        """
        if path.endswith("websocket"):
            headers = {**UPGRADE, **(headers or {})}
        if path.endswith("_send") and not args:
            kwargs.setdefault("body", b'["x"]')
        return super().ask(method, path, headers, *args, **kwargs)

    def codes(self, urls=URLS, headers=None, **settings):
        """
        @return: the codes of C{urls} of a fresh service.
        """
        self.serve(**settings)
        return {name: self.ask(method, path, headers)().code for name, (method, path) in urls.items()}

    def assertRefused(self, answer, what=None):
        """
        Assert that an answer is the refusal of an origin.
        """
        self.assertEqual((answer.code, answer.body), (403, b"This origin is not allowed\n"), what)
        self.assertTrue(answer.ended)
        self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
        self.assertEqual(answer.header("vary"), "Origin")
        self.assertIn("no-store", answer.header("cache-control"))
        self.assertSilent(answer, what)

    def assertSilent(self, answer, what=None):
        """
        Assert that an answer does not speak of CORS.
        """
        names = [name.lower() for name, _ in answer.headers.getAllRawHeaders()]
        self.assertEqual([name for name in names if name.startswith(b"access-control-")], [], what)

    @property
    def refused(self):
        return self.resource._service.registry.stats.refused["origin"]


class RefusalTests(PolicyCase):
    """
    Origins that are not allowed.
    """

    def test_everywhere(self):
        """
        Such an origin gets 403 on every URL, before anything else is looked at, and nothing comes to be.
        """
        for origins in ("same", [APP], ["same", APP], lambda origin, request: origin != EVIL):
            self.serve(origins=origins, transports=EVERYTHING, max_body_size=10)
            for number, (name, (method, path)) in enumerate(URLS.items(), 1):
                self.assertRefused(self.answerTo(method, path, {"Origin": EVIL}), name)
                self.assertEqual(self.refused, number)
            self.assertEqual(self.apps.built, [])
            self.assertEqual(len(self.resource._service.registry), 0)

    def test_preflight(self):
        """
        A preflight is refused in the same way.
        """
        self.serve(origins=[APP])
        asked = {"Origin": EVIL, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a"}
        for path in ("/info", "/0/1/xhr", "/0/1/xhr_streaming", "/0/1/xhr_send"):
            self.assertRefused(self.answerTo("OPTIONS", path, asked), path)
        self.assertEqual(self.refused, 4)

    def test_first(self):
        """
        The refusal comes before those of large bodies, of bad callbacks, of bad handshakes and of sessions.
        """
        self.serve(origins=[APP], transports=EVERYTHING, max_body_size=10, max_sessions=1)
        self.ask("POST", "/0/1/xhr_streaming")
        evil = {"Origin": EVIL}
        for method, path in (("POST", "/0/2/xhr"), ("POST", "/0/1/xhr_send"), ("GET", "/websocket")):
            self.assertRefused(self.answerTo(method, path, evil, b"x" * 11), path)
        self.assertRefused(self.answerTo("GET", "/0/3/htmlfile?c=<", evil))
        self.assertRefused(self.answerTo("GET", "/0/4/websocket", {"Origin": EVIL, "Sec-WebSocket-Version": "8"}))

    def test_sessionGoesOn(self):
        """
        A session is not disturbed by another origin that knows its id: neither by what it sends nor as a receiver.
        """
        self.serve(Apps(TextEcho), origins=[APP])
        receiving = self.ask("POST", "/0/1/xhr_streaming", {"Origin": APP})
        self.assertRefused(self.answerTo("POST", "/0/1/xhr_streaming", {"Origin": EVIL}))
        self.assertRefused(self.answerTo("POST", "/0/1/xhr_send", {"Origin": EVIL}, b'["evil"]'))
        self.assertEqual(self.answerTo("POST", "/0/1/xhr_send", {"Origin": APP}, b'["app"]').code, 204)
        self.assertEqual(receiving().chunks[1:], [b"o\n", b'a["app"]\n'])

    def test_odd(self):
        """
        What no browser sends as an origin is not allowed, whatever may be; a callable is not asked.
        """
        for origins in (["*://*:*", "same", "null"], saying(True)):
            for odd in (
                "",
                " ",
                "a b",
                "\xe9",
                "https://a\x7f",
                'https://a"',
                "https://a, https://b",
                "https://a;",
                "<b>",
            ):
                self.assertEqual(set(self.codes(CORS, {"Origin": odd}, origins=origins).values()), {403}, odd)

    def test_two(self):
        """
        Neither are two.
        """
        for lines in ((EVIL, APP), (APP, EVIL), (APP, APP)):
            self.serve(origins=[APP])
            connection = self.connect()
            connection.expect("GET")
            head = "".join(f"Origin: {origin}\r\n" for origin in lines)
            connection.send(f"GET /info HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
            (answer,) = connection.answers()
            self.assertRefused(answer)

    def test_otherPages(self):
        """
        What is the same for everybody stays open: the greeting, and the iframe page where it is on.
        """
        self.serve(origins=[APP], transports=EVERYTHING)
        for path in ("/", "/iframe.html"):
            self.assertEqual(self.answerTo("GET", path, {"Origin": EVIL}).code, 200)


class AllowedTests(PolicyCase):
    """
    Origins that are allowed.
    """

    OK = {
        "info": 200, "xhr": 200, "xhr_streaming": 200, "xhr_send": 404, "eventsource": 200, "htmlfile": 200,
        "jsonp": 200, "jsonp_send": 200, "websocket": 101, "websocket-raw": 101,
    }  # fmt: skip

    def test_everywhere(self):
        """
        Such an origin gets through on every URL.
        """
        for origins, origin in (("*", EVIL), ("same", OWN), ([APP], APP), (saying(True), EVIL)):
            self.assertEqual(
                self.codes(URLS, {"Origin": origin}, origins=origins, transports=EVERYTHING), self.OK, origins
            )
            self.assertEqual(self.refused, 0)

    def test_cors(self):
        """
        It may read the answers by its name, with credentials, C{null} included, and on eventsource too.
        """
        for origins in ([APP, "null"], saying(True)):
            for origin in (APP, "null"):
                self.serve(origins=origins)
                for name, (method, path) in CORS.items():
                    answer = self.ask(method, path, {"Origin": origin})()
                    self.assertEqual(answer.header("access-control-allow-origin"), origin, name)
                    self.assertEqual(answer.header("access-control-allow-credentials"), "true", name)
                    self.assertEqual(answer.header("vary"), "Origin", name)

    def test_preflight(self):
        """
        A preflight of it is answered as where every origin is allowed.
        """
        self.serve(origins=[APP])
        for path in ("/info", "/0/1/xhr_send"):
            answer = self.answerTo("OPTIONS", path, {"Origin": APP, "Access-Control-Request-Headers": "x-a"})
            self.assertEqual(answer.code, 204)
            self.assertEqual(answer.header("access-control-allow-origin"), APP)
            self.assertEqual(answer.header("access-control-allow-headers"), "x-a")
            self.assertEqual(answer.header("access-control-max-age"), "31536000")
            self.assertEqual(answer.header("vary"), "Origin")

    def test_neverBoth(self):
        """
        No answer lets in everybody and takes credentials.
        """
        for origins in ("*", "same", [APP, "null"], saying(True)):
            for origin in (None, "null", APP, OWN, "", "a b"):
                self.serve(origins=origins)
                for method, path in [*CORS.values(), ("OPTIONS", "/info"), ("OPTIONS", "/0/1/xhr")]:
                    answer = self.ask(method, path, {} if origin is None else {"Origin": origin})()
                    if answer.header("access-control-allow-credentials") is not None:
                        self.assertEqual(answer.header("access-control-allow-origin"), origin)

    def test_oddOrigin(self):
        """
        Where every origin is allowed, what no browser sends as one is not sent back: it counts as none.
        """
        for odd in ("a b", "\xe9", 'https://a"', "https://a, https://b", "a;b", "<script>"):
            self.serve()
            for name, (method, path) in CORS.items():
                answer = self.ask(method, path, {"Origin": odd})()
                self.assertEqual(answer.header("access-control-allow-origin"), "*", name)
                self.assertIsNone(answer.header("access-control-allow-credentials"), name)

    def test_overTLS(self):
        """
        Over TLS the service's own origin is one with TLS.
        """
        self.serve(origins="same")
        for origin, code in (("https://localhost", 200), ("http://localhost", 403)):
            connection = self.connect()
            alsoProvides(connection.transport, ISSLTransport)
            self.assertEqual(connection.ask("GET", "/info", {"Origin": origin})().code, code)

    def test_behindProxy(self):
        """
        Behind a proxy that ends TLS and leaves C{Host} as it is, pages of its origin are the service's own.
        """
        self.serve(origins="same")
        for host, origin, code in (
            ("Chat.example", "https://chat.example", 200),
            ("chat.example:8443", "https://chat.example:8443", 200),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443", 200),
            ("127.0.0.1:8081", "https://chat.example", 403),
        ):
            self.assertEqual(self.answerTo("GET", "/info", {"Host": host, "Origin": origin}).code, code, host)

    def test_noHost(self):
        """
        A request that does not say to whom it goes is of no origin.
        """
        self.serve(origins="same")
        connection = self.connect()
        connection.expect("GET")
        connection.send(b"GET /info HTTP/1.0\r\nOrigin: http://localhost\r\n\r\n")
        (answer,) = connection.answers()
        self.assertEqual(answer.code, 403)


class WithoutOriginTests(PolicyCase):
    """
    Requests without C{Origin}.
    """

    def test_allowed(self):
        """
        A program that is no browser, or a browser on the service's own page, is let in; none is told of CORS.
        """
        for origins in ("same", [APP]):
            for site in (None, "same-origin", "none"):
                self.serve(origins=origins, transports=EVERYTHING)
                for name, (method, path) in URLS.items():
                    answer = self.ask(method, path, {} if site is None else {"Sec-Fetch-Site": site})()
                    self.assertEqual(answer.code, AllowedTests.OK[name], name)
                    self.assertSilent(answer, name)
                    if name in CORS:
                        self.assertEqual(answer.header("vary"), "Origin")

    def test_foreign(self):
        """
        A browser that says that the page is another's is refused, save where it never tells more.
        """
        for origins in ("same", [APP]):
            for site in ("cross-site", "same-site"):
                codes = self.codes(headers={"Sec-Fetch-Site": site}, origins=origins, transports=EVERYTHING)
                for name, code in codes.items():
                    self.assertEqual(code, AllowedTests.OK[name] if name in UNTOLD else 403, name)
                self.assertEqual(self.refused, len(URLS) - len(UNTOLD))

    def test_everyone(self):
        """
        Where every origin is allowed it does not matter.
        """
        self.assertEqual(self.codes(headers={"Sec-Fetch-Site": "cross-site"}), AllowedTests.OK)

    def test_originCounts(self):
        """
        Where the origin is told, that alone counts.
        """
        headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
        self.assertEqual(self.codes(headers=headers, origins=[APP], transports=EVERYTHING), AllowedTests.OK)


class CallableTests(PolicyCase):
    """
    A callable as the option C{origins}.
    """

    def test_asked(self):
        """
        It is asked with the origin as text, or L{None}, and the request, once for each.
        """
        asked = []

        def allow(origin, request):
            asked.append((origin, request.uri))
            return True

        for origin in (APP, None, "null"):
            self.codes(URLS, {} if origin is None else {"Origin": origin}, origins=allow, transports=EVERYTHING)
            self.assertEqual(asked, [(origin, path.encode("ascii")) for _, path in URLS.values()])
            asked.clear()

    def test_decides(self):
        """
        What it says counts, also where no origin is told.
        """
        for headers in ({}, {"Origin": APP}):
            for answer in (False, None, 0, ""):
                codes = self.codes(headers=headers, origins=saying(answer), transports=EVERYTHING)
                self.assertEqual(set(codes.values()), {403})
            for answer in (True, 1, "yes"):
                codes = self.codes(headers=headers, origins=saying(answer), transports=EVERYTHING)
                self.assertEqual(codes, AllowedTests.OK)

    def test_fails(self):
        """
        When it fails the origin is refused, and the failure is logged once.
        """

        def fail(origin, request):
            raise KeyError(origin)

        self.serve(origins=fail, transports=EVERYTHING)
        for name, (method, path) in URLS.items():
            self.assertRefused(self.answerTo(method, path, {"Origin": APP}), name)
            self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_late(self):
        """
        It has to answer at once: what would come later is no leave, and is logged.
        """

        async def allow(origin, request):
            return True

        coroutines = []

        def start(origin, request):
            coroutines.append(allow(origin, request))
            return coroutines[-1]

        for origins in (start, lambda origin, request: Deferred()):
            self.serve(origins=origins)
            self.assertRefused(self.answerTo("GET", "/info", {"Origin": APP}))
            self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        for coroutine in coroutines:
            coroutine.close()


class WhatIsOnTests(PolicyCase):
    """
    What is not there where origins are restricted.
    """

    def test_off(self):
        """
        The iframe page and the transports that carry no origin are not found, and the info tells.
        """
        for origins in ("same", [APP], saying(True)):
            self.serve(origins=origins)
            for method, path in [*UNTOLD.values(), ("GET", "/iframe.html"), ("GET", "/iframe-1.2.html")]:
                self.assertEqual(self.answerTo(method, path, {"Origin": OWN}).code, 404, path)
            facts = json.loads(self.answerTo("GET", "/info").body)
            self.assertEqual(
                facts["transports"], [name for name in TRANSPORTS if not name.startswith(("html", "json"))]
            )

    def test_named(self):
        """
        Each is there when it is named.
        """
        for name, method, path in (
            ("htmlfile", "GET", "/0/1/htmlfile?c=c"),
            ("jsonp-polling", "GET", "/0/1/jsonp?c=c"),
            ("iframe", "GET", "/iframe.html"),
        ):
            for origins in ("same", [APP], saying(True)):
                self.serve(origins=origins, transports=["xhr-polling", name])
                self.assertEqual(self.ask(method, path)().code, 200, name)
                facts = json.loads(self.answerTo("GET", "/info").body)
                self.assertNotIn("iframe", facts["transports"])

    def test_everyone(self):
        """
        Where every origin is allowed the iframe page is there, whatever transports are named.
        """
        for transports in (["xhr-polling"], ["xhr-polling", "iframe"], TRANSPORTS):
            self.serve(transports=transports)
            self.assertEqual(self.answerTo("GET", "/iframe.html").code, 200)

    def test_iframeIsOwn(self):
        """
        Where the iframe page is named in a list's company, the service's own origin is allowed: all that the page
        sends is of that.
        """
        self.assertEqual(set(self.codes(CORS, {"Origin": OWN}, origins=[APP]).values()), {403})
        codes = self.codes(CORS, {"Origin": OWN}, origins=[APP], transports=EVERYTHING)
        self.assertEqual(codes, {name: AllowedTests.OK[name] for name in CORS})
        self.assertEqual(set(self.codes(CORS, {"Origin": EVIL}, origins=[APP], transports=EVERYTHING).values()), {403})


class DisableCORSTests(PolicyCase):
    """
    The option C{disable_cors}.
    """

    def test_silent(self):
        """
        Nothing is said of CORS on any answer, which still varies by origin where it did.
        """
        for origins in ("*", [OWN]):
            for headers in ({}, {"Origin": OWN, "Access-Control-Request-Headers": "x-a"}):
                self.serve(origins=origins, disable_cors=True, transports=EVERYTHING)
                for name, (method, path) in URLS.items():
                    answer = self.ask(method, path, headers)()
                    self.assertEqual(answer.code, AllowedTests.OK[name], name)
                    self.assertSilent(answer, name)
                    if name in CORS:
                        self.assertEqual(answer.header("vary"), "Origin", name)

    def test_preflight(self):
        """
        A preflight is answered, and allows nothing.
        """
        self.serve(disable_cors=True)
        for path in ("/info", "/0/1/xhr", "/0/1/xhr_send"):
            answer = self.answerTo("OPTIONS", path, {"Origin": APP, "Access-Control-Request-Headers": "x-a"})
            self.assertEqual((answer.code, answer.body), (204, b""))
            self.assertSilent(answer, path)

    def test_refused(self):
        """
        Origins are refused all the same.
        """
        self.serve(origins=[APP], disable_cors=True)
        for method, path in CORS.values():
            self.assertRefused(self.answerTo(method, path, {"Origin": EVIL}), path)


class RealTests(TestCase):
    """
    Over a real socket.
    """

    async def test_policy(self):
        """
        Pages of one origin talk to the service by HTTP and WebSocket; others are refused before the upgrade.
        """
        apps = Apps(TextEcho)
        site = SockJSFactory(apps, origins=["https://*.app.example", "same"])
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site)
        self.addCleanup(port.stopListening)
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        own = f"http://127.0.0.1:{port.getHost().port}"
        try:
            for origin in (EVIL, "https://app.example", "null", "http://127.0.0.1:1"):
                for path in ("/websocket", "/0/s/websocket"):
                    response, _ = await client.fetch("GET", path, [*upgradeHeaders(), ("Origin", origin)])
                    self.assertEqual(response.status, 403)
                for method, path in (("GET", "/info"), ("OPTIONS", "/info"), ("POST", "/0/s/xhr")):
                    response, _ = await client.fetch(method, path, [("Origin", origin)])
                    self.assertEqual(response.status, 403)
                    self.assertNotIn("Access-Control-Allow-Origin", response.headers)
            self.assertEqual(apps.built, [])
            for origin in ("https://a.app.example", own):
                socket = await client.websocket("/websocket", [("Origin", origin)])
                socket.sendText("hello")
                self.assertEqual(await socket.message(), "hello")
                response, body = await client.fetch("POST", f"/0/{len(origin)}/xhr", [("Origin", origin)])
                self.assertEqual((response.status, body), (200, b"o\n"))
                self.assertEqual(response.headers.get("Access-Control-Allow-Origin"), origin)
        finally:
            await client.close()
