# -*- test-case-name: tests.test_differential -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
WebSockets with and without their shortcuts, for L{tests.endurance.differential}.

Without means: every byte goes through one engine of Autobahn's, which stays until the end, every frame is sent by it
and C{transport.write}, messages are delivered one by one, and JSON is written for any text in the same way. The sockets
are in memory; the transport is Twisted's own.

What may differ, and so is not compared:

  - Which messages share a frame C{a[...]}. What is written during one delivery leaves as one frame, and texts that come
    in one piece are one delivery with the shortcut. Neighbouring C{a[...]} frames are compared as one list of messages.
    On a raw WebSocket each message is a frame, and nothing is put together.
  - C{pauses} of the statistics, for the same reason: more is queued for a moment.
  - What is sent in the step in which the application aborts the connection, and after the client has closed it: what
    waits for the reactor then is lost, what left at once is not.
  - Where the connection is I{tight}, so that it fills: it does so a little later with the shortcut, since what the
    kernel takes at once never waits. So pings, pongs and heartbeats are not compared there, which are left out while it
    is full; the client makes no errors there, and no time passes.
"""

from __future__ import annotations

import errno
import json
import random
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from tests.byhand import HandReactor, MemorySocket, serverOn
from tests.endurance.differential import Outcome, Script, Step, cut, noting
from tests.support import UPGRADE
from txsockjs import codec
from txsockjs.factory import SockJSFactory
from txsockjs.interfaces import ISockJSProtocol
from txsockjs.session import Session, State
from txsockjs.transports import socket, websocket
from txsockjs.transports.socket import SocketReceiver

__all__ = ["Failing", "make", "play", "withoutShortcuts"]

NAME = "websocket"

AMPLE = 1 << 40

# -- without the shortcuts --------------------------------------------------------------------------------------------


def _leave(receiver: SocketReceiver, data: bytes) -> bytes:
    return data


def _send(receiver: SocketReceiver, frame: bytes) -> bool:
    engine: Any = receiver._needEngine()
    if engine.isOpen:
        pings = frame is socket._HEARTBEAT and receiver._pingsNow()
        engine.sendMessage(frame)
        if pings:
            receiver._ping()
            engine.sendPing()
    return True


def _deliver(session: Session, messages: list[str]) -> list[str]:
    for position, message in enumerate(messages, 1):
        session._call(session._application.received, message)
        if not session._reading or session.state is not State.OPEN:
            return messages[position:]
    return []


def _encode(text: str) -> bytes:
    return codec.quote(text).encode("utf-8")


@contextmanager
def withoutShortcuts() -> Iterator[None]:
    """
    Have the services that run meanwhile do without.
    """
    with ExitStack() as stack:
        for where, name, plain in (
            (SocketReceiver, "_takeTexts", _leave),
            (SocketReceiver, "send", _send),
            (websocket._Engine, "isBetween", False),
            (Session, "_deliverNow", _deliver),
            (codec, "encodeMessage", _encode),
        ):
            stack.enter_context(mock.patch.object(where, name, plain))
        yield


# -- the application --------------------------------------------------------------------------------------------------


class Failing(Exception):
    """
    What applications raise here.
    """


class _App(Protocol):
    """
    Writes down what it sees, and does what the script says for the message that has come.
    """

    def __init__(self, world: _World) -> None:
        self._world = world
        self._count = 0

    def connectionMade(self) -> None:
        self._world.events.append(("made",))
        self._act(self._world.script.settings["made"], "made")

    def dataReceived(self, data: bytes) -> None:
        self.hear(data.decode("utf-8"))

    def connectionLost(self, reason: Any = None) -> None:
        value = reason.value
        told = (type(value).__name__, getattr(value, "code", None), getattr(value, "reason", None), str(value))
        self._world.events.append(("lost", *told))

    def hear(self, text: str) -> None:
        self._world.events.append(("message", text))
        settings = self._world.script.settings
        self._count += 1
        self._act(settings["actions"].get(self._count, settings["usual"]), text)

    def _act(self, action: str, text: str) -> None:
        ACTIONS[action](self, text)

    # -- what it can do -----------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        self.transport.write(text)

    def later(self, function: Callable[..., object], *args: object) -> None:
        self._world.putOff.append((function, args))

    def many(self, text: str) -> None:
        for number in range(60):
            self.say(f"{number} {text[:100]}")

    def closeAndSay(self, text: str) -> None:
        self.say(text)
        self.transport.close(4001, "b\u00ffe")
        self.say("never")

    def pauseAndResume(self, text: str) -> None:
        self.transport.pauseProducing()
        self.say(text)
        self.transport.resumeProducing()

    def pauseForATurn(self, text: str) -> None:
        self.transport.pauseProducing()
        self.say(text)
        self.later(self.transport.resumeProducing)

    def fail(self, text: str) -> None:
        self.say("before")
        raise Failing(ascii(text))

    def abort(self, text: str) -> None:
        self.say(text)
        self._world.forget(self._world.sentBefore)
        self.transport.abortConnection()

    def hold(self, text: str) -> None:
        self.say(text)
        try:
            self.transport.registerProducer(_Producer(), True)
        except RuntimeError:
            self.transport.unregisterProducer()

    def release(self, text: str) -> None:
        self.transport.unregisterProducer()


@implementer(ISockJSProtocol)
class _TextApp(_App):
    """
    The same with text.
    """

    def messageReceived(self, message: str) -> None:
        self.hear(message)


class _Producer:
    """
    Has nothing to say, but holds up a close.
    """

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


ACTIONS: dict[str, Callable[[Any, str], object]] = {
    "nothing": lambda app, text: None,
    "echo": _App.say,
    "twice": lambda app, text: (app.say(text), app.say("")),
    "later": lambda app, text: app.later(app.say, text),
    "many": _App.many,
    "large": lambda app, text: app.say("x" * 70_000),
    "pause": lambda app, text: app.transport.pauseProducing(),
    "pause and resume": _App.pauseAndResume,
    "pause for a turn": _App.pauseForATurn,
    "hold": _App.hold,
    "release": _App.release,
    "lose": lambda app, text: (app.say(text), app.transport.loseConnection()),
    "lose later": lambda app, text: (app.say(text), app.later(app.transport.loseConnection)),
    "close": _App.closeAndSay,
    "abort": _App.abort,
    "fail": _App.fail,
}

GOING_ON = (
    "nothing", "echo", "twice", "later", "many", "large", "pause", "pause and resume", "pause for a turn", "hold",
    "release",
)  # fmt: skip

ENDING = ("lose", "lose later", "close", "abort", "fail")

NOT_TIGHT = {"abort"}

# -- the world --------------------------------------------------------------------------------------------------------


class _World(Factory):
    """
    A service, with one connection to it.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        settings = script.settings
        self.events: list[tuple[Any, ...]] = []
        self.reactor = HandReactor()
        self.site = SockJSFactory(self, reactor=self.reactor, **settings["options"])
        self.socket = MemorySocket(settings["room"])
        self.front = self.site.buildProtocol(None)
        self.transport = serverOn(self.reactor, self.socket, self.front)
        if settings["tight"]:
            self.transport.bufferSize = 2000
        else:
            self.transport.bufferSize = AMPLE
        self._app: _App | None = None
        self.putOff: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.sentBefore = 0  # this step
        self.matters: int | None = None

    def buildProtocol(self, addr: object) -> Protocol | None:
        if self.script.settings["refuses"]:
            return None
        self._app = (_TextApp if self.script.settings["text"] else _App)(self)
        return self._app

    def perform(self, step: Step) -> None:
        self.sentBefore = len(self.socket.sent)
        getattr(self, f"_{step[0]}")(*step[1:])
        self.settle()

    def settle(self) -> None:
        """
        Let turns pass until nothing more happens, then do what the application has put off, and so on.

        It does not do so in the next turn, as it might depend on the shortcuts whether that is before the connection is
        lost: with nothing to send any more, a connection that we close is gone a turn later.
        """
        self.reactor.settle()
        while self.putOff:
            putOff, self.putOff = self.putOff, []
            for function, args in putOff:
                function(*args)
            self.reactor.settle()

    def _data(self, data: bytes) -> None:
        self.socket.arrive(data)

    def _take(self, size: int) -> None:
        self.socket.take(size)

    def _wait(self, seconds: float) -> None:
        self.reactor.rightNow += seconds

    def _resume(self) -> None:
        if self._app is not None and self._app.transport is not None:
            self._app.transport.resumeProducing()

    def _end(self, number: int) -> None:
        self.socket.room = AMPLE
        self.settle()
        if self.script.settings["tight"]:
            self._hearAll()
        self.forget(len(self.socket.sent))
        self.socket.ended = number

    def _hearAll(self) -> None:
        """
        Have the application take what waits for it. When it closes in the turn in which the client has gone, it depends
        on whether the connection is full which of the two was first.
        """
        seen = -1
        while seen != len(self.events):
            seen = len(self.events)
            self._resume()
            self.settle()

    def forget(self, size: int) -> None:
        """
        What was sent after so many bytes does not matter.
        """
        if self.matters is None:
            self.matters = size

    def finish(self) -> None:
        """
        The client leaves, unless it has, and the service stops.
        """
        if self.socket.ended is None:
            self.perform(("end", 0))
        self._resume()  # or nobody would see that
        self.settle()
        self.site.resource.stop()
        self.settle()

    @property
    def answers(self) -> bytes:
        """
        What was sent that matters.
        """
        return bytes(self.socket.sent[: self.matters])


def play(script: Script, shortcut: bool) -> Outcome:
    """
    See L{tests.endurance.differential.Comparison.play}.
    """
    logged: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(noting(logged))
        if not shortcut:
            stack.enter_context(withoutShortcuts())
        world = _World(script)
        for step in script.steps:
            world.perform(step)
        stats = world.site.resource.stats
        before = dict(stats.asDict())
        world.finish()
    answers = _answers(world.answers, script.settings)
    if script.settings["tight"] and (_ERRORS & {answer[1][:2] for answer in answers if isinstance(answer, tuple)}):
        return {}  # the client has made an error
    counted = stats.asDict()
    del counted["pauses"], before["pauses"]
    return {
        "events": world.events,
        "answers": answers,
        "stats": counted,
        "stats before the end": before,
        "log": logged,
        "closed": world.socket.closed,
    }


# -- what the client got ----------------------------------------------------------------------------------------------

_ERRORS = {struct.pack("!H", code) for code in (1002, 1003, 1007, 1009)}
"""The beginnings of close frames for those who break the rules."""

_DATE = re.compile(rb"(?i)\r\ndate:[^\r]*")


def _answers(sent: bytes, settings: dict[str, Any]) -> list[Any]:
    """
    Take apart what was sent, and put neighbouring messages together.
    """
    head, _, rest = sent.partition(b"\r\n\r\n")
    found: list[Any] = [_DATE.sub(b"", head)]
    for opcode, payload in _frames(rest):
        if opcode != 1:
            if not settings["tight"] or opcode not in (9, 10):
                found.append((opcode, payload))
        elif settings["raw"] or payload[:1] != b"a":
            if not settings["tight"] or payload != b"h":
                found.append(payload)
        elif isinstance(found[-1], list):
            found[-1] += json.loads(payload[1:])
        else:
            found.append(json.loads(payload[1:]))
    return found


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        first, size, at = data[0], data[1], 2
        if first & 0xF0 != 0x80 or size & 0x80:
            raise AssertionError(f"no frame that a server may send: {data[:20]!r}")
        if size == 126:
            (size,), at = struct.unpack("!H", data[2:4]), 4
        elif size == 127:
            (size,), at = struct.unpack("!Q", data[2:10]), 10
        if len(data) < at + size:
            raise AssertionError("a frame is not complete")
        yield first & 15, data[at : at + size]
        data = data[at + size :]


# -- streams ----------------------------------------------------------------------------------------------------------

TEXTS = (
    "", "x", "hello", "\u20ac\u00e9", "\U0001f600", "\0\x1f\x7f", '"\\/', "</script>", "\u2028\u200d\ufeff\uffff",
    "y" * 118, "y" * 119, "y" * 120, "y" * 121, "y" * 122, "z" * 300, "[1]", "null",
)  # fmt: skip

ODD = (
    b"", b"[]", b'[""]', b' [ "x" , "y" ] ', b'["\\ud800"]', b'"\\udc00\\ud800"', b'["\\ud83d\\ude00"]',
    b'"\\u0041\\n"', b'["a","b","c","d","e","f"]', b'\n"x"\n',
)  # fmt: skip
"""Payloads of framed messages that are right."""

WRONG = (
    b"[", b'["x"', b'["x",]', b"{}", b"1", b"null", b"[1]", b'["x",1]', b'["x",["y"]]', b"[null]", b"NaN", b"[NaN]",
    b"x", b"'x'", b'["x"]["y"]', b'"\n"', b'"\\x"', b'"\\u12"', b'\xef\xbb\xbf["x"]', b" ", b"\0", b"[" * 3000,
    b'{"a":"b"}',
)  # fmt: skip
"""Payloads of framed messages that are not."""

NO_TEXT = (
    b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80",
    b"\xf8\x88\x80\x80\x80", b"a\xc3", b"\xfe\xfe\xff\xff",
)  # fmt: skip
"""What is no UTF-8."""

SIZES = (10, 40, 119, 130, 65_600, None)
"""Limits of the size of a message; L{None} is the one that services have by default."""


class _Stream:
    """
    Makes what a client sends.
    """

    def __init__(self, chance: random.Random, raw: bool, limit: int, errors: float) -> None:
        self._chance = chance
        self._raw = raw
        self._limit = limit
        self._errors = errors

    def pieces(self, count: int) -> list[bytes]:
        """
        @return: so many things one after the other, each as it would be sent.
        """
        head = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
        path = "/websocket" if self._raw else "/0/s/websocket"
        pieces = [f"GET {path} HTTP/1.1\r\nHost: h\r\n{head}\r\n".encode("ascii")]
        for _ in range(count):
            pieces.append(self._wrong() if self._chance.random() < self._errors else self._right())
        return pieces

    def _right(self) -> bytes:
        chance = self._chance
        kind = chance.random()
        if kind < 0.8:
            return self._frame(1, self._payload())
        if kind < 0.87:
            return self._fragments(self._payload())
        if kind < 0.94:
            return self._control()
        return self._frame(1, self._aroundLimit())

    def _text(self) -> str:
        chance = self._chance
        kind = chance.random()
        if kind < 0.7:
            text = chance.choice(TEXTS)
        elif kind < 0.97 or self._limit < 60_000:
            text = "".join(chance.choice("ab\u00e9\u20ac\U0001f600\n") for _ in range(chance.randrange(30)))
        else:
            text = "w" * chance.choice((65_520, 65_530, 65_531, 65_532, 65_535, 65_536))
        if chance.random() >= self._errors / 4:
            while len(text.encode("utf-8")) > self._limit:
                text = text[: len(text) // 2]
        return text

    def _payload(self) -> bytes:
        chance = self._chance
        if self._raw:
            return self._text().encode("utf-8")
        kind = chance.random()
        if kind < 0.15 and self._limit >= 10:
            return chance.choice(ODD)
        plain = chance.random() < 0.5
        if kind < 0.4:
            return json.dumps(self._text(), ensure_ascii=plain).encode("utf-8")
        texts = [self._text() for _ in range(chance.choice((1, 1, 1, 2, 5)))]
        payload = json.dumps(texts, ensure_ascii=plain).encode("utf-8")
        return payload if self._errors or len(payload) <= 6 * self._limit else b'["short"]'

    def _aroundLimit(self) -> bytes:
        """
        A message that is just not too large, or just too large in some way or other where errors are made.
        """
        chance = self._chance
        size = min(self._limit, 3000) - chance.choice((0, 1, 4, 5))
        if chance.random() < self._errors:
            size = min(self._limit, 10_000) + 1
        size = max(0, size)
        if self._raw:
            return b"q" * size
        unit = chance.choice((b"q", b"\\u0071", b"\\n"))
        return chance.choice((b'"%s"', b'["%s"]')) % (unit * size)

    def _mask(self) -> bytes:
        return self._chance.choice((bytes(4), self._chance.randbytes(4), b"\x81\x81\x81\x81"))

    def _frame(self, opcode: int, payload: bytes, first: int = 0x80, mask: bool = True, form: int = 0) -> bytes:
        """
        @param first: the bits of the first byte besides the opcode.

        @param form: how many bits the length has at least.
        """
        size, flag = len(payload), 0x80 if mask else 0
        if size < 126 and form == 0:
            head = bytes([first | opcode, flag | size])
        elif size < 65536 and form < 64:
            head = bytes([first | opcode, flag | 126]) + struct.pack("!H", size)
        else:
            head = bytes([first | opcode, flag | 127]) + struct.pack("!Q", size)
        if not mask:
            return head + payload
        key = self._mask()
        stream = (key * (size // 4 + 1))[:size]
        return head + key + (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")

    def _fragments(self, payload: bytes, opcode: int = 1, ends: bool = True) -> bytes:
        chance = self._chance
        places = sorted(chance.randint(0, len(payload)) for _ in range(chance.randrange(4)))
        parts = [payload[begin:end] for begin, end in zip([0, *places], [*places, len(payload)])]
        data = b""
        for number, part in enumerate(parts, 1):
            data += self._frame(opcode, part, 0x80 if number == len(parts) and ends else 0)
            opcode = 0
            if chance.random() < 0.3:
                data += self._control()
        return data

    def _control(self) -> bytes:
        payload = self._chance.choice((b"", b"", b"p", b"p" * 125, b"\x81\x80\0\0\0\0" * 20))
        return self._frame(self._chance.choice((9, 9, 10)), payload)

    def _wrong(self) -> bytes:
        chance = self._chance
        kind = chance.randrange(18)
        payload = self._payload()
        if kind < 2:
            return self._frame(1, chance.choice(NO_TEXT if self._raw else (*NO_TEXT, *WRONG)))
        if kind == 2:
            return self._frame(1, b'["' + chance.choice(NO_TEXT) + b'"]')
        if kind == 3 or (kind == 4 and self._raw):
            return self._fragments(payload + chance.choice(NO_TEXT))
        if kind == 4:
            return self._frame(1, chance.choice(WRONG))
        if kind == 5:
            return self._frame(2, payload)
        if kind == 6:
            return self._frame(1, payload, chance.choice((0xC0, 0xA0, 0x90, 0xF0, 0x40)))
        if kind == 7:
            return self._frame(chance.choice((3, 7, 11, 15, 0)), payload)
        if kind == 8:
            return self._frame(1, payload, mask=False)
        if kind == 9:
            return self._frame(1, payload, form=chance.choice((16, 64)))
        if kind == 10:
            return self._fragments(payload, ends=False) + (self._frame(1, payload) if chance.random() < 0.7 else b"")
        if kind == 11:
            return self._frame(chance.choice((8, 9, 10)), b"p" * 126, chance.choice((0x80, 0x00)))
        if kind == 12:
            size = chance.choice((self._limit + 1, 6 * self._limit + 5, 1 << 20, 1 << 40, 1 << 63, (1 << 64) - 1))
            return b"\x81\xff" + struct.pack("!Q", size) + self._mask() + payload
        if kind == 13:
            data = bytearray(self._frame(1, payload))
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            return bytes(data)
        if kind == 14:
            return chance.randbytes(chance.randrange(1, 30))
        return self._close()

    def _close(self) -> bytes:
        chance = self._chance
        code = struct.pack("!H", chance.choice((1000, 1001, 3000, 4999, 1005, 999, 5000, 0)))
        reason = chance.choice((b"", b"bye", "\u20ac".encode(), b"\xff", b"r" * 123))
        return self._frame(8, chance.choice((b"", b"\3", code, code + reason, code + reason)))


# -- scripts ----------------------------------------------------------------------------------------------------------


def make(chance: random.Random) -> Script:
    """
    See L{tests.endurance.differential.Comparison.make}.
    """
    tight, raw = chance.random() < 0.2, chance.random() < 0.4
    size = chance.choice(SIZES)
    options: dict[str, Any] = {} if size is None else {"max_message_size": size}
    if tight:
        options |= {"heartbeat_delay": 0, "ping_interval": 0, "write_timeout": 0}
        options |= {"max_queued_bytes": 1 << 30, "max_queued_messages": 1 << 20}
    elif chance.random() < 0.3:
        options |= {"max_queued_bytes": chance.choice((50, 1000)), "max_queued_messages": chance.choice((1, 5, 1000))}
    count = chance.choice((1, 2, 4, 8, 20, 40))
    settings = {
        "raw": raw,
        "tight": tight,
        "options": options,
        "text": chance.random() < 0.7,
        "refuses": not tight and chance.random() < 0.01,
        "room": chance.choice((1, 30, 700, 5000)) if tight else AMPLE,
        "made": _action(chance, tight, "nothing", "nothing", "echo", *GOING_ON),
        "usual": _action(chance, tight, "echo", "echo", "echo", "nothing", "twice", "later"),
        "actions": _actions(chance, count, tight),
    }
    errors = 0.0 if tight else chance.choice((0.0, 0.1, 0.3))
    stream = _Stream(chance, raw, size or 131_072, errors)
    return Script(NAME, settings, _steps(chance, cut(chance, stream.pieces(count)), tight))


def _action(chance: random.Random, tight: bool, *actions: str) -> str:
    return chance.choice([action for action in actions if not tight or action not in NOT_TIGHT])


def _actions(chance: random.Random, count: int, tight: bool) -> dict[int, str]:
    share = chance.choice((0, 0.1, 0.4))
    actions = {number: _action(chance, tight, *GOING_ON) for number in range(1, count * 2) if chance.random() < share}
    if chance.random() < 0.35:
        actions[chance.randint(1, count)] = _action(chance, tight, *ENDING)
    return actions


def _steps(chance: random.Random, chunks: list[bytes], tight: bool) -> list[Step]:
    steps: list[Step] = []
    for chunk in chunks:
        steps.append(("data", chunk))
        kind = chance.random()
        if tight and kind < 0.4:
            steps.append(("take", chance.choice((1, 100, 3000, 100_000))))
        elif kind < 0.5:
            steps.append(("resume",))
        elif kind < 0.55 and not tight:
            steps.append(("wait", chance.choice((0.1, 1.0, 5.0, 10.0, 25.0, 30.0, 61.0))))
    if chance.random() < 0.3:
        steps.append(("end", chance.choice((0, errno.ECONNRESET))))
    return steps
