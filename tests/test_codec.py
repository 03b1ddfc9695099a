# -*- test-case-name: tests.test_codec -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.codec}: JSON, escaping and frames, also as browsers decode them on each transport.

Text is compared by its UTF-16 code units, as JavaScript sees it: two surrogates that make a pair are one
character.
"""

from __future__ import annotations

import html.parser
import importlib.util
import json
import re
import sys
from types import ModuleType, SimpleNamespace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsockjs import codec
from txsockjs.codec import (
    RAW,
    SOCKJS,
    BrokenJSON,
    DecodeError,
    PayloadExpected,
    SharedMessage,
    decodeMessages,
    encodeMessage,
    encodeText,
    onceForAll,
    quote,
)
from txsockjs.options import Options
from txsockjs.policy import OriginPolicy
from txsockjs.transports.eventsource import EventSource
from txsockjs.transports.htmlfile import HTMLFile
from txsockjs.transports.jsonp import JSONP
from txsockjs.transports.xhr import XHRPolling, XHRStreaming

# No test here is about how long it takes, and each of those that are inherited runs in several classes on purpose.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow])

SURROGATES = st.characters(categories=["Cs"])

#: What has a meaning to something between us and the page's script.
TRICKY = st.sampled_from(
    [
        "</script>",
        "</SCRIPT ",
        "<script>",
        "<!--",
        "-->",
        "<!--<script>",
        "]]>",
        "&lt;",
        "%41",
        "%2f",
        "%252F",
        "%",
        "%zz",
        "%00",
        "%E2%80%A8",
        "\r\n",
        "\r",
        "\n\n",
        "\ndata: x\n\n",
        "\0",
        "\\",
        "\\u003c",
        "\\u2028",
        '"',
        "\\'",
        '"]',
        "*/",
        "\x7f",
        "\x85",
        "\u2028",
        "\u2029",
        "\ufeff",
        "\uffff",
        "\ud83d",
        "\ude00",
        "\U0001f600",
    ]
)

TEXTS = st.lists(st.one_of(st.text(max_size=8), SURROGATES, TRICKY), max_size=6).map("".join)

MESSAGES = st.lists(TEXTS, min_size=1, max_size=5)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)

SHORT_FORMS = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}

ESCAPED_RANGES = (
    (0x0000, 0x001F),
    (0x200C, 0x200F),
    (0x2028, 0x202F),
    (0x2060, 0x206F),
    (0xFFF0, 0xFFFF),
    (0xD800, 0xDFFF),
)


WRITTEN = {
    **{code: f"\\u{code:04x}" for first, last in ESCAPED_RANGES for code in range(first, last + 1)},
    **{ord(character): short for character, short in SHORT_FORMS.items()},
}


def asPrescribed(text: str) -> str:
    """
    Write C{text} as protocol section "Frames" says.
    """
    return '"' + text.translate(WRITTEN) + '"'


def units(text: str) -> bytes:
    """
    What a JavaScript program sees of C{text}.
    """
    return text.encode("utf-16-le", "surrogatepass")


def outcome(function, *args):
    """
    What a call gives or raises, so that two ways of doing the same can be compared.
    """
    try:
        return function(*args)
    except ValueError as error:
        return type(error), str(error)


def strictOrjson() -> ModuleType:
    """
    C{orjson}, or where it is not installed something of the same habits, so that the code which uses it is
    run anyway.
    """
    if codec.orjson is not None:
        return codec.orjson

    def dumps(text: str) -> bytes:
        if re.search("[\ud800-\udfff]", text):
            raise TypeError("str is not valid UTF-8: surrogates not allowed")
        return json.dumps(text, ensure_ascii=False).encode("utf-8")

    def loads(data: bytes) -> object:
        if re.search(rb"\\u[dD][89a-fA-F]", data) or re.search(rb"NaN|Infinity", data):
            raise json.JSONDecodeError("lone leading surrogate in hex escape", "", 0)
        return json.loads(data.decode("utf-8"))

    module = ModuleType("orjson")
    module.dumps, module.loads = dumps, loads
    return module


# -- how a browser undoes what the transports do ----------------------------------------------------------------------


def parseEvents(stream: str) -> list[str]:
    """
    The data of the events in C{stream}, by the rules of HTML's section "Server-sent events".
    """
    events, data = [], []
    for line in re.split("\r\n|\r|\n", stream):
        name, _, value = line.partition(":")
        if not line:
            if data:
                events.append("\n".join(data))
            data = []
        elif name == "data":
            data.append(value.removeprefix(" "))
    return events


def decodeURI(text: str) -> str:
    """
    JavaScript's function of that name (ECMA-262 section 19.2.6.1) for escapes of ASCII: those of reserved
    characters stay.
    """

    def decoded(match: re.Match[str]) -> str:
        if not re.fullmatch("%[0-7][0-9a-fA-F]", match[0]):
            raise ValueError(f"URIError: {match[0]!r}")
        character = chr(int(match[0][1:], 16))
        return match[0] if character in ";/?:@&=+$,#" else character

    return re.sub("%.{0,2}", decoded, text, flags=re.DOTALL)


class ScriptReader(html.parser.HTMLParser):
    """
    Collects what an HTML parser makes of a piece of page.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.elsewhere = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.scripts.append("")

    def handle_endtag(self, tag):
        self.tags.append("/" + tag)

    def handle_data(self, data):
        if self.tags[-1:] == ["script"]:
            self.scripts[-1] += data
        else:
            self.elsewhere += data

    def handle_comment(self, data):
        self.tags.append("comment")


def scriptOf(page: str) -> str:
    """
    The script that a browser runs when this piece of a page comes.

    @raise AssertionError: unless C{page} is one script element, in the eyes of any parser.
    """
    reader = ScriptReader()
    reader.feed(page)
    reader.close()
    assert reader.tags == ["script", "/script"], reader.tags
    assert not reader.elsewhere.strip(), reader.elsewhere
    # Parsers differ in what "<" does within a script; none may be there. A carriage return would become a line feed.
    assert "<" not in reader.scripts[0] and "\r" not in reader.scripts[0] and "\0" not in reader.scripts[0]
    return reader.scripts[0]


def stringArgument(call: str, function: str) -> str:
    """
    The value of the string literal in C{function("...");}, as every edition of ECMAScript reads it.
    """
    match = re.fullmatch(re.escape(function) + r'\(("[^\n\r\u2028\u2029]*")\);', call)
    assert match is not None, call
    return json.loads(match[1])


def dressOf(leafClass, **args):
    """
    How the transport of C{leafClass} dresses frames.
    """

    class Leaf(leafClass):
        def receive(self, request, name, dress, limit, prelude=b""):
            return dress

    request = SimpleNamespace(
        args={name.encode("ascii"): [value] for name, value in args.items()}, setHeader=lambda name, value: None
    )
    options = Options()
    return Leaf(SimpleNamespace(options=options, origins=OriginPolicy(options))).exchange(request, "session")


def messagesIn(frame: str) -> list[str]:
    """
    What sockjs-client makes of an C{a[...]} frame.
    """
    assert frame[0] == "a", frame
    return json.loads(frame[1:])


def encoded(messages: list[str]) -> bytes:
    """
    The one frame that carries C{messages}.
    """
    (frame,) = SOCKJS.frames([SOCKJS.encode(message) for message in messages])
    return frame


# -- the tests --------------------------------------------------------------------------------------------------------


class CodecTests:
    """
    What must hold with either JSON library.
    """

    def test_everyCodePoint(self):
        """
        Each code point of Unicode is written as the protocol says: escaped in six ranges, in short where JSON
        has a short form, verbatim otherwise.
        """
        everything = "".join(map(chr, range(0x110000)))
        self.assertTrue(quote(everything) == asPrescribed(everything))
        noSurrogates = re.sub("[\ud800-\udfff]", "", everything)
        self.assertTrue(quote(noSurrogates) == asPrescribed(noSurrogates))

    @unhurried
    @given(TEXTS)
    def test_quote(self, text):
        """
        Any text is written as the protocol says, and is always valid UTF-8.
        """
        self.assertEqual(quote(text), asPrescribed(text))
        self.assertEqual(encodeMessage(text).decode("utf-8"), asPrescribed(text))

    @unhurried
    @given(st.lists(TEXTS))
    @example([])
    @example(["\ud83d", "\ude00"])
    def test_roundTrip(self, messages):
        """
        What one side encodes the other side decodes, whatever the text; surrogates next to each other become
        one character.
        """
        frame = encoded(messages)
        self.assertEqual(frame[:1], b"a")
        self.assertEqual(list(map(units, decodeMessages(frame[1:]))), list(map(units, messages)))

    @unhurried
    @given(st.lists(TEXTS), st.booleans(), st.sampled_from(["", " ", "\r\n\t "]))
    def test_decodeAnyJSON(self, messages, ascii, space):
        """
        Messages are decoded however the client's JSON escapes them and spaces them out.
        """
        text = json.dumps(messages, ensure_ascii=ascii, indent=len(space) or None)
        if not ascii:
            text = re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04X}", text)
        body = (space + text + space).encode("utf-8")
        self.assertEqual(list(map(units, decodeMessages(body))), list(map(units, messages)))
        self.assertEqual(decodeMessages(body, single=True), decodeMessages(body))

    @unhurried
    @given(JSON_VALUES)
    def test_decodeOtherJSON(self, value):
        """
        JSON that is no array of strings is told from JSON that is broken.
        """
        body = json.dumps(value).encode("ascii")
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            self.assertEqual(list(map(units, decodeMessages(body))), list(map(units, value)))
        else:
            error = self.assertRaises(PayloadExpected, decodeMessages, body)
            self.assertEqual(str(error), "Payload expected.")

    @unhurried
    @given(TEXTS)
    def test_decodeSingle(self, text):
        """
        One JSON string alone is a message where that is welcome, and no payload where it is not.
        """
        body = encodeMessage(text)
        self.assertEqual(list(map(units, decodeMessages(body, single=True))), [units(text)])
        self.assertRaises(PayloadExpected, decodeMessages, body)

    def test_decodeEmpty(self):
        """
        An empty body is no payload; an empty array is a payload without messages.
        """
        self.assertRaises(PayloadExpected, decodeMessages, b"")
        self.assertRaises(PayloadExpected, decodeMessages, b"", single=True)
        self.assertEqual(decodeMessages(b"[]"), [])

    def test_decodeNoStrings(self):
        """
        An array of anything but strings is no payload, single strings welcome or not.
        """
        for body in (b"[1]", b'["a",null]', b'["a",["b"]]', b"{}", b"0", b"null", b"true", b"[NaN]"):
            self.assertRaises(PayloadExpected, decodeMessages, body)
            self.assertRaises(PayloadExpected, decodeMessages, body, single=True)

    def test_decodeBroken(self):
        """
        What does not parse is broken: cut off, not UTF-8, with a byte order mark, with raw control
        characters, too deep.
        """
        for body in (
            b" ",
            b'["x',
            b'["x"]]',
            b'["x",]',
            b"['x']",
            b'["\xff"]',
            b'["\xed\xa0\x80"]',
            b'\xef\xbb\xbf["x"]',
            b'["\n"]',
            b'["\\x41"]',
            b'["\\ud80"]',
            b"[" * 100000,
            b"[" * 100000 + b"]" * 100000,
        ):
            error = self.assertRaises(BrokenJSON, decodeMessages, body)
            self.assertEqual(str(error), "Broken JSON encoding.")

    def test_decodeLoneSurrogates(self):
        """
        Lone surrogates are legal in JSON, whichever half, in whatever place.
        """
        self.assertEqual(decodeMessages(b'["\\ud800"]'), ["\ud800"])
        self.assertEqual(decodeMessages(b'["a\\uDC00b","\\ude00\\ud83d"]'), ["a\udc00b", "\ude00\ud83d"])
        self.assertEqual(decodeMessages(b'["\\ud83d\\ude00"]'), ["\U0001f600"])

    @unhurried
    @given(st.integers(1000, 4999), TEXTS)
    def test_closeFrame(self, code, reason):
        """
        A close frame is the code and the reason, which is escaped as messages are.
        """
        frame = SOCKJS.close(code, reason)
        self.assertEqual(frame.decode("utf-8"), f"c[{code},{asPrescribed(reason)}]")

    # -- as a browser decodes it ----------------------------------------------------------------------------------

    @unhurried
    @given(MESSAGES)
    def test_xhr(self, messages):
        """
        The XHR transports end a frame by a line feed, and none is within it.
        """
        for leaf in (XHRPolling, XHRStreaming):
            text = dressOf(leaf)(encoded(messages)).decode("utf-8")
            self.assertEqual(text.index("\n"), len(text) - 1)
            self.assertEqual(list(map(units, messagesIn(text[:-1]))), list(map(units, messages)))

    @unhurried
    @given(MESSAGES)
    @example(["%41"])
    @example(["%2F%2f/;%25"])
    def test_eventsource(self, messages):
        """
        A frame is one event, and what the client's decodeURI makes of its data is the frame.
        """
        dressed = dressOf(EventSource)(encoded(messages))
        (data,) = parseEvents(dressed.decode("utf-8"))
        self.assertEqual(list(map(units, messagesIn(decodeURI(data)))), list(map(units, messages)))

    def test_eventsourceControls(self):
        """
        Line ends and NUL in a frame would end its event or be lost, so that they are percent-escaped, as %
        is.
        """
        dressed = dressOf(EventSource)(b"x\r\n\0%0D\xc3\xa9/")
        self.assertEqual(dressed, b"data: x%0D%0A%00%250D\xc3\xa9/\r\n\r\n")

    @unhurried
    @given(MESSAGES)
    @example(["</script>"])
    @example(["<!--<script>"])
    def test_htmlfile(self, messages):
        """
        A frame is one script element whatever is in it, and the script's function is given the frame.
        """
        page = dressOf(HTMLFile, c=b"parent_1")(encoded(messages)).decode("utf-8")
        self.assertTrue(page.startswith("<script>\np(") and page.endswith(");\n</script>\r\n"), page)
        argument = stringArgument(scriptOf(page).strip("\n"), "p")
        self.assertEqual(list(map(units, messagesIn(argument))), list(map(units, messages)))

    @unhurried
    @given(MESSAGES)
    def test_jsonp(self, messages):
        """
        A frame is one call of the page's function, after a comment.
        """
        script = dressOf(JSONP, c=b"_jp.a-1")(encoded(messages)).decode("utf-8")
        self.assertEqual((script[:4], script[-2:]), ("/**/", "\r\n"))
        argument = stringArgument(script[4:-2], "_jp.a-1")
        self.assertEqual(list(map(units, messagesIn(argument))), list(map(units, messages)))


class StandardCodecTests(CodecTests, SynchronousTestCase):
    """
    With the standard library's C{json}.
    """

    def setUp(self):
        self.patch(codec, "_dumps", codec._dumpsStandard)
        self.patch(codec, "_loads", codec._loadsStandard)


class FastCodecTests(CodecTests, SynchronousTestCase):
    """
    With C{orjson}.
    """

    def setUp(self):
        self.patch(codec, "orjson", strictOrjson())
        self.patch(codec, "_dumps", codec._dumpsFast)
        self.patch(codec, "_loads", codec._loadsFast)


class ChoiceTests(SynchronousTestCase):
    """
    Which JSON library is used, and that it makes no difference.
    """

    def setUp(self):
        self.patch(codec, "orjson", strictOrjson())

    def load(self, orjson):
        """
        @return: the module as it is when it is imported with this C{orjson}; L{None} means that there is none.
        """
        present = "orjson" in sys.modules
        before = sys.modules.get("orjson")
        sys.modules["orjson"] = orjson
        try:
            spec = importlib.util.spec_from_file_location("txsockjs_codec_again", codec.__file__)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        finally:
            if present:
                sys.modules["orjson"] = before
            else:
                del sys.modules["orjson"]
        return module

    def test_with(self):
        """
        Where orjson is installed, it does the work.
        """
        module = self.load(codec.orjson)
        self.assertIs(module._dumps, module._dumpsFast)
        self.assertIs(module._loads, module._loadsFast)
        self.assertEqual(module.encodeMessage("\ud800\u2028"), b'"\\ud800\\u2028"')

    def test_without(self):
        """
        Where orjson is missing, the standard library does the work.
        """
        module = self.load(None)
        self.assertIs(module._dumps, module._dumpsStandard)
        self.assertIs(module._loads, module._loadsStandard)
        self.assertEqual(module.encodeMessage("\ud800\u2028"), b'"\\ud800\\u2028"')
        self.assertEqual(module.decodeMessages(b'["\\ud800"]'), ["\ud800"])

    @unhurried
    @given(TEXTS)
    def test_sameText(self, text):
        """
        Both libraries write the same JSON.
        """
        self.assertEqual(codec._dumpsFast(text), codec._dumpsStandard(text))

    @unhurried
    @given(
        st.one_of(
            st.binary(),
            TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
            JSON_VALUES.map(lambda value: json.dumps(value).encode("ascii")),
            st.tuples(JSON_VALUES, st.integers(0, 30)).map(lambda pair: json.dumps(pair[0]).encode("ascii")[: pair[1]]),
        )
    )
    @example(b"[" + b"9" * 5000 + b"]")
    @example(b"[1e999]")
    @example(b"[-Infinity]")
    @example(b'["a\x00"]')
    def test_sameMeaning(self, data):
        """
        Both libraries find the same messages, or the same fault, in anything that a client may send.
        """
        outcomes = []
        for loads in (codec._loadsFast, codec._loadsStandard):
            self.patch(codec, "_loads", loads)
            outcomes.append(outcome(decodeMessages, data))
        self.assertEqual(outcomes[0], outcomes[1])


class PlainTextTests(SynchronousTestCase):
    """
    L{encodeText}, for where there is no JSON.
    """

    @unhurried
    @given(TEXTS)
    def test_surrogates(self, text):
        """
        Text is UTF-8; each surrogate that is not half of a pair becomes U+FFFD.
        """
        pair = "[\ud800-\udbff][\udc00-\udfff]"
        joined = re.sub(pair, lambda match: units(match[0]).decode("utf-16-le"), text)
        self.assertEqual(encodeText(text).decode("utf-8"), re.sub("[\ud800-\udfff]", "\ufffd", joined))


class FramingTests(SynchronousTestCase):
    """
    L{SOCKJS} and L{RAW}.
    """

    def test_sockjs(self):
        """
        The frames of SockJS.
        """
        self.assertEqual((SOCKJS.opening, SOCKJS.heartbeat), (b"o", b"h"))
        messages = [SOCKJS.encode(text) for text in ("m1", "m2", "")]
        self.assertEqual(SOCKJS.frames(messages), [b'a["m1","m2",""]'])
        self.assertEqual(SOCKJS.close(3000, "Go away!"), b'c[3000,"Go away!"]')

    def test_raw(self):
        """
        Without framing each message is a frame of its own, in order, and there are no others.
        """
        self.assertIsNone(RAW.opening)
        self.assertIsNone(RAW.heartbeat)
        messages = [RAW.encode(text) for text in ("m1", "\xe9", "", "\ud800")]
        self.assertEqual(RAW.frames(iter(messages)), [b"m1", b"\xc3\xa9", b"", b"\xef\xbf\xbd"])
        self.assertIsNone(RAW.close(3000, "Go away!"))

    def test_sharedMessage(self):
        """
        A message for many is encoded once for each framing, and once for each prefix.
        """
        calls = []

        class Counting:
            def encode(self, text):
                calls.append(text)
                return text.encode("utf-8")

        framing = Counting()
        message = SharedMessage("m")
        self.assertEqual([message.encoded(framing), message.encoded(framing)], [b"m", b"m"])
        self.assertEqual((message.encoded(SOCKJS), message.encoded(RAW)), (b'"m"', b"m"))
        self.assertIs(message.prefixed("p,"), message.prefixed("p,"))
        self.assertEqual([message.prefixed("p,").encoded(framing)] * 2, [b"p,m"] * 2)
        self.assertEqual(message.prefixed("q,").encoded(framing), b"q,m")
        self.assertEqual(calls, ["m", "p,m", "q,m"])


class ErrorTests(SynchronousTestCase):
    """
    What decoding raises.
    """

    def test_hierarchy(self):
        """
        Both errors are decode errors, and their texts are the answers that the protocol prescribes.
        """
        for error, text in ((PayloadExpected(), "Payload expected."), (BrokenJSON(), "Broken JSON encoding.")):
            self.assertIsInstance(error, DecodeError)
            self.assertIsInstance(error, ValueError)
            self.assertEqual(str(error), text)


class OnceForAllTests(SynchronousTestCase):
    """
    L{onceForAll}.
    """

    def test_sameOneAgain(self):
        """
        The object that came last is not dressed again, whoever asks; any other one is, be it equal to that or not.
        """
        seen = []

        def dress(text):
            seen.append(text)
            return b"<" + text + b">"

        dressed = onceForAll(dress)
        one, equal, other = bytes([120, 121]), bytes([120, 121]), b""
        answers = [dressed(text) for text in (one, one, one, equal, other, other, one)]
        self.assertEqual(answers, [b"<xy>"] * 4 + [b"<>"] * 2 + [b"<xy>"])
        self.assertEqual([id(text) for text in seen], [id(one), id(equal), id(other), id(one)])
