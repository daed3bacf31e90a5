# SPDX-License-Identifier: Apache-2.0
"""Tell Nova on which host a server really is.

## What it does
For a guest that runs elsewhere than Nova believes, after a migration that failed half way, or after a statement that
set its host: host, node and compute node of the server; a task state that its move has left; the migration settled, the
migration's context and note removed; the allocation in Placement moved, with the amounts of its flavor; the ports bound
to that host. The last two are done by the API where there is one. A binding that the move has left inactive on another
host is removed: Neutron would refuse the next move there.

For a finding the host is what the witnesses say (`stackmend server where UUID` lists them): Nova's three columns,
Neutron's bindings, Placement, Cinder's connections, the newest migration, the last that a nova-compute did with the
guest. Where they are divided nothing is planned. Asked for by name, the host is yours; where the witnesses say another
one, `--overrule HOST` has to name it.

## Guards
Nothing is being done with the server, nothing was asked of it just now, it has a guest (it is neither offloaded nor
was its build given up), and no other cell has it. A task state counts as nothing where no migration is behind it and
nothing has moved for two hours. The host has exactly one compute node (or the one named) in the server's cell; rows
read as planned.

## Undo
All rows are put back. After the next start of the guest do not undo.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import attachments
from stackmend.cloud.whereabouts import Evidence, Place, Verdict
from stackmend.cloud.witnesses import occupant
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step
from stackmend.model.values import whole
from stackmend.repairs.common import Record, quiet, the_server
from stackmend.repairs.nova._brought import brought
from stackmend.repairs.nova._relocation import without_node
from stackmend.repairs.whereabouts import evidence, place_of, weighed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell, then Placement, then Neutron; nothing where the server is there already.

    ``target``: a finding's, or ``server``, ``host``, ``node`` and ``overrule`` (a host) of a request.
    """
    database, server = the_server(target, live)
    seen, verdict = weighed(live, database, server)
    if "found_host" in target:
        place = place_of(server["uuid"], verdict)
    else:
        place = _asked(target, live, database, server, seen, verdict)
    yield from brought(live, database, server, seen, place)


def _asked(
    target: Row, live: Live, database: str, server: Record, seen: Evidence, verdict: Verdict
) -> Place:  # fmt: skip
    """The place that the operator names; CannotRepair where the witnesses say another one and that was not named."""
    node = _node(live, database, str(target["host"]), target.get("node"))
    if seen.busy:
        raise CannotRepair(f"server {server['uuid']}: {seen.busy}")
    quiet(live, database, server["uuid"])
    attachments.server(live, str(server["uuid"]))  # raises where another cell has it as well
    if server["vm_state"] == "shelved_offloaded" or server["launched_at"] is None:
        raise CannotRepair(f"server {server['uuid']} is {server['vm_state']}: it has no guest on any host")
    other = occupant(live, database, node, str(server["uuid"])) if node["hypervisor_type"] == "ironic" else ""
    if other:
        raise CannotRepair(f"{node['hypervisor_hostname']} is the machine of server {other}")
    said = verdict.place
    if said is not None and said.id != node["id"] and str(target.get("overrule") or "").lower() != said.host.lower():
        told = " ".join(verdict.sentences())
        raise CannotRepair(
            f"everything but you says that server {server['uuid']} is on {said}. {told} If you have seen its guest on"
            f" {node['host']}, and on that host alone, add --overrule {said.host}"
        )
    known = seen.places.get(whole(node["id"]))
    return known or Place(
        id=whole(node["id"]), uuid=str(node["uuid"]), host=str(node["host"]), node=str(node["hypervisor_hostname"])
    )


def _node(live: Live, database: str, host: str, name: object) -> Record:
    where: Record = {"host": host, "deleted": 0}
    if name:
        where["hypervisor_hostname"] = str(name)
    nodes: list[Record] = list(live.rows(database, "compute_nodes", where))
    if len(nodes) != 1:
        raise CannotRepair(without_node(live, database, host, len(nodes)))
    if not live.rows(database, "services", {"host": host, "binary": "nova-compute", "deleted": 0}):
        raise CannotRepair(f"host {host} has no nova-compute service in {database}")
    return nodes[0]


REPAIR = Repair(
    name="set-server-host",
    risk=Risk.UNSAFE,
    checks=("server-wrong-host",),
    strategies={"db": db},
    evidence=evidence,
    no_api="no API says where a guest is that Nova has lost",
    why="if the guest is not on that host, its next start runs it twice on the same disk",
)
