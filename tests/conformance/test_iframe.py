# -*- test-case-name: tests.conformance.test_iframe -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The page that carries a transport across domains.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tests.conformance.case import ConformanceCase

__all__ = ["IframeTests"]

PAGE = """\
<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{sockjs_url}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""


class IframeTests(ConformanceCase):
    """
    C{/iframe.html} and its other names.
    """

    async def test_page(self) -> None:
        """
        The page is the known one to the last space, with the URL of a SockJS client in it.
        """
        response, body = await self.client.fetch("GET", "/echo/iframe.html")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers.get("Content-Type"), "text/html; charset=UTF-8")
        text = body.decode("utf-8")
        found = re.search(r'<script src="([^"<>\s]+)">', text)
        if found is None:
            self.fail(f"no script in {text!r}")
        expected = PAGE.replace("{sockjs_url}", found[1])
        # A line end after the last line is no matter.
        self.assertIn(text, (expected, expected + "\n"))

    async def test_cached(self) -> None:
        """
        The page may be kept for a year, and nothing ties it to a time or a client.
        """
        response, _ = await self.client.fetch("GET", "/cookie_needed_echo/iframe.html")
        headers = response.headers
        self.assertEqual(headers.get("Cache-Control"), "public, max-age=31536000")
        ahead = parsedate_to_datetime(headers.get("Expires") or "") - datetime.now(UTC)
        self.assertTrue(timedelta(days=364) < ahead < timedelta(days=366), ahead)
        self.assertRegex(headers.get("ETag") or "", r'^(W/)?"[^"\s]+"$')
        self.assertNotIn("Last-Modified", headers)
        self.assertNotIn("Set-Cookie", headers)

    async def test_etag(self) -> None:
        """
        All names of the page have one content and one tag, time and again.
        """
        answers = [
            await self.client.fetch("GET", "/echo/" + name)
            for name in ("iframe.html", "iframe.html", "iframe-1.2.html", "iframe.html?t=1")
        ]
        self.assertEqual(len({body for _, body in answers}), 1)
        self.assertEqual(len({response.headers.get("ETag") for response, _ in answers}), 1)

    async def test_notModified(self) -> None:
        """
        Who has the page already gets 304, without a body or a C{Content-Type}.
        """
        response, _ = await self.client.fetch("GET", "/echo/iframe.html")
        tag = response.headers.get("ETag") or ""
        for name in ("iframe.html", "iframe-7.html"):
            response, body = await self.client.fetch("GET", "/echo/" + name, [("If-None-Match", tag)])
            self.assertEqual((response.status, body), (304, b""))
            self.assertNotIn("Content-Type", response.headers)
            self.assertNotIn("Set-Cookie", response.headers)

    async def test_notModifiedHasNoBody(self) -> None:
        """
        The next answer on the connection follows the head of a 304 at once.
        """
        wire = await self.client.connect()
        path = self.client.path + "/echo/iframe.html"
        response = await wire.request("GET", path)
        await response.body()
        again = await wire.request("GET", path, [("If-None-Match", response.headers.get("ETag") or "")])
        self.assertEqual(again.status, 304)
        self.assertEqual((await wire.request("GET", path)).status, 200)

    async def test_modified(self) -> None:
        """
        Who has something else gets the page.
        """
        response, body = await self.client.fetch("GET", "/echo/iframe.html", [("If-None-Match", '"something else"')])
        self.assertEqual(response.status, 200)
        self.assertIn(b"bootstrap_iframe", body)
