# -*- test-case-name: tests.many.check_matrix -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The matrix of L{tests.browser.check_matrix}, all of it, with four processes behind a real HAProxy, and behind a real
nginx, wherever one process is there.

Pages, the client's script and sessions come by the balancer: for the places without TLS by its port for this machine,
for the others by its port with TLS. The proxies of the matrix are between the browser and the balancer. No case is left
out, and there are two more, in which one process after the other ends.

It needs C{haproxy} and C{nginx}, and whatever the matrix needs. CI has no room for it, and runs the cases that matter
most in L{tests.many.check_haproxy} and L{tests.many.check_nginx}.  Start it with::

    python -m twisted.trial tests.many.check_matrix

or a part of it by a name such as C{tests.many.check_matrix.HAProxyPlaceTests.test_tls}. It prints what it has found as
tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import DeferredSemaphore, ensureDeferred
from twisted.trial.unittest import TestCase

from tests.browser.check_matrix import (
    SERVICES,
    SLOW,
    LoadMixin,
    MatrixMixin,
    OriginMixin,
    PlacesMixin,
    Serving,
    SilenceMixin,
    few,
    together,
)
from tests.browser.driving import Page
from tests.browser.matrix import MESSAGES, YES, Case, Place
from tests.browser.proxies import Proxy
from tests.many.application import WHERE
from tests.many.balancers import NAMES, Balancer, HAProxy, Nginx, Process, portsInARow
from tests.many.behind import TRUST
from tests.many.browsing import trustedPlace
from tests.many.check_nginx import BASE_URL

__all__ = [
    "HAProxyLoadTests",
    "HAProxyOriginTests",
    "HAProxyPlaceTests",
    "HAProxySilenceTests",
    "NginxLoadTests",
    "NginxOriginTests",
    "NginxPlaceTests",
    "NginxSilenceTests",
]

IN_TURN = (
    Case("restartInTurn", "One process after the other ends and starts again"),
    Case("killInTurn", "One after the other is killed and starts again"),
)
"""What happens only where there are many processes."""

_starting = DeferredSemaphore(len(NAMES))
"""As many start at a time: each must be there within a minute, on a small machine, too."""


class Farm(Serving):
    """
    Four processes behind a balancer, in the place of one.

    @ivar balancer: it.
    @ivar processes: they.
    """

    def __init__(self, case: Any, balancerType: type[Balancer]) -> None:
        ports = portsInARow(len(NAMES))
        self._case = case
        self.balancer = balancerType(trustedPlace(case), ports, {})
        self.processes = [Process(name, port, {}) for name, port in zip(NAMES, ports)]

    @property
    def port(self) -> int:
        """
        The balancer's port without TLS.
        """
        return self.balancer.port

    def origin(self, place: Place) -> str:
        """
        See L{Serving.origin}.
        """
        return self.balancer.secureURL if place.secure else self.balancer.url

    async def open(self, arguments: Iterable[str], origin: str) -> None:
        """
        Start all of it.

        @param arguments: those of the processes; C{BALANCER} in them is the origin.
        @param origin: what its URLs begin with for browsers.
        """
        for process in self.processes:
            process.arguments = [one.replace("BALANCER", origin) for one in arguments]
        self._case.addCleanup(lambda: ensureDeferred(together(*(one.clear() for one in self.processes))))
        await self._startProcesses()
        await self.balancer.start(self._case)

    async def start(self) -> None:
        """
        Start the processes again, and wait until the balancer has found them.
        """
        await self._startProcesses()
        await self.balancer.ready()

    async def _startProcesses(self) -> None:
        await together(*(_starting.run(lambda one=one: ensureDeferred(one.start())) for one in self.processes))

    async def stop(self) -> None:
        """
        End the processes in order.
        """
        await together(*(one.stop() for one in self.processes))

    async def kill(self) -> None:
        """
        End them at once.
        """
        await together(*(one.kill() for one in self.processes))


class BehindMixin(MatrixMixin):
    """
    A balancer with four processes wherever one process is there.

    @cvar balancerType: which balancer.
    @cvar flags: what the processes are given, too.
    """

    balancerType: type[Balancer]
    flags: tuple[str, ...] = ()

    async def serve(self, *arguments: str) -> Farm:
        """
        See L{MatrixMixin.serve}.
        """
        farm = Farm(self, self.balancerType)
        await farm.open(self.all(arguments), farm.origin(self.place))
        return farm

    async def proxied(
        self, make: Callable[[int], Proxy], arguments: Iterable[str], server: Serving | None = None
    ) -> tuple[Any, str]:
        """
        See L{MatrixMixin.proxied}. Where C{base_url} tells clients where to go on, it has to lead them through the
        proxy: so that has processes of its own.
        """
        if not any("BALANCER" in flag for flag in self.flags):
            return await super().proxied(make, arguments, server)
        farm = Farm(self, self.balancerType)
        proxy = make(farm.port)
        origin = self.proxy(proxy, self.place)
        await farm.open(self.all(arguments), origin)
        return proxy, origin

    def all(self, arguments: Iterable[str]) -> list[str]:
        """
        @return: all arguments of the processes.
        """
        return ["--static", str(self.files), "--sockjs-url=/sockjs.min.js", *TRUST, *self.flags, *arguments]

    def record(self) -> None:
        """
        The documentation has the tables of one process.
        """


class BehindPlacesMixin(BehindMixin, PlacesMixin):
    """
    The places.
    """

    more = IN_TURN
    services = (*SERVICES, "--factory=where=tests.many.application.Whereabouts")
    mortal: Farm

    async def check(self, name: str) -> None:
        """
        See L{PlaceMixin.check}.
        """
        print(f"\n\nBehind {self.balancerType.__name__}:", end="")
        await super().check(name)

    def cookieOf(self, value: str, found: dict[str, str]) -> str:
        """
        The cookie has the name of some process in it.
        """
        name = found.get("JSESSIONID", "").partition(".")[0]
        self.assertIn(name, NAMES)
        return f"{name}.{value}"

    async def restarts(self, pages: dict[str, Page]) -> None:
        """
        All processes end and start again, as the one does elsewhere; and then one after the other.
        """
        await super().restarts(pages)
        for case in IN_TURN:
            await self.inTurn(case.name, pages)

    async def inTurn(self, case: str, pages: dict[str, Page]) -> None:
        """
        End one process after the other, in order or not, and start it again.
        """
        homes: dict[str, int] = {}

        async def settle(transport: str, page: Page) -> None:
            await self.cell(case, transport, self.settle(transport, page, homes))

        await few(settle, pages.items())
        if len(set(homes.values())) < 2:
            self.wrong.append(f"{case}: all pages were on the same process")
        for process in self.mortal.processes:
            here = [name for name, pid in homes.items() if pid == process.pid]
            hit = [name for name in here if await self.cell(case, name, self.untouched(pages[name]))]
            work = [self.cell(case, name, self.move(name, pages[name], process.pid, case)) for name in hit]
            moved = ensureDeferred(together(*work))
            await (process.stop if case == "restartInTurn" else process.kill)()
            await moved
            await process.start()
            await self.mortal.balancer.ready()

    async def untouched(self, page: Page) -> str:
        """
        The page has not noticed that other processes have ended.
        """
        told = await page.act("idle", "it", seconds=0)
        self.assertEqual((told["closed"], told["messages"]), (None, []))
        return YES

    async def settle(self, transport: str, page: Page, homes: dict[str, int]) -> str:
        """
        Connect, to whichever process.
        """
        await self.connect(page, self.where, [transport], transport, timeout=SLOW)
        await self.exchange(page, MESSAGES[:10])
        homes[transport] = await self.home(page)
        return YES

    async def move(self, transport: str, page: Page, pid: int, case: str) -> str | tuple[str, str]:
        """
        The page comes back, to another process.
        """
        answer = await self.comeBack(page, self.where, transport, case == "restartInTurn")
        self.assertNotEqual(await self.home(page), pid)
        await self.finish(page)
        return answer

    async def home(self, page: Page) -> int:
        """
        @return: the process that has the session of a page.
        """
        told = await page.act("send", "it", messages=[WHERE], expect=1)
        return int(told["messages"][0])

    @property
    def where(self) -> str:
        """
        The service that says which process it is.
        """
        return f"{self.mortal.origin(self.place)}/where"


class HAProxyMixin:
    """
    The one of C{examples/deploy/haproxy.cfg}.
    """

    balancerType = HAProxy


class NginxMixin:
    """
    The one of C{examples/deploy/nginx.conf}, with C{base_url}.
    """

    balancerType = Nginx
    flags = BASE_URL


class HAProxyPlaceTests(HAProxyMixin, BehindPlacesMixin, TestCase):
    """
    Pages at each place, behind HAProxy.
    """


class HAProxySilenceTests(HAProxyMixin, BehindMixin, SilenceMixin, TestCase):
    """
    A proxy that cuts what is silent, behind HAProxy.
    """


class HAProxyOriginTests(HAProxyMixin, BehindMixin, OriginMixin, TestCase):
    """
    A service with an allow-list of origins, behind HAProxy.
    """


class HAProxyLoadTests(HAProxyMixin, BehindMixin, LoadMixin, TestCase):
    """
    A service that has much to do, behind HAProxy.
    """


class NginxPlaceTests(NginxMixin, BehindPlacesMixin, TestCase):
    """
    Pages at each place, behind nginx.
    """


class NginxSilenceTests(NginxMixin, BehindMixin, SilenceMixin, TestCase):
    """
    A proxy that cuts what is silent, behind nginx.
    """


class NginxOriginTests(NginxMixin, BehindMixin, OriginMixin, TestCase):
    """
    A service with an allow-list of origins, behind nginx.
    """


class NginxLoadTests(NginxMixin, BehindMixin, LoadMixin, TestCase):
    """
    A service that has much to do, behind nginx.
    """
