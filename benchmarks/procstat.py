# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What the operating system says of a process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["ProcessState", "readProcess", "total"]

_TICK = os.sysconf("SC_CLK_TCK")


class ProcessState(NamedTuple):
    """
    What a process has used: seconds of CPU in all its threads, and its resident memory in kB.
    """

    user: float
    system: float
    rss: int

    @property
    def cpu(self) -> float:
        """
        All seconds of CPU.
        """
        return self.user + self.system


def readProcess(pid: int) -> ProcessState:
    """
    @raise FileNotFoundError: when there is no such process.
    """
    with open(f"/proc/{pid}/stat") as file:
        # The second field, the name, may hold anything, so what counts begins behind its end.
        fields = file.read().rpartition(")")[2].split()
    with open(f"/proc/{pid}/status") as file:
        rss = re.search(r"^VmRSS:\s*(\d+) kB", file.read(), re.MULTILINE)
    return ProcessState(int(fields[11]) / _TICK, int(fields[12]) / _TICK, int(rss[1]) if rss else 0)


def total(states: Iterable[ProcessState]) -> ProcessState:
    """
    @return: what several processes have used together.
    """
    user, system, rss = 0.0, 0.0, 0
    for state in states:
        user += state.user
        system += state.system
        rss += state.rss
    return ProcessState(user, system, rss)
