# -*- test-case-name: tests.test_supervisor -*-
"""
Many processes of one service, and one that looks after them and serves nothing itself.

It rests on C{twisted.runner.procmon}, which starts processes, starts those again that end, with more and more delay
where they end at once, and kills those that do not end when they shall. What is added:

  - The first process comes first. Where it can't serve, for instance since its module is broken, this ends too, with
    what that process has said.
  - A process is I{up} when it has told so by its L{lifeline<txsockjs.lifeline>}, and one that does not tell in time is
    stopped.
  - The end comes to one process after the other, and a signal brings a rolling restart.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.runner.procmon import ProcessMonitor

from txsockjs.lifeline import HEARING, HURRY, READY, TELLING, VARIABLE
from txsockjs.signals import replaceSignalHandlers
from txsockjs.starting import CannotStart, endBadly

__all__ = ["NOTICE_TIME", "START_TIMEOUT", "Supervised", "Supervisor"]

_log = Logger(namespace="txsockjs")

START_TIMEOUT = 60.0
"""Seconds that a process may take from its start until it serves."""

NOTICE_TIME = 2.0
"""Seconds that a rolling restart leaves to balancers, which ask for C{/health} about each second, to notice that a
process serves again, before the next one leaves."""

_SLACK = 5
"""Seconds that a process may take to end beyond those in which it sees off its sessions."""

_PIPES = 1.0
"""Seconds for which the output of a process that is gone is waited for."""

_HURRIED = 3.0
"""Seconds that it may take when it shall hurry."""

_LINE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T\S+ \[(?P<system>[^\]]+)\] (?P<text>.*)")
"""A line of the log of a process, which begins with its time."""

_LONGEST_LINE = 16384

_WHY = "sockjs: "
"""How the line begins by which a process says why it can't start."""

# Twisted has given this another name in 25.5.
_baseExited = getattr(ProcessMonitor, "_monitoredProcessExited", None) or (
    lambda monitor, name, reason: monitor.connectionLost(name)
)


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


class Supervisor(ProcessMonitor):
    """
    Looks after processes.

    @ivar clock: where time comes from.

    @ivar runDirectory: a directory for what the processes have for each other, such as sockets: nobody but their user
        may enter it. It is there while this service runs. Where this is killed, the last process to leave removes it.

    @ivar extraArguments: called for each start of a process, with its name and with C{runDirectory}; returns arguments
        that are added to its command.
    """

    threshold = 5
    minRestartDelay = 1
    maxRestartDelay = 60

    protocols: dict[str, Supervised]  # type: ignore[assignment]

    def __init__(
        self,
        reactor: Any,
        commands: Mapping[str, Sequence[str]],
        directory: str,
        patience: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """
        @param reactor: starts the processes, and tells the time.

        @param commands: the commands, with their arguments, by the names of the processes, in the order of their start.

        @param directory: where the processes begin.

        @param patience: the number of seconds that a process has to see off its sessions.

        @param environment: the variables of the processes; those of this one by default.
        """
        super().__init__(reactor)
        self.clock: IReactorTime = reactor
        self.killTime = math.ceil(patience) + _SLACK
        self.runDirectory = ""
        self.extraArguments: list[Callable[[str, str], Sequence[str]]] = []
        self._commands = {name: list(command) for name, command in commands.items()}
        self._directory = directory
        self._environment = dict(os.environ if environment is None else environment)
        self._pid = os.getpid()
        self._deadlines: dict[str, IDelayedCall] = {}
        self._everUp = False
        self._rolling = self._rollAgain = False
        self._pausing: Deferred[None] | None = None
        self._hurried = self._isStarting = False
        self._failed: CannotStart | None = None
        self._restoreHangUp: Callable[[], None] = lambda: None

    # -- coming and going ---------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """
        Start the first process, and when it is up all others.

        @raise CannotStart: when it is known at once that this can't be done.
        """
        self._makeRunDirectory()
        Service.startService(self)
        self._restoreHangUp = replaceSignalHandlers(self._reactor, self.rollingRestart, [signal.SIGHUP], force=True)
        names = list(self._commands)
        _log.info(
            "starting {count} processes, {names}; SIGHUP to {pid} restarts them in turn",
            count=len(names),
            names=", ".join(names),
            pid=os.getpid(),
        )
        self._isStarting = True
        self._add(names[0])
        self._isStarting = False
        if self._failed is not None:
            Service.stopService(self)
            self._clearUp(None)
            raise self._failed

    def _makeRunDirectory(self) -> None:
        try:
            self.runDirectory = tempfile.mkdtemp(prefix="sockjs-")  # of mode 0700
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            failed = CannotStart(f"there can be no directory for the processes: {error.strerror}{where}")
            failed.say(self._pid)
            raise failed from error

    def _add(self, name: str) -> None:
        extra = [argument for more in self.extraArguments for argument in more(name, self.runDirectory)]
        environment = {**self._environment, VARIABLE: self.runDirectory}
        self.addProcess(name, [*self._commands[name], *extra], env=environment, cwd=self._directory)

    def stopService(self) -> Deferred[None]:  # type: ignore[override]
        """
        Let one process after the other see off its sessions and end. A signal to end that comes meanwhile lets all of
        them end at once.

        @return: fires when the last one is gone.
        """
        Service.stopService(self)
        for restart in self.restart.values():
            if restart.active():
                restart.cancel()
        for name in list(self._deadlines):
            self._cancelDeadline(name)
        if self._pausing is not None:
            self._pausing.cancel()
        restore = replaceSignalHandlers(self._reactor, self.hurry)
        stopped = Deferred.fromCoroutine(self._stopInTurn())
        return stopped.addBoth(self._clearUp).addBoth(_after, restore)

    async def _stopInTurn(self) -> None:
        for name in self._commands:
            child = self.protocols.get(name)
            if child is None:
                continue
            ended = child.whenEnded()
            if not self._hurried:
                _log.info("{name} shall end", name=name)
                self.stopProcess(name)
            await ended

    def _clearUp(self, result: object) -> None:
        self._restoreHangUp()
        shutil.rmtree(self.runDirectory, ignore_errors=True)
        if isinstance(result, Failure):
            _log.failure("the processes could not be stopped in turn", result)

    def hurry(self) -> None:
        """
        Let all processes end now.
        """
        _log.info("told to end once more")
        self._hurried = True
        for name, child in list(self.protocols.items()):
            child.hurry()
            self._killAfter(name, _HURRIED)

    def _killAfter(self, name: str, seconds: float) -> None:
        murder = self.murder.pop(name, None)
        if murder is not None and murder.active():
            murder.cancel()
        self.murder[name] = self.clock.callLater(seconds, self._forceStopProcess, self.protocols[name].transport)

    # -- one process --------------------------------------------------------------------------------------------------

    def startProcess(self, name: str) -> None:
        """
        Start a process, unless it is there.
        """
        if name in self.protocols:
            return
        process = self._processes[name]
        child = Supervised(self, name)
        self.protocols[name] = child
        self.timeStarted[name] = self.clock.seconds()
        self._deadlines[name] = self.clock.callLater(START_TIMEOUT, self._isLate, name)
        fds: dict[int, int | str] = {HEARING: "w", 1: "r", 2: "r", TELLING: "r"}
        try:
            self._reactor.spawnProcess(
                child, process.args[0], process.args, env=process.env, path=process.cwd, childFDs=fds
            )
        except OSError as error:
            child.notStarted(error)

    def stopProcess(self, name: str) -> None:
        """
        Tell a process to see off its sessions and end, and kill it when it takes too long.
        """
        child = self.protocols.get(name)
        if child is not None and not child.isLeaving:
            child.isLeaving = True
            super().stopProcess(name)

    def _isLate(self, name: str) -> None:
        self.protocols[name].kill(f"it has not come up within {START_TIMEOUT:g} seconds")

    def _cancelDeadline(self, name: str) -> None:
        deadline = self._deadlines.pop(name, None)
        if deadline is not None and deadline.active():
            deadline.cancel()

    def isUp(self, child: Supervised) -> None:
        """
        A process serves. When it is the first one, all others are started.
        """
        self._cancelDeadline(child.name)
        _log.info("{name} is up, as process {pid}", name=child.name, pid=child.transport.pid)
        if self._everUp or not self.running:
            return
        self._everUp = True
        for name in self._commands:
            if name not in self._processes:
                self._add(name)

    def hasEnded(self, child: Supervised, reason: Failure) -> None:
        """
        A process is gone.
        """
        name = child.name
        self._cancelDeadline(name)
        if not child.isUp or child.isLeaving:
            # What has never served counts as having ended at once, however long that took; what was told to end not.
            alive = 0.0 if not child.isLeaving else self.threshold
            self.timeStarted[name] = self.clock.seconds() - alive
        _baseExited(self, name, None)
        how = _how(reason)
        if child.isLeaving:
            _log.info("{name} has ended", name=name)
        elif not self.running:
            _log.error("{name} has ended: {why}", name=name, why=child.why or how)
        elif not self._everUp:
            self._giveUp(name, f"{name}: {child.why}" if child.why else f"{name} has ended: {how}")
        else:
            delay = self.restart[name].getTime() - self.clock.seconds()
            _log.error(
                "{name} has ended: {why}; it is started again in {delay:g} s",
                name=name,
                why=child.why or how,
                delay=max(0.0, round(delay, 1)),
            )

    def _giveUp(self, name: str, why: str) -> None:
        """
        The first process can't serve, and so it would be with the others.
        """
        self.restart[name].cancel()
        self._failed = CannotStart(why)
        self._failed.say(self._pid)
        if not self._isStarting:
            endBadly(self._reactor)

    # -- the rolling restart ------------------------------------------------------------------------------------------

    def rollingRestart(self) -> None:
        """
        Let one process after the other see off its sessions and end, and start it again; go on when it is up. What
        does not come up ends this, so that the others go on to serve. Where one is under way, another one follows.
        """
        if not self.running or not self._everUp:
            _log.warn("there is nothing to restart now")
            return
        if self._rolling:
            self._rollAgain = True
            return
        self._rolling = True
        Deferred.fromCoroutine(self._roll()).addErrback(
            lambda failure: _log.failure("the rolling restart has failed", failure)
        ).addCallback(self._rolled)

    async def _roll(self) -> None:
        _log.info("restarting all processes in turn")
        for name in self._commands:
            child = self.protocols.get(name)
            if child is not None:
                ended = child.whenEnded()
                self.stopProcess(name)
                await ended
            if not self.running:
                return
            if not await self._startNow(name):
                if self.running:
                    _log.error("{name} does not come up; the processes after it are not restarted", name=name)
                return
            await self._pause()
            if not self.running:
                return
        _log.info("all processes have been restarted")

    async def _pause(self) -> None:
        self._pausing = deferLater(self.clock, NOTICE_TIME)
        with suppress(CancelledError):
            await self._pausing
        self._pausing = None

    async def _startNow(self, name: str) -> bool:
        restart = self.restart.get(name)
        if restart is not None and restart.active():
            restart.cancel()
        self.startProcess(name)
        child = self.protocols.get(name)
        return child is not None and await child.whenUp()

    def _rolled(self, result: object) -> None:
        self._rolling = False
        if self._rollAgain:
            self._rollAgain = False
            self.rollingRestart()


def _after(result: object, restore: Callable[[], None]) -> None:
    restore()


def _how(reason: Failure) -> str:
    """
    @return: how a process has ended, in words.
    """
    error: Any = reason.value
    if isinstance(error, ProcessDone):
        return "it left by itself"
    if getattr(error, "signal", None) is not None:
        return f"by signal {error.signal} ({signal.Signals(error.signal).name})"
    return f"with status {getattr(error, 'exitCode', 'unknown')}"
