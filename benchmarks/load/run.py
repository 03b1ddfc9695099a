# -*- test-case-name: tests.test_benchmarks -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
One run: sessions are opened, load is put on them and measured, and what is still on its way is waited for.
"""

from __future__ import annotations

import math
import resource
from collections import deque
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks.load.loop import Loop
from benchmarks.load.messages import Errors, Messages, Receiver
from benchmarks.load.pace import Pace
from benchmarks.load.sessions import TRANSPORTS, Session
from benchmarks.procstat import ProcessState, readProcess, total

__all__ = ["MODES", "Settings", "quantile", "run"]

_SETTLE = 0.2
_DRAIN = 5.0
_STALL = 10.0
_STEP = 0.05

#: Connections that one address may have opened in a minute, less than there are ports.
_PORTS = 20_000

#: Seconds that a server may be behind by when messages are sent by the clock.
_BEHIND = 8.0


@dataclass(frozen=True)
class Settings:
    """
    What to do.

    @ivar others: more addresses of the same service, for sessions to take in turn.

    @ivar rate: for the modes C{echo} and C{fanout}: so many messages a second, whether they come or not; with 0, each
        session, or the one that sends to all, keeps C{window} messages on their way.

    @ivar wait: whether to sleep until the next message is due. Looking all the time is more exact, and takes a core.

    @ivar pid: the server's process.

    @ivar watch: more processes to report on, by a name for each group of them.
    """

    url: str
    mode: str = "echo"
    transport: str = "websocket"
    conns: int = 1
    size: int = 64
    window: int = 1
    rate: float = 0
    duration: float = 5
    warmup: float = 1
    ramp: int = 30
    wait: bool = False
    pid: int | None = None
    others: tuple[str, ...] = ()
    watch: dict[str, list[int]] = field(default_factory=dict)
    sources: int = 1
    open_timeout: float = 10


class _Sample(NamedTuple):
    """
    Where the counters stood at a moment.
    """

    time: float
    units: int
    messages: int
    frames: int
    own: float
    server: ProcessState | None
    watched: dict[str, ProcessState]


def quantile(times: list[tuple[float, int]], part: float) -> float:
    """
    @param times: values, sorted, with how often each was seen.

    @return: the least value that C{part} of them do not exceed.
    """
    if not times:
        return 0.0
    wanted = part * sum(count for _, count in times)
    for value, count in times:
        wanted -= count
        if wanted <= 0:
            return value
    return times[-1][0]


def _service(url: str) -> tuple[tuple[str, int], str]:
    """
    @return: the address of a service, and its path.
    """
    parts = urlsplit(url)
    return (parts.hostname or "127.0.0.1", parts.port or 80), parts.path.rstrip("/")


class _Run:
    """
    What all modes have in common.

    @ivar units: what is counted: messages that came, deliveries, or sessions.
    """

    unit = "messages"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._services = [_service(url) for url in (settings.url, *settings.others)]
        self.loop = Loop(self._sources())
        self.errors = Errors()
        self.sessions = [self._session(number) for number in range(settings.conns)]
        self.waiting = self.sessions[::-1]
        self.opening = self.open = self.opened_ = 0
        self.units = self.messages = self.frames = 0
        self.loaded = self.measuring = False
        self.latencies: list[tuple[float, int]] = []
        self.last = 0.0
        self.pace: Pace | None = None

    def _sources(self) -> int:
        return max(self.settings.sources, self.settings.conns * 2 // _PORTS + 1)

    def _session(self, number: int) -> Session:
        address, prefix = self._services[number % len(self._services)]
        session: Session = TRANSPORTS[self.settings.transport](number, self.loop, address, prefix, self)
        return session

    # -- what the sessions tell

    def opened(self, session: Session) -> None:
        """
        A session is open.
        """
        self.opening -= 1
        self.open += 1
        self.opened_ += 1

    def received(self, session: Session, content: bytes) -> None:
        """
        Messages came where none was expected.
        """
        self.errors.corrupt += 1

    def progress(self, session: Session) -> None:
        """
        A session may send.
        """

    def ended(self, session: Session, reason: str) -> None:
        """
        A session is gone.
        """
        if session.wasOpen:
            self.open -= 1
        else:
            self.opening -= 1
        if reason:
            self.errors.note(reason)
            if session.wasOpen:
                self.errors.lost += 1
            else:
                self.errors.openFailed += 1

    # -- the phases

    def openWaiting(self, limit: int) -> None:
        """
        Begin to open sessions, so that C{limit} are being opened.
        """
        while self.waiting and self.opening < limit:
            session = self.waiting.pop()
            session.since = perf_counter()
            self.opening += 1
            session.open()

    def ramp(self) -> None:
        """
        Open all sessions.
        """
        start = checked = perf_counter()
        while self.waiting or self.opening:
            self.openWaiting(self.settings.ramp)
            self.loop.turn(_STEP)
            now = perf_counter()
            if now - checked > _STEP:
                checked = now
                self.checkTimeouts(now)
        self.rampTime = perf_counter() - start

    def checkTimeouts(self, now: float) -> None:
        """
        Give up sessions that take too long to open or to close.
        """
        limit = now - self.settings.open_timeout
        for session in self.sessions:
            if session.since and session.since < limit and not session.gone:
                if session.isClosing:
                    session.fail("timeout while closing")
                elif not session.wasOpen:
                    session.fail("timeout while opening")

    def period(self, senders: int) -> int:
        """
        @param senders: how many sessions send.

        @return: how many different messages each needs, so that none that is on its way is like another.
        """
        rate = self.settings.rate
        return math.ceil(rate * _BEHIND / senders) + 16 if rate else 4 * self.settings.window

    def start(self) -> None:
        """
        Put the load on.
        """
        self.last = perf_counter()
        if self.settings.rate:
            self.pace = Pace(self.settings.rate, self.last)

    def tick(self, now: float) -> None:
        """
        Called in every turn while there is load.
        """

    def turns(self, seconds: float) -> None:
        """
        Let it run for some time.
        """
        end = perf_counter() + seconds
        turn = self.loop.turn
        while (now := perf_counter()) < end:
            self.tick(now)
            turn(self.timeout)
            if self.isStuck(now):
                break

    @property
    def timeout(self) -> float:
        """
        How long a turn may wait.
        """
        if self.pace is None or not self.loaded:
            return _STEP
        return min(_STEP, max(0.0, self.pace.next - perf_counter())) if self.settings.wait else 0.0

    def isStuck(self, now: float) -> bool:
        """
        @return: whether going on makes no sense.
        """
        if now - self.last > _STALL:
            self.errors.stalled = 1
            return True
        return not self.open

    def isDrained(self) -> bool:
        """
        @return: whether all has come that was sent.
        """
        return True

    def sample(self) -> _Sample:
        """
        @return: where the counters stand.
        """
        usage = resource.getrusage(resource.RUSAGE_SELF)
        server = None if self.settings.pid is None else readProcess(self.settings.pid)
        own = usage.ru_utime + usage.ru_stime
        watched = {name: total(map(readProcess, pids)) for name, pids in self.settings.watch.items()}
        return _Sample(perf_counter(), self.units, self.messages, self.frames, own, server, watched)

    def go(self) -> dict[str, Any]:
        """
        Do it all.

        @return: the figures.
        """
        settings = self.settings
        before = self.sample()
        self.ramp()
        self.last = perf_counter()
        self.turns(_SETTLE)
        ramped = self.sample()
        self.last = perf_counter()
        self.loaded = True
        self.start()
        self.turns(settings.warmup)
        begin = self.sample()
        self.measuring = True
        self.turns(settings.duration)
        end = self.sample()
        self.loaded = self.measuring = False
        deadline = perf_counter() + _DRAIN
        while not self.isDrained() and perf_counter() < deadline:
            self.loop.turn(_STEP)
        if not self.isDrained():
            self.errors.missing += 1
        self.turns(_SETTLE)  # what comes twice may come late
        self.loop.close()
        return self.figures(before, ramped, begin, end)

    def figures(self, before: _Sample, ramped: _Sample, begin: _Sample, end: _Sample) -> dict[str, Any]:
        """
        @return: what was measured, by names.
        """
        settings = self.settings
        time = end.time - begin.time
        units = end.units - begin.units
        figures: dict[str, Any] = {
            "mode": settings.mode,
            "transport": settings.transport,
            "url": settings.url,
            "conns": settings.conns,
            "size": settings.size,
            "window": settings.window,
            "rate": settings.rate,
            "sessions_opened": self.opened_,
            "ramp_s": getattr(self, "rampTime", 0.0),
            "measured_s": time,
            self.unit: units,
            f"{self.unit}_per_s": units / time,
            "messages_per_frame": (end.messages - begin.messages) / max(end.frames - begin.frames, 1),
            "client_cpu_percent": 100 * (end.own - begin.own) / time,
        }
        times = sorted(self.latencies)
        kind = "opening" if settings.mode == "connect" else "latency"
        for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
            figures[f"{kind}_{name}_us"] = quantile(times, part) * 1e6
        if before.server and ramped.server and begin.server and end.server:
            cpu = end.server.cpu - begin.server.cpu
            each = "server_cpu_us_per_" + ("session" if settings.mode == "connect" else "message")
            opened = max(self.opened_, 1)
            figures |= {
                "server_cpu_s": cpu,
                "server_cpu_user_s": end.server.user - begin.server.user,
                "server_cpu_system_s": end.server.system - begin.server.system,
                "server_cpu_percent": 100 * cpu / time,
                each: cpu * 1e6 / max(units, 1),
                "server_cpu_us_per_opening": (ramped.server.cpu - before.server.cpu) * 1e6 / opened,
                "server_rss_start_kb": before.server.rss,
                "server_rss_end_kb": end.server.rss,
                "server_rss_ramped_kb_per_conn": (ramped.server.rss - before.server.rss) / opened,
                "server_rss_end_kb_per_conn": (end.server.rss - before.server.rss) / opened,
            }
        if settings.watch:
            names = settings.watch
            figures["watched"] = {name: self._watched(name, before, ramped, begin, end) for name in names}
        errors = self.errors
        figures |= {
            "open_failed": errors.openFailed,
            "sessions_lost": errors.lost,
            "messages_missing": errors.missing,
            "messages_out_of_order": errors.outOfOrder,
            "messages_corrupt": errors.corrupt,
            "stalled": errors.stalled,
            "failures": errors.reasons,
            "result": "FAILED" if errors else "ok",
        }
        return figures

    def _watched(self, name: str, before: _Sample, ramped: _Sample, begin: _Sample, end: _Sample) -> dict[str, float]:
        """
        @return: what a group of processes has used: for the load, for opening the sessions, and in memory.
        """
        used = [sample.watched[name] for sample in (before, ramped, begin, end)]
        return {
            "cpu_user_s": used[3].user - used[2].user,
            "cpu_system_s": used[3].system - used[2].system,
            "cpu_opening_s": used[1].cpu - used[0].cpu,
            "rss_start_kb": used[0].rss,
            "rss_ramped_kb": used[1].rss,
            "rss_end_kb": used[3].rss,
        }


class _Echo(_Run):
    """
    Every session sends, and gets its messages back.
    """

    def start(self) -> None:
        period = self.period(len(self.sessions))
        for session in self.sessions:
            session.sent = Messages(session.number, self.settings.size, period)
            session.receiver = Receiver(session.sent, self.errors)
        super().start()
        if self.pace is None:
            for session in self.sessions:
                self._top(session)

    def tick(self, now: float) -> None:
        if self.pace is not None and self.loaded:
            for departure in self.pace.due(now):
                self._issue(self.sessions[self.pace.sent % len(self.sessions)], departure, 1)

    def _issue(self, session: Session, now: float, count: int) -> None:
        receiver = session.receiver
        if not session.isOpen or receiver is None:
            return
        if receiver.outstanding + count >= receiver.messages.period:
            session.fail("the server does not keep up")
            return
        receiver.expect(now, count)
        session.send(count)

    def _top(self, session: Session) -> None:
        receiver = session.receiver
        if receiver is not None:
            room = self.settings.window - receiver.outstanding
            if room > 0:
                self._issue(session, perf_counter(), room)

    def received(self, session: Session, content: bytes) -> None:
        receiver = session.receiver
        if receiver is None:
            self.errors.corrupt += 1
            return
        count = receiver.take(content)
        now = self.last = perf_counter()
        self.units += count
        self.messages += count
        self.frames += 1
        departures = receiver.departures(count)
        if self.measuring:
            self.latencies += [(now - departure, some) for departure, some in departures]

    def progress(self, session: Session) -> None:
        if self.loaded and not self.settings.rate:
            self._top(session)

    def isDrained(self) -> bool:
        return not any(s.isOpen and s.receiver is not None and s.receiver.outstanding for s in self.sessions)


class _Fanout(_Run):
    """
    The first session sends, and all get it: by the clock, or so that at most C{window} messages are not yet at all
    their receivers.

    What has departed is noted once and not with each receiver: there are thousands of them.
    """

    unit = "deliveries"

    def start(self) -> None:
        period = self.period(1)
        sent = Messages(0, self.settings.size, period)
        self.sessions[0].sent = sent
        self._departures = [0.0] * period
        self._departed = self._completed = 0
        self._missing: deque[int] = deque()
        self._delivered = [0] * len(self.sessions)
        for session in self.sessions:
            session.receiver = Receiver(sent, self.errors)
        super().start()
        self._top()

    def tick(self, now: float) -> None:
        if self.pace is not None and self.loaded:
            for departure in self.pace.due(now):
                self._issue(departure, 1)

    def _top(self) -> None:
        room = self.settings.window - len(self._missing)
        if self.pace is None and room > 0 and self.loaded:
            self._issue(perf_counter(), room)

    def _issue(self, now: float, count: int) -> None:
        sender = self.sessions[0]
        if not sender.isOpen:
            return
        period = len(self._departures)
        if len(self._missing) + count > period:
            sender.fail("the server does not keep up")
            return
        for _ in range(count):
            self._departures[self._departed % period] = now
            self._departed += 1
        self._missing.extend([self.open] * count)
        sender.send(count)

    def received(self, session: Session, content: bytes) -> None:
        receiver = session.receiver
        if receiver is None:
            self.errors.corrupt += 1
            return
        first = self._delivered[session.number]
        receiver.outstanding = self._departed - first
        count = receiver.take(content)
        now = self.last = perf_counter()
        self.units += count
        self.messages += count
        self.frames += 1
        if self.measuring:
            departures = self._departures
            for place in range(first, first + count):
                self.latencies.append((now - departures[place % len(departures)], 1))
        self._account(session.number, count)

    def _account(self, number: int, count: int) -> None:
        delivered = self._delivered[number]
        self._delivered[number] = delivered + count
        missing = self._missing
        for index in range(delivered - self._completed, delivered - self._completed + count):
            missing[index] -= 1
        if missing and not missing[0]:
            while missing and not missing[0]:
                missing.popleft()
                self._completed += 1
            self._top()

    def ended(self, session: Session, reason: str) -> None:
        super().ended(session, reason)
        if session.receiver is not None:
            owed = self._departed - self._delivered[session.number]
            self.errors.missing += owed
            self._account(session.number, owed)

    def isDrained(self) -> bool:
        return not self._missing

    def figures(self, before: _Sample, ramped: _Sample, begin: _Sample, end: _Sample) -> dict[str, Any]:
        return super().figures(before, ramped, begin, end) | {"messages_sent": self._departed}


class _Idle(_Run):
    """
    Sessions are held.
    """

    unit = "messages"

    def isStuck(self, now: float) -> bool:
        return not self.open


class _Connect(_Run):
    """
    Sessions are opened and closed again, C{conns} at a time.
    """

    unit = "sessions"

    def _sources(self) -> int:
        return max(self.settings.sources, 100)

    def ramp(self) -> None:
        self.rampTime = 0.0

    def tick(self, now: float) -> None:
        if self.loaded:
            self.openWaiting(self.settings.conns)

    def opened(self, session: Session) -> None:
        super().opened(session)
        now = self.last = perf_counter()
        self.units += 1
        if self.measuring:
            self.latencies.append((now - session.since, 1))
        session.since = now
        session.close()

    def ended(self, session: Session, reason: str) -> None:
        super().ended(session, reason)
        fresh = self._session(session.number)
        self.sessions[session.number] = fresh
        self.waiting.append(fresh)

    def isStuck(self, now: float) -> bool:
        self.checkTimeouts(now)
        return self.loaded and (now - self.last > _STALL or self.errors.openFailed > 100 + self.units)

    def isDrained(self) -> bool:
        return len(self.waiting) == self.settings.conns


MODES = {"echo": _Echo, "fanout": _Fanout, "idle": _Idle, "connect": _Connect}
"""
What can be done with sessions.
"""


def run(settings: Settings) -> dict[str, Any]:
    """
    @return: the figures of one run.
    """
    return MODES[settings.mode](settings).go()
