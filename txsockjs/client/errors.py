# -*- test-case-name: tests.test_client_connect,tests.test_client_session -*-
"""
Why no session could be opened, and what can end one on the client's side only.

A session that was open ends with L{txsockjs.errors.SessionDone} or L{txsockjs.errors.SessionLost}, as on the server.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.error import ConnectError

from txsockjs.errors import SessionLost

__all__ = ["CannotConnect", "HeartbeatTimeout", "SessionRefused", "TransportsFailed"]

CANNOT_CONNECT = 1002
"""The code of sockjs-client for a service that does not answer as one."""

ALL_FAILED = 2000
"""The code of sockjs-client for transports that all failed."""


class CannotConnect(ConnectError):
    """
    No session could be opened: there is no service, or it does not answer as one.

    @ivar code: the close code that sockjs-client has for it.
    @ivar reason: what happened, in one line.
    """

    def __init__(self, reason: str, code: int = CANNOT_CONNECT) -> None:
        super().__init__(string=reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class TransportsFailed(CannotConnect):
    """
    The service is there, and no transport got through to it.

    @ivar failures: each transport that was tried, in order, with what it ended with.
    """

    def __init__(self, failures: Sequence[tuple[str, Exception]], reason: str = "") -> None:
        what = reason or "; ".join(f"{name}: {error}" for name, error in failures)
        super().__init__(f"All transports failed: {what}", ALL_FAILED)
        self.failures = tuple(failures)


class SessionRefused(CannotConnect):
    """
    The server has answered with a close frame in place of the opening one: it does not want this session.

    @ivar code: the close code that it gave.
    @ivar reason: the close reason that it gave.
    """

    def __str__(self) -> str:
        return f"The server refused the session: {self.code} {self.reason}".rstrip()


class HeartbeatTimeout(SessionLost):
    """
    Nothing came from the server for the option C{heartbeat_timeout}, not even a heartbeat.

    @ivar code: 1006.
    @ivar reason: the same in words.
    """
