# -*- test-case-name: tests.test_matrix -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The matrix of real browsers: that the documentation has all of it, how it is shown, and the proxies that it uses.

What the browsers do is looked at by C{tests.browser.check_matrix}.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.browser import check_matrix
from tests.browser.matrix import (
    ALLOWED,
    CASES,
    DOCS,
    HEAD,
    MESSAGES,
    NAMES,
    PLACES,
    ROUND_TRIPS,
    STREAMING,
    TRANSPORTS,
    Table,
    unavailable,
)
from tests.browser.proxies import REFUSAL, BlockingProxy, BufferingProxy, Proxy, SilenceProxy
from tests.many import check_matrix as many
from txsockjs.options import Options

#: What a cell may be, but in the table of times.
CELL = re.compile(r"(yes|no|--)( \([a-z]\))?")

#: What one may be in that.
TIMES = re.compile(r"(\d+) of (\d+)|-- \([a-z]\)")


def parse(text: str) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """
    Read a table as it is written.

    @return: the names of the transports, the cells of each row by its title, and the marks of the notes; two rows of
        the same title are told apart by a number.
    """
    _, first, second, rule, *lines = text[text.index("\n=") + 1 :].splitlines()
    edges = [match.span() for match in re.finditer("=+", rule)]
    edges[-1] = (edges[-1][0], 999)
    heads = [[line[start:end].strip(" |") for start, end in edges[1:]] for line in (first, second)]
    rows: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        if line == rule:
            break
        title, *cells = [line[start:end].strip() for start, end in edges]
        rows[f"{number}: {title}"] = cells
    return list(map("".join, zip(*heads))), rows, re.findall(r"^\(([a-z])\) ", text, re.MULTILINE)


class DocumentationTests(SynchronousTestCase):
    """
    The tables in the documentation. They are written by the checks, which takes a browser.
    """

    def test_agree(self) -> None:
        """
        Each table has all transports and all cases, and says something of each that was found to be right.
        """
        for name, (_, cases) in NAMES.items():
            text = (DOCS / f"{name}.rst").read_text("utf-8")
            self.assertTrue(text.startswith(HEAD), name)
            transports, rows, marks = parse(text)
            self.assertEqual(transports, list(TRANSPORTS), name)
            titles = [f"{number}: {case.title}" for number, case in enumerate(cases)]
            self.assertEqual(list(rows), titles, name)
            cells = [cell for row in rows.values() for cell in row]
            for cell in cells:
                self.assertRegex(cell, rf"^(?:{(TIMES if name == 'load' else CELL).pattern})$", name)
            self.assertEqual(sorted({cell[-2] for cell in cells if cell.endswith(")")}), marks, name)

    def test_unavailable(self) -> None:
        """
        What sockjs-client does not offer is marked, and all else works.
        """
        for place in PLACES:
            transports, rows, _ = parse((DOCS / f"{place.name}.rst").read_text("utf-8"))
            for row in rows.values():
                found = {name for name, cell in zip(transports, row) if not cell.startswith("yes")}
                self.assertEqual(found, set(unavailable(place)), place.name)

    def test_inTime(self) -> None:
        """
        What was measured is less than what the client waits.
        """
        for took, allowed in TIMES.findall((DOCS / "load.rst").read_text("utf-8")):
            if took:
                self.assertLess(int(took), int(allowed))

    def test_included(self) -> None:
        """
        The page of the documentation has all of the tables, each below its title, and no others.
        """
        page = (DOCS.parent.parent / "browsers.rst").read_text("utf-8")
        found = re.findall(r"^(.+)\n-+\n(?:.*\n)*?\.\. include:: _static/browsers/([a-z-]+)\.rst$", page, re.MULTILINE)
        self.assertEqual(found, [(title, name) for name, (title, _) in NAMES.items()])
        self.assertEqual({path.stem for path in DOCS.glob("*.rst")}, set(NAMES))


class CasesTests(SynchronousTestCase):
    """
    What the matrix is made of.
    """

    def test_places(self) -> None:
        """
        There is a test for each place.
        """
        tests = [name for name in dir(check_matrix.PlaceTests) if name.startswith("test_")]
        self.assertEqual(len(tests), len(PLACES))

    def test_behind(self) -> None:
        """
        Behind each balancer there is every test that there is for one process.
        """

        def tests(module: ModuleType, prefix: str) -> dict[str, set[str]]:
            found = {name: vars(module)[name] for name in module.__all__ if re.fullmatch(f"{prefix}.*Tests", name)}
            return {name.removeprefix(prefix): set(filter(isTest, dir(case))) for name, case in found.items()}

        isTest = re.compile("test_").match
        alone = tests(check_matrix, "")
        self.assertGreater(len(alone), 1)
        for prefix in ("HAProxy", "Nginx"):
            self.assertEqual(tests(many, prefix), alone)

    def test_messages(self) -> None:
        """
        The messages are a hundred different ones.
        """
        self.assertEqual(len(set(MESSAGES)), 100)

    def test_transports(self) -> None:
        """
        What is said of transports is said of such as there are.
        """
        for names in (STREAMING, ROUND_TRIPS, ALLOWED, *map(unavailable, PLACES)):
            self.assertLessEqual(set(names), set(TRANSPORTS))

    def test_allowed(self) -> None:
        """
        The options leave on what is expected where origins are restricted.
        """
        on = Options.build({"origins": ["https://example.com"]}).transports
        self.assertEqual(set(on) & set(TRANSPORTS), set(ALLOWED))


class TableTests(SynchronousTestCase):
    """
    How a table is shown.
    """

    def test_roundTrip(self) -> None:
        """
        What is written can be read, with notes lettered in the order in which one reads, whenever they came.
        """
        table = Table("own")
        table.set(CASES[1].name, TRANSPORTS[0], "yes", "The later one.")
        table.set(CASES[0].name, TRANSPORTS[-1], "no", "The first one.")
        table.set(CASES[-1].name, TRANSPORTS[2], "yes", "The later one.")
        table.remark("All of it.")
        self.assertEqual(len(table.empty()), len(CASES) * len(TRANSPORTS) - 3)
        text = table.asText()
        transports, rows, marks = parse(f"{HEAD}\n\n{text}")
        self.assertEqual(transports, list(TRANSPORTS))
        cells = list(rows.values())
        self.assertEqual(len(cells), len(CASES))
        self.assertEqual((cells[0][-1], cells[1][0], cells[-1][2]), ("no (a)", "yes (b)", "yes (b)"))
        self.assertEqual(marks, ["a", "b"])
        self.assertTrue(text.endswith("\n\nAll of it.\n\n(a) The first one.\n\n(b) The later one.\n"))

    def test_write(self) -> None:
        """
        The file has the table, and says where it is from.
        """
        directory = Path(self.mktemp())
        table = Table("load")
        table.write(directory)
        self.assertEqual((directory / "load.rst").read_text("utf-8"), f"{HEAD}\n\n{table.asText()}")


class ProxyTests(SynchronousTestCase):
    """
    The proxies that are in the way.
    """

    def connect(self, proxy: Proxy) -> tuple[Protocol, StringTransport]:
        """
        Connect to a proxy.
        """
        client = proxy.buildProtocol(None)
        transport = StringTransport()
        client.makeConnection(transport)
        return client, transport

    def reach(self, reactor: MemoryReactorClock) -> tuple[Protocol, StringTransport]:
        """
        Let a proxy reach the server.
        """
        _, port, factory, *_ = reactor.tcpClients.pop()
        self.assertEqual(port, 80)
        upstream = factory.buildProtocol(None)
        transport = StringTransport()
        upstream.makeConnection(transport)
        return upstream, transport

    def test_passes(self) -> None:
        """
        A proxy passes on both ways, also what came before it had reached the server, and the end.
        """
        reactor = MemoryReactorClock()
        client, near = self.connect(Proxy(reactor, 80))
        client.dataReceived(b"one")
        upstream, far = self.reach(reactor)
        client.dataReceived(b"two")
        upstream.dataReceived(b"three")
        self.assertEqual((far.value(), near.value()), (b"onetwo", b"three"))
        upstream.connectionLost()
        self.assertTrue(near.disconnecting)
        client.connectionLost()
        self.assertTrue(far.disconnecting)

    def test_blocks(self) -> None:
        """
        One that blocks answers 502 to who asks for a WebSocket, in however many pieces, and to nobody else.
        """
        reactor = MemoryReactorClock()
        proxy = BlockingProxy(reactor, 80)
        client, near = self.connect(proxy)
        for byte in b"GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n":
            client.dataReceived(bytes([byte]))
        self.assertEqual((near.value(), near.disconnecting, proxy.refused), (REFUSAL, True, 1))
        client, near = self.connect(proxy)
        _, far = self.reach(reactor)
        client.dataReceived(b"POST /a HTTP/1.1\r\nConnection: keep-alive\r\nHost: a\r\n\r\nbo")
        client.dataReceived(b"dy")
        self.assertEqual(far.value(), b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nbody")
        self.assertEqual((near.value(), proxy.refused), (b"", 1))

    def test_buffers(self) -> None:
        """
        One that buffers hands on a response when it is complete, but for a WebSocket.
        """
        reactor = MemoryReactorClock()
        proxy = BufferingProxy(reactor, 80)
        client, near = self.connect(proxy)
        upstream, _ = self.reach(reactor)
        client.dataReceived(b"GET /a HTTP/1.1\r\n\r\n")
        upstream.dataReceived(b"one")
        upstream.dataReceived(b"two")
        self.assertEqual(near.value(), b"")
        upstream.connectionLost()
        self.assertEqual((near.value(), near.disconnecting), (b"onetwo", True))
        client, near = self.connect(proxy)
        upstream, _ = self.reach(reactor)
        client.dataReceived(b"GET /a HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
        upstream.dataReceived(b"one")
        self.assertEqual(near.value(), b"one")

    def test_cuts(self) -> None:
        """
        One that does not like silence cuts after some time without a word from either side.
        """
        reactor = MemoryReactorClock()
        proxy = SilenceProxy(reactor, 80, 3)
        client, near = self.connect(proxy)
        upstream, _ = self.reach(reactor)
        reactor.advance(2.5)
        client.dataReceived(b"one")
        reactor.advance(2.5)
        upstream.dataReceived(b"two")
        reactor.advance(2.5)
        self.assertFalse(near.disconnecting)
        reactor.pump([0.5, 0])
        self.assertTrue(near.disconnecting)
        self.assertEqual(proxy.cuts, 1)
        client.connectionLost()
        self.assertEqual(reactor.getDelayedCalls(), [])
