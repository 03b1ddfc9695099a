# -*- test-case-name: tests.many.check_watching -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
Many processes, watched by a real Prometheus.

Needs C{prometheus} and C{promtool}; so it is not part of the ordinary run.  Start it with::

    python -m twisted.trial tests.many.check_watching
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody

from tests.processes import Child, findProgram, serverCommand

__all__ = ["PrometheusTests", "RulesTests"]

DEPLOY = Path(__file__).resolve().parent.parent.parent / "examples" / "deploy"

#: Seconds for anything that is waited for.
PATIENCE = 60.0

CONFIGURATION = """
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files:
  - {rules}
scrape_configs:
  - job_name: sockjs
    static_configs:
      - targets: ["{target}"]
"""

# What stays empty as long as all is well, and what the traffic of the check does not touch.
SILENT = {"Refused, by cause", "Ended, by cause", "Pauses of producers"}


def freePort() -> int:
    """
    @return: a port of the loopback interface that nobody uses.
    """
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def get(url: str, method: bytes = b"GET") -> tuple[int, str]:
    """
    @return: the status and the body of an answer.
    """
    response = await Agent(reactor, connectTimeout=PATIENCE).request(method, url.encode("ascii"))
    return response.code, (await readBody(response)).decode("utf-8")


async def until(what: str, look: Any) -> Any:
    """
    Look again and again, until there is something to see.
    """
    end = reactor.seconds() + PATIENCE
    while reactor.seconds() < end:
        found = await look()
        if found:
            return found
        await deferLater(reactor, 0.2, lambda: None)
    raise AssertionError(f"{what} has not come about in {PATIENCE} seconds")


class WatchedCase(TestCase):
    """
    Two processes and their supervisor.

    @cvar drainTimeout: the option of this name.
    """

    drainTimeout = "0"

    async def setUp(self) -> None:
        self.server = Child.spawn(
            serverCommand(
                "--processes", "2", "--metrics", "0", "--drain-timeout", self.drainTimeout, "--disconnect-delay", "30"
            ),
            name="twistd sockjs",
        )
        self.addCleanup(lambda: ensureDeferred(self.server.stop()))
        self.page = (await self.server.waitFor(r"watch at (http://127\.0\.0\.1:\d+)/")).group(1)
        await self.server.waitFor("p2 is up")
        self.url = (await self.server.waitFor(r"p1: serving (http://\S+)/echo\b")).group(1)

    async def states(self) -> dict[str, str]:
        """
        @return: the state of each process.
        """
        _, text = await get(f"{self.page}/status.json")
        return {row["process"]: row["state"] for row in json.loads(text)["processes"]}

    async def up(self) -> dict[str, str]:
        """
        @return: C{sockjs_up} of each process.
        """
        _, text = await get(f"{self.page}/metrics")
        return dict(re.findall(r'^sockjs_up\{process="(\w+)"\} (\S+)$', text, re.MULTILINE))


class RulesTests(WatchedCase):
    """
    What Prometheus and its tools are given, as C{promtool} sees it, and how processes come and go.
    """

    drainTimeout = "30"

    async def promtool(self, *arguments: str, text: str = "") -> None:
        """
        Have something checked.
        """
        child = Child.spawn([findProgram("promtool"), *arguments], name="promtool")
        child.transport.write(text.encode("utf-8"))
        child.transport.closeStdin()
        self.assertEqual(await child.wait(PATIENCE), 0, child.text())
        self.assertEqual(child.errors, b"")

    async def test_checked(self) -> None:
        """
        The metrics follow the rules, and the examples are what Prometheus reads.
        """
        _, text = await get(f"{self.page}/metrics")
        await self.promtool("check", "metrics", text=text)
        await self.promtool("check", "rules", str(DEPLOY / "prometheus-alerts.yml"))
        await self.promtool("check", "config", str(DEPLOY / "prometheus.yml"))

    async def test_processes(self) -> None:
        """
        A process that hangs is told to be gone, by each of the places, within its deadline, and the others still
        answer; it comes back. One that is killed is started again under the same name. A drain is seen to its end.
        """
        self.assertEqual(await self.states(), {"p1": "serving", "p2": "serving"})
        self.assertEqual(await self.up(), {"p1": "1.0", "p2": "1.0"})
        _, text = await get(f"{self.page}/status.json")
        pids = {row["process"]: row["pid"] for row in json.loads(text)["processes"]}
        os.kill(pids["p2"], signal.SIGSTOP)
        begin = reactor.seconds()
        self.assertEqual(await self.up(), {"p1": "1.0", "p2": "0.0"})
        self.assertLess(reactor.seconds() - begin, 10)
        self.assertEqual(await get(f"{self.page}/health"), (200, "ok\np1: serving\np2: gone\n"))
        os.kill(pids["p2"], signal.SIGKILL)

        async def isBack() -> bool:
            return await self.up() == {"p1": "1.0", "p2": "1.0"}

        await until("p2 is back", isBack)
        self.assertEqual((await get(f"{self.url}/echo/000/a/xhr", b"POST"))[1], "o\n")
        self.server.signal(signal.SIGTERM)

        async def isDraining() -> bool:
            return (await self.states())["p1"] == "draining"

        await until("p1 drains", isDraining)
        self.assertEqual((await get(f"{self.page}/health"))[0], 200)  # p2 still serves
        self.assertEqual((await get(f"{self.url}/echo/000/a/xhr", b"POST"))[1], 'c[3000,"Go away!"]\n')
        self.assertIn(await self.server.wait(PATIENCE), (0, -signal.SIGTERM))


class PrometheusTests(WatchedCase):
    """
    A real Prometheus that fetches the metrics.
    """

    async def setUp(self) -> None:
        await super().setUp()
        directory = Path(tempfile.mkdtemp(prefix="txsockjs-prometheus-"))
        self.addCleanup(shutil.rmtree, directory)
        configuration = CONFIGURATION.format(
            rules=DEPLOY / "prometheus-alerts.yml", target=self.page.removeprefix("http://")
        )
        (directory / "prometheus.yml").write_text(configuration, "utf-8")
        port = freePort()
        self.prometheus = f"http://127.0.0.1:{port}/api/v1/"
        child = Child.spawn(
            [
                findProgram("prometheus"),
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            name="prometheus",
        )
        self.addCleanup(lambda: ensureDeferred(child.stop()))
        await child.waitFor("Server is ready to receive web requests")

    async def ask(self, expression: str) -> list[dict[str, Any]]:
        """
        @return: what Prometheus finds.
        """
        _, text = await get(f"{self.prometheus}query?{urlencode({'query': expression})}")
        answer = json.loads(text)
        self.assertEqual(answer["status"], "success", f"{expression}: {text}")
        return answer["data"]["result"]

    async def test_dashboard(self) -> None:
        """
        Each panel of the dashboard has something to show, and no alert is given while all is well.
        """
        await get(f"{self.url}/echo/000/a/xhr", b"POST")

        async def hasRates() -> bool:
            return len(await self.ask('rate(sockjs_sent_messages_total{process="p2",service="/echo"}[30s])')) == 1

        await until("enough was fetched", hasRates)
        board = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"].replace("$__rate_interval", "30s")
                expression = re.sub(r"\$(?:instance|process|service)", ".*", expression)
                found = await self.ask(expression)
                if panel["title"] not in SILENT and "limit" not in target["expr"]:
                    self.assertNotEqual(found, [], expression)
        [sessions] = await self.ask(
            'sockjs_sessions{process="p1",service="/echo",transport="xhr-polling",state="open"}'
        )
        self.assertEqual(sessions["value"][1], "1")
        self.assertEqual((sessions["metric"]["job"]), "sockjs")
        _, text = await get(f"{self.prometheus}rules")
        rules = [rule for group in json.loads(text)["data"]["groups"] for rule in group["rules"]]
        self.assertGreater(len(rules), 5)
        for rule in rules:
            self.assertEqual((rule["health"], rule["state"]), ("ok", "inactive"), rule["name"])
