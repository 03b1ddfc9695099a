# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The demonstration page and the server in a real browser: C{python -m twisted.trial tests.browser.check_demo}.
"""
