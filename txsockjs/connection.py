# -*- test-case-name: tests.test_connection -*-
"""
What a wrapped protocol has as C{self.transport}: a SockJS session that looks like any other transport of Twisted's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txsockjs.codec import SharedMessage
from txsockjs.encoding import Decoder, Encoding, UnencodableMessage
from txsockjs.interfaces import ISockJSProtocol, ISockJSTransport, RequestFacts
from txsockjs.session import GO_AWAY, Producer
from txsockjs.stats import Cause
from txsockjs.timers import attempt
from txsockjs.values import checkCloseCode, checkCloseReason

__all__ = ["Connection", "Link"]

UNENCODABLE = 1007
"""The close code for a message that the service's encoding can't carry (RFC 6455 section 7.4.1)."""


class Link(Protocol):
    """
    What lies below a connection: a L{txsockjs.session.Session}, or one channel of many in a session.
    """

    @property
    def isClosing(self) -> bool:
        """Whether it is over, or about to be."""

    def send(self, text: str) -> None:
        """Queue one message."""

    def sendShared(self, message: SharedMessage) -> None:
        """Queue one message that goes to others as well."""

    def close(self, code: int, reason: str) -> None:
        """Close in an orderly way."""

    def abort(self) -> None:
        """Close at once."""

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """See L{twisted.internet.interfaces.IConsumer.registerProducer}."""

    def unregisterProducer(self) -> None:
        """See L{twisted.internet.interfaces.IConsumer.unregisterProducer}."""

    def pauseReading(self) -> None:
        """Deliver no more messages for now."""

    def resumeReading(self) -> None:
        """Deliver messages again."""


_log = Logger()


@implementer(ISockJSTransport, ITransport, IConsumer, IPushProducer)
class Connection:
    """
    The transport of one session. It is the L{txsockjs.session.Application} of its session as well.

    @ivar encodingName: the name of the encoding between the protocol's bytes and the text of messages.
    """

    _isOver = False

    def __init__(
        self,
        link: Link,
        factory: IProtocolFactory,
        encoding: Encoding,
        transportName: str,
        facts: RequestFacts,
        peer: IAddress,
        host: IAddress,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.transportName = transportName
        self.requestFacts = facts
        self._link = link
        self._factory = factory
        self._encoding = encoding
        self.encodingName = encoding.name
        self._decoder: Decoder = encoding.decoder()
        self._peer = peer
        self._host = host
        self._protocol: IProtocol | None = None
        self._takesText = False
        # Who wants to know when it is over; made when somebody does, since most are idle and nobody's.
        self._leavers: list[Callable[[Connection], object]] | None = None

    def __repr__(self) -> str:
        return f"<SockJS {self.transportName} {self.id}{' closing' if self.disconnecting else ''}>"

    # -- for the session ------------------------------------------------------------------------------------------

    def accept(self) -> bool:
        """
        See L{txsockjs.session.Application.accept}.
        """
        self._protocol = self._factory.buildProtocol(self._peer)
        self._takesText = ISockJSProtocol.providedBy(self._protocol)
        if self._protocol is None:
            self._tell("is refused")
            return False
        return True

    def opened(self) -> None:
        """
        See L{txsockjs.session.Application.opened}.
        """
        assert self._protocol is not None
        self._protocol.makeConnection(self)

    def received(self, message: str) -> None:
        """
        See L{txsockjs.session.Application.received}.
        """
        assert self._protocol is not None
        if self._takesText:
            self._protocol.messageReceived(message)  # type: ignore[attr-defined]
            return
        try:
            data = self._encoding.encode(message)
        except UnencodableMessage as error:
            self._link.close(UNENCODABLE, f"Encoding {self._encoding.name}: {error}")
        else:
            self._protocol.dataReceived(data)

    def lost(self, reason: Failure, cause: Cause | None = None) -> None:
        """
        See L{txsockjs.session.Application.lost}. A channel of a multiplexed session has no cause of its own.
        """
        if cause is not None:
            said = str(reason.value)
            # As a repr, since the client may have a say in the reason.
            self._tell(
                f"is over: {cause} ({said!r})", cause=str(cause), reason=said, code=getattr(reason.value, "code", None)
            )
        leavers, self._leavers = self._leavers, None
        self._isOver = True
        for leaver in leavers or ():
            attempt(leaver, self)
        assert self._protocol is not None
        self._protocol.connectionLost(reason)

    # -- for those that have it in a list -------------------------------------------------------------------------

    def tellWhenOver(self, leaver: Callable[[Connection], object]) -> bool:
        """
        Have a function called when the connection is over, just before its protocol's C{connectionLost}.

        @param leaver: called once, with this connection.

        @return: whether it will be called: not if the connection is over already.
        """
        if self._isOver:
            return False
        if self._leavers is None:
            self._leavers = []
        self._leavers.append(leaver)
        return True

    def tellNoMore(self, leaver: Callable[[Connection], object]) -> None:
        """
        Take back what L{tellWhenOver} was told. Without effect once the connection is over.
        """
        if self._leavers is not None:
            self._leavers.remove(leaver)
            if not self._leavers:
                self._leavers = None

    def _tell(self, what: str, **facts: object) -> None:
        """
        Write into the log. The text is made here, since Twisted needs far longer to put fields together.
        """
        text = f"session {self.id} by {self.transportName} from {self._peer} {what}"
        _log.debug("{text}", text=text, id=self.id, transport=self.transportName, peer=self._peer, **facts)

    # -- ITransport and ISockJSTransport --------------------------------------------------------------------------

    def write(self, data: bytes | str) -> None:
        """
        See L{ISockJSTransport.write}.
        """
        text = self._decoder.encodeText(data) if isinstance(data, str) else _decode(self._decoder, data)
        if text is not None:
            self._link.send(text)

    def writeSequence(self, iovec: Iterable[bytes | str]) -> None:
        """
        Send all of C{iovec} as one message.

        @param iovec: either bytes or texts, not both.

        @raise TypeError: when they are neither or mixed.
        @raise ValueError: see L{ISockJSTransport.write}.
        """
        pieces = list(iovec)
        if pieces:
            self.write(("" if isinstance(pieces[0], str) else b"").join(pieces))  # type: ignore[arg-type]

    def writeMessages(self, messages: Iterable[bytes | str]) -> None:
        """
        See L{ISockJSTransport.writeMessages}.
        """
        for message in messages:
            self.write(message)

    def textOf(self, data: bytes | str) -> str | None:
        """
        @param data: what could be given to L{write}; bytes that are whole characters.

        @return: the text of the message, or L{None} if there would be none.

        @raise ValueError: when the bytes can't be decoded.
        @raise TypeError: see L{write}.
        """
        return _decode(self._encoding.decoder(), data, whole=True)

    def writeShared(self, message: SharedMessage) -> None:
        """
        Send one message that goes to others as well; see L{txsockjs.broadcast}.
        """
        self._link.sendShared(message)

    @property
    def disconnecting(self) -> bool:
        """
        Whether the session is closed or about to be; protocols such as L{twisted.protocols.basic.LineReceiver} look
        at it.
        """
        return self._link.isClosing

    def loseConnection(self) -> None:
        """
        See L{twisted.internet.interfaces.ITransport.loseConnection}: close the session with the default code and
        reason.
        """
        self._link.close(*GO_AWAY)

    def close(self, code: int = GO_AWAY[0], reason: str = GO_AWAY[1]) -> None:
        """
        See L{ISockJSTransport.close}.
        """
        try:
            checkCloseCode(code)
        except ValueError as error:
            raise ValueError(f"a close code {error}") from None
        try:
            checkCloseReason(reason)
        except ValueError as error:
            raise ValueError(f"a close reason {error}") from None
        self._link.close(code, reason)

    def abortConnection(self) -> None:
        """
        See L{ISockJSTransport.abortConnection}.
        """
        self._link.abort()

    def getPeer(self) -> IAddress:
        """
        @return: the address of the client that opened the session; behind proxies it is told by the options
            C{trusted_proxies} and C{proxy_header}.
        """
        return self._peer

    def getHost(self) -> IAddress:
        """
        @return: the address of ours that it connected to.
        """
        return self._host

    # -- IConsumer ------------------------------------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer.registerProducer}.
        """
        self._link.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer.unregisterProducer}.
        """
        self._link.unregisterProducer()

    # -- IPushProducer: the protocol's say in how fast the client may send ----------------------------------------

    def pauseProducing(self) -> None:
        """
        Deliver no more messages until L{resumeProducing}.
        """
        self._link.pauseReading()

    def resumeProducing(self) -> None:
        """
        Deliver messages again.
        """
        self._link.resumeReading()

    def stopProducing(self) -> None:
        """
        Close, as L{loseConnection} does.
        """
        self.loseConnection()


def _decode(decoder: Decoder, data: bytes | str, whole: bool = False) -> str | None:
    if isinstance(data, str):
        return decoder.encodeText(data)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"a message is bytes or str, not {type(data).__name__}")
    text = decoder.decode(bytes(data))
    if whole and decoder.pending:
        raise ValueError("the bytes end within a character of the option encoding")
    return text
