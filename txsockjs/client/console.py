# -*- test-case-name: tests.test_client_console -*-
"""
A console for SockJS: what is typed is sent line by line, and each message that comes is a line.

The process ends with one of the statuses below, and says why in one line.
"""

from __future__ import annotations

import getopt
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python import usage
from twisted.python.failure import Failure
from zope.interface import implementer

import txsockjs
from txsockjs.client.options import CLIENT_OPTIONS, CLIENT_TRANSPORTS, RAW_TRANSPORT, ClientOptions
from txsockjs.codec import encodeText
from txsockjs.errors import SessionDone
from txsockjs.interfaces import ISockJSProtocol
from txsockjs.options import OptionInfo

__all__ = ["CANNOT_CONNECT", "DONE", "INTERRUPTED", "LOST", "WRONG_USE", "Console", "Options", "main"]

DONE = 0
"""The session was closed in an orderly way, by either side."""

CANNOT_CONNECT = 1
"""There was no session."""

WRONG_USE = 2
"""The command line has a mistake."""

LOST = 3
"""The session was lost."""

INTERRUPTED = 130
"""Interrupted from the keyboard; the session was closed in an orderly way, if there was one."""

_LONGEST = 1048576
"""Bytes that a line may have."""

_FLUSH = 5.0
"""Seconds that whoever reads our output may take for what is left, at the end."""

_DERIVED = tuple(info for info in CLIENT_OPTIONS if info.name not in ("transports", "encoding"))

# A terminal obeys some of them, and messages come from elsewhere.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _help(info: OptionInfo) -> str:
    return f"{info.help} ({info.unit}) [default: {info.defaultText}]"


class Options(usage.Options):
    """
    The command line.

    @ivar url: the service.
    @ivar headers: what each request has.
    @ivar settings: the options of the client, as far as they were given.
    @ivar linger: the number of seconds to go on after the end of the input.
    @ivar authority: the name of a file with a certificate, if one was given.
    """

    synopsis = "Usage: python -m txsockjs [options] URL"

    optFlags = [
        ["raw", "r", f"speak plain WebSocket to the service's /websocket, as --transport {RAW_TRANSPORT} does"],
        ["quiet", "q", "say nothing but messages and errors"],
    ]
    optParameters = [[info.name.replace("_", "-"), None, None, _help(info)] for info in _DERIVED]

    longdesc = (
        "Connects to a SockJS service such as http://localhost:8081/echo. Each line of the input is sent as a message, "
        "and each message that comes is a line of the output; the rest is said on the standard error. The end of the "
        "input (Ctrl-D) or an interrupt (Ctrl-C) closes the session. Status: 0 after an orderly end, 1 when there was "
        "no session, 2 for a mistake in the command line, 3 when the session was lost, 130 after an interrupt."
    )

    def __init__(self) -> None:
        super().__init__()
        self.docs = {name: " ".join((text or "").split()) for name, text in self.docs.items()}
        self.url = ""
        self.headers: dict[str, str] = {}
        self.settings: dict[str, Any] = {}
        self.linger = 0.0
        self.authority: str | None = None
        self._transports: list[str] = []

    def opt_transport(self, names: str) -> None:
        """
        A transport to try, or several with commas. Can be given several times; they are tried in this order.
        [default: websocket,xhr-streaming,eventsource,xhr-polling]
        """
        self._transports += names.split(",")

    opt_t = opt_transport

    def opt_header(self, header: str) -> None:
        """
        A header of each request, as 'Name: value'. Can be given several times.
        """
        name, colon, value = header.partition(":")
        if not colon:
            raise usage.UsageError(f"--header {header}: it must be 'Name: value'")
        self.headers[name.strip()] = value.strip()

    opt_H = opt_header

    def opt_linger(self, seconds: str) -> None:
        """
        How long to go on after the end of the input, for answers (seconds) [default: 0]
        """
        try:
            self.linger = float(seconds)
        except ValueError:
            self.linger = -1
        if not 0 <= self.linger < float("inf"):
            raise usage.UsageError(f"--linger {seconds}: it must be a number of seconds")

    def opt_ca(self, file: str) -> None:
        """
        Trust the certificate in this file (PEM), and no other.
        """
        if not os.path.isfile(file):
            raise usage.UsageError(f"--ca {file}: there is no such file")
        self.authority = file

    def opt_version(self) -> NoReturn:
        """
        Show the version of txsockjs, and exit.
        """
        print(f"txsockjs {txsockjs.__version__}")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Read the command line. Options may stand behind the URL as well.

        @raise usage.UsageError: when there is a mistake in it.
        """
        words = sys.argv[1:] if options is None else list(options)
        try:
            given, rest = getopt.gnu_getopt(words, self.shortOpt, self.longOpt)
        except getopt.error as error:
            raise usage.UsageError(str(error)) from None
        first = [word for name, value in given for word in ((name, value) if self._takesValue(name) else (name,))]
        super().parseOptions([*first, "--", *rest])

    def _takesValue(self, flag: str) -> bool:
        if flag.startswith("--"):
            return f"{flag[2:]}=" in self.longOpt
        return f"{flag[1:]}:" in self.shortOpt

    def parseArgs(self, *arguments: str) -> None:
        """
        There is one URL.
        """
        if len(arguments) != 1:
            raise usage.UsageError(
                f"give the URL of one service, such as http://localhost:8081/echo, not {len(arguments)}"
            )
        self.url = arguments[0]

    def postOptions(self) -> None:
        """
        Check the settings.
        """
        if self["raw"]:
            if self._transports:
                raise usage.UsageError("--raw and --transport do not go together")
            self._transports = [RAW_TRANSPORT]
        for name in self._transports:
            if name not in CLIENT_TRANSPORTS:
                raise usage.UsageError(f"--transport {name}: there are {', '.join(CLIENT_TRANSPORTS)}")
        if self._transports:
            self.settings["transports"] = tuple(self._transports)
        for info in _DERIVED:
            flag = info.name.replace("_", "-")
            if self[flag] is not None:
                try:
                    self.settings[info.name] = info.parsed(self[flag])
                except ValueError as error:
                    raise usage.UsageError(f"--{flag} {self[flag]}: {error}") from None
        ClientOptions.build(self.settings)


@implementer(IHalfCloseableProtocol)
class _Terminal(LineReceiver):
    """
    Standard input and output.
    """

    delimiter = b"\n"
    MAX_LENGTH = _LONGEST

    def __init__(self, console: Console) -> None:
        self._console = console

    def lineReceived(self, line: bytes) -> None:
        """
        A line was typed.
        """
        self._console.typed(line.decode("utf-8", "replace"))

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        A line does not end.
        """
        self._console.wrong(f"a line of the input is longer than {_LONGEST} bytes")

    def readConnectionLost(self) -> None:
        """
        The input is at its end.
        """
        rest = self.clearLineBuffer()
        if rest:
            self.lineReceived(rest)
        self._console.inputEnded()

    def writeConnectionLost(self) -> None:
        """
        Nobody reads the output any more.
        """
        self._console.outputEnded()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        All is written.
        """
        self._console.flushed()


@implementer(ISockJSProtocol)
class _Talk(Protocol):
    """
    The session.
    """

    transport: Any
    console: Console

    def messageReceived(self, message: str) -> None:
        """
        A message came.
        """
        self.console.came(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The session is over.
        """
        self.console.lost(reason)


class Console:
    """
    From the command line to the exit status.

    @ivar status: with what the process is to end.
    """

    def __init__(self, reactor: Any, options: Options, endpoint: Any, makeTerminal: Any, isTerminal: bool) -> None:
        """
        @param reactor: the reactor, which is stopped at the end.

        @param options: the command line.

        @param endpoint: connects.

        @param makeTerminal: connects a protocol to the standard input and output.

        @param isTerminal: whether the output is shown by a terminal.
        """
        self.status = CANNOT_CONNECT
        self._reactor = reactor
        self._options = options
        self._endpoint = endpoint
        self._makeTerminal = makeTerminal
        self._isTerminal = isTerminal
        self._talk: _Talk | None = None
        self._terminal: Any = None
        self._connecting: Deferred[Any] | None = None
        self._lingering: IDelayedCall | None = None
        self._flushing: IDelayedCall | None = None
        self._interrupted: Deferred[None] | None = None
        self._ended = False

    def start(self) -> None:
        """
        Begin. To be called when the reactor runs.
        """
        self._reactor.addSystemEventTrigger("before", "shutdown", self._interrupt)
        talk = _Talk()
        talk.console = self
        self._connecting = connecting = connectProtocol(self._endpoint, talk)
        connecting.addCallbacks(self._connected, self._failed)

    def _connected(self, talk: Any) -> None:
        self._connecting = None
        self._talk = talk
        self.status = DONE
        self.note(f"connected to {self._options.url} by {talk.transport.transportName}")
        terminal = _Terminal(self)
        self._terminal = self._makeTerminal(terminal)
        # Neither side is read faster than the other one takes it.
        talk.transport.registerProducer(self._terminal, True)
        self._terminal.registerProducer(talk.transport, True)

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        if self._interrupted is None:
            self.wrong(f"can't connect: {failure.value}")
        self._finish()

    # -- what happens ---------------------------------------------------------------------------------------------

    def typed(self, line: str) -> None:
        """
        A line was typed.
        """
        if self._talk is not None:
            self._talk.transport.write(line)

    def came(self, message: str) -> None:
        """
        A message came.
        """
        if self._isTerminal:
            message = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", message)
        if self._terminal is not None:
            self._terminal.write(encodeText(message) + b"\n")

    def inputEnded(self) -> None:
        """
        The input is at its end.
        """
        if self._talk is not None:
            self._talk.transport.unregisterProducer()
            self._lingering = self._reactor.callLater(self._options.linger, self._leave)

    def outputEnded(self) -> None:
        """
        Nobody reads the output any more.
        """
        self._terminal.unregisterProducer()
        self._leave()

    def lost(self, reason: Failure) -> None:
        """
        The session is over.
        """
        self._talk = None
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        error = reason.value
        if isinstance(error, SessionDone):
            self.note(f"closed: {error.code} {error.reason}".rstrip())
        else:
            self.status = LOST
            self.wrong(str(error))
        self._finish()

    def wrong(self, what: str) -> None:
        """
        Say what is wrong.
        """
        _say(what)
        if self._talk is not None:
            self.status = LOST
            self._leave()

    def note(self, what: str) -> None:
        """
        Say what is good to know.
        """
        if not self._options["quiet"]:
            _say(what)

    # -- the end --------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        if self._talk is not None:
            self._talk.transport.unregisterProducer()
            self._talk.transport.close()

    def _interrupt(self) -> Deferred[None] | None:
        """
        The reactor is about to stop, which is our own doing once we have ended.
        """
        if self._ended:
            return None
        self._interrupted = Deferred()
        self.status = INTERRUPTED
        if self._connecting is not None:
            self._connecting.cancel()
        else:
            self._leave()
        return self._interrupted

    def _finish(self) -> None:
        """
        Let go of the terminal, when all is written.
        """
        if self._terminal is None:
            self.flushed()
            return
        self._terminal.unregisterProducer()
        self._flushing = self._reactor.callLater(_FLUSH, self.flushed)
        self._terminal.loseConnection()

    def flushed(self) -> None:
        """
        All is written, or nobody reads it.
        """
        if self._flushing is not None and self._flushing.active():
            self._flushing.cancel()
        if self._ended:
            return
        self._ended = True
        interrupted, self._interrupted = self._interrupted, None
        if interrupted is not None:
            self.status = INTERRUPTED
            interrupted.callback(None)
            return
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            pass


def _say(what: str) -> None:
    print(f"txsockjs: {what}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """
    Run the console.

    @param arguments: the command line, without the name of the program.

    @return: the status with which the process is to end.
    """
    options = Options()
    try:
        options.parseOptions(arguments)
        # Late: they install the reactor, and a mistake in the command line needs none.
        from twisted.internet import reactor, stdio

        from txsockjs.client.endpoint import SockJSClientEndpoint

        policy = None if options.authority is None else _policy(options.authority)
        endpoint = SockJSClientEndpoint(
            reactor, options.url, options.settings, headers=options.headers, tlsPolicy=policy
        )
    except (usage.UsageError, ValueError) as error:
        _say(f"{error} (--help shows what can be given)")
        return WRONG_USE
    console = Console(reactor, options, endpoint, stdio.StandardIO, sys.stdout.isatty())
    reactor.callWhenRunning(console.start)
    reactor.run()
    for descriptor in (0, 1):  # which a shell shares
        try:
            os.set_blocking(descriptor, True)
        except OSError:
            pass
    return console.status


def _policy(file: str) -> Any:
    from twisted.internet.ssl import Certificate
    from twisted.web.client import BrowserLikePolicyForHTTPS

    try:
        with open(file, "rb") as source:
            return BrowserLikePolicyForHTTPS(Certificate.loadPEM(source.read()))
    except Exception as error:
        raise usage.UsageError(f"--ca {file}: there is no certificate in it ({error})") from None
