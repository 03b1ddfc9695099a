# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Many clients at a time, and what must be true of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred
from twisted.internet.task import deferLater
from twisted.web.client import BrowserLikePolicyForHTTPS

from tests.many.application import PUBLISH
from tests.many.balancers import Balancer, together
from tests.many.clients import SILENCE, WAYS, Ended, Life, open_

__all__ = ["DELAY", "Customer", "Load", "pause"]

DELAY = 0.5
"""Seconds that a client waits before it connects again."""

CROSSING = 30
"""Tenths of a second that a close frame may come after the answer to what was sent when the session was over."""

PACE = 0.3
"""Seconds between two messages of a client."""

AT_A_TIME = 60
"""Sessions that are opened at the same time."""

SEED = 20


def pause(seconds: float) -> Deferred[None]:
    """
    Let time pass.
    """
    return deferLater(reactor, seconds, lambda: None)


class Customer:
    """
    A client that connects again whenever its session ends.

    @ivar lives: its sessions.
    @ivar failures: why it could not open one.
    """

    def __init__(self, load: Load, way: str) -> None:
        self.load = load
        self.way = way
        self.lives: list[Life] = []
        self.failures: list[str] = []

    @property
    def life(self) -> Life:
        """
        The last session.
        """
        return self.lives[-1]

    async def open(self) -> None:
        """
        Open a session, with as many attempts as it takes.
        """
        while True:
            try:
                self.lives.append(await self.load.open(self.way))
                return
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                if len(self.failures) > 20:
                    raise
            await pause(DELAY)

    async def run(self) -> None:
        """
        Send something from time to time, until the load is over.
        """
        while True:
            await self.talk(self.life)
            if self.load.isOver:
                return
            await pause(DELAY)
            await self.open()

    async def talk(self, life: Life) -> None:
        """
        Send one number after the other, each when the one before has come back, until the session ends.
        """
        await pause(self.load.random.uniform(0, PACE))
        while life.end is None:
            await self.exchange(life)
            await pause(PACE)

    async def exchange(self, life: Life) -> None:
        """
        Send a number, and wait until it is back.
        """
        came: Deferred[None] = Deferred()

        def look() -> None:
            if not came.called and (life.end is not None or len(life.echoed) == life.sent):
                came.callback(None)

        life.onMessage = look
        try:
            await life.send()
        except Ended as end:
            # Where it is refused, the close frame was written before, and may come later by its own connection.
            # sockjs-client does not wait for it.
            for _ in range(CROSSING):
                if life.end is None:
                    await pause(0.1)
            life.over(end)
        look()
        await came.addTimeout(SILENCE, reactor)


class Load:
    """
    Many clients.

    @ivar customers: they.
    @ivar isOver: whether sessions that end are the last ones.
    """

    def __init__(self, balancer: Balancer, service: str, ways: Sequence[str] = WAYS) -> None:
        self._url = f"{balancer.url}/{service}"
        self._secureURL = f"{balancer.secureURL}/{service}"
        self._policy = BrowserLikePolicyForHTTPS(
            ssl.trustRootFromCertificates([ssl.Certificate.loadPEM((balancer.place / "c.pem").read_bytes())])
        )
        self._ways = ways
        self.random = random.Random(SEED)
        self.customers: list[Customer] = []
        self.isOver = False

    @property
    def lives(self) -> list[Life]:
        """
        All sessions that there were.
        """
        return [life for customer in self.customers for life in customer.lives]

    async def open(self, way: str) -> Life:
        """
        Open a session.
        """
        return await open_(self._url, self._secureURL, way, self._policy)

    async def each(self, work: Any) -> None:
        """
        Do something with each customer, with some at a time.
        """
        tokens = DeferredSemaphore(AT_A_TIME)
        await together(*(tokens.run(lambda one=one: ensureDeferred(work(one))) for one in self.customers))

    async def begin(self, count: int) -> None:
        """
        Have so many clients, each with a session.
        """
        self.customers = [Customer(self, self._ways[number % len(self._ways)]) for number in range(count)]
        await self.each(Customer.open)

    def run(self) -> Deferred[Any]:
        """
        @return: fires when each client has ended, which it does once the load is over.
        """
        return ensureDeferred(together(*(customer.run() for customer in self.customers)))

    # -- what must be true --------------------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """
        @return: what must not be, in the eyes of clients: messages out of order, missing in between, or twice.
        """
        faults = [f"{life.way} {life.id}: {wrong}" for life in self.lives for wrong in life.wrong]
        for life in self.lives:
            if life.echoed != list(range(len(life.echoed))):
                faults.append(f"{life.way} {life.id}: echoes {life.echoed}")
        return faults

    def losses(self, journals: Path, orderly: Sequence[Life]) -> list[str]:
        """
        @param journals: where the applications have written down what they know.

        @param orderly: sessions that the server has ended in good order.

        @return: what was accepted, and is not there.
        """
        known = {}
        for journal in journals.glob("*.jsonl"):
            for line in journal.read_text("ascii").splitlines():
                entry = json.loads(line)
                known[entry["id"]] = entry
        losses = []
        for life in orderly:
            entry = known.get(life.id)
            if entry is None:
                losses.append(f"{life.way} {life.id} is not known to any application")
                continue
            if entry["written"] != life.count:
                losses.append(f"{life.way} {life.id}: {entry['written']} were written, {life.count} have come")
            if entry["taken"] != list(range(len(entry["taken"]))):
                losses.append(f"{life.way} {life.id}: {entry['taken']} have reached the application")
            accepted = sum(number < PUBLISH for number in life.accepted)
            if accepted > len(entry["taken"]):
                taken = len(entry["taken"])
                losses.append(f"{life.way} {life.id}: {accepted} were accepted, {taken} have reached the application")
        return losses
