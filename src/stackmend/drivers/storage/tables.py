# SPDX-License-Identifier: Apache-2.0
"""Back ends of storage as a source of tables: each is listed once, and one that is not seen whole has no row.

A list that holds less than half of the volumes that Cinder has there is not believed: it is of another pool, or of a
share that is not mounted. Where most of the names are unknown, somebody else uses the back end, and nothing there is
said to belong to nobody.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from stackmend.drivers.snapshot.shape import schema
from stackmend.drivers.storage.expected import Expected, expected
from stackmend.model.errors import SourceError
from stackmend.model.objects.storage import BackEnd, Listing
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import Source
from stackmend.tables.outside import of_service
from stackmend.tables.outside.storage import SERVICE

#: number of back ends listed at a time
AT_ONCE = 8

ListBackEnd = Callable[[], Listing]
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one back end holds, and when; ``problem``: why that is not known."""

    back_end: BackEnd
    start: str
    end: str
    listing: Listing = field(default_factory=lambda: Listing(objects=()))
    problem: str = ""
    foreign: str = ""  #: why what is unknown there may be somebody else's


@dataclass(slots=True)
class StorageTables:
    """The tables of some back ends (:class:`stackmend.drivers.snapshot.recollect.TableSource`), by name."""

    lists: Mapping[str, ListBackEnd]
    back_ends: Sequence[BackEnd]
    _had: dict[str, set[str]] = field(default_factory=dict)  #: uuid in a name -> back ends that had it
    _foreign: dict[str, str] = field(default_factory=dict)  #: as found when all were listed

    def serves(self, label: str) -> bool:
        """Whether this is one of their tables."""
        return label in of_service(SERVICE)

    def look(self, findings: Sequence[Mapping[str, object]]) -> StorageRead:
        """A new list of the back ends that these findings name, and of those that had their objects."""
        return StorageRead(self, {str(v) for one in findings for v in one.values() if v is not None})

    def now(self) -> str:
        """UTC now by this machine's clock."""
        return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> list[Source]:
        """List every back end; all of their tables are written if any is wanted."""
        if not any(map(self.serves, labels)):
            return []
        of_cloud = expected(into)
        seen = [_judged(one, of_cloud) for one in self.list(self.back_ends, progress)]
        for one in seen:
            self._foreign[one.back_end.name] = one.foreign
            for stored in one.listing.objects if not one.problem else ():
                self._had.setdefault(stored.uuid, set()).add(one.back_end.name)
        for label in sorted(of_service(SERVICE)):
            (into / label).mkdir(exist_ok=True)
            parquet.write_table(_table(label, seen), into / label / f"{SERVICE}-0.parquet", compression="lz4")
        return [source for one in seen for source in _sources(one)]

    def where(self, values: Iterable[str]) -> set[str]:
        """The back ends among these values, and those that had objects of them when all were listed."""
        some, names = set(values), {one.name for one in self.back_ends}
        return (some & names) | {name for value in some for name in self._had.get(value, ())}

    def list(self, back_ends: Iterable[BackEnd], progress: Progress) -> list[Seen]:
        """List these, some at a time."""
        wanted = list(back_ends)
        found: list[Seen] = []
        if not wanted:
            return found
        pool = ThreadPoolExecutor(min(AT_ONCE, len(wanted)))
        try:
            for number, seen in enumerate(pool.map(self._listed, wanted)):
                progress("listing back ends of storage", number + 1, len(wanted))
                found.append(seen)
        finally:
            pool.shutdown(cancel_futures=True)
        return found

    def _listed(self, back_end: BackEnd) -> Seen:
        start = self.now()
        try:
            found = self.lists[back_end.name]()
        except SourceError as problem:
            return Seen(back_end, start, self.now(), problem=problem.message)
        return Seen(back_end, start, self.now(), found, foreign=self._foreign.get(back_end.name, ""))


class StorageRead:
    """One narrow read (:class:`stackmend.drivers.snapshot.recollect.TableRead`): no back end is listed twice in it."""

    def __init__(self, of: StorageTables, values: Iterable[str]) -> None:
        self._of, self._names = of, of.where(values)
        self._seen: dict[str, Seen] = {}

    def read(self, label: str, wanted: Mapping[str, Sequence[object]] | None) -> pa.Table:
        """The rows with these values, of new lists; SourceError if a back end concerned cannot be listed."""
        names = self._names | self._of.where(str(value) for values in (wanted or {}).values() for value in values)
        new = [one for one in self._of.back_ends if one.name in names - self._seen.keys()]
        for seen in self._of.list(new, _unseen):
            self._seen[seen.back_end.name] = seen
        for seen in self._seen.values():
            if seen.problem:
                raise SourceError(f"back end {seen.back_end.name} could not be listed: {seen.problem}")
        kept = [
            row
            for row in _rows(label, self._seen.values())
            if all(_has(row[c], values) for c, values in (wanted or {}).items())
        ]
        return pa.Table.from_pylist(kept, schema=schema(label))


def _has(value: object, values: Sequence[object]) -> bool:
    return str(value).lower() in {str(one).lower() for one in values}


def _unseen(what: str, done: int, of: int | None) -> None:
    del what, done, of


def _judged(seen: Seen, of_cloud: Expected) -> Seen:
    """What was listed, unless the databases contradict it."""
    if seen.problem:
        return seen
    own, listing = seen.back_end, seen.listing
    if lacking := of_cloud.lacking(own, listing):
        return replace(seen, listing=Listing(objects=()), problem=lacking)
    closed = (*listing.closed, *of_cloud.unseen(own, listing))
    foreign = "" if own.shared else of_cloud.foreign(listing)
    return replace(seen, listing=replace(listing, closed=closed), foreign=foreign)


def _sources(seen: Seen) -> list[Source]:
    """One for the back end, one for each folder of it that says nothing, and one for what may be somebody else's."""
    name = seen.back_end.name
    whole = Source(
        database=f"{SERVICE}:{name}",
        start=seen.start,
        end=seen.end,
        rows={} if seen.problem else {label: len(_rows(label, [seen])) for label in sorted(of_service(SERVICE))},
        error=seen.problem,
        outside=f"back end {name}",
    )
    found = [whole]
    for folder, why in seen.listing.closed:
        found.append(replace(whole, database=f"{whole.database}/{folder}", rows={}, error=why))
    if seen.foreign:
        found.append(replace(whole, database=f"{whole.database}/unknown", rows={}, error="", doubt=seen.foreign))
    return found


def _table(label: str, seen: Sequence[Seen]) -> pa.Table:
    return pa.Table.from_pylist(_rows(label, [one for one in seen if not one.problem]), schema=schema(label))


def _rows(label: str, seen: Iterable[Seen]) -> list[Row]:
    return [{"backend": one.back_end.name, **row} for one in seen for row in _ROWS[label](one)]


def _visits(seen: Seen) -> list[Row]:
    own, listing = seen.back_end, seen.listing
    return [
        {
            "kind": own.kind, "place": own.place, "asked": own.host,
            "program": shlex.join(own.program) or own.kind, "cinder": bool(own.cinder), "nova": own.nova,
            "ours": not (own.shared or seen.foreign), "objects": len(listing.objects), "others": listing.others,
        }
    ]  # fmt: skip


def _owners(seen: Seen) -> list[Row]:
    return [{"owner": owner} for owner in seen.back_end.cinder]


def _folders(seen: Seen) -> list[Row]:
    return [{"folder": folder} for folder in seen.listing.folders]


def _objects(seen: Seen) -> list[Row]:
    # what is based on a snapshot is based on its image
    based = Counter(name for one in seen.listing.parents for name in {one, one.partition("@")[0]})
    return [
        {
            "kind": one.kind, "name": one.name, "uuid": one.uuid, "role": one.role, "ref": one.ref,
            "origin": one.origin, "parent": one.parent, "used": one.used, "size": one.size, "based": based[one.name],
            "modified": one.modified,
        }
        for one in seen.listing.objects
    ]  # fmt: skip


_ROWS: Mapping[str, Callable[[Seen], list[Row]]] = {
    "storage_visits": _visits,
    "storage_owners": _owners,
    "storage_folders": _folders,
    "storage_objects": _objects,
}
