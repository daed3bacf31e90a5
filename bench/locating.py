# SPDX-License-Identifier: Apache-2.0
"""Measures where ``stackmend diagnose`` locates injected faults: ``python -m bench.locating DATASET [even|odd]``.

DATASET is a copy of dessertlab/Fault-Injection-Dataset (AGPL-3.0: neither it nor its lines may be committed). The rules
were tuned on the even-numbered tests; the figures in the documentation are those of the odd-numbered ones.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from stackmend.drivers.logs import reader
from stackmend.drivers.logs.files import Logs
from stackmend.drivers.logs.reader import Window
from stackmend.engine.diagnosing.places import places
from stackmend.model.diagnosing.logs import Looked, Record

_PARTS = ("Nova", "Cinder", "Neutron")
_WORDS = (b" ERROR ", b" CRITICAL ", b"Traceback")
_SERVICES = ("nova", "cinder", "neutron", "glance", "keystone")


@dataclass(frozen=True, slots=True)
class Located:
    """What stackmend says about one test, and what is true."""

    failed: bool
    right_service: bool  #: of the first error
    right_guess: bool  #: of the likeliest place; else of the first error; else of the first message with a traceback
    rank: int  #: the rank of the injected file, from 1; 0 if it is not among the three
    silent: bool  #: no message above WARNING
    alarmed: bool  #: an error although nothing failed


def located(folder: Path, round_: str, service: str, component: str, *, failed: bool) -> Located:
    """Read the logs of one round of a test."""
    records = sorted(_records(folder / "logs" / round_), key=lambda one: one.at or 0.0)
    troubles = [one for one in records if one.level in ("ERROR", "CRITICAL")]
    found = [place.file for place in places(records)]
    telling = Path((troubles or records)[0].file).parent.name if records else ""
    guess = found[0].partition("/")[0] if found else telling
    rank = found.index(component) + 1 if component in found else 0
    first = Path(troubles[0].file).parent.name if troubles else ""
    return Located(failed, first == service, guess == service, rank, not troubles, bool(troubles))


def _records(folder: Path) -> Iterator[Record]:
    paths = [str(folder / name) for name in _SERVICES if (folder / name).is_dir()]
    with closing(Logs(paths)) as logs:
        for file in logs.files:
            yield from reader.read(file, _WORDS, Window(), Looked())


def _tests(dataset: Path, odd: bool) -> Iterator[tuple[Path, str, dict[str, str]]]:
    for part in _PARTS:
        with (dataset / f"{part.lower()}.tsv").open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                if int(row["TEST"].rpartition("_")[2]) % 2 == odd:
                    yield dataset / part / row["TEST"], part.lower(), row


def measured(dataset: Path, *, odd: bool) -> dict[str, float | int]:
    """The shares among all failing tests of that half."""
    found = [
        located(folder, "round_1", service, row["COMPONENT"].lstrip("/"), failed=row["ROUND_1"] == "FAILURE")
        for folder, service, row in _tests(dataset, odd)
    ]
    clean = [
        located(folder, "round_2", service, "", failed=False)
        for folder, service, row in _tests(dataset, odd)
        if row["ROUND_2"] != "FAILURE"
    ]
    failing = [one for one in found if one.failed]
    quiet = [one for one in found if not one.failed]
    if not failing:
        sys.exit(f"{dataset} has no failing tests of that half")

    def share(number: int, of: int) -> float:
        return round(number / of, 3) if of else 0.0

    return {
        "failing": len(failing),
        "service_of_first_error": share(sum(one.right_service for one in failing), len(failing)),
        "service_named": share(sum(one.right_guess for one in failing), len(failing)),
        "file_first": share(sum(one.rank == 1 for one in failing), len(failing)),
        "file_among_three": share(sum(one.rank > 0 for one in failing), len(failing)),
        "without_error": share(sum(one.silent for one in failing), len(failing)),
        "faults_without_failure": len(quiet),
        "errors_without_failure": share(sum(one.alarmed for one in quiet), len(quiet)),
        "clean_rounds": len(clean),
        "errors_in_clean_rounds": share(sum(one.alarmed for one in clean), len(clean)),
    }


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m bench.locating DATASET [even|odd]")
    print(json.dumps(measured(Path(sys.argv[1]), odd=sys.argv[2:] != ["even"]), indent=1))
