# -*- test-case-name: tests.test_stats -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What can be watched of a service: its counters, and what it writes into the log.
"""

from __future__ import annotations

import json

from twisted.logger import LogLevel, globalLogPublisher

from tests.support import Apps as AppsFactory
from tests.support import SiteCase, TextEcho
from txsockjs.stats import Cause

IN, OUT = '["\u20ac"]'.encode(), '"\u20ac"'.encode()


class StatsTests(SiteCase):
    """
    L{txsockjs.stats.Stats} and L{txsockjs.resource.SockJSResource.gauges}.
    """

    def test_nothing(self):
        """
        A service that nobody has used has counted nothing.
        """
        self.serve()
        self.assertEqual(
            self.resource.stats.asDict(),
            {
                "opened": {},
                "closed": {},
                "refused": {},
                "messages_in": 0,
                "messages_out": 0,
                "bytes_in": 0,
                "bytes_out": 0,
                "pauses": 0,
            },
        )
        self.assertEqual(self.resource.gauges(), ({}, 0, 0, 0, 0))

    def test_aLife(self):
        """
        Sessions of all transports are counted by transport, from their opening to their end, with their messages.
        """
        self.serve(AppsFactory(TextEcho))
        streams = [
            ("xhr-streaming", "POST", "/0/a/xhr_streaming"),
            ("eventsource", "GET", "/0/b/eventsource"),
            ("htmlfile", "GET", "/0/c/htmlfile?c=f"),
        ]
        for _, method, path in streams:
            self.ask(method, path)
            self.answerTo("POST", path.rpartition("/")[0] + "/xhr_send", body=IN)
        for name, path, message in (
            ("websocket", "/0/s/websocket", IN),
            ("websocket-raw", "/websocket", "\u20ac".encode()),
        ):
            connection = self.connect()
            connection.upgrade(path)
            connection.sendFrame(1, message)
            streams.append((name, "", path))
        stats = self.resource.stats
        names = [name for name, _, _ in streams]
        self.assertEqual(stats.opened, dict.fromkeys(names, 1))
        self.assertEqual(self.resource.gauges().sessions, {(name, "open"): 1 for name in names})
        self.assertEqual((stats.messagesIn, stats.messagesOut), (5, 5))
        self.assertEqual(stats.bytesIn, 4 * len(IN) + 3)
        self.assertEqual(stats.bytesOut, 4 * len(OUT) + 3)
        for connection in self.connections:
            connection.lose()
        self.assertEqual(stats.closed, {Cause.BROKEN: 5})
        self.assertEqual(self.resource.gauges().sessions, {})
        self.assertEqual(json.loads(json.dumps(stats.asDict()))["closed"], {"connection broken": 5})

    def test_services(self):
        """
        Each service counts for itself.
        """
        self.serve()
        first = self.resource
        self.serve()
        self.answerTo("POST", "/0/s/xhr")
        self.assertEqual((first.stats.opened, self.resource.stats.opened), ({}, {"xhr-polling": 1}))


class LogTests(SiteCase):
    """
    What is written into the log.
    """

    def setUp(self):
        super().setUp()
        self.events = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def ends(self):
        return [event for event in self.events if event["log_namespace"] == "txsockjs.connection"]

    def test_end(self):
        """
        Each end of a session is an event at the level debug, with the connection's own id, its transport, its peer, the
        cause and the reason, and without the id that is in the URL.
        """
        self.serve()
        self.ask("POST", "/0/secret/xhr_streaming")
        connection = self.apps.last.transport
        connection.close(4000, "enough")
        self.clock.advance(0)
        (event,) = self.ends()
        self.assertIs(event["log_level"], LogLevel.debug)
        self.assertEqual(event["id"], connection.id)
        self.assertEqual(event["transport"], "xhr-streaming")
        self.assertEqual(event["peer"], connection.getPeer())
        self.assertEqual(event["cause"], "closed by the application")
        self.assertEqual(event["code"], 4000)
        self.assertIn("enough", event["reason"])
        self.assertNotIn("secret", repr(event))

    def test_quiet(self):
        """
        Nothing that clients do wrong is told above the level debug.
        """
        self.serve(max_sessions=4, max_message_size=5, max_body_size=50, origins=["https://a"])
        self.answerTo("GET", "/0/s/xhr")
        self.answerTo("POST", "/0/s/xhr_send", body=b"[")
        self.answerTo("POST", "/0/s/xhr", {"Origin": "https://b"})
        self.answerTo("GET", "/websocket")
        self.answerTo("POST", "/0/a/xhr")
        self.answerTo("POST", "/0/a/xhr_send", body=b"[")
        self.answerTo("POST", "/0/a/xhr_send", body=b'["' + b"x" * 6 + b'"]')
        self.answerTo("POST", "/0/a/xhr_send", body=b" " * 51)
        connections = [self.connect() for _ in range(4)]
        for connection in connections:
            connection.upgrade("/0/s/websocket")
        for connection, opcode, payload in zip(connections, (1, 1, 2, 3), (b"[", b"\xff", b"x", b"")):
            connection.sendFrame(opcode, payload)
            connection.lose()
        self.answerTo("POST", "/0/b/xhr")
        self.clock.advance(5)
        self.assertGreater(len(self.ends()), 4)
        # Twisted tells of each connection that it timed out.
        own = [event for event in self.events if event["log_namespace"].startswith("txsockjs")]
        self.assertEqual({event["log_level"] for event in own}, {LogLevel.debug})
        self.assertEqual([event for event in self.events if "log_failure" in event], [])

    def test_injection(self):
        """
        The reason that a client gives for its close can't begin a line of its own in the log.
        """
        self.serve()
        connection = self.connect()
        connection.upgrade("/websocket")
        connection.sendFrame(8, b"\x0f\xa0" + b"a\nb\r\x1b[0m")
        connection.lose()
        self.clock.advance(0)
        (event,) = self.ends()
        self.assertEqual(set("\n\r\x1b") & set(event["log_format"].format(**event)), set())
