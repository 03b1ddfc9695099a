# -*- test-case-name: tests.conformance.test_life -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
How sessions begin, who may receive, and how sessions end.
"""

from __future__ import annotations

from tests.conformance.case import (
    ANY,
    HTTP,
    STREAMING,
    WEBSOCKET,
    XHR,
    XHR_STREAMING,
    ConformanceCase,
    HTTPSession,
    Receiver,
    Transport,
    messages,
    over,
)
from tests.wire import Frame, upgradeHeaders

__all__ = [
    "BeginningTests",
    "CloseTests",
    "CutTests",
    "KeepAliveTests",
    "ReceiverTests",
    "RefusedUpgradeTests",
    "WebSocketLifeTests",
]

BUSY = 'c[2010,"Another connection still open"]'
AWAY = 'c[3000,"Go away!"]'


class BeginningTests(ConformanceCase):
    """
    The first receiving request.
    """

    @over(*ANY)
    async def test_applicationIsConnected(self, transport: Transport) -> None:
        """
        With the open frame the application has its connection: it is among those that a broadcast goes to.
        """
        session = await (await self.session(transport, "/broadcast").open()).rested()
        other = await self.session(XHR, "/broadcast").open()
        await other.send("x")
        self.assertEqual(await session.messages(1), ["x"])

    @over(*HTTP)
    async def test_openedOnce(self, transport: Transport) -> None:
        """
        A later receiving request finds the session open, and gets no other open frame.
        """
        session = await (await self.session(transport).open()).rested()
        for number in range(3):
            # Longer than the limit, so that a streaming response ends as well.
            await session.send(str(number) + "x" * 4096)
            self.assertEqual((await session.messages(1))[0][0], str(number))

    @over(*HTTP)
    async def test_otherTransports(self, transport: Transport) -> None:
        """
        A session may go on over another transport than the one it was opened with.
        """
        session = await (await self.session(XHR).open()).rested()
        await session.send("x")
        receiver = await session.receive(transport)
        self.assertEqual(await receiver.frame(), 'a["x"]')


class ReceiverTests(ConformanceCase):
    """
    One receiver at a time.
    """

    async def attached(self, session: HTTPSession) -> Receiver:
        """
        A receiver of a session that is opened here, of which the server knows.
        """
        await (await session.open()).rested()
        if session.receiver is None:
            session.receiver = await session.receive()
            # A poll shows no sign of life.  The next request comes after answers on other connections, which are those
            # of the process that has the session, since a balancer sends all else anywhere.
            for _ in range(3):
                await session.post(b"")
        return session.receiver

    @over(*HTTP)
    async def test_second(self, transport: Transport) -> None:
        """
        A second receiver is told that there is one and ends; the first stays as it was.
        """
        for other in HTTP:
            session = self.session(transport)
            first = await self.attached(session)
            for _ in range(2):
                second = await session.receive(other)
                self.assertEqual(await second.rest(), [BUSY], other)
            await session.send("x")
            self.assertEqual(messages(await first.frame()), ["x"], other)

    @over(*HTTP)
    async def test_afterTheSecond(self, transport: Transport) -> None:
        """
        That a second receiver was sent away does not end the session, nor does it open another.
        """
        session = self.session(transport)
        first = await self.attached(session)
        second = await session.receive()
        self.assertEqual(await second.rest(), [BUSY])
        second.abort()
        await session.send("x" * 4096)
        self.assertEqual(messages(await first.frame()), ["x" * 4096])
        self.assertEqual(await first.rest(), [])
        await session.send("y")
        self.assertEqual(messages(await (await session.receive()).frame()), ["y"])


class CutTests(ReceiverTests):
    """
    Receivers whose connection breaks.
    """

    # Inherited for attached() alone.
    test_second = None
    test_afterTheSecond = None

    async def begunAnew(self, session: HTTPSession) -> None:
        """
        Fail unless the id begins anew, or tells that it was interrupted.
        """
        session.receiver = None
        found: list[str | None] = []

        async def attempt() -> bool:
            receiver = await session.receive(XHR_STREAMING)
            frame = await receiver.frame()
            found.append(frame)
            if frame == BUSY:
                # The server has not seen the end of the first connection yet.
                receiver.finish()
                return False
            if frame == "o":
                await session.send("new")
                self.assertEqual(messages(await receiver.frame()), ["new"])
            return True

        await self.eventually(attempt)
        self.assertIn(found[-1], ("o", 'c[1002,"Connection interrupted"]'))

    @over(*HTTP)
    async def test_aborted(self, transport: Transport) -> None:
        """
        A receiver that is reset ends the session.
        """
        session = self.session(transport)
        (await self.attached(session)).abort()
        await self.begunAnew(session)

    @over(*HTTP)
    async def test_closed(self, transport: Transport) -> None:
        """
        A receiver that is closed in the orderly way, but by the client, ends the session too.
        """
        session = self.session(transport)
        (await self.attached(session)).finish()
        await self.begunAnew(session)

    @over(*STREAMING)
    async def test_afterMessages(self, transport: Transport) -> None:
        """
        A receiver that has brought messages ends the session all the same.
        """
        session = self.session(transport)
        receiver = await self.attached(session)
        await session.send("x")
        self.assertEqual(messages(await receiver.frame()), ["x"])
        receiver.abort()
        await self.begunAnew(session)

    @over(*HTTP)
    async def test_noMoreMessages(self, transport: Transport) -> None:
        """
        A session that was cut takes no more messages.
        """
        session = self.session(transport)
        (await self.attached(session)).abort()

        async def attempt() -> bool:
            response, _ = await session.post(b"[]")
            return response.status == 404

        await self.eventually(attempt)

    @over(*HTTP)
    async def test_endOfResponse(self, transport: Transport) -> None:
        """
        A connection that goes after the server has ended the response does the session no harm.
        """
        session = await self.session(transport).open()
        receiver = session.receiver
        if transport.streams:
            await session.send("x" * 4096)
            await receiver.frame()
        self.assertEqual(await receiver.rest(), [])
        receiver.abort()
        await receiver.wire.gone()
        session.receiver = None
        await session.send("y")
        self.assertEqual(await session.messages(1), ["y"])


class CloseTests(ConformanceCase):
    """
    Sessions that the application closes.
    """

    @over(*HTTP)
    async def test_repeated(self, transport: Transport) -> None:
        """
        The close frame comes after the open frame and is repeated to every later receiver, of any transport.
        """
        session = await self.session(transport, "/close").open()
        self.assertEqual(await session.frame(), AWAY)
        for other in (*HTTP, *HTTP):
            receiver = await session.receive(other)
            self.assertEqual(await receiver.rest(), [AWAY], other)

    @over(*STREAMING)
    async def test_unlinked(self, transport: Transport) -> None:
        """
        A close unlinks the receiver at once, so the next gets the close frame though the first may still stand.
        """
        session = await self.session(transport, "/close").open()
        first = session.receiver
        self.assertEqual(await first.frame(), AWAY)
        second = await session.receive()
        self.assertEqual(await second.rest(), [AWAY])
        self.assertEqual(await first.rest(), [])

    @over(*HTTP)
    async def test_cutAfterwards(self, transport: Transport) -> None:
        """
        A connection that breaks after the close frame does not change how the session has ended.
        """
        session = await self.session(transport, "/close").open()
        self.assertEqual(await session.frame(), AWAY)
        session.receiver.abort()
        await session.receiver.wire.gone()
        receiver = await session.receive()
        self.assertEqual(await receiver.rest(), [AWAY])

    async def test_noMessagesTaken(self) -> None:
        """
        A message for a closed session does not change how it has ended.
        """
        session = await self.session(XHR, "/close").open()
        self.assertEqual(await session.frame(), AWAY)
        await session.post(b'["x"]')
        self.assertEqual(await (await session.receive()).rest(), [AWAY])

    async def test_websocket(self) -> None:
        """
        After the close frame the server closes the WebSocket with 1000.
        """
        socket = await self.client.websocket(f"/close{self.newPath()}/websocket")
        self.assertEqual(await socket.message(), "o")
        self.assertEqual(await socket.message(), AWAY)
        frame = await socket.ending()
        self.assertIsNotNone(frame, "the connection went without a close frame")
        self.assertEqual(frame.closeCode, 1000)

    async def test_rawWebSocket(self) -> None:
        """
        A raw WebSocket is closed with the code and the reason themselves, and with nothing before.
        """
        socket = await self.client.websocket("/close/websocket")
        frame = await socket.message()
        self.assertIsInstance(frame, Frame)
        self.assertEqual((frame.closeCode, frame.closeReason), (3000, "Go away!"))


class WebSocketLifeTests(ConformanceCase):
    """
    Sessions on a WebSocket.
    """

    async def test_sameIdAgain(self) -> None:
        """
        An id may be used again, one WebSocket after the other.
        """
        path = self.newPath()
        for number in range(3):
            session = await self.session(WEBSOCKET, path=path).open()
            await session.send(str(number))
            self.assertEqual(await session.messages(1), [str(number)])
            session.socket.finish()

    async def test_sameIdTogether(self) -> None:
        """
        An id may be used by many WebSockets at the same time, and they have nothing to do with each other.
        """
        path = self.newPath()
        sessions = [await self.session(WEBSOCKET, path=path).open() for _ in range(3)]
        for number, session in enumerate(sessions):
            await session.send(str(number))
        for number, session in enumerate(sessions):
            self.assertEqual(await session.messages(1), [str(number)])
        sessions[0].socket.abort()
        await sessions[1].send("on")
        self.assertEqual(await sessions[1].messages(1), ["on"])

    async def test_sameIdAsHTTP(self) -> None:
        """
        A WebSocket and a session over HTTP with the same id have nothing to do with each other.
        """
        path = self.newPath()
        first = await self.session(XHR, path=path).open()
        second = await self.session(WEBSOCKET, path=path).open()
        await first.send("http")
        await second.send("websocket")
        self.assertEqual(await second.messages(1), ["websocket"])
        self.assertEqual(await first.messages(1), ["http"])
        second.socket.finish()
        await second.socket.wire.gone()
        await first.send("on")
        self.assertEqual(await first.messages(1), ["on"])

    async def test_noTrace(self) -> None:
        """
        With its WebSocket the session is gone: the id is unknown to senders and new to receivers.
        """
        session = await self.session(WEBSOCKET).open()
        session.socket.finish()
        await session.socket.wire.gone()
        over = self.session(XHR, path=session.path)
        response, _ = await over.post(b'["x"]')
        self.assertEqual(response.status, 404)
        self.assertEqual(await over.frame(), "o")

    async def test_leavesBroadcast(self) -> None:
        """
        WebSockets that were cut, between frames or within one, do not disturb the others of their service.
        """
        stays = await self.session(WEBSOCKET, "/broadcast").open()
        for part in (b"", b"\x81", b"\x81\xff\0\0", b"\x81\x85\1\2\3\4ab"):
            for leave in ("abort", "finish"):
                goes = await self.session(WEBSOCKET, "/broadcast").open()
                goes.socket.write(part)
                getattr(goes.socket, leave)()
                await stays.send("x")
                self.assertEqual(await stays.messages(1), ["x"])


class RefusedUpgradeTests(ConformanceCase):
    """
    Requests that do not become a WebSocket.
    """

    def paths(self) -> list[str]:
        """
        The URLs of both WebSockets.
        """
        return ["/echo/websocket", f"/echo{self.newPath()}/websocket"]

    async def test_noUpgrade(self) -> None:
        """
        A GET that does not ask for a WebSocket answers 400.
        """
        for path in self.paths():
            for headers in ([], [("Connection", "keep-alive")], [("Sec-WebSocket-Version", "13")]):
                response, _ = await self.client.fetch("GET", path, headers)
                self.assertEqual(response.status, 400, (path, headers))

    async def test_connectionClose(self) -> None:
        """
        A GET whose C{Connection} says C{close} and not C{Upgrade} answers 400.
        """
        for path in self.paths():
            headers = [(name, value) for name, value in upgradeHeaders() if name != "Connection"]
            response, _ = await self.client.fetch("GET", path, [*headers, ("Connection", "close")])
            self.assertEqual(response.status, 400, path)

    async def test_otherMethods(self) -> None:
        """
        Any other method answers 405 with an empty body, whether it asks for a WebSocket or not.
        """
        for path in self.paths():
            for method in ("POST", "PUT", "OPTIONS", "DELETE"):
                response, body = await self.client.fetch(method, path, body=b"")
                self.assertEqual((response.status, body), (405, b""), (method, path))
                self.assertIn("GET", response.headers.tokens("Allow"))
                self.assertNotIn("Content-Type", response.headers)

    async def test_serverLivesOn(self) -> None:
        """
        After a refused upgrade the URL still takes a right one.
        """
        for path, first in zip(self.paths(), (None, "o")):
            await self.client.fetch("GET", path)
            socket = await self.client.websocket(path)
            if first is not None:
                self.assertEqual(await socket.message(), first)
            socket.sendText('["x"]')
            self.assertEqual(await socket.message(), 'a["x"]' if first else '["x"]')

    async def test_connectionList(self) -> None:
        """
        C{Upgrade} may be one of several items of C{Connection}, in any case, as some browsers send it.
        """
        for path in self.paths():
            wire = await self.client.connect()
            headers = [(name, value) for name, value in upgradeHeaders() if name not in ("Connection", "Upgrade")]
            headers += [("Connection", "keep-alive, upgrade"), ("Upgrade", "WebSocket")]
            response = await wire.request("GET", self.client.path + path, headers)
            self.assertEqual(response.status, 101)


class KeepAliveTests(ConformanceCase):
    """
    Several requests on one connection.
    """

    async def test_http11(self) -> None:
        """
        Under HTTP/1.1 one connection serves one request after the other, whatever they are.
        """
        wire = await self.client.connect()
        base = self.client.path + "/echo"
        session = base + self.newPath()
        form = [("Content-Type", "application/x-www-form-urlencoded")]
        for method, path, headers, body, status, answer in (
            ("GET", base, [], None, 200, b"Welcome to SockJS!\n"),
            ("GET", base + "/info", [], None, 200, None),
            ("OPTIONS", session + "/xhr", [], None, 204, b""),
            ("POST", session + "/xhr", [], b"", 200, b"o\n"),
            ("POST", session + "/xhr_send", [], b'["x"]', 204, b""),
            ("POST", session + "/xhr", [], b"", 200, b'a["x"]\n'),
            ("POST", session + "/jsonp_send", form, b"d=%5B%22y%22%5D", 200, b"ok"),
            ("GET", session + "/jsonp?c=x", [], None, 200, b'/**/x("a[\\"y\\"]");\r\n'),
            ("GET", base + "/iframe.html", [], None, 200, None),
            ("POST", session + "/xhr_send", [], b"[]", 204, b""),
            ("GET", base + "/", [], None, 200, b"Welcome to SockJS!\n"),
        ):
            response = await wire.request(method, path, headers, body)
            found = await response.body()
            self.assertEqual(response.status, status, path)
            if answer is not None:
                self.assertEqual(found, answer, path)
            self.assertNotIn("close", response.headers.tokens("Connection"), path)

    async def test_afterErrors(self) -> None:
        """
        Under HTTP/1.1 an error leaves the connection usable, unless the answer says that it is closed.
        """
        wire = await self.client.connect()
        base = self.client.path + "/echo"
        for method, path, body, status in (
            ("GET", "/nothing", None, 404),
            ("POST", "/info", b"", 405),
            ("PUT", "/a/a/xhr", b"some body", 405),
            ("GET", "/a/a/jsonp", None, 500),
            ("POST", f"{self.newPath()}/xhr_send", b'["x"]', 404),
        ):
            response = await wire.request(method, base + path, body=body)
            await response.body()
            self.assertEqual(response.status, status, path)
            if "close" in response.headers.tokens("Connection"):
                wire = await self.client.connect()
            again = await wire.request("GET", base)
            self.assertEqual((again.status, await again.body()), (200, b"Welcome to SockJS!\n"), path)

    @over(*STREAMING)
    async def test_afterStreaming(self, transport: Transport) -> None:
        """
        Under HTTP/1.1 a streaming response that has ended leaves the connection to the next one.
        """
        session = self.session(transport)
        wire = await self.client.connect()
        path = self.client.path + transport.path("/echo" + session.path)
        body = b"" if transport.method == "POST" else None
        for first in ("o", None):
            wire.send(transport.method, path, body=body)
            receiver = Receiver(transport, wire)
            if first:
                self.assertEqual(await receiver.frame(), first)
            else:
                await receiver.response()
            await session.send("x" * 4096)
            self.assertEqual(await receiver.rest(), ['a["' + "x" * 4096 + '"]'])
            if self.isProxied and "close" in (await receiver.response()).headers.tokens("Connection"):
                wire = await self.client.connect()  # a proxy may have reasons of its own

    async def test_http10(self) -> None:
        """
        Under HTTP/1.0 every answer has a length or ends with the connection, and none is chunked.
        """
        session = await self.session(XHR).open()
        for headers in ([], [("Connection", "keep-alive")], [("Connection", "close")]):
            for method, path, body, status in (
                ("GET", "", None, 200),
                ("GET", "/info", None, 200),
                ("GET", "/iframe.html", None, 200),
                ("GET", "/nothing", None, 404),
                ("POST", "/info", b"", 405),
                ("GET", "/a/a/jsonp", None, 500),
                ("OPTIONS", f"{self.newPath()}/xhr", None, 204),
                ("POST", f"{self.newPath()}/xhr", b"", 200),
                ("GET", f"{self.newPath()}/jsonp?c=x", None, 200),
                ("POST", f"{session.path}/xhr_send", b'["x"]', 204),
                ("POST", f"{session.path}/xhr_send", b"", 500),
            ):
                response = await self.client.request(method, "/echo" + path, headers, body, version="1.0")
                self.assertEqual(response.status, status, path)
                self.assertNotIn("Transfer-Encoding", response.headers, path)
                # Without a length this waits for the end of the connection.
                await response.body()

    async def test_http10KeepAlive(self) -> None:
        """
        Under HTTP/1.0 a connection that the server promises to keep serves the next request.
        """
        wire = await self.client.connect()
        for path in ("/echo", "/echo/info", "/echo/iframe.html", "/echo"):
            response = await wire.request("GET", self.client.path + path, [("Connection", "keep-alive")], version="1.0")
            self.assertEqual(response.status, 200, path)
            await response.body()
            kept = [item.lower() for item in response.headers.tokens("Connection")]
            if response.length is None or "keep-alive" not in kept:
                wire = await self.client.connect()
