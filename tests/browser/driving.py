# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A real browser, driven from here: the other end of C{matrix.js}, and of C{talk.js} in the pages.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath

from tests.processes import Child, ChildFailed, findProgram

__all__ = ["PATIENCE", "Browser", "Page"]

#: Seconds for anything that a page waits for, as long as nothing has gone wrong.
PATIENCE = 30

#: Seconds, beyond those, for the browser to say that a page has waited in vain.
MARGIN = 30

HERE = FilePath(__file__).parent()


class Browser(Child):
    """
    A browser with many pages.

    @ivar patience: the seconds for anything that a page waits for.
    """

    patience = PATIENCE

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._numbers = itertools.count()
        self._pending: dict[int, Deferred[Any]] = {}
        self._rest = b""

    @classmethod
    async def launch(cls, program: str, modules: str, trust: str) -> Browser:
        """
        Start one.

        @param program: the path of the browser.
        @param modules: the C{node_modules} folder.
        @param trust: the hash of the key of a certificate that is to be trusted.
        """
        script = HERE.child("matrix.js")
        browser = cls.spawn([findProgram("node"), script.path], environment={"NODE_PATH": modules}, name="matrix.js")
        await browser.ask("launch", browser=program, trust=trust)
        return browser

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            pending = self._pending.pop(answer["id"], None)
            if pending is None:  # it came too late
                continue
            if "error" in answer:
                pending.errback(ChildFailed(answer["error"]))
            else:
                pending.callback(answer["answer"])

    def processEnded(self, reason: Failure) -> None:
        super().processEnded(reason)
        pending, self._pending = self._pending, {}
        for waiting in pending.values():
            waiting.errback(self.failure(f"ended with {self.status}"))

    def ask(self, verb: str, **order: Any) -> Deferred[Any]:
        """
        Have something done.

        @return: fires with the answer.
        """
        number = next(self._numbers)
        pending: Deferred[Any] = Deferred(lambda _: self._pending.pop(number))
        self._pending[number] = pending
        pending.addTimeout(PATIENCE + MARGIN, reactor)
        self.transport.write(json.dumps({"id": number, "verb": verb, **order}).encode("ascii") + b"\n")
        return pending

    async def open(self, url: str, **order: Any) -> Page:
        """
        Open a page; C{matrix.js} says what else can be ordered.
        """
        return Page(self, await self.ask("open", url=url, patience=PATIENCE, **order))


class Page:
    """
    A page.
    """

    def __init__(self, browser: Browser, number: int) -> None:
        self._browser = browser
        self._number = number

    async def act(self, verb: str, name: str = "", **order: Any) -> Any:
        """
        Have the page do something; C{talk.js} says what there is.

        @param name: that of a connection.
        """
        text = json.dumps({"verb": verb, "name": name, "patience": self._browser.patience, **order})
        return json.loads(await self._browser.ask("act", page=self._number, order=text))

    async def openBeside(self, url: str) -> Page:
        """
        Open another one in the same profile.
        """
        return await self._browser.open(url, beside=self._number)

    async def go(self, url: str) -> None:
        """
        Go to another URL.
        """
        await self._browser.ask("go", page=self._number, url=url)

    async def cookies(self) -> dict[str, str]:
        """
        @return: what the profile has.
        """
        return dict(await self._browser.ask("cookies", page=self._number))

    async def setCookie(self, **cookie: str) -> None:
        """
        Put a cookie into the profile.
        """
        await self._browser.ask("setCookie", page=self._number, cookie=cookie)

    async def clearCookies(self) -> None:
        """
        Take all cookies out of the profile.
        """
        await self._browser.ask("clearCookies", page=self._number)

    async def complaints(self) -> list[str]:
        """
        @return: what the browser has complained of.
        """
        return await self._browser.ask("complaints", page=self._number)

    async def leave(self) -> None:
        """
        Close it, and its profile.
        """
        await self._browser.ask("leave", page=self._number)
