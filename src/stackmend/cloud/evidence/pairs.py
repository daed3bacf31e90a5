# SPDX-License-Identifier: Apache-2.0
"""A server and one of its volumes, as the services' APIs show them, before an operation on the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import cell_database
from stackmend.model.workflow import Sight

#: the first version with ``delete_on_termination`` and the tag of an attachment
_KEEPING = "2.79"
#: the first version with the name of the root device
_ROOT = "2.3"
_MAPPINGS = "block_device_mapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The state of the two."""

    server: str
    volume: str
    name: str  #: of the server
    host: str
    vm_state: str
    device: str
    root: bool  #: whether the server boots from it
    delete_on_termination: bool
    tag: str | None
    attachment: str  #: Cinder's

    @property
    def target(self) -> Row:
        """The record from which a way back is made."""
        names = ("name", "host", "vm_state", "device", "delete_on_termination", "tag", "attachment")
        return {name: getattr(self, name) for name in names}

    @property
    def guards(self) -> ServerSeen:
        """The state of the server that must not have changed."""
        return {
            "server": "present", "server.host": self.host, "server.vm_state": self.vm_state, "server.task_state": None,
        }  # fmt: skip


def pair(arguments: Row, sight: Sight) -> Pair:
    """The pair requested; UsageError if it does not exist, CannotRepair if an operation on it is in progress."""
    name, volume = str(arguments["server"]), str(arguments["volume"])
    server = (sight.api.get("compute", f"/servers/{quote(name, safe='')}", _ROOT) or {}).get("server")
    if server is None:
        raise UsageError(f"there is no server {name}", "See 'openstack server list --all-projects'.")
    path = f"/servers/{quote(name, safe='')}/os-volume_attachments"
    body = sight.api.get("compute", path, _KEEPING if sight.api.offers("compute", _KEEPING) else "2.1") or {}
    mine = [one for one in body.get("volumeAttachments", ()) if one["volumeId"] == volume]
    if not mine:
        raise UsageError(f"server {name} has no volume {volume}", "See 'stackmend volume list --host HOST'.")
    if server.get("OS-EXT-STS:task_state") is not None:
        raise CannotRepair(f"server {name} is busy ({server['OS-EXT-STS:task_state']}): try again later")
    if not server.get("OS-EXT-SRV-ATTR:host"):
        raise CannotRepair(f"server {name} is on no host: its volumes are connected when it is unshelved")
    return Pair(
        server=name,
        volume=volume,
        name=str(server.get("name") or ""),
        host=str(server["OS-EXT-SRV-ATTR:host"]),
        vm_state=str(server["OS-EXT-STS:vm_state"]),
        device=str(mine[0].get("device") or ""),
        root=_is_root(sight, server, mine[0]),
        delete_on_termination=bool(mine[0].get("delete_on_termination")),
        tag=mine[0].get("tag"),
        attachment=_attachment(sight, name, volume),
    )


def _is_root(sight: Sight, server: Mapping[str, object], mapping: Mapping[str, object]) -> bool:
    """By the name of the device, and by the boot index if the rows can be read."""
    if mapping.get("device") and mapping["device"] == server.get("OS-EXT-SRV-ATTR:root_device_name"):
        return True
    if sight.live is None:
        return False
    where: dict[str, Any] = {"instance_uuid": str(server["id"]), "volume_id": mapping["volumeId"], "deleted": 0}
    found = [row for cell in sight.live.cells() for row in sight.live.rows(cell_database(cell), _MAPPINGS, where)]
    return any(row["boot_index"] == 0 for row in found)


def _attachment(sight: Sight, server: str, volume: str) -> str:
    body = sight.api.get("block-storage", f"/volumes/{quote(volume, safe='')}", "3.0")
    if body is None:
        raise CannotRepair(f"Cinder does not know volume {volume}: run an audit and repair that")
    status = body["volume"]["status"]
    held = [one for one in body["volume"].get("attachments") or () if one.get("server_id") == server]
    if status != "in-use" or len(held) != 1:
        raise CannotRepair(
            f"volume {volume} is {status} with {len(held)} attachments to the server: audit and repair that first"
        )
    return str(held[0]["attachment_id"])
