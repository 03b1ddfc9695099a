# -*- test-case-name: tests.endurance.check_stalled -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Stalled readers: clients by WebSocket, raw WebSocket, XHR streaming and server-sent events that read nothing, while the
application writes to all of them as fast as it may. To half of them it writes as a producer, which is paused; to the
others without a look at anything, until max_queued_bytes ends their sessions with 1008. All the while one more client
sends messages and gets them back.

What is shown: the memory of the service, at its highest, stays under the cap: for each client max_queued_bytes and a
quarter of that, since messages are objects, and what Twisted and the frame that is being made hold, which is less than
512 KiB; and 32 MiB for all that has nothing to do with how many they are. What the kernel holds for a socket is not
memory of the process. Every message of the client that reads is answered; how long that takes is measured before and
meanwhile.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, NamedTuple

from twisted.internet.task import deferLater

from tests.endurance.serving import Measure, Server, manyDescriptors
from tests.wire import TEXT, HTTPClient, encodeFrame, upgradeHeaders
from txsockjs.options import Options

__all__ = ["Result", "measureStalled"]

_TRANSPORTS = ("websocket", "websocket-raw", "xhr-streaming", "eventsource")
_WINDOW = 4096
"""The client's receive buffer: as small as may be, so that it is the service where data waits."""

_BESIDES = 32 * 1024 * 1024
_EACH = 512 * 1024
_BETWEEN = 0.002


class Result(NamedTuple):
    """
    What it came to.

    @ivar before: how long each echo took without stalled clients, in seconds, sorted.
    @ivar during: the same with them.
    """

    clients: int
    start: Measure
    end: Measure
    before: list[float]
    during: list[float]

    @property
    def cap(self) -> int:
        """
        The bytes that the service may have.
        """
        return self.start.rss + self.clients * (Options().max_queued_bytes * 5 // 4 + _EACH) + _BESIDES


async def measureStalled(reactor: Any, server: Server, clients: int, echoes: int, seconds: float) -> Result:
    """
    Let clients stall.

    @param echoes: how many messages to send before they do, and at least meanwhile.

    @param seconds: how long to look at it, at least.
    """
    echo = HTTPClient(reactor, server.url)
    stalled: list[socket.socket] = []
    try:
        client = await echo.websocket("/0/echo/websocket")
        await client.message()
        before = [await _echo(reactor, client, number) for number in range(echoes)]
        start = await server.measure()
        for number in range(clients):
            stalled += _stall(server.port, number)
        during: list[float] = []
        until = reactor.seconds() + seconds
        while len(during) < echoes or reactor.seconds() < until:
            during.append(await _echo(reactor, client, len(during)))
        end = await server.measure()
    finally:
        for connection in stalled:
            connection.close()
        await echo.close()
    return Result(clients, start, end, sorted(before), sorted(during))


async def _echo(reactor: Any, client: Any, number: int) -> float:
    await deferLater(reactor, _BETWEEN)
    started = reactor.seconds()
    client.sendText(f'["{number}"]')
    while True:
        answer = await client.message()
        if answer != "h":
            break
    if answer != f'a["{number}"]':
        raise AssertionError(f"message {number} was answered with {answer!r}")
    return reactor.seconds() - started


def _stall(port: int, number: int) -> list[socket.socket]:
    """
    Open a session, have the application write to it, and read nothing.
    """
    transport = _TRANSPORTS[number % len(_TRANSPORTS)]
    order = "push" if number // len(_TRANSPORTS) % 2 else "torrent"
    message = f'["{order}"]'.encode("ascii")
    path = f"/0/stalled{number}/"
    if transport.startswith("websocket"):
        raw = transport == "websocket-raw"
        frame = encodeFrame(TEXT, order.encode("ascii") if raw else message)
        head = _head("GET", "/websocket" if raw else path + "websocket", upgradeHeaders())
        return [_connection(port, head + frame)]
    streaming = _head("POST", path + "xhr_streaming", [("Content-Length", "0")])
    receiving = streaming if transport == "xhr-streaming" else _head("GET", path + "eventsource", [])
    first = _connection(port, receiving)
    # The session is there when its response begins. These few bytes are all that is ever read.
    first.recv(1)
    second = _connection(
        port, _head("POST", path + "xhr_send", [("Content-Length", str(len(message)))]) + message, _WINDOW
    )
    return [first, second]


def _head(method: str, path: str, headers: list[Any]) -> bytes:
    data = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n".encode("ascii")
    for name, value in headers:
        data += name.encode("ascii") + b": " + (value if isinstance(value, bytes) else value.encode("ascii")) + b"\r\n"
    return data + b"\r\n"


def _connection(port: int, data: bytes, window: int = _WINDOW) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port))
    # Closed with data unread, it is reset; and nothing waits for it.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sendall(data)
    return connection


def options(parser: Any) -> None:
    """
    Say what the command takes.
    """
    parser.add_argument("--clients", type=int, default=200, help="how many stall; 200 by default")
    parser.add_argument("--seconds", type=float, default=20, help="how long to look at it; 20 by default")


async def main(reactor: Any, arguments: Any) -> int:
    """
    @return: the exit status.
    """
    manyDescriptors()
    server = await Server.start()
    result = await measureStalled(reactor, server, arguments.clients, 1000, arguments.seconds)
    mebi = 2**20
    print(f"{result.clients} clients that read nothing; sessions ended by code: {result.end.lost}")
    print(
        f"memory: {result.start.rss / mebi:.0f} MiB before, {result.end.peak / mebi:.0f} MiB at its highest, "
        f"{result.end.rss / mebi:.0f} MiB at the end; the cap is {result.cap / mebi:.0f} MiB"
    )
    print(f"echo: {len(result.before)} messages before and {len(result.during)} meanwhile, all answered")
    for percent in (50, 99):
        before, during = (sample[len(sample) * percent // 100] for sample in (result.before, result.during))
        ratio = during / before
        print(f"  p{percent}: {before * 1000:.2f} ms before, {during * 1000:.2f} ms meanwhile, {ratio:.1f} times")
    print(f"  longest: {result.before[-1] * 1000:.1f} ms before, {result.during[-1] * 1000:.1f} ms meanwhile")
    await server.stop()
    if result.end.peak > result.cap:
        print("the memory is above the cap")
        return 1
    return 0
