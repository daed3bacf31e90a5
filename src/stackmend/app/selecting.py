# SPDX-License-Identifier: Apache-2.0
"""Resolves names and ids given by the operator, for every command.

An id is known if any table read by a check mentions it, because findings also concern deleted servers and ids that
only one service still has. An id mentioned nowhere is a typing error, unless something could not be read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import Any

from stackmend.app import apis
from stackmend.app.session import CloudSession
from stackmend.app.snapshots import find
from stackmend.cloud import objects
from stackmend.cloud.objects import KINDS, MEMBERS, MENTIONS, UUID, Known, ObjectKind
from stackmend.config.settings import Config
from stackmend.drivers.api.collector import ApiTables
from stackmend.drivers.database.live import LiveDatabases
from stackmend.drivers.snapshot.collector import read_manifest
from stackmend.drivers.snapshot.query import DuckQuery, open_snapshot
from stackmend.drivers.snapshot.shape import labels, schema
from stackmend.engine.auditing import catalogue
from stackmend.model.errors import SourceError, StackmendError, UsageError
from stackmend.model.protocols import Api
from stackmend.model.snapshot import CELL, Manifest
from stackmend.tables import tables
from stackmend.tables.nova import VIFS

#: longest name that any service has
_LONGEST = 255
#: number of names compared for suggestions; of candidates listed; of letters that suffice of an id
_COMPARED, _LISTED, _BEGUN = 20_000, 12, 6
#: columns of the checks' findings by which they look for an object
_ORIGINS = {"server": ("server", "consumer"), "volume": ("volume",), "port": ("port",)}
#: documents that may mention a port, and the tables derived from them during collection
_DOCUMENT = ("instance_info_caches", "network_info")
_VIFS = {"port": ((VIFS.label, "port_id"),)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An object that the operator named."""

    kind: str
    asked: str  #: as it was typed
    id: str
    known: Known | None = None  #: None if its own record no longer exists
    doubt: str = ""  #: why it is accepted as typed although no readable source mentions it

    @property
    def note(self) -> str:
        """The object, if it was not given by id."""
        if self.known is None or self.asked.lower() == self.id.lower():
            return ""
        about = f" ({self.known.about})" if self.known.about else ""
        return f"{self.kind} {self.asked} is {self.id}{about}"


@dataclass(frozen=True, slots=True)
class About:
    """The objects to which an audit is limited."""

    names: frozenset[str] = frozenset()  #: ids, and names of hosts
    notes: tuple[str, ...] = ()  #: the objects that were not given by id
    doubts: tuple[str, ...] = ()  #: possible omissions

    @classmethod
    def of(cls, found: Iterable[Chosen], more: Iterable[str] = (), doubts: Iterable[str] = ()) -> About:
        """These, the ids that belong to them, and what is unknown about those."""
        every = list(found)
        return cls(
            names=frozenset([*(one.id for one in every), *more]),
            notes=tuple(one.note for one in every if one.note),
            doubts=(*(one.doubt for one in every if one.doubt), *doubts),
        )


@cache
def labelled(kind: str) -> tuple[tuple[str, str], ...]:
    """(label, column) of every collected table by which a check looks for an object of this kind."""
    of = KINDS[kind]
    found = {(f"{of.service}_{of.table}", of.key): None}
    for check in catalogue.checks().values():
        for label, scope in check.reads.items():
            found |= {
                (label, column): None for column, origin in scope.items() if origin in _ORIGINS.get(kind, (kind,))
            }
    found |= {(f"{service}_{table}", column): None for service, table, column in MENTIONS.get(kind, ())}
    return (*found, *_VIFS.get(kind, ()))


@cache
def witnesses(kind: str) -> tuple[tuple[str, str, str], ...]:
    """(service, table, column) of everything in a database that may mention an object of this kind, its own first."""
    found: dict[tuple[str, str, str], None] = {}
    for label, column in labelled(kind):
        for part in tables().get(label, ()):
            own = {one.name: (one.expr or one.name).removeprefix("t.") for one in part.columns}
            if own.get(column, "").isidentifier():
                found[part.service, part.name, own[column]] = None
    return tuple(dict.fromkeys([*found, *MENTIONS.get(kind, ())]))


class Finder:
    """Finds objects in the databases there are, else through the APIs; notes what could not be read."""

    def __init__(
        self, session: CloudSession, live: LiveDatabases | None, shown: ApiTables | None, api: Api | None
    ) -> None:
        self._live, self._elsewhere, self._api = live, shown, api
        self._known = session.databases
        self.unread: dict[str, str] = {}

    def resolve(self, kind: str, text: str) -> Chosen:
        """The object; UsageError for none or several, SourceError for a name that cannot be resolved."""
        self.unread.clear()
        home = KINDS[kind]
        if not text.strip() or len(text) > _LONGEST:
            raise UsageError(f"there is no {kind} {text[:40]!r}", f"See '{home.listing}'.")
        found = self._owned(objects.best(self._home(home, text), text))
        if len(found) > 1:
            raise _ambiguous(home, text, found)
        if found:
            return Chosen(kind=kind, asked=text, id=found[0].id, known=found[0])
        if name := self._mentioned(kind, text):
            return Chosen(kind=kind, asked=text, id=name)
        if not self.unread:
            raise self._unknown(home, text)
        first = "; ".join(f"{name}: {why}" for name, why in sorted(self.unread.items())[:2])
        doubt = f"{kind} {text} is in none of the readable sources; it may be in one that could not be read ({first})"
        if UUID.fullmatch(text) or kind == "host":
            return Chosen(kind=kind, asked=text, id=text, doubt=doubt)
        raise SourceError(doubt, f"Specify the {kind} by ID, or make the other sources readable.")

    def members(self, kind: str, name: str) -> set[str]:
        """Ids of what belongs to a host or a project."""
        found: set[str] = set()
        for member, column in MEMBERS.get(kind, ()):
            of = KINDS[member]
            if api := self._by_api(of.service):
                found |= set(self._read(f"the API of {of.service}", objects.members_by_api, api, of.name, column, name))
                continue
            for database in self._databases(of.service):
                found |= {str(row[0]) for row in self._pluck(database, of.table, (of.key,), {column: name})}
        return found

    # -- its own record

    def _home(self, kind: ObjectKind, text: str) -> list[Known]:
        """Objects with this id; only if there is none, those with this name."""
        if api := self._by_api(kind.service):
            source = f"the API of {kind.service}"
            if found := self._read(source, objects.by_api, api, kind, text):
                return found
            self._read(source, objects.silent_by_api, api, kind)
            return []
        databases = self._databases(kind.service, home=True)
        if self._live is None:
            return []
        for column in filter(None, (kind.key, kind.title)):
            where = {column: tuple(dict.fromkeys((text, text.lower() if column == kind.key else text)))}
            rows = [row for one in databases for row in self._read(one, self._live.rows, one, kind.table, where)]
            if rows:
                return [objects.of_row(kind, row) for row in rows]
        return []

    def _owned(self, found: Sequence[Known]) -> list[Known]:
        """The same with the names of projects, if Keystone's database is configured."""
        ids = sorted({one.project for one in found if one.project})
        if self._live is None or not ids or "keystone" not in self._known.addresses:
            return list(found)
        unread = dict(self.unread)
        rows = self._read("keystone", self._live.rows, "keystone", "project", {"id": ids})
        self.unread = unread  # it is not looked for there
        names = {str(row["id"]): str(row["name"]) for row in rows}
        return [replace(one, project=names.get(one.project, one.project)) for one in found]

    # -- who else mentions it

    def _mentioned(self, kind: str, text: str) -> str:
        """The id as written in the mentioning table, or ""."""
        for service, table, column in witnesses(kind):
            for database in self._databases(service):
                if column in self._columns(database, table):
                    for row in self._pluck(database, table, (column,), {column: text}, 1):
                        return str(row[0])
        if UUID.fullmatch(text) and self._elsewhere is not None:
            for label, column in labelled(kind):
                if self._elsewhere.serves(label):
                    for found in self._read(
                        f"the API that shows {label}", _values_of, self._elsewhere, label, column, text
                    ):
                        return str(found)
        if kind == "port" and UUID.fullmatch(text) and self._live is not None:
            for database in self._databases("nova"):
                if self._read(database, self._live.holding, database, *_DOCUMENT, (text,)):
                    return text
        return ""

    def _columns(self, database: str, table: str) -> Sequence[str]:
        """The columns of a table, () if the release does not have it."""
        return tuple(self._read(database, self._live.columns, database, table)) if self._live else ()

    # -- near ones

    def _unknown(self, kind: ObjectKind, text: str) -> UsageError:
        near = list(dict.fromkeys(self._near(kind, text)))[:3]
        lines = "".join(f"\n  {one}" for one in near)
        some = f":{lines}" if kind.title else f" {', '.join(near)}?"
        hint = f"Did you mean{some}" if near else f"See '{kind.listing}'."
        return UsageError(f"there is no {kind.name} {text!r}, neither by name nor by id in any table", hint)

    def _near(self, kind: ObjectKind, text: str) -> Iterator[str]:
        """``5c3b1d9e-...  web-1`` for each object with a similar name or id; ids with the same beginning come first."""
        titles = self._titles(kind)
        wanted, ids = text.lower(), {name.lower(): name for name in titles}
        called: dict[str, list[str]] = {}
        for name, title in titles.items():
            called.setdefault(title.lower(), []).append(name)
        begun = [name for name in ids if len(wanted) >= _BEGUN and name.startswith(wanted)][:3]
        for name in (*begun, *get_close_matches(wanted, list(ids), 2, 0.85)):
            yield f"{ids[name]}  {titles[ids[name]]}".rstrip()
        for title in get_close_matches(wanted, list(called), 3) if kind.title else ():
            yield from (f"{name}  {titles[name]}" for name in called[title][:3])
        if not kind.title:
            yield from (ids[name] for name in get_close_matches(wanted, list(ids), 3))

    def _titles(self, kind: ObjectKind) -> dict[str, str]:
        """Id -> name of live objects, limited to those compared."""
        if api := self._by_api(kind.service):
            return dict(list(self._read(f"the API of {kind.service}", objects.names_by_api, api, kind))[:_COMPARED])
        columns = tuple(filter(None, (kind.key, kind.title)))
        return {
            str(row[0]): str(row[1] or "") if len(row) > 1 else ""
            for database in self._databases(kind.service)
            for row in self._pluck(database, kind.table, columns, dict(kind.alive), _COMPARED)
        }

    # -- what is asked

    def _by_api(self, service: str) -> Api | None:
        """The API used instead of this service's databases; None if it has databases, or no API is available."""
        if self._api is None or service in self._known.addresses or service in self._known.errors:
            return None
        if service == "keystone":
            return self._api
        return self._api if self._elsewhere is not None and service in self._elsewhere.services else None

    def _databases(self, service: str, *, home: bool = False) -> list[str]:
        """A service's readable databases; missing ones are noted, for the object's ``home`` also unconfigured ones."""
        every = {**dict.fromkeys(self._known.addresses, ""), **self._known.errors}
        found = {n: why for n, why in every.items() if (n.startswith(CELL) if service == "nova" else n == service)}
        self.unread |= {name: why for name, why in found.items() if why}
        if home and service == "nova" and not self._known.cells_known:
            self.unread.setdefault("nova_api", "not every cell is known")
        if home and not found:
            self.unread[service] = "its database is not configured, and there is no API instead"
        return sorted(name for name, why in found.items() if not why)

    def _pluck(
        self, database: str, table: str, columns: Sequence[str], where: Mapping[str, object], most: int = 1_000_000
    ) -> Sequence[Sequence[Any]]:
        return self._read(database, self._live.pluck, database, table, columns, where, most) if self._live else ()

    def _read(self, source: str, ask: Callable[..., Iterable[Any]], *arguments: Any) -> list[Any]:
        """Its answer; [] if it cannot be read, which is noted."""
        try:
            return list(ask(*arguments))
        except StackmendError as problem:
            self.unread[source] = problem.message
            return []


def _values_of(elsewhere: ApiTables, label: str, column: str, text: str) -> list[Any]:
    table = elsewhere.look([{}]).read(label, {column: [text]})
    found: list[Any] = table.column(column).to_pylist()
    return found


def _ambiguous(kind: ObjectKind, text: str, found: Sequence[Known]) -> UsageError:
    lines = [f"\n  {one.id}  {one.about}" for one in found[:_LISTED]]
    more = f"\n  and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return UsageError(f"{len(found)} {kind.name}s are called {text!r}", f"Specify one by id:{''.join(lines)}{more}")


@contextmanager
def finding(config: Config, kinds: Collection[str]) -> Iterator[Finder]:
    """A finder of these kinds: in the databases of the cloud, through the APIs of services that have none here."""
    session = CloudSession.looking(config)
    with ExitStack() as stack:
        session, _ = stack.enter_context(apis.standing_in(config, session))
        shown = session.elsewhere if isinstance(session.elsewhere, ApiTables) else None
        api: Api | None = shown.reading if shown else None
        if api is None and "project" in kinds and "keystone" not in config.databases:
            api, _ = stack.enter_context(apis.reading(config, session, "auto"))
        live = stack.enter_context(session.live()) if session.databases.addresses else None
        yield Finder(session, live, shown, api)


def chosen(config: Config, asked: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Chosen]:
    """(kind, text) -> the object. UsageError for none or several, SourceError if that cannot be determined."""
    wanted = list(asked)
    with finding(config, {kind for kind, _ in wanted}) as finder:
        return {(kind, text): finder.resolve(kind, text) for kind, text in wanted}


def about(config: Config, asked: Iterable[tuple[str, str]]) -> About:
    """The selection of an audit: ids, hosts, and what belongs to hosts and projects; errors as in :func:`chosen`."""
    found: list[Chosen] = []
    more: set[str] = set()
    doubts: list[str] = []
    wanted = list(dict.fromkeys(asked))
    with finding(config, {kind for kind, _ in wanted}) as finder:
        for kind, text in wanted:
            found.append(finder.resolve(kind, text))
            finder.unread.clear()
            more |= finder.members(kind, found[-1].id)
            doubts += [
                f"not everything that belongs to {kind} {text} is known: {why}" for why in finder.unread.values()
            ]
    return About.of(found, more, doubts)


def about_snapshot(config: Config, name: str, asked: Iterable[tuple[str, str]]) -> About:
    """As :func:`about`, for a snapshot: it contains only ids, so names are looked up in the live cloud."""
    folder = find(config, name)
    manifest = read_manifest(folder)
    found: list[Chosen] = []
    more: set[str] = set()
    with closing(open_snapshot(folder, manifest.now)) as query:
        for kind, text in dict.fromkeys(asked):
            found.append(_in_snapshot(config, query, manifest, kind, text))
            for member, column in MEMBERS.get(kind, ()):
                of = KINDS[member]
                more |= set(_values(query, f"{of.service}_{of.table}", of.key, column, found[-1].id))
    return About.of(found, more)


def _in_snapshot(config: Config, query: DuckQuery, manifest: Manifest, kind: str, text: str) -> Chosen:
    if found := _held(query, kind, text):
        return Chosen(kind=kind, asked=text, id=found)
    try:
        meant, why = chosen(config, [(kind, text)])[kind, text], ""
    except StackmendError as problem:
        meant, why = Chosen(kind=kind, asked=text, id=text), problem.message
    if meant.id != text and (found := _held(query, kind, meant.id)):
        return replace(meant, id=found)
    if failed := manifest.failed():
        return replace(
            meant, doubt=f"the snapshot lacks {', '.join(failed)}: {kind} {text} is not in the rest, but may be there"
        )
    now = f"; in the cloud as it is now, {why}" if why else ""
    raise UsageError(
        f"the snapshot has no {kind} {text!r}{now}",
        f"It contains ids and host names; it was taken at {manifest.created_at}.",
    )


def _held(query: DuckQuery, kind: str, text: str) -> str:
    """The id as the snapshot writes it, or ""."""
    every = (found for label, column in labelled(kind) for found in _values(query, label, column, column, text))
    return next(every, "")


def _values(query: DuckQuery, label: str, wanted: str, column: str, text: str) -> list[str]:
    """Values of a column of the rows with this text in another; none of tables and columns that are not collected."""
    if label not in labels() or not {wanted, column} <= set(schema(label).names):
        return []
    try:
        sql = f'SELECT DISTINCT "{wanted}" AS found FROM "{label}" WHERE "{column}" = $text'
        rows = query.rows(sql, {"text": text})
    except StackmendError:
        return []
    return [str(row["found"]) for row in rows if row["found"] is not None]
