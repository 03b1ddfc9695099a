# -*- test-case-name: tests.test_proxies -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.proxies}, and what L{txsockjs.policy} makes of it: who the client is behind proxies, whatever it says itself.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.endpoints import TCP6ClientEndpoint, UNIXClientEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from twisted.web.http import HTTPChannel, Request
from twisted.web.server import Site

from tests.support import Apps, TextEcho
from tests.wire import HTTPClient
from txsockjs.options import Options
from txsockjs.policy import hostOf, peerOf
from txsockjs.proxies import FORWARDED, Hop, TrustedProxies, entriesOf, plainAddress
from txsockjs.resource import SockJSResource

PROXY = IPv4Address("TCP", "10.0.0.1", 4321)
STRANGER = IPv4Address("TCP", "192.0.2.66", 4321)
TRUSTED = ("10.0.0.0/8", "2001:db8:aa::/48", "unix")
CLIENT = "203.0.113.9"


def peer(connection, *headers, **options):
    """
    @param connection: who is connected.

    @param headers: names and values.

    @return: who the client is.
    """
    channel = HTTPChannel()
    channel.transport = StringTransport(peerAddress=connection)
    request = Request(channel)
    for name, value in headers:
        request.requestHeaders.addRawHeader(name, value)
    return peerOf(request, Options(**{"trusted_proxies": TRUSTED, **options}))


def tcp(host, port=0):
    """
    @return: a TCP address of either version.
    """
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


class EntriesTests(SynchronousTestCase):
    """
    L{entriesOf}: the headers as lists.
    """

    def test_list(self):
        """
        Addresses are separated by commas, over several lines; what is empty is somebody who is not known.
        """
        for lines, entries in (
            (["1.1.1.1"], ["1.1.1.1"]),
            (["1.1.1.1,2.2.2.2 ,\t3.3.3.3", "4.4.4.4"], ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]),
            (["1.1.1.1, ", "for=2.2.2.2"], ["1.1.1.1", "", "for=2.2.2.2"]),
            ([""], [""]),
            ([], []),
        ):
            self.assertEqual(entriesOf("x-forwarded-for", lines), entries)

    def test_forwarded(self):
        """
        Of each element of C{Forwarded} the parameter C{for} counts, in any case, quoted or not.
        """
        for line, entries in (
            ("for=192.0.2.43", ["192.0.2.43"]),
            ('For="[2001:db8:cafe::17]:4711"', ["[2001:db8:cafe::17]:4711"]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", ["192.0.2.60"]),
            ("by=203.0.113.43; FOR=192.0.2.60 ;proto=http", ["192.0.2.60"]),
            ("for=192.0.2.43,for=198.51.100.17 , for=_x", ["192.0.2.43", "198.51.100.17", "_x"]),
            ('for="_a,b;c=\\"\\\\d", for=unknown', ['_a,b;c="\\d', "unknown"]),
            ("proto=https, for=1.1.1.1, ,;", ["", "1.1.1.1", "", ""]),
            ("xfor=2.2.2.2;x-for=3.3.3.3;for=1.1.1.1", ["1.1.1.1"]),
            ('secret="for=1.1.1.1, for=2.2.2.2";for=3.3.3.3', ["3.3.3.3"]),
            ("for=[2001:db8::1]:80", ["[2001:db8::1]:80"]),
            ("for=", [""]),
            ("", [""]),
        ):
            self.assertEqual(entriesOf(FORWARDED, [line]), entries, line)

    def test_broken(self):
        """
        A line of C{Forwarded} that breaks the rules names nobody, and the lines around it are still understood.
        """
        for line in (
            "192.0.2.43",
            'for="1.1.1.1',
            'for=1.1.1.1"',
            'for="1.1.1.1"x',
            'for="1.1.1.1\\"',
            "for=1.1.1.1 for=2.2.2.2",
            "for =1.1.1.1",
            "for= 1.1.1.1",
            "=1.1.1.1",
            "for",
            "for=1.1.1.1, \x0bfor=2.2.2.2",
            "for=1.1.1.1\xa0",
        ):
            self.assertEqual(
                entriesOf(FORWARDED, ["for=8.8.8.8", line, "for=9.9.9.9"]), ["8.8.8.8", "", "9.9.9.9"], line
            )

    def test_long(self):
        """
        A long line takes no time to speak of; with steps that grow as its square, this test would not end.
        """
        many = 1_000_000
        for line in (
            " " * many + "x",
            "a=" + " " * many + '"',
            "a" * many,
            'for="' + "\\" * many,
            'for="' + "\\a" * many,
            ("a=" + '"' * 2) * many,
            "a=b;" * many + "=",
            "a=b" + " " * many + "c",
        ):
            self.assertEqual(entriesOf(FORWARDED, [line]), [""])
        self.assertEqual(len(entriesOf(FORWARDED, ["," * many])), many + 1)
        for entry in (
            "1" * many,
            "1." * many,
            ":" * many,
            "[" * many,
            "[" + "1:" * many + "]",
            "1.1.1.1:" + "1" * many,
        ):
            self.assertIsNone(TrustedProxies(1).client([entry]))


class HopTests(SynchronousTestCase):
    """
    What one entry stands for.
    """

    def hop(self, entry):
        return TrustedProxies(1).client([entry])

    def test_addresses(self):
        """
        An address is known with and without a port, and IPv6 with and without brackets.
        """
        for entry, host, port in (
            ("192.0.2.1", "192.0.2.1", 0),
            ("192.0.2.1:80", "192.0.2.1", 80),
            ("192.0.2.1:_web", "192.0.2.1", 0),
            ("192.0.2.1:99999", "192.0.2.1", 0),
            ("2001:DB8:0::1", "2001:db8::1", 0),
            ("2001:db8::1:80", "2001:db8::1:80", 0),
            ("[2001:db8::1]", "2001:db8::1", 0),
            ("[2001:db8::1]:80", "2001:db8::1", 80),
            ("[2001:db8::1]:_P.-", "2001:db8::1", 0),
            ("::ffff:192.0.2.1", "192.0.2.1", 0),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1", 80),
            ("::FFFF:c000:201", "192.0.2.1", 0),
            ("fe80::1%eth0", "fe80::1", 0),
        ):
            self.assertEqual(self.hop(entry), Hop(plainAddress(host), port), entry)
            self.assertEqual(str(self.hop(entry).address), host)

    def test_unknown(self):
        """
        Nothing else is an address.
        """
        for entries in (
            ("", "unknown", "_hidden", "example.org", "localhost", "x"),
            ("192.0.2", "192.0.2.256", "3221225985", "0x7f.0.0.1", "010.0.0.1", "192.0.2.1/32", "2001:db8::1/64"),
            (
                "192.0.2.1:",
                "192.0.2.1:x",
                "192.0.2.1:123456",
                "192.0.2.1:-1",
                "192.0.2.1:\xb2",
                "[2001:db8::1]:",
                ":80",
            ),
            ("[2001:db8::1", "2001:db8::1]", "[2001:db8::1]80", "[]", "[]:80", "[fe80::1%1]:2"),
            (" 192.0.2.1", "192.0.2.1\n", "\xb2.0.0.1"),
        ):
            for entry in entries:
                self.assertIsNone(self.hop(entry), entry)


class ClientTests(SynchronousTestCase):
    """
    L{TrustedProxies}: the walk from the right.
    """

    def client(self, value, *entries):
        hop = TrustedProxies(value).client(entries)
        return None if hop is None else str(hop.address)

    def test_networks(self):
        """
        The client is the first from the right that is no trusted proxy.
        """
        for entries, client in (
            ([], None),
            (["1.1.1.1"], "1.1.1.1"),
            (["1.1.1.1", "2.2.2.2"], "2.2.2.2"),
            (["1.1.1.1", "10.0.0.2"], "1.1.1.1"),
            (["1.1.1.1", "2.2.2.2", "10.0.0.2", "2001:db8:aa::5"], "2.2.2.2"),
            (["10.0.0.9", "2.2.2.2", "10.0.0.2"], "2.2.2.2"),
            (["1.1.1.1", "::ffff:10.0.0.2"], "1.1.1.1"),
            (["1.1.1.1", "2001:db8:ab::5"], "2001:db8:ab::5"),
        ):
            self.assertEqual(self.client(TRUSTED, *entries), client, entries)

    def test_allTrusted(self):
        """
        Where all are trusted, the leftmost is the client.
        """
        self.assertEqual(self.client(TRUSTED, "10.0.0.9", "10.0.0.8"), "10.0.0.9")

    def test_unknown(self):
        """
        One that is not known ends the walk at the last that is, and nothing to the left is believed.
        """
        for end in ("unknown", "_hidden", "", "garbage"):
            self.assertIsNone(self.client(TRUSTED, "1.1.1.1", end))
            self.assertEqual(self.client(TRUSTED, "1.1.1.1", end, "10.0.0.2"), "10.0.0.2")
            self.assertEqual(self.client(TRUSTED, end, "2.2.2.2"), "2.2.2.2")
            self.assertEqual(self.client(3, "1.1.1.1", end, "2.2.2.2"), "2.2.2.2")

    def test_count(self):
        """
        With a number of proxies that entry from the right is the client, or the leftmost of fewer.
        """
        entries = ["1.1.1.1", "2.2.2.2", "3.3.3.3"]
        for count, client in ((1, "3.3.3.3"), (2, "2.2.2.2"), (3, "1.1.1.1"), (4, "1.1.1.1"), (10**9, "1.1.1.1")):
            self.assertEqual(self.client(count, *entries), client)
        self.assertIsNone(self.client(1))

    def test_trusts(self):
        """
        Networks hold their addresses, C{unix} holds sockets without one, and a number holds everybody.
        """
        proxies = TrustedProxies(["10.0.0.0/8", "192.0.2.1", "::ffff:172.16.0.0/108", "2001:db8::/32"])
        for host in (
            "10.255.255.255",
            "192.0.2.1",
            "::ffff:10.0.0.1",
            "172.16.0.1",
            "::ffff:172.31.0.1",
            "2001:db8::1",
        ):
            self.assertTrue(proxies.trusts(plainAddress(host)), host)
        for host in ("11.0.0.0", "192.0.2.2", "172.32.0.0", "2001:db9::", "::1", "::10.0.0.1"):
            self.assertFalse(proxies.trusts(plainAddress(host)), host)
        self.assertFalse(proxies.trusts(None))
        self.assertFalse(proxies.unix)
        self.assertTrue(TrustedProxies(["unix"]).unix)
        self.assertFalse(TrustedProxies(["unix"]).trusts(None))
        everybody = TrustedProxies(2)
        self.assertTrue(everybody.unix and everybody.trusts(None) and everybody.trusts(plainAddress("1.1.1.1")))
        for version, other in (("0.0.0.0/0", "::1"), ("::/0", "1.1.1.1")):
            self.assertFalse(TrustedProxies([version]).trusts(plainAddress(other)))

    def test_once(self):
        """
        The proxies of one value are made once, and a number is not taken for a network.
        """
        self.assertIs(TrustedProxies.of(TRUSTED), TrustedProxies.of(tuple(TRUSTED)))
        self.assertIs(TrustedProxies.of(1), TrustedProxies.of(1))
        self.assertIsNot(TrustedProxies.of(1), TrustedProxies.of(2))


class PeerTests(SynchronousTestCase):
    """
    L{peerOf} with the option C{trusted_proxies}.
    """

    def test_headers(self):
        """
        Behind a trusted proxy the peer is whom either header names, with the port where that is told.
        """
        for name, value, expected in (
            ("X-Forwarded-For", CLIENT, tcp(CLIENT)),
            ("X-Forwarded-For", f"1.1.1.1, {CLIENT}:5, 10.0.0.7", tcp(CLIENT, 5)),
            ("x-forwarded-for", "2001:DB8::9", tcp("2001:db8::9")),
            ("Forwarded", f"for={CLIENT}", tcp(CLIENT)),
            ("Forwarded", 'for=1.1.1.1, for="[2001:db8::9]:5";proto=https, for=10.0.0.7', tcp("2001:db8::9", 5)),
        ):
            for connection in (PROXY, tcp("::ffff:10.0.0.1", 5), tcp("2001:db8:aa::1", 5), UNIXAddress("/s")):
                self.assertEqual(peer(connection, (name, value)), expected)
                self.assertEqual(peer(connection, (name, value), trusted_proxies=2), peer(PROXY, (name, value)))
                self.assertEqual(peer(connection, (name, value), proxy_header=name), expected)

    def test_lines(self):
        """
        Lines of the same name are one list.
        """
        for name, dress in (("X-Forwarded-For", "{}"), ("Forwarded", "for={}")):
            lines = [(name, dress.format(host)) for host in ("1.1.1.1", CLIENT, "10.0.0.3", "10.0.0.2")]
            self.assertEqual(peer(PROXY, *lines), tcp(CLIENT))
            self.assertEqual(peer(PROXY, *lines, trusted_proxies=4), tcp("1.1.1.1"))

    def test_notTrusted(self):
        """
        Nobody else is believed, whatever the headers say; a Unix socket only when it is named.
        """
        headers = [(name, CLIENT) for name in ("X-Forwarded-For", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP")]
        headers.append(("Forwarded", f"for={CLIENT}"))
        for connection in (STRANGER, tcp("2001:db8:ab::1", 5), tcp("not an address"), object()):
            for header in (None, "X-Forwarded-For", "Forwarded", "X-Real-IP"):
                self.assertIs(peer(connection, *headers, proxy_header=header), connection)
        unix = UNIXAddress("/s")
        self.assertIs(peer(unix, *headers, trusted_proxies=["0.0.0.0/0", "::/0"]), unix)
        self.assertIs(peer(STRANGER, *headers, trusted_proxies=["unix"]), STRANGER)

    def test_nobodyTold(self):
        """
        Where the trusted proxy tells nobody, it is the peer itself.
        """
        for headers in ([], [("X-Forwarded-For", "")], [("X-Forwarded-For", "1.1.1.1, unknown")], [("Forwarded", "x")]):
            self.assertIs(peer(PROXY, *headers), PROXY)

    def test_named(self):
        """
        Only the header that C{proxy_header} names is looked at, a list of addresses unless it is C{Forwarded}.
        """
        headers = [("X-Forwarded-For", "1.1.1.1"), ("Forwarded", "for=2.2.2.2"), ("X-Real-IP", "3.3.3.3")]
        for name, host in (("x-forwarded-for", "1.1.1.1"), ("Forwarded", "2.2.2.2"), ("X-Real-IP", "3.3.3.3")):
            self.assertEqual(peer(PROXY, *headers, proxy_header=name), tcp(host))
        self.assertIs(peer(PROXY, *headers, proxy_header="x-other"), PROXY)
        self.assertIs(peer(PROXY, ("X-Real-IP", "for=3.3.3.3"), proxy_header="X-Real-IP"), PROXY)
        self.assertIs(peer(PROXY, ("Forwarded", "3.3.3.3"), proxy_header="forwarded"), PROXY)
        self.assertIs(peer(PROXY, ("X-Real-IP", "3.3.3.3")), PROXY)

    def test_both(self):
        """
        Of both headers neither is believed unless they lead to the same address; a port counts if both tell it.
        """
        for addresses, forwarded, expected in (
            (CLIENT, f"for={CLIENT}", tcp(CLIENT)),
            (f"1.1.1.1, {CLIENT}", f'for=2.2.2.2, for="{CLIENT}", for=10.0.0.2', tcp(CLIENT)),
            (f"{CLIENT}:5", f'for="{CLIENT}:5"', tcp(CLIENT, 5)),
            (f"{CLIENT}:5", f'for="{CLIENT}:6"', tcp(CLIENT)),
            (CLIENT, f'for="{CLIENT}:6"', tcp(CLIENT)),
            ("::ffff:" + CLIENT, f"for={CLIENT}", tcp(CLIENT)),
            (CLIENT, "for=1.1.1.1", PROXY),
            ("1.1.1.1", f"for={CLIENT}", PROXY),
            (CLIENT, "for=unknown", PROXY),
            ("unknown", f"for={CLIENT}", PROXY),
            (CLIENT, "broken", PROXY),
            ("", f"for={CLIENT}", PROXY),
            ("", "", PROXY),
        ):
            headers = ("X-Forwarded-For", addresses), ("Forwarded", forwarded)
            self.assertEqual(peer(PROXY, *headers), expected, headers)

    def test_spoofed(self):
        """
        Through one trusted proxy, what the client says itself is never believed.
        """
        for said in (
            "1.1.1.1",
            "10.0.0.1",
            "10.0.0.1, 10.0.0.1",
            "127.0.0.1",
            "::1",
            "unknown",
            "",
            ",",
            '"',
            "10.0.0.1,",
        ):
            for header in (None, "X-Forwarded-For"):
                for headers in (
                    [("X-Forwarded-For", f"{said}, {CLIENT}")],
                    [("X-Forwarded-For", said), ("X-Forwarded-For", CLIENT)],
                    [("X-Real-IP", said), ("X-Forwarded-For", CLIENT)],
                ):
                    for trusted in (TRUSTED, 1):
                        found = peer(PROXY, *headers, proxy_header=header, trusted_proxies=trusted)
                        self.assertEqual(found, tcp(CLIENT))
            for line in (f"for={said}", f'for="{said}', f'for="{said}\\', f'by="{said}";for="{said}"'):
                headers = [("Forwarded", line), ("Forwarded", f'for="{CLIENT}:7";by="10.0.0.1"')]
                self.assertEqual(peer(PROXY, *headers), tcp(CLIENT, 7))

    def test_long(self):
        """
        As much as fits into the headers of a request is no burden.
        """
        line = ",".join(["10.0.0.1"] * 2000)
        self.assertEqual(peer(PROXY, ("X-Forwarded-For", f"{CLIENT},{line}")), tcp(CLIENT))
        line = ",".join(["for=10.0.0.1"] * 2000)
        self.assertEqual(peer(PROXY, ("Forwarded", f"for={CLIENT},{line}")), tcp(CLIENT))

    def test_alone(self):
        """
        Without C{trusted_proxies}, C{proxy_header} alone has the last entry of its header believed, whoever sends it.
        """
        for value, expected in (
            (f"for=1.1.1.1, for={CLIENT}", tcp(CLIENT)),
            ('for=1.1.1.1, for="[2001:db8::9]:5"', tcp("2001:db8::9", 5)),
            ("for=1.1.1.1, for=unknown", STRANGER),
            ("broken", STRANGER),
        ):
            options = {"trusted_proxies": None, "proxy_header": "Forwarded"}
            self.assertEqual(peer(STRANGER, ("Forwarded", value), ("X-Forwarded-For", "9.9.9.9"), **options), expected)
        self.assertIs(peer(STRANGER, trusted_proxies=None, proxy_header="Forwarded"), STRANGER)
        self.assertIs(peer(PROXY, ("X-Forwarded-For", CLIENT), trusted_proxies=None), PROXY)


# -- all at once ------------------------------------------------------------------------------------------------------

proxies = st.one_of(
    st.integers(0, 2**24 - 1).map(lambda low: str(plainAddress("10.0.0.0") + low)),
    st.integers(0, 2**80 - 1).map(lambda low: str(plainAddress("2001:db8:aa::") + low)),
)
strangers = st.one_of(
    st.ip_addresses(v=4).map(str).filter(lambda host: not host.startswith("10.")),
    st.ip_addresses(v=6).map(str).map(lambda host: hostOf(tcp(host))).filter(lambda host: not host.startswith("10.")),
).filter(lambda host: not host.startswith("2001:db8:aa:"))
inventions = st.one_of(proxies, strangers, st.sampled_from(["unknown", "_x", "", '"', "\\", ";", "x", "for=1.1.1.1"]))


class ChainTests(SynchronousTestCase):
    """
    Any way from a client to us.
    """

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        invented=st.lists(inventions, max_size=4),
        client=strangers,
        way=st.lists(st.one_of(proxies, strangers), max_size=3),
        ours=st.lists(proxies, min_size=1, max_size=4),
        hidden=st.integers(0, 20),
        name=st.sampled_from(["X-Forwarded-For", "Forwarded"]),
        quoted=st.booleans(),
        breaks=st.lists(st.booleans(), min_size=20, max_size=20),
        unnamed=st.booleans(),
    )
    @example(["10.0.0.1"], CLIENT, [], ["10.0.0.2"], 20, "Forwarded", True, [True] * 20, True)
    def test_neverLeft(self, invented, client, way, ours, hidden, name, quoted, breaks, unnamed):
        """
        Whatever a client invents, and whoever relays it, the peer is the last that is no trusted proxy; and where a
        proxy hides who that was, it is the proxy before, never anybody to the left of it.
        """

        def dress(host):
            bracketed = f"[{host}]" if ":" in host else host
            if name == "Forwarded":
                return f'for="{bracketed}:5"' if quoted else f'proto=http;for="{bracketed}"'
            return f"{bracketed}:5" if quoted else host

        hops = [client, *way, *ours]
        stranger = max(at for at, host in enumerate(hops) if self._isStranger(host))
        told = [*hops[:-1]]
        # Each hop is told by the one after it; ours may keep it to themselves.
        entries = [dress(host) for host in told]
        if stranger <= hidden < len(told):
            entries[hidden] = dress("unknown") if name == "X-Forwarded-For" else "for=unknown"
            expected = hops[hidden + 1]
        else:
            expected = hops[stranger]
        lines = [(name, host) for host in invented]
        if name == "X-Forwarded-For" and invented and breaks[0]:
            lines = []
            entries = invented + entries
        current: list[str] = []
        for entry, ends in zip(entries, breaks[1:] + [True] * len(entries)):
            current.append(entry)
            if ends:
                lines.append((name, ", ".join(current)))
                current = []
        if current:
            lines.append((name, ", ".join(current)))
        found = peer(tcp(hops[-1], 9), *lines, proxy_header=None if unnamed else name)
        self.assertEqual(hostOf(found), expected, lines)

    def _isStranger(self, host):
        return not TrustedProxies.of(TRUSTED).trusts(plainAddress(host))

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(["X-Forwarded-For", "Forwarded"]), st.text(st.characters(codec="latin-1")))),
        st.one_of(st.none(), st.integers(1, 9), st.just(TRUSTED)),
        st.sampled_from([None, "forwarded", "x-forwarded-for"]),
    )
    def test_anything(self, headers, trusted, name):
        """
        Whatever a header says, the peer is who is connected, or an IP address.
        """
        headers = [(name, value.encode("latin-1")) for name, value in headers]
        found = peer(
            PROXY, *[(name.encode(), value) for name, value in headers], trusted_proxies=trusted, proxy_header=name
        )
        self.assertEqual(found.host, hostOf(found))
        self.assertIn(found.port, range(65536))


# -- over sockets -----------------------------------------------------------------------------------------------------

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(family, body, command=0x21):
    """
    @return: a PROXY header of version 2.
    """
    return V2 + struct.pack("!BBH", command, family, len(body)) + body


TCP4 = v2(0x11, socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 1234, 80))
TCP6 = v2(
    0x21,
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + struct.pack("!HH", 1234, 80),
)
HEADERS = (
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 80\r\n", "192.0.2.7", 1234),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 1234 80\r\n", "2001:db8::7", 1234),
    (TCP4, "192.0.2.7", 1234),
    (TCP6, "2001:db8::7", 1234),
)


class SocketCase(TestCase):
    """
    What tests over real sockets have in common.
    """

    def setUp(self):
        self.apps = Apps(TextEcho)
        self.round = 0

    async def serve(self, description, **settings):
        """
        Serve on an endpoint.

        @return: the port.
        """
        resource = SockJSResource(self.apps, **settings)
        self.addCleanup(resource.stop)
        port = await serverFromString(reactor, description).listen(Site(resource))
        self.addCleanup(port.stopListening)
        return port

    async def client(self, description, **settings):
        """
        Serve on an endpoint of the loopback interface.

        @return: a client for it.
        """
        return self.clientOf(await self.serve(description, **settings))

    def clientOf(self, port, endpoint=None):
        """
        @return: a client for a port, or for another endpoint.
        """
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port if endpoint is None else 80}")
        if endpoint is not None:
            client._endpoint = endpoint
        self.addCleanup(client.close)
        return client

    async def openAll(self, client, start=None, headers=()):
        """
        Open a session by a WebSocket, a raw one, streaming and polling.

        @param start: writes what comes before the request.

        @return: the peers that the application has seen.
        """
        self.round += 1
        for method, path, status in (
            ("GET", "/0/0/websocket", 101),
            ("GET", "/websocket", 101),
            ("POST", f"/0/streaming{self.round}/xhr_streaming", 200),
            ("POST", f"/0/polling{self.round}/xhr", 200),
        ):
            wire = await client.connect()
            if start is not None:
                await start(wire)
            fields = [*headers]
            if status == 101:
                fields += [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
                fields.append(("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="))
            response = await wire.request(method, path, fields, None if status == 101 else b"")
            self.assertEqual(response.status, status, path)
            if path.endswith("streaming"):
                await response.chunk()
        peers = [app.transport.getPeer() for app in self.apps.built]
        self.assertEqual(len(peers), 4)
        self.apps.built.clear()
        await client.close()
        return peers


class HeaderSocketTests(SocketCase):
    """
    Headers, over real sockets.
    """

    async def test_trusted(self):
        """
        Through a trusted proxy the application sees the client on every transport, not what the client has invented.
        """
        client = await self.client("tcp:0:interface=127.0.0.1", trusted_proxies=["127.0.0.0/8"])
        headers = [("X-Forwarded-For", "1.1.1.1, 127.0.0.1"), ("X-Real-IP", "1.1.1.1"), ("X-Forwarded-For", CLIENT)]
        self.assertEqual(await self.openAll(client, headers=headers), [tcp(CLIENT)] * 4)

    async def test_direct(self):
        """
        A client that is no trusted proxy, and says to be one for another client, is seen as who it is.
        """
        client = await self.client("tcp:0:interface=127.0.0.1", trusted_proxies=["10.0.0.0/8", "unix"])
        headers = [("X-Forwarded-For", CLIENT), ("Forwarded", f"for={CLIENT}"), ("X-Real-IP", CLIENT)]
        for found in await self.openAll(client, headers=headers):
            self.assertEqual(found.host, "127.0.0.1")
            self.assertNotEqual(found.port, 0)

    async def test_unix(self):
        """
        A proxy on a Unix socket is believed if C{unix} is trusted.
        """
        for trusted, expected in (["unix"], tcp(CLIENT)), (["10.0.0.0/8"], None), (1, tcp(CLIENT)):
            directory = tempfile.mkdtemp()  # not mktemp(): the path of a Unix socket has room for about a hundred bytes
            self.addCleanup(shutil.rmtree, directory)
            path = os.path.join(directory, "socket")
            await self.serve(f"unix:{path}", trusted_proxies=trusted)
            client = self.clientOf(None, UNIXClientEndpoint(reactor, path))
            for found in await self.openAll(client, headers=[("Forwarded", f"for={CLIENT}")]):
                if expected is None:
                    self.assertIsInstance(found, UNIXAddress)
                    self.assertEqual(hostOf(found), "")
                else:
                    self.assertEqual(found, expected)

    async def test_dualStack(self):
        """
        A proxy that comes by IPv4 to a socket for both versions is known by its IPv4 network.
        """
        try:
            client = await self.client("tcp6:0", trusted_proxies=["127.0.0.1"])
        except CannotListenError:
            raise SkipTest("this machine has no IPv6") from None
        peers = await self.openAll(client, headers=[("X-Forwarded-For", "2001:db8::9")])
        self.assertEqual(peers, [tcp("2001:db8::9")] * 4)
        for found in await self.openAll(client):
            self.assertEqual((found.host, hostOf(found)), ("::ffff:127.0.0.1", "127.0.0.1"))

    async def test_ipv6(self):
        """
        A proxy that comes by IPv6 is known by its network.
        """
        try:
            port = await self.serve("tcp6:0:interface=\\:\\:1", trusted_proxies=["::1/128"])
        except CannotListenError:
            raise SkipTest("this machine has no IPv6") from None
        client = self.clientOf(None, TCP6ClientEndpoint(reactor, "::1", port.getHost().port))
        headers = [("Forwarded", 'for=1.1.1.1, for="[2001:db8::9]:5"')]
        self.assertEqual(await self.openAll(client, headers=headers), [tcp("2001:db8::9", 5)] * 4)


class HAProxyTests(SocketCase):
    """
    The endpoint C{haproxy:} of Twisted's.
    """

    ENDPOINT = "haproxy:tcp:0:interface=127.0.0.1"

    def sends(self, *pieces):
        """
        @return: sends a PROXY header, each piece when the one before is most likely there.
        """

        async def start(wire):
            wire.transport.setTcpNoDelay(True)
            for number, piece in enumerate(pieces):
                if number:
                    await deferLater(reactor, 0.02)
                wire.write(piece)

        return start

    async def test_versions(self):
        """
        The application sees the address that the PROXY header tells, on every transport.
        """
        client = await self.client(self.ENDPOINT)
        for header, host, port in HEADERS:
            for found in await self.openAll(client, self.sends(header)):
                self.assertEqual((type(found), found.port), (type(tcp(host)), port))
                self.assertEqual(hostOf(found), host)

    async def test_pieces(self):
        """
        The header may come in pieces; Twisted wants only its first 8 bytes, or 16 in version 2, at once.
        """
        client = await self.client(self.ENDPOINT)
        for header, host, _ in HEADERS:
            first = 16 if header.startswith(V2) else 8
            pieces = [header[:first], header[first:-3], header[-3:]]
            self.assertEqual([hostOf(found) for found in await self.openAll(client, self.sends(*pieces))], [host] * 4)

    async def test_trusted(self):
        """
        Who the PROXY header tells is the one to be trusted or not.
        """
        headers = [("X-Forwarded-For", CLIENT)]
        for trusted, hosts in (
            (["192.0.2.0/24", "2001:db8::/32"], [CLIENT] * 4),
            (["127.0.0.0/8"], [host for _, host, _ in HEADERS]),
        ):
            client = await self.client(self.ENDPOINT, trusted_proxies=trusted)
            for (header, _, _), host in zip(HEADERS, hosts):
                peers = await self.openAll(client, self.sends(header), headers)
                self.assertEqual([hostOf(found) for found in peers], [host] * 4)

    async def test_noAddress(self):
        """
        A PROXY header may tell no address; then the proxy itself is the peer, as for its own checks.
        """
        client = await self.client(self.ENDPOINT)
        for header in (
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
            v2(0x00, b"", 0x20),
            v2(0x00, b"", 0x21),
        ):
            peers = await self.openAll(client, self.sends(header))
            self.assertEqual([found.host for found in peers], ["127.0.0.1"] * 4)

    async def test_unixAddress(self):
        """
        A PROXY header may tell that the client came by a Unix socket, which then is the one to be trusted or not.
        """
        header = v2(0x31, b"/run/client".ljust(108, b"\0") + b"/run/proxy".ljust(108, b"\0"))
        client = await self.client(self.ENDPOINT, trusted_proxies=["unix"])
        self.assertEqual(await self.openAll(client, self.sends(header)), [UNIXAddress(b"/run/client")] * 4)
        headers = [("X-Forwarded-For", CLIENT)]
        self.assertEqual(await self.openAll(client, self.sends(header), headers), [tcp(CLIENT)] * 4)

    async def test_refused(self):
        """
        What does not begin with a PROXY header that Twisted understands is cut off, the short C{PROXY UNKNOWN} among
        it, and the log keeps silent.
        """
        client = await self.client(self.ENDPOINT)
        for start in (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"PROXY UNKNOWN\r\n",
            b"PROXY TCP4 192.0.2.7\r\n",
            b"PROXY TCP9 192.0.2.7 198.51.100.1 1234 80\r\n",
            b"PROXY TCP4 " + b"1" * 200,
            V2 + b"\x31\x11\x00\x00",
            TCP4[:10],
        ):
            wire = await client.connect()
            with capturedLogs() as events:
                wire.write(start)
                await wire.gone()
            self.assertEqual([event for event in events if event["log_level"] > LogLevel.info], [], start)
            self.assertEqual(self.apps.built, [])

    async def test_rubbish(self):
        """
        An address in a PROXY header that is none is no trusted proxy's, and no client is known by it.
        """
        client = await self.client(self.ENDPOINT, trusted_proxies=["0.0.0.0/0", "::/0", "unix"])
        start = self.sends(b"PROXY TCP4 unknown 198.51.100.1 1234 80\r\n")
        for found in await self.openAll(client, start, [("X-Forwarded-For", CLIENT)]):
            self.assertEqual((found.host, hostOf(found)), ("unknown", ""))

    async def test_endpointString(self):
        """
        C{haproxy:} may stand within C{sockjs:}, with trusted proxies beside it.
        """
        description = r"sockjs:haproxy\:tcp\:0\:interface=127.0.0.1:trusted_proxies=192.0.2.0/24,2001\:db8\:\:/32,unix"
        port = await serverFromString(reactor, description).listen(self.apps)
        self.addCleanup(port.stopListening)
        client = self.clientOf(port)
        for header, _, _ in HEADERS:
            peers = await self.openAll(client, self.sends(header), [("X-Forwarded-For", CLIENT)])
            self.assertEqual(peers, [tcp(CLIENT)] * 4)
