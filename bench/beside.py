# SPDX-License-Identifier: Apache-2.0
"""``python -m bench.beside``: what an audit costs the services that use the same database server meanwhile.

A synthetic load of Nova, Neutron, Cinder and Placement (:mod:`bench.load`) runs all the time. In each round come an
audit, and an audit with ``--nice``, with a pause before and after each. What the load does beside an audit is compared
with what it does in the two pauses around it: statements a second and their 99th percentile, as ratios of one run.

Start it on a machine with nothing else to do, at normal priority: ``--nice`` gives way only to what has a higher one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.__main__ import SETTINGS, analyse
from bench.load import Load, Window, objects
from bench.measure import Cost, child, say
from stackmend.model.errors import Exit
from stackmend_lab.cloud import build
from stackmend_lab.mariadb import MariaDB

#: seconds for which the load runs before anything is measured
_WARM = 15.0


@dataclass
class Contestant:
    """One way to audit."""

    name: str
    options: list[str]
    cost: Cost = field(default_factory=Cost)
    turns: list[tuple[float, float, float, float]] = field(default_factory=list)  #: pause, begin, end, pause


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--servers", type=int, default=20_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="R", help="of each contestant; the median counts")
    parser.add_argument("--processes", type=int, default=4, metavar="P", help="of the load")
    parser.add_argument(
        "--think", type=float, default=0.0, metavar="MS", help="between two requests; 0: as fast as it can"
    )
    parser.add_argument("--pause", type=float, default=15.0, metavar="S", help="without an audit, between two")
    parser.add_argument("--rest", type=float, metavar="X", help="of [nice] in the configuration")
    parser.add_argument("--json", type=Path, help="write the results there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackmend-bench-") as name:
        results = measured(Path(name), options)
    text = json.dumps(results, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure on a private server in ``folder``."""
    place = folder / "mariadb"
    place.mkdir()
    with MariaDB(place, {**SETTINGS, "innodb_buffer_pool_size": "2G"}) as server:
        say(f"building a cloud of {options.servers:,} servers")
        cloud = build(server, servers=options.servers, seed=1)
        analyse(server, cloud)
        config = folder / "stackmend.toml"
        nice = f"\n[nice]\nrest = {options.rest}\n" if options.rest is not None else ""
        config.write_text(cloud.toml() + nice, encoding="utf-8")
        config.chmod(0o600)
        contestants = [Contestant("plain", []), Contestant("nice", ["--nice"])]
        load = Load(folder)
        connection = server.connect()
        known = objects(connection)
        connection.close()
        where = {"unix_socket": str(server.socket), "user": "root", "charset": "utf8mb4"}
        with load.running(where, known, options.processes, options.think / 1000):
            rounds(contestants, config, options)
        cloud.close()
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "others": round(os.getloadavg()[2], 1),
        "servers": options.servers,
        "processes": options.processes,
        "think_ms": options.think,
        **({} if options.rest is None else {"rest": options.rest}),
        **{one.name: compared(load, one) for one in contestants},
    }


def rounds(contestants: list[Contestant], config: Path, options: argparse.Namespace) -> None:
    """Audits in turn, each between two pauses."""
    program = str(Path(sys.executable).with_name("stackmend"))
    time.sleep(_WARM)
    for number in range(options.rounds):
        for one in contestants:
            before = time.monotonic()
            time.sleep(options.pause)
            begin = time.monotonic()
            argv = [program, "-q", "--config", str(config), "audit", "--settle", "0", *one.options, "-f", "json"]
            child(one.cost, argv, dict(os.environ), {Exit.FINDINGS, Exit.CLEAN})
            end = time.monotonic()
            time.sleep(options.pause)
            one.turns.append((before, begin, end, time.monotonic()))
            say(f"round {number + 1}: {one.name} took {end - begin:.1f} s")


def compared(load: Load, one: Contestant) -> dict[str, Any]:
    """Medians of what the load did beside this audit, and of its ratios to what it did alone just before and after."""
    there, rates, tails, alone = [], [], [], []
    for before, begin, end, after in one.turns:
        beside = load.window(begin, end)
        pauses = load.window(before, begin), load.window(end, after)
        there.append(beside)
        alone += pauses
        rates.append(beside.rate / _mean([each.rate for each in pauses]))
        tails.append(beside.p99 / _mean([each.p99 for each in pauses]))
    return {
        "audit": one.cost.as_dict(),
        "alone": _shown(alone),
        "beside": _shown(there),
        "rate_to_alone": round(statistics.median(rates), 3),
        "rates_to_alone": [round(rate, 3) for rate in rates],
        "p99_to_alone": round(statistics.median(tails), 3),
    }


def _shown(some: list[Window]) -> dict[str, float]:
    return {
        "statements_per_second": round(statistics.median(each.rate for each in some)),
        "p99_ms": round(1000 * statistics.median(each.p99 for each in some), 2),
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
