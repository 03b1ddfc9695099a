# -*- test-case-name: tests.test_client_session -*-
"""
One session, as its client has it.

Below lies a L{Carrier}, the way that frames travel; above it the same L{txsockjs.session.Session} that a server has,
with the same rules for what is queued, paused, delivered and told. What is the client's own is decided here:

  1. The session opens with the frame C{o}. A close frame in its place means that the server does not want the session;
     anything else, or nothing in time, that this transport does not work.
  2. A second C{o} means that the server has lost the session and begun another: so is it here.
  3. A close frame ends the session with its code and reason. 1000, and what applications may choose, 3000 to 4999, is
     an orderly end; any other code tells of a loss.
  4. What came before the end is delivered before the end, also to a protocol that has paused its intake. What is
     written meanwhile goes nowhere.
  5. A server that sends nothing for the heartbeat timeout is gone. The time does not count while nothing is read.
  6. A protocol that has paused its intake does not keep frames from being read, or a server would take the client for
     gone. Only when more waits for the protocol than may be, no more is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorTime
from twisted.python.failure import Failure

from txsockjs.client.errors import HeartbeatTimeout, SessionRefused
from txsockjs.client.frames import WrongFrame, closeOf, messagesOf
from txsockjs.client.options import ClientOptions
from txsockjs.codec import Framing
from txsockjs.connection import Connection
from txsockjs.errors import MessageTooLarge, SessionDone, SessionLost
from txsockjs.session import Session, State
from txsockjs.stats import Cause, Stats
from txsockjs.timers import Deadlines, Turns

__all__ = ["ABNORMAL", "NORMAL_CLOSURE", "Carrier", "ClientConnection", "ClientSession", "TransportFailed", "ending"]

NORMAL_CLOSURE = (1000, "Normal closure")
"""The close of a client that names none."""

ABNORMAL = 1006
"""The code of an end that nobody has announced (RFC 6455 section 7.4.1)."""

WRONG = 1002
"""The code of an end for what the server sent (RFC 6455 section 7.4.1)."""


class TransportFailed(Exception):
    """
    A transport did not open the session; the text says why.
    """


class Carrier(Protocol):
    """
    The way that frames travel: a WebSocket, or requests of HTTP. It tells what happens to its L{ClientSession}.
    """

    def start(self) -> None:
        """
        Begin to connect.
        """

    def send(self, frame: bytes) -> None:
        """
        Send one frame.
        """

    def close(self, code: int, reason: str) -> None:
        """
        End in an orderly way, and call L{ClientSession.gone} when nothing is left.
        """

    def finish(self) -> None:
        """
        The server has sent its close frame: end, and call L{ClientSession.gone} when nothing is left.
        """

    def abort(self) -> None:
        """
        End at once.
        """

    def unsent(self) -> int:
        """
        See L{txsockjs.session.Receiver.unsent}.
        """

    def pauseReading(self) -> None:
        """
        Read no more.
        """

    def resumeReading(self) -> None:
        """
        Read again.
        """

    def ping(self) -> None:
        """
        Make the server say something, where that can be done.
        """

    def addresses(self) -> tuple[IAddress, IAddress]:
        """
        @return: the peer's address and ours.
        """


def ending(code: int, reason: str) -> SessionDone | SessionLost:
    """
    @return: what a close of the server means.
    """
    if code == 1000 or 3000 <= code <= 4999:
        return SessionDone(code, reason)
    return SessionLost(code, reason)


_OURS = {
    Cause.STALLED: SessionLost(1002, "The server does not read"),
    Cause.OVERFLOW: SessionLost(1008, "Too much is waiting for this server"),
}
"""What the session calls by its server's side."""


class ClientConnection(Connection):
    """
    What a protocol has as C{self.transport}. It is as on the server, but for the default of a close.
    """

    refusal: Failure | None = None
    """Why there is no protocol, if there is none."""

    onOpen: Callable[[IProtocol], None]
    """Called with the protocol once it has its connection."""

    def accept(self) -> bool:
        """
        See L{txsockjs.session.Application.accept}. A failure of the factory belongs to whoever connects.
        """
        try:
            if super().accept():
                return True
            self.refusal = Failure(NoProtocol())
        except Exception:
            self.refusal = Failure()
        return False

    def opened(self) -> None:
        """
        See L{txsockjs.session.Application.opened}.
        """
        assert self._protocol is not None
        try:
            super().opened()
        finally:
            self.onOpen(self._protocol)

    def lost(self, reason: Failure, cause: Cause | None = None) -> None:
        """
        See L{txsockjs.session.Application.lost}.
        """
        ours = None if cause is None else _OURS.get(cause)
        super().lost(reason if ours is None else Failure(ours), cause)

    def loseConnection(self) -> None:
        """
        See L{twisted.internet.interfaces.ITransport.loseConnection}: close the session in the normal way.
        """
        self.close()

    def close(self, code: int = NORMAL_CLOSURE[0], reason: str = NORMAL_CLOSURE[1]) -> None:
        """
        See L{txsockjs.interfaces.ISockJSTransport.close}. A WebSocket tells code and reason to the server; over HTTP
        a client can't tell them, and the server sees a connection that has broken.
        """
        super().close(code, reason)

    def getPeer(self) -> IAddress:
        """
        @return: the address of the server, or of the proxy that leads to it; with an agent of the user's, which may
            connect to anywhere, the one that the URL names.
        """
        return super().getPeer()

    def getHost(self) -> IAddress:
        """
        @return: the address of ours, which over HTTP may be another for each request; with an agent of the user's
            C{0.0.0.0} and port 0.
        """
        return super().getHost()


class ClientSession:
    """
    Between a carrier and a session. To the session it is the L{txsockjs.session.Receiver}, and it keeps the session as
    a L{txsockjs.session.Keeper}.

    @ivar opened: fires with the protocol once it has its connection; fails with L{TransportFailed} when another
        transport may do better, and with anything else when not. Cancelled, it leaves nothing behind.
    @ivar carrier: the carrier, which is to be set before L{start}.
    """

    persistent = True
    carrier: Carrier

    def __init__(
        self,
        clock: IReactorTime,
        options: ClientOptions,
        framing: Framing,
        connect: Callable[[Session, tuple[IAddress, IAddress]], ClientConnection],
        over: Callable[[], None],
    ) -> None:
        """
        @param clock: where time comes from.

        @param options: the settings of the client.

        @param framing: how messages become what the carrier sends.

        @param connect: makes the connection when the session opens.

        @param over: called last of all, when a session that was open is over.
        """
        self.opened: Deferred[IProtocol] = Deferred(self._cancelled)
        self.heartbeats: Deadlines[Session] = Deadlines(clock, 0, Session.heartbeatDue)
        self.disconnects: Deadlines[Session] = Deadlines(clock, 0, Session.disconnectDue)
        self.stalls: Deadlines[Session] = Deadlines(clock, options.write_timeout, Session.stallDue)
        self.turns: Turns[Session] = Turns(clock, Session.turn)
        self.maxQueuedBytes = options.max_queued_bytes
        self.maxQueuedMessages = options.max_queued_messages
        self.maxMessageSize = options.max_message_size
        self.stats = Stats()
        self._clock = clock
        self._connect = connect
        self._over = over
        # Half the time each: a raw WebSocket is pinged after the first half.
        self._silence: Deadlines[ClientSession] = Deadlines(
            clock, options.heartbeat_timeout / 2, ClientSession._silenceDue
        )
        self._timeout = options.heartbeat_timeout
        self._pinged = False
        self._opening: IDelayedCall | None = None
        self._session = Session(self, framing)
        self._connection: ClientConnection | None = None
        self._verdict: Exception | None = None  # what the end means, when the carrier is not gone yet
        self._finished = False  # whether the carrier has been told to end, or has ended: nothing more is taken from it
        self._gone: Exception | None = None  # the end of the carrier, which waits for messages to be delivered
        self._deaf = False
        self._quiet = False  # whether the carrier was told to read no more
        self._untaken: Deferred[bool] | None = None  # fires when the last messages that came are taken
        self._waiting = 0  # messages that are not taken; those that came at once count until the last one is

    def start(self, timeout: float) -> None:
        """
        Begin.

        @param timeout: by when the session must be open.
        """
        self._opening = self._clock.callLater(timeout, self._openingDue, timeout)
        self.carrier.start()

    # -- what the carrier tells -----------------------------------------------------------------------------------

    def frame(self, frame: bytes) -> None:
        """
        A frame of SockJS came.
        """
        if self._finished:
            return
        self.alive()
        try:
            self._take(frame)
        except WrongFrame as error:
            self.fail(WRONG, str(error))

    def messages(self, messages: list[str], size: int) -> None:
        """
        Messages came.

        @param size: the number of bytes that they came in.
        """
        if len(messages) > self.maxQueuedMessages:  # a server may well send as many at once
            for start in range(0, len(messages), self.maxQueuedMessages):
                some = messages[start : start + self.maxQueuedMessages]
                self.messages(some, sum(len(message.encode("utf-8", "surrogatepass")) for message in some))
            return
        try:
            taken = self._session.received(messages, size)
        except MessageTooLarge:  # the session has closed itself
            return
        if taken is not None:
            self._untaken = taken
            self._waiting += len(messages)
            taken.addCallback(self._wasTaken, taken, len(messages))
        tooMuch = self._session.backlog > self.maxQueuedBytes or self._waiting > self.maxQueuedMessages
        if tooMuch and self._deaf and not self._quiet:
            self._quiet = True
            self._silence.cancel(self)
            self.carrier.pauseReading()

    def alive(self) -> None:
        """
        Something came from the server.
        """
        self._pinged = False
        if self._connection is not None and not self._quiet and not self._finished:
            self._silence.start(self)

    def open(self) -> None:
        """
        The session is open.
        """
        self._stopOpening()
        connection = self._connection = self._connect(self._session, self.carrier.addresses())
        connection.onOpen = self._opened
        self._session.transportName = connection.transportName
        self._session.bind(connection)
        self._silence.start(self)
        self._session.attach(self)

    def fail(self, code: int, reason: str) -> None:
        """
        Something is wrong that makes an end of the session.
        """
        self.finish(SessionLost(code, reason))

    def finish(self, verdict: Exception) -> None:
        """
        The session is over, and the carrier is to end.

        @param verdict: why.
        """
        if not self._finished:
            self._finished = True
            self._verdict = verdict
            self._silence.cancel(self)
            self.carrier.finish()
            self._unblock()

    def gone(self, error: Exception) -> None:
        """
        The carrier has ended; nothing is left of it.

        @param error: why, as far as it knows.
        """
        self._finished = True
        self._silence.cancel(self)
        self._gone = error = self._verdict or error
        if self._connection is None:
            self._failed(error if isinstance(error, SessionRefused) else TransportFailed(str(error)))
        elif self._untaken is None or self._session.state is not State.OPEN:  # which drops what is not taken
            self._session.receiverLost(self, error, _causeOf(error))
        else:
            self._unblock()

    def blocked(self) -> None:
        """
        The carrier takes no more for now.
        """
        if not self._finished:
            self._session.receiverBlocked(self)

    def ready(self) -> None:
        """
        The carrier takes frames again.
        """
        if self._gone is None:
            self._session.receiverReady(self)

    # -- Receiver: what the session asks for ----------------------------------------------------------------------

    def send(self, frame: bytes) -> bool:
        """
        See L{txsockjs.session.Receiver.send}.
        """
        if not self._finished:
            self.carrier.send(frame)
        return True

    def close(self, code: int, reason: str) -> None:
        """
        See L{txsockjs.session.Receiver.close}.
        """
        self._silence.cancel(self)
        if not self._finished:
            self._finished = True
            self.carrier.close(code, reason)

    def abort(self) -> None:
        """
        See L{txsockjs.session.Receiver.abort}.
        """
        self._finished = True
        self._silence.cancel(self)
        self.carrier.abort()

    def unsent(self) -> int:
        """
        See L{txsockjs.session.Receiver.unsent}.
        """
        return self.carrier.unsent()

    def pauseReading(self) -> None:
        """
        See L{txsockjs.session.Receiver.pauseReading}; and rule 6.
        """
        self._deaf = True

    def resumeReading(self) -> None:
        """
        See L{txsockjs.session.Receiver.resumeReading}.
        """
        self._deaf = False
        if self._quiet:
            self._quiet = False
            self.alive()
            self.carrier.resumeReading()

    # -- Keeper ---------------------------------------------------------------------------------------------------

    def ended(self, session: Session, cause: Cause) -> None:
        """
        See L{txsockjs.session.Keeper.ended}.
        """
        assert self._connection is not None
        self._silence.cancel(self)
        if self._connection.refusal is not None:
            self._failed(self._connection.refusal)
        else:
            self._over()

    # -- how it is done -------------------------------------------------------------------------------------------

    def _take(self, frame: bytes) -> None:
        kind = frame[:1]
        if kind == b"c":
            code, reason = closeOf(frame)
            self.finish(SessionRefused(reason, code) if self._connection is None else ending(code, reason))
        elif kind == b"h":
            pass  # the prelude of xhr-streaming is one as well
        elif kind == b"o" and len(frame) == 1:
            if self._connection is None:
                self.open()
            else:
                self.fail(ABNORMAL, "Server lost session")
        elif kind == b"a" and self._connection is not None:
            self.messages(messagesOf(frame), len(frame))
        else:
            raise WrongFrame(frame)

    def _unblock(self) -> None:
        """
        Nothing is sent any more. What the session still writes goes nowhere, so that it ends neither for a carrier that
        does not take it nor for too much of it, but only when what came before the end is taken.
        """
        if self._session.state is State.OPEN:
            self._session.receiverReady(self)

    def _wasTaken(self, result: bool, taken: Deferred[bool], count: int) -> None:
        self._waiting -= count
        if self._untaken is taken:
            self._untaken = None
            if self._gone is not None:
                self._session.receiverLost(self, self._gone, _causeOf(self._gone))

    def _opened(self, protocol: IProtocol) -> None:
        if not self.opened.called:
            self.opened.callback(protocol)

    def _failed(self, reason: Exception | Failure) -> None:
        self._stopOpening()
        if not self.opened.called:
            self.opened.errback(reason)

    def _openingDue(self, timeout: float) -> None:
        self._opening = None
        self._finished = True
        self.carrier.abort()
        self._failed(TransportFailed(f"did not open within {timeout:.3g} seconds"))

    def _stopOpening(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None

    def _cancelled(self, opened: Deferred[Any]) -> None:
        self._stopOpening()
        if self._connection is not None:
            self._session.abort()
            self.turns.finish()
        else:
            self._finished = True
            self.carrier.abort()
        if not opened.called:  # with a refusal, which only waited for the carrier's end
            opened.errback(CancelledError())

    def _silenceDue(self) -> None:
        """
        Nothing came for half of the heartbeat timeout.
        """
        if not self._pinged:
            self._pinged = True
            self._silence.start(self)
            self.carrier.ping()
            return
        verdict = HeartbeatTimeout(ABNORMAL, f"Nothing came from the server for {self._timeout:g} seconds")
        self._finished = True
        self._verdict = verdict
        self.carrier.abort()
        self.gone(verdict)


def _causeOf(error: Exception) -> Cause:
    """
    @return: the same for the log.
    """
    if isinstance(error, HeartbeatTimeout):
        return Cause.SILENT
    return Cause.CLIENT if isinstance(error, SessionDone) else Cause.BROKEN
