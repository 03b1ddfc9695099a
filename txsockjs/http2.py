# -*- test-case-name: tests.test_http2 -*-
"""
The connections of our own sites that speak HTTP/2. It is imported when the first one does, since Twisted has HTTP/2
only where C{h2} is installed.
"""

from __future__ import annotations

from typing import Any

from twisted.web._http2 import H2Connection

__all__ = ["HTTP2Channel"]


class HTTP2Channel(H2Connection):
    """
    A connection that sleeps while its client takes nothing.

    Twisted's tries again in every turn of the reactor to send what waits on a stream whose window is closed
    (:rfc:`9113`, section 5.2), and takes each attempt for a sign of life. So one client could keep a process busy for
    as long as it likes.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        Something came, which may have opened windows: of a stream, of the connection, or of all streams by a setting,
        of which Twisted takes no notice.
        """
        super().dataReceived(data)
        for stream in list(self.streams.values()):
            stream.windowUpdated()
        sendable = [stream for stream, queue in self._outboundStreamQueues.items() if queue and self._isOpen(stream)]
        for stream in sendable:
            self.priority.unblock(stream)
        if sendable and self._sendingDeferred is not None:
            waiting, self._sendingDeferred = self._sendingDeferred, None
            waiting.callback(None)

    def _sendPrioritisedData(self, *args: Any) -> None:
        for stream, queue in self._outboundStreamQueues.items():
            if queue and not self._isOpen(stream):
                self.priority.block(stream)
        super()._sendPrioritisedData(*args)

    def _isOpen(self, stream: int) -> bool:
        """
        Whether the first of what waits on a stream may be sent. Its end, which is no bytes, always may.
        """
        return not isinstance(self._outboundStreamQueues[stream][0], bytes) or (
            self.conn.local_flow_control_window(stream) > 0
        )
