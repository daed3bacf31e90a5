# SPDX-License-Identifier: Apache-2.0
"""MariaDB's data folder, the services' own migrations, and the cell mappings in Nova's API database."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from stackmend_lab.control_plane.install import program, run
from stackmend_lab.control_plane.layout import Layout
from stackmend_lab.control_plane.process import tail
from stackmend_lab.control_plane.progress import Tell
from stackmend_lab.control_plane.services import environment
from stackmend_lab.mariadb import LabError


def make_data_folder(layout: Layout, tell: Tell) -> None:
    """Create MariaDB's own tables, unless that was completed before."""
    done = layout.built / "mariadb"
    if done.exists():
        return
    tell("making MariaDB's data folder")
    data = layout.folder / "mysql"
    subprocess.run(["rm", "-rf", str(data)], check=True)
    data.mkdir(mode=0o700)
    run(
        [program("mariadb-install-db"), f"--defaults-file={layout.configuration}/my.cnf",
         "--auth-root-authentication-method=normal", "--skip-test-db"],
        layout.logs / "mariadb-install-db.log",
        "MariaDB's data folder could not be made",
    )  # fmt: skip
    done.touch()


def connect(layout: Layout, name: str | None = None) -> pymysql.Connection[Any]:
    """A connection as the services use it, autocommit; ``name`` is stackmend's name of the database."""
    return pymysql.connect(
        host="127.0.0.1",
        port=layout.ports["mariadb"],
        user="lab",
        password=layout.passwords["database"],
        database=layout.database(name) if name else None,
        autocommit=True,
        charset="utf8mb4",
        connect_timeout=5,
        ssl_disabled=True,  # otherwise PyMySQL reads every certificate of the machine, each time
    )


def query(layout: Layout, name: str, statement: str, parameters: Any = ()) -> list[dict[str, Any]]:
    """Run one statement; returns the rows as objects (none for a write). Parameters as in PyMySQL: ``%s``."""
    with closing(connect(layout, name)) as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class Migration:
    """A database and the command that creates its tables."""

    database: str  #: stackmend's name of it
    command: tuple[str, ...]

    @property
    def step(self) -> str:
        """Name of the completed step."""
        return f"migrated-{self.database.replace(':', '-')}"


def migrations(layout: Layout) -> list[Migration]:
    """The migrations of all databases, those of Keystone and of Nova's API first: others depend on them."""
    etc = layout.configuration

    def command(name: str, file: str, *words: str) -> tuple[str, ...]:
        return (f"{layout.services}/bin/{name}", "--config-file", f"{etc}/{file}.conf", *words)

    cells = [
        Migration(f"cell:{cell}", command("nova-manage", f"manage-{cell}", "db", "sync", "--local_cell"))
        for cell in ("cell0", *layout.cells)
    ]
    return [
        Migration("keystone", command("keystone-manage", "keystone", "db_sync")),
        Migration("nova_api", command("nova-manage", "nova", "api_db", "sync")),
        Migration("neutron", command("neutron-db-manage", "neutron", "upgrade", "heads")),
        *cells,
        Migration("cinder", command("cinder-manage", "cinder", "db", "sync")),
        Migration("placement", command("placement-manage", "placement", "db", "sync")),
        Migration("glance", command("glance-manage", "glance-api", "db_sync")),
    ]


def build(layout: Layout, identity: Callable[[], None], tell: Tell) -> None:
    """Run the remaining migrations, several at a time; ``identity`` as soon as Keystone's are done.

    An interrupted migration leaves a database with which none can continue: it is emptied and started again.
    """
    found = {migration.database: migration for migration in migrations(layout)}
    open_ones = [name for name, migration in found.items() if not (layout.built / migration.step).exists()]
    if open_ones:
        tell(f"running the services' own migrations of {len(open_ones)} databases")
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        jobs = [pool.submit(_identity_lane, layout, found.pop("keystone"), identity)]
        jobs += [pool.submit(_nova_lane, layout, found.pop("nova_api"))]
        jobs += [pool.submit(_migrate, layout, migration) for migration in found.values()]
        problems = [problem for job in jobs if (problem := job.exception())]
    if problems:
        raise problems[0]


def make_keys(layout: Layout) -> None:
    """Keystone's keys for tokens and credentials, as created by ``keystone-manage fernet_setup``."""
    for kind in ("fernet-keys", "credential-keys"):
        folder = layout.state / "keystone" / kind
        folder.chmod(0o700)
        for number in ("0", "1"):
            key = folder / number
            if not key.exists():
                key.touch(mode=0o600)
                key.write_bytes(base64.urlsafe_b64encode(secrets.token_bytes(32)))


def command(layout: Layout, argv: Sequence[str], log: Path, more: Mapping[str, str] | None = None) -> None:
    """Run a program of the services; LabError with the last lines of its output if it fails."""
    name = Path(argv[0]).name
    run(argv, log, f"{name} {' '.join(argv[3:])} failed", {**environment(layout), **(more or {})})


def _identity_lane(layout: Layout, migration: Migration, identity: Callable[[], None]) -> None:
    _migrate(layout, migration)
    identity()


def _nova_lane(layout: Layout, migration: Migration) -> None:
    _migrate(layout, migration)
    known = {row["name"] for row in query(layout, "nova_api", "SELECT name FROM cell_mappings")}
    program, etc, log = f"{layout.services}/bin/nova-manage", layout.configuration, layout.logs / "nova-manage.log"
    if "cell0" not in known:
        command(layout, [program, "--config-file", f"{etc}/nova.conf", "cell_v2", "map_cell0"], log)
    for cell in layout.cells:
        if cell not in known:
            # address and password come from the file: arguments are visible to everybody
            words = ["--config-file", f"{etc}/manage-{cell}.conf", "cell_v2", "create_cell", "--name", cell]
            command(layout, [program, *words], log)


def _migrate(layout: Layout, migration: Migration) -> None:
    done = layout.built / migration.step
    if done.exists():
        return
    database = layout.database(migration.database)
    with closing(connect(layout)) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS `{database}`")
        cursor.execute(f"CREATE DATABASE `{database}`")
    log = layout.logs / f"{migration.step}.log"
    command(layout, migration.command, log)
    if not query(layout, migration.database, "SHOW TABLES"):
        raise LabError("\n  ".join([f"the migrations of {migration.database} made no table:", *tail(log)]))
    done.touch()
