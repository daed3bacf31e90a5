# SPDX-License-Identifier: Apache-2.0
"""Nova's API database (services 1.2). The URLs in ``cell_mappings`` hold passwords and are never collected."""

from __future__ import annotations

from stackmend.tables import Column, ColumnType, Table, bools, ints, text, times

_ZEROS = "'00000000-0000-0000-0000-000000000000'"
#: the URL of an older cell ``o`` leads where that of cell ``t`` does, with whatever account; cell0 needs no queue
_SAME_QUEUE = (
    "SUBSTR(o.transport_url, INSTR(o.transport_url, '@') + 1)"
    " = SUBSTR(t.transport_url, INSTR(t.transport_url, '@') + 1)"
)


def _database(cell: str) -> str:
    """SQL for where the database of a cell is, as its URL says it, whatever the account and the options.

    But for a socket: many servers on one machine differ in nothing else.
    """
    url = f"{cell}.database_connection"
    options = f"INSTR({url}, '?') > INSTR({url}, '@') AND {url} NOT LIKE '%unix_socket=%'"
    end = f"CASE WHEN {options} THEN INSTR({url}, '?') - INSTR({url}, '@') - 1"
    place = f"SUBSTR({url}, INSTR({url}, '@') + 1, {end} ELSE LENGTH({url}) END)"
    # HEX: names of databases that differ in case are different ones
    return f"HEX(REPLACE({place}, ':3306/', '/'))"


#: cells ``o`` and ``t`` have one database; the URLs in a bundle are reduced to names, which prove nothing
_SAME_DATABASE = f"{_database('o')} = {_database('t')} AND t.database_connection LIKE '%://%'"
#: the cell ``o`` is the older one
TWINS = f"{_SAME_DATABASE} AND o.id < t.id"

TABLES = (
    Table(
        service="nova_api",
        name="cell_mappings",
        columns=(
            *ints("id"),
            *text("uuid", "name"),
            *bools("disabled"),
            # the oldest mapping that leads to the same database: what is there is read once, under its name
            Column("first_id", ColumnType.INT, expr="COALESCE(MIN(o.id), t.id)"),
        ),
        join=f"LEFT JOIN cell_mappings o ON {TWINS}",
        group="t.id, t.uuid, t.name, t.disabled",
    ),
    Table(
        service="nova_api",
        name="cell_mappings",
        label="nova_api_servers_of_twins",
        columns=(
            Column("id", ColumnType.INT, expr="t.id"),
            Column("servers", ColumnType.INT, expr="COUNT(DISTINCT s.id)"),
        ),
        join=f"JOIN cell_mappings o ON {_SAME_DATABASE} AND o.id <> t.id"
        " LEFT JOIN instance_mappings s ON s.cell_id = t.id",
        group="t.id",
    ),
    # compared by the database: the URLs hold passwords
    Table(
        service="nova_api",
        name="cell_mappings",
        label="nova_api_shared_queues",
        columns=(Column("id", ColumnType.INT, expr="t.id"), Column("other_id", ColumnType.INT, expr="o.id")),
        join=f"JOIN cell_mappings o ON {_SAME_QUEUE}",
        where=f"o.id < t.id AND o.uuid <> {_ZEROS} AND t.uuid <> {_ZEROS} AND t.transport_url LIKE '%@%'",
    ),
    Table(
        service="nova_api",
        name="host_mappings",
        columns=(*ints("id", "cell_id"), *text("host")),
    ),
    Table(
        service="nova_api",
        name="instance_mappings",
        columns=(
            *ints("id"),
            *text("instance_uuid"),
            *ints("cell_id"),
            *text("project_id"),
            *bools("queued_for_delete"),
            *times("created_at"),
        ),
        where="t.project_id <> 'INSTANCE_MIGRATION_MARKER'",
    ),
    Table(
        service="nova_api",
        name="build_requests",
        columns=(*ints("id"), *text("instance_uuid", "project_id"), *times("created_at")),
        where="t.instance_uuid IS NOT NULL",
    ),
    Table(
        service="nova_api",
        name="key_pairs",
        columns=(*ints("id"), *text("user_id", "name"), *times("created_at")),
    ),
    Table(service="nova_api", name="request_specs", columns=(*ints("id"), *text("instance_uuid"))),
    Table(
        service="nova_api",
        name="instance_group_member",
        columns=(*ints("id", "group_id"), *text("instance_uuid"), *times("created_at")),
    ),
    Table(service="nova_api", name="aggregate_hosts", columns=(*ints("id", "aggregate_id"), *text("host"))),
    # availability zones known to Nova: device_owner of a port names one (G-OWNER)
    Table(
        service="nova_api",
        name="aggregate_metadata",
        columns=(*ints("id"), *text("value")),
        where="t.key = 'availability_zone'",
    ),
)

SECRETS = {
    ("nova_api", "cell_mappings"): ("transport_url", "database_connection"),
    ("nova_api", "build_requests"): ("instance", "block_device_mappings"),
    ("nova_api", "key_pairs"): ("public_key",),
}
