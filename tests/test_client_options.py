# -*- test-case-name: tests.test_client_options -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The settings of the client, and those that are no settings.
"""

from __future__ import annotations

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor
from twisted.internet.task import Clock
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from zope.interface.verify import verifyObject

from txsockjs.client import ClientOptions, SockJSClientEndpoint
from txsockjs.client.connections import Direct
from txsockjs.client.options import CLIENT_OPTIONS, CLIENT_TRANSPORTS
from txsockjs.endpoints import SockJSClientParser


class ClientOptionsTests(SynchronousTestCase):
    """
    L{ClientOptions}.
    """

    def test_defaults(self) -> None:
        """
        Each default passes its own check, and is the same when it is read from text.
        """
        texts = {info.name: info.defaultText for info in CLIENT_OPTIONS}
        self.assertEqual(ClientOptions.fromStrings(texts), ClientOptions())

    def test_build(self) -> None:
        """
        Options come from a dict, from others, and from single settings, which win.
        """
        options = ClientOptions.build({"open_timeout": 3, "encoding": "LATIN1"}, open_timeout=4)
        self.assertEqual((options.open_timeout, options.encoding), (4, "iso8859-1"))
        self.assertEqual(ClientOptions.build(options, write_timeout=7).open_timeout, 4)
        self.assertRaises(ValueError, ClientOptions.build, 7)

    def test_transports(self) -> None:
        """
        Transports keep the order in which they are named; raw WebSocket is not among them unless it is named.
        """
        self.assertEqual(ClientOptions().transports, CLIENT_TRANSPORTS[:-1])
        options = ClientOptions.fromStrings({"transports": "xhr-polling, websocket-raw,xhr-polling"})
        self.assertEqual(options.transports, ("xhr-polling", "websocket-raw"))

    def test_wrong(self) -> None:
        """
        A name or a value that is wrong is an error that says what would be right.
        """
        for settings, why in (
            ({"transport": "websocket"}, "did you mean 'transports'?"),
            ({"transports": ["websockets"]}, "did you mean 'websocket'?"),
            ({"transports": []}, "at least one of"),
            ({"transports": "websocket"}, "a list of names"),
            ({"info_timeout": 0}, "above 0"),
            ({"heartbeat_timeout": -1}, "0 or more"),
            ({"max_frame_size": 4095}, "4096 or more"),
            ({"max_message_size": 0}, "1 or more"),
            ({"encoding": "klingon"}, "a text codec of Python's"),
        ):
            error = self.assertRaises(ValueError, ClientOptions.build, settings)
            self.assertIn(why, str(error))
        self.assertRaises(ValueError, ClientOptions.fromStrings, {"open_timeout": "soon"})


class EndpointSettingsTests(SynchronousTestCase):
    """
    What L{SockJSClientEndpoint} takes.
    """

    def wrong(self, **settings) -> str:
        """
        @return: the text of the error.
        """
        url = settings.pop("url", "http://localhost/")
        return str(self.assertRaises(ValueError, SockJSClientEndpoint, Clock(), url, **settings))

    def test_headers(self) -> None:
        """
        A header that can't be sent, or that is not the user's to set, is refused.
        """
        self.assertIn("no name of a header", self.wrong(headers={"a b": "x"}))
        self.assertIn("printable ASCII", self.wrong(headers={"X-A": "x\r\nX-B: y"}))
        self.assertIn("printable ASCII", self.wrong(headers={"X-A": "gr\xfcn"}))
        self.assertIn("both str", self.wrong(headers={"X-A": b"x"}))
        for name in ("Host", "content-length", "Upgrade", "Sec-WebSocket-Key"):
            self.assertIn("set for each request", self.wrong(headers={name: "x"}))

    def test_sameHeader(self) -> None:
        """
        A header of the user's takes the place of the client's own, and the last spelling of a name counts.
        """
        endpoint = SockJSClientEndpoint(Clock(), "http://h", headers={"user-agent": "me", "x-A": "1", "X-a": "2"})
        self.assertEqual(endpoint._headers, {"user-agent": "me", "X-a": "2"})
        self.assertRegex(SockJSClientEndpoint(Clock(), "http://h")._headers["User-Agent"], r"^txsockjs/\d")

    def test_url(self) -> None:
        """
        A URL that is wrong is told when the endpoint is made.
        """
        self.assertIn("http or https", self.wrong(url="ws://localhost"))

    def test_agent(self) -> None:
        """
        What can't go together is told when the endpoint is made.
        """
        clock = Clock()
        agent = Agent(clock)
        self.assertIn("endpointFactory", self.wrong(agent=agent, transports=["websocket", "xhr-polling"]))
        self.assertIn("endpointFactory", self.wrong(agent=agent, transports=["websocket-raw"]))
        self.assertIn("tlsPolicy", self.wrong(endpointFactory=Direct(clock), tlsPolicy=object()))
        self.assertIn("tlsPolicy", self.wrong(agent=agent, tlsPolicy=object()))
        SockJSClientEndpoint(clock, "http://h", agent=agent)
        SockJSClientEndpoint(clock, "http://h", agent=agent, transports=["xhr-polling"])
        SockJSClientEndpoint(clock, "http://h", agent=agent, endpointFactory=Direct(clock), transports=["websocket"])


class ParserTests(SynchronousTestCase):
    """
    Endpoint strings.
    """

    def test_plugin(self) -> None:
        """
        C{sockjs} is one of the prefixes of client endpoint strings.
        """
        plugins = getPlugins(IStreamClientEndpointStringParserWithReactor)
        (parser,) = [parser for parser in plugins if parser.prefix == "sockjs"]
        self.assertIsInstance(parser, SockJSClientParser)
        self.assertTrue(verifyObject(IStreamClientEndpointStringParserWithReactor, parser))

    def test_string(self) -> None:
        """
        The URL is one argument; options follow it; an equals sign in the URL needs no escape.
        """
        endpoint = clientFromString(
            Clock(), r"sockjs:http\://localhost\:8081/echo?a=b:open_timeout=7:transports=xhr-polling,eventsource"
        )
        self.assertEqual(repr(endpoint), "<SockJSClientEndpoint http://localhost:8081/echo?a=b>")
        self.assertEqual(endpoint._options.open_timeout, 7)
        self.assertEqual(endpoint._options.transports, ("xhr-polling", "eventsource"))

    def test_wrongStrings(self) -> None:
        """
        Colons that are not escaped, and options that do not exist, are errors that say so.
        """
        for description, why in (
            ("sockjs:http://localhost:8081/echo", "with its colons escaped"),
            ("sockjs:", "http or https"),
            (r"sockjs:http\://h:transport=websocket", "did you mean 'transports'?"),
            (r"sockjs:http\://h:open_timeout=soon", "open_timeout must be a number"),
        ):
            error = self.assertRaises(ValueError, clientFromString, Clock(), description)
            self.assertIn(why, str(error))
