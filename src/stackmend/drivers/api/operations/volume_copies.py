# SPDX-License-Identifier: Apache-2.0
"""Copies of volumes for reading (cinder/api/v3/snapshots.py, volumes.py; cinder/api/contrib/volume_actions.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from stackmend.drivers.api.operations import Implementation, ResourceReader
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.volume_copies import (
    AttachCopy,
    CopyAtOperation,
    CopyOperation,
    CopySeen,
    CopySnapshot,
    DetachCopy,
    DropCopy,
    DropVolumeSnapshot,
    SetCopyReadOnly,
    SnapshotVolume,
)
from stackmend.model.step import StepState

#: in this microversion ``force`` allows a snapshot of a volume in use (from 3.66 on that is always allowed)
_CINDER = "3.0"
#: placeholders in a plan for what does not exist yet
_OF_SNAPSHOT, _OF_COPY = "(the snapshot)", "(the copy)"
#: seconds; some back ends copy every byte
_LIMIT = 3600


def _look(reader: ResourceReader, asked: CopyOperation | CopyAtOperation) -> CopySeen:
    snapshot, copy = (_named(reader, kind, asked.name) for kind in ("snapshots", "volumes"))
    attached = (copy or {}).get("attachments") or ()
    return {
        "snapshot": "absent" if snapshot is None else str(snapshot["status"]),
        "snapshot_id": None if snapshot is None else str(snapshot["id"]),
        "copy": "absent" if copy is None else str(copy["status"]),
        "copy_id": None if copy is None else str(copy["id"]),
        "readonly": str(((copy or {}).get("metadata") or {}).get("readonly")).lower() == "true",
        "helper": next((str(one["server_id"]) for one in attached if one.get("server_id")), None),
    }


def _named(reader: ResourceReader, kind: str, name: str) -> Mapping[str, Any] | None:
    """The snapshot or volume with this name; if there are several, those being deleted do not count."""
    path = f"/{kind}/detail?all_tenants=1&name={segment(name)}"
    found = [one for one in reader.every("block-storage", path, kind, _CINDER) if one.get("name") == name]
    return next((one for one in found if one["status"] != "deleting"), found[0] if found else None)


Judge = Callable[[CopySeen, CopyOperation | CopyAtOperation], StepState]


def _by(of: str, states: Mapping[str, StepState]) -> Judge:
    """Judges a step by the status of the object; a status that is not listed is a failure."""

    def judge(picture: CopySeen, _: CopyOperation | CopyAtOperation) -> StepState:
        return states.get(str(picture.get(of)), StepState.FAILED)

    return judge


def _made(of: str) -> Judge:
    return _by(of, {
        "absent": StepState.PLANNED, "creating": StepState.INTENT, "downloading": StepState.INTENT,
        "available": StepState.DONE, "in-use": StepState.DONE, "reserved": StepState.DONE,
    })  # fmt: skip


def _gone(of: str) -> Judge:
    return _by(of, {
        "absent": StepState.DONE, "deleting": StepState.INTENT, "available": StepState.PLANNED,
        "error": StepState.PLANNED,
    })  # fmt: skip


def _readonly(picture: CopySeen, _: SetCopyReadOnly) -> StepState:
    if picture["copy"] == "absent":
        return StepState.FAILED
    return StepState.DONE if picture["readonly"] else StepState.PLANNED


def _attached(picture: CopySeen, asked: AttachCopy) -> StepState:
    if picture["helper"] not in (None, asked.server):
        return StepState.FAILED
    states = {
        "available": StepState.PLANNED, "reserved": StepState.INTENT, "attaching": StepState.INTENT,
        "in-use": StepState.DONE,
    }  # fmt: skip
    return states.get(picture["copy"], StepState.FAILED)


def _detached(picture: CopySeen, _: DetachCopy) -> StepState:
    states = {
        "absent": StepState.DONE, "available": StepState.DONE, "error": StepState.DONE, "detaching": StepState.INTENT,
    }  # fmt: skip
    return states.get(picture["copy"], StepState.PLANNED)


def _cinder(method: str, path: str, body: object = None) -> list[Request]:
    return [Request(service="block-storage", method=method, path=path, body=body, microversion=_CINDER)]


def _snapshot(asked: SnapshotVolume) -> list[Request]:
    return _cinder("POST", "/snapshots", {"snapshot": {"volume_id": asked.volume, "name": asked.name, "force": True}})


def _copy(asked: CopySnapshot) -> list[Request]:
    body = {"volume": {"snapshot_id": _OF_SNAPSHOT, "name": asked.name, "size": asked.size}}
    return _cinder("POST", "/volumes", body)


def _set_readonly(_: SetCopyReadOnly) -> list[Request]:
    return _cinder("POST", f"/volumes/{_OF_COPY}/action", {"os-update_readonly_flag": {"readonly": True}})


def _attach(asked: AttachCopy) -> list[Request]:
    body = {"volumeAttachment": {"volumeId": _OF_COPY}}
    path = f"/servers/{segment(asked.server)}/os-volume_attachments"
    return [Request(service="compute", method="POST", path=path, body=body, microversion="2.1")]


def _detach(asked: DetachCopy) -> list[Request]:
    path = f"/servers/{segment(asked.server)}/os-volume_attachments/{_OF_COPY}"
    return [Request(service="compute", method="DELETE", path=path, microversion="2.1")]


def _aimed(request: Request, seen: CopySeen) -> Request:
    """The request with its placeholders replaced by the ids of what now exists."""
    ids = {_OF_SNAPSHOT: str(seen["snapshot_id"]), _OF_COPY: str(seen["copy_id"])}
    path = request.path
    for words, found in ids.items():
        path = path.replace(words, segment(found))
    return replace(request, path=path, body=_filled(request.body, ids))


def _filled(body: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(body, dict):
        return {name: _filled(value, ids) for name, value in body.items()}
    return ids.get(body, body) if isinstance(body, str) else body


OPERATIONS = (
    Implementation(
        of=SnapshotVolume, requests=_snapshot, look=_look, judge=_made("snapshot"), microversion=_CINDER,
        again=False, limit=_LIMIT,
    ),
    Implementation(
        of=DropVolumeSnapshot, requests=lambda _: _cinder("DELETE", f"/snapshots/{_OF_SNAPSHOT}"), look=_look,
        judge=_gone("snapshot"), aim=_aimed, microversion=_CINDER, again=True, limit=_LIMIT,
    ),
    Implementation(
        of=CopySnapshot, requests=_copy, look=_look, judge=_made("copy"), aim=_aimed, microversion=_CINDER,
        again=False, limit=_LIMIT,
    ),
    Implementation(
        of=DropCopy, requests=lambda _: _cinder("DELETE", f"/volumes/{_OF_COPY}"), look=_look,
        judge=_gone("copy"), aim=_aimed, microversion=_CINDER, again=True, limit=_LIMIT,
    ),
    Implementation(
        of=SetCopyReadOnly, requests=_set_readonly, look=_look, judge=_readonly, aim=_aimed,
        microversion=_CINDER, again=True,
    ),
    Implementation(
        of=AttachCopy, requests=_attach, look=_look, judge=_attached, aim=_aimed, microversion="2.1",
        again=False, limit=600, at_once=True,
    ),
    Implementation(
        of=DetachCopy, requests=_detach, look=_look, judge=_detached, aim=_aimed, microversion="2.1",
        again=False, limit=900, at_once=True,
    ),
)  # fmt: skip
