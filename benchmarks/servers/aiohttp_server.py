# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
sockjs for aiohttp: C{aiohttp_server.py PORT [--uvloop]}.
"""

from __future__ import annotations

import sys
from typing import Any

import sockjs
from aiohttp import web


async def echo(manager: Any, session: Any, message: Any) -> None:
    """
    Send every message back.
    """
    if message.type == sockjs.MsgType.MESSAGE:
        session.send(message.data)


async def fanout(manager: Any, session: Any, message: Any) -> None:
    """
    Send every message to all.
    """
    if message.type == sockjs.MsgType.MESSAGE:
        manager.broadcast(message.data)


def main() -> None:
    """
    Serve.
    """
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    application = web.Application()
    sockjs.add_endpoint(application, echo, name="echo", prefix="/echo")
    sockjs.add_endpoint(application, fanout, name="fanout", prefix="/fanout")
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]))


if __name__ == "__main__":
    main()
