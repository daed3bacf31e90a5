# SPDX-License-Identifier: Apache-2.0
"""Servers of one host as Nova's API shows them: where their disks are, what ran, in which order they are started."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from stackmend.model.errors import SourceError, UsageError
from stackmend.model.repair import CannotRepair
from stackmend.model.workflow import Sight

#: embeds flavors with their extra specs
_EMBEDDED = "2.53"
#: shows the server groups of one server
_GROUPS = "2.71"
#: shows the shares of one server
_SHARES = "2.97"
_PROVIDERS = "1.14"
#: Nova's own default; {} of it are the directories of servers
INSTANCES = "/var/lib/nova/instances"
#: metadata and tag by which an owner or operator says when a server is started: smaller ones first
ORDER = "stackmend:order"
#: where a server without order stands
_MIDDLE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One server of the host."""

    id: str
    name: str
    host: str
    vm_state: str
    task_state: str | None
    power_state: int
    node: str
    image: str  #: "" where it has none: it boots from a volume
    volumes: tuple[str, ...]
    flavor: Mapping[str, Any]
    ports: tuple[Mapping[str, Any], ...]
    groups: tuple[str, ...]  #: server groups it is a member of
    fault: str = ""
    fault_at: str = ""
    order: int = _MIDDLE
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self.task_state is None

    def spec(self, name: str) -> str:
        """An extra spec of its flavor, or ""."""
        return str((self.flavor.get("extra_specs") or {}).get(name) or "")


def guests(sight: Sight, host: str) -> list[Guest]:
    """Every server of the host, by name. CannotRepair where Nova does not show all that Placement knows of.

    Nova leaves out the servers of a cell that is down, without a word: Placement's allocations are the proof.
    """
    path = f"/servers/detail?all_tenants=1&host={quote(host, safe='')}"
    listed = {str(one["id"]): one for one in sight.api.every("compute", path, "servers", _EMBEDDED)}
    ports: dict[str, list[Mapping[str, Any]]] = {}
    for port in sight.api.every("network", f"/ports?binding:host_id={quote(host, safe='')}", "ports"):
        ports.setdefault(str(port.get("device_id")), []).append(port)
    groups = _groups(sight, listed)
    found = [_guest(sight, one, ports, groups) for one in listed.values()]
    _complete(sight, host, listed)
    return sorted(found, key=lambda guest: (guest.name, guest.id))


def _guest(
    sight: Sight,
    one: Mapping[str, Any],
    ports: Mapping[str, Sequence[Mapping[str, Any]]],
    groups: Mapping[str, tuple[str, ...]],
) -> Guest:
    server = str(one["id"])
    mine = list(ports.get(server, ()))
    if not mine:
        # bound elsewhere, or to no host, after a move that failed
        body = sight.api.get("network", f"/ports?device_id={quote(server, safe='')}")
        mine = list((body or {}).get("ports", ()))
    image = one.get("image") or {}
    fault = one.get("fault") or {}
    return Guest(
        id=server,
        name=str(one.get("name") or ""),
        host=str(one.get("OS-EXT-SRV-ATTR:host") or ""),
        vm_state=str(one.get("OS-EXT-STS:vm_state") or ""),
        task_state=one.get("OS-EXT-STS:task_state"),
        power_state=int(one.get("OS-EXT-STS:power_state") or 0),
        node=str(one.get("OS-EXT-SRV-ATTR:hypervisor_hostname") or ""),
        image=str(image.get("id") or ""),
        volumes=tuple(sorted(str(v["id"]) for v in one.get("os-extended-volumes:volumes_attached") or ())),
        flavor=one.get("flavor") or {},
        ports=tuple(mine),
        groups=groups.get(server, ()),
        fault=str(fault.get("message") or ""),
        fault_at=str(fault.get("created") or ""),
        order=_order(one),
        raw=one,
    )


def _groups(sight: Sight, servers: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Server -> groups that it is a member of."""
    found: dict[str, tuple[str, ...]] = {}
    if sight.api.offers("compute", _GROUPS):
        for server in servers:
            body = sight.api.get("compute", f"/servers/{quote(server, safe='')}", _GROUPS)
            shown = ((body or {}).get("server") or {}).get("server_groups") or ()
            found[server] = tuple(str(one) for one in shown)
        return found
    for one in sight.api.every("compute", "/os-server-groups?all_projects=True", "server_groups", _EMBEDDED):
        for server in one["members"]:
            found[str(server)] = (*found.get(str(server), ()), str(one["id"]))
    return found


def _order(one: Mapping[str, Any]) -> int:
    said = (one.get("metadata") or {}).get(ORDER)
    for tag in one.get("tags") or ():
        if str(tag).startswith(f"{ORDER}="):
            said = str(tag).partition("=")[2]
    try:
        return int(str(said))
    except ValueError:
        return _MIDDLE


def _complete(sight: Sight, host: str, listed: Mapping[str, Mapping[str, Any]]) -> None:
    nodes = {str(one.get("OS-EXT-SRV-ATTR:hypervisor_hostname")) for one in listed.values()} or {host}
    lacking = sorted(consumers(sight, nodes) - set(listed))
    for name in lacking:
        body = sight.api.get("compute", f"/servers/{quote(name, safe='')}", _EMBEDDED)
        # else a migration's allocation, one of an evacuated server, or an orphan
        if body and body["server"].get("OS-EXT-SRV-ATTR:host") == host:
            raise CannotRepair(f"Nova's list of the servers on {host} is not whole: server {name} is not in it")


def consumers(sight: Sight, nodes: set[str]) -> set[str]:
    """Who has an allocation on these nodes."""
    found: set[str] = set()
    for node in sorted(nodes):
        body = sight.api.get("placement", f"/resource_providers?name={quote(node, safe='')}", _PROVIDERS)
        for provider in (body or {}).get("resource_providers", ()):
            held = sight.api.get("placement", f"/resource_providers/{provider['uuid']}/allocations", _PROVIDERS)
            found |= set((held or {}).get("allocations", {}))
    return found


def named(found: Sequence[Guest], names: Sequence[str], option: str) -> list[str]:
    """Ids of the servers that an option names by id or name, in its order; UsageError for one that is not there."""
    ids = []
    for name in names:
        mine = [guest.id for guest in found if name in (guest.id, guest.name)]
        if len(mine) != 1:
            what = "is not on the host" if not mine else "is the name of several: say which by its id"
            raise UsageError(f"{option} {name}: it {what}", "'stackmend host status HOST' shows how many there are.")
        ids.append(mine[0])
    return ids


def stages(found: Sequence[Guest], first: Sequence[str], begin: int) -> dict[str, int]:
    """Server -> stage in which it is dealt with: those of ``first`` in that order, then by their own order."""
    stage = {server: begin + number for number, server in enumerate(first)}
    after = begin + len(first)
    ranks = sorted({guest.order for guest in found if guest.id not in stage})
    stage |= {guest.id: after + ranks.index(guest.order) for guest in found if guest.id not in stage}
    return stage


# -- where disks are


def on_disk(sight: Sight, host: str) -> frozenset[str] | None:
    """Servers whose directory is on a host, which is what Nova goes by when it evacuates to it; None: not known."""
    if not host or sight.hosts is None:
        return None
    path = str(sight.settings.get("hosts.instances_path") or INSTANCES)
    inside = tuple(sight.settings.get("hosts.container") or ())
    argv = (*inside, "find", path, "-mindepth", "1", "-maxdepth", "1", "-type", "d", "-printf", "%f\\n")
    try:
        done = sight.hosts.run(host, argv)
    except SourceError as problem:
        sight.facts["disks"] = f"what is on the disks of {host} could not be read: {problem.message}"
        return None
    if done.code != 0:
        sight.facts["disks"] = f"what is on the disks of {host} could not be read: exit code {done.code}"
        return None
    return frozenset(done.out.decode(errors="replace").split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the disks of a server are, and what is known by that."""

    kind: str  #: "volume", "rbd", "shared", "there" (its directory is on the destination) or "local"
    why: str
    lost: tuple[str, ...] = ()  #: what is lost by an evacuation, in words

    @property
    def keeps(self) -> bool:
        """Whether nothing that a guest has written is lost."""
        return not self.lost


def place(sight: Sight, guest: Guest, there: frozenset[str] | None, to: str, shared: bool) -> Place:
    """Classify a server (catalogue W6.3). What is not known is local: Nova would build its disk anew."""
    extra = int(guest.flavor.get("ephemeral") or 0)
    empty = (f"its ephemeral disk ({extra} GiB) begins empty",) if extra else ()
    if there is not None and guest.id in there:
        return Place(kind="there", why=f"its directory is on {to}")
    if sight.settings.get("nova.libvirt.images_type") == "rbd":
        return Place(kind="rbd", why="nova.conf says that images_type is rbd")
    if shared:
        return Place(kind="shared", why="the operator says that all hosts see the same disks (--shared)")
    if sight.settings.get("hosts.shared_instances"):
        return Place(kind="shared", why="[hosts] shared_instances says that all hosts see the same disks")
    if not guest.image and guest.volumes:
        return Place(kind="volume", why="it boots from a volume", lost=empty)
    root = "its root disk is built anew from its image: everything written to it since is lost"
    why = "nothing says that its disk is anywhere but on the dead host"
    return Place(kind="local", why=why, lost=(root, *empty))


def obstacles(sight: Sight, guest: Guest) -> Iterator[str]:
    """What keeps Nova from evacuating a server at all, in words (nova/compute/api.py: evacuate)."""
    image = guest.image and (sight.api.get("image", f"/images/{quote(guest.image, safe='')}") or {})
    properties: Mapping[str, Any] = image or {}
    if guest.spec("hw:tpm_version") or properties.get("hw_tpm_version"):
        yield "it has a vTPM, whose state is on the dead host and whose secret is its owner's: Nova refuses to evacuate"
    if sight.api.offers("compute", _SHARES):
        body = sight.api.get("compute", f"/servers/{quote(guest.id, safe='')}/shares", _SHARES)
        if (body or {}).get("shares"):
            yield "it has shares of Manila: Nova refuses to evacuate while they are attached"
    if kinds := sorted({str(p.get("binding:vnic_type")) for p in guest.ports} & _ACCELERATORS):
        yield f"it has ports of type {', '.join(kinds)}: Nova refuses to evacuate"
    if sight.live is not None and not sight.live.rows("nova_api", "request_specs", {"instance_uuid": guest.id}):
        yield "its request spec is missing: Nova cannot schedule it"


def harms(sight: Sight, guest: Guest) -> Iterator[str]:
    """What its next start would take from it, in words: seen at once, where checks wait until a server is idle.

    Nova's list of addresses is its network cache, and a start defines the guest with the NICs of that (A1, A11); of
    its volumes it keeps those that Cinder has attached to it (H7).
    """
    shown = {
        str(address.get("OS-EXT-IPS-MAC:mac_addr")).lower()
        for network in (guest.raw.get("addresses") or {}).values()
        for address in network
    }
    for port in guest.ports:
        if port.get("fixed_ips") and str(port.get("mac_address")).lower() not in shown:
            yield f"Nova's network cache does not have port {port['id']}: it would start without that NIC"
    for name in guest.volumes:
        body = sight.api.get("block-storage", f"/volumes/{quote(name, safe='')}", "3.0")
        attached = () if body is None else body["volume"]["attachments"]
        if guest.id not in {str(one["server_id"]) for one in attached}:
            yield f"Cinder does not have volume {name} attached to it: it would start without that disk"


_ACCELERATORS = frozenset({"accelerator-direct", "accelerator-direct-physical"})


def image_gone(sight: Sight, guest: Guest) -> bool:
    """Whether the image that a rebuild needs is not there any more."""
    return bool(guest.image) and sight.api.get("image", f"/images/{quote(guest.image, safe='')}") is None
