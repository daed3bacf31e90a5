# SPDX-License-Identifier: Apache-2.0
"""Pools of Ceph: what is there, who has it open, and what the account may not see.

No cluster is needed: ``recorded/ceph.json`` is what Ceph 16.2.15 printed of one (``test_ceph.py`` of tests/outside runs
it), and the stand-in must print the same fields.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stackmend.drivers.hosts.transport import Transport
from stackmend.drivers.storage.kinds import kinds, openers
from stackmend.model.errors import SourceError
from stackmend.model.objects.storage import BackEnd, Clients, Listing, Opened, Stored

from ...outside.storage import Pool

ONE, TWO, THREE = (f"5f0d0c3a-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
DEAD, ALIVE = "10.88.10.91:0/3853293677", "10.88.10.90:0/316670229"
RECORDED = json.loads((Path(__file__).parent / "recorded" / "ceph.json").read_text())
SEEN = "0c5b7a1e-2222-4333-8444-5555aaaa0001"  #: in the recorded answers


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """Empty but for its trash."""
    made = Pool(tmp_path / "ceph.json")
    trash = {"10a1": {"name": f"volume-{THREE}", "size": 1}, "10a2": {"name": "golden", "size": 1}}
    made.write(images={}, trash=trash)
    return made


def back_end(place: str, *program: str, **more: Any) -> BackEnd:
    """As an operator configures it."""
    return BackEnd(name="one", kind="rbd", place=place, program=program, limit=60.0, **more)


def listed(place: str, *program: str, **more: Any) -> Listing:
    """What is there, as this machine sees it."""
    return kinds()["rbd"](Transport(), back_end(place, *program, **more))


def opened(pool: Pool, *names: str) -> Opened:
    """Who has these open."""
    return openers()["rbd"](Transport(), back_end(pool.place, *pool.program), names)


def names(found: Listing) -> dict[str, Stored]:
    """Each object by name."""
    return {one.name: one for one in found.objects}


def shape(value: Any) -> Any:
    """Keys and types of what was decoded; of a list, of all that is in it."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [json.loads(one) for one in sorted({json.dumps(shape(one), sort_keys=True) for one in value})]
    return type(value).__name__


def documents(text: str) -> list[Any]:
    """One after another."""
    found, rest = [], text.strip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


def test_the_stand_in_prints_what_ceph_printed(tmp_path: Path) -> None:
    """Of the same pools: the same fields, exit codes and number of documents."""
    disk, volume = f"{SEEN}_disk", f"volume-{SEEN}"
    vms, images = Pool(tmp_path / "ceph.json", place="rec-vms"), Pool(tmp_path / "ceph.json", place="images")
    images.put(SEEN, snapshots=["snap"])
    parent = {"pool": "images", "pool_namespace": "", "image": SEEN, "snapshot": "snap"}
    vms.put(f"{disk}.swap")
    vms.discard(f"{disk}.swap")
    vms.held(disk, "127.0.0.1:0/34181161", "127.0.0.1:0/34181161")
    vms.put(volume, parent=parent, snapshots=[f"snapshot-{SEEN}"])
    vms.cluster(fsid="b87a", blocklist=[{"addr": "a", "until": "b"}], ranges=[{"range": "a", "until": "b"}])
    asked = {
        "rbd ls": ("ls", "rec-vms"), "rbd ls -l": ("ls", "-l", "rec-vms"), "rbd ls -l images": ("ls", "-l", "images"),
        "rbd trash ls": ("trash", "ls", "--all", "rec-vms"), "rbd status": ("status", f"rec-vms/{disk}"),
        "rbd lock ls": ("lock", "ls", f"rec-vms/{disk}"), "rbd status of none": ("status", f"rec-vms/{volume}"),
        "rbd lock ls of none": ("lock", "ls", f"rec-vms/{volume}"),
        "rbd status of nothing": ("status", "rec-vms/nothing"), "ceph fsid": ("fsid",),
        "ceph osd blocklist ls": ("osd", "blocklist", "ls"),
    }  # fmt: skip
    assert set(asked) == RECORDED.keys() - {"version"}
    for name, words in asked.items():
        program = vms.file.with_suffix(".bin") / name.split()[0]
        done = Transport().run("", (str(program), *words, "--format", "json"))
        answer, real = documents(done.out.decode()), documents(RECORDED[name]["out"])
        assert (name, done.code, shape(answer)) == (name, RECORDED[name]["code"], shape(real))


def test_a_pool_is_read_with_snapshots_parents_locks_and_trash(pool: Pool) -> None:
    """Names decide what each is; an image that rbd ls -l cannot open is there all the same, without a size."""
    parent = {"pool": "volumes", "pool_namespace": "", "image": f"volume-{ONE}", "snapshot": f"snapshot-{TWO}"}
    pool.held(f"volume-{ONE}", DEAD, size=10, snapshots=[f"snapshot-{TWO}", "other"])
    pool.put(f"volume-{TWO}", size=20, parent=parent)
    pool.put(f"{TWO}_disk", size=30, parent={**parent, "pool": "images"})
    pool.put(f"volume-{THREE}.deleted", size=40)
    pool.put(f"{THREE}_disk.config", size=5, broken=True)
    pool.put("golden")
    found = listed("volumes", *pool.program)
    one = names(found)
    assert {name: (o.kind, o.uuid, o.role, o.size) for name, o in one.items()} == {
        f"volume-{ONE}": ("volume", ONE, "", 10),
        f"volume-{ONE}@snapshot-{TWO}": ("snapshot", TWO, "", 10),
        f"volume-{TWO}": ("volume", TWO, "", 20),
        f"{TWO}_disk": ("disk", TWO, "", 30),
        f"volume-{THREE}.deleted": ("volume", THREE, "deleted", 40),
        f"{THREE}_disk.config": ("disk", THREE, "", None),
        f"volume-{THREE}": ("volume", THREE, "trash", None),
    }
    assert (one[f"volume-{ONE}"].used, one[f"volume-{ONE}"].locked) == ("it is locked (exclusive)", True)
    name = f"volume-{ONE}@snapshot-{TWO}"
    assert (one[f"volume-{TWO}"].parent, one[f"{TWO}_disk"].parent) == (name, f"images/{name}")
    assert found.parents == (name, f"images/{name}")
    assert (one[f"volume-{THREE}"].ref, found.others) == ("10a1", 3)


def test_a_pool_that_is_not_there_and_an_answer_that_is_none(pool: Pool) -> None:
    """The reason is rbd's own; what is not JSON, or not what rbd prints, is an error and not an empty pool."""
    with pytest.raises(SourceError, match="error opening pool 'nowhere'"):
        listed("nowhere", *pool.program)
    for answer in ("", "[", '{"a": 1}', '[{"image": 1}]', "null"):
        with pytest.raises(SourceError, match="not understood"):
            listed("volumes", "sh", "-c", f"printf %s '{answer}'", "rbd")
    with pytest.raises(SourceError, match=r"not found|cannot execute|No such file"):
        listed("volumes", "no-such-program-here")


def test_images_of_glance_are_those_of_a_pool_that_is_glances(pool: Pool) -> None:
    """With the location that leads to it. Elsewhere such names are nobody's, and no id is asked for."""
    pool.put(ONE, snapshots=["snap"], size=10)
    pool.put(TWO)
    pool.discard(TWO)
    pool.cluster(fsid="b87a")
    found = listed("volumes", *pool.program, glance=True)
    one = names(found)
    assert {name: (o.kind, o.uuid, o.role, o.ref) for name, o in one.items() if o.kind.startswith("image")} == {
        ONE: ("image", ONE, "", f"rbd://b87a/volumes/{ONE}"),
        f"{ONE}@snap": ("image-snapshot", ONE, "", ""),
        TWO: ("image", TWO, "trash", "10a1"),
    }
    assert (found.cluster, found.cluster_unread) == ("b87a", "")
    pool.cluster(refused=["fsid"])
    assert "EACCES" in listed("volumes", *pool.program, glance=True).cluster_unread
    plain = listed("volumes", *pool.program)
    assert (names(plain).keys(), plain.cluster_unread) == (set(), "")


def test_a_location_is_written_as_glance_writes_it(tmp_path: Path) -> None:
    """What means something in a URL is escaped there."""
    pool = Pool(tmp_path / "ceph.json", place="gold+ssd")
    pool.put(ONE)
    pool.cluster(fsid="b87a")
    found = names(listed("gold+ssd", *pool.program, glance=True))
    assert found[ONE].ref == f"rbd://b87a/gold%2Bssd/{ONE}"


def test_who_has_an_image_open_is_known_by_address_or_by_client(pool: Pool) -> None:
    """Some releases write the protocol before an address. What is gone by now has no answer and no complaint."""
    pool.held("a", ALIVE, ALIVE, DEAD)
    pool.held("b", f"v1:{ALIVE}", f"any:{ALIVE}")
    pool.held("c", DEAD, ALIVE)
    pool.held("d", DEAD, lock="by hand")
    pool.put("e")
    found = opened(pool, "a", "b", "c", "d", "e", "gone")
    assert (found.unread, found.bars_unread) == ({}, "")
    assert {one.name: (one.alive, one.managed, one.watchers) for one in found.clients} == {
        "a": (True, True, (ALIVE, DEAD)),
        "b": (True, True, (ALIVE,)),
        "c": (False, True, (ALIVE,)),
        "d": (False, False, ()),
        "e": (False, False, ()),
    }
    by_name = {one.name: one for one in found.clients}
    assert by_name["c"] == Clients(
        name="c", watchers=(ALIVE,), owner=DEAD, locker="client.3853293677", lock="auto 94", managed=True
    )


@pytest.mark.parametrize(
    ("entries", "ranges", "barred"),
    [
        ([{"addr": DEAD, "until": "then"}], [], "then"),
        ([{"addr": "10.88.10.91:0/0", "until": "then"}], [], "then"),
        ([], [{"range": "10.88.10.0:0/24", "until": "then"}], "then"),
        ([{"addr": ALIVE, "until": "then"}, {"addr": "10.88.10.91:0/24", "until": "then"}], [], ""),
        ([], [{"range": "10.88.9.0:0/24", "until": "then"}, {"range": "fd00::", "until": "then"}], ""),
    ],
)
def test_an_owner_is_blocklisted_alone_with_its_machine_or_its_network(
    pool: Pool, entries: list[Any], ranges: list[Any], barred: str
) -> None:
    """Another client of the same machine, whose number looks like the bits of a network, is not."""
    pool.held("a", DEAD)
    pool.cluster(blocklist=entries, ranges=ranges)
    (one,) = opened(pool, "a").clients
    assert one.barred == barred


def test_what_the_account_may_not_do_is_said_by_name(pool: Pool) -> None:
    """Of one image, and of the blocklist; the others are known all the same."""
    pool.held("a", DEAD)
    pool.held("b", DEAD, refused=True)
    pool.cluster(refused=["osd blocklist ls"])
    found = opened(pool, "a", "b")
    assert [one.name for one in found.clients] == ["a"]
    assert found.unread == {"b": "rbd: error opening image b: (1) Operation not permitted"}
    assert "access denied" in found.bars_unread


def test_a_program_that_dies_or_talks_nonsense_says_nothing(pool: Pool, tmp_path: Path) -> None:
    """Each image is named that has no answer; none of them has nobody."""
    pool.held("a", DEAD)
    other = pool.program[0].replace("rbd", "ceph")
    for words in ("exit 7", 'echo "{}"', 'echo "[1]"', 'echo "[]"; kill -9 $PPID', "printf '[\\n]'"):
        fake = tmp_path / "fake" / "rbd"
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f"#!/bin/sh\n{words}\n")
        fake.chmod(0o755)
        (fake.parent / "ceph").write_text(f'#!/bin/sh\nexec {other} "$@"\n')
        (fake.parent / "ceph").chmod(0o755)
        found = openers()["rbd"](Transport(), back_end("volumes", str(fake)), ["a"])
        assert (words, found.clients, list(found.unread), found.bars_unread) == (words, (), ["a"], "")


def test_ceph_is_run_as_rbd_is(pool: Pool) -> None:
    """In the same folder or container and with the same account; another name of the program says nothing."""
    found = openers()["rbd"](Transport(), back_end("volumes", "sh", "-c", "echo '[]'", "x"), [])
    assert "does not name rbd" in found.bars_unread
    pool.cluster(fsid="b87a", refused=["--id cinder fsid"])
    program = (*pool.program, "--id", "cinder")
    assert "access denied" in listed("volumes", *program, glance=True).cluster_unread


def test_a_cluster_that_hangs_is_given_up(pool: Pool, tmp_path: Path) -> None:
    """At the limit of the back end: each image is named, with the command and not the script that runs it."""
    fake = tmp_path / "rbd"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    own = BackEnd(name="one", kind="rbd", place="volumes", program=(str(fake),), limit=1.0)
    (tmp_path / "ceph").symlink_to(fake)
    found = openers()["rbd"](Transport(), own, ["a", "b"])
    assert (found.clients, set(found.unread), found.bars_unread != "") == ((), {"a", "b"}, True)
    assert (
        found.unread["a"]
        == f"{fake} status volumes on this machine: it did not end within 1 s, or the connection broke"
    )
