# -*- test-case-name: tests.endurance.check_drain -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A real C{twistd sockjs} is told to end while it sends to many clients as fast as they take it: nothing that its
application has written may be lost.

It takes about a minute, so it is not part of the ordinary run.  Start it with::

    python -m twisted.trial tests.endurance.check_drain
"""

from __future__ import annotations

import itertools
import json
import signal
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.processes import startServer
from tests.wire import CLOSE, Frame, HTTPClient, HTTPConnection, WebSocketClient

__all__ = ["DrainTests"]

#: The ways in which clients come; C{fresh} is polling by one connection for each poll.
TRANSPORTS = ("websocket", "raw", "eventsource", "xhr_streaming", "xhr", "fresh")

#: Clients of each transport.
CLIENTS = 14

#: Messages that each client must have before the server is told to end.
WARM = 100

#: Seconds after which a client gives up.
PATIENCE = 60.0

APPLICATION = """
    import json
    from pathlib import Path

    from twisted.internet import reactor
    from twisted.internet.interfaces import IPushProducer
    from twisted.internet.protocol import Protocol
    from zope.interface import implementer


    class Numbers(Protocol):
        '''
        Sends its name, and then numbers; writes down how many of its messages were accepted.
        '''

        accepted = 0

        def connectionMade(self):
            self.send(self.transport.id)

        def send(self, text):
            if not self.transport.disconnecting:
                self.accepted += 1
                self.transport.write(text)

        def sendSome(self):
            for _ in range(10):
                self.send(f"{self.accepted} {'x' * 500}")

        def connectionLost(self, reason):
            path = Path(__file__).with_name(self.transport.id + ".json")
            path.write_text(json.dumps({"accepted": self.accepted, "code": getattr(reason.value, "code", None)}))


    @implementer(IPushProducer)
    class Fast(Numbers):
        '''
        As fast as it may.
        '''

        turn = None

        def connectionMade(self):
            super().connectionMade()
            self.transport.registerProducer(self, True)
            self.resumeProducing()

        def resumeProducing(self):
            self.paused = False
            if self.turn is None:
                self.turn = reactor.callLater(0, self.produce)

        def pauseProducing(self):
            self.paused = True

        def stopProducing(self):
            self.paused = True

        def produce(self):
            self.turn = None
            while not self.paused and self.turn is None:
                self.turn = reactor.callLater(0, self.produce)
                self.sendSome()


    class Steady(Numbers):
        '''
        At its own pace, and without a look at whether its client keeps up.
        '''

        def connectionMade(self):
            super().connectionMade()
            self.tick()

        def tick(self):
            self.sendSome()
            if not self.transport.disconnecting:
                reactor.callLater(0.05, self.tick)
"""


class Client:
    """
    One session.

    @ivar name: what the server calls it.
    @ivar got: its messages, but for the first one.
    @ivar closing: code and reason of its end.
    @ivar warm: fires when it has had some messages.
    """

    def __init__(self, http: HTTPClient, transport: str, number: int) -> None:
        self.http = http
        self.transport = transport
        self.path = f"/0/{transport}-{number}"
        self.name: str | None = None
        self.got: list[str] = []
        self.closing: tuple[int, str] | None = None
        self.warm: Deferred[None] = Deferred()
        self.wire: HTTPConnection | None = None

    async def run(self) -> None:
        """
        Receive until the end.
        """
        run = {
            "websocket": self._webSocket,
            "raw": self._raw,
            "eventsource": self._eventSource,
            "fresh": self._fresh,
        }
        async for frame in run.get(self.transport, self._xhr)():
            if frame.startswith("a"):
                for message in json.loads(frame[1:]):
                    self._take(message)
            elif frame.startswith("c"):
                self.closing = tuple(json.loads(frame[1:]))
                break
            elif frame not in ("o", "h"):
                raise AssertionError(f"an unexpected frame: {frame[:100]!r}")
        await self.wire.gone(PATIENCE)
        if not self.wire.lost.check(ConnectionDone):
            raise AssertionError(f"the connection broke: {self.wire.lost!r}")

    def _take(self, message: str) -> None:
        if self.closing is not None:
            raise AssertionError("a message after the close frame")
        if self.name is None:
            self.name = message
        else:
            self.got.append(message)
        if len(self.got) == WARM:
            self.warm.callback(None)

    async def _open(self, path: str) -> WebSocketClient:
        client = await self.http.websocket(path)
        self.wire = client.wire
        return client

    async def _webSocket(self) -> AsyncIterator[str]:
        client = await self._open(self.path + "/websocket")
        while not isinstance(message := await client.message(PATIENCE), Frame):
            if message.startswith("c"):
                last = message
            else:
                yield message
        client.sendFrame(CLOSE, message.payload[:2])
        yield last

    async def _raw(self) -> AsyncIterator[str]:
        client = await self._open("/websocket")
        while not isinstance(message := await client.message(PATIENCE), Frame):
            yield "a" + json.dumps([message])
        client.sendFrame(CLOSE, message.payload[:2])
        yield "c" + json.dumps([int.from_bytes(message.payload[:2], "big"), message.payload[2:].decode("utf-8")])

    async def _xhr(self) -> AsyncIterator[str]:
        self.wire = wire = await self.http.connect()
        while True:
            response = await wire.request("POST", f"{self.http.path}{self.path}/{self.transport}")
            async for line in self._lines(response, "\n"):
                if line.strip("h"):  # not the prelude
                    yield line

    async def _fresh(self) -> AsyncIterator[str]:
        """
        As a proxy does that keeps no connections: one for each poll.
        """
        while True:
            self.wire = wire = await self.http.connect()
            response = await wire.request("POST", f"{self.http.path}{self.path}/xhr", [("Connection", "close")])
            async for line in self._lines(response, "\n"):
                if line.strip("h"):  # not the prelude
                    yield line

    async def _eventSource(self) -> AsyncIterator[str]:
        self.wire = wire = await self.http.connect()
        while True:
            response = await wire.request("GET", f"{self.http.path}{self.path}/eventsource")
            async for line in self._lines(response, "\r\n"):
                if line:
                    yield line.removeprefix("data: ")

    async def _lines(self, response, end: str) -> AsyncIterator[str]:
        if response.status != 200:
            raise AssertionError(f"an answer {response.status}")
        rest = ""
        while (chunk := await response.chunk(PATIENCE)) is not None:
            *lines, rest = (rest + chunk.decode("utf-8")).split(end)
            for line in lines:
                yield line
        if rest:
            raise AssertionError(f"half a frame: {rest[:100]!r}")

    def pause(self) -> None:
        """
        Stop to read.
        """
        self.wire.transport.pauseProducing()

    def resume(self) -> None:
        """
        Read on.
        """
        if self.wire.lost is None:
            self.wire.transport.resumeProducing()


class DrainTests(TestCase):
    """
    SIGTERM in full flight.
    """

    timeout = 240

    async def start(self, *arguments: str) -> list[Client]:
        """
        Start a server and clients of all kinds, and wait until all of them have had some messages.
        """
        self.directory = Path(self.mktemp()).resolve()
        self.directory.mkdir()
        (self.directory / "numbers_app.py").write_text(textwrap.dedent(APPLICATION))
        services = ["--factory", "echo=numbers_app.Fast", "--factory", "steady=numbers_app.Steady"]
        server = await startServer(self, "--app-dir", str(self.directory), *services, *arguments)
        self.child = server.child
        transports = TRANSPORTS
        clients, self.runs = [], []
        for path in ("/echo", "/steady"):
            http = HTTPClient(reactor, server.url + path)
            self.addCleanup(http.close)
            pairs = itertools.product(transports, range(CLIENTS // 2))
            clients.extend(Client(http, transport, number) for transport, number in pairs)
        for client in clients:
            self.runs.append(Deferred.fromCoroutine(client.run()))
            self.runs[-1].addErrback(self._failed, client)
        await gatherResults([client.warm for client in clients], consumeErrors=True)
        return clients

    def _failed(self, failure: Failure, client: Client) -> Failure:
        if not client.warm.called:
            client.warm.errback(failure)
        return failure

    async def finish(self, clients: list[Client]) -> list[Failure]:
        """
        Let all clients read to their end.

        @return: what went wrong.
        """
        for client in clients:
            client.resume()
        return [result for good, result in await DeferredList(self.runs, consumeErrors=True) if not good]

    async def test_nothingIsLost(self) -> None:
        """
        Every client gets all that was accepted for it, in order, and the close frame, also if it had stopped to read
        for a while; and the process ends by the signal before the time is over.
        """
        clients = await self.start("--drain-timeout", "60", "--drain-reason", "See you")
        stopped = clients[::3]
        for client in stopped:
            client.pause()
        await deferLater(reactor, 1)  # so that what they do not take piles up
        self.child.signal(signal.SIGTERM)
        await self.child.waitFor("closing [0-9]+ sessions")
        await deferLater(reactor, 1)
        failures = await self.finish(clients)
        self.assertEqual(failures, [])
        status = await self.child.wait(90)
        self.assertEqual(status, -signal.SIGTERM)
        self.assertIn("all sessions have ended", self.child.text())
        self.assertNotIn("Traceback", self.child.text())
        self.assertEqual(len(clients), len(TRANSPORTS) * CLIENTS)
        for client in clients:
            what = f"{client.transport} {client.path}"
            self.assertEqual(client.closing, (3000, "See you"), what)
            told = json.loads((self.directory / f"{client.name}.json").read_text())
            numbers = [int(message.split(" ")[0]) for message in client.got]
            self.assertEqual(numbers, list(range(1, told["accepted"])), what)
        self.assertEqual(len(list(self.directory.glob("*.json"))), len(clients))

    async def test_nobodyReads(self) -> None:
        """
        Clients that have stopped to read do not keep the process longer than C{drain_timeout}.
        """
        clients = await self.start("--drain-timeout", "2", "--disconnect-delay", "100")
        for client in clients:
            client.pause()
        self.child.signal(signal.SIGTERM)
        self.assertEqual(await self.child.wait(60), -signal.SIGTERM)
        self.assertIn("the time is over", self.child.text())
        self.assertNotIn("Traceback", self.child.text())
        self.assertEqual(len(list(self.directory.glob("*.json"))), len(clients))
        await self.finish(clients)

    async def test_secondSignal(self) -> None:
        """
        With a second signal the process ends at once, and without a traceback.
        """
        for second in (signal.SIGTERM, signal.SIGINT):
            clients = await self.start("--drain-timeout", "1000", "--disconnect-delay", "1000")
            for client in clients:
                client.pause()
            self.child.signal(signal.SIGTERM)
            await self.child.waitFor("closing [0-9]+ sessions")
            self.child.signal(second)
            self.assertEqual(await self.child.wait(60), -signal.SIGTERM)
            self.assertIn("did not wait for sessions to end", self.child.text())
            self.assertNotIn("Traceback", self.child.text())
            self.assertEqual(len(list(self.directory.glob("*.json"))), len(clients))
            await self.finish(clients)
