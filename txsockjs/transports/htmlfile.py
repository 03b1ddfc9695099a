# -*- test-case-name: tests.test_transports -*-
"""
C{htmlfile}: receiving by a page that never ends, in a hidden frame, one script element a frame.
"""

from __future__ import annotations

from twisted.web.server import Request

from txsockjs.codec import onceForAll, quote
from txsockjs.service import Service
from txsockjs.transports.answers import HTML, SCRIPTED, UNBUFFERED, Answer, confined
from txsockjs.transports.callback import CallbackLeaf

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


@onceForAll
def _script(frame: bytes) -> bytes:
    # No "<" may reach the HTML parser: "</script" would end the script and "<!--" would hide the end of it.
    text = quote(frame.decode("utf-8")).replace("<", "\\u003c")
    return b"<script>\np(" + text.encode("utf-8") + b");\n</script>\r\n"


class HTMLFile(CallbackLeaf):
    """
    Many frames a response, each a script.
    """

    transportName = "htmlfile"
    contentType = HTML

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        # Each frame is a script of its own, so none can be named here.
        self.headers = UNBUFFERED + confined(service.origins.ancestors, "script-src 'unsafe-inline'", *SCRIPTED)

    def receiveScripts(self, request: Request, name: str, callback: str) -> Answer:
        """
        See L{CallbackLeaf.receiveScripts}.
        """
        page = (_PAGE % callback).encode("ascii").ljust(_SHORTEST_PAGE) + b"\r\n\r\n"
        return self.receive(request, name, _script, self._service.options.response_limit, page)
