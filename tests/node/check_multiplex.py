# -*- test-case-name: tests.node.check_multiplex -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.multiplex} and the real client of websocket-multiplex, over the real sockjs-client.

Needs Node and, the first time, the package registry; so it is not part of the ordinary run.  Start it with::

    python -m twisted.trial tests.node.check_multiplex
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.python.filepath import FilePath
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from tests.processes import installNodeModules, runNode
from tests.support import TextEcho
from txsockjs.multiplex import SockJSMultiplexResource

__all__ = ["MultiplexTests"]

HERE = FilePath(__file__).parent()

#: Seconds after which the script gives up, well before its process is stopped.
PATIENCE = 60

TEXT = "1, 2, \N{SNOWMAN} and so on"


class Quitter(TextEcho):
    """
    Sends back what it gets, and closes when it is told to.
    """

    def messageReceived(self, message: str) -> None:
        if message == "quit":
            self.transport.loseConnection()
        else:
            super().messageReceived(message)


class MultiplexTests(TestCase):
    """
    One page, by several transports.
    """

    async def play(self, transport: str) -> None:
        """
        Have the page do what it does, and look at what its channels have seen.
        """
        modules = await installNodeModules(HERE)
        resource = SockJSMultiplexResource()
        self.addCleanup(resource.stop)
        for topic in ("ann", "tea room", "\N{SNOWMAN}"):
            resource.addFactory(topic, Factory.forProtocol(Quitter))
        port = reactor.listenTCP(0, Site(resource), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}"
        orders = {"url": url, "transport": transport, "patience": PATIENCE}
        answer = await runNode(HERE.child("multiplex.js"), modules, orders)
        self.assertEqual(
            answer["seen"],
            {
                "ann": ["open", TEXT, "", "close"],
                "room": ["open", TEXT, "", "close"],
                "snowman": ["open", TEXT, ""],
                "nobody": ["open", "close"],
                "room2": ["open", "again"],
                "ann2": ["open", "back", "close"],
                "ann3": ["open", "still there"],
                "snowman2": ["open", "mine"],
            },
        )
        self.assertEqual(answer["how"], "done")
        self.assertEqual(dict(resource.stats.refused), {"unknown topic": 1})

    async def test_websocket(self) -> None:
        """
        By WebSocket each channel sees just what is its own.
        """
        await self.play("websocket")

    async def test_xhrStreaming(self) -> None:
        """
        So it does by streamed responses.
        """
        await self.play("xhr-streaming")

    async def test_xhrPolling(self) -> None:
        """
        So it does by one response after another.
        """
        await self.play("xhr-polling")
