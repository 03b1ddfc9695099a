# -*- test-case-name: tests.test_transports -*-
"""
What htmlfile and JSONP have in common: the argument C{c}, the name of a function of the page's, which goes into a
script of ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from twisted.web.http import INTERNAL_SERVER_ERROR
from twisted.web.server import Request

from txsockjs.stats import RefusalCause
from txsockjs.transports.answers import Answer, plainText
from txsockjs.transports.base import ReceiveLeaf

__all__ = ["CallbackLeaf"]

_NAME = re.compile(r"[a-zA-Z0-9\-_.]+")


class CallbackLeaf(ReceiveLeaf):
    """
    A URL by which a client receives scripts (protocol section "Frames from server to client").
    """

    cors = False
    tellsOrigin = False
    methods: Sequence[bytes] = (b"GET",)

    longestCallback: ClassVar[int | None] = None
    """The number of characters that the callback may have; L{None} for any."""

    def exchange(self, request: Request, name: str) -> Answer:
        """
        Refuse a callback that is missing, or could be more than a name, and let L{receiveScripts} do the rest.
        """
        values = request.args.get(b"c") or request.args.get(b"callback") or [b""]
        callback = values[0].decode("latin-1")
        if not callback:
            return self._refuse(request, '"callback" parameter required')
        tooLong = self.longestCallback is not None and len(callback) > self.longestCallback
        if tooLong or not _NAME.fullmatch(callback):
            return self._refuse(request, 'invalid "callback" parameter')
        return self.receiveScripts(request, name, callback)

    def _refuse(self, request: Request, why: str) -> Answer:
        self._service.registry.stats.refused[RefusalCause.CALLBACK] += 1
        return plainText(request, INTERNAL_SERVER_ERROR, why)

    def receiveScripts(self, request: Request, name: str, callback: str) -> Answer:
        """
        Open the response.

        @param name: the session id.

        @param callback: a name that is safe within a script.
        """
        raise NotImplementedError
