# -*- test-case-name: tests.test_client_connect,tests.test_client -*-
"""
How a client connects: C{/info} first, then one transport after another until one works.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import Request

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.http import OK
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IResponse

from txsockjs.client.connections import Connections
from txsockjs.client.errors import CannotConnect, TransportsFailed
from txsockjs.client.frames import TO_SERVER
from txsockjs.client.http import DIALECTS, Body, HTTPCarrier, Requests, describe, discard
from txsockjs.client.options import RAW_TRANSPORT, ClientOptions
from txsockjs.client.session import Carrier, ClientConnection, ClientSession, TransportFailed
from txsockjs.client.urls import ServiceURL, newServerID, newSessionID
from txsockjs.client.websocket import WebSocketCarrier
from txsockjs.codec import RAW
from txsockjs.encoding import lookupEncoding
from txsockjs.interfaces import RequestFacts
from txsockjs.session import Session

__all__ = ["Attempt"]

ROUND_TRIPS = 2
"""How many round trips sockjs-client reckons for each of these transports."""

UNKNOWN_TRIP = 5.0
"""Seconds that a transport has where no round trip was measured, as in sockjs-client."""

IDLE = 3.0
"""
Seconds that an idle connection is kept for the next request. Servers close theirs after 5 seconds and more, and a
request that meets a connection which is just being closed would end the session.
"""

_MOST_INFO = 65536
"""Bytes that the answer to C{/info} may have."""

_NOWHERE = IPv4Address("TCP", "0.0.0.0", 0)


class Attempt:
    """
    One connection, from the first request until the end.

    @ivar isCancelled: whether nobody wants it any more.
    """

    isCancelled = False

    def __init__(
        self,
        reactor: Any,
        url: ServiceURL,
        options: ClientOptions,
        headers: Mapping[str, str],
        agent: IAgent | None,
        endpointFactory: IAgentEndpointFactory,
        factory: IProtocolFactory,
    ) -> None:
        """
        @param reactor: keeps time.

        @param url: the service.

        @param options: the settings of the client.

        @param headers: what each request has.

        @param agent: makes the requests; one of its own for L{None}.

        @param endpointFactory: opens the sockets of WebSockets and of its own agent.

        @param factory: makes the protocol.
        """
        self._reactor = reactor
        self._url = url
        self._options = options
        self._headers = headers
        self._factory = factory
        self._connections = Connections(endpointFactory)
        self._cookies = CookieJar()
        self._pool = HTTPConnectionPool(reactor)
        self._pool.cachedConnectionTimeout = IDLE  # type: ignore[assignment]  # nobody has said that it is whole
        self._ownAgent = agent is None
        if agent is None:
            agent = Agent.usingEndpointFactory(reactor, self._connections, self._pool)
        every = Headers()
        for name, value in headers.items():
            every.setRawHeaders(name, [value])
        self._requests = Requests(agent, every, self._cookies)
        self._server = newServerID()
        self._trip: float | None = None

    async def run(self) -> IProtocol:
        """
        Connect.

        @return: the protocol.
        """
        self._factory.doStart()
        try:
            url, names = await self._explore()
            return await self._try(url, names)
        except BaseException:
            self._end()
            if self.isCancelled:  # what was under way may call that by another name
                raise ConnectingCancelledError(self._url.address) from None
            raise

    # -- /info ----------------------------------------------------------------------------------------------------

    async def _explore(self) -> tuple[ServiceURL, list[str]]:
        """
        @return: where to connect, and by which transports.
        """
        wanted = self._options.transports
        if wanted == (RAW_TRANSPORT,):
            return self._url, [RAW_TRANSPORT]
        info = await self._info()
        url = self._url
        base = info.get("base_url")
        if base:
            try:
                url = url.joined(base)
            except (ValueError, TypeError) as error:
                raise CannotConnect(f"The service tells a base_url that can't be used: {error}") from None
        offered = info.get("transports")
        names = [
            name
            for name in wanted
            if (info.get("websocket") is not False or not name.startswith("websocket"))
            and (not isinstance(offered, list) or name in offered)
        ]
        if not names:
            raise TransportsFailed((), f"the service has none of {', '.join(wanted)}")
        return url, names

    async def _info(self) -> dict[str, Any]:
        """
        Ask for C{/info}, and measure how long the answer takes.
        """
        url = self._url.below("info")
        timeout = self._options.info_timeout
        begun = self._reactor.seconds()
        try:
            text = await Deferred.fromCoroutine(self._get(url)).addTimeout(timeout, self._reactor, _late)
        except CannotConnect:
            raise
        except TimeoutError:
            raise CannotConnect(f"{url} was not answered within {timeout:g} seconds") from None
        except Exception as error:
            raise CannotConnect(f"{url} was not answered: {describe(error)}") from error
        self._trip = self._reactor.seconds() - begun
        try:
            info = json.loads(text)
        except (ValueError, RecursionError):
            info = None
        if not isinstance(info, dict):
            raise CannotConnect(f"{url} was not answered as a SockJS service does, but with {text[:60]!r}")
        return info

    async def _get(self, url: str) -> bytes:
        response = await self._requests.ask(b"GET", url, {})
        if response.code != OK:
            discard(response)
            where = response.headers.getRawHeaders(b"Location")
            to = f" to {where[0].decode('utf-8', 'replace')}" if where else ""
            raise CannotConnect(f"{url} was answered with {response.code}{to}; is there a SockJS service?")
        return await _Whole(response).text

    # -- transports -----------------------------------------------------------------------------------------------

    async def _try(self, url: ServiceURL, names: list[str]) -> IProtocol:
        failures: list[tuple[str, Exception]] = []
        for name in names:
            session = self._session(url, name)
            session.start(self._timeout)
            try:
                return await session.opened
            except TransportFailed as error:
                failures.append((name, error))
        raise TransportsFailed(failures)

    @property
    def _timeout(self) -> float:
        """
        By when a transport must have opened the session, as sockjs-client reckons it.
        """
        least = self._options.open_timeout
        if self._trip is None:
            return max(least, UNKNOWN_TRIP)
        expected = 4 * self._trip if self._trip > 0.1 else 0.3 + self._trip
        return max(least, ROUND_TRIPS * expected)

    def _session(self, url: ServiceURL, name: str) -> ClientSession:
        raw = name == RAW_TRANSPORT
        facts = RequestFacts(url.decodedPath, url.args, {})

        def connect(session: Session, addresses: tuple[IAddress, IAddress]) -> ClientConnection:
            encoding = lookupEncoding(self._options.encoding)
            return ClientConnection(session, self._factory, encoding, name, facts, *addresses)

        session = ClientSession(self._reactor, self._options, RAW if raw else TO_SERVER, connect, self._end)
        own = () if raw else (self._server, newSessionID())
        session.carrier = self._carrier(session, name, url, own)
        return session

    def _carrier(self, session: ClientSession, name: str, url: ServiceURL, own: tuple[str, ...]) -> Carrier:
        options = self._options
        dialect = DIALECTS.get(name)
        if dialect is not None:
            return HTTPCarrier(
                self._reactor,
                session,
                dialect,
                self._requests,
                url.below(*own, dialect.suffix),
                url.below(*own, "xhr_send"),
                options.max_frame_size,
                lambda: self._addresses(url),
            )
        raw = name == RAW_TRANSPORT
        address = url.below(*own, "websocket")
        return WebSocketCarrier(
            self._reactor,
            session,
            self._connections.endpointForURI(URI.fromBytes(address.encode("ascii"))),
            "ws" + address.removeprefix("http"),
            self._withCookies(address),
            raw,
            options.max_message_size if raw else options.max_frame_size,
            options.close_timeout,
        )

    def _addresses(self, url: ServiceURL) -> tuple[IAddress, IAddress]:
        return (self._ownAgent and self._connections.addresses) or (url.address, _NOWHERE)

    def _withCookies(self, url: str) -> dict[str, str]:
        """
        @return: the headers of a handshake, with the cookies that were set before.
        """
        request = Request(url)
        self._cookies.add_cookie_header(request)
        cookie = request.get_header("Cookie")
        mine = any(name.lower() == "cookie" for name in self._headers)
        return {**self._headers, **({} if cookie is None or mine else {"Cookie": cookie})}

    def _end(self) -> None:
        """
        Leave nothing behind.
        """
        self._connections.abort()
        self._pool.closeCachedConnections()
        # This may happen within a response, of which the pool will hear when it is at its end.
        self._reactor.callLater(0, self._pool.closeCachedConnections)
        self._factory.doStop()


def _late(result: object, timeout: float) -> bytes:
    # A request that is cancelled fails with other errors, too.
    raise TimeoutError()


class _Whole:
    """
    The body of a response as a whole.

    @ivar text: fires with it.
    """

    def __init__(self, response: IResponse) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._body = Body(self._received, self._ended)
        self.text: Deferred[bytes] = Deferred(lambda text: self.stop())
        response.deliverBody(self._body)

    def stop(self) -> None:
        """
        Take no more.
        """
        self._body.stop()

    def _received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _MOST_INFO:
            self.stop()
            self.text.errback(CannotConnect(f"/info was answered with more than {_MOST_INFO} bytes"))

    def _ended(self, error: BaseException | None) -> None:
        if error is None:
            self.text.callback(b"".join(self._pieces))
        else:
            self.text.errback(error)
