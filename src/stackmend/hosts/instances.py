# SPDX-License-Identifier: Apache-2.0
"""The commands that read an instances directory, and the parsing of their output."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stackmend.hosts.disk_scripts import IDENTITY
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Hosts

#: time limit in seconds for one command, and for each file checked
_LIMIT, _EACH = 120.0, 60.0
_BATCH = 200

_READ = (
    IDENTITY
    + r"""
export LC_ALL=C
cd -P -- "$1" || exit 3
printf 'path\t%s\0' "$PWD"
printf 'owner\t%s\0user\t%s\0' "$(stat -c %u:%g .)" "$(id -u)"
read -r second </proc/2/comm 2>/dev/null
printf 'second\t%s\0' "$second"
printf 'room\t%s\0' "$(stat -f -c '%a %S %d %c %T' .)"
printf 'mounts\t%s\0' "$(cat /proc/self/mounts)"
find . -mindepth 1 -maxdepth 3 -path ./locks -prune -o -printf 'file\t%y\t%s\t%b\t%T@\t%P\0'
for d in */; do
  [ ! -d "$d" ] || printf 'identity\t%s\t%s\0' "$(identity "$d")" "${d%/}"
done
find . -mindepth 1 -maxdepth 2 -type d ! \( -readable -executable \) -printf 'shut\t%P\0'
find . -mindepth 1 -maxdepth 2 \( -name disk.info -o -path ./compute_nodes \) -type f -size -64k -exec sh -c '
  for f do printf "name\t%s\0text\t" "${f#./}"; tr -d "\000" < "$f"; printf "\0"; done' sh {} +
here=$(printf '%s\n' "$PWD" | sed 's/[][\\*?]/\\&/g')
find /proc/[0-9]*/fd -lname "$here/*" -printf 'open\t%h\t%l\0' 2>/dev/null
for d in $(find /proc/[0-9]*/fd -lname "$here/*" -printf '%h\n' 2>/dev/null | sort -u); do
  printf 'process\t%s\t%s\0' "$d" "$(cat "${d%/fd}/comm" 2>/dev/null)"
done
for d in "$2/qemu/nvram" "$2/qemu/save" "$2/swtpm"; do
  [ ! -d "$d" ] || find "$d" -mindepth 1 -maxdepth 1 -printf 'beside\t%h\t%f\0'
done
for f in "$3"/*.xml; do
  [ ! -f "$f" ] || printf 'domain\t%s\t%s\0' "$(sed -n 's:.*<uuid>\(.*\)</uuid>.*:\1:p' "$f" | head -n 1)" "$f"
done
exit 0
"""
)

#: pairs of a name and a format on stdin, each ended by a NUL. Names begin with ./ so that none is taken for a protocol
_LOOK = r"""
export LC_ALL=C
cd -P -- "$1" || exit 3
command -v qemu-img >/dev/null || exit 4
xargs -0 -r -n 2 sh -c '
  verb=$0 name=$1
  set -- "$verb" -U --output=json ${2:+-f "$2"} -- "$name"
  out=$(qemu-img "$@" 2>/dev/null); code=$?
  [ "$code" = 0 ] || [ "$verb" = check -a -n "$out" ] || out=$(qemu-img "$@" 2>&1 >/dev/null)
  printf "%s\0%s\0%s\0" "$name" "$code" "$out"' "$2"
exit 0
"""


@dataclass(slots=True)
class File:
    """find's information about one file."""

    type: str
    size: int
    allocated: int
    modified: float


@dataclass(slots=True)
class Raw:
    """The output of the host, sorted by kind."""

    words: dict[str, str] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)  #: of the directories
    shut: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    open: list[tuple[str, str]] = field(default_factory=list)
    processes: dict[str, str] = field(default_factory=dict)
    beside: list[tuple[str, str]] = field(default_factory=list)
    domains: dict[str, str] = field(default_factory=dict)  #: uuid -> name


def read(hosts: Hosts, host: str, path: str, root: str, prefix: Sequence[str]) -> tuple[Raw, list[str]]:
    """(everything but the content of disks, what could not be read). SourceError if nothing could be read."""
    argv = (*prefix, "sh", "-s", "--", path, f"{root}/var/lib/libvirt", f"{root}/etc/libvirt/qemu")
    done = hosts.run(host, argv, limit=_LIMIT, stdin=_READ.encode())
    if done.code:
        raise SourceError(
            f"{host or 'this machine'}: {path} cannot be read: {last(done.err) or f'exit code {done.code}'}",
            "Specify the instances directory: --path, or [hosts] instances_path.",
        )
    return _sorted_out(done.out), [line for line in os.fsdecode(done.err).splitlines() if line.strip()]


def check(
    hosts: Hosts, host: str, path: str, names: Sequence[str], prefix: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Path -> exit code and JSON of ``qemu-img check`` for these qcow2 files, each without its backing file."""
    found: dict[str, tuple[str, str]] = {}
    for some in _batched(names, 20):
        called = {_alone(name): name for name in some}
        given = b"".join(os.fsencode(spelt) + b"\0\0" for spelt in called)
        argv = (*prefix, "sh", "-c", _LOOK, "look", path, "check")
        done = hosts.run(host, argv, limit=_LIMIT + _EACH * len(some), stdin=given)
        found |= {called[spelt]: (code, text) for spelt, code, text in _answers(done.out)}
    return found


def _sorted_out(out: bytes) -> Raw:
    raw, name = Raw(), ""
    for record in os.fsdecode(out).split("\0"):
        kind, _, rest = record.partition("\t")
        if kind == "file":
            type_, size, blocks, modified, path = rest.split("\t", 4)
            raw.files[path] = File(type_, int(size), int(blocks) * 512, float(modified))
        elif kind == "identity":
            identity, _, path = rest.partition("\t")
            raw.identities[path] = identity
        elif kind == "shut":
            raw.shut.append(rest)
        elif kind == "name":
            name = rest
        elif kind == "text":
            raw.texts[name] = rest
        elif kind == "open":
            process, _, path = rest.partition("\t")
            raw.open.append((process, path))
        elif kind == "process":
            process, _, called = rest.partition("\t")
            raw.processes[process] = f"{process.split('/')[2]} {called}".strip()
        elif kind == "beside":
            folder, _, path = rest.partition("\t")
            raw.beside.append((folder.rsplit("/", 1)[-1], f"{folder}/{path}"))
        elif kind == "domain":
            uuid, _, path = rest.partition("\t")
            raw.domains[uuid.strip()] = path.rsplit("/", 1)[-1].removesuffix(".xml")
        elif kind:
            raw.words[kind] = rest
    return raw


def _alone(name: str) -> str:
    """The image specification that makes qemu-img open a qcow2 file without any file it names."""
    file = {"driver": "file", "filename": f"./{name}"}
    return "json:" + json.dumps({"driver": "qcow2", "backing": None, "file": file}, ensure_ascii=False)


def look(
    hosts: Hosts, host: str, path: str, names: Sequence[str], formats: Mapping[str, str], prefix: Sequence[str]
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """(path -> exit code and text of qemu-img, what could not be done)."""
    found: dict[str, tuple[str, str]] = {}
    for some in _batched(names, _BATCH):
        given = b"".join(b"./" + os.fsencode(n) + b"\0" + formats.get(n, "").encode() + b"\0" for n in some)
        argv = (*prefix, "sh", "-c", _LOOK, "look", path, "info")
        done = hosts.run(host, argv, limit=_LIMIT + 2 * len(some), stdin=given)
        if done.code:
            lack = "qemu-img is not installed" if done.code == 4 else last(done.err)
            return found, [f"disks could not be inspected: {lack}"]
        found |= {name: (code, text) for name, code, text in _answers(done.out)}
    return found, []


def _answers(out: bytes) -> Iterator[tuple[str, str, str]]:
    words = os.fsdecode(out).split("\0")
    for at in range(0, len(words) - 2, 3):
        yield words[at].removeprefix("./"), words[at + 1], words[at + 2]


def _batched(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for at in range(0, len(names), size):
        yield names[at : at + size]


def last(text: bytes) -> str:
    """The last line that is not blank."""
    lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
