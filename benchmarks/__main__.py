# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The commands: C{python -m benchmarks compare|show|growth|latency|reactors|many|quick|profile}.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import manyreport, profiling, report
from benchmarks.many import PARTS, QUICK, Many, needed
from benchmarks.measure import Bench, Failed, median
from benchmarks.peers import PEERS, REACTORS, ROOT, Peer, Unavailable
from benchmarks.works import GROWTH, WORKS, Work

_DOCS = ROOT / "docs" / "_static" / "benchmarks"
_README = ROOT / "README.rst"

_SCRATCH = ROOT / ".benchmarks"

_MARK = ("cost", "user", "system", "rate", "p50", "p99", "server_percent", "load_percent")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _figures(figures: dict[str, Any]) -> list[str]:
    return [report.number(figures.get(name)) for name in _MARK]


_GROWS = {
    "connections": "The cost of a message as connections grow",
    "bytes in a message": "The cost of a message as it grows",
    "receivers": "The cost of a delivery as receivers grow",
}

_HEADERS = ["µs", "user", "system", "a second", "p50 µs", "p99 µs", "server %", "load %"]


def _installed(bench: Bench, peers: list[Peer]) -> tuple[dict[str, str], dict[str, str]]:
    """
    @return: the versions of the peers, and of those that can't be had, why.
    """
    versions, unavailable = {}, {}
    for peer in peers:
        try:
            versions[peer.name] = peer.install(bench.directory(peer))
            _say(f"{peer.title}: {versions[peer.name]}")
        except Unavailable as error:
            unavailable[peer.name] = str(error)
            _say(f"{peer.title}: {error}")
    return versions, unavailable


def _measureAll(
    bench: Bench, peers: list[Peer], works: list[Work], repeat: int
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """
    Measure one after another, in rounds, so that what disturbs the machine for a while disturbs all.

    @return: the medians by work and peer; and what failed.
    """
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {work.name: {} for work in works}
    failures = []
    for _ in range(repeat):
        for work in works:
            for peer in peers:
                if not peer.can(work):
                    continue
                try:
                    figures = bench.measure(peer, work)
                except Failed as error:
                    failures.append(str(error))
                    _say(f"FAILED: {error}")
                    continue
                runs[work.name].setdefault(peer.name, []).append(figures)
                _say(f"{work.name:14} {peer.title:27} {report.number(figures['cost']):>6} {work.unit}")
    medians = {
        work: {peer.name: median(row[peer.name]) for peer in peers if peer.name in row} for work, row in runs.items()
    }
    return medians, failures


def _write(arguments: argparse.Namespace, data: dict[str, Any]) -> None:
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def _chosen(known: dict[str, Any], names: list[str] | None) -> list[Any]:
    return [known[name] for name in names or known]


# -- the commands -----------------------------------------------------------------------------------------------------


def compare(bench: Bench, arguments: argparse.Namespace) -> list[str]:
    """all servers, one after another, with the same load"""
    works = _chosen(WORKS, arguments.work)
    about = report.machine()
    versions, unavailable = _installed(bench, _chosen(PEERS, arguments.peers))
    peers = [PEERS[name] for name in versions]
    results, failures = _measureAll(bench, peers, works, arguments.repeat)
    data = {
        "machine": about,
        "load": Path(bench.load).name if bench.load else "ours",
        "repeat": arguments.repeat,
        "duration": bench.duration,
        "peers": {peer.name: {"title": peer.title, "version": versions[peer.name]} for peer in peers},
        "unavailable": unavailable,
        "works": {work.name: {"title": work.title, "unit": work.unit, "target": work.target} for work in works},
        "results": results,
        "failures": failures,
    }
    _write(arguments, data)
    _show(arguments, data)
    return failures


def _show(arguments: argparse.Namespace, data: dict[str, Any]) -> None:
    if arguments.svg:
        Path(arguments.svg).write_text(report.picture(data), "utf-8")
    if arguments.docs:
        report.writeDocs(data, _DOCS)
        report.writeReadme(data, _README)
    print(report.asText(data))


def _present(arguments: argparse.Namespace, data: dict[str, Any], tables: list[report.Table]) -> None:
    """
    Show what a command other than compare has measured, and put it where it is wanted.
    """
    for _, headers, rows in tables:
        print(report.grid(headers, rows), end="\n\n", flush=True)
    _write(arguments, data)
    if arguments.docs:
        report.writeTables(arguments.command.__name__, data, tables, _DOCS)


def show(bench: Bench, arguments: argparse.Namespace) -> list[str]:
    """what compare has written with --json, once more"""
    _show(arguments, json.loads(arguments.file.read_text("utf-8")))
    return []


def growth(bench: Bench, arguments: argparse.Namespace) -> list[str]:
    """how the cost of a message grows with connections, with bytes, and with receivers; and what idle sessions cost"""
    peer = PEERS[arguments.peer]
    data: dict[str, Any] = {"machine": report.machine(), "peers": _installed(bench, [peer])[0], "results": {}}
    failed, tables = [], []
    for what in arguments.what or [*GROWTH, "idle"]:
        if what == "idle":
            work = Work("idle", "10,000 idle websocket sessions", "idle", conns=10_000)
            longer = replace(bench, duration=arguments.idle)
            results, failures = _measureAll(longer, [peer], [work], 1)
            title, headers = "What idle sessions cost", ["sessions", "% of a core", "kB each"]
        else:
            results, failures = _measureAll(bench, [peer], GROWTH[what], arguments.repeat)
            title, headers = _GROWS[what], [what, *_HEADERS]
        titles = {work.name: work.title for work in GROWTH.get(what, [])}
        rows = []
        for name, row in results.items():
            figures = row.get(peer.name, {})
            cells = _figures(figures) if what != "idle" else _idleFigures(figures)
            rows.append([titles.get(name, "10,000"), *cells])
        tables.append((title, headers, rows))
        data["results"][what] = {name: row.get(peer.name) for name, row in results.items()}
        failed += failures
    _present(arguments, data, tables)
    return failed


def _idleFigures(figures: dict[str, Any]) -> list[str]:
    percent = figures.get("cpu_percent")
    return ["" if percent is None else f"{percent:.2f}", report.number(figures.get("rss"))]


def latency(bench: Bench, arguments: argparse.Namespace) -> list[str]:
    """the latency of ours and of sockjs-node under half the load that sockjs-node can bear"""
    peers = [PEERS["ours"], PEERS[report.REFERENCE]]
    versions, unavailable = _installed(bench, peers)
    if unavailable:
        return list(unavailable.values())
    data: dict[str, Any] = {"machine": report.machine(), "peers": versions, "results": {}}
    rows: list[list[str]] = []
    failures = []
    for work in _chosen(WORKS, arguments.work or ["ws-echo-1", "xhr-streaming", "xhr-polling"]):
        rate = arguments.rate or bench.measure(peers[1], work)["rate"] * arguments.share
        row = data["results"][work.name] = {"rate": rate}
        for peer in peers:
            runs = []
            for _ in range(arguments.repeat):
                try:
                    runs.append(bench.measure(peer, work, rate=rate))
                except Failed as error:
                    failures.append(str(error))
            if runs:
                row[peer.name] = median(runs)
            rows.append([f"{work.name}, {rate:,.0f} a second, {peer.title}", *_figures(row.get(peer.name, {}))])
    _present(arguments, data, [("Latency under half the load that sockjs-node can bear", ["work", *_HEADERS], rows)])
    return failures


def reactors(bench: Bench, arguments: argparse.Namespace) -> list[str]:
    """our server on each reactor"""
    versions, _ = _installed(bench, list(REACTORS.values()))
    peers = [REACTORS[name] for name in versions]
    works = _chosen(WORKS, arguments.work or ["ws-echo-16", "ws-echo-1", "ws-fanout", "xhr-streaming"])
    results, failures = _measureAll(bench, peers, works, arguments.repeat)
    rows = [
        [f"{work}, {REACTORS[name].title}", *_figures(figures)]
        for work, row in results.items()
        for name, figures in row.items()
    ]
    data = {"machine": report.machine(), "peers": versions, "results": results}
    _present(arguments, data, [("The reactors of Twisted", ["work", *_HEADERS], rows)])
    return failures


def many(bench: Bench, arguments: argparse.Namespace) -> list[str]:
    """a service of many processes, with Redis between them and HAProxy before them"""
    if arguments.figures is not None:
        return _presentMany(arguments, arguments.figures)
    chosen = {name: value for name in ("sessions", "processes", "rate") if (value := getattr(arguments, name))}
    sizes = {"duration": bench.duration, "warmup": bench.warmup, **(QUICK if arguments.quick else {}), **chosen}
    measuring = Many(bench.scratch / "many", _say, limit=arguments.limit, **sizes)
    parts = arguments.what or list(PARTS)
    try:
        if arguments.quick and arguments.docs:
            raise ValueError("the figures of --quick are not for --docs")
        measuring.check()
        versions = {name: peer.install(bench.scratch) for name, peer in PEERS.items() if name == "ours"}
        versions |= needed(parts)
    except (Unavailable, ValueError) as error:
        _say(f"python -m benchmarks many: {error}")
        return [str(error)]
    data = {"machine": report.machine(), "peers": versions, **measuring.measure(parts)}
    return _presentMany(arguments, data)


def _presentMany(arguments: argparse.Namespace, data: dict[str, Any]) -> list[str]:
    failures: list[str] = data["failures"]
    print(manyreport.asText(data), flush=True)
    _write(arguments, data)
    if arguments.docs and not failures:
        try:
            manyreport.write(data, _DOCS)
        except ValueError as error:
            failures = [str(error)]
    if arguments.docs and failures:
        _say(f"The documentation is as it was: {'; '.join(failures)}")
    return failures


def quick(bench: Bench, arguments: argparse.Namespace) -> list[str]:
    """our server alone, each work once"""
    works = _chosen(WORKS, arguments.work or [work.name for work in WORKS.values() if not work.isMemory])
    peer = PEERS[arguments.peer]
    versions, _ = _installed(bench, [peer])
    results, failures = _measureAll(bench, [peer], works, arguments.repeat)
    rows = [[work, *_figures(row[peer.name])] for work, row in results.items() if peer.name in row]
    print(report.grid(["", *_HEADERS], rows))
    _write(arguments, {"machine": report.machine(), "peers": versions, "results": results})
    return failures


def profile(bench: Bench, arguments: argparse.Namespace) -> list[str]:
    """where our server spends its time in one work"""
    print(profiling.profile(bench, WORKS[arguments.name], arguments.lines))
    return []


# -- the command line -------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What txsockjs costs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (compare, show, growth, latency, reactors, many, quick, profile):
        sub = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        sub.set_defaults(command=command)
        add = sub.add_argument
        if command not in (show, many):
            add("--load", default="ours", metavar="ours|PATH", help="the load generator: ours, or the path of sjload")
        if command is not show:
            add("--scratch", type=Path, default=_SCRATCH, help="where the other servers are installed")
            seconds = {quick: 2.0, many: 5.0}.get(command, 3.0)
            add("--duration", type=_atLeast(0.1, float), default=seconds, help=f"seconds of each run ({seconds:g})")
        if command not in (show, profile):
            add("--json", metavar="FILE", help="write the figures there")
        if command not in (show, many, profile):
            rounds = 1 if command in (quick, growth) else 3
            add("--repeat", type=int, default=rounds, help=f"rounds of which the median counts ({rounds})")
        if command in (compare, latency, reactors, quick):
            add("--work", nargs="+", choices=list(WORKS), help="the works; default: all that make sense")
        if command in (growth, quick):
            add("--peer", default="ours", choices=list(PEERS), help="another server than ours")
        if command in (compare, show):
            add("--svg", metavar="FILE", help="write a picture there")
        if command in (compare, show, growth, latency, reactors, many):
            add(
                "--docs",
                action="store_true",
                help="write tables, and a picture if there is one, into the documentation",
            )
        _OWN.get(command, lambda add: None)(add)
    return parser


def _atLeast(least: float, kind: type[int] | type[float]) -> Callable[[str], float]:
    """
    @return: reads a number of a flag, and refuses smaller ones.
    """

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = least - 1
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text!r} is no {_NUMBERS[kind]} of at least {least:g}")
        return value

    return read


_NUMBERS: dict[type, str] = {int: "whole number", float: "number"}


def _figuresOfMany(path: str) -> dict[str, Any]:
    try:
        return manyreport.read(Path(path))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _manyFlags(add: Any) -> None:
    add("--sessions", type=_atLeast(1, int), metavar="N", help="sessions of a fan-out (10,000)")
    add("--processes", type=_atLeast(1, int), metavar="N", help="processes of the service, at most (4)")
    add(
        "--rate",
        type=_atLeast(0.1, float),
        metavar="N",
        help="messages a second of the fan-outs by the clock (half of what goes)",
    )
    add("--what", nargs="+", choices=PARTS, help="parts of it; default: all")
    add(
        "--limit",
        type=_atLeast(1, float),
        metavar="SECONDS",
        default=420.0,
        help="seconds after which no run is begun any more (420)",
    )
    add("--quick", action="store_true", help="small numbers, to see that it all works; the figures say nothing")
    add("--figures", type=_figuresOfMany, metavar="FILE", help="show the figures that --json has written, once more")


def _compareFlags(add: Any) -> None:
    add("--peers", nargs="+", choices=list(PEERS), help="the servers; default: all")


def _showFlags(add: Any) -> None:
    add("file", type=Path, metavar="FILE")


def _growthFlags(add: Any) -> None:
    add("--what", nargs="+", choices=[*GROWTH, "idle"], help="what grows")
    add("--idle", type=float, default=60.0, help="seconds to watch idle sessions (60)")


def _latencyFlags(add: Any) -> None:
    add("--share", type=float, default=0.5, help="which part of what sockjs-node can bear (0.5)")
    add("--rate", type=float, help="so many messages a second instead")


def _profileFlags(add: Any) -> None:
    add("name", choices=sorted(WORKS), metavar="WORK", help=", ".join(WORKS))
    add("--lines", type=int, default=40, help="how many functions to show (40)")


_OWN: dict[Any, Callable[[Any], None]] = {
    compare: _compareFlags,
    show: _showFlags,
    growth: _growthFlags,
    latency: _latencyFlags,
    many: _manyFlags,
    profile: _profileFlags,
}


def main() -> int:
    """
    @return: the exit status.
    """
    arguments = _parser().parse_args()
    given = vars(arguments)
    load = given.get("load", "ours")
    bench = Bench(
        given.get("scratch", _SCRATCH).resolve(),
        None if load == "ours" else str(Path(load).resolve()),
        given.get("duration", 0.0),
    )
    return 1 if arguments.command(bench, arguments) else 0


if __name__ == "__main__":
    # What is told to stop ends the programs that it has started, as after an interrupt.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
