# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Four processes behind a real HAProxy or nginx, which runs what is in C{examples/deploy}: only addresses, ports and
certificates are others.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.certificates import makeCertificate
from tests.processes import ROOT, Child, findProgram, serverCommand
from tests.wire import HTTPClient

__all__ = [
    "NAMES",
    "Balancer",
    "HAProxy",
    "Nginx",
    "Process",
    "example",
    "freePorts",
    "portsInARow",
    "together",
    "workplace",
]

NAMES = ("p1", "p2", "p3", "p4")
"""The processes."""

DEPLOY = Path(ROOT.path) / "examples" / "deploy"

WAIT = 60.0
"""Seconds until a balancer must have noticed what it is to notice."""

LEAVE = 150.0
"""Seconds until a process must have seen all of its clients off, which are many, and all in one process."""

TWICE = 0.3
"""Seconds between two signals, which are taken for one otherwise."""

_given: set[int] = set()
"""The ports that were given to somebody, who may not be there yet."""


async def together(*work: Any) -> list[Any]:
    """
    Do things at the same time.
    """
    return await gatherResults([ensureDeferred(one) for one in work], consumeErrors=True)


def freePorts(count: int) -> list[int]:
    """
    @return: ports of the loopback interface that nobody has, and that were not given before. The system gives none of
        them to a connection: between now and their use there are thousands.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        if port not in _given and _isFree(port):
            ports.append(port)
            _given.add(port)
    return ports


def _isFree(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def portsInARow(count: int) -> list[int]:
    """
    @return: as L{freePorts}, each the next one of that before.
    """
    while True:
        first = freePorts(1)[0]
        ports = list(range(first, first + count))
        if _given.isdisjoint(ports[1:]) and all(_isFree(port) for port in ports):
            _given.update(ports)
            return ports


def workplace(case: TestCase) -> Path:
    """
    Make a directory with a short path, as Unix sockets need it, that is there until the test is over. It has a
    certificate in it: C{c.pem}, C{k.pem}, and both in C{both.pem}.
    """
    place = Path(tempfile.mkdtemp(prefix="sockjs-"))
    case.addCleanup(shutil.rmtree, place, ignore_errors=True)
    place.chmod(0o755)  # nginx becomes somebody else
    pem = makeCertificate(place)
    (place / "both.pem").write_bytes(pem + (place / "k.pem").read_bytes())
    return place


def example(name: str, changes: Mapping[str, str]) -> str:
    """
    @param changes: what takes the place of what; each has to be there.

    @return: the text of a file in C{examples/deploy} with these changes.
    """
    text = (DEPLOY / name).read_text("ascii")
    for old, new in changes.items():
        if old not in text:
            raise AssertionError(f"{name} does not have {old!r}")
        text = text.replace(old, new)
    return text


class Process:
    """
    One C{twistd sockjs}, on a port that it has again when it is started again.

    @ivar name: its name.
    @ivar port: its port.
    @ivar arguments: of its command.
    @ivar wrapping: what stands before the description of its port.
    @ivar child: it.
    """

    def __init__(self, name: str, port: int, environment: Mapping[str, str]) -> None:
        self.name = name
        self.port = port
        self.arguments: Sequence[str] = ()
        self.wrapping = ""
        self._environment = environment
        self.child: Child

    @property
    def pid(self) -> int:
        """
        The id of the process.
        """
        return self.child.transport.pid

    async def start(self) -> None:
        """
        Start it, and wait until it serves.
        """
        path = os.pathsep.join(part for part in (ROOT.path, os.environ.get("PYTHONPATH")) if part)
        named = [f"--process-name={self.name}"] if self.name in NAMES else []  # a supervisor names its own
        command = serverCommand(*named, *self.arguments, port=self.port)
        command = [self.wrapping + part if part.startswith("tcp:") else part for part in command]
        self.child = Child.spawn(command, environment={**self._environment, "PYTHONPATH": path}, name=self.name)
        await self.child.waitFor(rf"serving http://127\.0\.0\.1:{self.port}/")

    async def stop(self) -> int:
        """
        Tell it to end, and wait until it has.
        """
        return await self.child.stop(LEAVE)

    async def clear(self) -> None:
        """
        See that it is gone, if it was ever there. When it is told once more it does not wait for its clients.
        """
        if hasattr(self, "child") and self.child.status is None:
            self.child.signal(signal.SIGTERM)
            await deferLater(reactor, TWICE, lambda: None)
            await self.child.stop()

    async def kill(self) -> None:
        """
        End it at once.
        """
        self.child.signal(signal.SIGKILL)
        await self.child.ended()


class Balancer:
    """
    A balancer.

    @ivar url: what URLs through it begin with.
    @ivar secureURL: the same with TLS.
    @ivar port: the port of the former.
    @ivar place: the directory of what it needs.
    @ivar child: its process.
    """

    program: str
    changes: Mapping[str, str]

    def __init__(self, place: Path, ports: Sequence[int], changes: Mapping[str, str]) -> None:
        """
        @param place: see L{workplace}.

        @param ports: those of the processes; nothing has to be there yet.

        @param changes: what to change in the example, beside addresses, ports and certificates.
        """
        findProgram(self.program.partition(".")[0])
        self.place = place
        self._plain, self._secure, self._open, self._peers = freePorts(4)
        self.port = self._open
        self.url = f"http://127.0.0.1:{self.port}"
        self.secureURL = f"https://127.0.0.1:{self._secure}"
        self.redirectingURL = f"http://127.0.0.1:{self._plain}"
        self.path = place / self.program
        # The command in the comments names one of these too, in another way.
        self.servers = {f"127.0.0.1:808{number}": f"127.0.0.1:{port}" for number, port in enumerate(ports, 1)}
        self.path.write_text(example(self.program, {**changes, **self.places(), **self.servers}), "ascii")
        self.child: Child

    def places(self) -> dict[str, str]:
        """
        @return: the addresses, ports and certificates.
        """
        raise NotImplementedError

    def command(self) -> list[str]:
        """
        @return: what starts it.
        """
        raise NotImplementedError

    async def start(self, case: TestCase) -> None:
        """
        Start it, and wait until it has found all processes; it is stopped when the test is over.
        """
        self.child = Child.spawn(self.command(), name=self.program)
        case.addCleanup(lambda: ensureDeferred(self.child.stop()))
        await self.ready()

    async def ready(self) -> None:
        """
        Wait until it serves by all processes.
        """
        raise NotImplementedError

    async def _answers(self) -> None:
        """
        Wait until it answers.
        """
        client = HTTPClient(reactor, self.url)

        async def connect() -> None:
            (await client.connect()).abort()

        await self._succeeds(connect)

    async def _succeeds(self, attempt: Callable[[], Awaitable[object]]) -> None:
        """
        Wait until it listens: until something succeeds that needs that.
        """
        end = reactor.seconds() + WAIT
        while True:
            try:
                await attempt()
                return
            except Exception:
                if self.child.status is not None or reactor.seconds() > end:
                    raise self.child.failure("does not listen")
                await deferLater(reactor, 0.05, lambda: None)


class HAProxy(Balancer):
    """
    HAProxy, with a master process as the system's service has it.

    @ivar backend: the one that is used.
    """

    program = "haproxy.cfg"
    others = "haproxy-other-ways.cfg"

    def __init__(self, place: Path, ports: Sequence[int], changes: Mapping[str, str]) -> None:
        super().__init__(place, ports, changes)
        self.backend = changes.get("default_backend sockjs", "sockjs").rpartition(" ")[2]
        (place / self.others).write_text(example(self.others, self.servers), "ascii")

    def places(self) -> dict[str, str]:
        places = {
            "log /dev/log local0": "log stdout format raw local0",
            "/run/haproxy/admin.sock": str(self.place / "admin"),
            "/etc/haproxy/sockjs.pem": str(self.place / "both.pem"),
            "bind :443": f"bind 127.0.0.1:{self._secure}",
            "bind :80\n": f"bind 127.0.0.1:{self._plain}\n",
            "127.0.0.1:8080": f"127.0.0.1:{self._open}",
            "127.0.0.1:10000": f"127.0.0.1:{self._peers}",
        }
        if os.getuid():  # only the superuser can become somebody else
            places["    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n"] = ""
        return places

    def command(self) -> list[str]:
        return [findProgram("haproxy"), "-W", "-db", "-f", str(self.path), "-f", str(self.place / self.others)]

    async def ask(self, command: str) -> str:
        """
        Give an order by the socket of its admin.

        @return: the answer.
        """
        answered: Deferred[str] = Deferred()
        from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
        from twisted.internet.protocol import Protocol

        class Asking(Protocol):
            answer = b""

            def connectionMade(self) -> None:
                self.transport.write(command.encode("ascii") + b"\n")

            def dataReceived(self, data: bytes) -> None:
                self.answer += data

            def connectionLost(self, reason: Any = None) -> None:
                answered.callback(self.answer.decode("ascii"))

        await connectProtocol(UNIXClientEndpoint(reactor, str(self.place / "admin")), Asking())
        return await answered.addTimeout(WAIT, reactor)

    async def states(self) -> dict[str, str]:
        """
        @return: how it finds each process: C{UP}, C{DOWN}, C{DRAIN} and so on.
        """
        rows = [line.split(",") for line in (await self.ask("show stat")).splitlines() if line]
        name, status = rows[0].index("svname"), rows[0].index("status")
        return {row[name]: row[status] for row in rows[1:] if row[0] == self.backend and row[name] != "BACKEND"}

    async def waitFor(self, name: str, *states: str) -> None:
        """
        Wait until it finds a process to be in one of some states.
        """
        end = reactor.seconds() + WAIT
        while (found := (await self.states())[name]) not in states:
            if reactor.seconds() > end:
                raise self.child.failure(f"has {name} as {found}, not {states}")
            await deferLater(reactor, 0.05, lambda: None)

    async def ready(self) -> None:
        await self._answers()
        await self._succeeds(self.states)  # its ports are open before there is the socket of its admin
        for name in NAMES:
            await self.waitFor(name, "UP")

    async def reload(self) -> None:
        """
        Have it begin anew with its file, as C{systemctl reload} does, and wait until the old one takes no more.
        """
        before = self.child.errors.count(b"New worker")
        self.child.signal(signal.SIGUSR2)
        await self.child.waitFor(rf"(?s)(New worker.*){{{before + 1}}}Loading success")


class Nginx(Balancer):
    """
    nginx.
    """

    program = "nginx.conf"

    def places(self) -> dict[str, str]:
        temporary = "".join(
            f"    {kind}_temp_path {self.place / kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return {
            "http {\n": f"http {{\n{temporary}",
            "pid /run/nginx.pid": f"pid {self.place / 'pid'}",
            "error_log /var/log/nginx/error.log": "error_log stderr",
            "/etc/nginx/sockjs.pem": str(self.place / "c.pem"),
            "/etc/nginx/sockjs.key": str(self.place / "k.pem"),
            "listen 80;": f"listen 127.0.0.1:{self._plain};",
            "listen 443": f"listen 127.0.0.1:{self._secure}",
            "127.0.0.1:8080": f"127.0.0.1:{self._open}",
        }

    def command(self) -> list[str]:
        return [findProgram("nginx"), "-p", str(self.place), "-c", str(self.path), "-g", "daemon off;"]

    async def ready(self) -> None:
        await self._answers()
