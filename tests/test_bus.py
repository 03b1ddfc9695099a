# -*- test-case-name: tests.test_bus -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Tests for L{txsockjs.bus}: what describes a bus, and what travels on one.
"""

from __future__ import annotations

import sys
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.bus import busFromString, parseBus
from txsockjs.bus.envelopes import MAX_ORIGINS, Seen, pack, part, unpack
from txsockjs.bus.interfaces import BusStats
from txsockjs.bus.memory import MemoryBus
from txsockjs.bus.places import RedisPlace


class PlaceTests(SynchronousTestCase):
    """
    Tests for L{RedisPlace.fromString} and L{parseBus}.
    """

    def test_memory(self):
        """
        C{memory:} is no place.
        """
        self.assertIsNone(parseBus("memory:"))
        self.assertIsNone(parseBus("memory://"))
        self.assertIsInstance(busFromString("memory:"), MemoryBus)

    def test_right(self):
        """
        All forms are understood, with escapes and defaults.
        """
        for text, expected in {
            "redis://h": RedisPlace("h"),
            "redis://h:1/2": RedisPlace("h", 1, db=2),
            "redis://h/?db=2": RedisPlace("h", db=2),
            "redis://[::1]:7": RedisPlace("::1", 7),
            "redis://:p%40s%2Fs@h": RedisPlace("h", password="p@s/s"),
            "redis://u:p@h:1/0": RedisPlace("h", 1, user="u", password="p"),
            "rediss://h": RedisPlace("h", tls=True),
            "rediss://h?ca=/x.pem": RedisPlace("h", tls=True, ca="/x.pem"),
            "unix:///run/r%20s.sock": RedisPlace("", path="/run/r s.sock"),
            "unix://:p@/r.sock?db=3": RedisPlace("", path="/r.sock", db=3, password="p"),
            "redis://h?prefix=x&max_messages=1&max_bytes=2": RedisPlace("h", prefix="x", maxMessages=1, maxBytes=2),
        }.items():
            with self.subTest(text):
                place = parseBus(text)
                self.assertEqual({**vars(place)}, {**vars(expected)})

    def test_wrong(self):
        """
        What is wrong is told, and what would be right; never the password.
        """
        for text, why in {
            "": "a bus is memory:",
            "redis": "it should be redis://",
            "http://:secret@h": "a bus is memory:",
            "redis:h": "there is no host",
            "redis://:secret@": "there is no host",
            "redis://:secret@h:x": "port from 0 to 65535",
            "redis://:secret@h:70000": "port from 0 to 65535",
            "redis://:secret@h/x": "should be a number, not 'x'",
            "redis://:secret@h/1?db=2": "db is there twice",
            "redis://:secret@h?db=-1": "should be a number, not '-1'",
            "redis://:sec#ret@h": "%23",
            "redis://h#x": "%23",
            "redis://h?x=1": "no setting 'x'",
            "redis://h?prefix=": "needs a value",
            "redis://h?prefix": "NAME=VALUE",
            "redis://h?prefix=a&prefix=b": "prefix is there twice",
            "redis://h?prefix=a%20b": "no spaces",
            "redis://h?prefix=a:b": "no colons",
            "redis://h?max_bytes=0": "a number above 0",
            "redis://h?max_messages=many": "a number above 0",
            "redis://h?ca=x": "rediss:// only",
            "redis://u@h": "a user without a password",
            "redis://:secret@h?password_file=x": "a password and a password_file",
            "redis://h?password_file=/nowhere": "No such file",
            "unix://h/x": "unix:///PATH",
            "unix:///": "unix:///PATH",
            "unix:": "unix:///PATH",
        }.items():
            with self.subTest(text):
                error = str(self.assertRaises(ValueError, parseBus, text))
                self.assertIn(why, error)
                self.assertNotIn("sec", error)

    def test_apart(self):
        """
        No two applications with other prefixes or other databases can have a channel of the same name on the server,
        whatever their channels are called; a place that would allow it can't be made.
        """
        with self.assertRaisesRegex(ValueError, "no colons"):
            RedisPlace(prefix="a:0", db=1)
        places = [RedisPlace(prefix=prefix, db=db) for prefix in ("a", "a0", "0") for db in (0, 1, 10)]
        for one in places:
            for other in places:
                same = one.channelPrefix.startswith(other.channelPrefix)
                self.assertEqual(same, one is other, (one.channelPrefix, other.channelPrefix))

    def test_passwordFile(self):
        """
        The password may stand in the first line of a file, where nobody sees it in the list of processes.
        """
        path = self.mktemp()
        for content, expected in ((b"p\xc3\xa4ss\r\nmore\n", "päss"), (b"x", "x")):
            with open(path, "wb") as file:
                file.write(content)
            self.assertEqual(parseBus(f"redis://h?password_file={path}").password, expected)
        for content, why in ((b"\nx", "no password"), (b"\xff", "not UTF-8")):
            with open(path, "wb") as file:
                file.write(content)
            error = self.assertRaises(ValueError, parseBus, f"redis://h?password_file={path}")
            self.assertIn(why, str(error))

    def test_shown(self):
        """
        A place is shown without its password, in a form that describes it.
        """
        for text, shown in {
            "redis://u:secret@h": "redis://h:6379/0",
            "rediss://:secret@[::1]:1/2": "rediss://[::1]:1/2",
            "unix://:secret@/r.sock": "unix:///r.sock?db=0",
        }.items():
            place = parseBus(text)
            self.assertEqual((str(place), repr(place)), (shown, shown))

    def test_notInstalled(self):
        """
        Where the extra is not installed, the error names it.
        """
        with mock.patch.dict(sys.modules, {"txsockjs.bus.redis": None}):
            error = self.assertRaises(ValueError, busFromString, "redis://h")
        self.assertIn("txsockjs[redis]", str(error))

    def test_certificates(self):
        """
        A file of certificates that can't be used is told.
        """
        path = self.mktemp()
        for content, why in ((b"", "no certificate"), (b"\xff", "no PEM")):
            with open(path, "wb") as file:
                file.write(content)
            self.assertIn(why, str(self.assertRaises(ValueError, busFromString, f"rediss://h?ca={path}")))


messages = st.text(st.characters(), max_size=20) | st.binary(max_size=20)


class EnvelopeTests(SynchronousTestCase):
    """
    Tests for L{txsockjs.bus.envelopes}.
    """

    @settings(deadline=None)
    @given(st.lists(messages, min_size=1, max_size=10), st.integers(0, 2**63), st.integers(0, 2**63))
    def test_there(self, messages, number, mark):
        """
        What is packed comes out the same.
        """
        piece = pack("abc", number, mark, [(isinstance(message, bytes), part(message)) for message in messages])
        envelope = unpack(piece)
        self.assertEqual(envelope[:4], ("abc", number, mark, messages))
        self.assertEqual([type(message) for message in envelope.messages], [type(message) for message in messages])
        self.assertEqual(envelope.size, sum(len(part(message)) for message in messages))

    @settings(deadline=None)
    @given(st.binary(max_size=100) | st.binary(max_size=30).map(lambda data: b"1 x 1 1 " + data))
    def test_anything(self, data):
        """
        Anything else is a C{ValueError}, or fits exactly.
        """
        try:
            envelope = unpack(data)
        except ValueError:
            return
        self.assertEqual(len(data.partition(b"\n")[2]), envelope.size)

    def test_seen(self):
        """
        A number that is not above the last one of its origin is known; as many origins are remembered as there may be.
        """
        seen = Seen()
        self.assertEqual(
            [seen.isNew("a", number) for number in (1, 1, 3, 2, 3, 4)], [True, False, True, False, False, True]
        )
        self.assertTrue(seen.isNew("b", 1))
        for number in range(MAX_ORIGINS):
            self.assertTrue(seen.isNew(f"c{number}", 1))
        self.assertTrue(seen.isNew("a", 4))


class StatsTests(SynchronousTestCase):
    """
    Tests for L{BusStats}.
    """

    def test_asDict(self):
        """
        Every counter is there, ready for JSON.
        """
        stats = BusStats()
        self.assertEqual(len(stats.asDict()), len(vars(stats)))
        stats.asDict()["lags"].append(1)
        self.assertEqual(stats.asDict()["lags"], stats.lags)
