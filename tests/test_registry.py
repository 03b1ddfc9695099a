# -*- test-case-name: tests.test_registry -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.registry}: the sessions of one service.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.codec import RAW, SOCKJS
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.options import Options
from txsockjs.registry import Registry
from txsockjs.session import State
from txsockjs.stats import Cause

CLOSED = b'c[3000,"Go away!"]'


class Application:
    """
    Writes down what it hears.
    """

    def __init__(self, accepts=True):
        self.accepts = accepts
        self.messages = []
        self.reasons = []

    def accept(self):
        return self.accepts

    def opened(self):
        pass

    def received(self, message):
        self.messages.append(message)

    def lost(self, reason, cause):
        self.reasons.append(reason.type)


class Receiver:
    """
    Writes down what it is given, of either kind.
    """

    def __init__(self, session, persistent=False):
        self.session = session
        self.persistent = persistent
        self.frames = []
        self.ended = None

    def send(self, frame):
        self.frames.append(frame)
        return True

    def close(self, code, reason):
        self.ended = code

    def abort(self):
        self.ended = "aborted"

    def unsent(self):
        return 0

    def pauseReading(self):
        pass

    def resumeReading(self):
        pass


class Producer:
    """
    One that keeps a session from closing.
    """

    stopped = 0

    def resumeProducing(self):
        pass

    def pauseProducing(self):
        pass

    def stopProducing(self):
        self.stopped += 1


class RegistryTests(SynchronousTestCase):
    """
    L{Registry}.
    """

    def setUp(self):
        self.clock = Clock()
        self.registry = Registry(Options(heartbeat_delay=25, disconnect_delay=5), self.clock)

    def begin(self, name=None, framing=SOCKJS, accepts=True):
        """
        Begin a session as the transports do.

        @return: the session, its application, and its first receiver; one without a name lives with its receiver.
        """
        session = self.registry.create(framing, name)
        application = Application(accepts)
        session.bind(application)
        receiver = Receiver(session, persistent=name is None)
        session.attach(receiver)
        self.clock.advance(0)
        return session, application, receiver

    def assertNothingLeft(self):
        """
        Assert that no session is known and nothing waits for time to go on.
        """
        self.assertEqual(len(self.registry), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_create(self):
        """
        A session is found by its name as long as it lives, and it counts.
        """
        self.assertIsNone(self.registry.find("a"))
        a, b = self.begin("a")[0], self.begin("b")[0]
        self.assertIs(self.registry.find("a"), a)
        self.assertIs(self.registry.find("b"), b)
        self.assertIsNone(self.registry.find("c"))
        self.assertEqual(len(self.registry), 2)

    def test_framing(self):
        """
        A session has the framing that it was made with.
        """
        for framing, frames in ((SOCKJS, [b"o", b'a["m"]']), (RAW, [b"m"])):
            session, _, receiver = self.begin(framing=framing)
            session.send("m")
            self.clock.advance(0)
            self.assertEqual(receiver.frames, frames)

    def test_nameless(self):
        """
        A session without a name counts but can't be found, and is gone as soon as it has ended.
        """
        session, application, receiver = self.begin()
        self.begin()[2].session.abort()
        self.assertIsNone(self.registry.find(None))
        self.clock.advance(0)
        self.assertEqual(len(self.registry), 1)
        session.receiverLost(receiver, SessionDone(1000, ""))
        self.clock.advance(0)
        self.assertEqual(application.reasons, [SessionDone])
        self.assertNothingLeft()

    def test_remembered(self):
        """
        A session that is over is found for the disconnect delay, and says its close frame to whoever comes;
        it counts no more.
        """
        session, application, receiver = self.begin("a")
        session.close(3000, "Go away!")
        self.clock.advance(0)
        self.assertEqual((receiver.frames, receiver.ended), ([b"o", CLOSED], 3000))
        self.assertEqual(application.reasons, [SessionDone])
        self.assertEqual(len(self.registry), 0)
        for _ in range(2):
            self.clock.advance(2)
            self.assertIs(self.registry.find("a"), session)
            late = Receiver(session)
            session.attach(late)
            self.assertEqual((late.frames, late.ended), ([CLOSED], 3000))
        self.clock.advance(1)
        self.assertIsNone(self.registry.find("a"))
        self.assertNothingLeft()

    def test_nameAgain(self):
        """
        The name of a session that is forgotten is free for another one.
        """
        first = self.begin("a")[0]
        first.close(3000, "Go away!")
        self.clock.advance(0)
        self.clock.advance(5)
        second = self.begin("a")[0]
        self.assertIs(self.registry.find("a"), second)
        self.clock.advance(100)
        self.assertIs(self.registry.find("a"), second)

    def test_refused(self):
        """
        A session that its application refuses is remembered and forgotten like any other, and the application
        hears nothing.
        """
        session, application, receiver = self.begin("a", accepts=False)
        self.assertEqual(receiver.frames, [CLOSED])
        self.assertIs(self.registry.find("a"), session)
        self.assertEqual(len(self.registry), 0)
        self.clock.advance(5)
        self.assertIsNone(self.registry.find("a"))
        self.assertEqual(application.reasons, [])
        self.assertNothingLeft()

    def test_left(self):
        """
        A session whose client does not come back is lost after the disconnect delay, then remembered as long
        again.
        """
        session, application, receiver = self.begin("a")
        receiver.send = lambda frame: False  # full: it ends by itself
        session.send("m")
        self.clock.advance(0)
        self.clock.advance(4)
        self.assertEqual((application.reasons, len(self.registry)), ([], 1))
        self.clock.advance(1)
        self.assertEqual((application.reasons, len(self.registry)), ([SessionLost], 0))
        self.assertIs(self.registry.find("a"), session)
        self.clock.advance(5)
        self.assertIsNone(self.registry.find("a"))
        self.assertNothingLeft()

    def test_timers(self):
        """
        However many sessions there are, each kind of deadline has one delayed call, and each session gets its
        heartbeats.
        """
        receivers = [self.begin(str(number))[2] for number in range(50)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(25)
        self.clock.advance(25)
        for receiver in receivers:
            self.assertEqual(receiver.frames, [b"o", b"h", b"h"])

    def test_noHeartbeats(self):
        """
        With a heartbeat delay of 0 there are no heartbeats, and nothing waits.
        """
        self.registry = Registry(Options(heartbeat_delay=0), self.clock)
        self.begin("a")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self):
        """
        Stopping closes every session, whatever its state, tells every application once and leaves no delayed
        call.
        """
        _, openApp, openReceiver = self.begin("open")
        waiting, waitingApp, receiver = self.begin("waiting")
        receiver.send = lambda frame: False
        waiting.send("m")
        self.clock.advance(0)
        closing, closingApp, closingReceiver = self.begin("closing")
        closing.send("before")
        closing.close(4000, "bye")
        over, overApp, _ = self.begin("over")
        over.close(3000, "Go away!")
        self.clock.advance(0)
        busy, busyApp, busyReceiver = self.begin("busy")
        producer = Producer()
        busy.registerProducer(producer, True)

        self.registry.stop()

        self.assertNothingLeft()
        self.assertEqual(openReceiver.frames, [b"o", CLOSED])
        self.assertEqual(closingReceiver.frames, [b"o", b'a["before"]', b'c[4000,"bye"]'])
        self.assertEqual((busyReceiver.ended, producer.stopped), (3000, 1))
        self.assertEqual(openApp.reasons, [SessionDone])
        self.assertEqual(waitingApp.reasons, [ConnectionAborted])
        self.assertEqual(closingApp.reasons, [SessionDone])
        self.assertEqual(overApp.reasons, [SessionDone])
        self.assertEqual(busyApp.reasons, [SessionDone])
        for name in ("open", "waiting", "closing", "over", "busy"):
            self.assertIsNone(self.registry.find(name))
        self.registry.stop()
        self.assertNothingLeft()

    def drain(self, timeout=10):
        """
        Begin to drain.

        @return: a list that gets an entry when that is done.
        """
        done = []
        self.registry.drain(timeout).addCallback(done.append)
        return done

    def test_drain(self):
        """
        Draining gives every receiver what is queued and a close frame, stops producers, and is done when all are gone.
        """
        session, application, receiver = self.begin("a")
        producer = Producer()
        session.registerProducer(producer, True)
        session.send("last")
        done = self.drain()
        self.assertTrue(self.registry.isDraining)
        self.assertEqual(receiver.frames, [b"o", b'a["last"]', CLOSED])
        self.assertEqual(producer.stopped, 1)
        self.assertEqual(done, [])
        self.clock.advance(0)
        self.assertEqual((application.reasons, done), ([SessionDone], [None]))
        self.assertEqual(self.registry.stats.closed, {Cause.STOPPED: 1})
        self.assertNothingLeft()

    def test_drainWords(self):
        """
        Code and reason are those of the options.
        """
        self.registry = Registry(Options(drain_code=4001, drain_reason="upgrade"), self.clock)
        _, _, receiver = self.begin("a")
        self.drain()
        self.assertEqual(receiver.frames, [b"o", b'c[4001,"upgrade"]'])
        self.clock.advance(0)
        self.assertNothingLeft()

    def test_drainNothing(self):
        """
        Without sessions that is done at once, as often as it is asked for, and what was over is forgotten.
        """
        session, _, _ = self.begin("a")
        session.close(3000, "Go away!")
        self.clock.advance(0)
        self.assertEqual((self.drain(), self.drain()), ([None], [None]))
        self.assertNothingLeft()

    def test_drainBetweenRequests(self):
        """
        A client that is between two requests is waited for, and gets its messages and the close frame.
        """
        session, application, receiver = self.begin("a")
        receiver.send = lambda frame: False
        session.send("1")
        self.clock.advance(0)
        session.send("2")
        done = self.drain()
        self.clock.advance(4)
        self.assertEqual(done, [])
        late = Receiver(session)
        session.attach(late)
        self.clock.advance(0)
        self.assertEqual((late.frames, late.ended), ([b'a["2"]', CLOSED], 3000))
        self.assertEqual((application.reasons, done), ([SessionDone], [None]))
        self.assertNothingLeft()

    def test_drainTimeout(self):
        """
        Whoever has not taken what is queued, nor closed its WebSocket, by the timeout is cut.
        """
        stalled, stalledApp, stalledReceiver = self.begin("stalled")
        stalled.receiverBlocked(stalledReceiver)
        stalled.send("m")
        slow, slowApp, slowReceiver = self.begin()
        done = self.drain(3)
        again = self.drain(2)  # the later word counts
        self.clock.advance(1.9)
        self.assertEqual((done, slowReceiver.ended), ([], 3000))
        self.clock.advance(0.1)
        self.assertEqual((done, again), ([None], [None]))
        self.assertEqual((stalledReceiver.ended, slowReceiver.ended), ("aborted", "aborted"))
        self.assertEqual((stalledApp.reasons, slowApp.reasons), ([ConnectionAborted], [SessionDone]))
        slow.receiverLost(slowReceiver, SessionDone(1000, ""))
        self.clock.advance(0)
        self.assertEqual(slowApp.reasons, [SessionDone])
        self.assertNothingLeft()

    def test_drainAndStop(self):
        """
        A stop puts an end to draining.
        """
        session, _, receiver = self.begin("a")
        session.receiverBlocked(receiver)
        session.send("m")
        done = self.drain()
        self.registry.stop()
        self.assertEqual((done, receiver.ended), ([None], "aborted"))
        self.assertNothingLeft()

    def test_hasEnoughOf(self):
        """
        Sessions that are not over are counted by host, or by network for IPv6; those without a host are not.
        """
        self.registry = Registry(Options(max_sessions_per_host=2), self.clock)

        def begin(host):
            session = self.registry.create(SOCKJS, f"{host} {len(self.registry)}", "xhr-polling", host)
            session.bind(Application())
            session.attach(Receiver(session))
            return session

        first = begin("192.0.2.1")
        self.assertFalse(self.registry.hasEnoughOf("192.0.2.1"))
        begin("192.0.2.1")
        self.assertTrue(self.registry.hasEnoughOf("192.0.2.1"))
        self.assertFalse(self.registry.hasEnoughOf("192.0.2.2"))
        begin("2001:db8::1")
        begin("2001:db8::2:1")
        self.assertTrue(self.registry.hasEnoughOf("2001:db8::3"))
        self.assertFalse(self.registry.hasEnoughOf("2001:db8:0:1::1"))
        for _ in range(3):
            begin("")
        self.assertFalse(self.registry.hasEnoughOf(""))
        first.close(3000, "")
        self.clock.advance(0)
        self.assertFalse(self.registry.hasEnoughOf("192.0.2.1"))
        self.registry.stop()
        self.assertEqual(self.registry._networks, {})

    def test_gauges(self):
        """
        It can tell how things stand: sessions by transport and state, what is queued, who is paused or blocked.
        """
        for name in ("websocket", "xhr-streaming", "xhr-streaming"):
            session = self.registry.create(SOCKJS, None, name)
            session.bind(Application())
            receiver = Receiver(session)
            session.attach(receiver)
        session.receiverBlocked(receiver)
        session.registerProducer(Producer(), True)
        session.send("ab")
        session.send("c")
        self.clock.advance(0)
        self.assertEqual(self.registry.gauges(), ({("websocket", "open"): 1, ("xhr-streaming", "open"): 2}, 7, 2, 1, 1))
        session.close(3000, "")
        session.unregisterProducer()
        self.assertEqual(self.registry.gauges().sessions[("xhr-streaming", "closing")], 1)
        self.registry.stop()

    def test_isFull(self):
        """
        It is full when as many sessions as there may be are not over.
        """
        self.assertFalse(self.registry.isFull)
        self.registry = Registry(Options(max_sessions=2), self.clock)
        first, _, _ = self.begin("first")
        self.assertFalse(self.registry.isFull)
        self.begin()
        self.assertTrue(self.registry.isFull)
        first.close(3000, "Go away!")
        self.clock.advance(0)
        self.assertIs(self.registry.find("first"), first)
        self.assertFalse(self.registry.isFull)
        self.registry.stop()

    def test_stopAndFailingReceivers(self):
        """
        A receiver that fails when all stops keeps no other session from its end, nor its own.
        """
        _, closingApp, closingReceiver = self.begin("fails to say its close")
        queued, queuedApp, queuedReceiver = self.begin("fails to send what is queued")
        _, lastApp, receiver = self.begin("last")
        closingReceiver.send = queuedReceiver.send = lambda frame: 1 / 0
        queued.send("m")
        self.registry.stop()
        self.assertEqual((receiver.frames, receiver.ended), ([b"o", CLOSED], 3000))
        self.assertEqual([len(app.reasons) for app in (closingApp, queuedApp, lastApp)], [1, 1, 1])
        self.assertNothingLeft()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_stopPersistent(self):
        """
        A session that lives with its WebSocket says its close frame when all stops, and has ended when the
        WebSocket is gone.
        """
        session, application, receiver = self.begin()
        self.registry.stop()
        self.assertEqual((receiver.frames, receiver.ended), ([b"o", CLOSED], 3000))
        self.assertEqual(session.state, State.CLOSED)
        self.assertEqual((len(self.registry), self.clock.getDelayedCalls()), (1, []))
        self.assertEqual(application.reasons, [])
        session.receiverLost(receiver, SessionDone(3000, "Go away!"))
        self.clock.advance(0)
        self.assertEqual(application.reasons, [SessionDone])
        self.assertNothingLeft()
