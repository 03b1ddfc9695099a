# -*- test-case-name: tests.test_shortcut -*-
"""
The two common shapes of an HTTP request to our own sites, for speed: a whole C{POST} in one piece, with plain headers,
to one of the URLs by which browsers poll, stream and send; and a C{GET} by which they begin a WebSocket. C{twisted.web}
takes most of the time of such a request for what is known here already.

Everything else is C{twisted.web}'s: whatever is not just so is left as it came. The answers are the same, and are made
by the same code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any, NamedTuple

from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, toChunk
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request, version

from txsockjs.transports.direct import writeNow

__all__ = ["Common", "QuickRequest", "parseCommon"]

_HEAD = re.compile(
    rb"(?P<method>POST|GET) (?P<path>(?:/[0-9A-Za-z_~-]+){3,}) HTTP/1\.1\r\n"
    rb"(?P<fields>(?:[0-9A-Za-z-]+: [!-~](?:[\t -~]*[!-~])?\r\n){1,64})\r\n"
)
_LONGEST_HEAD = 8192

_UNCOMMON = frozenset(
    {b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te", b"keep-alive", b"proxy-connection"}
)
"""What changes the way in which a request or its answer travels."""

_UPGRADES = frozenset({b"upgrade", b"keep-alive, upgrade"})
"""The header C{Connection} of those who begin a WebSocket."""


class Common(NamedTuple):
    """
    A request of one of the common shapes.
    """

    method: bytes

    path: bytes

    fields: dict[bytes, bytes]
    """The headers, by their names in lower case."""

    body: bytes


def parseCommon(data: bytes) -> Common | None:
    """
    @param data: what came on a connection on which nothing is under way.

    @return: the request, if this is just one of the common shapes, whole and with nothing behind it.
    """
    match = _HEAD.match(data, 0, _LONGEST_HEAD)
    if match is None:
        return None
    fields: dict[bytes, bytes] = {}
    for line in match["fields"][:-2].split(b"\r\n"):
        name, _, value = line.partition(b": ")
        name = name.lower()
        if name in fields:
            return None
        fields[name] = value
    method = match["method"]
    isCommon = _isUpgrade if method == b"GET" else _isPost
    if not isCommon(fields, len(data) - match.end()):
        return None
    return Common(method, match["path"], fields, data[match.end() :])


def _isPost(fields: dict[bytes, bytes], size: int) -> bool:
    length = fields.get(b"content-length", b"")
    return (
        length.isdigit()
        and len(length) <= 9
        and int(length) == size
        and fields.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        and _UNCOMMON.isdisjoint(fields)
    )


def _isUpgrade(fields: dict[bytes, bytes], size: int) -> bool:
    return (
        not size
        and fields.get(b"upgrade", b"").lower() == b"websocket"
        and fields.get(b"connection", b"").lower() in _UPGRADES
        and b"content-length" not in fields
        and _UNCOMMON.isdisjoint(fields.keys() - {b"upgrade"})
    )


class _Fields:
    """
    The headers of a request of a common shape, each of which is there once. Those of Twisted's are made when somebody
    wants more of them than the lines of one name.
    """

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        self._fields = fields
        self._whole: Headers | None = None

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        if type(name) is not bytes:
            return self._headers.getRawHeaders(name, default)
        value = self._fields.get(name.lower())
        return default if value is None else [value]

    @property
    def _headers(self) -> Headers:
        if self._whole is None:
            self._whole = Headers({name: [value] for name, value in self._fields.items()})
        return self._whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._headers, name)


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

_LONGEST_KEPT = 1024
"""How many bytes one of them may have, for the same reason."""


def _headOf(code: int, reason: bytes, fields: Mapping[bytes, bytes]) -> bytes:
    key = (code, *fields.items())
    head = _heads.get(key)
    if head is None:
        headers = Headers()  # knows how names are written, and lets nothing through that would be a line of its own
        for name, value in fields.items():
            headers.setRawHeaders(name, [value])
        lines = [b"%s: %s\r\n" % (name, value) for name, values in headers.getAllRawHeaders() for value in values]
        head = b"HTTP/1.1 %d %s\r\nServer: %s\r\n%s" % (code, reason, version, b"".join(lines))
        if len(head) <= _LONGEST_KEPT:
            if len(_heads) >= _MOST_HEADS:
                _heads.clear()
            _heads[key] = head
    return head


class QuickRequest(Request):
    """
    A request of a common shape, for the leaves of a service. To them it is like any other one of C{twisted.web}'s.
    """

    def __init__(self, channel: Any, common: Common) -> None:
        # Not Request.__init__, which makes what is seldom used.
        self.notifications = []
        self.channel = channel
        self.transport = channel.transport
        self.site = channel.site
        self._dateLine: bytes = channel.site.dateLine
        self.queued = False
        self.method, path, self._fields, body = common
        self.uri = self.path = path
        self.clientproto = b"HTTP/1.1"
        self.args = {}
        self.cookies = []
        self.content = BytesIO(body)
        segments = path[1:].split(b"/")
        self.prepath, self.postpath = segments[:-2], segments[-2:]
        self.responseHeaders: Any = _Head()
        self.requestHeaders: Any = _Fields(self._fields)

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
