# -*- test-case-name: tests.test_demo_watch -*-
"""
How much memory this process occupies.
"""

from __future__ import annotations

import mmap

__all__ = ["residentMemory"]


def residentMemory(path: str = "/proc/self/statm") -> int | None:
    """
    @param path: where Linux tells it.

    @return: the bytes of memory that this process occupies, or L{None} where there is no telling.
    """
    try:
        with open(path, "rb") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return None
