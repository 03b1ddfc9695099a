# -*- test-case-name: tests.test_client -*-
"""
A SockJS client: connects an ordinary L{twisted.internet.protocol.Protocol} to a SockJS service, as an endpoint of
Twisted's.
"""

from __future__ import annotations

from txsockjs.client.endpoint import SockJSClientEndpoint
from txsockjs.client.errors import CannotConnect, HeartbeatTimeout, SessionRefused, TransportsFailed
from txsockjs.client.options import ClientOptions

__all__ = [
    "CannotConnect",
    "ClientOptions",
    "HeartbeatTimeout",
    "SessionRefused",
    "SockJSClientEndpoint",
    "TransportsFailed",
]
