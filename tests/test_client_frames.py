# -*- test-case-name: tests.test_client_frames -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Frames as the client reads and writes them.
"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.client.frames import (
    TO_SERVER,
    Events,
    FrameTooLarge,
    Lines,
    WrongFrame,
    closeOf,
    messagesOf,
)
from txsockjs.codec import SOCKJS, decodeMessages

TEXTS = st.text(st.characters(codec=None), max_size=30)  # type: ignore[arg-type]

FRAMES = st.one_of(
    st.just(b"o"),
    st.just(b"h"),
    st.lists(TEXTS, min_size=1, max_size=5).map(
        lambda texts: SOCKJS.frames([SOCKJS.encode(text) for text in texts])[0]
    ),
    st.tuples(st.integers(1000, 4999), TEXTS).map(lambda closing: SOCKJS.close(*closing) or b""),
)


def cut(data: bytes, places: list[float]) -> list[bytes]:
    """
    @return: the data in pieces.
    """
    ends = sorted(int(place * len(data)) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)])]


PLACES = st.lists(st.floats(0, 1), max_size=40)


def dressed(frame: bytes) -> bytes:
    """
    @return: a frame as an event.
    """
    for special in (b"%", b"\r", b"\n", b"\x00"):
        frame = frame.replace(special, b"%%%02X" % ord(special))
    return b"data: " + frame + b"\r\n\r\n"


class ParserTests(SynchronousTestCase):
    """
    Streams that are cut anywhere.
    """

    @given(st.lists(FRAMES, max_size=10), PLACES)
    def test_lines(self, frames: list[bytes], places: list[float]) -> None:
        """
        However the lines of a response are cut, the frames are the same, and nothing is left.
        """
        parser = Lines(10_000)
        found = [
            frame for piece in cut(b"".join(frame + b"\n" for frame in frames), places) for frame in parser.feed(piece)
        ]
        self.assertEqual(found, frames)
        self.assertFalse(parser.pending)

    @given(st.lists(FRAMES, max_size=10), PLACES)
    def test_events(self, frames: list[bytes], places: list[float]) -> None:
        """
        However the events of a response are cut, the frames are the same, and nothing is left.
        """
        parser = Events(10_000)
        data = b"\r\n" + b"".join(dressed(frame) for frame in frames)
        found = [frame for piece in cut(data, places) for frame in parser.feed(piece)]
        self.assertEqual(found, frames)
        self.assertFalse(parser.pending)

    @given(st.binary(max_size=200), PLACES)
    def test_anything(self, data: bytes, places: list[float]) -> None:
        """
        However any bytes are cut, they mean the same.
        """
        for kind in (Lines, Events):
            whole, pieces = kind(10_000), kind(10_000)
            frames = whole.feed(data)
            self.assertEqual([frame for piece in cut(data, places) for frame in pieces.feed(piece)], frames)
            self.assertEqual(pieces.pending, whole.pending)

    def test_linesKept(self) -> None:
        """
        A part of a line is kept, and told as pending; empty lines are nothing.
        """
        parser = Lines(100)
        self.assertEqual(parser.feed(b'a["x'), [])
        self.assertTrue(parser.pending)
        self.assertEqual(parser.feed(b'"]\n\n\nh\no'), [b'a["x"]', b"h"])
        self.assertTrue(parser.pending)
        self.assertEqual(parser.feed(b"\n"), [b"o"])
        self.assertFalse(parser.pending)

    def test_linesBounded(self) -> None:
        """
        A line of more bytes than may be is refused, also before it is whole; one of just as many is not.
        """
        self.assertEqual(Lines(10).feed(b"x" * 10 + b"\n"), [b"x" * 10])
        for pieces in (
            [b"x" * 11 + b"\n"],
            [b"x" * 11],
            [b"x" * 6, b"x" * 5],
            [b"x" * 6, b"xxxxx\n"],
            [b"o\n" + b"x" * 11],
        ):
            parser = Lines(10)
            with self.assertRaises(FrameTooLarge):
                for piece in pieces:
                    parser.feed(piece)

    def test_manyLines(self) -> None:
        """
        Any number of lines may come, each in pieces.
        """
        parser = Lines(10)
        for _ in range(100):
            self.assertEqual(parser.feed(b"xxxxxx"), [])
            self.assertEqual(parser.feed(b"x\n"), [b"xxxxxxx"])

    def test_eventsBounded(self) -> None:
        """
        The same for events, of which a comment is no part.
        """
        parser = Events(1000)
        for _ in range(1000):
            self.assertEqual(parser.feed(b": still alive\n"), [])
        self.assertEqual(parser.feed(b"data: " + b"x" * 1000 + b"\n\n"), [b"x" * 1000])
        for line in (b"data: " + b"x" * 100 + b"\n", b"x" * 100, b"data:x\r"):
            parser = Events(1000)
            with self.assertRaises(FrameTooLarge):
                for _ in range(1000):
                    parser.feed(line)

    def test_eventStream(self) -> None:
        """
        All that the format of events allows is understood: its three line ends, comments, other fields, several lines
        of data, a byte order mark, and a colon without a space.
        """
        for end in (b"\n", b"\r", b"\r\n"):
            for mark in (b"", b"\xef\xbb\xbf"):
                lines = [
                    b": hello",
                    b"",
                    b"event: message",
                    b"data:o",
                    b"id: 7",
                    b"",
                    b"data: a",
                    b"data:  b",
                    b"",
                    b"data",
                ]
                parser = Events(1000)
                self.assertEqual(parser.feed(mark + end.join(lines) + end + end), [b"o", b"a\n b", b""])
                self.assertFalse(parser.pending)

    def test_cutLineEnds(self) -> None:
        """
        A line end of two characters that is cut in two is one, within an event as well.
        """
        data = b"\xef\xbb\xbfdata: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n"
        for at in range(len(data)):
            parser = Events(1000)
            self.assertEqual([*parser.feed(data[:at]), *parser.feed(data[at:])], [b"a\nb", b"c"])
        parser = Events(1000)
        frames = [frame for at in range(len(data)) for frame in parser.feed(data[at : at + 1])]
        self.assertEqual(frames, [b"a\nb", b"c"])

    def test_percent(self) -> None:
        """
        Percent escapes of events are undone once.
        """
        self.assertEqual(Events(1000).feed(b'data: a["%2541 %0A %00 %"]\r\n\r\n'), [b'a["%41 \n \x00 %"]'])


class FrameTests(SynchronousTestCase):
    """
    What frames mean.
    """

    @given(st.lists(TEXTS, min_size=1, max_size=20))
    def test_roundTrip(self, texts: list[str]) -> None:
        """
        What a server encodes the client decodes, and the other way round, lone surrogates included.
        """
        self.assertEqual(messagesOf(SOCKJS.frames([SOCKJS.encode(text) for text in texts])[0]), texts)
        (frame,) = TO_SERVER.frames([TO_SERVER.encode(text) for text in texts])
        self.assertEqual(decodeMessages(frame), texts)
        self.assertEqual(json.loads(frame), texts)

    def test_toServer(self) -> None:
        """
        Nothing but messages goes to a server.
        """
        self.assertEqual((TO_SERVER.opening, TO_SERVER.heartbeat, TO_SERVER.close(3000, "x")), (None, None, None))

    def test_wrongMessages(self) -> None:
        """
        An array of anything else, and what is no array, is no frame.
        """
        for frame in (b"a", b"a[1]", b'a["x"', b'a"x"', b"a{}", b'a["x", null]', b"a\xff", b"a" + b"[" * 100_000):
            self.assertRaises(WrongFrame, messagesOf, frame)

    def test_close(self) -> None:
        """
        A close frame has a code and a reason, whatever they are.
        """
        self.assertEqual(closeOf(b'c[3000,"Go away!"]'), (3000, "Go away!"))
        self.assertEqual(closeOf(b'c[1002,""]'), (1002, ""))
        self.assertEqual(closeOf(b'c[3000,"\\ud800"]'), (3000, "\N{REPLACEMENT CHARACTER}"))
        for frame in (
            b"c",
            b"c[]",
            b"c[3000]",
            b'c["3000","x"]',
            b"c[3000,null]",
            b'c[true,"x"]',
            b'c[1,"x",2]',
            b"c{}",
            b"c7",
        ):
            self.assertRaises(WrongFrame, closeOf, frame)

    def test_shown(self) -> None:
        """
        The error shows the beginning of what came, and no more.
        """
        error = self.assertRaises(WrongFrame, messagesOf, b"a<html>" + b"x" * 10_000)
        self.assertIn("'a<html>xxx", str(error))
        self.assertLess(len(str(error)), 200)
