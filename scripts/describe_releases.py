#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the schemas of older releases (lab/src/stackmend_lab/schema/releases) and their revisions.

Usage: uv run scripts/describe_releases.py [--check] SOURCE ...

A SOURCE is RELEASE=ENVIRONMENT, a virtual environment with the services of that release, whose migrations are run; or a
folder with ``<release>.sql.xz``: the tables as SHOW CREATE TABLE prints them after the migrations, each database under
the name of its service. Such a dump has no rows: the revisions are then read from the wheels of the services in
``<folder>/<release>/*.whl``. With --check nothing is written: what differs from the committed files is printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import lzma
import re
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

from describe_schemas import text

from stackmend.tables.releases import RELEASES
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.migrations import VERSIONED, described, migrated
from stackmend_lab.releases import Description, difference
from stackmend_lab.schemas import SERVICES, load

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "lab/src/stackmend_lab/schema/releases"
REVISIONS = ROOT / "src/stackmend/tables/revisions.json"

#: service -> where its migrations are in its wheel
_TREES = {
    "nova_api": r"nova/db/(api/migrations|sqlalchemy/api_migrations/migrate_repo)/",
    "nova": r"nova/db/(main/migrations|sqlalchemy/migrate_repo)/",
    "neutron": r"neutron/db/migration/alembic_migrations/",
    "cinder": r"cinder/db/(migrations|sqlalchemy/migrate_repo)/",
    "glance": r"glance/db/sqlalchemy/alembic_migrations/",
    "placement": r"placement/db/sqlalchemy/alembic/",
    "keystone": r"keystone/common/sql/(legacy_migrations/)?(migrations|(migrate|expand|data_migration|contract)_repo)/",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    arguments = parser.parse_args()
    found: dict[str, dict[str, Description]] = {}
    with MariaDB() as server:
        for source in arguments.sources:
            release, _, environment = source.partition("=")
            if environment:
                found[release] = {s: migrated(server, Path(environment).absolute(), s) for s in SERVICES}
                continue
            for release in RELEASES:
                file = Path(source) / f"{release}.sql.xz"
                if file.exists():
                    found[release] = _loaded(server, file, Path(source) / release)
    differing = _compare(found) if arguments.check else 0
    if not arguments.check:
        _write(found)
    return 1 if differing else 0


def _write(found: dict[str, dict[str, Description]]) -> None:
    FOLDER.mkdir(exist_ok=True)
    known = {release: found.get(release) or {s: load(s, release) for s in SERVICES} for release in RELEASES}
    for older, newer in itertools.pairwise(RELEASES):
        patch = {s: difference(known[newer][s], known[older][s]) for s in SERVICES}
        (FOLDER / f"{older}.json").write_text(text({s: p for s, p in patch.items() if p}))
    table = {release: {s: _revisions(known[release][s]) for s in SERVICES} for release in RELEASES}
    REVISIONS.write_text(text(table))


def _compare(found: dict[str, dict[str, Description]]) -> int:
    differing = 0
    for release, services in found.items():
        for service, description in services.items():
            patch = difference(load(service, release), description)
            print(f"{release} {service}: " + (json.dumps(patch)[:500] if patch else "as committed"))
            differing += bool(patch)
    return differing


def _revisions(description: Description) -> list[str]:
    """What the tables of versions hold."""
    rows = description["rows"]
    found = [row["version_num"] for row in rows.get("alembic_version", ())]
    return sorted(found or [str(row["version"]) for row in rows.get("migrate_version", ())])


def _loaded(server: MariaDB, file: Path, wheels: Path) -> dict[str, Description]:
    """The descriptions of one dump."""
    release = file.name.removesuffix(".sql.xz")
    dump = lzma.decompress(file.read_bytes()).decode()
    tables = dict(re.findall(r"CREATE DATABASE `(\w+)`;\n(.*?)(?=CREATE DATABASE|\Z)", dump, re.DOTALL))
    files = {
        name: archive
        for path in wheels.glob("*.whl")
        for archive in [zipfile.ZipFile(path)]
        for name in archive.namelist()
    }
    found = {}
    for service in SERVICES:
        known = load(service, release)
        others = {name: rows for name, rows in known["rows"].items() if name not in VERSIONED}
        server.create(service)
        with closing(server.connect(service)) as connection, connection.cursor() as cursor:
            charset = re.findall(r"CHARSET=(\w+)", tables[service])[0]
            cursor.execute(f"ALTER DATABASE CHARACTER SET {charset}; SET foreign_key_checks = 0;" + tables[service])
            while cursor.nextset():
                pass
            description = described(connection, service)
            cursor.execute(f"DROP DATABASE `{service}`")
        kind = next(table for table in VERSIONED if table in description["tables"])
        versions = {kind: _rows(kind, _TREES[service], files)} if files else known["rows"]
        description["rows"] = {**versions, **others}
        found[service] = _with_charsets(description, load(service))
    print(f"{file.name}: {sum(len(d['tables']) for d in found.values())} tables", file=sys.stderr)
    return found


def _with_charsets(description: Description, newest: Description) -> Description:
    """With the default charsets of the newest release: in a dump they are those of the server it was made on."""
    tables = {}
    for name, table in description["tables"].items():
        own = {member: value for member, value in table.items() if member != "collation"}
        charset = newest["tables"].get(name, {}).get("collation")
        tables[name] = {**own, **({"collation": charset} if charset else {})}
    charset = {"charset": newest["charset"]} if "charset" in newest else {}
    return {"service": description["service"], **charset, "tables": tables, "rows": description["rows"]}


def _rows(kind: str, tree: str, files: dict[str, zipfile.ZipFile]) -> list[dict[str, Any]]:
    """What the table of versions holds after all migrations of these wheels."""
    alembic: dict[str, set[str]] = {}
    numbers: dict[str, int] = {}
    for name in (name for name in files if re.match(tree, name) and "/versions/" in name and name.endswith(".py")):
        number = re.search(r"^(.*_repo)/versions/(\d+)_", name)
        if number:
            numbers[number[1]] = max(numbers.get(number[1], 0), int(number[2]))
            continue
        code = files[name].read(name).decode()
        own = re.search(r"^revision(?:: str)? = ['\"](\w+)['\"]", code, re.MULTILINE)
        if own:
            above = re.findall(r"^(?:down_revision|depends_on)\b[^=]*=(.*(?:\n +.*)*)", code, re.MULTILINE)
            alembic[own[1]] = set(re.findall(r"['\"](\w+)['\"]", " ".join(above)))
    if kind == "alembic_version":
        return [{"version_num": head} for head in sorted(alembic.keys() - set().union(*alembic.values()))]
    rows: list[dict[str, Any]] = []
    for repository, version in numbers.items():
        configuration = files[f"{repository}/migrate.cfg"].read(f"{repository}/migrate.cfg").decode()
        name = re.findall(r"^repository_id=(\S+)", configuration, re.MULTILINE)[0]
        rows.append({"repository_id": name, "repository_path": repository, "version": version})
    return sorted(rows, key=lambda row: str(row["repository_id"]))


if __name__ == "__main__":
    sys.exit(main())
