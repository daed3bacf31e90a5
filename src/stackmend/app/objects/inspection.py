# SPDX-License-Identifier: Apache-2.0
"""Reads the disks of a server under inspection: their contents, and files copied out of them. Nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stackmend.app import apis, hosts
from stackmend.app.session import CloudSession
from stackmend.cloud import servers
from stackmend.cloud.inspections import OFF, RUNNING, Inspection, every, inspection
from stackmend.cloud.servers import Server
from stackmend.config.settings import Config
from stackmend.drivers.disks.exporter import Layer, argv
from stackmend.drivers.disks.sandbox import Opened
from stackmend.drivers.hosts.transport import Transport
from stackmend.hosts.inspection import copies
from stackmend.hosts.inspection.inspected import Found, disks
from stackmend.hosts.inspection.inspecting_volume import served
from stackmend.model.errors import ApiError, ConfigError, OutputError, SourceError, StackmendError, UsageError
from stackmend.model.objects.inspection import Entry, Kind, Layout, Volume

#: the log files of a guest, the most useful first
LOGS = (
    "/var/log/kern.log", "/var/log/syslog", "/var/log/messages", "/var/log/boot.log", "/var/log/dmesg",
    "/var/log/cloud-init.log", "/var/log/cloud-init-output.log",
)  # fmt: skip
#: number of bytes at the end of a log that are searched for its last lines
_TAIL = 1 << 20
#: maximum length in bytes of a path on this machine
_PATH = 4000
#: maximum number of entries read from one directory
MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One disk of a server."""

    disk: Found
    layout: Layout | None = None
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Copied:
    """The result of copying out."""

    files: int = 0
    directories: int = 0
    size: int = 0  #: bytes
    left: list[str] = field(default_factory=list)  #: what was left out because it is not a plain file, in words
    unread: list[str] = field(default_factory=list)  #: what could not be read, in words
    cut: str = ""  #: why it was stopped early; "" if it was not


def begun(config: Config) -> list[tuple[Server, Inspection]]:
    """Every inspection that has not been released. ApiError or SourceError if Nova does not answer."""
    with apis.reading(config, CloudSession.looking(config).believed(), "auto") as (api, why):
        if api is None:
            raise ApiError(f"what is under inspection is Nova's to say: {why}", "See [api] cloud.")
        return sorted(every(api), key=lambda one: (str(one[0].host), one[0].name))


def show(config: Config, server: str) -> list[Shown]:
    """Every disk of a server under inspection, with its contents. Errors as in :func:`opened`."""
    found = []
    with _reached(config, server) as at:
        for disk in at.disks:
            if disk.problem:
                found.append(Shown(disk=disk, problem=disk.problem))
                continue
            try:
                with _open(config, at, disk) as opened_:
                    found.append(Shown(disk=disk, layout=opened_.layout()))
            except SourceError as problem:
                found.append(Shown(disk=disk, problem=problem.message))
    return found


@contextmanager
def opened(config: Config, server: str, name: str) -> Iterator[Opened]:
    """One disk of a server under inspection.

    UsageError if the server is not under inspection or has no such disk; SourceError if the disk cannot be read.
    """
    with _reached(config, server) as at:
        disk = next((one for one in at.disks if one.name == name), None)
        if disk is None:
            raise UsageError(f"the server has no disk {name}", f"It has {', '.join(one.name for one in at.disks)}.")
        if disk.problem:
            raise SourceError(f"disk {name} cannot be read: {disk.problem}")
        with _open(config, at, disk) as found:
            yield found


def log(config: Config, server: str, name: str, volume: str, lines: int) -> Iterator[tuple[str, Volume, list[bytes]]]:
    """(path, volume, last lines) of every log that exists. SourceError if there is none."""
    there = 0
    with opened(config, server, name) as disk:
        for path in LOGS:
            try:
                _, _, _, of = disk.entries(path, volume=volume)
                end = b""
                for some in disk.read(path, volume=volume):
                    end = (end + some)[-_TAIL:]
            except UsageError as problem:
                if "volume" in problem.message:
                    raise
                continue
            there += 1
            yield path, of, end.splitlines()[-lines:]
    if not there:
        raise SourceError(
            "there is no log that is known by name", "See what there is: 'stackmend disk ls SERVER /var/log'."
        )


def copy_out(disk: Opened, path: str, target: Path, *, volume: str = "", most: int, files: int) -> Copied:
    """Copy a file or a whole directory to ``target``, which must not exist. Files belong to this account, mode 600.

    Links, devices and the like are left out, and listed in the result. ``most``: maximum number of bytes; ``files``:
    maximum number of files. OutputError if the target cannot be written.
    """
    done = Copied()
    # a link is followed (inside the guest) if it is the path that was given; links below it are not
    at, entries, more, _ = disk.entries(f"{path}/", volume=volume, most=MOST)
    try:
        if at.kind is Kind.DIRECTORY:
            target.mkdir(mode=0o700)
            _tree(disk, path.rstrip("/"), target, (entries, more), done, _Limits(volume, most, files))
        else:
            _file(disk, path, target, at, done, _Limits(volume, most, files))
    except OSError as problem:
        raise OutputError(f"{target} cannot be written: {problem.strerror}") from None
    return done


@dataclass(frozen=True, slots=True)
class _Limits:
    volume: str
    size: int
    files: int


def _tree(
    disk: Opened, path: str, target: Path, inside: tuple[list[Entry], bool], done: Copied, limits: _Limits
) -> None:
    # an explicit stack instead of recursion: the guest decides how deep its directories are
    waiting = [(path, target, *inside)]
    while waiting and not done.cut:
        at, to, entries, more = waiting.pop()
        if more:
            done.unread.append(f"{at}: it has more than {MOST} entries, only those were read")
        for one in entries:
            if done.cut:
                return
            name, file = f"{at}/{one.name}", to / one.name
            if one.name in ("", ".", "..") or len(os.fsencode(one.name)) > 255:
                done.left.append(f"{name}: its name cannot be given to a file")
            elif len(os.fsencode(file)) > _PATH:
                done.unread.append(f"{name[:80]}...: its path is too long")
            elif one.kind is Kind.DIRECTORY:
                file.mkdir(mode=0o700)
                done.directories += 1
                try:
                    _, several, more_, _ = disk.entries(name, volume=limits.volume, most=MOST, at=one)
                except (SourceError, UsageError) as problem:
                    done.unread.append(f"{name}: {problem.message}")
                    continue
                waiting.append((name, file, several, more_))
                if done.directories > limits.files:
                    done.cut = f"it has more than {limits.files} directories"
            else:
                _file(disk, name, file, one, done, limits)


def _file(disk: Opened, path: str, target: Path, one: Entry, done: Copied, limits: _Limits) -> None:
    if one.kind is not Kind.FILE:
        done.left.append(f"{path}: a {one.kind}{f' to {one.target}' if one.target else ''}")
        return
    if done.files >= limits.files:
        done.cut = f"it has more than {limits.files} files"
        return
    if done.size + one.size > limits.size:
        done.cut = f"{path} would make it more than {limits.size} bytes"
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, 0o600), "wb") as out:
        try:
            for some in disk.read(path, volume=limits.volume, at=one):
                out.write(some)
        except StackmendError as problem:
            done.unread.append(f"{path}: {problem.message}")
            out.close()
            target.unlink()
            return
    done.files, done.size = done.files + 1, done.size + one.size


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The location of a server's disks, and the method to read them."""

    reach: Transport
    host: str
    server: str
    disks: list[Found]
    method: str


@contextmanager
def _reached(config: Config, server: str) -> Iterator[_Place]:
    reach = hosts.reach(config)
    if reach is None:
        raise ConfigError("no access to hosts is configured", 'Write [hosts] and transport = "ssh".')
    with ExitStack() as stack:
        stack.callback(reach.close)
        api, why = stack.enter_context(apis.reading(config, CloudSession.looking(config).believed(), "auto"))
        if api is None:
            raise ApiError(f"whether the server is under inspection is Nova's to say: {why}", "See [api] cloud.")
        found = servers.server(api, server)
        if found is None or not found.host:
            raise UsageError(f"there is no server {server} on a host", "See 'openstack server list --all-projects'.")
        begun = inspection(found)
        if begun is None:
            raise UsageError(
                f"server {server} is under no inspection: its disks are not read without a recorded approval",
                "Begin one: 'stackmend disk inspect SERVER --approved-by WHO --ticket T'.",
            )
        method = _method(found, begun)
        if method == "snapshot":
            host, path, form = served(api, reach, config.routes.container, found.id)
            yield _Place(
                reach=reach, host=host, server=found.id, method=method,
                disks=[Found(name="root", layers=((path, form),))],
            )  # fmt: skip
            return
        there, _ = disks(reach, found, config.instances_path, config.routes.container)
        yield _Place(reach=reach, host=str(found.host), server=found.id, disks=there, method=method)


def _method(server: Server, begun: Inspection) -> str:
    """The method to read its disks now: offline if nobody writes to them, even if another one was planned."""
    if begun.method == "rescue":
        raise UsageError(
            f"server {server.id} is in rescue: its disks are read by who logs in there",
            f"Its console: 'openstack console url show {server.id}'. The end: 'stackmend disk release {server.id}'.",
        )
    if begun.method == "snapshot":
        return begun.method
    if server.vm_state in OFF:
        return "offline"
    if begun.method in ("copy", "live") and server.vm_state in RUNNING:
        return begun.method
    raise UsageError(
        f"server {server.id} is {server.vm_state}: the disks of a running guest are not read {begun.method}",
        "Somebody has started it: 'stackmend disk release SERVER', then inspect it anew.",
    )


@contextmanager
def _open(config: Config, at: _Place, disk: Found) -> Iterator[Opened]:
    layers = [Layer(*layer) for layer in disk.layers]
    words, export = argv(layers, torn=at.method == "live"), ""
    # a guest cannot write to its config drive: it needs no copy, and libvirt would make none
    if at.method == "copy" and disk.name != "config":
        path = disk.layers[0][0]
        words, export = copies.argv("serve", at.server, path.rpartition("/")[0], path), copies.EXPORT
    command = at.reach.piped(at.host, (*config.routes.container, *words))
    with Opened(command, export=export, torn=at.method == "live", appliance=config.libguestfs) as found:
        yield found
