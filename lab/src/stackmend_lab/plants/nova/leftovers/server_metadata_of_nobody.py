# SPDX-License-Identifier: Apache-2.0
"""Rows of servers that no longer exist (catalogue B13)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows

CELL = "cell:cell1"


def _token(cloud: CloudRows, server: str, seconds: float) -> None:
    """A token for a console that expires so many seconds from now."""
    cloud.insert(
        CELL, "console_auth_tokens", token_hash=uuid.uuid4().hex, console_type="novnc", host="h1", port=5900,
        internal_access_path=None, instance_uuid=server, expires=int(time.time() + seconds), created_at=cloud.ago(600),
    )  # fmt: skip


def _key(server: str) -> dict[str, Any]:
    return {"server": server, "cell": "cell1"}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A server marked deleted by SQL was archived: its tags stay."""
    server = str(uuid.uuid4())
    for tag in ("tier-1", "billing"):
        cloud.insert(CELL, "tags", resource_id=server, tag=tag)
    return _key(server)


def tokens(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute was removed before it cleaned up its expired console tokens."""
    server = str(uuid.uuid4())
    _token(cloud, server, -3 * 86400)
    return _key(server)


def ec2_id(cloud: CloudRows) -> dict[str, Any]:
    """Its EC2 id is live."""
    server = str(uuid.uuid4())
    cloud.insert(CELL, "instance_id_mappings", uuid=server, deleted=0, created_at=cloud.ago(86400 * 30))
    return _key(server)


def all_three(cloud: CloudRows) -> dict[str, Any]:
    """Several of them at once."""
    server = str(uuid.uuid4())
    _token(cloud, server, -3 * 86400)
    cloud.insert(CELL, "tags", resource_id=server, tag="tier-2")
    cloud.insert(CELL, "instance_id_mappings", uuid=server, deleted=0, created_at=cloud.ago(86400 * 30))
    return _key(server)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "tokens": tokens,
    "ec2_id": ec2_id,
    "all_three": all_three,
}


def of_a_live_server(cloud: CloudRows) -> None:
    """Tags and an expired token of a server that exists."""
    server = cloud.pick("active")
    cloud.insert(server.database, "tags", resource_id=server.uuid, tag="mine")
    _token(cloud, server.uuid, -3 * 86400)


def in_use(cloud: CloudRows) -> None:
    """The console of a server that was just deleted and archived: its token is still valid."""
    _token(cloud, str(uuid.uuid4()), 600)


def being_built(cloud: CloudRows) -> None:
    """A server whose row is about to be made."""
    server = cloud.pick("unscheduled")
    cloud.insert(CELL, "tags", resource_id=server.uuid, tag="soon")


def gone(cloud: CloudRows) -> None:
    """An EC2 id that was deleted with its server."""
    number = cloud.insert(CELL, "instance_id_mappings", uuid=str(uuid.uuid4()), deleted=0)
    cloud.update(CELL, "instance_id_mappings", {"id": number}, deleted=number, deleted_at=cloud.ago(86400))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "of_a_live_server": of_a_live_server,
    "in_use": in_use,
    "being_built": being_built,
    "gone": gone,
}
