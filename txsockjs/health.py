# -*- test-case-name: tests.test_health -*-
"""
C{/health}: whether clients may be sent here, for balancers that ask every few seconds.
"""

from __future__ import annotations

from typing import Protocol

from twisted.web.http import SERVICE_UNAVAILABLE
from twisted.web.server import Request

from txsockjs.transports.answers import Answer, Leaf, forbidCaching, plainText

__all__ = ["Drainable", "HealthResource"]


class Drainable(Protocol):
    """
    What can be asked: a L{txsockjs.resource.SockJSResource}, a L{txsockjs.factory.SockJSFactory} or a
    L{txsockjs.factory.SockJSMultiFactory}.
    """

    @property
    def isDraining(self) -> bool:
        """
        Whether it stops, and takes no new sessions.
        """


class HealthResource(Leaf):
    """
    Answers C{200} and C{ok} while everything that it looks at takes sessions, and C{503} and C{draining} as soon as
    something does not. It asks nobody and counts nothing, so it can be asked as often as one likes.
    """

    def __init__(self, *places: Drainable) -> None:
        """
        @param places: what to look at; services or sites.
        """
        super().__init__()
        self._places = places

    def answer(self, request: Request) -> Answer:
        """
        Tell how things stand now; nobody may keep that.
        """
        forbidCaching(request)
        if any(place.isDraining for place in self._places):
            return plainText(request, SERVICE_UNAVAILABLE, "draining\n")
        return plainText(request, 200, "ok\n")
