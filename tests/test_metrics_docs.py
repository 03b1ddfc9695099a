# -*- test-case-name: tests.test_metrics_docs -*-
"""
The documentation has each metric; the dashboard and the alerts have none that does not exist.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client import REGISTRY
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support import Apps
from txsockjs.factory import SockJSFactory
from txsockjs.metrics import collectorOf
from txsockjs.stats import Cause

ROOT = Path(__file__).resolve().parent.parent

DEPLOY = ROOT / "examples" / "deploy"

ROW = re.compile(r"   \* - ``(sockjs_[a-z_]+)``\n     - ([a-z]+)\n     - (.*)\n     - .+")

NAME = re.compile(r"\b(?:sockjs|process|python)_[a-z_]+\b")


def exported():
    """
    @return: the type and the labels of each metric of ours, by the name that Prometheus sees.
    """
    site = SockJSFactory(Apps(), reactor=Clock(), max_sessions=5)
    site.resource.stats.refused["origin"] = 1
    collector = collectorOf(site, reactor=Clock())
    found = {}
    for family in collector.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labels)
    return found


def series():
    """
    @return: the names of all series, those of the process included.
    """
    families = [*collectorOf(SockJSFactory(Apps(), reactor=Clock()), Clock()).collect(), *REGISTRY.collect()]
    names = set(exported())
    names.update(sample.name for family in families for sample in family.samples)
    return names


class TableTests(SynchronousTestCase):
    """
    The table of C{docs/watching.rst}.
    """

    def test_whole(self):
        """
        It has each metric with its type and its labels, and no other.
        """
        told = {
            name: (kind, set(re.findall("``([a-z]+)``", labels)))
            for name, kind, labels in ROW.findall((ROOT / "docs" / "watching.rst").read_text("utf-8"))
        }
        self.assertEqual(told, exported())


class DeployTests(SynchronousTestCase):
    """
    What is ready to be used.
    """

    def panels(self):
        board = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
        return board, [panel for panel in board["panels"] if panel["type"] != "row"]

    def test_dashboard(self):
        """
        The dashboard is JSON; its panels do not cover each other and have numbers of their own; what they ask for
        exists, of the data source, the instances and the processes that were chosen.
        """
        board, panels = self.panels()
        variables = {variable["name"] for variable in board["templating"]["list"]}
        self.assertEqual(variables, {"datasource", "instance", "process", "service"})
        self.assertEqual(len({panel["id"] for panel in board["panels"]}), len(board["panels"]))
        self.assertGreater(len(panels), 20)
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertLessEqual(place["x"] + place["w"], 24)
            self.assertEqual(taken & cells, set(), panel["title"])
            taken |= cells
        for panel in panels:
            for target in panel["targets"]:
                self.assertEqual(target["datasource"]["uid"], "${datasource}")
                self.assertIn('instance=~"$instance",process=~"$process"', target["expr"])
                names = set(NAME.findall(target["expr"]))
                self.assertTrue(names, panel["title"])
                self.assertLessEqual(names, series() | variables, panel["title"])

    def test_everythingIsShown(self):
        """
        The dashboard shows all that there is, but for a few that say the same in another way.
        """
        _, panels = self.panels()
        shown = {name for panel in panels for target in panel["targets"] for name in NAME.findall(target["expr"])}
        shown = {name.removesuffix("_bucket") for name in shown}
        left = set(exported()) - shown
        self.assertEqual(
            left,
            {
                "sockjs_build_info",
                "sockjs_event_loop_lag_last_seconds",
                "sockjs_bus_lag_last_seconds",
                "sockjs_bus_waiting_messages",
                "sockjs_bus_sent_batches_total",
                "sockjs_bus_received_batches_total",
                "sockjs_bus_duplicates_total",
                "sockjs_bus_malformed_total",
                "sockjs_bus_connects_total",
                "sockjs_bus_connect_failures_total",
            },
        )

    def test_alerts(self):
        """
        What the alerts look at exists, and so do the causes that they name.
        """
        text = (DEPLOY / "prometheus-alerts.yml").read_text("utf-8")
        expressions = re.findall("^ +expr: (.+)$", text, re.MULTILINE)
        self.assertEqual(len(expressions), text.count("- alert:"))
        self.assertGreater(len(expressions), 5)
        for expression in expressions:
            names = set(NAME.findall(expression))
            self.assertLessEqual(names, series(), expression)
        for cause in re.findall('_closed_total{cause=~?"([^"]+)"', text):
            for each in cause.split("|"):
                self.assertIn(each, {str(known) for known in Cause})
