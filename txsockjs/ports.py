# -*- test-case-name: tests.test_ports -*-
"""
Where each of many processes listens, from the one description that was given for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

__all__ = ["MOST_PORT", "Place", "placeOf", "spread"]

_FIELD = "{process}"

_COLON = re.compile(r"(?<!\\):")
_PORT = re.compile(r"(?P<before>(?:port=)?)(?P<number>[0-9]{1,5})")
_UNIX = "unix"
_WRAPPERS = ("haproxy",)
"""Kinds of endpoints whose arguments are the description of another one."""

MOST_PORT = 65535
"""The greatest number of a port."""

_EVERYWHERE = (None, "", "0.0.0.0", "::")
"""Interfaces that stand for all."""


class Place:
    """
    What is known of a place to listen from its description.

    @ivar kind: the first word of the description that is no wrapper's, such as C{tcp}.
    @ivar wrapped: whether it is wrapped for the PROXY protocol.
    @ivar port: the number of the port, if there is one.
    @ivar path: the path of a Unix socket, if it is one.
    @ivar interface: the interface, if it is said.
    """

    def __init__(self, description: str) -> None:
        self._parts = _COLON.split(description)
        first = 0
        while self._parts[first].lower() in _WRAPPERS and first + 1 < len(self._parts):
            first += 1
        self._first = first
        self.wrapped = first > 0
        self.kind = self._parts[first].lower()
        self.port: int | None = None
        self.path: str | None = None
        self.interface: str | None = None
        self._at = first + 1
        if self.kind == _UNIX:
            self._findPath()
        else:
            self._findPort()
        for part in self._parts[first + 1 :]:
            if part.startswith("interface="):
                self.interface = _plain(part.removeprefix("interface="))

    def _findPath(self) -> None:
        for at, part in enumerate(self._parts[self._first + 1 :], self._first + 1):
            if part.startswith("address=") or at == self._first + 1:
                self._at = at
                self.path = _plain(part.removeprefix("address="))

    def _findPort(self) -> None:
        for at, part in enumerate(self._parts[self._first + 1 :], self._first + 1):
            match = _PORT.fullmatch(part)
            if match is not None:
                self._at = at
                self.port = int(match["number"])
                return

    def meets(self, other: Place) -> bool:
        """
        @return: whether only one of the two places can be listened at.
        """
        if self.path is not None or not self.port:
            return self.path is not None and self.path == other.path
        isNear = self.interface in _EVERYWHERE or other.interface in (self.interface, *_EVERYWHERE)
        return isNear and self.port == other.port

    def beside(self, name: str, number: int) -> str:
        """
        @return: the description of the place of another process; see L{spread}.
        """
        parts = list(self._parts)
        if self.path is not None:
            path = PurePosixPath(parts[self._at])
            parts[self._at] = str(path.with_name(f"{path.stem}-{name}{path.suffix}"))
        elif self.port:
            parts[self._at] = parts[self._at].replace(str(self.port), str(self.port + number))
        return ":".join(parts)


def _plain(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part)


def placeOf(description: str) -> Place:
    """
    @param description: the description of an endpoint, such as C{tcp:8081} or C{haproxy:unix:/run/app.sock}.

    @return: what can be told from it; nothing is opened, and plug-ins are not asked.
    """
    return Place(description)


def spread(descriptions: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """
    Give each process places of its own: C{{process}} in a description becomes its name; otherwise the path of a Unix
    socket gets its name, and a port its number, counted on from the one that is given. The port 0 stays.

    @param descriptions: the descriptions of endpoints, as they were given for all processes.

    @param names: the names of the processes.

    @return: the descriptions for each of them, by its name.

    @raise ValueError: when processes would share a place; it begins with the description.
    """
    places: dict[str, list[str]] = {name: [] for name in names}
    taken: dict[str, str] = {}
    for description in descriptions:
        place = placeOf(description)
        isTemplate = _FIELD in description
        if not isTemplate and place.port is None and place.path is None:
            raise ValueError(
                f"{description}: there is no port number in it to count on from for the other processes; put {_FIELD} "
                "where the name of each belongs"
            )
        if place.path is not None and not PurePosixPath(place.path).name:
            raise ValueError(f"{description}: {place.path!r} is no path of a socket")
        if not isTemplate and (place.port or 0) + len(names) - 1 > MOST_PORT:
            raise ValueError(f"{description}: {len(names)} processes need as many ports, and these end at {MOST_PORT}")
        for number, name in enumerate(names):
            own = description.replace(_FIELD, name) if isTemplate else place.beside(name, number)
            if own in taken and place.port != 0:
                raise ValueError(f"{description}: {own} is the place of another process, by {taken[own]}")
            taken[own] = description
            places[name].append(own)
    return places
