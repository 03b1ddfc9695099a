# -*- test-case-name: tests.test_websocket -*-
"""
C{websocket} and C{websocket-raw}: the only module that knows Autobahn.

The upgrade is decided here, so that a refusal is an ordinary HTTP answer; then Autobahn gets a handshake that it is
sure to accept, and speaks RFC 6455 from there on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.web.http import BAD_REQUEST
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from txsockjs.codec import RAW, SOCKJS, DecodeError, Framing, decodeMessages, encodeText
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.service import Service
from txsockjs.session import Session
from txsockjs.timers import Deadlines
from txsockjs.transports.answers import Answer, Leaf, isTooLarge, plainText, refuseBody, refuseSession
from txsockjs.transports.base import SESSION_DEPTH

__all__ = ["RawWebSocket", "WebSocket"]

# RFC 6455 section 7.4.1
NORMAL = 1000
UNSUPPORTED_DATA = 1003
NO_STATUS = 1005
ABNORMAL = 1006
INVALID_PAYLOAD = 1007

_VERSION = b"13"


class _Silent:
    """
    Takes the place of Autobahn's logger, which reports every frame, and warns of what clients do wrong.
    """

    def __getattr__(self, level: str) -> Callable[..., None]:
        return self._drop

    def _drop(self, *args: object, **kwargs: object) -> None:
        pass


@implementer(IPushProducer)
class _FramedProtocol(WebSocketServerProtocol):
    """
    A WebSocket that carries SockJS frames. It is a L{txsockjs.session.Receiver}.

    @ivar session: its session.
    @ivar closings: where the closing handshake has its deadline.
    """

    log = _Silent()
    persistent = True
    session: Session
    closings: Deadlines[_FramedProtocol]

    # -- Receiver -------------------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> bool:
        """
        See L{txsockjs.session.Receiver.send}.
        """
        # While the closing handshake of the client is under way nothing can be sent; the session hears of its end soon.
        if self.state == self.STATE_OPEN:
            self.sendMessage(frame)
        return True

    def close(self, code: int, reason: str) -> None:
        """
        See L{txsockjs.session.Receiver.close}. The close frame of SockJS has told code and reason.
        """
        self.sendCloseFrame(NORMAL)

    def abort(self) -> None:
        """
        See L{txsockjs.session.Receiver.abort}.
        """
        self.transport.abortConnection()

    def pauseReading(self) -> None:
        """
        See L{txsockjs.session.Receiver.pauseReading}.
        """
        self.transport.pauseProducing()

    def resumeReading(self) -> None:
        """
        See L{txsockjs.session.Receiver.resumeReading}.
        """
        self.transport.resumeProducing()

    # -- IPushProducer: how the connection fills and drains -------------------------------------------------------

    def pauseProducing(self) -> None:
        """
        The connection is full.
        """
        self.session.receiverBlocked(self)

    def resumeProducing(self) -> None:
        """
        The connection has room again.
        """
        self.session.receiverReady(self)

    def stopProducing(self) -> None:
        """
        Nothing: the loss of the connection follows.
        """

    # -- what Autobahn calls --------------------------------------------------------------------------------------

    def onOpen(self) -> None:
        """
        The handshake is done.
        """
        self.transport.registerProducer(self, True)
        self.session.attach(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """
        A message came.
        """
        if isBinary:
            self._refuse(UNSUPPORTED_DATA, "SockJS carries text, not binary messages.")
            return
        try:
            messages = self._decode(payload)
        except DecodeError as error:
            self._refuse(INVALID_PAYLOAD, str(error))
        else:
            # Whether the application has taken them does not matter here: it stops the reading of this connection.
            self.session.received(messages)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """
        The connection is gone.
        """
        self.closings.cancel(self)
        if self.failedByMe or not wasClean:
            local = self.localCloseCode
            lost = SessionLost(
                local or ABNORMAL, (self.localCloseReason or b"").decode("utf-8", "replace") or reason or ""
            )
            self.session.receiverLost(self, lost)
        else:
            self.session.receiverLost(self, SessionDone(code or NO_STATUS, reason or ""))

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """
        Begin or answer the closing handshake, and see that it has an end.
        """
        super().sendCloseFrame(code, reasonUtf8, isReply)
        self.closings.start(self)

    def dropConnection(self, abort: bool = False) -> None:
        """
        Close the connection in an orderly way, also where Autobahn would reset it: a client that has answered the
        closing handshake shall not see an error. The deadline of L{sendCloseFrame} still runs.
        """
        super().dropConnection(False)

    def _decode(self, payload: bytes) -> list[str]:
        return decodeMessages(payload, single=True) if payload else []

    def _refuse(self, code: int, reason: str) -> None:
        """
        End the connection at once, for what the client sent.
        """
        self.failedByMe = True
        self.sendCloseFrame(code, reason.encode("utf-8"))
        self.dropConnection()


class _RawProtocol(_FramedProtocol):
    """
    A WebSocket whose messages are the application's own.
    """

    def close(self, code: int, reason: str) -> None:
        """
        See L{txsockjs.session.Receiver.close}.
        """
        self.sendCloseFrame(code, encodeText(reason))

    def _decode(self, payload: bytes) -> list[str]:
        return [payload.decode("utf-8")]  # which Autobahn has checked


def _refusal(request: Request) -> str | None:
    """
    @return: why this request can't be upgraded, or L{None} if it can.
    """
    if request.clientproto != b"HTTP/1.1":
        return "needs HTTP/1.1"
    if b"websocket" not in _tokens(request, b"upgrade"):
        return 'needs the header "Upgrade: websocket"'
    if b"upgrade" not in _tokens(request, b"connection"):
        return 'needs the header "Connection: Upgrade"'
    if request.getHeader(b"sec-websocket-version") != _VERSION:
        return 'needs the header "Sec-WebSocket-Version: 13"'
    try:
        key = base64.b64decode(request.getHeader(b"sec-websocket-key") or b"", validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 16:
        return 'needs the header "Sec-WebSocket-Key", 16 bytes in base64'
    return None


def _tokens(request: Request, name: bytes) -> list[bytes]:
    lines = request.requestHeaders.getRawHeaders(name) or []
    return [token.strip().lower() for line in lines for token in line.split(b",")]


class WebSocket(Leaf):
    """
    C{/<server>/<session>/websocket}. Server and session mean nothing here: the session lives as long as its WebSocket.
    """

    methods: Sequence[bytes] = (b"GET",)
    transportName: ClassVar[str] = "websocket"
    framing: ClassVar[Framing] = SOCKJS
    depth: ClassVar[int] = SESSION_DEPTH
    protocol: ClassVar[type[_FramedProtocol]] = _FramedProtocol

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._closings: Deadlines[_FramedProtocol] = Deadlines(
            service.clock, service.options.close_timeout, _FramedProtocol.abort
        )
        self._factory = WebSocketServerFactory(server="", reactor=service.clock)
        self._factory.log = _Silent()
        # Compression is not offered. Time is kept by us, so Autobahn's own deadlines are off.
        self._factory.setProtocolOptions(
            versions=[13],
            webStatus=False,
            failByDrop=False,
            echoCloseCodeReason=True,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
        )

    def answer(self, request: Request) -> Answer:
        """
        Upgrade the connection, or say why not.
        """
        why = _refusal(request)
        if why is not None:
            request.setHeader(b"sec-websocket-version", _VERSION)
            return plainText(request, BAD_REQUEST, f"This is a WebSocket: it {why}\n")
        limit = self._service.options.max_body_size
        if isTooLarge(request, limit):
            return refuseBody(request, limit)
        if self._service.registry.isFull:
            return refuseSession(request)
        protocol = self.protocol()
        protocol.factory = self._factory
        protocol.closings = self._closings
        protocol.session = self._service.createSession(request, self.transportName, self.depth, framing=self.framing)
        _takeOver(request, protocol)
        return NOT_DONE_YET


class RawWebSocket(WebSocket):
    """
    C{/websocket}: no frames of SockJS, for programs that are no browsers.
    """

    transportName = "websocket-raw"
    framing = RAW
    depth = 1
    protocol = _RawProtocol


def _takeOver(request: Request, protocol: _FramedProtocol) -> None:
    """
    Give the connection of a request to a WebSocket.

    The channel stays where it is and passes on what it is given, whatever TLS or PROXY protocol lies between it and
    the socket.
    """
    channel: Any = request.channel
    transport = channel.transport
    transport.unregisterProducer()
    channel.requests.clear()
    channel.dataReceived = protocol.dataReceived
    channel.rawDataReceived = protocol.dataReceived  # gets what came in one piece with the handshake
    channel.connectionLost = protocol.connectionLost
    protocol.makeConnection(transport)
    protocol.dataReceived(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        + (request.getHeader(b"sec-websocket-key") or b"")
        + b"\r\n\r\n"
    )
