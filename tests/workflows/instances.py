# SPDX-License-Identifier: Apache-2.0
"""Real instances directories: qcow2 files with their bases, made by qemu-img, with what Nova writes beside them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from pathlib import Path

from stackmend.drivers.hosts.transport import Routes, Transport

MIB = 1024 * 1024


def tool(*words: str) -> str:
    """Run a program of the system to its good end."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def qemu(*words: str | Path) -> str:
    """Run qemu-img."""
    return tool("qemu-img", *map(str, words))


def here(*names: str) -> Transport:
    """Hosts of these names, all of them this machine."""
    return Transport(Routes(transport="local", local=frozenset(names)))


class Instances:
    """An instances directory under construction."""

    def __init__(self, path: Path, home: str = "") -> None:
        self.path, self.home = path, home or str(path)
        (path / "_base").mkdir(parents=True)
        (path / "locks").mkdir()
        (path / "locks" / "nova-storage-registry-lock").touch()

    def base(self, image: str = "cirros", *, size: int = 4 * MIB, form: str = "raw") -> str:
        """A base by the name of its image; sparse, with content at both ends. Its name."""
        name = hashlib.sha1(image.encode(), usedforsecurity=False).hexdigest()
        self.file(f"_base/{name}", size, image.encode())
        if form == "qcow2":
            raw = self.path / "_base" / f"{name}.part"
            (self.path / "_base" / name).rename(raw)
            qemu("convert", "-f", "raw", "-O", "qcow2", raw, self.path / "_base" / name)
            raw.unlink()
        return name

    def file(self, name: str, size: int, content: bytes) -> Path:
        """A file with a hole in its middle."""
        path = self.path / name
        with path.open("wb") as made:
            made.write(content)
            made.truncate(size)
            made.seek(size - len(content))
            made.write(content)
        return path

    def server(self, base: str = "", *, name: str = "", info: bool = True, write: bytes = b"guest") -> str:
        """The directory of a server with a root disk on this base; its name, a new uuid by default."""
        name = name or str(uuid.uuid4())
        folder = self.path / name
        folder.mkdir()
        disk = folder / "disk"
        qemu("create", "-q", "-f", "qcow2", disk, str(8 * MIB))
        if write:
            tool("qemu-io", "-f", "qcow2", "-c", f"write -q -P {write[0]} 1M 64k", str(disk))
        if base:
            self.rebase(disk, f"{self.home}/_base/{base}")
        (folder / "console.log").write_bytes(b"login: \n")
        if info:
            (folder / "disk.info").write_text(json.dumps({f"{self.home}/{name}/disk": "qcow2"}))
        return name

    def rebase(self, disk: Path, on: str, form: str = "raw") -> None:
        """Let a disk name another base, whatever is there."""
        qemu("rebase", "-u", "-f", "qcow2", "-F", form, "-b", on, disk)
