# -*- test-case-name: tests.test_lifeline -*-
"""
What ties a process to the supervisor that has started it: a pipe by which it is told to hurry, and learns that the
supervisor is gone; and one by which it tells that it serves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.fdesc import readFromFD, setNonBlocking
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["HEARING", "HURRY", "READY", "TELLING", "VARIABLE", "Lifeline"]

VARIABLE = "TXSOCKJS_SUPERVISED"
"""Is in the environment of those that a supervisor starts: the directory that it has made for them."""

HEARING = 0
"""The file descriptor by which they hear of the supervisor. It is the standard input, of which it has no other use."""

TELLING = 3
"""The file descriptor by which they tell."""

HURRY = b"hurry\n"
"""Do not wait for anybody any more."""

READY = b"ready\n"
"""All ports are open."""

_log = Logger(namespace="txsockjs")


class Lifeline(FileDescriptor):
    """
    The end that a supervised process has.

    @ivar runDirectory: what the supervisor has made for its processes, and removes when it ends; empty for nothing.
    """

    def __init__(self, reactor: Any, hearing: int = HEARING, telling: int = TELLING, runDirectory: str = "") -> None:
        super().__init__(reactor)
        self._reactor = reactor
        self.runDirectory = runDirectory
        self._hearing = hearing
        self._telling = telling
        self._lost: Callable[[], object] = lambda: None
        self._hurry: Callable[[], object] = lambda: None

    @classmethod
    def find(cls, reactor: Any) -> Lifeline | None:
        """
        @return: the lifeline of this process, if it has a supervisor. It is found once: processes that this one
            starts have another one.
        """
        directory = os.environ.pop(VARIABLE, None)
        return None if directory is None else cls(reactor, runDirectory=directory)

    def start(self, lost: Callable[[], object], hurry: Callable[[], object]) -> None:
        """
        Listen to the supervisor.

        @param lost: called when it is gone.

        @param hurry: called when it is in a hurry.
        """
        self._lost = lost
        self._hurry = hurry
        setNonBlocking(self._hearing)
        os.set_inheritable(self._telling, False)
        self.startReading()

    def tellReady(self) -> None:
        """
        Tell the supervisor that this process serves.
        """
        with suppress(OSError):  # it is gone
            os.write(self._telling, READY)

    def fileno(self) -> int:
        """
        @return: what the reactor is to watch.
        """
        return self._hearing

    def doRead(self) -> Exception | None:
        """
        There is something to read, or nothing will be any more.
        """
        return readFromFD(self._hearing, self._heard)

    def connectionLost(self, reason: Failure) -> None:
        """
        The pipe is closed, by the end of the supervisor, or by that of this reactor, which calls it another reason.
        """
        super().connectionLost(reason)
        if reason.check(ConnectionDone):
            _log.error("the supervisor is gone, so this process leaves as well")
            if self.runDirectory:
                # When the sockets of this process are gone from there.
                self._reactor.addSystemEventTrigger("after", "shutdown", self._clearUp)
            self._lost()

    def _clearUp(self) -> None:
        """
        Remove what the supervisor could not, unless another process has something there: that one will come by here.
        """
        with suppress(OSError):
            os.rmdir(self.runDirectory)

    def _heard(self, data: bytes) -> None:
        if HURRY.strip() in data.split(b"\n"):
            self._hurry()
