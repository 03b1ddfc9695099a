# -*- test-case-name: tests.test_transports -*-
"""
The C{c} argument of htmlfile and JSONP: the name of a function of the page's, which goes into a script of ours.
"""

from __future__ import annotations

import re

from twisted.web.server import Request

__all__ = ["BadCallback", "callbackOf"]

_NAME = re.compile(r"[a-zA-Z0-9\-_.]+")


class BadCallback(ValueError):
    """
    There is no callback, or it could be more than a name. The text is the answer that the protocol prescribes.
    """


def callbackOf(request: Request, longest: int | None = None) -> str:
    """
    @param longest: the number of characters that it may have; L{None} for any.

    @return: the callback.

    @raise BadCallback: when it is missing or not safe.
    """
    values = request.args.get(b"c") or request.args.get(b"callback") or [b""]
    callback = values[0].decode("latin-1")
    if not callback:
        raise BadCallback('"callback" parameter required')
    if not _NAME.fullmatch(callback) or (longest is not None and len(callback) > longest):
        raise BadCallback('invalid "callback" parameter')
    return callback
