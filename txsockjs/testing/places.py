# -*- test-case-name: tests.test_testing -*-
"""
What a test connects to: a site that is or is not its own, its clock, and the service at one of its URLs.
"""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import quote

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.task import Clock
from twisted.web.resource import IResource
from twisted.web.server import Site

from txsockjs.connection import Connection
from txsockjs.factory import SockJSFactory
from txsockjs.resource import SockJSResource
from txsockjs.testing.memory import MemoryConnection
from txsockjs.testing.turns import SteppedClock, assertNothingLeft, flush

__all__ = ["Company", "Place", "placeOf"]


class Place:
    """
    A service in memory, and the way to it.

    @ivar clock: where time comes from.
    @ivar path: its URL, quoted, without a slash at its end.
    @ivar query: the query that goes with each URL, without its question mark.
    """

    def __init__(
        self, site: Site, clock: SteppedClock, path: str, service: SockJSResource | None, isListened: bool
    ) -> None:
        """
        @param isListened: whether the site is to be started, as by a port; not so one that is made for a resource.
        """
        self.clock = clock
        path, _, query = path.partition("?")
        self.path = "/" + quote(path.strip("/")) if path.strip("/") else ""
        self.query = quote(query, safe="%&+=!$'()*,;:@/?")
        self._site = site
        self._service = service
        self._isListened = isListened
        self._isStarted = False

    def start(self) -> None:
        """
        Start the site, as a port does that begins to listen, unless it is started.
        """
        if self._isListened and not self._site.numPorts:
            self._isStarted = True
            self._site.doStart()
            # Twisted looks at the time once a second for an access log; that would be a delayed call of nobody's.
            call = self._site._logDateTimeCall
            if call is not None:
                call.cancel()
                self._site._logDateTimeCall = None

    def stop(self) -> None:
        """
        End every session, and stop the site if it was started here.
        """
        service = self._service
        if self._isStarted:
            self._isStarted = False
            self._site.doStop()
        if service is not None and not service.isDraining:
            service.stop()
            service.start()

    def connect(self, peer: IAddress | None) -> MemoryConnection:
        """
        @return: a connection to the server. Its address of the server is an object of its own, by which the session
            is told from others.
        """
        return MemoryConnection(self._site, self.clock, peer, IPv4Address("TCP", "127.0.0.1", 80))

    def find(self, connection: MemoryConnection) -> IProtocol | None:
        """
        @return: the application's protocol for the session that was opened by C{connection}, if there is one.

        @raise LookupError: when the service can't be found in the tree.
        """
        if self._service is None:
            raise LookupError(
                f"there is no SockJSResource at {self.path or '/'} that can be found without a request: keep what your "
                f"factory builds, and look there"
            )
        host = connection.transport.getHost()
        for session in self._service._service.registry._live:
            application = session._application
            if isinstance(application, Connection) and application.getHost() is host:
                return application._protocol
        return None


def placeOf(target: object, path: str, clock: SteppedClock | None, settings: dict[str, Any]) -> Place:
    """
    @param target: see L{txsockjs.testing.connect}.

    @param path: likewise.

    @param clock: likewise.

    @param settings: of a service that is made here.
    """
    if isinstance(target, Site) or IResource.providedBy(target):
        if settings:
            raise TypeError(
                f"{', '.join(sorted(settings))}: settings belong to the service, which is made already; connect takes "
                f"them only together with a factory of protocols"
            )
        return _placeIn(target, path, clock)
    if isinstance(target, type) or not IProtocolFactory.providedBy(target):
        raise TypeError(
            f"connect takes a factory such as Factory.forProtocol(Echo), a SockJSResource or another resource, or a "
            f"Site such as SockJSFactory, not {target!r}"
        )
    if clock is None:
        clock = Clock()
    site: Any = SockJSFactory(target, reactor=clock, **settings)  # type: ignore[arg-type]
    return Place(site, clock, path, site.resource, True)


def _placeIn(target: Any, path: str, clock: SteppedClock | None) -> Place:
    isSite = isinstance(target, Site)
    service = _serviceAt(target.resource if isSite else target, path)
    clocks = {"Site": target.reactor} if isSite else {}
    if service is not None:
        clocks[type(service).__name__] = service._service.clock
    if clock is not None:
        clocks["connect"] = clock
    if not clocks:
        raise ValueError("which clock? There is no SockJSResource to ask at this path: give connect a clock=")
    for name, other in clocks.items():
        if not hasattr(other, "advance"):
            raise ValueError(
                f"this {name} keeps time by {other!r}, which does not stand still: make it with reactor=Clock()"
            )
    (name, chosen), *others = clocks.items()
    for otherName, other in others:
        if other is not chosen:
            raise ValueError(f"there are two clocks, of {name} and of {otherName}: give both the same one")
    site = target if isSite else Site(target, reactor=chosen)
    return Place(site, chosen, path, service, isSite)


def _serviceAt(root: Any, path: str) -> SockJSResource | None:
    """
    Find a service in a tree as it stands, since resources that are made for a request can't be asked.
    """
    place = root
    for segment in path.partition("?")[0].strip("/").encode("utf-8").split(b"/"):
        if segment:
            place = getattr(place, "children", {}).get(segment)
    return place if isinstance(place, SockJSResource) else None


class Member(Protocol):
    """
    A client, as far as others are concerned.
    """

    @property
    def isConnected(self) -> bool:
        """Whether it has a connection."""

    def drop(self) -> None:
        """Break its connections."""


class Company:
    """
    The clients of one clock, and where they are.
    """

    def __init__(self, clock: SteppedClock) -> None:
        self._clock = clock
        self._members: dict[Member, None] = {}  # in the order in which they came
        self._places: list[Place] = []

    @classmethod
    def of(cls, clock: Any) -> Company:
        """
        @return: that of a clock. It is an attribute of the clock's, so that it lives as long.
        """
        try:
            company: Company = clock._txsockjsCompany
        except AttributeError:
            company = clock._txsockjsCompany = cls(clock)
        return company

    def join(self, member: Member, place: Place) -> None:
        """
        There is a client more.
        """
        self._members[member] = None
        self._places.append(place)
        place.start()

    def leave(self, member: Member) -> None:
        """
        There is a client less; when no other one is connected, everything ends.

        @raise LeftBehind: see L{finish}.
        """
        self._members.pop(member, None)
        if not any(other.isConnected for other in self._members):
            self.finish()

    def finish(self) -> None:
        """
        Break all connections, and end all sessions.

        @raise LeftBehind: when a delayed call is left after that.
        """
        members, self._members = self._members, {}
        for member in members:
            member.drop()
        places, self._places = self._places, []
        for place in places:
            place.stop()
        flush(self._clock)
        assertNothingLeft(self._clock)
