# -*- test-case-name: tests.test_channel -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The connections of our own sites: how long a request may take to arrive, and what becomes of silent connections.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor, ssl
from twisted.internet.endpoints import SSL4ClientEndpoint, serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.certificates import makeCertificate
from tests.support import Apps, MemoryConnection, SiteCase, TextEcho, chunked
from tests.wire import HTTPClient, HTTPConnection
from txsockjs.factory import SockJSFactory, SockJSMultiFactory

SENDING = b"POST /0/s/xhr_send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n" + b'["abc"]'

TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Slow(Resource):
    """
    Answers when it is told to.
    """

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.requests = []

    def render(self, request):
        self.requests.append(request)
        return NOT_DONE_YET


class ChannelCase(SiteCase):
    """
    A site whose services know two lengths of patience, of which the longer one counts, and a slow page.
    """

    def setUp(self):
        super().setUp()
        self.apps = Apps(TextEcho)
        self.slow = Slow()
        self.site = SockJSMultiFactory(reactor=self.clock)
        self.site.addFactory(self.apps, "/", request_timeout=10, heartbeat_delay=0, disconnect_delay=900)
        self.site.addFactory(Apps(), "/other", request_timeout=3, heartbeat_delay=0, disconnect_delay=900)
        self.site.resource.putChild(b"slow", self.slow)
        self.resources.extend(resource for resource, _ in self.site._services)
        self.stats = self.resources[0].stats
        self.answerTo("POST", "/0/s/xhr")

    def dribble(self, connection: MemoryConnection, data: bytes, seconds: float) -> None:
        """
        Let bytes arrive one by one, at intervals that add up to some time.
        """
        for byte in data:
            connection.send(bytes([byte]))
            self.clock.advance(seconds / len(data))

    def output(self, connection: MemoryConnection) -> bytes:
        """
        All that the server has said on a connection.
        """
        return connection.transport.value()

    def assertOverdue(self, connection: MemoryConnection, before: bytes = b"") -> None:
        """
        The connection got an answer that its request took too long, after C{before}, and was closed.
        """
        self.clock.advance(0)
        self.assertEqual(self.output(connection), before + TIMEOUT)
        self.assertTrue(connection.transport.gone)
        self.assertFalse(connection.transport.aborted)


class RequestTimeoutTests(ChannelCase):
    """
    The option C{request_timeout}.
    """

    def test_everyPlace(self):
        """
        Wherever a request stops to come, it is answered with 408 when its time is over, and not before; it is counted
        where its URL is known.
        """
        head = SENDING.index(b"\r\n\r\n")
        places = {1: 0, 20: 0, 28: 0, 29: 1, 40: 1, head + 2: 1, head + 4: 1, len(SENDING) - 1: 1}
        for place, counted in places.items():
            self.stats.refused.clear()
            connection = self.connect()
            connection.send(SENDING[:place])
            self.clock.advance(9.9)
            self.assertEqual(self.output(connection), b"")
            self.clock.advance(0.1)
            self.assertOverdue(connection)
            self.assertEqual(dict(self.stats.refused), {"request timeout": 1} if counted else {})
        self.assertEqual(self.apps.last.received, [])

    def test_dribble(self):
        """
        Bytes that come one by one do not make its time longer.
        """
        connection = self.connect()
        self.dribble(connection, SENDING[:-1], 9.9)
        self.assertEqual(self.output(connection), b"")
        self.clock.advance(0.2)
        self.assertOverdue(connection)

    def test_inTime(self):
        """
        A request that is whole in time is answered as ever, however it comes, and the next one has its own time.
        """
        connection = self.connect()
        for number in range(3):
            self.dribble(connection, SENDING, 9.9)
            self.clock.advance(20)
            self.assertEqual(self.output(connection).count(b"HTTP/1.1 204"), number + 1)
        self.clock.advance(39)
        self.assertFalse(connection.transport.gone)

    def test_chunked(self):
        """
        The same holds for a body in chunks.
        """
        head = b"POST /0/s/xhr_send HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = chunked(b'["a', b'bc"]')
        connection = self.connect()
        self.dribble(connection, head + body, 9.9)
        self.assertIn(b" 204 ", self.output(connection))
        connection = self.connect()
        self.dribble(connection, head + body[:-2], 9.9)
        self.clock.advance(0.2)
        self.assertOverdue(connection)

    def test_expect(self):
        """
        Who was told to continue has no more time than others.
        """
        connection = self.connect()
        connection.send(SENDING.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")[:-1])
        self.clock.advance(10)
        self.assertOverdue(connection, b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_keepAlive(self):
        """
        The time of a second request counts from its first byte, not from the first request or its answer.
        """
        connection = self.connect()
        connection.send(SENDING)
        self.clock.advance(50)
        before = self.output(connection)
        self.assertIn(b" 204 ", before)
        connection.send(SENDING[:30])
        self.clock.advance(9.9)
        self.assertEqual(self.output(connection), before)
        self.clock.advance(0.1)
        self.assertOverdue(connection, before)

    def test_pipelined(self):
        """
        Where the end of one request and a part of the next come together, the time of the next begins there.
        """
        connection = self.connect()
        connection.send(SENDING[:30])
        self.clock.advance(9)
        connection.send(SENDING[30:] + SENDING[:30])
        self.clock.advance(9.9)
        before = self.output(connection)
        self.assertIn(b" 204 ", before)
        self.assertFalse(connection.transport.gone)
        self.clock.advance(0.1)
        self.assertOverdue(connection, before)

    def test_behindAnswer(self):
        """
        What waits behind a request that is being answered has its time from when it is its turn; what answers may
        take as long as it likes.
        """
        connection = self.connect()
        connection.send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n" + SENDING[:30])
        self.clock.advance(1000)
        self.assertEqual(self.output(connection), b"")
        self.slow.requests[0].finish()
        before = self.output(connection)
        self.assertIn(b" 200 ", before)
        self.clock.advance(9.9)
        self.assertFalse(connection.transport.gone)
        self.clock.advance(0.1)
        self.assertOverdue(connection, before)

    def test_doesNotRead(self):
        """
        Who does not take the answer is cut some time after it.
        """
        connection = self.connect()
        connection.transport.block(1)
        connection.send(SENDING[:-1])
        self.clock.advance(10)
        self.assertTrue(connection.transport.disconnecting)
        self.assertFalse(connection.transport.aborted)
        self.clock.advance(0)
        connection.send(SENDING[-1:])
        self.assertEqual(self.output(connection), TIMEOUT)
        self.assertEqual(self.apps.last.received, [])
        self.clock.advance(15)
        self.assertTrue(connection.transport.aborted)

    def test_idleAndOverdue(self):
        """
        Where the time of a request is over shortly before that of an idle connection, that makes no difference.
        """
        self.site.addFactory(Apps(), "late", request_timeout=50)
        self.resources.append(self.site._services[-1][0])
        connection = self.connect()
        connection.transport.block(1)
        connection.send(SENDING[:30])
        self.clock.advance(50)
        self.clock.advance(14.9)
        self.assertFalse(connection.transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(connection.transport.aborted)

    def test_badAndDoesNotRead(self):
        """
        Who sent rubbish, and does not take the answer to that either, is cut when its time is over.
        """
        connection = self.connect()
        connection.transport.block(1)
        connection.send(b"rubbish\r\nand more")
        answer = self.output(connection)
        self.assertIn(b" 400 ", answer)
        self.clock.advance(10)
        self.assertTrue(connection.transport.aborted)
        self.assertEqual(self.output(connection), answer)

    def test_lost(self):
        """
        A connection that is lost leaves no deadline.
        """
        connection = self.connect()
        connection.send(SENDING[:30])
        self.assertEqual(len(self.site.arrivals), 1)
        connection.lose()
        self.assertEqual(len(self.site.arrivals), 0)

    def test_refused(self):
        """
        A body that was refused for its size has no deadline any more.
        """
        self.site.addFactory(Apps(), "small", max_body_size=5, request_timeout=1)
        self.resources.append(self.site._services[-1][0])
        connection = self.connect()
        request = SENDING.replace(b"/0/", b"/small/0/")
        connection.send(request[:30])
        connection.send(request[30:-4])
        self.assertIn(b" 413 ", self.output(connection))
        self.assertEqual(len(self.site.arrivals), 0)
        self.clock.advance(4.9)
        connection.send(request[-4:])
        self.assertFalse(connection.transport.gone)
        self.clock.advance(0.1)
        self.clock.advance(0)
        self.assertTrue(connection.transport.gone)
        self.assertNotIn(b" 408 ", self.output(connection))

    def test_afterRubbish(self):
        """
        What comes after bytes that are no request is not read, though the connection can't be closed yet.
        """
        connection = self.connect()
        connection.transport.block(1)
        for _ in range(3):
            connection.send(b"rubbish\r\n\r\n")
            connection.send(SENDING)
        self.assertEqual(self.output(connection), b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(self.apps.last.received, [])

    def test_addedService(self):
        """
        A service with more patience, when it is added, changes nothing for a request that is under way.
        """
        connection, whole = self.connect(), self.connect()
        connection.send(SENDING[:30])
        whole.send(SENDING[:30])
        self.site.addFactory(Apps(), "late", request_timeout=20)
        self.resources.append(self.site._services[-1][0])
        whole.send(SENDING[30:])
        self.clock.advance(10)
        self.assertOverdue(connection)
        self.assertFalse(whole.transport.gone)
        connection = self.connect()
        connection.send(SENDING[:30])
        self.clock.advance(19.9)
        self.assertFalse(connection.transport.gone)
        self.clock.advance(0.1)
        self.assertOverdue(connection)

    def test_whole(self):
        """
        A request that comes in one piece costs no deadline, nor does a WebSocket keep one.
        """
        started = []
        self.patch(self.site.arrivals, "start", started.append)
        connection = self.connect()
        connection.send(SENDING * 3)
        self.assertEqual(self.output(connection).count(b" 204 "), 3)
        webSocket = self.connect()
        webSocket.upgrade("/0/w/websocket")
        webSocket.sendText('"x"')
        self.assertEqual(webSocket.texts(), ["o", 'a["x"]'])
        self.assertEqual(started, [])

    def test_quiet(self):
        """
        None of it is logged above debug.
        """
        with capturedLogs() as events:
            connections = [self.connect() for _ in range(3)]
            connections[0].send(SENDING[:30])
            connections[1].send(SENDING[:30])
            connections[1].transport.block(1)
            connections[2].transport.block(1)
            self.clock.advance(60)
            self.clock.advance(15)
        self.assertEqual([connection.transport.gone for connection in connections], [True] * 3)
        self.assertEqual([event for event in events if event["log_level"] > LogLevel.debug], [])


class IdleTests(ChannelCase):
    """
    Connections on which nothing comes.
    """

    def test_silent(self):
        """
        A connection that sends nothing, at first or after a request, is closed after a minute, without an answer.
        """
        for said in (b"", SENDING):
            connection = self.connect()
            connection.send(said)
            before = self.output(connection)
            self.clock.advance(59.9)
            self.assertFalse(connection.transport.gone)
            self.clock.advance(0.1)
            self.clock.advance(0)
            self.assertTrue(connection.transport.gone)
            self.assertEqual(self.output(connection), before)

    def test_answering(self):
        """
        While a response is open, nothing of that counts.
        """
        connection = self.connect()
        connection.ask("POST", "/0/s/xhr")
        self.clock.advance(800)
        self.assertFalse(connection.transport.gone)

    def test_lastAnswerBehindAnother(self):
        """
        Nor does it count where the last answer of a connection begins as another one is complete.
        """
        connection = self.connect()
        page = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.send(page + page.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        self.slow.requests[0].finish()
        self.clock.advance(1000)
        self.assertFalse(connection.transport.disconnecting)
        self.slow.requests[1].finish()
        self.clock.advance(0)
        self.assertTrue(connection.transport.gone)

    def test_doesNotTakeTheLastAnswer(self):
        """
        Who does not take an answer after which the connection is closed is cut some time later.
        """
        connection = self.connect()
        connection.transport.block(1)
        connection.send(SENDING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        self.assertTrue(connection.transport.disconnecting)
        self.clock.advance(60)
        self.assertFalse(connection.transport.aborted)
        self.clock.advance(15)
        self.assertTrue(connection.transport.aborted)


class SocketTests(TestCase):
    """
    The same over real sockets.
    """

    timeout = 60

    async def test_overdue(self):
        """
        A request that has half arrived is answered with 408, and then the connection is closed.
        """
        site = SockJSFactory(Apps(), request_timeout=0.5)
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site)
        self.addCleanup(port.stopListening)
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.addCleanup(client.close)
        connection = await client.connect()
        connection.write(SENDING[:40])
        response = await connection.response()
        self.assertEqual((response.status, response.headers.get("Connection")), (408, "close"))
        await connection.gone()
        self.assertTrue(connection.lost.check(ConnectionDone))
        self.assertEqual(site.resource.stats.refused["request timeout"], 1)
        self.assertEqual(site._connections, set())

    async def test_tls(self):
        """
        The same holds over TLS.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        makeCertificate(directory)
        site = SockJSFactory(Apps(), request_timeout=0.5)
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={directory / 'k.pem'}:certKey={directory / 'c.pem'}"
        port = await serverFromString(reactor, endpoint).listen(site)
        self.addCleanup(port.stopListening)
        client = SSL4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port, ssl.CertificateOptions())
        connection = await client.connect(Factory.forProtocol(lambda: HTTPConnection(reactor, "localhost")))
        self.addCleanup(lambda: None if connection.lost else connection.abort())
        response = await connection.request("GET", "/")
        self.assertEqual(await response.body(), b"Welcome to SockJS!\n")
        connection.write(SENDING[:40])
        response = await connection.response()
        self.assertEqual((response.status, response.headers.get("Connection")), (408, "close"))
        await connection.gone()
        await site.drain()  # until the server has seen that as well
        self.assertEqual(site._connections, set())
