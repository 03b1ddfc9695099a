# -*- test-case-name: tests.test_client_http,tests.test_client_connect -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
An agent whose requests are answered by the test, piece by piece.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

__all__ = ["Asked", "FakeAgent", "FakeResponse"]


class BodyTransport(StringTransport):
    """
    What the body of a response has as its transport.
    """

    lost = False

    def loseConnection(self) -> None:
        self.lost = True


@implementer(IResponse)
class FakeResponse:
    """
    A response whose body comes piece by piece.

    @ivar transport: what its reader controls.
    """

    version = (b"HTTP", 1, 1)
    phrase = b"whatever"
    request = previousResponse = None
    length = 0

    def __init__(self, code: int = 200, headers: dict[str, list[str]] | None = None) -> None:
        self.code = code
        self.headers = Headers(headers or {})
        self.transport = BodyTransport()
        self.reader: Any = None
        self._early: list[bytes] = []
        self._end: Failure | None = None

    def deliverBody(self, protocol: Any) -> None:
        self.reader = protocol
        protocol.makeConnection(self.transport)
        for data in self._early:
            protocol.dataReceived(data)
        if self._end is not None:
            protocol.connectionLost(self._end)

    def setPreviousResponse(self, response: Any) -> None:
        pass

    def send(self, *pieces: bytes) -> None:
        """
        Send pieces of the body.
        """
        for data in pieces:
            if self.reader is None:
                self._early.append(data)
            else:
                self.reader.dataReceived(data)

    def end(self, error: Exception | None = None) -> None:
        """
        The body is at its end, or broken.
        """
        self._end = Failure(ResponseDone() if error is None else ResponseFailed([Failure(error)]))
        if self.reader is not None:
            self.reader.connectionLost(self._end)


class Asked:
    """
    One request.

    @ivar cancelled: whether nobody waits for the answer any more.
    @ivar written: what of its body was written.
    """

    def __init__(self, method: bytes, url: bytes, headers: Headers, body: Any, slow: bool = False) -> None:
        self.method = method.decode("ascii")
        self.url = url.decode("ascii")
        self.headers = headers
        self.body = body
        self.cancelled = False
        self.answered = False
        self.written = b""
        self.slow = slow
        self.deferred: Deferred[Any] = Deferred(self._cancel)
        if body is not None:
            body.startProducing(self)

    def __repr__(self) -> str:
        return f"{self.method} {self.url}"

    def write(self, data: bytes) -> None:
        self.written += data
        if self.slow:
            self.body.pauseProducing()

    def _cancel(self, deferred: Deferred[Any]) -> None:
        self.cancelled = True
        deferred.errback(ResponseNeverReceived([Failure(CancelledError())]))  # as of Agent

    def answer(self, code: int = 200, *pieces: bytes, headers: dict[str, list[str]] | None = None) -> FakeResponse:
        """
        Answer it.
        """
        response = FakeResponse(code, headers)
        self.respond(response)
        response.send(*pieces)
        return response

    def respond(self, response: FakeResponse) -> None:
        """
        Answer it with a response that may have its body already.
        """
        self.answered = True
        self.deferred.callback(response)

    def whole(self, code: int = 200, *pieces: bytes, headers: dict[str, list[str]] | None = None) -> None:
        """
        Answer it, with all of its body.
        """
        self.answer(code, *pieces, headers=headers).end()

    def fail(self, error: Exception | None = None) -> None:
        """
        It can't be answered.
        """
        self.answered = True
        self.deferred.errback(error or ResponseFailed([Failure(ConnectionLost())]))


@implementer(IAgent)
class FakeAgent:
    """
    Makes no request.

    @ivar asked: those that it was asked for.
    @ivar slow: whether bodies are taken piece by piece: the next one at each C{body.resumeProducing()}.
    """

    slow = False

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        self.asked.append(Asked(method, uri, headers, bodyProducer, self.slow))
        return self.asked[-1].deferred

    @property
    def open(self) -> list[Asked]:
        """
        Those that have no answer yet.
        """
        return [asked for asked in self.asked if not asked.answered and not asked.cancelled]

    def to(self, end: str) -> Asked:
        """
        @return: the one open request to such a URL.
        """
        (found,) = [asked for asked in self.open if asked.url.partition("?")[0].endswith(end)]
        return found
