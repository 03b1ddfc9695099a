# -*- test-case-name: tests.many.check_haproxy -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Four processes behind a real HAProxy, with the configuration that is in C{examples/deploy}.

It needs C{haproxy}, so it is no part of the ordinary run.  Start it with::

    python -m twisted.trial tests.many.check_haproxy
"""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.many.balancers import HAProxy
from tests.many.behind import BehindMixin, ServingMixin
from tests.many.browsing import BrowserMixin

__all__ = ["BrowserTests", "StickTableTests"]


class StickTableTests(BehindMixin, TestCase):
    """
    HAProxy as it comes.
    """

    balancerType = HAProxy


class BrowserTests(BrowserMixin, ServingMixin, TestCase):
    """
    The same, for browsers.
    """

    balancerType = HAProxy
