# -*- test-case-name: tests.test_http2 -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
HTTP/2 in our own sites: what waits while the client takes nothing.
"""

from __future__ import annotations

from unittest import skipIf

from tests.http2 import HTTP2Client, h2
from tests.support import Apps, SiteCase
from txsockjs.factory import SockJSFactory

PRELUDE = b"h" * 2048 + b"\n"


@skipIf(h2 is None, "h2 is not there")
class WindowTests(SiteCase):
    """
    A client that has closed its window, which is how one says over HTTP/2 that it takes nothing just now.
    """

    def setUp(self):
        super().setUp()
        self.apps = Apps()
        self.site = SockJSFactory(self.apps, reactor=self.clock, heartbeat_delay=0, write_timeout=0)
        self.resources.append(self.site.resource)
        self.connection = self.connect()
        self.client = HTTP2Client(self.connection, self.clock, opensWindows=False)

    def body(self, stream):
        return b"".join(self.client.chunks(stream))

    def setWindow(self, size):
        """
        Have streams begin with such a window, those that are there included.
        """
        self.client.http2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: size})
        self.client.talk()

    def assertIdle(self):
        """
        Nothing is to be done at once.
        """
        now = self.clock.seconds()
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() <= now], [])

    def test_stream(self):
        """
        Nothing is done while the window of a stream is closed, and as much goes out as it is opened by.
        """
        self.setWindow(0)
        stream = self.client.ask("POST", "/0/s/xhr_streaming")
        self.assertIdle()
        self.assertEqual(self.body(stream), b"")
        self.client.http2.increment_flow_control_window(1000, stream)
        self.client.talk()
        self.assertIdle()
        self.assertEqual(self.body(stream), PRELUDE[:1000])
        self.client.http2.increment_flow_control_window(5000, stream)
        self.client.talk()
        self.assertEqual(self.body(stream), PRELUDE + b"o\n")
        self.assertIdle()
        self.apps.last.transport.write("x")
        self.client.talk()
        self.assertEqual(self.body(stream), PRELUDE + b'o\na["x"]\n')

    def test_settings(self):
        """
        The client may open the windows of all streams by its settings.
        """
        self.setWindow(0)
        streams = [self.client.ask("POST", f"/0/{name}/xhr") for name in "st"]
        self.assertIdle()
        self.setWindow(100)
        self.assertEqual([self.body(stream) for stream in streams], [b"o\n"] * 2)
        self.assertIdle()

    def test_below(self):
        """
        A setting may take windows back, even those that are used up; what was sent by then counts.
        """
        self.setWindow(1000)
        stream = self.client.ask("POST", "/0/s/xhr_streaming")
        self.setWindow(500)
        self.apps.last.transport.write("x")
        self.client.talk()
        self.assertIdle()
        self.assertEqual(self.body(stream), PRELUDE[:1000])
        self.setWindow(5000)
        self.assertEqual(self.body(stream), PRELUDE + b'o\na["x"]\n')
        self.assertIdle()

    def test_connection(self):
        """
        The window of the whole connection holds up every stream, until it is opened.
        """
        self.setWindow(200_000)
        first = self.client.ask("POST", "/0/s/xhr_streaming")
        self.apps.last.transport.write("x" * 70_000)
        self.client.talk()
        self.assertEqual(len(self.body(first)), 65_535)
        self.assertIdle()
        second = self.client.ask("POST", "/0/t/xhr")
        self.assertEqual(self.body(second), b"")
        self.assertIdle()
        self.client.http2.increment_flow_control_window(100_000)
        self.client.talk()
        self.assertEqual(self.body(first)[-10:], b"x" * 7 + b'"]\n')
        self.assertEqual(self.body(second), b"o\n")
        self.assertIdle()

    def test_others(self):
        """
        One stream whose window is closed does not hold up another.
        """
        self.setWindow(0)
        closed = self.client.ask("POST", "/0/s/xhr_streaming")
        opened = self.client.ask("POST", "/0/t/xhr_streaming")
        self.client.http2.increment_flow_control_window(100_000, opened)
        self.client.talk()
        for number in range(3):
            self.apps.last.transport.write(str(number))
            self.client.talk()
            self.assertIdle()
        self.assertEqual(self.body(closed), b"")
        self.assertEqual(self.body(opened), PRELUDE + b'o\na["0"]\na["1"]\na["2"]\n')

    def test_end(self):
        """
        A stream that ends while its window is closed ends when everything is taken.
        """
        self.setWindow(0)
        stream = self.client.ask("POST", "/0/s/xhr_streaming")
        self.apps.last.transport.loseConnection()
        self.client.talk()
        self.assertIdle()
        self.client.http2.increment_flow_control_window(100_000, stream)
        self.client.talk()
        self.assertEqual(self.body(stream), PRELUDE + b'o\nc[3000,"Go away!"]\n')
        self.assertIdle()
        self.assertEqual(self.client.http2.open_outbound_streams, 0)

    def test_never(self):
        """
        A connection whose client never takes anything is closed after the idle timeout.
        """
        self.setWindow(0)
        self.client.ask("POST", "/0/s/xhr_streaming")
        for _ in range(61):
            self.clock.advance(1)
        self.client.talk()
        self.assertTrue(self.connection.transport.disconnecting)
