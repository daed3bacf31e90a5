# SPDX-License-Identifier: Apache-2.0
"""Runs the services' own migrations on a private MariaDB, and describes the result."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

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


def migrated(server: MariaDB, services: Path, service: str) -> Description:
    """Run the migrations of one service in a database of its own, and describe the result.

    ``services`` is the environment with nova, neutron, ... (``.services`` after ``make test``).
    """
    configuration, (program, *arguments) = _MIGRATIONS[service]
    binary = services / "bin" / program
    if not binary.exists():
        raise LabError(
            f"{binary} is missing: the services are not installed",
            "Run `make services`: it installs them from lab/src/stackmend_lab/services.txt.",
        )
    database = f"migrated_{service}"
    server.create(database)
    folder = server.folder / database
    folder.mkdir()
    common = _COMMON.get(service, f"[DEFAULT]\nstate_path={folder}\ntransport_url=fake:/\n")
    config = folder / "service.conf"
    config.write_text(common + configuration.format(url=server.url(database) + "?charset=utf8"))
    outcome = subprocess.run(
        [str(binary), "--config-file", str(config), *arguments],
        env={**os.environ, "PATH": f"{services / 'bin'}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode:
        raise LabError(f"{program} failed: " + " / ".join(outcome.stderr.splitlines()[-3:]))
    with closing(server.connect(database)) as connection:
        return described(connection, service)


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
