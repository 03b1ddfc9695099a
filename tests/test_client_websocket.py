# -*- test-case-name: tests.test_client_websocket -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A WebSocket as a carrier, over a socket in memory whose other end is played here, under a clock that stands still.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.clients import Bot
from tests.support import Apps
from tests.wire import BINARY, CLOSE, PING, PONG, TEXT, closePayload, encodeFrame
from txsockjs.client import ClientOptions, HeartbeatTimeout
from txsockjs.client.frames import TO_SERVER
from txsockjs.client.session import ClientConnection, ClientSession, TransportFailed
from txsockjs.client.websocket import WebSocketCarrier
from txsockjs.codec import RAW
from txsockjs.encoding import lookupEncoding
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.interfaces import RequestFacts

THERE = IPv4Address("TCP", "192.0.2.1", 8081)
HERE = IPv4Address("TCP", "192.0.2.2", 50000)

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Socket(StringTransport):
    """
    The client's end.
    """

    aborted = False

    def __init__(self) -> None:
        super().__init__(HERE, THERE, lenient=True)

    def abortConnection(self) -> None:
        self.aborted = True

    def unregisterProducer(self) -> None:
        self.producer = None  # as with TCP, where there need not be any


class CarrierCase(SynchronousTestCase):
    """
    One session.
    """

    def make(self, url: str = "ws://192.0.2.1:8081/echo/000/s/websocket", raw: bool = False, **settings: Any) -> None:
        """
        Make it, and begin.
        """
        self.clock = Clock()
        self.over = 0
        options = ClientOptions.build(settings)

        def connect(session: Any, addresses: Any) -> ClientConnection:
            facts = RequestFacts("/", {}, {})
            return ClientConnection(session, Apps(Bot), lookupEncoding("utf-8"), "websocket", facts, *addresses)

        def over() -> None:
            self.over += 1

        self.session = ClientSession(self.clock, options, RAW if raw else TO_SERVER, connect, over)
        limit = options.max_message_size if raw else options.max_frame_size
        headers = {"User-Agent": "tester", "X-Mine": "yes"}
        self.session.carrier = WebSocketCarrier(
            self.clock, self.session, self, url, headers, raw, limit, options.close_timeout
        )
        self.dialling: Deferred[Any] = Deferred()
        self.session.start(5)

    def connect(self, factory: Any) -> Deferred[Any]:
        """
        The endpoint is the test itself.
        """
        self.factory = factory
        return self.dialling

    def dial(self) -> None:
        """
        The socket is open.
        """
        self.protocol = self.factory.buildProtocol(None)
        self.socket = Socket()
        self.protocol.makeConnection(self.socket)
        self.dialling.callback(self.protocol)
        self.handshake = self.socket.value()
        self.socket.clear()

    def accept(self, *frames: bytes, **headers: str) -> None:
        """
        Answer the handshake, and send frames in one piece with it.
        """
        self.dial()
        key = re.search(rb"\r\nSec-WebSocket-Key: (\S+)\r\n", self.handshake)[1]
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        lines = b"".join(f"{name.replace('_', '-')}: {value}\r\n".encode() for name, value in headers.items())
        self.protocol.dataReceived(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + (b"Sec-WebSocket-Accept: " + accept + b"\r\n" + lines + b"\r\n")
            + b"".join(frames)
        )

    def begin(self, **settings: Any) -> None:
        """
        Open.
        """
        self.make(**settings)
        self.accept(*([] if settings.get("raw") else [text(b"o")]))
        self.bot = self.successResultOf(self.session.opened)

    def frames(self) -> list[tuple[int, bytes]]:
        """
        @return: the frames that the client has sent since, unmasked.
        """
        data, frames = self.socket.value(), []
        self.socket.clear()
        while data:
            opcode, size = data[0] & 15, data[1] & 127
            self.assertTrue(data[1] & 128, "the client must mask")
            data = data[2:]
            if size == 126:
                size, data = int.from_bytes(data[:2], "big"), data[2:]
            elif size == 127:
                size, data = int.from_bytes(data[:8], "big"), data[8:]
            mask, payload, data = data[:4], data[4 : 4 + size], data[4 + size :]
            frames.append((opcode, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))))
        return frames

    def turn(self) -> None:
        """
        What waits for the next turn happens.
        """
        self.clock.advance(0)

    def lose(self, reason: Exception | None = None) -> None:
        """
        The socket is gone.
        """
        self.protocol.connectionLost(Failure(reason or ConnectionDone()))
        self.turn()

    def end(self) -> BaseException:
        """
        @return: what the protocol was told; nothing must be left.
        """
        self.turn()
        self.assertEqual((self.over, self.clock.getDelayedCalls()), (1, []))
        return self.bot.lost.value


def text(payload: bytes, fin: bool = True) -> bytes:
    """
    @return: a frame of the server's.
    """
    return encodeFrame(TEXT, payload, fin, mask=False)


class OpeningTests(CarrierCase):
    """
    The handshake.
    """

    def test_request(self) -> None:
        """
        The request has the URL, the headers of the user's, and no compression on offer.
        """
        self.make("ws://192.0.2.1:8081/echo/000/s/websocket?a=b")
        self.dial()
        self.assertTrue(self.handshake.startswith(b"GET /echo/000/s/websocket?a=b HTTP/1.1\r\n"), self.handshake)
        for line in (b"Host: 192.0.2.1:8081", b"User-Agent: tester", b"X-Mine: yes", b"Sec-WebSocket-Version: 13"):
            self.assertIn(b"\r\n" + line + b"\r\n", self.handshake)
        self.assertNotIn(b"extensions", self.handshake.lower())
        self.session.opened.addErrback(lambda failure: None)
        self.session.opened.cancel()

    def test_sixth(self) -> None:
        """
        An address of IPv6 has its brackets in the header Host.
        """
        self.make("ws://[::1]:8081/websocket")
        self.dial()
        self.assertIn(b"\r\nHost: [::1]:8081\r\n", self.handshake)
        self.session.opened.addErrback(lambda failure: None)
        self.session.opened.cancel()

    def test_opens(self) -> None:
        """
        The session opens with the frame C{o}, also when it comes in one piece with the handshake.
        """
        self.begin()
        self.assertEqual((self.bot.transport.getPeer(), self.bot.transport.getHost()), (THERE, HERE))
        self.make()
        self.accept()
        self.assertNoResult(self.session.opened)
        self.protocol.dataReceived(text(b"o"))
        self.successResultOf(self.session.opened)

    def test_raw(self) -> None:
        """
        A raw WebSocket opens with the handshake.
        """
        self.begin(raw=True)
        self.protocol.dataReceived(text(b"o") + text(b'a["x"]'))
        self.assertEqual(self.bot.received, ["o", 'a["x"]'])

    def test_refused(self) -> None:
        """
        Any other answer fails the transport, and says what it was.
        """
        for answer, why in (
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "404"),
            (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno", "502"),
            (b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "Accept"),
            (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ""),
            (b"x" * 70_000, "65536 bytes of headers"),
        ):
            self.make()
            self.dial()
            self.protocol.dataReceived(answer)
            self.assertTrue(self.socket.aborted)
            self.lose()
            error = self.failureResultOf(self.session.opened, TransportFailed).value
            self.assertIn(why, str(error))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slowHeaders(self) -> None:
        """
        Headers that come piece by piece are bounded as well.
        """
        self.make()
        self.dial()
        self.protocol.dataReceived(b"HTTP/1.1 101 Switching Protocols\r\n")
        for _ in range(700):
            self.protocol.dataReceived(b"X-More: " + b"x" * 100 + b"\r\n")
        self.assertTrue(self.socket.aborted)
        self.lose()
        self.failureResultOf(self.session.opened, TransportFailed)

    def test_lost(self) -> None:
        """
        A socket that can't be opened, or that is closed at once, fails the transport.
        """
        self.make()
        self.dialling.errback(OSError("no route"))
        error = self.failureResultOf(self.session.opened, TransportFailed).value
        self.assertIn("no route", str(error))
        for early in (False, True):
            self.make()
            (self.accept if early else self.dial)()
            self.lose()
            self.failureResultOf(self.session.opened, TransportFailed)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """
        Wherever it is, it can be cancelled: the socket is cut, and nothing is told afterwards.
        """
        self.make()
        self.session.opened.cancel()
        self.failureResultOf(self.session.opened, CancelledError)
        self.assertTrue(self.dialling.called)
        for begin in (self.dial, self.accept):
            self.make()
            begin()
            self.session.opened.cancel()
            self.failureResultOf(self.session.opened, CancelledError)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertTrue(self.socket.aborted)
            self.lose()


class MessageTests(CarrierCase):
    """
    What comes and goes.
    """

    @given(st.lists(st.integers(1, 30), max_size=40), st.lists(st.integers(0, 20), max_size=8))
    def test_cut(self, cuts: list[int], parts: list[int]) -> None:
        """
        However the bytes are cut and the message is fragmented, it arrives.
        """
        self.begin()
        frame = 'a["one","grün \N{SNOWMAN}"]'.encode()
        data, opcode = b"", TEXT
        for part in parts:
            data += encodeFrame(opcode, frame[:part], fin=False, mask=False)
            frame, opcode = frame[part:], 0
        data += encodeFrame(opcode, frame, mask=False) + text(b'a["two"]')
        for size in cuts:
            if data[:size]:
                self.protocol.dataReceived(data[:size])
            data = data[size:]
        if data:
            self.protocol.dataReceived(data)
        self.assertEqual(self.bot.received, ["one", "grün \N{SNOWMAN}", "two"])

    def test_sends(self) -> None:
        """
        What is written in a turn is one message; by raw WebSocket each is its own.
        """
        self.begin()
        self.bot.transport.writeMessages(["a", "ü"])
        self.turn()
        self.assertEqual(self.frames(), [(TEXT, '["a","ü"]'.encode())])
        self.begin(raw=True)
        self.bot.transport.writeMessages(["a", "\ud800"])
        self.turn()
        self.assertEqual(self.frames(), [(TEXT, b"a"), (TEXT, b"\xef\xbf\xbd")])

    def test_pings(self) -> None:
        """
        Pings are answered; while the connection is full, only the last one, later.
        """
        self.begin()
        self.protocol.dataReceived(encodeFrame(PING, b"one", mask=False))
        self.assertEqual(self.frames(), [(PONG, b"one")])
        self.socket.producer.pauseProducing()
        for number in range(1000):
            self.protocol.dataReceived(encodeFrame(PING, b"%d" % number, mask=False))
        self.assertEqual(self.frames(), [])
        self.socket.producer.resumeProducing()
        self.assertEqual(self.frames(), [(PONG, b"999")])

    def test_full(self) -> None:
        """
        Nothing is sent while the connection is full; then all that waits is.
        """
        self.begin()
        self.socket.producer.pauseProducing()
        for number in range(3):
            self.bot.transport.write(str(number))
            self.turn()
        self.assertEqual(self.frames(), [])
        self.socket.producer.resumeProducing()
        self.assertEqual(self.frames(), [(TEXT, b'["0","1","2"]')])

    def test_binary(self) -> None:
        """
        A binary message is refused with 1003.
        """
        for raw in (False, True):
            self.begin(raw=raw)
            self.protocol.dataReceived(encodeFrame(BINARY, b"x", mask=False) + text(b'a["late"]'))
            self.assertEqual(self.frames(), [(CLOSE, closePayload(1003))])
            self.protocol.dataReceived(encodeFrame(CLOSE, closePayload(1003), mask=False))
            self.lose()
            error = self.end()
            self.assertEqual((type(error), error.code, self.bot.received), (SessionLost, 1003, []))

    def test_tooLarge(self) -> None:
        """
        A frame of more bytes than may be is refused with 1009 by its header, whole or in fragments; nothing of it is
        kept.
        """
        for pieces in (
            [encodeFrame(TEXT, b"x" * 5000, mask=False)[:10]],
            [text(b"x" * 3000, fin=False), encodeFrame(0, b"x" * 3000, mask=False)],
            [text(b"", fin=False), *[encodeFrame(0, b"", fin=False, mask=False)] * 70_000],
        ):
            self.begin(max_frame_size=4096)
            for piece in pieces:
                self.protocol.dataReceived(piece)
            self.assertEqual(self.frames(), [(CLOSE, closePayload(1009))])
            self.clock.advance(5)
            self.assertTrue(self.socket.aborted)
            self.lose(ConnectionLost())
            error = self.end()
            self.assertEqual((type(error), error.code, self.bot.received), (SessionLost, 1009, []))
            self.assertIn("4096", error.reason)

    def test_brokenUTF8(self) -> None:
        """
        Text that is none ends the session with 1007, and frames that break the rules end it with 1002.
        """
        for data, code in ((text(b'a["\xff"]'), 1007), (encodeFrame(TEXT, b"x", mask=False, rsv=4), 1002)):
            self.begin()
            self.protocol.dataReceived(data)
            self.assertEqual(self.frames()[0][1][:2], closePayload(code))
            self.lose()
            error = self.end()
            self.assertEqual((type(error), error.code, self.bot.received), (SessionLost, code, []))

    def test_paused(self) -> None:
        """
        When too much waits for the protocol, the socket is not read, until it goes on.
        """
        self.begin(max_queued_bytes=100)
        self.bot.transport.pauseProducing()
        self.protocol.dataReceived(text(b'a["%s"]' % (b"x" * 200)))
        self.assertEqual(self.socket.producerState, "paused")
        self.bot.transport.resumeProducing()
        self.assertEqual(self.socket.producerState, "producing")


class EndTests(CarrierCase):
    """
    How it ends.
    """

    def test_close(self) -> None:
        """
        A close tells code and reason, and is over when the server has answered and closed the socket.
        """
        self.begin()
        self.bot.transport.write("last")
        self.bot.transport.close(4000, "enough")
        self.turn()
        self.assertEqual(self.frames(), [(TEXT, b'["last"]'), (CLOSE, closePayload(4000, "enough"))])
        self.protocol.dataReceived(encodeFrame(CLOSE, closePayload(4000, "enough"), mask=False))
        self.assertIsNone(self.bot.lost)
        self.lose()
        error = self.end()
        self.assertEqual((type(error), error.code, error.reason), (SessionDone, 4000, "enough"))

    def test_closeTimeout(self) -> None:
        """
        A server that does not answer a close, or does not close the socket, is cut after the close timeout.
        """
        for answers in (False, True):
            self.begin(close_timeout=3)
            self.bot.transport.loseConnection()
            self.turn()
            if answers:
                self.protocol.dataReceived(encodeFrame(CLOSE, closePayload(1000), mask=False))
            self.clock.advance(2.9)
            self.assertFalse(self.socket.aborted)
            self.clock.advance(0.1)
            self.assertTrue(self.socket.aborted)
            self.lose(ConnectionLost())
            self.assertEqual(self.end().code, 1000)

    def test_closedByServer(self) -> None:
        """
        After the close frame of SockJS the client closes the WebSocket, and the reason is that of the frame.
        """
        self.begin()
        self.protocol.dataReceived(text(b'c[3210,"all said"]') + text(b'a["late"]'))
        self.assertEqual(self.frames(), [(CLOSE, closePayload(1000))])
        self.protocol.dataReceived(encodeFrame(CLOSE, closePayload(1000), mask=False))
        self.lose()
        error = self.end()
        self.assertEqual((type(error), error.code, error.reason), (SessionDone, 3210, "all said"))
        self.assertEqual(self.bot.received, [])

    def test_serverGone(self) -> None:
        """
        A server that does not close the WebSocket after its close frame is cut after the close timeout.
        """
        self.begin(close_timeout=3)
        self.protocol.dataReceived(text(b'c[3210,"all said"]'))
        self.clock.advance(3)
        self.assertTrue(self.socket.aborted)
        self.lose(ConnectionLost())
        self.assertEqual(self.end().code, 3210)

    def test_bareClose(self) -> None:
        """
        Without a close frame of SockJS the WebSocket's own tells: orderly or not by its code, and 1005 for none.
        """
        for payload, kind, code in (
            (closePayload(1000, "bye"), SessionDone, 1000),
            (closePayload(3001, "bye"), SessionDone, 3001),
            (b"", SessionDone, 1005),
            (closePayload(1001, "bye"), SessionLost, 1001),
            (closePayload(1011, "bye"), SessionLost, 1011),
        ):
            for raw in (False, True):
                self.begin(raw=raw)
                self.protocol.dataReceived(encodeFrame(CLOSE, payload, mask=False))
                self.assertEqual([opcode for opcode, _ in self.frames()], [CLOSE])
                self.bot.transport.write("late")
                self.turn()
                self.assertEqual(self.frames(), [])
                self.lose()
                error = self.end()
                self.assertEqual((type(error), error.code), (kind, code))
                self.assertEqual(error.reason, "bye" if payload else "")

    def test_bareCloseTimeout(self) -> None:
        """
        A server that closes the WebSocket first and then keeps the socket open is cut after the close timeout; what it
        said stands. So does what the client said where the server broke the rules. Heartbeats are not waited for any
        more.
        """
        for data, kind, code in (
            (encodeFrame(CLOSE, closePayload(1000, "bye"), mask=False), SessionDone, 1000),
            (encodeFrame(CLOSE, closePayload(4001, "bye"), mask=False), SessionDone, 4001),
            (encodeFrame(CLOSE, b"", mask=False), SessionDone, 1005),
            (encodeFrame(CLOSE, closePayload(1011, "bye"), mask=False), SessionLost, 1011),
            (encodeFrame(TEXT, b"x", mask=False, rsv=4), SessionLost, 1002),
            (encodeFrame(BINARY, b"x", mask=False), SessionLost, 1003),
        ):
            for raw in (False, True):
                self.begin(raw=raw, close_timeout=3, heartbeat_timeout=2)
                self.protocol.dataReceived(data)
                self.clock.advance(2.9)
                self.assertFalse(self.socket.aborted)
                self.clock.advance(0.1)
                self.assertTrue(self.socket.aborted)
                self.lose(ConnectionLost())
                error = self.end()
                self.assertEqual((type(error), error.code), (kind, code))

    def test_heldOpen(self) -> None:
        """
        A server that has closed the WebSocket does not hold it open by what it sends afterwards.
        """
        self.begin(close_timeout=3, heartbeat_timeout=10)
        self.protocol.dataReceived(encodeFrame(CLOSE, closePayload(1000, "bye"), mask=False))
        for _ in range(3):
            self.clock.advance(1)
            self.protocol.dataReceived(encodeFrame(PING, b"", mask=False))
        self.assertTrue(self.socket.aborted)
        self.lose(ConnectionLost())
        self.assertEqual(self.end().code, 1000)

    def test_closedEarly(self) -> None:
        """
        A close in place of the opening has its deadline too, and leaves nothing.
        """
        self.make(close_timeout=3)
        self.accept(encodeFrame(CLOSE, closePayload(1000), mask=False))
        self.clock.advance(3)
        self.assertTrue(self.socket.aborted)
        self.lose(ConnectionLost())
        self.failureResultOf(self.session.opened, TransportFailed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_broken(self) -> None:
        """
        A socket that is gone without a close is a loss.
        """
        for reason in (ConnectionDone(), ConnectionLost()):
            self.begin()
            self.lose(reason)
            error = self.end()
            self.assertEqual((type(error), error.code), (SessionLost, 1006))

    def test_abort(self) -> None:
        """
        An abort cuts the socket.
        """
        self.begin()
        self.bot.transport.abortConnection()
        self.assertTrue(self.socket.aborted)
        self.lose(ConnectionLost())
        self.end()

    def test_heartbeats(self) -> None:
        """
        Frames of SockJS and pings of the server's count as its heartbeats, and pongs do not; the client sends none.
        """
        self.begin(heartbeat_timeout=10)
        for data in (text(b"h"), encodeFrame(PING, b"", mask=False), text(b'a["x"]')):
            self.clock.advance(9)
            self.protocol.dataReceived(data)
        self.assertFalse(self.socket.aborted)
        self.frames()
        self.clock.advance(5)
        self.assertEqual(self.frames(), [])
        self.protocol.dataReceived(encodeFrame(PONG, b"", mask=False))
        self.clock.advance(5)
        self.assertTrue(self.socket.aborted)
        self.assertIsInstance(self.end(), HeartbeatTimeout)

    def test_rawHeartbeats(self) -> None:
        """
        A raw WebSocket has no heartbeats, so a silent server is pinged after half of the timeout.
        """
        self.begin(raw=True, heartbeat_timeout=10)
        for _ in range(3):
            self.clock.advance(5)
            self.assertEqual(self.frames(), [(PING, b"")])
            self.clock.advance(4)
            self.protocol.dataReceived(encodeFrame(PONG, b"", mask=False))
        self.clock.advance(5)
        self.clock.advance(5)
        self.assertTrue(self.socket.aborted)
        self.assertIsInstance(self.end(), HeartbeatTimeout)

    def test_sixthHost(self) -> None:
        """
        Addresses of IPv6 are told as they are.
        """
        self.make()
        self.accept()
        self.socket.peerAddr = IPv6Address("TCP", "::1", 1)
        self.protocol.dataReceived(text(b"o"))
        self.assertEqual(self.successResultOf(self.session.opened).transport.getPeer().host, "::1")
