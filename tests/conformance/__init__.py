# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Conformance tests of the SockJS 0.3.x wire protocol, for any server.

The tests know nothing of txsockjs.  They open real sockets and look at the bytes, so they can be pointed at every
SockJS server that offers the standard test services (C{/echo}, C{/disabled_websocket_echo}, C{/cookie_needed_echo},
C{/close}, C{/ticker}, C{/amplify} and C{/broadcast})::

    python -m tests.conformance http://127.0.0.1:8081

or, which is the same::

    SOCKJS_URL=http://127.0.0.1:8081 python -m twisted.trial tests.conformance

Further arguments of the first form go to trial, and test modules among them replace the whole suite::

    python -m tests.conformance http://127.0.0.1:8081 --until-failure tests.conformance.test_life

A proxy in front of the server, such as HAProxy or nginx, puts chunks together as it likes. With C{--proxied} before the
URL, or C{SOCKJS_PROXIED=1}, the tests do not look at chunks, but cut frames out of what comes, and a
cookie may begin with the name of a process.

Without C{SOCKJS_URL} every test starts the demo of txsockjs in its own process on a free port of the loopback
interface, with nothing but real sockets between the two, and an error that the server logs fails the test.

There is one module for each part of the protocol:

  - L{tests.conformance.test_urls}: which paths there are and which methods they take
  - L{tests.conformance.test_headers}: caching, CORS and cookies
  - L{tests.conformance.test_info}: the capabilities
  - L{tests.conformance.test_iframe}: the iframe page
  - L{tests.conformance.test_frames}: from the server to the client
  - L{tests.conformance.test_messages}: from the client to the server
  - L{tests.conformance.test_life}: how sessions begin and end
  - L{tests.conformance.test_services}: the standard test services themselves
  - L{tests.conformance.test_websocket}: RFC 6455 under SockJS
  - L{tests.conformance.test_slow}: heartbeats and deadlines; it takes half a minute

Where the protocol leaves a choice to the server, the tests take every choice.
"""
