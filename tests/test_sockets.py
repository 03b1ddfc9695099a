# -*- test-case-name: tests.test_sockets -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Unix sockets that were left behind.
"""

from __future__ import annotations

import os
import socket
import tempfile

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from txsockjs.serving import ListeningService
from txsockjs.sockets import removeLeftover
from txsockjs.starting import CannotStart


class LeftoverTests(TestCase):
    """
    L{removeLeftover}, and the services that use it.
    """

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()  # short, as the path of a socket has to be
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "s")
        self.lock = f"{self.path}.lock"

    def leave(self, holder: int | None = None) -> socket.socket:
        """
        Leave a socket behind.

        @return: what listens there as long as it is open.
        """
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(self.path)
        listening.listen()
        os.symlink(str(os.getpid() if holder is None else holder), self.lock)
        return listening

    def listen(self) -> ListeningService:
        from twisted.internet import reactor

        description = f"unix:{self.path}"
        factory = Factory.forProtocol(Protocol)
        return ListeningService(reactor, factory, [(description, serverFromString(reactor, description))], "/")

    async def test_listen(self) -> None:
        """
        Who wants to listen where a killed process has, whose number is in use again, can.
        """
        self.leave().close()
        service = self.listen()
        service.startService()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)
        await service.close()
        self.assertFalse(os.path.lexists(self.lock))

    def test_inUse(self) -> None:
        """
        Who wants to listen where somebody does is refused as ever, and that one is left alone.
        """
        self.leave()
        self.patch(CannotStart, "say", lambda error, pid: None)
        self.assertIn("cannot listen on unix:", str(self.assertRaises(CannotStart, self.listen().startService)))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)
        self.assertEqual(os.readlink(self.lock), str(os.getpid()))

    def test_starting(self) -> None:
        """
        The lock of a process that is about to listen is left alone.
        """
        os.symlink("1", self.lock)
        removeLeftover(self.path)
        self.assertTrue(os.path.lexists(self.lock))

    def test_foreign(self) -> None:
        """
        What has no lock is not ours to remove.
        """
        self.leave().close()
        os.unlink(self.lock)
        removeLeftover(self.path)
        self.assertTrue(os.path.lexists(self.path))

    def test_notPermitted(self) -> None:
        """
        What can't be removed stays, and nothing is raised.
        """
        self.leave().close()

        def deny(path: str) -> None:
            raise PermissionError(13, "Permission denied", path)

        self.patch(os, "unlink", deny)
        removeLeftover(self.path)
        self.assertTrue(os.path.lexists(self.path))
