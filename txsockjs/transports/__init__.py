# -*- test-case-name: tests.test_resource -*-
"""
The ways by which frames travel, and the one table of them.

Each module here knows one way, and none of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twisted.web.resource import IResource

from txsockjs.service import Service
from txsockjs.transports.eventsource import EventSource
from txsockjs.transports.htmlfile import HTMLFile
from txsockjs.transports.jsonp import JSONP, JSONPSend
from txsockjs.transports.websocket import RawWebSocket, WebSocket
from txsockjs.transports.xhr import XHRPolling, XHRSend, XHRStreaming

__all__ = ["BELOW_SERVICE", "BELOW_SESSION", "QUICK", "leaves"]

BELOW_SESSION = {
    b"websocket": (WebSocket, {"websocket"}),
    b"xhr": (XHRPolling, {"xhr-polling"}),
    b"xhr_streaming": (XHRStreaming, {"xhr-streaming"}),
    b"eventsource": (EventSource, {"eventsource"}),
    b"htmlfile": (HTMLFile, {"htmlfile"}),
    b"jsonp": (JSONP, {"jsonp-polling"}),
    b"xhr_send": (XHRSend, {"xhr-polling", "xhr-streaming", "eventsource", "htmlfile"}),
    b"jsonp_send": (JSONPSend, {"jsonp-polling"}),
}
"""What lies at C{/<server>/<session>/<name>}: the name, its resource, and the transports that it serves."""

QUICK = {b"xhr": b"POST", b"xhr_streaming": b"POST", b"xhr_send": b"POST", b"websocket": b"GET"}
"""Those to which browsers send so many requests that there is a shortcut for them, with the method of these."""

BELOW_SERVICE = {b"websocket": (RawWebSocket, {"websocket-raw"})}
"""What lies at C{/<name>}."""


def leaves(table: Mapping[bytes, tuple[type, set[str]]], service: Service, on: Iterable[str]) -> dict[bytes, IResource]:
    """
    @param table: one of the tables above.

    @param service: what the resources work with.

    @param on: the transports that are switched on.

    @return: the resources that serve at least one of them, by the last segment of their URLs.
    """
    enabled = set(on)
    return {name: leaf(service) for name, (leaf, serves) in table.items() if serves & enabled}
