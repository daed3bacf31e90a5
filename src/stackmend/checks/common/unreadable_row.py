# SPDX-License-Identifier: Apache-2.0
"""A row holds a value that cannot be decoded.

## What is wrong
A document is not JSON or does not have the structure Nova writes, a text is not UTF-8, or a date does not exist.

## Why it matters
The service that owns the row raises when it loads it: one such row can make the API answer 500 for a whole list.
stackmend sees NULL instead of the value, so other checks know less about this object.

## How it comes about
A write cut short, SQL by hand, or a dump restored with another character set.

## How to see it by hand
Select the row by the key in the finding, and look at the column.

## Repair and its risk
None by itself: if the value can be rebuilt, another check reports that (an empty network cache, for example).
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="unreadable-row",
    catalogue="-",
    severity=Severity.WARNING,
    message="{database}.{table_name} {row_key}: {column_name} cannot be decoded ({problem})",
    resource=("row", "resource_id"),
    key=("database", "table_name", "row_key", "column_name"),
    reads={"unreadable_rows": {"row_key": "row_key"}},
    explained_by={
        "info-cache-empty": {"resource_id": "server"},
        "info-cache-row-missing-or-deleted": {"resource_id": "server"},
    },
    sql="""
        SELECT DISTINCT "database", table_name, row_key, column_name, problem, resource_type, resource_id
          FROM unreadable_rows""",
)
