# SPDX-License-Identifier: Apache-2.0
"""Glance's database (services 1.6)."""

from __future__ import annotations

from stackmend.tables import DELETED, Column, Table, ints, kept, text, times

#: of a location what kind of store it is in; the rest of it may hold an account of the store, or be encrypted
_SCHEME = """CASE WHEN t.value LIKE 'file:%' THEN 'file' WHEN t.value LIKE 'rbd:%' THEN 'rbd'
 WHEN t.value LIKE 'swift%' THEN 'swift' WHEN t.value LIKE 's3%' THEN 's3' WHEN t.value LIKE 'cinder:%' THEN 'cinder'
 WHEN t.value LIKE 'http%' THEN 'http' ELSE 'other' END"""
_IN_POOL = "t.value LIKE 'rbd://%/%/%/%'"
_FROM_POOL = "SUBSTR(t.value, INSTR(SUBSTR(t.value, 7), '/') + 7)"
_FROM_IMAGE = f"SUBSTR({_FROM_POOL}, INSTR({_FROM_POOL}, '/') + 1)"
_CONTENT = f"SUBSTR(t.value, 1, LENGTH(t.value) - LENGTH({_FROM_IMAGE}) + INSTR({_FROM_IMAGE}, '/') - 1)"

#: tables whose rows Glance marks deleted together with the image
IMAGE_CHILDREN = ("image_locations", "image_properties", "image_members", "image_tags")
#: properties with which Glance marks an import in progress (glance/api/v2/images.py)
IMPORT_MARKS = ("os_glance_import_task", "os_glance_importing_to_stores", "os_glance_stage_host")
#: name of an image without content, registered so that nobody else gets its id
RESERVED = "reserved: content was deleted"
#: properties of images that servers were made into; the values of other properties are not read
_PROPERTIES = (*IMPORT_MARKS, "instance_uuid", "block_device_mapping")
_VALUED = (*IMPORT_MARKS, "instance_uuid")


def _leftover(name: str) -> Table:
    return Table(
        service="glance",
        name=name,
        label="glance_leftover_children",
        constant=("child", name),
        columns=(Column("row_id", expr="t.id"), *text("image_id")),
        join="JOIN images p ON p.id = t.image_id",
        where="p.deleted <> 0 AND t.deleted = 0",
    )


TABLES = (
    Table(
        service="glance",
        name="images",
        columns=(
            *text("id", "name", "status", "owner", "visibility", "checksum", "os_hash_algo", "os_hash_value"),
            *ints("size"),
            *times("created_at", "updated_at", "deleted_at"),
            DELETED,
        ),
    ),
    Table(
        service="glance",
        name="image_locations",
        columns=(
            *ints("id"),
            *text("image_id", "status"),
            Column("scheme", expr=_SCHEME),
            # rbd://CLUSTER/POOL/IMAGE/SNAPSHOT, which has no account in it
            Column("rbd", expr=f"CASE WHEN {_IN_POOL} THEN t.value END"),
            # likewise, without the snapshot
            Column("content", expr=f"CASE WHEN {_IN_POOL} THEN {_CONTENT} END"),
            DELETED,
        ),
    ),
    Table(
        service="glance",
        name="image_properties",
        columns=(
            *ints("id"),
            *text("image_id", "name"),
            Column("value", expr=f"CASE WHEN t.name IN {_VALUED} THEN t.value END"),
            *times("created_at", "updated_at"),
        ),
        where=f"t.deleted = 0 AND t.name IN {_PROPERTIES}",
    ),
    Table(
        service="glance",
        name="tasks",
        columns=(*text("id", "status"), *times("created_at", "updated_at")),
        where="t.deleted = 0",
    ),
    *map(_leftover, IMAGE_CHILDREN),
    *(kept("glance", name, "glance_kept_deleted") for name in (*IMAGE_CHILDREN, "tasks")),
)

SECRETS = {("glance", "image_locations"): ("value", "meta_data")}
