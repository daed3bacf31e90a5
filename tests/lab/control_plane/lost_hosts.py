# SPDX-License-Identifier: Apache-2.0
"""Hosts of the lab that are lost or restarted with servers on them, and what must be true afterwards."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackmend.app import apis, runs, workflows
from stackmend.config.settings import Config, load
from stackmend.drivers.api.executor import ApiExecutor
from stackmend.model.journal import RunResult
from stackmend.model.operations import operation_of
from stackmend.model.plan import Plan
from stackmend.model.step import StepState
from stackmend.model.writer import StepResult
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import IMAGE, wait, wait_server

from ...support.carried_out import carried_out
from . import sdk_errors

RUNNING, SHUTDOWN = 1, 4
_PURGE = """#!{python}
import sys, kombu
with kombu.Connection("{url}".replace("rabbit://", "amqp://")) as connection:
    connection.default_channel.queue_purge(sys.argv[1])
"""


def switched(plane: Plane, host: str) -> None:
    """Switch a machine off and on: its guests are off, nothing is plugged, and nova-compute starts."""
    plane.kill(f"nova-compute-{host}")
    path = plane.folder / "state" / "nova" / host / "guests.json"
    guests = json.loads(path.read_text())
    for guest in guests.values():
        guest["state"] = SHUTDOWN
    path.write_text(json.dumps(guests))
    for plugged in (plane.folder / "state" / "plugged" / host).iterdir():
        plugged.unlink()
    plane.start(f"nova-compute-{host}")


class Loss:
    """The first host of the lab, which shares its cell with another one, and servers created for one test."""

    def __init__(self, plane: Plane, folder: Path) -> None:
        self.plane, self.sdk = plane, plane.connect()
        self.host, self.other = plane.hosts[:2]
        self.tag = uuid.uuid4().hex[:6]
        self.servers: dict[str, str] = {}
        # with its own journal; paths in the file are relative to the lab's folder
        self.config_file = plane.folder / f"losing-{self.tag}.toml"
        text = plane.toml.read_text().replace('directory = "stackmend"', f'directory = "{folder / "state"}"')
        self.config_file.write_text(text, encoding="utf-8")

    @property
    def config(self) -> Config:
        """The lab's configuration, with a journal of its own."""
        return load(str(self.config_file))

    # -- servers

    def make(self, name: str, *, volume: bool = True, host: str = "", hints: Any = None) -> str:
        """Create a running server, by default on the host that will be lost; it boots from a volume or the image."""
        cloud: Any = self.sdk
        image = cloud.image.find_image(IMAGE).id
        device = {
            "boot_index": 0, "uuid": image, "source_type": "image", "destination_type": "volume", "volume_size": 1,
            "delete_on_termination": True,
        }  # fmt: skip
        made = cloud.compute.create_server(
            name=f"{name}-{self.tag}",
            flavor_id=cloud.compute.find_flavor("small").id,
            networks=[{"uuid": cloud.network.find_network("net1").id}],
            availability_zone=f"nova:{host or self.host}",
            **({"block_device_mapping": [device]} if volume else {"image_id": image}),
            **({"scheduler_hints": hints} if hints else {}),
        )
        self.servers[name] = str(made.id)
        return str(made.id)

    def ready(self) -> None:
        """Wait until all servers run."""
        for server in self.servers.values():
            wait_server(self.sdk, server)

    def show(self, name: str) -> Any:
        """A server as Nova shows it."""
        cloud: Any = self.sdk
        return cloud.compute.get_server(self.servers[name])

    def stop(self, name: str) -> None:
        """Stop a server, as its owner does."""
        cloud: Any = self.sdk
        cloud.compute.stop_server(self.servers[name])
        wait_server(self.sdk, self.servers[name], "SHUTOFF")

    def providers(self, name: str) -> set[str]:
        """The names of the hosts on which a server holds an allocation."""
        cloud: Any = self.sdk
        body = cloud.placement.get(f"/allocations/{self.servers[name]}").json()
        names = {str(one.id): str(one.name) for one in cloud.placement.resource_providers()}
        return {names[one] for one in body["allocations"]}

    def guests(self, host: str) -> dict[str, int]:
        """Name -> power state of the servers on a hypervisor."""
        names = {server: name for name, server in self.servers.items()}
        return {names[s]: guest["state"] for s, guest in self.plane.guests(host).items() if s in names}

    # -- the host

    def kill(self) -> None:
        """Kill nova-compute; its guests keep running: only a fence would end them."""
        self.plane.kill(f"nova-compute-{self.host}")
        self.unheard()

    def unheard(self) -> None:
        """Wait until Nova takes nova-compute for down."""
        cloud: Any = self.sdk
        wait(
            lambda: next(iter(cloud.compute.services(binary="nova-compute", host=self.host))).state == "down",
            f"{self.host} to be down",
            90,
        )

    def restart(self) -> str:
        """Restart the machine: its guests are off, nothing is plugged, nova-compute comes up. Returns the time."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        switched(self.plane, self.host)
        self.plane.wait()
        return now

    def start(self) -> None:
        """Start nova-compute again."""
        self.plane.start(f"nova-compute-{self.host}")

    def sync(self, on: bool) -> None:
        """Switch nova-compute's power state sync off from its next start on, or on again at once."""
        name = f"compute-{self.host}"
        self.plane.configure(name, {} if on else {"DEFAULT": {"sync_power_state_interval": -1}})
        if on:
            self.plane.stop(f"nova-{name}")
            self.start()
            self.plane.wait()

    def lift(self) -> None:
        """Clear the host's forced-down, which Nova refuses until the host has cleaned up after evacuations."""
        assert self.call("evacuations-completed", host=self.host).state is StepState.DONE
        self.plane.raise_hosts()
        self.plane.wait()

    def boots(self, name: str, text: str) -> None:
        """Set what a guest writes to its console whenever it boots from now on."""
        self.plane.boots(self.host, self.servers[name], text)

    def forget(self, name: str) -> None:
        """Remove a guest from the host's hypervisor that should not be there."""
        path = self.plane.folder / "state" / "nova" / self.host / "guests.json"
        guests = json.loads(path.read_text())
        del guests[self.servers[name]]
        path.write_text(json.dumps(guests))

    def hook(self, name: str, folder: Path) -> None:
        """Write a hook that empties the queue of a host, like ``rabbitmqctl purge_queue compute.HOST``."""
        lab = self.plane.layout
        program = folder / name
        url = lab.queue_url(lab.hosts[self.host])
        program.touch(0o700)
        program.write_text(_PURGE.format(python=f"{lab.services}/bin/python", url=url))
        with self.config_file.open("a", encoding="utf-8") as file:
            file.write(f'\n[hooks]\n{name} = ["{program}", "compute.{{host}}"]\n')

    # -- workflows

    def plan(self, name: str, *, parallel: int = 4, **arguments: Any) -> Plan:
        """Plan a workflow for the host, as its command does."""
        return workflows.plan(self.config, name, {"host": self.host, **arguments}, parallel=parallel, audited=True)

    def apply(self, plan: Plan) -> RunResult:
        """Run the plan."""
        return runs.apply(self.config, plan, accept=("all",))

    def call(self, operation: str, **arguments: Any) -> StepResult:
        """Make one call to Nova and wait for its outcome."""
        executor: ApiExecutor = apis.executor(self.config)
        try:
            return carried_out(executor, operation_of("compute", operation, arguments).call(), "")
        finally:
            executor.close()

    def close(self) -> None:
        """Restore the lab."""
        cloud: Any = self.sdk
        self.plane.release_all()
        self.plane.configure(f"compute-{self.host}", {})
        states = {service.name: service.state for service in self.plane.status()}
        if states[f"nova-compute-{self.host}"] != "running":
            self.start()
        self.lift()
        for server in self.servers.values():
            with suppress(sdk_errors.SDKException):
                cloud.compute.delete_server(server, ignore_missing=True)
        for server in self.servers.values():
            wait(lambda name=server: cloud.compute.find_server(name) is None, f"server {server} to be gone", 120)
        cloud.close()
        self.config_file.unlink()
