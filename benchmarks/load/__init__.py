# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
A load generator for SockJS servers: C{python -m benchmarks.load --help}.

It is to cost less than the servers that it measures, so everything that travels is made before it is needed: messages,
masked frames and the expected answers lie in rings, of which a turn sends and compares slices.
"""
