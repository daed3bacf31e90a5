# SPDX-License-Identifier: Apache-2.0
"""Where the services' own files are: packages (Debian, RDO), kolla, and the containers of OpenStack-Ansible.

Everything is looked for below a root, ``/`` or a folder with copies of a controller's files. Symbolic links in it are
resolved as on the machine (or in the container) with this root: OpenStack-Ansible links ``/etc/nova`` to a folder
of the virtual environment, which on the host means another file or none.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from stackmend.drivers.database.dialects.base import FILES, Address

PACKAGES, KOLLA, ANSIBLE = "packages", "kolla", "openstack-ansible"
LAYOUTS = (PACKAGES, KOLLA, ANSIBLE)

_LINKS = 40  #: the kernel's limit
_CONTAINERS = "var/lib/lxc"


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """Where a service's settings may be, and which options hold the URLs of its databases."""

    name: str
    file: str
    kolla: tuple[str, ...]  #: folders of kolla, the most complete one first
    options: Mapping[str, tuple[str, str]]  #: database -> (section, option)
    before: tuple[str, ...]  #: read first, from packages: defaults of the distribution
    after: tuple[str, ...]  #: read last, files and folders

    def readings(self) -> tuple[str, ...]:
        """The files that a packaged service reads, in its order."""
        main = f"etc/{self.name}/{self.file}"
        beside = (f"{main}.d", f"etc/{self.name}/{self.name}.conf.d")
        return (*self.before, main, *dict.fromkeys((*self.after, *beside)))


def _service(
    name: str,
    kolla: str,
    options: Mapping[str, tuple[str, str]],
    *,
    file: str = "",
    dist: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
) -> Service:
    file = file or f"{name}.conf"
    before = (f"usr/share/{name}/{file.removesuffix('.conf')}-dist.conf", *dist)
    return Service(name, file, tuple(kolla.split()), options, before, after)


SERVICES = (
    # a cell conductor does not know the API database, and its [database] is the cell's
    _service(
        "nova",
        "nova-api nova-super-conductor nova-scheduler nova-metadata nova-cell-bootstrap nova-conductor",
        {"nova_api": ("api_database", "connection")},
    ),
    _service(
        "neutron",
        "neutron-server neutron-rpc-server neutron-periodic-worker",
        {"neutron": ("database", "connection")},
        dist=("usr/share/neutron/server",),
        after=("etc/neutron/plugin.ini", "etc/neutron/conf.d/common", "etc/neutron/conf.d/neutron-server"),
    ),
    _service(
        "cinder", "cinder-api cinder-scheduler cinder-volume cinder-backup", {"cinder": ("database", "connection")}
    ),
    _service("placement", "placement-api", {"placement": ("placement_database", "connection")}),
    _service("glance", "glance-api", {"glance": ("database", "connection")}, file="glance-api.conf"),
    _service("keystone", "keystone", {"keystone": ("database", "connection")}),
)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The settings of one service as one of its processes reads them."""

    service: Service
    layout: str
    path: Path  #: the main file, as a path on this machine
    root: Path  #: the root of paths inside the file
    container: str = ""
    readings: tuple[Path, ...] = field(default=())  #: files and folders in the order in which they are read


@dataclass(frozen=True, slots=True)
class Hidden:
    """A file or folder that this account cannot read."""

    path: Path
    service: str = ""  #: the service; empty if it may contain anything


def places(root: Path, layout: str | None = None) -> tuple[list[ServiceSettings], list[Hidden]]:
    """Every place below ``root``, packages first (only of ``layout`` if given), and unreadable paths."""
    found: list[ServiceSettings] = []
    hidden: list[Hidden] = []
    for service in SERVICES:
        for candidate in _candidates(root, service, hidden):
            if layout and candidate.layout != layout:
                continue
            try:
                if _is(stat.S_ISREG, inside(candidate.root, candidate.path.relative_to(candidate.root))):
                    found.append(_with_readings(candidate))
            except PermissionError:
                hidden.append(_hidden(candidate))
    return found, list(dict.fromkeys(h for h in hidden if not layout or layout in _layouts_of(root, h.path)))


def _hidden(place: ServiceSettings) -> Hidden:
    path = _shut(place.path)
    own = {place.service.name, *place.service.kolla} & set(path.relative_to(place.root).parts)
    return Hidden(path, place.service.name if own else "")


def _candidates(root: Path, service: Service, hidden: list[Hidden]) -> Iterator[ServiceSettings]:
    main = f"etc/{service.name}/{service.file}"
    yield ServiceSettings(service, PACKAGES, root / main, root)
    for folder in service.kolla:
        yield ServiceSettings(service, KOLLA, root / "etc/kolla" / folder / service.file, root)
    for name, base in containers(root, hidden):
        yield ServiceSettings(service, ANSIBLE, base / main, base, name)


def containers(root: Path, hidden: list[Hidden]) -> list[tuple[str, Path]]:
    """(name, root) of the LXC containers below ``root``; those on unmounted volumes have no files."""
    folder = root / _CONTAINERS
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except PermissionError:
        hidden.append(Hidden(_shut(folder)))
        return []
    except OSError:
        return []
    return [(name, folder / name / "rootfs") for name in names]


def _layouts_of(root: Path, path: Path) -> tuple[str, ...]:
    """The layouts that a hidden path may belong to."""
    relative = str(path.relative_to(root)) if path != root else "."
    if relative.startswith("etc/kolla"):
        return (KOLLA,)
    if relative.startswith("var"):
        return (ANSIBLE,)
    return LAYOUTS if relative in ("etc", ".") else (PACKAGES,)


def _with_readings(place: ServiceSettings) -> ServiceSettings:
    """The place with its existing files; PermissionError if a part of it is unreadable."""
    if place.layout == KOLLA:
        main = place.path.relative_to(place.root)
        wanted = [main, main.with_name(main.name + ".d")]
    else:
        wanted = [Path(text) for text in place.service.readings()]
    there: list[Path] = []
    for path in wanted:
        real = inside(place.root, path)
        if _is(stat.S_ISREG, real):
            there.append(real)
        elif _is(stat.S_ISDIR, real):
            os.scandir(real).close()  # an unreadable folder would look empty to oslo.config
            there.append(real)
    return replace(place, readings=tuple(there))


def inside(root: Path, path: Path | str) -> Path:
    """The real path of ``path`` on a machine whose root is ``root``: links do not escape it."""
    if root == Path("/"):
        return root / path
    done, left, links = root, list(reversed(PurePosixPath(path).parts)), 0
    while left:
        part = left.pop()
        if part in ("/", ".."):
            done = root if part == "/" or done == root else done.parent
            continue
        step = done / part
        if os.path.islink(step) and links < _LINKS:
            links += 1
            left.extend(reversed(PurePosixPath(os.readlink(step)).parts))
        else:
            done = step
    return done


def anchored(address: Address, root: Path) -> Address:
    """The address with its files (``ssl_ca`` ...) resolved below the root they were written for."""
    files = {name: address.options[name] for name in FILES if address.options.get(name, "").startswith("/")}
    below = {name: inside(root, path) for name, path in files.items()}
    moved = {name: str(path) for name, path in below.items() if root != Path("/") and os.path.isfile(path)}
    return replace(address, options={**address.options, **moved}) if moved else address


def _is(kind: Callable[[int], bool], path: Path) -> bool:
    """Whether something of that kind exists; PermissionError if that cannot be determined."""
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        raise
    except OSError:
        return False
    return kind(mode)


def _shut(path: Path) -> Path:
    """The outermost parent folder of ``path`` that cannot be entered, else ``path`` itself."""
    for parent in reversed(path.parents):
        try:
            os.stat(f"{parent}/.")
        except PermissionError:
            return parent
        except OSError:
            break
    return path
