# -*- test-case-name: tests.test_demo_watch -*-
"""
C{/stats} of the demo: the server's own numbers.
"""

from __future__ import annotations

import json
import mmap

from twisted.logger import capturedLogs

from tests.support import SiteCase
from txsockjs.demo import makeSite
from txsockjs.memory import residentMemory

PATHS = ["/echo", "/disabled_websocket_echo", "/cookie_needed_echo", "/close", "/ticker", "/amplify", "/broadcast"]


class WatchTests(SiteCase):
    """
    The service, in the demo.
    """

    def setUp(self):
        super().setUp()
        self.serveDemo()

    def serveDemo(self, **settings):
        root = makeSite(self.clock, **settings).resource
        self.services = {path: root.children[path[1:].encode("ascii")] for path in [*PATHS, "/stats"]}
        self.resources.extend(self.services.values())
        self.serveTree(root)

    def open(self, name, session="s"):
        socket = self.connect()
        self.assertEqual(socket.upgrade(f"/{name}/0/{session}/websocket")().code, 101)
        self.clock.advance(0)
        return socket

    def snapshots(self, socket):
        """
        @return: what a watcher has got.
        """
        frames = [text for text in socket.texts() if text.startswith("a")]
        return [json.loads(message) for frame in frames for message in json.loads(frame[1:])]

    def numbers(self, snapshot):
        return {service["path"]: service for service in snapshot["services"]}

    def test_atOnce(self):
        """
        Who connects gets the numbers at once: of each standard service, in order, and not of this one.
        """
        [snapshot] = self.snapshots(self.open("stats"))
        self.assertEqual(set(snapshot), {"uptime", "memory", "watching", "services"})
        self.assertEqual([service["path"] for service in snapshot["services"]], PATHS)
        self.assertEqual(snapshot["watching"], 1)
        for service in snapshot["services"]:
            self.assertEqual(service.pop("sessions"), {})
            self.assertEqual(set(service.values()), {0, service["path"]})

    def test_everySecond(self):
        """
        The numbers come every second, and tell how long the server is up.
        """
        self.clock.advance(10)
        socket = self.open("stats")
        self.clock.pump([0.5] * 5)
        self.clock.advance(0)
        self.assertEqual([snapshot["uptime"] for snapshot in self.snapshots(socket)], [10, 11, 12])

    def test_counted(self):
        """
        Sessions count by transport as long as they are open, and messages and bytes as they come and go.
        """
        watcher = self.open("stats")
        echo = self.open("echo", "one")
        self.open("echo", "two")
        self.answerTo("POST", "/echo/0/three/xhr")
        echo.sendText('"hello"')
        self.clock.advance(1)
        self.clock.advance(0)
        numbers = self.numbers(self.snapshots(watcher)[-1])["/echo"]
        self.assertEqual(numbers["sessions"], {"websocket": 2, "xhr-polling": 1})
        self.assertEqual([numbers[key] for key in ("opened", "messages_in", "messages_out")], [3, 1, 1])
        self.assertEqual([numbers["bytes_in"], numbers["bytes_out"]], [len('"hello"'), len('"hello"')])
        echo.lose()
        self.clock.advance(1)
        self.clock.advance(0)
        numbers = self.numbers(self.snapshots(watcher)[-1])["/echo"]
        self.assertEqual((numbers["sessions"]["websocket"], numbers["opened"]), (1, 3))

    def test_transports(self):
        """
        Every transport gets the numbers, the raw WebSocket as they are.
        """
        raw = self.connect()
        self.assertEqual(raw.upgrade("/stats/websocket")().code, 101)
        self.clock.advance(0)
        self.assertEqual(json.loads(raw.texts()[0])["watching"], 1)
        stream = self.ask("POST", "/stats/0/stream/xhr_streaming")
        self.clock.advance(1)
        self.clock.advance(0)
        chunks = [chunk for chunk in stream().chunks if chunk.startswith(b"a")]
        self.assertEqual([json.loads(json.loads(chunk[1:])[0])["watching"] for chunk in chunks], [1, 2])

    def test_nothingSecret(self):
        """
        Neither the ids of sessions nor addresses are in the numbers.
        """
        watcher = self.open("stats", "watcher-session")
        self.open("echo", "secret-session")
        self.answerTo("POST", "/broadcast/server/other-session/xhr")
        self.clock.advance(1)
        self.clock.advance(0)
        text = json.dumps(self.snapshots(watcher)[-1])
        self.assertIn('"websocket": 1', text)
        for secret in ("secret-session", "other-session", "watcher-session", "127.0.0.1", "50000", "server"):
            self.assertNotIn(secret, text)

    def test_slow(self):
        """
        For one who takes nothing no more than one snapshot waits, and it goes on when there is room again.
        """
        slow, quick = self.open("stats", "slow"), self.open("stats", "quick")
        slow.transport.block()
        for _ in range(20):
            self.clock.advance(1)
            self.clock.advance(0)
        self.assertEqual(self.services["/stats"].gauges().queuedMessages, 1)
        self.assertLessEqual(len(self.snapshots(slow)), 2)
        self.assertEqual(len(self.snapshots(quick)), 21)
        slow.transport.unblock()
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(self.snapshots(slow)[-1]["uptime"], 21)

    def test_slowPolling(self):
        """
        For one who is between two requests no more than one snapshot waits.
        """
        self.assertEqual(self.answerTo("POST", "/stats/0/poll/xhr").body, b"o\n")
        for _ in range(4):
            self.clock.advance(1)
            self.clock.advance(0)
        frame = self.answerTo("POST", "/stats/0/poll/xhr").body
        self.assertEqual(len(json.loads(frame[1:])), 1)

    def test_deaf(self):
        """
        What is sent to it has no effect.
        """
        socket = self.open("stats")
        for text in ('"stop"', '["{}", "\\u0000"]'):
            socket.sendText(text)
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(len(self.snapshots(socket)), 2)

    def test_nobody(self):
        """
        When the last one has gone nothing is looked at any more, and it begins again with the next one.
        """
        first, second = self.open("stats", "first"), self.open("stats", "second")
        first.lose()
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual([snapshot["watching"] for snapshot in self.snapshots(second)], [1, 1])
        second.lose()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        third = self.open("stats", "third")
        self.clock.pump([1, 1, 0])
        self.assertEqual(len(self.snapshots(third)), 3)

    def test_oftenOpened(self):
        """
        However many come within a second, the services are looked at once.
        """
        looks = []
        gauges = self.services["/echo"].gauges
        self.services["/echo"].gauges = lambda: looks.append(1) or gauges()
        for number in range(5):
            self.open("stats", f"s{number}")
        self.assertEqual(len(looks), 1)
        self.clock.advance(1)
        self.assertEqual(len(looks), 2)

    def test_limit(self):
        """
        There is a limit to how many may watch, which is that of the other services if they have one.
        """
        self.assertEqual(self.services["/stats"].options.max_sessions, 200)
        self.serveDemo(max_sessions=2)
        for number in range(2):
            self.open("stats", f"s{number}")
        self.assertEqual(self.answerTo("POST", "/stats/0/more/xhr").code, 503)

    def test_drain(self):
        """
        Watchers do not keep a service from stopping.
        """
        socket = self.open("stats")
        done = self.services["/stats"].drain(10)
        self.clock.advance(0)
        socket.lose()
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(socket.texts()[-1], 'c[3000,"Go away!"]')
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self):
        """
        A failure is logged once, and the next one who comes starts it anew.
        """
        first = self.open("stats", "first")
        gauges = self.services["/echo"].gauges
        self.services["/echo"].gauges = lambda: 1 / 0
        with capturedLogs() as events:
            self.clock.pump([1, 1, 1])
        self.assertEqual(len([event for event in events if "log_failure" in event]), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.services["/echo"].gauges = gauges
        self.open("stats", "second")
        self.clock.pump([1, 0])
        self.assertEqual(self.snapshots(first)[-1]["watching"], 2)


class MemoryTests(SiteCase):
    """
    L{residentMemory}.
    """

    def test_told(self):
        """
        On Linux it is the second number there, in pages.
        """
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("9000 123 45 6 0 78 0\n")
        self.assertEqual(residentMemory(path), 123 * mmap.PAGESIZE)

    def test_unknown(self):
        """
        Elsewhere, and where there is something else, it is not known.
        """
        path = self.mktemp()
        self.assertIsNone(residentMemory(path))
        for text in ("", "9000", "a b c"):
            with open(path, "w") as file:
                file.write(text)
            self.assertIsNone(residentMemory(path))
