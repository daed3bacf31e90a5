# SPDX-License-Identifier: Apache-2.0
"""What is collected: one module per service, allow-listed columns, no secrets.

A module defines ``TABLES``, a tuple of :class:`Table`, and may define ``SECRETS``, columns whose values are never read.
:func:`tables` and :func:`secrets` find both by walking this package.

In a snapshot a table keeps the service's own column names and is called by its *label*, ``<service>_<table>``:
``nova_instances``, ``nova_api_instance_mappings``, ``neutron_ports``, ``cinder_volumes``, ``placement_allocations``.
Tables of a cell database have one more column, ``cell``, with the name of the cell. Differences from the raw table:

* ``deleted`` is a boolean (NULL where the database has NULL, rule R6);
* ``network_info`` becomes the table ``nova_vifs``, one row per VIF, and four columns of
  ``nova_instance_info_caches``: ``document`` ("list", "empty", "null", "invalid"), ``vifs`` (their number), ``length``
  (bytes) and ``crc32``;
* ``connection_info`` becomes a digest of where it leads;
* columns with an ``expr`` are computed by the database that owns them;
* columns that a release lacks are NULL, or what ``absent`` of their table says they mean there.

What differs between releases is said here, once for each table, and nowhere in checks.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

#: services whose databases are read and never changed: no account needs more there
NEVER_CHANGED = frozenset({"keystone"})


class ColumnType(StrEnum):
    """The type of a collected column."""

    TEXT = "text"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TIME = "time"  #: timestamp, UTC, microseconds
    DELETED = "deleted"  #: ``deleted <> 0`` as a boolean
    NETWORK_INFO = "network_info"  #: exploded while it is streamed, never stored
    CONNECTION = (
        "connection"  #: ``connection_info`` as a digest, made while it is streamed (drivers/snapshot/connections.py)
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One collected column. ``expr`` is SQL that MariaDB, MySQL and SQLite all understand."""

    name: str
    kind: ColumnType = ColumnType.TEXT
    expr: str = ""
    optional: bool = False  #: missing in some supported release: NULL there


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One collected table.

    Several tables may share a label: the snapshot holds their union (``constant`` tells them apart).
    """

    service: str  #: "nova" (each cell), "nova_api", "neutron", "cinder", "placement", "glance", "keystone"
    name: str
    columns: tuple[Column, ...]
    label: str = ""
    join: str = ""  #: JOIN clause within the same database; the table itself is then aliased ``t``
    where: str = ""  #: condition on the rows to collect, in SQL common to all dialects; the table is aliased ``t``
    group: str = ""  #: GROUP BY, if the database counts in place of sending rows; a HAVING may follow
    optional: bool = False  #: missing in some supported release: no rows there
    bulk: bool = True  #: False: too large for an audit, read only to confirm findings
    constant: tuple[str, str] | None = None  #: (column, value) added to every row
    #: column of ``t`` -> SQL for its value, of columns that every release has, in releases that lack it
    absent: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", f"{self.service}_{self.name}")


def text(*names: str) -> tuple[Column, ...]:
    """Text columns."""
    return tuple(Column(n) for n in names)


def ints(*names: str) -> tuple[Column, ...]:
    """Integer columns."""
    return tuple(Column(n, ColumnType.INT) for n in names)


def bools(*names: str) -> tuple[Column, ...]:
    """Boolean columns."""
    return tuple(Column(n, ColumnType.BOOL) for n in names)


def times(*names: str) -> tuple[Column, ...]:
    """Timestamp columns."""
    return tuple(Column(n, ColumnType.TIME) for n in names)


DELETED = Column("deleted", ColumnType.DELETED)


def kept(
    service: str, name: str, label: str, ended: str = "t.deleted_at", where: str = "t.deleted <> 0", child: str = ""
) -> Table:
    """Rows that ended and are still there, counted by the database: one row for each day on which some ended."""
    return Table(
        service=service,
        name=name,
        label=label,
        constant=("child", child or name),
        columns=(
            Column("number", ColumnType.INT, expr="COUNT(*)"),
            Column("oldest", ColumnType.TIME, expr=f"MIN({ended})"),
            Column("newest", ColumnType.TIME, expr=f"MAX({ended})"),
        ),
        where=f"{where} AND {ended} >= '1990-01-01'",  # neither NULL nor MariaDB's date of zeros
        group=f"SUBSTR({ended}, 1, 10)",
        optional=True,
    )


@cache
def tables() -> dict[str, tuple[Table, ...]]:
    """Each label, with the tables whose union it is."""
    found: dict[str, list[Table]] = {}
    for module in _modules():
        for table in getattr(module, "TABLES", ()):
            found.setdefault(table.label, []).append(table)
    return {label: tuple(parts) for label, parts in sorted(found.items())}


@cache
def secrets() -> frozenset[tuple[str, str, str]]:
    """(service, table, column) of every column whose values are never read."""
    return frozenset(
        (service, table, column)
        for module in _modules()
        for (service, table), columns in getattr(module, "SECRETS", {}).items()
        for column in columns
    )


def secret_columns(database: str, table: str) -> frozenset[str]:
    """Secret columns of a table; ``shadow_`` tables of Nova have those of the table that they archive."""
    service = "nova" if database.startswith("cell:") else database
    name = table.removeprefix("shadow_")
    return frozenset(c for s, t, c in secrets() if s == service and t == name)


def _modules() -> list[object]:
    return [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
