# -*- test-case-name: tests.conformance.test_services -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The standard test services, as every client of every transport finds them.
"""

from __future__ import annotations

from tests.conformance.case import ANY, HTTP, WEBSOCKET, ConformanceCase, Transport, messages, over

__all__ = ["AmplifyTests", "BroadcastTests", "EchoTests", "RawWebSocketTests", "TickerTests"]


class EchoTests(ConformanceCase):
    """
    C{/echo} and its sisters.
    """

    @over(*ANY)
    async def test_echo(self, transport: Transport) -> None:
        """
        Every message comes back, one or many, small or big.
        """
        session = await self.session(transport).open()
        for sent in (["x"], ["a", "b", "c"], ["\u4e2d" * 10000], ["", " "], [str(number) for number in range(50)]):
            await session.send(*sent)
            self.assertEqual(await session.messages(len(sent)), sent)

    @over(*HTTP)
    async def test_withoutWebSocket(self, transport: Transport) -> None:
        """
        The service with WebSocket off sends every message back.
        """
        session = await self.session(transport, "/disabled_websocket_echo").open()
        await session.send("x", "y")
        self.assertEqual(await session.messages(2), ["x", "y"])

    @over(*ANY)
    async def test_withCookie(self, transport: Transport) -> None:
        """
        The service that needs a cookie sends every message back.
        """
        session = await self.session(transport, "/cookie_needed_echo").open()
        await session.send("x", "y")
        self.assertEqual(await session.messages(2), ["x", "y"])


class TickerTests(ConformanceCase):
    """
    C{/ticker}.
    """

    @over(*ANY)
    async def test_ticks(self, transport: Transport) -> None:
        """
        The service says C{tick!} again and again, unasked.
        """
        session = await self.session(transport, "/ticker").open()
        self.assertEqual(await session.messages(2), ["tick!", "tick!"])


class AmplifyTests(ConformanceCase):
    """
    C{/amplify}.
    """

    @over(*ANY)
    async def test_powers(self, transport: Transport) -> None:
        """
        The message C{n} is answered with 2 to the power of n letters.
        """
        session = await self.session(transport, "/amplify").open()
        for power in (1, 2, 10, 17, 18):
            await session.send(str(power))
            (found,) = await session.messages(1)
            self.assertEqual(len(found), 2**power)
            self.assertEqual(found.strip("x"), "")

    @over(*ANY)
    async def test_outside(self, transport: Transport) -> None:
        """
        A message that is no number from 1 to 18 counts as 1.
        """
        session = await self.session(transport, "/amplify").open()
        for text in ("0", "19", "-1", "-18", "1000000", "x", "", "NaN", "Infinity"):
            await session.send(text)
            self.assertEqual(await session.messages(1), ["xx"], text)


class BroadcastTests(ConformanceCase):
    """
    C{/broadcast}.
    """

    async def test_everybody(self) -> None:
        """
        A message goes to all sessions over all transports, the sender included, in the order of sending.
        """
        sessions = [await (await self.session(transport, "/broadcast").open()).rested() for transport in ANY]
        raw = await self.client.websocket("/broadcast/websocket")
        sent = []
        for number, session in enumerate(sessions):
            sent.append(str(number))
            await session.send(str(number))
            # One after the other, as the senders do not wait for each other.
            for receiver in sessions:
                self.assertEqual(await receiver.messages(1), [str(number)])
            self.assertEqual(await raw.message(), str(number))
        raw.sendText("raw")
        for session in sessions:
            self.assertEqual(await session.messages(1), ["raw"])
        self.assertEqual(await raw.message(), "raw")

    @over(*ANY)
    async def test_ownService(self, transport: Transport) -> None:
        """
        A message goes to nobody of another service.
        """
        echo = await (await self.session(transport).open()).rested()
        session = await self.session(transport, "/broadcast").open()
        await session.send("x")
        self.assertEqual(await session.messages(1), ["x"])
        await echo.send("y")
        self.assertEqual(messages(await echo.frame()), ["y"])


class RawWebSocketTests(ConformanceCase):
    """
    The services over C{/websocket}.
    """

    async def test_echo(self) -> None:
        """
        A raw WebSocket has no open frame and no framing: what is sent comes back as it is.
        """
        socket = await self.client.websocket("/echo/websocket")
        for text in ("x", '["x"]', "no json", '"', "\xe9\u4e2d\U0001f600\u2028\0", "o", "c[3000]", "x" * 100000):
            socket.sendText(text)
            self.assertEqual(await socket.message(), text)

    async def test_query(self) -> None:
        """
        A query makes no difference to either WebSocket.
        """
        socket = await self.client.websocket("/echo/websocket?a=b")
        socket.sendText("x")
        self.assertEqual(await socket.message(), "x")
        socket = await self.client.websocket(f"/echo{self.newPath()}/websocket?a=b")
        self.assertEqual(await socket.message(), "o")

    async def test_others(self) -> None:
        """
        The other services speak plainly over a raw WebSocket as well.
        """
        ticker = await self.client.websocket("/ticker/websocket")
        self.assertEqual([await ticker.message(), await ticker.message()], ["tick!", "tick!"])
        amplify = await self.client.websocket("/amplify/websocket")
        amplify.sendText("5")
        self.assertEqual(await amplify.message(), "x" * 32)
        cookie = await self.client.websocket("/cookie_needed_echo/websocket")
        cookie.sendText("x")
        self.assertEqual(await cookie.message(), "x")

    async def test_apart(self) -> None:
        """
        Raw and framed WebSockets of a service have nothing to do with each other.
        """
        raw = await self.client.websocket("/echo/websocket")
        framed = await self.session(WEBSOCKET).open()
        raw.sendText("raw")
        await framed.send("framed")
        self.assertEqual(await framed.messages(1), ["framed"])
        self.assertEqual(await raw.message(), "raw")
