# -*- test-case-name: tests.test_encoding -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.encoding}: between bytes and messages.
"""

from __future__ import annotations

import base64
import codecs
import encodings
import pkgutil

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.encoding import UnencodableMessage, lookupEncoding

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def written(decoder, pieces: list[bytes]) -> str:
    """
    The messages that several writes make, joined.
    """
    return "".join(text for text in map(decoder.decode, pieces) if text is not None)


class LookupTests(SynchronousTestCase):
    """
    L{lookupEncoding}.
    """

    def test_names(self):
        """
        Codecs are found by any of their names, and the name that is kept finds the same one again.
        """
        for name in ("utf-8", "UTF8", "utf_8", "latin-1", "ISO-8859-1", "cp1252", "utf-16-le", "base64", "BASE64"):
            encoding = lookupEncoding(name)
            self.assertEqual(lookupEncoding(encoding.name).name, encoding.name)
        self.assertEqual(lookupEncoding("UTF8").name, "utf-8")
        self.assertEqual(lookupEncoding("Base64").name, "base64")

    def test_everyCodecOfPython(self):
        """
        Every codec that Python comes with is either a text codec that makes messages of bytes, or refused.
        """
        for module in pkgutil.iter_modules(encodings.__path__):
            try:
                encoding = lookupEncoding(module.name)
            except ValueError as error:
                self.assertEqual(
                    str(error), f"encoding must be 'base64' or a text codec of Python's, not {module.name!r}"
                )
                continue
            self.assertEqual(lookupEncoding(encoding.name).name, encoding.name)
            for data in (b"", b"abc", b"\xff\xfe\xfd", b"a" * 70 + b"..b"):
                try:
                    text = encoding.decoder().decode(data)
                except ValueError as error:
                    self.assertIn("encoding='latin-1'", str(error))
                else:
                    self.assertTrue(text is None or (text and isinstance(text, str)))
            for message in ("abc", "\ud800", "a..b", "x" * 80, "\U0001f600"):
                try:
                    self.assertIsInstance(encoding.encode(message), bytes)
                except UnencodableMessage:
                    pass

    def test_noTextCodec(self):
        """
        What is no codec, or makes no text of bytes, is refused, and the error says what would be right.
        """
        for name in ("", "utf-9", "hex", "rot13", "zlib", "base64_codec", "\ud800", "a\0b", "../x"):
            error = self.assertRaises(ValueError, lookupEncoding, name)
            self.assertEqual(str(error), f"encoding must be 'base64' or a text codec of Python's, not {name!r}")

    def test_noIncrementalDecoder(self):
        """
        A codec that can't decode piece by piece is refused.
        """

        def find(name):
            if name == "txsockjs_whole_only":
                return codecs.CodecInfo(codecs.utf_8_encode, codecs.utf_8_decode, name=name)
            return None

        codecs.register(find)
        self.addCleanup(codecs.unregister, find)
        self.assertRaises(ValueError, lookupEncoding, "txsockjs_whole_only")


class UTF8Tests(SynchronousTestCase):
    """
    The default.
    """

    def setUp(self):
        self.encoding = lookupEncoding("utf-8")

    @unhurried
    @given(st.text())
    def test_roundTrip(self, text):
        """
        Any text arrives as its UTF-8, and bytes that are UTF-8 leave as their text.
        """
        data = self.encoding.encode(text)
        self.assertEqual(data, text.encode("utf-8"))
        self.assertEqual(self.encoding.decoder().decode(data), text or None)

    def test_loneSurrogate(self):
        """
        A lone surrogate of a client's, which UTF-8 does not have, arrives as U+FFFD.
        """
        self.assertEqual(self.encoding.encode("a\ud800b"), b"a\xef\xbf\xbdb")

    @unhurried
    @given(st.text(), st.data())
    def test_split(self, text, data):
        """
        However bytes are split over writes, no character is lost or torn, and C{pending} tells whether one
        waits.
        """
        whole = text.encode("utf-8")
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
        decoder = self.encoding.decoder()
        seen = b""
        messages = []
        for start, end in zip([0, *cuts], [*cuts, len(whole)]):
            messages.append(decoder.decode(whole[start:end]) or "")
            seen += whole[start:end]
            complete = "".join(messages).encode("utf-8")
            self.assertTrue(seen.startswith(complete))
            self.assertEqual(decoder.pending, complete != seen)
        self.assertEqual("".join(messages), text)

    def test_wait(self):
        """
        Bytes that hold no whole character make no message yet, and neither do no bytes.
        """
        decoder = self.encoding.decoder()
        self.assertIsNone(decoder.decode(b""))
        self.assertIsNone(decoder.decode(b"\xe2\x82"))
        self.assertIsNone(decoder.decode(b""))
        self.assertTrue(decoder.pending)
        self.assertEqual(decoder.decode(b"\xac!"), "\u20ac!")
        self.assertFalse(decoder.pending)

    def test_undecodable(self):
        """
        Bytes that are no UTF-8 are an error that names the option; nothing of them is kept, nor of what
        waited.
        """
        decoder = self.encoding.decoder()
        for bad in (b"ok \xff", b"\xed\xa0\x80", b"\xc0\x80"):
            decoder.decode(b"\xe2\x82")
            error = self.assertRaises(ValueError, decoder.decode, bad)
            self.assertRegex(
                str(error), r"^these bytes are not utf-8 \(.*\); write str, or .* option encoding='latin-1'"
            )
            self.assertFalse(decoder.pending)
            self.assertEqual(decoder.decode(b"fine"), "fine")

    def test_text(self):
        """
        C{str} is its own message, save within a character.
        """
        decoder = self.encoding.decoder()
        self.assertEqual(decoder.encodeText("\xe9"), "\xe9")
        decoder.decode(b"\xe2")
        error = self.assertRaises(ValueError, decoder.encodeText, "x")
        self.assertIn("encoding='utf-8'", str(error))
        decoder.decode(b"\x82\xac")
        self.assertEqual(decoder.encodeText(""), "")

    def test_decodersAreApart(self):
        """
        What waits in one session is nothing to another one.
        """
        first, second = self.encoding.decoder(), self.encoding.decoder()
        first.decode(b"\xe2")
        self.assertFalse(second.pending)
        self.assertEqual(second.decode(b"x"), "x")


class OtherCodecTests(SynchronousTestCase):
    """
    Any other text codec.
    """

    @unhurried
    @given(st.binary())
    def test_latin1(self, data):
        """
        Latin-1 carries any byte one to one, both ways.
        """
        encoding = lookupEncoding("latin-1")
        self.assertEqual(encoding.decoder().decode(data), "".join(map(chr, data)) or None)
        self.assertEqual(encoding.encode("".join(map(chr, data))), data)

    def test_unencodable(self):
        """
        A message with characters that the encoding does not have is told apart from a program's error.
        """
        for name, message in (("latin-1", "\u20ac"), ("ascii", "\xe9"), ("utf-16-le", "\ud800"), ("idna", "a..b")):
            error = self.assertRaises(UnencodableMessage, lookupEncoding(name).encode, message)
            self.assertIn(lookupEncoding(name).name, str(error))

    def test_undecodable(self):
        """
        Codecs that raise nothing more special than C{UnicodeError} are no exception: the option is named,
        nothing is kept.
        """
        decoder = lookupEncoding("utf-16").decoder()
        error = self.assertRaises(ValueError, decoder.decode, b"no byte order mark")
        self.assertIn("encoding='base64'", str(error))
        self.assertFalse(decoder.pending)
        self.assertEqual(decoder.decode("x".encode("utf-16")), "x")

    @unhurried
    @given(st.sampled_from(["utf-16", "utf-32-be", "utf-7", "shift_jis", "iso2022_jp", "gb18030"]), st.data())
    def test_split(self, name, data):
        """
        Codecs with states are fed a byte at a time without loss.
        """
        encoding = lookupEncoding(name)
        text = data.draw(st.text(st.sampled_from("a+-~\u3042\u6f22\r\n\x7e")))
        decoder = encoding.decoder()
        whole = text.encode(name)
        self.assertEqual(
            written(decoder, [whole[index : index + 1] for index in range(len(whole))]), whole.decode(name)
        )


class LenientTests(SynchronousTestCase):
    """
    UTF-8 with another codec to fall back to, as txsockjs 1.x had it.
    """

    def setUp(self):
        self.encoding = lookupEncoding("utf-8+windows-1252")
        self.decoder = self.encoding.decoder()

    def test_name(self):
        """
        The fallback is known by its usual name; it must be a text codec.
        """
        self.assertEqual(self.encoding.name, "utf-8+cp1252")
        for name in ("utf-8+", "utf-8+base64", "utf-8+rot13"):
            self.assertRaises(ValueError, lookupEncoding, name)

    def test_utf8(self):
        """
        What is UTF-8 stays UTF-8, both ways, whatever the fallback lacks.
        """
        self.assertEqual(self.decoder.decode("caf\xe9 \u20ac \U0001f600".encode()), "caf\xe9 \u20ac \U0001f600")
        self.assertEqual(self.encoding.encode("caf\xe9 \U0001f600"), "caf\xe9 \U0001f600".encode())

    def test_fallback(self):
        """
        A write that is no UTF-8 as a whole is read by the fallback; what that can't read either is replaced.
        """
        self.assertEqual(self.decoder.decode(b"caf\xe9"), "caf\xe9")
        self.assertEqual(self.decoder.decode(b"\xc3\xa9 \x80 \x81"), "\xc3\xa9 \u20ac \ufffd")
        self.assertFalse(self.decoder.pending)

    def test_noBytes(self):
        """
        Empty bytes are no message, and text goes as it is.
        """
        self.assertIsNone(self.decoder.decode(b""))
        self.assertEqual(self.decoder.encodeText("\xe9"), "\xe9")


class Base64Tests(SynchronousTestCase):
    """
    C{base64}.
    """

    def setUp(self):
        self.encoding = lookupEncoding("base64")

    @unhurried
    @given(st.binary())
    def test_roundTrip(self, data):
        """
        Each write is one message that holds its bytes, and each message gives its bytes back.
        """
        message = self.encoding.decoder().decode(data)
        self.assertEqual(message, base64.b64encode(data).decode("ascii") or None)
        self.assertEqual(self.encoding.encode(message or ""), data)

    def test_text(self):
        """
        C{str} goes as the bytes of its UTF-8, and nothing ever waits.
        """
        decoder = self.encoding.decoder()
        self.assertEqual(decoder.encodeText("\xe9"), "w6k=")
        self.assertEqual(decoder.encodeText(""), "")
        self.assertFalse(decoder.pending)

    def test_unencodable(self):
        """
        A message that is no base64 is refused.
        """
        for message in ("!", "YQ", "YQ=", "YQ==YQ==", "Y Q==", "YQ==\n", "\xe9", "\ud800", "_-8="):
            error = self.assertRaises(UnencodableMessage, self.encoding.encode, message)
            self.assertEqual(str(error), "a message is not base64")
