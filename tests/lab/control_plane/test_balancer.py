# SPDX-License-Identifier: Apache-2.0
"""Several Glance nodes: their layout, and the load balancer in front of them."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stackmend.config.settings import load
from stackmend.model.errors import UsageError
from stackmend_lab.control_plane import configuration, layout, seed
from stackmend_lab.control_plane.services import FAKE_BACKENDS, table

SERVICES = Path("/opt/services")


def test_one_node_is_as_it_was(tmp_path: Path) -> None:
    """One node has no load balancer, no additional port, and no image settings for stackmend."""
    lab = layout.create(tmp_path / "lab", 1, 1, SERVICES)
    assert [name for name in table(lab) if "glance" in name] == ["glance-api"]
    assert set(lab.ports) == set(layout.LISTENERS)
    configuration.write(lab)
    assert not {"images", "hooks", "hosts"} & set(tomllib.loads(lab.toml.read_text()))


def test_nodes_come_and_go(tmp_path: Path) -> None:
    """Each node has a port, a folder and a configuration; ports are kept; a lab without nodes is refused."""
    lab = layout.create(tmp_path / "lab", 1, 1, SERVICES)
    two = layout.adapted(lab, None, None, SERVICES, 2)
    two.save()
    assert layout.load(two.folder) == two
    assert {name for name in table(two) if "glance" in name} == {"glance-1-api", "glance-2-api", "glance-balancer"}
    assert table(two)["glance-balancer"].listener == "glance"
    assert two.image_store("glance-1") == lab.image_store("") != two.image_store("glance-2")
    configuration.write(two)
    assert all((two.configuration / node / "glance-api.conf").exists() for node in two.glance_nodes)
    assert all(two.image_store(node).is_dir() for node in two.glance_nodes)
    config = load(str(two.toml))
    assert config.image_endpoints == tuple(two.endpoint(node) for node in two.glance_nodes)
    assert config.image_stores == tuple(f"{node}:{two.image_store(node)}" for node in two.glance_nodes)
    assert {"balancer_out", "balancer_in", "balancer_status"} <= set(config.hooks)
    one = layout.adapted(two, None, None, SERVICES, 1)
    assert [name for name in table(one) if "glance" in name] == ["glance-api"]
    assert layout.adapted(one, None, None, SERVICES, 2).ports == two.ports
    assert layout.adapted(two, None, None, SERVICES).glances == 2
    for number in (0, layout.MAX_GLANCES + 1):
        with pytest.raises(UsageError, match="makes no lab"):
            layout.adapted(lab, None, None, SERVICES, number)


def test_what_one_node_has_the_others_get_once(tmp_path: Path) -> None:
    """Content that a node already has is not overwritten."""
    lab = layout.create(tmp_path / "lab", 1, 1, SERVICES, 3)
    configuration.write(lab)
    one, two, three = (lab.image_store(node) for node in lab.glance_nodes)
    (one / "a").write_text("first")
    (two / "a").write_text("second")
    (three / "b").write_text("third")
    seed.spread_images(lab, lab.glance_nodes)
    assert {(store / "b").read_text() for store in (one, two, three)} == {"third"}
    assert [(store / "a").read_text() for store in (one, two)] == ["first", "second"]


@contextmanager
def answering(name: str) -> Iterator[int]:
    """Run a server that answers with its name; returns its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(name.encode() * 100_000)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def ask(port: int) -> str:
    """The name of the server that answers, "" if none does; the answer must be complete."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        body = connection.getresponse().read().decode()
        assert len(body) == 100_000
        return body[:1]
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def test_connections_are_dealt_out_in_turn(tmp_path: Path) -> None:
    """Nodes that are out or dead are skipped; if none is left, nobody answers."""
    (tmp_path / "balancer").mkdir()
    (port,) = layout.free_ports(["balancer"]).values()
    with ExitStack() as until:
        alive = until.enter_context(ExitStack())
        one = until.enter_context(answering("1"))
        two = alive.enter_context(answering("2"))
        process = until.enter_context(
            subprocess.Popen(
                [sys.executable, FAKE_BACKENDS / "lab_balancer.py", str(port), f"n1={one}", f"n2={two}"],
                env={**os.environ, "STACKMEND_LAB_STATE": str(tmp_path)},
            )
        )
        until.callback(process.kill)
        deadline = time.monotonic() + 20
        while layout.is_free(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sorted(ask(port) for _ in range(6)) == ["1", "1", "1", "2", "2", "2"]
        (tmp_path / "balancer" / "n1.out").touch()
        assert {ask(port) for _ in range(4)} == {"2"}
        (tmp_path / "balancer" / "n1.out").unlink()
        alive.close()
        assert {ask(port) for _ in range(4)} == {"1"}
        (tmp_path / "balancer" / "n1.out").touch()
        assert ask(port) == ""
