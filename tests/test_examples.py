# -*- test-case-name: tests.test_examples -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What README and the documentation show does work.

A C{code-block:: python} in these files is a whole program. Each is run here, with two things changed:
C{reactor.run} returns at once, and C{listenTCP} takes a free port of the loopback interface instead of the
one that was asked for. Where it is a module of tests these are run. Programs that connect find a service at C{/echo} of
whatever host and port they name.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import textwrap
import unittest
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, readBody

from tests.support import Apps, TextEcho
from txsockjs.factory import SockJSMultiFactory

ROOT = Path(__file__).resolve().parent.parent

PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").glob("**/*.rst"))]


class Block(NamedTuple):
    """
    One C{code-block}: where it begins, its language, and its text.
    """

    path: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """
        The block's place, as a part of the name of a test.
        """
        return f"{re.sub('[^A-Za-z0-9]', '_', self.path.stem)}_{self.line}"


def blocks(path: Path, language: str) -> Iterator[Block]:
    """
    @return: the blocks of one language in a file.
    """
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.strip() != f".. code-block:: {language}":
            continue
        margin = len(line) - len(line.lstrip())
        body = []
        for inner in lines[number + 1 :]:
            if inner.strip() and len(inner) - len(inner.lstrip()) <= margin:
                break
            body.append(inner)
        yield Block(path, number + 1, language, textwrap.dedent("\n".join(body)))


class PythonTests(TestCase):
    """
    The programs. There is a test for each, made below.
    """

    def start(self, block: Block) -> tuple[list[Any], dict[str, Any]]:
        """
        Run a program.

        @return: the ports that it opened, and what it has defined.
        """
        ports = []
        listenTCP = reactor.listenTCP  # type: ignore[attr-defined]

        def listen(port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
            ports.append(listenTCP(0, factory, backlog, "127.0.0.1"))
            self.addCleanup(ports[-1].stopListening)
            return ports[-1]

        # Empty lines in front, so that a traceback names the line in the document.
        program = compile("\n" * block.line + block.text, str(block.path), "exec")
        scheduled = set(reactor.getDelayedCalls())  # type: ignore[attr-defined]
        # Trial itself needs reactor.run, so it must be back when the test waits.
        with (
            mock.patch.object(reactor, "listenTCP", listen),
            mock.patch.object(reactor, "run"),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("error", ".*txsockjs", DeprecationWarning)
            names: dict[str, Any] = {"__name__": "__main__"}
            exec(program, names)
        # What is to be done every few seconds has been done once.
        for call in set(reactor.getDelayedCalls()) - scheduled:  # type: ignore[attr-defined]
            call.cancel()
        return ports, names

    @inlineCallbacks
    def checkClient(self, block: Block) -> Any:
        """
        Run a program that connects, and wait until it has sent something and got it back.
        """
        yield deferLater(reactor, 0)  # trial has a reactor.stop of its own, from the first turn on
        echoed: Deferred[None] = Deferred()

        class Echo(TextEcho):
            def messageReceived(self, message: str) -> None:
                super().messageReceived(message)
                if not echoed.called:
                    echoed.callback(None)

        site = SockJSMultiFactory()
        site.addFactory(Apps(Echo), "echo")
        port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(site.drain)
        self.addCleanup(port.stopListening)
        connectTCP = reactor.connectTCP  # type: ignore[attr-defined]
        self.patch(
            reactor,
            "connectTCP",
            lambda host, at, *rest, **more: connectTCP("127.0.0.1", port.getHost().port, *rest, **more),
        )
        stopped: Deferred[None] = Deferred()
        self.patch(reactor, "stop", lambda: stopped.callback(None))
        program = compile("\n" * block.line + block.text, str(block.path), "exec")
        names: dict[str, Any] = {"__name__": "__main__"}
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            with mock.patch.object(reactor, "run"):
                exec(program, names)
            yield echoed.addTimeout(30, reactor)
            if "reactor.stop()" in block.text:
                yield stopped.addTimeout(30, reactor)
            while not output.getvalue():
                yield deferLater(reactor, 0.01)
            for service in filter(IService.providedBy, list(names.values())):
                yield maybeDeferred(service.stopService)

    @inlineCallbacks
    def check(self, block: Block) -> Any:
        """
        Run a program, and its tests if it has any; or else ask each port that it opened for a page.
        """
        ports, names = self.start(block)
        if self.runTests(names):
            return
        self.assertNotEqual([], ports, "the program serves nothing")
        for port in ports:
            url = f"http://127.0.0.1:{port.getHost().port}/"
            response = yield Agent(reactor).request(b"GET", url.encode())
            yield readBody(response)
            self.assertIn(response.code, (200, 404))

    def runTests(self, names: dict[str, Any]) -> int:
        """
        Run the tests of a program, be they methods of test cases or functions.

        @return: how many there are.
        """
        load = unittest.defaultTestLoader.loadTestsFromTestCase
        suite = unittest.TestSuite()
        for name, thing in names.items():
            if isinstance(thing, type) and issubclass(thing, SynchronousTestCase) and thing.__module__ == "__main__":
                suite.addTests(load(thing))
            elif name.startswith("test_"):
                suite.addTest(unittest.FunctionTestCase(thing))
        result = unittest.TestResult()
        suite.run(result)
        self.assertEqual([], [trace for _, trace in result.errors + result.failures])
        return result.testsRun


def _add(block: Block) -> None:
    def test(self: PythonTests) -> Any:
        connects = "txsockjs.client" in block.text or "clientFromString" in block.text
        return self.checkClient(block) if connects else self.check(block)

    test.__name__ = f"test_{block.name}"
    test.__doc__ = f"The program in {block.path.name}, line {block.line}, runs and serves."
    setattr(PythonTests, test.__name__, test)


for _page in PAGES:
    for _block in blocks(_page, "python"):
        _add(_block)


class TextTests(SynchronousTestCase):
    """
    What is shown and is no program.
    """

    def test_found(self) -> None:
        """
        README and the documentation have programs at all.
        """
        counts = [len(list(blocks(path, "python"))) for path in PAGES]
        self.assertGreater(counts[0], 0)
        self.assertGreater(sum(counts[1:]), 5)

    def test_commandLines(self) -> None:
        """
        Each flag of C{twistd sockjs} that is shown exists.
        """
        from txsockjs.tap import Options

        known = {name.rstrip("=") for name in Options().longOpt}
        shown = 0
        for path in PAGES:
            for block in blocks(path, "console"):
                for line in block.text.replace("\\\n", "").splitlines():
                    if "sockjs" not in line:
                        continue
                    words = shlex.split(line)
                    if "txsockjs" in words:
                        self.checkConsole(words[words.index("txsockjs") + 1 :])
                    if "sockjs" not in words:
                        continue
                    shown += 1
                    flags = [word[2:] for word in words[words.index("sockjs") + 1 :] if word.startswith("--")]
                    self.assertEqual([], [flag for flag in flags if flag not in known], f"{path.name}: {line}")
        self.assertGreater(shown, 3)

    def checkConsole(self, words: list[str]) -> None:
        """
        What C{python -m txsockjs} is given is understood.
        """
        from txsockjs.client.console import Options

        Options().parseOptions(words)

    def test_closeCodes(self) -> None:
        """
        Each close code that the server has is explained.
        """
        from txsockjs import connection, session
        from txsockjs.transports import websocket

        pairs = [value for name, value in vars(session).items() if name.isupper() and isinstance(value, tuple)]
        self.assertIn(session.GO_AWAY, pairs)
        known = {code for code, reason in pairs} | {connection.UNENCODABLE}
        known |= {value for name, value in vars(websocket).items() if name.isupper() and isinstance(value, int)}
        text = (ROOT / "docs" / "codes.rst").read_text("utf-8")
        explained = {int(code) for code in re.findall(r"^(\d{4})  ", text, re.MULTILINE)}
        self.assertEqual(set(), {code for code in known if 1000 <= code <= 4999} - explained)

    def test_clientStrings(self) -> None:
        """
        Each string of a client endpoint that is shown is understood.
        """
        shown = [
            line.strip()
            for block in blocks(ROOT / "docs" / "client.rst", "text")
            for line in block.text.splitlines()
            if line.startswith("sockjs:")
        ]
        self.assertGreater(len(shown), 2)
        for description in shown:
            clientFromString(reactor, description)

    def test_endpointStrings(self) -> None:
        """
        Each endpoint string that is shown is understood.
        """
        shown = [
            line.strip()
            for block in blocks(ROOT / "docs" / "endpoints.rst", "text")
            for line in block.text.splitlines()
            if line.startswith("sockjs:") and "ssl" not in line  # which looks for its files at once
        ]
        self.assertNotEqual([], shown)
        for description in shown:
            serverFromString(reactor, description)
