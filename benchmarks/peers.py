# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The servers: how each is installed and started.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.works import Work

__all__ = ["PEERS", "REACTORS", "ROOT", "Peer", "Unavailable", "ours", "run"]

ROOT = Path(__file__).resolve().parent.parent
_SERVERS = ROOT / "benchmarks" / "servers"


class Unavailable(Exception):
    """
    A peer can't be had here; says why.
    """


def run(command: list[str], directory: Path) -> str:
    """
    @return: what a command writes.

    @raise Unavailable: when it fails.
    """
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=600, check=False)
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:3])} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


@dataclass(frozen=True)
class Peer:
    """
    A server.

    @ivar command: makes the command line from the directory of the peer and the port.

    @ivar install: puts what it needs in a directory, and returns its version.

    @ivar transports: how this peer calls the transports of the works; what is not in it, it does not have.
    """

    name: str
    title: str
    command: Callable[[Path, int], list[str]]
    install: Callable[[Path], str]
    transports: dict[str, str] = field(
        default_factory=lambda: {name: name for name in ("websocket", "xhr-streaming", "xhr-polling")}
    )
    environment: Callable[[Path], dict[str, str]] = lambda directory: {}

    def can(self, work: Work) -> bool:
        """
        @return: whether this peer has what the work needs.
        """
        return work.transport in self.transports


# -- installing -------------------------------------------------------------------------------------------------------


def _node(package: str) -> Callable[[Path], str]:
    def install(directory: Path) -> str:
        if not (directory / "node_modules").exists():
            for program in ("node", "npm"):
                if shutil.which(program) is None:
                    raise Unavailable(f"{program} is not installed")
            (directory / "package.json").write_text('{"private": true}')
            run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", package], directory)
        shutil.copy(_SERVERS / "node_server.js", directory)
        say = 'console.log(require("sockjs/package.json").version, process.version)'
        found, node = run(["node", "-e", say], directory).split()
        return f"{found}, Node {node.lstrip('v')}"

    return install


def _python(main: str, *more: str) -> Callable[[Path], str]:
    def install(directory: Path) -> str:
        python = directory / "venv" / "bin" / "python"
        if not python.exists():
            run([sys.executable, "-m", "venv", "venv"], directory)
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", main, *more], directory)
        say = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
        return run([str(python), "-c", say, main, *more], directory).strip().removeprefix(f"{main} ")

    return install


def _go(directory: Path) -> str:
    if shutil.which("go") is None:
        raise Unavailable("Go is not installed")
    module = "github.com/igm/sockjs-go/v3"
    shutil.copy(_SERVERS / "go_server.go", directory)
    if not (directory / "go.mod").exists():
        run(["go", "mod", "init", "benchmark"], directory)
    run(["go", "get", f"{module}@latest"], directory)
    run(["go", "build", "-o", "server", "."], directory)
    return run(["go", "list", "-m", "-f", "{{.Version}}", module], directory).strip().removeprefix("v")


def _here(*names: str) -> Callable[[Path], str]:
    def install(directory: Path) -> str:
        try:
            return ", ".join(f"{name} {version(name)}" for name in names)
        except PackageNotFoundError as error:
            raise Unavailable(f"{error.name} is not installed") from error

    return install


def _uvloop(directory: Path) -> str:
    if not (directory / "uvloop").exists():
        run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(directory), "uvloop"], directory)
    return _ourVersion(directory)


# -- starting ---------------------------------------------------------------------------------------------------------


def _script(name: str, *arguments: str) -> Callable[[Path, int], list[str]]:
    def command(directory: Path, port: int) -> list[str]:
        return [str(directory / "venv" / "bin" / "python"), str(_SERVERS / name), str(port), *arguments]

    return command


def _pythonPath(*directories: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), *map(str, directories)])}


def _twistd(prepare: str = "", *flags: str, settings: Sequence[str] = ()) -> Callable[[Path, int], list[str]]:
    def command(directory: Path, port: int) -> list[str]:
        program = f"{prepare}from twisted.scripts.twistd import run; run()"
        services = {"echo": "Echo", "fanout": "Fanout", "channel": "Listener"}
        site = [f"--factory={path}=benchmarks.servers.ours.{name}" for path, name in services.items()]
        listen = ["--port", f"tcp:{port}:interface=127.0.0.1"]
        return [sys.executable, "-c", program, "--nodaemon", "--pidfile=", *flags, "sockjs", *listen, *site, *settings]

    return command


def _ourVersion(directory: Path) -> str:
    from twisted import __version__ as twisted
    from txsockjs import __version__ as own

    return f"{own}, Twisted {twisted}, Python {sys.version.split()[0]}"


def ours(
    prepare: str = "", *flags: str, name: str = "ours", title: str = "txsockjs", settings: Sequence[str] = ()
) -> Peer:
    """
    @param prepare: Python to run before C{twistd}.

    @param flags: for C{twistd}.

    @param settings: flags for C{twistd sockjs}.

    @return: our own server.
    """
    return Peer(
        name,
        title,
        _twistd(prepare, *flags, settings=settings),
        _ourVersion,
        environment=lambda directory: _pythonPath(directory),
    )


def _byName(peers: list[Peer]) -> dict[str, Peer]:
    return {peer.name: peer for peer in peers}


PEERS = _byName(
    [
        ours(),
        Peer(
            "sockjs-node",
            "sockjs-node",
            lambda directory, port: ["node", str(directory / "node_server.js"), str(port)],
            _node("sockjs@latest"),
        ),
        Peer("aiohttp", "sockjs for aiohttp", _script("aiohttp_server.py"), _python("sockjs", "aiohttp")),
        Peer(
            "aiohttp-uvloop",
            "sockjs for aiohttp, uvloop",
            _script("aiohttp_server.py", "--uvloop"),
            _python("sockjs", "aiohttp", "uvloop"),
        ),
        Peer("tornado", "sockjs-tornado", _script("tornado_server.py"), _python("sockjs-tornado", "tornado")),
        Peer("go", "sockjs-go", lambda directory, port: [str(directory / "server"), str(port)], _go),
        Peer(
            "autobahn",
            "plain Autobahn",
            lambda directory, port: [sys.executable, str(_SERVERS / "autobahn_server.py"), str(port)],
            _here("autobahn", "twisted"),
            {"websocket": "websocket-raw"},
        ),
    ]
)
"""
All that can be compared, by their names.
"""

REACTORS = _byName(
    [
        ours(name="epoll", title="epoll"),
        ours("", "--reactor=asyncio", name="asyncio", title="asyncio"),
        Peer(
            "uvloop",
            "asyncio with uvloop",
            _twistd("import uvloop; uvloop.install(); ", "--reactor=asyncio"),
            _uvloop,
            environment=lambda directory: _pythonPath(directory),
        ),
    ]
)
"""
Our server on each reactor.
"""
