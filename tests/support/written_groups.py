# SPDX-License-Identifier: Apache-2.0
"""A writer on a small cloud, and the groups passed to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackmend.app.session import CloudSession
from stackmend.drivers.writing.seal import Sealer
from stackmend.drivers.writing.writer import DatabaseWriter
from stackmend.model.journal import JournalEntry
from stackmend.model.step import RowStep, StepState, UpdateRow
from stackmend.model.writer import Group, GroupResult
from stackmend_lab.cloud import Cloud


@dataclass
class Desk:
    """A cloud, a writer to it, and the intents it announced to the journal."""

    cloud: Cloud
    session: CloudSession
    sealer: Sealer
    intents: list[list[JournalEntry]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def write(self, *groups: Sequence[RowStep], then: Callable[[], None] = lambda: None) -> list[GroupResult]:
        """Write these groups on one database; ``then`` runs while their rows are locked."""

        def intent(entries: list[JournalEntry]) -> None:
            self.intents.append(entries)
            then()

        databases = self.session.databases
        writer = DatabaseWriter(databases.addresses, databases.errors, self.sealer, sleep=self.pauses.append)
        try:
            return writer.write(list(numbered(groups)), intent)
        finally:
            writer.close()

    def states(self, *groups: Sequence[RowStep]) -> list[StepState]:
        """The states of their results."""
        return [verdict.state for verdict in self.write(*groups)]

    def attributes(self, number: int) -> list[dict[str, Any]]:
        """Some rows of one table of Neutron's."""
        sql = f"SELECT id, description, revision_number FROM standardattributes ORDER BY id LIMIT {number}"
        return self.cloud.rows("neutron", sql)

    def descriptions(self) -> dict[int, str]:
        """Their current values, by id."""
        return {row["id"]: row["description"] for row in self.attributes(10_000)}


def numbered(groups: Sequence[Sequence[RowStep]]) -> Iterator[Group]:
    """Groups with lanes and step numbers."""
    first = 0
    for lane, steps in enumerate(groups):
        writing = [step for step in steps if step.kind not in ("expect", "expect-none")]
        database = (writing or list(steps))[0].database
        yield Group(lane, database, tuple(steps), tuple(range(first, first + len(steps))))
        first += len(steps)


def described(row: dict[str, Any], text: str = "new", **before: Any) -> UpdateRow:
    """Set a description, provided that the row is as now, or as ``before`` says."""
    guard = {"description": row["description"], **before}
    table = {"database": "neutron", "table": "standardattributes", "pk": {"id": row["id"]}}
    return UpdateRow(**table, before=guard, after={"description": text})
