# -*- test-case-name: tests.test_testing -*-
"""
The client of a test: what sockjs-client is to a page, without a browser, a socket, or time that passes by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote, quote_plus, unquote

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall

from txsockjs.codec import encodeText
from txsockjs.testing.memory import Answer, MemoryConnection
from txsockjs.testing.places import Company, Place
from txsockjs.testing.turns import advance, flush

__all__ = ["Client", "Close", "NotConnected", "NothingReceived", "Refused", "makeClient"]

_LOST = 1006  # RFC 6455 section 7.1.5: there was no close frame
_ROOM = 65536
"""What a connection of Twisted's holds for a client before it is found to be full."""

_CALLBACK = "callback"


class Close(NamedTuple):
    """
    How a connection was closed, as the C{onclose} of a page is told.
    """

    code: int
    """Of the SockJS close frame, or else of the WebSocket's own; 1006 for a connection that broke."""

    reason: str


class Refused(Exception):
    """
    The server has answered a request in a way that no page would take for success.

    @ivar method: the method of the request.
    @ivar url: its URL.
    @ivar status: the status of the answer; 0 where the connection broke before there was one.
    @ivar body: the body of the answer, as text; for a WebSocket the close frame that came first.
    @ivar headers: the headers of the answer, a L{twisted.web.http_headers.Headers}.
    @ivar close: what the close frame says that came in place of the opening, or L{None} where it is the status that
        refuses.
    """

    def __init__(self, method: str, url: str, answer: Answer, body: str, close: Close | None = None) -> None:
        how = f"answered with {answer.code}: {body.strip()}" if answer.code else "not answered: the connection broke"
        super().__init__(f"{method} {url} is {how}")
        self.method = method
        self.url = url
        self.status = answer.code
        self.body = body
        self.headers = answer.headers
        self.close = close


class NotConnected(AssertionError):
    """
    The client can't send, since it is not open yet or not any more. The text says which.
    """


class NothingReceived(AssertionError):
    """
    There is no message that was not looked at yet.
    """


class Client:
    """
    A client in memory; L{txsockjs.testing.connect} makes it.

    Each of its methods but L{drop}, and each look at what it has received, first lets everything happen that needs no
    time. So it is always up to date, whoever has written in the meantime; see L{flush}.

    @ivar transportName: by which transport it connects.
    @ivar clock: where time comes from.
    @ivar session: the session id in its URLs.
    """

    def __init__(
        self, transportName: str, place: Place, headers: dict[str, str], peer: IAddress | None, session: str
    ) -> None:
        self.transportName = transportName
        self.clock = place.clock
        self.session = session
        self._place = place
        self._headers = headers
        self._peer = peer
        self._company = Company.of(place.clock)
        self._isOpen = False
        self._closed: Close | None = None
        self._refusal: Refused | None = None
        self._failure: Refused | None = None  # to be raised
        self._frames: list[str] = []
        self._received: list[str] = []
        self._taken = 0
        self._protocol: Any = None
        self._missing: LookupError | None = None
        self._opening: Answer | None = None
        self._said = False  # whether the close frame of a WebSocket is sent
        self._call: IDelayedCall | None = None

    def __repr__(self) -> str:
        how = "" if self._closed is None else f" with {self._closed.code} {self._closed.reason!r}"
        return f"<{self.transportName} client {self.session}, {self._stateNow}{how}>"

    # -- what a page does -------------------------------------------------------------------------------------------

    def send(self, *messages: str) -> None:
        """
        Send messages, all at once.

        @param messages: text, as in a page; lone surrogates are welcome.

        @raise TypeError: when one is no C{str}.
        @raise NotConnected: when the client is not open.
        @raise Refused: when the server refuses the request that carries them, which no WebSocket can do. A request
            that is answered by the close of the session raises nothing: L{closed} has that.
        """
        for message in messages:
            if not isinstance(message, str):
                raise TypeError(f"a page sends text: a message must be a str, not {message!r}")
        self.flush()
        if self._stateNow != "open":
            raise NotConnected(f"can't send by {self!r}")
        if messages:
            self._send(list(messages))
        self.flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """
        Close. A WebSocket tells the server, with code and reason. Over HTTP there is no way to tell: the receiving
        request ends, and the application sees a lost connection. Without effect on a client that is closed.

        @param code: 1000, or 3000 to 4999.

        @param reason: at most 123 bytes in UTF-8.

        @raise ValueError: when code or reason is something that no page can give.
        """
        if not isinstance(code, int) or not (code == 1000 or 3000 <= code <= 4999):
            raise ValueError(f"a page can close with the code 1000, or 3000 to 4999, not {code!r}")
        if len(reason.encode("utf-8")) > 123:
            raise ValueError("a close reason has at most 123 bytes in UTF-8")
        self.flush()
        if self._closed is None:
            self._goAway(Close(code, reason))
        self.flush()

    # -- what happens to it -----------------------------------------------------------------------------------------

    def drop(self) -> None:
        """
        Break all connections, as when a cable is pulled and the server's kernel finds out. This is at once: what was
        written just now, and has not left yet, does not arrive.
        """
        if self._closed is None:
            self._closed = Close(_LOST, "The connection was dropped")
        for connection in self._connections():
            connection.lose()
        self.flush()

    def pauseReading(self, room: int = _ROOM) -> None:
        """
        Take nothing of what the server sends from now on, neither messages nor pings nor a close. A client that polls
        does not poll again.

        @param room: how many bytes find room on the way before the server notices, and pauses its producers; 0 for
            none, which it notices at once.
        """
        self.flush()
        for connection in self._receivingConnections():
            connection.transport.block(room)
        self.flush()

    def resumeReading(self) -> None:
        """
        Take what has been sent meanwhile, and what follows.
        """
        self.flush()
        for connection in self._receivingConnections():
            connection.transport.unblock()
        self._soon()
        self.flush()

    # -- time -------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """
        Let everything happen that needs no time, on this client's clock and so for all clients that share it: what
        was written in one turn of the reactor leaves at its end, arrives in the next, and is answered by whom it
        concerns, until nothing is left to be done at once. See L{txsockjs.testing.flush}.

        @raise Refused: see L{send}; also when a request that was sent before, and had to wait for the application, is
            refused now.
        @raise Endless: when there is no end of it.
        """
        flush(self.clock)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def advance(self, seconds: float) -> None:
        """
        Let time pass, from one thing that is due to the next, each at its own time. See L{txsockjs.testing.advance}.

        @param seconds: how long, 0 or more.
        """
        advance(self.clock, seconds)
        self.flush()

    # -- what it sees -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """
        C{"connecting"} before the server has opened the session, C{"open"}, C{"closing"} while the server has not
        answered the close of a WebSocket, or C{"closed"}.
        """
        self.flush()
        return self._stateNow

    @property
    def received(self) -> list[str]:
        """
        All messages so far, in order.
        """
        self.flush()
        return list(self._received)

    def receive(self) -> str:
        """
        @return: the next message that was not yet returned by this method.

        @raise NothingReceived: when there is none.
        """
        self.flush()
        if self._taken == len(self._received):
            raise NothingReceived(f"after {self._taken} messages, nothing more has come to {self!r}")
        self._taken += 1
        return self._received[self._taken - 1]

    @property
    def frames(self) -> list[str]:
        """
        All SockJS frames so far, in order: C{o}, C{h}, C{a[...]} and C{c[...]}, without what the transport puts
        around them. The raw WebSocket has none.
        """
        self.flush()
        return list(self._frames)

    @property
    def closed(self) -> Close | None:
        """
        How the connection was closed, or L{None} as long as it is not.
        """
        self.flush()
        return self._closed

    @property
    def refusal(self) -> Refused | None:
        """
        Why the session was not opened. C{connect} raises this; it is found here where the server decides later, since
        an C{authorize} of the application's took its time.
        """
        self.flush()
        return self._refusal

    @property
    def answer(self) -> Answer:
        """
        The answer to the request that opens the session: its status and headers, with cookies and CORS.
        """
        self.flush()
        assert self._opening is not None
        return self._opening

    @property
    def protocol(self) -> Any:
        """
        The application's protocol at the other end, also after it has ended.

        @raise LookupError: when there is none (yet), or when the service lies where it can't be found without a
            request, such as behind a resource of your own that makes its children as they are asked for.
        """
        self.flush()
        self._lookForProtocol()
        if self._protocol is None:
            raise self._missing or LookupError(f"the application has no protocol for {self!r}")
        return self._protocol

    # -- the end ----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """
        Drop this client. If no other one on its clock is connected, end all sessions and stop what was started, as
        L{txsockjs.testing.finish} does.

        @raise LeftBehind: when then there are still delayed calls on the clock: the application has forgotten them.
        """
        self.drop()
        self._company.leave(self)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.finish()
        else:
            self.drop()

    @property
    def isConnected(self) -> bool:
        """
        Whether it has a connection, be it one that is closing.
        """
        return any(not connection.transport.gone for connection in self._connections())

    # -- how it is done ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """
        Send the request that opens the session. L{txsockjs.testing.connect} does it.
        """
        self._company.join(self, self._place)
        self._begin()
        self.flush()

    @property
    def _stateNow(self) -> str:
        if self._closed is not None:
            return "closed"
        if self._said:
            return "closing"
        return "open" if self._isOpen else "connecting"

    def _connect(self) -> MemoryConnection:
        connection = self._place.connect(self._peer)
        connection.changed = self._changed
        return connection

    def _url(self, below: str, query: str = "") -> str:
        query = "&".join(filter(None, [query, self._place.query]))
        return f"{self._place.path}/{below}" + (f"?{query}" if query else "")

    def _changed(self) -> None:
        """
        Something came. This is within a call of the server's; the client reacts in a turn of its own.
        """
        self._lookForProtocol()
        self._soon()

    def _soon(self) -> None:
        if self._call is None:
            self._call = self.clock.callLater(0, self._react)

    def _react(self) -> None:
        self._call = None
        self._lookForProtocol()
        self._look()

    def _lookForProtocol(self) -> None:
        if self._protocol is not None or self._missing is not None:
            return
        try:
            for connection in self._receivingConnections():
                self._protocol = self._place.find(connection)
        except LookupError as error:
            self._missing = error

    def _frameCame(self, text: str, method: str, url: str, answer: Answer) -> None:
        self._frames.append(text)
        if text.startswith("c"):
            close = Close(*json.loads(text[1:]))
            if not self._isOpen and self._closed is None:
                self._refusal = Refused(method, url, answer, text, close)
            self._end(close)
            return
        if text == "o" and self._isOpen:
            self._end(Close(_LOST, "The server has lost the session"))  # and has begun another one
        self._isOpen = True
        if text.startswith("a"):
            self._received += json.loads(text[1:])

    def _refusedBy(self, method: str, url: str, answer: Answer) -> None:
        refusal = Refused(method, url, answer, answer.body.decode("utf-8", "replace"))
        if self._isOpen:
            self._end(Close(_LOST, str(refusal)))
        else:
            self._refusal = refusal
            self._end(Close(_LOST, f"HTTP status {answer.code}"))

    def _end(self, close: Close) -> None:
        if self._closed is None:
            self._closed = close
            self._release()

    # -- for each transport -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        raise NotImplementedError

    def _send(self, messages: list[str]) -> None:
        raise NotImplementedError

    def _goAway(self, close: Close) -> None:
        raise NotImplementedError

    def _look(self) -> None:
        """
        See what has come, and do what is to be done about it.
        """
        raise NotImplementedError

    def _release(self) -> None:
        """
        Let go of connections that are not needed any more.
        """
        raise NotImplementedError

    def _connections(self) -> list[MemoryConnection]:
        raise NotImplementedError

    def _receivingConnections(self) -> list[MemoryConnection]:
        raise NotImplementedError


# -- WebSocket --------------------------------------------------------------------------------------------------------

_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class _WebSocketClient(Client):
    """
    By C{websocket}.
    """

    _connection: MemoryConnection | None = None
    _read = 0

    def _begin(self) -> None:
        self._connection = self._connect()
        url = self._url(self._below())
        self._opening = self._connection.request("GET", url, {**self._headers, **_UPGRADE})

    def _below(self) -> str:
        return f"000/{quote(self.session, safe='')}/websocket"

    def _send(self, messages: list[str]) -> None:
        self._sendText(json.dumps(messages).encode("ascii"))

    def _sendText(self, payload: bytes) -> None:
        assert self._connection is not None
        self._connection.sendFrame(_TEXT, payload)

    def _goAway(self, close: Close) -> None:
        assert self._opening is not None
        if self._opening.code != 101:
            self._end(close)
        elif not self._said:
            self._sayClose(close.code.to_bytes(2, "big") + close.reason.encode("utf-8"))

    def _sayClose(self, payload: bytes) -> None:
        assert self._connection is not None
        self._said = True
        self._connection.sendFrame(_CLOSE, payload)

    def _look(self) -> None:
        connection, answer = self._connection, self._opening
        assert connection is not None and answer is not None
        if answer.code != 101:
            if answer.ended or (connection.transport.gone and not connection.transport.isHolding):
                self._refusedBy("GET", self._url(self._below()), answer)
            return
        frames = connection.frames(self._read)
        self._read += len(frames)
        for frame in frames:
            if frame.opcode == _TEXT:
                self._textCame(frame.payload.decode("utf-8"), answer)
            elif frame.opcode == _PING:
                connection.sendFrame(_PONG, frame.payload)
            elif frame.opcode == _CLOSE:
                if not self._said:
                    self._sayClose(frame.payload[:2])
                self._end(Close(frame.code, frame.reason))
        if connection.transport.gone and not connection.transport.isHolding:
            self._end(Close(_LOST, "The connection broke"))

    def _textCame(self, text: str, answer: Answer) -> None:
        self._frameCame(text, "GET", self._url(self._below()), answer)

    def _release(self) -> None:
        # A WebSocket is closed by the server, once both have said so.
        if self._connection is not None and self._opening is not None and self._opening.code != 101:
            self._connection.lose(ConnectionDone())

    def _connections(self) -> list[MemoryConnection]:
        return [] if self._connection is None else [self._connection]

    def _receivingConnections(self) -> list[MemoryConnection]:
        return self._connections()


class _RawClient(_WebSocketClient):
    """
    By C{websocket-raw}.
    """

    def _below(self) -> str:
        return "websocket"

    def _send(self, messages: list[str]) -> None:
        for message in messages:
            self._sendText(encodeText(message))

    def _look(self) -> None:
        if self._opening is not None and self._opening.code == 101:
            self._isOpen = True
        super()._look()

    def _textCame(self, text: str, answer: Answer) -> None:
        self._received.append(text)


# -- HTTP -------------------------------------------------------------------------------------------------------------


class _HTTPClient(Client):
    """
    By one of the transports that have a request to receive, and others to send.
    """

    method: ClassVar[str] = "POST"
    below: ClassVar[str]
    query: ClassVar[str] = ""
    dress: ClassVar[re.Pattern[bytes]]
    """Finds a frame in what comes, in its group 1."""

    sendBelow: ClassVar[str] = "xhr_send"
    contentType: ClassVar[str] = "text/plain"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._receiving: MemoryConnection | None = None
        self._answer: Answer | None = None
        self._chunks = 0  # how many of the answer were looked at
        self._buffer = b""
        self._sending: MemoryConnection | None = None
        self._posted: Answer | None = None
        self._outbox: list[str] = []

    def _begin(self) -> None:
        self._poll()
        self._opening = self._answer

    def _urlTo(self, below: str, query: str = "") -> str:
        return self._url(f"000/{quote(self.session, safe='')}/{below}", query)

    def _poll(self) -> None:
        """
        Send a receiving request.
        """
        if self._receiving is None or not self._receiving.isIdle:
            self._receiving = self._connect()
        headers = {**self._headers, "Content-Length": "0"} if self.method == "POST" else self._headers
        self._chunks, self._buffer = 0, b""
        self._answer = self._receiving.request(self.method, self._urlTo(self.below, self.query), headers)

    def _send(self, messages: list[str]) -> None:
        self._outbox += messages
        self._post()

    def _post(self) -> None:
        """
        Send what is to be sent, unless the last request that did so is not answered yet: so the order is kept.
        """
        if self._posted is not None or not self._outbox or self._closed is not None:
            return
        messages, self._outbox = self._outbox, []
        if self._sending is None or not self._sending.isIdle:
            self._sending = self._connect()
        body = self._bodyOf(json.dumps(messages))
        headers = {**self._headers, "Content-Type": self.contentType, "Content-Length": str(len(body))}
        self._posted = self._sending.request("POST", self._urlTo(self.sendBelow), headers, body)

    def _bodyOf(self, messages: str) -> bytes:
        return messages.encode("ascii")

    def _goAway(self, close: Close) -> None:
        self._end(close)

    def _look(self) -> None:
        if self._answer is not None:
            self._lookAtAnswer(self._answer)
        if self._posted is not None:
            self._lookAtPost(self._posted)

    def _lookAtAnswer(self, answer: Answer) -> None:
        connection = self._receiving
        assert connection is not None
        isOver = connection.transport.gone and not connection.transport.isHolding
        url = self._urlTo(self.below, self.query)
        if answer.code == 200 and (answer.isChunked or answer.ended):
            chunks = answer.chunks[self._chunks :]
            self._chunks += len(chunks)
            for frame in self._undress(b"".join(chunks)):
                self._frameCame(frame, self.method, url, answer)
        elif answer.ended or isOver:
            self._refusedBy(self.method, url, answer)
        if self._closed is not None:
            self._answer = None
        elif answer.ended:
            self._answer = None
            self._poll()
        elif isOver:
            self._end(Close(_LOST, "The connection broke"))

    def _undress(self, data: bytes) -> list[str]:
        """
        @return: the frames that are whole now.
        """
        self._buffer += data
        found, end = [], 0
        for match in self.dress.finditer(self._buffer):
            found.append(self._textOf(match[1]))
            end = match.end()
        self._buffer = self._buffer[end:]
        return found

    def _textOf(self, data: bytes) -> str:
        return data.decode("utf-8")

    def _lookAtPost(self, answer: Answer) -> None:
        assert self._sending is not None
        if not answer.ended and not self._sending.transport.gone:
            return
        self._posted = None
        if answer.code not in (200, 204) and self._closed is None:
            body = answer.body.decode("utf-8", "replace")
            self._failure = Refused("POST", self._urlTo(self.sendBelow), answer, body)
        self._post()

    def _release(self) -> None:
        for connection in self._connections():
            connection.lose(ConnectionDone())

    def _connections(self) -> list[MemoryConnection]:
        return [connection for connection in (self._receiving, self._sending) if connection is not None]

    def _receivingConnections(self) -> list[MemoryConnection]:
        return [] if self._receiving is None else [self._receiving]


class _XHRStreamingClient(_HTTPClient):
    """
    By C{xhr-streaming}.
    """

    below = "xhr_streaming"
    dress = re.compile(rb"(?:h{2048}\n)?([^\n]+)\n")  # behind the prelude, if it is the first


class _XHRPollingClient(_HTTPClient):
    """
    By C{xhr-polling}.
    """

    below = "xhr"
    dress = re.compile(rb"([^\n]+)\n")


class _EventSourceClient(_HTTPClient):
    """
    By C{eventsource}.
    """

    method = "GET"
    below = "eventsource"
    dress = re.compile(rb"data: ([^\r\n]*)\r\n\r\n")

    def _textOf(self, data: bytes) -> str:
        return unquote(super()._textOf(data))


class _ScriptClient(_HTTPClient):
    """
    By scripts that call a function of the page's, with the frame as a string.
    """

    method = "GET"
    query = f"c={_CALLBACK}"

    def _textOf(self, data: bytes) -> str:
        text: str = json.loads(data)
        return text


class _HTMLFileClient(_ScriptClient):
    """
    By C{htmlfile}.
    """

    below = "htmlfile"
    dress = re.compile(rb"<script>\np\((.*)\);\n</script>\r\n")


class _JSONPClient(_ScriptClient):
    """
    By C{jsonp-polling}.
    """

    below = "jsonp"
    dress = re.compile(rb"/\*\*/callback\((.*)\);\r\n")
    sendBelow = "jsonp_send"
    contentType = "application/x-www-form-urlencoded"

    def _bodyOf(self, messages: str) -> bytes:
        return b"d=" + quote_plus(messages).encode("ascii")


_CLIENTS: Mapping[str, Callable[..., Client]] = {
    "websocket": _WebSocketClient,
    "websocket-raw": _RawClient,
    "xhr-streaming": _XHRStreamingClient,
    "xhr-polling": _XHRPollingClient,
    "eventsource": _EventSourceClient,
    "htmlfile": _HTMLFileClient,
    "jsonp-polling": _JSONPClient,
}


def makeClient(transport: str, place: Place, headers: dict[str, str], peer: IAddress | None, session: str) -> Client:
    """
    @return: a client that has not begun yet.

    @raise ValueError: when there is no such transport.
    """
    kind = _CLIENTS.get(transport)
    if kind is None:
        raise ValueError(f"there is no transport {transport!r}: it must be one of {', '.join(_CLIENTS)}")
    return kind(transport, place, headers, peer, session)
