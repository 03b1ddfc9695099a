# -*- test-case-name: tests.many.check_haproxy -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Four processes behind a real HAProxy, with the configuration that is in C{examples/deploy}.

It needs C{haproxy}, so it is no part of the ordinary run.  Start it with::

    python -m twisted.trial tests.many.check_haproxy
"""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.many.balancers import HAProxy, together
from tests.many.behind import FEW, SERVICES, BehindMixin, FewMixin, ServingMixin, SupervisedMixin
from tests.many.browsing import BrowserMixin
from tests.many.clients import WAYS
from tests.many.load import Load, pause

__all__ = [
    "AddressTests",
    "BrowserTests",
    "CookieTests",
    "HashTests",
    "ProxyProtocolTests",
    "StickTableTests",
    "SupervisedTests",
]


class StickTableTests(BehindMixin, TestCase):
    """
    HAProxy as it comes.
    """

    balancerType = HAProxy

    async def test_table(self) -> None:
        """
        A session over HTTP keeps its process however long a response lasts, when HAProxy is reloaded, and when the
        process is taken out by hand, after which there are no new sessions on it.
        """
        await self.balance(*SERVICES, "--response-limit=400", changes={"expire 30m": "expire 6s"})
        load = Load(self.balancer, "load", [way for way in WAYS if "websocket" not in way])
        await load.begin(FEW)
        await pause(9)
        await load.each(lambda customer: customer.exchange(customer.life))
        await self.balancer.reload()
        await pause(1)  # idle connections are closed, and browsers would repeat what they have sent by one just then
        for _ in range(10):
            await load.each(lambda customer: customer.exchange(customer.life))
        victim = self.processes[0]
        self.assertIn(victim.pid, {life.pid for life in load.lives})
        await self.balancer.ask("set server sockjs/p1 state drain")
        later = Load(self.balancer, "load")
        await later.begin(FEW)
        for _ in range(10):
            await load.each(lambda customer: customer.exchange(customer.life))
        self.assertNotIn(victim.pid, {life.pid for life in later.lives})
        await self.balancer.ask("set server sockjs/p1 state ready")
        await self.balancer.waitFor("p1", "UP")
        lives = load.lives + later.lives
        self.assertNone(load.faults() + later.faults())
        self.assertNone([f"{life.way} has ended with {life.end}" for life in lives if life.end is not None])
        await together(*(process.stop() for process in self.processes))


class SupervisedTests(SupervisedMixin, TestCase):
    """
    Processes of C{--processes}, which are restarted by one signal.
    """

    balancerType = HAProxy


class CookieTests(FewMixin, TestCase):
    """
    By the cookie.
    """

    balancerType = HAProxy
    more = ("--cookie-needed",)
    changes = {"default_backend sockjs": "default_backend by_cookie"}


class HashTests(FewMixin, TestCase):
    """
    By the hash of the session id.
    """

    balancerType = HAProxy
    changes = {"default_backend sockjs": "default_backend by_hash"}


class ProxyProtocolTests(FewMixin, TestCase):
    """
    With the PROXY protocol.
    """

    balancerType = HAProxy
    wrapping = "haproxy:"
    changes = {"default_backend sockjs": "default_backend by_proxy_protocol"}


class AddressTests(FewMixin, TestCase):
    """
    With C{X-Forwarded-For}.
    """

    balancerType = HAProxy


class BrowserTests(BrowserMixin, ServingMixin, TestCase):
    """
    The same, for browsers.
    """

    balancerType = HAProxy
