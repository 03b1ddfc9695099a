# -*- test-case-name: tests.test_metrics -*-
"""
Metrics for Prometheus: what the services of a process have counted, and what other processes tell.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openMetrics
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from tests.support import Apps, Recorder, SiteCase, TextEcho
from txsockjs.broadcast import Channels
from txsockjs.bus.interfaces import BusFacts
from txsockjs.factory import SockJSFactory, SockJSMultiFactory
from txsockjs.metrics import MetricsResource, Peer, StatusSite, Watched, collectorOf
from txsockjs.metrics.exposition import ExpositionResource
from txsockjs.options import TRANSPORTS
from txsockjs.stats import Cause
from txsockjs.testing import connect


def samplesOf(text):
    """
    @return: the value of each sample of an exposition, by name and labels; none may be there twice.
    """
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


class MetricsCase(SiteCase):
    """
    Serves the metrics of something.
    """

    def hang(self, leaf):
        root = Resource()
        root.putChild(b"metrics", leaf)
        self.serveTree(root)
        if isinstance(leaf, MetricsResource):
            self.addCleanup(leaf.stop)

    def service(self, factory=None, **settings):
        site = SockJSFactory(factory or Apps(TextEcho), reactor=self.clock, heartbeat_delay=0, **settings)
        self.resources.append(site.resource)
        return site

    def scrape(self, headers=None):
        answer = self.answerTo("GET", "/metrics", headers)
        self.assertEqual(answer.code, 200, answer.body)
        return answer

    def samples(self):
        self.found = samplesOf(self.scrape().body.decode("utf-8"))
        return self.found

    def value(self, name, **labels):
        return self.found[name, *sorted(labels.items())]


class CollectorTests(MetricsCase):
    """
    What is told of the services of this process.
    """

    def use(self, places, **settings):
        self.hang(MetricsResource(places, reactor=self.clock, registry=CollectorRegistry(), **settings))

    def test_sessions(self):
        """
        Sessions are told by service, transport and state; what can be and is not, is 0.
        """
        site = self.service()
        self.use(site)
        clients = [connect(site.resource, transport=name) for name in ("xhr-polling", "xhr-polling", "websocket")]
        self.samples()
        self.assertEqual(self.value("sockjs_sessions", service="/", transport="xhr-polling", state="open"), 2)
        self.assertEqual(self.value("sockjs_sessions", service="/", transport="websocket", state="open"), 1)
        for name in set(TRANSPORTS) - {"xhr-polling", "websocket"}:
            self.assertEqual(self.value("sockjs_sessions", service="/", transport=name, state="open"), 0)
            self.assertEqual(self.value("sockjs_sessions_opened_total", service="/", transport=name), 0)
        self.assertEqual(self.value("sockjs_sessions_opened_total", service="/", transport="xhr-polling"), 2)
        del clients

    def test_counters(self):
        """
        What a service counts is told under its name, each cause by its words.
        """
        site = self.service(max_sessions=7)
        self.use(site)
        stats = site.resource.stats
        stats.closed[Cause.STALLED] = 3
        stats.refused["too many sessions"] = 4
        stats.messagesIn, stats.messagesOut, stats.bytesIn, stats.bytesOut, stats.pauses = 5, 6, 7, 8, 9
        self.samples()
        self.assertEqual(self.value("sockjs_sessions_closed_total", service="/", cause="client does not read"), 3)
        self.assertEqual(self.value("sockjs_sessions_closed_total", service="/", cause="closed by the client"), 0)
        self.assertEqual(self.value("sockjs_refused_total", service="/", cause="too many sessions"), 4)
        self.assertEqual(self.value("sockjs_received_messages_total", service="/"), 5)
        self.assertEqual(self.value("sockjs_sent_messages_total", service="/"), 6)
        self.assertEqual(self.value("sockjs_received_bytes_total", service="/"), 7)
        self.assertEqual(self.value("sockjs_sent_bytes_total", service="/"), 8)
        self.assertEqual(self.value("sockjs_producer_pauses_total", service="/"), 9)
        self.assertEqual(self.value("sockjs_sessions_limit", service="/"), 7)

    def test_traffic(self):
        """
        Real messages are counted, and what waits for a client that does not come is told.
        """
        site = self.service()
        self.use(site)
        connect(site.resource, transport="xhr-polling").send("x")
        self.samples()
        self.assertEqual(self.value("sockjs_received_messages_total", service="/"), 1)
        self.assertEqual(self.value("sockjs_sent_messages_total", service="/"), 1)
        self.assertGreater(self.value("sockjs_received_bytes_total", service="/"), 0)

    def test_waiting(self):
        """
        What waits for clients is told, and how many sessions are paused or blocked.
        """
        apps = Apps(Recorder)
        site = self.service(apps)
        self.use(site)
        watching, self.site = self.site, site
        self.answerTo("POST", "/0/s/xhr")
        apps.last.transport.write(b"abc")
        apps.last.transport.write(b"de")
        self.site = watching
        self.samples()
        self.assertEqual(self.value("sockjs_queued_messages", service="/"), 2)
        self.assertEqual(self.value("sockjs_queued_bytes", service="/"), len('"abc""de"'))
        self.assertEqual(self.value("sockjs_sessions_paused", service="/"), 0)
        self.assertEqual(self.value("sockjs_sessions_blocked", service="/"), 0)
        self.assertNotIn(("sockjs_sessions_limit", ("service", "/")), self.found)

    def test_severalServices(self):
        """
        Each service of a site is told by its path, also those that are added later.
        """
        site = SockJSMultiFactory(reactor=self.clock)
        self.use(site)
        for path in ("a", "b/c"):
            self.resources.append(site.addFactory(Apps(), path))
        self.resources[0].stats.messagesIn = 4
        self.samples()
        self.assertEqual(self.value("sockjs_received_messages_total", service="/a"), 4)
        self.assertEqual(self.value("sockjs_received_messages_total", service="/b/c"), 0)

    def test_mapping(self):
        """
        Services that hang in a tree of the user's are given by their paths.
        """
        self.use({"/deep/chat": self.service().resource}, process="p1")
        self.samples()
        self.assertEqual(self.value("sockjs_sent_messages_total", service="/deep/chat", process="p1"), 0)

    def test_draining(self):
        """
        A service that drains says so at once.
        """
        site = self.service()
        self.use(site)
        self.samples()
        self.assertEqual(self.value("sockjs_draining", service="/"), 0)
        site.drain()
        self.samples()
        self.assertEqual(self.value("sockjs_draining", service="/"), 1)

    def test_lag(self):
        """
        The lag of the reactor is a histogram whose buckets include the smaller ones; beside it are the last and the
        greatest lag.
        """
        self.use(self.service())
        self.clock.advance(0.5)
        self.clock.advance(0.9)
        self.clock.advance(0.5)
        self.samples()
        count = {
            float(labels[0][1]): value
            for (name, *labels), value in self.found.items()
            if name == "sockjs_event_loop_lag_seconds_bucket"
        }
        self.assertEqual((count[0.001], count[0.25], count[0.5], count[math.inf]), (2, 2, 3, 3))
        self.assertEqual(list(count.values()), sorted(count.values()))
        self.assertAlmostEqual(self.value("sockjs_event_loop_lag_seconds_sum"), 0.4)
        self.assertEqual(self.value("sockjs_event_loop_lag_seconds_count"), 3)
        self.assertEqual(self.value("sockjs_event_loop_lag_last_seconds"), 0)
        self.assertAlmostEqual(self.value("sockjs_event_loop_lag_max_seconds"), 0.4)

    def test_name(self):
        """
        With the name of a process each sample has it, also those of the registry.
        """
        registry = CollectorRegistry()
        registry.register(_Own("app_jobs"))
        self.hang(MetricsResource(self.service(), process="p1", registry=registry, reactor=self.clock))
        found = self.samples()
        self.assertTrue(all(("process", "p1") in labels for _, *labels in found))
        self.assertEqual(self.value("app_jobs", process="p1"), 1)

    def test_onePass(self):
        """
        A scrape looks at the sessions of each service once.
        """
        site = self.service()
        self.use(site)
        looks = []
        real = site.resource.gauges
        site.resource.gauges = lambda: looks.append(1) or real()
        self.samples()
        self.assertEqual(looks, [1])

    def test_names(self):
        """
        Names begin with C{sockjs_}, counters end with C{_total} and nothing else does, units are base units, and each
        family has its help and its type once.
        """
        self.use(self.service(max_sessions=1))
        text = self.scrape().body.decode("utf-8")
        helps = Counter(re.findall("^# HELP ([^ ]+) .+", text, re.MULTILINE))
        types = dict(re.findall("^# TYPE ([^ ]+) (.+)$", text, re.MULTILINE))
        self.assertEqual(set(helps), set(types))
        self.assertEqual(set(helps.values()), {1})
        self.assertGreaterEqual(len(types), 20)
        for name, kind in types.items():
            self.assertRegex(name, "^sockjs_[a-z_]+$")
            self.assertEqual(name.endswith("_total"), kind == "counter", name)
            self.assertNotRegex(name, "milli|kilo|minutes|_ms")

    def test_registry(self):
        """
        A collector can be put into a registry, which does not make it look at sessions, beside what the user has there.
        """
        site = self.service()
        looks = []
        real = site.resource.gauges
        site.resource.gauges = lambda: looks.append(1) or real()
        registry = CollectorRegistry()
        collector = collectorOf(site, reactor=self.clock)
        self.addCleanup(collector.stop)
        registry.register(collector)
        self.assertEqual(looks, [])
        self.assertEqual(registry.get_sample_value("sockjs_sent_messages_total", {"service": "/"}), 0)
        self.assertRaises(ValueError, registry.register, collector)
        self.clock.advance(1)
        self.assertEqual(registry.get_sample_value("sockjs_event_loop_lag_last_seconds"), 0.5)
        collector.stop()
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() == 1.5], [])


class ChannelsTests(MetricsCase):
    """
    What is told of the channels of this process, and of its bus.
    """

    def setUp(self):
        super().setUp()
        self.channels = Channels()
        self.apps = Apps(Recorder)
        self.watchedSite = self.service(self.apps)
        leaf = MetricsResource(
            self.watchedSite, reactor=self.clock, registry=CollectorRegistry(), channels=self.channels
        )
        self.hang(leaf)

    def test_channels(self):
        """
        Channels and members are told, and what was published, delivered and could not be.
        """
        watching, self.site = self.site, self.watchedSite
        for name in "ab":
            self.answerTo("POST", f"/0/{name}/xhr")
        self.site = watching
        first, second = self.apps.built
        for protocol, channel in ((first, "x"), (second, "x"), (second, "y"), (first, "z")):
            self.channels.subscribe(protocol, channel)
        self.channels.unsubscribe(first, "z")
        for channel in "xxyn":
            self.channels.publish(channel, "hello")
        self.channels.stats.undeliverable = 4
        self.samples()
        self.assertEqual(self.value("sockjs_channels"), 2)
        self.assertEqual(self.value("sockjs_channel_members"), 3)
        self.assertEqual(self.value("sockjs_channel_joins_total"), 4)
        self.assertEqual(self.value("sockjs_channel_leaves_total"), 1)
        self.assertEqual(self.value("sockjs_channel_published_messages_total"), 4)
        self.assertEqual(self.value("sockjs_channel_delivered_messages_total"), 5)
        self.assertEqual(self.value("sockjs_channel_undeliverable_messages_total"), 4)

    def test_bus(self):
        """
        What the bus counts is told under its name; its lag is a histogram.
        """
        bus = self.channels.bus
        names = "messagesOut bytesOut batchesOut messagesIn bytesIn batchesIn duplicates malformed connects disconnects"
        for number, name in enumerate([*names.split(), "failures"], 1):
            setattr(bus.stats, name, number)
        bus.stats.lags[0], bus.stats.lags[-1] = 2, 1
        bus.stats.lagCount, bus.stats.lagSum, bus.stats.lastLag = 3, 20.5, 20.0
        bus.facts = lambda: BusFacts("redis://h:6379/0", False, 12, 13, 0)
        self.channels.stats.gaps, self.channels.stats.lost = 14, 15
        self.samples()
        self.assertEqual(self.value("sockjs_bus_connected", bus="redis://h:6379/0"), 0)
        self.assertEqual(self.value("sockjs_bus_waiting_messages"), 12)
        self.assertEqual(self.value("sockjs_bus_waiting_bytes"), 13)
        told = [
            *("sent_messages", "sent_bytes", "sent_batches", "received_messages", "received_bytes", "received_batches"),
            *("duplicates", "malformed", "connects", "disconnects", "connect_failures"),
        ]
        for number, name in enumerate(told, 1):
            self.assertEqual(self.value(f"sockjs_bus_{name}_total"), number)
        self.assertEqual(self.value("sockjs_bus_gaps_total"), 14)
        self.assertEqual(self.value("sockjs_bus_lost_messages_total"), 15)
        self.assertEqual(self.value("sockjs_bus_lag_seconds_bucket", le="0.001"), 2)
        self.assertEqual(self.value("sockjs_bus_lag_seconds_bucket", le="10.0"), 2)
        self.assertEqual(self.value("sockjs_bus_lag_seconds_bucket", le="+Inf"), 3)
        self.assertEqual(self.value("sockjs_bus_lag_seconds_sum"), 20.5)
        self.assertEqual(self.value("sockjs_bus_lag_last_seconds"), 20)

    def test_facts(self):
        """
        The facts of a process have them too; a lag that was never measured is none.
        """
        self.channels.publish("x", "hello")
        facts = json.loads(json.dumps(Watched({}, "", self.clock, self.channels).facts()))["channels"]
        self.assertEqual((facts["channels"], facts["members"], facts["published"], facts["lost"]), (0, 0, 1, 0))
        self.assertEqual((facts["bus"]["name"], facts["bus"]["connected"], facts["bus"]["lag"]), ("memory", True, None))
        self.channels.bus.stats.lagCount, self.channels.bus.stats.lastLag = 1, 0.25
        facts = Watched({}, "", self.clock, self.channels).facts()["channels"]
        self.assertEqual(facts["bus"]["lag"], 0.25)


class _Own:
    """
    A collector of the application's.
    """

    def __init__(self, name, fails=False):
        self.name = name
        self.fails = fails

    def collect(self):
        if self.fails:
            raise RuntimeError("no numbers today")
        yield GaugeMetricFamily(self.name, "Jobs.", 1)

    def describe(self):
        return []


class ExpositionTests(MetricsCase):
    """
    How it is told.
    """

    def use(self, *collectors):
        registry = CollectorRegistry()
        for collector in collectors:
            registry.register(collector)
        self.hang(MetricsResource(self.service(), registry=registry, reactor=self.clock))

    def test_format(self):
        """
        It is the text format that Prometheus reads, which nobody may keep.
        """
        self.use()
        answer = self.scrape()
        self.assertEqual(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8")
        self.assertIn("no-store", answer.header("cache-control"))

    def test_openMetrics(self):
        """
        Who asks for OpenMetrics gets that.
        """
        self.use()
        answer = self.scrape({"Accept": "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"})
        self.assertIn("application/openmetrics-text", answer.header("content-type"))
        names = {family.name for family in openMetrics(answer.body.decode("utf-8"))}
        self.assertIn("sockjs_sent_messages", names)

    def test_methods(self):
        """
        It can be read, and nothing else.
        """
        self.use()
        self.assertEqual(self.answerTo("HEAD", "/metrics").body, b"")
        self.assertEqual(self.answerTo("POST", "/metrics", body=b"x").code, 405)

    def test_own(self):
        """
        What the application counts is told as well.
        """
        self.use(_Own("app_jobs"))
        self.samples()
        self.assertEqual(self.value("app_jobs"), 1)

    def test_ownFails(self):
        """
        When a collector of the application fails, the answer is 500 and the log has the traceback.
        """
        self.use(_Own("app_jobs", fails=True))
        answer = self.answerTo("GET", "/metrics")
        self.assertEqual(answer.code, 500)
        self.assertNotIn(b"no numbers today", answer.body)
        self.assertEqual([str(failure.value) for failure in self.flushLoggedErrors()], ["no numbers today"])

    def test_both(self):
        """
        A collector of ours in the registry, beside the resource, tells nothing twice.
        """
        site = self.service()
        registry = CollectorRegistry()
        collector = collectorOf(site, reactor=self.clock)
        self.addCleanup(collector.stop)
        registry.register(collector)
        self.hang(MetricsResource(site, registry=registry, reactor=self.clock))
        self.samples()
        self.assertEqual(self.value("sockjs_up"), 1)


class FakePeer(Peer):
    """
    A process that answers when it is told to.
    """

    def __init__(self, name):
        super().__init__(name, None, b"", None)
        self.waiting = {}

    def ask(self, path):
        return self.waiting.setdefault(path, Deferred())

    def say(self, path, body):
        self.waiting.pop(path).callback(body)

    def fail(self, path):
        self.waiting.pop(path).errback(OSError("away"))


THEIRS = """\
# HELP sockjs_up 1 for a process that answers, else 0.
# TYPE sockjs_up gauge
sockjs_up%s 1.0
# HELP sockjs_sent_messages_total Messages.
# TYPE sockjs_sent_messages_total counter
sockjs_sent_messages_total{service="/"} 7.0
# HELP app_jobs Jobs.
# TYPE app_jobs gauge
app_jobs 3.0
"""


class MergedTests(MetricsCase):
    """
    The metrics of several processes in one.
    """

    def setUp(self):
        super().setUp()
        self.peers = [FakePeer("p1"), FakePeer("p2")]
        self.hang(ExpositionResource(None, self.peers))

    def scraped(self, *bodies):
        """
        Scrape, while the peers answer, or fail where there is no answer.
        """
        answer = self.ask("GET", "/metrics")
        for peer, body in zip(self.peers, bodies):
            self.assertFalse(answer().ended)
            if body is None:
                peer.fail("/metrics")
            else:
                peer.say("/metrics", body.encode("utf-8"))
        self.assertEqual(answer().code, 200)
        self.text = answer().body.decode("utf-8")
        self.found = samplesOf(self.text)
        return self.found

    def test_labels(self):
        """
        Each sample tells the process that it is from, and each family has one help and one type.
        """
        self.scraped(THEIRS % "", THEIRS % "")
        for name in ("p1", "p2"):
            self.assertEqual(self.value("sockjs_up", process=name), 1)
            self.assertEqual(self.value("sockjs_sent_messages_total", service="/", process=name), 7)
            self.assertEqual(self.value("app_jobs", process=name), 3)
        self.assertEqual(len(self.found), 6)
        self.assertEqual(self.text.count("# HELP sockjs_sent_messages_total"), 1)
        self.assertEqual(self.text.count("# TYPE sockjs_sent_messages_total"), 1)

    def test_gone(self):
        """
        Who does not answer is left out, but for C{sockjs_up}.
        """
        self.scraped(THEIRS % "", None)
        self.assertEqual(self.value("sockjs_up", process="p2"), 0)
        self.assertEqual([key for key in self.found if ("process", "p2") in key], [("sockjs_up", ("process", "p2"))])

    def test_allGone(self):
        """
        When nobody answers, that is told.
        """
        self.assertEqual(
            self.scraped(None, None), {("sockjs_up", ("process", "p1")): 0, ("sockjs_up", ("process", "p2")): 0}
        )

    def test_nested(self):
        """
        Where a peer tells of several processes, these have both names; they are gone when the peer is.
        """
        two = 'sockjs_up{process="a"} 1.0\nsockjs_up{process="p1"} 1.0\n'
        self.scraped("# TYPE sockjs_up gauge\n" + two, THEIRS % "")
        self.assertEqual(self.value("sockjs_up", process="p1/a"), 1)
        self.assertEqual(self.value("sockjs_up", process="p1"), 1)
        self.scraped(None, THEIRS % "")
        self.assertEqual(self.value("sockjs_up", process="p1/a"), 0)
        self.assertEqual(self.value("sockjs_up", process="p1"), 0)

    def test_strange(self):
        """
        Who answers with something else is as good as gone.
        """
        for body in ("<html>", "", "# TYPE\n", "other_up 1\n", 'a{b="c} 1\n'):
            self.scraped(body, THEIRS % "")
            self.assertEqual(self.value("sockjs_up", process="p1"), 0)
            self.assertEqual(self.value("sockjs_up", process="p2"), 1)

    def test_otherType(self):
        """
        A name that has another type in another process is told once, as the first one says.
        """
        other = (THEIRS % "").replace("app_jobs gauge", "app_jobs counter")
        self.scraped(THEIRS % "", other)
        self.assertEqual(self.value("app_jobs", process="p1"), 3)
        self.assertNotIn(("app_jobs", ("process", "p2")), self.found)
        self.assertEqual(self.text.count("# TYPE app_jobs"), 1)

    def test_clientGone(self):
        """
        Nothing fails when the one who asked goes away before the peers have answered.
        """
        connection = self.connect()
        connection.ask("GET", "/metrics")
        connection.lose()
        for peer in self.peers:
            peer.say("/metrics", (THEIRS % "").encode())

    def test_withOwn(self):
        """
        A process that has a service itself, and peers, is among them.
        """
        site = self.service()
        self.hang(ExpositionResource(Watched(site, "me", self.clock), self.peers, CollectorRegistry()))
        self.scraped(THEIRS % "", THEIRS % "")
        self.assertEqual(self.value("sockjs_sent_messages_total", service="/", process="me"), 0)
        self.assertEqual(self.value("sockjs_sent_messages_total", service="/", process="p2"), 7)


class FactsTests(SiteCase):
    """
    L{Watched.facts}.
    """

    def test_facts(self):
        """
        They are ready for JSON, and tell how the process and each service stand.
        """
        apps = Apps(TextEcho)
        site = SockJSFactory(apps, reactor=self.clock, heartbeat_delay=0)
        self.resources.append(site.resource)
        watched = Watched(site, "p1", self.clock)
        self.site = site
        self.answerTo("POST", "/0/s/xhr")
        self.post("/0/s/xhr_send", "abc")
        self.clock.advance(2.5)
        site.resource.stats.refused["origin"] = 2
        facts = json.loads(json.dumps(watched.facts()))
        self.assertEqual((facts["process"], facts["state"], facts["uptime"]), ("p1", "serving", 2.5))
        self.assertGreater(facts["cpu"], 0)
        self.assertEqual(facts["lag"], {"last": 0, "most": 0})
        [service] = facts["services"]
        self.assertEqual(service["path"], "/")
        self.assertEqual((service["sessions"], service["states"]), ({"xhr-polling": 1}, {"open": 1}))
        self.assertEqual((service["messages_in"], service["messages_out"], service["queued_messages"]), (1, 1, 1))
        self.assertEqual((service["refused"], service["draining"]), ({"origin": 2}, False))
        site.drain()
        facts = watched.facts()
        self.assertEqual((facts["state"], facts["services"][0]["draining"]), ("draining", True))

    def test_closed(self):
        """
        Sessions that are over and not told yet count by their state, and not by their transport.
        """
        apps = Apps(TextEcho)
        site = SockJSFactory(apps, reactor=self.clock, heartbeat_delay=0)
        self.resources.append(site.resource)
        watched = Watched({"/x": site.resource}, "", self.clock)
        self.site = site
        socket = self.connect()
        socket.upgrade("/0/w/websocket")
        apps.last.transport.loseConnection()
        self.clock.advance(0)
        [service] = watched.facts()["services"]
        self.assertEqual((service["sessions"], service["states"]), ({}, {"closed": 1}))


class SiteTests(MetricsCase):
    """
    L{StatusSite}, without peers.
    """

    def setUp(self):
        super().setUp()
        self.watchedSite = self.service()
        self.site = StatusSite(Watched(self.watchedSite, "", self.clock), reactor=self.clock)

    def test_places(self):
        """
        It serves metrics, health and the facts as JSON; anything else is not found.
        """
        self.assertIn(("sockjs_up",), self.samples())
        self.assertEqual(self.answerTo("GET", "/health").body, b"ok\n")
        answer = self.answerTo("GET", "/status.json")
        self.assertEqual(answer.header("content-type"), "application/json; charset=UTF-8")
        self.assertIn("no-store", answer.header("cache-control"))
        told = json.loads(answer.body)
        [facts] = told["processes"]
        self.assertEqual((facts["process"], facts["state"]), ("", "serving"))
        self.assertEqual(told["transports"], list(TRANSPORTS))
        for path in ("/status/index.html", "/other", "/status/", "/status"):
            self.assertEqual(self.answerTo("GET", path).code, 404, path)

    def test_draining(self):
        """
        While the services drain it says so, and goes on to serve.
        """
        self.watchedSite.drain()
        self.assertEqual(self.answerTo("GET", "/health").code, 503)
        [facts] = json.loads(self.answerTo("GET", "/status.json").body)["processes"]
        self.assertEqual(facts["state"], "draining")
        self.samples()
        self.assertEqual(self.value("sockjs_draining", service="/"), 1)

    def test_bodies(self):
        """
        A body that is larger than anything that belongs here is refused before it has come.
        """
        connection = self.connect()
        answer = connection.ask("POST", "/metrics", {"Content-Length": "4097"})
        self.assertEqual((answer().code, answer().header("connection")), (405, "close"))
        self.assertFalse(self.connect().ask("POST", "/metrics", {"Content-Length": "4096"})().ended)

    def test_slowRequest(self):
        """
        A request that does not arrive in time costs its connection.
        """
        connection = self.connect()
        connection.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        self.clock.advance(19)
        self.assertEqual(connection.transport.value(), b"")
        self.clock.advance(1)
        self.assertIn(b"408", connection.transport.value())

    def test_fresh(self):
        """
        However many ask for the facts, the sessions are looked at twice a second at most.
        """
        looks = []
        real = self.watchedSite.resource.gauges
        self.watchedSite.resource.gauges = lambda: looks.append(1) or real()
        for _ in range(5):
            self.answerTo("GET", "/status.json")
        self.assertEqual(len(looks), 1)
        self.clock.advance(0.5)
        self.answerTo("GET", "/status.json")
        self.assertEqual(len(looks), 2)


class ManyTests(SiteCase):
    """
    L{StatusSite} of several processes.
    """

    def setUp(self):
        super().setUp()
        self.peers = [FakePeer("p1"), FakePeer("p2")]
        self.site = StatusSite(None, self.peers, reactor=self.clock)

    def told(self, path, *states):
        """
        Ask, while the peers tell these states, or nothing.
        """
        answer = self.ask("GET", path)
        for peer, state in zip(self.peers, states):
            if state is None:
                peer.fail("/status.json")
            else:
                row = {"process": "", "state": state, "lag": {"last": 0, "most": 0.5}}
                peer.say("/status.json", json.dumps({"processes": [row]}).encode())
        self.assertTrue(answer().ended)
        self.clock.advance(1)
        return answer()

    def test_status(self):
        """
        The facts of all processes are told, by name; who does not answer is gone, and why.
        """
        answer = self.told("/status.json", "serving", None)
        self.assertEqual(
            json.loads(answer.body),
            {
                "processes": [
                    {"process": "p1", "state": "serving", "lag": {"last": 0, "most": 0.5}},
                    {"process": "p2", "state": "gone", "why": "can't be reached"},
                ],
                "transports": list(TRANSPORTS),
            },
        )

    def test_health(self):
        """
        All is well while one process serves; and each state is told.
        """
        for states, code, first in (
            (("serving", "serving"), 200, "ok"),
            (("draining", "serving"), 200, "ok"),
            ((None, "serving"), 200, "ok"),
            (("draining", "draining"), 503, "draining"),
            (("draining", None), 503, "draining"),
            ((None, None), 503, "gone"),
        ):
            answer = self.told("/health", *states)
            words = [state or "gone" for state in states]
            self.assertEqual(answer.code, code, states)
            self.assertEqual(answer.body.decode(), f"{first}\np1: {words[0]}\np2: {words[1]}\n")

    def test_strange(self):
        """
        Who tells something else is as good as gone.
        """
        for body in (
            b"<html>",
            b"{}",
            b"[]",
            b"null",
            b'{"processes": 3}',
            b'{"processes": [{"process": 1}]}',
            b'{"processes": [{"process": "", "state": "serving"}]}',
            b'{"processes": [{"process": "", "state": "serving", "lag": {"last": 0, "most": "0"}}]}',
            b'{"processes": [{"process": "", "state": "serving", "lag": {"last": NaN, "most": 0}}]}',
            b"[" * 100_000,
            b"\xff",
        ):
            answer = self.ask("GET", "/status.json")
            self.peers[0].say("/status.json", body)
            self.peers[1].say("/status.json", b'{"processes": []}')
            self.assertEqual(
                json.loads(answer().body)["processes"],
                [{"process": "p1", "state": "gone", "why": "answers with something else"}],
            )
            self.clock.advance(1)

    def test_clientGone(self):
        """
        Nothing fails when the one who asked goes away before the peers have answered.
        """
        connection = self.connect()
        connection.ask("GET", "/status.json")
        connection.lose()
        for peer in self.peers:
            peer.say("/status.json", b'{"processes": []}')
