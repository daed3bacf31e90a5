# SPDX-License-Identifier: Apache-2.0
"""Rescue: Nova boots another image with the server's disk attached, and the operator reads the disk from there.

Facts (nova/compute/api.py, rescue and unrescue): a server can be rescued if it is active, stopped or in error; an
administrator can also rescue a locked one. Each of its volumes must be in use. A server with a virtual TPM is refused.
A volume-backed server needs microversion 2.87, an image with ``hw_rescue_bus`` and ``hw_rescue_device``, and a host
that supports it. Unrescue leaves the server running, whatever its state before.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import block_storage
from stackmend.cloud import image as glance
from stackmend.cloud.inspections import RESCUABLE, Inspection
from stackmend.cloud.servers import Server
from stackmend.hosts.inspection.inspecting import Method, Prepared, Released, seen
from stackmend.model.finding import Row
from stackmend.model.operations.compute import Rescue, RescueVolume, Stop, Unrescue
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Step
from stackmend.model.workflow import Sight

_STABLE = ("hw_rescue_bus", "hw_rescue_device")


def prepare(server: Server, arguments: Row, sight: Sight) -> Prepared:
    """Rescue the server; CannotRepair if Nova would refuse."""
    wanted = str(arguments.get("image") or "")
    if not wanted:
        raise CannotRepair("a rescue needs an image that boots, and into which you can log in: name it by --image")
    found = glance.image(sight.api, wanted)
    if found is None or found.get("status") != "active":
        raise CannotRepair(f"there is no image {wanted} that is active: see 'openstack image list'")
    stable = all(found.get(name) for name in _STABLE)
    if reasons := list(_refused(server, sight, stable, bool(found.get("img_block_device_mapping")))):
        raise CannotRepair("; ".join(reasons))
    back = Unrescue(server=server.id).call({**seen(server), "server.vm_state": "rescued"})
    rescue = Rescue(server=server.id, image=wanted) if server.image else RescueVolume(server=server.id, image=wanted)
    return Prepared(
        does=f"rescued with image {found.get('name') or wanted}: its disk is beside that of the image",
        steps=(rescue.call(seen(server), back),),
        evidence=(
            f"its disk keeps its device, the image's comes beside it ({', '.join(_STABLE)})"
            if stable
            else "the image's disk is the first one (vda), the server's own root disk the second (vdb)",
            "log in by 'openstack console url show', with the image's own account: Nova's password is nowhere kept",
            "NOT read-only: the rescue system can write to the disk, and a mount replays its journal. There:"
            " blockdev --setro DEVICE; mount -o ro,noload (ext4) or ro,norecovery (xfs)",
        ),
        why="the guest is stopped and another system runs in its place, which can write to its disk",
    )


def release(server: Server, begun: Inspection, _: Sight) -> Released:
    """Unrescue the server. Nova starts it, so it is stopped again if it was not running before."""
    if server.vm_state != "rescued":
        return Released()
    steps: list[Step] = [Unrescue(server=server.id).call(seen(server))]
    if not begun.ran:
        steps.append(Stop(server=server.id).call({**seen(server), "server.vm_state": "active"}))
    return Released(
        steps=tuple(steps), does="out of rescue, stopped again and " if len(steps) > 1 else "out of rescue and "
    )


def _refused(server: Server, sight: Sight, stable: bool, of_volume: bool) -> Iterator[str]:
    """The reasons for which Nova would refuse the rescue."""
    if of_volume:
        yield "the image is a snapshot of a volume (img_block_device_mapping)"
    if server.specs.get("hw:tpm_version"):
        yield "the server has a virtual TPM: Nova refuses to rescue it"
    if why := sight.api.lacks(Rescue if server.image else RescueVolume):
        yield why
    if not server.image and not stable:
        yield f"it boots from a volume: that takes an image with the properties {' and '.join(_STABLE)}"
    for name in server.volumes:
        volume = block_storage.volume(sight.api, name)
        if volume is None or volume["status"] != "in-use":
            yield f"volume {name} is {'gone' if volume is None else volume['status']}, not in use"


RESCUE = Method(name="rescue", states=RESCUABLE, prepare=prepare, release=release)
