# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The commands: C{python -m tests.endurance fuzz|differential|leaks|stalled|idle}.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

_COMMANDS = {
    "fuzz": "throw rubbish at a service in memory, a million requests of it",
    "differential": "send a hundred thousand streams to a service with its shortcuts and to one without",
    "leaks": "open and end thousands of sessions by each transport, and see that nothing of them is left",
    "stalled": "write to clients that do not read, and see what that costs",
    "idle": "open thousands of sessions, let them be, and see what that costs",
}


def main() -> int:
    """
    @return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description="What a service withstands.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text in _COMMANDS.items():
        module = importlib.import_module(f"tests.endurance.{name}")
        command = commands.add_parser(
            name, help=text, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.options(command)
        command.set_defaults(main=module.main)
    arguments = parser.parse_args()
    if not inspect.iscoroutinefunction(arguments.main):
        return arguments.main(arguments)
    react(lambda reactor: Deferred.fromCoroutine(_inReactor(reactor, arguments)))
    return 0


async def _inReactor(reactor: Any, arguments: Any) -> None:
    status = await arguments.main(reactor, arguments)
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    sys.exit(main())
