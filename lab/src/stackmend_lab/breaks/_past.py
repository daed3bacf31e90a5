# SPDX-License-Identifier: Apache-2.0
"""Makes objects look older: every time in their rows is moved back.

A check waits until nobody can be working on an object any more, and an action without an end counts as work for two
hours. A rehearsal does not wait so long. The order and distances of times are kept; nothing else in a row changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stackmend_lab.control_plane import Plane

HOURS = 3

#: kind of object -> database ("cell:*" for every cell) -> table -> the column with its id
_ROWS = {
    "servers": {
        "cell:*": {
            "instances": "uuid",
            "instance_actions": "instance_uuid",
            "instance_info_caches": "instance_uuid",
            "instance_extra": "instance_uuid",
            "instance_metadata": "instance_uuid",
            "instance_system_metadata": "instance_uuid",
            "instance_faults": "instance_uuid",
            "virtual_interfaces": "instance_uuid",
            "block_device_mapping": "instance_uuid",
            "migrations": "instance_uuid",
        },
        "nova_api": {
            "instance_mappings": "instance_uuid",
            "request_specs": "instance_uuid",
            "build_requests": "instance_uuid",
        },
        "placement": {"consumers": "uuid", "allocations": "consumer_id"},
        "cinder": {"volume_attachment": "instance_uuid"},
    },
    "volumes": {
        "cinder": {
            "volumes": "id",
            "volume_attachment": "volume_id",
            "volume_metadata": "volume_id",
            "volume_admin_metadata": "volume_id",
        },
        "cell:*": {"block_device_mapping": "volume_id"},
    },
    "snapshots": {"cinder": {"snapshots": "id"}},
    "images": {
        "glance": {"images": "id", "image_locations": "image_id", "image_properties": "image_id"},
    },
    "consumers": {"placement": {"consumers": "uuid", "allocations": "consumer_id"}},
}
_EVENTS = (
    "UPDATE instance_actions_events e JOIN instance_actions a ON a.id = e.action_id SET {}"
    " WHERE a.instance_uuid IN ({})"
)
_PORTS = "UPDATE standardattributes a JOIN ports p ON p.standard_attr_id = a.id SET {} WHERE p.{} IN ({})"


def let_time_pass(plane: Plane, **things: Sequence[str]) -> None:
    """Move every time of these objects back by three hours: ``servers``, ``ports``, ``volumes``, ``snapshots``,
    ``consumers``, ``images``."""
    done: set[tuple[str, str, str]] = set()
    for kind, ids in things.items():
        if not ids:
            continue
        for database, table, column in _tables(plane, kind):
            _move(plane, database, table, column, ids, done)
        marks = ", ".join(["%s"] * len(ids))
        if kind == "servers":
            for cell in plane.layout.cells:
                shift = _shift(plane, f"cell:{cell}", "instance_actions_events", "e.")
                plane.sql(f"cell:{cell}", _EVENTS.format(shift, marks), tuple(ids))
        if kind in ("servers", "ports"):
            shift = _shift(plane, "neutron", "standardattributes", "a.")
            column = "device_id" if kind == "servers" else "id"
            plane.sql("neutron", _PORTS.format(shift, column, marks), tuple(ids))


def _tables(plane: Plane, kind: str) -> Iterator[tuple[str, str, str]]:
    for database, tables in _ROWS.get(kind, {}).items():
        names = [f"cell:{cell}" for cell in plane.layout.cells] if database == "cell:*" else [database]
        for name in names:
            yield from ((name, table, column) for table, column in tables.items())


def _move(
    plane: Plane, database: str, table: str, column: str, ids: Sequence[str], done: set[tuple[str, str, str]]
) -> None:
    """Move each row once: a block device mapping belongs to a server and to a volume."""
    key = "id"
    marks = ", ".join(["%s"] * len(ids))
    found = plane.sql(database, f"SELECT `{key}` AS k FROM `{table}` WHERE `{column}` IN ({marks})", tuple(ids))
    rows = [str(row["k"]) for row in found if (database, table, str(row["k"])) not in done]
    done.update((database, table, row) for row in rows)
    shift = _shift(plane, database, table, "")
    if rows and shift:
        marks = ", ".join(["%s"] * len(rows))
        plane.sql(database, f"UPDATE `{table}` SET {shift} WHERE `{key}` IN ({marks})", tuple(rows))


def _shift(plane: Plane, database: str, table: str, prefix: str) -> str:
    columns = plane.sql(
        database,
        "SELECT column_name AS name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = %s AND data_type IN ('datetime', 'timestamp')",
        (table,),
    )
    names = [f"{prefix}`{column['name']}`" for column in columns]
    return ", ".join(f"{name} = {name} - INTERVAL {HOURS} HOUR" for name in names)
