# -*- test-case-name: tests.test_websocket -*-
"""
C{websocket} and C{websocket-raw}: the only module that knows Autobahn.

The upgrade is decided here, so that a refusal is an ordinary HTTP answer; then Autobahn gets a handshake that it is
sure to accept, and speaks RFC 6455 from there on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.protocol import TrafficStats, WebSocketProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.http import BAD_REQUEST
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from txsockjs.codec import RAW, SOCKJS, DecodeError, Framing, decodeMessages, encodeText
from txsockjs.errors import MessageTooLarge, SessionDone, SessionLost
from txsockjs.service import Service
from txsockjs.session import Session
from txsockjs.stats import Cause
from txsockjs.timers import Deadlines
from txsockjs.transports.admission import admit
from txsockjs.transports.answers import Answer, Leaf, isTooLarge, plainText, refuseBody, refuseOrigin
from txsockjs.transports.base import SESSION_DEPTH
from txsockjs.transports.direct import writeNow
from txsockjs.transports.frames import takeText, textFrame
from txsockjs.transports.liveness import unsentBytes, watchPeer

__all__ = ["RawWebSocket", "WebSocket"]

# RFC 6455 section 7.4.1
NORMAL = 1000
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
NO_STATUS = 1005
ABNORMAL = 1006
INVALID_PAYLOAD = 1007
MESSAGE_TOO_BIG = 1009

_VERSION = b"13"
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3

_TOGETHER = 1.0
"""Seconds by which a ping may leave early, to go with a heartbeat."""

_PING = b"\x89\x00"
_PONG = b"\x8a\x80"  # how the answer begins; only its mask follows
_PONG_SIZE = 6

_TOO_LARGE = "The message is too large"
_NO_ANSWER = "The client does not answer"

_ESCAPED = 6
"""How many bytes JSON may need for one of a message: a control character is C{\\u0000}."""


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
    @ivar factory: what it shares with the others.
    @ivar heard: whether anything came since the current deadline was set.
    """

    log = _Silent()
    CONFIG_ATTRS: ClassVar[Sequence[str]] = ()  # what Autobahn would copy into each instance is set below, once
    peer = ""  # Autobahn's name for it, for a log that is not written
    persistent = True
    session: Session
    factory: _SharedFactory
    heard = False
    _full = False
    _deaf = False
    _before = 0  # what was unsent before the last ping, or the close
    _unanswered: bytes | None = None  # the last ping that came while nothing could be sent

    # -- Receiver -------------------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> bool:
        """
        See L{txsockjs.session.Receiver.send}.
        """
        # While the closing handshake of the client is under way nothing can be sent; the session hears of its end soon.
        if self.state == self.STATE_OPEN:
            data = textFrame(frame)
            if self._pingsWith(frame):
                data += self._ping()
            writeNow(self.transport, data)
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

    def unsent(self) -> int:
        """
        See L{txsockjs.session.Receiver.unsent}.
        """
        return unsentBytes(self.transport)

    def pauseReading(self) -> None:
        """
        See L{txsockjs.session.Receiver.pauseReading}.
        """
        self._deaf = True
        self.transport.pauseProducing()

    def resumeReading(self) -> None:
        """
        See L{txsockjs.session.Receiver.resumeReading}.
        """
        self._deaf = False
        self.heard = True  # what the client said meanwhile is still to be read
        self.transport.resumeProducing()

    # -- IPushProducer: how the connection fills and drains -------------------------------------------------------

    def pauseProducing(self) -> None:
        """
        The connection is full.
        """
        self._full = True
        self.session.receiverBlocked(self)

    def resumeProducing(self) -> None:
        """
        The connection has room again.
        """
        self._full = False
        self.heard = True  # a client that takes data is alive
        if self._unanswered is not None:
            payload, self._unanswered = self._unanswered, None
            self.sendPong(payload)
        self.session.receiverReady(self)

    def stopProducing(self) -> None:
        """
        Nothing: the loss of the connection follows.
        """

    # -- what time does -------------------------------------------------------------------------------------------

    def silenceDue(self) -> None:
        """
        The ping interval is over. While the connection is full the write timeout is in charge.
        """
        if self.heard or self._full:
            self._listen()
            return
        writeNow(self.transport, self._ping())

    def _pingsWith(self, frame: bytes) -> bool:
        """
        Whether C{frame} is a heartbeat, and a ping that is due together with it leaves with it.
        """
        return frame is SOCKJS.heartbeat and not self.heard and self.factory.silences.cancelNear(self, _TOGETHER)

    def _ping(self) -> bytes:
        """
        Expect an answer to a ping.

        @return: the ping, which the caller sends.
        """
        self._before = self.unsent()
        if self._deaf:  # no answer would be read, but the kernel sees whether the ping arrives
            self._listen()
        else:
            self.factory.pongs.start(self)
        return _PING

    def pongDue(self) -> None:
        """
        The pong timeout is over. A client that still takes what was sent before the ping has yet to see it.
        """
        if self.heard or self._full or self._deaf or self.unsent() < self._before:
            self._listen()
            return
        self.session.receiverLost(self, SessionLost(PROTOCOL_ERROR, _NO_ANSWER), Cause.SILENT)
        self.abort()

    def closeDue(self) -> None:
        """
        The close timeout is over. A client that still takes what was sent before the close has time again.
        """
        unsent = self.unsent()
        if 0 < unsent < self._before:
            self._before = unsent
            self.factory.closings.start(self)
        else:
            self.abort()

    def _listen(self) -> None:
        self.heard = False
        self.factory.silences.start(self)

    # -- how it begins ------------------------------------------------------------------------------------------------

    def begin(self, transport: Any, key: bytes) -> None:
        """
        Take over a connection whose client has sent a handshake that was checked, and answer that. Autobahn would
        check it again, at ten times the cost.

        @param key: the header C{Sec-WebSocket-Key}.
        """
        self.makeConnection(transport)
        self.trafficStats = _NO_STATS
        self.websocket_version = int(_VERSION)
        self.websocket_protocol_in_use = None
        self.websocket_extensions_in_use: list[object] = []
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
        transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.state = self.STATE_OPEN
        self.inside_message = False
        self.current_frame = None
        self.onOpen()

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

    # -- what Autobahn calls --------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes came. Text frames of the common shape are taken here, all others are left to Autobahn.
        """
        self.heard = True  # deadlines look at it when they are due
        # Only between messages, and with nothing that waits for the rest of a frame.
        if self.state == self.STATE_OPEN and not self.data and not self.inside_message and self.current_frame is None:
            data = self._takeTexts(data)
        if data:
            super().dataReceived(data)

    def _takeTexts(self, data: bytes) -> bytes:
        """
        Take text frames from the beginning of what came, as long as there is nothing special about them.

        @return: the rest.
        """
        at = size = 0
        limit = self.factory.usualSize
        messages: list[str] = []
        while (taken := takeText(data, at, limit)) is not None:
            payload, end = taken
            try:
                decoded = self._decode(payload)
            except (DecodeError, UnicodeDecodeError):
                break
            if len(messages) + len(decoded) > self.factory.mostMessages:
                self._deliver(messages, size)
                messages, size = [], 0
            if decoded:
                messages += decoded
                size += len(payload)
            at = end
        if messages:
            self._deliver(messages, size)
        if data.startswith(_PONG, at) and len(data) == at + _PONG_SIZE:
            self.onPong(b"")
            return b""
        return data[at:] if at else data

    def onOpen(self) -> None:
        """
        The handshake is done.
        """
        watchPeer(self.transport, self.factory.writeTimeout)
        self._listen()
        self.transport.registerProducer(self, True)
        self.session.attach(self)

    def onPing(self, payload: bytes) -> None:
        """
        A ping came. While the connection is full only the last one is remembered: those who ping and do not read
        would fill the memory with pongs.
        """
        if self._full:
            self._unanswered = payload
        else:
            self.sendPong(payload)

    def onPong(self, payload: bytes) -> None:
        """
        A pong came; the silence begins anew.
        """
        if self.state == self.STATE_OPEN:
            self.factory.pongs.cancel(self)
            self._listen()

    def onMessageFrameBegin(self, length: int) -> None:
        """
        The header of a data frame came. Autobahn's own limits would count for what is sent as well, and would let a
        message have any number of empty fragments.
        """
        super().onMessageFrameBegin(length)
        limit = self.factory.limit
        if (self.message_data_total_length > limit or len(self.message_data) > limit) and self.state == self.STATE_OPEN:
            self.factory.refused["message too large"] += 1
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
            messages = self._decode(payload)
        except DecodeError as error:
            self._refuse(INVALID_PAYLOAD, str(error))
        else:
            self._deliver(messages, len(payload))

    def _deliver(self, messages: list[str], size: int) -> None:
        # Whether the application has taken them does not matter here: it stops the reading of this connection.
        with suppress(MessageTooLarge):  # the session has closed itself
            self.session.received(messages, size)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """
        The connection is gone.
        """
        self.factory.closings.cancel(self)
        self._stopWatching()
        if self.failedByMe or not wasClean:
            local = self.localCloseCode
            lost = SessionLost(
                local or ABNORMAL, (self.localCloseReason or b"").decode("utf-8", "replace") or reason or ""
            )
            self.session.receiverLost(self, lost, self._cause())
        else:
            self.session.receiverLost(self, SessionDone(code or NO_STATUS, reason or ""), Cause.CLIENT)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """
        Begin or answer the closing handshake, and see that it has an end.
        """
        self._before = self.unsent()
        super().sendCloseFrame(code, reasonUtf8, isReply)
        self.factory.closings.start(self)
        self._stopWatching()

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

    def _stopWatching(self) -> None:
        self.factory.silences.cancel(self)
        self.factory.pongs.cancel(self)

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
        setattr(_FramedProtocol, name, getattr(settings, name))


_configure()

_NO_STATS = TrafficStats()
"""Nobody looks at Autobahn's counters, so all connections have the same."""


class _SharedFactory(WebSocketServerFactory):
    """
    What the WebSockets of one kind share.

    @ivar limit: the number of bytes that a message may have on the wire.
    @ivar usualSize: the number of bytes up to which a frame needs no second look.
    @ivar mostMessages: how many messages may be delivered at once.
    @ivar refused: counts what is refused, by cause.
    @ivar writeTimeout: for how long what was sent may stay unacknowledged.
    @ivar closings: where closing handshakes have their deadlines.
    @ivar silences: by when a client is pinged.
    @ivar pongs: by when one that was pinged must have said something.
    """

    log = _Silent()

    def __init__(self, service: Service, limit: int) -> None:
        clock, options = service.clock, service.options
        super().__init__(server="", reactor=clock)
        self.limit = limit
        self.usualSize = options.max_message_size
        self.mostMessages = options.max_queued_messages
        self.refused = service.registry.stats.refused
        self.writeTimeout = options.write_timeout
        protocol = _FramedProtocol
        self.closings: Deadlines[_FramedProtocol] = Deadlines(clock, options.close_timeout, protocol.closeDue)
        self.silences: Deadlines[_FramedProtocol] = Deadlines(clock, options.ping_interval, protocol.silenceDue)
        self.pongs: Deadlines[_FramedProtocol] = Deadlines(clock, options.pong_timeout, protocol.pongDue)


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
        self._factory = _SharedFactory(service, self.limitOf(service.options.max_message_size))

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
        protocol = self.protocol()
        protocol.factory = self._factory
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

    @staticmethod
    def limitOf(size: int) -> int:
        """
        See L{WebSocket.limitOf}.
        """
        return size


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
    # What came while the application was deciding whether to let the client in; there may be more that was not read.
    early, channel._dataBuffer = b"".join(channel._dataBuffer), []
    if early:
        transport.resumeProducing()
    protocol.begin(transport, request.getHeader(b"sec-websocket-key") or b"")
    if early:
        protocol.dataReceived(early)
