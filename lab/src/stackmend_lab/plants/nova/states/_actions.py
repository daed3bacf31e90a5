# SPDX-License-Identifier: Apache-2.0
"""Operations on servers, as rows record them."""

from __future__ import annotations

from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD, touch


def under_way(cloud: CloudRows, server: Server, task: str, age: float = OLD + 600, **values: Any) -> dict[str, Any]:
    """Set the task_state, so long ago; returns the key of the server's finding."""
    cloud.update(server.database, "instances", {"uuid": server.uuid}, task_state=task, **values)
    touch(cloud, server, age)
    return {"server": server.uuid}


def acted(cloud: CloudRows, server: Server, action: str, age: float, *, ended: float | None = None) -> None:
    """An action that began so long ago, with its event, which ended or not."""
    number = cloud.insert(
        server.database, "instance_actions", action=action, instance_uuid=server.uuid,
        request_id=f"req-{server.uuid[:-4]}7a5c", start_time=cloud.ago(age), created_at=cloud.ago(age), deleted=0,
    )  # fmt: skip
    cloud.insert(
        server.database, "instance_actions_events", action_id=number, event=f"compute_{action}_instance",
        start_time=cloud.ago(age), finish_time=None if ended is None else cloud.ago(ended), host=server.host, deleted=0,
    )  # fmt: skip
