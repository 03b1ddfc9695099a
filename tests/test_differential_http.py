# -*- test-case-name: tests.test_differential_http -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The shortcut for HTTP is invisible: L{tests.endurance.httpstreams} as Hypothesis drives it, and tests of the comparison
itself.
"""

from __future__ import annotations

import random
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.endurance import httpstreams
from tests.endurance.differential import Script, difference
from txsockjs import channel, shortcut
from txsockjs.channel import Channel

POLL = b"POST /0/s/xhr HTTP/1.1\r\nContent-Length: 0\r\n\r\n"

HANDSHAKE = (
    b"GET /0/s/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def sending(message, *headers):
    """
    The bytes by which a client sends a message.
    """
    body = b'["%s"]' % message
    head = b"".join(b"%s\r\n" % header for header in headers)
    return b"POST /0/s/xhr_send HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


def script(*steps, made="nothing", room=httpstreams.AMPLE, **options):
    """
    A script, with the bytes of one connection as they arrive, or another step.
    """
    return Script(
        "http",
        {
            "direct": room == httpstreams.AMPLE and made != "abort",
            "room": room,
            "buffer": httpstreams.AMPLE if room == httpstreams.AMPLE else 500,
            "options": options,
            "authorizes": False,
            "refuses": False,
            "made": made,
        },
        [("data", 0, step) if isinstance(step, bytes) else step for step in steps],
    )


class _Case(SynchronousTestCase):
    def compare(self, script):
        why = difference(script)
        self.flushLoggedErrors(httpstreams.Failing)
        self.assertIsNone(why, f"{why}\n{tuple(script)!a}")


class HTTPTests(_Case):
    """
    HTTP with and without its shortcut.
    """

    @settings(
        max_examples=100,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.randoms(use_true_random=False))
    def equal(self, chance):
        self.compare(httpstreams.make(chance))

    def test_equal(self):
        """
        Whatever clients send, in whatever pieces, and whatever the application does, all is the same.
        """
        self.equal()

    def test_seeded(self):
        """
        So it is with streams as the long run makes them, which are longer.
        """
        for number in range(400):
            self.compare(httpstreams.make(random.Random(f"ci/{number}")))

    def test_takesTheShortcut(self):
        """
        Many requests of those streams take the shortcut, many do not, and none does without it.
        """
        scripts = [httpstreams.make(random.Random(f"ci/{number}")) for number in range(200)]
        before = httpstreams.quickOnes
        answers = sum(len(found) for script in scripts for found in httpstreams.play(script, True)["answers"].values())
        taken = httpstreams.quickOnes - before
        self.flushLoggedErrors(httpstreams.Failing)
        self.assertGreater(taken, 80)
        self.assertGreater(answers - taken, 80)
        for script in scripts:
            httpstreams.play(script, False)
        self.flushLoggedErrors(httpstreams.Failing)
        self.assertEqual(httpstreams.quickOnes, before + taken)

    def test_shapes(self):
        """
        However the length of a body is told, and whatever follows it on the connection, both agree who is to believe.
        """
        smuggled = b"0\r\n\r\n" + sending(b"smuggled")
        for shape in httpstreams.SHAPES:
            for body in (b'["x"]', b'5\r\n["x"]\r\n0\r\n\r\n', smuggled, b""):
                sizes = {b"n": len(body), b"more": len(body) + 9, b"less": max(0, len(body) - 1)}
                head = b"".join(b"%s\r\n" % (line % sizes) for line in shape)
                data = b"POST /0/s/xhr_send HTTP/1.1\r\n" + head + b"\r\n" + body
                for steps in ([data], [data + POLL], [data, POLL, sending(b"next")]):
                    self.compare(script(POLL, *steps))

    def test_headers(self):
        """
        So it is with every other header, in front of the length and behind it.
        """
        for line in (*httpstreams.ODD, *httpstreams.ORDINARY):
            line %= {}
            for data in (
                sending(b"x", line),
                sending(b"x").replace(b"\r\n\r\n", b"\r\n%s\r\n\r\n" % line),
                sending(b"x", line, line),
            ):
                self.compare(script(POLL, data, sending(b"next")))
                self.compare(script(POLL, data, sending(b"next"), origins=("http://good.example",), trusted_proxies=1))

    def test_firstLines(self):
        """
        So it is with every other first line.
        """
        for line in httpstreams.FIRST_LINES:
            data = sending(b"x").partition(b"\r\n")[2]
            first = line % b"/0/s/xhr_send" if b"%s" in line else line
            self.compare(script(POLL, first + b"\r\n" + data, sending(b"next")))

    def test_cut(self):
        """
        Wherever two requests are cut in two or three.
        """
        data = b"\r\n" + sending(b"x") + b"\r\n" + POLL
        for place in range(1, len(data)):
            self.compare(script(POLL, data[:place], data[place:], ("wait", 11), POLL))
            self.compare(script(POLL, data[:1], data[1:place], data[place:], ("wait", 11), POLL))


class RegressionTests(_Case):
    """
    What has shown the shortcut once.
    """

    def test_emptyLines(self):
        """
        An empty line may come before each request, be it of the common shape or not.
        """
        self.compare(script(b"\r\n", POLL, b"\r\n", sending(b"x"), b"\r\n" + POLL, b"\r\n\r\n", POLL))

    def test_emptyLineInTwo(self):
        """
        The request that an empty line was the beginning of has arrived.
        """
        self.compare(script(b"\r", b"\n", POLL, POLL, ("wait", 31), sending(b"x"), ("wait", 31)))

    def test_pipelined(self):
        """
        What comes behind a request is answered when all is done that the request entails.
        """
        self.compare(script(sending(b"x") + POLL, POLL + POLL, sending(b"x") + sending(b"y") + POLL, made="twice"))

    def test_abortedBehind(self):
        """
        What comes behind a request in chunks, as its last piece, waits until the application has been told of that.
        """
        chunked = POLL.replace(b"Content-Length: 0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        self.compare(script(chunked + POLL, made="abort"))

    def test_drainedByTheAnswer(self):
        """
        A connection that is to be closed after its answer is, even if nobody takes it.
        """
        self.compare(script(POLL, sending(b"drain"), ("wait", 3), ("wait", 70), ("wait", 20), room=100))


class ComparisonTests(SynchronousTestCase):
    """
    The comparison finds what it is to find.
    """

    def assertFound(self, script):
        self.assertIsNotNone(difference(script))
        self.flushLoggedErrors()

    def test_smuggling(self):
        """
        A shortcut that takes a request which Twisted refuses is found.
        """
        two = POLL.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        parse = channel.parseCommon

        def careless(data):
            return parse(data.replace(b"Transfer-Encoding: chunked\r\n", b""))

        self.assertIsNone(difference(script(two)))
        with mock.patch.object(channel, "parseCommon", careless):
            self.assertFound(script(two))

    def test_timeout(self):
        """
        A shortcut that has the connection closed too early is found.
        """
        answerQuickly = Channel.answerQuickly

        def short(self, request, leaf):
            answerQuickly(self, request, leaf)
            self.setTimeout(20)

        steps = script(POLL, ("wait", 19), ("wait", 2))
        self.assertIsNone(difference(steps))
        with mock.patch.object(httpstreams, "_answerQuickly", short):
            self.assertFound(steps)

    def test_answer(self):
        """
        A shortcut that answers something else is found.
        """
        steps = script(POLL, sending(b"x"))
        self.assertIsNone(difference(steps))
        with mock.patch("txsockjs.shortcut.QuickRequest.setHeader", lambda self, name, value: None):
            self.assertFound(steps)

    def test_handshake(self):
        """
        A shortcut is found that takes the beginning of a WebSocket, or what comes with that, for something else; among
        the streams as they are made, too.
        """
        frame = script(HANDSHAKE + b"\x81\x83\0\0\0\0[]]")
        patch = mock.patch.object(shortcut, "_isUpgrade", lambda fields, size: True)
        self.assertIsNone(difference(frame))
        with patch:
            self.assertFound(frame)
        streams = (httpstreams.make(random.Random(f"ci/{number}")) for number in range(2000))
        with patch:
            self.assertTrue(any(difference(stream) for stream in streams))
        self.flushLoggedErrors()

    def test_idleWebSocket(self):
        """
        A WebSocket that has begun by a shortcut is found when its connection is closed as one that no request comes on.
        """
        steps = script(HANDSHAKE, ("wait", 59), ("wait", 2), ping_interval=0)
        self.assertIsNone(difference(steps))
        answerQuickly = Channel.answerQuickly

        def late(self, request, leaf):
            answerQuickly(self, request, leaf)
            self.setTimeout(60)

        with mock.patch.object(httpstreams, "_answerQuickly", late):
            self.assertFound(steps)
