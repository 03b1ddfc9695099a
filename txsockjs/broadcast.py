# -*- test-case-name: tests.test_broadcast,tests.test_channels -*-
"""
One message to many: to those in a list, or to the members of a named channel.

A channel exists as long as it has members. Which processes the members are in makes no difference: between processes,
messages travel on a bus (L{txsockjs.bus}), and without one a channel is the process's own.

The rules of channels:

  1. Each member gets each message that is published after it has joined, once, and in the order in which they were
     published; all members get them in the same order. Where that can't be kept since the bus broke, the application
     is told of the gap.
  2. A member that has left gets nothing any more, not even what was published before it left. A SockJS session leaves
     by itself when it is over, before its protocol's C{connectionLost}.
  3. Deliveries do not nest: what is published from within one is delivered when it is done.
  4. Members do not wait for each other. What one does not take waits in its session's own queue, and ends that session
     when it becomes too much.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txsockjs.bus import busFromString
from txsockjs.bus.interfaces import Gap, IBus
from txsockjs.bus.memory import MemoryBus
from txsockjs.codec import SharedMessage
from txsockjs.connection import Connection
from txsockjs.stats import ChannelStats
from txsockjs.timers import attempt

__all__ = [
    "MAX_NAME",
    "MAX_NESTED",
    "ChannelGauges",
    "Channels",
    "Gap",
    "broadcast",
    "channels",
    "publish",
    "subscribe",
    "unsubscribe",
]

MAX_NAME = 255
"""Characters that the name of a channel may have."""

MAX_NESTED = 10_000
"""How many messages may be published from within deliveries before all are delivered."""

_log = Logger()


def broadcast(message: bytes | str, targets: Iterable[Any]) -> None:
    """
    Send one message to many. It is encoded once for all sessions that take it in the same form.

    @param message: what C{write} of each target takes.

    @param targets: transports, or protocols whose transports are meant. Those of other kinds than SockJS get it by
        their C{write}.

    @raise ValueError: when the bytes can't be decoded in the encoding of a target; then nobody has got the message.
    """
    transports: list[Any] = [target if hasattr(target, "write") else target.transport for target in targets]
    shared: dict[str, SharedMessage | None] = {}
    for transport in transports:
        if isinstance(transport, Connection) and (name := transport.encodingName) not in shared:
            text = transport.textOf(message)
            shared[name] = None if text is None else SharedMessage(text)
    for transport in transports:
        if not isinstance(transport, Connection):
            transport.write(message)
        elif (prepared := shared[transport.encodingName]) is not None:
            transport.writeShared(prepared)


class ChannelGauges(NamedTuple):
    """
    How things stand at a moment, in this process.
    """

    channels: int
    """How many channels have members."""

    members: int
    """How many members they have, one that is in several counted for each."""


class _Channel:
    """
    A channel that has members in this process.

    @ivar groups: the members by the name of their encoding, which is L{None} for those that are no SockJS sessions:
        each with the number that it got when it joined.
    @ivar newest: the number of the one that joined last.
    @ivar departures: how often someone has left.
    """

    __slots__ = ("departures", "groups", "newest")

    def __init__(self) -> None:
        self.groups: dict[str | None, dict[Any, int]] = {}
        self.newest = 0
        self.departures = 0

    def add(self, member: Any, number: int) -> None:
        self.groups.setdefault(_encodingOf(member), {})[member] = number
        self.newest = number

    def remove(self, member: Any) -> None:
        encoding = _encodingOf(member)
        group = self.groups[encoding]
        del group[member]
        if not group:
            del self.groups[encoding]
        self.departures += 1


def _encodingOf(member: Any) -> str | None:
    return member.encodingName if isinstance(member, Connection) else None


class Channels:
    """
    Named channels. An application needs one of these, and the module has one: L{channels}.

    @ivar stats: what was counted.
    """

    def __init__(self, bus: IBus | str | None = None, reactor: IReactorTime | None = None) -> None:
        """
        @param bus: what carries messages to other processes: an L{IBus}, or a text for L{busFromString} such as
            C{redis://127.0.0.1:6379/0}. L{None} stands for none.

        @param reactor: where a bus that is given as a text takes time and connections from. L{None} stands for the
            global reactor.

        @raise ValueError: when the text describes no bus.
        """
        self.stats = ChannelStats()
        self._channels: dict[str, _Channel] = {}
        self._memberships: dict[Any, set[str]] = {}
        self._members = 0
        self._joins = 0
        self._waiting: deque[tuple[str, bytes | str, int | None]] = deque()
        self._delivering = False
        self._nested = 0
        self._listeners: list[Callable[[Gap], object]] = []
        self._changes = DeferredLock()  # held while one bus takes the place of another one
        self._leaving: IBus | None = None  # the one before, meanwhile
        self._stopping = False
        # One object, so that it can be taken back.
        self._over: Callable[[Connection], object] = self._leaveAll
        if isinstance(bus, str):
            bus = busFromString(bus, reactor)
        self._bus: IBus = MemoryBus() if bus is None else bus
        self._bus.start(self._received, self._gap, None)

    # -- members --------------------------------------------------------------------------------------------------

    def subscribe(self, connection: Any, channel: str) -> bool:
        """
        Make a connection a member of a channel. Without effect if it is one.

        @param connection: the transport of a session, or its protocol. A transport of another kind, such as one of
            TCP, is welcome, but has to be unsubscribed when it is lost.

        @param channel: the name of the channel, 1 to L{MAX_NAME} characters.

        @return: whether it is a member now: a session that is over becomes none.

        @raise TypeError: when the name is no C{str}, or C{connection} neither is nor has a transport.
        @raise ValueError: when the name is empty or too long, or has half a surrogate pair.
        """
        _checkName(channel)
        member = _transportOf(connection)
        names = self._memberships.get(member)
        if names is None:
            if isinstance(member, Connection) and not member.tellWhenOver(self._over):
                return False
            names = self._memberships[member] = set()
        elif channel in names:
            return True
        names.add(channel)
        entry = self._channels.get(channel)
        isNew = entry is None
        if entry is None:
            entry = self._channels[channel] = _Channel()
        self._joins += 1
        entry.add(member, self._joins)
        self._members += 1
        self.stats.joined += 1
        if isNew:
            self._bus.subscribe(channel)
        return True

    def unsubscribe(self, connection: Any, channel: str) -> bool:
        """
        Have a connection leave a channel. Without effect if it is no member.

        @param connection: as for L{subscribe}.

        @param channel: the name of the channel.

        @return: whether it was a member.

        @raise TypeError: see L{subscribe}.
        @raise ValueError: see L{subscribe}.
        """
        _checkName(channel)
        member = _transportOf(connection)
        names = self._memberships.get(member)
        if names is None or channel not in names:
            return False
        names.remove(channel)
        if not names:
            del self._memberships[member]
            if isinstance(member, Connection):
                member.tellNoMore(self._over)
        self._leave(member, channel)
        return True

    def members(self, channel: str) -> tuple[Any, ...]:
        """
        @param channel: the name of a channel.

        @return: the transports that are its members in this process, in no particular order.
        """
        entry = self._channels.get(channel)
        return () if entry is None else tuple(member for group in entry.groups.values() for member in group)

    def channelsOf(self, connection: Any) -> tuple[str, ...]:
        """
        @param connection: as for L{subscribe}.

        @return: the names of the channels that it is a member of, sorted.

        @raise TypeError: see L{subscribe}.
        """
        return tuple(sorted(self._memberships.get(_transportOf(connection), ())))

    @property
    def channels(self) -> tuple[str, ...]:
        """
        The names of the channels that have members in this process, sorted.
        """
        return tuple(sorted(self._channels))

    def gauges(self) -> ChannelGauges:
        """
        @return: how many there are.
        """
        return ChannelGauges(len(self._channels), self._members)

    def _leaveAll(self, member: Any) -> None:
        for channel in self._memberships.pop(member, ()):
            self._leave(member, channel)

    def _leave(self, member: Any, channel: str) -> None:
        entry = self._channels[channel]
        entry.remove(member)
        self._members -= 1
        self.stats.left += 1
        if not entry.groups:
            del self._channels[channel]
            self._bus.unsubscribe(channel)

    # -- messages -------------------------------------------------------------------------------------------------

    def publish(self, channel: str, message: bytes | str) -> None:
        """
        Send one message to the members of a channel, in whatever process they are. It is encoded once for all sessions
        of a process that take it in the same form.

        Bytes are decoded as the service of each member says, as L{broadcast} does. A member in another process whose
        service can't decode them does not get them; it is counted there, and logged.

        @param channel: the name of the channel. One without members is no error.

        @param message: what C{write} of each member takes.

        @raise TypeError: when the message is neither C{bytes} nor C{str}, or the name no C{str}.
        @raise ValueError: when the name is out of bounds, the bytes can't be decoded in the encoding of a member in
            this process, or the message is larger than the bus carries; then nobody gets it.
        @raise RuntimeError: when L{MAX_NESTED} messages were published from within deliveries, which then would hardly
            come to an end.
        """
        _checkName(channel)
        if isinstance(message, (bytearray, memoryview)):
            message = bytes(message)
        elif not isinstance(message, (bytes, str)):
            raise TypeError(f"a message is bytes or str, not {type(message).__name__}")
        if not message and isinstance(message, bytes):
            return  # as on any transport
        entry = self._channels.get(channel)
        mark = self._joins
        if entry is not None:
            mark = entry.newest
            for encoding, group in entry.groups.items():
                if encoding is not None:
                    next(iter(group)).textOf(message)
        self._bus.publish(channel, message, mark)
        self.stats.published += 1

    def _received(self, channel: str, messages: Iterable[bytes | str], mark: int | None) -> None:
        """
        Messages came from the bus; see L{IBus.start}.
        """
        if self._delivering:
            # Published from within a delivery; only a bus within the process gives it back at once.
            if self._nested >= MAX_NESTED:
                raise RuntimeError(f"more than {MAX_NESTED} messages were published from within deliveries")
            self._nested += 1
        waiting = self._waiting
        waiting.extend((channel, message, mark) for message in messages)
        if self._delivering:
            return
        self._delivering = True
        self._nested = 0
        try:
            while waiting:
                self._deliver(*waiting.popleft())
        finally:
            self._delivering = False

    def _deliver(self, name: str, message: bytes | str, mark: int | None) -> None:
        """
        Write a message to those who are members now and were when it was published.
        """
        channel = self._channels.get(name)
        if channel is None:
            return
        last = self._joins if mark is None else mark
        delivered = 0
        for encoding, group in list(channel.groups.items()):
            if encoding is None:
                delivered += _writeAll(channel, group, last, message)
                continue
            if not group:
                continue  # they have left while others got it
            try:
                text = next(iter(group)).textOf(message)
            except ValueError as error:
                self.stats.undeliverable += len(group)
                _log.error(
                    "{count} members of the channel {channel!r} can't get a message: {error}",
                    count=len(group),
                    channel=name,
                    error=error,
                )
                continue
            if text is not None:
                delivered += _writeAll(channel, group, last, SharedMessage(text))
        self.stats.delivered += delivered

    # -- the bus --------------------------------------------------------------------------------------------------

    @property
    def bus(self) -> IBus:
        """
        What carries messages to other processes.
        """
        return self._bus

    def useBus(self, bus: IBus) -> Deferred[None]:
        """
        Use another bus from now on. Members stay members.

        The bus before sends what waits for it and stops, and only then the new one begins, so that nobody gets anything
        twice or in another order; what is published meanwhile waits in the new one. Where there are members, they may
        miss what other processes publish in between, and the application is told of that gap.

        @param bus: one that was not started.

        @return: fires when the one before has stopped and the new one was started.
        """
        before, self._bus = self._bus, bus
        self._stopping = False
        for channel in self._channels:
            bus.subscribe(channel)
        return Deferred.fromCoroutine(self._change(before, bus))

    async def _change(self, before: IBus, bus: IBus) -> None:
        async with self._changes:
            self._leaving = before
            try:
                await before.stop()
            finally:
                self._leaving = None
                bus.start(self._received, self._gap, before)

    def stop(self) -> Deferred[None]:
        """
        Send what waits for the bus, and leave it. What is published from here on is lost. A second call ends the wait.

        @return: fires when that is done, or has taken too long.
        """
        isSecond, self._stopping = self._stopping, True
        if not self._changes.locked:
            return self._bus.stop()
        stopped = self._changes.run(lambda: None).addCallback(lambda _: self._bus.stop())
        if isSecond and self._leaving is not None:
            self._leaving.stop()
        return stopped

    def onGap(self, listener: Callable[[Gap], object]) -> Callable[[Gap], object]:
        """
        Have a function called when the bus has been away and messages may have been missed, as soon as it is back. It
        is, until L{offGap} is called for it.

        @param listener: called with a L{Gap}.

        @return: C{listener}, so this can decorate it.
        """
        self._listeners.append(listener)
        return listener

    def offGap(self, listener: Callable[[Gap], object]) -> bool:
        """
        Have a function called no more when there is a gap. Without effect if it is not.

        @param listener: what L{onGap} was called with, or returned; where that was more than once, one of them is
            undone.

        @return: whether it would have been called.
        """
        if listener not in self._listeners:
            return False
        self._listeners.remove(listener)
        return True

    def _gap(self, gap: Gap) -> None:
        """
        See L{IBus.start}.
        """
        self.stats.gaps += 1
        self.stats.lost += gap.lost
        _log.warn("{gap}", gap=gap)
        for listener in list(self._listeners):
            if listener in self._listeners:  # one before may have taken it away
                attempt(listener, gap)


def _writeAll(channel: _Channel, group: dict[Any, int], last: int, message: bytes | str | SharedMessage) -> int:
    """
    Write a message to the members of one group that joined up to number C{last}.

    @return: how many there were.
    """
    isShared = isinstance(message, SharedMessage)
    written = 0
    departures = channel.departures
    for member, number in list(group.items()):
        if number > last or (channel.departures != departures and group.get(member) != number):
            continue
        try:
            if isShared:
                member.writeShared(message)
            else:
                member.write(message)
        except BaseException:  # that is no matter of the others, nor of whoever publishes; the reactor logs any, too
            _log.failure("a message can't be written to {member}", member=member)
        else:
            written += 1
    return written


def _checkName(channel: str) -> None:
    if not isinstance(channel, str):
        raise TypeError(f"the name of a channel is a str, not {type(channel).__name__}")
    if not 0 < len(channel) <= MAX_NAME:
        raise ValueError(f"the name of a channel has 1 to {MAX_NAME} characters, not {len(channel)}")
    if not channel.isascii() and any("\ud800" <= character <= "\udfff" for character in channel):
        raise ValueError(f"the name of a channel can't have half a surrogate pair: {channel!r}")


def _transportOf(connection: Any) -> Any:
    if hasattr(connection, "write"):
        return connection
    transport = getattr(connection, "transport", None)
    if not hasattr(transport, "write"):
        raise TypeError(f"a member is a transport or a protocol that has one, not {connection!r}")
    return transport


channels = Channels()
"""The channels of this process. C{twistd sockjs --bus} puts them onto a bus."""

subscribe = channels.subscribe
"""L{Channels.subscribe} of L{channels}."""

unsubscribe = channels.unsubscribe
"""L{Channels.unsubscribe} of L{channels}."""

publish = channels.publish
"""L{Channels.publish} of L{channels}."""
