# -*- test-case-name: tests.test_session -*-
"""
Why a session ended: what C{connectionLost} of the wrapped protocol finds in its L{twisted.python.failure.Failure}.

Programs written for TCP go on working, since these are the exceptions that TCP has; those that know of SockJS find code
and reason.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost

__all__ = ["MessageTooLarge", "SessionDone", "SessionLost"]


class SessionDone(ConnectionDone):
    """
    The session was closed in an orderly way, by either side.

    @ivar code: the close code: the application's own, or the one that the client's WebSocket sent (1005 for none).
    @ivar reason: the close reason.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"Session closed: {self.code} {self.reason}".rstrip()


class SessionLost(ConnectionLost):
    """
    The session was lost: a connection broke, the client did not come back, or it sent what can't be understood.

    @ivar code: a close code that tells which.
    @ivar reason: the same in words.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"Session lost: {self.code} {self.reason}".rstrip()


class MessageTooLarge(Exception):
    """
    A client has sent a message that is larger than the option C{max_message_size} allows, or more messages in one piece
    than C{max_queued_messages}. The text says which.
    """
