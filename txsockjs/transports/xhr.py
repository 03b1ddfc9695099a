# -*- test-case-name: tests.test_transports -*-
"""
C{xhr-polling} and C{xhr-streaming}: receiving by the body of a POST, and C{xhr_send} for all but JSONP.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.server import Request

from txsockjs.codec import decodeMessages, onceForAll
from txsockjs.transports.answers import JAVASCRIPT, PLAIN, SAFE, UNBUFFERED, Answer, finishEmpty
from txsockjs.transports.base import ReceiveLeaf, SendLeaf, bodyOf

__all__ = ["XHRPolling", "XHRSend", "XHRStreaming"]

_PRELUDE = b"h" * 2048 + b"\n"
"""Some browsers show nothing of a response before they have this much of it."""


@onceForAll
def _line(frame: bytes) -> bytes:
    return frame + b"\n"


class XHRPolling(ReceiveLeaf):
    """
    One frame a response.
    """

    transportName = "xhr-polling"
    contentType = JAVASCRIPT
    methods: Sequence[bytes] = (b"POST", b"OPTIONS")

    def exchange(self, request: Request, name: str) -> Answer:
        """
        See L{txsockjs.transports.base.SessionLeaf.exchange}.
        """
        return self.receive(request, name, _line, 1)


class XHRStreaming(ReceiveLeaf):
    """
    Many frames a response, each a line.
    """

    transportName = "xhr-streaming"
    contentType = JAVASCRIPT
    headers = SAFE + UNBUFFERED
    methods: Sequence[bytes] = (b"POST", b"OPTIONS")

    def exchange(self, request: Request, name: str) -> Answer:
        """
        See L{txsockjs.transports.base.SessionLeaf.exchange}.
        """
        return self.receive(request, name, _line, self._service.options.response_limit, _PRELUDE)


class XHRSend(SendLeaf):
    """
    A JSON array of messages, whatever the request says of its type.
    """

    def messages(self, request: Request) -> list[str]:
        """
        See L{SendLeaf.messages}.
        """
        return decodeMessages(bodyOf(request))

    def acknowledge(self, request: Request) -> Answer:
        """
        See L{SendLeaf.acknowledge}. There is no body, but browsers want to be told that it is no XML.
        """
        request.setHeader(b"content-type", PLAIN)
        return finishEmpty(request)
