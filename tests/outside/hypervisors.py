# SPDX-License-Identifier: Apache-2.0
"""Hypervisors of an embedded cloud: a file a host for libvirt's own test driver, read by the real library.

They stand in for daemons that nobody could start in such numbers. What runs on them is what the rows of the cloud say,
until a test changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from stackmend.model.snapshot import CELL
from stackmend_lab.cloud import Cloud

#: state -> virDomainState
STATES = {"running": 1, "paused": 3, "shutoff": 5, "crashed": 6}
_NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"
_TEST = "http://libvirt.org/schemas/domain/test/1.0"


@dataclass(frozen=True, slots=True)
class Guest:
    """One domain."""

    uuid: str
    name: str = ""
    state: str = "running"
    server: str | None = "server"  #: None: Nova did not define it
    nics: Sequence[Mapping[str, str]] = ()  #: mac, port
    disks: Sequence[Mapping[str, str]] = ()  #: pool/image, serial

    def xml(self) -> str:
        """Its definition."""
        nova = f"<nova:instance><nova:name>{escape(self.server)}</nova:name></nova:instance>" if self.server else ""
        nics = "".join(
            f"<interface type='bridge'><mac address={quoteattr(nic['mac'])}/><source bridge='br-int'/><virtualport"
            f" type='openvswitch'><parameters interfaceid={quoteattr(nic['port'])}/></virtualport></interface>"
            for nic in self.nics
        )
        disks = "".join(
            f"<disk type='network'><auth username='cinder'><secret type='ceph' uuid='{self.uuid}'/></auth>"
            f"<source protocol='rbd' name={quoteattr(disk['image'])}/>"
            f"<target dev='vd{chr(97 + number)}' bus='virtio'/><serial>{disk['serial']}</serial></disk>"
            for number, disk in enumerate(self.disks)
        )
        return (
            f"<domain type='test' xmlns:nova='{_NOVA}' xmlns:test='{_TEST}'><name>{self.name or self.uuid}</name>"
            f"<uuid>{self.uuid}</uuid><metadata>{nova}</metadata><memory unit='KiB'>65536</memory><vcpu>2</vcpu>"
            f"<os><type machine='pc'>hvm</type></os><devices>{disks}{nics}"
            "<graphics type='vnc' autoport='yes' passwd='hidden-pw'/></devices>"
            f"<test:runstate>{STATES[self.state]}</test:runstate></domain>"
        )


@dataclass(slots=True)
class Hypervisors:
    """A folder of them."""

    folder: Path
    guests: dict[str, dict[str, Guest]] = field(default_factory=dict)  #: host -> uuid -> domain

    @property
    def toml(self) -> str:
        """The section that says where they are."""
        return f'[hosts]\nlibvirt = "test://{self.folder}/{{host}}.xml"\n'

    def file(self, host: str) -> Path:
        """Where a host is."""
        return self.folder / f"{host}.xml"

    def put(self, host: str, *guests: Guest) -> None:
        """Have these run on a host, besides those that do."""
        self.guests.setdefault(host, {}).update({guest.uuid: guest for guest in guests})
        self.write(host)

    def change(self, host: str, uuid: str, **values: Any) -> None:
        """Another state, or other devices."""
        self.put(host, replace(self.guests[host][uuid], **values))

    def drop(self, host: str, uuid: str) -> Guest:
        """Undefine one, and return it."""
        guest = self.guests[host].pop(uuid)
        self.write(host)
        return guest

    def write(self, host: str) -> None:
        """Write a host down."""
        self.folder.mkdir(parents=True, exist_ok=True)
        inside = "".join(guest.xml() for guest in self.guests.get(host, {}).values())
        self.file(host).write_text(f"<node>{inside}</node>")

    def of(self, cloud: Cloud) -> Hypervisors:
        """Everything that runs according to the rows, and nothing else."""
        self.guests = {}
        for host, guest in _servers(cloud, _ports(cloud)):
            self.guests.setdefault(host, {})
            if guest:
                self.guests[host][guest.uuid] = guest
        for host in self.guests:
            self.write(host)
        return self


def _ports(cloud: Cloud) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in cloud.rows(
        "neutron", "SELECT id, device_id, mac_address FROM ports WHERE device_owner LIKE 'compute:%'"
    ):
        found.setdefault(row["device_id"], []).append({"mac": row["mac_address"], "port": row["id"]})
    return found


def _servers(cloud: Cloud, ports: Mapping[str, list[dict[str, str]]]) -> Iterator[tuple[str, Guest | None]]:
    for database in (name for name in cloud.databases if name.startswith(CELL)):
        nodes = cloud.rows(database, "SELECT host, hypervisor_type FROM compute_nodes WHERE deleted = 0")
        metal = {row["host"] for row in nodes if row["hypervisor_type"] == "ironic"}
        for row in cloud.rows(database, "SELECT host FROM services WHERE deleted = 0 AND `binary` = 'nova-compute'"):
            if row["host"] not in metal:
                yield row["host"], None
        servers = cloud.rows(
            database,
            "SELECT uuid, id, host, vm_state, power_state FROM instances"
            " WHERE deleted = 0 AND host IS NOT NULL AND vm_state NOT IN ('shelved_offloaded', 'building')",
        )
        volumes: dict[str, list[dict[str, str]]] = {}
        for row in cloud.rows(
            database,
            "SELECT instance_uuid, volume_id FROM block_device_mapping WHERE deleted = 0 AND volume_id IS NOT NULL",
        ):
            disk = {"image": f"volumes/volume-{row['volume_id']}", "serial": row["volume_id"]}
            volumes.setdefault(row["instance_uuid"], []).append(disk)
        for row in servers:
            if row["host"] in metal:
                continue
            state = {"active": "running", "paused": "paused", "rescued": "running", "resized": "running"}
            shut = "shutoff" if row["power_state"] != 1 else "running"
            # two cells number their servers alike, and libvirt wants each name once
            name = f"{database.removeprefix(CELL)}-{row['id']:08x}"
            guest = Guest(
                uuid=row["uuid"], name=name, state=state.get(row["vm_state"], shut),
                nics=ports.get(row["uuid"], ()), disks=volumes.get(row["uuid"], ()),
            )  # fmt: skip
            yield row["host"], guest
