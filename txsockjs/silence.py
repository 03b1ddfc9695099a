# -*- test-case-name: tests.test_websocket,tests.test_client_websocket -*-
"""
A logger for Autobahn that writes nothing: Autobahn reports every frame, and warns of what the other side does wrong,
which ends a session and is told there.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Silent"]


class Silent:
    """
    Takes calls by any level.
    """

    def __getattr__(self, level: str) -> Callable[..., None]:
        return self._drop

    def _drop(self, *args: object, **kwargs: object) -> None:
        pass
