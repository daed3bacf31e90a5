# SPDX-License-Identifier: Apache-2.0
"""Folders that stand in for hosts: what their sysfs, files and programs would show, read by the real command.

A machine that runs tests has neither iSCSI nor device-mapper nor AppArmor. The layout of sysfs is that of Linux 6.1
(drivers/scsi/scsi_transport_iscsi.c, drivers/md/dm-sysfs.c); names and WWIDs are of the kind that LIO gives. What a
machine can have, namespaces, taps and Open vSwitch's database, is read for real in tests/drivers/hosts/test_traces.py.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from ..workflows.apparmor_tree import Tree

INSTANCES = "var/lib/nova/instances"
#: stands in for ssh: each host is a folder, which the command gets as the root of its file system
_SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
host=$2; shift 2
[ "$*" != true ] || exit 0
echo "$host" >> '{here}/commands'
[ -d "{here}/$host" ] || {{ echo 'no route to host' >&2; exit 255; }}
PATH="{here}/$host/bin:$PATH" exec sh -c "$(printf '%s' "$*" | sed "s#stackmend '' #stackmend {here}/$host #")"
"""


class HostTree(Tree):
    """One host."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        super().__init__(root)
        self.write("sys/kernel/security/apparmor/profiles", "")
        for folder in ("sys/class/net", "sys/block", INSTANCES):
            (root / folder).mkdir(parents=True)
        self._open: dict[str, int] = {}
        self._ports: dict[str, str] = {}

    def program(self, name: str, text: str) -> None:
        """A program of this host."""
        path = self.write(f"bin/{name}", f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def link(self, name: str, *, held: bool | None = None) -> None:
        """A network device; a tap if it is said whether a process holds it."""
        device = self.root / "sys/class/net" / name
        device.mkdir()
        if held is not None:
            (device / "tun_flags").write_text("0x1802\n")
            (device / "carrier").write_text(f"{int(held)}\n")

    def ovs(self, ports: Mapping[str, str]) -> None:
        """Interfaces of Open vSwitch, with the id of the port of each."""
        self._ports.update(ports)
        place = self.root / "run/openvswitch"
        if not place.exists():
            place.mkdir(parents=True)
            here = Path.cwd()
            try:
                os.chdir(place)  # a socket's path may be no longer than 107 bytes
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind("db.sock")
            finally:
                os.chdir(here)
        rows = [{"name": name, "external_ids": ["map", [["iface-id", port], ["iface-status", "active"]]]}
                for name, port in self._ports.items()]  # fmt: skip
        rows.append({"name": "br-int", "external_ids": ["map", []]})
        self.write("ovs.json", json.dumps([{"rows": rows}]))
        self.program("ovsdb-client", f"cat {self.root}/ovs.json")

    def namespace(self, name: str) -> None:
        """A network namespace."""
        self.write(f"run/netns/{name}", "")

    def session(self, number: int, target: str, disks: int = 1, state: str = "LOGGED_IN") -> None:
        """An iSCSI session with so many LUNs."""
        place = f"sys/class/iscsi_session/session{number}"
        self.write(f"{place}/targetname", f"{target}\n")
        self.write(f"{place}/state", f"{state}\n")
        for lun in range(disks):
            self.write(f"{place}/device/target{number}:0:0/{number}:0:0:{lun}/block/sd{chr(97 + lun)}/size", "2048\n")

    def map(
        self,
        number: int,
        name: str,
        uuid: str,
        paths: Mapping[str, tuple[str, str]],
        *,
        opened: int = 0,
        under: bool = False,
        mounted: bool = False,
    ) -> None:
        """A map of device-mapper with its paths, name -> (state, WWID); perhaps under another, which may be mounted."""
        place = f"sys/block/dm-{number}"
        self.write(f"{place}/dm/uuid", f"{uuid}\n")
        self.write(f"{place}/dm/name", f"{name}\n")
        for path, (state, unit) in paths.items():
            self.write(f"{place}/slaves/{path}/device/state", f"{state}\n")
            self.write(f"{place}/slaves/{path}/device/wwid", f"{unit}\n")
        if under:
            self.write(f"{place}/holders/dm-99{number}/size", "1\n")
            self._open[f"dm-99{number}"] = int(mounted)
        self._open[f"dm-{number}"] = opened
        self.write("opened", "".join(f"{device}:{count}\n" for device, count in self._open.items()))
        self.program("dmsetup", f"cat {self.root}/opened")

    def directory(self, name: str) -> str:
        """A directory of a server, and its path as the host says it."""
        path = self.root / INSTANCES / name
        path.mkdir()
        return str(path)


class HostTrees:
    """The hosts of a cloud."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._trees: dict[str, HostTree] = {}
        programs = folder / "programs"
        programs.mkdir()
        (programs / "ssh").write_text(_SSH.format(here=folder))
        (programs / "ssh").chmod(0o755)

    @property
    def programs(self) -> str:
        """What has to be the first folder of PATH."""
        return str(self.folder / "programs")

    @property
    def toml(self) -> str:
        """For the section [hosts]."""
        return f'transport = "ssh"\ninstances_path = "/{INSTANCES}"\n'

    def of(self, host: str) -> HostTree:
        """The folder of a host; it is made if there is none yet."""
        if host not in self._trees:
            self._trees[host] = HostTree(self.folder / host)
        return self._trees[host]

    def commands(self) -> list[str]:
        """The host of each command that was run."""
        path = self.folder / "commands"
        return path.read_text().split() if path.exists() else []
