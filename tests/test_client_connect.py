# -*- test-case-name: tests.test_client_connect -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
How the client connects, over an agent whose requests are answered here, under a clock that stands still.
"""

from __future__ import annotations

import gc
import re

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionLost, ConnectionRefusedError, NoProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from tests.agents import FakeAgent, FakeResponse
from tests.clients import Bot
from tests.support import Apps
from txsockjs.client import CannotConnect, SessionRefused, SockJSClientEndpoint, TransportsFailed

URL = "http://example.com:8081/echo"

INFO = b'{"websocket":true,"origins":["*:*"],"cookie_needed":false,"entropy":1}'


class CountingApps(Apps):
    """
    Counts how often it is started and stopped.
    """

    started = stopped = 0

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.stopped += 1


class CutTransport(StringTransport):
    """
    Tells whether it was cut, rather than closed.
    """

    cut = False

    def abortConnection(self) -> None:
        self.cut = True
        super().abortConnection()


class Dialled:
    """
    One attempt to open a socket.
    """

    def __init__(self, uri: bytes, factory) -> None:
        self.uri = uri.decode("ascii")
        self.factory = factory
        self.cancelled = False
        self.deferred: Deferred = Deferred(self._cancel)

    def _cancel(self, deferred) -> None:
        self.cancelled = True

    def open(self) -> CutTransport:
        """
        It is open.
        """
        self.protocol = self.factory.buildProtocol(None)
        transport = CutTransport()
        self.protocol.makeConnection(transport)
        self.deferred.callback(self.protocol)
        return transport


@implementer(IAgentEndpointFactory)
class Dialler:
    """
    Opens no socket.

    @ivar dialled: those that it was to open.
    """

    def __init__(self) -> None:
        self.dialled: list[Dialled] = []

    def endpointForURI(self, uri):
        return Line(self, uri.toBytes())


class Line:
    """
    An endpoint.
    """

    def __init__(self, dialler: Dialler, uri: bytes) -> None:
        self.dialler = dialler
        self.uri = uri

    def connect(self, factory) -> Deferred:
        self.dialler.dialled.append(Dialled(self.uri, factory))
        return self.dialler.dialled[-1].deferred


class ConnectCase(SynchronousTestCase):
    """
    One connection.
    """

    def connect(self, url: str = URL, **settings) -> None:
        """
        Begin.
        """
        self.clock = Clock()
        self.agent = FakeAgent()
        self.dialler = Dialler()
        self.apps = CountingApps(Bot)
        endpoint = SockJSClientEndpoint(
            self.clock, url, agent=self.agent, endpointFactory=self.dialler, **{"open_timeout": 0, **settings}
        )
        self.connecting = endpoint.connect(self.apps)

    def informed(self, info: bytes = INFO, trip: float = 0.0, **settings) -> None:
        """
        Begin, and get the answer to C{/info}.
        """
        self.connect(**settings)
        self.clock.advance(trip)
        self.agent.to("/info").whole(200, info)

    def fails(self, kind: type[BaseException] = CannotConnect):
        """
        @return: the error; nothing must be left.
        """
        error = self.failureResultOf(self.connecting, kind).value
        self.nothingLeft()
        return error

    def nothingLeft(self) -> None:
        """
        No request, no socket and no delayed call is left, and the factory was stopped.
        """
        self.clock.advance(0)
        self.assertEqual(self.agent.open, [])
        self.assertEqual([dialled.uri for dialled in self.dialler.dialled if not dialled.deferred.called], [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.apps.started, self.apps.stopped), (1, 1))


class InfoTests(ConnectCase):
    """
    C{/info}.
    """

    def test_first(self) -> None:
        """
        It is asked for first, and nothing else is.
        """
        self.connect()
        self.assertEqual([str(asked) for asked in self.agent.asked], [f"GET {URL}/info"])
        self.assertEqual(self.dialler.dialled, [])

    def test_unanswered(self) -> None:
        """
        Without an answer in time there is no connection, and none without a whole answer.
        """
        for begun in (False, True):
            self.connect(info_timeout=3)
            asked = self.agent.to("/info")
            if begun:
                response = asked.answer(200, b"{")
            self.clock.advance(2.9)
            self.assertNoResult(self.connecting)
            self.clock.advance(0.1)
            self.assertEqual(str(self.fails()), f"{URL}/info was not answered within 3 seconds")
            self.assertTrue(response.transport.lost if begun else asked.cancelled)

    def test_fails(self) -> None:
        """
        A request that fails is told with its reason.
        """
        self.connect()
        self.agent.to("/info").fail(ConnectionRefusedError())
        error = self.fails()
        self.assertIn("refused", str(error))
        self.assertEqual(error.code, 1002)
        self.connect()
        self.agent.to("/info").fail(ResponseNeverReceived([Failure(ConnectionLost())]))
        self.assertEqual(str(self.fails()), f"{URL}/info was not answered: the connection was closed too early")
        self.connect()
        self.agent.to("/info").answer(200, b"{").end(ConnectionLost())
        self.assertEqual(str(self.fails()), f"{URL}/info was not answered: the connection was closed too early")

    def test_status(self) -> None:
        """
        Any status but 200 is told, and where a redirection leads.
        """
        self.connect()
        response = self.agent.to("/info").answer(404, b"not here")
        self.assertIn("answered with 404; is there", str(self.fails()))
        self.assertTrue(response.transport.lost)
        self.connect()
        self.agent.to("/info").whole(301, headers={"Location": ["https://example.com/echo/info"]})
        self.assertIn("answered with 301 to https://example.com/echo/info;", str(self.fails()))

    def test_statusBuffered(self) -> None:
        """
        That holds as well with an agent that has the whole body already, however large; nothing of it is looked at.
        """
        for end in (None, ConnectionLost()):
            self.connect()
            response = FakeResponse(404)
            response.send(b"x" * 70_000)
            response.end(end)
            self.agent.to("/info").respond(response)
            self.assertIn("answered with 404; is there", str(self.fails()))
            gc.collect()
            self.assertEqual(self.flushLoggedErrors(), [])

    def test_noInfoBuffered(self) -> None:
        """
        An answer of such an agent that is too large is refused too.
        """
        self.connect()
        response = FakeResponse()
        response.send(b"x" * 70_000, b"x")
        response.end()
        self.agent.to("/info").respond(response)
        self.assertIn("more than 65536 bytes", str(self.fails()))
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_noInfo(self) -> None:
        """
        What is no object of JSON is no answer of a service, and is shown; so is what does not end.
        """
        for body in (b"<html>welcome", b"[]", b"", b"[" * 60_000, b"7"):
            self.connect()
            self.agent.to("/info").whole(200, body)
            error = str(self.fails())
            self.assertIn("not answered as a SockJS service does", error)
            self.assertLess(len(error), 250)
        self.connect()
        response = self.agent.to("/info").answer(200, b"x" * 65536)
        self.assertNoResult(self.connecting)
        response.send(b"x")
        self.assertIn("more than 65536 bytes", str(self.fails()))
        self.assertTrue(response.transport.lost)

    def test_choice(self) -> None:
        """
        What the service has not is not tried: C{websocket} and C{transports} tell.
        """
        self.informed(b'{"websocket":false}')
        self.assertEqual(self.dialler.dialled, [])
        self.agent.to("/xhr_streaming")
        self.informed(b'{"websocket":true,"transports":["eventsource","htmlfile"]}')
        self.agent.to("/eventsource")
        self.informed(b'{"websocket":true,"transports":"rubbish"}')
        self.assertEqual(len(self.dialler.dialled), 1)
        self.informed(b'{"websocket":false}', transports=["websocket", "websocket-raw"])
        error = self.fails(TransportsFailed)
        self.assertEqual((error.code, error.failures), (2000, ()))
        self.assertIn("the service has none of websocket, websocket-raw", str(error))

    def test_baseURL(self) -> None:
        """
        C{base_url} is where the transports connect; one that can't be used is told.
        """
        self.informed(b'{"base_url":"https://other.example/x/"}', transports=["xhr-polling"])
        self.assertRegex(self.agent.open[0].url, r"^https://other\.example/x/\d{3}/\w+/xhr$")
        self.informed(b'{"base_url":"/x?a=b"}')
        self.assertRegex(self.dialler.dialled[0].uri, r"^http://example\.com:8081/x/\d{3}/\w+/websocket\?a=b$")
        for base in (b'"ftp://x"', b"7", b'["x"]'):
            self.informed(b'{"base_url":%s}' % base)
            self.assertIn("base_url that can't be used", str(self.fails()))
        self.informed(b'{"base_url":"http://example.com/"}', url="https://example.com/")
        self.assertIn("from https to http", str(self.fails()))

    def test_notForRaw(self) -> None:
        """
        For raw WebSocket alone it is not asked for, since there may be no SockJS; among others it is.
        """
        self.connect(transports=["websocket-raw"])
        self.assertEqual(self.agent.asked, [])
        self.assertEqual(self.dialler.dialled[0].uri, f"{URL}/websocket")
        self.clock.advance(4.9)
        self.assertNoResult(self.connecting)
        self.clock.advance(0.1)
        self.fails(TransportsFailed)
        self.informed(transports=["websocket-raw", "xhr-polling"])
        self.assertEqual(len(self.dialler.dialled), 1)


class FallbackTests(ConnectCase):
    """
    One transport after another.
    """

    def test_order(self) -> None:
        """
        The next one is tried when one fails, with the same server's name and another session's.
        """
        self.informed()
        self.dialler.dialled[0].deferred.errback(ConnectionRefusedError())
        self.agent.to("/xhr_streaming").answer(500)
        self.agent.to("/eventsource").fail(ConnectionRefusedError())
        self.agent.to("/xhr").whole(200, b"o\n")
        bot = self.successResultOf(self.connecting)
        self.assertEqual(bot.transport.transportName, "xhr-polling")
        urls = [self.dialler.dialled[0].uri, *(asked.url for asked in self.agent.asked[1:])]
        parts = [re.fullmatch(rf"{URL}/(\d\d\d)/(\w+)/(\w+)", url).groups() for url in urls]
        self.assertEqual([part[2] for part in parts], ["websocket", "xhr_streaming", "eventsource", "xhr"])
        self.assertEqual(len({part[0] for part in parts}), 1)
        self.assertEqual(len({part[1] for part in parts}), 4)
        bot.transport.abortConnection()
        self.clock.advance(0)
        self.nothingLeft()

    def test_all(self) -> None:
        """
        When all have failed, the error has the reason of each.
        """
        self.informed()
        self.dialler.dialled[0].deferred.errback(ConnectionRefusedError())
        self.agent.to("/xhr_streaming").answer(500)
        self.agent.to("/eventsource").whole(200, b"<html>\r\n\r\n")
        self.clock.advance(0)
        self.clock.advance(10)
        self.agent.to("/xhr").whole(200, b"<html>\n")
        error = self.fails(TransportsFailed)
        self.assertEqual(error.code, 2000)
        self.assertEqual(
            [name for name, _ in error.failures], ["websocket", "xhr-streaming", "eventsource", "xhr-polling"]
        )
        self.assertRegex(
            str(error),
            r"^All transports failed: websocket: .*refused.*; xhr-streaming: .*answered with 500.*; "
            r"eventsource: did not open within .*; xhr-polling: .*no frame of SockJS: '<html>'$",
        )

    def test_timeouts(self) -> None:
        """
        Each has the time that sockjs-client gives it: twice 300 ms and the round trip, or eight round trips if they
        take more than 100 ms; and at least the option's.
        """
        for trip, least, expected in (
            (0.0, 0, 0.6),
            (0.05, 0, 0.7),
            (0.1, 0, 0.8),
            (0.2, 0, 1.6),
            (1.0, 0, 8.0),
            (0.05, 2, 2.0),
            (1.0, 2, 8.0),
        ):
            self.informed(trip=trip, open_timeout=least, transports=["xhr-streaming", "xhr-polling"])
            for transport in ("/xhr_streaming", "/xhr"):
                asked = self.agent.to(transport)
                self.clock.advance(expected - 0.01)
                self.assertFalse(asked.cancelled)
                self.clock.advance(0.02)
                self.assertTrue(asked.cancelled)
            self.fails(TransportsFailed)

    def test_late(self) -> None:
        """
        A socket that is opened too late is closed, and its transport does not come back.
        """
        self.informed()
        dialled = self.dialler.dialled[0]
        self.clock.advance(1)
        self.assertTrue(dialled.cancelled)
        self.agent.to("/xhr_streaming").answer(200, b"o\n")
        bot = self.successResultOf(self.connecting)
        self.assertEqual(bot.transport.transportName, "xhr-streaming")

    def test_refused(self) -> None:
        """
        A close frame in place of the opening is the server's answer: no other transport is tried.
        """
        self.informed(transports=["xhr-polling", "eventsource"])
        self.agent.to("/xhr").whole(200, b'c[4003,"not you"]\n')
        error = self.fails(SessionRefused)
        self.assertEqual((error.code, error.reason), (4003, "not you"))
        self.assertEqual(str(error), "The server refused the session: 4003 not you")

    def test_noProtocol(self) -> None:
        """
        A factory that gives no protocol is the end: no other transport is tried.
        """
        self.informed(transports=["xhr-polling", "eventsource"])
        self.apps.refuse = True
        self.agent.to("/xhr").answer(200, b"o\n")
        self.clock.advance(0)
        self.fails(NoProtocol)


class LifeTests(ConnectCase):
    """
    Beginning and end.
    """

    def test_factory(self) -> None:
        """
        The factory is started with the connection, and stopped after its end.
        """
        self.informed(transports=["xhr-polling"])
        self.assertEqual((self.apps.started, self.apps.stopped), (1, 0))
        self.agent.to("/xhr").whole(200, b"o\n")
        bot = self.successResultOf(self.connecting)
        self.assertEqual((self.apps.started, self.apps.stopped), (1, 0))
        bot.transport.loseConnection()
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(bot.lost.value.code, 1000)
        self.nothingLeft()

    def test_addresses(self) -> None:
        """
        With an agent of the user's the addresses are what is known: the URL's.
        """
        self.informed(transports=["xhr-polling"])
        self.agent.to("/xhr").whole(200, b"o\n")
        transport = self.successResultOf(self.connecting).transport
        self.assertEqual((transport.getPeer().hostname, transport.getPeer().port), (b"example.com", 8081))
        self.assertEqual((transport.getHost().host, transport.getHost().port), ("0.0.0.0", 0))

    def test_cancel(self) -> None:
        """
        Wherever it is, it can be cancelled: nothing is left, and it fails with the error that endpoints have for that.
        """

        def asking() -> None:
            self.connect()

        def reading() -> None:
            self.connect()
            self.agent.to("/info").answer(200, b"{")

        def dialling() -> None:
            self.informed()

        def shaking() -> None:
            self.informed()
            self.transport = self.dialler.dialled[0].open()

        def polling() -> None:
            self.informed(transports=["xhr-polling"])

        def answered() -> None:
            self.informed(transports=["xhr-streaming"])
            self.agent.to("/xhr_streaming").answer(200, b"h\n")

        for begin in (asking, reading, dialling, shaking, polling, answered):
            begin()
            self.connecting.cancel()
            error = self.fails(ConnectingCancelledError)
            self.assertEqual(error.address.hostname, b"example.com")
            self.assertEqual(self.apps.built, [])
            if begin is shaking:
                self.assertTrue(self.transport.disconnecting)

    def test_ownAgent(self) -> None:
        """
        With the client's own agent, requests share a connection, and at the end it is cut: over TLS an orderly close
        would wait for a server that may be gone.
        """
        clock, dialler = Clock(), Dialler()
        endpoint = SockJSClientEndpoint(clock, URL, endpointFactory=dialler, transports=["xhr-streaming"])
        connecting = endpoint.connect(Apps(Bot))
        (dialled,) = dialler.dialled
        transport = dialled.open()
        self.assertTrue(transport.value().startswith(b"GET /echo/info HTTP/1.1\r\n"))
        dialled.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(INFO), INFO))
        self.assertIn(b"/xhr_streaming HTTP/1.1\r\n", transport.value())
        dialled.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no\n\r\n")
        bot = self.successResultOf(connecting)
        self.assertFalse(transport.cut)
        bot.transport.loseConnection()
        clock.advance(0)
        clock.advance(0)
        self.assertEqual((bot.lost.value.code, transport.cut, len(dialler.dialled)), (1000, True, 1))
        clock.advance(0)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_cookies(self) -> None:
        """
        The handshake of a WebSocket has the cookie that came with C{/info}, and the user's headers.
        """
        for headers, expected in (
            ({"X-Mine": "yes"}, b"\r\nCookie: a=b\r\n"),
            ({"Cookie": "c=d"}, b"\r\nCookie: c=d\r\n"),
        ):
            self.connect(headers=headers)
            self.agent.to("/info").whole(200, INFO, headers={"Set-Cookie": ["a=b; path=/"]})
            handshake = self.dialler.dialled[0].open().value()
            self.assertIn(expected, handshake)
            self.assertEqual(handshake.count(b"Cookie"), 1)
            for name, value in headers.items():
                self.assertIn(f"\r\n{name}: {value}\r\n".encode(), handshake)
            self.assertIn(b"\r\nUser-Agent: txsockjs/", handshake)
            self.assertIn(b"\r\nHost: example.com:8081\r\n", handshake)
            self.connecting.cancel()
            self.fails(ConnectingCancelledError)
