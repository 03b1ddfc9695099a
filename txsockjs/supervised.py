# -*- test-case-name: tests.test_supervisor -*-
"""
One process of a supervisor: what it says, whether it serves, and how it has ended.
"""

from __future__ import annotations

import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from txsockjs.lifeline import HEARING, HURRY, READY, TELLING

if TYPE_CHECKING:
    from txsockjs.supervisor import Supervisor

__all__ = ["Supervised", "howEnded", "isOrderly"]

_PIPES = 1.0
"""Seconds for which the output of a process that is gone is waited for."""

_LINE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T\S+ \[(?P<system>[^\]]+)\] (?P<text>.*)")
"""A line of the log of a process, which begins with its time."""

_LONGEST_LINE = 16384

_WHY = "sockjs: "
"""How the line begins by which a process says why it can't start."""


class _Lines:
    """
    Takes what a process writes to one of its outputs, and puts it into the log, line by line, as if it had been said
    here, with the name of the process in front.
    """

    def __init__(self, name: str, system: str, level: Any) -> None:
        self._name = name
        self._log = Logger(namespace=system)
        self._level = level
        self._rest = b""
        self.why = ""

    def feed(self, data: bytes) -> None:
        """
        Take some bytes.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._say(line)
        if len(self._rest) > _LONGEST_LINE:
            self.finish()

    def finish(self) -> None:
        """
        There is no more of the line.
        """
        rest, self._rest = self._rest, b""
        if rest:
            self._say(rest)

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text.startswith(_WHY):
            self.why = text.removeprefix(_WHY)
            return  # told by the supervisor, together with what it does about it
        match = _LINE.fullmatch(text)
        if match is not None:
            system, _, level = match["system"].partition("#")
            text = match["text"]
            self._log = Logger(namespace=system)
            self._level = next((known for known in LogLevel.iterconstants() if known.name == level), LogLevel.info)
        self._log.emit(self._level, "{process}: {text}", process=self._name, text=text)


class Supervised(ProcessProtocol):
    """
    One process, from its start to its end.

    @ivar name: what it is called.
    @ivar isUp: whether it has told that it serves.
    @ivar isLeaving: whether it was told to end.
    """

    transport: Any

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self.name = name
        self.isUp = False
        self.isLeaving = False
        self._supervisor = supervisor
        self._outputs = {
            1: _Lines(name, "txsockjs", LogLevel.info),
            2: _Lines(name, "txsockjs", LogLevel.warn),
        }
        self._told = b""
        self._why = ""
        self._closing: IDelayedCall | None = None
        self._waitForUp: list[Deferred[bool]] = []
        self._waitForEnd: list[Deferred[None]] = []

    @property
    def why(self) -> str:
        """
        Why it could not start, as far as that is known.
        """
        return self._why or self._outputs[2].why or self._outputs[1].why

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        It has written something.
        """
        if childFD != TELLING:
            self._outputs[childFD].feed(data)
            return
        self._told = (self._told + data)[-len(READY) :]
        if self._told == READY and not self.isUp:
            self.isUp = True
            self._supervisor.isUp(self)
            self._tellWhetherUp()

    def processExited(self, reason: Failure) -> None:
        """
        It is gone. What it has written may still be on its way, but processes that it has left behind can keep the
        pipes open for ever.
        """
        self._closing = self._supervisor.clock.callLater(_PIPES, self._closePipes)

    def notStarted(self, error: OSError) -> None:
        """
        There is no process. The file that is named may be the interpreter, which another user need not be able to run.
        """
        self._why = f"it can't be started: {error.strerror}" + (f": {error.filename}" if error.filename else "")
        self.processEnded(Failure(error))

    def _closePipes(self) -> None:
        for fd in list(self.transport.pipes):
            self.transport.closeChildFD(fd)

    def processEnded(self, reason: Failure) -> None:
        """
        It is gone, and everything that it has written is here.
        """
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        for output in self._outputs.values():
            output.finish()
        self._supervisor.hasEnded(self, reason)
        self.isUp = False
        self._tellWhetherUp()
        waiting, self._waitForEnd = self._waitForEnd, []
        for ended in waiting:
            ended.callback(None)

    def _tellWhetherUp(self) -> None:
        waiting, self._waitForUp = self._waitForUp, []
        for up in waiting:
            up.callback(self.isUp)

    def whenUp(self) -> Deferred[bool]:
        """
        @return: fires with L{True} when it serves, or with L{False} when it has ended before.
        """
        if self.isUp:
            return succeed(True)
        up: Deferred[bool] = Deferred()
        self._waitForUp.append(up)
        return up

    def whenEnded(self) -> Deferred[None]:
        """
        @return: fires when it is gone.
        """
        ended: Deferred[None] = Deferred()
        self._waitForEnd.append(ended)
        return ended

    def hurry(self) -> None:
        """
        Tell it not to wait for anybody.
        """
        self.isLeaving = True
        with suppress(KeyError):  # it has closed the pipe, and will be killed
            self.transport.writeToChild(HEARING, HURRY)

    def kill(self, why: str) -> None:
        """
        End it by force.
        """
        self._why = why
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")


def isOrderly(reason: Failure) -> bool:
    """
    @param reason: what Twisted tells of it.

    @return: whether a process that was told to end has done so by itself. C{twistd} ends by the signal that told it.
    """
    return reason.check(ProcessDone) is not None or getattr(reason.value, "signal", None) == signal.SIGTERM


def howEnded(reason: Failure) -> str:
    """
    @param reason: what Twisted tells of it.

    @return: how a process has ended, in words.
    """
    error: Any = reason.value
    if isinstance(error, ProcessDone):
        return "it left by itself"
    if getattr(error, "signal", None) is not None:
        return f"by signal {error.signal} ({signal.Signals(error.signal).name})"
    return f"with status {getattr(error, 'exitCode', 'unknown')}"
