# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Where our server spends its time: cProfile within the server, while the load is on it.
"""

from __future__ import annotations

import cProfile
import io
import pstats

from benchmarks.measure import Bench
from benchmarks.peers import ours
from benchmarks.works import Work

__all__ = ["profile", "watch"]


def watch(path: str) -> None:
    """
    Profile this process from the start of the reactor to its end. This runs in the server.

    @param path: where the profile goes.
    """
    from twisted.internet import reactor

    watcher = cProfile.Profile()
    reactor.callWhenRunning(watcher.enable)

    def end() -> None:
        watcher.disable()
        watcher.dump_stats(path)

    reactor.addSystemEventTrigger("before", "shutdown", end)


def profile(bench: Bench, work: Work, lines: int) -> str:
    """
    @param lines: how many functions to show.

    @return: what took most time, with and without what it called.
    """
    scratch = bench.scratch / "ours"
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch / "profile"
    figures = bench.measure(ours(f"from benchmarks.profiling import watch; watch({str(path)!r}); "), work)
    text = io.StringIO()
    stats = pstats.Stats(str(path), stream=text).strip_dirs()
    stats.sort_stats("cumulative").print_stats(lines)
    stats.sort_stats("tottime").print_stats(lines)
    return f"{text.getvalue()}{work.title}: {figures['cost']:.1f} {work.unit}, with the profiler's own cost"
