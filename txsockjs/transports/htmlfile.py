# -*- test-case-name: tests.test_transports -*-
"""
C{htmlfile}: receiving by a page that never ends, in a hidden frame, one script element a frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.http import INTERNAL_SERVER_ERROR
from twisted.web.server import Request

from txsockjs.codec import quote
from txsockjs.transports.answers import HTML, Answer, plainText
from txsockjs.transports.base import ReceiveLeaf
from txsockjs.transports.callback import BadCallback, callbackOf

__all__ = ["HTMLFile"]

_PAGE = """<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%s;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""

_SHORTEST_PAGE = 1025
"""Some browsers run nothing of a page before they have more than 1024 bytes of it."""


def _script(frame: bytes) -> bytes:
    # No "<" may reach the HTML parser: "</script" would end the script and "<!--" would hide the end of it.
    text = quote(frame.decode("utf-8")).replace("<", "\\u003c")
    return b"<script>\np(" + text.encode("utf-8") + b");\n</script>\r\n"


class HTMLFile(ReceiveLeaf):
    """
    Many frames a response, each a script.
    """

    transportName = "htmlfile"
    contentType = HTML
    cors = False
    methods: Sequence[bytes] = (b"GET",)

    def exchange(self, request: Request, name: str) -> Answer:
        """
        See L{txsockjs.transports.base.SessionLeaf.exchange}.
        """
        try:
            callback = callbackOf(request)
        except BadCallback as error:
            return plainText(request, INTERNAL_SERVER_ERROR, str(error))
        page = (_PAGE % callback).encode("ascii").ljust(_SHORTEST_PAGE) + b"\r\n\r\n"
        return self.receive(request, name, _script, self._service.options.response_limit, page)
