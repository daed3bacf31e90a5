# SPDX-License-Identifier: Apache-2.0
"""What workflows need to know about servers: those on a host, their properties, and what Nova can do with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stackmend.cloud import compute, network
from stackmend.cloud import image as glance
from stackmend.cloud.hosts import Need
from stackmend.model.api import segment
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Api
from stackmend.model.values import text

#: locked, locked_reason, and the flavor with its extra specs
_SHOWN = "2.73"
#: image properties
_IMAGE = "2.98"
_GROUPS = "2.64"
_PAGE = 1000
#: metadata key, and tag, with which an owner or operator sets the start order: lower numbers first
ORDER = "stackmend:order"
#: position of a server without an order
_MIDDLE = 50

#: extra specs of devices that only some drivers can migrate with a running guest
_DEVICES = {
    "pci_passthrough:alias": "it has a PCI device of its host",
    "resources:VGPU": "it has a virtual GPU of its host",
    "hw:mem_encryption": "its memory is encrypted",
    "hw:pmem": "it has persistent memory of its host",
    "accel:device_profile": "it has an accelerator of its host",
}
#: for a server that is the only one in its group
_ALONE = ". By hand, a move that is forced (microversion 2.30 to 2.67) asks no group, for it is alone in this one"
#: where the secret of a virtual TPM must be stored for a migration (hw:tpm_secret_security)
_MOVABLE_TPM = ("host", "deployment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server as an administrator sees it, with its ports and server groups."""

    id: str
    name: str
    host: str | None
    node: str
    vm_state: str
    task_state: str | None
    power_state: int | None
    locked: bool
    locked_reason: str | None
    image: str  #: "" if it boots from a volume
    flavor: Mapping[str, Any]
    volumes: tuple[str, ...]
    macs: frozenset[str]  #: from the addresses in Nova's network cache; in lower case
    order: int  #: start order, lower numbers first
    fault: str = ""
    fault_at: str = ""
    ports: tuple[Mapping[str, Any], ...] = ()
    groups: tuple[Mapping[str, Any], ...] = ()

    @property
    def idle(self) -> bool:
        """Whether no operation is in progress."""
        return self.task_state is None

    @property
    def specs(self) -> Mapping[str, str]:
        """Extra specs of its flavor."""
        found: Mapping[str, str] = self.flavor.get("extra_specs") or {}
        return found

    @property
    def memory(self) -> int:
        """Memory in MiB."""
        return int(self.flavor.get("ram") or 0)

    @property
    def disk(self) -> int:
        """Maximum disk space on the host in GiB, without volumes."""
        own = int(self.flavor.get("disk") or 0) if self.image else 0
        return own + int(self.flavor.get("OS-FLV-EXT-DATA:ephemeral") or self.flavor.get("ephemeral") or 0)

    @property
    def need(self) -> Need:
        """The resources it needs from a host."""
        found = {"VCPU": int(self.flavor.get("vcpus") or 0), "MEMORY_MB": self.memory, "DISK_GB": self.disk}
        if self.specs.get("hw:cpu_policy") == "dedicated":
            found["PCPU"] = found.pop("VCPU")
        for name, value in self.specs.items():
            if name.startswith("resources:"):
                found[name.removeprefix("resources:")] = int(value)
        traits = [name.removeprefix("trait:") for name, value in self.specs.items() if name.startswith("trait:")]
        return Need(
            flavor=str(self.flavor.get("original_name") or self.flavor.get("id") or ""),
            resources=tuple(sorted((name, amount) for name, amount in found.items() if amount > 0)),
            traits=tuple(sorted(one if self.specs[f"trait:{one}"] == "required" else f"!{one}" for one in traits)),
        )

    def shown(self) -> dict[str, Any]:
        """What a plan records about it: enough to find it and to bring it back."""
        return {
            "name": self.name,
            "host": self.host,
            "vm_state": self.vm_state,
            "task_state": self.task_state,
            "power_state": self.power_state,
            "locked": self.locked,
            "ports": [str(port["id"]) for port in self.ports],
            "volumes": list(self.volumes),
            "groups": [str(group["id"]) for group in self.groups],
        }


def on_host(api: Api, host: str) -> list[Server]:
    """Every server of a host, by name. SourceError if Nova cannot show one completely, as its cell is down."""
    path = f"/servers/detail?all_tenants=1&host={segment(host)}"
    found = [server_of(one) for one in api.every("compute", path, "servers", _SHOWN)]
    return sorted(found, key=lambda one: (one.name, one.id))


def server(api: Api, name: str) -> Server | None:
    """One server, None if it does not exist."""
    body = api.get("compute", f"/servers/{segment(name)}", _SHOWN)
    return None if body is None else server_of(body["server"])


def server_of(one: Mapping[str, Any]) -> Server:
    """A server from Nova's representation."""
    if "OS-EXT-SRV-ATTR:host" not in one:
        raise SourceError(
            f"Nova shows little of server {one.get('id')}: its cell is down, or this account is not an administrator",
            "See 'openstack compute service list', and the roles of the account.",
        )
    image, fault = one.get("image") or {}, one.get("fault") or {}
    addresses = [address for network in (one.get("addresses") or {}).values() for address in network]
    return Server(
        id=str(one["id"]),
        name=str(one.get("name") or one["id"]),
        host=one["OS-EXT-SRV-ATTR:host"],
        node=str(one.get("OS-EXT-SRV-ATTR:hypervisor_hostname") or ""),
        vm_state=str(one.get("OS-EXT-STS:vm_state") or ""),
        task_state=one.get("OS-EXT-STS:task_state"),
        power_state=one.get("OS-EXT-STS:power_state"),
        locked=bool(one.get("locked")),
        locked_reason=one.get("locked_reason"),
        image=str(image.get("id") or ""),
        flavor=one.get("flavor") or {},
        volumes=tuple(str(volume["id"]) for volume in one.get("os-extended-volumes:volumes_attached") or ()),
        macs=frozenset(str(address.get("OS-EXT-IPS-MAC:mac_addr")).lower() for address in addresses),
        order=_order(one),
        fault=str(fault.get("message") or "")[:300],
        fault_at=str(fault.get("created") or ""),
    )


def _order(one: Mapping[str, Any]) -> int:
    said = (one.get("metadata") or {}).get(ORDER)
    for tag in one.get("tags") or ():
        if str(tag).startswith(f"{ORDER}="):
            said = str(tag).partition("=")[2]
    try:
        return int(str(said))
    except ValueError:
        return _MIDDLE


def ports(api: Api, host: str) -> dict[str, list[Mapping[str, Any]]]:
    """Device -> its ports whose active binding is on this host."""
    fields = ("id", "device_id", "device_owner", "binding:host_id", "binding:vnic_type")
    found: dict[str, list[Mapping[str, Any]]] = {}
    for port in network.bound(api, host, *fields):
        # Neutron's filter returns inactive bindings too
        if port.get("binding:host_id") == host:
            found.setdefault(str(port.get("device_id") or ""), []).append(port)
    return found


def groups(api: Api) -> dict[str, list[Mapping[str, Any]]]:
    """Server -> its server groups, of every project."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    offset = 0
    while True:
        path = f"/os-server-groups?all_projects=1&limit={_PAGE}&offset={offset}"
        page = (api.get("compute", path, _GROUPS) or {}).get("server_groups", ())
        for group in page:
            for member in group["members"]:
                found.setdefault(str(member), []).append(group)
        if not page:
            return found
        # a cloud may return fewer than requested
        offset += len(page)


def crowded(api: Api, one: Server, fit: Iterable[str], where: dict[str, str | None]) -> Iterator[str]:
    """Why the groups of a server leave no host for it. ``where``: hosts of servers, as far as known."""
    every = set(fit)
    for group in one.groups:
        policy, others = group.get("policy"), [str(m) for m in group["members"] if str(m) != one.id]
        for member in others:
            if member not in where:
                found = compute.server(api, member)
                where[member] = None if found is None else text(found.get("OS-EXT-SRV-ATTR:host"))
        beside = [host for member in others if (host := where[member])]
        # the host it leaves counts for its group even if it is the only member (nova/scheduler/utils.py, nova 34)
        if policy == "affinity" and not every.intersection(beside):
            yield (
                f"server group {group['name']} (affinity) keeps it where it is: Nova moves it only to another host of"
                f" its group, and none fits{'' if others else _ALONE}"
            )
        elif policy == "anti-affinity":
            most = int((group.get("rules") or {}).get("max_server_per_host") or 1)
            if not [host for host in every if beside.count(host) < most]:
                yield f"server group {group['name']} (anti-affinity) leaves it no host: each one has a member"


def immovable(api: Api, one: Server, image: Mapping[str, Any]) -> Iterator[str]:
    """Why it cannot be live-migrated, according to its flavor, image, ports and shares."""
    for spec, why in _DEVICES.items():
        if str(one.specs.get(spec) or "").lower() not in ("", "false"):
            yield why
    if str(image.get("hw_mem_encryption") or "").lower() == "true":
        yield _DEVICES["hw:mem_encryption"]
    tpm = one.specs.get("hw:tpm_version") or image.get("hw_tpm_version")
    kept = one.specs.get("hw:tpm_secret_security") or image.get("hw_tpm_secret_security")
    if tpm and kept not in _MOVABLE_TPM:
        yield "it has a virtual TPM whose secret only its owner can read"
    if any(port.get("binding:vnic_type") in ("direct-physical", "accelerator-direct") for port in one.ports):
        yield "a port of it is a device of its host"
    if compute.shares(api, one.id):
        yield "it has shares of Manila attached"


def image_of(api: Api, one: Server, known: dict[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Properties of a server's image, {} if unknown. ``known``: images queried before."""
    if one.image not in known:
        found: Mapping[str, Any] = {}
        if one.image and api.offers("compute", _IMAGE):
            body = api.get("compute", f"/servers/{segment(one.id)}", _IMAGE) or {"server": {}}
            found = ((body["server"].get("image") or {}) or {}).get("properties") or {}
        elif one.image:
            found = glance.image(api, one.image) or {}
        known[one.image] = found
    return known[one.image]
