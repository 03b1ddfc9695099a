# -*- test-case-name: tests.test_registry -*-
"""
The sessions of one service: looking them up, their limits, their timers in bulk, remembering those that are over, and
seeing them off when the service stops.
"""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txsockjs.codec import Framing
from txsockjs.options import Options
from txsockjs.policy import networkOf
from txsockjs.session import Session, State
from txsockjs.stats import Cause, Gauges, Stats
from txsockjs.timers import Deadlines, Turns, attempt

__all__ = ["Registry"]

_PARTING = 1.0
"""Seconds that the close frame has to arrive before whoever sends something is told that there is no such session."""


class Registry:
    """
    The one registry of a service. It is the L{txsockjs.session.Keeper} of its sessions.

    @ivar heartbeats: sessions with a receiver, by when they get a heartbeat.
    @ivar disconnects: sessions without a receiver, by when they are lost.
    @ivar stalls: sessions whose receiver is blocked, by when they are lost.
    @ivar maxQueuedBytes: how much may wait in one session.
    @ivar maxQueuedMessages: how many messages may.
    @ivar maxMessageSize: the size that a message of a client may have.
    @ivar stats: what the service counts.
    @ivar isDraining: whether the service stops, and takes no new sessions.
    @ivar turns: sessions that have something to do at the end of this turn of the reactor.
    """

    def __init__(self, options: Options, clock: IReactorTime) -> None:
        self._clock = clock
        self.heartbeats: Deadlines[Session] = Deadlines(clock, options.heartbeat_delay, Session.heartbeatDue)
        self.disconnects: Deadlines[Session] = Deadlines(clock, options.disconnect_delay, Session.disconnectDue)
        self.stalls: Deadlines[Session] = Deadlines(clock, options.write_timeout, Session.stallDue)
        self.maxQueuedBytes = options.max_queued_bytes
        self.maxQueuedMessages = options.max_queued_messages
        self.maxMessageSize = options.max_message_size
        self.stats = Stats()
        self.isDraining = False
        self.turns: Turns[Session] = Turns(clock, Session.turn)
        self._named: dict[str, Session] = {}
        self._names: dict[Session, str] = {}
        self._waiting: dict[Session, list[Deferred[None]]] = {}
        self._live: set[Session] = set()
        self._most = options.max_sessions
        self._mostOfOne = options.max_sessions_per_host
        self._networks: Counter[str] = Counter()
        self._drain: tuple[int, str] = (options.drain_code, options.drain_reason)
        self._drained: list[Deferred[None]] = []
        self._patience: IDelayedCall | None = None
        # A session that is over is remembered, so that late requests get its close frame and never a fresh session.
        self._over: Deadlines[Session] = Deadlines(clock, options.disconnect_delay, self._forget)
        self._partings: Deadlines[Session] = Deadlines(clock, _PARTING, self._part)

    def __len__(self) -> int:
        """
        @return: how many sessions are not over.
        """
        return len(self._live)

    @property
    def isFull(self) -> bool:
        """
        Whether there are as many sessions as there may be. Those that are over do not count.
        """
        return 0 < self._most <= len(self._live)

    def hasEnoughOf(self, host: str) -> bool:
        """
        @param host: the address of a client.

        @return: whether there are as many sessions of its network as there may be. What has no address, such as a unix
            socket, is not counted.
        """
        return self._mostOfOne > 0 and host != "" and self._networks[networkOf(host)] >= self._mostOfOne

    def gauges(self) -> Gauges:
        """
        @return: how things stand. This looks at every session.
        """
        sessions: dict[tuple[str, State], int] = {}
        queuedBytes = queuedMessages = paused = blocked = 0
        # One pass: there may be tens of thousands, and whoever watches asks every second.
        for session in self._live:
            key = session.transportName, session.state
            sessions[key] = sessions.get(key, 0) + 1
            queuedBytes += session.queuedBytes
            queuedMessages += session.queuedMessages
            paused += session.producerPaused
            blocked += session.blocked
        named = Counter({(name, state.value): number for (name, state), number in sessions.items()})
        return Gauges(named, queuedBytes, queuedMessages, paused, blocked)

    def find(self, name: str) -> Session | None:
        """
        @param name: the session id of a URL.

        @return: the session of that id, which may be over but not yet forgotten.
        """
        return self._named.get(name)

    def whenParted(self, session: Session) -> Deferred[None]:
        """
        @param session: one that is over, or is about to be.

        @return: fires when its client has had the time to hear of the end by its receiver.
        """
        if session not in self._names:
            return succeed(None)
        waiting = self._waiting.setdefault(session, [])
        if not waiting and session not in self._live:
            self._partings.start(session)
        parted: Deferred[None] = Deferred()
        waiting.append(parted)
        return parted

    def create(self, framing: Framing, name: str | None = None, transportName: str = "", host: str = "") -> Session:
        """
        @param framing: how its messages become frames.

        @param transportName: the transport that it came by.

        @param host: the address of its client.

        @param name: the session id of its URL; L{None} for one that lives with its WebSocket and can't be looked up.

        @return: a new session. The caller binds its application and attaches its first receiver at once.
        """
        session = Session(self, framing, transportName, host)
        self._live.add(session)
        if self._mostOfOne and host:
            self._networks[networkOf(host)] += 1
        self.disconnects.start(session)  # until its receiver is attached, so that nothing can leave it behind
        if name is not None:
            self._named[name] = session
            self._names[session] = name
        return session

    def ended(self, session: Session, cause: Cause) -> None:
        """
        See L{txsockjs.session.Keeper.ended}.
        """
        self._live.discard(session)
        self.stats.closed[cause] += 1
        if self._mostOfOne and session.host:
            self._leave(networkOf(session.host))
        if session in self._names:
            self._over.start(session)
        if session in self._waiting:
            self._partings.start(session)
        if self._drained and not self._live:
            self._finishDraining()

    def drain(self, timeout: float) -> Deferred[None]:
        """
        See every session off: what is queued for it and a close frame are left for its client to take. No session is
        to be created any more.

        @param timeout: the number of seconds after which those that are left are cut.

        @return: fires when no session is left.
        """
        self.isDraining = True
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self._clock.callLater(timeout, self._losePatience)
        for session in list(self._live):
            attempt(self._shutDown, session)
        if not self._live:
            self._finishDraining()
        return done

    def stop(self) -> None:
        """
        Close every session now, with the close frame for those that have a receiver, and forget all of them. No session
        is to be created any more.
        """
        self.isDraining = True
        for session in list(self._live):
            attempt(self._closeNow, session)
        self.turns.finish()
        self._finishDraining()

    def _shutDown(self, session: Session) -> None:
        session.shutdown(*self._drain)
        session.flush()

    def _closeNow(self, session: Session) -> None:
        try:
            session.shutdown(*self._drain)
            session.turn()
        finally:  # a receiver can fail
            if session.state is not State.CLOSED:
                session.abort(Cause.STOPPED)
                session.turn()

    def _losePatience(self) -> None:
        self._patience = None
        for session in list(self._live):
            attempt(self._cut, session)
        self.stop()

    def _cut(self, session: Session) -> None:
        session.abort(Cause.STOPPED)

    def _finishDraining(self) -> None:
        """
        Forget those that are over, and tell those who wait that no session is left.
        """
        for session in list(self._names):
            self._over.cancel(session)
            self._forget(session)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        drained, self._drained = self._drained, []
        for done in drained:
            done.callback(None)

    def _leave(self, network: str) -> None:
        self._networks[network] -= 1
        if not self._networks[network]:
            del self._networks[network]

    def _forget(self, session: Session) -> None:
        del self._named[self._names.pop(session)]
        self._partings.cancel(session)
        self._part(session)

    def _part(self, session: Session) -> None:
        for parted in self._waiting.pop(session, ()):
            parted.callback(None)
