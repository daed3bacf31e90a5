# SPDX-License-Identifier: Apache-2.0
"""Operations on images and their content, in stores (glance/api/v2/images.py)."""

from __future__ import annotations

from stackmend.drivers.api.operations import Implementation, ResourceReader, nothing
from stackmend.drivers.api.session import Request, segment
from stackmend.model.api import Resource
from stackmend.model.operations.image import (
    CopyToStore,
    DeleteImage,
    DropFromStore,
    ImageSeen,
    ImageStands,
    RegisterImage,
    StoresSeen,
)
from stackmend.model.step import StepState
from stackmend.model.values import text

_STATUS = "active"


def _shown(reader: ResourceReader, name: str) -> Resource | None:
    found: Resource | None = reader.get("image", f"/images/{segment(name)}")
    return found


def _picture(found: Resource | None) -> ImageSeen:
    if found is None:
        return {"image": "absent"}
    digest = text(found.get("os_hash_value") or found.get("checksum"))
    return {"image": "present", "status": str(found.get("status")), "digest": digest}


def _look(reader: ResourceReader, asked: ImageStands | RegisterImage | DeleteImage) -> ImageSeen:
    return _picture(_shown(reader, asked.image))


def _stands(picture: ImageSeen, asked: ImageStands) -> StepState:
    whole = picture["image"] == "present" and (picture["status"], picture["digest"]) == (_STATUS, asked.digest)
    return StepState.DONE if whole else StepState.FAILED


def _stores(reader: ResourceReader, asked: CopyToStore | DropFromStore) -> StoresSeen:
    """``stores`` is a comma-separated text. While an import is in progress, a property of the image names its task.

    Glance sets that property before it answers. The list of stores to import to (os_glance_importing_to_stores) remains
    after a failure.
    """
    found = _shown(reader, asked.image)
    if found is None:
        return {"image": "absent"}

    def names(key: str) -> list[str]:
        return sorted(filter(None, str(found.get(key) or "").split(",")))

    return {
        **_picture(found),
        "stores": names("stores"),
        "importing": bool(found.get("os_glance_import_task")),
        "failed": names("os_glance_failed_import"),
    }


def _copied(picture: StoresSeen, asked: CopyToStore) -> StepState:
    if picture["image"] == "absent":
        return StepState.FAILED
    if picture["importing"]:
        return StepState.INTENT
    if asked.store in picture["stores"]:
        return StepState.DONE
    return StepState.FAILED if asked.store in picture["failed"] else StepState.PLANNED


def _copy(asked: CopyToStore) -> list[Request]:
    body = {"method": {"name": "copy-image"}, "stores": [asked.store], "all_stores_must_succeed": True}
    path = f"/images/{segment(asked.image)}/import"
    return [Request(service="image", method="POST", path=path, body=body, endpoint=_endpoint(asked.node))]


def _dropped(picture: StoresSeen, asked: DropFromStore) -> StepState:
    if picture["image"] == "absent" or asked.store not in picture["stores"]:
        return StepState.DONE
    return StepState.PLANNED


def _drop(asked: DropFromStore) -> list[Request]:
    path = f"/stores/{segment(asked.store)}/{segment(asked.image)}"
    return [Request(service="image", method="DELETE", path=path, endpoint=_endpoint(asked.node))]


def _register(asked: RegisterImage) -> list[Request]:
    """Glance gives the id to nobody else, even after the deletion of the image: 409."""
    body = {"id": asked.image, "name": asked.name, "visibility": "private"}
    return [Request(service="image", method="POST", path="/images", body=body)]


def _delete(asked: DeleteImage) -> list[Request]:
    return [Request(service="image", method="DELETE", path=f"/images/{segment(asked.image)}")]


def _endpoint(node: str) -> str:
    return f"{node}/v2" if node else ""


OPERATIONS = (
    Implementation(
        of=ImageStands, requests=nothing, look=_look, judge=_stands, again=True, limit=30,
        waits="check that image {image} is active, with the same hash",
    ),
    Implementation(
        of=CopyToStore, requests=_copy, look=_stores, judge=_copied, again=False, at_once=True, limit=3600,
        release="Ussuri",
    ),
    Implementation(
        of=DropFromStore, requests=_drop, look=_stores, judge=_dropped, again=True, limit=600, release="Ussuri",
    ),
    Implementation(
        of=RegisterImage, requests=_register, look=_look, again=True,
        judge=lambda picture, _: StepState.DONE if picture["image"] == "present" else StepState.PLANNED,
    ),
    Implementation(
        of=DeleteImage, requests=_delete, look=_look, again=True,
        judge=lambda picture, _: StepState.DONE if picture["image"] == "absent" else StepState.PLANNED,
    ),
)  # fmt: skip
