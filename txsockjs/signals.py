# -*- test-case-name: tests.test_tap,tests.test_supervisor -*-
"""
Signals of the system, heard in the reactor.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["ENDING", "replaceSignalHandlers"]

ENDING = (signal.SIGINT, signal.SIGTERM)
"""Those by which a process is told to end."""


def replaceSignalHandlers(
    reactor: Any, heard: Callable[[], object], numbers: Sequence[signal.Signals] = ENDING, force: bool = False
) -> Callable[[], None]:
    """
    Take the place of the reactor's own handlers of some signals. To the second signal to end, they would try to stop it
    once more, and log that it is stopped already.

    @param heard: called in the reactor when there is a signal.

    @param numbers: the signals.

    @param force: whether to take the place of handlers that are not the reactor's, too.

    @return: puts them back.
    """

    def handle(number: int, frame: object) -> None:
        reactor.callFromThread(heard)

    if threading.current_thread() is not threading.main_thread():
        return lambda: None  # there are no signals here
    own = {}
    for number in numbers:
        handler = signal.getsignal(number)
        if force or getattr(handler, "__self__", None) is reactor:
            own[number] = handler
            signal.signal(number, handle)

    def restore() -> None:
        for number, handler in own.items():
            signal.signal(number, handler)

    return restore
