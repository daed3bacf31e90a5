# SPDX-License-Identifier: Apache-2.0
"""Reads all evidence of where a server is from the databases of Nova, Neutron, Placement and Cinder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from stackmend.cloud.evidence.whereabouts import Evidence, Move, Node, Witness
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Guests, Live
from stackmend.model.step import Value, Values
from stackmend.model.values import whole
from stackmend.tables.views import TERMINAL

#: seconds after which a task state without an operation counts as stale
STUCK = 7200
#: seconds by which a heartbeat may lag the latest one in its cell (service_down_time)
SILENT = 60
#: task states that a migration may leave behind when it ends
LEFT_BY_MOVES = frozenset({"migrating"})
_WELL = frozenset({"completed", "confirmed", "done", "finished"})
_LIVE = "live-migration"
#: events that succeed on a host only if the guest is there afterwards (nova/compute/manager)
_TELLING = (
    "build_and_run_instance", "rebuild_instance", "finish_resize", "finish_revert_resize", "unshelve_instance",
    "post_live_migration_at_destination", "reboot_instance", "start_instance", "stop_instance", "pause_instance",
    "unpause_instance", "suspend_instance", "resume_instance", "rescue_instance", "unrescue_instance", "attach_volume",
    "attach_interface", "create",
)  # fmt: skip
#: states of a domain with the guest in memory
_RUNNING = frozenset({"running", "paused", "blocked", "pmsuspended"})
_UNASKED = "could not be asked"


def read(live: Live, database: str, server: Values, guests: Guests | None = None) -> Evidence:
    """The statement of every record about where this server is; ``server`` is its row in ``database``.

    SourceError if any of them cannot be read: an unread witness must not count as one without a statement.
    """
    look = _Look(live, database, server)
    look.collect()
    witnesses = [*look.row(), look.bindings(), look.allocation(), look.attachments(), look.migration(), look.history()]
    if guests is not None:
        witnesses.append(look.guest(guests))
    busy = look.busy()
    return Evidence(
        server=str(server["uuid"]),
        host=_name(server["host"]),
        node=_name(server["node"]),
        witnesses=tuple(witnesses),
        places=look.places,
        move=look.last_move(),
        busy=busy,
        stuck="" if busy or server["task_state"] is None else look.stuck(),
    )


@dataclass(slots=True)
class _Look:
    """One server's records, read once."""

    live: Live
    database: str
    server: Values
    places: dict[int, Node] = field(default_factory=dict)
    _bound: dict[str, list[str]] = field(default_factory=dict)  #: host of an ACTIVE binding -> ports
    _roots: set[str] = field(default_factory=set)
    _connected: set[str] = field(default_factory=set)
    _unasked: str = ""
    _moves: list[Values] = field(default_factory=list)
    _events: list[Values] = field(default_factory=list)

    # ---- reading ----

    def collect(self) -> None:
        uuid = str(self.server["uuid"])
        self._ports(uuid)
        held = self.live.rows("placement", "allocations", {"consumer_id": uuid})
        providers = _by(self.live, "placement", "resource_providers", "id", (a["resource_provider_id"] for a in held))
        roots = _by(self.live, "placement", "resource_providers", "id", (p["root_provider_id"] for p in providers))
        self._roots = {str(root["uuid"]) for root in roots}
        self._volumes(uuid)
        moves = self.live.rows(self.database, "migrations", {"instance_uuid": uuid, "deleted": 0})
        self._moves = sorted(moves, key=lambda move: whole(move["id"]))
        actions = self.live.rows(self.database, "instance_actions", {"instance_uuid": uuid})
        self._events = list(
            _by(self.live, self.database, "instance_actions_events", "action_id", (a["id"] for a in actions))
        )
        self._nodes()

    def _ports(self, uuid: str) -> None:
        nics = [
            port for port in self.live.rows("neutron", "ports", {"device_id": uuid})
            if str(port["device_owner"]).startswith(("compute:", "baremetal:"))
            and port["device_owner"] not in ("compute:kuryr", "compute:zun")
        ]  # fmt: skip
        for row in _by(self.live, "neutron", "ml2_port_bindings", "port_id", (port["id"] for port in nics)):
            if row["status"] == "ACTIVE" and row["host"]:
                self._bound.setdefault(str(row["host"]), []).append(str(row["port_id"]))

    def _volumes(self, uuid: str) -> None:
        """Read Cinder's attachments. A cloud may lack Cinder: then that witness is reported as not queried."""
        try:
            rows = self.live.rows("cinder", "volume_attachment", {"instance_uuid": uuid, "deleted": 0})
        except SourceError as problem:
            self._unasked = problem.message
            return
        found = {str(row["attached_host"]) for row in rows if row["attach_status"] == "attached"}
        self._connected = found - {"None", ""}

    def _nodes(self) -> None:
        """The compute nodes that any record names, live ones before those marked deleted."""
        server, table, uuid = self.server, "compute_nodes", str(self.server["uuid"])
        hosts = {str(server["host"] or ""), *self._bound, *self._connected, *self._names()} - {""}
        names = {str(server["node"] or ""), *self._bound} - {""}
        found: dict[int, dict[str, Any]] = {}
        questions: list[tuple[str, Iterable[Value]]] = [
            ("host", sorted(hosts)), ("hypervisor_hostname", sorted(names)), ("uuid", sorted(self._roots)),
            ("id", [server["compute_id"]] if server.get("compute_id") else []),
        ]  # fmt: skip
        for column, values in questions:
            for row in _by(self.live, self.database, table, column, values):
                found[whole(row["id"])] = row
        beats = _beats(self.live, self.database)
        newest = _newest(beats.values(), self.live.clock())
        machines = [row for row in found.values() if row["hypervisor_type"] == "ironic"]
        taken = occupants(self.live, self.database, machines, uuid)
        for number, row in sorted(found.items()):
            silence = _silence(self.live, self.database, str(row["host"]), beats, newest)
            ironic = row["hypervisor_type"] == "ironic"
            self.places[number] = Node(
                id=number, uuid=str(row["uuid"]), host=str(row["host"]), node=str(row["hypervisor_hostname"]),
                ironic=ironic, deleted=bool(row["deleted"]), alive=not silence, silence=silence,
                occupant=taken.get(str(row["hypervisor_hostname"]).lower(), "") if ironic else "",
            )  # fmt: skip

    def _names(self) -> set[str]:
        """Hosts named by migrations and events."""
        found = {str(m[c]) for m in self._moves[-1:] for c in ("source_compute", "dest_compute") if m[c]}
        return found | {str(event["host"]) for event in self._telling() if event["host"]}

    # ---- witnesses ----

    def row(self) -> Iterator[Witness]:
        """Nova's own three columns, which Nova writes together: judged separately, as SQL may have changed only one.

        Without ``compute_id`` (before 2023.2, or not filled yet) the node speaks for it: a row that was moved as a
        whole has the same weight against Neutron and Placement in every release.
        """
        host, node, number = self.server["host"], self.server["node"], self.server.get("compute_id")
        fit = self._on(str(host), str(node or "")) if host else frozenset()
        yield (
            self._witness("host", f"Nova's row has it on host {host}", fit, 1)
            if host
            else _silent("host", "Nova's row has no host")
        )
        fit = self._called(str(node), str(host or "")) if node else frozenset()
        yield (
            self._witness("node", f"its row names node {node}", fit, 2 if number is None else 1)
            if node
            else _silent("node", "its row has no node")
        )
        if number is not None:
            fit = self._as_live(frozenset({int(number)}) & self.places.keys())
            yield self._witness("compute_id", f"its row has compute_id {number}", fit, 1)

    def bindings(self) -> Witness:
        """Neutron: the hosts of the ACTIVE bindings of its NICs."""
        if not self._bound:
            return _silent("bindings", "")
        if len({host.lower() for host in self._bound}) > 1:
            return _silent("bindings", f"its ports are bound to several hosts: {', '.join(sorted(self._bound))}")
        (host,) = list(self._bound)[:1]
        fit = self._on(host) or self._called(host)
        return self._witness("bindings", f"Neutron has its ports active on {host}", fit, 2)

    def allocation(self) -> Witness:
        """Placement: the node on which it has an allocation. An allocation on two hosts says nothing."""
        if not self._roots:
            return _silent("allocation", "")
        fits = [self._as_live(frozenset(n for n, p in self.places.items() if p.uuid == root)) for root in self._roots]
        names = (
            ", ".join(sorted(str(self.places[n]) for fit in fits for n in fit))
            or "a provider that is not a compute node"
        )
        if len(set(fits)) > 1:
            return _silent("allocation", f"Placement has its allocation on several hosts: {names}")
        return self._witness("allocation", f"Placement has its allocation on {names}", fits[0], 1)

    def attachments(self) -> Witness:
        """Cinder: the hosts to which its volumes are connected."""
        if not self._connected:
            return _silent("attachments", self._unasked and f"Cinder was not asked: {self._unasked}")
        hosts = ", ".join(sorted(self._connected))
        fit = self._on(hosts) if len(self._connected) == 1 else frozenset()
        return self._witness("attachments", f"Cinder has its volumes connected to {hosts}", fit, 1)

    def migration(self) -> Witness:
        """The latest migration: its target if it succeeded, its source if it was reverted."""
        last = self._moves[-1] if self._moves else None
        if last is None:
            return _silent("migration", "")
        well = last["status"] in _WELL
        host = last["dest_compute"] if well else last["source_compute"] if last["status"] == "reverted" else None
        node = last["dest_node"] if well else last["source_node"]
        kind = str(last["migration_type"] or "migration")
        what = f"its newest {kind}, from {last['source_compute']} to {last['dest_compute']}, is {last['status']}"
        fit = self._on(str(host), str(node or "")) if host else frozenset()
        return self._witness("migration", f"{what} ({last['updated_at'] or last['created_at']})", fit, 2)

    def history(self) -> Witness:
        """The latest operation of nova-compute on the guest, unless a migration ended since."""
        events = self._telling()
        if not events:
            return _silent("history", "")
        last = max(events, key=lambda event: (str(event["finish_time"]), whole(event["id"])))
        told = f"the last operation of nova-compute on its guest was {last['event']} on {last['host']}"
        outdated = any(m["status"] in _WELL and _later(m, last) for m in self._moves)
        found = self._witness(
            "history", f"{told} ({last['finish_time']})", self._on(str(last["host"])), int(not outdated)
        )
        return replace(found, since=not any(_later(m, last) for m in self._moves))

    def guest(self, guests: Guests) -> Witness:
        """The hypervisors of every host named: on which of them the guest runs."""
        states: dict[str, str] = {}
        for host in sorted({place.host for place in self.places.values()}):
            try:
                states[host] = guests(str(self.server["uuid"]), host)
            except SourceError:
                states[host] = _UNASKED
        running = [host for host, state in states.items() if state in _RUNNING]
        where = running or [host for host, state in states.items() if state not in ("", _UNASKED)]
        told = "; ".join(f"{host}: {state or 'no such domain'}" for host, state in states.items())
        # a host that was not queried may run it too; then a domain that is merely defined proves nothing
        alone = len(where) == 1 and (bool(running) or _UNASKED not in states.values())
        return self._witness("guest", f"the hypervisors say: {told}", self._on(where[0]) if alone else frozenset(), 9)

    def _telling(self) -> list[Values]:
        return [
            event for event in self._events
            if event.get("host") and event["result"] == "Success" and event["finish_time"]
            and str(event["event"]).removeprefix("compute_").strip("_").removeprefix("do_") in _TELLING
        ]  # fmt: skip

    # ---- places ----

    def _on(self, host: str, node: str = "") -> frozenset[int]:
        """The live nodes of a host; if there are none, those marked deleted, or the one with that name if it exists."""
        every = {n: p for n, p in self.places.items() if p.host.lower() == host.lower()}
        alive = frozenset(n for n, p in every.items() if not p.deleted)
        fitting = frozenset(n for n, p in every.items() if p.node == node)
        return self._as_live(alive | fitting if alive else fitting or frozenset(every))

    def _called(self, node: str, host: str = "") -> frozenset[int]:
        every = {n: p for n, p in self.places.items() if p.node == node}
        alive = frozenset(n for n, p in every.items() if not p.deleted)
        here = frozenset(n for n, p in every.items() if p.host == host)
        return self._as_live(alive or here or frozenset(every))

    def _as_live(self, places: frozenset[int]) -> frozenset[int]:
        """Replace records marked deleted by the live record of the same host and node."""
        by_name = {(p.host, p.node): n for n, p in self.places.items() if not p.deleted}
        return frozenset(by_name.get((self.places[n].host, self.places[n].node), n) for n in places)

    def _witness(self, name: str, says: str, places: frozenset[int], weight: int) -> Witness:
        if not places and name in ("host", "node", "compute_id", "bindings", "attachments"):
            says = f"{says}, which is not a compute node"
        if gone := [str(self.places[n]) for n in sorted(places) if self.places[n].deleted]:
            says = f"{says} (the record of {gone[0]} is marked deleted)"
        return Witness(name=name, says=says[:1].upper() + says[1:], places=places, weight=weight if places else 0)

    # ---- operations in progress ----

    def last_move(self) -> Move | None:
        """The latest migration, as :func:`stackmend.cloud.evidence.whereabouts.judge` needs it."""
        if not self._moves:
            return None
        last = self._moves[-1]
        return Move(
            source=self._on(str(last["source_compute"])),
            target=self._on(str(last["dest_compute"])),
            live=last["migration_type"] == _LIVE,
            ended_well=last["status"] in _WELL,
        )

    def busy(self) -> str:
        """The operation in progress on the server, or ""."""
        server = self.server
        for move in self._moves:
            if move["status"] not in TERMINAL and not self.abandoned(move):
                return f"a migration in progress ({move['status']})"
        if server["vm_state"] in ("building", "resized"):
            return f"it is busy: {server['vm_state']}, {server['task_state']}"
        if server["task_state"] is not None and not self.stuck():
            return f"it is busy: {server['vm_state']}, {server['task_state']}"
        return ""

    def stuck(self) -> str:
        """Why the task state is stale, or "" if it may be current."""
        task, changed = self.server["task_state"], self.server["updated_at"] or self.server["created_at"]
        if task not in LEFT_BY_MOVES or not self._past(changed):
            return ""
        if any(event["finish_time"] is None and not self._past(event["start_time"]) for event in self._events):
            return ""
        return f"{task} since {changed}, with no migration behind it"

    def abandoned(self, move: Values) -> bool:
        """Whether a live migration is abandoned: its source, whose nova-compute drives it, sends no heartbeats."""
        if move["migration_type"] != _LIVE or not self._past(move["updated_at"] or move["created_at"]):
            return False
        source = [p for p in self.places.values() if p.host == move["source_compute"]]
        return bool(source) and not any(place.alive for place in source)

    def _past(self, moment: object) -> bool:
        return bool(moment) and _time(moment) < _time(self.live.now()) - timedelta(seconds=STUCK)


def occupants(live: Live, database: str, nodes: Sequence[Values], server: str) -> dict[str, str]:
    """Each of these baremetal machines, by its name in lower case, with another live server on it, if any.

    One service has hundreds of them, and no index leads to their servers: they are asked for together.
    """
    names = sorted({str(node["hypervisor_hostname"]) for node in nodes})
    rows = live.rows(database, "instances", {"node": names, "deleted": 0}) if names else []
    return {str(row["node"]).lower(): str(row["uuid"]) for row in reversed(rows) if row["uuid"] != server}


def _by(live: Live, database: str, table: str, column: str, values: Iterable[Value]) -> list[dict[str, Value]]:
    some: list[Value] = list(dict.fromkeys(values))
    return live.rows(database, table, {column: some}) if some else []


def _silent(name: str, says: str) -> Witness:
    return Witness(name=name, says=says[:1].upper() + says[1:])


def _later(move: Values, event: Values) -> bool:
    return _time(move["updated_at"] or move["created_at"]) > _time(event["finish_time"])


def _time(moment: object) -> datetime:
    return datetime.fromisoformat(str(moment)) if moment else datetime.min


def _beats(live: Live, database: str) -> dict[str, datetime]:
    """Each host with the last heartbeat of its nova-compute."""
    rows = live.rows(database, "services", {"binary": "nova-compute", "deleted": 0})
    return {str(row["host"]): _time(row["last_seen_up"]) for row in rows}


def _newest(beats: Iterable[datetime], clock: datetime) -> datetime | None:
    """The latest heartbeat. Those of the future do not count, unless most are: then it is our clock that is wrong."""
    every = list(beats)
    past = [at for at in every if at <= clock]
    return max(past if len(past) * 2 > len(every) else every, default=None)


def _silence(
    live: Live, database: str, host: str, beats: Mapping[str, datetime], newest: datetime | None
) -> str:  # fmt: skip
    """Why nova-compute of a host counts as gone, or "".

    Heartbeats are compared with each other, not with the clock: if all in a cell are old, its conductor is at fault.
    One of the future would make all others look silent (:func:`_newest`).
    """
    if host not in beats:
        return "has no service"
    rows = live.rows(database, "services", {"binary": "nova-compute", "deleted": 0})
    if any(row["host"] == host and row["forced_down"] for row in rows):
        return "is forced down"
    allowed = timedelta(seconds=int(live.setting("service_down_time") or SILENT))
    if newest is not None and beats[host] < newest - allowed:
        return f"has been silent since {beats[host]}"
    return ""


def _name(value: Value) -> str | None:
    return None if value is None else str(value)
