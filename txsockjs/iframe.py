# -*- test-case-name: tests.test_resource,tests.test_hardening -*-
"""
C{/iframe*.html}: the page by which pages of other origins use the transports that need the service's own.

sockjs-client puts it into a hidden frame, and has it load sockjs-client itself and connect for the page outside.
"""

from __future__ import annotations

import hashlib
import html
import re
from base64 import b64encode
from urllib.parse import quote, urlsplit

from twisted.web.http import NOT_MODIFIED
from twisted.web.server import Request

from txsockjs.pages import etagOf, isKnown
from txsockjs.service import Service
from txsockjs.transports.answers import HTML, SCRIPTED, Answer, Leaf, cacheForAYear, confined, finishEmpty

__all__ = ["IFrame", "sourceOf"]

_SCRIPT = """
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  """

_PAGE = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{sockjs_url}"></script>
  <script>{script}</script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""

_HOST = re.compile(r"[a-z0-9_.-]+")
_ANYWHERE = "http: https:"


def sourceOf(url: str) -> str:
    """
    @param url: where a script is, such as the option C{sockjs_url}.

    @return: what allows this script in a Content-Security-Policy, and as few others as can be said there.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except ValueError:
        return _ANYWHERE
    if not parts.netloc:
        return f"{parts.scheme}:" if parts.scheme else "'self'"
    if not _HOST.fullmatch(host):  # there is no way to say an address of IPv6
        return f"{parts.scheme}:" if parts.scheme else _ANYWHERE
    start = f"{parts.scheme}://" if parts.scheme else ""
    return f"{start}{host}{'' if port is None else f':{port}'}{quote(parts.path, safe='/%:@!$&()*+=~')}"


class IFrame(Leaf):
    """
    The page, which is the same for everybody.
    """

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._clock = service.clock
        url = service.options.sockjs_url
        self._page = _PAGE.format(sockjs_url=html.escape(url), script=_SCRIPT).encode("utf-8")
        digest = b64encode(hashlib.sha256(_SCRIPT.encode("ascii")).digest()).decode("ascii")
        self.headers = confined(
            service.origins.ancestors,
            f"script-src 'sha256-{digest}' {sourceOf(url)}",
            "connect-src 'self'",  # sockjs-client connects to no other origin from here
            "frame-src 'self'",  # htmlfile
            *SCRIPTED,
        )
        self._etag = etagOf(self._page, self.headers)

    def answer(self, request: Request) -> Answer:
        """
        Send it, unless the browser has it.
        """
        cacheForAYear(request, self._clock)
        request.setHeader(b"etag", self._etag)
        if isKnown(request, self._etag):
            return finishEmpty(request, NOT_MODIFIED)
        request.setHeader(b"content-type", HTML)
        return self._page
