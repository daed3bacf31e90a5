# SPDX-License-Identifier: Apache-2.0
"""Nova's cell databases, including cell0 (services 1.1)."""

from __future__ import annotations

from stackmend.tables import DELETED, Column, ColumnType, Table, bools, ints, kept, text, times

#: ``deleted`` is neither 0 nor the row's own id: a mark that Nova never makes (RW4)
MISMARKED = Column("mismarked", ColumnType.BOOL, expr="t.deleted <> 0 AND t.deleted <> t.id")

#: children of ``instances`` that Nova soft-deletes with it (services 1.1, B4)
SOFT_CHILDREN = (
    "security_group_instance_association",
    "instance_info_caches",
    "instance_metadata",
    "instance_extra",
    "instance_system_metadata",
    "block_device_mapping",
    "migrations",
    "virtual_interfaces",
)

#: children that Nova hard-deletes with it: table -> (primary key, column with the server's UUID)
HARD_CHILDREN = {
    "tags": ("t.tag", "resource_id"),
    "console_auth_tokens": ("t.id", "instance_uuid"),
    "share_mapping": ("t.id", "instance_uuid"),
}


#: where nova-compute counts its attempts to remove the files of a deleted server; it never deletes that row
_COUNTER = {"instance_system_metadata": " AND t.key <> 'clean_attempts'"}

#: how the reason begins for which a server is locked while its disks are inspected (cloud/inspections.py)
INSPECTION = "stackmend disk inspect: "


#: tables of nova-network and XenAPI with a foreign key to ``instances``: the database has them, Nova no longer does
_FORGOTTEN = ("fixed_ips", "consoles")


def _leftover(name: str, row: str, uuid: str, where: str, label: str = "nova_leftover_children") -> Table:
    return Table(
        service="nova",
        name=name,
        label=label,
        constant=("child", name),
        columns=(Column("row_id", expr=row), Column("instance_uuid", expr=f"t.{uuid}")),
        join=f"JOIN instances p ON p.uuid = t.{uuid}",
        where=where,
        optional=True,
    )


#: tables that name a server without a foreign key: -> (primary key, column with the server's UUID, time of its end)
ORPHANED = {
    "tags": ("t.tag", "resource_id", "0"),
    "console_auth_tokens": ("t.id", "instance_uuid", "t.expires"),
    "instance_id_mappings": ("t.id", "uuid", "0"),
}


def _orphan(name: str, row: str, uuid: str, expires: str) -> Table:
    return Table(
        service="nova",
        name=name,
        label="nova_orphans",
        constant=("child", name),
        columns=(
            Column("row_id", expr=row),
            Column("instance_uuid", expr=f"t.{uuid}"),
            Column("expires", ColumnType.INT, expr=expires),
        ),
        join=f"LEFT JOIN instances p ON p.uuid = t.{uuid}",
        where="p.id IS NULL" + (" AND t.deleted = 0" if name == "instance_id_mappings" else ""),
        optional=True,
    )


#: tables from which servers and their parts are archived, as far as they are marked deleted one by one
ARCHIVED = ("instances", "block_device_mapping", "instance_faults", "instance_id_mappings")


def _of_servers(name: str, label: str, floor: int, where: str = "") -> Table:
    """How many rows of a table each server has, of those that have at least ``floor``, counted in an index."""
    return Table(
        service="nova",
        name=name,
        label=label,
        columns=(Column("instance_uuid", expr="t.instance_uuid"), Column("number", ColumnType.INT, expr="COUNT(*)")),
        where=where or "t.instance_uuid IS NOT NULL",
        group=f"t.instance_uuid HAVING COUNT(*) >= {floor}",
    )


TABLES = (
    Table(
        service="nova",
        name="instances",
        columns=(
            *ints("id"),
            *text("uuid", "project_id", "user_id", "image_ref", "host", "node", "launched_on"),
            Column("compute_id", ColumnType.INT, optional=True),
            *text("vm_state", "task_state"),
            *ints("power_state", "cleaned", "vcpus", "memory_mb"),
            *bools("hidden"),
            *times("created_at", "updated_at", "deleted_at", "launched_at", "terminated_at"),
            DELETED,
            MISMARKED,
        ),
    ),
    Table(
        service="nova",
        name="instance_info_caches",
        columns=(
            *ints("id"),
            *text("instance_uuid"),
            *times("created_at", "updated_at"),
            DELETED,
            Column("network_info", ColumnType.NETWORK_INFO),
        ),
    ),
    Table(
        service="nova",
        name="virtual_interfaces",
        columns=(
            *ints("id"),
            *text("uuid", "address", "instance_uuid", "tag"),
            *times("created_at"),
            DELETED,
            MISMARKED,
        ),
    ),
    Table(
        service="nova",
        name="block_device_mapping",
        columns=(
            *ints("id"),
            *text("uuid", "instance_uuid", "source_type", "destination_type", "volume_id", "attachment_id"),
            *ints("boot_index"),
            *text("device_name"),
            *bools("delete_on_termination"),
            *times("created_at", "updated_at"),
            DELETED,
        ),
    ),
    # where Nova's copies of the connections of volumes lead
    Table(
        service="nova",
        name="block_device_mapping",
        label="nova_connections",
        columns=(
            *ints("id"),
            *text("instance_uuid", "volume_id", "attachment_id"),
            Column("leads_to", ColumnType.CONNECTION, expr="t.connection_info"),
        ),
        where="t.deleted = 0 AND t.attachment_id IS NOT NULL AND t.connection_info IS NOT NULL",
    ),
    Table(
        service="nova",
        name="migrations",
        columns=(
            *ints("id"),
            *text("uuid", "instance_uuid", "status", "migration_type"),
            *text("source_compute", "source_node", "dest_compute", "dest_node"),
            *times("created_at", "updated_at"),
            DELETED,
        ),
    ),
    Table(
        service="nova",
        name="instance_extra",
        columns=(
            *ints("id"),
            *text("instance_uuid"),
            DELETED,
            Column("has_flavor", ColumnType.BOOL, expr="t.flavor IS NOT NULL AND t.flavor <> ''"),
            # extra specs that replace what the flavor's own numbers request
            Column("overrides", ColumnType.BOOL, expr="t.flavor LIKE '%\"resources%'"),
            # the flavors before and after a resize, null unless one is in progress; quotes within values are escaped
            Column("resizing", ColumnType.BOOL, expr="t.flavor LIKE '%\"old\": {%' OR t.flavor LIKE '%\"new\": {%'"),
            Column(
                "moving",
                ColumnType.BOOL,
                expr="t.migration_context IS NOT NULL AND t.migration_context NOT IN ('', 'null')",
            ),
        ),
    ),
    Table(
        service="nova",
        name="instance_system_metadata",
        label="nova_inspections",
        columns=(
            Column("id", ColumnType.INT, expr="t.id"),
            Column("instance_uuid", expr="t.instance_uuid"),
            Column("reason", expr="t.value"),
            Column("created_at", ColumnType.TIME, expr="t.created_at"),
            Column("updated_at", ColumnType.TIME, expr="t.updated_at"),
        ),
        # the few servers that are locked are found first: the table has a dozen rows of each server
        join="JOIN instances p ON p.uuid = t.instance_uuid",
        # other keys hold secrets (password_0 and the like), and reasons of others may: none of them is read
        where=f"p.locked <> 0 AND t.deleted = 0 AND t.key = 'locked_reason' AND t.value LIKE '{INSPECTION}%'",
    ),
    Table(
        service="nova",
        name="instance_system_metadata",
        label="nova_shelved_images",
        columns=(
            Column("instance_uuid", expr="t.instance_uuid"),
            Column("image", expr="t.value"),
        ),
        join="JOIN instances p ON p.uuid = t.instance_uuid",
        where="p.deleted = 0 AND p.vm_state IN ('shelved', 'shelved_offloaded', 'error') AND t.deleted = 0"
        " AND t.key = 'shelved_image_id' AND t.value <> ''",
    ),
    Table(
        service="nova",
        name="share_mapping",
        label="nova_unsettled_shares",
        columns=(*ints("id"), *text("instance_uuid", "share_id", "status"), *times("created_at", "updated_at")),
        where="t.status IN ('attaching', 'detaching', 'error')",
        optional=True,
    ),
    Table(
        service="nova",
        name="instance_actions",
        columns=(
            *ints("id"),
            *text("instance_uuid", "action", "request_id"),
            *times("start_time", "finish_time"),
        ),
        bulk=False,
    ),
    Table(
        service="nova",
        name="instance_actions_events",
        columns=(*ints("id", "action_id"), *text("event", "result", "host"), *times("start_time", "finish_time")),
        bulk=False,
    ),
    Table(
        service="nova",
        name="services",
        columns=(
            *ints("id"),
            *text("host", "binary"),
            *bools("disabled", "forced_down"),
            *times("created_at", "last_seen_up", "updated_at"),
            *ints("version"),
            DELETED,
        ),
    ),
    Table(
        service="nova",
        name="compute_nodes",
        columns=(
            *ints("id"),
            *text("uuid", "host", "hypervisor_hostname", "hypervisor_type"),
            *times("created_at", "updated_at"),
            DELETED,
        ),
    ),
    Table(
        service="nova",
        name="pci_devices",
        columns=(*ints("id", "compute_node_id"), *text("address", "status", "instance_uuid"), DELETED),
        where="t.status IN ('claimed', 'allocated')",
    ),
    *(
        _leftover(n, "t.id", "instance_uuid", f"p.deleted <> 0 AND t.deleted = 0{_COUNTER.get(n, '')}")
        for n in SOFT_CHILDREN
    ),
    *(_leftover(n, row, uuid, "p.deleted <> 0") for n, (row, uuid) in HARD_CHILDREN.items()),
    *(_leftover(n, "t.id", "instance_uuid", "p.deleted <> 0", "nova_archive_blockers") for n in _FORGOTTEN),
    *(_orphan(name, *columns) for name, columns in ORPHANED.items()),
    *(kept("nova", name, "nova_kept_deleted") for name in ARCHIVED),
    # the archive itself: every server in it brings a dozen rows of other tables with it
    kept("nova", "shadow_instances", "nova_kept_archived", where="t.deleted_at IS NOT NULL"),
    _of_servers("instance_faults", "nova_faults_of_servers", 20, "t.deleted = 0"),
    _of_servers("instance_actions", "nova_actions_of_servers", 500),
)

SECRETS = {
    ("nova", "instances"): ("user_data", "key_data"),
    ("nova", "block_device_mapping"): ("connection_info", "encryption_secret_uuid"),
    ("nova", "instance_system_metadata"): ("value",),
    ("nova", "console_auth_tokens"): ("token_hash",),
    ("nova", "consoles"): ("password", "token_hash"),
    ("nova", "share_mapping"): ("export_location",),
}

#: The table made of ``network_info``, read together with ``nova_instance_info_caches``, row by row.
VIFS = Table(
    service="nova",
    name="instance_info_caches",
    label="nova_vifs",
    columns=(
        *ints("cache_id"),
        *text("instance_uuid"),
        *ints("position"),
        *text("port_id", "address", "network_id", "vif_type", "vnic_type"),
        *text("fixed", "floating"),  # its addresses, sorted, each once, with commas between
        *bools("active", "preserve_on_delete"),
    ),
)
