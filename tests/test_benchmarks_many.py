# -*- test-case-name: tests.test_benchmarks_many -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The benchmarks of many processes, as far as they need neither Redis nor HAProxy; L{tests.many.check_figures} runs all.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import time
from pathlib import Path
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from benchmarks import __main__ as commands
from benchmarks import many, manyreport, million
from benchmarks.balancer import adapted, connections
from benchmarks.fleet import Plan, Traffic, versions
from benchmarks.load.pace import Pace
from benchmarks.load.run import Settings, run
from benchmarks.million import Costs, Scenario, assumptions, costs, estimate
from benchmarks.peers import ROOT, Unavailable
from benchmarks.procstat import readProcess, total
from benchmarks.programs import fileLimit
from benchmarks.servers.ours import Fanout, Listener
from txsockjs.broadcast import broadcast
from txsockjs.factory import SockJSMultiFactory
from txsockjs.interfaces import ISockJSProtocol


class PaceTests(SynchronousTestCase):
    """
    L{Pace}.
    """

    def test_due(self) -> None:
        """
        Each message is due once, at its own time, however late one asks.
        """
        pace = Pace(4.0, 10.0)
        self.assertEqual([], list(pace.due(9.9)))
        self.assertEqual([10.0], list(pace.due(10.1)))
        self.assertEqual(10.25, pace.next)
        self.assertEqual([10.25, 10.5, 10.75], list(pace.due(10.8)))
        self.assertEqual([], list(pace.due(10.8)))
        self.assertEqual(4, pace.sent)


class Member(Protocol):
    """
    One of those who get what is sent to all.
    """

    def connectionMade(self) -> None:
        self.factory.members.append(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.members.remove(self)


@implementer(ISockJSProtocol)
class Stutterer(Member):
    """
    Sends each message to all, and somewhat later once more to one of them.
    """

    def messageReceived(self, message: str) -> None:
        """
        Send it to all.
        """
        broadcast(message, self.factory.members)
        reactor.callLater(0.1, self.transport.write, message)


@implementer(ISockJSProtocol)
class Forgetful(Member):
    """
    Sends each message to all but one of them.
    """

    def messageReceived(self, message: str) -> None:
        """
        Send it to most.
        """
        broadcast(message, self.factory.members[:-1])


def _withMembers(protocol: type[Protocol]) -> Factory:
    factory = Factory.forProtocol(protocol)
    factory.members = []
    return factory


class FanoutTests(TestCase):
    """
    The load in the mode C{fanout}, with services in this process.
    """

    def setUp(self) -> None:
        self.ports = []
        for _ in range(2):
            site = SockJSMultiFactory(reactor=reactor)
            site.addFactory(Factory.forProtocol(Listener), "channel")
            site.addFactory(Fanout(), "fanout")
            site.addFactory(_withMembers(Stutterer), "stutterer")
            site.addFactory(_withMembers(Forgetful), "forgetful")
            port = reactor.listenTCP(0, site, interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            self.addCleanup(site.drain, 0)
            self.ports.append(port.getHost().port)

    @inlineCallbacks
    def go(self, service: str, ports: int = 1, **settings):
        """
        A short run.
        """
        url, *others = (f"http://127.0.0.1:{port}/{service}" for port in self.ports[:ports])
        settings = {"conns": 6, "duration": 0.3, "warmup": 0.0, "others": tuple(others), **settings}
        figures = yield deferToThread(run, Settings(url, "fanout", **settings))
        json.dumps(figures)
        return figures

    @inlineCallbacks
    def test_rate(self):
        """
        Messages can be sent by the clock, with and without sleep between them, and each reaches everyone.
        """
        for wait in (False, True):
            figures = yield self.go("fanout", rate=50.0, wait=wait)
            self.assertEqual("ok", figures["result"], figures)
            self.assertGreater(figures["messages_sent"], 1)
            self.assertLessEqual(figures["messages_sent"], 50)
            self.assertGreater(figures["latency_p99_us"], 0)

    @inlineCallbacks
    def test_manyAddresses(self):
        """
        The sessions are spread over all addresses, and what is published through one reaches those of the other.
        """
        figures = yield self.go("channel", 2, rate=50.0, wait=True)
        self.assertEqual("ok", figures["result"], figures)
        self.assertGreater(figures["deliveries"], 0)

    @inlineCallbacks
    def test_apart(self):
        """
        Where messages do not travel between the addresses, that is found out.
        """
        self.patch(sys.modules["benchmarks.load.run"], "_DRAIN", 0.2)
        figures = yield self.go("fanout", 2, rate=50.0, wait=True)
        self.assertEqual("FAILED", figures["result"])
        self.assertGreater(figures["messages_missing"], 0)

    @inlineCallbacks
    def test_missing(self):
        """
        So is a server that forgets someone.
        """
        self.patch(sys.modules["benchmarks.load.run"], "_DRAIN", 0.2)
        figures = yield self.go("forgetful", rate=50.0, wait=True)
        self.assertEqual("FAILED", figures["result"])
        self.assertGreater(figures["messages_missing"], 0)

    @inlineCallbacks
    def test_twice(self):
        """
        So is one that delivers a message twice, even when it comes after all others.
        """
        for settings in ({"rate": 50.0}, {"rate": 1.0, "duration": 0.02}):
            figures = yield self.go("stutterer", **settings)
            self.assertEqual("FAILED", figures["result"], settings)
            self.assertGreater(figures["messages_out_of_order"], 0, settings)
            self.assertEqual(0, figures["messages_missing"], settings)

    @inlineCallbacks
    def test_watch(self):
        """
        Groups of processes are reported on by their names.
        """
        figures = yield self.go("fanout", rate=50.0, watch={"both": [os.getpid(), os.getppid()], "own": [os.getpid()]})
        watched = figures["watched"]
        self.assertEqual({"both", "own"}, set(watched))
        self.assertGreater(watched["both"]["rss_end_kb"], watched["own"]["rss_end_kb"])
        self.assertGreater(watched["own"]["cpu_user_s"] + watched["own"]["cpu_system_s"], 0)


CONFIGURATION = """
# Edit this.
global
    log /dev/log local0
    user haproxy
    stats socket /run/admin.sock mode 660
    maxconn 8000
    localpeer balancer

defaults
    log global
    timeout client 60s

peers balancers
    peer balancer 127.0.0.1:10000

frontend plain
    bind :80
    http-request redirect scheme https code 301

frontend public
    bind :443 ssl crt /etc/haproxy/own.pem
    bind 127.0.0.1:8080
    default_backend sockjs

backend sockjs
    option httpchk
    server a 127.0.0.1:8081 cookie a check
    server b 127.0.0.1:8082 cookie b check
# The end.
"""


class BalancerTests(SynchronousTestCase):
    """
    L{adapted}.
    """

    def test_adapted(self) -> None:
        """
        Addresses, limits and what needs an installation are this machine's, and everything else is the example's.
        """
        self.assertEqual(
            """
# Edit this.
global
    maxconn 900
    localpeer balancer

defaults
    log global
    timeout client 60s

peers balancers
    peer balancer 127.0.0.1:4

frontend public
    bind 127.0.0.1:1
    default_backend sockjs

backend sockjs
    option httpchk
    server p1 127.0.0.1:2 cookie p1 check
    server p2 127.0.0.1:3 cookie p2 check
# The end.
""",
            adapted(CONFIGURATION, 1, [2, 3], 2000, 4),
        )

    def test_changed(self) -> None:
        """
        An example without a line that has to change is refused, with what is missing.
        """
        for line in ("maxconn 8000", "server a", "bind "):
            changed = "\n".join(each for each in CONFIGURATION.splitlines() if line[:6] not in each)
            self.assertIn(line.split()[0], str(self.assertRaises(ValueError, adapted, changed, 1, [2], 2000, 4)))

    def test_noLimit(self) -> None:
        """
        Where files have no limit, there is one that HAProxy understands.
        """
        self.patch(resource, "getrlimit", lambda which: (1024, resource.RLIM_INFINITY))
        self.assertGreater(fileLimit(), 100_000)

    def test_connections(self) -> None:
        """
        A session is two connections of HAProxy.
        """
        self.assertEqual(9900, connections(20_000))


class VersionsTests(SynchronousTestCase):
    """
    L{versions}.
    """

    def test_missing(self) -> None:
        """
        A program that is not installed is named, with where to get it.
        """
        self.patch(os, "environ", {"PATH": self.mktemp()})
        error = str(self.assertRaises(Unavailable, versions, Plan(balancer=True)))
        self.assertIn("haproxy is not installed", error)

    def test_nothingNeeded(self) -> None:
        """
        A service without Redis and HAProxy needs nothing.
        """
        self.assertEqual({}, versions(Plan()))


def _load(**more):
    """
    @return: what the load tells of a fan-out to 10 sessions.
    """
    used = {
        "cpu_user_s": 0.3,
        "cpu_system_s": 0.1,
        "cpu_opening_s": 0.02,
        "rss_start_kb": 1000,
        "rss_ramped_kb": 1050,
        "rss_end_kb": 2000,
    }
    return {
        "mode": "fanout",
        "deliveries": 40_000,
        "deliveries_per_s": 20_000.0,
        "messages_sent": 5000,
        "sessions_opened": 10,
        "measured_s": 2.0,
        "messages_per_frame": 1.0,
        "latency_p50_us": 1500.0,
        "latency_p99_us": 2500.0,
        "client_cpu_percent": 30.0,
        "watched": {"servers": used, "redis": used, "haproxy": used},
        **more,
    }


class RowTests(SynchronousTestCase):
    """
    L{many.row}.
    """

    def test_fanout(self) -> None:
        """
        CPU time is told for each delivery, opening and memory for each session, bytes on the bus for each message.
        """
        row = many.row(Plan(2, True, True, 10), _load(), 2000.0, [Traffic(500_000, 1_000_000)])
        self.assertEqual((2000.0, 20_000.0), (row["messages_per_s"], row["units_per_s"]))
        self.assertEqual((100.0, 200.0), (row["bus_bytes_in"], row["bus_bytes_out"]))
        found = {name: round(value, 6) for name, value in row["servers"].items()}
        self.assertEqual(
            {
                "cost": 10.0,
                "user": 7.5,
                "system": 2.5,
                "percent": 20.0,
                "opening": 2000.0,
                "kB_before": 1000,
                "kB_each": 5,
            },
            found,
        )

    def test_echo(self) -> None:
        """
        An echo is a message for itself, and has no bus.
        """
        figures = _load(mode="echo", messages=40_000, messages_per_s=20_000.0)
        row = many.row(Plan(1, sessions=10), figures, None, [])
        self.assertEqual(20_000.0, row["messages_per_s"])
        self.assertNotIn("bus_bytes_in", row)


COSTS = Costs(
    sessions=10_000,
    idle=1.0,
    delivery=10.0,
    balanced=8.0,
    publish=50.0,
    hear=20.0,
    hearBusy=4.0,
    relay=5.0,
    relayEach=2.0,
    kB=6.0,
    kBEach=60_000.0,
    kBBalanced=1.0,
    bytesIn=100.0,
    bytesOut=150.0,
    opening=300.0,
    openingBalanced=100.0,
)


class EstimateTests(SynchronousTestCase):
    """
    L{estimate}.
    """

    def test_idle(self) -> None:
        """
        Sessions that only live take as many processes as they need room, and nothing of the bus.
        """
        found = estimate(COSTS, Scenario("", 0, 0))
        self.assertEqual(100, found.processes)
        self.assertAlmostEqual(1.0, found.cores)
        self.assertAlmostEqual(12_000_000, found.kB)
        self.assertAlmostEqual(1_000_000, found.balancerKB)
        self.assertAlmostEqual(80_000 * 8 / 1e6, found.balancerCores)
        self.assertEqual((0, 0), (found.redisCores, found.bits))

    def test_all(self) -> None:
        """
        A message to all is heard by every process, and travels once to each.
        """
        found = estimate(COSTS, Scenario("", 1, 1_000_000))
        self.assertEqual(100, found.processes)
        self.assertAlmostEqual(1.0 + 10.0 + 50e-6 + 100 * 20e-6, found.cores)
        self.assertAlmostEqual(1_080_000 * 8 / 1e6, found.balancerCores)
        self.assertAlmostEqual((5 + 2 * 100) / 1e6, found.redisCores)
        self.assertAlmostEqual((100 + 150 * 100) * 8, found.bits)

    def test_busy(self) -> None:
        """
        No process is busier than it may be, and one process less would be too few.
        """
        scenario = Scenario("", 10_000, 1000)
        found = estimate(COSTS, scenario)
        assert found.processes is not None
        self.assertGreater(found.processes, 100)
        self.assertLessEqual(found.cores, million.SHARE * found.processes)
        self.assertGreater(million._busy(COSTS, scenario, found.processes - 1), million.SHARE * (found.processes - 1))

    def test_tooMuch(self) -> None:
        """
        When each process has to hear more than it can, more of them are no help.
        """
        self.assertIsNone(estimate(COSTS, Scenario("", 50_000, 1_000_000)).processes)

    def test_few(self) -> None:
        """
        A message to one session reaches one process.
        """
        found = estimate(COSTS, Scenario("", 1000, 1))
        self.assertAlmostEqual(1000 * (5 + 2) / 1e6, found.redisCores)


def _data():
    """
    @return: figures of all parts.
    """

    def row(count, sessions, bus=True, balancer=False, rate=None, scale=1.0):
        units = 10_000 * sessions
        traffic = [Traffic(500_000, 1_000_000 * count)] if bus else []
        used = _load()["watched"]["servers"]
        each = {**used, "cpu_user_s": scale * units / 1e6, "cpu_system_s": scale * units / 1e6}
        watched = {"servers": each}
        watched |= {"redis": each} if bus else {}
        watched |= {"haproxy": each} if balancer else {}
        load = _load(deliveries=units, sessions_opened=sessions, watched=watched)
        return many.row(Plan(count, bus, balancer, sessions), load, rate, traffic)

    echo = many.row(Plan(1, sessions=50), _load(mode="echo", messages=4, messages_per_s=2.0), None, [])
    return {
        "machine": {"date": "2026-01-01", "processor": "P", "cores": 2, "system": "Linux"},
        "peers": {"ours": "2", "redis-server": "7", "haproxy": "2"},
        "sessions": 80,
        "processes": 4,
        "duration": 3.0,
        "echo_rate": 1000.0,
        "bus_rate": 500.0,
        "idle": {"cpu": 1.0, "kB": 6.0},
        "fanout": {
            "direct": {"highest": row(4, 80), "paced": row(4, 80, rate=3.0)},
            "haproxy": {"highest": row(4, 80, balancer=True, scale=4), "paced": row(4, 80, balancer=True, rate=3.0)},
        },
        "echo": {"ws-echo-1": {"direct": {"highest": echo}, "haproxy": {"highest": echo, "paced": echo}}},
        "growth": [row(1, 80, False), row(1, 80), row(4, 80), row(1, 20)],
        "bus": [
            row(1, 1, False, rate=500.0),
            row(1, 1, rate=500.0, scale=15),
            row(1, 1),
            row(4, 4, rate=500.0, scale=7.5),
            row(4, 4),
        ],
        "failures": [],
    }


class ReportTests(SynchronousTestCase):
    """
    L{manyreport}.
    """

    def test_costs(self) -> None:
        """
        What counts for a million is taken from the part that shows it; of two figures it is the higher one.
        """
        found = costs(_data())
        self.assertEqual((80, 1.0, 6.0), (found.sessions, found.idle, found.kB))
        self.assertAlmostEqual(8.0, found.delivery)
        self.assertAlmostEqual(8.0, found.balanced)
        # A message costs 30 with one process, and 60 with four.
        self.assertAlmostEqual(10.0, found.hear)
        self.assertAlmostEqual(2.0, found.hearBusy)
        self.assertAlmostEqual(20.0, found.publish)
        self.assertEqual((100.0, 200.0), (found.bytesIn, found.bytesOut))
        self.assertAlmostEqual(250.0, found.kBEach)

    def test_text(self) -> None:
        """
        The text has a table for each part, and what the last one rests on.
        """
        text = manyreport.asText(_data())
        for part in (
            "fan-out to 80 WebSocket sessions over 4 processes",
            "To open a WebSocket session",
            "adds to an echo",
            "by more processes",
            "one session in each process",
            "What a million sessions take",
            "10,000 channels of 100",
            "hears of it by the bus",
        ):
            self.assertIn(part, text)

    def test_parts(self) -> None:
        """
        What was not measured has no table, and nothing is said of a million.
        """
        for missing in many.PARTS:
            data = {name: value for name, value in _data().items() if name != missing}
            self.assertEqual(missing == "echo", "a million" in manyreport.asText(data), missing)

    def test_failedRun(self) -> None:
        """
        A run by the clock that has failed leaves no row.
        """
        data = _data()
        data["fanout"]["haproxy"]["paced"] = None
        _, _, rows = next(iter(manyreport.tables(data)))
        self.assertEqual(3, len(rows))
        self.assertIn("a million", manyreport.asText(data))

    def test_write(self) -> None:
        """
        The documentation gets the figures and the tables, from which the figures can be read again.
        """
        directory = Path(self.mktemp())
        manyreport.write(_data(), directory)
        self.assertEqual(["many-million.rst", "many.json", "many.rst"], sorted(p.name for p in directory.iterdir()))
        self.assertEqual(_data(), manyreport.read(directory / "many.json"))
        self.assertIn("redis-server 7", (directory / "many.rst").read_text("utf-8"))
        text = (directory / "many-million.rst").read_text("utf-8")
        for sentence in assumptions(_data()):
            self.assertIn(sentence, text)

    def test_writePart(self) -> None:
        """
        It gets nothing when something is missing.
        """
        directory = Path(self.mktemp())
        for missing in many.PARTS:
            data = {name: value for name, value in _data().items() if name != missing}
            self.assertRaises(ValueError, manyreport.write, data, directory)
        self.assertFalse(directory.exists())

    def test_documentationIsCurrent(self) -> None:
        """
        What the documentation says of a million comes from the figures that it shows.
        """
        docs = ROOT / "docs" / "_static" / "benchmarks"
        text = manyreport.millionRST(manyreport.read(docs / "many.json"))
        self.assertEqual(text, (docs / "many-million.rst").read_text("utf-8"))

    def test_idle(self) -> None:
        """
        What an idle session costs is what the documentation says: here 0.5 % of a core for 10,000.
        """
        path = Path(self.mktemp())
        path.write_text(json.dumps({"results": {"idle": {"idle": {"cpu_percent": 0.5, "rss": 7.5}}}}), "utf-8")
        self.assertEqual({"cpu": 0.5, "kB": 7.5}, many.committedIdle(path))


class CommandTests(SynchronousTestCase):
    """
    C{python -m benchmarks many}.
    """

    def call(self, *words: str):
        """
        @return: the exit status, and what was said.
        """
        output, errors = io.StringIO(), io.StringIO()
        scratch = str(Path(self.mktemp()).resolve())
        with (
            mock.patch.object(sys, "argv", ["benchmarks", "many", "--scratch", scratch, *words]),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            try:
                status = commands.main()
            except SystemExit as error:
                status = error.code
        return status, output.getvalue(), errors.getvalue()

    def test_badValues(self) -> None:
        """
        What makes no sense is refused in one line that says what would.
        """
        notJSON = Path(self.mktemp())
        notJSON.write_text("{", "utf-8")
        other = Path(self.mktemp())
        other.write_text("{}", "utf-8")
        for words, answer in (
            (["--sessions", "0"], "'0' is no whole number of at least 1"),
            (["--sessions", "1e4"], "'1e4' is no whole number of at least 1"),
            (["--processes", "none"], "'none' is no whole number of at least 1"),
            (["--duration", "inf"], "'inf' is no number of at least 0.1"),
            (["--rate", "nan"], "'nan' is no number of at least 0.1"),
            (["--what", "cake"], "invalid choice: 'cake'"),
            (["--figures", str(notJSON)], "it is no JSON"),
            (["--figures", str(other)], "it has no figures of python -m benchmarks many"),
            (["--figures", self.mktemp()], "No such file"),
            (["--sessions", "100000000"], "ulimit -n"),
            (["--sessions", "3", "--processes", "4"], "--processes 4: more than the 3 sessions"),
            (["--quick", "--docs"], "the figures of --quick are not for --docs"),
        ):
            status, output, errors = self.call(*words)
            self.assertTrue(status, words)
            self.assertIn(answer, errors.splitlines()[-1])
            self.assertEqual("", output)

    def test_missingProgram(self) -> None:
        """
        A program that is not there is named before anything is measured.
        """
        self.patch(os, "environ", {"PATH": self.mktemp()})
        status, output, errors = self.call("--quick", "--what", "echo")
        self.assertEqual((1, ""), (status, output))
        self.assertIn("haproxy is not installed", errors)

    def test_figures(self) -> None:
        """
        The figures of an earlier run are shown again, and put into the documentation.
        """
        path, docs = Path(self.mktemp()), Path(self.mktemp())
        path.write_text(json.dumps(_data()), "utf-8")
        self.patch(commands, "_DOCS", docs)
        status, output, errors = self.call("--figures", str(path), "--docs")
        self.assertEqual((0, ""), (status, errors))
        self.assertEqual(manyreport.asText(_data()), output.rstrip("\n"))
        self.assertEqual(_data(), manyreport.read(docs / "many.json"))

    def test_figuresWithFailures(self) -> None:
        """
        Those of a run in which something went wrong leave the documentation as it is.
        """
        path, docs = Path(self.mktemp()), Path(self.mktemp())
        path.write_text(json.dumps({**_data(), "failures": ["this went wrong"]}), "utf-8")
        self.patch(commands, "_DOCS", docs)
        status, _, errors = self.call("--figures", str(path), "--docs")
        self.assertEqual(1, status)
        self.assertIn("this went wrong", errors)
        self.assertFalse(docs.exists())

    def test_limit(self) -> None:
        """
        When the time is over, no run is begun any more, and that is told.
        """
        said: list[str] = []
        measuring = many.Many(Path(self.mktemp()), said.append, sessions=4, limit=0.0, begun=time.monotonic() - 1)
        self.assertEqual([], measuring.measure(["growth"])["growth"])
        self.assertEqual(said, measuring.failures)
        self.assertIn("not measured", said[0])


class TotalTests(SynchronousTestCase):
    """
    L{total}.
    """

    def test_total(self) -> None:
        """
        What several processes have used is the sum of what each has.
        """
        state = readProcess(os.getpid())
        both = total([state, state])
        self.assertEqual((2 * state.cpu, 2 * state.rss), (both.cpu, both.rss))
        self.assertEqual(0, total([]).rss)
