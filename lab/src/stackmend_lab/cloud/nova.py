# SPDX-License-Identifier: Apache-2.0
"""Rows of Nova's API database and of its cells for one server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from stackmend_lab.cloud.documents import EXTRA_FLAVOR, KEYPAIRS, Networks, build_request, request_spec
from stackmend_lab.cloud.kinds import Plan, identifier, text
from stackmend_lab.cloud.things import Things, Volume
from stackmend_lab.cloud.world import FLAVORS, ZONE, Emit, World

_INSTANCE = (
    "id", "uuid", "created_at", "updated_at", "deleted_at", "deleted", "user_id", "project_id", "image_ref", "host",
    "node", "launched_on", "compute_id", "vm_state", "task_state", "power_state", "memory_mb", "vcpus", "root_gb",
    "ephemeral_gb", "instance_type_id", "hostname", "display_name", "display_description", "reservation_id",
    "launched_at", "terminated_at", "availability_zone", "root_device_name", "locked", "hidden", "cleaned", "progress",
    "config_drive", "kernel_id", "ramdisk_id", "launch_index", "auto_disk_config", "shutdown_terminate",
    "disable_terminate", "user_data",
)  # fmt: skip
_CACHE = ("id", "instance_uuid", "network_info", "created_at", "updated_at", "deleted", "deleted_at")
_EXTRA = (
    "id",
    "instance_uuid",
    "flavor",
    "pci_requests",
    "keypairs",
    "created_at",
    "updated_at",
    "deleted",
    "deleted_at",
)
_SYSMETA = ("id", "instance_uuid", "key", "value", "created_at", "deleted", "deleted_at")
_META = _SYSMETA
_VIF = ("id", "uuid", "address", "instance_uuid", "tag", "created_at", "deleted", "deleted_at")
_BDM = (
    "id", "uuid", "instance_uuid", "source_type", "destination_type", "device_type", "disk_bus", "device_name",
    "boot_index", "volume_id", "volume_size", "image_id", "attachment_id", "connection_info", "delete_on_termination",
    "no_device", "created_at", "updated_at", "deleted", "deleted_at",
)  # fmt: skip
_MIGRATION = (
    "id", "uuid", "instance_uuid", "status", "migration_type", "source_compute", "source_node", "dest_compute",
    "dest_node", "old_instance_type_id", "new_instance_type_id", "created_at", "updated_at", "deleted", "hidden",
    "cross_cell_move", "user_id", "project_id",
)  # fmt: skip
_ACTION = ("id", "action", "instance_uuid", "request_id", "user_id", "project_id", "start_time", "created_at",
           "updated_at", "deleted")  # fmt: skip
_EVENT = ("id", "action_id", "event", "start_time", "finish_time", "result", "host", "created_at", "deleted")
_FAULT = ("id", "instance_uuid", "code", "message", "details", "host", "created_at", "deleted", "deleted_at")
_MAPPING = ("id", "instance_uuid", "cell_id", "project_id", "user_id", "queued_for_delete", "created_at")
_SPEC = ("id", "instance_uuid", "spec", "created_at")
_BUILD = ("id", "project_id", "instance_uuid", "instance", "block_device_mappings", "created_at")
_TAG = ("resource_id", "tag")

#: what a password in connection_info looks like; stackmend must never show it
SECRET = "chap-secret-do-not-show"
CELL_IDS = {"cell0": 1, "cell1": 2, "cell2": 3}


def server(emit: Emit, world: World, its: Things, networks: Networks) -> None:
    """Every row of one server."""
    _api(emit, world, its)
    if its.plan.kind == "unscheduled":
        return
    writer = _Cell(emit, world, its, f"cell:{its.cell}")
    writer.write(networks)
    if its.plan.kind == "cross_cell":
        # the other half of a cross-cell resize: the same server, hidden, in the cell it came from (G-XCELL)
        _Cell(emit, world, its, "cell:cell2", hidden=True).write(networks)


def _api(emit: Emit, world: World, its: Things) -> None:
    plan, created = its.plan, text(its.plan.created)
    project, user = world.project(plan.project), world.user(plan.project)
    cell = None if plan.kind == "unscheduled" else CELL_IDS[its.cell]
    queued = 1 if plan.deleted or plan.kind == "soft_deleted" else 0
    emit("nova_api", "instance_mappings", _MAPPING,
         (world.next("nova_api", "instance_mappings"), plan.uuid, cell, project, user, queued, created))  # fmt: skip
    spec = request_spec(project, user, plan.flavor, plan.uuid, volume_backed=plan.kind == "volume_backed")
    emit("nova_api", "request_specs", _SPEC, (world.next("nova_api", "request_specs"), plan.uuid, spec, created))
    if plan.kind == "unscheduled":
        document = build_request(project, user, plan.flavor, plan.uuid)
        emit("nova_api", "build_requests", _BUILD,
             (world.next("nova_api", "build_requests"), project, plan.uuid, *document.values(), created))  # fmt: skip


class _Cell:
    """The rows of one server in one cell."""

    def __init__(self, emit: Emit, world: World, its: Things, database: str, *, hidden: bool = False) -> None:
        self._emit, self._world, self._its, self._database, self._hidden = emit, world, its, database, hidden
        self._plan: Plan = its.plan
        self._gone = text(its.plan.updated) if its.plan.deleted else None
        self._created, self._updated = text(its.plan.created), text(its.plan.updated)

    def write(self, networks: Networks) -> None:
        """Write all rows, parents first."""
        self._instance()
        plan, hostless = self._plan, self._its.cell == "cell0"
        self._row("instance_info_caches", _CACHE, plan.uuid, self._network_info(networks), self._created, self._updated)
        self._row("instance_extra", _EXTRA, plan.uuid, EXTRA_FLAVOR[plan.flavor], "[]", KEYPAIRS, self._created,
                  self._updated)  # fmt: skip
        for key, value in self._sysmeta():
            self._row("instance_system_metadata", _SYSMETA, plan.uuid, key, value, self._created)
        if plan.number % 4 == 0:
            self._row("instance_metadata", _META, plan.uuid, "rôle", "frontend", self._created)
        for port in self._its.ports:
            self._row("virtual_interfaces", _VIF, port.uuid, f"{port.mac}/{port.uuid}", plan.uuid, None, self._created)
        self._devices()
        self._actions()
        self._migrations()
        if plan.kind in ("error", "cell0_error", "deleted_hostless"):
            self._row("instance_faults", _FAULT, plan.uuid, 500, "No valid host was found.", "Traceback ...",
                      self._its.host, self._created)  # fmt: skip
        if plan.number % 10 == 0 and not plan.deleted and not hostless:
            self._emit(self._database, "tags", _TAG, (plan.uuid, f"tier-{plan.number % 3}"))

    def _row(self, table: str, columns: tuple[str, ...], *values: Any) -> int:
        """Write one child row; the id is first and the marks of deletion last (RW4: deleted = id)."""
        number = self._world.next(self._database, table)
        mark = number if self._gone else 0
        self._emit(self._database, table, columns, (number, *values, mark, self._gone))
        return number

    def _instance(self) -> None:
        plan, world, its = self._plan, self._world, self._its
        vm_state, power_state = plan.state
        _, vcpus, memory, root, ephemeral, _ = FLAVORS[plan.flavor]
        number = world.next(self._database, "instances")
        host, node = its.host, its.node
        if self._hidden:
            host = node = world.host(plan.other | 1)
        compute = None
        if plan.kind == "ironic":
            compute = world.hosts // 2 + 2 + plan.ordinal
        elif host is not None:
            compute = world.compute_id(int(host[1:]) - 1)
        hostless = its.host is None and plan.kind != "shelved_offloaded"
        launched = None if hostless or plan.kind == "building" else text(plan.created + timedelta(seconds=25))
        terminated = self._gone if plan.kind == "deleted" else None
        backed = plan.kind == "volume_backed"
        self._emit(self._database, "instances", _INSTANCE, (
            number, plan.uuid, self._created, self._updated, self._gone, number if plan.deleted else 0,
            world.user(plan.project), world.project(plan.project), "" if backed else world.image(plan.number), host,
            node, host, compute, vm_state, plan.task, power_state, memory, vcpus, root, ephemeral, plan.flavor + 1,
            f"vm-{plan.number}", _name(plan.number), _name(plan.number), f"r-{plan.number:08x}", launched, terminated,
            None if hostless else ZONE, None if hostless else "/dev/vda", 0, int(self._hidden),
            1 if plan.deleted else 0, 0, "", "", "", 0, 1, 0, 0, None,
        ))  # fmt: skip

    def _network_info(self, networks: Networks) -> str:
        plan = self._plan
        bound = plan.kind not in ("shelved_offloaded",)
        active = plan.state[1] == 1 or plan.kind in ("stopped", "paused", "suspended")
        vifs = [
            networks.vif(
                port.uuid, port.mac, plan.project, port.address, bound=bound, active=active and bound, keep=port.keep,
                floating=port.floating, kind=port.kind,
            )
            for port in self._its.ports
        ]  # fmt: skip
        return "[]" if plan.kind == "building" else f"[{', '.join(vifs)}]"

    def _sysmeta(self) -> list[tuple[str, str]]:
        image = "" if self._plan.kind == "volume_backed" else self._world.image(self._plan.number)
        return [
            ("image_base_image_ref", image),
            ("image_min_ram", "0"),
            ("owner_project_name", f"project-{self._plan.project}"),
        ]

    def _devices(self) -> None:
        plan, its = self._plan, self._its
        if plan.kind not in ("volume_backed", "unscheduled"):
            uuid = identifier(0x40, plan.number, self._world.seed + int(self._hidden))
            self._device(uuid, "image", "local", None, None, 0, "/dev/vda", None, 1)
        for volume in its.volumes:
            self._volume(volume)

    def _volume(self, volume: Volume) -> None:
        uuid = identifier(0x41, int(volume.attachment[-12:], 16), self._world.seed + int(self._hidden))
        info = f'{{"driver_volume_type": "iscsi", "data": {{"auth_password": "{SECRET}"}}, "serial": "{volume.uuid}"}}'
        if self._plan.kind == "shelved_offloaded":
            info = "{}"
        self._device(
            uuid, "volume", "volume", volume.uuid, volume.attachment, 0 if volume.boot else None, volume.device, info, 0
        )

    def _device(
        self, uuid: str, source: str, destination: str, volume: str | None, attachment: str | None, boot: int | None,
        device: str, info: str | None, delete: int,
    ) -> None:  # fmt: skip
        image = self._world.image(self._plan.number) if source == "image" else None
        self._row("block_device_mapping", _BDM, uuid, self._plan.uuid, source, destination, "disk", "virtio", device, boot,
                  volume, 10 if volume else None, image, attachment, info, delete, 0, self._created,
                  self._updated)  # fmt: skip

    def _actions(self) -> None:
        plan, world = self._plan, self._world
        if plan.kind == "unscheduled":
            return
        actions = ["create"] + (["delete"] if plan.deleted else [])
        for action in actions:
            moment = self._created if action == "create" else self._updated
            number = world.next(self._database, "instance_actions")
            request = f"req-{identifier(0x44, number, world.seed)}"
            self._emit(self._database, "instance_actions", _ACTION, (
                number, action, plan.uuid, request, world.user(plan.project), world.project(plan.project), moment,
                moment, moment, 0,
            ))  # fmt: skip
            done = None if plan.kind == "building" else moment
            self._emit(self._database, "instance_actions_events", _EVENT, (
                world.next(self._database, "instance_actions_events"), number, f"compute__do_{action}", moment, done,
                "Success" if done else None, self._its.host, moment, 0,
            ))  # fmt: skip

    def _migrations(self) -> None:
        plan, world, its = self._plan, self._world, self._its
        other = world.host(plan.other)
        found = {
            "resized": ("finished", "resize", other, its.host),
            "cross_cell": ("finished", "resize", world.host(plan.other | 1), its.host),
            "live_migrating": ("running", "live-migration", its.host, other),
            "evacuated": ("done", "evacuation", other, its.host),
        }.get(plan.kind)
        if found is None and plan.kind == "active" and plan.number % 20 == 0:
            found = ("completed", "live-migration", other, its.host)
        if found is None or (plan.kind == "cross_cell" and self._hidden):
            return
        status, kind, source, target = found
        self._emit(self._database, "migrations", _MIGRATION, (
            world.next(self._database, "migrations"), its.migration, plan.uuid, status, kind, source, source, target,
            target, plan.flavor + 1, plan.flavor + 1, self._updated, self._updated, 0, 0,
            int(plan.kind == "cross_cell"), world.user(plan.project), world.project(plan.project),
        ))  # fmt: skip


def _name(number: int) -> str:
    return ("web-{}", "db-{}", "sërver-{}", "服务器-{}", 'node "{}"')[number % 5].format(number)
