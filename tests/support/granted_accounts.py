# SPDX-License-Identifier: Apache-2.0
"""Accounts that may do what ``config grants`` prints, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackmend.app.privileges import grants as rights
from stackmend.config.settings import Config, load
from stackmend.drivers.database.urls import parsed
from stackmend_lab.cloud import Cloud
from stackmend_lab.mariadb import MariaDB

if TYPE_CHECKING:
    from stackmend_lab.postgresql import PostgreSQL

#: where accounts of tests connect from
HOST = "127.0.0.1"
PASSWORD = "geheim"


@dataclass(frozen=True, slots=True)
class Granted:
    """A cloud whose accounts have exactly the printed grants."""

    cloud: Cloud
    server: MariaDB | PostgreSQL
    grants: tuple[rights.Grant, ...]
    toml: Path  #: a configuration with these accounts
    reader: str

    @property
    def config(self) -> Config:
        """The configuration with these accounts."""
        return load(str(self.toml))

    def schema(self, database: str) -> str:
        """The name of a database on the server."""
        return str(parsed(self.cloud.databases[database]).database)


@contextmanager
def granted(cloud: Cloud, server: MariaDB | PostgreSQL, folder: Path, name: str) -> Iterator[Granted]:
    """Give two accounts, whose names begin so, the statements by hand; they are dropped at the end."""
    reader, writer = f"{name}_reader", f"{name}_writer"
    root = folder / f"{name}_root.toml"
    root.write_text(cloud.toml(), encoding="utf-8")
    found = rights.grants(load(str(root)), reader, writer, HOST)
    assert found.unread == {}
    for account in (reader, writer):
        server.account(account, PASSWORD)
    for database, url in cloud.databases.items():
        given = [one.statement for one in found.grants if one.database == database]
        server.run("\n".join(given), str(parsed(url).database))
    text = cloud.toml()
    for url in cloud.databases.values():
        text = text.replace(url, server.url(str(parsed(url).database), (reader, PASSWORD)))
    for role, account in (("reader", reader), ("writer", writer)):
        text += f'\n[{role}]\nusername = "{account}"\npassword = "{PASSWORD}"\n'
    toml = folder / f"{name}.toml"
    toml.write_text(text, encoding="utf-8")
    toml.chmod(0o600)
    try:
        yield Granted(cloud, server, found.grants, toml, reader)
    finally:
        for account in (reader, writer):
            server.drop_account(account)
