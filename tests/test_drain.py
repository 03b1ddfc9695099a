# -*- test-case-name: tests.test_drain -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
How a site leaves: what sessions and connections get before they are gone, and how long that may take.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from tests.certificates import makeCertificate
from tests.http2 import HTTP2Client, h2
from tests.support import UPGRADE, Apps, MemoryConnection, SiteCase
from tests.wire import CLOSE, HTTPClient
from txsockjs.errors import SessionDone
from txsockjs.factory import SockJSFactory, SockJSMultiFactory

RECEIVING = (
    ("POST", "/0/{}/xhr"),
    ("POST", "/0/{}/xhr_streaming"),
    ("GET", "/0/{}/eventsource"),
    ("GET", "/0/{}/htmlfile?c=f"),
    ("GET", "/0/{}/jsonp?c=f"),
)

CLOSING = 'c[3000,"Go away!"]'


def plain(body: bytes) -> str:
    """
    @return: a body without the escapes of its transport.
    """
    return body.decode("utf-8").replace("\\", "")


class Slow(Resource):
    """
    Answers when it is told to.
    """

    isLeaf = True

    def render(self, request):
        self.request = request
        return NOT_DONE_YET


@implementer(IPushProducer, IPullProducer)
class Producer:
    """
    Writes down what it is told.
    """

    def __init__(self):
        self.told = []

    def pauseProducing(self):
        self.told.append("pause")

    def resumeProducing(self):
        self.told.append("resume")

    def stopProducing(self):
        self.told.append("stop")


class DrainCase(SiteCase):
    """
    A site of one service that is going to leave.
    """

    def setUp(self):
        super().setUp()
        self.apps = Apps()
        self.make()

    def make(self, **settings):
        settings = {"drain_timeout": 10, "disconnect_delay": 100, "heartbeat_delay": 0, **settings}
        self.site = SockJSFactory(self.apps, reactor=self.clock, **settings)
        self.resources.append(self.site.resource)
        self.ended = []

    def drain(self, *args: float) -> None:
        """
        Begin to leave.
        """
        self.site.drain(*args).addCallback(self.ended.append)
        self.clock.advance(0)

    def assertEnded(self, ended: bool = True) -> None:
        self.clock.advance(0)
        self.assertEqual(self.ended, [None] if ended else [])

    def stream(self, name: str = "s") -> tuple[MemoryConnection, Callable]:
        """
        Open a session with a response that stays open.
        """
        connection = self.connect()
        return connection, connection.ask("POST", f"/0/{name}/xhr_streaming")

    def webSocket(self, path: str = "/0/w/websocket") -> MemoryConnection:
        """
        Open a session with a WebSocket.
        """
        connection = self.connect()
        connection.upgrade(path)
        return connection


class SessionTests(DrainCase):
    """
    What sessions get.
    """

    def test_queued(self):
        """
        On each transport that has an open response, what was written comes first and then the close frame, and then
        the connection is closed.
        """
        for method, path in RECEIVING:
            self.make()
            polling = path.endswith(("/xhr", "/jsonp?c=f"))
            if polling:
                self.answerTo(method, path.format("s"))
            connection = self.connect()
            answers = [connection.ask(method, path.format("s"))]
            for message in ("one", "two"):
                self.apps.last.transport.write(message)
            self.drain()
            if polling:  # a response brings one frame
                self.assertEnded(False)
                answers.append(connection.ask(method, path.format("s")))
            self.assertTrue(all(answer().ended for answer in answers))
            messages, frame, rest = plain(b"".join(answer().body for answer in answers)).partition(CLOSING)
            self.assertEqual((messages.count('a["one","two"]'), frame), (1, CLOSING), path)
            self.assertNotIn("[", rest)
            self.assertEqual([lost.value.code for lost in self.apps.last.lost], [3000])
            self.assertEnded()
            self.assertTrue(connection.transport.gone)
            self.assertFalse(connection.transport.aborted)

    def test_webSockets(self):
        """
        The same holds for WebSockets, which end when the client has answered the closing handshake.
        """
        framed, raw = self.webSocket(), self.webSocket("/websocket")
        for app in self.apps.built:
            app.transport.write("one")
            app.transport.write("two")
        self.drain()
        self.assertEqual(framed.texts(), ["o", 'a["one","two"]', CLOSING])
        self.assertEqual(raw.texts(), ["one", "two"])
        self.assertEqual((framed.closed().code, raw.closed().code), (1000, 3000))
        self.assertEnded(False)
        for connection in (framed, raw):
            connection.sendFrame(CLOSE, connection.closed().payload)
        self.assertEnded()
        self.assertEqual([connection.transport.aborted for connection in (framed, raw)], [False, False])
        self.assertEqual(self.site._connections, set())

    def test_codeAndReason(self):
        """
        Code and reason are those of the options.
        """
        self.make(drain_code=4001, drain_reason="Restart")
        _, answer = self.stream()
        raw = self.webSocket("/websocket")
        self.drain()
        self.assertEqual(answer().chunks[-1], b'c[4001,"Restart"]\n')
        self.assertEqual(raw.closed().payload[2:], b"Restart")
        self.assertEqual(raw.closed().code, 4001)
        self.assertEqual(self.apps.last.transport.disconnecting, True)

    def test_betweenPolls(self):
        """
        A client between two polls fetches what is queued, and then the close frame, on the connection that it has.
        """
        connection = self.connect()
        connection.ask("POST", "/0/s/xhr")
        self.apps.last.transport.write("one")
        self.drain()
        self.clock.advance(5)
        self.assertEnded(False)
        self.assertFalse(connection.transport.disconnecting)
        self.assertEqual(connection.ask("POST", "/0/s/xhr")().body, b'a["one"]\n')
        self.assertEnded(False)
        self.assertEqual(connection.ask("POST", "/0/s/xhr")().body, CLOSING.encode() + b"\n")
        self.assertEnded()
        self.assertTrue(connection.transport.gone)
        self.assertFalse(connection.transport.aborted)
        self.assertIsInstance(self.apps.last.lost[0].value, SessionDone)

    def test_accepted(self):
        """
        What is written as long as the transport is not disconnecting arrives; what is written later does not.
        """
        _, answer = self.stream()
        transport = self.apps.last.transport
        transport.write("before")
        self.assertFalse(transport.disconnecting)
        self.site.drain()
        self.assertTrue(transport.disconnecting)
        transport.write("after")
        self.clock.advance(0)
        self.assertEqual(answer().chunks[-2:], [b'a["before"]\n', CLOSING.encode() + b"\n"])

    def test_producers(self):
        """
        A producer does not keep its session open: it is told to stop, and what it had written arrives.
        """
        for streaming in (True, False):
            self.make()
            _, answer = self.stream()
            producer = Producer()
            self.apps.last.transport.registerProducer(producer, streaming)
            self.apps.last.transport.write("one")
            self.drain()
            self.assertEqual(answer().chunks[-2:], [b'a["one"]\n', CLOSING.encode() + b"\n"])
            self.assertEqual(producer.told[-1], "stop")
            self.assertEqual(producer.told.count("stop"), 1)
            self.assertEnded()

    def test_slow(self):
        """
        Who reads slowly has until the end of the time, and gets everything.
        """
        connection, answer = self.stream()
        webSocket = self.webSocket()
        for it in (connection, webSocket):
            it.transport.block()
        for app in self.apps.built:
            app.transport.write("one")
        self.drain()
        self.clock.advance(9.9)
        self.assertEnded(False)
        self.assertEqual(len(answer().chunks), 2)
        for it in (connection, webSocket):
            it.transport.unblock()
        self.clock.advance(0)
        self.assertEqual(answer().chunks[-2:], [b'a["one"]\n', CLOSING.encode() + b"\n"])
        self.assertEqual(webSocket.texts(), ["o", 'a["one"]', CLOSING])
        webSocket.sendFrame(CLOSE, webSocket.closed().payload)
        self.assertEnded()
        self.assertEqual((connection.transport.aborted, webSocket.transport.aborted), (False, False))

    def test_neverReads(self):
        """
        Who does not read is cut when the time is over, not before, and so is who does not come back.
        """
        connection, _ = self.stream()
        webSocket = self.webSocket()
        self.answerTo("POST", "/0/away/xhr")
        for it in (connection, webSocket):
            it.transport.block()
        self.drain()
        self.clock.advance(9.9)
        self.assertEnded(False)
        self.assertEqual((connection.transport.aborted, webSocket.transport.aborted), (False, False))
        self.clock.advance(0.1)
        self.assertEnded()
        self.assertEqual((connection.transport.aborted, webSocket.transport.aborted), (True, True))
        self.assertEqual([len(app.lost) for app in self.apps.built], [1, 1, 1])
        self.assertTrue(all(app.lost[0].check(ConnectionAborted, SessionDone) for app in self.apps.built))
        self.assertEqual(self.site._connections, set())

    def test_timeout(self):
        """
        A time that is given counts in place of the option.
        """
        self.answerTo("POST", "/0/s/xhr")
        self.drain(3)
        self.clock.advance(2.9)
        self.assertEnded(False)
        self.clock.advance(0.1)
        self.assertEnded()

    def test_noWaiting(self):
        """
        With no time at all it ends at once, and who reads gets the close frame nevertheless.
        """
        for args, settings in (((0,), {}), ((), {"drain_timeout": 0})):
            self.make(**settings)
            connection, answer = self.stream()
            raw = self.webSocket("/websocket")
            self.answerTo("POST", "/0/away/xhr")
            self.site.drain(*args).addCallback(self.ended.append)
            self.assertEqual(self.ended, [None])
            self.assertEqual(answer().chunks[-1], CLOSING.encode() + b"\n")
            self.assertEqual(raw.closed().code, 3000)
            self.assertEqual((connection.transport.aborted, raw.transport.aborted), (False, False))
            for it in self.connections:
                it.lose()
            self.assertEqual([len(app.lost) for app in self.apps.built[-3:]], [1, 1, 1])

    def test_refused(self):
        """
        New sessions are refused with 503 from the beginning, on every transport and also on a connection that there
        was before; and so is what comes for sessions that there are, in the end.
        """
        old = self.connect()
        self.assertEqual(old.ask("POST", "/0/s/xhr")().body, b"o\n")
        self.drain()
        for connect in (self.connect, lambda: old):
            for method, path in RECEIVING:
                answer = connect().ask(method, path.format("new"))()
                self.assertEqual((answer.code, answer.header("Retry-After")), (503, "5"), path)
        for path in ("/0/w/websocket", "/websocket"):
            self.assertEqual(self.connect().upgrade(path)().code, 503)
        self.assertEqual(old.ask("GET", "/websocket", UPGRADE)().code, 503)
        sent = old.ask("POST", "/0/s/xhr_send", body=b'["x"]')
        self.assertEqual(len(self.apps.built), 1)
        self.assertEqual(self.apps.last.received, [])
        self.assertEqual(self.site.resource.stats.refused["draining"], 13)
        self.clock.advance(10)
        self.assertEqual(sent().code, 404)
        self.assertEnded()
        self.assertEqual(self.answerTo("POST", "/0/later/xhr").code, 503)

    def test_info(self):
        """
        C{/info} is refused with 503 as well, in a way that pages of other origins can read, so that a balancer asks
        another process; preflights are not.
        """
        self.assertEqual(self.answerTo("GET", "/info").code, 200)
        self.answerTo("POST", "/0/s/xhr")
        self.drain()
        answer = self.answerTo("GET", "/info", {"Origin": "http://a.example"})
        self.assertEqual((answer.code, answer.header("Retry-After")), (503, "5"))
        self.assertEqual(answer.header("Access-Control-Allow-Origin"), "http://a.example")
        self.assertIn("no-store", answer.header("Cache-Control"))
        self.assertEqual(answer.body, b"This service is about to stop\n")
        self.assertEqual(self.answerTo("HEAD", "/info").code, 503)
        self.assertEqual(self.answerTo("OPTIONS", "/info").code, 204)
        self.assertEqual(self.site.resource.stats.refused["draining"], 2)
        self.site.resource.start()
        self.assertEqual(self.answerTo("GET", "/info").code, 200)

    def test_sendToUnknown(self):
        """
        What is sent to a session that is not known here is refused with 503, since another process may know it; for
        one that is about to end or has ended here it is 404, once it has.
        """
        self.answerTo("POST", "/0/s/xhr")
        self.answerTo("POST", "/0/over/xhr")
        self.apps.last.transport.loseConnection()
        self.answerTo("POST", "/0/over/xhr")
        sends = ("xhr_send", "jsonp_send")
        for way in sends:
            self.assertEqual(self.answerTo("POST", f"/0/unknown/{way}", body=b'["x"]').code, 404)
        self.drain()
        for way in sends:
            answer = self.answerTo("POST", f"/0/unknown/{way}", body=b'["x"]')
            self.assertEqual((answer.code, answer.header("Retry-After")), (503, "5"), way)
        paths = [f"/0/{name}/{way}" for name in ("over", "s") for way in sends]
        later = [self.ask("POST", path, body=b'["x"]') for path in paths]
        self.assertFalse(any(answer().ended for answer in later))
        self.answerTo("POST", "/0/s/xhr")
        self.clock.advance(1)
        self.assertEqual([answer().code for answer in later], [404] * 4)
        self.assertEqual(self.site.resource.stats.refused["draining"], 2)


class ConnectionTests(DrainCase):
    """
    What becomes of connections.
    """

    def test_nothing(self):
        """
        Where there is nothing, it ends at once.
        """
        self.site.drain().addCallback(self.ended.append)
        self.assertEqual(self.ended, [None])
        self.site = SockJSMultiFactory(reactor=self.clock)
        self.assertEqual(self.successResultOf(self.site.drain()), None)

    def test_idle(self):
        """
        Connections without a request are closed when the last session has ended, and not before. Where none has come
        yet, or a part of one, it has a second more.
        """
        silent, idle, half, again = self.connect(), self.connect(), self.connect(), self.connect()
        idle.ask("GET", "/info")
        again.ask("GET", "/info")
        for it in (half, again):
            it.send(b"GET /info HT")
        everyone = (silent, idle, half, again)
        self.answerTo("POST", "/0/s/xhr")
        self.drain()
        self.clock.advance(5)
        self.assertEqual([it.transport.disconnecting for it in everyone], [False] * 4)
        self.answerTo("POST", "/0/s/xhr")
        self.assertEqual([it.transport.gone for it in everyone], [False, True, False, False])
        self.clock.advance(0.9)
        self.assertEnded(False)
        self.assertEqual([it.transport.gone for it in everyone], [False, True, False, False])
        self.clock.advance(0.1)
        self.assertEnded()
        self.assertEqual([it.transport.gone for it in everyone], [True] * 4)
        self.assertEqual([it.transport.aborted for it in everyone], [False] * 4)

    def test_onItsWay(self):
        """
        A request that is on its way when the last session ends is answered, by whichever connection it comes, and its
        connection is closed then.
        """
        fresh, quick, half, body = (self.connect() for _ in range(4))
        half.send(b"GET / HTTP/1.1\r\nHost: local")
        body.send(b"POST /0/n/xhr_send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n[")
        self.drain()
        self.assertEnded(False)
        late = self.connect()
        answers = [fresh.ask("GET", "/info"), quick.ask("POST", "/0/n/xhr", body=b""), late.ask("GET", "/info")]
        half.send(b"host\r\n\r\n")
        body.send(b'"x"]')
        for answer in answers:
            self.assertEqual((answer().code, answer().header("Connection")), (503, "close"))
        self.assertTrue(half.transport.value().startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertTrue(body.transport.value().startswith(b"HTTP/1.1 503 "))
        self.assertEnded()
        self.assertEqual([it.transport.gone for it in self.connections], [True] * 5)
        self.assertEqual([it.transport.aborted for it in self.connections], [False] * 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lateAndSlow(self):
        """
        An answer that takes longer than a request may be on its way is waited for, and a connection that is lost before
        any request comes is not.
        """
        slow = Slow()
        self.site.resource.putChild(b"slow", slow)
        silent, asking = self.connect(), self.connect()
        self.drain()
        answer = asking.ask("GET", "/slow")
        silent.lose()
        self.clock.advance(5)
        self.assertEnded(False)
        self.assertFalse(asking.transport.disconnecting)
        slow.request.write(b"done")
        slow.request.finish()
        self.assertEnded()
        self.assertEqual((answer().body, asking.transport.gone), (b"done", True))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_newConnections(self):
        """
        As long as there are sessions, a client that polls gets what is left for it by new connections.
        """
        self.answerTo("POST", "/0/s/xhr")
        self.apps.last.transport.write("one")
        self.drain()
        bodies = []
        for _ in range(2):
            connection = self.connect()
            bodies.append(connection.ask("POST", "/0/s/xhr")().body)
            connection.lose()
        self.assertEqual(bodies, [b'a["one"]\n', CLOSING.encode() + b"\n"])
        self.assertEnded()

    def test_noneLeft(self):
        """
        That there is no connection for a while is not the end, as long as there is a session.
        """
        connection = self.connect()
        connection.ask("POST", "/0/s/xhr")
        self.drain()
        connection.lose()
        self.assertEqual(self.site._connections, set())
        self.assertEnded(False)
        self.answerTo("POST", "/0/s/xhr")
        self.assertEnded()

    def test_afterwards(self):
        """
        A site whose port is still open answers on, and that is no other end.
        """
        self.drain()
        self.assertEnded()
        with capturedLogs() as events:
            connection = self.connect()
            self.assertEqual(connection.ask("GET", "/")().code, 200)
            connection.lose()
        self.assertEqual([event for event in events if "outcome" in event], [])

    def test_unsent(self):
        """
        A connection whose last bytes are not sent yet is waited for, until the time is over.
        """
        for patient in (True, False):
            self.make()
            connection, answer = self.stream()
            connection.transport.block(1)  # what is written now stays, and Twisted has not told us yet
            self.drain()
            self.assertIn(CLOSING.encode() + b"\n", connection.transport.value())
            self.assertFalse(answer().ended)
            self.clock.advance(9.9)
            self.assertEnded(False)
            self.assertFalse(connection.transport.aborted)
            if patient:
                connection.transport.unblock()
            else:
                self.clock.advance(0.1)
            self.assertEnded()
            self.assertEqual(connection.transport.aborted, not patient)

    def test_otherAnswer(self):
        """
        An answer that is no session's is waited for as well, and then its connection is closed although the client
        would keep it.
        """
        slow = Slow()
        self.site.resource.putChild(b"slow", slow)
        connection = self.connect()
        answer = connection.ask("GET", "/slow")
        self.drain()
        self.clock.advance(9)
        self.assertEnded(False)
        slow.request.write(b"done")
        slow.request.finish()
        self.assertEnded()
        self.assertEqual(answer().body, b"done")
        self.assertTrue(connection.transport.gone)
        self.assertFalse(connection.transport.aborted)

    def test_hangingAnswer(self):
        """
        One that does not come is cut when the time is over.
        """
        slow = Slow()
        self.site.resource.putChild(b"slow", slow)
        connection = self.connect()
        connection.ask("GET", "/slow")
        lost = []
        slow.request.notifyFinish().addErrback(lost.append)
        self.drain()
        self.clock.advance(10)
        self.assertEnded()
        self.assertTrue(connection.transport.aborted)
        self.assertEqual(len(lost), 1)

    def test_books(self):
        """
        The site knows its connections as long as there are any, WebSockets included.
        """
        idle, (streaming, _), framed = self.connect(), self.stream(), self.webSocket()
        self.assertEqual(len(self.site._connections), 3)
        for connection in (idle, streaming, framed):
            connection.lose()
        self.assertEqual(self.site._connections, set())

    def test_twice(self):
        """
        Who asks while it is under way waits for the same end, and who asks later for nothing.
        """
        self.answerTo("POST", "/0/s/xhr")
        self.drain()
        self.clock.advance(5)
        other = self.site.drain(1)
        self.clock.advance(4.9)
        self.assertEnded(False)
        self.assertNoResult(other)
        self.clock.advance(0.1)
        self.assertEnded()
        self.assertIsNone(self.successResultOf(other))
        self.assertIsNone(self.successResultOf(self.site.drain()))

    def test_stop(self):
        """
        C{stop} ends it at once, with a close frame for those who read.
        """
        connection, _ = self.stream()
        connection.transport.block(1)
        blocked, _ = self.stream("t")
        blocked.transport.block()
        self.answerTo("POST", "/0/away/xhr")
        self.drain()
        self.assertEnded(False)
        self.site.stop()
        self.assertEqual(self.ended, [None])
        self.assertIn(CLOSING.encode() + b"\n", connection.transport.value())
        self.assertFalse(connection.transport.aborted)
        self.assertEqual([len(app.lost) for app in self.apps.built], [1, 1, 1])
        for it in self.connections:
            it.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.site.stop()
        self.assertEqual(self.ended, [None])

    def test_several(self):
        """
        A site of several services waits for all of them, each for its own time.
        """
        self.site = SockJSMultiFactory(reactor=self.clock)
        for name, timeout in (("a", 3), ("b", 6)):
            self.site.addFactory(self.apps, name, drain_timeout=timeout, disconnect_delay=100)
            self.answerTo("POST", f"/{name}/0/s/xhr")
        self.resources.extend(resource for resource, _ in self.site._services)
        self.drain()
        self.clock.advance(3)
        self.assertEqual([len(app.lost) for app in self.apps.built], [1, 0])
        self.clock.advance(2.9)
        self.assertEnded(False)
        self.clock.advance(0.1)
        self.assertEnded()
        self.assertEqual([len(app.lost) for app in self.apps.built], [1, 1])

    def test_log(self):
        """
        The log tells how many sessions there are, and how it ended.
        """
        for end, outcome in (
            (lambda: self.answerTo("POST", "/0/s/xhr"), "all sessions have ended"),
            (lambda: self.clock.advance(10), "the time is over, and what was left is cut"),
            (lambda: self.site.stop(), "did not wait for sessions to end"),
        ):
            self.make()
            self.answerTo("POST", "/0/s/xhr")
            with capturedLogs() as events:
                self.drain()
                end()
                self.assertEnded()
            own = [event for event in events if event["log_namespace"] == "txsockjs"]
            self.assertEqual((own[0]["log_level"].name, own[0]["sessions"]), ("info", 1))
            self.assertEqual(own[-1]["outcome"], outcome)


class FactoryTests(DrainCase):
    """
    The ports of a site that leaves.
    """

    def setUp(self):
        super().setUp()
        self.life = []
        self.apps.startFactory = lambda: self.life.append("start")
        self.apps.stopFactory = lambda: self.life.append("stop")
        self.site.doStart()

    def test_portClosesMeanwhile(self):
        """
        When the last port is closed during it, sessions go on to leave in an orderly way, and the wrapped factory
        stops when they are gone.
        """
        self.answerTo("POST", "/0/s/xhr")
        self.apps.last.transport.write("one")
        self.drain()
        self.site.doStop()
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b'a["one"]\n')
        self.assertEqual(self.life, ["start"])
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, CLOSING.encode() + b"\n")
        self.assertEqual(len(self.apps.last.lost), 1)
        self.assertEnded()
        self.assertEqual(self.life, ["start", "stop"])

    def test_portClosesLater(self):
        """
        When it is closed after it, the wrapped factory stops then.
        """
        self.drain()
        self.assertEnded()
        self.assertEqual(self.life, ["start"])
        self.site.doStop()
        self.assertEqual(self.life, ["start", "stop"])

    def closer(self):
        """
        @return: something that closes the port, and when it is closed.
        """
        closed = Deferred()

        def close():
            self.life.append("close")
            self.site.doStop()
            return closed

        return close, closed

    def test_close(self):
        """
        A port that it is to close stays open until the last session has ended, and its end is waited for.
        """
        close, closed = self.closer()
        idle = self.connect()
        idle.ask("GET", "/")
        self.answerTo("POST", "/0/s/xhr")
        self.site.drain(close=close).addCallback(self.ended.append)
        self.clock.advance(5)
        self.assertEqual(self.life, ["start"])
        self.answerTo("POST", "/0/s/xhr")
        self.assertEqual(self.life, ["start", "close"])
        self.assertTrue(idle.transport.gone)
        self.assertEnded(False)
        closed.callback(None)
        self.assertEnded()
        self.assertEqual(self.life, ["start", "close", "stop"])

    def test_closeWhileLeaving(self):
        """
        Who asks when the sessions are gone already has the port closed at once; all wait for all.
        """
        one, oneClosed = self.closer()
        other, otherClosed = self.closer()
        self.connect()
        self.site.drain(close=one).addCallback(self.ended.append)
        self.assertEqual(self.life, ["start", "close"])
        self.site.doStart()
        self.site.drain(close=other).addCallback(self.ended.append)
        self.assertEqual(self.life.count("close"), 2)
        otherClosed.callback(None)
        self.clock.advance(1)
        self.assertEqual(self.ended, [])
        oneClosed.callback(None)
        self.assertEqual(self.ended, [None, None])

    def test_closeAtTheEnd(self):
        """
        However it ends, the port is closed, once.
        """
        for end in (lambda: self.clock.advance(10), self.site.stop):
            close, closed = self.closer()
            self.assertEqual(self.answerTo("POST", "/0/s/xhr").code, 200)
            self.site.drain(close=close).addCallback(self.ended.append)
            end()
            self.clock.advance(0)
            self.assertEqual(self.life.count("close"), 1)
            self.assertEnded(False)
            closed.callback(None)
            self.assertEnded()
            self.assertEqual(self.life, ["start", "close", "stop"])
            self.ended.clear()
            self.life.clear()
            self.site.doStart()
        self.site.doStop()

    def test_closeFails(self):
        """
        A port that can't be closed is logged, and does not keep the rest.
        """
        self.site.drain(close=lambda: 1 / 0).addCallback(self.ended.append)
        self.assertEqual(self.ended, [None])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.site.doStop()

    def test_noDrain(self):
        """
        Without it, the last port takes all sessions with it.
        """
        _, answer = self.stream()
        self.site.doStop()
        self.assertEqual(answer().chunks[-1], CLOSING.encode() + b"\n")
        self.assertEqual(self.life, ["start", "stop"])
        self.assertEqual(len(self.apps.last.lost), 1)
        for connection in self.connections:
            connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class NoticeTests(DrainCase):
    """
    The time for balancers.
    """

    def start(self):
        """
        Open a port.
        """
        self.life = []
        self.apps.startFactory = lambda: self.life.append("start")
        self.apps.stopFactory = lambda: self.life.append("stop")
        self.site.doStart()

    def close(self):
        self.life.append("close")
        self.site.doStop()

    def test_notice(self):
        """
        With C{drain_notice} the port stays open for so long at the least, and whoever comes is refused.
        """
        for sessions in (0, 1):
            self.make(drain_notice=3)
            self.start()
            idle = self.connect()
            self.assertEqual(idle.ask("GET", "/info")().code, 200)
            if sessions:
                self.answerTo("POST", "/0/s/xhr")
            self.site.drain(close=self.close).addCallback(self.ended.append)
            self.clock.advance(1)
            if sessions:
                self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, CLOSING.encode() + b"\n")
            self.clock.advance(1.9)
            self.assertEqual(self.life, ["start"])
            self.assertEqual([self.answerTo("GET", "/info").code, idle.ask("GET", "/info")().code], [503, 503])
            self.assertEnded(False)
            self.clock.advance(0.1)
            self.assertEqual(self.life, ["start", "close", "stop"])
            self.assertEnded()
            self.assertTrue(idle.transport.gone)

    def test_noticeIsCut(self):
        """
        It is no longer than the time for the whole, and ends with C{stop}.
        """
        for timeout, end in ((2, lambda: self.clock.advance(2)), (10, self.hurry), (0, lambda: None)):
            self.make(drain_notice=30)
            self.start()
            self.site.drain(timeout, close=self.close).addCallback(self.ended.append)
            self.assertEnded(not timeout)
            end()
            self.assertEnded()
            self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() > 60], [])

    def hurry(self):
        self.site.stop()


@skipIf(h2 is None, "h2 is not there")
class HTTP2Tests(DrainCase):
    """
    HTTP/2, where one connection carries many responses.
    """

    def setUp(self):
        super().setUp()
        self.begin()
        self.client.talk()

    def begin(self):
        """
        Have a connection.
        """
        self.connection = self.connect()
        self.client = HTTP2Client(self.connection, self.clock)

    def test_leave(self):
        """
        Its sessions end as others do, and the connection is closed when its last stream is complete.
        """
        self.client.ask("POST", "/0/s/xhr_streaming")
        self.apps.last.transport.write("one")
        self.drain()
        self.client.talk()
        body = b"".join(event.data for event in self.client.events if isinstance(event, h2.events.DataReceived))
        self.assertTrue(body.endswith(b'a["one"]\n' + CLOSING.encode() + b"\n"), body[-100:])
        self.clock.advance(0.1)
        self.client.talk()
        self.assertTrue(any(isinstance(event, h2.events.StreamEnded) for event in self.client.events))
        self.assertIsInstance(self.client.events[-1], h2.events.ConnectionTerminated)
        self.assertEnded()
        self.assertTrue(self.connection.transport.gone)
        self.assertFalse(self.connection.transport.aborted)

    def test_onItsWay(self):
        """
        A request that is on its way when the last session ends is answered, and then the connection is closed.
        """
        self.connection.lose()
        self.begin()
        self.drain()
        self.assertEnded(False)
        self.client.ask("POST", "/0/s/xhr")
        (response,) = (event for event in self.client.events if isinstance(event, h2.events.ResponseReceived))
        self.assertIn((b":status", b"503"), response.headers)
        self.assertEnded(False)
        self.clock.advance(1)
        self.client.talk()
        self.assertIsInstance(self.client.events[-1], h2.events.ConnectionTerminated)
        self.assertEnded()
        self.assertFalse(self.connection.transport.aborted)

    def test_unsent(self):
        """
        What the connection has no room for is waited for, until the time is over.
        """
        self.client.ask("POST", "/0/s/xhr_streaming")
        self.connection.transport.block()
        self.apps.last.transport.write("one")
        self.drain()
        self.client.talk()
        self.clock.advance(9.9)
        self.assertEnded(False)
        self.clock.advance(0.1)
        self.assertEnded()
        self.assertTrue(self.connection.transport.aborted)


class SocketTests(TestCase):
    """
    The same over real sockets.
    """

    timeout = 60

    async def test_everything(self):
        """
        A stream, a WebSocket and a client between polls get their messages and the close frame, this one by new
        connections; then the port is closed, and nothing is left of it. It is the same with a port that was closed
        before, for those who have a connection.
        """
        for early in (False, True):
            await self.leave(early)

    async def leave(self, early):
        """
        Let a site leave.

        @param early: whether its port is closed at the beginning.
        """
        apps = Apps()
        site = SockJSFactory(apps, drain_timeout=30)
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site)
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.addCleanup(client.close)
        poller = await client.connect()
        self.assertEqual(await (await poller.request("POST", "/0/p/xhr")).body(), b"o\n")
        stream = await client.request("POST", "/0/s/xhr_streaming")
        self.assertEqual([len(await stream.chunk()), await stream.chunk()], [2049, b"o\n"])
        webSocket = await client.websocket("/0/w/websocket")
        self.assertEqual(await webSocket.message(), "o")
        for app in apps.built:
            app.transport.write("one")
        if early:
            closed, drained = port.stopListening(), site.drain()
            await closed
        else:
            drained = site.drain(close=port.stopListening)
        self.assertEqual(await stream.chunks(), [b'a["one"]\n', CLOSING.encode() + b"\n"])
        self.assertEqual([await webSocket.message(), await webSocket.message()], ['a["one"]', CLOSING])
        self.assertEqual((await webSocket.ending()).opcode, CLOSE)
        self.assertTrue(webSocket.cleanly)
        if not early:
            poller = await client.connect()
        self.assertEqual(await (await poller.request("POST", "/0/p/xhr")).body(), b'a["one"]\n')
        self.assertFalse(drained.called)
        if not early:
            poller = await client.connect()
        self.assertEqual(await (await poller.request("POST", "/0/p/xhr")).body(), CLOSING.encode() + b"\n")
        await drained
        await poller.gone()
        self.assertEqual((site._connections, site.numPorts, [len(app.lost) for app in apps.built]), (set(), 0, [1] * 3))

    async def test_silentTLS(self):
        """
        Over TLS, nobody waits for clients that do not look at connections which they have in stock, used or unused, to
        close them too, as browsers do not.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        makeCertificate(directory)
        site = SockJSFactory(Apps(), drain_timeout=50)
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={directory / 'k.pem'}:certKey={directory / 'c.pem'}"
        port = await serverFromString(reactor, endpoint).listen(site)
        context = ssl.create_default_context(cafile=str(directory / "c.pem"))

        def connect(request):
            raw = socket.create_connection(("127.0.0.1", port.getHost().port), 30)
            client = context.wrap_socket(raw, server_hostname="localhost")
            client.sendall(request)
            return client, client.recv(4096) if request else b""

        clients = []
        for request in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            client, answer = await deferToThread(connect, request)
            self.addCleanup(client.close)
            self.assertEqual(answer[:15], request and b"HTTP/1.1 200 OK")
            clients.append(client)
        self.assertEqual(len(site._connections), 2)
        closed, drained = port.stopListening(), site.drain()
        await closed
        await drained.addTimeout(30, reactor)
        for client in clients:
            self.assertEqual(await deferToThread(client.recv, 4096), b"")
