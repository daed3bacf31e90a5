# SPDX-License-Identifier: Apache-2.0
"""A volume group, by ``lvs`` on the host that has it. Snapshots are ``_snapshot-<id>`` there."""

from __future__ import annotations

from datetime import UTC, datetime

from stackmend.drivers.storage import names
from stackmend.drivers.storage.commands import listed
from stackmend.model.errors import SourceError
from stackmend.model.objects.storage import BackEnd, Listing, Stored
from stackmend.model.protocols import Hosts

_COLUMNS = "lv_name,lv_size,origin,lv_time,lv_device_open"


def _list(hosts: Hosts, back_end: BackEnd) -> Listing:
    program = back_end.program or ("lvs",)
    argv = (*program, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", _COLUMNS, back_end.place)
    found = listed(hosts, back_end, argv)
    try:
        rows = [row for report in found["report"] for row in report["lv"]]
        every = [_stored(row) for row in rows]
        parents = tuple(row["origin"] for row in rows if row["origin"])
    except (KeyError, TypeError, ValueError) as problem:
        raise SourceError(f"lvs does not answer as version 2.02.158 or later does: {problem!r}") from None
    known = tuple(one for one in every if one is not None)
    return Listing(objects=known, others=len(every) - len(known), parents=parents)


def _stored(row: dict[str, str]) -> Stored | None:
    name = row["lv_name"]
    kind, uuid = "volume", ""
    if (found := names.volume(name)) and not found[1]:
        uuid = found[0]
    elif snapshot := names.snapshot(name):
        kind, uuid = "snapshot", snapshot
    if not uuid:
        return None
    origin = row["origin"]
    of = names.volume(origin) if kind == "snapshot" else None
    return Stored(
        name=name,
        kind=kind,
        uuid=uuid,
        origin=of[0] if of else "",
        parent=row["origin"],
        size=int(row["lv_size"]),
        modified=datetime.strptime(row["lv_time"], "%Y-%m-%d %H:%M:%S %z").astimezone(UTC).replace(tzinfo=None),
        # "unknown" without the kernel's device mapper
        used="its device is open" if row["lv_device_open"] == "open" else "",
    )


LIST = _list
