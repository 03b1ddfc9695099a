# -*- test-case-name: tests.test_health -*-
"""
C{/health}, for balancers.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.web.resource import Resource

from tests.support import Apps, SiteCase
from txsockjs.factory import SockJSFactory, SockJSMultiFactory, mount
from txsockjs.health import HealthResource
from txsockjs.resource import SockJSResource


class HealthTests(SiteCase):
    """
    L{HealthResource}.
    """

    def hang(self, *places):
        """
        Serve it alone.
        """
        root = Resource()
        root.putChild(b"health", HealthResource(*places))
        self.serveTree(root)

    def service(self):
        """
        @return: a service with one session that has no end of its own.
        """
        resource = SockJSResource(Apps(), reactor=self.clock, disconnect_delay=100, heartbeat_delay=0)
        self.resources.append(resource)
        return resource

    def health(self, path="/health"):
        answer = self.answerTo("GET", path)
        return answer.code, answer.body

    def test_serving(self):
        """
        While the service takes sessions it says so, in plain text that nobody may keep or take for a page.
        """
        self.hang(self.service())
        answer = self.answerTo("GET", "/health")
        self.assertEqual((answer.code, answer.body), (200, b"ok\n"))
        self.assertEqual(answer.header("content-type"), "text/plain; charset=UTF-8")
        self.assertIn("no-store", answer.header("cache-control"))
        self.assertEqual(answer.header("x-content-type-options"), "nosniff")

    def test_head(self):
        """
        C{HEAD} gets the same without a body, in both states.
        """
        service = self.service()
        self.hang(service)
        for code, size in ((200, "3"), (503, "9")):
            answer = self.answerTo("HEAD", "/health")
            self.assertEqual((answer.code, answer.body, answer.header("content-length")), (code, b"", size))
            self.assertIn("no-store", answer.header("cache-control"))
            service.drain()

    def test_otherMethods(self):
        """
        Any other method is refused, with those that there are.
        """
        self.hang(self.service())
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = self.answerTo(method, "/health")
            self.assertEqual((answer.code, answer.header("allow")), (405, "GET, HEAD"))

    def test_severalServices(self):
        """
        As soon as one of the services drains, no clients are wanted; until all take sessions again.
        """
        first, second = self.service(), self.service()
        self.hang(first, second)
        self.assertEqual(self.health(), (200, b"ok\n"))
        second.drain()
        self.assertEqual(self.health(), (503, b"draining\n"))
        second.start()
        self.assertEqual(self.health(), (200, b"ok\n"))

    def test_nothing(self):
        """
        With nothing to look at it says that the process answers.
        """
        self.hang()
        self.assertEqual(self.health(), (200, b"ok\n"))


class SiteTests(SiteCase):
    """
    The drain of a site, as C{/health} shows it.
    """

    def check(self, site, open):
        """
        C{/health} changes in the very call of C{drain}, and does not change back when all sessions are gone.
        """
        site.resource = mount(site.resource, "/health", HealthResource(site))
        self.site = site
        connection = self.connect()
        self.assertEqual(self.answerTo("POST", open).body, b"o\n")
        self.assertEqual(connection.ask("GET", "/health")().code, 200)
        ended = []
        site.drain().addCallback(ended.append)
        self.assertTrue(site.isDraining)
        answer = connection.ask("GET", "/health")()
        self.assertEqual((answer.code, answer.body), (503, b"draining\n"))
        self.assertEqual(ended, [])
        self.assertEqual(self.answerTo("POST", open).body, b'c[3000,"Go away!"]\n')
        for each in self.connections:
            each.lose()
        self.clock.advance(0)
        self.assertEqual(ended, [None])
        self.assertTrue(site.isDraining)

    def test_one(self):
        """
        A site of one service tells at once that it drains.
        """
        site = SockJSFactory(Apps(), reactor=self.clock, disconnect_delay=100, heartbeat_delay=0)
        self.resources.append(site.resource)
        self.assertFalse(site.isDraining)
        self.check(site, "/0/s/xhr")

    def test_several(self):
        """
        A site of several services tells at once that it drains.
        """
        site = SockJSMultiFactory(reactor=self.clock)
        for name in ("a", "b"):
            self.resources.append(site.addFactory(Apps(), name, disconnect_delay=100, heartbeat_delay=0))
        self.check(site, "/b/0/s/xhr")

    def test_empty(self):
        """
        A site without any service drains as well, as long as that takes.
        """
        site = SockJSMultiFactory(reactor=self.clock)
        slow = Resource()
        self.assertFalse(site.isDraining)
        self.site = site
        self.connect()
        site.resource = slow
        ended = []
        site.drain(5).addCallback(ended.append)
        states = [site.isDraining]
        for each in self.connections:
            each.lose()
        self.clock.advance(10)
        self.assertEqual((states, ended), ([True], [None]))

    def test_startedAgain(self):
        """
        A site that listens again after a drain is well.
        """
        site = SockJSFactory(Factory.forProtocol(object), reactor=self.clock)
        self.resources.append(site.resource)
        site.doStart()
        self.assertIsInstance(site.drain(), Deferred)
        site.doStop()
        self.assertTrue(site.isDraining)
        site.doStart()
        self.assertFalse(site.isDraining)
        site.doStop()
