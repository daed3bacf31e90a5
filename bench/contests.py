# SPDX-License-Identifier: Apache-2.0
"""The contests: reading, asking and mending. In each, stackmend and the baselines take turns after a warm-up round."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import baselines, repairs, server_side
from bench.measure import Cost, child, ratio, say, timed
from stackmend.app.snapshots import create
from stackmend.config.settings import load
from stackmend.drivers.snapshot.query import open_snapshot
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import ask
from stackmend.model.errors import Exit
from stackmend.model.finding import jsonable
from stackmend_lab.cloud import Cloud
from stackmend_lab.mariadb import MariaDB

#: the number of objects that each contestant of the repairs changes: stackmend, and the single statements
BATCHED, SINGLE = 10_000, 2_000


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a contest takes place."""

    server: MariaDB
    cloud: Cloud
    config: Path
    folder: Path
    planted: list[str]  #: every finding that an audit has to name, by :func:`name`
    rounds: int
    servers: int


def reading(ground: Ground) -> dict[str, Any]:
    """Compare a whole audit with (a) the client's stream and (b) the raw drain of the same columns."""
    labels = {label for check in catalogue.checks().values() for label in check.reads}
    statements = baselines.selects(sorted(labels), baselines.schemas(ground.cloud.databases))
    argv = [sys.executable, "-m", "stackmend", "--config", str(ground.config), "audit", "-f", "json", "--settle", "0"]
    costs: tuple[Cost, Cost, Cost] = (Cost(), Cost(), Cost())
    received = 0
    for number in range(ground.rounds + 1):
        say(f"reading, round {number} of {ground.rounds}")
        audit, client, drain = costs if number else (Cost(), Cost(), Cost())
        found = json.loads(child(audit, argv, dict(os.environ), {Exit.FINDINGS}))
        _same([name(one["check"], one["key"]) for one in found], ground.planted)
        timed(client, lambda: baselines.client_stream(ground.server, statements))
        received = timed(drain, lambda: baselines.raw_drain(ground.server, statements))
    audit, client, drain = costs
    return {
        "wire_mib": received >> 20,
        "findings": len(ground.planted),
        "audit": audit.as_dict(),
        "a_mariadb_quick": client.as_dict(),
        "b_raw_drain": drain.as_dict(),
        "audit_to_a": ratio(audit, client),
        "audit_to_b": ratio(audit, drain),
    }


def name(check: str, key: Mapping[str, Any]) -> str:
    """The name of a finding, for comparison."""
    return f"{check} {json.dumps(jsonable(dict(key)), sort_keys=True)}"


def _same(found: list[str], planted: list[str]) -> None:
    """RuntimeError with what only one side has."""
    more, less = Counter(found) - Counter(planted), Counter(planted) - Counter(found)
    if more or less:
        raise RuntimeError(f"not planted: {sorted(more)}; not found: {sorted(less)}")


def asking(ground: Ground) -> dict[str, Any]:
    """Compare the checks alone, on a snapshot, with (c) the same questions as SQL inside the server."""
    folder, manifest = create(load(str(ground.config)), into=str(ground.folder / "snapshot"))
    snapshot = sum(f.stat().st_size for f in folder.rglob("*.parquet"))
    cells = [s for name, s in baselines.schemas(ground.cloud.databases).items() if name.startswith("cell:")]
    inside = list(server_side.statements(cells))
    names = sorted({check for check, _ in inside})
    checks = [catalogue.checks()[name] for name in names]

    def outside() -> None:
        query = open_snapshot(folder, manifest.now)
        try:
            ask(checks, query, manifest, {})
        finally:
            query.close()

    every = {name: (Cost(), Cost()) for name in names}
    ours, theirs = Cost(), Cost()
    for number in range(ground.rounds):
        say(f"asking, round {number + 1} of {ground.rounds}")
        timed(ours, outside)
        timed(theirs, lambda: _inside(ground.server, inside, {name: every[name][1] for name in names}))
    argv = [sys.executable, "-m", "bench.costs", "--snapshot", str(folder), "--servers", str(ground.servers)]
    each = json.loads(child(Cost(), argv, dict(os.environ), {0}))
    shutil.rmtree(folder)
    return {
        "rows": sum(n for source in manifest.sources for n in source.rows.values()),
        "snapshot_mib": snapshot >> 20,
        "checks_compared": names,
        "checks": ours.as_dict(),
        "c_sql_in_server": theirs.as_dict(),
        "c_to_checks": ratio(theirs, ours),
        "each_check": each["each_check"],
        "c_seconds_by_check": {name: round(sum(every[name][1].wall) / ground.rounds, 2) for name in names},
    }


def _inside(server: MariaDB, statements: list[tuple[str, str]], costs: Mapping[str, Cost]) -> None:
    connection = server.connect()
    try:
        with connection.cursor() as cursor:
            for check, statement in statements:
                timed(costs[check], partial(cursor.execute, statement))
    finally:
        connection.close()


def mending(ground: Ground) -> dict[str, Any]:
    """Compare repairs through the runner with single guarded statements and their own journal, in rows per second."""
    ids = repairs.ports(ground.server, "ACTIVE", BATCHED)
    ours, theirs = Cost(), Cost()
    there, back = ("ACTIVE", "DOWN"), ("DOWN", "ACTIVE")
    for number in range(ground.rounds):
        say(f"mending, round {number + 1} of {ground.rounds}")
        timed(ours, partial(repairs.batched, ground.server, ground.folder, ids, *there, f"there{number}"))
        timed(theirs, partial(repairs.single, ground.server, ground.folder, ids[:SINGLE], *back))
        repairs.batched(ground.server, ground.folder, ids[SINGLE:], *back, f"back{number}")
    batched, single = len(ids) / ours.median(), min(SINGLE, len(ids)) / theirs.median()
    return {
        "repairs_batched_per_second": round(batched),
        "repairs_single_journalled_per_second": round(single),
        "batched_to_single": round(batched / single, 1),
    }
