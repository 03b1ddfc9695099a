# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A service in a process of its own, which tells what it costs.

It is C{python -m tests.endurance.serving}, with the options of the service as JSON. It listens on a free port of the
loopback interface and says which; then it answers each line on its standard input with what is measured, as JSON.
L{Server} is its other end.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import resource
import sys
from collections import Counter
from typing import Any, NamedTuple

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineReceiver

from tests.processes import Child

__all__ = ["Measure", "Server", "manyDescriptors"]


class Measure(NamedTuple):
    """
    What a service costs at a moment, after a garbage collection.

    @ivar sessions: the sessions that are not over, and the ids that are remembered.
    @ivar calls: the delayed calls of the reactor.
    @ivar descriptors: the open files.
    @ivar rss: the bytes of memory that the process has.
    @ivar peak: the most that it had.
    @ivar lost: how many sessions ended with each close code.
    """

    sessions: int
    calls: int
    descriptors: int
    rss: int
    peak: int
    lost: dict[str, int]


def manyDescriptors() -> None:
    """
    Allow this process as many open files as it may have.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Server:
    """
    Such a process.

    @ivar url: where it serves.
    """

    def __init__(self, child: Child, port: int) -> None:
        self._child = child
        self._numbers = itertools.count()
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    @classmethod
    async def start(cls, **options: Any) -> Server:
        """
        Start one.
        """
        child = Child.spawn([sys.executable, "-m", "tests.endurance.serving", json.dumps(options)], name="the service")
        match = await child.waitFor(r"listening on (\d+)\n")
        return cls(child, int(match[1]))

    async def measure(self) -> Measure:
        """
        Ask what it costs.
        """
        number = next(self._numbers)
        self._child.transport.write(b"%d\r\n" % number)
        match = await self._child.waitFor(rf"(?m)^{number} (\[.*\])\r$")
        return Measure(*json.loads(match[1]))

    def cpu(self) -> float:
        """
        @return: the seconds of processor time that it has taken, for itself and in the kernel.
        """
        with open(f"/proc/{self._child.transport.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def stop(self) -> None:
        """
        End it.
        """
        await self._child.stop()


# -- in that process --------------------------------------------------------------------------------------------------

_PIECE = 1000
_TURN = 64
"""How many pieces an application that writes as fast as it may writes in a turn of the reactor, which is for all."""


class _Application(Protocol):
    """
    Sends everything back; closes for C{close}; for C{push} writes as a producer that honours pauses, and for
    C{torrent} without looking left or right, until its session is over.
    """

    factory: _Applications
    _paused = False
    _writing = False
    _over = False

    def dataReceived(self, data: bytes) -> None:
        if data == b"close":
            self.transport.loseConnection()
        elif data == b"push":
            self.transport.registerProducer(self, True)
            self._write()
        elif data == b"torrent":
            self._write()
        else:
            self.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        self._over = True
        self.factory.lost[str(getattr(reason.value, "code", type(reason.value).__name__))] += 1

    def _write(self) -> None:
        self._writing = False
        for _ in range(_TURN):
            if self._paused or self._over:
                return
            self.transport.write(b"x" * _PIECE)
        self._writing = True
        self.factory.reactor.callLater(0, self._write)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if not self._writing:
            self._write()

    def stopProducing(self) -> None:
        self._over = True


class _Applications(Factory):
    protocol = _Application
    noisy = False

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.lost: Counter[str] = Counter()


class _Control(LineReceiver):
    """
    Answers each line.
    """

    def __init__(self, reactor: Any, service: Any, applications: _Applications) -> None:
        self._reactor = reactor
        self._registry = service._service.registry
        self._applications = applications

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line + b" " + json.dumps(self._measure()).encode("ascii"))

    def _measure(self) -> Measure:
        gc.collect()
        _trim()
        with open("/proc/self/status", encoding="ascii") as status:
            sizes = dict(line.split(":", 1) for line in status)
        return Measure(
            len(self._registry) + len(self._registry._named),
            len(self._reactor.getDelayedCalls()),
            len(os.listdir("/proc/self/fd")),
            int(sizes["VmRSS"].split()[0]) * 1024,
            int(sizes["VmHWM"].split()[0]) * 1024,
            dict(self._applications.lost),
        )

    def connectionLost(self, reason: Any = None) -> None:
        # Whoever started this process is gone.
        if self._reactor.running:
            self._reactor.stop()


def _trim() -> None:
    """
    Let the allocator give back what is free, where it can be asked to: otherwise its reserves look like leaks.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        pass


def main() -> None:
    """
    Serve.
    """
    from twisted.internet import reactor, stdio

    from txsockjs.factory import SockJSFactory

    manyDescriptors()
    applications = _Applications(reactor)
    site = SockJSFactory(applications, json.loads(sys.argv[1]))
    port = reactor.listenTCP(0, site, backlog=1000, interface="127.0.0.1")
    ((service, _),) = site._services
    stdio.StandardIO(_Control(reactor, service, applications))
    print(f"listening on {port.getHost().port}", flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
