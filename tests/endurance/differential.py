# -*- test-case-name: tests.test_differential -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The proof that shortcuts are invisible.

Where txsockjs has a shortcut for what is common, the same streams of bytes, cut into the same pieces, go to a service
as it is and to one without the shortcut, which leaves everything to the libraries. What the application sees, what the
client gets and what is counted must be equal.

What is compared with what stands in a module of its own for each shortcut, see L{COMPARISONS}. A run is a script: plain
data which can be made by chance, cut down, written to a file and played again.
"""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from twisted.logger import LogLevel, globalLogBeginner, globalLogPublisher

__all__ = ["COMPARISONS", "Comparison", "Script", "comparison", "cut", "difference", "noting", "shrink"]

Step = tuple[Any, ...]

Outcome = dict[str, Any]
"""What is compared, by name."""


class Script(NamedTuple):
    """
    What happens.

    @ivar name: which shortcut it is for, a key of L{COMPARISONS}.
    @ivar settings: what holds from the beginning.
    @ivar steps: what happens then, one after the other.
    """

    name: str
    settings: dict[str, Any]
    steps: list[Step]


class Comparison(Protocol):
    """
    What the module of a shortcut has.
    """

    def make(self, chance: random.Random) -> Script:
        """
        @return: some script.
        """

    def play(self, script: Script, shortcut: bool) -> Outcome:
        """
        @return: what comes of it, with the shortcut or without; what may differ is left out.
        """


COMPARISONS = {"http": "tests.endurance.httpstreams", "websocket": "tests.endurance.websocketstreams"}
"""The modules, by the names of their shortcuts."""


def comparison(name: str) -> Comparison:
    """
    @return: what compares by that name.
    """
    return importlib.import_module(COMPARISONS[name])  # type: ignore[return-value]


# -- for the modules --------------------------------------------------------------------------------------------------


def cut(chance: random.Random, pieces: list[bytes]) -> list[bytes]:
    """
    Cut a stream, as networks do: not at all, where the sender did, anywhere, into crumbs.

    @param pieces: what the sender wrote at a time.
    """
    data = b"".join(pieces)
    way = chance.randrange(5)
    if way == 0 or len(data) < 2:
        return [data]
    if way == 1:
        return pieces
    if way == 2:
        # Where the sender did, here and there.
        joined = [b""]
        for piece in pieces:
            joined[-1] += piece
            if chance.random() < 0.3:
                joined.append(b"")
        return [piece for piece in joined if piece]
    most = len(data) - 1 if way == 3 else min(len(data) - 1, 200)
    places = sorted({chance.randint(1, most) for _ in range(chance.choice((1, 3, 10, 60)))})
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)])]


@contextmanager
def noting(events: list[str]) -> Iterator[None]:
    """
    Note what is logged as a warning or worse.
    """

    def observe(event: dict[str, Any]) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            events.append(repr(failure.value))
        elif event.get("log_level", LogLevel.info) > LogLevel.info:
            events.append(str(event.get("log_format")))

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)


# -- to compare -------------------------------------------------------------------------------------------------------


def difference(script: Script) -> str | None:
    """
    @return: how a script shows the shortcut, or L{None}.
    """
    compared = comparison(script.name)
    fast, slow = (_play(compared, script, shortcut) for shortcut in (True, False))
    found = [
        f"{name}: {_tell(fast.get(name), slow.get(name))}"
        for name in sorted({*fast, *slow})
        if fast.get(name) != slow.get(name)
    ]
    return "\n".join(found) or None


def _tell(fast: Any, slow: Any) -> str:
    """
    Say where two things differ for the first time.
    """
    if type(fast) is type(slow) and isinstance(fast, dict):
        key = next(key for key in [*fast, *slow] if fast.get(key) != slow.get(key))
        return f"{key!r}: {_tell(fast.get(key), slow.get(key))}"
    if type(fast) is type(slow) and isinstance(fast, list):
        at = next((at for at, pair in enumerate(zip(fast, slow)) if pair[0] != pair[1]), min(len(fast), len(slow)))
        if max(at, 1) < min(len(fast), len(slow)):
            return f"{at}: {_tell(fast[at], slow[at])}"
        fast, slow = fast[at:], slow[at:]
    return f"\n  with the shortcut    {fast!r:.1000}\n  without the shortcut {slow!r:.1000}"


def _play(compared: Comparison, script: Script, shortcut: bool) -> Outcome:
    try:
        return compared.play(script, shortcut)
    except Exception as error:
        return {"raised": repr(error)}


def shrink(script: Script, fails: Callable[[Script], bool]) -> Script:
    """
    Leave out of a script that fails what it fails without.
    """
    size = max(1, len(script.steps) // 2)
    while True:
        at = 0
        while at < len(script.steps):
            shorter = script._replace(steps=script.steps[:at] + script.steps[at + size :])
            if fails(shorter):
                script = shorter
            else:
                at += size
        if size == 1:
            return script
        size //= 2


# -- the command ------------------------------------------------------------------------------------------------------

_SHARE = 1000

_MOST = 3
"""How many findings of a share are told."""


class _Share(NamedTuple):
    """
    What a part of a run came to.
    """

    streams: int
    octets: int
    findings: list[Script]


def _run(job: tuple[str, str, int]) -> _Share:
    """
    @param job: the name of the shortcut, a seed, and the number of streams.
    """
    name, seed, wanted = job
    logToNobody()
    compared = comparison(name)
    octets = 0
    findings: list[Script] = []
    for number in range(1, wanted + 1):
        script = compared.make(random.Random(f"{seed}/{number}"))
        octets += sum(len(part) for step in script.steps for part in step if isinstance(part, bytes))
        if difference(script) is not None and len(findings) < _MOST:
            findings.append(script)
    return _Share(wanted, octets, findings)


def logToNobody() -> None:
    """
    Twisted would show failures on stderr, also those that are wanted.
    """
    try:
        globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    except Exception:
        pass


def run(name: str, streams: int, seed: int, jobs: int, directory: Path) -> int:
    """
    The long run.

    @return: the exit status.
    """
    shares = -(-streams // _SHARE)
    work = [(name, f"{seed}/{number}", min(_SHARE, streams - number * _SHARE)) for number in range(shares)]
    started, done, octets, findings = time.monotonic(), 0, 0, 0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for number, share in enumerate(pool.imap_unordered(_run, work), 1):
            done, octets = done + share.streams, octets + share.octets
            for script in share.findings:
                findings += 1
                _report(script, directory / f"{name}-{seed}-{findings}.txt")
            if number % 10 == 0 or number == shares:
                rate = done / (time.monotonic() - started)
                print(
                    f"{name}: {done} streams, {octets / 1e6:.0f} MB, {rate:.0f} streams/s, {findings} findings",
                    flush=True,
                )
    return 1 if findings else 0


def _report(script: Script, path: Path) -> None:
    script = shrink(script, lambda shorter: difference(shorter) is not None)
    why = difference(script) or "only once"
    path.parent.mkdir(parents=True, exist_ok=True)
    comment = "".join(f"# {ascii(line)[1:-1]}\n" for line in why.splitlines())
    path.write_text(f"{comment}{tuple(script)!a}\n", encoding="ascii")
    print(f"FINDING: {ascii(why)[:2000]}\n  {path}, {len(script.steps)} steps", flush=True)


def replay(path: Path) -> int:
    """
    Play the script of a finding.

    @return: the exit status.
    """
    why = difference(Script(*ast.literal_eval(path.read_text(encoding="ascii"))))
    print("nothing is wrong" if why is None else ascii(why).replace("\\n", "\n"))
    return 0 if why is None else 1


def main(arguments: Any) -> int:
    """
    @return: the exit status.
    """
    logToNobody()
    if arguments.replay:
        return replay(arguments.replay)
    statuses = [
        run(name, arguments.streams, arguments.seed, arguments.jobs, arguments.directory)
        for name in arguments.shortcut or COMPARISONS
    ]
    return max(statuses)


def options(parser: Any) -> None:
    """
    Say what the command takes.
    """
    parser.add_argument("--streams", type=int, default=100_000, help="how many for each shortcut; 100,000 by default")
    parser.add_argument("--shortcut", nargs="+", choices=sorted(COMPARISONS), help="which ones; all by default")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="makes a run repeatable"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many processes; 2 by default")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play the script of a finding again")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("build/differential"),
        help="where scripts of findings go; build/differential by default",
    )
