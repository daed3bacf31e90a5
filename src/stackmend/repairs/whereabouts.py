# SPDX-License-Identifier: Apache-2.0
"""The verdict on where a server is (:mod:`stackmend.cloud.whereabouts`), as repairs ask for it and obey it."""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.whereabouts import Confidence, Evidence, Place, Verdict, judge
from stackmend.cloud.witnesses import read
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import ExpectRow, Step, Value
from stackmend.repairs.common import Record, the_server
from stackmend.tables.views import TERMINAL


def weighed(live: Live, database: str, server: Record) -> tuple[Evidence, Verdict]:
    """Everything that tells where the server is, and the verdict."""
    seen = read(live, database, server)
    return seen, judge(seen)


def evidence(target: Row, live: Live) -> tuple[str, ...]:
    """The sentences that a plan shows."""
    return weighed(live, *the_server(target, live))[1].sentences()


def place_of(server: object, verdict: Verdict) -> Place:
    """Where the server is; CannotRepair, with what a human can do, where that cannot be told."""
    if verdict.place is not None:
        return verdict.place
    if verdict.confidence is Confidence.MOVING:
        raise CannotRepair(f"server {server}: {verdict.reason}")
    raise CannotRepair(f"server {server}: {verdict.reason}. {human(server)}")


def human(server: object) -> str:
    """What a human does where the records are divided."""
    return (
        f"A human must look: 'stackmend server where {server}' shows what each record says, 'virsh list --all --uuid'"
        f" on those hosts where its guest is; then 'stackmend server set-host {server} --host HOST'"
    )


def at_home(live: Live, database: str, server: Record) -> None:
    """CannotRepair unless the server is where its row says, as far as every record tells."""
    seen, verdict = weighed(live, database, server)
    place = place_of(server["uuid"], verdict)
    if place.id not in seen.recorded:
        raise CannotRepair(
            f"server {server['uuid']} is {verdict.surely} on {place}, not on {server['host']}, node"
            f" {server['node']}: its row is what is wrong. {human(server['uuid'])}"
        )


def lives_elsewhere(live: Live, database: str, server: Record, to: str) -> None:
    """CannotRepair where its guest may run on another host: made anew on host ``to`` it would run twice.

    That is where the records have it on another host than its row, which lives, and where a move to another host than
    ``to``, not declared dead, never ended: a live migration's guest runs there before any record says so.
    """
    _, verdict = weighed(live, database, server)
    place = verdict.place
    if place is not None and place.alive and str(place.host).lower() != str(server["host"]).lower():
        told = " ".join(witness.says + "." for witness in verdict.witnesses if place.id in witness.places)
        raise CannotRepair(
            f"server {server['uuid']} is {verdict.surely} on {place}, which lives: it would run twice. {told}"
            f" If its guest is there: 'stackmend server set-host {server['uuid']} --host {place.host}'"
        )
    for move in live.rows(database, "migrations", {"instance_uuid": server["uuid"], "deleted": 0}):
        target = str(move["dest_compute"] or "")
        if move["status"] in TERMINAL or target.lower() in (to.lower(), str(server["host"]).lower()):
            continue
        where: Record = {"host": target, "binary": "nova-compute", "deleted": 0}
        # that nobody hears of a nova-compute does not stop the guests of its host
        if any(not row["forced_down"] for row in live.rows(database, "services", where)):
            raise CannotRepair(
                f"server {server['uuid']}: its {move['migration_type'] or 'migration'} to {target} never ended"
                f" ({move['status']}), and {target} is not declared dead: its guest may run there, and would run twice."
                f" Relocate it to {target}, where a hard reboot replaces that guest, or, where {target} is cut off,"
                f" 'openstack compute service set --down {target} nova-compute'"
            )


def still(database: str, server: Record, *more: str) -> Iterator[Step]:
    """Guard: the server's row reads as it did when its witnesses were heard, in ``more`` columns, too."""
    names = ("uuid", "deleted", "host", "node", "vm_state", "task_state", *more)
    expect: dict[str, Value] = {name: server[name] for name in names}
    yield ExpectRow(database=database, table="instances", pk={"id": server["id"]}, expect=expect)
