# SPDX-License-Identifier: Apache-2.0
"""What an account may see of a schema: ``information_schema`` hides everything without a privilege.

A table that is not listed may be missing or hidden. An account with SELECT or REFERENCES on the whole schema sees all
of it: for it, an unlisted table does not exist. For any other account nothing can be concluded. The grants decide, not
the release in ``alembic_version``: that table may be hidden as well, and a schema may be half upgraded.

REFERENCES alone shows the names of tables and columns, and no value (docs/adr/0071): an account may be shown all that
there is, and be granted SELECT on some columns only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_GRANT = re.compile(
    r"(?P<verb>GRANT|REVOKE) (?P<rights>.+?) ON (?:TABLE )?(?P<schema>\S+?)\.(?P<table>\S+) (?:TO|FROM) "
)
#: privileges that show what there is
_SHOWING = frozenset({"SELECT", "REFERENCES"})
#: error numbers: a privilege is missing on a database, a table, a column
DENIED = frozenset({1044, 1142, 1143})
_COLUMNS = re.compile(r"\s*\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Visibility:
    """What the account sees."""

    everything: bool = True  #: every table and column there is, though it may not read all of them
    tables: frozenset[str] = frozenset()  #: otherwise, the tables of which it sees every column

    def whole(self, table: str) -> bool:
        """Whether every column of the table is seen."""
        return self.everything or table in self.tables


def visibility(grants: Iterable[str], schema: str) -> Visibility:
    """What these lines of SHOW GRANTS allow to see of a schema; lines that are not understood grant nothing."""
    everything, tables = False, set()
    for line in grants:
        found = _GRANT.match(line)
        if not found or not _shows(found["rights"]) or not _named(found["schema"], schema):
            continue
        if found["verb"] == "REVOKE":  # partial revokes of MySQL
            return Visibility(False)
        if found["table"] == "*":
            everything = True
        elif found["schema"] != "*":
            tables.add(found["table"].strip("`"))
    return Visibility(everything, frozenset(tables))


def _shows(rights: str) -> bool:
    """Whether a privilege that shows tables is among them, and not only for some columns."""
    if rights.startswith("ALL PRIVILEGES"):
        return True
    named = [(right.strip(), "(" in right) for right in re.split(r",(?![^(]*\))", rights)]
    return any(_COLUMNS.sub("", right) in _SHOWING and not some for right, some in named)


def _named(pattern: str, schema: str) -> bool:
    """Whether a grant applies to the schema: its name is a LIKE pattern."""
    if pattern == "*":
        return True
    parts = re.findall(r"\\.|.", pattern.strip("`").replace("``", "`"), re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.fullmatch("".join(wild.get(p, re.escape(p[-1])) for p in parts), schema, re.DOTALL) is not None


def grantee(name: str, host: str) -> str:
    """An account as GRANT names it."""
    return "@".join("'" + part.replace("\\", "\\\\").replace("'", "\\'") + "'" for part in (name, host))


def explained(verb: str, table: str, columns: Sequence[str]) -> str:
    """A statement that fails if the privilege is missing, and changes nothing; all names are quoted."""
    some = ", ".join(columns)
    statement = {
        "SELECT": f"SELECT {some} FROM {table} WHERE 1 = 0",
        "INSERT": f"INSERT INTO {table} ({some}) SELECT {some} FROM {table} WHERE 1 = 0",
        "UPDATE": f"UPDATE {table} SET {', '.join(f'{one} = {one}' for one in columns)} WHERE 1 = 0",
        "DELETE": f"DELETE FROM {table} WHERE 1 = 0",
    }[verb]
    return f"EXPLAIN {statement}"
