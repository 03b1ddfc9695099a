# -*- test-case-name: tests.test_bus -*-
"""
Buses, which carry what is published on channels between the processes of an application.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from txsockjs.bus.interfaces import IBus
from txsockjs.bus.memory import MemoryBus

__all__ = ["busFromString"]


def busFromString(description: str, reactor: IReactorTime | None = None) -> IBus:
    """
    @param description: C{memory:}, for none between processes.

    @param reactor: where the bus takes time and connections from; L{None} stands for the global one.

    @return: the bus, which is not started.

    @raise ValueError: when this describes no bus.
    """
    scheme, colon, rest = description.partition(":")
    if scheme == "memory" and not rest:
        return MemoryBus()
    raise ValueError(f"there is no bus {scheme + colon!r}; there is memory:")
