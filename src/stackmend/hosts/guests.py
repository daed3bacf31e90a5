# SPDX-License-Identifier: Apache-2.0
"""Servers of a host that is or was dead: a verified list, the location of their disks, the order of starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from stackmend.cloud import block_storage, compute, network, placement, servers
from stackmend.cloud import image as glance
from stackmend.cloud.servers import Server
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.objects.disks import INSTANCES
from stackmend.model.repair import CannotRepair
from stackmend.model.values import objects, texts, whole
from stackmend.model.workflow import Sight


def guests(sight: Sight, host: str) -> list[Server]:
    """Every server of the host, by name. CannotRepair if Nova does not show all those with allocations in Placement.

    Nova silently leaves out the servers of a cell that is down: Placement's allocations reveal that.
    """
    listed = servers.on_host(sight.api, host)
    _complete(sight, host, listed)
    ports: dict[str, list[Mapping[str, Any]]] = {}
    for port in network.bound(sight.api, host):
        ports.setdefault(str(port.get("device_id")), []).append(port)
    groups = servers.groups(sight.api)
    # after a failed move its ports are bound to another host, or to none
    return [
        replace(
            one,
            ports=tuple(ports.get(one.id) or network.ports_of(sight.api, one.id)),
            groups=tuple(groups.get(one.id, ())),
        )
        for one in listed
    ]


def _complete(sight: Sight, host: str, listed: Sequence[Server]) -> None:
    nodes = {one.node for one in listed} or {host}
    lacking = sorted(consumers(sight, nodes) - {one.id for one in listed})
    for name in lacking:
        shown = compute.server(sight.api, name)
        # otherwise it is the allocation of a migration or of an evacuated server, or an orphan
        if shown and shown.get("OS-EXT-SRV-ATTR:host") == host:
            raise CannotRepair(f"Nova's list of the servers on {host} is incomplete: server {name} is missing")


def consumers(sight: Sight, nodes: set[str]) -> set[str]:
    """The consumers with an allocation on these nodes."""
    found: set[str] = set()
    for node in sorted(nodes):
        for provider in placement.named(sight.api, node):
            found |= set(placement.allocations(sight.api, provider["uuid"]))
    return found


def named(found: Sequence[Server], names: Sequence[str], option: str) -> list[str]:
    """Ids of the servers named in an option by id or name, in its order; UsageError if one does not exist."""
    ids = []
    for name in names:
        mine = [guest.id for guest in found if name in (guest.id, guest.name)]
        if len(mine) != 1:
            raise UsageError(*_not_one(found, name, option, mine))
        ids.append(mine[0])
    return ids


def _not_one(found: Sequence[Server], name: str, option: str, mine: Sequence[str]) -> tuple[str, str]:
    """(the problem with a name, the hint)."""
    if mine:
        return f"{option} {name}: several servers have this name", f"Specify one by id: {', '.join(mine)}."
    near = get_close_matches(name, [text for guest in found for text in (guest.name, guest.id)])
    other = "'stackmend host status HOST' shows how many there are."
    return f"{option} {name}: it is not on the host", f"Did you mean {', '.join(near)}?" if near else other


def stages(found: Sequence[Server], first: Sequence[str], begin: int) -> dict[str, int]:
    """Server -> its stage: those of ``first`` in that order, then the others by their own order."""
    stage = {server: begin + number for number, server in enumerate(first)}
    after = begin + len(first)
    ranks = sorted({guest.order for guest in found if guest.id not in stage})
    stage |= {guest.id: after + ranks.index(guest.order) for guest in found if guest.id not in stage}
    return stage


# -- locations of disks


def on_disk(sight: Sight, host: str) -> frozenset[str] | None:
    """Servers whose directory is on a host, which decides how Nova evacuates to it; None if unknown."""
    if not host or sight.hosts is None:
        return None
    path = str(sight.settings.get("hosts.instances_path") or INSTANCES)
    inside = texts(sight.settings.get("hosts.container"))
    argv = (*inside, "find", path, "-mindepth", "1", "-maxdepth", "1", "-type", "d", "-printf", "%f\\n")
    try:
        done = sight.hosts.run(host, argv)
    except SourceError as problem:
        sight.facts["disks"] = f"the disks of {host} could not be read: {problem.message}"
        return None
    if done.code != 0:
        sight.facts["disks"] = f"the disks of {host} could not be read: exit code {done.code}"
        return None
    return frozenset(done.out.decode(errors="replace").split())


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskLocation:
    """The location of a server's disks, and how it was determined."""

    kind: str  #: "volume", "rbd", "shared", "there" (its directory is on the destination) or "local"
    why: str
    lost: tuple[str, ...] = ()  #: what an evacuation would lose, in words

    @property
    def keeps(self) -> bool:
        """Whether no data of the guest is lost."""
        return not self.lost


def place(sight: Sight, guest: Server, there: frozenset[str] | None, to: str, shared: bool) -> DiskLocation:
    """Classify a server (docs/how-to/host-died.md). Unknown counts as local: Nova would rebuild its disk."""
    extra = whole(guest.flavor.get("ephemeral") or 0)
    empty = (f"its ephemeral disk ({extra} GiB) starts empty",) if extra else ()
    if there is not None and guest.id in there:
        return DiskLocation(kind="there", why=f"its directory is on {to}")
    if sight.settings.get("nova.libvirt.images_type") == "rbd":
        return DiskLocation(kind="rbd", why="nova.conf says that images_type is rbd")
    if shared:
        return DiskLocation(kind="shared", why="the operator says that all hosts see the same disks (--shared)")
    if sight.settings.get("hosts.shared_instances"):
        return DiskLocation(kind="shared", why="[hosts] shared_instances says that all hosts see the same disks")
    if not guest.image and guest.volumes:
        return DiskLocation(kind="volume", why="it boots from a volume", lost=empty)
    root = "its root disk is rebuilt from its image: everything written to it since is lost"
    why = "its disk is not known to be anywhere but on the dead host"
    return DiskLocation(kind="local", why=why, lost=(root, *empty))


def obstacles(sight: Sight, guest: Server) -> Iterator[str]:
    """Why Nova cannot evacuate a server at all, in words (nova/compute/api.py: evacuate)."""
    properties: Mapping[str, Any] = (glance.image(sight.api, guest.image) if guest.image else None) or {}
    if guest.specs.get("hw:tpm_version") or properties.get("hw_tpm_version"):
        yield "it has a vTPM, with its state on the dead host and a secret of its owner: Nova refuses to evacuate it"
    if compute.shares(sight.api, guest.id):
        yield "it has Manila shares: Nova refuses to evacuate it while they are attached"
    if kinds := sorted({str(p.get("binding:vnic_type")) for p in guest.ports} & _ACCELERATORS):
        yield f"it has ports of type {', '.join(kinds)}: Nova refuses to evacuate"
    if sight.live is not None and not sight.live.rows("nova_api", "request_specs", {"instance_uuid": guest.id}):
        yield "its request spec is missing: Nova cannot schedule it"


def harms(sight: Sight, guest: Server) -> Iterator[str]:
    """What its next start would lose, in words: determined now, as checks wait until a server is idle.

    Nova's list of addresses is its network cache, and a start defines the guest with the NICs in it (A1, A11); of its
    volumes it keeps those that Cinder shows as attached to it (H7).
    """
    for port in guest.ports:
        if port.get("fixed_ips") and str(port.get("mac_address")).lower() not in guest.macs:
            yield f"Nova's network cache does not have port {port['id']}: it would start without that NIC"
    for name in guest.volumes:
        volume = block_storage.volume(sight.api, name)
        attached = [] if volume is None else objects(volume["attachments"])
        if guest.id not in {str(one["server_id"]) for one in attached}:
            yield f"Cinder does not have volume {name} attached to it: it would start without that disk"


_ACCELERATORS = frozenset({"accelerator-direct", "accelerator-direct-physical"})


def image_gone(sight: Sight, guest: Server) -> bool:
    """Whether the image needed for a rebuild no longer exists."""
    return bool(guest.image) and glance.image(sight.api, guest.image) is None
