# SPDX-License-Identifier: Apache-2.0
"""What a host says about itself: its boot, mounts and clock, and the guests of its hypervisor."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/self/mounts."""

    source: str
    target: str
    kind: str
    options: tuple[str, ...] = ()

    @property
    def read_only(self) -> bool:
        """Whether it is mounted read-only, as the kernel remounts a file system after an error."""
        return "ro" in self.options

    @property
    def lasting(self) -> bool:
        """Whether it holds data, unlike the mounts that a running system makes for itself."""
        return self.kind in _LASTING or self.kind.startswith("fuse.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The facts that show whether a host is really back."""

    host: str
    boot_id: str  #: changes with every boot
    uptime: float  #: seconds since boot
    mounts: tuple[Mount, ...]
    ahead: float  #: seconds by which its clock is ahead of ours; negative: behind
    within: float  #: uncertainty of that difference in seconds

    def mount(self, path: str) -> Mount:
        """The mount that holds ``path``: the last one on its longest mounted prefix."""
        found = Mount(source="", target="/", kind="")
        for mount in self.mounts:
            inside = path == mount.target or path.startswith(mount.target.rstrip("/") + "/")
            if inside and len(mount.target) >= len(found.target):
                found = mount
        return found

    def restarted(self, boot_id: str) -> bool:
        """Whether it was rebooted since it had this boot id."""
        return self.boot_id != boot_id

    def lacks(self, before: HostFacts, paths: tuple[str, ...] = (), slack: float = 2.0) -> tuple[str, ...]:
        """Why the host is not back as it was before: a sentence each, () if it is.

        ``paths`` are those whose mount must be there, by default every lasting mount of before; ``slack`` is the
        difference in seconds that its clock may have.
        """
        found = []
        for target in paths or tuple(dict.fromkeys(mount.target for mount in before.mounts if mount.lasting)):
            was, now = before.mount(target), self.mount(target)
            if now.target != was.target or now.kind != was.kind:
                found.append(f"{target} was on {was.kind} {was.source}, now it is not mounted")
            elif now.read_only and not was.read_only:
                found.append(f"{target} is mounted read-only")
        if abs(self.ahead) - self.within > slack:
            found.append(f"its clock is {abs(self.ahead):.1f} s {'ahead' if self.ahead > 0 else 'behind'}")
        return tuple(found)


#: types of file systems that hold data
_LASTING = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "nfs", "nfs4", "cifs", "ceph", "glusterfs", "gpfs", "ocfs2"}


_ESCAPED = re.compile(r"\\([0-7]{3})")


def mounts(text: str) -> tuple[Mount, ...]:
    """Parse the lines of /proc/self/mounts; ValueError for anything else."""
    return tuple(_mount(line) for line in text.splitlines() if line)


def _mount(line: str) -> Mount:
    source, target, kind, options, *_ = line.split(" ")
    return Mount(source=_plain(source), target=_plain(target), kind=kind, options=tuple(options.split(",")))


def _plain(field: str) -> str:
    """Decode the octal escapes that stand for spaces and the like."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), field)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainDisk:
    """One disk of a domain."""

    target: str  #: "vda"
    source: str  #: a path, a block device, or pool/image
    kind: str  #: "file", "block", "network", "volume"
    serial: str = ""  #: the volume id, if it is a volume
    protocol: str = ""  #: "rbd", "iscsi", ..., if it is on the network


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One network interface of a domain."""

    mac: str
    target: str = ""  #: "tap1f4..."; only while the domain runs
    port: str = ""  #: id of the Neutron port, if the domain's definition names it


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """One guest as the hypervisor reports it."""

    uuid: str  #: same as the server's UUID
    name: str  #: "instance-0000001f"
    state: str  #: "running", "paused", "shutoff", "crashed", "pmsuspended", "blocked", "shutdown", "nostate"
    id: int | None = None  #: None unless it runs
    server: str = ""  #: name of the server, from Nova's metadata
    nova: bool = False  #: whether Nova defined it: it has Nova's metadata
    reason: str = ""  #: why it is paused or shut off, if libvirt says so: "I/O error"
    persistent: bool = True
    autostart: bool = False  #: whether libvirt starts it with the host
    vcpus: int | None = None
    memory: int | None = None  #: KiB
    machine: str = ""  #: machine type: "pc-q35-7.2"
    disks: tuple[DomainDisk, ...] = ()
    interfaces: tuple[Interface, ...] = ()
