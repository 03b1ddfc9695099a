# -*- test-case-name: tests.test_bus_redis -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A Redis server in memory, as far as a bus needs one, and the network that leads to it, under a clock that stands still.

It answers the bytes that C{txredisapi} writes with the bytes that a server would send. What is on its way takes a
while, more on some connections than on others, and can be lost.
"""

from __future__ import annotations

import itertools

import hiredis
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["FakeRedis"]


def bulk(data):
    """
    @return: a bulk string of Redis's protocol.
    """
    return b"$%d\r\n%s\r\n" % (len(data), data)


def array(*items):
    """
    @return: an array of bulk strings and numbers.
    """
    parts = [b":%d\r\n" % item if isinstance(item, int) else bulk(item) for item in items]
    return b"*%d\r\n" % len(items) + b"".join(parts)


class FakeConnection:
    """
    One connection, both its ends: the transport of the client's protocol, and what the server knows of it.

    @ivar channels: what it has subscribed to.
    """

    disconnecting = False

    def __init__(self, redis, protocol):
        self.redis = redis
        self.protocol = protocol
        self.channels = set()
        self.reader = hiredis.Reader()
        self.authorized = redis.password is None
        self.clientGone = self.serverGone = False
        self.inbox = b""
        self.latency = redis.latency()

    def later(self, function, *args):
        """
        Call a function when what is sent now arrives.
        """
        return self.redis.clock.callLater(self.latency, function, *args)

    # -- the client's end -----------------------------------------------------------------------------------------

    def write(self, data):
        if not self.clientGone:
            self.later(self._toServer, data)

    def loseConnection(self):
        self.disconnecting = True
        if not (self.redis.hanging and self.inbox):  # otherwise there is something to send first
            self._gone(ConnectionDone())

    def abortConnection(self):
        self._gone(ConnectionAborted())

    def pauseProducing(self):
        raise NotImplementedError("nobody should")

    resumeProducing = pauseProducing

    def _gone(self, why):
        if self.clientGone:
            return
        self.clientGone = True
        # What was written before is in the system's buffers, and comes first.
        self.later(self._endOfClient)
        self.redis.clock.callLater(0, self.protocol.connectionLost, Failure(why))

    # -- the server's end -----------------------------------------------------------------------------------------

    def _toServer(self, data):
        if not self.serverGone:
            self.inbox += data
            self.process()

    def _endOfClient(self):
        if not self.redis.hanging:
            self.forget()

    def forget(self):
        self.serverGone = True
        self.redis.connections.pop(self, None)

    def process(self):
        """
        Answer what has come.
        """
        if self.redis.hanging or self.serverGone:
            return
        self.reader.feed(self.inbox)
        self.inbox = b""
        while (command := self.reader.gets()) is not False:
            name, *arguments = command
            self.redis.commands.append((name, *arguments))
            self.reply(self.redis.answer(self, name.upper(), arguments))
        if self.clientGone:
            self.forget()

    def reply(self, data):
        self.later(self._toClient, data)

    def _toClient(self, data):
        if not self.clientGone and not self.serverGone:
            self.protocol.dataReceived(data)

    def cut(self, toServer=False, toClient=False):
        """
        Break.

        @param toServer: whether what is on its way to the server still arrives.
        @param toClient: whether what is on its way to the client does.
        """
        if self.clientGone:
            return
        if not toServer:
            self.serverGone = True
        if toClient:
            # Everything that is under way was sent earlier, and so arrives before this.
            self.later(self._brokenAtClient)
        else:
            self._brokenAtClient()
        self.later(self.forget)

    def _brokenAtClient(self):
        if not self.clientGone:
            self.clientGone = True
            self.redis.clock.callLater(0, self.protocol.connectionLost, Failure(ConnectionLost()))


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """
    Leads to the server.
    """

    def __init__(self, redis):
        self.redis = redis

    def connect(self, factory):
        if not self.redis.up:
            return fail(ConnectionRefusedError())

        def connected():
            if not self.redis.up:
                result.errback(ConnectionRefusedError())
                return
            protocol = factory.buildProtocol(None)
            connection = FakeConnection(self.redis, protocol)
            self.redis.connections[connection] = None
            protocol.makeConnection(connection)
            result.callback(protocol)

        call = self.redis.clock.callLater(self.redis.LATENCY, connected)
        result = Deferred(lambda _: call.cancel())
        return result


class FakeRedis:
    """
    The server.

    @ivar up: whether it runs.
    @ivar hanging: whether it runs, but does nothing.
    @ivar password: what it wants to be told, or L{None}.
    @ivar forbidden: channels that it refuses, with all to do with them.
    @ivar connections: the connections, as a dict.
    @ivar commands: all commands so far.
    @ivar published: what was published so far, without what was refused.
    """

    LATENCY = 0.001
    """Seconds that something is on its way, times the number of its connection in C{latencies}, again and again."""

    def __init__(self, clock, password=None, latencies=(1,)):
        self.latencies = itertools.cycle(latencies)
        self.clock = clock
        self.password = password
        self.up = True
        self.hanging = False
        self.forbidden = set()
        self.connections = {}
        self.commands = []
        self.published = []

    def latency(self):
        """
        @return: how long something is on its way on the next connection.
        """
        return self.LATENCY * next(self.latencies)

    def endpoint(self):
        """
        @return: an endpoint that leads here.
        """
        return FakeEndpoint(self)

    def kill(self):
        """
        Stop at once.
        """
        self.up = False
        for connection in list(self.connections):
            connection.cut()
            connection.forget()

    def start(self):
        """
        Run again.
        """
        self.up = True

    def hang(self):
        """
        Do nothing from now on.
        """
        self.hanging = True

    def resume(self):
        """
        Do what there is to do.
        """
        self.hanging = False
        for connection in list(self.connections):
            connection.process()

    @property
    def subscribers(self):
        """
        The connections on which messages come in.
        """
        return [connection for connection in self.connections if isSubscriber(connection)]

    @property
    def publishers(self):
        """
        The other ones.
        """
        return [connection for connection in self.connections if not isSubscriber(connection)]

    def names(self, command):
        """
        @return: the channels of all commands of a kind so far, without prefix.
        """
        return [args[0].rpartition(b":")[2].decode() for name, *args in self.commands if name == command.encode()]

    def answer(self, connection, command, arguments):
        """
        @return: what the server answers.
        """
        if command == b"AUTH":
            connection.authorized = arguments[-1].decode() == self.password
            return b"+OK\r\n" if connection.authorized else b"-WRONGPASS invalid username-password pair\r\n"
        if not connection.authorized:
            return b"-NOAUTH Authentication required.\r\n"
        if command == b"PING":
            return array(b"pong", b"") if connection.channels else b"+PONG\r\n"
        (channel, *rest) = arguments
        if channel in self.forbidden:
            return b"-NOPERM no permissions to access one of the channels used as arguments\r\n"
        if command == b"SUBSCRIBE":
            connection.channels.add(channel)
            return array(b"subscribe", channel, len(connection.channels))
        if command == b"UNSUBSCRIBE":
            connection.channels.discard(channel)
            return array(b"unsubscribe", channel, len(connection.channels))
        if command == b"PUBLISH":
            self.published.extend(rest)
            receivers = [other for other in self.connections if channel in other.channels and not other.serverGone]
            for other in receivers:
                other.reply(array(b"message", channel, *rest))
            return b":%d\r\n" % len(receivers)
        raise AssertionError(f"unexpected {command!r}")


def isSubscriber(connection):
    """
    @return: whether messages come in on a connection.
    """
    return type(connection.protocol._protocol).__name__ == "Subscriber"
