# -*- test-case-name: tests.test_pages,tests.test_resource -*-
"""
Pages and files that are the same for everybody, and served from memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from twisted.web.http import NOT_MODIFIED
from twisted.web.server import Request

from txsockjs.transports.answers import SAFE, Answer, FixedHeaders, Leaf, finishEmpty

__all__ = ["Page", "assets", "etagOf", "isKnown"]

_SHARED = files("txsockjs").joinpath("static")

_TYPES = {
    ".css": b"text/css; charset=UTF-8",
    ".js": b"text/javascript; charset=UTF-8",
    ".svg": b"image/svg+xml; charset=UTF-8",
}


def etagOf(body: bytes, headers: FixedHeaders) -> bytes:
    """
    @return: the C{ETag} of a page, which is another one when its body or one of its headers is.
    """
    return b'"%s"' % hashlib.sha256(body + repr(headers).encode("ascii")).hexdigest()[:32].encode("ascii")


def isKnown(request: Request, etag: bytes) -> bool:
    """
    @return: whether the browser has a page already, by its C{If-None-Match}. What compresses on the way makes a tag
        weak, and the page is the same all the same.
    """
    known = request.getHeader(b"if-none-match") or b""
    return etag in (tag.strip().removeprefix(b"W/") for tag in known.split(b","))


class Page(Leaf):
    """
    One of them. Browsers may keep it, and ask each time whether it is still the same.
    """

    def __init__(self, body: bytes, contentType: bytes, headers: FixedHeaders = SAFE) -> None:
        """
        @param body: what is sent.

        @param contentType: its type, such as L{txsockjs.transports.answers.HTML}.

        @param headers: what is on every answer beside that.
        """
        super().__init__()
        self.headers = headers
        self._body = body
        self._type = contentType
        self._etag = etagOf(body, (*headers, (b"Content-Type", (contentType,))))

    def answer(self, request: Request) -> Answer:
        """
        Send it, unless the browser has it.
        """
        request.setHeader(b"cache-control", b"no-cache")
        request.setHeader(b"etag", self._etag)
        if isKnown(request, self._etag):
            return finishEmpty(request, NOT_MODIFIED)
        request.setHeader(b"content-type", self._type)
        return self._body


def assets(folder: Traversable, place: str) -> Iterator[tuple[str, Page]]:
    """
    @param folder: where the files of a page are. Those that all pages of ours need come with them.

    @param place: the path below which they are served.

    @return: the path of each file that the page needs, and the file.
    """
    for file in (*_SHARED.iterdir(), *folder.iterdir()):
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            yield f"{place}/{file.name}", Page(file.read_bytes(), kind)
