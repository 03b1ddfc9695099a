# -*- test-case-name: tests.test_stats -*-
"""
What a service counts, for whoever watches it.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Any, NamedTuple

__all__ = ["Cause", "ChannelStats", "Gauges", "RefusalCause", "Stats"]


class Cause(StrEnum):
    """
    Why a session ended.
    """

    APPLICATION = "closed by the application"
    CLIENT = "closed by the client"
    ABORTED = "aborted by the application"
    REFUSED = "refused by the application"
    FAILED = "failure of the application"
    BROKEN = "connection broken"
    ABSENT = "client did not come back"
    STALLED = "client does not read"
    SILENT = "client does not answer"
    OVERFLOW = "too much waiting for the client"
    TOO_LARGE = "message too large"
    WRONG = "client broke the rules"
    STOPPED = "service stopped"


class RefusalCause(StrEnum):
    """
    Why a request or a message was refused.
    """

    DRAINING = "draining"
    FULL = "too many sessions"
    ENOUGH = "too many sessions of one host"
    ORIGIN = "origin"
    UNAUTHORIZED = "not authorized"
    AUTHORIZE_FAILED = "failure of authorize"
    AUTHORIZE_LATE = "timeout of authorize"
    FOREIGN = "foreign address"
    LONG_ID = "session id too long"
    RECEIVER = "another receiver"
    CALLBACK = "callback"
    LATE = "request timeout"
    MALFORMED = "malformed body"
    BODY = "body too large"
    MESSAGE = "message too large"
    MESSAGES = "too many messages"
    BACKLOG = "backlog"


class Gauges(NamedTuple):
    """
    How things stand at a moment.
    """

    sessions: Counter[tuple[str, str]]
    """How many sessions there are, by transport and state."""

    queuedBytes: int
    """What waits for clients, encoded."""

    queuedMessages: int
    """How many messages wait for clients."""

    paused: int
    """How many sessions have paused their producer."""

    blocked: int
    """How many sessions have a client that takes no data for now."""


class Stats:
    """
    The counters of one service. They only ever grow.

    @ivar opened: sessions that were opened, by transport.
    @ivar closed: sessions that ended, by L{Cause}.
    @ivar refused: requests and messages that were refused, by L{RefusalCause} or, of channels of a multiplexed session,
        by L{txsockjs.multiplex.ChannelRefusalCause}.
    @ivar messagesIn: messages that came from clients.
    @ivar messagesOut: messages that the application sent.
    @ivar bytesIn: the bytes that messages came in, with what they were wrapped in.
    @ivar bytesOut: the encoded messages that the application sent, without what they are wrapped in.
    @ivar pauses: how often a producer was paused.
    """

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()
        self.closed: Counter[Cause] = Counter()
        self.refused: Counter[str] = Counter()
        self.messagesIn = 0
        self.messagesOut = 0
        self.bytesIn = 0
        self.bytesOut = 0
        self.pauses = 0

    def asDict(self) -> dict[str, Any]:
        """
        @return: all counters as plain numbers and dicts, ready for JSON.
        """
        return {
            "opened": dict(self.opened),
            "closed": {str(cause): count for cause, count in self.closed.items()},
            "refused": {str(cause): count for cause, count in self.refused.items()},
            "messages_in": self.messagesIn,
            "messages_out": self.messagesOut,
            "bytes_in": self.bytesIn,
            "bytes_out": self.bytesOut,
            "pauses": self.pauses,
        }


class ChannelStats:
    """
    The counters of L{txsockjs.broadcast.Channels}. They only ever grow.

    @ivar published: messages that were published in this process.
    @ivar delivered: messages that members in this process were given: one message to ten members counts ten.
    @ivar undeliverable: messages that members were not given, since their service can't decode the bytes.
    @ivar joined: how often a connection joined a channel.
    @ivar left: how often one left.
    @ivar gaps: how often messages may have been missed since the bus was away.
    @ivar lost: messages of this process that never left it, since the bus was away for too long.
    """

    def __init__(self) -> None:
        self.published = 0
        self.delivered = 0
        self.undeliverable = 0
        self.joined = 0
        self.left = 0
        self.gaps = 0
        self.lost = 0

    def asDict(self) -> dict[str, int]:
        """
        @return: all counters, ready for JSON.
        """
        return {
            "published": self.published,
            "delivered": self.delivered,
            "undeliverable": self.undeliverable,
            "joined": self.joined,
            "left": self.left,
            "gaps": self.gaps,
            "lost": self.lost,
        }
