# -*- test-case-name: tests.test_transports -*-
"""
What the HTTP transports have in common: a receiver that writes frames into a response, the resource that opens one,
and the resource that takes messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.http import INTERNAL_SERVER_ERROR, NOT_FOUND, REQUEST_ENTITY_TOO_LARGE, SERVICE_UNAVAILABLE
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from txsockjs.codec import DecodeError
from txsockjs.errors import MessageTooLarge, SessionLost
from txsockjs.liveness import unsentBytes, watchPeer
from txsockjs.service import DRAINING, Service
from txsockjs.session import INTERRUPTED, Session, State
from txsockjs.stats import RefusalCause
from txsockjs.transports.admission import admit, refuse
from txsockjs.transports.answers import (
    Answer,
    Leaf,
    allowOrigin,
    allowPreflight,
    finishWith,
    forbidCaching,
    isTooLarge,
    plainText,
    refuseBody,
    refuseOrigin,
    setSessionCookie,
    sizeOf,
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


def noSession(request: Request) -> bytes:
    """
    Answer a request that needs a session, and there is none of its id.
    """
    return plainText(request, NOT_FOUND, "There is no such session\n")


def refuseForeigner(service: Service, request: Request) -> bytes:
    """
    Answer a request for a session that is bound to another address, as if it did not exist.
    """
    service.registry.stats.refused[RefusalCause.FOREIGN] += 1
    return noSession(request)


def refuseBacklog(service: Service, request: Request) -> bytes:
    """
    Answer a request that brings messages while too many others wait for the application.
    """
    service.registry.stats.refused[RefusalCause.BACKLOG] += 1
    return plainText(request, SERVICE_UNAVAILABLE, "Too much is waiting for the application\n")


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
        self._transport = getattr(request.channel, "transport", None)
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
        self._left -= len(data)
        request = self._request
        if self._left <= 0 and not request.startedWriting:
            request.setHeader(b"content-length", b"%d" % len(data))
        request.write(data)
        return self._left > 0

    def close(self, code: int, reason: str) -> None:
        """
        See L{txsockjs.session.Receiver.close}.
        """
        request = self._request
        del self._request  # the session asks for what is unsent for a while, and may be long without another one
        request.unregisterProducer()
        request.finish()

    def abort(self) -> None:
        """
        See L{txsockjs.session.Receiver.abort}.
        """
        self._request.unregisterProducer()
        # An HTTP/2 stream and an HTTP/1.1 connection are broken by different names.
        channel: Any = self._request.channel
        (getattr(channel, "abortConnection", None) or channel.transport.abortConnection)()

    def unsent(self) -> int:
        """
        See L{txsockjs.session.Receiver.unsent}. An HTTP/2 stream is blocked by its client's window; as soon as that is
        opened the response goes on, so there is nothing to ask for.
        """
        return unsentBytes(self._transport)

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

    tellsOrigin: ClassVar[bool] = True
    """Whether browsers tell the origin of a page that uses this URL from another one."""

    nullIsAnyone: ClassVar[bool] = False
    """See L{allowOrigin}."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def render(self, request: Request) -> Answer:
        """
        Set the cookie on every answer, and answer a preflight.
        """
        setSessionCookie(request, self._service.options)
        return super().render(request)

    def answer(self, request: Request) -> Answer:
        """
        Refuse pages that may not use the service, set the headers of every answer, and let L{exchange} do the rest.
        """
        refusal = refuseOrigin(request, self._service, self.tellsOrigin)
        if refusal is not None:
            return refusal
        limit = self._service.options.max_body_size
        tooLarge = isTooLarge(request, limit)
        if request.method == b"OPTIONS" and not tooLarge:
            return allowPreflight(request, self.methods[0], self._service.origins, self._service.clock)
        forbidCaching(request)
        if self.cors:
            allowOrigin(request, self._service.origins, self.nullIsAnyone)
        if tooLarge:
            return refuseBody(request, self._service)
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
        service = self._service

        def begin() -> Answer:
            session = service.registry.find(name)
            if session is None:
                session = service.createSession(request, self.transportName, SESSION_DEPTH, name)
            elif service.isForeign(request, session):
                return refuseForeigner(service, request)
            return self._open(request, session, dress, limit, prelude)

        if service.registry.find(name) is None:
            return admit(service, request, begin)
        return begin()

    def _open(self, request: Request, session: Session, dress: Dress, limit: int, prelude: bytes) -> Answer:
        request.setHeader(b"content-type", self.contentType)
        if prelude:
            request.write(prelude)
        if limit > 1 or not self._service.options.heartbeat_delay:  # else it has its end with the next heartbeat
            watchPeer(request.channel, self._service.options.write_timeout)
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
        service = self._service
        session = service.registry.find(name)
        if session is None and service.registry.isDraining:
            return refuse(service, request, DRAINING)  # another process may know it
        if session is None:
            return noSession(request)
        if service.isForeign(request, session):
            return refuseForeigner(service, request)
        if session.state is State.CLOSED:
            return self._answerLater(succeed(False), request, session)
        size = sizeOf(request)
        if session.backlog and session.backlog + size > service.options.max_queued_bytes:
            return refuseBacklog(service, request)
        try:
            messages = self.messages(request)
            taken = session.received(messages, size)
        except DecodeError as error:
            service.registry.stats.refused[RefusalCause.MALFORMED] += 1
            return plainText(request, INTERNAL_SERVER_ERROR, str(error))
        except MessageTooLarge as error:
            return plainText(request, REQUEST_ENTITY_TOO_LARGE, f"{error}\n")
        if taken is None:
            return self.acknowledge(request)
        return self._answerLater(taken, request, session)

    def _answerLater(self, taken: Deferred[bool], request: Request, session: Session) -> Answer:
        """
        Answer as soon as it is known whether the application takes the messages.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        taken.addCallback(self._decided, request, session, gone)
        return NOT_DONE_YET

    def _decided(self, taken: bool, request: Request, session: Session, gone: list[Failure]) -> None:
        if taken:
            self._finish(None, request, self.acknowledge, gone)
            return
        # The close frame says why, and other messages may come before it. Who was told now might not wait for them.
        parted = self._service.registry.whenParted(session)
        parted.addCallback(self._finish, request, noSession, gone)

    def _finish(self, _: None, request: Request, answer: Callable[[Request], Answer], gone: list[Failure]) -> None:
        if gone:
            return
        body = answer(request)
        if isinstance(body, bytes):
            finishWith(request, body)

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
