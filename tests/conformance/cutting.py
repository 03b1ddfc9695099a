# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Frames as they come out of a proxy.

A proxy passes on what has come, in chunks of its own: two that came together leave as one. Where the server writes each
frame as a chunk can't be seen behind it, but that its clients can tell frames apart can.
"""

from __future__ import annotations

from tests.wire import Response

__all__ = ["CutResponse"]

#: By the type of a response: how its prelude ends, and how its frames do.
_ENDS = {
    "application/javascript": (b"\n", b"\n"),
    "text/event-stream": (b"\r\n", b"\r\n\r\n"),
    "text/html": (b"\r\n\r\n", b"</script>\r\n"),
}


class CutResponse(Response):
    """
    A response whose chunks are what they would be if no proxy had put them together or taken them apart.
    """

    _rest = b""
    _begun = False

    async def chunk(self, patience: float | None = None) -> bytes | None:
        """
        See L{Response.chunk}.
        """
        kind = (self.headers.get("Content-Type") or "").partition(";")[0]
        if not self.chunked or kind not in _ENDS:
            return await super().chunk(patience)
        end = _ENDS[kind][self._begun]
        while end not in self._rest:
            data = await super().chunk(patience)
            if data is None:
                rest, self._rest = self._rest, b""
                return rest or None
            self._rest += data
        piece, _, self._rest = self._rest.partition(end)
        self._begun = True
        return piece + end
