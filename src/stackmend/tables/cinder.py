# SPDX-License-Identifier: Apache-2.0
"""Cinder's database (services 1.4)."""

from __future__ import annotations

from stackmend.tables import DELETED, Column, ColumnType, Table, bools, ints, kept, text, times

#: tables whose rows Cinder marks deleted together with the volume (services 1.4, VOLUME_DEPENDENT_MODELS)
VOLUME_CHILDREN = (
    "volume_attachment",
    "volume_metadata",
    "volume_admin_metadata",
    "volume_glance_metadata",
    "transfers",
    "snapshots",
)


#: tables one level below, which Cinder never marks deleted with the volume: table -> (parent, column)
VOLUME_GRANDCHILDREN = {
    "attachment_specs": ("volume_attachment", "attachment_id"),
    "snapshot_metadata": ("snapshots", "snapshot_id"),
}


def _leftover(name: str, join: str = "JOIN volumes p ON p.id = t.volume_id", volume: str = "t.volume_id") -> Table:
    return Table(
        service="cinder",
        name=name,
        label="cinder_leftover_children",
        constant=("child", name),
        columns=(Column("row_id", expr="t.id"), Column("volume_id", expr=volume)),
        join=join,
        where="p.deleted <> 0 AND t.deleted = 0",
        optional=True,
    )


def _halfway(name: str, kind: str, where: str, parent: str = "t", join: str = "") -> Table:
    """Rows marked deleted without everything that belongs to them, whatever the state of their volume."""
    return Table(
        service="cinder",
        name=name,
        label="cinder_half_deleted",
        constant=("kind", kind),
        columns=(
            Column("row_id", expr="t.id"),
            Column("parent_id", expr=f"{parent}.id"),
            Column("volume_id", expr=f"{parent}.volume_id"),
        ),
        join=join,
        where=where,
        optional=True,
    )


#: how the migration_status of a destination volume begins; the id of its source follows
TARGET = "target:"

#: before Xena no column says whether a volume or snapshot counts against quotas: destinations of migrations do not, and
#: nobody can tell of what a backup made for itself (cinder/volume/driver.py), nor of what is named like that
BACKUPS_OWN = ("backup-vol-", "backup-snap-")
_OWN_VOLUME, _OWN_SNAPSHOT = (f"COALESCE(t.display_name, '') LIKE '{name}%'" for name in BACKUPS_OWN)
_COUNTS = f"CASE WHEN COALESCE(t.migration_status, '') LIKE '{TARGET}%' THEN 0 WHEN {_OWN_VOLUME} THEN NULL ELSE 1 END"

_SHARE = "t.provider_location LIKE '%:/%' AND t.provider_location NOT LIKE '%://%'"

#: tables that grow with what is done in a cloud
PURGED = ("volumes", "snapshots", "backups", "volume_attachment", "volume_glance_metadata", "reservations")

_TIMELESS = "t.deleted <> 0 AND t.deleted_at IS NULL"
_ORPHANED = "p.deleted <> 0 AND t.deleted = 0"

TABLES = (
    Table(
        service="cinder",
        name="volumes",
        columns=(
            *text("id", "project_id", "host", "cluster_name", "status", "migration_status", "previous_status"),
            # in every release, but not shown by Cinder's API
            Column("attach_status", optional=True),
            Column("volume_type_id", optional=True),
            Column("use_quota", ColumnType.BOOL, optional=True),
            *bools("multiattach"),
            *ints("size"),
            *times("created_at", "updated_at", "deleted_at"),
            DELETED,
            Column("encrypted", ColumnType.BOOL, expr="t.encryption_key_id IS NOT NULL"),
        ),
        absent={"use_quota": _COUNTS},
    ),
    # what back ends of storage must have, or had: ``stored`` is the id in the name of the object there, which a
    # migration may have changed. A share, such as 10.0.0.1:/volumes, is the only location that is read: others may hold
    # secrets
    Table(
        service="cinder",
        name="volumes",
        label="cinder_stored_volumes",
        columns=(
            *text("id", "host", "cluster_name", "status", "migration_status", "previous_status", "replication_status"),
            Column("stored", expr="COALESCE(t._name_id, t.id)"),
            Column("share", expr=f"CASE WHEN {_SHARE} THEN t.provider_location END"),
            *ints("size"),
            *times("created_at", "updated_at", "launched_at", "deleted_at"),
            DELETED,
        ),
    ),
    # volumes that do not name the service that they belong to; one that is being created, or failed to be, has none yet
    Table(
        service="cinder",
        name="volumes",
        label="cinder_serviceless_volumes",
        columns=(*text("id", "host"), *times("created_at", "updated_at")),
        where="t.deleted = 0 AND t.service_uuid IS NULL AND t.host IS NOT NULL"
        " AND t.status NOT IN ('creating', 'downloading', 'error', 'error_managing', 'managing')",
    ),
    Table(
        service="cinder",
        name="volumes",
        label="cinder_migration_sources",
        columns=(
            *text("id", "project_id", "status", "migration_status"),
            *ints("size"),
            *times("created_at", "updated_at"),
        ),
        where="t.deleted = 0 AND t.migration_status IN ('starting', 'migrating', 'completing')",
    ),
    Table(
        service="cinder",
        name="volumes",
        label="cinder_migration_destinations",
        columns=(
            *text("id", "project_id", "status", "migration_status"),
            Column("source_id", expr=f"SUBSTR(t.migration_status, {len(TARGET) + 1})"),
            *ints("size"),
            *times("created_at", "updated_at"),
        ),
        where=f"t.deleted = 0 AND t.migration_status LIKE '{TARGET}%'",
    ),
    Table(
        service="cinder",
        name="volume_attachment",
        columns=(
            *text(
                "id",
                "volume_id",
                "instance_uuid",
                "attached_host",
                "mountpoint",
                "attach_status",
                "attach_mode",
            ),
            *times("created_at", "updated_at"),
            DELETED,
            Column(
                "has_connector",
                ColumnType.BOOL,
                expr="t.connector IS NOT NULL AND t.connector <> ''",
                optional=True,
            ),
        ),
    ),
    # where the connections that Cinder made for attachments lead
    Table(
        service="cinder",
        name="volume_attachment",
        label="cinder_connections",
        columns=(
            *text("id", "volume_id", "instance_uuid"),
            Column("leads_to", ColumnType.CONNECTION, expr="t.connection_info"),
        ),
        where="t.deleted = 0 AND t.attach_status = 'attached' AND t.connection_info IS NOT NULL",
    ),
    Table(
        service="cinder",
        name="snapshots",
        columns=(
            *text("id", "volume_id", "status", "group_snapshot_id"),
            *times("created_at", "updated_at"),
            DELETED,
        ),
        where="t.deleted = 0",
    ),
    Table(
        service="cinder",
        name="backups",
        columns=(
            *text("id", "volume_id", "project_id", "host", "status", "parent_id", "snapshot_id", "restore_volume_id"),
            *ints("size", "num_dependent_backups"),
            *times("created_at", "updated_at"),
            DELETED,
            Column("encrypted", ColumnType.BOOL, expr="t.encryption_key_id IS NOT NULL"),
        ),
        where="t.deleted = 0",
    ),
    Table(
        service="cinder",
        name="backups",
        label="cinder_dependent_backups",
        columns=(*text("id", "parent_id", "status"), *times("created_at", "updated_at")),
        where="t.deleted = 0 AND t.parent_id IS NOT NULL",
    ),
    Table(
        service="cinder",
        name="backups",
        label="cinder_restoring_backups",
        columns=text("id", "restore_volume_id"),
        where="t.deleted = 0 AND t.status = 'restoring'",
    ),
    Table(
        service="cinder",
        name="transfers",
        columns=(*text("id", "volume_id"), DELETED),
        where="t.deleted = 0",
    ),
    Table(
        service="cinder",
        name="services",
        columns=(*ints("id"), *text("host", "binary", "cluster_name"), *times("created_at", "updated_at"), DELETED),
    ),
    Table(
        service="cinder",
        name="workers",
        columns=(
            *ints("id", "service_id"),
            *text("resource_type", "resource_id", "status"),
            *times("created_at", "updated_at"),
        ),
        where="t.deleted = 0",
    ),
    Table(
        service="cinder",
        name="image_volume_cache_entries",
        columns=(*ints("id"), *text("image_id", "volume_id", "host"), *times("last_used")),
    ),
    Table(
        service="cinder",
        name="reservations",
        columns=(*ints("id", "usage_id", "delta"), *text("project_id", "resource"), *times("expire"), DELETED),
        where="t.deleted = 0",
    ),
    Table(
        service="cinder",
        name="reservations",
        label="cinder_quota_reservations",
        columns=(*ints("id", "usage_id"), *text("project_id")),
        where="t.deleted = 0",
    ),
    Table(
        service="cinder",
        name="quota_usages",
        columns=(
            *ints("id", "in_use", "reserved"),
            *text("project_id", "resource"),
            *times("created_at", "updated_at"),
        ),
        where="t.deleted = 0",
    ),
    Table(
        service="cinder",
        name="snapshots",
        label="cinder_counted_snapshots",
        columns=(*text("id", "project_id", "volume_type_id"), *ints("volume_size")),
        where="t.deleted = 0 AND t.use_quota <> 0",
        absent={"use_quota": f"CASE WHEN {_OWN_SNAPSHOT} THEN NULL ELSE 1 END"},
    ),
    Table(
        service="cinder",
        name="volume_types",
        columns=text("id", "name"),
    ),
    # the images that volumes were made from
    Table(
        service="cinder",
        name="volume_glance_metadata",
        label="cinder_volume_images",
        columns=(Column("image", expr="t.value"),),
        where="t.key = 'image_id' AND t.volume_id IS NOT NULL AND t.deleted = 0",
    ),
    # types whose volumes several servers may have
    Table(
        service="cinder",
        name="volume_type_extra_specs",
        label="cinder_shareable_types",
        columns=text("volume_type_id"),
        where="t.key = 'multiattach' AND t.value = '<is> True' AND t.deleted = 0",
    ),
    _halfway("snapshots", "snapshot", _TIMELESS),
    _halfway("snapshot_metadata", "snapshot", _ORPHANED, "p", "JOIN snapshots p ON p.id = t.snapshot_id"),
    _halfway("volume_glance_metadata", "snapshot", _ORPHANED, "p", "JOIN snapshots p ON p.id = t.snapshot_id"),
    _halfway("backups", "backup", _TIMELESS),
    _halfway("backup_metadata", "backup", _ORPHANED, "p", "JOIN backups p ON p.id = t.backup_id"),
    _halfway("volume_attachment", "attachment", _TIMELESS),
    _halfway("attachment_specs", "attachment", _ORPHANED, "p", "JOIN volume_attachment p ON p.id = t.attachment_id"),
    *(kept("cinder", name, "cinder_kept_deleted") for name in PURGED),
    *(_leftover(name) for name in VOLUME_CHILDREN),
    *(
        _leftover(name, f"JOIN {parent} m ON m.id = t.{column} JOIN volumes p ON p.id = m.volume_id", "m.volume_id")
        for name, (parent, column) in VOLUME_GRANDCHILDREN.items()
    ),
)

SECRETS = {
    ("cinder", "volumes"): ("provider_auth", "encryption_key_id"),
    ("cinder", "volume_attachment"): ("connection_info", "connector"),
    ("cinder", "attachment_specs"): ("value",),
    ("cinder", "snapshots"): ("provider_auth", "encryption_key_id"),
    ("cinder", "backups"): ("encryption_key_id",),
    ("cinder", "transfers"): ("crypt_hash", "salt"),
}
