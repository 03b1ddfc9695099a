# -*- test-case-name: tests.test_factory,tests.test_limits -*-
"""
Requests whose bodies are no larger than whom they are for allows, and nobody else's business.
"""

from __future__ import annotations

from typing import Any

from twisted.web.server import Request

from txsockjs.channel import Channel
from txsockjs.transports import BELOW_SESSION
from txsockjs.transports.answers import UnreadBody

__all__ = ["BoundedRequest"]


class BoundedRequest(Request):
    """
    A request whose body is left as it is where SockJS reads it, whatever its type is said to be. Twisted would read a
    form, and refuse a broken one, before it knows whom the request is for.

    A body that is too large is refused as soon as this is known, and not kept.
    """

    _contentTypes: list[bytes] | None = None
    _limit: int | None = None
    _refused = False

    def gotLength(self, length: int | None) -> None:
        """
        The headers are here, and tell the length of the body or that it comes in chunks.
        """
        channel: Any = self.channel
        self._limit = channel.site.limitFor(channel._path if isinstance(channel, Channel) else channel.path)
        if self._limit is not None and length is not None and length > self._limit:
            self._refuse()
        else:
            super().gotLength(length)

    def parseCookies(self) -> None:
        """
        All headers are here. Over HTTP/2, where this comes after the length, do not ask for a body that is refused.
        """
        super().parseCookies()
        if self._refused:
            self.requestHeaders.removeHeader(b"expect")

    def handleContentChunk(self, data: bytes) -> None:
        """
        A part of the body came.
        """
        if self._refused:
            return
        content: Any = self.content
        if self._limit is not None and content.tell() + len(data) > self._limit:
            content.close()
            self._refuse()
        else:
            super().handleContentChunk(data)

    def _refuse(self) -> None:
        """
        Keep nothing of the body. Over HTTP/1 answer at once; an HTTP/2 stream is answered when it has ended.
        """
        self._refused = True
        self.content = UnreadBody()
        self.requestHeaders.removeHeader(b"expect")
        if isinstance(self.channel, Channel):
            self.channel.refuse()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """
        Hide the type of the body until the request is processed.
        """
        if path.partition(b"?")[0].rpartition(b"/")[2] in BELOW_SESSION:
            types = self.requestHeaders.getRawHeaders(b"content-type")
            self._contentTypes = None if types is None else list(types)
            self.requestHeaders.removeHeader(b"content-type")
        super().requestReceived(command, path, version)

    def process(self) -> None:
        """
        Find the resource, which may see the type.
        """
        if self._contentTypes is not None:
            self.requestHeaders.setRawHeaders(b"content-type", self._contentTypes)
        super().process()
