# -*- test-case-name: tests.test_tap -*-
"""
How the command line ends when it can't do what it was asked for.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

from twisted.logger import Logger

__all__ = ["CannotStart", "endBadly"]

_log = Logger(namespace="txsockjs")


class CannotStart(SystemExit, Exception):
    """
    There is nothing to serve, or nowhere to serve it; the text says why, in one line.

    It is a C{SystemExit} so that the process ends with that line and a status, and without a traceback. It is an
    C{Exception} as well so that a C{twistd} that has become a daemon hands it to the process which waits for its
    start, and removes its PID file.
    """

    def __init__(self, why: str) -> None:
        super().__init__(" ".join(why.split()))
        self.code = f"sockjs: {self}"

    def say(self, pid: int) -> None:
        """
        Say it now. Python itself would say it on C{sys.stderr}, which leads into the log once C{twistd} has begun it.

        @param pid: the process that had a terminal; a daemon has but its log.
        """
        if os.getpid() == pid and sys.__stderr__ is not None:
            print(self.code, file=sys.__stderr__, flush=True)
        else:
            _log.error("{why}", why=str(self))
        self.code = 1


def endBadly(reactor: Any) -> None:
    """
    End with the status 1 while the reactor runs.

    From there no exception finds its way out, and the runners have no status but 0 for a reactor that was stopped; so
    they may finish their work, and then the process ends with ours.
    """
    atexit.register(_exitBadly)
    reactor.stop()


def _exitBadly() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(1)


# A twistd that becomes a daemon shows 100 bytes of why it could not start, and this name is among them.
CannotStart.__module__ = "txsockjs"
