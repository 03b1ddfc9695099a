# -*- test-case-name: tests.conformance -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What all conformance tests stand on: a server to talk to, and sessions over every transport.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import FailTest, TestCase
from zope.interface import directlyProvides, providedBy

from tests.conformance.cutting import CutResponse
from tests.wire import Frame, HTTPClient, HTTPConnection, Response, WebSocketClient

__all__ = [
    "ANY",
    "CALLBACK",
    "EVENTSOURCE",
    "HTMLFILE",
    "HTTP",
    "JSONP",
    "POLLING",
    "STREAMING",
    "WEBSOCKET",
    "XHR",
    "XHR_STREAMING",
    "ConformanceCase",
    "HTTPSession",
    "Receiver",
    "Transport",
    "WebSocketSession",
    "asJSON",
    "closed",
    "messages",
    "over",
    "together",
]

#: The callback with which htmlfile and jsonp are asked, unless a test is about callbacks.
CALLBACK = "_sockjs.call-back1"

HTMLFILE_PAGE = """\
<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.{callback};
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""


@dataclass(frozen=True)
class Transport:
    """
    How frames travel: facts about one receiving URL.

    @ivar name: the last part of the URL.
    @ivar method: the method it takes.
    @ivar streams: whether a response carries more than one frame.
    @ivar contentType: what the response says it is.
    @ivar sender: the last part of the URL that takes messages.
    """

    name: str
    method: str = ""
    streams: bool = False
    contentType: str = ""
    sender: str = "xhr_send"

    @property
    def takesCallback(self) -> bool:
        """
        Whether the URL needs a callback.
        """
        return self.name in ("htmlfile", "jsonp")

    def path(self, session: str, callback: str = CALLBACK) -> str:
        """
        The receiving URL under C{session}.
        """
        query = f"?c={callback}" if self.takesCallback else ""
        return f"{session}/{self.name}{query}"

    @property
    def prelude(self) -> bool:
        """
        Whether something comes before the first frame of a response.
        """
        return self.streams

    def checkPrelude(self, chunk: bytes | None, callback: str = CALLBACK) -> None:
        """
        Fail unless C{chunk} is exactly the prelude.
        """
        if chunk is None:
            raise FailTest("the response ended before its prelude")
        if self.name == "xhr_streaming":
            good = chunk == b"h" * 2048 + b"\n"
        elif self.name == "eventsource":
            good = chunk == b"\r\n"
        else:
            page = HTMLFILE_PAGE.replace("{callback}", callback)
            good = (
                chunk.decode("utf-8").strip() == page
                and len(chunk) > 1024
                and chunk.endswith(b"\r\n\r\n")
                and not chunk[chunk.index(b"</script>") + 9 : -4].strip(b"\n ")
            )
        if not good:
            raise FailTest(f"not the prelude of {self.name}: {chunk!r}")

    def undress(self, chunk: bytes, callback: str = CALLBACK) -> str:
        """
        The frame in C{chunk}, taken out the way a browser does; it fails unless the chunk is exactly one dressed
        frame.
        """
        text = chunk.decode("utf-8")
        if self.name == "eventsource":
            data = self._between(text, "data: ", "\r\n\r\n")
            if re.search("[\r\n\0]|%(?!25|0[dDaA0])", data):
                raise FailTest(f"a character that must be percent-escaped stands bare: {text!r}")
            return re.sub("%(..)", lambda found: chr(int(found[1], 16)), data)
        if self.name == "htmlfile":
            code = self._between(text, "<script>\np(", ");\n</script>\r\n")
            # The HTML parser looks for these before any JavaScript is read.
            if re.search("</script|<!--", code, re.IGNORECASE):
                raise FailTest(f"the HTML parser would not see the end of this script where it is: {text!r}")
            return self._string(code)
        if self.name == "jsonp":
            return self._string(self._between(text, f"/**/{callback}(", ");\r\n"))
        frame = self._between(text, "", "\n")
        if "\n" in frame:
            raise FailTest(f"more than one line in a chunk: {text!r}")
        return frame

    def _between(self, text: str, start: str, end: str) -> str:
        if not (text.startswith(start) and text.endswith(end) and len(text) >= len(start) + len(end)):
            raise FailTest(f"not one dressed frame of {self.name}: {text!r}")
        return text[len(start) : len(text) - len(end)]

    def _string(self, code: str) -> str:
        value = json.loads(code)
        if not isinstance(value, str):
            raise FailTest(f"the argument is not a string: {code!r}")
        return value

    def __str__(self) -> str:
        return self.name


_JAVASCRIPT = "application/javascript; charset=UTF-8"

XHR = Transport("xhr", "POST", False, _JAVASCRIPT)
XHR_STREAMING = Transport("xhr_streaming", "POST", True, _JAVASCRIPT)
EVENTSOURCE = Transport("eventsource", "GET", True, "text/event-stream")
HTMLFILE = Transport("htmlfile", "GET", True, "text/html; charset=UTF-8")
JSONP = Transport("jsonp", "GET", False, _JAVASCRIPT, "jsonp_send")
WEBSOCKET = Transport("websocket", streams=True)

POLLING = (XHR, JSONP)
STREAMING = (XHR_STREAMING, EVENTSOURCE, HTMLFILE)
HTTP = (XHR, XHR_STREAMING, EVENTSOURCE, HTMLFILE, JSONP)
ANY = (*HTTP, WEBSOCKET)


def over(*transports: Transport) -> Callable[[Any], Any]:
    """
    Make one test a transport out of a method that takes a transport; C{test_x} becomes C{test_x_xhr} and so on.
    """

    def mark(method: Any) -> Any:
        method.overTransports = transports
        return method

    return mark


async def together(*awaitables: Coroutine[Any, Any, Any]) -> list[Any]:
    """
    Run all of these at the same time to their ends; fail when one fails.
    """
    ends = await DeferredList([Deferred.fromCoroutine(one) for one in awaitables], consumeErrors=True)
    for success, end in ends:
        if not success:
            end.raiseException()
    return [end for _, end in ends]


def asJSON(*strings: str) -> bytes:
    """
    Messages as the client writes them, in ASCII.
    """
    return json.dumps(strings).encode("ascii")


def messages(frame: str | None) -> list[str]:
    """
    The messages in an C{a} frame; it fails when C{frame} is something else.
    """
    if frame is None or not frame.startswith("a["):
        raise FailTest(f"not a frame of messages: {frame!r}")
    found = json.loads(frame[1:])
    if not found or not all(isinstance(message, str) for message in found):
        raise FailTest(f"not one or more strings: {frame!r}")
    return found


def closed(frame: str | None) -> tuple[int, str]:
    """
    Code and reason in a C{c} frame; it fails when C{frame} is something else.
    """
    if frame is None or not frame.startswith("c["):
        raise FailTest(f"not a close frame: {frame!r}")
    code, reason = json.loads(frame[1:])
    return code, reason


class Receiver:
    """
    A receiving request.  Its head and prelude are read and judged when they are needed.
    """

    def __init__(self, transport: Transport, wire: HTTPConnection, callback: str = CALLBACK) -> None:
        self.transport = transport
        self.wire = wire
        self.callback = callback
        self.size = 0
        self._response: Response | None = None

    async def response(self) -> Response:
        """
        The answer.  A poll may have none, not even a head, as long as there is nothing to tell.
        """
        if self._response is None:
            response = self._response = await self.wire.response()
            if response.status != 200:
                raise FailTest(f"{self.transport} answered {response.status} {await response.body()!r}")
            if self.transport.prelude and response.version == "HTTP/1.1":
                self.transport.checkPrelude(await response.chunk(), self.callback)
        return self._response

    async def frame(self, patience: float | None = None) -> str | None:
        """
        The next frame, or L{None} when the response has ended.  C{size} grows by the bytes of the dressed frame.
        """
        chunk = await (await self.response()).chunk(patience)
        if chunk is None:
            return None
        self.size += len(chunk)
        return self.transport.undress(chunk, self.callback)

    async def rest(self) -> list[str]:
        """
        All frames up to the end of the response.
        """
        frames = []
        while True:
            frame = await self.frame()
            if frame is None:
                return frames
            frames.append(frame)

    def abort(self) -> None:
        """
        Cut the connection (RST).
        """
        self.wire.abort()

    def finish(self) -> None:
        """
        Close the connection (FIN) though the response has not ended.
        """
        self.wire.finish()


class HTTPSession:
    """
    A session over one of the HTTP transports, as a client sees it.
    """

    def __init__(self, client: HTTPClient, transport: Transport, base: str, path: str) -> None:
        self.client = client
        self.transport = transport
        self.base = base
        self.path = path
        self.receiver: Receiver | None = None
        self._arrived: list[str] = []

    async def begin(self, transport: Transport | None = None, callback: str = CALLBACK) -> Receiver:
        """
        Make a receiving request, beside any other that there may be, and do not wait for anything.
        """
        transport = transport or self.transport
        wire = await self.client.connect()
        path = self.client.path + transport.path(self.base + self.path, callback)
        wire.send(transport.method, path, body=b"" if transport.method == "POST" else None)
        return Receiver(transport, wire, callback)

    async def receive(self, transport: Transport | None = None, callback: str = CALLBACK) -> Receiver:
        """
        Make a receiving request and wait until it is answered, as far as its transport answers at once.
        """
        receiver = await self.begin(transport, callback)
        if receiver.transport.streams:
            await receiver.response()
        return receiver

    async def frame(self, patience: float | None = None) -> str:
        """
        The next frame of the session, with as many receiving requests as it takes.
        """
        while True:
            if self.receiver is None:
                self.receiver = await self.receive()
            frame = await self.receiver.frame(patience)
            if frame is not None:
                return frame
            self.receiver.finish()
            self.receiver = None

    async def open(self) -> HTTPSession:
        """
        Receive the open frame.
        """
        frame = await self.frame()
        if frame != "o":
            raise FailTest(f"the first frame is {frame!r}")
        return self

    async def rested(self) -> HTTPSession:
        """
        Read a polling response to its end, so that the session has no receiver; nothing for a streaming one.
        """
        if self.receiver is not None and not self.transport.streams:
            if await self.receiver.frame() is not None:
                raise FailTest("a poll carried more than one frame")
            self.receiver.finish()
            self.receiver = None
        return self

    async def post(self, body: bytes | None, contentType: str | None = "text/plain") -> tuple[Response, bytes]:
        """
        Send C{body} as it is to the sending URL.
        """
        headers = [] if contentType is None else [("Content-Type", contentType)]
        path = f"{self.base}{self.path}/{self.transport.sender}"
        return await self.client.fetch("POST", path, headers, body)

    async def sendJSON(self, body: bytes) -> None:
        """
        Send messages that are JSON already; it fails unless the server is content.
        """
        if self.transport is JSONP:
            response, content = await self.post(
                b"d=" + quote(body, safe="").encode("ascii"), "application/x-www-form-urlencoded"
            )
            good = (response.status, content) == (200, b"ok")
        else:
            response, content = await self.post(body)
            good = (response.status, content) == (204, b"")
        if not good:
            raise FailTest(f"the server answered {response.status} {content!r} to {body[:100]!r}")

    async def send(self, *strings: str) -> None:
        """
        Send messages.
        """
        await self.sendJSON(asJSON(*strings))

    async def messages(self, count: int) -> list[str]:
        """
        The next C{count} messages, in as many frames as it pleases the server.
        """
        while len(self._arrived) < count:
            # A heartbeat fails here: what has not come after so long a silence will not come.
            self._arrived += messages(await self.frame())
        found, self._arrived = self._arrived[:count], self._arrived[count:]
        return found


class WebSocketSession:
    """
    A session over a framed WebSocket, with the interface of L{HTTPSession} as far as it goes.
    """

    transport = WEBSOCKET

    def __init__(self, client: HTTPClient, base: str, path: str) -> None:
        self.client = client
        self.base = base
        self.path = path
        self._arrived: list[str] = []
        self.socket: WebSocketClient

    async def open(self) -> WebSocketSession:
        """
        Connect and receive the open frame.
        """
        self.socket = await self.client.websocket(f"{self.base}{self.path}/websocket")
        frame = await self.frame()
        if frame != "o":
            raise FailTest(f"the first frame is {frame!r}")
        return self

    async def frame(self, patience: float | None = None) -> str:
        """
        The next SockJS frame.
        """
        frame = await self.socket.message(patience)
        if isinstance(frame, Frame):
            raise FailTest(f"the WebSocket was closed: {frame!r}")
        return frame

    async def rested(self) -> WebSocketSession:
        """
        Nothing to do: a WebSocket is never without a receiver.
        """
        return self

    async def sendJSON(self, body: bytes) -> None:
        """
        Send messages that are JSON already.
        """
        self.socket.sendText(body.decode("utf-8"))

    send = HTTPSession.send
    messages = HTTPSession.messages


class _TidyReactor:
    """
    The reactor, but what the server still has planned can be called off when a test is over.
    """

    def __init__(self, real: Any) -> None:
        self._real = real
        self._calls: list[Any] = []
        directlyProvides(self, providedBy(real))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """
        As the reactor does it, and remembered.
        """
        self._calls = [call for call in self._calls if call.active()]
        call = self._real.callLater(delay, function, *args, **kwargs)
        self._calls.append(call)
        return call

    def callOff(self) -> None:
        """
        Cancel all that has not come to pass.
        """
        for call in self._calls:
            if call.active():
                call.cancel()


class ConformanceCase(TestCase):
    """
    A test of the server at C{SOCKJS_URL}, or of the demo of txsockjs.

    @ivar client: asks the server, with paths such as C{/echo/info}.
    @ivar isProxied: whether there is a proxy in front of it.
    """

    timeout = 180.0

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name, method in list(vars(cls).items()):
            for transport in getattr(method, "overTransports", ()):
                setattr(cls, f"{name}_{transport}", cls._bind(method, f"{name}_{transport}", transport))
            if hasattr(method, "overTransports"):
                delattr(cls, name)

    @staticmethod
    def _bind(method: Any, name: str, transport: Transport) -> Any:
        async def test(self: ConformanceCase) -> None:
            await method(self, transport)

        test.__name__ = name
        test.__doc__ = f"{method.__doc__} ({transport})"
        return test

    async def setUp(self) -> None:
        """
        Find the server, or start one.
        """
        url = os.environ.get("SOCKJS_URL") or self._demo()
        self.isProxied = bool(os.environ.get("SOCKJS_PROXIED"))
        self.client = HTTPClient(reactor, url, CutResponse if self.isProxied else Response)
        self.addCleanup(self.client.close)

    def _demo(self) -> str:
        from txsockjs.demo import makeSite

        tidy = _TidyReactor(reactor)
        site = makeSite(tidy)
        transports: list[Any] = []
        build = site.buildProtocol

        def buildProtocol(address: Any) -> Any:
            protocol = build(address)
            connect = protocol.makeConnection

            def makeConnection(transport: Any) -> None:
                transports.append(transport)
                connect(transport)

            protocol.makeConnection = makeConnection
            return protocol

        site.buildProtocol = buildProtocol
        port = reactor.listenTCP(0, site, interface="127.0.0.1")

        async def stop() -> None:
            await maybeDeferred(port.stopListening)
            await deferLater(reactor, 0, lambda: None)
            for transport in transports:
                if not transport.disconnected:
                    transport.abortConnection()
            while not all(transport.disconnected for transport in transports):
                await deferLater(reactor, 0.005, lambda: None)
            await deferLater(reactor, 0, lambda: None)
            tidy.callOff()

        self.addCleanup(stop)
        return f"http://127.0.0.1:{port.getHost().port}"

    def session(
        self, transport: Transport = XHR, base: str = "/echo", path: str | None = None
    ) -> HTTPSession | WebSocketSession:
        """
        A session of the service C{base}, on a new id unless C{path} (C{/server/session}) names one.
        """
        path = path or self.newPath()
        if transport is WEBSOCKET:
            return WebSocketSession(self.client, base, path)
        return HTTPSession(self.client, transport, base, path)

    def newPath(self) -> str:
        """
        A C{/server/session} that nobody has used.
        """
        return f"/000/{uuid.uuid4().hex}"

    async def pause(self, seconds: float) -> None:
        """
        Let time pass.
        """
        await deferLater(reactor, seconds, lambda: None)

    async def eventually(self, attempt: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
        """
        Repeat C{attempt} until it says L{True}; fail when it does not within C{seconds}.
        """
        end = reactor.seconds() + seconds
        while not await attempt():
            if reactor.seconds() > end:
                self.fail("it did not come true")
            await self.pause(0.02)
