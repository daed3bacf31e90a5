# SPDX-License-Identifier: Apache-2.0
"""What can be broken in the instances directory of a host, and what only looks so: real files beside real rows.

As :mod:`stackmend_lab.plants` for databases: each plant returns the key of the finding expected.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackmend.model.objects.disks import QUARANTINE
from stackmend_lab.cloud import Cloud, Server

from .instances import Instances, qemu

HOST, OTHER, CELL = "c0003", "c0001", "cell:cell1"


@dataclass
class Scene:
    """A host with its directory, in a cloud."""

    cloud: Cloud
    made: Instances
    until: ExitStack  #: what is to be ended afterwards

    def server(self, kind: str = "active", *, here: bool = True) -> Server:
        """A server that lives here, or is of another host."""
        return next(s for s in iter(lambda: self.cloud.pick(kind), None) if (s.host == HOST) is here)

    def age(self, days: float = 30) -> None:
        """Let nothing have changed for so long."""
        then = time.time() - days * 86_400
        for one in self.made.path.rglob("*"):
            os.utime(one, (then, then), follow_symlinks=False)

    def old(self, name: str = "", base: str = "") -> str:
        """A directory of this name that has not changed for long."""
        name = self.made.server(base, name=name)
        self.age()
        return name

    def moved(self, server: Server, **values: Any) -> None:
        """A migration of a server."""
        self.cloud.insert(
            CELL, "migrations", instance_uuid=server.uuid, uuid=str(uuid.uuid4()), created_at=self.cloud.ago(900),
            updated_at=self.cloud.ago(900), **{"deleted": 0, "source_compute": HOST, "dest_compute": OTHER, **values},
        )  # fmt: skip

    def hold(self, path: Path) -> subprocess.Popen[bytes]:
        """Have a process keep a file open."""
        done = subprocess.Popen(["sh", "-c", f"exec 3<'{path}'; echo; exec sleep 60"], stdout=subprocess.PIPE)
        assert done.stdout is not None
        done.stdout.readline()
        self.until.callback(done.stdout.close)
        self.until.callback(done.wait)
        self.until.callback(done.kill)
        return done


Plant = Callable[[Scene], dict[str, Any]]
Alike = Callable[[Scene], None]


def orphan(name: str) -> dict[str, Any]:
    """The key of an orphaned directory."""
    return {"host": HOST, "name": name}


# -- instance-dir-orphan


def nobody(scene: Scene) -> dict[str, Any]:
    """The rows of its server were purged."""
    return orphan(scene.old())


def elsewhere(scene: Scene) -> dict[str, Any]:
    """A migration that ended well and left its source behind."""
    server = scene.server(here=False)
    scene.moved(server, status="completed", migration_type="live-migration", dest_compute=str(server.host))
    return orphan(scene.old(server.uuid))


def deleted(scene: Scene) -> dict[str, Any]:
    """Nova gave its clean-up up."""
    server = scene.server()
    scene.cloud.update(
        CELL, "instances", {"uuid": server.uuid}, deleted=1, deleted_at=scene.cloud.ago(200_000), cleaned=0
    )
    return orphan(scene.old(server.uuid))


def resize_left(scene: Scene) -> dict[str, Any]:
    """A resize that was confirmed while the source was down."""
    return orphan(scene.old(f"{scene.server(here=False).uuid}_resize"))


def lives_here(scene: Scene) -> None:
    """Its server is here, and stopped for months."""
    scene.old(scene.server().uuid)


def awaits_confirmation(scene: Scene) -> None:
    """The source of a resize that its owner has not confirmed (G-RESIZE)."""
    server = scene.server(here=False)
    scene.moved(server, status="finished", migration_type="resize", dest_compute=str(server.host))
    scene.old(f"{server.uuid}_resize")


def evacuated(scene: Scene) -> None:
    """It was evacuated from here: nova-compute cleans up when it starts, also where the record is marked deleted."""
    server = scene.server(here=False)
    scene.moved(server, status="done", migration_type="evacuation", dest_compute=str(server.host), deleted=1)
    scene.old(server.uuid)


def arriving(scene: Scene) -> None:
    """A live migration brings it."""
    server = scene.server(here=False)
    scene.moved(
        server, status="running", migration_type="live-migration", source_compute=str(server.host), dest_compute=HOST
    )
    scene.old(server.uuid)


def just_deleted(scene: Scene) -> None:
    """nova-compute removes it within minutes, or tries again for hours."""
    server = scene.server()
    scene.cloud.update(CELL, "instances", {"uuid": server.uuid}, deleted=1, deleted_at=scene.cloud.ago(600))
    scene.old(server.uuid)


def being_deleted(scene: Scene) -> None:
    """A deletion is under way elsewhere."""
    server = scene.server(here=False)
    scene.cloud.update(CELL, "instances", {"uuid": server.uuid}, task_state="deleting")
    scene.old(server.uuid)


def of_another_cell(scene: Scene) -> None:
    """Its row is in the other cell, where an operator has moved the host."""
    server = next(s for s in iter(lambda: scene.cloud.pick("active"), None) if s.cell == "cell2")
    scene.cloud.update(server.database, "instances", {"uuid": server.uuid}, host=HOST)
    scene.old(server.uuid)


def being_built(scene: Scene) -> None:
    """No cell has it yet."""
    scene.old(scene.cloud.pick("unscheduled").uuid)


def mapped(scene: Scene) -> None:
    """nova_api maps it to a cell, whose row of it was lost."""
    name = scene.old()
    scene.cloud.insert(
        "nova_api", "instance_mappings", instance_uuid=name, cell_id=2, project_id="p", queued_for_delete=0,
        created_at=scene.cloud.ago(90_000),
    )  # fmt: skip


def young(scene: Scene) -> None:
    """It changed a day ago."""
    scene.made.server()
    scene.age(1)


def held_open(scene: Scene) -> None:
    """A process has its disk open, whatever Nova says."""
    scene.hold(scene.made.path / scene.old() / "disk")


def under_another(scene: Scene) -> None:
    """Somebody has based a disk of a living server on it."""
    below = scene.made.server()
    above = scene.made.server(name=scene.server().uuid)
    scene.made.rebase(scene.made.path / above / "disk", f"{scene.made.path}/{below}/disk", "qcow2")
    scene.age()


def on_nfs(scene: Scene) -> None:
    """Another host has said today that it uses the same directory: only that host may know."""
    scene.old()
    (scene.made.path / "compute_nodes").write_text(json.dumps({HOST: time.time(), OTHER: time.time()}))


def novas_own(scene: Scene) -> None:
    """What Nova keeps there besides, and what is nobody's."""
    for name in ("snapshots", "lost+found", ".nova-backup", str(uuid.uuid4()).upper()):
        (scene.made.path / name).mkdir()
    scene.age()


# -- base-file-unused


def unused(scene: Scene) -> dict[str, Any]:
    """The last server of an image is gone."""
    used, name = scene.made.base("used"), scene.made.base("unused")
    scene.old(scene.server().uuid, used)
    return {"host": HOST, "name": f"_base/{name}"}


def unused_swap(scene: Scene) -> dict[str, Any]:
    """A swap file of a flavor that nobody has any more."""
    scene.made.file("_base/swap_64", 64 * 1024 * 1024, b"swap")
    scene.age()
    return {"host": HOST, "name": "_base/swap_64"}


def used(scene: Scene) -> None:
    """A disk is based on it."""
    scene.old(scene.server().uuid, scene.made.base())


def used_below(scene: Scene) -> None:
    """It is under a base that is under a disk."""
    low, high = scene.made.base("low"), scene.made.base("high", form="qcow2")
    scene.made.rebase(scene.made.path / "_base" / high, f"{scene.made.path}/_base/{low}")
    name = scene.made.server(name=scene.server().uuid)
    scene.made.rebase(scene.made.path / name / "disk", f"{scene.made.path}/_base/{high}", "qcow2")
    scene.age()


def touched(scene: Scene) -> None:
    """nova-compute has touched it a day ago."""
    scene.made.base()
    scene.age(1)


def base_open(scene: Scene) -> None:
    """A process has it open."""
    name = scene.made.base()
    scene.age()
    scene.hold(scene.made.path / "_base" / name)


def flat(scene: Scene) -> None:
    """Disks without bases (use_cow_images = False): what they were made of is in no chain."""
    scene.made.base()
    scene.old(scene.server().uuid)


def quarantined(scene: Scene) -> None:
    """A disk that was moved aside may be based on it."""
    scene.made.base()
    (scene.made.path / QUARANTINE / "2026-11-01" / str(uuid.uuid4())).mkdir(parents=True)
    scene.age()


def move_under_way(scene: Scene) -> None:
    """A server comes whose disks are not all there yet."""
    scene.made.base()
    arriving(scene)


def broken_disk(scene: Scene) -> None:
    """A disk that cannot be read may be based on anything."""
    scene.made.base()
    name = scene.made.server(scene.made.base("other"), name=scene.server().uuid)
    (scene.made.path / name / "disk").write_bytes(b"no qcow2")
    scene.age()


# -- base-file-missing


def missing(scene: Scene) -> dict[str, Any]:
    """The base of a server was removed."""
    base, server = scene.made.base(), scene.server()
    scene.old(server.uuid, base)
    (scene.made.path / "_base" / base).unlink()
    return {"host": HOST, "disk": f"{server.uuid}/disk"}


def missing_and_open(scene: Scene) -> dict[str, Any]:
    """It was removed, and a guest that runs still has it."""
    base, server = scene.made.base(), scene.server()
    scene.old(server.uuid, base)
    scene.hold(scene.made.path / "_base" / base)
    (scene.made.path / "_base" / base).unlink()
    return {"host": HOST, "disk": f"{server.uuid}/disk"}


def missing_below(scene: Scene) -> dict[str, Any]:
    """The lowest of three files is gone."""
    low, high, server = scene.made.base("low"), scene.made.base("high", form="qcow2"), scene.server()
    scene.made.rebase(scene.made.path / "_base" / high, f"{scene.made.path}/_base/{low}")
    scene.made.server(name=server.uuid)
    scene.made.rebase(scene.made.path / server.uuid / "disk", f"{scene.made.path}/_base/{high}", "qcow2")
    scene.age()
    (scene.made.path / "_base" / low).unlink()
    return {"host": HOST, "disk": f"{server.uuid}/disk"}


def flat_and_raw(scene: Scene) -> None:
    """A raw disk needs no base."""
    name = scene.made.server(name=scene.server().uuid)
    disk = scene.made.path / name / "disk"
    qemu("convert", "-f", "qcow2", "-O", "raw", disk, disk.with_suffix(".raw"))
    disk.with_suffix(".raw").rename(disk)
    (scene.made.path / name / "disk.info").write_text(json.dumps({str(disk): "raw"}))
    scene.age()


def missing_of_one_that_comes(scene: Scene) -> None:
    """A server arrives, and its base is fetched after its disk was made."""
    base = scene.made.base()
    server = scene.server(here=False)
    scene.moved(
        server, status="preparing", migration_type="live-migration", source_compute=str(server.host), dest_compute=HOST
    )
    scene.old(server.uuid, base)
    (scene.made.path / "_base" / base).unlink()


def behind_a_link(scene: Scene) -> None:
    """The cache is on another disk: nobody looked at what the link leads to."""
    scene.old(scene.server().uuid, scene.made.base())
    cache = scene.made.path / "_base"
    cache.rename(cache.with_name("cache"))
    cache.symlink_to("cache")


PLANTS: dict[str, dict[str, Plant]] = {
    "instance-dir-orphan": {"nobody": nobody, "elsewhere": elsewhere, "deleted": deleted, "resize_left": resize_left},
    "base-file-unused": {"unused": unused, "unused_swap": unused_swap},
    "base-file-missing": {"missing": missing, "missing_and_open": missing_and_open, "missing_below": missing_below},
}
LOOK_ALIKES: dict[str, dict[str, Alike]] = {
    "instance-dir-orphan": {
        one.__name__: one
        for one in (
            lives_here, awaits_confirmation, evacuated, arriving, just_deleted, being_deleted, of_another_cell,
            being_built, mapped, young, held_open, under_another, novas_own,
        )
    },
    "base-file-unused": {
        one.__name__: one
        for one in (used, used_below, touched, base_open, flat, quarantined, move_under_way, broken_disk)
    },
    "base-file-missing": {one.__name__: one for one in (flat_and_raw, missing_of_one_that_comes, behind_a_link)},
}  # fmt: skip
