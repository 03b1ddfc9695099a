# -*- test-case-name: tests.many.check_guide -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The commands of the deployment guide, as they stand there, in a fresh copy of the repository.

They are about the files and ports of a whole machine, so they are given one that looks like it: namespaces of their own
for processes, networks and mounts, with copies of what they change. That takes the rights of the superuser. What they
install is taken for installed.  Start it with::

    python -m twisted.trial tests.many.check_guide
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SkipTest, TestCase

from tests.processes import ROOT, Child, findProgram

__all__ = ["GuideTests"]

SECTIONS = ("Four processes", "Behind HAProxy", "Behind nginx")

TIME = 240.0

#: What a fresh clone does not have.
NOT_CLONED = (".git", "work", ".venv", "venv", "build", "_trial_temp*", "__pycache__", ".*cache")

#: What is changed, and shall not be changed for real.
PLACES = ("/etc/haproxy", "/etc/nginx", "/run", "/var/log")

MACHINE = """
set -e
ip link set lo up 2>/dev/null || "$PYTHON" -c '
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))'
for place in $PLACES; do
    mkdir -p "$COPIES$place"
    cp -a "$place/." "$COPIES$place/"
    mount --bind "$COPIES$place" "$place"
done
exec bash "$SCRIPT"
"""


class Command(NamedTuple):
    """
    A command of the guide.
    """

    text: str
    output: str
    """What the guide says that it writes; empty where it says nothing."""


def commands(page: str) -> Iterator[Command]:
    """
    @return: what stands in the sections of a page, in its order.
    """
    for title in SECTIONS:
        body = page.split(f"\n{title}\n{'-' * len(title)}\n", 1)[1]
        body = re.split(r"\n[^\n]+\n---+\n", body, maxsplit=1)[0]
        for block in re.findall(r"\.\. code-block:: console\n\n((?:    [^\n]*\n)+)", body):
            text, output = "", ""
            for line in block.splitlines():
                if line[4:6] in ("$ ", "# "):
                    if text:
                        yield Command(text, output)
                    text, output = line[6:], ""
                else:
                    output += line[4:] + "\n"
            yield Command(text, output)


def isInstalling(command: Command) -> bool:
    """
    @return: whether a command does nothing but to install something.
    """
    return command.text.startswith(("apt-get install", "python3 -m venv", "venv/bin/pip install"))


class GuideTests(TestCase):
    """
    The guide.
    """

    timeout = 300

    def setUp(self) -> None:
        for program in ("haproxy", "nginx", "socat", "openssl", "curl", "service", "unshare"):
            findProgram(program)
        if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode:
            raise SkipTest("this takes the rights of the superuser")
        self.place = Path(tempfile.mkdtemp(prefix="sockjs-"))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.clone = self.place / "clone"
        ignored = shutil.ignore_patterns(
            ".git", ".ci", ".venv", "venv", "build", "_trial_temp*", "__pycache__", ".*cache"
        )
        shutil.copytree(ROOT.path, self.clone, ignore=ignored)
        (self.clone / "venv").symlink_to(sys.prefix)

    async def test_commands(self) -> None:
        """
        Every command works, and writes what the guide says.
        """
        page = (self.clone / "docs" / "deploying.rst").read_text("utf-8")
        todo = [command for command in commands(page) if not isInstalling(command)]
        self.assertGreater(len(todo), 20)
        lines = [f"cd {shlex.quote(str(self.clone))}"]
        for number, command in enumerate(todo):
            lines += [f"echo '@{number}@'", command.text, 'echo "=$?="']
        script = self.place / "script"
        script.write_text("\n".join([*lines, ""]), "utf-8")
        child = Child.spawn(
            ["unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "bash", "-c", MACHINE],
            environment={
                "SCRIPT": str(script),
                "PLACES": " ".join(PLACES),
                "COPIES": str(self.place / "copies"),
                "PYTHON": sys.executable,
                "PYTHONPATH": str(self.clone),
                "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            },
        )
        if await child.wait(TIME):
            raise child.failure("failed")
        written = child.output.decode("utf-8")
        for number, command in enumerate(todo):
            match = re.search(rf"(?s)@{number}@\n(.*?)=(\d+)=\n", written)
            if match is None or match[2] != "0":
                raise child.failure(f"has failed at {command.text!r}")
            if command.output:
                self.assertEqual(match[1], command.output, command.text)
