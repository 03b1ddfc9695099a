# -*- test-case-name: tests.many.check_figures -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
C{python -m benchmarks many}, all parts of it with small numbers, real processes, Redis and HAProxy.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from benchmarks import many, manyreport
from benchmarks.peers import ROOT
from tests.processes import findProgram


class FiguresTests(TestCase):
    """
    The command, from its start to its tables.
    """

    timeout = 240

    async def test_quick(self) -> None:
        """
        Every part is measured without a failure, and every program has used time for it.
        """
        for program in ("redis-server", "haproxy"):
            findProgram(program)
        figures = Path(self.mktemp()).resolve()
        words = ["-m", "benchmarks", "many", "--quick", "--scratch", f"{figures}.d", "--json", str(figures)]
        output, errors, status = await getProcessOutputAndValue(sys.executable, words, os.environ, str(ROOT))
        self.assertEqual(0, status, (errors or output).decode("utf-8", "replace"))
        data = manyreport.read(figures)
        self.assertEqual([], data["failures"])
        self.assertEqual(manyreport.asText(data), output.decode("utf-8").rstrip("\n"))
        fanout = data["fanout"]
        self.assertEqual([40] * 4, [row["sessions"] for way in fanout.values() for row in way.values()])
        for way in fanout.values():
            self.assertGreater(way["highest"]["servers"]["cost"], 0)
        self.assertGreater(fanout["haproxy"]["highest"]["haproxy"]["cost"], 0)
        self.assertEqual([1, 1, 2, 1], [row["processes"] for row in data["growth"]])
        self.assertEqual([1, 1, 1, 1, 2, 2], [row["processes"] for row in data["bus"]])
        # A message is at least its own 64 bytes, to Redis and from there to each process.
        for row in data["bus"][2:]:
            self.assertGreater(row["bus_bytes_in"], 64)
            self.assertGreater(row["bus_bytes_out"], row["processes"] * 64)
        self.assertEqual({"ws-echo-1", "xhr-streaming", "xhr-polling"}, set(data["echo"]))
        for ways in data["echo"].values():
            self.assertEqual({"highest", "paced"}, set(ways["haproxy"]))
        self.assertEqual(set(many.PARTS), set(many.PARTS) & set(json.loads(figures.read_text("utf-8"))))
