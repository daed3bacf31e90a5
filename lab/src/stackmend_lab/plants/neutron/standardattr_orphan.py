# SPDX-License-Identifier: Apache-2.0
"""Standard attributes of resources that no longer exist (catalogue I11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import OLD, changed, drop_port, standard


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A port with a tag was deleted by SQL before its agent had reported it."""
    number = standard(cloud, "ports", cloud.ago(OLD))
    cloud.insert("neutron", "provisioningblocks", standard_attr_id=number, entity="L2")
    cloud.insert("neutron", "tags", standard_attr_id=number, tag="mail")
    return {"attribute": number}


def of_a_rule(cloud: CloudRows) -> dict[str, Any]:
    """A security group rule was deleted by SQL."""
    return {"attribute": standard(cloud, "securitygrouprules", cloud.ago(OLD))}


def followed_by_ovn(cloud: CloudRows) -> dict[str, Any]:
    """A network was deleted by SQL: OVN's maintenance task still has a record of it."""
    number = standard(cloud, "networks", cloud.ago(OLD))
    cloud.insert(
        "neutron", "ovn_revision_numbers", standard_attr_id=number, resource_type="networks", revision_number=2,
        resource_uuid=f"6f1d0c3a-0000-4000-8000-{number:012d}", created_at=cloud.ago(OLD), updated_at=cloud.ago(OLD),
    )  # fmt: skip
    return {"attribute": number}


def of_a_lost_port(cloud: CloudRows) -> dict[str, Any]:
    """A guest's port was deleted by SQL a minute after Nova wrote the server; its tag is on the row that is left."""
    server = cloud.pick("active")
    number, created = standard(cloud, "ports", cloud.ago(OLD)), cloud.ago(OLD)
    drop_port(cloud, server.ports[0])
    changed(cloud, server)
    cloud.insert("neutron", "tags", standard_attr_id=number, tag="mail")
    cloud.insert(
        "neutron", "ovn_revision_numbers", standard_attr_id=number, resource_type="ports", revision_number=2,
        resource_uuid=server.ports[0], created_at=created, updated_at=created,
    )  # fmt: skip
    return {"attribute": number}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "of_a_rule": of_a_rule,
    "followed_by_ovn": followed_by_ovn,
    "of_a_lost_port": of_a_lost_port,
}
NOT_REPAIRED = {"of_a_lost_port": "that Neutron has lost"}


def of_a_plugin(cloud: CloudRows) -> None:
    """A resource of a plugin outside Neutron's source tree, in a table that stackmend does not know."""
    standard(cloud, "vendor_widgets", cloud.ago(OLD))


def just_made(cloud: CloudRows) -> None:
    """A row that is a minute old."""
    standard(cloud, "ports", cloud.ago(60))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {"of_a_plugin": of_a_plugin, "just_made": just_made}
