# -*- test-case-name: tests.test_connection -*-
"""
What an application may rely on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from zope.interface import Attribute, Interface

__all__ = ["IMultiplexTransport", "ISockJSProtocol", "ISockJSTransport", "RequestFacts"]


class RequestFacts(NamedTuple):
    """
    What the application may know of the HTTP request that opened a session.
    """

    path: str
    """
    The decoded path of the URL under which the service is mounted, such as C{/echo}; session and transport left out.
    """

    args: Mapping[str, Sequence[str]]
    """The query arguments: each name with its values, in order."""

    headers: Mapping[str, str]
    """
    Those headers that the option C{exposed_headers} names and the request has: lower-case name and value. A header
    that came several times is joined by a comma and a space.
    """


class ISockJSProtocol(Interface):
    """
    A protocol that deals in text messages rather than bytes. It is otherwise an ordinary
    L{twisted.internet.interfaces.IProtocol}; its C{dataReceived} is never called.
    """

    def messageReceived(message: str) -> None:
        """
        One message from the client.

        @param message: the text as the client's program sent it; it can hold lone surrogates.
        """


class ISockJSTransport(Interface):
    """
    What C{self.transport} of a wrapped protocol provides beyond L{twisted.internet.interfaces.ITransport},
    L{twisted.internet.interfaces.IConsumer} and L{twisted.internet.interfaces.IPushProducer}.
    """

    id = Attribute("C{str}: an opaque name of this session, unique in the process and never the session id of a URL.")

    transportName = Attribute(
        "C{str}: the SockJS transport that opened the session: C{websocket}, C{websocket-raw}, C{xhr-streaming}, "
        "C{xhr-polling}, C{eventsource}, C{htmlfile} or C{jsonp-polling}."
    )

    requestFacts = Attribute("L{RequestFacts}: the request that opened the session.")

    def write(data: bytes | str) -> None:
        """
        Send one message.

        @param data: text, or bytes in the service's encoding. Empty bytes send nothing, as on any transport; an empty
            C{str} is an empty message.

        @raise ValueError: when the bytes can't be decoded; the text names the option C{encoding}.
        @raise TypeError: when C{data} is neither C{bytes} nor C{str}.
        """

    def writeMessages(messages: Iterable[bytes | str]) -> None:
        """
        Send several messages, each as L{write} does.
        """

    def close(code: int = 3000, reason: str = "Go away!") -> None:
        """
        Close the session. What was written before is delivered first. While a producer is registered the session
        stays open.

        @param code: the close code that the client gets: 1000, or 3000 to 4999.

        @param reason: a few words for the client, at most 123 bytes in UTF-8.

        @raise ValueError: when code or reason is out of these bounds, which are those of WebSockets (RFC 6455 section
            7.4).
        """

    def abortConnection() -> None:
        """
        End the session at once; what was not sent yet is dropped and the client sees a broken connection.
        """


class IMultiplexTransport(ISockJSTransport):
    """
    What C{self.transport} of a protocol provides that has one topic of a multiplexed session for its own. To the client
    goes neither the code nor the reason of a C{close}.
    """

    topic = Attribute("C{str}: the name of the topic; see L{txsockjs.multiplex.SockJSMultiplexResource.factoryFor}.")

    def broadcast(message: bytes | str) -> None:
        """
        Send one message to all channels of this topic, this one included; see
        L{txsockjs.multiplex.SockJSMultiplexResource.broadcast}.

        @param message: what C{write} takes.
        """
