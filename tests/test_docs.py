# -*- test-case-name: tests.test_docs -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What the documentation says of limits and counters is complete, and true where no other test looks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from twisted.internet.protocol import Factory
from twisted.protocols.wire import Echo
from twisted.trial.unittest import SynchronousTestCase

import txsockjs
from tests.support import UPGRADE, Apps, SiteCase, TextEcho
from txsockjs.factory import SockJSMultiFactory
from txsockjs.options import OPTIONS, OptionInfo
from txsockjs.stats import Cause, Gauges, Stats
from txsockjs.tap import Options as Flags

DOCS = Path(__file__).resolve().parent.parent / "docs"

_UNITS = ("bytes", "messages", "seconds", "sessions")


def page(name: str) -> str:
    """
    @return: the text of a page.
    """
    return (DOCS / f"{name}.rst").read_text("utf-8")


def isLimit(option: OptionInfo) -> bool:
    """
    @return: whether an option says how much of something there may be.
    """
    return option.unit in _UNITS


def causesOfRefusal() -> Iterator[str]:
    """
    @return: the causes by which the modules of ours count refusals.
    """
    for module in _modules(files(txsockjs)):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            found: ast.AST | None = None
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] == "refused":
                found = node.slice
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Refusal":
                found = node.args[1]
            if isinstance(found, ast.Constant):
                yield found.value


def _modules(directory):
    for entry in directory.iterdir():
        if entry.is_dir():
            yield from _modules(entry)
        elif entry.name.endswith(".py"):
            yield entry


class SecurityTests(SynchronousTestCase):
    """
    The page on security.
    """

    def test_limits(self) -> None:
        """
        Each option that is a limit has its row, and no other option is said to be one.
        """
        shown = re.findall(r"^   \* - :limit:`(\w+)`$", page("security"), re.MULTILINE)
        self.assertEqual(sorted(shown), sorted(option.name for option in OPTIONS if isLimit(option)))

    def test_defaults(self) -> None:
        """
        The defaults of limits are shown by the role, which looks them up: no row names one by hand.
        """
        for line in page("security").splitlines():
            if ":limit:" in line:
                self.assertRegex(line, r"^   \* - :limit:`\w+`$")

    def test_numbers(self) -> None:
        """
        Whatever is a number is a limit by its unit, save for the code of a close.
        """
        numbers = [option for option in OPTIONS if type(option.default) in (int, float)]
        self.assertEqual([option.name for option in numbers if not isLimit(option)], ["drain_code"])

    def test_refusals(self) -> None:
        """
        Each cause for which something is refused is shown, and there are no others.
        """
        causes = set(causesOfRefusal())
        self.assertGreater(len(causes), 8)
        self.assertEqual(set(re.findall(r'refused\["([^"]+)"\]', page("security"))), causes)
        self.assertLessEqual(set(re.findall(r'refused\["([^"]+)"\]', page("watching"))), causes)

    def test_ends(self) -> None:
        """
        Each cause for which a session ends is shown, and there are no others.
        """
        self.assertEqual(set(re.findall(r"Cause\.([A-Z_]+)", page("security"))), set(Cause.__members__))
        self.assertLessEqual(set(re.findall(r"Cause\.([A-Z_]+)", page("watching"))), set(Cause.__members__))


class FlagTests(SynchronousTestCase):
    """
    The page on C{twistd sockjs}.
    """

    def test_flags(self) -> None:
        """
        Each flag that is no option of services is explained, and there are no others.
        """
        own = {flag.rstrip("=") for flag in Flags().longOpt} - {option.name.replace("_", "-") for option in OPTIONS}
        told = re.findall(r"^``--([a-z-]+)(?: .*)?``$", page("twistd"), re.MULTILINE)
        self.assertEqual(sorted(told), sorted(own - {"help", "version"}))


class StatusTests(SynchronousTestCase):
    """
    The page on codes and answers.
    """

    def test_statuses(self) -> None:
        """
        Each status of HTTP that a module of ours names is explained.
        """
        from twisted.web import http

        used = {429, 500, 503}
        for module in _modules(files(txsockjs)):
            for node in ast.walk(ast.parse(module.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == "twisted.web.http":
                    values = [getattr(http, alias.name) for alias in node.names]
                    used |= {value for value in values if isinstance(value, int)}
        explained = {int(status) for status in re.findall(r"^(\d{3})  ", page("codes"), re.MULTILINE)}
        self.assertGreater(len(used), 8)
        self.assertEqual(used - explained, set())


class WatchingTests(SynchronousTestCase):
    """
    The page on watching.
    """

    def test_names(self) -> None:
        """
        Each counter and each gauge is named.
        """
        text = page("watching")
        for name in (*vars(Stats()), *Gauges._fields):
            self.assertIn(f"``{name}``", text)

    def test_services(self) -> None:
        """
        C{addFactory} returns the service, which is a child of the site's root.
        """
        site = SockJSMultiFactory()
        service = site.addFactory(Factory.forProtocol(Echo), "echo", heartbeat_delay=7)
        self.assertIs(site.resource.children[b"echo"], service)
        self.assertEqual(service.options.heartbeat_delay, 7)
        self.assertIsInstance(service.stats, Stats)


class TestingTests(SynchronousTestCase):
    """
    The page on tests, C{docs/testing.rst}.
    """

    def test_checks(self) -> None:
        """
        Each module of tests that runs only when it is named is there, or nobody would find it.
        """
        page = (DOCS / "testing.rst").read_text()
        checks = sorted(f"tests.{path.parent.name}.{path.stem}" for path in DOCS.parent.glob("tests/*/check_*.py"))
        self.assertIn("tests.many.check_redis", checks)
        self.assertEqual([], [check for check in checks if f"``trial {check}``" not in page])


class ClaimTests(SiteCase):
    """
    What the page on security says, and no other test looks at.
    """

    def test_noCompression(self) -> None:
        """
        No compression is agreed on, whatever a client offers.
        """
        self.serve(Apps(TextEcho))
        for path in ("/websocket", "/0/s/websocket"):
            connection = self.connect()
            connection.ask("GET", path, {**UPGRADE, "Sec-WebSocket-Extensions": "permessage-deflate"})
            head = connection.transport.value().partition(b"\r\n\r\n")[0].lower()
            self.assertIn(b"101", head)
            self.assertNotIn(b"sec-websocket-extensions", head)
        for method, path in (("GET", "/info"), ("GET", "/iframe.html"), ("POST", "/0/s/xhr")):
            self.assertIsNone(self.ask(method, path, {"Accept-Encoding": "gzip"})().header("content-encoding"))

    def test_cookieOnRefusals(self) -> None:
        """
        The cookie for balancers is on a refusal for the origin as well.
        """
        self.serve(cookie_needed=True, origins="same")
        answer = self.answerTo("POST", "/0/s/xhr", {"Origin": "https://elsewhere.example"})
        self.assertEqual((answer.code, answer.header("set-cookie")), (403, "JSESSIONID=dummy; path=/"))

    def test_headers(self) -> None:
        """
        More than 16,384 bytes or 500 lines of headers are answered with 400.
        """
        self.serve()
        for headers, code in (
            ({f"X-{number}": "" for number in range(490)}, 200),
            ({f"X-{number}": "" for number in range(510)}, 400),
            ({f"X-{number}": "x" * 5000 for number in range(3)}, 200),
            ({f"X-{number}": "x" * 5000 for number in range(4)}, 400),
        ):
            connection = self.connect()
            connection.ask("GET", "/", headers)
            self.assertTrue(connection.transport.value().startswith(b"HTTP/1.1 %d " % code), (len(headers), code))
