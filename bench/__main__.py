# SPDX-License-Identifier: Apache-2.0
"""``python -m bench --servers N``: what stackmend costs, as ratios to named baselines taken in the same run.

It uses a private MariaDB with the builder's cloud and some damage. Contestants take turns; the median of the rounds
counts. Progress goes to stderr; the table, followed by the same results as JSON, goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import ageing, contests
from bench.measure import say
from bench.report import each_check, table
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants import broken

#: settings of a real control plane; utf8mb3 everywhere, without which the SQL of baseline (c) cannot use indexes
SETTINGS = {
    "character-set-server": "utf8mb3",
    "innodb_buffer_pool_size": "8G",
    "innodb_log_file_size": "1G",
    "innodb_flush_log_at_trx_commit": "1",
    "innodb_doublewrite": "1",
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options from the command line."""

    servers: int
    rounds: int
    folder: Path | None
    json: Path | None


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--servers", type=int, default=20_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="R", help="of each contestant; the median counts")
    parser.add_argument("--folder", type=Path, help="where the databases go; the temporary folder by default")
    parser.add_argument("--json", type=Path, help="write the results there too")
    options = Options(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="stackmend-bench-", dir=options.folder) as name:
        results = measured(Path(name), options)
    print(table(results))
    print(each_check(results, len(results["each_check"])))
    text = json.dumps(results, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


def measured(folder: Path, options: Options) -> dict[str, Any]:
    """Measure everything, on a private server in ``folder``."""
    place = folder / "mariadb"
    place.mkdir()
    with MariaDB(place, SETTINGS) as server:
        say(f"building a cloud of {options.servers:,} servers")
        begin = time.perf_counter()
        cloud = build(server, servers=options.servers, seed=1)
        built = time.perf_counter() - begin
        analyse(server, cloud)
        config = folder / "stackmend.toml"
        config.write_text(cloud.toml() + ageing.LIMITS, encoding="utf-8")
        # since the build, services have not been heard of
        cloud.renew()
        clean = ageing.costs(config, folder, options.rounds)
        cloud.renew()
        planted = [contests.name(*found) for case in broken() for found in case.findings(cloud)]
        say(f"built in {built:.0f} s, {len(planted)} findings planted")
        ground = contests.Ground(server, cloud, config, folder, planted, options.rounds, options.servers)
        results = {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {_memory()} GiB",
            "servers": options.servers,
            "build_seconds": round(built, 1),
            **contests.reading(ground),
        }
        old = ageing.soil(cloud, options.servers, planted)
        results["aged"] = ageing.compared(clean, ageing.costs(config, folder, options.rounds), old)
        results |= {**contests.asking(ground), **contests.mending(ground)}
        cloud.close()
    return results


def analyse(server: MariaDB, cloud: Cloud) -> None:
    """Update the server's table statistics, so that it knows its tables like a server that has run for a while."""
    for url in cloud.databases.values():
        database = url.rsplit("/", 1)[1]
        connection = server.connect(database)
        with connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            tables = ", ".join(f"`{row[0]}`" for row in cursor.fetchall())
            cursor.execute(f"ANALYZE TABLE {tables}")
        connection.close()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


if __name__ == "__main__":
    main()
