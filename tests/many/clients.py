# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Clients of every transport, which live as those of browsers do: they ask for C{/info}, go where it says, open a session,
and when that ends open another one after a while.

They know the applications of L{tests.many.application}: whether what comes is complete and in order is found out here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from tests.conformance.case import EVENTSOURCE, HTMLFILE, JSONP, XHR, XHR_STREAMING, Transport
from tests.conformance.cutting import CutResponse
from tests.wire import CLOSE, Cut, Frame, HTTPClient, HTTPConnection, Response, WebSocketClient, closePayload
from txsockjs.client import SockJSClientEndpoint
from txsockjs.interfaces import ISockJSProtocol

__all__ = ["WAYS", "Ended", "Life", "open_"]

_HTTP = {
    "xhr-streaming": XHR_STREAMING,
    "eventsource": EVENTSOURCE,
    "htmlfile": HTMLFILE,
    "xhr-polling": XHR,
    "jsonp-polling": JSONP,
}

_OURS = {f"our {name}": name for name in ("websocket", "xhr-streaming", "xhr-polling")}

WAYS = ("websocket", *_HTTP, "websocket-raw", *_OURS)
"""Every transport by a raw client, and some by txsockjs.client, which comes by TLS."""

CONFIRM = 60.0
"""Seconds until a session must have opened."""

SILENCE = 300.0
"""Seconds for which nothing may come: two thousand sessions take their turns, and a raw WebSocket has no heartbeats."""


class Ended(Exception):
    """
    A session has ended.

    @ivar code: its close code, or L{None} if it just broke.
    """

    def __init__(self, code: int | None, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


class Life:
    """
    One session, from its beginning to its end.

    @ivar way: one of L{WAYS}.
    @ivar id: what the server calls it.
    @ivar pid: the process that has it.
    @ivar count: how many numbered messages have come.
    @ivar echoed: the numbers that came back.
    @ivar accepted: the numbers of which the server has said that they have arrived, where it does.
    @ivar published: what has come that has no number of the session.
    @ivar wrong: what must not be.
    @ivar opened: fires with the first message.
    @ivar ended: fires with L{Ended} when it is over.
    """

    def __init__(self, way: str) -> None:
        self.way = way
        self.id = ""
        self.pid = 0
        self.count = 0
        self.sent = 0
        self.echoed: list[int] = []
        self.accepted: list[int] = []
        self.published: list[str] = []
        self.wrong: list[str] = []
        self.opened: Deferred[Life] = Deferred()
        self.ended: Deferred[Ended] = Deferred()
        self.end: Ended | None = None
        self.began = self.finished = 0.0
        self.onMessage: Callable[[], object] = lambda: None
        self.transmit: Callable[[int], Any]
        self.leave: Callable[[], Any]

    def got(self, text: str) -> None:
        """
        A message came.
        """
        if text.startswith("!"):
            self.published.append(text)
            self.onMessage()
            return
        number, what, *rest = text.split(" ")
        if int(number) != self.count:
            self.wrong.append(f"message {number} came as number {self.count}: {text!r}")
        self.count += 1
        if what == "hello":
            self.id, self.pid = rest[0], int(rest[1])
            self.began = reactor.seconds()
            self.opened.callback(self)
        elif what == "echo":
            self.echoed.append(int(rest[0]))
        self.onMessage()

    def over(self, end: Ended) -> None:
        """
        It is over.
        """
        if self.end is None:
            self.end = end
            self.finished = reactor.seconds()
            if not self.opened.called:
                self.opened.errback(end)
            self.ended.callback(end)
            self.onMessage()

    async def send(self) -> None:
        """
        Send the next number.
        """
        number, self.sent = self.sent, self.sent + 1
        await self.transmit(number)


async def open_(url: str, secureURL: str, way: str, policy: Any = None) -> Life:
    """
    Open a session.

    @param url: the service.

    @param secureURL: the service by TLS.

    @param policy: which certificates are trusted.

    @return: the session, which has had its first message.

    @raise Ended: if it did not open.
    """
    life = Life(way)
    if way in _OURS:
        patience = dict.fromkeys(("info_timeout", "open_timeout", "write_timeout"), CONFIRM)
        endpoint = SockJSClientEndpoint(reactor, secureURL, transports=(_OURS[way],), tlsPolicy=policy, **patience)
        try:
            await endpoint.connect(Factory.forProtocol(lambda: _Ours(life))).addTimeout(CONFIRM, reactor)
        except Exception as error:
            raise Ended(None, f"{type(error).__name__}: {error}")
        return await life.opened.addTimeout(CONFIRM, reactor)
    client = HTTPClient(reactor, url, CutResponse)
    life.ended.addBoth(_closing, client)
    try:
        wire, client = await _whereTo(client, way)
        running = _webSocket(life, client, wire) if way.startswith("websocket") else _Requests(life, client).run(wire)
    except Exception as error:
        life.opened.addErrback(lambda failure: None)
        life.over(Ended(None, f"/info: {type(error).__name__}: {error}"))
        raise life.end from None
    Deferred.fromCoroutine(_until(life, running))
    return await life.opened.addTimeout(CONFIRM, reactor)


def _closing(end: Any, client: HTTPClient) -> Deferred[Any]:
    return Deferred.fromCoroutine(client.close()).addCallback(lambda _: end)


async def _whereTo(client: HTTPClient, way: str) -> tuple[HTTPConnection, HTTPClient]:
    """
    Ask C{/info}.

    @return: the connection by which it came, and what to go on with.
    """
    if way == "websocket-raw":  # there is no /info for these
        return await client.connect(), client
    wire = await client.connect()
    response = await wire.request("GET", f"{client.path}/info")
    body = await response.body()
    if response.status != 200:
        raise Ended(None, f"/info was answered with {response.status}")
    base = json.loads(body).get("base_url")
    if base:
        # The same connection: it is the same host.
        client.path = HTTPClient(reactor, base).path
    return wire, client


async def _until(life: Life, running: Any) -> None:
    """
    See a session to its end.
    """
    try:
        end = await running
    except Ended as error:
        end = error
    except Exception as error:
        end = Ended(None, f"{type(error).__name__}: {error}")
    life.over(end)


def _frame(life: Life, frame: str) -> Ended | None:
    """
    A frame came, which is not the opening.
    """
    if frame.startswith("a"):
        for message in json.loads(frame[1:]):
            life.got(message)
    elif frame.startswith("c"):
        code, reason = json.loads(frame[1:])
        return Ended(code, reason)
    elif frame == "o":
        return Ended(None, "the server has begun another session")
    elif frame != "h":
        life.wrong.append(f"no frame: {frame!r}")
    return None


# -- WebSockets -------------------------------------------------------------------------------------------------------


async def _webSocket(life: Life, client: HTTPClient, wire: HTTPConnection) -> Ended:
    raw = life.way == "websocket-raw"
    wire.finish()
    socket = await client.websocket("/websocket" if raw else f"/0/{uuid.uuid4().hex}/websocket")

    async def transmit(number: int) -> None:
        socket.sendText(str(number) if raw else f'["{number}"]')

    def leave() -> None:
        socket.sendFrame(CLOSE, closePayload(1000))

    life.transmit, life.leave = transmit, leave
    if not raw and await socket.message() != "o":
        raise Ended(None, "there was no opening")
    while True:
        found = await _message(socket)
        if isinstance(found, Frame):
            return Ended(found.closeCode, found.closeReason)
        if raw:
            life.got(found)
        elif (end := _frame(life, found)) is not None:
            return end


async def _message(socket: WebSocketClient) -> str | Frame:
    return await socket.message(SILENCE)


# -- requests ---------------------------------------------------------------------------------------------------------


class _Requests:
    """
    A session over HTTP, by two connections that are kept.
    """

    def __init__(self, life: Life, client: HTTPClient) -> None:
        self._life = life
        self._client = client
        self._transport: Transport = _HTTP[life.way]
        self._path = f"{client.path}/0/{uuid.uuid4().hex}"
        self._sending: HTTPConnection | None = None
        self._cookie: list[tuple[str, str]] = []
        self._receiving: HTTPConnection
        life.transmit, life.leave = self._send, self._leave

    async def run(self, wire: HTTPConnection) -> Ended:
        """
        Receive until the end.
        """
        transport, first = self._transport, True
        self._receiving = wire
        body = b"" if transport.method == "POST" else None
        while True:
            path = transport.path(self._path)
            self._receiving, response = await self._ask(self._receiving, transport.method, path, self._cookie, body)
            if response.status != 200:
                raise Ended(None, f"{transport} was answered with {response.status}")
            if transport.prelude:
                transport.checkPrelude(await response.chunk(SILENCE))
            while (chunk := await response.chunk(SILENCE)) is not None:
                frame = transport.undress(chunk)
                if first:
                    first = False
                    if frame == "o":
                        continue
                end = _frame(self._life, frame)
                if end is not None:
                    return end

    async def _send(self, number: int) -> None:
        body, headers = f'["{number}"]', list(self._cookie)
        if self._transport is JSONP:
            body = f"d={quote(body, safe='')}"
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        path = f"{self._path}/{self._transport.sender}"
        try:
            self._sending, response = await self._ask(self._sending, "POST", path, headers, body.encode("ascii"))
            await response.body()
        except Cut as error:
            raise Ended(None, f"a send was not answered: {error}")
        if response.status not in (200, 204):
            raise Ended(None, f"a send was answered with {response.status}")
        self._life.accepted.append(number)

    async def _ask(
        self, wire: HTTPConnection | None, method: str, path: str, headers: Any, body: bytes | None
    ) -> tuple[HTTPConnection, Response]:
        """
        Send a request, by a connection that there is if it is good for that.

        @return: the connection, and the answer.
        """
        fresh = wire is None or wire.lost is not None
        if wire is None or fresh:
            wire = await self._client.connect()
        try:
            response = await wire.request(method, path, headers, body)
        except Cut:
            # Browsers do so too: an idle connection may be closed at any time, and nothing has come.
            if fresh or wire.unread:
                raise
            return await self._ask(None, method, path, headers, body)
        self._keep(response)
        return wire, response

    def _keep(self, response: Response) -> None:
        cookie = response.headers.get("Set-Cookie")
        if cookie:
            self._cookie = [("Cookie", cookie.partition(";")[0])]

    def _leave(self) -> None:
        self._receiving.finish()


# -- txsockjs.client --------------------------------------------------------------------------------------------------


@implementer(ISockJSProtocol)
class _Ours(Protocol):
    def __init__(self, life: Life) -> None:
        self.life = life

        async def transmit(number: int) -> None:
            self.transport.write(str(number))

        life.transmit, life.leave = transmit, self.leave

    def leave(self) -> None:
        self.transport.loseConnection()

    def messageReceived(self, message: str) -> None:
        self.life.got(message)

    def connectionLost(self, reason: Any = None) -> None:
        self.life.over(Ended(getattr(reason.value, "code", None), reason.getErrorMessage()))
