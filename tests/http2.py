# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A client that speaks HTTP/2 over a connection in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

try:
    import h2.connection
    import h2.events
    import h2.settings
except ImportError:  # an extra of Twisted's
    h2 = None

__all__ = ["HTTP2Client", "h2"]


class HTTP2Client:
    """
    One connection. Nothing is sent before L{talk} or L{ask}.

    @ivar http2: the client's side of it, as C{h2} has it.
    @ivar events: what came from the server.
    """

    def __init__(self, connection: Any, clock: Any, opensWindows: bool = True) -> None:
        """
        @param connection: a connection on which nothing was sent.

        @param clock: where the server takes time from.

        @param opensWindows: whether the client takes as much as ever comes.
        """
        connection.transport.negotiatedProtocol = b"h2"
        self._connection = connection
        self._clock = clock
        self._opensWindows = opensWindows
        self._read = 0
        self.http2 = h2.connection.H2Connection()
        self.http2.initiate_connection()
        self.events: list[Any] = []

    def talk(self) -> None:
        """
        Let everything go to and fro until all is quiet.
        """
        for _ in range(10):
            self._connection.send(self.http2.data_to_send())
            self._clock.advance(0)
            data = self._connection.transport.value()
            fresh, self._read = data[self._read :], len(data)
            for event in self.http2.receive_data(fresh):
                self.events.append(event)
                if self._opensWindows and isinstance(event, h2.events.DataReceived):
                    self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def ask(self, method: str, path: str, more: Sequence[tuple[str, str]] = (), body: bytes | None = None) -> int:
        """
        Send a request.

        @return: the number of its stream.
        """
        stream: int = self.http2.get_next_available_stream_id()
        fields = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "localhost"), *more]
        self.http2.send_headers(stream, fields, end_stream=body is None)
        if body is not None:
            self.http2.send_data(stream, body, end_stream=True)
        self.talk()
        return stream

    def of(self, stream: int, kind: str) -> list[Any]:
        """
        @return: the events of a stream that are of a kind, such as C{StreamEnded}.
        """
        return [
            event for event in self.events if isinstance(event, getattr(h2.events, kind)) and event.stream_id == stream
        ]

    def codes(self, stream: int) -> list[int]:
        """
        @return: the status of each response to a request, informational ones included.
        """
        responses = self.of(stream, "InformationalResponseReceived") + self.of(stream, "ResponseReceived")
        fields = [{_text(name): _text(value) for name, value in event.headers} for event in responses]
        return [int(headers[":status"]) for headers in fields]

    def chunks(self, stream: int) -> list[bytes]:
        """
        @return: what has come of the body of a response.
        """
        return [event.data for event in self.of(stream, "DataReceived") if event.data]


def _text(value: bytes | str) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else value
