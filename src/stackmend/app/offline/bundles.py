# SPDX-License-Identifier: Apache-2.0
"""A support bundle in place of a cloud: logs, and dumps of the services' databases, read offline (docs/adr/0060)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from stackmend.app.discovery import mapped_cells
from stackmend.app.session import CloudSession, no_progress
from stackmend.cloud import objects
from stackmend.cloud.diagnosing import histories
from stackmend.config.settings import DATABASES, Config
from stackmend.drivers.database.dialects.base import Address
from stackmend.drivers.dumps import finding, loading
from stackmend.drivers.dumps.loading import Dumped
from stackmend.drivers.scratch import scratch
from stackmend.drivers.snapshot.collector import write_manifest
from stackmend.drivers.snapshot.selects import service_of
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.events import Events
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import Manifest, cell_database

_EVENTS = Events(__name__)
#: the zone of a dump's clock is a multiple of this
_STEP = timedelta(minutes=15)
_FORMAT = "%Y-%m-%d %H:%M:%S"
_ABSENT = "no dump of it is in the bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a bundle has, as a cloud whose databases are files."""

    paths: tuple[str, ...]
    config: Config
    now: str = ""  #: UTC: the moment from which ages are counted; "" if it has no dump
    skew: float = 0.0  #: seconds between the first dump and the last
    notes: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def collect(self, labels: set[str] | frozenset[str], into: Path, progress: Progress = no_progress) -> Manifest:
        """A snapshot of the dumps, as the collector makes one of databases.

        UsageError if there is no dump, SourceError if none can be read.
        """
        if not self.config.databases:
            where, hint = (
                ", ".join(self.paths),
                "mariadb-dump --single-transaction --databases nova_api nova neutron ...",
            )
            told = {**self.unread, **{name: why for name, why in self.config.unread.items() if why != _ABSENT}}
            if told:
                why = "; ".join(f"{name}: {what}" for name, what in [*told.items()][:3])
                raise SourceError(f"no dump in {where} can be read: {why}", f"Make it again: {hint}")
            raise UsageError(f"there is no dump of a service's database in {where}", f"Add one: {hint}")
        manifest = CloudSession.of(self.config).collector().collect(labels, into, progress)
        manifest = replace(manifest, now=self.now, skew=self.skew)
        write_manifest(manifest, into)
        return manifest


@contextmanager
def opened(base: Config, paths: Sequence[str], *, histories_too: bool = False) -> Iterator[Bundle]:
    """Read the dumps of a bundle; they are gone at the end. UsageError for a path that is not there.

    Nothing of ``base`` is used but ages and folders: its databases and accounts are of another cloud.
    ``histories_too``: also what only a diagnosis reads.
    """
    with scratch("bundle") as folder:
        into, unread = Path(folder), dict[str, str]()
        kept = loading.wanted(objects.columns())
        if histories_too:
            kept = _joined(kept, histories.READS)
        found: list[Dumped] = []
        for dump in finding.dumps(paths, unread):
            with _EVENTS.timed("dump read", dump=dump.name) as facts:
                some = loading.load(dump.stream, dump.name, dump.stem, into, kept)
                facts["rows"] = sum(one.rows for one in some)
            found += some
        yield _bundle(base, tuple(paths), found, unread)


def _joined(one: loading.Wanted, other: loading.Wanted) -> dict[str, dict[str, frozenset[str]]]:
    both: dict[str, dict[str, frozenset[str]]] = {service: dict(some) for service, some in one.items()}
    for service, some in other.items():
        for table, columns in some.items():
            home = both.setdefault(service, {})
            home[table] = home.get(table, frozenset()) | columns
    return both


def _bundle(base: Config, paths: tuple[str, ...], found: Sequence[Dumped], unread: dict[str, str]) -> Bundle:
    chosen, problems, notes = _services(found)
    cells, more = _cells(chosen, found, notes)
    problems |= more
    used = [*chosen.values(), *cells.values()]
    now, skew = _moments(used)
    if used and not now:
        problems |= dict.fromkeys((*chosen, *map(cell_database, cells)), "when its dump was made cannot be told")
        chosen, cells = {}, {}
    config = Config(
        databases={name: _address(one) for name, one in chosen.items()},
        cells={name: _address(one) for name, one in cells.items()},
        unread=problems,
        ages=base.ages,
        counts=base.counts,
        state=base.state,
        journal=base.journal,
        origin=", ".join(paths),
        offline=True,
    )
    unread |= {one.name: one.error for one in found if one.error}
    return Bundle(paths=paths, config=config, now=now, skew=skew, notes=tuple(notes), unread=unread)


def _services(found: Sequence[Dumped]) -> tuple[dict[str, Dumped], dict[str, str], list[str]]:
    """(database -> its dump, database -> why there is none, remarks); cells are found by nova_api."""
    chosen: dict[str, Dumped] = {}
    problems: dict[str, str] = {}
    notes: list[str] = []
    cut = [one.error for one in found if one.error and _whose(one) not in (*DATABASES, "nova")]
    for service in DATABASES:
        some = [one for one in found if _whose(one) == service]
        named = [one for one in some if one.name == service]
        best = some if len(some) == 1 else named
        if len(best) == 1 and not best[0].error:
            chosen[service] = best[0]
            notes += [f"{one.name} in {one.dump} also looks like {service}: left out" for one in some if one != best[0]]
        elif len(best) == 1:
            problems[service] = best[0].error
        else:
            names = ", ".join(f"{one.name} in {one.dump}" for one in some)
            problems[service] = f"several dumps look like it: {names}" if some else "; ".join((_ABSENT, *cut))
    return chosen, problems, notes


def _whose(one: Dumped) -> str:
    """The service by its tables; by its name if a dump ends before they can tell."""
    return service_of(one.tables) or (one.name if one.error else "")


def _cells(
    chosen: Mapping[str, Dumped], found: Sequence[Dumped], notes: list[str]
) -> tuple[dict[str, Dumped], dict[str, str]]:
    """(cell -> its dump, database -> why there is none)."""
    some = [one for one in found if _whose(one) == "nova"]
    if "nova_api" not in chosen:  # nobody knows how the cells are called, nor whether these are all
        whole = [one for one in some if not one.error]
        return {one.name: one for one in whole}, {cell_database(one.name): one.error for one in some if one.error}
    try:
        mapped = mapped_cells(_address(chosen["nova_api"]))
    except SourceError as problem:
        return {}, {"nova_api": problem.message}
    cells: dict[str, Dumped] = {}
    problems: dict[str, str] = {}
    for label, _, schema in mapped:
        own = [one for one in found if one.name == schema and (one in some or one.error)]
        if len(own) == 1 and not own[0].error:
            cells[label] = own[0]
        elif len(own) > 1:
            problems[cell_database(label)] = f"{len(own)} databases called {schema} are in the bundle"
        else:
            problems[cell_database(label)] = own[0].error if own else f"no dump of its database {schema} is in it"
    notes += [
        f"{one.name} in {one.dump} looks like a cell, but nova_api has no cell with it: left out"
        for one in some
        if one.name not in {schema for _, _, schema in mapped}
    ]
    return cells, problems


def _moments(used: Sequence[Dumped]) -> tuple[str, float]:
    """(the moment of the earliest dump in UTC, seconds to the latest); ("", 0) if it cannot be told.

    A dump tells when it was completed in the zone of who made it. The services' heartbeats are in UTC, so that they
    tell the zone. An earlier moment makes rows look younger, and young rows are never findings.
    """
    beating = max((one for one in used if one.beat), key=lambda one: one.beat, default=None)
    if beating is None:
        return "", 0.0
    zone = timedelta(0)
    if beating.completed:
        apart = _moment(beating.completed) - _moment(beating.beat)
        zone = round(apart / _STEP) * _STEP
    times = [
        _moment(one.completed) - zone if one.completed else _moment(one.beat)
        for one in used
        if one.completed or one.beat
    ]
    first = min(times)
    return first.strftime(_FORMAT), (max(times) - first).total_seconds()


def _moment(text: str) -> datetime:
    date, time = text.replace("T", " ").split()[:2]
    return datetime.fromisoformat(f"{date} {time:0>8}")


def _address(one: Dumped) -> Address:
    return Address(scheme="sqlite", database=str(one.file), name=one.name)
