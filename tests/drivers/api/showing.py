# SPDX-License-Identifier: Apache-2.0
"""The lists that the services show of a cloud: in pages, without what they leave out, down cells and all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

from stackmend_lab.cloud import Cloud

from .fake import Fake, RefusedError, Reply

BUILD = "build requests"
CELLS = ("cell:cell0", "cell:cell1", "cell:cell2")


def iso(text: Any) -> str | None:
    """A time as APIs write it."""
    return None if text is None else f"{str(text)[:19].replace(' ', 'T')}Z"


def _of(only: str | None, sql: str, column: str) -> tuple[str, dict[str, Any]]:
    """The statement, narrowed to one value, with its parameters: confirming a finding asks for one thing at a time."""
    if only is None:
        return sql, {}
    return f"{sql} {'AND' if ' WHERE ' in sql else 'WHERE'} {column} = :only", {"only": only}


class ShowingFake(Fake):
    """The services with their lists. ``page``: members of one page; ``down``: cells that do not answer."""

    SERVICES: ClassVar[dict[str, tuple[str, str, str]]] = {
        **Fake.SERVICES, "placement": ("/placement", "1.0", "1.39"),
    }  # fmt: skip

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.page, self.down, self.member = 1000, set[str](), False
        own = [(method, re.compile(pattern + r"\Z"), handler) for method, pattern, handler in self.lists()]
        self.routes = own + self.routes

    def lists(self) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
        """Routes that come first."""
        nova, cinder, more, one = "/compute/v2.1", "/volume/v3", r"(?:\?(.*))?", "([^/?]+)"
        yield "GET", f"{nova}/servers/detail{more}", self.list_servers
        yield "GET", f"{nova}/servers/{one}", self.one_server
        yield "GET", rf"{nova}/servers/{one}/os-instance-actions(?:\?.*)?", self.list_actions
        yield "GET", rf"{nova}/servers/{one}/os-instance-actions/{one}", self.one_action
        yield "GET", f"{nova}/os-services{more}", self.list_services
        yield "GET", f"{nova}/os-hypervisors/detail{more}", self.list_nodes
        yield "GET", f"{nova}/os-migrations{more}", self.list_migrations
        yield "GET", f"{nova}/os-aggregates{more}", self.list_aggregates
        yield "GET", f"/network/v2.0/ports{more}", self.list_ports
        yield "GET", "/network/v2.0/quotas", self.list_quotas
        yield "GET", f"/network/v2.0/networks{more}", self.list_networks
        yield "GET", f"{cinder}/os-services", self.volume_services
        yield "GET", f"{cinder}/volumes/detail{more}", self.list_volumes
        yield "GET", f"{cinder}/volumes/{one}", self.one_volume
        yield "GET", f"{cinder}/attachments{more}", self.list_attachments
        yield "GET", f"{cinder}/snapshots{more}", self.list_snapshots
        yield "GET", "/placement/resource_providers", self.list_providers
        yield "GET", f"/placement/resource_providers/{one}/allocations", self.held
        yield "GET", "/placement/resource_classes", self.list_classes

    def headers(self, path: str) -> dict[str, str]:
        """Placement tells when allocations were last written."""
        name = path.partition("/placement/allocations/")[2]
        if not name:
            return {}
        sql = (
            "SELECT COALESCE(a.updated_at, a.created_at, c.created_at) AS last FROM allocations a"
            " JOIN consumers c ON c.uuid = a.consumer_id WHERE c.uuid = :c"
        )
        row = self.row("placement", sql, c=name)
        if row is None:
            return {}
        moment = datetime.fromisoformat(str(row["last"])[:19])
        return {"Last-Modified": format_datetime(moment)}

    def paged(self, key: str, path: str, rows: list[dict[str, Any]], query: str, *, linked: bool = True) -> Reply:
        """One page after the marker, with a link to the next where the service gives one."""
        asked = parse_qs(query or "")
        size = min(int(asked.get("limit", ["1000"])[0]), self.page)
        start = 0
        if marker := asked.get("marker", [""])[0]:
            if marker not in [row["id"] for row in rows]:
                raise RefusedError(400, f"marker [{marker}] not found")
            start = [row["id"] for row in rows].index(marker) + 1
        some = rows[start : start + size]
        body: dict[str, Any] = {key: some}
        if linked and len(some) == size and start + size < len(rows):
            rest = re.sub(r"&?marker=[^&]*", "", query or "")
            href = f"{self.url}{path}?{rest}&marker={some[-1]['id']}".replace("?&", "?")
            body[f"{key}_links"] = [{"rel": "next", "href": href}]
        return 200, body

    # -- Nova

    def instances(self, only: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """(cell, row) of every server, or of one, deleted ones too, and those that are being built."""
        sql = "SELECT * FROM build_requests WHERE instance_uuid IS NOT NULL"
        for row in self.cloud.rows("nova_api", *_of(only, sql, "instance_uuid")):
            unborn = dict.fromkeys(("host", "node", "launched_at", "terminated_at", "task_state", "power_state"))
            shown = {
                "uuid": row["instance_uuid"],
                "vm_state": "building",
                "deleted": 0,
                "hidden": 0,
                "updated_at": None,
            }
            yield BUILD, {**unborn, **shown, "project_id": row["project_id"], "created_at": row["created_at"]}
        sql = "SELECT m.instance_uuid, c.name FROM instance_mappings m JOIN cell_mappings c ON c.id = m.cell_id"
        rows = self.cloud.rows("nova_api", *_of(only, sql, "m.instance_uuid"))
        home = {row["instance_uuid"]: f"cell:{row['name']}" for row in rows}
        shown = list[tuple[str, dict[str, Any]]]()
        for cell in CELLS:
            sql = "SELECT * FROM instances WHERE uuid <> '00000000-0000-0000-0000-000000000000'"
            rows = self.cloud.rows(cell, *_of(only, sql, "uuid"))
            shown += [(cell, row) for row in sorted(rows, key=lambda row: int(row["id"])) if not row["hidden"]]
        at_home = {row["uuid"] for cell, row in shown if not row["deleted"] and home.get(row["uuid"]) == cell}
        # of a server that is live in several cells, the row in the one that it is mapped to
        for cell, row in shown:
            if row["deleted"] or row["uuid"] not in at_home or home[row["uuid"]] == cell:
                yield cell, row

    def look(self, cell: str, row: dict[str, Any]) -> dict[str, Any]:
        if cell in self.down:
            return {"id": row["uuid"], "status": "UNKNOWN", "tenant_id": row["project_id"], "created": "x"}
        addresses: dict[str, list[Any]] = {}
        for vif in [] if cell == BUILD else self.vifs(cell, row["uuid"]):
            ips = [ip for subnet in vif["network"]["subnets"] for ip in subnet["ips"]]
            some = [{"addr": ip["address"], "OS-EXT-IPS-MAC:mac_addr": vif["address"]} for ip in ips]
            addresses.setdefault(vif["network"]["label"], []).extend(some)
        sql = (
            "SELECT volume_id, delete_on_termination FROM block_device_mapping"
            " WHERE instance_uuid = :u AND deleted = 0 AND volume_id IS NOT NULL"
        )
        held = [] if cell == BUILD else self.cloud.rows(cell, sql, {"u": row["uuid"]})
        shown = {
            "id": row["uuid"],
            "name": row.get("display_name"),
            "status": "DELETED" if row["deleted"] else "ACTIVE",
            "tenant_id": row["project_id"],
            "user_id": row.get("user_id"),
            "image": {"id": row["image_ref"]} if row.get("image_ref") else "",
            "created": iso(row["created_at"]),
            "updated": iso(row["updated_at"] or row["created_at"]),
            "addresses": addresses,
            "OS-EXT-SRV-ATTR:host": row["host"],
            "OS-EXT-SRV-ATTR:hypervisor_hostname": row["node"],
            "OS-SRV-USG:launched_at": iso(row["launched_at"]),
            "OS-SRV-USG:terminated_at": iso(row["terminated_at"]),
            **{f"OS-EXT-STS:{name}": row[name] for name in ("vm_state", "task_state", "power_state")},
            "os-extended-volumes:volumes_attached": [
                {"id": one["volume_id"], "delete_on_termination": bool(one["delete_on_termination"])} for one in held
            ],
        }
        return {k: v for k, v in shown.items() if not self.member or ":" not in k}

    def list_servers(self, _: Any, query: str) -> Reply:
        asked = parse_qs(query)
        if self.member:
            raise RefusedError(403, "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants")
        gone, soft = "deleted" in asked, "soft_deleted" in asked
        found, requested = [], set()
        for cell, row in self.instances(asked.get("uuid", [None])[0]):
            if row["uuid"] in requested:
                continue  # Nova lists each server once, build requests first
            requested |= {row["uuid"]} if cell == BUILD else set()
            restorable = row["vm_state"] == "soft-delete" and not row["deleted"]
            if bool(row["deleted"]) != gone and not (gone and restorable):
                continue
            if (not gone and restorable != soft) or asked.get("uuid", [row["uuid"]])[0] != row["uuid"]:
                continue
            if cell in self.down and (asked.keys() - {"all_tenants"}):
                continue
            found.append(self.look(cell, row))
        return self.paged("servers", "/compute/v2.1/servers/detail", found, query)

    def one_server(self, _: Any, name: str) -> Reply:
        # a server that is mapped to a cell comes from there, whatever is left of its build request
        for cell, row in sorted(self.instances(name), key=lambda pair: pair[0] == BUILD):
            if row["uuid"] == name and not row["deleted"]:
                return 200, {"server": self.look(cell, row)}
        raise RefusedError(404, f"Instance {name} could not be found.")

    def list_actions(self, _: Any, name: str) -> Reply:
        sql = "SELECT * FROM instance_actions WHERE instance_uuid = :u ORDER BY created_at DESC, id DESC"
        rows = [row for cell in CELLS for row in self.cloud.rows(cell, sql, {"u": name})]
        return 200, {"instanceActions": [self.action(row) for row in rows[:20]]}

    def action(self, row: dict[str, Any]) -> dict[str, Any]:
        shown = {"action": row["action"], "request_id": row["request_id"], "start_time": iso(row["start_time"])}
        return {**shown, "updated_at": iso(row["updated_at"]), "message": row["message"]}

    def one_action(self, _: Any, name: str, request: str) -> Reply:
        sql = "SELECT * FROM instance_actions WHERE instance_uuid = :u AND request_id = :r"
        of = "SELECT * FROM instance_actions_events WHERE action_id = :a"
        for cell in CELLS:
            for row in self.cloud.rows(cell, sql, {"u": name, "r": request}):
                events = [
                    {"event": one["event"], "result": one["result"], "start_time": iso(one["start_time"]),
                     "finish_time": iso(one["finish_time"]), "details": one["details"], "traceback": one["traceback"]}
                    for one in self.cloud.rows(cell, of, {"a": row["id"]})
                ]  # fmt: skip
                return 200, {"instanceAction": {**self.action(row), "events": events}}
        raise RefusedError(404, "no such action")

    def list_services(self, _: Any, query: str) -> Reply:
        if self.member:
            raise RefusedError(403, "Policy doesn't allow os_compute_api:os-services:list")
        del query
        found = []
        for cell in CELLS:
            rows = self.cloud.rows(cell, "SELECT * FROM services WHERE deleted = 0")
            newest = max((str(row["last_seen_up"] or "")[:16] for row in rows), default="")
            for row in rows:
                seen = row["last_seen_up"]
                shown = {"host": row["host"], "binary": row["binary"], "id": row["uuid"], "updated_at": iso(seen)}
                if cell in self.down:
                    found.append({**shown, "status": "UNKNOWN"})
                else:
                    status = "disabled" if row["disabled"] else "enabled"
                    state = "up" if str(seen or "")[:16] == newest else "down"
                    found.append({**shown, "status": status, "forced_down": bool(row["forced_down"]), "state": state})
        return 200, {"services": found}

    def list_nodes(self, _: Any, query: str) -> Reply:
        found = []
        mapped = {row["host"] for row in self.cloud.rows("nova_api", "SELECT host FROM host_mappings")}
        for cell in CELLS:
            services = {
                r["host"] for r in self.cloud.rows(cell, "SELECT host FROM services WHERE deleted = 0")
            } & mapped
            for row in self.cloud.rows(cell, "SELECT * FROM compute_nodes WHERE deleted = 0 ORDER BY id"):
                if row["host"] in services and cell not in self.down:
                    names = ("hypervisor_hostname", "hypervisor_type")
                    shown = {name: row[name] for name in names}
                    found.append({**shown, "id": row["uuid"], "service": {"host": row["host"]}})
        return self.paged("hypervisors", "/compute/v2.1/os-hypervisors/detail", found, query)

    def list_migrations(self, _: Any, query: str) -> Reply:
        asked = parse_qs(query or "")
        found = []
        for cell in CELLS:
            for row in self.cloud.rows(cell, "SELECT * FROM migrations WHERE deleted = 0 ORDER BY id"):
                if asked.get("instance_uuid", [row["instance_uuid"]])[0] == row["instance_uuid"]:
                    names = ("id", "uuid", "instance_uuid", "status", "migration_type", "source_compute", "source_node")
                    shown = {name: row[name] for name in (*names, "dest_compute", "dest_node")}
                    found.append({**shown, "created_at": iso(row["created_at"]), "updated_at": iso(row["updated_at"])})
        # as Nova does: a number is unique in its cell alone, the uuid everywhere
        return 200, {"migrations": found}

    def list_aggregates(self, _: Any, query: str) -> Reply:
        del query
        sql = "SELECT id, value FROM aggregate_metadata WHERE \"key\" = 'availability_zone'"
        rows = self.cloud.rows("nova_api", sql)
        return 200, {"aggregates": [{"id": row["id"], "availability_zone": row["value"]} for row in rows]}

    # -- Neutron

    def list_ports(self, _: Any, query: str) -> Reply:
        asked = parse_qs(query)
        sql = (
            "SELECT p.*, b.host, b.vif_type, b.vnic_type, a.created_at, a.updated_at, a.description, a.revision_number"
            " FROM ports p JOIN standardattributes a ON a.id = p.standard_attr_id"
            " LEFT JOIN ml2_port_bindings b ON b.port_id = p.id AND b.status = 'ACTIVE'"
        )
        column, (only, *more) = next(((n, asked[n]) for n in ("id", "device_id") if n in asked), ("id", [None]))
        found = []
        rows = self.cloud.rows("neutron", *_of(None if more else only, sql, f"p.{column}"))
        for row in sorted(rows, key=lambda row: str(row["id"])):
            if any(row[name] not in asked[name] for name in ("id", "device_id") if name in asked):
                continue
            same = ("id", "project_id", "device_id", "device_owner", "mac_address", "network_id", "status", "name")
            shown = {name: row[name] for name in (*same, "description", "revision_number")}
            shown |= {"admin_state_up": bool(row["admin_state_up"])}
            shown |= {"created_at": iso(row["created_at"]), "updated_at": iso(row["updated_at"])}
            if row["host"] is not None:  # of a port without an ACTIVE binding, Neutron shows none of these
                shown |= {f"binding:{name}": row[name] for name in ("vif_type", "vnic_type")}
                shown |= {} if self.member else {"binding:host_id": row["host"], "binding:profile": {}}
            found.append(shown)
        return self.paged("ports", "/network/v2.0/ports", found, query)

    def list_quotas(self, _: Any) -> Reply:
        if self.member:
            raise RefusedError(403, "rule:get_quota is disallowed by policy")
        return 200, {"quotas": []}

    def list_networks(self, _: Any, query: str) -> Reply:
        rows = self.cloud.rows("neutron", "SELECT id FROM networks ORDER BY id")
        return self.paged("networks", "/network/v2.0/networks", rows, query)

    # -- Cinder

    def volume_services(self, _: Any) -> Reply:
        if self.member:
            raise RefusedError(403, "Policy doesn't allow volume_extension:services:index")
        return 200, {"services": []}

    def volume_look(self, row: dict[str, Any]) -> dict[str, Any]:
        held = [one for one in self.attachments(row["id"]) if one["attach_status"] == "attached"]
        return {
            **{name: row[name] for name in ("id", "status", "size")},
            "name": row["display_name"],
            "multiattach": bool(row["multiattach"]),
            "encrypted": bool(row["encryption_key_id"]),
            "created_at": iso(row["created_at"]),
            "updated_at": iso(row["updated_at"]),
            "os-vol-host-attr:host": row["host"],
            "os-vol-tenant-attr:tenant_id": row["project_id"],
            "os-vol-mig-status-attr:migstat": row["migration_status"],
            "attachments": [
                {"attachment_id": one["id"], "server_id": one["instance_uuid"], "host_name": one["attached_host"],
                 "device": one["mountpoint"], "attached_at": iso(one["updated_at"] or one["created_at"])}
                for one in held
            ],
        }  # fmt: skip

    def list_volumes(self, _: Any, query: str) -> Reply:
        rows = self.cloud.rows("cinder", "SELECT * FROM volumes WHERE deleted = 0 ORDER BY id")
        return self.paged("volumes", "/volume/v3/volumes/detail", [self.volume_look(row) for row in rows], query)

    def one_volume(self, _: Any, name: str) -> Reply:
        return 200, {"volume": self.volume_look(self.volume(name))}

    def list_attachments(self, _: Any, query: str) -> Reply:
        asked = parse_qs(query)
        sql = "SELECT * FROM volume_attachment WHERE deleted = 0"
        rows = self.cloud.rows("cinder", *_of(asked.get("volume_id", [None])[0], sql, "volume_id"))
        found = [
            {"id": row["id"], "volume_id": row["volume_id"], "instance": row["instance_uuid"],
             "status": row["attach_status"]}
            for row in sorted(rows, key=lambda row: str(row["id"]))
        ]  # fmt: skip
        return self.paged("attachments", "/volume/v3/attachments", found, query, linked=False)

    def list_snapshots(self, _: Any, query: str) -> Reply:
        sql = "SELECT id, volume_id, status, created_at, updated_at FROM snapshots WHERE deleted = 0 ORDER BY id"
        times = ("created_at", "updated_at")
        rows = [{**row, **{name: iso(row[name]) for name in times}} for row in self.cloud.rows("cinder", sql)]
        asked = parse_qs(query)
        found = [row for row in rows if asked.get("volume_id", [row["volume_id"]])[0] == row["volume_id"]]
        return self.paged("snapshots", "/volume/v3/snapshots", found, query)

    # -- Placement

    def list_providers(self, _: Any) -> Reply:
        sql = (
            "SELECT p.uuid, p.name, p.generation, r.uuid AS root_provider_uuid, a.uuid AS parent_provider_uuid"
            " FROM resource_providers p JOIN resource_providers r ON r.id = p.root_provider_id"
            " LEFT JOIN resource_providers a ON a.id = p.parent_provider_id"
        )
        return 200, {"resource_providers": self.cloud.rows("placement", sql)}

    def amounts(self, column: str, value: str) -> list[dict[str, Any]]:
        """Allocations with the names of their providers and classes."""
        sql = (
            "SELECT a.consumer_id, a.used, p.uuid AS provider, c.name FROM allocations a"
            " JOIN resource_providers p ON p.id = a.resource_provider_id"
            f" JOIN resource_classes c ON c.id = a.resource_class_id WHERE {column} = :v"
        )
        return self.cloud.rows("placement", sql, {"v": value})

    def held(self, _: Any, provider: str) -> Reply:
        found: dict[str, Any] = {}
        for row in self.amounts("p.uuid", provider):
            found.setdefault(row["consumer_id"], {"resources": {}})["resources"][row["name"]] = row["used"]
        return 200, {"allocations": found}

    def show_allocations(self, _: Any, consumer: str) -> Reply:
        found: dict[str, Any] = {}
        for row in self.amounts("a.consumer_id", consumer):
            found.setdefault(row["provider"], {"resources": {}})["resources"][row["name"]] = row["used"]
        sql = (
            "SELECT c.generation, t.name FROM consumers c LEFT JOIN consumer_types t ON t.id = c.consumer_type_id"
            " WHERE c.uuid = :c"
        )
        row = self.row("placement", sql, c=consumer)
        if not found or row is None:
            return 200, {"allocations": {}}
        return 200, {"allocations": found, "consumer_generation": row["generation"],
                     "consumer_type": row["name"] or "unknown"}  # fmt: skip

    def list_classes(self, _: Any) -> Reply:
        return 200, {"resource_classes": self.cloud.rows("placement", "SELECT name FROM resource_classes")}
