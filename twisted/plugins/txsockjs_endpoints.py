"""
Endpoint strings that begin with C{sockjs:}.
"""

from txsockjs.endpoints import SockJSClientParser, SockJSServerParser

sockjsClient = SockJSClientParser()
sockjsServer = SockJSServerParser()
