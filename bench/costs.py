# SPDX-License-Identifier: Apache-2.0
"""``python -m bench.costs --servers N``: what each check costs on a snapshot of N servers: CPU, memory, spill.

The snapshot is generated without a database server: a small cloud with everything broken that the lab knows, as Parquet
and copied many times (:mod:`stackmend_lab.growing`). ``--snapshot DIR`` takes an existing one instead.
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

from bench.measure import FolderPeak, peak_rss, say
from bench.report import each_check
from stackmend.app.snapshots import create
from stackmend.config.settings import load
from stackmend.drivers.snapshot.collector import read_manifest
from stackmend.drivers.snapshot.query import QueryTooLarge, open_snapshot
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import parameters
from stackmend_lab.cloud import build
from stackmend_lab.growing import grow
from stackmend_lab.plants import broken

#: servers of the cloud that is copied
SEED = 2_000


@dataclass(frozen=True, slots=True)
class Options:
    """The options from the command line."""

    servers: int
    snapshot: Path | None
    check: list[str]
    folder: Path | None
    json: Path | None


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.costs", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--servers", type=int, default=100_000, metavar="N", help=f"a multiple of {SEED:,}")
    parser.add_argument("--snapshot", type=Path, metavar="DIR", help="measure on this snapshot of N servers")
    parser.add_argument("--check", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--folder", type=Path, help="where the snapshot goes; the temporary folder by default")
    parser.add_argument("--json", type=Path, help="write the results there too")
    options = Options(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="stackmend-costs-", dir=options.folder) as name:
        tempfile.tempdir = name  # what is spilled is measured there
        folder = Path(name)
        place = options.snapshot or generated(folder / "generated", options.servers)
        results = {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
            "servers": options.servers,
            "each_check": each(place, folder, options.check),
        }
    text = json.dumps(results, indent=2)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    print(each_check(results, len(results["each_check"])) if not options.snapshot else text)


def generated(folder: Path, servers: int) -> Path:
    """A snapshot of so many servers, as copies of a small one."""
    say(f"generating a snapshot of {servers:,} servers")
    cloud = build(folder / "databases", servers=SEED, seed=11)
    for case in broken():
        case.make(cloud)
    toml = folder / "cloud.toml"
    toml.write_text(cloud.toml(), encoding="utf-8")
    cloud.close()
    small, _ = create(load(str(toml)), into=str(folder / "small"))
    grow(small, folder / "large", max(1, servers // SEED))
    (folder / "large" / "manifest.json").write_bytes((small / "manifest.json").read_bytes())
    return folder / "large"


def each(snapshot: Path, spills: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Check -> what it costs, the dearest first. Its memory is that of the whole process at its highest."""
    manifest = read_manifest(snapshot)
    checks = catalogue.chosen(catalogue.checks(), tuple(names))
    query = open_snapshot(snapshot, manifest.now)
    found: dict[str, dict[str, Any]] = {}
    for number, (name, check) in enumerate(checks.items()):
        watch = FolderPeak(spills)
        _forget_peak()
        begin, wall = time.process_time(), time.perf_counter()
        try:
            rows: int | None = len(query.rows(check.sql, parameters(check, manifest.now)))
        except QueryTooLarge:
            rows = None
        cost = {
            "cpu_seconds": round(time.process_time() - begin, 3),
            "seconds": round(time.perf_counter() - wall, 3),
            "peak_rss_mib": peak_rss(os.getpid()) >> 10,
            "peak_spill_mib": watch.stop() >> 20,
            "rows": rows,
        }
        found[name] = cost
        told = " ".join(f"{what}={value}" for what, value in cost.items())
        say(f"{number + 1} of {len(checks)}: {name}: {told}")
    query.close()
    return dict(sorted(found.items(), key=lambda item: -item[1]["cpu_seconds"]))


def _forget_peak() -> None:
    """Let Linux count the peak of this process's memory anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


if __name__ == "__main__":
    main()
