# -*- test-case-name: tests.endurance.check_leaks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The leak test, with some hundred sessions by each transport; see L{tests.endurance.leaks}.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.endurance.clients import TRANSPORTS
from tests.endurance.leaks import measureLeaks
from tests.endurance.serving import Server


class LeakTests(TestCase):
    """
    What is left of sessions that are over, in a real process.
    """

    timeout = 240

    async def leaks(self, transport: str) -> None:
        """
        Sessions of a transport that end in every way leave nothing behind.
        """
        server = await Server.start(disconnect_delay=1.0, close_timeout=1.0)
        self.addCleanup(server.stop)
        result = await measureLeaks(reactor, server, transport, sessions=600, warmUp=300, atATime=100)
        self.assertEqual(result.failures, [])
        self.assertEqual(sum(result.after.lost.values()), 900)


for _transport in TRANSPORTS:

    def _test(self, transport=_transport):
        return self.leaks(transport)

    _test.__doc__ = LeakTests.leaks.__doc__
    setattr(LeakTests, f"test_{_transport.replace('-', '_')}", _test)
