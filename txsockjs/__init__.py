"""
SockJS for Twisted: a C{twisted.web} resource that hands every SockJS session to an ordinary
L{twisted.internet.interfaces.IProtocol}.

Importing this package imports nothing else; see L{txsockjs.resource}, L{txsockjs.factory} and L{txsockjs.interfaces}.
"""

__version__ = "2.0.0.dev0"

__all__ = ["__version__"]
