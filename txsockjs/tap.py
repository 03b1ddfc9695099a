# -*- test-case-name: tests.test_tap -*-
"""
C{twistd sockjs} and C{twist sockjs}: serve a user's own protocols, or the demo, from the command line.

What is heavy, and whatever chooses a reactor, is imported in L{makeService}; asking for C{--help} stays quick.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.static import File

from txsockjs.commands import commandsFor
from txsockjs.flags import CLIENT_PATH, DEFAULT_PORT, Options
from txsockjs.naming import factoryFrom, findNamed, whyFailed
from txsockjs.options import Options as ServiceOptions
from txsockjs.serving import SockJSService, WatchedService, WatchingService, whyNotListening
from txsockjs.starting import CannotStart

if TYPE_CHECKING:
    from txsockjs.factory import SockJSMultiFactory
    from txsockjs.multiplex import SockJSMultiplexResource
    from txsockjs.supervisor import Supervisor

__all__ = ["Options", "makeService"]

HEALTH_PATH = "/health"
"""Where balancers ask, unless the user has something there."""

_log = Logger(namespace="txsockjs")


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
    from txsockjs.health import HealthResource
    from txsockjs.mounting import mount
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
    paths = site.paths
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
        channels.useBus(options.bus, reactor)
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
