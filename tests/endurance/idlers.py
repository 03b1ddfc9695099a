# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Idle clients, in a process of their own: C{python -m tests.endurance.idlers PORT TRANSPORT NUMBER FIRST}.

Each opens a session, reads what comes and throws it away, answers pings, and polls again after each answer to a poll.
The process says when all are open, and then how many have gone, each time that one goes.
"""

from __future__ import annotations

import sys

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol

from tests.endurance.serving import manyDescriptors
from tests.wire import PING, PONG, encodeFrame, upgradeHeaders

__all__ = ["TRANSPORTS"]

_PATHS = {
    "websocket": ("GET", "/0/{}/websocket"),
    "websocket-raw": ("GET", "/websocket"),
    "xhr-streaming": ("POST", "/0/{}/xhr_streaming"),
    "xhr-polling": ("POST", "/0/{}/xhr"),
    "eventsource": ("GET", "/0/{}/eventsource"),
    "htmlfile": ("GET", "/0/{}/htmlfile?c=f"),
}
TRANSPORTS = tuple(_PATHS)

_AT_A_TIME = 100

_FRAMES = (b"o\n", b"h\n")
"""What the body of an answer to a poll is; no line of a head ends like this."""


class _Idler(Protocol):
    """
    One client.
    """

    factory: _Idlers
    _opened = False
    _request = _buffer = b""

    def connectionMade(self) -> None:
        self._request = self.factory.request()
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self._opened:
            self._frames(data)
            return
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        # Open once a frame has come, be it the opening or the prelude before it; a raw WebSocket has neither.
        if end and (rest or self.factory.raw):
            self._opened, self._buffer = True, b""
            self.factory.opened(head)
            self._frames(rest)

    def _frames(self, data: bytes) -> None:
        data = self._buffer + data
        if not self.factory.upgrade:
            self._buffer = data[-2:]
            if self.factory.polls and self._buffer in _FRAMES:
                self._buffer = b""
                self.transport.write(self._request)
            return
        while len(data) >= 2 and len(data) >= 2 + data[1]:  # nothing longer comes
            size = data[1]
            if data[0] & 15 == PING:
                self.transport.write(encodeFrame(PONG, data[2 : 2 + size]))
            data = data[2 + size :]
        self._buffer = data

    def connectionLost(self, reason: object = None) -> None:
        self.factory.lost()


class _Idlers(Factory):
    """
    All clients of a process.
    """

    protocol = _Idler
    noisy = False

    def __init__(self, reactor: object, port: int, transport: str, count: int, first: int) -> None:
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=60)
        self._method, self._path = _PATHS[transport]
        self.raw = transport == "websocket-raw"
        self.upgrade = transport.startswith("websocket")
        self.polls = transport == "xhr-polling"
        self._count = count
        self._next = first
        self._open = self._gone = 0
        self._last = first + count
        for _ in range(min(_AT_A_TIME, count)):
            self._connect()

    def _connect(self) -> None:
        self._endpoint.connect(self).addErrback(self._failed)

    def _failed(self, failure: object) -> None:
        print(f"failed {failure}", flush=True)

    def request(self) -> bytes:
        """
        @return: what opens a session.
        """
        path = self._path.format(f"idle{self._next}")
        self._next += 1
        headers = upgradeHeaders() if self.upgrade else [("Content-Length", "0")]
        data = f"{self._method} {path} HTTP/1.1\r\nHost: localhost\r\n".encode("ascii")
        for name, value in headers:
            data += name.encode("ascii") + b": " + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
        return data + b"\r\n"

    def opened(self, head: bytes) -> None:
        """
        One is open.
        """
        if not head.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
            print(f"failed {head!r}", flush=True)
        self._open += 1
        if self._open + _AT_A_TIME <= self._count:
            self._connect()
        if self._open == self._count:
            print(f"open {self._open}", flush=True)

    def lost(self) -> None:
        """
        One has gone.
        """
        self._gone += 1
        print(f"gone {self._gone}", flush=True)


def main() -> None:
    """
    Be idle.
    """
    from twisted.internet import reactor, stdio

    manyDescriptors()
    port, transport, count, first = sys.argv[1:]
    _Idlers(reactor, int(port), transport, int(count), int(first))
    stdio.StandardIO(_Parent())
    reactor.run()


class _Parent(Protocol):
    """
    Whoever started this process.
    """

    def connectionLost(self, reason: object = None) -> None:
        from twisted.internet import reactor

        if reactor.running:
            reactor.stop()


if __name__ == "__main__":
    main()
