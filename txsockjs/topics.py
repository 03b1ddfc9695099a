# -*- test-case-name: tests.test_multiplex -*-
"""
The topics of a multiplexed service: their names, on the wire and in the application, and their factories.
"""

from __future__ import annotations

import re
import struct

from twisted.internet.interfaces import IProtocolFactory

__all__ = ["Topics", "checkTopic", "escapeTopic"]

_SPECIAL = re.compile(r"[^A-Za-z0-9@*_+./-]")
"""What the function C{escape} of JavaScript does not leave as it is (ECMA-262 annex B.2.1.1)."""


def escapeTopic(name: str) -> str:
    """
    @return: a name as the client of websocket-multiplex writes it on the wire, which is what C{escape} of JavaScript
        makes of it: C{chat%20room} for C{chat room}.
    """
    return _SPECIAL.sub(_escaped, name)


def _escaped(match: re.Match[str]) -> str:
    units = struct.iter_unpack(">H", match[0].encode("utf-16-be", "surrogatepass"))
    return "".join(f"%{unit:02X}" if unit < 256 else f"%u{unit:04X}" for (unit,) in units)


def checkTopic(name: object) -> str:
    """
    @return: the name.

    @raise TypeError: when it is no C{str}.
    @raise ValueError: when it has a comma, which ends a topic on the wire.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a topic is a str, not {name!r}")
    if "," in name:
        raise ValueError(f"the name of a topic can't have a comma: {name!r}")
    return name


class Topics:
    """
    The topics that an application has added.
    """

    def __init__(self, longest: int) -> None:
        """
        @param longest: how many characters a topic may have on the wire.
        """
        self._longest = longest
        self._factories: dict[str, IProtocolFactory] = {}
        self._names: dict[str, str] = {}  # by what they are on the wire, where that is not the same

    def add(self, name: str, factory: IProtocolFactory) -> None:
        """
        Add a topic, or give it another factory.

        @raise TypeError: when C{name} is no C{str}, or C{factory} no factory.
        @raise ValueError: when no client could subscribe to it: it has a comma, or is too long.
        """
        wire = escapeTopic(checkTopic(name))
        if len(wire) > self._longest:
            raise ValueError(
                f"the name of a topic has at most {self._longest} characters (max_topic_length) as a client writes it, "
                f"and {name!r} has {len(wire)}"
            )
        # Otherwise the mistake would show only when the first client comes.
        if isinstance(factory, type) or not hasattr(factory, "buildProtocol"):
            raise TypeError(f"a topic needs a factory such as Factory.forProtocol(Echo), not {factory!r}")
        self._factories[name] = factory
        if wire != name:
            self._names[wire] = name

    def remove(self, name: str) -> None:
        """
        Remove a topic.

        @raise KeyError: when there is no such topic.
        """
        del self._factories[name]
        self._names.pop(escapeTopic(name), None)

    def nameOf(self, wire: str) -> str:
        """
        @param wire: a topic as a client writes it.

        @return: the name under which it was added, or else C{wire} as it is.
        """
        return wire if wire in self._factories else self._names.get(wire, wire)

    def find(self, name: str) -> IProtocolFactory | None:
        """
        @return: the factory of a topic, or L{None} if there is none of that name.
        """
        return self._factories.get(name)
