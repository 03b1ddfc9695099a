# -*- test-case-name: tests.test_client_http -*-
"""
HTTP as a carrier: C{xhr-streaming}, C{xhr-polling} and C{eventsource}.

One request after another receives, and one after another sends; each has its own connection of the agent's pool. What
is written while a request sends waits for the next one. A request that fails ends the session: messages may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import CookieAgent, ResponseDone
from twisted.web.http import NO_CONTENT, NOT_FOUND, OK, PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from txsockjs.client.frames import Events, FrameTooLarge, Lines, Parser
from txsockjs.client.session import ABNORMAL, ClientSession
from txsockjs.errors import SessionLost

__all__ = ["DIALECTS", "Body", "Dialect", "HTTPCarrier", "Requests", "describe", "discard"]

TOO_LARGE = 1009

_PIECE = 65536
"""Bytes of a body that are written at once, so that it is seen how the server takes them."""

_EMPTY_DELAY = 1.0
"""Seconds to wait after a response that had no frame but a prelude: something in between answers for the server."""

_GRACE = 1.0
"""Seconds to wait for a close frame when the server does not know the session any more: that tells why."""


class Dialect(NamedTuple):
    """
    How one transport receives.
    """

    method: bytes
    suffix: str
    parser: Callable[[int], Parser]
    headers: Mapping[bytes, bytes]


DIALECTS: Mapping[str, Dialect] = {
    "xhr-streaming": Dialect(b"POST", "xhr_streaming", Lines, {}),
    "eventsource": Dialect(b"GET", "eventsource", Events, {b"Accept": b"text/event-stream"}),
    "xhr-polling": Dialect(b"POST", "xhr", Lines, {}),
}
"""
The transports of this module.
"""


class Requests:
    """
    Makes the requests of one connection: each has the user's headers, and the cookies that the service or a balancer
    has set before.
    """

    def __init__(self, agent: IAgent, headers: Headers, cookies: Any) -> None:
        """
        @param agent: makes them.

        @param headers: what each request has.

        @param cookies: a C{http.cookiejar.CookieJar}.
        """
        self._agent = CookieAgent(agent, cookies)
        self._headers = headers

    def ask(
        self, method: bytes, url: str, headers: Mapping[bytes, bytes], body: _Bytes | None = None
    ) -> Deferred[IResponse]:
        """
        @return: see L{twisted.web.iweb.IAgent.request}.
        """
        every = self._headers.copy()
        for name, value in headers.items():
            every.setRawHeaders(name, [value])
        return maybeDeferred(self._agent.request, method, url.encode("ascii"), every, body)


class Body(Protocol):
    """
    Takes the body of a response.
    """

    def __init__(self, received: Callable[[bytes], None], ended: Callable[[BaseException | None], None]) -> None:
        """
        @param received: called with each piece.

        @param ended: called once after the last one, with L{None} if the body is whole. Neither is called after
            L{stop}.
        """
        self._received: Callable[[bytes], None] | None = received
        self._ended = ended

    def dataReceived(self, data: bytes) -> None:
        """
        See L{twisted.internet.interfaces.IProtocol.dataReceived}.
        """
        if self._received is not None:
            self._received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        See L{twisted.internet.interfaces.IProtocol.connectionLost}.
        """
        if self._received is not None:
            self._received = None
            # HTTP/1.0 may tell no length.
            whole = reason.check(ResponseDone, PotentialDataLoss) is not None
            self._ended(None if whole else reason.value)

    def pause(self) -> None:
        """
        Read no more for now.
        """
        cast(IPushProducer, self.transport).pauseProducing()

    def resume(self) -> None:
        """
        Read again.
        """
        cast(IPushProducer, self.transport).resumeProducing()

    def stop(self) -> None:
        """
        Close the connection, and take no more.
        """
        self._received = None
        if self.transport is not None:
            self.transport.loseConnection()


def discard(response: IResponse) -> None:
    """
    Close the connection of a response whose body nobody wants. An agent may have some of it already, or all.
    """
    body = Body(lambda data: None, lambda error: None)
    response.deliverBody(body)
    body.stop()


@implementer(IBodyProducer)
class _Bytes:
    """
    The body of a request, piece by piece.

    @ivar left: how many bytes have not been written.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = self.left = len(body)
        self._done: Deferred[None] = Deferred()
        self._consumer: IConsumer | None = None
        self._paused = False

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        self._write()
        return self._done

    def _write(self) -> None:
        while self.left and not self._paused and self._consumer is not None:
            start = self.length - self.left
            piece = self._body[start : start + _PIECE]
            self.left -= len(piece)
            self._consumer.write(piece)
        if not self.left and self._consumer is not None:
            self._consumer = None
            self._done.callback(None)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._write()

    def stopProducing(self) -> None:
        self._consumer = None


def describe(error: BaseException | None) -> str:
    """
    @return: what happened, in one line: requests that fail wrap their reasons.
    """
    reasons = getattr(error, "reasons", None)
    if reasons:
        return describe(reasons[0].value)
    if error is None:
        return "nobody knows why"
    if type(error) in (ConnectionDone, ConnectionLost):
        return "the connection was closed too early"
    if type(error).__module__.partition(".")[0] == "OpenSSL" and error.args and isinstance(error.args[0], list):
        return ": ".join(["TLS failed", *(str(entry[-1]) for entry in error.args[0])])
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _isPrelude(frame: bytes) -> bool:
    """
    @return: whether it is the line with which xhr-streaming begins. A heartbeat is shorter, and by xhr-polling it is
        all that a response has.
    """
    return len(frame) > 1 and not frame.strip(b"h")


class HTTPCarrier:
    """
    A L{txsockjs.client.session.Carrier}.
    """

    def __init__(
        self,
        clock: IReactorTime,
        session: ClientSession,
        dialect: Dialect,
        requests: Requests,
        receive: str,
        send: str,
        limit: int,
        addresses: Callable[[], tuple[IAddress, IAddress]],
    ) -> None:
        """
        @param clock: where time comes from.

        @param session: is told what happens.

        @param dialect: how to receive.

        @param requests: makes the requests.

        @param receive: the URL to receive from.

        @param send: the URL to send to.

        @param limit: size of the largest frame.

        @param addresses: see L{txsockjs.client.session.Carrier.addresses}.
        """
        self.addresses = addresses
        self._clock = clock
        self._session = session
        self._dialect = dialect
        self._requests = requests
        self._receiveURL = receive
        self._sendURL = send
        self._limit = limit
        self._parser: Parser = dialect.parser(limit)
        self._frames = 0  # in the present response, but for its prelude
        self._receiving: Deferred[Any] | None = None  # until the response begins
        self._sending: Deferred[Any] | None = None  # likewise
        self._sent: _Bytes | None = None
        self._response: IResponse | None = None  # one whose body is not read yet
        self._body: Body | None = None
        self._answer: Body | None = None  # to what was sent
        self._next: IDelayedCall | None = None  # request
        self._end: IDelayedCall | None = None  # of the grace
        self._paused = False
        self._over = False

    # -- Carrier --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.start}.
        """
        self._next = None
        self._parser = self._dialect.parser(self._limit)
        self._frames = 0
        dialect = self._dialect
        self._receiving = asked = self._requests.ask(dialect.method, self._receiveURL, dialect.headers)
        asked.addCallbacks(self._answered, self._unanswered)

    def send(self, frame: bytes) -> None:
        """
        See L{txsockjs.client.session.Carrier.send}.
        """
        if self._over:
            return
        self._sent = _Bytes(frame)
        self._session.blocked()
        headers = {b"Content-Type": b"text/plain;charset=UTF-8"}
        self._sending = sending = self._requests.ask(b"POST", self._sendURL, headers, self._sent)
        sending.addCallbacks(self._taken, self._untaken)

    def close(self, code: int, reason: str) -> None:
        """
        See L{txsockjs.client.session.Carrier.close}. All that was sent has been answered.
        """
        self._fail(SessionLost(code, reason))  # which is not what the session tells

    def finish(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.finish}.
        """
        self._fail(SessionLost(ABNORMAL, ""))  # likewise

    def abort(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.abort}.
        """
        self._over = True
        for call in (self._next, self._end):
            if call is not None and call.active():
                call.cancel()
        if self._response is not None:
            response, self._response = self._response, None
            self._read(response)
        for body in (self._body, self._answer):
            if body is not None:
                body.stop()
        self._body = self._answer = self._sent = None
        for asked in (self._receiving, self._sending):
            if asked is not None:
                asked.cancel()

    def unsent(self) -> int:
        """
        See L{txsockjs.client.session.Carrier.unsent}.
        """
        return 0 if self._sent is None else self._sent.left + 1  # the answer is still to come

    def pauseReading(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.pauseReading}.
        """
        self._paused = True
        if self._body is not None:
            self._body.pause()

    def resumeReading(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.resumeReading}.
        """
        self._paused = False
        if self._body is not None:
            self._body.resume()
        elif self._response is not None:
            response, self._response = self._response, None
            self._read(response)

    def ping(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.ping}: HTTP has none.
        """

    # -- receiving ------------------------------------------------------------------------------------------------

    def _answered(self, response: IResponse) -> None:
        self._receiving = None
        if self._over:
            self._read(response)
            return
        if response.code != OK:
            self._response = response
            self._wrong(self._dialect.method, self._receiveURL, response)
        elif self._paused:
            self._response = response
        else:
            self._read(response)

    def _read(self, response: IResponse) -> None:
        self._body = body = Body(self._received, self._ended)
        response.deliverBody(body)
        if self._over:
            body.stop()

    def _received(self, data: bytes) -> None:
        try:
            frames = self._parser.feed(data)
        except FrameTooLarge as error:
            self._fail(SessionLost(TOO_LARGE, str(error)))
            return
        for frame in frames:
            if self._over:
                return
            if not _isPrelude(frame):
                self._frames += 1
            self._session.frame(frame)

    def _ended(self, error: BaseException | None) -> None:
        """
        The response is at its end.
        """
        self._body = None
        if self._over:
            return
        if error is not None or self._parser.pending:
            what = "the response ended within a frame" if error is None else describe(error)
            self._fail(SessionLost(ABNORMAL, f"{self._receiveURL} broke off: {what}"))
        else:
            # Later: the connection that this one was on is about to be free.
            self._next = self._clock.callLater(0 if self._frames else _EMPTY_DELAY, self.start)

    def _unanswered(self, failure: Failure) -> None:
        self._receiving = None
        self._fail(SessionLost(ABNORMAL, f"{self._receiveURL} was not answered: {describe(failure.value)}"))

    # -- sending --------------------------------------------------------------------------------------------------

    def _taken(self, response: IResponse) -> None:
        self._sending = None
        if response.code not in (OK, NO_CONTENT) and not self._over:
            discard(response)
            self._wrong(b"POST", self._sendURL, response)
            return
        self._answer = answer = Body(lambda data: None, self._took)
        response.deliverBody(answer)
        if self._over:
            answer.stop()

    def _took(self, error: BaseException | None) -> None:
        """
        The answer is whole. If not, its status has told enough.
        """
        self._answer = self._sent = None
        self._session.ready()

    def _untaken(self, failure: Failure) -> None:
        self._sending = None
        self._fail(SessionLost(ABNORMAL, f"{self._sendURL} was not answered: {describe(failure.value)}"))

    # -- the end --------------------------------------------------------------------------------------------------

    def _wrong(self, method: bytes, url: str, response: IResponse) -> None:
        """
        A request was answered with a status that it must not have.
        """
        what = f"{method.decode('ascii')} {url} was answered with {response.code}"
        if response.code == NOT_FOUND and url == self._sendURL:
            lost = SessionLost(ABNORMAL, f"{what}: the server does not know the session any more")
            self._end = self._clock.callLater(_GRACE, self._fail, lost)
        else:
            self._fail(SessionLost(ABNORMAL, what))

    def _fail(self, error: SessionLost) -> None:
        """
        End, and tell why.
        """
        if not self._over:
            self.abort()
            self._session.gone(error)
