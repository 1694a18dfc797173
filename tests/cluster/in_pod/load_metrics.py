"""Runs in a pod: what the HPA asks, from what the servers themselves tell. As small as an adapter can be.

    python load_metrics.py HEADLESS_SERVICE METRIC CERTIFICATE KEY

Serves custom.metrics.k8s.io/v1beta2 with one metric of pods: (running + waiting) / slots, read from each
pod's own page of metrics whenever it is asked for. Stands for prometheus-adapter, whose rule is the same.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.parser import text_string_to_metric_families

GROUP = "custom.metrics.k8s.io/v1beta2"
HEADLESS, METRIC = sys.argv[1:3]
PORT = 9464


def read(address: str) -> tuple[str, float]:
    """Name and load of the pod at this address."""
    with urllib.request.urlopen(f"http://{address}:{PORT}/metrics", timeout=5) as answer:
        page = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    found = {sample.name: sample for sample in samples}
    running, waiting, slots = (
        found[f"tts_scheduler_{name}"].value for name in ("requests_running", "queue_depth", "slots_limit")
    )
    return str(found["target_info"].labels["k8s_pod_name"]), (running + waiting) / slots


def pods() -> list[tuple[str, float]]:
    """Every ready pod and its load; one that does not answer is left out."""
    found = []
    for address in sorted({str(info[4][0]) for info in socket.getaddrinfo(HEADLESS, PORT)}):
        try:
            found.append(read(address))
        except OSError as error:
            sys.stderr.write(f"{address}: {error}\n")
    return found


class Answer(BaseHTTPRequestHandler):
    """Discovery, and the metric."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/").split("/")
        if path == ["apis", *GROUP.split("/")]:
            verbs = {"namespaced": True, "kind": "MetricValueList", "verbs": ["get"], "singularName": ""}
            resources = [{"name": f"pods/{METRIC}", **verbs}]
            self._say(
                {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP, "resources": resources}
            )
        elif path[:3] == ["apis", *GROUP.split("/")] and path[-1] == METRIC:
            self._say(
                {
                    "kind": "MetricValueList",
                    "apiVersion": GROUP,
                    "metadata": {},
                    "items": self._items(path[4]),
                }
            )
        else:
            self.send_error(404)

    def _items(self, namespace: str) -> list[object]:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return [
            {
                "describedObject": {"kind": "Pod", "apiVersion": "/v1", "namespace": namespace, "name": name},
                "metric": {"name": METRIC},
                "timestamp": now,
                "value": f"{load * 1000:.0f}m",
            }
            for name, load in pods()
        ]

    def _say(self, answer: object) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve, by TLS because the API server asks for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    server = ThreadingHTTPServer(("0.0.0.0", 8443), Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
