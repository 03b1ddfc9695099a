# -*- test-case-name: tests.test_limits_real -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Each limit reached over a real socket: what the client is told, what the application is told, and what is counted.

Some limits are reached over real sockets beside the other tests of theirs: C{max_message_size} on WebSockets in
L{tests.test_websocket}, C{request_timeout} in L{tests.test_channel}, C{write_timeout} and C{ping_interval} in
L{tests.test_liveness}, and clients that do not read in L{tests.test_mounting}.
"""

from __future__ import annotations

import json
import tempfile

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, UNIXServerEndpoint, serverFromString
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.support import Apps, TextEcho
from tests.wire import CLOSE, Cut, HTTPClient, upgradeHeaders
from txsockjs.factory import SockJSFactory
from txsockjs.stats import Cause

OPENING = {
    "xhr-polling": ("POST", "/0/{}/xhr"),
    "xhr-streaming": ("POST", "/0/{}/xhr_streaming"),
    "eventsource": ("GET", "/0/{}/eventsource"),
    "htmlfile": ("GET", "/0/{}/htmlfile?c=f"),
    "jsonp-polling": ("GET", "/0/{}/jsonp?c=f"),
    "websocket": ("GET", "/0/{}/websocket"),
    "websocket-raw": ("GET", "/websocket"),
}

EVERYWHERE = {
    **OPENING,
    "xhr_send": ("POST", "/0/{}/xhr_send"),
    "jsonp_send": ("POST", "/0/{}/jsonp_send"),
}


class RealCase(TestCase):
    """
    What these tests have in common.
    """

    timeout = 30

    async def serve(self, protocol=None, **settings):
        self.apps = Apps(protocol) if protocol else Apps()
        self.site = SockJSFactory(self.apps, **settings)
        self.stats = self.site.resource.stats
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(self.site)
        self.client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.addCleanup(port.stopListening)
        self.addCleanup(self.site.resource.stop)
        self.addCleanup(self.client.close)

    async def open(self, method="POST", path="/0/s/xhr"):
        """
        Open a session by a poll.
        """
        _, body = await self.client.fetch(method, path, body=b"")
        self.assertEqual(body, b"o\n")
        return self.apps.last

    async def send(self, *messages, path="/0/s/xhr_send", headers=()):
        response, body = await self.client.fetch("POST", path, headers, json.dumps(messages).encode())
        return response.status, body

    async def poll(self, headers=()):
        response, body = await self.client.fetch("POST", "/0/s/xhr", headers, b"")
        return response.status, body

    async def until(self, condition):
        while not condition():
            await deferLater(reactor, 0.01)

    async def assertRefused(self, status, cause, urls=OPENING, headers=()):
        """
        Assert that every URL is refused with a status, that no session begins, and that each refusal is counted once.

        @return: the answers by the names of the URLs.
        """
        before, built = self.stats.refused[cause], len(self.apps.built)
        answers = {}
        for name, (method, path) in urls.items():
            more = upgradeHeaders() if name.startswith("websocket") else []
            body = b'["x"]' if name.endswith("_send") else b"" if method == "POST" else None
            response, _ = await self.client.fetch(method, path.format(name), [*more, *headers], body)
            self.assertEqual(response.status, status, name)
            answers[name] = response
        self.assertEqual(self.stats.refused[cause] - before, len(urls))
        self.assertEqual(len(self.apps.built), built)
        return answers


class WhoTests(RealCase):
    """
    Who gets a session.
    """

    async def test_sessions(self):
        """
        When there are C{max_sessions}, no transport opens another one.
        """
        await self.serve(max_sessions=1)
        await self.open()
        for response in (await self.assertRefused(503, "too many sessions")).values():
            self.assertEqual(response.headers.get("Retry-After"), "5")

    async def test_sessionsOfOneHost(self):
        """
        When there are C{max_sessions_per_host} of an address, no transport opens another one for it; others are served.
        """
        await self.serve(max_sessions_per_host=1, trusted_proxies=["127.0.0.1"])
        await self.open()
        other = [("X-Forwarded-For", "192.0.2.1")]
        self.assertEqual((await self.client.fetch("POST", "/0/t/xhr", other))[1], b"o\n")
        for headers in ((), other):
            answers = await self.assertRefused(429, "too many sessions of one host", headers=headers)
            self.assertEqual({response.headers.get("Retry-After") for response in answers.values()}, {"5"})

    async def test_sessionId(self):
        """
        No URL may have more than C{max_session_id_length} bytes in the server or the session part, nor a control
        character there.
        """
        await self.serve(max_session_id_length=32)
        urls = {name: (method, path) for name, (method, path) in EVERYWHERE.items() if "{}" in path}
        for part in ("/0/", f"/{'x' * 33}/"):
            longer = {
                name: (method, path.replace("/0/", part).replace("{}", "y" * (33 if part == "/0/" else 32)))
                for name, (method, path) in urls.items()
            }
            await self.assertRefused(404, "session id too long", longer)
        for method, path in urls.values():
            response, _ = await self.client.fetch(method, path.format("%0A"), upgradeHeaders(), b"")
            self.assertEqual(response.status, 404)

    async def test_origins(self):
        """
        A page whose origin is not allowed is refused on every URL, without a word of CORS, before anything else.
        """
        await self.serve(origins=["https://a.example"], transports=[*OPENING, "iframe"])
        urls = {
            **EVERYWHERE,
            "info": ("GET", "/info"),
            "info, asked before": ("OPTIONS", "/info"),
            "xhr, asked before": ("OPTIONS", "/0/s/xhr"),
            "xhr_streaming, asked before": ("OPTIONS", "/0/s/xhr_streaming"),
            "xhr_send, asked before": ("OPTIONS", "/0/s/xhr_send"),
        }
        answers = await self.assertRefused(403, "origin", urls, [("Origin", "https://b.example")])
        for name, response in answers.items():
            self.assertNotIn("Access-Control-Allow-Origin", response.headers, name)
            self.assertNotIn("Access-Control-Allow-Credentials", response.headers, name)
            self.assertEqual(response.headers.get("Vary"), "Origin", name)

    async def test_notAuthorized(self):
        """
        Whom C{authorize} refuses, at once or later, gets 403 on every transport.
        """
        for later in (False, True):

            def authorize(request, later=later):
                return deferLater(reactor, 0.01, bool) if later else False

            await self.serve(authorize=authorize)
            await self.assertRefused(403, "not authorized")

    async def test_authorizeFails(self):
        """
        When C{authorize} fails, the answer is 500 on every transport, and each failure is logged.
        """

        async def authorize(request):
            raise ZeroDivisionError

        await self.serve(authorize=authorize)
        await self.assertRefused(500, "failure of authorize")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), len(OPENING))

    async def test_authorizeIsLate(self):
        """
        When C{authorize} does not decide within C{authorize_timeout}, the answer is 503 on every transport.
        """
        cancelled = []
        await self.serve(authorize=lambda request: Deferred(cancelled.append), authorize_timeout=0.05)
        await self.assertRefused(503, "timeout of authorize")
        self.assertEqual(len(cancelled), len(OPENING))

    async def test_boundSessions(self):
        """
        With C{bind_sessions}, a session is found from the host that opened it, by whatever connection, and from no
        other.
        """
        await self.serve(TextEcho, bind_sessions=True, trusted_proxies=["127.0.0.1"])
        app = await self.open()
        missing = (404, b"There is no such session\n")
        for headers in ([("X-Forwarded-For", "192.0.2.1")], [("X-Forwarded-For", "2001:db8::1")]):
            self.assertEqual(await self.poll(headers), missing)
            self.assertEqual(await self.send("theirs", headers=headers), missing)
        self.assertEqual(self.stats.refused, {"foreign address": 4})
        self.assertEqual((await self.send("ours"))[0], 204)
        self.assertEqual(await self.poll(), (200, b'a["ours"]\n'))
        self.assertEqual(app.lost, [])

    async def test_draining(self):
        """
        While a service is drained no transport opens a session; those that do not come back are cut after
        C{drain_timeout}.
        """
        await self.serve(drain_timeout=2, disconnect_delay=30)
        app = await self.open()
        drained = self.site.drain()
        for response in (await self.assertRefused(503, "draining")).values():
            self.assertEqual(response.headers.get("Retry-After"), "5")
        self.assertFalse(drained.called)
        await drained
        self.assertEqual(len(app.lost), 1)
        self.assertEqual(self.stats.closed, {Cause.STOPPED: 1})


class OutboundTests(RealCase):
    """
    What may wait for a client.
    """

    async def assertOverfull(self, message, count):
        app = await self.open()
        for _ in range(count):
            app.transport.write(message)
        self.assertEqual(self.site.resource.gauges().queuedMessages, count)
        app.transport.write(message)
        await self.until(lambda: app.lost)
        self.assertEqual(app.lost[0].value.code, 1008)
        self.assertEqual(self.stats.closed, {Cause.OVERFLOW: 1})
        self.assertEqual(await self.poll(), (200, b'c[1008,"Too much is waiting for this client"]\n'))
        self.assertEqual((await self.send("late"))[0], 404)

    async def test_bytes(self):
        """
        A session for which more than C{max_queued_bytes} wait is over, and a client that comes back is told so.
        """
        await self.serve(max_queued_bytes=1000)
        await self.assertOverfull("x" * 98, 10)

    async def test_messages(self):
        """
        So is one for which more than C{max_queued_messages} wait.
        """
        await self.serve(max_queued_messages=10)
        await self.assertOverfull("x", 10)

    async def test_absent(self):
        """
        A session whose client does not come back within C{disconnect_delay} is over.
        """
        await self.serve(disconnect_delay=0.1)
        app = await self.open()
        await self.until(lambda: app.lost)
        self.assertEqual((app.lost[0].value.code, self.stats.closed), (1002, {Cause.ABSENT: 1}))

    async def test_closeTimeout(self):
        """
        A client that does not answer the close of its WebSocket is cut after C{close_timeout}.
        """
        await self.serve(close_timeout=0.1)
        for path, code in (("/websocket", 4000), ("/0/s/websocket", 1000)):
            socket = await self.client.websocket(path)
            self.apps.last.transport.close(4000, "enough")
            frames = []
            try:
                while True:
                    frames.append(await socket.frame())
            except Cut:
                pass
            self.assertEqual((frames[-1].opcode, frames[-1].closeCode), (CLOSE, code))
            self.assertFalse(socket.cleanly)


class InboundTests(RealCase):
    """
    What clients may send.
    """

    async def test_tooManyMessages(self):
        """
        More than C{max_queued_messages} in one piece close their session with 1009, and none of them is delivered.
        """
        await self.serve(max_queued_messages=3)
        for path, status in (("/0/s/xhr_send", 204), ("/0/t/jsonp_send", 200)):
            receiving = path.rpartition("/")[0] + "/xhr"
            app = await self.open(path=receiving)
            self.assertEqual((await self.send(*"abc", path=path))[0], status)
            self.assertEqual(await self.send(*"abcd", path=path), (413, b"There are more than 3 messages\n"))
            _, body = await self.client.fetch("POST", receiving)
            self.assertEqual(body, b'c[1009,"There are too many messages at once"]\n')
            await self.until(lambda app=app: app.lost)
            self.assertEqual(app.received, [b"a", b"b", b"c"])
        socket = await self.client.websocket("/0/s/websocket")
        self.assertEqual(await socket.message(), "o")
        socket.sendText('["a","b","c","d"]')
        self.assertEqual(await socket.message(), 'c[1009,"There are too many messages at once"]')
        self.assertEqual((await socket.ending()).closeCode, 1000)
        await self.until(lambda: self.apps.last.lost)
        self.assertEqual(self.stats.refused, {"too many messages": 3})
        self.assertEqual(self.stats.closed, {Cause.TOO_LARGE: 3})

    async def test_backlog(self):
        """
        While the application has paused its intake, sending requests wait for their answers; those that bring more than
        C{max_queued_bytes} are refused with 503. What was accepted is delivered in order.
        """
        await self.serve(max_queued_bytes=100)
        app = await self.open()
        app.transport.pauseProducing()
        session = self.site.resource._service.registry.find("s")
        wires = []
        for name, message in (("xhr_send", "1" * 40), ("jsonp_send", "2" * 40)):
            wires.append(await self.client.connect())
            wires[-1].send("POST", f"/0/s/{name}", body=json.dumps([message]).encode())
            size = (len(message) + len('[""]')) * len(wires)
            await self.until(lambda size=size: session.backlog == size)
        self.assertEqual(await self.send("3" * 40), (503, b"Too much is waiting for the application\n"))
        self.assertEqual((app.received, self.stats.refused), ([], {"backlog": 1}))
        app.transport.resumeProducing()
        self.assertEqual([(await wire.response()).status for wire in wires], [204, 200])
        self.assertEqual(app.received, [b"1" * 40, b"2" * 40])

    async def test_unreadWebSocket(self):
        """
        While the application has paused its intake, its WebSocket is not read, so that the client can't send for ever;
        then everything comes in order.
        """
        await self.serve()
        for path in ("/0/s/websocket", "/websocket"):
            socket = await self.client.websocket(path)
            app = self.apps.last
            app.transport.pauseProducing()
            sent = []
            while not socket.wire.transport.dataBuffer and not socket.wire.transport._tempDataBuffer:
                # Whatever the kernel takes, it is far less than this.
                self.assertLess(len(sent), 4000)
                sent.append(f"{len(sent):050000d}")
                socket.sendText(json.dumps([sent[-1]]) if path != "/websocket" else sent[-1])
                await deferLater(reactor, 0.001)
            self.assertEqual(app.received, [])
            app.transport.resumeProducing()
            await self.until(lambda app=app, sent=sent: len(app.received) == len(sent))
            self.assertEqual([data.decode() for data in app.received], sent)


class StalledTests(RealCase):
    """
    Clients that take nothing, on Unix sockets: there the kernel does not notice them by itself.
    """

    async def serve(self, **settings):
        self.apps = Apps()
        self.site = SockJSFactory(self.apps, **settings)
        self.stats = self.site.resource.stats
        # Such a path can't be long.
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        port = await UNIXServerEndpoint(reactor, f"{directory.name}/s").listen(self.site)
        self.client = HTTPClient(reactor, "http://localhost")
        self.client._endpoint = UNIXClientEndpoint(reactor, f"{directory.name}/s")
        self.addCleanup(port.stopListening)
        self.addCleanup(self.site.resource.stop)
        self.addCleanup(self.client.close)

    async def test_writeTimeout(self):
        """
        A client that takes nothing of what is sent to it for C{write_timeout} is cut, on a WebSocket and on a stream.
        """
        await self.serve(write_timeout=0.2, response_limit=10000000)
        for name, (method, path) in OPENING.items():
            if name.endswith("-polling"):
                continue
            path = path.format(name)
            if name.startswith("websocket"):
                wire = (await self.client.websocket(path)).wire
            else:
                wire = (await self.client.request(method, path, body=None if method == "GET" else b"")).wire
            app = self.apps.last
            wire.transport.pauseProducing()
            app.transport.write("x" * 900000)
            await self.until(lambda: self.site.resource.gauges().blocked == 1)
            await self.until(lambda app=app: app.lost)
            self.assertEqual(
                (app.lost[0].value.code, app.lost[0].value.reason), (1002, "The client does not read"), name
            )
        self.assertEqual(self.stats.closed, {Cause.STALLED: 5})
