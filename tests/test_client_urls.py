# -*- test-case-name: tests.test_client_urls -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
URLs of services.
"""

from __future__ import annotations

from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.client.urls import ServiceURL, newServerID, newSessionID


class ServiceURLTests(SynchronousTestCase):
    """
    L{ServiceURL}.
    """

    def test_below(self) -> None:
        """
        What lies below a service has the service's path, without slashes at its end, and its query.
        """
        for text, expected in (
            ("http://localhost:8081/echo", "http://localhost:8081/echo/info"),
            ("http://localhost:8081/a/b///", "http://localhost:8081/a/b/info"),
            ("http://localhost", "http://localhost/info"),
            ("https://[::1]:8443/", "https://[::1]:8443/info"),
            ("HTTP://example.com/x?token=a%20b&c", "http://example.com/x/info?token=a%20b&c"),
            ("http://ex\xe4mple.com/\xe9cho", "http://xn--exmple-cua.com/%C3%A9cho/info"),
        ):
            self.assertEqual(ServiceURL.fromText(text).below("info"), expected)
        self.assertEqual(ServiceURL.fromText("http://h/e").below("000", "s", "xhr"), "http://h/e/000/s/xhr")

    def test_wrong(self) -> None:
        """
        What can't be the URL of a service is refused, with what would be right.
        """
        for text, why in (
            ("", "http or https"),
            ("localhost:8081/echo", "http or https"),
            ("ws://localhost/echo", "http or https"),
            ("http:///echo", "such as http://localhost:8081/echo"),
            ("http://:80/echo", "such as http://localhost:8081/echo"),
            ("http://localhost:port/", "such as"),
            ("http://localhost:0/", "such as"),
            ("http://localhost:70000/", "such as"),
            ("http://[::1/", "such as"),
            ("http://localhost/a b", "without spaces"),
            ("http://localhost/a\nb", "without spaces"),
            ("http://localhost/#x", "no fragment"),
            (b"http://localhost/", "not b'http"),
            (None, "not None"),
        ):
            error = self.assertRaises(ValueError, ServiceURL.fromText, text)
            self.assertIn(why, str(error))

    def test_password(self) -> None:
        """
        A URL with a password is refused, and the error does not show it.
        """
        error = self.assertRaises(ValueError, ServiceURL.fromText, "http://me:secret@localhost/")
        self.assertIn("Authorization", str(error))
        self.assertNotIn("secret", str(error))

    def test_joined(self) -> None:
        """
        C{base_url} may be another URL, or a part of one, and does not lead from https to http.
        """
        url = ServiceURL.fromText("https://example.com/a/echo")
        for other, expected in (
            ("https://other.example:8443/x/", "https://other.example:8443/x"),
            ("//other.example/x", "https://other.example/x"),
            ("/x", "https://example.com/x"),
            ("x", "https://example.com/a/echo/x"),
        ):
            self.assertEqual(str(url.joined(other)), expected)
        self.assertRaises(ValueError, url.joined, "http://example.com/a/echo")
        self.assertRaises(ValueError, url.joined, "ftp://example.com/")
        self.assertEqual(str(ServiceURL.fromText("http://a").joined("https://b")), "https://b")

    def test_address(self) -> None:
        """
        The address is that of a name or of an IP address, with the port of the scheme by default.
        """
        for text, expected in (
            ("http://127.0.0.1:81", IPv4Address("TCP", "127.0.0.1", 81)),
            ("https://[::1]", IPv6Address("TCP", "::1", 443)),
            ("http://localhost", HostnameAddress(b"localhost", 80)),
        ):
            self.assertEqual(ServiceURL.fromText(text).address, expected)

    def test_facts(self) -> None:
        """
        Path and query are known decoded.
        """
        url = ServiceURL.fromText("http://localhost/a%20b/?x=1&x=2&y")
        self.assertEqual((url.decodedPath, url.args), ("/a b", {"x": ["1", "2"], "y": [""]}))
        self.assertEqual(ServiceURL.fromText("http://localhost").decodedPath, "/")


class IDTests(SynchronousTestCase):
    """
    The names of servers and sessions.
    """

    def test_server(self) -> None:
        """
        A server has three digits, any of a thousand.
        """
        names = {newServerID() for _ in range(20_000)}
        self.assertTrue(all(len(name) == 3 and name.isdigit() for name in names))
        self.assertGreater(len(names), 990)

    def test_session(self) -> None:
        """
        No session's name comes twice, and none has a character that a URL must not have there.
        """
        names = {newSessionID() for _ in range(1000)}
        self.assertEqual(len(names), 1000)
        self.assertTrue(all(name.isalnum() and len(name) == 32 for name in names))
