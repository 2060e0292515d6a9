#!/usr/bin/python3
"""Starts the container of kubernetes/greeter.yaml and probes it as a kubelet does.

Usage: kubernetes_test.py MANIFEST GREETER_SERVER PYTHON_CLIENT HEALTH_PB2
"""

import os
import subprocess
import sys
import unittest

import yaml

MANIFEST, SERVER, CLIENT, HEALTH_PB2 = sys.argv[1:5]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")

with open(MANIFEST, encoding="utf-8") as file:
    deployment, service = yaml.safe_load_all(file)
pod = deployment["spec"]["template"]
(container,) = pod["spec"]["containers"]
(port,) = container["ports"]


def check(address, name):
    environment = dict(os.environ, PYTHONPATH=os.path.dirname(HEALTH_PB2))
    command = ["/usr/bin/python3", CLIENT, "check", address, name]
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, check=True, text=True
    ).stdout


class ManifestTest(unittest.TestCase):
    def test_kinds(self):
        self.assertEqual(
            [(part["apiVersion"], part["kind"]) for part in (deployment, service)],
            [("apps/v1", "Deployment"), ("v1", "Service")],
        )

    def test_selectors_find_the_pods(self):
        labels = pod["metadata"]["labels"]
        self.assertEqual(deployment["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(service["spec"]["selector"], labels)

    def test_service_leads_to_the_port(self):
        (served,) = service["spec"]["ports"]
        self.assertEqual(served["targetPort"], port["name"])
        self.assertEqual(served["port"], port["containerPort"])

    def test_breakers_decide_readiness_only(self):
        names = {probe: container[probe]["grpc"].get("service", "") for probe in PROBES}
        self.assertEqual(
            names,
            {
                "startupProbe": "",
                "readinessProbe": "greeter.v1.Greeter",
                "livenessProbe": "",
            },
        )

    def test_the_container_answers_its_probes(self):
        (listen,) = container["args"]
        self.assertEqual(listen, f"--listen=0.0.0.0:{port['containerPort']}")
        server = subprocess.Popen(
            [SERVER, "--listen=127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        try:
            address = server.stdout.readline().split()[-1]
            for probe in PROBES:
                grpc = container[probe]["grpc"]
                self.assertEqual(grpc["port"], port["containerPort"], probe)
                self.assertEqual(check(address, grpc.get("service", "")), "SERVING\n")
        finally:
            server.terminate()
            self.assertEqual(server.wait(), 0)
            server.stdout.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
