# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The command C{python -m benchmarks.load}.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys

from benchmarks.load.run import MODES, Settings, run
from benchmarks.load.sessions import TRANSPORTS


def _group(text: str) -> tuple[str, list[int]]:
    name, _, pids = text.partition("=")
    try:
        return name, [int(pid) for pid in pids.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PID or NAME=PID,PID,...") from None


def _arguments() -> tuple[Settings, bool]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="Puts load on a SockJS server.")
    add = parser.add_argument
    add("url", metavar="URL", help="a service, such as http://127.0.0.1:8081/echo")
    add("others", metavar="URL", nargs="*", help="more addresses of it, which sessions take in turn")
    add("--mode", choices=sorted(MODES), default="echo")
    add("--transport", choices=sorted(TRANSPORTS), default="websocket")
    add("--conns", type=int, default=1, help="sessions; in mode connect: at a time (1)")
    add("--size", type=int, default=64, help="bytes in a message, at least 14 (64)")
    add("--window", type=int, default=1, help="messages on their way per session; in mode fanout: in all (1)")
    add(
        "--rate",
        type=float,
        default=0,
        help="modes echo and fanout: messages a second in all, whether they come or not",
    )
    add("--wait", action="store_true", help="with --rate: sleep until the next is due, for who shares a core")
    add("--duration", type=float, default=5, help="seconds to measure (5)")
    add("--warmup", type=float, default=1, help="seconds of load before that (1)")
    add("--ramp", type=int, default=30, help="sessions being opened at a time (30)")
    add("--server-pid", type=int, dest="pid", help="report CPU and memory of this process")
    add("--watch", action="append", default=[], type=_group, metavar="NAME=PID,...", help="report on these as well")
    add("--sources", type=int, default=1, help="connect from so many addresses 127.0.0.x in turn")
    add("--open-timeout", type=float, default=10, help="seconds to open or close a session (10)")
    add("--json", action="store_true", help="print one JSON object instead of lines of text")
    given = vars(parser.parse_args())
    asJSON = given.pop("json")
    given["others"] = tuple(given["others"])
    given["watch"] = dict(given["watch"])
    return Settings(**given), asJSON


def main() -> int:
    """
    @return: the exit status.
    """
    settings, asJSON = _arguments()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    gc.disable()
    figures = run(settings)
    if asJSON:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value:.3f}" if isinstance(value, float) else f"{name:32} {value}")
    return 0 if figures["result"] == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
