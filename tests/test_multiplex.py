# -*- test-case-name: tests.test_multiplex -*-
"""
Tests for L{txsockjs.multiplex}.
"""

import gc
import json
import weakref

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.test_session import TurnClock
from txsockjs.broadcast import Channels
from txsockjs.codec import SOCKJS
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.errors import MessageTooLarge, SessionDone, SessionLost
from txsockjs.interfaces import IMultiplexTransport, ISockJSProtocol, ISockJSTransport, RequestFacts
from txsockjs.multiplex import SockJSMultiplexResource
from txsockjs.options import Options
from txsockjs.registry import Registry
from txsockjs.testing import TRANSPORTS, connect, finish

PEER = IPv4Address("TCP", "192.0.2.1", 50000)
HOST = IPv4Address("TCP", "127.0.0.1", 8081)


@implementer(ISockJSProtocol)
class Recorder(Protocol):
    """
    Remembers what happens to it.
    """

    def __init__(self):
        self.events = []

    def connectionMade(self):
        self.events.append("made")

    def messageReceived(self, message):
        self.events.append(message)
        if message == "crash":
            raise RuntimeError("as asked")

    def connectionLost(self, reason):
        self.events.append(reason.value)


class Quitter(Recorder):
    """
    Closes when it is told to.
    """

    def messageReceived(self, message):
        super().messageReceived(message)
        if message == "quit":
            self.transport.close(4000, "quit")


class Sipper(Recorder):
    """
    Takes one message at a time.
    """

    def messageReceived(self, message):
        super().messageReceived(message)
        self.transport.pauseProducing()


class Recorders(Factory):
    """
    Remembers its protocols.
    """

    def __init__(self, protocol=Recorder):
        self.protocol = protocol
        self.made = []
        self.addresses = []

    def buildProtocol(self, addr):
        self.addresses.append(addr)
        self.made.append(super().buildProtocol(addr))
        return self.made[-1]


class Receiver:
    """
    A WebSocket that is none.
    """

    persistent = True
    reading = True

    def __init__(self):
        self.messages = []

    def send(self, frame):
        if frame[:1] == b"a":
            self.messages += json.loads(frame[1:])
        return True

    def close(self, code, reason):
        pass

    def abort(self):
        pass

    def unsent(self):
        return 0

    def pauseReading(self):
        self.reading = False

    def resumeReading(self):
        self.reading = True


class Producer:
    """
    Remembers what it is told.
    """

    def __init__(self):
        self.events = []

    def pauseProducing(self):
        self.events.append("pause")

    def resumeProducing(self):
        self.events.append("resume")

    def stopProducing(self):
        self.events.append("stop")


class MultiplexTests(SynchronousTestCase):
    """
    Channels in a session.
    """

    def setUp(self):
        self.clock = Clock()
        self.serve()

    def serve(self, **settings):
        """
        Make the service, and a session.
        """
        self.resource = SockJSMultiplexResource(reactor=self.clock, **settings)
        self.recorders = Recorders()
        self.resource.addFactory("red", self.recorders)
        self.resource.addFactory("blue", self.recorders)
        self.registry = Registry(Options(), self.clock)
        self.session, self.receiver = self.connect()

    def refused(self):
        """
        @return: what has been refused, by cause.
        """
        return dict(self.resource.stats.refused)

    def connect(self):
        """
        @return: an open session of the resource, and its receiver.
        """
        session = self.registry.create(SOCKJS)
        facts = RequestFacts("/", {}, {})
        factory = self.resource._multiplex
        session.bind(Connection(session, factory, lookupEncoding("utf-8"), "websocket", facts, PEER, HOST))
        receiver = Receiver()
        session.attach(receiver)
        return session, receiver

    def get(self):
        """
        @return: what the client got since the last time.
        """
        self.clock.advance(0)
        messages, self.receiver.messages = self.receiver.messages, []
        return messages

    def subscribe(self, topic="red"):
        """
        @return: the protocol of a new channel.
        """
        self.session.received([f"sub,{topic}"])
        return self.recorders.made[-1]

    def test_messages(self):
        """
        A channel's protocol gets the payload alone, commas and all, and what it writes goes out under its topic.
        """
        protocol = self.subscribe()
        self.session.received(["msg,red,a,b", "msg,red,"])
        protocol.transport.write("c,d")
        self.assertEqual(protocol.events, ["made", "a,b", ""])
        self.assertEqual(self.get(), ["msg,red,c,d"])

    def test_topicsDoNotMix(self):
        """
        Each topic of a session has a protocol of its own.
        """
        red, blue = self.subscribe("red"), self.subscribe("blue")
        self.session.received(["msg,blue,x"])
        self.assertEqual((red.events, blue.events), (["made"], ["made", "x"]))

    def test_subscribedTwice(self):
        """
        A client that subscribes anew has done with the channel of before: that ends, without a word to the client, who
        would take it for the end of the new one.
        """
        former, protocol = self.subscribe(), self.subscribe()
        self.session.received(["msg,red,x"])
        self.assertEqual(str(former.events[-1]), "Session closed: 1000 Subscribed again")
        self.assertEqual((len(former.events), protocol.events), (2, ["made", "x"]))
        self.assertEqual(self.get(), [])

    def test_subscribedAgainAndRefused(self):
        """
        A client that subscribes anew to a topic that is gone has no channel any more.
        """
        protocol = self.subscribe()
        self.resource.removeFactory("red")
        self.session.received(["sub,red", "msg,red,x"])
        self.assertEqual(len(protocol.events), 2)
        self.assertEqual(self.get(), ["uns,red"])

    def test_unsubscribe(self):
        """
        A client that unsubscribes ends the channel, which can be opened again.
        """
        protocol = self.subscribe()
        self.session.received(["uns,red", "msg,red,late"])
        self.assertIsInstance(protocol.events[-1], SessionDone)
        self.assertEqual(len(protocol.events), 2)
        self.assertIsNot(self.subscribe(), protocol)

    def test_unknownTopic(self):
        """
        A topic that there is not is refused with the message that closes a channel.
        """
        self.session.received(["sub,green"])
        self.assertEqual(self.get(), ["uns,green"])

    def test_factoryRefuses(self):
        """
        So is one whose factory builds no protocol, and one whose factory fails, which is logged.
        """
        self.recorders.buildProtocol = lambda addr: None
        self.session.received(["sub,red"])
        self.recorders.buildProtocol = lambda addr: 1 / 0
        self.session.received(["sub,blue"])
        self.assertEqual(self.get(), ["uns,red", "uns,blue"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_lookUpFails(self):
        """
        A failure to look up a topic refuses that channel, and is no harm to the others.
        """
        protocol = self.subscribe()
        self.resource.factoryFor = lambda name: 1 / 0
        self.session.received(["sub,blue", "msg,red,x"])
        self.assertEqual(self.get(), ["uns,blue"])
        self.assertEqual(protocol.events, ["made", "x"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop(self):
        """
        A service that is stopped leaves no delayed call behind, not even for a channel that has just been closed.
        """
        self.registry.stop()
        self.registry = self.resource._service.registry
        self.session, self.receiver = self.connect()
        protocol = self.subscribe()
        protocol.transport.loseConnection()
        self.resource.stop()
        self.session.receiverLost(self.receiver, SessionLost(1006, "gone"))
        self.registry.stop()
        self.assertEqual(len(protocol.events), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nonsense(self):
        """
        What is no message of the protocol is ignored, and counted.
        """
        protocol = self.subscribe()
        self.session.received(["", "x", "msg", "sub", "uns", "red", "zap,red,x", "Msg,red,x", " msg,red,x"])
        self.assertEqual(protocol.events, ["made"])
        self.assertEqual(self.get(), [])
        self.assertEqual(self.refused(), {"unknown multiplex message": 9})

    def test_withoutAChannel(self):
        """
        A message for a topic that is not open is ignored and counted. To leave one is no offence: the server may have
        closed it meanwhile.
        """
        self.session.received(["uns,green", "msg,green,x", "msg,red,x"])
        self.assertEqual(self.recorders.made, [])
        self.assertEqual(self.get(), [])
        self.assertEqual(self.refused(), {"message without a channel": 2})

    def test_shortMessage(self):
        """
        A message without a second comma is an empty one, and what follows the topic otherwise is ignored, as in the
        server of websocket-multiplex.
        """
        self.session.received(["sub,red,x", "msg,red", "uns,red,x"])
        self.assertEqual(self.recorders.made[0].events[:2], ["made", ""])
        self.assertEqual(len(self.recorders.made[0].events), 3)

    def test_emptyTopic(self):
        """
        The empty topic is one like any other.
        """
        self.session.received(["sub,"])
        self.resource.addFactory("", self.recorders)
        self.session.received(["sub,", "msg,,x"])
        self.recorders.made[0].transport.write("y")
        self.assertEqual(self.get(), ["uns,", "msg,,y"])
        self.assertEqual(self.recorders.made[0].events, ["made", "x"])

    def test_tooManyChannels(self):
        """
        A session has no more channels than it may; the next one is refused before a protocol is made, and counted. One
        that ends makes room.
        """
        self.serve(max_channels=2)
        self.resource.factoryFor = lambda name: self.recorders
        self.session.received([f"sub,{number}" for number in range(4)])
        self.assertEqual(self.get(), ["uns,2", "uns,3"])
        self.assertEqual(len(self.recorders.made), 2)
        self.session.received(["uns,1", "sub,2", "sub,3", "sub,0", "msg,0,x"])
        self.assertEqual(self.get(), ["uns,3"])
        self.recorders.made[-1].transport.loseConnection()
        self.assertEqual(self.get(), ["uns,0"])
        self.session.received(["sub,3"])
        self.assertEqual(self.get(), [])
        self.assertEqual(self.refused(), {"too many channels": 3})

    def test_defaultLimits(self):
        """
        By default a session has a thousand channels at most.
        """
        self.resource.factoryFor = lambda name: self.recorders
        self.session.received([f"sub,{number}" for number in range(1002)])
        self.assertEqual(self.get(), ["uns,1000", "uns,1001"])

    def test_longTopic(self):
        """
        A topic that is too long is refused, and the application is not asked.
        """
        self.serve(max_topic_length=5)
        asked = []
        self.resource.factoryFor = asked.append
        self.session.received(["sub,12345", "sub,123456"])
        self.assertEqual(asked, ["12345"])
        self.assertEqual(self.get(), ["uns,12345", "uns,123456"])
        self.assertEqual(self.refused(), {"unknown topic": 1, "topic too long": 1})

    def test_wrongLimits(self):
        """
        Limits are whole numbers from 1 on; the error says which one is wrong.
        """
        for name in ("max_channels", "max_topic_length"):
            for value in (0, -1, 1.5, "10", None, True):
                with self.assertRaisesRegex(ValueError, f"{name} must be a whole number, 1 or more"):
                    SockJSMultiplexResource(reactor=self.clock, **{name: value})

    def test_closedAndLeft(self):
        """
        A client that leaves while its channel is just closed is told nothing more, since it may have a new one already.
        """
        self.recorders.protocol = Quitter
        self.session.received(["sub,red", "msg,red,quit", "uns,red", "sub,red", "msg,red,x"])
        self.assertEqual(self.get(), [])
        former, protocol = self.recorders.made
        self.assertEqual(str(former.events[-1]), "Session closed: 4000 quit")
        self.assertEqual((len(former.events), protocol.events), (3, ["made", "x"]))

    def test_closedAndSubscribedAgain(self):
        """
        Neither is one that subscribes anew meanwhile.
        """
        self.recorders.protocol = Quitter
        self.session.received(["sub,red", "msg,red,quit", "msg,red,late", "sub,red", "msg,red,x"])
        self.assertEqual(self.get(), [])
        former, protocol = self.recorders.made
        self.assertEqual(str(former.events[-1]), "Session closed: 4000 quit")
        self.assertEqual((len(former.events), protocol.events), (3, ["made", "x"]))

    def test_leftWhileClosing(self):
        """
        A client that leaves while a close waits for a producer has ended the channel itself.
        """
        protocol, producer = self.subscribe(), Producer()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.close(4000, "later")
        self.session.received(["uns,red"])
        self.assertEqual(self.get(), [])
        self.assertEqual(str(protocol.events[-1]), "Session closed: 1000 Unsubscribed")
        self.assertEqual(producer.events, ["stop"])

    def test_close(self):
        """
        A channel that its protocol closes says so, and the protocol hears of the end in a turn of its own.
        """
        protocol = self.subscribe()
        protocol.transport.close(3001, "enough")
        protocol.transport.write("too late")
        self.assertEqual(protocol.events, ["made"])
        self.assertEqual(self.get(), ["uns,red"])
        self.assertEqual(str(protocol.events[-1]), "Session closed: 3001 enough")
        self.assertEqual(len(protocol.events), 2)

    def test_abort(self):
        """
        An aborted channel leaves the session alone.
        """
        protocol, other = self.subscribe("red"), self.subscribe("blue")
        protocol.transport.abortConnection()
        self.assertEqual(self.get(), ["uns,red"])
        self.assertIsInstance(protocol.events[-1], ConnectionAborted)
        self.assertEqual(other.events, ["made"])

    def test_crash(self):
        """
        An exception in a protocol is logged and ends its channel only.
        """
        protocol, other = self.subscribe("red"), self.subscribe("blue")
        self.session.received(["msg,red,crash", "msg,blue,x"])
        self.assertEqual(self.get(), ["uns,red"])
        self.assertIsInstance(protocol.events[-1], RuntimeError)
        self.assertEqual(other.events, ["made", "x"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_sessionLost(self):
        """
        The end of the session is the end of its channels, once each.
        """
        protocol, other = self.subscribe("red"), self.subscribe("blue")
        protocol.transport.loseConnection()
        self.session.receiverLost(self.receiver, SessionLost(1006, "gone"))
        self.clock.advance(0)
        self.clock.advance(0)
        for each in (protocol, other):
            self.assertEqual(len(each.events), 2)
            self.assertIsInstance(each.events[-1], (SessionDone, SessionLost))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_broadcast(self):
        """
        A broadcast reaches the channels of a topic in all sessions, and nobody else.
        """
        self.subscribe("red")
        _, otherReceiver = other = self.connect()
        other[0].received(["sub,blue"])
        self.resource.broadcast("red", "x")
        self.assertEqual(self.get(), ["msg,red,x"])
        self.assertEqual(otherReceiver.messages, [])

    def test_wrapped(self):
        """
        Any protocol works in a channel.
        """

        class Upper(LineReceiver):
            def lineReceived(self, line):
                self.sendLine(line.upper())

        self.resource.addFactory("lines", Factory.forProtocol(Upper))
        self.session.received(["sub,lines", "msg,lines,one\r\ntw", "msg,lines,o\r\n"])
        self.assertEqual(self.get(), ["msg,lines,ONE\r\n", "msg,lines,TWO\r\n"])

    def test_pushProducer(self):
        """
        A channel's producer is paused and resumed with the session, and stopped with the channel.
        """
        protocol, producer = self.subscribe(), Producer()
        protocol.transport.registerProducer(producer, True)
        self.session.receiverBlocked(self.receiver)
        self.session.receiverReady(self.receiver)
        self.session.received(["uns,red"])
        self.assertEqual(producer.events, ["pause", "resume", "stop"])

    def test_pullProducer(self):
        """
        A pull producer is asked once a turn until it unregisters.
        """
        protocol, producer = self.subscribe(), Producer()

        def resumeProducing():
            producer.events.append("resume")
            if len(producer.events) == 3:
                protocol.transport.unregisterProducer()

        producer.resumeProducing = resumeProducing
        protocol.transport.registerProducer(producer, False)
        self.clock.advance(0)
        self.assertEqual(producer.events, ["resume"] * 3)

    def test_pullProducerOfALostSession(self):
        """
        A pull producer is stopped with its channel.
        """
        protocol, producer = self.subscribe(), Producer()
        protocol.transport.registerProducer(producer, False)
        self.session.received(["uns,red"])
        self.clock.advance(0)
        self.assertEqual(producer.events, ["stop"])

    def test_producerOfAFullSession(self):
        """
        A producer that comes while the session is full is paused at once.
        """
        red, blue = self.subscribe("red"), self.subscribe("blue")
        red.transport.registerProducer(Producer(), True)
        self.session.receiverBlocked(self.receiver)
        producers = Producer(), Producer()
        blue.transport.registerProducer(producers[0], True)
        blue.transport.unregisterProducer()
        blue.transport.registerProducer(producers[1], False)
        self.assertEqual([producer.events for producer in producers], [["pause"], []])

    def test_oneProducer(self):
        """
        A second producer in one channel is an error.
        """
        protocol = self.subscribe()
        protocol.transport.registerProducer(Producer(), True)
        with self.assertRaises(RuntimeError):
            protocol.transport.registerProducer(Producer(), True)

    def test_closeWaitsForTheProducer(self):
        """
        A channel that is closed while a producer is registered takes what that writes until it unregisters.
        """
        protocol, producer = self.subscribe(), Producer()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.close(3001, "done")
        protocol.transport.close(3002, "the first one counts")
        protocol.transport.write("rest")
        self.assertTrue(protocol.transport.disconnecting)
        self.assertEqual(self.get(), ["msg,red,rest"])
        protocol.transport.unregisterProducer()
        self.assertEqual(self.get(), ["uns,red"])
        self.assertEqual(str(protocol.events[-1]), "Session closed: 3001 done")
        self.assertEqual(producer.events, [])

    def test_pushProducerFails(self):
        """
        A push producer that fails ends its own channel; those of other channels go on.
        """
        red, blue = self.subscribe("red"), self.subscribe("blue")
        bad, good = Producer(), Producer()
        bad.pauseProducing = lambda: 1 / 0
        red.transport.registerProducer(bad, True)
        blue.transport.registerProducer(good, True)
        self.session.receiverBlocked(self.receiver)
        self.session.receiverReady(self.receiver)
        self.assertEqual(self.get(), ["uns,red"])
        self.assertEqual((bad.events, good.events), (["stop"], ["pause", "resume"]))
        self.assertIsInstance(red.events[-1], ZeroDivisionError)
        self.assertEqual(blue.events, ["made"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_pullProducerFails(self):
        """
        A pull producer that fails is asked no more, and its channel ends.
        """
        protocol, producer = self.subscribe(), Producer()
        producer.resumeProducing = lambda: 1 / 0
        protocol.transport.registerProducer(producer, False)
        self.assertEqual(self.get(), ["uns,red"])
        self.assertEqual(producer.events, ["stop"])
        self.assertIsInstance(protocol.events[-1], ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_producerOfAClosedChannel(self):
        """
        A producer that is registered too late is stopped.
        """
        protocol, producer = self.subscribe(), Producer()
        protocol.transport.loseConnection()
        protocol.transport.registerProducer(producer, True)
        self.assertEqual(producer.events, ["stop"])

    def test_intake(self):
        """
        What comes for a channel that has paused its intake waits, in order, and is no harm to other channels.
        """
        red, blue = self.subscribe("red"), self.subscribe("blue")
        red.transport.pauseProducing()
        self.session.received(["msg,red,1", "msg,blue,2", "msg,red,3"])
        self.clock.advance(0)
        self.assertEqual((red.events, blue.events), (["made"], ["made", "2"]))
        red.transport.resumeProducing()
        self.session.received(["msg,red,4"])
        self.assertEqual(red.events, ["made"])
        self.clock.advance(0)
        self.session.received(["msg,red,5"])
        self.assertEqual(red.events, ["made", "1", "3", "4", "5"])

    def test_intakeOneByOne(self):
        """
        A protocol that pauses within each message gets one at a time.
        """
        self.recorders.protocol = Sipper
        protocol = self.subscribe()
        self.session.received(["msg,red,1", "msg,red,2", "msg,red,3"])
        for number in (1, 2, 3):
            self.clock.advance(0)
            self.assertEqual(protocol.events, ["made", "1", "2", "3"][: number + 1])
            protocol.transport.resumeProducing()

    def test_intakeIsBounded(self):
        """
        When as much waits for paused channels as may, the session's intake is paused, until there is room again.
        """
        self.serve(max_queued_bytes=100)
        red, blue = self.subscribe("red"), self.subscribe("blue")
        for protocol in (red, blue):
            protocol.transport.pauseProducing()
        self.session.received(["msg,red," + "é" * 25, "msg,blue," + "x" * 49])
        self.assertTrue(self.receiver.reading)
        self.session.received(["msg,blue,x", "msg,blue,y"])
        self.assertFalse(self.receiver.reading)
        red.transport.resumeProducing()
        self.assertFalse(self.receiver.reading)
        self.clock.advance(0)
        self.assertTrue(self.receiver.reading)
        self.assertEqual((len(red.events), len(blue.events)), (2, 1))
        blue.transport.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(blue.events, ["made", "x" * 49, "x", "y"])

    def test_intakeIsBoundedByNumber(self):
        """
        Likewise for many small messages. A channel that ends gives back what it had.
        """
        self.serve(max_queued_messages=3)
        for end in ("uns,red", "close", "crash"):
            protocol = self.subscribe()
            protocol.transport.pauseProducing()
            self.session.received(["msg,red,", "msg,red,", "msg,red,"])
            self.assertFalse(self.receiver.reading)
            if end == "close":
                protocol.transport.loseConnection()
            elif end == "crash":
                producer = Producer()
                producer.pauseProducing = lambda: 1 / 0
                protocol.transport.registerProducer(producer, True)
                self.session.receiverBlocked(self.receiver)
                self.session.receiverReady(self.receiver)
            else:
                protocol.transport.abortConnection()
            self.clock.advance(0)
            self.assertTrue(self.receiver.reading)
            self.assertEqual(len(protocol.events), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_leftWhilePaused(self):
        """
        What waits for a paused protocol is dropped when the client leaves; the protocol sees the end at once.
        """
        protocol = self.subscribe()
        protocol.transport.pauseProducing()
        self.session.received(["msg,red,x", "uns,red"])
        self.assertEqual(len(protocol.events), 2)
        self.assertIsInstance(protocol.events[-1], SessionDone)

    def test_leftAfterResuming(self):
        """
        A protocol that has resumed its intake gets what has waited before the end.
        """
        protocol = self.subscribe()
        protocol.transport.pauseProducing()
        self.session.received(["msg,red,x"])
        protocol.transport.resumeProducing()
        self.session.received(["msg,red,y", "uns,red"])
        self.assertEqual(protocol.events[:-1], ["made", "x", "y"])

    def test_failsOnWhatHasWaited(self):
        """
        A protocol that fails on a message that has waited gets no other, and its pull producer is asked no more.
        """
        protocol, producer = self.subscribe(), Producer()
        protocol.transport.pauseProducing()
        self.session.received(["msg,red,crash", "msg,red,x"])
        protocol.transport.registerProducer(producer, False)
        protocol.transport.resumeProducing()
        self.assertEqual(self.get(), ["uns,red"])
        self.assertEqual((protocol.events[:2], len(protocol.events)), (["made", "crash"], 3))
        self.assertEqual(producer.events, ["stop"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_closedWhileMessagesWait(self):
        """
        What waits for a protocol that has paused is dropped when it closes, even if it resumes and the client leaves in
        the same turn.
        """
        protocol = self.subscribe()
        protocol.transport.pauseProducing()
        self.session.received(["msg,red,x"])
        protocol.transport.loseConnection()
        protocol.transport.resumeProducing()
        self.session.received(["uns,red"])
        self.assertEqual(len(protocol.events), 2)

    def test_comma(self):
        """
        A topic whose name has a comma can't be told on the wire, and is refused at once.
        """
        with self.assertRaisesRegex(ValueError, "comma"):
            self.resource.addFactory("a,b", self.recorders)
        with self.assertRaisesRegex(ValueError, "comma"):
            self.resource.broadcast("a,b", "x")

    def test_wrongTopics(self):
        """
        What can't be a topic is refused when it is added, with a word on what is wrong.
        """
        with self.assertRaisesRegex(TypeError, "is a str, not b'red'"):
            self.resource.addFactory(b"red", self.recorders)
        with self.assertRaisesRegex(TypeError, "is a str, not b'red'"):
            self.resource.broadcast(b"red", "x")
        with self.assertRaisesRegex(TypeError, "Factory.forProtocol"):
            self.resource.addFactory("green", Recorder)
        with self.assertRaisesRegex(ValueError, "at most 256 characters .*has 258"):
            self.resource.addFactory(" " * 86, self.recorders)
        self.resource.addFactory(" " * 85, self.recorders)
        with self.assertRaises(KeyError):
            self.resource.removeFactory("green")

    def test_escaped(self):
        """
        A topic is found under its name, and as the client of websocket-multiplex writes it.
        """
        self.resource.addFactory("tea room", self.recorders)
        self.session.received(["sub,tea%20room", "msg,tea%20room,1", "sub,tea room", "msg,tea room,2"])
        self.resource.broadcast("tea room", "x")
        self.assertEqual([protocol.events for protocol in self.recorders.made], [["made", "1"], ["made", "2"]])
        self.assertEqual({protocol.transport.topic for protocol in self.recorders.made}, {"tea room"})
        self.assertEqual(self.get(), ["msg,tea%20room,x", "msg,tea room,x"])
        self.resource.removeFactory("tea room")
        self.session.received(["sub,tea%20room"])
        self.assertEqual(self.get(), ["uns,tea%20room"])

    def test_escapedByTheProgram(self):
        """
        A name that the program has escaped itself, as it had to with txsockjs 1.x, is found as well.
        """
        self.resource.addFactory("tea%20room", self.recorders)
        protocol = self.subscribe("tea%20room")
        self.assertEqual(protocol.transport.topic, "tea%20room")

    def test_transport(self):
        """
        A channel's transport is that of a session, with its topic and a broadcast besides.
        """
        protocol = self.subscribe()
        transport = protocol.transport
        for interface in (IMultiplexTransport, ISockJSTransport, ITransport, IConsumer, IPushProducer):
            self.assertTrue(verifyObject(interface, transport))
        self.assertEqual((transport.topic, transport.transportName), ("red", "websocket"))
        self.assertEqual((transport.getPeer(), transport.getHost()), (PEER, HOST))
        self.assertEqual(self.recorders.addresses, [PEER])
        self.assertFalse(transport.disconnecting)
        self.subscribe("blue")
        transport.broadcast("x")
        self.assertEqual(self.get(), ["msg,red,x"])

    def test_disconnecting(self):
        """
        A channel is disconnecting when it is closed, and when its session is.
        """
        red, blue = self.subscribe("red"), self.subscribe("blue")
        red.transport.loseConnection()
        self.assertTrue(red.transport.disconnecting)
        self.assertFalse(blue.transport.disconnecting)
        self.session.close(3000, "Go away!")
        self.assertTrue(blue.transport.disconnecting)

    def test_shutDown(self):
        """
        When the service stops, producers are stopped, however long the client takes to see it; a pull producer is asked
        no more.
        """
        push, pull = Producer(), Producer()
        self.subscribe("red").transport.registerProducer(push, True)
        blue = self.subscribe("blue")
        blue.transport.registerProducer(pull, False)
        blue.transport.loseConnection()
        self.session.receiverBlocked(self.receiver)
        self.session.shutdown(3000, "Go away!")
        self.clock.pump([0] * 10)
        self.assertEqual((push.events, pull.events), (["pause", "stop"], ["stop"]))

    def test_closingSession(self):
        """
        A pull producer is asked no more once its session is closing, and a new producer is stopped.
        """
        self.clock = TurnClock()
        self.serve()
        protocol, pull = self.subscribe(), Producer()
        protocol.transport.registerProducer(pull, False)
        self.clock.advance(0)
        with self.assertRaises(MessageTooLarge):
            self.session.received(["x" * 200_000], 200_000)
        for _ in range(3):
            self.clock.advance(0)
        self.assertEqual(pull.events, ["resume"])
        late = Producer()
        self.assertTrue(protocol.transport.disconnecting)
        protocol.transport.unregisterProducer()
        protocol.transport.registerProducer(late, False)
        self.assertEqual(late.events, ["stop"])

    def test_nestedRegulation(self):
        """
        Producers are told once each, even if one of them makes room while others are still to be paused.
        """
        red, blue = self.subscribe("red"), self.subscribe("blue")
        first, second = Producer(), Producer()
        first.pauseProducing = lambda: (first.events.append("pause"), self.session.receiverReady(self.receiver))
        red.transport.registerProducer(first, True)
        blue.transport.registerProducer(second, True)
        self.clock.advance(0)
        self.session.receiverBlocked(self.receiver)
        self.assertEqual((first.events, second.events), (["pause", "resume"], []))

    def test_nestedPause(self):
        """
        A producer that fills the session as soon as it is resumed is paused again; the one that was to be resumed after
        it stays paused, and is not told so twice.
        """
        red, blue = self.subscribe("red"), self.subscribe("blue")
        first, second = Producer(), Producer()
        first.resumeProducing = lambda: (first.events.append("resume"), self.session.receiverBlocked(self.receiver))
        red.transport.registerProducer(first, True)
        blue.transport.registerProducer(second, True)
        self.clock.advance(0)
        self.session.receiverBlocked(self.receiver)
        self.session.receiverReady(self.receiver)
        self.assertEqual((first.events, second.events), (["pause", "resume", "pause"], ["pause"]))

    def test_nothingIsLeft(self):
        """
        A channel that is over is held by nothing.
        """
        protocol = self.subscribe()
        protocol.transport.registerProducer(Producer(), True)
        channel = weakref.ref(protocol.transport)
        protocol.transport.abortConnection()
        self.clock.advance(0)
        self.recorders.made.clear()
        del protocol
        gc.collect()
        self.assertIsNone(channel())
        self.assertEqual(self.resource._multiplex.members, {})

    def test_removeFactory(self):
        """
        A topic that is removed takes no more channels, and keeps those it has.
        """
        protocol = self.subscribe()
        self.resource.removeFactory("red")
        self.session.received(["msg,red,x"])
        self.assertEqual(protocol.events, ["made", "x"])
        self.session.received(["uns,red", "sub,red"])
        self.assertEqual(self.get(), ["uns,red"])

    def test_encoding(self):
        """
        The option encoding counts for the channels, not for what carries them.
        """
        self.resource = SockJSMultiplexResource({"encoding": "base64"}, reactor=self.clock)
        self.recorders = Recorders(Protocol)
        self.resource.addFactory("red", self.recorders)
        self.session, self.receiver = self.connect()
        protocol = self.subscribe()
        protocol.transport.write(b"\xff")
        self.assertEqual(self.get(), ["msg,red,/w=="])


class TransportTests(SynchronousTestCase):
    """
    Multiplexed sessions from end to end, by each transport.
    """

    def setUp(self):
        self.clock = Clock()
        self.resource = SockJSMultiplexResource(reactor=self.clock, drain_timeout=3)
        self.recorders = Recorders()
        for topic in ("red", "blue"):
            self.resource.addFactory(topic, self.recorders)
        self.addCleanup(finish, self.clock)

    def test_messages(self):
        """
        Channels of a session, by whatever transport, get what is theirs and no more, both ways; one leaves, and the
        other goes on.
        """
        for transport in TRANSPORTS:
            client = connect(self.resource, transport=transport)
            client.send("sub,red", "sub,blue", "msg,red,1,2", "sub,green")
            red, blue = self.recorders.made[-2:]
            blue.transport.write("3,4")
            red.transport.broadcast("5")
            blue.transport.loseConnection()
            self.assertEqual(client.received, ["uns,green", "msg,blue,3,4", "msg,red,5", "uns,blue"], transport)
            client.send("msg,blue,late", "msg,red,6", "uns,red", "sub,red")
            self.assertEqual((red.events[:3], len(red.events)), (["made", "1,2", "6"], 4))
            self.assertEqual(len(blue.events), 2)
            client.drop()
            client.advance(6)
            self.assertEqual(len(self.recorders.made[-1].events), 2)

    def test_slowChannel(self):
        """
        A client whose one channel has paused goes on with the other, until too much waits: then what it sends waits in
        front of the session, or is refused there.
        """
        for transport in ("websocket", "xhr-streaming"):
            client = connect(self.resource, transport=transport)
            client.send("sub,red", "sub,blue")
            red, blue = self.recorders.made[-2:]
            red.transport.pauseProducing()
            for _ in range(9):
                client.send("msg,red," + "x" * 120_000, "msg,blue,y")
            self.assertEqual((len(red.events), blue.events), (1, ["made", *["y"] * 8]))
            red.transport.resumeProducing()
            client.flush()
            self.assertEqual((len(red.events), len(blue.events)), (10, 10))
            client.drop()

    def test_slowClient(self):
        """
        The producers of all channels are paused while the client takes nothing, and resumed when it does.
        """
        client = connect(self.resource)
        client.send("sub,red", "sub,blue")
        producers = [Producer(), Producer()]
        for protocol, producer in zip(self.recorders.made, producers, strict=True):
            protocol.transport.registerProducer(producer, True)
        client.pauseReading(0)
        self.recorders.made[0].transport.write("x" * 100_000)
        client.flush()
        self.assertEqual([producer.events for producer in producers], [["pause"]] * 2)
        client.resumeReading()
        client.flush()
        self.assertEqual([producer.events for producer in producers], [["pause", "resume"]] * 2)

    def test_overflow(self):
        """
        A channel that writes more than may wait ends the session, and with it each of its channels once.
        """
        client = connect(self.resource)
        client.send("sub,red", "sub,blue")
        client.pauseReading(0)
        for _ in range(12):
            self.recorders.made[0].transport.write("x" * 100_000)
        client.flush()
        for protocol in self.recorders.made:
            self.assertEqual([type(event) for event in protocol.events], [str, SessionLost])
            self.assertEqual(protocol.events[-1].code, 1008)

    def test_drain(self):
        """
        A service that is drained sees off clients that poll, however many pull producers their channels have.
        """
        client = connect(self.resource, transport="xhr-polling")
        client.send("sub,red")
        client.pauseReading(0)
        producer = Producer()
        producer.resumeProducing = lambda: self.recorders.made[0].transport.write("x" * 10_000)
        self.recorders.made[0].transport.registerProducer(producer, False)
        drained = self.resource.drain()
        client.advance(4)
        self.successResultOf(drained)
        self.assertEqual(producer.events, ["stop"])
        self.assertEqual(len(self.recorders.made[0].events), 2)


class MembershipTests(SynchronousTestCase):
    """
    Channels of multiplexed sessions as members of the named channels of L{txsockjs.broadcast}.
    """

    def setUp(self):
        self.clock = Clock()
        self.channels = Channels()
        self.recorders = Recorders()
        self.resource = SockJSMultiplexResource(reactor=self.clock)
        for topic in ("red", "blue"):
            self.resource.addFactory(topic, self.recorders)
        self.client = connect(self.resource)
        self.client.send("sub,red", "sub,blue")
        self.red, self.blue = self.recorders.made
        self.channels.subscribe(self.red, "news")
        self.channels.subscribe(self.blue, "news")
        self.addCleanup(finish, self.clock)

    def members(self):
        """
        @return: the topics of the members.
        """
        return sorted(member.topic for member in self.channels.members("news"))

    def test_publish(self):
        """
        Each is a member of its own, and gets what is published under its own topic.
        """
        self.channels.publish("news", "x,y")
        self.assertEqual(self.client.received, ["msg,red,x,y", "msg,blue,x,y"])

    def test_end(self):
        """
        A channel leaves when it ends by itself, and when its client leaves or subscribes anew; the session's other
        channels stay.
        """
        self.red.transport.loseConnection()
        self.client.flush()
        self.assertEqual(self.members(), ["blue"])
        self.assertFalse(self.channels.subscribe(self.red, "news"))
        self.client.send("sub,red")
        self.channels.subscribe(self.recorders.made[-1], "news")
        self.client.send("sub,blue")
        self.assertEqual(self.members(), ["red"])
        self.client.send("uns,red")
        self.assertEqual(self.channels.channels, ())
        self.channels.publish("news", "late")
        self.assertEqual(self.client.received, ["uns,red"])

    def test_endOfTheSession(self):
        """
        All channels of a session leave when it ends.
        """
        self.client.drop()
        self.assertEqual(self.channels.channels, ())
        self.assertEqual(self.channels.gauges().members, 0)
