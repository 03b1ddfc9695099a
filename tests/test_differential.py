# -*- test-case-name: tests.test_differential -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Shortcuts are invisible: L{tests.endurance.differential} as Hypothesis drives it, and tests of the comparison itself,
since one that never finds a difference would prove nothing.

A script that once found something is to be cut down and kept, in L{RegressionTests}.
"""

from __future__ import annotations

import random
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from tests.endurance import differential, websocketstreams
from tests.endurance.differential import Script, comparison, cut, difference, noting, replay, shrink
from tests.support import UPGRADE
from tests.wire import closePayload, encodeFrame
from txsockjs import codec
from txsockjs.session import Session
from txsockjs.transports import direct, frames, socket, websocket
from txsockjs.transports.socket import RawSocketReceiver, SocketReceiver

RAW, FRAMED = "/websocket", "/0/s/websocket"


def opening(path):
    """
    The bytes of an opening handshake.
    """
    head = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n{head}\r\n".encode("ascii")


def script(*chunks, path=FRAMED, tight=False, actions=None, usual="echo", **options):
    """
    A script for a WebSocket, with each chunk as it arrives, or another step.
    """
    first, *rest = [chunk if isinstance(chunk, tuple) else ("data", chunk) for chunk in chunks]
    return Script(
        "websocket",
        {
            "raw": path == RAW,
            "tight": tight,
            "options": options,
            "text": True,
            "refuses": False,
            "room": 30 if tight else websocketstreams.AMPLE,
            "made": "nothing",
            "usual": usual,
            "actions": actions or {},
        },
        [("data", opening(path) + first[1]), *rest],
    )


def texts(*payloads):
    """
    Text frames, in one piece.
    """
    return b"".join(encodeFrame(1, payload) for payload in payloads)


class WebSocketTests(SynchronousTestCase):
    """
    WebSockets with and without their shortcuts.
    """

    @settings(
        max_examples=300,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.randoms(use_true_random=False))
    def equal(self, chance):
        self.compare(websocketstreams.make(chance))

    def compare(self, script):
        why = difference(script)
        self.flushLoggedErrors(websocketstreams.Failing)
        self.assertIsNone(why, f"{why}\n{tuple(script)!a}")

    def test_equal(self):
        """
        Whatever a client sends, in whatever pieces, and whatever the application does, all is the same.
        """
        self.equal()

    def test_seeded(self):
        """
        So it is with streams as the long run makes them, which are longer.
        """
        for number in range(1000):
            self.compare(websocketstreams.make(random.Random(f"ci/{number}")))

    def test_takesTheShortcut(self):
        """
        Among those streams are many of which the shortcut takes all, a part or nothing; it never sees one without.
        """
        taken = {"all": 0, "a part": 0, "nothing": 0}
        take = SocketReceiver._takeTexts

        def note(receiver, data):
            rest = take(receiver, data)
            taken["all" if not rest else "nothing" if len(rest) == len(data) else "a part"] += 1
            return rest

        with mock.patch.object(SocketReceiver, "_takeTexts", note):
            scripts = [websocketstreams.make(random.Random(f"ci/{number}")) for number in range(200)]
            for script in scripts:
                websocketstreams.play(script, True)
            self.assertGreater(min(taken.values()), 30, taken)
            before = dict(taken)
            for script in scripts:
                websocketstreams.play(script, False)
        self.assertEqual(taken, before)
        self.flushLoggedErrors(websocketstreams.Failing)

    def test_voids(self):
        """
        Hardly a stream is made that can't be compared.
        """
        scripts = [websocketstreams.make(random.Random(f"ci/{number}")) for number in range(300)]
        self.assertLess(sum(websocketstreams.play(script, True) == {} for script in scripts), 10)
        self.flushLoggedErrors(websocketstreams.Failing)


class RegressionTests(SynchronousTestCase):
    """
    What was found once.
    """

    def assertEqualWays(self, *args, **kwargs):
        why = difference(script(*args, **kwargs))
        self.flushLoggedErrors(websocketstreams.Failing)
        self.assertIsNone(why)

    def test_countedAfterClose(self):
        """
        Messages that come in one piece with the one at which the application closes count as they do behind it.
        """
        for action in ("lose", "close", "abort", "fail"):
            self.assertEqualWays(texts(b'"a"', b'"b"', b'["c","d"]'), actions={1: action})
            self.assertEqualWays(texts(b"a", b"b", b"c"), path=RAW, actions={2: action})

    def test_emptyArray(self):
        """
        The bytes of a frame that has no message do not count, whatever it comes with.
        """
        self.assertEqualWays(texts(b'"a"', b"[]", b"", b'"b"'))

    def test_broken(self):
        """
        What comes before a message that is refused is delivered first.
        """
        for wrong in (b"{", b"1", b'["\xff"]', b"\xff", b'"\xed\xa0\x80"'):
            self.assertEqualWays(texts(b'"a"', wrong, b'"b"'), encodeFrame(8, closePayload(1000)))
            self.assertEqualWays(texts(b'"a"', wrong, b'"b"'), actions={1: "lose"})

    def test_framesWithinFrames(self):
        """
        What looks like a text frame, but is in the middle of another frame, is not taken, wherever that frame is cut.
        """
        inner = b'\x81\x83\0\0\0\0"a"'
        for path in (RAW, FRAMED):
            for opcode, first in ((9, 0x80), (10, 0x80), (8, 0x80), (1, 0x80), (1, 0), (2, 0x80)):
                frame = bytes([first | opcode, 0x80 | 3 * len(inner)]) + bytes(4) + 3 * inner
                for at in range(1, len(frame)):
                    self.assertEqualWays(frame[:at], frame[at:] + texts(b'"b"'), path=path)


class SelfTests(SynchronousTestCase):
    """
    The comparison notices a shortcut that does something else.
    """

    SEEDS = 3000

    def assertFound(self, *patches):
        """
        Assert that a shortcut which is broken is noticed within a few streams.
        """
        for number in range(self.SEEDS):
            script = websocketstreams.make(random.Random(f"ci/{number}"))
            for patch in patches:
                patch.start()
            try:
                why = difference(script)
            finally:
                for patch in patches:
                    patch.stop()
            self.flushLoggedErrors()
            if why is not None:
                return why
        return self.fail("nobody noticed")

    def breakTake(self, change):
        """
        Have C{takeText} give something else.
        """
        take = frames.takeText
        return self.assertFound(mock.patch.object(socket, "takeText", lambda *args: change(take, *args)))

    def test_unmasked(self):
        """
        It notices when frames are taken whose payload is not unmasked.
        """
        self.breakTake(lambda take, *args: (found := take(*args)) and (found[0][::-1], found[1]))

    def test_limit(self):
        """
        It notices when the limit is not kept.
        """
        self.breakTake(lambda take, data, start, limit: take(data, start, limit + 1))

    def test_lostByte(self):
        """
        It notices when a byte is lost behind a frame.
        """
        self.breakTake(lambda take, *args: (found := take(*args)) and (found[0], found[1] + (len(found[0]) == 118)))

    def test_firstByte(self):
        """
        It notices when a reserved bit is ignored, and a fragment.
        """
        for bit in (0x40, 0x10):

            def change(take, data, start, limit, bit=bit):
                if len(data) > start and data[start] == 0x81 | bit:
                    data = data[:start] + b"\x81" + data[start + 1 :]
                return take(data, start, limit)

            self.breakTake(change)
        self.breakTake(
            lambda take, data, start, limit: take(
                data[:start] + b"\x81" + data[start + 1 :] if data[start : start + 1] == b"\x01" else data, start, limit
            )
        )

    def test_length(self):
        """
        It notices when a length need not be in its shortest form.
        """

        def change(take, data, start, limit):
            if data[start : start + 3] == b"\x81\xfe\0" and len(data) > start + 3 and data[start + 3] < 126:
                data = data[: start + 1] + bytes([0x80 | data[start + 3]]) + data[start + 4 :]
                found = take(data, start, limit)
                return found and (found[0], found[1] + 2)
            return take(data, start, limit)

        self.breakTake(change)

    def test_insideMessage(self):
        """
        It notices when texts are taken in the middle of a message or of a frame, or when the connection is closing.
        """

        def everywhere(receiver, data):
            receiver.heard = True
            data = receiver._takeTexts(data)
            if data:
                receiver._needEngine().dataReceived(data)

        self.assertFound(mock.patch.object(SocketReceiver, "dataReceived", everywhere))

    def test_letGoTooEarly(self):
        """
        It notices when the engine is let go in the middle of a message, of a frame, or of the closing handshake.
        """
        for name in ("_wholeMessages", "_wholeFrames", "_wholeLife"):
            with self.subTest(name):
                self.assertFound(mock.patch.object(websocket._Engine, "isBetween", property(getattr(self, name))))

    def _wholeMessages(self, engine):
        return engine.isOpen and not engine.data and engine.current_frame is None

    def _wholeFrames(self, engine):
        return engine.isOpen and not engine.inside_message

    def _wholeLife(self, engine):
        return not engine.data and not engine.inside_message and engine.current_frame is None

    def test_leaving(self):
        """
        It notices when a client that leaves gets another answer, and when the application is told something else or
        nothing.
        """
        answer, take = frames.closeFrame, frames.takeClose
        self.assertFound(mock.patch.object(socket, "closeFrame", lambda code: answer(1000)))
        self.assertFound(mock.patch.object(socket, "takeClose", lambda *args: (code := take(*args)) and code ^ 1))
        self.assertFound(mock.patch.object(socket._Left, "connectionLost", lambda left, reason: None))

    def test_leavingTooEarly(self):
        """
        It notices when a client is said to leave that does not.
        """

        def careless(data, start):
            return frames.NO_CODE if data.startswith(b"\x88", start) else None

        self.assertFound(mock.patch.object(socket, "takeClose", careless))

    def test_order(self):
        """
        It notices when the rest of a piece comes before what was taken of it.
        """
        plain, deliver = SocketReceiver._takeTexts, SocketReceiver.deliver

        def take(receiver, data):
            held = []
            with mock.patch.object(SocketReceiver, "deliver", lambda *args: held.append(args)):
                rest = plain(receiver, data)
            if rest:
                receiver._needEngine().dataReceived(rest)
            for args in held:
                deliver(*args)
            return b""

        self.assertFound(mock.patch.object(SocketReceiver, "_takeTexts", take))

    def test_invalidText(self):
        """
        It notices when a message is taken that is not UTF-8.
        """
        self.assertFound(
            mock.patch.object(RawSocketReceiver, "decode", lambda receiver, data: [data.decode("utf-8", "replace")])
        )

    def test_stateOfSending(self):
        """
        It notices when something is sent although the connection is closing.
        """

        def send(receiver, frame):
            receiver._greet()
            direct.writeNow(receiver.transport, frames.textFrame(frame))
            return True

        self.assertFound(mock.patch.object(SocketReceiver, "send", send))

    def test_sending(self):
        """
        It notices when what the kernel does not take is lost.
        """

        def write(transport, data):
            if transport.dataBuffer or transport._tempDataBuffer:
                transport.write(data)
            else:
                transport.writeSomeData(data)

        self.assertFound(mock.patch.object(socket, "writeNow", write))

    def test_overtaking(self):
        """
        It notices when something is sent before what waits.
        """

        def write(transport, data):
            sent = transport.writeSomeData(data)
            transport.write(data[sent:])

        self.assertFound(mock.patch.object(socket, "writeNow", write))

    def test_frames(self):
        """
        It notices when a frame is made with the wrong length.
        """

        def frame(payload):
            return frames.textFrame(payload) if len(payload) != 126 else b"\x81\x7e\0\x7e" + payload[:-1] + b"?"

        self.assertFound(mock.patch.object(socket, "textFrame", frame))

    def test_batch(self):
        """
        It notices when the application gets messages after it has paused or closed.
        """

        def deliver(session, messages):
            for message in messages:
                session._call(session._application.received, message)
            return []

        self.assertFound(mock.patch.object(Session, "_deliverNow", deliver))

    def test_escaping(self):
        """
        It notices when something is not escaped.
        """
        self.assertFound(mock.patch.object(codec, "encodeMessage", lambda text: codec._dumps(text).encode("utf-8")))


class ToolTests(SynchronousTestCase):
    """
    What belongs to no shortcut in particular.
    """

    def test_cut(self):
        """
        A stream is cut in every way, and none of it is lost.
        """
        pieces, seen = [b"GET", b"", b"abcdefgh", b"x" * 300], set()
        for number in range(100):
            chunks = cut(random.Random(number), pieces)
            self.assertEqual(b"".join(chunks), b"".join(pieces))
            seen.add(len(chunks))
        self.assertIn(1, seen)
        self.assertGreater(max(seen), 20)
        self.assertEqual(cut(random.Random(1), [b"x"]), [b"x"])

    def test_repeatable(self):
        """
        The same seed makes the same script, and a script is plain data.
        """
        for name in differential.COMPARISONS:
            make = comparison(name).make
            script = make(random.Random("x"))
            self.assertEqual(script, make(random.Random("x")))
            path = Path(self.mktemp())
            path.write_text(f"# why\n{tuple(script)!a}\n", encoding="ascii")
            with (
                mock.patch.object(differential, "difference", return_value=None) as compare,
                mock.patch("builtins.print"),
            ):
                self.assertEqual(replay(path), 0)
            compare.assert_called_once_with(script)

    def test_shrink(self):
        """
        A script is cut down to the steps that it takes.
        """
        long = Script("websocket", {}, [("data", bytes([number])) for number in range(20)])
        wanted = {long.steps[3], long.steps[17]}
        small = shrink(long, lambda shorter: wanted <= set(shorter.steps))
        self.assertEqual(small.steps, [long.steps[3], long.steps[17]])

    def test_tells(self):
        """
        A difference is told by its first place.
        """
        outcomes = [{"a": {"x": [1, 2, [3, 4]], "y": 0}, "b": 1}, {"a": {"x": [1, 2, [3, 5]], "y": 0}, "b": 1}]
        with mock.patch.object(websocketstreams, "play", side_effect=outcomes):
            why = difference(Script("websocket", {}, []))
        self.assertEqual(why, "a: 'x': 2: 1: \n  with the shortcut    4\n  without the shortcut 5")

    def test_raised(self):
        """
        An exception is a difference, unless both raise it.
        """
        with mock.patch.object(websocketstreams, "play", side_effect=[ValueError("x"), {}]):
            self.assertIn("ValueError('x')", difference(Script("websocket", {}, [])))

    def test_noting(self):
        """
        What is logged as a warning or worse is noted, while somebody asks.
        """
        log, noted = Logger(), []
        with noting(noted):
            log.warn("warned")
            log.info("told")
        log.warn("late")
        self.assertEqual(noted, ["warned"])
