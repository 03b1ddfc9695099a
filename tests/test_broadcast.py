# -*- test-case-name: tests.test_broadcast -*-
"""
Tests for L{txsockjs.broadcast}, and its name in txsockjs 1.x.
"""

from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from txsockjs import utils
from txsockjs.broadcast import broadcast
from txsockjs.codec import RAW, SOCKJS, SharedMessage
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.interfaces import RequestFacts


class Link:
    """
    What lies below a connection, for one framing.
    """

    isClosing = False

    def __init__(self, framing):
        self.framing = framing
        self.sent = []

    def sendShared(self, message):
        self.sent.append(message.encoded(self.framing))


def connect(framing=SOCKJS, encoding="utf-8"):
    """
    @return: a link, and a connection on it.
    """
    link = Link(framing)
    facts = RequestFacts("/", {}, {})
    return link, Connection(link, None, lookupEncoding(encoding), "websocket", facts, None, None)


class BroadcastTests(SynchronousTestCase):
    """
    One message to many.
    """

    def test_everyone(self):
        """
        Every target gets the message, in its own framing.
        """
        (a, one), (b, two) = connect(), connect(RAW)
        broadcast("x\u2028", [one, two])
        self.assertEqual((a.sent, b.sent), ([b'"x\\u2028"'], ["x\u2028".encode()]))

    def test_encodedOnce(self):
        """
        Sessions of one framing share the very same bytes.
        """
        (a, one), (b, two) = connect(), connect()
        broadcast("a message", [one, two])
        self.assertIs(a.sent[0], b.sent[0])

    def test_encodings(self):
        """
        Bytes are decoded as each target's service says.
        """
        (a, one), (b, two), (c, three) = connect(), connect(encoding="latin-1"), connect(encoding="base64")
        broadcast("é".encode(), [one, two, three])
        self.assertEqual([a.sent, b.sent, c.sent], [['"é"'.encode()], ['"Ã©"'.encode()], [b'"w6k="']])

    def test_halfACharacter(self):
        """
        Bytes that end within a character are an error, since nothing follows that could end it; nobody gets them.
        """
        (a, one), (_, two) = connect(encoding="latin-1"), connect()
        with self.assertRaises(ValueError):
            broadcast(b"\xc3", [one, two])
        self.assertEqual(a.sent, [])

    def test_nothing(self):
        """
        Empty bytes send nothing, as they do on any transport.
        """
        link, one = connect()
        broadcast(b"", [one])
        self.assertEqual(link.sent, [])

    def test_protocols(self):
        """
        A protocol stands for its transport.
        """
        link, one = connect()
        protocol = Protocol()
        protocol.transport = one
        broadcast("x", [protocol])
        self.assertEqual(link.sent, [b'"x"'])

    def test_otherTransports(self):
        """
        Targets that are no SockJS sessions get the message by their write.
        """
        transport = StringTransport()
        broadcast(b"x", [transport])
        self.assertEqual(transport.value(), b"x")

    def test_oldName(self):
        """
        The function of txsockjs 1.x works, and tells its new name.
        """
        link, one = connect()
        utils.broadcast("x", [one], "cp1252")
        self.assertEqual(link.sent, [b'"x"'])
        (warning,) = self.flushWarnings([self.test_oldName])
        self.assertEqual(warning["category"], DeprecationWarning)
        self.assertIn("txsockjs.broadcast.broadcast", warning["message"])


class SharedMessageTests(SynchronousTestCase):
    """
    Tests for L{SharedMessage}.
    """

    def test_prefixed(self):
        """
        A prefixed message is made once for each prefix.
        """
        message = SharedMessage("x")
        self.assertEqual(message.prefixed("p,").encoded(SOCKJS), b'"p,x"')
        self.assertIs(message.prefixed("p,"), message.prefixed("p,"))
