# -*- test-case-name: tests.test_wrapping -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Protocols and helpers of Twisted, unmodified, wrapped by a real service: they work over SockJS as they do over TCP.
"""

from __future__ import annotations

import base64
import io

from twisted.internet.defer import succeed
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.amp import AMP, Command, Integer, String
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

from tests.support import Apps, SiteCase
from txsockjs.errors import SessionDone
from txsockjs.testing import TRANSPORTS
from txsockjs.testing.memory import encodeFrame

GO_AWAY = (3000, "Go away!")


class Lines(LineReceiver):
    """
    Answers each line, and knows a few words.
    """

    lost = None

    def connectionMade(self):
        self.sendLine(b"welcome")

    def lineReceived(self, line):
        if line == b"quit":
            self.sendLine(b"bye")
            self.transport.loseConnection()
        elif line == b"raw 3":
            self.rest = 3
            self.setRawMode()
        elif line == b"wait":
            self.pauseProducing()
        else:
            self.sendLine(b"<" + line + b">")

    def rawDataReceived(self, data):
        raw, rest = data[: self.rest], data[self.rest :]
        self.sendLine(b"raw " + raw)
        self.setLineMode(rest)

    def connectionLost(self, reason):
        self.lost = reason


class Sum(Command):
    """
    Adds.
    """

    arguments = [(b"a", Integer()), (b"b", Integer())]
    response = [(b"total", Integer())]


class Reverse(Command):
    """
    Turns bytes around, and asks the client what it thinks of them.
    """

    arguments = [(b"data", String())]
    response = [(b"data", String())]


class Length(Command):
    """
    Asks for a length.
    """

    arguments = [(b"data", String())]
    response = [(b"length", Integer())]


class Impossible(Command):
    """
    Fails.
    """

    errors = {ArithmeticError: b"ARITHMETIC"}


class Server(AMP):
    """
    Answers the commands.
    """

    lost = None

    @Sum.responder
    def sum(self, a, b):
        return {"total": a + b}

    @Reverse.responder
    def reverse(self, data):
        asked = self.callRemote(Length, data=data)
        return asked.addCallback(lambda answer: {"data": data[::-1] + b" of %d" % answer["length"]})

    @Impossible.responder
    def impossible(self):
        raise ArithmeticError("no")

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.lost = reason


class LengthClient(AMP):
    """
    Answers the server's question.
    """

    @Length.responder
    def length(self, data):
        return succeed({"length": len(data)})


class Sender(Protocol):
    """
    Sends a file and closes.
    """

    text = ""
    done = None

    def connectionMade(self):
        self.sendFile(self.text.encode("utf-8"))

    def sendFile(self, data):
        self.file = io.BytesIO(data)
        self.done = FileSender().beginFileTransfer(self.file, self.transport)
        self.transport.loseConnection()


class SenderOnDemand(Sender):
    """
    Sends a file that holds what it is told.
    """

    def connectionMade(self):
        pass

    def dataReceived(self, data):
        self.sendFile(data)


@implementer(IPushProducer)
class Counting(Protocol):
    """
    Counts as fast as it may.
    """

    def __init__(self):
        self.running = True
        self.told = []
        self.number = 0

    def connectionMade(self):
        self.transport.registerProducer(self, True)

    def count(self, times):
        for _ in range(times):
            if not self.running:
                break
            self.number += 1
            self.transport.write(b"%09d" % self.number * 1000)

    def pauseProducing(self):
        self.told.append("pause")
        self.running = False

    def resumeProducing(self):
        self.told.append("resume")
        self.running = True

    def stopProducing(self):
        self.told.append("stop")
        self.running = False


class LineReceiverTests(SiteCase):
    """
    L{LineReceiver}.
    """

    def begin(self, transport, protocol=Lines, **settings):
        """
        @return: a client of a fresh service.
        """
        self.serve(Apps(protocol), **settings)
        return self.client(transport)

    def test_lines(self):
        """
        Lines may be spread over messages in any way; each answer is a message.
        """
        for transport in TRANSPORTS:
            client = self.begin(transport)
            client.send("a\r\nb", "c\r", "\nd\r\n")
            client.send("\r\n")
            self.assertEqual(client.received, ["welcome\r\n", "<a>\r\n", "<bc>\r\n", "<d>\r\n", "<>\r\n"])

    def test_encodings(self):
        """
        In UTF-8 any text passes, in latin-1 any byte.
        """
        for transport in TRANSPORTS:
            for encoding, text, data in (
                ("utf-8", "\u20ac\U0001f600", "\u20ac\U0001f600".encode()),
                ("latin-1", "\x00\x7f\x80\xff", b"\x00\x7f\x80\xff"),
            ):
                client = self.begin(transport, encoding=encoding)
                client.send(text + "\r\n")
                self.assertEqual(client.received, ["welcome\r\n", f"<{text}>\r\n"])
                client.send("raw 3\r\nxyz" + text + "\r\n")
                self.assertEqual(client.received[2:], ["raw xyz\r\n", f"<{text}>\r\n"])
                self.apps.last.sendLine(data)
                self.assertEqual(client.received[-1], text + "\r\n")

    def test_loseConnection(self):
        """
        When it closes, the answer is delivered before the close frame, and the lines that follow are not read.
        """
        for transport in TRANSPORTS:
            client = self.begin(transport)
            client.send("quit\r\na\r\n", "b\r\n")
            self.assertEqual(client.received, ["welcome\r\n", "bye\r\n"])
            self.assertEqual(client.closed, GO_AWAY)
            self.assertIs(self.apps.last.lost.type, SessionDone)

    def test_pause(self):
        """
        When it pauses, the lines that follow wait, those of the same message as well.
        """
        for transport in TRANSPORTS:
            client = self.begin(transport)
            client.send("wait\r\na\r\n", "b\r\n")
            client.send("c\r\n")
            self.assertEqual(client.received, ["welcome\r\n"])
            self.apps.last.resumeProducing()
            self.assertEqual(client.received, ["welcome\r\n", "<a>\r\n", "<b>\r\n", "<c>\r\n"])

    def test_pausedSender(self):
        """
        A client that sends by requests is answered when its lines have been taken.
        """
        client = self.begin("xhr-polling")
        client.send("wait\r\n")
        answer = self.ask("POST", f"/000/{client.session}/xhr_send", body=b'["a\\r\\n"]')
        self.assertFalse(answer().ended)
        self.apps.last.resumeProducing()
        self.assertEqual(client.received, ["welcome\r\n", "<a>\r\n"])
        self.assertEqual(answer().code, 204)

    def test_pausedSocket(self):
        """
        The connection of a WebSocket is not read while its protocol has paused.
        """
        self.serve(Apps(Lines))
        connection = self.connect()
        connection.upgrade("/0/s/websocket")
        connection.sendText('"wait\\r\\n"')
        self.assertEqual(connection.transport.producerState, "paused")
        self.apps.last.resumeProducing()
        self.assertEqual(connection.transport.producerState, "producing")

    def test_lineTooLong(self):
        """
        What it does by itself about lines that are too long works as well.
        """
        for transport in TRANSPORTS:
            client = self.begin(transport)
            client.send("x" * (LineReceiver.MAX_LENGTH + 3))
            self.assertEqual(client.closed, GO_AWAY)


class AMPTests(SiteCase):
    """
    L{AMP}, which is a binary protocol, in base64.
    """

    def begin(self, transport):
        self.serve(Apps(Server), encoding="base64")
        self.browser = self.client(transport)
        self.amp = LengthClient()
        self.amp.makeConnection(StringTransport())
        self.seen = 0

    def pump(self):
        """
        Carry bytes to and fro until none are left.
        """
        while True:
            data = self.amp.transport.value()
            self.amp.transport.clear()
            if data:
                self.browser.send(base64.b64encode(data).decode("ascii"))
            messages = self.browser.received[self.seen :]
            self.seen += len(messages)
            for message in messages:
                self.amp.dataReceived(base64.b64decode(message, validate=True))
            if not data and not messages:
                break

    def call(self, command, **arguments):
        """
        @return: what a call leads to, a L{Failure} perhaps.
        """
        outcome = []
        self.amp.callRemote(command, **arguments).addBoth(outcome.append)
        self.pump()
        return outcome[0]

    def test_calls(self):
        """
        Requests, answers, questions in return and errors pass both ways, by each transport.
        """
        data = bytes(range(256))
        for transport in TRANSPORTS:
            self.begin(transport)
            self.assertEqual(self.call(Sum, a=1, b=41), {"total": 42})
            self.assertEqual(self.call(Reverse, data=data), {"data": data[::-1] + b" of 256"})
            self.assertIs(self.call(Impossible).type, ArithmeticError)

    def test_manyAtOnce(self):
        """
        Many requests may be under way.
        """
        self.begin("websocket")
        asked = [self.amp.callRemote(Sum, a=number, b=1) for number in range(50)]
        self.pump()
        self.assertEqual([self.successResultOf(one)["total"] for one in asked], list(range(1, 51)))

    def test_notBase64(self):
        """
        What is not base64 ends the session with 1007, and the protocol sees nothing of it.
        """
        for transport in TRANSPORTS:
            self.begin(transport)
            self.browser.send("?")
            self.assertEqual(self.browser.closed.code, 1007)
            self.assertEqual(self.apps.last.lost.value.code, 1007)


class ProducerTests(SiteCase):
    """
    Producers of both kinds.
    """

    def test_fileSender(self):
        """
        L{FileSender} sends a whole file, be characters cut by its chunks, and a close waits until it is done.
        """
        text = "a" + "\u20ac" * 40000
        for transport in TRANSPORTS:
            self.serve(Apps(type("FileProtocol", (Sender,), {"text": text})))
            client = self.client(transport)
            self.assertEqual("".join(client.received), text)
            self.assertEqual(client.closed, GO_AWAY)
            self.assertGreater(len(client.received), 5)
            self.successResultOf(self.apps.last.done)

    def test_fileSenderOfNothing(self):
        """
        An empty file is no message.
        """
        self.serve(Apps(Sender))
        self.assertEqual(self.client().frames, ["o", 'c[3000,"Go away!"]'])

    def test_fileSenderAndSlowClient(self):
        """
        While the client's connection is full no more of the file is read.
        """
        self.serve(Apps(SenderOnDemand))
        client = self.client()
        client.pauseReading(room=0)
        client.send("x" * 100000)
        self.assertEqual(client.received, [])
        self.assertEqual(self.apps.last.file.tell(), 0)
        client.resumeReading()
        self.assertEqual("".join(client.received), "x" * 100000)
        self.assertEqual(client.closed, GO_AWAY)

    def test_fileSenderAndLostClient(self):
        """
        L{FileSender} learns that the client has gone.
        """
        self.serve(Apps(type("FileProtocol", (Sender,), {"text": "x" * 100000})))
        connection = self.connect()
        connection.ask("POST", "/000/client/xhr")
        self.clock.advance(0)
        self.assertNoResult(self.apps.last.done)
        self.clock.advance(self.resource.options.disconnect_delay)
        self.clock.advance(0)
        self.failureResultOf(self.apps.last.done)

    def test_push(self):
        """
        A push producer stands still while the client does not take what it has given, and goes on without a gap.
        """
        self.serve(Apps(Counting))
        client = self.client()
        producer = self.apps.last
        producer.count(2)
        client.pauseReading(room=0)
        self.assertEqual(producer.told, ["pause"])
        producer.count(2)
        client.resumeReading()
        self.assertEqual(producer.told, ["pause", "resume"])
        producer.count(100)
        self.assertEqual(producer.told, ["pause", "resume", "pause"])
        self.assertEqual([int(text[:9]) for text in client.received], list(range(1, producer.number + 1)))
        self.assertEqual(producer.told, ["pause", "resume", "pause", "resume"])
        client.drop()
        self.assertEqual(producer.told[-1], "stop")

    def test_pushByPolling(self):
        """
        Between two requests a push producer stands still once enough is queued.
        """
        for transport in ("xhr-polling", "jsonp-polling"):
            self.serve(Apps(Counting))
            client = self.client(transport)
            producer = self.apps.last
            for _ in range(3):
                producer.count(100)
                self.assertFalse(producer.running)
                self.assertEqual([int(text[:9]) for text in client.received], list(range(1, producer.number + 1)))
            self.assertEqual(producer.told, ["pause", "resume"] * 3)


class ClosingTests(SiteCase):
    """
    A protocol that goes on writing.
    """

    def test_writeWhileTheClientCloses(self):
        """
        What is written while the client's closing handshake is under way is dropped without harm to other sessions.
        """
        self.serve()
        first = self.connect()
        first.upgrade("/0/s/websocket")
        second = self.client()
        for protocol in self.apps.built:
            protocol.transport.write(b"a")
        first.protocol.dataReceived(encodeFrame(8, b"\x03\xe8"))
        self.assertEqual(second.received, ["a"])
        self.assertEqual(first.texts(), ["o"])
        self.assertEqual(self.apps.built[0].lost[0].value.code, 1000)


class TimeoutTests(SiteCase):
    """
    L{TimeoutMixin}.
    """

    def test_timeout(self):
        """
        A protocol that times out closes its session; a message in time puts it off.
        """

        class Impatient(TimeoutMixin, Protocol):
            callLater = self.clock.callLater

            def connectionMade(self):
                self.setTimeout(10)

            def dataReceived(self, data):
                self.resetTimeout()

            def connectionLost(self, reason):
                self.setTimeout(None)

        for transport in TRANSPORTS:
            self.serve(Apps(Impatient))
            client = self.client(transport)
            client.advance(9)
            client.send("a")
            client.advance(9)
            self.assertEqual(client.state, "open")
            client.advance(1)
            self.assertEqual(client.closed, GO_AWAY)
