# -*- test-case-name: tests.test_factory -*-
"""
Ready sites: C{SockJSFactory}, C{SockJSMultiFactory} and C{mount}.
"""

from __future__ import annotations

import json

from twisted.internet.address import IPv4Address
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from tests.support import Apps, SiteCase, TextEcho
from txsockjs import factory as factoryModule
from txsockjs.factory import SockJSFactory, SockJSMultiFactory, mount
from txsockjs.options import Options
from txsockjs.resource import SockJSResource


class LivingApps(Apps):
    """
    Writes down when it is started and stopped.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.life = []

    def startFactory(self):
        self.life.append("start")

    def stopFactory(self):
        self.life.append("stop")


class SockJSFactoryTests(SiteCase):
    """
    A site that is one service.
    """

    def make(self, *args, **settings):
        self.site = SockJSFactory(*args, reactor=self.clock, **settings)
        self.resources.append(self.site.resource)

    def test_site(self):
        """
        It is a C{Site} with the service at C{/}.
        """
        apps = Apps(TextEcho)
        self.make(apps, response_limit=4096)
        self.assertIsInstance(self.site, Site)
        self.assertEqual(self.answerTo("GET", "/").body, b"Welcome to SockJS!\n")
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b"o\n")
        self.post("/0/s/xhr_send", "x")
        self.assertEqual(self.answerTo("POST", "/0/s/xhr").body, b'a["x"]\n')
        self.assertEqual(apps.addresses, [IPv4Address("TCP", "127.0.0.1", 50000)])

    def test_life(self):
        """
        The wrapped factory starts and stops with it, and then every session is over and no delayed call is left.
        """
        apps = LivingApps()
        self.make(apps)
        self.site.doStart()
        self.site.doStart()
        self.assertEqual(apps.life, ["start"])
        stream = self.ask("POST", "/0/s/xhr_streaming")
        self.answerTo("POST", "/0/t/xhr")
        self.site.doStop()
        self.assertFalse(stream().ended)
        self.assertEqual(apps.life, ["start"])
        self.site.doStop()
        self.assertEqual(apps.life, ["start", "stop"])
        self.assertEqual(stream().chunks[-1], b'c[3000,"Go away!"]\n')
        self.assertEqual([len(app.lost) for app in apps.built], [1, 1])
        for connection in self.connections:
            connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lostBeforeStopped(self):
        """
        The protocols see their connections lost before their factory is stopped.
        """
        order = []

        class Apps2(LivingApps):
            def stopFactory(self):
                order.extend(len(app.lost) for app in self.built)

        apps = Apps2()
        self.make(apps)
        self.site.doStart()
        self.answerTo("POST", "/0/t/xhr")
        self.site.doStop()
        self.assertEqual(order, [1])

    def test_refused(self):
        """
        An application that refuses refuses on every transport.
        """
        apps = Apps()
        apps.refuse = True
        self.make(apps)
        close = 'c[3000,"Go away!"]'
        quoted = close.replace('"', '\\"')
        for method, path, last in (
            ("POST", "/0/a/xhr", close + "\n"),
            ("POST", "/0/b/xhr_streaming", close + "\n"),
            ("GET", "/0/c/eventsource", f"data: {close}\r\n\r\n"),
            ("GET", "/0/d/htmlfile?c=c", f'<script>\np("{quoted}");\n</script>\r\n'),
            ("GET", "/0/e/jsonp?c=c", f'/**/c("{quoted}");\r\n'),
        ):
            for _ in range(2):
                answer = self.answerTo(method, path)
                self.assertEqual(answer.chunks[-1], last.encode("ascii"))
                self.assertNotIn(b"o\n", answer.chunks)
        for path in ("/0/f/websocket", "/websocket"):
            connection = self.connect()
            connection.upgrade(path)
            self.clock.advance(0)
            self.assertEqual(connection.closed().code, 3000 if path == "/websocket" else 1000)
            self.assertEqual(connection.texts(), [] if path == "/websocket" else [close])

    def test_optionsOfVersion1(self):
        """
        The option dict of txsockjs 1.x works, with a warning for what has a better name now.
        """
        options = {
            "websocket": False,
            "cookie_needed": True,
            "heartbeat": 20,
            "timeout": 4,
            "streaming_limit": 5000,
            "encoding": "latin-1",
            "sockjs_url": "https://example.com/sockjs.js",
            "proxy_header": "X-Real-IP",
        }
        self.make(Apps(), options)
        warned = self.flushWarnings()
        self.assertEqual({warning["category"] for warning in warned}, {DeprecationWarning})
        self.assertEqual(len(warned), 4)
        made = self.site.resource.options
        self.assertEqual((made.heartbeat_delay, made.disconnect_delay, made.response_limit), (20, 4, 5000))
        facts = json.loads(self.answerTo("GET", "/info").body)
        self.assertEqual((facts["websocket"], facts["cookie_needed"]), (False, True))
        self.assertIn(b"https://example.com/sockjs.js", self.answerTo("GET", "/iframe.html").body)
        self.assertEqual(self.connect().upgrade("/0/s/websocket")().code, 404)

    def test_wrongOption(self):
        """
        A wrong setting is an error at once.
        """
        self.assertRaises(ValueError, SockJSFactory, Apps(), reactor=self.clock, nonsense=1)
        self.assertRaises(ValueError, SockJSFactory, Apps(), {"heartbeat_delay": "x"}, reactor=self.clock)

    def test_defaultReactor(self):
        """
        Without a reactor it is the global one.
        """
        self.assertEqual(SockJSFactory(Apps()).resource.options, Options())

    def test_noAccessLog(self):
        """
        Requests are not logged: there are many, and their URLs hold the ids of sessions.
        """
        self.make(Apps())
        self.site.doStart()
        self.addCleanup(self.site.doStop)
        written = []
        self.patch(self.site, "logFile", type("Log", (), {"write": written.append, "close": lambda log: None})())
        self.assertEqual(self.answerTo("GET", "/").code, 200)
        self.assertEqual(written, [])

    def test_namesOfVersion1(self):
        """
        Programs for txsockjs 1.x find the resource here as well.
        """
        self.assertIs(factoryModule.SockJSResource, SockJSResource)


class SockJSMultiFactoryTests(SiteCase):
    """
    A site of several services.
    """

    def setUp(self):
        super().setUp()
        self.site = SockJSMultiFactory(reactor=self.clock)

    def tearDown(self):
        self.resources.extend(resource for resource, _ in self.site._services)
        super().tearDown()

    def test_services(self):
        """
        Each service has its own prefix, options and sessions; elsewhere there is nothing.
        """
        echo, other = Apps(TextEcho), Apps()
        self.site.addFactory(echo, "echo", {"cookie_needed": True})
        self.site.addFactory(other, b"/deep/down/", transports=["xhr-polling"])
        self.assertEqual(self.site.paths, ["/echo", "/deep/down"])
        self.assertEqual(self.answerTo("POST", "/echo/0/s/xhr").body, b"o\n")
        self.assertEqual(self.post("/deep/down/0/s/xhr_send", "x").code, 404)
        self.assertEqual(self.answerTo("POST", "/deep/down/0/s/xhr").body, b"o\n")
        self.assertIs(json.loads(self.answerTo("GET", "/deep/down/info").body)["websocket"], False)
        self.assertIs(json.loads(self.answerTo("GET", "/echo/info").body)["cookie_needed"], True)
        self.assertEqual((len(echo.built), len(other.built)), (1, 1))
        for path in ("/", "/deep", "/deep/", "/info", "/echoes", "/echo2/info"):
            self.assertEqual(self.answerTo("GET", path).code, 404, path)
        self.assertEqual(echo.last.transport.requestFacts.path, "/echo")
        self.assertEqual(other.last.transport.requestFacts.path, "/deep/down")
        self.site.doStart()
        self.site.doStop()

    def test_taken(self):
        """
        A prefix can't be given twice, in whatever way it is written.
        """
        self.site.addFactory(Apps(), "echo")
        with self.assertRaisesRegex(ValueError, "echo"):
            self.site.addFactory(Apps(), "/echo/")
        self.site.addFactory(Apps(), "")
        for root in ("", b"", "/", "//"):
            self.assertRaises(ValueError, self.site.addFactory, Apps(), root)

    def test_resource(self):
        """
        A service that is made already is one like the others, and its factory starts and stops with the site.
        """
        apps = Apps()
        resource = SockJSResource(apps, reactor=self.clock)
        self.assertIs(self.site.addResource(resource, "/made/"), resource)
        self.assertIs(resource.factory, apps)
        self.assertEqual((self.site.paths, self.site.services), (["/made"], {"/made": resource}))
        self.assertEqual(self.answerTo("POST", "/made/0/s/xhr").body, b"o\n")
        with self.assertRaisesRegex(ValueError, "made"):
            self.site.addFactory(Apps(), "made")
        self.site.doStart()
        self.assertEqual(apps.numPorts, 1)
        self.site.doStop()
        self.assertEqual(apps.numPorts, 0)

    def test_below(self):
        """
        One service may lie below another, whichever comes first.
        """
        for first, second in (("a/b", "a"), ("c", "c/d")):
            self.site.addFactory(Apps(), first)
            self.site.addFactory(Apps(), second)
        for path in ("/a", "/a/b", "/c", "/c/d"):
            self.assertEqual(self.answerTo("GET", path).body, b"Welcome to SockJS!\n", path)

    def test_wrongOption(self):
        """
        A wrong setting is an error, and nothing is mounted.
        """
        self.assertRaises(ValueError, self.site.addFactory, Apps(), "echo", nonsense=1)
        self.site.addFactory(Apps(), "echo")

    def test_root(self):
        """
        One service may be at the root, whichever comes first; only one.
        """
        first, root, last = Apps(), Apps(), Apps()
        self.site.addFactory(first, "first")
        self.site.addFactory(root, "/")
        self.site.addFactory(last, "last")
        for path in ("/first/0/s/xhr", "/0/s/xhr", "/last/0/s/xhr"):
            self.assertEqual(self.answerTo("POST", path).body, b"o\n")
        self.assertEqual([len(apps.built) for apps in (first, root, last)], [1, 1, 1])
        self.assertRaises(ValueError, self.site.addFactory, Apps(), b"/")
        self.site.doStart()
        self.site.doStop()

    def test_ownRoot(self):
        """
        What belongs to no service may be answered by a resource of the user's.
        """
        root = Resource()
        root.putChild(b"", Data(b"home", "text/plain"))
        self.site = SockJSMultiFactory(reactor=self.clock, root=root)
        self.site.addFactory(Apps(), "echo")
        self.assertEqual(self.answerTo("GET", "/").body, b"home")
        self.assertEqual(self.answerTo("GET", "/echo").body, b"Welcome to SockJS!\n")
        self.assertRaises(ValueError, self.site.addFactory, Apps(), "/")

    def test_life(self):
        """
        The wrapped factories start and stop with the site; one that is added later starts at once.
        """
        early, late = LivingApps(), LivingApps()
        self.site.addFactory(early, "early")
        self.assertEqual(early.life, [])
        self.site.doStart()
        self.site.addFactory(late, "late")
        self.assertEqual((early.life, late.life), (["start"], ["start"]))
        for name in ("early", "late"):
            self.answerTo("POST", f"/{name}/0/s/xhr")
        self.site.doStop()
        self.assertEqual((early.life, late.life), (["start", "stop"], ["start", "stop"]))
        self.assertEqual((len(early.last.lost), len(late.last.lost)), (1, 1))

    def test_defaultReactor(self):
        """
        Without a reactor it is the global one.
        """
        self.site = SockJSMultiFactory()
        self.site.addFactory(Apps(), "echo")
        self.assertEqual(self.site.paths, ["/echo"])


class MountTests(SiteCase):
    """
    C{mount}.
    """

    def test_sharedWay(self):
        """
        What lies on the way is made once, or is used where it is there.
        """
        root, a = Resource(), Resource()
        root.putChild(b"a", a)
        mount(root, "/a/b", Data(b"ab", "text/plain"))
        mount(root, b"a/c/d", Data(b"acd", "text/plain"))
        mount(root, "a/c/e", Data(b"ace", "text/plain"))
        self.assertIs(root.children[b"a"], a)
        self.serveTree(root)
        for path in ("ab", "acd", "ace"):
            self.assertEqual(self.answerTo("GET", "/" + "/".join(path)).body, path.encode("ascii"))

    def test_belowService(self):
        """
        A resource may be mounted below a service.
        """
        root = Resource()
        self.serve()
        mount(root, "echo", self.resource)
        mount(root, "echo/mine", Data(b"mine", "text/plain"))
        self.serveTree(root)
        self.assertEqual(self.answerTo("GET", "/echo/mine").body, b"mine")
        self.assertEqual(self.answerTo("GET", "/echo/").body, b"Welcome to SockJS!\n")

    def test_unicode(self):
        """
        A prefix is the text that stands in the URL when it is decoded.
        """
        root = Resource()
        mount(root, "caf\u00e9", Data(b"x", "text/plain"))
        self.serveTree(root)
        self.assertEqual(self.answerTo("GET", "/caf%C3%A9").body, b"x")
