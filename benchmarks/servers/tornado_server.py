# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
sockjs-tornado: C{tornado_server.py PORT}.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from sockjs.tornado import SockJSConnection, SockJSRouter
from tornado.web import Application

members: set[Any] = set()


class Echo(SockJSConnection):
    """
    Sends every message back.
    """

    def on_message(self, message: str) -> None:
        self.send(message)


class Fanout(SockJSConnection):
    """
    Sends every message to all.
    """

    def on_open(self, request: Any) -> None:
        members.add(self)

    def on_message(self, message: str) -> None:
        self.broadcast(members, message)

    def on_close(self) -> None:
        members.discard(self)


async def main() -> None:
    """
    Serve.
    """
    routers = [SockJSRouter(Echo, "/echo"), SockJSRouter(Fanout, "/fanout")]
    Application([url for router in routers for url in router.urls]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
