# SPDX-License-Identifier: Apache-2.0
"""The databases in the services' own files: which file is used for which database, and where two disagree.

Several files usually agree (a kolla controller has one per process, OpenStack-Ansible one per container). If they name
different databases, only the operator knows which cloud is meant. That is an error, because a repair in the wrong
cloud, or an audit of halves of two clouds, would be worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from stackmend.config.layouts import ANSIBLE, LAYOUTS, SERVICES, Hidden, ServiceSettings, anchored, places
from stackmend.config.ovn import OvnSettings
from stackmend.config.service_files import ServiceFiles, read, read_ovn
from stackmend.drivers.database.dialects.base import Address
from stackmend.model.errors import ConfigError, NoConfigError

_AS_ROOT = "Run as root, or as a user that may read the services' files."
_LOCAL = ("localhost", "127.0.0.1", "::1")


class FileState(Enum):
    """The role of a file for a database."""

    USED = "used"  #: its address is used
    SAME = "same"  #: agrees with the one in use
    DIFFERS = "differs"  #: names another database
    NONE = "none"  #: does not name it
    UNUSABLE = "unusable"  #: cannot be read, or is invalid


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """One file and its setting for one database."""

    database: str
    place: ServiceSettings
    state: FileState
    address: Address | None = None
    problem: ConfigError | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """Everything found below a root."""

    root: Path
    layout: str | None = None
    sources: Sequence[ConfigSource] = ()
    hidden: Sequence[Hidden] = ()
    base_url: str | None = field(default=None, repr=False)
    nova_settings: Mapping[str, str] = field(default_factory=dict)
    ovn: OvnSettings | None = None  #: of the Neutron in use; None also if its files cannot be read

    @property
    def used(self) -> dict[str, ConfigSource]:
        """Database -> the file in use."""
        return {source.database: source for source in self.sources if source.state is FileState.USED}

    @property
    def silent(self) -> bool:
        """Whether no file names, or might name, a database: this is not a controller."""
        return not self.hidden and all(source.state is FileState.NONE for source in self.sources)

    def problems(self) -> list[ConfigError]:
        """The errors that prevent using this; empty if there are none."""
        used = self.used
        found = [self._disagreement(used[s.database], s) for s in self.sources if s.state is FileState.DIFFERS]
        found += [s.problem for s in self.sources if s.problem and s.database not in used]
        if not used:
            return list({problem.message: problem for problem in found}.values()) or [self._nothing()]
        found += [*self._halves(), *self._unread()]
        return list({problem.message: problem for problem in found}.values())

    def _disagreement(self, used: ConfigSource, other: ConfigSource) -> ConfigError:
        one, two = used.place, other.place
        hint = (
            f"Select one: --layout {one.layout} or --layout {two.layout} (STACKMEND_LAYOUT)."
            if one.layout != two.layout
            else "Write a TOML file with [databases], or remove the file that is no longer in use."
        )
        return ConfigError(
            f"{one.path} and {two.path} name different databases for {used.database}:"
            f" {used.address} and {other.address}",
            hint,
        )

    def _halves(self) -> list[ConfigError]:
        """Two layouts that each supply what the other lacks, on disjoint sets of servers."""
        servers: dict[str, set[tuple[str, int]]] = {}
        for source in self.used.values():
            if source.address:
                servers.setdefault(source.place.layout, set()).add((source.address.host, source.address.port))
        (one, ours), *others = servers.items()
        return [
            ConfigError(
                f"{one} and {two} name databases on different servers: {_listed(ours)}, and {_listed(theirs)}",
                f"Select one: --layout {one} or --layout {two} (STACKMEND_LAYOUT), or write a TOML file.",
            )
            for two, theirs in others
            if not ours & theirs
        ]

    def _unread(self) -> list[ConfigError]:
        """Unreadable files of services whose database no other file names."""
        lacking = {s.name for s in SERVICES if not set(s.options) & set(self.used)}
        paths = [str(hidden.path) for hidden in self.hidden if hidden.service in lacking]
        return [ConfigError(f"{', '.join(paths)} cannot be read: permission denied", _AS_ROOT)] if paths else []

    def _nothing(self) -> ConfigError:
        empty = sorted({str(source.place.path) for source in self.sources})
        if empty:
            return NoConfigError(
                f"no configuration: no database is named in {', '.join(empty)}",
                "Only controllers know the databases. Run stackmend there, or copy their files and pass the folder"
                " with --root, or write a TOML file and pass it with --config or STACKMEND_CONFIG.",
            )
        if self.hidden:
            return ConfigError(
                f"no configuration: {', '.join(str(hidden.path) for hidden in self.hidden)} cannot be read",
                _AS_ROOT,
            )
        where = "" if self.root == Path("/") else f" below {self.root}"
        looked = self.layout or "packages, kolla or OpenStack-Ansible"
        return NoConfigError(
            f"no configuration: neither --config nor the services' own files ({looked}) were found{where}",
            "Write a TOML file with [databases] and pass it with --config or STACKMEND_CONFIG, run stackmend where"
            " /etc/nova/nova.conf or /etc/kolla/nova-api/nova.conf exists, or pass a folder with copies with --root."
            " With an account in OS_CLOUD, the services' APIs are enough for an audit.",
        )


def look(root: Path, layout: str | None = None) -> Discovered:
    """Search below ``root``; problems with single files are not errors yet."""
    if layout and layout not in LAYOUTS:
        raise ConfigError(f"there is no layout {layout}", f"Known: {', '.join(LAYOUTS)}.")
    if not root.is_dir():
        raise ConfigError(f"the root {root} is not a folder", "Check --root or STACKMEND_ROOT.")
    there, hidden = places(root.absolute(), layout)
    sources: list[ConfigSource] = []
    readings: dict[ServiceSettings, ServiceFiles] = {}
    for place in there:
        try:
            readings[place] = read(place)
        except ConfigError as problem:
            sources += [
                ConfigSource(name, place, FileState.UNUSABLE, problem=problem) for name in place.service.options
            ]
            continue
        sources += [_source(place, name, readings[place].urls.get(name)) for name in place.service.options]
    sources = _weighed(sources)
    nova = next((readings[place] for place in _novas(sources, there) if place in readings), None)
    return Discovered(
        root=root,
        layout=layout,
        sources=sources,
        hidden=hidden,
        base_url=nova.base if nova else None,
        nova_settings=nova.settings if nova else {},
        ovn=_ovn(sources),
    )


def _ovn(sources: Sequence[ConfigSource]) -> OvnSettings | None:
    """Where the OVN of the Neutron in use is. A file that cannot be used hinders nobody who does not ask for OVN."""
    for source in sources:
        if source.database == "neutron" and source.state is FileState.USED:
            with suppress(ConfigError):
                return read_ovn(source.place)
    return None


def _source(place: ServiceSettings, database: str, url: str | None) -> ConfigSource:
    if url is None:
        return ConfigSource(database, place, FileState.NONE)
    try:
        address = anchored(Address.from_url(url, f"the connection of {database} in {place.path}"), place.root)
    except ConfigError as problem:
        return ConfigSource(database, place, FileState.UNUSABLE, problem=problem)
    local = address.host in _LOCAL or "unix_socket" in address.options
    if missing := address.missing_files():
        return ConfigSource(database, place, FileState.USED, address, note=f"{', '.join(missing)} does not exist")
    own = "the container" if place.layout == ANSIBLE else "the machine whose files these are"
    note = f"this address refers to {own}, not to this machine" if local and place.root != Path("/") else ""
    return ConfigSource(database, place, FileState.USED, address, note=note)


def _weighed(sources: Sequence[ConfigSource]) -> list[ConfigSource]:
    """The first file that names a database is used; later ones agree or differ."""
    first: dict[str, Address] = {}
    found: list[ConfigSource] = []
    for source in sources:
        if source.state is FileState.USED and source.address:
            used = first.setdefault(source.database, source.address)
            if used is not source.address:
                same = where(used) == where(source.address)
                source = replace(source, state=FileState.SAME if same else FileState.DIFFERS)
        found.append(source)
    return found


def where(address: Address) -> tuple[str, ...]:
    """The identity of a database address, ignoring the account."""
    host = "localhost" if address.host in _LOCAL else address.host.lower()
    return (address.scheme, host, str(address.port), address.options.get("unix_socket", ""), address.database)


def _novas(sources: Sequence[ConfigSource], there: Sequence[ServiceSettings]) -> list[ServiceSettings]:
    """The places whose [database] may be the base of cell URLs: the API database's, else any of Nova's."""
    used = [source.place for source in sources if source.database == "nova_api" and source.state is FileState.USED]
    return used or [place for place in there if place.service.name == "nova"]


def _listed(servers: set[tuple[str, int]]) -> str:
    return ", ".join(f"{host}:{port}" for host, port in sorted(servers))
