# -*- test-case-name: tests.test_client_session -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The client's session, over a carrier that does nothing by itself, under a clock that stands still.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionAborted, NoProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.clients import Bot, BytesBot
from tests.support import Apps
from txsockjs.client import ClientOptions, HeartbeatTimeout, SessionRefused
from txsockjs.client.frames import TO_SERVER
from txsockjs.client.session import ClientConnection, ClientSession, TransportFailed
from txsockjs.codec import RAW
from txsockjs.encoding import lookupEncoding
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.interfaces import RequestFacts

THERE = IPv4Address("TCP", "192.0.2.1", 80)
HERE = IPv4Address("TCP", "192.0.2.2", 50000)


class FakeCarrier:
    """
    Writes down what it is asked for.

    @ivar done: what it was asked for.
    @ivar sent: the frames.
    """

    left = 0

    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.done: list[object] = []
        self.sent: list[bytes] = []

    def start(self) -> None:
        self.done.append("start")

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def close(self, code: int, reason: str) -> None:
        self.done.append(("close", code, reason))

    def finish(self) -> None:
        self.done.append("finish")

    def abort(self) -> None:
        self.done.append("abort")

    def unsent(self) -> int:
        return self.left

    def pauseReading(self) -> None:
        self.done.append("pause")

    def resumeReading(self) -> None:
        self.done.append("resume")

    def ping(self) -> None:
        self.done.append("ping")

    def addresses(self):
        return THERE, HERE


class SessionCase(SynchronousTestCase):
    """
    One session.
    """

    def setUp(self) -> None:
        self.over: list[float] = []
        self.apps = Apps(Bot)
        self.make()

    def make(self, framing=TO_SERVER, **settings) -> None:
        """
        Make it.
        """
        clock = self.clock = Clock()

        def connect(session, addresses):
            facts = RequestFacts("/", {}, {})
            return ClientConnection(session, self.apps, lookupEncoding("utf-8"), "fake", facts, *addresses)

        options = ClientOptions.build(settings)
        self.session = ClientSession(clock, options, framing, connect, lambda: self.over.append(clock.seconds()))
        self.carrier = FakeCarrier(self.session)
        self.session.carrier = self.carrier

    def begin(self) -> None:
        """
        Start, and open.
        """
        self.session.start(5)
        self.session.frame(b"o")
        self.bot = self.successResultOf(self.session.opened)

    def turn(self) -> None:
        """
        What waits for the next turn happens.
        """
        self.clock.advance(0)

    def tearDown(self) -> None:
        self.clock.advance(0)


class OpeningTests(SessionCase):
    """
    Until there is a connection.
    """

    def test_opens(self) -> None:
        """
        The first C{o} makes the connection, and nothing before it does.
        """
        self.session.start(5)
        self.assertEqual(self.carrier.done, ["start"])
        self.session.frame(b"h" * 2048)
        self.session.frame(b"h")
        self.assertNoResult(self.session.opened)
        self.assertEqual(self.apps.built, [])
        self.session.frame(b"o")
        bot = self.successResultOf(self.session.opened)
        self.assertIs(bot, self.apps.last)
        self.assertEqual((bot.transport.getPeer(), bot.transport.getHost()), (THERE, HERE))
        self.assertEqual(self.apps.addresses, [THERE])

    def test_writesAtOnce(self) -> None:
        """
        What the protocol writes as soon as it has its connection is sent at once, as one frame.
        """

        class Eager(Bot):
            def connectionMade(self) -> None:
                self.transport.writeMessages(["one", "two"])

        self.apps.protocol = Eager
        self.begin()
        self.assertEqual(self.carrier.sent, [b'["one","two"]'])

    def test_late(self) -> None:
        """
        A carrier that does not open in time is ended, and another transport may be tried.
        """
        self.session.start(5)
        self.clock.advance(4.9)
        self.assertNoResult(self.session.opened)
        self.clock.advance(0.1)
        error = self.failureResultOf(self.session.opened, TransportFailed).value
        self.assertEqual(str(error), "did not open within 5 seconds")
        self.assertEqual(self.carrier.done, ["start", "abort"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.session.frame(b"o")
        self.assertEqual(self.apps.built, [])

    def test_fails(self) -> None:
        """
        A carrier that ends before the session is open tells why, and another transport may be tried.
        """
        self.session.start(5)
        self.session.gone(SessionLost(1006, "no route"))
        error = self.failureResultOf(self.session.opened, TransportFailed).value
        self.assertIn("no route", str(error))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """
        A close frame in place of the opening is the end, with its code and reason.
        """
        self.session.start(5)
        self.session.frame(b'c[4001,"not you"]')
        self.assertEqual(self.carrier.done, ["start", "finish"])
        self.session.gone(SessionLost(1006, ""))
        error = self.failureResultOf(self.session.opened, SessionRefused).value
        self.assertEqual((error.code, error.reason), (4001, "not you"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wrong(self) -> None:
        """
        What is no frame, or comes too early, fails this transport.
        """
        for frame in (b"<html>", b'a["early"]', b"", b"ox", b"c[]"):
            self.make()
            self.session.start(5)
            self.session.frame(frame)
            self.session.gone(SessionLost(1006, ""))
            error = self.failureResultOf(self.session.opened, TransportFailed).value
            self.assertIn("no frame of SockJS", str(error))

    def test_cancelled(self) -> None:
        """
        Cancelled, it ends the carrier, and leaves nothing.
        """
        self.session.start(5)
        self.session.opened.cancel()
        self.failureResultOf(self.session.opened, CancelledError)
        self.assertEqual(self.carrier.done, ["start", "abort"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noProtocol(self) -> None:
        """
        A factory that gives no protocol closes the session, and is told so when that is closed.
        """
        self.apps.refuse = True
        self.session.start(5)
        self.session.frame(b"o")
        self.assertEqual(self.carrier.done, ["start", ("close", 3000, "Go away!")])
        self.assertNoResult(self.session.opened)
        self.session.gone(SessionLost(1006, ""))
        self.turn()
        self.failureResultOf(self.session.opened, NoProtocol)
        self.assertEqual((self.over, self.clock.getDelayedCalls()), ([], []))

    def test_noProtocolCancelled(self) -> None:
        """
        The wait for that can be cut short.
        """
        self.apps.refuse = True
        self.session.start(5)
        self.session.frame(b"o")
        self.session.opened.cancel()
        self.failureResultOf(self.session.opened, NoProtocol)
        self.assertEqual(self.carrier.done[-1], "abort")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_factoryFails(self) -> None:
        """
        An exception of the factory is told to whoever connects.
        """

        def fail():
            raise KeyError("no such thing")

        self.apps.protocol = fail
        self.session.start(5)
        self.session.frame(b"o")
        self.session.gone(SessionLost(1006, ""))
        self.turn()
        self.failureResultOf(self.session.opened, KeyError)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_connectionMadeFails(self) -> None:
        """
        An exception in C{connectionMade} is logged, and closes the session.
        """

        class Failing(Bot):
            def connectionMade(self) -> None:
                raise KeyError("no such thing")

        self.apps.protocol = Failing
        self.begin()
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.carrier.done[-1][:2], ("close", 1011))
        self.session.gone(SessionLost(1006, ""))
        self.turn()
        self.assertIsInstance(self.bot.lost.value, KeyError)


class MessageTests(SessionCase):
    """
    What comes and goes.
    """

    @given(st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=10), st.lists(st.booleans(), max_size=30))
    def test_order(self, batches, pauses) -> None:
        """
        However the protocol pauses and resumes, messages come in order, all of them, and before the end.
        """
        self.over.clear()
        self.apps = Apps(Bot)
        self.make()
        self.begin()
        pauses = iter(pauses)
        for batch in batches:
            (self.bot.transport.pauseProducing if next(pauses, False) else self.bot.transport.resumeProducing)()
            self.session.frame(TO_SERVER.frames([TO_SERVER.encode(text) for text in batch])[0].replace(b"[", b"a[", 1))
            if next(pauses, False):
                self.turn()
        self.session.frame(b'c[3000,"end"]')
        self.session.gone(SessionLost(1006, ""))
        self.turn()
        self.bot.transport.resumeProducing()
        self.turn()
        self.turn()
        self.assertEqual(self.bot.received, [text for batch in batches for text in batch])
        self.assertEqual((self.bot.lost.value.code, len(self.over)), (3000, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_batched(self) -> None:
        """
        What is written in a turn is one frame; while the carrier is blocked all waits for it and becomes the next one.
        """
        self.begin()
        for text in ("a", "b"):
            self.bot.transport.write(text)
        self.assertEqual(self.carrier.sent, [])
        self.turn()
        self.assertEqual(self.carrier.sent, [b'["a","b"]'])
        self.session.blocked()
        for text in ("c", "d", "e"):
            self.bot.transport.write(text)
            self.turn()
        self.assertEqual(len(self.carrier.sent), 1)
        self.session.ready()
        self.assertEqual(self.carrier.sent[1:], [b'["c","d","e"]'])

    def test_raw(self) -> None:
        """
        Without SockJS framing each message is its own frame.
        """
        self.make(RAW)
        self.session.start(5)
        self.session.open()
        bot = self.successResultOf(self.session.opened)
        bot.transport.writeMessages(["a", "b"])
        self.turn()
        self.assertEqual(self.carrier.sent, [b"a", b"b"])
        self.session.messages(['["x"]'], 5)
        self.assertEqual(bot.received, ['["x"]'])

    def test_bytes(self) -> None:
        """
        A protocol that does not ask for text gets bytes, and half a character is kept until it is whole.
        """
        self.apps.protocol = BytesBot
        self.begin()
        self.session.frame('a["grün"]'.encode())
        self.assertEqual(self.bot.received, ["grün".encode()])
        self.bot.transport.write("ü".encode()[:1])
        self.turn()
        self.assertEqual(self.carrier.sent, [])
        self.bot.transport.write("ü".encode()[1:])
        self.turn()
        self.assertEqual(self.carrier.sent, ['["ü"]'.encode()])

    def test_manyAtOnce(self) -> None:
        """
        A frame may have more messages than may be queued, and a message in it that is too large is found.
        """
        self.make(max_queued_messages=10, max_message_size=100)
        self.begin()
        self.session.frame(b"a[" + b",".join(b'"%d"' % number for number in range(95)) + b"]")
        self.assertEqual(self.bot.received, [str(number) for number in range(95)])
        large = [b'"%d"' % number for number in range(35)]
        large[25] = b'"' + b"x" * 101 + b'"'
        self.session.frame(b"a[" + b",".join(large) + b"]")
        self.assertEqual(len(self.bot.received), 95 + 20)
        self.assertEqual(self.carrier.done[-1][:2], ("close", 1009))

    def test_tooLarge(self) -> None:
        """
        A message of more bytes than may be closes the session with 1009; one of just as many does not.
        """
        self.make(max_message_size=100)
        self.begin()
        self.session.frame(b'a["' + b"x" * 100 + b'"]')
        self.assertEqual(len(self.bot.received), 1)
        self.session.frame(b'a["' + "ü".encode() * 51 + b'"]')
        self.assertEqual(len(self.bot.received), 1)
        self.assertEqual(self.carrier.done[-1][:2], ("close", 1009))
        self.session.gone(SessionLost(1006, ""))
        self.turn()
        self.assertEqual((type(self.bot.lost.value), self.bot.lost.value.code), (SessionLost, 1009))

    def test_overflow(self) -> None:
        """
        More than may wait for a server that takes nothing ends the session with 1008, and with words of the client's.
        """
        self.make(max_queued_bytes=100)
        self.begin()
        self.session.blocked()
        self.bot.transport.write("x" * 98)
        self.assertEqual(self.carrier.done, ["start"])
        self.bot.transport.write("x")
        self.assertEqual(self.carrier.done, ["start", "abort"])
        self.turn()
        error = self.bot.lost.value
        self.assertEqual(
            (type(error), error.code, error.reason), (SessionLost, 1008, "Too much is waiting for this server")
        )
        self.assertEqual(len(self.over), 1)

    def test_bounded(self) -> None:
        """
        A protocol that has paused its intake does not keep frames from being read, until more waits than may be.
        """
        self.make(max_queued_bytes=1000, heartbeat_timeout=60)
        self.begin()
        self.bot.transport.pauseProducing()
        self.assertEqual(self.carrier.done, ["start"])
        for _ in range(9):
            self.session.frame(b'a["%s"]' % (b"x" * 100))
        self.assertEqual(self.carrier.done, ["start"])
        self.session.frame(b'a["%s"]' % (b"x" * 100))
        self.assertEqual(self.carrier.done, ["start", "pause"])
        self.clock.pump([60] * 5)  # no heartbeat can be seen
        self.assertIsNone(self.bot.lost)
        self.bot.transport.resumeProducing()
        self.assertEqual(self.carrier.done, ["start", "pause", "resume"])
        self.turn()
        self.assertEqual(len(self.bot.received), 10)
        self.clock.pump([30, 30])
        self.turn()
        self.assertIsInstance(self.bot.lost.value, HeartbeatTimeout)

    def test_boundedMessages(self) -> None:
        """
        Messages that have few bytes, or none, are bounded by their number; those that were taken do not count.
        """
        for framing, feed in (
            (RAW, lambda session: session.messages([""], 0)),
            (TO_SERVER, lambda session: session.frame(b'a[""]')),
        ):
            self.make(framing, max_queued_messages=10)
            self.session.start(5)
            self.session.open()
            bot = self.successResultOf(self.session.opened)
            self.carrier.done.clear()
            for times in (1, 2):
                bot.transport.pauseProducing()
                for _ in range(10):
                    feed(self.session)
                self.assertNotIn("pause", self.carrier.done)
                feed(self.session)
                self.assertEqual(self.carrier.done, ["pause"])
                self.carrier.done.clear()
                bot.transport.resumeProducing()
                self.turn()
                self.assertEqual((bot.received, self.carrier.done), ([""] * 11 * times, ["resume"]))
                self.carrier.done.clear()

    def test_boundedFrames(self) -> None:
        """
        So are those that come many at once.
        """
        self.make(max_queued_messages=10)
        self.begin()
        self.bot.transport.pauseProducing()
        self.session.frame(b"a[" + b",".join([b'""'] * 10) + b"]")
        self.assertEqual(self.carrier.done, ["start"])
        self.session.frame(b"a[" + b",".join([b'""'] * 35) + b"]")
        self.assertEqual(self.carrier.done, ["start", "pause"])
        self.bot.transport.resumeProducing()
        self.turn()
        self.assertEqual((self.bot.received, self.carrier.done), ([""] * 45, ["start", "pause", "resume"]))


class EndTests(SessionCase):
    """
    How a session ends.
    """

    def ends(self) -> BaseException:
        """
        The carrier ends, now that it was asked to.

        @return: what the protocol is told.
        """
        self.session.gone(SessionLost(1006, "not this"))
        self.turn()
        self.assertEqual(len(self.over), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return self.bot.lost.value

    def test_closedByServer(self) -> None:
        """
        Codes of applications and 1000 are an orderly end, all others a loss; code and reason are told.
        """
        for code, kind in (
            (1000, SessionDone),
            (3000, SessionDone),
            (4999, SessionDone),
            (1001, SessionLost),
            (1002, SessionLost),
            (1009, SessionLost),
            (2010, SessionLost),
            (2999, SessionLost),
            (5000, SessionLost),
        ):
            self.over.clear()
            self.make()
            self.begin()
            self.session.frame(b'c[%d,"because"]' % code)
            self.assertEqual(self.carrier.done, ["start", "finish"])
            error = self.ends()
            self.assertEqual((type(error), error.code, error.reason), (kind, code, "because"))

    def test_nothingAfterClose(self) -> None:
        """
        What comes after the close frame is not looked at, and what is written is not sent.
        """
        self.begin()
        self.session.frame(b'c[3000,"end"]')
        self.session.frame(b'a["late"]')
        self.session.frame(b"nonsense")
        self.bot.transport.write("late")
        self.turn()
        self.assertEqual(self.ends().code, 3000)
        self.assertEqual((self.bot.received, self.carrier.sent), ([], []))

    def test_secondOpening(self) -> None:
        """
        A second C{o} is a lost session.
        """
        self.begin()
        self.session.frame(b"o")
        error = self.ends()
        self.assertEqual((type(error), error.code, error.reason), (SessionLost, 1006, "Server lost session"))

    def test_wrongFrame(self) -> None:
        """
        What is no frame is the end, and is shown.
        """
        self.begin()
        self.session.frame(b"a[1]")
        error = self.ends()
        self.assertEqual((type(error), error.code), (SessionLost, 1002))
        self.assertIn("a[1]", error.reason)

    def test_close(self) -> None:
        """
        A close sends what was written before, ends the carrier with code and reason, and is told when that is gone.
        """
        self.begin()
        self.session.blocked()
        self.bot.transport.write("last")
        self.bot.transport.close(4000, "enough")
        self.turn()
        self.assertEqual(self.carrier.done, ["start"])
        self.session.ready()
        self.assertEqual(self.carrier.sent, [b'["last"]'])
        self.assertEqual(self.carrier.done, ["start", ("close", 4000, "enough")])
        self.assertIsNone(self.bot.lost)
        error = self.ends()
        self.assertEqual((type(error), error.code, error.reason), (SessionDone, 4000, "enough"))

    def test_default(self) -> None:
        """
        C{loseConnection} closes with 1000.
        """
        self.begin()
        self.bot.transport.loseConnection()
        self.assertTrue(self.bot.transport.disconnecting)
        self.turn()
        self.assertEqual(self.carrier.done, ["start", ("close", 1000, "Normal closure")])
        self.assertEqual(self.ends().code, 1000)

    def test_abort(self) -> None:
        """
        An abort ends the carrier at once.
        """
        self.begin()
        self.bot.transport.write("never")
        self.bot.transport.abortConnection()
        self.assertEqual((self.carrier.done, self.carrier.sent), (["start", "abort"], []))
        self.turn()
        self.assertIsInstance(self.bot.lost.value, ConnectionAborted)
        self.assertEqual((len(self.over), self.clock.getDelayedCalls()), (1, []))

    def test_goneWhileClosing(self) -> None:
        """
        A carrier that fails before all that was written before a close is sent makes a loss of it.
        """
        self.begin()
        self.session.blocked()
        self.bot.transport.write("last")
        self.bot.transport.loseConnection()
        self.turn()
        self.session.gone(SessionLost(1006, "xhr_send was answered with 500"))
        self.turn()
        error = self.bot.lost.value
        self.assertEqual((type(error), error.reason), (SessionLost, "xhr_send was answered with 500"))

    def test_silence(self) -> None:
        """
        Nothing for the heartbeat timeout is a loss of its own kind; anything that comes begins it anew. After the
        first half the carrier is asked for a sign of life.
        """
        self.make(heartbeat_timeout=60)
        self.begin()
        for frame in (b"h", b'a["x"]', b"h"):
            self.clock.advance(29)
            self.session.frame(frame)
        self.session.alive()
        self.clock.advance(30)
        self.assertEqual(self.carrier.done, ["start", "ping"])
        self.clock.advance(29)
        self.assertIsNone(self.bot.lost)
        self.clock.advance(1)
        self.assertEqual(self.carrier.done, ["start", "ping", "abort"])
        self.turn()
        error = self.bot.lost.value
        self.assertEqual((type(error), error.code), (HeartbeatTimeout, 1006))
        self.assertEqual(error.reason, "Nothing came from the server for 60 seconds")
        self.assertEqual((len(self.over), self.clock.getDelayedCalls()), (1, []))

    def test_silentClose(self) -> None:
        """
        While the session is being closed, the heartbeat timeout does not count, whatever comes.
        """
        for closing in (True, False):
            self.make(heartbeat_timeout=2)
            self.begin()
            if closing:
                self.bot.transport.loseConnection()
                self.turn()
            else:
                self.session.frame(b'c[3000,"end"]')
            self.session.alive()
            self.clock.pump([1] * 5)
            self.assertNotIn("abort", self.carrier.done)
            self.session.gone(SessionLost(1006, ""))
            self.turn()
            self.assertIs(type(self.bot.lost.value), SessionDone)

    def test_noTimeout(self) -> None:
        """
        A heartbeat timeout of 0 is none.
        """
        self.make(heartbeat_timeout=0)
        self.begin()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stalled(self) -> None:
        """
        A server that takes nothing for the write timeout is a loss, one that takes a little is not.
        """
        self.make(write_timeout=10, heartbeat_timeout=0)
        self.begin()
        self.carrier.left = 100
        self.bot.transport.write("x")
        self.turn()
        self.session.blocked()
        self.turn()
        for left in (90, 80):
            self.carrier.left = left
            self.clock.advance(10)
            self.assertEqual(self.carrier.done, ["start"])
        self.clock.advance(10)
        self.assertEqual(self.carrier.done, ["start", "abort"])
        self.turn()
        error = self.bot.lost.value
        self.assertEqual((type(error), error.code, error.reason), (SessionLost, 1002, "The server does not read"))

    def test_endWaits(self) -> None:
        """
        The end waits until the protocol has taken what came before it; a close or an abort does not wait any more.
        """
        for leave, kind in (
            (None, SessionDone),
            ("loseConnection", SessionDone),
            ("abortConnection", ConnectionAborted),
        ):
            self.over.clear()
            self.make(heartbeat_timeout=10)
            self.begin()
            self.bot.transport.pauseProducing()
            self.session.frame(b'a["one","two"]')
            self.session.frame(b'c[3000,"end"]')
            self.session.gone(SessionLost(1006, ""))
            self.clock.pump([10] * 10)
            self.assertEqual((self.bot.received, self.bot.lost), ([], None))
            if leave is None:
                self.bot.transport.resumeProducing()
            else:
                getattr(self.bot.transport, leave)()
            self.turn()
            self.turn()
            self.assertEqual(self.bot.received, ["one", "two"] if leave is None else [])
            self.assertIsInstance(self.bot.lost.value, kind)
            self.assertEqual((len(self.over), self.clock.getDelayedCalls()), (1, []))

    def test_writesToTheGone(self) -> None:
        """
        What is written while the end waits goes nowhere, and does no harm.
        """
        self.begin()
        self.bot.transport.pauseProducing()
        self.session.frame(b'a["one"]')
        self.session.gone(SessionLost(1006, "broke"))
        self.session.ready()
        self.bot.transport.write("x")
        self.turn()
        self.assertEqual(self.carrier.sent, [])
        self.bot.transport.resumeProducing()
        self.turn()
        self.turn()
        self.assertEqual(self.bot.lost.value.reason, "broke")

    def test_endWaitsBlocked(self) -> None:
        """
        What came before the end is delivered also when the carrier took nothing at the end: neither the write timeout
        nor what is written meanwhile comes in between, and a carrier that is ending blocks no more.
        """
        for isGone in (True, False):
            self.over.clear()
            self.make(write_timeout=10, max_queued_bytes=100)
            self.begin()
            self.bot.transport.write("x" * 50)
            self.bot.transport.pauseProducing()
            self.session.blocked()
            self.session.frame(b'a["one","two"]')
            self.session.frame(b'c[3000,"end"]')
            self.session.blocked()
            if isGone:
                self.session.gone(SessionLost(1006, ""))
            self.clock.pump([10] * 20)
            for _ in range(10):
                self.bot.transport.write("x" * 50)
                self.turn()
            self.assertEqual((self.bot.received, self.bot.lost, self.carrier.sent), ([], None, []))
            self.bot.transport.resumeProducing()
            self.turn()
            self.turn()
            self.assertEqual(self.bot.received, ["one", "two"])
            if not isGone:
                self.session.gone(SessionLost(1006, ""))
                self.turn()
            error = self.bot.lost.value
            self.assertEqual((type(error), error.code, error.reason), (SessionDone, 3000, "end"))
            self.assertEqual((len(self.over), self.clock.getDelayedCalls()), (1, []))
            self.assertNotIn("abort", self.carrier.done)

    def test_brokenBlocked(self) -> None:
        """
        The same holds for a carrier that breaks without a close frame, and for a server that falls silent.
        """
        for silent in (False, True):
            self.make(write_timeout=20, heartbeat_timeout=10 if silent else 0)
            self.begin()
            self.bot.transport.pauseProducing()
            self.session.blocked()
            self.session.frame(b'a["one"]')
            if silent:
                self.clock.pump([5, 5])
            else:
                self.session.gone(SessionLost(1006, "broke"))
            self.clock.pump([10] * 10)
            self.bot.transport.resumeProducing()
            self.turn()
            self.turn()
            self.assertEqual(self.bot.received, ["one"])
            self.assertIs(type(self.bot.lost.value), HeartbeatTimeout if silent else SessionLost)
            self.assertEqual(self.bot.lost.value.code, 1006)

    def test_goneBeforeDropped(self) -> None:
        """
        A carrier that ends in the turn of a close, with messages that nobody takes any more, makes a loss of it, since
        what was written before the close is lost.
        """
        self.begin()
        self.bot.transport.pauseProducing()
        self.session.frame(b'a["one"]')
        self.session.blocked()
        self.bot.transport.write("last")
        self.bot.transport.close(4000, "enough")
        self.session.gone(SessionLost(1006, "broke"))
        self.turn()
        self.turn()
        error = self.bot.lost.value
        self.assertEqual((type(error), error.reason, self.bot.received), (SessionLost, "broke", []))

    def test_producer(self) -> None:
        """
        A producer is paused while the carrier is blocked, and told to stop at the end.
        """

        class Producer:
            def __init__(self) -> None:
                self.told: list[str] = []

            def pauseProducing(self) -> None:
                self.told.append("pause")

            def resumeProducing(self) -> None:
                self.told.append("resume")

            def stopProducing(self) -> None:
                self.told.append("stop")

        self.begin()
        producer = Producer()
        self.bot.transport.registerProducer(producer, True)
        self.session.blocked()
        self.session.ready()
        self.assertEqual(producer.told, ["pause", "resume"])
        self.session.frame(b'c[3000,"end"]')
        self.ends()
        self.assertEqual(producer.told, ["pause", "resume", "stop"])
