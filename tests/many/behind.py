# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What must be true behind each balancer.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from tests.many.application import PUBLISH
from tests.many.balancers import NAMES, Balancer, Process, portsInARow, together, workplace
from tests.many.check_redis import Redis
from tests.many.clients import Life
from tests.many.load import Customer, Load, pause
from tests.processes import Child
from tests.wire import HTTPClient

__all__ = ["FEW", "SERVICES", "TRUST", "BehindMixin", "FewMixin", "ServingMixin", "SupervisedMixin"]

SESSIONS = 2000
"""How many there are at a time, by all transports."""

ECHOES = 3
"""How many messages each of them sends."""

FEW = 60
"""Clients where one wants to know but whether it works."""

STEADY = 240
"""Clients while processes come and go."""

PATIENCE = 120.0
"""Seconds until all clients must be back."""

PUBLISHED = 5
"""How much is published in each process."""

CONFORMANCE = (
    ("life", "messages", "services"),  # these use the service that goes to all, and would hear each other
    ("frames", "headers", "iframe", "info", "urls", "websocket", "slow"),
)
"""The modules of the conformance suite, which are run at the same time."""

CONFORMANCE_TIME = 200.0

SLOW = ("--drain-timeout=120", "--disconnect-delay=20")
"""All clients are one process here, on a machine that may have other things to do: each may come late."""

SLOWER = "--disconnect-delay=300"
"""The same for thousands of them."""

TRUST = ("--trusted-proxies=127.0.0.1", "--proxy-header=x-forwarded-for")

SERVICES = (
    *TRUST,
    *SLOW,
    "--factory=load=tests.many.application.Member",
    "--factory=steady=tests.many.application.Ticking",
    "--factory=crowd=tests.many.application.Crowd",
    "--factory=peer=tests.many.application.Peer",
)


class ServingMixin:
    """
    Four processes behind a balancer.

    @cvar balancerType: which.
    @cvar more: what the processes are given, too.
    @cvar changes: what is changed in the configuration.
    @cvar wrapping: see L{Process}.
    @cvar again: how often a client may have to try again before it is back.
    @cvar notice: seconds between the start of a process and the end of the next one, as a supervisor leaves them.
    """

    timeout = 500
    balancerType: type[Balancer]
    more: tuple[str, ...] = ()
    changes: Mapping[str, str] = {}
    wrapping = ""
    again = 0
    notice = 0.0

    async def balance(self: Any, *arguments: str, changes: Mapping[str, str] | None = None) -> None:
        """
        Start processes and the balancer.

        @param arguments: those of the processes; C{BALANCER} in them is its URL with TLS.

        @param changes: what to change in the configuration.
        """
        self.journals = workplace(self)
        ports = portsInARow(len(NAMES))
        self.processes = self.makeProcesses(ports, {"JOURNAL": str(self.journals)})
        self.balancer = self.balancerType(self.makePlace(), ports, changes or self.changes)
        for process in self.processes:
            process.wrapping = self.wrapping
            given = (*process.arguments, *self.more, *arguments)
            process.arguments = [one.replace("BALANCER", self.balancer.secureURL) for one in given]
            self.addCleanup(lambda process=process: ensureDeferred(process.clear()))
        await together(*(process.start() for process in self.processes))
        await self.started()
        await self.balancer.start(self)

    def makeProcesses(self, ports: Sequence[int], environment: Mapping[str, str]) -> list[Process]:
        """
        @return: what serves at these ports, not started yet.
        """
        return [Process(name, port, environment) for name, port in zip(NAMES, ports)]

    async def started(self: Any) -> None:
        """
        Wait until all of them serve.
        """

    def makePlace(self: Any) -> Path:
        """
        @return: a place for the balancer.
        """
        return workplace(self)

    def assertNone(self: Any, faults: list[str]) -> None:
        """
        Nothing is wrong.
        """
        if faults:
            more = f"\nand {len(faults) - 20} more" if len(faults) > 20 else ""
            self.fail("\n".join(faults[:20]) + more)


class FewMixin(ServingMixin):
    """
    The least that must be true of them, by each of the ways to find the process of a session.
    """

    async def test_few(self: Any) -> None:
        """
        Sessions stay where they are, and are everywhere.
        """
        await self.balance(*SERVICES)
        load = Load(self.balancer, "load")
        await load.begin(FEW)
        for _ in range(ECHOES):
            await load.each(lambda customer: customer.exchange(customer.life))
        self.assertNone(load.faults() + [text for customer in load.customers for text in customer.failures])
        self.assertNone([f"{life.way} has ended with {life.end}" for life in load.lives if life.end is not None])
        pids = {life.pid for life in load.lives if not life.way.startswith("websocket")}
        self.assertEqual(pids, {process.pid for process in self.processes})
        await self.address()

    async def address(self: Any) -> None:
        """
        The application is told where the client is, whatever that says of itself.
        """
        client = HTTPClient(reactor, self.balancer.url)
        self.addCleanup(client.close)
        client.comeFrom("127.0.0.5")
        wire = await client.connect()
        for frame in (rb"o", rb'a\["127\.0\.0\.5 [0-9]+"\]'):
            lie = [("X-Forwarded-For", "192.0.2.1"), *self.cookie]
            response = await wire.request("POST", "/peer/0/address/xhr", lie, b"")
            self.assertRegex(await response.body(), b"^" + frame + b"\n$")
            if response.headers.get("Set-Cookie"):
                self.cookie = [("Cookie", response.headers.get("Set-Cookie").partition(";")[0])]

    cookie: Sequence[tuple[str, str]] = ()


class RollingMixin(ServingMixin):
    """
    What must be true of them while they are restarted in turn.
    """

    async def goAway(self: Any, load: Load, running: Any, journals: Path) -> None:
        """
        End everything in good order, after which nothing may be missing.
        """
        load.isOver = True
        last = [customer.life for customer in load.customers if customer.life.end is None]
        await together(*(process.stop() for process in self.processes), running)
        bad = [f"{life.way} {life.id} ended with {life.end}" for life in last if life.end.code != 3000]
        self.assertNone(bad + load.faults() + load.losses(journals, last))

    async def until(self: Any, isSo: Callable[[], bool]) -> None:
        """
        Wait until something is so, or until it is clear that it does not become so.
        """
        end = reactor.seconds() + PATIENCE
        while not isSo() and reactor.seconds() < end:
            await pause(0.1)

    def assertBack(self: Any, customers: list[Customer]) -> None:
        """
        Clients are back, by as few attempts as may be.
        """
        self.assertNone([f"{one.way} is not back: {one.failures}" for one in customers if len(one.lives) < 2])
        self.assertNone(
            [f"{one.way} had to try again: {one.failures}" for one in customers if len(one.failures) > self.again]
        )

    async def test_rollingRestart(self: Any) -> None:
        """
        When all processes are started again, one after the other, every session ends in good order, nothing that was
        accepted is lost, and every client is back by its first attempt.
        """
        await self.balance(*SERVICES)
        load = Load(self.balancer, "steady")
        await load.begin(STEADY)
        running = load.run()
        await pause(2)
        first = {life.pid for life in load.lives}
        await self.restartAll()
        await self.until(lambda: all(one.life.pid not in first for one in load.customers))
        ended = [life for life in load.lives if life.end is not None]
        self.assertNone([f"{life.way} ended with {life.end}" for life in ended if life.end.code != 3000])
        self.assertBack(load.customers)
        self.assertNone(load.losses(self.journals, ended))
        await self.goAway(load, running, self.journals)

    async def restartAll(self: Any) -> None:
        """
        Start each process again, one after the other.
        """
        for process in self.processes:
            await process.stop()
            await process.start()
            await pause(self.notice)


class SupervisedMixin(RollingMixin):
    """
    The same for processes of C{--processes}, which are restarted by one signal.
    """

    def makeProcesses(self, ports: Sequence[int], environment: Mapping[str, str]) -> list[Process]:
        supervisor = Process("the supervisor", ports[0], environment)
        supervisor.arguments = (f"--processes={len(ports)}",)
        return [supervisor]

    async def started(self: Any) -> None:
        await self.processes[0].child.waitFor(f"{NAMES[-1]} is up")

    async def restartAll(self: Any) -> None:
        child = self.processes[0].child
        child.signal(signal.SIGHUP)
        await child.waitFor("all processes have been restarted", PATIENCE)


class BehindMixin(RollingMixin):
    """
    What must be true of them.
    """

    async def test_conformance(self: Any) -> None:
        """
        The conformance suite passes.
        """
        redis = await Redis(self).start()
        await self.balance(*TRUST, f"--bus={redis.url}")
        await together(*(self.conform(*modules) for modules in CONFORMANCE))

    async def conform(self: Any, *modules: str) -> None:
        """
        Run some modules of the suite.
        """
        suite = [sys.executable, "-m", "tests.conformance", "--proxied", self.balancer.url]
        names = [f"tests.conformance.test_{module}" for module in modules]
        child = Child.spawn([*suite, f"--temp-directory={self.journals / modules[0]}", *names])
        if await child.wait(CONFORMANCE_TIME):
            raise child.failure("failed")

    async def test_load(self: Any) -> None:
        """
        Two thousand sessions of all transports at a time get every message once and in order, and what is published in
        any of the processes, too.
        """
        redis = await Redis(self).start()
        await self.balance(*SERVICES, SLOWER, f"--bus={redis.url}")
        load = Load(self.balancer, "crowd")
        await load.begin(SESSIONS)

        async def talk(customer: Customer) -> None:
            for _ in range(ECHOES):
                await customer.exchange(customer.life)

        await load.each(talk)
        self.assertNone([text for customer in load.customers for text in customer.failures])
        self.assertNone([f"{life.way} has ended with {life.end}" for life in load.lives if life.end is not None])
        self.assertEqual({len(life.echoed) for life in load.lives}, {ECHOES})
        pids = Counter(life.pid for life in load.lives)
        self.assertEqual(set(pids), {process.pid for process in self.processes})
        self.assertGreater(min(pids.values()), SESSIONS / 10, pids)
        await self.publish(load, PUBLISHED)
        load.isOver = True
        await self.goAway(load, together(*(customer.run() for customer in load.customers)), self.journals)

    async def publish(self: Any, load: Load, count: int) -> None:
        """
        Have something published in every process at the same time, which all must get once and in order.
        """
        first = {life.pid: life for life in load.lives if life.end is None}
        for life in load.lives:
            life.published.clear()
        numbers = range(PUBLISH, PUBLISH + count)

        async def speak(life: Life) -> None:
            for number in numbers:
                await life.transmit(number)

        await together(*map(speak, first.values()))
        living = [life for life in load.lives if life.end is None]
        await self.until(lambda: all(len(life.published) >= count * len(first) for life in living))
        short = Counter(life.way for life in living if len(life.published) < count * len(first))
        self.assertEqual(short, {}, "these have not got everything")
        for life in living:
            found = {pid: [text for text in life.published if text.startswith(f"! {pid} ")] for pid in first}
            wanted = {pid: [f"! {pid} {number}" for number in numbers] for pid in first}
            self.assertEqual(found, wanted, f"{life.way} {life.id}")
            self.assertEqual(len(life.published), count * len(first))

    async def test_kill(self: Any) -> None:
        """
        When a process is killed, its clients see their sessions end and connect again; no other session is touched.
        """
        await self.balance(*SERVICES)
        load = Load(self.balancer, "steady")
        await load.begin(STEADY)
        running = load.run()
        await pause(2)
        victim = self.processes[1]
        pid = victim.pid
        hit = [customer for customer in load.customers if customer.life.pid == pid]
        spared = [customer for customer in load.customers if customer.life.pid != pid]
        self.assertGreater(len(hit), STEADY / 10)
        await victim.kill()
        await self.until(lambda: all(len(one.lives) > 1 for one in hit))
        self.assertNone(load.faults())
        self.assertNone([f"{one.way} was to end" for one in hit if one.lives[0].end is None])
        self.assertNone([f"{one.way} ended with {one.lives[0].end}" for one in hit if one.lives[0].end.code == 3000])
        self.assertNone([f"{one.way} ended with {one.life.end}" for one in spared if one.life.end is not None])
        self.assertBack(hit)
        self.assertNotIn(pid, {one.life.pid for one in hit})
        await victim.start()
        await pause(2)
        self.assertNone([f"{one.way} ended with {one.life.end}" for one in load.customers if one.life.end is not None])
        await self.goAway(load, running, self.journals)

    async def test_bus(self: Any) -> None:
        """
        When Redis goes away under load and comes back, the applications are told that something may be missing, and
        then everything goes on by itself.
        """
        redis = await Redis(self).start()
        await self.balance(*SERVICES, f"--bus={redis.url}")
        load = Load(self.balancer, "crowd")
        await load.begin(STEADY)
        running = load.run()
        await self.publish(load, PUBLISHED)
        await redis.kill()
        await pause(1)
        for life in load.lives:
            life.published.clear()
        await redis.start()
        await self.until(lambda: all("! gap" in life.published for life in load.lives))
        self.assertNone([f"{life.way} was not told" for life in load.lives if "! gap" not in life.published])
        await self.publish(load, PUBLISHED)
        self.assertNone([f"{one.way} has ended with {one.lives[0].end}" for one in load.customers if one.lives[0].end])
        await self.goAway(load, running, self.journals)
