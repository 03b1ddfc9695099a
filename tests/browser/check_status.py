# -*- test-case-name: tests.browser.check_status -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The status page of C{twistd sockjs --metrics} in a real Chromium, with real processes and real traffic.

Needs Node, a browser and, the first time, the package registry; so it is not part of the ordinary run.  Start it
with::

    python -m twisted.trial tests.browser.check_status

C{CHROMIUM} names another browser than the one that is found, and C{TXSOCKJS_SCREENSHOTS} a folder for pictures.
"""

from __future__ import annotations

import json
import os
import random
import signal
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.python.filepath import FilePath
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody

from tests.browser.check_demo import PATIENCE, RUN_TIMEOUT, Step, do, wait
from tests.processes import Child, findProgram, installNodeModules, serverCommand
from txsockjs.client import SockJSClientEndpoint

__all__ = ["LogicTests", "LookTests", "ManyTests", "OneTests"]

HERE = FilePath(__file__).parent()

CHARTS = [
    "Sessions",
    "Messages",
    "Bytes",
    "Waiting for clients",
    "Loop lag",
    "Processor",
    "Memory",
    "Coming and going",
    "Refused",
]


class Talker(Protocol):
    """
    Says something now and then.
    """

    def connectionMade(self) -> None:
        self.loop = LoopingCall(self.say)
        self.loop.start(random.uniform(0.1, 0.5))

    def say(self) -> None:
        self.transport.write(b"x" * random.randint(5, 200))

    def connectionLost(self, reason: object = None) -> None:
        if self.loop.running:
            self.loop.stop()


class StatusCase(TestCase):
    """
    A service with its status page, clients that talk to it, and a browser.

    @cvar options: more of the server's command line.
    """

    options: tuple[str, ...] = ()

    timeout = RUN_TIMEOUT

    async def setUp(self) -> None:
        self.browser = findProgram(os.environ.get("CHROMIUM", "chromium"))
        self.modules = await installNodeModules(HERE)
        self.server = Child.spawn(serverCommand("--metrics", "0", *self.options), name="twistd sockjs")
        self.addCleanup(lambda: ensureDeferred(self.server.stop()))
        self.page = (await self.server.waitFor(r"watch at (http://127\.0\.0\.1:\d+/)")).group(1)
        self.services = [(await self.server.waitFor(r"(http://127\.0\.0\.1:\d+)/echo\b")).group(1)]

    async def talk(self, url: str, transport: str) -> None:
        """
        Have one more client talk to a service.
        """
        endpoint = SockJSClientEndpoint(reactor, f"{url}/echo", transports=[transport])
        protocol = await endpoint.connect(Factory.forProtocol(Talker))
        self.addCleanup(protocol.transport.abortConnection)

    async def facts(self) -> list[dict[str, Any]]:
        """
        @return: what the status page is told.
        """
        response = await Agent(reactor).request(b"GET", self.page.encode("ascii") + b"status.json")
        return json.loads(await readBody(response))["processes"]

    def start(self, *steps: Step, **job: Any) -> Child:
        """
        Open the page, and do something there.
        """
        script = HERE.child("demo.js").path
        child = Child.spawn([findProgram("node"), script], environment={"NODE_PATH": self.modules}, name="demo.js")
        self.addCleanup(lambda: ensureDeferred(child.stop()))
        page = {"browser": self.browser, "url": self.page, "patience": PATIENCE}
        orders = {**page, "ready": "#process-rows tr", "first": "status", "steps": steps, **job}
        child.transport.write(json.dumps(orders).encode("ascii"))
        child.transport.closeStdin()
        return child

    async def finish(self, child: Child) -> dict[str, Any]:
        """
        @return: what the page has shown. It has asked nobody but its own server.
        """
        self.assertEqual(await child.wait(RUN_TIMEOUT), 0, child.text())
        answer = json.loads(child.output)
        self.assertEqual(answer["hosts"], [urlsplit(self.page).netloc])
        return answer

    async def read(self, *steps: Step, **job: Any) -> list[Any]:
        """
        Do something on the page, where the browser has nothing to complain of.

        @return: what the steps have read.
        """
        answer = await self.finish(self.start(*steps, **job))
        self.assertEqual(answer["errors"], [])
        return answer["read"]

    def picture(self, name: str, height: int = 0) -> list[Step]:
        """
        The step that takes a picture, when somebody wants pictures.
        """
        folder = os.environ.get("TXSOCKJS_SCREENSHOTS")
        if not folder:
            return []
        path = FilePath(os.path.abspath(folder))
        path.makedirs(ignoreExistingDirectory=True)
        return [do("screenshot", path=path.child(name + ".png").path, height=height)]


class OneTests(StatusCase):
    """
    One process that serves.
    """

    async def test_numbers(self) -> None:
        """
        The page shows the real traffic, as numbers and as charts, and what a chart showed before can be read by the
        keys. It can be paused.
        """
        for transport in ("websocket", "websocket", "xhr-streaming", "xhr-polling"):
            await self.talk(self.services[0], transport)
        tour, shown, before, paused, later = await self.read(
            do("tour"),
            do("sleep", milliseconds=3500),
            do("read", what="status"),
            do("run", code="document.querySelector('.chart svg').focus()"),
            do("press", keys=["ArrowLeft", "ArrowLeft"]),
            do("read", what="status"),
            do("click", on="#pause"),
            do("read", what="status"),
            do("sleep", milliseconds=1500),
            do("read", what="status"),
        )
        self.assertEqual((shown["state"], shown["status"], shown["title"]), ("open", "It serves.", "txsockjs: status"))
        self.assertEqual(shown["tiles"]["Sessions"], ["4", "4 were opened"])
        for name in ("Messages in", "Messages out"):
            self.assertGreater(float(shown["tiles"][name][0].removesuffix("/s")), 1)
        self.assertRegex(shown["tiles"]["Memory"][0], r"^\d+ MB$")
        self.assertRegex(shown["tiles"]["Processor"][0], r"^[\d.]+ %$")
        self.assertRegex(shown["tiles"]["Loop lag"][0], r"^[\d.]+ m?s$")
        [row] = shown["rows"]
        self.assertEqual(row[:3], ["this process", "serving", "4"])
        self.assertEqual(shown["sum"], [None] * 10)
        self.assertEqual(list(shown["charts"]), CHARTS)
        self.assertEqual(shown["charts"]["Sessions"]["figures"], ["websocket2", "xhr-streaming1", "xhr-polling1"])
        self.assertIn("Sessions, now: websocket 2, xhr-streaming 1", shown["charts"]["Sessions"]["label"])
        for name, chart in shown["charts"].items():
            self.assertGreater(chart["drawn"], 0, name)
            self.assertEqual(chart["moment"], "now")
        self.assertEqual(shown["services"][0][:2], ["/echo", "4"])
        self.assertRegex(before["charts"]["Sessions"]["moment"], r"^[12] s ago$")
        self.assertEqual(paused["status"], "Paused. The numbers are those of before.")
        self.assertEqual(paused["rows"], later["rows"])
        # Whoever has no mouse comes by everything that can be used, and sees where that is.
        self.assertTrue(all(place["seen"] for place in tour), tour)
        self.assertIn("pause", [place.get("name") for place in tour])
        self.assertEqual(len([place for place in tour if "name" not in place]), len(CHARTS))

    async def test_gone(self) -> None:
        """
        When the service goes the page says so, and asks less often; when it is back all goes on.
        """
        child = self.start(
            do("say", text="you may stop"),
            wait("#feed[data-state=closed]", "Trying again every 4 seconds"),
            do("read", what="status"),
            do("say", text="you may start"),
            wait("#feed[data-state=open]"),
            do("sleep", milliseconds=1500),
            do("read", what="status"),
        )
        await child.waitFor("you may stop")
        await self.server.stop()
        await child.waitFor("you may start")
        port = str(urlsplit(self.page).port)
        again = Child.spawn(serverCommand("--metrics", port), name="twistd sockjs")
        self.addCleanup(lambda: ensureDeferred(again.stop()))
        gone, back = (await self.finish(child))["read"]
        self.assertEqual(gone["title"], "(!) txsockjs: no answer")
        self.assertIn("It cannot be reached.", gone["status"])
        self.assertEqual(back["rows"][0][:2], ["this process", "serving"])


class ManyTests(StatusCase):
    """
    Several processes, and one that looks after them.
    """

    options = ("--processes", "3")

    async def talkAll(self) -> None:
        """
        Have many clients talk, more and more of them; for the picture of the documentation.
        """
        await self.server.waitFor("p3 is up")
        urls = [
            (await self.server.waitFor(rf"p{number}: serving (http://\S+)/echo\b")).group(1) for number in range(1, 4)
        ]
        transports = ["websocket", "websocket", "websocket", "xhr-streaming", "xhr-polling"]
        for number in range(120):
            reactor.callLater(
                random.uniform(0, 70),
                lambda number: ensureDeferred(self.talk(urls[number % 3], transports[number % 5])),
                number,
            )

    async def test_processes(self) -> None:
        """
        Each process has its row. One that does not answer is gone, and why; when it answers again it is back. Those
        that drain say so.
        """
        busy = self.picture("status", height=1290)
        if busy:
            await self.talkAll()
        child = self.start(
            wait("#process-rows tr:nth-child(3) [data-state=serving]"),
            do("sleep", milliseconds=100_000 if busy else 1200),
            *busy,
            do("read", what="status"),
            do("say", text="one may sleep"),
            wait("#process-rows tr:nth-child(2) [data-state=gone]"),
            do("read", what="status"),
            do("say", text="it may wake up"),
            wait("#process-rows tr:nth-child(2) [data-state=serving]"),
            do("say", text="all may stop"),
            wait("#process-rows tr:nth-child(1) [data-state=draining]"),
            do("read", what="status"),
        )
        await self.server.waitFor("p3 is up")
        [url] = [(await self.server.waitFor(r"p1: serving (http://\S+)/echo\b")).group(1)]
        await child.waitFor("one may sleep", RUN_TIMEOUT)
        sleeper = next(row["pid"] for row in await self.facts() if row["process"] == "p2")
        os.kill(sleeper, signal.SIGSTOP)
        await child.waitFor("it may wake up")
        os.kill(sleeper, signal.SIGCONT)
        await child.waitFor("all may stop")
        # A client that does not come back, so the drain takes a while.
        response = await Agent(reactor).request(b"POST", f"{url}/echo/000/away/xhr".encode("ascii"))
        self.assertEqual(await readBody(response), b"o\n")
        self.server.signal(signal.SIGTERM)
        well, asleep, draining = (await self.finish(child))["read"]
        self.assertEqual((well["state"], well["status"]), ("open", "All 3 processes serve."))
        self.assertEqual([row[:2] for row in well["rows"]], [[name, "serving"] for name in ("p1", "p2", "p3")])
        self.assertEqual(well["sum"][:2], ["All", "3 of 3 serve"])
        self.assertEqual((asleep["state"], asleep["status"]), ("warned", "2 of 3 processes serve; gone: p2."))
        self.assertRegex(" ".join(asleep["rows"][1]), r"^p2 gone no answer in 2 seconds, for \d+ s$")
        self.assertEqual(draining["rows"][0][:2], ["p1", "draining"])
        self.assertIn("draining: p1", draining["status"])


class LogicTests(StatusCase):
    """
    What the page remembers.
    """

    async def test_history(self) -> None:
        """
        Rates follow from the clock of each process. What was just started has none yet, a fact that is told twice
        changes nothing, and after five minutes a point is forgotten.
        """
        [result] = await self.read(
            do(
                "run",
                code="""(async () => {
            const { createHistory, SPAN } = await import(new URL("status/history.js", location.href));
            const history = createHistory();
            const row = (process, pid, uptime, messages, state = "serving") => ({
              process, pid, uptime, state, cpu: uptime / 10, memory: 100, lag: { last: 0.1, most: 0.2 },
              services: [{ sessions: { websocket: 2 }, opened: { websocket: 3 }, closed: {},
                refused: { origin: messages },
                messages_in: messages, messages_out: 0, bytes_in: 0, bytes_out: 0,
                queued_bytes: 5, queued_messages: 1, blocked: 1, paused: 0 }],
            });
            const told = (...all) => {
              const { rates, sessions, memory, queuedBytes } = history.add(all, history.points.length);
              return { in: rates.in ?? null, cpu: rates.cpu ?? null, refused: rates.refused ?? null, sessions, memory,
                queuedBytes };
            };
            const found = [
              told(row("a", 1, 10, 100), row("b", 2, 50, 0)),
              told(row("a", 1, 12, 110), row("b", 2, 51, 1)),
              told(row("a", 1, 12, 110), { process: "b", state: "gone", why: "x" }),
              told(row("a", 3, 1, 7), row("b", 2, 60, 100)),
              told(row("a", 3, 2, 8), row("b", 2, 61, 101)),
            ];
            history.gap(5);
            history.restart();
            found.push(told(row("a", 3, 9, 100)));
            const count = history.points.length;
            history.add([], 5 + SPAN);
            return { found, count, left: history.points.length };
          })()""",
            ),
        )
        rates = [(point["in"], point["cpu"] and round(point["cpu"], 3), point["refused"]) for point in result["found"]]
        self.assertEqual(
            rates,
            [
                (None, None, None),
                (5 + 1, 0.2, 6),
                (5, 0.1, 5),
                (None, None, None),
                (2, 0.2, 2),
                (None, None, None),
            ],
        )
        self.assertEqual([point["sessions"]["websocket"] for point in result["found"]], [4, 4, 2, 4, 4, 2])
        self.assertEqual([point["memory"] for point in result["found"]], [200, 200, 100, 200, 200, 100])
        self.assertEqual((result["count"], result["left"]), (7, 3))


class LookTests(StatusCase):
    """
    The page on screens of several widths, light and dark; pictures are taken when asked for.
    """

    async def test_looks(self) -> None:
        """
        Nothing sticks out on the right, and what is written can be read.
        """
        await self.talk(self.services[0], "websocket")
        for width, height, scheme in (
            (1280, 860, "light"),
            (390, 844, "dark"),
            (390, 844, "light"),
            (320, 700, "dark"),
        ):
            look, faint = await self.read(
                do("sleep", milliseconds=1500),
                do("read", what="status"),
                do("read", what="faint"),
                *self.picture(f"status-{width}-{scheme}"),
                width=width,
                height=height,
                colorScheme=scheme,
                touch=width < 600,
            )
            scrolled, window = look["width"]
            self.assertLessEqual(scrolled, window)
            self.assertEqual(look["outside"], [])
            self.assertEqual(faint, [], scheme)
