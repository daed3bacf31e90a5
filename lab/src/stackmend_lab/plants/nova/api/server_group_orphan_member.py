# SPDX-License-Identifier: Apache-2.0
"""Members of server groups that do not exist, or are there twice (catalogue C12)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import OLD, new_build_request


def _group(cloud: CloudRows, *servers: str, age: float = OLD) -> int:
    """A server group with these members; returns its number."""
    number = cloud.insert(
        "nova_api", "instance_groups", uuid=str(uuid.uuid4()), name="group", project_id="p", user_id="u",
        created_at=cloud.ago(age),
    )  # fmt: skip
    for server in servers:
        row = {"instance_uuid": server, "group_id": number, "created_at": cloud.ago(age)}
        cloud.insert("nova_api", "instance_group_member", **row)
    return int(number)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The server was archived by a release that left the API database alone."""
    server = str(uuid.uuid4())
    return {"server": server, "group_id": _group(cloud, cloud.pick("active").uuid, server)}


def twice(cloud: CloudRows) -> dict[str, Any]:
    """A live server is a member twice."""
    server = cloud.pick("active").uuid
    return {"server": server, "group_id": _group(cloud, server, server)}


def unknown_twice(cloud: CloudRows) -> dict[str, Any]:
    """A server that does not exist is a member twice."""
    server = str(uuid.uuid4())
    return {"server": server, "group_id": _group(cloud, server, server)}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"twice": twice, "unknown_twice": unknown_twice}


def deleted(cloud: CloudRows) -> None:
    """A deleted server remains a member until it is archived."""
    _group(cloud, cloud.pick("deleted").uuid)


def being_built(cloud: CloudRows) -> None:
    """A member that is not scheduled yet."""
    _group(cloud, new_build_request(cloud, str(uuid.uuid4()), 60))


def just_added(cloud: CloudRows) -> None:
    """A member of a minute ago, whose build request is already gone and whose cell was read before."""
    _group(cloud, str(uuid.uuid4()), age=60)


def in_two_groups(cloud: CloudRows) -> None:
    """Two groups with one member each."""
    _group(cloud, cloud.pick("active").uuid)
    _group(cloud, cloud.pick("stopped").uuid)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "deleted": deleted,
    "being_built": being_built,
    "just_added": just_added,
    "in_two_groups": in_two_groups,
}
