# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.soak --minutes 30 --seed 1``: stackmend on a Galera cluster under load, whose nodes die at random.

Prints a line for each thing that happens, and the figures as JSON at the end; exit code 1 if a row is not as the runs
say (docs/explanation/soak.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.soak.cycles import Soak, standing


def main() -> int:
    """Soak for that long; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--cycles", type=int, default=0, help="end after so many, whatever the time")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackmend-soak-") as name, standing(Path(name), options.seed, say) as soak:
        found = soaked(soak, options.minutes, options.cycles)
    print(json.dumps({"seed": options.seed, **found}, indent=1))
    return 1 if found["violations"] else 0


def soaked(soak: Soak, minutes: float, cycles: int = 0) -> dict[str, Any]:
    """Cycles, until the time is over or there were enough; the figures."""
    begun = time.monotonic()
    while time.monotonic() - begun < minutes * 60 and (not cycles or soak.figures["cycles"] < cycles):
        soak.say(f"cycle {soak.figures['cycles'] + 1}")
        soak.cycle()
    figures = dict(sorted((soak.figures + soak.trouble.told).items()))
    return {"minutes": round((time.monotonic() - begun) / 60, 1), "violations": len(soak.violations), **figures}


def say(text: str) -> None:
    """A line of what happens, on stderr."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
