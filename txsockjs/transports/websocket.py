# -*- test-case-name: tests.test_websocket -*-
"""
C{websocket} and C{websocket-raw}: the only module that knows Autobahn.

The upgrade is decided and answered here, so that a refusal is an ordinary HTTP answer; Autobahn would check the
handshake again, at ten times the cost. From there on the connection belongs to a L{SocketReceiver}.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.protocol import TrafficStats, WebSocketProtocol
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.http import BAD_REQUEST, _GenericHTTPChannelProtocol
from twisted.web.server import NOT_DONE_YET, Request

from txsockjs.codec import RAW, SOCKJS, DecodeError, Framing
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.service import Service
from txsockjs.silence import Silent
from txsockjs.stats import Cause, RefusalCause
from txsockjs.transports.admission import admit
from txsockjs.transports.answers import Answer, Leaf, isTooLarge, plainText, refuseBody, refuseOrigin
from txsockjs.transports.base import SESSION_DEPTH
from txsockjs.transports.direct import writeNow
from txsockjs.transports.socket import RawSocketReceiver, SharedBySockets, SocketReceiver

__all__ = ["RawWebSocket", "WebSocket"]

# RFC 6455 section 7.4.1
UNSUPPORTED_DATA = 1003
NO_STATUS = 1005
ABNORMAL = 1006
INVALID_PAYLOAD = 1007
MESSAGE_TOO_BIG = 1009

_VERSION = b"13"
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "

_TOO_LARGE = "The message is too large"

_ESCAPED = 6
"""How many bytes JSON may need for one of a message: a control character is C{\\u0000}."""


class _Engine(WebSocketServerProtocol):
    """
    Autobahn's part of a WebSocket. It is a L{txsockjs.transports.socket.Engine}.

    It comes into a connection that is open already, and at the beginning of a frame that begins a message or stands
    between two.
    """

    log = Silent()
    CONFIG_ATTRS: ClassVar[Sequence[str]] = ()  # what Autobahn would copy into each instance is set below, once
    peer = ""  # Autobahn's name for it, for a log that is not written
    websocket_version = int(_VERSION)
    websocket_protocol_in_use = None
    websocket_extensions_in_use: ClassVar[Sequence[object]] = ()

    def __init__(self, receiver: SocketReceiver, factory: WebSocketServerFactory) -> None:
        super().__init__()
        self.factory = factory
        self._receiver = receiver
        self.makeConnection(receiver.transport)
        self.trafficStats = _NO_STATS
        self.state = self.STATE_OPEN
        self.inside_message = False
        self.current_frame = None

    def connectionMade(self) -> None:
        """
        Be initialised, without what Autobahn's adapter for Twisted adds for its log, and has been done by our channel.
        """
        WebSocketProtocol._connectionMade(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone. Likewise without Autobahn's log.
        """
        WebSocketProtocol._connectionLost(self, reason)

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes came. Likewise.
        """
        WebSocketProtocol._dataReceived(self, data)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """
        Write a frame. Likewise; nobody here asks for chopped ones.
        """
        writeNow(self.transport, data)

    @property
    def isOpen(self) -> bool:
        """
        See L{txsockjs.transports.socket.Engine.isOpen}.
        """
        return bool(self.state == self.STATE_OPEN)

    @property
    def isBetween(self) -> bool:
        """
        See L{txsockjs.transports.socket.Engine.isBetween}.
        """
        return self.isOpen and not self.data and not self.inside_message and self.current_frame is None

    # -- what Autobahn calls --------------------------------------------------------------------------------------

    def onPing(self, payload: bytes) -> None:
        """
        A ping came.
        """
        self._receiver.pingCame(payload)

    def onPong(self, payload: bytes) -> None:
        """
        A pong came.
        """
        self._receiver.pongCame()

    def onMessageFrameBegin(self, length: int) -> None:
        """
        The header of a data frame came. Autobahn's own limits would count for what is sent as well, and would let a
        message have any number of empty fragments.
        """
        super().onMessageFrameBegin(length)
        shared = self._receiver.shared
        if (self.message_data_total_length > shared.limit or len(self.message_data) > shared.limit) and self.isOpen:
            shared.refused[RefusalCause.MESSAGE] += 1
            self.failedByMe = True  # so that nothing of the message is kept
            # The connection lasts until the client has answered, or it might be reset before the client sees why.
            self.sendCloseFrame(MESSAGE_TOO_BIG, _TOO_LARGE.encode("ascii"))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """
        A message came.
        """
        if isBinary:
            self._refuse(UNSUPPORTED_DATA, "SockJS carries text, not binary messages.")
            return
        try:
            messages = self._receiver.decode(payload)
        except DecodeError as error:
            self._refuse(INVALID_PAYLOAD, str(error))
        else:
            self._receiver.deliver(messages, len(payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """
        The connection is gone.
        """
        if self.failedByMe or not wasClean:
            local = self.localCloseCode
            lost = SessionLost(
                local or ABNORMAL, (self.localCloseReason or b"").decode("utf-8", "replace") or reason or ""
            )
            self._receiver.lost(lost, self._cause())
        else:
            self._receiver.lost(SessionDone(code or NO_STATUS, reason or ""), Cause.CLIENT)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """
        Begin or answer the closing handshake, and see that it has an end.
        """
        self._receiver.closeBegins()
        super().sendCloseFrame(code, reasonUtf8, isReply)
        self._receiver.closeBegun()

    def dropConnection(self, abort: bool = False) -> None:
        """
        Close the connection in an orderly way, also where Autobahn would reset it: a client that has answered the
        closing handshake shall not see an error. The deadline of L{sendCloseFrame} still runs.
        """
        super().dropConnection(False)

    def _cause(self) -> Cause:
        if not self.failedByMe:
            return Cause.BROKEN
        return Cause.TOO_LARGE if self.localCloseCode == MESSAGE_TOO_BIG else Cause.WRONG

    def _refuse(self, code: int, reason: str) -> None:
        """
        End the connection at once, for what the client sent.
        """
        self.failedByMe = True
        self.sendCloseFrame(code, reason.encode("utf-8"))
        self.dropConnection()


def _configure() -> None:
    """
    Set Autobahn's options. Compression is not offered. Time is kept by us, so Autobahn's own deadlines are off.
    """
    settings = WebSocketServerFactory(server="", reactor=Clock())
    settings.setProtocolOptions(
        versions=[13],
        webStatus=False,
        failByDrop=False,
        echoCloseCodeReason=True,
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
    )
    for name in WebSocketServerProtocol.CONFIG_ATTRS:
        setattr(_Engine, name, getattr(settings, name))


_configure()

_NO_STATS = TrafficStats()
"""Nobody looks at Autobahn's counters, so all connections have the same."""


class _EngineFactory(WebSocketServerFactory):
    """
    What Autobahn wants its protocols to have.
    """

    log = Silent()

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(server="", reactor=clock)


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
    receiver: ClassVar[type[SocketReceiver]] = SocketReceiver

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        engines = _EngineFactory(service.clock)
        limit = self.limitOf(service.options.max_message_size)
        self._shared = SharedBySockets(service, limit, lambda receiver: _Engine(receiver, engines))

    @staticmethod
    def limitOf(size: int) -> int:
        """
        @param size: of the largest message.

        @return: the number of bytes that it may need on the wire.
        """
        return _ESCAPED * size + len('[""]')

    def answer(self, request: Request) -> Answer:
        """
        Upgrade the connection, or say why not.
        """
        refusal = refuseOrigin(request, self._service)
        if refusal is not None:
            return refusal
        why = _refusal(request)
        if why is not None:
            request.setHeader(b"sec-websocket-version", _VERSION)
            return plainText(request, BAD_REQUEST, f"This is a WebSocket: it {why}\n")
        if isTooLarge(request, self._service.options.max_body_size):
            return refuseBody(request, self._service)
        return admit(self._service, request, lambda: self._begin(request))

    def _begin(self, request: Request) -> Answer:
        session = self._service.createSession(request, self.transportName, self.depth, framing=self.framing)
        _takeOver(request, self.receiver(self._shared, session))
        return NOT_DONE_YET


class RawWebSocket(WebSocket):
    """
    C{/websocket}: no frames of SockJS, for programs that are no browsers.
    """

    transportName = "websocket-raw"
    framing = RAW
    depth = 1
    receiver = RawSocketReceiver

    @staticmethod
    def limitOf(size: int) -> int:
        """
        See L{WebSocket.limitOf}.
        """
        return size


def _takeOver(request: Request, receiver: SocketReceiver) -> None:
    """
    Give the connection of a request to a WebSocket.

    The channel stays where it is and passes on what it is given, whatever TLS or PROXY protocol lies between it and
    the socket.
    """
    channel: Any = request.channel
    transport = channel.transport
    transport.unregisterProducer()
    channel.setTimeout(None)  # what is idle is known by pings
    channel.requests.clear()
    take = receiver.dataReceived
    channel.dataReceived = take
    channel.rawDataReceived = take  # gets what came in one piece with the handshake
    channel.connectionLost = receiver.connectionLost
    front = getattr(transport, "protocol", None)
    if isinstance(front, _GenericHTTPChannelProtocol):
        front.dataReceived = take  # type: ignore[method-assign]  # it would do nothing but pass it on to the channel
    # What came while the application was deciding whether to let the client in; there may be more that was not read.
    early, channel._dataBuffer = b"".join(channel._dataBuffer), []
    if early:
        transport.resumeProducing()
    key = request.getHeader(b"sec-websocket-key") or b""
    accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
    receiver.begin(transport, _SWITCHING + accept + b"\r\n\r\n")
    if early:
        receiver.dataReceived(early)
