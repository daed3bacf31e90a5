# SPDX-License-Identifier: Apache-2.0
"""Back ends with the volumes of an embedded cloud: a real folder of real files, or pools of a stand-in for Ceph."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackmend_lab.cloud import Cloud

_DAY = 86_400
STAND_IN = Path(__file__).with_name("rbd_stand_in.py")


class Shelf(ABC):
    """One back end."""

    kind: str
    place: str
    program: tuple[str, ...] = ()

    @abstractmethod
    def put(self, name: str, age: float = 2 * _DAY, size: int = 1 << 20) -> None:
        """An object of that name."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """It is gone."""

    @abstractmethod
    def rename(self, name: str, new: str) -> None:
        """It has another name."""

    def toml(self, name: str, **more: Any) -> str:
        """The section of the configuration."""
        values = {"kind": self.kind, "place": self.place, **({"program": list(self.program)} if self.program else {})}
        return f"[storage.{name}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in {**values, **more}.items())


@dataclass
class Folder(Shelf):
    """One share: a folder."""

    path: Path
    kind = "file"

    @property
    def place(self) -> str:  # type: ignore[override]
        return str(self.path)

    def put(self, name: str, age: float = 2 * _DAY, size: int = 1 << 20) -> None:
        """A sparse file."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as new:
            new.truncate(size)
        self.aged(name, age)

    def qcow2(self, name: str, backing: str = "", age: float = 2 * _DAY) -> None:
        """What Cinder makes for a snapshot: an overlay on another file; on none after all data was pulled into it."""
        on = ["-F", "raw", "-b", backing, name] if backing else [name, "1M"]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *on], cwd=self.path, check=True)
        self.aged(name, age)

    def aged(self, name: str, age: float) -> None:
        """Written to so many seconds ago."""
        os.utime(self.path / name, (time.time() - age,) * 2)

    def drop(self, name: str) -> None:
        """Remove the file."""
        (self.path / name).unlink()

    def rename(self, name: str, new: str) -> None:
        """Rename the file."""
        (self.path / name).rename(self.path / new)


@dataclass
class Pool(Shelf):
    """One pool of the stand-in."""

    file: Path
    place: str = "volumes"
    kind = "rbd"
    state: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folder = self.file.with_suffix(".bin")
        folder.mkdir(exist_ok=True)
        for name in ("rbd", "ceph"):
            words = (sys.executable, "-I", str(STAND_IN), name, str(self.file))
            (folder / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            (folder / name).chmod(0o755)
        self.program = (str(folder / "rbd"),)
        self.write(images={}, trash={})

    def read(self) -> dict[str, Any]:
        """The images and the trash."""
        pools = json.loads(self.file.read_text()) if self.file.exists() else {}
        found: dict[str, Any] = pools.get(self.place, {})
        return found

    def write(self, **pool: Any) -> None:
        """As they are now."""
        pools = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.file.write_text(json.dumps({**pools, self.place: pool}))

    def put(self, name: str, age: float = 2 * _DAY, size: int = 1 << 20, **more: Any) -> None:
        """An image, in place of one of that name; Ceph's list has no times."""
        del age
        pool = self.read()
        pool["images"][name] = {"size": size, **more}
        self.write(**pool)

    def fill(self, names: list[str]) -> None:
        """Many at once."""
        self.write(images={name: {"size": 1 << 20} for name in names}, trash={})

    def drop(self, name: str) -> None:
        """Remove the image."""
        pool = self.read()
        del pool["images"][name]
        self.write(**pool)

    def discard(self, name: str) -> None:
        """Move it to the trash."""
        pool = self.read()
        pool["trash"]["10a1"] = {"name": name, **pool["images"].pop(name)}
        self.write(**pool)

    def held(self, name: str, owner: str = "", *watchers: str, lock: str = "auto 94", **more: Any) -> None:
        """An image that these have open, with a lock of ``owner``; the number of a client is that of its address."""
        locks = [{"id": lock, "locker": f"client.{owner.rpartition('/')[2]}", "address": owner}] if owner else []
        there = [{"address": one, "client": int(one.rpartition("/")[2]), "cookie": 94} for one in watchers]
        self.put(name, **{"locks": locks, "watchers": there, **more})

    def cluster(self, **more: Any) -> None:
        """The id of the cluster, whom it refuses, and what it refuses to say."""
        pools = json.loads(self.file.read_text())
        self.file.write_text(json.dumps({**pools, "cluster": {**pools.get("cluster", {}), **more}}))

    def rename(self, name: str, new: str) -> None:
        """Rename it."""
        pool = self.read()
        pool["images"][new] = pool["images"].pop(name)
        self.write(**pool)

    def run(self, *words: str) -> None:
        """Run the program as somebody would by hand."""
        subprocess.run([*self.program, *words], check=True)


def volumes(cloud: Cloud) -> list[str]:
    """The name of each live volume."""
    return [f"volume-{row['id']}" for row in cloud.rows("cinder", "SELECT id FROM volumes WHERE deleted = 0")]


def located(cloud: Cloud, cluster: str, pool: str) -> list[str]:
    """Move the content of every active image to a pool; their ids."""
    images = [str(row["id"]) for row in cloud.rows("glance", "SELECT id FROM images WHERE deleted = 0")]
    for image in images:
        where = {"image_id": image}
        cloud.update("glance", "image_locations", where, value=f"rbd://{cluster}/{pool}/{image}/snap")
    return images
