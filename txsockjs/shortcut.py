# -*- test-case-name: tests.test_shortcut -*-
"""
The one common shape of an HTTP request to our own sites, for speed: a whole C{POST} in one piece, with plain headers,
to one of the URLs by which browsers poll, stream and send. C{twisted.web} takes most of the time of such a request for
what is known here already.

Everything else is C{twisted.web}'s: whatever is not just so is left as it came. The answers are the same, and are made
by the same code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, toChunk
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request, version

from txsockjs.transports.direct import writeNow

__all__ = ["QuickRequest", "parseCommon"]

_HEAD = re.compile(
    rb"POST (?P<path>(?:/[0-9A-Za-z_~-]+){3,}) HTTP/1\.1\r\n"
    rb"(?P<fields>(?:[0-9A-Za-z-]+: [!-~](?:[\t -~]*[!-~])?\r\n){1,64})\r\n"
)
_LONGEST_HEAD = 8192

_UNCOMMON = frozenset(
    {b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te", b"keep-alive", b"proxy-connection"}
)
"""What changes the way in which a request or its answer travels."""


def parseCommon(data: bytes) -> tuple[bytes, dict[bytes, bytes], bytes] | None:
    """
    @param data: what came on a connection on which nothing is under way.

    @return: path, headers by their names in lower case, and body of the request, if this is just one of the common
        shape, whole and with nothing behind it.
    """
    match = _HEAD.match(data, 0, _LONGEST_HEAD)
    if match is None:
        return None
    fields: dict[bytes, bytes] = {}
    for line in match["fields"][:-2].split(b"\r\n"):
        name, _, value = line.partition(b": ")
        name = name.lower()
        if name in fields or name in _UNCOMMON:
            return None
        fields[name] = value
    length = fields.get(b"content-length", b"")
    if not length.isdigit() or len(length) > 9 or int(length) != len(data) - match.end():
        return None
    if fields.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    return match["path"], fields, data[match.end() :]


class _Head:
    """
    The headers of an answer that is being made.
    """

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}

    def setRawHeaders(self, name: bytes, values: Iterable[bytes]) -> None:
        (self.fields[name.lower()],) = values


_heads: dict[tuple[object, ...], bytes] = {}
"""The heads of answers, without their dates. The same few are needed over and over."""

_MOST_HEADS = 1000
"""How many may be kept, since clients have a say in some of the headers."""


def _headOf(code: int, reason: bytes, fields: Mapping[bytes, bytes]) -> bytes:
    key = (code, *fields.items())
    head = _heads.get(key)
    if head is None:
        if len(_heads) >= _MOST_HEADS:
            _heads.clear()
        headers = Headers()  # knows how names are written, and lets nothing through that would be a line of its own
        for name, value in fields.items():
            headers.setRawHeaders(name, [value])
        lines = [b"%s: %s\r\n" % (name, value) for name, values in headers.getAllRawHeaders() for value in values]
        head = b"HTTP/1.1 %d %s\r\nServer: %s\r\n%s" % (code, reason, version, b"".join(lines))
        _heads[key] = head
    return head


class QuickRequest(Request):
    """
    A request of the common shape, for the leaves of a service. To them it is like any other one of C{twisted.web}'s;
    its headers are made when somebody asks for all of them.
    """

    _requestHeaders: Headers | None = None

    def __init__(self, channel: Any, path: bytes, fields: dict[bytes, bytes], body: bytes) -> None:
        # Not Request.__init__, which makes what is seldom used.
        self.notifications = []
        self.channel = channel
        self.transport = channel.transport
        self.site = channel.site
        self._dateLine: bytes = channel.site.dateLine
        self.queued = False
        self.method = b"POST"
        self.uri = self.path = path
        self.clientproto = b"HTTP/1.1"
        self.args = {}
        self.cookies = []
        self.content = BytesIO(body)
        segments = path[1:].split(b"/")
        self.prepath, self.postpath = segments[:-2], segments[-2:]
        self.responseHeaders: Any = _Head()
        self._fields = fields

    @property
    def requestHeaders(self) -> Headers:  # type: ignore[override]
        """
        All headers of the request.
        """
        if self._requestHeaders is None:
            self._requestHeaders = Headers({name: [value] for name, value in self._fields.items()})
        return self._requestHeaders

    @property
    def client(self) -> Any:
        """
        The address of the peer.
        """
        return self.channel.getPeer()

    @property
    def host(self) -> Any:
        """
        Our own address.
        """
        return self.channel.getHost()

    def getHeader(self, key: Any) -> Any:
        """
        @return: the value of a header.
        """
        return self._fields.get(key.lower()) if type(key) is bytes else super().getHeader(key)

    def setHeader(self, name: Any, value: Any) -> None:
        """
        Set a header of the answer.
        """
        self.responseHeaders.fields[name.lower()] = value

    def answer(self, leaf: IResource) -> None:
        """
        Let C{leaf} answer, as C{twisted.web} would.
        """
        try:
            body: Any = leaf.render(self)
            if body is not NOT_DONE_YET:
                self.setHeader(b"content-length", b"%d" % len(body))
                self.write(body)
                self.finish()
        except BaseException:
            self.processingFailed(Failure())

    def write(self, data: bytes) -> None:
        """
        Write a part of the answer, with the head in front if it is the first.
        """
        if self.finished:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        if self._disconnected:
            return
        if self.startedWriting:
            if data:
                self._send(b"".join(toChunk(data)) if self.chunked else data)
            return
        self.startedWriting = 1
        fields = self.responseHeaders.fields
        bodiless = self.code in NO_BODY_CODES
        if not bodiless and b"content-length" not in fields:
            self.chunked = 1
            fields[b"transfer-encoding"] = b"chunked"
        head = _headOf(self.code, self.code_message, fields) + self._dateLine
        if bodiless or not data:
            self._send(head)
        else:
            self._send(head + (b"".join(toChunk(data)) if self.chunked else data))

    def _send(self, data: bytes) -> None:
        writeNow(self.channel.transport, data)
