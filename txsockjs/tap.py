# -*- test-case-name: tests.test_tap -*-
"""
C{twistd sockjs} and C{twist sockjs}: serve a user's own protocols, or the demo, from the command line.

What is heavy, and whatever chooses a reactor, is imported in L{makeService}; asking for C{--help} stays quick.
"""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.static import File

import txsockjs
from txsockjs.bus import busFromString, parseBus
from txsockjs.commands import commandsFor, namesOf
from txsockjs.naming import factoryFrom, findNamed, whyFailed
from txsockjs.options import OPTIONS, OptionInfo
from txsockjs.options import Options as ServiceOptions
from txsockjs.ports import placeOf, spread
from txsockjs.serving import SockJSService, WatchedService, WatchingService, whyNotListening
from txsockjs.starting import CannotStart

if TYPE_CHECKING:
    from txsockjs.factory import SockJSMultiFactory
    from txsockjs.multiplex import SockJSMultiplexResource
    from txsockjs.supervisor import Supervisor

__all__ = ["Options", "makeService"]

DEFAULT_PORT = "tcp:8081"

MOST_PROCESSES = 256

CLIENT_PATH = "/sockjs.js"
"""Where C{--sockjs-js} is served."""

HEALTH_PATH = "/health"
"""Where balancers ask, unless the user has something there."""

_log = Logger(namespace="txsockjs")


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


def _described(flag: str, port: str, more: str = "") -> str:
    """
    @return: the description of an endpoint, which a plain port stands for.
    """
    if not port:
        raise usage.UsageError(f"--{flag} needs a value")
    if not (port.isascii() and port.isdigit()):
        return port
    if int(port) > 65535:
        raise usage.UsageError(f"--{flag} {port}: ports end at 65535")
    return f"tcp:{port}{more}"


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
    @ivar metrics: descriptions of the endpoints for those who watch.
    @ivar peers: other processes that are watched as well, as they were named.
    @ivar bus: the description of what carries published messages between processes, if one was given.
    @ivar static: a directory of files, if one was given.
    @ivar client: the text of the client that is to be served, if a file was given.
    @ivar appDir: where the user's modules are.
    @ivar directory: where the command was given.
    @ivar settings: the options of the services, as far as they were given.
    @ivar processes: how many processes there shall be with a supervisor, or L{None} for one without.
    @ivar places: where each of these listens, by its name.
    @ivar given: all flags, by their whole names, with their values.
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
        self.metrics: list[str] = []
        self.peers: list[str] = []
        self.bus: str | None = None
        self.static: str | None = None
        self.client: bytes | None = None
        self.appDir = self.directory = os.getcwd()
        self.settings: dict[str, Any] = {}
        self.processes: int | None = None
        self.places: dict[str, list[str]] = {}
        self.printsConfiguration = False
        self.given: list[tuple[str, str]] = []

    def opt_port(self, port: str) -> None:
        """
        A port, or the description of an endpoint such as ssl:8443:privateKey=k.pem:certKey=c.pem or
        unix:/run/app.sock. Can be given several times. [default: 8081]
        """
        self.ports.append(_described("port", port))

    def opt_metrics(self, port: str) -> None:
        """
        Serve Prometheus metrics at /metrics and a status page at / of this port, which is open to this machine only,
        or of the endpoint that a description such as tcp:9100 stands for. Can be given several times. Needs
        txsockjs[metrics].
        """
        self.metrics.append(_described("metrics", port, ":interface=127.0.0.1"))

    def opt_metrics_peer(self, peer: str) -> None:
        """
        Show another process too, as [NAME=]WHERE: the URL of its metrics port, or the description of an endpoint such
        as unix:/run/app/p1.sock. Can be given several times.
        """
        if not peer.rpartition("=")[2]:
            raise usage.UsageError(f"--metrics-peer {peer}: it has to say where, as in web1=http://10.0.0.2:9100")
        self.peers.append(peer)

    def opt_bus(self, bus: str) -> None:
        """
        Where what is published on channels finds the other processes of the service: a Redis server, such as
        redis://127.0.0.1:6379/0, rediss://host:6380/0 or unix:///run/redis/redis.sock. Needs txsockjs[redis].
        [default: memory:, within this process]
        """
        try:
            parseBus(bus)
        except ValueError as error:  # without what was given, which may have a password
            raise usage.UsageError(f"--bus: {error}") from None
        self.bus = bus

    def opt_factory(self, factory: str) -> None:
        """
        What to serve, as [PREFIX=]NAME: the dotted name of a Protocol class, of a factory or its class, of a
        function that returns a factory, or of a class of SockJSMultiplexResource. It is served at /PREFIX, or at /
        without a prefix. Can be given several times. Without it, the demo is served.
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

    def opt_processes(self, count: str) -> None:
        """
        Serve by this many processes, named p1 and so on, with one more that looks after them. The first has the port
        that --port says, the second has the next one; a unix: socket gets the name of its process, and so does
        {process} in any description.
        """
        if not (count.isascii() and count.isdigit() and 1 <= int(count) <= MOST_PROCESSES):
            raise usage.UsageError(f"--processes must be a whole number from 1 to {MOST_PROCESSES}, not {count!r}")
        self.processes = int(count)

    def opt_print_haproxy_config(self) -> None:
        """
        Print a configuration of HAProxy that goes with the other flags, and exit.
        """
        self.printsConfiguration = True

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
        arguments = sys.argv[1:] if options is None else list(options)
        try:
            with suppress(getopt.error):  # told in the next step
                self.given = getopt.getopt(arguments, self.shortOpt, self.longOpt)[0]
            super().parseOptions(arguments)
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
        if self.processes is not None:
            self._spread(self.processes)
        try:
            ServiceOptions.build(self.settings)  # some values do not go together
        except ValueError as error:
            name, _, why = str(error).partition(" ")
            raise usage.UsageError(f"--{name.replace('_', '-')} {why}") from None
        if self.peers and not self.metrics:
            raise usage.UsageError("--metrics-peer: there is nothing to show it on without --metrics")
        if self.static is not None and any(mount.prefix == "/" for mount in self.mounts):
            raise usage.UsageError("--static: the files and a --factory without PREFIX can't both be at /")
        if self.client is not None and any(f"{mount.prefix}/".startswith(f"{CLIENT_PATH}/") for mount in self.mounts):
            raise usage.UsageError(f"--sockjs-js: the file and a --factory can't both be at {CLIENT_PATH}")
        if self.printsConfiguration:
            self._printConfiguration()

    def _printConfiguration(self) -> NoReturn:
        """
        Print what HAProxy has to know, and exit.
        """
        from txsockjs.haproxy import configuration

        places = self.places or {self.settings.get("process_name", "p1"): self.ports or [DEFAULT_PORT]}
        try:
            text = configuration(self.given, places, ServiceOptions.build(self.settings), self.directory)
        except ValueError as error:
            raise usage.UsageError(f"--print-haproxy-config: --port {error}") from None
        print(text, end="")
        sys.exit(0)

    def _spread(self, count: int) -> None:
        """
        Give each of several processes its name and its places.
        """
        if "process_name" in self.settings:
            raise usage.UsageError("--process-name: with --processes each process has a name already, p1 and so on")
        names = namesOf(count)
        self.settings["process_name"] = names[0]
        try:
            self.places = spread(self.ports or [DEFAULT_PORT], names)
        except ValueError as error:
            raise usage.UsageError(f"--port {error}") from None
        for description in self.metrics:
            place = placeOf(description)
            for name, own in self.places.items():
                taken = next((port for port in own if place.meets(placeOf(port))), None)
                if taken is not None:
                    raise usage.UsageError(f"--metrics {description}: that is where {name} serves, by --port {taken}")

    def _parsed(self, info: OptionInfo, text: str) -> Any:
        try:
            return info.parsed(text)
        except ValueError as error:
            raise usage.UsageError(f"--{_flag(info)}{str(error).removeprefix(info.name)}") from None


# -- what is served ---------------------------------------------------------------------------------------------------


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
    from txsockjs.health import HealthResource
    from txsockjs.pages import Page
    from txsockjs.transports.answers import JAVASCRIPT

    root = None if options.static is None else _Files(options.static)
    site = _services(options, reactor, root)
    if options.client is not None:
        site.resource = mount(site.resource, CLIENT_PATH, Page(options.client, JAVASCRIPT))
    if _isTaken(HEALTH_PATH, options):
        _log.info("{path} is a place of yours, so nothing tells there whether the service drains", path=HEALTH_PATH)
    else:
        site.resource = mount(site.resource, HEALTH_PATH, HealthResource(site))
    return site


def _isTaken(path: str, options: Options) -> bool:
    """
    @return: whether there is something of the user's at a path, or below it.
    """
    if any(f"{mount.prefix}/".startswith(f"{path}/") for mount in options.mounts):
        return True
    return options.static is not None and os.path.lexists(os.path.join(options.static, path[1:]))


def _services(options: Options, reactor: Any, root: Resource | None) -> SockJSMultiFactory:
    """
    @return: a site of the services that C{options} name, or of the demo.
    """
    from txsockjs.factory import SockJSMultiFactory
    from txsockjs.multiplex import SockJSMultiplexResource

    if not options.mounts:
        from txsockjs.demo import makeSite

        return makeSite(reactor, root, **options.settings)
    site = SockJSMultiFactory(reactor=reactor, root=root)
    # A service below another one is hung into it, so the outer ones come first.
    for prefix, name in sorted(options.mounts, key=lambda mount: mount.prefix.count("/")):
        found = findNamed(name, options.appDir)
        if isinstance(found, type) and issubclass(found, SockJSMultiplexResource):
            site.addResource(_multiplexed(found, name, options, reactor), prefix)
        else:
            site.addFactory(factoryFrom(found, name, options.appDir), prefix, **options.settings)
    return site


def _multiplexed(
    kind: type[SockJSMultiplexResource], name: str, options: Options, reactor: Any
) -> SockJSMultiplexResource:
    """
    @return: a multiplexed service, of the user's class.
    """
    try:
        return kind(reactor=reactor, **options.settings)
    except (Exception, SystemExit) as error:
        raise CannotStart(f"--factory {name}: making it failed: {whyFailed(Failure(), options.appDir)}") from error


def _supervisor(options: Options, reactor: Any) -> Supervisor | WatchedService:
    """
    @return: what looks after the processes that C{options} ask for.
    """
    from txsockjs.supervisor import Supervisor

    if os.name != "posix":
        raise CannotStart("--processes: this system has no signals by which processes are told to end in good order")
    if options.bus is None:
        _log.info("there is no --bus: what is published to a channel stays in its process")
    commands = commandsFor(options.given, options.places, reactor, options.parent)
    patience = ServiceOptions.build(options.settings).drain_timeout
    supervisor = Supervisor(reactor, commands, options.directory, patience)
    watching = _watching(options, reactor, None, lambda name: os.path.join(supervisor.runDirectory, f"{name}.metrics"))
    if watching is None:
        return supervisor
    supervisor.extraArguments.append(
        lambda name, directory: [f"--metrics=unix:address={quoteStringArgument(os.path.join(directory, name))}.metrics"]
    )
    return WatchedService(supervisor, watching)


def makeService(options: Options) -> SockJSService | Supervisor | WatchedService:
    """
    Make the service that was asked for.

    @raise CannotStart: when there is no such protocol, or no such endpoint.
    """
    from twisted.internet import reactor

    from txsockjs.lifeline import Lifeline

    if options.processes is not None:
        return _supervisor(options, reactor)
    leaveBus = _useBus(options, reactor)  # before the user's code is there, which may publish at once
    endpoints = _endpoints(reactor, "port", options.ports or [DEFAULT_PORT], options.appDir)
    site = _site(options, reactor)
    paths = list(site.paths)
    if "/" not in paths and (options.static is not None or not options.mounts):
        paths.insert(0, "/")
    example = options.mounts[0].prefix if options.mounts else site.paths[0]
    name = options.settings.get("process_name")
    lifeline = Lifeline.find(reactor)
    service = SockJSService(reactor, site, endpoints, paths, example, options.appDir, name, lifeline, leaveBus)
    watching = _watching(options, reactor, site)
    return service if watching is None else WatchedService(service, watching)


def _useBus(options: Options, reactor: Any) -> Callable[[], Deferred[None]] | None:
    """
    Put the channels of this process onto the bus that C{options} ask for.

    @return: sends what waits for the bus, and leaves it; or L{None} when none is asked for.

    @raise CannotStart: when it can't be had.
    """
    if options.bus is None:
        return None
    from txsockjs.broadcast import channels

    try:
        channels.useBus(busFromString(options.bus, reactor))
    except ValueError as error:
        raise CannotStart(f"--bus: {error}") from error
    return channels.stop


def _endpoints(
    reactor: Any, flag: str, descriptions: Sequence[str], directory: str
) -> list[tuple[str, IStreamServerEndpoint]]:
    """
    @return: each endpoint, with its description.

    @raise CannotStart: when one can't be had.
    """
    endpoints = []
    for description in descriptions:
        try:
            endpoints.append((description, serverFromString(reactor, description)))
        except OSError as error:
            raise CannotStart(f"--{flag} {description}: {whyNotListening(Failure(), directory)}") from error
        except ImportError as error:
            raise CannotStart(f"--{flag} {description}: {error}; TLS needs txsockjs[tls]") from error
        except Exception as error:  # there is no telling what parsers raise
            if ":" not in description:
                why = "that is neither a port nor the description of an endpoint, such as tcp:8081"
            else:
                why = f"that describes no endpoint: {error}"
            raise CannotStart(f"--{flag} {description}: {why}") from error
    return endpoints


def _watching(
    options: Options, reactor: Any, site: SockJSMultiFactory | None, children: Callable[[str], str] | None = None
) -> WatchingService | None:
    """
    @param site: what this process serves, if it does.

    @param children: the path of the socket at which a process of the name tells its metrics.

    @return: what serves those who watch, if they are to be served.

    @raise CannotStart: when that can't be done.
    """
    if not options.metrics:
        return None
    try:
        from txsockjs.metrics import StatusSite, Watched, peerAt, peerFromString
    except ImportError as error:
        raise CannotStart(f"--metrics: {error}; it needs txsockjs[metrics]") from error

    endpoints = _endpoints(reactor, "metrics", options.metrics, options.appDir)
    peers = [] if children is None else [peerAt(reactor, name, children) for name in options.places]
    names = {peer.name for peer in peers} | {options.settings.get("process_name")}
    for text in options.peers:
        try:
            peers.append(peerFromString(reactor, text))
        except ValueError as error:
            raise CannotStart(f"--metrics-peer {error}") from error
        name = peers[-1].name
        if name in names:
            raise CannotStart(f"--metrics-peer {text}: there are two called {name!r}; NAME=WHERE gives another name")
        names.add(name)
    watched = None if site is None else Watched(site, options.settings.get("process_name") or "", reactor)
    return WatchingService(reactor, StatusSite(watched, peers, reactor=reactor), endpoints, options.appDir, watched)
