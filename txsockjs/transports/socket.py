# -*- test-case-name: tests.test_websocket -*-
"""
The receiver that is a WebSocket.

Text frames of the common shape are taken and sent right here, see L{txsockjs.transports.frames}. For everything else
there is an I{engine}, which is Autobahn. It is made when something comes that is not of the common shape, and is given
every byte from there on until it stands between two messages again; then it is let go. A client that only talks never
needs one, and has no memory for it. Closing is the engine's business from beginning to end, unless a client leaves in
the plainest way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.codec import SOCKJS, DecodeError, decodeMessages, encodeText
from txsockjs.errors import MessageTooLarge, SessionDone, SessionLost
from txsockjs.liveness import unsentBytes, watchPeer
from txsockjs.service import Service
from txsockjs.session import Session
from txsockjs.stats import Cause
from txsockjs.timers import Deadlines
from txsockjs.transports.direct import writeNow
from txsockjs.transports.frames import NO_CODE, closeFrame, takeClose, takeText, textFrame

__all__ = ["Engine", "RawSocketReceiver", "SharedBySockets", "SocketReceiver"]

# RFC 6455 section 7.4.1
_NORMAL = 1000
_PROTOCOL_ERROR = 1002
_NO_STATUS = 1005

_HEARTBEAT = SOCKJS.heartbeat

_TOGETHER = 1.0
"""Seconds by which a ping may leave early, to go with a heartbeat."""

_PING = b"\x89\x00"
_PONG = b"\x8a\x80"  # how the answer begins; only its mask follows
_PONG_SIZE = 6

_NO_ANSWER = "The client does not answer"


class Engine(Protocol):
    """
    A WebSocket of Autobahn's, with the connection of its receiver.
    """

    isOpen: bool
    """Whether no closing handshake has begun."""

    isBetween: bool
    """Whether it is open, and nothing has come since the end of the last frame or of the last message."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """Begin the closing handshake."""

    def sendPong(self, payload: bytes | None = None) -> None:
        """Answer a ping."""


class _Left:
    """
    Takes the place of an engine once the client has left: it has no more to say, and hears nothing.
    """

    __slots__ = ("_code", "_receiver")

    isOpen = False
    isBetween = False

    def __init__(self, receiver: SocketReceiver, code: int) -> None:
        self._receiver = receiver
        self._code = code

    def dataReceived(self, data: bytes) -> None:
        """
        Nothing comes behind a close frame.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        self._receiver.lost(SessionDone(_NO_STATUS if self._code == NO_CODE else self._code, ""), Cause.CLIENT)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """
        It is sent.
        """

    def sendPong(self, payload: bytes | None = None) -> None:
        """
        Nobody waits for it.
        """


class SharedBySockets:
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
    @ivar makeEngine: makes the engine of a receiver.
    """

    def __init__(self, service: Service, limit: int, makeEngine: Callable[[SocketReceiver], Engine]) -> None:
        clock, options = service.clock, service.options
        self.limit = limit
        self.usualSize = options.max_message_size
        self.mostMessages = options.max_queued_messages
        self.refused: Counter[str] = service.registry.stats.refused
        self.writeTimeout = options.write_timeout
        self.makeEngine = makeEngine
        receiver = SocketReceiver
        self.closings: Deadlines[SocketReceiver] = Deadlines(clock, options.close_timeout, receiver.closeDue)
        self.silences: Deadlines[SocketReceiver] = Deadlines(clock, options.ping_interval, receiver.silenceDue)
        self.pongs: Deadlines[SocketReceiver] = Deadlines(clock, options.pong_timeout, receiver.pongDue)


@implementer(IPushProducer)
class SocketReceiver:
    """
    A WebSocket that carries SockJS frames. It is a L{txsockjs.session.Receiver}.

    @ivar session: its session.
    @ivar transport: its connection.
    @ivar shared: what it shares with the others.
    @ivar heard: whether anything came since the current deadline was set.
    """

    __slots__ = (
        "__weakref__",
        "_before",
        "_deaf",
        "_engine",
        "_full",
        "_greeting",
        "_unanswered",
        "heard",
        "session",
        "shared",
        "transport",
    )

    persistent = True

    def __init__(self, shared: SharedBySockets, session: Session) -> None:
        self.shared = shared
        self.session = session
        self.transport: Any = None
        self.heard = False
        self._engine: Engine | None = None
        self._greeting = b""  # the end of the handshake, which leaves together with the first frame
        self._full = False
        self._deaf = False
        self._before = 0  # what was unsent before the last ping, or the close
        self._unanswered: bytes | None = None  # the last ping that came while nothing could be sent

    def begin(self, transport: Any, greeting: bytes) -> None:
        """
        Take over a connection whose client has sent a handshake.

        @param greeting: the answer to that.
        """
        self.transport = transport
        self._greeting = greeting
        watchPeer(transport, self.shared.writeTimeout)
        self._listen()
        transport.registerProducer(self, True)
        self.session.attach(self)
        self._greet()

    def _greet(self) -> None:
        if self._greeting:
            greeting, self._greeting = self._greeting, b""
            writeNow(self.transport, greeting)

    def _needEngine(self) -> Engine:
        engine = self._engine
        if engine is None:
            self._greet()  # what the engine sends comes behind it
            engine = self._engine = self.shared.makeEngine(self)
        return engine

    # -- Receiver -------------------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> bool:
        """
        See L{txsockjs.session.Receiver.send}.
        """
        # While the closing handshake of the client is under way nothing can be sent; the session hears of its end soon.
        engine = self._engine
        if engine is None or engine.isOpen:
            data = textFrame(frame)
            if self._greeting:
                data = self._greeting + data
                self._greeting = b""
            if frame is _HEARTBEAT and self._pingsNow():
                data += self._ping()
            writeNow(self.transport, data)
        return True

    def close(self, code: int, reason: str) -> None:
        """
        See L{txsockjs.session.Receiver.close}. The close frame of SockJS has told code and reason.
        """
        self._needEngine().sendCloseFrame(_NORMAL)

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
            self._needEngine().sendPong(payload)
        self.session.receiverReady(self)

    def stopProducing(self) -> None:
        """
        Nothing: the loss of the connection follows.
        """

    # -- what comes -----------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes came.
        """
        self.heard = True  # deadlines look at it when they are due
        if self._engine is None:
            data = self._takeTexts(data)
            if not data:
                return
        engine = self._needEngine()
        engine.dataReceived(data)
        if engine.isBetween:
            self._engine = None

    def _takeTexts(self, data: bytes) -> bytes:
        """
        Take text frames from the beginning of what came, as long as there is nothing special about them.

        @return: the rest.
        """
        at = size = 0
        shared = self.shared
        limit = shared.usualSize
        messages: list[str] = []
        while at < len(data) and (taken := takeText(data, at, limit)) is not None:
            payload, end = taken
            try:
                decoded = self.decode(payload)
            except (DecodeError, UnicodeDecodeError):
                break
            if len(messages) + len(decoded) > shared.mostMessages:
                self.deliver(messages, size)
                messages, size = [], 0
            if decoded:
                messages += decoded
                size += len(payload)
            at = end
        if messages:
            self.deliver(messages, size)
        if len(data) - at == _PONG_SIZE and data.startswith(_PONG, at):
            self.pongCame()
            return b""
        code = takeClose(data, at)
        if code is not None and self._engine is None:  # the application may have closed meanwhile
            self._leave(code)
            return b""
        return data[at:] if at else data

    def _leave(self, code: int) -> None:
        """
        Answer a client that leaves, and close the connection.
        """
        self._engine = _Left(self, code)
        self.closeBegins()
        writeNow(self.transport, closeFrame(code))
        self.closeBegun()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def decode(self, payload: bytes) -> list[str]:
        """
        @return: the messages in a frame.

        @raise DecodeError: when that is not what is in it.
        """
        return decodeMessages(payload, single=True) if payload else []

    def deliver(self, messages: list[str], size: int) -> None:
        """
        Hand messages to the session.
        """
        # Whether the application has taken them does not matter here: it stops the reading of this connection.
        try:
            self.session.received(messages, size)
        except MessageTooLarge:
            pass  # the session has closed itself

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        self._needEngine().connectionLost(reason)

    # -- what the engine tells ------------------------------------------------------------------------------------

    def pingCame(self, payload: bytes) -> None:
        """
        A ping came. While the connection is full only the last one is remembered: those who ping and do not read
        would fill the memory with pongs.
        """
        if self._full:
            self._unanswered = payload
        else:
            self._needEngine().sendPong(payload)

    def pongCame(self) -> None:
        """
        A pong came; the silence begins anew.
        """
        engine = self._engine
        if engine is None or engine.isOpen:
            self.shared.pongs.cancel(self)
            self._listen()

    def closeBegins(self) -> None:
        """
        A close frame is about to be sent.
        """
        self._before = self.unsent()

    def closeBegun(self) -> None:
        """
        A close frame is sent; the closing handshake has a deadline.
        """
        self.shared.closings.start(self)
        self._stopWatching()

    def lost(self, reason: Exception, cause: Cause) -> None:
        """
        The WebSocket has ended.
        """
        self.shared.closings.cancel(self)
        self._stopWatching()
        self.session.receiverLost(self, reason, cause)

    # -- what time does -------------------------------------------------------------------------------------------

    def silenceDue(self) -> None:
        """
        The ping interval is over. While the connection is full the write timeout is in charge.
        """
        if self.heard or self._full:
            self._listen()
            return
        writeNow(self.transport, self._ping())

    def _pingsNow(self) -> bool:
        """
        Whether a ping that is due together with a heartbeat leaves with it.
        """
        return not self.heard and self.shared.silences.cancelNear(self, _TOGETHER)

    def _ping(self) -> bytes:
        """
        Expect an answer to a ping.

        @return: the ping, which the caller sends.
        """
        self._before = self.unsent()
        if self._deaf:  # no answer would be read, but the kernel sees whether the ping arrives
            self._listen()
        else:
            self.shared.pongs.start(self)
        return _PING

    def pongDue(self) -> None:
        """
        The pong timeout is over. A client that still takes what was sent before the ping has yet to see it.
        """
        if self.heard or self._full or self._deaf or self.unsent() < self._before:
            self._listen()
            return
        self.session.receiverLost(self, SessionLost(_PROTOCOL_ERROR, _NO_ANSWER), Cause.SILENT)
        self.abort()

    def closeDue(self) -> None:
        """
        The close timeout is over. A client that still takes what was sent before the close has time again.
        """
        unsent = self.unsent()
        if 0 < unsent < self._before:
            self._before = unsent
            self.shared.closings.start(self)
        else:
            self.abort()

    def _listen(self) -> None:
        self.heard = False
        self.shared.silences.start(self)

    def _stopWatching(self) -> None:
        self.shared.silences.cancel(self)
        self.shared.pongs.cancel(self)


class RawSocketReceiver(SocketReceiver):
    """
    A WebSocket whose messages are the application's own.
    """

    __slots__ = ()

    def close(self, code: int, reason: str) -> None:
        """
        See L{txsockjs.session.Receiver.close}.
        """
        self._needEngine().sendCloseFrame(code, encodeText(reason))

    def decode(self, payload: bytes) -> list[str]:
        """
        See L{SocketReceiver.decode}.

        @raise UnicodeDecodeError: when the payload is not UTF-8.
        """
        return [payload.decode("utf-8")]
