# -*- test-case-name: tests.browser.check_matrix -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The matrix: every transport of the real C{sockjs-client} of npm, in pages of a real Chromium at every place from where
they may be, against a real C{twistd sockjs}.

Needs Node, a browser and, the first time, the package registry; so it is not part of the ordinary run.  Start it
with::

    python -m twisted.trial tests.browser.check_matrix

It prints what it has found as tables. With C{TXSOCKJS_MATRIX=docs} it writes them into the documentation, too, if all
is as it must be. C{CHROMIUM} names another browser than the one that is found.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred, gatherResults
from twisted.internet.task import deferLater
from twisted.python.filepath import FilePath
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.static import File

from tests.browser.driving import Browser, Page
from tests.browser.matrix import (
    ALLOWED,
    LACKING,
    LONG,
    MESSAGES,
    NO,
    PLACES,
    ROUND_TRIPS,
    STREAMING,
    TRANSPORTS,
    YES,
    Case,
    Place,
    Table,
    unavailable,
)
from tests.browser.proxies import BlockingProxy, BufferingProxy, Proxy, SilenceProxy
from tests.certificates import makeCertificate
from tests.endurance.clients import TRANSPORTS as LOADING
from tests.endurance.clients import runSession
from tests.processes import ROOT, Child, findProgram, installNodeModules, serverCommand
from tests.wire import HTTPClient, WebSocketClient

__all__ = [
    "LARGE",
    "SERVICES",
    "SLOW",
    "UNSEEN",
    "LoadMixin",
    "LoadTests",
    "MatrixMixin",
    "OriginMixin",
    "OriginTests",
    "PlaceMixin",
    "PlaceTests",
    "PlacesMixin",
    "Serving",
    "SilenceMixin",
    "SilenceTests",
    "few",
    "together",
]

HERE = FilePath(__file__).parent()

#: Seconds that one test may take.
TIMEOUT = 900

#: How many transports are tried at a time.
AT_A_TIME = 4

#: Seconds of silence after which a proxy cuts, between heartbeats, and of the silence that they bridge.
CUT, BEAT, SILENCE = 4.0, 0.5, 9.0

#: Seconds that the client is to wait for each transport where it must not give up one that is merely slow.
SLOW = 20

#: The same where one is there to be given up.
GIVE_UP = 2

#: Seconds that pages wait for anything when something is wrong already, so that it is told before long.
HURRY = 5

SERVICES = [
    "--factory=echo=txsockjs.demo.services.Echo",
    "--factory=push=tests.browser.services.Pushing",
    "--factory=close=tests.browser.services.Closing",
]

#: What the long message needs.
LARGE = ["--max-message-size=1000000", "--max-body-size=4000000", "--max-queued-bytes=4000000"]

EVERYTHING = "--transports=websocket,xhr-streaming,xhr-polling,eventsource,htmlfile,jsonp-polling,iframe"

FALLEN = "sockjs-client falls back to xhr-streaming."
BUFFERED = "sockjs-client falls back to xhr-polling."
NO_COOKIE = "A WebSocket sets no cookie; the one that is there stays."
CROSS_SITE = "It works, but the browser keeps no cookie of another site that does not say SameSite."
NOT_NAMED = "Off where origins are restricted, unless it is named."
NO_INFO = "The browser does not show /info to the page."
MUTE = "It opens, since a browser does not tell for which page it loads a script, but what the page sends is refused."
REFUSED = "The service refuses it, or the browser does for the service."
BROKEN = "Chromium does not tell that the response broke off; the page sees the close when it sends the next message."

#: The transports of which that is so.
UNSEEN = ("htmlfile", "iframe-htmlfile")


class Serving:
    """
    A C{twistd sockjs} with TCP and TLS, which can be ended and started again on the same ports.

    @ivar child: the process.
    """

    def __init__(self, pem: Path, arguments: Iterable[str]) -> None:
        self._pem = pem
        self._arguments = list(arguments)
        self._ports = [0, 0]

    async def start(self) -> None:
        """
        Start it, and wait until it serves.
        """
        tcp, tls = self._ports
        keys = f"privateKey={self._pem / 'k.pem'}:certKey={self._pem / 'c.pem'}"
        command = serverCommand(f"--port=ssl:{tls}:interface=127.0.0.1:{keys}", *self._arguments, port=tcp)
        path = os.pathsep.join(part for part in (ROOT.path, os.environ.get("PYTHONPATH")) if part)
        self.child = Child.spawn(command, environment={"PYTHONPATH": path}, name="twistd sockjs")
        for number, scheme in enumerate(("http", "https")):
            match = await self.child.waitFor(rf"serving {scheme}://127\.0\.0\.1:(\d+)/echo\b")
            self._ports[number] = int(match[1])

    async def stop(self) -> None:
        """
        End it in order.
        """
        await self.child.stop()

    async def kill(self) -> None:
        """
        End it at once.
        """
        self.child.signal(signal.SIGKILL)
        await self.child.ended()

    @property
    def port(self) -> int:
        """
        The port without TLS.
        """
        return self._ports[0]

    def origin(self, place: Place) -> str:
        """
        @return: what its URLs begin with for a page at some place.
        """
        return f"https://127.0.0.1:{self._ports[1]}" if place.secure else f"http://127.0.0.1:{self._ports[0]}"


class MatrixMixin:
    """
    A browser, servers, and a site for pages of other origins.

    @ivar place: where pages are.
    @ivar table: what is found.
    """

    timeout = TIMEOUT
    place = PLACES[0]
    table: Table

    async def setUp(self) -> None:
        program = findProgram(os.environ.get("CHROMIUM", "chromium"))
        modules = await installNodeModules(HERE)
        self.pem = Path(self.mktemp()).resolve()
        self.pem.mkdir()
        pem = makeCertificate(self.pem)
        key = ssl.Certificate.loadPEM(pem).original.to_cryptography().public_key()
        self.certificate = ssl.PrivateCertificate.loadPEM((self.pem / "k.pem").read_bytes() + pem)
        self.files = self.makeFiles(FilePath(modules).child("sockjs-client").child("dist"))
        site = Site(File(str(self.files)))
        self.sitePorts = [self.listen(site, secure) for secure in (False, True)]
        self.wrong: list[str] = []
        self.browser = await Browser.launch(program, modules, spkiHash(key))
        self.addCleanup(self.endBrowser)

    async def endBrowser(self) -> None:
        """
        End the browser, which its end of orders asks for.
        """
        self.browser.transport.closeStdin()
        await self.browser.wait(60)

    def makeFiles(self, scripts: FilePath[str]) -> Path:
        """
        Make a folder with the pages and the client, for whoever serves pages. The client is that in C{node_modules}.
        """
        files = Path(self.mktemp()).resolve()
        files.mkdir()
        for path in [*HERE.child("pages").children(), scripts.child("sockjs.min.js"), scripts.child("sockjs.js")]:
            (files / path.basename()).symlink_to(path.path)
        return files

    def listen(self, factory: Any, secure: bool) -> int:
        """
        @return: the port where it listens.
        """
        if secure:
            # Each has a context of its own: a Site puts into it that it takes HTTP/2, which proxies don't.
            port = reactor.listenSSL(0, factory, self.certificate.options(), interface="127.0.0.1")
        else:
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return port.getHost().port

    def proxy(self, proxy: Proxy, place: Place) -> str:
        """
        @return: what URLs through a proxy begin with for a page at some place.
        """
        self.addCleanup(proxy.stop)
        return f"{'https' if place.secure else 'http'}://127.0.0.1:{self.listen(proxy, place.secure)}"

    async def serve(self, *arguments: str) -> Serving:
        """
        Start a server, which gives the pages and the client, too.
        """
        server = Serving(self.pem, ["--static", str(self.files), "--sockjs-url=/sockjs.min.js", *arguments])
        await server.start()
        self.addCleanup(lambda: ensureDeferred(server.stop()))
        return server

    async def proxied(
        self, make: Callable[[int], Proxy], arguments: Iterable[str], server: Serving | None = None
    ) -> tuple[Any, str]:
        """
        Put a proxy between pages and a server.

        @param make: makes it for a port of the server.
        @param arguments: those of the server.
        @param server: one with these arguments, if there is one already.

        @return: the proxy, and what URLs through it begin with.
        """
        proxy = make((server or await self.serve(*arguments)).port)
        return proxy, self.proxy(proxy, self.place)

    def siteOrigin(self, place: Place) -> str:
        """
        @return: the origin of pages that are not the service's own.
        """
        return f"{'https' if place.secure else 'http'}://{place.host}:{self.sitePorts[place.secure]}"

    def url(self, place: Place, origin: str, script: str = "sockjs.min.js") -> str:
        """
        @return: that of a page at some place, for a service at some origin.
        """
        if place.host is not None:
            origin = self.siteOrigin(place)
        query = f"script={script}{'&worker' if place.worker else ''}{'&tell' if script == 'sockjs.js' else ''}"
        return f"{origin}/index.html?{query}"

    async def open(self, place: Place, origin: str, **order: Any) -> Page:
        """
        Open a page at some place, for a service at some origin.
        """
        return await self.browser.open(self.url(place, origin), **order)

    async def cell(self, case: str, transport: str, found: Awaitable[str | tuple[str, str]]) -> bool:
        """
        Wait for what there is to say of a cell. What is not as it must be is said at the end, with all the rest.

        @return: whether it is.
        """
        try:
            answer = await found
        except Exception as error:
            self.browser.patience = HURRY
            self.wrong.append(f"{case} by {transport}: {type(error).__name__}: {str(error)[:2000]}")
            self.table.set(case, transport, "WRONG")
            return False
        self.table.set(case, transport, *((answer,) if isinstance(answer, str) else answer))
        return True

    def conclude(self) -> None:
        """
        Show the table, and fail if anything in it is wrong or missing.
        """
        self.wrong.extend(f"{case} by {transport} was not tried" for case, transport in self.table.empty())
        print(f"\n\n{self.table.title}\n\n{self.table.asText()}", flush=True)
        if self.wrong:
            self.fail("\n".join(self.wrong))
        self.record()

    def record(self) -> None:
        """
        Write what was found into the documentation, if that is wanted.
        """
        if os.environ.get("TXSOCKJS_MATRIX") == "docs":
            self.table.write()

    # -- what pages do ------------------------------------------------------------------------------------------------

    async def connect(self, page: Page, url: str, transports: Any, by: str | None, **order: Any) -> dict[str, Any]:
        """
        Connect, by just this transport in the end; or by none, if it is L{None}.
        """
        told = await page.act("connect", "it", url=url, transports=transports, **order)
        self.assertEqual((told["transport"], told["messages"]), (by, []), told)
        return told

    async def exchange(self, page: Page, messages: list[Any]) -> None:
        """
        Have messages echoed.
        """
        told = await page.act("send", "it", messages=messages, expect=len(messages))
        self.assertSame(told["messages"], messages)
        self.assertEqual((told["early"], told["late"], told["closed"]), (0, 0, None))

    async def finish(self, page: Page) -> None:
        """
        Close, after which there must be nothing more.
        """
        told = await page.act("close", "it", code=3456, reason="enough")
        self.assertEqual(told["closed"], {"code": 3456, "reason": "enough", "clean": True})
        self.assertEqual((told["messages"], told["late"]), ([], 0))

    async def refuse(self, page: Page, url: str, transport: str, **order: Any) -> None:
        """
        The client opens by no transport, and gives up by itself.
        """
        told = await self.connect(page, url, [transport], None, **order)
        self.assertIn((told["closed"] or {}).get("code"), (1002, 2000), told)

    def assertSame(self, found: list[Any], wanted: list[Any]) -> None:
        """
        Texts are the same; what differs is shown, but not by hundreds of thousands.
        """
        for number, (one, other) in enumerate(zip(found, wanted)):
            if one != other:
                self.fail(f"message {number} is {one[:100]!r}, not {other[:100]!r}")
        self.assertEqual(len(found), len(wanted))


def spkiHash(key: Any) -> str:
    """
    @return: how Chromium names the public key of a certificate.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")


async def together(*work: Awaitable[Any]) -> list[Any]:
    """
    Do things at the same time.
    """
    return await gatherResults([ensureDeferred(one) for one in work], consumeErrors=True)


async def few(work: Callable[..., Awaitable[None]], things: Iterable[tuple[Any, ...]]) -> None:
    """
    Do something with each of some things; with as many at a time as leave a small machine enough for each, for
    sockjs-client waits no more than two seconds for the script of an iframe.
    """
    tokens = DeferredSemaphore(AT_A_TIME)
    await together(*(tokens.run(lambda some=some: ensureDeferred(work(*some))) for some in things))


class PlaceMixin(MatrixMixin):
    """
    What can be done from a page at some place.
    """

    #: What is done beside the cases of each place.
    more: Sequence[Case] = ()

    #: What the servers serve, but for that of the demo.
    services: Sequence[str] = SERVICES

    async def check(self, name: str) -> None:
        """
        Fill a table.
        """
        self.place = next(place for place in PLACES if place.name == name)
        self.table = Table(name, self.more)
        main = [*self.services, *LARGE]
        beating = [f"--heartbeat-delay={BEAT}", "--ping-interval=0"]
        self.main, self.demo, self.mortal = await together(self.serve(*main), self.serve(), self.serve(*self.services))
        (self.blocking, self.blocked), (_, self.buffered), (_, self.silenced) = await together(
            self.proxied(lambda port: BlockingProxy(reactor, port), main, self.main),
            self.proxied(lambda port: BufferingProxy(reactor, port), main, self.main),
            self.proxied(lambda port: SilenceProxy(reactor, port, CUT), beating),
        )
        await self.abilities()
        self.missing = unavailable(self.place)
        offered = [name for name in TRANSPORTS if name not in self.missing]
        pages = {name: await self.open(self.place, self.main.origin(self.place)) for name in TRANSPORTS}
        beside = {name: await pages[name].openBeside(self.url(self.place, self.silenced)) for name in offered}
        await together(
            *(self.cell("heartbeats", name, self.heartbeats(beside[name], name)) for name in offered),
            few(self.tryOut, pages.items()),
        )
        if self.blocking.refused < len(offered):
            self.wrong.append(f"the proxy has blocked only {self.blocking.refused} WebSockets")
        await self.restarts({name: pages[name] for name in offered})
        self.conclude()

    # -- what the client says itself ----------------------------------------------------------------------------------

    async def abilities(self) -> None:
        """
        The client says that it would use what is said here, and nothing else.
        """
        origin = self.main.origin(self.place)
        page = await self.browser.open(self.url(self.place, origin, "sockjs.js"))
        await self.connect(page, f"{origin}/echo", None, "websocket", timeout=SLOW)
        said = {name: able for name, able in await page.act("told") if not name.startswith("xdr-")}
        self.assertEqual(said, {name: name not in unavailable(self.place) for name in TRANSPORTS})
        await page.leave()

    async def tryOut(self, transport: str, page: Page) -> None:
        """
        Do what can be done by a transport.
        """
        await (self.lack if transport in self.missing else self.talk)(transport, page)

    async def lack(self, transport: str, page: Page) -> None:
        """
        The client does not try what it does not offer.
        """
        await self.refuse(page, f"{self.main.origin(self.place)}/echo", transport)
        for case in self.table.rows:
            self.table.set(case.name, transport, LACKING, self.missing[transport])

    # -- one transport ------------------------------------------------------------------------------------------------

    async def talk(self, transport: str, page: Page) -> None:
        """
        Do everything that does not need the server to end.
        """
        main = self.main.origin(self.place)
        if await self.cell("open", transport, self.opens(page, f"{main}/echo", transport)):
            await self.cell("messages", transport, self.messages(page))
            await self.cell("long", transport, self.long(page))
            await self.cell("closeByClient", transport, self.closeByClient(page))
        await self.cell("push", transport, self.push(page, f"{main}/push", transport))
        await self.cell("closeByServer", transport, self.closeByServer(page, f"{main}/close", transport))
        off = f"{self.demo.origin(self.place)}/disabled_websocket_echo"
        await self.cell("websocketOff", transport, self.withoutWebSocket(page, off, transport))
        await self.cell("websocketBlocked", transport, self.withoutWebSocket(page, f"{self.blocked}/echo", transport))
        await self.cell("buffered", transport, self.withoutStreams(page, f"{self.buffered}/echo", transport))
        needing = f"{self.demo.origin(self.place)}/cookie_needed_echo"
        await self.cell("cookie", transport, self.cookie(page, needing, transport))

    async def goTo(self, page: Page, service: str) -> None:
        """
        Have the page come from where it is to be for a service: its own page is another one wherever it seems to be.
        """
        if self.place.host is None:
            await page.go(self.url(self.place, service.rpartition("/")[0]))

    async def opens(self, page: Page, url: str, transport: str) -> str:
        """
        The connection opens by just this transport.
        """
        await self.connect(page, url, [transport], transport, timeout=SLOW)
        return YES

    async def messages(self, page: Page) -> str:
        """
        A hundred messages sent at once come back unchanged and in order.
        """
        await self.exchange(page, MESSAGES)
        return YES

    async def long(self, page: Page) -> str:
        """
        A long message comes back whole, and so do its neighbours.
        """
        await self.exchange(page, ["before", LONG, "after"])
        return YES

    async def closeByClient(self, page: Page) -> str:
        """
        The page closes with a code and a reason of its own.
        """
        await self.finish(page)
        return YES

    async def push(self, page: Page, url: str, transport: str) -> str:
        """
        A hundred messages come that nobody has asked for.
        """
        told = await page.act("connect", "it", url=url, transports=[transport], timeout=SLOW)
        self.assertEqual(told["transport"], transport)
        first = told["messages"]
        told = await page.act("send", "it", messages=[], expect=len(MESSAGES) - len(first))
        self.assertSame(first + told["messages"], MESSAGES)
        await self.finish(page)
        return YES

    async def closeByServer(self, page: Page, url: str, transport: str) -> str:
        """
        The page is told the code and the reason, after what was written before.
        """
        await self.connect(page, url, [transport], transport, timeout=SLOW)
        farewell = {"code": 4321, "reason": 'Enough \N{SNOWMAN} "quoted" </script> %41'}
        order = json.dumps([farewell["code"], farewell["reason"]])
        told = await page.act("send", "it", messages=[order], expect=2)
        self.assertEqual((told["messages"], told["late"]), (["farewell"], 0))
        self.assertEqual(told["closed"], {**farewell, "clean": True})
        return YES

    # -- fallback -----------------------------------------------------------------------------------------------------

    async def withoutWebSocket(self, page: Page, url: str, transport: str) -> str | tuple[str, str]:
        """
        Told to use WebSocket or this transport, the client arrives at this one. Without it, told nothing, at the next.
        """
        await self.goTo(page, url)
        if transport == "websocket":
            await self.connect(page, url, None, "xhr-streaming", timeout=SLOW)
        else:
            await self.connect(page, url, ["websocket", transport], transport, timeout=SLOW)
        await self.exchange(page, MESSAGES)
        await self.finish(page)
        return (YES, FALLEN) if transport == "websocket" else YES

    async def withoutStreams(self, page: Page, url: str, transport: str) -> str | tuple[str, str]:
        """
        The client gives up a stream that does not come through, and what is no stream works.
        """
        await self.goTo(page, url)
        streams = transport in STREAMING
        by = "xhr-polling" if streams else transport
        timeout = GIVE_UP if streams else SLOW
        await self.connect(page, url, list({transport, by}), by, timeout=timeout)
        await self.exchange(page, MESSAGES)
        await self.finish(page)
        return (YES, BUFFERED) if streams else YES

    # -- silence and cookies ------------------------------------------------------------------------------------------

    async def heartbeats(self, page: Page, transport: str) -> str:
        """
        Heartbeats keep the connection, though a proxy cuts what is silent.
        """
        await self.connect(page, f"{self.silenced}/echo", [transport], transport, timeout=SLOW)
        told = await page.act("idle", "it", seconds=SILENCE)
        self.assertEqual((told["closed"], told["messages"]), (None, []))
        self.assertGreaterEqual(told["heartbeats"], SILENCE / CUT + 1)
        await self.exchange(page, MESSAGES)
        await self.finish(page)
        return YES

    async def cookie(self, page: Page, url: str, transport: str) -> str | tuple[str, str]:
        """
        The service sets its cookie, and takes over the value that it is sent.

        If it was not sent the value that is set here, it would set another one.
        """
        await self.goTo(page, url)
        await page.clearCookies()
        kept = transport != "websocket" and self.place.sameSite
        for value, before in (("dummy", {}), ("node-7", {"JSESSIONID": "node-7"})):
            if before:
                await page.setCookie(url=url.rpartition("/")[0], name="JSESSIONID", value=value)
            await self.connect(page, url, [transport], transport, timeout=SLOW)
            await self.exchange(page, MESSAGES[:10])
            await self.finish(page)
            found = await page.cookies()
            self.assertEqual(found, {"JSESSIONID": self.cookieOf(value, found)} if kept else before)
        if transport == "websocket":
            return YES, NO_COOKIE
        return YES if self.place.sameSite else (YES, CROSS_SITE)

    def cookieOf(self, value: str, found: dict[str, str]) -> str:
        """
        @param value: what the browser had, or C{dummy}.
        @param found: the cookies that it has now.

        @return: what the service makes of that.
        """
        return value

    # -- a server that ends -------------------------------------------------------------------------------------------

    async def restarts(self, pages: dict[str, Page]) -> None:
        """
        The server ends and starts again, twice: in order, when pages are told; and not.
        """
        for page in pages.values():
            await self.goTo(page, f"{self.mortal.origin(self.place)}/echo")
        for case, end in (("restart", self.mortal.stop), ("kill", self.mortal.kill)):
            ready = Barrier(pages)
            survived = ensureDeferred(together(*(self.goThrough(case, name, pages[name], ready) for name in pages)))
            await ready.met
            await end()
            await self.mortal.start()
            await survived

    async def goThrough(self, case: str, transport: str, page: Page, ready: Barrier) -> None:
        """
        Say of a cell whether the page survives.
        """
        await self.cell(case, transport, self.survive(page, transport, ready, case == "restart"))
        ready.arrive(transport)

    async def survive(self, page: Page, transport: str, ready: Barrier, inOrder: bool) -> str | tuple[str, str]:
        """
        The page sees a close, reconnects, and goes on.
        """
        url = f"{self.mortal.origin(self.place)}/echo"
        await self.connect(page, url, [transport], transport, timeout=SLOW)
        await self.exchange(page, MESSAGES[:10])
        ready.arrive(transport)
        await ready.met  # others may take longer than a page waits for the end
        answer = await self.comeBack(page, url, transport, inOrder)
        await self.finish(page)
        return answer

    async def comeBack(self, page: Page, url: str, transport: str, inOrder: bool) -> str | tuple[str, str]:
        """
        Wait for the close that there is to be, reconnect, and go on.
        """
        unseen = transport in UNSEEN and not inOrder
        told = await (page.act("idle", "it", seconds=5) if unseen else page.act("closed", "it"))
        if unseen and told["closed"] is None:
            told = await page.act("send", "it", messages=["are you there?"], expect=1)
        self.assertEqual((told["messages"], told["late"]), ([], 0))
        self.assertIsNotNone(told["closed"])
        if inOrder:
            self.assertEqual(told["closed"], {"code": 3000, "reason": "Go away!", "clean": True})
        else:
            self.assertFalse(told["closed"]["clean"], told["closed"])
        told = await page.act("reconnect", "it", url=url, transports=[transport], timeout=SLOW)
        self.assertEqual(told["transport"], transport)
        await self.exchange(page, MESSAGES)
        return (YES, BROKEN) if unseen else YES


class PlacesMixin(PlaceMixin):
    """
    Everything, from pages at each place.
    """

    async def test_own(self) -> None:
        """
        Everything works from a page that the service's own origin serves.
        """
        await self.check("own")

    async def test_port(self) -> None:
        """
        Everything works from a page of the same host and another port.
        """
        await self.check("port")

    async def test_host(self) -> None:
        """
        Everything works from a page of another site.
        """
        await self.check("host")

    async def test_worker(self) -> None:
        """
        What needs no document works from a Web Worker.
        """
        await self.check("worker")

    async def test_workerHost(self) -> None:
        """
        What needs no document works from a Web Worker of another site.
        """
        await self.check("worker-host")

    async def test_tls(self) -> None:
        """
        Everything works over TLS.
        """
        await self.check("tls")

    async def test_tlsHost(self) -> None:
        """
        Everything works over TLS from a page of another site.
        """
        await self.check("tls-host")


class PlaceTests(PlacesMixin, TestCase):
    """
    The same, for one process.
    """


class Barrier:
    """
    Tells when everyone is there.

    @ivar met: fires then.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._missing = set(names)
        self.met: Deferred[None] = Deferred()

    def arrive(self, name: str) -> None:
        """
        Someone is there, or will not come; it may be said twice.
        """
        self._missing.discard(name)
        if not self._missing and not self.met.called:
            self.met.callback(None)


class SilenceMixin(MatrixMixin):
    """
    The proxy that cuts what is silent.
    """

    async def test_withoutHeartbeats(self) -> None:
        """
        A service without heartbeats loses its connections there: so it is they that keep them.
        """
        never = ["--heartbeat-delay=0", "--ping-interval=0"]
        _, origin = await self.proxied(lambda port: SilenceProxy(reactor, port, CUT), never)

        async def lose(transport: str) -> None:
            page = await self.open(self.place, origin)
            await self.connect(page, f"{origin}/echo", [transport], transport, timeout=SLOW)
            told = await page.act("idle", "it", seconds=SILENCE)
            if transport in UNSEEN and told["closed"] is None:
                told = await page.act("send", "it", messages=["are you there?"], expect=1)
            # The first lines of xhr-streaming look like one.
            self.assertLessEqual(told["heartbeats"], 1)
            if told["closed"] is None:
                kept.append(transport)

        kept: list[str] = []
        await together(*map(lose, TRANSPORTS))
        self.assertEqual(kept, [])


class SilenceTests(SilenceMixin, TestCase):
    """
    The same, for one process.
    """


class OriginMixin(MatrixMixin):
    """
    A service with an allow-list of origins.
    """

    async def test_origins(self) -> None:
        """
        The page allowed uses every transport that is on, and a foreign one none.
        """
        self.table = Table("origins")
        self.allowed = next(place for place in PLACES if place.name == "host")
        self.foreign = next(place for place in PLACES if place.name == "port")
        origins = f"--origins={self.siteOrigin(self.allowed)}"
        self.few, self.all = await together(self.serve(origins), self.serve(origins, EVERYTHING))
        await few(self.check, zip(TRANSPORTS))
        self.conclude()

    async def check(self, transport: str) -> None:
        """
        Try one transport in all ways.
        """
        await self.cell("allowed", transport, self.visit(self.few, transport, transport in ALLOWED))
        await self.cell("allowedNamed", transport, self.visit(self.all, transport, True))
        await self.cell("foreign", transport, self.intrude(self.few, transport))
        await self.cell("foreignNamed", transport, self.intrude(self.all, transport))
        await self.cell("foreignForced", transport, self.force(self.few, transport))
        await self.cell("foreignNamedForced", transport, self.force(self.all, transport))

    async def visit(self, server: Serving, transport: str, on: bool) -> str | tuple[str, str]:
        """
        Come from a page that is allowed.
        """
        url = f"{server.origin(self.allowed)}/echo"
        page = await self.open(self.allowed, "")
        missing = unavailable(self.allowed)
        if not on or transport in missing:
            await self.refuse(page, url, transport, timeout=GIVE_UP)
            await page.leave()
            return (NO, NOT_NAMED) if not on else (LACKING, missing[transport])
        await self.connect(page, url, [transport], transport, timeout=SLOW)
        await self.exchange(page, MESSAGES)
        await self.finish(page)
        await page.leave()
        return YES

    async def intrude(self, server: Serving, transport: str) -> tuple[str, str]:
        """
        Come from a page that is not.
        """
        page = await self.open(self.foreign, "")
        await self.refuse(page, f"{server.origin(self.foreign)}/echo", transport)
        await page.leave()
        return NO, NO_INFO

    async def force(self, server: Serving, transport: str) -> tuple[str, str]:
        """
        Come from a page that is not, and pretend to have seen /info.
        """
        info = {"websocket": True, "cookie_needed": False, "origins": ["*:*"], "entropy": 1}
        page = await self.open(self.foreign, "", info=info)
        missing = unavailable(self.foreign)
        url = f"{server.origin(self.foreign)}/echo"
        if transport == "jsonp-polling" and server is self.all:
            await self.connect(page, url, [transport], transport)
            told = await page.act("send", "it", messages=["hello"], expect=1, patience=3)
            self.assertEqual(told["messages"], [])
            await page.leave()
            return NO, MUTE
        await self.refuse(page, url, transport, timeout=GIVE_UP)
        await page.leave()
        return (LACKING, missing[transport]) if transport in missing else (NO, REFUSED)


class OriginTests(OriginMixin, TestCase):
    """
    The same, for one process.
    """


class LoadMixin(MatrixMixin):
    """
    A service that has much to do.
    """

    async def test_load(self) -> None:
        """
        Every transport opens in the time that sockjs-client gives it, while many others use the service.
        """
        self.table = Table("load")
        server = await self.serve(*SERVICES)
        load = Load(f"http://127.0.0.1:{server.port}/echo")
        self.addCleanup(lambda: ensureDeferred(load.stop()))
        await load.start()
        for row in self.table.rows:
            place = next(place for place in PLACES if place.name == row.name)
            for transport in TRANSPORTS:
                await self.cell(row.name, transport, self.check(server, place, transport))
        await load.stop()
        # It was one.
        self.assertGreater(load.sessions, 100)
        self.assertGreater(load.messages, 1000)
        self.table.remark(load.report())
        self.conclude()

    async def check(self, server: Serving, place: Place, transport: str) -> str | tuple[str, str]:
        """
        Open by one transport, in as little time as the client allows; if it takes longer, the client takes another.
        """
        origin = server.origin(place)
        page = await self.open(place, origin)
        missing = unavailable(place)
        if transport in missing:
            await page.leave()
            return LACKING, missing[transport]
        # The client tries them in an order of its own, and these last.
        last = "xhr-polling" if place.worker else "jsonp-polling"
        told = await self.connect(page, f"{origin}/echo", [transport, last], transport)
        await self.finish(page)
        await page.leave()
        return f"{told['took']:.0f} of {told['rto'] * ROUND_TRIPS[transport]:.0f}"


class LoadTests(LoadMixin, TestCase):
    """
    The same, for one process.
    """


class Load:
    """
    Other users: WebSockets that talk all the time, and sessions by every transport that come and go.

    @ivar messages: how many were echoed to the former.
    @ivar sessions: how many of the latter there were.
    """

    #: How many talk, and the seconds between the messages of one.
    TALKERS, PAUSE = 100, 0.2

    #: How many come and go at a time, by each transport, and the seconds between two.
    COMERS, BREAK = 2, 0.05

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = HTTPClient(reactor, url)
        self._numbers = itertools.count()
        self._loops: list[Deferred[None]] = []
        self._running = True
        self._began = self._ended = 0.0
        self.messages = self.sessions = 0

    async def start(self) -> None:
        """
        Begin, and wait until it is at its full strength.
        """
        sockets = [await self._client.websocket(f"/0/{number}/websocket") for number in range(self.TALKERS)]
        loops = [self._talk(socket) for socket in sockets]
        loops += [self._comeAndGo(name) for name in LOADING for _ in range(self.COMERS)]
        self._loops = [ensureDeferred(loop) for loop in loops]
        self._began = reactor.seconds()

    async def stop(self) -> None:
        """
        End; what has gone wrong is raised. It may be said twice.
        """
        loops, self._loops = self._loops, []
        if not loops:
            return
        self._running, self._ended = False, reactor.seconds()
        try:
            await gatherResults(loops, consumeErrors=True)
        finally:
            await self._client.close()

    def report(self) -> str:
        """
        @return: how much it was.
        """
        seconds = self._ended - self._began
        return (
            f"The load: {self.messages / seconds:.0f} messages a second to and from {self.TALKERS} WebSockets, and "
            f"{self.sessions / seconds:.0f} sessions a second by all transports."
        )

    async def _talk(self, socket: WebSocketClient) -> None:
        await socket.message()
        while self._running:
            socket.sendText('["hello"]')
            if await socket.message() != 'a["hello"]':
                raise AssertionError("a WebSocket of the load got something else")
            self.messages += 1
            await deferLater(reactor, self.PAUSE)

    async def _comeAndGo(self, transport: str) -> None:
        while self._running:
            await runSession(reactor, self._url, transport, f"n{next(self._numbers)}", "client")
            self.sessions += 1
            await deferLater(reactor, self.BREAK)
