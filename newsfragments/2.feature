txsockjs is written anew for Python 3, ``twisted.web`` and Autobahn: every transport of SockJS 0.3, ``SockJSResource``
for any place in a resource tree, ``twistd sockjs`` with a demo, and ``sockjs:`` endpoint strings. Programs written for
txsockjs 1.x keep working.
