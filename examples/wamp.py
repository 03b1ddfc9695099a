"""
A chat whose processes share what is said through a WAMP router, such as Crossbar, by Autobahn's client::

    python examples/wamp.py tcp:8081 ws://127.0.0.1:8080/ws realm1

L{WAMPBus} is all that a program needs; it works with C{txsockjs.broadcast} as the bus on Redis does. Only the line that
sets it up knows of WAMP.
"""

from __future__ import annotations

import secrets
import sys
from collections import Counter
from typing import Any

from autobahn.twisted.component import Component  # what is made for WAMP belongs to whoever wants it
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import PublishOptions
from twisted.internet import endpoints, reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from zope.interface import implementer

from txsockjs.broadcast import channels
from txsockjs.bus.envelopes import Seen, part, unpack
from txsockjs.bus.interfaces import BusFacts, BusStats, Gap, GapReport, IBus, Receive
from txsockjs.bus.outgoing import Outgoing
from txsockjs.factory import SockJSFactory

PREFIX = "txsockjs.channel."
"""What the topics of channels begin with at the router; the name of the channel follows, in hexadecimal."""

_log = Logger()


@implementer(IBus)
class WAMPBus:
    """
    A bus on the publish and subscribe of a WAMP router.

      1. Everything goes to the router, and comes back from there to whoever has subscribed, this process included. So
         all processes get the messages of a channel in the router's order.
      2. What is published on a channel in one turn travels in one event. Events are acknowledged; those that were not
         when the connection broke are sent again, and dropped by whoever has had them.
      3. What is published while the router is away waits, within bounds. What the bounds don't allow is lost, and what
         others have published meanwhile was missed: both are reported as a gap when the router is back.
    """

    _receive: Receive
    _report: GapReport

    def __init__(
        self, url: str, realm: str, clock: Any, maxMessages: int = 100_000, maxBytes: int = 16_777_216
    ) -> None:
        """
        @param url: the router's WebSocket.

        @param realm: its realm.

        @param clock: the reactor.

        @param maxMessages: how many messages may wait.

        @param maxBytes: their size.
        """
        self.stats = BusStats()
        self._name = f"{url} ({realm})"
        self._clock = clock
        self._origin = secrets.token_hex(8)
        self._outgoing = Outgoing(self._origin, maxMessages, maxBytes)
        self._seen = Seen()
        self._session: Any = None
        self._subscriptions: dict[str, Any] = {}  # of this session, by channel; None for one that is not confirmed
        self._wanted: set[str] = set()
        self._missing: set[str] = set()  # what this session does not have back yet
        self._awaySince: float | None = None
        self._lost: Counter[str] = Counter()
        self._call: Any = None
        # It connects again by itself, for ever.
        transport = {"type": "websocket", "url": url, "max_retries": -1, "max_retry_delay": 10}
        self._component = Component(transports=[transport], realm=realm)
        self._component.on("join", self._joined)
        self._component.on("leave", self._left)

    def start(self, receive: Receive, gap: GapReport, before: IBus | None) -> None:
        self._receive, self._report = receive, gap
        if isinstance(before, WAMPBus):
            self._seen = before._seen
        if self._wanted:  # there was another bus before
            self._awaySince = self._clock.seconds()
        self._component.start(self._clock).addErrback(lambda failure: _log.failure("no bus any more", failure))

    def stop(self) -> Deferred[None]:
        self._flush()
        if self._call is not None:
            self._call.cancel()
        self._call = self._clock  # nothing is put off any more
        return maybeDeferred(self._component.stop).addBoth(lambda _: None)

    def facts(self) -> BusFacts:
        waiting = self._outgoing
        return BusFacts(self._name, self._session is not None, waiting.messages, waiting.size, len(self._wanted))

    # -- out ------------------------------------------------------------------------------------------------------

    def publish(self, channel: str, message: bytes | str, mark: int) -> None:
        isBytes = isinstance(message, bytes)
        if not self._outgoing.put(channel, isBytes, part(message), mark, self._clock.seconds()):
            self._lost[channel] += 1
            self.stats.lost += 1
        self._soon()

    def _soon(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._call = None
        self._flush()

    def _isHeld(self, channel: str) -> bool:
        return channel in self._wanted and self._subscriptions.get(channel) is None

    def _flush(self) -> None:
        if self._session is not None and not self._missing:
            for piece in self._outgoing.take(self._isHeld):
                self._send(piece)

    def _send(self, piece: Any) -> None:
        options = PublishOptions(acknowledge=True, exclude_me=False)
        sent = self._session.publish(PREFIX + piece.channel.encode().hex(), piece.packed, options=options)
        sent.addCallbacks(self._landed, self._notSent)

    def _landed(self, publication: object) -> None:
        piece = self._outgoing.landed()
        self.stats.messagesOut += len(piece.parts)
        self.stats.bytesOut += piece.size
        self.stats.batchesOut += 1
        self._soon()

    def _notSent(self, failure: Any) -> None:
        # All but a refusal of the router's means that the session is over, and so it will be sent again.
        if failure.check(ApplicationError) and failure.value.error.startswith("wamp.error."):
            piece = self._outgoing.landed()
            _log.error("the bus does not take {channel!r}: {why}", channel=piece.channel, why=failure.value)
            self._lost[piece.channel] += len(piece.parts)
            self.stats.lost += len(piece.parts)

    # -- in -------------------------------------------------------------------------------------------------------

    def subscribe(self, channel: str) -> None:
        self._wanted.add(channel)
        if self._session is not None and channel not in self._subscriptions:
            self._ask(channel)

    def unsubscribe(self, channel: str) -> None:
        self._wanted.discard(channel)
        subscription = self._subscriptions.get(channel)
        if subscription is not None:
            del self._subscriptions[channel]
            subscription.unsubscribe().addErrback(lambda failure: None)  # the session is over
        self._restored(channel)

    def _ask(self, channel: str) -> None:
        self._subscriptions[channel] = None
        topic = PREFIX + channel.encode().hex()
        asked = self._session.subscribe(lambda piece: self._came(channel, piece), topic)
        asked.addCallbacks(self._confirmed, self._notConfirmed, (channel, self._session), {}, (channel,))

    def _confirmed(self, subscription: Any, channel: str, session: Any) -> None:
        if session is not self._session:
            return
        self._subscriptions[channel] = subscription
        if channel not in self._wanted:
            self.unsubscribe(channel)
        self._restored(channel)

    def _notConfirmed(self, failure: Any, channel: str) -> None:
        if failure.check(ApplicationError) and failure.value.error.startswith("wamp.error."):
            _log.error("the bus refuses {channel!r}: {why}", channel=channel, why=failure.value)
            self._wanted.discard(channel)
            self._restored(channel)

    def _came(self, channel: str, piece: bytes) -> None:
        try:
            came = unpack(piece)
        except (ValueError, TypeError, AttributeError):
            self.stats.malformed += 1
            return
        if not self._seen.isNew(came.origin, came.number):
            self.stats.duplicates += 1
            return
        self.stats.messagesIn += len(came.messages)
        self.stats.bytesIn += came.size
        self.stats.batchesIn += 1
        self._receive(channel, came.messages, came.mark if came.origin == self._origin else None)

    # -- the router comes and goes --------------------------------------------------------------------------------

    def _joined(self, session: Any, details: object) -> None:
        self.stats.connects += 1
        self._session = session
        self._missing = set(self._wanted)
        for channel in list(self._wanted):
            self._ask(channel)
        self._restored("")

    def _left(self, session: Any, details: object) -> None:
        if session is self._session:
            self._session = None
            self._subscriptions.clear()
            self.stats.disconnects += 1
            if self._awaySince is None:
                self._awaySince = self._clock.seconds()

    def _restored(self, channel: str) -> None:
        """
        A channel is there again, or need not be. When all are, send again what was on its way, and tell of the gap.
        """
        self._missing.discard(channel)
        if self._session is None or self._missing:
            self._soon()
            return
        if self._awaySince is not None or self._lost:
            now = self._clock.seconds()
            since, lost = self._awaySince, self._lost
            self._awaySince, self._lost = None, Counter()
            for piece in list(self._outgoing.flight):
                self._send(piece)
            names = tuple(sorted({*lost, *(self._wanted if since is not None else ())}))
            self.stats.gaps += 1
            self._report(Gap(names, now if since is None else since, now, lost.total(), since is not None))
        self._soon()


class Chat(Protocol):
    """
    Tells everybody what somebody says, in whatever process.
    """

    def connectionMade(self) -> None:
        channels.subscribe(self, "chat")

    def dataReceived(self, data: bytes) -> None:
        channels.publish("chat", data)


def main(where: str, url: str, realm: str) -> None:
    """
    Serve the chat.
    """
    channels.useBus(WAMPBus(url, realm, reactor))
    channels.onGap(lambda gap: print(gap, flush=True))
    listening = endpoints.serverFromString(reactor, where).listen(SockJSFactory(Factory.forProtocol(Chat)))
    listening.addCallback(lambda port: print("listening on", port.getHost().port, flush=True))
    reactor.addSystemEventTrigger("before", "shutdown", channels.stop)
    reactor.run()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(
            "usage: python examples/wamp.py ENDPOINT ROUTER-URL REALM, such as tcp:8081 ws://127.0.0.1:8080/ws realm1"
        )
    main(*sys.argv[1:])
