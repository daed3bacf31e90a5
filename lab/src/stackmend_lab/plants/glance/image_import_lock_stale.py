# SPDX-License-Identifier: Apache-2.0
"""Marks of imports that are over (catalogue J4)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._images import OLD, child, new_image


def _task(cloud: CloudRows, status: str, age: float = OLD) -> str:
    task = str(uuid.uuid4())
    values = {"created_at": cloud.ago(2 * OLD), "updated_at": cloud.ago(age), "deleted": 0, "owner": uuid.uuid4().hex}
    cloud.insert("glance", "tasks", id=task, type="api_image_import", status=status, **values)
    return task


def _importing(cloud: CloudRows, task: str | None, **values: Any) -> str:
    """An image with the marks of an import by that task; returns its id."""
    image = new_image(cloud, **values)
    if task:
        child(cloud, "image_properties", image, name="os_glance_import_task", value=task)
    child(cloud, "image_properties", image, name="os_glance_importing_to_stores", value="ceph")
    return image


def plant(cloud: CloudRows) -> dict[str, Any]:
    """glance-api was restarted while it copied the image to a second store."""
    return {"image": _importing(cloud, _task(cloud, "processing"))}


def task_purged(cloud: CloudRows) -> dict[str, Any]:
    """The task was purged long ago."""
    return {"image": _importing(cloud, str(uuid.uuid4()))}


def staged(cloud: CloudRows) -> dict[str, Any]:
    """The import failed before its data left the staging area of one node."""
    image = _importing(cloud, None, status="queued", located=False, size=None, updated_at=cloud.ago(3 * 3600))
    child(cloud, "image_properties", image, name="os_glance_stage_host", value="http://glance1:9292")
    return {"image": image}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"task_purged": task_purged, "staged": staged}


def in_progress(cloud: CloudRows) -> None:
    """A task that reported its progress a minute ago."""
    _importing(cloud, _task(cloud, "processing", 60))


def finished(cloud: CloudRows) -> None:
    """An image that was imported: the list of stores to come is empty."""
    child(cloud, "image_properties", new_image(cloud), name="os_glance_importing_to_stores", value="")


def importing(cloud: CloudRows) -> None:
    """A large image that is being imported for the first time, by a task that is slow to report."""
    _importing(cloud, _task(cloud, "processing"), status="importing", updated_at=cloud.ago(3600))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "in_progress": in_progress,
    "finished": finished,
    "importing": importing,
}
