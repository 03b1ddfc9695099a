# -*- test-case-name: tests.test_endpoints -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
C{sockjs:} strings, as a program hands them to Twisted.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.internet.protocol import Factory
from twisted.plugin import IPlugin
from twisted.protocols.wire import Echo
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, readBody
from zope.interface.verify import verifyObject

from tests.support import Apps
from tests.wire import HTTPClient
from txsockjs.endpoints import SockJSServerEndpoint, SockJSServerParser
from txsockjs.factory import SockJSFactory


async def get(url: str) -> bytes:
    """
    @return: the body that is at a URL.
    """
    response = await Agent(reactor, connectTimeout=30).request(b"GET", url.encode("ascii"))
    return await readBody(response)


class ListenTests(TestCase):
    """
    Endpoints that listen.
    """

    async def info(self, description: str, factory: Factory | None = None) -> dict[str, Any]:
        """
        Listen, and ask for the service's facts.
        """
        endpoint = serverFromString(reactor, description)
        port = await endpoint.listen(Factory.forProtocol(Echo) if factory is None else factory)
        self.addCleanup(port.stopListening)
        return json.loads(await get(f"http://127.0.0.1:{port.getHost().port}/info"))

    async def test_serves(self) -> None:
        """
        The endpoint serves SockJS at C{/}, with the options of the string.
        """
        info = await self.info(
            r"sockjs:tcp\:0\:interface\=127.0.0.1:heartbeat_delay=10:transports=xhr-polling,xhr-streaming"
        )
        self.assertIs(False, info["websocket"])
        self.assertEqual(["xhr-streaming", "xhr-polling"], info["transports"])

    async def test_unescaped(self) -> None:
        """
        In the description within, colons must be escaped, equals signs need not be.
        """
        info = await self.info(r"sockjs:tcp\:0\:interface=127.0.0.1:cookie_needed=true")
        self.assertIs(True, info["cookie_needed"])

    async def test_oldString(self) -> None:
        """
        A string written for txsockjs 1.x works, and warns of the names that have better ones.
        """
        info = await self.info(r"sockjs:tcp\:0\:interface\=127.0.0.1:encoding=utf8:websocket=false")
        self.assertIs(False, info["websocket"])
        warnings = [warning for warning in self.flushWarnings() if "txsockjs" in warning["message"]]
        self.assertEqual([DeprecationWarning], [warning["category"] for warning in warnings])
        # Python shows it by default only where the user's own program is named.
        self.assertEqual([__file__], [warning["filename"] for warning in warnings])

    async def test_factory(self) -> None:
        """
        The wrapped factory is started with the port and stopped with it.
        """
        factory = Factory.forProtocol(Echo)
        endpoint = serverFromString(reactor, r"sockjs:tcp\:0\:interface=127.0.0.1")
        port = await endpoint.listen(factory)
        self.assertEqual(1, factory.numPorts)
        await port.stopListening()
        self.assertEqual(0, factory.numPorts)

    async def test_stop(self) -> None:
        """
        When the port stops listening, sessions get what is queued for them and a close frame, and then the factory is
        stopped.
        """
        apps = Apps()
        endpoint = serverFromString(reactor, r"sockjs:tcp\:0\:interface=127.0.0.1:drain_reason=enough")
        port = await endpoint.listen(apps)
        verifyObject(IListeningPort, port)
        client = HTTPClient(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.addCleanup(client.close)
        poller = await client.connect()
        self.assertEqual(b"o\n", await (await poller.request("POST", "/0/s/xhr")).body())
        apps.last.transport.write("one")
        stopped = port.stopListening()
        self.assertEqual(b'a["one"]\n', await (await poller.request("POST", "/0/s/xhr")).body())
        self.assertFalse(stopped.called)
        self.assertEqual(b'c[3000,"enough"]\n', await (await poller.request("POST", "/0/s/xhr")).body())
        self.assertIsNone(await stopped)
        await poller.gone()
        self.assertEqual((1, 0), (len(apps.last.lost), apps.numPorts))


class ParseTests(SynchronousTestCase):
    """
    Strings, and what they become.
    """

    def test_interfaces(self) -> None:
        """
        Parser and endpoint are what Twisted takes them for.
        """
        parser = SockJSServerParser()
        verifyObject(IPlugin, parser)
        verifyObject(IStreamServerEndpointStringParser, parser)
        endpoint = parser.parseStreamServer(reactor, "tcp:0")
        verifyObject(IStreamServerEndpoint, endpoint)

    def test_wrongName(self) -> None:
        """
        An option that there is not is refused when the string is read, by its name.
        """
        with self.assertRaisesRegex(ValueError, "no option 'heartbeat_dely'"):
            serverFromString(reactor, r"sockjs:tcp\:0:heartbeat_dely=10")

    def test_wrongValue(self) -> None:
        """
        A value that an option can't have is refused when the string is read.
        """
        with self.assertRaisesRegex(ValueError, "heartbeat_delay must be a number, not 'soon'"):
            serverFromString(reactor, r"sockjs:tcp\:0:heartbeat_delay=soon")

    def test_wrongEndpoint(self) -> None:
        """
        What is wrong with the description within is said by Twisted.
        """
        with self.assertRaisesRegex(ValueError, "Unknown endpoint type: 'carrier'"):
            serverFromString(reactor, r"sockjs:carrier\:pigeon")

    def test_noDescription(self) -> None:
        """
        A string without a description within is refused.
        """
        with self.assertRaisesRegex(ValueError, "not 0: none"):
            serverFromString(reactor, "sockjs:encoding=latin-1")

    def test_colonsNotEscaped(self) -> None:
        """
        A description whose colons are not escaped is refused, and the error shows how they are.
        """
        with self.assertRaisesRegex(ValueError, r"as in sockjs:tcp\\:8081.*not 2: tcp, 8081"):
            serverFromString(reactor, "sockjs:tcp:8081")

    def test_settings(self) -> None:
        """
        In Python, the endpoint takes settings as a resource does.
        """
        heard = []

        class Inner:
            def listen(self, factory: object) -> Deferred[object]:
                heard.append(factory)
                return Deferred()

        SockJSServerEndpoint(Inner(), {"encoding": "latin-1"}, heartbeat_delay=7).listen(Factory.forProtocol(Echo))
        (site,) = heard
        self.assertIsInstance(site, SockJSFactory)
        self.assertEqual("iso8859-1", site.resource.options.encoding)
        self.assertEqual(7, site.resource.options.heartbeat_delay)
        with self.assertRaisesRegex(ValueError, "no option"):
            SockJSServerEndpoint(Inner(), color="blue")
