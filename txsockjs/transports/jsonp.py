# -*- test-case-name: tests.test_transports -*-
"""
C{jsonp-polling}: receiving by a script that calls a function of the page's, and sending by a form.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

from twisted.web.server import Request

from txsockjs.codec import PayloadExpected, decodeMessages, quote
from txsockjs.service import Service
from txsockjs.transports.answers import JAVASCRIPT, PLAIN, Answer, confined
from txsockjs.transports.base import SendLeaf, bodyOf
from txsockjs.transports.callback import CallbackLeaf

__all__ = ["JSONP", "JSONPSend"]

_FORM = b"application/x-www-form-urlencoded"
_MOST_FIELDS = 16


class JSONP(CallbackLeaf):
    """
    One frame a response.
    """

    transportName = "jsonp-polling"
    contentType = JAVASCRIPT
    longestCallback = 32

    def receiveScripts(self, request: Request, name: str, callback: str) -> Answer:
        """
        See L{CallbackLeaf.receiveScripts}.
        """

        def call(frame: bytes) -> bytes:
            # The comment keeps the callback from being the first bytes of the answer (CVE-2014-4671).
            return f"/**/{callback}({quote(frame.decode('utf-8'))});\r\n".encode()

        return self.receive(request, name, call, 1)


class JSONPSend(SendLeaf):
    """
    A JSON array of messages: the field C{d} of a form, or the plain body.
    """

    cors = False
    tellsOrigin = False
    methods: Sequence[bytes] = (b"POST",)

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.headers = confined(service.origins.ancestors)  # the form's target is a hidden frame

    def messages(self, request: Request) -> list[str]:
        """
        See L{SendLeaf.messages}.
        """
        body = bodyOf(request)
        contentType = request.getHeader(b"content-type") or b""
        if contentType.partition(b";")[0].strip().lower() != _FORM:
            return decodeMessages(body)
        try:
            # As text, since parse_qs takes no bytes beyond ASCII; what is not UTF-8 comes through as it was.
            form = body.decode("utf-8", "surrogateescape")
            fields = parse_qs(form, errors="surrogateescape", max_num_fields=_MOST_FIELDS)
        except ValueError:  # more fields than any client sends
            raise PayloadExpected() from None
        return decodeMessages(fields.get("d", [""])[0].encode("utf-8", "surrogateescape"))

    def acknowledge(self, request: Request) -> Answer:
        """
        See L{SendLeaf.acknowledge}. Some browsers want a body here.
        """
        request.setHeader(b"content-type", PLAIN)
        return b"ok"
