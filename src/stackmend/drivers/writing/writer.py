# SPDX-License-Identifier: Apache-2.0
"""Writes row steps: hundreds of independent groups in one guarded, journalled transaction.

docs/explanation/performance.md gives the cost.

All rows are locked and read (``SELECT ... FOR UPDATE``), compared with the plan, announced in the journal, written by
lists of primary keys, counted, committed. A group whose rows differ is stale and left out; the others proceed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from stackmend.drivers.database.dialects.base import Address, Connection, Dialect
from stackmend.drivers.database.rows import Connections, fetch
from stackmend.drivers.database.transactions import Lost, Unknown, back_out, commit, execute, translated_errors
from stackmend.drivers.writing.batch import Batch, Pk, RowImage, Slot, Spot, error_text
from stackmend.drivers.writing.comparing import Comparison
from stackmend.drivers.writing.probing import Probe
from stackmend.drivers.writing.seal import Sealer
from stackmend.drivers.writing.statements import insert, statements
from stackmend.model.errors import BusyError, SilentError, SourceError, WriteError
from stackmend.model.events import Events
from stackmend.model.journal import JournalEntry
from stackmend.model.step import InsertRow, Record, StepState, Value
from stackmend.model.writer import Group, GroupResult, Intent

_EVENTS = Events(__name__)

#: how often a transaction is tried that lost a deadlock, a lock or a cluster's certification
_ATTEMPTS = 5
_PAUSE = 0.1  #: seconds before the second attempt; doubled each time


class DatabaseWriter:
    """A :class:`stackmend.model.protocols.Writer`: the only code that changes a database of the cloud.

    ``addresses`` have the writing account. Guards in other databases and probes use it as well, because another account
    may be shown older rows than those being written.
    """

    def __init__(
        self,
        addresses: Mapping[str, Address],
        errors: Mapping[str, str],
        sealer: Sealer,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._writing = Connections(addresses, errors, write=True)
        self._sealer = sealer
        self._sleep = sleep
        self._left: dict[tuple[Spot, str], int] = {}

    def close(self) -> None:
        """Close all connections."""
        self._writing.close()

    def write(self, groups: Sequence[Group], intent: Intent) -> list[GroupResult]:
        """Execute these groups on one database; see :class:`stackmend.model.protocols.Writer`."""
        found: dict[int, GroupResult] = {}
        pending = list(range(len(groups)))
        while pending:
            pending = self._together(groups, pending, intent, found)
        return [found[index] for index in range(len(groups))]

    def probe(self, groups: Sequence[Group], images: Mapping[int, Mapping[str, object]]) -> list[GroupResult]:
        """Determine whether groups are done; see :class:`stackmend.model.protocols.Writer`."""
        return Probe(self._writing, groups, images).verdicts()

    def differences(self, groups: Sequence[Group]) -> list[str]:
        """Compare rows with what groups left; see :class:`stackmend.model.protocols.Writer`."""
        return Comparison(self._writing, self._sealer, groups).differences()

    def _together(
        self, groups: Sequence[Group], chosen: list[int], intent: Intent, found: dict[int, GroupResult]
    ) -> list[int]:
        """One transaction; returns the groups that need another. A batch refused by the database is halved."""
        some = [groups[index] for index in chosen]
        try:
            with _EVENTS.timed("transaction", database=some[0].database, groups=len(some)) as facts:
                # the whole batch is retried; its halves are tried once, to find the group that fails
                batch, verdicts = self._patiently(some, intent, _ATTEMPTS if len(chosen) == len(groups) else 1)
                facts |= {"written": len(verdicts), "stale": len(batch.stale), "later": len(batch.later)}
        except SourceError as problem:
            found.update({index: failed(groups[index], error_text(problem)) for index in chosen})
            return []
        except WriteError as problem:
            if len(chosen) == 1:
                found[chosen[0]] = failed(some[0], error_text(problem))
                return []
            half = len(chosen) // 2
            return [
                *self._together(groups, chosen[:half], intent, found),
                *self._together(groups, chosen[half:], intent, found),
            ]
        for number, index in enumerate(chosen):
            if number in batch.stale:
                found[index] = every(some[number], StepState.STALE, batch.stale[number])
            elif number in batch.broken:
                found[index] = failed(some[number], batch.broken[number])
            elif number in verdicts:
                found[index] = verdicts[number]
        return [chosen[number] for number in batch.later]

    def _patiently(
        self, groups: Sequence[Group], intent: Intent, attempts: int
    ) -> tuple[Batch, dict[int, GroupResult]]:
        """One transaction, repeated if it lost to another one."""
        for attempt in range(attempts):
            try:
                return self._attempt(groups, intent)
            except Lost as problem:
                reason, busy = str(problem.__cause__).partition("\n")[0], isinstance(problem.__cause__, BusyError)
                self._sleep(_PAUSE * 2**attempt)
        # a table that could not be locked will not be locked for a half of the batch either
        kind = SourceError if busy else WriteError
        raise kind(
            f"database {groups[0].database} gave way to other sessions each time (attempts: {attempts}): {reason}",
            "Nothing was changed; run it again when there is less activity on the rows.",
        )

    def _attempt(self, groups: Sequence[Group], intent: Intent) -> tuple[Batch, dict[int, GroupResult]]:
        database = groups[0].database
        dialect, connection = self._writing.get(database)
        batch = Batch(groups, self._writing, self._sealer.seal, self._left)
        kept = announced = False
        try:
            with translated_errors(f"database {database}"):
                dialect.begin_write(connection)
                self._read(batch, database)
                batch.judge()
            images: dict[int, RowImage] = {}
            if batch.accepted:
                intent(batch.intents)
                announced = True
                for slot in batch.program():
                    images |= self._make(dialect, connection, slot)
                self._last_look(batch, database)
                commit(connection, f"database {database}")
                kept = True
        except Unknown:
            self._writing.drop(database)
            chosen = [groups[index] for index in batch.accepted]
            verdicts = self._after_lost_commit(chosen, batch)
            if any(verdict.state is StepState.DONE for verdict in verdicts):
                self._left = batch.left
            return batch, dict(zip(batch.accepted, verdicts, strict=True))
        except SilentError as problem:
            if not announced:
                raise
            # certainly not committed, but it may hold its locks until the server continues: a resume probes the rows
            note = f"{error_text(problem)} in the middle of the transaction"
            return batch, {index: every(groups[index], StepState.IN_DOUBT, note) for index in batch.accepted}
        finally:
            if not kept and not back_out(connection):
                self._writing.drop(database)
            self._let_go({step.database for group in groups for step in group.steps} - {database})
        self._left = batch.left
        images |= {number: {"value": value} for number, value in batch.values.items()}
        regrets = self.second_look([groups[index] for index in batch.accepted])
        return batch, {
            index: done(groups[index], images)._replace(regret=regret)
            for index, regret in zip(batch.accepted, regrets, strict=True)
        }

    def _read(self, batch: Batch, database: str) -> None:
        """Read the rows that the batch touches or queries, all locked; in other databases only with a shared lock."""
        for name in sorted(batch.closed):
            dialect, connection = self._writing.get(name)
            dialect.keep_out(connection, batch.closed[name])
        for place, pks in batch.touched.items():
            key, columns = batch.keys[place], tuple(batch.reads[place])
            for values in self._fetch(database, place, columns, key, pks):
                row = dict(zip(columns, values, strict=True))
                batch.rows[(*place, tuple([row[c] for c in key]))] = row
        batch.follow()
        for asked, wanted in batch.asked.items():
            place, by = asked[:2], asked[2]
            columns = tuple(dict.fromkeys((*by, *batch.keys[place])))
            alike = _loose if self._writing.get(asked[0])[0].folds else tuple
            same: dict[Pk, list[Pk]] = {}
            for values in wanted:
                same.setdefault(alike(values), []).append(values)
            for values in self._fetch(database, place, columns, by, wanted):
                row = dict(zip(columns, values, strict=True))
                # if the database matches more values than ours, every query counts as answered
                for each in same.get(alike([row[c] for c in by]), wanted):
                    batch.taken.setdefault((asked, each), []).append(row)

    def _fetch(
        self,
        database: str,
        place: tuple[str, str],
        columns: Sequence[str],
        by: Sequence[str],
        wanted: Mapping[Pk, None],
    ) -> list[tuple[Value, ...]]:
        dialect, connection = self._writing.get(place[0])
        lock = dialect.for_update if place[0] == database else dialect.for_share
        return fetch(dialect, connection, place[1], columns, by, wanted, lock=lock)

    # -- guards in other databases

    def _broken(self, groups: Sequence[Group]) -> list[str]:
        """For each group, which guard in another database does not hold now, or ""."""
        found = [""] * len(groups)
        by: dict[str, dict[int, Group]] = {}
        for index, group in enumerate(groups):
            for database in {step.database for step in group.steps} - {group.database}:
                by.setdefault(database, {})[index] = _only(group, database)
        for some in by.values():
            batch = Batch(list(some.values()), self._writing, self._sealer.seal, {})
            self._read(batch, "")
            batch.judge()
            for number, index in enumerate(some):
                found[index] = found[index] or batch.stale.get(number, "") or batch.broken.get(number, "")
        return found

    def _last_look(self, batch: Batch, database: str) -> None:
        """Check the guards right before the commit: a cluster may drop our locks, and files have none. Else Lost."""
        with translated_errors(f"database {database}"):
            broken = self._broken([batch.groups[index] for index in batch.accepted])
        if reason := next(filter(None, broken), ""):
            raise Lost(database) from WriteError(reason)

    def second_look(self, groups: Sequence[Group]) -> list[str]:
        """Check the guards once more; see :class:`stackmend.model.protocols.Writer`."""
        others = {step.database for group in groups for step in group.steps if step.database != group.database}
        reason = ""
        for _ in range(2):
            try:
                return self._broken(groups)
            except SourceError as problem:
                reason = f"its guards could not be checked again: {error_text(problem)}"
                for database in others:
                    self._writing.drop(database)
            finally:
                self._let_go(others)
        return [reason if {s.database for s in group.steps} & others else "" for group in groups]

    def _let_go(self, others: Iterable[str]) -> None:
        """Release the locks on other databases."""
        for other in others:
            self._writing.leave(other)

    def _make(self, dialect: Dialect, connection: Connection, slot: Slot) -> dict[int, RowImage]:
        """Write a slot; returns the primary keys assigned by the database, by step number."""
        shape = slot.shape
        what = f"database {shape.database}, table {shape.table}"
        if shape.kind != "insert":
            for statement in statements(dialect, slot):
                execute(connection, *statement, what)
            return {}
        alike: dict[tuple[str, ...], list[dict[str, Value]]] = {}
        for _, step in slot.items:
            row = self._whole(step)
            alike.setdefault(tuple(row), []).append(row)
        for rows in alike.values():
            for statement in insert(dialect, shape.table, rows):
                execute(connection, *statement, what)
        if set(shape.key) <= set(shape.columns):
            keys = {n: {c: s.values[c] for c in shape.key} for n, (_, s) in zip(slot.numbers, slot.items, strict=True)}
        else:
            keys = self._assigned(dialect, connection, slot)
        return {number: {"pk": pk} for number, pk in keys.items()}

    def _whole(self, step: InsertRow) -> dict[str, Value]:
        return {**step.values, **self._sealer.unseal(step.sealed)} if step.sealed else dict(step.values)

    def _assigned(self, dialect: Dialect, connection: Connection, slot: Slot) -> dict[int, Record]:
        """The primary keys of new rows, found by their identifying columns."""
        shape = slot.shape
        numbers = {_loose(values): n for n, (values, _) in zip(slot.numbers, slot.items, strict=True)}
        found = {}
        columns = (*shape.key, *shape.reads)
        with translated_errors(f"database {shape.database}, table {shape.table}"):
            rows = fetch(dialect, connection, shape.table, columns, shape.reads, [values for values, _ in slot.items])
        for row in rows:
            number = numbers.get(_loose(row[len(shape.key) :]))
            if number is not None:
                found[number] = dict(zip(shape.key, row, strict=False))
        if len(found) != len(slot.items) or len(rows) != len(slot.items):
            raise WriteError(
                f"new rows of {shape.table} cannot be identified by ({', '.join(shape.reads)})",
                "The repair must name columns that identify the row.",
            )
        return found

    def _after_lost_commit(self, groups: Sequence[Group], batch: Batch) -> list[GroupResult]:
        """The connection broke during the commit: probe the rows."""
        note = "the connection broke during the commit"
        images = {entry.step: entry.image for entry in batch.intents}
        try:
            verdicts = Probe(self._writing, groups, images, batch.values).verdicts()
        except SourceError as problem:
            return [every(group, StepState.IN_DOUBT, f"{note}: {error_text(problem)}") for group in groups]
        # only the server itself can confirm a rollback: rows that are still as before may be committed in a moment
        doubt = f"{note}: the rows are unchanged, but the commit may still arrive"
        regrets = self.second_look(groups)
        return [
            every(group, StepState.IN_DOUBT, doubt)
            if verdict.state is StepState.PLANNED
            else verdict._replace(regret=regret if verdict.state is StepState.DONE else "")
            for group, verdict, regret in zip(groups, verdicts, regrets, strict=True)
        ]


def done(group: Group, images: Mapping[int, RowImage]) -> GroupResult:
    """The result of a group whose transaction was committed."""
    return GroupResult(StepState.DONE, "", [JournalEntry(n, StepState.DONE, images.get(n)) for n in group.numbers])


def failed(group: Group, note: str) -> GroupResult:
    """The result of a group of which nothing was kept."""
    return every(group, StepState.FAILED, note)


def every(group: Group, state: StepState, note: str) -> GroupResult:
    """The same result for all steps of a group."""
    return GroupResult(state, note, [JournalEntry(n, state, None, note) for n in group.numbers])


def _only(group: Group, database: str) -> Group:
    """A group's guards on one other database."""
    pairs = [(s, n) for s, n in zip(group.steps, group.numbers, strict=True) if s.database == database]
    return Group(group.lane, database, tuple(s for s, _ in pairs), tuple(n for _, n in pairs))


def _loose(values: Sequence[Value]) -> tuple[Value, ...]:
    """Values as compared by a collation that ignores case and trailing blanks."""
    return tuple([v.casefold().rstrip(" ") if isinstance(v, str) else v for v in values])
