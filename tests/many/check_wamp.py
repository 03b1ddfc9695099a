# -*- test-case-name: tests.many.check_wamp -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The recipe for WAMP, C{examples/wamp.py}, with a real Crossbar router that is stopped and started.

It takes half a minute and needs a C{crossbar}, in the path or where C{TXSOCKJS_CROSSBAR} says, so it is not part of the
ordinary run.  Start it with::

    python -m twisted.trial tests.many.check_wamp
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.python.runtime import seconds
from twisted.trial.unittest import SkipTest, TestCase

from tests.clients import Bot, connected
from tests.processes import ROOT, Child
from txsockjs.client import SockJSClientEndpoint

__all__ = ["WAMPTests"]

PATIENCE = 60.0

EXAMPLE = Path(ROOT.path, "examples", "wamp.py")


def freePort() -> int:
    """
    @return: a port that the router can have each time that it is started.
    """
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
        return port


def routerConfiguration(port: int) -> dict[str, Any]:
    """
    @return: a router with one realm, in which everybody may publish and subscribe.
    """
    permission = {"uri": "txsockjs.channel.", "match": "prefix", "allow": {"publish": True, "subscribe": True}}
    realm = {"name": "realm1", "roles": [{"name": "anonymous", "permissions": [permission]}]}
    transport = {
        "type": "websocket",
        "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": port},
        "auth": {"anonymous": {"type": "static", "role": "anonymous"}},
    }
    return {
        "version": 2,
        "controller": {},
        "workers": [{"type": "router", "realms": [realm], "transports": [transport]}],
    }


class WAMPTests(TestCase):
    """
    Two processes of the example, and a client of each.
    """

    timeout = 300

    async def setUp(self) -> None:
        crossbar = shutil.which(os.environ.get("TXSOCKJS_CROSSBAR") or "crossbar")
        if crossbar is None:
            raise SkipTest("crossbar is not installed")
        self.crossbar = crossbar
        place = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, place, True)
        self.place = place
        port = freePort()
        self.url = f"ws://127.0.0.1:{port}"
        Path(place, "config.json").write_text(json.dumps(routerConfiguration(port)), "utf-8")

    async def startRouter(self) -> Child:
        """
        Start Crossbar, and wait until it serves.
        """
        router = Child.spawn([self.crossbar, "start", f"--cbdir={self.place}"], name="crossbar")
        self.addCleanup(router.stop)
        await router.waitFor("NODE_BOOT_COMPLETE", PATIENCE)
        return router

    async def startChat(self) -> tuple[Child, Any]:
        """
        Start the example.

        @return: its process, and a client of it.
        """
        command = [sys.executable, "-u", str(EXAMPLE), "tcp:0:interface=127.0.0.1", self.url, "realm1"]
        chat = Child.spawn(command, environment={"PYTHONPATH": ROOT.path}, name="chat")
        self.addCleanup(chat.stop)
        port = (await chat.waitFor(r"listening on (\d+)")).group(1)
        return chat, await connected(SockJSClientEndpoint(reactor, f"http://127.0.0.1:{port}"), Bot)

    async def test_chat(self) -> None:
        """
        What is said in one process reaches the members in both, once and in one order, also what is said while the
        router is away; both are told of that gap.
        """
        router = await self.startRouter()
        (first, ann), (second, bob) = [await self.startChat() for _ in range(2)]
        count = 500
        for number in range(count):
            (ann, bob)[number % 2].transport.write(f"{number}, \N{SNOWMAN} \ud800")
        await ann.gets(count, reactor, PATIENCE)
        await bob.gets(count, reactor, PATIENCE)
        self.assertEqual(len(set(ann.received)), count)
        self.assertEqual(ann.received, bob.received)

        await router.stop()
        for number in range(count):
            ann.transport.write(f"down {number}")
        await self.startRouter()
        began = seconds()
        for chat in (first, second):
            await chat.waitFor("gap of .* on the bus", PATIENCE)
        ann.transport.write("the end")
        for bot in (ann, bob):
            await bot.until(lambda bot=bot: "the end" in bot.received, reactor, PATIENCE)
        await deferLater(reactor, 0.5)
        self.assertEqual(ann.received[count:], [*(f"down {number}" for number in range(count)), "the end"])
        later = set(bob.received[count:])
        self.assertEqual(bob.received[count:], [text for text in ann.received[count:] if text in later])
        self.assertLess(seconds() - began, PATIENCE)
        for bot in (ann, bob):
            bot.transport.loseConnection()
            await bot.ends(reactor)
        for chat in (first, second):
            await chat.stop()
            self.assertNotIn("Traceback", chat.text())
