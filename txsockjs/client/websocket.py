# -*- test-case-name: tests.test_client_websocket -*-
"""
A WebSocket as a carrier: C{websocket} and C{websocket-raw}. The only module of the client that knows Autobahn.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer, IReactorTime, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.client.http import describe
from txsockjs.client.session import ABNORMAL, ClientSession, ending
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.liveness import unsentBytes
from txsockjs.silence import Silent

__all__ = ["WebSocketCarrier"]

# RFC 6455 section 7.4.1
NORMAL = 1000
UNSUPPORTED_DATA = 1003
NO_STATUS = 1005
MESSAGE_TOO_BIG = 1009

_MOST_HEADERS = 65536
"""Bytes that the answer to the opening handshake may have."""

_MOST_FRAGMENTS = 65536
"""Fragments that a message may have."""


@implementer(IPushProducer)
class _Socket(WebSocketClientProtocol):
    """
    One WebSocket.
    """

    log = Silent()
    carrier: WebSocketCarrier
    limit: int

    # -- IPushProducer: how the connection fills and drains -------------------------------------------------------

    def pauseProducing(self) -> None:
        """
        The connection is full.
        """
        self.carrier.full(True)

    def resumeProducing(self) -> None:
        """
        The connection has room again.
        """
        self.carrier.full(False)

    def stopProducing(self) -> None:
        """
        Nothing: the loss of the connection follows.
        """

    # -- what Autobahn calls --------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """
        Begin the handshake, without what Autobahn's adapter for Twisted looks up about the transport, which is for
        protocols of its own.
        """
        with suppress(AttributeError, OSError):  # not every transport is TCP
            self.transport.setTcpNoDelay(True)
        self._connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes came.
        """
        if self.state == self.STATE_CONNECTING and len(self.data) + len(data) > _MOST_HEADERS:
            head = self.data + data
            if b"\r\n\r\n" not in head[:_MOST_HEADERS]:
                self.failHandshake(f"The answer has more than {_MOST_HEADERS} bytes of headers")
                return
        super().dataReceived(data)

    def onOpen(self) -> None:
        """
        The handshake is done.
        """
        self.transport.registerProducer(self, True)
        self.carrier.opened()

    def onMessageFrameBegin(self, length: int) -> None:
        """
        The header of a data frame came. Autobahn's own limits would count for what is sent as well.
        """
        super().onMessageFrameBegin(length)
        tooMuch = self.message_data_total_length > self.limit or len(self.message_data) > _MOST_FRAGMENTS
        if tooMuch and self.state == self.STATE_OPEN:
            self.failedByMe = True  # so that nothing of the message is kept
            self.carrier.refuse(MESSAGE_TOO_BIG, f"The server sent a frame of more than {self.limit} bytes")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """
        A message came.
        """
        if isBinary:
            self.carrier.refuse(UNSUPPORTED_DATA, "SockJS carries text, and the server sent a binary message")
        else:
            self.carrier.received(payload)

    def onPing(self, payload: bytes) -> None:
        """
        A ping came.
        """
        self.carrier.pinged(payload)

    def onPong(self, payload: bytes) -> None:
        """
        A pong came.
        """
        self.carrier.ponged()

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """
        The closing handshake begins: ours, or as the answer to the server's, or since the server has broken the rules.
        """
        super().sendCloseFrame(code, reasonUtf8, isReply)
        self.carrier.closing(isReply or self.failedByMe)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """
        The connection is gone.
        """
        self.carrier.closed()


class WebSocketCarrier:
    """
    A L{txsockjs.client.session.Carrier}.
    """

    def __init__(
        self,
        clock: IReactorTime,
        session: ClientSession,
        endpoint: IStreamClientEndpoint,
        url: str,
        headers: Mapping[str, str],
        raw: bool,
        limit: int,
        closeTimeout: float,
    ) -> None:
        """
        @param clock: where time comes from.

        @param session: is told what happens.

        @param endpoint: connects, by TLS where the URL wants it.

        @param url: the URL, which begins with C{ws} or C{wss}.

        @param headers: what the opening handshake has.

        @param raw: whether messages are the application's own.

        @param limit: size of the largest message.

        @param closeTimeout: the number of seconds that the closing handshake may take.
        """
        self._clock = clock
        self._session = session
        self._endpoint = endpoint
        self._raw = raw
        self._closeTimeout = closeTimeout
        self._connecting: Deferred[Any] | None = None
        self._closing: IDelayedCall | None = None
        self._socket: _Socket | None = None
        self._over = False
        self._opened = False
        self._full = False
        self._unanswered: bytes | None = None  # the last ping that came while nothing could be sent
        self._verdict: SessionLost | None = None
        # The handshake writes a User-Agent by itself, and the headers as they are given.
        agent = next((value for name, value in headers.items() if name.lower() == "user-agent"), "")
        others = {name: value for name, value in headers.items() if name.lower() != "user-agent"}
        # Time is kept by us (see closing), so Autobahn's own deadlines are off, and its reactor is none.
        self._factory = factory = WebSocketClientFactory(url, headers=others, useragent=agent, reactor=Clock())
        if ":" in factory.host:  # an address of IPv6, which the header Host has in brackets
            factory.host = f"[{factory.host}]"
        factory.log = Silent()
        factory.noisy = False
        factory.setProtocolOptions(
            failByDrop=False,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            echoCloseCodeReason=True,
        )
        self._limit = limit

    # -- Carrier --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.start}.
        """
        self._factory.protocol = self._makeSocket
        self._connecting = connecting = self._endpoint.connect(self._factory)
        connecting.addCallbacks(self._connected, self._unconnected)

    def send(self, frame: bytes) -> None:
        """
        See L{txsockjs.client.session.Carrier.send}.
        """
        # While the closing handshake of the server is under way nothing can be sent.
        if self._socket is not None and self._socket.state == self._socket.STATE_OPEN:
            self._socket.sendMessage(frame)

    def close(self, code: int, reason: str) -> None:
        """
        See L{txsockjs.client.session.Carrier.close}.
        """
        self._close(code, reason)

    def finish(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.finish}.
        """
        self._close(NORMAL, "")

    def abort(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.abort}.
        """
        self._over = True
        self._stopClosing()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._socket is not None:
            self._socket.transport.abortConnection()

    def unsent(self) -> int:
        """
        See L{txsockjs.client.session.Carrier.unsent}.
        """
        return 0 if self._socket is None else unsentBytes(self._socket.transport)

    def pauseReading(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.pauseReading}.
        """
        if self._socket is not None:
            self._socket.transport.pauseProducing()

    def resumeReading(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.resumeReading}.
        """
        if self._socket is not None:
            self._socket.transport.resumeProducing()

    def ping(self) -> None:
        """
        See L{txsockjs.client.session.Carrier.ping}. With SockJS framing it is the server that has to say something.
        """
        if self._raw and self._socket is not None and self._socket.state == self._socket.STATE_OPEN and not self._full:
            self._socket.sendPing()

    def addresses(self) -> tuple[IAddress, IAddress]:
        """
        See L{txsockjs.client.session.Carrier.addresses}.
        """
        assert self._socket is not None
        return self._socket.transport.getPeer(), self._socket.transport.getHost()

    # -- what the socket tells ------------------------------------------------------------------------------------

    def opened(self) -> None:
        """
        The opening handshake is done.
        """
        self._opened = True
        if self._raw:
            self._session.open()

    def received(self, payload: bytes) -> None:
        """
        A text message came.
        """
        if self._over or self._verdict is not None:
            return
        if not self._raw:
            if payload:
                self._session.frame(payload)
        else:
            self._session.alive()
            self._session.messages([payload.decode("utf-8")], len(payload))  # which Autobahn has checked

    def pinged(self, payload: bytes) -> None:
        """
        A ping came, which is the heartbeat of sockjs-node. While the connection is full only the last one is
        remembered, or who pings and does not read would fill the memory with pongs.
        """
        self._session.alive()
        if self._full:
            self._unanswered = payload
        elif self._socket is not None and self._socket.state == self._socket.STATE_OPEN:
            self._socket.sendPong(payload)

    def ponged(self) -> None:
        """
        A pong came.
        """
        if self._raw:
            self._session.alive()

    def full(self, full: bool) -> None:
        """
        The connection is full, or has room again.
        """
        self._full = full
        if full:
            self._session.blocked()
            return
        if self._unanswered is not None and self._socket is not None:
            payload, self._unanswered = self._unanswered, None
            self._socket.sendPong(payload)
        self._session.ready()

    def refuse(self, code: int, reason: str) -> None:
        """
        The server has sent what it must not.
        """
        if self._verdict is None and not self._over:
            self._verdict = verdict = SessionLost(code, reason)
            self._close(code, "")
            self._session.finish(verdict)

    def closing(self, byServer: bool) -> None:
        """
        The closing handshake is under way: from now on it has a deadline, and the server may as well be silent.

        @param byServer: whether it is what the server sent that ends the session; else the session knows already.
        """
        socket = self._socket
        if socket is None or self._over:
            return
        if self._closing is None:
            self._closing = self._clock.callLater(self._closeTimeout, self._closeDue)
        if byServer:
            self._session.finish(self._verdict or self._meaning(socket))

    def closed(self) -> None:
        """
        The connection is gone.
        """
        self._stopClosing()
        socket, self._socket = self._socket, None
        if not self._over and socket is not None:
            self._over = True
            self._session.gone(self._verdict or self._meaning(socket))

    # -- how it is done -------------------------------------------------------------------------------------------

    def _makeSocket(self) -> _Socket:
        socket = _Socket()
        socket.carrier = self
        socket.limit = self._limit
        self._socket = socket
        return socket

    def _connected(self, socket: _Socket) -> None:
        self._connecting = None
        if self._over:
            socket.transport.abortConnection()

    def _unconnected(self, failure: Failure) -> None:
        self._connecting = None
        if not self._over:
            self._over = True
            self._session.gone(SessionLost(ABNORMAL, describe(failure.value)))

    def _close(self, code: int, reason: str) -> None:
        """
        Begin or go on with the closing handshake, and see that it has an end.
        """
        socket = self._socket
        if socket is None or not self._opened:
            self.abort()
            self._session.gone(SessionLost(ABNORMAL, "The connection was closed"))
            return
        if socket.state == socket.STATE_OPEN:
            socket.sendCloseFrame(code, reason.encode("utf-8", "replace") if reason else None)
        self.closing(False)

    def _closeDue(self) -> None:
        self._closing = None
        if self._socket is not None:
            self._socket.transport.abortConnection()

    def _stopClosing(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _meaning(self, socket: _Socket) -> Exception:
        """
        @return: what the end of the WebSocket means.
        """
        if not self._opened:
            return SessionLost(ABNORMAL, socket.wasNotCleanReason or "the server closed the connection")
        if socket.failedByMe:
            why = (socket.localCloseReason or b"").decode("utf-8", "replace")
            return SessionLost(socket.localCloseCode or ABNORMAL, why)
        if not socket.wasClean:
            return SessionLost(ABNORMAL, "The WebSocket broke")
        if socket.remoteCloseCode is None:
            return SessionDone(NO_STATUS, socket.remoteCloseReason or "")
        return ending(socket.remoteCloseCode, socket.remoteCloseReason or "")
