# -*- test-case-name: tests.test_client_console -*-
"""
C{python -m txsockjs URL}: talk to a SockJS service from a terminal.
"""

from __future__ import annotations

import sys

from txsockjs.client.console import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
