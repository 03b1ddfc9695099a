# -*- test-case-name: tests.test_policy -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.policy}: what the application may know of a client.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from tests.support import SiteCase
from txsockjs.options import OPTIONS, Options
from txsockjs.policy import hostOf, networkOf, peerOf, requestFacts

CLIENT = IPv4Address("TCP", "192.0.2.1", 4321)


class Catch(Resource):
    """
    A service that keeps the requests which would open sessions. Like a service's, its URLs have leaves below
    it.
    """

    def __init__(self, requests):
        super().__init__()
        self.requests = requests

    def getChild(self, name, request):
        leaf = Catch(self.requests)
        leaf.isLeaf = True
        return leaf

    def render(self, request):
        self.requests.append(request)
        return b""


class PolicyCase(SiteCase):
    """
    What these tests have in common.
    """

    def request(self, path="/server/session/xhr", headers=None, method="GET", body=None, below=(), peer=CLIENT):
        """
        Let a request come.

        @param below: the segments under which the service is mounted.

        @return: the request, when it has reached the service.
        """
        requests = []
        root = resource = Catch(requests) if not below else Resource()
        for segment in below:
            child = Catch(requests) if segment is below[-1] else Resource()
            resource.putChild(segment, child)
            resource = child
        self.serveTree(root)
        self.connect(peer).ask(method, path, headers, body)
        (request,) = requests
        return request

    def facts(self, *args, depth=3, options=None, **kwargs):
        return requestFacts(self.request(*args, **kwargs), depth, options or Options())


class PathTests(PolicyCase):
    """
    C{RequestFacts.path}.
    """

    def test_root(self):
        """
        A service at the root has the path C{/}, for sessions and the raw WebSocket.
        """
        self.assertEqual(self.facts().path, "/")
        self.assertEqual(self.facts("/websocket", depth=1).path, "/")

    def test_prefix(self):
        """
        A service under a prefix has that prefix as its path, without a slash at its end, however deep.
        """
        self.assertEqual(self.facts("/echo/server/session/xhr", below=[b"echo"]).path, "/echo")
        self.assertEqual(self.facts("/a/b/echo/websocket", depth=1, below=[b"a", b"b", b"echo"]).path, "/a/b/echo")

    def test_quoting(self):
        """
        The path is decoded text; bytes that are no UTF-8 don't break it.
        """
        self.assertEqual(
            self.facts("/caf%C3%A9%20x/s/s%20s/xhr?q=/no", below=["caf\xe9 x".encode()]).path, "/caf\xe9 x"
        )
        self.assertEqual(self.facts("/%FF/s/s/xhr", below=[b"\xff"]).path, "/\ufffd")

    def test_noSession(self):
        """
        Neither the id of the session nor the server part is in any of the facts.
        """
        facts = self.facts("/echo/theServer/theSession/xhr?a=b", below=[b"echo"])
        self.assertNotIn("theSession", repr(facts))
        self.assertNotIn("theServer", repr(facts))


class ArgumentTests(PolicyCase):
    """
    C{RequestFacts.args}.
    """

    def test_none(self):
        """
        Without a query there are no arguments.
        """
        self.assertEqual(self.facts().args, {})
        self.assertEqual(self.facts("/s/s/xhr?").args, {})

    def test_values(self):
        """
        Each name has all of its values in order, decoded, empty ones included.
        """
        facts = self.facts("/s/s/xhr?b=2&a=1&b=%C3%A9+x&c&d=&=e&f=%FF?&g=a%26b%3Dc")
        self.assertEqual(
            facts.args,
            {
                "b": ("2", "\xe9 x"),
                "a": ("1",),
                "c": ("",),
                "d": ("",),
                "": ("e",),
                "f": ("\ufffd?",),
                "g": ("a&b=c",),
            },
        )

    def test_noForm(self):
        """
        The fields of a form in the body are no query arguments.
        """
        facts = self.facts(
            "/s/s/xhr?a=1", {"Content-Type": "application/x-www-form-urlencoded"}, "POST", b"a=2&password=x"
        )
        self.assertEqual(facts.args, {"a": ("1",)})


class HeaderTests(PolicyCase):
    """
    C{RequestFacts.headers}.
    """

    def test_exposed(self):
        """
        Of the headers only those that the option names are there, in lower case, and only where the request
        has them.
        """
        facts = self.facts(headers={"User-Agent": "x/1 (\xe9)", "X-Tenant": "t", "DNT": "1"})
        self.assertEqual(facts.headers, {"host": "localhost", "user-agent": "x/1 (\xe9)", "dnt": "1"})
        options = Options(exposed_headers=["X-Tenant", "x-missing"])
        facts = self.facts(headers={"User-Agent": "x", "x-TENANT": "t"}, options=options)
        self.assertEqual(facts.headers, {"x-tenant": "t"})

    def test_joined(self):
        """
        A header that came several times is one list.
        """
        facts = self.facts(headers={"X-Forwarded-For": "1.1.1.1, 2.2.2.2", "x-forwarded-for": "3.3.3.3", "Via": ""})
        self.assertEqual(facts.headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 3.3.3.3")
        self.assertEqual(facts.headers["via"], "")

    def test_noSecrets(self):
        """
        Cookies and credentials are in none of the facts, whatever options can be made.
        """
        every = {"X-Tenant": "t", "Cookie": "hidden=1", "Authorization": "hidden", "Proxy-Authorization": "hidden"}
        for options in (Options(), Options(exposed_headers=["x-tenant"])):
            self.assertNotIn("hidden", repr(self.facts(headers=every, options=options)))
        for name in every:
            if name != "X-Tenant":
                self.assertRaises(ValueError, Options, exposed_headers=[name])


class PeerTests(PolicyCase):
    """
    L{peerOf}.
    """

    def peer(self, headers=None, proxy_header="X-Forwarded-For", **kwargs):
        return peerOf(self.request(headers=headers, **kwargs), Options(proxy_header=proxy_header))

    def test_connection(self):
        """
        The peer is who is connected, of whatever kind, and no header is believed unless the option names it.
        """
        unix = UNIXAddress("/run/app.sock")
        self.assertEqual([info.default for info in OPTIONS if info.name == "proxy_header"], [None])
        for peer in (CLIENT, IPv6Address("TCP", "2001:db8::1", 5), unix):
            self.assertEqual(self.peer({"X-Forwarded-For": "203.0.113.9"}, None, peer=peer), peer)
            self.assertEqual(self.peer({"X-Real-IP": "203.0.113.9"}, peer=peer), peer)

    def test_proxy(self):
        """
        The peer is whom the header names, of either version, with no port; even when the proxy came by a UNIX
        socket.
        """
        for value, kind, host in (
            ("203.0.113.9", IPv4Address, "203.0.113.9"),
            (" 203.0.113.9 ", IPv4Address, "203.0.113.9"),
            ("2001:DB8::0:9", IPv6Address, "2001:db8::9"),
            ("::ffff:203.0.113.9", IPv6Address, None),
        ):
            for peer in (CLIENT, UNIXAddress("/run/app.sock")):
                address = self.peer({"X-Forwarded-For": value}, peer=peer)
                self.assertIsInstance(address, kind)
                self.assertEqual((address.type, address.port), ("TCP", 0))
                if host is not None:
                    self.assertEqual(address.host, host)

    def test_last(self):
        """
        Only the last entry counts, which is the one that our own proxy has added, in one line or several.
        """
        for headers in (
            {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"},
            {"X-Forwarded-For": "garbage, 203.0.113.9"},
            {"X-Forwarded-For": "198.51.100.1", "x-forwarded-for": "198.51.100.2,203.0.113.9"},
        ):
            self.assertEqual(self.peer(headers), IPv4Address("TCP", "203.0.113.9", 0))

    def test_garbage(self):
        """
        What is no plain IP address is ignored, and no earlier entry takes its place.
        """
        for value in (
            "",
            ",",
            "unknown",
            "203.0.113.9,",
            "203.0.113.9, unknown",
            "203.0.113.9:80",
            "[2001:db8::1]",
            "[2001:db8::1]:80",
            "203.0.113",
            "203.0.113.256",
            "3405803785",
            "203.0.113.9/32",
            "for=203.0.113.9",
            "example.org",
            "\xb2.0.0.1",
        ):
            self.assertEqual(self.peer({"X-Forwarded-For": value}), CLIENT, value)


class HostTests(SynchronousTestCase):
    """
    L{hostOf} and L{networkOf}: by what clients are told apart.
    """

    def test_host(self):
        """
        The host is the same text for each way to write an address, and has neither port nor scope.
        """
        for host, expected in (
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("0:0:0:0:0:ffff:c000:201", "192.0.2.1"),
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("::1", "::1"),
        ):
            for port in (0, 4321):
                kind = IPv6Address if ":" in host else IPv4Address
                self.assertEqual(hostOf(kind("TCP", host, port)), expected)

    def test_noHost(self):
        """
        What has no IP address has no host.
        """
        for peer in (UNIXAddress("/s"), UNIXAddress(None), IPv4Address("TCP", "unknown", 1), object()):
            self.assertEqual(hostOf(peer), "")

    def test_network(self):
        """
        An address of IPv6 belongs to its /64, one of IPv4 to itself, and what is none to nobody.
        """
        for host, network in (
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
            ("192.0.2.1", "192.0.2.1"),
            ("", ""),
        ):
            self.assertEqual(networkOf(host), network)
