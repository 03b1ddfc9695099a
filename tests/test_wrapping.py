# -*- test-case-name: tests.test_wrapping -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Protocols and helpers of Twisted, unmodified, wrapped by a real service: they work over SockJS as they do over TCP.
"""

from __future__ import annotations

import base64
import io
import json

from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.amp import AMP, Command, Integer, String
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

from tests.support import Apps, SiteCase
from tests.wire import encodeFrame
from txsockjs.errors import SessionDone

GO_AWAY = 'c[3000,"Go away!"]'


class WebSocketClient:
    """
    A client by WebSocket.
    """

    def __init__(self, case):
        self.connection = case.connect()
        self.connection.upgrade("/000/client/websocket")
        self._clock = case.clock

    def send(self, *messages):
        """
        Send messages.
        """
        self.connection.sendText(json.dumps(messages))

    def frames(self):
        """
        @return: the SockJS frames that have come so far.
        """
        self._clock.advance(0)
        return self.connection.texts()

    def messages(self):
        """
        @return: the messages that have come so far.
        """
        return [text for frame in self.frames() if frame[0] == "a" for text in json.loads(frame[1:])]


class PollingClient(WebSocketClient):
    """
    A client by XHR polling.
    """

    def __init__(self, case):
        self._case = case
        self._clock = case.clock
        self._frames = []
        self._poll()

    def _poll(self):
        self.connection = self._case.connect()
        self._answer = self.connection.ask("POST", "/000/client/xhr")

    def send(self, *messages):
        answer = self._case.post("/000/client/xhr_send", *messages)
        self._case.assertEqual(answer.code, 204)

    def frames(self):
        self._clock.advance(0)
        while self._answer().ended and self._frames[-1:] != [GO_AWAY]:
            self._frames.append(self._answer().body.decode("utf-8").rstrip("\n"))
            self._poll()
            self._clock.advance(0)
        return self._frames


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

    kinds = (WebSocketClient, PollingClient)

    def begin(self, kind, protocol=Lines, **settings):
        """
        @return: a client of a fresh service.
        """
        self.serve(Apps(protocol), **settings)
        return kind(self)

    def test_lines(self):
        """
        Lines may be spread over messages in any way; each answer is a message.
        """
        for kind in self.kinds:
            client = self.begin(kind)
            client.send("a\r\nb", "c\r", "\nd\r\n")
            client.send("\r\n")
            self.assertEqual(client.messages(), ["welcome\r\n", "<a>\r\n", "<bc>\r\n", "<d>\r\n", "<>\r\n"])

    def test_encodings(self):
        """
        In UTF-8 any text passes, in latin-1 any byte.
        """
        for kind in self.kinds:
            for encoding, text, data in (
                ("utf-8", "\u20ac\U0001f600", "\u20ac\U0001f600".encode()),
                ("latin-1", "\x00\x7f\x80\xff", b"\x00\x7f\x80\xff"),
            ):
                client = self.begin(kind, encoding=encoding)
                client.send(text + "\r\n")
                self.assertEqual(client.messages(), ["welcome\r\n", f"<{text}>\r\n"])
                client.send("raw 3\r\nxyz" + text + "\r\n")
                self.assertEqual(client.messages()[2:], ["raw xyz\r\n", f"<{text}>\r\n"])
                self.apps.last.sendLine(data)
                self.assertEqual(client.messages()[-1], text + "\r\n")

    def test_loseConnection(self):
        """
        When it closes, the answer is delivered before the close frame, and the lines that follow are not read.
        """
        for kind in self.kinds:
            client = self.begin(kind)
            client.send("quit\r\na\r\n", "b\r\n")
            self.assertEqual(client.messages(), ["welcome\r\n", "bye\r\n"])
            self.assertEqual(client.frames()[-1], GO_AWAY)
            client.connection.lose(ConnectionDone())
            self.clock.advance(0)
            self.assertIs(self.apps.last.lost.type, SessionDone)

    def test_pause(self):
        """
        When it pauses, the lines that follow wait, those of the same message as well.
        """
        client = self.begin(WebSocketClient)
        client.send("wait\r\na\r\n", "b\r\n")
        self.assertEqual(client.messages(), ["welcome\r\n"])
        self.assertEqual(client.connection.transport.producerState, "paused")
        self.apps.last.resumeProducing()
        self.assertEqual(client.messages(), ["welcome\r\n", "<a>\r\n", "<b>\r\n"])
        self.assertEqual(client.connection.transport.producerState, "producing")

    def test_pausedSender(self):
        """
        A client that sends by requests is answered when its lines have been taken.
        """
        client = self.begin(PollingClient)
        client.send("wait\r\n")
        answer = self.ask("POST", "/000/client/xhr_send", body=b'["a\\r\\n"]')
        self.assertFalse(answer().ended)
        self.apps.last.resumeProducing()
        self.assertEqual(client.messages(), ["welcome\r\n", "<a>\r\n"])
        self.assertEqual(answer().code, 204)

    def test_lineTooLong(self):
        """
        What it does by itself about lines that are too long works as well.
        """
        for kind in self.kinds:
            client = self.begin(kind)
            client.send("x" * (LineReceiver.MAX_LENGTH + 3))
            self.assertEqual(client.frames()[-1], GO_AWAY)


class AMPTests(SiteCase):
    """
    L{AMP}, which is a binary protocol, in base64.
    """

    def begin(self, kind):
        self.serve(Apps(Server), encoding="base64")
        self.client = kind(self)
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
                self.client.send(base64.b64encode(data).decode("ascii"))
            messages = self.client.messages()[self.seen :]
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

    def check(self, kind):
        self.begin(kind)
        self.assertEqual(self.call(Sum, a=1, b=41), {"total": 42})
        data = bytes(range(256))
        self.assertEqual(self.call(Reverse, data=data), {"data": data[::-1] + b" of 256"})
        self.assertIs(self.call(Impossible).type, ArithmeticError)

    def test_websocket(self):
        """
        Requests, answers, questions in return and errors pass both ways by WebSocket.
        """
        self.check(WebSocketClient)

    def test_polling(self):
        """
        The same by XHR polling, where they come by requests of their own.
        """
        self.check(PollingClient)

    def test_manyAtOnce(self):
        """
        Many requests may be under way.
        """
        self.begin(WebSocketClient)
        asked = [self.amp.callRemote(Sum, a=number, b=1) for number in range(50)]
        self.pump()
        self.assertEqual([self.successResultOf(one)["total"] for one in asked], list(range(1, 51)))

    def test_notBase64(self):
        """
        What is not base64 ends the session with 1007, and the protocol sees nothing of it.
        """
        self.begin(WebSocketClient)
        self.client.send("?")
        self.assertEqual(json.loads(self.client.frames()[-1][1:])[0], 1007)
        self.client.connection.lose()
        self.clock.advance(0)
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
        for kind in (WebSocketClient, PollingClient):
            self.serve(Apps(type("FileProtocol", (Sender,), {"text": text})))
            client = kind(self)
            self.assertEqual("".join(client.messages()), text)
            self.assertEqual(client.frames()[-1], GO_AWAY)
            self.assertGreater(len(client.messages()), 5)
            self.successResultOf(self.apps.last.done)

    def test_fileSenderOfNothing(self):
        """
        An empty file is no message.
        """
        self.serve(Apps(Sender))
        self.assertEqual(WebSocketClient(self).frames(), ["o", GO_AWAY])

    def test_fileSenderAndSlowClient(self):
        """
        While the client's connection is full no more of the file is read.
        """
        self.serve(Apps(SenderOnDemand))
        client = WebSocketClient(self)
        client.connection.transport.block()
        client.send("x" * 100000)
        self.assertEqual(client.messages(), [])
        self.assertEqual(self.apps.last.file.tell(), 0)
        client.connection.transport.unblock()
        self.assertEqual("".join(client.messages()), "x" * 100000)
        self.assertEqual(client.frames()[-1], GO_AWAY)

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
        client = WebSocketClient(self)
        producer = self.apps.last
        producer.count(2)
        client.connection.transport.block()
        self.assertEqual(producer.told, ["pause"])
        producer.count(2)
        client.connection.transport.unblock()
        self.assertEqual(producer.told, ["pause", "resume"])
        producer.count(100)
        self.assertEqual(producer.told, ["pause", "resume", "pause"])
        self.assertEqual([int(text[:9]) for text in client.messages()], list(range(1, producer.number + 1)))
        self.assertEqual(producer.told, ["pause", "resume", "pause", "resume"])
        client.connection.lose()
        self.clock.advance(0)
        self.assertEqual(producer.told[-1], "stop")

    def test_pushByPolling(self):
        """
        Between two requests a push producer stands still once enough is queued.
        """
        self.serve(Apps(Counting))
        client = PollingClient(self)
        self.clock.advance(0)
        producer = self.apps.last
        for _ in range(3):
            producer.count(100)
            self.assertFalse(producer.running)
            self.assertEqual([int(text[:9]) for text in client.messages()], list(range(1, producer.number + 1)))
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
        first, second = WebSocketClient(self), WebSocketClient(self)
        for protocol in self.apps.built:
            protocol.transport.write(b"a")
        first.connection.protocol.dataReceived(encodeFrame(8, b"\x03\xe8"))
        self.assertEqual(first.messages(), [])
        self.assertEqual(second.messages(), ["a"])
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

        for kind in (WebSocketClient, PollingClient):
            self.serve(Apps(Impatient))
            client = kind(self)
            self.assertEqual(client.frames(), ["o"])
            self.clock.advance(9)
            client.send("a")
            self.clock.advance(9)
            self.assertEqual(client.frames(), ["o"])
            self.clock.advance(1)
            self.assertEqual(client.frames(), ["o", GO_AWAY])
