# SPDX-License-Identifier: Apache-2.0
"""The databases of the cloud and their addresses: the configured ones, and Nova's cells as Nova finds them.

``nova_api.cell_mappings`` holds a URL for each cell, literal or a template whose fields Nova fills from the URL of
its own ``[database]connection`` (nova/objects/cell_mapping.py; services 1.2). This module does what Nova would
do, traps included, and checks the result before using it: a cell with an invalid URL is an error, never skipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlparse

from stackmend.config.layouts import anchored
from stackmend.config.settings import Config, DatabaseAccount
from stackmend.config.sources import where
from stackmend.drivers.database.dialects import Address, dialect_of
from stackmend.drivers.database.urls import of_server
from stackmend.model.errors import ConfigError, SourceError
from stackmend.model.snapshot import cell_database
from stackmend.tables.nova_api import TWINS

#: table, and its columns, from which cells are known
MAPPINGS = ("cell_mappings", ("id", "name", "uuid", "database_connection"))
CELL0 = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Databases:
    """The databases of a cloud: addresses by name, and the errors of those without an address."""

    addresses: Mapping[str, Address] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    cells_known: bool = False  #: cell_mappings was read, and every cell of it has an address
    identity: str = ""  #: identifies this cloud by its addresses: the same from every host that uses the same names
    replicas: Mapping[str, Address] = field(default_factory=dict)  #: by name, where whole tables are read
    lease: str = ""  #: identifies it by its contents, whatever names it is reached by; a copy has the same


def connect(config: Config, *, write: bool = False) -> Databases:
    """Find every database; with ``write`` for the [writer] account."""
    silence = config.database_timeout
    addresses = {n: replace(a, name=n, silence=silence) for n, a in config.databases.items()}
    errors = dict(config.unread)
    known = False
    for name, address in config.cells.items():
        addresses[cell_database(name)] = replace(address, name=cell_database(name), silence=silence)
    api = addresses.get("nova_api")
    mappings: list[tuple[str, str, str]] = []
    twins: set[str] = set()
    if api is not None:
        try:
            mappings = mapped_cells(api)
            twins = _twins(api)
            known = True
        except SourceError as problem:
            errors["nova_api"] = problem.message
    for name, uuid, url in mappings:
        database = cell_database(name)
        if uuid in twins:  # read once, as the first of them: the view "cells" maps what belongs to it there
            addresses.pop(database, None)
            continue
        if database in addresses or database in errors:
            continue
        try:
            addresses[database] = replace(_address(name, url, config), name=database, silence=silence)
        except ConfigError as problem:
            errors[database] = problem.message
            known = False
    if both := _same_place(addresses, mappings):
        errors |= both
        addresses = {name: address for name, address in addresses.items() if name not in both}
        known = False
    identity = _identity(addresses, mappings)
    replicas = config.replica.of(addresses, whole=known or api is None) if config.replica else {}
    if write and config.writer:
        account = config.writer
        addresses = {name: a.under(account.username, account.password) for name, a in addresses.items()}
    return Databases(addresses, errors, known, identity, replicas, _lease(mappings) or identity)


def mapped_cells(api: Address) -> list[tuple[str, str, str]]:
    """(name, uuid, URL) of every cell, including disabled ones (R2); cell0 is always called cell0."""
    dialect = dialect_of(api)
    connection = dialect.connect(api)
    try:
        table, (number, *columns) = MAPPINGS
        rows = dialect.select(connection, f"SELECT {', '.join(columns)} FROM {table} ORDER BY {number}")
    finally:
        connection.close()
    found: list[tuple[str, str, str]] = []
    for name, uuid, url in rows:
        label = "cell0" if uuid == CELL0 else str(name or uuid)
        if label in {taken for taken, _, _ in found}:
            label = str(uuid)  # cell names need not be unique
        found.append((label, str(uuid), str(url)))
    return found


def _twins(api: Address) -> set[str]:
    """UUIDs of cells whose database an older cell has, as far as the texts of their URLs tell."""
    dialect = dialect_of(api)
    connection = dialect.connect(api)
    table = MAPPINGS[0]
    try:
        sql = f"SELECT DISTINCT t.uuid FROM {table} t JOIN {table} o ON {TWINS}"
        rows = dialect.select(connection, dialect.adapted(sql, {}))
    finally:
        connection.close()
    return {str(uuid) for (uuid,) in rows}


def _same_place(addresses: Mapping[str, Address], mappings: list[tuple[str, str, str]]) -> dict[str, str]:
    """Cells that are not known as twins, and still are where another is: what their URLs expand to tells."""
    seen: dict[tuple[str, ...], str] = {}
    found: dict[str, str] = {}
    for name, _, _ in mappings:
        address = addresses.get(cell_database(name))
        if address is not None and (first := seen.setdefault(where(address), name)) != name:
            found[cell_database(name)] = f"it is the database of {first} as well: two cells are mapped to one database"
    return found


def _address(cell: str, url: str, config: Config) -> Address:
    what = f"the URL of cell {cell} in nova_api.cell_mappings"
    base = config.base_url or _base_of(config)
    expanded = expand(url, base)
    if ":None/" in expanded or expanded.endswith(":None"):
        raise ConfigError(
            f"{what} expands to one without a port", "Nova's [database]connection needs an explicit port."
        )
    if "{" in expanded:
        raise ConfigError(f"{what} is a template that cannot be expanded", "Name Nova's file: [files] nova = ...")
    address = anchored(Address.from_url(expanded, what), config.root)
    return _for_reader(address, config.reader)


def _for_reader(address: Address, account: DatabaseAccount | None) -> Address:
    return address.under(account.username, account.password) if account else address


def _base_of(config: Config) -> str | None:
    """Without nova.conf, templates take scheme, account, host and port of the nova_api URL."""
    api = config.databases.get("nova_api")
    if api is None or api.scheme == "sqlite":
        return None
    return of_server(api.username, api.password, api.host, api.port, api.database, api.scheme)


def expand(url: str, base: str | None) -> str:
    """A cell's URL as Nova builds it from a template and its own URL (nova.objects.cell_mapping._format_url).

    Like Nova, it falls back to the unchanged text if the template or the base is invalid.
    """
    if base is None:
        return url
    try:
        return url.format(**_fields(base))
    except (KeyError, ValueError, IndexError, AttributeError, TypeError):
        return url


def _fields(base: str) -> dict[str, object]:
    parts = urlparse(base)  # not SQLAlchemy: Nova does the same
    fields: dict[str, object] = {
        name: getattr(parts, name)
        for name in ("username", "password", "hostname", "port", "scheme", "query", "fragment")
    }
    fields["path"] = parts.path.lstrip("/")
    if "," in parts.netloc:
        for number, one in enumerate(parts.netloc.split(","), 1):
            fields |= {f"{name}{number}": value for name, value in _member(one).items()}
    return fields


def _member(netloc: str) -> dict[str, object]:
    """One of several servers in a URL, parsed by Nova's rules, which differ from urlparse's."""
    account, _, place = netloc.partition("@") if "@" in netloc else ("", "", netloc)
    username, colon, password = account.partition(":")
    port: str | None = None
    if place[0] == "[":
        hostname, rest = place[1:].split("]")
        port = rest.split(":")[1] if ":" in rest else None
    elif place.count(":") == 1:
        hostname, port = place.split(":")
    else:
        hostname = place
    return {
        "username": username,
        "password": password if colon else None,
        "hostname": hostname,
        "port": None if port is None else int(port),
    }


def _identity(addresses: Mapping[str, Address], mappings: list[tuple[str, str, str]]) -> str:
    """A hash of the databases' locations and the cells; accounts are not included."""
    parts = [f"{name}={_place(address)}" for name, address in sorted(addresses.items())]
    parts += sorted(uuid for _, uuid, _ in mappings)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _lease(mappings: list[tuple[str, str, str]]) -> str:
    """The uuid of the first cell, which was created once for this cloud; "" if there is none."""
    return next((uuid for _, uuid, _ in mappings if uuid != CELL0), "")


def _place(address: Address) -> str:
    return replace(address, username="", password="", options={}).redacted
