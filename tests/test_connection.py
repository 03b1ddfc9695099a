# -*- test-case-name: tests.test_connection -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Tests for L{txsockjs.connection}: what a wrapped protocol has as its transport.
"""

from __future__ import annotations

import json

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txsockjs.codec import RAW, SOCKJS, SharedMessage
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.errors import SessionDone
from txsockjs.interfaces import ISockJSProtocol, ISockJSTransport, RequestFacts
from txsockjs.options import Options
from txsockjs.registry import Registry
from txsockjs.session import HIGH_WATER

PEER = IPv4Address("TCP", "192.0.2.1", 50000)
HOST = IPv4Address("TCP", "192.0.2.2", 443)
FACTS = RequestFacts("/echo", {"q": ("1",)}, {"origin": "https://example.com"})


class Crash(Exception):
    """
    An application fails.
    """


class Client:
    """
    The other side: a receiver that takes everything.
    """

    persistent = False

    def __init__(self):
        self.frames = []
        self.closing = None
        self.aborted = False
        self.reading = True

    def send(self, frame):
        self.frames.append(frame)
        return True

    def close(self, code, reason):
        self.closing = (code, reason)

    def abort(self):
        self.aborted = True

    def unsent(self):
        return 0

    def pauseReading(self):
        self.reading = False

    def resumeReading(self):
        self.reading = True

    @property
    def messages(self):
        return [text for frame in self.frames if frame.startswith(b"a") for text in json.loads(frame[1:])]


class Bytes(Protocol):
    """
    An ordinary protocol. It fails where C{crashIn} says.
    """

    crashIn = None
    reason = None

    def __init__(self):
        self.data = []
        self.calls = []

    def called(self, name):
        self.calls.append(name)
        if name == self.crashIn:
            raise Crash(name)

    def connectionMade(self):
        self.called("connectionMade")

    def dataReceived(self, data):
        self.data.append(data)
        self.called("dataReceived")

    def connectionLost(self, reason=None):
        self.reason = reason
        self.called("connectionLost")


@implementer(ISockJSProtocol)
class Text(Bytes):
    """
    A protocol that deals in text.
    """

    def messageReceived(self, message):
        self.data.append(message)
        self.called("messageReceived")


class ConnectionTestCase(SynchronousTestCase):
    """
    Connections with their sessions.
    """

    def setUp(self):
        self.clock = Clock()
        self.registry = Registry(Options(), self.clock)

    def connect(self, protocol=Bytes, encoding="utf-8", framing=SOCKJS, crashIn=None):
        """
        Connect a protocol of the given class.

        @return: its transport, after the client has come.
        """
        factory = Factory.forProtocol(protocol)
        self.protocol = None

        def build(address):
            self.address = address
            self.protocol = protocol()
            self.protocol.crashIn = crashIn
            return self.protocol

        factory.buildProtocol = build
        return self.connectFactory(factory, encoding, framing)

    def connectFactory(self, factory, encoding="utf-8", framing=SOCKJS):
        self.session = self.registry.create(framing, f"session{len(self.registry)}")
        connection = Connection(self.session, factory, lookupEncoding(encoding), "xhr-streaming", FACTS, PEER, HOST)
        self.session.bind(connection)
        self.client = Client()
        self.session.attach(self.client)
        return connection

    def sent(self):
        """
        @return: the messages that the client has got by the end of this turn.
        """
        self.clock.advance(0)
        return self.client.messages


class InterfaceTests(ConnectionTestCase):
    """
    What a connection says of itself.
    """

    def test_interfaces(self):
        """
        It is a transport, a consumer and a push producer, and has all that is said of SockJS transports.
        """
        connection = self.connect()
        for interface in (ITransport, IConsumer, IPushProducer, ISockJSTransport):
            self.assertTrue(verifyObject(interface, connection))
        self.assertIs(self.protocol.transport, connection)

    def test_facts(self):
        """
        Addresses, name of the transport and facts of the request are there as they were when the session was opened.
        """
        connection = self.connect()
        self.assertEqual((connection.getPeer(), connection.getHost()), (PEER, HOST))
        self.assertEqual(connection.transportName, "xhr-streaming")
        self.assertEqual(connection.requestFacts.path, "/echo")
        self.assertEqual(connection.requestFacts.args["q"], ("1",))
        self.assertEqual(connection.requestFacts.headers["origin"], "https://example.com")
        self.assertEqual(connection.encodingName, "utf-8")
        self.assertIs(self.address, PEER)

    def test_id(self):
        """
        Each connection has an id of its own that is not the session id of the URL; a program may show it in its logs.
        """
        connections = [self.connect() for _ in range(100)]
        self.assertEqual(len({connection.id for connection in connections}), 100)
        for connection in connections:
            self.assertIsInstance(connection.id, str)
            self.assertNotIn("session", connection.id)
            self.assertIn(connection.id, repr(connection))

    def test_repr(self):
        """
        Its repr says whether it is closing.
        """
        connection = self.connect()
        self.assertNotIn("closing", repr(connection))
        connection.loseConnection()
        self.assertIn("closing", repr(connection))

    def test_refused(self):
        """
        A factory that builds no protocol refuses the session: the client gets the close frame, and no opening.
        """
        factory = Factory()
        factory.buildProtocol = lambda address: None
        self.connectFactory(factory)
        self.clock.advance(0)
        self.assertEqual(self.client.frames, [b'c[3000,"Go away!"]'])
        self.assertEqual(len(self.registry), 0)


class WritingTests(ConnectionTestCase):
    """
    From the protocol to the client.
    """

    def test_kinds(self):
        """
        Text and all kinds of bytes can be written.
        """
        connection = self.connect()
        connection.write("t\xebxt")
        connection.write("b\xffytes".encode())
        connection.write(bytearray(b"array"))
        connection.write(memoryview(b"view"))
        self.assertEqual(self.sent(), ["t\xebxt", "b\xffytes", "array", "view"])

    def test_otherKinds(self):
        """
        Anything else is an error of the program.
        """
        connection = self.connect()
        for wrong in (None, 1, ["a"]):
            self.assertRaises(TypeError, connection.write, wrong)
        self.assertRaises(TypeError, connection.writeSequence, [b"a", "b"])
        self.assertEqual(self.sent(), [])

    def test_empty(self):
        """
        Empty bytes are nothing, as on other transports; empty text is an empty message.
        """
        connection = self.connect()
        connection.write(b"")
        connection.write("")
        self.assertEqual(self.sent(), [""])

    def test_writeSequence(self):
        """
        A sequence is one message, be it of bytes or of texts.
        """
        connection = self.connect()
        connection.writeSequence([b"a", b"b"])
        connection.writeSequence(iter(["c", "d"]))
        connection.writeSequence([])
        connection.writeSequence(["\xc3".encode("latin-1"), b"\xa9"])
        self.assertEqual(self.sent(), ["ab", "cd", "\xe9"])

    def test_writeMessages(self):
        """
        Several messages at once are as many messages, in one frame.
        """
        connection = self.connect()
        connection.writeMessages(iter(["a", b"b", ""]))
        self.sent()
        self.assertEqual(self.client.frames, [b"o", b'a["a","b",""]'])

    def test_writeShared(self):
        """
        A message that was prepared for many is sent like any other.
        """
        connection = self.connect()
        connection.writeShared(SharedMessage(connection.textOf(b"a")))
        self.assertEqual(self.sent(), ["a"])
        self.assertIsNone(connection.textOf(b""))
        self.assertRaises(ValueError, connection.textOf, b"\xc3")

    def test_splitCharacter(self):
        """
        A character that is split over writes is held until it is whole.
        """
        connection = self.connect()
        for byte in "\u20ac".encode():
            connection.write(bytes([byte]))
        connection.write(b"a\xc3")
        connection.write(b"\xa9b")
        self.assertEqual(self.sent(), ["\u20ac", "a", "\xe9b"])

    def test_textWithinACharacter(self):
        """
        Text in the middle of a character is an error of the program.
        """
        connection = self.connect()
        connection.write(b"\xc3")
        error = self.assertRaises(ValueError, connection.write, "text")
        self.assertIn("encoding", str(error))

    def test_undecodable(self):
        """
        Bytes that are no text raise an error that names the option, and leave the session as it was.
        """
        connection = self.connect()
        error = self.assertRaises(ValueError, connection.write, b"\xff\xfe")
        self.assertIn("encoding=", str(error))
        self.assertNotIsInstance(error, UnicodeError)
        connection.write(b"fine")
        self.assertEqual(self.sent(), ["fine"])

    def test_latin1(self):
        """
        In latin-1 any byte is a character, both ways.
        """
        everything = bytes(range(256))
        connection = self.connect(encoding="latin-1")
        connection.write(everything)
        self.assertEqual(self.sent(), [everything.decode("latin-1")])
        self.session.received([everything.decode("latin-1")])
        self.assertEqual(self.protocol.data, [everything])

    def test_base64(self):
        """
        In base64 any bytes travel, both ways.
        """
        connection = self.connect(encoding="base64")
        connection.write(b"\x00\xff")
        connection.write(b"")
        connection.write("\xe9")
        self.assertEqual(self.sent(), ["AP8=", "w6k="])
        self.session.received(["AP8=", ""])
        self.assertEqual(self.protocol.data, [b"\x00\xff", b""])

    def test_loneSurrogates(self):
        """
        Text with lone surrogates, which browsers send, goes both ways.
        """
        connection = self.connect(Text)
        self.session.received(["a\ud800"])
        self.assertEqual(self.protocol.data, ["a\ud800"])
        connection.write("a\udfff")
        self.sent()
        self.assertEqual(self.client.frames, [b"o", b'a["a\\udfff"]'])

    def test_loneSurrogatesRaw(self):
        """
        Where nothing can be escaped a replacement character stands in for them.
        """
        connection = self.connect(Text, framing=RAW)
        connection.write("a\udfff")
        self.clock.advance(0)
        self.assertEqual(self.client.frames, ["a\ufffd".encode()])

    def test_afterTheEnd(self):
        """
        Writing after the end does nothing, as on other transports.
        """
        connection = self.connect()
        connection.abortConnection()
        self.clock.advance(0)
        connection.write("a")
        connection.writeSequence([b"a"])
        connection.writeMessages(["a"])
        connection.loseConnection()
        connection.abortConnection()
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.protocol.calls, ["connectionMade", "connectionLost"])


class ReceivingTests(ConnectionTestCase):
    """
    From the client to the protocol.
    """

    def test_bytes(self):
        """
        An ordinary protocol gets each message as bytes by a call of its own.
        """
        self.connect()
        self.session.received(["a", "\u20ac", ""])
        self.assertEqual(self.protocol.data, [b"a", "\u20ac".encode(), b""])

    def test_text(self):
        """
        A protocol that deals in text gets text, whatever the encoding.
        """
        self.connect(Text, encoding="base64")
        self.session.received(["\u20ac"])
        self.assertEqual(self.protocol.data, ["\u20ac"])
        self.assertEqual(self.protocol.calls, ["connectionMade", "messageReceived"])

    def test_loneSurrogates(self):
        """
        A lone surrogate has no bytes in UTF-8: the protocol gets a replacement character, and the session lives on.
        """
        self.connect()
        self.session.received(["a\ud800", "b"])
        self.assertEqual(self.protocol.data, ["a\ufffd".encode(), b"b"])

    def test_unencodable(self):
        """
        A message that the encoding can't carry closes the session with 1007, and the protocol does not see it.
        """
        for encoding, message in (("latin-1", "\u20ac"), ("base64", "no!"), ("ascii", "\xe9")):
            self.connect(encoding=encoding)
            self.session.received([message, "YQ=="])
            self.clock.advance(0)
            self.assertEqual(self.client.closing[0], 1007)
            self.assertLessEqual(len(self.client.closing[1]), 123)
            self.assertEqual(self.protocol.data, [])
            self.assertIs(self.protocol.reason.type, SessionDone)
            self.assertEqual(self.protocol.reason.value.code, 1007)

    def test_pause(self):
        """
        A protocol that pauses its transport gets no more until it resumes it.
        """
        connection = self.connect()
        connection.pauseProducing()
        self.assertFalse(self.client.reading)
        self.session.received(["a"])
        self.assertEqual(self.protocol.data, [])
        connection.resumeProducing()
        self.assertTrue(self.client.reading)
        self.clock.advance(0)
        self.assertEqual(self.protocol.data, [b"a"])

    def test_stop(self):
        """
        A protocol that stops its transport closes it.
        """
        self.connect().stopProducing()
        self.clock.advance(0)
        self.assertEqual(self.client.closing, (3000, "Go away!"))


class EndingTests(ConnectionTestCase):
    """
    All ways to an end.
    """

    def test_loseConnection(self):
        """
        It is closed with the default code, after what was written.
        """
        connection = self.connect()
        connection.write("a")
        self.assertFalse(connection.disconnecting)
        connection.loseConnection()
        self.assertTrue(connection.disconnecting)
        self.clock.advance(0)
        self.assertEqual(self.client.frames, [b"o", b'a["a"]', b'c[3000,"Go away!"]'])
        self.clock.advance(0)
        self.assertEqual(self.protocol.calls, ["connectionMade", "connectionLost"])
        self.assertIs(self.protocol.reason.type, SessionDone)

    def test_close(self):
        """
        Code and reason of a close go to the client and are what the protocol is told.
        """
        reason = "\xe9" * 61 + "!"
        for code in (1000, 3000, 4999):
            self.connect().close(code, reason)
            self.clock.advance(0)
            self.assertEqual(self.client.closing, (code, reason))
            self.assertEqual((self.protocol.reason.value.code, self.protocol.reason.value.reason), (code, reason))

    def test_closeDefault(self):
        """
        Without code and reason it is the default of SockJS.
        """
        self.connect().close()
        self.clock.advance(0)
        self.assertEqual(self.client.closing, (3000, "Go away!"))

    def test_wrongCodes(self):
        """
        Other codes are an error of the program, since no WebSocket could carry them.
        """
        connection = self.connect()
        for code in (0, 999, 1001, 1005, 1006, 1011, 2010, 2999, 5000, -3000, "3000", 3000.0, None):
            error = self.assertRaises(ValueError, connection.close, code, "")
            self.assertIn("close code", str(error))
        self.assertFalse(connection.disconnecting)

    def test_wrongReasons(self):
        """
        So are reasons that a WebSocket could not carry.
        """
        connection = self.connect()
        for reason in ("x" * 124, "\xe9" * 62, "\ud800", b"bytes", None):
            error = self.assertRaises(ValueError, connection.close, 3000, reason)
            self.assertIn("close reason", str(error))
        self.assertFalse(connection.disconnecting)

    def test_abortConnection(self):
        """
        An abort breaks the client's connection, and the protocol is told as with TCP.
        """
        self.connect().abortConnection()
        self.assertTrue(self.client.aborted)
        self.assertEqual(self.protocol.calls, ["connectionMade"])
        self.clock.advance(0)
        self.assertIs(self.protocol.reason.type, ConnectionAborted)

    def test_crashes(self):
        """
        A protocol that fails is logged, closes its own session with 1011, and is told of its own failure at the end.
        """
        for protocol, crashIn in (
            (Bytes, "connectionMade"),
            (Bytes, "dataReceived"),
            (Text, "messageReceived"),
        ):
            self.connect()
            other, otherSession = self.protocol, self.session
            self.connect(protocol, crashIn=crashIn)
            self.session.received(["a", "b"])
            self.clock.advance(0)
            self.clock.advance(0)
            self.assertEqual(self.client.closing, (1011, "Internal error"))
            self.assertEqual(self.protocol.calls[-2:], [crashIn, "connectionLost"])
            self.assertIs(self.protocol.reason.type, Crash)
            (logged,) = self.flushLoggedErrors(Crash)
            self.assertEqual(str(logged.value), crashIn)
            otherSession.received(["c"])
            self.assertEqual(other.data, [b"c"])
            self.assertIsNone(other.reason)

    def test_crashAtTheEnd(self):
        """
        A protocol that fails as it hears of the end is logged.
        """
        self.connect(crashIn="connectionLost").abortConnection()
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(Crash)), 1)
        self.assertEqual(len(self.registry), 0)

    def test_crashOfTheFactory(self):
        """
        A factory that fails is logged, and the client is told 1011.
        """
        factory = Factory()
        factory.buildProtocol = lambda address: 1 / 0
        self.connectFactory(factory)
        self.clock.advance(0)
        self.assertEqual(self.client.frames, [b'c[1011,"Internal error"]'])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ConsumerTests(ConnectionTestCase):
    """
    A connection as a consumer.
    """

    def test_producer(self):
        """
        One is told when much is queued, keeps the session from closing, and is forgotten when it is unregistered.
        """
        told = []

        class Producer:
            def pauseProducing(self):
                told.append("pause")

            def resumeProducing(self):
                told.append("resume")

            def stopProducing(self):
                told.append("stop")

        connection = self.connect()
        connection.registerProducer(Producer(), True)
        connection.write("x" * HIGH_WATER)
        self.assertEqual(told, ["pause"])
        connection.loseConnection()
        self.assertEqual(len(self.sent()), 1)
        self.assertEqual(told, ["pause", "resume"])
        self.assertIsNone(self.client.closing)
        connection.unregisterProducer()
        self.clock.advance(0)
        self.assertIsNotNone(self.client.closing)
        self.assertEqual(told, ["pause", "resume"])
