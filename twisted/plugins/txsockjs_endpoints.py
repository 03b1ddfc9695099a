"""
Endpoint strings that begin with C{sockjs:}.
"""

from txsockjs.endpoints import SockJSServerParser

sockjsServer = SockJSServerParser()
