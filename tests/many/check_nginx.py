# -*- test-case-name: tests.many.check_nginx -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Four processes behind a real nginx, with the configuration that is in C{examples/deploy}.

It needs C{nginx}, so it is no part of the ordinary run.  Start it with::

    python -m twisted.trial tests.many.check_nginx
"""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.many.balancers import Nginx
from tests.many.behind import BehindMixin, FewMixin, ServingMixin, SupervisedMixin
from tests.many.browsing import BrowserMixin
from txsockjs.supervisor import NOTICE_TIME

__all__ = ["BaseURLTests", "BrowserTests", "CookieTests", "HashTests", "SupervisedTests"]


BASE_URL = ("--base-url=BALANCER/{process}/{service}",)


class BaseURLTests(BehindMixin, TestCase):
    """
    nginx as it comes, with C{base_url}. Who was sent to a process just before that began to leave has to try again, and
    would perhaps meet the next one if that left at once.
    """

    balancerType = Nginx
    more = BASE_URL
    again = 1
    notice = NOTICE_TIME


class SupervisedTests(SupervisedMixin, TestCase):
    """
    Processes of C{--processes}, which are restarted by one signal.
    """

    balancerType = Nginx
    more = BASE_URL
    again = 1


class HashTests(FewMixin, TestCase):
    """
    Without C{base_url}: by the hash of the session id.
    """

    balancerType = Nginx


class CookieTests(FewMixin, TestCase):
    """
    By the cookie.
    """

    balancerType = Nginx
    more = ("--cookie-needed",)
    changes = {
        "            # HASH, or instead of it COOKIE: proxy_pass http://$sockjs_process;\n"
        "            proxy_pass http://hashed;\n": "            proxy_pass http://$sockjs_process;\n"
    }


class BrowserTests(BrowserMixin, ServingMixin, TestCase):
    """
    The same, for browsers.
    """

    balancerType = Nginx
    more = BASE_URL
