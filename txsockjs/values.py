# -*- test-case-name: tests.test_options -*-
"""
How the values of options are read from text, and which are allowed. What they are for is none of its business.

Each C{read…} makes a value of text, each C{check…} gives a value back as it is kept; both raise C{ValueError} with a
text that goes on after the name of an option: C{must be …}.
"""

from __future__ import annotations

import difflib
import math
import re
import string
from collections.abc import Callable, Collection, Iterable
from typing import Any

from twisted.python.reflect import namedAny

from txsockjs.encoding import lookupEncoding

__all__ = [
    "checkBoolean",
    "checkCallable",
    "checkCloseCode",
    "checkCloseReason",
    "checkCount",
    "checkEncoding",
    "checkHeaderName",
    "checkHeaderNames",
    "checkNames",
    "checkPositive",
    "checkPositiveSeconds",
    "checkProcessName",
    "checkSeconds",
    "checkTemplate",
    "checkTruth",
    "checkURL",
    "readBoolean",
    "readInteger",
    "readNames",
    "readNumber",
    "readObject",
    "suggest",
]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2


# -- how values are read from text ------------------------------------------------------------------------------------


def readNumber(text: str) -> float:
    """
    @return: the number that a text is.

    @raise ValueError: when it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number, not {text!r}") from None


def readInteger(text: str) -> int:
    """
    @return: the whole number that a text is.

    @raise ValueError: when it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, not {text!r}") from None


_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def readBoolean(text: str) -> bool:
    """
    @return: the truth that a text tells.

    @raise ValueError: when it tells none.
    """
    try:
        return _TRUTHS[text.strip().lower()]
    except KeyError:
        raise ValueError(f"must be true or false, not {text!r}") from None


def readNames(text: str) -> tuple[str, ...]:
    """
    @return: the names in a text, which has commas between them.
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def readObject(text: str) -> object:
    """
    @return: what a dotted name stands for.

    @raise ValueError: when it can't be had.
    """
    try:
        return namedAny(text)
    except Exception as error:
        raise ValueError(f"must be the dotted name of a callable, and {text!r} can't be had: {error}") from None


# -- what values are allowed; each check gives back the value as it is kept -------------------------------------------


def checkSeconds(value: object) -> float:
    """
    @return: the number of seconds.

    @raise ValueError: when it is none, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"must be a number of seconds, 0 or more, not {value!r}")
    return value


def checkPositiveSeconds(value: object) -> float:
    """
    @return: the number of seconds.

    @raise ValueError: when it is none, or not above 0.
    """
    seconds = checkSeconds(value)
    if seconds == 0:
        raise ValueError("must be a number of seconds above 0")
    return seconds


def checkPositive(value: object) -> int:
    """
    @return: the whole number.

    @raise ValueError: when it is none, or below 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"must be a whole number, 1 or more, not {value!r}")
    return value


def checkCount(value: object) -> int:
    """
    @return: the whole number.

    @raise ValueError: when it is none, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"must be a whole number, 0 or more, not {value!r}")
    return value


def checkNames(value: object) -> tuple[str, ...]:
    """
    @return: the names, in their order.

    @raise ValueError: when it is no iterable of texts, or a single text.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ValueError(f"must be a list of names, not {value!r}")
    names = tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"must be a list of names, and {name!r} is no str")
    return names


def checkHeaderNames(value: object) -> tuple[str, ...]:
    """
    @return: names of headers, in lower case.

    @raise ValueError: when one is none.
    """
    names = tuple(name.lower() for name in checkNames(value))
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"has {name!r}, which is no name of a header")
    return names


def checkTruth(value: object) -> bool:
    """
    @return: the truth of a value that equals true or false, as 0 and 1 do.

    @raise ValueError: when it equals neither.
    """
    if value not in (True, False):
        raise ValueError(f"must be true or false, not {value!r}")
    return bool(value)


def checkBoolean(value: object) -> bool:
    """
    @return: the value, which is true or false.

    @raise ValueError: when it is anything else.
    """
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


def checkURL(value: object) -> str:
    """
    @return: the URL; what it leads to is not looked at.

    @raise ValueError: when it can't be one.
    """
    if not isinstance(value, str) or not value or re.search("[\x00-\x20\x7f\ud800-\udfff]", value):
        raise ValueError(f"must be a URL, without spaces, not {value!r}")
    return value


def checkTemplate(text: str, known: Collection[str]) -> frozenset[str]:
    """
    @param text: what may have fields such as C{{process}} in it.

    @param known: the names of the fields that there are.

    @return: the names of those that it has.

    @raise ValueError: when it has another one, or a brace by itself.
    """
    told = " and ".join(f"{{{name}}}" for name in known)
    try:
        parts = [part[1:] for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError:
        raise ValueError(f"has a brace by itself: {text!r}; it may have {told}") from None
    for name, form, conversion in parts:
        if name not in known or form or conversion:
            raise ValueError(f"has a field that there is not: {text!r}; it may have {told}")
    return frozenset(name for name, _, _ in parts if name is not None)


def checkProcessName(value: object) -> str | None:
    """
    @return: the name of a process, or L{None} for none.

    @raise ValueError: when it can't be one.
    """
    if value is None or (isinstance(value, str) and re.fullmatch(r"[0-9A-Za-z_-]{1,64}", value)):
        return value
    raise ValueError(f"must be a name of letters, digits, - and _, at most 64, not {value!r}")


def checkCallable(value: object) -> Callable[..., Any] | None:
    """
    @return: the callable, or L{None} for none.

    @raise ValueError: when it is anything else.
    """
    if value is None or callable(value):
        return value
    raise ValueError(f"must be a callable, not {value!r}")


def checkCloseCode(value: object) -> int:
    """
    @return: a close code that an application may use: 1000, or 3000 to 4999 (RFC 6455 section 7.4.2).

    @raise ValueError: when it is none of these.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not (value == 1000 or 3000 <= value <= 4999):
        raise ValueError(f"must be 1000, or 3000 to 4999, not {value!r}")
    return value


def checkCloseReason(value: object) -> str:
    """
    @return: a close reason, which fits into a WebSocket's close frame (RFC 6455 section 5.5).

    @raise ValueError: when it does not fit, or can't be encoded.
    """
    if not isinstance(value, str) or re.search("[\ud800-\udfff]", value) or len(value.encode("utf-8")) > 123:
        raise ValueError(f"must be a text of at most 123 bytes in UTF-8, not {value!r}")
    return value


def checkEncoding(value: object) -> str:
    """
    @return: the name of the encoding as L{lookupEncoding} has it.

    @raise ValueError: when there is none of that name.
    """
    if not isinstance(value, str):
        raise ValueError(f"must be the name of a codec, not {value!r}")
    try:
        return lookupEncoding(value).name
    except ValueError as error:
        raise ValueError(str(error).removeprefix("encoding ")) from None


def checkHeaderName(value: object) -> str | None:
    """
    @return: the name of a header, in lower case, or L{None} for none.

    @raise ValueError: when it is none.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError(f"must be the name of a header, not {value!r}")
    return value.lower()


def suggest(name: str, known: Iterable[str]) -> str:
    """
    @return: a question after a name that may be meant, to be put into an error; empty where none is like it.
    """
    close = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""
