# -*- test-case-name: tests.browser.check_demo -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The demonstration page of C{twistd sockjs} in a real Chromium, with the real C{sockjs-client} of npm.

Needs Node, a browser and, the first time, the package registry; so it is not part of the ordinary run.  Start it
with::

    python -m twisted.trial tests.browser.check_demo

C{CHROMIUM} names another browser than the one that is found, and C{TXSOCKJS_SCREENSHOTS} a folder for pictures.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import reactor
from twisted.python.filepath import FilePath
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.static import File

from tests.processes import findProgram, installNodeModules, runNode, startServer

__all__ = ["ClientTests", "LookTests", "MissingClientTests"]

HERE = FilePath(__file__).parent()

#: Seconds that the browser waits for any one thing.
PATIENCE = 30

#: Seconds for one whole run of the browser.
RUN_TIMEOUT = 240.0

SERVICES = [
    "/echo",
    "/disabled_websocket_echo",
    "/cookie_needed_echo",
    "/close",
    "/ticker",
    "/amplify",
    "/broadcast",
]

#: What a person may type and a careless page would run, decode or lose.
TYPED = [
    "hello",
    "</script><b>x</b><img src=x onerror=alert(1)> <!-- &amp; %41 %2541",
    'line\N{LINE SEPARATOR}end \N{GRINNING FACE} e\N{COMBINING ACUTE ACCENT} "quoted" \\u0041',
]


class BrowserMixin:
    """
    A server, a place from where the page can load the client, and a browser.

    @cvar script: the file of the client below C{sockjs-client/dist} that the server is told to name.
    """

    script = "sockjs.min.js"

    async def setUp(self) -> None:
        self.browser = findProgram(os.environ.get("CHROMIUM", "chromium"))
        self.modules = await installNodeModules(HERE)
        scripts = FilePath(self.modules).child("sockjs-client").child("dist")
        port = reactor.listenTCP(0, Site(File(scripts.path)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.scriptUrl = f"http://127.0.0.1:{port.getHost().port}/{self.script}"
        self.server = await startServer(self, "--sockjs-url", self.scriptUrl)

    async def browse(self, *visits: dict[str, Any], **job: Any) -> dict[str, Any]:
        """
        Open the page and visit services; nothing but the two servers may be asked for anything.
        """
        orders = {
            "browser": self.browser,
            "url": self.server.url + "/",
            "visits": visits,
            "patience": PATIENCE,
            **job,
        }
        answer = await runNode(HERE.child("demo.js"), self.modules, orders, RUN_TIMEOUT)
        allowed = {urlsplit(self.server.url).netloc, urlsplit(self.scriptUrl).netloc}
        self.assertEqual(set(answer["hosts"]) - allowed, set())
        self.assertEqual(answer["dialogs"], 0)
        return answer

    def picture(self, name: str) -> dict[str, str]:
        """
        The order to take a picture, when somebody wants pictures.
        """
        folder = os.environ.get("TXSOCKJS_SCREENSHOTS")
        if not folder:
            return {}
        path = FilePath(os.path.abspath(folder))
        path.makedirs(ignoreExistingDirectory=True)
        return {"screenshot": path.child(name + ".png").path}

    def assertTalked(self, visit: dict[str, Any], sent: list[str]) -> None:
        """
        A visit opened, got back what was typed, in order and shown as text, and closed.
        """
        log = visit["log"]
        for kind in ("sent", "received"):
            self.assertEqual([entry["text"] for entry in log if entry["kind"] == kind], sent)
        self.assertEqual([entry["markup"] for entry in log], [0] * len(log))
        self.assertEqual(log[0]["kind"], "opened")
        self.assertEqual(log[-1]["kind"], "closed")
        self.assertTrue(all(entry["time"] for entry in log))


class ClientTests(BrowserMixin, TestCase):
    """
    The page with the client loaded.
    """

    async def echo(self, transport: str, **order: Any) -> dict[str, Any]:
        """
        Type into the echo by one transport.
        """
        visit = {"service": "echo", "transport": transport, "type": TYPED, "until": "received", **order}
        answer = await self.browse(visit)
        self.assertEqual(answer["errors"], [])
        [visited] = answer["visits"]
        self.assertTalked(visited, TYPED)
        return visited

    async def check(self, transport: str) -> None:
        """
        The echo works by exactly this transport, and the page says which it is.
        """
        visited = await self.echo(transport)
        self.assertEqual(visited["open"]["status"], f"Connected to /echo over {transport}")
        self.assertTrue(visited["log"][0]["text"].startswith(f"/echo over {transport},"))
        self.assertEqual(visited["log"][-1]["text"], "1000 Normal closure")

    async def test_services(self) -> None:
        """
        The page lists every service, offers each one, and has no notice to give.
        """
        start = (await self.browse())["start"]
        self.assertEqual(start["services"], SERVICES)
        self.assertEqual(start["choices"], SERVICES)
        self.assertEqual(start["notice"], None)
        self.assertEqual(start["status"], "Not connected")
        self.assertEqual(start["unlabelled"], [])

    async def test_websocket(self) -> None:
        """
        The echo works over WebSocket.
        """
        await self.check("websocket")

    async def test_xhrStreaming(self) -> None:
        """
        The echo works over streamed responses.
        """
        await self.check("xhr-streaming")

    async def test_xhrPolling(self) -> None:
        """
        The echo works over one response after another.
        """
        await self.check("xhr-polling")

    async def test_eventsource(self) -> None:
        """
        The echo works over server-sent events.
        """
        await self.check("eventsource")

    async def test_htmlfile(self) -> None:
        """
        The echo works over a page that never ends loading.
        """
        await self.check("htmlfile")

    async def test_jsonpPolling(self) -> None:
        """
        The echo works over scripts.
        """
        await self.check("jsonp-polling")

    async def test_iframeEventsource(self) -> None:
        """
        The echo works over server-sent events inside a hidden frame.
        """
        await self.check("iframe-eventsource")

    async def test_iframeHtmlfile(self) -> None:
        """
        The echo works over an endless page inside a hidden frame.
        """
        await self.check("iframe-htmlfile")

    async def test_iframeXHRPolling(self) -> None:
        """
        The echo works over one response after another inside a hidden frame.
        """
        await self.check("iframe-xhr-polling")

    async def test_raw(self) -> None:
        """
        The echo works without SockJS, beside the client.
        """
        visited = await self.echo("raw")
        self.assertEqual(visited["open"]["status"], "Connected to /echo over raw WebSocket")

    async def test_automatic(self) -> None:
        """
        Left to itself, the page connects by WebSocket.
        """
        visited = await self.echo("")
        self.assertEqual(visited["open"]["status"], "Connected to /echo over websocket")

    async def test_fallback(self) -> None:
        """
        Left to itself where WebSocket is off, the page connects by the next best.
        """
        visited = await self.echo("", service="disabled_websocket_echo")
        self.assertEqual(visited["open"]["status"], "Connected to /disabled_websocket_echo over xhr-streaming")

    async def test_keyboard(self) -> None:
        """
        Everything can be done without a mouse, and the focus goes where the next step is.
        """
        visited = await self.echo("websocket", keyboard=True)
        self.assertEqual(visited["open"]["focus"], "message")
        self.assertEqual(visited["after"]["focus"], "connect")

    async def test_close(self) -> None:
        """
        The page shows the code and the reason with which the server closes, whatever the transport.
        """
        names = ["websocket", "xhr-streaming", "xhr-polling", "eventsource", "htmlfile", "jsonp-polling", "raw"]
        answer = await self.browse(
            *({"service": "close", "transport": name, "type": [], "until": "closed"} for name in names)
        )
        self.assertEqual(answer["errors"], [])
        for visited in answer["visits"]:
            self.assertEqual(visited["log"][-1]["text"], "3000 Go away!")
            self.assertEqual(visited["after"]["status"], "Closed: 3000 Go away!")

    async def test_rows(self) -> None:
        """
        A click on a service in the list connects to it.
        """
        answer = await self.browse(
            {"service": "ticker", "row": True, "type": [], "until": "received"},
            {"service": "amplify", "row": True, "type": ["3"], "until": "received"},
            {"service": "cookie_needed_echo", "row": True, "type": ["hello"], "until": "received"},
            {"service": "broadcast", "row": True, "type": ["hello"], "until": "received"},
        )
        self.assertEqual(answer["errors"], [])
        got = [
            next(entry["text"] for entry in visited["log"] if entry["kind"] == "received")
            for visited in answer["visits"]
        ]
        self.assertEqual(got, ["tick!", "x" * 8, "hello", "hello"])


class MissingClientTests(BrowserMixin, TestCase):
    """
    The page when the client cannot be loaded.
    """

    script = "not-there.js"

    async def test_raw(self) -> None:
        """
        The page says so and works with the WebSocket of the browser; only the failed loading is an error.
        """
        answer = await self.browse(
            {"service": "echo", "transport": "raw", "type": TYPED, "until": "received"},
            {"service": "close", "transport": "raw", "type": [], "until": "closed"},
            **self.picture("missing-1280-light"),
        )
        start = answer["start"]
        self.assertIn(self.scriptUrl, start["notice"])
        self.assertEqual(start["transport"], "raw")
        self.assertEqual([name for name, disabled in start["transports"] if not disabled], ["raw"])
        # Not every browser reports the failed loading of a script from another origin, so there may be none.
        self.assertLessEqual({error["url"] for error in answer["errors"]}, {self.scriptUrl})
        self.assertTalked(answer["visits"][0], TYPED)
        self.assertEqual(answer["visits"][1]["log"][-1]["text"], "3000 Go away!")


class LookTests(BrowserMixin, TestCase):
    """
    The page on screens of several widths, light and dark; pictures are taken when asked for.
    """

    async def check(self, width: int, height: int, colorScheme: str) -> None:
        """
        The page works and nothing sticks out on the right.
        """
        answer = await self.browse(
            {"service": "echo", "transport": "xhr-streaming", "type": TYPED, "until": "received"},
            width=width,
            height=height,
            colorScheme=colorScheme,
            **self.picture(f"demo-{width}-{colorScheme}"),
        )
        self.assertEqual(answer["errors"], [])
        for seen in (answer["start"], answer["visits"][0]["open"], answer["visits"][0]["after"]):
            scrolled, window = seen["width"]
            self.assertLessEqual(scrolled, window)

    async def test_wideLight(self) -> None:
        """
        The page fits a desk.
        """
        await self.check(1280, 860, "light")

    async def test_wideDark(self) -> None:
        """
        The page fits a desk in the dark.
        """
        await self.check(1280, 860, "dark")

    async def test_narrowLight(self) -> None:
        """
        The page fits a telephone.
        """
        await self.check(390, 844, "light")

    async def test_narrowDark(self) -> None:
        """
        The page fits a telephone in the dark.
        """
        await self.check(390, 844, "dark")
