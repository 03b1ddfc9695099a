# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Departures by the clock.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Pace"]


class Pace:
    """
    When messages are due: so many a second, whether answers come or not.

    @ivar sent: how many have been due so far.
    """

    def __init__(self, rate: float, since: float) -> None:
        """
        @param rate: messages a second.

        @param since: when the first one is due.
        """
        self.sent = 0
        self._rate = rate
        self._since = since

    @property
    def next(self) -> float:
        """
        When the next one is due.
        """
        return self._since + self.sent / self._rate

    def due(self, now: float) -> Iterator[float]:
        """
        @return: for each message that is due, when it was, so that what is late because we are late counts as late.
        """
        while (departure := self.next) <= now:
            self.sent += 1
            yield departure
