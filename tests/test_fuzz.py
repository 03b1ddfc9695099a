# -*- test-case-name: tests.test_fuzz -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The fuzzer of L{tests.endurance.fuzz} as Hypothesis drives it; and tests of the fuzzer itself, since a judge who lets
everything pass would find nothing.

A script that once found something is to be cut down and kept, in L{RegressionTests}.
"""

from __future__ import annotations

import itertools
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel

from tests.endurance.fuzz import (
    ENDS,
    SETTINGS,
    Finding,
    Rubbish,
    Script,
    World,
    failure,
    frame,
    leftovers,
    play,
    shrink,
)
from tests.endurance.judge import MARK, Judge, Ledger, Wrong
from tests.support import UPGRADE, Apps, TextEcho
from txsockjs.connection import Connection
from txsockjs.factory import SockJSFactory
from txsockjs.registry import Registry
from txsockjs.session import Session
from txsockjs.testing import TRANSPORTS, advance, connect, finish
from txsockjs.transports.socket import SocketReceiver

SMALL_LIMITS = 1
"""The number of the settings where little may be queued."""


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """
    The bytes of a request.
    """
    fields = {"Host": "h", **headers}
    if method == "POST":
        fields["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


POLL = request("POST", "/0/a/xhr")
STREAM = request("POST", "/0/a/xhr_streaming")
SOCKET = request("GET", "/0/a/websocket", **UPGRADE)


def sending(*messages: str) -> bytes:
    """
    A request that sends messages.
    """
    return request("POST", "/0/a/xhr_send", b"[%s]" % b",".join(b'"%s"' % text.encode("ascii") for text in messages))


class FuzzTests(SynchronousTestCase):
    """
    The invariant holds.
    """

    @settings(
        max_examples=250,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(
        st.integers(0, len(SETTINGS) - 1),
        st.lists(st.lists(st.randoms(use_true_random=False)), max_size=12),  # of lists, since one alone stays short
        st.sampled_from(sorted(set(ENDS))),
    )
    def invariant(self, number, choices, end):
        script = Script(number, [], end)
        world = World(number)
        rubbish = Rubbish(world)
        try:
            for chance in itertools.chain.from_iterable(choices):
                script.steps.append(rubbish.step(chance))
                world.perform(script.steps[-1])
            play(script)  # as a whole, with a look at the log
        except Finding as finding:
            self.fail(f"{finding}\n{tuple(script)!r}")
        self.requests += rubbish.requests
        self.frames += world.ledger.frames

    def test_invariant(self):
        """
        Whatever bytes arrive, in whatever pieces, what comes back is well-formed, nothing fails, and nothing is left.
        """
        self.requests = self.frames = 0
        before = leftovers()
        self.invariant()
        self.assertEqual(leftovers() - before, {})
        self.assertGreater(self.requests, 1000)
        self.assertGreater(self.frames, 200)


class RegressionTests(SynchronousTestCase):
    """
    What was found once.
    """

    def assertHolds(self, *steps, settings=0, end="leave"):
        self.assertIsNone(failure(Script(settings, list(steps), end)))

    def test_readsNothingAfterRefusal(self):
        """
        What comes after bytes that are no request is not read, though the connection can't be closed yet.
        """
        self.assertHolds(("send", 0, b"no request\r\n\r\n"))
        self.assertHolds(
            ("send", 0, POLL), ("block", 0), ("send", 0, b"no request\r\n\r\n"), ("send", 0, POLL), ("send", 0, POLL)
        )

    def test_streamBehindPoll(self):
        """
        A stream that waited behind another answer, and is the last of its connection, is not taken for an idle one.
        """
        stream = request("POST", "/0/b/xhr_streaming", Connection="close")
        self.assertHolds(
            ("send", 0, POLL), ("send", 0, POLL + stream), ("send", 1, sending("x")), ("wait", 61.0), ("wait", 26.0)
        )

    def test_neverWithinWrite(self):
        """
        A message that waited behind a response which is full is not given to the application while that writes.
        """
        self.assertHolds(
            ("send", 0, STREAM + sending("x")), ("send", 1, sending("flood")), ("send", 0, POLL), settings=SMALL_LIMITS
        )

    def test_pongsForNobody(self):
        """
        A client that sends pings and reads nothing does not fill the memory with pongs.
        """
        pings = frame(9, b"x" * 125) * 400
        self.assertHolds(("send", 0, SOCKET), ("block", 0), *[("send", 0, pings)] * 10, settings=SMALL_LIMITS)


class LeftoversTests(SynchronousTestCase):
    """
    What is left of many sessions.
    """

    def test_manySessions(self):
        """
        Hundreds of sessions by every transport, ended in every way, leave no object behind.
        """
        clock, apps = Clock(), Apps(TextEcho)
        site = SockJSFactory(apps, reactor=clock)
        before = leftovers()
        for number in range(350):
            client = connect(site, transport=TRANSPORTS[number % 7])
            client.send("x")
            self.assertEqual(client.received, ["x"])
            self._end(client, number // 7 % 5)
        advance(clock, 60)
        self.assertEqual([len(app.lost) for app in apps.built], [1] * 350)
        del client
        finish(clock)
        apps.built.clear()
        self.assertEqual(leftovers() - before, {})

    def _end(self, client, way):
        if way == 0:
            client.drop()
        elif way == 1:
            client.close()
        elif way == 2:
            client.protocol.transport.loseConnection()
        elif way == 3:
            client.protocol.transport.abortConnection()
        else:  # it is not heard of any more
            client.pauseReading(room=0)
            client.protocol.transport.write("y")


class SelfTests(SynchronousTestCase):
    """
    The fuzzer notices what is wrong.
    """

    def assertFinds(self, pattern, *steps, end="leave"):
        self.assertRegex(str(failure(Script(0, list(steps), end))), pattern)

    def test_nothing(self):
        """
        It finds nothing where nothing is wrong.
        """
        steps = [("send", 0, STREAM), ("send", 1, sending("x", "flood", "push", "lose")), ("send", 2, SOCKET)]
        for end in set(ENDS):
            self.assertIsNone(failure(Script(0, steps, end)))

    def test_exception(self):
        """
        It finds an exception that leaves the service.
        """
        with mock.patch.object(HTTPChannel, "lineReceived", side_effect=KeyError("found")):
            self.assertFinds("(?s)dataReceived raised.*KeyError: 'found'", ("send", 0, STREAM[:40]))

    def test_log(self):
        """
        It finds a failure in the log.
        """
        log = Logger()
        with mock.patch.object(Session, "received", lambda *args: log.failure("", Failure(KeyError("found")))):
            self.assertFinds("(?s)logged.*KeyError: 'found'", ("send", 0, POLL), ("send", 0, sending("x")))
        self.flushLoggedErrors(KeyError)

    def test_warning(self):
        """
        It finds what the service logs above debug about a client.
        """
        warn = mock.patch.object(Session, "received", lambda *args: Logger("txsockjs.session").warn("found"))
        with warn:
            self.assertFinds("found", ("send", 0, POLL), ("send", 0, sending("x")))

    def test_session(self):
        """
        It finds a session that is left.
        """
        with mock.patch.object(Registry, "ended", lambda *args: None):
            self.assertFinds("are left", ("send", 0, POLL))

    def test_delayedCall(self):
        """
        It finds a delayed call that is left.
        """
        seen = mock.patch.object(Session, "received", lambda session, *args: never(session))

        def never(session):
            session._keeper.disconnects._clock.callLater(10**6, never)

        with seen:
            self.assertFinds("delayed calls are left", ("send", 0, POLL), ("send", 0, sending("x")))

    def test_order(self):
        """
        It finds a message that is lost, and one that comes twice.
        """
        send = Session.send
        for times in (0, 2):

            def again(session, text, times=times):
                for _ in range(times if text.startswith("1:1:") else 1):
                    send(session, text)

            with mock.patch.object(Session, "send", again):
                self.assertFinds("of application 1 came after", ("send", 0, STREAM), ("send", 1, sending("flood")))

    def test_lossTwice(self):
        """
        It finds an application that hears of its end twice.
        """
        lost = Connection.lost
        with mock.patch.object(Connection, "lost", lambda *args: (lost(*args), lost(*args))):
            self.assertFinds("connectionLost comes twice", ("send", 0, POLL))

    def test_producer(self):
        """
        It finds a producer that is resumed though it was not paused.
        """
        register = Session.registerProducer

        def twice(session, producer, streaming):
            register(session, producer, streaming)
            producer.resumeProducing()

        with mock.patch.object(Session, "registerProducer", twice):
            self.assertFinds("resumed that is not paused", ("send", 0, STREAM), ("send", 1, sending("push")))

    def test_held(self):
        """
        It finds that too much is held for a connection that takes nothing.
        """
        pings = frame(9, b"x" * 125) * 400
        with mock.patch.object(
            SocketReceiver, "pingCame", lambda socket, payload: socket._needEngine().sendPong(payload)
        ):
            why = failure(Script(SMALL_LIMITS, [("send", 0, SOCKET), ("block", 0), *[("send", 0, pings)] * 5], "leave"))
        self.assertRegex(str(why), "are held")

    def test_shrink(self):
        """
        A script is cut down to the steps that it takes.
        """
        steps = [("send", 0, POLL), ("wait", 1.0), ("block", 1), ("send", 1, b"wrong"), ("send", 0, b"as well")]
        script = Script(0, steps, "leave")
        small = shrink(script, lambda shorter: {steps[1], steps[4]} <= set(shorter.steps))
        self.assertEqual(small, Script(0, [steps[1], steps[4]], "leave"))


class JudgeTests(SynchronousTestCase):
    """
    The judge refuses what no service may send.
    """

    def judge(self, data: bytes, method: bytes = b"GET", path: bytes = b"/info", lost: bool = False) -> None:
        judge = Judge(Ledger())
        judge.asked.append((method, path))
        judge.write(data)
        if lost:
            judge.lost(True)

    def assertRefuses(self, pattern, *args, **kwargs):
        self.assertRegex(str(self.assertRaises(Wrong, self.judge, *args, **kwargs)), pattern)

    def test_heads(self):
        """
        Heads that break the rules of HTTP.
        """
        start = b"HTTP/1.1 200 OK\r\n"
        for data, pattern in [
            (b"HTTP/1.2 200 OK\r\n\r\n", "no head"),
            (b"HTTP/1.1 200\r\n\r\n", "no head"),
            (start + b"a b: c\r\n\r\n", "no head"),
            (start + b"a: b\0\r\n\r\n", "no head"),
            (start + b"a: b\r\nA: c\r\n\r\n", "twice"),
            (start + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "two lengths"),
            (start + b"content-length: x\r\n\r\n", "two lengths"),
            (start + b"\r\n", "without a length"),
            (b"HTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n", "no body"),
            (b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n", "Allow"),
            (b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "HTTP/1.0"),
            (start + b"set-cookie: a=%s\r\ncontent-length: 0\r\n\r\n" % MARK, "cookie"),
            (
                start + b"access-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\n\r\n",
                "credentials",
            ),
            (start + b"content-length: 0\r\n\r\n" + start + b"content-length: 0\r\n\r\n", "nobody asked"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\nx", "after the end"),
        ]:
            self.assertRefuses(pattern, data)

    def test_bodies(self):
        """
        Bodies that are broken, cut short, or reflect what the client sent.
        """
        start = b"HTTP/1.1 200 OK\r\n"
        html = start + b"content-type: text/html\r\ncontent-length: 5\r\n\r\n" + MARK
        self.assertRefuses("reflected", html)
        self.assertRefuses("size of a chunk", start + b"transfer-encoding: chunked\r\n\r\nx\r\n")
        self.assertRefuses("without an end", start + b"transfer-encoding: chunked\r\n\r\n1\r\nabc")
        self.assertRefuses("middle of an answer", start + b"content-length: 9\r\n\r\nabc", lost=True)
        self.assertRefuses("in the middle", start + b"content-le", lost=True)
        self.assertRefuses(
            "no JSON|incomplete", start + b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        )

    def receiving(self, kind: bytes, *chunks: bytes) -> tuple[bytes, bytes, bytes]:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        return head + body, b"GET", b"/0/a/" + kind

    def test_sockJS(self):
        """
        Bodies that break the rules of SockJS.
        """
        page = b"<!doctype html>\n".ljust(1025) + b"\r\n\r\n"
        for kind, chunks, pattern in [
            (b"xhr", [b"o"], "no line"),
            (b"xhr", [b"o\n", b"h\n"], "two frames"),
            (b"xhr", [b"x\n"], "no frame"),
            (b"xhr", [b'a["0:0:"]\n'], "that is none"),
            (b"xhr", [b"h\n"], "that is none"),
            (b"xhr", [b"c[3000]\n"], "no close frame"),
            (b"xhr", [b'c[1006,""]\n'], "no close code"),
            (b"xhr", [b""], "without a frame"),
            (b"xhr_streaming", [b"o\n"], "no prelude"),
            (b"xhr_streaming", [b"h" * 2048 + b"\n", b"o\n", b"o\n"], "in the middle"),
            (b"xhr_streaming", [b"h" * 2048 + b"\n", b"o\n", b"a[]\n"], "no array"),
            (b"xhr_streaming", [b"h" * 2048 + b"\n", b"o\n", b'a["0:1:"]\n'], "came after -1"),
            (b"xhr_streaming", [b"h" * 2048 + b"\n", b"o\n", b'a["0:0:\xe2\x80\xa8"]\n'], "must be escaped"),
            (b"xhr_streaming", [b"h" * 2048 + b"\n", b'c[3000,"x"]\n', b"h\n"], "after a close frame"),
            (b"eventsource", [b"\r\n", b"data: o\r\n"], "no event"),
            (b"eventsource", [b"\r\n", b"data: o\nh\r\n\r\n"], "many lines"),
            (b"htmlfile?c=f", [page, b'<script>\np("<");\n</script>\r\n'], "no script"),
            (b"jsonp?c=f", [b'f("o");\r\n'], "no script"),
        ]:
            self.assertRefuses(pattern, *self.receiving(kind, *chunks))

    def test_frames(self):
        """
        WebSocket frames that no server may send.
        """
        head = b"HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        path = b"/0/a/websocket"
        self.judge(head + frame(1, b"o", mask=False) + frame(8, b"\3\xe8", mask=False), path=path)
        for data, pattern in [
            (frame(1, b"o"), "masked"),
            (frame(1, b"o", mask=False, fin=False), "no frame that"),
            (frame(1, b"o", mask=False, rsv=4), "no frame that"),
            (frame(2, b"o", mask=False), "no frame that"),
            (frame(9, b"x" * 126, mask=False), "too long"),
            (b"\x81\x7e\0\1o", "longer than it need be"),
            (frame(8, b"\3\xed", mask=False), "no close code"),
            (frame(8, b"", mask=False) + frame(1, b"o", mask=False), "after"),
            (frame(1, b"o", mask=False) * 2, "in the middle"),
            (frame(1, b'c[3000,""]', mask=False) + frame(1, b"h", mask=False), "after a close frame"),
        ]:
            self.assertRefuses(pattern, head + data, path=path)
