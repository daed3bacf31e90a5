# SPDX-License-Identifier: Apache-2.0
"""One module per database dialect: everything that differs between them is in it."""

from __future__ import annotations

from stackmend.drivers.database.dialects.base import Address, Connection, Dialect, TableInfo
from stackmend.drivers.database.dialects.mysql import MySQL
from stackmend.drivers.database.dialects.postgresql import PostgreSQL
from stackmend.drivers.database.dialects.sqlite import SQLite

__all__ = ["Address", "Connection", "Dialect", "TableInfo", "dialect_of"]

_DIALECTS: dict[str, Dialect] = {"mysql": MySQL(), "postgresql": PostgreSQL(), "sqlite": SQLite()}


def dialect_of(address: Address) -> Dialect:
    """The dialect of an address."""
    return _DIALECTS[address.scheme]
