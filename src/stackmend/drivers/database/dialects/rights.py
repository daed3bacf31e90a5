# SPDX-License-Identifier: Apache-2.0
"""What an account may see of a schema: ``information_schema`` hides everything without a privilege.

A table that is not listed may be missing or hidden. An account with SELECT on the whole schema sees all of it: for it,
an unlisted table does not exist. For any other account nothing can be concluded. The grants decide, not the release in
``alembic_version``: that table may be hidden as well, and a schema may be half upgraded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_GRANT = re.compile(
    r"(?P<verb>GRANT|REVOKE) (?P<rights>.+?) ON (?:TABLE )?(?P<schema>\S+?)\.(?P<table>\S+) (?:TO|FROM) "
)
_COLUMNS = re.compile(r"\s*\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Visibility:
    """What the account sees."""

    everything: bool = True  #: every table there is
    tables: frozenset[str] = frozenset()  #: otherwise, the tables of which it sees every column

    def whole(self, table: str) -> bool:
        """Whether every column of the table is seen."""
        return self.everything or table in self.tables


def visibility(grants: Iterable[str], schema: str) -> Visibility:
    """What these lines of SHOW GRANTS allow to see of a schema; lines that are not understood grant nothing."""
    everything, tables = False, set()
    for line in grants:
        found = _GRANT.match(line)
        if not found or not _reads(found["rights"]) or not _named(found["schema"], schema):
            continue
        if found["verb"] == "REVOKE":  # partial revokes of MySQL
            return Visibility(False)
        if found["table"] == "*":
            everything = True
        elif found["schema"] != "*":
            tables.add(found["table"].strip("`"))
    return Visibility(everything, frozenset(tables))


def _reads(rights: str) -> bool:
    """Whether SELECT is among the privileges, and not only for some columns."""
    if rights.startswith("ALL PRIVILEGES"):
        return True
    named = [(right.strip(), "(" in right) for right in re.split(r",(?![^(]*\))", rights)]
    return any(_COLUMNS.sub("", right) == "SELECT" and not some for right, some in named)


def _named(pattern: str, schema: str) -> bool:
    """Whether a grant applies to the schema: its name is a LIKE pattern."""
    if pattern == "*":
        return True
    parts = re.findall(r"\\.|.", pattern.strip("`").replace("``", "`"), re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.fullmatch("".join(wild.get(p, re.escape(p[-1])) for p in parts), schema, re.DOTALL) is not None
