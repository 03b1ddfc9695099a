# -*- test-case-name: tests.test_client_connections -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The sockets of a connection.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface.verify import verifyObject

from txsockjs.client.connections import Connections, Direct

THERE = IPv4Address("TCP", "192.0.2.1", 80)
HERE = IPv4Address("TCP", "192.0.2.2", 50000)


class Transport(StringTransport):
    """
    Counts how often it is cut.
    """

    aborts = 0

    def __init__(self) -> None:
        super().__init__(HERE, THERE)

    def abortConnection(self) -> None:
        self.aborts += 1


class Endpoints:
    """
    Endpoints that connect when they are told to.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Factory, Deferred]] = []

    def endpointForURI(self, uri):
        return self

    def connect(self, factory) -> Deferred:
        self.waiting.append((factory, Deferred()))
        return self.waiting[-1][1]

    def open(self) -> tuple[Protocol, Transport]:
        """
        The oldest one connects.
        """
        factory, connecting = self.waiting.pop(0)
        protocol = factory.buildProtocol(THERE)
        transport = Transport()
        protocol.makeConnection(transport)
        connecting.callback(protocol)
        return protocol, transport


class ConnectionsTests(SynchronousTestCase):
    """
    L{Connections}.
    """

    def setUp(self) -> None:
        self.endpoints = Endpoints()
        self.connections = Connections(self.endpoints)
        self.assertTrue(verifyObject(IAgentEndpointFactory, self.connections))
        self.endpoint = self.connections.endpointForURI(URI.fromBytes(b"http://192.0.2.1/"))

    def connect(self) -> Deferred:
        """
        @return: fires with a protocol.
        """
        return self.endpoint.connect(Factory.forProtocol(Protocol))

    def test_passes(self) -> None:
        """
        The protocol is the factory's own, and its transport does what the socket does.
        """
        connecting = self.connect()
        _, transport = self.endpoints.open()
        protocol = self.successResultOf(connecting)
        self.assertIs(type(protocol), Protocol)
        protocol.transport.write(b"x")
        self.assertEqual(transport.value(), b"x")

    def test_addresses(self) -> None:
        """
        The addresses are those of the last socket.
        """
        self.assertIsNone(self.connections.addresses)
        self.connect()
        self.endpoints.open()
        self.assertEqual(self.connections.addresses, (THERE, HERE))

    def test_abort(self) -> None:
        """
        Every socket that is open is cut, and none that is gone.
        """
        for _ in range(3):
            self.connect()
        opened = [self.endpoints.open() for _ in range(3)]
        opened[1][0].connectionLost(Failure(ConnectionDone()))
        self.connections.abort()
        self.assertEqual([transport.aborts for _, transport in opened], [1, 0, 1])

    def test_late(self) -> None:
        """
        A socket that is opened when all is over is cut.
        """
        connecting = self.connect()
        self.connections.abort()
        _, transport = self.endpoints.open()
        self.failureResultOf(connecting, ConnectionAborted)
        self.assertEqual(transport.aborts, 1)


class DirectTests(SynchronousTestCase):
    """
    L{Direct}.
    """

    def test_endpoints(self) -> None:
        """
        The scheme decides about TLS, and a policy is asked for the host's name.
        """
        asked = []

        class Policy(BrowserLikePolicyForHTTPS):
            def creatorForNetloc(self, hostname, port):
                asked.append((hostname, port))
                return super().creatorForNetloc(hostname, port)

        reactor = MemoryReactorClock()
        direct = Direct(reactor, Policy())
        self.assertTrue(verifyObject(IAgentEndpointFactory, direct))
        self.assertNotIn("TLS", repr(type(direct.endpointForURI(URI.fromBytes(b"http://example.com/")))))
        self.assertEqual(asked, [])
        direct.endpointForURI(URI.fromBytes(b"https://example.com:8443/"))
        self.assertEqual(asked, [(b"example.com", 8443)])
        Direct(reactor).endpointForURI(URI.fromBytes(b"https://example.com/"))
