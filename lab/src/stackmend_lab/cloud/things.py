# SPDX-License-Identifier: Apache-2.0
"""The objects that belong to one server: its ports and volumes, decided once for all services."""

from __future__ import annotations

from dataclasses import dataclass, field

from stackmend_lab.cloud.kinds import Plan, identifier
from stackmend_lab.cloud.world import World

#: maximum number of ports or volumes per server, for their numbering
_MOST = 8
#: one server in this many has a floating IP
_FLOATING = 5


@dataclass(frozen=True, slots=True)
class Port:
    """One port of a server."""

    uuid: str
    mac: str
    address: int  #: number of its address in the project's network
    floating: str | None
    floating_uuid: str
    floating_port: str
    keep: bool  #: preserve_on_delete: it existed before the server
    kind: str  #: vif_type where bound


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume of a server."""

    uuid: str
    attachment: str
    device: str
    boot: bool
    shared: bool  #: a multi-attach volume that another server has as well
    owner: bool  #: this server's rows create the volume (the first of those that share it)


@dataclass(frozen=True, slots=True)
class Things:
    """A server with the objects that belong to it."""

    plan: Plan
    host: str | None
    node: str | None
    cell: str
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    #: UUID of a migration in progress
    migration: str = ""
    extra: dict[str, str] = field(default_factory=dict)


def things(world: World, plan: Plan) -> Things:
    """Decide everything that belongs to a server."""
    cell = "cell0" if plan.kind in ("cell0_error", "deleted_hostless") else world.cell_of(plan.host)
    host: str | None
    node: str | None
    if plan.kind == "ironic":
        cell, host, node = "cell1", "ir0001", identifier(0xD, plan.number, world.seed)
    elif plan.kind in ("cell0_error", "deleted_hostless", "unscheduled", "shelved_offloaded"):
        host = node = None
    else:
        host = node = world.host(plan.host)
    if plan.kind == "cross_cell":
        cell = "cell1"
        host = node = world.host(plan.host - plan.host % 2)
    return Things(
        plan=plan,
        host=host,
        node=node,
        cell=cell,
        ports=tuple(_port(world, plan, n) for n in range(0 if plan.deleted else plan.ports)),
        volumes=tuple(_volumes(world, plan)) if not plan.deleted else (),
        migration=identifier(0xE, plan.number, world.seed),
    )


def _port(world: World, plan: Plan, index: int) -> Port:
    number = plan.number * _MOST + index
    address = world.next_address(plan.project)
    floating = None
    if index == 0 and plan.number % _FLOATING == 0 and plan.kind in ("active", "stopped", "premade_port"):
        serial = plan.number // _FLOATING + 10
        floating = f"{198 + serial // 16_000_000}.{serial // 65536 % 256}.{serial // 256 % 256}.{serial % 256}"
    return Port(
        uuid=identifier(0xB, number, world.seed),
        mac=f"fa:16:{number >> 24 & 0xFF:02x}:{number >> 16 & 0xFF:02x}:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}",
        address=address,
        floating=floating,
        floating_uuid=identifier(0x30, number, world.seed),
        floating_port=identifier(0x31, number, world.seed),
        keep=plan.kind in ("premade_port", "trunk") or (plan.kind == "multi_nic" and index == 1),
        kind="other" if plan.kind == "ironic" else "ovs",
    )


def _volumes(world: World, plan: Plan) -> list[Volume]:
    found = []
    letters = iter("abcdefgh" if plan.kind == "volume_backed" else "bcdefgh")
    boots = plan.kind == "volume_backed"
    for index in range(int(boots) + plan.volumes):
        number = plan.number * _MOST + index
        found.append(
            Volume(
                uuid=identifier(0x50, number, world.seed),
                attachment=identifier(0x51, number, world.seed),
                device=f"/dev/vd{next(letters)}",
                boot=boots and index == 0,
                shared=False,
                owner=True,
            )
        )
    if plan.kind == "multiattach":
        found.append(
            Volume(
                uuid=identifier(0x52, plan.ordinal // 2, world.seed),
                attachment=identifier(0x51, plan.number * _MOST + 7, world.seed),
                device=f"/dev/vd{next(letters)}",
                boot=False,
                shared=True,
                owner=plan.ordinal % 2 == 0,
            )
        )
    return found
