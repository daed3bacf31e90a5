# SPDX-License-Identifier: Apache-2.0
"""Resource providers of compute nodes that are gone (catalogue E5)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._hosts import Host, inventory, mark_deleted, new_host, without_provider


def _key(host: Host) -> dict[str, Any]:
    return {"provider": host.node, "number": host.provider}


def _removed(cloud: CloudRows) -> Host:
    """A host whose service was deleted, but not its provider."""
    host = new_host(cloud)
    mark_deleted(cloud, host, "services", "compute_nodes")
    cloud.delete("nova_api", "host_mappings", {"host": host.name})
    return host


def _trait(cloud: CloudRows, provider: int) -> None:
    known = cloud.rows("placement", "SELECT id FROM traits WHERE name = 'COMPUTE_NODE'")
    number = known[0]["id"] if known else cloud.insert("placement", "traits", name="COMPUTE_NODE")
    cloud.insert("placement", "resource_provider_traits", resource_provider_id=provider, trait_id=number)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Placement was down when the compute service was deleted."""
    return _key(_removed(cloud))


def installed_again(cloud: CloudRows) -> dict[str, Any]:
    """The machine was installed again under its name: nova-compute cannot create its provider."""
    old = new_host(cloud)
    new = new_host(cloud)
    without_provider(cloud, new)
    for table in ("services", "compute_nodes"):
        cloud.delete(old.database, table, {"host": old.name})
    cloud.delete("nova_api", "host_mappings", {"host": old.name})
    cloud.update("placement", "resource_providers", {"id": old.provider}, name=new.name)
    return _key(old)


def archived(cloud: CloudRows) -> dict[str, Any]:
    """The compute node was archived: only the trait shows that the provider was Nova's. It has a nested one."""
    host = _removed(cloud)
    cloud.delete(host.database, "compute_nodes", {"uuid": host.node})
    _trait(cloud, host.provider)
    name = str(uuid.uuid4())
    nested = cloud.insert(
        "placement", "resource_providers", uuid=name, name=f"vgpu-{name}", generation=1, root_provider_id=host.provider,
        parent_provider_id=host.provider,
    )  # fmt: skip
    inventory(cloud, int(nested), 1, 4)
    return _key(host)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "installed_again": installed_again,
    "archived": archived,
}


NOT_REPAIRED = dict.fromkeys(("plant", "installed_again", "archived"), "openstack resource provider delete")


def of_others(cloud: CloudRows) -> None:
    """A provider of another service."""
    name = str(uuid.uuid4())
    number = cloud.insert("placement", "resource_providers", uuid=name, name=f"fpga-{name}", generation=1)
    cloud.update("placement", "resource_providers", {"id": number}, root_provider_id=number)
    inventory(cloud, int(number), 4, 1)


def without_inventories(cloud: CloudRows) -> None:
    """A provider that nova-compute emptied before its node was removed: the scheduler does not offer it."""
    host = _removed(cloud)
    cloud.delete("placement", "inventories", {"resource_provider_id": host.provider})


def of_a_living_node(cloud: CloudRows) -> None:
    """A provider with Nova's trait whose node is there."""
    _trait(cloud, new_host(cloud).provider)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "of_others": of_others,
    "without_inventories": without_inventories,
    "of_a_living_node": of_a_living_node,
}
