# SPDX-License-Identifier: Apache-2.0
"""What workflows need to know about hosts: services, nodes and agents, open migrations, and spare capacity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stackmend.cloud import compute as nova
from stackmend.cloud import placement
from stackmend.cloud.states import EVACUATED, OVER
from stackmend.model.errors import UsageError
from stackmend.model.protocols import Api, Live
from stackmend.model.repair import CannotRepair
from stackmend.model.values import members, text

#: allocation candidates with the roots of nested providers, and forbidden traits
_CANDIDATES = "1.29"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """nova-compute of a host in Nova's API."""

    host: str
    service: str  #: uuid
    status: str
    reason: str | None
    state: str
    forced_down: bool
    heartbeat: str | None
    zone: str

    @property
    def fit(self) -> bool:
        """Whether servers can be moved to it."""
        return self.status == "enabled" and self.state == "up" and not self.forced_down


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The resources one server needs from a host, by resource class."""

    flavor: str
    resources: tuple[tuple[str, int], ...]
    traits: tuple[str, ...] = ()


def computes(api: Api) -> dict[str, Compute]:
    """Each host of the cloud with its nova-compute."""
    return {
        str(one["host"]): Compute(
            host=str(one["host"]),
            service=str(one["id"]),
            status=str(one["status"]),
            reason=text(one.get("disabled_reason")),
            state=str(one["state"]),
            forced_down=bool(one.get("forced_down")),
            heartbeat=text(one.get("updated_at")),
            zone=str(one.get("zone") or ""),
        )
        for one in nova.every_compute(api)
    }


def compute(found: Mapping[str, Compute], host: str) -> Compute:
    """nova-compute of this host; UsageError if there is none."""
    if host not in found:
        raise UsageError(f"there is no compute host {host}", "See 'openstack compute service list'.")
    return found[host]


def cells(live: Live | None) -> dict[str, object]:
    """Each host with the number of its cell; {} without databases, as the APIs do not show cells."""
    if live is None:
        return {}
    return {str(row["host"]): row["cell_id"] for row in live.rows("nova_api", "host_mappings", {})}


def nodes(api: Api, leaving: str) -> dict[str, str]:
    """The UUID of each compute node, which is also that of its resource provider, with its host.

    CannotRepair if the servers of ``leaving`` are baremetal (ironic) machines: such a server cannot leave its machine.
    """
    found = nova.hypervisors(api)
    if any(one.get("hypervisor_type") == "ironic" and members(one["service"])["host"] == leaving for one in found):
        raise CannotRepair(
            f"nova-compute on {leaving} only manages baremetal (ironic) nodes: a server there is a machine of its own,"
            " which runs on without it, and cannot be moved"
        )
    return {str(one["id"]): str(members(one["service"])["host"]) for one in found}


def open_moves(api: Api, host: str) -> list[Mapping[str, object]]:
    """Migrations from or to a host that have not ended."""
    return [one for one in nova.migrations(api, host) if one["status"] not in OVER]


def evacuations(api: Api, host: str) -> list[Mapping[str, object]]:
    """Evacuations from a host that it has not cleaned up after."""
    return [one for one in nova.evacuations(api, host) if one["status"] in EVACUATED]


def consumers(api: Api, providers: Iterable[str]) -> set[str]:
    """Everything with an allocation on these providers, or on those nested in them."""
    found: set[str] = set()
    for root in providers:
        for one in placement.tree(api, root):
            found |= set(placement.allocations(api, one["uuid"]))
    return found


def room(api: Api, need: Need, allowed: Mapping[str, str]) -> dict[str, int]:
    """Host -> number of servers with this need that fit on it, each need by itself; ``allowed``: provider -> host."""
    resources = ",".join(f"{name}:{amount}" for name, amount in need.resources)
    if not resources:
        return dict.fromkeys(allowed.values(), 1)
    traits = ",".join(("!COMPUTE_STATUS_DISABLED", *need.traits))
    path = f"/allocation_candidates?resources={resources}&required={traits}"
    body = api.get("placement", path, _CANDIDATES) or {}
    summaries = body.get("provider_summaries") or {}
    found: dict[str, int] = {}
    for request in body.get("allocation_requests") or ():
        roots = {str(summaries[one]["root_provider_uuid"]) for one in request["allocations"] if one in summaries}
        host = next((allowed[one] for one in roots if one in allowed), None)
        if host is not None:
            fits = min(_times(summaries, one, held["resources"]) for one, held in request["allocations"].items())
            found[host] = max(found.get(host, 0), fits)
    if not found and "PCPU" in (names := dict(need.resources)):
        # hosts that do not report dedicated CPUs: Nova also makes a second request (scheduler/manager.py)
        names["VCPU"] = names.pop("PCPU") + names.get("VCPU", 0)
        return room(api, replace(need, resources=tuple(sorted(names.items()))), allowed)
    return found


def _times(summaries: Mapping[str, Any], provider: str, wanted: Mapping[str, int]) -> int:
    """How many times a provider can satisfy this."""
    has = summaries[provider]["resources"]
    return min(int(has[name]["capacity"] - has[name]["used"]) // int(amount) for name, amount in wanted.items())
