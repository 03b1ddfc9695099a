# -*- test-case-name: tests.test_direct -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.transports.direct}: writing at once does what C{transport.write} does, only sooner.

Real sockets, most of them under a reactor that is turned by hand, so that it is known what the kernel has taken when.
"""

from __future__ import annotations

import errno
import itertools
import random
import socket
import struct
from pathlib import Path
from unittest import mock, skipIf

from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, serverFromString, wrapClientTLS
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.byhand import HandReactor, MemorySocket, serverOn
from tests.certificates import makeCertificate
from tests.support import Apps, TextEcho
from tests.wire import PATIENCE, HTTPClient
from txsockjs.factory import SockJSFactory
from txsockjs.transports.direct import writeNow

try:
    from twisted.internet.ssl import Certificate, DefaultOpenSSLContextFactory, optionsForClientTLS
except ImportError:  # an extra of Twisted's
    Certificate = None


def write(transport, data):
    """
    What L{writeNow} is compared with.
    """
    transport.write(data)


WAYS = (writeNow, write)


@implementer(IPushProducer)
class Told(Protocol):
    """
    Writes down what it is told, as protocol and as producer.
    """

    def __init__(self):
        self.heard = []
        self.received = []

    def dataReceived(self, data):
        self.received.append(data)

    def connectionLost(self, reason=None):
        self.heard.append(reason.type)

    def pauseProducing(self):
        self.heard.append("pause")

    def resumeProducing(self):
        self.heard.append("resume")

    def stopProducing(self):
        self.heard.append("stop")


@implementer(IHalfCloseableProtocol)
class Half(Told):
    """
    Cares for either half of the connection.
    """

    def readConnectionLost(self):
        self.heard.append("read lost")

    def writeConnectionLost(self):
        self.heard.append("write lost")


def reset(client):
    """
    Close so that the other end gets a RST.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class HandCase(SynchronousTestCase):
    """
    A real connection, and a reactor that is turned by hand.
    """

    def setUp(self):
        self.events = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def tearDown(self):
        self.assertEqual(self.events, [], "something was logged")

    def connect(self, protocol=Told, small=False, producing=True):
        """
        Make a connection.

        @param small: whether the kernel holds as little as it can.
        """
        with socket.create_server(("127.0.0.1", 0)) as port:
            client = socket.socket()
            self.addCleanup(client.close)
            if small:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.connect(port.getsockname())
            sock, _ = port.accept()
        self.addCleanup(sock.close)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        client.settimeout(PATIENCE)
        self.client, self.reactor, self.protocol = client, HandReactor(), protocol()
        self.transport = serverOn(self.reactor, sock, self.protocol)
        if producing:
            self.transport.registerProducer(self.protocol, True)
        return self.transport

    def fill(self):
        """
        Write until the kernel takes no more.

        @return: what was written.
        """
        data = b""
        while not self.transport._tempDataBuffer:
            piece = bytes(range(256)) * 16
            writeNow(self.transport, piece)
            data += piece
        return data

    def readAll(self, size):
        """
        Read that many bytes at the other end, while the reactor turns.
        """
        data = bytearray()
        while len(data) < size:
            self.reactor.turn()
            self.client.setblocking(False)
            try:
                piece = self.client.recv(65536)
                self.assertNotEqual(piece, b"", f"it ends after {len(data)} bytes")
                data += piece
            except BlockingIOError:
                self.reactor.turn(0.01)
        return bytes(data)

    def untilLost(self):
        """
        Let the reactor turn until the protocol has lost its connection, and then some more.
        """
        for _ in range(1000):
            self.reactor.turn(0.01)
            if not self.transport.connected:
                break
        self.reactor.settle()
        self.assertFalse(self.transport.connected)
        return self.protocol.heard


class AtOnceTests(HandCase):
    """
    L{writeNow} does not wait.
    """

    def test_atOnce(self):
        """
        What is written is there before the reactor has turned, and nothing is left to do.
        """
        transport = self.connect()
        writeNow(transport, b"hello")
        self.assertEqual(self.client.recv(100), b"hello")
        self.assertEqual((self.reactor.writers, self.protocol.heard), ({}, []))

    def test_whatIsLeft(self):
        """
        What the kernel does not take waits for the reactor, and not a byte is lost or comes twice.
        """
        transport = self.connect(small=True)
        data = self.fill()
        self.assertEqual(list(self.reactor.writers), [transport])
        self.assertEqual(self.readAll(len(data)), data)
        self.reactor.settle()
        self.assertEqual(self.reactor.writers, {})

    def test_inOrder(self):
        """
        While something waits, all that is written waits behind it, even when the kernel has room again.
        """
        transport = self.connect(small=True)
        data = self.fill()
        rest = len(data) - len(transport._tempDataBuffer[0])
        first = b""
        while len(first) < rest:
            first += self.client.recv(rest - len(first))
        writeNow(transport, b"behind")
        self.assertEqual(first + self.readAll(len(data) - len(first) + 6), data + b"behind")

    def test_behindWrite(self):
        """
        What was given to C{transport.write} in the same turn comes first.
        """
        transport = self.connect()
        for one, other in itertools.product((transport.write, lambda data: transport.writeSequence([data])), repeat=2):
            one(b"a")
            writeNow(transport, b"b")
            other(b"c")
            writeNow(transport, b"d")
            self.assertEqual(self.readAll(4), b"abcd")
            self.reactor.settle()
        writeNow(transport, b"e")
        self.assertEqual(self.client.recv(100), b"e")

    def test_nothing(self):
        """
        To write nothing is to do nothing.
        """
        transport = self.connect()
        writeNow(transport, b"")
        self.assertEqual((self.reactor.writers, transport._tempDataBuffer), ({}, []))
        writeNow(transport, b"x")
        self.assertEqual(self.client.recv(100), b"x")

    def test_large(self):
        """
        What is more than Twisted sends in one go arrives as well.
        """
        transport = self.connect()
        data = random.Random(1).randbytes(5_000_000)
        writeNow(transport, data)
        writeNow(transport, b"end")
        self.assertEqual(self.readAll(len(data) + 3), data + b"end")

    def test_withinResume(self):
        """
        A producer that writes as soon as it is resumed, from within the reactor's own writing, writes in order.
        """
        transport = self.connect(small=True)
        more = [b"one" * 10_000, b"two" * 50_000, b"three"]
        self.protocol.resumeProducing = lambda: more and writeNow(transport, more.pop(0))
        written = b"".join(more)
        transport.bufferSize = 1000
        data = self.fill()
        self.assertEqual(self.readAll(len(data) + len(written)), data + written)


class ProducerTests(HandCase):
    """
    A producer is paused when too much waits, and resumed when all is gone.
    """

    def test_paused(self):
        """
        That happens at the same amount of waiting bytes as with C{write}.
        """
        self.connect(small=True)
        self.fill()
        self.protocol.heard.clear()
        waiting = self.transport._tempDataLen
        writeNow(self.transport, bytes(self.transport.bufferSize - waiting))
        self.assertEqual(self.protocol.heard, [])
        writeNow(self.transport, b"x")
        self.assertEqual(self.protocol.heard, ["pause"])

    def test_atOnce(self):
        """
        One write that the kernel takes no more than a part of pauses it too, before the write is over.
        """
        self.connect(small=True)
        writeNow(self.transport, bytes(8_000_000))
        self.assertEqual(self.protocol.heard, ["pause"])

    def test_resumed(self):
        """
        It is resumed once, after the last byte has left Twisted.
        """
        self.connect(small=True)
        writeNow(self.transport, bytes(1_000_000))
        self.assertEqual(len(self.readAll(1_000_000)), 1_000_000)
        self.reactor.settle()
        self.assertEqual(self.protocol.heard, ["pause", "resume"])

    def test_pausedAgain(self):
        """
        So it goes each time.
        """
        self.connect(small=True)
        for _ in range(3):
            writeNow(self.transport, bytes(1_000_000))
            self.readAll(1_000_000)
            self.reactor.settle()
        self.assertEqual(self.protocol.heard, ["pause", "resume"] * 3)

    def test_room(self):
        """
        While the kernel takes everything it is left alone.
        """
        self.connect()
        for _ in range(100):
            writeNow(self.transport, b"x" * 1000)
            self.assertEqual(len(self.client.recv(1000, socket.MSG_WAITALL)), 1000)
        self.assertEqual(self.protocol.heard, [])


class MixTests(HandCase):
    """
    Whatever is written in whatever way, with readers of any speed.
    """

    def play(self, seed, small):
        chance = random.Random(seed)
        transport = self.connect(small=small)
        transport.bufferSize = chance.choice((1, 1000, 65536))
        written, read = bytearray(), bytearray()
        self.client.setblocking(False)
        for number in range(80):
            data = bytes([number]) * chance.choice((0, 1, 50, 3000, 70_000, 200_000))
            kind = chance.randrange(8)
            if kind < 3:
                writeNow(transport, data)
            elif kind == 3:
                transport.write(data)
            elif kind == 4:
                transport.writeSequence([data, b"|"])
                data += b"|"
            else:
                data = b""
                if kind == 5:
                    self.reactor.turn()
                try:
                    read += self.client.recv(chance.choice((1, 100, 5000, 1_000_000)))
                except BlockingIOError:
                    pass
            written += data
        read += self.readAll(len(written) - len(read))
        self.reactor.settle()
        self.assertTrue(read == written, f"with the seed {seed}")
        self.assertEqual((self.reactor.writers, transport.dataBuffer, transport._tempDataBuffer), ({}, b"", []))
        pauses, resumes = self.protocol.heard.count("pause"), self.protocol.heard.count("resume")
        self.assertEqual(bool(pauses), bool(resumes))
        self.assertEqual((self.protocol.heard or ["resume"])[-1], "resume")
        # Twisted tells of each write that finds it full; once it has been resumed the next thing is a pause again.
        self.assertNotIn(("resume", "resume"), list(zip(self.protocol.heard, self.protocol.heard[1:])))

    def test_mix(self):
        """
        Every byte arrives once and in order; whoever was paused is resumed in the end.
        """
        for seed in range(24):
            self.play(seed, small=seed % 3 > 0)

    def sink(self, way, seed):
        """
        The same into a socket in memory, where it is known what the kernel takes.
        """
        chance = random.Random(seed)
        sock, hands, protocol = MemorySocket(chance.choice((5, 40, 300))), HandReactor(), Told()
        transport = serverOn(hands, sock, protocol)
        written = bytearray()
        for number in range(200):
            data = bytes([number]) * chance.choice((0, 1, 5, 20, 400))
            kind, size = chance.randrange(7), chance.choice((1, 7, 300))
            if kind < 3:
                way(transport, data)
                written += data
            elif kind == 3:
                transport.write(data)
                written += data
            elif kind == 4:
                sock.take(size)
            elif kind == 5:
                hands.turn()
            elif number > 150 and not transport.disconnecting:
                transport.loseConnection()
        transport.loseConnection()
        while transport.connected:
            sock.take(1000)
            hands.turn()
        self.assertEqual(bytes(sock.sent), bytes(written))
        return bytes(sock.sent), protocol.heard

    def test_steps(self):
        """
        However little the kernel takes at a time, what leaves is the same as with C{write}, and so is the end.
        """
        for seed in range(80):
            self.assertEqual(self.sink(writeNow, seed), self.sink(write, seed), f"with the seed {seed}")

    def test_interrupted(self):
        """
        What a kernel does not take for now, for whatever reason, it is given again by the reactor.
        """
        for number in (errno.EINTR, errno.EWOULDBLOCK, errno.ENOBUFS):
            sock, hands = MemorySocket(100), HandReactor()
            transport = serverOn(hands, sock, Told())
            answers = [OSError(number, "for now"), 2]
            with mock.patch.object(sock, "send", side_effect=answers):
                writeNow(transport, b"ab")
            hands.settle()
            self.assertEqual(bytes(sock.sent), b"ab")


class BrokenTests(HandCase):
    """
    A connection that is broken, or closed, or about to be.
    """

    def test_reset(self):
        """
        When the peer has reset the connection, nothing is raised, and the protocol loses its connection once. (Whether
        it counts as an orderly end depends on who asks the kernel first, which tells of a reset just once.)
        """
        for way, count in itertools.product(WAYS, (1, 2, 5)):
            self.connect()
            reset(self.client)
            self.reactor.readers.clear()  # it is the writing that is to find out
            for _ in range(count):
                way(self.transport, b"x")
            self.assertEqual(self.protocol.heard, [])
            self.assertEqual(self.untilLost(), ["stop", ConnectionLost])
            way(self.transport, b"late")
            self.reactor.settle()
            self.assertEqual(self.protocol.heard, ["stop", ConnectionLost])

    def test_resetWhileReading(self):
        """
        The same with a reactor that reads.
        """
        for way in WAYS:
            self.connect()
            reset(self.client)
            way(self.transport, b"x")
            way(self.transport, b"y")
            heard = self.untilLost()
            self.assertEqual(heard[:-1], ["stop"])
            self.assertIn(heard[-1], (ConnectionLost, ConnectionDone))

    def test_resetWithData(self):
        """
        What the peer said before it reset the connection is read nevertheless.
        """
        for way in WAYS:
            self.connect()
            self.client.sendall(b"last words")
            reset(self.client)
            way(self.transport, b"x")
            way(self.transport, b"y")
            self.untilLost()
            self.assertEqual(self.protocol.received, [b"last words"])

    def test_resetWhileFull(self):
        """
        So it is when something waits to be sent.
        """
        for way in WAYS:
            self.connect(small=True)
            self.fill()
            self.protocol.heard.clear()
            reset(self.client)
            way(self.transport, b"x")
            heard = self.untilLost()
            self.assertEqual(heard[0], "stop")
            self.assertIn(heard[1:], ([ConnectionLost], [ConnectionDone]))

    def test_fin(self):
        """
        When the peer has closed in the orderly way, the end is an orderly one.
        """
        for way in WAYS:
            self.connect()
            self.client.close()
            way(self.transport, b"x")
            self.assertEqual(self.untilLost(), ["stop", ConnectionDone])

    def test_afterLoss(self):
        """
        When the connection is lost, what is written is dropped.
        """
        for way in WAYS:
            self.connect()
            self.transport.connectionLost(mock.Mock(check=lambda *args: None))
            way(self.transport, b"x")
            self.reactor.settle()
            self.assertEqual(self.client.recv(10), b"")
            self.assertEqual((self.transport._tempDataBuffer, self.reactor.writers), ([], {}))

    def test_afterLoseConnection(self):
        """
        What is written after C{loseConnection}, in the same turn, still leaves.
        """
        for way in WAYS:
            self.connect(producing=False)
            way(self.transport, b"a")
            self.transport.loseConnection()
            way(self.transport, b"b")
            self.assertEqual(self.untilLost(), [ConnectionDone])
            self.assertEqual(self.client.recv(10, socket.MSG_WAITALL), b"ab")

    def test_loseConnectionWaits(self):
        """
        C{loseConnection} waits for what the kernel has not taken.
        """
        self.connect(small=True, producing=False)
        data = self.fill()
        self.transport.loseConnection()
        writeNow(self.transport, b"x")
        self.assertEqual(self.readAll(len(data) + 1), data + b"x")
        self.assertEqual(self.untilLost(), [ConnectionDone])

    def test_afterAbort(self):
        """
        What is written after C{abortConnection} does not leave.
        """
        for way in WAYS:
            self.connect()
            self.transport.abortConnection()
            with mock.patch.object(self.transport, "writeSomeData") as send:
                way(self.transport, b"x")
                self.assertEqual(self.untilLost(), ["stop", ConnectionAborted])
            self.assertEqual(send.mock_calls, [])
            self.assertRaises(ConnectionResetError, self.client.recv, 10)

    def test_afterHalfClose(self):
        """
        After our half of the connection is closed what is written is dropped; what was written before that leaves.
        """
        for way in WAYS:
            self.connect(Half, producing=False)
            way(self.transport, b"a")
            self.transport.loseWriteConnection()
            way(self.transport, b"b")
            self.reactor.settle()
            self.assertEqual(self.protocol.heard, ["write lost"])
            way(self.transport, b"c")
            self.reactor.settle()
            self.assertEqual(self.client.recv(10, socket.MSG_WAITALL), b"ab")
            self.assertEqual((self.transport._tempDataBuffer, self.reactor.writers), ([], {}))

    def test_afterPeersHalfClose(self):
        """
        A peer that sends no more still gets what is written.
        """
        for way in WAYS:
            self.connect(Half, producing=False)
            self.client.shutdown(socket.SHUT_WR)
            self.reactor.turn(1)
            self.assertEqual(self.protocol.heard, ["read lost"])
            way(self.transport, b"a")
            self.assertEqual(self.readAll(1), b"a")

    def test_pausedReading(self):
        """
        A transport that does not read writes all the same.
        """
        self.connect()
        self.transport.pauseProducing()
        writeNow(self.transport, b"a")
        self.assertEqual(self.client.recv(10), b"a")


class OtherTransportTests(HandCase):
    """
    Any other transport gets a plain C{write}.
    """

    def test_noServer(self):
        """
        So does one that is no TCP of Twisted's, and one that is derived from it: it may write in its own way.
        """

        class Derived(Server):
            writeSomeData = None

        transport = StringTransport()
        writeNow(transport, b"a")
        self.assertEqual(transport.value(), b"a")
        other = Derived(MemorySocket(10), Told(), ("127.0.0.1", 1), None, 0, HandReactor())
        writeNow(other, b"a")
        self.assertEqual(other._tempDataBuffer, [b"a"])

    @skipIf(Certificate is None, "needs TLS")
    def test_startTLS(self):
        """
        When TLS has been started on it, nothing leaves that is not encrypted.
        """
        path = Path(self.mktemp())
        path.mkdir()
        makeCertificate(path)
        sock, hands = MemorySocket(10**6), HandReactor()
        transport = serverOn(hands, sock, Told())
        writeNow(transport, b"open")
        transport.startTLS(DefaultOpenSSLContextFactory(str(path / "k.pem"), str(path / "c.pem")))
        writeNow(transport, b"secret")
        hands.settle()
        self.assertNotIn(b"secret", bytes(sock.sent))

    def test_attributes(self):
        """
        What is looked at is there in this version of Twisted, on a new transport, and means what it should.
        """
        transport = self.connect(producing=False)
        names = (
            "dataBuffer", "_tempDataBuffer", "disconnecting", "_aborting", "_writeDisconnected", "connected", "TLS",
        )  # fmt: skip
        self.assertEqual([bool(getattr(transport, name)) for name in names], [False] * 5 + [True, False])
        transport.write(b"x")
        self.assertTrue(transport._tempDataBuffer)
        with mock.patch.object(transport, "writeSomeData", return_value=0):
            transport.doWrite()
        self.assertEqual((transport.dataBuffer, transport._tempDataBuffer), (b"x", []))
        self.assertEqual(transport.writeSomeData(b"yz"), 2)
        self.client.close()
        transport.writeSomeData(b"x")
        self.assertIsInstance(transport.writeSomeData(b"x"), ConnectionLost)


class ServiceTests(TestCase):
    """
    A real service, under the reactor that runs the tests.
    """

    async def listen(self, description):
        site = SockJSFactory(Apps(TextEcho))
        port = await serverFromString(reactor, description).listen(site)
        self.addCleanup(site.resource.stop)
        self.addCleanup(port.stopListening)
        self.apps = site.resource._service.factory
        return port

    async def echo(self, client):
        """
        Have a message come back.

        @return: what was given to C{FileDescriptor.write} meanwhile.
        """
        self.addCleanup(client.close)
        socket = await client.websocket("/websocket")
        socket.sendText("first")
        self.assertEqual(await socket.message(), "first")
        written = []
        plain = FileDescriptor.write

        def note(transport, data):
            # The client's own descriptors are not Server.
            if not isinstance(transport, (Server, *self.servers)):
                return plain(transport, data)
            written.append(data)
            return plain(transport, data)

        self.patch(FileDescriptor, "write", note)
        socket.sendText("second")
        self.assertEqual(await socket.message(), "second")
        return written

    servers = ()

    async def test_plain(self):
        """
        On plain TCP the shortcut is taken.
        """
        port = await self.listen("tcp:0:interface=127.0.0.1")
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.assertEqual(await self.echo(client), [])

    @skipIf(Certificate is None, "needs TLS")
    async def test_tls(self):
        """
        With TLS it is not, and the message arrives nevertheless.
        """
        path = Path(self.mktemp())
        path.mkdir()
        root = Certificate.loadPEM(makeCertificate(path))
        port = await self.listen(
            f"ssl:0:interface=127.0.0.1:privateKey={path / 'k.pem'}:certKey={path / 'c.pem'}".replace("\\", "/")
        )
        number = port.getHost().port
        client = HTTPClient(reactor, f"https://127.0.0.1:{number}")
        client._endpoint = wrapClientTLS(
            optionsForClientTLS("localhost", trustRoot=root), TCP4ClientEndpoint(reactor, "127.0.0.1", number)
        )
        written = await self.echo(client)
        self.assertEqual(len(written), 1)
        self.assertNotIn(b"second", b"".join(written))

    async def test_unix(self):
        """
        With a Unix socket neither.
        """
        from twisted.internet.unix import Server as UNIXServer

        self.servers = (UNIXServer,)
        path = f"{self.mktemp()}.s"[-80:]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        await self.listen(f"unix:{path}")
        client = HTTPClient(reactor, "http://localhost")
        client._endpoint = UNIXClientEndpoint(reactor, path)
        self.assertEqual(await self.echo(client), [b"\x81\x06second"])

    async def test_slowReader(self):
        """
        A client that stops reading while much is written to it gets all of it, in order, when it goes on.
        """
        port = await self.listen("tcp:0:interface=127.0.0.1")
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.addCleanup(client.close)
        socket = await client.websocket("/websocket")
        socket.wire.transport.pauseProducing()
        texts = [f"{number} " + "x" * 20_000 for number in range(500)]
        transport = self.apps.last.transport
        transport.registerProducer(Writer(transport, texts), False)
        await deferLater(reactor, 0.2)
        socket.wire.transport.resumeProducing()
        for text in texts:
            self.assertEqual(await socket.message(), text)

    async def test_reset(self):
        """
        A client that resets the connection while it is written to ends its session once, and nothing is logged.
        """
        port = await self.listen("tcp:0:interface=127.0.0.1")
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.addCleanup(client.close)
        events = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        for _ in range(20):
            socket = await client.websocket("/websocket")
            app = self.apps.last
            socket.abort()
            for _ in range(100):
                app.transport.write("x" * 1000)
                await deferLater(reactor, 0)
                if app.lost:
                    break
                await deferLater(reactor, 0.01)
            self.assertEqual([reason.value.code for reason in app.lost], [1006])
        self.assertEqual([event for event in events if event["log_level"] > LogLevel.info], [])


class Writer:
    """
    A pull producer that writes its texts.
    """

    def __init__(self, transport, texts):
        self._transport = transport
        self._texts = iter(texts)

    def resumeProducing(self):
        text = next(self._texts, None)
        if text is None:
            self._transport.unregisterProducer()
        else:
            self._transport.write(text)

    def stopProducing(self):
        pass
