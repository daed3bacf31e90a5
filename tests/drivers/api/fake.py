# SPDX-License-Identifier: Apache-2.0
"""The few calls of the services' APIs that repairs make, served over HTTP from the rows of an embedded cloud.

What a call changes is what the real service changes, as far as checks look at it; that it does so is shown by the
same tests on the lab. Faults are put in by :meth:`Fake.fault`.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from stackmend_lab.cloud import Cloud
from stackmend_lab.cloud.handle import SQLiteStore
from stackmend_lab.plants._networks import drop_port

from .fake_interfaces import Interfaces as Interfaces
from .fake_interfaces import RefusedError as RefusedError
from .fake_interfaces import Reply as Reply
from .fake_others import Others
from .fake_others import routes as routes_of_others

PASSWORD = "hunter2-the-password"
TOKEN = "gAAAAA-the-token-that-nobody-may-see"
CLASSES = {1: "VCPU", 2: "MEMORY_MB", 3: "DISK_GB"}


@dataclass
class Fault:
    """What is to happen to the next request of this method to a path that matches."""

    method: str
    path: str
    how: str  #: "refuse" (a status, nothing done), "drop" (no answer, nothing done), "lose" (done, no answer)
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Seen:
    """A request that was received."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]


class Fake(Interfaces, Others):
    """Keystone, Nova, Neutron, Cinder and Placement of a cloud in SQLite files."""

    #: service -> (its path, lowest and highest microversion)
    SERVICES: ClassVar[dict[str, tuple[str, str, str]]] = {
        "identity": ("/identity/v3", "", ""),
        "compute": ("/compute/v2.1", "2.1", "2.85"),
        "network": ("/network", "", ""),
        "block-storage": ("/volume/v3", "3.0", "3.59"),
        "placement": ("/placement", "1.0", "1.36"),
        "image": ("/image", "", ""),
    }

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.folder = folder
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.then: list[tuple[str, str, Callable[[], None]]] = []
        self.highest: dict[str, str] = {}  #: microversion of a service that is older than the rest
        self.stubborn = False  #: the back end deletes nothing
        self.slow = 0  #: a volume is deleting for so many looks
        self.url = ""
        files = {name: Path(url.removeprefix("sqlite:///")) for name, url in cloud.databases.items()}
        connections = {
            name: sqlite3.connect(path, isolation_level=None, check_same_thread=False) for name, path in files.items()
        }
        self.cloud = Cloud(SQLiteStore(folder, files, connections), datetime.now(UTC), [])
        self.routes: list[tuple[str, re.Pattern[str], Callable[..., Reply]]] = [
            (method, re.compile(pattern + r"\Z"), handler) for method, pattern, handler in _routes(self)
        ]

    def fault(self, method: str, path: str, how: str, times: int = 1, **more: Any) -> None:
        """Put in a fault, for so many requests."""
        self.faults += [Fault(method, path, how, **more) for _ in range(times)]

    def after(self, method: str, then: Callable[[], None], path: str = "") -> None:
        """Have something happen right after the next such request was received."""
        self.then.append((method, path, then))

    def sent(self, method: str, path: str = "") -> list[Seen]:
        """Requests received with this method, whose path holds this text."""
        return [seen for seen in self.seen if seen.method == method and path in seen.path]

    def changes(self) -> list[str]:
        """Everything received that may change something, in order: method and path."""
        return [f"{s.method} {s.path}" for s in self.seen if s.method != "GET" and "/auth/" not in s.path]

    def clouds_yaml(self) -> Path:
        """An account of this cloud, named "fake"."""
        account = {"auth_url": f"{self.url}/identity/v3", "username": "admin", "password": PASSWORD}
        account |= {"project_name": "admin", "user_domain_id": "default", "project_domain_id": "default"}
        path = self.folder / "clouds.yaml"
        path.write_text(json.dumps({"clouds": {"fake": {"auth": account, "region_name": "RegionOne"}}}))
        return path

    def headers(self, path: str) -> dict[str, str]:
        """Headers that the answer to a request has besides."""
        del path
        return {}

    def row(self, database: str, sql: str, **parameters: Any) -> dict[str, Any] | None:
        """The first row of a query."""
        return next(iter(self.cloud.rows(database, sql, parameters)), None)

    def need(self, what: str, database: str, sql: str, **parameters: Any) -> dict[str, Any]:
        """The first row of a query; 404 where there is none."""
        row = self.row(database, sql, **parameters)
        if row is None:
            raise RefusedError(404, f"{what} could not be found.")
        return row

    # -- Nova

    def server(self, name: str) -> tuple[str, dict[str, Any]]:
        """(database, row) of a live server; 404."""
        for database in ("cell:cell1", "cell:cell2", "cell:cell0"):
            row = self.row(database, "SELECT * FROM instances WHERE uuid = :u AND deleted = 0", u=name)
            if row is not None:
                return database, row
        raise RefusedError(404, f"Instance {name} could not be found.")

    def vifs(self, database: str, server: str) -> list[dict[str, Any]]:
        """The VIFs of a server's cache."""
        sql = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = :u AND deleted = 0"
        row = self.row(database, sql, u=server)
        return list(json.loads(row["network_info"] or "[]")) if row else []

    def show_server(self, _: Any, name: str) -> Reply:
        database, row = self.server(name)
        addresses: dict[str, list[Any]] = {}
        for vif in self.vifs(database, name):
            for subnet in vif["network"]["subnets"]:
                for ip in subnet["ips"]:
                    shown = {"addr": ip["address"], "OS-EXT-IPS-MAC:mac_addr": vif["address"]}
                    addresses.setdefault(vif["network"]["label"], []).append(shown)
        return 200, {"server": {
            "id": name, "addresses": addresses, "OS-EXT-SRV-ATTR:host": row["host"],
            "OS-EXT-STS:vm_state": row["vm_state"], "OS-EXT-STS:task_state": row["task_state"],
        }}  # fmt: skip

    def server_action(self, body: Any, name: str) -> Reply:
        database, row = self.server(name)
        where = {"uuid": name}
        if "os-resetState" in body:
            state = body["os-resetState"]["state"]
            self.cloud.update(database, "instances", where, vm_state=state, task_state=None)
        elif "forceDelete" in body:
            self.cloud.update(database, "instances", where, deleted=row["id"], vm_state="deleted", task_state=None)
        else:
            self._reboot(database, name)
        return 202, None

    def _reboot(self, database: str, name: str) -> None:
        sql = "SELECT * FROM block_device_mapping WHERE instance_uuid = :u AND deleted = 0 AND volume_id IS NOT NULL"
        for mapping in self.cloud.rows(database, sql, {"u": name}):
            alive = "SELECT id FROM volume_attachment WHERE id = :a AND deleted = 0"
            if self.row("cinder", alive, a=mapping["attachment_id"]) is None:
                self.cloud.update(database, "block_device_mapping", {"id": mapping["id"]}, deleted=mapping["id"])

    def mapping(self, server: str, volume: str) -> tuple[str, dict[str, Any]]:
        database, _ = self.server(server)
        sql = "SELECT * FROM block_device_mapping WHERE instance_uuid = :s AND volume_id = :v AND deleted = 0"
        return database, self.need("volume attachment", database, sql, s=server, v=volume)

    def show_mapping(self, _: Any, server: str, volume: str) -> Reply:
        _, row = self.mapping(server, volume)
        return 200, {"volumeAttachment": {"volumeId": volume, "serverId": server, "device": row["device_name"]}}

    def drop_mapping(self, _: Any, server: str, volume: str) -> Reply:
        database, row = self.mapping(server, volume)
        status = self.need("volume", "cinder", "SELECT status FROM volumes WHERE id = :v", v=volume)["status"]
        if status != "in-use":
            raise RefusedError(400, "Invalid volume: status must be 'in-use'")
        self.cloud.update(database, "block_device_mapping", {"id": row["id"]}, deleted=row["id"])
        self._detach(row["attachment_id"], volume)
        return 202, None

    def events(self, body: Any) -> Reply:
        code = 200
        for event in body["events"]:
            database, row = self.server(event["server_uuid"])
            event["code"] = 200 if row["host"] else 422
            code = max(code, 200 if row["host"] else 207)
            if row["host"]:
                self._forget(database, event["server_uuid"], event["tag"])
        return code, body

    def _forget(self, database: str, server: str, port: str) -> None:
        left = json.dumps([vif for vif in self.vifs(database, server) if vif["id"] != port])
        self.cloud.update(database, "instance_info_caches", {"instance_uuid": server}, network_info=left)

    def services(self, _: Any) -> Reply:
        sql = "SELECT uuid, host, binary FROM services WHERE deleted = 0"
        rows = [row for cell in ("cell:cell1", "cell:cell2") for row in self.cloud.rows(cell, sql)]
        asked = dict(part.split("=") for part in self.seen[-1].path.partition("?")[2].split("&") if part)
        found = [row for row in rows if all(row[name] == value for name, value in asked.items())]
        return 200, {"services": [{**row, "id": row["uuid"], "state": "up"} for row in found]}

    # -- Neutron

    def port(self, name: str) -> dict[str, Any]:
        sql = (
            "SELECT p.*, b.host, b.vif_type, b.vnic_type, b.profile FROM ports p"
            " LEFT JOIN ml2_port_bindings b ON b.port_id = p.id AND b.status = 'ACTIVE' WHERE p.id = :p"
        )
        return self.need("Port", "neutron", sql, p=name)

    def show_port(self, _: Any, name: str) -> Reply:
        row = self.port(name)
        tags = self.cloud.rows("neutron", "SELECT tag FROM tags WHERE standard_attr_id = :n",
                               {"n": row["standard_attr_id"]})  # fmt: skip
        shown = {key: row[key] for key in ("id", "device_id", "device_owner", "status", "mac_address")}
        if row["host"] is not None:  # of a port without an ACTIVE binding, Neutron shows none of these
            shown |= {f"binding:{key}": row[key] for key in ("vif_type", "vnic_type")}
            shown |= {"binding:host_id": row["host"], "binding:profile": json.loads(row["profile"] or "{}")}
        shown["revision_number"] = self._revision(row)
        fixed = self.cloud.rows("neutron", "SELECT ip_address FROM ipallocations WHERE port_id = :p", {"p": name})
        shown["fixed_ips"] = fixed
        shown |= self.row("neutron", "SELECT dns_name FROM portdnses WHERE port_id = :p", p=name) or {}
        return 200, {"port": {**shown, "tags": [t["tag"] for t in tags]}}

    def update_port(self, body: Any, name: str) -> Reply:
        values, row = body["port"], self.port(name)
        plain = {key: values[key] for key in ("device_id", "device_owner") if key in values}
        if "binding:host_id" in values:
            host = values["binding:host_id"] or ""
            self.cloud.delete("neutron", "ml2_port_binding_levels", {"port_id": name})
            kind = "ovs" if host else "unbound"
            where = {"port_id": name, "host": row["host"]}
            self.cloud.update("neutron", "ml2_port_bindings", where, host=host, vif_type=kind, vif_details="")
            plain |= {} if host else {"status": "DOWN"}
        if "binding:profile" in values:
            profile = json.dumps(values["binding:profile"]) if values["binding:profile"] else ""
            where = {"port_id": name, "status": "ACTIVE"}
            self.cloud.update("neutron", "ml2_port_bindings", where, profile=profile)
        if plain:
            self.cloud.update("neutron", "ports", {"id": name}, **plain)
        if "dns_name" in values:
            self.cloud.update("neutron", "portdnses", {"port_id": name}, dns_name=values["dns_name"])
        where = {"id": row["standard_attr_id"]}
        self.cloud.update("neutron", "standardattributes", where, revision_number=self._revision(row) + 1)
        return self.show_port(None, name)

    def _revision(self, port: dict[str, Any]) -> int:
        sql = "SELECT revision_number FROM standardattributes WHERE id = :n"
        return int(self.need("Port", "neutron", sql, n=port["standard_attr_id"])["revision_number"])

    def as_constrained(self, port: dict[str, Any]) -> None:
        """412 where the request is for another revision of the port."""
        asked, now = self.seen[-1].headers.get("if-match"), self._revision(port)
        if asked not in (None, f"revision_number={now}"):
            raise RefusedError(412, f"Constrained to {asked}, but current revision is {now}")

    def delete_port(self, _: Any, name: str) -> Reply:
        self.as_constrained(self.port(name))
        drop_port(self.cloud, name)
        return 204, None

    def bindings(self, _: Any, name: str) -> Reply:
        sql = "SELECT host, status FROM ml2_port_bindings WHERE port_id = :p"
        return 200, {"bindings": self.cloud.rows("neutron", sql, {"p": name})}

    def create_binding(self, body: Any, name: str) -> Reply:
        others = self.cloud.rows("neutron", "SELECT status FROM ml2_port_bindings WHERE port_id = :p", {"p": name})
        status = "INACTIVE" if {"status": "ACTIVE"} in others else "ACTIVE"
        values = {"port_id": name, "host": body["binding"]["host"], "status": status}
        more = {"vnic_type": "normal", "vif_type": "ovs", "vif_details": "", "profile": ""}
        self.cloud.insert("neutron", "ml2_port_bindings", **values, **more)
        return 201, {"binding": values}

    def delete_binding(self, _: Any, name: str, host: str) -> Reply:
        self.cloud.delete("neutron", "ml2_port_bindings", {"port_id": name, "host": host})
        return 204, None

    def tag(self, _: Any, name: str, tag: str) -> Reply:
        number = self.port(name)["standard_attr_id"]
        self.cloud.insert("neutron", "tags", standard_attr_id=number, tag=tag)
        return 201, None

    def untag(self, _: Any, name: str, tag: str) -> Reply:
        self.cloud.delete("neutron", "tags", {"standard_attr_id": self.port(name)["standard_attr_id"], "tag": tag})
        return 204, None

    # -- Cinder

    def volume(self, name: str) -> dict[str, Any]:
        return self.need("Volume", "cinder", "SELECT * FROM volumes WHERE id = :v AND deleted = 0", v=name)

    def attachments(self, volume: str) -> list[dict[str, Any]]:
        sql = "SELECT * FROM volume_attachment WHERE volume_id = :v AND deleted = 0"
        return self.cloud.rows("cinder", sql, {"v": volume})

    def show_volume(self, _: Any, name: str) -> Reply:
        row = self.volume(name)
        if row["status"] == "deleting":
            self.slow -= 1
            if self.slow <= 0:
                self._delete(name)
                row = self.volume(name)
        held = [{"attachment_id": a["id"], "server_id": a["instance_uuid"]} for a in self.attachments(name)]
        migration = row["migration_status"]
        return 200, {"volume": {
            "id": name, "status": row["status"], "os-vol-mig-status-attr:migstat": migration, "attachments": held,
        }}  # fmt: skip

    def volume_action(self, body: Any, name: str) -> Reply:
        status = self.volume(name)["status"]
        (action, values), where = next(iter(body.items())), {"id": name}
        if action == "os-roll_detaching" and status == "detaching":
            self.cloud.update("cinder", "volumes", where, status="in-use")
        elif action == "os-begin_detaching":
            self.cloud.update("cinder", "volumes", where, status="detaching")
        elif action == "os-reset_status":
            self.cloud.update("cinder", "volumes", where, **values)
        elif action == "os-force_delete":
            self._delete(name)
        return 202, None

    def show_snapshot(self, _: Any, name: str) -> Reply:
        row = self.need("Snapshot", "cinder", "SELECT * FROM snapshots WHERE id = :s AND deleted = 0", s=name)
        return 200, {"snapshot": {"id": name, "status": row["status"], "volume_id": row["volume_id"]}}

    def snapshot_action(self, body: Any, name: str) -> Reply:
        self.cloud.update("cinder", "snapshots", {"id": name}, **body["os-reset_status"])
        return 202, None

    def delete_volume(self, _: Any, name: str) -> Reply:
        if self.volume(name)["status"] not in ("available", "error"):
            raise RefusedError(400, "Invalid volume: Volume status must be available or error")
        self._delete(name)
        return 202, None

    def _delete(self, name: str) -> None:
        if self.slow > 0:
            self.cloud.update("cinder", "volumes", {"id": name}, status="deleting")
            return
        if self.stubborn:
            self.cloud.update("cinder", "volumes", {"id": name}, status="error_deleting")
            return
        gone = {"deleted": 1, "deleted_at": self.cloud.ago(0)}
        self.cloud.update("cinder", "volumes", {"id": name}, status="deleted", **gone)
        self.cloud.update("cinder", "volume_metadata", {"volume_id": name}, **gone)

    def attachment(self, name: str) -> dict[str, Any]:
        sql = "SELECT * FROM volume_attachment WHERE id = :a AND deleted = 0"
        return self.need("Volume attachment", "cinder", sql, a=name)

    def show_attachment(self, _: Any, name: str) -> Reply:
        row = self.attachment(name)
        return 200, {"attachment": {
            "id": name, "volume_id": row["volume_id"], "instance": row["instance_uuid"], "status": row["attach_status"],
        }}  # fmt: skip

    def delete_attachment(self, _: Any, name: str) -> Reply:
        self._detach(name, self.attachment(name)["volume_id"])
        return 200, {"attachments": []}

    def _detach(self, attachment: str, volume: str) -> None:
        gone = {"deleted": 1, "deleted_at": self.cloud.ago(0), "attach_status": "detached"}
        self.cloud.update("cinder", "volume_attachment", {"id": attachment}, **gone)
        if not self.attachments(volume):
            free = {"status": "available", "attach_status": "detached"}
            self.cloud.update("cinder", "volumes", {"id": volume}, **free)

    # -- Placement

    def show_allocations(self, _: Any, consumer: str) -> Reply:
        sql = (
            "SELECT p.uuid, p.generation, a.resource_class_id, a.used FROM allocations a"
            " JOIN resource_providers p ON p.id = a.resource_provider_id WHERE a.consumer_id = :c"
        )
        held: dict[str, Any] = {}
        for row in self.cloud.rows("placement", sql, {"c": consumer}):
            one = held.setdefault(row["uuid"], {"generation": row["generation"], "resources": {}})
            one["resources"][CLASSES[row["resource_class_id"]]] = row["used"]
        sql = (
            "SELECT c.generation, p.external_id AS project, u.external_id AS user FROM consumers c"
            " JOIN projects p ON p.id = c.project_id JOIN users u ON u.id = c.user_id WHERE c.uuid = :c"
        )
        owner = self.row("placement", sql, c=consumer)
        if not held or owner is None:
            return 200, {"allocations": {}}
        return 200, {
            "allocations": held, "consumer_generation": owner["generation"], "project_id": owner["project"],
            "user_id": owner["user"],
        }  # fmt: skip

    def set_allocations(self, body: Any, consumer: str) -> Reply:
        known = self.row("placement", "SELECT id, generation FROM consumers WHERE uuid = :c", c=consumer)
        if (known["generation"] if known else None) != body["consumer_generation"]:
            raise RefusedError(409, "consumer generation conflict")
        self.cloud.delete("placement", "allocations", {"consumer_id": consumer})
        for provider, one in body["allocations"].items():
            number = self.need("provider", "placement", "SELECT id FROM resource_providers WHERE uuid = :p", p=provider)
            for kind, used in one["resources"].items():
                of_class = next(n for n, name in CLASSES.items() if name == kind)
                values = {"resource_provider_id": number["id"], "resource_class_id": of_class, "used": used}
                self.cloud.insert("placement", "allocations", consumer_id=consumer, **values)
        if not body["allocations"]:
            self.cloud.delete("placement", "consumers", {"uuid": consumer})
        elif known is not None:
            self.cloud.update("placement", "consumers", {"id": known["id"]}, generation=known["generation"] + 1)
        else:
            owner = {
                "project_id": self._owner("projects", body["project_id"]),
                "user_id": self._owner("users", body["user_id"]),
            }
            self.cloud.insert("placement", "consumers", uuid=consumer, generation=1, **owner)
        return 204, None

    def _owner(self, table: str, name: str) -> int:
        return int(self.need(table, "placement", f"SELECT id FROM {table} WHERE external_id = :n", n=name)["id"])

    # -- Keystone and version documents

    def token(self, _: Any) -> Reply:
        catalog = [
            {"type": service, "name": service, "id": service, "endpoints": [
                {"id": service, "interface": "public", "region": "RegionOne", "region_id": "RegionOne",
                 "url": self.url + path},
            ]}
            for service, (path, _, _) in self.SERVICES.items()
        ]  # fmt: skip
        project = {"id": "p" * 32, "name": "admin", "domain": {"id": "default", "name": "Default"}}
        return 201, {"token": {
            "methods": ["password"], "expires_at": "2099-01-01T00:00:00.000000Z", "catalog": catalog,
            "user": {"id": "u", "name": "admin", "domain": {"id": "default", "name": "Default"}}, "project": project,
            "issued_at": "2026-01-01T00:00:00.000000Z", "roles": [{"id": "r", "name": "admin"}],
        }}  # fmt: skip

    def project(self, _body: Any, project: str) -> Reply:
        row = self.row("keystone", "SELECT id, name FROM project WHERE id = :id", id=project)
        return (200, {"project": row}) if row else (404, {"error": {"message": "Could not find project"}})

    def version(self, service: str) -> Reply:
        path, low, high = self.SERVICES[service]
        major = {"compute": "v2.1", "block-storage": "v3.0", "placement": "v1.0", "identity": "v3.14"}[service]
        one = {"id": major, "status": "CURRENT", "links": [{"rel": "self", "href": self.url + path + "/"}]}
        newest = self.highest.get(service, high)
        if service == "placement":
            return 200, {"versions": [{**one, "min_version": low, "max_version": newest}]}
        return 200, {"version": {**one, "min_version": low, "version": newest}}


def _routes(fake: Fake) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
    one = "([^/?]+)"
    yield "POST", "/identity/v3/auth/tokens", fake.token
    yield "GET", f"/identity/v3/projects/{one}", fake.project
    for service, (path, _, _) in fake.SERVICES.items():
        if service not in ("network", "image"):
            yield "GET", f"{path}/?", lambda _body, name=service: fake.version(name)
    yield from routes_of_others(fake)
    nova, cinder = "/compute/v2.1", "/volume/v3"
    yield "GET", f"{nova}/servers/{one}", fake.show_server
    yield "POST", f"{nova}/servers/{one}/action", fake.server_action
    yield "DELETE", f"{nova}/servers/{one}", fake.delete_server
    yield "POST", f"{nova}/servers/{one}/os-interface", fake.attach_interface
    yield "DELETE", f"{nova}/servers/{one}/os-interface/{one}", fake.detach_interface
    yield "GET", f"{nova}/servers/{one}/os-volume_attachments/{one}", fake.show_mapping
    yield "DELETE", f"{nova}/servers/{one}/os-volume_attachments/{one}", fake.drop_mapping
    yield "POST", f"{nova}/os-server-external-events", fake.events
    yield "GET", rf"{nova}/os-services(?:\?.*)?", fake.services
    yield "GET", f"/network/v2.0/ports/{one}", fake.show_port
    yield "PUT", f"/network/v2.0/ports/{one}", fake.update_port
    yield "DELETE", f"/network/v2.0/ports/{one}", fake.delete_port
    yield "GET", f"/network/v2.0/ports/{one}/bindings", fake.bindings
    yield "POST", f"/network/v2.0/ports/{one}/bindings", fake.create_binding
    yield "DELETE", f"/network/v2.0/ports/{one}/bindings/{one}", fake.delete_binding
    yield "PUT", f"/network/v2.0/ports/{one}/tags/{one}", fake.tag
    yield "DELETE", f"/network/v2.0/ports/{one}/tags/{one}", fake.untag
    yield "GET", f"{cinder}/volumes/{one}", fake.show_volume
    yield "POST", f"{cinder}/volumes/{one}/action", fake.volume_action
    yield "DELETE", f"{cinder}/volumes/{one}", fake.delete_volume
    yield "GET", f"{cinder}/snapshots/{one}", fake.show_snapshot
    yield "POST", f"{cinder}/snapshots/{one}/action", fake.snapshot_action
    yield "GET", f"{cinder}/attachments/{one}", fake.show_attachment
    yield "DELETE", f"{cinder}/attachments/{one}", fake.delete_attachment
    yield "GET", f"/placement/allocations/{one}", fake.show_allocations
    yield "PUT", f"/placement/allocations/{one}", fake.set_allocations
