# SPDX-License-Identifier: Apache-2.0
"""The objects named by operators: where each kind is found by id or name, in databases and through the APIs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from stackmend.model.errors import SourceError
from stackmend.model.protocols import Api
from stackmend.tables.nova import SOFT_CHILDREN

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
#: microversions of Nova that show everything needed about a server, and servers of cells that are down
_HOST, _DOWN = "2.3", "2.69"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind:
    """Where to find a kind of object, and the columns with its attributes ("" for none)."""

    name: str
    service: str  #: "nova" for every cell
    table: str
    key: str
    title: str = ""
    project: str = ""
    host: str = ""
    state: str = ""
    alive: Mapping[str, int] = field(default_factory=dict)  #: values of its row while it is not deleted
    listing: str = ""  #: the command that lists them


KINDS = {
    one.name: one
    for one in (
        ObjectKind(
            name="server", service="nova", table="instances", key="uuid", title="display_name", project="project_id",
            host="host", state="vm_state", alive={"deleted": 0}, listing="openstack server list --all-projects",
        ),
        ObjectKind(
            name="volume", service="cinder", table="volumes", key="id", title="display_name", project="project_id",
            state="status", alive={"deleted": 0}, listing="openstack volume list --all-projects",
        ),
        ObjectKind(
            name="port", service="neutron", table="ports", key="id", title="name", project="project_id",
            state="status", listing="openstack port list",
        ),
        ObjectKind(
            name="network", service="neutron", table="networks", key="id", title="name", project="project_id",
            state="status", listing="openstack network list",
        ),
        ObjectKind(
            name="image", service="glance", table="images", key="id", title="name", project="owner", state="status",
        ),
        ObjectKind(
            name="host", service="nova", table="services", key="host", alive={"deleted": 0},
            listing="openstack compute service list",
        ),
        ObjectKind(
            name="project", service="keystone", table="project", key="id", title="name", project="domain_id",
            listing="openstack project list",
        ),
    )
}  # fmt: skip

#: further tables that mention an object: (service, table, column). The checks know where the others are
MENTIONS = {
    "server": (
        ("nova", "shadow_instances", "uuid"),
        *(("nova", table, "instance_uuid") for table in SOFT_CHILDREN),
        ("nova_api", "request_specs", "instance_uuid"),
    ),
    "host": (
        ("nova_api", "host_mappings", "host"),
        ("nova", "compute_nodes", "host"),
        ("nova", "instances", "host"),
        ("nova", "migrations", "source_compute"),
        ("nova", "migrations", "dest_compute"),
        ("neutron", "agents", "host"),
        ("neutron", "ml2_port_bindings", "host"),
        ("cinder", "volume_attachment", "attached_host"),
    ),
    "project": (
        ("nova", "instances", "project_id"),
        ("neutron", "ports", "project_id"),
        ("cinder", "volumes", "project_id"),
    ),
}
#: objects that belong to a host or a project: kind -> (kind of the object, column that names its owner)
MEMBERS = {
    "host": (("server", "host"),),
    "project": (("server", "project_id"), ("volume", "project_id"), ("port", "project_id")),
}


def columns() -> dict[str, dict[str, frozenset[str]]]:
    """What tells objects apart: service -> table -> columns."""
    found: dict[str, dict[str, set[str]]] = {}
    for kind in KINDS.values():
        own = {kind.key, kind.title, kind.project, kind.host, kind.state, *kind.alive} - {""}
        found.setdefault(kind.service, {}).setdefault(kind.table, set()).update(own)
    for service, table, column in (one for some in MENTIONS.values() for one in some):
        found.setdefault(service, {}).setdefault(table, set()).add(column)
    return {service: {t: frozenset(c) for t, c in some.items()} for service, some in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One object as its service records it."""

    kind: str
    id: str
    name: str = ""
    project: str = ""
    host: str = ""
    state: str = ""
    alive: bool = True

    @property
    def about(self) -> str:
        """``project demo, host c01, active``."""
        whose = f"{'domain' if self.kind == 'project' else 'project'} {self.project}" if self.project else ""
        state = self.state if self.alive else "deleted"
        return ", ".join(part for part in (whose, f"host {self.host}" if self.host else "", state) if part)


def of_row(kind: ObjectKind, row: Mapping[str, object]) -> Known:
    """The object of a database row."""

    def text(column: str) -> str:
        return str(row.get(column) or "") if column else ""

    return Known(
        kind=kind.name,
        id=text(kind.key),
        name=text(kind.title),
        project=text(kind.project),
        host=text(kind.host),
        state=text(kind.state),
        alive=not row.get("deleted"),
    )


def best(found: Iterable[Known], text: str) -> list[Known]:
    """The objects meant, each once: live ones before deleted ones, exact spelling before other case.

    In Nova's own tables a server that moved between cells, or was deleted and revived, can have several rows.
    """
    each: dict[str, Known] = {}
    for one in sorted(found, key=lambda known: known.alive):
        each[one.id.lower()] = one
    every = list(each.values())
    for fits in (lambda one: one.alive, lambda one: text in (one.id, one.name)):
        every = [one for one in every if fits(one)] or every
    return sorted(every, key=lambda one: (one.project, one.host, one.id))


# -- through the APIs


def by_api(api: Api, kind: ObjectKind, text: str) -> list[Known]:
    """The objects with this id or name; SourceError if the service does not answer."""
    shown = _SHOWN[kind.name]
    if kind.name == "host":
        listed = _every(api, shown, f"{shown.path}?host={quote(text, safe='')}")
        return [_known(kind, shown, one) for one in listed if str(one["host"]).lower() == text.lower()]
    if UUID.fullmatch(text) or kind.name == "project":
        body = api.get(shown.service, f"{shown.one or shown.path}/{quote(text, safe='')}", shown.version)
        if body:
            return [_known(kind, shown, body[kind.name])]
    wanted = f"^{re.escape(text)}$" if kind.name == "server" else text
    mark = "&" if "?" in shown.path else "?"
    listed = _every(api, shown, f"{shown.path}{mark}name={quote(wanted, safe='')}")
    return [_known(kind, shown, one) for one in listed if str(one.get("name") or "").lower() == text.lower()]


def names_by_api(api: Api, kind: ObjectKind) -> Iterator[tuple[str, str]]:
    """(id, name) of all objects of a kind."""
    shown = _SHOWN[kind.name]
    for one in _every(api, shown, shown.path):
        yield str(one[shown.key]), str(one.get("name") or "")


def silent_by_api(api: Api, kind: ObjectKind) -> tuple[()]:
    """Nothing; SourceError if the service leaves out some objects, as Nova does those of a cell that is down.

    A query by name does not return such servers; the list of all servers has their ids (2.69).
    """
    shown = _SHOWN[kind.name]
    if kind.name != "server" or not api.offers(shown.service, _DOWN):
        return ()
    away = sum(one.get("status") == "UNKNOWN" for one in api.every(shown.service, shown.path, shown.members, _DOWN))
    if away:
        raise SourceError(f"Nova shows no names for {away} servers: their cell does not answer")
    return ()


def members_by_api(api: Api, kind: str, column: str, owner: str) -> Iterator[str]:
    """Ids of the objects of a kind that belong to this owner (a host or a project)."""
    shown = _SHOWN[kind]
    mark = "&" if "?" in shown.path else "?"
    for one in _every(api, shown, f"{shown.path}{mark}{column}={quote(owner, safe='')}"):
        if str(one.get(shown.host if column == "host" else shown.project) or "") == owner:
            yield str(one[shown.key])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """How a service's API shows a kind."""

    service: str
    path: str
    members: str
    version: str = ""
    one: str = ""  #: path of a single object, if different
    key: str = "id"
    project: str = "project_id"
    host: str = ""
    state: str = "status"


_SHOWN = {
    "server": _Shown(
        service="compute", path="/servers/detail?all_tenants=1", one="/servers", members="servers", version=_HOST,
        project="tenant_id", host="OS-EXT-SRV-ATTR:host", state="OS-EXT-STS:vm_state",
    ),
    "volume": _Shown(
        service="block-storage", path="/volumes/detail?all_tenants=1", one="/volumes", members="volumes",
        version="3.0", project="os-vol-tenant-attr:tenant_id",
    ),
    "port": _Shown(service="network", path="/ports", members="ports", host="binding:host_id"),
    "network": _Shown(service="network", path="/networks", members="networks"),
    "host": _Shown(service="compute", path="/os-services", members="services", version="2.53", key="host", project=""),
    "project": _Shown(service="identity", path="/projects", members="projects", project="domain_id", state=""),
}  # fmt: skip


def _every(api: Api, shown: _Shown, path: str) -> Sequence[Mapping[str, object]]:
    if shown.members in ("services", "projects"):  # these are not paginated
        return list((api.get(shown.service, path, shown.version) or {}).get(shown.members, ()))
    return list(api.every(shown.service, path, shown.members, shown.version))


def _known(kind: ObjectKind, shown: _Shown, one: Mapping[str, object]) -> Known:
    def text(name: str) -> str:
        return str(one.get(name) or "") if name else ""

    state = "" if kind.name == "host" else text(shown.state)
    return Known(
        kind=kind.name,
        id=text(shown.key),
        name="" if kind.name == "host" else text("name"),
        project=text(shown.project),
        host=text(shown.host),
        state=state,
        alive=state != "deleted",
    )
