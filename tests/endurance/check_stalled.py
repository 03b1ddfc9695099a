# -*- test-case-name: tests.endurance.check_stalled -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Readers that stall, some dozens of them; see L{tests.endurance.stalled}.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.endurance.serving import Server
from tests.endurance.stalled import measureStalled


class StalledTests(TestCase):
    """
    Clients that read nothing, in front of a real process.
    """

    timeout = 240

    async def test_stalled(self) -> None:
        """
        The memory of the service stays under the cap, those to whom is written regardless are cut with 1008, and each
        message of a client that reads is answered.
        """
        server = await Server.start()
        self.addCleanup(server.stop)
        result = await measureStalled(reactor, server, clients=48, echoes=300, seconds=4)
        self.assertLess(result.end.peak, result.cap)
        self.assertEqual(result.end.lost["1008"], 24)
        self.assertGreaterEqual(len(result.during), 300)
