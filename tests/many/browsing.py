# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The real C{sockjs-client} in a real browser, with a balancer between it and four processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from tests.browser.check_matrix import LARGE, SERVICES, PlaceMixin, few
from tests.browser.driving import Page
from tests.browser.matrix import PLACES, TRANSPORTS, unavailable
from tests.many.balancers import workplace
from tests.many.behind import TRUST

__all__ = ["BrowserMixin", "trustedPlace"]


def trustedPlace(case: Any) -> Path:
    """
    @return: a place for a balancer, with the certificate that the browser of a test trusts.
    """
    place = workplace(case)
    for name in ("c.pem", "k.pem"):
        shutil.copy(case.pem / name, place)
    (place / "both.pem").write_bytes((place / "c.pem").read_bytes() + (place / "k.pem").read_bytes())
    return place


class BrowserMixin(PlaceMixin):
    """
    What matters of the matrix, over TLS; L{tests.many.check_matrix} has all of it.
    """

    def makePlace(self) -> Path:
        """
        @return: a place for the balancer, with the certificate that the browser trusts.
        """
        return trustedPlace(self)

    async def cell(self, case: str, transport: str, found: Awaitable[str | tuple[str, str]]) -> bool:
        """
        See L{PlaceMixin.cell}; there is no table.
        """
        try:
            await found
        except Exception as error:
            self.wrong.append(f"{self.place.name}: {case} by {transport}: {type(error).__name__}: {str(error)[:2000]}")
            return False
        return True

    async def test_browser(self: Any) -> None:
        """
        Every transport of a browser works, for pages of the service's own origin and of another site.
        """
        static = ("--static", str(self.files), "--sockjs-url=/sockjs.min.js")
        await self.balance(*TRUST, *SERVICES, *LARGE, *static)
        for name in ("tls", "tls-host"):
            self.place = next(place for place in PLACES if place.name == name)
            lacking = unavailable(self.place)
            offered = [transport for transport in TRANSPORTS if transport not in lacking]
            await few(self.talk, [(transport,) for transport in offered])
        self.assertEqual(self.wrong, [])

    async def talk(self: Any, transport: str) -> None:
        """
        Do what matters by one transport.
        """
        origin = self.balancer.secureURL
        page: Page = await self.open(self.place, origin)
        if await self.cell("open", transport, self.opens(page, f"{origin}/echo", transport)):
            await self.cell("messages", transport, self.messages(page))
            await self.cell("long", transport, self.long(page))
            await self.cell("closeByClient", transport, self.closeByClient(page))
        await self.cell("push", transport, self.push(page, f"{origin}/push", transport))
        await self.cell("closeByServer", transport, self.closeByServer(page, f"{origin}/close", transport))
        await page.leave()
