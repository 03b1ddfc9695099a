# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What L{benchmarks.many} has measured, as tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import million
from benchmarks.report import Table, grid, listTable, number, writeTables

__all__ = ["asText", "millionRST", "read", "tables", "write"]

_TRANSPORTS = {"ws-echo-1": "WebSocket", "xhr-streaming": "xhr-streaming", "xhr-polling": "xhr-polling"}

_WAYS = {"direct": "directly", "haproxy": "through HAProxy"}


def _ms(value: float) -> str:
    return number(value / 1e3)


def _cost(row: dict[str, Any], name: str, what: str = "cost") -> str:
    """
    @return: a figure of one of the programs, if it was there.
    """
    return _fine(row[name][what]) if name in row else ""


def _fine(value: float) -> str:
    return f"{value:.2f}" if 0 < value < 0.95 else number(value)


_USED = ("user", "system")


def _fanout(data: dict[str, Any]) -> Table:
    rows = []
    for way, runs in data["fanout"].items():
        for row in runs.values():
            if row is None:
                continue
            asked = row["asked_messages_per_s"]
            title = f"{_WAYS[way]}, " + (f"{number(asked)} messages a second" if asked else "the next when all have it")
            rows.append(
                [
                    title,
                    f"{row['units_per_s']:,.0f}",
                    _ms(row["p50"]),
                    _ms(row["p99"]),
                    *(_cost(row, "servers", what) for what in ("cost", *_USED)),
                    _cost(row, "haproxy"),
                    _cost(row, "redis"),
                    *(_cost(row, name, "percent") for name in ("servers", "haproxy", "redis")),
                    number(row["load_percent"]),
                ]
            )
    headers = ["way", "deliveries a second", "p50 ms", "p99 ms", "servers µs", "user", "system", "HAProxy µs"]
    headers += ["Redis µs", "servers %", "HAProxy %", "Redis %", "load %"]
    title = f"A fan-out to {data['sessions']:,} WebSocket sessions over {data['processes']} processes"
    return title, headers, rows


def _echo(data: dict[str, Any]) -> Table:
    rows = []
    for name, ways in data["echo"].items():
        for way, runs in ways.items():
            highest, paced = runs.get("highest"), runs.get("paced")
            row = [f"{_TRANSPORTS[name]}, {_WAYS[way]}", *[""] * 6]
            if highest is not None:
                row[1:5] = [f"{highest['units_per_s']:,.0f}", _cost(highest, "servers"), _cost(highest, "haproxy"), ""]
                row[4] = number(highest["load_percent"])
            if paced is not None:
                row[5:] = [number(paced["p50"]), number(paced["p99"])]
            rows.append(row)
    headers = ["transport", "a second", "server µs", "HAProxy µs", "load %"]
    at = f"at {number(data['echo_rate'])} a second"
    return "What HAProxy adds to an echo", [*headers, f"p50 µs {at}", f"p99 µs {at}"], rows


def _growth(data: dict[str, Any]) -> Table:
    rows = [
        [
            f"{row['processes']}" + ("" if row["bus"] == "redis" else ", no bus"),
            f"{row['sessions']:,}",
            f"{row['units_per_s']:,.0f}",
            *(_cost(row, "servers", what) for what in ("cost", *_USED)),
            _cost(row, "redis"),
            _ms(row["p50"]),
            _ms(row["p99"]),
            _cost(row, "servers", "percent"),
            number(row["load_percent"]),
        ]
        for row in data["growth"]
    ]
    headers = ["processes", "sessions in all", "deliveries a second", "servers µs", "user", "system", "Redis µs"]
    return "A fan-out by more processes", [*headers, "p50 ms", "p99 ms", "servers %", "load %"], rows


def _bus(data: dict[str, Any]) -> Table:
    rows = []
    for row in data["bus"]:
        count = row["sessions"]
        hasBus = row["bus"] == "redis"
        rows.append(
            [
                f"{row['processes']}" + ("" if hasBus else ", no bus"),
                f"{row['messages_per_s']:,.0f}" + ("" if row["asked_messages_per_s"] else ", as many as go"),
                number(row["servers"]["cost"] * count),
                number(row["servers"]["cost"] * count / row["processes"]),
                number(row["redis"]["cost"] * count) if hasBus else "",
                number(row["bus_bytes_in"]) if hasBus else "",
                number(row["bus_bytes_out"]) if hasBus else "",
                _ms(row["p50"]),
                _ms(row["p99"]),
            ]
        )
    headers = ["processes", "messages a second", "servers µs", "of which each", "Redis µs", "bytes to Redis"]
    return "A message to one session in each process", [*headers, "bytes from Redis", "p50 ms", "p99 ms"], rows


def _sessions(data: dict[str, Any]) -> Table:
    rows = []
    for way, runs in data["fanout"].items():
        row = runs["highest"]
        cells = [_WAYS[way]]
        for name in ("servers", "haproxy"):
            cells += [_cost(row, name, "opening"), _cost(row, name, "kB_each")]
        rows.append(cells)
    headers = ["way", "servers µs to open", "servers kB each", "HAProxy µs to open", "HAProxy kB each"]
    return "To open a WebSocket session, and to keep it", headers, rows


_PARTS = {"fanout": (_fanout, _sessions), "echo": (_echo,), "growth": (_growth,), "bus": (_bus,)}


def tables(data: dict[str, Any]) -> Iterator[Table]:
    """
    @return: what was measured, part by part.
    """
    for part, functions in _PARTS.items():
        if data.get(part):
            for function in functions:
                yield function(data)


def _isWhole(data: dict[str, Any]) -> bool:
    """
    @return: whether there is all that the table of a million needs.
    """
    return "haproxy" in data.get("fanout", {}) and bool(data.get("growth")) and bool(data.get("bus"))


def millionRST(data: dict[str, Any]) -> str:
    """
    @return: what a million sessions take, and what that rests on, in reStructuredText.
    """
    lines = [".. Written by: python -m benchmarks many --docs", "", listTable(*million.table(data))]
    return "\n".join([*lines, *(f"- {sentence}" for sentence in million.assumptions(data)), ""])


def asText(data: dict[str, Any]) -> str:
    """
    @return: everything in plain text.
    """
    parts = [f"{title}\n\n{grid(headers, rows)}\n" for title, headers, rows in tables(data)]
    if _isWhole(data):
        title, headers, rows = million.table(data)
        parts.append(f"{title}\n\n{grid(headers, rows)}\n")
        parts += [f"- {sentence}" for sentence in million.assumptions(data)]
    return "\n".join(parts)


def write(data: dict[str, Any], directory: Path) -> None:
    """
    Write what the documentation shows.

    @raise ValueError: when a part of the figures is missing.
    """
    if not _isWhole(data) or not data.get("echo"):
        raise ValueError("the documentation shows all parts, and some were not measured")
    writeTables("many", data, tables(data), directory)
    (directory / "many-million.rst").write_text(millionRST(data), "utf-8")


def read(path: Path) -> dict[str, Any]:
    """
    @return: the figures of an earlier run.

    @raise ValueError: when the file has none.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise ValueError("it is no JSON") from None
    if not isinstance(data, dict) or "echo_rate" not in data:
        raise ValueError("it has no figures of python -m benchmarks many")
    return data
