# -*- test-case-name: tests.test_tap -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
C{twistd sockjs} and C{twist sockjs}: first the parts, then whole child processes as a user starts them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import textwrap
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet import reactor, ssl
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, FileBodyProducer, HTTPConnectionPool, readBody

from tests.certificates import makeCertificate
from tests.processes import Child
from txsockjs import __version__, serving, starting, tap
from txsockjs.factory import SockJSMultiFactory
from txsockjs.naming import factoryFrom, findNamed
from txsockjs.options import OPTIONS
from txsockjs.serving import SockJSService
from txsockjs.starting import CannotStart

ROOT = Path(__file__).resolve().parent.parent

LOCAL = "tcp:0:interface=127.0.0.1"

MYAPP = """
    from twisted.internet.protocol import Factory, Protocol
    from txsockjs.multiplex import SockJSMultiplexResource

    class Echo(Protocol):
        def dataReceived(self, data):
            self.transport.write(data)

    class Echoes(Factory):
        protocol = Echo

    ready = Echoes()

    def make():
        return Echoes()

    def fails():
        raise RuntimeError("it is broken,\\nand badly")

    def leaves():
        raise SystemExit

    def nothing():
        pass

    class Picky(Factory):
        def __init__(self, needed):
            pass

    class Rooms(SockJSMultiplexResource):
        def __init__(self, **settings):
            super().__init__(max_channels=2, **settings)
            self.addFactory("room", ready)

    class Closed(SockJSMultiplexResource):
        def __init__(self):
            super().__init__()

    class Unstartable(Echoes):
        def startFactory(self):
            raise RuntimeError("no database")

    five = 5

    def allow(request):
        return True
"""

MODULES = {
    "myapp.py": MYAPP,
    "needy.py": "import a_module_that_there_is_not\n",
    "typo.py": "def f(:\n",
    "crash.py": "def f():\n    return {}['key']\n\nf()\n",
    "script.py": "import sys\n\nsys.exit(3)\n",
    "mypackage/__init__.py": "",
    "mypackage/inner.py": MYAPP,
    "mypackage/crash.py": "1 / 0\n",
    "sockjs.min.js": "function SockJS() {} // ours\n",
    "files/sockjs.js": "// not this one\n",
    "files/index.html": "the files\n",
    "files/other.txt": "another file\n",
    "files/deep/hidden.txt": "hidden\n",
}


def parse(*arguments: str) -> tap.Options:
    """
    @return: a command line, read.
    """
    options = tap.Options()
    options.parseOptions(list(arguments))
    return options


async def get(url: str, agent: Any = None) -> bytes:
    """
    @return: the body that is at a URL; its status must be 200.
    """
    response = await (agent or Agent(reactor, connectTimeout=30)).request(b"GET", url.encode("ascii"))
    body = await readBody(response)
    if response.code != 200:
        raise AssertionError(f"{url} answered {response.code}: {body!r}")
    return body


class DirectoryMixin:
    """
    Gives a test a directory with modules of a user.
    """

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        # Not mktemp(): the path of a Unix socket has room for about a hundred bytes.
        self.directory = Path(tempfile.mkdtemp()).resolve()
        self.addCleanup(shutil.rmtree, self.directory)  # type: ignore[attr-defined]
        for name, text in MODULES.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        self.addCleanup(self.forget)  # type: ignore[attr-defined]
        self.patch(sys, "path", list(sys.path))  # type: ignore[attr-defined]

    def forget(self) -> None:
        """
        Forget the user's modules, and no others: one of ours that is imported twice has classes of its own each time.
        """
        names = {Path(name).parts[0].removesuffix(".py") for name in MODULES}
        for name in list(sys.modules):
            if name.partition(".")[0] in names:
                del sys.modules[name]


class OptionsTests(DirectoryMixin, SynchronousTestCase):
    """
    The flags.
    """

    def refused(self, *arguments: str) -> str:
        """
        @return: why a command line is refused.
        """
        return str(self.assertRaises(CannotStart, parse, *arguments))

    def test_nothing(self) -> None:
        """
        Without flags no option is set, so that the defaults stay where they are.
        """
        options = parse()
        self.assertEqual(({}, [], [], None), (options.settings, options.mounts, options.ports, options.static))
        self.assertEqual(os.getcwd(), options.appDir)

    def test_everyOption(self) -> None:
        """
        Each option has a flag, whose help tells its default.
        """
        others = {"authorize": "os.getcwd", "trusted_proxies": "unix", "base_url": "https://b"}
        for info in OPTIONS:
            flag = "--" + info.name.replace("_", "-")
            value = info.defaultText or others.get(info.name, "x-name")
            options = parse(flag) if info.isFlag else parse(flag, value)
            self.assertEqual({info.name: True if info.isFlag else info.parsed(value)}, options.settings)
            self.assertIn(flag, str(options))
            self.assertIn("".join(info.defaultText.split()) if not info.isFlag else "", "".join(str(options).split()))

    def test_authorize(self) -> None:
        """
        C{--authorize} finds a callable in the directory of C{--app-dir}, whatever the order of the flags.
        """
        flags = ["--app-dir", str(self.directory)], ["--authorize", "mypackage.inner.allow"]
        for first, second in flags, flags[::-1]:
            path = list(sys.path)
            options = parse(*first, *second)
            self.assertEqual("allow", options.settings["authorize"].__name__)
            self.assertEqual("mypackage.inner", options.settings["authorize"].__module__)
            sys.path[:] = path
            for name in ("mypackage.inner", "mypackage"):
                del sys.modules[name]

    def test_together(self) -> None:
        """
        Values that are right by themselves and do not go together are refused in one line as well.
        """
        self.assertRegex(
            self.refused("--exposed-headers", "cookie"),
            r"--exposed-headers must not name 'cookie' while origins is '\*': ",
        )
        self.assertRegex(
            self.refused("--exposed-headers", "cookie", "--origins", "same", "--transports", "websocket,htmlfile"),
            "--exposed-headers must not name 'cookie' while transports has htmlfile",
        )
        self.assertEqual(
            ("cookie",), parse("--exposed-headers", "cookie", "--origins", "same").settings["exposed_headers"]
        )

    def test_authorizeRefused(self) -> None:
        """
        A name of C{--authorize} that leads to no callable is refused in one line that tells why.
        """
        for name, why in (
            ("nowhere.allow", "must be the dotted name of a callable, and 'nowhere.allow' can't be had: "),
            ("myapp.deny", "'myapp.deny' can't be had: .*no attribute 'deny'"),
            ("needy.allow", "can't be had: No module named 'a_module_that_there_is_not'"),
            ("typo.f", r"can't be had: invalid syntax \(typo.py, line 1\)"),
            ("mypackage.crash.f", "can't be had: division by zero"),
            ("myapp.five", "must be a callable, not 5"),
            ("myapp", "must be a callable, not <module"),
        ):
            line = self.refused("--authorize", name, "--app-dir", str(self.directory))
            self.assertRegex(line, f"^--authorize .*{why}")
            self.assertNotIn("\n", line)
        self.assertEqual("--authorize needs a value", self.refused("--authorize="))

    def test_ports(self) -> None:
        """
        Ports are numbers or descriptions, any number of them.
        """
        self.assertEqual(["tcp:8082", "unix:/run/x"], parse("--port", "8082", "--port", "unix:/run/x").ports)

    def test_metrics(self) -> None:
        """
        A plain port for those who watch is open to this machine only; descriptions are taken as they are.
        """
        options = parse("--metrics", "9100", "--metrics", "tcp:9101", "--metrics-peer", "p2=unix:/run/p2.sock")
        self.assertEqual(["tcp:9100:interface=127.0.0.1", "tcp:9101"], options.metrics)
        self.assertEqual(["p2=unix:/run/p2.sock"], options.peers)
        self.assertIn("--metrics 65536: ports end at 65535", self.refused("--metrics", "65536"))
        self.assertIn("--metrics needs a value", self.refused("--metrics", ""))
        self.assertIn("nothing to show it on without --metrics", self.refused("--metrics-peer", "http://h"))
        for peer in ("", "p2="):
            self.assertIn("it has to say where", self.refused("--metrics", "1", "--metrics-peer", peer))

    def test_metricsBesideProcesses(self) -> None:
        """
        Those who watch can't be served where one of many processes serves, but beside them.
        """
        processes = ["--processes", "4", "--port", "8081"]
        self.assertEqual(
            "--metrics tcp:8083:interface=127.0.0.1: that is where p3 serves, by --port tcp:8083",
            self.refused(*processes, "--metrics", "8083"),
        )
        for port in ("8080", "8085", "0", "unix:/run/metrics.sock"):
            self.assertEqual(1, len(parse(*processes, "--metrics", port).metrics))

    def test_bus(self) -> None:
        """
        A bus is described by a URL; what is wrong with one is told without showing it, as it may have a password.
        """
        self.assertIsNone(parse().bus)
        for bus in ("memory:", "redis://:x@127.0.0.1:6379/0", "unix:///run/redis.sock?db=1"):
            self.assertEqual(bus, parse("--bus", bus).bus)
        for bus, why in (
            ("", "a bus is memory:, redis://HOST:PORT/DB"),
            ("kafka://:secret@h", "a bus is memory:, redis://HOST:PORT/DB"),
            ("redis://:secret@:6379/0", "there is no host"),
            ("redis://:secret@h:1/x", "should be a number, not 'x'"),
        ):
            line = self.refused("--bus", bus)
            self.assertTrue(line.startswith("--bus: "), line)
            self.assertIn(why, line)
            self.assertNotIn("secret", line)

    def test_busUnavailable(self) -> None:
        """
        A bus that can't be had, since its files are missing for instance, is one line, too.
        """
        options = parse("--bus", "rediss://h/0?ca=/nowhere.pem")
        error = self.assertRaises(CannotStart, tap.makeService, options)
        self.assertEqual("sockjs: --bus: ca /nowhere.pem can't be read: No such file or directory", error.code)

    def test_factories(self) -> None:
        """
        A name stands for a service at C{/}, or below the prefix before it, with slashes around it or not.
        """
        options = parse("--factory", "a.B", "--factory", "c=d", "--factory", "/e/f/=g.h", "--factory", "x=y=z")
        self.assertEqual([("/", "a.B"), ("/c", "d"), ("/e/f", "g.h"), ("/x=y", "z")], options.mounts)

    def test_directories(self) -> None:
        """
        Directories are remembered by their full path.
        """
        inner = os.path.relpath(self.directory)
        options = parse("--static", inner, "--app-dir", inner)
        self.assertEqual((str(self.directory), str(self.directory)), (options.static, options.appDir))

    def test_client(self) -> None:
        """
        C{--sockjs-js} reads the file, and makes it what C{--sockjs-url} would name, unless that is given.
        """
        path = str(self.directory / "sockjs.min.js")
        self.assertIsNone(parse().client)
        options = parse("--sockjs-js", path)
        self.assertEqual((MODULES["sockjs.min.js"].encode("utf-8"), "/sockjs.js"), self.clientOf(options))
        for flags in ([], ["--factory", "a.B"], ["--factory", "x=a.B"], ["--static", str(self.directory)]):
            self.assertEqual("/sockjs.js", self.clientOf(parse("--sockjs-js", path, *flags))[1])
        options = parse("--sockjs-url", "https://h/s.js", "--sockjs-js", path)
        self.assertEqual("https://h/s.js", self.clientOf(options)[1])

    def clientOf(self, options: tap.Options) -> tuple[bytes | None, str]:
        """
        @return: the client that is to be served, and the URL where iframe pages load theirs.
        """
        return options.client, options.settings["sockjs_url"]

    def test_clientRefused(self) -> None:
        """
        A file of C{--sockjs-js} that can't be had is refused in one line that tells why, and so is one whose place is
        taken.
        """
        empty = self.directory / "empty.js"
        empty.write_text(" \n")
        for path, why in (
            (self.directory / "nowhere.js", "there is no such file"),
            (self.directory, "that is a directory, not a file"),
            (self.directory / "myapp.py" / "x.js", "it can't be read: Not a directory"),
            (empty, "the file is empty"),
        ):
            self.assertEqual(f"--sockjs-js {path}: {why}", self.refused("--sockjs-js", str(path)))
        self.assertEqual("--sockjs-js needs a value", self.refused("--sockjs-js="))
        path = str(self.directory / "sockjs.min.js")
        for prefix in ("sockjs.js", "/sockjs.js/", "sockjs.js/more"):
            self.assertEqual(
                "--sockjs-js: the file and a --factory can't both be at /sockjs.js",
                self.refused("--sockjs-js", path, "--factory", f"{prefix}=a.B"),
            )
        self.assertIsNotNone(parse("--sockjs-js", path, "--factory", "sockjs.json=a.B").client)

    def test_version(self) -> None:
        """
        C{--version} tells the version of txsockjs and is no failure.
        """
        self.patch(sys, "stdout", StringIO())
        self.assertEqual(0, self.assertRaises(SystemExit, parse, "--version").code)
        self.assertEqual(f"txsockjs {__version__}\n", sys.stdout.getvalue())

    def test_refused(self) -> None:
        """
        Whatever is wrong with a flag is said by its own name.
        """
        self.assertEqual("--heartbeat-delay must be a number, not 'soon'", self.refused("--heartbeat-delay", "soon"))
        self.assertIn("--transports has no transport 'pigeon'", self.refused("--transports", "pigeon"))
        self.assertEqual("--encoding needs a value", self.refused("--encoding="))
        self.assertEqual("--port 70000: ports end at 65535", self.refused("--port", "70000"))
        self.assertEqual("--factory a=: '' is no dotted name", self.refused("--factory", "a="))
        self.assertIn("can't be in a URL", self.refused("--factory", "a\udcff=b.C"))
        self.assertIn("two services at /a", self.refused("--factory", "a=b", "--factory", "/a=c"))
        self.assertIn("two services at /", self.refused("--factory", "b", "--factory", "=c"))
        self.assertEqual("--static nowhere: there is no such directory", self.refused("--static", "nowhere"))
        self.assertEqual("--app-dir nowhere: there is no such directory", self.refused("--app-dir", "nowhere"))
        self.assertIn("can't both be at /", self.refused("--static", str(self.directory), "--factory", "a.B"))
        self.assertIn("there is no such file", self.refused("--sockjs-js", "nowhere.js"))
        self.assertIn("no place for 'a.B'", self.refused("a.B"))
        self.assertEqual("option --colour not recognized", self.refused("--colour", "blue"))


class FindTests(DirectoryMixin, SynchronousTestCase):
    """
    What C{--factory} names.
    """

    def setUp(self) -> None:
        super().setUp()
        sys.path.insert(0, str(self.directory))

    def find(self, name: str) -> IProtocolFactory:
        """
        @return: the factory of a name.
        """
        return factoryFrom(findNamed(name, str(self.directory)), name, str(self.directory))

    def refused(self, name: str) -> str:
        """
        @return: why a name is refused.
        """
        error = self.assertRaises(CannotStart, self.find, name)
        self.assertNotIn("\n", str(error))
        self.assertEqual(f"sockjs: {error}", error.code)
        return str(error)

    def test_protocol(self) -> None:
        """
        A protocol class stands for a factory of it.
        """
        factory = self.find("myapp.Echo")
        self.assertEqual("Echo", type(factory.buildProtocol(None)).__name__)
        self.assertIs(factory, factory.buildProtocol(None).factory)

    def test_factories(self) -> None:
        """
        A factory is taken as it is, a factory's class and a function are called.
        """
        self.assertIs(self.find("myapp.ready"), self.find("myapp.ready"))
        for name in ("myapp.ready", "myapp.Echoes", "myapp.make", "mypackage.inner.make", "mypackage.inner.Echoes"):
            self.assertEqual("Echoes", type(self.find(name)).__name__)

    def test_missing(self) -> None:
        """
        A module or a name that there is not is named.
        """
        self.assertEqual(
            f"--factory nowhere.Echo: there is no module 'nowhere', neither in {self.directory} nor installed",
            self.refused("nowhere.Echo"),
        )
        self.assertEqual("--factory myapp.Ecko: there is no 'Ecko' in myapp", self.refused("myapp.Ecko"))
        self.assertEqual("--factory myapp.Echo.x: there is no 'x' in myapp.Echo", self.refused("myapp.Echo.x"))
        self.assertEqual(
            "--factory mypackage.outer.Echo: there is no 'outer' in mypackage", self.refused("mypackage.outer.Echo")
        )

    def test_broken(self) -> None:
        """
        For a module that fails by itself, the exception and the user's own line are named.
        """
        here = self.directory
        self.assertEqual(
            "module needy can't be imported: ModuleNotFoundError: No module named 'a_module_that_there_is_not' "
            f"({here}/needy.py, line 1)",
            self.refused("needy.Echo"),
        )
        self.assertEqual(
            f"module typo can't be imported: SyntaxError: invalid syntax ({here}/typo.py, line 1)",
            self.refused("typo.Echo"),
        )
        self.assertEqual(
            f"module crash can't be imported: KeyError: 'key' ({here}/crash.py, line 2)", self.refused("crash.Echo")
        )
        self.assertEqual(
            "module mypackage.crash can't be imported: ZeroDivisionError: division by zero "
            f"({here}/mypackage/crash.py, line 1)",
            self.refused("mypackage.crash.Echo"),
        )

    def test_leaves(self) -> None:
        """
        A module or a function that ends the process is broken, too, and does not end it without a word.
        """
        self.assertEqual(
            f"module script can't be imported: SystemExit: 3 ({self.directory}/script.py, line 3)",
            self.refused("script.Echo"),
        )
        self.assertRegex(self.refused("myapp.leaves"), r"calling it failed: SystemExit \(.*/myapp.py, line \d+\)")

    def test_noFactory(self) -> None:
        """
        What is no factory and does not lead to one is refused.
        """
        self.assertIn("that is a module; name what to serve in it", self.refused("myapp"))
        self.assertIn("no factory and no function, but 5", self.refused("myapp.five"))
        self.assertIn("should return a factory, not None", self.refused("myapp.nothing"))
        self.assertRegex(
            self.refused("myapp.fails"),
            r"calling it failed: RuntimeError: it is broken, and badly \(.*/myapp.py, line \d+\)",
        )
        self.assertIn("missing 1 required positional argument: 'needed'", self.refused("myapp.Picky"))
        self.assertRegex(
            self.refused("myapp.Closed"),
            "should return a factory, not .*; a multiplexed service is named by its class$",
        )


class URLTests(SynchronousTestCase):
    """
    What the log says of where a service is.
    """

    def test_urls(self) -> None:
        """
        A URL is one that can be used on this machine.
        """
        for address, description, expected in [
            (IPv4Address("TCP", "0.0.0.0", 81), "tcp:81", "http://localhost:81/a"),
            (IPv4Address("TCP", "10.0.0.1", 81), "tcp:81:interface=10.0.0.1", "http://10.0.0.1:81/a"),
            (IPv6Address("TCP", "::", 82), "tcp6:82", "http://localhost:82/a"),
            (IPv6Address("TCP", "::1", 82), "tcp6:82:interface=\\:\\:1", "http://[::1]:82/a"),
            (IPv4Address("TCP", "127.0.0.1", 83), "ssl:83", "https://127.0.0.1:83/a"),
            (IPv4Address("TCP", "127.0.0.1", 83), "haproxy:ssl:83", "https://127.0.0.1:83/a"),
            (IPv4Address("TCP", "127.0.0.1", 83), "haproxy:tcp:83", "http://127.0.0.1:83/a"),
            (UNIXAddress(b"/run/s"), "unix:/run/s", "unix:/run/s:/a"),
            (None, "carrier:pigeon", "carrier:pigeon:/a"),
        ]:
            self.assertEqual(expected, serving._url(serving._base(address, description), "/a"))

    def test_quoted(self) -> None:
        """
        A prefix that is no plain ASCII is shown as it is sent.
        """
        self.assertEqual("http://h/a%20%C3%BC", serving._url("http://h", "/a ü"))


class ServiceTests(DirectoryMixin, TestCase):
    """
    L{tap.makeService} and what it makes, in this process.
    """

    async def start(self, *arguments: str) -> tuple[SockJSService, list[str]]:
        """
        Serve what a command line says.

        @return: the service, and the URLs that it has logged.
        """
        options = parse("--app-dir", str(self.directory), *arguments)
        service = tap.makeService(options)
        with capturedLogs() as events:
            service.privilegedStartService()
            service.startService()
        self.addCleanup(service.stopService)
        self.hints = [event["code"] for event in events if "code" in event]
        return service, [event["url"] for event in events if "url" in event]

    async def test_demo(self) -> None:
        """
        Without C{--factory} there is the demo, with its page.
        """
        _, urls = await self.start("--port", LOCAL, "--sockjs-url", "http://h/sockjs.js")
        self.assertEqual(["/", "/echo"], ["/" + url.split("/", 3)[3] for url in urls[:2]])
        self.assertEqual(9, len(urls))
        self.assertIn(b"http://h/sockjs.js", await get(urls[0]))
        self.assertEqual(b"Welcome to SockJS!\n", await get(urls[1]))
        self.assertEqual([f'new SockJS("{urls[1]}")'], self.hints)

    async def test_demoWithFiles(self) -> None:
        """
        With C{--static} and no C{--factory}, the files take the place of the demo's page.
        """
        _, urls = await self.start("--port", LOCAL, "--static", str(self.directory / "files"))
        self.assertEqual(b"the files\n", await get(urls[0]))
        self.assertEqual(b"Welcome to SockJS!\n", await get(urls[1]))

    async def test_client(self) -> None:
        """
        With C{--sockjs-js} the file is at /sockjs.js, and the demo's page and the iframe pages load it from there;
        whatever else is served, with files or without, at C{/} or elsewhere.
        """
        path = str(self.directory / "sockjs.min.js")
        for flags, service in (
            ([], "echo"),
            (["--static", str(self.directory / "files")], "echo"),
            (["--factory", "myapp.Echo"], ""),
            (["--factory", "a/b=myapp.Echo"], "a/b"),
            (["--static", str(self.directory / "files"), "--factory", "chat=myapp.Echo"], "chat"),
        ):
            _, urls = await self.start("--port", LOCAL, "--sockjs-js", path, *flags)
            base = "/".join(urls[0].split("/")[:3]) + "/"
            self.assertEqual(b"function SockJS() {} // ours\n", await get(base + "sockjs.js"))
            frame = base + "/".join(filter(None, [service, "iframe.html"]))
            self.assertIn(b'<script src="/sockjs.js"></script>', await get(frame))
            if not flags:
                self.assertIn(b'data-client="/sockjs.js"', await get(base))

    async def test_multiplexed(self) -> None:
        """
        A class of multiplexed services is served with the options of the flags, and counts among the services.
        """
        service, urls = await self.start("--port", LOCAL, "--factory", "mux=myapp.Rooms", "--max-message-size", "99")
        agent = Agent(reactor)
        answers = []
        for path, body in (("xhr", b""), ("xhr_send", b'["sub,room","msg,room,hello"]'), ("xhr", b"")):
            url = f"{urls[0]}/0/s/{path}".encode("ascii")
            answers.append(await readBody(await agent.request(b"POST", url, None, FileBodyProducer(BytesIO(body)))))
        self.assertEqual([b"o\n", b"", b'a["msg,room,hello"]\n'], answers)
        self.assertEqual(["/mux"], list(service._site.services))
        self.assertEqual(99, service._site.services["/mux"].options.max_message_size)
        self.assertEqual(2, service._site.services["/mux"].factory.maxChannels)

    def test_multiplexedFails(self) -> None:
        """
        One that can't be made is told in one line.
        """
        with self.assertRaisesRegex(CannotStart, "^--factory myapp.Closed: making it failed: TypeError: .*reactor"):
            tap.makeService(parse("--app-dir", str(self.directory), "--factory", "myapp.Closed"))

    async def test_health(self) -> None:
        """
        Balancers can ask at /health, whatever else is served; and no longer get a yes when the service stops.
        """
        for flags in (
            [],
            ["--static", str(self.directory / "files")],
            ["--factory", "myapp.Echo"],
            ["--factory", "healthy=myapp.Echo"],
            ["--factory", "a/b=myapp.Echo", "--static", str(self.directory / "files")],
        ):
            service, urls = await self.start("--port", LOCAL, *flags)
            url = "/".join(urls[0].split("/")[:3]) + "/health"
            self.assertEqual(b"ok\n", await get(url))
            service._site.drain()
            with self.assertRaisesRegex(AssertionError, "answered 503"):
                await get(url)

    async def test_healthIsTaken(self) -> None:
        """
        What the user has at /health, or below, stays what it is; the log tells.
        """
        (self.directory / "files" / "health").write_text("mine\n")
        files = ["--static", str(self.directory / "files")]
        for flags, path, body in (
            (["--factory", "health=myapp.Echo"], "health", b"Welcome to SockJS!\n"),
            (["--factory", "health/a=myapp.Echo"], "health/a", b"Welcome to SockJS!\n"),
            (files, "health", b"mine\n"),
        ):
            with capturedLogs() as events:
                _, urls = await self.start("--port", LOCAL, *flags)
            self.assertEqual(body, await get("/".join(urls[0].split("/")[:3]) + "/" + path))
            self.assertIn("/health is a place of yours", str([formatEvent(event) for event in events]))

    async def test_files(self) -> None:
        """
        Files are served beside services that have a prefix, and directories are not listed.
        """
        _, urls = await self.start(
            "--port", LOCAL, "--static", str(self.directory / "files"), "--factory", "chat=myapp.Echo"
        )
        base = urls[0]
        self.assertEqual([base, base + "chat"], urls)
        self.assertEqual(b"another file\n", await get(base + "other.txt"))
        self.assertEqual(b"Welcome to SockJS!\n", await get(base + "chat/"))
        with self.assertRaisesRegex(AssertionError, "answered 404"):
            await get(base + "deep/")

    async def test_together(self) -> None:
        """
        A service at C{/} leaves room for others with a prefix, and these for further ones below, in any order.
        """
        _, urls = await self.start(
            *["--port", LOCAL, "--factory", "a/b=myapp.ready", "--factory", "a=myapp.make"],
            *["--factory", "myapp.Echo", "--response-limit", "99"],
        )
        base = min(urls)
        self.assertEqual({base, base + "a", base + "a/b"}, set(urls))
        for url in urls:
            self.assertEqual(b"Welcome to SockJS!\n", await get(url))
            self.assertIn(b'"websocket": true', await get(url.rstrip("/") + "/info"))
        self.assertEqual([f'new SockJS("{base}a/b")'], self.hints)

    async def test_metrics(self) -> None:
        """
        With C{--metrics} there are metrics and a status page on a port of their own, of this process and of its peers.
        """
        other, _ = await self.start("--port", LOCAL, "--metrics", "0", "--factory", "myapp.Echo")
        _, urls = await self.start(
            *["--port", LOCAL, "--metrics", "0", "--factory", "chat=myapp.Echo"],
            *["--metrics-peer", f"other=tcp:127.0.0.1:{other._watching._ports[0].getHost().port}"],
        )
        page, service = urls
        self.assertIn(b"<html", await get(page))
        metrics = (await get(page + "metrics")).decode()
        self.assertIn('sockjs_sent_messages_total{service="/chat"} 0.0\n', metrics)
        self.assertIn('sockjs_sent_messages_total{process="other",service="/"} 0.0\n', metrics)
        self.assertIn("process_cpu_seconds_total ", metrics)
        self.assertEqual(b"ok\nthis process: serving\nother: serving\n", await get(page + "health"))
        with self.assertRaisesRegex(AssertionError, "answered 404"):
            await get(service.rpartition("/")[0] + "/metrics")

    def test_metricsRefused(self) -> None:
        """
        What can't be watched, or not shown, is said in one line.
        """
        for flags, why in (
            (["--metrics", "nonsense:1"], "--metrics nonsense:1: that describes no endpoint"),
            (["--metrics", "0", "--metrics-peer", "9100"], "--metrics-peer '9100' is neither a URL nor"),
            (
                ["--metrics", "0", "--metrics-peer", "x=http://h:1", "--metrics-peer", "x=http://h:2"],
                "--metrics-peer x=http://h:2: there are two called 'x'",
            ),
            (["--process-name", "x", "--metrics", "0", "--metrics-peer", "x=http://h:1"], "two called 'x'"),
            (["--processes", "2", "--metrics", "0", "--metrics-peer", "p2=http://h:1"], "two called 'p2'"),
        ):
            with self.assertRaisesRegex(CannotStart, why):
                tap.makeService(parse("--app-dir", str(self.directory), *flags))

    def test_metricsOfProcesses(self) -> None:
        """
        Each of many processes tells its metrics in the directory that they share, whatever that is called.
        """
        service = tap.makeService(parse("--processes", "2", "--metrics", "0"))
        (arguments,) = service._service.extraArguments
        for directory in ("/tmp/sockjs-1", "/a=b:c\\d 'e\"/sockjs-1"):
            ((_, endpoint),) = tap._endpoints(reactor, "metrics", parse(*arguments("p1", directory)).metrics, "/")
            self.assertEqual(endpoint._address, f"{directory}/p1.metrics")

    def test_withoutBus(self) -> None:
        """
        Where there are many processes and no bus, it is told that channels end at each of them.
        """
        for flags, told in (["--processes", "2"], 1), (["--processes", "2", "--bus", "memory:"], 0), ([], 0):
            with capturedLogs() as events:
                tap.makeService(parse("--app-dir", str(self.directory), *flags))
            self.assertEqual(told, len([event for event in events if "no --bus" in event["log_format"]]), flags)

    def test_noPrometheus(self) -> None:
        """
        Without C{prometheus-client}, C{--metrics} says what to install.
        """
        loaded = [name for name in sys.modules if f"{name}.".startswith("txsockjs.metrics.")]
        with mock.patch.dict(sys.modules, {"prometheus_client": None}):
            for name in loaded:
                del sys.modules[name]
            with self.assertRaisesRegex(CannotStart, r"--metrics: .*prometheus_client.*; it needs txsockjs\[metrics\]"):
                tap.makeService(parse("--app-dir", str(self.directory), "--metrics", "0"))
            tap.makeService(parse("--app-dir", str(self.directory)))

    async def test_stop(self) -> None:
        """
        When the service stops, its ports are closed and the wrapped factories stopped.
        """
        service, urls = await self.start("--port", LOCAL, "--port", LOCAL, "--factory", "myapp.ready")
        self.assertEqual(2, len(set(urls)))
        factory = sys.modules["myapp"].ready
        self.assertEqual(1, factory.numPorts)
        await service.stopService()
        self.assertEqual(0, factory.numPorts)
        with self.assertRaises(Exception):  # noqa: B017 - refused in whatever way the platform does
            await get(urls[0])

    def test_ports(self) -> None:
        """
        A description that is none is refused before anything is served.
        """
        for port, why in [
            ("carrier:pigeon", "--port carrier:pigeon: that describes no endpoint: Unknown endpoint type: 'carrier'"),
            ("tcp:http", "that describes no endpoint: invalid literal"),
            ("http", "--port http: that is neither a port nor the description of an endpoint, such as tcp:8081$"),
            ("-1", "--port -1: that is neither a port nor"),
            ("tcp:1:colour=blue", "that describes no endpoint: .*colour"),
            ("ssl:0:privateKey=/nowhere/k.pem", "No such file or directory: /nowhere/k.pem"),
        ]:
            with self.assertRaisesRegex(CannotStart, why):
                tap.makeService(parse("--port", port))

    def test_noTLS(self) -> None:
        """
        Where TLS is not installed, the extra that brings it is named.
        """

        def parser(*arguments: object) -> None:
            raise ImportError("No module named 'OpenSSL'")

        self.patch(tap, "serverFromString", parser)
        with self.assertRaisesRegex(CannotStart, r"No module named 'OpenSSL'; TLS needs txsockjs\[tls\]"):
            tap.makeService(parse("--port", "ssl:0"))


class _Endpoint:
    """
    An endpoint whose end is known beforehand.
    """

    def __init__(self, result: Deferred[Any]) -> None:
        self.result = result

    def listen(self, factory: object) -> Deferred[Any]:
        return self.result


class _Reactor:
    """
    A reactor that can be stopped.
    """

    def __init__(self) -> None:
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1

    def addSystemEventTrigger(self, phase: str, event: str, function: object) -> None:
        pass


class _Port:
    """
    A port that opens and closes.
    """

    open = True

    def getHost(self) -> None:
        pass

    def stopListening(self) -> None:
        self.open = False


class NotListeningTests(SynchronousTestCase):
    """
    Ports that can't be had.
    """

    def setUp(self) -> None:
        self.reactor = _Reactor()
        self.said = Path(self.mktemp())
        stream = self.said.open("w")
        self.addCleanup(stream.close)
        self.patch(sys, "__stderr__", stream)
        self.atExit: list[Any] = []
        self.patch(starting.atexit, "register", self.atExit.append)

    def service(self, *results: Deferred[Any], **more: Any) -> SockJSService:
        """
        @return: a service of some endpoints.
        """
        endpoints = [(f"end:{number}", _Endpoint(result)) for number, result in enumerate(results)]
        site = SockJSMultiFactory(reactor=Clock())
        return SockJSService(self.reactor, site, endpoints, ["/"], "/", "/nowhere", **more)

    def test_atOnce(self) -> None:
        """
        A failure that is known at once is said in one line, as an exception that ends the process quietly, and closes
        the ports that were open already.
        """
        port = _Port()
        service = self.service(succeed(port), fail(CannotListenError("", 1, PermissionError(13, "Permission denied"))))
        error = self.assertRaises(CannotStart, service.privilegedStartService)
        self.assertEqual("sockjs: cannot listen on end:1: Permission denied\n", self.said.read_text())
        self.assertIsInstance(error, SystemExit)
        self.assertIsInstance(error, Exception)
        self.assertEqual(1, error.code)
        self.assertFalse(port.open)
        self.assertEqual([], self.atExit)

    def test_twist(self) -> None:
        """
        It is the same when the service is only started, as C{twist} does.
        """
        service = self.service(fail(CannotListenError("", 1, "Cannot acquire lock")))
        self.assertRaises(CannotStart, service.startService)
        self.assertEqual(
            "sockjs: cannot listen on end:0: Cannot acquire lock, another process listens there\n",
            self.said.read_text(),
        )

    def test_noErrorNumber(self) -> None:
        """
        What the system did not have to be asked for is told by its own words, and by more where these say too little.
        """
        for words, told in (
            ("AF_UNIX path too long", "AF_UNIX path too long, there is room for about 100 bytes"),
            ("something else", "something else"),
        ):
            service = self.service(fail(CannotListenError("", 1, OSError(words))))
            self.assertRaises(CannotStart, service.startService)
            self.assertEqual(f"sockjs: cannot listen on end:0: {told}", self.said.read_text().splitlines()[-1])

    def test_later(self) -> None:
        """
        A failure that comes later is said just so, and stops the reactor and then the process.
        """
        later: Deferred[Any] = Deferred()
        evenLater: Deferred[Any] = Deferred()
        service = self.service(later, evenLater)
        service.privilegedStartService()
        service.startService()
        self.assertEqual((0, []), (self.reactor.stopped, self.atExit))
        later.errback(OSError("the far end is gone"))
        evenLater.errback(OSError("nobody hears this any more"))
        self.assertEqual("sockjs: cannot listen on end:0: OSError: the far end is gone\n", self.said.read_text())
        self.assertEqual((1, [starting._exitBadly]), (self.reactor.stopped, self.atExit))

    def test_stoppedBefore(self) -> None:
        """
        Listening that has not begun when the service stops is given up, which is no failure.
        """
        self.patch(serving, "deferLater", lambda reactor, delay: None)
        service = self.service(Deferred())
        service.privilegedStartService()
        service.startService()
        self.assertIsNone(self.successResultOf(service.stopService()))
        self.assertEqual(("", 0, []), (self.said.read_text(), self.reactor.stopped, self.atExit))

    def test_leavingTheBus(self) -> None:
        """
        A service has stopped when its bus is left, which comes last; to be told to hurry ends the wait for that.
        """
        self.patch(serving, "deferLater", lambda reactor, delay: None)
        left: list[Deferred[None]] = []

        def leave() -> Deferred[None]:
            left.append(Deferred())
            return left[-1]

        service = self.service(succeed(_Port()), leaveBus=leave)
        service.startService()
        self.assertEqual([], left)
        stopped = service.stopService()
        self.assertEqual(1, len(left))
        self.assertNoResult(stopped)
        service._hurry()
        self.assertEqual(2, len(left))
        left[0].callback(None)
        self.assertIsNone(self.successResultOf(stopped))

    def test_daemon(self) -> None:
        """
        A process that has become a daemon says it in its log.
        """
        service = self.service(fail(OSError(98, "Address already in use")))
        service._pid += 1
        with capturedLogs() as events:
            error = self.assertRaises(CannotStart, service.privilegedStartService)
        self.assertEqual(1, error.code)
        self.assertEqual("", self.said.read_text())
        self.assertIn("cannot listen on end:0: Address already in use", [event.get("why") for event in events])


TWIST = "from importlib.metadata import entry_points as e; (t,) = e(group='console_scripts', name='twist'); t.load()()"

# With -P, Python does not look for modules in the current directory, just as for an installed command.
COMMANDS = {
    "twistd": [sys.executable, "-P", "-c", "from twisted.scripts.twistd import run; run()", "--pidfile=", "-n"],
    "daemon": [sys.executable, "-P", "-c", "from twisted.scripts.twistd import run; run()", "--pidfile=d.pid"],
    "twist": [sys.executable, "-P", "-c", TWIST, "--log-format=text"],
}

LATE_PLUGIN = """
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IStreamServerEndpointStringParser
    from twisted.plugin import IPlugin
    from zope.interface import implementer

    @implementer(IPlugin, IStreamServerEndpointStringParser)
    class Parser:
        prefix = "late"

        def parseStreamServer(self, reactor):
            self.reactor = reactor
            return self

        def listen(self, factory):
            result = Deferred()
            self.reactor.callLater(0, result.errback, OSError(5, "Gave up"))
            return result

    late = Parser()
"""


class CommandTests(DirectoryMixin, TestCase):
    """
    The commands, in processes of their own whose current directory is that of the user's modules.
    """

    timeout = 180

    def spawn(self, command: str, *arguments: str) -> Child:
        """
        Start a command; it is stopped when the test is over.
        """
        child = Child(command)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        line = [*COMMANDS[command], "sockjs", *arguments]
        environment = {**os.environ, "PYTHONPATH": path}
        reactor.spawnProcess(child, line[0], line, environment, str(self.directory))
        self.addCleanup(lambda: ensureDeferred(child.stop()))
        return child

    async def serving(self, child: Child, pattern: str = r"serving (http://127\.0\.0\.1:\d+/)(?=\s)") -> str:
        """
        @return: the URL that a child has logged.
        """
        return (await child.waitFor(pattern)).group(1)

    async def refused(self, why: str, *arguments: str, commands: tuple[str, ...] = ("twistd", "twist")) -> None:
        """
        Check that a command ends at once, with a status for failures and with one line.
        """
        children = [self.spawn(command, *arguments) for command in commands]
        for command, child in zip(commands, children):
            status = await child.wait(90)
            self.assertEqual((1, f"sockjs: {why}\n"), (status, child.errors.decode("utf-8")), command)
            self.assertNotIn("Traceback", child.text())

    async def test_demo(self) -> None:
        """
        The demo comes up under both commands, says where it is and how to connect, and answers until it is told to end.
        """
        for command in ("twistd", "twist"):
            child = self.spawn(command, "--port", LOCAL)
            url = await self.serving(child)
            await child.waitFor(rf'connect with: new SockJS\("{url}echo"\)')
            self.assertEqual(b"Welcome to SockJS!\n", await get(url + "echo"))
            self.assertIn(b"<!DOCTYPE html>", await get(url))
            # Both runners end by the signal that asked them to, once they have ended everything else.
            self.assertIn(await child.stop(), (0, -signal.SIGTERM))
            self.assertEqual(b"", child.errors)
            self.assertNotIn("Traceback", child.text())

    async def test_ownModule(self) -> None:
        """
        A module in the current directory is found, and its protocol gets messages and answers them.
        """
        for command in ("twistd", "twist"):
            child = self.spawn(command, "--port", LOCAL, "--factory", "myapp.Echo", "--drain-timeout", "0")
            url = await self.serving(child) + "000/session/xhr"
            agent = Agent(reactor, connectTimeout=30)
            self.assertEqual(b"o\n", await self.post(agent, url, b""))
            await self.post(agent, url + "_send", b'["hello"]', 204)
            self.assertEqual(b'a["hello"]\n', await self.post(agent, url, b""))

    async def post(self, agent: Agent, url: str, data: bytes, status: int = 200) -> bytes:
        """
        @return: the answer to what was sent to a URL.
        """
        response = await agent.request(b"POST", url.encode("ascii"), bodyProducer=FileBodyProducer(BytesIO(data)))
        self.assertEqual(status, response.code)
        return await readBody(response)

    async def test_appDir(self) -> None:
        """
        C{--app-dir} leads to modules that are elsewhere.
        """
        child = self.spawn("twistd", "--port", LOCAL, "--app-dir", "mypackage", "--factory", "there=inner.Echo")
        url = await self.serving(child, r"serving (http://\S+/there)\b")
        self.assertEqual(b"Welcome to SockJS!\n", await get(url))

    async def test_https(self) -> None:
        """
        With an C{ssl:} endpoint the service is reached by https, and the log says so.
        """
        certificate = makeCertificate(self.directory)
        child = self.spawn("twistd", "--port", "ssl:0:interface=127.0.0.1:privateKey=k.pem:certKey=c.pem")
        url = await self.serving(child, r"serving (https://127\.0\.0\.1:\d+/)(?=\s)")
        policy = BrowserLikePolicyForHTTPS(trustRoot=ssl.Certificate.loadPEM(certificate))
        agent = Agent(reactor, contextFactory=policy, connectTimeout=30)
        self.assertEqual(b"Welcome to SockJS!\n", await get(url + "echo", agent))

    async def test_severalPorts(self) -> None:
        """
        One process serves on TCP ports and on a Unix socket, which is gone when the process is.
        """
        child = self.spawn("twistd", "--port", LOCAL, "--port", "unix:app.sock", "--port", LOCAL)
        await child.waitFor(r"(?s)serving unix:\S*app\.sock:/echo\b.*/broadcast\b.*/broadcast\b")
        urls = {line.split()[-1] for line in child.text().splitlines() if line.endswith("/echo") and "http:" in line}
        self.assertEqual(2, len(urls))
        for url in urls:
            self.assertEqual(b"Welcome to SockJS!\n", await get(url))
        socket = self.directory / "app.sock"
        agent = Agent.usingEndpointFactory(reactor, _UNIXEndpoints(str(socket)))
        self.assertTrue(json.loads(await get("http://localhost/echo/info", agent))["websocket"])
        await child.stop()
        self.assertFalse(socket.exists())

    async def test_lastWords(self) -> None:
        """
        When the process is asked to end, open sessions get their close frame first.
        """
        child = self.spawn("twistd", "--port", LOCAL)
        url = await self.serving(child) + "echo/000/session/xhr"
        agent = Agent(reactor, connectTimeout=30)
        self.assertEqual(b"o\n", await self.post(agent, url, b""))
        response = await agent.request(b"POST", url.encode("ascii") + b"_streaming")
        body = readBody(response)
        await child.stop()
        self.assertTrue((await body).endswith(b'c[3000,"Go away!"]\n'))

    async def test_drain(self) -> None:
        """
        A client that is between two polls when the process is asked to end fetches what is left, and then the process
        ends by the signal that it got.
        """
        for command in ("twistd", "twist"):
            child = self.spawn(command, "--port", LOCAL, "--drain-timeout", "60", "--disconnect-delay", "60")
            url = await self.serving(child) + "echo/000/session/xhr"
            pool = HTTPConnectionPool(reactor)
            self.addCleanup(pool.closeCachedConnections)
            agent = Agent(reactor, connectTimeout=30, pool=pool)
            self.assertEqual(b"o\n", await self.post(agent, url, b""))
            await self.post(agent, url + "_send", b'["x"]', 204)
            child.signal(signal.SIGTERM)
            await child.waitFor("closing 1 sessions, which have 60.0 seconds to end")
            self.assertEqual(b'a["x"]\n', await self.post(agent, url, b""))
            self.assertEqual(b'c[3000,"Go away!"]\n', await self.post(agent, url, b""))
            self.assertIn(await child.wait(50), (0, -signal.SIGTERM))
            self.assertIn("all sessions have ended", child.text())
            self.assertNotIn("Traceback", child.text())

    async def test_watchedDrain(self) -> None:
        """
        Those who watch see the process drain, until the last session has ended.
        """
        for command in ("twistd", "twist"):
            child = self.spawn(
                command, *["--port", LOCAL, "--metrics", "0", "--drain-timeout", "60", "--disconnect-delay", "60"]
            )
            page = await self.serving(child, r"watch at (http://127\.0\.0\.1:\d+/)(?=\s)")
            url = await self.serving(child) + "echo/000/session/xhr"
            agent = Agent(reactor, connectTimeout=30)
            self.assertEqual(b"o\n", await self.post(agent, url, b""))
            self.assertEqual(b"ok\n", await get(page + "health"))
            child.signal(signal.SIGTERM)
            await child.waitFor("closing 1 sessions")
            with self.assertRaisesRegex(AssertionError, "answered 503: b'draining"):
                await get(page + "health")
            self.assertIn(b'sockjs_draining{service="/echo"} 1.0', await get(page + "metrics"))
            child.signal(signal.SIGTERM)
            self.assertIn(await child.wait(50), (0, -signal.SIGTERM))
            self.assertNotIn("Traceback", child.text())
            self.assertEqual(b"", child.errors)

    async def test_secondSignal(self) -> None:
        """
        A second signal to end is not kept waiting, and nothing looks like a failure.
        """
        for command, first, second in (
            ("twistd", signal.SIGTERM, signal.SIGTERM),
            ("twistd", signal.SIGINT, signal.SIGTERM),
            ("twist", signal.SIGTERM, signal.SIGINT),
        ):
            child = self.spawn(command, "--port", LOCAL, "--drain-timeout", "1000", "--disconnect-delay", "1000")
            url = await self.serving(child) + "echo/000/session/xhr"
            self.assertEqual(b"o\n", await self.post(Agent(reactor, connectTimeout=30), url, b""))
            child.signal(first)
            await child.waitFor("closing 1 sessions")
            child.signal(second)
            self.assertIn(await child.wait(50), (0, -first))
            self.assertIn("did not wait for sessions to end", child.text())
            self.assertNotIn("Traceback", child.text())
            self.assertEqual(b"", child.errors)

    async def test_noWaiting(self) -> None:
        """
        With a C{--drain-timeout} of 0 the process ends at once, and who reads gets the close frame nevertheless.
        """
        child = self.spawn("twistd", "--port", LOCAL, "--drain-timeout", "0", "--disconnect-delay", "1000")
        url = await self.serving(child) + "echo/000/"
        agent = Agent(reactor, connectTimeout=30)
        self.assertEqual(b"o\n", await self.post(agent, url + "away/xhr", b""))
        response = await agent.request(b"POST", url.encode("ascii") + b"here/xhr_streaming")
        body = readBody(response)
        child.signal(signal.SIGTERM)
        self.assertEqual(-signal.SIGTERM, await child.wait(50))
        self.assertTrue((await body).endswith(b'c[3000,"Go away!"]\n'))
        self.assertNotIn("Traceback", child.text())

    async def test_badFlags(self) -> None:
        """
        A flag that there is not, or that has a wrong value, ends the command with one line.
        """
        await self.refused("option --colour not recognized", "--colour", "blue")
        await self.refused("--heartbeat-delay must be a number, not 'soon'", "--heartbeat-delay", "soon")
        await self.refused("--sockjs-js nowhere.js: there is no such file", "--sockjs-js", "nowhere.js")

    async def test_badModules(self) -> None:
        """
        A module that is not there, a broken one and a name that is no factory end the command with one line.
        """
        here = self.directory
        await self.refused(
            f"--factory nowhere.Echo: there is no module 'nowhere', neither in {here} nor installed",
            *["--factory", "nowhere.Echo"],
            commands=("twistd", "twist", "daemon"),
        )
        await self.refused(
            f"module crash can't be imported: KeyError: 'key' ({here}/crash.py, line 2)", "--factory", "crash.Echo"
        )
        await self.refused("--factory myapp.Ecko: there is no 'Ecko' in myapp", "--factory", "myapp.Ecko")
        await self.refused(
            "--factory myapp.five: that is no Protocol class, no factory and no function, but 5",
            *["--factory", "myapp.five"],
        )

    async def test_badEndpoint(self) -> None:
        """
        A description that is none ends the command with one line.
        """
        await self.refused(
            "--port carrier:pigeon: that describes no endpoint: Unknown endpoint type: 'carrier'",
            *["--port", "carrier:pigeon"],
        )

    async def test_metricsPortInUse(self) -> None:
        """
        A port for those who watch that is in use is one line and the status 1, and nothing is served.
        """
        port = self.occupied().removeprefix("tcp:").partition(":")[0]
        await self.refused(
            f"cannot listen on tcp:{port}:interface=127.0.0.1: Address already in use",
            "--port",
            LOCAL,
            "--metrics",
            port,
        )

    async def test_portInUse(self) -> None:
        """
        A port in use ends the command with one line.
        """
        port = self.occupied()
        await self.refused(f"cannot listen on {port}: Address already in use", "--port", port)

    def occupied(self) -> str:
        """
        @return: the description of a port that is in use.
        """
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"tcp:{port.getHost().port}:interface=127.0.0.1"

    async def test_factoryFails(self) -> None:
        """
        A factory that can't start ends the command with one line.
        """
        line = 1 + textwrap.dedent(MYAPP).splitlines().index('        raise RuntimeError("no database")')
        await self.refused(
            f"cannot listen on {LOCAL}: RuntimeError: no database ({self.directory}/myapp.py, line {line})",
            *["--port", LOCAL, "--factory", "myapp.Unstartable"],
        )

    async def test_daemon(self) -> None:
        """
        A C{twistd} that can't serve as a daemon says why where it was started, in the words of C{twistd}, and in its
        log; it ends with a status for failures and leaves no PID file.
        """
        port = self.occupied()
        child = self.spawn("daemon", "--port", port)
        status = await child.wait(90)
        self.assertEqual(1, status)
        why = f"cannot listen on {port}: Address already in use"
        self.assertIn(why, child.errors.decode("utf-8"))
        self.assertNotIn("Traceback", child.text())
        for _ in range(900):  # the daemon tells its parent first
            if not (self.directory / "d.pid").exists():
                break
            await deferLater(reactor, 0.1)
        self.assertFalse((self.directory / "d.pid").exists())
        log = (self.directory / "twistd.log").read_text()
        self.assertIn(why, log)
        self.assertNotIn("Traceback", log)

    async def test_late(self) -> None:
        """
        An endpoint that fails when the reactor runs ends the command just so.
        """
        plugins = self.directory / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "late.py").write_text(textwrap.dedent(LATE_PLUGIN))
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": str(self.directory)})
        await self.refused("cannot listen on late: Gave up", "--port", "late")


class _UNIXEndpoints:
    """
    Leads all requests to a Unix socket.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def endpointForURI(self, uri: object) -> UNIXClientEndpoint:
        return UNIXClientEndpoint(reactor, self.path)
