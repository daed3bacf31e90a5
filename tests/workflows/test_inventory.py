# SPDX-License-Identifier: Apache-2.0
"""The inventory of an instances directory, on real files."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from stackmend.hosts import inventory
from stackmend.model.errors import SourceError
from stackmend.model.objects.disks import EntryKind, Inventory

from .instances import MIB, Instances, here, qemu


@pytest.fixture
def made(tmp_path: Path) -> Instances:
    """An instances directory with nothing in it but _base, where Nova has it."""
    return Instances(tmp_path / "var/lib/nova/instances")


def look(made: Instances, **more: object) -> Inventory:
    """The inventory of it."""
    return inventory.inventory(here("c01"), "c01", str(made.path), **more)


def test_a_server_with_its_disk_and_the_base_that_it_is_on(made: Instances) -> None:
    """Format, sizes, chain, users of a base: as they are; holes count for the size and not for what is taken."""
    base = made.base(size=64 * MIB)
    name = made.server(base)
    found = look(made)
    (folder,) = found.folders
    (disk,) = folder.disks
    assert (folder.kind, folder.server, folder.files) == (EntryKind.SERVER, name, ("console.log", "disk", "disk.info"))
    assert (disk.image.format, disk.image.virtual_size, disk.chain) == ("qcow2", 8 * MIB, (f"_base/{base}",))
    assert disk.whole
    (one,) = found.bases
    assert (one.kind, one.used_by, one.image.size, one.image.format) == ("image", (f"{name}/disk",), 64 * MIB, "raw")
    assert one.image.allocated < MIB
    assert (found.path, found.notes, found.other) == (str(made.path), (), ())
    assert found.storage.free > 0


def test_a_missing_base_and_one_that_is_cut_short_are_told_for_every_disk_on_them(made: Instances) -> None:
    """Each broken disk is a line of its own, and the whole ones stay whole."""
    gone, good = made.base("gone"), made.base("good")
    lost, whole = made.server(gone), made.server(good)
    (made.path / "_base" / gone).unlink()
    made.file("_base/swap_64", 3 * MIB, b"swap")
    swap = made.path / whole / "disk.swap"
    qemu("create", "-q", "-f", "qcow2", "-F", "raw", "-b", made.path / "_base/swap_64", swap, "64M")
    short = made.base("short", form="qcow2")
    os.truncate(made.path / "_base" / short, 1000)
    cut = made.server()
    made.rebase(made.path / cut / "disk", f"{made.path}/_base/{short}", "qcow2")
    found = look(made)
    assert found.folder(lost).broken == (f"{lost}/disk: its base _base/{gone} is missing",)
    assert found.folder(whole).broken == (
        f"{whole}/disk.swap: its base _base/swap_64 is broken: it is truncated: 3145728 bytes, its name says 67108864",
    )
    assert found.base(f"_base/{gone}").missing
    again = inventory.checked(here("c01"), found, str(made.path), [f"{cut}/disk", f"_base/{short}"])
    assert again.folder(cut).broken[0].startswith(f"{cut}/disk: its base _base/{short} is broken: it is corrupt: ")
    assert again.folder(lost).broken == found.folder(lost).broken


def test_qemu_img_check_is_asked_of_each_file_alone(made: Instances) -> None:
    """A damaged file is corrupt; a good one is clean though its base is not there."""
    base = made.base()
    good, bad = made.server(base), made.server(base)
    (made.path / "_base" / base).unlink()
    with (made.path / bad / "disk").open("r+b") as disk:
        disk.truncate(200_000)
    found = inventory.checked(here("c01"), look(made), str(made.path), [f"{good}/disk", f"{bad}/disk"])
    assert found.folder(good).disks[0].image.check == "clean"
    assert found.folder(bad).disks[0].image.check.startswith("corrupt: ")
    assert found.folder(bad).broken[-1].startswith(f"{bad}/disk: it is corrupt: ")


def test_a_header_that_a_guest_wrote_into_its_raw_disk_is_not_believed(made: Instances, tmp_path: Path) -> None:
    """disk.info says raw: the disk has no base, whatever its first bytes say."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 512)
    name = made.server(info=False, write=b"")
    disk = made.path / name / "disk"
    disk.unlink()
    qemu("create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, disk, "1M")
    (made.path / name / "disk.info").write_text(json.dumps({f"/elsewhere/{name}/disk": "raw"}))
    image = look(made).folder(name).disks[0].image
    assert (image.format, image.backing, image.problem) == ("raw", "", "")


def test_a_base_outside_of_the_directory_is_named_and_never_opened(made: Instances, tmp_path: Path) -> None:
    """So is a circle: a chain that leads back to where it began."""
    out, first, second = made.server(), made.server(), made.server()
    made.rebase(made.path / out / "disk", str(tmp_path / "elsewhere"))
    made.rebase(made.path / first / "disk", f"../{second}/disk")
    made.rebase(made.path / second / "disk", f"../{first}/disk")
    found = look(made)
    assert "is outside the instances directory" in found.folder(out).broken[0]
    assert "is circular" in found.folder(first).broken[0]


def test_names_with_odd_characters_are_kept_as_they_are(made: Instances) -> None:
    """A newline, a tab, a quote, a colon, and bytes that are no UTF-8: a line of the report each, nothing lost."""
    name = made.server()
    odd = ["disk.a\nb", "disk.c\td", "disk.'e' $(f)", "disk.nbd:1", "disk.-g", os.fsdecode(b"disk.\xff")]
    for one in odd:
        (made.path / name / one).write_bytes((made.path / name / "disk").read_bytes())
    (made.path / "new\nline").mkdir()
    found = look(made)
    folder = found.folder(name)
    assert set(odd) <= set(folder.files)
    assert {d.image.path for d in folder.disks} == {f"{name}/{one}" for one in ["disk", *odd]}
    assert all(d.image.format == "qcow2" and d.whole for d in folder.disks)
    assert found.other == ("new\nline",)


def test_what_may_not_be_read_is_a_line_of_the_report(made: Instances) -> None:
    """Without the right to look into one directory the others are told all the same."""
    shut, fine = made.server(), made.server()
    made.path.chmod(0o755)
    for parent in made.path.parents[:8]:
        if str(parent).startswith("/tmp/"):  # noqa: S108 - where pytest keeps them
            parent.chmod(0o755)
    (made.path / shut).chmod(0)
    drop = ("setpriv", "--reuid", "65534", "--clear-groups", "--") if os.getuid() == 0 else ()
    try:
        found = look(made, prefix=drop)
    finally:
        (made.path / shut).chmod(0o755)
    assert found.folder(shut).problems == ("it cannot be read completely: permission denied",)
    assert any("Permission denied" in note for note in found.notes)
    assert found.folder(fine).broken == ()
    assert not found.every_process


def test_what_has_files_open_is_named_even_when_the_file_is_deleted(made: Instances) -> None:
    """A guest goes on with a base that somebody removed: its process is where the file can be had back from."""
    base = made.base()
    name = made.server(base)
    with (made.path / "_base" / base).open("rb"), (made.path / name / "disk").open("rb"):
        (made.path / "_base" / base).unlink()
        found = look(made)
    assert found.folder(name).open_by[0].startswith(f"{os.getpid()} ")
    (gone,) = found.bases
    assert gone.missing
    assert gone.open_by[0].startswith(f"{os.getpid()} ")


def test_old_names_leftovers_and_what_libvirt_keeps_beside(made: Instances, tmp_path: Path) -> None:
    """instance-0000002a is told by the domain of that name; NVRAM, vTPM and saved memory are noted."""
    uuid = "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"
    made.server(name="instance-0000002a")
    made.server(name=f"{uuid}_resize")
    domains, kept = tmp_path / "etc/libvirt/qemu", tmp_path / "var/lib/libvirt"
    for folder in (domains, kept / "qemu/nvram", kept / "qemu/save", kept / "swtpm" / uuid):
        folder.mkdir(parents=True)
    (domains / "instance-0000002a.xml").write_text(f"<domain>\n  <uuid>{uuid}</uuid>\n</domain>\n")
    (kept / "qemu/nvram/instance-0000002a_VARS.fd").touch()
    (kept / "qemu/save/instance-0000002a.save").touch()
    found = look(made, home="/var/lib/nova/instances")
    old = found.folder("instance-0000002a")
    assert (old.server, old.domain, old.saved, old.vtpm) == (uuid, "instance-0000002a", True, True)
    assert old.nvram == str(kept / "qemu/nvram/instance-0000002a_VARS.fd")
    assert found.folder(f"{uuid}_resize").kind is EntryKind.RESIZE


def test_a_chain_made_under_another_path_is_found_in_the_rescue_system(made: Instances) -> None:
    """The disks of a dead host are mounted elsewhere: their bases are named as they were at home."""
    base = made.base()
    name = made.server(base)
    made.rebase(made.path / name / "disk", f"/var/lib/nova/instances/_base/{base}")
    found = look(made, home="/var/lib/nova/instances")
    assert found.folder(name).disks[0].chain == (f"_base/{base}",)
    assert found.folder(name).broken == ()


def test_storage_is_shared_when_another_host_says_that_it_uses_it(made: Instances) -> None:
    """Nova's own record, compute_nodes, is believed for a day; the host itself does not count."""
    now = time.time()
    made.server()
    (made.path / "compute_nodes").write_text(json.dumps({"c01": now, "c02": now - 100_000}))
    assert look(made, now=now).storage.shared is False
    (made.path / "compute_nodes").write_text(json.dumps({"c01": now, "c02": now - 100}))
    storage = look(made, now=now).storage
    assert (storage.shared, storage.why) == (True, "compute_nodes also names c02")


def test_a_directory_that_is_not_there_is_an_error_with_its_name(made: Instances) -> None:
    """An empty answer is never taken for an empty directory."""
    with pytest.raises(SourceError, match="nowhere cannot be read") as caught:
        inventory.inventory(here("c01"), "c01", str(made.path / "nowhere"))
    assert "instances_path" in caught.value.hint
