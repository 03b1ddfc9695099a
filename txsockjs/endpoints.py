# -*- test-case-name: tests.test_endpoints -*-
"""
Endpoint strings: C{sockjs:tcp\\:8081:heartbeat_delay=10} listens as C{tcp:8081} does, and speaks SockJS;
C{sockjs:http\\://localhost\\:8081/echo} connects to a SockJS service.

Twisted may import this module for any endpoint string, so what is heavy is imported when a C{sockjs:} string has come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

if TYPE_CHECKING:
    from txsockjs.client import SockJSClientEndpoint
    from txsockjs.factory import SockJSFactory
    from txsockjs.options import Options

__all__ = ["SockJSClientParser", "SockJSServerEndpoint", "SockJSServerParser"]


@implementer(IPlugin, IStreamServerEndpointStringParser)
class SockJSServerParser:
    """
    Makes endpoints of strings.
    """

    prefix = "sockjs"

    def parseStreamServer(self, reactor: Any, *args: Any, **options: Any) -> SockJSServerEndpoint:
        """
        @param args: the description of the endpoint that does the listening, such as C{tcp:8081}, and nothing else.

        @param options: the options of the service, by their names in L{txsockjs.options.Options}.

        @raise ValueError: when there is no such option, or its value is wrong, or when there is not one description.
        """
        from twisted.internet.endpoints import serverFromString

        from txsockjs.options import Options

        descriptions, settings = _sorted(args, options)
        if len(descriptions) != 1:
            raise ValueError(
                r"sockjs: takes the description of one endpoint, with its colons escaped, as in "
                rf"sockjs:tcp\:8081:encoding=latin-1, not {len(descriptions)}: {', '.join(descriptions) or 'none'}"
            )
        ready = Options.fromStrings(settings)
        return SockJSServerEndpoint(serverFromString(reactor, descriptions[0]), ready, reactor=reactor)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class SockJSClientParser:
    """
    Makes client endpoints of strings.
    """

    prefix = "sockjs"

    def parseStreamClient(self, reactor: Any, *args: Any, **options: Any) -> SockJSClientEndpoint:
        """
        @param args: the URL of the service, such as C{http://localhost:8081/echo}, and nothing else.

        @param options: the options of the client, by their names in L{txsockjs.client.options.ClientOptions}.

        @raise ValueError: when there is no such option, or its value is wrong, or when there is not one URL.
        """
        from txsockjs.client import ClientOptions, SockJSClientEndpoint

        urls, settings = _sorted(args, options)
        if len(urls) != 1:
            raise ValueError(
                r"sockjs: takes the URL of one service, with its colons escaped, as in "
                rf"sockjs:http\://localhost\:8081/echo:encoding=latin-1, not {len(urls)}: {', '.join(urls) or 'none'}"
            )
        return SockJSClientEndpoint(reactor, urls[0], ClientOptions.fromStrings(settings))


def _sorted(args: Sequence[str], options: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """
    @return: what describes the other end, and the settings.
    """
    descriptions = list(args)
    settings = {}
    for name, value in options.items():
        # A description whose own "=" is not escaped is taken for an option; the colon in its "name" tells.
        if ":" in name:
            descriptions.append(f"{name}={value}")
        else:
            settings[name] = value
    return descriptions, settings


@implementer(IStreamServerEndpoint)
class SockJSServerEndpoint:
    """
    Listens for another endpoint, and speaks SockJS on its connections.
    """

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        options: Options | Mapping[str, Any] | None = None,
        *,
        reactor: IReactorTime | None = None,
        **settings: Any,
    ) -> None:
        """
        @param endpoint: does the listening.

        @param options: see L{txsockjs.resource.SockJSResource}.

        @param reactor: where time comes from; the global reactor by default.

        @param settings: see L{txsockjs.resource.SockJSResource}.

        @raise ValueError: when there is no such setting, or its value is wrong.
        """
        from txsockjs.options import Options

        self._endpoint = endpoint
        self._options = Options.build(options, **settings)
        self._reactor = reactor

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Serve a factory as the one service, at C{/}.
        """
        from txsockjs.factory import SockJSFactory

        site = SockJSFactory(protocolFactory, self._options, reactor=self._reactor)
        return self._endpoint.listen(site).addCallback(_Port, site)


@implementer(IListeningPort)
class _Port:
    """
    A port whose sessions are seen off when it is closed: nobody else has the site to do so.
    """

    def __init__(self, port: IListeningPort, site: SockJSFactory) -> None:
        self._port = port
        self._site = site

    def startListening(self) -> None:
        """
        See L{twisted.internet.interfaces.IListeningPort.startListening}.
        """
        self._port.startListening()

    def stopListening(self) -> Deferred[None]:
        """
        Drain the site, and close the port when no session is left.

        @return: fires when the port is closed, and all sessions and connections are gone.
        """
        return self._site.drain(close=self._port.stopListening)

    def getHost(self) -> IAddress:
        """
        See L{twisted.internet.interfaces.IListeningPort.getHost}.
        """
        return self._port.getHost()
