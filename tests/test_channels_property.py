# -*- test-case-name: tests.test_channels_property -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Whatever joins, leaves, publishes, dies and breaks: each member gets each message once and in order, or the application
is told of the gap.

The invariants, for one process and for several on a bus:

  1. No member gets a message twice, one that was not for it, one that was published in its process before it joined,
     or any after it has left.
  2. A member gets the messages of each process in the order in which they were published.
  3. A member that stays gets every message that its own process publishes after it has joined, and every message of
     another process that is published when its process is known to be subscribed, unless its process was told of a gap
     that ended later.
  4. Every message that was published has arrived at the server, or is counted in the gap that its process was told of.
  5. As long as no connection breaks, all members get what they have in common in the same order.
"""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.broadcast import Channels
from txsockjs.bus.envelopes import unpack
from txsockjs.bus.places import RedisPlace
from txsockjs.codec import RAW
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.interfaces import RequestFacts

try:
    from tests.redises import FakeRedis
    from txsockjs.bus.redis import RedisBus
except ImportError as error:
    missing = str(error)
else:
    missing = ""

CHANNELS = "abc"

SETTLE = 60.0
"""Seconds in which everything comes back."""


class Membership:
    """
    A time for which a member was in a channel.
    """

    def __init__(self, member, channel, published, since):
        self.since = since
        self.member = member
        self.channel = channel
        self.before = published
        self.got = []
        self.left = False


class Member:
    """
    A session, as far as channels know it: the link below a real connection.
    """

    isClosing = False

    def __init__(self, process, number, action):
        self.process = process
        self.action = action
        self.over = False
        self.memberships = {}
        facts = RequestFacts("/", {}, {})
        encoding = lookupEncoding(("utf-8", "latin-1")[number % 2])
        self.connection = Connection(self, None, encoding, "websocket", facts, None, None)
        self.connection._protocol = Protocol()

    def sendShared(self, message):
        text = message.encoded(RAW).decode()
        channel = text.partition(" ")[0]
        membership = self.memberships.get(channel)
        assert membership is not None, f"{text} for one that is no member"
        membership.got.append(text)
        self.process.world.react(self, self.action)


class Process:
    """
    What one process has.
    """

    def __init__(self, world, number, bus):
        self.world = world
        self.number = number
        self.buses = [bus]
        self.channels = Channels(bus)
        self.members = []
        self.published = []  # the texts, with the time and who was known to be subscribed
        self.gaps = []
        self.channels.onGap(self.gaps.append)

    @property
    def bus(self):
        return self.buses[-1]

    def change(self, bus):
        self.buses.append(bus)
        self.channels.useBus(bus)

    def publish(self, channel):
        text = f"{channel} {self.number} {len(self.published)}"
        known = {process.number for process in self.world.processes if process.isSubscribed(channel)}
        self.published.append((channel, text, self.world.clock.seconds(), known))
        self.channels.publish(channel, text if len(self.published) % 3 else text.encode())

    def isSubscribed(self, channel):
        return self.bus is None or channel in self.bus._confirmed

    def join(self, member, channel):
        if member.over or channel in member.memberships:
            return
        membership = member.memberships[channel] = Membership(
            member, channel, len(self.published), self.world.clock.seconds()
        )
        self.world.memberships.append(membership)
        assert self.channels.subscribe(member.connection, channel)

    def leave(self, member, channel):
        if channel in member.memberships:
            member.memberships.pop(channel).left = True
            assert self.channels.unsubscribe(member.connection, channel)

    def die(self, member):
        if not member.over:
            member.over = True
            for channel in list(member.memberships):
                member.memberships.pop(channel).left = True
            member.connection.lost(Failure(Exception("over")))
            assert not self.channels.subscribe(member.connection, "a")


class World:
    """
    Processes, and what happens to them.
    """

    def __init__(self, count, redis=None, maxMessages=1000):
        self.redis = redis
        self.clock = redis.clock if redis else Clock()
        self.memberships = []
        self.reactions = 0
        self.broken = False
        self.forbade = self.changed = False
        self.place = RedisPlace(maxMessages=maxMessages)
        self.processes = [Process(self, number, self.newBus()) for number in range(count)]

    def newBus(self):
        """
        @return: a bus that is not started, if there is a server.
        """
        return RedisBus(self.place, self.redis.endpoint, self.clock) if self.redis else None

    def advance(self, seconds):
        """
        Let time pass, from one thing that is due to the next.
        """
        end = self.clock.seconds() + seconds
        while True:
            due = min((call.getTime() for call in self.clock.getDelayedCalls()), default=end)
            if due >= end:
                break
            self.clock.advance(max(0, due - self.clock.seconds()))
        self.clock.advance(max(0, end - self.clock.seconds()))

    def react(self, member, action):
        """
        Do what a member does when it gets a message, unless there was a lot of that already.
        """
        if action is None or self.reactions >= 30:
            return
        self.reactions += 1
        self.act(member.process, *action)

    def act(self, process, what, number, channel):
        """
        Do something in a process.
        """
        if what == "publish":
            process.publish(channel)
            return
        if not process.members:
            return
        member = process.members[number % len(process.members)]
        if what == "join":
            process.join(member, channel)
        elif what == "leave":
            process.leave(member, channel)
        else:
            process.die(member)

    def run(self, steps):
        """
        Do everything, and then wait until all has come back.
        """
        for step in steps:
            getattr(self, step[0])(*step[1:])
        if self.redis:
            self.redis.start()
            self.redis.resume()
            self.redis.forbidden.clear()
        self.advance(SETTLE)

    # -- steps ----------------------------------------------------------------------------------------------------

    def connect(self, number, channel, action):
        process = self.processes[number % len(self.processes)]
        member = Member(process, len(process.members), action)
        process.members.append(member)
        process.join(member, channel)

    def do(self, number, action):
        self.act(self.processes[number % len(self.processes)], *action)

    def wait(self, seconds):
        self.advance(seconds)

    def cut(self, number, toServer, toClient):
        connections = list(self.redis.connections)
        if connections:
            self.broken = True
            connections[number % len(connections)].cut(toServer, toClient)

    def kill(self):
        self.broken = True
        self.redis.kill()

    def start(self):
        self.redis.start()

    def hang(self):
        self.broken = True
        self.redis.hang()

    def resume(self):
        self.redis.resume()

    def change(self, number):
        self.changed = True
        self.processes[number % len(self.processes)].change(self.newBus())

    def forbid(self, channel):
        self.forbade = True
        self.redis.forbidden.add(f"sockjs:0:{channel}".encode())

    def permit(self, channel):
        self.redis.forbidden.discard(f"sockjs:0:{channel}".encode())

    # -- the invariants -------------------------------------------------------------------------------------------

    def check(self):
        for membership in self.memberships:
            self.checkOne(membership)
        if not self.broken:
            for one, two in combinations(self.memberships, 2):
                common = set(one.got) & set(two.got)
                inOne, inTwo = ([text for text in each.got if text in common] for each in (one, two))
                assert inOne == inTwo, (one.got, two.got)
        if self.redis:
            self.checkServer()

    def checkOne(self, membership):
        process, got = membership.member.process, membership.got
        assert len(set(got)) == len(got), f"twice: {got}"
        for publisher in self.processes:
            isOwn = publisher is process
            first = membership.before if isOwn else 0
            possible = [text for channel, text, *_ in publisher.published[first:] if channel == membership.channel]
            mine = [text for text in got if text.split()[1] == str(publisher.number)]
            assert [text for text in possible if text in mine] == mine, f"{mine} of {possible}"
            if membership.left:
                continue
            for channel, text, when, known in publisher.published[first:]:
                if channel != membership.channel or text in mine:
                    continue
                # One that has joined later is known to be subscribed if another one was.
                isDue = isOwn or (process.number in known and membership.since <= when)
                excused = any(channel in gap.channels and gap.until >= when for gap in process.gaps + publisher.gaps)
                assert excused or not isDue, f"{text} is missing in {got}"

    def checkServer(self):
        arrived = set()
        for piece in self.redis.published:
            messages = unpack(piece).messages
            arrived.update(each if isinstance(each, str) else each.decode() for each in messages)
        for process in self.processes:
            lost = [text for _, text, *_ in process.published if text not in arrived]
            told = sum(gap.lost for gap in process.gaps)
            assert told == sum(bus.stats.lost for bus in process.buses), process.gaps
            # What the server has taken, could not say so, and refuses when it is sent again, counts as lost, too, and
            # so does what it has taken, but could not say so by the time at which a bus has to stop.
            assert len(lost) == told or ((self.forbade or self.changed) and len(lost) < told), (lost, process.gaps)
            assert all(bus.facts().waitingMessages == 0 for bus in process.buses)
            assert all(gap.since <= gap.until for gap in process.gaps)


latencies = st.lists(st.integers(1, 4), min_size=1, max_size=6)
channel = st.sampled_from(CHANNELS)
number = st.integers(0, 5)
action = st.tuples(st.sampled_from(["publish", "publish", "join", "leave", "die"]), number, channel)

IN_PROCESS = st.one_of(
    st.tuples(st.just("connect"), number, channel, st.none() | action),
    st.tuples(st.just("do"), number, action),
)

ON_A_BUS = st.one_of(
    IN_PROCESS,
    IN_PROCESS,
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.1, 0.1, 1.0, 7.0])),
)

WITH_BREAKS = st.one_of(
    ON_A_BUS,
    ON_A_BUS,
    st.tuples(st.just("cut"), st.integers(0, 7), st.booleans(), st.booleans()),
    st.sampled_from([("kill",), ("start",), ("hang",), ("resume",)]),
    st.tuples(st.just("change"), number),
    st.tuples(st.sampled_from(["forbid", "permit"]), channel),
)


class MemoryTests(SynchronousTestCase):
    """
    In one process.
    """

    @settings(max_examples=300, deadline=None)
    @given(st.lists(IN_PROCESS, min_size=20, max_size=60))
    def test_members(self, steps):
        """
        Whatever joins, leaves, publishes and dies, also from within deliveries, the invariants hold; and members that
        stay get exactly what was published since they joined.
        """
        world = World(1)
        world.run(steps)
        world.check()
        (process,) = world.processes
        for membership in world.memberships:
            expected = [text for name, text, *_ in process.published[membership.before :] if name == membership.channel]
            if membership.left:
                expected = expected[: len(membership.got)]
            self.assertEqual(membership.got, expected)


class RedisTests(SynchronousTestCase):
    """
    In several processes on a bus.
    """

    if missing:
        skip = missing

    @settings(max_examples=100, deadline=None)
    @given(st.lists(ON_A_BUS, min_size=30, max_size=60), latencies)
    def test_members(self, steps, latencies):
        """
        As long as nothing breaks, no gap is told, and the invariants hold.
        """
        world = World(3, FakeRedis(Clock(), latencies=latencies))
        world.run(steps)
        world.check()
        self.assertEqual([process.gaps for process in world.processes], [[], [], []])

    @settings(max_examples=250, deadline=None)
    @given(st.lists(WITH_BREAKS, min_size=40, max_size=80), latencies, st.sampled_from([3, 1000]))
    def test_breaks(self, steps, latencies, maxMessages):
        """
        Whatever connection breaks at whatever point, whether the server dies or hangs or refuses channels or
        processes go to another bus, the invariants hold.
        """
        world = World(3, FakeRedis(Clock(), latencies=latencies), maxMessages)
        world.run(steps)
        world.check()
