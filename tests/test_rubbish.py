# -*- test-case-name: tests.test_rubbish -*-
"""
Clients that send what nobody should send, and many clients one after the other: nothing fails, and nothing of them is
left.
"""

from __future__ import annotations

import gc
import random
import re
from collections import Counter

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.support import UPGRADE, Apps, MemoryConnection, Recorder, TextEcho
from tests.wire import closePayload, encodeFrame
from txsockjs.factory import SockJSFactory

KINDS = {
    "Session", "Connection", "_Request", "HTTPReceiver", "_FramedProtocol", "_RawProtocol", "HTTPChannel", "Moody",
    "TextEcho",
}  # fmt: skip
"""Names of the types of which nothing may be left."""

PATHS = [
    "/", "/info", "/iframe-1.html", "/websocket", "/0/{}/websocket", "/0/{}/xhr", "/0/{}/xhr_streaming",
    "/0/{}/eventsource", "/0/{}/htmlfile?c=f", "/0/{}/htmlfile?c=%00<", "/0/{}/jsonp?c=f", "/0/{}/jsonp?callback=%ff",
    "/0/{}/xhr_send", "/0/{}/xhr_send", "/0/{}/xhr_send", "/0/{}/jsonp_send", "/%ff/%fe/xhr", "//a/xhr", "/a.b/c/xhr",
    "*", "http://h/0/{}/xhr", "/%zz/\xff/xhr", "/%ed%a0%80/%ed%a0%80/xhr",
]  # fmt: skip

HEADERS = [
    "Origin: null", "Origin: \xff", "Cookie: JSESSIONID=\"a b\"; \xff=;;==", "Cookie: =;;JSESSIONID",
    "Content-Type: application/x-www-form-urlencoded", "Content-Type: multipart/form-data", "Content-Type: \xff",
    "Access-Control-Request-Headers: a\tb", "If-None-Match: *", "Connection: close", "Connection: Upgrade",
    "Upgrade: websocket", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: \xff", "Sec-WebSocket-Protocol: a, ,b",
    "Sec-WebSocket-Extensions: ;;=", "Expect: 100-continue", "Content-Length: -1", "Content-Length: 9",
    "Transfer-Encoding: chunked", "Range: bytes=0-1", "no header",
]  # fmt: skip

BODIES = [
    b'["x"]', b'["x"]', b'["close"]', b'["abort"]', b'["pause"]', b"", b"[]", b'["\\ud800"]', b'["\xed\xa0\x80"]',
    b"[1]", b"{}", b'"x"', b"[", b"[" * 5000, b"1" * 5000, b"NaN", b"\xff", b"d=%5B%22x%22%5D", b"d=%FF", b"&" * 50,
    b'["%\\u0000\\r\\n</script>"]', b'["' + b"x" * 70000 + b'"]',
]  # fmt: skip


class Moody(Recorder):
    """
    Does as it is told.
    """

    def dataReceived(self, data):
        if data == b"close":
            self.transport.close(4000, "so")
        elif data == b"abort":
            self.transport.abortConnection()
        elif data == b"pause":
            self.transport.pauseProducing()
        else:
            self.transport.write(data)


class Rubbish:
    """
    Makes it, always the same.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, chance):
        return self.random.random() < chance

    def spoil(self, data):
        """
        Bytes are changed, lost, added and repeated.
        """
        data = bytearray(data)
        for _ in range(self.random.choice([1, 1, 2, 5])):
            at = self.random.randrange(len(data) + 1)
            data[at : at + self.random.randrange(4)] = self.random.choice(
                [b"", self.random.randbytes(3), data[max(0, at - 9) : at]]
            )
        return bytes(data)

    def request(self):
        path = self.random.choice(PATHS).format(self.random.choice("abcdefgh"))
        post = "xhr" in path or "send" in path
        method = "POST" if post else "GET"
        if self.chance(0.1):
            method = self.random.choice(["OPTIONS", "HEAD", "PUT", "\0"])
        headers = ["Host: h", *self.random.sample(HEADERS, self.random.choice([0, 0, 0, 1, 2]))]
        if "websocket" in path and self.chance(0.8):
            headers += [f"{name}: {value}" for name, value in UPGRADE.items()]
        body = self.random.choice(BODIES) if post else b""
        if post:
            headers.append(f"Content-Length: {len(body)}")
        version = "1.1" if self.chance(0.95) else self.random.choice(["1.0", "0.9", "2.0"])
        head = "\r\n".join([f"{method} {path} HTTP/{version}", *headers, "", ""])
        data = head.encode("latin-1") + body
        return self.spoil(data) if self.chance(0.1) else data

    def frame(self):
        opcode = 1 if self.chance(0.85) else self.random.choice([0, 2, 3, 8, 9, 10, 11])
        payload = self.random.choice([b"", b"\3", closePayload(1000)] if opcode == 8 else BODIES)
        payload = payload[:125] if opcode > 7 else payload
        data = encodeFrame(opcode, payload, self.chance(0.97), self.chance(0.99))
        return self.spoil(data) if self.chance(0.05) else data


class LeftoversTests(SynchronousTestCase):
    """
    What is left of sessions and connections that are over.
    """

    def serve(self, protocol):
        self.clock = Clock()
        self.apps = Apps(protocol)
        self.site = SockJSFactory(self.apps, reactor=self.clock, response_limit=300, cookie_needed=True)
        gc.collect()
        self.before = self.count()

    def count(self):
        names = Counter(type(thing).__name__ for thing in gc.get_objects())
        return Counter({name: names[name] for name in KINDS})

    def assertNothingLeft(self):
        for _ in range(40):
            self.clock.advance(1)
        self.assertEqual([str(call) for call in self.clock.getDelayedCalls()], [])
        self.assertEqual({len(app.lost) for app in self.apps.built}, {1})
        self.apps.built.clear()
        gc.collect()
        self.assertEqual(self.count() - self.before, Counter())

    def assertWellFormed(self, data):
        """
        The head of every answer is one.
        """
        for head in re.findall(rb"(?s)(?:\A|\r\n)(HTTP/1\.[01] .*?)\r\n\r\n", data):
            status, *fields = head.split(b"\r\n")
            self.assertRegex(status, rb"\AHTTP/1\.[01] [1-5]\d\d [ -~]+\Z")
            for field in fields:
                self.assertRegex(field, rb"\A[!-9;-~]+: [^\0\r\n]*\Z")
            if b" 500 " in status:
                self.assertRegex(data, rb"Payload expected\.|Broken JSON encoding\.|\"callback\" parameter")

    def test_rubbish(self):
        """
        Whatever comes in whatever order, no exception is logged, answers have the form of answers, and when the clients
        have gone all sessions are over.
        """
        self.serve(Moody)
        events = []
        observer = lambda event: event.get("log_failure") and events.append(event)  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        rubbish, connections = Rubbish(2010), []
        for _ in range(2000):
            if not connections or rubbish.chance(0.4):
                connections.append(MemoryConnection(self.site, self.clock))
            connection = rubbish.random.choice(connections)
            upgraded = connection.transport.value().startswith(b"HTTP/1.1 101 ")
            data = rubbish.frame() if upgraded else rubbish.request()
            cuts = sorted(rubbish.random.randrange(len(data) + 1) for _ in range(rubbish.random.choice([0, 0, 2])))
            for start, end in zip([0, *cuts], [*cuts, len(data)]):
                if not connection.transport.disconnecting:
                    connection.send(data[start:end])
            if rubbish.chance(0.05):
                (connection.transport.block if rubbish.chance(0.5) else connection.transport.unblock)()
            if rubbish.chance(0.05):
                self.clock.advance(rubbish.random.choice([1, 3, 6, 26]))
            if connection.transport.disconnecting or rubbish.chance(0.1):
                self.assertWellFormed(connection.transport.value())
                connection.lose()
                connections.remove(connection)
        for connection in connections:
            connection.lose()
        self.assertEqual(events, [])
        self.assertGreater(len(self.apps.built), 100)
        del connection, connections
        self.assertNothingLeft()

    def test_manySessions(self):
        """
        Hundreds of sessions by WebSocket and XHR, ended in every way, leave no object behind.
        """
        self.serve(TextEcho)
        for number in range(300):
            connection = MemoryConnection(self.site, self.clock)
            if number % 3 == 0:
                connection.upgrade("/websocket" if number % 2 else f"/0/{number}/websocket")
                connection.sendText('["x"]')
                if number % 4:
                    connection.sendFrame(8, closePayload(1000))
            else:
                path = f"/0/{number}/xhr"
                connection.ask("POST", path if number % 3 == 1 else path + "_streaming")
                other = MemoryConnection(self.site, self.clock)
                self.assertEqual(other.ask("POST", path + "_send", body=b'["x"]')().code, 204)
                if number % 2:
                    self.apps.last.transport.loseConnection()
                other.ask("POST", path)
                other.lose()
            connection.lose()
        self.assertEqual(len(self.apps.built), 300)
        del connection, other
        self.assertNothingLeft()
