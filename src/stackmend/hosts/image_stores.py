# SPDX-License-Identifier: Apache-2.0
"""The folder of a filesystem store of Glance: what is in it, the hash of a file, and steps that put files in and aside.

The host needs a POSIX shell, GNU find and coreutils. Looking changes nothing. Commands run where the folder is: not in
the container of Nova ([hosts] container), for Glance is in another one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from stackmend.hosts.disk_scripts import IDENTITY
from stackmend.hosts.disks import InstancesDirectory, copy_file
from stackmend.hosts.inventory import SHARED
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.objects.disks import QUARANTINE
from stackmend.model.objects.images import DATADIR, Content, Held, ImageRecord, Node, Storage, StoredFile
from stackmend.model.protocols import Hosts
from stackmend.model.step import HostCommand

#: algorithms of os_hash_algo that coreutils has a program for
PROGRAMS = {
    **{name: f"{name}sum" for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")},
    "blake2b": "b2sum",
}
#: seconds for listing, and at least for reading one file; bytes a second that a disk reads at least
_LIST_LIMIT, _READ_LIMIT, _SLOWEST = 300.0, 300.0, 5 * 1024 * 1024
_MEBIBYTE = 1 << 20

#: $1 the folder: every file in it, each record ended by a NUL
_LIST = r"""export LC_ALL=C
cd -P -- "$1" || exit 3
printf 'path\t%s\0' "$PWD"
printf 'mounts\t%s\0' "$(cat /proc/self/mounts)"
find . -mindepth 1 -maxdepth 1 -type f -printf 'file\t%s\t%T@\t%f\0' || exit 4
echo listed >&2
"""
#: $1 the folder, $2 the file, $3 the program, $4 MiB a second, 0 for no limit: its hash, read at that pace
_HASH = r"""export LC_ALL=C
cd -P -- "$1" || exit 3
f=./$2 n=0 end=$(stat -c %s -- "./$2") || exit 4
command -v "$3" >/dev/null || exit 5
lines() {
  if [ "$4" = 0 ]; then
    cat -- "$f" && return
    kill "$$"
  fi
  while [ "$((n * 1048576))" -lt "$end" ]; do
    dd if="$f" bs=1048576 skip="$n" count="$4" status=none || kill "$$"
    n=$((n + $4))
    [ "$((n * 1048576))" -ge "$end" ] || sleep 1
  done
}
lines "$@" | nice "$3"
"""
_HEAD = (
    IDENTITY
    + f"""export LC_ALL=C
fail() {{ echo "$*" >&2; exit 1; }}
cd -P -- "$1" || exit 3
q={QUARANTINE}
"""
)
#: $1 the folder, $2 the file, $3 its size, $4 the name of the quarantine: a damaged file is moved aside
ASIDE = (
    "# moves a damaged file of a store aside\n"
    + _HEAD
    + r"""[ -f "$2" ] && [ ! -L "$2" ] && [ "$(stat -c %s -- "$2")" = "$3" ] || fail "it is another one now: $1/$2"
[ ! -L "$q" ] && mkdir -p -m 700 -- "$q" "$q/$4" && [ ! -e "$q/$4/$2" ] || fail "it is there already: $q/$4/$2"
identity "$2" >"$q/$4/$2.identity" && sync -- "$q/$4/$2.identity" || exit 3
mv -n -T -- "$2" "$q/$4/$2" && [ ! -e "$2" ]
"""
)
#: the same arguments
ASIDE_PROBE = (
    "# whether a damaged file is aside\n"
    + _HEAD
    + r"""[ -f "$q/$4/$2" ] || exit 1
[ "$(identity "$q/$4/$2")" = "$(cat "$q/$4/$2.identity")" ] || exit 2
"""
)
ASIDE_BACK = (
    "# moves it back\n"
    + _HEAD
    + r"""[ -f "$q/$4/$2" ] || exit 0
[ ! -e "$2" ] && [ ! -L "$2" ] || fail "there is one again: $1/$2"
mv -n -T -- "$q/$4/$2" "$2" && [ ! -e "$q/$4/$2" ]
"""
)


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """A store as it is named: its host, and its folder there."""

    host: str
    path: str = DATADIR

    @classmethod
    def of(cls, text: str) -> StoreSpec:
        """``glance-01`` or ``glance-01:/srv/glance/images``; UsageError for anything else."""
        host, colon, path = text.partition(":")
        if not host or (colon and not path.startswith("/")):
            raise UsageError(f"{text!r} is no store", "Write HOST, or HOST:/FOLDER: glance-01:/srv/glance/images.")
        return cls(host, path.rstrip("/") or "/" if colon else DATADIR)

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"{self.host}:{self.path}"


def listed(hosts: Hosts, store: StoreSpec) -> Node:
    """The files of a store. SourceError unless all of them were seen."""
    argv = ("sh", "-c", _LIST, "list", store.path)
    done = hosts.run(store.host, argv, limit=_LIST_LIMIT)
    if done.code or b"listed" not in done.err:
        why = done.err.decode("utf-8", "replace").strip().splitlines()
        raise SourceError(
            f"{store.path} of {store.host} cannot be read whole: {why[-1] if why else f'exit code {done.code}'}",
            "Name the folder of the store: HOST:/FOLDER, as filesystem_store_datadir of glance-api.conf.",
        )
    files, words = [], {}
    for record in os.fsdecode(done.out).split("\0"):
        kind, _, rest = record.partition("\t")
        if kind == "file":
            size, modified, name = rest.split("\t", 2)
            files.append(StoredFile(name=name, size=int(size), modified=float(modified)))
        elif kind:
            words[kind] = rest
    storage = _storage(words.get("mounts", ""), words.get("path", store.path))
    name = store.name
    return Node(name=name, api=False, host=store.host, path=store.path, files=tuple(files), storage=storage)


def by_size(node: Node, images: Mapping[str, ImageRecord]) -> Node:
    """The node with what its files' names and sizes say of each image."""
    sizes = {file.name.lower(): file.size for file in node.files}
    return replace(node, held={name: _sized(image, sizes.get(name)) for name, image in images.items()})


def _sized(image: ImageRecord, size: int | None) -> Content:
    if size is None:
        return Content(held=Held.MISSING, why="there is no such file")
    if size != image.size:
        return Content(held=Held.SIZE, size=size, why=f"{size} bytes")
    return Content(held=Held.WHOLE, size=size)


def digest(hosts: Hosts, store: StoreSpec, name: str, image: ImageRecord, rate: int = 0) -> str:
    """The hash of a file by the algorithm of the image, read at ``rate`` MiB a second (0: as fast as it goes).

    SourceError if it cannot be made.
    """
    program = PROGRAMS.get(image.algorithm)
    if program is None:
        raise SourceError(f"no program makes {image.algorithm or 'an unknown hash'} on a host")
    argv = ("sh", "-c", _HASH, "hash", store.path, name, program, str(rate))
    slowest = min(_SLOWEST, rate * _MEBIBYTE) if rate else _SLOWEST
    done = hosts.run(store.host, argv, limit=_READ_LIMIT + 2 * image.size / slowest)
    found = done.out.split()
    if done.code or not found:
        lack = f"{program} is not installed" if done.code == 5 else f"exit code {done.code}"
        raise SourceError(f"{store.path}/{name} of {store.host} cannot be read: {lack}")
    return found[0].decode("ascii", "replace").lstrip("\\").lower()


def read(hosts: Hosts, store: StoreSpec, image: ImageRecord, seen: Content, rate: int = 0) -> Content:
    """The content of an image whose size is right, by its hash."""
    if seen.held is not Held.WHOLE or not image.digest:
        return seen
    try:
        found = digest(hosts, store, image.id, image, rate)
    except SourceError as problem:
        return Content(held=Held.UNREAD, size=seen.size, why=problem.message)
    same = found == image.digest.lower()
    why = "" if same else f"its {image.algorithm} is {found[:16]}..."
    return Content(held=Held.WHOLE if same else Held.HASH, size=seen.size, digest=found, why=why, read=image.size)


def copied(source: StoreSpec, target: StoreSpec, image: ImageRecord, settings: Mapping[str, object]) -> HostCommand:
    """Copy the file of an image, by way of this machine, with checksums on both sides; undo moves it aside."""
    there, here = (InstancesDirectory.of(settings, one.host, one.path, inside=False) for one in (source, target))
    return copy_file(there, here, image.id, image.size, f"image-{image.id}")


def aside(target: StoreSpec, image: ImageRecord, size: int, stamp: str) -> HostCommand:
    """Move a damaged file aside; undo moves it back."""
    words = (target.path, image.id, str(size), stamp)
    return HostCommand(
        host=target.host,
        argv=("sh", "-c", ASIDE, "aside", *words),
        probe=("sh", "-c", ASIDE_PROBE, "aside", *words),
        inverse=("sh", "-c", ASIDE_BACK, "aside", *words),
    )


def _storage(mounts: str, path: str) -> Storage:
    source, mount, type_ = "", "", ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if (
            len(words) > 2
            and (path == words[1] or path.startswith(words[1].rstrip("/") + "/"))
            and (len(words[1]) >= len(mount))
        ):
            source, mount, type_ = words[:3]
    return Storage(type=type_, source=source, shared=bool(SHARED.fullmatch(type_)) if type_ else None)
