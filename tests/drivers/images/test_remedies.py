# SPDX-License-Identifier: Apache-2.0
"""Content copied to the store that lacks it, and a node taken out of its balancer."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from stackmend.model.errors import Exit
from stackmend.model.objects.disks import QUARANTINE

from .conftest import Site

CONTENT = os.urandom(200_000)


def sha(path: Path) -> str:
    """Hash of a file, "" for none."""
    return hashlib.sha512(path.read_bytes()).hexdigest() if path.exists() else ""


def missing(site: Site) -> tuple[str, Path, Path]:
    """An image that node one has alone, and its file on each."""
    image = site.fake.record(CONTENT, name="fedora")
    return image, site.one.put(image, CONTENT), site.two.folder / image


def test_what_is_missing_is_copied_and_taken_away_again(site: Site, typed: Any) -> None:
    """Shown first, then copied whole with the mode of the source; verify is clean; undo moves it aside."""
    image, one, two = missing(site)
    one.chmod(0o640)
    assert typed("image", "verify", "--quick")[0] == Exit.FINDINGS
    code, out, err = typed("image", "copy", "fedora", "--to", site.stores[1])
    assert code == Exit.FINDINGS, err
    assert f"copied from {site.stores[0]} to {site.stores[1]}" in " ".join(out.split())
    assert not two.exists()
    code, out, err = typed("image", "copy", "fedora", "--to", site.stores[1], "--yes", "-f", "json")
    assert code == Exit.REPAIRED, err
    assert (sha(two), two.stat().st_mode & 0o777) == (sha(one), 0o640)
    assert typed("image", "verify")[0] == Exit.CLEAN
    assert typed("image", "copy", "fedora", "--to", site.stores[1])[0] == Exit.CLEAN
    code, _, err = typed("run", "undo", json.loads(out)["run"], "--yes")
    assert code == Exit.CLEAN, err
    assert not two.exists()
    assert sha(site.two.folder / QUARANTINE / f"image-{image}" / image) == sha(one)


@pytest.mark.parametrize("damaged", [CONTENT[:1000], bytes(len(CONTENT)), CONTENT + b"x"])
def test_what_is_damaged_is_put_aside_first(site: Site, typed: Any, damaged: bytes) -> None:
    """The damaged file is kept in quarantine, and is back after undo."""
    image, one, two = missing(site)
    site.two.put(image, damaged)
    code, out, err = typed("image", "copy", image, "--from", site.stores[0], "--to", site.stores[1], "--yes", "-f",
                           "json")  # fmt: skip
    assert code == Exit.REPAIRED, err
    assert sha(two) == sha(one)
    code, _, err = typed("run", "undo", json.loads(out)["run"], "--yes")
    assert code == Exit.CLEAN, err
    assert two.read_bytes() == damaged


def test_a_source_that_is_not_whole_is_no_source(site: Site, typed: Any) -> None:
    """Neither a damaged file nor none is copied, and an image that Glance has no hash of has no right copy."""
    image, one, two = missing(site)
    one.write_bytes(bytes(len(CONTENT)))
    code, _, err = typed("image", "copy", image, "--to", site.stores[1], "--yes")
    assert (code, "no store has image" in err) == (Exit.STOPPED, True)
    one.unlink()
    assert typed("image", "copy", image, "--to", site.stores[1], "--yes")[0] == Exit.STOPPED
    assert not two.exists()
    unknown = site.fake.record(CONTENT, os_hash_value=None, os_hash_algo=None, checksum=None)
    site.one.put(unknown, CONTENT)
    code, _, err = typed("image", "copy", unknown, "--to", site.stores[1])
    assert (code, "has recorded no hash" in err) == (Exit.STOPPED, True)


def test_what_changed_since_the_plan_is_not_written_over(site: Site, typed: Any, tmp_path: Path) -> None:
    """An image that is not active any more, and a file that came meanwhile, stop the copy."""
    image, _, two = missing(site)
    plan = str(tmp_path / "plan.json")
    assert typed("image", "copy", image, "--to", site.stores[1], "--out", plan)[0] == Exit.FINDINGS
    site.fake.cloud.update("glance", "images", {"id": image}, status="deactivated")
    code, _, err = typed("plan", "apply", plan, "--yes")
    assert (code, two.exists()) == (Exit.STOPPED, False), err
    site.fake.cloud.update("glance", "images", {"id": image}, status="active")
    two.write_bytes(b"an upload")
    code, _, err = typed("plan", "apply", plan, "--yes")
    assert (code, two.read_bytes()) == (Exit.STOPPED, b"an upload"), err


def test_glance_copies_into_another_store(site: Site, typed: Any) -> None:
    """By import, asked of the node that is named; undo has Glance delete it there; a store must exist and lack it."""
    image, _, _ = missing(site)
    site.fake.stores = ["file", "ceph"]
    node = f"{site.fake.url}/image"
    words = ("image", "copy", image, "--to-store", "ceph", "--node", node)
    code, out, err = typed(*words, "-f", "json")
    assert code == Exit.FINDINGS, err
    assert f"POST {node}/v2/images/{image}/import" in out
    code, out, err = typed(*words, "--yes", "-f", "json")
    assert (code, site.fake.in_stores[image]) == (Exit.REPAIRED, ["file", "ceph"]), err
    code, _, err = typed(*words)
    assert (code, "has recorded that image" in err) == (Exit.STOPPED, True)
    code, _, err = typed("run", "undo", json.loads(out)["run"], "--yes")
    assert (code, site.fake.in_stores[image]) == (Exit.CLEAN, ["file"]), err
    code, _, err = typed("image", "copy", image, "--to-store", "swift")
    assert (code, "Glance has no store 'swift'" in err) == (Exit.USAGE, True)
    assert typed("image", "copy", image, "--to-store", "ceph", "--from", "g1")[0] == Exit.USAGE
    assert typed("image", "copy", image, "--to", "g2", "--node", node)[0] == Exit.USAGE


def hooks(site: Site, folder: Path) -> None:
    """A balancer that is a folder: a node is out while there is a file of its name."""
    folder.mkdir()
    status = f"if [ -e {folder}/{{host}} ]; then echo out; else echo in; fi"
    site.more = (
        f'[hooks]\nbalancer_out = ["touch", "{folder}/{{host}}"]\nbalancer_in = ["rm", "-f", "{folder}/{{host}}"]\n'
        f'balancer_status = ["sh", "-c", "{status}"]\n'
    )


def test_a_node_is_taken_out_of_its_balancer(site: Site, typed: Any, tmp_path: Path) -> None:
    """By the hook, put back by undo and by --back; the last node that is in stays in."""
    balancer = tmp_path / "balancer"
    code, _, err = typed("image", "isolate", "g2")
    assert (code, "[hooks] balancer_out is not configured" in err) == (Exit.STOPPED, True)
    hooks(site, balancer)
    code, out, err = typed("image", "isolate", "g2", "--yes", "-f", "json")
    assert (code, [one.name for one in balancer.iterdir()]) == (Exit.REPAIRED, ["g2"]), err
    code, _, err = typed("image", "isolate", "g1")
    assert (code, "no other node of Glance is in the balancer" in err) == (Exit.STOPPED, True)
    code, _, err = typed("run", "undo", json.loads(out)["run"], "--yes")
    assert (code, list(balancer.iterdir())) == (Exit.CLEAN, []), err
    assert typed("image", "isolate", "g1", "--yes")[0] == Exit.REPAIRED
    assert typed("image", "isolate", "g1", "--back", "--yes")[0] == Exit.REPAIRED
    assert list(balancer.iterdir()) == []
    assert typed("image", "isolate", "--", "-rf")[0] == Exit.USAGE
