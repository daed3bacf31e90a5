# SPDX-License-Identifier: Apache-2.0
"""Operations of Cinder (cinder/api/contrib/volume_actions.py, admin_actions.py, v3/attachments.py)."""

from __future__ import annotations

from typing import Any

from stackmend.drivers.api.operations import Arguments, Operation, Picture, Reader, _servers
from stackmend.drivers.api.session import Request, segment
from stackmend.model.step import StepState

#: the first with attachments of their own
_ATTACHMENTS = "3.27"


def _volume(reader: Reader, arguments: Arguments) -> Picture:
    """``attachments``: how many servers and hosts the volume says it is attached to."""
    body = reader.get("block-storage", f"/volumes/{segment(arguments['volume'])}", "3.0")
    if body is None:
        return {"volume": "absent"}
    volume = body["volume"]
    return {
        "volume": "present",
        "status": volume["status"],
        "migration": volume.get("os-vol-mig-status-attr:migstat"),
        "attachments": len(volume.get("attachments") or ()),
    }


def _action(arguments: Arguments, body: Any) -> Request:
    path = f"/volumes/{segment(arguments['volume'])}/action"
    return Request(service="block-storage", method="POST", path=path, body=body, microversion="3.0")


def _has(*statuses: str) -> Any:
    """DONE in one of these statuses."""

    def judge(picture: Picture, _: Arguments) -> StepState:
        if picture["volume"] == "absent":
            return StepState.FAILED
        return StepState.DONE if picture["status"] in statuses else StepState.PLANNED

    return judge


def _reset_status(arguments: Arguments) -> list[Request]:
    wanted = {name: arguments[name] for name in ("status", "attach_status") if name in arguments}
    return [_action(arguments, {"os-reset_status": wanted})]


def _reset(picture: Picture, arguments: Arguments) -> StepState:
    if picture["volume"] == "absent":
        return StepState.FAILED
    right = picture["status"] == arguments["status"]
    if arguments.get("attach_status") == "detached":
        right = right and picture["attachments"] == 0
    return StepState.DONE if right else StepState.PLANNED


def _delete(arguments: Arguments) -> list[Request]:
    path = f"/volumes/{segment(arguments['volume'])}"
    return [
        Request(service="block-storage", method="DELETE", path=path, microversion="3.0"),
        _action(arguments, {"os-force_delete": {}}),
    ]


def _deleted(picture: Picture, _: Arguments) -> StepState:
    if picture["volume"] == "absent":
        return StepState.DONE
    states = {"deleting": StepState.INTENT, "error_deleting": StepState.FAILED}
    return states.get(picture["status"], StepState.PLANNED)


def _attachment(reader: Reader, arguments: Arguments) -> Picture:
    """The attachment, and what its volume says."""
    body = reader.get("block-storage", f"/attachments/{segment(arguments['attachment'])}", _ATTACHMENTS)
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


def _delete_attachment(arguments: Arguments) -> list[Request]:
    path = f"/attachments/{segment(arguments['attachment'])}"
    return [Request(service="block-storage", method="DELETE", path=path, microversion=_ATTACHMENTS)]


OPERATIONS = (
    Operation(
        service="block-storage", name="roll-detaching", look=_volume, judge=_has("in-use"), microversion="3.0",
        again=True, requests=lambda arguments: [_action(arguments, {"os-roll_detaching": {}})],
    ),
    Operation(
        service="block-storage", name="begin-detaching", look=_volume, judge=_has("detaching"), microversion="3.0",
        again=True, requests=lambda arguments: [_action(arguments, {"os-begin_detaching": {}})],
    ),
    Operation(
        service="block-storage", name="reset-status", requests=_reset_status, look=_volume, judge=_reset,
        microversion="3.0", again=True,
    ),
    Operation(
        service="block-storage", name="delete-volume", requests=_delete, look=_volume, judge=_deleted,
        microversion="3.0", again=True, limit=600,
    ),
    Operation(
        service="block-storage", name="delete-attachment", requests=_delete_attachment, look=_attachment,
        judge=lambda picture, _: StepState.DONE if picture["attachment"] == "absent" else StepState.PLANNED,
        microversion=_ATTACHMENTS, again=True,
    ),
)  # fmt: skip
