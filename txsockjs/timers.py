# -*- test-case-name: tests.test_timers -*-
"""
Time in bulk: thousands of sessions share a handful of delayed calls.

All deadlines of one kind lie the same delay ahead when they are set, so they come due in the order in which they were
set: an ordered dict and one delayed call serve any number of sessions, at the cost of a dict operation to set or clear
one. A general batching timer, such as txaio's, would cost a delayed call to cancel for each.

Those that follow each other closely come due together, or ten thousand idle sessions would wake the process hundreds of
times a second: once for each heartbeat, and once more for each answer to it. So a deadline may be late, but by no more
than a hundredth of its delay and L{GRAIN}, and is never early.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

__all__ = ["GRAIN", "Deadlines", "Turns", "attempt", "chooseClock"]

_log = Logger()

GRAIN = 0.25
"""Seconds by which a deadline may be late at most, so that others come due with it."""

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """
    Deadlines of one kind.
    """

    def __init__(self, clock: IReactorTime, delay: float, expired: Callable[[K], object]) -> None:
        """
        @param clock: where time comes from.

        @param delay: how far ahead every deadline lies, in seconds; 0 means that there are none.

        @param expired: called with the key whose deadline has come; it may set deadlines again.
        """
        self._clock = clock
        self._delay = delay
        self._grain = min(GRAIN, delay / 100)
        self._expired = expired
        self._due: OrderedDict[K, float] = OrderedDict()
        self._call: IDelayedCall | None = None
        self._running = False

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: object) -> bool:
        return key in self._due

    def start(self, key: K) -> None:
        """
        Set the deadline of C{key}, anew if it has one.
        """
        if not self._delay:
            return
        self._due[key] = self._clock.seconds() + self._delay
        self._due.move_to_end(key)
        if self._call is None and not self._running:
            self._call = self._clock.callLater(self._delay, self._run)

    def cancel(self, key: K) -> None:
        """
        Clear the deadline of C{key}, if it has one.
        """
        if self._due.pop(key, None) is not None and not self._due and self._call is not None:
            self._call.cancel()
            self._call = None

    def cancelNear(self, key: K, seconds: float) -> bool:
        """
        Clear the deadline of C{key}, if it has one that comes within C{seconds}.

        @return: whether it had one.
        """
        due = self._due.get(key)
        if due is None or due - self._clock.seconds() > seconds:
            return False
        self.cancel(key)
        return True

    def _run(self) -> None:
        now = self._clock.seconds()
        self._call = None
        self._running = True  # whatever is set or cleared meanwhile, the delayed call is set once, below
        while self._due:
            key, due = next(iter(self._due.items()))
            if due > now:
                break
            del self._due[key]
            attempt(self._expired, key)
        self._running = False
        if self._due:
            self._call = self._clock.callLater(max(self._grain, next(iter(self._due.values())) - now), self._run)


class Turns(Generic[K]):
    """
    What is to be done once when the current turn of the reactor is over: the one flush point of a service.
    """

    def __init__(self, clock: IReactorTime, run: Callable[[K], object]) -> None:
        """
        @param clock: where time comes from.

        @param run: called once with every key that was added in a turn.
        """
        self._clock = clock
        self._run = run
        self._waiting: dict[K, None] = {}
        self._call: IDelayedCall | None = None

    def add(self, key: K) -> None:
        """
        Ask for a call with C{key} after this turn.
        """
        if self._call is None:
            self._call = self._clock.callLater(0, self._turn)
        self._waiting[key] = None

    def finish(self) -> None:
        """
        Do now what was asked for, and what is asked for meanwhile; no delayed call is left.
        """
        while self._call is not None:
            self._call.cancel()
            self._turn()

    def _turn(self) -> None:
        self._call = None
        waiting, self._waiting = self._waiting, {}
        run = self._run
        for key in waiting:
            try:
                run(key)
            except BaseException:
                _failed(run, key)


def attempt(function: Callable[[K], object], key: K) -> None:
    """
    Call a function, so that its failure for one key is no harm to the others. That is so for any exception, as in the
    reactor: it logs a C{SystemExit} as well, and goes on.
    """
    try:
        function(key)
    except BaseException:
        _failed(function, key)


def _failed(function: Callable[[K], object], key: K) -> None:
    _log.failure("{function} failed for {key}", function=function, key=key)


def chooseClock(reactor: IReactorTime | None) -> IReactorTime:
    """
    @return: C{reactor}, or the global one for L{None}.
    """
    if reactor is not None:
        return reactor
    from twisted.internet import reactor as theReactor  # late: importing it installs the default one

    return theReactor
