# SPDX-License-Identifier: Apache-2.0
"""Nova's calls of the fake that take ports from servers, give them, and delete servers with their ports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stackmend_lab.plants._networks import drop_port

if TYPE_CHECKING:
    from .fake import Fake

Reply = tuple[int, Any]


class RefusedError(Exception):
    """The service says no."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Interfaces:
    """Part of the fake."""

    def detach_interface(self: Fake, _: Any, server: str, port: str) -> Reply:
        """A port that the cache marks to be kept stays, any other one is deleted."""
        database, _ = self.server(server)
        vif = next((vif for vif in self.vifs(database, server) if vif["id"] == port), None)
        if vif is None:
            raise RefusedError(404, f"Port {port} is not attached")
        self._given_up(vif["id"], kept=bool(vif.get("preserve_on_delete")))
        self._forget(database, server, port)
        where = {"uuid": port, "instance_uuid": server, "deleted": 0}
        for row in self.cloud.rows(database, "SELECT id FROM virtual_interfaces WHERE uuid = :p AND deleted = 0",
                                   {"p": port}):  # fmt: skip
            self.cloud.update(database, "virtual_interfaces", {**where, "id": row["id"]}, deleted=row["id"])
        return 202, None

    def _given_up(self: Fake, port: str, *, kept: bool) -> None:
        if kept:
            free = {"device_id": "", "device_owner": "", "binding:host_id": "", "dns_name": ""}
            self.update_port({"port": free}, port)
        else:
            drop_port(self.cloud, port)

    def attach_interface(self: Fake, body: Any, server: str) -> Reply:
        """A port that was there before is one to be kept."""
        database, row = self.server(server)
        name = body["interfaceAttachment"]["port_id"]
        port = self.port(name)
        if port["device_id"]:
            raise RefusedError(409, f"Port {name} is still in use.")
        device = {"device_id": server, "device_owner": "compute:nova", "binding:host_id": row["host"]}
        self.update_port({"port": {**device, "dns_name": row["hostname"]}}, name)
        fixed = self.cloud.rows("neutron", "SELECT * FROM ipallocations WHERE port_id = :p", {"p": name})
        subnets = [{"ips": [{"address": one["ip_address"], "floating_ips": []}]} for one in fixed]
        vif = {"id": name, "address": port["mac_address"], "preserve_on_delete": True, "active": True,
               "network": {"id": port["network_id"], "label": "net", "subnets": subnets, "meta": {}}}  # fmt: skip
        document = json.dumps([*self.vifs(database, server), vif])
        self.cloud.update(database, "instance_info_caches", {"instance_uuid": server}, network_info=document)
        self.cloud.insert(
            database, "virtual_interfaces", uuid=name, instance_uuid=server, deleted=0, created_at=self.cloud.ago(0),
            address=f"{port['mac_address']}/{name}", tag=body["interfaceAttachment"].get("tag"),
        )  # fmt: skip
        return 200, {"interfaceAttachment": {"port_id": name}}

    def delete_server(self: Fake, _: Any, name: str) -> Reply:
        """With every port that has its id, but for those that its cache marks to be kept."""
        database, row = self.server(name)
        kept = {vif["id"] for vif in self.vifs(database, name) if vif.get("preserve_on_delete")}
        for port in self.cloud.rows("neutron", "SELECT id FROM ports WHERE device_id = :s", {"s": name}):
            self._given_up(port["id"], kept=port["id"] in kept)
        gone = {"deleted": row["id"], "vm_state": "deleted", "task_state": None}
        self.cloud.update(database, "instances", {"uuid": name}, **gone)
        return 204, None
