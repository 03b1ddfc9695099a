# -*- test-case-name: tests.test_answers -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.transports.answers}: headers and short answers, as they go over the wire.
"""

from __future__ import annotations

from twisted.logger import globalLogPublisher
from twisted.web.http import stringToDatetime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.support import SiteCase
from txsockjs.options import Options
from txsockjs.policy import OriginPolicy
from txsockjs.transports.answers import (
    HTML,
    SAFE,
    Leaf,
    NotFound,
    allowOrigin,
    allowPreflight,
    cacheForAYear,
    confined,
    finishEmpty,
    forbidCaching,
    plainText,
    setHeaders,
    setSessionCookie,
)

YEAR = 31536000


class Page(Leaf):
    """
    A URL with the methods of most.
    """

    def answer(self, request):
        request.setHeader(b"content-type", HTML)
        return b"page"


class Late(Resource):
    """
    Keeps requests waiting, as a slow login does.
    """

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.waiting = []

    def render(self, request):
        self.waiting.append(request)
        return NOT_DONE_YET


class AnswersCase(SiteCase):
    """
    What these tests have in common.
    """

    def answerOf(self, function, method="GET", headers=None, **kwargs):
        """
        @return: the answer of a URL whose C{answer} is C{function}.
        """

        class One(Leaf):
            methods = (method.encode("ascii"),)

            def answer(self, request):
                return function(request) or b"body"

        self.serveTree(One())
        return self.answerTo(method, "/", headers, **kwargs)


class CachingTests(AnswersCase):
    """
    L{forbidCaching} and L{cacheForAYear}.
    """

    def test_forbid(self):
        """
        An answer that nobody may keep says so in one header, and has no date by which it could be kept.
        """
        answer = self.answerOf(forbidCaching)
        self.assertEqual(answer.header("cache-control"), "no-store, no-cache, no-transform, must-revalidate, max-age=0")
        self.assertIsNone(answer.header("expires"))
        self.assertIsNone(answer.header("last-modified"))

    def test_year(self):
        """
        An answer that everybody may keep does so for a year from now, by the clock of the service.
        """
        self.clock.advance(1500000000)
        answer = self.answerOf(lambda request: cacheForAYear(request, self.clock))
        self.assertEqual(answer.header("cache-control"), f"public, max-age={YEAR}")
        self.assertEqual(stringToDatetime(answer.header("expires").encode("ascii")), 1500000000 + YEAR)
        self.assertIsNone(answer.header("last-modified"))


class OriginTests(AnswersCase):
    """
    L{allowOrigin} and L{allowPreflight}.
    """

    def allowed(self, headers=None, nullIsAnyone=False, **settings):
        policy = OriginPolicy(Options(**settings))
        return self.answerOf(lambda request: allowOrigin(request, policy, nullIsAnyone), headers=headers)

    def assertAllows(self, answer, origin, credentials, headers=None):
        self.assertEqual(answer.header("access-control-allow-origin"), origin)
        self.assertEqual(answer.header("access-control-allow-credentials"), credentials)
        self.assertEqual(answer.header("access-control-allow-headers"), headers)
        self.assertEqual(answer.header("vary"), "Origin")

    def test_none(self):
        """
        Without an origin, or with an empty one, anyone may read the answer, but without credentials.
        """
        self.assertAllows(self.allowed(), "*", None)
        self.assertAllows(self.allowed({"Origin": ""}), "*", None)

    def test_some(self):
        """
        An origin is answered with itself and may send credentials, and so is C{null}.
        """
        for origin in ("http://a.example:8080", "null"):
            self.assertAllows(self.allowed({"Origin": origin}), origin, "true")

    def test_restricted(self):
        """
        Where not all are allowed, only an origin is answered, and only with itself.
        """
        self.assertAllows(self.allowed(origins=["http://a"]), None, None)
        self.assertAllows(self.allowed({"Origin": "http://a"}, origins=["http://a"]), "http://a", "true")
        self.assertAllows(self.allowed({"Origin": "null"}, True, origins=["null"]), "null", "true")

    def test_silent(self):
        """
        Where CORS is off there is nothing but C{Vary}.
        """
        headers = {"Origin": "http://a", "Access-Control-Request-Headers": "x-a"}
        self.assertAllows(self.allowed(headers, disable_cors=True), None, None)

    def test_nullIsAnyone(self):
        """
        Where C{null} is to be anyone it is, and other origins are still themselves.
        """
        self.assertAllows(self.allowed({"Origin": "null"}, True), "*", None)
        self.assertAllows(self.allowed({"Origin": "https://b"}, True), "https://b", "true")

    def test_headers(self):
        """
        The headers that a browser asks for are allowed; none are where it asks for none, or for what is no header.
        """
        for asked, allowed in (
            ("a, b", "a, b"),
            ("X-Tag", "X-Tag"),
            ("", None),
            ("<script>", None),
            ("a; b", None),
            ("a: b", None),
            ("\xe9", None),
            ('"a"', None),
        ):
            answer = self.allowed({"Access-Control-Request-Headers": asked})
            self.assertAllows(answer, "*", None, allowed)

    def test_preflight(self):
        """
        A preflight is answered without a body, by all that the browser may do for a year.
        """
        answer = self.answerOf(
            lambda request: allowPreflight(request, b"POST", OriginPolicy(Options()), self.clock),
            "OPTIONS",
            {"Origin": "http://a", "Access-Control-Request-Headers": "x-tag"},
        )
        self.assertEqual(answer.code, 204)
        self.assertAllows(answer, "http://a", "true", "x-tag")
        self.assertEqual(answer.header("access-control-allow-methods"), "OPTIONS, POST")
        self.assertEqual(answer.header("access-control-max-age"), str(YEAR))
        self.assertEqual(answer.header("cache-control"), f"public, max-age={YEAR}")
        self.assertEqual(stringToDatetime(answer.header("expires").encode("ascii")), YEAR)
        self.assertIsNone(answer.header("content-length"))


class ConfinementTests(AnswersCase):
    """
    L{confined} and L{setHeaders}.
    """

    def test_safe(self):
        """
        What is no page may do nothing in a browser, and is nothing else than it says.
        """
        answer = self.answerOf(lambda request: setHeaders(request, SAFE))
        self.assertEqual(answer.header("x-content-type-options"), "nosniff")
        self.assertEqual(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'")

    def test_directives(self):
        """
        More can be allowed, and any page can be let show the answer in a frame, or some.
        """
        for headers, policy in (
            (confined(""), "default-src 'none'"),
            (confined("", "script-src 'self'"), "default-src 'none'; script-src 'self'"),
            (confined("'self' http://a"), "default-src 'none'; frame-ancestors 'self' http://a"),
        ):
            answer = self.answerOf(lambda request, headers=headers: setHeaders(request, headers))
            self.assertEqual(answer.header("content-security-policy"), policy)


class CookieTests(AnswersCase):
    """
    L{setSessionCookie}.
    """

    def cookie(self, needed, sent=None, **settings):
        headers = {} if sent is None else {"Cookie": sent}
        options = Options(cookie_needed=needed, **settings)
        answer = self.answerOf(lambda request: setSessionCookie(request, options), headers=headers)
        return answer.header("set-cookie")

    def test_notNeeded(self):
        """
        A service that needs no cookie sets none, whatever the client sends.
        """
        self.assertIsNone(self.cookie(False))
        self.assertIsNone(self.cookie(False, "JSESSIONID=abc"))

    def test_echo(self):
        """
        The client's own value is sent back among whatever other cookies it has.
        """
        for value in ("abc", "x" * 256, "!#$%&'()*+-./09:<=>?@AZ[]^_`az{|}~"):
            self.assertEqual(self.cookie(True, f"JSESSIONID={value}"), f"JSESSIONID={value}; path=/")
        self.assertEqual(self.cookie(True, "a=1; JSESSIONID=node1.x; b=2"), "JSESSIONID=node1.x; path=/")

    def test_dummy(self):
        """
        Without a value, or with one that is no plain cookie value, it is C{dummy}.
        """
        self.assertEqual(self.cookie(True), "JSESSIONID=dummy; path=/")
        self.assertEqual(self.cookie(True, "a=1"), "JSESSIONID=dummy; path=/")
        for value in ("", '"abc"', "a b", "a,b", "a\\b", "a\tb", "\xe9", "a\x7f", "x" * 257):
            self.assertEqual(self.cookie(True, f"JSESSIONID={value}"), "JSESSIONID=dummy; path=/", value)

    def test_processName(self):
        """
        The name of the process stands before the client's own value, in the place of another one's name.
        """
        for sent, value in (
            (None, "p1.dummy"),
            ("a b", "p1.dummy"),
            ("abc", "p1.abc"),
            ("p1.abc", "p1.abc"),
            ("p2.abc", "p1.abc"),
            ("p2.a.b", "p1.a.b"),
            ("p2.", "p1.p2"),
            (".", "p1."),
        ):
            cookie = self.cookie(True, None if sent is None else f"JSESSIONID={sent}", process_name="p1")
            self.assertEqual(cookie, f"JSESSIONID={value}; path=/", sent)
        self.assertIsNone(self.cookie(False, "JSESSIONID=abc", process_name="p1"))

    def test_callable(self):
        """
        The application may choose the value by the request, all of it.
        """

        def value(request):
            return request.getHeader("x-node")

        options = Options(cookie_needed=value, process_name="p1")
        answer = self.answerOf(lambda request: setSessionCookie(request, options), headers={"X-Node": "n7"})
        self.assertEqual(answer.header("set-cookie"), "JSESSIONID=n7; path=/")

    def test_callableIsChecked(self):
        """
        What is no plain cookie value is logged and not sent.
        """
        self.assertEqual(self.cookie(lambda request: "a;b"), "JSESSIONID=dummy; path=/")
        self.assertEqual(self.cookie(lambda request: "a\r\nX: y"), "JSESSIONID=dummy; path=/")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_callableFails(self):
        """
        When that fails, it is logged and the client is answered all the same.
        """

        def fail(request):
            raise KeyError("no node")

        for value, error in (
            (fail, KeyError),
            (lambda request: None, AttributeError),
            (lambda request: b"bytes", AttributeError),
            (lambda request: "\xe9", UnicodeEncodeError),
        ):
            self.assertEqual(self.cookie(value), "JSESSIONID=dummy; path=/")
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)


class ShortAnswerTests(AnswersCase):
    """
    L{plainText}, L{finishEmpty} and L{NotFound}.
    """

    def test_plainText(self):
        """
        A line of text has its code, its type and its length.
        """
        answer = self.answerOf(lambda request: plainText(request, 500, "Broken \xe9"))
        self.assertEqual((answer.code, answer.body), (500, b"Broken \xc3\xa9"))
        self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
        self.assertEqual(answer.header("content-length"), "9")

    def test_finishEmpty(self):
        """
        An answer without a body has neither a length nor chunks, and the connection goes on.
        """
        self.answerOf(finishEmpty)
        connection = self.connect()
        connection.ask("GET", "/")
        connection.ask("GET", "/")
        for answer in connection.answers():
            self.assertEqual((answer.code, answer.body), (204, b""))
            self.assertIsNone(answer.header("content-length"))
            self.assertIsNone(answer.header("transfer-encoding"))
        self.assertEqual(len(connection.answers()), 2)
        self.assertEqual(connection.transport.value().count(b"HTTP/1.1 204"), 2)

    def test_finishEmptyCode(self):
        """
        Its code can be another one.
        """
        self.assertEqual(self.answerOf(lambda request: finishEmpty(request, 304)).code, 304)

    def test_notFound(self):
        """
        Every path and every method below gets 404 and a line of text.
        """
        root = Resource()
        root.putChild(b"gone", NotFound())
        self.serveTree(root)
        for method, path in (("GET", "/gone"), ("POST", "/gone/a"), ("OPTIONS", "/gone/a/b/"), ("BREW", "/gone//")):
            answer = self.answerTo(method, path)
            self.assertEqual((answer.code, answer.body), (404, b"Not found\n"))
            self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")

    def test_notFoundGone(self):
        """
        A client that went away before is not told.
        """
        late = Late()
        self.serveTree(late)
        connection = self.connect()
        connection.ask("GET", "/")
        (request,) = late.waiting
        connection.lose()
        self.assertEqual(NotFound().render(request), NOT_DONE_YET)


class LeafTests(AnswersCase):
    """
    L{Leaf}.
    """

    def test_method(self):
        """
        A method that the URL does not take gets 405 with those that it takes, no type and no body.
        """
        self.serveTree(Page())
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            answer = self.answerTo(method, "/", body=b"x")
            self.assertEqual((answer.code, answer.body), (405, b""))
            self.assertEqual(answer.header("allow"), "GET, HEAD")
            self.assertIsNone(answer.header("content-type"))

    def test_head(self):
        """
        HEAD is answered as GET is, without the body.
        """
        self.serveTree(Page())
        get, head = self.answerTo("GET", "/"), self.answerTo("HEAD", "/")
        self.assertEqual((get.code, get.body), (200, b"page"))
        self.assertEqual((head.code, head.body), (200, b""))
        for name in ("content-type", "content-length"):
            self.assertEqual(head.header(name), get.header(name))

    def test_headers(self):
        """
        Every answer of a leaf has its headers, and so has 404.
        """

        class Mine(Page):
            headers = ((b"X-Mine", (b"1",)),)

        self.serveTree(Mine())
        for method in ("GET", "HEAD", "POST"):
            answer = self.answerTo(method, "/")
            self.assertEqual(answer.header("x-mine"), "1")
            self.assertIsNone(answer.header("content-security-policy"))
        for resource in (Page(), NotFound()):
            self.serveTree(resource)
            for method in ("GET", "HEAD", "POST"):
                answer = self.answerTo(method, "/")
                self.assertEqual(answer.header("x-content-type-options"), "nosniff")
                self.assertEqual(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'")

    def test_quietHead(self):
        """
        Nothing is logged about HEAD, by which load balancers ask again and again whether the service is there.
        """
        events = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        for resource in (Page(), NotFound()):
            self.serveTree(resource)
            self.answerTo("HEAD", "/")
        self.assertEqual([event for event in events if event["log_namespace"].startswith("twisted.web.server")], [])

    def test_gone(self):
        """
        A client that went away before its request was rendered gets no answer, and nothing fails.
        """
        late = Late()
        self.serveTree(late)
        connection = self.connect()
        connection.ask("GET", "/")
        (request,) = late.waiting
        connection.lose()
        self.assertEqual(Page().render(request), NOT_DONE_YET)
        self.assertEqual(connection.transport.value(), b"")

    def test_abstract(self):
        """
        What a leaf answers is for its subclasses to say.
        """
        self.assertRaises(NotImplementedError, Leaf().answer, None)
