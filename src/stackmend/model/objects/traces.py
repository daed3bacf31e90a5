# SPDX-License-Identifier: Apache-2.0
"""What servers, ports and volumes leave on a host, beside the guests of its hypervisor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

#: characters of a port's id in names of its devices (neutron_lib/constants.py: LINUX_DEV_LEN)
STEM = 11
_STEM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{2}")


def stem(text: str) -> str:
    """The beginning of a port's id, from the id or from the name of a device after its prefix; "" if it is neither."""
    found = _STEM.match(text.lower())
    return found[0] if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network device of a port."""

    name: str  #: "tap1f4a9c52-3a"
    stem: str
    port: str = ""  #: the port's id, if Open vSwitch has the device
    held: bool = False  #: whether a process has it open, as QEMU has a tap


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A network namespace of Neutron's agents."""

    name: str
    kind: str  #: "qdhcp", "qrouter", "snat", "fip"
    resource: str  #: id of the network or router


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An iSCSI session."""

    name: str  #: "session3"
    target: str
    state: str  #: "LOGGED_IN"
    disks: int
    volume: str = ""  #: the volume's id, if the target's name has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A path of a multipath map."""

    name: str  #: "sdb"
    state: str  #: "running", "offline", "transport-offline"; of NVMe: "live"
    unit: str  #: "naa.6001405...": what it leads to; "" if the device does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMap:
    """A map of device-mapper: multipath, or dm-crypt."""

    name: str  #: "mpatha", "3600..."
    device: str  #: "dm-3"
    kind: str  #: "multipath", "crypt"
    unit: str = ""  #: of multipath: its WWID
    paths: tuple[Path, ...] = ()
    holders: int  #: maps that are stacked on it
    opened: int  #: how often it is open, by those, a guest, or a mount; and how often those are, by others than maps

    @property
    def units(self) -> tuple[str, ...]:
        """What its paths lead to; more than one is a mixture."""
        return tuple(sorted({path.unit for path in self.paths if path.unit}))

    @property
    def mixed(self) -> bool:
        """Whether its paths lead to different units, or to another one than its own name says.

        The first digit of a WWID is the kind of the id: 3 for NAA (os_brick/initiator/linuxscsi.py: WWN_TYPES).
        """
        said = {unit.removeprefix("naa.") for unit in self.units if unit.startswith("naa.")}
        other = self.unit.startswith("3") and bool(said) and said != {self.unit[1:]}
        return self.kind == "multipath" and (len(self.units) > 1 or other)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestProfile:
    """What AppArmor says of one guest."""

    server: str
    verdict: str  #: :class:`stackmend.hosts.apparmor.Verdict`
    device: bool  #: whether the host has /dev/vhost-net


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory of a server."""

    server: str
    role: str  #: "resize" of ``<uuid>_resize``, "" of ``<uuid>``
    path: str
    local: bool  #: whether its file system is of a kind that hosts do not share


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """All of it. What is in a part that was not read is unknown."""

    links: tuple[Link, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    sessions: tuple[Session, ...] = ()
    maps: tuple[BlockMap, ...] = ()
    profiles: tuple[GuestProfile, ...] = ()
    directories: tuple[Directory, ...] = ()
    #: part that was asked for (stackmend.tables.outside.hosts.PARTS) -> why it could not be read; "": it was read
    parts: Mapping[str, str] = field(default_factory=dict)
