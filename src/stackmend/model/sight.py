# SPDX-License-Identifier: Apache-2.0
"""What hypervisors show of the objects that a finding names: which check can be seen there, and what was seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from stackmend.model.objects.facts import Domain
from stackmend.model.objects.traces import Traces

Row = Mapping[str, object]

#: of these states libvirt tells one or the other of a guest that runs
_RUNS = frozenset({"running", "blocked", "nostate"})
#: characters of a port's id in the name of its tap
_TAP = 11
#: what Cinder calls a volume on its back end
_VOLUME = re.compile(r"volume-([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")


class Says(StrEnum):
    """What a witness, the services' APIs or hypervisors, says about a finding made in the databases."""

    SUPPORTS = "supports"  #: it shows the same
    CONTRADICTS = "contradicts"  #: it shows otherwise
    UNKNOWN = "unknown"  #: it could not be asked, or shows nothing that decides


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLook:
    """Everything that one host showed at one moment; ``problem``: why it could not be read."""

    host: str
    start: str = ""
    end: str = ""  #: UTC
    domains: tuple[Domain, ...] = ()
    traces: Traces = field(default_factory=Traces)
    problem: str = ""


class Seen(NamedTuple):
    """A domain on a host; with the device asked for, if one was."""

    host: str
    domain: Domain
    device: str = ""  #: "vdb", "tap1f4..."

    @property
    def runs(self) -> bool:
        """Whether it has a process: what is only defined uses nothing."""
        return self.domain.id is not None

    @property
    def state(self) -> str:
        """Its state, with those alike that change by themselves."""
        return "running" if self.runs and self.domain.state in _RUNS else self.domain.state


class Sighted:
    """Some hypervisors as they were read. One that is not here, or has a problem, shows nothing: not even absence."""

    def __init__(self, looks: Mapping[str, HostLook] = MappingProxyType({})) -> None:
        self.looks = looks  #: by host
        self._guests: dict[str, list[Seen]] = {}
        self._volumes: dict[str, list[Seen]] = {}
        self._ports: dict[str, list[Seen]] = {}
        for host, look in sorted(looks.items()):
            for domain in look.domains if not look.problem else ():
                self._add(host, domain)

    def read(self, host: object) -> bool:
        """Whether everything on this host was read."""
        found = self.looks.get(str(host))
        return found is not None and not found.problem

    def guests(self, server: object) -> tuple[Seen, ...]:
        """The domains of a server, on whatever host."""
        return tuple(self._guests.get(str(server).lower(), ()))

    def running(self, server: object) -> tuple[str, ...]:
        """The hosts on which a domain of the server has a process."""
        return tuple(one.host for one in self.guests(server) if one.runs)

    def with_volume(self, volume: object) -> tuple[Seen, ...]:
        """The domains that have a volume as a disk: by its serial number, or by the name of what it is read from."""
        return tuple(self._volumes.get(str(volume).lower(), ()))

    def with_port(self, port: object) -> tuple[Seen, ...]:
        """The domains that have a NIC of a port: it is named in the definition, or in the name of its tap."""
        text = str(port).lower()
        return (*self._ports.get(text, ()), *self._ports.get(text[:_TAP], ()))

    def _add(self, host: str, domain: Domain) -> None:
        self._guests.setdefault(domain.uuid.lower(), []).append(Seen(host, domain))
        for disk in domain.disks:
            named = _VOLUME.search(disk.source)
            for volume in {disk.serial.lower(), named[1].lower() if named else ""} - {""}:
                self._volumes.setdefault(volume, []).append(Seen(host, domain, disk.target or "a disk"))
        for nic in domain.interfaces:
            tap = nic.target[3:][:_TAP] if nic.target.startswith("tap") else ""
            if port := nic.port or tap:
                self._ports.setdefault(port.lower(), []).append(Seen(host, domain, nic.target or "a NIC"))


def _same(one: str, other: object) -> bool:
    return bool(one) and one.lower() == str(other).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """That hypervisors show something of the findings of a check, and in which columns of them to look.

    ``judge`` says what that means for a finding: SUPPORTS, CONTRADICTS (it is dropped) or UNKNOWN, and a sentence.
    That a guest is on none of the hosts decides nothing: it may be off, or on one that was not read.
    """

    judge: Callable[[Row, Sighted], tuple[Says, str]]
    server: str = "server"  #: column with a server
    volume: str = ""  #: column with a volume that may be a disk of a guest
    port: str = ""  #: column with a port that may be a NIC of a guest
    hosts: tuple[str, ...] = ("host",)  #: columns with the hosts of which it matters what they show

    def shown(self, row: Row, seen: Sighted) -> dict[str, str]:
        """Host -> what it shows of the finding, for each that was read and that the finding concerns."""
        named = {str(row[column]) for column in self.hosts if row.get(column)}
        having = {one.host for one in (*seen.guests(row.get(self.server)), *self._devices(row, seen))}
        return {host: self._words(host, row, seen) for host in sorted(named | having) if seen.read(host)}

    def unread(self, row: Row, seen: Sighted) -> dict[str, str]:
        """Host -> why it shows nothing, for each that the finding names."""
        named = {str(row[column]) for column in self.hosts if row.get(column)}
        return {
            host: look.problem if (look := seen.looks.get(host)) else "it was not asked for"
            for host in sorted(named)
            if not seen.read(host)
        }

    def witness(self, row: Row, seen: Sighted) -> HostWitness:
        """What the hypervisors say about a finding."""
        shown = self.shown(row, seen)
        says, why = self.judge(row, seen) if shown else (Says.UNKNOWN, "")
        lines = [f"on {host}, read at {seen.looks[host].end} UTC: {words}" for host, words in shown.items()]
        lines += [f"{host} could not be seen: {why_not}" for host, why_not in self.unread(row, seen).items()]
        return HostWitness(says=says, reason=why, lines=tuple(lines), seen=shown)

    def _devices(self, row: Row, seen: Sighted) -> tuple[Seen, ...]:
        volumes = seen.with_volume(row[self.volume]) if self.volume and row.get(self.volume) else ()
        ports = seen.with_port(row[self.port]) if self.port and row.get(self.port) else ()
        return (*volumes, *ports)

    def _words(self, host: str, row: Row, seen: Sighted) -> str:
        server = row.get(self.server)
        having = [one for one in self._devices(row, seen) if one.host == host]
        words = [_device(one, server) for one in having]
        own = [one for one in seen.guests(server) if one.host == host]
        lacking = [
            f"without {what} {row[column]}"
            for what, column in (("volume", self.volume), ("port", self.port))
            if column and row.get(column) and not any(_same(one.domain.uuid, server) for one in having)
        ]
        domain = [f"its domain is {own[0].state}"] if own else [f"no domain of server {server}"] if server else []
        return ", ".join([*domain, *(lacking if own else []), *words]) or "nothing of it"


def _device(one: Seen, server: object) -> str:
    if _same(one.domain.uuid, server):
        return f"with it as {one.device}"
    return f"domain {one.domain.uuid}, {one.state}, has it as {one.device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWitness:
    """What hypervisors say about one finding."""

    says: Says
    reason: str = ""
    lines: tuple[str, ...] = ()  #: a line a host: when it was read and what it showed
    seen: Mapping[str, str] = field(default_factory=dict)  #: host -> what it showed: what a plan is bound to

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return {"says": self.says.value, "reason": self.reason, "seen": list(self.lines)}


def relevant(rows: Collection[Row]) -> set[str]:
    """Every text of these findings: names of hosts, and ids of servers, volumes and ports."""
    return {value for row in rows for value in row.values() if isinstance(value, str) and value}
