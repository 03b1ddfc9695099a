# -*- test-case-name: tests.test_timers -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.timers}: deadlines in bulk, and what is done at the end of a turn.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.timers import GRAIN, Deadlines, Turns, chooseClock

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class DeadlinesTests(SynchronousTestCase):
    """
    L{Deadlines}.
    """

    def setUp(self):
        self.clock = Clock()
        self.expired = []
        self.deadlines = Deadlines(self.clock, 2.0, self.expire)

    def expire(self, key):
        self.expired.append((self.clock.seconds(), key))

    def test_order(self):
        """
        Deadlines come due in the order in which they were set, each after the delay.
        """
        self.deadlines.start("a")
        self.clock.advance(0.5)
        self.deadlines.start("b")
        self.deadlines.start("c")
        self.assertEqual(len(self.deadlines), 3)
        self.clock.pump([0.5] * 6)
        self.assertEqual(self.expired, [(2.0, "a"), (2.5, "b"), (2.5, "c")])
        self.assertEqual(len(self.deadlines), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_together(self):
        """
        Deadlines that follow each other within a hundredth of the delay come due together; none is ever early.
        """
        moments = [0.0, 0.005, 0.01, 0.05]
        for moment in moments:
            self.clock.advance(moment - self.clock.seconds())
            self.deadlines.start(moment)
        while len(self.expired) < len(moments):
            self.clock.advance(0.0025)
        self.assertEqual([key for _, key in self.expired], moments)
        late = [at - key - 2.0 for at, key in self.expired]
        self.assertGreater(min(late), -1e-6)
        self.assertLess(max(late), 0.0225)
        self.assertEqual(len({at for at, _ in self.expired}), 3)  # those of 0.005 and 0.01 share one
        self.assertEqual(Deadlines(self.clock, 1000.0, self.expire)._grain, GRAIN)

    def test_oneDelayedCall(self):
        """
        Any number of deadlines needs one delayed call, and setting them anew needs no other one.
        """
        for _ in range(3):
            for key in range(1000):
                self.deadlines.start(key)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(1)
        self.assertEqual(self.expired, [])
        self.assertEqual(len(self.deadlines), 1000)

    def test_restart(self):
        """
        A deadline that is set anew lies the whole delay ahead again, behind those that were set meanwhile.
        """
        self.deadlines.start("a")
        self.deadlines.start("b")
        self.clock.advance(1)
        self.deadlines.start("a")
        self.clock.pump([0.5] * 4)
        self.assertEqual(self.expired, [(2.0, "b"), (3.0, "a")])

    def test_cancel(self):
        """
        A deadline that is cleared never comes; to clear it again, or one that was never set, does nothing.
        """
        self.deadlines.cancel("a")
        self.deadlines.start("a")
        self.deadlines.start("b")
        self.deadlines.cancel("a")
        self.deadlines.cancel("a")
        self.clock.advance(2)
        self.assertEqual(self.expired, [(2.0, "b")])

    def test_cancelNear(self):
        """
        A deadline can be cleared on the condition that it comes soon.
        """
        self.assertFalse(self.deadlines.cancelNear("a", 5))
        self.deadlines.start("a")
        self.clock.advance(0.5)
        self.assertFalse(self.deadlines.cancelNear("a", 1.4))
        self.assertTrue(self.deadlines.cancelNear("a", 1.5))
        self.assertFalse(self.deadlines.cancelNear("a", 1.5))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelLast(self):
        """
        When no deadline is left, neither is a delayed call, and deadlines can be set again.
        """
        self.deadlines.start("a")
        self.deadlines.cancel("a")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1)
        self.deadlines.start("a")
        self.clock.advance(2)
        self.assertEqual(self.expired, [(3.0, "a")])

    def test_noDelay(self):
        """
        With a delay of 0 there are no deadlines.
        """
        deadlines = Deadlines(self.clock, 0, self.expire)
        deadlines.start("a")
        self.assertEqual(len(deadlines), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        deadlines.cancel("a")

    def test_setWithin(self):
        """
        A deadline that is set while others come due lies the whole delay ahead.
        """

        def again(key):
            self.expire(key)
            if len(self.expired) < 3:
                deadlines.start(key)

        deadlines = Deadlines(self.clock, 2.0, again)
        deadlines.start("a")
        self.clock.advance(2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([0.5] * 8)
        self.assertEqual(self.expired, [(2.0, "a"), (4.0, "a"), (6.0, "a")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_clearWithin(self):
        """
        A deadline that is cleared while others come due never comes, due in the same moment or later.
        """

        def clearOthers(key):
            self.expire(key)
            deadlines.cancel("b")
            deadlines.cancel("c")

        deadlines = Deadlines(self.clock, 2.0, clearOthers)
        deadlines.start("a")
        deadlines.start("b")
        self.clock.advance(1)
        deadlines.start("c")
        self.clock.pump([1] * 4)
        self.assertEqual(self.expired, [(2.0, "a")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_setAndClearWithin(self):
        """
        One that is set and cleared again while others come due leaves nothing behind.
        """

        def expired(key):
            self.expire(key)
            deadlines.start("b")
            deadlines.cancel("b")

        deadlines = Deadlines(self.clock, 2.0, expired)
        deadlines.start("a")
        self.clock.advance(2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self):
        """
        When the clock leaps, all that is overdue comes at once, in order.
        """
        self.deadlines.start("a")
        self.clock.advance(1)
        self.deadlines.start("b")
        self.clock.advance(100)
        self.assertEqual(self.expired, [(101.0, "a"), (101.0, "b")])

    @unhurried
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.sampled_from(["start", "cancel"]), st.sampled_from("abcde")),
                st.tuples(st.just("advance"), st.sampled_from([0.25, 0.5, 1.0, 3.0])),
            )
        )
    )
    def test_asIfEachHadItsOwn(self, steps):
        """
        Whatever is set and cleared, deadlines come as if each had a delayed call of its own, one of them is
        pending while there are deadlines, and none otherwise.
        """
        clock, single = Clock(), Clock()
        expired, expected, calls = [], [], {}
        deadlines = Deadlines(clock, 1.0, lambda key: expired.append((clock.seconds(), key)))

        def expire(key):
            del calls[key]
            expected.append((single.seconds(), key))

        for step, argument in steps:
            if step == "advance":
                clock.pump([0.25] * int(argument * 4))
                single.pump([0.25] * int(argument * 4))
            else:
                getattr(deadlines, step)(argument)
                if argument in calls:
                    calls.pop(argument).cancel()
                if step == "start":
                    calls[argument] = single.callLater(1.0, expire, argument)
            self.assertEqual(expired, expected)
            self.assertEqual(len(deadlines), len(calls))
            self.assertEqual(len(clock.getDelayedCalls()), bool(calls))


class TurnsTests(SynchronousTestCase):
    """
    L{Turns}.
    """

    def setUp(self):
        self.clock = Clock()
        self.ran = []
        self.turns = Turns(self.clock, self.ran.append)

    def test_once(self):
        """
        Each key is run once after the turn, in the order in which they were added first, by one delayed call.
        """
        for key in "abab":
            self.turns.add(key)
        self.assertEqual(self.ran, [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.ran, ["a", "b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self):
        """
        What was run can be added for another turn.
        """
        self.turns.add("a")
        self.clock.advance(0)
        self.turns.add("a")
        self.clock.advance(0)
        self.assertEqual(self.ran, ["a", "a"])

    def test_within(self):
        """
        What is added while keys are run is run in the next turn, even what still waits in this one.
        """

        def run(key):
            self.ran.append(key)
            if self.ran == ["a"]:
                turns.add("a")
                turns.add("b")

        turns = Turns(self.clock, run)
        turns.add("a")
        turns.add("b")
        self.clock.advance(0)
        self.assertEqual(self.ran, ["a", "b", "a", "b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_finish(self):
        """
        What waits can be run now, with what is added meanwhile, and no delayed call is left; later turns are
        as ever.
        """

        def run(key):
            self.ran.append(key)
            if key < 3:
                turns.add(key + 1)

        turns = Turns(self.clock, run)
        turns.finish()
        turns.add(1)
        turns.finish()
        self.assertEqual(self.ran, [1, 2, 3])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        turns.add(3)
        self.clock.advance(0)
        self.assertEqual(self.ran, [1, 2, 3, 3])


class FailureTests(SynchronousTestCase):
    """
    What fails for one key is no harm to the others.
    """

    def setUp(self):
        self.clock = Clock()
        self.ran = []

    def run_(self, key):
        self.ran.append(key)
        if key == "bad":
            raise RuntimeError("as asked")
        if key == "worse":
            raise SystemExit(1)  # which the reactor logs, too, and goes on

    def assertAllRan(self):
        self.assertEqual(self.ran, ["good", "bad", "worse", "late"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deadlines(self):
        """
        A deadline whose function fails is logged, and the others come.
        """
        deadlines = Deadlines(self.clock, 5, self.run_)
        for key in ("good", "bad", "worse", "late"):
            deadlines.start(key)
        self.clock.advance(5)
        self.assertAllRan()

    def test_turns(self):
        """
        So is what is to be done at the end of a turn.
        """
        turns = Turns(self.clock, self.run_)
        for key in ("good", "bad", "worse", "late"):
            turns.add(key)
        self.clock.advance(0)
        self.assertAllRan()


class ChooseClockTests(SynchronousTestCase):
    """
    L{chooseClock}.
    """

    def test_given(self):
        """
        The reactor that is given is the clock.
        """
        clock = Clock()
        self.assertIs(chooseClock(clock), clock)

    def test_global(self):
        """
        Without one it is the global reactor.
        """
        from twisted.internet import reactor

        self.assertIs(chooseClock(None), reactor)
