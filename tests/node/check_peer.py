# -*- test-case-name: tests.node.check_peer -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The client against sockjs-node of npm and against a C{twistd sockjs}, each in a process of its own, by each transport.

Needs Node and, the first time, the package registry; so it is not part of the ordinary run.  Start it with::

    python -m twisted.trial tests.node.check_peer
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.python.filepath import FilePath
from twisted.trial.unittest import TestCase

from tests.clients import Bot, connected
from tests.node.check_client import HARD_TEXTS
from tests.processes import Child, findProgram, installNodeModules, startServer
from txsockjs.client import HeartbeatTimeout, SockJSClientEndpoint, TransportsFailed
from txsockjs.errors import SessionDone

__all__ = ["OursTests", "SockJSNodeTests"]

HERE = FilePath(__file__).parent()

TRANSPORTS = ("websocket", "xhr-streaming", "eventsource", "xhr-polling", "websocket-raw")

#: How many messages go both ways on each transport.
COUNT = 10_000

#: Seconds that anything may take.
PATIENCE = 120.0


def texts(count: int) -> list[str]:
    """
    @return: messages of which each begins with its number.
    """
    return [f"{number}: {HARD_TEXTS[number % len(HARD_TEXTS)]}" for number in range(count)]


def plain(messages: list[str]) -> list[str]:
    """
    @return: the messages without lone surrogates, which only JSON can carry.
    """
    return [message.encode("utf-8", "replace").decode("utf-8") for message in messages]


class PeerMixin:
    """
    What holds with any server.

    @ivar url: where it serves.
    """

    url: str
    timeout = 600

    def endpoint(self, service: str, *transports: str, **settings: Any) -> SockJSClientEndpoint:
        """
        @return: a client of one of the services.
        """
        settings = {"open_timeout": 20, "transports": transports or TRANSPORTS[:4], **settings}
        return SockJSClientEndpoint(reactor, self.url + service, **settings)

    async def close(self, bot: Any) -> None:
        """
        Close, and see that it is an orderly end.
        """
        bot.transport.loseConnection()
        end = await bot.ends(reactor)
        self.assertEqual((type(end), end.code), (SessionDone, 1000))

    async def manyMessages(self, transport: str, messages: list[str], service: str = "/echo") -> None:
        """
        Send messages in portions of many sizes, some within a turn and some in turns of their own, and get them back.
        """
        bot = await connected(self.endpoint(service, transport))
        begun = time.monotonic()
        sent = size = 0
        while sent < len(messages):
            size = size % 97 + 1
            bot.transport.writeMessages(messages[sent : sent + size])
            sent += size
            if sent - len(bot.received) > 2000:  # the bound of what may wait for the server is no matter here
                await bot.gets(sent - 1000, reactor, PATIENCE)
            await deferLater(reactor, 0)
        received = await bot.gets(len(messages), reactor, PATIENCE)
        self.assertEqual(bot.transport.transportName, transport)
        self.assertEqual(len(received), len(messages))
        self.assertEqual(received, messages)
        took = time.monotonic() - begun
        print(f"\n    {self.name}, {transport}: {len(received)} of {len(messages)} messages, in order, {took:.1f} s")
        await self.close(bot)

    async def test_websocket(self) -> None:
        """
        Ten thousand messages come back by C{websocket}, in order.
        """
        await self.manyMessages("websocket", texts(COUNT))

    async def test_xhrStreaming(self) -> None:
        """
        Ten thousand messages come back by C{xhr-streaming}, in order.
        """
        await self.manyMessages("xhr-streaming", texts(COUNT))

    async def test_eventSource(self) -> None:
        """
        Ten thousand messages come back by C{eventsource}, in order.
        """
        await self.manyMessages("eventsource", texts(COUNT))

    async def test_xhrPolling(self) -> None:
        """
        Ten thousand messages come back by C{xhr-polling}, in order.
        """
        await self.manyMessages("xhr-polling", texts(COUNT))

    async def test_rawWebSocket(self) -> None:
        """
        Ten thousand messages come back by C{websocket-raw}, in order.
        """
        await self.manyMessages("websocket-raw", plain(texts(COUNT)))

    async def test_allAtOnce(self) -> None:
        """
        Ten thousand messages that are written at once come back in order.
        """
        messages = [f"{number}" for number in range(COUNT)]
        for transport in TRANSPORTS:
            bot = await connected(self.endpoint("/echo", transport))
            bot.transport.writeMessages(messages)
            self.assertEqual(await bot.gets(COUNT, reactor, PATIENCE), messages)
            await self.close(bot)

    async def test_long(self) -> None:
        """
        A message of a hundred thousand characters comes back whole.
        """
        message = "0123456\N{SNOWMAN}8\N{GRINNING FACE}" * 8_000
        for transport in TRANSPORTS:
            bot = await connected(self.endpoint("/echo", transport))
            bot.transport.write(message)
            self.assertEqual(await bot.gets(1, reactor), [message])
            await self.close(bot)

    async def test_serverCloses(self) -> None:
        """
        The code and the reason of a close arrive.
        """
        for transport in TRANSPORTS:
            bot = await connected(self.endpoint("/close", transport))
            end = await bot.ends(reactor)
            self.assertEqual((type(end), end.code, end.reason), (SessionDone, 3000, "Go away!"), transport)

    async def test_heartbeats(self) -> None:
        """
        A silent session lasts as long as heartbeats come.
        """
        bots = [await connected(self.endpoint("/echo", name, heartbeat_timeout=2)) for name in TRANSPORTS[:4]]
        await deferLater(reactor, 4)
        for bot in bots:
            self.assertIsNone(bot.lost, bot.transport.transportName)
            bot.transport.write("still there")
            self.assertEqual(await bot.gets(1, reactor), ["still there"])
            await self.close(bot)

    async def test_fallback(self) -> None:
        """
        Where WebSocket is off, the client takes the next transport.
        """
        bot = await connected(self.endpoint("/disabled_websocket_echo"))
        bot.transport.write("hello")
        self.assertEqual(await bot.gets(1, reactor), ["hello"])
        self.assertEqual(bot.transport.transportName, "xhr-streaming")
        await self.close(bot)
        failing = self.endpoint("/disabled_websocket_echo", "websocket").connect(Factory.forProtocol(Bot))
        await self.assertFailure(failing, TransportsFailed)

    async def test_cookie(self) -> None:
        """
        A service that needs a cookie works.
        """
        for transport in TRANSPORTS[1:4]:
            bot = await connected(self.endpoint("/cookie_needed_echo", transport))
            bot.transport.writeMessages(["one", "two"])
            self.assertEqual(await bot.gets(2, reactor), ["one", "two"])
            await self.close(bot)


class SockJSNodeTests(PeerMixin, TestCase):
    """
    The server that the protocol was made with.
    """

    name = "sockjs-node"

    async def setUp(self) -> None:
        modules = await installNodeModules(HERE)
        child = Child.spawn([findProgram("node"), HERE.child("peer.js").path], environment={"NODE_PATH": modules})
        self.addCleanup(lambda: defer.ensureDeferred(child.stop()))
        self.url = (await child.waitFor(r"(http://127\.0\.0\.1:\d+)\n")).group(1)

    async def test_pour(self) -> None:
        """
        What was written before a close arrives before it, also over many short responses.
        """
        for transport in TRANSPORTS:
            bot = await connected(self.endpoint("/pour", transport))
            bot.transport.write("5000")
            end = await bot.ends(reactor)
            self.assertEqual((end.code, end.reason), (3210, "all said"), transport)
            self.assertEqual(bot.received, [str(number) for number in range(5000)], transport)

    async def test_shortResponses(self) -> None:
        """
        Nothing is lost between responses that end after 4 kB each.
        """
        for transport in ("xhr-streaming", "eventsource"):
            await self.manyMessages(transport, texts(2000), "/short")

    async def test_silent(self) -> None:
        """
        A server that says nothing is taken for gone.
        """
        for transport in TRANSPORTS[:4]:
            bot = await connected(self.endpoint("/silent", transport, heartbeat_timeout=0.5))
            self.assertIsInstance(await bot.ends(reactor), HeartbeatTimeout)


class OursTests(PeerMixin, TestCase):
    """
    A C{twistd sockjs}.
    """

    name = "twistd sockjs"

    async def setUp(self) -> None:
        server = await startServer(self, "--heartbeat-delay", "0.5", "--max-message-size", "200000")
        self.url = server.url
