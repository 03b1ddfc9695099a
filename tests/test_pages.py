# -*- test-case-name: tests.test_pages -*-
"""
Pages and files that are served from memory.
"""

from __future__ import annotations

from twisted.web.resource import Resource

from tests.support import SiteCase
from txsockjs.pages import Page


class PageTests(SiteCase):
    """
    L{Page}.
    """

    def serve(self, *args):
        root = Resource()
        root.putChild(b"page", Page(*args))
        self.serveTree(root)

    def tag(self, *args):
        """
        @return: the C{ETag} of a page.
        """
        self.serve(*args)
        return self.answerTo("GET", "/page").header("etag")

    def test_sent(self):
        """
        It is sent as it is, with its type, and as nothing else; browsers ask again each time.
        """
        self.serve(b"a = 1\n", b"text/javascript")
        answer = self.answerTo("GET", "/page")
        self.assertEqual((answer.code, answer.body), (200, b"a = 1\n"))
        self.assertEqual(answer.header("content-type"), "text/javascript")
        self.assertEqual(answer.header("content-length"), "6")
        self.assertEqual(answer.header("cache-control"), "no-cache")
        self.assertEqual(answer.header("x-content-type-options"), "nosniff")
        self.assertIn("default-src 'none'", answer.header("content-security-policy"))

    def test_headers(self):
        """
        It has the headers that it is given instead.
        """
        self.serve(b"x", b"text/plain", ((b"X-Own", (b"1",)),))
        answer = self.answerTo("GET", "/page")
        self.assertEqual((answer.header("x-own"), answer.header("content-security-policy")), ("1", None))

    def test_unchanged(self):
        """
        A browser that has it is told so, also when the tag became weak on the way or is one of several.
        """
        tag = self.tag(b"x", b"text/plain")
        for known in (tag, f"W/{tag}", f'"a", {tag}', f'"a",W/{tag} , "b"'):
            answer = self.answerTo("GET", "/page", {"If-None-Match": known})
            self.assertEqual((answer.code, answer.body, answer.header("etag")), (304, b"", tag))
        for other in ('"a"', tag[1:-1], "", tag[:-2] + '"'):
            self.assertEqual(self.answerTo("GET", "/page", {"If-None-Match": other}).code, 200)

    def test_tags(self):
        """
        The tag is the same for the same page, and another one for another body, type or header.
        """
        tags = [
            self.tag(b"x", b"text/plain"),
            self.tag(b"y", b"text/plain"),
            self.tag(b"x", b"text/html"),
            self.tag(b"x", b"text/plain", ((b"X-Own", (b"1",)),)),
        ]
        self.assertEqual(len(set(tags)), 4)
        self.assertEqual(self.tag(b"x", b"text/plain"), tags[0])

    def test_methods(self):
        """
        HEAD is answered without the body, and what would change it with 405.
        """
        self.serve(b"x", b"text/plain")
        answer = self.answerTo("HEAD", "/page")
        self.assertEqual((answer.code, answer.body, answer.header("content-length")), (200, b"", "1"))
        answer = self.answerTo("PUT", "/page", body=b"y")
        self.assertEqual((answer.code, answer.header("allow"), answer.body), (405, "GET, HEAD", b""))
