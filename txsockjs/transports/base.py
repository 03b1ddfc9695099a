# -*- test-case-name: tests.test_transports -*-
"""
What the HTTP transports have in common: a receiver that writes frames into a response, the resource that opens one,
and the resource that takes messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.http import INTERNAL_SERVER_ERROR, NOT_FOUND
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from txsockjs.codec import DecodeError
from txsockjs.errors import SessionLost
from txsockjs.service import Service
from txsockjs.session import INTERRUPTED, Session, State
from txsockjs.transports.answers import (
    Answer,
    Leaf,
    allowOrigin,
    allowPreflight,
    forbidCaching,
    isTooLarge,
    plainText,
    refuseBody,
    refuseSession,
    setSessionCookie,
)

__all__ = ["SESSION_DEPTH", "Dress", "HTTPReceiver", "ReceiveLeaf", "SendLeaf", "SessionLeaf", "bodyOf"]

SESSION_DEPTH = 3
"""How many segments C{/<server>/<session>/<transport>} has."""

Dress = Callable[[bytes], bytes]
"""How a frame becomes what its transport puts on the wire."""


def bodyOf(request: Request) -> bytes:
    """
    @return: the body of a request, which may have none.
    """
    return b"" if request.content is None else request.content.read()


@implementer(IPushProducer)
class HTTPReceiver:
    """
    An open response. It is a L{txsockjs.session.Receiver}.
    """

    persistent = False

    def __init__(self, request: Request, session: Session, dress: Dress, limit: int) -> None:
        """
        @param request: a request that nothing was written to yet, or only a prelude.

        @param session: the session that the receiver is about to be attached to.

        @param dress: what makes of a frame what this transport sends.

        @param limit: the number of dressed bytes after which the response ends; 1 ends it after its first frame.
        """
        self._request = request
        self._session = session
        self._dress = dress
        self._left = limit
        request.notifyFinish().addErrback(self._lost)
        request.registerProducer(self, True)

    def send(self, frame: bytes) -> bool:
        """
        See L{txsockjs.session.Receiver.send}.
        """
        data = self._dress(frame)
        self._request.write(data)
        self._left -= len(data)
        return self._left > 0

    def close(self, code: int, reason: str) -> None:
        """
        See L{txsockjs.session.Receiver.close}.
        """
        self._request.unregisterProducer()
        self._request.finish()

    def abort(self) -> None:
        """
        See L{txsockjs.session.Receiver.abort}.
        """
        self._request.unregisterProducer()
        # An HTTP/2 stream and an HTTP/1.1 connection are broken by different names.
        channel: Any = self._request.channel
        (getattr(channel, "abortConnection", None) or channel.transport.abortConnection)()

    def pauseReading(self) -> None:
        """
        Nothing: messages come by other requests, which wait for their answer meanwhile.
        """

    def resumeReading(self) -> None:
        """
        Nothing, as in L{pauseReading}.
        """

    def pauseProducing(self) -> None:
        """
        The connection is full.
        """
        self._session.receiverBlocked(self)

    def resumeProducing(self) -> None:
        """
        The connection has room again.
        """
        self._session.receiverReady(self)

    def stopProducing(self) -> None:
        """
        Nothing: the loss of the connection follows.
        """

    def _lost(self, reason: Failure) -> None:
        self._session.receiverLost(self, SessionLost(*INTERRUPTED))


class SessionLeaf(Leaf):
    """
    One of the URLs C{/<server>/<session>/<transport>} over HTTP.
    """

    cors: ClassVar[bool] = True
    """Whether scripts of other origins reach this URL by requests that need leave."""

    nullIsAnyone: ClassVar[bool] = False
    """See L{allowOrigin}."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def render(self, request: Request) -> Answer:
        """
        Set the cookie on every answer, and answer a preflight.
        """
        setSessionCookie(request, self._service.options.cookie_needed)
        return super().render(request)

    def answer(self, request: Request) -> Answer:
        """
        Set the headers of every answer, and let L{exchange} do the rest.
        """
        limit = self._service.options.max_body_size
        tooLarge = isTooLarge(request, limit)
        if request.method == b"OPTIONS" and not tooLarge:
            return allowPreflight(request, self.methods[0], self._service.clock)
        forbidCaching(request)
        if self.cors:
            allowOrigin(request, self.nullIsAnyone)
        if tooLarge:
            return refuseBody(request, limit)
        session = (request.postpath or [b""])[0]
        return self.exchange(request, session.decode("utf-8", "surrogateescape"))

    def exchange(self, request: Request, name: str) -> Answer:
        """
        Do what this URL is for.

        @param name: the session id.
        """
        raise NotImplementedError


class ReceiveLeaf(SessionLeaf):
    """
    A URL by which a client receives.
    """

    transportName: ClassVar[str]
    """The name in the option C{transports}."""

    contentType: ClassVar[bytes]

    def receive(self, request: Request, name: str, dress: Dress, limit: int, prelude: bytes = b"") -> Answer:
        """
        Open a response and attach it to its session, which is a new one if there is none of that id.
        """
        session = self._service.registry.find(name)
        if session is None:
            if self._service.registry.isFull:
                return refuseSession(request)
            session = self._service.createSession(request, self.transportName, SESSION_DEPTH, name)
        request.setHeader(b"content-type", self.contentType)
        if prelude:
            request.write(prelude)
        session.attach(HTTPReceiver(request, session, dress, limit))
        return NOT_DONE_YET


class SendLeaf(SessionLeaf):
    """
    A URL by which a client sends.
    """

    methods: Sequence[bytes] = (b"POST", b"OPTIONS")

    def exchange(self, request: Request, name: str) -> Answer:
        """
        Hand the messages of the request to its session, and answer when the application has taken them.
        """
        session = self._service.registry.find(name)
        if session is None or session.state is State.CLOSED:
            return plainText(request, NOT_FOUND, "There is no such session\n")
        try:
            messages = self.messages(request)
        except DecodeError as error:
            return plainText(request, INTERNAL_SERVER_ERROR, str(error))
        taken = session.received(messages)
        if taken is None:
            return self.acknowledge(request)
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        taken.addCallback(self._finishLater, request, gone)
        return NOT_DONE_YET

    def _finishLater(self, taken: None, request: Request, gone: list[Failure]) -> None:
        if gone:
            return
        body = self.acknowledge(request)
        if isinstance(body, bytes):
            request.setHeader(b"content-length", b"%d" % len(body))
            request.write(body)
            request.finish()

    def messages(self, request: Request) -> list[str]:
        """
        @return: the messages in the body.

        @raise DecodeError: when there are none.
        """
        raise NotImplementedError

    def acknowledge(self, request: Request) -> Answer:
        """
        Say that the messages have been taken.
        """
        raise NotImplementedError
