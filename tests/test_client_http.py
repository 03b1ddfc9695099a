# -*- test-case-name: tests.test_client_http -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
HTTP as a carrier, over an agent whose requests are answered here, under a clock that stands still.
"""

from __future__ import annotations

import json
from http.cookiejar import CookieJar

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import RequestTransmissionFailed, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from tests.agents import FakeAgent
from tests.clients import Bot
from tests.support import Apps
from txsockjs.client import ClientOptions
from txsockjs.client.frames import TO_SERVER
from txsockjs.client.http import DIALECTS, HTTPCarrier, Requests, _Bytes, describe
from txsockjs.client.session import ClientConnection, ClientSession, TransportFailed
from txsockjs.encoding import lookupEncoding
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.interfaces import RequestFacts

THERE = IPv4Address("TCP", "192.0.2.1", 80)
BASE = "http://192.0.2.1/echo/000/s"


class CarrierCase(SynchronousTestCase):
    """
    One session by one transport.
    """

    def make(self, name: str = "xhr-streaming", **settings) -> None:
        """
        Make it.
        """
        self.clock = Clock()
        self.agent = FakeAgent()
        self.over = 0
        options = ClientOptions.build(settings)

        def connect(session, addresses):
            facts = RequestFacts("/", {}, {})
            return ClientConnection(session, Apps(Bot), lookupEncoding("utf-8"), name, facts, *addresses)

        def over() -> None:
            self.over += 1

        self.session = ClientSession(self.clock, options, TO_SERVER, connect, over)
        dialect = DIALECTS[name]
        self.session.carrier = HTTPCarrier(
            self.clock,
            self.session,
            dialect,
            Requests(self.agent, Headers({"X-Mine": ["yes"]}), CookieJar()),
            f"{BASE}/{dialect.suffix}",
            f"{BASE}/xhr_send",
            options.max_frame_size,
            lambda: (THERE, THERE),
        )
        self.session.start(5)

    def begin(self, name: str = "xhr-streaming", **settings) -> None:
        """
        Open.
        """
        self.make(name, **settings)
        self.stream = self.agent.to(DIALECTS[name].suffix).answer(200, b"h" * 2048 + b"\n", b"o\n")
        self.bot = self.successResultOf(self.session.opened)

    def turn(self) -> None:
        """
        What waits for the next turn happens.
        """
        self.clock.advance(0)

    def write(self, *texts: str) -> None:
        """
        Write in a turn.
        """
        self.bot.transport.writeMessages(texts)
        self.turn()

    def end(self) -> BaseException:
        """
        @return: what the protocol was told; nothing must be left.
        """
        self.turn()
        self.turn()
        self.assertEqual(self.over, 1)
        self.assertEqual(self.agent.open, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return self.bot.lost.value


class ReceivingTests(CarrierCase):
    """
    What comes.
    """

    def test_requests(self) -> None:
        """
        Each transport asks in its way, with the user's headers.
        """
        for name, method, url, accept in (
            ("xhr-streaming", "POST", "xhr_streaming", None),
            ("xhr-polling", "POST", "xhr", None),
            ("eventsource", "GET", "eventsource", ["text/event-stream"]),
        ):
            self.make(name)
            (asked,) = self.agent.asked
            self.assertEqual((asked.method, asked.url, asked.body), (method, f"{BASE}/{url}", None))
            self.assertEqual(asked.headers.getRawHeaders("X-Mine"), ["yes"])
            self.assertEqual(asked.headers.getRawHeaders("Accept"), accept)

    @given(st.lists(st.integers(1, 40), max_size=30))
    def test_stream(self, cuts) -> None:
        """
        Frames arrive however their stream is cut.
        """
        self.begin()
        data = b'a["one","two"]\nh\na["gr\xc3\xbcn"]\n'
        for size in cuts:
            self.stream.send(data[:size])
            data = data[size:]
        self.stream.send(data)
        self.assertEqual(self.bot.received, ["one", "two", "grün"])

    def test_nextResponse(self) -> None:
        """
        A response that is at its end is followed by the next request, in the next turn, and nothing is lost between.
        """
        self.begin()
        for number in range(3):
            self.stream.send(b'a["%d"]\n' % number)
            self.stream.end()
            self.assertEqual(self.agent.open, [])
            self.turn()
            self.stream = self.agent.to("xhr_streaming").answer(200, b"h\n")
        self.assertEqual(self.bot.received, ["0", "1", "2"])

    def test_polling(self) -> None:
        """
        Polling is one frame a response.
        """
        self.make("xhr-polling")
        self.agent.to("/xhr").whole(200, b"o\n")
        bot = self.successResultOf(self.session.opened)
        for frame in (b'a["one"]\n', b"h\n", b'a["two"]\n'):
            self.turn()
            self.agent.to("/xhr").whole(200, frame)
        self.assertEqual(bot.received, ["one", "two"])

    def test_events(self) -> None:
        """
        Server-sent events have percent escapes.
        """
        self.make("eventsource")
        self.agent.to("/eventsource").answer(200, b"\r\n", b"data: o\r\n\r\n", b'data: a["100%25"]\r\n\r\n')
        self.assertEqual(self.successResultOf(self.session.opened).received, ["100%"])

    def test_empty(self) -> None:
        """
        After a response without a frame the next request waits a second.
        """
        self.begin()
        self.stream.end()
        self.turn()
        self.agent.to("xhr_streaming").whole(200)
        self.clock.advance(0.9)
        self.assertEqual(self.agent.open, [])
        self.clock.advance(0.1)
        self.agent.to("xhr_streaming")

    def test_onlyPrelude(self) -> None:
        """
        So it does after a response that had nothing but the prelude.
        """
        self.begin()
        self.stream.end()
        self.turn()
        for _ in range(3):
            self.agent.to("xhr_streaming").whole(200, b"h" * 2048 + b"\n")
            self.clock.advance(0.9)
            self.assertEqual(self.agent.open, [])
            self.clock.advance(0.1)
        self.agent.to("xhr_streaming")

    def test_untold(self) -> None:
        """
        A response of HTTP/1.0 that tells no length is whole when its connection is closed.
        """
        self.begin()
        self.stream.reader.connectionLost(Failure(PotentialDataLoss()))
        self.turn()
        self.agent.to("xhr_streaming")
        self.assertIsNone(self.bot.lost)

    def test_status(self) -> None:
        """
        Any other status is the end, and is told.
        """
        self.make()
        self.agent.to("xhr_streaming").answer(503)
        error = self.failureResultOf(self.session.opened, TransportFailed).value
        self.assertIn(f"POST {BASE}/xhr_streaming was answered with 503", str(error))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.begin()
        self.stream.end()
        self.turn()
        response = self.agent.to("xhr_streaming").answer(500, b"oh")
        self.assertTrue(response.transport.lost)
        error = self.end()
        self.assertEqual((type(error), error.code), (SessionLost, 1006))
        self.assertIn("500", error.reason)

    def test_breaks(self) -> None:
        """
        A response that breaks, or ends within a frame, is the end: something may be lost.
        """
        self.begin()
        self.stream.send(b'a["one"]\n')
        self.stream.end(ConnectionLost())
        error = self.end()
        self.assertEqual((type(error), error.code, self.bot.received), (SessionLost, 1006, ["one"]))
        self.assertIn("closed too early", error.reason)
        self.begin()
        self.stream.send(b'a["one"]\na["tw')
        self.stream.end()
        self.assertIn("within a frame", self.end().reason)

    def test_unanswered(self) -> None:
        """
        A request without an answer is the end.
        """
        self.begin()
        self.stream.end()
        self.turn()
        self.agent.to("xhr_streaming").fail(ConnectionRefusedError())
        self.assertIn("refused", self.end().reason)

    def test_tooLarge(self) -> None:
        """
        A frame that grows beyond what may be is the end with 1009.
        """
        self.make(max_frame_size=4096)
        stream = self.agent.to("xhr_streaming").answer(200, b"o\n")
        self.bot = self.successResultOf(self.session.opened)
        stream.send(b'a["' + b"x" * 3000)
        self.assertIsNone(self.bot.lost)
        stream.send(b"x" * 3000)
        self.assertTrue(stream.transport.lost)
        self.assertEqual(self.end().code, 1009)

    def test_closed(self) -> None:
        """
        After the close frame no request is made any more, and the response is left.
        """
        self.begin()
        self.stream.send(b'c[3000,"Go away!"]\na["late"]\n')
        self.assertTrue(self.stream.transport.lost)
        error = self.end()
        self.assertEqual((type(error), error.code, self.bot.received), (SessionDone, 3000, []))

    def test_anotherReceiver(self) -> None:
        """
        What a server says to a second receiver, or of an interrupted session, is told as what it is.
        """
        for code, reason in ((2010, "Another connection still open"), (1002, "Connection interrupted")):
            self.begin("xhr-polling")
            self.stream.end()
            self.turn()
            self.agent.to("/xhr").whole(200, b'c[%d,"%s"]\n' % (code, reason.encode()))
            error = self.end()
            self.assertEqual((type(error), error.code, error.reason), (SessionLost, code, reason))

    def test_paused(self) -> None:
        """
        When no more is read, the body that is coming is paused, and the next one is not begun, until it goes on.
        """
        self.begin(max_queued_bytes=100)
        self.bot.transport.pauseProducing()
        self.stream.send(b'a["%s"]\n' % (b"x" * 200))
        self.assertEqual(self.stream.transport.producerState, "paused")
        self.stream.end()
        self.turn()
        response = self.agent.to("xhr_streaming").answer(200, b'a["two"]\n')
        self.assertIsNone(response.reader)
        self.bot.transport.resumeProducing()
        self.turn()
        self.assertEqual(self.bot.received, ["x" * 200, "two"])
        self.assertEqual(response.transport.producerState, "producing")

    def test_pausedBody(self) -> None:
        """
        A body that was paused goes on.
        """
        self.begin(max_queued_bytes=100)
        self.bot.transport.pauseProducing()
        self.stream.send(b'a["%s"]\n' % (b"x" * 200))
        self.bot.transport.resumeProducing()
        self.assertEqual(self.stream.transport.producerState, "producing")

    def test_cancelled(self) -> None:
        """
        Wherever it is, an end leaves no request and reads no response.
        """
        self.make()
        self.session.opened.addErrback(lambda failure: None)
        self.session.opened.cancel()
        self.assertTrue(self.agent.asked[0].cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.make()
        response = self.agent.to("xhr_streaming").answer(200)
        self.session.opened.addErrback(lambda failure: None)
        self.session.opened.cancel()
        self.assertTrue(response.transport.lost)
        self.begin(max_queued_bytes=100)
        self.bot.transport.pauseProducing()
        self.stream.send(b'a["%s"]\n' % (b"x" * 200))
        self.stream.end()
        self.turn()
        response = self.agent.to("xhr_streaming").answer(200, b'a["two"]\n')
        self.bot.transport.abortConnection()
        self.assertTrue(response.transport.lost)
        self.end()
        self.begin()
        self.stream.end()
        self.bot.transport.abortConnection()
        self.end()

    def test_cancelledWhole(self) -> None:
        """
        A response that is whole already, and was not read, leads to no other request after the end.
        """
        self.begin(max_queued_bytes=100)
        self.bot.transport.pauseProducing()
        self.stream.send(b'a["%s"]\n' % (b"x" * 200))
        self.stream.end()
        self.turn()
        self.agent.to("xhr_streaming").whole(200, b'a["two"]\n')
        self.bot.transport.abortConnection()
        self.end()


class SendingTests(CarrierCase):
    """
    What goes.
    """

    def test_batches(self) -> None:
        """
        One request sends at a time; what is written meanwhile is the next one, in order.
        """
        self.begin()
        self.write("one", "two")
        first = self.agent.to("xhr_send")
        self.assertEqual((first.method, first.written), ("POST", b'["one","two"]'))
        self.assertEqual(first.body.length, len(first.written))
        self.assertEqual(first.headers.getRawHeaders("Content-Type"), ["text/plain;charset=UTF-8"])
        self.write("three")
        self.write("four", "gr\xfcn")
        self.assertIs(self.agent.to("xhr_send"), first)
        first.whole(204)
        second = self.agent.to("xhr_send")
        self.assertEqual(second.written, b'["three","four","gr\xc3\xbcn"]')
        second.whole(200, b"ok")
        self.assertEqual([str(asked) for asked in self.agent.open], [])
        self.write("five")
        self.assertEqual(self.agent.to("xhr_send").written, b'["five"]')

    def test_answerIsRead(self) -> None:
        """
        The next request waits until the answer is whole, since its connection is free only then.
        """
        self.begin()
        self.write("one")
        response = self.agent.to("xhr_send").answer(200, b"o")
        self.write("two")
        self.assertEqual(self.agent.open, [])
        response.end()
        self.assertEqual(self.agent.to("xhr_send").written, b'["two"]')

    def test_fails(self) -> None:
        """
        A request that fails is the end of the session, and so is any status but 200 and 204.
        """
        self.begin()
        self.write("one")
        self.agent.to("xhr_send").fail(RequestTransmissionFailed([Failure(ConnectionLost())]))
        self.assertTrue(self.stream.transport.lost)
        error = self.end()
        self.assertEqual((type(error), error.code), (SessionLost, 1006))
        self.assertIn("xhr_send was not answered", error.reason)
        for status in (500, 503, 413, 301):
            self.begin()
            self.write("one")
            self.agent.to("xhr_send").answer(status, b"oh")
            error = self.end()
            self.assertEqual((type(error), error.code), (SessionLost, 1006))
            self.assertIn(f"POST {BASE}/xhr_send was answered with {status}", error.reason)

    def test_unknown(self) -> None:
        """
        A server that does not know the session has a second to say why; if it does not, that is the reason.
        """
        self.begin()
        self.write("one")
        self.agent.to("xhr_send").whole(404)
        self.turn()
        self.assertIsNone(self.bot.lost)
        self.stream.send(b'c[3000,"Go away!"]\n')
        self.assertEqual(self.end().code, 3000)
        self.begin()
        self.write("one")
        self.agent.to("xhr_send").whole(404)
        self.write("two")
        self.assertEqual(self.agent.open, [])
        self.clock.advance(1)
        error = self.end()
        self.assertEqual((type(error), error.code), (SessionLost, 1006))
        self.assertIn("does not know the session", error.reason)

    def test_closeWaits(self) -> None:
        """
        A close waits until all that was written has been answered.
        """
        self.begin()
        self.write("one")
        self.write("two")
        self.bot.transport.loseConnection()
        self.turn()
        self.agent.to("xhr_send").whole(204)
        self.assertIsNone(self.bot.lost)
        self.assertFalse(self.stream.transport.lost)
        self.agent.to("xhr_send").whole(204)
        self.assertTrue(self.stream.transport.lost)
        error = self.end()
        self.assertEqual((type(error), error.code), (SessionDone, 1000))

    def test_stalls(self) -> None:
        """
        A request that is not answered within the write timeout is the end.
        """
        self.begin(write_timeout=10)
        self.write("one")
        asked = self.agent.to("xhr_send")
        self.clock.advance(10)
        self.assertTrue(asked.cancelled)
        error = self.end()
        self.assertEqual((error.code, error.reason), (1002, "The server does not read"))

    def test_slow(self) -> None:
        """
        A server that takes a large body piece by piece has time for each.
        """
        self.begin(write_timeout=10)
        self.agent.slow = True
        self.write("x" * 300_000)
        asked = self.agent.to("xhr_send")
        for _ in range(4):
            self.clock.advance(9)
            asked.body.resumeProducing()
            self.clock.advance(1)
            self.assertIsNone(self.bot.lost)
        self.assertEqual(len(asked.written), 300_004)
        self.clock.advance(10)
        self.assertEqual(self.end().code, 1002)

    def test_pieces(self) -> None:
        """
        A body is written in pieces; paused it waits, stopped it never goes on.
        """

        class Consumer:
            def __init__(self, body: _Bytes) -> None:
                self.body = body
                self.sizes: list[int] = []

            def write(self, data: bytes) -> None:
                self.sizes.append(len(data))
                self.body.pauseProducing()

        body = _Bytes(b"x" * 150_000)
        consumer = Consumer(body)
        done = body.startProducing(consumer)  # type: ignore[arg-type]
        self.assertEqual((consumer.sizes, body.left), ([65536], 84464))
        body.resumeProducing()
        self.assertNoResult(done)
        body.resumeProducing()
        self.successResultOf(done)
        self.assertEqual((sum(consumer.sizes), body.left), (150_000, 0))
        body.resumeProducing()
        body = _Bytes(b"x" * 150_000)
        consumer = Consumer(body)
        done = body.startProducing(consumer)  # type: ignore[arg-type]
        body.stopProducing()
        body.resumeProducing()
        self.assertEqual(len(consumer.sizes), 1)
        self.assertNoResult(done)

    def test_cookies(self) -> None:
        """
        A cookie comes back with the requests that follow, beside the user's headers.
        """
        self.make()
        cookie = {"Set-Cookie": ["JSESSIONID=node7; path=/"]}
        self.agent.to("xhr_streaming").answer(200, b"o\n", headers=cookie)
        self.bot = self.successResultOf(self.session.opened)
        self.write("one")
        self.assertEqual(self.agent.to("xhr_send").headers.getRawHeaders("Cookie"), ["JSESSIONID=node7"])


class DescribeTests(SynchronousTestCase):
    """
    Errors in one line.
    """

    def test_describe(self) -> None:
        """
        The innermost reason is what is said.
        """
        from OpenSSL.SSL import Error

        inner = Failure(Error([("SSL routines", "", "certificate verify failed")]))
        for error, text in (
            (ResponseNeverReceived([inner]), "TLS failed: certificate verify failed"),
            (ResponseNeverReceived([Failure(ConnectionLost())]), "the connection was closed too early"),
            (ValueError("a\nb"), "a b"),
            (ValueError(), "ValueError"),
            (Error([]), "TLS failed"),
            (None, "nobody knows why"),
        ):
            self.assertEqual(describe(error), text)


ACTIONS = st.sampled_from(
    [
        "poll",
        "frame",
        "frame",
        "end",
        "break",
        "close frame",
        "second opening",
        "write",
        "write",
        "taken",
        "taken",
        "refused",
        "unknown",
        "pause",
        "resume",
        "lose",
        "abort",
        "turn",
        "turn",
        "wait",
    ]
)


class AnyOrderTests(CarrierCase):
    """
    Whatever happens in whatever order.
    """

    @given(st.sampled_from(sorted(DIALECTS)), st.lists(ACTIONS, max_size=40))
    def test_anyOrder(self, name: str, actions: list[str]) -> None:
        """
        Messages arrive in order on both sides and none is sent twice; the end is told once, and after it nothing is
        left; after an orderly end nothing is missing.
        """
        self.make(name, max_queued_bytes=300)
        pack = (
            (lambda frame: b"data: " + frame + b"\r\n\r\n") if name == "eventsource" else (lambda frame: frame + b"\n")
        )
        suffix = DIALECTS[name].suffix
        self.stream = self.agent.to(suffix).answer(200, pack(b"o"))
        self.bot = self.successResultOf(self.session.opened)
        pushed: list[str] = []
        written: list[str] = []
        atClose: int | None = None  # how many messages the server had sent before its close frame
        streams = [self.stream]
        for action in actions:
            stream = streams[-1] if streams else None
            if action in ("frame", "end", "break", "close frame", "second opening") and stream is None:
                continue
            if action == "poll":
                open_ = [asked for asked in self.agent.open if asked.url.endswith(suffix)]
                if open_:
                    streams.append(open_[0].answer(200))
            elif action == "frame":
                pushed.append(f"{len(pushed)}" * 20)
                frame = pack(b'a["%s"]' % pushed[-1].encode())
                stream.send(frame[:7])
                stream.send(frame[7:])
            elif action == "end":
                streams.pop().end()
            elif action == "break":
                streams.pop().end(ConnectionLost())
            elif action == "close frame":
                if atClose is None:
                    atClose = len(pushed)
                stream.send(pack(b'c[3000,"end"]'))
            elif action == "second opening":
                stream.send(pack(b"o"))
            elif action == "write":
                written.append(f"w{len(written)}")
                self.bot.transport.write(written[-1])
            elif action in ("taken", "refused", "unknown"):
                for asked in self.agent.open:
                    if asked.url.endswith("xhr_send"):
                        asked.whole({"taken": 204, "refused": 500, "unknown": 404}[action])
            elif action in ("pause", "resume"):
                pausing = action == "pause"
                (self.bot.transport.pauseProducing if pausing else self.bot.transport.resumeProducing)()
            elif action == "lose":
                self.bot.transport.loseConnection()
            elif action == "abort":
                self.bot.transport.abortConnection()
            elif action == "turn":
                self.turn()
            elif action == "wait":
                self.clock.advance(1)
        sent = [
            text for asked in self.agent.asked if asked.url.endswith("xhr_send") for text in json.loads(asked.written)
        ]
        self.assertEqual(sent, written[: len(sent)])
        self.assertEqual(self.bot.received, pushed[: len(self.bot.received)])
        self.bot.transport.resumeProducing()
        self.turn()
        self.turn()
        # Who closes does not want what has not been taken yet.
        byServer = self.bot.lost is not None and self.bot.lost.check(SessionDone) and "lose" not in actions
        if byServer:
            self.assertEqual(self.bot.received, pushed[:atClose])
        self.bot.transport.abortConnection()
        self.turn()
        self.turn()
        self.assertIsNotNone(self.bot.lost)
        self.assertEqual(self.over, 1)
        self.assertEqual(self.agent.open, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for stream in streams:
            self.assertTrue(stream.reader is None or stream.transport.lost, "a response is still read")
