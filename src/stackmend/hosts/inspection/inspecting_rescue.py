# SPDX-License-Identifier: Apache-2.0
"""Rescue: Nova boots another image with the disk of the server beside it, and the operator reads it from there.

Facts (nova/compute/api.py, rescue and unrescue): a server that is active, stopped or in error can be rescued, and an
administrator can rescue one that is locked. Each of its volumes must be in use. One with a virtual TPM is refused. One
that boots from a volume needs 2.87, an image with ``hw_rescue_bus`` and ``hw_rescue_device``, and a host that can.
Unrescue leaves it running, whatever it was before.
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
    """A server in rescue; CannotRepair where Nova would refuse it."""
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
    """Out of rescue; what did not run before is stopped again, for Nova starts it."""
    if server.vm_state != "rescued":
        return Released()
    steps: list[Step] = [Unrescue(server=server.id).call(seen(server))]
    if not begun.ran:
        steps.append(Stop(server=server.id).call({**seen(server), "server.vm_state": "active"}))
    return Released(
        steps=tuple(steps), does="out of rescue, stopped again and " if len(steps) > 1 else "out of rescue and "
    )


def _refused(server: Server, sight: Sight, stable: bool, of_volume: bool) -> Iterator[str]:
    """Why Nova would refuse it, in words."""
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
