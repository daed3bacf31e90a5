# SPDX-License-Identifier: Apache-2.0
"""Two real Glance nodes with stores of their own behind a load balancer: the story of an image on only one of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import NETWORKS
from stackmend_lab.control_plane.services import table

CONTENT = os.urandom(300_000)
NETWORK = next(iter(NETWORKS))


@pytest.fixture(scope="module")
def two(plane: Plane) -> Iterator[Plane]:
    """The lab with two Glance nodes, and with one again afterwards."""
    lab = Plane(plane.folder, glances=2)
    lab.up()
    yield lab
    Plane(plane.folder, glances=1).up()
    assert "glance-api" in table(plane.layout)


class Site:
    """The two nodes, and images uploaded to one of them."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.layout = plane.layout
        self.sdk: Any = plane.connect()
        self.nodes = {name: self.layout.endpoint(name) for name in self.layout.glance_nodes}
        self.stores = {name: self.layout.image_store(name) for name in self.nodes}
        self.made: list[str] = []

    def upload(self, node: str, content: bytes = CONTENT) -> str:
        """Create an image and upload its content to one node; returns its id."""
        url, formats = f"{self.nodes[node]}/v2/images", {"disk_format": "raw", "container_format": "bare"}
        record = {"name": f"on-{node}-{len(self.made)}", "visibility": "public", **formats}
        image = str(self.sdk.session.post(url, json=record).json()["id"])
        self.made.append(image)
        self.sdk.session.put(
            f"{url}/{image}/file", data=content, headers={"Content-Type": "application/octet-stream"}
        )  # fmt: skip
        return image

    def file(self, node: str, image: str) -> Path:
        """The file with an image's content in a node's store."""
        return self.stores[node] / image


@pytest.fixture
def site(two: Plane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The site without images of earlier tests."""
    for name, value in two.env().items():
        monkeypatch.setenv(name, value)
    found = Site(two)
    yield found
    for image in found.made:
        found.sdk.image.delete_image(image, ignore_missing=True)
        for node in found.nodes:
            found.file(node, image).unlink(missing_ok=True)


@pytest.fixture
def typed(site: Site, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command; returns exit code, output and messages."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--config", str(site.plane.toml), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def missing(out: str) -> dict[tuple[str, str], str]:
    """(image, node) -> what is wrong."""
    found = [one["evidence"] for one in json.loads(out)["findings"] if one["check"] == "image-content-missing"]
    return {(one["image"], one["node"]): one["code"] for one in found}


def test_the_nodes_share_the_records_and_nothing_else(site: Site) -> None:
    """Each connection through the load balancer goes to the next node: every second one gets no content."""
    image = site.upload("glance-1")
    answers = [
        site.sdk.session.get(f"{site.layout.endpoint('glance')}/v2/images/{image}/file", raise_exc=False).status_code
        for _ in range(6)
    ]
    assert sorted(answers) == [200, 200, 200, 204, 204, 204]
    assert (site.file("glance-1", image).exists(), site.file("glance-2", image).exists()) == (True, False)


def test_an_image_on_one_node_from_finding_to_proof(site: Site, typed: Any) -> None:
    """verify names image and node; builds through that node fail and say why; a copy mends it, as canaries prove."""
    image = site.upload("glance-1")
    one, two = (f"{name}:{site.stores[name]}" for name in site.nodes)
    code, out, err = typed("image", "verify", "-f", "json")
    assert code == Exit.FINDINGS, err
    found = {key: what for key, what in missing(out).items() if key[0] == image}
    assert found == {(image, site.nodes["glance-2"]): "missing", (image, two): "missing"}

    words = ("canary", "--count", "3", "--parallel", "3", "--network", NETWORK, "--image", image, "--yes", "-f", "json")
    assert typed("image", "isolate", "glance-1", "--yes")[0] == Exit.REPAIRED
    code, out, err = typed(*words)
    assert code == Exit.FINDINGS, err
    found = json.loads(out)
    assert (found["proved"], found["failed"], found["left"]) == (0, 3, [])
    assert {one["phase"] for one in found["failures"]} == {"build"}
    assert all("Image has no associated data" in one["reason"] for one in found["failures"])
    assert all(one["host"] in site.layout.hosts for one in found["failures"])

    assert typed("image", "isolate", "glance-1", "--back", "--yes")[0] == Exit.REPAIRED
    code, _, err = typed("image", "copy", image, "--from", one, "--to", two, "--yes")
    assert code == Exit.REPAIRED, err
    code, out, err = typed("image", "verify", "--image", image, "-f", "json")
    assert (code, missing(out)) == (Exit.CLEAN, {}), err
    code, out, err = typed(*words)
    assert (code, json.loads(out)["proved"]) == (Exit.CLEAN, 3), err


def collected(plane: Plane, into: Path) -> Path:
    """The lab's logs as an operator collects them: a folder for each machine; what is not Nova's stays together."""
    nodes = {f"{node}-api": (node, "glance-api.log") for node in plane.layout.glance_nodes}
    hosts = {f"nova-compute-{host}": (host, "nova-compute.log") for host in plane.layout.hosts}
    for path in plane.layout.logs.glob("*.log"):
        host, name = (nodes | hosts).get(path.stem, ("controller", path.name))
        target = into / host / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return into


def test_diagnose_names_the_node_without_the_image(site: Site, typed: Any, tmp_path: Path) -> None:
    """From the real logs of failed builds: the image, the hosts that wanted it, and the Glance node that lacks it."""
    image = site.upload("glance-1")
    assert typed("image", "isolate", "glance-1", "--yes")[0] == Exit.REPAIRED
    try:
        code, out, err = typed(
            "canary", "--count", "2", "--network", NETWORK, "--image", image, "--logs", str(site.layout.logs), "--yes",
            "-f", "json",
        )  # fmt: skip
    finally:
        assert typed("image", "isolate", "glance-1", "--back", "--yes")[0] == Exit.REPAIRED
    assert code == Exit.FINDINGS, err
    for group in json.loads(out)["failures"]:
        assert "image-content-missing" in {cause["cause"] for cause in group["causes"]}
        assert any(image in cause["statement"] for cause in group["causes"])
    logs = collected(site.plane, tmp_path / "logs")
    for one in json.loads(out)["canaries"]:
        code, said, err = typed("diagnose", "server", one["server"], "--logs", str(logs), "--no-audit", "-f", "json")
        assert code == Exit.FINDINGS, err
        causes = {found["cause"]: found for found in json.loads(said)["causes"]}
        statement = causes["image-content-missing"]["statement"]
        assert image in statement
        assert one["host"] in statement
        assert "missing on the Glance node glance-2" in statement
        assert causes["image-content-missing"]["confidence"] == "certain"
        assert not causes["image-content-missing"]["consequence_of"]


def test_what_a_node_sends_is_what_it_has(site: Site, typed: Any) -> None:
    """Content that is too short and different content are told apart; the store also shows if it is too long."""
    images = {what: site.upload("glance-2") for what in ("size", "hash", "longer")}
    for image in images.values():
        site.file("glance-1", image).write_bytes(CONTENT)
    site.file("glance-2", images["size"]).write_bytes(CONTENT[:200_000])
    site.file("glance-2", images["hash"]).write_bytes(bytes(len(CONTENT)))
    site.file("glance-2", images["longer"]).write_bytes(CONTENT + b"more")
    node = site.nodes["glance-2"]
    own = [word for image in images.values() for word in ("--image", image)]
    code, out, err = typed("image", "verify", "--endpoint", node, *own, "-f", "json")
    assert code == Exit.FINDINGS, err
    assert missing(out) == {(images["size"], node): "size", (images["hash"], node): "hash"}
    code, out, _ = typed("image", "verify", "--endpoint", node, "--quick", *own, "-f", "json")
    assert missing(out) == {(images["size"], node): "size"}
    code, out, _ = typed("audit", "--check", "image-content-missing", "-f", "json")
    store = f"glance-2:{site.stores['glance-2']}"
    named = {one["key"]["image"] for one in json.loads(out) if one["key"]["node"] == store}
    assert named & set(images.values()) == {images["size"], images["longer"]}


def test_glance_copies_into_a_store_that_is_shared(site: Site, typed: Any) -> None:
    """Through the node that has it, the copy works and both serve it; undo removes it. Through the other it fails."""
    image = site.upload("glance-1")
    words = ("image", "copy", image, "--to-store", "shared", "--yes", "-f", "json", "--node")
    code, _, err = typed(*words, site.nodes["glance-2"])
    assert code == Exit.STOPPED, err
    code, out, err = typed(*words, site.nodes["glance-1"])
    assert code == Exit.REPAIRED, err
    apis = [word for node in site.nodes.values() for word in ("--endpoint", node)]
    assert typed("image", "verify", *apis, "--image", image)[0] == Exit.CLEAN
    code, _, err = typed("run", "undo", json.loads(out)["run"], "--yes")
    assert code == Exit.CLEAN, err
    assert typed("image", "verify", *apis, "--image", image)[0] == Exit.FINDINGS
