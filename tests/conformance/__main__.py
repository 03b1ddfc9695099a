# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
C{python -m tests.conformance [--proxied] URL [trial arguments]}: try the server at C{URL}.
"""

import os
import sys

from twisted.scripts.trial import run

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """
    Run trial on the suite, against the server that the first argument names.
    """
    if arguments[:1] == ["--proxied"]:
        os.environ["SOCKJS_PROXIED"] = arguments.pop(0)
    if not arguments or not arguments[0].startswith(("http://", "https://")):
        sys.exit("usage: python -m tests.conformance [--proxied] http://HOST:PORT[/PATH] [trial arguments]")
    os.environ["SOCKJS_URL"], *rest = arguments
    if not any(argument.startswith("tests") for argument in rest):
        rest.append("tests.conformance")
    sys.argv = ["trial", *rest]
    run()


if __name__ == "__main__":
    main(sys.argv[1:])
