# -*- test-case-name: tests.test_haproxy -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The configuration of HAProxy that is printed.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.test_tap import parse
from txsockjs.starting import CannotStart

DEPLOY = Path(__file__).resolve().parent.parent / "examples" / "deploy"


class HAProxyTests(SynchronousTestCase):
    """
    C{--print-haproxy-config}.
    """

    def setUp(self) -> None:
        self.patch(sys, "path", list(sys.path))

    def printed(self, *arguments: str) -> str:
        """
        @return: what is printed for a command line, which then is a success.
        """
        with contextlib.redirect_stdout(io.StringIO()) as output:
            error = self.assertRaises(SystemExit, parse, "--print-haproxy-config", *arguments)
        self.assertEqual(error.code, 0)
        return output.getvalue()

    def refused(self, *arguments: str) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            why = str(self.assertRaises(CannotStart, parse, "--print-haproxy-config", *arguments))
        self.assertEqual(output.getvalue(), "")
        return why

    def servers(self, *arguments: str) -> list[str]:
        """
        @return: the lines of the servers.
        """
        return re.findall(r"^    server (.+)$", self.printed(*arguments), re.MULTILINE)

    def limits(self, *arguments: str) -> dict[str, str]:
        """
        @return: the deadlines.
        """
        return dict(re.findall(r"^    timeout (\S+) (\S+)$", self.printed(*arguments), re.MULTILINE))

    def test_example(self) -> None:
        """
        The file among the examples is what is printed for the command that stands at its beginning.
        """
        text = (DEPLOY / "haproxy.cfg").read_text("ascii")
        command = re.search(r"^#     (twistd -n sockjs (?:.*\\\n#)*.*)$", text, re.MULTILINE)[1].replace("\\\n#", " ")
        self.assertEqual(self.printed(*shlex.split(command)[3:]), text)

    def test_processes(self) -> None:
        """
        Each process is a server by its own name, where it listens.
        """
        for arguments, servers in (
            (["--processes", "2"], ["p1 127.0.0.1:8081", "p2 127.0.0.1:8082"]),
            (["--processes", "2", "--port", "9001"], ["p1 127.0.0.1:9001", "p2 127.0.0.1:9002"]),
            ([], ["p1 127.0.0.1:8081"]),
            (["--process-name", "blue"], ["blue 127.0.0.1:8081"]),
            (["--port", "tcp:1:interface=10.0.0.7"], ["p1 10.0.0.7:1"]),
            (["--port", "tcp:1:interface=0.0.0.0"], ["p1 127.0.0.1:1"]),
            (["--port", r"tcp6:1:interface=\:\:"], ["p1 [::1]:1"]),
            (["--port", "tcp6:1"], ["p1 [::1]:1"]),
            (["--port", r"tcp6:1:interface=fe80\:\:1"], ["p1 [fe80::1]:1"]),
            (["--port", "unix:/run/app.sock", "--processes", "1"], ["p1 unix@/run/app-p1.sock"]),
            (["--port", "unix:app.sock"], [f"p1 unix@{Path.cwd()}/app.sock"]),
            (["--port", "haproxy:tcp:1"], ["p1 127.0.0.1:1 send-proxy-v2"]),
            (["--port", "ssl:1:privateKey=k"], ["p1 127.0.0.1:1 ssl verify none"]),
            (["--port", "1", "--port", "tcp:0"], ["p1 127.0.0.1:1"]),
        ):
            self.assertEqual(self.servers(*arguments), servers, arguments)

    def test_refused(self) -> None:
        """
        Where HAProxy can't know how to connect, this is said in one line.
        """
        self.assertEqual(
            self.refused("--port", "tcp:0"),
            "--print-haproxy-config: --port tcp:0: HAProxy has to know the port before the processes are there",
        )
        self.assertIn("--port systemd:index=0: there is neither a port", self.refused("--port", "systemd:index=0"))
        self.assertIn("--heartbeat-delay", self.refused("--heartbeat-delay", "x"))
        self.assertEqual(
            self.refused("--port", "tcp:65536"),
            "--print-haproxy-config: --port tcp:65536: ports end at 65535",
        )
        self.assertIn(
            "HAProxy sends the PROXY header before TLS begins, and this endpoint wants it inside",
            self.refused("--port", "haproxy:ssl:8443:privateKey=k"),
        )

    def test_longPath(self) -> None:
        """
        The path of a socket is not longer than HAProxy takes, in the bytes of UTF-8.
        """
        longest = "/run/" + "x" * 92
        self.assertEqual(self.servers("--port", f"unix:{longest}"), [f"p1 unix@{longest}"])
        self.assertIn("at most 97 bytes", self.refused("--port", f"unix:{longest}y"))
        self.assertIn("at most 97 bytes", self.refused("--port", f"unix:{longest[:-1]}\u00e4"))

    def test_sockets(self) -> None:
        """
        HAProxy stays out of its chroot where the processes are at sockets, which it could not find from there; a path
        is one word, and nothing else, whatever is in it.
        """
        chroot = "\n    chroot /var/lib/haproxy\n"
        self.assertIn(chroot, self.printed("--port", "8081"))
        self.assertNotIn(chroot, self.printed("--port", "unix:/run/app.sock"))
        self.assertNotIn(chroot, self.printed("--port", "haproxy:unix:/run/app.sock", "--processes", "2"))
        self.assertEqual(self.servers("--port", r"""unix:/run/a b/#"'.sock"""), [r"""p1 unix@/run/a\ b/\#\"\'.sock"""])
        for path in ("/run/a\nb.sock", "/run/a$b.sock"):
            self.assertIn("such characters", self.refused("--port", f"unix:{path}"))
        self.assertIn("--port unix:: there is neither a port", self.refused("--port", "unix:"))

    def test_silence(self) -> None:
        """
        Nothing is cut by HAProxy that the processes keep.
        """
        self.assertEqual({self.limits()[name] for name in ("client", "server", "tunnel")}, {"60s"})
        limits = self.limits("--heartbeat-delay", "2.2", "--ping-interval", "100")
        self.assertEqual({limits[name] for name in ("client", "server", "tunnel")}, {"210s"})
        self.assertIn(
            "which are 2.2 and 100 seconds.", self.printed("--heartbeat-delay", "2.2", "--ping-interval", "100")
        )
        for flag in ("--heartbeat-delay", "--ping-interval"):
            self.assertEqual(self.limits(flag, "0")["tunnel"], "1d")

    def test_authorize(self) -> None:
        """
        A request is silent while the application is asked whether it may open a session.
        """
        delays = ("--heartbeat-delay", "5", "--ping-interval", "5", "--authorize", "builtins.bool")
        self.assertEqual(self.limits(*delays[:4])["server"], "20s")
        self.assertEqual(self.limits(*delays)["server"], "40s")
        self.assertIn(" A request waits for authorize up to 30 seconds.", self.printed(*delays))
        self.assertEqual(self.limits(*delays, "--authorize-timeout", "9")["server"], "20s")
        self.assertEqual(self.limits(*delays, "--authorize-timeout", "300", "--ping-interval", "0")["server"], "1d")

    def test_longest(self) -> None:
        """
        No time is longer than HAProxy can count, which is 2^31 milliseconds.
        """
        self.assertEqual(self.limits("--heartbeat-delay", "1e6")["tunnel"], "2000010s")
        self.assertEqual(self.limits("--heartbeat-delay", "1e9")["tunnel"], "24d")
        self.assertIn(" expire 34560m ", self.printed("--disconnect-delay", "1e9"))

    def test_table(self) -> None:
        """
        Where a session is, is remembered for as long as an old HAProxy may stay after a reload, and for longer than
        twice the time for which its client may be away.
        """
        text = self.printed()
        self.assertIn(" expire 30m ", text)
        self.assertIn(" hard-stop-after 30m\n", text)
        text = self.printed("--disconnect-delay", "1200.5")
        self.assertIn(" expire 61m ", text)
        self.assertIn("which is 1200.5 seconds,", text)

    def test_baseURL(self) -> None:
        """
        What C{base_url} has before the path of the service is taken away again, since the processes do not know it.
        """
        for url, rule in (
            ("https://h/{process}/{service}", r"^/(p1|p2)(/.*) \\2"),
            ("https://h/{process}/", r"^/(p1|p2)(/.*) \\2"),
            ("https://h/a.b/{process}/chat", r"^/a\\.b/(p1|p2)(/.*) \\2"),
            ("https://h/{process}-{process}/{service}", r"^/(p1|p2)\\-(p1|p2)(/.*) \\3"),
            ("https://h/x {{y}}/{service}".replace(" ", "%20"), r"^/x%20\\{y\\}(/.*) \\1"),
        ):
            text = self.printed("--processes", "2", "--base-url", url)
            self.assertIn(f"\n    http-request replace-path {rule}\n", text, url)
        for url in (
            "https://{process}.example.com/{service}",
            "https://h/chat",
            "https://h/x-{service}",
            "https://{process}",
            "//{process}/{service}",
        ):
            self.assertNotIn("replace-path", self.printed("--processes", "2", "--base-url", url), url)

    def test_cookie(self) -> None:
        """
        With the cookie, it is what decides, and there is no table.
        """
        text = self.printed("--processes", "2", "--cookie-needed")
        for name in ("p1", "p2"):
            self.assertIn(f"    use-server {name} if {{ req.cook(JSESSIONID) -m beg {name}. }}\n", text)
        self.assertNotIn("stick", re.sub("#.*", "", text))
        self.assertIn("disable-l7-retry if sends", text)
        self.assertNotIn("use-server", self.printed("--processes", "2"))

    def test_addresses(self) -> None:
        """
        How processes learn who the client is follows from what they believe.
        """
        header = "\n    option forwardfor\n"
        for arguments, why, isThere in (
            ((), "only with --trusted-proxies", True),
            (("--trusted-proxies", "10.0.0.0/8,unix"), "since they trust 10.0.0.0/8,unix.", True),
            (("--trusted-proxies", "1"), "The processes believe this header. ", True),
            (("--proxy-header", "x-forwarded-for"), "The processes believe this header. ", True),
            (("--port", "haproxy:tcp:8081"), "by the PROXY protocol", False),
        ):
            text = self.printed(*arguments)
            self.assertIn(why, text)
            self.assertEqual(header in text, isThere, arguments)

    def test_command(self) -> None:
        """
        The command stands at the beginning, in lines that are not too long, and in a way that a shell understands.
        """
        arguments = ["--processes=13", "--drain-reason", "It's over", "--cookie-needed", "--factory", "x=" + "a" * 80]
        head, _, _ = self.printed(*arguments).partition("\n#\n# Edit")
        self.assertIn("in front of the 13 processes of this command, which serve at 127.0.0.1:8081 to 8093:", head)
        lines = head.split("\n")[2:]
        self.assertEqual([line[:10] for line in lines], ["#     twis", "#         "])
        self.assertTrue(all(line.endswith(" \\") for line in lines[:-1]))
        words = shlex.split("\n".join(line[1:] for line in lines).replace("\\\n", ""))
        self.assertEqual(
            words,
            [*["twistd", "-n", "sockjs", "--processes", "13", "--drain-reason"], *arguments[2:]],
        )
        self.assertIn(
            "#     twistd -n sockjs --drain-reason $'It\\U00000027s\\U0000000aover' --cookie-needed\n#\n",
            self.printed("--drain-reason", "It's\nover", "--cookie-needed"),
        )
        for bus, shown in (
            ("redis://user:s3cret@127.0.0.1/1", "redis://user:...@127.0.0.1/1"),
            ("redis://:s3@c:ret@h:1", "redis://:...@h:1"),
            ("redis://h:1/0", "redis://h:1/0"),
        ):
            self.assertIn(f"#     twistd -n sockjs --bus {shown}\n", self.printed("--bus", bus))
        self.assertIn("in front of this command, which serves at 127.0.0.1:8081:\n", self.printed())


class UnitTests(SynchronousTestCase):
    """
    The units of systemd among the examples.
    """

    def setUp(self) -> None:
        self.patch(sys, "path", list(sys.path))

    def test_flags(self) -> None:
        """
        What they start has flags that there are.
        """
        for name, places in (
            (
                "txsockjs.service",
                {f"p{number}": [f"tcp:{8080 + number}:interface=127.0.0.1"] for number in range(1, 5)},
            ),
            ("txsockjs@.service", {}),
        ):
            text = (DEPLOY / "systemd" / name).read_text("ascii")
            line = re.search("^ExecStart=(.*)$", text, re.MULTILINE)[1]
            line = line.replace("$$((8080 + %i))", "8083").replace("%i", "3").replace("/srv/app ", "/ ")
            words = shlex.split(line)
            if words[0] == "/bin/sh":
                words = shlex.split(words[2].removeprefix("exec "))
            self.assertEqual(words[:4], ["/srv/app/venv/bin/twistd", "-n", "--pidfile=", "sockjs"])
            options = parse(*words[4:])
            self.assertEqual(options.places, places)
            self.assertEqual(options.ports, [places["p1"][0] if places else "tcp:8083:interface=127.0.0.1"])
            self.assertEqual(options.settings["process_name"], "p1" if places else "p3")
