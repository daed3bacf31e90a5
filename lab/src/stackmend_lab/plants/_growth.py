# SPDX-License-Identifier: Apache-2.0
"""Helpers for plants: a great many rows that ended long ago."""

from __future__ import annotations

from typing import Any

from stackmend_lab.cloud import CloudRows

DAY = 86400
#: longer than any check wants ended rows to be kept
LONG = 500 * DAY
#: more rows than any check tolerates
MANY = 1024


def many(cloud: CloudRows, database: str, table: str, number: int = MANY, **values: Any) -> int:
    """Insert so many equal rows, each with an ``id`` of its own; returns the first of these."""
    values = {name: value for name, value in values.items() if cloud.has(database, table, name)}
    first = int(cloud.insert(database, table, **values))
    names, there = ", ".join(map(cloud.quoted, values)), 1
    while there < number:
        more = min(there, number - there)
        cloud.execute(
            database,
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE id >= :first ORDER BY id LIMIT {more}",
            {"first": first},
        )
        there += more
    return first
