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

import json
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.python.filepath import FilePath
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.static import File

from tests.processes import Child, findProgram, installNodeModules, runNode, startServer

__all__ = [
    "ChatTests",
    "ClientTests",
    "LocalClientTests",
    "LogicTests",
    "LookTests",
    "MissingClientTests",
    "NumbersTests",
    "PictureTests",
    "SwitchedOffTests",
    "WrongClientTests",
]

HERE = FilePath(__file__).parent()

#: Seconds that the browser waits for any one thing.
PATIENCE = 30

#: Seconds for one whole run of the browser.
RUN_TIMEOUT = 240.0

SERVICES = ["echo", "disabled_websocket_echo", "cookie_needed_echo", "close", "ticker", "amplify", "broadcast"]

#: Every transport that the page tries, in its order.
TRANSPORTS = [
    "websocket",
    "xhr-streaming",
    "eventsource",
    "iframe-eventsource",
    "htmlfile",
    "iframe-htmlfile",
    "xhr-polling",
    "iframe-xhr-polling",
    "jsonp-polling",
    "raw",
]

#: What a person may type and a careless page would run, decode or lose.
TYPED = [
    "hello",
    "</script><b>x</b><img src=x onerror=alert(1)> <!-- &amp; %41 %2541",
    'line\N{LINE SEPARATOR}end \N{GRINNING FACE} e\N{COMBINING ACUTE ACCENT} "quoted" \\u0041',
]

Step = dict[str, Any]


# -- steps ------------------------------------------------------------------------------------------------------------


def do(action: str, window: int = 0, **order: Any) -> Step:
    """
    One thing to do.
    """
    return {"do": action, "window": window, **order}


def visit(service: str, transport: str = "", type: Sequence[str] = (), until: str = "received") -> Step:
    """
    Connect by hand, type, wait and disconnect.
    """
    return do("visit", service=service, transport=transport, type=list(type), until=until)


def wait(selector: str, matches: str = "", window: int = 0) -> Step:
    """
    Wait until something is there, with this in its text.
    """
    return do("wait", window, **{"for": selector, "matches": matches})


def connect(service: str, transport: str = "") -> list[Step]:
    """
    Connect by hand, and stay.
    """
    return [
        do("check", on=f"input[name=service][value={service}]"),
        do("choose", on="#transport", value=transport),
        do("click", on="#connect"),
        wait("#status[data-state=open]"),
    ]


def say(text: str, on: str = "message", window: int = 0) -> list[Step]:
    """
    Type something and send it.
    """
    send = "#send" if on == "message" else "#chat-send"
    return [do("fill", window, on=f"#{on}", text=text), do("click", window, on=send)]


def join(name: str, window: int = 0) -> list[Step]:
    """
    Join the chat.
    """
    return [
        do("fill", window, on="#chat-name", text=name),
        do("click", window, on="#chat-join"),
        wait("#chat-status[data-state=open]", window=window),
    ]


# -- the browser ------------------------------------------------------------------------------------------------------


class BrowserMixin:
    """
    A server, a copy of the client that it serves itself, and a browser.

    @cvar options: more of the server's command line.
    """

    options: tuple[str, ...] = ()

    async def setUp(self) -> None:
        self.browser = findProgram(os.environ.get("CHROMIUM", "chromium"))
        self.modules = await installNodeModules(HERE)
        self.scripts = FilePath(self.modules).child("sockjs-client").child("dist")
        self.allowed: set[str] = set()
        self.server = await startServer(self, *await self.client(), *self.options)
        self.allowed.add(urlsplit(self.server.url).netloc)

    async def client(self) -> list[str]:
        """
        @return: the flags that tell where the client is.
        """
        return ["--sockjs-js", self.scripts.child("sockjs.min.js").path]

    def orders(self, steps: Sequence[Step], job: dict[str, Any]) -> dict[str, Any]:
        """
        @return: what the script is told.
        """
        url = self.server.url + "/"
        return {"browser": self.browser, "url": url, "steps": steps, "patience": PATIENCE, **job}

    async def browse(self, *steps: Step, **job: Any) -> dict[str, Any]:
        """
        Open the page and do something there. Nobody but the server, and who serves the client, may be asked for
        anything.
        """
        answer = await runNode(HERE.child("demo.js"), self.modules, self.orders(steps, job), RUN_TIMEOUT)
        self.assertEqual(set(answer["hosts"]) - self.allowed, set())
        self.assertEqual(answer["dialogs"], 0)
        return answer

    async def read(self, *steps: Step, **job: Any) -> list[Any]:
        """
        The same, where the browser has nothing to complain of.

        @return: what the steps have read.
        """
        answer = await self.browse(*steps, **job)
        self.assertEqual(answer["errors"], [])
        return answer["read"]

    def picture(self, name: str, height: int = 0, window: int = 0) -> list[Step]:
        """
        The step that takes a picture, when somebody wants pictures.

        @param height: how much of the page, from its top; all of it by default.
        """
        folder = os.environ.get("TXSOCKJS_SCREENSHOTS")
        if not folder:
            return []
        path = FilePath(os.path.abspath(folder))
        path.makedirs(ignoreExistingDirectory=True)
        return [do("screenshot", window, path=path.child(name + ".png").path, height=height)]

    def assertTalked(self, visited: dict[str, Any], sent: Sequence[str]) -> None:
        """
        A visit opened, got back what was typed, in order and shown as text, and closed.
        """
        log = visited["log"]
        for kind in ("sent", "received"):
            self.assertEqual([entry["text"] for entry in log if entry["kind"] == kind], list(sent))
        self.assertEqual([entry["markup"] for entry in log], [0] * len(log))
        self.assertEqual(log[0]["kind"], "opened")
        self.assertEqual(log[-1]["kind"], "closed")
        self.assertTrue(all(entry["time"] for entry in log))

    def assertFits(self, look: dict[str, Any]) -> None:
        """
        Nothing sticks out on the right.
        """
        scrolled, window = look["width"]
        self.assertLessEqual(scrolled, window)
        self.assertEqual(look["outside"], [])


class ClientTests(BrowserMixin, TestCase):
    """
    The page with the client loaded from another origin.
    """

    async def client(self) -> list[str]:
        port = reactor.listenTCP(0, Site(File(self.scripts.path)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        host = f"127.0.0.1:{port.getHost().port}"
        self.allowed.add(host)
        return ["--sockjs-url", f"http://{host}/sockjs.min.js"]

    async def echo(self, transport: str, service: str = "echo") -> dict[str, Any]:
        """
        Type into the echo by one transport.
        """
        [visited] = await self.read(visit(service, transport, TYPED))
        self.assertTalked(visited, TYPED)
        return visited

    async def check(self, transport: str) -> None:
        """
        The echo works by exactly this transport, and the page says which it is, and how long each answer took.
        """
        visited = await self.echo(transport)
        self.assertEqual(visited["open"]["status"], f"Connected to /echo over {transport}")
        self.assertEqual(visited["log"][0]["text"], f"/echo over {transport}")
        self.assertEqual(visited["log"][-1]["text"], "1000 Normal closure")
        for entry in visited["log"]:
            if entry["kind"] in ("opened", "received"):
                self.assertRegex(entry["more"], r"^after [\d.,]+ ms$")

    async def test_services(self) -> None:
        """
        The page offers every service, has no notice to give, and each of its fields has a label.
        """
        answer = await self.browse()
        start = answer["start"]
        self.assertEqual(answer["errors"], [])
        self.assertEqual(start["services"], SERVICES)
        self.assertEqual([name for name, disabled in start["transports"] if not disabled], ["", *TRANSPORTS])
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
        visited = await self.echo("", "disabled_websocket_echo")
        self.assertEqual(visited["open"]["status"], "Connected to /disabled_websocket_echo over xhr-streaming")

    async def test_close(self) -> None:
        """
        The page shows the code and the reason with which the server closes, whatever the transport.
        """
        names = ["websocket", "xhr-streaming", "xhr-polling", "eventsource", "htmlfile", "jsonp-polling", "raw"]
        for visited in await self.read(*(visit("close", name, until="closed") for name in names)):
            self.assertEqual([entry["kind"] for entry in visited["log"]], ["opened", "closed"])
            self.assertEqual(visited["log"][-1]["text"], "3000 Go away!")
            self.assertEqual(visited["after"]["status"], "Closed: 3000 Go away!")

    async def test_impossible(self) -> None:
        """
        A transport that the service does not have is said to have failed, with the code and what it means.
        """
        [visited] = await self.read(visit("disabled_websocket_echo", "websocket", until="closed"))
        self.assertEqual([entry["kind"] for entry in visited["log"]], ["failed"])
        self.assertEqual(visited["after"]["status"], "Could not connect: 2000 All transports failed")
        self.assertIn("switched off", visited["after"]["more"])


class LocalClientTests(BrowserMixin, TestCase):
    """
    The page with the client that C{--sockjs-js} serves: nobody else is asked for anything.
    """

    async def test_allServices(self) -> None:
        """
        Each service does what it is there for.
        """
        visits = {
            "ticker": (),
            "amplify": ("3",),
            "cookie_needed_echo": ("hello",),
            "broadcast": ("hello",),
            "disabled_websocket_echo": ("hello",),
        }
        read = await self.read(*(visit(service, "", typed) for service, typed in visits.items()))
        got = [next(entry["text"] for entry in visited["log"] if entry["kind"] == "received") for visited in read]
        self.assertEqual(got, ["tick!", "x" * 8, "hello", "hello", "hello"])

    async def test_switch(self) -> None:
        """
        Another choice while connected can be switched to, and the code that is shown follows the choice.
        """
        before, chosen, after, log = await self.read(
            *connect("echo", "websocket"),
            do("read", what="look"),
            do("check", on="input[value=ticker]"),
            do("choose", on="#transport", value="xhr-polling"),
            do("read", what="look"),
            do("click", on="#connect"),
            wait("#status[data-state=open]", "ticker"),
            wait("#log [data-kind=received]"),
            do("read", what="look"),
            do("read", what="log"),
        )
        self.assertEqual((before["connect"], chosen["connect"], after["connect"]), ("Connect", "Switch", "Connect"))
        self.assertEqual(chosen["status"], "Connected to /echo over websocket")
        self.assertEqual(after["status"], "Connected to /ticker over xhr-polling")
        self.assertIn(f'new SockJS("{self.server.url}/echo", null,', before["code"])
        self.assertIn(f'src="{self.server.url}/sockjs.js"', before["code"])
        self.assertIn(f'new SockJS("{self.server.url}/ticker", null,', after["code"])
        self.assertIn('transports: ["xhr-polling"]', after["code"])
        kinds = [entry["kind"] for entry in log]
        self.assertEqual(sorted(kinds[:3]), ["closed", "opened", "opened"])

    async def test_hints(self) -> None:
        """
        Where there is nothing yet the page says what to try.
        """
        start, typed, cleared = await self.read(
            do("read", what="look"),
            *connect("amplify"),
            wait("#log .entry"),
            do("read", what="look"),
            do("click", on="#clear"),
            do("read", what="look"),
        )
        hints = [look["empty"] for look in (start, typed, cleared)]
        self.assertEqual(
            hints,
            [
                "Nothing yet. Connect and say something, or choose /ticker and just watch.",
                None,
                "Connected. Type a number from 1 to 18.",
            ],
        )

    async def test_long(self) -> None:
        """
        Of a long message the beginning is shown, and all of it when asked for.
        """
        short, long = await self.read(
            *connect("amplify"),
            *say("12"),
            wait("#log [data-kind=received]"),
            do("read", what="log"),
            do("click", on="#log [data-kind=received] button"),
            do("read", what="log"),
        )
        self.assertEqual(short[-1]["text"], "x" * 400 + "\N{HORIZONTAL ELLIPSIS}")
        self.assertEqual(long[-1]["text"], "x" * 4096)

    async def test_charts(self) -> None:
        """
        The charts show what was sent and received and how long it took, and nothing before.
        """
        before, after = await self.read(
            do("read", what="charts"),
            *connect("echo"),
            *say("one"),
            *say("two"),
            *say("three"),
            wait("#log [data-kind=received]:nth-child(7)", "three"),
            do("sleep", milliseconds=2500),  # the second must be over, and be drawn
            do("read", what="charts"),
        )
        self.assertTrue(before["trips"]["empty"] and before["rates"]["empty"])
        self.assertEqual((before["trips"]["lines"], before["rates"]["sent"]), ([], []))
        trips, rates = after["trips"], after["rates"]
        self.assertFalse(trips["empty"] or rates["empty"])
        self.assertRegex(trips["label"], r"3 messages, median [\d.]+ ms")
        self.assertEqual(rates["label"], "Messages of the last minute: 3 sent, 3 received")
        for way in ("sent", "received"):
            self.assertEqual(sum(value for value, _ in rates[way]), 3)
            # As high as its number says.
            [ratio, *others] = [height / value for value, height in rates[way]]
            self.assertGreater(ratio, 1)
            for other in others:
                self.assertAlmostEqual(other, ratio, delta=0.2)
        self.assertGreaterEqual(sum(seconds for seconds, _ in trips["lines"]), 1)
        last, median, slowest = (float(text.removesuffix(" ms").replace(",", "")) for text in trips["figures"])
        self.assertTrue(0 <= median <= slowest and 0 <= last <= slowest, trips)
        self.assertLessEqual(slowest, float(trips["scale"][2] if len(trips["scale"]) > 2 else 1e9) + 0.1)

    async def test_repeat(self) -> None:
        """
        A message can be sent again and again, until the button is pressed once more, and the charts go along.
        """
        running, charts, stopped, later = await self.read(
            *connect("echo"),
            do("choose", on="#repeat", value="10"),
            *say("again"),
            wait("#log .entry:nth-child(50)"),
            do("read", what="look"),
            do("read", what="charts"),
            do("click", on="#send"),
            do("sleep", milliseconds=500),
            do("read", what="log"),
            do("sleep", milliseconds=500),
            do("read", what="log"),
        )
        self.assertEqual(len(stopped), len(later))
        self.assertEqual({entry["text"] for entry in stopped[1:]}, {"again"})
        self.assertEqual(running["status"], "Connected to /echo over websocket")
        self.assertGreater(max(value for value, _ in charts["rates"]["sent"]), 3)
        self.assertGreaterEqual(charts["trips"]["bands"], 1)

    async def test_table(self) -> None:
        """
        The button tries every transport, and each of them works in this browser, with its times.
        """
        before, after = await self.read(
            do("read", what="table"),
            do("click", on="#try-all"),
            wait("#try-all", "^Stop$"),
            wait("#try-status[data-state=done]"),
            do("read", what="table"),
        )
        self.assertEqual([row["transport"] for row in before["rows"]], TRANSPORTS)
        self.assertEqual({tuple(row["cells"]) for row in before["rows"]}, {("Not tried", "\u2013", "\u2013")})
        for row in after["rows"]:
            verdict, opened, trip = row["cells"]
            self.assertEqual(verdict, "Works", row)
            for text in (opened, trip):
                self.assertRegex(text, r"^[\d.,]+ ms$")
        self.assertRegex(after["status"], r"^10 of 10 work in this browser\. Opened first: .+ ms\. Shortest .+ ms\.$")
        self.assertEqual(after["button"], "Try all again")

    async def test_tableStopped(self) -> None:
        """
        Trying can be stopped, and done again.
        """
        stopped, done = await self.read(
            do("click", on="#try-all"),
            wait("#transports [data-state=worked]"),
            do("click", on="#try-all"),
            wait("#try-status[data-state=stopped]"),
            do("read", what="table"),
            do("click", on="#try-all"),
            wait("#try-status[data-state=done]"),
            do("read", what="table"),
        )
        self.assertEqual(stopped["rows"][-1]["cells"][0], "Not tried")
        self.assertEqual({row["state"] for row in done["rows"]}, {"worked"})

    async def test_keyboard(self) -> None:
        """
        Everything can be done without a mouse, and the focus goes where the next step is.
        """
        opened, closed, log, chat, table, numbers = await self.read(
            # A service by the arrows, a transport by its first letters.
            do("press", keys=["Tab"] * 8 + ["ArrowDown"] * 2),
            do("tab", to="transport"),
            do("press", keys=list("xhr-p")),
            do("tab", to="connect"),
            do("press", keys=["Enter"]),
            wait("#status[data-state=open]"),
            do("read", what="look"),
            do("type", text="first"),
            do("press", keys=["Shift+Enter"]),
            do("type", text="second line"),
            do("press", keys=["Enter"]),
            wait("#log [data-kind=received]"),
            do("tab", to="disconnect"),
            do("press", keys=["Enter"]),
            wait("#status[data-state=closed]"),
            do("read", what="look"),
            do("read", what="log"),
            do("tab", to="chat-name"),
            do("press", keys=["Enter"]),
            wait("#chat-status[data-state=open]"),
            do("tab", to="chat-text"),
            do("type", text="by keys"),
            do("press", keys=["Enter"]),
            wait("#chat-lines [data-kind=says]"),
            do("read", what="chat"),
            do("tab", to="try-all"),
            do("press", keys=["Enter"]),
            wait("#try-status[data-state=done]"),
            do("read", what="table"),
            do("tab", to="numbers-pause"),
            do("press", keys=["Space"]),
            wait("#numbers-status[data-state=idle]"),
            do("read", what="numbers"),
        )
        self.assertEqual(opened["status"], "Connected to /cookie_needed_echo over xhr-polling")
        self.assertEqual((opened["focus"], closed["focus"]), ("message", "connect"))
        self.assertEqual([entry["text"] for entry in log if entry["kind"] == "received"], ["first\nsecond line"])
        self.assertEqual([line["said"] for line in chat["lines"] if line["kind"] == "says"], ["by keys"])
        self.assertIn("10 of 10 work", table["status"])
        self.assertIn("Paused", numbers["status"])

    async def test_tour(self) -> None:
        """
        The tabulator key comes by everything that can be used, in the order in which it is read, and one sees where.
        """
        [places] = await self.read(do("tour"))
        names = [place["name"] for place in places]
        self.assertEqual([place["name"] for place in places if not place["seen"]], [])
        expected = ["#connection", "#connection", "#charts", "#trying", "#numbers", "#chat", "#own"]
        expected += ["service", "transport", "connect", "clear", "log", "message", "repeat", "try-all"]
        expected += ["numbers-pause", "chat-name", "chat-join", "chat-lines"]
        expected += ["server-code-title", "start-code-title", "client-code-title"]
        self.assertEqual(names, expected)

    async def test_reducedMotion(self) -> None:
        """
        Nothing moves by itself for one who does not want that.
        """
        for reduced, scroll in ((True, "auto"), (False, "smooth")):
            [motion] = await self.read(
                wait("#numbers-status[data-state=open]"), do("read", what="motion"), reducedMotion=reduced
            )
            self.assertEqual(motion["scroll"], scroll)
        self.assertEqual(motion["running"], [])


class ChatTests(BrowserMixin, TestCase):
    """
    The chat.
    """

    async def test_twoWindows(self) -> None:
        """
        Two windows talk with each other: each sees what both say, as text, and which of it is its own.
        """
        first, second = await self.read(
            *join("Ada"),
            *join("Grace", window=1),
            wait("#chat-lines", "Grace is here"),
            *say(TYPED[1], on="chat-text"),
            wait("#chat-lines [data-kind=says]", window=1),
            *say("I see", on="chat-text", window=1),
            wait("#chat-lines [data-kind=says]:not([data-mine])"),
            do("click", on="#chat-join", window=1),
            wait("#chat-lines [data-kind=leaves]"),
            do("read", what="chat"),
            do("read", what="chat", window=1),
            windows=2,
        )

        def line(kind: str, who: str, said: str | None, mine: bool) -> dict[str, Any]:
            return {"kind": kind, "who": who, "said": said, "mine": mine, "markup": 0}

        self.assertEqual(
            first["lines"],
            [
                line("joins", "Ada", None, True),
                line("joins", "Grace", None, False),
                line("says", "Ada", TYPED[1], True),
                line("says", "Grace", "I see", False),
                line("leaves", "Grace", None, False),
            ],
        )
        self.assertEqual(
            second["lines"],
            [
                line("joins", "Grace", None, True),
                line("says", "Ada", TYPED[1], False),
                line("says", "Grace", "I see", True),
            ],
        )
        self.assertEqual((first["status"], second["status"]), ("You are here as Ada.", "You have left."))
        self.assertEqual((first["strange"], second["strange"]), (None, None))

    async def test_name(self) -> None:
        """
        A name is asked for, and is made to fit; the one who comes back keeps it.
        """
        nameless, named = await self.read(
            do("fill", on="#chat-name", text=" \t "),
            do("click", on="#chat-join"),
            do("read", what="chat"),
            *join("  Ada \N{RIGHT-TO-LEFT OVERRIDE} of   London  "),
            do("click", on="#chat-join"),
            do("click", on="#chat-join"),
            wait("#chat-status[data-state=open]"),
            do("read", what="chat"),
        )
        self.assertEqual((nameless["status"], nameless["focus"]), ("A name, please.", "chat-name"))
        self.assertEqual(named["status"], "You are here as Ada of London.")

    async def test_junk(self) -> None:
        """
        What others send to C{/broadcast} is counted, and does no harm: not what is no message of the chat, not what
        looks like one and is too large, and not markup in one.
        """

        def message(**other: Any) -> str:
            fields = {"format": "txsockjs-chat", "kind": "says", "name": "Eve", "text": "hi", "id": "1", **other}
            return json.dumps({name: value for name, value in fields.items() if value is not None})

        junk = [
            "",
            "hello",
            "{",
            "null",
            "[]",
            "7",
            "{}",
            '"txsockjs-chat"',
            '{"__proto__": {"format": "txsockjs-chat"}}',
            message(format="other"),
            message(kind="constructor"),
            message(kind=["says"]),
            message(name=None),
            message(name=7),
            message(name=""),
            message(name="\u200b\u202e"),
            message(name="x" * 33),
            message(name={"toString": "x"}),
            message(text=None),
            message(text=" \n "),
            message(text="x" * 1001),
            message(text={"length": 1}),
            message(id=None),
            message(id={}),
            message(more="x" * 100_000),
        ]
        markup = "<img src=x onerror=alert(1)>"
        good = [message(text="first"), message(name=markup, text=markup), message(name="a\u202eb\nc", text="last")]
        [chat] = await self.read(
            *join("Ada"),
            do("send", window=1, service="broadcast", texts=[good[0], *junk, *good[1:]]),
            wait("#chat-lines [data-kind=says]:last-child", "last"),
            do("read", what="chat"),
            windows=2,
        )
        said = [(line["who"], line["said"]) for line in chat["lines"] if line["kind"] == "says"]
        self.assertEqual(said, [("Eve", "first"), (markup, markup), ("a b c", "last")])
        self.assertEqual({(line["mine"], line["markup"]) for line in chat["lines"][1:]}, {(False, 0)})
        self.assertEqual(chat["strange"], f"{len(junk)} messages on /broadcast from elsewhere, not shown here.")

    async def test_flood(self) -> None:
        """
        However much others say, no more than the last of it is kept, and the page goes on to work.
        """
        lines = [
            json.dumps({"format": "txsockjs-chat", "kind": "says", "name": "Eve", "text": f"line {number}", "id": ""})
            for number in range(3000)
        ]
        [chat] = await self.read(
            *join("Ada"),
            do("send", window=1, service="broadcast", texts=lines),
            wait("#chat-lines [data-kind=says]:last-child", "line 2999$"),
            *say("still here", on="chat-text"),
            wait("#chat-lines [data-mine]:last-child", "still here"),
            do("read", what="chat"),
            windows=2,
        )
        self.assertEqual(len(chat["lines"]), 200)


class NumbersTests(BrowserMixin, TestCase):
    """
    The server's own numbers.
    """

    options = ("--drain-timeout", "0")

    async def test_live(self) -> None:
        """
        They come by themselves, and follow what happens.
        """
        before, after = await self.read(
            wait("#numbers-status[data-state=open]"),
            do("read", what="numbers"),
            *connect("echo", "xhr-streaming"),
            *say("hello"),
            wait("#by-service tr:first-child", "/echo111"),
            wait("#by-transport", "xhr-streaming1"),
            do("read", what="numbers"),
        )
        self.assertEqual(before["transports"], [])
        self.assertEqual([row[0] for row in before["services"]], ["/" + name for name in SERVICES])
        self.assertEqual({tuple(row[1:]) for row in before["services"]}, {("0", "0", "0")})
        self.assertEqual(before["status"], "Live, every second. 1 page watches.")
        self.assertEqual(after["transports"], [["xhr-streaming", "1"]])
        self.assertEqual(after["services"][0], ["/echo", "1", "1", "1"])
        tiles = after["tiles"]
        self.assertEqual((tiles["sessions"], tiles["opened"]), ("1", "1 since the start"))
        self.assertRegex(tiles["memory"], r"^\d+ MB$")
        self.assertRegex(tiles["uptime"], r"^up for \d+ s$")
        self.assertRegex(tiles["in"] + tiles["out"], r"^[\d.]+/s[\d.]+/s$")
        self.assertEqual((tiles["in-all"], tiles["out-all"]), ("1 in all, 9 B", "1 in all, 7 B"))

    async def test_pause(self) -> None:
        """
        They stay as they are while paused, the server is not asked for them, and then they go on.
        """
        paused, other, resumed = await self.read(
            wait("#numbers-status[data-state=open]"),
            do("click", on="#numbers-pause"),
            wait("#numbers-status", "Paused", window=0),
            wait("#numbers-status", "1 page watches", window=1),
            do("sleep", milliseconds=1500),
            do("read", what="numbers"),
            do("read", what="numbers", window=1),
            do("click", on="#numbers-pause"),
            wait("#numbers-status", "2 pages watch"),
            do("read", what="numbers"),
            windows=2,
        )
        self.assertEqual((paused["state"], other["state"], resumed["state"]), ("idle", "open", "open"))
        self.assertNotEqual(paused["tiles"]["uptime"], other["tiles"]["uptime"])

    async def test_restart(self) -> None:
        """
        When the server goes the page says so everywhere, and when it is back the numbers are there again by themselves.
        """
        steps = [
            wait("#numbers-status[data-state=open]"),
            *connect("echo"),
            *join("Ada"),
            do("say", text="you may stop"),
            wait("#status[data-state=closed]"),
            wait("#chat-status[data-state=closed]"),
            wait("#numbers-status[data-state=closed]", "Trying again"),
            do("read", what="look"),
            do("say", text="you may start"),
            wait("#numbers-status[data-state=open]"),
            visit("echo", "", ["hello"]),
            do("read", what="numbers"),
        ]
        child = Child.spawn(
            [findProgram("node"), HERE.child("demo.js").path], environment={"NODE_PATH": self.modules}, name="demo.js"
        )
        child.transport.write(json.dumps(self.orders(steps, {})).encode("ascii"))
        child.transport.closeStdin()
        self.addCleanup(lambda: ensureDeferred(child.stop()))
        await child.waitFor("you may stop")
        await self.server.child.stop()
        await child.waitFor("you may start")
        port = urlsplit(self.server.url).port
        again = await startServer(self, "--port", f"tcp:{port}:interface=127.0.0.1", *await self.client())
        self.assertNotEqual(again.url, self.server.url)
        self.assertEqual(await child.wait(RUN_TIMEOUT), 0, child.text())
        gone, visited, numbers = json.loads(child.output)["read"]
        self.assertRegex(gone["status"], r"^Closed: (3000 Go away!|1002|1006)")
        self.assertTalked(visited, ["hello"])
        self.assertEqual(numbers["state"], "open")


class SwitchedOffTests(BrowserMixin, TestCase):
    """
    A server that does not have every transport.
    """

    options = ("--transports", "xhr-streaming,xhr-polling,eventsource,iframe")

    async def test_table(self) -> None:
        """
        The table tells which of them the server has not, and tries the others.
        """
        [table] = await self.read(
            do("click", on="#try-all"), wait("#try-status[data-state=done]"), do("read", what="table")
        )
        worked = {row["transport"] for row in table["rows"] if row["state"] == "worked"}
        self.assertEqual(
            worked, {"xhr-streaming", "eventsource", "iframe-eventsource", "xhr-polling", "iframe-xhr-polling"}
        )
        off = {tuple(row["cells"]) for row in table["rows"] if row["state"] == "off"}
        self.assertEqual(off, {("Not possible: It is switched off on this server.",)})
        self.assertIn("5 of 10 work", table["status"])

    async def test_everything(self) -> None:
        """
        The rest of the page works by what there is.
        """
        visited, numbers, chat = await self.read(
            visit("echo", "", TYPED),
            wait("#numbers-status[data-state=open]"),
            do("read", what="numbers"),
            *join("Ada"),
            *say("hello", on="chat-text"),
            wait("#chat-lines [data-kind=says]"),
            do("read", what="chat"),
        )
        self.assertTalked(visited, TYPED)
        self.assertEqual(numbers["state"], "open")
        self.assertTrue(chat["lines"][-1]["mine"])


class MissingClientTests(BrowserMixin, TestCase):
    """
    The page when the client cannot be loaded.
    """

    async def client(self) -> list[str]:
        port = reactor.listenTCP(0, Site(File(self.scripts.path)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        host = f"127.0.0.1:{port.getHost().port}"
        self.allowed.add(host)
        self.scriptUrl = f"http://{host}/not-there.js"
        return ["--sockjs-url", self.scriptUrl]

    async def test_raw(self) -> None:
        """
        The page says so and works with the WebSocket of the browser; only the failed loading is an error.
        """
        answer = await self.browse(
            visit("echo", "raw", TYPED),
            visit("close", "raw", until="closed"),
            *self.picture("missing-1280-light"),
        )
        start = answer["start"]
        self.assertIn(self.scriptUrl, start["notice"])
        self.assertIn("own WebSocket", start["notice"])
        self.assertEqual(start["transport"], "raw")
        self.assertEqual([name for name, disabled in start["transports"] if not disabled], ["raw"])
        # Not every browser reports the failed loading of a script from another origin, so there may be none.
        self.assertLessEqual({error["url"] for error in answer["errors"]}, {self.scriptUrl})
        self.assertTalked(answer["read"][0], TYPED)
        self.assertEqual(answer["read"][1]["log"][-1]["text"], "3000 Go away!")

    async def test_everything(self) -> None:
        """
        Numbers and chat work all the same, and the table says what the other transports lack.
        """
        answer = await self.browse(
            wait("#numbers-status[data-state=open]"),
            *join("Ada"),
            *say("hello", on="chat-text"),
            wait("#chat-lines [data-kind=says]"),
            wait("#by-transport", "websocket-raw"),
            do("read", what="numbers"),
            do("click", on="#try-all"),
            wait("#try-status[data-state=done]"),
            do("read", what="table"),
        )
        self.assertLessEqual({error["url"] for error in answer["errors"]}, {self.scriptUrl})
        numbers, table = answer["read"]
        self.assertEqual(numbers["transports"], [["websocket-raw", "1"]])
        *others, raw = table["rows"]
        self.assertEqual(raw["cells"][0], "Works")
        self.assertEqual(
            {tuple(row["cells"]) for row in others}, {("Not possible: It needs the SockJS client, which is missing.",)}
        )


class WrongClientTests(BrowserMixin, TestCase):
    """
    The page when there is something else in the place of the client.
    """

    async def client(self) -> list[str]:
        path = FilePath(self.mktemp())
        path.setContent(b"window.other = 1;\n")
        return ["--sockjs-js", path.path]

    async def test_said(self) -> None:
        """
        The page says that this is not the client, and goes on without.
        """
        answer = await self.browse(visit("echo", "raw", ["hello"]))
        self.assertEqual(answer["errors"], [])
        self.assertIn("not the SockJS client", answer["start"]["notice"])
        self.assertIn(f"{self.server.url}/sockjs.js", answer["start"]["notice"])


class LogicTests(BrowserMixin, TestCase):
    """
    The modules of the page by themselves.
    """

    async def evaluate(self, code: str) -> Any:
        """
        @return: what a function in the page's language returns.
        """
        [result] = await self.read(do("run", code=f"(async () => {{ {code} }})()"))
        return result

    async def test_series(self) -> None:
        """
        What happens is counted by the second, for a minute; rates are told when their second is over.
        """
        result = await self.evaluate(
            """
            const { createSeries } = await import(new URL("demo/series.js", location.href));
            let now = 5500;
            const series = createSeries(() => now);
            series.sent();
            series.sent();
            series.received();
            for (const trip of [4, 1, 7]) series.trip(trip);
            const early = series.rates().at(-1);
            const trips = series.trips().at(-1);
            now = 6100;
            const late = series.rates().slice(-2);
            const all = series.allTrips();
            now = 65999;
            const first = [series.rates()[0], series.trips()[0], series.rates().length];
            now = 66100;
            const gone = [series.rates()[0], series.trips()[0], series.allTrips().length];
            return { early, trips, late, all, first, gone };
            """
        )
        self.assertEqual(result["early"], None)
        self.assertEqual(result["trips"], {"low": 1, "middle": 4, "high": 7})
        self.assertEqual(result["late"], [None, {"sent": 2, "received": 1}])
        self.assertEqual(result["all"], [4, 1, 7])
        self.assertEqual(result["first"], [{"sent": 2, "received": 1}, None, 60])
        self.assertEqual(result["gone"], [None, None, 0])

    async def test_bounded(self) -> None:
        """
        However many round trips there are, a bounded number of them is kept.
        """
        result = await self.evaluate(
            """
            const { createSeries } = await import(new URL("demo/series.js", location.href));
            let now = 0;
            const series = createSeries(() => now);
            for (; now < 200000; now += 1) series.trip(now % 100);
            return series.allTrips().length;
            """
        )
        self.assertLessEqual(result, 60 * 200)

    async def test_scale(self) -> None:
        """
        Scales end at a round number that is not below the highest value.
        """
        result = await self.evaluate(
            """
            const { ceiling } = await import(new URL("demo/plot.js", location.href));
            return [0.3, 1, 1.1, 2, 3, 5, 7, 10, 11, 49.9, 50, 51, 999, 1000].map(ceiling);
            """
        )
        expected = [0.5, 1, 2, 2, 5, 5, 10, 10, 20, 50, 50, 100, 1000, 1000]
        for found, wanted in zip(result, expected, strict=True):
            self.assertAlmostEqual(found, wanted)

    async def test_drawn(self) -> None:
        """
        The line goes through the medians, each as high as it is long, and breaks where there was nothing for more than
        a second.
        """
        result = await self.evaluate(
            """
            const { drawTrips } = await import(new URL("demo/chart.js", location.href));
            const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
            svg.style.cssText = "width: 644px; height: 184px";
            document.body.append(svg);
            const points = Array(60).fill(null);
            points[0] = { low: 0, middle: 25, high: 50 };
            points[1] = { low: 0, middle: 50, high: 100 };
            points[10] = { low: 50, middle: 50, high: 50 };
            points[12] = { low: 100, middle: 100, high: 100 };
            points[59] = { low: 10, middle: 100, high: 100 };
            drawTrips(svg, points);
            return [
              Array.from(svg.querySelectorAll(".trips"), (line) => line.getAttribute("d")),
              Array.from(svg.querySelectorAll(".band"), (band) => band.getAttribute("d")),
              svg.querySelectorAll(".trip").length,
              Array.from(svg.querySelectorAll("text"), (text) => text.textContent),
            ];
            """
        )
        lines, bands, dots, texts = result
        self.assertEqual(lines, ["M48.9,122.5L58.8,85.0", "M147.6,85.0L167.3,10.0", "M631.1,10.0"])
        self.assertEqual(
            bands, ["M48.9,85.0L58.8,10.0L58.8,160.0L48.9,160.0Z", "M147.6,85.0L167.3,10.0L167.3,10.0L147.6,85.0Z"]
        )
        self.assertEqual(dots, 3)
        self.assertEqual(texts, ["0", "50", "100", "60 s ago", "30 s", "now"])

    async def test_words(self) -> None:
        """
        Numbers, sizes and times are told in a few characters.
        """
        result = await self.evaluate(
            """
            const { bytes, count, duration, median, number } = await import(new URL("demo/dom.js", location.href));
            return [
              [0, 9.94, 9.96, 12.4, 1234567].map(number),
              [0, 999, 1500, 63848448, 2e9].map(bytes),
              [1, 59.9, 60, 3599, 3600, 172799, 172800].map(duration),
              [count(1, "page"), count(2, "page"), count(1000, "page")],
              [median([3]), median([3, 1]), median([3, 1, 2])],
            ];
            """
        )
        self.assertEqual(
            result,
            [
                ["0", "9.9", "10", "12", "1,234,567"],
                ["0 B", "999 B", "1.5 kB", "64 MB", "2 GB"],
                ["1 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "47 h 59 min", "2 days"],
                ["1 page", "2 pages", "1,000 pages"],
                [3, 2, 2],
            ],
        )


class LookTests(BrowserMixin, TestCase):
    """
    The page on screens of several widths, light and dark; pictures are taken when asked for.
    """

    async def check(self, width: int, height: int, colorScheme: str) -> None:
        """
        In every state nothing sticks out on the right, and what is written can be read.
        """
        read = await self.read(
            wait("#numbers-status[data-state=open]"),
            *self.picture(f"start-{width}-{colorScheme}"),
            do("read", what="look"),
            do("read", what="faint"),
            visit("echo", "xhr-streaming", TYPED),
            visit("close", "", until="closed"),
            do("read", what="look"),
            do("read", what="faint"),
            *join("Ada"),
            *say(TYPED[1], on="chat-text"),
            do("click", on="#try-all"),
            wait("#try-status[data-state=done]"),
            *connect("amplify"),
            *say("14"),
            wait("#log [data-kind=received]:last-child"),
            do("sleep", milliseconds=2000),
            do("read", what="look"),
            do("read", what="faint"),
            *self.picture(f"demo-{width}-{colorScheme}"),
            width=width,
            height=height,
            colorScheme=colorScheme,
            touch=width < 600,
        )
        looks = [one for one in read if isinstance(one, dict) and "width" in one]
        faint = [one for one in read if isinstance(one, list)]
        self.assertEqual((len(looks), len(faint)), (3, 3))
        for look in looks:
            self.assertFits(look)
        self.assertEqual(faint, [[], [], []])

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

    async def test_slow(self) -> None:
        """
        The page fits when transports take their time, too.
        """
        slow = """for (const cell of document.querySelectorAll("#transports td:nth-child(n + 3)"))
            cell.textContent = "12,345 ms";"""
        for width in (320, 390, 700):
            _, look = await self.read(do("run", code=slow), do("read", what="look"), width=width)
            self.assertFits(look)

    async def test_between(self) -> None:
        """
        The page fits what is between, and what is smaller.
        """
        for width in (320, 700, 960):
            _, look = await self.read(visit("echo", "", TYPED), do("read", what="look"), width=width)
            self.assertFits(look)


class PictureTests(BrowserMixin, TestCase):
    """
    The picture of the README, which is C{readme.png} when pictures are asked for.
    """

    async def test_busy(self) -> None:
        """
        The upper part of the page, after a minute of use.
        """
        seconds = 14 if os.environ.get("TXSOCKJS_SCREENSHOTS") else 2

        def send(often: str, text: str) -> list[Step]:
            return [
                do("choose", on="#repeat", value=often),
                *say(text),
                do("sleep", milliseconds=1000 * seconds),
                do("click", on="#send"),
            ]

        [charts] = await self.read(
            *connect("echo", "xhr-streaming"),
            *send("1", "hello"),
            *connect("echo", "xhr-polling"),
            *send("10", "hello"),
            *connect("echo", "eventsource"),
            *send("1", "hello"),
            *connect("echo", "websocket"),
            *send("10", "hello"),
            do("click", on="#disconnect"),
            wait("#log [data-kind=closed]:last-child"),
            do("click", on="#clear"),
            do("choose", on="#repeat", value="0"),
            *connect("cookie_needed_echo", "xhr-polling"),
            *say("Good morning"),
            wait("#log .entry:nth-child(3)"),
            *connect("echo", ""),
            wait("#log .entry:nth-child(5)"),
            *say("Good morning"),
            wait("#log .entry:nth-child(7)"),
            *say("\N{GRINNING FACE} \N{SNOWMAN} <b>text</b> stays text"),
            wait("#log .entry:nth-child(9)"),
            do("fill", on="#message", text="What you type comes back"),
            do("read", what="charts"),
            *self.picture("readme", height=1130),
        )
        self.assertGreater(len(charts["rates"]["sent"]), 6)
