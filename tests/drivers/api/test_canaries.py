# SPDX-License-Identifier: Apache-2.0
"""Batches of canaries, by services in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, build

from .canaries import HOSTS, NETWORKS, CanaryFake, Thing
from .proving import Proving, document
from .serving import serving
from .test_collecting import configured


class MemorySite:
    """The services in memory."""

    network = "net1"
    hosts = HOSTS

    def __init__(self, fake: CanaryFake, folder: Path) -> None:
        self.fake = fake
        fake.clear()
        configured(folder, fake)  # type: ignore[arg-type]
        self.toml = folder / "stackmend.toml"

    def canaries(self) -> list[str]:
        return [one["name"] for one in self.fake.servers.values() if one["name"].startswith("stackmend-canary-")]

    def ports(self) -> int:
        return len(self.fake.ports)

    def break_host(self, host: str, broken: bool) -> None:
        self.fake.broken = {host: "nova.exception.DiskFull: no space left"} if broken else {}

    @contextmanager
    def building(self) -> Iterator[None]:
        self.fake.holds = True
        try:
            yield
        finally:
            self.fake.holds = False

    def alike(self) -> str:
        name = "stackmend-canary-0123abcd-0001"
        asked = {"name": name, "tags": [], "metadata": {}, "imageRef": "x", "flavorRef": "f1", "networks": "none"}
        self.fake.create({"server": asked})
        return name

    def drop(self, name: str) -> None:
        self.fake.servers = {key: one for key, one in self.fake.servers.items() if one["name"] != name}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CanaryFake]:
    """The services."""
    folder = tmp_path_factory.mktemp("canaries")
    cloud: Cloud = build(folder / "cloud", servers=20)
    with serving(CanaryFake(cloud, tmp_path_factory.mktemp("account"))) as fake:
        yield fake  # type: ignore[misc]


def _port(fake: CanaryFake, server: Thing) -> Thing:
    return next(port for port in fake.ports.values() if port["device_id"] == server["id"])


class TestCanaries(Proving):
    """Of services in memory."""

    @pytest.fixture
    def site(self, served: CanaryFake, tmp_path: Path) -> MemorySite:
        """Empty, with a journal of its own."""
        return MemorySite(served, tmp_path)

    def test_there_are_never_more_than_a_wave(self, site: MemorySite, typed: Any) -> None:
        """Failures are deleted with their wave, too."""
        site.fake.broken = dict.fromkeys(HOSTS, "nova.exception.NovaException: broken")
        code, out, err = typed("canary", "--count", "5", "--parallel", "2", "--yes", "-f", "json")
        assert (code, site.fake.most, site.canaries()) == (Exit.FINDINGS, 2, []), err
        found = document(out)
        assert (found["failed"], found["left"]) == (5, [])
        assert "nova.exception.NovaException: broken" in found["failures"][0]["reason"]

    def test_hosts_that_another_made_up_for_are_told(self, site: MemorySite, typed: Any) -> None:
        """All were built, though the first host that tried failed: its attempts are counted."""
        site.fake.broken = {"c01": "nova.exception.ImageNotFound: gone"}
        code, out, err = typed("canary", "--count", "3", "--yes", "-f", "json")
        assert code == Exit.CLEAN, err
        hosts = {one["host"]: (one["attempts"], one["failed"]) for one in document(out)["hosts"]}
        assert hosts["c01"][1] > 0
        assert "were built by another host" in err

    @pytest.mark.parametrize(
        ("odd", "words"),
        [
            (lambda fake, server: fake.port(server, "n1"), "it has 2 ports on network n1, 1 was asked for"),
            (lambda fake, server: fake.port(server, "n2"), "it has 1 ports on network n2, 0 was asked for"),
            (lambda fake, server: _port(fake, server).update(status="DOWN"), "not in use on"),
            (lambda fake, server: _port(fake, server).update(fixed_ips=[]), "without an address"),
            (lambda fake, server: server.update({"OS-EXT-STS:power_state": 4}), "power state 4"),
            (lambda fake, server: server.update(image={"id": "other"}), "its image is other"),
            (lambda fake, server: setattr(fake, "console", "Kernel panic - not syncing"), "a kernel panic"),
            (lambda fake, server: setattr(fake, "console", ""), "its console shows nothing"),
        ],
    )
    def test_what_it_did_not_ask_for_is_seen(
        self, site: MemorySite, typed: Any, odd: Callable[[CanaryFake, Thing], None], words: str
    ) -> None:
        """One thing that is otherwise makes it fail, in words, and it is deleted all the same."""
        site.fake.odd = lambda server: odd(site.fake, server)
        code, out, err = typed(
            "canary", "--count", "1", "--network", "net1", "--timeout", "1", "--yes", "-f", "json"
        )  # fmt: skip
        assert code == Exit.FINDINGS, err
        (one,) = document(out)["canaries"]
        assert (one["phase"], words in one["reason"]) == ("prove", True), one["reason"]
        assert (site.canaries(), site.ports()) == ([], 0)

    def test_it_boots_from_a_volume(self, site: MemorySite, typed: Any) -> None:
        """Of the size that was asked for, in use by it alone, on both networks; gone with it."""
        words = ("canary", "--count", "2", "--network", "net1", "--network", "net2", "--volume", "5", "--yes")
        code, _, err = typed(*words, "-f", "json")
        assert code == Exit.CLEAN, err
        assert (site.fake.volumes, site.ports()) == ({}, 0)
        bodies = [one.body["server"] for one in site.fake.sent("POST", "/servers") if one.path.endswith("/servers")]
        assert {tuple(one["uuid"] for one in body["networks"]) for body in bodies} == {tuple(NETWORKS.values())}
        assert all("imageRef" not in body for body in bodies)

        def half(server: Thing) -> None:
            site.fake.volumes[server["volumes"][0]]["status"] = "attaching"

        site.fake.odd = half
        code, out, _ = typed(*words, "--timeout", "2", "-f", "json")
        assert (code, "is attaching" in document(out)["failures"][0]["reason"]) == (Exit.FINDINGS, True)

    def test_ports_that_outlive_their_server_are_deleted(self, site: MemorySite, typed: Any) -> None:
        """By their tag."""
        site.fake.keeps = True
        code, _, err = typed("canary", "--count", "2", "--network", "net1", "--network", "net2", "--yes")
        assert (code, site.ports()) == (Exit.CLEAN, 0), err

    def test_a_plan_in_a_file_is_applied_and_reported(self, site: MemorySite, typed: Any, tmp_path: Path) -> None:
        """By plan apply, which knows nothing of canaries; --report tells of its run."""
        plan = str(tmp_path / "plan.json")
        assert typed("canary", "--count", "2", "--network", "net1", "--out", plan)[0] == Exit.FINDINGS
        code, out, err = typed("plan", "apply", plan, "--yes", "-f", "json")
        assert (code, site.canaries()) == (Exit.REPAIRED, []), err
        code, out, err = typed("canary", "--report", json.loads(out)["run"], "-f", "json")
        assert (code, document(out)["proved"]) == (Exit.CLEAN, 2), err

    def test_a_quota_without_room_is_said_before(self, site: MemorySite, typed: Any) -> None:
        """Of Nova and of Cinder: nothing is built."""
        site.fake.limit = 2
        code, _, err = typed("canary", "--count", "10", "--parallel", "3", "--yes")
        assert (code, "instances: 0 of 2 in use, 3 more are needed" in err) == (Exit.USAGE, True)
        site.fake.limit = -1
        code, _, err = typed("canary", "--count", "10", "--parallel", "3", "--volume", "9", "--yes")
        assert (code, "gigabytes: 0 of 20 in use, 27 more" in err) == (Exit.USAGE, True)
        assert site.fake.changes() == []

    def test_what_makes_no_sense_is_refused(self, site: MemorySite, typed: Any) -> None:
        """A network, a batch or a run that there is none of; options of another way."""
        assert typed("canary", "--count", "1", "--network", "nte1", "--yes")[0] == Exit.USAGE
        assert typed("canary", "--clean-up", "all", "--yes")[0] == Exit.USAGE
        assert typed("canary", "--report", str(uuid.uuid4()))[0] == Exit.USAGE
        assert typed("canary", "--clean-up", "--network", "net1")[0] == Exit.USAGE
