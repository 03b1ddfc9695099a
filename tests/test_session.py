# -*- test-case-name: tests.test_session -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Tests for L{txsockjs.session}: one by one for each of its rules, and all of them at once by a state machine that does
whatever comes to its mind.

No reactor runs here: the sessions belong to a real L{Registry} with a L{Clock}.
"""

from __future__ import annotations

import gc
import json
import weakref

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.codec import RAW, SOCKJS, SharedMessage
from txsockjs.errors import MessageTooLarge, SessionDone, SessionLost
from txsockjs.options import Options
from txsockjs.registry import Registry
from txsockjs.session import HIGH_WATER, LOW_WATER, State
from txsockjs.stats import Cause

HEARTBEAT = 25
DISCONNECT = 5
STALL = 90
MOST_BYTES = 200_000
MOST_MESSAGES = 1000
FEW_MESSAGES = 6
LONGEST = 50

GO_AWAY_FRAME = b'c[3000,"Go away!"]'
ANOTHER_FRAME = b'c[2010,"Another connection still open"]'
INTERRUPTED_FRAME = b'c[1002,"Connection interrupted"]'
CRASHED_FRAME = b'c[1011,"Internal error"]'


class TurnClock(Clock):
    """
    A clock that keeps turns apart, as a reactor does: what is put off within a turn happens in a later one.
    """

    def advance(self, amount):
        self.rightNow += amount
        for call in [call for call in self.calls if call.getTime() <= self.rightNow]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class Crash(Exception):
    """
    An application fails.
    """


class FakeReceiver:
    """
    A receiver that keeps what it gets.

    @ivar limit: how many frames it takes; L{None} for any number.
    @ivar frames: what was sent.
    @ivar closing: the arguments of C{close}, once that was called.
    @ivar left: what its connection has yet to send.
    @ivar during: called within the next C{send}.
    """

    def __init__(self, session, limit=None, persistent=False):
        self.session = session
        self.limit = limit
        self.persistent = persistent
        self.frames = []
        self.closing = None
        self.aborted = False
        self.left = 0
        self.broken = False
        self.reading = True
        self.blocked = False
        self.during = None
        self.onClose = None
        self.wrongs = []

    @property
    def live(self):
        """
        Whether it could still take frames.
        """
        return self.closing is None and not self.aborted and not self.broken

    def send(self, frame):
        if not self.live and not self.broken:
            self.wrongs.append(f"{frame!r} sent to a receiver that has ended")
        if self.blocked:
            self.wrongs.append(f"{frame!r} sent to a receiver that is blocked")
        if not self.broken:
            self.frames.append(frame)
        during, self.during = self.during, None
        if during is not None:
            during()
        return self.limit is None or len(self.frames) < self.limit

    def close(self, code, reason):
        if self.closing is not None or self.aborted:
            self.wrongs.append("closed after its end")
        self.closing = (code, reason)
        if self.onClose is not None:
            self.onClose()

    def abort(self):
        if not self.live and not self.persistent:
            self.wrongs.append("aborted after its end")
        self.aborted = True

    def unsent(self):
        return self.left

    def pauseReading(self):
        self.reading = False

    def resumeReading(self):
        self.reading = True

    # -- what its connection does ---------------------------------------------------------------------------------

    def breakNow(self):
        self.broken = True
        self.session.receiverLost(self, SessionLost(1006, "broken"))

    def block(self):
        self.blocked = True
        self.session.receiverBlocked(self)

    def unblock(self):
        self.blocked = False
        self.session.receiverReady(self)


class FakeApplication:
    """
    An application that notes what it is told.

    @ivar events: the names of what it was told; messages stand for themselves.
    @ivar reactions: what it does the next time it is told something, by the name of that.
    @ivar reason: what C{lost} was called with.
    """

    def __init__(self, accepts=True):
        self.accepts = accepts
        self.events = []
        self.messages = []
        self.reactions = {}
        self.reason = None

    def tell(self, event):
        self.events.append(event)
        reaction = self.reactions.pop(event, None)
        if reaction is not None:
            reaction()

    def accept(self):
        self.tell("accept")
        return self.accepts

    def opened(self):
        self.tell("opened")

    def received(self, message):
        self.messages.append(message)
        self.tell("received")

    def lost(self, reason, cause):
        self.reason = reason
        self.cause = cause
        self.tell("lost")


class FakeProducer:
    """
    A producer that notes what it is told.
    """

    def __init__(self, tell=None):
        self.events = []
        self._tell = tell

    def _note(self, event):
        self.events.append(event)
        if self._tell is not None:
            self._tell(event)

    def pauseProducing(self):
        self._note("pause")

    def resumeProducing(self):
        self._note("resume")

    def stopProducing(self):
        self._note("stop")


def crash():
    """
    Fail as an application does.
    """
    raise Crash()


class SessionTestCase(SynchronousTestCase):
    """
    One session with its surroundings.
    """

    framing = SOCKJS

    def setUp(self):
        self.clock = TurnClock()
        options = Options(
            heartbeat_delay=HEARTBEAT,
            disconnect_delay=DISCONNECT,
            write_timeout=STALL,
            max_queued_bytes=MOST_BYTES,
            max_queued_messages=MOST_MESSAGES,
        )
        self.registry = Registry(options, self.clock)
        self.application = FakeApplication()
        self.session = self.create(self.application)

    def create(self, application, framing=None):
        session = self.registry.create(framing or self.framing, "session")
        session.bind(application)
        return session

    def attach(self, limit=None, persistent=False, session=None):
        """
        Attach a receiver that takes any number of frames.
        """
        receiver = FakeReceiver(session or self.session, limit, persistent)
        receiver.session.attach(receiver)
        return receiver

    def poll(self):
        """
        Attach a receiver that takes one frame.
        """
        return self.attach(limit=1)

    def turn(self):
        """
        Let the turn of the reactor end.
        """
        self.clock.advance(0)

    def assertOver(self, code, kind=SessionDone, cause=None):
        """
        The application has been told of the end, with an exception of C{kind} and C{code}; and it was counted.
        """
        self.assertEqual(self.application.events.count("lost"), 1)
        self.assertEqual(self.application.events[-1], "lost")
        self.assertIs(self.application.reason.type, kind)
        self.assertEqual(self.application.reason.value.code, code)
        self.assertEqual(len(self.registry), 0)
        self.assertEqual(self.registry.stats.closed, {self.application.cause: 1})
        if cause is not None:
            self.assertIs(self.application.cause, cause)


class CountTests(SessionTestCase):
    """
    What is counted, and for which cause sessions end.
    """

    def test_messages(self):
        """
        Messages and bytes are counted in both directions.
        """
        self.attach()
        self.session.received(["a", "b"], 9)
        self.session.received(["c"], 5)
        self.session.send("x")
        self.session.send("\u20ac")
        self.turn()
        stats = self.registry.stats
        self.assertEqual((stats.messagesIn, stats.bytesIn, stats.messagesOut, stats.bytesOut), (3, 14, 2, 8))
        self.assertEqual(stats.opened, {"": 1})

    def test_notSent(self):
        """
        Of what is dropped since the session is closing, that of the client is counted, since it came.
        """
        self.attach()
        self.session.close(3000, "")
        self.session.send("x")
        self.session.received(["a"], 5)
        stats = self.registry.stats
        self.assertEqual((stats.messagesOut, stats.bytesOut, stats.messagesIn, stats.bytesIn), (0, 0, 1, 5))

    def test_pauses(self):
        """
        Each pause of a producer is counted.
        """
        receiver = self.attach()
        self.session.registerProducer(FakeProducer(), True)
        for _ in range(3):
            receiver.block()
            self.assertTrue(self.session.producerPaused)
            receiver.unblock()
            self.assertFalse(self.session.producerPaused)
        self.assertEqual(self.registry.stats.pauses, 3)

    def test_refused(self):
        """
        A session that the application has refused counts as closed and was never opened.
        """
        self.application.accepts = False
        self.attach()
        self.turn()
        self.assertEqual(self.registry.stats.closed, {Cause.REFUSED: 1})
        self.assertEqual(self.registry.stats.opened, {})

    def test_causes(self):
        """
        The cause of an end is what came first.
        """
        self.attach()
        self.session.close(3000, "")
        self.turn()
        self.assertOver(3000, cause=Cause.APPLICATION)

    def test_brokenWhileAProducerLasts(self):
        """
        A connection that breaks while a close waits for a producer is the cause.
        """
        receiver = self.attach()
        self.session.registerProducer(FakeProducer(), True)
        self.session.close(3000, "")
        receiver.breakNow()
        self.turn()
        self.assertOver(1006, SessionLost, Cause.BROKEN)

    def test_abort(self):
        """
        The application's abort is a cause of its own.
        """
        self.attach()
        self.session.abort()
        self.turn()
        self.assertIs(self.application.cause, Cause.ABORTED)

    def test_crash(self):
        """
        So is its failure.
        """
        self.attach()
        self.application.reactions["received"] = crash
        self.session.received(["x"])
        self.turn()
        self.assertIs(self.application.cause, Cause.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(Crash)), 1)

    def test_exit(self):
        """
        So is an exception that would end a program of another kind; the reactor logs it and goes on.
        """

        def leave():
            self.session.send("before")
            raise SystemExit(1)

        receiver = self.attach()
        self.application.reactions["received"] = leave
        self.session.received(["x"])
        self.turn()
        self.assertIs(self.application.cause, Cause.FAILED)
        self.assertEqual(receiver.frames[-2:], [b'a["before"]', b'c[1011,"Internal error"]'])
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_exitAtTheEnd(self):
        """
        Such an exception while it is told of the end does not keep the session.
        """

        def leave():
            raise SystemExit(1)

        self.attach()
        self.application.reactions["lost"] = leave
        self.session.abort()
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
        self.assertEqual(len(self.registry), 0)

    def test_client(self):
        """
        A receiver can tell the cause, such as a client that closed its WebSocket.
        """
        receiver = self.attach(persistent=True)
        self.session.receiverLost(receiver, SessionDone(1000, ""), Cause.CLIENT)
        self.turn()
        self.assertOver(1000, cause=Cause.CLIENT)

    def test_absentAndStalled(self):
        """
        A client that does not come back and one that does not read are told apart.
        """
        self.poll()
        self.clock.advance(DISCONNECT)
        self.turn()
        self.assertOver(1002, SessionLost, Cause.ABSENT)

    def test_stalled(self):
        """
        A client that does not read is the cause of the end.
        """
        self.attach().block()
        self.clock.advance(STALL)
        self.turn()
        self.assertOver(1002, SessionLost, Cause.STALLED)


class HeldBelowTests(SessionTestCase):
    """
    What a connection that is full has already taken.
    """

    def setUp(self):
        super().setUp()
        self.registry.maxQueuedBytes = 4 * HIGH_WATER
        self.registry.maxQueuedMessages = 10000

    def writeUntilLost(self, size):
        """
        Write messages of C{size} bytes each, a turn for each four, until the session is lost.

        @return: how many bytes were written.
        """
        written = 0
        while self.session.state is State.OPEN:
            for _ in range(4):
                self.session.send("x" * size)
                written += size + 2
            self.turn()
            self.assertLess(written, 100 * HIGH_WATER)
        return written

    def test_bound(self):
        """
        A connection that is full holds little more than makes it so, and that counts to what may be queued.
        """
        for size in (100, 5000, HIGH_WATER // 2, 2 * HIGH_WATER):
            self.setUp()
            receiver = self.attach()
            # As Twisted's do, its connection is full with the first byte beyond its buffer.
            taken = [0]

            def send(frame, taken=taken, receiver=receiver):
                taken[0] += len(frame)
                if taken[0] > HIGH_WATER and not receiver.blocked:
                    receiver.block()
                return True

            receiver.send = send
            self.writeUntilLost(size)
            self.assertLessEqual(taken[0], 2 * HIGH_WATER + size + 8)
            self.assertOver(1008, SessionLost, Cause.OVERFLOW)

    def test_oneGo(self):
        """
        What is written in one turn leaves in pieces, so that a connection which is full after the first has no more.
        """
        receiver = self.attach()
        receiver.during = receiver.block
        for _ in range(30):
            self.session.send("x" * (HIGH_WATER // 10))
        self.turn()
        self.assertEqual(len(receiver.frames), 2)
        self.assertLessEqual(len(receiver.frames[1]), HIGH_WATER * 12 // 10)
        receiver.unblock()
        messages = [message for frame in receiver.frames[1:] for message in json.loads(frame[1:])]
        self.assertEqual(len(messages), 30)
        self.assertEqual(receiver.wrongs, [])

    def test_room(self):
        """
        When it takes data again, what it had taken counts no more.
        """
        receiver = self.attach()
        for _ in range(10):
            receiver.block()
            self.session.send("x" * HIGH_WATER)
            self.session.send("x" * HIGH_WATER)
            receiver.unblock()
            self.turn()
        self.assertIs(self.session.state, State.OPEN)


class SizeTests(SessionTestCase):
    """
    Messages that are too large.
    """

    def setUp(self):
        super().setUp()
        self.registry.maxMessageSize = 10

    def test_boundary(self):
        """
        A message of just that size in UTF-8 is taken, whatever it came in, and characters count by their bytes.
        """
        self.attach()
        for message in ("x" * 10, "\u20ac" * 3, "\U0001f600" * 2, "\ud800" * 3):
            self.session.received([message], 60)
        self.assertEqual(len(self.application.messages), 4)
        self.assertIs(self.session.state, State.OPEN)

    def test_tooLarge(self):
        """
        A larger one closes the session with 1009, after what was written; nothing that came with it is delivered.
        """
        for message in ("x" * 11, "\u20ac" * 4, "\U0001f600" * 3, "\ud800" * 4):
            self.setUp()
            receiver = self.attach()
            self.session.send("before")
            error = self.assertRaises(MessageTooLarge, self.session.received, ["a", message], 30)
            self.assertEqual(str(error), "The message is larger than 10 bytes")
            self.assertEqual(receiver.frames, [b"o", b'a["before"]', b'c[1009,"The message is too large"]'])
            self.turn()
            self.assertEqual(self.application.messages, [])
            self.assertOver(1009, SessionLost, Cause.TOO_LARGE)
            self.assertEqual(self.registry.stats.refused, {"message too large": 1})

    def test_tooMany(self):
        """
        More messages in one piece than may be queued close the session with 1009 as well.
        """
        receiver = self.attach()
        self.session.received(["a"] * MOST_MESSAGES, MOST_MESSAGES * 4)
        self.assertEqual(len(self.application.messages), MOST_MESSAGES)
        error = self.assertRaises(MessageTooLarge, self.session.received, ["a"] * (MOST_MESSAGES + 1), 5)
        self.assertEqual(str(error), f"There are more than {MOST_MESSAGES} messages")
        self.assertEqual(receiver.frames[-1], b'c[1009,"There are too many messages at once"]')
        self.turn()
        self.assertEqual(len(self.application.messages), MOST_MESSAGES)
        self.assertOver(1009, SessionLost, Cause.TOO_LARGE)
        self.assertEqual(self.registry.stats.refused, {"too many messages": 1})

    def test_producer(self):
        """
        The close does not wait for a producer, which is stopped.
        """
        receiver = self.attach()
        producer = FakeProducer()
        self.session.registerProducer(producer, True)
        self.assertRaises(MessageTooLarge, self.session.received, ["x" * 11], 15)
        self.assertEqual(receiver.frames[-1], b'c[1009,"The message is too large"]')
        self.turn()
        self.assertEqual(producer.events, ["stop"])

    def test_backlog(self):
        """
        What waits for the application is counted in bytes.
        """
        self.attach()
        self.session.pauseReading()
        self.session.received(["a", "b"], 9)
        self.session.received(["c"], 5)
        self.assertEqual(self.session.backlog, 14)
        self.session.resumeReading()
        self.turn()
        self.assertEqual(self.session.backlog, 0)
        self.session.pauseReading()
        self.session.received(["a"], 5)
        self.session.close(3000, "")
        self.turn()
        self.assertEqual(self.session.backlog, 0)


class ShutdownTests(SessionTestCase):
    """
    Rule 12.
    """

    def test_shutdown(self):
        """
        What is queued leaves, and the close frame follows.
        """
        receiver = self.attach()
        self.session.send("a")
        self.session.shutdown(4000, "bye")
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'a["a"]', b'c[4000,"bye"]'])
        self.assertOver(4000, cause=Cause.STOPPED)

    def test_producer(self):
        """
        A producer is stopped once, and what it writes then still leaves.
        """
        receiver = self.attach()
        producer = FakeProducer(lambda event: self.session.send(event))
        self.session.registerProducer(producer, True)
        self.session.shutdown(4000, "bye")
        self.turn()
        self.assertEqual(producer.events, ["stop"])
        self.assertEqual(receiver.frames, [b"o", b'a["stop"]', b'c[4000,"bye"]'])

    def test_failingProducer(self):
        """
        A producer that fails to stop makes it a failure of the application.
        """
        receiver = self.attach()
        self.session.registerProducer(FakeProducer(lambda event: crash()), True)
        self.session.shutdown(4000, "bye")
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'c[1011,"Internal error"]'])
        self.assertIs(self.application.cause, Cause.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(Crash)), 1)

    def test_closeAsked(self):
        """
        A close that waits for a producer keeps its code, and does not wait any more.
        """
        receiver = self.attach()
        self.session.registerProducer(FakeProducer(), True)
        self.session.close(4001, "mine")
        self.session.shutdown(4000, "bye")
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'c[4001,"mine"]'])
        self.assertOver(4001, cause=Cause.APPLICATION)

    def test_notOpen(self):
        """
        It changes nothing for a session that is new, closing or over.
        """
        self.session.shutdown(4000, "bye")
        receiver = self.attach()
        self.session.close(4001, "mine")
        self.session.shutdown(4000, "bye")
        self.turn()
        self.session.shutdown(4000, "bye")
        self.assertEqual(receiver.frames, [b"o", b'c[4001,"mine"]'])


class OpeningTests(SessionTestCase):
    """
    Rules 1 and 3.
    """

    def test_openFrameFirst(self):
        """
        The first receiver gets the opening frame before the application is told.
        """
        seen = []
        receiver = FakeReceiver(self.session)
        self.application.reactions["opened"] = lambda: seen.extend(receiver.frames)
        self.assertIs(self.session.state, State.NEW)
        self.session.attach(receiver)
        self.assertEqual(seen, [b"o"])
        self.assertEqual(self.application.events, ["accept", "opened"])
        self.assertIs(self.session.state, State.OPEN)

    def test_pollerIsDoneWithOpenFrame(self):
        """
        A receiver of one frame gets the opening and no more; what the application writes then waits for the next.
        """
        self.application.reactions["opened"] = lambda: self.session.send("hello")
        first = self.poll()
        self.turn()
        self.assertEqual((first.frames, first.live), ([b"o"], False))
        self.assertEqual(self.poll().frames, [b'a["hello"]'])

    def test_messagesWithinTheOpening(self):
        """
        Messages that come while the receiver of the opening frame ends, as a pipelined request can, wait until the
        application has seen its connection.
        """
        receiver = FakeReceiver(self.session, limit=1)
        taken = []
        receiver.onClose = lambda: taken.append(self.session.received(["early"]))
        self.session.attach(receiver)
        self.assertEqual(self.application.events, ["accept", "opened"])
        self.turn()
        self.assertEqual(self.application.events, ["accept", "opened", "received"])
        self.successResultOf(taken[0])

    def test_openFrameIsItsOwn(self):
        """
        What the application writes as it opens follows in a frame of its own in the same turn.
        """
        self.application.reactions["opened"] = lambda: self.session.send("hello")
        self.assertEqual(self.attach().frames, [b"o", b'a["hello"]'])

    def test_refused(self):
        """
        An application that refuses is never connected, and the only frame is the close frame.
        """
        self.application.accepts = False
        receiver = self.attach()
        self.turn()
        self.assertEqual(receiver.frames, [GO_AWAY_FRAME])
        self.assertEqual(receiver.closing, (3000, "Go away!"))
        self.assertEqual(self.application.events, ["accept"])
        self.assertEqual(len(self.registry), 0)
        self.assertEqual(self.poll().frames, [GO_AWAY_FRAME])

    def test_refusedByFailure(self):
        """
        An application that fails to decide is never connected either, and the client is told of the failure.
        """
        self.application.reactions["accept"] = crash
        receiver = self.attach()
        self.turn()
        self.assertEqual(receiver.frames, [CRASHED_FRAME])
        self.assertEqual(self.application.events, ["accept"])
        self.assertEqual(len(self.registry), 0)
        self.assertEqual(len(self.flushLoggedErrors(Crash)), 1)

    def test_receiverBreaksWithinTheOpening(self):
        """
        A connection that breaks as the opening is sent ends the session; the application sees beginning and end.
        """
        receiver = FakeReceiver(self.session)
        receiver.during = receiver.breakNow
        self.session.attach(receiver)
        self.assertEqual(self.application.events, ["accept", "opened"])
        self.turn()
        self.assertOver(1006, SessionLost)

    def test_abortWhileAsked(self):
        """
        A session that ends while the application decides sends nothing.
        """
        self.application.reactions["accept"] = self.session.abort
        receiver = self.attach()
        self.turn()
        self.assertEqual((receiver.frames, receiver.aborted), ([], True))
        self.assertEqual(self.application.events, ["accept", "opened", "lost"])

    def test_nothingBeforeTheFirstReceiver(self):
        """
        A session without a receiver yet takes no messages and no close, but can be aborted.
        """
        self.session.send("lost")
        self.session.close(3000, "x")
        self.assertFalse(self.successResultOf(self.session.received(["lost"])))
        self.assertFalse(self.session.isClosing)
        self.session.abort()
        self.assertTrue(self.session.isClosing)
        self.turn()
        self.assertEqual(self.application.events, [])
        self.assertEqual(len(self.registry), 0)


class ReceiverTests(SessionTestCase):
    """
    Rules 2, 5, 6 and 7.
    """

    def test_secondReceiver(self):
        """
        A second receiver is told that there is one, and the first stays as it was.
        """
        first = self.attach()
        second = self.attach()
        self.assertEqual(second.frames, [ANOTHER_FRAME])
        self.assertEqual(second.closing, (2010, "Another connection still open"))
        second.breakNow()
        self.session.send("a")
        self.turn()
        self.assertEqual(first.frames, [b"o", b'a["a"]'])

    def test_full(self):
        """
        A receiver that takes no more is closed, and the next one gets what was written in between.
        """
        first = self.attach(limit=2)
        self.session.send("a")
        self.turn()
        self.session.send("b")
        self.turn()
        self.assertEqual((first.frames, first.closing), ([b"o", b'a["a"]'], (1000, "")))
        self.assertEqual(self.attach().frames, [b'a["b"]'])

    def test_nextReceiverAtOnce(self):
        """
        A client that has sent its next request behind the present one is served as soon as that is answered.
        """
        second = FakeReceiver(self.session)
        first = FakeReceiver(self.session, limit=1)
        first.onClose = lambda: self.session.attach(second)
        self.session.attach(first)
        self.session.send("a")
        self.turn()
        self.assertEqual(first.frames, [b"o"])
        self.assertEqual(second.frames, [b'a["a"]'])
        self.clock.advance(DISCONNECT)
        self.assertTrue(second.live)

    def test_nextReceiverWithinFlush(self):
        """
        The same in the middle of sending: nothing is sent twice or left behind.
        """
        self.poll()
        second = FakeReceiver(self.session, limit=1)
        third = FakeReceiver(self.session)
        second.during = lambda: self.session.send("b")
        second.onClose = lambda: self.session.attach(third)
        self.session.send("a")
        self.session.attach(second)
        self.assertEqual((second.frames, third.frames), ([b'a["a"]'], [b'a["b"]']))

    def test_breaks(self):
        """
        A receiver whose connection breaks takes the session with it, and what was queued is gone.
        """
        receiver = self.attach()
        self.session.send("a")
        receiver.breakNow()
        self.assertEqual(self.application.events, ["accept", "opened"])
        self.turn()
        self.assertOver(1006, SessionLost)
        self.assertEqual(receiver.frames, [b"o"])
        self.assertEqual(self.poll().frames, [INTERRUPTED_FRAME])

    def test_breaksWithinSend(self):
        """
        A receiver that breaks while it takes its last frame is not closed as well, and ends the session.
        """
        receiver = self.attach(limit=2)
        receiver.during = receiver.breakNow
        self.session.send("a")
        self.turn()
        self.assertIsNone(receiver.closing)
        self.turn()
        self.assertOver(1006, SessionLost)

    def test_oldReceiversDoNotMatter(self):
        """
        Whatever is heard of a receiver that is not attached any more changes nothing.
        """
        old = self.poll()
        new = self.attach()
        self.session.receiverBlocked(old)
        self.session.receiverReady(old)
        old.breakNow()
        self.session.send("a")
        self.turn()
        self.assertEqual(new.frames, [b'a["a"]'])

    def test_oldReceiverDoesNotUnblock(self):
        """
        That the connection of an earlier receiver drains does not let frames into the full one of the present receiver.
        """
        old = self.poll()
        new = self.attach()
        new.block()
        self.session.send("a")
        self.session.receiverReady(old)
        self.turn()
        self.assertEqual((new.frames, new.wrongs), ([], []))
        new.unblock()
        self.assertEqual(new.frames, [b'a["a"]'])

    def test_nobodyComesBack(self):
        """
        Without a receiver for the disconnect delay the session is lost; until it is forgotten, requests are told so.
        """
        self.poll()
        self.session.send("a")
        self.clock.advance(DISCONNECT - 0.1)
        self.assertIs(self.session.state, State.OPEN)
        self.clock.advance(0.1)
        self.turn()
        self.assertOver(1002, SessionLost)
        self.assertEqual(self.poll().frames, [INTERRUPTED_FRAME])
        self.clock.advance(DISCONNECT)
        self.assertIsNone(self.registry.find("session"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stillReads(self):
        """
        A client that still takes what its last response has left is not absent, and one that has stopped to is.
        """
        receiver = self.poll()
        for left in (900, 500, 1):
            receiver.left = left
            self.clock.advance(DISCONNECT)
            self.assertIs(self.session.state, State.OPEN)
        self.clock.advance(DISCONNECT)
        self.turn()
        self.assertOver(1002, SessionLost, Cause.ABSENT)

    def test_slowButReading(self):
        """
        A client whose connection is full is not cut as long as it takes some of what was sent.
        """
        receiver = self.attach()
        receiver.left = 900
        receiver.block()
        self.turn()
        for left in (800, 10):
            receiver.left = left
            self.clock.advance(STALL)
            self.assertFalse(receiver.aborted)
        self.clock.advance(STALL)
        self.assertTrue(receiver.aborted)
        self.turn()
        self.assertOver(1002, SessionLost, Cause.STALLED)

    def test_messagesBehindTheLastFrame(self):
        """
        Messages that come behind the response that a frame has just filled are delivered, and answered in a later turn.
        """
        self.poll()
        receiver = self.poll()
        receiver.onClose = lambda: self.session.received(["x"], 5)
        self.application.reactions["received"] = lambda: self.session.send("answer")
        self.session.send("a")
        self.assertEqual(self.session.queuedMessages, 1)
        self.turn()
        self.assertEqual((receiver.frames, self.application.messages), ([b'a["a"]'], ["x"]))
        self.assertEqual(self.session.queuedMessages, 1)
        self.assertEqual(self.poll().frames, [b'a["answer"]'])

    def test_hasRead(self):
        """
        Once it has taken all, it has the disconnect delay to come back, and what it takes of a later response is
        another matter.
        """
        receiver = self.poll()
        receiver.left = 100
        self.clock.advance(DISCONNECT)
        receiver.left = 0
        later = self.poll()
        self.clock.advance(DISCONNECT + 1)
        self.session.send("a")
        self.turn()
        later.left = 500
        self.clock.advance(DISCONNECT)
        self.assertIs(self.session.state, State.OPEN)
        later.left = 0
        self.clock.advance(DISCONNECT)
        self.turn()
        self.assertOver(1002, SessionLost, Cause.ABSENT)

    def test_deadlineOnlyWithoutReceiver(self):
        """
        While a receiver is attached there is no deadline, and with each one that ends it begins anew.
        """
        self.poll()
        for _ in range(3):
            self.clock.advance(DISCONNECT - 1)
            receiver = self.poll()
            self.clock.advance(DISCONNECT + 1)
            self.assertTrue(receiver.live)
            self.session.send("a")
            self.turn()
            self.assertFalse(receiver.live)
        self.clock.advance(DISCONNECT)
        self.turn()
        self.assertOver(1002, SessionLost)

    def test_blocked(self):
        """
        A blocked receiver gets nothing, no heartbeat either, until it takes data again.
        """
        receiver = self.attach()
        receiver.block()
        self.session.send("a")
        self.session.close(3000, "Go away!")
        self.clock.advance(HEARTBEAT * 3)
        self.assertEqual(receiver.frames, [b"o"])
        receiver.unblock()
        self.assertEqual(receiver.frames, [b"o", b'a["a"]', GO_AWAY_FRAME])
        self.assertEqual(receiver.wrongs, [])

    def test_blockedOnlyItself(self):
        """
        That a receiver was blocked when it ended does not block the next one.
        """
        receiver = self.attach(limit=2)
        receiver.during = receiver.block
        self.session.send("a")
        self.turn()
        self.session.send("b")
        self.assertEqual(self.poll().frames, [b'a["b"]'])

    def test_heartbeat(self):
        """
        A receiver gets a heartbeat after each heartbeat delay of silence.
        """
        receiver = self.attach()
        self.clock.advance(HEARTBEAT - 1)
        self.session.send("a")
        self.turn()
        self.clock.advance(HEARTBEAT - 1)
        self.assertEqual(receiver.frames, [b"o", b'a["a"]'])
        self.clock.advance(1)
        self.clock.advance(HEARTBEAT)
        self.assertEqual(receiver.frames, [b"o", b'a["a"]', b"h", b"h"])

    def test_heartbeatAfterBlock(self):
        """
        A receiver that was blocked when its heartbeat was due gets the next one.
        """
        receiver = self.attach()
        receiver.block()
        self.clock.advance(HEARTBEAT)
        receiver.unblock()
        self.assertEqual(receiver.frames, [b"o"])
        self.clock.advance(HEARTBEAT)
        self.assertEqual(receiver.frames, [b"o", b"h"])

    def test_heartbeatEndsPoll(self):
        """
        A poll is answered by a heartbeat, and without a poll there is none.
        """
        self.poll()
        receiver = self.poll()
        self.clock.advance(HEARTBEAT)
        self.assertEqual((receiver.frames, receiver.live), ([b"h"], False))
        self.clock.advance(DISCONNECT)
        self.turn()
        self.assertOver(1002, SessionLost)


class RawTests(SessionTestCase):
    """
    What is different without frames.
    """

    framing = RAW

    def test_messages(self):
        """
        Each message is a frame, and there is no opening and no heartbeat.
        """
        receiver = self.attach(persistent=True)
        self.assertEqual(self.application.events, ["accept", "opened"])
        self.session.send("a")
        self.session.send("b")
        self.clock.advance(HEARTBEAT)
        self.assertEqual(receiver.frames, [b"a", b"b"])

    def test_close(self):
        """
        The close of the connection carries code and reason.
        """
        receiver = self.attach(persistent=True)
        self.session.send("a")
        self.session.close(4000, "why")
        self.turn()
        self.assertEqual((receiver.frames, receiver.closing), ([b"a"], (4000, "why")))

    def test_blocksBetweenMessages(self):
        """
        A receiver that is full after one of several messages gets the others when it takes data again, in order.
        """
        receiver = self.attach(persistent=True)
        receiver.during = receiver.block
        for text in "abc":
            self.session.send(text)
        self.turn()
        self.assertEqual(receiver.frames, [b"a"])
        self.session.send("d")
        self.session.close(3000, "x")
        self.turn()
        receiver.unblock()
        self.assertEqual((receiver.frames, receiver.closing), ([b"a", b"b", b"c", b"d"], (3000, "x")))

    def test_breaksBetweenMessages(self):
        """
        Nothing is kept for a receiver that breaks after one of several messages.
        """
        receiver = self.attach(persistent=True)
        receiver.during = receiver.breakNow
        self.session.send("a")
        self.session.send("b")
        self.turn()
        self.turn()
        self.assertOver(1006, SessionLost)
        self.assertEqual(receiver.frames, [b"a"])

    def test_drainsBetweenMessages(self):
        """
        A receiver that fills and drains while it takes one of several messages gets all of them in order, those that
        were written meanwhile last.
        """
        receiver = self.attach(persistent=True)

        def fillAndDrain():
            self.session.send("c")
            receiver.block()
            receiver.unblock()

        receiver.during = fillAndDrain
        self.session.send("a")
        self.session.send("b")
        self.turn()
        self.assertEqual((receiver.frames, receiver.wrongs), ([b"a", b"b", b"c"], []))


class BoundTests(SessionTestCase):
    """
    What may wait for a client, and for how long.
    """

    OVERFLOW = (1008, "Too much is waiting for this client")

    def fill(self, write, reaches):
        """
        Write until C{reaches}, and once more.
        """
        while not reaches():
            write()
            self.assertIsNot(self.session.state, State.CLOSED)
        write()
        self.assertIs(self.session.state, State.CLOSED)
        self.assertEqual(self.session._queue, [])
        self.turn()
        self.assertOver(1008, SessionLost)

    def test_bytes(self):
        """
        A client that is away has its session ended when more bytes wait for it than may.
        """
        self.poll()
        written = []

        def write():
            self.session.send("x" * 998)  # a thousand with the quotes
            written.append(1000)

        self.fill(write, lambda: sum(written) == MOST_BYTES)
        self.assertEqual(self.poll().frames, [b'c[1008,"Too much is waiting for this client"]'])

    def test_messages(self):
        """
        So has one for whom more messages wait than may, however short they are.
        """
        self.poll()
        written = []

        def write():
            self.session.send("")
            written.append("")

        self.fill(write, lambda: len(written) == MOST_MESSAGES)

    def test_blocked(self):
        """
        A receiver that is blocked is cut.
        """
        receiver = self.attach()
        receiver.block()
        for _ in range(MOST_MESSAGES + 1):
            self.session.send("")
        self.assertTrue(receiver.aborted)
        self.assertEqual(receiver.frames, [b"o"])
        self.turn()
        self.assertOver(1008, SessionLost)

    def test_taken(self):
        """
        What a receiver takes at once does not count, however much it is within one turn.
        """
        receiver = self.attach()
        for number in range(MOST_MESSAGES * 2 + 1):
            self.session.send(str(number))
        self.session.send("x" * (MOST_BYTES + 1))
        self.turn()
        sent = [message for frame in receiver.frames[1:] for message in json.loads(frame[1:])]
        self.assertEqual(sent[:-1], [str(number) for number in range(MOST_MESSAGES * 2 + 1)])
        self.assertEqual(len(sent[-1]), MOST_BYTES + 1)

    def test_withinASend(self):
        """
        The bound holds as well for what is written while a frame is being sent, and that frame is sent just once.
        """
        receiver = self.attach()

        def write():
            for _ in range(MOST_MESSAGES + 1):
                self.session.send("")

        receiver.during = write
        self.session.send("a")
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'a["a"]'])
        self.assertTrue(receiver.aborted)
        self.turn()
        self.assertOver(1008, SessionLost)

    def test_pullProducer(self):
        """
        A pull producer whose every piece is more than may wait is still asked once a turn.
        """
        self.attach()
        asked = []

        class Producer:
            def resumeProducing(producer):
                asked.append(None)
                self.session.send("x" * (MOST_BYTES + 1))
                if len(asked) == 3:
                    self.session.unregisterProducer()

        self.session.registerProducer(Producer(), False)
        for times in (1, 2, 3, 3):
            self.turn()
            self.assertEqual(len(asked), times)

    def test_stalled(self):
        """
        A receiver that stays blocked for the write timeout is cut, also when the session is about to close.
        """
        for close in (False, True):
            self.setUp()
            receiver = self.attach()
            receiver.block()
            if close:
                self.session.send("a")
                self.session.close(3000, "Go away!")
            self.clock.advance(STALL - 1)
            self.assertFalse(receiver.aborted)
            self.clock.advance(1)
            self.assertTrue(receiver.aborted)
            self.turn()
            self.assertOver(1002, SessionLost)

    def test_notStalled(self):
        """
        One that takes data again in time is not cut.
        """
        receiver = self.attach()
        for _ in range(3):
            receiver.block()
            self.clock.advance(STALL - 1)
            receiver.unblock()
        self.clock.advance(STALL)
        self.assertFalse(receiver.aborted)
        self.assertIs(self.session.state, State.OPEN)


class SendingTests(SessionTestCase):
    """
    Rule 4.
    """

    def test_oneFrameATurn(self):
        """
        What is written in one turn leaves as one frame at its end, and what is written later as another one.
        """
        receiver = self.attach()
        self.session.send("a")
        self.session.sendShared(SharedMessage("b"))
        self.assertEqual(receiver.frames, [b"o"])
        self.turn()
        self.session.send("c")
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'a["a","b"]', b'a["c"]'])

    def test_oneFrameADelivery(self):
        """
        What is written as messages are delivered leaves at once, as one frame for all of them.
        """
        receiver = self.attach()

        def echo():
            self.application.reactions["received"] = echo
            self.session.send(self.application.messages[-1])

        self.application.reactions["received"] = echo
        self.assertIsNone(self.session.received(["a", "b"]))
        self.assertEqual(receiver.frames, [b"o", b'a["a","b"]'])

    def test_nothingAfterClose(self):
        """
        What is written after a close is dropped, as is what the client sends, which it is told.
        """
        receiver = self.attach()
        self.session.send("a")
        self.session.close(3000, "Go away!")
        self.session.send("b")
        self.session.sendShared(SharedMessage("c"))
        self.assertFalse(self.successResultOf(self.session.received(["d"])))
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'a["a"]', GO_AWAY_FRAME])
        self.assertEqual(self.application.messages, [])


class ClosingTests(SessionTestCase):
    """
    Rules 8 and 9.
    """

    def test_closeUnlinksAtOnce(self):
        """
        A receiver that comes in the turn of a close gets the close frame; the attached one has got it first.
        """
        first = self.attach()
        self.session.close(3000, "Go away!")
        second = self.poll()
        self.assertEqual(first.frames, [b"o", GO_AWAY_FRAME])
        self.assertEqual(second.frames, [GO_AWAY_FRAME])
        self.turn()
        self.assertOver(3000)

    def test_closeFrameForTheNextReceiver(self):
        """
        Without a receiver messages and close frame wait for receivers, one frame each, and the application until then.
        """
        self.poll()
        self.session.send("a")
        self.session.close(3001, "Enough")
        self.turn()
        self.assertIs(self.session.state, State.CLOSING)
        self.assertEqual(self.poll().frames, [b'a["a"]'])
        self.turn()
        self.assertNotIn("lost", self.application.events)
        self.assertEqual(self.poll().frames, [b'c[3001,"Enough"]'])
        self.turn()
        self.assertOver(3001)

    def test_closeFrameIsRepeated(self):
        """
        Every later receiver gets the close frame until the session is forgotten.
        """
        self.attach()
        self.session.close(3000, "Go away!")
        self.turn()
        for _ in range(3):
            self.assertEqual(self.poll().frames, [GO_AWAY_FRAME])
        self.clock.advance(DISCONNECT)
        self.assertIsNone(self.registry.find("session"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobodyForTheCloseFrame(self):
        """
        A close for which nobody comes is an orderly one if all messages had been taken.
        """
        self.poll()
        self.session.close(3001, "Enough")
        self.clock.advance(DISCONNECT)
        self.turn()
        self.assertOver(3001)
        self.assertEqual(self.poll().frames, [b'c[3001,"Enough"]'])

    def test_nobodyForTheMessages(self):
        """
        It is a loss if messages were left.
        """
        self.poll()
        self.session.send("a")
        self.session.close(3001, "Enough")
        self.clock.advance(DISCONNECT)
        self.turn()
        self.assertOver(1002, SessionLost)
        self.assertEqual(self.poll().frames, [INTERRUPTED_FRAME])

    def test_breaksBeforeTheClose(self):
        """
        A connection that breaks in the turn of the close ends the session in its own way.
        """
        receiver = self.attach()
        self.session.close(3000, "Go away!")
        receiver.breakNow()
        self.turn()
        self.assertOver(1006, SessionLost)

    def test_firstCloseWins(self):
        """
        Only the first close counts.
        """
        receiver = self.attach()
        self.session.close(3001, "one")
        self.session.close(3002, "two")
        self.turn()
        self.assertEqual(receiver.frames[1:], [b'c[3001,"one"]'])

    def test_persistent(self):
        """
        A persistent receiver is closed after the close frame, and the session is over when it is gone.
        """
        receiver = self.attach(persistent=True)
        self.session.close(3000, "Go away!")
        self.turn()
        self.assertEqual((receiver.frames, receiver.closing), ([b"o", GO_AWAY_FRAME], (3000, "Go away!")))
        self.assertNotIn("lost", self.application.events)
        receiver.breakNow()
        self.turn()
        self.assertOver(3000)

    def test_persistentBreaksWithinTheCloseFrame(self):
        """
        A persistent receiver that breaks as it gets the close frame has got it as far as anyone knows.
        """
        receiver = self.attach(persistent=True)
        receiver.during = receiver.breakNow
        self.session.close(3000, "Go away!")
        self.turn()
        self.turn()
        self.assertOver(3000)

    def test_abort(self):
        """
        An abort breaks the connection, drops what was queued, and tells the application in a turn of its own.
        """
        receiver = self.attach()
        self.session.send("a")
        self.session.abort()
        self.session.abort()
        self.assertTrue(self.session.isClosing)
        self.assertNotIn("lost", self.application.events)
        self.turn()
        self.assertEqual((receiver.frames, receiver.aborted), ([b"o"], True))
        self.assertEqual(self.application.events[-1], "lost")
        self.assertIs(self.application.reason.type, ConnectionAborted)

    def test_abortWithoutReceiver(self):
        """
        A session without a receiver can be aborted as well, once it is over to no effect.
        """
        self.poll()
        self.assertEqual((len(self.registry.heartbeats), len(self.registry.disconnects)), (0, 1))
        self.session.abort()
        self.assertEqual((len(self.registry.heartbeats), len(self.registry.disconnects)), (0, 0))
        self.turn()
        self.session.abort()
        self.turn()
        self.assertEqual(self.application.events, ["accept", "opened", "lost"])

    def test_abortOfAClosingReceiver(self):
        """
        A persistent receiver that is slow to go after the close frame can be aborted; the close stays an orderly one.
        """
        receiver = self.attach(persistent=True)
        self.session.close(3000, "Go away!")
        self.turn()
        self.session.abort()
        self.turn()
        self.assertTrue(receiver.aborted)
        self.assertOver(3000)

    def test_everythingIsVainAfterTheEnd(self):
        """
        Whatever is called after the end, the application and its producers hear no more, and no delayed call is left.
        """
        receiver = self.attach()
        self.session.abort()
        self.turn()
        producer = FakeProducer()
        self.session.send("a")
        self.session.received(["b"])
        self.session.pauseReading()
        self.session.resumeReading()
        self.session.registerProducer(producer, True)
        self.session.unregisterProducer()
        self.session.close(3000, "x")
        receiver.breakNow()
        self.clock.advance(DISCONNECT)
        self.assertEqual(self.application.events, ["accept", "opened", "lost"])
        self.assertEqual(producer.events, ["stop"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_endFromWithinLost(self):
        """
        An application that closes, aborts or writes as it hears of the end is not told again.
        """

        def rage():
            self.session.send("a")
            self.session.close(3000, "x")
            self.session.abort()

        self.attach()
        self.application.reactions["lost"] = rage
        self.session.abort()
        self.turn()
        self.turn()
        self.assertEqual(self.application.events, ["accept", "opened", "lost"])

    def test_applicationIsLetGo(self):
        """
        While a session that is over is remembered, it does not keep its application.
        """
        application = weakref.ref(self.application)
        self.application.reactions["received"] = crash
        self.attach()
        self.session.received(["a"])
        self.turn()
        self.flushLoggedErrors(Crash)
        del self.application
        gc.collect()
        self.assertIsNone(application())
        self.assertIs(self.registry.find("session"), self.session)

    def test_messagesAreLetGo(self):
        """
        Nor does it keep messages that could not be sent.
        """

        class Mark:
            pass

        class Message(bytes):  # which can't be referred to weakly itself
            pass

        class Shared:
            def encoded(self, framing):
                message = Message(b'"a"')
                message.mark = self.mark = Mark()
                return message

        for end in (self.clock.advance, lambda delay: self.session.abort()):
            self.session = self.create(FakeApplication())
            self.poll()
            shared = Shared()
            self.session.sendShared(shared)
            mark = weakref.ref(shared.mark)
            del shared
            self.assertIsNotNone(mark())
            end(DISCONNECT)
            self.turn()
            gc.collect()
            self.assertIs(self.session.state, State.CLOSED)
            self.assertIsNone(mark())


class ErrorTests(SynchronousTestCase):
    """
    What the application is told as it is logged.
    """

    def test_text(self):
        """
        Code and reason are in the text, once, and it ends without a space where there is no reason.
        """
        self.assertEqual(str(SessionDone(3000, "Go away!")), "Session closed: 3000 Go away!")
        self.assertEqual(str(SessionLost(1002, "broken")), "Session lost: 1002 broken")
        self.assertEqual(str(SessionDone(1005, "")), "Session closed: 1005")
        self.assertEqual(str(SessionLost(1006, "")), "Session lost: 1006")


class CrashTests(SessionTestCase):
    """
    Rule 10.
    """

    def assertCrashed(self):
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(Crash)), 1)
        self.assertEqual(self.application.events[-1], "lost")
        self.assertIs(self.application.reason.type, Crash)
        self.assertEqual(self.poll().frames, [CRASHED_FRAME])

    def test_opened(self):
        """
        A failure as it opens closes the session with 1011, and the application is told of its own failure.
        """
        self.application.reactions["opened"] = crash
        receiver = self.attach()
        self.assertEqual(receiver.frames, [b"o", CRASHED_FRAME])
        self.assertCrashed()

    def test_received(self):
        """
        A failure at a message does the same; what was written before is delivered, messages that follow are not.
        """
        receiver = self.attach()
        self.session.send("before")
        self.application.reactions["received"] = crash
        self.assertIsNone(self.session.received(["a", "b"]))
        self.assertEqual(receiver.frames, [b"o", b'a["before"]', CRASHED_FRAME])
        self.assertEqual(self.application.messages, ["a"])
        self.assertCrashed()

    def test_producer(self):
        """
        A failure of a producer does the same.
        """
        self.attach()
        self.session.registerProducer(FakeProducer(lambda event: event == "resume" and crash()), False)
        self.turn()
        self.assertCrashed()

    def test_pushProducer(self):
        """
        So does one of a producer that is paused or resumed.
        """
        for failing in ("pause", "resume"):
            self.session = self.create(FakeApplication())
            self.application = self.session._application
            receiver = self.attach()
            producer = FakeProducer(lambda event, failing=failing: event == failing and crash())
            self.session.registerProducer(producer, True)
            receiver.block()
            receiver.unblock()
            self.turn()
            self.assertEqual(receiver.frames, [b"o", CRASHED_FRAME])
            self.turn()
            self.assertCrashed()

    def test_stoppedProducer(self):
        """
        A failure of a producer that is stopped is logged, and the application is told of the end all the same.
        """
        self.attach()
        self.session.registerProducer(FakeProducer(lambda event: crash()), True)
        self.session.abort()
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(Crash)), 1)
        self.assertEqual(self.application.events[-1], "lost")
        self.assertIs(self.application.reason.type, ConnectionAborted)
        self.assertEqual(len(self.registry), 0)

    def test_connectionBreaksAfterwards(self):
        """
        The application is told of its failure even where the connection breaks before the close is sent.
        """
        self.application.reactions["received"] = crash
        receiver = self.attach()
        receiver.block()
        self.session.received(["a"])
        receiver.breakNow()
        self.turn()
        self.assertIs(self.application.reason.type, Crash)
        self.flushLoggedErrors(Crash)

    def test_afterClose(self):
        """
        A failure after a close is logged and leaves the close as it is.
        """

        def closeAndCrash():
            self.session.close(3001, "done")
            crash()

        self.application.reactions["received"] = closeAndCrash
        receiver = self.attach()
        self.session.received(["a"])
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'c[3001,"done"]'])
        self.assertOver(3001)
        self.assertEqual(len(self.flushLoggedErrors(Crash)), 1)

    def test_lost(self):
        """
        A failure at the very end is logged, and the session is over all the same.
        """
        self.application.reactions["lost"] = crash
        self.attach()
        self.session.abort()
        self.turn()
        self.assertEqual(len(self.registry), 0)
        self.assertEqual(len(self.flushLoggedErrors(Crash)), 1)


class IntakeTests(SessionTestCase):
    """
    Rule 11.
    """

    def results(self, *deferreds):
        """
        @return: a list that gets the index of each Deferred as it fires.
        """
        fired = []
        for index, deferred in enumerate(deferreds):

            def told(taken, index=index):
                fired.append(index)
                return taken

            deferred.addCallback(told)
        return fired

    def test_atOnce(self):
        """
        Messages are delivered as they come, and no message is nothing.
        """
        self.attach()
        self.assertIsNone(self.session.received(["a", "b"]))
        self.assertIsNone(self.session.received([]))
        self.assertEqual(self.application.messages, ["a", "b"])

    def test_paused(self):
        """
        While the intake is paused messages wait, in order, and whoever sent them waits until they are taken.
        """
        receiver = self.attach()
        self.session.pauseReading()
        self.assertFalse(receiver.reading)
        first = self.session.received(["a", "b"])
        fired = self.results(first, self.session.received(["c"]))
        self.turn()
        self.assertEqual((self.application.messages, fired), ([], []))
        self.session.resumeReading()
        self.assertTrue(receiver.reading)
        self.assertEqual(self.application.messages, [])
        self.turn()
        self.assertEqual((self.application.messages, fired), (["a", "b", "c"], [0, 1]))
        self.assertTrue(self.successResultOf(first))

    def test_pausedWithinABatch(self):
        """
        An application that pauses at a message gets the next one of the same batch after it resumes.
        """
        self.attach()
        self.application.reactions["received"] = self.session.pauseReading
        fired = self.results(self.session.received(["a", "b", "c"]))
        self.assertEqual(self.application.messages, ["a"])
        self.application.reactions["received"] = self.session.pauseReading
        self.session.resumeReading()
        self.turn()
        self.assertEqual((self.application.messages, fired), (["a", "b"], []))
        self.session.resumeReading()
        self.turn()
        self.assertEqual((self.application.messages, fired), (["a", "b", "c"], [0]))

    def test_behindOnesThatWait(self):
        """
        What comes after a resume, but before the messages that wait have been delivered, keeps its place behind them.
        """
        self.attach()
        self.session.pauseReading()
        waiting = self.session.received(["a"])
        self.session.resumeReading()
        fired = self.results(waiting, self.session.received(["b"]))
        self.turn()
        self.assertEqual((self.application.messages, fired), (["a", "b"], [0, 1]))

    def test_orderWithinADelivery(self):
        """
        What comes while a batch is being delivered, or is sent for, keeps its place behind it.
        """
        receiver = self.attach(limit=2)
        later = []

        def more():
            self.session.pauseReading()
            self.session.send("x")

        self.application.reactions["received"] = more
        receiver.onClose = lambda: later.append(self.session.received(["c"]))
        first = self.session.received(["a", "b"])
        fired = self.results(first, *later)
        self.session.resumeReading()
        self.turn()
        self.assertEqual((self.application.messages, fired), (["a", "b", "c"], [0, 1]))

    def test_withoutReceiver(self):
        """
        The intake is the session's: it can be paused and resumed between two receivers.
        """
        self.poll()
        self.session.pauseReading()
        fired = self.results(self.session.received(["a"]))
        self.session.resumeReading()
        self.turn()
        self.assertEqual(fired, [0])

    def test_end(self):
        """
        Messages that were not taken are dropped at the end; whoever sent them is told before the application is.
        """
        receiver = self.attach()
        self.session.pauseReading()
        fired = self.results(self.session.received(["a"]))
        self.application.reactions["lost"] = lambda: self.assertEqual(fired, [0])
        receiver.breakNow()
        self.turn()
        self.assertOver(1006, SessionLost)
        self.assertEqual(self.application.messages, [])

    def test_close(self):
        """
        A close ends a pause, so that the close of a persistent receiver's connection is seen; it can't be paused anew.
        """
        receiver = self.attach(persistent=True)
        self.session.pauseReading()
        waiting = self.session.received(["a"])
        fired = self.results(waiting)
        self.session.close(3000, "Go away!")
        self.session.pauseReading()
        self.assertTrue(receiver.reading)
        self.turn()
        self.assertEqual((self.application.messages, fired), ([], [0]))
        self.assertFalse(self.successResultOf(waiting))

    def test_closeWithinABatch(self):
        """
        Where an application closes at a message, whoever sent that and more is told that not all were taken.
        """
        self.attach()
        self.application.reactions["received"] = lambda: self.session.close(3000, "Go away!")
        self.assertFalse(self.successResultOf(self.session.received(["a", "b"])))
        self.assertEqual(self.application.messages, ["a"])

    def test_closeAtTheLast(self):
        """
        An application that closes at the last message has taken all.
        """
        self.attach()
        self.application.reactions["received"] = lambda: self.session.close(3000, "Go away!")
        self.assertIsNone(self.session.received(["a"]))


class ProducerTests(SessionTestCase):
    """
    Producers of the application.
    """

    def test_pushByQueue(self):
        """
        A push producer is paused once much is queued, and resumed when it is sent.
        """
        self.poll()
        producer = FakeProducer()
        self.session.registerProducer(producer, True)
        self.session.send("x" * HIGH_WATER)
        self.session.send("y")
        self.assertEqual(producer.events, ["pause"])
        self.turn()
        self.poll()
        self.assertEqual(producer.events, ["pause", "resume"])

    def test_pushByReceiver(self):
        """
        A push producer is paused while the receiver is blocked, and resumed once, when all that was queued is sent.
        """
        receiver = self.attach()
        producer = FakeProducer()
        self.session.registerProducer(producer, True)
        receiver.block()
        receiver.block()
        self.session.send("x" * LOW_WATER)
        self.turn()
        self.assertEqual(producer.events, ["pause"])
        receiver.during = receiver.block
        receiver.unblock()
        self.assertEqual(producer.events, ["pause"])
        receiver.unblock()
        self.assertEqual(producer.events, ["pause", "resume"])

    def test_pushPausedFromTheStart(self):
        """
        A push producer that is registered while the receiver is blocked is paused in its first turn.
        """
        self.attach().block()
        producer = FakeProducer()
        self.session.registerProducer(producer, True)
        self.assertEqual(producer.events, [])
        self.turn()
        self.assertEqual(producer.events, ["pause"])

    def test_pushWritesAsItIsResumed(self):
        """
        A push producer that writes much as soon as it is resumed is paused again, and no recursion comes of it.
        """
        self.poll()
        producer = FakeProducer(lambda event: event == "resume" and self.session.send("x" * (HIGH_WATER + 1)))
        self.session.registerProducer(producer, True)
        self.session.send("x" * (HIGH_WATER + 1))
        for turn in range(1, 4):
            self.poll()
            self.assertEqual(producer.events, ["pause", "resume"] * turn + ["pause"])

    def test_pull(self):
        """
        A pull producer is asked for more each time that what it gave is sent, and not while the receiver is blocked.
        """
        receiver = self.attach()
        texts = iter("abc")
        producer = FakeProducer(lambda event: event == "resume" and self.session.send(next(texts)))
        self.session.registerProducer(producer, False)
        self.turn()
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'a["a"]'])
        receiver.block()
        self.turn()
        self.turn()
        self.assertEqual(len(producer.events), 2)
        receiver.unblock()
        self.assertEqual(receiver.frames, [b"o", b'a["a"]', b'a["b"]'])
        self.assertEqual(len(producer.events), 3)
        self.session.unregisterProducer()
        self.turn()
        self.assertEqual(len(producer.events), 3)

    def test_pullWithoutReceiver(self):
        """
        A pull producer is a single message ahead of the receivers.
        """
        self.poll()
        producer = FakeProducer(lambda event: event == "resume" and self.session.send("a"))
        self.session.registerProducer(producer, False)
        for _ in range(3):
            self.turn()
        self.assertEqual(producer.events, ["resume"])
        self.assertEqual(self.poll().frames, [b'a["a"]'])
        self.assertEqual(producer.events, ["resume", "resume"])

    def test_pullGivesNothing(self):
        """
        A pull producer that gives nothing is not asked over and over, only when something else happens (as with TCP).
        """
        self.attach()
        producer = FakeProducer()
        self.session.registerProducer(producer, False)
        for _ in range(5):
            self.turn()
        self.assertEqual(producer.events, ["resume"])
        self.assertEqual(self.registry.turns._waiting, {})

    def test_closeWaits(self):
        """
        While a producer is registered a close waits for it to finish, and all that it writes is sent.
        """
        receiver = self.attach()
        producer = FakeProducer()
        self.session.registerProducer(producer, True)
        self.session.close(3000, "Go away!")
        self.assertTrue(self.session.isClosing)
        self.session.send("a")
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'a["a"]'])
        self.session.send("b")
        self.session.unregisterProducer()
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'a["a"]', b'a["b"]', GO_AWAY_FRAME])
        self.assertEqual(producer.events, [])

    def test_crashWhileCloseWaits(self):
        """
        A failure does not wait for the producer.
        """
        receiver = self.attach()
        self.session.registerProducer(FakeProducer(), True)
        self.session.close(3000, "Go away!")
        self.application.reactions["received"] = crash
        self.session.received(["a"])
        self.assertEqual(receiver.frames, [b"o", CRASHED_FRAME])
        self.session.unregisterProducer()
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(Crash)), 1)

    def test_stoppedAtTheEnd(self):
        """
        A producer that is still registered is stopped before the application is told; it may register no other.
        """
        order = []
        late = FakeProducer()

        def stopped(event):
            order.append(event)
            self.session.registerProducer(late, True)

        self.attach()
        self.session.registerProducer(FakeProducer(stopped), True)
        self.application.reactions["lost"] = lambda: order.append("lost")
        self.session.abort()
        self.turn()
        self.assertEqual(order, ["stop", "lost"])
        self.assertEqual(late.events, ["stop"])

    def test_onlyOne(self):
        """
        A second producer is an error of the program, unless the first was unregistered.
        """
        self.attach()
        self.session.registerProducer(FakeProducer(), True)
        self.assertRaises(RuntimeError, self.session.registerProducer, FakeProducer(), True)
        self.session.unregisterProducer()
        self.session.registerProducer(FakeProducer(), False)

    def test_firstCloseWins(self):
        """
        Only the first close counts, also while it waits; and a producer that is unregistered after the end changes
        nothing.
        """
        receiver = self.attach()
        self.session.registerProducer(FakeProducer(), True)
        self.session.close(3001, "one")
        self.session.close(3002, "two")
        self.session.unregisterProducer()
        self.turn()
        self.assertEqual(receiver.frames, [b"o", b'c[3001,"one"]'])
        self.session.unregisterProducer()
        self.assertIs(self.session.state, State.CLOSED)

    def test_late(self):
        """
        One that comes when the session is closing already is stopped at once, and only once.
        """
        self.attach()
        self.session.close(3000, "Go away!")
        producer = FakeProducer()
        self.session.registerProducer(producer, True)
        self.assertEqual(producer.events, ["stop"])
        self.turn()
        self.turn()
        self.assertEqual(producer.events, ["stop"])

    def test_nextOne(self):
        """
        The next producer begins afresh, though the one before it was paused when it was unregistered.
        """
        receiver = self.attach()
        receiver.block()
        first, second = FakeProducer(), FakeProducer()
        self.session.registerProducer(first, True)
        self.turn()
        self.session.unregisterProducer()
        self.session.registerProducer(second, True)
        self.turn()
        receiver.unblock()
        self.assertEqual((first.events, second.events), (["pause"], ["pause", "resume"]))


# -- all of it at once ------------------------------------------------------------------------------------------------

MILD = ["write", "write", "write", "writeMuch", "pause", "resume", "push", "pull", "unregister"]
DRASTIC = ["close", "abort", "crash", "shutdown"]
ACTIONS = st.sampled_from(MILD * 2 + DRASTIC)
CALLBACKS = st.sampled_from(["opened", "received", "lost", "pauseProducing", "resumeProducing", "stopProducing"])
KINDS = st.sampled_from([(1, False), (3, False), (None, False), (None, True)])
DURING = st.sampled_from([None, None, "block", "breakNow"])

CLIENT = st.sampled_from(
    [
        "attach",
        "attach",
        "attachBehind",
        "block",
        "breakReceiver",
        "oldReceiverSpeaks",
        "plan",
        "receive",
        "receiveTooMuch",
        "sendBehind",
        "unblock",
    ]
)
EVENTS = st.one_of(
    st.tuples(
        st.just("client"),
        CLIENT,
        KINDS,
        DURING,
        st.integers(0, 3),
    ),
    st.tuples(
        st.just("application"),
        st.lists(ACTIONS.filter(lambda action: action != "crash"), max_size=4),
        CALLBACKS,
        ACTIONS,
    ),
    st.tuples(
        st.just("advance"),
        st.sampled_from([0.0, 0.0, 0.0, 1.0, DISCONNECT - 1.0, DISCONNECT, HEARTBEAT, 100.0]),
    ),
)


class MachineProducer:
    """
    A producer of the L{SessionMachine}.
    """

    def __init__(self, machine, streaming):
        self.machine = machine
        self.streaming = streaming
        self.paused = False
        self.stopped = False

    def _told(self, name):
        self.machine.check(not self.machine.told, f"{name} after the end")
        self.machine.check(not self.stopped, f"{name} after stopProducing")
        self.machine.check(self.machine.producer is self, f"{name} of a producer that is not registered")

    def pauseProducing(self):
        self._told("pauseProducing")
        self.machine.check(self.streaming and not self.paused, "paused without need")
        self.paused = True
        self.machine.pauses += 1
        self.machine.react("pauseProducing")

    def resumeProducing(self):
        self._told("resumeProducing")
        self.machine.check(self.paused or not self.streaming, "resumed without need")
        live = self.machine.liveReceiver()
        self.machine.check(live is None or not live.blocked, "resumed while the receiver is blocked")
        self.paused = False
        if not self.streaming:
            self.machine.act("write")
        self.machine.react("resumeProducing")

    def stopProducing(self):
        self._told("stopProducing")
        self.stopped = True
        self.machine.producer = None
        self.machine.react("stopProducing")


class SessionMachine(RuleBasedStateMachine):
    """
    A session to which anything may happen. It is the session's application as well.

    What is found wrong within a callback is noted, not raised: the session would take it for a failure of the
    application.
    """

    def __init__(self):
        super().__init__()
        self.clock = TurnClock()
        self.receivers = []
        self.reactions = {}
        self.wrongs = []
        self.written = []
        self.arrived = []
        self.accepted = []
        self.batches = []
        self.producer = None
        self.opened_ = self.told = self.inTurn = False
        self.serial = self.came = self.pauses = self.refused = 0

    @initialize(
        framing=st.sampled_from([SOCKJS, RAW]),
        refuses=st.sampled_from([False] * 19 + [True]),
        kind=KINDS,
        lasts=st.sampled_from([True, True, False]),
        ending=st.sampled_from(["in order", "abort", "drain", "silence"]),
        most=st.sampled_from([40, 40, 3 * HIGH_WATER]),
    )
    def begin(self, framing, refuses, kind, lasts, ending, most):
        """
        @param lasts: whether nothing drastic happens, so that the session lives long.

        @param most: how many bytes may be queued: less than makes a producer pause, or more.

        @param ending: how it ends at last.
        """
        options = Options(
            heartbeat_delay=HEARTBEAT,
            disconnect_delay=DISCONNECT,
            write_timeout=STALL,
            max_queued_bytes=most,
            max_queued_messages=FEW_MESSAGES,
            max_message_size=LONGEST,
            drain_code=4000,
        )
        self.registry = Registry(options, self.clock)
        self.most = most
        self.lasts = lasts
        self.ending = ending
        self.framing = framing
        self.refuses = refuses
        self.session = self.registry.create(framing, "session")
        self.session.bind(self)
        self.attach(kind, None)

    # -- the application ------------------------------------------------------------------------------------------

    def accept(self):
        return not self.refuses

    def opened(self):
        self.check(not self.opened_ and not self.told, "opened twice or late")
        if self.framing is SOCKJS:
            self.check(self.receivers[0].frames == [b"o"], "opened before its frame")
        self.opened_ = True
        self.react("opened")

    def received(self, message):
        self.check(self.opened_ and not self.told, "a message before the beginning or after the end")
        self.arrived.append(message)
        self.react("received")

    def lost(self, reason, cause):
        self.check(self.opened_ and not self.told, "lost twice, or before the beginning")
        self.check(self.inTurn, "lost within another call")
        self.check(all(fired for _, fired in self.batches), "lost before those who sent messages were told")
        self.told = True
        if reason.check(SessionDone):
            self.check(self.delivered() == self.written, "closed in an orderly way, but messages are missing")
        self.react("lost")

    def react(self, name):
        action = self.reactions.pop(name, None)
        if action is not None:
            self.act(action)

    def act(self, action):
        session = self.session
        if self.lasts and action in DRASTIC:
            return
        if action in ("write", "writeMuch"):
            self.serial += 1
            text = f"{self.serial}:" + "x" * (HIGH_WATER // 2 + 1 if action == "writeMuch" else 0)
            if session.state is State.OPEN:
                self.written.append(text)
            session.send(text)
        elif action == "close":
            session.close(3000, "Go away!")
        elif action == "abort":
            session.abort()
        elif action == "shutdown":
            session.shutdown(4000, "stopped")
        elif action == "crash":
            raise Crash()
        elif action == "pause":
            session.pauseReading()
        elif action == "resume":
            session.resumeReading()
        elif action in ("push", "pull"):
            if self.producer is None and session.state is State.OPEN:
                self.producer = MachineProducer(self, action == "push")
                session.registerProducer(self.producer, action == "push")
        else:
            self.producer = None
            session.unregisterProducer()

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(event=EVENTS)
    def happen(self, event):
        """
        One rule for everything, since hypothesis leaves out some of the rules in each run.
        """
        name, *arguments = event
        getattr(self, name)(*arguments)

    def client(self, event, kind, during, count):
        """
        The client, or its connection, does something.
        """
        live = self.liveReceiver()
        if event == "attach":
            self.attach(kind, during)
        elif event == "receive":
            self.receive(count)
        elif event == "receiveTooMuch":
            self.receiveTooMuch()
        elif event == "oldReceiverSpeaks":
            for receiver in [receiver for receiver in self.receivers if not receiver.live][:1]:
                receiver.breakNow() if count % 2 else receiver.unblock()
        elif live is None or (event == "breakReceiver" and self.lasts):
            pass
        elif event == "attachBehind":
            # The client's next request waits behind the response that is open.
            live.onClose = live.onClose or (lambda: self.attach(kind, None))
        elif event == "sendBehind":
            live.onClose = live.onClose or (lambda: self.receive(count))
        elif event == "plan":
            self.plan(live, during)
        elif event == "breakReceiver":
            live.breakNow()
        else:
            getattr(live, event)()

    def application(self, actions, name, reaction):
        """
        The application does something, or will the next time it is told something.
        """
        for action in actions:
            self.act(action)
        if not actions:
            self.reactions[name] = reaction

    def advance(self, seconds):
        """
        Turns and time pass.
        """
        # A session that shall last is not left alone for long.
        self.turn(min(seconds, DISCONNECT / 5) if self.lasts and self.liveReceiver() is None else seconds)

    def turn(self, seconds=0.0):
        due = list(self.written)
        self.inTurn = True
        self.clock.advance(seconds)
        self.inTurn = False
        live = self.liveReceiver()
        if live is not None and not live.blocked:
            self.check(self.delivered()[: len(due)] == due, "not sent although the receiver takes data")
            self.check(self.session.state is not State.CLOSING, "not closed although the receiver takes data")

    def attach(self, kind, during):
        other = self.liveReceiver()
        stillOpen = self.session.state is State.OPEN
        receiver = FakeReceiver(self.session, *kind)
        self.plan(receiver, during)
        self.receivers.append(receiver)
        before = None if other is None else list(other.frames)
        self.session.attach(receiver)
        if other is not None and stillOpen:
            self.check(receiver.closing == (2010, "Another connection still open"), "two receivers")
            self.check(other.frames == before and other.live, "the second receiver has changed the first")
        if other is None and receiver.closing is not None:
            self.check(receiver.closing[0] != 2010, "refused although there was no other receiver")

    def plan(self, receiver, during):
        if during is not None and not (self.lasts and during == "breakNow"):
            receiver.during = getattr(receiver, during)

    def receive(self, count):
        texts = []
        for _ in range(count):
            self.serial += 1
            texts.append(f"{self.serial}")
        self.came += count
        if self.session.state is State.OPEN:
            self.accepted.extend(texts)
        position = len(self.accepted)
        taken = self.session.received(texts)
        if taken is not None:
            fired = []
            self.batches.append((position, fired))
            taken.addCallback(lambda _: fired.append(self.session.state))

    def receiveTooMuch(self):
        """
        A message is larger than it may be.
        """
        if self.lasts:
            return
        expected = self.session.state is State.OPEN
        try:
            self.session.received(["x" * LONGEST, "x" * (LONGEST + 1)], 2 * LONGEST + 1)
        except MessageTooLarge:
            self.refused += 1
            self.check(expected and self.session.state is not State.OPEN, "refused, and still open")
        else:
            self.came += 2
            self.check(not expected, "a message that is too large was taken")

    # -- what must hold -------------------------------------------------------------------------------------------

    def check(self, holds, wrong):
        if not holds:
            self.wrongs.append(wrong)

    def liveReceiver(self):
        live = [receiver for receiver in self.receivers if receiver.live]
        return live[0] if live else None

    def delivered(self):
        """
        The messages that all receivers got, in the order of the receivers.
        """
        frames = [frame for receiver in self.receivers for frame in receiver.frames]
        if self.framing is RAW:
            return [frame.decode("utf-8") for frame in frames]
        return [text for frame in frames if frame.startswith(b"a") for text in json.loads(frame[1:])]

    @invariant()
    def nothingWentWrong(self):
        assert self.wrongs == []
        for receiver in self.receivers:
            assert receiver.wrongs == []

    @invariant()
    def oneReceiverAtMost(self):
        live = sum(receiver.live for receiver in self.receivers)
        assert live <= (self.session.state is not State.CLOSED)

    @invariant()
    def onceAndInOrder(self):
        delivered = self.delivered()
        assert delivered == self.written[: len(delivered)]
        assert self.arrived == self.accepted[: len(self.arrived)]

    @invariant()
    def sendersAreTold(self):
        for position, fired in self.batches:
            if len(self.arrived) >= position:
                assert fired
            elif fired:
                assert fired[0] is not State.OPEN

    @invariant()
    def bounded(self):
        assert len(self.session._queue) <= FEW_MESSAGES
        assert self.session.queuedBytes == sum(map(len, self.session._queue)) <= self.most

    @invariant()
    def counted(self):
        stats = self.registry.stats
        assert stats.pauses == self.pauses
        assert stats.refused["message too large"] == self.refused
        assert (stats.messagesIn, stats.messagesOut) == (self.came, len(self.written))

    @invariant()
    def openingFirst(self):
        if self.framing is SOCKJS and self.receivers:
            frames = [frame for receiver in self.receivers for frame in receiver.frames]
            assert frames.count(b"o") <= 1
            assert not frames or frames[0] == (GO_AWAY_FRAME if self.refuses else b"o")

    def teardown(self):
        if not hasattr(self, "session"):
            return
        self.reactions.clear()
        self.lasts = False
        for receiver in self.receivers:
            receiver.during = receiver.onClose = None
        if self.ending == "in order":
            self.endInOrder()
        elif self.ending == "drain":
            drained = []
            self.registry.drain(DISCONNECT).addCallback(drained.append)
        elif self.ending == "abort":
            self.act("abort")
        # Otherwise the client is just not heard of any more.
        for receiver in self.receivers:
            receiver.breakNow()
        for seconds in (0.0, 0.0, 0.0, DISCONNECT, DISCONNECT, HEARTBEAT):
            self.turn(seconds)
        self.nothingWentWrong()
        self.onceAndInOrder()
        self.counted()
        assert sum(self.registry.stats.closed.values()) == 1
        if self.ending == "drain":
            assert drained == [None]
        assert self.told == self.opened_ != self.refuses
        assert all(fired for _, fired in self.batches)
        assert self.producer is None
        assert len(self.registry) == 0 and self.registry.find("session") is None
        assert self.clock.getDelayedCalls() == []

    def endInOrder(self):
        """
        Close, and let the client fetch what there is: all of it must come, and the close frame last.
        """
        wasOpen = self.session.state is not State.CLOSED
        self.act("close")
        self.act("unregister")
        live = self.liveReceiver()
        if live is not None:
            live.unblock()
        self.turn()
        for _ in range(3 + len(self.written)):
            if self.session.state is not State.CLOSED:
                self.attach((1, False), None)
        assert self.session.state is State.CLOSED
        if wasOpen:
            assert self.delivered() == self.written
            last = [receiver for receiver in self.receivers if receiver.closing and receiver.closing[0] != 2010][-1]
            assert last.closing[0] in (3000, 4000, 1009, 1011)


class PropertyTests(SynchronousTestCase):
    """
    Whatever happens.
    """

    def test_anything(self):
        """
        Messages arrive once and in order or the session ends; one receiver at most; the end is told once and last;
        nothing is left behind.
        """
        run_state_machine_as_test(
            SessionMachine,
            settings=settings(max_examples=200, stateful_step_count=40, deadline=None, database=None),
        )
        self.flushLoggedErrors(Crash)
