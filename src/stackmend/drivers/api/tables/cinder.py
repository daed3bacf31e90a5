# SPDX-License-Identifier: Apache-2.0
"""Cinder's API. For non-administrators it silently omits other projects' objects: that is checked.

The API does not show when an attachment changed. Its volume changes with it, so the later of that time and the time of
attaching is used: never too early. ``connection_info`` is secret and is not requested.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stackmend.drivers.api.reader import ApiTableReader
from stackmend.drivers.api.session import segment
from stackmend.drivers.api.tables import ApiTable, TableRow, Wanted, moment
from stackmend.model.errors import SourceError

#: the first version with attachments
ATTACHMENTS = "3.27"
_SERVICE = "block-storage"
_PAGE = 500
_ADMIN = ("os-vol-host-attr:host", "os-vol-tenant-attr:tenant_id", "os-vol-mig-status-attr:migstat")

VolumeBody = Mapping[str, Any]


def _administrator(look: ApiTableReader) -> None:
    """SourceError unless the account may see everything: only administrators can list its services."""

    def make() -> bool:
        return look.get(_SERVICE, "/os-services", ATTACHMENTS) is not None

    if not look.once("proof", _SERVICE, make):
        raise SourceError(
            "Cinder does not show its services to this account", "The account of [api] cloud needs the role admin."
        )


def _whole(volume: VolumeBody) -> VolumeBody:
    if any(name not in volume for name in _ADMIN):
        raise SourceError(
            "Cinder does not show the hosts of volumes to this account",
            "The account of [api] cloud needs the role admin.",
        )
    return volume


def volumes(look: ApiTableReader, names: Any) -> list[VolumeBody]:
    """The volumes with these ids; for None, all of them."""
    if names is None:
        return list(look.once("list", "volumes", lambda: _all(look)).values())

    def one(name: str) -> VolumeBody | None:
        body = look.get(_SERVICE, f"/volumes/{segment(name)}", ATTACHMENTS)
        return None if body is None else _whole(body["volume"])

    _administrator(look)
    return [volume for volume in look.many("volume", names, one).values() if volume is not None]


def _all(look: ApiTableReader) -> dict[str, VolumeBody]:
    _administrator(look)
    listed = look.every(_SERVICE, "/volumes/detail?all_tenants=1", "volumes", ATTACHMENTS)
    found = {volume["id"]: _whole(volume) for volume in listed}
    look.keep("volume", found)
    return found


def attachments(look: ApiTableReader, wanted: Wanted) -> list[Mapping[str, Any]]:
    """The attachments of these volumes or servers; for None, all of them."""
    _administrator(look)
    if wanted is None:
        return look.once("list", "attachments", lambda: _pages(look, ""))
    if "volume_id" in wanted:
        some = look.many("held", wanted["volume_id"], lambda name: _pages(look, f"&volume_id={segment(name)}"))
    else:
        some = look.many("of", wanted["instance_uuid"], lambda name: _pages(look, f"&instance_id={segment(name)}"))
    return [one for held in some.values() for one in held]


def _pages(look: ApiTableReader, more: str) -> list[Mapping[str, Any]]:
    """Page by page until one is empty: Cinder caps this list without a link to the rest."""
    found: dict[str, Mapping[str, Any]] = {}
    at = ""
    while True:
        path = f"/attachments?all_tenants=1&limit={_PAGE}{more}{at}"
        body = look.get(_SERVICE, path, ATTACHMENTS)
        if body is None:
            raise SourceError("Cinder could not list the attachments", "Its microversion must be 3.27 or later.")
        page = {one["id"]: one for one in body["attachments"]}
        if not page.keys() - found.keys():
            return list(found.values())
        found |= page
        at = f"&marker={segment(body['attachments'][-1]['id'])}"


def _volume_rows(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    for one in volumes(look, None if wanted is None else wanted["id"]):
        yield {
            "id": one["id"],
            "project_id": one["os-vol-tenant-attr:tenant_id"],
            "host": one["os-vol-host-attr:host"],
            "status": one["status"],
            "migration_status": one["os-vol-mig-status-attr:migstat"],
            "multiattach": one["multiattach"],
            "size": one["size"],
            "created_at": moment(one["created_at"]),
            "updated_at": moment(one["updated_at"]),
            "deleted": False,
            "encrypted": one["encrypted"],
        }


def _attachment_rows(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    found = attachments(look, wanted)
    known = {v["id"]: v for v in volumes(look, None if wanted is None else [one["volume_id"] for one in found])}
    for one in found:
        volume = known.get(one["volume_id"], {})
        held: Mapping[str, Any] = next(
            (a for a in volume.get("attachments", ()) if a["attachment_id"] == one["id"]), {}
        )
        times = [moment(held.get("attached_at")), moment(volume.get("updated_at")), moment(volume.get("created_at"))]
        last = max((time for time in times if time), default=None)
        yield {
            "id": one["id"],
            "volume_id": one["volume_id"],
            "instance_uuid": one["instance"],
            "attached_host": held.get("host_name"),
            "mountpoint": held.get("device"),
            "attach_status": one["status"],
            "created_at": times[0] or last,
            "updated_at": last,
            "deleted": False,
        }


def _snapshots(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    _administrator(look)
    of = [""] if wanted is None else [f"&volume_id={segment(name)}" for name in wanted["volume_id"]]
    paths = [f"/snapshots?all_tenants=1{more}" for more in of]
    for some in look.each(lambda path: look.every(_SERVICE, path, "snapshots", ATTACHMENTS), paths):
        for one in some:
            row = {"id": one["id"], "volume_id": one["volume_id"], "status": one["status"], "deleted": False}
            yield {**row, **{name: moment(one[name]) for name in ("created_at", "updated_at")}}


SHOWN = (
    ApiTable(
        label="cinder_volumes", rows=_volume_rows,
        columns=("id", "project_id", "host", "status", "migration_status", "multiattach", "size", "created_at",
                 "updated_at", "deleted", "encrypted"),
    ),
    ApiTable(
        label="cinder_volume_attachment", rows=_attachment_rows,
        columns=("id", "volume_id", "instance_uuid", "attached_host", "mountpoint", "attach_status", "created_at",
                 "updated_at", "deleted"),
    ),
    ApiTable(
        label="cinder_snapshots", rows=_snapshots,
        columns=("id", "volume_id", "status", "created_at", "updated_at", "deleted"),
    ),
)  # fmt: skip
