# -*- test-case-name: tests.test_frames -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.transports.frames}: the text frames that are taken and made without Autobahn. And the shortcut of the codec
for messages of ASCII alone.

How a frame looks is told here again, in the plainest way, from RFC 6455 section 5.2.
"""

from __future__ import annotations

import struct

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.test_codec import TEXTS, strictOrjson
from txsockjs import codec
from txsockjs.codec import encodeMessage, quote
from txsockjs.transports.frames import NO_CODE, closeFrame, takeClose, takeText, textFrame

# No test here is about how long it takes, and those that are inherited run in several classes on purpose.
unhurried = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.differing_executors]
)

MANY = 1 << 62
"""A limit that limits nothing."""

MASK = b"\x01\x80\xfe\x5a"

SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537, 200_001)
"""Lengths of payloads: around the boundaries of the forms of a length, and with every rest that the mask can leave."""


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def head(size: int, form: int | None = None) -> bytes:
    """
    The length of a masked frame.

    @param form: 7, 16 or 64 bits; by default the shortest that will do.
    """
    if form is None:
        form = 7 if size <= 125 else 16 if size <= 65535 else 64
    if form == 7:
        return bytes([0x80 | size])
    return b"\xfe" + struct.pack("!H", size) if form == 16 else b"\xff" + struct.pack("!Q", size)


def frame(payload: bytes, mask: bytes = MASK) -> bytes:
    """
    A text frame as a client sends it.
    """
    return b"\x81" + head(len(payload)) + mask + masked(payload, mask)


def content(size: int) -> bytes:
    """
    A payload of which no two places look alike.
    """
    return bytes(at * 7 % 251 for at in range(size))


class TakeTextTests(SynchronousTestCase):
    """
    L{takeText} takes a frame of the common shape, and nothing else.
    """

    def test_sizes(self):
        """
        Frames of every form of length are taken, wherever they begin and whatever follows.
        """
        for size in SIZES:
            payload = content(size)
            data = frame(payload)
            for before in (b"", b"\x81", b"\x81\x80" + bytes(300)):
                for after in (b"", b"\x81", data[:20], b"\0" * 300):
                    taken = takeText(before + data + after, len(before), MANY)
                    self.assertEqual(taken, (payload, len(before) + len(data)))

    def test_masks(self):
        """
        Any mask is undone, also one that begins or ends with zeros.
        """
        for mask in (bytes(4), b"\0\0\0\1", b"\1\0\0\0", b"\xff" * 4, b"\0\xff\0\xff"):
            for size in (0, 1, 2, 3, 4, 5, 6, 7, 300):
                for payload in (bytes(size), b"\xff" * size, content(size)):
                    self.assertEqual(takeText(frame(payload, mask), 0, MANY)[0], payload)

    def test_cuts(self):
        """
        A frame of which the least is missing is not taken.
        """
        for size in SIZES:
            data = frame(content(size))
            cuts = range(len(data)) if len(data) < 300 else [*range(20), len(data) // 2, len(data) - 2, len(data) - 1]
            for cut in cuts:
                for before in (b"", b"\x81\x80" + bytes(20)):
                    self.assertIsNone(takeText(before + data[:cut], len(before), MANY), (size, cut))

    def test_nothingLeft(self):
        """
        Behind the last frame there is nothing to take.
        """
        data = frame(b"x")
        self.assertIsNone(takeText(data, len(data), MANY))
        self.assertIsNone(takeText(b"", 0, MANY))

    def test_firstByte(self):
        """
        Of all the first bytes that a frame may have, only that of a whole text without reserved bits will do: no
        fragments, no other opcodes.
        """
        for size in (0, 1, 126, 65536):
            rest = frame(content(size))[1:]
            taken = [first for first in range(256) if takeText(bytes([first]) + rest, 0, MANY) is not None]
            self.assertEqual(taken, [0x81])

    def test_unmasked(self):
        """
        A frame without a mask is not taken, whatever stands where the mask would be.
        """
        for size in SIZES:
            length = head(size)
            data = b"\x81" + bytes([length[0] & 0x7F]) + length[1:] + content(size)
            for after in (b"", bytes(300), frame(b"x") * 50, bytes(70_000)):
                self.assertIsNone(takeText(data + after, 0, MANY), size)

    def test_notTheShortestForm(self):
        """
        A length that could be written shorter is an error, and so is not taken.
        """
        for form, sizes in ((16, (0, 1, 124, 125)), (64, (0, 1, 125, 126, 127, 65534, 65535))):
            for size in sizes:
                data = b"\x81" + head(size, form) + MASK + masked(content(size)) + bytes(20)
                self.assertIsNone(takeText(data, 0, MANY), (form, size))

    def test_shortestForm(self):
        """
        The first length that needs the longer form is taken.
        """
        for form, size in ((16, 126), (64, 65536)):
            data = b"\x81" + head(size, form) + MASK + masked(content(size))
            self.assertEqual(takeText(data, 0, MANY), (content(size), len(data)))

    def test_hugeLengths(self):
        """
        Lengths that nobody has the memory for, and those with the highest bit, which are forbidden, are not taken.
        """
        for size in (1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
            self.assertIsNone(takeText(b"\x81" + head(size, 64) + MASK + bytes(100), 0, 1 << 70), size)

    def test_limit(self):
        """
        A payload may have as many bytes as the limit says, not one more.
        """
        for size in SIZES:
            data = frame(content(size))
            for limit, isTaken in ((size - 1, False), (size, True), (size + 1, True)):
                self.assertEqual(takeText(data, 0, limit) is not None, isTaken, (size, limit))

    @unhurried
    @given(
        st.lists(
            st.tuples(
                st.binary(max_size=300) | st.sampled_from(SIZES[:-1]).map(content), st.binary(min_size=4, max_size=4)
            )
        ),
        st.binary(max_size=20),
    )
    def streams(self, messages, after):
        data = b"".join(frame(payload, mask) for payload, mask in messages)
        found, at = [], 0
        for _ in messages:
            payload, at = takeText(data + after, at, MANY)
            found.append(payload)
        self.assertEqual(found, [payload for payload, _ in messages])
        self.assertEqual(at, len(data))

    def test_streams(self):
        """
        Of frames one after the other, each is taken as it was sent.
        """
        self.streams()

    @unhurried
    @given(st.binary(max_size=40), st.integers(0, 45), st.integers(0, 30))
    @example(b"\x81\xfe\x00", 0, 5)
    @example(b"\x81\xff" + bytes(8), 0, 5)
    def rubbish(self, data, start, limit):
        taken = takeText(data, start, limit)
        if taken is not None:
            payload, end = taken
            self.assertLessEqual(len(payload), limit)
            at = end - len(payload)
            self.assertEqual(frame(payload, data[at - 4 : at]), data[start:end])

    def test_rubbish(self):
        """
        Whatever bytes there are: what is taken is what a frame of that payload looks like.
        """
        self.rubbish()


class TextFrameTests(SynchronousTestCase):
    """
    L{textFrame} makes an unmasked text frame, with the shortest form of its length.
    """

    def assertRight(self, payload):
        size = len(payload)
        if size <= 125:
            length = bytes([size])
        elif size <= 65535:
            length = b"\x7e" + struct.pack("!H", size)
        else:
            length = b"\x7f" + struct.pack("!Q", size)
        self.assertEqual(textFrame(payload), b"\x81" + length + payload)

    def test_sizes(self):
        """
        It does so for every size, with those around the boundaries.
        """
        for size in (*range(300), *SIZES):
            self.assertRight(content(size))

    @unhurried
    @given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
    def thereAndBack(self, payload, mask):
        data = textFrame(payload)
        at = len(data) - len(payload)
        toServer = data[:1] + bytes([data[1] | 0x80]) + data[2:at] + mask + masked(payload, mask)
        self.assertEqual(takeText(toServer, 0, MANY), (payload, len(toServer)))

    def test_thereAndBack(self):
        """
        With a mask, it is what L{takeText} takes.
        """
        self.thereAndBack()


class CloseTests(SynchronousTestCase):
    """
    L{takeClose} takes the close frame of a client that just leaves, and L{closeFrame} makes the answer.
    """

    def closing(self, payload, mask=MASK):
        return b"\x88" + bytes([0x80 | len(payload)]) + mask + masked(payload, mask)

    def test_codes(self):
        """
        It takes the codes of those who just leave, wherever the frame begins, and is silent on all others.
        """
        for code in range(0x10000):
            isTaken = code in (1000, 1001) or 3000 <= code <= 4999
            data = self.closing(struct.pack("!H", code))
            self.assertEqual(takeClose(data, 0), code if isTaken else None, code)
            if isTaken:
                self.assertEqual(takeClose(b"\x81" + data, 1), code)
                self.assertEqual(closeFrame(code), b"\x88\x02" + struct.pack("!H", code))

    def test_noCode(self):
        """
        A frame without a code is taken as well, and is answered by one without a code.
        """
        self.assertEqual(takeClose(self.closing(b""), 0), NO_CODE)
        self.assertEqual(closeFrame(NO_CODE), b"\x88\0")

    def test_others(self):
        """
        What is cut, has something behind it, a reason, no mask, or another first byte is left.
        """
        for payload in (b"", b"\x03\xe8"):
            data = self.closing(payload)
            for cut in range(len(data)):
                self.assertIsNone(takeClose(data[:cut], 0), cut)
            for other in (data + b"\x88", data + data, data + b"xx", b"x" + data):
                self.assertIsNone(takeClose(other, 0))
            self.assertIsNone(takeClose(data, 1))
            taken = [first for first in range(256) if takeClose(bytes([first]) + data[1:], 0) is not None]
            self.assertEqual(taken, [0x88])
            self.assertIsNone(takeClose(b"\x88" + bytes([len(payload)]) + MASK + payload, 0))
        for payload in (b"\x03", b"\x03\xe8x", b"\x03\xe8bye"):
            self.assertIsNone(takeClose(self.closing(payload), 0))


class ASCIITests(SynchronousTestCase):
    """
    The codec's shortcut for ASCII says what it would say without it, whoever writes the JSON.
    """

    def test_everyCharacter(self):
        """
        Each character comes out in the same way, and so does each beyond ASCII that is next to something.
        """
        for number in (*range(0x300), *range(0x2000, 0x2100), *range(0xD7F0, 0xE010), *range(0xFF00, 0x10010)):
            for text in (chr(number), f"a{chr(number)}", f"{chr(number)}\x7f\0"):
                self.assertEqual(encodeMessage(text), quote(text).encode("utf-8"), ascii(text))

    @unhurried
    @given(st.text(st.characters(max_codepoint=0x7F)) | TEXTS)
    @example("")
    def texts(self, text):
        self.assertEqual(encodeMessage(text), quote(text).encode("utf-8"))

    def test_texts(self):
        """
        Texts come out in the same way.
        """
        self.texts()


class StandardASCIITests(ASCIITests):
    """
    The same with the standard library's C{json}.
    """

    def setUp(self):
        self.patch(codec, "_dumps", codec._dumpsStandard)
        self.patch(codec, "_dumpsASCII", codec._dumpsASCIIStandard)


class FastASCIITests(ASCIITests):
    """
    The same with C{orjson}.
    """

    def setUp(self):
        orjson = strictOrjson()
        self.patch(codec, "orjson", orjson)
        self.patch(codec, "_dumps", codec._dumpsFast)
        self.patch(codec, "_dumpsASCII", orjson.dumps)


class MixedASCIITests(ASCIITests):
    """
    What C{orjson} writes and what the standard library writes is the same.
    """

    def setUp(self):
        self.patch(codec, "_dumps", codec._dumpsStandard)
        self.patch(codec, "_dumpsASCII", strictOrjson().dumps)
