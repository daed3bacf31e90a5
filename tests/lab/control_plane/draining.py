# SPDX-License-Identifier: Apache-2.0
"""A host with servers in every state that a drain meets, and what must be true of them whatever happens to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait, wait_server, wait_volume

Json = dict[str, Any]
#: one server for each; "moved" has an unconfirmed resize away from the host
STATES = (
    *("active",) * 8, "active, locked", "active, volume", "paused", "paused", "stopped", "stopped", "stopped, locked",
    "suspended", "rescued", "error", "resized", "moved",
)  # fmt: skip
#: the states that a drain with --cold and --wake moves without help
MOVES = frozenset({"active", "active, locked", "active, volume", "paused", "stopped", "suspended"})


class Scene:
    """Twenty servers, all but one on the first host of the lab; the second one is of the same cell."""

    def __init__(self, plane: Plane, states: Iterable[str] = STATES) -> None:
        self.plane, self.cloud = plane, plane.connect()
        self.host, self.other = plane.hosts[:2]
        self.tag = uuid.uuid4().hex[:6]
        self.servers: dict[str, str] = {}  #: server -> the state in which it was put
        self.volumes: list[str] = []
        self._make(list(states))

    def _make(self, states: list[str]) -> None:
        sdk: Any = self.cloud
        network = [{"uuid": sdk.network.find_network("net1").id}]
        for number, state in enumerate(states):
            zone = f"nova:{self.other if state == 'resized' else self.host}"
            name = f"drain-{self.tag}-{number:02}-{state.replace(', ', '-')}"
            self.servers[create_server(self.cloud, name, network, zone)] = state
        for server in self.servers:
            wait_server(self.cloud, server)
        for server, state in self.servers.items():
            self._put(server, state)
        for server, state in self.servers.items():
            wait_server(self.cloud, server, _STATUS[state.partition(",")[0]])

    def _put(self, server: str, state: str) -> None:
        sdk: Any = self.cloud
        compute, (first, _, more) = sdk.compute, state.partition(", ")
        if more == "volume":
            volume = sdk.block_storage.create_volume(name=f"drain-{self.tag}", size=1)
            self.volumes.append(str(volume.id))
            wait_volume(self.cloud, volume.id)
            compute.create_volume_attachment(server, volume_id=volume.id)
            wait_volume(self.cloud, volume.id, "in-use")
        actions = {
            "paused": compute.pause_server, "stopped": compute.stop_server, "suspended": compute.suspend_server,
            "rescued": compute.rescue_server,
        }  # fmt: skip
        if first in actions:
            actions[first](server)
        elif first == "error":
            compute.reset_server_state(server, "error")
        elif first in ("resized", "moved"):
            compute.migrate_server(server, host=self.host if first == "resized" else self.other)
        if more == "locked":
            compute.lock_server(server)

    def close(self) -> None:
        """Delete everything created here, whatever state it is in."""
        sdk: Any = self.cloud
        for server in self.servers:
            if sdk.compute.find_server(server) is not None:
                sdk.compute.unlock_server(server)
                sdk.compute.delete_server(server, force=True)
        for server in self.servers:
            wait(partial(self._gone, server), f"server {server} to be deleted")
        for volume in self.volumes:
            wait_volume(self.cloud, volume)
            sdk.block_storage.delete_volume(volume)

    def gather(self) -> None:
        """Bring every server back to the host with Nova alone, without stackmend."""
        sdk: Any = self.cloud
        self.enable()
        away = [server for server, host in self.where().items() if host != self.host]
        was = {server: str(sdk.compute.get_server(server).vm_state) for server in away}
        for server in (one for one in away if was[one] == "suspended"):
            sdk.compute.resume_server(server)
            wait_server(self.cloud, server)
        for server in away:
            if was[server] == "stopped":
                sdk.compute.migrate_server(server, host=self.host)
            else:
                sdk.compute.live_migrate_server(server, host=self.host, block_migration="auto")
        for server in away:
            wait(partial(self._here, server), f"{server} to be on {self.host}")
            if was[server] == "stopped":
                wait_server(self.cloud, server, "VERIFY_RESIZE")
                sdk.compute.confirm_server_resize(server)
                wait_server(self.cloud, server, "SHUTOFF")
                continue
            wait_server(self.cloud, server, "PAUSED" if was[server] == "paused" else "ACTIVE")
            if was[server] == "suspended":
                sdk.compute.suspend_server(server)
                wait_server(self.cloud, server, "SUSPENDED")
        wait(lambda: self.settled(), "the moves to be over")

    def settle(self) -> None:
        """Do what a drain leaves to a human: unlock, unrescue, mend and confirm."""
        sdk: Any = self.cloud
        for server, state in self.servers.items():
            now = sdk.compute.get_server(server)
            if state == "stopped, locked" and now.is_locked:
                sdk.compute.unlock_server(server)
            elif now.status == "RESCUE":
                sdk.compute.unrescue_server(server)
            elif now.status == "ERROR":
                sdk.compute.reset_server_state(server, "active")
            elif now.status == "VERIFY_RESIZE":
                sdk.compute.confirm_server_resize(server)
            else:
                continue
            wait_server(self.cloud, server, "SHUTOFF" if state == "stopped, locked" else "ACTIVE")

    def service(self) -> tuple[str, str | None]:
        """Status and disabled reason of the host's nova-compute."""
        sdk: Any = self.cloud
        found = next(iter(sdk.compute.services(binary="nova-compute", host=self.host)))
        return str(found.status), found.disabled_reason

    def enable(self) -> None:
        """Enable the host's nova-compute."""
        sdk: Any = self.cloud
        sdk.compute.enable_service(next(iter(sdk.compute.services(binary="nova-compute", host=self.host))))

    def disable(self, reason: str) -> None:
        """Disable the host's nova-compute."""
        sdk: Any = self.cloud
        found = next(iter(sdk.compute.services(binary="nova-compute", host=self.host)))
        sdk.compute.disable_service(found, disabled_reason=reason)

    def network(self) -> str:
        """The id of a network for a canary."""
        sdk: Any = self.cloud
        return str(sdk.network.find_network("net1").id)

    def canaries(self) -> list[str]:
        """The names of stackmend's own servers."""
        sdk: Any = self.cloud
        return [one.name for one in sdk.compute.servers(all_projects=True, name="stackmend-canary")]

    def settled(self) -> bool:
        """Whether no migration holds an allocation any more."""
        held = {one for host in self.plane.hosts[:3] for one in self.held(host)}
        text = "SELECT uuid FROM migrations WHERE source_compute LIKE %s"
        return not held & {str(row["uuid"]) for row in self.plane.sql("cell:cell1", text, ("c%",))}

    def _gone(self, server: str) -> bool:
        sdk: Any = self.cloud
        return sdk.compute.find_server(server) is None

    def _here(self, server: str) -> bool:
        sdk: Any = self.cloud
        return bool(sdk.compute.get_server(server).compute_host == self.host)

    # -- the state of the cloud

    def of(self, *states: str) -> list[str]:
        """Servers that were put in one of these states."""
        return [server for server, state in self.servers.items() if state in states]

    def where(self) -> dict[str, str]:
        """Server -> its host."""
        sdk: Any = self.cloud
        return {server: str(sdk.compute.get_server(server).compute_host) for server in self.servers}

    def states(self) -> dict[str, str]:
        """Server -> its vm_state, and whether it is locked."""
        sdk: Any = self.cloud
        found = {}
        for server in self.servers:
            one = sdk.compute.get_server(server)
            found[server] = f"{one.vm_state}{', locked' if one.is_locked else ''}"
        return found

    def newest_move(self) -> int:
        """The number of the newest migration."""
        return int(self.plane.sql("cell:cell1", "SELECT COALESCE(MAX(id), 0) AS id FROM migrations")[0]["id"])

    def moves(self, since: int) -> dict[str, list[tuple[str, str]]]:
        """Server -> (status, destination) of each later migration from the host, oldest first."""
        text = (
            "SELECT instance_uuid, status, dest_compute FROM migrations WHERE source_compute = %s AND id > %s"
            " ORDER BY id"
        )
        found: dict[str, list[tuple[str, str]]] = {}
        for row in self.plane.sql("cell:cell1", text, (self.host, since)):
            if row["instance_uuid"] in self.servers:
                found.setdefault(row["instance_uuid"], []).append((row["status"], row["dest_compute"]))
        return found

    def whole(self, server: str) -> None:
        """Assert that a server's guest, ports, allocation and attachments are on its host in Nova, and nowhere else."""
        sdk: Any = self.cloud
        here = str(sdk.compute.get_server(server).compute_host)
        assert [host for host in self.plane.hosts if server in self.plane.guests(host)] == [here]
        text = (
            "SELECT b.host, b.status FROM ml2_port_bindings b JOIN ports p ON p.id = b.port_id WHERE p.device_id = %s"
        )
        assert [tuple(row.values()) for row in self.plane.sql("neutron", text, (server,))] == [(here, "ACTIVE")]
        text = (
            "SELECT DISTINCT p.name FROM allocations a JOIN resource_providers p ON p.id = a.resource_provider_id"
            " WHERE a.consumer_id = %s"
        )
        assert [row["name"] for row in self.plane.sql("placement", text, (server,))] == [here]
        text = "SELECT attached_host FROM volume_attachment WHERE instance_uuid = %s AND deleted = 0"
        assert {row["attached_host"] for row in self.plane.sql("cinder", text, (server,))} <= {here}

    def held(self, host: str) -> list[str]:
        """The consumers with an allocation on a host: servers, and moves that have not ended."""
        text = (
            "SELECT DISTINCT a.consumer_id FROM allocations a JOIN resource_providers p"
            " ON p.id = a.resource_provider_id WHERE p.name = %s"
        )
        return sorted(str(row["consumer_id"]) for row in self.plane.sql("placement", text, (host,)))


#: state -> what Nova's API calls it
_STATUS = {
    "active": "ACTIVE", "paused": "PAUSED", "stopped": "SHUTOFF", "suspended": "SUSPENDED", "rescued": "RESCUE",
    "error": "ERROR", "resized": "VERIFY_RESIZE", "moved": "VERIFY_RESIZE",
}  # fmt: skip


class Tool:
    """``stackmend`` as an operator types it on one lab, with its last output. ``config``: another configuration."""

    def __init__(self, plane: Plane, config: Path | None = None) -> None:
        self._environment = {**os.environ, **plane.env()}
        if config is not None:
            # it takes precedence over the file that a configuration names
            del self._environment["OS_CLIENT_CONFIG_FILE"]
        self._config = config or plane.toml
        self.said = ""

    def _argv(self, words: Iterable[str]) -> list[str]:
        return [sys.executable, "-m", "stackmend", "--config", str(self._config), *words]

    def run(self, *words: str) -> int:
        """Run a command to its end; returns its exit code."""
        done = subprocess.run(
            self._argv(words), env=self._environment, capture_output=True, text=True, check=False, timeout=900
        )
        self.said = f"{done.stdout}\n{done.stderr}"
        return done.returncode

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command without waiting for it."""
        return subprocess.Popen(
            self._argv(words), env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def killed(self, *words: str, after: float) -> bool:
        """Start a command and kill it with -9 after so many seconds; False if it ended before that."""
        with self.begin(*words) as process:
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                process.kill()
                return True
        return False

    def shown(self, *words: str) -> Any:
        """The JSON document of a command."""
        done = subprocess.run(
            self._argv((*words, "-f", "json")), env=self._environment, capture_output=True, text=True, check=False
        )
        return json.loads(done.stdout)

    def last_run(self) -> str:
        """The newest run of the journal."""
        found = self.shown("run", "list")
        every = found["runs"] if isinstance(found, dict) else found
        return str(every[0]["id"]) if every else ""


class Moody(ThreadingHTTPServer):
    """A proxy for nova-api that fails every tenth call: before or after it is made, as busy, or by hanging up."""

    daemon_threads = True

    def __init__(self, target: str, every: int = 10) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.every = target, every
        self.calls, self.failed = count(1), 0

    @property
    def url(self) -> str:
        """The URL of the proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: a killed client closes no connection."""


class _Handler(BaseHTTPRequestHandler):
    server: Moody
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        number = next(self.server.calls)
        mood = number // self.server.every % 4 if number % self.server.every == 0 else None
        self.server.failed += mood is not None
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if mood == 0:
            return self._say(500, b"{}", {})
        if mood == 1:
            return self._say(503, b"{}", {"Retry-After": "1"})
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "accept-encoding")}
        import requests  # importing it takes long

        made = requests.request(self.command, self.server.target + self.path, data=body, headers=headers, timeout=60)
        said, heads = made.content, {k: v for k, v in made.headers.items() if k.lower() != "content-encoding"}
        if mood == 2:
            return self._say(500, b"{}", {})
        if mood == 3:
            self.close_connection = True
            self.connection.close()
            return None
        return self._say(made.status_code, said, heads)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - names of http.server

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def moody(plane: Plane, folder: Path) -> Iterator[tuple[Moody, Path]]:
    """(a proxy for nova-api, a configuration of stackmend that uses it)."""
    lab = plane.layout
    with Moody(f"http://127.0.0.1:{lab.ports['nova']}") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        clouds = yaml.safe_load(plane.clouds_yaml.read_text())
        clouds["clouds"]["lab"]["compute_endpoint_override"] = f"{server.url}/v2.1"
        (folder / "clouds.yaml").write_text(yaml.safe_dump(clouds))
        config = folder / "stackmend.toml"
        text = plane.toml.read_text().replace('clouds = "clouds.yaml"', f'clouds = "{folder / "clouds.yaml"}"')
        config.write_text(
            text.replace('directory = "stackmend"', f'directory = "{plane.folder / "stackmend"}"').replace(
                'nova = "etc/nova.conf"', f'nova = "{plane.folder / "etc/nova.conf"}"'
            )
        )
        try:
            yield server, config
        finally:
            server.shutdown()
