# SPDX-License-Identifier: Apache-2.0
"""Each kind of back end, by the real programs where the machine has them: what is there, and what is not believed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from stackmend.drivers.asking import unseen
from stackmend.drivers.hosts.transport import Transport
from stackmend.drivers.storage.kinds import kinds
from stackmend.drivers.storage.names import folder_of
from stackmend.drivers.storage.tables import StorageTables
from stackmend.hosts.scripts import script
from stackmend.model.errors import SourceError
from stackmend.model.objects.storage import BackEnd, Listing, Stored

ONE, TWO = (f"5f0d0c3a-0000-4000-8000-00000000000{number}" for number in (1, 2))
#: a name as Cinder gives it to the folder of a share
SHARE = "0123456789abcdef0123456789abcdef"


def listed(kind: str, place: str, *program: str) -> Listing:
    """What is there, as this machine sees it."""
    return kinds()[kind](Transport(), BackEnd(name="one", kind=kind, place=place, program=program, limit=60.0))


def based(found: Listing, place: str, kind: str) -> dict[str, int]:
    """Each object -> number of others that are based on it, as the tables have it."""
    own = BackEnd(name="one", kind=kind, place=place)
    tables = StorageTables({"one": lambda: found}, [own])
    (seen,) = tables.list([own], unseen)
    return {one.name: tables.weighed(seen).based.get(one.name, 0) for one in found.objects}


def names(found: Listing) -> dict[str, Stored]:
    """Each object by name."""
    return {one.name: one for one in found.objects}


def test_the_kinds_are_files() -> None:
    """Those that the documentation names."""
    assert set(kinds()) == {"file", "lvm", "rbd"}


# -- file


def test_files_of_volumes_are_read_with_what_they_are_based_on(tmp_path: Path) -> None:
    """A raw volume, a real qcow2 overlay, Cinder's note and other files; a name with a newline breaks nothing."""
    base, over = f"volume-{ONE}", f"volume-{ONE}.{TWO}"
    (tmp_path / base).write_bytes(b"\0" * 4096)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, over], cwd=tmp_path, check=True)
    for other in (f"{base}.info", "volume-x\ny", "golden"):
        (tmp_path / other).write_text("{}")
    os.utime(tmp_path / base, (1_000_000_000,) * 2)
    found = listed("file", str(tmp_path))
    one = names(found)
    assert set(one) == {base, over}
    assert (one[base].uuid, one[base].role, one[base].size, one[base].parent) == (ONE, "", 4096, "")
    assert str(one[base].modified) == "2001-09-09 01:46:40"
    assert (one[over].uuid, one[over].role, one[over].parent) == (ONE, "overlay", base)
    assert (found.parents, found.folders, found.closed) == ((base,), ("",), ())
    assert based(found, str(tmp_path), "file")[base] == 1
    shared = replace(found, parents=(f"{SHARE}/{base}",), objects=(replace(one[base], name=f"{SHARE}/{base}"),))
    assert based(shared, str(tmp_path), "file") == {f"{SHARE}/{base}": 1}


def test_a_header_that_a_guest_wrote_says_nothing(tmp_path: Path) -> None:
    """A raw volume may begin like a qcow2 that is based on /etc/shadow: no path but one of a volume is kept."""
    path = b"/etc/shadow"
    header = b"QFI\xfb" + (3).to_bytes(4) + (20).to_bytes(8) + len(path).to_bytes(4) + path
    (tmp_path / f"volume-{ONE}").write_bytes(header.ljust(512, b"\0"))
    (one,) = listed("file", str(tmp_path)).objects
    assert one.parent == ""


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """What it is based on is unknown then; it is named."""
    tmp_path.chmod(0o755)
    (tmp_path / f"volume-{ONE}").write_bytes(b"QFI")
    (tmp_path / f"volume-{ONE}").chmod(0)
    if os.geteuid():
        program = ["sh"]
    elif shutil.which("setpriv"):
        program = ["setpriv", "--reuid=65534", "--clear-groups", "sh"]
    else:
        pytest.skip("there is no other account here")
    words = [*program, "-c", script("volume_files"), "stackmend", "."]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode != 0
    assert f"./volume-{ONE} cannot be read" in done.stderr.decode()


def test_a_share_that_is_not_mounted_says_nothing(tmp_path: Path) -> None:
    """Its folder is there and empty: it is named, and not among those that were seen."""
    (tmp_path / SHARE).mkdir()
    (tmp_path / SHARE / f"volume-{ONE}").touch()
    found = listed("file", str(tmp_path))
    assert (found.objects, found.folders) == ((), ())
    assert found.closed == ((SHARE, f"no share is mounted on {tmp_path}/{SHARE}"),)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder with something mounted on the folder of a share."""
    place = tmp_path / "with a space" / SHARE
    place.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "10.0.0.1:/vol", str(place)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_mounted_share_is_read(mounted: Path) -> None:
    """By the name of its folder; what somebody put aside there is not. Alone, it speaks for no other share."""
    (mounted / f"volume-{ONE}").touch()
    (mounted / "aside").mkdir()
    (mounted / "aside" / f"volume-{TWO}").touch()
    found = listed("file", str(mounted.parent))
    assert [one.name for one in found.objects] == [f"{SHARE}/volume-{ONE}"]
    assert (found.folders, found.closed) == ((SHARE,), ())
    alone = listed("file", str(mounted))
    assert ([one.name for one in alone.objects], alone.folders) == ([f"volume-{ONE}"], (folder_of("10.0.0.1:/vol"),))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Not an empty back end."""
    with pytest.raises(SourceError, match="cannot be read whole"):
        listed("file", str(tmp_path / "nowhere"))


# -- lvm


def _lvm(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, capture_output=True, check=False, close_fds=True)


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real volume group on a loop device, which lvm sees alone; no kernel takes part in what is on it."""
    if os.geteuid() or not shutil.which("lvs") or not shutil.which("losetup"):
        pytest.skip("there is no lvm2 here, or no right to use it")
    image, name = tmp_path / "pv.img", f"vg{uuid.uuid4().hex[:8]}"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    device = _lvm("losetup", "-f", "--show", str(image)).stdout.decode().strip()
    if not device:
        pytest.skip("there are no loop devices here")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "lvm.conf").write_text(
        f'devices {{ use_devicesfile=0 filter=["a|^{device}$|","r|.*|"] }}\n'
        f'global {{ use_lvmpolld=0 locking_dir="{tmp_path}/lock" }}\n'
        "activation { udev_sync=0 udev_rules=0 }\nbackup { backup=0 archive=0 }\n"
    )
    monkeypatch.setenv("LVM_SYSTEM_DIR", str(tmp_path / "etc"))
    try:
        alone = ("--driverloaded", "n")
        if _lvm("pvcreate", *alone, device).returncode or _lvm("vgcreate", *alone, name, device).returncode:
            pytest.skip("lvm2 does not work on loop devices here")
        for volume, size in ((f"volume-{ONE}", "4M"), (f"_snapshot-{TWO}", "4M"), ("root", "8M")):
            done = _lvm("lvcreate", *alone, "-an", "-Wn", "-Zn", "-y", "-L", size, "-n", volume, name)
            assert done.returncode == 0, done.stderr
        yield name
    finally:
        with suppress(OSError):
            _lvm("losetup", "-d", device)


def test_a_real_volume_group_is_read(group: str) -> None:
    """Its volumes and snapshots by the names that Cinder gives them, with sizes in bytes; others are counted."""
    found = listed("lvm", group)
    one = names(found)
    assert set(one) == {f"volume-{ONE}", f"_snapshot-{TWO}"}
    assert (one[f"volume-{ONE}"].kind, one[f"volume-{ONE}"].uuid, one[f"volume-{ONE}"].size) == ("volume", ONE, 4 << 20)
    assert (one[f"_snapshot-{TWO}"].kind, one[f"_snapshot-{TWO}"].uuid) == ("snapshot", TWO)
    assert (found.others, one[f"volume-{ONE}"].modified is not None) == (1, True)
    with pytest.raises(SourceError, match="lvs"):
        listed("lvm", "no-such-group")


def test_what_lvs_said_once_is_read_alike(tmp_path: Path) -> None:
    """A snapshot knows its volume, a device that is open says so. Written by hand: no device-mapper makes any here."""
    row = {"lv_size": "4194304", "lv_time": "2026-11-30 15:58:21 +0100", "lv_device_open": "", "origin": ""}
    lv = [
        {**row, "lv_name": f"volume-{ONE}", "lv_device_open": "open"},
        {**row, "lv_name": f"_snapshot-{TWO}", "origin": f"volume-{ONE}"},
        {**row, "lv_name": "root"},
    ]
    answer = tmp_path / "lvs.json"
    answer.write_text(json.dumps({"report": [{"lv": lv}]}))
    found = listed("lvm", "cinder-volumes", "sh", "-c", f"cat {answer}", "lvs")
    one = names(found)
    assert one[f"volume-{ONE}"].used == "its device is open"
    assert str(one[f"volume-{ONE}"].modified) == "2026-11-30 14:58:21"
    assert (one[f"_snapshot-{TWO}"].origin, one[f"_snapshot-{TWO}"].parent) == (ONE, f"volume-{ONE}")
    assert found.parents == (f"volume-{ONE}",)
