# -*- test-case-name: tests.test_commands -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The commands of many processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from tests.test_tap import parse
from txsockjs.commands import commandsFor, namesOf
from txsockjs.starting import CannotStart

TWISTD = [
    sys.executable,
    "-P",
    "-c",
    "import os; os.setpgid(0, 0); from twisted.scripts.twistd import run; run()",
    "--nodaemon",
    "--pidfile=",
]


class CommandsTests(SynchronousTestCase):
    """
    L{commandsFor}.
    """

    def test_flags(self) -> None:
        """
        Each process gets a name and places of its own, and all other flags as they were given.
        """
        given = [("--factory", "a=b.C"), ("--port", "1"), ("--cookie-needed", ""), ("--processes", "2")]
        commands = commandsFor(given, {"p1": ["tcp:1", "unix:x"], "p2": ["tcp:2"]}, object())
        shared = ["--factory=a=b.C", "--cookie-needed"]
        self.assertEqual(
            commands,
            {
                "p1": [*TWISTD, "sockjs", "--process-name=p1", "--port=tcp:1", "--port=unix:x", *shared],
                "p2": [*TWISTD, "sockjs", "--process-name=p2", "--port=tcp:2", *shared],
            },
        )

    def test_group(self) -> None:
        """
        What comes from a terminal does not reach a process, from before it has loaded anything; and what it loads is
        never a file of the user's that happens to have the name.
        """
        scripts = Path(self.mktemp()) / "twisted" / "scripts"
        scripts.mkdir(parents=True)
        (scripts.parent / "__init__.py").write_text("")
        (scripts / "__init__.py").write_text("")
        (scripts / "twistd.py").write_text(
            "import os, sys\nprint(os.getpgrp() == os.getpid(), '' in sys.path)\nrun = bool\n"
        )
        (command,) = commandsFor([], {"p1": []}, object()).values()
        environment = {**os.environ, "PYTHONPATH": str(scripts.parent.parent.absolute())}
        self.assertEqual(subprocess.check_output(command, env=environment, timeout=60), b"True False\n")

    def test_reactor(self) -> None:
        """
        The reactor there is the one that runs here, where Twisted has a name for it.
        """
        (command,) = commandsFor([], {"p1": []}, SelectReactor.__new__(SelectReactor)).values()
        self.assertIn("--reactor=select", command)
        (command,) = commandsFor([], {"p1": []}, reactor).values()
        self.assertEqual(len([part for part in command if part.startswith("--reactor=")]), 1)

    def test_runner(self) -> None:
        """
        What C{twistd} was told of its directory and its umask holds there, too.
        """
        (command,) = commandsFor([], {"p1": []}, object(), {"rundir": "/x", "umask": 0o27}).values()
        self.assertEqual(command[6:8], ["--rundir=/x", "--umask=27"])
        (command,) = commandsFor([], {"p1": []}, object(), {"rundir": ".", "umask": None}).values()
        self.assertEqual(command[6], "sockjs")

    def test_names(self) -> None:
        """
        They are numbered from one.
        """
        self.assertEqual(namesOf(3), ["p1", "p2", "p3"])


class FlagTests(SynchronousTestCase):
    """
    C{--processes} on the command line.
    """

    def setUp(self) -> None:
        self.patch(sys, "path", list(sys.path))

    def test_places(self) -> None:
        """
        Each process has its places, the one of the default port included.
        """
        self.assertEqual(parse("--processes", "2").places, {"p1": ["tcp:8081"], "p2": ["tcp:8082"]})
        options = parse("--port", "9001", "--processes=2", "--port", "unix:/r/x.sock")
        self.assertEqual(options.places["p2"], ["tcp:9002", "unix:/r/x-p2.sock"])
        self.assertEqual((parse().processes, parse().places), (None, {}))

    def test_given(self) -> None:
        """
        All flags are known by their whole names.
        """
        options = parse("--heartbeat-d", "5", "--cookie-needed", "--factory=x=a.B", "--processes", "3")
        self.assertEqual(
            options.given,
            [("--heartbeat-delay", "5"), ("--cookie-needed", ""), ("--factory", "x=a.B"), ("--processes", "3")],
        )

    def test_baseURL(self) -> None:
        """
        The processes have names, so C{--base-url} may hold them.
        """
        url = "https://example.com/{process}/{service}"
        self.assertEqual(parse("--processes", "2", "--base-url", url).settings["base_url"], url)

    def test_refused(self) -> None:
        """
        What can't be is refused in one line.
        """
        for arguments, why in (
            (["--processes", "0"], "--processes must be a whole number from 1 to 256, not '0'"),
            (["--processes", "257"], "--processes must be a whole number from 1 to 256, not '257'"),
            (["--processes", "four"], "--processes must be a whole number from 1 to 256, not 'four'"),
            (["--processes", "-1"], "--processes must be a whole number from 1 to 256, not '-1'"),
            (["--processes", "2", "--process-name", "a"], "--process-name: with --processes each process has a name"),
            (["--processes", "2", "--port", "systemd:index=0"], "--port systemd:index=0: there is no port number"),
            (["--processes", "2", "--port", "65535"], "--port tcp:65535: 2 processes need as many ports"),
            (["--base-url", "/{process}"], "--base-url has {process} in it, but there is no process_name"),
            (["--process-name", "a.b"], "--process-name must be a name of letters, digits, - and _, at most 64"),
        ):
            self.assertIn(why, str(self.assertRaises(CannotStart, parse, *arguments)))
