# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
What txsockjs costs, beside its peers: C{python -m benchmarks --help}.
"""
