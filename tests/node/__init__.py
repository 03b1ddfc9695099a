# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The server against the real JavaScript client, in Node: C{python -m twisted.trial tests.node.check_client}.
"""
