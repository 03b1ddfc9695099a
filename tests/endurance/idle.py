# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Idle sessions: opens thousands of them, lets them be, and prints what that costs the service: seconds of processor time
per second, with heartbeats and pings as they are by default and with both off, and bytes of memory a session. Clients
answer pings.

With both off nothing should be left of the processor time but noise. With both on it is the price of real work: with
10,000 sessions and 25 seconds, 400 heartbeats a second are sent, and by WebSocket 400 pings besides.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from tests.endurance.idlers import TRANSPORTS
from tests.endurance.serving import Server
from tests.processes import Child

_A_PROCESS = 5000
_OPENING = 600.0


async def _measure(reactor: Any, arguments: Any, transport: str, title: str, settings: dict[str, Any]) -> bool:
    server = await Server.start(**settings)
    children = []
    try:
        # What the first sessions cost is no cost of a session.
        warmUp = await _idlers(server, transport, 200, 0)
        for child in warmUp:
            await child.stop()
        await deferLater(reactor, 7)
        empty = await server.measure()
        children = await _idlers(server, transport, arguments.sessions, 1000)
        full = await server.measure()
        started = server.cpu()  # after what measuring costs
        await deferLater(reactor, arguments.seconds)
        cpu = (server.cpu() - started) / arguments.seconds
        idle = await server.measure()
        whole = idle.sessions >= arguments.sessions and not any("gone" in child.text() for child in children)
        print(
            f"{transport:14} {title:28} {arguments.sessions:>8} {cpu:>10.4f} "
            f"{(full.rss - empty.rss) / arguments.sessions:>14.0f} {(idle.rss - empty.rss) / arguments.sessions:>14.0f}"
            f"{'' if whole else '  some sessions were lost'}",
            flush=True,
        )
    finally:
        for child in children:
            await child.stop()
        await server.stop()
    return whole


async def _idlers(server: Server, transport: str, sessions: int, first: int) -> list[Child]:
    children, opened = [], []
    for start in range(0, sessions, _A_PROCESS):
        count = min(_A_PROCESS, sessions - start)
        command = [sys.executable, "-m", "tests.endurance.idlers", str(server.port), transport, str(count)]
        child = Child.spawn([*command, str(first + start)], name="idle clients")
        children.append(child)
        opened.append(child.waitFor(rf"(?m)^open {count}$", _OPENING))
    await gatherResults(opened)
    return children


def options(parser: Any) -> None:
    """
    Say what the command takes.
    """
    parser.add_argument("--sessions", type=int, default=10_000, help="how many; 10000 by default")
    parser.add_argument("--seconds", type=float, default=60, help="how long they are idle; 60 by default")
    parser.add_argument(
        "--transport", nargs="+", default=["websocket"], choices=TRANSPORTS, help="websocket by default"
    )


async def main(reactor: Any, arguments: Any) -> int:
    """
    @return: the exit status.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < arguments.sessions + 100:
        print(f"{arguments.sessions} sessions need as many open files, and this process may have {most}")
        return 2
    print(f"{'':43} {'sessions':>8} {'CPU s/s':>10} {'bytes/session':>14} {'after idling':>14}")
    whole = True
    for transport in arguments.transport:
        for title, settings in (
            ("heartbeats and pings on", {}),
            ("heartbeats and pings off", {"heartbeat_delay": 0, "ping_interval": 0}),
        ):
            whole &= await _measure(reactor, arguments, transport, title, settings)
    return 0 if whole else 1
