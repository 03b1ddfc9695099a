# -*- test-case-name: tests.test_tap -*-
"""
The flags of C{twistd sockjs}: what they are called, how they are read, and which go together.
"""

from __future__ import annotations

import getopt
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from twisted.python import usage

import txsockjs
from txsockjs.bus import parseBus
from txsockjs.commands import namesOf
from txsockjs.options import OPTIONS, OptionInfo
from txsockjs.options import Options as ServiceOptions
from txsockjs.ports import MOST_PORT, placeOf, spread
from txsockjs.starting import CannotStart

__all__ = ["CLIENT_PATH", "DEFAULT_PORT", "MOST_PROCESSES", "Mount", "Options"]

DEFAULT_PORT = "tcp:8081"

MOST_PROCESSES = 256

CLIENT_PATH = "/sockjs.js"
"""Where C{--sockjs-js} is served."""


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
    if int(port) > MOST_PORT:
        raise usage.UsageError(f"--{flag} {port}: ports end at {MOST_PORT}")
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
        if re.search("[\ud800-\udfff]", prefix):
            raise usage.UsageError(f"--factory {factory!a}: a prefix that is no text can't be in a URL")
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
