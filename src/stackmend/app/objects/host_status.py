# SPDX-License-Identifier: Apache-2.0
"""One host as every source sees it. Nothing is changed; unreadable sources are reported, never counted as zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from stackmend.app import apis, hosts, workflows
from stackmend.app.audits import audit
from stackmend.app.session import CloudSession, no_progress
from stackmend.cloud import compute, network, placement
from stackmend.cloud.hosts import open_moves
from stackmend.config.settings import Config
from stackmend.engine.auditing import catalogue
from stackmend.model.errors import ApiError, SourceError, StackmendError, UsageError
from stackmend.model.objects.host import GuestList, HostStatus
from stackmend.model.protocols import Api, Live, Progress
from stackmend.model.step import Manual
from stackmend.model.values import members, real, whole

_DRAIN = "drain-host"


def status(config: Config, host: str, *, audited: bool = True, progress: Progress = no_progress) -> HostStatus:
    """What is known of ``host``; ``audited``: also run the checks on its servers.

    ApiError without an API, UsageError for a host that no service knows.
    """
    session = CloudSession.looking(config).believed()
    with ExitStack() as stack:
        api, why = stack.enter_context(apis.reading(config, session, "auto"))
        if api is None:
            raise ApiError(f"host status needs the services' APIs: {why}", "Specify a cloud: [api] cloud, or OS_CLOUD.")
        live = stack.enter_context(session.live(api)) if session.databases.addresses else None
        look = _Look(api, live, config, host)
        found = look.status()
    blocks, unknown = _blocks(config, host)
    findings: Sequence[Mapping[str, object]] = ()
    servers = sorted(look.servers)
    if audited and servers:
        findings, more = _findings(config, servers, progress)
        unknown = (*unknown, *more)
    return HostStatus(**found, blocks=tuple(blocks), findings=tuple(findings), unknown=(*look.unknown, *unknown))


class _Look:
    """Queries each source in turn; a failing one leaves its reason."""

    def __init__(self, api: Api, live: Live | None, config: Config, host: str) -> None:
        self._api, self._live, self._config = api, live, config
        self._host = host
        self.unknown: list[str] = []
        self.servers: frozenset[str] = frozenset()

    def status(self) -> dict[str, Any]:
        """The fields of a HostStatus that sources fill."""
        services = tuple(self._services())
        if not services:
            raise UsageError(
                f"there is no Nova service on a host {self._host!r}", "See 'openstack compute service list'."
            )
        servers = compute.servers_on(self._api, self._host)
        self.servers = frozenset(str(server["id"]) for server in servers)
        providers: list[Mapping[str, object]] = []
        views = (
            GuestList(source="nova", what="server", servers=self.servers, count=len(servers)),
            self._view("libvirt", "domain", self._domains),
            self._view("neutron", "bound port", self._ports),
            self._view("cinder", "attachment", self._attachments),
            self._view("placement", "allocation", lambda: self._allocations(providers)),
        )
        return {
            "host": self._host,
            "services": services,
            "agents": tuple(self._readable("Neutron agents", self._agents)),
            "providers": tuple(providers),
            "servers": dict(sorted(Counter(map(_state, servers)).items())),
            "moves": tuple(self._readable("migrations", self._moves)),
            "views": views,
        }

    def _services(self) -> list[dict[str, object]]:
        return [
            {
                "binary": one["binary"],
                "status": one["status"],
                "state": one["state"],
                "reason": one.get("disabled_reason"),
                "forced_down": bool(one.get("forced_down")),
                "updated_at": one.get("updated_at"),
            }
            for one in compute.services(self._api, self._host)
        ]

    def _agents(self) -> list[dict[str, object]]:
        return [
            {
                "type": one["agent_type"],
                "alive": one["alive"],
                "admin_state_up": one["admin_state_up"],
                "heartbeat_at": one.get("heartbeat_timestamp"),
            }
            for one in network.agents(self._api, self._host)
        ]

    def _moves(self) -> list[dict[str, object]]:
        return [
            {
                "server": one["instance_uuid"],
                "type": one.get("migration_type"),
                "status": one["status"],
                "from": one.get("source_compute"),
                "to": one.get("dest_compute"),
            }
            for one in open_moves(self._api, self._host)
        ]

    def _ports(self) -> tuple[frozenset[str], int]:
        ports = [
            port
            for port in network.bound(self._api, self._host, "id", "device_id", "device_owner")
            if str(port.get("device_owner", "")).startswith("compute:")
        ]
        return frozenset(str(port["device_id"]) for port in ports), len(ports)

    def _attachments(self) -> tuple[frozenset[str], int]:
        if self._live is None:
            raise SourceError("its API does not show the host to which a volume is attached")
        rows = self._live.rows("cinder", "volume_attachment", {"attached_host": self._host, "deleted": 0})
        return frozenset(str(row["instance_uuid"]) for row in rows if row["instance_uuid"]), len(rows)

    def _domains(self) -> tuple[frozenset[str], int]:
        found = hosts.domains(self._config, self._host)
        return frozenset(domain.uuid for domain in found), len(found)

    def _allocations(self, providers: list[Mapping[str, object]]) -> tuple[frozenset[str], int]:
        consumers: set[str] = set()
        for node in self._nodes():
            for one in placement.named(self._api, node):
                consumers |= set(placement.allocations(self._api, one["uuid"]))
                providers.append({"uuid": one["uuid"], "name": one["name"], **self._usage(one["uuid"])})
        return frozenset(consumers), len(consumers)

    def _usage(self, provider: object) -> dict[str, object]:
        used = placement.usages(self._api, provider)
        total = placement.inventories(self._api, provider)
        return {
            name: {
                "used": used.get(name, 0),
                "total": int((whole(one["total"]) - whole(one["reserved"])) * real(one["allocation_ratio"])),
            }
            for name, one in ((name, members(total[name])) for name in sorted(total))
        }

    def _nodes(self) -> list[str]:
        """Names of the compute nodes of the host: several with ironic."""
        found = compute.hypervisors(self._api)
        return [str(one["hypervisor_hostname"]) for one in found if members(one["service"])["host"] == self._host]

    def _view(self, source: str, what: str, ask: Callable[[], tuple[frozenset[str], int]]) -> GuestList:
        try:
            servers, count = ask()
        except StackmendError as problem:
            return GuestList(source=source, what=what, why_not=problem.message)
        return GuestList(source=source, what=what, servers=servers, count=count)

    def _readable(self, what: str, ask: Callable[[], list[dict[str, object]]]) -> list[dict[str, object]]:
        try:
            return ask()
        except StackmendError as problem:
            self.unknown.append(f"{what} could not be read: {problem.message}")
            return []


def _blocks(config: Config, host: str) -> tuple[list[str], tuple[str, ...]]:
    """(what blocks a drain, why that could not be determined)."""
    if _DRAIN not in catalogue.workflows():
        return [], ()
    try:
        plan = workflows.plan(config, _DRAIN, {"host": host})
    except StackmendError as problem:
        return [], (f"what blocks a drain could not be determined: {problem.message}",)
    found = [left.reason for left in plan.not_repaired]
    for action in plan.manual:
        reasons = "; ".join(step.text for step in action.steps if isinstance(step, Manual))
        found.append(f"{action.resource_type} {action.resource_id}: {reasons or action.message}")
    return found, ()


def _findings(
    config: Config, servers: Sequence[str], progress: Progress
) -> tuple[Sequence[Mapping[str, object]], tuple[str, ...]]:
    try:
        report = audit(config, about=servers, progress=progress)
    except StackmendError as problem:
        return (), (f"its servers could not be audited: {problem.message}",)
    found = [
        {
            "check": one.check,
            "severity": one.severity.value,
            "resource": {"type": one.resource_type, "id": one.resource_id},
            "message": one.message,
        }
        for one in report.findings
    ]
    lacking = ", ".join(sorted(report.incomplete))
    return found, (f"checks that could not be run: {lacking}",) if lacking else ()


def _state(server: Mapping[str, object]) -> str:
    """The state of a server in a word or two: "active", "stopped, locked", "active, migrating"."""
    words = [str(server.get("OS-EXT-STS:vm_state") or "unknown")]
    if task := server.get("OS-EXT-STS:task_state"):
        words.append(str(task))
    if server.get("locked"):
        words.append("locked")
    return ", ".join(words)
