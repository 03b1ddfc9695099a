"""
C{twistd sockjs} and C{twist sockjs}.
"""

from twisted.application.service import ServiceMaker

sockjs = ServiceMaker("txsockjs", "txsockjs.tap", "A SockJS server for your own protocols, or a demo of one.", "sockjs")
