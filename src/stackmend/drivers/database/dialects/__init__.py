# SPDX-License-Identifier: Apache-2.0
"""One module per database dialect: everything that differs between them is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stackmend.drivers.database.dialects.base import Address, Connection, Dialect, TableInfo
from stackmend.drivers.database.dialects.mysql import MySQL
from stackmend.drivers.database.dialects.postgresql import PostgreSQL, refused
from stackmend.drivers.database.dialects.sqlite import SQLite
from stackmend.model.step import RowStep

__all__ = ["Address", "Connection", "Dialect", "TableInfo", "dialect_of", "refuse_rows"]

_DIALECTS: dict[str, Dialect] = {"mysql": MySQL(), "postgresql": PostgreSQL(), "sqlite": SQLite()}


def dialect_of(address: Address) -> Dialect:
    """The dialect of an address."""
    return _DIALECTS[address.scheme]


def refuse_rows(addresses: Mapping[str, Address], steps: Iterable[object] | None = None) -> None:
    """ConfigError, naming a database, if rows of one of these cannot be changed; if ``steps``, of one they change."""
    changed = None if steps is None else {s.database for s in steps if isinstance(s, RowStep) and s.changes}
    for name, address in sorted(addresses.items()):
        if (changed is None or name in changed) and not dialect_of(address).writes:
            raise refused(name)
