A client that does not read can't fill the server's memory: what waits for it is bounded by ``max_queued_bytes`` and
``max_queued_messages``, and a connection that stays full for ``write_timeout`` is cut.
