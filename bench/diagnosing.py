# SPDX-License-Identifier: Apache-2.0
"""``python -m bench.diagnosing DIR``: compares diagnoses of failures that others injected with what was broken.

DIR is a copy of dessertlab/Fault-Injection-Dataset (AGPL: it is never part of this repository), whole or in part:
``nova.tsv`` and so on beside ``Nova/Test_1/logs/round_1``. Round 1 has the fault, round 2 does not. One half of the
cases may be used to improve the catalogue and the engine; results are reported on the other half.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stackmend.app.diagnosing import Asked, diagnose
from stackmend.config.settings import Config
from stackmend.model.diagnosing.cause import Diagnosis

_SERVER = re.compile(r"\[instance: ([0-9a-f-]{36})\]")
_VOLUME = re.compile(r"[Vv]olume[ :=]+([0-9a-f]{8}-[0-9a-f-]{27})")


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the workload."""

    subsystem: str
    logs: Path
    failed: bool
    faulty: bool
    assertion: str
    file: str  #: the file that was broken
    function: str


def rounds(folder: Path, half: str) -> Iterator[Round]:
    """The rounds of one half whose logs are there."""
    for subsystem in ("Nova", "Cinder", "Neutron"):
        for line in (folder / f"{subsystem.lower()}.tsv").read_text().splitlines()[1:]:
            cells = [*line.split("\t"), *[""] * 12]
            number = int(cells[0].removeprefix("Test_"))
            if half != "both" and (number % 2 == 1) is not (half == "odd"):
                continue
            for turn, column in ((1, 6), (2, 9)):
                logs = folder / subsystem / cells[0] / "logs" / f"round_{turn}"
                if logs.is_dir():
                    failed = cells[column] == "FAILURE"
                    where = cells[2].strip("/"), cells[4].partition("+")[0]
                    yield Round(subsystem.lower(), logs, failed, turn == 1, cells[column + 1], *where)


def subject(one: Round) -> tuple[str, str] | None:
    """(kind, id) of the object about which an operator would ask: the volume if that failed, otherwise the server."""
    wanted = [("server", "nova/nova-compute.log*", _SERVER)]
    if "VOLUME" in one.assertion:
        wanted.insert(0, ("volume", "cinder/volume.log*", _VOLUME))
    for kind, pattern, named in wanted:
        text = "".join(path.read_text(errors="replace") for path in sorted(one.logs.glob(pattern)))
        if found := Counter(named.findall(text)).most_common(1):
            return kind, found[0][0]
    return None


def counted(one: Round, found: Diagnosis) -> Iterator[str]:
    """What counts in a diagnosis."""
    if not (one.failed and one.faulty):
        if not one.failed:
            yield "healthy rounds"
            if found.blamed:
                yield "healthy rounds with a cause blamed"
        return
    yield "failing rounds"
    statements = " ".join(blamed.verdict.statement for blamed in found.blamed)
    first = found.first_error
    for what, holds in (
        ("an error is named", first is not None),
        ("the first error is in the broken subsystem", first is not None and first.service.startswith(one.subsystem)),
        ("a cause is blamed", bool(found.blamed)),
        ("the broken file is named", one.file in statements),
        ("no error, but the missing step is named", first is None and bool(found.missing)),
        ("nothing is found", first is None and not found.missing),
    ):
        if holds:
            yield what


def main() -> None:
    """Diagnose, count, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.diagnosing", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--half", choices=("even", "odd", "both"), default="odd", help="of the cases, by number")
    options = parser.parse_args()
    figures: Counter[str] = Counter()
    for one in rounds(options.folder, options.half):
        about = subject(one)
        if about is None:
            figures["rounds without an object to ask about"] += 1
            continue
        kind, name = about
        figures.update(counted(one, diagnose(Config(), Asked(kind=kind, text=name, logs=(str(one.logs),)))))
    print(json.dumps(dict(figures.most_common()), indent=1))


if __name__ == "__main__":
    main()
