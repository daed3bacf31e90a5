# SPDX-License-Identifier: Apache-2.0
"""Steps that copy disks between hosts, install them, and move directories aside. Pure builders.

The data goes through this machine: ``tar`` on the source, a pipe, ``tar`` on the target, checksums on both sides. This
needs no trust between the hosts, no daemon, and only programs of a rescue system.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackmend.hosts import disk_scripts as scripts
from stackmend.model.objects.disks import Folder, Inventory
from stackmend.model.step import HostCommand
from stackmend.model.values import texts

#: minimum time limit of a copy in seconds, and minimum rate in bytes per second
_LEAST, _SLOWEST = 3600.0, 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancesDirectory:
    """An instances directory on a host, and how commands are run there."""

    host: str
    path: str
    home: str = ""  #: its path while the host runs normally
    container: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()  #: ssh command, with {host}; () for this machine
    prefix: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, settings: Mapping[str, object], host: str, path: str, *, home: str = "", inside: bool = True
    ) -> InstancesDirectory:
        """The directory, by the settings of :class:`stackmend.model.workflow.Sight`; ``inside``: in the container."""
        here = not host or host in texts(settings.get("hosts.local"))
        return cls(
            host=host,
            path=path,
            home=home or path,
            container=texts(settings.get("hosts.container")) if inside else (),
            carry=() if here else texts(settings.get("hosts.carry")),
            prefix=texts(settings.get("hosts.prefix")) if host else (),
        )

    def argv(self, script: str, *arguments: str) -> tuple[str, ...]:
        """A script for that host, as the argument vector of a step there."""
        return (*self.container, "sh", "-c", script, "salvage", *arguments)

    def line(self, script: str, *arguments: str) -> str:
        """The same as a shell command line for this machine."""
        words = shlex.join((*self.prefix, *self.argv(script, *arguments)))
        return shlex.join((*(word.replace("{host}", self.host) for word in self.carry), words)) if self.carry else words


def _relay(lines: Sequence[str]) -> tuple[str, ...]:
    return ("sh", "-c", scripts.RELAY, "salvage", *lines)


def _limit(size: int) -> float:
    return max(_LEAST, float(size // _SLOWEST))


def base_key(path: str) -> str:
    """The name under which the target's working folder records a file."""
    return "base." + path.rpartition("/")[2]


def copy_file(
    source: InstancesDirectory, target: InstancesDirectory, path: str, size: int, stamp: str, form: str = ""
) -> HostCommand:
    """Copy one file to the same path in the target's directory: a base image shared by several disks.

    ``form``: its format, if it holds a disk: it must not have a backing file.
    """
    folder, _, name = path.rpartition("/")
    key, what = base_key(path), f"./{name}"
    return HostCommand(
        host="",
        argv=_relay(
            (
                source.line(scripts.LIST, f"{source.path}/{folder}", what),
                target.line(scripts.PREPARE, target.path, key, path, what),
                source.line(scripts.SEND, f"{source.path}/{folder}"),
                target.line(scripts.RECEIVE, target.path, key),
                target.line(scripts.FILE_DONE, target.path, key, path, name, form),
            )
        ),
        probe=("sh", "-c", target.line(scripts.FILE_PROBE, target.path, key, path)),
        inverse=("sh", "-c", target.line(scripts.FILE_BACK, target.path, key, path, stamp)),
        limit=_limit(size),
    )


def copy_folder(
    source: InstancesDirectory, target: InstancesDirectory, folder: Folder, name: str, stamp: str
) -> HostCommand:
    """Copy a server's directory completely into the working folder of the target; an interrupted copy continues."""
    return HostCommand(
        host="",
        argv=_relay(
            (
                source.line(scripts.LIST, f"{source.path}/{folder.name}", "."),
                target.line(scripts.PREPARE, target.path, name, name, "."),
                source.line(scripts.SEND, f"{source.path}/{folder.name}"),
                target.line(scripts.RECEIVE, target.path, name),
                target.line(scripts.COPIED, target.path, name),
            )
        ),
        probe=("sh", "-c", target.line(scripts.COPIED_PROBE, target.path, name, name)),
        inverse=("sh", "-c", target.line(scripts.COPIED_BACK, target.path, name, stamp)),
        limit=_limit(folder.size),
    )


def put_in_place(
    source: InstancesDirectory, target: InstancesDirectory, folder: Folder, name: str, found: Inventory, stamp: str
) -> HostCommand:
    """Rename the copy to the name Nova expects, with the owner, mode and names of backing files used there."""
    words: list[str] = []
    for disk in folder.disks:
        image = disk.image
        file = image.path.partition("/")[2]
        new, form, key = "", "", ""
        if disk.chain:
            base = found.base(disk.chain[0])
            new = f"{target.path}/{disk.chain[0]}"
            form = image.backing_format or (base.image.format if base else "raw")
            key = base_key(disk.chain[0])
        other = image.backing != new or (bool(new) and not image.backing_format)
        words += [file, image.format, new, form, "rebase" if new and other else "", key]
    # never the received one: it determines how Nova opens the disks
    info = moved_info(folder.formats, name, target.path) or folder.formats.rstrip("\n")
    return HostCommand(
        host=target.host,
        argv=target.argv(scripts.PLACE, target.path, name, name, info, *words),
        probe=target.argv(scripts.PLACE_PROBE, target.path, name, name),
        inverse=target.argv(scripts.PLACE_BACK, target.path, name, name, stamp),
    )


def moved_info(text: str, name: str, path: str) -> str:
    """The disk.info of a server whose directory is now ``path``/``name``; "" if it is unchanged."""
    try:
        found = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    new = {f"{path}/{name}/{str(old).rpartition('/')[2]}": form for old, form in found.items()}
    return "" if new == found else json.dumps(new)


def aside(place: InstancesDirectory, folder: Folder, stamp: str) -> HostCommand:
    """Move an orphan into the quarantine of its own instances directory."""
    return HostCommand(
        host=place.host,
        argv=place.argv(scripts.ASIDE, place.path, folder.name, folder.identity, f"{folder.modified + 1:.0f}", stamp),
        probe=place.argv(scripts.ASIDE_PROBE, place.path, folder.name, folder.identity, stamp),
        inverse=place.argv(scripts.ASIDE_BACK, place.path, folder.name, folder.identity, stamp),
    )


def stamp_of(now: str) -> str:
    """A time as the name of a folder."""
    return "".join(c for c in now[:19] if c.isalnum()) or "now"
