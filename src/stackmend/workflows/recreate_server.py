# SPDX-License-Identifier: Apache-2.0
"""Delete a server and make it again on the same ports, with the same addresses.

## What it does
Stops the server. Of one that boots from an image it makes an image of the root disk; of volumes it says to Nova that
they stay. Then it takes the ports from the server, so that Nova has none to delete, and deletes it. That ports, volumes
and image are there, with their addresses, is looked at before anything else is done.

The new server gets the same ports, flavor, image or volume, volumes, name, host name, description, metadata, tags,
user data, keypair, server group, availability zone and config drive, as far as the services let it: what cannot be kept
is listed in the plan. `--from-snapshot` has it begin with the disk of the old one, `--volume` with a volume of your
own, on another storage for example. It is verified: active, its ports in use on its host with the same MAC and IP
addresses, its volumes attached. Only then volumes are deleted with their server again, as they were before.

A build that fails leaves the ports reserved and the disks kept: the failed server is deleted, its ports taken from it
before. `stackmend server recreate --go-on RUN` makes the server from what is kept.

## Guards
Nothing goes on with the server, it is active or stopped and not locked. The account is of the server's project, for
Nova makes servers for nobody else. Ports are no devices of the host and no trunks, volumes are for one server alone.
The project is not over its quota. Just before the server is deleted it has no port, and no volume that would go along.

## Undo
Until the server is deleted everything is taken back: ports, flags, the image; it is started again. Nothing brings a
deleted server back: then undo leaves ports and disks alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from stackmend.cloud import compute, network, recreation
from stackmend.cloud.recreation import FullServer
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.compute import Start, Stop
from stackmend.model.operations.recreation import (
    OF_SNAPSHOT,
    DeleteServer,
    DropFailed,
    DropSnapshot,
    EndOfRecreated,
    ParkedSeen,
    ParkPort,
    PartsKept,
    RecreatedServes,
    RecreateServer,
    SetVolumeEnd,
    SnapshotSeen,
    SnapshotServer,
    UnclaimPort,
    UnparkPort,
    UntagRecreated,
    digest,
)
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Manual, Risk, Step
from stackmend.model.values import text
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: stages: it is done; then a build that failed is cleared away
_MAKE, _CLEAR = 1, 2


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """A lane that re-creates the server, and one that deletes a failed build."""
    name = str(arguments["server"])
    tag = f"stackmend-recreate-{uuid.uuid5(uuid.NAMESPACE_URL, f'stackmend {sight.now} {name}').hex[:16]}"
    if definition := arguments.get("definition"):
        yield from _gone_on(name, tag, definition, sight)
        return
    found = recreation.full_server(sight.api, name, str(arguments.get("flavor") or ""))
    if why := sight.api.lacks(RecreateServer) or (sight.api.lacks(SetVolumeEnd) if _ending(found) else ""):
        raise CannotRepair(why)
    image = f"{found.shown['name']}-{tag.removeprefix('stackmend-')}"[:255] if found.image else ""
    body, microversion = recreation.body(sight.api, found)
    body |= _boot(found, arguments, sight)
    target = {
        "server": name,
        "name": found.shown["name"],
        "tag": tag,
        "body": body,
        "microversion": microversion,
        "ports": found.addresses(),
        "volumes": [str(one["uuid"]) for one in body["block_device_mapping_v2"] if one["source_type"] == "volume"],
        "kept": [disk.id for disk in found.disks],
        "ending": _ending(found),
        "image": image,
        "user_data": digest(found.user_data),
    }
    yield LaneDraft(
        resource_type="server",
        resource_id=name,
        stage=_MAKE,
        message=f"{found.shown['name']}: deleted and made again on {_ports(target)}",
        steps=(*_prepared(found, image), *_deleted(found), *_made(target), *_by_hand(found, target, arguments)),
        slots=(f"from:{found.host}",),
        target=target,
        evidence=(*(f"kept: {one}" for one in found.kept), *(f"LOST: {one}" for one in found.lost)),
    )
    yield _cleared(target)


def _ports(target: Mapping[str, Any]) -> str:
    return ", ".join(address for _, *some in target["ports"].values() for address in some) or "its ports"


def _ending(found: FullServer) -> list[str]:
    """Volumes that are deleted with the server."""
    return [disk.id for disk in found.disks if disk.ends]


# -- what it boots from


def _boot(found: FullServer, arguments: Row, sight: Sight) -> dict[str, Any]:
    """The disks of the new server; notes say what happens to the old root disk."""
    volume, snapshot = str(arguments.get("volume") or ""), bool(arguments.get("from_snapshot"))
    if snapshot and not found.image:
        raise UsageError(
            f"server {found.id} boots from a volume, which the new one gets",
            "Leave --from-snapshot out, or give --volume.",
        )
    data = [_attached(disk.id, -1, disk.tag) for disk in found.disks if not disk.boots]
    root = next((disk for disk in found.disks if disk.boots), None)
    if volume:
        recreation.root_volume(sight.api, volume, found.project)
        found.kept.append(f"it boots from volume {volume}")
        if root:
            found.kept.append(f"volume {root.id}, from which it boots now, is not attached to any server afterwards")
        return {"block_device_mapping_v2": [_attached(volume, 0, None), *data]}
    if root:
        found.kept.append(f"volume {root.id}, from which it boots")
        return {"block_device_mapping_v2": [_attached(root.id, 0, root.tag), *data]}
    image = OF_SNAPSHOT if snapshot else found.image
    if snapshot:
        found.kept.append("its root disk: it begins with an image of it")
    elif not recreation.has_image(sight.api, found.image):
        raise CannotRepair(f"its image {found.image} is gone: --from-snapshot begins with its own disk")
    else:
        found.lost.append(
            f"what is on its root disk: it begins with image {found.image} again, as when it was made. An image of the"
            " disk is kept; --from-snapshot begins with that"
        )
    local = {
        "boot_index": 0, "uuid": image, "source_type": "image", "destination_type": "local",
        "delete_on_termination": True,
    }  # fmt: skip
    return {"imageRef": image, "block_device_mapping_v2": [local, *data]}


def _attached(volume: str, place: int, tag: str | None) -> dict[str, Any]:
    """A volume that is kept until the new server is verified."""
    return {
        "boot_index": place, "uuid": volume, "source_type": "volume", "destination_type": "volume",
        "delete_on_termination": False, **({"tag": tag} if tag else {}),
    }  # fmt: skip


# -- the steps


def _prepared(found: FullServer, image: str) -> Iterator[Step]:
    """Stop the server, keep its disk, detach its ports; all of that can be undone."""
    server, there = found.id, _standing(found, found.state)
    if found.state == "active":
        yield Stop(server=server).call(there, inverse=Start(server=server).call(_standing(found, "stopped")))
    stopped = _standing(found, _stopped(found))
    if image:
        drop = DropSnapshot(image=image, server=server).call({"server": "present"})
        yield SnapshotServer(server=server, image=image).call(
            cast("SnapshotSeen", {**stopped, "image": "absent"}), inverse=drop
        )
    for volume in _ending(found):
        again = SetVolumeEnd(server=server, volume=volume, ends=True).call({"server": "present", "ends": False})
        yield SetVolumeEnd(server=server, volume=volume, ends=False).call({**stopped, "ends": True}, inverse=again)
    for port in found.ports:
        name, owner = str(port["id"]), str(port.get("device_owner") or "")
        mine = UnparkPort(port=name, server=server, owner=owner, host=str(port.get("binding:host_id") or ""))
        seen: ParkedSeen = {
            "port": "present", "device_id": server, "mac_address": text(port["mac_address"]),
            "addresses": network.addresses(port), "server": "present", "server.vm_state": _stopped(found),
        }  # fmt: skip
        back = mine.call({"port": "present", "device_id": "", "server": "present"})
        yield ParkPort(port=name, server=server).call(seen, inverse=back)


def _stopped(found: FullServer) -> str:
    return "error" if found.state == "error" else "stopped"


def _standing(found: FullServer, state: str) -> ServerSeen:
    return {
        "server": "present", "server.host": found.host, "server.vm_state": state, "server.task_state": None,
    }  # fmt: skip


def _deleted(found: FullServer) -> Iterator[Step]:
    yield DeleteServer(server=found.id).call(
        {**_standing(found, _stopped(found)), "locked": False, "ports": [], "volumes": []}
    )


def _made(target: Mapping[str, Any]) -> Iterator[Step]:
    """Create the new server from the parts that were kept."""
    tag, ports, volumes = target["tag"], dict(target["ports"]), list(target["volumes"])
    free = list(dict.fromkeys([*target["kept"], *volumes]))
    yield PartsKept(server=target["server"], ports=ports, volumes=free, image=target["image"]).call()
    yield RecreateServer(
        tag=tag, server=target["server"], ports=list(ports), body=dict(target["body"]), image=target["image"],
        user_data=target["user_data"], microversion=target["microversion"],
    ).call({"server": "absent", "claimed": []})  # fmt: skip
    yield RecreatedServes(tag=tag, ports=ports, volumes=volumes).call()
    for volume in target["ending"]:
        if volume in volumes:
            yield EndOfRecreated(tag=tag, volume=volume, ends=True).call({"server": "present", "ends": False})
    yield UntagRecreated(tag=tag).call({"server": "present"})


def _by_hand(found: FullServer, target: Mapping[str, Any], arguments: Row) -> Iterator[Step]:
    begins = " The new server was made of it: its base." if arguments.get("from_snapshot") else ""
    if target["image"]:
        yield Manual(
            text=f"the old root disk is kept as image {target['image']}.{begins} When nobody needs it any more:"
            f" openstack image delete {target['image']}"
        )
    for disk in found.disks:
        if disk.id not in target["volumes"]:
            yield Manual(text=f"the old root disk is kept as volume {disk.id}: openstack volume delete {disk.id}")


def _cleared(target: Mapping[str, Any]) -> LaneDraft:
    """Delete a server whose build failed, without its ports; nothing to do if it did not fail."""
    tag, ports = target["tag"], list(target["ports"])
    return LaneDraft(
        resource_type="server",
        resource_id=target["server"],
        stage=_CLEAR,
        message="a build that came to nothing is deleted, its ports and disks are kept; else nothing is done",
        steps=(*_clear(tag, ports),),
        target={"server": target["server"], "tag": tag},
    )


def _clear(tag: str, ports: Sequence[str]) -> Iterator[Step]:
    for port in ports:
        yield UnclaimPort(port=port, tag=tag).call()
    yield DropFailed(tag=tag).call({"ports": [], "volumes": []})


def _gone_on(name: str, tag: str, definition: Any, sight: Sight) -> Iterator[LaneDraft]:
    """Continue an earlier run that deleted the old server and did not create the new one."""
    if compute.server(sight.api, name) is not None:
        raise CannotRepair(f"server {name} is not deleted: 'stackmend server recreate {name} --keep-ports' begins anew")
    before = str(definition["tag"])
    target = {**definition, "tag": tag}
    yield LaneDraft(
        resource_type="server",
        resource_id=name,
        stage=_MAKE,
        message=f"{definition['name']}: made from what is kept of it, on {_ports(target)}",
        steps=(*_clear(before, list(target["ports"])), *_made(target)),
        target=target,
        evidence=(f"kept: its volumes {', '.join(target['kept']) or 'none'}, its image {target['image'] or 'none'}",),
    )
    yield _cleared(target)


WORKFLOW = Workflow(
    name="recreate-server",
    risk=Risk.UNSAFE,
    lanes=lanes,
    why="the server is deleted, and what the plan lists as lost is lost",
)
