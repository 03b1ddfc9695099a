# -*- test-case-name: tests.conformance.test_frames -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Frames on their way to the client: what they say, how they are dressed, and where a response ends.
"""

from __future__ import annotations

from tests.conformance.case import (
    ANY,
    EVENTSOURCE,
    HTMLFILE,
    HTTP,
    JSONP,
    POLLING,
    STREAMING,
    ConformanceCase,
    HTTPSession,
    Receiver,
    Transport,
    messages,
    over,
    together,
)
from tests.wire import TEXT

__all__ = ["CallbackTests", "DressingTests", "EscapingTests", "FrameTests", "LimitTests"]

#: Texts on which one layer of dressing or another has choked somewhere.
AWKWARD = [
    "",
    " ",
    "  leading and trailing  ",
    "</script>",
    "</SCRIPT ><script>alert(1)</script>",
    "<!-- <script>",
    "--> ]]>",
    "%41 %0A %25 %%",
    "a+b&c=d;e",
    "\U0001f600 \U00010000 \U0010ffff",
    "\u2028\u2029\u200c\u200f\ufeff\ufff0\uffff",
    "'single' \"double\" `back`",
    "back\\slash \\u0041 \\n",
    "\0 \x01 \x1f \x7f \x80 \x9f",
    "tab\t lf\n crlf\r\n cr\r ff\f bs\b",
    '\r\n\r\ndata: c[3000,"forged"]\r\n\r\n',
    ");\r\n</script>\r\n",
    "\xe9\u4e2d\u0430\u05d0",
    '["x"]',
    "o",
    'a["x"]',
]


def quoted(text: str) -> str:
    """
    The one way in which a server writes C{text} in a frame.
    """
    short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    ranges = ((0x0, 0x1F), (0x200C, 0x200F), (0x2028, 0x202F), (0x2060, 0x206F), (0xFFF0, 0xFFFF), (0xD800, 0xDFFF))
    units = text.encode("utf-16-be", "surrogatepass")
    out = []
    for at in range(0, len(units), 2):
        code = units[at] << 8 | units[at + 1]
        if chr(code) in short:
            out.append(short[chr(code)])
        elif any(low <= code <= high for low, high in ranges):
            out.append(f"\\u{code:04x}")
        else:
            out.append(chr(code))
    return '"' + "".join(out) + '"'


class FrameTests(ConformanceCase):
    """
    What frames say.
    """

    @over(*ANY)
    async def test_open(self, transport: Transport) -> None:
        """
        The first frame of every session is C{o}, whatever the service.
        """
        for base in ("/echo", "/close", "/ticker", "/amplify", "/broadcast", "/cookie_needed_echo"):
            await self.session(transport, base).open()

    @over(*ANY)
    async def test_oneMessage(self, transport: Transport) -> None:
        """
        A message travels as an array of one JSON string, without any space.
        """
        session = await self.session(transport).open()
        await session.send("x")
        self.assertEqual(await session.frame(), 'a["x"]')

    @over(*ANY)
    async def test_order(self, transport: Transport) -> None:
        """
        Messages come in the order of sending, in as many frames as the server likes.
        """
        session = await self.session(transport).open()
        sent = [str(number) for number in range(100)]
        for at in range(0, 100, 20):
            await session.send(*sent[at : at + 20])
        self.assertEqual(await session.messages(100), sent)

    @over(*ANY)
    async def test_close(self, transport: Transport) -> None:
        """
        The close frame holds code and reason, without any space.
        """
        session = await self.session(transport, "/close").open()
        self.assertEqual(await session.frame(), 'c[3000,"Go away!"]')


class DressingTests(ConformanceCase):
    """
    How each transport wraps a frame.
    """

    @over(*HTTP)
    async def test_head(self, transport: Transport) -> None:
        """
        A receiving response is 200 with the content type of its transport.
        """
        receiver = await self.session(transport).receive()
        headers = (await receiver.response()).headers
        self.assertEqual(headers.get("Content-Type"), transport.contentType)
        if transport is JSONP:
            self.assertEqual(headers.get("X-Content-Type-Options"), "nosniff")

    @over(*STREAMING)
    async def test_streamedChunks(self, transport: Transport) -> None:
        """
        Prelude, open frame and every later frame are a chunk each.
        """
        session = await self.session(transport).open()
        receiver = session.receiver
        self.assertTrue((await receiver.response()).chunked)
        for number in range(10):
            # Undressing fails when a chunk is more or less than one frame.
            await session.send(str(number))
            self.assertEqual(await receiver.frame(), f'a["{number}"]')

    @over(*STREAMING)
    async def test_crowdedChunks(self, transport: Transport) -> None:
        """
        Frames that are written at the same time still are a chunk each.
        """
        session = await self.session(transport, "/close").open()
        self.assertEqual(await session.receiver.rest(), ['c[3000,"Go away!"]'])

    @over(*POLLING)
    async def test_polledChunk(self, transport: Transport) -> None:
        """
        A poll is one chunk with one frame and then ends.
        """
        session = self.session(transport)
        receiver = await session.receive()
        self.assertEqual(await receiver.rest(), ["o"])
        await session.send("x", "y")
        receiver = await session.receive()
        self.assertEqual(await receiver.rest(), ['a["x","y"]'])

    @over(*POLLING)
    async def test_polledLate(self, transport: Transport) -> None:
        """
        A poll that waits is answered when there is a message.
        """
        session = await (await self.session(transport).open()).rested()
        receiver = await session.receive()
        await session.send("x")
        self.assertEqual(await receiver.rest(), ['a["x"]'])

    @over(*HTTP)
    async def test_bytes(self, transport: Transport) -> None:
        """
        The dressed frames are the known ones to the last byte.
        """
        session = self.session(transport)
        receiver = await session.receive(callback="cb")
        chunks = [await (await receiver.response()).chunk()]
        if not transport.streams:
            self.assertIsNone(await (await receiver.response()).chunk())
        await session.send('x" %')
        if not transport.streams:
            receiver = await session.receive(callback="cb")
        chunks.append(await (await receiver.response()).chunk())
        self.assertEqual(
            chunks,
            {
                "xhr": [b"o\n", b'a["x\\" %"]\n'],
                "xhr_streaming": [b"o\n", b'a["x\\" %"]\n'],
                "eventsource": [b"data: o\r\n\r\n", b'data: a["x\\" %25"]\r\n\r\n'],
                "htmlfile": [
                    b'<script>\np("o");\n</script>\r\n',
                    b'<script>\np("a[\\"x\\\\\\" %\\"]");\n</script>\r\n',
                ],
                "jsonp": [b'/**/cb("o");\r\n', b'/**/cb("a[\\"x\\\\\\" %\\"]");\r\n'],
            }[transport.name],
        )

    @over(*HTTP)
    async def test_http10(self, transport: Transport) -> None:
        """
        Under HTTP/1.0 the same bytes come without chunks, and the body ends with the connection.
        """
        session = self.session(transport, "/close")
        body = b"" if transport.method == "POST" else None
        path = transport.path("/close" + session.path, "cb")
        response, content = await self.client.fetch(transport.method, path, body=body, version="1.0")
        self.assertEqual(response.status, 200)
        self.assertFalse(response.chunked)
        self.assertNotIn("Transfer-Encoding", response.headers)
        frames = {
            "xhr": [b"o\n"],
            "xhr_streaming": [b"h" * 2048 + b"\n", b"o\n", b'c[3000,"Go away!"]\n'],
            "eventsource": [b"\r\n", b"data: o\r\n\r\n", b'data: c[3000,"Go away!"]\r\n\r\n'],
            "htmlfile": [
                b'<script>\np("o");\n</script>\r\n',
                b'<script>\np("c[3000,\\"Go away!\\"]");\n</script>\r\n',
            ],
            "jsonp": [b'/**/cb("o");\r\n'],
        }[transport.name]
        if transport is HTMLFILE:
            page, separator, content = content.partition(b"\r\n\r\n")
            transport.checkPrelude(page + separator, "cb")
        self.assertEqual(content, b"".join(frames))

    @over(*STREAMING)
    async def test_http10Streams(self, transport: Transport) -> None:
        """
        Under HTTP/1.0 a streaming response brings each frame when it is written, and not at the end.
        """
        session = self.session(transport)
        body = b"" if transport.method == "POST" else None
        response = await self.client.request(
            transport.method, transport.path("/echo" + session.path), body=body, version="1.0"
        )
        await self.arrives(response, b"o")
        await session.send("one")
        await self.arrives(response, b"one")
        await session.send("x" * 4096)
        await response.body()
        await response.wire.gone()

    async def arrives(self, response, text: bytes) -> None:
        """
        Read until C{text} has come.
        """
        found = b""
        while text not in found:
            piece = await response.chunk()
            self.assertIsNotNone(piece, f"the response ended without {text!r}")
            found += piece

    async def test_websocketFrames(self) -> None:
        """
        On a WebSocket every frame is a text message of its own, with nothing around it.
        """
        socket = await self.client.websocket(f"/echo{self.newPath()}/websocket")
        frame = await socket.frame()
        self.assertEqual((frame.fin, frame.opcode, frame.payload), (True, TEXT, b"o"))
        socket.sendText('["x"]')
        frame = await socket.frame()
        self.assertEqual((frame.fin, frame.opcode, frame.payload), (True, TEXT, b'a["x"]'))


class EscapingTests(ConformanceCase):
    """
    Characters that need care.
    """

    @over(*ANY)
    async def test_everyCharacter(self, transport: Transport) -> None:
        """
        Each character of the basic plane is written in the one right way, escaped or not.
        """
        session = await self.session(transport).open()
        for start in range(0, 0x10000, 0x800):
            if 0xD800 <= start <= 0xDFFF:
                continue
            text = "".join(map(chr, range(start, start + 0x800)))
            await session.send(text)
            self.assertEqual(await session.frame(), f"a[{quoted(text)}]", hex(start))

    @over(*ANY)
    async def test_otherPlanes(self, transport: Transport) -> None:
        """
        Characters beyond the basic plane are written as two escaped surrogates, or as they are.
        """
        session = await self.session(transport).open()
        await session.send("\U00010000\U0001f600\U0010ffff")
        # Servers that think in UTF-16 see surrogates here, those that think in characters do not.
        frames = (r'a["\ud800\udc00\ud83d\ude00\udbff\udfff"]', 'a["\U00010000\U0001f600\U0010ffff"]')
        self.assertIn(await session.frame(), frames)

    @over(*ANY)
    async def test_shortForms(self, transport: Transport) -> None:
        """
        The short escapes of JSON are used where there are some, and slashes are not escaped.
        """
        session = await self.session(transport).open()
        await session.send('\b\t\n\f\r"\\/\x0b\x7f')
        self.assertEqual(await session.frame(), r'a["\b\t\n\f\r\"\\/\u000b' + '\x7f"]')

    @over(*ANY)
    async def test_awkward(self, transport: Transport) -> None:
        """
        What is markup, framing or quoting on some layer arrives as it was sent.
        """
        session = await self.session(transport).open()
        for text in AWKWARD:
            await session.send(text)
            self.assertEqual(await session.messages(1), [text])
        await session.send(*AWKWARD)
        self.assertEqual(await session.messages(len(AWKWARD)), AWKWARD)

    async def test_percent(self) -> None:
        """
        Over eventsource, whose clients unescape percents, every percent is escaped and nothing else is.
        """
        session = await self.session(EVENTSOURCE).open()
        await session.send("%41 100% \r\n\0 <>&'+")
        chunk = await (await session.receiver.response()).chunk()
        self.assertEqual(chunk, b'data: a["%2541 100%25 \\r\\n\\u0000 <>&\'+"]\r\n\r\n')


class LimitTests(ConformanceCase):
    """
    How much one response carries.  The limit of C{/echo} is 4096 bytes.
    """

    async def filled(self, session: HTTPSession, size: int) -> Receiver:
        """
        Open a session and let its first response carry C{size} bytes of dressed frames.
        """
        receiver = (await session.open()).receiver
        before = receiver.size
        await session.send("x" * 10)
        await receiver.frame()
        overhead = receiver.size - before - 10
        await session.send("x" * (size - receiver.size - overhead))
        await receiver.frame()
        self.assertEqual(receiver.size, size)
        return receiver

    async def assertGoesOn(self, session: HTTPSession, receiver: Receiver) -> None:
        """
        Fail unless the next message still goes to C{receiver}.
        """
        await session.send("on")
        self.assertEqual(await receiver.frame(), 'a["on"]', "the response ended too soon")

    async def assertEnded(self, session: HTTPSession, receiver: Receiver) -> None:
        """
        Fail unless C{receiver} is at its end, and the next message goes to the next receiver.
        """
        await session.send("next")
        self.assertIsNone(await receiver.frame(), "the response goes on beyond its limit")
        self.assertEqual(messages(await (await session.receive()).frame()), ["next"])

    @over(*STREAMING)
    async def test_oneLess(self, transport: Transport) -> None:
        """
        One byte under the limit, the response goes on; the frame that passes it is the last.
        """
        session = self.session(transport)
        receiver = await self.filled(session, 4095)
        await self.assertGoesOn(session, receiver)
        await self.assertEnded(session, receiver)

    @over(*STREAMING)
    async def test_exactly(self, transport: Transport) -> None:
        """
        The frame that reaches the limit is the last; the prelude does not count.
        """
        session = self.session(transport)
        receiver = await self.filled(session, 4096)
        await self.assertEnded(session, receiver)

    @over(*STREAMING)
    async def test_oneBigFrame(self, transport: Transport) -> None:
        """
        A frame beyond the limit is delivered whole.
        """
        session = await self.session(transport).open()
        await session.send("x" * 10000)
        self.assertEqual(await session.receiver.rest(), ['a["' + "x" * 10000 + '"]'])

    @over(*STREAMING)
    async def test_bytesAreCounted(self, transport: Transport) -> None:
        """
        The limit is one of bytes and not of characters.
        """
        session = await self.session(transport).open()
        receiver = session.receiver
        for _ in range(2):
            await session.send("\u4e2d" * 800)
            self.assertEqual(messages(await receiver.frame()), ["\u4e2d" * 800])
        self.assertTrue(receiver.size >= 4096, receiver.size)
        await self.assertEnded(session, receiver)

    @over(*STREAMING)
    async def test_default(self, transport: Transport) -> None:
        """
        The limit of a service that names none is 131072 bytes.
        """
        session = await self.session(transport, "/amplify").open()
        receiver = session.receiver
        await session.send("1")
        before = receiver.size
        self.assertEqual(messages(await receiver.frame()), ["xx"])
        overhead = receiver.size - before - 2
        # Ever smaller powers of two lead to the limit; each that stays below it must leave the response open.
        for power in range(16, 0, -1):
            while receiver.size + overhead + 2**power < 131072:
                await session.send(str(power))
                self.assertEqual(messages(await receiver.frame()), ["x" * 2**power])
        await session.send("5")
        self.assertEqual(messages(await receiver.frame()), ["x" * 32])
        self.assertTrue(131072 <= receiver.size < 131072 + 64 + overhead)
        await session.send("1")
        self.assertIsNone(await receiver.frame(), "the response goes on beyond its limit")
        self.assertEqual(messages(await (await session.receive()).frame()), ["xx"])

    @over(*STREAMING)
    async def test_sameSession(self, transport: Transport) -> None:
        """
        The response after the one that ended carries the session on, without another open frame.
        """
        session = await self.session(transport).open()
        for number in range(3):
            await session.send("x" * 4096, str(number))
            self.assertEqual(await session.messages(2), ["x" * 4096, str(number)])

    @over(*HTTP)
    async def test_nothingIsLost(self, transport: Transport) -> None:
        """
        What is written while one response ends and the next begins arrives, once and in order.
        """
        session = await self.session(transport).open()
        sent = [f"{number} " + "x" * (number * 7 % 400) for number in range(400)]

        async def send() -> list[str]:
            for at in range(0, len(sent), 8):
                await session.send(*sent[at : at + 8])
            return sent

        _, found = await together(send(), session.messages(len(sent)))
        self.assertEqual(found, sent)
        await session.send("end")
        self.assertEqual(await session.messages(1), ["end"])


class CallbackTests(ConformanceCase):
    """
    The function that htmlfile and jsonp call.
    """

    @over(HTMLFILE, JSONP)
    async def test_names(self, transport: Transport) -> None:
        """
        The callback is taken from C{c} or C{callback}, percent-decoded, and put where it is called.
        """
        for query, callback in (
            ("c=callback", "callback"),
            ("callback=callback", "callback"),
            ("c=%63allback", "callback"),
            ("t=1&c=x", "x"),
            ("c=_sockjs.abc-1.D9", "_sockjs.abc-1.D9"),
            ("c=" + "x" * 32, "x" * 32),
        ):
            path = f"/echo{self.newPath()}/{transport.name}?{query}"
            response = await self.client.request("GET", path)
            self.assertEqual(response.status, 200, query)
            if transport.prelude:
                transport.checkPrelude(await response.chunk(), callback)
            self.assertEqual(transport.undress(await response.chunk(), callback), "o")

    @over(HTMLFILE, JSONP)
    async def test_missing(self, transport: Transport) -> None:
        """
        Without a callback the request is refused.
        """
        for query in ("", "?", "?a=b", "?C=x"):
            response, body = await self.client.fetch("GET", f"/echo{self.newPath()}/{transport.name}{query}")
            self.assertEqual(response.status, 500, query)
            self.assertEqual(body.strip(), b'"callback" parameter required')

    @over(HTMLFILE, JSONP)
    async def test_invalid(self, transport: Transport) -> None:
        """
        A callback with any other character is refused, and the session is not opened.
        """
        for callback in (
            "%20",
            "*",
            "abc(",
            "abc%28",
            "abc%0A",
            "%0Aabc",
            "a%00",
            "a/b",
            "a'b",
            "a%22b",
            "a%3Cb",
            "a%3B",
            "a%2Bb",
            "a+b",
            "a%5Bb",
            "%C3%A9",
            "a%E2%80%A8",
            "%D9%A1",
            "%FF",
        ):
            session = self.newPath()
            for name in ("c", "callback"):
                response, body = await self.client.fetch("GET", f"/echo{session}/{transport.name}?{name}={callback}")
                self.assertEqual(response.status, 500, callback)
                self.assertEqual(body.strip(), b'invalid "callback" parameter')
            response, _ = await self.client.fetch("POST", f"/echo{session}/xhr_send", body=b'["x"]')
            self.assertEqual(response.status, 404)

    async def test_long(self) -> None:
        """
        More than 32 characters are too many for jsonp, and no matter for htmlfile.
        """
        for length in (33, 100):
            response, body = await self.client.fetch("GET", f"/echo{self.newPath()}/jsonp?c={'x' * length}")
            self.assertEqual((response.status, body.strip()), (500, b'invalid "callback" parameter'))
            response = await self.client.request("GET", f"/echo{self.newPath()}/htmlfile?c={'x' * length}")
            self.assertEqual(response.status, 200)
            HTMLFILE.checkPrelude(await response.chunk(), "x" * length)

    async def test_laterPolls(self) -> None:
        """
        Every poll is answered with its own callback.
        """
        session = self.session(JSONP)
        for callback in ("one", "two", "three"):
            receiver = await session.receive(callback=callback)
            self.assertIn(await receiver.frame(), ("o", 'a["x"]'))
            await session.send("x")
