# SPDX-License-Identifier: Apache-2.0
"""What can be wrong between the databases and hypervisors, and what only looks so.

As :mod:`stackmend_lab.plants` for databases: each plant returns the key of the finding expected.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stackmend_lab.cloud import Cloud, Server

from .hypervisors import Guest, Hypervisors


@dataclass(slots=True)
class Scene:
    """A cloud with its hypervisors."""

    cloud: Cloud
    standing: Hypervisors

    def server(self, kind: str = "active") -> Server:
        """A server of this kind whose domain is on its host."""
        return next(s for s in iter(lambda: self.cloud.pick(kind), None) if s.uuid in self.on(s))

    def on(self, server: Server) -> dict[str, Guest]:
        """The domains of its host."""
        return self.standing.guests.get(str(server.host), {})

    def other(self, server: Server) -> str:
        """Another host."""
        return next(host for host in sorted(self.standing.guests) if host != server.host)

    def domain(self, server: Server, **values: Any) -> None:
        """Another state or other devices of its domain."""
        self.standing.change(str(server.host), server.uuid, **values)

    def drop(self, server: Server) -> Guest:
        """Undefine it on its host."""
        return self.standing.drop(str(server.host), server.uuid)

    def copied(self, server: Server, **values: Any) -> str:
        """Another host with a copy of its domain."""
        other = self.other(server)
        self.standing.put(other, self.on(server)[server.uuid])
        if values:
            self.standing.change(other, server.uuid, **values)
        return other

    def row(self, server: Server, **values: Any) -> None:
        """Change the row of a server."""
        self.cloud.update(server.database, "instances", {"uuid": server.uuid}, **values)

    def move(self, server: Server, **values: Any) -> None:
        """A migration of it."""
        ago = self.cloud.ago(7200)
        self.cloud.insert(
            server.database, "migrations", instance_uuid=server.uuid, uuid=str(uuid.uuid4()), created_at=ago,
            updated_at=ago, deleted=0, **values,
        )  # fmt: skip


Plant = Callable[[Scene], dict[str, Any]]
Alike = Callable[[Scene], None]

# -- server-active-domain-missing


def undefined(scene: Scene) -> dict[str, Any]:
    """Somebody destroyed and undefined the domain of an active server."""
    server = scene.server()
    scene.drop(server)
    return {"server": server.uuid}


def undefined_while_stopped(scene: Scene) -> dict[str, Any]:
    """The domain of a stopped server was undefined: Nova keeps it defined."""
    server = scene.server("stopped")
    scene.drop(server)
    return {"server": server.uuid}


def elsewhere(scene: Scene) -> dict[str, Any]:
    """Somebody used virsh migrate: the guest runs on another host."""
    server = scene.server()
    scene.standing.put(scene.other(server), scene.drop(server))
    return {"server": server.uuid}


def defined_elsewhere(scene: Scene) -> dict[str, Any]:
    """Its domain is lost, and another host has one of an old move that is only defined."""
    server = scene.server()
    scene.standing.put(other := scene.other(server), scene.drop(server))
    scene.standing.change(other, server.uuid, state="shutoff")
    return {"server": server.uuid}


def just_started(scene: Scene) -> None:
    """The row changed a minute ago: the domain may be on its way."""
    server = scene.server()
    scene.drop(server)
    scene.row(server, updated_at=scene.cloud.ago(60))


def being_rebooted(scene: Scene) -> None:
    """A hard reboot undefines the domain and defines it again."""
    server = scene.server()
    scene.drop(server)
    scene.row(server, task_state="rebooting_hard")


def baremetal(scene: Scene) -> None:
    """There is no libvirt on a host of Ironic, and nobody asks it."""
    assert scene.cloud.pick("ironic").host not in scene.standing.guests


def offloaded(scene: Scene) -> None:
    """A shelved server that was offloaded has no domain and no host."""
    scene.cloud.pick("shelved_offloaded")


# -- server-power-state-drift


def shut_off(scene: Scene) -> dict[str, Any]:
    """A guest shut itself down, and Nova has not noticed."""
    server = scene.server()
    scene.domain(server, state="shutoff")
    return {"server": server.uuid}


def crashed(scene: Scene) -> dict[str, Any]:
    """A guest crashed."""
    server = scene.server()
    scene.domain(server, state="crashed")
    return {"server": server.uuid}


def started(scene: Scene) -> dict[str, Any]:
    """Somebody used virsh start on a stopped server."""
    server = scene.server("stopped")
    scene.domain(server, state="running")
    return {"server": server.uuid}


def suspended(scene: Scene) -> dict[str, Any]:
    """QEMU paused a guest that Nova calls active."""
    server = scene.server()
    scene.domain(server, state="paused")
    return {"server": server.uuid}


def stopped(scene: Scene) -> None:
    """A stopped server is shut off."""
    assert scene.on(server := scene.server("stopped"))[server.uuid].state == "shutoff"


def being_stopped(scene: Scene) -> None:
    """The guest is off, and Nova is about to say so."""
    server = scene.server()
    scene.domain(server, state="shutoff")
    scene.row(server, task_state="powering-off")


def just_stopped(scene: Scene) -> None:
    """Its state changed a minute ago."""
    server = scene.server()
    scene.domain(server, state="shutoff")
    scene.row(server, updated_at=scene.cloud.ago(60))


# -- domain-undead


def nobodys(scene: Scene) -> dict[str, Any]:
    """Every row of the server was purged, its guest runs."""
    name, host = str(uuid.uuid4()), min(scene.standing.guests)
    scene.standing.put(host, Guest(uuid=name))
    return {"server": name, "host": host}


def deleted(scene: Scene) -> dict[str, Any]:
    """A server that was deleted yesterday has a domain."""
    server, host = scene.cloud.pick("deleted"), min(scene.standing.guests)
    scene.row(server, deleted_at=scene.cloud.ago(86_400))
    scene.standing.put(host, Guest(uuid=server.uuid))
    return {"server": server.uuid, "host": host}


def left_over(scene: Scene) -> dict[str, Any]:
    """A move left a domain behind that is only defined."""
    server = scene.server()
    return {"server": server.uuid, "host": scene.copied(server, state="shutoff")}


def evacuated(scene: Scene) -> dict[str, Any]:
    """A host that was evacuated is back, and nothing has cleaned it."""
    server = scene.server()
    host = scene.copied(server, state="shutoff")
    scene.move(server, source_compute=host, dest_compute=server.host, migration_type="evacuation", status="done")
    return {"server": server.uuid, "host": host}


def runs_elsewhere(scene: Scene) -> dict[str, Any]:
    """A move failed after the guest had moved: it runs on the other host, and on its own one it is only defined."""
    server = scene.server()
    host = scene.copied(server)
    scene.domain(server, state="shutoff")
    return {"server": server.uuid, "host": host}


def still_there(scene: Scene) -> dict[str, Any]:
    """A server was offloaded, and its domain is still on its host."""
    server, host = scene.cloud.pick("shelved_offloaded"), min(scene.standing.guests)
    scene.standing.put(host, Guest(uuid=server.uuid, state="shutoff"))
    return {"server": server.uuid, "host": host}


def strangers(scene: Scene) -> None:
    """A domain without Nova's metadata is none of ours."""
    scene.standing.put(min(scene.standing.guests), Guest(uuid=str(uuid.uuid4()), server=None))


def just_deleted(scene: Scene) -> None:
    """Nova looks for the guests of deleted servers every half hour."""
    server, host = scene.cloud.pick("deleted"), min(scene.standing.guests)
    scene.row(server, deleted_at=scene.cloud.ago(600))
    scene.standing.put(host, Guest(uuid=server.uuid))


def resized(scene: Scene) -> None:
    """The source of a resize keeps its domain until that is confirmed."""
    server = scene.server("resized")
    scene.copied(server, state="shutoff")


def being_built(scene: Scene) -> None:
    """A server that is being built has no row with a host yet."""
    server = scene.cloud.pick("building")
    scene.standing.put(min(scene.standing.guests), Guest(uuid=server.uuid))


# -- domain-on-two-hosts


def twice(scene: Scene) -> dict[str, Any]:
    """A host was evacuated that was alive."""
    server = scene.server()
    scene.copied(server)
    return {"server": server.uuid}


def live_migration(scene: Scene) -> None:
    """While a server is moved two hosts have it."""
    server = scene.server()
    other = scene.copied(server, state="paused")
    scene.row(server, task_state="migrating")
    scene.move(
        server, source_compute=server.host, dest_compute=other, migration_type="live-migration", status="running"
    )


# -- domain-definition-drift


def without_nic(scene: Scene) -> dict[str, Any]:
    """It was started while its network cache was empty."""
    server = next(s for s in iter(scene.server, None) if len(scene.on(s)[s.uuid].nics) == 1)
    port = scene.on(server)[server.uuid].nics[0]["port"]
    scene.domain(server, nics=())
    return {"server": server.uuid, "device": port}


def without_volume(scene: Scene) -> dict[str, Any]:
    """An attach failed half way."""
    server = next(s for s in iter(scene.server, None) if len(scene.on(s)[s.uuid].disks) == 1)
    volume = scene.on(server)[server.uuid].disks[0]["serial"]
    scene.domain(server, disks=())
    return {"server": server.uuid, "device": volume}


def off_without_nic(scene: Scene) -> None:
    """A domain that is off is defined anew when it is started."""
    scene.domain(scene.server("stopped"), nics=(), disks=())


def being_attached(scene: Scene) -> None:
    """An interface was attached a minute ago."""
    server = scene.server()
    scene.domain(server, nics=())
    scene.row(server, updated_at=scene.cloud.ago(60))


PLANTS: dict[str, tuple[Plant, ...]] = {
    "server-active-domain-missing": (undefined, undefined_while_stopped, elsewhere, defined_elsewhere),
    "server-power-state-drift": (shut_off, crashed, started, suspended),
    "domain-undead": (nobodys, deleted, left_over, evacuated, runs_elsewhere, still_there),
    "domain-on-two-hosts": (twice,),
    "domain-definition-drift": (without_nic, without_volume),
}
LOOK_ALIKES: dict[str, tuple[Alike, ...]] = {
    "server-active-domain-missing": (just_started, being_rebooted, baremetal, offloaded),
    "server-power-state-drift": (stopped, being_stopped, just_stopped),
    "domain-undead": (strangers, just_deleted, resized, being_built),
    "domain-on-two-hosts": (live_migration,),
    "domain-definition-drift": (off_without_nic, being_attached),
}
