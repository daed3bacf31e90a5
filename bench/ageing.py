# SPDX-License-Identifier: Apache-2.0
"""An old cloud: 2 % of its servers broken in every way that the lab knows, against the same cloud while it was clean.

``python -m bench.ageing --servers N`` measures only this, on SQLite files. Each command is run alone: ``audit``, which
reads, asks, confirms and prints for people; and ``plan create``, which does that and plans.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from bench.contests import name
from bench.measure import Cost, child, of_cpu, parser, printed, ratio, say
from bench.report import aged
from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.plants import broken

#: findings for each server
SHARE = 0.02
#: a plan for all of them is larger than anybody would let pass
LIMITS = "\n[limits]\nmax_rows = 10000000\nmax_share = 1.0\n"


@dataclass
class Costs:
    """What the commands cost on a cloud in one state."""

    audit: Cost = field(default_factory=Cost)
    plan: Cost = field(default_factory=Cost)
    found: list[str] = field(default_factory=list)  #: the findings, by name

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"audit": self.audit.as_dict(), "plan": self.plan.as_dict(), "findings": len(self.found)}


def soil(cloud: Cloud, servers: int, planted: Sequence[str] = ()) -> list[str]:
    """Break the cloud in all ways in turn until one in fifty servers has a finding; returns the names of all findings.

    ``planted``: those that it has already, of whole rounds.
    """
    found = list(planted)
    for round_ in count():
        for case in broken():
            # in the first round every way has its turn, however small the cloud
            if len(found) >= SHARE * servers and (round_ or planted):
                return found
            found += [name(*one) for one in case.findings(cloud)]
    return found


def costs(config: Path, folder: Path, rounds: int) -> Costs:
    """Measure the commands on the cloud as it is, after a round to warm up, which also lists the findings."""
    run = [sys.executable, "-m", "stackmend", "--config", str(config)]
    plan = [*run, "plan", "create", "--allow-db", "--out", str(folder / "aged.json")]
    env, codes = dict(os.environ), {Exit.CLEAN, Exit.FINDINGS}
    result = Costs()
    say("an old cloud: which findings there are")
    listed = json.loads(child(Cost(), [*run, "audit", "-f", "json", "--settle", "0"], env, codes))
    result.found = [name(one["check"], one["key"]) for one in listed]
    for number in range(rounds):
        say(f"an old cloud, {len(result.found):,} findings, round {number + 1} of {rounds}")
        child(result.audit, [*run, "audit", "--settle", "0"], env, codes)
        child(result.plan, plan, env, codes)
    return result


def compared(clean: Costs, dirty: Costs, planted: Iterable[str]) -> dict[str, Any]:
    """The costs on both, with the ratios; RuntimeError if something planted was not found."""
    wanted = set(planted)
    if missing := sorted(wanted - set(dirty.found)):
        raise RuntimeError(f"{len(missing)} of {len(wanted)} findings were not found: {missing[:20]}")
    return {
        "clean": clean.as_dict(),
        "dirty": dirty.as_dict(),
        "audit_to_clean": ratio(dirty.audit, clean.audit),
        "plan_to_clean": ratio(dirty.plan, clean.plan),
        "audit_cpu_to_clean": of_cpu(dirty.audit, clean.audit),
        "plan_cpu_to_clean": of_cpu(dirty.plan, clean.plan),
    }


def main() -> None:
    """Build on SQLite files, measure, print."""
    options_of = parser("bench.ageing", __doc__, rounds=3, what="each command")
    options_of.add_argument("--servers", type=int, default=20_000, metavar="N")
    options = options_of.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackmend-ageing-", dir=options.folder) as where:
        folder = Path(where)
        say(f"building a cloud of {options.servers:,} servers")
        cloud = build(folder / "databases", servers=options.servers, seed=1)
        config = folder / "stackmend.toml"
        config.write_text(cloud.toml() + LIMITS, encoding="utf-8")
        clean = costs(config, folder, options.rounds)
        planted = soil(cloud, options.servers)
        results = {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
            "servers": options.servers,
            "aged": compared(clean, costs(config, folder, options.rounds), planted),
        }
        cloud.close()
    print(aged(results))
    printed(results, options.json)


if __name__ == "__main__":
    main()
