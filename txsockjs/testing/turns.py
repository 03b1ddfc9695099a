# -*- test-case-name: tests.test_testing -*-
"""
Time in a test: turns of a reactor, and hours, by a L{twisted.internet.task.Clock}.

C{Clock.advance} jumps: whatever is due by then happens at the new time, and what is put off for a turn happens in the
same call. Here time goes from one thing to the next, as it does in a reactor, and what has no end is found out.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall

__all__ = ["Endless", "LeftBehind", "SteppedClock", "advance", "assertNothingLeft", "flush"]

_MOST_TURNS = 10_000


class SteppedClock(Protocol):
    """
    What a L{twisted.internet.task.Clock} has, and a L{twisted.internet.testing.MemoryReactorClock} as well.
    """

    def seconds(self) -> float: ...

    def advance(self, amount: float) -> None: ...

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall: ...

    def getDelayedCalls(self) -> Sequence[IDelayedCall]: ...


class Endless(AssertionError):
    """
    There was something to do, without time passing, after ten thousand turns of the reactor: a producer without an end
    for instance, whose client takes everything.
    """


class LeftBehind(AssertionError):
    """
    There are delayed calls on a clock on which there should be none any more. The text names them.
    """


class _TurnOver(Exception):
    """
    Ends a turn.
    """


def _endTurn() -> None:
    raise _TurnOver


_running: weakref.WeakSet[SteppedClock] = weakref.WeakSet()
"""The clocks that L{flush} is at work on."""


def flush(clock: SteppedClock) -> None:
    """
    Let everything happen that needs no time. It happens in turns, as in a reactor: what is put off by C{callLater(0,
    ...)} in one is done in the next. Called from within, as by a protocol of the test's own, it does nothing.

    @param clock: where time comes from.

    @raise Endless: when there is no end of it.
    """
    if clock in _running:
        return
    _running.add(clock)
    try:
        for _ in range(_MOST_TURNS):
            if not _isDue(clock):
                return
            _turn(clock, 0)
    finally:
        _running.discard(clock)
    raise Endless(f"after {_MOST_TURNS} turns there is still something to do at once: {_listed(clock)}")


def advance(clock: SteppedClock, seconds: float) -> None:
    """
    Let time pass: from one thing that is due to the next, each at its time and L{flush}ed, until C{seconds} are over.

    @param clock: where time comes from.

    @param seconds: how long, 0 or more.

    @raise ValueError: for less than that.
    @raise Endless: see L{flush}.
    """
    if seconds < 0:
        raise ValueError(f"time goes forward: seconds must be 0 or more, not {seconds!r}")
    end = clock.seconds() + seconds
    flush(clock)
    while clock.getDelayedCalls():
        due = min(call.getTime() for call in clock.getDelayedCalls())
        if due > end:
            break
        _turn(clock, max(0.0, due - clock.seconds()))
        flush(clock)
    _turn(clock, max(0.0, end - clock.seconds()))
    flush(clock)


def assertNothingLeft(clock: SteppedClock) -> None:
    """
    See that nothing is to be done any more, now or later.

    @raise LeftBehind: when there is.
    """
    if clock.getDelayedCalls():
        raise LeftBehind(f"delayed calls are left on the clock: {_listed(clock)}")


def _isDue(clock: SteppedClock) -> bool:
    now = clock.seconds()
    return any(call.getTime() <= now for call in clock.getDelayedCalls())


def _turn(clock: SteppedClock, seconds: float) -> None:
    """
    Do what is due in C{seconds}. The end of the turn stands in line before whatever that puts off.
    """
    end = clock.callLater(seconds, _endTurn)
    try:
        clock.advance(seconds)
    except _TurnOver:
        pass
    finally:
        if end.active():
            end.cancel()


def _listed(clock: SteppedClock) -> str:
    return "; ".join(str(call) for call in clock.getDelayedCalls()[:5])
