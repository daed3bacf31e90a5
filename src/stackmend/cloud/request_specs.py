# SPDX-License-Identifier: Apache-2.0
"""The request spec of a server (``nova_api.request_specs.spec``), made from its rows as Nova would make it.

Written in versions of Nova 20, which later releases read (run: nova 34 loads it and derives the same resources).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Record
from stackmend.model.values import members

Document = dict[str, object]
#: versions of Nova 20: later releases read them
_SPEC, _IMAGE, _PROPERTIES, _GROUP = "1.12", "1.8", "1.0", "1.10"
#: image properties, as keys of instance_system_metadata, by which the scheduler chooses hosts
_BINDING = (
    "image_trait:", "image_hw_architecture", "image_architecture", "image_img_hv_type", "image_hypervisor_type",
    "image_img_hv_requested_version", "image_hypervisor_version_requires", "image_hw_cpu_policy", "image_hw_numa",
    "image_hw_mem_encryption", "image_hw_mem_page_size", "image_hw_tpm", "image_hw_pci",
    "image_hw_emulation_architecture", "image_vm_mode", "image_hw_vm_mode",
)  # fmt: skip


def request_spec(live: Live, database: str, server: Record) -> Document:
    """``request_specs.spec``, as Nova's RequestSpec.from_components makes it."""
    name = str(server["uuid"])
    rows = live.rows(database, "instance_system_metadata", {"instance_uuid": name, "deleted": 0})
    for row in rows:
        if str(row["key"]).startswith(_BINDING):
            raise _unclear(name, f"its image says {str(row['key']).removeprefix('image_')}")
    group = _group(live, name)
    data: Document = {
        "image": _image(server, {str(row["key"]): str(row["value"]) for row in rows if row.get("value")}),
        "numa_topology": None,
        "pci_requests": None,
        "project_id": server["project_id"],
        "user_id": server["user_id"],
        "availability_zone": None,
        "flavor": _flavor(live, database, server),
        "num_instances": 1,
        "ignore_hosts": None,
        "force_hosts": None,
        "force_nodes": None,
        "retry": None,
        "requested_destination": None,
        "limits": _object("SchedulerLimits", "1.0", dict.fromkeys(("numa_topology", "vcpu", "disk_gb", "memory_mb"))),
        "instance_group": group,
        "scheduler_hints": {"group": [members(group["nova_object.data"])["uuid"]]} if group else {},
        "instance_uuid": name,
        "is_bfv": not server["image_ref"],
    }
    return _object("RequestSpec", _SPEC, data)


def _object(name: str, version: str, data: Document) -> Document:
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": data,
    }


def _image(server: Record, system: Mapping[str, str]) -> Document:
    """The image as Nova remembers it with the server (nova/utils.py, get_image_from_system_metadata)."""
    data: Document = {"properties": _object("ImageMetaProps", _PROPERTIES, {})}
    for column in ("disk_format", "container_format"):
        if f"image_{column}" in system:
            data[column] = system[f"image_{column}"]
    for column in ("min_ram", "min_disk"):
        if system.get(f"image_{column}", "").isdigit():
            data[column] = int(system[f"image_{column}"])
    if server["image_ref"]:
        data["id"] = server["image_ref"]
    return _object("ImageMeta", _IMAGE, data)


def _flavor(live: Live, database: str, server: Record) -> Document:
    name = str(server["uuid"])
    for extra in live.rows(database, "instance_extra", {"instance_uuid": name, "deleted": 0}):
        if extra.get("numa_topology"):
            raise _unclear(name, "it has a NUMA topology")
        if extra.get("pci_requests") and json.loads(str(extra["pci_requests"])):
            raise _unclear(name, "it requests PCI devices")
        try:
            flavor = json.loads(str(extra["flavor"]))["cur"]
            size = members(members(flavor)["nova_object.data"])
            same = all(size[column] == server[column] for column in ("memory_mb", "vcpus", "root_gb"))
        except (ValueError, KeyError, TypeError):
            break
        if not same:
            raise _unclear(name, "its row and its flavor have different sizes")
        return cast("Document", flavor)
    raise CannotRepair(f"the flavor of server {name} cannot be read: see 'stackmend check show server-half-purged'")


def _group(live: Live, server: str) -> Document | None:
    for member in live.rows("nova_api", "instance_group_member", {"instance_uuid": server}):
        for group in live.rows("nova_api", "instance_groups", {"id": member["group_id"]}):
            return _object("InstanceGroup", _GROUP, {"uuid": group["uuid"]})
    return None


def _unclear(server: str, why: str) -> CannotRepair:
    return CannotRepair(
        f"the request spec of server {server} cannot be derived from its rows ({why}): restore its row in request_specs"
        " from a backup, or create it with RequestSpec.from_components of the Nova in use"
    )
