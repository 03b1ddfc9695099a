# -*- test-case-name: tests.test_fuzz -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The fuzzer.

Its invariant: whatever bytes arrive, in whatever pieces, on any path,

  - each request gets a well-formed HTTP answer or a WebSocket, or its connection is closed; what is sent is what
    L{tests.endurance.judge} lets pass, and after the service has stopped nobody waits for an answer;
  - no exception leaves the service and none is logged, nothing is logged as an error, and nothing of the service's own
    above debug;
  - each application sees its connection once and first, and the loss of it once and last; its messages arrive in order
    and once; its push producer is paused and resumed in strict pairs, and not heard of after it was stopped;
  - what is held for a connection that takes nothing stays within a bound;
  - when the clients have gone and time has passed, no session is left, no delayed call, and no object of either.

Clients, sockets and time are not real; the site, its channels and everything above them are. A run is a script: a list
of plain steps, which L{World} performs. It can be made by chance, cut down, written to a file and performed again.
"""

from __future__ import annotations

import ast
import base64
import gc
import json
import multiprocessing
import random
import resource as limits
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogBeginner, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.endurance.judge import MARK, Judge, Ledger, Wrong
from tests.support import KEY
from tests.wire import closePayload
from txsockjs.channel import Channel, Front
from txsockjs.factory import SockJSFactory
from txsockjs.interfaces import ISockJSProtocol
from txsockjs.options import Options

__all__ = ["SETTINGS", "Finding", "Rubbish", "Script", "World", "leftovers", "play", "shrink"]

Step = tuple[Any, ...]


class Script(NamedTuple):
    """
    What happens.

    @ivar settings: the number of the settings in L{SETTINGS}.
    @ivar steps: what L{World.perform} is given, one after the other.
    @ivar end: how it ends, see L{World.finish}.
    """

    settings: int
    steps: list[Step]
    end: str


SETTINGS: list[dict[str, Any]] = [
    {},
    {
        "response_limit": 300,
        "max_queued_bytes": 2000,
        "max_queued_messages": 20,
        "max_message_size": 400,
        "max_body_size": 2000,
        "max_session_id_length": 8,
        "cookie_needed": True,
    },
    {
        "origins": ("https://a.example", "https://*.b.example", "null", "same"),
        "transports": ("websocket", "websocket-raw", "xhr-streaming", "xhr-polling", "eventsource", "jsonp-polling"),
        "max_sessions": 4,
        "cookie_needed": lambda request: "ours",
    },
    {"encoding": "base64", "trusted_proxies": ("10.0.0.0/8", "::/0"), "bind_sessions": True, "response_limit": 300},
    {"authorize": True, "authorize_timeout": 7.0, "max_sessions_per_host": 3, "trusted_proxies": 1},
    {
        "heartbeat_delay": 3.0,
        "disconnect_delay": 1.0,
        "ping_interval": 4.0,
        "pong_timeout": 2.0,
        "write_timeout": 5.0,
        "request_timeout": 6.0,
        "close_timeout": 1.0,
        "drain_timeout": 3.0,
        "encoding": "latin-1",
        "origins": "same",
        "disable_cors": True,
        "transports": ("websocket", "xhr-streaming", "eventsource"),
        "exposed_headers": ("origin", "cookie"),
    },
    {
        "heartbeat_delay": 0.0,
        "write_timeout": 0.0,
        "ping_interval": 0.0,
        "proxy_header": "x-forwarded-for",
        "authorize": True,
        "authorize_timeout": 3.0,
        "response_limit": 1000,
        "max_queued_bytes": 100_000,
    },
]
"""Settings of the services. Where C{authorize} is on, it is the L{World} that is asked."""

ENDS = ("leave", "leave", "stop", "drain", "silence")

# -- time and sockets -------------------------------------------------------------------------------------------------


class _Turns(Clock):
    """
    A clock that keeps turns apart, as a reactor does: what is put off within a turn happens in a later one.
    """

    def advance(self, amount: float) -> None:
        self.rightNow += amount
        for call in [call for call in self.calls if call.getTime() <= self.rightNow]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)

    @property
    def isBusy(self) -> bool:
        """
        Whether something is to be done without delay.
        """
        return bool(self.calls) and self.calls[0].getTime() <= self.rightNow


@implementer(ITransport, IConsumer, IPushProducer)
class _Wire:
    """
    The service's end of a connection, as Twisted's TCP behaves. When it is blocked, the client takes nothing.
    """

    bufferSize = 100
    readSize = 65536

    def __init__(self, world: World, peer: IAddress, polite: bool) -> None:
        self.judge = Judge(world.ledger)
        self.polite = polite
        self.connected = True
        self.disconnecting = False
        self.blocked = False
        self._world = world
        self._peer = peer
        self._aborted = False
        self.reading = True
        self._backlog: list[bytes] = []
        self._unsent = 0
        self._producer: Any = None
        self._paused = False
        self._streaming = False
        self._protocol: Any = None

    def connect(self, site: Factory) -> None:
        self._protocol = site.buildProtocol(self._peer)
        self._protocol.makeConnection(self)

    # -- what the client does -----------------------------------------------------------------------------------------

    def deliver(self, data: bytes) -> None:
        for at in range(0, len(data), self.readSize):
            piece = data[at : at + self.readSize]
            if not self.reading:
                self._backlog.append(piece)
            elif self.connected and not self._aborted:
                with self._world.noException("dataReceived"):
                    self._protocol.dataReceived(piece)

    def block(self) -> None:
        self.blocked = True

    def unblock(self) -> None:
        self.blocked = False
        self._unsent = 0
        if not self.connected:
            return
        if self._producer is not None and (self._paused or not self._streaming):
            self._paused = False
            with self._world.noException("resumeProducing"):
                self._producer.resumeProducing()
        self._closeIfDone()

    def lose(self, reason: Exception, byService: bool = False) -> None:
        if not self.connected:
            return
        self.connected = False
        producer, self._producer = self._producer, None
        with self._world.noException("connectionLost"):
            if producer is not None:
                producer.stopProducing()
            self._protocol.connectionLost(Failure(reason))
            self.judge.lost(byService)

    # -- what the service does ----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not self.connected or self._aborted:
            return
        self._world.judge(self.judge, data)
        if self.judge.pings and self.polite:
            self._world.clock.callLater(0, self._pong)
        if not self.blocked:
            return
        self._unsent += len(data)
        if self._unsent > self._world.bound:
            self._world.wrong(f"{self._unsent} bytes are held for a connection that takes nothing")
        if self._producer is not None and self._streaming and not self._paused and self._unsent > self.bufferSize:
            self._paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def _pong(self) -> None:
        pings, self.judge.pings = self.judge.pings, []
        for payload in pings:
            self.deliver(frame(10, payload))

    def loseConnection(self) -> None:
        self.disconnecting = True
        self._closeIfDone()

    def abortConnection(self) -> None:
        if not self._aborted:
            self._aborted = self.disconnecting = True
            self._world.clock.callLater(0, self.lose, ConnectionAborted())

    def _closeIfDone(self) -> None:
        if self.disconnecting:
            self._world.clock.callLater(0, self._close)

    def _close(self) -> None:
        if not self._unsent and self._producer is None and not self._aborted:
            self.lose(ConnectionDone(), True)

    def getPeer(self) -> IAddress:
        return self._peer

    def getHost(self) -> IAddress:
        return IPv4Address("TCP", "127.0.0.1", 8081)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError("there is a producer")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        self._closeIfDone()

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting:
            self.reading = True
            if self._backlog:
                self._world.clock.callLater(0, self._read)

    def stopProducing(self) -> None:
        self.loseConnection()

    def _read(self) -> None:
        backlog, self._backlog = self._backlog, []
        for data in backlog:
            self.deliver(data)


# -- applications -----------------------------------------------------------------------------------------------------


class _Source:
    """
    A producer of an application, which sees to it that it is treated as one.
    """

    def __init__(self, app: _App, streaming: bool) -> None:
        self._app = app
        self._streaming = streaming
        self._left = 20
        self.paused = self.stopped = False

    def pauseProducing(self) -> None:
        self._app.check(self._streaming and not self.paused, "a producer is paused that is no running push producer")
        self._app.check(not self.stopped, "a producer is paused after it was stopped")
        self.paused = True

    def resumeProducing(self) -> None:
        self._app.check(not self.stopped, "a producer is resumed after it was stopped")
        self._app.check(self.paused or not self._streaming, "a push producer is resumed that is not paused")
        self.paused = False
        self.produce()

    def stopProducing(self) -> None:
        self._app.check(not self.stopped, "a producer is stopped twice")
        self.stopped = True

    def produce(self) -> None:
        """
        A push producer writes until it is paused, a pull producer once; and both come to an end.
        """
        while self._left and not self.paused and not self.stopped:
            self._left -= 1
            self._app.say("x" * 7000)
            if not self._streaming:
                break
        if not self._left and not self.stopped:
            self.stopped = True
            self._app.transport.unregisterProducer()


class _App(Protocol):
    """
    An application that does as it is told, and writes numbered messages.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self._said = 0
        self._made = self._lost = self._saying = False
        self._source: _Source | None = None

    def check(self, right: object, what: str) -> None:
        if not right:
            self.world.wrong(f"application {self.number}: {what}")

    def say(self, what: str) -> None:
        number, self._said = self._said, self._said + 1
        self._saying = True
        self.write(f"{self.number}:{number}:{what}")
        self._saying = False

    def write(self, text: str) -> None:
        self.transport.write(text.encode(self.world.codec))

    def connectionMade(self) -> None:
        self.check(not self._made and not self._lost, "connectionMade comes twice or late")
        self._made = True
        self.world.apps.append(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.check(self._made and not self._lost, "connectionLost comes twice or early")
        self._lost = True
        if self in self.world.apps:
            self.world.apps.remove(self)

    def dataReceived(self, data: bytes) -> None:
        self.hear(data.decode(self.world.codec))

    def hear(self, text: str) -> None:
        self.check(self._made and not self._lost, "a message comes before the connection or after its loss")
        self.check(not self._saying, "a message comes while the application is writing")
        deed = self._deeds.get(text)
        if deed is not None:
            deed(self)
        else:
            self.say(text)

    def _flood(self) -> None:
        for _ in range(30):
            self.say("flood" * 10)

    def _push(self) -> None:
        self._register(True)

    def _pull(self) -> None:
        self._register(False)

    def _register(self, streaming: bool) -> None:
        if self._source is None or self._source.stopped:
            self._source = _Source(self, streaming)
            self.transport.registerProducer(self._source, streaming)
            if streaming:
                self._source.produce()

    def _unregister(self) -> None:
        if self._source is not None and not self._source.stopped:
            self._source.stopped = True
            self.transport.unregisterProducer()

    def _pause(self) -> None:
        self.transport.pauseProducing()

    def _closeTwice(self) -> None:
        self.say("last")
        self.transport.close(4001, "x" * 123)
        self.transport.loseConnection()

    _deeds: dict[str, Callable[[_App], object]] = {
        "lose": lambda self: self.transport.loseConnection(),
        "close": _closeTwice,
        "abort": lambda self: self.transport.abortConnection(),
        "pause": _pause,
        "flood": _flood,
        "huge": lambda self: self.say("huge" * 20000),
        "push": _push,
        "pull": _pull,
        "unregister": _unregister,
    }


@implementer(ISockJSProtocol)
class _TextApp(_App):
    """
    The same in text.
    """

    def messageReceived(self, message: str) -> None:
        self.hear(message)

    def write(self, text: str) -> None:
        self.transport.write(text)


class _Apps(Factory):
    """
    Makes applications, and refuses now and then.
    """

    noisy = False

    def __init__(self, world: World) -> None:
        self._world = world
        self._count = 0

    def buildProtocol(self, addr: IAddress) -> Protocol | None:
        self._count += 1
        if self._count % 11 == 0:
            return None
        kind = _TextApp if self._world.options.encoding == "utf-8" and self._count % 2 else _App
        return kind(self._world, self._count)


# -- the world --------------------------------------------------------------------------------------------------------


class Finding(Exception):
    """
    The invariant does not hold.
    """


_PEERS = [
    IPv4Address("TCP", "127.0.0.1", 50000),
    IPv4Address("TCP", "10.0.0.1", 50001),
    IPv6Address("TCP", "2001:db8::1", 50002),
]

_noting: dict[type, type] = {}


def _notingRequests(base: Any) -> Any:
    """
    @return: a kind of request that tells the judge of its connection what is answered next.
    """
    if base not in _noting:

        class NotedRequest(base):
            def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
                self.channel.transport.judge.asked.append((command, path))
                super().requestReceived(command, path, version)

        _noting[base] = NotedRequest
    return _noting[base]


class _NotingChannel(Channel):
    """
    Tells the judge of requests that take the shortcut as well.
    """

    def answerQuickly(self, request: Any, leaf: Any) -> None:
        self.transport.judge.asked.append((b"POST", request.path))
        super().answerQuickly(request, leaf)


class _NotingFactory(SockJSFactory):
    def protocol(self) -> Front:
        return Front(_NotingChannel())


class World:
    """
    A site, its clients, and time.

    @ivar wires: the connections, by the numbers that steps give them.
    @ivar apps: the applications that are connected.
    """

    def __init__(self, settings: int) -> None:
        self.clock = _Turns()
        given = dict(SETTINGS[settings])
        if "authorize" in given:
            given["authorize"] = self._authorize
        self.options = Options.build(**given)
        self.codec = "latin-1" if self.options.encoding == "base64" else self.options.encoding
        self.ledger = Ledger(_unbase64 if self.options.encoding == "base64" else str)
        self.bound = 3 * 65536 + 4 * self.options.max_queued_bytes
        self.wires: dict[int, _Wire] = {}
        self.apps: list[_App] = []
        self._asked: list[Deferred[bool]] = []
        self._askedCount = 0
        self._wrong: list[str] = []
        self.site = _NotingFactory(_Apps(self), self.options, reactor=self.clock)
        self.site.requestFactory = self.site._requests = _notingRequests(self.site.requestFactory)
        ((self.resource, _),) = self.site._services

    # -- what is noticed ----------------------------------------------------------------------------------------------

    def wrong(self, what: str) -> None:
        """
        Remember that the invariant does not hold.
        """
        if len(self._wrong) < 3:  # more of the same tell no more
            self._wrong.append(what)

    def judge(self, judge: Judge, data: bytes) -> None:
        """
        Let a judge read, so that what he says is not taken for an exception of the service.
        """
        try:
            judge.write(data)
        except Exception as error:
            self.wrong(str(error) if isinstance(error, Wrong) else traceback.format_exc())

    @contextmanager
    def noException(self, where: str) -> Iterator[None]:
        """
        The service raises nothing here.
        """
        try:
            yield
        except Exception as error:
            self.wrong(str(error) if isinstance(error, Wrong) else f"{where} raised:\n{traceback.format_exc()}")

    def settle(self) -> None:
        """
        @raise Finding: when something was wrong so far.
        """
        if self._wrong:
            raise Finding("\n".join(self._wrong))

    # -- what happens -------------------------------------------------------------------------------------------------

    def perform(self, step: Step) -> None:
        """
        Do a step: C{("send", wire, data)}, C{("block", wire)}, C{("unblock", wire)}, C{("break", wire)},
        C{("leave", wire)}, C{("wait", seconds)}, C{("resume",)}, C{("decide", answer)}.
        """
        getattr(self, "_" + step[0])(*step[1:])
        self._turn()
        self.settle()

    def _turn(self) -> None:
        with self.noException("a delayed call"):
            self.clock.advance(0)
            for _ in range(10):
                if not self.clock.isBusy:
                    break
                self.clock.advance(0)

    def _send(self, number: int, data: bytes) -> None:
        wire = self.wires.get(number)
        if wire is None or not wire.connected:
            wire = self.wires[number] = _Wire(self, _PEERS[number % len(_PEERS)], polite=number % 2 == 0)
            wire.connect(self.site)
        wire.deliver(data)

    def _block(self, number: int) -> None:
        if number in self.wires:
            self.wires[number].block()

    def _unblock(self, number: int) -> None:
        if number in self.wires:
            self.wires[number].unblock()

    def _break(self, number: int) -> None:
        if number in self.wires:
            self.wires[number].lose(ConnectionLost())

    def _leave(self, number: int) -> None:
        if number in self.wires:
            self.wires[number].lose(ConnectionDone())

    def _wait(self, seconds: float) -> None:
        with self.noException("a delayed call"):
            self.clock.advance(seconds)

    def _resume(self) -> None:
        for app in list(self.apps):
            app.transport.resumeProducing()

    def _decide(self, answer: bool) -> None:
        if self._asked:
            self._asked.pop(0).callback(answer)

    def _authorize(self, request: object) -> Any:
        self._askedCount += 1
        if self._askedCount % 3 == 0:
            return None
        if self._askedCount % 7 == 0:
            return False
        self._asked.append(Deferred())
        return self._asked[-1]

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self, end: str) -> None:
        """
        Let all of it end, and see that nothing is left.

        @param end: C{"leave"}, the clients go; C{"stop"}, the service stops at once; C{"drain"}, it stops in an orderly
            way; C{"silence"}, the clients say nothing any more.
        """
        if end != "leave":
            getattr(self, "_end" + end.capitalize())()
            self.settle()
        for wire in self.wires.values():
            wire.lose(ConnectionLost())
        self._pass(40, 5)
        self.settle()
        left = [str(call) for call in self.clock.getDelayedCalls()]
        if left:
            raise Finding(f"delayed calls are left: {left}")
        registry = self.resource._service.registry
        if len(registry) or registry._named or self.apps:
            raise Finding(f"sessions are left: {len(registry)}, {list(registry._named)}, {self.apps}")

    def _pass(self, steps: int, seconds: float) -> None:
        for _ in range(steps):
            self._wait(seconds)
            self._turn()

    def _endStop(self) -> None:
        with self.noException("stop"):
            self.site.stop()

    def _endDrain(self) -> None:
        done: list[object] = []
        with self.noException("drain"):
            self.site.drain().addBoth(done.append)
        self._pass(int(self.options.drain_timeout) + 2, 1)
        if done != [None]:
            self.wrong(f"the drain ended with {done}")
        self._nobodyWaits()

    def _endSilence(self) -> None:
        for wire in self.wires.values():
            wire.polite = False
        self._pass(20, 5)
        idle = {number for number, wire in self.wires.items() if not wire.judge.unanswered}
        self._pass(40, 5)
        for number, wire in self.wires.items():
            if not wire.connected or number not in idle or (wire.blocked and not self.options.write_timeout):
                continue
            if wire.judge.upgraded:
                # While the application takes nothing, nobody reads what would be an answer to a ping.
                if self.options.ping_interval and wire.reading:
                    self.wrong(f"the WebSocket {number} is open after five minutes of silence")
            else:
                self.wrong(f"the connection {number} is open after minutes without a request")

    def _nobodyWaits(self) -> None:
        self._pass(40, 1)
        for number, wire in self.wires.items():
            if wire.connected and wire.judge.unanswered:
                self.wrong(f"the connection {number} waits for {wire.judge.unanswered}")


def _unbase64(text: str) -> str:
    return base64.b64decode(text, validate=True).decode("latin-1")


# -- what clients send ------------------------------------------------------------------------------------------------


def frame(opcode: int, payload: bytes = b"", fin: bool = True, mask: bool = True, rsv: int = 0) -> bytes:
    """
    The bytes of a WebSocket frame, be it allowed or not. The mask is always the same, so that scripts are.
    """
    size, flag = len(payload), 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([flag | size])
    elif size < 65536:
        head += bytes([flag | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([flag | 127]) + size.to_bytes(8, "big")
    if not mask:
        return head + payload
    key = b"\x37\xfa\x21\x3d"
    stream = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


_RECEIVING = ("xhr", "xhr", "xhr", "xhr_streaming", "xhr_streaming", "eventsource", "htmlfile?c=f", "jsonp?c=f")
_SENDING = ("xhr_send", "xhr_send", "xhr_send", "jsonp_send")
_SOCKETS = ("/0/{}/websocket", "/0/{}/websocket", "/websocket")
_PAGES = ("/", "", "/info", "/info", "/iframe.html", "/iframe-1.2.html?x=<zz9>")
_ODD = (
    "/0/{}/htmlfile?c=%3Czz9%3E", "/0/{}/jsonp?callback=<zz9>", "/0/{}/htmlfile", "/0/{}/jsonp?c=" + "f" * 33,
    "/%ff/%fe/xhr", "/%ed%a0%80/%ed%a0%80/xhr_streaming", "//a/xhr", "/a.b/c/xhr", "/<zz9>/xhr", "*",
    "http://h/0/{}/xhr", "/%zz/\xff/xhr", "/0/{}/nothing", "/0/" + "long" * 40 + "/xhr", "/0/%00/xhr", "/%0d%0a/a/xhr",
    "/0/{}/xhr/", "/0/{}/xhr?" + "x=y&" * 50, "/0/a;b/xhr", "/%3Czz9%3E.html", "/0/%61/xhr_send",
)  # fmt: skip
_HEADERS = (
    "Origin: null", "Origin: https://a.example", "Origin: https://c.example", "Origin: http://h", "Origin: \xff<zz9>",
    "Cookie: JSESSIONID=ours", "Cookie: JSESSIONID=\"a <zz9>\"; \xff=;;==", "Cookie: =;;JSESSIONID",
    "Content-Type: application/x-www-form-urlencoded", "Content-Type: multipart/form-data", "Content-Type: \xff",
    "Content-Type: multipart/form-data; boundary=b", "Access-Control-Request-Headers: a\tb", "If-None-Match: *",
    "Connection: close", "Connection: close", "Connection: Upgrade", "Upgrade: websocket", "Expect: 100-continue",
    "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: \xff", "Sec-WebSocket-Protocol: a, ,b",
    "Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Extensions: ;;=", "Content-Length: -1",
    "Content-Length: 9", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Range: bytes=0-1", "no header",
    "X-Forwarded-For: 10.0.0.9", "X-Forwarded-For: 1.2.3.4, 10.0.0.9, <zz9>", "X-Forwarded-For: ::1%1, [::1]:9",
    "Forwarded: for=\"[2001:db8::2]:1\";proto=https, for=10.0.0.2", "Forwarded: for=\"", "Host: <zz9>", "X: \0", ": y",
    "Referer: http://h/<zz9>", " folded: 1", "X-Big: " + "y" * 9000, "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__",
)  # fmt: skip
_UPGRADE = (
    "Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: " + KEY.decode("ascii"),
)  # fmt: skip
_MESSAGES = (
    *["x"] * 7, *["y" * 90] * 3, "\u2028</script><!--%\r\n\0", "\ud800", "\U0001f600\u200c", "z" * 500, "lose", "close",
    "abort", "pause", "flood", "huge", "push", "push", "pull", "unregister", "<zz9>",
)  # fmt: skip
_BODIES = (
    b"", b"[]", b'["\\ud800"]', b'["\xed\xa0\x80"]', b"[1]", b"{}", b'"x"', b"[", b"[" * 5000, b"1" * 5000, b"NaN",
    b"\xff", b"d=%5B%22x%22%5D", b"d=%FF", b"&" * 50, b"d=" + MARK, b'["' + b"x" * 70000 + b'"]', b"nothing\0",
    b'["' + b"\\u2028" * 30000 + b'"]', b"--b\r\n\r\n--b--", b"[" + b'"a",' * 300 + b'"b"]', b'{"a":["x"]}',
    b"x" * 2100,
)  # fmt: skip
_CLOSES = (b"", b"\3", closePayload(1000), closePayload(1000, "so"), closePayload(1005), closePayload(4999, "\u2028"),
           closePayload(3000) + b"\xff", closePayload(65535), closePayload(1002, "x" * 123))  # fmt: skip
_WAITS = (0.0, 0.5, 1.0, 3.0, 6.0, 26.0, 61.0)
_WIRES = 10


class Rubbish:
    """
    Makes steps. All that it decides it asks of a L{random.Random}, or of what Hypothesis has in place of one.

    @ivar requests: how many HTTP requests it has made.
    @ivar frames: how many WebSocket frames.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._pieces: dict[int, list[bytes]] = {}
        self._base64 = world.options.encoding == "base64"
        self.requests = 0
        self.frames = 0

    def step(self, rng: random.Random) -> Step:
        """
        @return: what happens next.
        """
        dice = rng.randrange(100)
        number = rng.randrange(_WIRES)
        if dice < 88:
            for _ in range(3):
                if not self._isWaiting(number) or rng.randrange(10) == 0:
                    return ("send", number, self._piece(rng, number))
                number = (number + 1) % _WIRES
            return (rng.choice(("break", "leave")), number)
        if dice < 90:
            return ("block", number)
        if dice < 93:
            return ("unblock", number)
        if dice < 95:
            return (rng.choice(("break", "leave")), number)
        if dice < 97:
            return ("wait", rng.choice(_WAITS))
        if dice < 98:
            return ("resume",)
        return ("decide", rng.randrange(4) > 0)

    def _isWaiting(self, number: int) -> bool:
        """
        Whether what is sent here waits behind a request that is being answered.
        """
        wire = self._world.wires.get(number)
        return wire is not None and wire.connected and not wire.judge.upgraded and bool(wire.judge.unanswered)

    def _piece(self, rng: random.Random, number: int) -> bytes:
        wire = self._world.wires.get(number)
        connected = wire is not None and wire.connected
        pieces = self._pieces.get(number)
        if pieces and connected:
            return pieces.pop()
        data = self._frames(rng) if connected and wire.judge.upgraded else self._requests(rng)
        if rng.randrange(4):
            return data
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 4)))
        pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)])]
        pieces.reverse()
        self._pieces[number] = pieces
        return pieces.pop()

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    def _requests(self, rng: random.Random) -> bytes:
        count = rng.randrange(2, 5) if rng.randrange(5) == 0 else 1
        self.requests += count
        return b"".join([self._request(rng) for _ in range(count)])

    def _request(self, rng: random.Random) -> bytes:
        dice = rng.randrange(100)
        session = rng.choice("abcd")
        method, headers, body = "GET", ["Host: h"], b""
        if dice < 35:
            path = f"/0/{session}/{rng.choice(_RECEIVING)}"
            if "xhr" in path:
                method = "POST"
        elif dice < 70:
            path, method = f"/{rng.choice('01')}/{session}/{rng.choice(_SENDING)}", "POST"
            body = self._body(rng)
        elif dice < 82:
            path = rng.choice(_SOCKETS).format(session)
            headers.extend(_UPGRADE)
        elif dice < 88:
            path = rng.choice(_PAGES)
        elif dice < 98:
            path = rng.choice(_ODD).format(session)
            if rng.randrange(2):
                method, body = "POST", rng.choice(_BODIES)
        else:
            return self._noRequest(rng)
        if rng.randrange(12) == 0:
            method = rng.choice(("OPTIONS", "HEAD", "PUT", "GET", "POST", "\0", "get"))
        for _ in range(rng.choice((0, 0, 0, 0, 0, 0, 0, 1, 1, 2))):
            headers.append(rng.choice(_HEADERS))
        version = "1.1" if rng.randrange(20) else rng.choice(("1.0", "1.0", "0.9", "2.0"))
        content = self._framed(rng, headers, body) if body or method == "POST" else b""
        head = "\r\n".join([f"{method} {path} HTTP/{version}", *headers, "", ""])
        data = head.encode("latin-1") + content
        return self._spoil(rng, data) if rng.randrange(25) == 0 else data

    def _noRequest(self, rng: random.Random) -> bytes:
        return rng.choice(
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                b"\r\n\r\n\r\n",
                b"GET /" + b"x" * 20000,
                b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
                b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 600 + b"\r\n",
                rng.randbytes(40),
            )
        )

    def _body(self, rng: random.Random) -> bytes:
        if rng.randrange(7) == 0:
            return rng.choice(_BODIES)
        return self._payload([rng.choice(_MESSAGES) for _ in range(rng.choice((1, 1, 2, 3)))])

    def _payload(self, messages: list[str]) -> bytes:
        if self._base64:
            messages = [base64.b64encode(text.encode("utf-8", "replace")).decode("ascii") for text in messages]
        return json.dumps(messages).encode("ascii")

    def _framed(self, rng: random.Random, headers: list[str], body: bytes) -> bytes:
        dice = rng.randrange(20)
        if dice > 3:
            headers.append(f"Content-Length: {len(body)}")
        elif dice == 0:
            headers.append(f"Content-Length: {max(0, len(body) + rng.choice((-1, 1, 30)))}")
        elif dice == 1:
            return body
        else:
            headers.append("Transfer-Encoding: chunked")
            size = rng.choice((1, 7, 1000)) if len(body) < 2000 else 1000
            parts = [body[at : at + size] for at in range(0, len(body), size)]
            extension = b";x=y" if dice == 2 else b""
            return b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in (*parts, b""))
        return body

    # -- WebSocket ----------------------------------------------------------------------------------------------------

    def _frames(self, rng: random.Random) -> bytes:
        count = rng.choice((1, 1, 1, 1, 2, 6))
        self.frames += count
        return b"".join([self._frame(rng) for _ in range(count)])

    def _frame(self, rng: random.Random) -> bytes:
        dice = rng.randrange(100)
        if dice < 50:
            return frame(1, self._text(rng))
        if dice < 65:  # fragments, and a ping between them
            text = self._text(rng)
            cut = rng.randrange(len(text) + 1)
            between = frame(9, b"between") if dice % 2 else b""
            return frame(1, text[:cut], fin=False) + between + frame(0, text[cut:])
        if dice < 72:
            return frame(rng.choice((9, 10)), rng.choice((b"", b"x" * 125)))
        if dice < 78:
            return frame(8, rng.choice(_CLOSES))
        if dice < 92:
            return frame(1, rng.choice(_BODIES))
        if dice < 93:
            return frame(9, b"x" * 125) * 3000
        data = frame(
            rng.choice((0, 1, 2, 3, 8, 9, 11)),
            rng.choice((b"", b"\xff\xfe", b"x" * 126, b'["x"]')),
            fin=bool(rng.randrange(3)),
            mask=bool(rng.randrange(3)),
            rsv=rng.choice((0, 0, 4, 7)),
        )
        return self._spoil(rng, data) if rng.randrange(2) else data

    def _text(self, rng: random.Random) -> bytes:
        if rng.randrange(4) == 0:
            # A WebSocket takes one string alone as well; a raw one takes it as it is.
            return rng.choice((b'"x"', b"x", b"push", b"flood", b"pause", b"lose", b"abort", b"huge", b""))
        return self._payload([rng.choice(_MESSAGES)])

    def _spoil(self, rng: random.Random, data: bytes) -> bytes:
        """
        Bytes are changed, lost, added and repeated.
        """
        spoilt = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(spoilt) + 1)
            end = at + rng.randrange(4)
            spoilt[at:end] = rng.choice((b"", rng.randbytes(3), spoilt[max(0, at - 9) : at], b"\r\n", b"\0"))
        return bytes(spoilt)


# -- runs -------------------------------------------------------------------------------------------------------------


class _Log:
    """
    Looks into the log for what must not be there.
    """

    def __init__(self) -> None:
        self._events: list[str] = []

    def __enter__(self) -> _Log:
        globalLogPublisher.addObserver(self._observe)
        return self

    def __exit__(self, *args: object) -> None:
        globalLogPublisher.removeObserver(self._observe)

    def _observe(self, event: dict[str, Any]) -> None:
        level = event.get("log_level", LogLevel.info)
        namespace = str(event.get("log_namespace", ""))
        ours = namespace.startswith("txsockjs.") and namespace != "txsockjs.factory"  # which tells when it stops
        failure = event.get("log_failure")
        if failure is not None:
            self._events.append(failure.getTraceback())
        elif level >= LogLevel.error or (ours and level > LogLevel.debug):
            self._events.append(f"{level}: {event.get('log_format')}: {event.get('log_text', '')}")

    def settle(self) -> None:
        """
        @raise Finding: when something is there.
        """
        events, self._events = self._events, []
        if events:
            raise Finding("logged:\n" + "\n".join(events))


def play(script: Script) -> None:
    """
    @raise Finding: when the invariant does not hold.
    """
    with _Log() as log:
        world = World(script.settings)
        for step in script.steps:
            world.perform(step)
            log.settle()
        world.finish(script.end)
        log.settle()


_KINDS = {
    "Session", "Connection", "NotedRequest", "BoundedRequest", "HTTPReceiver", "SocketReceiver", "RawSocketReceiver",
    "_Engine", "Channel", "Front", "_App", "_TextApp", "TextEcho", "_Wire", "World",
}  # fmt: skip


def leftovers() -> Counter[str]:
    """
    @return: how many objects there are of the kinds of which none may be left.
    """
    gc.collect()
    names = Counter(type(thing).__name__ for thing in gc.get_objects())
    return Counter({name: names[name] for name in _KINDS if names[name]})


def shrink(script: Script, fails: Callable[[Script], bool]) -> Script:
    """
    Leave out of a script that fails what it fails without.
    """
    size = max(1, len(script.steps) // 2)
    while True:
        at = 0
        while at < len(script.steps):
            shorter = script._replace(steps=script.steps[:at] + script.steps[at + size :])
            if fails(shorter):
                script = shorter
            else:
                at += size
        if size == 1:
            return script
        size //= 2


def failure(script: Script) -> str | None:
    """
    @return: how the script breaks the invariant, or L{None}.
    """
    try:
        play(script)
    except Finding as finding:
        return str(finding)
    return None


_STEPS = 120


class _Share(NamedTuple):
    """
    What a part of a run came to.
    """

    requests: int
    frames: int
    answers: int
    received: int
    megabytes: float
    script: Script | None
    why: str


def _run(job: tuple[str, int]) -> _Share:
    """
    Make and play scripts, one after the other.

    @param job: a seed, and the number of requests.
    """
    seed, wanted = job
    _logToNobody()
    requests = frames = answers = received = number = 0
    script = Script(0, [], "leave")
    before = leftovers()
    try:
        with _Log() as log:
            while requests < wanted:
                number += 1
                rng = random.Random(f"{seed}/{number}")
                script = Script(rng.randrange(len(SETTINGS)), [], rng.choice(ENDS))
                world = World(script.settings)
                rubbish = Rubbish(world)
                for _ in range(_STEPS):
                    script.steps.append(rubbish.step(rng))
                    world.perform(script.steps[-1])
                world.finish(script.end)
                log.settle()
                requests += rubbish.requests
                frames += rubbish.frames
                answers += sum(world.ledger.statuses.values())
                received += world.ledger.frames
            world = rubbish = None  # type: ignore[assignment]
            left = leftovers() - before
            log.settle()
            if left:
                raise Finding(f"objects are left: {left}")
    except Finding as finding:
        return _Share(requests, frames, answers, received, _megabytes(), script, str(finding))
    return _Share(requests, frames, answers, received, _megabytes(), None, "")


def _logToNobody() -> None:
    """
    Twisted would show on stderr what is seen by L{_Log}.
    """
    try:
        globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    except Exception:
        pass


def _megabytes() -> float:
    return limits.getrusage(limits.RUSAGE_SELF).ru_maxrss / 1024


_SHARE = 10_000
_GROWTH = 64
"""Megabytes by which a process may grow after its first share: what fragments of one share leave to the next."""


def run(requests: int, seed: int, jobs: int, directory: Path) -> int:
    """
    The long run.

    @return: the exit status.
    """
    shares = max(1, requests // _SHARE)
    work = [(f"{seed}/{number}", min(requests, _SHARE)) for number in range(shares)]
    started, done, answers, frames, received, findings = time.monotonic(), 0, 0, 0, 0, 0
    first = last = 0.0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for number, share in enumerate(pool.imap_unordered(_run, work), 1):
            done, answers = done + share.requests, answers + share.answers
            frames, received = frames + share.frames, received + share.received
            if number <= jobs:
                first = max(first, share.megabytes)
            last = max(last, share.megabytes)
            if share.script is not None:
                findings += 1
                _report(share, directory / f"finding-{seed}-{findings}.txt")
            if number % 5 == 0 or number == shares:
                rate = done / (time.monotonic() - started)
                print(
                    f"{done:>9} requests, {answers} answers, {frames} WebSocket frames, {received} SockJS frames back, "
                    f"{rate:.0f} requests/s, {last:.0f} MB, {findings} findings",
                    flush=True,
                )
    if last > first + _GROWTH:
        findings += 1
        print(f"memory has grown from {first:.0f} MB to {last:.0f} MB")
    return 1 if findings else 0


def _report(share: _Share, path: Path) -> None:
    script = share.script
    assert script is not None
    if failure(script) is not None:
        script = shrink(script, lambda shorter: failure(shorter) is not None)
        again = "it does so when it is played again"
    else:
        again = "it does so only after others"
    why = failure(script) or share.why
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# {why}\n".replace("\n", "\n# ").rstrip("# ") + f"\n{tuple(script)!r}\n", encoding="ascii")
    print(f"FINDING: {why}\n  {path}, {len(script.steps)} steps; {again}", flush=True)
    for step in script.steps[:30]:
        print(f"  {str(step)[:500]}")


def replay(path: Path) -> int:
    """
    Play the script of a finding.

    @return: the exit status.
    """
    why = failure(Script(*ast.literal_eval(path.read_text(encoding="ascii"))))
    print(why or "nothing is wrong")
    return 1 if why else 0


def main(arguments: Any) -> int:
    """
    @return: the exit status.
    """
    _logToNobody()
    if arguments.replay:
        return replay(arguments.replay)
    return run(arguments.requests, arguments.seed, arguments.jobs, arguments.directory)


def options(parser: Any) -> None:
    """
    Say what the command takes.
    """
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many requests; a million by default")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="makes a run repeatable"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many processes; 2 by default")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play the script of a finding again")
    parser.add_argument(
        "--directory", type=Path, default=Path("build/fuzz"), help="where scripts of findings go; build/fuzz by default"
    )
