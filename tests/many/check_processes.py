# -*- test-case-name: tests.many.check_processes -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
C{twistd sockjs --processes}, with real processes that are killed, broken and restarted.

It takes about a minute, so it is not part of the ordinary run.  Start it with::

    python -m twisted.trial tests.many.check_processes
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import textwrap
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.processes import ROOT, Child, findProgram
from tests.wire import HTTPClient, Response
from txsockjs.tap import Options

__all__ = ["PrintedTests", "ProcessesTests", "UnitsTests"]

LOCAL = "tcp:0:interface=127.0.0.1"

CLOSING = b'c[3000,"Go away!"]\n'

APPLICATION = """
    from pathlib import Path

    from twisted.internet.protocol import Protocol

    if Path(__file__).with_name("broken").exists():
        raise RuntimeError("it is broken")


    class Echo(Protocol):
        def dataReceived(self, data):
            self.transport.write(data)
"""

RUNNERS = {
    "twistd": ["from twisted.scripts.twistd import run; run()", "--pidfile=", "-n"],
    "daemon": ["from twisted.scripts.twistd import run; run()", "--pidfile=d.pid", "--logfile=d.log"],
    "twist": [
        "import sys; from twisted.application.twist._twist import Twist; Twist.main(sys.argv)",
        "--log-format=text",
    ],
}


def isAlive(pid: int) -> bool:
    """
    @return: whether there is a process, other than one that only waits to be forgotten.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


async def until(condition, what: str, patience: float = 30.0) -> None:
    """
    Wait until something is so.
    """
    end = reactor.seconds() + patience
    while not condition():
        if reactor.seconds() > end:
            raise AssertionError(f"not within {patience} seconds: {what}")
        await deferLater(reactor, 0.05)


class SupervisorCase(TestCase):
    """
    Starts supervisors.
    """

    timeout = 120

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp()).resolve()
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        (self.directory / "many_app.py").write_text(textwrap.dedent(APPLICATION))
        (self.directory / "tmp").mkdir()

    def spawn(self, *arguments: str, runner: str = "twistd") -> Child:
        """
        Start a supervisor.
        """
        program, *flags = RUNNERS[runner]
        flags = [flag.replace("=d.", f"={self.directory}/d.") for flag in flags]
        command = [sys.executable, "-c", program, *flags, "sockjs", "--app-dir", str(self.directory), *arguments]
        path = os.pathsep.join(part for part in (ROOT.path, os.environ.get("PYTHONPATH")) if part)
        environment = {"PYTHONPATH": path, "TMPDIR": str(self.directory / "tmp")}
        child = Child.spawn(command, environment=environment, name=f"{runner} sockjs")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.end(child)))
        return child

    async def end(self, child: Child) -> None:
        """
        End a supervisor, if it has not ended, and make sure that none of its processes is left.
        """
        if child.status is None:
            child.signal(signal.SIGTERM)
            await deferLater(reactor, 0.5)
            child.signal(signal.SIGINT)  # with none left to be polite to
            await child.stop()
        left = [int(pid) for pid in re.findall(r"is up, as process (\d+)", child.text())]
        await until(lambda: not any(map(isAlive, left)), "no process is left behind")

    def pids(self, child: Child) -> dict[str, int]:
        """
        @return: the process of each name that came up last.
        """
        return {name: int(pid) for name, pid in re.findall(r"(p\d+) is up, as process (\d+)", child.text())}


class ProcessesTests(SupervisorCase):
    """
    A supervisor and its processes.
    """

    async def start(self, *arguments: str, count: int = 2, runner: str = "twistd") -> Child:
        """
        Start a supervisor, and wait until its processes serve.
        """
        flags = ["--port", LOCAL, "--factory", "many_app.Echo", *arguments]
        child = self.spawn("--processes", str(count), *flags, runner=runner)
        await gatherResults([child.waitFor(rf"p{number} is up") for number in range(1, count + 1)])
        return child

    def client(self, child: Child, name: str) -> HTTPClient:
        """
        @return: a client of the process of this name.
        """
        client = HTTPClient(reactor, re.findall(rf"{name}: serving (http://127\.0\.0\.1:\d+)/", child.text())[-1])
        self.addCleanup(client.close)
        return client

    async def stream(self, child: Child, name: str) -> Response:
        """
        Open a session with a process.
        """
        response = await self.client(child, name).request("POST", "/0/s/xhr_streaming")
        self.assertEqual([len(await response.chunk()), await response.chunk()], [2049, b"o\n"])
        return response

    async def polling(self, child: Child, name: str) -> HTTPClient:
        """
        Open a session whose client is away.
        """
        client = self.client(child, name)
        self.assertEqual(await (await client.request("POST", "/0/p/xhr")).body(), b"o\n")
        return client

    def order(self, child: Child, *words: str) -> list[str]:
        """
        @return: what the log tells of these, in its order.
        """
        return re.findall(rf"(p\d+:? (?:{'|'.join(words)}))", child.text())

    async def test_killed(self) -> None:
        """
        A process that is killed is started again, with a pause since it has not lived for long. The sessions of the
        others do not notice.
        """
        child = await self.start()
        streams = [await self.stream(child, name) for name in ("p1", "p2")]
        before = self.pids(child)
        os.kill(before["p2"], signal.SIGKILL)
        await child.waitFor(r"p2 has ended: by signal 9 \(SIGKILL\); it is started again in 1 s")
        await child.waitFor(r"(?s)p2 is up.*p2 is up")
        self.assertIsNotNone(streams[1].wire.lost)
        after = self.pids(child)
        self.assertNotEqual(before["p2"], after["p2"])
        self.assertEqual(before["p1"], after["p1"])
        send = await self.client(child, "p1").request("POST", "/0/s/xhr_send", body=b'["x"]')
        self.assertEqual((send.status, await streams[0].chunk()), (204, b'a["x"]\n'))
        await self.stream(child, "p2")

    async def test_broken(self) -> None:
        """
        A process that can't start any more is tried again with more and more delay, and says why; a rolling restart
        ends with the first that does not come up. When it is mended it comes up by itself.
        """
        child = await self.start(count=2)
        before = self.pids(child)
        (self.directory / "broken").touch()
        child.signal(signal.SIGHUP)
        why = r"p1 has ended: .*RuntimeError: it is broken.*; it is started again in "
        await child.waitFor(why + "1 s")
        await child.waitFor("p1 does not come up; the processes after it are not restarted")
        await child.waitFor(why + "2 s")
        (self.directory / "broken").unlink()
        await child.waitFor(r"(?s)p1 is up.*p1 is up")
        self.assertEqual(len(re.findall("p1 has ended: ", child.text())), 2)
        self.assertEqual(self.pids(child)["p2"], before["p2"])
        self.assertNotIn("Traceback", child.text())

    async def test_rolling(self) -> None:
        """
        A rolling restart takes one process after the other, each with an orderly end for its sessions, and goes on
        when it serves again.
        """
        child = await self.start()
        before = self.pids(child)
        streams = [await self.stream(child, name) for name in ("p1", "p2")]
        child.signal(signal.SIGHUP)
        for response in streams:
            self.assertEqual(await response.chunk(), CLOSING)
        await child.waitFor("all processes have been restarted")
        after = self.pids(child)
        self.assertFalse(set(before.values()) & set(after.values()))
        turn = [f"{name} {what}" for name in ("p1", "p2") for what in ("has ended", "is up")]
        self.assertEqual(self.order(child, "has ended", "is up")[2:], turn)
        self.assertFalse(any(isAlive(pid) for pid in before.values()))
        self.assertNotIn("it is started again", child.text())

    async def test_drain(self) -> None:
        """
        At the end one process after the other sees off its sessions, and the next one serves as long as it is not its
        turn. The time that each has is C{--drain-timeout}.
        """
        child = await self.start("--drain-timeout", "2", "--disconnect-delay", "60")
        (runDirectory,) = (self.directory / "tmp").iterdir()
        self.assertEqual(runDirectory.stat().st_mode & 0o777, 0o700)
        await self.polling(child, "p1")  # and it does not come back
        last = await self.stream(child, "p2")
        child.signal(signal.SIGTERM)
        await child.waitFor("p1: closing 1 sessions")
        refused = await self.client(child, "p1").request("POST", "/0/new/xhr")
        self.assertEqual(refused.status, 503)
        taken = await self.client(child, "p2").request("POST", "/0/new/xhr")
        self.assertEqual(taken.status, 200)
        self.assertNotIn("p2: closing", child.text())
        self.assertEqual(await last.chunk(), CLOSING)
        self.assertEqual(await child.wait(60), -signal.SIGTERM)
        order = ["p1: closing", "p1 has ended", "p2: closing", "p2 has ended"]
        self.assertEqual(self.order(child, "closing", "has ended"), order)
        self.assertIn("p1: the time is over", child.text())
        self.assertNotIn("Traceback", child.text())
        self.assertFalse(runDirectory.exists())

    async def test_secondSignal(self) -> None:
        """
        With a second signal all processes end at once.
        """

        async def hurry(runner: str) -> None:
            child = await self.start("--drain-timeout", "600", "--disconnect-delay", "600", runner=runner)
            for name in ("p1", "p2"):
                await self.polling(child, name)
            pids = self.pids(child)
            child.signal(signal.SIGTERM)
            await child.waitFor("p1: closing 1 sessions")
            child.signal(signal.SIGINT)
            await child.wait(20)
            self.assertFalse(any(isAlive(pid) for pid in pids.values()))
            self.assertIn("p2 has ended", child.text())
            self.assertNotIn("Traceback", child.text())

        await gatherResults([Deferred.fromCoroutine(hurry(runner)) for runner in ("twistd", "twist")])

    async def test_supervisorKilled(self) -> None:
        """
        When the supervisor is killed its processes leave, in an orderly way, and leave nothing behind.
        """
        child = await self.start("--metrics", LOCAL, count=2)
        (runDirectory,) = (self.directory / "tmp").iterdir()
        self.assertEqual(len(list(runDirectory.iterdir())), 4)  # a socket and its lock of each
        streams = [await self.stream(child, name) for name in ("p1", "p2")]
        pids = self.pids(child)
        self.assertTrue(all(isAlive(pid) for pid in pids.values()))
        child.signal(signal.SIGKILL)
        for response in streams:
            self.assertEqual(await response.chunk(), CLOSING)
        await until(lambda: not any(isAlive(pid) for pid in pids.values()), "the processes have left")
        self.assertEqual(list((self.directory / "tmp").iterdir()), [])

    async def test_firstFails(self) -> None:
        """
        When not even the first process can start, the supervisor ends with one line and the status 1.
        """
        (self.directory / "broken").touch()

        async def fail(runner: str) -> None:
            child = self.spawn("--processes", "3", "--port", LOCAL, "--factory", "many_app.Echo", runner=runner)
            self.assertEqual(await child.wait(60), 1)
            (line,) = (line for line in child.text().splitlines() if line.startswith("sockjs:"))
            self.assertRegex(line, r"^sockjs: p1: module many_app can't be imported: RuntimeError: it is broken")
            self.assertNotIn("Traceback", child.text())
            self.assertNotIn("p2:", child.text())

        await gatherResults([Deferred.fromCoroutine(fail(runner)) for runner in ("twistd", "twist")])

    async def test_daemon(self) -> None:
        """
        As a daemon it has a PID file and a log, and takes its signals as ever; sockets are named as the processes are.
        """
        log, pidfile = self.directory / "d.log", self.directory / "d.pid"
        place = self.directory / "app.sock"
        child = self.spawn("--processes", "2", "--port", f"unix:{place}", "--factory", "many_app.Echo", runner="daemon")
        self.assertEqual(await child.wait(60), 0)
        await until(lambda: log.exists() and "p2 is up" in log.read_text(), "p2 is up")
        pid = int(pidfile.read_text())
        self.addCleanup(lambda: isAlive(pid) and os.kill(pid, signal.SIGKILL))
        self.assertTrue(place.with_name("app-p1.sock").is_socket())
        self.assertTrue(place.with_name("app-p2.sock").is_socket())
        os.kill(pid, signal.SIGHUP)
        await until(lambda: "all processes have been restarted" in log.read_text(), "a rolling restart")
        os.kill(pid, signal.SIGTERM)
        await until(lambda: not isAlive(pid), "the end of the daemon")
        self.assertFalse(pidfile.exists())
        self.assertFalse(place.with_name("app-p1.sock").exists())
        self.assertNotIn("Traceback", log.read_text())


class PrintedTests(SupervisorCase):
    """
    What C{--print-haproxy-config} prints, in a real HAProxy in front of the same processes.
    """

    async def balance(self, *arguments: str) -> HTTPClient:
        """
        Start three processes on Unix sockets, and HAProxy by what is printed for them.

        @return: a client of HAProxy.
        """
        haproxy = findProgram("haproxy")
        flags = ["--processes", "2", "--factory", "echo=many_app.Echo", *arguments]
        self.patch(sys, "path", list(sys.path))
        with redirect_stdout(StringIO()) as printed:
            self.assertRaises(SystemExit, Options().parseOptions, [*flags, "--print-haproxy-config"])
        child = self.child = self.spawn(*flags)
        await gatherResults([child.waitFor(rf"p{number} is up") for number in (1, 2)])
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        text = printed.getvalue()
        # What needs the superuser, a certificate, or ports that others may have.
        text = re.sub(
            r"^    (log|user|group|chroot|stats socket|option httplog|bind) .*\n", "", text, flags=re.MULTILINE
        )
        text = text.replace("frontend plain\n", f"frontend plain\n    bind unix@{self.directory}/plain\n")
        text = text.replace("frontend public\n", f"frontend public\n    bind 127.0.0.1:{port}\n")
        text = text.replace("127.0.0.1:10000", f"unix@{self.directory}/peer")
        path = self.directory / "haproxy.cfg"
        path.write_text(text)
        balancer = Child.spawn([haproxy, "-db", "-f", str(path)], name="haproxy")
        self.addCleanup(lambda: Deferred.fromCoroutine(balancer.stop()))
        client = HTTPClient(reactor, f"http://127.0.0.1:{port}/echo")
        self.addCleanup(client.close)

        async def serves() -> bool:
            try:
                return (await client.request("GET", "/info")).status == 200
            except ConnectError:
                return False

        end = reactor.seconds() + 30
        while not await serves():
            if balancer.status is not None or reactor.seconds() > end:
                raise balancer.failure("does not serve")
            await deferLater(reactor, 0.05)
        return client

    async def echo(self, client: HTTPClient, name: str, cookie: str | None) -> str | None:
        """
        Poll, and send, each by a connection of its own.

        @return: the cookie that was set, if there was one.
        """

        async def ask(transport: str, body: bytes = b"") -> bytes:
            nonlocal cookie
            headers = [] if cookie is None else [("Cookie", cookie)]
            response = await client.request("POST", f"/0/{name}/{transport}", headers, body)
            self.assertIn(response.status, (200, 204))
            cookie = (response.headers.get("Set-Cookie") or "").partition(";")[0] or None
            return await response.body()

        self.assertEqual(await ask("xhr"), b"o\n")
        for number in range(5):
            await ask("xhr_send", b'["%d"]' % number)
            self.assertEqual(await ask("xhr"), b'a["%d"]\n' % number)
        return cookie

    async def test_table(self) -> None:
        """
        A session stays with its process by its URL.
        """
        client = await self.balance("--port", f"unix:{self.directory}/app.sock")
        cookies = [await self.echo(client, f"s{number}", None) for number in range(6)]
        self.assertEqual(cookies, [None] * 6)

    async def test_cookie(self) -> None:
        """
        A client stays with its process by its cookie. When this process stops, sessions that it has get their close
        frame, and new ones go to another process, whose name is in the cookie then. All this by the PROXY protocol.
        """
        more = ["--cookie-needed", "--disconnect-delay", "20", "--drain-timeout", "20"]
        client = await self.balance("--port", f"haproxy:unix:{self.directory}/app.sock", *more)
        cookies = [await self.echo(client, f"s{number}", None) for number in range(6)]
        self.assertEqual(set(cookies), {f"JSESSIONID=p{number}.dummy" for number in (1, 2)})
        for sent in ("p2.abc", "p1.dummy"):
            kept = await self.echo(client, sent.replace(".", ""), f"JSESSIONID={sent}")
            self.assertEqual(kept, f"JSESSIONID={sent}")
        gone = await self.echo(client, "gone", "JSESSIONID=p9.abc")
        old = [("Cookie", "JSESSIONID=p1.old")]
        self.assertEqual(await (await client.request("POST", "/0/old/xhr", old)).body(), b"o\n")
        os.kill(self.pids(self.child)["p1"], signal.SIGTERM)
        await self.child.waitFor("p1: closing [0-9]+ sessions")
        for pause in (0, 3):  # before and after HAProxy has noticed
            await deferLater(reactor, pause)
            moved = await self.echo(client, f"moved{pause}", "JSESSIONID=p1.abc")
            self.assertEqual(moved, "JSESSIONID=p2.abc")
        self.assertEqual(await (await client.request("POST", "/0/old/xhr", old)).body(), CLOSING)
        self.assertRegex(gone, r"^JSESSIONID=p[12]\.abc$")


class UnitsTests(TestCase):
    """
    The units of systemd among the examples.
    """

    async def test_verify(self) -> None:
        """
        systemd has nothing to say against them.
        """
        program = findProgram("systemd-analyze")
        directory = Path(self.mktemp()).resolve()
        directory.mkdir()
        units = ROOT.child("examples").child("deploy").child("systemd")
        for unit in units.children():
            # It looks whether the program is there.
            text = unit.getContent().decode("ascii").replace("/srv/app/venv/bin/twistd", sys.executable)
            (directory / unit.basename()).write_text(text)
        names = ["txsockjs.service", "txsockjs@1.service", "txsockjs.target"]
        child = Child.spawn([program, "verify", *(str(directory / name) for name in names)])
        self.assertEqual((await child.wait(60), child.text().strip()), (0, ""))
