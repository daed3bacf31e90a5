# SPDX-License-Identifier: Apache-2.0
"""Reads an instances directory through :class:`stackmend.model.protocols.Hosts`, with two or three commands in all.

The host needs a POSIX shell, GNU find and stat, and qemu-img. Nothing is changed, and no file named by a disk is
opened: a guest can write anything into its own disk, even a header naming a file of the host as its backing file. So
each file is examined alone, in the format given by disk.info, and chains are assembled here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stackmend.hosts.instances import File, Raw, check, last, look, read
from stackmend.model.objects.disks import QUARANTINE, WORK, Base, Disk, EntryKind, Folder, Image, Inventory, Storage
from stackmend.model.protocols import Hosts

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OLD_NAME = re.compile(r"instance-([0-9a-f]{8})")
_NAME = re.compile(rf"({UUID.pattern}|{OLD_NAME.pattern})(_[A-Za-z0-9_.-]+)?")
#: kept by Nova or stackmend next to the servers' directories
_OURS = ("_base", "locks", "snapshots", "compute_nodes", WORK, QUARANTINE)
SHARED = re.compile(r"nfs4?|ceph|fuse\.ceph.*|glusterfs|fuse\.glusterfs|cifs|smb3|lustre|gfs2|ocfs2|gpfs|beegfs.*|9p")
#: file names of disks, in the directory of a server
_DISK = re.compile(r"disk(?:\.(?!info$).+)?|.*\.rescue", re.DOTALL)
_SIZED = re.compile(r"(swap|ephemeral)_(\d+)(?:_.*)?")
_RECENT = 86_400


def root_of(path: str, home: str) -> str:
    """The mount point of a host's file systems in a rescue system: "/mnt" for "/mnt/var/lib/nova/instances"."""
    path, home = path.rstrip("/"), home.rstrip("/")
    return path[: -len(home)] if home and path.endswith(home) else ""


def inventory(
    hosts: Hosts, host: str, path: str, *, home: str = "", prefix: Sequence[str] = (), now: float = 0.0
) -> Inventory:
    """The contents of the instances directory ``path`` on a host.

    ``home``: its path while the host runs normally, if different (in a rescue system); ``prefix``: precedes every
    command (a container runtime). SourceError if the directory itself cannot be read; problems inside it are part of
    the inventory.
    """
    home = home or path
    raw, notes = read(hosts, host, path, root_of(path, home), prefix)
    formats = {name: found for name, text in raw.texts.items() for name, found in _formats(name, text)}
    images = _images(raw, formats)
    looked, more = look(hosts, host, path, [name for name in images if not _is_base(name)], formats, prefix)
    # an image may have been made to look like another format: the disks based on it record the right one
    formats |= dict(_based_on(looked, home))
    bases, again = look(hosts, host, path, [name for name in images if _is_base(name)], formats, prefix)
    return _put_together(host, home, raw, looked | bases, dict.fromkeys((*notes, *more, *again)), now, bool(prefix))


def checked(hosts: Hosts, found: Inventory, path: str, wanted: Iterable[str], prefix: Sequence[str] = ()) -> Inventory:
    """The same inventory, with the result of ``qemu-img check`` for these qcow2 files."""
    every = {disk.image.path: disk.image for folder in found.folders for disk in folder.disks}
    every |= {base.image.path: base.image for base in found.bases}
    names = [name for name in dict.fromkeys(wanted) if name in every and every[name].format == "qcow2"]
    said = {name: _check(*answer) for name, answer in check(hosts, found.host, path, names, prefix).items()}
    return replace(
        found,
        folders=tuple(
            replace(folder, disks=tuple(_with_check(disk, said) for disk in folder.disks)) for folder in found.folders
        ),
        bases=tuple(replace(base, image=_with_result(base.image, said)) for base in found.bases),
    )


def _with_result(image: Image, said: Mapping[str, str]) -> Image:
    return replace(image, check=said.get(image.path, image.check))


def _with_check(disk: Disk, said: Mapping[str, str]) -> Disk:
    """A disk with its chain: corruption makes it broken, lost clusters do no harm."""
    own, *bases = (said.get(path, "") for path in (disk.image.path, *disk.chain))
    problems = [f"it is {own}"] if own.startswith("corrupt") else []
    problems += [
        f"its base {path} is broken: it is {why}"
        for path, why in zip(disk.chain, bases, strict=True)
        if why.startswith("corrupt")
    ]
    return replace(disk, image=_with_result(disk.image, said), problems=(*disk.problems, *problems))


def _check(code: str, text: str) -> str:
    if code == "0":
        return "clean"
    if code == "3":
        return "leaks"
    try:
        found = json.loads(text)
    except ValueError:
        return f"corrupt: {last(text.encode('utf-8', 'replace')) or f'exit code {code}'}"
    return f"corrupt: {found.get('corruptions', 0)} corruptions, {found.get('check-errors', 0)} errors"


# -- interpretation


def _formats(name: str, text: str) -> Iterator[tuple[str, str]]:
    """(path relative to the instances directory, format) from a disk.info."""
    folder, _, file = name.rpartition("/")
    if file != "disk.info":
        return
    try:
        found = json.loads(text)
    except ValueError:
        return
    if isinstance(found, dict):
        for path, form in found.items():
            if form in ("raw", "qcow2"):
                yield f"{folder}/{str(path).rsplit('/', 1)[-1]}", form


def _is_base(name: str) -> bool:
    return name.startswith("_base/")


def _based_on(looked: Mapping[str, tuple[str, str]], home: str) -> Iterator[tuple[str, str]]:
    """(path of a backing file, its format) as recorded in the disks based on it."""
    for name, (_, text) in looked.items():
        found = _json(text)
        if isinstance(found, dict) and found.get("backing-filename-format") in ("raw", "qcow2"):
            path = below(home, str(found.get("backing-filename", "")), name.rpartition("/")[0])
            if _is_base(path):
                yield path, found["backing-filename-format"]


def _images(raw: Raw, formats: Mapping[str, str]) -> list[str]:
    """Paths of the files that hold disks."""
    found = []
    for path, file in raw.files.items():
        folder, _, name = path.rpartition("/")
        if file.type != "f" or not name:
            continue
        if (folder == "_base" and not name.endswith((".info", ".part", ".converted"))) or (
            _NAME.fullmatch(folder) and (_DISK.fullmatch(name) or path in formats)
        ):
            found.append(path)
    return found


def _put_together(
    host: str,
    home: str,
    raw: Raw,
    looked: Mapping[str, tuple[str, str]],
    notes: Iterable[str],
    now: float,
    inside: bool,
) -> Inventory:
    path = raw.words.get("path", home)
    images = {name: _image(name, raw.files[name], answer) for name, answer in looked.items() if name in raw.files}
    opened = _opened(raw, path)
    folders = []
    for name, file in sorted(raw.files.items()):
        if "/" not in name and file.type == "d" and (match := _NAME.fullmatch(name)):
            folders.append(_folder(name, match, raw, images, opened, home))
    bases = _bases(raw, images, folders, opened)
    known = {folder.name for folder in folders}
    return Inventory(
        host=host,
        path=path,
        owner=raw.words.get("owner", ""),
        storage=_storage(raw, path, host, now),
        folders=tuple(folders),
        bases=tuple(bases),
        other=tuple(sorted(n for n in raw.files if "/" not in n and n not in known and n not in _OURS)),
        notes=tuple(notes),
        # a container that shows the kernel's first thread also shows the host's processes
        quarantined=any(name.startswith(QUARANTINE + "/") for name in raw.files),
        every_process=raw.words.get("user") == "0" and (not inside or raw.words.get("second") == "kthreadd"),
    )


def _image(name: str, file: File, answer: tuple[str, str]) -> Image:
    code, text = answer
    image = Image(path=name, size=file.size, allocated=file.allocated)
    if code != "0":
        why = last(text.encode("utf-8", "replace")).removeprefix("qemu-img: ")
        return replace(image, problem=f"cannot be read: {why or f'exit code {code}'}")
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return replace(image, problem="qemu-img did not answer with JSON")
    data = (found.get("format-specific") or {}).get("data") or {}
    return replace(
        image,
        format=found.get("format", ""),
        virtual_size=found.get("virtual-size", 0),
        backing=found.get("backing-filename", ""),
        backing_format=found.get("backing-filename-format", ""),
        problem=_problem(name, file, found, data),
    )


def _problem(name: str, file: File, found: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """What is wrong with a file that can be opened."""
    if "data-file" in data:
        return "its content is in another file (data-file), which Nova never creates: not followed"
    if data.get("corrupt"):
        return "it is marked as corrupt"
    if file.size == 0:
        return "it is empty"
    folder, _, file_name = name.rpartition("/")
    if folder == "_base" and found.get("format") == "raw":
        if (match := _SIZED.fullmatch(file_name)) and file.size < (
            wanted := int(match[2]) << (30 if match[1] == "ephemeral" else 20)
        ):
            return f"it is truncated: {file.size} bytes, its name says {wanted}"
        if file.size % 512:
            return f"it is truncated: {file.size} bytes are not a whole number of sectors"
    return ""


def _opened(raw: Raw, path: str) -> dict[str, list[str]]:
    """Path in the instances directory -> processes that have it open; " (deleted)" of a deleted file stays."""
    found: dict[str, list[str]] = {}
    for process, full in raw.open:
        name = full.removeprefix(path + "/")
        who = raw.processes.get(process, process.split("/")[2])
        if who not in found.setdefault(name, []):
            found[name].append(who)
    return found


def _folder(
    name: str,
    match: re.Match[str],
    raw: Raw,
    images: Mapping[str, Image],
    opened: Mapping[str, Sequence[str]],
    home: str,
) -> Folder:
    inside = {path: file for path, file in raw.files.items() if path.startswith(name + "/")}
    kind = EntryKind.SERVER if match[3] is None else EntryKind.RESIZE if match[3] == "_resize" else EntryKind.LEFTOVER
    server = match[1] if UUID.fullmatch(match[1]) else ""
    domain = raw.domains.get(server, "") if server else (match[1] if match[1] in raw.domains.values() else "")
    if not server and domain:
        server = next(uuid for uuid, called in raw.domains.items() if called == domain)
    texts = raw.texts.get(f"{name}/disk.info", "")
    disks = tuple(_disk(images[path], images, raw, home) for path in sorted(inside) if path in images)
    beside = [(what, path) for what, path in raw.beside if kind is EntryKind.SERVER]
    own = raw.files[name]
    return Folder(
        name=name,
        kind=kind,
        server=server,
        modified=max([own.modified, *(file.modified for file in inside.values())]),
        identity=raw.identities.get(name, ""),
        size=sum(file.size for file in inside.values() if file.type == "f"),
        allocated=sum(file.allocated for file in inside.values() if file.type == "f"),
        files=tuple(path.removeprefix(name + "/") for path in sorted(inside)),
        disks=disks,
        formats=texts,
        open_by=tuple(dict.fromkeys(who for p, them in opened.items() if p.startswith(name + "/") for who in them)),
        domain=domain,
        nvram=next((p for what, p in beside if what == "nvram" and domain and _stem(p) == f"{domain}_VARS"), ""),
        vtpm=any(what == "swtpm" and server and p.endswith(f"/{server}") for what, p in beside),
        saved=any(what == "save" and domain and _stem(p) == domain for what, p in beside),
        problems=tuple(_folder_problems(name, inside, raw, images)),
    )


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].rpartition(".")[0]


def _folder_problems(name: str, inside: Mapping[str, File], raw: Raw, images: Mapping[str, Image]) -> Iterator[str]:
    if any(path == name or path.startswith(name + "/") for path in raw.shut):
        yield "it cannot be read completely: permission denied"
    text = raw.texts.get(f"{name}/disk.info")
    if text is not None and not isinstance(_json(text), dict):
        yield "disk.info is not a JSON object"
    for path, file in inside.items():
        if file.type == "f" and _DISK.fullmatch(path.rsplit("/", 1)[-1]) and path not in images:
            if path.count("/") == 1:
                yield f"{path} was not inspected"
        elif file.type == "l":
            yield f"{path} is a link: its target is neither examined nor copied"
        elif file.type not in "fd":
            yield f"{path} is not a regular file (type {file.type})"


def _json(text: str) -> object:
    try:
        found: object = json.loads(text)
    except ValueError:
        return None
    return found


def below(home: str, backing: str, folder: str) -> str:
    """The path of a backing file relative to the instances directory, "" if it is outside.

    ``home``: the directory's path when the chain was made. For a path in another directory its ``_base`` part counts,
    which is Nova's own layout: such a disk came from a host with another instances_path.
    """
    if backing.startswith("/"):
        head = home.rstrip("/") + "/"
        if backing.startswith(head):
            path = backing[len(head) :]
        elif "/_base/" in backing:
            path = "_base/" + backing.rpartition("/_base/")[2]
        else:
            return ""
    else:
        path = f"{folder}/{backing}"
    clean = os.path.normpath(path)
    return "" if clean.startswith(("..", "/")) or ":" in backing.partition("/")[0] else clean


def _behind_a_link(path: str, raw: Raw) -> bool:
    """Whether a directory on the way to it is a link, such as a ``_base`` on another disk: nothing below was listed."""
    above = raw.files.get(path.partition("/")[0])
    return above is not None and above.type == "l"


def _disk(image: Image, images: Mapping[str, Image], raw: Raw, home: str) -> Disk:
    """A disk with its chain, followed only inside the instances directory."""
    chain: list[str] = []
    problems = [image.problem] if image.problem else []
    at = image
    while at.backing and not problems:
        path = below(home, at.backing, at.path.rpartition("/")[0])
        if not path:
            problems.append(f"its base {at.backing} is outside the instances directory")
        elif path in chain or path == image.path:
            problems.append(f"its backing chain is circular at {path}")
        elif _behind_a_link(path, raw):
            problems.append(f"its base {path} is behind a link, and is not examined")
        elif path not in raw.files:
            chain.append(path)
            problems.append(f"its base {path} is missing")
        elif path not in images:
            chain.append(path)
            problems.append(f"its base {path} could not be inspected")
        else:
            chain.append(path)
            at = images[path]
            if at.problem:
                problems.append(f"its base {path} is broken: {at.problem}")
    return Disk(image=image, chain=tuple(chain), problems=tuple(problems))


def _bases(
    raw: Raw, images: Mapping[str, Image], folders: Sequence[Folder], opened: Mapping[str, Sequence[str]]
) -> list[Base]:
    users: dict[str, list[str]] = {}
    for folder in folders:
        for disk in folder.disks:
            for path in disk.chain:
                users.setdefault(path, []).append(disk.image.path)
    found = []
    for path in sorted({p for p in images if p.startswith("_base/")} | set(users)):
        missing = path not in raw.files
        gone = [who for name in (path, f"{path} (deleted)") for who in opened.get(name, ())]
        plain = images.get(path) or Image(
            path=path,
            size=0 if missing else raw.files[path].size,
            allocated=0 if missing else raw.files[path].allocated,
            problem="it is missing" if missing else "it could not be inspected",
        )
        found.append(
            Base(
                image=plain,
                kind=_base_kind(path),
                used_by=tuple(users.get(path, ())),
                open_by=tuple(gone),
                missing=missing,
                modified=0.0 if missing else raw.files[path].modified,
            )
        )
    return found


def _base_kind(path: str) -> str:
    name = path.rpartition("/")[2]
    if match := _SIZED.fullmatch(name):
        return match[1]
    if re.match(r"ephemeral_|swap_", name):
        return name.partition("_")[0]
    return "image" if re.match(r"[0-9a-f]{40}", name) else "other"


# -- its file system


def _storage(raw: Raw, path: str, host: str, now: float) -> Storage:
    source, mount, type_ = "", "", ""
    for line in raw.words.get("mounts", "").splitlines():
        words = [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), word) for word in line.split(" ")]
        above = len(words) > 2 and (path == words[1] or path.startswith(words[1].rstrip("/") + "/"))
        if above and len(words[1]) >= len(mount):
            source, mount, type_ = words[:3]
    room = raw.words.get("room", "").split()
    free, size, files, all_files = (int(word) for word in room[:4]) if len(room) >= 4 else (0, 0, 0, 0)
    users = _users(raw)
    others = [name for name, at in users.items() if name != host and (not now or now - at < _RECENT)]
    shared, why = _shared(type_, others)
    return Storage(
        mount=mount,
        source=source,
        type=type_,
        free=free * size,
        free_files=files if all_files else -1,
        shared=shared,
        why=why,
        users=users,
    )


def _users(raw: Raw) -> dict[str, float]:
    found = _json(raw.texts.get("compute_nodes", ""))
    if not isinstance(found, dict):
        return {}
    return {str(name): float(at) for name, at in found.items() if isinstance(at, int | float)}


def _shared(type_: str, others: Sequence[str]) -> tuple[bool | None, str]:
    if SHARED.fullmatch(type_):
        return True, f"its file system is {type_}"
    if others:
        return True, f"compute_nodes also names {', '.join(sorted(others))}"
    if not type_:
        return None, "the mounts of the host could not be read"
    return False, f"its file system is {type_}, and no other host uses it"
