# SPDX-License-Identifier: Apache-2.0
"""An embedded cloud's networks, routers and ports in a real OVN, as the driver of Neutron writes them.

Names and keys are those of neutron/plugins/ml2/drivers/ovn/mech_driver/ovsdb/ovn_client.py. What ovn-controller would
do on each host (its chassis, its claims on ports) is written to the southbound database in its place.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from stackmend_lab.cloud import Cloud, Server

from ..support.ovn_servers import Ovn

_PORTS = """
    SELECT p.id, p.name, p.network_id, p.mac_address, p.device_id, p.device_owner, p.project_id, p.status,
           p.admin_state_up, a.revision_number, b.host, b.vif_type
      FROM ports p
      JOIN standardattributes a ON a.id = p.standard_attr_id
      LEFT JOIN ml2_port_bindings b ON b.port_id = p.id AND b.status = 'ACTIVE'
     WHERE p.device_owner <> 'network:floatingip'"""
_NAMED = "SELECT t.id, t.name, a.revision_number FROM {0} t JOIN standardattributes a ON a.id = t.standard_attr_id"


def record(cloud: Cloud) -> None:
    """What Neutron's driver records of each object when OVN has it."""
    for kind in ("networks", "routers", "ports"):
        sql = f"""SELECT t.id, t.standard_attr_id, a.revision_number FROM {kind} t
                    JOIN standardattributes a ON a.id = t.standard_attr_id"""
        sql += " WHERE t.device_owner <> 'network:floatingip'" if kind == "ports" else ""
        for row in cloud.rows("neutron", sql):
            recorded(cloud, kind, row["id"], row["standard_attr_id"], row["revision_number"])


def recorded(cloud: Cloud, kind: str, name: str, attribute: int | None, revision: int, age: float = 86_400) -> None:
    """One such record."""
    cloud.insert(
        "neutron", "ovn_revision_numbers", resource_uuid=name, resource_type=kind, standard_attr_id=attribute,
        revision_number=revision, created_at=cloud.ago(age), updated_at=cloud.ago(age),
    )  # fmt: skip


def quoted(text: Any) -> str:
    """A value in the notation of ovn-nbctl."""
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def switch(name: str, called: str = "net", revision: int = 3) -> list[str]:
    """The commands that make the logical switch of a network or segment."""
    ids = f"external_ids:neutron\\:network_name={quoted(called)}"
    return ["--", "ls-add", f"neutron-{name}", "--", "set", "Logical_Switch", f"neutron-{name}", ids,
            "external_ids:neutron\\:provnet-network-type=vxlan", "external_ids:neutron\\:mtu=\"1450\"",
            f"external_ids:neutron\\:revision_number={quoted(revision)}"]  # fmt: skip


def router(name: str, called: str = "router", revision: int = 3) -> list[str]:
    """The commands that make a logical router."""
    ids = f"external_ids:neutron\\:router_name={quoted(called)}"
    return ["--", "lr-add", f"neutron-{name}", "--", "set", "Logical_Router", f"neutron-{name}", ids,
            f"external_ids:neutron\\:revision_number={quoted(revision)}"]  # fmt: skip


def port(row: dict[str, Any]) -> list[str]:
    """The commands that make the port of a switch."""
    ids = {
        "port_name": row["name"] or "", "device_id": row["device_id"], "device_owner": row["device_owner"],
        "project_id": row["project_id"], "network_name": f"neutron-{row['network_id']}",
        "revision_number": row["revision_number"],
    }  # fmt: skip
    columns = [f"external_ids:neutron\\:{key}={quoted(value)}" for key, value in ids.items()]
    columns.append(f"enabled={'true' if row['admin_state_up'] else 'false'}")
    if row["host"]:
        columns.append(f"options:requested-chassis={quoted(row['host'])}")
    return ["--", "lsp-add", f"neutron-{row['network_id']}", row["id"], "--", "lsp-set-addresses", row["id"],
            row["mac_address"], "--", "set", "Logical_Switch_Port", row["id"], *columns]  # fmt: skip


@dataclass
class Mirror:
    """The cloud and its OVN."""

    cloud: Cloud
    ovn: Ovn
    _places: Iterator[int] = field(default_factory=lambda: count(1))

    def fill(self) -> None:
        """Write everything."""
        rows = self.cloud.rows("neutron", _PORTS)
        self.nb(
            *(word for row in self.cloud.rows("neutron", _NAMED.format("networks"))
              for word in switch(row["id"], row["name"], row["revision_number"])),
            *(word for row in self.cloud.rows("neutron", _NAMED.format("routers"))
              for word in router(row["id"], row["name"], row["revision_number"])),
            *(word for row in rows for word in port(row)),
        )  # fmt: skip
        hosts = sorted({row["host"] for row in rows if row["host"] and row["vif_type"] == "ovs"})
        self.sb(*(word for host in hosts for word in self.chassis(host)))
        self.claim(
            *((row["id"], row["host"]) for row in rows if row["status"] == "ACTIVE" and row["vif_type"] == "ovs")
        )

    def nb(self, *words: str) -> None:
        """Commands, each after ``--``, in one transaction."""
        self.ovn.nb(*(words[1:] if words[0] == "--" else words))

    def sb(self, *words: str) -> None:
        """The same, southbound."""
        self.ovn.sb(*(words[1:] if words[0] == "--" else words))

    def chassis(self, host: str, name: str = "", behind: int = 0, age: float = 5) -> list[str]:
        """The commands that make what ovn-controller makes of its host, which reported ``age`` seconds ago.

        ``behind``: by how many changes it had not followed OVN then; each ``ovn-nbctl --wait`` asks for one more.
        """
        name = name or chassis_of(host)
        number = int(self.ovn.quiet("get", "NB_Global", ".", "nb_cfg")) - behind
        place = f"10.9.0.{next(self._places)}"
        new = f"@p{name}"
        return ["--", "chassis-add", name, "geneve", place, "--", "set", "Chassis", name, f"hostname={quoted(host)}",
                "--", f"--id={new}", "create", "Chassis_Private", f"name={quoted(name)}", f"nb_cfg={number}",
                f"nb_cfg_timestamp={int((time.time() - age) * 1000)}"]  # fmt: skip

    def claim(self, *pairs: tuple[str, str]) -> None:
        """Chassis plug ports in; northd then says in the northbound database that they are up."""
        self.sb(
            *(word for name, host in pairs for word in ("--", "lsp-bind", name, chassis_of(host), "--", "set",
                                                        "Port_Binding", name, "up=true"))
        )  # fmt: skip
        self.ovn.quiet(
            *[w for name, _ in pairs for w in ("--", "wait-until", "Logical_Switch_Port", name, "up=true")][1:]
        )

    def unplug(self, name: str) -> None:
        """The chassis that has a port unplugs it."""
        self.sb("set", "Port_Binding", name, "up=false", "--", "lsp-unbind", name)
        self.ovn.quiet("wait-until", "Logical_Switch_Port", name, "up=false")

    def ports(self) -> Iterator[tuple[Server, dict[str, Any]]]:
        """Running servers that nobody picked, each with a plugged-in port of its own."""
        while True:
            server = self.cloud.pick("active")
            rows = self.cloud.rows("neutron", f"{_PORTS} AND p.device_id = :server", {"server": server.uuid})
            for row in (row for row in rows if row["status"] == "ACTIVE" and row["vif_type"] == "ovs"):
                yield server, row
                break

    def one(self) -> dict[str, Any]:
        """The port of a running server."""
        return next(self.ports())[1]

    def new_id(self) -> str:
        """An id that nothing has."""
        return str(uuid.uuid4())


def chassis_of(host: str) -> str:
    """The name of the chassis of a host: a ``system-id``, as hosts have."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, host))
