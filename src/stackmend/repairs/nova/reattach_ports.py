# SPDX-License-Identifier: Apache-2.0
"""Attach the ports of a server again, whose network cache is empty and whose guest has lost its NICs.

Only where it is asked for by name, `plan create --repair reattach-ports`: by default the cache is rebuilt, which leaves
the guest alone. This is for a guest that was started while the cache was empty, and came up without NICs.

## What it does
Nova's rows of the NICs are marked deleted, because Nova refuses a port that still has one; no API does that. Neutron
lets go of each port, its addresses stay, and Nova attaches it, in the order of the NICs: its host plugs the NIC into
the guest, and the cache is filled.

Nova takes a port that it is given for its owner's: afterwards all of them outlive the server. `stackmend port release`
is for those that Nova had made.

A server that cannot be mended so can be made again on its ports: `stackmend server recreate SERVER --keep-ports`.

## Guards
The server is active, paused or stopped, it is idle, nothing was asked of it just now, its nova-compute is up; the cache
and the ports read as planned. Refused where a port is ACTIVE on the host of a server that runs: an agent has found its
interface, so that the guest has the NIC and would be without network; for a device that is passed through; and where
only the guest tells which ports are its NICs.

## Undo
Nova detaches the ports, which are kept, and they get their device and host back, with Nova's old rows: the cache is
empty again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence.nics import PortStanding, read
from stackmend.cloud.states import ATTACHES, RUNNING
from stackmend.model.finding import Row
from stackmend.model.operations.interfaces import AttachInterface, DetachInterface
from stackmend.model.operations.network import UpdatePort
from stackmend.model.protocols import Api, Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step
from stackmend.repairs import calls, nics
from stackmend.repairs.calls import SERVER, api_of, shown
from stackmend.repairs.common import idle, marked_deleted, quiet, still_of, the_server
from stackmend.repairs.network_info import Builder, parsed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Nova's rows of the NICs, then calls to Neutron and Nova; none if the cache lists any port."""
    database, server = the_server(target, live)
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"], "deleted": 0})
    if cache is None:
        raise CannotRepair(f"server {server['uuid']} has no network cache: rebuild it, which is the default")
    if parsed(cache["network_info"]):
        return
    rows = nics.alive(nics.rows(live, database, server))
    ports = Builder(live, server, rows, None).ordered(_nics(live, database, server))
    services = _able(live, database, server, ports)
    yield from idle(live, database, server)
    yield from still_of(ports)
    seen = {"network_info": cache["network_info"], "deleted": 0}
    yield ExpectRow(database=database, table="instance_info_caches", pk={"id": cache["id"]}, expect=seen)
    names = {port["id"] for port in ports}
    for row in rows:
        if row["uuid"] in names:
            yield marked_deleted(live, database, "virtual_interfaces", row, guards=("uuid", "instance_uuid"))
    tags = {row["uuid"]: str(row["tag"]) for row in rows if row["tag"]}
    for port in ports:
        yield from _attached(services, server, str(port["id"]), tags.get(port["id"]))


def _nics(live: Live, database: str, server: Record) -> list[Record]:
    """The server's ports that are its NICs; CannotRepair if one is uncertain, in the guest, or a device of the host."""
    found = []
    for name, judged in read(live, database, server, []).items():
        if judged.standing is not PortStanding.NIC:
            raise CannotRepair(
                f"whether port {name} is a NIC of server {server['uuid']} is not sure ({judged.why}): rebuild the"
                " cache, which is the default"
            )
        where = {"port_id": name, "status": "ACTIVE"}
        bindings = live.rows("neutron", "ml2_port_bindings", where)
        here = any(binding["host"] in (server["host"], server["node"]) for binding in bindings)
        if here and judged.port["status"] == "ACTIVE" and server["power_state"] == RUNNING:
            raise CannotRepair(
                f"port {name} is ACTIVE on {server['host']}: the guest has that NIC, and would be without network."
                " Rebuild the cache, which is the default"
            )
        if any(binding["vnic_type"] != "normal" for binding in bindings):
            raise CannotRepair(f"port {name} has a device of its host: only Nova's own moves claim such a one")
        found.append(dict(judged.port))
    if not found:
        raise CannotRepair(f"Neutron has no port of server {server['uuid']}")
    return found


def _able(live: Live, database: str, server: Record, ports: list[Record]) -> Api:
    """The services; CannotRepair unless Nova would process the request, and no operation is in progress."""
    if server["vm_state"] not in ATTACHES:
        raise CannotRepair(
            f"server {server['uuid']} is {server['vm_state']}: Nova attaches ports to no servers but those that are"
            " active, paused or stopped"
        )
    quiet(live, database, server["uuid"])
    services = api_of(live, AttachInterface, DetachInterface)
    asked = AttachInterface(server=str(server["uuid"]), port=str(ports[0]["id"]))
    found = services.look(asked)
    calls.idle(found, server["uuid"])
    if found["host"] != "up":
        raise CannotRepair(f"nova-compute of {server['host']} is {found['host']}: the request would not be processed")
    return services


def _attached(services: Api, server: Record, port: str, tag: str | None) -> Iterator[Step]:
    """Unbind the port in Neutron, then attach it in Nova."""
    found = services.look(UpdatePort(port=port, values={}))
    shown(found, "port")
    yield calls.let_go(port, found, SERVER)
    uuid = str(server["uuid"])
    back = DetachInterface(server=uuid, port=port, keeps=True).call({"port.device_id": uuid})
    yield AttachInterface(server=uuid, port=port, tag=tag).call(
        {"server": "present", "server.task_state": None, "host": "up", "port.device_id": ""}, back
    )


REPAIR = Repair(
    name="reattach-ports",
    risk=Risk.UNSAFE,
    checks=("info-cache-empty",),
    strategies={"db": db},
    by_name=True,
    no_api="Nova refuses a port while its row of that NIC is there, and no API deletes that",
    why="a guest that still has a NIC loses its network on it; afterwards every port outlives the server",
)
