# -*- test-case-name: tests.test_client -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The client against our own server, over real sockets, by each transport.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectingCancelledError, ConnectionAborted, NoProtocol
from twisted.internet.interfaces import IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineReceiver
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.certificates import makeCertificate
from tests.clients import Bot, BytesBot, connected
from tests.node.check_client import HARD_TEXTS
from tests.support import Apps, Recorder, TextEcho
from txsockjs.client import (
    CannotConnect,
    HeartbeatTimeout,
    SessionRefused,
    SockJSClientEndpoint,
    TransportsFailed,
)
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.factory import SockJSFactory
from txsockjs.interfaces import ISockJSTransport
from txsockjs.resource import SockJSResource

HTTP_TRANSPORTS = ["xhr-streaming", "eventsource", "xhr-polling"]


LOADED = """
import sys
import txsockjs.client
print("\\n".join(name for name in sys.modules if name.startswith("txsockjs")))
"""


class ImportTests(SynchronousTestCase):
    """
    What a program that is only a client loads.
    """

    def test_noServer(self) -> None:
        """
        The client loads nothing that serves.
        """
        done = subprocess.run(
            [sys.executable, "-c", LOADED],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        loaded = set(done.stdout.split())
        self.assertIn("txsockjs.client.websocket", loaded)
        serving = ("txsockjs.transports", "txsockjs.registry", "txsockjs.service", "txsockjs.resource")
        self.assertEqual({name for name in loaded if name.startswith(serving)}, set())


class ServerCase(TestCase):
    """
    A server for one test.
    """

    timeout = 60

    async def serve(self, protocol=TextEcho, tls=False, **settings) -> None:
        """
        Start it; C{self.url} is where.
        """
        self.apps = Apps(protocol)
        self.site = SockJSFactory(self.apps, **{"close_timeout": 0.5, **settings})
        self.stats = self.site.resource.stats
        scheme, description = "http", "tcp:0:interface=127.0.0.1"
        if tls:
            directory = Path(tempfile.mkdtemp(dir="."))
            self.addCleanup(FilePath(str(directory)).remove)
            self.certificate = Certificate.loadPEM(makeCertificate(directory))
            keys = f"privateKey={directory}/k.pem:certKey={directory}/c.pem"
            scheme, description = "https", f"ssl:0:interface=127.0.0.1:{keys}"
        port = await serverFromString(reactor, description).listen(self.site)
        self.url = f"{scheme}://127.0.0.1:{port.getHost().port}"
        self.addCleanup(self.stopServing)
        self.addCleanup(port.stopListening)

    async def serveTree(self, root: Resource) -> None:
        """
        Start a site of another kind.
        """
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(Site(root))
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.addCleanup(port.stopListening)

    def stopServing(self) -> Deferred[None]:
        """
        @return: fires when nothing is left of the server's side.
        """
        self.site.resource.stop()
        return Deferred.fromCoroutine(self.idle())

    async def idle(self) -> None:
        """
        Wait until no connection is left.
        """
        for _ in range(500):
            if not self.site._connections:
                return
            await deferLater(reactor, 0.01)
        raise AssertionError(f"there are {len(self.site._connections)} connections left")

    def endpoint(self, **settings) -> SockJSClientEndpoint:
        """
        @return: a client of the server.
        """
        return SockJSClientEndpoint(reactor, self.url, **{"open_timeout": 20, **settings})

    async def fails(self, connecting: Deferred, kind: type[BaseException] = CannotConnect):
        """
        @return: what a connection has failed with.
        """
        return await self.assertFailure(connecting, kind)


class TransportMixin:
    """
    What must hold on every transport.

    @cvar transport: its name.
    """

    transport: str

    async def open(self, protocol=Bot, **settings):
        """
        Connect by this transport.
        """
        bot = await connected(self.endpoint(transports=[self.transport], **settings), protocol)
        self.assertEqual(bot.transport.transportName, self.transport)
        return bot

    async def close(self, bot) -> None:
        """
        Close, and see that it is an orderly end.
        """
        bot.transport.loseConnection()
        end = await bot.ends(reactor)
        self.assertEqual((type(end), end.code, end.reason), (SessionDone, 1000, "Normal closure"))

    async def test_order(self) -> None:
        """
        Thousands of messages sent at once come back unchanged and in order.
        """
        await self.serve()
        bot = await self.open()
        messages = [f"{number}: {HARD_TEXTS[number % len(HARD_TEXTS)]}" for number in range(3000)]
        if self.transport == "websocket-raw":  # plain text has no lone surrogates
            messages = [message.encode("utf-8", "replace").decode("utf-8") for message in messages]
        bot.transport.writeMessages(messages)
        self.assertEqual(await bot.gets(len(messages), reactor), messages)
        await self.close(bot)

    async def test_oneByOne(self) -> None:
        """
        Each text comes back when it is sent after the last one has come back.
        """
        await self.serve()
        bot = await self.open()
        for number in range(1, 30):
            bot.transport.write(f"message {number}")
            self.assertEqual((await bot.gets(number, reactor))[-1], f"message {number}")
        await self.close(bot)

    async def test_long(self) -> None:
        """
        A message of 400,000 characters comes back whole, and so do its neighbours.
        """
        await self.serve(max_message_size=2_000_000)
        bot = await self.open()
        sent = ["before", "0123456\N{SNOWMAN}8\N{GRINNING FACE}" * 40_000, "after"]
        for message in sent:
            bot.transport.write(message)
        self.assertEqual(await bot.gets(3, reactor), sent)
        await self.close(bot)

    async def test_bytes(self) -> None:
        """
        A protocol that knows nothing of messages gets lines.
        """

        class Lines(LineReceiver):
            def connectionMade(self) -> None:
                self.lines: list[bytes] = []
                self.done: Deferred[None] = Deferred()
                self.over: Deferred[None] = Deferred()
                self.sendLine(b"gr\xc3\xbc\xc3\x9fe")
                self.sendLine(b"two")

            def lineReceived(self, line: bytes) -> None:
                self.lines.append(line)
                if len(self.lines) == 2:
                    self.done.callback(None)

            def connectionLost(self, reason=None) -> None:
                self.over.callback(None)

        await self.serve()
        bot = await self.open(Lines)
        await bot.done
        self.assertEqual(bot.lines, [b"gr\xc3\xbc\xc3\x9fe", b"two"])
        bot.transport.loseConnection()
        await bot.over

    async def test_encoding(self) -> None:
        """
        Any bytes go through with the encoding base64 on both sides, and writing what the encoding has not is an error.
        """
        await self.serve(BytesEcho, encoding="base64")
        bot = await self.open(BytesBot, encoding="base64")
        bot.transport.write(bytes(range(256)))
        self.assertEqual(await bot.gets(1, reactor), [bytes(range(256))])
        await self.close(bot)
        bot = await self.open(BytesBot)
        self.assertRaises(ValueError, bot.transport.write, b"\xff")
        await self.close(bot)

    async def test_transport(self) -> None:
        """
        The protocol's transport is what it is on the server, and knows both addresses.
        """
        await self.serve()
        bot = await self.open()
        self.assertTrue(verifyObject(ISockJSTransport, bot.transport))
        server = self.apps.last.transport
        self.assertEqual(bot.transport.getPeer(), server.getHost())
        self.assertEqual(bot.transport.getHost().host, "127.0.0.1")
        self.assertFalse(bot.transport.disconnecting)
        self.assertRaises(ValueError, bot.transport.close, 1001)
        await self.close(bot)

    async def test_serverCloses(self) -> None:
        """
        The protocol is told the code and the reason of a close, after all that was written before.
        """

        class Closing(Recorder):
            def connectionMade(self) -> None:
                for number in range(100):
                    self.transport.write(b"%d" % number)
                self.transport.close(3456, "genug für heute")

        await self.serve(Closing)
        bot = await self.open()
        end = await bot.ends(reactor)
        self.assertEqual((type(end), end.code, end.reason), (SessionDone, 3456, "genug für heute"))
        self.assertEqual(bot.received, [str(number) for number in range(100)])

    async def test_serverClosesOnMessage(self) -> None:
        """
        A close that answers a message is told as what it is, also when more was sent meanwhile.
        """

        class OnMessage(Recorder):
            def dataReceived(self, data: bytes) -> None:
                self.transport.close(4000, "understood")

        await self.serve(OnMessage)
        for _ in range(5):
            bot = await self.open()
            for number in range(3):
                bot.transport.write(str(number))
                await deferLater(reactor, 0)
            end = await bot.ends(reactor)
            self.assertEqual((type(end), end.code, end.reason), (SessionDone, 4000, "understood"))

    async def test_paused(self) -> None:
        """
        A protocol that has paused its intake gets nothing, and then all that came before the close, and the close.
        """
        await self.serve()
        bot = await self.open()
        bot.transport.pauseProducing()
        bot.transport.writeMessages(["one", "two", "three"])
        await self.until(lambda: len(self.apps.last.received) == 0 and self.stats.messagesOut == 3)
        self.apps.last.transport.close(3001, "bye")
        await deferLater(reactor, 0.3)
        self.assertEqual((bot.received, bot.lost), ([], None))
        bot.transport.resumeProducing()
        end = await bot.ends(reactor)
        self.assertEqual(bot.received, ["one", "two", "three"])
        self.assertEqual((end.code, end.reason), (3001, "bye"))

    async def test_pausedForLong(self) -> None:
        """
        A server keeps a client that has paused its intake for longer than any of its deadlines.
        """
        await self.serve(heartbeat_delay=0.2, disconnect_delay=0.3, ping_interval=0.2, pong_timeout=0.2)
        bot = await self.open(heartbeat_timeout=1)
        bot.transport.pauseProducing()
        bot.transport.write("one")
        await deferLater(reactor, 1.5)
        self.assertEqual((bot.received, bot.lost), ([], None))
        bot.transport.resumeProducing()
        bot.transport.write("two")
        self.assertEqual(await bot.gets(2, reactor), ["one", "two"])
        await self.close(bot)

    async def test_pausedIsBounded(self) -> None:
        """
        What comes for a protocol that has paused its intake is read up to a bound; all of it arrives in the end.
        """
        await self.serve(Pouring, max_queued_bytes=200_000, write_timeout=30, response_limit=50_000)
        bot = await self.open(max_queued_bytes=200_000, heartbeat_timeout=30)
        bot.transport.pauseProducing()
        session = bot.transport._link
        await self.until(lambda: session.backlog > 200_000)
        before = session.backlog
        await deferLater(reactor, 0.3)
        self.assertLess(session.backlog, 400_000)
        self.assertLessEqual(session.backlog - before, 200_000)
        self.assertEqual(bot.received, [])
        bot.transport.resumeProducing()
        received = await bot.gets(Pouring.COUNT, reactor)
        self.assertEqual([int(message[:6]) for message in received], list(range(Pouring.COUNT)))
        await self.close(bot)

    async def test_producer(self) -> None:
        """
        A producer is paused while the server does not read, and all that it writes arrives in order.
        """
        await self.serve(Counting)
        bot = await self.open()
        producer = Producer(bot.transport, 3000)
        bot.transport.registerProducer(producer, True)
        self.apps.last.transport.pauseProducing()
        producer.resumeProducing()
        await self.until(lambda: producer.paused)
        self.assertLess(producer.next, 3000)
        self.apps.last.transport.resumeProducing()
        await self.until(lambda: self.apps.last.count == 3000)
        self.assertTrue(self.apps.last.inOrder)
        bot.transport.unregisterProducer()
        await self.close(bot)

    async def test_overflow(self) -> None:
        """
        More than may be queued for a server that does not read ends the session with 1008.
        """
        await self.serve(Counting)
        bot = await self.open(max_queued_bytes=50_000)
        self.apps.last.transport.pauseProducing()
        for _ in range(2000):
            if bot.lost is not None:
                break
            bot.transport.write("x" * 20_000)
            await deferLater(reactor, 0)
        end = await bot.ends(reactor)
        self.assertEqual((type(end), end.code), (SessionLost, 1008))
        self.assertIn("server", end.reason)

    async def test_closeDelivers(self) -> None:
        """
        What was written before a close arrives, and the server sees the end.
        """
        await self.serve(Counting)
        bot = await self.open()
        for number in range(2000):
            bot.transport.write(f"{number:06}")
        await self.close(bot)
        app = self.apps.last
        await self.until(lambda: bool(app.lost))
        self.assertEqual((app.count, app.inOrder), (2000, True))

    async def test_abort(self) -> None:
        """
        An abort ends the session at once; the server sees a broken connection.
        """
        await self.serve()
        bot = await self.open()
        bot.transport.abortConnection()
        self.assertIsInstance(await bot.ends(reactor), ConnectionAborted)
        await self.until(lambda: bool(self.apps.last.lost))
        self.assertIsInstance(self.apps.last.lost[0].value, SessionLost)

    async def test_endsAtOnce(self) -> None:
        """
        A protocol may close or abort as soon as it has its connection; what it wrote before a close arrives.
        """

        class Closing(Bot):
            def connectionMade(self) -> None:
                self.transport.write("000000")
                self.transport.loseConnection()

        class Aborting(Bot):
            def connectionMade(self) -> None:
                self.transport.abortConnection()

        await self.serve(Counting)
        bot = await self.open(Closing)
        self.assertEqual((await bot.ends(reactor)).code, 1000)
        await self.until(lambda: self.apps.last.count == 1)
        bot = await self.open(Aborting)
        self.assertIsInstance(await bot.ends(reactor), ConnectionAborted)
        await self.until(lambda: bool(self.apps.last.lost))

    async def test_together(self) -> None:
        """
        Sessions at the same time do not disturb each other, and nothing is left of them.
        """

        async def talk(number: int) -> None:
            bot = await self.open()
            for count in range(1, 6):
                bot.transport.write(f"{number}-{count}")
                await bot.gets(count, reactor)
            self.assertEqual(bot.received, [f"{number}-{count}" for count in range(1, 6)])
            await self.close(bot)

        await self.serve()
        await gatherResults([Deferred.fromCoroutine(talk(number)) for number in range(30)])
        await self.idle()
        self.assertEqual(self.stats.opened[self.transport], 30)

    async def test_serverAborts(self) -> None:
        """
        A connection that breaks is a loss.
        """
        await self.serve()
        bot = await self.open()
        self.apps.last.transport.abortConnection()
        end = await bot.ends(reactor)
        self.assertIs(type(end), SessionLost)
        # A client that asks again is told by the server.
        self.assertIn(end.code, (1002, 1006) if self.transport == "xhr-polling" else (1006,))

    async def test_serverStops(self) -> None:
        """
        A server that stops closes its sessions, and the client is told so.
        """
        await self.serve(drain_code=3003, drain_reason="maintenance")
        bot = await self.open()
        self.apps.last.transport.write("last words")
        await self.site.drain()
        end = await bot.ends(reactor)
        self.assertEqual(bot.received, ["last words"])
        self.assertEqual((type(end), end.code, end.reason), (SessionDone, 3003, "maintenance"))

    async def test_tooLarge(self) -> None:
        """
        A message that is larger than may be ends the session with 1009, and is not delivered.
        """
        await self.serve(max_message_size=300_000)
        bot = await self.open(max_message_size=100_000)
        bot.transport.write("x" * 100_001)
        end = await bot.ends(reactor)
        self.assertEqual((type(end), end.code, bot.received), (SessionLost, 1009, []))

    async def test_failure(self) -> None:
        """
        An exception in the protocol is logged, and closes the session.
        """

        class Failing(Bot):
            def messageReceived(self, message: str) -> None:
                raise RuntimeError(message)

        await self.serve()
        bot = await self.open(Failing)
        bot.transport.write("boom")
        self.assertIsInstance(await bot.ends(reactor), RuntimeError)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_heartbeats(self) -> None:
        """
        A session of which nobody has anything to say lasts as long as heartbeats come.
        """
        await self.serve(heartbeat_delay=0.1, ping_interval=0.1)
        bot = await self.open(heartbeat_timeout=0.6)
        await deferLater(reactor, 1.5)
        self.assertIsNone(bot.lost)
        bot.transport.write("still there")
        self.assertEqual(await bot.gets(1, reactor), ["still there"])
        await self.close(bot)

    async def test_refused(self) -> None:
        """
        The factory's refusal is the end of the connection.
        """
        await self.serve()
        mine = Apps(Bot)
        mine.refuse = True
        connecting = self.endpoint(transports=[self.transport]).connect(mine)
        await self.fails(connecting, NoProtocol)

    async def test_serverRefuses(self) -> None:
        """
        A server that does not want the session tells why, and no other transport is tried.
        """
        await self.serve()
        self.apps.refuse = True
        endpoint = self.endpoint(transports=[self.transport, *(t for t in HTTP_TRANSPORTS if t != self.transport)])
        if self.transport == "websocket-raw":  # it has no frame for that
            bot = await connected(endpoint)
            self.assertEqual((await bot.ends(reactor)).code, 3000)
            return
        error = await self.fails(endpoint.connect(Factory.forProtocol(Bot)), SessionRefused)
        self.assertEqual((error.code, error.reason), (3000, "Go away!"))
        self.assertEqual(len(self.apps.addresses), 1)

    async def test_query(self) -> None:
        """
        The query of the URL goes with the session.
        """
        await self.serve()
        self.url += "/?token=a%20b"
        bot = await self.open()
        self.assertEqual(dict(self.apps.last.transport.requestFacts.args), {"token": ("a b",)})
        self.assertEqual(bot.transport.requestFacts.args, {"token": ["a b"]})
        await self.close(bot)

    async def test_headers(self) -> None:
        """
        Headers of the user's go with the session, and one that is allowed by the server decides.
        """
        await self.serve(exposed_headers=["x-who", "user-agent"], origins=["https://example.com"])
        headers = {"X-Who": "me", "Origin": "https://example.com"}
        bot = await self.open(headers=headers)
        facts = self.apps.last.transport.requestFacts.headers
        self.assertEqual(facts["x-who"], "me")
        self.assertRegex(facts["user-agent"], r"^txsockjs/\d")
        bot.transport.write("hello")
        await bot.gets(1, reactor)
        await self.close(bot)
        error = await self.fails(
            self.endpoint(transports=[self.transport], headers={"Origin": "https://example.org"}).connect(Apps(Bot))
        )
        self.assertIn("403", str(error))

    async def test_tls(self) -> None:
        """
        Over TLS all goes as without, if the certificate is trusted; if it is not, nothing does.
        """
        await self.serve(tls=True)
        policy = BrowserLikePolicyForHTTPS(self.certificate)
        bot = await self.open(tlsPolicy=policy)
        bot.transport.writeMessages(HARD_TEXTS[:20])
        self.assertEqual(await bot.gets(20, reactor), HARD_TEXTS[:20])
        await self.close(bot)
        error = await self.fails(self.endpoint(transports=[self.transport]).connect(Apps(Bot)))
        self.assertIn("certificate verify failed", str(error))

    async def test_cancel(self) -> None:
        """
        However far a connection has come, it can be cancelled, and nothing is left of it on either side.
        """
        await self.serve()
        for turns in range(0, 40, 3):
            mine = Apps(Bot)
            connecting = self.endpoint(transports=[self.transport]).connect(mine)
            for _ in range(turns):
                await deferLater(reactor, 0)
            connecting.cancel()
            if mine.built:
                bot = await connecting
                bot.transport.abortConnection()
                await bot.ends(reactor)
            else:
                await self.fails(connecting, ConnectingCancelledError)
            await self.idle()
            self.assertEqual([call for call in reactor.getDelayedCalls() if "client" in str(call)], [])

    async def until(self, what) -> None:
        """
        Wait until something is so.
        """
        for _ in range(3000):
            if what():
                return
            await deferLater(reactor, 0.01)
        raise AssertionError("it did not become so in time")


class BytesEcho(Recorder):
    """
    Sends bytes back.
    """

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Counting(Recorder):
    """
    Counts what comes: messages that begin with their number, in six digits.
    """

    count = 0
    inOrder = True

    def dataReceived(self, data: bytes) -> None:
        if data[:1].isdigit():
            self.inOrder = self.inOrder and int(data[:6]) == self.count
        self.count += 1


class Pouring(Recorder):
    """
    Sends as fast as it may.
    """

    COUNT = 1500

    def connectionMade(self) -> None:
        self.producer = Producer(self.transport, self.COUNT)
        self.transport.registerProducer(self.producer, True)
        self.producer.resumeProducing()


@implementer(IPushProducer)
class Producer:
    """
    Writes numbered messages of 2,000 bytes, as fast as it may.
    """

    def __init__(self, consumer, count: int) -> None:
        self.consumer = consumer
        self.count = count
        self.next = 0
        self.paused = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self._write()

    def stopProducing(self) -> None:
        self.paused = True

    def _write(self) -> None:
        while not self.paused and self.next < self.count:
            self.consumer.write(f"{self.next:06}".ljust(2000, "x").encode())
            self.next += 1


class WebSocketTests(TransportMixin, ServerCase):
    """
    C{websocket}.
    """

    transport = "websocket"

    async def test_closeIsTold(self) -> None:
        """
        The server is told the code and the reason of the client's close.
        """
        await self.serve()
        bot = await self.open()
        bot.transport.close(4321, "had enough")
        end = await bot.ends(reactor)
        self.assertEqual((end.code, end.reason), (4321, "had enough"))
        await self.until(lambda: bool(self.apps.last.lost))
        told = self.apps.last.lost[0].value
        self.assertEqual((type(told), told.code, told.reason), (SessionDone, 4321, "had enough"))


class RawWebSocketTests(TransportMixin, ServerCase):
    """
    C{websocket-raw}.
    """

    transport = "websocket-raw"


class XHRStreamingTests(TransportMixin, ServerCase):
    """
    C{xhr-streaming}.
    """

    transport = "xhr-streaming"


class XHRPollingTests(TransportMixin, ServerCase):
    """
    C{xhr-polling}.
    """

    transport = "xhr-polling"


class EventSourceTests(TransportMixin, ServerCase):
    """
    C{eventsource}.
    """

    transport = "eventsource"


class Proxied(Resource):
    """
    A service behind a proxy that refuses to upgrade, and gives streams out when they are at their end.
    """

    def __init__(self, service: SockJSResource) -> None:
        super().__init__()
        self.service = service
        self.asked: list[str] = []

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        name = request.path.rpartition(b"/")[2].decode("ascii")
        self.asked.append(name)
        if name == "websocket":
            return Answering(502)
        if name in ("xhr_streaming", "eventsource"):
            return Answering(None)
        return self.service.getChildWithDefault(path, request)


class Forgetful(Resource):
    """
    A server that knows no session, so that each request opens one.
    """

    isLeaf = True

    def render(self, request: Request) -> bytes:
        if request.path.endswith(b"/info"):
            return b"{}"
        return b"data: o\r\n\r\n" if request.path.endswith(b"/eventsource") else b"o\n"


class Answering(Resource):
    """
    Gives one answer, or none.
    """

    isLeaf = True

    def __init__(self, code: int | None) -> None:
        super().__init__()
        self.code = code

    def render(self, request: Request) -> bytes | int:
        if self.code is None:
            return NOT_DONE_YET
        request.setResponseCode(self.code)
        return b"no"


class ChoiceTests(ServerCase):
    """
    Which transport is taken, and what is said when there is none.
    """

    async def connectTo(self, **settings):
        """
        @return: the transport by which a message came back.
        """
        bot = await connected(self.endpoint(**settings))
        bot.transport.write("hello")
        self.assertEqual(await bot.gets(1, reactor), ["hello"])
        bot.transport.loseConnection()
        await bot.ends(reactor)
        return bot.transport.transportName

    async def test_best(self) -> None:
        """
        The first choice is a WebSocket.
        """
        await self.serve()
        self.assertEqual(await self.connectTo(), "websocket")

    async def test_off(self) -> None:
        """
        Transports that the service has not are not tried.
        """
        await self.serve(transports=["xhr-polling", "htmlfile"])
        self.assertEqual(await self.connectTo(), "xhr-polling")
        error = await self.fails(
            self.endpoint(transports=["websocket", "eventsource"]).connect(Apps(Bot)), TransportsFailed
        )
        self.assertEqual(
            (error.code, str(error)),
            (2000, "All transports failed: the service has none of websocket, eventsource"),
        )

    async def test_string(self) -> None:
        """
        The endpoint string connects as the endpoint does.
        """
        await self.serve()
        url = self.url.replace(":", r"\:")
        endpoint = clientFromString(reactor, rf"sockjs:{url}:transports=xhr-polling,websocket:open_timeout=20")
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        bot = await connected(endpoint)
        self.assertEqual(bot.transport.transportName, "xhr-polling")
        bot.transport.loseConnection()
        await bot.ends(reactor)

    async def test_baseURL(self) -> None:
        """
        C{base_url} is where the session is opened.
        """
        await self.serve()
        there, apps = self.url, self.apps
        root = Resource()
        here = SockJSResource(Apps(Recorder), base_url=there)
        self.addCleanup(here.stop)
        root.putChild(b"chat", here)
        await self.serveTree(root)
        self.url += "/chat"
        self.assertEqual(await self.connectTo(), "websocket")
        self.assertEqual(len(apps.built), 1)

    async def test_agent(self) -> None:
        """
        An agent of the user's makes the requests; without an endpoint factory no WebSocket is tried beside it.
        """
        asked = []

        class Asking(Agent):
            def request(self, method, uri, headers=None, bodyProducer=None):
                asked.append((method, uri))
                return super().request(method, uri, headers, bodyProducer)

        await self.serve()
        self.assertEqual(await self.connectTo(agent=Asking(reactor)), "xhr-streaming")
        self.assertEqual(asked[0], (b"GET", f"{self.url}/info".encode()))
        self.assertEqual({method for method, _ in asked[1:]}, {b"POST"})
        with self.assertRaises(ValueError):
            self.endpoint(agent=Asking(reactor), transports=["websocket"])

    async def test_cookies(self) -> None:
        """
        A cookie that the service sets comes back with the requests that follow.
        """
        seen = []

        def cookie(request) -> str:
            seen.append(request.getCookie(b"JSESSIONID"))
            return "abc"

        await self.serve(cookie_needed=cookie)
        self.assertEqual(await self.connectTo(transports=["xhr-polling"]), "xhr-polling")
        self.assertEqual(seen[0], None)
        self.assertEqual(set(seen[1:]), {b"abc"})

    async def test_proxy(self) -> None:
        """
        Behind a proxy that refuses to upgrade and holds streams back, polling gets through.
        """
        service = SockJSResource(Apps(TextEcho))
        self.addCleanup(service.stop)
        proxied = Proxied(service)
        await self.serveTree(proxied)
        self.assertEqual(await self.connectTo(open_timeout=1), "xhr-polling")
        self.assertEqual(proxied.asked[:5], ["info", "websocket", "xhr_streaming", "eventsource", "xhr"])
        error = await self.fails(
            self.endpoint(open_timeout=0.5, transports=["websocket", "eventsource"]).connect(Apps(Bot)),
            TransportsFailed,
        )
        self.assertRegex(str(error), r"websocket: .*502.*; eventsource: did not open within 0\.\d+ seconds$")

    async def test_notThere(self) -> None:
        """
        Where nothing listens, the error says so in one line.
        """
        await self.serve()
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(Factory())
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        await port.stopListening()
        error = await self.fails(self.endpoint().connect(Apps(Bot)))
        self.assertRegex(str(error), rf"^{self.url}/info was not answered: .*refused")
        error = await self.fails(self.endpoint(transports=["websocket-raw"]).connect(Apps(Bot)), TransportsFailed)
        self.assertRegex(str(error), r"^All transports failed: websocket-raw: .*refused")

    async def test_notFound(self) -> None:
        """
        Where there is a server without the service, the error says so in one line.
        """
        await self.serveTree(Resource())
        error = await self.fails(self.endpoint().connect(Apps(Bot)))
        self.assertEqual(str(error), f"{self.url}/info was answered with 404; is there a SockJS service?")

    async def test_silent(self) -> None:
        """
        A server without heartbeats, and with nothing to say, is taken for gone after the timeout.
        """
        await self.serve(heartbeat_delay=0)
        for name in ("websocket", *HTTP_TRANSPORTS):
            bot = await connected(self.endpoint(transports=[name], heartbeat_timeout=0.5))
            end = await bot.ends(reactor)
            self.assertEqual((type(end), end.code), (HeartbeatTimeout, 1006))
            self.assertIn("0.5 seconds", str(end))
        await self.until_lost(4)

    async def until_lost(self, count: int) -> None:
        """
        Wait until the server has lost so many sessions.
        """
        for _ in range(500):
            if sum(bool(app.lost) for app in self.apps.built) == count:
                return
            await deferLater(reactor, 0.01)
        raise AssertionError(self.stats.closed)

    async def test_lostSession(self) -> None:
        """
        A server that has forgotten the session begins another one, which is told as a loss.
        """
        await self.serveTree(Forgetful())
        for name in HTTP_TRANSPORTS:
            bot = await connected(self.endpoint(transports=[name]))
            end = await bot.ends(reactor)
            self.assertEqual((type(end), end.code, end.reason), (SessionLost, 1006, "Server lost session"))
