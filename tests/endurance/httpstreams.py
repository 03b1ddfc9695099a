# -*- test-case-name: tests.test_differential_http -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
HTTP with and without its shortcut, for L{tests.endurance.differential}.

Without means: no request finds a leaf by the shortcut, so that every byte goes through C{twisted.web}. The sockets are
in memory; the transport is Twisted's own. There are a few connections at a time, to a site with a service at its root,
two below it, and a page of the user's.

What may differ, and so is not compared:

  - The header C{Date} of answers, the order of their headers, and how the names of these are written.
  - Where the chunks of a body begin. How many bytes were sent after each step is compared nevertheless.
  - A head that is cut off, for the same reason.
  - The order of what different sessions see in the same step.
  - What writes at once is left out, save in the scripts that are I{direct}: it is another shortcut, with a proof of its
    own. In those nothing is ever full, and no connection is aborted, since what waits for the reactor then is lost. So
    it is not compared there what is sent to a client that has closed.
"""

from __future__ import annotations

import errno
import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from zope.interface import implementer

from tests.byhand import HandReactor, MemorySocket, serverOn
from tests.endurance.differential import Outcome, Script, Step, cut, noting
from txsockjs import shortcut
from txsockjs.channel import Channel, Front
from txsockjs.factory import SockJSMultiFactory
from txsockjs.interfaces import ISockJSProtocol
from txsockjs.session import Session
from txsockjs.site import ServiceSite
from txsockjs.transports.direct import writeNow

__all__ = ["SHAPES", "answersIn", "make", "play", "quickOnes", "withoutShortcut"]

NAME = "http"

AMPLE = 1 << 40

quickOnes = 0
"""How many requests have taken the shortcut in this process; a comparison without any would prove nothing."""

# -- without the shortcut ---------------------------------------------------------------------------------------------


def _noLeaf(site: Any, method: bytes, path: bytes, size: int) -> None:
    return None


@contextmanager
def withoutShortcut() -> Iterator[None]:
    """
    Have the sites that run meanwhile do without.
    """
    with mock.patch.object(ServiceSite, "leafFor", _noLeaf):
        yield


_answerQuickly = Channel.answerQuickly


def _counting(channel: Channel, request: Any, leaf: Any) -> None:
    global quickOnes
    quickOnes += 1
    _answerQuickly(channel, request, leaf)


@contextmanager
def _inOrder() -> Iterator[None]:
    """
    Have sets of sessions and of connections in the same order each time, which has a say in who is closed first.
    """
    known: dict[int, tuple[int, object]] = {}

    def number(thing: object) -> int:
        return known.setdefault(id(thing), (len(known), thing))[0]

    with mock.patch.object(Session, "__hash__", number), mock.patch.object(Front, "__hash__", number):
        yield


# -- the application --------------------------------------------------------------------------------------------------


class Failing(Exception):
    """
    What applications raise here.
    """


@implementer(ISockJSProtocol)
class _App(Protocol):
    """
    Writes down what it sees, and does what a message says.
    """

    def __init__(self, world: _World, number: int) -> None:
        self._world = world
        self._number = number

    def _note(self, *event: object) -> None:
        self._world.note(self._number, *event)

    def connectionMade(self) -> None:
        facts = self.transport.requestFacts
        told = (facts.path, dict(facts.args), dict(facts.headers), str(self.transport.getPeer()))
        self._note("made", self.transport.transportName, *told, str(self.transport.getHost()))
        self._act(self._world.script.settings["made"], "made")

    def messageReceived(self, message: str) -> None:
        self._note("message", message)
        self._act(message, message)

    def connectionLost(self, reason: Any = None) -> None:
        value = reason.value
        self._note("lost", type(value).__name__, getattr(value, "code", None), str(value))

    def _act(self, action: str, text: str) -> None:
        ACTIONS.get(action, _App.say)(self, text)

    # -- what it can do -----------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        self.transport.write(text)

    def closeAndSay(self, text: str) -> None:
        self.say(text)
        self.transport.close(4001, "b\u00ffe")
        self.say("never")

    def pauseForAWhile(self, text: str) -> None:
        self.transport.pauseProducing()
        self._world.reactor.callLater(1.5, self.transport.resumeProducing)

    def pauseForATurn(self, text: str) -> None:
        self.transport.pauseProducing()
        self.say(text)
        self._world.reactor.callLater(0, self.transport.resumeProducing)

    def fail(self, text: str) -> None:
        self.say("before")
        raise Failing(text)

    def drain(self, text: str) -> None:
        self._world.drain(2.0)


ACTIONS: dict[str, Callable[[Any, str], object]] = {
    "nothing": lambda app, text: None,
    "twice": lambda app, text: (app.say(text), app.say("")),
    "later": lambda app, text: app._world.reactor.callLater(0, app.say, text),
    "much later": lambda app, text: app._world.reactor.callLater(3, app.say, text),
    "large": lambda app, text: app.say("x" * 3000),
    "huge": lambda app, text: app.say("x" * 70_000),
    "pause": _App.pauseForAWhile,
    "pause for a turn": _App.pauseForATurn,
    "lose": lambda app, text: app.transport.loseConnection(),
    "close": _App.closeAndSay,
    "abort": lambda app, text: app.transport.abortConnection(),
    "fail": _App.fail,
    "drain": _App.drain,
}

MADE = (*("nothing", "say", "twice", "later", "large") * 4, "lose", "close", "abort", "fail")

# -- the world --------------------------------------------------------------------------------------------------------


class _Page(Resource):
    """
    A page of the user's, with whatever is below it.
    """

    isLeaf = True

    def __init__(self, world: _World) -> None:
        super().__init__()
        self._world = world

    def render(self, request: Any) -> bytes:
        self._world.note("page", request.method, request.uri, request.content.read())
        return b"a page"


class _World(Factory):
    """
    A site, with connections to it.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        settings = script.settings
        self.events: dict[Any, list[Any]] = {}
        self._steps = 0
        self.timeline: list[Any] = []
        self.reactor = HandReactor()
        self.reactor.rightNow = 1e9
        self.site = SockJSMultiFactory(reactor=self.reactor)
        self._count = 0
        options = dict(settings["options"])
        if settings["authorizes"]:
            options["authorize"] = self._authorize
        self.services = [
            self.site.addFactory(self, "/", **options),
            self.site.addFactory(self, "/echo", **options),
            self.site.addFactory(self, "/deep/er", heartbeat_delay=3, max_body_size=40, disconnect_delay=2),
        ]
        self.services[0].putChild(b"page", _Page(self))
        self.site.doStart()
        self.sockets: dict[int, MemorySocket] = {}
        self._transports: list[Any] = []
        self._states: dict[int, Any] = {}
        self.matters: dict[int, int] = {}  # how much of what was sent on a connection, if not all

    def buildProtocol(self, addr: object) -> Protocol | None:
        if self.script.settings["refuses"]:
            return None
        self._count += 1
        return _App(self, self._count)

    def _authorize(self, request: Any) -> Any:
        self.note("authorize", request.uri, str(request.requestHeaders.getRawHeaders(b"origin")))
        answer: Deferred[bool] = Deferred()
        self.reactor.callLater(0.5, answer.callback, len(request.uri) % 3 > 0)
        return answer

    def drain(self, timeout: float) -> None:
        self.site.drain(timeout).addCallback(lambda end: self.note("drain"))

    def note(self, whose: object, *event: object) -> None:
        """
        Write down what somebody has seen, and in which step.
        """
        self.events.setdefault(whose, []).append((self._steps, *event))

    def perform(self, step: Step) -> None:
        self._steps += 1
        getattr(self, f"_{step[0]}")(*step[1:])
        self.reactor.settle()
        self._look()

    def _look(self) -> None:
        """
        Write down which connections are not as they were.
        """
        for number, socket in self.sockets.items():
            state = (len(self.sentOn(number)), socket.closed)
            if state != self._states.get(number):
                self._states[number] = state
                self.timeline.append((self._steps, number, *state))

    def sentOn(self, number: int) -> bytes:
        """
        What was sent that matters.
        """
        return bytes(self.sockets[number].sent[: self.matters.get(number)])

    def _socket(self, number: int) -> MemorySocket:
        socket = self.sockets.get(number)
        if socket is None:
            settings = self.script.settings
            socket = self.sockets[number] = MemorySocket(settings["room"])
            transport = serverOn(self.reactor, socket, self.site.buildProtocol(None))
            transport.bufferSize = settings["buffer"]
            self._transports.append(transport)
        return socket

    def _data(self, number: int, data: bytes) -> None:
        self._socket(number).arrive(data)

    def _take(self, number: int, size: int) -> None:
        self._socket(number).take(size)

    def _wait(self, seconds: float) -> None:
        self.reactor.wait(seconds)

    def _end(self, number: int, how: int) -> None:
        socket = self._socket(number)
        socket.ended = how
        if self.script.settings["direct"]:
            self.matters.setdefault(number, len(socket.sent))

    def _drain(self, timeout: float) -> None:
        self.drain(timeout)

    def _stop(self) -> None:
        self.site.doStop()

    def finish(self) -> None:
        """
        All clients leave, and the service stops.
        """
        for number, socket in self.sockets.items():
            if socket.ended is None:
                socket.room = AMPLE
                self.perform(("wait", 0))
                self.perform(("end", number, 0))
        self.perform(("wait", 100))
        for service in self.services:
            service.stop()
        self.perform(("wait", 100))


def play(script: Script, shortcut_: bool) -> Outcome:
    """
    See L{tests.endurance.differential.Comparison.play}.
    """
    logged: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(noting(logged))
        stack.enter_context(_inOrder())
        stack.enter_context(mock.patch.object(Channel, "answerQuickly", _counting))
        stack.enter_context(mock.patch("secrets.randbits", lambda bits: 4))
        if not script.settings["direct"]:
            stack.enter_context(mock.patch.object(shortcut, "writeNow", _write))
        if not shortcut_:
            stack.enter_context(withoutShortcut())
        world = _World(script)
        for step in script.steps:
            world.perform(step)
        before = [service.stats.asDict() for service in world.services]
        gauges = [service.gauges() for service in world.services]
        world.finish()
    return {
        "events": world.events,
        "answers": {number: answersIn(world.sentOn(number)) for number in world.sockets},
        "timeline": world.timeline,
        "stats": [service.stats.asDict() for service in world.services],
        "stats before the end": before,
        "gauges": gauges,
        "log": sorted(logged),
        "delayed calls": [call.func.__qualname__ for call in world.reactor.getDelayedCalls()],
    }


def _write(transport: Any, data: bytes) -> None:
    transport.write(data)


assert writeNow is shortcut.writeNow

# -- what the client got ----------------------------------------------------------------------------------------------


def answersIn(sent: bytes) -> list[Any]:
    """
    Take apart what was sent on a connection.

    @return: for each answer its first line, its headers, its body, and whether it is whole. What cannot be understood
        comes last as it is.
    """
    found: list[Any] = []
    while sent:
        head, end, rest = sent.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        if not first.startswith(b"HTTP/1."[: len(first)]):
            return [*found, sent]
        if not end:
            return [*found, "a head that is not whole"]
        pairs = sorted((name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines))
        fields = dict(pairs)
        code = int(first.split(b" ")[1])
        if code < 200 or code in (204, 304) or rest.startswith(b"HTTP/1."):  # the last after HEAD: no body is like that
            body, sent, whole = b"", rest, True
        elif fields.get(b"transfer-encoding") == b"chunked":
            body, sent, whole = _chunks(rest)
        elif b"content-length" in fields:
            size = int(fields[b"content-length"])
            body, sent, whole = rest[:size], rest[size:], len(rest) >= size
        else:
            body, sent, whole = rest, b"", False
        found.append((first, [pair for pair in pairs if pair[0] != b"date"], body, whole))
    return found


def _chunks(data: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    while data:
        digits, _, rest = data.partition(b"\r\n")
        size = int(digits, 16)
        body += rest[:size]
        data = rest[size + 2 :]
        if size == 0:
            return body, data, True
    return body, b"", False


# -- requests ---------------------------------------------------------------------------------------------------------

SHAPES: tuple[tuple[bytes, ...], ...] = (
    # how the length of a body may be told, and who is to believe it
    (b"Content-Length: %(n)d",),
    (b"Content-Length: 00%(n)d",),
    (b"Content-Length: +%(n)d",),
    (b"Content-Length: -%(n)d",),
    (b"Content-Length: %(n)d, %(n)d",),
    (b"Content-Length: %(n)d", b"Content-Length: %(n)d"),
    (b"Content-Length: %(n)d", b"content-length: 0"),
    (b"Content-Length: 0", b"CONTENT-LENGTH: %(n)d"),
    (b"Content-Length: 0x%(n)x",),
    (b"Content-Length: %(n)d.0",),
    (b"Content-Length: %(n)d\t",),
    (b"Content-Length:%(n)d",),
    (b"Content-Length:\t%(n)d",),
    (b"Content-Length:  %(n)d",),
    (b"Content-Length : %(n)d",),
    (b" Content-Length: %(n)d",),
    (b"Content-Length:",),
    (b"Content-Length: ",),
    (b"Content-Length: \xb2",),
    (b"Content-Length: %(n)d0000000000000000000",),
    (b"Content-Length: %(more)d",),
    (b"Content-Length: %(less)d",),
    (b"Content_Length: %(n)d",),
    (b"Content-Length\0: %(n)d",),
    (b"Content-Length: %(n)d\0",),
    (b"Content-Length: %(n)d\rX: y",),
    (b"Content-Length: %(n)d\nX: y",),
    (b"Content-Length: 0\nContent-Length: %(n)d",),
    (b"X: y\r\n Content-Length: 0", b"Content-Length: %(n)d"),
    (b"Content-Length: %(n)d\r\n 0",),
    (b"Content-Length: \r\n %(n)d",),
    (b"X: y\r\n\t", b"Content-Length: %(n)d"),
    (b"Transfer-Encoding: chunked",),
    (b"transfer-encoding: Chunked",),
    (b"Transfer-Encoding: chunked", b"Content-Length: %(n)d"),
    (b"Content-Length: %(n)d", b"Transfer-Encoding: chunked"),
    (b"Content-Length: %(n)d", b"TRANSFER-ENCODING: identity"),
    (b"Content-Length: %(n)d", b"Transfer-Encoding: xchunked"),
    (b"Content-Length: %(n)d", b"Transfer-Encoding: chunked, identity"),
    (b"Content-Length: %(n)d", b"Transfer-Encoding: gzip, chunked"),
    (b"Content-Length: %(n)d", b"Transfer-Encoding:\x0bchunked"),
    (b"Content-Length: %(n)d", b"Transfer-Encoding : chunked"),
    (b"Content-Length: %(n)d", b"Transfer_Encoding: chunked"),
    (b"Content-Length: %(n)d", b"Transfer-Encoding:"),
    (b"Content-Length: %(n)d", b"X: y\rTransfer-Encoding: chunked"),
    (b"Content-Length: %(n)d", b"X: y\nTransfer-Encoding: chunked"),
    (b"Content-Length: %(n)d", b"X: y\r\n Transfer-Encoding: chunked"),
    (b"Content-Length: %(n)d", b"Transfer-Encoding: chun\r\n ked"),
    (),
)

HANDSHAKE = (
    # each line of the beginning of a WebSocket, and what else may be in its place
    (b"Host: example.com", b"HOST: example.com", b"Host: a\r\nHost: b", b""),
    (b"Upgrade: websocket", b"upgrade: WebSocket", b"Upgrade: h2c, websocket", b"Upgrade: websocket,", b"Upgrade: h2c",
     b"Upgrade: websocket\r\nUpgrade: websocket", b"Upgrade: websocket\r\nUpgrade: h2c", b"Upgrade:", b""),
    (b"Connection: Upgrade", b"connection: upgrade", b"Connection: keep-alive, Upgrade", b"Connection: Upgrade, x",
     b"Connection: Upgrade, close", b"Connection: close", b"Connection: keep-alive", b"Connection:  Upgrade", b"",
     b"Connection: keep-alive\r\nConnection: Upgrade", b"Connection: close\r\nConnection: Upgrade"),
    (b"Sec-WebSocket-Version: 13", b"sec-websocket-version: 13", b"Sec-WebSocket-Version: 8", b"",
     b"Sec-WebSocket-Version:", b"Sec-WebSocket-Version: 13, 8",
     b"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Version: 13"),
    (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ==", b"",
     b"Sec-WebSocket-Key:", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ", b"Sec-WebSocket-Key: dGhl",
     b"Sec-WebSocket-Key: \xff\xfe",
     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
)  # fmt: skip

FOLLOWING = (
    # what may come in one piece with it
    *(b"",) * 8, b"\r\n", b"\r", b"x", b"\x81\x83\0\0\0\0\"a\"", b"\x81\x83\0\0", b"\x88\x82\0\0\0\0\x03\xe8",
    b"\x89\x80\0\0\0\0",
)  # fmt: skip

HANDSHAKE_LINES = (
    b"GET %s HTTP/1.0", b"GET %s?q=1 HTTP/1.1", b"POST %s HTTP/1.1", b"HEAD %s HTTP/1.1", b"get %s HTTP/1.1",
    b"OPTIONS %s HTTP/1.1", b"GET  %s HTTP/1.1", b"GET http://example.com%s HTTP/1.1",
)  # fmt: skip

HANDSHAKE_EXTRAS = (
    b"Content-Length: 0", b"Content-Length: 1", b"Transfer-Encoding: chunked", b"Sec-WebSocket-Protocol: a, b",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", b"Pragma: no-cache",
)  # fmt: skip

ORDINARY = (
    b"Host: example.com",
    b"Origin: http://good.example",
    b"Origin: http://bad.example",
    b"Origin: null",
    b"Origin: a\tb",
    b"Connection: keep-alive",
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
    b"Accept: */*",
    b"Accept-Encoding: gzip, deflate, br",
    b"Referer: http://good.example/p?q=%%20",
    b"Cookie: JSESSIONID=abc; x=y",
    b"Content-Type: text/plain;charset=UTF-8",
    b"X-Forwarded-For: 10.0.0.1, 10.0.0.2",
    b"X-Who: me",
    b"Sec-Fetch-Site: cross-site",
    b"Sec-Fetch-Site: same-origin",
)

ODD = (
    b"Connection: close",
    b"connection: Close",
    b"Connection: keep-alive, close",
    b"Connection: close, x",
    b"Connection: Keep-Alive",
    b"Connection: upgrade",
    b"Connection: x close",
    b"Expect: 100-continue",
    b"Expect: 200-maybe",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"Trailer: x",
    b"TE: trailers",
    b"Keep-Alive: 3",
    b"Proxy-Connection: close",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Content-Type: multipart/form-data; boundary=x",
    b"Content-Type: multipart/form-data",
    b"Access-Control-Request-Headers: x-a, x-b",
    b"Access-Control-Request-Headers: x\ty",
    b"Origin: http://good.example, http://bad.example",
    b"origin: HTTP://GOOD.example",
    b"Origin: x\x80y",
    b"Origin: ",
    b"X-Forwarded-For: nobody",
    b"Forwarded: for=10.9.8.7",
    b"X-Who: you\t",
    b"X-Who: \x80",
    b"X-Who:\tme",
    b"X-Who:me",
    b"X-Who : me",
    b"X Who: me",
    b"X_Who: me",
    b"X!Who: me",
    b": me",
    b"X-Who",
    b"X-Who: a\r\n b",
    b"X-Who: a\r\n\tb",
    b"X-Who: a\0b",
    b"X-Who: a\rb",
    b"X-Who: a\nb",
    b"X-Who: \x7f",
    b"X-Long: " + b"l" * 8100,
    b"X-Longer: " + b"l" * 16400,
    b"",
)

PREFIXES = (b"", b"", b"/echo", b"/echo", b"/deep/er", b"/deep", b"/page", b"/nothing", b"/echo/", b"/%65cho", b"/Echo")

LEAVES = (*(b"xhr",) * 4, *(b"xhr_send",) * 4, *(b"xhr_streaming",) * 2)

OTHER_LEAVES = (
    b"eventsource", b"htmlfile?c=f", b"jsonp?c=f", b"jsonp_send", b"websocket", b"info", b"XHR", b"xhr/", b"xhr?x=y",
    b"xhr%5fsend", b"xhr_send/x", b"xhr.", b"", b"xhr;x", b"xhr#x", b"~xhr",
)  # fmt: skip

SERVERS = (b"0", b"0", b"0", b"s-1", b"", b"a.b", b"page", b"echo", b"x" * 260, b"%20")

SESSIONS = (b"a", b"a", b"a", b"b", b"b", b"c")

ODD_SESSIONS = (b"", b"a.b", b"%61", b"a%2fb", b"x" * 255, b"x" * 257, b"y" * 9000, b"a b", b"\xff", b"..", b"_-~")

FIRST_LINES = (
    b"POST %s HTTP/1.0", b"post %s HTTP/1.1", b"POST %s HTTP/1.2", b"POST  %s HTTP/1.1", b"POST %s", b"PUT %s HTTP/1.1",
    b"OPTIONS %s HTTP/1.1", b"GET %s HTTP/1.1", b"HEAD %s HTTP/1.1", b"POST http://example.com%s HTTP/1.1",
    b"POST\t%s HTTP/1.1", b"POST %s HTTP/1.1 ", b" POST %s HTTP/1.1", b"POST %s http/1.1", b"POST /%s HTTP/1.1",
    b"\r\nPOST %s HTTP/1.1", b"\r\n\r\nPOST %s HTTP/1.1", b"\nPOST %s HTTP/1.1", b"POST %s HTTP/1.1\r",
    b"POST %s?q=1&q=2 HTTP/1.1",
)  # fmt: skip

BODIES = (
    b"", b"[]", b"[", b"x", b'"x"', b'["x"]["y"]', b"{}", b"[1]",
    b'["\xff"]', b'["\\ud800"]', b'["' + b"w" * 200 + b'"]',
    b'["' + b"w" * 5000 + b'"]', b"\r\n\r\n", b"0\r\n\r\n", b"POST /0/a/xhr HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    b"0\r\n\r\nPOST /0/a/xhr HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
)  # fmt: skip


class _Stream:
    """
    Makes what a client sends on a connection.
    """

    def __init__(self, chance: random.Random, odd: float, abort: bool) -> None:
        self._chance = chance
        self._odd = odd
        self._oddHeads = chance.choice((0, 0, 0.3))  # and all else is as it should be
        self._handshakes = chance.choice((0, 0, 0, 0.1, 0.5))
        texts = ["x", "hello", "\u20ac", "", *(action for action in ACTIONS if abort or action != "abort")]
        count = chance.choice((1, 1, 2, 3))
        self._places = [(chance.choice(PREFIXES[:5]), chance.choice(SESSIONS)) for _ in range(count)]
        self._texts = [text for text in texts if text not in ("drain", "fail") or chance.random() < 0.2]

    def pieces(self, count: int) -> list[bytes]:
        """
        @return: so many requests, with an empty line in front of some.
        """
        pieces = []
        for _ in range(count):
            pieces += self._chance.choice(([b"\r\n"], [b"\r", b"\n"], *([[]] * 18)))
            pieces.append(self.request())
        return pieces

    def request(self) -> bytes:
        """
        @return: something like a request.
        """
        chance = self._chance
        if chance.random() < self._handshakes:
            return self._handshake()
        path = self._path()
        body = self._body(path)
        first = chance.choice(FIRST_LINES) if self._isOdd() else b"POST %s HTTP/1.1"
        shape = chance.choice(SHAPES) if self._isOdd() or chance.random() < self._oddHeads else SHAPES[0]
        sizes = {b"n": len(body), b"more": len(body) + chance.choice((1, 30)), b"less": max(0, len(body) - 1)}
        lines = [line % sizes for line in shape]
        if any(b"chunked" in line.lower() for line in lines) and chance.random() < 0.8:
            body = self._inChunks(body)
        for _ in range(chance.choice((0, 1, 2, 5))):
            line = chance.choice(ODD if self._isOdd() or chance.random() < self._oddHeads else ORDINARY)
            lines.insert(chance.randint(0, len(lines)), line)
        if self._isOdd() and chance.random() < 0.1:
            lines += [b"X-%d: y" % number for number in range(chance.choice((62, 63, 64, 65, 501)))]
        end = chance.choice((b"\n", b"\r", b"\r\r\n")) if chance.random() < self._odd / 5 else b"\r\n"
        data = end.join([first % path if b"%s" in first else first, *lines, b"", b""]) + body
        if chance.random() < self._odd:
            data += chance.choice((b"\r\n", b"\r\n\r\n", b"\n", b"x"))
        if chance.random() < self._odd / 2:
            changed = bytearray(data)
            at = chance.randrange(len(changed))
            changed[at : at + chance.choice((0, 1))] = chance.choice((b"", b"\0", b" ", b"\r\n", b"\n", b"\r", b"\xff"))
            data = bytes(changed)
        return data

    def _handshake(self) -> bytes:
        """
        @return: something like the beginning of a WebSocket.
        """
        chance = self._chance
        path = self._path().rpartition(b"/")[0] + b"/websocket"
        odd = chance.choice((0, 0.05, 0.2))
        lines = [chance.choice(forms) if chance.random() < odd else forms[0] for forms in HANDSHAKE]
        lines = [line for line in lines if line]
        for _ in range(chance.choice((0, 0, 1, 3))):
            extras = HANDSHAKE_EXTRAS if chance.random() < odd else ORDINARY
            lines.insert(chance.randint(0, len(lines)), chance.choice(extras))
        chance.shuffle(lines)
        first = chance.choice(HANDSHAKE_LINES) if chance.random() < odd else b"GET %s HTTP/1.1"
        return b"\r\n".join([first % path, *lines, b"", b""]) + chance.choice(FOLLOWING)

    def _isOdd(self) -> bool:
        return self._chance.random() < self._odd

    def _path(self) -> bytes:
        chance = self._chance
        prefix, session = chance.choice(self._places)
        if self._isOdd():
            prefix = chance.choice(PREFIXES)
        if self._isOdd():
            session = chance.choice(ODD_SESSIONS)
        server = chance.choice(SERVERS if self._isOdd() else SERVERS[:4])
        leaf = chance.choice(OTHER_LEAVES if self._isOdd() else LEAVES)
        return b"/".join((prefix, server, session, leaf))

    def _body(self, path: bytes) -> bytes:
        chance = self._chance
        if self._isOdd():
            return chance.choice(BODIES)
        if not path.endswith(b"_send"):
            return b""
        return json.dumps([chance.choice(self._texts) for _ in range(chance.choice((1, 1, 1, 2, 3)))]).encode("ascii")

    def _inChunks(self, body: bytes) -> bytes:
        middle = self._chance.randint(0, len(body))
        parts = [part for part in (body[:middle], body[middle:]) if part]
        return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


# -- scripts ----------------------------------------------------------------------------------------------------------


def make(chance: random.Random) -> Script:
    """
    See L{tests.endurance.differential.Comparison.make}.
    """
    tight = chance.random() < 0.2
    direct = not tight and chance.random() < 0.5
    made = chance.choice(MADE)
    settings = {
        "direct": direct,
        "room": chance.choice((1, 100, 2000)) if tight else AMPLE,
        "buffer": chance.choice((10, 500, 2000)) if tight else AMPLE if direct else 65536,
        "options": _options(chance, direct),
        "authorizes": chance.random() < 0.05,
        "refuses": chance.random() < 0.03,
        "made": "nothing" if direct and made == "abort" else made,
    }
    odd = chance.choice((0, 0, 0.02, 0.1, 0.3))
    return Script(NAME, settings, list(_steps(chance, _Stream(chance, odd, not direct), tight, direct)))


def _options(chance: random.Random, direct: bool) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for share, name, values in (
        (0.2, "heartbeat_delay", (0, 1.0)),
        (0.3, "response_limit", (1, 300, 4096)),
        (0.2, "origins", (("http://good.example",), "same")),
        (0.1, "disable_cors", (True,)),
        (0.1, "max_body_size", (30, 100)),
        (0.1, "max_message_size", (3, 20)),
        (0.1, "max_sessions", (1, 2)),
        (0.1, "max_sessions_per_host", (1, 2)),
        (0.1, "max_session_id_length", (1, 3)),
        (0.1, "max_queued_bytes", (20, 2000)),
        (0.1, "bind_sessions", (True,)),
        (0.1, "trusted_proxies", (1, 2, ("127.0.0.1",))),
        (0.1, "exposed_headers", (("x-who", "host", "origin"),)),
        (0.1, "cookie_needed", (True,)),
        (0.1, "transports", (("xhr-polling",), ("eventsource",))),
        (0.2, "request_timeout", (2.0,)),
        (0.2, "disconnect_delay", (1.0, 30.0)),
    ):
        if chance.random() < share:
            options[name] = chance.choice(values)
    if options.get("origins") and options.get("transports"):
        del options["transports"]
    if direct:
        options["write_timeout"] = 0
    return options


def _steps(chance: random.Random, stream: _Stream, tight: bool, direct: bool) -> Iterator[Step]:
    connections = chance.choice((1, 1, 2, 3))
    count = chance.choice((2, 5, 10, 20))
    left = {number: cut(chance, stream.pieces(1 + count // connections)) for number in range(connections)}
    fresh = connections
    while left:
        number = chance.choice(list(left))
        yield ("data", number, left[number].pop(0))
        if not left[number]:
            del left[number]
        kind = chance.random()
        if tight and kind < 0.4:
            yield ("take", chance.randrange(fresh), chance.choice((1, 100, 3000, 100_000)))
        elif kind < 0.5:
            yield ("wait", chance.choice((0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 30.0, 61.0)))
        elif kind < 0.53:
            yield ("end", chance.randrange(fresh), 0 if direct else chance.choice((0, errno.ECONNRESET)))
        elif kind < 0.6:
            left[fresh] = cut(chance, stream.pieces(2))
            fresh += 1
        elif kind < 0.605:
            yield ("drain", 0.0 if not direct and chance.random() < 0.3 else 5.0)
        elif kind < 0.608:
            yield ("stop",)
