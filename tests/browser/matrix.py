# -*- test-case-name: tests.test_matrix -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The matrix of real browsers: where pages are, what they do there by which transport, and how it is shown.

What is here is only said; L{tests.browser.check_matrix} does it.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "ALLOWED",
    "CASES",
    "DOCS",
    "DOCUMENT",
    "HEAD",
    "LACKING",
    "LOAD",
    "LONG",
    "MESSAGES",
    "NAMES",
    "NO",
    "PLACES",
    "POLICIES",
    "ROUND_TRIPS",
    "STREAMING",
    "TRANSPORTS",
    "YES",
    "Case",
    "Place",
    "Table",
    "unavailable",
]

#: Where the documentation has what was found.
DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "_static" / "browsers"

TRANSPORTS = (
    "websocket",
    "xhr-streaming",
    "xhr-polling",
    "eventsource",
    "iframe-eventsource",
    "iframe-xhr-polling",
    "htmlfile",
    "iframe-htmlfile",
    "jsonp-polling",
)
"""Whatever sockjs-client can be told to use in a browser of today; its xdr-streaming and xdr-polling were for IE 8."""

STREAMING = ("xhr-streaming", "eventsource", "iframe-eventsource", "htmlfile", "iframe-htmlfile")
"""Those whose responses do not end."""

ROUND_TRIPS = {name: 3 if name.startswith("iframe-") else 1 if name == "jsonp-polling" else 2 for name in TRANSPORTS}
"""How many round trips sockjs-client gives each of them to open."""

DOCUMENT = ("iframe-eventsource", "iframe-xhr-polling", "htmlfile", "iframe-htmlfile", "jsonp-polling")
"""Those that work by the elements of a document."""

#: What a cell says: that it works, that it is refused, and that sockjs-client does not offer it.
YES, NO, LACKING = "yes", "no", "--"


# -- messages ---------------------------------------------------------------------------------------------------------

_TEXTS = [
    "",
    "\N{GRINNING FACE} \N{FAMILY}\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16} \U0010fffd",
    "e\N{COMBINING ACUTE ACCENT} \N{COMBINING DOT BELOW}q\N{COMBINING RING ABOVE}",
    "line\N{LINE SEPARATOR}paragraph\N{PARAGRAPH SEPARATOR}end",
    "\x00 and \x00",
    "\"double\" 'single' `back` \\ \\u0041",
    "</script><script>alert(1)</script><!-- ]]>",
    "%41 %2541 %0A %zz % %%",
    "\ud800",
    "\udfff alone, and \udc00\ud800 the wrong way round",
    "\r\n\t\b\f\x0b\x1b\x7f\x85\xa0",
    "a+b&c=d;e?f#g",
    'a["x"]',
    'c[3000,"Go away!"]',
    "data: x\r\n\r\ndata: y",
    "\ufeff\ufffe\uffff\u200b\u2060\u206f",
]

MESSAGES = [f"{number}: {_TEXTS[number % len(_TEXTS)]}" for number in range(100)]
"""One hundred, all different, so that any change of their order is seen."""

LONG = ["0123456\N{SNOWMAN}\N{GRINNING FACE}", 40_000]
"""A message of 400,000 characters, as JavaScript counts them: a text so many times."""


# -- places -----------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """
    Where a page is, as seen from the service, which is at 127.0.0.1.

    @ivar name: by which it is called here.
    @ivar title: how it is called in the documentation.
    @ivar host: the host in the page's URL; L{None} if the service itself serves the page.
    @ivar secure: whether both the page and the service are there by TLS.
    @ivar worker: whether a Web Worker of the page does everything.
    """

    name: str
    title: str
    host: str | None = None
    secure: bool = False
    worker: bool = False

    @property
    def sameSite(self) -> bool:
        """
        Whether the browser keeps cookies for the service, which does not say SameSite.
        """
        return self.host in (None, "127.0.0.1")


PLACES = (
    Place("own", "A page of the service's own origin"),
    Place("port", "A page of another origin: the same host, another port", "127.0.0.1"),
    Place("host", "A page of another site: localhost, where the service is 127.0.0.1", "localhost"),
    Place("worker", "A Web Worker of the service's own origin", worker=True),
    Place("worker-host", "A Web Worker of another site", "localhost", worker=True),
    Place("tls", "A page of the service's own origin, over TLS", secure=True),
    Place("tls-host", "A page of another site, over TLS", "localhost", secure=True),
)

_NEEDS_DOCUMENT = "sockjs-client does not offer it to Web Workers, which have no document."
_NEEDS_ORIGIN = "sockjs-client offers it only to pages of the service's own origin; to others, by the iframe page."


def unavailable(place: Place) -> dict[str, str]:
    """
    @return: the transports that sockjs-client does not offer at a place, and why it doesn't. That this is so is asked
        of the client itself.
    """
    if place.worker:
        return dict.fromkeys(DOCUMENT, _NEEDS_DOCUMENT)
    return {} if place.host is None else {"htmlfile": _NEEDS_ORIGIN}


# -- cases ------------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """
    Something that a page does by a transport.

    @ivar name: by which it is called here.
    @ivar title: how it is called in the documentation.
    """

    name: str
    title: str


CASES = (
    Case("open", "Opens"),
    Case("messages", "100 messages both ways, in order"),
    Case("long", "A message of 400,000 characters both ways"),
    Case("push", "The server sends by itself"),
    Case("closeByClient", "The client closes"),
    Case("closeByServer", "The server closes, with code and reason"),
    Case("restart", "The server ends in order and starts again"),
    Case("kill", "The server is killed and starts again"),
    Case("websocketOff", "WebSocket is off: falls back to it"),
    Case("websocketBlocked", "A proxy blocks WebSocket: falls back to it"),
    Case("buffered", "A proxy buffers streams"),
    Case("heartbeats", "Heartbeats keep it where a proxy cuts silence"),
    Case("cookie", "The cookie is set and kept"),
)

POLICIES = (
    Case("allowed", "A page of the origin allowed"),
    Case("allowedNamed", "The same, all transports named"),
    Case("foreign", "A page of another origin"),
    Case("foreignNamed", "The same, all transports named"),
    Case("foreignForced", "The same, past a forged /info"),
    Case("foreignNamedForced", "The same, all transports named"),
)
"""What the option C{origins} means to pages."""

LOAD = (
    Case("own", "A page of the service's own origin"),
    Case("host", "A page of another site"),
    Case("worker", "A Web Worker of the service's own origin"),
)
"""Where pages open under load."""

ALLOWED = ("websocket", "xhr-streaming", "xhr-polling", "eventsource")
"""The transports that are on where origins are restricted, unless others are named."""


# -- tables -----------------------------------------------------------------------------------------------------------

#: The tables by the names of their files, each with its title and its rows.
NAMES: dict[str, tuple[str, Sequence[Case]]] = {
    **{place.name: (place.title, CASES) for place in PLACES},
    "origins": ("A service with an allow-list of origins", POLICIES),
    "load": ("Milliseconds to open under load, of those that sockjs-client waits", LOAD),
}


class Table:
    """
    What was found, and how it is shown: by the same text in the documentation and on a terminal.
    """

    def __init__(self, name: str, more: Sequence[Case] = ()) -> None:
        """
        @param more: rows below those that the documentation has.
        """
        self.name = name
        self.title, rows = NAMES[name]
        self.rows = [*rows, *more]
        self._cells: dict[tuple[str, str], tuple[str, str | None]] = {}
        self._remarks: list[str] = []

    def set(self, case: str, transport: str, text: str, note: str | None = None) -> None:
        """
        Say what a cell has.

        @param note: what there is to say of it below the table.
        """
        self._cells[case, transport] = text, note

    def empty(self) -> list[tuple[str, str]]:
        """
        @return: the case and the transport of each cell of which nothing was said.
        """
        cells = [(case.name, transport) for case in self.rows for transport in TRANSPORTS]
        return [cell for cell in cells if cell not in self._cells]

    def remark(self, text: str) -> None:
        """
        Say something of the whole table.
        """
        self._remarks.append(text)

    def asText(self) -> str:
        """
        @return: the table in reStructuredText.
        """
        marks: dict[str, str] = {}
        heads = [_twoLines(name) for name in TRANSPORTS]
        lines = [["What happens", *(head[0] for head in heads)], ["", *(head[1] for head in heads)]]
        lines += [[case.title, *(self._marked(case.name, name, marks) for name in TRANSPORTS)] for case in self.rows]
        widths = [max(map(len, column)) for column in zip(*lines)]
        rule = "  ".join("=" * width for width in widths)
        texts = ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip() for line in lines]
        notes = [f"({mark}) {note}" for note, mark in marks.items()]
        below = [line for text in [*self._remarks, *notes] for line in ("", text)]
        return "\n".join([rule, *texts[:2], rule, *texts[2:], rule, *below, ""])

    def _marked(self, case: str, transport: str, marks: dict[str, str]) -> str:
        """
        @param marks: those of the notes; they are in the order in which one reads.

        @return: the text of a cell.
        """
        text, note = self._cells.get((case, transport), ("", None))
        if note is None:
            return text
        return f"{text} ({marks.setdefault(note, string.ascii_lowercase[len(marks)])})"

    def write(self, directory: Path = DOCS) -> None:
        """
        Write what the documentation includes.
        """
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{self.name}.rst").write_text(f"{HEAD}\n\n{self.asText()}", "utf-8")


HEAD = ".. Written by: TXSOCKJS_MATRIX=docs trial tests.browser.check_matrix\n\n.. rst-class:: wide"
"""What is above a table in its file."""


def _twoLines(name: str) -> tuple[str, str]:
    """
    @return: the name of a transport, in two lines where it has parts.
    """
    if "-" not in name:
        return name, ""
    first, second = name.split("-", 1)
    return f"| {first}-", f"| {second}"
