# -*- test-case-name: tests.test_metrics -*-
"""
The numbers of every process as JSON, for the status page, and C{/health} of all of them together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.failure import Failure
from twisted.web.http import OK, SERVICE_UNAVAILABLE
from twisted.web.server import NOT_DONE_YET, Request

from txsockjs.metrics.peers import Peer
from txsockjs.metrics.watched import Watched
from txsockjs.options import TRANSPORTS
from txsockjs.transports.answers import JSON, Answer, Leaf, finishWith, forbidCaching, plainText

__all__ = ["AllHealthResource", "Board", "StatusResource"]

_FRESH = 0.5
"""Seconds for which facts are told again, however many ask."""


class Board:
    """
    Knows how every process stands, as of a moment ago.
    """

    def __init__(self, watched: Watched | None, peers: Sequence[Peer], clock: Any) -> None:
        """
        @param watched: this process; L{None} if it serves nothing itself.

        @param peers: the others.

        @param clock: where time comes from.
        """
        self._watched = watched
        self._peers = peers
        self._clock = clock
        self._rows: list[dict[str, Any]] = []
        self._taken: float | None = None

    def rows(self) -> Deferred[list[dict[str, Any]]]:
        """
        @return: fires with the facts of each process; see L{Watched.facts} and L{Peer.status}.
        """
        if self._taken is not None and self._clock.seconds() - self._taken < _FRESH:
            return succeed(self._rows)
        own = [] if self._watched is None else [self._watched.facts()]
        asked: Deferred[list[list[dict[str, Any]]]] = gatherResults([peer.status() for peer in self._peers])
        return asked.addCallback(self._keep, own)

    def _keep(self, others: list[list[dict[str, Any]]], own: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self._rows = [*own, *(row for rows in others for row in rows)]
        self._taken = self._clock.seconds()
        return self._rows


class _OfBoard(Leaf):
    """
    Something that is made of what the board tells.
    """

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board

    def answer(self, request: Request) -> Answer:
        """
        Ask the board, and answer when it has told.
        """
        forbidCaching(request)
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def told(rows: list[dict[str, Any]]) -> None:
            if not gone:
                finishWith(request, self._made(request, rows))

        self._board.rows().addCallback(told)
        return NOT_DONE_YET

    def _made(self, request: Request, rows: list[dict[str, Any]]) -> bytes:
        raise NotImplementedError


class StatusResource(_OfBoard):
    """
    C{/status.json}: C{processes}, with the facts of each; and C{transports}, all that there are, in their order.
    """

    def _made(self, request: Request, rows: list[dict[str, Any]]) -> bytes:
        request.setHeader(b"content-type", JSON)
        told = {"processes": rows, "transports": TRANSPORTS}
        return json.dumps(told, separators=(",", ":")).encode("ascii")


class AllHealthResource(_OfBoard):
    """
    C{/health} of many processes: 200 while at least one serves, and 503 otherwise; and how each of them stands.
    """

    def _made(self, request: Request, rows: list[dict[str, Any]]) -> bytes:
        states = [(row["process"] or "this process", row["state"]) for row in rows]
        serves = any(state == "serving" for _, state in states)
        draining = any(state == "draining" for _, state in states)
        whole = "ok" if serves else "draining" if draining else "gone"
        lines = [whole, *(f"{name}: {state}" for name, state in states)]
        return plainText(request, OK if serves else SERVICE_UNAVAILABLE, "\n".join(lines) + "\n")
