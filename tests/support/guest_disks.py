# SPDX-License-Identifier: Apache-2.0
"""Disks as guests leave them, created with the file systems' own tools: no mount, no loop device, no device-mapper."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

MIB = 1 << 20
SECTOR = 512
LVM, LINUX, SWAP = "E6D6D379-F507-44C2-A23C-238F2A3DF928", "L", "S"
_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC0"}


def tool(*argv: str | Path, stdin: str = "") -> str:
    """Run a program that must succeed."""
    done = subprocess.run(
        [str(word) for word in argv], input=stdin.encode(), capture_output=True, check=False, env=_PATH, timeout=120
    )
    assert done.returncode == 0, f"{argv}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode(errors="replace")


def needs_sandbox() -> None:
    """Skip tests that open disks if the kernel has no FUSE or forbids namespaces, as in many containers."""
    allowed = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "true"], check=False, capture_output=True
    )
    if allowed.returncode or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("disks are read with /dev/fuse, in user namespaces: this machine does not have both")


def wtmp(*records: tuple[int, str]) -> bytes:
    """The records of boots (2) and logins (7) at these times (ISO 8601, UTC), as util-linux writes them."""
    lines = "".join(
        f"[{kind}] [00000] [~~  ] [reboot  ] [~           ] [6.1.0-18-amd64      ] [0.0.0.0        ]"
        f" [{at},000000+00:00]\n"
        for kind, at in records
    )
    done = subprocess.run(["utmpdump", "-r"], input=lines.encode(), capture_output=True, check=True, env=_PATH)
    return done.stdout


def digest(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sparse(path: Path, size: int) -> Path:
    """Create a file of zeros."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def ext4(path: Path, files: Mapping[bytes, bytes], size: int = 32 * MIB, *options: str) -> Path:
    """Create an ext4 with these files; content that begins with ``-> `` makes a link."""
    tree = path.with_suffix(".tree")
    for name, content in files.items():
        file = os.path.join(os.fsencode(tree), name.lstrip(b"/"))
        os.makedirs(os.path.dirname(file), exist_ok=True)
        if content.startswith(b"-> "):
            os.symlink(content[3:], file)
        else:
            with open(file, "wb") as out:
                out.write(content)
    sparse(path, size)
    tool("mkfs.ext4", "-q", "-F", *options, "-d", tree, path)
    shutil.rmtree(tree)
    return path


def crashed(path: Path, name: str, content: bytes) -> Path:
    """Make an ext4 lose power just after a file was written: the file is only in the journal."""
    after, source = path.with_suffix(".after"), path.with_suffix(".source")
    shutil.copyfile(path, after)
    source.write_bytes(content)
    tool("debugfs", "-w", "-R", f"write {source} {name}", after)
    old, new = path.read_bytes(), after.read_bytes()
    size = 1024 << struct.unpack_from("<I", old, 1024 + 24)[0]
    changed = [
        at for at in range(len(old) // size) if old[at * size : (at + 1) * size] != new[at * size : (at + 1) * size]
    ]
    source.write_bytes(b"".join(new[at * size : (at + 1) * size] for at in changed))
    script = path.with_suffix(".commands")
    script.write_text(f"jo\njw -b {','.join(map(str, changed))} {source}\njc\n")
    tool("debugfs", "-w", "-f", script, path)
    assert "needs_recovery" in tool("dumpe2fs", "-h", path)
    for file in (after, source, script):
        file.unlink()
    return path


def directory_of(path: Path, name: str, entries: Sequence[bytes], inode: int = 11) -> None:
    """Give an ext4 a directory with arbitrary names: a file of directory blocks whose inode says directory.

    Each entry is the directory with this inode: /lost+found, or / for 2. The file system must be created without
    metadata_csum and dir_index, with blocks of 4096 bytes.
    """
    blocks, block, last = bytearray(), bytearray(), 0
    for entry in entries:
        length = 8 + (len(entry) + 3) // 4 * 4
        if len(block) + length > 4096:
            blocks += _closed(block, last)
            block = bytearray()
        last = len(block)
        block += struct.pack("<IHBB", inode, length, len(entry), 2) + entry.ljust(length - 8, b"\0")
    blocks += _closed(block, last)
    source = path.with_suffix(".directory")
    source.write_bytes(blocks)
    script = path.with_suffix(".commands")
    script.write_text(f"write {source} {name}\nsif {name} mode 040755\n")
    tool("debugfs", "-w", "-f", script, path)
    source.unlink()
    script.unlink()


def _closed(block: bytearray, last: int) -> bytes:
    struct.pack_into("<H", block, last + 4, 4096 - last)
    return bytes(block).ljust(4096, b"\0")


def xfs(path: Path, files: Mapping[str, bytes], size: int = 320 * MIB) -> Path:
    """Create an xfs with these files in its root directory."""
    lines = ["/stackmend", "0 0", "d--755 0 0"]
    for number, (name, content) in enumerate(files.items()):
        source = path.with_suffix(f".{number}")
        source.write_bytes(content)
        lines.append(f"{name} ---644 0 0 {source}")
    prototype = path.with_suffix(".prototype")
    prototype.write_text("\n".join([*lines, "$", ""]))
    sparse(path, size)
    tool("mkfs.xfs", "-q", "-p", prototype, path)
    return path


def placed(disk: Path, offset: int, content: Path) -> None:
    """Write the content of a file into a disk, leaving out holes."""
    with disk.open("r+b") as out, content.open("rb") as file:
        while some := file.read(MIB):
            if some.strip(b"\0"):
                out.seek(offset + file.tell() - len(some))
                out.write(some)


def partitioned(path: Path, label: str, parts: Sequence[tuple[str, Path | int]]) -> Path:
    """Create a disk with these partitions: (type, content or size). Those after an extended one ("5") are inside it."""
    lines, at, number, starts = [f"label: {label}"], MIB, 0, []
    for type_, part in parts:
        size = part if isinstance(part, int) else part.stat().st_size
        number = 5 if number == 3 and label == "dos" and parts[2][0] == "5" else number + 1
        lines.append(f"x{number} : start={at // SECTOR},size={size // SECTOR},type={type_}")
        starts.append(at)
        at += MIB if type_ == "5" else size + MIB
    sparse(path, at + MIB)
    tool("sfdisk", "-q", path, stdin="\n".join(lines) + "\n")
    for (_, part), start in zip(parts, starts, strict=True):
        if isinstance(part, Path):
            placed(path, start, part)
    return path


def overlay(path: Path, base: Path, form: str = "raw") -> Path:
    """Create a qcow2 with a backing file."""
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", base, path)
    return path


def looping(path: Path) -> Path:
    """Create a disk whose extended partition links to itself."""
    sparse(path, 8 * MIB)
    tool("sfdisk", "-q", path, stdin="label: dos\nstart=2048,size=8192,type=5\nstart=4096,size=2048,type=83\n")
    with path.open("r+b") as disk:
        record = bytearray(512)
        record[446:462] = struct.pack("<B3sB3sII", 0, b"\0" * 3, 0x83, b"\0" * 3, 63, 1024)
        # the next record is at the same place
        record[462:478] = struct.pack("<B3sB3sII", 0, b"\0" * 3, 0x05, b"\0" * 3, 0, 8192)
        record[510:] = b"\x55\xaa"
        disk.seek(2048 * SECTOR)
        disk.write(record)
    return path


def encrypted(path: Path) -> Path:
    """Create the beginning of a LUKS volume."""
    sparse(path, 4 * MIB)
    with path.open("r+b") as file:
        file.write(b"LUKS\xba\xbe\0\x01" + b"aes".ljust(32, b"\0") + b"xts-plain64".ljust(32, b"\0"))
        file.seek(168)
        file.write(b"c0ffee00-0000-4000-8000-000000000001")
    return path


# -- LVM: cannot be created on a test machine without device-mapper

_EXTENT = 4 * MIB
_FIRST = MIB
_AREA, _AREA_SIZE = 4096, MIB - 4096
_PV = "AAAAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAAA"


def physical_volume(path: Path, group: str, logical: Mapping[str, tuple[Path, Sequence[int]]]) -> Path:
    """Create a physical volume of LVM2: name -> (content, its extents in order)."""
    most = 1 + max(extent for _, extents in logical.values() for extent in extents)
    size = _FIRST + most * _EXTENT
    sparse(path, size)
    text = _metadata(group, most, size, logical).encode() + b"\0"
    body = _PV.replace("-", "").encode() + struct.pack("<9Q", size, _FIRST, 0, 0, 0, _AREA, _AREA_SIZE, 0, 0)
    label = bytearray(SECTOR)
    label[:8], label[24:32], label[32 : 32 + len(body)] = b"LABELONE", b"LVM2 001", body
    struct.pack_into("<Q", label, 8, 1)
    struct.pack_into("<I", label, 20, 32)
    struct.pack_into("<I", label, 16, _checksum(label[20:]))
    head = bytearray(SECTOR)
    head[4:20] = b" LVM2 x[5A%r0N*>"
    struct.pack_into("<IQQ", head, 20, 1, _AREA, _AREA_SIZE)
    struct.pack_into("<QQII", head, 40, SECTOR, len(text), _checksum(text), 0)
    struct.pack_into("<I", head, 0, _checksum(head[4:]))
    with path.open("r+b") as file:
        for at, some in ((SECTOR, label), (_AREA, head), (_AREA + SECTOR, text)):
            file.seek(at)
            file.write(some)
        for content, extents in logical.values():
            with content.open("rb") as source:
                for extent in extents:
                    file.seek(_FIRST + extent * _EXTENT)
                    file.write(source.read(_EXTENT))
    return path


def _metadata(group: str, most: int, size: int, logical: Mapping[str, tuple[Path, Sequence[int]]]) -> str:
    volumes = "\n".join(_logical(name, extents) for name, (_, extents) in logical.items())
    return f"""{group} {{
id = "{_PV}"
seqno = 3
format = "lvm2" # informational
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = {_EXTENT // SECTOR}
max_lv = 0
max_pv = 0
metadata_copies = 0

physical_volumes {{

pv0 {{
id = "{_PV}"
device = "/dev/vda2"
status = ["ALLOCATABLE"]
flags = []
dev_size = {size // SECTOR}
pe_start = {_FIRST // SECTOR}
pe_count = {most}
}}
}}

logical_volumes {{
{volumes}
}}
}}
# Generated by LVM2
contents = "Text Format Volume Group"
version = 1
description = ""
creation_host = "guest"
creation_time = 1700000000
"""


def _logical(name: str, extents: Sequence[int]) -> str:
    segments = "\n".join(
        f'segment{at + 1} {{\nstart_extent = {at}\nextent_count = 1\ntype = "striped"\nstripe_count = 1\n'
        f'stripes = [\n"pv0", {extent}\n]\n}}'
        for at, extent in enumerate(extents)
    )
    return f"""
{name} {{
id = "{name.upper().ljust(6, "B")[:6]}-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAAA"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
segment_count = {len(extents)}
{segments}
}}"""


def _checksum(data: bytes) -> int:
    """LVM's checksum: CRC-32 without the final step, with a special initial value."""
    value = 0xF597A6CF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value
