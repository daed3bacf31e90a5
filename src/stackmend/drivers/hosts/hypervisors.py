# SPDX-License-Identifier: Apache-2.0
"""Hypervisors as a source of tables: each is read once, many at a time, and one that does not answer is named.

So is a part of a host that could not be read; nothing else of that host is the less sure for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from stackmend.drivers import asking
from stackmend.drivers.hosts.rows import rows_of
from stackmend.drivers.snapshot.shape import schema
from stackmend.model.errors import SourceError
from stackmend.model.objects.facts import Domain
from stackmend.model.objects.traces import Traces
from stackmend.model.protocols import Progress
from stackmend.model.sight import HostLook
from stackmend.model.snapshot import Source
from stackmend.tables.outside import of_service
from stackmend.tables.outside.hosts import PARTS, SERVICE

#: number of hosts read at a time
AT_ONCE = 20
#: seconds that one host may take
LIMIT = 30.0

ReadHost = Callable[[str], Sequence[Domain]]
#: the domains, and what is beside them
ReadWhole = Callable[[str], tuple[Sequence[Domain], Traces]]
Row = dict[str, object]

_PART_OF = {label: part for part, one in PARTS.items() for label in one.labels}


@dataclass(slots=True)
class Hypervisors:
    """The tables of some hosts (:class:`stackmend.drivers.snapshot.recollect.TableSource`).

    ``read`` gives all domains of a host, or raises SourceError, and ends in bounded time. So does ``whole``, with what
    is beside them; without it, those tables are not read.
    """

    read: ReadHost
    hosts: Sequence[str]
    at_once: int = AT_ONCE
    whole: ReadWhole | None = None
    _seen: dict[str, set[str]] = field(default_factory=dict)  #: uuid of a domain -> hosts that had it
    _devices: dict[str, set[str]] = field(default_factory=dict)  #: serial of a disk, port of a NIC -> hosts with it
    _failed: dict[str, HostLook] = field(default_factory=dict)  #: host -> a look that failed
    _closed: set[tuple[str, str]] = field(default_factory=set)  #: (host, part of it that could not be read)

    def serves(self, label: str) -> bool:
        """Whether this is one of their tables."""
        return label in of_service(SERVICE)

    def look(self, findings: Sequence[Mapping[str, object]]) -> HypervisorRead:
        """A new read of the hosts that these findings name, and of those that had their domains.

        A host that could not be read at first is not read because a finding names it: nothing was concluded from it,
        and one that is down would take every other finding with it.
        """
        values = {str(value) for finding in findings for value in finding.values() if value is not None}
        return HypervisorRead(self, (values & set(self.hosts)) - self._failed.keys())

    def now(self) -> str:
        """UTC now by this machine's clock."""
        return asking.now()

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> list[Source]:
        """Read every host; all of their tables are written if any is wanted."""
        if not any(map(self.serves, labels)):
            return []
        visits = self.visit(self.hosts, progress, whole=True)
        for visit in visits:
            self._remember(visit)
        for label in sorted(of_service(SERVICE)):
            (into / label).mkdir(exist_ok=True)
            parquet.write_table(_table(label, visits), into / label / f"{SERVICE}-0.parquet", compression="lz4")
        return [source for visit in visits for source in _sources(visit)]

    def where(self, uuids: Iterable[object]) -> set[str]:
        """The hosts that had one of these domains when all were read; if none had any, all that could be read."""
        if not self._seen:
            return set(self.hosts) - self._failed.keys()
        return {host for uuid in uuids for host in self._seen.get(str(uuid), ())}

    def again(self, names: Iterable[str], progress: Progress) -> dict[str, HostLook]:
        """A new look at the hosts among these names, and at those that had a domain or device of such a name.

        A host that could not be read before is not asked again: it would take as long as then.
        """
        wanted = set(names)
        hosts = {host for name in wanted for host in self._seen.get(name, set()) | self._devices.get(name, set())}
        hosts |= wanted.intersection(self.hosts)
        looks = self.visit(hosts - self._failed.keys(), progress)
        return {host: self._failed[host] for host in sorted(hosts & self._failed.keys())} | {
            look.host: look for look in looks
        }

    def _remember(self, look: HostLook) -> None:
        if look.problem:
            self._failed[look.host] = look
        self._closed |= {(look.host, part) for part, why in look.traces.parts.items() if why}
        for domain in look.domains:
            self._seen.setdefault(domain.uuid, set()).add(look.host)
            devices = [*(disk.serial for disk in domain.disks), *(nic.port for nic in domain.interfaces)]
            for device in filter(None, devices):
                self._devices.setdefault(device, set()).add(look.host)

    def closed(self, host: str, label: str) -> bool:
        """Whether nothing was concluded from this table of a host, because it could not be read at first."""
        return (host, _PART_OF.get(label, "")) in self._closed

    def visit(self, hosts: Iterable[str], progress: Progress, *, whole: bool = False) -> list[HostLook]:
        """Read these hosts, some at a time; ``whole``: with what is beside domains."""
        look = partial(self._visited, whole=whole)
        return asking.each(look, sorted(set(hosts)), self.at_once, "reading hypervisors", progress)

    def _visited(self, host: str, *, whole: bool) -> HostLook:
        start = self.now()
        try:
            found, traces = self.whole(host) if whole and self.whole else (self.read(host), Traces())
        except SourceError as problem:
            return HostLook(host=host, start=start, end=self.now(), problem=problem.message)
        return HostLook(host=host, start=start, end=self.now(), domains=tuple(found), traces=traces)


class HypervisorRead:
    """One narrow read (:class:`stackmend.drivers.snapshot.recollect.TableRead`): no host is read twice in it."""

    def __init__(self, of: Hypervisors, named: Iterable[str]) -> None:
        self._of, self._named = of, set(named)
        self._visits: dict[str, HostLook] = {}

    def read(self, label: str, wanted: Mapping[str, Sequence[object]] | None) -> pa.Table:
        """The rows with these values, read anew; SourceError if a host that may have them cannot be read."""
        hosts = self._hosts(wanted)
        for visit in self._of.visit(hosts - self._visits.keys(), asking.unseen, whole=True):
            self._visits[visit.host] = visit
        for host in sorted(hosts):
            if trouble := _trouble(self._visits[host], "" if self._of.closed(host, label) else label):
                raise SourceError(trouble)
        sure = [visit for visit in self._visits.values() if not visit.problem]
        return asking.kept(label, _rows(label, sure), wanted)

    def _hosts(self, wanted: Mapping[str, Sequence[object]] | None) -> set[str]:
        if wanted is None:
            return set(self._of.hosts)
        if "host" in wanted:
            return {str(host) for host in wanted["host"]} & set(self._of.hosts)
        return (self._of.where(wanted.get("uuid", ())) | self._named) & set(self._of.hosts)


def _trouble(visit: HostLook, label: str) -> str:
    """Why the rows of a host are not known; ``label``: those of this table, too."""
    part = _PART_OF.get(label, "")
    if visit.problem:
        return f"hypervisor {visit.host} could not be read: {visit.problem}"
    why = visit.traces.parts.get(part, "")
    return f"{PARTS[part].what} of {visit.host} could not be read: {why}" if why else ""


def _sources(visit: HostLook) -> list[Source]:
    """The host, and each part of it that could not be read."""
    read = [label for label in sorted(of_service(SERVICE)) if _gives(visit, label)]
    whole = Source(
        database=f"{SERVICE}:{visit.host}",
        start=visit.start,
        end=visit.end,
        rows={} if visit.problem else {label: len(rows_of(label, visit)) for label in read},
        error=visit.problem,
        outside=f"hypervisor {visit.host}",
    )
    return [
        whole,
        *(
            replace(
                whole,
                database=f"{whole.database}/{part}",
                rows={},
                error=why,
                outside=f"{PARTS[part].what} of {visit.host}",
                about=PARTS[part].labels,
            )
            for part, why in visit.traces.parts.items()
            if why
        ),
    ]


def _gives(visit: HostLook, label: str) -> bool:
    """Whether a table of a host is known: that of a part that was asked for and could be read."""
    return label not in _PART_OF or visit.traces.parts.get(_PART_OF[label]) == ""


def _table(label: str, visits: Sequence[HostLook]) -> pa.Table:
    return pa.Table.from_pylist(_rows(label, [one for one in visits if not one.problem]), schema=schema(label))


def _rows(label: str, visits: Iterable[HostLook]) -> list[Row]:
    return [row for visit in visits for row in rows_of(label, visit)]
