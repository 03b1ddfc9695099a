# -*- test-case-name: tests.test_transports -*-
"""
C{jsonp-polling}: receiving by a script that calls a function of the page's, and sending by a form.
"""

from __future__ import annotations

from typing import Sequence
from urllib.parse import parse_qs

from twisted.web.http import INTERNAL_SERVER_ERROR
from twisted.web.iweb import IRequest

from txsockjs.codec import PayloadExpected, decodeMessages, quote
from txsockjs.transports.answers import JAVASCRIPT, PLAIN, Answer, plainText
from txsockjs.transports.base import ReceiveLeaf, SendLeaf
from txsockjs.transports.callback import BadCallback, callbackOf

__all__ = ["JSONP", "JSONPSend"]

_LONGEST_CALLBACK = 32
_FORM = b"application/x-www-form-urlencoded"
_MOST_FIELDS = 16


class JSONP(ReceiveLeaf):
    """
    One frame a response.
    """

    transportName = "jsonp-polling"
    contentType = JAVASCRIPT
    cors = False
    methods: Sequence[bytes] = (b"GET",)

    def exchange(self, request: IRequest, name: str) -> Answer:
        """
        See L{txsockjs.transports.base.SessionLeaf.exchange}.
        """
        try:
            callback = callbackOf(request, _LONGEST_CALLBACK)
        except BadCallback as error:
            return plainText(request, INTERNAL_SERVER_ERROR, str(error))
        request.setHeader(b"x-content-type-options", b"nosniff")

        def call(frame: bytes) -> bytes:
            # The comment keeps the callback from being the first bytes of the answer (CVE-2014-4671).
            return f"/**/{callback}({quote(frame.decode('utf-8'))});\r\n".encode("utf-8")

        return self.receive(request, name, call, 1)


class JSONPSend(SendLeaf):
    """
    A JSON array of messages: the field C{d} of a form, or the plain body.
    """

    cors = False
    methods: Sequence[bytes] = (b"POST",)

    def messages(self, request: IRequest) -> list[str]:
        """
        See L{SendLeaf.messages}.
        """
        body = request.content.read()
        contentType = request.getHeader(b"content-type") or b""
        if contentType.partition(b";")[0].strip().lower() != _FORM:
            return decodeMessages(body)
        try:
            fields = parse_qs(body, max_num_fields=_MOST_FIELDS)
        except ValueError:  # more fields than any client of ours sends
            raise PayloadExpected() from None
        return decodeMessages(fields.get(b"d", [b""])[0])

    def acknowledge(self, request: IRequest) -> Answer:
        """
        See L{SendLeaf.acknowledge}. Some browsers want a body here.
        """
        request.setHeader(b"content-type", PLAIN)
        return b"ok"
