# SPDX-License-Identifier: Apache-2.0
"""Rows of Placement's database for one server."""

from __future__ import annotations

from stackmend_lab.cloud.kinds import text
from stackmend_lab.cloud.things import Things
from stackmend_lab.cloud.world import CLASSES, FLAVORS, Emit, World

ALLOCATION = ("id", "resource_provider_id", "consumer_id", "resource_class_id", "used", "created_at", "updated_at")
CONSUMER = ("id", "uuid", "project_id", "user_id", "generation", "consumer_type_id", "created_at", "updated_at")
INSTANCE, MIGRATION = 1, 2
_NO_ALLOCATION = frozenset({"shelved_offloaded", "cell0_error", "unscheduled", "deleted", "deleted_hostless"})


def server(emit: Emit, world: World, its: Things) -> None:
    """The consumer of one server with its allocations, and those of its migration."""
    plan = its.plan
    if plan.kind in _NO_ALLOCATION:
        return
    created = text(plan.created)
    consumer(emit, world, plan.uuid, plan.project, INSTANCE, created)
    if plan.kind == "ironic":
        provider = ironic_provider(world, plan.ordinal)
        _allocate(emit, world, provider, plan.uuid, CLASSES.index("CUSTOM_BAREMETAL") + 1, 1, created)
        return
    here, there = world.provider_id(plan.host), world.provider_id(plan.other)
    if plan.kind == "cross_cell":
        here, there = world.provider_id(plan.host - plan.host % 2), world.provider_id(plan.other | 1)
    if plan.kind == "live_migrating":
        # Nova moves the source's allocation to the migration, and the server gets the target's (G-LIVE-MIG)
        here, there = there, here
    _flavor(emit, world, its, here, plan.uuid, created)
    if plan.kind in ("resized", "live_migrating", "cross_cell"):
        consumer(emit, world, its.migration, plan.project, MIGRATION, created)
        _flavor(emit, world, its, there, its.migration, created)
    if plan.kind == "evacuated":
        _flavor(emit, world, its, there, plan.uuid, created)


def consumer(emit: Emit, world: World, uuid: str, project: int, kind: int | None, created: str) -> None:
    """One consumer."""
    emit("placement", "consumers", CONSUMER,
         (world.next("placement", "consumers"), uuid, project + 1, project + 1, 1, kind, created, created))  # fmt: skip


def _flavor(emit: Emit, world: World, its: Things, provider: int, holder: str, created: str) -> None:
    _, vcpus, memory, root, ephemeral, swap = FLAVORS[its.plan.flavor]
    disk = (0 if its.plan.kind == "volume_backed" else root) + ephemeral + -(-swap // 1024)
    for number, used in ((1, vcpus), (2, memory), (3, disk)):
        if used:
            _allocate(emit, world, provider, holder, number, used, created)


def _allocate(emit: Emit, world: World, provider: int, holder: str, kind: int, used: int, created: str) -> None:
    emit("placement", "allocations", ALLOCATION,
         (world.next("placement", "allocations"), provider, holder, kind, used, created, created))  # fmt: skip


def ironic_provider(world: World, ordinal: int) -> int:
    """``resource_providers.id`` of a baremetal node."""
    return world.hosts + 1 + ordinal
