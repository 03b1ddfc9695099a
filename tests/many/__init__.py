# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Checks of many processes, with the real HAProxy, nginx and Redis. They are no part of the ordinary run.
"""
