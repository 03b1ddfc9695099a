# -*- test-case-name: tests.test_liveness -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Peers that are gone, that do not answer, or that read slowly.
"""

from __future__ import annotations

import socket
from pathlib import Path
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, serverFromString, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.certificates import makeCertificate
from tests.support import Apps, Recorder, SiteCase
from tests.wire import CLOSE, PATIENCE, PING, PONG, Cut, HTTPClient, closePayload, encodeFrame
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.factory import SockJSFactory
from txsockjs.liveness import unsentBytes, watchPeer
from txsockjs.session import Session
from txsockjs.stats import Cause

try:
    from twisted.internet.ssl import Certificate, optionsForClientTLS
except ImportError:  # an extra of Twisted's
    Certificate = None

USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)

FRAMED = "/0/s/websocket"
RAW = "/websocket"

STREAMING = (
    ("POST", "/0/s/xhr_streaming"),
    ("GET", "/0/s/eventsource"),
    ("GET", "/0/s/htmlfile?c=f"),
)

POLLING = (
    ("POST", "/0/s/xhr"),
    ("GET", "/0/s/jsonp?c=f"),
)


class Below(FileDescriptor):
    """
    What lies below a transport, with some bytes that wait to be sent.
    """

    def __init__(self, size=0):
        super().__init__(object())
        self.wait(size)

    def wait(self, size):
        self.dataBuffer, self.offset, self._tempDataLen = b"x" * (size // 2 + 7), 7, size - size // 2


class UnsentTests(SynchronousTestCase):
    """
    L{unsentBytes}.
    """

    def test_buffers(self):
        """
        What waits in the lowest transport counts, however many lie above it.
        """
        below = Below(1000)
        wrapper = ProtocolWrapper(WrappingFactory(Factory()), None)
        for transport in (below, wrapper):
            wrapper.transport = below
            self.assertEqual(unsentBytes(transport), 1000)

    def test_nothingToAsk(self):
        """
        What is no socket has nothing to tell.
        """
        for transport in (None, StringTransport(), object(), ProtocolWrapper(WrappingFactory(Factory()), None)):
            self.assertEqual(unsentBytes(transport), 0)

    def test_kernel(self):
        """
        What the peer has yet to take from the kernel counts as well, and a descriptor that is closed does no harm.
        """
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        below = Below()
        below.fileno = ours.fileno
        self.assertEqual(unsentBytes(below), 0)
        ours.sendall(b"x" * 100)
        self.assertGreaterEqual(unsentBytes(below), 100)
        theirs.recv(100)
        self.assertEqual(unsentBytes(below), 0)
        ours.close()
        self.assertEqual(unsentBytes(below), 0)


class WatchTests(SynchronousTestCase):
    """
    L{watchPeer}.
    """

    def watched(self, timeout, family=socket.AF_INET):
        below = Below()
        below.socket = socket.socket(family)
        self.addCleanup(below.socket.close)
        watchPeer(below, timeout)
        return below.socket

    def test_options(self):
        """
        The kernel is told the timeout, in milliseconds, as far as it has room for it.
        """
        for timeout, expected in ((60, 60000), (0.5, 500), (0.0001, 1), (1e12, 2**31 - 1), (0, 0)):
            for family in (socket.AF_INET, socket.AF_INET6):
                watched = self.watched(timeout, family)
                self.assertTrue(watched.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
                if USER_TIMEOUT is not None:
                    self.assertEqual(watched.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT), expected)

    def test_nothingToWatch(self):
        """
        What is no TCP is left alone, and so is a socket that is closed.
        """
        closed = Below()
        closed.socket = socket.socket()
        closed.socket.close()
        for transport in (None, StringTransport(), Below(), closed):
            watchPeer(transport, 60)
        unix = self.watched(60, socket.AF_UNIX)
        self.assertFalse(unix.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))


class PingTests(SiteCase):
    """
    Pings to clients of WebSockets, framed and raw.
    """

    def each(self, protocol=Recorder, **settings):
        """
        Open a WebSocket of each kind; it counts for C{self.pings} from then on.
        """
        for path in (FRAMED, RAW):
            self.serve(Apps(protocol), **{"ping_interval": 10, "pong_timeout": 4, "heartbeat_delay": 0, **settings})
            self.socket = self.connect()
            self.socket.upgrade(path)
            yield self.socket

    def pings(self):
        return [frame.payload for frame in self.socket.frames() if frame.opcode == PING]

    def assertPinged(self):
        """
        Assert that the next ping comes before the ping interval is over twice.
        """
        seen, end = len(self.pings()), self.clock.seconds() + 20
        while len(self.pings()) == seen:
            self.assertEqual(self.apps.last.lost, [])
            self.assertLess(self.clock.seconds(), end)
            self.clock.advance(1)

    def assertSilent(self):
        """
        Assert that the session has just been lost for its client's silence.
        """
        self.clock.advance(0)
        self.assertTrue(self.socket.transport.aborted)
        (reason,) = self.apps.last.lost
        self.assertEqual(reason.type, SessionLost)
        self.assertEqual((reason.value.code, reason.value.reason), (1002, "The client does not answer"))
        self.assertEqual(self.resource.stats.closed, {Cause.SILENT: 1})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noAnswer(self):
        """
        A client that is silent for the ping interval is pinged, and cut when the pong timeout is over as well.
        """
        for _ in self.each():
            self.clock.advance(9)
            self.assertEqual(self.pings(), [])
            self.clock.advance(1)
            self.assertEqual(self.pings(), [b""])
            self.clock.advance(3)
            self.assertEqual(self.apps.last.lost, [])
            self.clock.advance(1)
            self.assertSilent()

    def test_together(self):
        """
        A ping that is due within a second of a heartbeat goes with it, in one write; it is expected to be answered as
        any other.
        """
        self.serve(ping_interval=10, pong_timeout=4, heartbeat_delay=9.5)
        self.socket = self.connect()
        self.socket.upgrade(FRAMED)
        self.clock.advance(9.5)
        self.assertEqual([frame.payload for frame in self.socket.frames()][1:], [b"h", b""])
        self.socket.sendFrame(PONG)
        self.clock.advance(9)
        self.assertEqual(self.pings(), [b""])
        self.clock.advance(0.5)
        self.assertEqual(self.pings(), [b"", b""])
        self.clock.advance(4)
        self.assertSilent()

    def test_apart(self):
        """
        One that is due later waits for its own time.
        """
        self.serve(ping_interval=10, pong_timeout=4, heartbeat_delay=4)
        self.socket = self.connect()
        self.socket.upgrade(FRAMED)
        self.clock.pump([1] * 9)
        self.assertEqual([frame.payload for frame in self.socket.frames()][1:], [b"h", b"h"])
        self.clock.advance(1)
        self.assertEqual(self.pings(), [b""])

    def test_answer(self):
        """
        One that answers is pinged again after the next ping interval, for as long as it lasts.
        """
        for connection in self.each():
            for count in range(1, 4):
                self.clock.advance(10)
                self.assertEqual(len(self.pings()), count)
                self.clock.advance(3)
                connection.sendFrame(PONG)
            self.clock.advance(10)
            self.clock.advance(4)
            self.assertSilent()

    def test_anyBytes(self):
        """
        Whatever comes instead of a pong will do: half a frame, or the rest of it.
        """
        for connection in self.each():
            self.clock.advance(10)
            frame = encodeFrame(1, b'["x"]')
            connection.send(frame[:1])
            self.clock.advance(4)
            connection.send(frame[1:9])
            self.clock.advance(10)
            connection.send(frame[9:])
            self.clock.advance(10)
            self.assertEqual((self.apps.last.lost, len(self.pings())), ([], 1))
            self.clock.advance(10)
            self.clock.advance(4)
            self.assertSilent()

    def test_talking(self):
        """
        A client that talks is not pinged; when it falls silent it is pinged before the interval was over twice.
        """
        for connection in self.each():
            for _ in range(20):
                self.clock.advance(3)
                connection.sendText('["x"]')
            self.assertEqual(self.pings(), [])
            self.assertPinged()

    def test_talkingOutward(self):
        """
        What the server sends is no sign of life of the client.
        """
        for _ in self.each():
            for _ in range(14):
                self.apps.last.transport.write("x")
                self.clock.advance(1)
            self.assertSilent()

    def test_unaskedPong(self):
        """
        A pong that nobody asked for is a sign of life like any other.
        """
        for connection in self.each():
            self.clock.advance(9)
            connection.sendFrame(PONG, b"x")
            self.clock.advance(9.5)
            self.assertEqual(self.pings(), [])
            self.clock.advance(0.6)
            self.assertEqual(len(self.pings()), 1)

    def test_off(self):
        """
        There are no pings where the interval is 0, and no timer for them.
        """
        for connection in self.each(ping_interval=0):
            self.assertEqual(self.clock.getDelayedCalls(), [])
            connection.sendFrame(PONG)
            self.clock.advance(1000)
            self.assertEqual((self.pings(), self.apps.last.lost), ([], []))

    def test_shared(self):
        """
        Any number of WebSockets of a kind share the delayed calls.
        """
        for _ in self.each():
            self.clock.advance(1)
            calls = len(self.clock.getDelayedCalls())
            for _ in range(20):
                self.connect().upgrade(RAW if self.apps.last.transport.transportName == "websocket-raw" else FRAMED)
                self.clock.advance(0)
            self.assertEqual(len(self.clock.getDelayedCalls()), calls)
            self.clock.advance(9)
            self.clock.advance(1)
            self.assertLessEqual(len(self.clock.getDelayedCalls()), calls + 1)  # that of the pongs

    def test_paused(self):
        """
        While the application has paused its intake the silence of the client proves nothing; after that it does again.
        """
        for connection in self.each():
            self.clock.advance(10)
            self.apps.last.transport.pauseProducing()
            for _ in range(50):
                self.clock.advance(1)
            self.assertEqual(self.apps.last.lost, [])
            self.apps.last.transport.resumeProducing()
            self.assertPinged()
            connection.sendFrame(PONG)
            self.clock.advance(10)
            self.clock.advance(4)
            self.assertSilent()

    def test_pausedAtDeadline(self):
        """
        An intake that resumes just before the deadline has yet to show what came meanwhile.
        """
        for connection in self.each():
            self.clock.advance(10)
            self.apps.last.transport.pauseProducing()
            self.clock.advance(3.9)
            self.apps.last.transport.resumeProducing()
            self.clock.advance(0.2)
            self.assertEqual(self.apps.last.lost, [])
            connection.sendFrame(PONG)

    def test_pingsWhilePaused(self):
        """
        Pings still leave while the application has paused its intake, so that the network can tell of a lost client.
        """
        for _ in self.each():
            self.apps.last.transport.pauseProducing()
            for count in range(1, 4):
                self.clock.advance(10)
                self.assertEqual(len(self.pings()), count)

    def test_blocked(self):
        """
        While the connection is full the write timeout is in charge: no pings, and no end for the want of a pong.
        """
        for connection in self.each(write_timeout=0):
            self.clock.advance(10)
            connection.transport.block()
            for _ in range(100):
                self.clock.advance(1)
            self.assertEqual((len(self.pings()), self.apps.last.lost), (1, []))
            connection.transport.unblock()
            self.assertPinged()
            self.clock.advance(4)
            self.assertSilent()

    def test_blockedAtDeadline(self):
        """
        A connection that has room again just before the deadline has a client that is alive.
        """
        for connection in self.each():
            self.clock.advance(10)
            connection.transport.block()
            self.clock.advance(3.9)
            connection.transport.unblock()
            self.clock.advance(0.2)
            self.assertEqual(self.apps.last.lost, [])

    def test_slowReader(self):
        """
        A client that still takes what was sent before the ping has yet to see it.
        """
        for connection in self.each():
            below = connection.transport.transport = Below(1000)
            self.clock.advance(10)
            below.wait(900)
            self.clock.advance(4)
            self.assertEqual(self.apps.last.lost, [])
            self.clock.advance(10)
            self.assertEqual(len(self.pings()), 2)
            self.clock.advance(4)
            self.assertSilent()

    def test_closing(self):
        """
        A WebSocket that is being closed is not pinged: the close timeout is in charge.
        """
        for asked in (0, 10):
            for _ in self.each(close_timeout=100):
                self.clock.advance(asked)
                self.apps.last.transport.close(3001, "x")
                for _ in range(90):
                    self.clock.advance(1)
                self.assertEqual(len(self.pings()), 1 if asked else 0)
                self.assertFalse(self.socket.transport.aborted)
                self.socket.sendFrame(CLOSE, closePayload(1000))
                self.assertEqual([reason.type for reason in self.apps.last.lost], [SessionDone])
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone(self):
        """
        A connection that is gone leaves no timer behind, whether it was pinged or not.
        """
        for asked in (0, 10):
            for connection in self.each():
                self.clock.advance(asked)
                connection.lose()
                self.assertEqual(self.clock.getDelayedCalls(), [])
                self.assertEqual(len(self.apps.last.lost), 1)

    def test_pingsOfBlockedClient(self):
        """
        A client that pings and does not read gets one pong, for its last ping, when it reads again.
        """
        for connection in self.each():
            connection.transport.block()
            for number in range(100):
                connection.sendFrame(PING, b"%d" % number)
            self.assertEqual([frame for frame in connection.frames() if frame.opcode == PONG], [])
            connection.transport.unblock()
            connection.sendFrame(PING, b"next")
            pongs = [frame.payload for frame in connection.frames() if frame.opcode == PONG]
            self.assertEqual(pongs, [b"99", b"next"])

    def test_closeTimeout(self):
        """
        A client that still takes what was sent before the close is not cut at the close timeout; one that has all and
        does not answer is.
        """
        for rest in (0, 900):
            for connection in self.each(close_timeout=3):
                below = connection.transport.transport = Below(1000)
                self.apps.last.transport.loseConnection()
                self.clock.advance(0)
                below.wait(900)
                self.clock.advance(3)
                self.assertFalse(connection.transport.aborted)
                below.wait(rest)
                self.clock.advance(3)
                self.assertTrue(connection.transport.aborted)
                self.clock.advance(0)
                self.assertEqual([reason.type for reason in self.apps.last.lost], [SessionDone])


class StallTests(SiteCase):
    """
    C{write_timeout}: what was written makes no progress.
    """

    def each(self, known=True):
        """
        Open a receiver of each kind, and let it be full.
        """
        for method, path in (*STREAMING, ("GET", FRAMED), ("GET", RAW)):
            self.serve(write_timeout=10, ping_interval=0)
            self.connection = self.connect()
            if path in (FRAMED, RAW):
                self.connection.upgrade(path)
            else:
                self.connection.ask(method, path)
            self.below = Below(50)
            if known:
                self.connection.transport.transport = self.below
            self.connection.transport.block()
            self.below.wait(1000)  # as over TLS, where the connection is full before all of a write is in it
            self.clock.advance(0)
            yield self.connection

    def assertStalled(self):
        """
        Assert that the session has just been cut.
        """
        self.clock.advance(0)
        self.assertTrue(self.connection.transport.aborted)
        (reason,) = self.apps.last.lost
        self.assertEqual(reason.type, SessionLost)
        self.assertEqual((reason.value.code, reason.value.reason), (1002, "The client does not read"))
        self.assertEqual(self.resource.stats.closed, {Cause.STALLED: 1})

    def test_noProgress(self):
        """
        A client that takes nothing for the write timeout loses its session.
        """
        for connection in self.each():
            self.clock.advance(9.9)
            self.assertFalse(connection.transport.aborted)
            self.clock.advance(0.2)
            self.assertStalled()

    def test_progress(self):
        """
        A client that takes something now and then keeps it, until it takes nothing any more.
        """
        for _ in self.each():
            for left in (999, 998, 500, 1):
                self.below.wait(left)
                self.apps.last.transport.write("x")  # waits in the session
                self.clock.advance(10)
                self.assertEqual(self.apps.last.lost, [])
            self.clock.advance(10)
            self.assertStalled()

    def test_unknown(self):
        """
        Where nothing is known about what is under way, a client is given the write timeout once.
        """
        for _ in self.each(known=False):
            self.clock.advance(10)
            self.assertStalled()

    def test_again(self):
        """
        A connection that has had room between has the whole time again.
        """
        for connection in self.each():
            self.clock.advance(9)
            connection.transport.unblock()
            self.below.wait(500)
            connection.transport.block()
            self.clock.advance(9)
            self.assertEqual(self.apps.last.lost, [])
            self.clock.advance(1)
            self.assertStalled()


class AbsentTests(SiteCase):
    """
    Clients that come no more, over HTTP.
    """

    def test_receiving(self):
        """
        The disconnect timer does not run while a response is open, on any transport, and does afterwards.
        """
        for method, path in (*STREAMING, *POLLING):
            self.serve(heartbeat_delay=100, disconnect_delay=5, response_limit=5000)
            if (method, path) in POLLING:
                self.ask(method, path)
            answer = self.ask(method, path)
            self.assertFalse(answer().ended)
            for _ in range(30):
                self.clock.advance(3)
            self.assertEqual((self.apps.last.lost, answer().ended), ([], False), path)
            self.apps.last.transport.write("x" * 5000)
            self.clock.advance(0)
            self.clock.advance(4.9)
            self.assertEqual((self.apps.last.lost, answer().ended), ([], True), path)
            self.clock.advance(0.2)
            (reason,) = self.apps.last.lost
            self.assertEqual(reason.value.reason, "The client did not come back")

    def test_vanishedPoller(self):
        """
        A poller that is gone without a word is noticed by the heartbeat that ends its poll: it does not come back.
        """
        for method, path in POLLING:
            self.serve(heartbeat_delay=25, disconnect_delay=5)
            self.ask(method, path)
            self.ask(method, path)
            self.clock.advance(25)
            self.clock.advance(4.9)
            self.assertEqual(self.apps.last.lost, [])
            self.clock.advance(0.2)
            self.assertEqual([reason.type for reason in self.apps.last.lost], [SessionLost])

    def test_neverReceived(self):
        """
        A WebSocket needs no disconnect timer.
        """
        for path in (FRAMED, RAW):
            self.serve(heartbeat_delay=0, ping_interval=0, disconnect_delay=5)
            self.connect().upgrade(path)
            self.assertEqual(self.clock.getDelayedCalls(), [])


class RealCase(TestCase):
    """
    Tests over real sockets.
    """

    async def serve(self, description="tcp:0:interface=127.0.0.1", protocol=Recorder, **settings):
        self.apps = Apps(protocol)
        site = SockJSFactory(self.apps, **settings)
        self.resource = site.resource
        self.port = await serverFromString(reactor, description).listen(site)
        self.addCleanup(self.port.stopListening)
        self.addCleanup(site.resource.stop)

    def client(self, endpoint=None):
        number = getattr(self.port.getHost(), "port", 0)
        client = HTTPClient(reactor, f"http://127.0.0.1:{number}")
        if endpoint is not None:
            client._endpoint = endpoint
        self.addCleanup(client.close)
        return client

    def accepted(self):
        """
        The server's ends of the connections to it.
        """
        return [reader for reader in reactor.getReaders() if isinstance(reader, Server) and reader.server is self.port]

    async def ending(self):
        """
        Wait until the application has been told of the end of its session.
        """
        while not self.apps.last.lost:
            await self.moment()
        (reason,) = self.apps.last.lost
        return reason.value.code, reason.value.reason

    async def moment(self):
        moment = Deferred()
        reactor.callLater(0.01, moment.callback, None)
        await moment


class RealPingTests(RealCase):
    """
    Pings over real sockets.
    """

    async def test_answered(self):
        """
        A client that answers its pings gets more of them.
        """
        await self.serve(ping_interval=0.05, pong_timeout=PATIENCE, heartbeat_delay=0)
        for path in (FRAMED, RAW):
            socket = await self.client().websocket(path)
            if path == FRAMED:
                await socket.frame()
            for _ in range(3):
                self.assertEqual((await socket.frame()).opcode, PING)
                socket.sendFrame(PONG)
            self.assertEqual(self.apps.last.lost, [])

    async def test_unanswered(self):
        """
        A client that does not answer is cut, and the application knows why.
        """
        await self.serve(ping_interval=0.05, pong_timeout=0.05)
        for path in (FRAMED, RAW):
            socket = await self.client().websocket(path)
            seen = []
            try:
                while True:
                    seen.append((await socket.frame()).opcode)
            except Cut:
                pass
            self.assertIn(PING, seen)
            self.assertNotIn(CLOSE, seen)
            self.assertEqual(await self.ending(), (1002, "The client does not answer"))
        self.assertEqual(self.resource.stats.closed, {Cause.SILENT: 2})


@skipIf(USER_TIMEOUT is None, "TCP_USER_TIMEOUT is not there")
class RealWatchTests(RealCase):
    """
    What the kernel is told about the sockets below receivers.
    """

    async def assertWatched(self, client):
        # Polls have their end with the next heartbeat, if there are any.
        for number, (method, path) in enumerate((*STREAMING, *POLLING, ("GET", FRAMED), ("GET", RAW))):
            for connection in self.accepted():
                connection.abortConnection()
            while self.accepted():
                await self.moment()
            if path in (FRAMED, RAW):
                await client.websocket(path)
            else:
                response = await client.request(method, path.replace("/s/", f"/{number}/"))
                await response.chunk()
            (connection,) = self.accepted()
            self.assertEqual(connection.socket.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT), 7000, path)
            self.assertTrue(connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    async def test_tcp(self):
        """
        It breaks a connection where nothing is acknowledged for the write timeout.
        """
        await self.serve(write_timeout=7, heartbeat_delay=0)
        await self.assertWatched(self.client())

    async def test_off(self):
        """
        Unless that is 0.
        """
        await self.serve(write_timeout=0)
        response = await self.client().request(*STREAMING[0])
        await response.chunk()
        (connection,) = self.accepted()
        self.assertEqual(connection.socket.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT), 0)

    @skipIf(Certificate is None, "pyOpenSSL is not there")
    async def test_tls(self):
        """
        So it does below TLS.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        trust = Certificate.loadPEM(makeCertificate(directory))
        keys = f"privateKey={directory}/k.pem:certKey={directory}/c.pem"
        await self.serve(f"ssl:0:interface=127.0.0.1:{keys}", write_timeout=7, heartbeat_delay=0)
        plain = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)
        options = optionsForClientTLS("localhost", trustRoot=trust)
        await self.assertWatched(self.client(wrapClientTLS(options, plain)))

    async def test_haproxy(self):
        """
        And below the PROXY protocol.
        """
        await self.serve("haproxy:tcp:port=0:interface=127.0.0.1", write_timeout=7, heartbeat_delay=0)
        wire = await self.client().connect()
        wire.write(b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 80\r\n")
        await (await wire.request(*STREAMING[0])).chunk()
        (connection,) = self.accepted()
        self.assertEqual(connection.socket.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT), 7000)


class RealStallTests(RealCase):
    """
    C{write_timeout} over real sockets.
    """

    def setUp(self):
        self.due = 0
        stallDue = Session.stallDue

        def count(session):
            self.due += 1
            stallDue(session)

        self.patch(Session, "stallDue", count)

    async def stall(self, open):
        """
        Open a receiver with little room on its way, and write more than there is room for.

        @return: the client's connection, which does not read.
        """
        before = self.accepted()
        wire = await open()
        (connection,) = [each for each in self.accepted() if each not in before]
        wire.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        wire.transport.pauseProducing()
        wire.transport.bufferSize = 4096
        self.apps.last.transport.write("x" * 900000)
        return wire

    async def assertPatient(self, open):
        wire = await self.stall(open)
        reading = LoopingCall(wire.transport.doRead)
        reading.start(0.05)
        try:
            self.due = 0
            while self.due < 3 and not self.apps.last.lost:
                await self.moment()
        finally:
            reading.stop()
        self.assertEqual(self.apps.last.lost, [])
        await self.ending()

    async def openWebSocket(self):
        return (await self.client().websocket(RAW)).wire

    async def openStream(self):
        return (await self.client().request("POST", "/0/s/xhr_streaming")).wire

    async def test_slowWebSocket(self):
        """
        A client that reads slowly keeps its session though its connection stays full; it ends when the reading does.
        """
        await self.serve(write_timeout=0.5)
        await self.assertPatient(self.openWebSocket)

    async def test_slowStream(self):
        """
        So it is over HTTP.
        """
        await self.serve(write_timeout=0.5, response_limit=10000000)
        await self.assertPatient(self.openStream)

    async def test_neverReads(self):
        """
        One that reads nothing is cut the first time.
        """
        await self.serve(write_timeout=0.5)
        await self.stall(self.openWebSocket)
        await self.ending()
        self.assertLessEqual(self.due, 1)  # the kernel may be faster
