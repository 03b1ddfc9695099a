# -*- test-case-name: tests.conformance.test_messages -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Messages on their way to the server: how they are taken, and what is refused.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from tests.conformance.case import (
    ANY,
    EVENTSOURCE,
    HTMLFILE,
    JSONP,
    WEBSOCKET,
    XHR,
    XHR_STREAMING,
    ConformanceCase,
    HTTPSession,
    Transport,
    messages,
    over,
)
from tests.wire import TEXT, Response, WebSocketClient

__all__ = ["JsonpSendTests", "SurrogateTests", "WebSocketMessageTests", "XhrSendTests"]

FORM = "application/x-www-form-urlencoded"

#: Bodies that are JSON, but no array.
NO_ARRAY = ("{}", "1", "0", "null", "true", "false", '"x"', '""', '{"0":"x"}')

#: Bodies that are not JSON.
BROKEN = ('["x', "[", "]", '["x"', '["x"]]', '["a",]', "x", "['x']", "[x]", "{", '["\n"]', '["\\x"]')


class XhrSendTests(ConformanceCase):
    """
    C{xhr_send}.
    """

    def assertTaken(self, answer: tuple[Response, bytes], what: object = None) -> None:
        """
        Fail unless the server took the message.
        """
        response, body = answer
        self.assertEqual((response.status, body), (204, b""), what)
        self.assertEqual(response.headers.get("Content-Type"), "text/plain; charset=UTF-8")

    @over(XHR, XHR_STREAMING, EVENTSOURCE, HTMLFILE)
    async def test_taken(self, transport: Transport) -> None:
        """
        An array of strings is taken, for a session over any transport, and the answer is an empty 204 in plain text.
        """
        session = await self.session(transport).open()
        self.assertTaken(await session.post(b'["x","y"]'))
        self.assertEqual(await session.messages(2), ["x", "y"])

    async def assertTypes(self, types: tuple[object, ...]) -> None:
        """
        Fail unless a message is taken under each of the types.
        """
        session = await self.session(XHR).open()
        for number, contentType in enumerate(types):
            text = f"{number} \xe9 %41+&d=["
            body = json.dumps([text], ensure_ascii=False).encode("utf-8")
            self.assertTaken(await session.post(body, contentType), contentType)
            self.assertEqual(await session.messages(1), [text], contentType)

    async def test_contentTypes(self) -> None:
        """
        The content types that browsers send are all the same to the server.
        """
        plain = ("text/plain", "T", "application/json", "application/xml", "text/xml", "", None)
        await self.assertTypes(plain)
        await self.assertTypes(tuple(f"{one}; charset=utf-8" for one in plain if one))
        await self.assertTypes(tuple(f"{one};charset=UTF-8" for one in plain if one))

    async def test_otherContentTypes(self) -> None:
        """
        So is any other content type, also one of a form.
        """
        await self.assertTypes(
            (FORM, "multipart/form-data; boundary=x", "multipart/form-data", "application/octet-stream", "a/b;", ";")
        )

    async def test_utf8(self) -> None:
        """
        The body is UTF-8, escaped or not.
        """
        session = await self.session(XHR).open()
        text = "\xe9\u4e2d\U0001f600\u2028\x7f"
        for ascii in (True, False):
            self.assertTaken(await session.post(json.dumps([text], ensure_ascii=ascii).encode("utf-8")))
            self.assertEqual(await session.messages(1), [text])

    async def test_space(self) -> None:
        """
        White space around the JSON and in it is no matter.
        """
        session = await self.session(XHR).open()
        self.assertTaken(await session.post(b' \r\n[ "x" ,\t"y" ]\n'))
        self.assertEqual(await session.messages(2), ["x", "y"])

    async def test_chunkedBody(self) -> None:
        """
        A body that comes in chunks is taken as well.
        """
        session = await self.session(XHR).open()
        response, body = await self.client.fetch(
            "POST",
            f"/echo{session.path}/xhr_send",
            [("Transfer-Encoding", "chunked")],
            b'3\r\n["x\r\n2\r\n"]\r\n0\r\n\r\n',
        )
        self.assertTaken((response, body))
        self.assertEqual(await session.messages(1), ["x"])

    async def test_nothing(self) -> None:
        """
        An empty array is taken and carries nothing.
        """
        session = await self.session(XHR).open()
        self.assertTaken(await session.post(b"[]"))
        self.assertTaken(await session.post(b'["x"]'))
        self.assertEqual(await session.frame(), 'a["x"]')

    async def assertRefused(self, session: HTTPSession, body: bytes, why: bytes) -> None:
        """
        Fail unless C{body} is refused for the reason C{why}, and the session lives on.
        """
        response, answer = await session.post(body)
        self.assertEqual((response.status, answer.strip()), (500, why), body)
        self.assertTaken(await session.post(b'["on"]'))
        self.assertEqual(await session.messages(1), ["on"])

    async def test_noPayload(self) -> None:
        """
        An empty body and JSON that is no array are refused for want of a payload, and the session lives on.
        """
        session = await self.session(XHR).open()
        for body in ("", *NO_ARRAY):
            await self.assertRefused(session, body.encode("utf-8"), b"Payload expected.")

    async def test_broken(self) -> None:
        """
        What is not JSON is refused as broken, and the session lives on.
        """
        session = await self.session(XHR).open()
        for body in BROKEN:
            await self.assertRefused(session, body.encode("utf-8"), b"Broken JSON encoding.")

    async def test_notPartly(self) -> None:
        """
        Of a body that breaks off, no message is delivered.
        """
        session = await self.session(XHR).open()
        await self.assertRefused(session, b'["one","two', b"Broken JSON encoding.")

    async def test_empty(self) -> None:
        """
        An empty string is a message.
        """
        session = await self.session(XHR).open()
        self.assertTaken(await session.post(b'[""]'))
        self.assertEqual(await session.frame(), 'a[""]')


class JsonpSendTests(ConformanceCase):
    """
    C{jsonp_send}.
    """

    def assertTaken(self, answer: tuple[Response, bytes], what: object = None) -> None:
        """
        Fail unless the server took the message.
        """
        response, body = answer
        self.assertEqual((response.status, body), (200, b"ok"), what)
        self.assertEqual(response.headers.get("Content-Type"), "text/plain; charset=UTF-8")

    async def test_form(self) -> None:
        """
        The field C{d} of a form is taken, and the answer is C{ok} in plain text.
        """
        session = await self.session(JSONP).open()
        for contentType in (FORM, FORM + "; charset=UTF-8", FORM + ";charset=utf-8"):
            for body, message in (
                (b"d=%5B%22x%22%5D", "x"),
                (b'd=["x"]', "x"),
                (b"d=%5B%22a+b%22%5D", "a b"),
                (b"d=%5B%22a%2Bb%22%5D", "a+b"),
                (b"d=%5B%22%2541%22%5D", "%41"),
                (b"d=%5B%22%C3%A9%F0%9F%98%80%22%5D", "\xe9\U0001f600"),
                (b"d=%5B%22a%26d%3Db%22%5D", "a&d=b"),
                (b"a=b&d=%5B%22x%22%5D&c=e", "x"),
            ):
                self.assertTaken(await session.post(body, contentType), (body, contentType))
                self.assertEqual(await session.messages(1), [message], body)

    async def test_plain(self) -> None:
        """
        A plain body is taken as it stands, without any decoding.
        """
        session = await self.session(JSONP).open()
        for contentType in ("text/plain", "text/plain; charset=UTF-8", "text/plain;charset=utf-8"):
            for text in ("x", "%61bc", "a+b", "a&d=b", "\xe9\U0001f600"):
                body = json.dumps([text], ensure_ascii=False).encode("utf-8")
                self.assertTaken(await session.post(body, contentType))
                self.assertEqual(await session.messages(1), [text], contentType)

    async def test_nothing(self) -> None:
        """
        An empty array is taken and carries nothing.
        """
        session = await self.session(JSONP).open()
        self.assertTaken(await session.post(b"d=%5B%5D", FORM))
        self.assertTaken(await session.post(b"[]"))
        self.assertTaken(await session.post(b"d=%5B%22x%22%5D", FORM))
        self.assertEqual(await session.frame(), 'a["x"]')

    async def assertRefused(self, session: HTTPSession, body: bytes, contentType: str, why: bytes) -> None:
        """
        Fail unless C{body} is refused for the reason C{why}, and the session lives on.
        """
        response, answer = await session.post(body, contentType)
        self.assertEqual((response.status, answer.strip()), (500, why), (body, contentType))
        self.assertTaken(await session.post(b"d=%5B%22on%22%5D", FORM))
        self.assertEqual(await session.messages(1), ["on"])

    async def test_noPayload(self) -> None:
        """
        An empty body, no field C{d}, an empty one, and JSON that is no array are refused for want of a payload, and
        the session lives on.
        """
        session = await self.session(JSONP).open()
        forms: list[str] = ["", "d=", "d", "p=p", "p=%5B%22x%22%5D", "&", "D=%5B%22x%22%5D"]
        forms += ["d=" + quote(json) for json in NO_ARRAY]
        for body in forms:
            await self.assertRefused(session, body.encode("ascii"), FORM, b"Payload expected.")
        for body in ("", *NO_ARRAY):
            await self.assertRefused(session, body.encode("utf-8"), "text/plain", b"Payload expected.")

    async def test_broken(self) -> None:
        """
        What is not JSON is refused as broken, and the session lives on.
        """
        session = await self.session(JSONP).open()
        for body in BROKEN:
            await self.assertRefused(session, b"d=" + quote(body).encode("ascii"), FORM, b"Broken JSON encoding.")
            await self.assertRefused(session, body.encode("utf-8"), "text/plain", b"Broken JSON encoding.")


class WebSocketMessageTests(ConformanceCase):
    """
    Text messages of a framed WebSocket.
    """

    async def socket(self) -> WebSocketClient:
        """
        A WebSocket whose open frame has come.
        """
        socket = await self.client.websocket(f"/echo{self.newPath()}/websocket")
        self.assertEqual(await socket.message(), "o")
        return socket

    async def test_array(self) -> None:
        """
        An array of strings carries its messages.
        """
        session = await self.session(WEBSOCKET).open()
        await session.sendJSON(b'["x"]')
        self.assertEqual(await session.messages(1), ["x"])
        await session.sendJSON(b'["y","z"]')
        self.assertEqual(await session.messages(2), ["y", "z"])

    async def test_space(self) -> None:
        """
        White space around the JSON and in it is no matter.
        """
        session = await self.session(WEBSOCKET).open()
        await session.sendJSON(b' [ "x" ,\t"y" ]\r\n')
        self.assertEqual(await session.messages(2), ["x", "y"])
        await session.sendJSON(b' "z" ')
        self.assertEqual(await session.messages(1), ["z"])

    async def test_string(self) -> None:
        """
        One JSON string is one message.
        """
        session = await self.session(WEBSOCKET).open()
        await session.sendJSON(b'"x"')
        self.assertEqual(await session.messages(1), ["x"])
        await session.sendJSON(b'"[\\"y\\"]"')
        self.assertEqual(await session.messages(1), ['["y"]'])
        await session.sendJSON(b'""')
        self.assertEqual(await session.messages(1), [""])

    async def test_nothing(self) -> None:
        """
        An empty message and an empty array are ignored.
        """
        socket = await self.socket()
        for text in ("", "[]", "", '["x"]'):
            socket.sendText(text)
        self.assertEqual(await socket.message(), 'a["x"]')

    async def test_broken(self) -> None:
        """
        JSON that does not parse ends the connection, and what comes after it is not heard.
        """
        for text in BROKEN:
            socket = await self.socket()
            socket.sendText(text)
            socket.sendText('["after"]')
            frames = []
            while True:
                # The ways to end are the server's choice: with a close frame or without one.
                try:
                    frames.append(await socket.frame())
                except Exception as error:
                    self.assertIsNotNone(socket.wire.lost, error)
                    break
                if frames[-1].opcode == TEXT:
                    self.assertNotIn(b"after", frames[-1].payload, text)
                else:
                    socket.sendFrame(frames[-1].opcode, frames[-1].payload[:2])


class SurrogateTests(ConformanceCase):
    """
    Half characters, which are legal in JSON but not in UTF-8.
    """

    @over(*ANY)
    async def test_lone(self, transport: Transport) -> None:
        """
        A lone surrogate does not break the session; it comes back as it is, or replaced.
        """
        session = await self.session(transport).open()
        for raw in (b'["\\ud800"]', b'["\\udfff"]', b'["\\ude00\\ud83d"]', b'["a\\ud83db"]'):
            await session.sendJSON(raw)
            frame = await session.frame()
            text = json.loads(raw)[0]
            replaced = "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)
            self.assertIn(messages(frame), ([text], [replaced]))
            if messages(frame) == [text]:
                self.assertEqual(frame, "a" + raw.decode("ascii"))
            await session.send("on")
            self.assertEqual(await session.messages(1), ["on"])

    @over(*ANY)
    async def test_broadcast(self, transport: Transport) -> None:
        """
        A lone surrogate does not break the sessions that it is sent to either.
        """
        other = await self.session(transport, "/broadcast").open()
        session = await self.session(transport, "/broadcast").open()
        await session.sendJSON(b'["\\ud83d"]')
        await session.send("on")
        for one in (session, other):
            self.assertEqual((await one.messages(2))[1], "on")
