# -*- test-case-name: tests.test_supervisor -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The supervisor, with processes that are none and a clock that stands still.
"""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txsockjs import starting
from txsockjs.supervisor import NOTICE_TIME, START_TIMEOUT, Supervised, Supervisor


class Process:
    """
    A process that is none.

    @ivar signals: those that it was sent.
    @ivar heard: what it was told by its lifeline.
    """

    def __init__(self, child: Supervised, arguments: list[str], options: dict[str, Any], pid: int) -> None:
        self.child = child
        self.arguments = arguments
        self.options = options
        self.pid = pid
        self.pipes = {0, 1, 2, 3}
        self.signals: list[str] = []
        self.heard = b""
        self.isGone = False

    def signalProcess(self, name: str) -> None:
        if self.isGone:
            raise ProcessExitedAlready()
        self.signals.append(name)
        if name == "KILL":
            self.die(signal=signal.SIGKILL)

    def writeToChild(self, fd: int, data: bytes) -> None:
        if fd not in self.pipes:
            raise KeyError(fd)
        self.heard += data

    def closeChildFD(self, fd: int) -> None:
        self.pipes.discard(fd)
        if not self.pipes:
            self.child.processEnded(self.reason)

    def say(self, text: str, fd: int = 1) -> None:
        self.child.childDataReceived(fd, text.encode("utf-8"))

    def comeUp(self) -> None:
        self.say("rea", 3)
        self.say("dy\n", 3)

    def exit(self, status: int | None = None, signal: int | None = None) -> None:
        """
        End, and leave the pipes to somebody else.
        """
        self.isGone = True
        error = ProcessTerminated(status, signal, None) if status or signal else ProcessDone(None)
        self.reason = Failure(error)
        self.child.processExited(self.reason)

    def die(self, status: int | None = None, signal: int | None = None) -> None:
        """
        End, and the pipes with it.
        """
        self.exit(status, signal)
        self.child.processEnded(self.reason)


class Spawner(Clock):
    """
    A reactor as far as a supervisor needs one.

    @ivar started: the processes that it has started, with those that are gone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Process] = []
        self.stops = 0
        self.fails: OSError | None = None

    def spawnProcess(self, child: Supervised, executable: str, args: list[str], **options: Any) -> Process:
        if self.fails is not None:
            raise self.fails
        process = Process(child, args, {"executable": executable, **options}, 100 + len(self.started))
        self.started.append(process)
        child.makeConnection(process)
        return process

    def callFromThread(self, function: Any, *args: Any) -> None:
        self.callLater(0, function, *args)

    def stop(self) -> None:
        self.stops += 1

    def alive(self) -> dict[str, Process]:
        """
        @return: the processes that there are, by their names.
        """
        return {process.child.name: process for process in self.started if not process.isGone}


class SupervisorCase(SynchronousTestCase):
    """
    Three processes.
    """

    def setUp(self) -> None:
        self.reactor = Spawner()
        self.atExit: list[Any] = []
        self.patch(starting.atexit, "register", self.atExit.append)
        commands = {name: ["/bin/server", f"--name={name}"] for name in ("p1", "p2", "p3")}
        self.supervisor = Supervisor(self.reactor, commands, "/somewhere", 7.5, {"HOME": "/h"})

    def start(self) -> None:
        """
        Start, and let all processes come up and live for a while.
        """
        self.supervisor.startService()
        self.addCleanup(self.finish)
        self.reactor.started[0].comeUp()
        for process in self.reactor.started[1:]:
            process.comeUp()
        self.reactor.advance(100)

    def finish(self) -> None:
        """
        End whatever is left.
        """
        if self.supervisor.running:
            self.supervisor.stopService()
        while self.reactor.alive():
            for process in self.reactor.alive().values():
                process.die()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def names(self) -> list[str]:
        """
        @return: the names of the processes that there are.
        """
        return list(self.reactor.alive())

    def lines(self, events: list[dict[str, Any]], *levels: LogLevel) -> list[str]:
        """
        @return: what was logged.
        """
        wanted = levels or (LogLevel.error, LogLevel.critical)
        return [
            event["log_format"].format(**event)
            for event in events
            if event.get("log_level") in wanted and event.get("log_format")
        ]


class StartTests(SupervisorCase):
    """
    The start.
    """

    def test_firstComesFirst(self) -> None:
        """
        The first process is started alone, and all others when it is up.
        """
        self.supervisor.startService()
        self.addCleanup(self.finish)
        self.assertEqual(self.names(), ["p1"])
        self.reactor.started[0].say("read", 3)
        self.assertEqual(self.names(), ["p1"])
        self.reactor.started[0].say("y\n", 3)
        self.assertEqual(self.names(), ["p1", "p2", "p3"])
        self.reactor.started[1].comeUp()
        self.assertEqual(self.names(), ["p1", "p2", "p3"])

    def test_command(self) -> None:
        """
        A process gets its command, its directory, the environment with a sign that it is supervised, and four pipes.
        """
        self.supervisor.startService()
        self.addCleanup(self.finish)
        process = self.reactor.started[0]
        self.assertEqual(process.arguments, ["/bin/server", "--name=p1"])
        self.assertEqual(
            process.options,
            {
                "executable": "/bin/server",
                "env": {"HOME": "/h", "TXSOCKJS_SUPERVISED": self.supervisor.runDirectory},
                "path": "/somewhere",
                "childFDs": {0: "w", 1: "r", 2: "r", 3: "r"},
            },
        )

    def test_runDirectory(self) -> None:
        """
        There is a directory that is the user's alone, for as long as there are processes, which may be told of it.
        """
        self.supervisor.extraArguments.append(lambda name, directory: [f"--at={directory}/{name}"])
        self.start()
        directory = self.supervisor.runDirectory
        self.assertEqual(stat.S_IMODE(os.stat(directory).st_mode), 0o700)
        self.assertEqual(self.reactor.started[1].arguments[-1], f"--at={directory}/p2")
        open(os.path.join(directory, "p1"), "w").close()
        self.finish()
        self.assertFalse(os.path.exists(directory))

    def failed(self, how: Any) -> str:
        """
        @return: what is said when the first process fails.
        """
        said: list[str] = []
        self.patch(starting.CannotStart, "say", lambda error, pid: said.append(str(error)))
        self.supervisor.startService()
        self.addCleanup(self.finish)
        how(self.reactor.started[0])
        self.assertEqual((self.reactor.stops, self.atExit), (1, [starting._exitBadly]))
        self.reactor.advance(1000)
        self.assertEqual(len(self.reactor.started), 1)
        (line,) = said
        return line

    def test_cannotStart(self) -> None:
        """
        When the first process says why it can't start, this ends as badly, by its words.
        """

        def fail(process: Process) -> None:
            process.say("sockjs: there is no module 'x'\n", 2)
            process.die(1)

        self.assertEqual(self.failed(fail), "p1: there is no module 'x'")

    def test_endsAtOnce(self) -> None:
        """
        When it ends without a word, the line tells how.
        """
        self.assertEqual(self.failed(lambda process: process.die(3)), "p1 has ended: with status 3")

    def test_isKilled(self) -> None:
        """
        So it does when a signal ended it.
        """
        self.assertEqual(self.failed(lambda process: process.die(signal=11)), "p1 has ended: by signal 11 (SIGSEGV)")

    def test_leaves(self) -> None:
        """
        A first process that leaves without having served is no better.
        """
        self.assertEqual(self.failed(lambda process: process.die()), "p1 has ended: it left by itself")

    def test_isLate(self) -> None:
        """
        One that does not come up in time is killed.
        """

        def wait(process: Process) -> None:
            self.reactor.advance(START_TIMEOUT - 1)
            self.assertEqual(process.signals, [])
            self.reactor.advance(1)

        self.assertEqual(self.failed(wait), "p1: it has not come up within 60 seconds")

    def test_cannotBeSpawned(self) -> None:
        """
        A command that can't be run is told as well, and nothing is left of the attempt.
        """
        before = signal.getsignal(signal.SIGHUP)
        said: list[str] = []
        self.patch(starting.CannotStart, "say", lambda error, pid: said.append(str(error)))
        self.reactor.fails = OSError(2, "No such file or directory", "/usr/bin/python3")
        self.assertRaises(starting.CannotStart, self.supervisor.startService)
        self.assertFalse(self.supervisor.running)
        self.assertFalse(os.path.exists(self.supervisor.runDirectory))
        self.assertIs(signal.getsignal(signal.SIGHUP), before)
        self.assertEqual((self.reactor.getDelayedCalls(), self.reactor.stops), ([], 0))
        self.assertEqual(said, ["p1: it can't be started: No such file or directory: /usr/bin/python3"])

    def test_noRunDirectory(self) -> None:
        """
        Where there can be no directory for the processes, this is said in one line, and nothing is started.
        """
        before = signal.getsignal(signal.SIGHUP)
        said: list[str] = []
        self.patch(starting.CannotStart, "say", lambda error, pid: said.append(str(error)))

        def full(prefix: str) -> str:
            raise OSError(28, "No space left on device", "/tmp/x")

        self.patch(tempfile, "mkdtemp", full)
        self.assertRaises(starting.CannotStart, self.supervisor.startService)
        self.assertFalse(self.supervisor.running)
        self.assertIs(signal.getsignal(signal.SIGHUP), before)
        self.assertEqual((self.reactor.started, self.reactor.getDelayedCalls()), ([], []))
        self.assertEqual(said, ["there can be no directory for the processes: No space left on device: /tmp/x"])

    def test_othersFail(self) -> None:
        """
        When another one can't start, this is logged, and it is tried again with more and more delay, up to a minute.
        """
        self.supervisor.startService()
        self.addCleanup(self.finish)
        self.reactor.started[0].comeUp()
        delays = []
        with capturedLogs() as events:
            for _ in range(8):
                process = self.reactor.alive()["p2"]
                process.say("sockjs: cannot listen\n", 2)
                process.die(1)
                self.assertNotIn("p2", self.reactor.alive())
                before = self.reactor.seconds()
                while "p2" not in self.reactor.alive():
                    self.reactor.advance(0.5)
                delays.append(self.reactor.seconds() - before)
        self.assertEqual(delays, [1, 2, 4, 8, 16, 32, 60, 60])
        lines = [line for line in self.lines(events) if line.startswith("p2")]
        self.assertEqual(lines[1], "p2 has ended: cannot listen; it is started again in 2 s")
        self.assertEqual(self.reactor.stops, 0)

    def test_slowToFail(self) -> None:
        """
        That it takes long until it fails does not count as success.
        """
        self.supervisor.startService()
        self.addCleanup(self.finish)
        self.reactor.started[0].comeUp()
        for delay in (1, 2, 4):
            self.reactor.advance(30)
            self.reactor.alive()["p2"].die(1)
            self.reactor.advance(delay - 0.1)
            self.assertNotIn("p2", self.reactor.alive())
            self.reactor.advance(0.1)
            self.assertIn("p2", self.reactor.alive())


class RestartTests(SupervisorCase):
    """
    Processes that end unasked.
    """

    def test_killed(self) -> None:
        """
        One that has served for a while is started again at once, and the others are left alone.
        """
        self.start()
        with capturedLogs() as events:
            self.reactor.alive()["p2"].die(signal=9)
            self.reactor.advance(0)
        self.assertEqual(self.names(), ["p1", "p3", "p2"])
        self.assertEqual(self.lines(events), ["p2 has ended: by signal 9 (SIGKILL); it is started again in 0 s"])
        self.assertEqual([process.signals for process in self.reactor.started], [[]] * 4)

    def test_first(self) -> None:
        """
        Once it was up, the first one is as any other.
        """
        self.start()
        self.reactor.alive()["p1"].die(1)
        self.reactor.advance(0)
        self.reactor.alive()["p1"].die(1)
        self.reactor.advance(1)
        self.assertIn("p1", self.names())
        self.assertEqual(self.reactor.stops, 0)

    def test_openPipes(self) -> None:
        """
        A process that is gone is gone, though others that it has started still have its pipes.
        """
        self.start()
        process = self.reactor.alive()["p2"]
        process.exit(signal=9)
        process.say("my last words\n")
        self.reactor.advance(0.9)
        self.assertNotIn("p2", self.names())
        self.reactor.advance(0.1)
        self.reactor.advance(0)
        self.assertIn("p2", self.names())
        self.assertEqual(process.pipes, set())


class StopTests(SupervisorCase):
    """
    The end.
    """

    def stop(self) -> list[None]:
        ended: list[None] = []
        self.supervisor.stopService().addCallback(ended.append)
        return ended

    def told(self) -> list[str]:
        """
        @return: the processes that were told to end, and have not.
        """
        return [name for name, process in self.reactor.alive().items() if "TERM" in process.signals]

    def test_inTurn(self) -> None:
        """
        One process after the other is told to end, and nothing is started any more.
        """
        self.start()
        ended = self.stop()
        for name in ("p1", "p2", "p3"):
            self.assertEqual((self.told(), ended), ([name], []))
            self.reactor.advance(12)
            self.reactor.alive()[name].die()
        self.assertEqual(ended, [None])
        self.reactor.advance(1000)
        self.assertEqual(self.names(), [])

    def test_tooLong(self) -> None:
        """
        One that takes longer than its sessions may, and some, is killed, and the next one has its turn.
        """
        self.start()
        ended = self.stop()
        first = self.reactor.alive()["p1"]
        self.reactor.advance(12.9)
        self.assertEqual(first.signals, ["TERM"])
        self.reactor.advance(0.1)
        self.assertEqual((first.signals, self.told(), ended), (["TERM", "KILL"], ["p2"], []))

    def test_hurry(self) -> None:
        """
        A signal meanwhile lets all end at once, and kills those that do not.
        """
        self.start()
        one, two, three = self.reactor.started
        ended = self.stop()
        self.supervisor.hurry()
        self.assertEqual([process.heard for process in self.reactor.started], [b"hurry\n"] * 3)
        self.assertEqual([process.signals for process in self.reactor.started], [["TERM"], [], []])
        two.die()
        one.die()
        self.assertEqual(ended, [])
        three.pipes.discard(0)
        self.reactor.advance(3)
        self.assertEqual((three.signals, ended), (["KILL"], [None]))

    def test_signals(self) -> None:
        """
        It is the signal to end itself that does so, if it comes once more, and afterwards its handler is what it was.
        """
        self.start()
        before = signal.getsignal(signal.SIGTERM)
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        mine = self.reactor.handle = lambda number, frame: None  # type: ignore[attr-defined]

        class Own:
            __self__ = self.reactor

            def __call__(self, number: int, frame: object) -> None:
                mine(number, frame)

        own = Own()
        signal.signal(signal.SIGTERM, own)
        self.stop()
        os.kill(os.getpid(), signal.SIGTERM)
        self.reactor.advance(0)
        self.assertEqual([process.heard for process in self.reactor.started], [b"hurry\n"] * 3)
        self.finish()
        self.assertIs(signal.getsignal(signal.SIGTERM), own)

    def test_notRunning(self) -> None:
        """
        What waits for its next start is not started, and not waited for.
        """
        self.start()
        self.reactor.alive()["p2"].die(1)
        self.reactor.advance(0)
        self.reactor.alive()["p2"].die(1)
        ended = self.stop()
        self.reactor.alive()["p1"].die()
        self.assertEqual(self.told(), ["p3"])
        self.reactor.alive()["p3"].die()
        self.assertEqual((ended, self.reactor.getDelayedCalls()), ([None], []))

    def test_starting(self) -> None:
        """
        An end in the middle of the start is one as well.
        """
        self.supervisor.startService()
        ended = self.stop()
        self.assertEqual(self.told(), ["p1"])
        self.reactor.alive()["p1"].comeUp()
        self.assertEqual(self.names(), ["p1"])
        self.reactor.alive()["p1"].die(signal=15)
        self.assertEqual((ended, self.reactor.stops, self.atExit), ([None], 0, []))
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class RollingTests(SupervisorCase):
    """
    The rolling restart.
    """

    def test_inTurn(self) -> None:
        """
        One process is told to end, and when it is gone started again; when it is up, and balancers have had some time
        to notice, it is the next one's turn.
        """
        self.start()
        old = list(self.reactor.started)
        with capturedLogs() as events:
            self.supervisor.rollingRestart()
            for number, process in enumerate(old):
                self.assertEqual([each.signals for each in old], [["TERM"]] * (number + 1) + [[]] * (2 - number))
                self.assertEqual(len(self.reactor.started), 3 + number)
                process.die()
                self.assertEqual(len(self.reactor.started), 4 + number)
                self.reactor.advance(30)
                self.reactor.started[-1].comeUp()
                self.reactor.advance(NOTICE_TIME - 0.1)
                self.assertEqual(sum(bool(each.signals) for each in old), number + 1)
                self.reactor.advance(0.1)
        self.assertEqual(self.names(), ["p1", "p2", "p3"])
        self.assertEqual(self.lines(events), [])
        self.assertEqual(self.lines(events, LogLevel.info)[-1], "all processes have been restarted")
        self.reactor.advance(1000)
        self.assertEqual(len(self.reactor.started), 6)

    def test_byHangUp(self) -> None:
        """
        SIGHUP begins it.
        """
        self.start()
        os.kill(os.getpid(), signal.SIGHUP)
        self.reactor.advance(0)
        self.assertEqual(self.reactor.alive()["p1"].signals, ["TERM"])
        before = signal.getsignal(signal.SIGHUP)
        self.finish()
        self.assertIsNot(signal.getsignal(signal.SIGHUP), before)

    def test_doesNotComeUp(self) -> None:
        """
        A process that does not come up ends it, and those that have not had their turn go on to serve; it is tried
        again as ever.
        """
        self.start()
        old = list(self.reactor.started)
        with capturedLogs() as events:
            self.supervisor.rollingRestart()
            old[0].die()
            self.reactor.started[-1].comeUp()
            self.reactor.advance(NOTICE_TIME)
            old[1].die()
            self.reactor.started[-1].say("sockjs: a mistake\n", 2)
            self.reactor.started[-1].die(1)
        self.assertEqual(
            self.lines(events),
            [
                "p2 has ended: a mistake; it is started again in 1 s",
                "p2 does not come up; the processes after it are not restarted",
            ],
        )
        self.reactor.advance(1)
        self.reactor.alive()["p2"].comeUp()
        self.assertEqual(old[2].signals, [])
        self.assertEqual(self.names(), ["p3", "p1", "p2"])

    def test_late(self) -> None:
        """
        So does one that takes too long.
        """
        self.start()
        self.supervisor.rollingRestart()
        self.reactor.started[0].die()
        self.reactor.advance(START_TIMEOUT)
        self.assertEqual(self.reactor.started[3].signals, ["KILL"])
        self.assertEqual(self.reactor.started[1].signals, [])

    def test_again(self) -> None:
        """
        Asked for meanwhile, one more follows, and only one.
        """
        self.start()
        for _ in range(3):
            self.supervisor.rollingRestart()
        for _ in range(6):
            (process,) = (each for each in self.reactor.alive().values() if each.signals)
            process.die()
            self.reactor.started[-1].comeUp()
            self.reactor.advance(NOTICE_TIME)
        self.assertEqual([each.signals for each in self.reactor.alive().values()], [[]] * 3)
        self.assertEqual(len(self.reactor.started), 9)

    def test_waiting(self) -> None:
        """
        A process that waits for its next start is started when it is its turn.
        """
        self.start()
        self.reactor.alive()["p1"].die(1)
        self.reactor.advance(0)
        self.reactor.alive()["p1"].die(1)
        self.supervisor.rollingRestart()
        self.assertIn("p1", self.names())
        self.reactor.started[-1].comeUp()
        self.reactor.advance(NOTICE_TIME)
        self.assertEqual(self.reactor.alive()["p2"].signals, ["TERM"])
        self.reactor.advance(2)
        self.assertEqual(len(self.reactor.started), 5)

    def test_stop(self) -> None:
        """
        An end in the middle of it starts nothing any more.
        """
        self.start()
        self.supervisor.rollingRestart()
        ended: list[None] = []
        self.supervisor.stopService().addCallback(ended.append)
        for name in ("p1", "p2", "p3"):
            self.assertEqual(self.reactor.alive()[name].signals, ["TERM"])
            self.reactor.alive()[name].die()
        self.assertEqual((ended, len(self.reactor.started)), ([None], 3))

    def test_stopBetween(self) -> None:
        """
        So does one between two processes, and nothing waits for balancers any more.
        """
        self.start()
        self.supervisor.rollingRestart()
        self.reactor.alive()["p1"].die()
        self.reactor.started[-1].comeUp()
        ended: list[None] = []
        self.supervisor.stopService().addCallback(ended.append)
        for name in ("p1", "p2", "p3"):
            self.assertEqual(self.reactor.alive()[name].signals, ["TERM"])
            self.reactor.alive()[name].die()
        self.assertEqual((ended, len(self.reactor.started)), ([None], 4))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_tooEarly(self) -> None:
        """
        Before the first process is up there is nothing to restart.
        """
        self.supervisor.startService()
        self.addCleanup(self.finish)
        with capturedLogs() as events:
            self.supervisor.rollingRestart()
        self.assertEqual(self.lines(events, LogLevel.warn), ["there is nothing to restart now"])
        self.assertEqual(self.reactor.started[0].signals, [])


class OutputTests(SupervisorCase):
    """
    What processes say.
    """

    def said(self, *pieces: str, fd: int = 1) -> list[tuple[str, str, str]]:
        """
        @return: what is in the log when a process has said something: namespace, level and text of each line.
        """
        if not self.reactor.started:
            self.start()
        with capturedLogs() as events:
            for piece in pieces:
                self.reactor.alive()["p2"].say(piece, fd)
        return [
            (event["log_namespace"], event["log_level"].name, event["log_format"].format(**event)) for event in events
        ]

    def test_log(self) -> None:
        """
        A line of its log is one of this log, as if it had been said here, with its name in front.
        """
        lines = self.said("2026-01-02T03:04:05+0000 [my.app#error] some {thing} [x]\n")
        self.assertEqual(lines, [("my.app", "error", "p2: some {thing} [x]")])

    def test_pieces(self) -> None:
        """
        It does not matter in how many pieces it comes.
        """
        lines = self.said("2026-01-02T03:04:05+0000 [a#in", "fo] one\n2026-01-02T03:04:05+0000 [-] two\nth", "ree\n")
        self.assertEqual(lines, [("a", "info", "p2: one"), ("-", "info", "p2: two"), ("-", "info", "p2: three")])

    def test_traceback(self) -> None:
        """
        Lines that follow belong to the one before.
        """
        lines = self.said("2026-01-02T03:04:05+0000 [a#critical] Oh\n\tTraceback\n")
        self.assertEqual(lines, [("a", "critical", "p2: Oh"), ("a", "critical", "p2: \tTraceback")])

    def test_errors(self) -> None:
        """
        What it writes to its standard error is a warning.
        """
        self.assertEqual(self.said("careful\n", fd=2), [("txsockjs", "warn", "p2: careful")])

    def test_endless(self) -> None:
        """
        A line without an end is not kept for ever, and what is no text is shown as far as it goes.
        """
        self.assertEqual(len(self.said("x" * 16384)), 0)
        self.assertEqual(len(self.said("x")), 1)
        with capturedLogs() as events:
            self.reactor.alive()["p2"].child.childDataReceived(1, b"\xff\n")
        self.assertEqual(self.lines(events, LogLevel.info), ["p2: \ufffd"])

    def test_end(self) -> None:
        """
        The last line needs no end.
        """
        self.start()
        with capturedLogs() as events:
            process = self.reactor.alive()["p2"]
            process.say("bye")
            process.die()
        self.assertIn("p2: bye", self.lines(events, LogLevel.info))
