# -*- test-case-name: tests.test_lifeline -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What a supervised process hears and tells.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txsockjs.lifeline import VARIABLE, Lifeline


class LifelineTests(TestCase):
    """
    L{Lifeline}, over real pipes.
    """

    def setUp(self) -> None:
        self.hearing, self.speak = os.pipe()
        self.listen, self.telling = os.pipe()
        self.open = {self.hearing, self.speak, self.listen, self.telling}
        self.addCleanup(lambda: [os.close(fd) for fd in self.open])
        self.lifeline = Lifeline(reactor, self.hearing, self.telling)
        self.lost: Deferred[None] = Deferred()
        self.hurried: Deferred[None] = Deferred()
        self.addCleanup(self.lifeline.stopReading)

    def start(self) -> None:
        self.lifeline.start(lambda: self.lost.callback(None), lambda: self.hurried.callback(None))

    def close(self, fd: int) -> None:
        os.close(fd)
        self.open.discard(fd)

    async def test_lost(self) -> None:
        """
        When the other end is gone this is told, once, and logged.
        """
        self.start()
        self.close(self.speak)
        with capturedLogs() as events:
            await self.lost.addTimeout(30, reactor)
        self.assertEqual([event["log_level"].name for event in events], ["error"])
        self.assertNotIn(self.lifeline, reactor.getReaders())
        self.assertFalse(self.hurried.called)

    async def test_hurry(self) -> None:
        """
        The supervisor's word is heard.
        """
        self.start()
        os.write(self.speak, b"hurry\n")
        await self.hurried.addTimeout(30, reactor)
        self.assertFalse(self.lost.called)

    def test_ready(self) -> None:
        """
        Being ready is told; nobody minds when the supervisor is gone.
        """
        self.lifeline.tellReady()
        self.assertEqual(os.read(self.listen, 100), b"ready\n")
        self.close(self.listen)
        self.lifeline.tellReady()

    def test_own(self) -> None:
        """
        The process keeps its pipe from processes that it starts.
        """
        os.set_inheritable(self.telling, True)
        self.start()
        self.assertFalse(os.get_inheritable(self.telling))

    def test_regularEnd(self) -> None:
        """
        That the reactor closes everything at its end is not the loss of the supervisor.
        """
        self.start()
        with capturedLogs() as events:
            self.lifeline.stopReading()
            self.lifeline.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual((events, self.lost.called), ([], False))

    def test_find(self) -> None:
        """
        There is one if the environment says so, once.
        """
        environment: dict[str, Any] = {VARIABLE: "/run/x"}
        self.patch(os, "environ", environment)
        lifeline = Lifeline.find(reactor)
        assert lifeline is not None
        self.assertEqual(lifeline.runDirectory, "/run/x")
        self.assertEqual(environment, {})
        self.assertIsNone(Lifeline.find(reactor))


class RunDirectoryTests(SynchronousTestCase):
    """
    What is left of a supervisor that could not clear up.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.directory = self.mktemp()
        os.mkdir(self.directory)

    def end(self, reason: Exception) -> None:
        """
        Have the pipe closed, and the reactor end.
        """
        lifeline = Lifeline(self.reactor, runDirectory=self.directory)
        lifeline.connectionLost(Failure(reason))
        self.assertTrue(os.path.exists(self.directory))
        for function, arguments, keywords in self.reactor.triggers.get("after", {}).get("shutdown", []):
            function(*arguments, **keywords)

    def test_removed(self) -> None:
        """
        When the supervisor is gone, its directory goes with the last process that has something there, not before.
        """
        socket = os.path.join(self.directory, "p2.metrics")
        open(socket, "w").close()
        self.end(ConnectionDone())
        self.assertTrue(os.path.exists(socket))
        os.remove(socket)
        self.end(ConnectionDone())
        self.assertFalse(os.path.exists(self.directory))
        os.mkdir(self.directory)

    def test_another(self) -> None:
        """
        Nobody minds when it is gone already.
        """
        other = Lifeline(self.reactor, runDirectory=self.mktemp())
        other.connectionLost(Failure(ConnectionDone()))
        self.end(ConnectionDone())

    def test_kept(self) -> None:
        """
        As long as the supervisor is there, it is no matter of its processes.
        """
        self.end(CONNECTION_LOST)
        self.assertTrue(os.path.exists(self.directory))
