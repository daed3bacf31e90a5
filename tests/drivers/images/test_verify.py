# SPDX-License-Identifier: Apache-2.0
"""The content of images on every node: what is missing or differs is named, what only looks so is not."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stackmend.app.image_verifying import Asked, verify
from stackmend.config.settings import load
from stackmend.drivers.images.ledger import Ledger
from stackmend.drivers.images.pace import Pace, StoppedError
from stackmend.model.errors import Exit, UsageError
from stackmend.model.objects.images import Held, ImageRecord

from .conftest import Site

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
CONTENT = os.urandom(3 * 65536 + 17)


def everywhere(site: Site, content: bytes = CONTENT, **more: Any) -> str:
    """An image that both nodes have."""
    image = site.fake.record(content, **more)
    for node in (site.one, site.two):
        node.put(image, content)
    return image


def document(out: str) -> Any:
    """What was printed, as its schema has it."""
    found = json.loads(out)
    jsonschema.validate(found, json.loads((SCHEMAS / "image-verify.json").read_text()))
    return found


def codes(found: Any) -> dict[tuple[str, str], str]:
    """(image, node) -> what is wrong."""
    return {
        (one["evidence"]["image"], one["evidence"]["node"]): one["evidence"]["code"]
        for one in found["findings"]
        if one["check"] == "image-content-missing"
    }


def damage(site: Site) -> dict[str, str]:
    """An image for each thing that may be wrong on node two: what -> image."""
    found = {what: site.fake.record(CONTENT) for what in ("missing", "size", "hash", "longer")}
    for image in found.values():
        site.one.put(image, CONTENT)
    site.two.put(found["size"], CONTENT[:-70_000])
    site.two.put(found["hash"], bytes(len(CONTENT)))
    site.two.put(found["longer"], CONTENT + b"more")
    return found


def test_each_node_is_asked_by_its_api(site: Site, typed: Any) -> None:
    """What node two lacks, has too short or otherwise is named with the node that has it; the healthy image is not."""
    healthy, broken = everywhere(site), damage(site)
    code, out, err = typed("image", "verify", *site.endpoints, "-f", "json")
    assert code == Exit.FINDINGS, err
    found = document(out)
    # a node sends no more than what is recorded: that there is more shows on disk alone
    assert codes(found) == {(broken[what], site.two.url): what for what in ("missing", "size", "hash")}
    assert {one["evidence"]["elsewhere"] for one in found["findings"] if "elsewhere" in one["evidence"]} == {
        site.one.url
    }
    assert healthy not in out
    (short,) = [one["evidence"] for one in found["findings"] if one["evidence"].get("code") == "size"]
    assert short["has"] == len(CONTENT) - 70_000
    unshared = [one for one in found["findings"] if one["check"] == "image-stores-unshared"]
    assert [one["evidence"]["code"] for one in unshared] == ["contents"]
    assert (found["outcome"], found["unread"], found["images"]) == ("findings", [], 5)


def test_a_quick_look_reads_a_byte(site: Site, typed: Any) -> None:
    """What is missing or too short is seen by the last byte alone; other content is not."""
    broken = damage(site)
    code, out, err = typed("image", "verify", *site.endpoints, "--quick", "-f", "json")
    assert code == Exit.FINDINGS, err
    assert codes(document(out)) == {(broken[what], site.two.url): what for what in ("missing", "size")}
    assert {asked for _, asked in site.one.asked} == {f"bytes={len(CONTENT) - 1}-{len(CONTENT) - 1}"}
    assert json.loads(out)["bytes"] < 10


def test_stores_are_read_as_files(site: Site, typed: Any) -> None:
    """By name, size and hash, with coreutils; also that a file is longer than what is recorded."""
    everywhere(site)
    broken = damage(site)
    code, out, err = typed("image", "verify", "-f", "json")
    assert code == Exit.FINDINGS, err
    found = document(out)
    two = site.stores[1]
    assert codes(found) == {
        (broken["missing"], two): "missing", (broken["size"], two): "size", (broken["longer"], two): "size",
        (broken["hash"], two): "hash",
    }  # fmt: skip
    code, out, err = typed("image", "verify", "--quick", "-f", "json")
    assert set(codes(document(out)).values()) == {"missing", "size"}
    code, out, err = typed("image", "verify")
    said = " ".join(out.split())
    assert "its content is not there" in said
    assert f"whole on {site.stores[0]}" in said
    assert f"image copy {broken['missing']} --from {site.stores[0]} --to {two}" in err


def test_a_healthy_cloud_is_clean(site: Site, typed: Any) -> None:
    """Exit 0; images without content on purpose, deactivated and deleted ones are not missed."""
    everywhere(site)
    site.fake.record(b"", name="of a volume", location="")
    site.fake.record(CONTENT, status="deactivated")
    site.fake.record(CONTENT, status="queued", location="")
    for words in (site.endpoints, ()):
        code, out, err = typed("image", "verify", *words, "-f", "json")
        assert (code, document(out)["outcome"]) == (Exit.CLEAN, "clean"), err
        told = [one["check"] for one in document(out)["findings"]]
        assert told == ([] if words else ["image-stores-unshared"])
    assert "1 image without content of their own left out" in err


def test_files_of_nobody(site: Site, typed: Any) -> None:
    """A file is nobody's by Glance's database alone; what is young, waits to be scrubbed or has another name is not."""
    everywhere(site)
    orphan = site.fake.record(CONTENT, deleted=1, status="deleted")
    later = site.fake.record(CONTENT, deleted=1, status="pending_delete")
    young = "00000000-0000-4000-8000-000000000001"
    for image, days in ((orphan, 30), (later, 30), (young, 0.1), ("readme", 30)):
        site.two.put(image, CONTENT, days=days)
    code, out, err = typed("image", "verify", "--quick", "-f", "json")
    assert code == Exit.FINDINGS, err
    (one,) = [found for found in document(out)["findings"] if found["check"] != "image-stores-unshared"]
    assert (one["check"], one["key"]) == ("image-store-orphan", {"node": site.stores[1], "file": orphan})
    site.rows = False
    code, out, err = typed("image", "verify", "--quick", "-f", "json")
    assert code == Exit.INCOMPLETE, err
    assert list(document(out)["incomplete"]) == ["image-store-orphan"]


def test_what_is_in_another_store_is_not_missed(site: Site, typed: Any) -> None:
    """Content in Ceph alone, or there too, need not be a file; by the API alone nobody knows, and nothing is said."""
    everywhere(site)
    site.fake.record(CONTENT, location="rbd")
    both = site.fake.record(CONTENT)
    site.fake.locate(both, "rbd")
    site.one.put(both, CONTENT)
    assert typed("image", "verify", "-f", "json")[0] == Exit.CLEAN
    site.rows = False
    _code, out, _ = typed("image", "verify", "--image", both, "-f", "json")
    assert codes(document(out)) == {(both, site.stores[1]): "missing"}


def test_pages_of_the_api_are_read_to_their_end(site: Site, typed: Any) -> None:
    """Glance shows few images at a time, and names the next page otherwise than the other services."""
    site.rows = False
    for _ in range(5):
        everywhere(site)
    code, out, err = typed("image", "verify", *site.endpoints, "--quick", "-f", "json")
    assert (code, document(out)["images"]) == (Exit.CLEAN, 5), err


def test_one_image_by_its_name(site: Site, typed: Any) -> None:
    """No other is read; a name that is none is an error of the user."""
    everywhere(site)
    image = everywhere(site, name="fedora")
    code, _out, _ = typed("image", "verify", *site.endpoints, "--image", "fedora", "-f", "json")
    assert (code, {name for name, _ in site.one.asked}) == (Exit.CLEAN, {image})
    code, _, err = typed("image", "verify", *site.endpoints, "--image", "fedoar")
    assert (code, "no active image 'fedoar'" in err) == (Exit.USAGE, True)


def test_what_cannot_be_read_is_not_clean(site: Site, typed: Any) -> None:
    """A node that is down or refuses, a folder that is not there: exit 7, and the other node is judged all the same."""
    image = everywhere(site)
    away = site.fake.record(CONTENT)
    site.one.put(away, CONTENT)
    code, out, err = typed("image", "verify", "--endpoint", site.one.url, "--endpoint", "http://127.0.0.1:9", "-f",
                           "json")  # fmt: skip
    assert code == Exit.INCOMPLETE, err
    found = document(out)
    assert {(one["node"], one["image"]) for one in found["unread"]} == {
        ("http://127.0.0.1:9", image), ("http://127.0.0.1:9", away)
    }  # fmt: skip
    site.two.busy = 100
    assert typed("image", "verify", *site.endpoints, "--quick")[0] == Exit.INCOMPLETE
    site.two.busy = 1  # a moment only
    code, out, _ = typed("image", "verify", *site.endpoints, "--image", image, "-f", "json")
    assert (code, document(out)["outcome"]) == (Exit.CLEAN, "clean")
    site.two.folder.rename(site.two.folder.with_suffix(".away"))
    code, _, err = typed("image", "verify")
    assert (code, "cannot be read whole" in err) == (Exit.INCOMPLETE, True)


def test_the_catalog_may_name_a_balancer(site: Site, typed: Any) -> None:
    """Without nodes the catalog's URL is asked, and it is said that one of its nodes may lack what another has."""
    everywhere(site)
    site.named = False
    code, _, err = typed("image", "verify", "--endpoint", site.one.url, "--quick")
    assert (code, "balancer" in err) == (Exit.CLEAN, False)
    code, out, err = typed("image", "verify", "--quick", "-f", "json")
    assert [node["name"] for node in document(out)["nodes"]] == [f"{site.fake.url}/image"]
    assert "may be that of a balancer" in err


def test_nova_may_know_the_nodes(site: Site, typed: Any) -> None:
    """Where its own file names several, each of them is asked."""
    image = everywhere(site)
    site.two.folder.joinpath(image).unlink()
    site.named = False
    nova = site.folder / "nova.conf"
    nova.write_text(f"[glance]\napi_servers = {site.one.url}, {site.two.url}\n")
    site.more = f'[files]\nnova = "{nova}"\n'
    code, out, err = typed("image", "verify", "--quick", "-f", "json")
    assert (code, codes(document(out))) == (Exit.FINDINGS, {(image, site.two.url): "missing"}), err
    assert "balancer" not in err


def test_a_verification_that_was_cut_off_goes_on(site: Site, typed: Any, tmp_path: Path) -> None:
    """What was read whole is not read again; what was not whole is; --anew reads all, and an end removes the file."""
    images = [everywhere(site) for _ in range(6)]
    site.two.folder.joinpath(images[3]).unlink()
    state = tmp_path / "state.jsonl"
    config = load(str(site.toml))
    asked = Asked(endpoints=(site.one.url, site.two.url), parallel=1, state=str(state))

    def progress(what: str, done: int, _: int | None) -> None:
        if what == "reading images" and done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(config, asked, progress)
    read = len(state.read_text().splitlines()) - 1
    assert read >= 8
    before = len(site.one.asked) + len(site.two.asked)
    found = verify(config, asked)
    assert (found.before, found.exit) == (read, Exit.FINDINGS)
    assert len(site.one.asked) + len(site.two.asked) - before == 12 - read
    assert not state.exists()
    before = len(site.one.asked)
    verify(config, Asked(endpoints=(site.one.url,), state=str(state)))
    assert len(site.one.asked) - before == 6


def test_what_was_noted_of_other_content_does_not_count(tmp_path: Path) -> None:
    """An image with another hash, a quick look for a whole one, a line that is half: read again."""
    path = tmp_path / "notes"
    image = ImageRecord(id="a", size=5, algorithm="md5", digest="d")
    first = Ledger(path)
    first.note("n", image, quick=True)
    first.close(over=False)
    with path.open("a") as file:
        file.write('{"node": "n", "image": "b"')
    again = Ledger(path)
    known = again.known("n", image, quick=True)
    assert known is not None
    assert known.held is Held.WHOLE
    assert again.known("n", image, quick=False) is None
    assert again.known("m", image, quick=True) is None
    assert again.known("n", ImageRecord(id="a", size=5, algorithm="md5", digest="e"), quick=True) is None
    again.close(over=True)
    other = tmp_path / "other"
    other.write_text("a diary\n")
    with pytest.raises(UsageError, match="holds something else"):
        Ledger(other)


def test_readers_keep_to_the_rate_together() -> None:
    """Two of them take as long as one would; told to end, they do so at once."""
    pace = Pace(1000.0)
    begun = time.monotonic()
    readers = [threading.Thread(target=lambda: [pace.took(50) for _ in range(5)]) for _ in range(2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert 0.3 < time.monotonic() - begun < 3.0
    pace.stop()
    with pytest.raises(StoppedError):
        pace.took(1)


def test_hosts_read_at_a_rate(site: Site, typed: Any) -> None:
    """The hash that is made piece by piece is that of the whole file."""
    content = os.urandom((3 << 20) + 5)
    everywhere(site, content)
    begun = time.monotonic()
    code, out, err = typed("image", "verify", "--rate", "2", "--parallel", "2", "-f", "json")
    assert (code, document(out)["outcome"]) == (Exit.CLEAN, "clean"), err
    assert time.monotonic() - begun > 2.5


def test_an_audit_visits_the_stores(site: Site, typed: Any) -> None:
    """--visit-hosts asks the same checks by sizes alone, twice; without stores configured there is nothing to ask."""
    everywhere(site)
    broken = damage(site)
    code, out, err = typed("audit", "--check", "image-content-missing", "--check", "image-store-orphan",
                           "--check", "image-stores-unshared", "--settle", "0", "-f", "json")  # fmt: skip
    assert code == Exit.FINDINGS, err
    found = json.loads(out)
    jsonschema.validate(found, json.loads((SCHEMAS / "findings.json").read_text()))
    assert codes({"findings": found}) == {
        (broken["missing"], site.stores[1]): "missing", (broken["size"], site.stores[1]): "size",
        (broken["longer"], site.stores[1]): "size",
    }  # fmt: skip
    assert {one["state"] for one in found} == {"confirmed"}
    assert [one["check"] for one in found].count("image-stores-unshared") == 1
