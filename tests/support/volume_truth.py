# SPDX-License-Identifier: Apache-2.0
"""The truth table of volumes (catalogue H10 and similar), for every row of a cloud, independent of the checks.

A repair may repair what its own check finds and leave something else behind that no check finds. So what is true of a
healthy volume is defined here once more, from the services' source and not from ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from stackmend_lab.cloud import Cloud

Row = dict[str, Any]

#: attachments that count (cinder/db/api.py, _get_statuses_from_attachments)
COUNTED = frozenset({"attached", "attaching", "detaching", "reserved"})
#: rows marked deleted together with a volume
CHILDREN = ("volume_attachment", "volume_metadata", "volume_admin_metadata", "volume_glance_metadata", "snapshots")


def contradictions(cloud: Cloud) -> set[str]:
    """Every contradiction about its volumes, a sentence each."""
    volumes = {row["id"]: row for row in _rows(cloud, "cinder", "volumes")}
    attachments = _rows(cloud, "cinder", "volume_attachment")
    cells = [name for name in cloud.databases if name.startswith("cell:")]
    servers = {row["uuid"]: row for cell in cells for row in _rows(cloud, cell, "instances") if row["deleted"] == 0}
    mappings = [row for cell in cells for row in _rows(cloud, cell, "block_device_mapping")]
    building = {row["instance_uuid"] for row in _rows(cloud, "nova_api", "build_requests")}
    found = set(_statuses(volumes, attachments, mappings))
    found |= set(_pairs(volumes, attachments, mappings, servers, building))
    found |= set(_marks(cloud, volumes, mappings))
    return found


def _rows(cloud: Cloud, database: str, table: str) -> list[Row]:
    return cloud.rows(database, f"SELECT * FROM {table}")


def _at_rest(volume: Row) -> bool:
    moved = volume["migration_status"] not in (None, "success", "error")
    return not volume["deleted"] and not moved and volume["status"] in ("available", "in-use", "reserved", "detaching")


def _statuses(volumes: dict[str, Row], attachments: list[Row], mappings: list[Row]) -> Iterator[str]:
    held = defaultdict(list)
    for row in attachments:
        if not row["deleted"]:
            held[row["volume_id"]].append(row)
    mapped = {row["volume_id"] for row in mappings if row["deleted"] == 0}
    for name, volume in volumes.items():
        if not _at_rest(volume):
            continue
        counted = [row for row in held[name] if row["attach_status"] in COUNTED]
        said = f"volume {name} is {volume['status']}/{volume['attach_status']}"
        if volume["status"] == "available" and counted:
            yield f"{said} with {len(counted)} attachments"
        if volume["status"] == "available" and name in mapped and not held[name]:
            yield f"{said} and mapped"
        if volume["status"] != "available" and not held[name]:
            yield f"{said} without attachment"
        if volume["status"] == "available" and volume["attach_status"] != "detached":
            yield f"{said}"
        if volume["status"] == "in-use" and volume["attach_status"] == "detached":
            yield f"{said}"
        if not volume["multiattach"] and len({row["instance_uuid"] for row in counted}) > 1:
            yield f"volume {name} has more than one server"


def _pairs(
    volumes: dict[str, Row], attachments: list[Row], mappings: list[Row], servers: dict[str, Row], building: set[str]
) -> Iterator[str]:
    alive = [row for row in mappings if row["deleted"] == 0 and row["destination_type"] == "volume"]
    both = {(row["volume_id"], row["instance_uuid"]) for row in alive}
    ids = {row["id"]: row for row in attachments if not row["deleted"]}
    for row in ids.values():
        server, volume = row["instance_uuid"], row["volume_id"]
        if server is None or row["attach_status"] == "error_attaching" or server in building:
            continue
        if server not in servers:
            yield f"volume {volume} is attached to server {server}, which is gone"
        elif (volume, server) not in both:
            yield f"volume {volume} is attached to server {server}, which has no mapping of it"
    held = {(row["volume_id"], row["instance_uuid"]) for row in ids.values()}
    for row in alive:
        server, volume = servers.get(row["instance_uuid"]), row["volume_id"]
        if server is None or volume is None or (server["vm_state"] == "error" and server["launched_at"] is None):
            continue
        if volumes.get(volume, {"deleted": 1})["deleted"]:
            yield f"server {server['uuid']} maps volume {volume}, which is gone"
        known = ids.get(row["attachment_id"])
        if known is None and (row["attachment_id"] or (volume, server["uuid"]) not in held):
            yield f"server {server['uuid']} maps volume {volume} by attachment {row['attachment_id']}, which is gone"


def _marks(cloud: Cloud, volumes: dict[str, Row], mappings: list[Row]) -> Iterator[str]:
    gone = {name for name, row in volumes.items() if row["deleted"]}
    yield from (f"volume {name} has no time of deletion" for name in gone if volumes[name]["deleted_at"] is None)
    for table in CHILDREN:
        for row in _rows(cloud, "cinder", table):
            if row["volume_id"] in gone and not row["deleted"]:
                yield f"{table} {row['id']} of the deleted volume {row['volume_id']} is live"
            if row["deleted"] and row["deleted_at"] is None:
                yield f"{table} {row['id']} has no time of deletion"
    for parent, child, column in (
        ("snapshots", "snapshot_metadata", "snapshot_id"), ("volume_attachment", "attachment_specs", "attachment_id"),
    ):  # fmt: skip
        dead = {row["id"] for row in _rows(cloud, "cinder", parent) if row["deleted"]}
        for row in _rows(cloud, "cinder", child):
            if row[column] in dead and not row["deleted"]:
                yield f"{child} {row['id']} of a deleted row of {parent} is live"
    for row in mappings:
        if row["deleted"] not in (0, row["id"]):
            yield f"mapping {row['id']} is marked {row['deleted']}"
