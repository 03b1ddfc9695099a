# -*- test-case-name: tests.conformance.test_slow -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Heartbeats and deadlines.  All that must be waited for is waited for at the same time.
"""

from __future__ import annotations

from twisted.internet import reactor

from tests.conformance.case import (
    ANY,
    HTTP,
    ConformanceCase,
    HTTPSession,
    Transport,
    messages,
    together,
)

__all__ = ["DeadlineTests", "HeartbeatTests"]

AWAY = 'c[3000,"Go away!"]'
INTERRUPTED = 'c[1002,"Connection interrupted"]'


class HeartbeatTests(ConformanceCase):
    """
    25 seconds of silence.
    """

    async def heartbeat(self, transport: Transport) -> None:
        """
        Fail unless a silent session of C{transport} gets a heartbeat, not much too early, and works on.
        """
        session = self.session(transport)
        # Taken before the open frame, as the answer may be late but the server's clock is not.
        start = reactor.seconds()
        await (await session.open()).rested()
        self.assertEqual(await session.frame(60), "h", transport)
        self.assertTrue(reactor.seconds() - start >= 24, f"the heartbeat of {transport} came too early")
        await session.rested()
        await session.send("x")
        self.assertEqual(await session.messages(1), ["x"])

    async def test_heartbeats(self) -> None:
        """
        Every framed session gets a heartbeat after 25 seconds, a raw WebSocket gets none.
        """
        raw = await self.client.websocket("/echo/websocket")
        await together(*[self.heartbeat(transport) for transport in ANY])
        raw.sendText("the first message")
        self.assertEqual(await raw.message(), "the first message")


class DeadlineTests(ConformanceCase):
    """
    5 seconds without a receiver.
    """

    async def unattended(self, transport: Transport) -> HTTPSession:
        """
        A session whose receiver the server has just ended.
        """
        session = await self.session(transport).open()
        if transport.streams:
            await session.send("x" * 4096)
            await session.messages(1)
        self.assertEqual(await session.receiver.rest(), [])
        session.receiver.finish()
        session.receiver = None
        return session

    async def forgotten(self, transport: Transport) -> None:
        """
        Fail unless a session without a receiver is over after a while, and not at once.
        """
        start = reactor.seconds()
        session = await self.unattended(transport)

        async def attempt() -> bool:
            response, _ = await session.post(b"[]")
            if response.status == 404:
                self.assertTrue(reactor.seconds() - start >= 4, f"{transport} was over too early")
                return True
            await self.pause(0.2)
            return False

        await self.eventually(attempt)
        # A server may remember for a while that there was such a session.
        self.assertIn(await session.frame(), ("o", INTERRUPTED))

    async def prolonged(self, transport: Transport) -> None:
        """
        Fail unless a receiver in time saves the session, and what was sent in between.
        """
        session = await self.unattended(transport)
        for number in range(3):
            sent = reactor.seconds()
            await session.send(f"{number}" + "x" * 4096)
            await self.pause(2)
            receiver = await session.receive()
            frame = await receiver.frame()
            if reactor.seconds() - sent > 4.5:
                # Too slow a machine to say anything.
                return
            self.assertEqual(messages(frame), [f"{number}" + "x" * 4096])
            self.assertEqual(await receiver.rest(), [])

    async def attended(self, transport: Transport) -> None:
        """
        Fail unless a receiver that stays keeps the session, however long.
        """
        session = await (await self.session(transport).open()).rested()
        if session.receiver is None:
            session.receiver = await session.receive()
        await self.pause(8)
        await session.send("x")
        self.assertEqual(messages(await session.receiver.frame()), ["x"])

    async def closed(self, transport: Transport) -> None:
        """
        Fail unless the close frame is repeated for a while, and the id is then forgotten.
        """
        start = reactor.seconds()
        session = await self.session(transport, "/close").open()
        self.assertEqual(await session.frame(), AWAY)
        await self.pause(2)
        again = await (await session.receive()).rest()
        if reactor.seconds() - start < 4.5:
            self.assertEqual(again, [AWAY])
        # The deadline may count from the close or from the last request.
        frame = AWAY
        for _ in range(3):
            await self.pause(6.5)
            frame = await (await session.receive()).frame()
            if frame != AWAY:
                break
        self.assertEqual(frame, "o", transport)

    async def test_deadlines(self) -> None:
        """
        A session without a receiver is over after 5 seconds, one with a receiver is not, and a closed one tells of its
        close for as long and then is forgotten.
        """
        await together(
            *[self.forgotten(transport) for transport in HTTP],
            *[self.prolonged(transport) for transport in HTTP],
            *[self.attended(transport) for transport in HTTP],
            *[self.closed(transport) for transport in HTTP],
        )
