# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The servers that are measured. Each has two services: C{/echo} sends every message back, and C{/fanout} sends every
message to all its sessions. What is not about these is as each library has it by default.
"""
