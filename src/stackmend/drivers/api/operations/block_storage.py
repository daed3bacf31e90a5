# SPDX-License-Identifier: Apache-2.0
"""Cinder's operations (cinder/api/contrib/volume_actions.py, admin_actions.py, v3/attachments.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, ResourceReader
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.block_storage import (
    AttachmentSeen,
    BeginDetaching,
    DeleteAttachment,
    DeleteVolume,
    ResetSnapshotStatus,
    ResetStatus,
    RollDetaching,
    SnapshotSeen,
    VolumeOperation,
    VolumeSeen,
)
from stackmend.model.step import StepState

#: the first version with attachments as resources
_ATTACHMENTS = "3.27"


def _volume(reader: ResourceReader, asked: VolumeOperation) -> VolumeSeen:
    """The volume's state; ``attachments``: the number of attachments that it lists."""
    body = reader.get("block-storage", f"/volumes/{segment(asked.volume)}", "3.0")
    if body is None:
        return {"volume": "absent"}
    volume = body["volume"]
    return {
        "volume": "present",
        "status": volume["status"],
        "migration": volume.get("os-vol-mig-status-attr:migstat"),
        "attachments": len(volume.get("attachments") or ()),
    }


def _action(asked: VolumeOperation, body: Mapping[str, object]) -> Request:
    path = f"/volumes/{segment(asked.volume)}/action"
    return Request(service="block-storage", method="POST", path=path, body=body, microversion="3.0")


def _has(*statuses: str) -> Callable[[VolumeSeen, VolumeOperation], StepState]:
    """DONE in one of these statuses."""

    def judge(picture: VolumeSeen, _: VolumeOperation) -> StepState:
        if picture["volume"] == "absent":
            return StepState.FAILED
        return StepState.DONE if picture["status"] in statuses else StepState.PLANNED

    return judge


def _reset_status(asked: ResetStatus) -> list[Request]:
    wanted = {name: value for name, value in asked.arguments.items() if name != "volume"}
    return [_action(asked, {"os-reset_status": wanted})]


def _reset(picture: VolumeSeen, asked: ResetStatus) -> StepState:
    if picture["volume"] == "absent":
        return StepState.FAILED
    right = picture["status"] == asked.status
    if asked.attach_status == "detached":
        right = right and picture["attachments"] == 0
    return StepState.DONE if right else StepState.PLANNED


def _snapshot(reader: ResourceReader, asked: ResetSnapshotStatus) -> SnapshotSeen:
    body = reader.get("block-storage", f"/snapshots/{segment(asked.snapshot)}", "3.0")
    if body is None:
        return {"snapshot": "absent"}
    snapshot = body["snapshot"]
    return {"snapshot": "present", "status": snapshot["status"], "volume": snapshot["volume_id"]}


def _reset_snapshot(asked: ResetSnapshotStatus) -> list[Request]:
    path, body = f"/snapshots/{segment(asked.snapshot)}/action", {"os-reset_status": {"status": asked.status}}
    return [Request(service="block-storage", method="POST", path=path, body=body, microversion="3.0")]


def _snapshot_reset(picture: SnapshotSeen, asked: ResetSnapshotStatus) -> StepState:
    if picture["snapshot"] == "absent":
        return StepState.FAILED
    return StepState.DONE if picture["status"] == asked.status else StepState.PLANNED


def _delete(asked: DeleteVolume) -> list[Request]:
    path = f"/volumes/{segment(asked.volume)}"
    return [
        Request(service="block-storage", method="DELETE", path=path, microversion="3.0"),
        _action(asked, {"os-force_delete": {}}),
    ]


def _deleted(picture: VolumeSeen, _: DeleteVolume) -> StepState:
    if picture["volume"] == "absent":
        return StepState.DONE
    states = {"deleting": StepState.INTENT, "error_deleting": StepState.FAILED}
    return states.get(str(picture["status"]), StepState.PLANNED)


def _attachment(reader: ResourceReader, asked: DeleteAttachment) -> AttachmentSeen:
    """The attachment and its server."""
    body = reader.get("block-storage", f"/attachments/{segment(asked.attachment)}", _ATTACHMENTS)
    if body is None:
        return {"attachment": "absent"}
    attachment = body["attachment"]
    return {
        "attachment": "present",
        "volume": attachment.get("volume_id"),
        "instance": attachment.get("instance"),
        "status": attachment.get("status"),
        **(_servers.picture(_servers.read(reader, attachment["instance"])) if attachment.get("instance") else {}),
    }


def _delete_attachment(asked: DeleteAttachment) -> list[Request]:
    path = f"/attachments/{segment(asked.attachment)}"
    return [Request(service="block-storage", method="DELETE", path=path, microversion=_ATTACHMENTS)]


OPERATIONS = (
    Implementation(
        of=RollDetaching, look=_volume, judge=_has("in-use"), microversion="3.0",
        again=True, requests=lambda asked: [_action(asked, {"os-roll_detaching": {}})],
    ),
    Implementation(
        of=BeginDetaching, look=_volume, judge=_has("detaching"), microversion="3.0",
        again=True, requests=lambda asked: [_action(asked, {"os-begin_detaching": {}})],
    ),
    Implementation(
        of=ResetStatus, requests=_reset_status, look=_volume, judge=_reset,
        microversion="3.0", again=True,
    ),
    Implementation(
        of=ResetSnapshotStatus, requests=_reset_snapshot, look=_snapshot, judge=_snapshot_reset,
        microversion="3.0", again=True,
    ),
    Implementation(
        of=DeleteVolume, requests=_delete, look=_volume, judge=_deleted,
        microversion="3.0", again=True, limit=600,
    ),
    Implementation(
        of=DeleteAttachment, requests=_delete_attachment, look=_attachment,
        judge=lambda picture, _: StepState.DONE if picture["attachment"] == "absent" else StepState.PLANNED,
        microversion=_ATTACHMENTS, again=True,
    ),
)  # fmt: skip
