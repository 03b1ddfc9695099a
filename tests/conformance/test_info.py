# -*- test-case-name: tests.conformance.test_info -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The capabilities of a service.
"""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.case import HTTP, ConformanceCase, together

__all__ = ["InfoTests"]


class InfoTests(ConformanceCase):
    """
    C{/info}.
    """

    async def info(self, base: str = "/echo", query: str = "") -> dict[str, Any]:
        """
        The capabilities of C{base}.
        """
        response, body = await self.client.fetch("GET", f"{base}/info{query}")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers.get("Content-Type"), "application/json; charset=UTF-8")
        return json.loads(body.decode("utf-8"))

    async def test_keys(self) -> None:
        """
        The capabilities say what the service can do, in the right types.
        """
        info = await self.info()
        self.assertIs(info.pop("websocket"), True)
        self.assertIs(info.pop("cookie_needed"), False)
        self.assertEqual(info.pop("origins"), ["*:*"])
        self.assertIs(type(info.pop("entropy")), int)
        self.assertIsInstance(info.pop("base_url", ""), str)
        self.assertIsInstance(info.pop("transports", []), list)

    async def test_query(self) -> None:
        """
        A query, which clients add against caches, makes no difference.
        """
        self.assertIs((await self.info(query="?t=1234567890"))["websocket"], True)

    async def test_entropy(self) -> None:
        """
        The entropy is a number of 32 bits and a new one every time.
        """
        found = [(await self.info())["entropy"] for _ in range(20)]
        for entropy in found:
            self.assertIs(type(entropy), int)
            self.assertTrue(0 <= entropy < 2**32, entropy)
        # Twenty numbers of 32 bits hold a pair once in 23 million runs.
        self.assertEqual(len(set(found)), 20)
        self.assertTrue(max(found) >= 2**24, found)
        steps = {(after - before) % 2**32 for before, after in zip(found, found[1:])}
        self.assertTrue(len(steps) > 1, "the entropy is a counter")

    async def test_websocketOff(self) -> None:
        """
        A service without WebSocket says so.
        """
        info = await self.info("/disabled_websocket_echo")
        self.assertIs(info["websocket"], False)
        self.assertIs(info["cookie_needed"], False)

    async def test_cookieNeeded(self) -> None:
        """
        A service that needs a cookie says so.
        """
        info = await self.info("/cookie_needed_echo")
        self.assertIs(info["websocket"], True)
        self.assertIs(info["cookie_needed"], True)

    async def test_answersAtOnce(self) -> None:
        """
        Open sessions do not keep the answer waiting.
        """
        await together(*[self.session(transport).open() for transport in HTTP])
        await together(*[self.info() for _ in range(10)])
