"""
A chat with rooms, for as many processes as there are::

    twistd -n sockjs --factory chat.Chat --app-dir examples

With C{--processes 4 --bus redis://127.0.0.1:6379/0} it is the same chat in four processes. A page gets into a room by
the URL: C{new SockJS("http://localhost:8081/?room=tea")}.
"""

from __future__ import annotations

from twisted.internet.protocol import Protocol
from zope.interface import implementer

from txsockjs.broadcast import Gap, channels, publish, subscribe
from txsockjs.interfaces import ISockJSProtocol


@implementer(ISockJSProtocol)
class Chat(Protocol):
    """
    One who chats.
    """

    channel: str | None = None

    def connectionMade(self):
        room = self.transport.requestFacts.args.get("room", ["lobby"])[0]
        channel = f"chat/{room}"
        try:
            subscribe(self, channel)
        except ValueError:  # the client chooses the name
            self.transport.close(4000, "There can't be such a room")
            return
        self.channel = channel

    def messageReceived(self, message):
        if self.channel is not None:
            publish(self.channel, message)

    def connectionLost(self, reason):
        if self.channel is not None:
            publish(self.channel, "* somebody has left")


@channels.onGap
def tellThem(gap: Gap) -> None:
    """
    Tell everybody in a room where messages may be missing.
    """
    for channel in gap.channels:
        for member in channels.members(channel):
            member.write("* some messages may be missing here")
