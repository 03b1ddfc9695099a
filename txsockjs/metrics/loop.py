# -*- test-case-name: tests.test_metrics_loop -*-
"""
How late the reactor is: whatever keeps it busy for long makes everybody wait.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["BOUNDS", "PERIOD", "LoopLag"]

PERIOD = 0.5
"""Seconds from one look to the next."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The seconds of lag up to which the buckets of the histogram count."""

_WINDOW = 60


class LoopLag:
    """
    Asks twice a second to be called, and sees how late it is.

    @ivar last: the last lag, in seconds.
    @ivar counts: how many looks found which lag: one number for each of L{BOUNDS}, and one for what is beyond. Each
        look counts once.
    @ivar total: the sum of all lags, in seconds.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """
        @param clock: where time comes from: the reactor that is looked at.
        """
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._due = 0.0
        self._recent: deque[float] = deque(maxlen=int(_WINDOW / PERIOD))
        self.last = 0.0
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    @property
    def most(self) -> float:
        """
        The greatest lag of the last minute, in seconds.
        """
        return max(self._recent, default=0.0)

    def start(self) -> None:
        """
        Look from now on, until L{stop}.
        """
        if self._call is None:
            self._plan()

    def stop(self) -> None:
        """
        Look no longer. What was seen stays.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _plan(self) -> None:
        self._due = self._clock.seconds() + PERIOD
        self._call = self._clock.callLater(PERIOD, self._look)

    def _look(self) -> None:
        lag = max(0.0, self._clock.seconds() - self._due)
        self.last = lag
        self.counts[bisect_left(BOUNDS, lag)] += 1
        self.total += lag
        self._recent.append(lag)
        self._plan()
