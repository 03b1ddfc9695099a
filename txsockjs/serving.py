# -*- test-case-name: tests.test_tap -*-
"""
The service that C{twistd sockjs} runs: it listens, and leaves in an orderly way.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsockjs.naming import whyFailed
from txsockjs.starting import CannotStart

if TYPE_CHECKING:
    from txsockjs.factory import SockJSMultiFactory

__all__ = ["SockJSService", "whyNotListening"]

_log = Logger(namespace="txsockjs")


class SockJSService(Service):
    """
    Listens with one site on some endpoints.

    It begins when C{twistd} still has its privileges, so a port below 1024 can be had together with C{--uid}.
    """

    def __init__(
        self,
        reactor: Any,
        site: SockJSMultiFactory,
        endpoints: Sequence[tuple[str, IStreamServerEndpoint]],
        paths: Sequence[str],
        example: str,
        directory: str,
    ) -> None:
        """
        @param reactor: the reactor that will run.

        @param site: what serves.

        @param endpoints: where, each with its description.

        @param paths: what there is to see, for the log.

        @param example: the path of a service.

        @param directory: where the user's own code is.
        """
        self._reactor = reactor
        self._site = site
        self._endpoints = endpoints
        self._paths = paths
        self._example = example
        self._directory = directory
        self._pid = os.getpid()
        self._attempts: list[Deferred[Any]] = []
        self._ports: list[IListeningPort] = []
        self._failed: CannotStart | None = None
        self._starting = self._stopping = self._told = False

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise CannotStart: when it is known at once that this can't be done.
        """
        super().privilegedStartService()
        for description, endpoint in self._endpoints:
            self._starting = True
            attempt: Deferred[Any] = maybeDeferred(endpoint.listen, self._site)
            attempt.addCallbacks(
                self._listening, self._notListening, callbackArgs=(description,), errbackArgs=(description,)
            )
            self._attempts.append(attempt)
            self._starting = False
            if self._failed is not None:
                self._close()
                raise self._failed

    def startService(self) -> None:
        """
        Listen, unless L{privilegedStartService} has: C{twist} calls only this one.
        """
        super().startService()
        if not self._attempts:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """
        Let the site leave in an orderly way, and stop listening when no session is left. A signal to end that comes
        meanwhile cuts that short.

        @return: fires when that is done.
        """
        super().stopService()
        restore = _replaceSignalHandlers(self._reactor, self._hurry)
        # WebSockets that are not waited for are lost as the reactor ends, which has no turn left to tell protocols.
        self._reactor.addSystemEventTrigger("after", "shutdown", self._site.stop)
        self._giveUp()
        stopped = self._site.drain(close=self._close)
        # The last words of sessions are written by then, and leave when the reactor comes round to it.
        stopped.addCallback(lambda _: deferLater(self._reactor, 0))
        return stopped.addBoth(_after, restore)

    def _hurry(self) -> None:
        _log.info("told to end once more")
        self._site.stop()
        with suppress(ReactorNotRunning):  # if somebody else had stopped the service, not the reactor
            self._reactor.stop()

    def _giveUp(self) -> None:
        self._stopping = True
        for attempt in self._attempts:
            attempt.cancel()

    def _close(self) -> Deferred[Any]:
        self._giveUp()
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    def _listening(self, port: IListeningPort, description: str) -> None:
        self._ports.append(port)
        base = _base(port.getHost(), description)
        for path in self._paths:
            _log.info("serving {url}", url=_url(base, path))
        if not self._told and base.startswith("http"):
            self._told = True
            _log.info("connect with: {code}", code=f'new SockJS("{_url(base, self._example)}")')

    def _notListening(self, failure: Failure, description: str) -> None:
        if self._stopping:
            return
        self._failed = CannotStart(f"cannot listen on {description}: {whyNotListening(failure, self._directory)}")
        self._failed.say(self._pid)
        if not self._starting:
            # From here no exception finds its way out, and the runners have no status but 0 for a reactor that was
            # stopped; so they may finish their work, and then the process ends with ours.
            self._stopping = True
            atexit.register(_exitBadly)
            self._reactor.stop()


def _replaceSignalHandlers(reactor: Any, ended: Callable[[], object]) -> Callable[[], None]:
    """
    Take the place of the reactor's own handlers of the signals to end. They would try to stop it once more, and log
    that it is stopped already.

    @param ended: called in the reactor when there is a signal.

    @return: puts them back.
    """

    def handle(number: int, frame: object) -> None:
        reactor.callFromThread(ended)

    if threading.current_thread() is not threading.main_thread():
        return lambda: None  # there are no signals here
    own = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if getattr(handler, "__self__", None) is reactor:
            own[number] = handler
            signal.signal(number, handle)

    def restore() -> None:
        for number, handler in own.items():
            signal.signal(number, handler)

    return restore


def _after(result: object, restore: Callable[[], None]) -> None:
    restore()


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
        if not isinstance(error, OSError):
            return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if os.path.isabs(str(error.filename)) else "")
    return whyFailed(failure, directory)


def _exitBadly() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(1)
