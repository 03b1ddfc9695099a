# -*- test-case-name: tests.test_channel -*-
"""
The connections of our own sites: HTTP as C{twisted.web} speaks it, with a deadline for every request and a way
to leave.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall, ITransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request, _GenericHTTPChannelProtocol
from twisted.web.resource import IResource

from txsockjs.shortcut import QuickRequest, parseCommon
from txsockjs.timers import Deadlines

__all__ = ["Channel", "Front"]

_LINGER = 5
"""Seconds for which what comes after a refused body has begun is thrown away, before the connection is closed."""

_GRACE = 1
"""Seconds for which a connection that is to be closed may still bring its first request, or the rest of one."""

_RETRY = 0.1
"""Seconds between looks at whether an HTTP/2 connection has sent everything."""

_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def _drop(data: bytes = b"") -> None:
    """
    Do nothing with it.
    """


def _finish(transport: Any) -> None:
    """
    Close when everything is sent, without waiting for the other side. Over TLS, Twisted waits until that has closed
    too, but browsers have connections in stock at which they do not look.

    @param transport: a transport that is being closed, with no producer.
    """
    below = getattr(transport, "transport", None)
    if below is not None:
        below.loseConnection()


class Channel(HTTPChannel):
    """
    A connection that speaks HTTP/1.

    A request that is whole when its first bytes are there costs no deadline. Any other one has to be whole within the
    option C{request_timeout}, while the idle timeout of C{twisted.web} begins anew with every byte.
    """

    site: Any
    transport: Any
    _arrivals: Deadlines[Channel] | None = None  # where the request that arrives has its deadline
    _isLeaving = False  # the next request is the last one

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes came. When the connection is being closed, since what came before was no request for instance, they are
        too late; TLS hands them over nevertheless.
        """
        if self.transport.disconnecting:
            return
        if self.isIdle:
            common = parseCommon(data)
            if common is not None:
                leaf = self.site.leafFor(common.method, common.path, len(common.body))
                if leaf is not None:
                    self.answerQuickly(QuickRequest(self, common), leaf)
                    return
        super().dataReceived(data)
        if self._arrivals is not None or self._busyReceiving:
            return
        # What waits behind a request that is being answered is not a request yet.
        if not self._handlingRequest and (self.requests or self._buffer):
            self._arrivals = self.site.arrivals
            self._arrivals.start(self)

    @property
    def isIdle(self) -> bool:
        """
        Whether nothing is under way, not even a call of L{dataReceived}, and so the next byte begins a request.
        """
        return not (self._handlingRequest or self.requests or self._buffer or self._busyReceiving) and bool(
            self.line_mode and self.persistent and not self._isLeaving
        )

    @property
    def awaitsRequest(self) -> bool:
        """
        Whether a request has begun to arrive, or there was none yet, so that the first one may be on its way.
        """
        return not self._handlingRequest and (self._arrivals is not None or self._savedTimeOut is None)

    def answerQuickly(self, request: QuickRequest, leaf: IResource) -> None:
        """
        Answer a request that has taken the shortcut, with the books kept as C{twisted.web} does.
        """
        self._arrived()  # it may have begun with an empty line, which may be there before each request
        self._HTTPChannel__first_line = 1
        self.requests.append(request)
        self._handlingRequest = True
        self._savedTimeOut = self.timeOut  # for an answer at once, the idle timeout need not be stopped
        self.setRawMode()  # what comes next waits
        request.answer(leaf)
        if self.requests:
            self.setTimeout(None)

    def allContentReceived(self) -> None:
        """
        A request is whole.
        """
        self._arrived()
        if self._isLeaving:
            self.persistent = False
        super().allContentReceived()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        self._arrived()
        super().connectionLost(reason)

    def _arrived(self) -> None:
        if self._arrivals is not None:
            self._arrivals.cancel(self)
            self._arrivals = None

    def overdue(self) -> None:
        """
        A request took too long to arrive. Nothing is being answered meanwhile, so this is the next answer.
        """
        if self.transport.disconnecting:
            self.transport.abortConnection()  # has refused what came, and can't even say so
            return
        self.site.countTimeout(getattr(self, "_path", b""))
        self.transport.write(_TIMEOUT)
        self.timeoutConnection()

    def refuse(self) -> None:
        """
        Answer a request whose body has not come yet, and throw away what comes.

        Closed at once, with data on its way to us, the connection would be reset, and the client might never see the
        answer. So its end is left to the client for a while.
        """
        self._arrived()
        self.dataReceived = self.rawDataReceived = _drop  # type: ignore[method-assign]
        self.allContentReceived = _drop  # type: ignore[method-assign]
        self.persistent = True
        request = self.requests[-1]
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        request.requestReceived(self._command, self._path, self._version)
        self.setTimeout(_LINGER)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """
        @return: whether there may be another request after this one. Where not, the answer says so.
        """
        if self._isLeaving:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def leaveAfterNext(self) -> None:
        """
        Close after the answer to the next request.
        """
        self._isLeaving = True

    def leave(self) -> None:
        """
        Close as soon as nothing is being answered and everything is sent.
        """
        if self._handlingRequest:
            self.persistent = False
        else:
            self.loseConnection()
            _finish(self.transport)

    def requestDone(self, request: Request) -> None:
        """
        An answer is complete. Twisted lets a connection that is closed after it be, even if nobody takes the answer.
        """
        super().requestDone(request)
        if self.transport.disconnecting:
            self.setTimeout(self._savedTimeOut)
            if self._isLeaving:
                _finish(self.transport)

    def timeoutConnection(self) -> None:
        """
        Close; who does not even take what is still to be sent is cut. Twisted would write both into the log.
        """
        if self._abortingCall is None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        self.loseConnection()

    def forceAbortClient(self) -> None:
        """
        See L{timeoutConnection}.
        """
        self._abortingCall = None
        self.transport.abortConnection()


class Front(_GenericHTTPChannelProtocol):
    """
    What the transport talks to: it passes everything on to a channel, for HTTP/1 or HTTP/2 as TLS has negotiated, and
    is in the books of its site for as long as there is a connection, whoever has taken that over.
    """

    _site: Any
    _channel: Any
    _retry: IDelayedCall | None = None
    _hasGrace = False
    _negotiatedProtocol: Any = None

    def makeConnection(self, transport: ITransport) -> None:
        """
        There is a connection.
        """
        self._site.connected(self)
        super().makeConnection(transport)

    def connectionLost(self, reason: Failure) -> None:
        """
        It is gone.
        """
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        try:
            super().connectionLost(reason)
        finally:
            self._site.disconnected(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Something came, and TLS has negotiated a protocol by then.
        """
        if self._negotiatedProtocol is None:
            if getattr(self._channel.transport, "negotiatedProtocol", None) == b"h2":
                self._speakHTTP2()
            super().dataReceived(data)
        else:
            self._channel.dataReceived(data)  # as above, in fewer steps

    def _speakHTTP2(self) -> None:
        # As Twisted would do, with a channel of ours.
        from txsockjs.http2 import HTTP2Channel

        old = self._channel
        old._networkProducer.unregisterProducer()
        old.setTimeout(None)
        channel = self._channel = HTTP2Channel(self._site.reactor)
        for name in ("requestFactory", "site", "factory", "timeOut", "callLater"):
            setattr(channel, name, getattr(self, f"_{name}"))
        channel.makeConnection(old.transport)
        old._networkProducer.registerProducer(channel, True)
        self._negotiatedProtocol = b"h2"

    def leave(self) -> None:
        """
        Close as soon as nothing is being answered and everything is sent. A request that may be on its way already has
        a little time to arrive, and is answered.
        """
        self._retry = None
        channel = self._channel
        if isinstance(channel, Channel) and channel.awaitsRequest and not self._hasGrace:
            self._hasGrace = True
            channel.leaveAfterNext()
            self._retry = channel.callLater(_GRACE, self.leave)
        elif isinstance(channel, Channel):
            channel.leave()
        elif channel.streams:
            self._retry = channel.callLater(_RETRY, self.leave)
        else:
            channel.conn.close_connection()
            channel.transport.write(channel.conn.data_to_send())
            channel.transport.unregisterProducer()  # or TLS would wait for that
            channel.transport.loseConnection()

    def abort(self) -> None:
        """
        Break the connection.
        """
        self._channel.transport.abortConnection()
