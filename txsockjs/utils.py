# -*- test-case-name: tests.test_broadcast -*-
"""
Names of txsockjs 1.x.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from txsockjs.broadcast import broadcast as _broadcast

__all__ = ["broadcast"]


def broadcast(message: bytes | str, targets: Iterable[Any], encoding: str | None = None) -> None:
    """
    See L{txsockjs.broadcast.broadcast}.

    @param encoding: ignored; the service's own encoding counts.
    """
    warnings.warn(
        "txsockjs.utils.broadcast is deprecated; use txsockjs.broadcast.broadcast", DeprecationWarning, stacklevel=2
    )
    _broadcast(message, targets)
