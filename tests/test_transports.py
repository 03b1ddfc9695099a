# -*- test-case-name: tests.test_transports -*-
"""
The HTTP transports, byte by byte: what they put on the wire, what they take, and what becomes of a session whose
connections break.
"""

from __future__ import annotations

import gc
import html
import json
import re
import weakref
from urllib.parse import quote, unquote_to_bytes

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.test.requesthelper import DummyRequest
from twisted.web.util import DeferredResource

from tests.support import Apps, MemoryConnection, Recorder, SiteCase, TextEcho, chunked
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.resource import SockJSResource
from txsockjs.transports.answers import Leaf
from txsockjs.transports.base import SendLeaf, SessionLeaf

NO_CACHE = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
JAVASCRIPT = "application/javascript; charset=UTF-8"

PAGE = b"""<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.call.back;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""

RECEIVING = {
    "xhr-polling": ("POST", "/0/s/xhr"),
    "xhr-streaming": ("POST", "/0/s/xhr_streaming"),
    "eventsource": ("GET", "/0/s/eventsource"),
    "htmlfile": ("GET", "/0/s/htmlfile?c=call.back"),
    "jsonp-polling": ("GET", "/0/s/jsonp?c=call.back"),
}
POLLING = ("xhr-polling", "jsonp-polling")
CONTENT_TYPES = {
    "xhr-polling": JAVASCRIPT,
    "xhr-streaming": JAVASCRIPT,
    "eventsource": "text/event-stream",
    "htmlfile": "text/html; charset=UTF-8",
    "jsonp-polling": JAVASCRIPT,
}


def dressed(name, frame):
    """
    What a transport makes of an ASCII frame, in other words than the code's.
    """
    quoted = frame.replace("\\", "\\\\").replace('"', '\\"')
    return {
        "xhr-polling": frame + "\n",
        "xhr-streaming": frame + "\n",
        "eventsource": f"data: {frame}\r\n\r\n",
        "htmlfile": f'<script>\np("{quoted}");\n</script>\r\n',
        "jsonp-polling": f'/**/call.back("{quoted}");\r\n',
    }[name].encode("ascii")


def undressed(name, chunk):
    """
    The frame that a browser finds in a chunk.
    """
    if name == "eventsource":
        assert chunk.startswith(b"data: ") and chunk.endswith(b"\r\n\r\n"), chunk
        data = chunk[len(b"data: ") : -4]
        assert not re.search(rb"[\r\n\0]", data)
        return unquote_to_bytes(data).decode("utf-8")
    text = chunk.decode("utf-8")
    if name == "htmlfile":
        script = re.fullmatch(r"<script>\n(.*)</script>\r\n", text, re.DOTALL)[1]
        assert "<" not in script  # nothing that the HTML parser could take for its own
        return json.loads(re.fullmatch(r"p\((.*)\);\n", script, re.DOTALL)[1])
    if name == "jsonp-polling":
        return json.loads(re.fullmatch(r"/\*\*/call\.back\((.*)\);\r\n", text, re.DOTALL)[1])
    assert text.endswith("\n") and "\n" not in text[:-1]
    return text[:-1]


class ReceivingTests(SiteCase):
    """
    What all receiving URLs have in common.
    """

    def each(self, **options):
        """
        Serve each transport anew.
        """
        for name, (method, path) in RECEIVING.items():
            self.serve(**options)
            yield name, method, path

    def open(self, name, method, path, headers=None):
        """
        Open a session and have its receiver attached.
        """
        if name in POLLING:
            self.answerTo(method, path, headers)
        connection = self.connect()
        return connection, connection.ask(method, path, headers)

    def test_opening(self):
        """
        C{o} is the first frame of every session, dressed as the transport does, in a chunk of its own.
        """
        for name, method, path in self.each():
            answer = self.ask(method, path)()
            self.assertEqual((answer.code, answer.header("content-type")), (200, CONTENT_TYPES[name]))
            self.assertEqual(answer.chunks[-1], dressed(name, "o"))
            self.assertEqual(answer.ended, name in POLLING)
            self.assertEqual(answer.header("cache-control"), NO_CACHE)
            for absent in ("expires", "last-modified", "set-cookie"):
                self.assertIsNone(answer.header(absent))
            self.assertEqual(self.apps.last.made, 1)
            self.assertEqual(self.apps.last.transport.transportName, name)

    def test_preludes(self):
        """
        What a browser needs before it shows anything is a chunk of its own before the opening.
        """
        for name, method, path in self.each():
            chunks = self.ask(method, path)().chunks
            if name == "xhr-streaming":
                self.assertEqual(chunks[0], b"h" * 2048 + b"\n")
            elif name == "eventsource":
                self.assertEqual(chunks[0], b"\r\n")
            elif name == "htmlfile":
                self.assertEqual(chunks[0].rstrip(), PAGE)
                self.assertTrue(chunks[0].endswith(b" \r\n\r\n"))
                self.assertGreater(len(chunks[0]), 1024)
            self.assertEqual(len(chunks), 1 if name in POLLING else 2)

    def test_frames(self):
        """
        What is written in one turn is one frame, and every frame is its own chunk.
        """
        for name, method, path in self.each():
            _, answer = self.open(name, method, path)
            before = len(answer().chunks)
            self.apps.last.transport.write("x")
            self.apps.last.transport.write("y\"\\'")
            self.clock.advance(0)
            frame = 'a["x","y\\"\\\\\'"]'
            self.assertEqual(answer().chunks[before:], [dressed(name, frame)])
            self.assertEqual(undressed(name, answer().chunks[-1]), frame)
            self.assertEqual(answer().ended, name in POLLING)

    def test_waitingMessages(self):
        """
        What is written while no receiver is attached is the first thing that the next one gets.
        """
        for name in POLLING:
            method, path = RECEIVING[name]
            self.serve()
            self.answerTo(method, path)
            self.apps.last.transport.writeMessages(["x", "y"])
            self.clock.advance(1)
            self.assertEqual(self.answerTo(method, path).chunks, [dressed(name, 'a["x","y"]')])

    def test_heartbeatAgain(self):
        """
        Without options there is a heartbeat every 25 seconds of silence, as long as it lasts; whatever is sent starts
        the silence anew.
        """
        for name, method, path in self.each():
            if name in POLLING:
                continue
            _, answer = self.open(name, method, path)
            before = len(answer().chunks)
            self.clock.pump([24, 1] * 3)
            self.clock.advance(24)
            self.apps.last.transport.write("x")
            self.clock.advance(0)
            self.clock.advance(24)
            frames = ["h", "h", "h", 'a["x"]']
            self.assertEqual(answer().chunks[before:], [dressed(name, frame) for frame in frames])
            self.clock.advance(1)
            self.assertEqual(answer().chunks[before + 4 :], [dressed(name, "h")])

    def test_heartbeat(self):
        """
        After the heartbeat delay without a frame comes C{h}.
        """
        for name, method, path in self.each(heartbeat_delay=10):
            _, answer = self.open(name, method, path)
            before = len(answer().chunks)
            self.clock.advance(9.5)
            self.assertEqual(len(answer().chunks), before)
            self.clock.advance(0.5)
            self.assertEqual(answer().chunks[before:], [dressed(name, "h")])

    def test_responseLimit(self):
        """
        A streaming response ends after the frame that reaches the limit, its prelude not counted; the next one goes on.
        """
        for name, method, path in self.each(response_limit=100):
            if name in POLLING:
                continue
            answer = self.ask(method, path)
            count = 0
            while not answer().ended:
                count += 1
                self.apps.last.transport.write(str(count % 10))
                self.clock.advance(0)
            chunks = answer().chunks
            self.assertEqual(len(chunks), 2 + count)
            sizes = [len(chunk) for chunk in chunks[1:]]
            self.assertGreaterEqual(sum(sizes), 100)
            self.assertLess(sum(sizes[:-1]), 100)
            self.apps.last.transport.write("between")
            self.clock.advance(0)
            self.assertEqual(self.ask(method, path)().chunks[1:], [dressed(name, 'a["between"]')])

    def test_close(self):
        """
        What was written before a close comes first, then the close frame, and the response ends.
        """
        for name, method, path in self.each():
            _, answer = self.open(name, method, path)
            before = len(answer().chunks)
            self.apps.last.transport.write("x")
            self.apps.last.transport.close(3001, "So long")
            self.clock.advance(0)
            self.assertTrue(answer().ended)
            frames = [dressed(name, 'a["x"]')]
            if name in POLLING:
                self.assertEqual(self.answerTo(method, path).chunks, [dressed(name, 'c[3001,"So long"]')])
            else:
                frames.append(dressed(name, 'c[3001,"So long"]'))
            self.assertEqual(answer().chunks[before:], frames)
            (reason,) = self.apps.last.lost
            self.assertEqual((reason.type, reason.value.code), (SessionDone, 3001))

    def test_closeWithoutMessages(self):
        """
        A receiver that waits gets the close frame by itself, and no other frame before it.
        """
        for name, method, path in self.each():
            _, answer = self.open(name, method, path)
            before = len(answer().chunks)
            self.assertFalse(answer().ended)
            self.apps.last.transport.loseConnection()
            self.clock.advance(0)
            self.assertEqual(answer().chunks[before:], [dressed(name, 'c[3000,"Go away!"]')])
            self.assertTrue(answer().ended)

    def test_closeRepeated(self):
        """
        The close frame is repeated to every receiving request until the disconnect delay is over; then the id is free.
        """
        for name, method, path in self.each(disconnect_delay=5):
            self.open(name, method, path)
            self.apps.last.transport.loseConnection()
            self.clock.advance(0)
            for _ in range(3):
                self.clock.advance(1)
                answer = self.answerTo(method, path)
                self.assertEqual(answer.chunks[-1], dressed(name, 'c[3000,"Go away!"]'))
            self.clock.advance(5)
            self.assertEqual(self.ask(method, path)().chunks[-1], dressed(name, "o"))
            self.assertEqual(len(self.apps.built), 2)

    def test_refused(self):
        """
        An application that wants no session lets the close frame be the first one.
        """
        for name, method, path in self.each():
            self.apps.refuse = True
            answer = self.answerTo(method, path)
            frames = answer.chunks[0 if name in POLLING else 1 :]
            self.assertEqual(frames, [dressed(name, 'c[3000,"Go away!"]')])
            self.assertEqual(self.apps.built, [])
            self.clock.advance(5)

    def test_secondReceiver(self):
        """
        A second receiver gets 2010 and ends, and the first one stays as it was.
        """
        for name, method, path in self.each():
            _, first = self.open(name, method, path)
            second = self.answerTo(method, path)
            self.assertEqual(second.chunks[-1], dressed(name, 'c[2010,"Another connection still open"]'))
            self.assertEqual(self.resource.stats.refused, {"another receiver": 1})
            self.assertFalse(first().ended)
            self.apps.last.transport.write("x")
            self.clock.advance(0)
            self.assertEqual(first().chunks[-1], dressed(name, 'a["x"]'))

    def test_otherTransport(self):
        """
        A session may be received by one transport after the other.
        """
        self.serve()
        self.answerTo("POST", "/0/s/xhr")
        self.apps.last.transport.write("x")
        self.clock.advance(0)
        answer = self.answerTo("GET", "/0/s/jsonp?c=call.back")
        self.assertEqual(answer.chunks, [dressed("jsonp-polling", 'a["x"]')])
        self.assertEqual(self.apps.last.transport.transportName, "xhr-polling")

    def test_connectionLost(self):
        """
        A receiver whose connection breaks ends the session; the next request is told so.
        """
        for name, method, path in self.each():
            connection, _ = self.open(name, method, path)
            connection.lose()
            self.clock.advance(0)
            (reason,) = self.apps.last.lost
            self.assertEqual((reason.type, reason.value.code), (SessionLost, 1002))
            answer = self.answerTo(method, path)
            self.assertEqual(answer.chunks[-1], dressed(name, 'c[1002,"Connection interrupted"]'))

    def test_connectionLostAfterEnd(self):
        """
        A connection that breaks after its response has ended is no loss.
        """
        self.serve()
        connection = self.connect()
        connection.ask("POST", "/0/s/xhr")
        connection.lose()
        self.assertEqual(self.apps.last.lost, [])
        self.assertEqual(self.post("/0/s/xhr_send", "x").code, 204)

    def test_secondConnectionLost(self):
        """
        The loss of a connection on which a second receiver was refused is no loss.
        """
        self.serve()
        self.ask("POST", "/0/s/xhr_streaming")
        second = self.connect()
        second.ask("POST", "/0/s/xhr_streaming")
        second.lose()
        self.assertEqual(self.apps.last.lost, [])

    def test_writeAsConnectionBreaks(self):
        """
        What is written in the turn in which the connection breaks harms nobody.
        """
        for name, method, path in self.each():
            connection, _ = self.open(name, method, path)
            self.apps.last.transport.write("x")
            self.apps.last.transport.loseConnection()
            connection.lose()
            self.clock.advance(0)
            self.assertEqual(len(self.apps.last.lost), 1)

    def test_nobodyComesBack(self):
        """
        A session that is left alone for the disconnect delay is over.
        """
        self.serve(disconnect_delay=3)
        self.answerTo("POST", "/0/s/xhr")
        self.clock.advance(2.9)
        self.assertEqual(self.apps.last.lost, [])
        self.clock.advance(0.2)
        self.assertEqual([reason.type for reason in self.apps.last.lost], [SessionLost])

    def test_abort(self):
        """
        An application that aborts breaks the connection; an open response never looks complete.
        """
        for name, method, path in self.each():
            connection, answer = self.open(name, method, path)
            self.apps.last.transport.abortConnection()
            self.clock.advance(0)
            self.assertTrue(connection.transport.aborted)
            if answer is not None and connection.answers():
                self.assertFalse(answer().ended)
            (reason,) = self.apps.last.lost
            self.assertEqual(reason.type, ConnectionAborted)

    def test_abortWithoutReceiver(self):
        """
        A session can be aborted while no receiver is attached.
        """
        self.serve()
        self.answerTo("POST", "/0/s/xhr")
        self.apps.last.transport.abortConnection()
        self.clock.advance(0)
        self.assertEqual(len(self.apps.last.lost), 1)

    def test_abortTwice(self):
        """
        A second abort does nothing.
        """
        self.serve()
        self.ask("POST", "/0/s/xhr_streaming")
        self.apps.last.transport.abortConnection()
        self.apps.last.transport.abortConnection()
        self.clock.advance(0)
        self.assertEqual(len(self.apps.last.lost), 1)

    def test_blocked(self):
        """
        Nothing is written into a connection that is full; what has gathered leaves as one frame when it drains.
        """
        for name, method, path in self.each():
            connection, answer = self.open(name, method, path)
            before = len(connection.transport.value())
            connection.transport.block()
            for text in "xyz":
                self.apps.last.transport.write(text)
                self.clock.advance(19)  # nor heartbeats
            self.assertEqual(len(connection.transport.value()), before)
            connection.transport.unblock()
            self.clock.advance(0)
            self.assertEqual(answer().chunks[-1], dressed(name, 'a["x","y","z"]'))

    def test_blockedAndClosed(self):
        """
        A close waits until the connection drains, behind what was written before.
        """
        self.serve()
        connection, answer = self.open("xhr-streaming", "POST", "/0/s/xhr_streaming")
        connection.transport.block()
        self.apps.last.transport.write("x")
        self.apps.last.transport.loseConnection()
        self.clock.advance(1)
        self.assertFalse(answer().ended)
        connection.transport.unblock()
        self.clock.advance(0)
        self.assertEqual(answer().chunks[2:], [b'a["x"]\n', b'c[3000,"Go away!"]\n'])
        self.assertTrue(answer().ended)

    def test_blockedForTooLong(self):
        """
        A connection that stays full for C{write_timeout} is cut.
        """
        self.serve(write_timeout=10)
        connection, _ = self.open("xhr-streaming", "POST", "/0/s/xhr_streaming")
        connection.transport.block()
        self.clock.advance(9)
        self.assertEqual(self.apps.last.lost, [])
        self.clock.advance(1)
        self.assertEqual(self.apps.last.lost[0].value.code, 1002)
        self.assertTrue(connection.transport.aborted)

    def test_blockedAndLost(self):
        """
        A connection may break while it is full.
        """
        self.serve()
        connection, _ = self.open("xhr-streaming", "POST", "/0/s/xhr_streaming")
        connection.transport.block()
        self.apps.last.transport.write("x")
        connection.lose()
        self.clock.advance(0)
        self.assertEqual(len(self.apps.last.lost), 1)

    def test_producerOfApplication(self):
        """
        A producer of the application is paused and resumed as the connection fills and drains.
        """
        self.serve()
        connection, _ = self.open("xhr-streaming", "POST", "/0/s/xhr_streaming")
        seen = []

        class Producer:
            pauseProducing = staticmethod(lambda: seen.append("pause"))
            resumeProducing = staticmethod(lambda: seen.append("resume"))
            stopProducing = staticmethod(lambda: seen.append("stop"))

        self.apps.last.transport.registerProducer(Producer(), True)
        connection.transport.block()
        connection.transport.unblock()
        connection.lose()
        self.clock.advance(0)
        self.assertEqual(seen, ["pause", "resume", "stop"])

    def test_transportStops(self):
        """
        A transport that tells its producer to stop loses its connection soon; nothing happens before.
        """
        self.serve()
        connection, answer = self.open("xhr-streaming", "POST", "/0/s/xhr_streaming")
        connection.transport.producer.stopProducing()
        self.assertFalse(answer().ended)
        self.assertEqual(self.apps.last.lost, [])

    def test_nothingKept(self):
        """
        A request that is answered is kept by nobody, however long its session lives.
        """
        self.serve()
        requests = []
        original = Site.requestFactory

        def remember(*args, **kwargs):
            request = original(*args, **kwargs)
            requests.append(weakref.ref(request))
            return request

        self.site.requestFactory = remember
        self.answerTo("POST", "/0/s/xhr")
        self.post("/0/s/xhr_send", "x")
        for connection in self.connections:
            connection.lose()
        self.connections.clear()
        gc.collect()
        self.assertEqual(len(requests), 2)
        self.assertEqual([request() for request in requests], [None, None])


class HTTPTests(SiteCase):
    """
    HTTP as different clients speak it.
    """

    def test_http10(self):
        """
        Under HTTP/1.0 a body is not chunked, and ends with the connection or by its length.
        """
        for name, (method, path) in RECEIVING.items():
            self.serve()
            connection = self.connect()
            answer = connection.ask(method, path, version="1.0")
            self.assertIsNone(answer().header("transfer-encoding"))
            self.assertTrue(answer().body.endswith(dressed(name, "o")))
            self.apps.last.transport.loseConnection()
            self.clock.advance(0)
            self.assertTrue(connection.transport.gone, name)
            if name not in POLLING:
                self.assertTrue(answer().body.endswith(dressed(name, 'c[3000,"Go away!"]')))

    def test_http10Send(self):
        """
        Sending works under HTTP/1.0 as well.
        """
        self.serve()
        self.answerTo("POST", "/0/s/xhr", version="1.0")
        self.assertEqual(self.answerTo("POST", "/0/s/xhr_send", body=b'["x"]', version="1.0").code, 204)
        self.assertEqual(self.answerTo("POST", "/0/s/jsonp_send", body=b'["y"]', version="1.0").body, b"ok")
        self.assertEqual(self.apps.last.received, [b"x", b"y"])

    def test_connectionClose(self):
        """
        A client may want its connection to be closed after the answer.
        """
        self.serve()
        connection = self.connect()
        answer = connection.ask("POST", "/0/s/xhr", {"Connection": "close"})
        self.assertTrue(answer().ended)
        self.assertEqual(answer().header("connection"), "close")
        self.assertTrue(connection.transport.gone)

    def test_keepAlive(self):
        """
        One connection serves any number of requests.
        """
        self.serve(TextEchoes())
        connection = self.connect()
        self.assertEqual(connection.ask("POST", "/0/s/xhr")().body, b"o\n")
        self.assertEqual(connection.ask("POST", "/0/s/xhr_send", body=b'["x"]')().code, 204)
        self.assertEqual(connection.ask("POST", "/0/s/xhr")().body, b'a["x"]\n')
        self.assertFalse(connection.transport.disconnecting)

    def test_pipelined(self):
        """
        Requests that are sent before the answers have come are answered in order.
        """
        self.serve()
        connection = self.connect()
        answers = [connection.ask("POST", "/0/s/xhr") for _ in range(3)]
        self.assertEqual(answers[0]().body, b"o\n")
        self.assertEqual(len(connection.answers()), 1)
        self.apps.last.transport.write("x")
        self.clock.advance(0)
        self.assertEqual(answers[1]().body, b'a["x"]\n')
        self.apps.last.transport.write("y")
        self.clock.advance(0)
        self.assertEqual(answers[2]().body, b'a["y"]\n')

    def test_pipelinedAtOnce(self):
        """
        Nothing changes when they come in one piece, or byte by byte.
        """
        request = b"POST /0/s/xhr HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
        send = b"POST /0/s/xhr_send HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n" + b'["x","y"]'
        for size in (1, 7, 10000):
            self.serve(TextEchoes())
            connection = self.connect()
            for _ in range(3):
                connection.expect("POST")
            data = request + send + request
            for at in range(0, len(data), size):
                connection.send(data[at : at + size])
            self.assertEqual([answer.body for answer in connection.answers()], [b"o\n", b"", b'a["x","y"]\n'])

    def test_lostWithPipelinedRequests(self):
        """
        When a connection breaks, requests that still wait behind a streaming one open no session.
        """
        self.serve()
        connection = self.connect()
        connection.ask("POST", "/0/s/xhr_streaming")
        connection.ask("POST", "/0/t/xhr_streaming")
        connection.lose()
        self.clock.advance(0)
        self.assertEqual(len(self.apps.built), 1)
        self.assertEqual(len(self.apps.last.lost), 1)

    def test_chunkedRequest(self):
        """
        A body may be chunked.
        """
        self.serve()
        self.answerTo("POST", "/0/s/xhr")
        body = chunked(b'["a', b'b",', b'"c"]')
        answer = self.answerTo("POST", "/0/s/xhr_send", {"Transfer-Encoding": "chunked"}, body)
        self.assertEqual(answer.code, 204)
        self.assertEqual(self.apps.last.received, [b"ab", b"c"])

    def test_noContentLength(self):
        """
        A POST without C{Content-Length} has no body; nothing breaks.
        """
        self.serve()
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b"o\n")
        for path in ("/0/s/xhr_send", "/0/s/jsonp_send"):
            answer = self.answerTo("POST", path)
            self.assertEqual((answer.code, answer.body), (500, b"Payload expected."))

    def test_multipartBody(self):
        """
        A body that claims to be a form of many parts is taken as it is.
        """
        self.serve()
        self.answerTo("POST", "/0/s/xhr")
        answer = self.answerTo("POST", "/0/s/xhr_send", {"Content-Type": "application/x-www-form-urlencoded"}, b'["x"]')
        self.assertEqual(answer.code, 204)
        self.assertEqual(self.apps.last.received, [b"x"])

    def test_methods(self):
        """
        A method that a URL does not take gets 405 with C{Allow}, no C{Content-Type} and no body.
        """
        takes = {
            "xhr": "POST, OPTIONS",
            "xhr_streaming": "POST, OPTIONS",
            "xhr_send": "POST, OPTIONS",
            "eventsource": "GET",
            "htmlfile": "GET",
            "jsonp": "GET",
            "jsonp_send": "POST",
        }
        self.serve()
        for name, allowed in takes.items():
            connection = self.connect()
            for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "BREW"):
                if method in allowed.split(", "):
                    continue
                answer = connection.ask(method, f"/0/s/{name}")()
                self.assertEqual(
                    (answer.code, answer.header("allow"), answer.body), (405, allowed, b""), (name, method)
                )
                self.assertIsNone(answer.header("content-type"))
                self.assertTrue(answer.ended)
        self.assertEqual(self.apps.built, [])

    def test_preflight(self):
        """
        OPTIONS is a preflight for POST that may be kept for a year, and opens no session.
        """
        self.serve()
        for name in ("xhr", "xhr_streaming", "xhr_send"):
            headers = {"Origin": "null", "Access-Control-Request-Headers": "content-type"}
            answer = self.answerTo("OPTIONS", f"/0/s/{name}", headers)
            self.assertEqual((answer.code, answer.body), (204, b""))
            self.assertIsNone(answer.header("content-type"))
            self.assertEqual(answer.header("access-control-allow-methods"), "OPTIONS, POST")
            self.assertEqual(answer.header("access-control-allow-origin"), "null")
            self.assertEqual(answer.header("access-control-allow-credentials"), "true")
            self.assertEqual(answer.header("access-control-allow-headers"), "content-type")
            self.assertEqual(answer.header("access-control-max-age"), "31536000")
            self.assertEqual(answer.header("cache-control"), "public, max-age=31536000")
            self.assertEqual(answer.header("vary"), "Origin")
        self.assertEqual(self.apps.built, [])

    def test_cors(self):
        """
        Answers that scripts of other origins read let them in; the others do not speak of it.
        """
        for name, (method, path) in RECEIVING.items():
            for origin in ("http://a.example:1", "null", None):
                self.serve()
                answer = self.ask(method, path, {} if origin is None else {"Origin": origin})()
                allowed = answer.header("access-control-allow-origin")
                if name in ("htmlfile", "jsonp-polling"):
                    self.assertIsNone(allowed)
                    continue
                anyone = origin is None or (origin == "null" and name == "eventsource")
                self.assertEqual(allowed, "*" if anyone else origin)
                self.assertEqual(answer.header("access-control-allow-credentials"), None if anyone else "true")
                self.assertEqual(answer.header("vary"), "Origin")

    def test_headersCannotBeSplit(self):
        """
        A client can't put a line of its own into the headers of an answer.
        """
        self.serve(cookie_needed=True)
        connection = self.connect()
        connection.expect("POST")
        connection.send(
            b"POST /0/s/xhr HTTP/1.1\r\nHost: h\r\nOrigin: a\r\n\tX-Mine: 1\r\nCookie: JSESSIONID=a\r\n b\r\n\r\n"
        )
        for answer in connection.answers():
            self.assertIsNone(answer.header("x-mine"))

    def test_goneBeforeRender(self):
        """
        A request whose client went away before it was its turn, as behind a slow login, opens no session.
        """
        for method, path in [*RECEIVING.values(), ("GET", "/"), ("POST", "/0/s/xhr_send"), ("PUT", "/info")]:
            self.serve()
            ready = Deferred()
            self.serveTree(DeferringRoot(self.resource, ready))
            connection = self.connect()
            connection.ask(method, path)
            connection.lose()
            ready.callback(self.resource)
            self.clock.advance(0)
            self.assertEqual(self.apps.built, [])
            self.assertEqual(len(self.resource._service.registry), 0)

    def test_lateRender(self):
        """
        A request that has waited for its turn is answered as any other.
        """
        for name, (method, path) in RECEIVING.items():
            self.serve()
            ready = Deferred()
            self.serveTree(DeferringRoot(self.resource, ready))
            answer = self.ask(method, path)
            ready.callback(self.resource)
            self.clock.advance(0)
            self.assertEqual(answer().chunks[-1], dressed(name, "o"))


class DeferringRoot(Resource):
    """
    Knows what to do with a request only later, as an asynchronous login does.
    """

    def __init__(self, resource, ready):
        super().__init__()
        self._resource = resource
        self._ready = ready

    def getChild(self, name, request):
        request.postpath.insert(0, request.prepath.pop())
        return DeferredResource(self._ready)


def TextEchoes():
    """
    A factory of echoes.
    """
    return Apps(TextEcho)


class CookieTests(SiteCase):
    """
    The cookie for balancers.
    """

    URLS = (
        ("POST", "/0/s/xhr"),
        ("OPTIONS", "/0/s/xhr"),
        ("PUT", "/0/s/xhr"),
        ("POST", "/0/t/xhr_streaming"),
        ("POST", "/0/s/xhr_send"),
        ("OPTIONS", "/0/s/xhr_send"),
        ("GET", "/0/u/eventsource"),
        ("GET", "/0/v/htmlfile?c=c"),
        ("GET", "/0/v/htmlfile"),
        ("GET", "/0/w/jsonp?c=c"),
        ("POST", "/0/w/jsonp_send"),
    )

    def test_dummy(self):
        """
        Every answer of a session's URLs sets the cookie.
        """
        self.serve(cookie_needed=True)
        for method, path in self.URLS:
            self.assertEqual(self.ask(method, path)().header("set-cookie"), "JSESSIONID=dummy; path=/", (method, path))

    def test_notNeeded(self):
        """
        A service that needs none sets none, whatever the client sends.
        """
        self.serve()
        for method, path in self.URLS:
            self.assertIsNone(self.ask(method, path, {"Cookie": "JSESSIONID=x"})().header("set-cookie"))

    def test_echoed(self):
        """
        The value that a client sends comes back.
        """
        self.serve(cookie_needed=True)
        answer = self.answerTo("POST", "/0/s/xhr", {"Cookie": "a=b; JSESSIONID=abc-1.2!x; c=d"})
        self.assertEqual(answer.header("set-cookie"), "JSESSIONID=abc-1.2!x; path=/")

    def test_untrusted(self):
        """
        A value that is no plain cookie value is not echoed.
        """
        self.serve(cookie_needed=True)
        for value in ("a b", 'a"b', "a,b", "a\\b", "\u00e9", "", "x" * 257):
            answer = self.answerTo("OPTIONS", "/0/s/xhr", {"Cookie": f"JSESSIONID={value}"})
            self.assertEqual(answer.header("set-cookie"), "JSESSIONID=dummy; path=/", value)

    def test_callable(self):
        """
        A callable makes the value of the request.
        """
        self.serve(cookie_needed=lambda request: "m-" + request.method.decode("ascii"))
        answer = self.answerTo("POST", "/0/s/xhr", {"Cookie": "JSESSIONID=mine"})
        self.assertEqual(answer.header("set-cookie"), "JSESSIONID=m-POST; path=/")

    def test_failingCallable(self):
        """
        A callable that fails is logged, and the client gets on with a dummy.
        """

        def fail(request):
            raise RuntimeError("no cookie today")

        for broken, error in (
            (fail, RuntimeError),
            (lambda request: None, AttributeError),
            (lambda request: "\u20ac", UnicodeError),
        ):
            self.serve(cookie_needed=broken)
            answer = self.answerTo("POST", "/0/s/xhr")
            self.assertEqual((answer.body, answer.header("set-cookie")), (b"o\n", "JSESSIONID=dummy; path=/"))
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)

    def test_uselessCallable(self):
        """
        What a callable makes up is checked as well, and what is no cookie value is logged.
        """
        self.serve(cookie_needed=lambda request: "a; domain=example.com")
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").header("set-cookie"), "JSESSIONID=dummy; path=/")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class CallbackTests(SiteCase):
    """
    The callback of htmlfile and JSONP.
    """

    def test_missing(self):
        """
        Without a callback there is an error, and no session.
        """
        self.serve()
        for path in ("/0/s/htmlfile", "/0/s/jsonp", "/0/s/jsonp?c=", "/0/s/htmlfile?callback=", "/0/s/jsonp?d=x"):
            answer = self.answerTo("GET", path)
            self.assertEqual((answer.code, answer.body), (500, b'"callback" parameter required'), path)
            self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
            self.assertEqual(answer.header("cache-control"), NO_CACHE)
        self.assertEqual(self.apps.built, [])

    def test_invalid(self):
        """
        A callback that could be more than a name is an error, and not repeated.
        """
        self.serve()
        for callback in ("a(b", "*", "a;b", "a b", "<", "a\n", "\u00e9", "a'", "[0]", "$"):
            for name in ("htmlfile", "jsonp"):
                answer = self.answerTo("GET", f"/0/s/{name}?c={quote(callback)}")
                self.assertEqual((answer.code, answer.body), (500, b'invalid "callback" parameter'), callback)
        self.assertEqual(self.apps.built, [])

    def test_long(self):
        """
        JSONP takes 32 characters and no more; htmlfile takes any number.
        """
        self.serve()
        self.assertEqual(self.answerTo("GET", "/0/s/jsonp?c=" + "a" * 32).body, b"/**/" + b"a" * 32 + b'("o");\r\n')
        self.assertEqual(self.answerTo("GET", "/0/t/jsonp?c=" + "a" * 33).code, 500)
        answer = self.ask("GET", "/0/t/htmlfile?c=" + "a" * 2000)()
        self.assertIn(b"parent." + b"a" * 2000 + b";", answer.chunks[0])
        self.assertTrue(answer.chunks[0].endswith(b"</script>\r\n\r\n"))

    def test_longName(self):
        """
        The parameter may also be called C{callback}; C{c} comes first.
        """
        self.serve()
        self.assertEqual(self.answerTo("GET", "/0/s/jsonp?callback=x.y-_1").body, b'/**/x.y-_1("o");\r\n')
        self.assertEqual(self.answerTo("GET", "/0/t/jsonp?callback=b&c=a").body, b'/**/a("o");\r\n')

    def test_sniffing(self):
        """
        A JSONP answer is not to be taken for anything but a script.
        """
        self.serve()
        self.assertEqual(self.answerTo("GET", "/0/s/jsonp?c=x").header("x-content-type-options"), "nosniff")

    def test_noTrouble(self):
        """
        Nothing in the frame can end the script of htmlfile.
        """
        self.serve()
        answer = self.ask("GET", "/0/s/htmlfile?c=x")
        self.apps.last.transport.write("</script><!--<script>\u2028")
        self.clock.advance(0)
        chunk = answer().chunks[-1]
        self.assertEqual(chunk.count(b"<"), 2)
        self.assertEqual(html.unescape(chunk.decode("ascii")), chunk.decode("ascii"))


class SendTests(SiteCase):
    """
    C{xhr_send} and C{jsonp_send}.
    """

    FORM = {"Content-Type": "application/x-www-form-urlencoded"}

    def setUp(self):
        super().setUp()
        self.serve()

    def open(self):
        self.answerTo("POST", "/0/s/xhr")

    def test_xhrAnswer(self):
        """
        C{xhr_send} answers 204 as plain text, and is not to be kept.
        """
        self.open()
        answer = self.answerTo("POST", "/0/s/xhr_send", {"Origin": "http://a"}, b'["x","y"]')
        self.assertEqual((answer.code, answer.body), (204, b""))
        self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
        self.assertEqual(answer.header("cache-control"), NO_CACHE)
        self.assertEqual(answer.header("access-control-allow-origin"), "http://a")
        self.assertIsNone(answer.header("content-length"))
        self.assertEqual(self.apps.last.received, [b"x", b"y"])

    def test_contentTypes(self):
        """
        C{xhr_send} takes its body whatever the type says.
        """
        self.open()
        types = (
            "text/plain",
            "T",
            "application/json",
            "application/xml",
            "text/xml",
            "",
            "application/json; charset=utf-8",
        )
        for contentType in types:
            answer = self.answerTo("POST", "/0/s/xhr_send", {"Content-Type": contentType}, b'["x"]')
            self.assertEqual(answer.code, 204, contentType)
        self.assertEqual(self.post("/0/s/xhr_send", "x").code, 204)
        self.assertEqual(self.apps.last.received, [b"x"] * 8)

    def test_jsonpAnswer(self):
        """
        C{jsonp_send} answers C{ok}.
        """
        self.open()
        answer = self.answerTo("POST", "/0/s/jsonp_send", self.FORM, b"d=%5B%22x%22%5D")
        self.assertEqual((answer.code, answer.body), (200, b"ok"))
        self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
        self.assertEqual(answer.header("cache-control"), NO_CACHE)
        self.assertEqual(self.apps.last.received, [b"x"])

    def test_jsonpForms(self):
        """
        The field may be one of several and the type may have a charset; a plain body is taken verbatim.
        """
        self.open()
        charset = {"Content-Type": "Application/X-WWW-Form-Urlencoded ; charset=UTF-8"}
        self.assertEqual(self.answerTo("POST", "/0/s/jsonp_send", charset, b"a=b&d=[%22+%22]&c=").code, 200)
        self.assertEqual(
            self.answerTo("POST", "/0/s/jsonp_send", {"Content-Type": "text/plain"}, b'["%41+"]').code, 200
        )
        self.assertEqual(self.answerTo("POST", "/0/s/jsonp_send", None, b'["y"]').code, 200)
        self.assertEqual(self.apps.last.received, [b" ", b"%41+", b"y"])

    def test_unknownSession(self):
        """
        A session that is not there can't be sent to.
        """
        for name in ("xhr_send", "jsonp_send"):
            self.assertEqual(self.answerTo("POST", f"/0/s/{name}", body=b'["x"]').code, 404)
        self.assertEqual(self.apps.built, [])

    def test_endedSession(self):
        """
        Nor can one that is over.
        """
        connection = self.connect()
        connection.ask("POST", "/0/s/xhr_streaming")
        connection.lose()
        answer = self.ask("POST", "/0/s/xhr_send", body=b'["x"]')
        self.clock.advance(1)
        self.assertEqual(answer().code, 404)

    def test_broken(self):
        """
        A body that is no array of strings is an error, and the session lives on.
        """
        self.open()
        expected = [b"", b"1", b"{}", b"null", b'"x"', b"[1]", b'["x",null]', b"[[]]"]
        broken = [b'["x', b"[", b"x", b'["\xff"]', b"[" * 100000, b'["\n"]']
        for bodies, text in ((expected, b"Payload expected."), (broken, b"Broken JSON encoding.")):
            for body in bodies:
                for name in ("xhr_send", "jsonp_send"):
                    answer = self.answerTo("POST", f"/0/s/{name}", body=body)
                    self.assertEqual((answer.code, answer.body), (500, text), body[:20])
                    self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
        self.assertEqual(self.apps.last.received, [])
        self.assertEqual(self.resource.stats.refused, {"malformed body": 2 * len(expected + broken)})
        self.assertEqual(self.post("/0/s/xhr_send", "x").code, 204)
        self.assertEqual(self.apps.last.received, [b"x"])

    def test_brokenForms(self):
        """
        A form without the field, or with an empty one, or with far too many, is no payload.
        """
        self.open()
        for body in (b"", b"d=", b"d", b"e=x", b"&" * 1000, b"a=b&" * 100 + b"d=[]"):
            answer = self.answerTo("POST", "/0/s/jsonp_send", self.FORM, body)
            self.assertEqual((answer.code, answer.body), (500, b"Payload expected."), body[:20])
        answer = self.answerTo("POST", "/0/s/jsonp_send", self.FORM, b"d=[")
        self.assertEqual(answer.body, b"Broken JSON encoding.")

    def test_emptyList(self):
        """
        An empty array is valid and carries nothing.
        """
        self.open()
        self.assertEqual(self.post("/0/s/xhr_send").code, 204)
        self.assertEqual(self.answerTo("POST", "/0/s/jsonp_send", body=b"[]").body, b"ok")
        self.assertEqual(self.apps.last.received, [])

    def test_heldBack(self):
        """
        While the application pauses, the answer waits, and with it what the client sends next.
        """
        self.open()
        for name, code, body in (("xhr_send", 204, b""), ("jsonp_send", 200, b"ok")):
            self.apps.last.received.clear()
            self.apps.last.transport.pauseProducing()
            connection = self.connect()
            first = connection.ask("POST", f"/0/s/{name}", body=b'["x","y"]')
            connection.ask("POST", f"/0/s/{name}", body=b'["z"]')
            self.assertEqual(connection.answers(), [])
            self.assertEqual(self.apps.last.received, [])
            self.apps.last.transport.resumeProducing()
            self.clock.advance(0)
            self.assertEqual(self.apps.last.received, [b"x", b"y", b"z"])
            self.assertEqual([answer.code for answer in connection.answers()], [code, code])
            self.assertEqual((first().body, first().ended), (body, True))
            self.assertEqual(first().header("content-length"), str(len(body)) if body else None)

    def test_heldBackAndGone(self):
        """
        A client that goes away while its answer is held back has sent its messages nevertheless.
        """
        self.open()
        for name in ("xhr_send", "jsonp_send"):
            self.apps.last.received.clear()
            self.apps.last.transport.pauseProducing()
            connection = self.connect()
            connection.ask("POST", f"/0/s/{name}", body=b'["x"]')
            connection.lose()
            self.apps.last.transport.resumeProducing()
            self.clock.advance(0)
            self.assertEqual(self.apps.last.received, [b"x"])

    def test_heldBackUntilTheEnd(self):
        """
        Where the session ends before the application has taken a message, the answer is that there is no such session.
        It comes when the client has had a second to hear of the end.
        """
        for end in ("loseConnection", "abortConnection"):
            self.serve()
            self.open()
            self.apps.last.transport.pauseProducing()
            answer = self.ask("POST", "/0/s/xhr_send", body=b'["x"]')
            getattr(self.apps.last.transport, end)()
            self.answerTo("POST", "/0/s/xhr")
            self.assertFalse(answer().ended)
            self.clock.advance(1)
            self.assertEqual(answer().code, 404)
            self.assertEqual(self.apps.last.received, [])

    def test_pausedHalfway(self):
        """
        An application that pauses after the first of two messages gets the second one when it resumes.
        """

        class Reluctant(Recorder):
            def dataReceived(self, data):
                super().dataReceived(data)
                self.transport.pauseProducing()

        self.serve(Apps(Reluctant))
        self.open()
        answer = self.connect()
        answer.ask("POST", "/0/s/xhr_send", body=b'["x","y"]')
        self.assertEqual((self.apps.last.received, answer.answers()), ([b"x"], []))
        self.apps.last.transport.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(self.apps.last.received, [b"x", b"y"])
        self.assertEqual(answer.answers()[0].code, 204)

    def test_closeWhileSending(self):
        """
        An application that closes on a message still lets the client know that it was taken, or that others that came
        with it were not.
        """

        class Closing(Recorder):
            def dataReceived(self, data):
                super().dataReceived(data)
                self.transport.loseConnection()

        self.serve(Apps(Closing))
        self.open()
        self.assertEqual(self.post("/0/s/xhr_send", "x").code, 204)
        self.assertEqual(self.apps.last.received, [b"x"])
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b'c[3000,"Go away!"]\n')
        self.clock.advance(5)
        self.open()
        answer = self.ask("POST", "/0/s/xhr_send", body=b'["x","y"]')
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b'c[3000,"Go away!"]\n')
        self.clock.advance(1)
        self.assertEqual(answer().code, 404)
        self.assertEqual(self.apps.last.received, [b"x"])

    def test_closing(self):
        """
        What is sent to a session that is about to end, or just has, is refused in the end, but not before the client
        has had a second to hear of the end: it must not go for that before it has read what comes before it.
        """
        self.serve()
        self.open()
        self.apps.last.transport.write(b"last words")
        self.apps.last.transport.loseConnection()
        early = self.ask("POST", "/0/s/xhr_send", body=b'["x"]')
        gone = self.connect()
        gone.ask("POST", "/0/s/xhr_send", body=b'["x"]')
        gone.lose()
        self.clock.advance(3)
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b'a["last words"]\n')
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b'c[3000,"Go away!"]\n')
        self.assertFalse(early().ended)
        self.clock.advance(1)
        self.assertEqual(early().code, 404)
        late = self.ask("POST", "/0/s/xhr_send", body=b'["x"]')
        self.clock.advance(0.9)
        self.assertFalse(late().ended)
        self.clock.advance(0.1)
        self.assertEqual(late().code, 404)
        last = self.ask("POST", "/0/s/xhr_send", body=b'["x"]')
        self.clock.advance(5)
        self.assertEqual(last().code, 404)
        self.assertEqual(self.post("/0/s/xhr_send", "x").code, 404)
        self.assertEqual(self.apps.last.received, [])

    def test_crashAtOnce(self):
        """
        So does one that fails as it is connected, or as it hears of the end, whatever the transport.
        """

        class Crashing(Recorder):
            def connectionMade(self):
                raise RuntimeError("made")

            def connectionLost(self, reason):
                super().connectionLost(reason)
                raise RuntimeError("lost")

        for name, (method, path) in RECEIVING.items():
            self.serve(Apps(Crashing))
            chunks = self.ask(method, path)().chunks
            if name in POLLING:
                chunks += self.answerTo(method, path).chunks
            self.assertEqual(chunks[-2:], [dressed(name, "o"), dressed(name, 'c[1011,"Internal error"]')])
            self.clock.advance(0)
            self.assertEqual([str(failure.value) for failure in self.flushLoggedErrors(RuntimeError)], ["made", "lost"])
            self.assertEqual(len(self.apps.last.lost), 1)

    def test_crash(self):
        """
        An application that fails on a message closes its own session and no other one.
        """

        class Crashing(Recorder):
            def dataReceived(self, data):
                raise RuntimeError("no")

        self.serve(Apps(Crashing))
        self.open()
        self.answerTo("POST", "/0/t/xhr")
        self.assertEqual(self.post("/0/s/xhr_send", "x").code, 204)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b'c[1011,"Internal error"]\n')
        self.assertEqual(self.apps.built[1].lost, [])


class LeafTests(SiteCase):
    """
    C{Leaf} and those that are made of it.
    """

    def test_answerIsAbstract(self):
        """
        What a URL answers is up to its own class.
        """
        request = DummyRequest([])
        self.assertRaises(NotImplementedError, Leaf().answer, request)
        self.assertRaises(NotImplementedError, SessionLeaf(None).exchange, request, "s")
        self.assertRaises(NotImplementedError, SendLeaf(None).messages, request)
        self.assertRaises(NotImplementedError, SendLeaf(None).acknowledge, request)


TEXTS = st.lists(
    st.text(st.characters())
    | st.sampled_from(["</script>", "<!--", "%41", "%", "\0", "\r\n", "\u2028", "\ud800", "\U0001f600"]),
    min_size=1,
    max_size=4,
)


def asUTF16(text):
    """
    The text as JavaScript has it, where a pair of surrogates is one character.
    """
    return text.encode("utf-16-le", "surrogatepass")


def sendXHR(connection, messages):
    """
    Send as sockjs-client does over XHR.
    """
    body = json.dumps(messages).encode("ascii")
    return connection.ask("POST", "/0/s/xhr_send", {"Content-Type": "text/plain"}, body)().code == 204


def sendForm(connection, messages):
    """
    Send as sockjs-client does over a form.
    """
    body = "d=" + quote(json.dumps(messages))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return connection.ask("POST", "/0/s/jsonp_send", headers, body.encode("ascii"))().code == 200


def sendPlain(connection, messages):
    """
    Send without a form, what can be in UTF-8 itself.
    """
    body = json.dumps(messages, ensure_ascii=False)
    data = re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", body).encode("utf-8")
    return connection.ask("POST", "/0/s/jsonp_send", {"Content-Type": "text/plain"}, data)().code == 200


class RoundTripTests(SiteCase):
    """
    Any text arrives as it was sent.
    """

    def roundTrip(self, name, send, messages):
        clock = Clock()
        site = Site(SockJSResource(TextEchoes(), reactor=clock), reactor=clock)
        receiving, sending = MemoryConnection(site, clock), MemoryConnection(site, clock)
        method, path = RECEIVING[name]
        answer = receiving.ask(method, path)
        if name in POLLING:
            answer = receiving.ask(method, path)
        self.assertTrue(send(sending, messages))
        clock.advance(0)
        frame = undressed(name, answer().chunks[-1])
        self.assertEqual(frame[:1], "a")
        back = [asUTF16(text) for text in json.loads(frame[1:])]
        self.assertEqual(back, [asUTF16(text) for text in messages])

    @settings(deadline=None, max_examples=60)
    @given(st.sampled_from(sorted(RECEIVING)), st.sampled_from([sendXHR, sendForm, sendPlain]), TEXTS)
    def test_http(self, name, send, messages):
        """
        Whatever is sent by any of the ways in comes back on every transport as it was, undressed as a browser does.
        """
        self.roundTrip(name, send, messages)

    @settings(deadline=None, max_examples=40)
    @given(TEXTS)
    def test_websocket(self, messages):
        """
        The same holds for a WebSocket.
        """
        clock = Clock()
        connection = MemoryConnection(Site(SockJSResource(TextEchoes(), reactor=clock), reactor=clock), clock)
        connection.upgrade("/0/s/websocket")
        connection.sendText(json.dumps(messages))
        opening, *frames = connection.texts()
        self.assertEqual(opening, "o")
        back = [asUTF16(text) for frame in frames for text in json.loads(frame[1:])]
        self.assertEqual(back, [asUTF16(text) for text in messages])
