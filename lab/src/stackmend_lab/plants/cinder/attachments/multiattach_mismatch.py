# SPDX-License-Identifier: Apache-2.0
"""Volumes that servers share although their type does not say so (catalogue H11)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, attach, new_volume


def _type(cloud: CloudRows, **spec: Any) -> str:
    """Insert a volume type, with a property if one is given; returns its id."""
    kind = str(uuid.uuid4())
    cloud.insert(
        "cinder", "volume_types", id=kind, name=f"zz-{kind}", is_public=1, created_at=cloud.ago(OLD), deleted=0
    )
    if spec:
        cloud.insert("cinder", "volume_type_extra_specs", volume_type_id=kind, created_at=cloud.ago(OLD), **spec)
    return kind


def _shared(cloud: CloudRows, kind: str, servers: int = 2, **values: Any) -> dict[str, Any]:
    """A volume of that type marked multi-attach, which so many servers have."""
    first = cloud.pick("active")
    volume = new_volume(cloud, first.project_id, volume_type_id=kind, multiattach=1)
    for server in (first, *(cloud.pick("active") for _ in range(servers - 1))):
        attach(cloud, server, volume, **values)
    return {"volume": volume}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """SQL marked a volume that two servers had."""
    return _shared(cloud, _type(cloud))


def removed(cloud: CloudRows) -> dict[str, Any]:
    """The property was removed from the type."""
    return _shared(cloud, _type(cloud, key="multiattach", value="<is> True", deleted=1), 3)


def said_no(cloud: CloudRows) -> dict[str, Any]:
    """The property says no."""
    return _shared(cloud, _type(cloud, key="multiattach", value="<is> False", deleted=0))


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "removed": removed,
    "said_no": said_no,
}
NOT_REPAIRED = dict.fromkeys(("plant", *VARIANTS), "whether its servers expect to share it")


def by_type(cloud: CloudRows) -> None:
    """A volume of a multi-attach type."""
    _shared(cloud, _type(cloud, key="multiattach", value="<is> True", deleted=0))


def alone(cloud: CloudRows) -> None:
    """Only one server has it."""
    _shared(cloud, _type(cloud), 1)


def just_attached(cloud: CloudRows) -> None:
    """The second server got it a moment ago."""
    _shared(cloud, _type(cloud), updated_at=cloud.ago(30))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "by_type": by_type,
    "alone": alone,
    "just_attached": just_attached,
}
