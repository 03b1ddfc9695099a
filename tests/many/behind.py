# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What must be true behind each balancer.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests.many.balancers import Balancer, Process, together, workplace
from tests.many.load import Customer, Load, pause

__all__ = ["BehindMixin"]

SESSIONS = 2000
"""How many there are at a time, by all transports."""

ECHOES = 3
"""How many messages each of them sends."""

STEADY = 240
"""Clients while processes come and go."""

TRUST = ("--trusted-proxies=127.0.0.1", "--proxy-header=x-forwarded-for")

SERVICES = (
    *TRUST,
    "--factory=load=tests.many.application.Member",
    "--factory=steady=tests.many.application.Ticking",
    "--factory=peer=tests.many.application.Peer",
)


class BehindMixin:
    """
    Four processes behind a balancer.

    @cvar balancerType: which.
    @cvar more: what the processes are given, too.
    """

    timeout = 300
    balancerType: type[Balancer]
    more: tuple[str, ...] = ()

    async def serve(self: Any, *arguments: str, changes: Any = None) -> None:
        """
        Start processes and the balancer.
        """
        self.journals = workplace(self)
        self.processes = await Process.startAll(self, *arguments, environment={"JOURNAL": str(self.journals)})
        self.balancer = await self.balancerType.start(self, self.processes, changes)

    def assertNone(self: Any, faults: list[str]) -> None:
        """
        Nothing is wrong.
        """
        if faults:
            more = f"\nand {len(faults) - 20} more" if len(faults) > 20 else ""
            self.fail("\n".join(faults[:20]) + more)

    async def goAway(self: Any, load: Load, running: Any, journals: Path) -> None:
        """
        End everything in good order, after which nothing may be missing.
        """
        load.isOver = True
        last = [customer.life for customer in load.customers if customer.life.end is None]
        await together(*(process.stop() for process in self.processes), running)
        bad = [f"{life.way} {life.id} ended with {life.end}" for life in last if life.end.code != 3000]
        self.assertNone(bad + load.faults() + load.losses(journals, last))

    async def test_load(self: Any) -> None:
        """
        Two thousand sessions of all transports at a time get every message once and in order.
        """
        await self.serve(*SERVICES)
        load = Load(self.balancer, "load")
        await load.begin(SESSIONS)

        async def talk(customer: Customer) -> None:
            for _ in range(ECHOES):
                await customer.exchange(customer.life)

        await load.each(talk)
        self.assertNone([text for customer in load.customers for text in customer.failures])
        self.assertNone([f"{life.way} has ended with {life.end}" for life in load.lives if life.end is not None])
        self.assertEqual({len(life.echoed) for life in load.lives}, {ECHOES})
        pids = Counter(life.pid for life in load.lives)
        self.assertEqual(set(pids), {process.child.transport.pid for process in self.processes})
        self.assertGreater(min(pids.values()), SESSIONS / 10, pids)
        load.isOver = True
        await self.goAway(load, together(*(customer.run() for customer in load.customers)), self.journals)

    async def test_kill(self: Any) -> None:
        """
        When a process is killed, its clients see their sessions end and connect again; no other session is touched.
        """
        await self.serve(*SERVICES)
        load = Load(self.balancer, "steady")
        await load.begin(STEADY)
        running = load.run()
        await pause(2)
        victim = self.processes[1]
        pid = victim.child.transport.pid
        hit = [customer for customer in load.customers if customer.life.pid == pid]
        spared = [customer for customer in load.customers if customer.life.pid != pid]
        self.assertGreater(len(hit), STEADY / 10)
        await victim.kill()
        await pause(4)
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

    def assertBack(self: Any, customers: list[Customer]) -> None:
        """
        Clients are back, by their first attempt.
        """
        self.assertNone([f"{one.way} is not back: {one.failures}" for one in customers if len(one.lives) < 2])
        self.assertNone([f"{one.way} had to try again: {one.failures}" for one in customers if one.failures])

    async def test_rollingRestart(self: Any) -> None:
        """
        When all processes are started again, one after the other, every session ends in good order, nothing that was
        accepted is lost, and every client is back by its first attempt.
        """
        await self.serve(*SERVICES)
        load = Load(self.balancer, "steady")
        await load.begin(STEADY)
        running = load.run()
        await pause(2)
        first = {process.child.transport.pid for process in self.processes}
        await self.restartAll()
        await pause(2)
        ended = [life for life in load.lives if life.end is not None]
        self.assertNone([f"{life.way} ended with {life.end}" for life in ended if life.end.code != 3000])
        self.assertNone([f"{one.way} is where it was" for one in load.customers if one.life.pid in first])
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
