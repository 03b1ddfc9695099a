# -*- test-case-name: tests.test_multiplex_machine -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Property tests for L{txsockjs.multiplex}: a service to which anything may happen.

There are clients that do what the client of websocket-multiplex does, over connections on which messages of both
directions are on their way for a while; protocols that write, publish, close, fail, pause, and have producers; and
sessions that break. What must hold:

  1. A channel's protocol is connected first, and told of the end once and last, never from within a call of its own.
  2. It gets what the client has sent to this very channel, once and in order; all of it, as long as it is open and
     takes messages, however other channels have paused.
  3. A client's channel gets what its protocol has written, once and in order; all of it, as long as both are open. What
     it gets beside that is the end of what the channel before it has written, and comes before.
  4. The server says C{uns} only of a channel that the client, as far as the server has heard, has. When everything has
     arrived, both sides agree on which channels are open, save where both have ended one at a time and the client has
     subscribed again at once: then to subscribe once more puts it right.
  5. The bounds hold.
  6. Producers are told to pause and resume in turn, and to stop once, if they have not left; nobody else is.
  7. When the sessions are over nothing is left: no channel, no producer, no delayed call, no protocol.
"""

from __future__ import annotations

import gc
import json
import weakref
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.test_session import TurnClock
from txsockjs.codec import SOCKJS
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.interfaces import ISockJSProtocol, RequestFacts
from txsockjs.multiplex import SockJSMultiplexResource
from txsockjs.session import HIGH_WATER, State

TOPICS = ["a", "b", "c", "d"]
NOWHERE = "nowhere"
MOST_CHANNELS = 3
MOST_WAITING = 3
SESSIONS = 2

NONSENSE = ["", ",", "x", "sub", "msg", "uns", "zap,a", "SUB,a", f"msg,{NOWHERE},x", f"uns,{NOWHERE}", "sub,a" * 100]

CLIENT = ["open"] * 4 + ["say"] * 8 + ["leave"] * 2 + ["again", "again", "nonsense"] + ["arrive"] * 5 + ["read"] * 3
SERVER = (
    ["write"] * 4
    + ["writeMuch", "publish"] * 2
    + ["close", "close", "abort", "crash"]
    + ["pause"] * 6
    + ["resume"] * 3
    + ["push", "pull", "unregister"] * 3
    + ["badPush", "badPull"]
)
NETWORK = ["block", "ready", "ready", "break"]
KINDS = ["client"] * 6 + ["application"] * 4 + ["network"] + ["turn"] * 2


def randomEvents(seed):
    """
    @return: a hundred events. Hypothesis by itself seldom tries so many that one of them meets the others.
    """
    random = Random(seed)
    for _ in range(100):
        kind = random.choice(KINDS)
        if kind == "client":
            topic = random.choice([*TOPICS, "a", "a", "b", NOWHERE])
            yield kind, random.randrange(SESSIONS), random.choice(CLIENT), topic, random.randint(1, 4)
        elif kind == "application":
            yield kind, random.choice(SERVER), random.randrange(8), random.random() < 0.3
        elif kind == "network":
            yield kind, random.randrange(SESSIONS), random.choice(NETWORK)
        else:
            yield (kind,)


FEW_EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("client"),
            st.integers(0, SESSIONS - 1),
            st.sampled_from(CLIENT),
            st.sampled_from([*TOPICS, NOWHERE]),
            st.integers(1, 4),
        ),
        st.tuples(st.just("application"), st.sampled_from(SERVER), st.integers(0, 7), st.booleans()),
        st.tuples(st.just("network"), st.integers(0, SESSIONS - 1), st.sampled_from(NETWORK)),
        st.just(("turn",)),
    ),
    min_size=1,
    max_size=10,
)
MANY_EVENTS = st.integers(0, 2**32).map(lambda seed: list(randomEvents(seed)))


class Crash(Exception):
    """
    A protocol's failure.
    """


class MachineProducer:
    """
    A producer of one of the protocols.
    """

    def __init__(self, app, streaming, bad):
        self.app = app
        self.streaming = streaming
        self.bad = bad
        self.paused = False
        self.stopped = False
        self.left = 3

    def _told(self, name):
        check = self.app.machine.check
        check(not self.app.told, f"{name} after the end")
        check(not self.stopped, f"{name} after stopProducing")
        check(self.app.producer is self, f"{name} of a producer that is not registered")

    def _mayFail(self):
        if self.bad:
            self.app.over = True
            raise Crash()

    def pauseProducing(self):
        self._told("pauseProducing")
        self.app.machine.check(self.streaming and not self.paused, "paused without need")
        self.app.machine.check(not self.app.over, "paused when it is over")
        self.paused = True
        self._mayFail()

    def resumeProducing(self):
        self._told("resumeProducing")
        self.app.machine.check(self.paused or not self.streaming, "resumed without need")
        self.app.machine.check(not self.app.over, "resumed when it is over")
        self.paused = False
        self._mayFail()
        if not self.streaming:
            self.app.write("pulled")
            self.left -= 1
            if not self.left:
                self.app.unregister()

    def stopProducing(self):
        self._told("stopProducing")
        self.stopped = True
        self.app.producer = None
        self.app.over = self.app.over or self.app.closing


@implementer(ISockJSProtocol)
class App(Protocol):
    """
    The protocol of a channel.

    @ivar serial: which of the client's channels this is for.
    @ivar over: whether, by the rules, the channel must be over for the protocol.
    """

    def __init__(self, machine, line, serial):
        self.machine = machine
        self.line = line
        self.serial = serial
        self.made = self.told = self.over = self.closing = False
        self.reading = True
        self.depth = 0
        self.producer = None
        self.arrived = []
        self.written = []
        self.reaction = None

    def _enter(self, name):
        self.machine.check(not self.told, f"{name} after the end")
        self.machine.check(self.depth == 0, f"{name} from within a call")

    def connectionMade(self):
        self._enter("connectionMade")
        self.machine.check(not self.made, "made twice")
        self.made = True
        self._react()

    def messageReceived(self, message):
        self._enter("messageReceived")
        self.machine.check(self.made, "a message before the beginning")
        self.machine.check(self.reading, "a message while paused")
        self.machine.check(not self.over, "a message when it is over")
        self.arrived.append(message)
        self._react()

    def connectionLost(self, reason):
        self._enter("connectionLost")
        self.machine.check(self.made, "lost before the beginning")
        self.machine.check(reason.check(SessionDone, SessionLost, ConnectionAborted, Crash) is not None, repr(reason))
        self.machine.check(self.producer is None, "the producer was not stopped")
        self.over = self.told = True
        self.act("write")  # dropped
        self.reaction = None

    def _react(self):
        reaction, self.reaction = self.reaction, None
        self.depth += 1
        try:
            if reaction == "crash":
                self.over = True
                raise Crash()
            if reaction is not None:
                self.act(reaction)
        finally:
            self.depth -= 1

    def write(self, what):
        text = f"{self.machine.next()}:{what}"
        if not self.over and self.line.session.state is State.OPEN:
            self.written.append(text)
            self.line.writers[text] = self.serial
        self.transport.write(text)

    def act(self, action):
        """
        Do something.
        """
        transport = self.transport
        if action in ("write", "writeMuch"):
            self.write("x" * (HIGH_WATER // 2 + 1 if action == "writeMuch" else 1))
        elif action == "publish":
            self.machine.publish(self.transport.topic)
        elif action == "close":
            transport.close(4000, "closed")
            self.closing = True
            self.over = self.over or self.producer is None
        elif action == "abort":
            self.over = True
            transport.abortConnection()
        elif action == "pause":
            self.reading = False
            transport.pauseProducing()
        elif action == "resume":
            self.reading = True
            transport.resumeProducing()
        elif action == "unregister":
            self.unregister()
        elif action != "crash":
            self.register(action.endswith("ush"), action.startswith("bad"))

    def register(self, streaming, bad):
        if self.producer is not None:
            return
        isClosing = self.transport.disconnecting
        producer = self.producer = MachineProducer(self, streaming, bad)
        self.transport.registerProducer(producer, streaming)
        self.machine.check(producer.stopped == isClosing, "a producer that is too late is stopped, and no other")

    def unregister(self):
        self.producer = None
        self.over = self.over or self.closing
        self.transport.unregisterProducer()


class Receiver:
    """
    The connection of one session.
    """

    persistent = True

    def __init__(self):
        self.messages = []
        self.ended = False

    def send(self, frame):
        if frame[:1] == b"a":
            self.messages += json.loads(frame[1:])
        return True

    def close(self, code, reason):
        self.ended = True

    def abort(self):
        self.ended = True

    def unsent(self):
        return 0

    def pauseReading(self):
        pass

    def resumeReading(self):
        pass


class ClientChannel:
    """
    A channel as a client sees it.
    """

    def __init__(self, serial):
        self.serial = serial
        self.got = []


class Line:
    """
    A session, with the client at its other end and what is on the way between them.

    @ivar out: what the client has sent and has not arrived.
    @ivar channels: those that the client has open, by topic.
    @ivar heard: which of its channels the client has, by topic, as far as the server has heard.
    @ivar sent: what the client has sent to each of its channels, as far as the server has heard.
    @ivar ends: the channels of which the server has said C{uns}, and the client has not read it.
    @ivar writers: which channel has written what.
    @ivar mistaken: topics of which the client has taken the end of one channel for that of the next.
    """

    def __init__(self, machine):
        self.machine = machine
        self.out = []
        self.channels = {}
        self.heard = {}
        self.sent = {}
        self.ends = []
        self.mistaken = set()
        self.apps = {}
        self.writers = {}
        self.subscribing = None
        self.blocked = self.gone = False
        self.begin()

    def begin(self):
        machine = self.machine
        self.receiver = Receiver()
        self.session = machine.registry.create(SOCKJS)
        facts = RequestFacts("/", {}, {})
        machine.connecting = self
        self.session.bind(
            Connection(
                self.session, machine.resource._multiplex, lookupEncoding("utf-8"), "websocket", facts, None, None
            )
        )
        self.session.attach(self.receiver)

    def listen(self, multiplex):
        """
        Learn what the server hears and says.
        """
        self.multiplex = multiplex
        hear, say = multiplex.messageReceived, multiplex.send
        multiplex.messageReceived = lambda message: self.hears(message, hear)
        multiplex.send = lambda text: self.says(text, say)

    def hears(self, message, hear):
        kind, _, rest = message.partition(",")
        topic, _, payload = rest.partition(",")
        if topic in (*TOPICS, NOWHERE):
            if kind == "sub":
                self.heard[topic] = self.subscribing = payload
                self.sent[payload] = []
            elif kind == "uns":
                self.heard[topic] = None
            elif kind == "msg" and self.heard.get(topic) is not None:
                self.sent[self.heard[topic]].append(payload)
        hear(message)
        self.subscribing = None

    def says(self, text, say):
        kind, _, topic = text.partition(",")
        if kind == "uns" and topic in (*TOPICS, NOWHERE):
            self.machine.check(self.heard.get(topic) is not None, f"{text} to a client that has no such channel")
            app = self.apps.get(self.heard[topic])
            self.machine.check(app is None or (app.over and not app.told), f"{text} at the wrong moment")
            if self.session.state is State.OPEN:
                self.ends.append((topic, self.heard[topic]))
            self.heard[topic] = None
        say(text)

    # -- the client -----------------------------------------------------------------------------------------------

    def open(self, topic):
        serial = f"#{self.machine.next()}"
        self.channels[topic] = ClientChannel(serial)
        self.mistaken.discard(topic)
        self.out.append(f"sub,{topic},{serial}")

    def leave(self, topic):
        if self.channels.pop(topic, None) is not None:
            self.out.append(f"uns,{topic}")

    def say(self, topic):
        if topic in self.channels:
            self.out.append(f"msg,{topic},{self.machine.next()}")

    def arrive(self, count):
        """
        Messages arrive at the server, in one frame.
        """
        batch, self.out = self.out[:count], self.out[count:]
        if batch and not self.gone:
            self.session.received(batch)

    def read(self, count):
        """
        The client reads messages.
        """
        batch, self.receiver.messages = self.receiver.messages[:count], self.receiver.messages[count:]
        for message in batch:
            kind, _, rest = message.partition(",")
            topic, _, payload = rest.partition(",")
            channel = self.channels.get(topic)
            if kind == "uns" and topic in (*TOPICS, NOWHERE):
                ended, serial = self.ends.pop(0)
                self.machine.check(ended == topic, "ends in the wrong order")
                if channel is not None:
                    if channel.serial != serial:
                        self.mistaken.add(topic)
                    del self.channels[topic]
                    self.checkGot(channel, whole=channel.serial == serial)
            elif kind == "msg" and channel is not None:
                channel.got.append(payload)

    def checkGot(self, channel, whole):
        """
        @param whole: whether there is nothing more on the way.
        """
        app = self.apps.get(channel.serial)
        written = [] if app is None else app.written
        writers = [self.writers[text] for text in channel.got]
        count = writers.count(channel.serial)
        start = len(writers) - count
        check = self.machine.check
        check(writers[start:] == [channel.serial] * count, "a message of another channel in between")
        check(channel.got[start:] == (written if whole else written[:count]), "lost, doubled, or out of order")
        for serial in set(writers[:start]):
            late = [text for text in channel.got[:start] if self.writers[text] == serial]
            check(self.apps[serial].written[-len(late) :] == late, "not the end of another channel")

    def lose(self):
        if not self.gone:
            self.gone = True
            self.out.clear()
            self.session.receiverLost(self.receiver, SessionLost(1006, "gone"))

    @property
    def isOpen(self):
        return not self.gone and self.session.state is State.OPEN


class MultiplexMachine(RuleBasedStateMachine):
    """
    The service, its clients, and its protocols' factory. What is found wrong within a callback is noted, not raised:
    it would be taken for a failure of the application.
    """

    def __init__(self):
        super().__init__()
        self.clock = TurnClock()
        self.wrongs = []
        self.lines = []
        self.everyLine = []
        self.serial = 0

    @initialize(ending=st.sampled_from(["lost", "stop", "drain"]), queue=st.sampled_from([200_000, 100_000]))
    def begin(self, ending, queue):
        self.ending = ending
        self.resource = SockJSMultiplexResource(
            reactor=self.clock,
            max_channels=MOST_CHANNELS,
            max_topic_length=100,
            max_queued_messages=MOST_WAITING,
            max_queued_bytes=queue,
            heartbeat_delay=0,
        )
        self.registry = self.resource._service.registry
        self.registry.maxQueuedMessages = 100  # that few are meant for what waits for protocols
        for topic in TOPICS:
            self.resource.addFactory(topic, self)
        build = self.resource._multiplex.buildProtocol

        def buildProtocol(addr):
            multiplex = build(addr)
            self.connecting.listen(multiplex)
            return multiplex

        self.resource._multiplex.buildProtocol = buildProtocol
        self.lines = [self.connect() for _ in range(SESSIONS)]

    # -- the factory of all topics --------------------------------------------------------------------------------

    def buildProtocol(self, addr):
        line = next(line for line in self.everyLine if line.subscribing is not None)
        serial = line.subscribing
        app = line.apps[serial] = App(self, line, serial)
        return app

    def next(self):
        self.serial += 1
        return self.serial

    def check(self, holds, wrong):
        if not holds:
            self.wrongs.append(wrong)

    def publish(self, topic):
        text = f"{self.next()}:published"
        for line in self.lines:
            for app in line.apps.values():
                if app.transport is not None and app.transport.topic == topic and not app.over and line.isOpen:
                    app.written.append(text)
                    line.writers[text] = app.serial
        self.resource.broadcast(topic, text)

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(events=FEW_EVENTS | MANY_EVENTS, settle=st.booleans())
    def happen(self, events, settle):
        """
        One rule for everything, since hypothesis leaves out some of the rules in each run.
        """
        for name, *arguments in events:
            getattr(self, name)(*arguments)
            if self.wrongs:
                return
        if settle:
            self.settle()

    def client(self, number, action, topic, count):
        line = self.lines[number]
        if line.gone:
            return
        if action == "again":
            line.leave(topic)
            line.open(topic)
        elif action == "nonsense":
            line.out.append(NONSENSE[count * len(topic) % len(NONSENSE)])
        elif action in ("arrive", "read"):
            getattr(line, action)(count)
        else:
            getattr(line, action)(topic)

    def application(self, action, number, later):
        apps = [app for line in self.lines for app in line.apps.values() if app.made and not app.told]
        if not apps:
            return
        app = apps[-1 - number % len(apps)]
        if later or action == "crash":
            app.reaction = action
        else:
            app.act(action)

    def network(self, number, action):
        line = self.lines[number]
        if line.gone:
            self.lines[number] = self.connect()
        elif action == "block":
            line.blocked = True
            line.session.receiverBlocked(line.receiver)
        elif action == "ready":
            line.blocked = False
            line.session.receiverReady(line.receiver)
        elif self.serial % 5 == 0:  # not so often, or there would be nothing else
            line.lose()

    def connect(self):
        """
        @return: a new session, with two channels that are about to open.
        """
        line = Line(self)
        self.everyLine.append(line)
        line.open("a")
        line.open("b")
        line.arrive(2)
        return line

    def turn(self):
        self.clock.advance(0)
        for line in self.lines:
            if line.receiver.ended:
                line.lose()

    def settle(self):
        """
        Everything arrives that is on its way.
        """
        for line in self.lines:
            if not line.gone:
                self.network(self.lines.index(line), "ready")
        for _ in range(12):
            for line in self.lines:
                line.arrive(50)
                line.read(len(line.receiver.messages))
            self.turn()
        for line in self.lines:
            if line.isOpen:
                self.checkAgreement(line)
                self.checkDelivery(line)

    def checkAgreement(self, line):
        if line.multiplex._holding:
            return  # what the client has said since may not have been heard
        theirs = {topic: channel.serial for topic, channel in line.channels.items()}
        ours = {topic: line.heard[topic] for topic in line.multiplex.channels}
        for topic in (*TOPICS, NOWHERE):
            if topic in line.mistaken:
                self.check(topic not in line.channels, "a channel that was taken for another is open")
            else:
                self.check(ours.get(topic) == theirs.get(topic), f"{topic}: {ours} here, {theirs} there")
        for channel in line.channels.values():
            line.checkGot(channel, whole=True)

    def checkDelivery(self, line):
        if not line.multiplex._holding:
            self.check(line.session.backlog == 0 and not line.session._inbox, "one channel has held up the others")
        for topic in line.multiplex.channels:
            app = line.apps[line.heard[topic]]
            if app.reading and not app.over and not line.multiplex._holding:
                self.check(app.arrived == line.sent[app.serial], "not delivered")
            if app.producer is not None and not app.over:
                self.check(not app.producer.paused, "still paused")
                self.check(app.producer.streaming, "a pull producer was not asked")

    # -- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def nothingWentWrong(self):
        assert self.wrongs == [], self.wrongs

    @invariant()
    def inOrder(self):
        for line in self.everyLine:
            for serial, app in line.apps.items():
                assert app.arrived == line.sent[serial][: len(app.arrived)]

    @invariant()
    def bounded(self):
        for line in self.everyLine:
            multiplex = line.multiplex
            options = self.resource.options
            assert len(multiplex.channels) <= MOST_CHANNELS
            waiting = [item for channel in multiplex.channels.values() for item in channel._inbox]
            assert multiplex._waiting == len(waiting) <= options.max_queued_messages
            assert multiplex._waitingBytes == sum(size for _, size in waiting)
            assert multiplex._waitingBytes < options.max_queued_bytes + options.max_message_size

    @invariant()
    def membersAreThoseThatAreOpen(self):
        if not hasattr(self, "resource"):
            return
        members = self.resource._multiplex.members
        assert all(members.values())
        assert {channel for each in members.values() for channel in each} == {
            channel for line in self.everyLine for channel in line.multiplex.channels.values()
        }

    def teardown(self):
        if not hasattr(self, "resource"):
            return
        self.settle()
        self.nothingWentWrong()
        apps = [app for line in self.everyLine for app in line.apps.values()]
        if self.ending == "stop":
            self.resource.stop()
        elif self.ending == "drain":
            self.resource.drain(1)
        for _ in range(4):
            self.turn()
        for line in self.everyLine:
            line.lose()
        self.clock.advance(5)
        for _ in range(4):
            self.turn()
        self.nothingWentWrong()
        self.inOrder()
        self.bounded()
        self.membersAreThoseThatAreOpen()
        for app in apps:
            assert app.made == app.told
            assert app.producer is None
        assert self.resource._multiplex.members == {}
        assert self.clock.getDelayedCalls() == []
        for line in self.everyLine:
            assert line.multiplex.channels == {} and line.multiplex._producers == {}


class PropertyTests(SynchronousTestCase):
    """
    Whatever happens.
    """

    def test_anything(self):
        """
        What is written on top of this module holds.
        """
        run_state_machine_as_test(
            MultiplexMachine,
            settings=settings(max_examples=100, stateful_step_count=6, deadline=None, database=None),
        )
        self.flushLoggedErrors(Crash)

    def test_nothingIsLeft(self):
        """
        When the sessions are over, nothing holds the protocols.
        """
        machine = MultiplexMachine()
        machine.begin("lost", 200_000)
        for line in machine.lines:
            line.say("a")
            line.arrive(10)
        machine.settle()
        held = [weakref.ref(app) for line in machine.lines for app in line.apps.values()]
        self.assertEqual(len(held), 4)
        machine.application("push", 0, False)
        machine.application("pause", 1, False)
        machine.application("abort", 2, False)
        machine.teardown()
        for line in machine.lines:
            line.apps.clear()
        gc.collect()
        self.assertEqual([app() for app in held], [None] * 4)
