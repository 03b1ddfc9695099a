# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The benchmarks measure what they say, and see what goes wrong. Nothing here depends on how long anything takes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from benchmarks import report
from benchmarks.load.http import BODY, END, HEAD, Responses
from benchmarks.load.messages import Errors, Messages, Receiver, maskedFrame
from benchmarks.load.run import Settings, quantile, run
from benchmarks.measure import Bench, Failed, median, summary
from benchmarks.peers import PEERS, ROOT, Peer, ours
from benchmarks.procstat import readProcess
from benchmarks.profiling import profile
from benchmarks.servers.ours import Echo, Fanout
from benchmarks.works import WORKS, Work
from txsockjs.factory import SockJSMultiFactory
from txsockjs.interfaces import ISockJSProtocol


class MessagesTests(SynchronousTestCase):
    """
    L{benchmarks.load.messages}.
    """

    def setUp(self) -> None:
        self.errors = Errors()
        self.messages = Messages(7, 20, 8)
        self.receiver = Receiver(self.messages, self.errors)

    def take(self, *places: int) -> int:
        """
        A frame with some messages comes.
        """
        return self.receiver.take(b'","'.join(self.messages.texts[place] for place in places))

    def test_different(self) -> None:
        """
        All messages differ, and have the length that was asked for.
        """
        self.assertEqual(8, len(set(self.messages.texts)))
        self.assertEqual({20}, {len(text) for text in self.messages.texts})

    def test_tooShort(self) -> None:
        """
        A message has room for its number and its origin.
        """
        self.assertRaises(ValueError, Messages, 0, 13, 4)

    def test_inOrder(self) -> None:
        """
        Messages may come in frames of any number, over the end of the ring.
        """
        for places in [(0, 1, 2), (3,), (4, 5, 6, 7, 0), (1,)]:
            self.receiver.expect(0.0, len(places))
            self.assertEqual(len(places), self.take(*places))
        self.assertFalse(self.errors)
        self.assertEqual(0, self.receiver.outstanding)

    def test_missing(self) -> None:
        """
        A gap is seen, and what was skipped is not waited for.
        """
        self.receiver.expect(0.0, 3)
        self.assertEqual(2, self.take(1))
        self.assertEqual(1, self.take(2))
        self.assertEqual(1, self.errors.missing)

    def test_repeated(self) -> None:
        """
        A message that comes again is seen.
        """
        self.receiver.expect(0.0, 2)
        self.assertEqual([1, 0, 1], [self.take(0), self.take(0), self.take(1)])
        self.assertEqual(1, self.errors.outOfOrder)

    def test_notSent(self) -> None:
        """
        A message that was not sent yet is seen.
        """
        self.assertEqual(0, self.take(0))
        self.assertEqual(1, self.errors.outOfOrder)

    def test_corrupt(self) -> None:
        """
        Messages of another session, of another content, and frames that are no JSON are seen.
        """
        self.receiver.expect(0.0, 2)
        self.receiver.take(Messages(8, 20, 8).texts[0])
        self.receiver.take(self.messages.texts[1][:-1] + b"!")
        self.receiver.take(b'"')
        self.assertEqual(3, self.errors.corrupt)

    def test_spaces(self) -> None:
        """
        A server may write its JSON with spaces.
        """
        self.receiver.expect(0.0, 2)
        self.assertEqual(2, self.receiver.take(b'", "'.join(self.messages.texts[:2])))
        self.assertFalse(self.errors)

    def test_departures(self) -> None:
        """
        The times of departure are those of the messages that came.
        """
        self.receiver.expect(1.0, 2)
        self.receiver.expect(2.0, 2)
        self.assertEqual([(1.0, 2), (2.0, 1)], self.receiver.departures(3))
        self.assertEqual([(2.0, 1)], self.receiver.departures(1))

    def test_masked(self) -> None:
        """
        Frames of all three kinds of length are masked and can be unmasked.
        """
        for size, head in ((5, 2), (126, 4), (1 << 16, 10)):
            payload = os.urandom(size)
            frame = maskedFrame(1, payload, b"abcd")
            masked = frame[head + 4 :]
            self.assertEqual(payload, bytes(byte ^ b"abcd"[place % 4] for place, byte in enumerate(masked)))


class ResponsesTests(SynchronousTestCase):
    """
    L{Responses}.
    """

    def test_anyPieces(self) -> None:
        """
        However the bytes are cut, the same responses are found.
        """
        stream = (
            b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        )
        for size in range(1, len(stream) + 1):
            responses = Responses()
            kinds, bodies = [], b""
            for start in range(0, len(stream), size):
                for kind, piece in responses.feed(stream[start : start + size]):
                    kinds.append(kind)
                    bodies += piece
            self.assertEqual([HEAD, END] * 4, [kind for kind in kinds if kind != BODY])
            self.assertEqual(b"abcde" * 2, bodies)

    def test_untilClosed(self) -> None:
        """
        A body without a length has no end of its own, and then the connection is not kept.
        """
        responses = Responses()
        self.assertEqual([(HEAD, b""), (BODY, b"ab")], list(responses.feed(b"HTTP/1.1 200 OK\r\n\r\nab")))
        assert responses.head is not None
        self.assertFalse(responses.head.keepAlive)

    def test_noHTTP(self) -> None:
        """
        What is no HTTP is refused.
        """
        self.assertRaises(ValueError, list, Responses().feed(b"SSH-2.0\r\n\r\n"))


@implementer(ISockJSProtocol)
class Faulty(Protocol):
    """
    Swaps each message with the next one.
    """

    kept = ""

    def messageReceived(self, message: str) -> None:
        """
        Send this one, and the one before.
        """
        if self.kept:
            self.transport.write(message)
            self.transport.write(self.kept)
            self.kept = ""
        else:
            self.kept = message


class RunTests(TestCase):
    """
    L{run}, with a server in this process.
    """

    def setUp(self) -> None:
        site = SockJSMultiFactory(reactor=reactor)
        site.addFactory(Factory.forProtocol(Echo), "echo")
        site.addFactory(Factory.forProtocol(Faulty), "faulty")
        site.addFactory(Fanout(), "fanout")
        self.port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.addCleanup(site.drain, 0)

    @inlineCallbacks
    def go(self, mode: str, service: str = "echo", **settings):
        """
        A short run.
        """
        url = f"http://127.0.0.1:{self.port.getHost().port}/{service}"
        settings = {"duration": 0.2, "warmup": 0.0, "pid": os.getpid(), **settings}
        figures = yield deferToThread(run, Settings(url, mode, **settings))
        json.dumps(figures)
        return figures

    @inlineCallbacks
    def test_echo(self):
        """
        By each transport, messages are echoed and none is wrong.
        """
        for transport in ("websocket", "xhr-streaming", "xhr-polling"):
            figures = yield self.go("echo", transport=transport, conns=3, window=4)
            self.assertEqual("ok", figures["result"], figures)
            self.assertEqual(3, figures["sessions_opened"])
            self.assertGreater(figures["messages"], 0)
            self.assertGreater(figures["latency_p99_us"], 0)

    @inlineCallbacks
    def test_large(self):
        """
        Messages can be of any size.
        """
        for size in (14, 200, 70_000):
            figures = yield self.go("echo", size=size)
            self.assertEqual("ok", figures["result"], figures)

    @inlineCallbacks
    def test_rate(self):
        """
        Messages can be sent by the clock.
        """
        figures = yield self.go("echo", conns=2, rate=100.0, duration=0.5)
        self.assertEqual("ok", figures["result"], figures)
        self.assertGreater(figures["messages"], 0)

    @inlineCallbacks
    def test_fanout(self):
        """
        Each message is delivered to each session.
        """
        figures = yield self.go("fanout", "fanout", conns=5, window=2)
        self.assertEqual("ok", figures["result"], figures)
        self.assertGreater(figures["deliveries"], 0)

    @inlineCallbacks
    def test_connect(self):
        """
        Sessions are opened and closed in turn.
        """
        figures = yield self.go("connect", conns=2)
        self.assertEqual("ok", figures["result"], figures)
        self.assertGreater(figures["sessions"], 0)

    @inlineCallbacks
    def test_idle(self):
        """
        Sessions are held.
        """
        for transport in ("websocket", "xhr-streaming"):
            figures = yield self.go("idle", transport=transport, conns=3)
            self.assertEqual("ok", figures["result"], figures)
            self.assertIn("server_rss_end_kb_per_conn", figures)

    @inlineCallbacks
    def test_faulty(self):
        """
        A server that mixes up the order of messages is found out.
        """
        figures = yield self.go("echo", "faulty", window=4)
        self.assertEqual("FAILED", figures["result"])
        self.assertGreater(figures["messages_out_of_order"] + figures["messages_missing"], 0)

    @inlineCallbacks
    def test_noService(self):
        """
        So is one that is not there.
        """
        figures = yield self.go("echo", "nothing")
        self.assertEqual("FAILED", figures["result"])
        self.assertEqual({"handshake: HTTP 404": 1}, figures["failures"])


class BenchTests(SynchronousTestCase):
    """
    L{Bench}, with real processes.
    """

    tiny = Work("tiny", "tiny", conns=2)

    def setUp(self) -> None:
        self.scratch = Path(self.mktemp()).resolve()
        self.bench = Bench(self.scratch, duration=0.3, warmup=0.0)

    def test_ours(self) -> None:
        """
        Our server is started by twistd, and measured, and gone after that.
        """
        figures = self.bench.measure(ours(), self.tiny)
        self.assertGreater(figures["rate"], 0)
        self.assertGreaterEqual(figures["cost"], 0)

    def test_profile(self) -> None:
        """
        A profile names functions of ours.
        """
        self.assertIn("messageReceived", profile(self.bench, self.tiny, 1000))

    def test_brokenServer(self) -> None:
        """
        A server that ends at once is told of, with what it said.
        """
        code = "import sys; sys.exit('cannot serve')"
        broken = Peer("broken", "broken", lambda directory, port: [sys.executable, "-c", code], lambda directory: "1")
        self.assertIn("cannot serve", str(self.assertRaises(Failed, self.bench.measure, broken, self.tiny)))

    def test_commands(self) -> None:
        """
        The load is told what each work is, in words that both load generators know.
        """
        other = Bench(self.scratch, load="/there/sjload")
        for work in WORKS.values():
            for peer in PEERS.values():
                if not peer.can(work):
                    continue
                command = other.loadCommand(peer, work, 1, 2)
                self.assertEqual("/there/sjload", command[0])
                self.assertEqual(sys.executable, self.bench.loadCommand(peer, work, 1, 2)[0])
                self.assertEqual(str(work.conns), command[command.index("--conns") + 1])


class FiguresTests(SynchronousTestCase):
    """
    What is made of the figures.
    """

    def data(self):
        """
        @return: a comparison.
        """
        echo = {"cost": 10.0, "rate": 1e5, "p50": 100.0, "p99": 200.0, "rss": 20.0}
        return {
            "machine": report.machine(),
            "load": "ours",
            "repeat": 3,
            "duration": 3.0,
            "peers": {
                "ours": {"title": "txsockjs", "version": "2"},
                "sockjs-node": {"title": "sockjs-node", "version": "0"},
            },
            "unavailable": {"go": "Go is not installed"},
            "works": {work.name: {"title": work.title, "unit": work.unit, "target": 0.25} for work in WORKS.values()},
            "results": {
                "ws-echo-16": {"ours": echo, "sockjs-node": {**echo, "cost": 40.0}},
                "ws-echo-1": {"ours": {**echo, "cost": 20.0}, "sockjs-node": {**echo, "cost": 40.0}},
                "xhr-polling": {"ours": echo},
                "ws-idle": {},
            },
            "failures": ["this & that"],
        }

    def test_table(self) -> None:
        """
        Ratios are held against the targets, and what was not measured is empty.
        """
        _, _, rows = next(iter(report.comparisonTables(self.data())))
        self.assertEqual([["0.25", "yes"], ["0.50", "no"], ["", ""], ["", ""]], [[row[3], row[5]] for row in rows])

    def test_texts(self) -> None:
        """
        Each form tells of what failed and of what is missing.
        """
        for text in (report.asText(self.data()), report.asRST(self.data())):
            self.assertIn("this & that", text)
            self.assertIn("Go is not installed", text)

    def test_listTable(self) -> None:
        """
        Empty cells are cells.
        """
        text = report.listTable("Title", ["a", "b"], [["1", ""], ["", "2"]])
        self.assertEqual(["   * - a", "     - b", "   * - 1", "     -", "   * -", "     - 2"], text.splitlines()[3:])

    def test_picture(self) -> None:
        """
        The picture is XML, with a bar for each figure.
        """
        root = ElementTree.fromstring(report.picture(self.data()))
        self.assertEqual(5, len(root.findall("{http://www.w3.org/2000/svg}rect")))

    def test_docs(self) -> None:
        """
        The documentation's files are written.
        """
        directory = Path(self.mktemp())
        report.writeDocs(self.data(), directory)
        self.assertEqual(["compare.json", "compare.rst", "compare.svg"], sorted(p.name for p in directory.iterdir()))

    def test_tables(self) -> None:
        """
        So are those of the other commands.
        """
        directory = Path(self.mktemp())
        data = {"machine": report.machine(), "peers": {"ours": "1.0"}, "results": {}}
        report.writeTables("growth", data, [("Title", ["a", "b"], [["1", "2"]]), ("Other", ["c"], [["3"]])], directory)
        self.assertEqual(data, json.loads((directory / "growth.json").read_text("utf-8")))
        text = (directory / "growth.rst").read_text("utf-8")
        for part in (".. list-table:: Title", "     - 2", ".. list-table:: Other", "Versions: ours 1.0."):
            self.assertIn(part, text)

    def test_readme(self) -> None:
        """
        The README has the table between its marks, and nothing else of it changes.
        """
        readme = Path(self.mktemp())
        for before in ("", "old\nlines\n"):
            readme.write_text(f"first\n.. benchmarks: begin\n{before}.. benchmarks: end\nlast\n", "utf-8")
            report.writeReadme(self.data(), readme)
            table = report.readmeTable(self.data())
            self.assertEqual(
                f"first\n.. benchmarks: begin\n\n{table}\n.. benchmarks: end\nlast\n", readme.read_text("utf-8")
            )
        readme.write_text("first\nlast\n", "utf-8")
        self.assertRaises(ValueError, report.writeReadme, self.data(), readme)

    def test_readmeIsCurrent(self) -> None:
        """
        README shows the figures that the documentation shows.
        """
        data = json.loads((ROOT / "docs/_static/benchmarks/compare.json").read_text("utf-8"))
        self.assertIn(report.readmeTable(data), (ROOT / "README.rst").read_text("utf-8"))

    def test_median(self) -> None:
        """
        Each figure has its own median; what was not measured is left out.
        """
        runs = [{"cost": cost, "rss": rss} for cost, rss in ((1.0, None), (3.0, 5.0), (2.0, 7.0))]
        middle = median(runs)
        self.assertEqual((2.0, 6.0, [1.0, 3.0]), (middle["cost"], middle["rss"], middle["spread"]))

    def test_quantile(self) -> None:
        """
        A quantile counts each value as often as it was seen.
        """
        times = [(1.0, 98), (2.0, 1), (3.0, 1)]
        self.assertEqual([1.0, 1.0, 2.0, 3.0], [quantile(times, part) for part in (0.5, 0.98, 0.99, 1.0)])
        self.assertEqual(0.0, quantile([], 0.5))

    def test_cost(self) -> None:
        """
        The cost is the server's CPU time by what came back; a session's is its memory when it is idle.
        """
        cpu = {"server_cpu_s": 1.0, "server_cpu_user_s": 0.75, "server_cpu_system_s": 0.25, "server_cpu_percent": 50.0}
        rest = {"messages": 10**5, "messages_per_s": 5e4, "client_cpu_percent": 9.0, "server_rss_end_kb_per_conn": 4.0}
        times = {"latency_p50_us": 1.0, "latency_p99_us": 2.0}
        figures = summary(WORKS["ws-echo-1"], {**cpu, **rest, **times})
        self.assertEqual((10.0, 7.5, 2.5), (figures["cost"], figures["user"], figures["system"]))
        self.assertEqual(4.0, summary(WORKS["ws-idle"], {**cpu, **rest})["cost"])

    def test_process(self) -> None:
        """
        The operating system tells of this process.
        """
        state = readProcess(os.getpid())
        self.assertGreater(state.cpu, 0)
        self.assertGreater(state.rss, 0)
