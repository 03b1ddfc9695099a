# -*- test-case-name: tests.test_multiplex -*-
"""
Tests for L{txsockjs.multiplex}.
"""

import json

from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txsockjs.codec import SOCKJS
from txsockjs.connection import Connection
from txsockjs.encoding import lookupEncoding
from txsockjs.errors import SessionDone, SessionLost
from txsockjs.interfaces import ISockJSProtocol, RequestFacts
from txsockjs.multiplex import SockJSMultiplexResource
from txsockjs.options import Options
from txsockjs.registry import Registry


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


class Recorders(Factory):
    """
    Remembers its protocols.
    """

    def __init__(self, protocol=Recorder):
        self.protocol = protocol
        self.made = []

    def buildProtocol(self, addr):
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
        self.resource = SockJSMultiplexResource(reactor=self.clock)
        self.recorders = Recorders()
        self.resource.addFactory("red", self.recorders)
        self.resource.addFactory("blue", self.recorders)
        self.registry = Registry(Options(), self.clock)
        self.session, self.receiver = self.connect()

    def connect(self):
        """
        @return: an open session of the resource, and its receiver.
        """
        session = self.registry.create(SOCKJS)
        facts = RequestFacts("/", {}, {})
        factory = self.resource._multiplex
        session.bind(Connection(session, factory, lookupEncoding("utf-8"), "websocket", facts, None, None))
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
        A second subscription changes nothing.
        """
        self.subscribe()
        self.subscribe()
        self.assertEqual(len(self.recorders.made), 1)

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
        What is no message of the protocol is ignored.
        """
        protocol = self.subscribe()
        self.session.received(["", "x", "msg", "uns,green", "msg,green,x", "red", "zap,red,x"])
        self.assertEqual(protocol.events, ["made"])
        self.assertEqual(self.get(), [])

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
        A channel that pauses its intake pauses the session's, until it resumes or ends.
        """
        red, blue = self.subscribe("red"), self.subscribe("blue")
        red.transport.pauseProducing()
        blue.transport.pauseProducing()
        self.session.received(["msg,red,x"])
        red.transport.resumeProducing()
        self.assertFalse(self.receiver.reading)
        blue.transport.loseConnection()
        self.clock.pump([0, 0])
        self.assertTrue(self.receiver.reading)
        self.assertEqual(red.events, ["made", "x"])

    def test_comma(self):
        """
        A topic whose name has a comma can't be told on the wire, and is refused at once.
        """
        with self.assertRaisesRegex(ValueError, "comma"):
            self.resource.addFactory("a,b", self.recorders)

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
