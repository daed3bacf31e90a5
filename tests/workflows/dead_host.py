# SPDX-License-Identifier: Apache-2.0
"""A cloud of which one host has died, with its services, and what tests of relocation ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackmend.app import audits, workflows
from stackmend.config.settings import Config, load
from stackmend.model.plan import Action, Plan
from stackmend.model.step import Manual
from stackmend_lab.cloud import Cloud, Server, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants._volumes import attach, new_volume

from ..drivers.api.serving import serving
from .services import Services, nova_manage, quoted

HOST, TO = "c0001", "c0003"
CELL = "cell:cell1"
Row = dict[str, Any]


@dataclass
class Site:
    """A cloud with a dead host, its services, and a configuration."""

    cloud: Cloud
    services: Services
    folder: Path
    hosts: str = ""

    @property
    def toml(self) -> Path:
        """The configuration."""
        path = self.folder / "stackmend.toml"
        path.write_text(self.cloud.toml() + self.services.toml() + self.hosts, encoding="utf-8")
        return path

    @property
    def config(self) -> Config:
        """It, read."""
        return load(str(self.toml))

    def settle(self) -> None:
        """One host is dead for ten minutes, all others report."""
        self.hosts = ""
        for cell in ("cell:cell1", "cell:cell2"):
            self.cloud.execute(cell, "UPDATE services SET last_seen_up = :t", {"t": self.cloud.ago(2)})
        where = {"host": HOST, "binary": "nova-compute"}
        self.cloud.update(CELL, "services", where, last_seen_up=self.cloud.ago(600), forced_down=1)
        self.services.refresh(self.cloud)
        self.services.seen.clear()

    def connect(self) -> None:
        """Commands on the new host work."""
        words = nova_manage(self.cloud, TO, CELL, self.folder / "bin")
        self.hosts = f'[hosts]\ntransport = "local"\nlocal = ["{TO}"]\ncontainer = {quoted(words)}\n'

    def put(self, kind: str = "active", *, volumes: int = 0) -> Server:
        """A server of that kind on the dead host, with so many volumes."""
        while True:
            server = self.cloud.pick(kind)
            if server.host == HOST and len(server.volumes) == 0:
                break
        for _ in range(volumes):
            attach(self.cloud, server, new_volume(self.cloud))
        return server

    def plan(self, *servers: Server, audited: bool = False, **options: Any) -> Plan:
        """The plan to relocate these, or all."""
        asked = {"host": HOST, "to": TO, "servers": tuple(s.uuid for s in servers), "fenced": True, "shared": True}
        return workflows.plan(self.config, "relocate-host", asked | options, audited=audited)

    def server(self, server: Server) -> Row:
        """Its row."""
        return self.row(CELL, "instances", uuid=server.uuid)

    def row(self, database: str, table: str, **where: Any) -> Row:
        """The one row that reads so."""
        (found,) = self.rows(database, table, **where)
        return found

    def rows(self, database: str, table: str, **where: Any) -> list[Row]:
        """All rows that read so."""
        terms = " AND ".join(f"{name} = :{name}" for name in where)
        return self.cloud.rows(database, f"SELECT * FROM {table} WHERE {terms}", where)

    def charged(self, server: Server) -> set[str]:
        """Names of the providers that hold something for it."""
        sql = (
            "SELECT DISTINCT p.name FROM allocations a JOIN resource_providers p ON p.id = a.resource_provider_id"
            " WHERE a.consumer_id = :s"
        )
        return {row["name"] for row in self.cloud.rows("placement", sql, {"s": server.uuid})}

    def bound(self, server: Server) -> set[tuple[str, str]]:
        """(host, status) of the bindings of its ports."""
        return {
            (row["host"], row["status"])
            for port in server.ports
            for row in self.rows("neutron", "ml2_port_bindings", port_id=port)
        }

    def found(self) -> list[str]:
        """Checks that find something."""
        report = audits.audit(self.config, settle=0)
        return sorted(finding.check for finding in report.findings)


@contextmanager
def standing(folder: Path, server: MariaDB | None = None, hosts: int = 4) -> Iterator[Site]:
    """A cloud of so many hosts in two cells, with its services."""
    cloud = build(server or folder / "cloud", servers=300, seed=17, hosts=hosts, prefix="relocate_" if server else "")
    cloud.save()
    services = Services.on(server, "relocate_", cloud, folder) if server else Services(cloud, folder)
    with serving(services):
        yield Site(cloud, services, folder)
    cloud.close()


def moves(plan: Plan) -> list[Action]:
    """The lanes of servers that are moved."""
    return [action for action in plan.runnable if action.resource_type == "server"]


def only(plan: Plan) -> Action:
    """Its one server that is moved."""
    (action,) = moves(plan)
    return action


def refusal(plan: Plan, server: Server) -> str:
    """Why a server stays."""
    assert plan.runnable == ()
    (action,) = [action for action in plan.actions if action.resource_id == server.uuid]
    (step,) = action.steps
    assert isinstance(step, Manual)
    return step.text


def refused(plan: Plan) -> str:
    """Why nothing is begun at all."""
    assert plan.actions == ()
    (left,) = plan.not_repaired
    return left.reason
