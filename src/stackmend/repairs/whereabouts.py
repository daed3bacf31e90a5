# SPDX-License-Identifier: Apache-2.0
"""The verdict on where a server is (:mod:`stackmend.cloud.evidence.whereabouts`), as used by repairs."""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence.whereabouts import Confidence, Evidence, Node, PlaceVerdict, judge
from stackmend.cloud.evidence.witnesses import read
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import ExpectRow, Record, Step, Value
from stackmend.repairs.common import the_server
from stackmend.tables.views import TERMINAL


def weighed(live: Live, database: str, server: Record) -> tuple[Evidence, PlaceVerdict]:
    """The records of where the server is, and the verdict."""
    seen = read(live, database, server, live.guests)
    return seen, judge(seen)


def evidence(target: Row, live: Live) -> tuple[str, ...]:
    """The sentences that a plan shows."""
    return weighed(live, *the_server(target, live))[1].sentences()


def place_of(server: object, verdict: PlaceVerdict) -> Node:
    """Where the server is; CannotRepair, with instructions for a human, if the records disagree."""
    if verdict.place is not None:
        return verdict.place
    if verdict.confidence is Confidence.MOVING:
        raise CannotRepair(f"server {server}: {verdict.reason}")
    raise CannotRepair(f"server {server}: {verdict.reason}. {manual_instructions(server)}")


def manual_instructions(server: object) -> str:
    """Instructions for a human if the records disagree."""
    return (
        f"Check by hand: 'stackmend server where {server}' shows each record, 'virsh list --all --uuid'"
        f" on those hosts shows where its guest is; then 'stackmend server set-host {server} --host HOST'"
    )


def at_home(live: Live, database: str, server: Record) -> None:
    """CannotRepair unless every record agrees with the host in the server's row."""
    seen, verdict = weighed(live, database, server)
    place = place_of(server["uuid"], verdict)
    if place.id not in seen.recorded:
        raise CannotRepair(
            f"server {server['uuid']} is {verdict.surely} on {place}, not on {server['host']}, node"
            f" {server['node']}: its row in Nova is wrong. {manual_instructions(server['uuid'])}"
        )


def lives_elsewhere(live: Live, database: str, server: Record, to: str) -> None:
    """CannotRepair if its guest may run on another host: re-created on host ``to`` it would run twice.

    This is the case if the records name another host than its row and that host is alive, or if a move to a host other
    than ``to``, not declared dead, never ended: a live-migrated guest runs there before any record says so.
    """
    _, verdict = weighed(live, database, server)
    place = verdict.place
    if place is not None and place.alive and str(place.host).lower() != str(server["host"]).lower():
        told = " ".join(witness.says + "." for witness in verdict.witnesses if place.id in witness.places)
        raise CannotRepair(
            f"server {server['uuid']} is {verdict.surely} on {place}, which is alive: it would run twice. {told}"
            f" If its guest is there: 'stackmend server set-host {server['uuid']} --host {place.host}'"
        )
    for move in live.rows(database, "migrations", {"instance_uuid": server["uuid"], "deleted": 0}):
        target = str(move["dest_compute"] or "")
        if move["status"] in TERMINAL or target.lower() in (to.lower(), str(server["host"]).lower()):
            continue
        where: Record = {"host": target, "binary": "nova-compute", "deleted": 0}
        # a silent nova-compute does not mean that the guests of its host have stopped
        if any(not row["forced_down"] for row in live.rows(database, "services", where)):
            raise CannotRepair(
                f"server {server['uuid']}: its {move['migration_type'] or 'migration'} to {target} never ended"
                f" ({move['status']}), and {target} is not declared dead: its guest may run there, and would run twice."
                f" Relocate it to {target}, where a hard reboot replaces that guest, or, if {target} is fenced,"
                f" 'openstack compute service set --down {target} nova-compute'"
            )


def still(database: str, server: Record, *more: str) -> Iterator[Step]:
    """Guard: the server's row is unchanged since its records were read, including the ``more`` columns."""
    names = ("uuid", "deleted", "host", "node", "vm_state", "task_state", *more)
    expect: dict[str, Value] = {name: server[name] for name in names}
    yield ExpectRow(database=database, table="instances", pk={"id": server["id"]}, expect=expect)
