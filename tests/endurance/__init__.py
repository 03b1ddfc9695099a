# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What a service withstands: rubbish, many sessions one after the other, readers that stall, and idleness. Start one with::

    python -m tests.endurance fuzz|leaks|stalled|idle --help
"""
