# -*- test-case-name: tests.test_metrics_loop -*-
"""
How late the reactor is.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.metrics.loop import BOUNDS, LoopLag


class LoopLagTests(SynchronousTestCase):
    """
    L{LoopLag}.
    """

    def setUp(self):
        self.clock = Clock()
        self.lag = LoopLag(self.clock)
        self.addCleanup(self.lag.stop)

    def inBucket(self, bound):
        return self.lag.counts[BOUNDS.index(bound)]

    def test_nothing(self):
        """
        Before the first look there is no lag, and before the start nothing is planned.
        """
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.lag.start()
        self.clock.advance(0.4)
        self.assertEqual((self.lag.last, self.lag.most, self.lag.total, sum(self.lag.counts)), (0, 0, 0, 0))

    def test_onTime(self):
        """
        A reactor that is on time counts in the first bucket, twice a second.
        """
        self.lag.start()
        self.clock.pump([0.5] * 4)
        self.assertEqual((self.lag.last, self.lag.most, self.lag.total), (0, 0, 0))
        self.assertEqual(self.lag.counts, [4, *[0] * len(BOUNDS)])

    def test_late(self):
        """
        What comes late counts by how late it is: in the bucket that reaches so far, in the sum, and as the last one.
        """
        self.lag.start()
        for late in (0.25, 0.3, 20.0):
            self.clock.advance(0.5 + late)
            self.assertAlmostEqual(self.lag.last, late)
        self.assertEqual((self.inBucket(0.25), self.inBucket(0.5), self.lag.counts[-1]), (1, 1, 1))
        self.assertAlmostEqual(self.lag.total, 20.55)
        self.assertEqual(sum(self.lag.counts), 3)

    def test_lateIsNotCarriedOn(self):
        """
        The look after a late one is planned from then on, and on time again.
        """
        self.lag.start()
        self.clock.advance(3)
        self.clock.advance(0.5)
        self.assertEqual(self.lag.last, 0)
        self.assertAlmostEqual(self.lag.most, 2.5)

    def test_most(self):
        """
        The greatest lag is that of the last minute.
        """
        self.lag.start()
        self.clock.advance(1.5)
        self.clock.pump([0.5] * 119)
        self.assertAlmostEqual(self.lag.most, 1)
        self.clock.advance(0.5)
        self.assertEqual(self.lag.most, 0)

    def test_stop(self):
        """
        After the stop nothing is planned, and what was seen stays. It can be stopped and started again and again.
        """
        self.lag.start()
        self.lag.start()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.lag.stop()
        self.lag.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertAlmostEqual(self.lag.last, 0.5)
        self.lag.start()
        self.clock.advance(0.5)
        self.assertEqual((self.lag.last, sum(self.lag.counts)), (0, 2))
