# -*- test-case-name: tests.test_metrics_peers -*-
"""
Other processes that serve their metrics: the children of a supervisor, on unix sockets, or whatever C{--metrics-peer}
names, on this machine or another one.

A peer is asked when somebody asks us. Every question has a deadline, every answer a bound, and those who ask for the
same at the same time share one question.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, clientFromString, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.http import OK, PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IResponse
from zope.interface import implementer

__all__ = ["DEADLINE", "MOST_BYTES", "BadAnswer", "Peer", "fullName", "peerAt", "peerFromString"]

DEADLINE = 2.0
"""Seconds that a peer has for an answer."""

MOST_BYTES = 4 * 1024 * 1024
"""The size that an answer may have."""

_LOCAL = "http://localhost"

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class BadAnswer(Exception):
    """
    A peer has not answered as a metrics port of ours does in time; the text says how, in a few words.
    """


def fullName(peer: str, own: str) -> str:
    """
    @param peer: the name under which we know where a process, or several, can be asked.

    @param own: how the process calls itself, if it does.

    @return: its name among all that we know.
    """
    return peer if own in ("", peer) else f"{peer}/{own}"


class Peer:
    """
    One of them.

    @ivar name: what it is called here.
    @ivar known: the names of the processes that it has told of last; itself, as long as it has told nothing.
    @ivar why: in a few words, why it could not be asked last time; empty if it could, or was not asked.
    """

    def __init__(self, name: str, agent: IAgent, url: bytes, clock: Any) -> None:
        """
        @param name: what it is called here.

        @param agent: asks.

        @param url: the URL of its metrics port, without a slash at the end.

        @param clock: where time comes from.
        """
        self.name = name
        self.known = [name]
        self.why = ""
        self._agent = agent
        self._url = url
        self._clock = clock
        self._asked: dict[str, list[Deferred[bytes]]] = {}

    def ask(self, path: str) -> Deferred[bytes]:
        """
        @param path: what to ask for, such as C{/metrics}.

        @return: fires with the body of the answer, or fails with whatever came in the way; L{why} tells that.
        """
        waiting: Deferred[bytes] = Deferred()
        if path in self._asked:
            self._asked[path].append(waiting)
            return waiting
        self._asked[path] = [waiting]
        answer: Deferred[bytes] = self._agent.request(
            b"GET", self._url + path.encode("ascii"), Headers({b"User-Agent": [b"txsockjs"]})
        ).addCallback(_bodyOf)
        answer.addTimeout(DEADLINE, self._clock, _tooLate)
        answer.addBoth(self._answered, path)
        return waiting

    def status(self) -> Deferred[list[dict[str, Any]]]:
        """
        @return: fires with the facts of the processes behind this peer, each with its name among all. Those that do
            not answer have the state C{gone}, and C{why}.
        """
        return self.ask("/status.json").addCallback(self._learn).addErrback(self._gone)

    def _answered(self, result: Any, path: str) -> None:
        self.why = _whyNot(result) if isinstance(result, Failure) else ""
        for waiting in self._asked.pop(path):
            waiting.callback(result)  # a failure as well

    def _learn(self, body: bytes) -> list[dict[str, Any]]:
        rows = _rowsOf(body)
        for row in rows:
            row["process"] = fullName(self.name, row["process"])
        self.known = [row["process"] for row in rows] or [self.name]
        return rows

    def _gone(self, failure: Failure) -> list[dict[str, Any]]:
        self.why = _whyNot(failure)
        return [{"process": name, "state": "gone", "why": self.why} for name in self.known]


def _rowsOf(body: bytes) -> list[dict[str, Any]]:
    try:
        rows = json.loads(body, parse_constant=_finite, parse_float=_finite)["processes"]
        if all(map(_isRow, rows)):
            return list(rows)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise BadAnswer("answers with something else")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} can't be told again in JSON: browsers could not read it")
    return number


def _isRow(row: Any) -> bool:
    """
    @return: whether the status page can make something of it.
    """
    if not all(isinstance(row[which], str) and row[which].isprintable() for which in ("process", "state")):
        return False  # it stands on a line of /health, too
    return row["state"] == "gone" or all(isinstance(row["lag"][which], (int, float)) for which in ("last", "most"))


def _tooLate(result: object, seconds: float) -> Failure:
    return Failure(BadAnswer(f"no answer in {seconds:g} seconds"))


def _whyNot(failure: Failure) -> str:
    if failure.check(BadAnswer):
        return str(failure.value)
    if failure.check(ConnectError, OSError):
        return "can't be reached"
    return "the connection broke"


class _Body(Protocol):
    """
    Reads an answer, up to its bound.
    """

    def __init__(self, whole: Deferred[bytes]) -> None:
        self._whole: Deferred[bytes] | None = whole
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """
        A part came.
        """
        self._size += len(data)
        self._parts.append(data)
        if self._size > MOST_BYTES:
            self.give(Failure(BadAnswer("answers with too much")))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        That was all.
        """
        self.give(b"".join(self._parts) if reason.check(ResponseDone, PotentialDataLoss) else reason)

    def give(self, result: Any) -> None:
        """
        Tell the result, once, and want no more.
        """
        whole, self._whole = self._whole, None
        self._parts.clear()
        if whole is None:
            return
        if isinstance(result, Failure) and self.transport is not None:
            self.transport.loseConnection()
        whole.callback(result)


def _bodyOf(response: IResponse) -> Deferred[bytes]:
    whole: Deferred[bytes] = Deferred(lambda _: body.give(Failure(CancelledError())))
    body = _Body(whole)
    response.deliverBody(body)
    if response.code != OK:
        body.give(Failure(BadAnswer(f"answers {response.code}")))
    return whole


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class _Way:
    """
    Leads to one place, whatever the URL.
    """

    def __init__(self, make: Callable[[], IStreamClientEndpoint]) -> None:
        """
        @param make: makes the endpoint, each time that one is needed.
        """
        self._make = make

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        @return: what leads there.
        """
        return self

    def connect(self, protocolFactory: Any) -> Deferred[IProtocol]:
        """
        Connect, without a line in the log for each question.
        """
        protocolFactory.noisy = False
        return self._make().connect(protocolFactory)


def _peer(reactor: Any, name: str, url: str, make: Callable[[], IStreamClientEndpoint]) -> Peer:
    return Peer(name, Agent.usingEndpointFactory(reactor, _Way(make)), url.encode("ascii"), reactor)


def peerAt(reactor: Any, name: str, pathOf: Callable[[str], str]) -> Peer:
    """
    @param reactor: connects, and tells the time.

    @param name: the name of a process on this machine.

    @param pathOf: called with the name each time that the process is asked; returns the path of its unix socket.
    """
    return _peer(reactor, name, _LOCAL, lambda: UNIXClientEndpoint(reactor, pathOf(name), timeout=DEADLINE))


def peerFromString(reactor: Any, text: str) -> Peer:
    """
    Read one C{--metrics-peer}.

    @param reactor: connects, and tells the time.

    @param text: C{[NAME=]WHERE}, where C{WHERE} is the URL of a metrics port or the description of an endpoint.

    @raise ValueError: when that is no such thing; the text says why.
    """
    name, found, where = text.partition("=")
    if not found or not _NAME.fullmatch(name):
        name, where = "", text
    if where.partition(":")[0].lower() in ("http", "https"):
        return _peerOfURL(reactor, name, where)
    if ":" not in where:
        raise ValueError(f"{where!r} is neither a URL nor the description of an endpoint, such as unix:/run/p1.sock")
    try:
        endpoint = clientFromString(reactor, where)
    except Exception as error:  # there is no telling what parsers raise
        raise ValueError(f"{where!r} describes no endpoint: {error}") from None
    return _peer(reactor, name or where, _LOCAL, lambda: endpoint)


def _peerOfURL(reactor: Any, name: str, url: str) -> Peer:
    wrong = f"{url!r} is no URL of a metrics port, such as http://10.0.0.2:9100"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if not host or port == 0 or parts.query or parts.fragment or parts.username is not None or not url.isascii():
        raise ValueError(wrong)
    isSecure = parts.scheme == "https"
    endpoint: IStreamClientEndpoint = HostnameEndpoint(reactor, host, port or (443 if isSecure else 80))
    if isSecure:
        try:
            from twisted.internet.ssl import optionsForClientTLS
        except ImportError as error:
            raise ValueError(f"{url!r} can't be used: {error}; TLS needs txsockjs[tls]") from None
        endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
    return _peer(reactor, name or parts.netloc, url.rstrip("/"), lambda: endpoint)
