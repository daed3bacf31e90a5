# SPDX-License-Identifier: Apache-2.0
"""A snapshot grown many times its size: Parquet made of Parquet, without a database to build first.

What belongs to servers (ports, caches, volumes, allocations, ...) is there once for each copy, with ids of its own.
What servers share (hosts, providers, cells, projects, networks, images) stays as it is: a host gets thousands of
servers, more than any real one has, so that a join which begins with a key of few values shows what it costs.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

#: tables of what servers share
SHARED = frozenset({
    "cinder_quota_usages", "cinder_services", "glance_images", "keystone_directory_ids", "keystone_project",
    "keystone_unmapped_users", "keystone_user", "neutron_agents",
    "nova_api_aggregate_hosts", "nova_api_aggregate_metadata", "nova_api_cell_mappings", "nova_api_host_mappings",
    "nova_api_servers_of_twins", "nova_api_shared_queues", "nova_compute_nodes", "nova_services",
    "placement_compute_traits", "placement_consumer_types", "placement_inventories", "placement_projects",
    "placement_resource_classes", "placement_resource_providers", "placement_users", "storage_folders",
    "storage_owners", "storage_visits", "unreadable_rows",
})  # fmt: skip
#: ids of such things, in tables that are copied
_SHARED_IDS = frozenset({
    "cell_id", "compute_id", "compute_node_id", "consumer_type_id", "dest_compute_id", "dhcp_agent_id", "domain_id",
    "floating_network_id", "image_id", "l3_agent_id", "network_id", "parent_provider_id", "project_id",
    "resource_class_id", "resource_provider_id", "root_provider_id", "service_id", "user_id", "volume_type_id",
})  # fmt: skip
#: the address of a VIF row ends with its port's id; a row of a child table is named by an id
_ENDS_WITH_ID = frozenset({
    ("nova_virtual_interfaces", "address"), ("cinder_stored_volumes", "stored"), ("storage_objects", "name"),
    ("storage_objects", "origin"),
}) | {
    (label, "row_id") for label in ("nova_leftover_children", "nova_archive_blockers", "nova_orphans")
}  # fmt: skip
#: sums of what is copied, in tables that are not
_SUMS = frozenset({
    ("cinder_quota_usages", "in_use"), ("placement_inventories", "total"), ("placement_inventories", "reserved"),
})  # fmt: skip
#: the beginning of an id
_STEM = "stem"
_MARKER = "00000000-0000-0000-0000-000000000000"
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
#: more rows than one copy of a table has
_STRIDE = 10_000_000


def grow(source: Path, target: Path, times: int) -> None:
    """Write ``times`` copies of the snapshot in ``source`` to ``target``; its manifest is not copied."""
    with duckdb.connect() as db:
        for folder in sorted(path for path in source.iterdir() if path.is_dir()):
            (target / folder.name).mkdir(parents=True)
            for file in sorted(folder.glob("*.parquet")):
                rows = 1 if folder.name in SHARED else times
                _copy(db, folder.name, file, target / folder.name / file.name, rows, times)


def differs(label: str, name: str) -> bool:
    """Whether the column differs between the copies."""
    is_id = name in ("id", "uuid") or (name.endswith(("_id", "_uuid")) and name not in _SHARED_IDS)
    return label not in SHARED and (is_id or (label, name) in _ENDS_WITH_ID)


def _copy(db: duckdb.DuckDBPyConnection, label: str, source: Path, target: Path, times: int, copies: int) -> None:
    described = db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(source)]).fetchall()
    values = ", ".join(
        f'"{name}" * {copies} AS "{name}"' if (label, name) in _SUMS else _value(label, name, kind)
        for name, kind, *_ in described
    )
    # what the collector noted holds for copies too; Arrow's own schema is made anew
    sql = "SELECT decode(key), decode(value) FROM parquet_kv_metadata(?) WHERE key <> 'ARROW:schema'"
    notes = ", ".join(f"'{key}': '{text}'" for key, text in db.execute(sql, [str(source)]).fetchall())
    options = f" (KV_METADATA {{{notes}}})" if notes else ""
    db.execute(f"COPY (SELECT {values} FROM read_parquet('{source}') t, range({times}) r(k)) TO '{target}'{options}")


def _value(label: str, name: str, kind: str) -> str:
    """A column in copy ``k``; copy 0 is the original."""
    if name == _STEM:
        of_port = f"regexp_matches({name}, '^[0-9a-f]{{8}}-[0-9a-f]{{2}}$')"
        copied = f"printf('%04x', xor(('0x' || {name}[1:4])::INT, k::INT)) || {name}[5:]"
        return f"CASE WHEN {of_port} THEN {copied} ELSE {name} END AS {name}"
    if not differs(label, name):
        return f'"{name}"'
    if kind == "BIGINT":
        return f'"{name}" + k * {_STRIDE} AS "{name}"'
    # the first digits of the UUID that it is, or ends with, are others in each copy
    at, first = f'length("{name}") - 35', f"('0x' || right(\"{name}\", 36)[1:4])::INT"
    is_uuid = f"regexp_matches(\"{name}\", '{_UUID}') AND NOT contains(\"{name}\", '{_MARKER}')"
    copied = f'left("{name}", {at} - 1) || printf(\'%04x\', xor({first}, k::INT)) || right("{name}", 32)'
    return f'CASE WHEN {is_uuid} THEN {copied} ELSE "{name}" END AS "{name}"'
