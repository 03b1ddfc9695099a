# -*- test-case-name: tests.test_bus_redis -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Tests for L{txsockjs.bus.redis}, with a server in memory. L{tests.many.check_redis} has a real one.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txsockjs.broadcast import Channels
from txsockjs.bus import outgoing
from txsockjs.bus.interfaces import IBus
from txsockjs.bus.memory import MemoryBus
from txsockjs.bus.outgoing import MAX_FLIGHT, MAX_PIECE, Outgoing
from txsockjs.bus.places import RedisPlace

try:
    from tests.redises import FakeRedis
    from txsockjs.bus import redis
    from txsockjs.bus.redis import FLUSH_TIMEOUT, LINGER, LOST_DELAY, MAX_LOST_CHANNELS, REFUSED_DELAY, RedisBus
    from txsockjs.bus.wires import FIRST_DELAY, LAST_DELAY, PING, STOP_TIMEOUT, backOff
except ImportError as error:
    missing = str(error)
else:
    missing = ""


class Member:
    """
    A transport that is no session.
    """

    def __init__(self):
        self.got = []

    def write(self, message):
        self.got.append(message)


class Process:
    """
    What one process has.
    """

    def __init__(self, redis, **settings):
        self.clock = redis.clock
        self.bus = RedisBus(RedisPlace(**settings), redis.endpoint, redis.clock)
        self.channels = Channels(self.bus)
        self.gaps = []
        self.channels.onGap(self.gaps.append)

    def join(self, channel="a"):
        """
        @return: a new member of a channel.
        """
        member = Member()
        self.channels.subscribe(member, channel)
        return member

    def publish(self, *messages, channel="a"):
        for message in messages:
            self.channels.publish(channel, message)


class RedisTestCase(SynchronousTestCase):
    """
    A server, and a clock.
    """

    if missing:
        skip = missing

    password = None

    def setUp(self):
        self.clock = Clock()
        self.redis = FakeRedis(self.clock, self.password)

    def advance(self, seconds):
        """
        Let time pass, in small steps.
        """
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(min(0.01, end - self.clock.seconds()))

    def process(self, **settings):
        """
        @return: a new process, which is connected.
        """
        process = Process(self.redis, **settings)
        self.addCleanup(self.end, process)
        self.advance(0.1)
        return process

    def end(self, process):
        """
        Stop a process.
        """
        self.redis.resume()
        stopped = process.channels.stop()
        self.advance(FLUSH_TIMEOUT + STOP_TIMEOUT + 1)
        self.successResultOf(stopped)


class CarryingTests(RedisTestCase):
    """
    While all is well.
    """

    def test_interface(self):
        """
        It is a bus.
        """
        verifyObject(IBus, self.process().bus)

    def test_everywhere(self):
        """
        What one process publishes reaches the members in all, its own included, once and in order; bytes stay bytes
        and text stays text, whatever is in it.
        """
        one, two = self.process(), self.process()
        members = [one.join(), two.join(), two.join()]
        other = two.join("b")
        self.advance(0.1)
        messages = ["1", b"2", "", "\ud800\x00é\r\n", b"\xff\n1,2", "\U0001f600" * 1000]
        one.publish(*messages)
        self.advance(0.1)
        for member in members:
            self.assertEqual(member.got, messages)
        self.assertEqual(other.got, [])

    def test_oneOrder(self):
        """
        What several processes publish at the same time reaches all members in the same order.
        """
        processes = [self.process() for _ in range(3)]
        members = [process.join() for process in processes]
        self.advance(0.1)
        for number in range(30):
            processes[number % 3].publish(f"{number}")
            self.clock.advance(0.0007)
        self.advance(0.1)
        self.assertEqual(len(members[0].got), 30)
        for member in members:
            self.assertEqual(member.got, members[0].got)

    def test_atOnce(self):
        """
        What is published right after a member has joined reaches it, though the server has to be asked for the channel
        first; what was published right before does not.
        """
        process = self.process()
        process.publish("before")
        member = process.join()
        process.publish("1")
        late = process.join()
        process.publish("2")
        self.advance(0.1)
        self.assertEqual((member.got, late.got), (["1", "2"], ["2"]))

    def test_beforeThereIsAConnection(self):
        """
        All that is done before there is a connection counts.
        """
        process = Process(self.redis)
        self.addCleanup(self.end, process)
        member = process.join()
        process.publish("1")
        self.assertEqual(self.redis.connections, {})
        self.advance(0.1)
        self.assertEqual((member.got, process.gaps), (["1"], []))

    def test_batches(self):
        """
        What is published in one turn leaves at its end in one piece for each channel, in the same write.
        """
        process = self.process()
        process.join("a")
        process.join("b")
        self.advance(0.1)
        for number in range(50):
            process.publish(f"{number}", channel="ab"[number % 2])
        self.advance(0.1)
        self.assertEqual(self.redis.names("PUBLISH"), ["a", "b"])
        stats = process.bus.stats
        self.assertEqual((stats.messagesOut, stats.batchesOut), (50, 2))
        self.assertEqual((stats.messagesIn, stats.batchesIn), (50, 2))

    def test_largeBatches(self):
        """
        What is more than fits into a piece is several, and stays in order.
        """
        process = self.process()
        member = process.join()
        messages = [f"{number}" + "x" * 30_000 for number in range(100)]
        process.publish(*messages)
        self.advance(0.1)
        self.assertEqual(member.got, messages)
        self.assertEqual(process.bus.stats.batchesOut, 34)

    def test_onlyWhatIsWanted(self):
        """
        The server is asked for channels that have members here, and for no other; each once.
        """
        process = self.process()
        for _ in range(3):
            process.join("a")
        process.join("b")
        process.publish("x", channel="c")
        self.advance(0.1)
        self.assertEqual(self.redis.names("SUBSCRIBE"), ["a", "b"])

    def test_lingering(self):
        """
        A channel that nobody is in any more is given back after a while, unless somebody joins it meanwhile.
        """
        process = self.process()
        member = process.join("a")
        self.advance(0.1)
        for _ in range(3):
            process.channels.unsubscribe(member, "a")
            self.advance(LINGER / 2)
            process.channels.subscribe(member, "a")
            self.advance(LINGER / 2)
        self.assertEqual((self.redis.names("SUBSCRIBE"), self.redis.names("UNSUBSCRIBE")), (["a"], []))
        process.channels.unsubscribe(member, "a")
        self.advance(LINGER * 1.1)
        self.assertEqual(self.redis.names("UNSUBSCRIBE"), ["a"])
        process.channels.subscribe(member, "a")
        process.publish("x")
        self.advance(0.1)
        self.assertEqual(member.got, ["x"])

    def test_leavingWhileAsked(self):
        """
        A channel that is left before the server has confirmed it is given back, too, and what waited for it goes out.
        """
        one, two = self.process(), self.process()
        other = two.join()
        self.advance(0.1)
        member = one.join()
        self.clock.advance(0)
        one.publish("x")
        one.channels.unsubscribe(member, "a")
        self.advance(LINGER * 1.1)
        self.assertEqual((member.got, other.got), ([], ["x"]))
        self.assertEqual(self.redis.names("UNSUBSCRIBE"), ["a"])

    def test_hurriedLeaving(self):
        """
        A channel that is joined and left in one turn is no matter for the server.
        """
        process = self.process()
        process.channels.unsubscribe(process.join(), "a")
        self.advance(LINGER * 1.1)
        self.assertEqual(self.redis.names("SUBSCRIBE"), [])

    def test_fickle(self):
        """
        Joining and leaving again and again before the server has answered asks it once.
        """
        process = self.process()
        for _ in range(5):
            member = process.join()
            self.clock.advance(0)
            process.channels.unsubscribe(member, "a")
        member = process.join()
        process.publish("x")
        self.advance(0.1)
        self.assertEqual((self.redis.names("SUBSCRIBE"), member.got), (["a"], ["x"]))

    def test_tooLarge(self):
        """
        A message that could never wait is refused, and reaches nobody.
        """
        process = self.process(maxBytes=1000)
        member = process.join()
        process.publish("x" * 1000)
        error = self.assertRaises(ValueError, process.publish, "x" * 1001)
        self.assertIn("max_bytes", str(error))
        self.advance(0.1)
        self.assertEqual(len(member.got), 1)

    def test_prefix(self):
        """
        Applications with other prefixes, or other databases, do not hear each other.
        """
        processes = [self.process(), self.process(prefix="x"), self.process(db=1)]
        members = [process.join() for process in processes]
        processes[1].publish("x")
        self.advance(0.1)
        self.assertEqual([member.got for member in members], [[], ["x"], []])

    def test_foreign(self):
        """
        What somebody else publishes on our channels is dropped, counted and logged, whatever it is.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)
        (subscriber,) = self.redis.subscribers
        wrong = [
            b"",
            b"hello",
            b"\n",
            b"1 x 1 1 1\n",
            b"2 x 1 1 1\nx",
            b"1 x 1 1 1,-1,1\nx",
            b"1 x 1 1 \nx",
            b"1 \xff 1 1 1\nx",
            b"1 x 1 1 1\n\xff",
        ]
        for data in wrong:
            self.redis.answer(subscriber, b"PUBLISH", [b"sockjs:0:a", data])
        self.advance(0.1)
        self.assertEqual(member.got, [])
        self.assertEqual(process.bus.stats.malformed, len(wrong))

    def test_lag(self):
        """
        How long messages take is measured: until they are back, or acknowledged where nobody here is a member.
        """
        process = self.process()
        process.publish("x")
        self.advance(0.1)
        stats = process.bus.stats
        self.assertEqual(stats.lagCount, 1)
        process.join()
        self.advance(0.1)
        process.publish("x", "y")
        self.advance(0.1)
        self.assertEqual(stats.lagCount, 2)
        self.assertTrue(0.001 < stats.lastLag < 0.05, stats.lastLag)
        self.assertEqual(sum(stats.lags), 2)
        self.assertEqual(stats.asDict()["lag_sum"], stats.lagSum)

    def test_facts(self):
        """
        One can see how the bus stands.
        """
        process = Process(self.redis)
        self.addCleanup(self.end, process)
        process.join()
        process.publish("xyz", b"12")
        self.assertEqual(process.bus.facts(), ("redis://127.0.0.1:6379/0", False, 2, 5, 0))
        self.advance(0.1)
        self.assertEqual(process.bus.facts(), ("redis://127.0.0.1:6379/0", True, 0, 0, 1))

    def test_nested(self):
        """
        What a member publishes while it gets a message comes after it, for all members.
        """
        process = self.process()
        members = [process.join(), process.join()]
        self.advance(0.1)

        def write(message):
            members[0].got.append(message)
            if message == "1":
                process.publish("2")

        members[0].write = write
        process.publish("1")
        self.advance(0.1)
        self.assertEqual([member.got for member in members], [["1", "2"]] * 2)


class BreakingTests(RedisTestCase):
    """
    When connections break.
    """

    def test_serverAway(self):
        """
        While the server is away what is published waits; when it is back everything goes on, and the application is
        told of the gap.
        """
        one, two = self.process(), self.process()
        members = [one.join(), two.join(), one.join("b")]
        two.join("c")
        self.advance(0.1)
        self.redis.kill()
        began = self.clock.seconds()
        one.publish("1", "2")
        self.advance(20)
        one.publish("3")
        self.assertEqual([member.got for member in members], [[], [], []])
        self.redis.start()
        self.advance(LAST_DELAY * 2)
        self.assertEqual([member.got for member in members[:1]], [["1", "2", "3"]])
        ((gap,), (other,)) = one.gaps, two.gaps
        self.assertEqual((gap.channels, gap.lost, gap.missed), (("a", "b"), 0, True))
        self.assertEqual(other.channels, ("a", "c"))
        self.assertTrue(began - PING * 2 <= gap.since <= began, gap)
        self.assertTrue(began + 20 <= gap.until <= self.clock.seconds(), gap)
        self.assertEqual(one.bus.stats.gaps, 1)

    def test_goingOn(self):
        """
        After a gap all goes on as if nothing had been.
        """
        process = self.process()
        member = process.join()
        for number in range(3):
            self.redis.kill()
            self.advance(1)
            self.redis.start()
            self.advance(LAST_DELAY * 2)
            process.publish(f"{number}")
            self.advance(0.1)
        self.assertEqual(member.got, ["0", "1", "2"])
        self.assertEqual((len(process.gaps), process.bus.stats.disconnects), (3, 6))

    def test_notThereAtTheStart(self):
        """
        A server that is not there at the start comes as one that was away; it is logged in one line.
        """
        self.redis.kill()
        process = self.process()
        member = process.join()
        process.publish("1")
        self.advance(30)
        self.redis.start()
        self.advance(LAST_DELAY * 2)
        self.assertEqual(member.got, ["1"])
        (gap,) = process.gaps
        self.assertEqual((gap.channels, gap.missed), (("a",), True))
        self.assertGreater(process.bus.stats.failures, 5)

    def test_sentTwice(self):
        """
        What the server has taken, but could not say so, is sent again, and nobody gets it twice.
        """
        one, two = self.process(), self.process()
        members = [one.join(), two.join()]
        self.advance(0.1)
        (publisher,) = [each for each in self.redis.publishers if each.protocol.wire is one.bus._publisher]
        one.publish("1", "2")
        self.clock.advance(0)
        self.clock.advance(self.redis.LATENCY)  # the server has it
        publisher.cut()
        one.publish("3")
        self.advance(1)
        for member in members:
            self.assertEqual(member.got, ["1", "2", "3"])
        self.assertEqual(two.bus.stats.duplicates, 1)
        self.assertEqual(one.gaps + two.gaps, [])

    def test_lostOnTheWayOut(self):
        """
        What never arrived at the server is sent again, in order.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)
        process.publish("1")
        self.clock.advance(0)
        (publisher,) = self.redis.publishers
        publisher.cut()
        process.publish("2")
        self.advance(1)
        self.assertEqual((member.got, process.gaps), (["1", "2"], []))

    def test_againOnlyWhenWhole(self):
        """
        What has to be sent again waits until the channels it goes to are subscribed to again, and all else waits
        behind it: a lower number after a higher one would be taken for a duplicate.
        """
        process = self.process()
        member = process.join()
        other = self.process().join("b")
        self.advance(0.1)
        process.publish("1")
        self.clock.advance(0)
        mine = [
            each
            for each in self.redis.connections
            if each.protocol.wire in (process.bus._publisher, process.bus._subscriber)
        ]
        for connection in mine:
            connection.cut()
        process.publish("2", channel="b")
        self.advance(1)
        self.assertEqual((member.got, other.got), (["1"], ["2"]))

    def test_subscriberOnly(self):
        """
        When only the connection on which messages come in breaks, what this process publishes meanwhile waits for it,
        and the gap is told.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)
        (subscriber,) = self.redis.subscribers
        subscriber.cut()
        self.clock.advance(0)
        process.publish("1")
        self.advance(1)
        self.assertEqual(member.got, ["1"])
        self.assertEqual([gap.channels for gap in process.gaps], [("a",)])

    def test_late(self):
        """
        A gap begins when the first message may have been missed, also where something came later that was sent before.
        """
        self.redis = FakeRedis(self.clock, latencies=(1000, 1, 1, 1))
        one, other = self.process(), self.process()
        self.advance(3)
        member = one.join()
        self.advance(3)
        (slow,) = [each for each in self.redis.subscribers if each.protocol.wire is one.bus._subscriber]
        other.publish("1")
        self.advance(0.5)
        slow.cut(toServer=True, toClient=True)
        missed = self.clock.seconds()
        other.publish("2")
        self.advance(10)
        self.assertEqual(member.got, ["1"])
        (gap,) = one.gaps
        self.assertTrue(missed - PING * 2 <= gap.since <= missed < gap.until, (missed, gap))

    def test_newcomers(self):
        """
        A channel that is joined when the server is back is not concerned by the gap before.
        """
        process = self.process()
        process.join("a")
        self.redis.kill()
        self.advance(1)
        self.redis.start()
        while process.bus._subscriber.protocol is None:
            self.clock.advance(self.redis.LATENCY)
        process.join("b")
        self.advance(1)
        self.assertEqual([gap.channels for gap in process.gaps], [("a",)])

    def test_nobodyConcerned(self):
        """
        A gap in which nobody could miss anything is none.
        """
        process = self.process()
        self.redis.kill()
        self.advance(1)
        self.redis.start()
        self.advance(LAST_DELAY * 2)
        self.assertEqual((process.gaps, process.bus.stats.disconnects), ([], 2))

    def test_hanging(self):
        """
        A server that hangs is noticed, though no connection breaks; when it goes on, so does all, and what was on its
        way comes once.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)
        self.redis.hang()
        process.publish("1")
        self.advance(PING * 4)
        self.assertFalse(process.bus.facts().connected)
        process.publish("2")
        self.advance(PING * 10)
        self.redis.resume()
        self.advance(LAST_DELAY * 2 + PING * 3)
        self.assertEqual(member.got, ["1", "2"])
        self.assertEqual(len(process.gaps), 1)

    def test_hesitating(self):
        """
        A server that hangs for a moment only is waited for.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)
        self.advance(PING)
        self.redis.hang()
        process.publish("1")
        self.advance(PING * 1.8)
        self.redis.resume()
        self.advance(PING * 3)
        self.assertEqual((member.got, process.gaps, process.bus.stats.disconnects), (["1"], [], 0))

    def test_stoppedOurselves(self):
        """
        When it is this process that has not run for a while, the connection is given time to answer.
        """
        process = self.process()
        self.clock.advance(1000)
        self.advance(PING * 4)
        self.assertEqual(process.bus.stats.disconnects, 0)

    def test_overflow(self):
        """
        What does not fit into the buffer is lost, from the newest on; the application is told of how many, on which
        channels.
        """
        process = self.process(maxMessages=5)
        member = process.join()
        self.advance(0.1)
        self.redis.kill()
        self.clock.advance(0)
        process.publish(*"12345")
        process.publish("6", "7", channel="b")
        self.redis.start()
        self.advance(LAST_DELAY * 2)
        process.publish("8")
        self.advance(0.1)
        self.assertEqual(member.got, [*"12345", "8"])
        (gap,) = process.gaps
        self.assertEqual((gap.channels, gap.lost, gap.missed), (("a", "b"), 2, True))
        self.assertEqual((process.bus.stats.lost, process.channels.stats.lost), (2, 2))

    def test_overflowInBytes(self):
        """
        The buffer is bounded by bytes, too, and has its room back when they are gone.
        """
        process = self.process(maxBytes=100)
        member = process.join()
        process.publish("x" * 60, "y" * 60)
        self.advance(0.1)
        process.publish("z" * 60)
        self.advance(0.1)
        self.assertEqual(member.got, ["x" * 60, "z" * 60])
        self.assertEqual([(gap.channels, gap.lost, gap.missed) for gap in process.gaps], [(("a",), 1, False)])

    def test_window(self):
        """
        Only so much is on its way at once; the rest follows as the server says that it has it.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)
        self.redis.hang()
        messages = [f"{number}" + "x" * 99_999 for number in range(40)]
        process.publish(*messages)
        self.clock.advance(0)
        self.assertLess(len(process.bus._outgoing.flight), 12)
        self.redis.resume()
        self.advance(0.5)
        self.assertEqual(member.got, messages)

    def test_forbidden(self):
        """
        A channel that the server refuses does no harm to others; it is asked again, and what is published is counted as
        lost.
        """
        self.redis.forbidden = {b"sockjs:0:b"}
        process = self.process()
        member, other = process.join(), process.join("b")
        process.publish("x")
        process.publish("y", channel="b")
        self.advance(1)
        self.assertEqual((member.got, other.got), (["x"], []))
        self.assertEqual([(gap.channels, gap.lost) for gap in process.gaps], [(("b",), 1)])
        self.redis.forbidden = set()
        self.advance(REFUSED_DELAY)
        process.publish("z", channel="b")
        self.advance(0.1)
        self.assertEqual(other.got, ["z"])

    def test_forbiddenForAWhile(self):
        """
        When the server takes a channel that it has refused, the application is told of what was missed meanwhile, if
        there are members still.
        """
        self.redis.forbidden = {b"sockjs:0:b", b"sockjs:0:c"}
        one, two = self.process(), self.process()
        one.join("a")
        one.join("b")
        left = one.join("c")
        self.advance(1)
        refused = self.clock.seconds()
        two.publish("missed", channel="b")
        one.channels.unsubscribe(left, "c")
        self.redis.forbidden = set()
        self.advance(REFUSED_DELAY * 1.1)
        (gap,) = one.gaps
        self.assertEqual((gap.channels, gap.lost, gap.missed), (("b",), 0, True))
        self.assertTrue(gap.since <= refused < gap.until, gap)
        self.advance(REFUSED_DELAY * 2)
        self.assertEqual(len(one.gaps), 1)

    def test_lostUnderLoad(self):
        """
        What is lost is told after a while, also when there is always something on its way.
        """
        process = self.process(maxMessages=20)
        process.join()
        self.advance(0.1)
        began = self.clock.seconds()
        while self.clock.seconds() < began + LOST_DELAY + 1:
            process.publish("x")
            self.clock.advance(self.redis.LATENCY)
            self.assertFalse(process.bus._outgoing.isEmpty)
            if not process.bus.stats.lost and self.clock.seconds() > began + 0.1:
                process.publish(*["y"] * 30)
        (gap,) = process.gaps
        self.assertEqual((gap.channels, gap.lost, gap.missed), (("a",), process.bus.stats.lost, False))
        self.assertTrue(LOST_DELAY <= gap.until - gap.since < LOST_DELAY * 1.1, gap)

    def test_lostOnManyChannels(self):
        """
        When messages of very many channels are lost, the application is told of them while the server is away still, so
        that their names need not be kept.
        """
        process = self.process(maxMessages=1)
        process.join()
        self.advance(0.1)
        self.redis.kill()
        self.advance(0.1)
        process.publish("waits")
        for number in range(MAX_LOST_CHANNELS * 2 + 1):
            process.publish("x", channel=f"{number}")
            if number % 1000 == 0:
                self.clock.advance(0.001)
        self.assertLess(len(process.bus._lost), MAX_LOST_CHANNELS)
        told = len(process.gaps)
        self.assertEqual([gap.missed for gap in process.gaps], [False] * told)
        self.redis.start()
        self.advance(LAST_DELAY * 2)
        self.assertEqual(sum(gap.lost for gap in process.gaps), MAX_LOST_CHANNELS * 2 + 1)
        self.assertEqual([gap.missed for gap in process.gaps[told:]], [True])
        self.assertIn("a", process.gaps[-1].channels)

    def test_backOff(self):
        """
        Attempts to connect become rarer, up to a bound, and do not come at the same time from all processes.
        """
        for attempt, expected in ((1, FIRST_DELAY), (2, FIRST_DELAY * 2), (4, FIRST_DELAY * 8), (10_000, LAST_DELAY)):
            delays = [backOff(attempt) for _ in range(100)]
            self.assertTrue(all(expected / 2 <= delay <= expected * 1.5 for delay in delays))
            self.assertGreater(len(set(delays)), 50)


class ManyTests(RedisTestCase):
    """
    Very many channels, which do not hold up all else: here that is more than three.
    """

    def setUp(self):
        super().setUp()
        self.patch(redis, "MAX_ASKED", 3)
        self.patch(outgoing, "MAX_PIECES", 3)

    def asked(self, command="SUBSCRIBE"):
        """
        @return: the channels of commands since the last time.
        """
        names = self.redis.names(command)
        self.redis.commands.clear()
        return names

    def test_asking(self):
        """
        The server is asked for a few at a time, in the order in which they were joined, and those that have been left
        before it was their turn are left out.
        """
        process = self.process()
        members = {name: process.join(name) for name in "abcdefgh"}
        self.clock.advance(0)
        process.channels.unsubscribe(members["e"], "e")
        turns = []
        for _ in range(20):
            self.clock.advance(self.redis.LATENCY)
            turns.append(self.asked())
        self.assertEqual([turn for turn in turns if turn], [[*"abc"], [*"dfg"], ["h"]])
        process.publish("x", channel="h")
        self.advance(0.1)
        self.assertEqual(members["h"].got, ["x"])

    def test_askingAgain(self):
        """
        After a break the gap is told when all are there again, except for what has been left before it was asked for.
        """
        process = self.process()
        members = {name: process.join(name) for name in "abcdefgh"}
        self.advance(0.1)
        (subscriber,) = self.redis.subscribers
        subscriber.cut()
        self.asked()
        while not self.redis.names("SUBSCRIBE"):
            self.clock.advance(self.redis.LATENCY)
        self.assertEqual(len(self.asked()), 3)
        left = [name for name in members if name not in process.bus._asking]
        for name in left[1:]:
            process.channels.unsubscribe(members[name], name)
        self.assertEqual(process.gaps, [])
        self.advance(0.1)
        self.assertEqual(self.asked(), left[:1])
        self.assertEqual([gap.channels for gap in process.gaps], [tuple(sorted(set(members) - set(left[1:])))])

    def test_leftByAll(self):
        """
        The gap is told also where those that were not asked for yet are left by all.
        """
        process = self.process()
        members = {name: process.join(name) for name in "abcdef"}
        self.advance(0.1)
        (subscriber,) = self.redis.subscribers
        subscriber.cut()
        self.asked()
        while not self.redis.names("SUBSCRIBE"):
            self.clock.advance(self.redis.LATENCY)
        asked = self.asked()
        self.clock.advance(self.redis.LATENCY / 2)
        for name in set(members) - set(asked):
            process.channels.unsubscribe(members[name], name)
        self.advance(0.1)
        self.assertEqual(([gap.channels for gap in process.gaps], self.asked()), ([tuple(sorted(asked))], []))

    def test_givingBack(self):
        """
        Those that nobody is in any more are given back a few in a turn; who joins one that is waiting for that still
        finds it there.
        """
        process = self.process()
        members = {name: process.join(name) for name in "abcdefgh"}
        self.advance(0.1)
        for name, member in members.items():
            process.channels.unsubscribe(member, name)
        self.asked()
        while process.bus.facts().channels == 8:
            self.clock.advance(0.01)
        self.assertEqual(process.bus.facts().channels, 5)
        process.channels.subscribe(members["h"], "h")
        process.publish("x", channel="h")
        self.advance(0.1)
        self.assertEqual((self.redis.names("UNSUBSCRIBE"), self.redis.names("SUBSCRIBE")), ([*"abcdefg"], []))
        self.assertEqual((members["h"].got, process.bus.facts().channels), (["x"], 1))

    def test_brokenWhileGivingBack(self):
        """
        A connection that breaks meanwhile leaves nothing to give back.
        """
        process = self.process()
        members = {name: process.join(name) for name in "abcdefgh"}
        self.advance(0.1)
        for name, member in members.items():
            process.channels.unsubscribe(member, name)
        while process.bus.facts().channels == 8:
            self.clock.advance(0.01)
        (subscriber,) = self.redis.subscribers
        subscriber.cut()
        self.clock.advance(0)
        self.assertEqual(process.bus.facts().channels, 0)
        self.asked()
        self.advance(1)
        process.channels.subscribe(members["h"], "h")
        process.publish("x", channel="h")
        self.advance(0.1)
        self.assertEqual((self.redis.names("UNSUBSCRIBE"), members["h"].got), ([], ["x"]))

    def test_pieces(self):
        """
        What is published on many at once leaves a few at a time, and all of it arrives.
        """
        process = self.process()
        members = [process.join(f"{number}") for number in range(20)]
        self.advance(0.1)
        for number in range(20):
            process.publish("x", channel=f"{number}")
        self.asked()
        turns = []
        for _ in range(40):
            self.clock.advance(self.redis.LATENCY)
            turns.append(len(self.asked("PUBLISH")))
        self.assertEqual([turn for turn in turns if turn], [3, 3, 3, 3, 3, 3, 2])
        self.assertEqual([member.got for member in members], [["x"]] * 20)


class PasswordTests(RedisTestCase):
    """
    A server that wants a password.
    """

    password = "secret"

    def test_right(self):
        """
        With the right password all is well.
        """
        process = self.process(password="secret")
        member = process.join()
        process.publish("x")
        self.advance(0.1)
        self.assertEqual(member.got, ["x"])
        self.assertNotIn("secret", repr(process.bus) + str(process.bus.facts()))

    def test_wrong(self):
        """
        With a wrong one, or none, or a user that does not exist, no connection is used; attempts become rarer.
        """
        for password in ("wrongest", None):
            with capturedLogs() as events:
                process = self.process(password=password)
                process.join()
                self.advance(60)
            said = "\n".join(formatEvent(event) for event in events)
            self.assertIn("refused", said)
            self.assertNotIn("wrongest", said)
            self.assertFalse(process.bus.facts().connected)
            self.assertTrue(20 < process.bus.stats.failures < 60, process.bus.stats.failures)

    def test_changed(self):
        """
        When the server's password is set right, the bus comes back.
        """
        process = self.process(password="new")
        member = process.join()
        process.publish("x")
        self.advance(10)
        self.redis.password = "new"
        self.advance(LAST_DELAY * 2)
        self.assertEqual(member.got, ["x"])


class StoppingTests(RedisTestCase):
    """
    How it ends.
    """

    def test_flush(self):
        """
        What was published before the end is sent before it.
        """
        one, two = self.process(), self.process()
        member = two.join()
        self.advance(0.1)
        one.publish("x")
        stopped = one.channels.stop()
        self.assertNoResult(stopped)
        self.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(member.got, ["x"])
        self.assertEqual(len(self.redis.connections), 2)

    def test_ownMembers(self):
        """
        What was published before the end reaches the members in this process, too, wherever it is on its way when the
        end is asked for.
        """
        for latencies in ((1, 1), (1, 3), (3, 1)):
            for wait in (0, 1, 2, 4, 6):
                self.redis = FakeRedis(self.clock, latencies=latencies)
                process = Process(self.redis)
                member = process.join()
                self.advance(0.1)
                process.publish("x")
                self.clock.pump([0] + [self.redis.LATENCY] * wait)
                stopped = process.channels.stop()
                self.advance(0.1)
                self.successResultOf(stopped)
                self.assertEqual(member.got, ["x"], (latencies, wait))

    def test_ownMembersMissIt(self):
        """
        What can't come back to members in this process, since the connection on which it would has broken, or the
        server has refused it, is not waited for.
        """
        process = self.process()
        process.join()
        self.advance(0.1)
        process.publish("x")
        self.clock.advance(0)
        (subscriber,) = self.redis.subscribers
        subscriber.cut()
        self.redis.kill()
        self.redis.start()
        self.advance(LAST_DELAY)
        self.redis.forbidden = {b"sockjs:0:a"}
        process.publish("y")
        self.advance(0.1)
        self.assertEqual(sum(gap.lost for gap in process.gaps), 1)
        stopped = process.channels.stop()
        self.advance(0.1)
        self.successResultOf(stopped)

    def test_brokenWhileWaiting(self):
        """
        It is waited for no longer when that connection breaks while the end is near.
        """
        self.redis = FakeRedis(self.clock, latencies=(10, 1))
        process = self.process()
        process.join()
        self.advance(0.1)
        process.publish("x")
        stopped = process.channels.stop()
        self.clock.pump([0] + [self.redis.LATENCY] * 4)
        self.assertEqual(process.bus.stats.messagesOut, 1)
        self.assertNoResult(stopped)
        (subscriber,) = self.redis.subscribers
        subscriber.cut()
        self.advance(0.1)
        self.successResultOf(stopped)

    def test_ownMembersAgain(self):
        """
        What had to be sent again since both connections broke is waited for like all else, and what comes a second time
        is not waited for twice.
        """
        for arrives in (False, True):
            self.redis = FakeRedis(self.clock, latencies=(10, 1))
            process = Process(self.redis)
            member = process.join()
            self.advance(0.1)
            process.publish("x")
            self.clock.pump([0] + [self.redis.LATENCY * 1.5] * arrives)
            for connection in list(self.redis.connections):
                if arrives is False or connection in self.redis.publishers:
                    connection.cut(toServer=arrives, toClient=False)
            while len(self.redis.names("PUBLISH")) < 1 + arrives:
                for connection in self.redis.subscribers:
                    connection.latency = self.redis.LATENCY * 10
                for connection in self.redis.publishers:
                    connection.latency = self.redis.LATENCY
                self.clock.advance(self.redis.LATENCY)
            stopped = process.channels.stop()
            self.advance(0.1)
            self.successResultOf(stopped)
            self.assertEqual(member.got, ["x"])

    def test_away(self):
        """
        When the server is away at the end, it is waited for, but not for long; what is left then is lost, and told.
        """
        process = self.process()
        self.redis.kill()
        process.publish("x")
        stopped = process.channels.stop()
        self.advance(FLUSH_TIMEOUT - 0.1)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)
        self.assertEqual([(gap.lost, gap.missed) for gap in process.gaps], [(1, False)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hanging(self):
        """
        The same holds for one that hangs.
        """
        process = self.process()
        self.redis.hang()
        process.publish("x")
        stopped = process.channels.stop()
        self.advance(FLUSH_TIMEOUT + STOP_TIMEOUT + 0.1)
        self.successResultOf(stopped)
        self.assertEqual([gap.lost for gap in process.gaps], [1])

    def test_hurry(self):
        """
        A second call ends the wait: what is left is lost at once, and told.
        """
        process = self.process()
        self.redis.kill()
        self.clock.advance(0)
        process.publish("x")
        stopped = process.channels.stop()
        self.assertNoResult(stopped)
        process.channels.stop()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual([gap.lost for gap in process.gaps], [1])

    def test_nothingLeft(self):
        """
        After the end there is nothing on the clock, and what is done then does no harm; what is published is counted as
        lost.
        """
        process = self.process()
        member, other = process.join(), process.join("b")
        process.channels.unsubscribe(other, "b")
        self.advance(0.1)
        stopped = process.channels.stop()
        self.advance(0.1)
        self.successResultOf(stopped)
        self.successResultOf(process.channels.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        process.publish("x")
        process.join("c")
        process.channels.unsubscribe(member, "a")
        self.assertEqual((process.bus.stats.lost, self.clock.getDelayedCalls()), (1, []))

    def test_notStarted(self):
        """
        One that has not connected yet can be stopped.
        """
        process = Process(self.redis)
        process.join()
        self.successResultOf(process.channels.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_atOnce(self):
        """
        One that is told to stop, and not to wait for that either, before it has begun to connect, does not connect.
        """
        process = Process(self.redis)
        process.publish("x")
        for _ in range(2):
            process.channels.stop()
        self.advance(1)
        self.assertEqual((self.redis.connections, self.clock.getDelayedCalls()), ({}, []))
        self.assertEqual([gap.lost for gap in process.gaps], [1])

    def test_bothWait(self):
        """
        Who asks for the end a second time hears of it when it is there, too.
        """
        process = self.process()
        stopped = [process.channels.stop() for _ in range(2)]
        for each in stopped:
            self.assertNoResult(each)
        self.advance(0.1)
        for each in stopped:
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual(self.redis.connections, {})

    def test_wordsOfAListener(self):
        """
        What is published when a gap is told at the end is sent, too.
        """
        self.redis.forbidden = {b"sockjs:0:b"}
        one, two = self.process(), self.process()
        member = two.join()
        self.advance(0.1)
        one.channels.onGap(lambda gap: one.publish("lost some"))
        one.publish("x", channel="b")
        stopped = one.channels.stop()
        self.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(member.got, ["lost some"])

    def test_deafAtTheEnd(self):
        """
        What comes while the connections are closing, as it may over TLS, is for nobody, and leaves nothing behind.
        """
        one, two = self.process(), self.process()
        member = one.join()
        self.advance(0.1)
        one.publish("x")
        two.publish("y")
        self.clock.advance(0)
        for connection in self.redis.connections:
            if connection.protocol.wire in (one.bus._subscriber, one.bus._publisher):
                self.patch(connection, "loseConnection", lambda: None)
        left = one.join("b")
        self.clock.advance(0)
        one.channels.unsubscribe(left, "b")
        for _ in range(2):
            stopped = one.channels.stop()
        self.advance(STOP_TIMEOUT + 0.1)
        self.successResultOf(stopped)
        self.assertEqual(member.got, [])
        self.end(two)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unusableAtTheEnd(self):
        """
        A connection that turns out to be usable only when it is closing, as it may over TLS, is not used.
        """
        process = Process(self.redis)
        process.join()
        while not self.redis.connections:
            self.clock.advance(self.redis.LATENCY / 2)
        for connection in self.redis.connections:
            self.patch(connection, "loseConnection", lambda: None)
        process.channels.stop()
        self.advance(STOP_TIMEOUT + 0.1)
        self.assertEqual(self.redis.names("SUBSCRIBE"), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothingKept(self):
        """
        Channels that are joined after the end, and those of what is published then, are not remembered.
        """
        process = self.process()
        process.channels.stop()
        self.advance(0.1)
        for number in range(10):
            process.channels.unsubscribe(process.join(f"{number}"), f"{number}")
            process.publish("x", channel=f"{number}")
        self.assertEqual((process.bus._asked, process.bus._wanted, process.bus._lost), ({}, set(), {}))
        self.assertEqual(process.bus.stats.lost, 10)


class ChangingTests(RedisTestCase):
    """
    From one bus to another while there are members.
    """

    def another(self, redis=None):
        """
        @return: one more bus, on the same server unless another one is given.
        """
        return RedisBus(RedisPlace(), (redis or self.redis).endpoint, self.clock)

    def test_sameServer(self):
        """
        On the way to another bus on the same server nobody gets anything twice or in another order, whatever is on its
        way when the change begins: what the process has published arrives, and for what others have published
        meanwhile there is a gap at the most.
        """
        for latencies in ((1, 1), (1, 3, 2), (3, 1, 2), (1, 1, 5, 5), (5, 5, 1, 1)):
            self.redis = FakeRedis(self.clock, latencies=latencies)
            one, other = self.process(), self.process()
            member, far = one.join(), other.join()
            self.advance(0.1)
            own, others = [], []
            for number in range(40):
                own.append(f"own {number}")
                others.append(f"other {number}")
                one.publish(own[-1])
                other.publish(others[-1])
                if number == 10:
                    changed = one.channels.useBus(self.another())
                self.clock.advance(self.redis.LATENCY / 2)
            self.advance(0.5)
            self.successResultOf(changed)
            self.assertEqual([text for text in member.got if text in own], own)
            self.assertEqual([text for text in far.got if text in own], own)
            heard = [text for text in member.got if text in others]
            self.assertEqual(heard, [text for text in others if text in heard])
            self.assertEqual(len(heard), len(set(heard)))
            (gap,) = one.gaps
            self.assertEqual((gap.channels, gap.lost, gap.missed), (("a",), 0, True))
            self.assertEqual(heard[0], others[0])
            one.publish("after")
            other.publish("that")
            self.advance(0.1)
            self.assertEqual(sorted(member.got[-2:]), ["after", "that"])

    def test_sentAgain(self):
        """
        What another process has to send again, since it does not know that the server has had it, is not taken for new
        because the bus is.
        """
        self.redis = FakeRedis(self.clock, latencies=(1, 2))
        one, other = self.process(), self.process()
        member, far = one.join(), other.join()
        self.advance(0.1)
        (publisher,) = [each for each in self.redis.publishers if each.protocol.wire is other.bus._publisher]
        other.publish("1")
        self.clock.pump([0] + [self.redis.LATENCY] * 3)
        self.assertEqual((member.got, far.got), (["1"], ["1"]))
        publisher.cut()
        one.channels.useBus(self.another())
        self.advance(1)
        self.assertEqual(self.redis.names("PUBLISH"), ["a", "a"])
        self.assertEqual(member.got, ["1"])

    def test_anotherServer(self):
        """
        What is published after the change began comes after what was published before, also where the server before is
        slow and the new one is not.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)
        self.redis.hang()
        process.publish("1")
        self.clock.advance(0)
        new = FakeRedis(self.clock)
        changed = process.channels.useBus(self.another(new))
        process.publish("2")
        self.advance(1)
        self.assertEqual(member.got, [])
        self.redis.resume()
        self.advance(1)
        self.successResultOf(changed)
        self.assertEqual(member.got, ["1", "2"])
        self.assertEqual((self.redis.connections, len(new.connections)), ({}, 2))

    def test_awayBefore(self):
        """
        A server that stays away is not waited for any longer than at the end of the process; what is left then is lost,
        and told.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)
        self.redis.kill()
        process.publish("1")
        process.channels.useBus(self.another(FakeRedis(self.clock)))
        process.publish("2")
        self.advance(FLUSH_TIMEOUT + 1)
        self.assertEqual(member.got, ["2"])
        self.assertEqual([(gap.lost, gap.missed) for gap in process.gaps], [(1, False), (0, True)])

    def test_nobodyThere(self):
        """
        Where there are no members there is no gap; those who join while the change is under way get what is published
        in their process from then on.
        """
        process = self.process()
        process.publish("1")
        process.channels.useBus(self.another())
        process.channels.unsubscribe(process.join("b"), "b")
        self.advance(1)
        self.assertEqual(process.gaps, [])
        process.publish("1")
        process.channels.useBus(self.another())
        member = process.join()
        process.publish("2")
        self.advance(1)
        self.assertEqual(member.got, ["2"])

    def test_twice(self):
        """
        A bus that is replaced before it has begun still carries what was published on it, in its turn.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)
        changes = []
        for number in range(4):
            process.publish(f"{number}")
            changes.append(process.channels.useBus(self.another()))
        process.publish("4")
        self.advance(2)
        for change in changes:
            self.successResultOf(change)
        self.assertEqual(member.got, [*"01234"])
        self.assertEqual(len(self.redis.connections), 2)

    def test_toMemory(self):
        """
        What is published while the way back to no bus is not over is delivered after that.
        """
        process = self.process()
        member = process.join()
        self.advance(0.1)

        def write(message):
            member.got.append(message)
            if message == "2":
                process.publish("4")

        member.write = write
        process.publish("1")
        process.channels.useBus(MemoryBus())
        process.publish("2", "3")
        self.assertEqual(member.got, [])
        self.advance(0.1)
        self.assertEqual(member.got, [*"1234"])
        process.publish("5")
        self.assertEqual(member.got[-1], "5")

    def test_stopped(self):
        """
        Who stops while a change is under way waits for both.
        """
        process = self.process()
        member = self.process().join()
        self.advance(0.1)
        process.publish("1")
        process.channels.useBus(self.another())
        process.publish("2")
        stopped = process.channels.stop()
        self.assertNoResult(stopped)
        self.advance(0.5)
        self.successResultOf(stopped)
        self.assertEqual(member.got, ["1", "2"])
        self.assertEqual(len(self.redis.connections), 2)

    def test_hurried(self):
        """
        A second call ends the wait for both; what is left is lost, and told.
        """
        process = self.process()
        self.redis.kill()
        self.clock.advance(0)
        process.publish("1")
        process.channels.useBus(self.another())
        process.publish("2")
        first = process.channels.stop()
        self.advance(0.1)
        self.assertNoResult(first)
        second = process.channels.stop()
        self.clock.advance(0)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual([gap.lost for gap in process.gaps], [1, 1])

    def test_early(self):
        """
        The buffer of a bus that has not begun is bounded as ever, and what it does not take is told when it has.
        """
        process = self.process()
        self.redis.hang()
        process.publish("1")
        self.clock.advance(0)
        new = FakeRedis(self.clock)
        process.channels.useBus(RedisBus(RedisPlace(maxMessages=1), new.endpoint, self.clock))
        process.publish("2")
        for number in range(MAX_LOST_CHANNELS):
            process.publish("3", channel=f"{number}")
        self.advance(0.1)
        self.assertEqual(len(process.gaps), 0)
        self.redis.resume()
        self.advance(1)
        self.assertEqual([gap.lost for gap in process.gaps], [MAX_LOST_CHANNELS])


class OutgoingTests(SynchronousTestCase):
    """
    Tests for L{Outgoing}.
    """

    if missing:
        skip = missing

    def test_turns(self):
        """
        A channel on which more is published than can be on its way does not hold up others for long.
        """
        outgoing = Outgoing("x", 1000, MAX_FLIGHT * 10)

        def fill():
            for _ in range(2 * MAX_FLIGHT // MAX_PIECE):
                outgoing.put("a", True, b"x" * MAX_PIECE, 1, 0.0)

        fill()
        outgoing.put("b", True, b"x", 1, 0.0)
        self.assertEqual({piece.channel for piece in outgoing.take(lambda channel: False)}, {"a"})
        while outgoing.flight:
            outgoing.landed()
        fill()
        self.assertEqual(outgoing.take(lambda channel: False)[0].channel, "b")
