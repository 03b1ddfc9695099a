# -*- test-case-name: tests.test_session -*-
"""
The session: everything that decides its fate.

The rules:

  1. A session is NEW until its first receiver is attached, then OPEN, then perhaps CLOSING, and CLOSED for good.
  2. It has one receiver at most. One that comes while another is attached gets C{c[2010,...]} and ends; the first one
     stays.
  3. The first frame is the opening, and only then does the application see its connection. An application that refuses
     is never connected: the first frame is then the close frame.
  4. Messages leave in the order in which they were written, as one frame for all that were written in a turn of the
     reactor or during one delivery, and at once when they are more than may be queued. What was written before a close
     leaves before the close frame.
  5. A receiver that takes no more, since its response is full, is unlinked and then closed; the session waits for the
     next one, which may come that very moment. The session is lost if none comes within the disconnect delay. That
     deadline runs while no receiver is attached, and only then, and begins anew while the client still takes what the
     last receiver was given.
  6. A receiver whose connection breaks takes the session with it: messages may be lost, so it can't go on.
  7. A receiver that has stopped taking data for now is blocked; nothing is sent to it until it takes data again. The
     session is lost if it takes nothing for the write timeout, or if more is queued than may be.
  8. The close frame is said once to the receiver that is attached, or to the next one, and again to everyone who asks
     until the session is forgotten. A receiver that carries just one session (a WebSocket) then closes too, and the
     session is over when it is gone.
  9. The application hears of the end once, last of all, in a turn of its own, whatever happened before.
  10. An exception in the application is logged and closes its own session, with code 1011. A message of the client that
     is larger than may be closes it with code 1009, and so do more of them in one piece than may be queued; nothing
     that came with it is delivered.
  11. Messages of the client are delivered in the order in which they came. Those that come before the application has
      seen its connection, while it has paused its intake, or while it is just called or writes, wait for it. Those
      that it has not taken when the session stops being OPEN are dropped, which whoever brought them is told, and the
      intake is not paused any more, so that the end of a connection is seen.
  12. A close waits for the application's producer to finish, but a shutdown stops the producer.

The states::

          attach            close, crash          close frame said
    NEW ---------> OPEN -------------------> CLOSING --------------> CLOSED
     |               |                          |                       ^
     `---------------+--------------------------+-----------------------'
       refused        receiver lost, nobody came back, aborted

No reactor is needed to run a session: time comes from the L{Keeper}.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsockjs.codec import Framing, SharedMessage
from txsockjs.errors import MessageTooLarge, SessionDone, SessionLost
from txsockjs.stats import Cause, RefusalCause, Stats
from txsockjs.timers import Deadlines, Turns

__all__ = [
    "ANOTHER_RECEIVER",
    "GO_AWAY",
    "INTERRUPTED",
    "Application",
    "Keeper",
    "Receiver",
    "Session",
    "State",
]

GO_AWAY = (3000, "Go away!")
"""The close of an application that names none, and of one that refuses."""

ANOTHER_RECEIVER = (2010, "Another connection still open")
"""The answer to a second receiver."""

INTERRUPTED = (1002, "Connection interrupted")
"""The end of a session whose receiver broke, or who was left alone for too long."""

OVERFLOW = (1008, "Too much is waiting for this client")
"""The end of a session whose client takes less than the application writes."""

TOO_LARGE = (1009, "The message is too large")
"""The close after a message that is larger than may be."""

TOO_MANY = (1009, "There are too many messages at once")
"""The close after more messages in one piece than may be queued."""

INTERNAL_ERROR = (1011, "Internal error")
"""The close after an exception in the application."""

FULL = (1000, "")
"""What a receiver that takes no more is closed with, while its session goes on."""

HIGH_WATER = 65536
"""Queued bytes above which a producer of the application is paused, as with Twisted's TCP."""

LOW_WATER = 16384
"""Queued bytes below which it is resumed."""

_log = Logger()


class State(Enum):
    """
    Where a session stands.
    """

    NEW = "new"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


# To look one up in the class costs several times what the comparison does.
_NEW, _OPEN, _CLOSING, _CLOSED = State


class Receiver(Protocol):
    """
    An open response or WebSocket that takes frames for a session.

    It calls L{Session.receiverLost} when its connection breaks, and L{Session.receiverBlocked} and
    L{Session.receiverReady} as its connection fills and drains.
    """

    persistent: bool
    """Whether the session lives exactly as long as this receiver."""

    def send(self, frame: bytes) -> bool:
        """
        Dress and write one frame.

        @return: whether the receiver takes another one. If not, it is closed next.
        """

    def close(self, code: int, reason: str) -> None:
        """
        End in an orderly way after the last frame. A persistent receiver calls L{Session.receiverLost} when it is gone.

        @param code: the close code, for a receiver whose connection's own close carries it.

        @param reason: the close reason, likewise.
        """

    def abort(self) -> None:
        """
        Break the connection.
        """

    def unsent(self) -> int:
        """
        @return: how many bytes of what was sent the connection still has to get rid of; 0 if it does not tell.
        """

    def pauseReading(self) -> None:
        """
        Take no more messages from the client for now, where this receiver takes any.
        """

    def resumeReading(self) -> None:
        """
        Take messages again.
        """


class Application(Protocol):
    """
    What a session tells its application. Every method but C{lost} may raise; the session copes.
    """

    def accept(self) -> bool:
        """
        @return: whether the application wants this session.
        """

    def opened(self) -> None:
        """
        The session is open.
        """

    def received(self, message: str) -> None:
        """
        One message came.
        """

    def lost(self, reason: Failure, cause: Cause) -> None:
        """
        The session is over.
        """


class Keeper(Protocol):
    """
    What a session needs of whoever keeps it: its registry.
    """

    heartbeats: Deadlines[Session]
    disconnects: Deadlines[Session]
    stalls: Deadlines[Session]
    turns: Turns[Session]
    maxQueuedBytes: int
    maxQueuedMessages: int
    maxMessageSize: int
    stats: Stats

    def ended(self, session: Session, cause: Cause) -> None:
        """
        The application has been told of the end of C{session}, or has never wanted it.
        """


class Producer(Protocol):
    """
    What may be registered with a session: a push producer has C{pauseProducing} too.
    """

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


class Session:
    """
    One session.

    @ivar state: see the rules above.
    @ivar transportName: the transport that opened it.
    @ivar host: the address of the client that did.
    @ivar queuedBytes: how much waits for the client, encoded.
    @ivar backlog: how many bytes of the client's wait for the application.
    @ivar blocked: whether the receiver takes no data for now.
    @ivar producerPaused: whether the application's producer is paused.
    """

    __slots__ = (
        "__weakref__",
        "_application",
        "_cause",
        "_closeAsked",
        "_closing",
        "_connected",
        "_delivering",
        "_entered",
        "_flushing",
        "_framing",
        "_gone",
        "_inbox",
        "_keeper",
        "_outcome",
        "_producer",
        "_queue",
        "_reading",
        "_receiver",
        "_streaming",
        "_under",
        "_unsent",
        "_verdict",
        "backlog",
        "blocked",
        "host",
        "producerPaused",
        "queuedBytes",
        "state",
        "transportName",
    )

    def __init__(self, keeper: Keeper, framing: Framing, transportName: str = "", host: str = "") -> None:
        """
        @param keeper: whoever keeps the session.

        @param framing: how its messages become frames.

        @param transportName: the transport that it came by.

        @param host: the address of its client.
        """
        self.state = _NEW
        self.transportName = transportName
        self.host = host
        self._keeper = keeper
        self._framing = framing
        self._application: Application | None = None
        self._receiver: Receiver | None = None
        self.blocked = False
        self._gone: Receiver | None = None  # the last one, whose data may still be on its way
        self._unsent = 0  # what was left to send a turn after the receiver was blocked, or at the last deadline
        self._queue: list[bytes] = []
        self.queuedBytes = 0
        self._under = 0  # what was written last, and lies below in a connection that is full
        self._flushing = False
        self._entered = False  # whether the application is at work: nothing is delivered to it meanwhile
        self._delivering = False  # whether it is at work on what has just come, and a flush follows
        self._closeAsked = False
        self._closing = INTERRUPTED  # what is said to whoever comes after the end
        self._outcome: Failure | None = None  # what the application is told
        self._verdict: Failure | None = None  # told in place of the outcome: what made us close the session
        self._cause: Cause | None = None
        self._connected = False
        self._producer: Any = None
        self._streaming = False
        self.producerPaused = False
        self._reading = False  # nothing is delivered before the application has seen its connection
        # The last message of each batch has the size of the batch, and the Deferred that tells when it is taken.
        self._inbox: deque[tuple[str, int, Deferred[bool] | None]] = deque()
        self.backlog = 0

    def bind(self, application: Application) -> None:
        """
        Name the application, before the first receiver is attached.
        """
        self._application = application

    # -- what receivers do ----------------------------------------------------------------------------------------

    def attach(self, receiver: Receiver) -> None:
        """
        A receiving request or a WebSocket came.
        """
        if self.state is _CLOSING:
            self.flush()  # a close of this very turn unlinks the receiver that is attached
        if self.state is _CLOSED:
            self._bid(receiver, self._closing)
        elif self._receiver is not None:
            self._keeper.stats.refused[RefusalCause.RECEIVER] += 1
            self._bid(receiver, ANOTHER_RECEIVER)
        else:
            self._receiver = receiver
            self._gone = None
            self._keeper.disconnects.cancel(self)
            if self._framing.heartbeat is not None:
                self._keeper.heartbeats.start(self)
            if self.state is _NEW:
                self._open()
            self.flush()

    def receiverLost(self, receiver: Receiver, reason: Exception, cause: Cause = Cause.BROKEN) -> None:
        """
        The connection of C{receiver} is gone, and the receiver had not ended by itself.

        @param reason: what it means for the session if it was still attached.

        @param cause: the same for whoever counts.
        """
        if receiver is not self._receiver:
            return
        self._receiver = None
        if self.state is _CLOSED:
            self._keeper.turns.add(self)
        else:
            self._end(INTERRUPTED, reason, cause)

    def receiverBlocked(self, receiver: Receiver) -> None:
        """
        The connection of C{receiver} is full.
        """
        if receiver is self._receiver:
            self.blocked = True
            self._unsent = 0
            self._keeper.stalls.start(self)
            self._keeper.turns.add(self)  # by then all is written that is being written now
            self._regulate()

    def receiverReady(self, receiver: Receiver) -> None:
        """
        The connection of C{receiver} takes data again.
        """
        if receiver is self._receiver:
            self.blocked = False
            self._keeper.stalls.cancel(self)
            self.flush()

    def received(self, messages: list[str], size: int = 0) -> Deferred[bool] | None:
        """
        Messages came from the client.

        @param size: the number of bytes that they came in; 0 for messages that are not the client's own.

        @return: L{None} when the application has taken them. Otherwise a L{Deferred}, since it has paused its intake:
            it fires with L{True} when the application has taken them, and with L{False} when they are dropped, or
            some of them. What comes for a session that is closing has no taker any more and is dropped at once.

        @raise MessageTooLarge: when one of them is, or there are too many; the session is closing.
        """
        if not messages:
            return None
        keeper = self._keeper
        isOpen = self.state is _OPEN
        if isOpen and (size > keeper.maxMessageSize or len(messages) > keeper.maxQueuedMessages):
            self._checkSize(messages, size)
        # Also those that are dropped, or it would matter whether they came together with what made us close.
        stats = keeper.stats
        stats.messagesIn += len(messages)
        stats.bytesIn += size
        if not isOpen:
            return succeed(False)
        if self._inbox or self._entered or not self._reading:
            return self._keep(messages, size)
        rest = self._deliverNow(messages)
        taken = None
        if rest:
            taken = self._keep(rest, size) if self.state is _OPEN else succeed(False)
        if self._flushing:
            keeper.turns.add(self)
        else:
            self.flush()
        return taken

    # -- what the application does --------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """
        Queue one message. Without effect once the session is closing.
        """
        if self.state is _OPEN:
            self._enqueue(self._framing.encode(text))

    def sendShared(self, message: SharedMessage) -> None:
        """
        Queue one message that goes to other sessions as well. Without effect once the session is closing.
        """
        if self.state is _OPEN:
            self._enqueue(message.encoded(self._framing))

    def close(self, code: int, reason: str) -> None:
        """
        Close in an orderly way, as soon as no producer is registered. Without effect once the session is closing.
        """
        if self.state is not _OPEN or self._closeAsked:
            return
        self._closeAsked = True
        self._closing = (code, reason)
        if self._producer is None:
            self._startClosing()

    def shutdown(self, code: int, reason: str) -> None:
        """
        Close in an orderly way, since the service stops; a producer of the application is stopped. Without effect once
        the session is closing.
        """
        if self.state is not _OPEN:
            return
        if not self._closeAsked:
            self._closeAsked = True
            self._closing = (code, reason)
            self._cause = Cause.STOPPED
        producer, self._producer = self._producer, None
        if producer is not None:
            self._call(producer.stopProducing)
        if self.state is _OPEN:
            self._startClosing()

    def abort(self, cause: Cause = Cause.ABORTED) -> None:
        """
        Break the connection and forget what is queued.
        """
        if self.state is _CLOSED and self._receiver is None:
            return
        self._cut(INTERRUPTED, ConnectionAborted(), cause)

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer.registerProducer}. The producer belongs to the session and lives
        through any number of receivers.

        @raise RuntimeError: when one is registered already.
        """
        if self._producer is not None:
            raise RuntimeError(
                f"can't register {producer!r}: {self._producer!r} is registered and was never unregistered"
            )
        if self.state is not _OPEN:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self.producerPaused = False
        self._keeper.turns.add(self)

    def unregisterProducer(self) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer.unregisterProducer}.
        """
        self._producer = None
        if self.state is _OPEN and self._closeAsked:
            self._startClosing()

    def pauseReading(self) -> None:
        """
        Deliver no more messages to the application for now. Without effect once the session is closing.
        """
        if self.state is not _OPEN:
            return
        self._reading = False
        if self._receiver is not None:
            self._receiver.pauseReading()

    def resumeReading(self) -> None:
        """
        Deliver messages again, from the next turn on.
        """
        self._reading = True
        if self._receiver is not None:
            self._receiver.resumeReading()
        if self._inbox:
            self._keeper.turns.add(self)

    @property
    def queuedMessages(self) -> int:
        """
        How many messages wait for the client, as far as they are not frames yet.
        """
        return len(self._queue)

    @property
    def isClosing(self) -> bool:
        """
        Whether the session is over, or will be as soon as all is sent.
        """
        return self._closeAsked or self.state in (_CLOSING, _CLOSED)

    # -- what time does -------------------------------------------------------------------------------------------

    def heartbeatDue(self) -> None:
        """
        Nothing was sent for the heartbeat delay.
        """
        if self.blocked:
            # What is blocked is not silent: as soon as it is drained, frames follow.
            self._keeper.heartbeats.start(self)
            return
        assert self._framing.heartbeat is not None
        self._emit(self._framing.heartbeat)

    def disconnectDue(self) -> None:
        """
        Nobody came for the disconnect delay. A client that still takes what the last receiver has left has time again.
        """
        unsent = 0 if self._gone is None else self._gone.unsent()
        if unsent and (not self._unsent or unsent < self._unsent):
            self._unsent = unsent
            self._keeper.disconnects.start(self)
            return
        if self.state is _CLOSING and not self._queue:
            self._end(self._closing, SessionDone(*self._closing), self._cause or Cause.ABSENT)
        else:
            self._end(INTERRUPTED, SessionLost(1002, "The client did not come back"), Cause.ABSENT)

    def stallDue(self) -> None:
        """
        The receiver has been blocked for the write timeout. One that has taken data meanwhile has time again.
        """
        receiver = self._receiver
        unsent = 0 if receiver is None else receiver.unsent()
        if unsent < self._unsent:
            self._unsent = unsent
            self._keeper.stalls.start(self)
            return
        self._cut(INTERRUPTED, SessionLost(1002, "The client does not read"), Cause.STALLED)

    def turn(self) -> None:
        """
        The turn of the reactor in which something was asked for is over.
        """
        if self._inbox:
            self._deliver()
        self.flush()
        if self.blocked and not self._unsent and self._receiver is not None:
            self._unsent = self._receiver.unsent()
        if self.state is _CLOSED and self._receiver is None and self._application is not None:
            self._tell()

    # -- how it is done -------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """
        Send what is queued, if there is a receiver that takes it, and say the close frame if it is its turn.
        """
        if self._flushing:
            return
        if self._queue:
            self._drain()
        if self._producer is not None:
            self._regulate()
        if self.state is _CLOSING and not self._queue and self._receiver is not None and not self.blocked:
            self._sayClose(self._receiver)

    def _drain(self) -> None:
        """
        Send what is queued, as far as a receiver takes it.
        """
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._queue and self._receiver is not None and not self.blocked:
                written = self.queuedBytes
                if written <= HIGH_WATER:
                    queue, self._queue, self.queuedBytes = self._queue, [], 0
                else:
                    queue = self._takeSome()
                    written -= self.queuedBytes
                self._under = written
                frames = self._framing.frames(queue)
                if len(frames) == 1:
                    self._emit(frames[0])
                    continue
                for position, frame in enumerate(frames):
                    if self._receiver is None or self.blocked:
                        self._putBack(frames[position:])
                        break
                    self._emit(frame)
        finally:
            self._flushing = False

    def _takeSome(self) -> list[bytes]:
        """
        Take about as much from the queue as a connection takes before it is full, so that no more than that is ever
        held by one that is.
        """
        size = count = 0
        while size <= HIGH_WATER:
            size += len(self._queue[count])
            count += 1
        taken = self._queue[:count]
        del self._queue[:count]
        self.queuedBytes -= size
        return taken

    def _enqueue(self, message: bytes) -> None:
        size = len(message)
        queue = self._queue
        keeper = self._keeper
        if not queue and not self._delivering:
            keeper.turns.add(self)
        queue.append(message)
        self.queuedBytes = queued = self.queuedBytes + size
        stats = keeper.stats
        stats.messagesOut += 1
        stats.bytesOut += size
        if self.blocked:
            queued += self._under
        if queued > keeper.maxQueuedBytes or len(queue) > keeper.maxQueuedMessages:
            self._relieve()
        elif queued > HIGH_WATER:
            self._regulate()

    def _relieve(self) -> None:
        """
        More is queued than may be: send it now, or be lost.
        """
        # Whoever writes now is not to get messages before it is done.
        outer, self._entered = self._entered, True
        self._drain()
        self._entered = outer
        if self._isOverfull:
            self._cut(OVERFLOW, SessionLost(*OVERFLOW), Cause.OVERFLOW)

    @property
    def _isOverfull(self) -> bool:
        keeper = self._keeper
        queued = self.queuedBytes + (self._under if self.blocked else 0)
        return queued > keeper.maxQueuedBytes or len(self._queue) > keeper.maxQueuedMessages

    def _putBack(self, frames: list[bytes]) -> None:
        """
        Wait with frames that the receiver did not take. Where the queue has become several frames, each is one message.
        """
        if self.state is not _CLOSED:
            self._queue[:0] = frames
            self.queuedBytes += sum(map(len, frames))

    def _open(self) -> None:
        assert self._application is not None
        self.state = _OPEN
        accepted = self._call(self._application.accept)
        if not accepted:
            if self.state is _OPEN:
                self._closing = GO_AWAY
                self._cause = Cause.REFUSED
                self._startClosing()
            return
        self._connected = True
        self._keeper.stats.opened[self.transportName] += 1
        if self._framing.opening is not None:
            self._emit(self._framing.opening)
        self._reading = True
        self._call(self._application.opened)
        if self._inbox:
            self._keeper.turns.add(self)  # a request was waiting behind the one that got the opening

    def _deliverNow(self, messages: list[str]) -> list[str]:
        """
        Give messages that have just come to the application.

        @return: those that it has not taken.
        """
        assert self._application is not None
        deliver = self._application.received
        self._entered = self._delivering = True
        try:
            for position, message in enumerate(messages, 1):
                deliver(message)
                if not self._reading or self.state is not _OPEN:
                    return messages[position:]
        except BaseException:  # the reactor logs any, and goes on
            self._failed()
        finally:
            self._entered = self._delivering = False
        return []

    def _keep(self, messages: list[str], size: int) -> Deferred[bool]:
        """
        Wait with messages until the application takes them.
        """
        taken: Deferred[bool] = Deferred()
        self._inbox.extend((message, 0, None) for message in messages[:-1])
        self._inbox.append((messages[-1], size, taken))
        self.backlog += size
        if self._reading:
            self._keeper.turns.add(self)
        return taken

    def _deliver(self) -> None:
        """
        Give messages to the application, until it pauses its intake. Once it takes no more, drop the rest.
        """
        while self._inbox and (self._reading or self.state is not _OPEN):
            message, size, taken = self._inbox.popleft()
            self.backlog -= size
            isTaken = self.state is _OPEN
            if isTaken:
                assert self._application is not None
                self._call(self._application.received, message)
            if taken is not None:
                taken.callback(isTaken)

    def _emit(self, frame: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            return  # it broke while the application was asked
        if self._framing.heartbeat is not None:
            self._keeper.heartbeats.start(self)
        if not receiver.send(frame) and receiver is self._receiver:
            self._detach()
            self._gone = receiver
            self._unsent = 0
            self._keeper.disconnects.start(self)
            receiver.close(*FULL)  # last: the client's next request may be waiting behind this response

    def _detach(self) -> None:
        self._receiver = None
        self.blocked = False
        self._keeper.heartbeats.cancel(self)
        self._keeper.stalls.cancel(self)

    def _bid(self, receiver: Receiver, closing: tuple[int, str]) -> None:
        frame = self._framing.close(*closing)
        if frame is not None:
            receiver.send(frame)
        receiver.close(*closing)

    def _checkSize(self, messages: list[str], size: int) -> None:
        """
        @raise MessageTooLarge: when a message is, or there are too many; the session is closing.
        """
        keeper = self._keeper
        # No message is larger than what it came in.
        if size > keeper.maxMessageSize and any(_isLarger(message, keeper.maxMessageSize) for message in messages):
            keeper.stats.refused[RefusalCause.MESSAGE] += 1
            raise self._refused(TOO_LARGE, MessageTooLarge(f"The message is larger than {keeper.maxMessageSize} bytes"))
        if len(messages) > keeper.maxQueuedMessages:
            keeper.stats.refused[RefusalCause.MESSAGES] += 1
            raise self._refused(TOO_MANY, MessageTooLarge(f"There are more than {keeper.maxQueuedMessages} messages"))

    def _refused(self, closing: tuple[int, str], error: MessageTooLarge) -> MessageTooLarge:
        """
        Close, since the client has sent more than it may.

        @return: C{error}, to be raised.
        """
        self._condemn(closing, Failure(SessionLost(*closing)), Cause.TOO_LARGE)
        self.flush()
        return error

    def _condemn(self, closing: tuple[int, str], verdict: Failure, cause: Cause) -> None:
        """
        Close in an orderly way, whatever the application wants.
        """
        self._closing = closing
        self._verdict = verdict
        self._cause = cause
        self._startClosing()

    def _startClosing(self) -> None:
        self.state = _CLOSING
        self._cause = self._cause or Cause.APPLICATION
        self._keeper.turns.add(self)
        if not self._reading:
            self.resumeReading()

    def _sayClose(self, receiver: Receiver) -> None:
        # CLOSED before anything is sent: whoever comes next gets the close frame, not 2010.
        if not receiver.persistent:
            self._detach()
        self._end(self._closing, SessionDone(*self._closing), Cause.APPLICATION)
        self._bid(receiver, self._closing)

    def _cut(self, closing: tuple[int, str], outcome: Exception, cause: Cause) -> None:
        """
        Be CLOSED without another word to the receiver, if there is one.
        """
        receiver, self._receiver = self._receiver, None
        if self.state is _CLOSED:
            self._keeper.turns.add(self)
        else:
            self._end(closing, outcome, cause)
        if receiver is not None:
            receiver.abort()

    def _end(self, closing: tuple[int, str], outcome: Exception, cause: Cause) -> None:
        """
        Be CLOSED; the application is told in a turn of its own, when no receiver is left.
        """
        self.state = _CLOSED
        self._closing = closing
        self._outcome = self._verdict or Failure(outcome)
        self._cause = self._cause or cause
        self._gone = None
        self._queue.clear()
        self.queuedBytes = 0
        self._quiet()
        self._keeper.turns.add(self)

    def _quiet(self) -> None:
        self._keeper.heartbeats.cancel(self)
        self._keeper.disconnects.cancel(self)
        self._keeper.stalls.cancel(self)

    def _tell(self) -> None:
        assert self._application is not None and self._outcome is not None and self._cause is not None
        # A session that is over may be remembered for a while; what belongs to the application is let go at once.
        application, self._application = self._application, None
        producer, self._producer = self._producer, None
        outcome, self._outcome, self._verdict = self._outcome, None, None
        if producer is not None:
            self._call(producer.stopProducing)
        if self._connected:
            self._call(application.lost, outcome, self._cause)
        self._keeper.ended(self, self._cause)

    def _regulate(self) -> None:
        """
        Pause or resume the application's producer, by what is queued and whether the receiver takes data.
        """
        producer = self._producer
        if producer is None or self.state is not _OPEN:
            return
        if not self._streaming:
            # A pull producer gives once each time it is asked: at the end of a turn, never from within itself.
            if not self._queue and not self.blocked and not self._flushing:
                self._call(producer.resumeProducing)
        elif self.producerPaused:
            if self.queuedBytes < LOW_WATER and not self.blocked:
                self.producerPaused = False
                self._call(producer.resumeProducing)
        elif self.queuedBytes > HIGH_WATER or self.blocked:
            self.producerPaused = True
            self._keeper.stats.pauses += 1
            self._call(producer.pauseProducing)

    def _call(self, function: Callable[..., Any], *args: object) -> Any:
        """
        Call the application.

        @return: what it returned, or L{None} when it failed, which closes the session.
        """
        outer, self._entered = self._entered, True
        try:
            return function(*args)
        except BaseException:  # the reactor logs any, and goes on
            self._failed()
            return None
        finally:
            self._entered = outer

    def _failed(self) -> None:
        """
        The application has raised the present exception.
        """
        failure = Failure()
        _log.failure("the application failed; its session is closed", failure)
        if self.state is _OPEN:
            self._condemn(INTERNAL_ERROR, failure, Cause.FAILED)


def _isLarger(message: str, limit: int) -> bool:
    # A character has 4 bytes at most.
    return len(message) * 4 > limit and len(message.encode("utf-8", "surrogatepass")) > limit
