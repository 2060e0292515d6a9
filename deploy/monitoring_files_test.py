#!/usr/bin/python3
"""The files for Prometheus, Alertmanager and Grafana, before the programs they are
for and beside the metrics that a greeter shows.

Usage: monitoring_files_test.py PROMETHEUS_YML RULES RULES_TEST ALERTMANAGER_YML
           DASHBOARD GREETER_SERVER
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import yaml

PROMETHEUS, RULES, RULES_TEST, ALERTMANAGER, DASHBOARD, SERVER = sys.argv[1:7]


def read(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


RULE_LIST = [rule for group in read(RULES)["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULE_LIST if "alert" in rule}
RECORDS = {rule["record"] for rule in RULE_LIST if "record" in rule}
with open(DASHBOARD, encoding="utf-8") as dashboard_file:
    BOARD = json.load(dashboard_file)


def output(*command, text=None):
    """What a program prints; fails unless it ends with 0."""
    ended = subprocess.run(
        command,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise AssertionError(f"{command}: {ended.returncode}\n{ended.stdout}")
    return ended.stdout


def greeter_page():
    server = subprocess.Popen(
        [SERVER, "--listen=127.0.0.1:0", "--http_port=0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        server.stdout.readline()
        address = server.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as page:
            return page.read().decode()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def sample_names(page):
    """The names that queries can ask for, of a page in Prometheus's format."""
    names = {"up"}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE):
        if kind == "histogram":
            names |= {name + end for end in ("_bucket", "_count", "_sum")}
        else:
            names.add(name)
    return names


PAGE = greeter_page()
NAMES = sample_names(PAGE)


def names_in(expr):
    """What `expr` asks for: all names of ours and the one of Prometheus."""
    expr = re.sub(r'"[^"]*"', "", expr)
    return set(re.findall(r"\b(?:[a-z_]+:)?fusebox_[a-z0-9_:]+|\bup\b", expr))


def plain(expr):
    """`expr` of the dashboard with Grafana's variables filled in."""
    return re.sub(r"\$\w+", ".*", expr.replace("$__rate_interval", "1m"))


class MetricsTest(unittest.TestCase):
    def test_page_is_clean(self):
        self.assertEqual(output("promtool", "check", "metrics", text=PAGE), "")

    def test_names(self):
        self.assertIn("fusebox_state", NAMES)
        self.assertIn("fusebox_call_duration_seconds_bucket", NAMES)
        self.assertEqual(
            names_in('a:fusebox_b:c / sum by (x) (fusebox_d{e="fusebox_f"}) or up'),
            {"a:fusebox_b:c", "fusebox_d", "up"},
        )


class PrometheusTest(unittest.TestCase):
    def test_config_is_valid(self):
        self.assertIn("SUCCESS", output("promtool", "check", "config", PROMETHEUS))

    def test_rules_are_valid(self):
        checked = output("promtool", "check", "rules", RULES)
        self.assertIn(f"SUCCESS: {len(RULE_LIST)} rules found", checked)

    def test_rules_do_what_their_tests_say(self):
        self.assertIn("SUCCESS", output("promtool", "test", "rules", RULES_TEST))

    def test_each_alert_is_tested_firing_and_not_firing(self):
        seen = set()
        for test in read(RULES_TEST)["tests"]:
            for case in test["alert_rule_test"]:
                seen.add((case["alertname"], bool(case["exp_alerts"])))
        self.assertEqual(
            seen, {(alert, fires) for alert in ALERTS for fires in (True, False)}
        )

    def test_each_alert_says_how_bad_and_what(self):
        for name, alert in ALERTS.items():
            self.assertIn(alert["labels"]["severity"], ("critical", "warning", "info"))
            self.assertEqual(
                sorted(alert["annotations"]), ["description", "summary"], name
            )

    def test_rules_ask_for_metrics_that_exist(self):
        for rule in RULE_LIST:
            asked = names_in(rule["expr"])
            self.assertTrue(asked, rule)
            self.assertLessEqual(asked, NAMES | RECORDS)


class AlertmanagerTest(unittest.TestCase):
    def test_config_is_valid(self):
        self.assertIn("SUCCESS", output("amtool", "check-config", ALERTMANAGER))

    def test_alerts_go_where_their_severity_says(self):
        expected = {
            "critical": "fusebox_pager",
            "warning": "fusebox_chat",
            "info": "none",
        }
        for name, alert in ALERTS.items():
            severity = alert["labels"]["severity"]
            output(
                "amtool",
                "config",
                "routes",
                "test",
                f"--config.file={ALERTMANAGER}",
                f"--verify.receivers={expected[severity]}",
                f"alertname={name}",
                f"severity={severity}",
            )

    def test_inhibited_alerts_exist(self):
        for rule in read(ALERTMANAGER)["inhibit_rules"]:
            for matcher in rule["source_matchers"] + rule["target_matchers"]:
                for name in re.findall(r"Fusebox\w+", matcher):
                    self.assertIn(name, ALERTS)


class DashboardTest(unittest.TestCase):
    def exprs(self):
        for panel in BOARD["panels"]:
            for target in panel["targets"]:
                yield target["expr"]

    def test_panels_are_told_apart(self):
        ids = [panel["id"] for panel in BOARD["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertTrue(all(panel["title"] for panel in BOARD["panels"]))

    def test_panels_do_not_overlap(self):
        taken = set()
        for panel in BOARD["panels"]:
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24)
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells

    def test_every_expression_is_valid(self):
        rules = [
            {"record": f"panel:expression:{i}", "expr": plain(expr)}
            for i, expr in enumerate(self.exprs())
        ]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [{"name": "board", "rules": rules}]}, file)
            file.flush()
            checked = output("promtool", "check", "rules", file.name)
        self.assertIn(f"SUCCESS: {len(rules)} rules found", checked)

    def test_metrics_exist(self):
        for expr in self.exprs():
            asked = names_in(expr)
            self.assertTrue(asked, expr)
            self.assertLessEqual(asked, NAMES)

    def test_variables_exist(self):
        variables = {v["name"]: v for v in BOARD["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(BOARD["panels"])))
        self.assertLessEqual(used, set(variables))
        for variable in variables.values():
            if variable["type"] == "query":
                self.assertTrue(names_in(variable["query"]["query"]))
                self.assertLessEqual(names_in(variable["query"]["query"]), NAMES)

    def test_every_metric_is_shown(self):
        shown = set().union(*map(names_in, self.exprs()))
        kinds = {re.sub("_(bucket|count|sum)$", "", name) for name in NAMES - {"up"}}
        self.assertEqual(kinds, {re.sub("_bucket$", "", name) for name in shown})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
