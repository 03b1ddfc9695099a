# -*- test-case-name: tests.test_bus -*-
"""
Buses, which carry what is published on channels between the processes of an application.
"""

from __future__ import annotations

from typing import Any

from txsockjs.bus.interfaces import IBus
from txsockjs.bus.memory import MemoryBus
from txsockjs.bus.places import RedisPlace

__all__ = ["busFromString", "parseBus"]


def parseBus(description: str) -> RedisPlace | None:
    """
    Read what describes a bus, without making one.

    @param description: see L{busFromString}.

    @return: where the Redis server is, or L{None} for no bus between processes.

    @raise ValueError: when this describes no bus. The text says why, and does not show a password.
    """
    scheme, _, rest = description.partition(":")
    if scheme == "memory" and rest in ("", "//"):
        return None
    if scheme not in ("redis", "rediss", "unix"):
        raise ValueError("a bus is memory:, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH?db=DB")
    return RedisPlace.fromString(description)


def busFromString(description: str, reactor: Any = None) -> IBus:
    """
    Make a bus.

    @param description: C{memory:}, for none between processes, or where a Redis server is; see
        L{RedisPlace.fromString}.

    @param reactor: where the bus takes time and connections from; L{None} stands for the global one.

    @return: the bus, which is not started.

    @raise ValueError: when this describes no bus, or what is needed for it is not installed.
    """
    place = parseBus(description)
    if place is None:
        return MemoryBus()
    try:
        from txsockjs.bus.redis import RedisBus
    except ImportError as error:
        raise ValueError(f"{error}; a bus on Redis needs txsockjs[redis]") from None
    return RedisBus.at(place, reactor)
