# -*- test-case-name: tests.test_http2 -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
HTTP/2 in our own sites: what waits while the client takes nothing.
"""

from __future__ import annotations

from unittest import skipIf

from tests.support import Apps, SiteCase
from txsockjs.factory import SockJSFactory

try:
    import h2.connection
    import h2.events
    import h2.settings
except ImportError:
    h2 = None

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
        self.connection.transport.negotiatedProtocol = b"h2"
        self.client = h2.connection.H2Connection()
        self.client.initiate_connection()
        self.bodies = {}
        self.read = 0
        self.talk()

    def talk(self):
        """
        Let both sides say what they have to; the client takes what comes, and opens no window by that.
        """
        for _ in range(10):
            self.connection.send(self.client.data_to_send())
            self.clock.advance(0)
            data = self.connection.transport.value()
            fresh, self.read = data[self.read :], len(data)
            for event in self.client.receive_data(fresh):
                if isinstance(event, h2.events.DataReceived):
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data

    def setWindow(self, size):
        """
        Have streams begin with such a window, those that are there included.
        """
        self.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: size})
        self.talk()

    def ask(self, path):
        stream = self.client.get_next_available_stream_id()
        fields = [(":method", "POST"), (":path", path), (":scheme", "https"), (":authority", "a")]
        self.client.send_headers(stream, fields, end_stream=True)
        self.talk()
        return stream

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
        stream = self.ask("/0/s/xhr_streaming")
        self.assertIdle()
        self.assertNotIn(stream, self.bodies)
        self.client.increment_flow_control_window(1000, stream)
        self.talk()
        self.assertIdle()
        self.assertEqual(self.bodies[stream], PRELUDE[:1000])
        self.client.increment_flow_control_window(5000, stream)
        self.talk()
        self.assertEqual(self.bodies[stream], PRELUDE + b"o\n")
        self.assertIdle()
        self.apps.last.transport.write("x")
        self.talk()
        self.assertEqual(self.bodies[stream], PRELUDE + b'o\na["x"]\n')

    def test_settings(self):
        """
        The client may open the windows of all streams by its settings.
        """
        self.setWindow(0)
        streams = [self.ask(f"/0/{name}/xhr") for name in "st"]
        self.assertIdle()
        self.setWindow(100)
        self.assertEqual(self.bodies, dict.fromkeys(streams, b"o\n"))
        self.assertIdle()

    def test_connection(self):
        """
        The window of the whole connection holds up every stream, until it is opened.
        """
        self.setWindow(200_000)
        first = self.ask("/0/s/xhr_streaming")
        self.apps.last.transport.write("x" * 70_000)
        self.talk()
        self.assertEqual(len(self.bodies[first]), 65_535)
        self.assertIdle()
        second = self.ask("/0/t/xhr")
        self.assertNotIn(second, self.bodies)
        self.assertIdle()
        self.client.increment_flow_control_window(100_000)
        self.talk()
        self.assertEqual(self.bodies[first][-10:], b"x" * 7 + b'"]\n')
        self.assertEqual(self.bodies[second], b"o\n")
        self.assertIdle()

    def test_others(self):
        """
        One stream whose window is closed does not hold up another.
        """
        self.setWindow(0)
        closed = self.ask("/0/s/xhr_streaming")
        opened = self.ask("/0/t/xhr_streaming")
        self.client.increment_flow_control_window(100_000, opened)
        self.talk()
        for number in range(3):
            self.apps.last.transport.write(str(number))
            self.talk()
            self.assertIdle()
        self.assertNotIn(closed, self.bodies)
        self.assertEqual(self.bodies[opened], PRELUDE + b'o\na["0"]\na["1"]\na["2"]\n')

    def test_end(self):
        """
        A stream that ends while its window is closed ends when everything is taken.
        """
        self.setWindow(0)
        stream = self.ask("/0/s/xhr_streaming")
        self.apps.last.transport.loseConnection()
        self.talk()
        self.assertIdle()
        self.client.increment_flow_control_window(100_000, stream)
        self.talk()
        self.assertEqual(self.bodies[stream], PRELUDE + b'o\nc[3000,"Go away!"]\n')
        self.assertIdle()
        self.assertEqual(self.client.open_outbound_streams, 0)

    def test_never(self):
        """
        A connection whose client never takes anything is closed after the idle timeout.
        """
        self.setWindow(0)
        self.ask("/0/s/xhr_streaming")
        for _ in range(61):
            self.clock.advance(1)
        self.talk()
        self.assertTrue(self.connection.transport.disconnecting)
