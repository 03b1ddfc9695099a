# -*- test-case-name: tests.browser.check_iframe -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The transports that need frames or scripts, in a real Chromium with the real C{sockjs-client} of npm: what the
Content-Security-Policies and the option C{origins} let through, and what they keep out.

Needs Node, a browser and, the first time, the package registry; so it is not part of the ordinary run.  Start it
with::

    python -m twisted.trial tests.browser.check_iframe

C{CHROMIUM} names another browser than the one that is found.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor
from twisted.python.filepath import FilePath
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.static import Data, File

from tests.processes import findProgram, installNodeModules, runNode, startServer

__all__ = ["OpenTests", "RestrictedTests"]

HERE = FilePath(__file__).parent()

#: Seconds for any one visit.
PATIENCE = 30

#: Seconds for one whole run of the browser.
RUN_TIMEOUT = 300.0

#: Also what would do something in a page, if it was let.
MESSAGES = ["hello", "</script><b>x</b> <!-- &amp; %41", 'line\N{LINE SEPARATOR}end \N{GRINNING FACE} "quoted"']

#: The link keeps the browser from asking for an icon, and complaining.
PAGE = b"""<!doctype html>
<html><head><link rel="icon" href="data:,"><script src="/sockjs.min.js"></script></head><body></body></html>
"""

#: What works from a page of another origin by a frame or a script of the service's own.
FOREIGN = ["iframe-eventsource", "iframe-htmlfile", "iframe-xhr-polling", "jsonp-polling"]

#: What works only from a page of the service's own origin.
OWN = ["htmlfile", "jsonp-polling"]

#: The transports of the server that these need.
NEEDED = "xhr-polling,eventsource,htmlfile,jsonp-polling,iframe"

WORKED = {"received": MESSAGES, "closed": [3456, "enough"], "complaints": []}


class FrameMixin:
    """
    A page of another origin, and a folder with the same page for the service to serve itself.

    @ivar page: a page on C{localhost}; to a browser, that is another site than 127.0.0.1.
    @ivar files: what C{--static} is to serve.
    """

    async def setUp(self) -> None:
        self.browser = findProgram(os.environ.get("CHROMIUM", "chromium"))
        self.modules = await installNodeModules(HERE)
        scripts = FilePath(self.modules).child("sockjs-client").child("dist")
        self.root = File(scripts.path)
        self.root.putChild(b"page.html", Data(PAGE, "text/html"))
        port = reactor.listenTCP(0, Site(self.root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.origin = f"http://localhost:{port.getHost().port}"
        self.page = f"{self.origin}/page.html"
        self.script = f"http://127.0.0.1:{port.getHost().port}/sockjs.min.js"
        self.files = FilePath(self.mktemp())
        self.files.makedirs()
        self.files.child("page.html").setContent(PAGE)
        scripts.child("sockjs.min.js").copyTo(self.files.child("sockjs.min.js"))

    async def serve(self, *arguments: str) -> None:
        """
        Start a server that serves the page as well.
        """
        self.server = await startServer(self, "--static", self.files.path, *arguments)

    async def visit(self, page: str, *transports: str) -> list[dict[str, Any]]:
        """
        Talk to the echo from a page, by each of the transports.
        """
        visits = [
            {"page": page, "service": f"{self.server.url}/echo", "transport": name, "messages": MESSAGES}
            for name in transports
        ]
        orders = {"browser": self.browser, "visits": visits, "patience": PATIENCE}
        answer = await runNode(HERE.child("iframe.js"), self.modules, orders, RUN_TIMEOUT)
        return answer["visits"]

    async def assertWorks(self, page: str, *transports: str) -> None:
        """
        Each of the transports opens, carries what was sent both ways and closes, and the browser has no complaint.
        """
        for name, seen in zip(transports, await self.visit(page, *transports), strict=True):
            self.assertEqual(seen, {"transport": name, **WORKED})

    async def assertRefused(self, complaint: str, page: str, *transports: str) -> None:
        """
        None of the transports opens, and the browser says why.
        """
        for seen in await self.visit(page, *transports):
            self.assertEqual((seen["transport"], seen["received"]), (None, []))
            self.assertIn(complaint, " ".join(seen["complaints"]))


class OpenTests(FrameMixin, TestCase):
    """
    A service that every page may use.
    """

    async def test_foreign(self) -> None:
        """
        Pages of another origin use the iframe page, which loads the client from yet another one, and scripts.
        """
        await self.serve("--sockjs-url", self.script)
        await self.assertWorks(self.page, *FOREIGN)

    async def test_foreignOwnScript(self) -> None:
        """
        The iframe page may load the client from the service's own origin as well.
        """
        await self.serve("--sockjs-url", "/sockjs.min.js")
        await self.assertWorks(self.page, *FOREIGN)

    async def test_own(self) -> None:
        """
        Pages of the service's own origin use frames and scripts, with and without the iframe page.
        """
        await self.serve("--sockjs-url", "/sockjs.min.js")
        await self.assertWorks(f"{self.server.url}/page.html", *OWN, *FOREIGN)


class RestrictedTests(FrameMixin, TestCase):
    """
    A service that only some pages may use.
    """

    async def test_allowed(self) -> None:
        """
        Pages of an origin that is listed use whatever is named.
        """
        await self.serve("--sockjs-url", "/sockjs.min.js", "--origins", self.origin, "--transports", NEEDED)
        await self.assertWorks(self.page, *FOREIGN)
        await self.assertWorks(f"{self.server.url}/page.html", *OWN)

    async def test_wildcard(self) -> None:
        """
        Wildcards mean the same to the browser as to the server.
        """
        await self.serve("--sockjs-url", "/sockjs.min.js", "--origins", "localhost:*", "--transports", NEEDED)
        await self.assertWorks(self.page, *FOREIGN)

    async def test_framesRefused(self) -> None:
        """
        The browser shows the iframe page to no page of another origin, though it asks for it without telling which.
        """
        await self.serve("--sockjs-url", "/sockjs.min.js", "--origins", "https://app.example", "--transports", NEEDED)
        # The client would not come as far as this.
        frame = f'<iframe src="{self.server.url}/echo/iframe.html"></iframe></body>'.encode("ascii")
        self.root.putChild(b"framing.html", Data(PAGE.replace(b"</body>", frame), "text/html"))
        await self.assertRefused("frame-ancestors", f"{self.origin}/framing.html", "iframe-eventsource")

    async def test_refused(self) -> None:
        """
        Pages of an origin that is not listed don't even see what the service can do.
        """
        await self.serve("--sockjs-url", "/sockjs.min.js", "--origins", "https://app.example", "--transports", NEEDED)
        await self.assertRefused("CORS", self.page, *FOREIGN)

    async def test_same(self) -> None:
        """
        Pages of the service's own origin go on to work where no others do.
        """
        await self.serve("--origins", "same", "--transports", NEEDED)
        await self.assertWorks(f"{self.server.url}/page.html", *OWN)
        await self.assertRefused("CORS", self.page, "jsonp-polling")
