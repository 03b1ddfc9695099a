# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What a service withstands: rubbish, many sessions one after the other, readers that stall, and idleness::

    python -m tests.endurance --help
"""
