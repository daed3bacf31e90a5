# SPDX-License-Identifier: Apache-2.0
"""Changes that OVN has not followed, as Neutron records them (catalogue I13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._networks import OLD, port_of

_GONE = "6f1d0c3a-0000-4000-8000-0000000000d1"


def _port(cloud: CloudRows, behind: int, age: float = OLD, kind: str = "ports") -> str:
    """A port of a running server, changed so long ago; OVN's revision is lower by so much."""
    port = cloud.pick("active").ports[0]
    number = port_of(cloud, port)["standard_attr_id"]
    cloud.update("neutron", "standardattributes", {"id": number}, revision_number=9, updated_at=cloud.ago(age))
    _record(cloud, port, 9 - behind, number, kind)
    return port


def _record(cloud: CloudRows, name: str, revision: int, number: int | None, kind: str = "ports") -> None:
    cloud.insert(
        "neutron", "ovn_revision_numbers", standard_attr_id=number, resource_type=kind, revision_number=revision,
        resource_uuid=name, created_at=cloud.ago(2 * OLD), updated_at=cloud.ago(2 * OLD),
    )  # fmt: skip


def plant(cloud: CloudRows) -> dict[str, Any]:
    """OVN did not answer while a port was changed, and each repetition fails."""
    return {"resource": _port(cloud, 2), "kind": "ports"}


def never_created(cloud: CloudRows) -> dict[str, Any]:
    """Neutron was killed before OVN had the port."""
    return {"resource": _port(cloud, 10), "kind": "ports"}


def of_its_router(cloud: CloudRows) -> dict[str, Any]:
    """OVN has two objects for the port of a router: that of the router has not followed."""
    port = _port(cloud, 1, kind="router_ports")
    _record(cloud, port, 9, port_of(cloud, port)["standard_attr_id"])
    return {"resource": port, "kind": "router_ports"}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "never_created": never_created,
    "of_its_router": of_its_router,
}
NOT_REPAIRED = dict.fromkeys(("plant", *VARIANTS), "neutron-ovn-db-sync-util")


def followed(cloud: CloudRows) -> None:
    """OVN has the revision that Neutron has."""
    _port(cloud, 0)


def just_changed(cloud: CloudRows) -> None:
    """Neutron changed the port ten minutes ago, and repeats what failed every five."""
    _port(cloud, 1, 600)


def rows_of_a_copy(cloud: CloudRows) -> None:
    """The record is ahead of the object, as after a change that was undone by SQL: OVN has followed."""
    _port(cloud, -1)


def deleted(cloud: CloudRows) -> None:
    """Neutron has deleted a network, and OVN will not have it in a moment: nobody knows since when."""
    _record(cloud, _GONE, 4, None, "networks")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "deleted": deleted,
    "followed": followed,
    "just_changed": just_changed,
    "rows_of_a_copy": rows_of_a_copy,
}
