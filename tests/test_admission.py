# -*- test-case-name: tests.test_admission -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Who gets a session: the options C{authorize}, C{authorize_timeout}, C{max_sessions_per_host} and C{bind_sessions}, and
what happens while a service drains.
"""

from __future__ import annotations

import json

from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import TestCase

from tests.support import UPGRADE, Apps, SiteCase
from tests.wire import HTTPClient, encodeFrame
from txsockjs.factory import SockJSFactory
from txsockjs.stats import Cause

RECEIVING = (
    ("POST", "/0/{}/xhr"),
    ("POST", "/0/{}/xhr_streaming"),
    ("GET", "/0/{}/eventsource"),
    ("GET", "/0/{}/htmlfile?c=f"),
    ("GET", "/0/{}/jsonp?c=f"),
)

WEBSOCKETS = ("/0/s/websocket", "/websocket")

FIRST = IPv4Address("TCP", "192.0.2.1", 1111)
FIRST_AGAIN = IPv4Address("TCP", "192.0.2.1", 2222)
FIRST_MAPPED = IPv6Address("TCP", "::ffff:192.0.2.1", 3333)
SECOND = IPv4Address("TCP", "192.0.2.2", 1111)


class AdmissionCase(SiteCase):
    """
    What these tests have in common.
    """

    def everyAnswer(self):
        """
        @return: the answers to requests that would open sessions, one for each transport.
        """
        answers = [self.ask(method, path.format(number))() for number, (method, path) in enumerate(RECEIVING)]
        return answers + [self.connect().upgrade(path)() for path in WEBSOCKETS]

    def assertRefused(self, code, body, cause):
        """
        Assert that a session is refused on every transport, that the application hears of none, and that all were
        counted.
        """
        answers = self.everyAnswer()
        self.assertEqual([(answer.code, answer.body) for answer in answers], [(code, body)] * len(answers))
        self.assertEqual({answer.header("Content-Type") for answer in answers}, {"text/plain; charset=UTF-8"})
        self.assertEqual(self.resource.stats.refused, {cause: len(answers)})
        self.assertEqual(self.apps.built, [])
        return answers


class AuthorizeTests(AdmissionCase):
    """
    C{authorize}.
    """

    def serveWith(self, authorize, **settings):
        """
        Serve with a callable, and write down what it is asked.
        """
        self.asked = []

        def ask(request):
            self.asked.append(request)
            return authorize(request)

        self.serve(authorize=ask, **settings)

    def serveLater(self, **settings):
        """
        Serve with a callable that returns a L{Deferred} each time.
        """
        self.verdicts = []
        self.cancelled = []

        def authorize(request):
            verdict = Deferred(self.cancelled.append)
            self.verdicts.append(verdict)
            return verdict

        self.serveWith(authorize, **settings)

    def test_allowed(self):
        """
        C{True}, C{None}, a Deferred and a coroutine of these let every transport in, and each session is asked for
        once.
        """

        async def allow(request):
            return None

        for authorize in (lambda request: True, lambda request: None, allow):
            self.serveWith(authorize)
            answers = self.everyAnswer()
            self.assertEqual([answer.code for answer in answers], [200] * 5 + [101] * 2)
            self.assertEqual(len(self.apps.built), 7)
            self.assertEqual(len(self.asked), 7)
            self.assertEqual(self.post("/0/0/xhr_send", "x").code, 204)
            self.ask("POST", "/0/0/xhr")
            self.assertEqual(len(self.asked), 7)

    def test_refused(self):
        """
        C{False} is 403 on every transport.
        """
        self.serveWith(lambda request: False)
        self.assertRefused(403, b"You may not use this service\n", "not authorized")

    def test_request(self):
        """
        The callable sees the request, cookies and query included.
        """
        self.serveWith(lambda request: request.getCookie(b"token") == b"t" and request.args[b"c"] == [b"f"])
        self.assertEqual(self.ask("GET", "/0/s/jsonp?c=f", {"Cookie": "token=t"})().code, 200)
        self.assertEqual(self.answerTo("GET", "/0/t/jsonp?c=f").code, 403)

    def test_failure(self):
        """
        A callable that fails, or returns something else, is 500 on every transport; the failure is logged.
        """

        def fail(request):
            raise ZeroDivisionError

        async def failLater(request):
            return 1 / 0

        for authorize, kind in (
            (fail, ZeroDivisionError),
            (failLater, ZeroDivisionError),
            (lambda request: 1, TypeError),
        ):
            self.serveWith(authorize)
            self.assertRefused(500, b"This can't be decided\n", "failure of authorize")
            self.assertEqual(len(self.flushLoggedErrors(kind)), 7)

    def test_otherRequests(self):
        """
        What opens no session is not asked about.
        """
        self.serveWith(lambda request: False)
        self.answerTo("GET", "/info")
        self.answerTo("GET", "/iframe.html")
        self.answerTo("POST", "/0/s/xhr_send", body=b'["x"]')
        self.answerTo("OPTIONS", "/0/s/xhr")
        self.answerTo("GET", "/0/s/htmlfile?c=%3C")
        self.answerTo("GET", "/websocket")
        self.assertEqual(self.asked, [])

    def test_later(self):
        """
        A request waits for its Deferred, and is then answered as it would have been at once.
        """
        self.serveLater()
        answers = [self.ask(method, path.format(number)) for number, (method, path) in enumerate(RECEIVING)]
        answers += [self.connect().upgrade(path) for path in WEBSOCKETS]

        self.assertEqual([answer().ended for answer in answers], [False] * 7)
        for verdict in self.verdicts:
            verdict.callback(True)
        self.assertEqual([answer().code for answer in answers], [200] * 5 + [101] * 2)
        self.assertEqual(answers[0]().body, b"o\n")
        self.assertEqual(len(self.apps.built), 7)

    def test_laterRefused(self):
        """
        Refusals and failures that come later are answered as those at once.
        """
        self.serveLater()
        answers = [self.ask("POST", "/0/a/xhr"), self.ask("POST", "/0/b/xhr"), self.connect().upgrade("/websocket")]
        self.verdicts[0].callback(False)
        self.verdicts[1].errback(ZeroDivisionError())
        self.verdicts[2].callback(False)
        self.assertEqual([answer().code for answer in answers], [403, 500, 403])
        self.assertTrue(all(answer().ended for answer in answers))
        self.assertEqual(answers[2]().body, b"You may not use this service\n")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.apps.built, [])

    def test_clientGone(self):
        """
        The Deferred of a client that does not wait is cancelled, and nothing is opened or logged.
        """
        self.serveLater()
        for connect in (lambda c: c.ask("POST", "/0/s/xhr"), lambda c: c.upgrade("/websocket")):
            connection = self.connect()
            connect(connection)
            connection.lose()
        self.assertEqual(self.cancelled, self.verdicts)
        self.assertEqual(len(self.cancelled), 2)
        self.assertEqual(self.apps.built, [])

    def test_clientGoneUncancelled(self):
        """
        A Deferred that fires although it was cancelled opens nothing for a client that has gone.
        """
        verdict = Deferred(lambda cancelled: cancelled.callback(True))
        self.serveWith(lambda request: verdict)
        connection = self.connect()
        connection.ask("POST", "/0/s/xhr")
        connection.lose()
        self.assertEqual(self.apps.built, [])

    def test_timeout(self):
        """
        A Deferred that does not fire within C{authorize_timeout} is cancelled, and the answer is 503.
        """
        self.serveLater(authorize_timeout=7)
        answers = [self.ask("POST", "/0/s/xhr"), self.connect().upgrade("/websocket")]
        self.clock.advance(6.9)
        self.assertEqual([answer().ended for answer in answers], [False, False])
        self.clock.advance(0.1)
        for answer in answers:
            self.assertEqual((answer().code, answer().body), (503, b"It took too long to decide this\n"))
            self.assertTrue(answer().ended)
        self.assertEqual(self.cancelled, self.verdicts)
        self.assertEqual(self.resource.stats.refused, {"timeout of authorize": 2})

    def test_noRoomAnyMore(self):
        """
        Of requests that were allowed while the last place was taken, the later ones are refused.
        """
        self.serveLater(max_sessions=1)
        answers = [self.ask("POST", "/0/a/xhr"), self.ask("POST", "/0/b/xhr")]
        for verdict in self.verdicts:
            verdict.callback(None)
        self.assertEqual([answer().code for answer in answers], [200, 503])

    def test_twoRequestsForOne(self):
        """
        Two requests for one new session are both asked about; the second finds the session that the first has opened.
        """
        self.serveLater()
        stream, poll = self.ask("POST", "/0/a/xhr_streaming"), self.ask("POST", "/0/a/xhr")
        for verdict in self.verdicts:
            verdict.callback(None)
        self.assertIn(b"\no\n", stream().body)
        self.assertEqual(poll().body, b'c[2010,"Another connection still open"]\n')
        self.assertEqual(len(self.apps.built), 1)

    def test_earlyFrames(self):
        """
        What a client sends before its WebSocket was accepted is not lost.
        """
        self.serveLater()
        connection = self.connect()
        handshake = "\r\n".join(["GET /websocket HTTP/1.1", "Host: h", *map(": ".join, UPGRADE.items()), "", ""])
        connection.send(handshake.encode("ascii") + encodeFrame(1, b"first"))
        connection.sendText("second")
        self.verdicts[0].callback(True)
        connection.sendText("third")
        self.assertEqual(self.apps.last.received, [b"first", b"second", b"third"])

    def test_muchEarly(self):
        """
        A connection whose client sent so much early that it is not read any more is read again.
        """
        self.serveLater()
        connection = self.connect()
        connection.upgrade("/websocket")
        for _ in range(3):
            connection.sendText("x" * 100000)
        self.assertEqual(connection.transport.producerState, "paused")
        self.verdicts[0].callback(True)
        self.assertEqual(connection.transport.producerState, "producing")
        self.clock.advance(0)
        self.assertEqual(self.apps.last.received, [b"x" * 100000] * 3)


class PerHostTests(AdmissionCase):
    """
    C{max_sessions_per_host}.
    """

    def test_eachTransport(self):
        """
        One session too many from an address is 429 on every transport, whatever its port; others are not concerned.
        """
        self.serve(max_sessions_per_host=1)
        self.connect(FIRST).ask("POST", "/0/first/xhr_streaming")
        for number, (method, path) in enumerate(RECEIVING):
            for peer in (FIRST, FIRST_AGAIN, FIRST_MAPPED):
                answer = self.connect(peer).ask(method, path.format(number))()
                self.assertEqual(answer.code, 429)
                self.assertEqual(answer.body, b"There are too many sessions from your address\n")
                self.assertEqual(answer.header("Retry-After"), "5")
        for path in WEBSOCKETS:
            self.assertEqual(self.connect(FIRST_AGAIN).upgrade(path)().code, 429)
        self.assertEqual(self.resource.stats.refused, {"too many sessions of one host": 17})
        self.assertEqual(self.connect(SECOND).upgrade("/websocket")().code, 101)
        self.assertEqual(len(self.apps.built), 2)

    def test_room(self):
        """
        A session that is over makes room.
        """
        self.serve(max_sessions_per_host=1)
        connection = self.connect(FIRST)
        connection.upgrade("/websocket")
        connection.lose()
        self.assertEqual(self.connect(FIRST).upgrade("/websocket")().code, 101)

    def test_unix(self):
        """
        What comes by a Unix socket has no address, and is not counted.
        """
        self.serve(max_sessions_per_host=1)
        for number in range(3):
            self.assertEqual(self.connect(UNIXAddress("/x")).ask("POST", f"/0/{number}/xhr")().code, 200)

    def test_proxies(self):
        """
        Behind a trusted proxy the clients are counted, not the proxy.
        """
        self.serve(max_sessions_per_host=1, trusted_proxies=["192.0.2.1"])
        codes = [
            self.connect(FIRST).ask("POST", f"/0/{number}/xhr", {"X-Forwarded-For": client})().code
            for number, client in enumerate(["198.51.100.1", "198.51.100.2", "198.51.100.1"])
        ]
        self.assertEqual(codes, [200, 200, 429])


class BindTests(AdmissionCase):
    """
    C{bind_sessions}.
    """

    def test_bound(self):
        """
        Requests from another address than the one that opened a session get 404, and the session goes on.
        """
        self.serve(bind_sessions=True)
        self.connect(FIRST).ask("POST", "/0/s/xhr")
        for method, path in RECEIVING:
            answer = self.connect(SECOND).ask(method, path.format("s"))()
            self.assertEqual((answer.code, answer.body), (404, b"There is no such session\n"))
        for path in ("xhr_send", "jsonp_send"):
            answer = self.connect(SECOND).ask("POST", f"/0/s/{path}", body=b'["x"]')()
            self.assertEqual((answer.code, answer.body), (404, b"There is no such session\n"))
        self.assertEqual(self.resource.stats.refused, {"foreign address": 7})
        self.assertEqual(len(self.apps.built), 1)
        for peer in (FIRST_AGAIN, FIRST_MAPPED):
            self.assertEqual(self.connect(peer).ask("POST", "/0/s/xhr_send", body=b'["x"]')().code, 204)
        self.assertEqual(self.apps.last.received, [b"x", b"x"])

    def test_over(self):
        """
        That a session is over is told to its own client only.
        """
        self.serve(bind_sessions=True)
        self.connect(FIRST).ask("POST", "/0/s/xhr")
        self.apps.last.transport.loseConnection()
        self.clock.advance(0)
        self.assertEqual(self.connect(SECOND).ask("POST", "/0/s/xhr")().code, 404)
        self.assertEqual(self.connect(FIRST).ask("POST", "/0/s/xhr")().body, b'c[3000,"Go away!"]\n')

    def test_unbound(self):
        """
        By default a session can be used from any address.
        """
        self.serve()
        self.connect(FIRST).ask("POST", "/0/s/xhr")
        self.assertEqual(self.connect(SECOND).ask("POST", "/0/s/xhr_send", body=b'["x"]')().code, 204)

    def test_unix(self):
        """
        What comes by a Unix socket has no address to tell it apart.
        """
        self.serve(bind_sessions=True)
        self.connect(UNIXAddress("/x")).ask("POST", "/0/s/xhr")
        self.assertEqual(self.connect(UNIXAddress("/y")).ask("POST", "/0/s/xhr_send", body=b'["x"]')().code, 204)


class DrainTests(AdmissionCase):
    """
    A service that stops.
    """

    def test_refused(self):
        """
        New sessions are 503 on every transport.
        """
        self.serve()
        self.resource.drain()
        answers = self.assertRefused(503, b"This service is about to stop\n", "draining")
        self.assertEqual({answer.header("Retry-After") for answer in answers}, {"5"})
        self.assertTrue(self.resource.isDraining)

    def test_goesOn(self):
        """
        A client that is between two polls gets its messages and the close frame, and can still send until then.
        """
        self.serve()
        self.answerTo("POST", "/0/s/xhr")
        self.apps.last.transport.write("last")
        done = []
        self.resource.drain().addCallback(done.append)
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b'a["last"]\n')
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b'c[3000,"Go away!"]\n')
        self.clock.advance(0)
        self.assertEqual(done, [None])
        self.assertEqual(self.resource.stats.closed, {Cause.STOPPED: 1})

    def test_timeout(self):
        """
        The timeout is the option's, or the one that is given.
        """
        for given, seconds in ((None, 3), (2, 2)):
            self.serve(drain_timeout=3, disconnect_delay=100)
            self.answerTo("POST", "/0/s/xhr")
            done = []
            self.resource.drain(given).addCallback(done.append)
            self.clock.advance(seconds - 0.1)
            self.assertEqual(done, [])
            self.clock.advance(0.1)
            self.assertEqual(done, [None])


class MessageTests(AdmissionCase):
    """
    C{max_message_size} for messages that come by HTTP, and what may wait for the application.
    """

    def test_size(self):
        """
        A message that is too large is 413, and its session is closed with 1009.
        """
        for path in ("xhr_send", "jsonp_send"):
            self.serve(max_message_size=10)
            stream = self.ask("POST", "/0/s/xhr_streaming")
            self.assertIn(self.answerTo("POST", f"/0/s/{path}", body=json.dumps(["\n" * 10]).encode()).code, (200, 204))
            answer = self.answerTo("POST", f"/0/s/{path}", body=json.dumps(["ok", "x" * 11]).encode())
            self.assertEqual((answer.code, answer.body), (413, b"The message is larger than 10 bytes\n"))
            self.assertEqual(stream().chunks[-1], b'c[1009,"The message is too large"]\n')
            self.clock.advance(0)
            self.assertEqual(self.apps.last.received, [b"\n" * 10])
            self.assertEqual(self.apps.last.lost[0].value.code, 1009)

    def test_backlog(self):
        """
        While the application has paused its intake, requests that bring more than may wait are 503; what was accepted
        is delivered in order, and each request is answered when its own messages were taken.
        """
        self.serve(max_queued_bytes=100)
        self.ask("POST", "/0/s/xhr_streaming")
        self.apps.last.transport.pauseProducing()
        first = self.ask("POST", "/0/s/xhr_send", body=json.dumps(["1" * 60]).encode())
        second = self.ask("POST", "/0/s/xhr_send", body=json.dumps(["2" * 20]).encode())
        third = self.answerTo("POST", "/0/s/xhr_send", body=json.dumps(["3" * 20]).encode())
        self.assertEqual((third.code, third.body), (503, b"Too much is waiting for the application\n"))
        self.assertEqual((first().ended, second().ended), (False, False))
        self.assertEqual(self.resource.stats.refused, {"backlog": 1})
        self.apps.last.transport.resumeProducing()
        self.clock.advance(0)
        self.assertEqual((first().code, second().code), (204, 204))
        self.assertEqual(self.apps.last.received, [b"1" * 60, b"2" * 20])

    def test_oneLargeBatch(self):
        """
        One request may bring more than may wait, if nothing does.
        """
        self.serve(max_queued_bytes=100)
        self.ask("POST", "/0/s/xhr_streaming")
        self.apps.last.transport.pauseProducing()
        answer = self.ask("POST", "/0/s/xhr_send", body=json.dumps(["1" * 200]).encode())
        self.assertFalse(answer().ended)
        self.apps.last.transport.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(answer().code, 204)


class SocketTests(TestCase):
    """
    Over a real socket.
    """

    async def serve(self, **settings):
        self.site = SockJSFactory(Apps(), **settings)
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(self.site)
        self.addCleanup(port.stopListening)
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.addCleanup(client.close)
        return client

    async def test_limits(self):
        """
        The limits for a host and for a message are kept, and what the application decides later.
        """
        verdicts = []

        async def authorize(request):
            verdicts.append(True)
            return request.getHeader("x-token") == "right"

        client = await self.serve(max_sessions_per_host=1, max_message_size=1000, authorize=authorize)
        self.assertEqual((await client.fetch("POST", "/0/s/xhr"))[0].status, 403)
        response, body = await client.fetch("POST", "/0/s/xhr", headers=[("X-Token", "right")])
        self.assertEqual((response.status, body), (200, b"o\n"))
        self.assertEqual((await client.fetch("POST", "/0/t/xhr", headers=[("X-Token", "right")]))[0].status, 429)
        self.assertEqual(len(verdicts), 2)
        response, body = await client.fetch("POST", "/0/s/xhr_send", body=json.dumps(["x" * 1001]).encode())
        self.assertEqual((response.status, body), (413, b"The message is larger than 1000 bytes\n"))
        _, body = await client.fetch("POST", "/0/s/xhr")
        self.assertEqual(body, b'c[1009,"The message is too large"]\n')
