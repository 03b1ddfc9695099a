# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What was measured, as text, as reStructuredText, and as a picture.
"""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

__all__ = [
    "REFERENCE",
    "Table",
    "asRST",
    "asText",
    "comparisonTables",
    "grid",
    "listTable",
    "machine",
    "number",
    "picture",
    "ratio",
    "readmeTable",
    "writeDocs",
    "writeReadme",
    "writeTables",
]

#: The peer that ours is measured by.
REFERENCE = "sockjs-node"

_Rows = list[list[str]]

Table = tuple[str, list[str], _Rows]
"""Title, headers and rows."""

_BEGIN, _END = ".. benchmarks: begin\n", ".. benchmarks: end\n"
"""Between these comments the README has its table."""


def machine() -> dict[str, Any]:
    """
    @return: what there is to say about where this runs.
    """
    model = "unknown processor"
    try:
        found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        model = found[1] if found else model
    except OSError:
        pass
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }


def number(value: float | None) -> str:
    """
    @return: a figure with as many digits as it deserves.
    """
    if value is None:
        return ""
    if value < 9.95:
        return f"{value:.1f}"
    return f"{value:,.0f}"


def ratio(data: dict[str, Any], work: str) -> float | None:
    """
    @return: what ours needs for a work, as a part of what the reference needs.
    """
    row = data["results"].get(work, {})
    if "ours" not in row or not row.get(REFERENCE, {}).get("cost"):
        return None
    return float(row["ours"]["cost"] / row[REFERENCE]["cost"])


def grid(headers: Sequence[str], rows: _Rows) -> str:
    """
    @return: a table in plain text; the first column is of words, the others are of figures.
    """
    widths = [max(len(row[column]) for row in [list(headers), *rows]) for column in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        _, *others = [cell.rjust(width) for cell, width in zip(cells, widths)]
        return "  ".join([cells[0].ljust(widths[0]), *others]).rstrip()

    return "\n".join([line(headers), line(["-" * width for width in widths]), *map(line, rows)])


def listTable(title: str, headers: Sequence[str], rows: _Rows) -> str:
    """
    @return: a table in reStructuredText.
    """
    lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
    for row in [list(headers), *rows]:
        lines += [f"   {' ' if place else '*'} - {cell}".rstrip() for place, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def comparisonTables(data: dict[str, Any]) -> Iterable[Table]:
    """
    @param data: as C{compare} writes it.

    @return: the tables, each with its title and its headers.
    """
    peers = list(data["peers"])
    titles = [data["peers"][peer]["title"] for peer in peers]
    rows = []
    for work, row in data["results"].items():
        found, target = ratio(data, work), data["works"][work]["target"]
        about = f"{data['works'][work]['title']}, {data['works'][work]['unit']}"
        cells = [number(row[peer]["cost"]) if peer in row else "" for peer in peers]
        verdict = "" if found is None or target is None else "yes" if found <= target else "no"
        rows.append([about, *cells, f"{found:.2f}" if found is not None else "", f"{target or ''}", verdict])
    headers = ["work", *titles, f"txsockjs / {REFERENCE}", "target", "met"]
    yield "CPU time of the server for a message, or memory of a session", headers, rows
    for title, name, scale in (
        ("Of that the kernel's part, µs", "system", 1),
        ("Messages a second, in thousands", "rate", 1e-3),
        ("Latency in milliseconds, median", "p50", 1e-3),
        ("Latency in milliseconds, 99 of 100", "p99", 1e-3),
        ("Memory for each connection, kB", "rss", 1),
    ):
        rows = []
        for work, row in data["results"].items():
            values = [row.get(peer, {}).get(name) for peer in peers]
            if any(value is not None for value in values):
                cells = [number(None if value is None else value * scale) for value in values]
                rows.append([data["works"][work]["title"], *cells])
        yield title, ["work", *titles], rows


def _about(data: dict[str, Any]) -> list[str]:
    """
    @return: sentences on how the figures came about.
    """
    about = data["machine"]
    lines = [
        f"Measured on {about['date']}: {about['processor']}, {about['cores']} cores, {about['system']}; "
        f"the median of {data['repeat']} runs of {data['duration']:g} seconds, "
        f"with {'the load generator of this repository' if data['load'] == 'ours' else data['load']}.",
        "Versions: " + "; ".join(f"{peer['title']} {peer['version']}" for peer in data["peers"].values()) + ".",
    ]
    lines += [f"Not measured: {name}: {reason}." for name, reason in data["unavailable"].items()]
    lines += [f"Failed: {failure}" for failure in data["failures"]]
    return lines


def asText(data: dict[str, Any]) -> str:
    """
    @return: all tables in plain text.
    """
    parts = [f"{title}\n\n{grid(headers, rows)}\n" for title, headers, rows in comparisonTables(data)]
    return "\n".join([*parts, *_about(data)])


def asRST(data: dict[str, Any]) -> str:
    """
    @return: all tables in reStructuredText.
    """
    parts = [listTable(*table) for table in comparisonTables(data)]
    about = [re.sub(r"([\\*`|_])", r"\\\1", line) for line in _about(data)]
    return (
        "\n".join([".. Written by: python -m benchmarks compare --docs", "", *parts]) + "\n" + "\n\n".join(about) + "\n"
    )


def writeDocs(data: dict[str, Any], directory: Path) -> None:
    """
    Write what the documentation shows.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "compare.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    (directory / "compare.rst").write_text(asRST(data), "utf-8")
    (directory / "compare.svg").write_text(picture(data), "utf-8")


def writeTables(name: str, data: dict[str, Any], tables: Iterable[Table], directory: Path) -> None:
    """
    Write the tables of a command for the documentation.
    """
    directory.mkdir(parents=True, exist_ok=True)
    about = data["machine"]
    where = f"Measured on {about['date']}: {about['processor']}, {about['cores']} cores, {about['system']}."
    versions = "; ".join(f"{peer} {version}" for peer, version in data["peers"].items())
    parts = [f".. Written by: python -m benchmarks {name} --docs\n", *(listTable(*table) for table in tables)]
    (directory / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    (directory / f"{name}.rst").write_text("\n".join([*parts, where, "", f"Versions: {versions}.", ""]), "utf-8")


def readmeTable(data: dict[str, Any]) -> str:
    """
    @return: what the README shows: the first of the tables, without targets.
    """
    _, headers, rows = next(iter(comparisonTables(data)))
    text = grid(headers[:-2], [row[:-2] for row in rows])
    first, line, *others = text.splitlines()
    border = line.replace("-", "=")
    about = data["machine"]
    where = f"{about['processor']}, {about['cores']} cores, {about['date']}; the medians of {data['repeat']} rounds"
    return "\n".join([border, first, border, *others, border, "", f"({where}.)", ""])


def writeReadme(data: dict[str, Any], readme: Path) -> None:
    """
    Put the table into the README.

    @raise ValueError: when that has no place for it.
    """
    text = readme.read_text("utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"{readme.name} has no lines {_BEGIN!r} and {_END!r}")
    readme.write_text(f"{before}{begin}\n{readmeTable(data)}\n{end}{after}", "utf-8")


# -- the picture ------------------------------------------------------------------------------------------------------

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.figure { fill: #57606a }
.bar { fill: #afb8c1 }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .figure { fill: #8b949e }
  .bar { fill: #484f58 }
  .ours { fill: #4493f8 }
}
"""

_WIDTH, _COLUMNS, _LABEL, _BAR, _LINE = 440, 2, 160, 190, 18


def _panel(data: dict[str, Any], work: str, x: int, y: int) -> list[str]:
    """
    @return: the bars of one work.
    """
    row = data["results"][work]
    about = data["works"][work]
    most = max(figures["cost"] for figures in row.values()) or 1
    shapes = [f'<text class="title" x="{x}" y="{y + 14}">{escape(about["title"])}</text>']
    for place, (peer, figures) in enumerate(row.items()):
        top = y + 24 + place * _LINE
        width = max(figures["cost"], 0) / most * _BAR
        kind = "ours" if peer == "ours" else "bar"
        label = escape(data["peers"][peer]["title"])
        value = f"{number(figures['cost'])} {about['unit']}"
        shapes += [
            f'<text x="{x + _LABEL - 8}" y="{top + 11}" text-anchor="end">{label}</text>',
            f'<rect class="{kind}" x="{x + _LABEL}" y="{top}" width="{width:.1f}" height="{_LINE - 4}" rx="2"/>',
            f'<text class="figure" x="{x + _LABEL + width + 6:.1f}" y="{top + 11}">{value}</text>',
        ]
    return shapes


def picture(data: dict[str, Any]) -> str:
    """
    @return: bars for each work, as SVG, for light and for dark pages.
    """
    works = [work for work, row in data["results"].items() if row]
    height = 44 + _LINE * len(data["peers"])
    shapes = []
    for place, work in enumerate(works):
        shapes += _panel(data, work, 10 + place % _COLUMNS * _WIDTH, 10 + place // _COLUMNS * height)
    size = f"{_COLUMNS * _WIDTH} {-(-len(works) // _COLUMNS) * height}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">'
    title = "<title>CPU time of the server for a message, or memory of a session; less is better</title>"
    return "\n".join([head, title, f"<style>{_STYLE}</style>", *shapes, "</svg>"]) + "\n"
