# -*- test-case-name: tests.test_websocket -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
WebSocket, framed and raw, and how an HTTP connection becomes one.
"""

from __future__ import annotations

import gc
import json
import weakref

from twisted.internet import reactor
from twisted.internet.address import UNIXAddress
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.test.requesthelper import DummyRequest

from tests.support import KEY, UPGRADE, Apps, Recorder, SiteCase, TextEcho
from tests.wire import HTTPClient, closePayload, encodeFrame
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.factory import SockJSFactory
from txsockjs.stats import Cause

FRAMED = "/0/s/websocket"
RAW = "/websocket"


class UpgradeTests(SiteCase):
    """
    The opening handshake.
    """

    def setUp(self):
        super().setUp()
        self.serve()

    def test_accepted(self):
        """
        The answer is the one of RFC 6455, without a cookie, even where the service needs one.
        """
        self.serve(cookie_needed=True)
        for path, name in ((FRAMED, "websocket"), (RAW, "websocket-raw")):
            answer = self.connect().upgrade(path)()
            self.assertEqual((answer.version, answer.code), (b"HTTP/1.1", 101))
            self.assertEqual(answer.header("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            self.assertEqual(answer.header("upgrade").lower(), "websocket")
            self.assertEqual(answer.header("connection").lower(), "upgrade")
            for absent in ("set-cookie", "sec-websocket-extensions", "sec-websocket-protocol"):
                self.assertIsNone(answer.header(absent))
            self.assertEqual(self.apps.last.transport.transportName, name)
            self.assertEqual(self.apps.last.made, 1)

    def test_headerSpellings(self):
        """
        Tokens count in any case and among others, over one line or several.
        """
        for changes in (
            {"Connection": "keep-alive, Upgrade"},
            {"Connection": "UPGRADE", "Upgrade": "WebSocket"},
            {"Upgrade": "h2c, websocket"},
            {"Origin": "null", "Sec-WebSocket-Protocol": "a, b", "Sec-WebSocket-Extensions": "permessage-deflate"},
        ):
            self.assertEqual(self.connect().upgrade(FRAMED, changes)().code, 101, changes)

    def test_badRequest(self):
        """
        What is no handshake gets 400 with the reason and the version that we speak; the connection lives on.
        """
        for changes in (
            {"Upgrade": None},
            {"Upgrade": "h2c"},
            {"Connection": None},
            {"Connection": "keep-alive"},
            {"Sec-WebSocket-Version": None},
            {"Sec-WebSocket-Version": "12"},
            {"Sec-WebSocket-Key": None},
            {"Sec-WebSocket-Key": "c2hvcnQ="},
            {"Sec-WebSocket-Key": "?" + KEY.decode("ascii")[1:]},
            {"Sec-WebSocket-Key": "\u00e9"},
        ):
            headers = {name: value for name, value in {**UPGRADE, **changes}.items() if value is not None}
            for path in (FRAMED, RAW):
                connection = self.connect()
                answer = connection.ask("GET", path, headers)()
                self.assertEqual(answer.code, 400, changes)
                self.assertEqual(answer.header("sec-websocket-version"), "13")
                self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
                self.assertFalse(connection.transport.disconnecting)
        self.assertEqual(self.apps.built, [])

    def test_connectionClose(self):
        """
        C{Connection: close} gets 400, and the connection is closed.
        """
        connection = self.connect()
        self.assertEqual(connection.upgrade(FRAMED, {"Connection": "close"})().code, 400)
        self.assertTrue(connection.transport.gone)

    def test_http10(self):
        """
        HTTP/1.0 knows no upgrade.
        """
        self.assertEqual(self.connect().ask("GET", FRAMED, UPGRADE, version="1.0")().code, 400)

    def test_http2(self):
        """
        A request of HTTP/2 gets an ordinary answer, so that the client falls back.
        """
        request = DummyRequest([])
        request.clientproto = b"HTTP/2"
        request.channel = object()
        for name, value in UPGRADE.items():
            request.requestHeaders.addRawHeader(name, value)
        body = self.resource._pages[b"websocket"].render(request)
        self.assertEqual(request.responseCode, 400)
        self.assertIn(b"HTTP/1.1", body)

    def test_otherMethods(self):
        """
        Other methods get 405.
        """
        for method in ("POST", "PUT", "OPTIONS", "HEAD"):
            for path in (FRAMED, RAW):
                answer = self.answerTo(method, path, UPGRADE)
                self.assertEqual((answer.code, answer.header("allow"), answer.body), (405, "GET", b""))
                self.assertIsNone(answer.header("content-type"))

    def test_afterOtherRequests(self):
        """
        A connection that has carried requests can be upgraded.
        """
        connection = self.connect()
        connection.ask("GET", "/info")
        connection.ask("POST", "/0/t/xhr")
        self.assertEqual(connection.upgrade(FRAMED)().code, 101)
        self.assertTrue(connection.transport.value().endswith(b"\x81\x01o"))

    def test_dataWithHandshake(self):
        """
        Frames that come in one piece with the handshake are not lost.
        """
        self.serve(Apps(TextEcho))
        head = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
        request = f"GET {FRAMED} HTTP/1.1\r\nHost: h\r\n{head}\r\n".encode("ascii")
        for size in (1, 50, 10000):
            connection = self.connect()
            data = request + encodeFrame(1, b'["x"]') + encodeFrame(1, b'["y"]')
            connection.expect("GET")
            for at in range(0, len(data), size):
                connection.send(data[at : at + size])
            self.assertEqual("".join(connection.texts()).replace("]a[", ","), 'oa["x","y"]')

    def test_sameName(self):
        """
        Server and session of the URL mean nothing: the same ones may be there twice, and as an HTTP session too.
        """
        first, second = self.connect(), self.connect()
        first.upgrade(FRAMED)
        second.upgrade(FRAMED)
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b"o\n")
        self.assertEqual((first.texts(), second.texts(), len(self.apps.built)), (["o"], ["o"], 3))
        self.assertEqual(len({app.transport.id for app in self.apps.built}), 3)

    def test_requestFacts(self):
        """
        The application knows the request that was upgraded.
        """
        self.connect().upgrade("/0/s/websocket?a=1", {"Origin": "http://a"})
        facts = self.apps.last.transport.requestFacts
        self.assertEqual((facts.path, facts.args, facts.headers["origin"]), ("/", {"a": ("1",)}, "http://a"))
        self.connect().upgrade("/websocket?a=2")
        self.assertEqual(self.apps.last.transport.requestFacts.args, {"a": ("2",)})

    def test_unixSocket(self):
        """
        The peer need not have an IP address.
        """
        connection = self.connect(UNIXAddress(None))
        self.assertEqual(connection.upgrade(FRAMED)().code, 101)
        self.assertEqual(self.apps.last.transport.getPeer(), UNIXAddress(None))

    def test_noTimers(self):
        """
        WebSockets cost one delayed call for the pings of all of a kind, and framed ones another for the heartbeats.
        """
        for path, calls in ((RAW, 1), (FRAMED, 3)):
            for _ in range(3):
                self.connect().upgrade(path)
            self.assertEqual(len(self.clock.getDelayedCalls()), calls)

    def test_nothingKept(self):
        """
        The request that was upgraded is kept by nobody.
        """
        kept = []
        original = Site.requestFactory

        def remember(*args, **kwargs):
            request = original(*args, **kwargs)
            kept.append(weakref.ref(request))
            return request

        self.site.requestFactory = remember
        connection = self.connect()
        connection.upgrade(FRAMED)
        gc.collect()
        self.assertEqual([reference() for reference in kept], [None])
        self.assertEqual(connection.texts(), ["o"])


class FramedTests(SiteCase):
    """
    C{/<server>/<session>/websocket}.
    """

    def open(self, protocol=Recorder, **settings):
        self.serve(Apps(protocol), **settings)
        self.socket = self.connect()
        self.socket.upgrade(FRAMED)
        return self.socket

    def test_echo(self):
        """
        A message is an array of strings or one string; what comes back is an array.
        """
        socket = self.open(TextEcho)
        socket.sendText('["x","y"]')
        socket.sendText('"z \\ud83d\\ude00"')
        self.assertEqual(socket.texts(), ["o", 'a["x","y"]', 'a["z \U0001f600"]'])

    def test_nothing(self):
        """
        An empty message and an empty array are ignored.
        """
        socket = self.open(TextEcho)
        socket.sendText("")
        socket.sendText("[]")
        socket.sendText('[""]')
        self.assertEqual(socket.texts(), ["o", 'a[""]'])

    def test_loneSurrogate(self):
        """
        A lone surrogate does not break the session.
        """
        socket = self.open(TextEcho)
        socket.sendText('["\\ud800"]')
        self.assertEqual(socket.texts(), ["o", 'a["\\ud800"]'])

    def test_heartbeat(self):
        """
        After the heartbeat delay without a frame comes C{h}.
        """
        socket = self.open(heartbeat_delay=10)
        self.clock.advance(10)
        self.clock.advance(10)
        self.assertEqual(socket.texts(), ["o", "h", "h"])

    def test_fragments(self):
        """
        A message may come in fragments, with a ping in between, cut anywhere.
        """
        socket = self.open(TextEcho)
        frames = [(1, b'["\xe2', False), (9, b"hi", True), (0, b"\x98", False), (0, b'\x83"]', True)]
        data = b"".join(encodeFrame(opcode, payload, fin) for opcode, payload, fin in frames)
        for at in range(len(data)):
            socket.send(data[at : at + 1])
        self.assertEqual(
            [(frame.opcode, frame.payload) for frame in socket.frames()[1:]], [(10, b"hi"), (1, b'a["\xe2\x98\x83"]')]
        )

    def test_ping(self):
        """
        A ping gets its pong, and a pong that nobody asked for gets nothing.
        """
        socket = self.open()
        socket.sendFrame(9, b"abc")
        socket.sendFrame(10, b"def")
        self.assertEqual(socket.frames()[1:], [(10, b"abc")])

    def test_big(self):
        """
        Messages of any size that is allowed go through in both directions.
        """
        socket = self.open(TextEcho, max_message_size=300000)
        text = "x" * 300000
        socket.sendText(json.dumps([text]))
        self.assertEqual(json.loads(socket.texts()[1][1:]), [text])

    def test_closedByApplication(self):
        """
        A close frame of SockJS tells code and reason, then the WebSocket is closed with 1000, and as soon as the
        client has answered the connection as well.
        """
        socket = self.open()
        self.apps.last.transport.write("x")
        self.apps.last.transport.close(3001, "So long")
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["o", 'a["x"]', 'c[3001,"So long"]'])
        self.assertEqual(socket.closed().payload, closePayload(1000))
        self.assertFalse(socket.transport.disconnecting)
        self.assertEqual(self.apps.last.lost, [])
        socket.sendFrame(8, closePayload(1000))
        self.assertTrue(socket.transport.gone)
        self.assertFalse(socket.transport.aborted)
        (reason,) = self.apps.last.lost
        self.assertEqual((reason.type, reason.value.code, reason.value.reason), (SessionDone, 3001, "So long"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeUnanswered(self):
        """
        A client that does not answer the close is cut after the close timeout.
        """
        socket = self.open(close_timeout=3)
        self.apps.last.transport.loseConnection()
        self.clock.advance(0)
        self.clock.advance(2.9)
        self.assertFalse(socket.transport.aborted)
        self.clock.advance(0.2)
        self.assertTrue(socket.transport.aborted)
        self.clock.advance(0)
        self.assertEqual([reason.type for reason in self.apps.last.lost], [SessionDone])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closedByClient(self):
        """
        A close of the client is answered by the same, and the application is told its code and reason.
        """
        socket = self.open()
        socket.sendFrame(8, closePayload(4001, "enough"))
        self.assertEqual(socket.closed().payload, closePayload(4001, "enough"))
        self.assertTrue(socket.transport.gone)
        (reason,) = self.apps.last.lost
        self.assertEqual((reason.type, reason.value.code, reason.value.reason), (SessionDone, 4001, "enough"))

    def test_closedByClientWithoutCode(self):
        """
        A close without a code counts as 1005, and is answered without one.
        """
        socket = self.open()
        socket.sendFrame(8)
        self.assertEqual(self.apps.last.lost[0].value.code, 1005)
        self.assertEqual(socket.closed().payload, b"")

    def test_closedByClientWithoutReason(self):
        """
        A close may have a code and no reason.
        """
        for path in (FRAMED, RAW):
            self.serve()
            socket = self.connect()
            socket.upgrade(path)
            socket.sendFrame(8, closePayload(1001))
            self.assertEqual(socket.closed().payload, closePayload(1001))
            (reason,) = self.apps.last.lost
            self.assertEqual((reason.type, reason.value.code, reason.value.reason), (SessionDone, 1001, ""))

    def test_closedByBoth(self):
        """
        When both sides close at once, it is over once.
        """
        socket = self.open()
        self.apps.last.transport.loseConnection()
        socket.protocol.dataReceived(encodeFrame(8, closePayload(4001)))
        self.clock.advance(0)
        self.assertIsNotNone(socket.closed())
        self.assertTrue(socket.transport.gone)
        self.assertEqual(len(self.apps.last.lost), 1)

    def test_writeAfterClientClosed(self):
        """
        What is written while the client closes goes nowhere, and harms nobody.
        """
        socket = self.open()
        socket.protocol.dataReceived(encodeFrame(8, closePayload(4001)))
        self.apps.last.transport.write("late")
        self.apps.last.transport.loseConnection()
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["o"])
        self.assertEqual(len(self.apps.last.lost), 1)

    def test_closedByClientWhoDoesNotRead(self):
        """
        A client that closes but lets nothing through any more is cut after the close timeout.
        """
        socket = self.open()
        socket.transport.block()
        socket.sendFrame(8, closePayload(1000))
        self.assertFalse(socket.transport.gone)
        self.clock.advance(5)
        self.assertTrue(socket.transport.aborted)
        self.clock.advance(0)
        self.assertEqual(len(self.apps.last.lost), 1)

    def test_gone(self):
        """
        A connection that breaks is a loss, however it breaks.
        """
        for error in (None, ConnectionDone(), ConnectionAborted()):
            socket = self.open()
            socket.lose(error)
            (reason,) = self.apps.last.lost
            self.assertEqual((reason.type, reason.value.code), (SessionLost, 1006))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_goneWhileClosing(self):
        """
        A client that vanishes instead of answering the close is no loss: the session was over.
        """
        socket = self.open()
        self.apps.last.transport.close(3001, "x")
        self.clock.advance(0)
        socket.lose()
        (reason,) = self.apps.last.lost
        self.assertEqual((reason.type, reason.value.code), (SessionDone, 3001))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_goneInTheTurnOfWrites(self):
        """
        What is written in the turn in which the connection breaks harms nobody.
        """
        socket = self.open()
        self.apps.last.transport.write("x")
        socket.lose()
        self.clock.advance(0)
        self.assertEqual(len(self.apps.last.lost), 1)

    def test_refused(self):
        """
        An application that wants no session lets the close frame be the first one.
        """
        self.serve()
        self.apps.refuse = True
        socket = self.connect()
        socket.upgrade(FRAMED)
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ['c[3000,"Go away!"]'])
        self.assertEqual(socket.closed().code, 1000)

    def test_abort(self):
        """
        An application that aborts breaks the connection without a close.
        """
        socket = self.open()
        self.apps.last.transport.write("x")
        self.apps.last.transport.abortConnection()
        self.clock.advance(0)
        self.assertTrue(socket.transport.aborted)
        self.assertEqual(socket.texts(), ["o"])
        self.assertIsNone(socket.closed())
        self.assertEqual([reason.type for reason in self.apps.last.lost], [ConnectionAborted])

    def test_brokenJSON(self):
        """
        What does not parse ends the connection at once, with 1007, and the rest is not looked at.
        """
        for text, why in (("[", "Broken"), ("{}", "Payload"), ("[1]", "Payload"), ("7", "Payload"), ("x", "Broken")):
            socket = self.open()
            socket.protocol.dataReceived(encodeFrame(1, text.encode("ascii")) + encodeFrame(1, b'["x"]'))
            self.clock.advance(0)
            self.assertTrue(socket.transport.gone)
            self.assertEqual(socket.closed().code, 1007)
            (reason,) = self.apps.last.lost
            self.assertEqual((reason.type, reason.value.code), (SessionLost, 1007))
            self.assertIn(why, reason.value.reason)
            self.assertEqual(self.apps.last.received, [])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_brokenJSONOverFullConnection(self):
        """
        A client that sends rubbish and does not read is cut after the close timeout.
        """
        socket = self.open()
        socket.transport.block()
        socket.sendText("[")
        self.clock.advance(5)
        self.assertTrue(socket.transport.aborted)
        self.clock.advance(0)
        self.assertEqual([reason.value.code for reason in self.apps.last.lost], [1007])

    def test_brokenJSONAndAnswer(self):
        """
        That a client answers the close frame that its rubbish got does not make it an orderly end.
        """
        socket = self.open()
        socket.transport.block()
        socket.sendText("[")
        socket.sendFrame(8, closePayload(1007))
        socket.transport.unblock()
        self.clock.advance(0)
        (reason,) = self.apps.last.lost
        self.assertEqual((reason.type, reason.value.code), (SessionLost, 1007))

    def test_binary(self):
        """
        A binary message ends the connection with 1003.
        """
        socket = self.open()
        socket.sendFrame(2, b'["x"]')
        self.assertTrue(socket.transport.gone)
        self.assertEqual(socket.closed().code, 1003)
        (reason,) = self.apps.last.lost
        self.assertEqual((reason.type, reason.value.code), (SessionLost, 1003))
        self.assertEqual(self.apps.last.received, [])

    def test_violations(self):
        """
        What breaks RFC 6455 closes the WebSocket with the code for it; what follows is not delivered.
        """
        text = encodeFrame(1, b'["x"]')
        for data, code in (
            (encodeFrame(1, b'["x"]', mask=False), 1002),
            (encodeFrame(0, b"x"), 1002),
            (encodeFrame(3, b"x"), 1002),
            (encodeFrame(9, b"x" * 126), 1002),
            (encodeFrame(10, b"x" * 70000), 1002),
            (encodeFrame(8, closePayload(1000) + b"x" * 124), 1002),
            (encodeFrame(9, b"x", fin=False), 1002),
            (encodeFrame(1, b'["x"]', rsv=4), 1002),
            (encodeFrame(1, b'["', fin=False) + text, 1002),
            (encodeFrame(1, b'["\xff"]'), 1007),
            (encodeFrame(1, b'["\xed\xa0\x80"]'), 1007),
            (encodeFrame(8, b"x"), 1002),
            (encodeFrame(8, closePayload(1005)), 1002),
            (encodeFrame(8, closePayload(1000) + b"\xff"), 1007),
        ):
            socket = self.open()
            socket.send(data + text)
            self.assertEqual(socket.closed().code, code, data)
            socket.sendText('["y"]')
            self.clock.advance(5)
            self.clock.advance(0)
            self.assertTrue(socket.transport.gone, data)
            self.assertEqual(self.apps.last.received, [], data)
            (reason,) = self.apps.last.lost
            self.assertEqual((reason.type, reason.value.code), (SessionLost, code), data)

    def test_blocked(self):
        """
        Nothing is written into a connection that is full; what has gathered leaves as one frame when it drains.
        """
        socket = self.open()
        socket.transport.block()
        for text in "xyz":
            self.apps.last.transport.write(text)
            self.clock.advance(19)
        self.assertEqual(socket.texts(), ["o"])
        socket.transport.unblock()
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["o", 'a["x","y","z"]'])

    def test_blockedAndClosed(self):
        """
        A close waits until the connection drains, behind what was written before.
        """
        socket = self.open()
        socket.transport.block()
        self.apps.last.transport.write("x")
        self.apps.last.transport.loseConnection()
        self.clock.advance(1)
        self.assertEqual(socket.texts(), ["o"])
        socket.transport.unblock()
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["o", 'a["x"]', 'c[3000,"Go away!"]'])
        self.assertIsNotNone(socket.closed())

    def test_transportStops(self):
        """
        A transport that tells its producer to stop loses its connection soon; nothing happens before.
        """
        socket = self.open()
        socket.transport.producer.stopProducing()
        self.assertEqual((socket.texts(), self.apps.last.lost), (["o"], []))

    def test_pausedByApplication(self):
        """
        An application that pauses stops the reading of the connection; what was read already waits.
        """
        socket = self.open()
        self.apps.last.transport.pauseProducing()
        self.assertEqual(socket.transport.producerState, "paused")
        socket.sendText('["x","y"]')
        self.assertEqual(self.apps.last.received, [])
        self.apps.last.transport.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(socket.transport.producerState, "producing")
        self.assertEqual(self.apps.last.received, [b"x", b"y"])

    def test_pausedFromTheBeginning(self):
        """
        An application may pause as soon as it is connected.
        """

        class Paused(Recorder):
            def connectionMade(self):
                self.transport.pauseProducing()

        socket = self.open(Paused)
        socket.sendText('["x"]')
        self.assertEqual((self.apps.last.received, socket.transport.producerState), ([], "paused"))

    def test_pausedAndClosed(self):
        """
        An application that pauses and then closes does not keep the client from answering the close.
        """
        socket = self.open()
        self.apps.last.transport.pauseProducing()
        self.apps.last.transport.loseConnection()
        self.clock.advance(0)
        self.assertEqual(socket.transport.producerState, "producing")
        socket.sendFrame(8, closePayload(1000))
        self.assertFalse(socket.transport.aborted)
        self.assertEqual([reason.type for reason in self.apps.last.lost], [SessionDone])

    def test_crash(self):
        """
        An application that fails closes its own session, with 1011.
        """

        class Crashing(Recorder):
            def dataReceived(self, data):
                raise RuntimeError("no")

        socket = self.open(Crashing)
        socket.sendText('["x"]')
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(socket.texts(), ["o", 'c[1011,"Internal error"]'])
        self.assertEqual(socket.closed().code, 1000)

    def test_crashAtOnce(self):
        """
        So does one that fails in C{connectionMade}.
        """

        class Crashing(Recorder):
            def connectionMade(self):
                raise RuntimeError("no")

        socket = self.open(Crashing)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(socket.texts()[-1], 'c[1011,"Internal error"]')


class RawTests(SiteCase):
    """
    C{/websocket}.
    """

    def open(self, protocol=Recorder, **settings):
        self.serve(Apps(protocol), **settings)
        socket = self.connect()
        socket.upgrade(RAW)
        return socket

    def test_echo(self):
        """
        Messages go both ways as they are, empty ones too; there is no opening and no heartbeat.
        """
        socket = self.open(TextEcho)
        texts = ["x", '["y"]', "", "\U0001f600 </script>", "[", "\0"]
        for text in texts:
            socket.sendText(text)
        self.clock.advance(100)
        self.assertEqual(socket.texts(), texts)

    def test_eachItsOwn(self):
        """
        What is written in one turn still is one message each.
        """
        socket = self.open()
        self.apps.last.transport.writeMessages(["x", "y"])
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["x", "y"])

    def test_loneSurrogate(self):
        """
        A lone surrogate, which UTF-8 has not, leaves as U+FFFD.
        """
        socket = self.open()
        self.apps.last.transport.write("a\ud800b")
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["a\ufffdb"])

    def test_closedByApplication(self):
        """
        The close of the WebSocket itself tells code and reason.
        """
        socket = self.open()
        self.apps.last.transport.write("x")
        self.apps.last.transport.close(4002, "caf\u00e9")
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["x"])
        self.assertEqual(socket.closed().payload, closePayload(4002, "caf\u00e9"))
        socket.sendFrame(8, closePayload(4002))
        self.assertTrue(socket.transport.gone)
        self.assertEqual([reason.value.code for reason in self.apps.last.lost], [4002])

    def test_longReason(self):
        """
        A reason of as many bytes as a close frame has room for goes through.
        """
        socket = self.open()
        self.apps.last.transport.close(3000, "\u20ac" * 41)
        self.clock.advance(0)
        self.assertEqual(socket.closed().payload, closePayload(3000, "\u20ac" * 41))

    def test_refused(self):
        """
        An application that wants no session lets the WebSocket be closed with 3000.
        """
        self.serve()
        self.apps.refuse = True
        socket = self.connect()
        socket.upgrade(RAW)
        self.clock.advance(0)
        self.assertEqual(socket.frames(), [(8, closePayload(3000, "Go away!"))])

    def test_crash(self):
        """
        An application that fails closes with 1011.
        """

        class Crashing(Recorder):
            def dataReceived(self, data):
                raise RuntimeError("no")

        socket = self.open(Crashing)
        socket.sendText("x")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(socket.closed().code, 1011)

    def test_binary(self):
        """
        A binary message ends the connection with 1003.
        """
        socket = self.open()
        socket.sendFrame(2, b"x")
        self.assertEqual(socket.closed().code, 1003)
        self.assertEqual(self.apps.last.received, [])

    def test_blockedHalfway(self):
        """
        A connection that fills between two messages of one turn gets the second one when it drains.
        """
        socket = self.open()
        write = socket.transport.write

        def fill(data):
            write(data)
            socket.transport.write = write
            socket.transport.block()

        socket.transport.write = fill
        self.apps.last.transport.writeMessages(["x", "y", "z"])
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["x"])
        socket.transport.unblock()
        self.clock.advance(0)
        self.assertEqual(socket.texts(), ["x", "y", "z"])


class SizeTests(SiteCase):
    """
    C{max_message_size}: what a client sends is refused before it is kept.
    """

    def open(self, path, size=10, protocol=TextEcho):
        self.serve(Apps(protocol), max_message_size=size)
        socket = self.connect()
        socket.upgrade(path)
        return socket

    def assertTooLarge(self, socket):
        """
        Assert that the WebSocket is being closed with 1009, and is over once the client has answered.
        """
        self.assertEqual(socket.closed().payload, closePayload(1009, "The message is too large"))
        self.assertFalse(socket.transport.disconnecting)
        self.assertEqual(self.apps.last.lost, [])
        socket.sendFrame(8, closePayload(1009))
        self.assertTrue(socket.transport.gone)
        self.assertOver()

    def assertOver(self):
        """
        Assert that the application knows it, and that it was counted.
        """
        (reason,) = self.apps.last.lost
        self.assertEqual(reason.type, SessionLost)
        self.assertEqual((reason.value.code, reason.value.reason), (1009, "The message is too large"))
        stats = self.resource.stats
        self.assertEqual((stats.refused, stats.closed), ({"message too large": 1}, {Cause.TOO_LARGE: 1}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_boundary(self):
        """
        A message of that size passes, however it is written and cut into fragments, be the last one empty.
        """
        for path, payloads in (
            (RAW, (b"x" * 10, "\u20ac\u20ac\u20acx".encode())),
            (FRAMED, (b'["' + b"x" * 10 + b'"]', b'["' + b"\\u0000" * 10 + b'"]', b'"' + b"\\u0078" * 10 + b'"')),
        ):
            for payload in payloads:
                socket = self.open(path, protocol=Recorder)
                socket.sendFrame(1, payload)
                for at, byte in enumerate(payload):
                    socket.sendFrame(0 if at else 1, bytes([byte]), fin=False)
                socket.sendFrame(0)
                self.assertEqual([len(data) for data in self.apps.last.received], [10, 10])
                self.assertEqual(self.resource.stats.refused, {})

    def test_oneFrame(self):
        """
        A frame that is larger ends the session with 1009 as soon as its header has come; none of it is kept.
        """
        for path, limit in ((RAW, 10), (FRAMED, 64)):
            for head in (bytes([0x80 + limit + 1]), b"\xfe\xff\xff", b"\xff" + (2**62).to_bytes(8, "big")):
                socket = self.open(path)
                socket.send(b"\x81" + head + bytes(4))
                self.assertEqual(socket.closed().code, 1009)
                for _ in range(10):
                    socket.send(bytes(10000))
                engine = socket.protocol._channel.dataReceived.__self__._engine
                self.assertEqual((engine.frame_data or [], engine.message_data or []), ([], []))
                self.assertLess(len(engine.data), 10000)
                self.clock.advance(5)
                self.clock.advance(0)
                self.assertTrue(socket.transport.gone)
                self.assertOver()

    def test_wholeFrame(self):
        """
        A client that sends all of a larger frame, and more, sees 1009; the messages behind it are not delivered.
        """
        for path, limit in ((RAW, 10), (FRAMED, 64)):
            socket = self.open(path)
            socket.send(encodeFrame(1, b"x" * (limit + 1)) + encodeFrame(1, b'["x"]'))
            self.assertEqual(self.apps.last.received, [])
            self.assertTooLarge(socket)

    def test_fragments(self):
        """
        Fragments that are larger together end the session with 1009, when the one that is too much begins.
        """
        for path, limit in ((RAW, 10), (FRAMED, 64)):
            socket = self.open(path)
            socket.sendFrame(1, b"x" * (limit - 1), fin=False)
            socket.sendFrame(0, b"x", fin=False)
            self.assertIsNone(socket.closed())
            frame = encodeFrame(0, b"x")
            socket.send(frame[:6])
            self.assertIsNotNone(socket.closed())
            socket.send(frame[6:])
            self.assertTooLarge(socket)

    def test_emptyFragments(self):
        """
        A message can't have any number of empty fragments.
        """
        socket = self.open(RAW)
        socket.sendFrame(1, b"", fin=False)
        for _ in range(20):
            socket.sendFrame(0, b"", fin=False)
        self.assertTooLarge(socket)

    def test_binary(self):
        """
        A large binary message is refused for its size, before its kind is known to matter.
        """
        socket = self.open(RAW)
        socket.sendFrame(2, b"x" * 11)
        self.assertTooLarge(socket)

    def test_decoded(self):
        """
        A message that is larger only when it is decoded ends the session with a close frame of SockJS.
        """
        socket = self.open(FRAMED)
        socket.sendText('["%s"]' % ("x" * 11))
        self.assertEqual(socket.texts(), ["o", 'c[1009,"The message is too large"]'])
        self.assertEqual(socket.closed().code, 1000)
        socket.sendFrame(8, closePayload(1000))
        self.assertOver()

    def test_sending(self):
        """
        What the application sends may be larger.
        """
        for path, ending in ((RAW, "%s"), (FRAMED, 'a["%s"]')):
            socket = self.open(path)
            self.apps.last.transport.write("x" * 100)
            self.clock.advance(0)
            self.assertEqual(socket.texts()[-1], ending % ("x" * 100))

    def test_noAnswer(self):
        """
        Nothing is sent and nothing is taken while the client has yet to answer the close.
        """
        socket = self.open(RAW)
        socket.sendText("x" * 11)
        self.apps.last.transport.write("late")
        self.clock.advance(0)
        socket.sendText("y")
        self.assertEqual((socket.texts(), self.apps.last.received), ([], []))
        self.clock.advance(5)
        self.clock.advance(0)
        self.assertOver()


class RealSizeTests(TestCase):
    """
    C{max_message_size} over real sockets.
    """

    async def open(self, path):
        site = SockJSFactory(Apps(TextEcho), max_message_size=1000, close_timeout=0.2)
        self.apps, self.stats = site.resource._service.factory, site.resource.stats
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site)
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.addCleanup(site.resource.stop)
        self.addCleanup(port.stopListening)
        self.addCleanup(client.close)
        return await client.websocket(path)

    async def assertTooLarge(self, *frames, path=RAW):
        socket = await self.open(path)
        for frame in frames:
            socket.write(frame)
        self.assertEqual((await socket.ending()).payload, closePayload(1009, "The message is too large"))
        for _ in range(1000):  # the client may see the end before the protocol does
            if self.apps.last.lost:
                break
            await deferLater(reactor, 0.01)
        (reason,) = self.apps.last.lost
        self.assertEqual((reason.type, reason.value.code), (SessionLost, 1009))
        self.assertEqual(self.stats.refused, {"message too large": 1})

    async def test_raw(self):
        """
        A large message on a raw WebSocket is answered with 1009.
        """
        await self.assertTooLarge(encodeFrame(1, b"x" * 1001))

    async def test_framed(self):
        """
        So is one on a framed WebSocket, whatever it has to say.
        """
        await self.assertTooLarge(encodeFrame(1, b"x" * 6005), path=FRAMED)

    async def test_header(self):
        """
        No byte of it need have come.
        """
        await self.assertTooLarge(encodeFrame(1, b"x" * 5000000)[:14])

    async def test_fragmented(self):
        """
        Nor helps it to cut the message up.
        """
        await self.assertTooLarge(encodeFrame(1, b"x" * 999, fin=False), encodeFrame(0, b"x" * 2))

    async def test_decoded(self):
        """
        A framed message that turns out to be too large is answered with a close frame of SockJS.
        """
        socket = await self.open(FRAMED)
        self.assertEqual(await socket.message(), "o")
        socket.sendText('["%s"]' % ("x" * 1000))
        self.assertEqual(await socket.message(), 'a["%s"]' % ("x" * 1000))
        socket.sendText('["%s"]' % ("x" * 1001))
        self.assertEqual(await socket.message(), 'c[1009,"The message is too large"]')
        self.assertEqual((await socket.ending()).closeCode, 1000)
        self.assertEqual(self.stats.refused, {"message too large": 1})
