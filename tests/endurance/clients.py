# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
One session by each transport, from its beginning to its end. A proxy may be between, which passes on chunks of its own.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.conformance.cutting import CutResponse
from tests.wire import CLOSE, HTTPClient, HTTPConnection, WebSocketClient, closePayload

__all__ = ["ENDINGS", "TRANSPORTS", "runSession"]

ENDINGS = ("server", "client", "cut")
"""Who ends a session: the service, by a close frame; the client, in an orderly way; or a connection that breaks."""


class _Way(NamedTuple):
    method: str
    path: str
    prelude: bool
    send: str = "xhr_send"


_STREAMING = {
    "xhr-streaming": _Way("POST", "xhr_streaming", True),
    "eventsource": _Way("GET", "eventsource", True),
    "htmlfile": _Way("GET", "htmlfile?c=f", True),
}
_POLLING = {
    "xhr-polling": _Way("POST", "xhr", False),
    "jsonp-polling": _Way("GET", "jsonp?c=f", False, "jsonp_send"),
}

TRANSPORTS = ("websocket", "websocket-raw", *_STREAMING, *_POLLING)


async def runSession(reactor: Any, url: str, transport: str, name: str, ending: str) -> None:
    """
    Open a session, send a message, get it back, and end the session.

    @param ending: one of L{ENDINGS}.
    """
    client = HTTPClient(reactor, url, CutResponse)
    try:
        if transport.startswith("websocket"):
            path = "/websocket" if transport == "websocket-raw" else f"/0/{name}/websocket"
            await _webSocket(await client.websocket(path), ending, transport == "websocket-raw")
        elif transport in _STREAMING:
            await _streaming(client, _STREAMING[transport], f"/0/{name}/", ending)
        else:
            await _polling(client, _POLLING[transport], f"/0/{name}/", ending)
    finally:
        await client.close()


async def _webSocket(socket: WebSocketClient, ending: str, raw: bool) -> None:
    if not raw:
        _expect(await socket.message(), "o")
    socket.sendText("ping" if raw else '["ping"]')
    _expect(await socket.message(), "ping" if raw else 'a["ping"]')
    if ending == "server":
        socket.sendText("close" if raw else '["close"]')
        await socket.ending()
    elif ending == "client":
        socket.sendFrame(CLOSE, closePayload(1000))
        await socket.ending()
    else:
        socket.abort()


async def _streaming(client: HTTPClient, way: _Way, path: str, ending: str) -> None:
    response = await client.request(way.method, path + way.path)
    await response.chunk()  # the prelude
    _expect(await response.chunk(), "o")
    wire = await client.connect()
    await _send(wire, client.path + path + way.send, "ping")
    _expect(await response.chunk(), "ping")
    if ending == "server":
        await _send(wire, client.path + path + way.send, "close")
        _expect(b"".join(await response.chunks()), "Go away!")
    elif ending == "client":
        response.finish()
        wire.finish()
        await response.wire.gone()
    else:
        response.abort()
        wire.abort()


async def _polling(client: HTTPClient, way: _Way, path: str, ending: str) -> None:
    wire, path = await client.connect(), client.path + path
    _expect(await (await wire.request(way.method, path + way.path)).body(), "o")
    await _send(wire, path + way.send, "ping")
    _expect(await (await wire.request(way.method, path + way.path)).body(), "ping")
    if ending == "server":
        await _send(wire, path + way.send, "close")
        _expect(await (await wire.request(way.method, path + way.path)).body(), "Go away!")
    elif ending == "client":
        wire.finish()
        await wire.gone()
    else:
        wire.send(way.method, path + way.path)
        # The request must be there before the connection breaks. It is, when the next one is answered.
        other = await client.connect()
        await (await other.request("POST", path + way.send, body=b"[]")).body()
        wire.abort()


async def _send(wire: HTTPConnection, path: str, message: str) -> None:
    response = await wire.request("POST", path, body=json.dumps([message]).encode("ascii"))
    if response.status not in (200, 204):
        raise AssertionError(f"{path} was answered with {response.status}")
    await response.body()


def _expect(found: Any, text: str) -> None:
    if isinstance(found, bytes):
        found = found.decode("utf-8")
    if not isinstance(found, str) or text not in found:
        raise AssertionError(f"{text!r} was expected, and {found!r} came")
