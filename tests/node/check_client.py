# -*- test-case-name: tests.node.check_client -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
End to end: C{twistd sockjs} in one process and the real C{sockjs-client} of npm in another.

Needs Node and, the first time, the package registry; so it is not part of the ordinary run.  Start it with::

    python -m twisted.trial tests.node.check_client
"""

from __future__ import annotations

import signal
from typing import Any

from twisted.python.filepath import FilePath
from twisted.trial.unittest import TestCase

from tests.processes import installNodeModules, runNode, startServer

__all__ = ["EventSourceTests", "FallbackTests", "WebSocketTests", "XHRPollingTests", "XHRStreamingTests"]

HERE = FilePath(__file__).parent()

#: Seconds after which a script gives up, well before its process is stopped.
PATIENCE = 60

#: Texts that have broken framing, escaping or encoding somewhere before.
HARD_TEXTS = [
    "",
    " ",
    "plain",
    "\N{GRINNING FACE} \N{FAMILY}\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16} \U0010fffd",
    "e\N{COMBINING ACUTE ACCENT} \N{COMBINING DOT BELOW}q\N{COMBINING RING ABOVE}",
    "line\N{LINE SEPARATOR}paragraph\N{PARAGRAPH SEPARATOR}end",
    "\x00",
    "before\x00after",
    "\r\n\t\b\f\x0b\x1b\x7f\x85\xa0",
    "\"double\" 'single' `back` \\ \\\\ \\u0041",
    "</script><script>x()</script>",
    "<!-- <![CDATA[ ]]> -->",
    "%41 %2541 %0A %zz % %%",
    "a+b&c=d;e?f#g",
    '["nested","array"]',
    '{"nested":"object"}',
    "o",
    "h",
    'a["x"]',
    'c[3000,"Go away!"]',
    "data: x\r\n\r\ndata: y",
    "\ud800",
    "\udfff alone, and \udc00\ud800 the wrong way round",
    "\ufeff\ufffe\uffff\ufff0\u200b\u200c\u200f\u2060\u206f",
    "שלום עולם \u202e مرحبا",
    "漢字かな交じり文",
]

#: One hundred messages, so that any change of their order is seen.
MESSAGES = [f"{number}: {HARD_TEXTS[number % len(HARD_TEXTS)]}" for number in range(100)]


class ClientMixin:
    """
    What every transport has to do.

    @cvar transport: the name that the client knows it by.
    """

    transport: str

    async def setUp(self) -> None:
        self.modules = await installNodeModules(HERE)
        # The long message of a test has more bytes than the default allows.
        self.server = await startServer(self, "--max-message-size", "200000")

    async def play(self, service: str, **job: Any) -> list[dict[str, Any]]:
        """
        Let the client do something, with the transport of this class.

        @return: what each connection has seen.
        """
        orders = {
            "url": self.server.url + service,
            "transports": [self.transport],
            "patience": PATIENCE,
            **job,
        }
        answer = await runNode(HERE.child("client.js"), self.modules, orders)
        for client in answer["clients"]:
            self.assertEqual((client["early"], client["late"]), (0, 0))
        return answer["clients"]

    async def test_order(self) -> None:
        """
        A hundred messages sent at once come back unchanged and in order.
        """
        [client] = await self.play("/echo", send=MESSAGES, expect=len(MESSAGES))
        self.assertEqual(client["transport"], self.transport)
        self.assertEqual(client["messages"], MESSAGES)

    async def test_texts(self) -> None:
        """
        Each text comes back exactly, the empty one and lone surrogates included, when sent one after another.
        """
        [client] = await self.play("/echo", send=HARD_TEXTS, expect=len(HARD_TEXTS), paced=True)
        self.assertEqual(client["messages"], HARD_TEXTS)

    async def test_long(self) -> None:
        """
        A message of a hundred thousand characters comes back whole, and so do its neighbours.
        """
        sent = ["before", "0123456\N{SNOWMAN}8\N{GRINNING FACE}" * 10_000, "after"]
        self.assertEqual(len(sent[1]), 100_000)
        [client] = await self.play("/echo", send=sent, expect=3)
        self.assertEqual(client["messages"], sent)

    async def test_cookie(self) -> None:
        """
        A service that needs a cookie works for a client that keeps none.
        """
        [client] = await self.play("/cookie_needed_echo", send=["one", "two"], expect=2)
        self.assertEqual(client["messages"], ["one", "two"])

    async def test_push(self) -> None:
        """
        The server sends by itself, again and again.
        """
        [client] = await self.play("/ticker", expect=3)
        self.assertEqual(client["messages"], ["tick!"] * 3)

    async def test_serverClose(self) -> None:
        """
        The client is told the code and the reason with which the server closes.
        """
        [client] = await self.play("/close")
        self.assertEqual(client["transport"], self.transport)
        self.assertEqual(client["closed"], {"code": 3000, "reason": "Go away!", "clean": True})

    async def test_clientClose(self) -> None:
        """
        The client closes with a code and a reason of its own, and the server goes on serving.
        """
        close = {"code": 3456, "reason": "enough"}
        for _ in range(2):
            [client] = await self.play("/echo", send=["last"], expect=1, close=close)
            self.assertEqual(client["messages"], ["last"])
            self.assertEqual(client["closed"], {**close, "clean": True})

    async def test_amplify(self) -> None:
        """
        Answers are as long as asked for, and a number out of bounds counts as one.
        """
        sent = ["1", "10", "18", "0", "19", "rubbish"]
        [client] = await self.play("/amplify", send=sent, expect=len(sent))
        self.assertEqual(
            client["messages"],
            ["x" * length for length in (2, 1024, 262_144, 2, 2, 2)],
        )

    async def test_broadcast(self) -> None:
        """
        A message reaches every connection of the service, the sender's included.
        """
        clients = await self.play("/broadcast", clients=2, send=["one", "two", "three"], expect=3)
        self.assertEqual([client["messages"] for client in clients], [["one", "two", "three"]] * 2)

    async def test_stop(self) -> None:
        """
        A server that has served this transport ends in good order when asked to.
        """
        await self.play("/echo", send=["x"], expect=1)
        # twistd ends by the very signal that it was sent, once it has cleaned up.
        self.assertIn(await self.server.child.stop(), (0, -signal.SIGTERM))
        self.assertNotIn("Traceback", self.server.child.text())


class WebSocketTests(ClientMixin, TestCase):
    """
    The client over WebSocket.
    """

    transport = "websocket"


class XHRStreamingTests(ClientMixin, TestCase):
    """
    The client over streamed responses.
    """

    transport = "xhr-streaming"


class XHRPollingTests(ClientMixin, TestCase):
    """
    The client over one response after another.
    """

    transport = "xhr-polling"


class EventSourceTests(ClientMixin, TestCase):
    """
    The client over server-sent events.
    """

    transport = "eventsource"


class FallbackTests(TestCase):
    """
    The client left to choose for itself.
    """

    async def setUp(self) -> None:
        self.modules = await installNodeModules(HERE)
        self.server = await startServer(self)

    async def echo(self, service: str, transports: list[str] | None = None) -> dict[str, Any]:
        """
        Send one message.
        """
        orders = {
            "url": self.server.url + service,
            "transports": transports,
            "patience": PATIENCE,
            "send": ["hello"],
            "expect": 1,
        }
        answer = await runNode(HERE.child("client.js"), self.modules, orders)
        client: dict[str, Any] = answer["clients"][0]
        return client

    async def test_best(self) -> None:
        """
        Where WebSocket is on offer, the client takes it.
        """
        client = await self.echo("/echo")
        self.assertEqual((client["transport"], client["messages"]), ("websocket", ["hello"]))

    async def test_fallback(self) -> None:
        """
        Where WebSocket is off, the client arrives by another way and works all the same.
        """
        client = await self.echo("/disabled_websocket_echo")
        self.assertNotIn(client["transport"], ("websocket", None))
        self.assertEqual(client["messages"], ["hello"])

    async def test_nothingLeft(self) -> None:
        """
        A client that insists on a transport which is off is told that none is left.
        """
        client = await self.echo("/disabled_websocket_echo", ["websocket"])
        self.assertEqual((client["transport"], client["messages"]), (None, []))
        self.assertEqual(client["closed"]["code"], 2000)
