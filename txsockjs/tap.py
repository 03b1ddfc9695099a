# -*- test-case-name: tests.test_tap -*-
"""
C{twistd sockjs} and C{twist sockjs}: serve a user's own protocols, or the demo, from the command line.

What is heavy, and whatever chooses a reactor, is imported in L{makeService}; asking for C{--help} stays quick.
"""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import quote

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.static import File

import twisted
import txsockjs
from txsockjs.options import OPTIONS, OptionInfo
from txsockjs.options import Options as ServiceOptions

if TYPE_CHECKING:
    from txsockjs.factory import SockJSMultiFactory

__all__ = ["CannotStart", "Options", "SockJSService", "makeService"]

DEFAULT_PORT = "tcp:8081"

CLIENT_PATH = "/sockjs.js"
"""Where C{--sockjs-js} is served."""

_log = Logger(namespace="txsockjs")


class CannotStart(SystemExit, Exception):
    """
    There is nothing to serve, or nowhere to serve it; the text says why, in one line.

    It is a C{SystemExit} so that the process ends with that line and a status, and without a traceback. It is an
    C{Exception} as well so that a C{twistd} that has become a daemon hands it to the process which waits for its
    start, and removes its PID file.
    """

    def __init__(self, why: str) -> None:
        super().__init__(" ".join(why.split()))
        self.code = f"sockjs: {self}"

    def say(self, pid: int) -> None:
        """
        Say it now. Python itself would say it on C{sys.stderr}, which leads into the log once C{twistd} has begun it.

        @param pid: the process that had a terminal; a daemon has but its log.
        """
        if os.getpid() == pid and sys.__stderr__ is not None:
            print(self.code, file=sys.__stderr__, flush=True)
        else:
            _log.error("{why}", why=str(self))
        self.code = 1


# -- the flags --------------------------------------------------------------------------------------------------------


class Mount(NamedTuple):
    """
    One C{--factory}.
    """

    prefix: str
    """The path of the service, which begins with a slash and, but for C{/} itself, does not end with one."""

    name: str
    """The dotted name of what makes its protocols."""


def _flag(info: OptionInfo) -> str:
    return info.name.replace("_", "-")


def _unreadable(error: OSError) -> str:
    """
    @return: why a file can't be read, in words.
    """
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "that is a directory, not a file"
    return f"it can't be read: {error.strerror}"


def _help(info: OptionInfo) -> str:
    default = "" if info.isFlag or not info.defaultText else f" [default: {info.defaultText}]"
    unit = "" if info.isFlag else f" ({info.unit})"
    return f"{info.help}{unit}{default}"


class Options(usage.Options):
    """
    The command line. A flag for each of L{txsockjs.options.OPTIONS} is derived from it.

    @ivar mounts: the services that were asked for; none stands for the demo.
    @ivar ports: descriptions of the endpoints to listen on.
    @ivar static: a directory of files, if one was given.
    @ivar client: the text of the client that is to be served, if a file was given.
    @ivar appDir: where the user's modules are.
    @ivar settings: the options of the services, as far as they were given.
    """

    optFlags = [[_flag(info), None, _help(info)] for info in OPTIONS if info.isFlag]
    optParameters = [[_flag(info), None, None, _help(info)] for info in OPTIONS if not info.isFlag]

    longdesc = (
        "Serves SockJS: your own protocols, as in 'twistd -n sockjs --factory myapp.Echo', or without --factory a "
        "demo, with a page to try it."
    )

    def __init__(self) -> None:
        super().__init__()
        self.docs = {name: " ".join((text or "").split()) for name, text in self.docs.items()}
        self.mounts: list[Mount] = []
        self.ports: list[str] = []
        self.static: str | None = None
        self.client: bytes | None = None
        self.appDir = os.getcwd()
        self.settings: dict[str, Any] = {}

    def opt_port(self, port: str) -> None:
        """
        A port, or the description of an endpoint such as ssl:8443:privateKey=k.pem:certKey=c.pem or
        unix:/run/app.sock. Can be given several times. [default: 8081]
        """
        if port.isascii() and port.isdigit():
            if int(port) > 65535:
                raise usage.UsageError(f"--port {port}: ports end at 65535")
            port = f"tcp:{port}"
        self.ports.append(port)

    def opt_factory(self, factory: str) -> None:
        """
        What to serve, as [PREFIX=]NAME: the dotted name of a Protocol class, of a factory or its class, or of a
        function that returns a factory. It is served at /PREFIX, or at / without a prefix. Can be given several
        times. Without it, the demo is served.
        """
        prefix, _, name = factory.rpartition("=")
        if not all(part.isidentifier() for part in name.split(".")):
            raise usage.UsageError(f"--factory {factory}: {name!r} is no dotted name")
        mount = Mount("/" + prefix.strip("/"), name)
        if any(other.prefix == mount.prefix for other in self.mounts):
            raise usage.UsageError(f"--factory {factory}: there are two services at {mount.prefix}")
        self.mounts.append(mount)

    def opt_static(self, directory: str) -> None:
        """
        Serve the files of this directory at /, beside services that have a prefix.
        """
        self.static = self._directory("static", directory)

    def opt_sockjs_js(self, path: str) -> None:
        """
        Serve this copy of the browser's sockjs-client at /sockjs.js, for machines without internet; --sockjs-url is
        /sockjs.js then. It is read once, at the start.
        """
        if not path:
            raise usage.UsageError("--sockjs-js needs a value")
        # At once, since twistd may go elsewhere before it serves, and may not be allowed to read it any more.
        try:
            with open(path, "rb") as file:
                self.client = file.read()
        except OSError as error:
            raise usage.UsageError(f"--sockjs-js {path}: {_unreadable(error)}") from None
        if not self.client.strip():
            raise usage.UsageError(f"--sockjs-js {path}: the file is empty")

    def opt_app_dir(self, directory: str) -> None:
        """
        Where to look for your modules first. [default: the current directory]
        """
        self.appDir = self._directory("app-dir", directory)

    def opt_version(self) -> NoReturn:
        """
        Show the version of txsockjs, and exit.
        """
        print(f"txsockjs {txsockjs.__version__}")
        sys.exit(0)

    def _directory(self, flag: str, path: str) -> str:
        if not os.path.isdir(path):
            raise usage.UsageError(f"--{flag} {path}: there is no such directory")
        return os.path.abspath(path)  # twistd may go elsewhere before it serves

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Read the command line.

        @raise CannotStart: when there is a mistake in it. For a C{UsageError}, C{twistd} and C{twist} would show
            all their help first, far more than fits on a screen.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise CannotStart(str(error)) from None

    def parseArgs(self, *arguments: str) -> None:
        """
        There is nothing but flags.
        """
        if arguments:
            raise usage.UsageError(
                f"there is no place for {arguments[0]!r}; what to serve is named by --factory, where by --port"
            )

    def postOptions(self) -> None:
        """
        Check what was given.
        """
        sys.path.insert(0, self.appDir)  # some values are dotted names
        for info in OPTIONS:
            given = self[_flag(info)]
            if given:
                self.settings[info.name] = True if info.isFlag else self._parsed(info, given)
            elif given == "":
                raise usage.UsageError(f"--{_flag(info)} needs a value")
        if self.client is not None:
            self.settings.setdefault("sockjs_url", CLIENT_PATH)
        try:
            ServiceOptions.build(self.settings)  # some values do not go together
        except ValueError as error:
            name, _, why = str(error).partition(" ")
            raise usage.UsageError(f"--{name.replace('_', '-')} {why}") from None
        if self.static is not None and any(mount.prefix == "/" for mount in self.mounts):
            raise usage.UsageError("--static: the files and a --factory without PREFIX can't both be at /")
        if self.client is not None and any(f"{mount.prefix}/".startswith(f"{CLIENT_PATH}/") for mount in self.mounts):
            raise usage.UsageError(f"--sockjs-js: the file and a --factory can't both be at {CLIENT_PATH}")

    def _parsed(self, info: OptionInfo, text: str) -> Any:
        try:
            return info.parsed(text)
        except ValueError as error:
            raise usage.UsageError(f"--{_flag(info)}{str(error).removeprefix(info.name)}") from None


# -- what the user has named ------------------------------------------------------------------------------------------


_NOT_THE_USERS = tuple(
    os.path.join(os.path.dirname(str(module.__file__)), "") for module in (importlib, twisted, txsockjs)
)


def _why(failure: Failure, directory: str) -> str:
    """
    @param directory: where the user's own code is.

    @return: an exception in one line, with the place in the user's code, if it came by there.
    """
    error = failure.value
    said = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError):
        return f"{said} ({error.filename}, line {error.lineno})"
    # Not from the exception's own traceback: a Deferred may have taken that away.
    places = [
        (file, line)
        for _, file, line, *_ in failure.frames
        if not file.startswith("<") and not file.startswith(_NOT_THE_USERS)
    ]
    own = [place for place in places if place[0].startswith(os.path.join(directory, ""))] or places
    return f"{said} ({own[-1][0]}, line {own[-1][1]})" if own else said


def _import(name: str, directory: str) -> ModuleType | None:
    """
    @return: a module, or L{None} when there is none of that name.

    @raise CannotStart: when there is one, and it fails.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            return None
        raise CannotStart(f"module {name} can't be imported: {_why(Failure(), directory)}") from error


def _find(name: str, directory: str) -> object:
    """
    @return: what a dotted name stands for.
    """
    way, *rest = name.split(".")
    found: Any = _import(way, directory)
    if found is None:
        raise CannotStart(f"--factory {name}: there is no module {way!r}, neither in {directory} nor installed")
    for attribute in rest:
        missing = object()
        inner = getattr(found, attribute, missing)
        if inner is missing and hasattr(found, "__path__"):
            inner = _import(f"{way}.{attribute}", directory) or missing
        if inner is missing:
            raise CannotStart(f"--factory {name}: there is no {attribute!r} in {way}")
        found, way = inner, f"{way}.{attribute}"
    return found


def _factory(name: str, directory: str) -> IProtocolFactory:
    """
    @return: the factory that a dotted name stands for, or leads to.
    """
    found: Any = _find(name, directory)
    if IProtocolFactory.providedBy(found):
        return found
    if isinstance(found, type) and IProtocol.implementedBy(found):
        return Factory.forProtocol(found)  # type: ignore[type-var]
    if isinstance(found, ModuleType):
        raise CannotStart(f"--factory {name}: that is a module; name what to serve in it, such as {name}.Echo")
    if not callable(found):
        raise CannotStart(f"--factory {name}: that is no Protocol class, no factory and no function, but {found!r}")
    try:
        made = found()
    except Exception as error:
        raise CannotStart(f"--factory {name}: calling it failed: {_why(Failure(), directory)}") from error
    if not IProtocolFactory.providedBy(made):
        raise CannotStart(f"--factory {name}: calling it should return a factory, not {made!r}")
    return made


# -- serving ----------------------------------------------------------------------------------------------------------


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
        Stop listening, and let the site leave in an orderly way. A signal to end that comes meanwhile cuts that short.

        @return: fires when that is done.
        """
        super().stopService()
        restore = _replaceSignalHandlers(self._reactor, self._hurry)
        # WebSockets that are not waited for are lost as the reactor ends, which has no turn left to tell protocols.
        self._reactor.addSystemEventTrigger("after", "shutdown", self._site.stop)
        # Nothing comes in from here on, but a site whose port is gone would close its sessions at once if it were not
        # told to wait for them.
        stopped = gatherResults([self._close(), self._site.drain()])
        # The last words of sessions are written by then, and leave when the reactor comes round to it.
        stopped.addCallback(lambda _: deferLater(self._reactor, 0))
        return stopped.addBoth(_after, restore)

    def _hurry(self) -> None:
        _log.info("told to end once more")
        self._site.stop()
        with suppress(ReactorNotRunning):  # if somebody else had stopped the service, not the reactor
            self._reactor.stop()

    def _close(self) -> Deferred[Any]:
        self._stopping = True
        for attempt in self._attempts:
            attempt.cancel()
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
        self._failed = CannotStart(f"cannot listen on {description}: {_reason(failure, self._directory)}")
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


def _reason(failure: Failure, directory: str) -> str:
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
    return _why(failure, directory)


def _exitBadly() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(1)


class _Files(File):
    """
    A directory whose files are served, and not listed.
    """

    def directoryListing(self) -> IResource:
        """
        @return: the answer for a directory that has no C{index.html}.
        """
        return self.childNotFound


def _site(options: Options, reactor: Any) -> SockJSMultiFactory:
    """
    @return: the site of what C{options} ask for.
    """
    from txsockjs.factory import mount
    from txsockjs.pages import Page
    from txsockjs.transports.answers import JAVASCRIPT

    root = None if options.static is None else _Files(options.static)
    site = _services(options, reactor, root)
    if options.client is not None:
        site.resource = mount(site.resource, CLIENT_PATH, Page(options.client, JAVASCRIPT))
    return site


def _services(options: Options, reactor: Any, root: Resource | None) -> SockJSMultiFactory:
    """
    @return: a site of the services that C{options} name, or of the demo.
    """
    from txsockjs.factory import SockJSMultiFactory

    if not options.mounts:
        from txsockjs.demo import makeSite

        return makeSite(reactor, root, **options.settings)
    site = SockJSMultiFactory(reactor=reactor, root=root)
    # A service below another one is hung into it, so the outer ones come first.
    for prefix, name in sorted(options.mounts, key=lambda mount: mount.prefix.count("/")):
        site.addFactory(_factory(name, options.appDir), prefix, **options.settings)
    return site


def makeService(options: Options) -> SockJSService:
    """
    Make the service that was asked for.

    @raise CannotStart: when there is no such protocol, or no such endpoint.
    """
    from twisted.internet import reactor

    endpoints = []
    for description in options.ports or [DEFAULT_PORT]:
        try:
            endpoints.append((description, serverFromString(reactor, description)))
        except OSError as error:
            raise CannotStart(f"--port {description}: {_reason(Failure(), options.appDir)}") from error
        except ImportError as error:
            raise CannotStart(f"--port {description}: {error}; TLS needs txsockjs[tls]") from error
        except Exception as error:  # there is no telling what parsers raise
            raise CannotStart(f"--port {description}: that describes no endpoint: {error}") from error
    site = _site(options, reactor)
    paths = list(site.paths)
    if "/" not in paths and (options.static is not None or not options.mounts):
        paths.insert(0, "/")
    example = options.mounts[0].prefix if options.mounts else site.paths[0]
    return SockJSService(reactor, site, endpoints, paths, example, options.appDir)
