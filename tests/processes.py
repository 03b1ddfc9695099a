# -*- test-case-name: tests.node.check_client,tests.browser.check_demo -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Child processes for the checks that need a real server or a real browser.

Everything here ends what it starts: a child is asked to stop by its own process id, made to stop if it does not
listen, and always waited for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet import defer, error, interfaces, protocol, reactor
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SkipTest, TestCase

__all__ = [
    "Child",
    "ChildFailed",
    "DemoServer",
    "findProgram",
    "installNodeModules",
    "runNode",
    "serverCommand",
    "startServer",
]

#: The top of the repository.
ROOT = FilePath(__file__).parent().parent()

#: Seconds until a server must have said where it listens.
START_TIMEOUT = 60.0

#: Seconds between the polite and the rude request to stop.
STOP_TIMEOUT = 20.0

#: Seconds that an installation from the package registry may take.
INSTALL_TIMEOUT = 300.0

#: Seconds that one script may take, unless its check says otherwise.
SCRIPT_TIMEOUT = 120.0

#: The installations done by this process, by the folder of their C{package.json}.
_installed: dict[str, str] = {}


class ChildFailed(Exception):
    """
    A child process ended too early, ended badly or did not do in time what was expected of it.
    """


class Child(protocol.ProcessProtocol):
    """
    A child process with all its output.

    @ivar output: what the child has written to its standard output so far.
    @ivar errors: what the child has written to its standard error so far.
    @ivar status: the exit status once the child is gone and waited for, L{None} until then; it is the negated signal
        number when a signal ended the child.
    """

    transport: interfaces.IProcessTransport

    def __init__(self, name: str) -> None:
        self.name = name
        self.output = b""
        self.errors = b""
        self.status: int | None = None
        self._waiting: list[defer.Deferred[int]] = []
        self._awaited: list[tuple[re.Pattern[str], defer.Deferred[re.Match[str]]]] = []

    @classmethod
    def spawn(
        cls, command: Sequence[str], *, environment: dict[str, str] | None = None, name: str | None = None
    ) -> Child:
        """
        Start a command in the top of the repository.

        @param environment: variables to set beside those of this process.
        """
        child = cls(name or os.path.basename(command[0]))
        arguments = [part.encode("utf-8") for part in command]
        variables = {**os.environ, **(environment or {})}
        reactor.spawnProcess(child, command[0], arguments, variables, ROOT.path)
        return child

    def outReceived(self, data: bytes) -> None:
        self.output += data
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.errors += data
        self._look()

    def processEnded(self, reason: Failure) -> None:
        self.running = False
        if reason.check(error.ProcessDone):
            status = 0
        else:
            status = -reason.value.signal if reason.value.signal is not None else reason.value.exitCode
        awaited, self._awaited = self._awaited, []
        for pattern, found in awaited:
            found.errback(self.failure(f"ended with {status} before it wrote {pattern.pattern!r}"))
        self.status = status
        waiting, self._waiting = self._waiting, []
        for gone in waiting:
            gone.callback(status)

    def failure(self, what: str) -> ChildFailed:
        """
        Make an exception that shows what the child has said.
        """
        return ChildFailed(f"{self.name} {what}\n{self.text()}")

    def text(self) -> str:
        """
        All that the child has written, as text.
        """
        return (self.output + b"\n" + self.errors).decode("utf-8", "replace")

    def _look(self) -> None:
        text = self.text()
        for waiting in list(self._awaited):
            match = waiting[0].search(text)
            if match:
                self._awaited.remove(waiting)
                waiting[1].callback(match)

    def waitFor(self, pattern: str, timeout: float = START_TIMEOUT) -> defer.Deferred[re.Match[str]]:
        """
        Wait until the child has written something.

        @param pattern: a regular expression, searched in all output.
        @return: fires with the match, or fails with L{ChildFailed}.
        """
        found: defer.Deferred[re.Match[str]] = defer.Deferred()
        waiting = (re.compile(pattern), found)
        self._awaited.append(waiting)
        delayed = reactor.callLater(timeout, self._late, waiting, timeout)

        def done(result: Any) -> Any:
            if delayed.active():
                delayed.cancel()
            return result

        found.addBoth(done)
        self._look()
        return found

    def _late(self, waiting: tuple[re.Pattern[str], defer.Deferred[re.Match[str]]], timeout: float) -> None:
        self._awaited.remove(waiting)
        waiting[1].errback(self.failure(f"did not write {waiting[0].pattern!r} within {timeout} seconds"))

    def signal(self, number: int) -> None:
        """
        Send a signal, if the child is still there to take it.
        """
        try:
            self.transport.signalProcess(number)
        except error.ProcessExitedAlready:
            pass

    def ended(self) -> defer.Deferred[int]:
        """
        Wait until the child is gone, however that comes about.

        @return: fires with the exit status.
        """
        if self.status is not None:
            return defer.succeed(self.status)
        gone: defer.Deferred[int] = defer.Deferred()
        self._waiting.append(gone)
        return gone

    async def stop(self, timeout: float = STOP_TIMEOUT) -> int:
        """
        Ask the child to end, insist when it has not ended in time, and wait for it.

        @return: the exit status.
        """
        self.signal(signal.SIGTERM)
        insist = reactor.callLater(timeout, self.signal, signal.SIGKILL)
        status = await self.ended()
        if insist.active():
            insist.cancel()
        return status

    async def wait(self, timeout: float) -> int:
        """
        Wait until the child ends by itself; one that takes too long is stopped, and that is a failure.

        @return: the exit status.
        """
        late = reactor.callLater(timeout, lambda: defer.ensureDeferred(self.stop()))
        status = await self.ended()
        if not late.active():
            raise self.failure(f"did not end within {timeout} seconds")
        late.cancel()
        return status


class DemoServer:
    """
    A running C{twistd sockjs}.

    @ivar url: where it serves, without a slash at the end.
    """

    def __init__(self, child: Child, url: str) -> None:
        self.child = child
        self.url = url


def serverCommand(*arguments: str, port: int = 0) -> list[str]:
    """
    The command line of a C{twistd -n sockjs} on the loopback interface.

    @param port: 0 for a free one.
    """
    return [
        sys.executable,
        "-c",
        "from twisted.scripts.twistd import run; run()",
        "--nodaemon",
        "--pidfile=",
        "sockjs",
        "--port",
        f"tcp:{port}:interface=127.0.0.1",
        *arguments,
    ]


async def startServer(case: TestCase, *arguments: str) -> DemoServer:
    """
    Start C{twistd -n sockjs} and wait until it serves; it is stopped when the test is over.

    @param arguments: more options for the C{sockjs} command.
    """
    child = Child.spawn(serverCommand(*arguments), environment={"PYTHONPATH": _pythonPath()}, name="twistd sockjs")
    case.addCleanup(lambda: defer.ensureDeferred(child.stop()))
    match = await child.waitFor(r"(http://127\.0\.0\.1:\d+)/echo\b")
    return DemoServer(child, match.group(1))


def _pythonPath() -> str:
    """
    A module path by which a child finds this very checkout first.
    """
    return os.pathsep.join(part for part in (ROOT.path, os.environ.get("PYTHONPATH")) if part)


def findProgram(name: str) -> str:
    """
    Find a program or skip the test that needs it.
    """
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"{name} is not installed")
    return found


async def installNodeModules(folder: FilePath[str]) -> str:
    """
    Install what the C{package.json} of a folder asks for, once, in a place outside that folder.

    The place is below C{TXSOCKJS_NODE_MODULES_DIR}, or C{build/node} in the repository when that is not set. What is
    there already is used as it is, so that a second run needs no network.

    @return: the path of the C{node_modules} folder.
    """
    if folder.path in _installed:
        return _installed[folder.path]
    npm = findProgram("npm")
    base = os.environ.get("TXSOCKJS_NODE_MODULES_DIR") or ROOT.child("build").child("node").path
    place = FilePath(os.path.abspath(base)).child(folder.basename())
    modules = place.child("node_modules")
    wanted = folder.child("package.json").getContent()
    # Written last, so that an installation that was cut off is done again.
    stamp = place.child("installed.json")
    if not (modules.isdir() and stamp.isfile() and stamp.getContent() == wanted):
        place.makedirs(ignoreExistingDirectory=True)
        place.child("package.json").setContent(wanted)
        options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        child = Child.spawn([npm, "install", *options, "--prefix", place.path])
        if await child.wait(INSTALL_TIMEOUT):
            raise child.failure("could not install the modules")
        stamp.setContent(wanted)
    _installed[folder.path] = modules.path
    return modules.path


async def runNode(
    script: FilePath[str], modules: str, job: dict[str, Any], timeout: float = SCRIPT_TIMEOUT
) -> dict[str, Any]:
    """
    Run a script that takes its orders as JSON on standard input and prints its answer as JSON.

    @param modules: the C{node_modules} folder where the script finds its libraries.
    @param job: the orders.
    @return: the answer.
    """
    child = Child.spawn([findProgram("node"), script.path], environment={"NODE_PATH": modules}, name=script.basename())
    # JSON in ASCII: a lone surrogate has no UTF-8.
    child.transport.write(json.dumps(job).encode("ascii"))
    child.transport.closeStdin()
    if await child.wait(timeout):
        raise child.failure("failed")
    answer: dict[str, Any] = json.loads(child.output)
    return answer
