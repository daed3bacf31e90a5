# SPDX-License-Identifier: Apache-2.0
"""Back ends of storage as a source of tables: each is listed once, and one that is not seen whole has no row.

A list that holds less than half of the volumes that Cinder has there is not believed: it is of another pool, or of a
share that is not mounted. Where most of the names are unknown, somebody else uses the back end, and nothing there is
said to belong to nobody. Who has an object open is asked of those alone of which it matters.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from stackmend.drivers import asking
from stackmend.drivers.snapshot.shape import schema
from stackmend.drivers.storage.expected import Expected, expected
from stackmend.model.errors import SourceError
from stackmend.model.objects.storage import BackEnd, Clients, Listing, Opened, Stored
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import Source
from stackmend.tables.outside import of_service
from stackmend.tables.outside.storage import CLIENTS, CLUSTERS, SERVICE

#: number of back ends listed at a time
AT_ONCE = 8
#: so many names are written in a reason
_SHOWN = 3

ListBackEnd = Callable[[], Listing]
AskOpened = Callable[[Sequence[str]], Opened]
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
    opened: Opened = field(default_factory=Opened)
    left: int = 0  #: number of objects of which it matters, and was not asked, who has them open
    based: Mapping[str, int] = field(default_factory=dict)  #: object -> number of others that are based on it


@dataclass(slots=True)
class StorageTables:
    """The tables of some back ends (:class:`stackmend.drivers.snapshot.recollect.TableSource`), by name.

    ``opened``: those that can be asked who has objects open.
    """

    lists: Mapping[str, ListBackEnd]
    back_ends: Sequence[BackEnd]
    opened: Mapping[str, AskOpened] = field(default_factory=dict)
    _had: dict[str, set[str]] = field(default_factory=dict)  #: uuid in a name, or a path -> back ends that had it
    _foreign: dict[str, str] = field(default_factory=dict)  #: as found when all were listed
    _parents: dict[str, Counter[str]] = field(default_factory=dict)  #: back end -> what its objects are based on

    def serves(self, label: str) -> bool:
        """Whether this is one of their tables."""
        return label in of_service(SERVICE)

    def look(self, findings: Sequence[Mapping[str, object]]) -> StorageRead:
        """A new list of the back ends that these findings name, and of those that had their objects."""
        return StorageRead(self, {str(v) for one in findings for v in one.values() if v is not None})

    def now(self) -> str:
        """UTC now by this machine's clock."""
        return asking.now()

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> list[Source]:
        """List every back end; all of their tables are written if any is wanted."""
        wanted = set(filter(self.serves, labels))
        if not wanted:
            return []
        of_cloud = expected(into)
        seen = [_judged(one, of_cloud) for one in self.list(self.back_ends, progress)]
        for one in seen:
            self._foreign[one.back_end.name] = one.foreign
            for stored in one.listing.objects if not one.problem else ():
                for key in (stored.uuid, _path(one, stored.name)):
                    self._had.setdefault(key, set()).add(one.back_end.name)

        def ask(one: Seen) -> Seen:
            unknown, locked = of_cloud.asked(one.listing)
            return self.ask(one, locked if CLIENTS in wanted else (), unknown if _ours(one) else ())

        asked = asking.each(ask, seen, AT_ONCE, "asking who has images open", progress)
        seen = [self.weighed(one) for one in asked]
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
        seen = asking.each(self._listed, back_ends, AT_ONCE, "listing back ends of storage", progress)
        for one in seen:
            own = one.back_end
            # an image of another pool has that pool in its name, a file of a share a folder
            elsewhere = own.kind == "rbd"
            full = [n if elsewhere and "/" in n else f"{own.place}/{n}" for n in one.listing.parents]
            # what is based on a snapshot is based on its image
            self._parents[own.name] = Counter(name for each in full for name in {each, each.partition("@")[0]})
        return seen

    def weighed(self, seen: Seen) -> Seen:
        """With what is based on its objects, also in other pools, as they were listed last."""
        based: Counter[str] = Counter()
        own, place = seen.back_end, f"{seen.back_end.place}/"
        for name, parents in self._parents.items():
            if name == own.name or own.kind == "rbd":
                based.update({p.removeprefix(place): n for p, n in parents.items() if p.startswith(place)})
        return replace(seen, based=based)

    def ask(self, seen: Seen, names: Sequence[str], perhaps: Sequence[str] = ()) -> Seen:
        """With who has these objects open, if that can be asked and is not too many.

        ``perhaps``: objects of which it is only shown if it is known.
        """
        own, before = seen.back_end, seen.opened
        if own.name not in self.opened or seen.problem or not (names or perhaps):
            return seen
        counted = set(names)
        now = self.opened[own.name]([*names[: own.asked], *perhaps][: own.asked])
        merged = Opened(
            clients=(*before.clients, *now.clients),
            unread={**before.unread, **{name: why for name, why in now.unread.items() if name in counted}},
            bars_unread=now.bars_unread if names else "",
        )
        return replace(seen, opened=merged, left=seen.left + len(names[own.asked :]))

    def _listed(self, back_end: BackEnd) -> Seen:
        start = self.now()
        try:
            found = self.lists[back_end.name]()
        except SourceError as problem:
            return Seen(back_end, start, self.now(), problem=problem.message)
        return Seen(back_end, start, self.now(), found, foreign=self._foreign.get(back_end.name, ""))


class StorageRead:
    """One narrow read (:class:`stackmend.drivers.snapshot.recollect.TableRead`): no back end is listed twice in it.

    Of the objects that are named there, by the findings or by what is wanted, it is asked who has them open.
    """

    def __init__(self, of: StorageTables, values: Iterable[str]) -> None:
        self._of, self._values = of, set(values)
        self._seen: dict[str, Seen] = {}
        self._asked: set[tuple[str, str]] = set()

    def read(self, label: str, wanted: Mapping[str, Sequence[object]] | None) -> pa.Table:
        """The rows with these values, of new lists; SourceError if a back end concerned does not say all of them."""
        values = self._values | {str(value) for some in (wanted or {}).values() for value in some}
        names = self._of.where(values)
        new = [one for one in self._of.back_ends if one.name in names - self._seen.keys()]
        for seen in self._of.list(new, asking.unseen):
            self._seen[seen.back_end.name] = seen
        for name, seen in self._seen.items():
            if seen.problem:
                raise SourceError(f"back end {name} could not be listed: {seen.problem}")
            self._seen[name] = self._ask(seen, values)
            if label == CLIENTS and (why := _unasked(self._seen[name])):
                raise SourceError(f"{_sense(name)} could not be read: {why}")
        return asking.kept(label, _rows(label, map(self._of.weighed, self._seen.values())), wanted)

    def _ask(self, seen: Seen, values: Collection[str]) -> Seen:
        place = seen.back_end.name
        named = [one.name for one in seen.listing.objects if one.name in values or _path(seen, one.name) in values]
        new = [name for name in named if (place, name) not in self._asked]
        self._asked.update((place, name) for name in new)
        return self._of.ask(seen, new)


def _path(seen: Seen, name: str) -> str:
    return f"{seen.back_end.place}/{name}"


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
    parts = (
        ("clients", CLIENTS, _sense(name), _unasked(seen)),
        ("blocklist", CLIENTS, f"the blocklist of back end {name}", seen.opened.bars_unread),
        ("cluster", CLUSTERS, f"the id of the cluster of back end {name}", seen.listing.cluster_unread),
    )
    for part, label, called, why in parts:
        if why:
            own = replace(whole, database=f"{whole.database}/{part}", rows={}, error=why, outside=called)
            found.append(replace(own, about=(label,)))
    return found


def _sense(name: str) -> str:
    return f"who has images of back end {name} open"


def _unasked(seen: Seen) -> str:
    """Of which objects it is not known who has them open, by name, and why; "" if it is of all that were asked for."""
    unread = sorted(seen.opened.unread.items())
    words = [f"{_path(seen, name)}: {why}" for name, why in unread[:_SHOWN]]
    if len(unread) > _SHOWN:
        words.append(f"nor of {len(unread) - _SHOWN} more")
    if seen.left:
        own = seen.back_end
        words.append(f"{seen.left} were not asked for (asked = {own.asked} of [storage.{own.name}])")
    return "; ".join(words)


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
            "glance": own.glance, "ours": _ours(seen), "objects": len(listing.objects),
            "others": listing.others,
        }
    ]  # fmt: skip


def _ours(seen: Seen) -> bool:
    """Whether what has a name of ours and is not known belongs to nobody."""
    return not (seen.back_end.shared or seen.foreign)


def _owners(seen: Seen) -> list[Row]:
    return [{"owner": owner} for owner in seen.back_end.cinder]


def _folders(seen: Seen) -> list[Row]:
    return [{"folder": folder} for folder in seen.listing.folders]


def _clusters(seen: Seen) -> list[Row]:
    return [{"id": seen.listing.cluster}] if seen.listing.cluster else []


def _clients(seen: Seen) -> list[Row]:
    by_name = {one.name: one for one in seen.listing.objects}
    return [
        {
            "kind": by_name[one.name].kind, "name": one.name, "uuid": by_name[one.name].uuid,
            "path": _path(seen, one.name), "watchers": ", ".join(one.watchers), "owner": one.owner,
            "locker": one.locker, "lock": one.lock, "barred": one.barred, "managed": one.managed, "alive": one.alive,
        }
        for one in seen.opened.clients
    ]  # fmt: skip


def _objects(seen: Seen) -> list[Row]:
    clients = {one.name: one for one in seen.opened.clients}
    return [
        {
            "kind": one.kind, "name": one.name, "uuid": one.uuid, "role": one.role, "ref": one.ref,
            "origin": one.origin, "parent": one.parent, "used": _used(one, clients.get(one.name)), "size": one.size,
            "based": seen.based.get(one.name, 0), "modified": one.modified,
        }
        for one in seen.listing.objects
    ]  # fmt: skip


def _used(stored: Stored, clients: Clients | None) -> str:
    if clients is None:
        return stored.used
    return f"it is open at {', '.join(clients.watchers)}" if clients.watchers else stored.used


_ROWS: Mapping[str, Callable[[Seen], list[Row]]] = {
    "storage_visits": _visits,
    "storage_owners": _owners,
    "storage_folders": _folders,
    CLUSTERS: _clusters,
    CLIENTS: _clients,
    "storage_objects": _objects,
}
