# -*- test-case-name: tests.test_tap -*-
"""
Finding what the command line names: the user's own modules, and why one can't be had, in one line.
"""

from __future__ import annotations

import importlib
import os
import traceback
from types import ModuleType
from typing import Any

from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web.resource import IResource

import twisted
import txsockjs
from txsockjs.starting import CannotStart

__all__ = ["factoryFrom", "findNamed", "whyFailed"]

_NOT_THE_USERS = tuple(
    os.path.join(os.path.dirname(str(module.__file__)), "") for module in (importlib, twisted, txsockjs)
)


def whyFailed(failure: Failure, directory: str) -> str:
    """
    @param failure: an exception of the user's code, or on the way to it.

    @param directory: where the user's own code is.

    @return: an exception in one line, with the place in the user's code, if it came by there.
    """
    error = failure.value
    said = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError):
        return f"{said} ({error.filename}, line {error.lineno})"
    # Not from the exception's own traceback: a Deferred may have taken that away.
    places = [
        (file, line)
        for _, file, line, *_ in failure.frames
        if not file.startswith("<") and not file.startswith(_NOT_THE_USERS)
    ]
    own = [place for place in places if place[0].startswith(os.path.join(directory, ""))] or places
    return f"{said} ({own[-1][0]}, line {own[-1][1]})" if own else said


def _import(name: str, directory: str) -> ModuleType | None:
    """
    @return: a module, or L{None} when there is none of that name.

    @raise CannotStart: when there is one, and it fails.
    """
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # of which twistd would end without a word
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            return None
        raise CannotStart(f"module {name} can't be imported: {whyFailed(Failure(), directory)}") from error


def findNamed(name: str, directory: str) -> object:
    """
    @return: what a dotted name stands for.

    @raise CannotStart: when there is nothing of that name.
    """
    way, *rest = name.split(".")
    found: Any = _import(way, directory)
    if found is None:
        raise CannotStart(f"--factory {name}: there is no module {way!r}, neither in {directory} nor installed")
    for attribute in rest:
        missing = object()
        inner = getattr(found, attribute, missing)
        if inner is missing and hasattr(found, "__path__"):
            inner = _import(f"{way}.{attribute}", directory) or missing
        if inner is missing:
            raise CannotStart(f"--factory {name}: there is no {attribute!r} in {way}")
        found, way = inner, f"{way}.{attribute}"
    return found


def factoryFrom(found: Any, name: str, directory: str) -> IProtocolFactory:
    """
    @return: the factory that C{found}, which has this name, is or leads to.

    @raise CannotStart: when it is none, and leads to none.
    """
    if IProtocolFactory.providedBy(found):
        return found
    if isinstance(found, type) and IProtocol.implementedBy(found):
        return Factory.forProtocol(found)  # type: ignore[type-var]
    if isinstance(found, ModuleType):
        raise CannotStart(f"--factory {name}: that is a module; name what to serve in it, such as {name}.Echo")
    if not callable(found):
        raise CannotStart(f"--factory {name}: that is no Protocol class, no factory and no function, but {found!r}")
    try:
        made = found()
    except (Exception, SystemExit) as error:
        raise CannotStart(f"--factory {name}: calling it failed: {whyFailed(Failure(), directory)}") from error
    if not IProtocolFactory.providedBy(made):
        hint = "; a multiplexed service is named by its class" if IResource.providedBy(made) else ""
        raise CannotStart(f"--factory {name}: calling it should return a factory, not {made!r}{hint}")
    return made
