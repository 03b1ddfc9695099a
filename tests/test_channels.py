# -*- test-case-name: tests.test_channels -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Tests for the channels of L{txsockjs.broadcast}, within one process.
"""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.test_broadcast import Link
from tests.test_broadcast import connect as connectLink
from txsockjs import broadcast
from txsockjs.broadcast import MAX_NAME, MAX_NESTED, Channels
from txsockjs.bus import busFromString, memory
from txsockjs.bus.interfaces import BusFacts, BusStats, Gap, IBus
from txsockjs.bus.memory import MemoryBus
from txsockjs.codec import RAW
from txsockjs.factory import SockJSFactory
from txsockjs.multiplex import SockJSMultiplexResource
from txsockjs.testing import TRANSPORTS, connect, finish


class Listener(Protocol):
    """
    Joins a channel, and remembers how its end came.
    """

    memberAtTheEnd = None

    def connectionMade(self):
        self.factory.channels.subscribe(self, "news")

    def connectionLost(self, reason):
        self.memberAtTheEnd = bool(self.factory.channels.channelsOf(self))


class Member:
    """
    A transport that is no session: it does something when it is written to.
    """

    def __init__(self, action=lambda message: None):
        self.got = []
        self.action = action

    def write(self, message):
        self.got.append(message)
        self.action(message)


@implementer(IBus)
class Bus:
    """
    A bus that keeps what it is told.
    """

    def __init__(self):
        self.stats = BusStats()
        self.told = []
        self.stopped = Deferred()

    def start(self, receive, gap, before):
        self.receive = receive
        self.gap = gap

    def subscribe(self, channel):
        self.told.append(("subscribe", channel))

    def unsubscribe(self, channel):
        self.told.append(("unsubscribe", channel))

    def publish(self, channel, message, mark):
        if message == "huge":
            raise ValueError("too large")
        self.told.append(("publish", channel, message, mark))

    def stop(self):
        return self.stopped

    def facts(self):
        return BusFacts("test", True, 0, 0, 0)


class MembershipTests(SynchronousTestCase):
    """
    Who is a member.
    """

    def setUp(self):
        self.channels = Channels()

    def test_joining(self):
        """
        A connection that has joined a channel gets what is published on it, and nothing else.
        """
        (a, one), (b, two) = connectLink(), connectLink()
        self.assertTrue(self.channels.subscribe(one, "a"))
        self.channels.subscribe(two, "b")
        self.channels.publish("a", "to a")
        self.channels.publish("b", b"to b")
        self.channels.publish("c", "to nobody")
        self.assertEqual((a.sent, b.sent), ([b'"to a"'], [b'"to b"']))

    def test_joiningTwice(self):
        """
        Who joins a channel a second time still gets everything once, and leaves it once.
        """
        link, one = connectLink()
        self.assertEqual([self.channels.subscribe(one, "a") for _ in range(2)], [True, True])
        self.channels.publish("a", "x")
        self.assertEqual(link.sent, [b'"x"'])
        self.assertEqual([self.channels.unsubscribe(one, "a") for _ in range(2)], [True, False])
        self.assertEqual(self.channels.gauges(), (0, 0))

    def test_leaving(self):
        """
        Who has left a channel gets nothing on it any more, but goes on in others.
        """
        link, one = connectLink()
        self.channels.subscribe(one, "a")
        self.channels.subscribe(one, "b")
        self.channels.unsubscribe(one, "a")
        self.channels.publish("a", "x")
        self.channels.publish("b", "y")
        self.assertEqual(link.sent, [b'"y"'])

    def test_looking(self):
        """
        One can ask which channels there are, who is in them, and where somebody is.
        """
        (_, one), (_, two) = connectLink(), connectLink(encoding="base64")
        for member, name in ((one, "b"), (one, "a"), (two, "b")):
            self.channels.subscribe(member, name)
        self.assertEqual(self.channels.channels, ("a", "b"))
        self.assertEqual(set(self.channels.members("b")), {one, two})
        self.assertEqual(self.channels.members("c"), ())
        self.assertEqual(self.channels.channelsOf(one), ("a", "b"))
        self.assertEqual(self.channels.gauges(), (2, 3))

    def test_protocol(self):
        """
        A protocol stands for its transport.
        """
        _, one = connectLink()
        protocol = Protocol()
        protocol.transport = one
        self.channels.subscribe(protocol, "a")
        self.assertEqual(self.channels.channelsOf(one), self.channels.channelsOf(protocol))
        self.channels.unsubscribe(one, "a")
        self.assertEqual(self.channels.channels, ())

    def test_noTransport(self):
        """
        What neither is nor has a transport is refused with its name, such as a protocol that is not connected yet.
        """
        for wrong in (Protocol(), None, 7, "a"):
            with self.subTest(repr(wrong)):
                error = self.assertRaises(TypeError, self.channels.subscribe, wrong, "a")
                self.assertIn(repr(wrong), str(error))

    def test_names(self):
        """
        A name is a text of 1 to 255 characters without half a surrogate pair; the error says so, everywhere.
        """
        _, one = connectLink()
        wrong = [
            (b"a", TypeError, "bytes"),
            (None, TypeError, "NoneType"),
            ("", ValueError, "not 0"),
            ("x" * (MAX_NAME + 1), ValueError, "not 256"),
            ("\ud800", ValueError, "surrogate"),
        ]
        for name, kind, text in wrong:
            for call in (
                lambda name=name: self.channels.subscribe(one, name),
                lambda name=name: self.channels.unsubscribe(one, name),
                lambda name=name: self.channels.publish(name, "x"),
            ):
                with self.subTest(name=name):
                    self.assertIn(text, str(self.assertRaises(kind, call)))
        self.assertEqual(self.channels.channels, ())
        self.channels.subscribe(one, "\U0001f600" * MAX_NAME)

    def test_over(self):
        """
        A session that is over leaves all its channels, and can't join any; nothing of it is left.
        """
        channels = self.channels
        factory = Factory.forProtocol(Protocol)
        client = connect(factory)
        transport = client.protocol.transport
        channels.subscribe(transport, "a")
        channels.subscribe(transport, "b")
        references = sys.getrefcount(transport)
        client.finish()
        self.assertEqual((channels.channels, channels.gauges()), ((), (0, 0)))
        self.assertFalse(channels.subscribe(transport, "a"))
        self.assertEqual(channels._memberships, {})
        channels.unsubscribe(transport, "a")
        self.assertLess(sys.getrefcount(transport), references)

    def test_everyTransport(self):
        """
        By every SockJS transport, a member gets what is published, and has left when its protocol hears of the end.
        """
        clock = Clock()
        self.addCleanup(finish, clock)
        factory = Factory.forProtocol(Listener)
        factory.channels = self.channels
        site = SockJSFactory(factory, reactor=clock)
        clients = [connect(site, transport=name) for name in TRANSPORTS]
        protocols = [client.protocol for client in clients]
        self.channels.publish("news", "é")
        self.assertEqual([client.received for client in clients], [["é"]] * len(TRANSPORTS))
        for client in clients:
            client.drop()
        clock.advance(60)
        self.assertEqual([protocol.memberAtTheEnd for protocol in protocols], [False] * len(TRANSPORTS))
        self.assertEqual(self.channels.channels, ())

    def test_multiplexed(self):
        """
        A channel of a multiplexed session can be a member too; it leaves with its own end, not with the session's.
        """
        clock = Clock()
        self.addCleanup(finish, clock)
        factory = Factory.forProtocol(Listener)
        factory.channels = self.channels
        resource = SockJSMultiplexResource(reactor=clock)
        for topic in ("red", "blue"):
            resource.addFactory(topic, factory)
        client = connect(resource)
        client.send("sub,red", "sub,blue")
        self.assertEqual(len(self.channels.members("news")), 2)
        self.channels.publish("news", "1")
        client.send("uns,red")
        self.channels.publish("news", "2")
        self.assertEqual(client.received, ["msg,red,1", "msg,blue,1", "msg,blue,2"])
        client.drop()
        self.assertEqual(self.channels.gauges(), (0, 0))

    def test_otherTransports(self):
        """
        A transport of another kind gets what is published by its write, until it is unsubscribed.
        """
        transport = StringTransport()
        self.channels.subscribe(transport, "a")
        self.channels.publish("a", b"x")
        self.channels.unsubscribe(transport, "a")
        self.channels.publish("a", b"y")
        self.assertEqual(transport.value(), b"x")


class MessageTests(SynchronousTestCase):
    """
    What is carried, and how.
    """

    def setUp(self):
        self.channels = Channels()

    def test_encodedOnce(self):
        """
        Sessions of one framing share the very same bytes, and each framing has its own.
        """
        links = []
        for framing in (None, None, RAW):
            link, member = connectLink() if framing is None else connectLink(framing)
            links.append(link)
            self.channels.subscribe(member, "a")
        self.channels.publish("a", "x\u2028")
        self.assertIs(links[0].sent[0], links[1].sent[0])
        self.assertEqual(links[2].sent, ["x\u2028".encode()])

    def test_encodings(self):
        """
        Bytes are decoded as the service of each member says; views of bytes are as good as these.
        """
        links = []
        for encoding in ("utf-8", "latin-1", "base64"):
            link, member = connectLink(encoding=encoding)
            links.append(link)
            self.channels.subscribe(member, "a")
        self.channels.publish("a", memoryview("é".encode()))
        self.assertEqual([link.sent for link in links], [['"é"'.encode()], ['"Ã©"'.encode()], [b'"w6k="']])

    def test_undecodable(self):
        """
        Bytes that the service of a member can't decode are an error for who publishes, and reach nobody.
        """
        links = []
        for encoding in ("latin-1", "utf-8"):
            link, member = connectLink(encoding=encoding)
            links.append(link)
            self.channels.subscribe(member, "a")
        self.assertRaises(ValueError, self.channels.publish, "a", b"\xc3")
        self.assertEqual([link.sent for link in links], [[], []])
        self.assertEqual(self.channels.stats.published, 0)
        self.channels.publish("b", b"\xc3")  # nobody there to mind

    def test_undecodableFromElsewhere(self):
        """
        Bytes from another process that a member's service can't decode reach the others; that is counted and logged.
        """
        bus = Bus()
        channels = Channels(bus)
        (a, one), (b, two) = connectLink(), connectLink(encoding="latin-1")
        channels.subscribe(one, "a")
        channels.subscribe(two, "a")
        bus.receive("a", [b"\xe9", b"e"], None)
        self.assertEqual((a.sent, b.sent), ([b'"e"'], ['"é"'.encode(), b'"e"']))
        self.assertEqual((channels.stats.undeliverable, channels.stats.delivered), (1, 3))

    def test_empty(self):
        """
        Empty bytes send nothing, as on any transport; an empty text is a message.
        """
        link, one = connectLink()
        self.channels.subscribe(one, "a")
        self.channels.publish("a", b"")
        self.channels.publish("a", bytearray())
        self.assertEqual(link.sent, [])
        self.channels.publish("a", "")
        self.assertEqual(link.sent, [b'""'])

    def test_noMessage(self):
        """
        What is neither bytes nor text is refused.
        """
        self.assertRaises(TypeError, self.channels.publish, "a", 7)
        self.assertRaises(TypeError, self.channels.publish, "a", None)

    def test_failingMember(self):
        """
        A member whose write fails does no harm to the others, nor to who publishes; it is logged.
        """

        def fail(message):
            raise RuntimeError("broken")

        before, broken, after = Member(), Member(fail), Member()
        for member in (before, broken, after):
            self.channels.subscribe(member, "a")
        self.channels.publish("a", b"x")
        self.assertEqual((before.got, after.got), ([b"x"], [b"x"]))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.channels.stats.delivered, 2)

    def test_hardFailingMember(self):
        """
        The same holds whatever it raises; the reactor would go on, too.
        """

        def leave(message):
            raise SystemExit

        members = [Member(), Member(leave), Member()]
        for member in members:
            self.channels.subscribe(member, "a")
        self.channels.publish("a", b"x")
        self.channels.publish("a", b"y")
        self.assertEqual([member.got for member in members], [[b"x", b"y"]] * 3)
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 2)

    def test_slowReader(self):
        """
        A member that does not read is ended when too much waits for it, and nobody else notices.
        """
        clock = Clock()
        self.addCleanup(finish, clock)
        factory = Factory.forProtocol(Listener)
        factory.channels = self.channels
        site = SockJSFactory(factory, max_queued_bytes=100_000, reactor=clock)
        slow, quick = connect(site), connect(site)
        slow.pauseReading()
        for _ in range(20):
            self.channels.publish("news", "x" * 10_000)
            clock.advance(0)
        self.assertEqual(len(quick.received), 20)
        self.assertEqual(self.channels.members("news"), (quick.protocol.transport,))
        slow.resumeReading()
        self.assertLess(len(slow.received), 20)

    def test_counters(self):
        """
        What happens is counted, ready for JSON.
        """
        (_, one), (_, two) = connectLink(), connectLink()
        self.channels.subscribe(one, "a")
        self.channels.subscribe(two, "a")
        self.channels.publish("a", "x")
        self.channels.publish("b", "x")
        self.channels.unsubscribe(one, "a")
        expected = {"published": 2, "delivered": 2, "undeliverable": 0, "joined": 2, "left": 1, "gaps": 0, "lost": 0}
        self.assertEqual(self.channels.stats.asDict(), expected)


class NestedTests(SynchronousTestCase):
    """
    What members do while they get a message.
    """

    def setUp(self):
        self.channels = Channels()

    def join(self, action=lambda message: None, channel="a"):
        """
        @return: a new member.
        """
        member = Member(action)
        self.channels.subscribe(member, channel)
        return member

    def test_publishing(self):
        """
        What a member publishes while it gets a message comes after that message, for all members.
        """

        def answer(message):
            if message == b"1":
                self.channels.publish("a", b"2")

        members = [self.join(), self.join(answer), self.join()]
        self.channels.publish("a", b"1")
        self.assertEqual([member.got for member in members], [[b"1", b"2"]] * 3)

    def test_leaving(self):
        """
        A member that another one has made leave while a message is delivered does not get it any more, nor one that
        comes back meanwhile.
        """

        def act(message):
            for member in members:
                self.channels.unsubscribe(member, "a")
            self.channels.subscribe(members[1], "a")

        members = [self.join(act), self.join(), self.join()]
        self.channels.publish("a", b"1")
        self.channels.publish("a", b"2")
        self.assertEqual([member.got for member in members], [[b"1"], [b"2"], []])

    def test_leavingInAnotherEncoding(self):
        """
        The same holds where those that leave take the message in another form, and are all that do.
        """
        link, other = connectLink()

        def act(message):
            self.channels.unsubscribe(other, "a")

        self.join(act)
        self.channels.subscribe(other, "a")
        self.channels.publish("a", b"1")
        self.assertEqual(link.sent, [])

    def test_joining(self):
        """
        One who joins while a message is delivered does not get it, but the next one, also if that is waiting already.
        """
        new = Member()
        link, late = connectLink()

        def act(message):
            if message == b"1":
                self.channels.publish("a", b"not for the new")
                self.channels.subscribe(new, "a")
                self.channels.subscribe(late, "a")
                self.channels.publish("a", b"2")

        self.join(act)
        self.channels.publish("a", b"1")
        self.assertEqual((new.got, link.sent), ([b"2"], [b'"2"']))

    def test_joiningWhileFromElsewhere(self):
        """
        The same holds for messages of other processes.
        """
        bus = Bus()
        self.channels = Channels(bus)
        new = Member()
        self.join(lambda message: self.channels.subscribe(new, "a"))
        bus.receive("a", [b"1", b"2"], None)
        self.assertEqual(new.got, [b"2"])

    def test_relay(self):
        """
        What a member publishes for each of very many messages that come from elsewhere in one piece is no endless
        chain, since it does not come back before they are delivered.
        """
        bus = Bus()
        channels = Channels(bus)
        channels.subscribe(Member(lambda message: channels.publish("b", message)), "a")
        bus.receive("a", ["x"] * (MAX_NESTED + 1), None)
        self.assertEqual(len([each for each in bus.told if each[0] == "publish"]), MAX_NESTED + 1)
        self.assertEqual(channels.stats.published, MAX_NESTED + 1)

    def test_endless(self):
        """
        Those who publish more and more from within deliveries are stopped by an error.
        """

        self.patch(broadcast, "MAX_NESTED", 10)

        def twice(message):
            self.channels.publish("a", message)
            self.channels.publish("a", message)

        self.join(twice)
        self.channels.publish("a", b"x")
        (failure, *_) = self.flushLoggedErrors(RuntimeError)
        self.assertIn("10 messages", str(failure.value))

    def test_pausedProducer(self):
        """
        A producer that publishes when its session pauses it does not disturb the order of anyone.
        """
        channels = self.channels
        clock = Clock()
        self.addCleanup(finish, clock)
        factory = Factory.forProtocol(Listener)
        factory.channels = channels
        site = SockJSFactory(factory, reactor=clock)
        clients = [connect(site) for _ in range(3)]

        class Producer:
            def pauseProducing(self):
                channels.publish("news", "paused")

            def resumeProducing(self):
                pass

            def stopProducing(self):
                pass

        clients[1].protocol.transport.registerProducer(Producer(), True)
        clock.advance(0)
        large = "x" * 70_000
        channels.publish("news", large)
        for client in clients:
            self.assertEqual(client.received, [large, "paused"])


class BusTests(SynchronousTestCase):
    """
    What a bus is told, and what it tells.
    """

    def setUp(self):
        self.bus = Bus()
        self.channels = Channels(self.bus)

    def test_channels(self):
        """
        The bus hears of a channel when its first member comes and when its last one leaves.
        """
        (_, one), (_, two) = connectLink(), connectLink()
        self.channels.subscribe(one, "a")
        self.channels.subscribe(two, "a")
        self.channels.unsubscribe(one, "a")
        self.assertEqual(self.bus.told, [("subscribe", "a")])
        self.channels.unsubscribe(two, "a")
        self.assertEqual(self.bus.told, [("subscribe", "a"), ("unsubscribe", "a")])

    def test_publishing(self):
        """
        What is published goes to the bus, and to members only when it comes back; who has joined meanwhile does not
        get it.
        """
        (a, one), (b, two) = connectLink(), connectLink()
        self.channels.subscribe(one, "a")
        self.channels.publish("a", "x")
        ((*_, mark),) = self.bus.told[1:]
        self.assertEqual(a.sent, [])
        self.channels.subscribe(two, "a")
        self.bus.receive("a", ["x"], mark)
        self.assertEqual((a.sent, b.sent), ([b'"x"'], []))

    def test_publishingBeforeJoining(self):
        """
        Who joins a channel after something was published on it, when it had no members, does not get that.
        """
        link, one = connectLink()
        self.channels.publish("a", "x")
        ((*_, mark),) = self.bus.told
        self.channels.subscribe(one, "a")
        self.bus.receive("a", ["x"], mark)
        self.bus.receive("a", ["y"], None)
        self.assertEqual(link.sent, [b'"y"'])

    def test_nobody(self):
        """
        What comes in for a channel without members goes nowhere.
        """
        self.bus.receive("a", ["x"], None)
        self.assertEqual(self.channels.stats.delivered, 0)

    def test_uncarriable(self):
        """
        What the bus can't carry is an error for who publishes, and is not counted.
        """
        self.assertRaises(ValueError, self.channels.publish, "a", "huge")
        self.assertEqual(self.channels.stats.published, 0)

    def test_gap(self):
        """
        All who want to hear of gaps do, though one of them fails; gaps are counted.
        """
        heard = []

        @self.channels.onGap
        def broken(gap):
            raise RuntimeError("broken")

        self.channels.onGap(heard.append)
        gap = Gap(("a",), 10.0, 12.5, 3, True)
        self.bus.gap(gap)
        self.assertEqual(heard, [gap])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual((self.channels.stats.gaps, self.channels.stats.lost), (1, 3))
        self.assertEqual(
            str(gap),
            "gap of 2.5 seconds on the bus: messages may have been missed, 3 of this process were lost, on 1 channels",
        )

    def test_offGap(self):
        """
        Who does not want to hear of gaps any more does not, not even of the one that others are told just now; the
        others do.
        """
        heard = []
        gaps = [Gap(("a",), 1.0, float(number), 0, True) for number in range(2, 5)]

        @self.channels.onGap
        def first(gap):
            if gap is gaps[1]:
                self.assertTrue(self.channels.offGap(second))

        @self.channels.onGap
        def second(gap):
            heard.append(gap)

        self.channels.onGap(heard.append)
        for gap in gaps:
            self.bus.gap(gap)
        self.assertEqual(heard, [gaps[0], gaps[0], gaps[1], gaps[2]])
        self.assertFalse(self.channels.offGap(second))
        self.assertTrue(self.channels.offGap(heard.append))
        self.bus.gap(gaps[0])
        self.assertEqual(len(heard), 4)

    def test_another(self):
        """
        Another bus can be used while there are members, who stay; the one before is stopped.
        """
        channels = Channels()
        link, one = connectLink()
        channels.subscribe(one, "a")
        self.assertEqual(channels.useBus(self.bus).called, True)
        self.assertIs(channels.bus, self.bus)
        self.assertEqual(self.bus.told, [("subscribe", "a")])
        self.bus.receive("a", ["x"], None)
        self.assertEqual(link.sent, [b'"x"'])

    def test_unableToStop(self):
        """
        A bus that fails to stop is left nevertheless; whoever asked for that hears of the failure.
        """
        link, one = connectLink()
        self.channels.subscribe(one, "a")
        changed = self.channels.useBus(MemoryBus())
        self.channels.publish("a", "x")
        self.assertEqual((self.channels.bus.facts().connected, link.sent), (False, []))
        self.bus.stopped.errback(RuntimeError("stuck"))
        self.failureResultOf(changed, RuntimeError)
        self.assertEqual((self.channels.bus.facts().connected, link.sent), (True, [b'"x"']))

    def test_stop(self):
        """
        To stop is to stop the bus.
        """
        self.assertIs(self.channels.stop(), self.bus.stopped)


class MemoryBusTests(SynchronousTestCase):
    """
    Tests for L{MemoryBus}, and how one is asked for.
    """

    def test_interface(self):
        """
        It is a bus.
        """
        verifyObject(IBus, MemoryBus())

    def test_facts(self):
        """
        It is always there, and knows how many channels there are.
        """
        _, one = connectLink()
        channels = Channels("memory:")
        channels.subscribe(one, "a")
        channels.subscribe(one, "b")
        channels.unsubscribe(one, "b")
        self.assertEqual(channels.bus.facts(), ("memory", True, 0, 0, 1))
        self.successResultOf(channels.stop())

    def test_early(self):
        """
        What is published before it has begun waits, but not without a bound, also where it is published about what was
        published.
        """
        before = Bus()
        channels = Channels(before)
        link, one = connectLink()
        channels.subscribe(one, "a")
        channels.useBus(MemoryBus())
        self.patch(memory, "MAX_WAITING", 3)
        channels.publish("a", "x")
        channels.publish("a", "y")
        self.assertEqual(channels.bus.facts(), ("memory", False, 2, 2, 1))

        def answer(shared):
            Link.sendShared(link, shared)
            channels.publish("a", "z")

        link.sendShared = answer
        before.stopped.callback(None)
        self.assertEqual(link.sent, [b'"x"', b'"y"', b'"z"'])
        failure, *others = self.flushLoggedErrors(ValueError)
        self.assertEqual(len(others), 1)
        self.assertIn("3 messages wait", str(failure.value))
        self.assertEqual(channels.stats.published, 3)

    def test_fromString(self):
        """
        It is what C{memory:} describes; what describes no bus is refused with what would.
        """
        self.assertIsInstance(busFromString("memory:"), MemoryBus)
        for wrong in ("", "memory:x", "mamory:", "kafka://host"):
            error = self.assertRaises(ValueError, busFromString, wrong)
            self.assertIn("memory:", str(error))


class ModuleTests(SynchronousTestCase):
    """
    The channels that every process has.
    """

    def test_functions(self):
        """
        The functions of the module are those of its one instance.
        """
        link, one = connectLink()
        self.addCleanup(broadcast.unsubscribe, one, "test_functions")
        broadcast.subscribe(one, "test_functions")
        broadcast.publish("test_functions", "x")
        self.assertIn("test_functions", broadcast.channels.channels)
        self.assertEqual(link.sent, [b'"x"'])


class ConnectionTests(SynchronousTestCase):
    """
    How a connection tells of its end.
    """

    def connection(self):
        """
        @return: a connection whose protocol is there.
        """
        _, connection = connectLink()
        connection._protocol = Protocol()
        return connection

    def test_order(self):
        """
        Who wants to know of the end is told before the protocol, once, though another one fails.
        """
        events = []
        connection = self.connection()
        connection._protocol.connectionLost = lambda reason: events.append("protocol")

        def fail(connection):
            raise RuntimeError("broken")

        self.assertTrue(connection.tellWhenOver(fail))
        self.assertTrue(connection.tellWhenOver(events.append))
        connection.lost(Failure(Exception()))
        self.assertEqual(events, [connection, "protocol"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertFalse(connection.tellWhenOver(events.append))
        connection.tellNoMore(events.append)

    def test_takingBack(self):
        """
        Who does not want to know any more is not told, and leaves nothing behind.
        """
        events = []
        connection = self.connection()
        append = events.append
        connection.tellWhenOver(append)
        connection.tellNoMore(append)
        self.assertIsNone(connection._leavers)
        connection.lost(Failure(Exception()))
        self.assertEqual(events, [])
