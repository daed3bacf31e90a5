# SPDX-License-Identifier: Apache-2.0
"""Runs the services' own migrations on a private MariaDB, and describes the result."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from stackmend_lab.mariadb import LabError, MariaDB
from stackmend_lab.releases import Description
from stackmend_lab.schemas import describe

#: service -> (configuration, command); ``{url}`` is the database of that service
_MIGRATIONS: dict[str, tuple[str, list[str]]] = {
    "nova_api": ("[api_database]\nconnection={url}\n", ["nova-manage", "api_db", "sync"]),
    "nova": ("[database]\nconnection={url}\n", ["nova-manage", "db", "sync", "--local_cell"]),
    "neutron": ("[database]\nconnection={url}\n", ["neutron-db-manage", "upgrade", "heads"]),
    "cinder": ("[database]\nconnection={url}\n", ["cinder-manage", "db", "sync"]),
    "glance": ("[database]\nconnection={url}\n", ["glance-manage", "db_sync"]),
    "placement": ("[placement_database]\nconnection={url}\n", ["placement-manage", "db", "sync"]),
    "keystone": ("[database]\nconnection={url}\n", ["keystone-manage", "db_sync"]),
}
_COMMON = {
    "neutron": "[DEFAULT]\ncore_plugin=ml2\n",
    "glance": "",
    "keystone": "",
}

#: tables in which the migrations say how far they came; the second one until they were rewritten for alembic
VERSIONED = ("alembic_version", "migrate_version")
#: other rows inserted by migrations that belong to the schema
_ROWS = {"cinder": ("quota_classes",)}
_MOMENT = {"created_at", "updated_at"}
#: the program that halts migrations, run by the services' own Python, and what precedes a statement in its output
_HALTING = Path(__file__).with_name("halting_migration.py")
_MARK = "carried out: "


def migrated(server: MariaDB, services: Path, service: str) -> Description:
    """Run the migrations of one service in a database of its own, and describe the result.

    ``services`` is the environment with nova, neutron, ... (``.services`` after ``make test``).
    """
    database = f"migrated_{service}"
    server.create(database)
    folder = server.folder / database
    folder.mkdir()
    command = _command(services, service, server.url(database), folder)
    outcome = subprocess.run(
        command, env=_environment(services), cwd=folder, capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        raise LabError(f"{command[0]} failed: " + " / ".join(outcome.stderr.splitlines()[-3:]))
    with closing(server.connect(database)) as connection:
        return described(connection, service)


@contextmanager
def halting(services: Path, service: str, url: str, folder: Path) -> Iterator[Iterator[str]]:
    """Migrate a database of an older release to the newest, and halt after every statement that changes the schema.

    Yields the statements, each just after it was carried out: the database is as a migration leaves it that is killed
    there, for MariaDB commits each of them. The next one is carried out when it is asked for. LabError if a migration
    fails. ``folder`` is empty, for its configuration and output.
    """
    command = [str(services / "bin" / "python"), str(_HALTING), *_command(services, service, url, folder)]
    with (folder / "output").open("w+", encoding="utf-8") as output:
        halted = subprocess.Popen(
            command, env=_environment(services), cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output,
        )  # fmt: skip
        pipes = cast(IO[str], halted.stdin), cast(IO[str], halted.stdout)
        try:
            yield _statements(*pipes)
            if halted.wait():
                output.seek(0)
                raise LabError(f"{command[2]} failed: " + " / ".join(output.read().splitlines()[-3:]))
        finally:
            halted.kill()
            halted.wait()
            for pipe in pipes:
                pipe.close()


def _statements(orders: IO[str], output: IO[str]) -> Iterator[str]:
    """What a migration says it has carried out; it goes on when the next one is asked for."""
    for line in output:
        if line.startswith(_MARK):
            yield line.removeprefix(_MARK).strip()
            orders.write("\n")
            orders.flush()


def _command(services: Path, service: str, url: str, folder: Path) -> list[str]:
    """The command that migrates the database, configured in this folder. LabError if the services are not there."""
    configuration, (program, *arguments) = _MIGRATIONS[service]
    binary = services / "bin" / program
    if not binary.exists():
        raise LabError(
            f"{binary} is missing: the services are not installed",
            "Run `make services`: it installs them from lab/src/stackmend_lab/services.txt.",
        )
    common = _COMMON.get(service, f"[DEFAULT]\nstate_path={folder}\ntransport_url=fake:/\n")
    config = folder / "service.conf"
    config.write_text(common + configuration.format(url=url + "?charset=utf8"))
    return [str(binary), "--config-file", str(config), *arguments]


def _environment(services: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{services / 'bin'}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}


def described(connection: Any, service: str) -> Description:
    """Describe the database of a PyMySQL connection in the format of :mod:`stackmend_lab.schemas`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DATABASE()")
        description = describe(cursor, cursor.fetchone()[0])
        description["rows"] = {}
        for table in (*VERSIONED, *_ROWS.get(service, ())):
            rows = _rows(cursor, table) if table in description["tables"] else []
            if rows:
                description["rows"][table] = rows
    return {"service": service, **description}


def _rows(cursor: Any, table: str) -> list[dict[str, Any]]:
    cursor.execute(f"SELECT * FROM `{table}` ORDER BY 1")
    names = [d[0] for d in cursor.description]
    return [
        {name: value for name, value in zip(names, row, strict=True) if name not in _MOMENT}
        for row in cursor.fetchall()
    ]
