# -*- test-case-name: tests.conformance.test_websocket -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
RFC 6455 under SockJS: what the WebSockets must do before any SockJS is spoken.
"""

from __future__ import annotations

import json

from tests.conformance.case import ConformanceCase
from tests.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Cut,
    Frame,
    WebSocketClient,
    closePayload,
    encodeFrame,
    upgradeHeaders,
)

__all__ = ["CloseHandshakeTests", "FragmentTests", "HandshakeTests", "InvalidFrameTests", "PingTests"]


class _Sockets(ConformanceCase):
    """
    Tests that hold for the raw and for the framed WebSocket.
    """

    async def both(self, base: str = "/echo") -> list[WebSocketClient]:
        """
        A raw and a framed WebSocket, the open frame of which has come.
        """
        raw = await self.client.websocket(f"{base}/websocket")
        framed = await self.client.websocket(f"{base}{self.newPath()}/websocket")
        self.assertEqual(await framed.message(), "o")
        return [raw, framed]

    async def assertEchoes(self, socket: WebSocketClient, text: str = "echo") -> None:
        """
        Fail unless C{socket} is in working order.
        """
        socket.sendText(f'["{text}"]')
        self.assertIn(await socket.message(), (f'["{text}"]', f'a["{text}"]'))

    async def assertFailed(self, socket: WebSocketClient, codes: tuple[int, ...], what: object) -> None:
        """
        Fail unless the server ends the connection, with a close frame of one of C{codes} or with none, and without
        having delivered anything.
        """
        closing = None
        while True:
            try:
                frame = await socket.frame()
            except Cut:
                break
            self.assertNotIn(frame.opcode, (TEXT, BINARY, CONTINUATION), what)
            if frame.opcode == CLOSE:
                closing = frame
                socket.sendFrame(CLOSE, frame.payload[:2])
        if closing is not None:
            self.assertIn(closing.closeCode, (None, *codes), what)


class HandshakeTests(_Sockets):
    """
    The upgrade.
    """

    async def test_accepted(self) -> None:
        """
        The answer to an upgrade is 101 and names the protocol; the client has checked the key.
        """
        for socket in await self.both():
            headers = socket.response.headers
            self.assertEqual((headers.get("Upgrade") or "").lower(), "websocket")
            self.assertEqual([item.lower() for item in headers.tokens("Connection")], ["upgrade"])
            self.assertNotIn("Sec-WebSocket-Protocol", headers)
            self.assertNotIn("Content-Length", headers)

    async def test_version(self) -> None:
        """
        A version of the protocol that nobody knows is refused.
        """
        for path in ("/echo/websocket", f"/echo{self.newPath()}/websocket"):
            headers = [header for header in upgradeHeaders() if header[0] != "Sec-WebSocket-Version"]
            response = await self.client.request("GET", path, [*headers, ("Sec-WebSocket-Version", "99")])
            self.assertIn(response.status, (400, 426), path)

    async def test_origin(self) -> None:
        """
        A WebSocket from a page of another origin is let in.
        """
        for origin in ("http://example.com", "null", "https://[::1]:8080"):
            socket = await self.client.websocket(f"/echo{self.newPath()}/websocket", [("Origin", origin)])
            self.assertEqual(await socket.message(), "o")


class FragmentTests(_Sockets):
    """
    Messages in pieces.
    """

    async def test_fragments(self) -> None:
        """
        A message in fragments, empty ones and halves of characters among them, is put together.
        """
        text = '["\u4e2d\U0001f600x"]'.encode()
        for socket in await self.both():
            socket.sendFrame(TEXT, b"", fin=False)
            for at in range(len(text)):
                socket.sendFrame(CONTINUATION, text[at : at + 1], fin=False)
            socket.sendFrame(CONTINUATION, b"")
            found = str(await socket.message())
            self.assertEqual(json.loads(found.lstrip("a")), ["\u4e2d\U0001f600x"])

    async def test_pingBetween(self) -> None:
        """
        A ping between two fragments is answered, and the message is not disturbed.
        """
        for socket in await self.both():
            socket.sendFrame(TEXT, b'["x', fin=False)
            socket.sendFrame(PING, b"between")
            self.assertEqual(await socket.frame(), Frame(True, 0, PONG, b"between"))
            socket.sendFrame(CONTINUATION, b'y"]')
            self.assertIn(await socket.message(), ('["xy"]', 'a["xy"]'))

    async def test_byteByByte(self) -> None:
        """
        A frame may come one byte at a time.
        """
        for socket in await self.both():
            for byte in encodeFrame(TEXT, b'["slow"]'):
                socket.write(bytes([byte]))
                await self.pause(0)
            self.assertIn(await socket.message(), ('["slow"]', 'a["slow"]'))

    async def test_manyAtOnce(self) -> None:
        """
        Many frames may come at once.
        """
        for socket in await self.both():
            socket.write(b"".join(encodeFrame(TEXT, b'["%d"]' % number) for number in range(100)))
            found = ""
            while "99" not in found:
                found += str(await socket.message())
            self.assertEqual(
                found.replace("a[", ",").replace("[", ",").replace("]", "").replace('"', "").strip(","),
                ",".join(str(number) for number in range(100)),
            )

    async def test_sizes(self) -> None:
        """
        Messages at the borders of the three ways to write a length, and big ones, come back whole.
        """
        for socket in await self.both():
            for size in (121, 122, 125, 126, 127, 65531, 65532, 65535, 65536, 100000):
                socket.sendText('["' + "x" * (size - 4) + '"]')
                self.assertIn(await socket.message(), ('["' + "x" * (size - 4) + '"]', 'a["' + "x" * (size - 4) + '"]'))

    async def test_bigAnswer(self) -> None:
        """
        A big message from the server comes whole.
        """
        for socket, text in zip(await self.both("/amplify"), ("18", '"18"')):
            socket.sendText(text)
            self.assertEqual(str(await socket.message()).count("x"), 2**18)


class PingTests(_Sockets):
    """
    Pings and pongs.
    """

    async def test_answered(self) -> None:
        """
        A ping is answered with a pong that carries the same bytes.
        """
        for socket in await self.both():
            for payload in (b"", b"hello", bytes(range(125))):
                socket.sendFrame(PING, payload)
                self.assertEqual(await socket.frame(), Frame(True, 0, PONG, payload))
            await self.assertEchoes(socket)

    async def test_unasked(self) -> None:
        """
        A pong that nobody has asked for is ignored.
        """
        for socket in await self.both():
            socket.sendFrame(PONG, b"unasked")
            socket.sendFrame(PONG)
            await self.assertEchoes(socket)


class CloseHandshakeTests(_Sockets):
    """
    The client says goodbye.
    """

    async def test_echoed(self) -> None:
        """
        A close frame is answered with a close frame, of the same code or of 1000, and the server ends the connection.
        """
        for code in (1000, 1001, 3000, 4999):
            for socket in await self.both():
                socket.sendFrame(CLOSE, closePayload(code, "bye \xe9"))
                frame = await socket.message()
                self.assertIsInstance(frame, Frame)
                # To send back the same code is usual but not required.
                self.assertIn(frame.closeCode, (code, 1000))
                await socket.wire.gone()

    async def test_noCode(self) -> None:
        """
        A close frame without a code is answered too.
        """
        for socket in await self.both():
            socket.sendFrame(CLOSE)
            frame = await socket.message()
            self.assertIsInstance(frame, Frame)
            self.assertIn(frame.closeCode, (None, 1000))
            await socket.wire.gone()

    async def test_nothingAfter(self) -> None:
        """
        What comes after a close frame is not heard.
        """
        for socket in await self.both():
            socket.write(encodeFrame(CLOSE, closePayload(1000)) + encodeFrame(TEXT, b'["after"]'))
            await self.assertFailed(socket, (1000,), "after the close frame")


class InvalidFrameTests(_Sockets):
    """
    Frames that are against RFC 6455 end the connection, and hurt nobody else.
    """

    async def assertRejected(self, *frames: bytes, codes: tuple[int, ...] = (1002,)) -> None:
        """
        Fail unless C{frames} end both kinds of WebSocket, and others go on.
        """
        other = await self.both()
        for socket in await self.both():
            socket.write(b"".join(frames))
            await self.assertFailed(socket, codes, frames)
        for socket in other:
            await self.assertEchoes(socket)

    async def test_unmasked(self) -> None:
        """
        A frame of a client must be masked.
        """
        # RFC 6455 suggests 1002 here and leaves it open; 1003 is in use.
        await self.assertRejected(encodeFrame(TEXT, b'["x"]', mask=False), codes=(1002, 1003))

    async def test_reservedBits(self) -> None:
        """
        A reserved bit has no meaning, since no extension was agreed upon.
        """
        for rsv in (1, 2, 4):
            await self.assertRejected(encodeFrame(TEXT, b'["x"]', rsv=rsv))

    async def test_reservedOpcodes(self) -> None:
        """
        A reserved opcode has no meaning.
        """
        for opcode in (3, 7, 11, 15):
            await self.assertRejected(encodeFrame(opcode, b"x"))

    async def test_longControl(self) -> None:
        """
        A control frame carries at most 125 bytes.
        """
        await self.assertRejected(encodeFrame(PING, b"x" * 126), codes=(1002, 1009))

    async def test_fragmentedControl(self) -> None:
        """
        A control frame is never fragmented.
        """
        await self.assertRejected(encodeFrame(PING, b"x", fin=False))

    async def test_nothingToContinue(self) -> None:
        """
        A continuation needs a beginning.
        """
        await self.assertRejected(encodeFrame(CONTINUATION, b'["x"]'))

    async def test_twoBeginnings(self) -> None:
        """
        A message begins only after the one before it has ended.
        """
        await self.assertRejected(encodeFrame(TEXT, b'["x', fin=False), encodeFrame(TEXT, b'["y"]'))

    async def test_notUTF8(self) -> None:
        """
        A text message is UTF-8, without surrogates, overlong forms and breaks.
        """
        for text in (b'["\xff"]', b'["\xed\xa0\x80"]', b'["\xc0\xaf"]', b'["\xe4\xb8"]', b'["\xf4\x90\x80\x80"]'):
            await self.assertRejected(encodeFrame(TEXT, text), codes=(1007,))

    async def test_wrongClose(self) -> None:
        """
        A close frame with a code that must not be sent, half a code, or a reason that is not UTF-8, ends the
        connection too.
        """
        for payload in (
            closePayload(1005),
            closePayload(1006),
            closePayload(999),
            b"\x03",
            closePayload(1000) + b"\xff",
        ):
            await self.assertRejected(encodeFrame(CLOSE, payload), codes=(1002, 1007))

    async def test_binary(self) -> None:
        """
        A binary message, which SockJS does not know, does not bring down the server.
        """
        other = await self.both()
        for socket in await self.both():
            socket.sendFrame(BINARY, b"\x00\xff")
            socket.abort()
        for socket in other:
            await self.assertEchoes(socket)
