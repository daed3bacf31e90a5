# SPDX-License-Identifier: Apache-2.0
"""What servers, ports and volumes leave on a host, read by one command on it, with its domains if virsh is to say them.

Nothing of it needs a program but what sysfs and files do not show: whether maps are open (dmsetup), and which port an
interface of Open vSwitch is of (ovsdb-client). A part that cannot be read says why, and the others are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from stackmend.drivers.hosts import virsh
from stackmend.drivers.hosts.words import last_line
from stackmend.hosts import apparmor
from stackmend.hosts.scripts import script
from stackmend.model.errors import SourceError
from stackmend.model.objects.facts import Domain
from stackmend.model.objects.traces import (
    BlockMap,
    Directory,
    GuestProfile,
    Link,
    Namespace,
    Path,
    Session,
    Traces,
    stem,
)
from stackmend.model.protocols import Hosts
from stackmend.tables.outside.hosts import PARTS

#: seconds that all parts may take, those which hang included: each of their programs is ended after five
LIMIT = 25.0
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAMESPACE = re.compile(rf"(qdhcp|qrouter|snat|fip)-({_UUID})")
#: how Cinder calls a volume, in names of targets
_VOLUME = re.compile(rf"volume-({_UUID})")
_DIRECTORY = re.compile(rf"({_UUID})(?:_(resize))?")
#: file systems that are of one host alone, as stat(1) calls them
_LOCAL = frozenset({"ext2/ext3", "xfs", "btrfs", "zfs", "f2fs", "overlayfs", "tmpfs"})
_PREFIX = 3
_IFACE_ID = "iface-id"

Records = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where they lie on a host."""

    instances: str
    root: str = ""  #: of the file system
    container: tuple[
        str, ...
    ] = ()  #: what precedes a command in the container with libvirt and the instances directory


def beside(hosts: Hosts, host: str, place: Place) -> Traces:
    """What is beside libvirt. If the command cannot be run, every part says why; never raises SourceError."""
    try:
        out = _run(hosts, host, place, "", LIMIT)
    except SourceError as problem:
        return Traces(parts=dict.fromkeys(PARTS, problem.message))
    return parsed(out.split("\0"))


def with_domains(hosts: Hosts, host: str, place: Place, limit: float) -> tuple[list[Domain], Traces]:
    """The domains by virsh, and what is beside them. SourceError unless all domains were read."""
    parts = _run(hosts, host, place, script("domains"), limit + LIMIT).split("\0")
    end = next((at for at in range(0, len(parts), virsh.PARTS) if parts[at] == virsh.END), None)
    if end is None:
        raise SourceError(*virsh.silent(host, "it says no end"))
    return virsh.parsed(host, parts[:end]), parsed(parts[end + 1 :])


def _run(hosts: Hosts, host: str, place: Place, domains: str, limit: float) -> str:
    words = (place.root, place.instances, apparmor.LOADED, domains, *place.container)
    done = hosts.run(host, ("sh", "-c", script("traces"), "stackmend", *words), limit=limit)
    if done.code != 0 or not done.out.endswith(b"end\0"):
        why = last_line(done.err) or f"exit code {done.code}"
        raise SourceError(*(virsh.silent(host, why) if domains else (f"{host} does not answer: {why}", "")))
    return done.out.decode(errors="replace")


def parsed(said: Iterable[str]) -> Traces:
    """What the command said; a part that says nothing, or what is not understood, was not read."""
    found: dict[str, object] = {}
    parts: dict[str, str] = {}
    records: list[list[str]] = []
    for text in said:
        kind, *words = text.split("\t")
        if kind == "whole":
            name = words[0]
            try:
                found |= _READ[name](records)
                parts[name] = ""
            except (ValueError, IndexError, KeyError, msgspec.MsgspecError) as problem:
                parts[name] = f"what it says is not understood: {problem}"
        elif kind == "closed":
            parts[words[0]] = words[1] or "the host does not say why"
        else:
            records.append([kind, *words])
            continue
        records = []
    return Traces(**found, parts={name: parts.get(name, "the host does not say") for name in PARTS})  # type: ignore[arg-type]


def _of(kind: str, records: Records) -> Iterator[Sequence[str]]:
    return (words for first, *words in records if first == kind)


def _links(records: Records) -> dict[str, object]:
    ports = {name: port for (text, *_) in _of("ovs", records) for name, port in _interfaces(text)}
    held = {name: carrier == "1" for name, carrier, *_ in _of("link", records)}
    stems = {name: stem(ports.get(name, "")) or stem(name[_PREFIX:]) for name in {**held, **ports}}
    links = [
        Link(name=name, stem=own, port=ports.get(name, ""), held=held.get(name, False))
        for name, own in sorted(stems.items())
        if own
    ]
    return {"links": tuple(links)}


class _Answer(msgspec.Struct):
    rows: list[dict[str, object]]


def _interfaces(text: str) -> Iterator[tuple[str, str]]:
    """(name, port) of each interface of Open vSwitch that has one; a map is ["map", [[key, value], ...]] (RFC 7047)."""
    for row in msgspec.json.decode(text, type=list[_Answer])[0].rows:
        kind, pairs = msgspec.convert(row["external_ids"], tuple[str, list[tuple[str, str]]])
        if kind == "map" and stem(port := dict(pairs).get(_IFACE_ID, "")):
            yield str(row["name"]), port.lower()


def _namespaces(records: Records) -> dict[str, object]:
    matches = (_NAMESPACE.fullmatch(name) for name, *_ in _of("netns", records))
    return {"namespaces": tuple(Namespace(name=m[0], kind=m[1], resource=m[2]) for m in matches if m)}


def _devices(records: Records) -> dict[str, object]:
    sessions = tuple(_session(*words[:4]) for words in _of("session", records))
    return {"sessions": sessions, "maps": tuple(_map(*words[:6]) for words in _of("map", records))}


def _session(name: str, target: str, state: str, disks: str) -> Session:
    volume = _VOLUME.search(target.lower())
    return Session(name=name, target=target, state=state, disks=int(disks), volume=volume[1] if volume else "")


def _map(device: str, name: str, uuid: str, paths: str, holders: str, opened: str) -> BlockMap:
    kind, _, unit = uuid.partition("-")
    return BlockMap(
        name=name,
        device=device,
        kind="multipath" if kind == "mpath" else "crypt",
        unit=unit.lower() if kind == "mpath" else "",
        paths=tuple(
            Path(name=own, state=state, unit=wwid.lower())
            for own, state, wwid in (one.split("=") for one in paths.split(",") if one)
        ),
        holders=int(holders),
        opened=int(opened),
    )


def _profiles(records: Records) -> dict[str, object]:
    said = [(kind, words[0]) for kind, *words in records if words]
    device = any(kind == "device" for kind, _ in said)
    verdicts = apparmor.verdicts(said)
    profiles = [GuestProfile(server=name, verdict=one.value, device=device) for name, one in verdicts.items()]
    return {"profiles": tuple(profiles)}


def _directories(records: Records) -> dict[str, object]:
    (kind, *_), *_ = _of("filesystem", records)
    local = kind in _LOCAL
    paths = [path for path, *_ in _of("directory", records)]
    matches = [(path, _DIRECTORY.fullmatch(path.rpartition("/")[2])) for path in paths]
    found = [Directory(server=m[1], role=m[2] or "", path=path, local=local) for path, m in matches if m]
    return {"directories": tuple(found)}


#: part -> what it says
_READ: Mapping[str, Callable[[Records], dict[str, object]]] = {
    "links": _links,
    "namespaces": _namespaces,
    "devices": _devices,
    "profiles": _profiles,
    "directories": _directories,
}
