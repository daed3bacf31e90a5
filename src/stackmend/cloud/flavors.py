# SPDX-License-Identifier: Apache-2.0
"""The allocation that a server's flavor requires (nova/scheduler/utils.py, ResourceRequest.from_request_spec)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Value
from stackmend.model.values import members, whole

#: parts of names of extra specs that make Nova request more than three resource classes, or other providers
_MORE = (
    "hw:cpu_policy", "hw:cpu_dedicated_mask", "hw:emulator_threads_policy", "hw:mem_encryption", "hw:pmem",
    "hw:tpm_version", "accel:device_profile", "pci_passthrough:alias",
)  # fmt: skip
#: image properties with the same effect, as keys of instance_system_metadata
_OF_IMAGE = frozenset({"image_hw_cpu_policy", "image_hw_mem_encryption", "image_hw_tpm_version"})
_COLUMNS = ("vcpus", "memory_mb", "root_gb", "ephemeral_gb")


def amounts(live: Live, database: str, server: Mapping[str, Value]) -> dict[str, int]:
    """Resource class -> amount that the server should have allocated on its host's own provider.

    CannotRepair if the flavor does not determine it: it requests more than Nova's three classes, or differs from the
    row.
    """
    name = str(server["uuid"])
    flavor = _flavor(live, database, server)
    if differs := [c for c in _COLUMNS if server[c] is not None and whole(server[c]) != whole(flavor[c])]:
        raise CannotRepair(
            f"the allocation that server {name} needs is unclear: its row has {differs[0]} {server[differs[0]]}, its"
            f" flavor {flavor[differs[0]]}"
        )
    overrides = _overrides(name, members(flavor.get("extra_specs")))
    for extra in live.rows(database, "instance_extra", {"instance_uuid": name, "deleted": 0}):
        if extra.get("pci_requests") and json.loads(str(extra["pci_requests"])):
            raise _unclear(name, "it requests PCI devices")
    for row in live.rows(database, "instance_system_metadata", {"instance_uuid": name, "deleted": 0}):
        if row["key"] in _OF_IMAGE:
            raise _unclear(name, f"its image says {str(row['key']).removeprefix('image_')}")
    disk = whole(flavor["ephemeral_gb"]) + -(-whole(flavor["swap"] or 0) // 1024)
    disk += 0 if _boots_from_volume(live, database, name) else whole(flavor["root_gb"])
    wanted = {"VCPU": whole(flavor["vcpus"]), "MEMORY_MB": whole(flavor["memory_mb"]), "DISK_GB": disk} | overrides
    return {kind: amount for kind, amount in wanted.items() if amount}


def _flavor(live: Live, database: str, server: Mapping[str, Value]) -> dict[str, object]:
    for extra in live.rows(database, "instance_extra", {"instance_uuid": server["uuid"], "deleted": 0}):
        try:
            found: dict[str, object] = json.loads(str(extra["flavor"]))["cur"]["nova_object.data"]
        except (ValueError, KeyError, TypeError):
            break
        return found
    raise _unclear(server["uuid"], "its flavor cannot be read")


def _overrides(server: object, specs: Mapping[str, object]) -> dict[str, int]:
    """The ``resources:CLASS`` overrides; CannotRepair for whatever requests another provider or another class."""
    found = {}
    for spec, value in specs.items():
        if spec.startswith("resources:"):
            found[spec.removeprefix("resources:")] = whole(value)
        elif spec.startswith("resources") or spec in _MORE or spec.startswith("group_policy"):
            raise _unclear(server, f"its flavor says {spec}={value}")
    return found


def _boots_from_volume(live: Live, database: str, server: str) -> bool:
    where: dict[str, Value] = {"instance_uuid": server, "boot_index": 0, "deleted": 0}
    return any(row["destination_type"] == "volume" for row in live.rows(database, "block_device_mapping", where))


def _unclear(server: object, why: str) -> CannotRepair:
    return CannotRepair(
        f"the allocation that server {server} needs cannot be derived from its flavor ({why}): 'nova-manage placement"
        f" heal_allocations --instance {server}' asks Nova"
    )
