# SPDX-License-Identifier: Apache-2.0
"""Hypervisors: the domains of each, by libvirt through its URI, or by virsh over the transport to hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackmend.app.outside import ALL, Reader
from stackmend.engine.auditing.sighting import concerned
from stackmend.model.check import Check
from stackmend.model.errors import ConfigError, SourceError, StackmendError, UsageError
from stackmend.model.protocols import Progress, Query
from stackmend.model.sight import HostLook
from stackmend.model.snapshot import CELL, Manifest, service_of_source
from stackmend.tables.outside import of_service
from stackmend.tables.outside.hosts import PARTS, SERVICE

if TYPE_CHECKING:
    from stackmend.app.session import CloudSession
    from stackmend.config.settings import Config
    from stackmend.drivers.hosts.hypervisors import Hypervisors, ReadHost, ReadWhole
    from stackmend.model.objects.facts import Domain

#: check -> rows it returned
FoundRows = Mapping[str, Sequence[Mapping[str, object]]]


@contextmanager
def _opened(session: CloudSession, names: Sequence[str]) -> Iterator[Hypervisors]:
    """ConfigError if no way to hypervisors is configured, UsageError for a host that Nova does not know."""
    from stackmend.drivers.hosts.hypervisors import Hypervisors

    config = session.config
    if not _configured(config):
        raise ConfigError(
            "no way to hypervisors is configured",
            'Write [hosts] and libvirt = "qemu+ssh://root@{host}/system", or transport = "ssh".',
        )
    hosts = _wanted(session, names)
    _apart(config, hosts)
    with _reading(config) as (read, whole):
        yield Hypervisors(read, hosts, whole=whole)


@contextmanager
def _reading(config: Config) -> Iterator[tuple[ReadHost, ReadWhole | None]]:
    """What reads all domains of a host, and what reads as well what is beside them, if the site can run commands there.

    ConfigError if libvirt is to be asked and its library is not installed.
    """
    from stackmend.drivers.hosts import libvirt, looking, traces, virsh
    from stackmend.drivers.hosts.hypervisors import LIMIT
    from stackmend.drivers.hosts.transport import Transport

    place = traces.Place(instances=config.instances_path, container=config.routes.container)
    with closing(Transport(config.routes)) as transport, closing(transport.inside()) as inside:
        if not config.libvirt:
            yield (
                partial(virsh.domains, inside, limit=LIMIT),
                partial(traces.with_domains, transport, place=place, limit=LIMIT),
            )
            return
        libvirt.library()  # said once, not for each host
        read = partial(looking.domains, config.libvirt, limit=LIMIT)
        yield read, None if _lacks(config) else lambda host: (read(host), traces.beside(transport, host, place))


def _lacks(config: Config) -> frozenset[str]:
    """The tables that only a command on the host shows, if none can be run there."""
    commanded = config.routes.transport or config.routes.local
    return frozenset() if commanded else frozenset(label for part in PARTS.values() for label in part.labels)


def standing(session: CloudSession) -> Hypervisors | None:
    """The hypervisors that this session reads; None if it reads none."""
    from stackmend.drivers.hosts.hypervisors import Hypervisors
    from stackmend.drivers.snapshot.elsewhere import Elsewhere

    others = session.elsewhere.others if isinstance(session.elsewhere, Elsewhere) else ()
    return next((one for one in others if isinstance(one, Hypervisors)), None)


@dataclass(slots=True)
class Watch:
    """Looks at hypervisors, each once, as witnesses of a plan."""

    config: Config
    looks: dict[str, HostLook] = field(default_factory=dict)
    _read: ReadHost | None = None
    _why: str = ""  #: why none can be read

    def look(self, hosts: Iterable[str]) -> None:
        """Look at those of these hosts that were not looked at yet."""
        from stackmend.drivers.hosts.hypervisors import Hypervisors

        wanted = sorted(set(hosts) - self.looks.keys())
        read, why = self._read, self._why
        try:
            _apart(self.config, sorted({*wanted, *(one.host for one in self.looks.values() if not one.problem)}))
        except ConfigError as problem:
            read, why = None, problem.message
        if read is None:
            self.looks |= {host: HostLook(host=host, problem=why) for host in wanted}
        elif wanted:
            found = Hypervisors(read, wanted).visit(wanted, lambda what, done, of: None)
            self.looks |= {one.host: one for one in found}

    def state(self, server: str, host: str) -> str:
        """The state of the domain of a server on a host, "" for none; SourceError if the host could not be read."""
        self.look((host,))
        if problem := self.looks[host].problem:
            raise SourceError(f"hypervisor {host} could not be read: {problem}")
        return next((one.state for one in self.looks[host].domains if one.uuid.lower() == server.lower()), "")


@contextmanager
def watching(config: Config, looks: Mapping[str, HostLook], *, wanted: bool) -> Iterator[Watch]:
    """Hypervisors as witnesses, beginning with what was seen of them; unless ``wanted``, none is asked."""
    with ExitStack() as stack:
        read, why = None, "no way to hypervisors is configured here"
        if wanted and _configured(config):
            try:
                read, _ = stack.enter_context(_reading(config))
            except ConfigError as problem:
                why = problem.message
        yield Watch(config, dict(looks), read, why)


def known(session: CloudSession) -> set[str]:
    """The hosts that Nova knows; none if that cannot be read. Only these may be asked for what a file says."""
    try:
        return _known(session)[0]
    except SourceError:
        return set()


def _apart(config: Config, hosts: Sequence[str]) -> None:
    """ConfigError if several hosts would be the same one: each of its guests would seem to run several times."""
    if config.libvirt:
        if "{host}" not in config.libvirt and len(hosts) > 1:
            raise ConfigError(
                f"[hosts] libvirt is the same for {', '.join(hosts[:3])}: it has no {{host}}",
                'Write it as "qemu+ssh://root@{host}/system".',
            )
        return
    here = sorted(config.routes.local.intersection(hosts))
    if len(here) > 1:
        raise ConfigError(f"{', '.join(here)} are all this machine", "Name one of them: --hosts HOST.")


def _configured(config: Config) -> bool:
    return bool(config.libvirt or config.routes.transport or config.routes.local)


def _wanted(session: CloudSession, names: Sequence[str]) -> list[str]:
    """The hosts with these names, or every host with a nova-compute that runs guests by libvirt."""
    known, unread = _known(session)
    if not names or ALL in names:
        return sorted(known)
    for name in names:
        # it may be a host of a cell that cannot be read
        if name not in known and not unread:
            raise UsageError(f"Nova knows no hypervisor {name}", "See 'openstack compute service list'.")
    return sorted(set(names))


def _known(session: CloudSession) -> tuple[set[str], bool]:
    """(hosts of every cell, without those that have baremetal nodes alone; whether a cell could not be read)."""
    cells = [name for name in session.databases.addresses if name.startswith(CELL)]
    if not cells:
        raise SourceError(
            "which hosts there are is known by Nova's databases alone", "See [databases] in the TOML file."
        )
    hosts: set[str] = set()
    problems: list[SourceError] = []
    with session.live() as live:
        for database in cells:
            try:
                services = live.rows(database, "services", {"binary": "nova-compute", "deleted": 0})
                nodes = live.rows(database, "compute_nodes", {"deleted": 0})
            except SourceError as problem:
                problems.append(problem)
                continue
            metal = {str(n["host"]) for n in nodes if n["hypervisor_type"] == "ironic"}
            guests = {str(n["host"]) for n in nodes if n["hypervisor_type"] != "ironic"}
            hosts |= {str(one["host"]) for one in services if one["host"]} - (metal - guests)
    if len(problems) == len(cells):
        raise problems[0]
    return hosts, bool(problems)


def sight_labels(session: CloudSession, checks: Collection[Check]) -> frozenset[str]:
    """The tables of hypervisors, if this session reads them and a check can see something of its findings there."""
    wanted = any(check.sight for check in checks) and standing(session) is not None
    return of_service(SERVICE) if wanted else frozenset()


def looked(
    session: CloudSession, checks: Mapping[str, Check], rows: FoundRows, progress: Progress
) -> dict[str, HostLook]:
    """A new look at the hypervisors that these findings concern; {} if the audit reads none."""
    found = standing(session)
    names = concerned(checks, rows)
    return found.again(names, progress) if found is not None and names else {}


def of_snapshot(folder: Path, manifest: Manifest, checks: Mapping[str, Check], rows: FoundRows) -> dict[str, HostLook]:
    """What a snapshot has of the hypervisors, as far as it concerns these findings; {} if it has none."""
    sources = [one for one in manifest.sources if service_of_source(one.database) == SERVICE and not one.about]
    names = concerned(checks, rows)
    if not sources or not names:
        return {}
    from stackmend.drivers.snapshot.query import open_snapshot

    hosts = {one.database.partition(":")[2]: one for one in sources}
    try:
        with closing(open_snapshot(folder, manifest.now)) as query:
            domains = _domains(query, sorted(names))
    except StackmendError as problem:
        return {host: HostLook(host=host, problem=problem.message) for host in hosts}
    return {
        host: HostLook(
            host=host,
            start=one.start,
            end=one.end,
            domains=tuple(domains.get(host, ())),
            problem=one.trouble if one.error else "",
        )
        for host, one in hosts.items()
    }


#: what is needed of each table
_COLUMNS = {
    "host_domains": "t.host, t.uuid, t.name, t.state, t.runs",
    "host_disks": "t.host, t.uuid, t.target, t.source, t.kind, t.serial",
    "host_interfaces": "t.host, t.uuid, t.mac, t.target, t.port_id",
}
#: the domains that findings name, or that have a disk or NIC that they name
_WANTED = """
    WITH wanted AS (
        SELECT host, uuid FROM host_domains WHERE list_contains($names, uuid)
        UNION
        SELECT host, uuid FROM host_disks WHERE list_contains($names, serial)
        UNION
        SELECT host, uuid FROM host_interfaces WHERE list_contains($names, port_id))
    SELECT {columns} FROM {table} t JOIN wanted w ON w.host = t.host AND w.uuid = t.uuid"""


def _domains(query: Query, names: list[str]) -> dict[str, list[Domain]]:
    """Host -> its domains that these names concern."""
    rows = {
        table: query.rows(_WANTED.format(table=table, columns=columns), {"names": names})
        for table, columns in _COLUMNS.items()
    }
    devices: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for table in ("host_disks", "host_interfaces"):
        for row in rows[table]:
            devices.setdefault((table, row["host"], row["uuid"]), []).append(row)
    found: dict[str, list[Domain]] = {}
    for row in rows["host_domains"]:
        disks, nics = (devices.get((t, row["host"], row["uuid"]), []) for t in ("host_disks", "host_interfaces"))
        found.setdefault(row["host"], []).append(_domain(row, disks, nics))
    return found


def _domain(row: Mapping[str, Any], disks: list[dict[str, Any]], nics: list[dict[str, Any]]) -> Domain:
    from stackmend.model.objects.facts import Domain, DomainDisk, Interface

    return Domain(
        uuid=row["uuid"],
        name=row["name"] or "",
        state=row["state"] or "",
        # a table says only whether there is a number
        id=0 if row["runs"] else None,
        disks=tuple(
            DomainDisk(
                target=d["target"] or "", source=d["source"] or "", kind=d["kind"] or "", serial=d["serial"] or ""
            )
            for d in disks
        ),
        interfaces=tuple(
            Interface(mac=n["mac"] or "", target=n["target"] or "", port=n["port_id"] or "") for n in nics
        ),
    )


READER = Reader(
    service=SERVICE,
    configured=_configured,
    opened=_opened,
    lacks=_lacks,
    remedy='let commands be run on hosts: [hosts] transport = "ssh"',
)
