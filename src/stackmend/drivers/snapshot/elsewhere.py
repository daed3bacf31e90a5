# SPDX-License-Identifier: Apache-2.0
"""Several sources that are not databases, as one: the services' APIs, hypervisors, and whatever else is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from stackmend.drivers.snapshot.recollect import TableRead, TableSource
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import Source


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A :class:`.recollect.TableSource` of others; a table is read from the first that has it."""

    others: tuple[TableSource, ...]

    def serves(self, label: str) -> bool:
        """Whether any of them has this table."""
        return any(one.serves(label) for one in self.others)

    def look(self, findings: Sequence[Mapping[str, object]]) -> TableRead:
        """A new read of all of them."""
        return _Look(tuple((one, one.look(findings)) for one in self.others))

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> list[Source]:
        """Read whole tables from each, one after another."""
        wanted = set(labels)
        return [source for one in self.others for source in one.collect(wanted, into, progress)]

    def now(self) -> str:
        """UTC now."""
        return self.others[0].now()


@dataclass(frozen=True, slots=True)
class _Look:
    reads: tuple[tuple[TableSource, TableRead], ...]

    def read(self, label: str, wanted: Mapping[str, Sequence[object]] | None) -> pa.Table:
        for source, read in self.reads:
            if source.serves(label):
                return read.read(label, wanted)
        raise SourceError(f"nothing that is read here has table {label}")
