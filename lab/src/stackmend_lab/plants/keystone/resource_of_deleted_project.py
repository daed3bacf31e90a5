# SPDX-License-Identifier: Apache-2.0
"""Projects that are deleted and still own something (catalogue K1)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._images import new_image
from stackmend_lab.plants._servers import new_port
from stackmend_lab.plants._volumes import first_project, new_volume


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The project was deleted, and two volumes of it were forgotten."""
    project = uuid.uuid4().hex
    new_volume(cloud, project)
    new_volume(cloud, project, status="error")
    return {"project": project}


def image(cloud: CloudRows) -> dict[str, Any]:
    """An image of a deleted project."""
    project = uuid.uuid4().hex
    new_image(cloud, owner=project)
    return {"project": project}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"image": image}
NOT_REPAIRED = dict.fromkeys(("plant", *VARIANTS), "find the owner")


def with_dashes(cloud: CloudRows) -> None:
    """A volume from a release that wrote the project's id with dashes."""
    new_volume(cloud, str(uuid.UUID(first_project(cloud))))


def of_a_domain(cloud: CloudRows) -> None:
    """A volume of a domain that acts as a project."""
    new_volume(cloud, "default")


def of_nobody(cloud: CloudRows) -> None:
    """A port of Neutron itself, and an image without an owner."""
    new_port(cloud, cloud.pick("active"), project_id="", device_id="", device_owner="network:ha_router_replicated")
    new_image(cloud, owner=None)


def only_ports(cloud: CloudRows) -> None:
    """A port in a shared network, of a project that owns nothing else."""
    values: dict[str, Any] = {"project_id": uuid.uuid4().hex, "device_id": "", "device_owner": ""}
    new_port(cloud, cloud.pick("active"), name="spare", **values)


def just_made(cloud: CloudRows) -> None:
    """A volume of a project that was made after Keystone was read."""
    new_volume(cloud, uuid.uuid4().hex, created_at=cloud.ago(60), updated_at=cloud.ago(60))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "with_dashes": with_dashes,
    "of_a_domain": of_a_domain,
    "of_nobody": of_nobody,
    "only_ports": only_ports,
    "just_made": just_made,
}
