# -*- test-case-name: tests.test_plugins -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Twisted finds our plugins, and pays little for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from txsockjs import endpoints, tap

ROOT = Path(__file__).resolve().parent.parent

HEAVY = ["autobahn", "twisted.web", "twisted.internet.reactor", "txsockjs.options", "txsockjs.tap"]

HELP = """
import json, sys
from twisted.scripts.twistd import run
sys.argv = ["twistd", "--help"]
try:
    run()
except SystemExit:
    pass
print(json.dumps([name for name in json.loads(sys.stdin.read()) if name in sys.modules]))
"""


class PluginTests(SynchronousTestCase):
    """
    C{twisted/plugins}.
    """

    def test_serviceMaker(self) -> None:
        """
        C{sockjs} is one of the commands of C{twistd}, and leads to L{txsockjs.tap}.
        """
        (maker,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "sockjs"]
        self.assertIs(tap.Options, maker.options)
        self.assertIs(tap.makeService, maker.makeService)

    def test_parser(self) -> None:
        """
        C{sockjs} is one of the prefixes of server endpoint strings.
        """
        (parser,) = [parser for parser in getPlugins(IStreamServerEndpointStringParser) if parser.prefix == "sockjs"]
        self.assertIsInstance(parser, endpoints.SockJSServerParser)

    def test_light(self) -> None:
        """
        C{twistd --help} shows the command, and imports neither Autobahn nor C{twisted.web} nor a reactor for it.
        """
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-c", HELP],
            input=json.dumps(HEAVY),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.assertRegex(done.stdout, r"(?m)^ +sockjs +\S")
        self.assertEqual([], json.loads(done.stdout.splitlines()[-1]))

    def test_namespace(self) -> None:
        """
        C{twisted} and C{twisted.plugins} stay Twisted's: no C{__init__.py} of ours hides them.
        """
        self.assertEqual([], sorted((ROOT / "twisted").rglob("__init__.py")))
