# SPDX-License-Identifier: Apache-2.0
"""The services of a cloud in which hosts die: on SQLite files or on MariaDB, with what workflows ask of them."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from stackmend_lab.cloud import Cloud
from stackmend_lab.cloud.build import DATABASES
from stackmend_lab.cloud.handle import MariaDBStore, SQLiteStore
from stackmend_lab.mariadb import MariaDB

from ..drivers.api.fake import Fake, Reply
from ..drivers.api.showing import CELLS, ShowingFake, iso

#: stands for Nova's own command: $DATABASES names the SQLite files of the cell and of Cinder
NOVA_MANAGE = """#!{python}
import json, os, sqlite3, sys, uuid
cell, cinder = (sqlite3.connect(path, isolation_level=None) for path in os.environ["DATABASES"].split(":"))
command, words = sys.argv[2], sys.argv[3:]
if command == "get_connector":
    print(json.dumps({{"host": os.environ["HOST"], "initiator": "iqn.test:" + os.environ["HOST"], "multipath": False}}))
    sys.exit(0)
server, volume = words[:2]
find = "SELECT id, attachment_id, connection_info FROM block_device_mapping WHERE instance_uuid = ? AND volume_id = ?"
found = cell.execute(find + " AND deleted = 0", (server, volume)).fetchone()
if found is None:
    sys.exit(3)
if command == "show":
    print(found)
    sys.exit(0)
state, host = cell.execute("SELECT vm_state, host FROM instances WHERE uuid = ?", (server,)).fetchone()
connector = json.load(open(words[2]))
if state != "stopped":
    sys.exit(5)
if connector["host"] != host:
    sys.exit(7)
new = str(uuid.uuid4())
cinder.execute("UPDATE volume_attachment SET deleted = 1 WHERE id = ?", (found[1],))
cinder.execute(
    "INSERT INTO volume_attachment (id, volume_id, instance_uuid, attached_host, mountpoint, attach_status, deleted)"
    " VALUES (?, ?, ?, ?, '/dev/vdb', 'attached', 0)", (new, volume, server, host))
cell.execute("UPDATE block_device_mapping SET attachment_id = ? WHERE id = ?", (new, found[0]))
cell.execute("UPDATE instances SET updated_at = '2026-01-01 00:00:00' WHERE uuid = ?", (server,))
"""


def nova_manage(cloud: Cloud, host: str, database: str, folder: Path) -> tuple[str, ...]:
    """What comes before a command so that nova-manage is found and speaks for that host."""
    folder.mkdir(exist_ok=True)
    program = folder / "nova-manage"
    program.write_text(NOVA_MANAGE.format(python=sys.executable))
    program.chmod(0o755)
    files = ":".join(cloud.databases[name].removeprefix("sqlite:///") for name in (database, "cinder"))
    return "env", f"PATH={folder}:/usr/bin:/bin", f"HOST={host}", f"DATABASES={files}"


class Services(ShowingFake):
    """Nova tells which of its services are down; a reboot makes a guest where Nova has the server."""

    #: what a guest shows, look by look; the last one stays
    consoles: list[str] = []  # noqa: RUF012 - each test sets its own
    #: whether a detach looks as if it had come to nothing, and ends later (:meth:`end_detach`)
    late = False

    @classmethod
    def on(cls, server: MariaDB, prefix: str, cloud: Cloud, folder: Path) -> Services:
        """The services of a cloud on MariaDB, over connections of their own."""
        found = cls(Cloud(SQLiteStore(folder, {}, {}), datetime.now(UTC), []), folder)
        names = {database: prefix + name for database, (_, name) in DATABASES.items()}
        connections = {database: server.connect(name) for database, name in names.items()}
        found.cloud = Cloud(MariaDBStore(server, names, connections, cloud.state), datetime.now(UTC), [])
        return found

    def refresh(self, cloud: Cloud) -> None:
        """Forget what was read of files that were put back meanwhile."""
        if next(iter(cloud.databases.values())).startswith("sqlite"):
            self.cloud.close()
            self.cloud = Fake(cloud, self.folder).cloud

    def list_services(self, _: Any, query: str) -> Reply:
        asked = parse_qs(query or "")
        found = []
        for cell in CELLS:
            for row in self.cloud.rows(cell, "SELECT * FROM services WHERE deleted = 0"):
                if any(row[name] not in values for name, values in asked.items() if name in ("host", "binary")):
                    continue
                seen = datetime.fromisoformat(str(row["last_seen_up"])).replace(tzinfo=UTC)
                dead = row["forced_down"] or (datetime.now(UTC) - seen).total_seconds() > 60
                found.append({
                    "host": row["host"], "binary": row["binary"], "id": row["uuid"], "state": "down" if dead else "up",
                    "status": "disabled" if row["disabled"] else "enabled", "forced_down": bool(row["forced_down"]),
                    "updated_at": iso(row["last_seen_up"]),
                })  # fmt: skip
        return 200, {"services": found}

    def set_service(self, body: Any, name: str) -> Reply:
        for cell in CELLS:
            self.cloud.update(cell, "services", {"uuid": name}, forced_down=int(body["forced_down"]))
        return 200, {"service": body}

    def list_migrations(self, _: Any, query: str) -> Reply:
        code, body = super().list_migrations(_, query)
        asked = {name: values[0] for name, values in parse_qs(query or "").items()}
        wanted = {name: asked[name] for name in ("source_compute", "migration_type") if name in asked}
        some = [one for one in body["migrations"] if all(one.get(name) == value for name, value in wanted.items())]
        if host := asked.get("host"):  # from there or to there, as Nova has it
            some = [one for one in some if host in (one["source_compute"], one["dest_compute"])]
        return code, {"migrations": some}

    def list_servers(self, _: Any, query: str) -> Reply:
        code, body = super().list_servers(_, query)
        asked = parse_qs(query).get("host")
        return code, {"servers": [s for s in body["servers"] if not asked or s["OS-EXT-SRV-ATTR:host"] == asked[0]]}

    def look(self, cell: str, row: dict[str, Any]) -> dict[str, Any]:
        shown = super().look(cell, row)
        names = {"name": row.get("display_name"), "OS-EXT-SRV-ATTR:root_device_name": row.get("root_device_name")}
        return {**shown, **names}

    def list_mappings(self, _: Any, server: str) -> Reply:
        database, _row = self.server(server)
        sql = (
            "SELECT volume_id, device_name, delete_on_termination, tag FROM block_device_mapping"
            " WHERE instance_uuid = :s AND deleted = 0 AND volume_id IS NOT NULL ORDER BY id"
        )
        found = [
            {"volumeId": row["volume_id"], "serverId": server, "device": row["device_name"], "tag": row["tag"],
             "delete_on_termination": bool(row["delete_on_termination"])}
            for row in self.cloud.rows(database, sql, {"s": server})
        ]  # fmt: skip
        return 200, {"volumeAttachments": found}

    def drop_mapping(self, _: Any, server: str, volume: str) -> Reply:
        if self.late:
            self.acted(server, "detach_volume", "Error")
            return 202, None
        code, body = super().drop_mapping(_, server, volume)
        self.acted(server, "detach_volume", "Success")
        return code, body

    def end_detach(self, server: str, volume: str) -> None:
        """What nobody expected any more comes to its end."""
        self.late = False
        super().drop_mapping(None, server, volume)

    def attach(self, body: Any, server: str) -> Reply:
        """Attach a volume, or leave it alone where the back end refuses: Nova accepts it either way."""
        asked = body["volumeAttachment"]
        database, row = self.server(server)
        if self.stubborn:
            self.acted(server, "attach_volume", "Error")
            return 200, {"volumeAttachment": asked}
        name, volume = str(uuid.uuid4()), asked["volumeId"]
        self.cloud.insert(
            "cinder", "volume_attachment", id=name, volume_id=volume, instance_uuid=server, deleted=0,
            attached_host=row["host"], mountpoint="/dev/vdz", attach_status="attached",
        )  # fmt: skip
        self.cloud.update("cinder", "volumes", {"id": volume}, status="in-use", attach_status="attached")
        self.cloud.insert(
            database, "block_device_mapping", uuid=name, instance_uuid=server, volume_id=volume, attachment_id=name,
            source_type="volume", destination_type="volume", device_name="/dev/vdz", deleted=0, no_device=0,
            delete_on_termination=int(asked["delete_on_termination"]), tag=asked.get("tag"),
        )  # fmt: skip
        self.acted(server, "attach_volume", "Success")
        return 200, {"volumeAttachment": asked}

    def acted(self, server: str, action: str, result: str, **told: str) -> None:
        """Record an action as Nova does, now; ``told``: details, traceback."""
        database, _row = self.server(server)
        now = self.cloud.ago(0)
        number = self.cloud.insert(
            database, "instance_actions", action=action, instance_uuid=server, request_id=f"req-{uuid.uuid4()}",
            start_time=now, created_at=now, deleted=0, message="Error" if result == "Error" else None,
        )  # fmt: skip
        self.cloud.insert(
            database, "instance_actions_events", action_id=number, event="compute_x", start_time=now, finish_time=now,
            result=result, deleted=0, created_at=now, **told,
        )  # fmt: skip

    def list_attachments(self, _: Any, query: str) -> Reply:
        asked = parse_qs(query).get("instance_id")
        code, body = super().list_attachments(_, query)
        return code, {"attachments": [one for one in body["attachments"] if not asked or one["instance"] == asked[0]]}

    def list_agents(self, _: Any, query: str) -> Reply:
        """Those of Neutron's table: each of them lives."""
        host = parse_qs(query or "").get("host")
        found = [
            {name: row[name] for name in ("id", "agent_type", "host")} | {"alive": True, "admin_state_up": True}
            for row in self.cloud.rows("neutron", "SELECT * FROM agents")
            if not host or row["host"] == host[0]
        ]
        return 200, {"agents": found}

    def lists(self) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
        one = "([^/?]+)"
        yield "GET", r"/network/v2.0/agents(?:\?(.*))?", self.list_agents
        yield "PUT", f"/compute/v2.1/os-services/{one}", self.set_service
        yield "GET", f"/compute/v2.1/servers/{one}/os-volume_attachments", self.list_mappings
        yield "POST", f"/compute/v2.1/servers/{one}/os-volume_attachments", self.attach
        yield from super().lists()

    def show_allocations(self, _: Any, consumer: str) -> Reply:
        return Fake.show_allocations(self, _, consumer)

    def server_action(self, body: Any, name: str) -> Reply:
        database, row = self.server(name)
        if "os-getConsoleOutput" in body:
            return 200, {"output": self.consoles.pop(0) if len(self.consoles) > 1 else self.consoles[0]}
        if "os-stop" in body or "os-start" in body:
            state, power = ("stopped", 4) if "os-stop" in body else ("active", 1)
            self.cloud.update(database, "instances", {"uuid": name}, vm_state=state, power_state=power)
            return 202, None
        if "reboot" not in body:
            return super().server_action(body, name)
        dead = self.cloud.rows(database, "SELECT forced_down FROM services WHERE host = :h", {"h": row["host"]})
        assert not dead[0]["forced_down"], "nobody is there to reboot it"
        self.cloud.update(database, "instances", {"uuid": name}, vm_state="active", power_state=1)
        for vif in self.vifs(database, name):
            self.cloud.update("neutron", "ports", {"id": vif["id"]}, status="ACTIVE")
        return 202, None

    def toml(self) -> str:
        """The account, for a configuration."""
        return f'[api]\ncloud = "fake"\nclouds = "{self.clouds_yaml()}"\ntimeout = 5\n'


def quoted(words: tuple[str, ...]) -> str:
    """A list as TOML has it."""
    return json.dumps(list(words))
