# SPDX-License-Identifier: Apache-2.0
"""From approval to release: a server of the embedded cloud whose disk is a real file, by the command line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import jsonschema
import pytest

from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.model.errors import Exit
from stackmend.model.objects.disks import INSTANCES
from stackmend_lab.cloud import Cloud, Server, build

from ..drivers.api.serving import Reply, serving
from ..support import guest_disks as made
from ..support.guest_disks import MIB, digest
from ..workflows.services import Services

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
FILES = {
    b"etc/os-release": b'PRETTY_NAME="Demo Linux 7"\n',
    b"var/log/syslog": b"".join(b"line %d\n" % number for number in range(200)),
    b"var/log/link": b"-> /etc/shadow",
    b"srv/a/b": b"deep\n",
}
APPROVED = ("--approved-by", "Ann Owner", "--ticket", "CHG-1")
YES = ("--yes", "--accept", "inspect-disk")


class Locking(Services):
    """Nova that keeps locks and their reasons, and tells the image; Glance with the images of the cloud."""

    SERVICES: ClassVar[dict[str, tuple[str, str, str]]] = {**Services.SERVICES, "image": ("/image/v2", "", "")}
    locks: dict[str, str | None]

    def lists(self) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
        yield "GET", "/image/v2/?", lambda _: (200, {"versions": []})
        yield "GET", "/image/v2/images/([^/?]+)", self.show_image
        yield from super().lists()

    def show_image(self, _: Any, name: str) -> Reply:
        rows = self.cloud.rows("glance", "SELECT id, name, status FROM images WHERE id = :i", {"i": name})
        return (200, rows[0]) if rows else (404, {})

    def look(self, cell: str, row: dict[str, Any]) -> dict[str, Any]:
        name = row["uuid"]
        # a server that is being built has no image yet
        shown = {
            "locked": name in self.locks,
            "locked_reason": self.locks.get(name),
            "image": {"id": row.get("image_ref")},
        }
        return super().look(cell, row) | shown

    #: what Nova answers a rescue with
    passwords = "pa55-of-rescue"

    def server_action(self, body: Any, name: str) -> Reply:
        if "rescue" in body or "unrescue" in body:
            state = "rescued" if "rescue" in body else "active"
            database, _row = self.server(name)
            self.cloud.update(database, "instances", {"uuid": name}, vm_state=state)
            return (200, {"adminPass": self.passwords}) if "rescue" in body else (202, None)
        if "lock" in body:
            self.locks[name] = (body["lock"] or {}).get("locked_reason")
            return 202, None
        if "unlock" in body:
            self.locks.pop(name, None)
            return 202, None
        return super().server_action(body, name)


@dataclass
class Site:
    """A cloud, one server of it with its disks, and what was done to it."""

    cloud: Cloud
    services: Locking
    folder: Path
    server: Server
    nova: str = ""  #: nova.conf

    @property
    def instances(self) -> Path:
        """The instances directory of the host."""
        return self.folder / "instances"

    @property
    def disk(self) -> Path:
        """The root disk."""
        return self.instances / self.server.uuid / "disk"

    @property
    def toml(self) -> str:
        """The configuration."""
        path = self.folder / "stackmend.toml"
        hosts = f'[hosts]\ntransport = "local"\nlocal = ["{self.server.host}"]\ninstances_path = "{self.instances}"\n'
        state = f'[state]\ndirectory = "{self.folder}/state"\n'
        files = ""
        if self.nova:
            (self.folder / "nova.conf").write_text(self.nova)
            files = f'[files]\nnova = "{self.folder}/nova.conf"\n'
        path.write_text(self.cloud.toml().partition("[state]")[0] + self.services.toml() + files + hosts + state)
        return str(path)

    @property
    def config(self) -> Config:
        """It, read."""
        return load(self.toml)

    def run(self, *words: str) -> int:
        """A command line about the server: SERVER stands for it."""
        return main(["--config", self.toml, *(self.server.uuid if word == "SERVER" else word for word in words)])

    @property
    def state(self) -> tuple[str, str | None]:
        """(vm_state, why it is locked)."""
        (row,) = self.cloud.rows(
            self.server.database, "SELECT vm_state FROM instances WHERE uuid = :u", {"u": self.server.uuid}
        )
        return row["vm_state"], self.services.locks.get(self.server.uuid)


Placed = TypeVar("Placed", bound=Site)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Locking]]:
    """A small cloud with its services."""
    folder = tmp_path_factory.mktemp("inspection")
    cloud = build(folder / "cloud", servers=120, seed=29, hosts=4)
    services = Locking(cloud, folder)
    services.locks = {}
    with serving(services):
        yield cloud, services
    cloud.close()


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file system of a guest that crashed."""
    made.needs_sandbox()
    path = made.ext4(tmp_path_factory.mktemp("guest") / "base", FILES)
    return made.crashed(path, "/var/log/kern.log", b"Kernel panic - not syncing\n\x1b[2Jgone\n")


@pytest.fixture
def site(standing: tuple[Cloud, Locking], guest: Path, tmp_path: Path) -> Site:
    """A server that runs, with a root disk in the directory of its host."""
    return placed(Site, standing, guest, tmp_path)


def placed(kind: type[Placed], standing: tuple[Cloud, Locking], guest: Path, folder: Path) -> Placed:
    """Another server of the cloud, with its disks in files."""
    cloud, services = standing
    services.locks.clear()
    server = cloud.pick("active")
    found = kind(cloud, services, folder, server)
    base = found.instances / "_base" / ("a" * 40)
    base.parent.mkdir(parents=True)
    shutil.copyfile(guest, base)
    found.disk.parent.mkdir()
    made.overlay(found.disk, base)
    made.sparse(found.disk.with_name("disk.swap"), 4 * MIB)
    made.tool("mkswap", "-q", found.disk.with_name("disk.swap"))
    told = {f"{INSTANCES}/{server.uuid}/disk": "qcow2", f"{INSTANCES}/{server.uuid}/disk.swap": "raw"}
    found.disk.with_name("disk.info").write_text(json.dumps(told))
    return found


def printed(capsys: pytest.CaptureFixture[str], schema: str) -> Any:
    """The document that was printed, which follows its schema."""
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((SCHEMAS / f"{schema}.json").read_text()))
    return document


def test_an_inspection_from_approval_to_release(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped and locked with who approved; read; started and unlocked again; and no byte of any file is another."""
    before = {path: digest(path) for path in site.instances.rglob("*") if path.is_file()}
    assert site.run("disk", "inspect", "SERVER", *APPROVED) == Exit.FINDINGS
    assert "CHG-1, approved by Ann Owner" in capsys.readouterr().out
    assert site.state == ("active", None)

    assert site.run("disk", "inspect", "SERVER", *APPROVED, *YES) == Exit.REPAIRED
    assert site.state == ("stopped", "stackmend disk inspect: ticket CHG-1, approved by Ann Owner; it ran")
    capsys.readouterr()
    assert site.run("run", "list", "-f", "json") == Exit.CLEAN
    run = json.loads(capsys.readouterr().out)[0]["id"]
    assert site.run("run", "show", run, "-f", "json") == Exit.CLEAN
    assert "CHG-1, approved by Ann Owner" in capsys.readouterr().out

    assert site.run("disk", "list", "-f", "json") == Exit.FINDINGS
    (one,) = printed(capsys, "inspections")
    assert (one["server"], one["ticket"], one["state"]) == (site.server.uuid, "CHG-1", "stopped")

    assert site.run("disk", "show", "SERVER", "-f", "json") == Exit.CLEAN
    root, swap = printed(capsys, "guest-disks")
    assert [file["format"] for file in root["files"]] == ["qcow2", "raw"]
    assert [(v["type"], v["journal"], v["os"]) for v in root["volumes"]] == [
        ("ext4", "replayed in a copy", "Demo Linux 7")
    ]
    assert swap["volumes"][0]["type"] == "swap"

    assert site.run("disk", "ls", "SERVER", "/var/log", "-f", "json") == Exit.CLEAN
    listed = printed(capsys, "guest-directory")
    assert [(one["name"], one["kind"], one["target"]) for one in listed["entries"]] == [
        ("kern.log", "file", ""),
        ("link", "link", "/etc/shadow"),
        ("syslog", "file", ""),
    ]

    assert site.run("disk", "log", "SERVER", "--lines", "2") == Exit.CLEAN
    said = capsys.readouterr()
    assert said.out.startswith("==> /var/log/kern.log <==\nKernel panic")
    assert "line 198\nline 199\n" in said.out
    assert "line 197" not in said.out
    assert "journal: replayed in a copy" in said.err

    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.state == ("active", None)
    assert {path: digest(path) for path in site.instances.rglob("*") if path.is_file()} == before


def test_files_are_copied_out(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """Plain files of whoever asks; links are named and left out; what is there is not written over; limits end it."""
    assert site.run("disk", "inspect", "SERVER", *APPROVED, *YES) == Exit.REPAIRED
    target = site.folder / "out"
    assert site.run("disk", "copy-out", "SERVER", "/", str(target)) == Exit.CLEAN
    assert (target / "srv" / "a" / "b").read_bytes() == b"deep\n"
    assert (target / "var" / "log" / "kern.log").stat().st_mode & 0o7777 == 0o600
    assert not (target / "var" / "log" / "link").is_symlink()
    assert "left out: /var/log/link: a link to /etc/shadow" in capfd.readouterr().err

    assert site.run("disk", "copy-out", "SERVER", "/srv", str(target)) != Exit.CLEAN
    assert "File exists" in capfd.readouterr().err
    for limit in (("--max-bytes", "3"), ("--max-files", "1")):
        assert site.run("disk", "copy-out", "SERVER", "/var/log", str(site.folder / limit[0]), *limit) == Exit.STOPPED


def test_nothing_is_read_without_approval(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A server under no inspection, and one that somebody has started meanwhile, are refused."""
    assert site.run("disk", "cat", "SERVER", "/etc/os-release") == Exit.USAGE
    assert "under no inspection" in capsys.readouterr().err
    assert site.run("disk", "inspect", "SERVER", *APPROVED, *YES) == Exit.REPAIRED
    site.cloud.update(site.server.database, "instances", {"uuid": site.server.uuid}, vm_state="active")
    assert site.run("disk", "cat", "SERVER", "/etc/os-release") == Exit.USAGE
    assert "running guest" in capsys.readouterr().err


def test_a_second_inspection_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """With who approved the first, and how it is ended."""
    assert site.run("disk", "inspect", "SERVER", *APPROVED, *YES) == Exit.REPAIRED
    capsys.readouterr()
    again = ("--approved-by", "Bob", "--ticket", "CHG-2")
    assert site.run("disk", "inspect", "SERVER", *again, *YES) == Exit.STOPPED
    said = capsys.readouterr()
    assert "under inspection already: ticket CHG-1, approved by Ann Owner" in said.out + said.err
    assert site.state[1] is not None
    assert "CHG-1" in site.state[1]


@pytest.mark.attack("somebody else's inspection between the plan and its application")
def test_the_lock_of_another_inspection_is_not_taken_for_ours(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Its approval stays recorded, nothing is stopped, and the plan is stale: not 'already done'."""
    plan = str(site.folder / "plan.json")
    assert site.run("disk", "inspect", "SERVER", *APPROVED, "--out", plan) == Exit.FINDINGS
    theirs = "stackmend disk inspect: ticket CHG-2, approved by Bob; it ran"
    site.services.locks[site.server.uuid] = theirs
    capsys.readouterr()
    assert site.run("plan", "apply", plan, *YES) == Exit.STOPPED
    said = capsys.readouterr()
    assert "already done" not in said.out + said.err
    assert "nothing was sent: locked is True" in " ".join((said.out + said.err).split())
    assert site.state == ("active", theirs)


@pytest.mark.attack("two inspections of one disk, begun at the same time")
def test_of_two_inspections_at_once_one_is_refused(site: Site) -> None:
    """Two processes with one journal: one approval is recorded, the other process is told, and reads nothing."""
    words = ("--config", site.toml, "disk", "inspect", site.server.uuid, *YES, "--approved-by", "Ann", "--ticket")
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "stackmend", *words, ticket], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for ticket in ("CHG-1", "CHG-2")
    ]
    said = [one.communicate(timeout=120)[0].decode() for one in both]
    codes = [one.returncode for one in both]
    assert codes.count(Exit.REPAIRED) == 1, said
    won, lost = codes.index(Exit.REPAIRED), 1 - codes.index(Exit.REPAIRED)
    assert f"ticket CHG-{won + 1}" in str(site.state[1])
    # according to when it came: before, while, or after the other one locked the server
    assert re.search("is writing to this cloud|under inspection already|nothing was sent", said[lost]), said[lost]


def test_an_inspection_that_was_cut_off_is_released(site: Site) -> None:
    """Locked and not stopped yet, or its journal lost: release reads what to do from Nova."""
    reason = "stackmend disk inspect: ticket CHG-1, approved by Ann Owner; it ran"
    site.services.locks[site.server.uuid] = reason
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.state == ("active", None)
    site.services.locks[site.server.uuid] = reason
    site.cloud.update(site.server.database, "instances", {"uuid": site.server.uuid}, vm_state="stopped")
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.state == ("active", None)
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.STOPPED


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vm_state": "paused"}, "is paused"),
        ({"vm_state": "rescued"}, "is rescued"),
        ({"task_state": "rebooting"}, "rebooting"),
        ({"image_ref": ""}, "boots from a volume: its root disk is no file of its host"),
    ],
)
def test_what_cannot_be_inspected_is_left_alone(
    site: Site, capsys: pytest.CaptureFixture[str], change: dict[str, Any], words: str
) -> None:
    """With the reason, and before anything is stopped for it."""
    site.cloud.update(site.server.database, "instances", {"uuid": site.server.uuid}, **change)
    assert site.run("disk", "inspect", "SERVER", *APPROVED, *YES) == Exit.STOPPED
    said = capsys.readouterr()
    assert words in said.out + said.err
    assert site.state[1] is None


def test_what_is_asked_for_in_vain_says_so(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A torn reading without consent, a lock of somebody else, a disk whose format nobody tells, words of no record."""
    assert site.run("disk", "inspect", "SERVER", *APPROVED, "--method", "live") == Exit.USAGE
    assert "--method live --consent live" in capsys.readouterr().err
    assert site.run("disk", "inspect", "SERVER", "--approved-by", "a;b", "--ticket", "1") == Exit.USAGE
    site.services.locks[site.server.uuid] = "mine"
    assert site.run("disk", "inspect", "SERVER", *APPROVED) == Exit.STOPPED
    assert "is locked (mine)" in capsys.readouterr().err
    site.services.locks.clear()
    site.disk.with_name("disk.info").unlink()
    assert site.run("disk", "inspect", "SERVER", *APPROVED) == Exit.STOPPED
    assert "what the disk says of itself is not believed" in capsys.readouterr().err
    site.services.locks[site.server.uuid] = "stackmend disk inspect: ticket 1, approved by Ann; it ran; by magic"
    assert site.run("disk", "release", "SERVER") == Exit.STOPPED
    assert "by magic, which this version does not have" in capsys.readouterr().err


def test_disks_that_are_no_files_name_the_way_out(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Disks in RBD, by nova.conf or because there is no file: nothing is locked; a rescue is named, and possible."""

    def refused(*words: str) -> str:
        assert site.run("disk", "inspect", "SERVER", *APPROVED, *words, *YES) == Exit.STOPPED
        said = capsys.readouterr()
        assert site.state == ("active", None)
        return " ".join((said.out + said.err).split())

    way = "Disks in RBD or LVM are read in a rescue (--method rescue --image IMAGE)"
    site.nova = "[libvirt]\nimages_type = rbd\n"
    for method in ("auto", "copy", "offline"):
        said = refused("--method", method)
        assert f"disks are of type rbd: they are no files of the host. {way}" in said
    site.nova = ""
    for name in ("disk", "disk.swap"):
        site.disk.with_name(name).unlink()
    assert f"its directory holds none. {way}" in refused()
    shutil.rmtree(site.disk.parent)
    assert way in refused()
    (image,) = site.cloud.rows("glance", "SELECT id FROM images WHERE status = 'active' AND NOT deleted LIMIT 1", {})
    rescue = (*APPROVED, "--method", "rescue", "--image", image["id"])
    assert site.run("disk", "inspect", "SERVER", *rescue, *YES) == Exit.REPAIRED
    assert site.state[0] == "rescued"
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED


def test_what_becomes_of_an_xfs_is_in_the_plan(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Where libguestfs is installed it replays dirty logs, else it is named; where it is forbidden, nobody is told."""
    assert site.run("disk", "inspect", "SERVER", *APPROVED, "-f", "json") == Exit.FINDINGS
    (action,) = json.loads(capsys.readouterr().out)["actions"]
    (line,) = [line for line in action["evidence"] if "XFS" in line]
    if shutil.which("guestfish"):
        assert line.endswith("will be replayed by libguestfs, in a copy: up to a minute, 300 s at most")
    else:
        assert line.endswith("will be shown as it was before the crash: guestfish is not installed on this machine")
    path = Path(site.toml)
    path.write_text(path.read_text().replace("[hosts]\n", "[hosts]\nlibguestfs = 0\n"))
    words = ("disk", "inspect", site.server.uuid, *APPROVED, "-f", "json")
    assert main(["--config", str(path), *words]) == Exit.FINDINGS
    assert "XFS" not in capsys.readouterr().out


def test_the_gentlest_method_is_chosen_and_the_others_are_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Without libvirt there is no copy: a server that runs is stopped; one that is off is read as it is."""
    assert site.run("disk", "inspect", "SERVER", *APPROVED, "-f", "json") == Exit.FINDINGS
    (action,) = json.loads(capsys.readouterr().out)["actions"]
    chosen, passed, *_ = action["evidence"]
    assert (chosen, passed.startswith("not by copy: ")) == ("method offline", True)
    site.cloud.update(site.server.database, "instances", {"uuid": site.server.uuid}, vm_state="stopped")
    assert site.run("disk", "inspect", "SERVER", *APPROVED, "-f", "json") == Exit.FINDINGS
    (action,) = json.loads(capsys.readouterr().out)["actions"]
    assert action["evidence"][0] == "method offline"
    assert not [line for line in action["evidence"] if line.startswith("not by")]
    assert site.run("disk", "inspect", "SERVER", *APPROVED, "--method", "copy") == Exit.STOPPED
    assert "not by copy: the server is stopped; it takes active or paused" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["active", "stopped"])
def test_a_server_is_rescued_and_released(site: Site, capsys: pytest.CaptureFixture[str], state: str) -> None:
    """Locked and rescued; read by a human; afterwards as it was before, also where it was stopped."""
    site.cloud.update(site.server.database, "instances", {"uuid": site.server.uuid}, vm_state=state)
    rescue = (*APPROVED, "--method", "rescue")
    assert site.run("disk", "inspect", "SERVER", *rescue) == Exit.STOPPED
    assert "name it by --image" in capsys.readouterr().err
    (image,) = site.cloud.rows("glance", "SELECT id FROM images WHERE status = 'active' AND NOT deleted LIMIT 1", {})
    rescue = (*rescue, "--image", image["id"])
    assert site.run("disk", "inspect", "SERVER", *rescue) == Exit.FINDINGS
    said = capsys.readouterr()
    assert "NOT read-only" in said.out
    assert site.run("disk", "inspect", "SERVER", *rescue, *YES) == Exit.REPAIRED
    assert site.state[0] == "rescued"
    assert str(site.state[1]).endswith("; by rescue")
    assert site.services.passwords not in capsys.readouterr().out

    assert site.run("disk", "cat", "SERVER", "/etc/os-release") == Exit.USAGE
    assert "read by who logs in there" in capsys.readouterr().err
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.state == (state, None)


def test_what_comes_after_a_rescue_is_its_release(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where nobody asked for one: a disk that the host does not have as a file leaves no other way."""
    shutil.rmtree(site.disk.parent)
    image = site.cloud.rows("glance", "SELECT id FROM images ORDER BY id")[0]
    assert site.run("disk", "inspect", "SERVER", *APPROVED, "--image", image["id"], *YES) == Exit.REPAIRED
    assert site.state[0] == "rescued"
    said = capsys.readouterr().err
    assert "disk release" in said
    assert "disk show" not in said
    assert "disk log" not in said


def test_a_rescue_that_nova_would_refuse_is_not_begun(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that boots from a volume wants an image with rescue properties; an image that is not there is told."""
    rescue = (*APPROVED, "--method", "rescue", "--image")
    assert site.run("disk", "inspect", "SERVER", *rescue, "00000000-0000-4000-8000-000000000000", *YES) != Exit.REPAIRED
    (image,) = site.cloud.rows("glance", "SELECT id FROM images WHERE status = 'active' AND NOT deleted LIMIT 1", {})
    site.cloud.update(site.server.database, "instances", {"uuid": site.server.uuid}, image_ref="")
    capsys.readouterr()
    assert site.run("disk", "inspect", "SERVER", *rescue, image["id"], *YES) == Exit.STOPPED
    said = capsys.readouterr()
    assert "hw_rescue_bus and hw_rescue_device" in said.out + said.err
    assert site.state == ("active", None)


def test_a_rescue_that_was_cut_off_is_released(site: Site) -> None:
    """Locked and not rescued yet, or rescued and its journal lost."""
    reason = "stackmend disk inspect: ticket CHG-1, approved by Ann Owner; it was stopped; by rescue"
    for state in ("stopped", "rescued"):
        site.services.locks[site.server.uuid] = reason
        site.cloud.update(site.server.database, "instances", {"uuid": site.server.uuid}, vm_state=state)
        assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
        assert site.state == ("stopped", None)
