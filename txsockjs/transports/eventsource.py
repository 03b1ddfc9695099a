# -*- test-case-name: tests.test_transports -*-
"""
C{eventsource}: receiving by server-sent events.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.server import Request

from txsockjs.codec import onceForAll
from txsockjs.transports.answers import SAFE, UNBUFFERED, Answer
from txsockjs.transports.base import ReceiveLeaf

__all__ = ["EventSource"]

_ESCAPES = {b"%": b"%25", b"\r": b"%0D", b"\n": b"%0A", b"\0": b"%00"}
"""sockjs-client decodes percent escapes; the others would end the event, or be lost. % comes first."""


@onceForAll
def _event(frame: bytes) -> bytes:
    for byte, escape in _ESCAPES.items():
        frame = frame.replace(byte, escape)
    return b"data: " + frame + b"\r\n\r\n"


class EventSource(ReceiveLeaf):
    """
    Many frames a response, each an event.
    """

    transportName = "eventsource"
    contentType = b"text/event-stream"
    headers = SAFE + UNBUFFERED
    methods: Sequence[bytes] = (b"GET",)
    nullIsAnyone = True

    def exchange(self, request: Request, name: str) -> Answer:
        """
        See L{txsockjs.transports.base.SessionLeaf.exchange}.
        """
        return self.receive(request, name, _event, self._service.options.response_limit, b"\r\n")
