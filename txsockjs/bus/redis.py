# -*- test-case-name: tests.test_bus_redis,tests.many.check_redis -*-
"""
A bus on the publish and subscribe of a Redis server.

How messages get through:

  1. Everything that is published goes to the server, also what members in this process get. So all processes get the
     messages of a channel in the one order in which the server has taken them.
  2. What is published in a turn of the reactor leaves together, the messages of one channel in one piece.
  3. A channel is subscribed to while it has members here, and a little longer. As long as the server has not said that
     it is, what this process publishes on it waits.
  4. The pieces of a process are numbered as they leave. Those of which the server has not said that it has them, when
     the connection breaks, are sent again, with their numbers, before any other; whoever has had one drops it.
  5. What a process missed while the connection was broken on which messages come in, or while the server refused a
     channel, is gone; and so is what it published while its buffer was full. It is told of that as a L{Gap}, when
     everything works again.
"""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import txredisapi
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.bus.envelopes import Seen, part, unpack
from txsockjs.bus.interfaces import LAG_BOUNDS, BusFacts, BusStats, Gap, GapReport, IBus, Receive
from txsockjs.bus.outgoing import Outgoing, Piece
from txsockjs.bus.places import RedisPlace
from txsockjs.bus.wires import Publisher, Subscriber, Wire
from txsockjs.timers import Deadlines, chooseClock

__all__ = [
    "CONNECT_TIMEOUT",
    "FLUSH_TIMEOUT",
    "LINGER",
    "LOST_DELAY",
    "MAX_ASKED",
    "MAX_LOST_CHANNELS",
    "REFUSED_DELAY",
    "RedisBus",
]

CONNECT_TIMEOUT = 10.0
"""Seconds in which a connection has to be made."""

FLUSH_TIMEOUT = 5.0
"""Seconds in which what waits has to be sent when the bus stops."""

REFUSED_DELAY = 10.0
"""Seconds after which the server is asked again for a channel that it has refused."""

LINGER = 5.0
"""Seconds for which a channel without members stays subscribed to, since somebody may join it again."""

LOST_DELAY = 5.0
"""Seconds after which what is lost is told, though there is always more on its way."""

MAX_ASKED = 1000
"""How many channels the server is asked for at a time, and how many are given back. Each is a command, a process may
have very many, and while they are written all else has to wait."""

MAX_LOST_CHANNELS = 10_000
"""Channels from which on what is lost is told, though the server is still away: each name has to be kept until then."""

_log = Logger()


@implementer(IBus)
class RedisBus:
    """
    See above.
    """

    _receive: Receive
    _report: GapReport

    def __init__(self, place: RedisPlace, connect: Callable[[], IStreamClientEndpoint], clock: IReactorTime) -> None:
        """
        @param place: where the server is.

        @param connect: makes an endpoint that leads there.

        @param clock: where time comes from.
        """
        self.stats = BusStats()
        self._place = place
        self._prefix = place.channelPrefix
        self._clock = clock
        self._origin = secrets.token_hex(8)
        self._seen = Seen()
        self._outgoing = Outgoing(self._origin, place.maxMessages, place.maxBytes)
        credentials = (place.user, place.password)
        self._publisher = Wire(
            f"{place} (out)",
            connect(),
            Publisher,
            clock,
            credentials,
            ready=self._publisherReady,
            lost=self._publisherLost,
            failed=self._failed,
        )
        self._subscriber = Wire(
            f"{place} (in)",
            connect(),
            Subscriber,
            clock,
            credentials,
            ready=self._subscriberReady,
            lost=self._subscriberLost,
            failed=self._subscriberFailed,
            received=self._received,
        )
        self._wanted: set[str] = set()  # the channels that have members
        self._asked: dict[str, None] = {}  # those that the server is to be asked for
        self._asking: set[str] = set()  # those that it was asked for, and has not answered
        self._confirmed: set[str] = set()  # those that it has confirmed
        self._refused: Deadlines[str] = Deadlines(clock, REFUSED_DELAY, self._askAgain)  # those that it has refused
        self._refusedSince: dict[str, float] = {}  # the same, and those of them that it is asked for again
        self._lingering: Deadlines[str] = Deadlines(clock, LINGER, self._leave)
        self._leaving: dict[str, None] = {}  # those confirmed that are to be given back
        self._givenBack = 0  # how many were, and the server has not answered
        self._again = False  # whether what was on its way has to be sent again before anything else
        self._call: IDelayedCall | None = None
        self._echoes: deque[tuple[int, float]] = deque()  # pieces that will come back: number, when published
        self._awaySince: float | None = None  # since when messages may have been missed
        self._restored: set[str] = set()  # the channels that were subscribed to again
        self._restoring: set[str] = set()  # those of them that are not confirmed yet
        self._lost: Counter[str] = Counter()  # what the buffer did not take, by channel
        self._lostSince = 0.0
        self._troubled = False  # whether the log knows that something is wrong
        self._starting: IDelayedCall | None = None
        self._startedAt = 0.0
        self._stopped: Deferred[None] | None = None  # once it is asked to stop: fires when all is sent
        self._closed = False
        self._ended = False
        self._waiters: list[Deferred[None]] = []  # those that have asked it to stop: fire when it has ended

    def __repr__(self) -> str:
        return f"<RedisBus {self._place}>"

    @classmethod
    def at(cls, place: RedisPlace, reactor: Any = None) -> RedisBus:
        """
        @param place: where the server is.

        @param reactor: where time and connections come from; L{None} stands for the global one.

        @raise ValueError: when TLS is asked for, and can't be had.
        """
        reactor = chooseClock(reactor)
        connect = _connector(place, reactor)
        return cls(place, connect, reactor)

    # -- IBus -----------------------------------------------------------------------------------------------------

    def start(self, receive: Receive, gap: GapReport, before: IBus | None) -> None:
        """
        See L{IBus.start}. Connections are made when the reactor runs, so that a C{twistd} that becomes a daemon has
        done so by then.
        """
        self._receive = receive
        self._report = gap
        if isinstance(before, RedisBus):
            self._seen = before._seen  # others may send again what that has had
        if self._wanted:
            self._away(self._clock.seconds())
        self._starting = self._clock.callLater(0, self._connect)

    def subscribe(self, channel: str) -> None:
        """
        See L{IBus.subscribe}.
        """
        if self._closed:
            return
        self._wanted.add(channel)
        self._lingering.cancel(channel)
        self._leaving.pop(channel, None)
        if channel not in self._confirmed and channel not in self._asking:
            self._asked[channel] = None
            self._soon()

    def unsubscribe(self, channel: str) -> None:
        """
        See L{IBus.unsubscribe}.
        """
        self._wanted.discard(channel)
        if self._closed:
            return
        self._refusedSince.pop(channel, None)
        if channel in self._confirmed:
            self._lingering.start(channel)
        else:
            if channel in self._asked:
                del self._asked[channel]
                self._restoring.discard(channel)
            self._refused.cancel(channel)
            self._soon()  # what waited for it may go

    def publish(self, channel: str, message: bytes | str, mark: int) -> None:
        """
        See L{IBus.publish}.
        """
        data = part(message)
        if len(data) > self._place.maxBytes:
            raise ValueError(
                f"a message of {len(data)} bytes is larger than max_bytes of the bus, which is {self._place.maxBytes}"
            )
        if self._closed:
            # Nobody is told of a gap any more, so the names need not be kept.
            self.stats.lost += 1
            _log.debug("a message on {channel!r} is lost, since the bus has ended", channel=channel)
            return
        now = self._clock.seconds()
        if not self._outgoing.put(channel, isinstance(message, bytes), data, mark, now):
            self._lose({channel: 1})
            return
        self._soon()

    def stop(self) -> Deferred[None]:
        """
        See L{IBus.stop}. It takes L{FLUSH_TIMEOUT} and L{txsockjs.bus.wires.STOP_TIMEOUT} at most.
        """
        ended: Deferred[None] = Deferred()
        self._waiters.append(ended)
        if self._stopped is None:
            self._stopped = Deferred()
            deadline = self._clock.callLater(FLUSH_TIMEOUT, self._stopped.callback, None)
            self._stopped.addCallback(self._flushed, deadline)
            self._endIfDone()
        elif not self._stopped.called:
            self._stopped.callback(None)
        elif self._ended:
            self._tellEnd()
        return ended

    def facts(self) -> BusFacts:
        """
        See L{IBus.facts}.
        """
        outgoing = self._outgoing
        return BusFacts(str(self._place), self._isConnected, outgoing.messages, outgoing.size, len(self._confirmed))

    # -- connections ----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._startedAt = self._clock.seconds()
        self._subscriber.start()
        self._publisher.start()

    @property
    def _isConnected(self) -> bool:
        return self._subscriber.protocol is not None and self._publisher.protocol is not None

    def _flushed(self, result: None, deadline: IDelayedCall) -> None:
        if deadline.active():
            deadline.cancel()
        self._disconnect().addBoth(lambda _: self._tellEnd())

    def _tellEnd(self) -> None:
        self._ended = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _disconnect(self) -> Deferred[Any]:
        self._closed = True
        for call in (self._starting, self._call):
            if call is not None and call.active():
                call.cancel()
        self._forgetAnswers()
        left = self._outgoing.clear()
        if left:
            self._lose(left)
        self._reportLost()
        return DeferredList([self._publisher.stop(), self._subscriber.stop()])

    def _ready(self) -> None:
        self.stats.connects += 1
        if self._isConnected:
            _log.info("the bus at {place} is there", place=str(self._place))
            self._troubled = False

    def _failed(self, why: str) -> None:
        self.stats.failures += 1
        self._trouble("can't be reached", why)

    def _trouble(self, what: str, why: str) -> None:
        """
        Tell the log, once until all is well again.
        """
        if self._troubled:
            return
        self._troubled = True
        _log.warn(
            "the bus at {place} {what}: {why}; up to {count} messages wait for it",
            place=str(self._place),
            what=what,
            why=why,
            count=self._place.maxMessages,
        )

    # -- out ------------------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        """
        Do what is to be done at the end of this turn.
        """
        if self._call is None and self._starting is not None and not self._closed:
            self._call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._call = None
        if len(self._lost) >= MAX_LOST_CHANNELS:
            self._tellLost()
        if self._subscriber.protocol is not None:
            self._giveBack()
            for channel in list(islice(self._asked, max(0, MAX_ASKED - len(self._asking)))):
                del self._asked[channel]
                self._ask(channel)
        self._whole()
        self._flush()

    def _isHeld(self, channel: str) -> bool:
        return channel in self._wanted and channel not in self._confirmed and channel not in self._refused

    def _flush(self) -> None:
        """
        Send what may go.
        """
        if self._publisher.protocol is None:
            return
        if self._again:
            flight = self._outgoing.flight
            # In the order of their numbers, or what is held now would be taken for a duplicate later.
            if any(self._isHeld(piece.channel) for piece in flight):
                return
            self._again = False
            self._echoes = deque(echo for echo in self._echoes if echo[0] < flight[0].number)
            for piece in flight:
                self._send(piece)
        for piece in self._outgoing.take(self._isHeld):
            self._send(piece)

    def _send(self, piece: Piece) -> None:
        if piece.channel in self._confirmed:
            self._echoes.append((piece.number, piece.since))
        sent = self._publisher.protocol.publish(self._nameOf(piece.channel), piece.packed)
        sent.addCallbacks(self._landed, self._notSent)

    def _landed(self, receivers: object) -> None:
        """
        The server has the first of the pieces that are on their way.
        """
        if self._closed:
            return  # given up
        piece = self._outgoing.landed()
        self.stats.messagesOut += len(piece.parts)
        self.stats.bytesOut += piece.size
        self.stats.batchesOut += 1
        if piece.channel not in self._confirmed:
            self._lagged(piece.since)
        self._afterwards()

    def _notSent(self, failure: Failure) -> None:
        if self._closed or failure.check(txredisapi.ConnectionError) is not None:
            return  # given up, or to be sent again
        piece = self._outgoing.landed()
        self._echoes = deque(echo for echo in self._echoes if echo[0] != piece.number)
        _log.error(
            "the bus does not take what is published on {channel!r}: {why}",
            channel=piece.channel,
            why=failure.getErrorMessage(),
        )
        self._lose({piece.channel: len(piece.parts)})
        self._afterwards()

    def _afterwards(self) -> None:
        if self._outgoing.isEmpty or self._clock.seconds() - self._lostSince >= LOST_DELAY:
            self._reportLost()
        # Only now, since the application may have published something about it.
        if not self._outgoing.isEmpty:
            self._soon()
        self._endIfDone()

    def _endIfDone(self) -> None:
        """
        End, if that is asked for and all is sent, and has come back to members in this process.
        """
        if self._stopped is None or self._stopped.called or self._echoes or not self._outgoing.isEmpty:
            return
        self._stopped.callback(None)

    def _publisherReady(self) -> None:
        self._again = bool(self._outgoing.flight)
        self._ready()
        self._soon()

    def _publisherLost(self, why: str) -> None:
        self.stats.disconnects += 1
        self._trouble("is away", why)

    def _lagged(self, since: float) -> None:
        stats = self.stats
        lag = stats.lastLag = max(0.0, self._clock.seconds() - since)
        stats.lagSum += lag
        stats.lagCount += 1
        for position, bound in enumerate(LAG_BOUNDS):
            if lag <= bound:
                stats.lags[position] += 1
                return
        stats.lags[-1] += 1

    # -- in -------------------------------------------------------------------------------------------------------

    def _nameOf(self, channel: str) -> bytes:
        return (self._prefix + channel).encode("utf-8")

    def _ask(self, channel: str) -> None:
        protocol = self._subscriber.protocol
        self._asking.add(channel)
        asked = protocol.subscribe([self._nameOf(channel)])
        asked.addCallbacks(self._confirm, self._notConfirmed, callbackArgs=(channel, protocol), errbackArgs=(channel,))

    def _confirm(self, answer: object, channel: str, protocol: object) -> None:
        """
        The messages of a channel come in from now on.
        """
        if protocol is not self._subscriber.protocol:
            return
        self._asking.discard(channel)
        self._confirmed.add(channel)
        if channel not in self._wanted:
            self._lingering.start(channel)
        self._restoring.discard(channel)
        since = self._refusedSince.pop(channel, None)
        if since is not None:
            self._tell({channel}, since, 0, True)
        self._whole()
        self._soon()

    def _notConfirmed(self, failure: Failure, channel: str) -> None:
        if self._closed or failure.check(txredisapi.ConnectionError) is not None:
            return
        _log.error(
            "the bus refuses the channel {channel!r}, and is asked again in {delay} seconds: {why}",
            channel=channel,
            delay=REFUSED_DELAY,
            why=failure.getErrorMessage(),
        )
        self._asking.discard(channel)
        if channel in self._wanted:
            self._refused.start(channel)
            self._refusedSince.setdefault(channel, self._clock.seconds())
        self._restoring.discard(channel)
        self._whole()
        self._soon()

    def _askAgain(self, channel: str) -> None:
        self._asked[channel] = None
        self._soon()

    def _leave(self, channel: str) -> None:
        """
        Nobody has joined a channel again.
        """
        self._leaving[channel] = None
        self._soon()

    def _giveBack(self) -> None:
        for channel in list(islice(self._leaving, max(0, MAX_ASKED - self._givenBack))):
            del self._leaving[channel]
            self._confirmed.discard(channel)
            self._givenBack += 1
            self._subscriber.protocol.unsubscribe([self._nameOf(channel)]).addBoth(self._left)

    def _left(self, result: object) -> None:
        self._givenBack -= 1
        if self._leaving:
            self._soon()

    def _subscriberReady(self) -> None:
        self._asked = dict.fromkeys(self._wanted)
        self._restored = set(self._wanted)
        self._restoring = set(self._wanted)
        self._ready()
        self._whole()
        self._soon()

    def _subscriberLost(self, why: str) -> None:
        self.stats.disconnects += 1
        self._forgetAnswers()
        # They may have been lost on the way since then.
        self._away(self._subscriber.completeUntil)
        self._trouble("is away", why)
        self._endIfDone()

    def _forgetAnswers(self) -> None:
        """
        What the server has answered does not count any more.
        """
        for channel in self._confirmed:
            self._lingering.cancel(channel)
        for channel in self._wanted:
            self._refused.cancel(channel)
        self._leaving.clear()
        self._givenBack = 0
        self._asking.clear()
        self._confirmed.clear()
        self._restoring.clear()
        self._echoes.clear()

    def _subscriberFailed(self, why: str) -> None:
        self._away(self._startedAt)
        self._failed(why)

    def _away(self, since: float) -> None:
        if self._awaySince is None:
            self._awaySince = since

    def _received(self, name: bytes, data: bytes) -> None:
        """
        A piece came.
        """
        if self._closed:
            return
        stats = self.stats
        try:
            channel = name.decode("utf-8").removeprefix(self._prefix)
            origin, number, mark, messages, size = unpack(data)
        except ValueError as error:
            stats.malformed += 1
            _log.error("something else came on the bus, on {name!r}: {error}", name=name, error=error)
            return
        isNew = self._seen.isNew(origin, number)
        if origin == self._origin:
            self._returned(number, isNew)
        if isNew:
            stats.batchesIn += 1
            stats.messagesIn += len(messages)
            stats.bytesIn += size
            self._receive(channel, messages, mark if origin == self._origin else None)
        else:
            stats.duplicates += 1
        self._endIfDone()

    def _returned(self, number: int, isNew: bool) -> None:
        """
        A piece of this process has come back.
        """
        echoes = self._echoes
        while echoes and echoes[0][0] <= number:
            itsNumber, since = echoes.popleft()
            if itsNumber == number and isNew:
                self._lagged(since)

    # -- gaps -----------------------------------------------------------------------------------------------------

    def _lose(self, lost: dict[str, int]) -> None:
        """
        Remember that messages of this process are lost.
        """
        if not self._lost:
            self._lostSince = self._clock.seconds()
            _log.error("messages are lost: the bus at {place} does not take them", place=str(self._place))
        self._lost.update(lost)
        self.stats.lost += sum(lost.values())
        if len(self._lost) >= MAX_LOST_CHANNELS:
            self._soon()

    def _whole(self) -> None:
        """
        Tell of the gap, if there was one and all channels are subscribed to again.
        """
        if self._awaySince is None or self._restoring or self._subscriber.protocol is None:
            return
        since, self._awaySince = self._awaySince, None
        missed = self._restored & self._wanted
        lost, self._lost = self._lost, Counter()
        if not missed and not lost:
            return
        self._tell(missed.union(lost), min(since, self._lostSince) if lost else since, lost.total(), bool(missed))

    def _reportLost(self) -> None:
        """
        Tell of what is lost, if that is all that was wrong.
        """
        if self._lost and (self._awaySince is None or self._closed):
            self._tellLost()

    def _tellLost(self) -> None:
        lost, self._lost = self._lost, Counter()
        self._tell(set(lost), self._lostSince, lost.total(), False)

    def _tell(self, channels: set[str], since: float, lost: int, missed: bool) -> None:
        self.stats.gaps += 1
        self._report(Gap(tuple(sorted(channels)), since, self._clock.seconds(), lost, missed))


def _connector(place: RedisPlace, reactor: Any) -> Callable[[], IStreamClientEndpoint]:
    """
    @return: makes an endpoint that leads to a server.
    """
    if place.path:
        return lambda: UNIXClientEndpoint(reactor, place.path, timeout=CONNECT_TIMEOUT)
    if not place.tls:
        return lambda: HostnameEndpoint(reactor, place.host, place.port, timeout=CONNECT_TIMEOUT)
    options = _tlsOptions(place)

    def connect() -> IStreamClientEndpoint:
        from twisted.internet.endpoints import wrapClientTLS

        return wrapClientTLS(options, HostnameEndpoint(reactor, place.host, place.port, timeout=CONNECT_TIMEOUT))

    return connect


def _tlsOptions(place: RedisPlace) -> Any:
    try:
        from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
    except ImportError as error:
        raise ValueError(f"{error}; rediss:// needs txsockjs[tls]") from None
    if not place.ca:
        return optionsForClientTLS(place.host)
    try:
        with open(place.ca, encoding="ascii") as file:
            text = file.read()
    except (OSError, UnicodeError) as error:
        raise ValueError(f"ca {place.ca} can't be read: {getattr(error, 'strerror', None) or 'it is no PEM'}") from None
    end = "-----END CERTIFICATE-----"
    certificates = [Certificate.loadPEM((one + end).encode("ascii")) for one in text.split(end)[:-1]]
    if not certificates:
        raise ValueError(f"ca {place.ca} has no certificate in PEM")
    return optionsForClientTLS(place.host, trustRoot=trustRootFromCertificates(certificates))
