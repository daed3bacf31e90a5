# SPDX-License-Identifier: Apache-2.0
"""Sent to a host as text: serves one disk of a running guest as it is now, through libvirt's pull-mode backup.

Arguments: ``look`` or ``serve``, the guest's UUID, a directory for the scratch file, and the file of the disk. ``look``
prints one line of JSON. ``serve`` begins the backup and relays QEMU's NBD server over stdin and stdout. The guest keeps
running.

Whatever the guest overwrites meanwhile is first saved in the scratch file. If that file cannot be written, QEMU fails
the guest's own write. So no backup is begun without enough free space, and it is ended long before the space runs out.

A second process ends the backup when this one ends, for whatever reason: it waits on a pipe whose other end is held by
this process and by the virsh that begins the backup. Needs only Python 3.7, and nothing of stackmend on the host.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from xml.etree import ElementTree

#: printed before the server's first byte
BEGINS = b"stackmend-export begins\n"
_VIRSH = ("virsh", "--quiet", "--connect", "qemu:///system")
#: prefix of the names of scratch files and sockets, by which a backup job is recognised as stackmend's
MARK = "stackmend-copy"
#: bytes of free space required, unless the disk itself is smaller; the backup is ended when half of it is left
_ROOM = 8 << 30
#: seconds that one backup may last
_LIMIT = 3600.0
_MANY = 65536
#: seconds between two polls
_LOOK = 0.1
#: number of attempts to end a backup, and seconds to wait after each
_TRIES, _PATIENCE = 4, 10.0


class CopyError(Exception):
    """A copy cannot be made; the message gives the reason."""


def _virsh(*words: str, keep: tuple[int, ...] = ()) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - an argument vector of ours; no shell
            [*_VIRSH, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            pass_fds=keep,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as problem:
        raise CopyError(f"virsh cannot be started: {problem.strerror}") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CopyError(f"virsh {words[0]}: {lines[-1] if lines else done.returncode}")
    return done.stdout.decode("utf-8", "replace")


def _devices(guest: str) -> dict[str, str]:
    """File of a disk -> its device in the guest, according to libvirt."""
    found = {}
    for disk in ElementTree.fromstring(_virsh("dumpxml", guest)).iterfind("./devices/disk"):  # noqa: S314 - libvirt's
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None:
            path = source.get("file") or source.get("dev")
            if path:
                found[os.path.realpath(path)] = str(target.get("dev"))
    return found


def _job(guest: str) -> str:
    """The scratch file of the guest's backup job; "" if there is no job, "another" if it has no such file."""
    try:
        text = _virsh("backup-dumpxml", guest)
    except CopyError as problem:
        if "no domain backup job" in str(problem):
            return ""
        raise
    scratch = ElementTree.fromstring(text).find("./disks/disk/scratch")  # noqa: S314 - libvirt's
    return "another" if scratch is None else scratch.get("file") or "another"


def _lives(scratch: str) -> bool:
    """Whether the process that began a backup is still running."""
    try:
        with open(f"/proc/{int(scratch.rpartition('.')[2])}/cmdline", "rb") as file:
            return MARK.encode() in file.read()
    except (OSError, ValueError):
        return False


def _free(folder: str) -> int:
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize


def _capacity(guest: str, device: str) -> int:
    for line in _virsh("domblkinfo", guest, device).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Capacity":
            return int(value)
    raise CopyError(f"libvirt does not say how large {device} is")


def _device(guest: str, path: str) -> str:
    found = _devices(guest).get(os.path.realpath(path))
    if not found:
        raise CopyError(f"the guest has no disk {path}, as libvirt has it")
    return found


def _wanted(guest: str, folder: str, path: str, mend: bool = False) -> tuple[str, int]:
    """(the device, bytes of free space needed). CopyError if no copy can be made.

    ``mend``: end a backup of stackmend's that was abandoned.
    """
    if "<backup supported='yes'/>" not in _virsh("domcapabilities"):
        raise CopyError("libvirt and QEMU of this host make no copies of running guests: they are too old")
    device = _device(guest, path)
    room = min(_capacity(guest, device), _ROOM)
    if _free(folder) < room:
        raise CopyError(
            f"{folder} has {_free(folder) >> 20} MiB free; {room >> 20} MiB are wanted for what it overwrites"
        )
    scratch = _job(guest)
    if scratch and not os.path.basename(scratch).startswith(MARK):
        raise CopyError("another backup of the guest is under way")
    if scratch and _lives(scratch):
        raise CopyError("another command reads a copy of the guest at this moment: try again when it has ended")
    if scratch and mend:
        _end(guest, scratch, "")
    return device, room


def _end(guest: str, scratch: str, place: str) -> int:
    """End the backup that has this scratch file, and remove what it left."""
    for _ in range(_TRIES):
        try:
            if _job(guest) != scratch:
                break
            _virsh("domjobabort", guest)
            # abort only once, then wait: the guest's next job may be somebody else's
            end = time.monotonic() + _PATIENCE
            while _job(guest) == scratch and time.monotonic() < end:
                time.sleep(_LOOK)
        except CopyError:
            # the guest or its job is gone: the next attempt will show
            time.sleep(_LOOK)
    for path in (scratch, place):
        if path and os.path.exists(path):
            os.unlink(path)
    return 0


def _guard(guest: str, scratch: str, place: str) -> tuple[int, int]:
    """(the process that ends the backup, the write end of the pipe that it waits on)."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(read)
        return child, write
    os.close(write)
    os.setsid()
    for one in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(one, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.read(read, 1)
    os._exit(_end(guest, scratch, place))


def _pump(read: int, write: int) -> None:
    while True:
        some = os.read(read, _MANY)
        if not some:
            return
        while some:
            some = some[os.write(write, some) :]


def _watch(folder: str, floor: int) -> None:
    end = time.monotonic() + _LIMIT
    why = "its time is over"
    while time.monotonic() < end:
        try:
            if _free(folder) <= floor:
                why = f"{folder} is filling up"
                break
        except OSError as problem:
            why = f"{folder}: {problem.strerror}"
            break
        time.sleep(_LOOK)
    os.write(2, f"stackmend-export: the copy was ended: {why}\n".encode())
    # this closes the pipe, and the guard ends the backup
    os._exit(1)


def _serve(guest: str, folder: str, path: str) -> int:
    device, room = _wanted(guest, folder, path, mend=True)
    scratch = f"{folder}/{MARK}.{os.getpid()}"
    # in its own directory QEMU may create sockets even if it is confined
    domain, name = _virsh("domid", guest).strip(), _virsh("domname", guest).strip()
    homes = glob.glob(f"/var/lib/libvirt/qemu/domain-{domain}-{glob.escape(name[:20])}*")
    place = f"{homes[0] if len(homes) == 1 else folder}/{MARK}.{os.getpid()}.sock"
    for old in (scratch, place):
        if os.path.exists(old):
            os.unlink(old)
    child, pipe = _guard(guest, scratch, place)
    try:
        # an unnamed file: nothing is left behind, however this process ends
        with tempfile.TemporaryFile() as request:
            request.write(_request(_devices(guest), device, scratch, place))
            request.flush()
            number = request.fileno()
            _virsh("backup-begin", guest, f"/proc/self/fd/{number}", keep=(number, pipe))
        threading.Thread(target=_watch, args=(folder, room // 2), daemon=True).start()
        _carry(place)
    finally:
        os.close(pipe)
        os.waitpid(child, 0)
    return 0


def _request(devices: dict[str, str], device: str, scratch: str, place: str) -> bytes:
    told = ElementTree.Element("domainbackup", mode="pull")
    ElementTree.SubElement(told, "server", transport="unix", socket=place)
    disks = ElementTree.SubElement(told, "disks")
    disk = ElementTree.SubElement(disks, "disk", name=device, backup="yes", type="file", exportname="disk")
    ElementTree.SubElement(disk, "scratch", file=scratch)
    for other in sorted(set(devices.values()) - {device}):
        ElementTree.SubElement(disks, "disk", name=other, backup="no")
    return ElementTree.tostring(told)


def _carry(place: str) -> None:
    client = socket.socket(socket.AF_UNIX)
    client.connect(place)

    def up() -> None:
        # if a reader is killed with unread data, its connection is reset instead of closed
        with contextlib.suppress(OSError):
            _pump(0, client.fileno())
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    try:
        os.write(1, BEGINS)
        threading.Thread(target=up, daemon=True).start()
        _pump(client.fileno(), 1)
    except OSError:
        # the reader or the server is gone
        pass
    finally:
        # QEMU does not end an export while a client is still negotiating
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        client.close()


def main() -> int:
    """See the module's docstring."""
    do, guest, folder, path = sys.argv[1:5]
    try:
        if do == "serve":
            return _serve(guest, folder, path)
        device, room = _wanted(guest, folder, path)
        os.write(1, json.dumps({"device": device, "room": room}).encode() + b"\n")
    except (CopyError, OSError) as problem:
        os.write(2, f"stackmend-export: {problem}\n".encode())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
