# -*- test-case-name: tests.test_client_console -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
C{python -m txsockjs} in a process of its own, against a server in this one.
"""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import ROOT, Child
from tests.support import Recorder, TextEcho
from tests.test_client import ServerCase
from txsockjs.client.console import CANNOT_CONNECT, DONE, INTERRUPTED, LOST, WRONG_USE, Options, main
from txsockjs.client.options import CLIENT_OPTIONS

PATIENCE = 60.0


class ConsoleCase(ServerCase):
    """
    A server, and consoles.
    """

    def start(self, *arguments: str) -> Child:
        """
        Start a console.
        """
        command = [sys.executable, "-m", "txsockjs", *arguments]
        child = Child.spawn(command, environment={"PYTHONPATH": ROOT.path}, name="python -m txsockjs")
        self.addCleanup(lambda: ensureDeferred(child.stop()))
        return child

    async def run_(self, *arguments: str, typed: bytes = b"") -> tuple[int, str, str]:
        """
        Run a console to its end.

        @return: the status, and what stands on the two outputs.
        """
        child = self.start(*arguments)
        child.transport.write(typed)
        child.transport.closeStdin()
        status = await child.wait(PATIENCE)
        return status, child.output.decode("utf-8"), child.errors.decode("utf-8")


class TalkTests(ConsoleCase):
    """
    Talking to a service.
    """

    async def test_talk(self) -> None:
        """
        What is typed is sent line by line, each message is a line, and the end of the input is an orderly end.
        """
        await self.serve()
        child = self.start(self.url, "--open-timeout", "30")
        await child.waitFor("connected to http://127.0.0.1:[0-9]+ by websocket")
        for line in ("hello", "grün \N{SNOWMAN}", "last"):
            child.transport.write(line.encode() + b"\n")
            await child.waitFor(line)
        child.transport.closeStdin()
        self.assertEqual(await child.wait(PATIENCE), DONE)
        self.assertEqual(child.output.decode(), "hello\ngrün \N{SNOWMAN}\nlast\n")
        self.assertEqual(child.errors.decode().splitlines()[1:], ["txsockjs: closed: 1000 Normal closure"])
        end = self.apps.last.lost[0].value
        self.assertEqual((end.code, end.reason), (1000, "Normal closure"))

    async def test_transports(self) -> None:
        """
        The transport can be chosen, and the answers waited for; a last line needs no end.
        """
        await self.serve()
        for arguments, name in (
            (["--transport", "xhr-polling"], "xhr-polling"),
            (["-t", "eventsource,xhr-polling"], "eventsource"),
            (["--transport", "xhr-streaming", "--transport", "websocket"], "xhr-streaming"),
            (["--raw"], "websocket-raw"),
        ):
            status, out, err = await self.run_(
                "--open-timeout=30", self.url, *arguments, "--linger", "0.5", typed=b"one\ntwo"
            )
            self.assertEqual((status, out), (DONE, "one\ntwo\n"), err)
            self.assertIn(f"by {name}\n", err)

    async def test_quiet(self) -> None:
        """
        Quiet, nothing but messages is shown.
        """
        await self.serve()
        status, out, err = await self.run_("-q", "--linger=0.5", self.url, typed=b"one\n")
        self.assertEqual((status, out, err), (DONE, "one\n", ""))

    async def test_much(self) -> None:
        """
        A long input is sent as fast as the server takes it, all of it, before the end.
        """
        await self.serve()
        lines = b"".join(b"%06d %s\n" % (number, b"x" * 100) for number in range(20_000))
        for transport in ("websocket", "xhr-streaming"):
            status, out, err = await self.run_(self.url, "-t", transport, "--linger", "2", typed=lines)
            self.assertEqual(status, DONE, err)
            self.assertTrue(out == lines.decode())

    async def test_headers(self) -> None:
        """
        Headers go with the session.
        """
        await self.serve(exposed_headers=["x-one", "x-two"])
        status, _, err = await self.run_(self.url, "--header", "X-One: 1", "-H", "X-Two:  a: b ")
        self.assertEqual(status, DONE, err)
        self.assertEqual(dict(self.apps.last.transport.requestFacts.headers), {"x-one": "1", "x-two": "a: b"})

    async def test_tls(self) -> None:
        """
        A certificate can be trusted by name; without, it is not.
        """
        await self.serve(tls=True)
        with tempfile.NamedTemporaryFile(suffix=".pem", dir=".") as file:
            file.write(self.certificate.dumpPEM())
            file.flush()
            path = str(Path(file.name).resolve())
            status, out, err = await self.run_(self.url, "--ca", path, "--linger", "1", typed=b"one\n")
        self.assertEqual((status, out), (DONE, "one\n"), err)
        status, _, err = await self.run_(self.url)
        self.assertEqual(status, CANNOT_CONNECT)
        self.assertIn("certificate verify failed", err)


class EndTests(ConsoleCase):
    """
    How it ends.
    """

    async def test_serverCloses(self) -> None:
        """
        A close by the server is an orderly end, and is told.
        """

        class Closing(Recorder):
            def connectionMade(self) -> None:
                self.transport.write(b"hello")
                self.transport.close(3456, "enough")

        await self.serve(Closing)
        child = self.start(self.url)
        self.assertEqual(await child.wait(PATIENCE), DONE)
        self.assertEqual(child.output, b"hello\n")
        self.assertIn(b"txsockjs: closed: 3456 enough\n", child.errors)

    async def test_lost(self) -> None:
        """
        A session that is lost has a status of its own.
        """
        await self.serve()
        child = self.start(self.url)
        await child.waitFor("connected")
        self.apps.last.transport.abortConnection()
        self.assertEqual(await child.wait(PATIENCE), LOST)
        self.assertIn(b"txsockjs: Session lost: 1006 ", child.errors)

    async def test_cannotConnect(self) -> None:
        """
        Without a service there is one line, and a status of its own.
        """
        await self.serve()
        status, out, err = await self.run_(f"{self.url}/nothing/here")
        self.assertEqual((status, out), (CANNOT_CONNECT, ""))
        self.assertEqual(len(err.splitlines()), 1)
        self.assertIn("answered with 404", err)

    async def test_interrupt(self) -> None:
        """
        An interrupt closes the session in an orderly way, by whatever transport.
        """
        await self.serve()
        for transport in ("websocket", "xhr-polling"):
            child = self.start(self.url, "-t", transport)
            await child.waitFor("connected")
            child.signal(signal.SIGINT)
            self.assertEqual(await child.wait(PATIENCE), INTERRUPTED)
            self.assertIn(b"closed: 1000", child.errors)
            self.assertNotIn(b"Traceback", child.errors)
        self.assertEqual(self.apps.built[0].lost[0].value.code, 1000)

    async def test_interruptEarly(self) -> None:
        """
        An interrupt before there is a session is no error.
        """
        held = []

        class Holding(Recorder):
            def dataReceived(self, data: bytes) -> None:
                held.append(data)

        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(Factory.forProtocol(Holding))
        self.addCleanup(port.stopListening)
        child = self.start(f"http://127.0.0.1:{port.getHost().port}/")
        while not held:
            await deferLater(reactor, 0.02)
        child.signal(signal.SIGINT)
        self.assertEqual(await child.wait(PATIENCE), INTERRUPTED)
        self.assertEqual(child.errors, b"")

    async def test_outputGone(self) -> None:
        """
        Where nobody reads the output any more, the session is closed.
        """

        class Talking(TextEcho):
            def connectionMade(self) -> None:
                self.transport.write("x" * 100)
                self.next = reactor.callLater(0.02, self.connectionMade)

            def connectionLost(self, reason=None) -> None:
                self.next.cancel()
                super().connectionLost(reason)

        await self.serve(Talking)
        child = self.start(self.url)
        await child.waitFor("xxx")
        child.transport.closeStdout()
        self.assertEqual(await child.wait(PATIENCE), DONE)
        self.assertEqual(self.apps.last.lost[0].value.code, 1000)

    async def test_longLine(self) -> None:
        """
        A line of the input that does not end is told, and ends the session.
        """
        await self.serve()
        status, _, err = await self.run_(self.url, typed=b"x" * 1_100_000)
        self.assertEqual(status, LOST)
        self.assertIn("longer than 1048576 bytes", err)


class UseTests(SynchronousTestCase):
    """
    The command line.
    """

    def wrong(self, *arguments: str) -> str:
        """
        @return: what is said of a mistake, in one line.
        """
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(main(list(arguments)), WRONG_USE)
        (line,) = said.getvalue().splitlines()
        self.assertTrue(line.startswith("txsockjs: "))
        return line

    def test_mistakes(self) -> None:
        """
        A mistake is one line that says what would be right.
        """
        for arguments, why in (
            ([], "give the URL of one service"),
            (["http://h", "http://i"], "one service"),
            (["localhost:8081"], "http or https"),
            (["http://h", "--transport", "websockets"], "there are websocket, xhr-streaming"),
            (["http://h", "--raw", "--transport", "websocket"], "do not go together"),
            (["http://h", "--header", "nonsense"], "'Name: value'"),
            (["http://h", "--header", "a b: c"], "no name of a header"),
            (["http://h", "--close-timeout", "0"], "above 0"),
            (["http://h", "--info-timeout", "soon"], "must be a number"),
            (["http://h", "--linger", "-1"], "a number of seconds"),
            (["http://h", "--linger", "x"], "a number of seconds"),
            (["http://h", "--ca", "/nowhere.pem"], "no such file"),
            (["http://h", "--ca", __file__], "no certificate in it"),
            (["http://h", "--foo"], "--foo not recognized"),
            (["http://h", "--transport"], "requires argument"),
        ):
            self.assertIn(why, self.wrong(*arguments))

    def test_derived(self) -> None:
        """
        Each option of the client is a flag, and is passed on; they may stand behind the URL.
        """
        words = ["http://h"]
        for info in CLIENT_OPTIONS:
            if info.name not in ("transports", "encoding"):
                words += [f"--{info.name.replace('_', '-')}", "5000"]
        options = Options()
        options.parseOptions(words)
        self.assertEqual(options.url, "http://h")
        self.assertEqual({*options.settings}, {info.name for info in CLIENT_OPTIONS} - {"transports", "encoding"})
        self.assertEqual({*options.settings.values()}, {5000})

    def test_order(self) -> None:
        """
        What looks like a flag can be the value of another.
        """
        options = Options()
        options.parseOptions(["-H", "--raw: x", "http://h", "-qr", "--header=A: b"])
        self.assertEqual(options.headers, {"--raw": "x", "A": "b"})
        self.assertEqual((options["quiet"], options.settings), (1, {"transports": ("websocket-raw",)}))

    def test_help(self) -> None:
        """
        The help names each option, and each status.
        """
        done = subprocess.run(
            [sys.executable, "-m", "txsockjs", "--help"],
            cwd=ROOT.path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for info in CLIENT_OPTIONS:
            if info.name not in ("transports", "encoding"):
                self.assertIn(f"--{info.name.replace('_', '-')}", done.stdout)
        for status in (DONE, CANNOT_CONNECT, WRONG_USE, LOST, INTERRUPTED):
            self.assertRegex(done.stdout, rf"(?s)Status:.*\b{status}\b")

    def test_version(self) -> None:
        """
        The version is shown.
        """
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertRaises(SystemExit, main, ["--version"])
        self.assertRegex(said.getvalue(), r"^txsockjs \d")
