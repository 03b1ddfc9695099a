# -*- test-case-name: tests.test_tap -*-
"""
The services that C{twistd sockjs} runs: they listen, and leave in an orderly way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsockjs.naming import whyFailed
from txsockjs.signals import replaceSignalHandlers
from txsockjs.starting import CannotStart, endBadly

if TYPE_CHECKING:
    from txsockjs.factory import SockJSMultiFactory
    from txsockjs.lifeline import Lifeline
    from txsockjs.metrics import StatusSite, Watched

__all__ = ["ListeningService", "SockJSService", "WatchedService", "WatchingService", "whyNotListening"]

_log = Logger(namespace="txsockjs")

_MEANING = {
    "AF_UNIX path too long": ", there is room for about 100 bytes",
    "Cannot acquire lock": ", another process listens there",
}
"""What is behind the words of Python and of Twisted for a Unix socket, where these do not say it."""


class ListeningService(Service):
    """
    Listens with one factory on some endpoints.

    It begins when C{twistd} still has its privileges, so a port below 1024 can be had together with C{--uid}.
    """

    def __init__(
        self,
        reactor: Any,
        factory: IProtocolFactory,
        endpoints: Sequence[tuple[str, IStreamServerEndpoint]],
        directory: str,
    ) -> None:
        """
        @param reactor: the reactor that will run.

        @param factory: what serves.

        @param endpoints: where, each with its description.

        @param directory: where the user's own code is.
        """
        self._reactor = reactor
        self._factory = factory
        self._endpoints = endpoints
        self._directory = directory
        self._pid = os.getpid()
        self._attempts: list[Deferred[Any]] = []
        self._ports: list[IListeningPort] = []
        self._failed: CannotStart | None = None
        self._starting = self._stopping = False

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise CannotStart: when it is known at once that this can't be done.
        """
        super().privilegedStartService()
        for description, endpoint in self._endpoints:
            self._starting = True
            attempt: Deferred[Any] = maybeDeferred(endpoint.listen, self._factory)
            attempt.addCallbacks(
                self._listening, self._notListening, callbackArgs=(description,), errbackArgs=(description,)
            )
            self._attempts.append(attempt)
            self._starting = False
            if self._failed is not None:
                self.close()
                raise self._failed

    def startService(self) -> None:
        """
        Listen, unless L{privilegedStartService} has: C{twist} calls only this one.
        """
        super().startService()
        if not self._attempts:
            self.privilegedStartService()

    def listens(self, base: str) -> None:
        """
        There is one port more.

        @param base: what its URLs begin with.
        """

    def giveUp(self) -> None:
        """
        Try no longer to get the ports that are not there yet.
        """
        self._stopping = True
        for attempt in self._attempts:
            attempt.cancel()

    def close(self) -> Deferred[Any]:
        """
        Stop listening.

        @return: fires when that is done.
        """
        self.giveUp()
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    def _listening(self, port: IListeningPort, description: str) -> None:
        self._ports.append(port)
        self.listens(_base(port.getHost(), description))

    def _notListening(self, failure: Failure, description: str) -> None:
        if self._stopping:
            return
        self._failed = CannotStart(f"cannot listen on {description}: {whyNotListening(failure, self._directory)}")
        self._failed.say(self._pid)
        if not self._starting:
            self._stopping = True
            endBadly(self._reactor)


class SockJSService(ListeningService):
    """
    Listens with one site, and leaves in an orderly way.
    """

    def __init__(
        self,
        reactor: Any,
        site: SockJSMultiFactory,
        endpoints: Sequence[tuple[str, IStreamServerEndpoint]],
        paths: Sequence[str],
        example: str,
        directory: str,
        name: str | None = None,
        lifeline: Lifeline | None = None,
        leaveBus: Callable[[], Deferred[None]] | None = None,
    ) -> None:
        """
        @param reactor: the reactor that will run.

        @param site: what serves.

        @param endpoints: where, each with its description.

        @param paths: what there is to see, for the log.

        @param example: the path of a service.

        @param directory: where the user's own code is.

        @param name: what this process is called among those of the service.

        @param lifeline: what ties it to a supervisor.

        @param leaveBus: sends what sessions have published with their last words, and leaves the bus; a second call
            ends the wait for that.
        """
        super().__init__(reactor, site, endpoints, directory)
        self._name = name
        self._lifeline = lifeline
        self._leaveBus = leaveBus
        self._leaving = False
        self._site = site
        self._paths = paths
        self._example = example
        self._told = self._hurried = False

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise CannotStart: when it is known at once that this can't be done.
        """
        super().privilegedStartService()
        if self._name is not None and self._lifeline is None:  # a supervisor says it with each line
            _log.info("this is {name}", name=self._name)

    def startService(self) -> None:
        """
        Listen, unless L{privilegedStartService} has: C{twist} calls only this one.
        """
        super().startService()
        if self._lifeline is not None:
            self._lifeline.start(self._orphaned, self._hurry)

    def stopService(self) -> Deferred[None]:
        """
        Let the site leave in an orderly way, and stop listening when no session is left. A signal to end that comes
        meanwhile cuts that short.

        @return: fires when that is done.
        """
        super().stopService()
        restore = replaceSignalHandlers(self._reactor, self._hurry)
        # WebSockets that are not waited for are lost as the reactor ends, which has no turn left to tell protocols.
        self._reactor.addSystemEventTrigger("after", "shutdown", self._site.stop)
        self.giveUp()
        stopped = self._site.drain(0 if self._hurried else None, close=self.close)
        # The last words of sessions are written by then, and leave when the reactor comes round to it.
        stopped.addCallback(lambda _: deferLater(self._reactor, 0))
        if self._leaveBus is not None:
            stopped.addBoth(self._leave, self._leaveBus)
        return stopped.addBoth(_after, restore)

    def _leave(self, result: Any, leaveBus: Callable[[], Deferred[None]]) -> Deferred[Any]:
        self._leaving = True
        left = leaveBus()
        if self._hurried:
            leaveBus()
        return left.addBoth(lambda _: result)

    def listens(self, base: str) -> None:
        """
        Tell what there is to see at one more port, and the supervisor when there is the last one.
        """
        if self._lifeline is not None and len(self._ports) == len(self._endpoints):
            self._reactor.callWhenRunning(self._lifeline.tellReady)
        for path in self._paths:
            _log.info("serving {url}", url=_url(base, path))
        if not self._told and base.startswith("http"):
            self._told = True
            _log.info("connect with: {code}", code=f'new SockJS("{_url(base, self._example)}")')

    def _hurry(self) -> None:
        _log.info("told not to wait for sessions to end")
        self._hurried = True
        self._site.stop()
        if self._leaving and self._leaveBus is not None:
            self._leaveBus()
        with suppress(ReactorNotRunning):  # if somebody else had stopped the service, not the reactor
            self._reactor.stop()

    def _orphaned(self) -> None:
        """
        The supervisor is gone. Nobody else would end this process.
        """
        with suppress(ReactorNotRunning):  # it ends already
            self._reactor.stop()


class WatchingService(ListeningService):
    """
    Listens with a site for those who watch.
    """

    _patience = 1.0
    """Seconds for which an answer that is under way may take at the end."""

    def __init__(
        self,
        reactor: Any,
        site: StatusSite,
        endpoints: Sequence[tuple[str, IStreamServerEndpoint]],
        directory: str,
        watched: Watched | None,
    ) -> None:
        """
        @param reactor: the reactor that will run.

        @param site: what serves.

        @param endpoints: where, each with its description.

        @param directory: where the user's own code is.

        @param watched: this process, unless it serves nothing itself.
        """
        super().__init__(reactor, site, endpoints, directory)
        self._site = site
        self._watched = watched

    def startService(self) -> None:
        """
        Listen, and look at the reactor from now on.
        """
        super().startService()
        if self._watched is not None:
            self._watched.start()

    def stopService(self) -> Deferred[None]:
        """
        Listen no longer.

        @return: fires when all connections are closed.
        """
        super().stopService()
        if self._watched is not None:
            self._watched.stop()
        return gatherResults([self.close(), self._site.drain(self._patience)]).addBoth(_nothing)

    def listens(self, base: str) -> None:
        """
        Tell where the status page is.
        """
        _log.info("watch at {url}", url=_url(base, "/"))


class WatchedService(Service):
    """
    A service, and what serves those who watch it: that is there before, and stops when all else has.
    """

    def __init__(self, service: Service, watching: Service) -> None:
        """
        @param service: what is watched.

        @param watching: serves those who watch.
        """
        self._service = service
        self._watching = watching

    def privilegedStartService(self) -> None:
        """
        Start both, as far as it takes privileges.

        @raise CannotStart: when it is known at once that this can't be done.
        """
        super().privilegedStartService()
        self._watching.privilegedStartService()
        self._service.privilegedStartService()

    def startService(self) -> None:
        """
        Start both.
        """
        super().startService()
        self._watching.startService()
        self._service.startService()

    def stopService(self) -> Deferred[Any]:
        """
        Stop the service, and then the other one.

        @return: fires when that is done.
        """
        super().stopService()
        return maybeDeferred(self._service.stopService).addBoth(_thenStop, self._watching)


def _after(result: object, restore: Callable[[], None]) -> None:
    restore()


def _thenStop(result: Any, service: Service) -> Deferred[Any]:
    return maybeDeferred(service.stopService).addBoth(lambda _: result)


def _nothing(result: object) -> None:
    """
    Whatever came of it.
    """


def _base(address: object, description: str) -> str:
    """
    @return: what the URLs of a port begin with.
    """
    if isinstance(address, UNIXAddress):
        return f"unix:{os.fsdecode(address.name or b'')}"
    if not isinstance(address, (IPv4Address, IPv6Address)):
        return description
    scheme = "https" if description.partition(":")[0].lower() in ("ssl", "tls") else "http"
    host = f"[{address.host}]" if ":" in address.host else address.host
    if address.host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"{scheme}://{host}:{address.port}"


def _url(base: str, path: str) -> str:
    return base + ("" if base.startswith("http") else ":") + quote(path)


def whyNotListening(failure: Failure, directory: str) -> str:
    """
    @return: why there is no listening, as far as the user can do something about it.
    """
    error: object = failure.value
    if isinstance(error, CannotListenError):
        error = error.socketError
        if not isinstance(error, OSError) or not error.strerror:
            return str(error) + _MEANING.get(str(error), "")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if os.path.isabs(str(error.filename)) else "")
    return whyFailed(failure, directory)
