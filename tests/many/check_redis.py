# -*- test-case-name: tests.many.check_redis -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Channels over a real Redis server, in real processes that serve C{examples/chat.py}.

It takes about a minute, so it is not part of the ordinary run.  Start it with::

    python -m twisted.trial tests.many.check_redis
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import txredisapi
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.certificates import makeCertificate
from tests.processes import ROOT, Child, findProgram, serverCommand
from txsockjs.broadcast import Channels
from txsockjs.bus import busFromString
from txsockjs.client import SockJSClientEndpoint
from txsockjs.interfaces import ISockJSProtocol

__all__ = ["ProcessesTests", "ServerTests"]

PATIENCE = 30.0
"""Seconds for what takes a moment on a machine that has nothing else to do."""


async def until(condition, what):
    """
    Wait for something.
    """
    end = reactor.seconds() + PATIENCE
    while not condition():
        if reactor.seconds() > end:
            raise AssertionError(f"not within {PATIENCE} seconds: {what()}")
        await deferLater(reactor, 0.02)


class Redis:
    """
    A server of our own.
    """

    def __init__(self, case, *arguments):
        self.program = findProgram("redis-server")
        self.directory = tempfile.mkdtemp(prefix="txs")
        case.addCleanup(shutil.rmtree, self.directory)
        self.path = os.path.join(self.directory, "r.sock")
        self.url = f"unix://{self.path}"
        self.arguments = ["--unixsocket", self.path, "--save", "", "--dir", self.directory, *arguments]
        case.addCleanup(self.stop)
        self.child = None

    async def start(self, port=0):
        """
        @param port: the port of TCP, 0 for none.
        """
        self.child = Child.spawn([self.program, "--port", str(port), *self.arguments], name="redis-server")
        await self.child.waitFor("(?i)ready to accept connections")
        return self

    async def kill(self):
        self.child.signal(signal.SIGKILL)
        await self.child.ended()

    def stop(self):
        if self.child is not None:
            self.child.signal(signal.SIGCONT)
            return Deferred.fromCoroutine(self.child.stop())
        return None

    async def command(self, *arguments):
        """
        Give a command to the server.
        """
        factory = Factory()
        factory.buildProtocol = lambda address: txredisapi.RedisProtocol()
        protocol = await UNIXClientEndpoint(reactor, self.path).connect(factory)
        answer = await protocol.execute_command(*arguments)
        protocol.transport.loseConnection()
        await protocol.whenDisconnected()
        return answer


@implementer(ISockJSProtocol)
class Guest(Protocol):
    """
    A client of the chat.

    @ivar got: what was said.
    @ivar notes: what the chat has told.
    """

    def __init__(self):
        self.got = []
        self.notes = []
        self.gone = Deferred()

    def messageReceived(self, message):
        (self.notes if message.startswith("* ") else self.got).append(message)

    def say(self, *messages):
        for message in messages:
            self.transport.write(message)

    def connectionLost(self, reason):
        self.gone.callback(None)


class ProcessesTests(TestCase):
    """
    Several processes, and guests in each.
    """

    timeout = 150

    async def startAll(self):
        """
        Start a server, and three processes that use it, with two guests each who have heard each other.
        """
        self.redis = await Redis(self).start()
        command = ["--factory", "chat.Chat", "--app-dir", "examples", "--bus", self.redis.url]
        self.children = []
        for number in range(3):
            child = Child.spawn(
                serverCommand(*command),
                environment={"PYTHONPATH": os.pathsep.join([ROOT.path, *sys.path])},
                name=f"process {number}",
            )
            self.addCleanup(lambda child=child: Deferred.fromCoroutine(child.stop()))
            self.children.append(child)
        self.guests = []
        for child in self.children:
            match = await child.waitFor(r"(http://127\.0\.0\.1:\d+)/")
            for transport in ("websocket", "xhr-streaming"):
                endpoint = SockJSClientEndpoint(reactor, match.group(1) + "/?room=tea", transports=(transport,))
                guest = await endpoint.connect(Factory.forProtocol(Guest))
                self.addCleanup(self.leave, guest)
                self.guests.append(guest)
        # From now on each process is subscribed.
        await until(lambda: self.everybodyHeard("hello"), lambda: [guest.got for guest in self.guests])
        for guest in self.guests:
            guest.got.clear()

    def everybodyHeard(self, message):
        """
        @return: whether all have got a message, which somebody says each time until it is so.
        """
        if all(message in guest.got for guest in self.guests):
            return True
        self.guests[0].say(message)
        return False

    def leave(self, guest):
        guest.transport.loseConnection()
        return guest.gone

    async def everything(self, messages):
        """
        Wait until all guests have got these messages, and see that nobody got one twice or in another order than it was
        said.
        """
        expected = sorted(messages)
        await until(
            lambda: all(len(guest.got) >= len(expected) for guest in self.guests),
            lambda: [(len(guest.got), len(expected), guest.notes) for guest in self.guests],
        )
        await deferLater(reactor, 0.5)  # for what should not come
        for guest in self.guests:
            self.assertEqual(sorted(guest.got), expected)
            for speaker in {message.partition(" ")[0] for message in messages}:
                said = [message for message in messages if message.startswith(f"{speaker} ")]
                self.assertEqual([message for message in guest.got if message.startswith(f"{speaker} ")], said)

    async def test_everywhere(self):
        """
        What is said in any process is heard in all, by each once, and by all in the same order.
        """
        await self.startAll()
        messages = [[f"{number} {count}" for count in range(200)] for number in range(len(self.guests))]
        for start in range(0, 200, 10):
            for guest, own in zip(self.guests, messages):
                guest.say(*own[start : start + 10])
            await deferLater(reactor, 0.002)
        await self.everything([message for own in messages for message in own])
        for guest in self.guests:
            self.assertEqual(guest.got, self.guests[0].got)

    async def test_killed(self):
        """
        When the server is killed, what is said waits until there is one again; everybody is told of the gap, and all
        goes on.
        """
        await self.startAll()
        await self.redis.kill()
        await deferLater(reactor, 0.5)
        messages = []
        for count in range(50):
            for number, guest in enumerate(self.guests):
                messages.append(f"{number} {count}")
                guest.say(messages[-1])
        await deferLater(reactor, 1)
        self.assertEqual([guest.got for guest in self.guests], [[]] * 6)
        await self.redis.start()
        # One process may be back before another one, which then misses what the first one sends, and is told so.
        await until(lambda: all(guest.notes for guest in self.guests), lambda: [guest.notes for guest in self.guests])
        await until(
            lambda: all(set(own) <= set(guest.got) for guest, own in zip(self.guests, self.ownOf(messages))),
            lambda: [len(guest.got) for guest in self.guests],
        )
        for guest in self.guests:
            self.assertEqual(len(guest.got), len(set(guest.got)))
            for own in self.ownOf(messages):
                self.assertEqual([message for message in own if message in guest.got], self.of(own, guest.got))
            self.assertEqual(guest.notes, ["* some messages may be missing here"])
        for guest in self.guests:
            guest.got.clear()
        after = [f"{number} {count}" for number in range(len(self.guests)) for count in range(50, 60)]
        for message in after:
            self.guests[int(message.partition(" ")[0])].say(message)
        await self.everything(after)

    def ownOf(self, messages):
        """
        @return: what each guest has said.
        """
        return [[text for text in messages if text.startswith(f"{number} ")] for number in range(len(self.guests))]

    def of(self, own, got):
        """
        @return: what was got of what one has said.
        """
        return [text for text in got if text in set(own)]

    async def test_hanging(self):
        """
        A server that hangs is noticed; when it goes on, what was said meanwhile is heard once, and the gap is told.
        """
        await self.startAll()
        self.redis.child.signal(signal.SIGSTOP)
        messages = []
        for number, guest in enumerate(self.guests):
            messages.append(f"{number} 0")
            guest.say(messages[-1])
        await gatherResults([child.waitFor("does not answer", PATIENCE) for child in self.children])
        for number, guest in enumerate(self.guests):
            messages.append(f"{number} 1")
            guest.say(messages[-1])
        await deferLater(reactor, 0.5)
        self.redis.child.signal(signal.SIGCONT)
        await until(lambda: all(guest.notes for guest in self.guests), lambda: [guest.notes for guest in self.guests])
        await deferLater(reactor, 1)
        for guest in self.guests:
            self.assertEqual(len(guest.got), len(set(guest.got)))
        for guest, own in zip(self.guests, self.ownOf(messages)):
            self.assertEqual(self.of(own, guest.got), own)
        for guest in self.guests:
            guest.got.clear()
        self.guests[0].say("0 2")
        await self.everything(["0 2"])

    async def test_lastWords(self):
        """
        What sessions publish when their process stops is heard in the others.
        """
        await self.startAll()
        self.children[0].signal(signal.SIGTERM)
        await self.children[0].ended()
        others = self.guests[2:]
        await until(lambda: all(len(guest.notes) >= 2 for guest in others), lambda: [guest.notes for guest in others])
        self.assertEqual([guest.notes for guest in others], [["* somebody has left"] * 2] * 4)


class Ear:
    """
    A member that is no session.
    """

    def __init__(self):
        self.got = []

    def write(self, message):
        self.got.append(message)


class ServerTests(TestCase):
    """
    What there is to a real server, in this process.
    """

    timeout = 100

    async def channelsAt(self, url):
        """
        @return: channels that are connected, and a member of C{a}.
        """
        channels = Channels(url, reactor)
        self.addCleanup(channels.stop)
        ear = Ear()
        channels.subscribe(ear, "a")
        channels.publish("a", "hello")
        await until(lambda: ear.got == ["hello"], channels.bus.facts)
        ear.got.clear()
        return channels, ear

    async def test_thrownOut(self):
        """
        When the server throws out the connection on which messages come in, as it does with a slow reader, the gap is
        told and all goes on.
        """
        redis = await Redis(self).start()
        channels, ear = await self.channelsAt(redis.url)
        gaps = []
        channels.onGap(gaps.append)
        self.assertEqual(await redis.command("CLIENT", "KILL", "TYPE", "pubsub"), 1)
        channels.publish("a", "x")
        await until(lambda: gaps and ear.got, lambda: (gaps, ear.got))
        self.assertEqual(([gap.channels for gap in gaps], ear.got), ([("a",)], ["x"]))

    async def test_another(self):
        """
        A process that goes from one connection with the server to another, while it and others publish all the time,
        has its own messages once and in order, those of others in order, and is told of the gap between.
        """
        redis = await Redis(self).start()
        channels, ear = await self.channelsAt(redis.url)
        other, otherEar = await self.channelsAt(redis.url)
        await until(lambda: ear.got == ["hello"], lambda: ear.got)
        ear.got.clear()
        gaps = []
        channels.onGap(gaps.append)
        for number in range(300):
            channels.publish("a", f"own {number}")
            other.publish("a", f"other {number}")
            if number in (100, 101, 200):
                channels.useBus(busFromString(redis.url, reactor))
            await deferLater(reactor, 0.002)
        own, others = ([f"{name} {number}" for number in range(300)] for name in ("own", "other"))
        await until(lambda: own[-1] in ear.got and own[-1] in otherEar.got, lambda: (ear.got, channels.bus.facts()))
        other.publish("a", "last")
        await until(lambda: "last" in ear.got, lambda: ear.got)
        self.assertEqual(sorted(otherEar.got), sorted([*own, *others, "last"]))
        for got in (ear.got, otherEar.got):
            self.assertEqual([message for message in got if message.startswith("own")], own)
            heard = [message for message in got if message.startswith("other")]
            self.assertEqual(heard, [message for message in others if message in set(heard)])
        self.assertTrue(gaps)
        self.assertEqual({(gap.channels, gap.lost, gap.missed) for gap in gaps}, {(("a",), 0, True)})

    async def test_volume(self):
        """
        Many large messages arrive once and in order.
        """
        redis = await Redis(self).start()
        channels, ear = await self.channelsAt(redis.url)
        other, otherEar = await self.channelsAt(redis.url)
        await until(lambda: ear.got == ["hello"], lambda: ear.got)
        ear.got.clear()
        messages = [f"{number} " + "é" * 5000 for number in range(1000)]
        for message in messages:
            channels.publish("a", message)
        await until(lambda: len(ear.got) == len(otherEar.got) == 1000, lambda: (len(ear.got), len(otherEar.got)))
        self.assertEqual((ear.got, otherEar.got), (messages, messages))
        self.assertEqual(other.bus.stats.duplicates, 0)

    async def test_restrictedUser(self):
        """
        A user who may do no more than what the bus needs, on its channels, is enough; a wrong password is not.
        """
        redis = await Redis(self).start()
        rights = ("resetchannels", "&sockjs:0:*", "-@all", "+auth", "+ping", "+publish", "+subscribe", "+unsubscribe")
        await redis.command("ACL", "SETUSER", "chat", "on", ">s%cret", *rights)
        await redis.command("ACL", "SETUSER", "default", "off")
        url = redis.url.replace("unix://", "unix://chat:{}@")
        await self.channelsAt(url.format("s%25cret"))
        wrong = Channels(url.format("wrong"), reactor)
        self.addCleanup(wrong.stop)
        await until(lambda: wrong.bus.stats.failures >= 2, wrong.bus.facts)
        self.assertFalse(wrong.bus.facts().connected)

    async def test_tls(self):
        """
        Over TLS, with a certificate that is checked.
        """
        directory = tempfile.mkdtemp(prefix="txs")
        self.addCleanup(shutil.rmtree, directory)
        makeCertificate(Path(directory))
        certificate = f"{directory}/c.pem"
        tls = ("--tls-cert-file", certificate, "--tls-key-file", f"{directory}/k.pem", "--tls-auth-clients", "no")
        port = await self.freePort()
        await Redis(self, *tls, "--tls-port", str(port), "--bind", "127.0.0.1").start()
        await self.channelsAt(f"rediss://localhost:{port}/0?ca={certificate}")
        wrong = Channels(f"rediss://localhost:{port}/0", reactor)
        self.addCleanup(wrong.stop)
        await until(lambda: wrong.bus.stats.failures >= 2, wrong.bus.facts)

    async def freePort(self):
        """
        @return: a port that was free just now; Redis can't choose one itself.
        """
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        return number
