# -*- test-case-name: tests.endurance.check_leaks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The leak test: thousands of sessions by each transport, against a service in a process of its own. A third of them is
ended by the service, a third by the client, and a third by a connection that breaks (RST). Sessions, delayed calls and
open files must be back exactly where they were.

Memory must be back within 400 bytes a session, and 1 MiB besides. An object that is left of each session would cost
more: a session with its connection and its protocol has some 3 KiB. The rest is the allocator's: it returns whole
pages only, so that one object that lives on keeps what lay around it. Sessions by which the process warms up come
first, and do not count.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.endurance.clients import ENDINGS, TRANSPORTS, runSession
from tests.endurance.serving import Measure, Server, manyDescriptors

__all__ = ["Result", "measureLeaks"]

_PER_SESSION = 400
_BESIDES = 1024 * 1024
_QUICK = {"disconnect_delay": 1.0, "close_timeout": 1.0}
_SETTLE = 120.0


class Result(NamedTuple):
    """
    What one transport came to.
    """

    transport: str
    sessions: int
    before: Measure
    after: Measure

    @property
    def grown(self) -> int:
        """
        The bytes that are not back.
        """
        return self.after.rss - self.before.rss

    @property
    def failures(self) -> list[str]:
        """
        What is not back where it was.
        """
        found = []
        for name in ("sessions", "calls", "descriptors"):
            before, after = getattr(self.before, name), getattr(self.after, name)
            if before != after:
                found.append(f"{self.transport}: {before} {name} before, {after} after")
        if self.grown > self.sessions * _PER_SESSION + _BESIDES:
            found.append(f"{self.transport}: {self.grown} bytes more after {self.sessions} sessions")
        return found


async def measureLeaks(
    reactor: Any, server: Server, transport: str, sessions: int, warmUp: int, atATime: int = 200
) -> Result:
    """
    Run sessions of one transport.
    """
    numbers = itertools.count()
    await _batches(reactor, server, transport, numbers, warmUp, atATime)
    before = await _settled(reactor, server)
    await _batches(reactor, server, transport, numbers, sessions, atATime)
    after = await _settled(reactor, server)
    return Result(transport, sessions, before, after)


async def _batches(reactor: Any, server: Server, transport: str, numbers: Any, sessions: int, atATime: int) -> None:
    left = sessions
    while left > 0:
        batch = [
            Deferred.fromCoroutine(
                runSession(reactor, server.url, transport, f"{transport}{number}", ENDINGS[number % len(ENDINGS)])
            )
            for number in itertools.islice(numbers, min(left, atATime))
        ]
        left -= len(batch)
        await gatherResults(batch, consumeErrors=True)


async def _settled(reactor: Any, server: Server) -> Measure:
    """
    Wait until sessions are forgotten that ended without a word, and measure.
    """
    end = reactor.seconds() + _SETTLE
    while True:
        measure = await server.measure()
        if not measure.sessions or reactor.seconds() > end:
            # Connections that broke are noticed in the same turn, but those that close may take another moment.
            await deferLater(reactor, 1.5)
            return await server.measure()
        await deferLater(reactor, 0.5)


def options(parser: Any) -> None:
    """
    Say what the command takes.
    """
    parser.add_argument("--sessions", type=int, default=10_000, help="how many by each transport; 10000 by default")
    parser.add_argument("--warm-up", type=int, default=20_000, help="how many before; 20000 by default")
    parser.add_argument("--transport", nargs="+", default=TRANSPORTS, choices=TRANSPORTS, help="all by default")


async def main(reactor: Any, arguments: Any) -> int:
    """
    @return: the exit status.
    """
    manyDescriptors()
    server = await Server.start(**_QUICK)
    failures = []
    print(f"{'':14} {'sessions':>16} {'delayed calls':>16} {'open files':>16} {'MiB':>16} {'bytes/session':>14}")
    for transport in arguments.transport:
        result = await measureLeaks(reactor, server, transport, arguments.sessions, arguments.warm_up)
        failures += result.failures
        before, after = result.before, result.after
        print(
            f"{transport:14} {before.sessions:>8}{after.sessions:>8} {before.calls:>8}{after.calls:>8} "
            f"{before.descriptors:>8}{after.descriptors:>8} {before.rss / 2**20:>8.1f}{after.rss / 2**20:>8.1f} "
            f"{result.grown / result.sessions:>14.0f}",
            flush=True,
        )
    await server.stop()
    print("\n".join(failures) or "nothing is left")
    return 1 if failures else 0
