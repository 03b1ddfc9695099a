# -*- test-case-name: tests.test_ports -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
The places of many processes.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txsockjs.ports import placeOf, spread

NAMES = ("p1", "p2", "p3")


class SpreadTests(SynchronousTestCase):
    """
    L{spread}.
    """

    def assertSpread(self, description: str, *places: str) -> None:
        self.assertEqual(
            spread([description], NAMES), {name: [place] for name, place in zip(NAMES, places, strict=True)}
        )

    def refused(self, *descriptions: str) -> str:
        return str(self.assertRaises(ValueError, spread, descriptions, NAMES))

    def test_ports(self) -> None:
        """
        A port is counted on, wherever it stands in a description, and nothing else.
        """
        self.assertSpread("tcp:8081", "tcp:8081", "tcp:8082", "tcp:8083")
        for form in (
            "tcp:{}:interface=127.0.0.1",
            r"tcp6:{}:interface=\:\:1:backlog=50",
            "tcp:port={}",
            "tcp:interface=127.0.0.1:port={}",
            "ssl:{}:privateKey=8443.pem:certKey=c.pem",
            "haproxy:tcp:{}:interface=127.0.0.1",
            "HAProxy:tcp:{}",
        ):
            self.assertSpread(form.format(8443), *(form.format(port) for port in (8443, 8444, 8445)))

    def test_zero(self) -> None:
        """
        The port 0 stays, for any that is free.
        """
        self.assertSpread("tcp:0:interface=127.0.0.1", *["tcp:0:interface=127.0.0.1"] * 3)
        self.assertEqual(spread(["tcp:0", "tcp:0"], ["p1"]), {"p1": ["tcp:0", "tcp:0"]})

    def test_sockets(self) -> None:
        """
        The path of a Unix socket gets the name of the process before its ending, if it has one.
        """
        for form in (
            "unix:/run/a.b/app{}.sock:mode=660",
            "unix:app{}",
            "unix:address=/run/app{}",
            "haproxy:unix:/r/a{}.s",
        ):
            self.assertSpread(form.format(""), *(form.format(f"-{name}") for name in NAMES))
        self.assertSpread(r"unix:/run/a\:b.sock", *(rf"unix:/run/a\:b-{name}.sock" for name in NAMES))

    def test_template(self) -> None:
        """
        Where the name of the process is asked for it is put in, and nothing else is changed.
        """
        for form in ("unix:/run/{}/app.sock", "tcp:8081:interface={}.local", "other:{}:{}"):
            self.assertSpread(form.replace("{}", "{process}"), *(form.replace("{}", name) for name in NAMES))

    def test_several(self) -> None:
        """
        Each process gets a place of each description.
        """
        self.assertEqual(
            spread(["tcp:1", "unix:s"], ["p1", "p2"]), {"p1": ["tcp:1", "unix:s-p1"], "p2": ["tcp:2", "unix:s-p2"]}
        )
        self.assertEqual(
            spread(["tcp:1:interface=10.0.0.1", "tcp:2:interface=10.0.0.2"], ["p1", "p2"])["p2"],
            ["tcp:2:interface=10.0.0.1", "tcp:3:interface=10.0.0.2"],
        )

    def test_one(self) -> None:
        """
        One process counts as well, and a socket gets its name.
        """
        self.assertEqual(spread(["tcp:65535", "unix:s"], ["p1"]), {"p1": ["tcp:65535", "unix:s-p1"]})

    def test_refused(self) -> None:
        """
        What would be shared by processes, or can't be counted on, is refused by its name.
        """
        self.assertEqual(self.refused("tcp:1", "tcp:3"), "tcp:3: tcp:3 is the place of another process, by tcp:1")
        self.assertEqual(
            self.refused("unix:s", "unix:s"), "unix:s: unix:s-p1 is the place of another process, by unix:s"
        )
        self.assertEqual(self.refused("tcp:65534"), "tcp:65534: 3 processes need as many ports, and these end at 65535")
        self.assertEqual(self.refused("unix:"), "unix:: '' is no path of a socket")
        self.assertEqual(self.refused("unix:/:mode=600"), "unix:/:mode=600: '/' is no path of a socket")
        for description in ("systemd:domain=INET:index=0", "launchd", "", "fd:name=8080"):
            self.assertIn(f"{description}: there is no port number in it to count on from", self.refused(description))
        self.assertIn("is the place of another process", self.refused("x:{process}", "x:{process}"))


class PlaceTests(SynchronousTestCase):
    """
    L{placeOf}.
    """

    def test_facts(self) -> None:
        """
        It tells what a balancer has to know.
        """
        for description, facts in (
            ("tcp:8081", ("tcp", False, 8081, None, None)),
            (r"tcp6:8081:interface=\:\:1", ("tcp6", False, 8081, None, "::1")),
            ("ssl:port=8443:privateKey=k", ("ssl", False, 8443, None, None)),
            ("haproxy:tcp:8081:interface=127.0.0.1", ("tcp", True, 8081, None, "127.0.0.1")),
            (r"unix:/run/a\:b.sock", ("unix", False, None, "/run/a:b.sock", None)),
            ("systemd:domain=INET:index=0", ("systemd", False, None, None, None)),
        ):
            place = placeOf(description)
            self.assertEqual((place.kind, place.wrapped, place.port, place.path, place.interface), facts, description)

    def test_meets(self) -> None:
        """
        It tells which places can't both be listened at.
        """
        for one, other, meets in (
            ("tcp:1", "tcp:1", True),
            ("tcp:1", "tcp:2", False),
            ("tcp:0", "tcp:0", False),
            ("tcp:1:interface=127.0.0.1", "tcp:1", True),
            (r"tcp:1:interface=\:\:", "tcp:1:interface=127.0.0.1", True),
            ("tcp:1:interface=127.0.0.1", "haproxy:tcp:1:interface=127.0.0.1", True),
            ("tcp:1:interface=127.0.0.1", "tcp:1:interface=10.0.0.1", False),
            ("unix:/a", "unix:address=/a:mode=600", True),
            ("unix:/a", "unix:/b", False),
            ("unix:/a", "tcp:1", False),
            ("systemd:index=0", "systemd:index=0", False),
        ):
            self.assertEqual(placeOf(one).meets(placeOf(other)), meets, (one, other))
            self.assertEqual(placeOf(other).meets(placeOf(one)), meets, (other, one))
