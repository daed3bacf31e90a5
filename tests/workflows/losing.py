# SPDX-License-Identifier: Apache-2.0
"""A cloud of a few hosts in memory, behind the port of a session: hosts die, are evacuated, and are restarted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.operations import describe, waits
from stackmend.drivers.api.reading import ApiReading, version
from stackmend.drivers.journal import DatabaseJournal
from stackmend.engine import catalogue, working
from stackmend.engine.confirm import Confirmed
from stackmend.engine.gates import GateExecutor
from stackmend.engine.lanes import lanes
from stackmend.engine.runner import Runner, Tools
from stackmend.engine.undo import inverse
from stackmend.model.api import Answer, Request
from stackmend.model.errors import HostUnreachable
from stackmend.model.journal import RunRecord, RunResult
from stackmend.model.plan import Action, Limits, Plan
from stackmend.model.ports import Completed
from stackmend.model.step import CallStep, HostCommand, StepState
from stackmend.model.workflow import Sight
from stackmend.model.writer import Group, Outcome, Pending, Verdict

START = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
Row = dict[str, Any]


class HandClock:
    """Time that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000000")


@dataclass
class Losing:
    """The services. ``slow``: seconds that a task takes; ``full``: hosts without room; ``deaf``: no message arrives."""

    clock: HandClock = field(default_factory=HandClock)
    name: str = "losing"
    highest: str = "2.102"
    kind: str = "QEMU"  #: of all hypervisors
    slow: int = 10
    full: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    services: dict[str, Row] = field(default_factory=dict)
    servers: dict[str, Row] = field(default_factory=dict)
    ports: dict[str, Row] = field(default_factory=dict)
    volumes: dict[str, Row] = field(default_factory=dict)
    allocations: dict[str, set[str]] = field(default_factory=dict)
    migrations: list[Row] = field(default_factory=list)
    actions: dict[str, list[Row]] = field(default_factory=dict)
    images: dict[str, Row] = field(default_factory=lambda: {"image": {}})
    groups: dict[str, list[str]] = field(default_factory=dict)
    shares: set[str] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)  #: Nova leaves them out of lists
    agents: dict[str, bool] = field(default_factory=dict)
    consoles: dict[str, str] = field(default_factory=dict)
    boots: dict[str, str] = field(default_factory=dict)  #: what a guest writes when it is started
    living: dict[str, set[str]] = field(default_factory=dict)  #: host -> guests that its hypervisor runs
    tasks: list[tuple[datetime, Callable[[], None]]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)  #: requests that change something
    most: int = 0  #: evacuations at the same time
    asked: int = 0

    # -- making

    def host(self, name: str) -> str:
        """A host that is well."""
        self.services[name] = {
            "id": f"service-{name}", "host": name, "binary": "nova-compute", "state": "up", "status": "enabled",
            "forced_down": False, "updated_at": _stamp(self.clock.now()), "disabled_reason": None,
        }  # fmt: skip
        self.living[name] = set()
        self.agents[name] = True
        return name

    def die(self, name: str, ago: int = 300) -> None:
        """Nobody hears of it any more."""
        self.services[name] |= {"state": "down", "updated_at": _stamp(self.clock.now() - timedelta(seconds=ago))}
        self.living[name].clear()

    def server(self, name: str, host: str = "c01", volume: bool = True, **more: Any) -> str:
        """A server with a port, that boots from a volume unless told otherwise; ``more``: what Nova shows."""
        key = f"id-{name}"
        volumes = []
        if volume:
            volumes = [f"volume-{name}"]
            attached = {"server_id": key, "host_name": host}
            self.volumes[f"volume-{name}"] = {"status": "in-use", "attachments": [attached]}
        self.servers[key] = {
            "id": key, "name": name, "addresses": {"net": [{"OS-EXT-IPS-MAC:mac_addr": f"fa:16:{name}"}]},
            "image": "" if volume else {"id": "image"}, "metadata": {}, "tags": [],
            "flavor": {"vcpus": 1, "ram": 512, "disk": 1, "ephemeral": 0, "extra_specs": {}},
            "os-extended-volumes:volumes_attached": [{"id": one} for one in volumes],
            "OS-EXT-SRV-ATTR:host": host, "OS-EXT-SRV-ATTR:hypervisor_hostname": host,
            "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": 1, **more,
        }  # fmt: skip
        self.ports[f"port-{name}"] = {
            "id": f"port-{name}", "device_id": key, "device_owner": "compute:nova", "binding:host_id": host,
            "binding:vif_type": "ovs", "binding:vnic_type": "normal", "status": "ACTIVE",
            "fixed_ips": [{"ip_address": "10.0.0.9"}], "mac_address": f"FA:16:{name}",
        }  # fmt: skip
        self.allocations[key] = {host}
        if self.servers[key]["OS-EXT-STS:vm_state"] == "active" and self.servers[key]["OS-EXT-STS:power_state"] == 1:
            self.living[host].add(key)
        return key

    def did(self, server: str, action: str, at: datetime, user: str | None) -> None:
        """Something was done with a server."""
        self.actions.setdefault(server, []).append(
            {"action": action, "start_time": _stamp(at), "user_id": user, "message": None, "request_id": "req-x"}
        )

    def state(self, server: str) -> tuple[str, str]:
        """(host, vm_state)."""
        row = self.servers[server]
        return row["OS-EXT-SRV-ATTR:host"], row["OS-EXT-STS:vm_state"]

    # -- the session

    def client(self, service: str) -> tuple[Any, str]:
        return None, f"https://{service}"

    def versions(self, service: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
        return {"compute": ((2, 1), version(self.highest)), "placement": ((1, 0), (1, 39))}.get(service)

    def close(self) -> None:
        """Nothing to close."""

    def send(self, request: Request, mark: str = "") -> Answer:
        self._happen()
        self.asked += 1
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if request.method != "GET" and "os-getConsoleOutput" not in (request.body or {}):
            self.sent.append(f"{request.method} {request.path} {request.body}")
        for pattern, method in _ROUTES:
            if match := re.fullmatch(pattern, f"{request.service} {request.method} {parts.path}"):
                status, body = getattr(self, method)(query, request, *map(unquote, match.groups()))
                words = body if isinstance(body, str) else ""
                return Answer(status, None if words else body, (), None, words)
        return Answer(404, None, (), None, f"no such thing: {request.method} {request.path}")

    def _happen(self) -> None:
        due = [task for task in self.tasks if task[0] <= self.clock.now()]
        self.tasks = [task for task in self.tasks if task[0] > self.clock.now()]
        for _, task in due:
            task()

    def _later(self, task: Callable[[], None], seconds: int | None = None) -> None:
        self.tasks.append((self.clock.now() + timedelta(seconds=self.slow if seconds is None else seconds), task))

    # -- Nova

    def _services(self, query: Row, _: Request) -> tuple[int, Any]:
        found = [one for one in self.services.values() if query.get("host") in (None, one["host"])]
        return 200, {"services": [dict(one) for one in found]}

    def _service(self, _: Row, request: Request, name: str) -> tuple[int, Any]:
        one = next(one for one in self.services.values() if one["id"] == name)
        one["forced_down"] = request.body["forced_down"]
        one["state"] = "down" if one["forced_down"] else one["state"]
        # a change shows where a report would
        one["updated_at"] = _stamp(self.clock.now())
        return 200, {"service": dict(one)}

    def _list(self, query: Row, _: Request) -> tuple[int, Any]:
        shown = [s for s in self.servers.values() if s["OS-EXT-SRV-ATTR:host"] == query["host"]]
        return 200, {"servers": [dict(s) for s in shown if s["id"] not in self.unlisted]}

    def _show(self, _: Row, request: Request, name: str) -> tuple[int, Any]:
        if name not in self.servers:
            return 404, "no such server"
        found = dict(self.servers[name])
        if request.microversion == "2.71":
            found["server_groups"] = [group for group, members in self.groups.items() if name in members]
        return 200, {"server": found}

    def _migrations(self, query: Row, _: Request) -> tuple[int, Any]:
        names = ("instance_uuid", "source_compute", "migration_type")
        found = [one for one in reversed(self.migrations) if all(one[n] == query[n] for n in names if n in query)]
        return 200, {"migrations": [dict(one) for one in found]}

    def _history(self, _: Row, __: Request, name: str) -> tuple[int, Any]:
        return 200, {"instanceActions": list(self.actions.get(name, ()))}

    def _shares(self, _: Row, __: Request, name: str) -> tuple[int, Any]:
        return 200, {"shares": [{"share_id": "x"}] if name in self.shares else []}

    def _diagnostics(self, _: Row, __: Request, name: str) -> tuple[int, Any]:
        host = self.servers[name]["OS-EXT-SRV-ATTR:host"]
        if host in self.deaf:
            return 500, "MessagingTimeout"
        return (200, {"state": "running"}) if name in self.living[host] else (409, "it is off")

    def _act(self, _: Row, request: Request, name: str) -> tuple[int, Any]:
        verb, arguments = next(iter(request.body.items()))
        row = self.servers[name]
        if verb == "os-getConsoleOutput":
            return 200, {"output": self.consoles.get(name, "")}
        if verb == "os-resetState":
            row |= {"OS-EXT-STS:vm_state": arguments["state"], "OS-EXT-STS:task_state": None}
            return 202, None
        if verb == "evacuate":
            return self._evacuate(row, (arguments or {}).get("host"), request.microversion)
        self.did(name, {"os-start": "start", "os-stop": "stop"}.get(verb, verb), self.clock.now(), "operator")
        task = {"os-start": "powering-on", "os-stop": "powering-off", "reboot": "reboot_pending_hard"}[verb]
        row["OS-EXT-STS:task_state"] = task
        self._later(lambda: self._powered(row, verb != "os-stop"))
        return 202, None

    def _powered(self, row: Row, on: bool) -> None:
        host = row["OS-EXT-SRV-ATTR:host"]
        row |= {
            "OS-EXT-STS:task_state": None, "OS-EXT-STS:vm_state": "active" if on else "stopped",
            "OS-EXT-STS:power_state": 1 if on else 4,
        }  # fmt: skip
        (self.living[host].add if on else self.living[host].discard)(row["id"])
        if on and row["id"] in self.boots:
            self.consoles[row["id"]] = self.boots[row["id"]]
        for port in self.ports.values():
            if port["device_id"] == row["id"]:
                port["status"] = "ACTIVE" if on else "DOWN"

    def _evacuate(self, row: Row, to: str | None, microversion: str) -> tuple[int, Any]:
        source = row["OS-EXT-SRV-ATTR:host"]
        if self.services[source]["state"] == "up":
            return 400, f"Compute service of {source} is still in use."
        if row["OS-EXT-STS:task_state"] or row["OS-EXT-STS:vm_state"] not in ("active", "stopped", "error"):
            return 409, "Cannot 'evacuate' while it is in this state"
        fit = [n for n, s in self.services.items() if s["state"] == "up" and n not in self.full and to in (None, n)]
        record = {
            "id": len(self.migrations) + 1, "uuid": f"m{len(self.migrations)}", "instance_uuid": row["id"],
            "source_compute": source, "dest_compute": to, "migration_type": "evacuation",
            "status": "accepted" if fit else "error", "created_at": _stamp(self.clock.now()),
        }  # fmt: skip
        self.migrations.append(record)
        if fit:
            row["OS-EXT-STS:task_state"] = "rebuilding"
            self.most = max(self.most, sum(s["OS-EXT-STS:task_state"] == "rebuilding" for s in self.servers.values()))
            record["status"] = "pre-migrating"
            stop = version(microversion) >= (2, 95) and row["OS-EXT-STS:vm_state"] != "error"
            self._later(lambda: self._arrive(row, record, fit[0], stop))
        return 200, None

    def _arrive(self, row: Row, record: Row, host: str, stop: bool) -> None:
        on = row["OS-EXT-STS:vm_state"] != "stopped" and not stop
        row |= {"OS-EXT-SRV-ATTR:host": host, "OS-EXT-SRV-ATTR:hypervisor_hostname": host}
        self.allocations[row["id"]].add(host)
        record |= {"status": "done", "dest_compute": host}
        for port in self.ports.values():
            if port["device_id"] == row["id"]:
                port["binding:host_id"] = host
        for one in row["os-extended-volumes:volumes_attached"]:
            self.volumes[one["id"]]["attachments"][0]["host_name"] = host
        self._powered(row, on)

    # -- the others

    def _nodes(self, _: Row, __: Request) -> tuple[int, Any]:
        return 200, {"hypervisors": [{"hypervisor_type": self.kind, "service": {"host": n}} for n in self.services]}

    def _list_ports(self, query: Row, _: Request) -> tuple[int, Any]:
        found = [
            port for port in self.ports.values()
            if query.get("device_id") in (None, port["device_id"])
            and query.get("binding:host_id") in (None, port["binding:host_id"])
        ]  # fmt: skip
        return 200, {"ports": [dict(port) for port in found]}

    def _list_agents(self, query: Row, _: Request) -> tuple[int, Any]:
        alive = self.agents[query["host"]]
        return 200, {"agents": [{"agent_type": "Open vSwitch agent", "alive": alive, "admin_state_up": True}]}

    def _volume(self, _: Row, __: Request, name: str) -> tuple[int, Any]:
        return 200, {"volume": self.volumes[name]}

    def _image(self, _: Row, __: Request, name: str) -> tuple[int, Any]:
        return (200, self.images[name]) if name in self.images else (404, "no such image")

    def _providers(self, query: Row, _: Request) -> tuple[int, Any]:
        return 200, {"resource_providers": [{"uuid": query["name"], "name": query["name"]}]}

    def _held(self, _: Row, __: Request, provider: str) -> tuple[int, Any]:
        return 200, {"allocations": {name: {} for name, held in self.allocations.items() if provider in held}}

    def _allocation(self, _: Row, __: Request, consumer: str) -> tuple[int, Any]:
        return 200, {"allocations": {name: {} for name in self.allocations.get(consumer, ())}}


_ROUTES = (
    (r"compute GET /os-services", "_services"),
    (r"compute PUT /os-services/([^/]+)", "_service"),
    (r"compute GET /os-hypervisors/detail", "_nodes"),
    (r"compute GET /servers/detail", "_list"),
    (r"compute GET /servers/([^/]+)", "_show"),
    (r"compute GET /os-migrations", "_migrations"),
    (r"compute GET /servers/([^/]+)/os-instance-actions", "_history"),
    (r"compute GET /servers/([^/]+)/shares", "_shares"),
    (r"compute GET /servers/([^/]+)/diagnostics", "_diagnostics"),
    (r"compute POST /servers/([^/]+)/action", "_act"),
    (r"network GET /ports", "_list_ports"),
    (r"network GET /agents", "_list_agents"),
    (r"block-storage GET /volumes/([^/]+)", "_volume"),
    (r"image GET /images/([^/]+)", "_image"),
    (r"placement GET /resource_providers", "_providers"),
    (r"placement GET /resource_providers/([^/]+)/allocations", "_held"),
    (r"placement GET /allocations/([^/]+)", "_allocation"),
)


@dataclass
class Shell:
    """Hosts that commands can be run on: words of the command -> what it answers; others are not reached."""

    answers: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def run(self, host: str, argv: Any, *, limit: float = 60.0, stdin: bytes = b"") -> Completed:
        for (name, word), out in self.answers.items():
            if name == host and word in argv:
                return Completed(0, out, b"")
        raise HostUnreachable(f"no way to {host} is configured", "")


@dataclass
class Hook:
    """Does commands on this machine: what it ran, and how they end."""

    ends: StepState = StepState.DONE
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def begin(self, step: CallStep, mark: str) -> Outcome | Pending:
        assert isinstance(step, HostCommand)
        self.ran.append(step.argv)
        return Outcome(self.ends, "exit code 0")

    def go_on(self, pending: Pending) -> Outcome | Pending:
        raise AssertionError("nothing is ever under way")

    def probe(self, step: CallStep) -> StepState:
        return StepState.PLANNED


class NoRows:
    """A writer for plans without rows."""

    def write(self, groups: list[Group], intent: object) -> list[Verdict]:
        raise AssertionError("there are no rows here")

    def probe(self, groups: list[Group], images: object) -> list[Verdict]:
        raise AssertionError("there are no rows here")

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Desk:
    """Plans and runs of workflows on such a cloud."""

    cloud: Losing
    folder: Path
    hosts: Shell | None = None
    hook: Hook = field(default_factory=Hook)
    settings: dict[str, Any] = field(default_factory=dict)
    findings: dict[str, list[str]] = field(default_factory=dict)
    runs: int = 0

    def plan(self, name: str, *, parallel: int = 4, per_slot: int = 0, gates: bool = False, **arguments: Any) -> Plan:
        """The plan of a workflow."""
        reading = ApiReading(self.cloud, self.cloud.clock)  # type: ignore[arg-type]
        sight = Sight(
            api=reading, live=None, hosts=self.hosts, now=self.cloud.clock.now().isoformat(), settings=self.settings,
            findings=self.findings,
        )  # fmt: skip
        limits = Limits(parallel=parallel, per_slot=per_slot)
        workflow = catalogue.workflows()[name]
        return working.plan(
            workflow, arguments, sight, cloud="c", limits=limits, gates=gates, describe=describe, waits=waits
        )

    def run(self, plan: Plan) -> RunResult:
        """Run what can be run of it."""
        return self._run(plan.runnable, plan.limits)

    def undo(self) -> RunResult:
        """Take the first run back."""
        journal = self._journal()
        actions, _ = inverse(journal.actions("r1"), journal.entries("r1"), frozenset(), describe)
        journal.close()
        return self._run(actions, Limits())

    def _journal(self) -> DatabaseJournal:
        return DatabaseJournal(f"sqlite:///{self.folder / 'journal.db'}")

    def _run(self, actions: Any, limits: Limits) -> RunResult:
        self.runs += 1
        record = RunRecord(
            id=f"r{self.runs}", kind="apply", plan="p", sha256="", cloud="c", version="", operator="", host="", pid=1,
            created_at="2026-11-21T03:00:00+00:00", limits=limits,
        )  # fmt: skip
        journal = self._journal()
        session: Any = self.cloud
        tools = Tools(
            journal=journal,
            writer=NoRows(),  # type: ignore[arg-type]
            ask=lambda _: Confirmed(),
            progress=lambda *_: None,
            executors={
                "api": ApiExecutor(lambda: session, self.cloud.clock),
                "gate": GateExecutor(),
                "command": self.hook,
            },
            clock=self.cloud.clock,
        )
        journal.begin(record, actions)
        result = Runner(tools, record, lanes(actions)).run(checked=False)
        journal.close()
        return result


def lane(plan: Plan, server: str) -> Action:
    """The first lane of a server."""
    return next(action for action in plan.actions if action.resource_id == server)
