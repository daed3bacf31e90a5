# SPDX-License-Identifier: Apache-2.0
"""Set the host of a server in Nova to the one where it really is.

## What it does
For a guest that runs on another host than Nova records, after a migration that failed half way or an SQL statement that
set its host. Sets host, node and compute node of the server; clears a task state left by its move; settles the
migration and removes its context and saved state; moves the allocation in Placement, with the amounts of its flavor;
and binds the ports to that host. The last two use the API if there is one. An inactive binding left by the move on
another host is deleted, because Neutron would refuse the next move there.

For a finding, the host is the one that the records name (`stackmend server where UUID` lists them): Nova's three
columns, Neutron's bindings, Placement, Cinder's connections, the newest migration, and the last operation a
nova-compute did with the guest. If they disagree, nothing is planned. In a request by name, you choose the host; if the
records name another one, `--overrule HOST` must name that one.

## Guards
No operation is in progress on the server or was requested a moment ago, it has a guest (it is not offloaded, and its
build was not abandoned), and no other cell has it. A task state is ignored if no migration belongs to it and nothing
has changed for two hours. The host has exactly one compute node (or the named one) in the server's cell; rows are
unchanged since the plan.

## Undo
All rows are restored. Do not undo after the next start of the guest.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.evidence.whereabouts import Evidence, Node, PlaceVerdict
from stackmend.cloud.evidence.witnesses import occupants
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Record, Risk, Step
from stackmend.model.values import whole
from stackmend.repairs.common import quiet, the_server
from stackmend.repairs.nova._brought import brought
from stackmend.repairs.nova._relocation import without_node
from stackmend.repairs.sighted import not_found_there
from stackmend.repairs.whereabouts import evidence, place_of, weighed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell, then Placement, then Neutron; none if the server is already there.

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
    target: Row, live: Live, database: str, server: Record, seen: Evidence, verdict: PlaceVerdict
) -> Node:  # fmt: skip
    """The place named by the operator; CannotRepair if the records name another one that was not overruled."""
    node = _node(live, database, str(target["host"]), target.get("node"))
    if seen.busy:
        raise CannotRepair(f"server {server['uuid']}: {seen.busy}")
    quiet(live, database, server["uuid"])
    attachments.server(live, str(server["uuid"]))  # raises if another cell has it as well
    if server["vm_state"] == "shelved_offloaded" or server["launched_at"] is None:
        raise CannotRepair(f"server {server['uuid']} is {server['vm_state']}: it has no guest on any host")
    machines = [node] if node["hypervisor_type"] == "ironic" else []
    for other in occupants(live, database, machines, str(server["uuid"])).values():
        raise CannotRepair(f"{node['hypervisor_hostname']} is the baremetal node of server {other}")
    said = verdict.place
    if said is not None and said.id != node["id"] and str(target.get("overrule") or "").lower() != said.host.lower():
        told = " ".join(verdict.sentences())
        raise CannotRepair(
            f"every record shows server {server['uuid']} on {said}. {told} If you have verified that its guest is on"
            f" {node['host']}, and on that host alone, add --overrule {said.host}"
        )
    known = seen.places.get(whole(node["id"]))
    return known or Node(
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
    unless=not_found_there,
    strategies={"db": db},
    evidence=evidence,
    no_api="no API shows where the guest is if Nova's record is wrong",
    why="if the guest is not on that host, its next start runs it twice on the same disk",
)
