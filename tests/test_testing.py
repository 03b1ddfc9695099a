# -*- test-case-name: tests.test_testing -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.testing}: clients in memory, on every transport.
"""

from __future__ import annotations

import subprocess
import sys

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface import implementer

from tests.support import Apps, Recorder, TextEcho
from txsockjs.broadcast import broadcast
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.factory import SockJSFactory, SockJSMultiFactory
from txsockjs.multiplex import SockJSMultiplexResource
from txsockjs.resource import SockJSResource
from txsockjs.testing import (
    TRANSPORTS,
    Close,
    Endless,
    LeftBehind,
    NotConnected,
    NothingReceived,
    Refused,
    advance,
    assertNothingLeft,
    connect,
    finish,
    flush,
)
from txsockjs.testing.memory import Answer, FrameReader, MemoryConnection, encodeFrame

FRAMED = tuple(name for name in TRANSPORTS if name != "websocket-raw")
POLLING = ("xhr-polling", "jsonp-polling")
WEBSOCKETS = ("websocket", "websocket-raw")

ODD = "\u20ac \U0001f600 e\u0301 \u2028 \x00 \" ' \\ </script> %41 \r\n \x7f \uffff"


class TestingCase(SynchronousTestCase):
    """
    Tests with a clock, on which nothing may be left.
    """

    def setUp(self):
        self.clock = Clock()
        self.addCleanup(finish, self.clock)

    def serve(self, protocol=TextEcho, **settings):
        """
        Make a service.
        """
        self.apps = Apps(protocol)
        self.resource = SockJSResource(self.apps, reactor=self.clock, **settings)

    def each(self, protocol=TextEcho, names=TRANSPORTS, **settings):
        """
        @return: clients by each transport, each of a service of its own.
        """
        for name in names:
            self.serve(protocol, **settings)
            yield connect(self.resource, transport=name)

    def refused(self, *args, **kwargs):
        """
        @return: the refusal of a client.
        """
        return self.assertRaises(Refused, connect, *args, **kwargs)


class MessagesTests(TestingCase):
    """
    What is sent and received.
    """

    def test_echo(self):
        """
        What a client sends arrives, and so does what it is answered, in order, on every transport.
        """
        for client in self.each(Recorder):
            client.send("a", "b")
            client.send("c")
            self.assertEqual(client.protocol.received, [b"a", b"b", b"c"])
            client.protocol.transport.writeMessages(["x", "y"])
            self.assertEqual(client.received, ["x", "y"])
            client.protocol.transport.write("z")
            self.assertEqual([client.receive() for _ in range(3)], ["x", "y", "z"])
            self.assertEqual(client.received, ["x", "y", "z"])
            self.assertEqual((client.transportName, client.state), (client.protocol.transport.transportName, "open"))

    def test_odd(self):
        """
        Text of every kind arrives as it is, both ways.
        """
        for client in self.each():
            client.send(ODD, "")
            self.assertEqual(client.received, [ODD, ""])

    def test_surrogates(self):
        """
        Lone surrogates arrive as they are where there is JSON, and as U+FFFD by the raw WebSocket, as from a browser.
        """
        for client in self.each(names=FRAMED):
            client.send("\ud800")
            self.assertEqual(client.received, ["\ud800"])
        (client,) = self.each(names=["websocket-raw"])
        client.send("\ud800")
        self.assertEqual(client.received, ["\ufffd"])

    def test_large(self):
        """
        What is longer than a response, a read, or a short frame of a WebSocket arrives whole, however many requests it
        takes.
        """
        texts = [str(number) * size for number, size in enumerate((125, 126, 65535, 65536, 120_000, 120_000, 1))]
        for client in self.each(response_limit=1000):
            for text in texts:
                client.send(text)
            self.assertEqual(client.received, texts)
            self.assertEqual(self.resource.stats.opened, {client.transportName: 1})

    def test_nothing(self):
        """
        To receive what has not come is a failure that says what the client is up to; to send nothing is no harm.
        """
        for client in self.each():
            client.send()
            client.send("a")
            client.receive()
            error = self.assertRaises(NothingReceived, client.receive)
            self.assertIsInstance(error, AssertionError)
            self.assertRegex(str(error), f"after 1 messages.*{client.transportName} client .*, open")

    def test_noText(self):
        """
        A message that no page could send is refused, and nothing is sent.
        """
        for client in self.each():
            self.assertIn("must be a str", str(self.assertRaises(TypeError, client.send, "a", b"b")))
            self.assertEqual(client.received, [])

    def test_closed(self):
        """
        A client that is closed can't send.
        """
        for client in self.each():
            client.close()
            self.assertIn("closed", str(self.assertRaises(NotConnected, client.send, "a")))
            self.assertEqual(self.apps.last.received, [])

    def test_broadcast(self):
        """
        Clients by different transports see each other, without more ado.
        """
        self.serve(Recorder)
        clients = [connect(self.resource, transport=name) for name in TRANSPORTS]
        broadcast("hello", self.apps.built)
        self.assertEqual([client.received for client in clients], [["hello"]] * len(TRANSPORTS))
        self.assertEqual(len({client.session for client in clients}), len(TRANSPORTS))
        self.assertEqual([client.protocol for client in clients], self.apps.built)

    def test_pausedApplication(self):
        """
        What is sent to an application that has paused its intake arrives when it goes on, in order.
        """
        for client in self.each(Recorder):
            client.protocol.transport.pauseProducing()
            for text in "abcd":
                client.send(text)
            self.assertEqual(client.protocol.received, [])
            client.protocol.transport.resumeProducing()
            client.flush()
            self.assertEqual(client.protocol.received, [b"a", b"b", b"c", b"d"])

    def test_tooLarge(self):
        """
        A message that is too large closes the session, and the client sees the code.
        """
        for client in self.each(max_message_size=10):
            client.send("x" * 20)
            self.assertEqual(client.closed, (1009, "The message is too large"))
            self.assertEqual(client.protocol.lost[0].value.code, 1009)

    def test_refusedMessage(self):
        """
        A request that carries messages and is refused is told by an exception; the client goes on.
        """
        for client in self.each(names=("xhr-streaming", "jsonp-polling"), max_body_size=100):
            error = self.assertRaises(Refused, client.send, "x" * 200)
            self.assertEqual((error.status, error.body), (413, "The body is larger than 100 bytes\n"))
            self.assertIn(f"POST {error.url} is answered with 413: The body is larger", str(error))
            client.send("x")
            self.assertEqual(client.received, ["x"])

    def test_lateRefusal(self):
        """
        A request that had to wait for another one, and is refused then, is told by what lets that happen.
        """
        for client in self.each(Recorder, names=("xhr-polling", "htmlfile"), max_body_size=100):
            client.protocol.transport.pauseProducing()
            client.send("a")
            client.send("b" * 200)
            client.protocol.transport.resumeProducing()
            self.assertEqual(self.assertRaises(Refused, client.flush).status, 413)
            client.send("c")
            self.assertEqual(client.protocol.received, [b"a", b"c"])


class FramesTests(TestingCase):
    """
    What is seen of frames.
    """

    def test_frames(self):
        """
        Frames are seen as SockJS has them, whatever a transport makes of them.
        """
        for client in self.each(names=FRAMED):
            self.assertEqual(client.frames, ["o"])
            client.send('"', "%\u2028")
            client.advance(25)
            client.protocol.transport.close(4000, "b%e\u20ac")
            self.assertEqual(client.frames, ["o", 'a["\\"","%\\u2028"]', "h", 'c[4000,"b%e\u20ac"]'])
            self.assertEqual(client.closed, Close(4000, "b%e\u20ac"))

    def test_raw(self):
        """
        The raw WebSocket has no frames, and no heartbeats.
        """
        (client,) = self.each(names=["websocket-raw"])
        client.send("a")
        client.advance(100)
        self.assertEqual((client.frames, client.received), ([], ["a"]))

    def test_heartbeats(self):
        """
        A silent client gets its heartbeats, on each transport at the same time, and polls again after each.
        """
        for client in self.each(names=FRAMED):
            client.advance(24.9)
            self.assertEqual(client.frames.count("h"), 0)
            client.advance(0.1)
            self.assertEqual(client.frames.count("h"), 1)
            client.advance(10_000 - 25)
            self.assertEqual(client.frames.count("h"), 400)
            self.assertEqual((client.state, client.protocol.lost), ("open", []))

    def test_answer(self):
        """
        The answer to the opening request has its status and its headers.
        """
        for client in self.each(cookie_needed=True):
            isSocket = client.transportName in WEBSOCKETS
            self.assertEqual(client.answer.code, 101 if isSocket else 200)
            cookie = client.answer.header("Set-Cookie")
            self.assertEqual(cookie, None if isSocket else "JSESSIONID=dummy; path=/")


class EndTests(TestingCase):
    """
    How a session ends.
    """

    def test_byTheServer(self):
        """
        When the application closes, what it has written before comes first, and then code and reason.
        """
        for client in self.each(Recorder):
            transport = client.protocol.transport
            transport.write("last")
            transport.close(4000, "bye")
            self.assertEqual((client.received, client.closed, client.state), (["last"], (4000, "bye"), "closed"))
            (reason,) = client.protocol.lost
            self.assertEqual((reason.type, reason.value.code, reason.value.reason), (SessionDone, 4000, "bye"))
            self.assertFalse(client.isConnected)

    def test_atOnce(self):
        """
        An application that closes as soon as it is connected is seen to do so, and its protocol is found.
        """

        class Hasty(Recorder):
            def connectionMade(self):
                super().connectionMade()
                self.transport.write("hello")
                self.transport.loseConnection()

        for client in self.each(Hasty):
            self.assertEqual((client.received, client.closed), (["hello"], (3000, "Go away!")))
            self.assertIs(client.protocol, self.apps.last)
            self.assertEqual(len(client.protocol.lost), 1)

    def test_byTheClient(self):
        """
        A client that closes tells code and reason by a WebSocket; over HTTP it is lost, which is seen at once.
        """
        for client in self.each(Recorder):
            client.close(4001, "enough")
            self.assertEqual((client.closed, client.state), ((4001, "enough"), "closed"))
            (reason,) = client.protocol.lost
            if client.transportName in WEBSOCKETS:
                self.assertEqual((reason.type, reason.value.code, reason.value.reason), (SessionDone, 4001, "enough"))
            else:
                self.assertEqual((reason.type, reason.value.code), (SessionLost, 1002))
            client.close(4002, "again")
            self.assertEqual((client.closed, len(client.protocol.lost)), ((4001, "enough"), 1))
            self.assertFalse(client.isConnected)

    def test_closing(self):
        """
        While its WebSocket is not read by the server a client that closes is closing, and can't send any more.
        """
        for client in self.each(Recorder, names=WEBSOCKETS):
            client.protocol.transport.pauseProducing()
            client.close(4001, "enough")
            self.assertEqual((client.state, client.closed, client.protocol.lost), ("closing", None, []))
            self.assertIn("closing", str(self.assertRaises(NotConnected, client.send, "x")))
            client.protocol.transport.resumeProducing()
            self.assertEqual((client.state, client.closed), ("closed", (4001, "enough")))
            self.assertEqual(client.protocol.lost[0].value.code, 4001)

    def test_wrongClose(self):
        """
        A code or a reason that no page can give is refused.
        """
        for client in self.each():
            self.assertIn("1006", str(self.assertRaises(ValueError, client.close, 1006)))
            self.assertIn("'x'", str(self.assertRaises(ValueError, client.close, "x")))
            self.assertIn("123 bytes", str(self.assertRaises(ValueError, client.close, 1000, "x" * 124)))
            self.assertEqual(client.state, "open")

    def test_drop(self):
        """
        A connection that breaks is a lost session, at once.
        """
        for client in self.each(Recorder):
            client.drop()
            self.assertEqual((client.closed.code, client.state, client.isConnected), (1006, "closed", False))
            (reason,) = client.protocol.lost
            self.assertIs(reason.type, SessionLost)
            client.drop()
            self.assertEqual(len(client.protocol.lost), 1)

    def test_dropAndWrite(self):
        """
        What an application writes to a client that is gone harms nobody.
        """
        for client in self.each(Recorder):
            client.protocol.transport.write("x")
            client.drop()
            client.protocol.transport.write("y")
            self.assertNotIn("y", client.received)

    def test_abort(self):
        """
        An application that breaks the connection is seen to do so by a client of any transport.
        """
        for client in self.each(Recorder):
            client.protocol.transport.abortConnection()
            self.assertEqual((client.closed.code, client.state), (1006, "closed"))
            self.assertIs(client.protocol.lost[0].type, ConnectionAborted)

    def test_protocolOfThePast(self):
        """
        The protocol is found after its end as well, though nobody looked before, and though the client saw nothing.
        """
        for client in self.each(Recorder):
            client.pauseReading(room=0)
            self.apps.last.transport.abortConnection()
            self.assertIs(client.protocol, self.apps.last)
            self.assertEqual(len(client.protocol.lost), 1)

    def test_protocolOfAMoment(self):
        """
        It is found even if it is gone before the client has its turn.
        """

        class Abrupt(Recorder):
            def connectionMade(self):
                super().connectionMade()
                self.transport.write("x")
                if len(self.factory.built) == 2:
                    self.transport.abortConnection()

        for name in FRAMED:
            verdicts = []
            self.serve(Abrupt, authorize=lambda request, verdicts=verdicts: verdicts.append(Deferred()) or verdicts[-1])
            first, second = (connect(self.resource, transport=name) for _ in range(2))
            for verdict in verdicts:
                verdict.callback(True)
            self.assertEqual([first.protocol, second.protocol], self.apps.built)
            self.assertEqual((first.state, second.state), ("open", "closed"))

    def test_failure(self):
        """
        An exception in the application closes with 1011.
        """

        class Broken(Recorder):
            def dataReceived(self, data):
                raise ArithmeticError(data)

        for client in self.each(Broken):
            client.send("x")
            self.assertEqual(client.closed, (1011, "Internal error"))
            self.assertEqual(len(self.flushLoggedErrors(ArithmeticError)), 1)

    def test_stop(self):
        """
        A service that is drained while clients are connected closes them with its own code.
        """
        for client in self.each(drain_code=4321, drain_reason="later"):
            self.resource.drain()
            self.assertEqual(client.closed, (4321, "later"))
            self.assertEqual(self.refused(self.resource, transport=client.transportName).status, 503)

    def test_rubbish(self):
        """
        A close of the WebSocket itself, where there is none of SockJS, has its code and reason.
        """
        (client,) = self.each(names=["websocket"])
        client._sendText(b"{")
        client.flush()
        self.assertEqual(client.closed, (1007, "Broken JSON encoding."))


@implementer(IPushProducer, IPullProducer)
class Source(Recorder):
    """
    A protocol that produces.
    """

    paused = False
    streaming = True
    left = 1000

    def connectionMade(self):
        super().connectionMade()
        self.told = []
        self.transport.registerProducer(self, self.streaming)

    def produce(self):
        """
        As much as there is room for.
        """
        while not self.paused and self.left:
            self.left -= 1
            self.transport.write(f"{self.left:1000}")

    def pauseProducing(self):
        self.paused = True
        self.told.append("pause")

    def resumeProducing(self):
        self.paused = False
        self.told.append("resume")
        if not self.streaming:
            self.transport.write("x" * 1000)

    def stopProducing(self):
        self.told.append("stop")


class SlowTests(TestingCase):
    """
    Clients that do not read.
    """

    def test_producer(self):
        """
        A client that does not read has the producer paused, and gets everything in order when it reads again.
        """
        for client in self.each(Source):
            client.pauseReading()
            source = client.protocol
            for _ in range(3):  # with polling the response takes a part, and the queue another
                source.produce()
                client.flush()
            self.assertEqual(source.told[-1], "pause")
            self.assertTrue(0 < source.left < 950, source.left)
            self.assertEqual(client.received, [])
            client.resumeReading()
            self.assertEqual(source.told[-1], "resume")
            source.produce()
            self.assertEqual([int(text) for text in client.received], list(range(999, source.left - 1, -1)))
            source.transport.unregisterProducer()

    def test_noRoom(self):
        """
        Where there is no room on the way, the server notices at once.
        """
        for client in self.each(Source, names=(*WEBSOCKETS, "xhr-streaming", "eventsource", "htmlfile")):
            client.pauseReading(room=0)
            self.assertEqual(client.protocol.told, ["pause"])
            client.resumeReading()
            self.assertEqual(client.protocol.told, ["pause", "resume"])
            client.protocol.transport.unregisterProducer()

    def test_stalled(self):
        """
        A client that takes nothing is given up after the write timeout; it finds its connection broken.
        """
        for client in self.each(Recorder, names=("websocket-raw", "xhr-streaming"), write_timeout=10, ping_interval=0):
            client.pauseReading()
            client.protocol.transport.write("x" * 70_000)
            client.advance(9.9)
            self.assertEqual(client.protocol.lost, [])
            client.advance(0.2)
            self.assertEqual(client.protocol.lost[0].value.reason, "The client does not read")
            client.resumeReading()
            self.assertEqual((client.received, client.closed.code), ([], 1006))

    def test_overflow(self):
        """
        More than may wait for a client that does not read ends its session.
        """
        for client in self.each(Recorder, max_queued_bytes=100_000):
            client.pauseReading()
            for _ in range(20):
                client.protocol.transport.write("x" * 20_000)
                client.flush()
            self.assertEqual(client.protocol.lost[0].value.code, 1008)

    def test_absent(self):
        """
        A client that polls, and does not read, is away: it is lost after the disconnect delay, and told so when it
        comes back in time to be remembered.
        """
        for client in self.each(Recorder, names=POLLING):
            client.pauseReading()
            client.protocol.transport.write("x")
            client.advance(4.9)
            self.assertEqual(client.protocol.lost, [])
            client.advance(0.2)
            self.assertEqual(client.protocol.lost[0].value.reason, "The client did not come back")
            client.resumeReading()
            self.assertEqual((client.received, client.closed), (["x"], (1002, "Connection interrupted")))

    def test_forgotten(self):
        """
        A client that polls, and stays away for so long that its session is forgotten, notices that it got another one.
        """
        for client in self.each(Recorder, names=POLLING):
            client.pauseReading()
            client.protocol.transport.write("x")
            client.advance(11)
            client.resumeReading()
            self.assertEqual(client.frames, ["o", 'a["x"]', "o"])
            self.assertEqual(client.closed, (1006, "The server has lost the session"))
            self.assertEqual([len(app.lost) for app in self.apps.built], [1, 0])
            client.advance(5)
            self.assertEqual([len(app.lost) for app in self.apps.built], [1, 1])

    def test_stoppedMeanwhile(self):
        """
        A client that polls, and is refused when it comes back, is closed, and the reason says by what.
        """
        for client in self.each(names=POLLING):
            client.pauseReading()
            client.protocol.transport.write("x")
            client.flush()
            self.resource.stop()
            client.resumeReading()
            self.assertEqual((client.state, client.closed.code, client.refusal), ("closed", 1006, None))
            self.assertIn("answered with 503: This service is about to stop", client.closed.reason)

    def test_silent(self):
        """
        A WebSocket's client that does not read answers no pings either; one that reads does.
        """
        for client in self.each(Recorder, names=WEBSOCKETS):
            client.advance(1000)
            self.assertEqual(client.state, "open")
            client.pauseReading()
            client.advance(46)
            self.assertEqual(client.protocol.lost[0].value.reason, "The client does not answer")

    def test_inTime(self):
        """
        Who reads again in time has lost nothing.
        """
        for client in self.each(Recorder):
            client.pauseReading()
            client.protocol.transport.write("a")
            client.advance(4)
            client.resumeReading()
            self.assertEqual(client.received, ["a"])
            client.send("b")
            client.protocol.transport.write("c")
            self.assertEqual((client.receive(), client.receive(), client.protocol.received), ("a", "c", [b"b"]))

    def test_closeMeanwhile(self):
        """
        A close that came while the client did not read is seen when it reads.
        """
        for client in self.each(Recorder):
            client.pauseReading()
            client.protocol.transport.write("a")
            client.protocol.transport.close(4000, "bye")
            client.advance(1)
            self.assertIsNone(client.closed)
            client.resumeReading()
            self.assertEqual((client.received, client.closed), (["a"], (4000, "bye")))


class TimeTests(TestingCase):
    """
    L{advance}, L{flush}, L{finish}, and what they leave.
    """

    def test_eachAtItsTime(self):
        """
        What is due on the way happens at its own time, also what is set up on the way.
        """
        seen = []
        loop = LoopingCall(lambda: seen.append(self.clock.seconds()))
        loop.clock = self.clock
        loop.start(1)
        self.clock.callLater(2.5, lambda: self.clock.callLater(1, lambda: seen.append("later")))
        advance(self.clock, 4)
        self.assertEqual(seen, [0, 1, 2, 3, "later", 4])
        self.assertEqual(self.clock.seconds(), 4)
        loop.stop()

    def test_turns(self):
        """
        What is put off by a turn happens in the next one, after all that was due in this one.
        """
        seen = []

        def put(name, *rest):
            seen.append(name)
            if rest:
                self.clock.callLater(0, put, *rest)

        self.clock.callLater(0, put, "a", "c", "e")
        self.clock.callLater(0, put, "b", "d")
        flush(self.clock)
        self.assertEqual("".join(seen), "abcde")
        self.assertEqual(self.clock.seconds(), 0)

    def test_back(self):
        """
        Time does not go back.
        """
        self.assertIn("0 or more, not -1", str(self.assertRaises(ValueError, advance, self.clock, -1)))
        self.assertEqual(self.clock.seconds(), 0)

    def test_awkwardTimes(self):
        """
        Times that floating point can't tell exactly do not stop the clock.
        """
        seen = []
        self.clock.advance(1e9 + 0.1)
        for number in range(1, 100):
            self.clock.callLater(number * 0.1, seen.append, number)
        advance(self.clock, 10)
        self.assertEqual(seen, list(range(1, 100)))

    def test_exception(self):
        """
        An exception in a delayed call comes out, and the rest is done the next time.
        """
        seen = []
        self.clock.callLater(0, lambda: 1 // 0)
        self.clock.callLater(0, seen.append, 1)
        self.assertRaises(ZeroDivisionError, flush, self.clock)
        flush(self.clock)
        self.assertEqual((seen, self.clock.getDelayedCalls()), ([1], []))

    def test_endless(self):
        """
        What has no end is found out: a pull producer that always has more, for instance.
        """
        endless = type("EndlessSource", (Source,), {"streaming": False})
        self.serve(endless)
        error = self.assertRaises(Endless, connect, self.resource)
        self.assertIn("10000 turns", str(error))
        self.apps.last.transport.unregisterProducer()

    def test_fromWithin(self):
        """
        A protocol can look at a client of the same clock.
        """
        seen = []

        class Curious(Recorder):
            def dataReceived(self, data):
                seen.append(client.received)

        self.serve(Curious)
        client = connect(self.resource)
        client.send("x")
        self.assertEqual(seen, [[]])
        seen.clear()
        self.clock.callLater(0, lambda: (flush(self.clock), seen.append("first")))
        self.clock.callLater(0, seen.append, "second")
        flush(self.clock)
        self.assertEqual(seen, ["first", "second"])

    def test_nothingLeft(self):
        """
        After a close and the time for which a session is remembered, there is nothing on the clock.
        """
        for client in self.each():
            site = SockJSFactory(Apps(), reactor=self.clock)
            others = [connect(target, transport=client.transportName, clock=self.clock) for target in (site, Apps())]
            for one in (client, *others):
                one.send("x")
                one.close()
            client.advance(self.resource.options.disconnect_delay)
            assertNothingLeft(self.clock)
            self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_finish(self):
        """
        After L{finish} nothing is on the clock at once, whatever was under way; and the service can be used again.
        """
        for client in self.each():
            client.pauseReading()
            client.protocol.transport.write("x")
            client.finish()
            self.assertEqual((list(self.clock.getDelayedCalls()), len(client.protocol.lost)), ([], 1))
            again = connect(self.resource, transport=client.transportName)
            again.send("x")
            self.assertEqual(again.received, ["x"])
            again.finish()

    def test_leftBehind(self):
        """
        A delayed call that the application has forgotten is found, and named.
        """

        class Forgetful(Recorder):
            def connectionMade(self):
                clock.callLater(60, self.remember)

            def remember(self):
                pass

        clock = Clock()
        client = connect(Factory.forProtocol(Forgetful), clock=clock)
        error = self.assertRaises(LeftBehind, client.finish)
        self.assertRegex(str(error), "delayed calls are left.*remember")
        self.assertRaises(LeftBehind, assertNothingLeft, clock)
        self.assertRaises(LeftBehind, finish, clock)
        clock.advance(60)
        finish(clock)

    def test_last(self):
        """
        Of several clients the last one ends what they have shared.
        """
        self.serve()
        first, second = connect(self.resource), connect(self.resource, transport="xhr-streaming")
        first.finish()
        second.send("x")
        self.assertEqual((second.received, first.state), (["x"], "closed"))
        self.assertNotEqual(list(self.clock.getDelayedCalls()), [])
        second.finish()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_with(self):
        """
        A client is a context manager, which finishes it; and does not hide an exception by its own.
        """
        self.serve()
        with connect(self.resource) as first, connect(self.resource) as second:
            first.send("x")
            self.assertEqual((first.received, second.received), (["x"], []))
        self.assertEqual((first.state, second.state, list(self.clock.getDelayedCalls())), ("closed", "closed", []))
        with self.assertRaises(ArithmeticError), connect(self.resource) as third:
            call = self.clock.callLater(1, int)
            raise ArithmeticError
        self.assertEqual(third.state, "closed")
        call.cancel()

    def test_repr(self):
        """
        A client says what it is and how it stands.
        """
        self.serve()
        client = connect(self.resource, transport="htmlfile", session="it")
        self.assertEqual(repr(client), "<htmlfile client it, open>")
        client.protocol.transport.loseConnection()
        client.flush()
        self.assertEqual(repr(client), "<htmlfile client it, closed with 3000 'Go away!'>")


class PolicyTests(TestingCase):
    """
    Who is let in.
    """

    def test_origin(self):
        """
        An origin that is not allowed is refused with status and body, on every transport; one that is allowed is not.
        """
        for name in TRANSPORTS:
            self.serve(origins=["https://a.example"], transports=TRANSPORTS)
            error = self.refused(self.resource, transport=name, origin="https://b.example")
            self.assertEqual((error.status, error.body), (403, "This origin is not allowed\n"))
            self.assertEqual(error.headers.getRawHeaders("Vary"), ["Origin"])
            self.assertIsNone(error.close)
            self.assertRegex(str(error), r"^(GET|POST) /\S+ is answered with 403: This origin is not allowed$")
            self.assertEqual(self.apps.built, [])
            client = connect(self.resource, transport=name, origin="https://a.example")
            self.assertEqual(client.protocol.transport.requestFacts.headers["origin"], "https://a.example")

    def test_sameOrigin(self):
        """
        The same origin is that of C{Host}, which is C{localhost} or what the test says.
        """
        self.serve(origins="same")
        connect(self.resource, origin="http://localhost")
        client = connect(self.resource, origin="http://chat.example", headers={"host": "chat.example"})
        self.assertEqual(client.protocol.transport.requestFacts.headers["host"], "chat.example")
        self.assertEqual(self.refused(self.resource, origin="http://chat.example").status, 403)

    def test_authorize(self):
        """
        C{authorize} sees cookies and headers on every transport; whom it refuses gets 403.
        """

        def authorize(request):
            return request.getCookie(b"login") == b"ada" and request.getHeader(b"x-more") == b"yes"

        for name in TRANSPORTS:
            self.serve(authorize=authorize)
            cookies = {"other": "x", "login": "ada"}
            connect(self.resource, transport=name, cookies=cookies, headers={"X-More": "yes"}).send("x")
            self.assertEqual(self.apps.last.made, 1)
            error = self.refused(self.resource, transport=name, cookies={"login": "eve"}, headers={"X-More": "yes"})
            self.assertEqual((error.status, error.body), (403, "You may not use this service\n"))

    def test_authorizeLater(self):
        """
        While C{authorize} has not decided the client is connecting; then it is open, or has its refusal.
        """
        for name in TRANSPORTS:
            verdicts = []
            self.serve(authorize=lambda request, verdicts=verdicts: verdicts.append(Deferred()) or verdicts[-1])
            first, second = (connect(self.resource, transport=name) for _ in range(2))
            self.assertEqual((first.state, second.state), ("connecting", "connecting"))
            self.assertIn("connecting", str(self.assertRaises(NotConnected, first.send, "x")))
            self.assertIn("no protocol", str(self.assertRaises(LookupError, getattr, first, "protocol")))
            verdicts[0].callback(True)
            verdicts[1].callback(False)
            self.assertEqual((first.state, first.refusal), ("open", None))
            self.assertEqual((second.state, second.refusal.status), ("closed", 403))
            self.assertFalse(second.isConnected)
            first.send("x")
            self.assertEqual(first.received, ["x"])

    def test_authorizeTakesTime(self):
        """
        It may take its time, by the clock; and too much of it.
        """
        for name in TRANSPORTS:
            self.serve(authorize=lambda request: deferLater(self.clock, 3, lambda: True), authorize_timeout=4)
            client = connect(self.resource, transport=name)
            client.advance(2.9)
            self.assertEqual(client.state, "connecting")
            client.advance(0.2)
            self.assertEqual(client.state, "open")
            self.serve(authorize=lambda request: Deferred(), authorize_timeout=4)
            client = connect(self.resource, transport=name)
            client.advance(4)
            self.assertEqual((client.state, client.refusal.status), ("closed", 503))

    def test_leaveWhileConnecting(self):
        """
        A client that goes away while it is not decided is gone.
        """
        for name in TRANSPORTS:
            for leave in ("close", "drop"):
                cancelled = []
                self.serve(authorize=lambda request, cancelled=cancelled: Deferred(cancelled.append))
                client = connect(self.resource, transport=name)
                getattr(client, leave)()
                self.assertEqual((client.state, client.isConnected, len(cancelled)), ("closed", False, 1))

    def test_factoryRefuses(self):
        """
        A factory that makes no protocol refuses by the close frame. The raw WebSocket has none: there it is a close.
        """
        for name in FRAMED:
            self.serve()
            self.apps.refuse = True
            error = self.refused(self.resource, transport=name)
            self.assertEqual((error.close, error.body), ((3000, "Go away!"), 'c[3000,"Go away!"]'))
            self.assertEqual(error.status, 101 if name == "websocket" else 200)
        self.serve()
        self.apps.refuse = True
        client = connect(self.resource, transport="websocket-raw")
        self.assertEqual(client.closed, (3000, "Go away!"))
        self.assertRaises(LookupError, getattr, client, "protocol")

    def test_transports(self):
        """
        A transport that is switched off is not found.
        """
        for name in TRANSPORTS:
            self.serve(transports=[other for other in TRANSPORTS if other != name])
            self.assertEqual(self.refused(self.resource, transport=name).status, 404)

    def test_peer(self):
        """
        The application sees the address that the test has chosen, and limits by address count it.
        """
        addresses = {
            "10.0.0.7": IPv4Address("TCP", "10.0.0.7", 50000),
            "2001:db8::1": IPv6Address("TCP", "2001:db8::1", 50000),
        }
        for name in TRANSPORTS:
            self.serve(max_sessions_per_host=1)
            for peer, address in addresses.items():
                client = connect(self.resource, transport=name, peer=peer)
                self.assertEqual(client.protocol.transport.getPeer(), address)
                self.assertEqual(self.refused(self.resource, transport=name, peer=peer).status, 429)
            address = UNIXAddress(b"/a")
            client = connect(self.resource, transport=name, peer=address)
            self.assertIs(client.protocol.transport.getPeer(), address)

    def test_proxy(self):
        """
        Behind a proxy the application sees the client's own address, and its protocol is found nevertheless.
        """
        for name in TRANSPORTS:
            self.serve(trusted_proxies=["10.0.0.0/8"])
            clients = [
                connect(self.resource, transport=name, peer="10.0.0.1", headers={"X-Forwarded-For": host})
                for host in ("192.0.2.1", "192.0.2.2")
            ]
            hosts = [client.protocol.transport.getPeer().host for client in clients]
            self.assertEqual(hosts, ["192.0.2.1", "192.0.2.2"])

    def test_session(self):
        """
        The session id can be chosen: a second client on the same one is refused by the frame that SockJS has for that.
        """
        for name in FRAMED[1:]:
            self.serve()
            client = connect(self.resource, transport=name, session="a b")
            error = self.refused(self.resource, transport=name, session="a b")
            self.assertEqual(error.close, (2010, "Another connection still open"))
            self.assertIn("/a%20b/", error.url)
            client.send("x")
            self.assertEqual(client.received, ["x"])

    def test_expect(self):
        """
        A client that asks whether it may go on does so, by each transport.
        """
        for name in TRANSPORTS:
            self.serve()
            client = connect(self.resource, transport=name, headers={"Expect": "100-continue"})
            self.assertEqual(client.state, "open", name)
            client.send("hi")
            self.assertEqual(client.received, ["hi"], name)

    def test_noAnswer(self):
        """
        A connection that breaks before there is an answer refuses as well.
        """

        class Breaking(Resource):
            isLeaf = True

            def render(self, request):
                request.channel.transport.abortConnection()
                return NOT_DONE_YET

        for name in TRANSPORTS:
            error = self.refused(Breaking(), transport=name, clock=self.clock)
            self.assertEqual((error.status, error.body), (0, ""))
            self.assertTrue(str(error).endswith(" is not answered: the connection broke"), error)

    def test_query(self):
        """
        The query of the path is that of each request.
        """
        for name in TRANSPORTS:
            self.serve()
            client = connect(self.resource, transport=name, path="/?room=1&x=%20")
            args = client.protocol.transport.requestFacts.args
            self.assertEqual((args["room"], args["x"]), (("1",), (" ",)))


class TargetsTests(TestingCase):
    """
    What a client can connect to.
    """

    def check(self, target, path="/", facts="/", **kwargs):
        """
        Clients of every transport work.
        """
        for name in TRANSPORTS:
            client = connect(target, transport=name, path=path, **kwargs)
            client.send("x")
            self.assertEqual(client.received, ["x"])
            self.assertEqual(client.protocol.transport.requestFacts.path, facts)
            client.finish()

    def test_factory(self):
        """
        A factory of protocols, with settings; it gets a clock of its own if it is given none.
        """
        self.check(Apps(TextEcho))
        self.check(Apps(TextEcho), clock=self.clock)
        client = connect(Apps(TextEcho), transport="xhr-polling", heartbeat_delay=3)
        client.advance(10)
        self.assertEqual(client.frames, ["o", "h", "h", "h"])
        self.assertIsNot(client.clock, self.clock)
        client.finish()
        self.assertIn("hartbeat", str(self.assertRaises(ValueError, connect, Apps(), hartbeat_delay=3)))

    def test_resource(self):
        """
        A service, or a resource that has one somewhere below.
        """
        self.serve()
        self.check(self.resource)
        root, a = Resource(), Resource()
        root.putChild(b"a", a)
        a.putChild(b"b", self.resource)
        for path in ("a/b", "/a/b", "/a/b/"):
            self.check(root, path, "/a/b")
        self.assertEqual(self.refused(root, path="/a", clock=self.clock).status, 404)
        root.putChild("c d\u20ac%3F".encode(), self.resource)
        self.check(root, "/c d\u20ac%3F?e=\u20ac f", "/c d\u20ac%3F")

    def test_site(self):
        """
        A site of C{twisted.web}, and those of txsockjs.
        """
        self.serve()
        root = Resource()
        root.putChild(b"a", self.resource)
        self.check(Site(root, reactor=self.clock), "/a", "/a")
        self.check(SockJSFactory(Apps(TextEcho), reactor=self.clock))
        several = SockJSMultiFactory(reactor=self.clock)
        several.addFactory(Apps(TextEcho), "a/b")
        several.addFactory(Apps(TextEcho), "/")
        self.check(several, "/a/b", "/a/b")
        self.check(several)

    def test_memoryReactor(self):
        """
        A L{MemoryReactorClock} is a clock.
        """
        self.check(SockJSFactory(Apps(TextEcho), reactor=MemoryReactorClock()))

    def test_multiplex(self):
        """
        A service of many channels speaks its own protocol with the client.
        """
        resource = SockJSMultiplexResource(reactor=self.clock)
        resource.addFactory("a", Apps(TextEcho))
        for name in TRANSPORTS:
            client = connect(resource, transport=name)
            client.send("sub,a", "msg,a,hello", "uns,a")
            self.assertEqual(client.received, ["msg,a,hello"])

    def test_hidden(self):
        """
        A service that is found only by asking for it works; its protocols are left to the test to find.
        """

        class Hidden(Resource):
            def getChild(self, name, request):
                return service

        self.serve()
        service = self.resource
        for name in TRANSPORTS:
            client = connect(Site(Hidden(), reactor=self.clock), transport=name, path="/here")
            client.send("x")
            self.assertEqual(client.received, ["x"])
            self.assertIn(
                "no SockJSResource at /here", str(self.assertRaises(LookupError, getattr, client, "protocol"))
            )
            client.drop()
        self.resource.stop()

    def test_started(self):
        """
        A site is started by the first client, with its factory, and stopped when all is over; but not one that
        listens already.
        """

        class Counting(Apps):
            starts = stops = 0

            def startFactory(self):
                self.starts += 1

            def stopFactory(self):
                self.stops += 1

        apps = Counting(TextEcho)
        site = SockJSFactory(apps, reactor=self.clock)
        first, second = connect(site), connect(site, transport="xhr-polling")
        self.assertEqual((apps.starts, apps.stops), (1, 0))
        first.finish()
        self.assertEqual((apps.starts, apps.stops), (1, 0))
        second.finish()
        self.assertEqual((apps.starts, apps.stops, site.numPorts), (1, 1, 0))
        site.doStart()
        third = connect(site)
        third.send("x")
        self.assertEqual(third.received, ["x"])
        self.assertRaises(LeftBehind, third.finish)  # the site keeps the time for its log
        self.assertEqual((apps.starts, apps.stops, site.numPorts), (2, 1, 1))
        site.doStop()
        self.assertEqual((apps.starts, apps.stops), (2, 2))

    def assertWrong(self, kind, words, *args, **kwargs):
        self.assertIn(words, str(self.assertRaises(kind, connect, *args, **kwargs)))

    def test_wrong(self):
        """
        What is wrong is told in a way that says what would be right.
        """
        self.serve()
        self.assertWrong(TypeError, "a factory such as Factory.forProtocol(Echo)", Protocol)
        self.assertWrong(TypeError, "a factory such as Factory.forProtocol(Echo)", Protocol())
        self.assertWrong(TypeError, "a factory such as Factory.forProtocol(Echo)", None)
        self.assertWrong(TypeError, "heartbeat_delay: settings belong", self.resource, heartbeat_delay=3)
        self.assertWrong(ValueError, "must be one of websocket, websocket-raw,", self.resource, transport="xhr")
        self.assertWrong(ValueError, "an IP address such as 10.0.0.7", self.resource, peer="localhost")
        self.assertWrong(ValueError, "Origin must be printable", self.resource, origin="a\r\nb: c")
        self.assertWrong(
            ValueError, "there are two clocks, of SockJSResource and of connect", self.resource, clock=Clock()
        )
        other = Site(self.resource, reactor=Clock())
        self.assertWrong(ValueError, "there are two clocks, of Site and of SockJSResource", other)
        real = SockJSResource(Apps())
        self.assertWrong(ValueError, "make it with reactor=Clock()", real)
        self.assertWrong(ValueError, "this Site keeps time by", Site(self.resource))
        self.assertWrong(ValueError, "give connect a clock=", Resource(), path="/a")
        self.assertEqual(list(self.clock.getDelayedCalls()), [])


class DifferentialTests(TestingCase):
    """
    To an application all transports are the same.
    """

    def play(self, name):
        """
        @return: what an application and a client see of a script, with its times.
        """
        clock, events = Clock(), []

        def note(*what):
            events.append((round(clock.seconds(), 6), *what))

        class Noting(Recorder):
            def connectionMade(self):
                note("made")
                self.transport.write("welcome")

            def dataReceived(self, data):
                note("received", data)
                if data == b"pause":
                    self.transport.pauseProducing()
                    clock.callLater(2, self.transport.resumeProducing)
                elif data == b"later":
                    clock.callLater(1, self.transport.write, "now")
                elif data == b"close":
                    self.transport.write("last")
                    self.transport.close(4000, "bye")
                else:
                    self.transport.writeMessages([data, data])

            def connectionLost(self, reason):
                note("lost", reason.type, reason.value.code, reason.value.reason)

        client = connect(Factory.forProtocol(Noting), transport=name, clock=clock, response_limit=50)
        client.send("a", "b")
        client.send("\u20ac" * 40)
        client.advance(30)
        client.send("pause", "c")
        client.send("d")
        client.advance(1)
        note("seen", *client.received)
        client.advance(5)
        client.send("later")
        client.advance(0.5)
        note("seen", len(client.received))
        client.advance(0.5)
        client.pauseReading()
        client.protocol.transport.write("unread")
        client.advance(3)
        note("seen", len(client.received))
        client.resumeReading()
        client.send("close", "never")
        note("seen", *client.received, client.closed, client.state)
        client.finish()
        return events

    def test_script(self):
        """
        The same script has the same events at the same times, on every transport.
        """
        expected = self.play("websocket")
        self.assertEqual([what for _, what, *_ in expected].count("received"), 8)
        self.assertEqual(expected[-2], (40, "lost", SessionDone, 4000, "bye"))
        for name in TRANSPORTS:
            self.assertEqual(self.play(name), expected, name)


class MemoryTests(SynchronousTestCase):
    """
    L{txsockjs.testing.memory}, as far as no client makes use of it.
    """

    def test_pieces(self):
        """
        Answers are understood in whatever pieces they come.
        """
        data = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n"
            b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
            b"HTTP/1.1 204 No Content\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
        )
        for size in (1, 2, 7, 1000):
            found, rest = [Answer()], b""
            for at in range(0, len(data), size):
                rest += data[at : at + size]
                while True:
                    rest = found[-1].feed(rest)
                    if not found[-1].ended:
                        break
                    found.append(Answer())
            last = found[-1]
            self.assertFalse(last.ended)
            last.cut()
            self.assertTrue(last.ended)
            self.assertEqual([answer.code for answer in found], [200, 204, 200, 200, 200])
            self.assertEqual([answer.body for answer in found][1:], [b"", b"hello", b"", b"until the end"])
            self.assertEqual(found[0].chunks, [b"abc", b"0123456789abcdef"])
            self.assertEqual((found[0].header("a"), found[0].header("c")), ("b", None))

    def test_interim(self):
        """
        What a server says before its answer is not the answer, in whatever pieces it comes; 101 is one.
        """
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 0\r\n\r\n"
        data = interim + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        for size in (1, 2, 7, len(interim), 1000):
            answer, rest = Answer(), b""
            for at in range(0, len(data), size):
                rest = answer.feed(rest + data[at : at + size])
            self.assertEqual((answer.code, answer.body, answer.ended, rest), (200, b"hi", True, b""))
            self.assertEqual((answer.header("link"), answer.header("content-length")), (None, "2"))
        answer = Answer()
        rest = answer.feed(interim + b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x00")
        self.assertEqual((answer.code, answer.ended, rest), (101, True, b"\x81\x00"))
        answer = Answer()
        answer.feed(interim)
        answer.cut()
        self.assertEqual((answer.code, answer.ended), (0, False))

    def test_cut(self):
        """
        An answer that is cut short has not ended.
        """
        for head in (b"Content-Length: 9", b"Transfer-Encoding: chunked"):
            answer = Answer()
            answer.feed(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n3\r\nabc")
            answer.cut()
            self.assertFalse(answer.ended)

    def test_head(self):
        """
        The answer to a HEAD has no body.
        """
        answer = Answer("HEAD")
        rest = answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP")
        self.assertEqual((answer.ended, answer.body, rest), (True, b"", b"HTTP"))

    def test_frames(self):
        """
        Frames of any size are understood in whatever pieces they come.
        """
        payloads = [b"", b"x" * 125, b"y" * 126, b"z" * 65535, b"w" * 65536]
        data = b"".join(encodeFrame(1, payload, mask=False) for payload in payloads)
        for size in (1000, 70_000, len(data)):
            reader, found = FrameReader(), []
            for at in range(0, len(data), size):
                found += reader.feed(data[at : at + size])
            self.assertEqual([frame.payload for frame in found], payloads)
        reader = FrameReader()
        (close,) = [
            frame for byte in encodeFrame(8, b"\x0f\xa0bye", mask=False) for frame in reader.feed(bytes([byte]))
        ]
        self.assertEqual((close.opcode, close.code, close.reason), (8, 4000, "bye"))
        (close,) = FrameReader().feed(encodeFrame(8, mask=False))
        self.assertEqual((close.code, close.reason), (1005, ""))

    def connected(self):
        """
        @return: a clock, a connection to a plain protocol, and the protocol.
        """
        clock, apps = Clock(), Apps(Recorder)
        connection = MemoryConnection(apps, clock)
        return clock, connection, apps.last

    def test_closeWhileFull(self):
        """
        An orderly close waits while the connection is full, and while there is a producer; not for what has room.
        """
        clock, connection, protocol = self.connected()
        connection.transport.block(3)
        protocol.transport.write(b"abc")
        protocol.transport.loseConnection()
        flush(clock)
        self.assertFalse(connection.transport.gone)
        connection.transport.unblock()
        flush(clock)
        self.assertTrue(connection.transport.gone)
        clock, connection, protocol = self.connected()
        protocol.transport.registerProducer(Protocol(), True)
        protocol.transport.loseConnection()
        flush(clock)
        self.assertFalse(connection.transport.gone)
        protocol.transport.unregisterProducer()
        flush(clock)
        self.assertTrue(connection.transport.gone)

    def test_readAfterTheEnd(self):
        """
        What had room on the way is there for the client after an orderly close, and only then it sees the end.
        """
        clock, connection, protocol = self.connected()
        changes = []
        connection.changed = lambda: changes.append(connection.transport.gone)
        answer = connection.expect("GET")
        connection.transport.block(1000)
        protocol.transport.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        protocol.transport.loseConnection()
        flush(clock)
        self.assertEqual((connection.transport.gone, answer.ended, changes), (True, False, []))
        connection.transport.unblock()
        self.assertEqual((answer.body, answer.ended), (b"hello", True))
        self.assertEqual(changes, [True])

    def test_brokenWhileHeld(self):
        """
        What is on the way when the server breaks the connection is lost.
        """
        clock, connection, protocol = self.connected()
        answer = connection.expect("GET")
        connection.transport.block(1000)
        protocol.transport.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        protocol.transport.abortConnection()
        flush(clock)
        connection.transport.unblock()
        self.assertEqual((connection.transport.gone, answer.code), (True, 0))
        self.assertIs(protocol.lost[0].type, ConnectionAborted)

    def test_producers(self):
        """
        There is one producer at a time, which is paused and resumed in pairs, and stopped when the connection is lost.
        """
        told = []
        producer = Protocol()
        producer.pauseProducing, producer.resumeProducing, producer.stopProducing = (
            lambda word=word: told.append(word) for word in ("pause", "resume", "stop")
        )
        _, connection, protocol = self.connected()
        protocol.transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, protocol.transport.registerProducer, producer, True)
        connection.transport.block(2)
        protocol.transport.write(b"a")
        self.assertEqual(told, [])
        protocol.transport.writeSequence([b"b", b"c"])
        protocol.transport.write(b"d")
        self.assertEqual(told, ["pause"])
        connection.transport.unblock()
        connection.transport.block(2)
        connection.transport.unblock()
        self.assertEqual((told, protocol.transport.value()), (["pause", "resume"], b"abcd"))
        connection.lose()
        connection.lose()
        self.assertEqual((told, len(protocol.lost)), (["pause", "resume", "stop"], 1))
        _, connection, protocol = self.connected()
        told.clear()
        protocol.transport.registerProducer(producer, False)
        connection.transport.block()
        connection.transport.unblock()
        self.assertEqual(told, ["resume", "resume"])

    def test_noProtocol(self):
        """
        A factory that makes no protocol for the connection itself refuses it.
        """
        apps = Apps()
        apps.refuse = True
        self.assertRaises(ConnectionRefusedError, MemoryConnection, apps, Clock())

    def test_imports(self):
        """
        Nothing that is for tests alone is imported: neither trial nor Hypothesis, nor is a reactor installed.
        """
        program = "import sys, txsockjs.testing; print(*sys.modules)"
        modules = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.split()
        self.assertIn("txsockjs.testing.client", modules)
        for name in modules:
            self.assertNotIn(name.partition(".")[0], ("unittest", "hypothesis", "pytest"))
            self.assertFalse(name.startswith(("twisted.trial", "twisted.internet.reactor")), name)
