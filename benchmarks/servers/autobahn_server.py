# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Autobahn by itself on Twisted, with messages as they are: C{autobahn_server.py PORT}.
"""

from __future__ import annotations

import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor


class Server(WebSocketServerProtocol):
    """
    Echoes, or in C{/fanout} sends to all.
    """

    def onConnect(self, request: Any) -> None:
        self.isMember = request.path.startswith("/fanout")

    def onOpen(self) -> None:
        if self.isMember:
            self.factory.members.add(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if not self.isMember:
            self.sendMessage(payload, isBinary)
            return
        prepared = self.factory.prepareMessage(payload, isBinary)
        for member in self.factory.members:
            member.sendPreparedMessage(prepared)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.members.discard(self)


def main() -> None:
    """
    Serve.
    """
    port = int(sys.argv[1])
    factory = WebSocketServerFactory(f"ws://127.0.0.1:{port}")
    factory.protocol = Server
    factory.members = set()
    reactor.listenTCP(port, factory, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
