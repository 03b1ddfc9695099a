# -*- test-case-name: tests.test_metrics_peers -*-
"""
Other processes that are asked for their metrics, over real sockets.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.certificates import makeCertificate
from tests.support import Apps
from txsockjs.factory import SockJSFactory
from txsockjs.metrics import StatusSite, Watched, peers
from txsockjs.metrics.peers import BadAnswer, Peer, fullName, peerAt, peerFromString


class NameTests(SynchronousTestCase):
    """
    L{peerFromString}.
    """

    def peer(self, text):
        return peerFromString(reactor, text)

    def refused(self, text):
        return str(self.assertRaises(ValueError, self.peer, text))

    def test_names(self):
        """
        A peer has the name that is given, or that of the place where it is.
        """
        for text, name in (
            ("p1=http://127.0.0.1:9100", "p1"),
            ("web-1.a_b=https://example.com/x/", "web-1.a_b"),
            ("http://127.0.0.1:9100/", "127.0.0.1:9100"),
            ("http://[::1]:9100", "[::1]:9100"),
            ("p1=unix:/run/p1.sock", "p1"),
            ("unix:/run/p1.sock", "unix:/run/p1.sock"),
            ("unix:path=/run/p1.sock", "unix:path=/run/p1.sock"),
            ("p1=tcp:127.0.0.1:9100", "p1"),
        ):
            self.assertEqual(self.peer(text).name, name)

    def test_refused(self):
        """
        What is neither a URL nor an endpoint is refused, and the text says what would be right.
        """
        for text in ("9100", "p1=9100", "p1=", ""):
            self.assertIn("neither a URL nor the description of an endpoint", self.refused(text))
        for text in (
            "http://",
            "http://:9100",
            "http://h:x",
            "http://[::1",
            "http://[x]:80",
            "http://h:99999",
            "p=http://u:p@h",
            "http://h/?q",
            "http://h/#f",
            "http://\u00e9",
        ):
            self.assertIn("is no URL of a metrics port, such as http://10.0.0.2:9100", self.refused(text))
        self.assertIn("'nonsense:x' describes no endpoint: ", self.refused("a=nonsense:x"))

    def test_noTLS(self):
        """
        Without what TLS takes, a URL that needs it is refused with what to install.
        """
        with mock.patch.dict(sys.modules, {"twisted.internet.ssl": None}):
            self.assertIn("TLS needs txsockjs[tls]", self.refused("https://example.com"))
            self.peer("http://example.com")

    def test_fullName(self):
        """
        Who has a name of its own has both, unless they are the same.
        """
        self.assertEqual(
            [fullName("a", own) for own in ("", "a", "b", "b/c")],
            ["a", "a", "a/b", "a/b/c"],
        )


class Silent(Protocol):
    """
    Answers what it is told to, and stays.
    """

    def connectionMade(self):
        self.factory.met.append(self)

    def dataReceived(self, data):
        self.transport.write(self.factory.answer)
        if self.factory.ends:
            self.transport.loseConnection()

    def connectionLost(self, reason=None):
        self.factory.lost.callback(None)


class AskingTests(TestCase):
    """
    L{Peer}, which asks real servers.
    """

    async def serve(self, factory, description="tcp:0:interface=127.0.0.1"):
        port = await serverFromString(reactor, description).listen(factory)
        self.addCleanup(port.stopListening)
        return port

    async def answering(self, answer, ends=True):
        """
        @return: a peer that gets these bytes for an answer.
        """
        factory = self.factory = Factory.forProtocol(Silent)
        factory.noisy = False
        factory.answer, factory.ends, factory.met, factory.lost = answer, ends, [], Deferred()
        port = await self.serve(factory)
        return peerFromString(reactor, f"p1=http://127.0.0.1:{port.getHost().port}")

    async def watching(self, name, description):
        """
        Serve the metrics of one process.
        """
        service = SockJSFactory(Apps(), reactor=Clock())
        site = StatusSite(Watched(service, name), reactor=reactor)
        port = await self.serve(site, description)
        # Connections that are still being closed are waited for.
        self.addCleanup(site.drain, 5)
        return port

    async def test_real(self):
        """
        The metrics and the facts of a process are read over TCP and from a unix socket.
        """
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "p.sock")
        port = (await self.watching("", "tcp:0:interface=127.0.0.1")).getHost().port
        await self.watching("inner", f"unix:{path}")
        for text, name in (
            (f"p1=http://127.0.0.1:{port}", "p1"),
            (f"p1=tcp:127.0.0.1:{port}", "p1"),
            (f"p1=unix:{path}", "p1/inner"),
            ("", "inner"),
        ):
            peer = peerFromString(reactor, text) if text else peerAt(reactor, "inner", lambda name: path)
            with capturedLogs() as events:
                self.assertIn(b"sockjs_up", await peer.ask("/metrics"))
                [row] = await peer.status()
            self.assertEqual(events, [])  # nor is there one for each question later on
            self.assertEqual((row["process"], row["state"], row["services"][0]["path"]), (name, "serving", "/"))
            self.assertEqual((peer.known, peer.why), ([name], ""))

    async def test_tls(self):
        """
        Over TLS, the certificate has to be good.
        """
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        root = ssl.Certificate.loadPEM(makeCertificate(directory))
        keys = f"privateKey={directory / 'k.pem'}:certKey={directory / 'c.pem'}"
        port = await self.watching("", f"ssl:0:interface=127.0.0.1:{keys}")
        where = f"https://localhost:{port.getHost().port}"
        [row] = await peerFromString(reactor, where).status()
        self.assertEqual((row["state"], row["why"]), ("gone", "the connection broke"))
        real = ssl.optionsForClientTLS
        self.patch(ssl, "optionsForClientTLS", lambda host: real(host, trustRoot=root))
        [row] = await peerFromString(reactor, where).status()
        self.assertEqual(row["state"], "serving")

    async def test_gone(self):
        """
        Where nobody listens, the processes that were known last are gone; and back when somebody listens again.
        """
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "p.sock")
        peer = peerFromString(reactor, f"p1=unix:{path}")
        gone = {"state": "gone", "why": "can't be reached"}
        self.assertEqual(await peer.status(), [{"process": "p1", **gone}])
        port = await self.watching("inner", f"unix:{path}")
        [row] = await peer.status()
        self.assertEqual(row["state"], "serving")
        await port.stopListening()
        self.assertEqual(await peer.status(), [{"process": "p1/inner", **gone}])

    async def test_deadline(self):
        """
        Who takes a request and does not answer has its time, and the connection is closed then.
        """
        self.patch(peers, "DEADLINE", 0.2)
        for begun in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"):
            peer = await self.answering(begun, ends=False)
            [row] = await peer.status()
            self.assertEqual(row, {"process": "p1", "state": "gone", "why": "no answer in 0.2 seconds"})
            await self.factory.lost

    async def test_tooLarge(self):
        """
        An answer has a bound, and no more is read.
        """
        self.patch(peers, "MOST_BYTES", 100)
        peer = await self.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 101, ends=False)
        await self.assertFailure(peer.ask("/metrics"), BadAnswer)
        self.assertEqual(peer.why, "answers with too much")
        await self.factory.lost

    async def test_status(self):
        """
        An answer that is an error is none.
        """
        peer = await self.answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
        self.assertEqual((await peer.status())[0]["why"], "answers 404")
        await self.factory.lost

    async def test_broken(self):
        """
        An answer that breaks off is none.
        """
        peer = await self.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}")
        self.assertEqual((await peer.status())[0]["why"], "the connection broke")
        await self.factory.lost

    async def test_nonsense(self):
        """
        What does not speak HTTP gives no answer.
        """
        peer = await self.answering(b"220 mail.example.com ESMTP\r\n")
        self.assertEqual((await peer.status())[0]["why"], "the connection broke")
        await self.factory.lost

    async def test_shared(self):
        """
        Those who ask for the same at the same time share one question, and each can do with the answer what it likes.
        """
        row = {"process": "", "state": "serving", "lag": {"last": 0.0, "most": 0.0}}
        body = json.dumps({"processes": [row]}).encode("ascii")
        peer = await self.answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        first, second = await gatherResults([peer.status(), peer.status()])
        self.assertEqual(first, second)
        self.assertIsNot(first[0], second[0])
        self.assertEqual(len(self.factory.met), 1)
        await self.factory.lost
        self.assertIsInstance(peer, Peer)
