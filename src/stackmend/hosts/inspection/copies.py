# SPDX-License-Identifier: Apache-2.0
"""Point-in-time copies of the disks of running guests: the commands a host runs for one, and cleaning up after it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources

from stackmend.hosts.inspection.guest_copy import MARK
from stackmend.model.protocols import Hosts
from stackmend.model.repair import CannotRepair
from stackmend.model.step import HostCommand

#: NBD export name of the copy
EXPORT = "disk"
#: $1 UUID of the guest, $2 directory of its disks, $3 mark. A backup that somebody else began is never touched
_HEAD = r"""export LC_ALL=C
v="virsh --quiet --connect qemu:///system"
ours() { $v backup-dumpxml "$1" 2>/dev/null | grep -qF "file='$2/$3."; }
"""
_END = (
    _HEAD
    + r"""n=0
! ours "$1" "$2" "$3" || $v domjobabort "$1" || exit 1
# asked once, and then waited for: the next job of the guest may be somebody else's
while ours "$1" "$2" "$3"; do
  [ $n -lt 100 ] || { echo "the backup does not end: virsh domjobabort $1" >&2; exit 1; }
  n=$((n + 1))
  sleep 0.2
done
rm -f "$2/$3".*
"""
)
_LEFT = _HEAD + 'ours "$1" "$2" "$3" && exit 1\nls "$2/$3".* >/dev/null 2>&1 && exit 1\nexit 0\n'
_LIMIT = 60.0


def argv(do: str, guest: str, folder: str, path: str) -> tuple[str, ...]:
    """The host command to check whether it can copy a disk (``look``), or to ``serve`` a copy on stdin and stdout."""
    script = resources.files(__package__).joinpath("guest_copy.py").read_text(encoding="utf-8")
    return ("python3", "-c", script, do, guest, folder, path)


def look(hosts: Hosts, host: str, inside: Sequence[str], guest: str, path: str) -> int:
    """Bytes of free space that a copy of this disk needs. CannotRepair, with the reason, if the host cannot copy it."""
    folder = path.rpartition("/")[0]
    done = hosts.run(host, (*inside, *argv("look", guest, folder, path)), limit=_LIMIT)
    if done.code:
        lines = done.err.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1].removeprefix("stackmend-export:").strip() if lines else f"exit code {done.code}"
        raise CannotRepair(why)
    return int(json.loads(done.out.splitlines()[-1])["room"])


def left(hosts: Hosts, host: str, inside: Sequence[str], guest: str, folder: str) -> bool:
    """Whether a backup begun by stackmend is in progress there, or has left a file behind."""
    return hosts.run(host, (*inside, "sh", "-c", _LEFT, "left", guest, folder, MARK), limit=_LIMIT).code == 1


def end(host: str, inside: Sequence[str], guest: str, folder: str) -> HostCommand:
    """End a backup that stackmend began, and remove what it left behind. There is nothing to undo."""
    words = (guest, folder, MARK)
    return HostCommand(
        host=host,
        argv=(*inside, "sh", "-c", _END, "end", *words),
        probe=(*inside, "sh", "-c", _LEFT, "left", *words),
        inverse=("true",),
        limit=_LIMIT,
    )
