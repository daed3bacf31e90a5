# SPDX-License-Identifier: Apache-2.0
"""Servers made again on their ports, by services in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, build

from .recreating import OWN, RecreatingFake
from .recreation import CONSENT, USER_DATA, Recreation, Shown, again
from .serving import serving
from .test_collecting import configured

#: steps of a plan for a server with two ports and two volumes
STEPS = 16
#: when the old server is deleted, and when the new one is made
DEADLY = (5, 7)
_SAME = ("metadata", "tags", "description", "key_name", "config_drive", "server_groups", "pinned_availability_zone")


class MemorySite:
    """The services in memory."""

    def __init__(self, fake: RecreatingFake, folder: Path) -> None:
        self.fake = fake
        for some in (fake.servers, fake.gone, fake.ports, fake.volumes, fake.pictures):
            some.clear()
        fake.builds, fake.limit = True, -1
        configured(folder, fake)  # type: ignore[arg-type]
        self.toml = folder / "stackmend.toml"

    def of_image(self) -> str:
        return str(self._server([])["name"])

    def of_volume(self) -> str:
        return str(self._server([self.fake.new_volume(), self.fake.new_volume()])["name"])

    def _server(self, volumes: list[str]) -> Any:
        return self.fake.server_with(f"again-{uuid.uuid4().hex[:6]}", volumes, user_data=USER_DATA)

    def the_server(self, name: str) -> Any:
        """The row of the only one of this name."""
        (found,) = [one for one in self.fake.servers.values() if one["name"] == name]
        return found

    def shown(self, name: str) -> Shown | None:
        found = [one for one in self.fake.servers.values() if one["name"] == name]
        assert len(found) < 2
        if not found:
            return None
        server = found[0]
        secrets = {one: server[f"OS-EXT-SRV-ATTR:{one}"] for one in ("user_data", "hostname")}
        return Shown(
            id=server["id"],
            ports={one["id"]: _addresses(one) for one in self.fake.ports.values() if one["device_id"] == server["id"]},
            volumes=dict(server["ends"]),
            facts={one: server[one] for one in _SAME} | secrets,
            image=str((server["image"] or {}).get("id") or ""),
            status="ACTIVE" if server["OS-EXT-STS:vm_state"] == "active" else "other",
            kept=list(server["preserved"]),
        )

    def free(self, ports: list[str]) -> dict[str, list[str]]:
        known = [self.fake.ports[one] for one in ports if one in self.fake.ports]
        return {one["id"]: _addresses(one) for one in known if not one["device_id"]}

    def volume(self, name: str) -> str:
        return str(self.fake.volumes[name]["status"])

    def images(self, name: str) -> list[str]:
        return [one["name"] for one in self.fake.pictures.values() if one["name"].startswith(name)]

    def build(self, allowed: bool) -> None:
        self.fake.builds = allowed

    def lock(self, server: str, locked: bool) -> None:
        self.fake.servers[server]["locked"] = locked

    def room(self, more: int | None) -> None:
        self.fake.limit = -1 if more is None else len(self.fake.servers) + more


def _addresses(port: Any) -> list[str]:
    return [port["mac_address"], *(one["ip_address"] for one in port["fixed_ips"])]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecreatingFake]:
    """The services."""
    folder = tmp_path_factory.mktemp("recreation")
    cloud: Cloud = build(folder / "cloud", servers=20)
    with serving(RecreatingFake(cloud, tmp_path_factory.mktemp("account"))) as fake:
        yield fake  # type: ignore[misc]


class TestRecreation(Recreation):
    """Of services in memory."""

    @pytest.fixture
    def site(self, served: RecreatingFake, tmp_path: Path) -> MemorySite:
        """Empty, with a journal of its own."""
        return MemorySite(served, tmp_path)

    @pytest.mark.attack("kills the program when the old server is deleted, and when the new one is made")
    @pytest.mark.parametrize("step", DEADLY)
    def test_killed(self, site: MemorySite, typed: Any, step: int) -> None:
        """What was begun is seen to its end by run resume: one server, whole."""
        assert again(*self.killed(site, typed, step)).status == "ACTIVE"

    @pytest.mark.long
    @pytest.mark.attack("kills the program at every other step of making a server again")
    @pytest.mark.parametrize("step", sorted({*range(STEPS)} - {*DEADLY}))
    def test_killed_at_every_step(self, site: MemorySite, typed: Any, step: int) -> None:
        """As above."""
        assert again(*self.killed(site, typed, step)).status == "ACTIVE"

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda fake, server: server.update({"locked": True}), "it is locked"),
            (lambda fake, server: server.update({"OS-EXT-STS:task_state": "resize_prep"}), "it is busy (resize_prep)"),
            (lambda fake, server: server.update({"OS-EXT-STS:vm_state": "resized"}), "it is resized"),
            (lambda fake, server: server.update({"OS-EXT-STS:vm_state": "rescued"}), "it is rescued"),
            (lambda fake, server: server.update({"OS-EXT-STS:vm_state": "paused"}), "it is paused"),
            (
                lambda fake, server: server.update(
                    {"OS-EXT-STS:vm_state": "shelved_offloaded", "OS-EXT-SRV-ATTR:host": None}
                ),
                "unshelve it first",
            ),
            (lambda fake, server: server.update({"tenant_id": "e" * 32}), "only in the project of the account"),
            (lambda fake, server: server.update({"tags": [f"t{n}" for n in range(50)]}), "it has 50 tags"),
            (lambda fake, server: server.update({"flavor": fake.flavor("own") | {"id": "old"}}), "is deleted"),
            (lambda fake, server: server.update({"flavor": server["flavor"] | {"ram": 65}}), "ram was 65"),
            (lambda fake, server: _port(fake, server).update({"binding:vnic_type": "direct"}), "of the type direct"),
            (
                lambda fake, server: _port(fake, server).update({"resource_request": {"required": []}}),
                "minimum bandwidth",
            ),
            (
                lambda fake, server: _port(fake, server).update({"binding:profile": {"allocation": {}}}),
                "has resources of its host",
            ),
            (lambda fake, server: _port(fake, server).update({"dns_name": "www"}), "has the DNS name www"),
            (lambda fake, server: _port(fake, server).update({"trunk_details": {"x": 1}}), "parent of a trunk"),
            (lambda fake, server: _volume(fake, server).update({"multiattach": True}), "multi-attach"),
            (lambda fake, server: _volume(fake, server).update({"status": "detaching"}), "is detaching"),
        ],
    )
    def test_what_is_not_begun(
        self, site: MemorySite, typed: Any, change: Callable[[RecreatingFake, Any], None], words: str
    ) -> None:
        """Refused, with the reason; nothing is sent."""
        name = site.of_volume()
        change(site.fake, site.the_server(name))
        site.fake.seen.clear()
        code, _, err = typed("server", "recreate", name, "--keep-ports", *CONSENT)
        assert code == Exit.STOPPED, err
        assert words in err
        assert site.fake.changes() == []

    @pytest.mark.attack("lets a port be put on the server after its own were taken from it")
    def test_a_port_that_came_meanwhile_is_not_deleted(self, site: MemorySite, typed: Any) -> None:
        """Nova would delete it with the server: nothing is deleted."""
        name = site.of_image()
        server, late = site.the_server(name), site.fake.new_port()
        parked = list(_ports(site.fake, server))[-1]["id"]
        site.fake.then.clear()
        site.fake.after("PUT", lambda: site.fake.ports[late].update(device_id=server["id"]), f"/ports/{parked}")
        code, _, err = typed("server", "recreate", name, "--keep-ports", *CONSENT)
        assert code == Exit.STOPPED
        assert f"ports is ['{late}'], the plan expects []" in err
        assert server["id"] in site.fake.servers
        assert late in site.fake.ports

    @pytest.mark.attack("loses the answer to the request that makes the new server")
    @pytest.mark.parametrize("how", ["lose", "drop"])
    def test_an_answer_that_was_lost(self, site: MemorySite, typed: Any, how: str) -> None:
        """Never two servers: one that was taken is found by its tag; of another nobody knows, until it goes on."""
        name = site.of_image()
        before = site.shown(name)
        assert before is not None
        deletion = f"/servers/{before.id}/action"
        # its ports are taken from it right before it is deleted, and nothing else is posted until it is made again
        site.fake.then.clear()
        site.fake.after(
            "PUT",
            lambda: site.fake.after("POST", lambda: site.fake.fault("POST", "/v2.1/servers", how), deletion),
            f"/ports/{list(before.ports)[-1]}",
        )
        code, out, err = typed("server", "recreate", name, "--keep-ports", *CONSENT, "-f", "json")
        assert site.fake.faults == []
        assert code == (Exit.REPAIRED if how == "lose" else Exit.IN_DOUBT), err
        if how == "drop":
            assert site.shown(name) is None
            code, _, err = typed("run", "resume", json.loads(out)["run"])
            assert code == Exit.REPAIRED, err
        again(before, site.shown(name))

    def test_the_keypair_of_somebody_else(self, site: MemorySite, typed: Any) -> None:
        """It is lost, and the plan says so before; it is kept where the account has the same under that name."""
        name = site.of_image()
        site.the_server(name)["user_id"] = "somebody"
        site.fake.keys = {"somebody": {"name": "key", "fingerprint": "cc:dd"}, "u": {"name": "key", "fingerprint": "x"}}
        out = " ".join(typed("server", "recreate", name, "--keep-ports")[1].split())
        assert "LOST: its keypair key, which is of user somebody" in out
        assert "LOST: its owner: user somebody before, u afterwards" in out
        site.fake.keys["u"] = dict(site.fake.keys["somebody"])
        out = " ".join(typed("server", "recreate", name, "--keep-ports")[1].split())
        assert "its keypair" not in out
        assert '"key_name": "key"' in out

    def test_a_volume_of_another_type(self, site: MemorySite, typed: Any) -> None:
        """It boots from the volume that is named; the old root disk is kept, and no server's."""
        name = site.of_volume()
        before, volume = site.shown(name), site.fake.new_volume()
        assert before is not None
        root, data = before.volumes
        words = ("server", "recreate", name, "--keep-ports", "--volume", volume)
        site.fake.volumes[volume]["bootable"] = "false"
        assert typed(*words, *CONSENT)[0] == Exit.USAGE
        site.fake.volumes[volume]["bootable"] = "true"
        code, _, err = typed(*words, *CONSENT)
        assert code == Exit.REPAIRED, err
        after = site.shown(name)
        assert after is not None
        assert (after.ports, set(after.volumes)) == (before.ports, {volume, data})
        assert site.volume(root) == "available"
        assert f"openstack volume delete {root}" in err

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("some",), "--keep-ports is missing"),
            (("--keep-ports",), "there is no server named"),
            (("some", "--go-on", "20261129-103453-2be1"), "--go-on takes server and flavor from its run"),
        ],
    )
    def test_what_is_not_understood(self, site: MemorySite, typed: Any, words: tuple[str, ...], told: str) -> None:
        """An error of the user that says what to do."""
        name = site.of_image()
        code, _, err = typed("server", "recreate", *(name if word == "some" else word for word in words))
        assert (code, told in err) == (Exit.USAGE, True), err

    def test_another_run(self, site: MemorySite, typed: Any) -> None:
        """Only one that has recreated a server can go on."""
        code, _, err = typed("server", "recreate", "--go-on", "20261129-103453-2be1")
        assert code == Exit.USAGE, err


def test_projects_are_those_of_the_fake(served: RecreatingFake) -> None:
    """The account of the fake is of the project whose servers it has."""
    _, answer = served.token(None)
    assert answer["token"]["project"]["id"] == OWN


def _ports(fake: RecreatingFake, server: Any) -> Iterator[Any]:
    yield from (port for port in fake.ports.values() if port["device_id"] == server["id"])


def _port(fake: RecreatingFake, server: Any) -> Any:
    return next(_ports(fake, server))


def _volume(fake: RecreatingFake, server: Any) -> Any:
    return fake.volumes[next(iter(server["ends"]))]
