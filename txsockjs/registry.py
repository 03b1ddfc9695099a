# -*- test-case-name: tests.test_registry -*-
"""
The sessions of one service: looking them up, their timers in bulk, and remembering those that are over.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from txsockjs.codec import Framing
from txsockjs.options import Options
from txsockjs.session import GO_AWAY, Session, State
from txsockjs.timers import Deadlines, Turns, attempt

__all__ = ["Registry"]


class Registry:
    """
    The one registry of a service. It is the L{txsockjs.session.Keeper} of its sessions.

    @ivar heartbeats: sessions with a receiver, by when they get a heartbeat.
    @ivar disconnects: sessions without a receiver, by when they are lost.
    @ivar stalls: sessions whose receiver is blocked, by when they are lost.
    @ivar maxQueuedBytes: how much may wait in one session.
    @ivar maxQueuedMessages: how many messages may.
    @ivar turns: sessions that have something to do at the end of this turn of the reactor.
    """

    def __init__(self, options: Options, clock: IReactorTime) -> None:
        self.heartbeats: Deadlines[Session] = Deadlines(clock, options.heartbeat_delay, Session.heartbeatDue)
        self.disconnects: Deadlines[Session] = Deadlines(clock, options.disconnect_delay, Session.disconnectDue)
        self.stalls: Deadlines[Session] = Deadlines(clock, options.write_timeout, Session.stallDue)
        self.maxQueuedBytes = options.max_queued_bytes
        self.maxQueuedMessages = options.max_queued_messages
        self.turns: Turns[Session] = Turns(clock, Session.turn)
        self._named: dict[str, Session] = {}
        self._names: dict[Session, str] = {}
        self._live: set[Session] = set()
        self._most = options.max_sessions
        # A session that is over is remembered, so that late requests get its close frame and never a fresh session.
        self._over: Deadlines[Session] = Deadlines(clock, options.disconnect_delay, self._forget)

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

    def find(self, name: str) -> Session | None:
        """
        @param name: the session id of a URL.

        @return: the session of that id, which may be over but not yet forgotten.
        """
        return self._named.get(name)

    def create(self, framing: Framing, name: str | None = None) -> Session:
        """
        @param framing: how its messages become frames.

        @param name: the session id of its URL; L{None} for one that lives with its WebSocket and can't be looked up.

        @return: a new session. The caller binds its application and attaches its first receiver at once.
        """
        session = Session(self, framing)
        self._live.add(session)
        self.disconnects.start(session)  # until its receiver is attached, so that nothing can leave it behind
        if name is not None:
            self._named[name] = session
            self._names[session] = name
        return session

    def ended(self, session: Session) -> None:
        """
        See L{txsockjs.session.Keeper.ended}.
        """
        self._live.discard(session)
        if session in self._names:
            self._over.start(session)

    def stop(self) -> None:
        """
        Close every session now, with the close frame for those that have a receiver, and forget all of them.
        """
        for session in list(self._live):
            attempt(_closeNow, session)
        self.turns.finish()
        for session in list(self._names):
            self._over.cancel(session)
            self._forget(session)

    def _forget(self, session: Session) -> None:
        del self._named[self._names.pop(session)]


def _closeNow(session: Session) -> None:
    try:
        session.close(*GO_AWAY)
        session.turn()
    finally:  # a producer can keep it open, and a receiver can fail
        if session.state is not State.CLOSED:
            session.abort()
            session.turn()
