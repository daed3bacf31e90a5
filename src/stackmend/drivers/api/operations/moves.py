# SPDX-License-Identifier: Apache-2.0
"""Nova's operations that move a server from one host to another.

The server's host and task_state show most; the record of its last migration shows the rest. Nova clears the task before
the source has cleaned up (nova/compute/manager.py, _post_live_migration) and before a failed move is rolled back, so a
move has ended only when its record has. Nova sets the task_state of an accepted request before it responds
(nova/compute/api.py): so if the server is idle on its old host after that, the move has failed, however quickly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from msgspec import UNSET

from stackmend.cloud.states import CAME_TO_NOTHING, OVER
from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, OfServer, ResourceReader
from stackmend.drivers.api.operations.power import action
from stackmend.drivers.api.session import Request, segment
from stackmend.model.errors import SourceError
from stackmend.model.operations.compute import (
    ColdMigrate,
    ConfirmResize,
    EndMoveOperation,
    LiveMigrate,
    MovedSeen,
    MoveOperation,
    RevertResize,
)
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.step import StepState

#: 2.25 lets Nova decide on block migration, 2.30 has the scheduler verify the named host, 2.34 responds before the
#: hosts are checked
LIVE = "2.34"
#: accepts a named host for a cold migration
COLD = "2.56"
#: migrations with UUIDs, paginated, the latest first
RECORDS = "2.59"
#: shows why an event of an action failed; earlier versions have a traceback without its last line
_DETAILS = "2.84"


def last(reader: ResourceReader, server: object, kinds: Iterable[str]) -> Any:
    """The latest migration of the server of one of these kinds, or None."""
    found = []
    for kind in kinds:
        path = f"/os-migrations?instance_uuid={segment(server)}&migration_type={kind}&limit=1"
        found += (reader.get("compute", path, RECORDS) or {}).get("migrations", ())
    return max(found, key=lambda one: (str(one["created_at"]), int(one["id"])), default=None)


def why(reader: ResourceReader, server: object) -> str:
    """The error of a server's latest action, in Nova's words; "" if there is no action, or no error is shown."""
    path = f"/servers/{segment(server)}/os-instance-actions"
    every = (reader.get("compute", path, "2.1") or {}).get("instanceActions", ())
    newest = max(every, key=lambda one: str(one["start_time"]), default=None)
    if newest is None:
        return ""
    try:
        body = reader.get("compute", f"{path}/{segment(newest['request_id'])}", _DETAILS) or {}
    except SourceError:
        # an older cloud; the move has failed anyway
        return ""
    events = (body.get("instanceAction") or {}).get("events") or ()
    told = [str(one["details"]) for one in events if one.get("result") == "Error" and one.get("details")]
    return told[-1][:300] if told else ""


def _record(reader: ResourceReader, server: object, record: Any) -> MovedSeen:
    if record is None:
        return {"migration.status": None}
    found: MovedSeen = {"migration.status": record["status"]}
    if record["status"] in CAME_TO_NOTHING and (words := why(reader, server)):
        found["failure"] = words
    return found


def _moved(picture: ServerSeen, record: MovedSeen) -> MovedSeen:
    return cast("MovedSeen", {**picture, **record})


def _under_way(picture: MovedSeen) -> bool:
    return picture["migration.status"] is not None and picture["migration.status"] not in OVER


def _away(picture: MovedSeen, asked: MoveOperation | EndMoveOperation) -> bool:
    """Whether it has left the host it was to leave; without such a host, whether it is on its target."""
    if isinstance(asked, MoveOperation) and asked.from_ is None:
        return picture["server.host"] == asked.to
    return picture["server.host"] != asked.from_


def _targets(asked: MoveOperation) -> list[str | None]:
    return [asked.to, *asked.elsewhere]


# -- live


def _live(reader: ResourceReader, asked: LiveMigrate) -> MovedSeen:
    server = asked.server
    found = _servers.read(reader, server)
    if found is None:
        return {"server": "absent"}
    picture = _servers.picture(found)
    if picture["server.task_state"] != "migrating":
        return _moved(picture, _record(reader, server, last(reader, server, ("live-migration",))))
    every = (reader.get("compute", f"/servers/{segment(server)}/migrations", RECORDS) or {}).get("migrations", ())
    newest = max(every, key=lambda one: int(one["id"]), default=None)
    if newest is None:
        # not begun yet, or in post-copy, which Nova does not list
        return _moved(picture, {"migration.status": "accepted"})
    record: MovedSeen = {
        "migration.status": newest["status"],
        "migration": newest["id"],
        "to": newest.get("dest_compute"),
        "memory_remaining": newest.get("memory_remaining_bytes"),
        "disk_remaining": newest.get("disk_remaining_bytes"),
    }
    return _moved(picture, record)


def _moved_live(picture: MovedSeen, asked: LiveMigrate) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    broken = picture["server.vm_state"] == "error"
    if picture["server.task_state"] == "migrating" and not (broken and picture["migration.status"] in OVER):
        return StepState.INTENT
    if _under_way(picture):
        return StepState.INTENT
    if broken:
        return StepState.FAILED
    return StepState.DONE if _away(picture, asked) else StepState.PLANNED


def _live_requests(asked: LiveMigrate) -> list[Request]:
    return [
        request
        for host in _targets(asked)
        for request in action(asked, {"os-migrateLive": {"host": host, "block_migration": "auto"}}, LIVE)
    ]


def _remaining(picture: MovedSeen) -> int | None:
    """Bytes that remain to be copied; None while nothing is being copied."""
    if picture.get("migration.status") != "running":
        return None
    left = [picture.get("memory_remaining"), picture.get("disk_remaining")]
    return None if left == [None, None] else sum(int(one or 0) for one in left)


def _stall(asked: LiveMigrate) -> float | None:
    return None if asked.stall is UNSET else asked.stall


def _relief(asked: LiveMigrate, picture: MovedSeen) -> Request | None:
    """Nova accepts both only for a running migration, and not in post-copy."""
    if picture.get("migration.status") != "running":
        return None
    path = f"/servers/{segment(asked.server)}/migrations/{segment(picture['migration'])}"
    if asked.on_stall == "abort":
        return Request(service="compute", method="DELETE", path=path, microversion="2.24")
    if asked.on_stall == "force-complete":
        body = {"force_complete": None}
        return Request(service="compute", method="POST", path=f"{path}/action", body=body, microversion="2.22")
    return None


# -- cold


def _cold(reader: ResourceReader, asked: OfServer) -> MovedSeen:
    server = asked.server
    found = _servers.read(reader, server)
    if found is None:
        return {"server": "absent"}
    picture = _servers.picture(found)
    return _moved(picture, _record(reader, server, last(reader, server, ("migration", "resize"))))


def _moved_cold(picture: MovedSeen, asked: ColdMigrate) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    if str(picture["server.task_state"]).startswith("resize"):
        return StepState.INTENT
    if picture["server.vm_state"] == "error":
        return StepState.FAILED
    if picture["server.vm_state"] == "resized":
        return StepState.DONE if _away(picture, asked) else StepState.PLANNED
    if _under_way(picture):
        return StepState.INTENT
    # already confirmed, by whomever
    return StepState.DONE if _away(picture, asked) else StepState.PLANNED


def _cold_requests(asked: ColdMigrate) -> list[Request]:
    return [
        request
        for host in _targets(asked)
        for request in action(asked, {"migrate": None if host is None else {"host": host}}, COLD)
    ]


def _confirming(reader: ResourceReader, asked: ConfirmResize) -> MovedSeen:
    """``held``: the number of providers on which the migration itself still has allocations."""
    server = asked.server
    found = _servers.read(reader, server)
    if found is None:
        return {"server": "absent"}
    picture = _servers.picture(found)
    record = last(reader, server, ("migration", "resize"))
    held = {} if record is None else reader.get("placement", f"/allocations/{segment(record['uuid'])}") or {}
    found_: MovedSeen = {**_record(reader, server, record), "held": len(held.get("allocations", ()))}
    return _moved(picture, found_)


def _resized(picture: MovedSeen, ending: tuple[str, str]) -> StepState | None:
    """How a resize stands that is confirmed or reverted, by the states of its record then; None where it has ended."""
    if picture["server"] == "absent" or picture["server.vm_state"] == "error":
        return StepState.FAILED
    if str(picture["server.task_state"]).startswith("resize"):
        return StepState.INTENT
    if picture["server.vm_state"] == "resized":
        return StepState.INTENT if picture["migration.status"] in ending else StepState.PLANNED
    return None


def _confirmed(picture: MovedSeen, asked: ConfirmResize) -> StepState:
    # the record is confirmed a moment before the server is (resource_tracker.drop_move_claim_at_source)
    if state := _resized(picture, ("confirming", "confirmed")):
        return state
    if not _away(picture, asked):
        return StepState.FAILED
    return StepState.INTENT if _under_way(picture) or picture["held"] else StepState.DONE


def _reverted(picture: MovedSeen, asked: RevertResize) -> StepState:
    # the server may have been read before the record
    if state := _resized(picture, ("reverting", "reverted")):
        return state
    if _under_way(picture):
        return StepState.INTENT
    # already confirmed: it cannot be reverted
    return StepState.FAILED if _away(picture, asked) else StepState.DONE


OPERATIONS = (
    Implementation(
        of=LiveMigrate, requests=_live_requests, look=_live, judge=_moved_live,
        microversion=RECORDS, again=False, at_once=True, elsewhere=True, limit=3600,
        marker=_remaining, stall=_stall, relief=_relief,
    ),
    Implementation(
        of=ColdMigrate, requests=_cold_requests, look=_cold, judge=_moved_cold,
        microversion=RECORDS, again=False, at_once=True, elsewhere=True, limit=3600,
    ),
    Implementation(
        of=ConfirmResize, look=_confirming, judge=_confirmed, microversion=RECORDS, again=True,
        at_once=True, limit=600, requests=lambda asked: action(asked, {"confirmResize": None}),
    ),
    Implementation(
        of=RevertResize, look=_cold, judge=_reverted, microversion=RECORDS, again=True,
        at_once=True, limit=1800, requests=lambda asked: action(asked, {"revertResize": None}),
    ),
)  # fmt: skip
