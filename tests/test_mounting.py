# -*- test-case-name: tests.test_mounting -*-
"""
A service in all the places where a resource can hang: below prefixes, behind logins, TLS, proxies and HTTP/2, beside
other resources.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from unittest import skipIf

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor, threads
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.trial.unittest import TestCase
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.http import HTTPFactory
from twisted.web.resource import EncodingResourceWrapper, IResource, Resource
from twisted.web.server import GzipEncoderFactory, Request, Site
from twisted.web.static import Data
from twisted.web.vhost import NameVirtualHost, VHostMonsterResource
from twisted.web.wsgi import WSGIResource
from zope.interface import implementer

from tests.certificates import makeCertificate
from tests.http2 import HTTP2Client, h2
from tests.support import UPGRADE, Apps, SiteCase, TextEcho
from tests.wire import HTTPClient, closePayload, encodeFrame
from txsockjs.errors import SessionLost
from txsockjs.resource import SockJSResource

try:
    from twisted.internet.ssl import Certificate, optionsForClientTLS
except ImportError:
    Certificate = None


class PrefixTests(SiteCase):
    """
    Below prefixes.
    """

    def test_nested(self):
        """
        A service works below any prefix, and knows its own path.
        """
        self.serve(Apps(TextEcho))
        resource = self.resource
        for segment in (b"c d", b"\xc3\xa9", b"", b"a"):
            parent = Resource()
            parent.putChild(segment, resource)
            resource = parent
        self.serveTree(resource)
        base = "/a//%C3%A9/c%20d"
        self.assertEqual(self.answerTo("GET", base).body, b"Welcome to SockJS!\n")
        self.assertEqual(self.answerTo("POST", base + "/0/s/xhr").body, b"o\n")
        self.assertEqual(self.post(base + "/0/s/xhr_send", "x").code, 204)
        self.assertEqual(self.answerTo("POST", base + "/0/s/xhr").body, b'a["x"]\n')
        self.assertEqual(self.apps.last.transport.requestFacts.path, "/a//\u00e9/c d")
        for path in ("/0/s/websocket", "/websocket"):
            self.assertEqual(self.connect().upgrade(base + path)().code, 101)
            self.assertEqual(self.apps.last.transport.requestFacts.path, "/a//\u00e9/c d")

    def test_sameResourceTwice(self):
        """
        A resource that hangs in two places is one service with two URLs.
        """
        self.serve()
        root = Resource()
        root.putChild(b"a", self.resource)
        root.putChild(b"b", self.resource)
        self.serveTree(root)
        self.answerTo("POST", "/a/0/s/xhr")
        self.assertEqual(self.post("/b/0/s/xhr_send", "x").code, 204)

    def test_virtualHosts(self):
        """
        A service may be one of several virtual hosts, or behind C{VHostMonsterResource}.
        """
        self.serve()
        hosts = NameVirtualHost()
        hosts.addHost(b"localhost", self.resource)
        self.serveTree(hosts)
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b"o\n")
        root = Resource()
        root.putChild(b"vhost", VHostMonsterResource())
        root.putChild(b"echo", self.resource)
        self.serveTree(root)
        self.assertEqual(self.answerTo("POST", "/vhost/http/example.com:80/echo/0/t/xhr").body, b"o\n")
        self.assertEqual(self.connect().upgrade("/vhost/http/example.com:80/echo/0/t/websocket")().code, 101)
        self.assertEqual(self.apps.last.transport.requestFacts.path, "/echo")

    def test_requestFactory(self):
        """
        A site may have requests of its own.
        """

        class OwnRequest(Request):
            pass

        self.serve()
        self.site = Site(self.resource, requestFactory=OwnRequest, reactor=self.clock)
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b"o\n")
        self.assertEqual(self.connect().upgrade("/websocket")().code, 101)

    def test_httpFactoryTimeout(self):
        """
        The idle timeout of a site does not end a response or a WebSocket.
        """
        self.serve(heartbeat_delay=0, ping_interval=0)
        self.site = Site(self.resource, timeout=10, reactor=self.clock)
        self.assertIsInstance(self.site, HTTPFactory)
        stream, socket, idle = self.ask("POST", "/0/s/xhr_streaming"), self.connect(), self.connect()
        socket.upgrade("/0/t/websocket")
        self.clock.pump([5] * 10)
        self.assertFalse(stream().ended)
        self.assertFalse(socket.transport.disconnecting)
        self.assertTrue(idle.transport.disconnecting)


@implementer(IRealm)
class Realm:
    """
    Everybody gets the same resource.
    """

    def __init__(self, resource):
        self._resource = resource

    def requestAvatar(self, avatarId, mind, *interfaces):
        return IResource, self._resource, lambda: None


class SlowChecker(InMemoryUsernamePasswordDatabaseDontUse):
    """
    Takes its time.
    """

    def __init__(self, clock, **users):
        super().__init__(**users)
        self._clock = clock

    def requestAvatarId(self, credentials):
        waiting = Deferred()
        self._clock.callLater(1, waiting.callback, None)
        return waiting.addCallback(lambda _: super(SlowChecker, self).requestAvatarId(credentials))


class GuardTests(SiteCase):
    """
    Behind C{twisted.web.guard}.
    """

    LOGIN = {"Authorization": "Basic " + base64.b64encode(b"user:secret").decode("ascii")}

    def guard(self, checker):
        self.serve(Apps(TextEcho))
        root = Resource()
        portal = Portal(Realm(self.resource), [checker])
        root.putChild(b"echo", HTTPAuthSessionWrapper(portal, [BasicCredentialFactory(b"here")]))
        self.serveTree(root)

    def test_guarded(self):
        """
        Who has logged in gets through by every transport, and nobody else.
        """
        self.guard(InMemoryUsernamePasswordDatabaseDontUse(user=b"secret"))
        self.assertEqual(self.answerTo("POST", "/echo/0/s/xhr").code, 401)
        self.assertEqual(self.answerTo("GET", "/echo/0/s/websocket", UPGRADE).code, 401)
        wrong = {"Authorization": "Basic " + base64.b64encode(b"user:wrong").decode("ascii")}
        self.assertEqual(self.answerTo("POST", "/echo/0/s/xhr", wrong).code, 401)
        self.assertEqual(self.apps.built, [])
        self.assertEqual(self.answerTo("GET", "/echo", self.LOGIN).body, b"Welcome to SockJS!\n")
        self.assertEqual(self.answerTo("POST", "/echo/0/s/xhr", self.LOGIN).body, b"o\n")
        self.assertEqual(self.answerTo("POST", "/echo/0/s/xhr_send", self.LOGIN, b'["x"]').code, 204)
        self.assertEqual(self.answerTo("POST", "/echo/0/s/xhr", self.LOGIN).body, b'a["x"]\n')
        self.assertEqual(self.apps.last.transport.requestFacts.path, "/echo")
        socket = self.connect()
        self.assertEqual(socket.upgrade("/echo/0/s/websocket", self.LOGIN)().code, 101)
        socket.sendText('"x"')
        self.assertEqual(socket.texts(), ["o", 'a["x"]'])

    def test_slowLogin(self):
        """
        So it is when the login takes its time.
        """
        self.guard(SlowChecker(self.clock, user=b"secret"))
        answer = self.ask("POST", "/echo/0/s/xhr", self.LOGIN)
        socket = self.connect()
        socket.upgrade("/echo/0/s/websocket", self.LOGIN)
        self.assertEqual(self.apps.built, [])
        self.clock.advance(1)
        self.assertEqual(answer().body, b"o\n")
        socket.sendText('"x"')
        self.assertEqual(socket.texts(), ["o", 'a["x"]'])

    def test_goneDuringSlowLogin(self):
        """
        Who leaves before the login is done leaves nothing behind.
        """
        self.guard(SlowChecker(self.clock, user=b"secret"))
        for method, path in (("POST", "xhr_streaming"), ("GET", "websocket"), ("GET", "eventsource")):
            connection = self.connect()
            connection.ask(method, f"/echo/0/s/{path}", {**UPGRADE, **self.LOGIN})
            connection.lose()
        self.clock.advance(1)
        self.assertEqual(self.apps.built, [])


class HAProxyTests(SiteCase):
    """
    Behind the PROXY protocol.
    """

    def test_wrapped(self):
        """
        Every transport works, and the application sees the address of the client.
        """
        self.serve(Apps(TextEcho))
        self.site = HAProxyWrappingFactory(self.site)
        client = IPv4Address("TCP", "192.0.2.7", 1234)
        for method, path in (("POST", "/0/s/xhr"), ("GET", "/0/t/eventsource"), ("GET", "/0/u/websocket")):
            connection = self.connect()
            connection.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 80\r\n")
            self.assertIn(connection.ask(method, path, UPGRADE if "websocket" in path else {})().code, (200, 101))
            transport = self.apps.last.transport
            self.assertEqual(transport.getPeer(), client)
            self.assertEqual(transport.getHost(), IPv4Address("TCP", "198.51.100.1", 80))
        connection.sendText('"x"')
        self.assertEqual(connection.texts(), ["o", 'a["x"]'])
        transport.loseConnection()
        self.clock.advance(0)
        connection.sendFrame(8, closePayload(1000))
        self.assertTrue(connection.transport.gone)


class GzipTests(SiteCase):
    """
    Inside an C{EncodingResourceWrapper}.
    """

    def test_wrapped(self):
        """
        What may be compressed is whole.
        """
        self.serve()
        root = Resource()
        root.putChild(b"echo", EncodingResourceWrapper(self.resource, [GzipEncoderFactory()]))
        self.serveTree(root)
        answer = self.answerTo("GET", "/echo", {"Accept-Encoding": "gzip"})
        self.assertEqual(zlib.decompress(answer.body, 31), b"Welcome to SockJS!\n")

    def test_streaming(self):
        """
        Frames are not held back for the sake of compression.
        """
        self.serve()
        root = Resource()
        root.putChild(b"echo", EncodingResourceWrapper(self.resource, [GzipEncoderFactory()]))
        self.serveTree(root)
        answer = self.ask("GET", "/echo/0/s/eventsource", {"Accept-Encoding": "gzip"})
        self.apps.last.transport.write("x")
        self.clock.advance(0)
        self.assertEqual(answer().chunks, [b"\r\n", b"data: o\r\n\r\n", b'data: a["x"]\r\n\r\n'])
        self.assertEqual(self.connect().upgrade("/echo/0/s/websocket", {"Accept-Encoding": "gzip"})().code, 101)


@skipIf(h2 is None, "h2 is not there")
class HTTP2Tests(SiteCase):
    """
    Over HTTP/2.
    """

    def setUp(self):
        super().setUp()
        self.serve()
        # Twisted's HTTP/2 knows no other clock than that of the module.
        from twisted.web import _http2

        original = _http2.H2Connection.__init__
        self.patch(_http2.H2Connection, "__init__", lambda it, reactor=None: original(it, self.clock))
        self.connection = self.connect()
        self.client = HTTP2Client(self.connection, self.clock)

    def start(self, method, path):
        more = [("sec-websocket-version", "13"), ("sec-websocket-key", UPGRADE["Sec-WebSocket-Key"])]
        return self.client.ask(method, path, more if "websocket" in path else [])

    def test_websocket(self):
        """
        A WebSocket gets an ordinary answer, so that the client falls back, and the connection goes on.
        """
        for path in ("/0/s/websocket", "/websocket"):
            stream = self.start("GET", path)
            self.assertEqual(self.client.codes(stream), [400])
            self.assertEqual(len(self.client.of(stream, "StreamEnded")), 1)
        self.assertEqual(self.client.codes(self.start("GET", "/info")), [200])
        self.assertEqual(self.apps.built, [])

    def test_transports(self):
        """
        Polling and streaming work side by side on one connection.
        """
        polled, streamed = self.start("POST", "/0/s/xhr"), self.start("POST", "/0/t/xhr_streaming")
        self.assertEqual(b"".join(self.client.chunks(polled)), b"o\n")
        self.assertEqual(len(self.client.of(polled, "StreamEnded")), 1)
        self.apps.last.transport.write("x")
        self.clock.advance(0)
        self.client.talk()
        self.assertEqual(b"".join(self.client.chunks(streamed)), b"h" * 2048 + b'\no\na["x"]\n')
        self.assertEqual(self.client.of(streamed, "StreamEnded"), [])

    def test_reset(self):
        """
        A client that resets a stream has lost its session, and only that one.
        """
        first, _ = self.start("POST", "/0/s/xhr_streaming"), self.start("POST", "/0/t/xhr_streaming")
        self.client.http2.reset_stream(first)
        self.client.talk()
        self.clock.advance(0)
        self.assertEqual([reason.type for reason in self.apps.built[0].lost], [SessionLost])
        self.assertEqual(self.apps.built[1].lost, [])

    def test_abort(self):
        """
        An application that aborts resets its own stream, and only that one.
        """
        first, second = self.start("POST", "/0/s/xhr_streaming"), self.start("POST", "/0/t/xhr_streaming")
        self.apps.built[0].transport.abortConnection()
        self.clock.advance(0)
        self.client.talk()
        self.assertEqual(len(self.client.of(first, "StreamReset")), 1)
        self.assertEqual(self.client.of(second, "StreamReset"), [])
        self.assertEqual([len(app.lost) for app in self.apps.built], [1, 0])
        self.assertFalse(self.connection.transport.disconnecting)

    def test_closed(self):
        """
        A close ends the stream behind the close frame.
        """
        stream = self.start("GET", "/0/s/eventsource")
        self.apps.last.transport.loseConnection()
        self.clock.advance(0)
        self.client.talk()
        self.assertEqual(self.client.chunks(stream)[-1], b'data: c[3000,"Go away!"]\r\n\r\n')
        self.assertEqual(len(self.client.of(stream, "StreamEnded")), 1)


class EndpointClient(HTTPClient):
    """
    A client that reaches its server by any endpoint.
    """

    def __init__(self, reactor, endpoint):
        super().__init__(reactor, "http://localhost")
        self._endpoint = endpoint


class SocketTests(TestCase):
    """
    Over real sockets.
    """

    def setUp(self):
        self.apps = Apps(TextEcho)
        self.resource = SockJSResource(self.apps, max_message_size=1048576)
        self.clients = []

    async def tearDown(self):
        for client in self.clients:
            await client.close()
        self.resource.stop()

    async def listen(self, description, root=None):
        port = await serverFromString(reactor, description).listen(Site(root or self.resource))
        self.addCleanup(port.stopListening)
        return port

    def client(self, client):
        self.clients.append(client)
        return client

    async def useAll(self, client):
        """
        Echo by polling, streaming and both WebSockets.
        """
        _, body = await client.fetch("POST", "/0/s/xhr")
        self.assertEqual(body, b"o\n")
        response, _ = await client.fetch("POST", "/0/s/xhr_send", body=b'["x"]')
        self.assertEqual(response.status, 204)
        _, body = await client.fetch("POST", "/0/s/xhr")
        self.assertEqual(body, b'a["x"]\n')
        response = await client.request("GET", "/0/t/eventsource")
        self.assertEqual([await response.chunk(), await response.chunk()], [b"\r\n", b"data: o\r\n\r\n"])
        for path, opening, message, echo in (("/0/u/websocket", "o", '"y"', 'a["y"]'), ("/websocket", None, "y", "y")):
            socket = await client.websocket(path)
            if opening is not None:
                self.assertEqual(await socket.message(), opening)
            socket.sendText(message)
            self.assertEqual(await socket.message(), echo)
            big = json.dumps(["z" * 1000000])
            socket.sendText(big)
            self.assertIn("z" * 1000000, await socket.message())
            self.apps.last.transport.close(3001, "bye")
            if opening is not None:
                self.assertEqual(await socket.message(), 'c[3001,"bye"]')
            closed = await socket.ending()
            self.assertEqual(closed.payload, closePayload(1000) if opening else closePayload(3001, "bye"))
            self.assertTrue(socket.cleanly)

    async def test_tcp(self):
        """
        Everything works over TCP.
        """
        port = await self.listen("tcp:0:interface=127.0.0.1")
        await self.useAll(self.client(HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")))

    async def test_unix(self):
        """
        Everything works over a UNIX socket.
        """
        directory = tempfile.mkdtemp()  # not mktemp(): the path of a Unix socket has room for about a hundred bytes
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "socket")
        await self.listen(f"unix:{path}")
        await self.useAll(self.client(EndpointClient(reactor, UNIXClientEndpoint(reactor, path))))

    async def test_addresses(self):
        """
        The application sees both addresses of a connection over IPv6 or a UNIX socket as it does over IPv4.
        """
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "socket")
        await self.listen(f"unix:{path}")
        clients = [(UNIXClientEndpoint(reactor, path), UNIXAddress)]
        port = await self.listen("tcp:0:interface=127.0.0.1")
        clients.append((TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), IPv4Address))
        try:
            port = await self.listen("tcp6:0:interface=\\:\\:1")
        except CannotListenError:
            pass  # this machine has no IPv6
        else:
            clients.append((TCP6ClientEndpoint(reactor, "::1", port.getHost().port), IPv6Address))
        for number, (endpoint, kind) in enumerate(clients):
            client = self.client(EndpointClient(reactor, endpoint))
            streaming = await client.request("GET", f"/0/{number}/eventsource")
            await streaming.chunk()
            await client.websocket("/websocket")
            for app in self.apps.built[-2:]:
                peer, host = app.transport.getPeer(), app.transport.getHost()
                self.assertIsInstance(peer, kind)
                self.assertIsInstance(host, kind)
                if kind is UNIXAddress:
                    self.assertEqual(os.fsdecode(host.name), path)
                else:
                    self.assertEqual([host.host, peer.host], ["::1" if kind is IPv6Address else "127.0.0.1"] * 2)
                    self.assertNotEqual(host.port, peer.port)
        self.assertEqual(self.apps.addresses, [app.transport.getPeer() for app in self.apps.built])

    async def test_lastWords(self):
        """
        What is written before a close is delivered before the close frame, on a response that waits and on the ones
        after it.
        """
        port = await self.listen("tcp:0:interface=127.0.0.1")
        client = self.client(HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}"))
        close = 'c[3001,"bye"]'
        for method, path, streams, dress in (
            ("POST", "/0/a/xhr", False, "{}\n".format),
            ("GET", "/0/b/jsonp?c=f", False, lambda frame: f"/**/f({json.dumps(frame)});\r\n"),
            ("POST", "/0/c/xhr_streaming", True, "{}\n".format),
            ("GET", "/0/d/eventsource", True, "data: {}\r\n\r\n".format),
            ("GET", "/0/e/htmlfile?c=f", True, lambda frame: f"<script>\np({json.dumps(frame)});\n</script>\r\n"),
        ):
            wires = [await client.connect() for _ in range(2)]
            response = await wires[0].request(method, path, body=b"" if method == "POST" else None)
            if streams:
                await response.chunk()
            self.assertEqual(await response.chunk(), dress("o").encode("ascii"))
            if not streams:
                self.assertIsNone(await response.chunk())
                wires[0].send(method, path, body=b"" if method == "POST" else None)
                # When this is answered the poll most likely waits; one that comes late is answered just so.
                await client.fetch("GET", "/")
            for word in ("last", "words"):
                self.apps.last.transport.write(word)
            self.apps.last.transport.close(3001, "bye")
            if not streams:
                response = await wires[0].response()
            self.assertEqual(await response.chunk(), dress('a["last","words"]').encode("ascii"))
            if streams:
                self.assertEqual(await response.chunk(), dress(close).encode("ascii"))
            self.assertIsNone(await response.chunk())
            response = await wires[1].request(method, path, body=b"" if method == "POST" else None)
            if streams:
                await response.chunk()
            self.assertEqual(await response.chunk(), dress(close).encode("ascii"))
            self.assertIsNone(await response.chunk())

    @skipIf(Certificate is None, "pyOpenSSL is not there")
    async def test_tls(self):
        """
        Everything works over HTTPS, and WebSockets are closed in the orderly way there, too.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        trust = Certificate.loadPEM(makeCertificate(directory))
        keys = f"privateKey={directory}/k.pem:certKey={directory}/c.pem"
        port = await self.listen(f"ssl:0:interface=127.0.0.1:{keys}")
        plain = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        options = optionsForClientTLS("localhost", trustRoot=trust)
        await self.useAll(self.client(EndpointClient(reactor, wrapClientTLS(options, plain))))

    async def test_besideWSGI(self):
        """
        A service lives beside a WSGI application.
        """

        def application(environ, startResponse):
            startResponse("200 OK", [("Content-Type", "text/plain")])
            return [b"wsgi " + environ["PATH_INFO"].encode("ascii")]

        class Root(Resource):
            def getChild(self, name, request):
                request.postpath.insert(0, request.prepath.pop())
                return wsgi

        wsgi = WSGIResource(reactor, reactor.getThreadPool(), application)
        root = Root()
        root.putChild(b"echo", self.resource)
        root.putChild(b"data", Data(b"data", "text/plain"))
        port = await self.listen("tcp:0:interface=127.0.0.1", root)
        base = f"http://127.0.0.1:{port.getHost().port}"
        client = self.client(HTTPClient(reactor, base))
        self.assertEqual((await client.fetch("GET", "/page"))[1], b"wsgi /page")
        await self.useAll(self.client(HTTPClient(reactor, base + "/echo")))
        self.assertEqual((await client.fetch("GET", "/page/2"))[1], b"wsgi /page/2")
        await threads.deferToThread(lambda: None)

    async def test_haproxyEndpoint(self):
        """
        The endpoint C{haproxy:} works.
        """
        port = await self.listen("haproxy:tcp:port=0:interface=127.0.0.1")
        client = self.client(HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}"))
        wire = await client.connect()
        wire.write(b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 80\r\n")
        response = await wire.request("POST", "/0/s/xhr_streaming")
        self.assertEqual(await response.chunk(), b"h" * 2048 + b"\n")
        self.assertEqual(await response.chunk(), b"o\n")
        self.assertEqual(self.apps.last.transport.getPeer().host, "192.0.2.7")

    async def test_slowReader(self):
        """
        A client that does not read pauses the application's producer, and gets everything in the end.
        """
        port = await self.listen("tcp:0:interface=127.0.0.1")
        client = self.client(HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}"))
        socket = await client.websocket("/websocket")
        socket.wire.transport.pauseProducing()
        producer = Numbers(self.apps.last.transport)
        await producer.paused
        sent = producer.next
        self.assertGreater(sent, 0)
        socket.wire.transport.resumeProducing()
        producer.last = sent + 5
        for number in range(producer.last):
            self.assertEqual(await socket.message(), f"{number:010000d}")

    async def test_neverReads(self):
        """
        A client that never reads loses its session on every transport, and another one is served meanwhile.
        """
        port = await self.listen("tcp:0:interface=127.0.0.1")
        client = self.client(HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}"))
        for name, method in (
            ("websocket", None),
            ("0/s/websocket", None),
            ("0/t/xhr_streaming", "POST"),
            ("0/u/eventsource", "GET"),
            ("0/v/htmlfile?c=c", "GET"),
        ):
            if method is None:
                wire = (await client.websocket("/" + name)).wire
            else:
                wire = await client.connect()
                await (await wire.request(method, "/" + name)).chunk()
            app = self.apps.last
            wire.transport.pauseProducing()
            written = 0
            while not app.lost:
                app.transport.write("x" * 50000)
                written += 50000
                # Whatever the kernel takes, it is far less than this.
                self.assertLess(written, 200_000_000)
                await deferLater(reactor, 0)
            self.assertEqual(app.lost[0].value.code, 1008, name)
            other = await client.websocket("/0/s/websocket")
            self.assertEqual(await other.message(), "o")
            other.wire.transport.abortConnection()

    async def test_manyAtOnce(self):
        """
        Twenty clients at once are served.
        """
        port = await self.listen("tcp:0:interface=127.0.0.1")
        client = self.client(HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}"))

        async def one(number):
            socket = await client.websocket("/0/s/websocket")
            socket.wire.write(encodeFrame(1, b'["%d"]' % number))
            return [await socket.message(), await socket.message()]

        answers = await gatherResults([Deferred.fromCoroutine(one(number)) for number in range(20)])
        self.assertEqual(answers, [["o", f'a["{number}"]'] for number in range(20)])


class Numbers:
    """
    A push producer of large numbered messages.
    """

    def __init__(self, transport):
        self.next = 0
        self.last = None
        self.paused = Deferred()
        self._running = False
        self._transport = transport
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self):
        if not self._running:
            self._running = True
            reactor.callLater(0, self._produce)

    def _produce(self):
        if self.last is not None and self.next >= self.last:
            self._running = False
            self._transport.unregisterProducer()
        elif self._running:
            self.next += 1
            self._transport.write(f"{self.next - 1:010000d}")
            reactor.callLater(0, self._produce)

    def pauseProducing(self):
        self._running = False
        if not self.paused.called:
            self.paused.callback(None)

    def stopProducing(self):
        self._running = False
