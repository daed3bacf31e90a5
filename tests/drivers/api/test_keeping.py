# SPDX-License-Identifier: Apache-2.0
"""Ports that outlive their servers, of rows that speak HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stackmend.app.objects import keeping
from stackmend.config.settings import Config, load
from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, Server
from stackmend_lab.plants._networks import vifs, write

from .conftest import HandClock
from .fake import Fake, RefusedError
from .keeping import ALL, Keeping, Shown


class FakeSite:
    """The fake."""

    def __init__(self, cloud: Cloud, fake: Fake, toml: Path) -> None:
        self.cloud, self.fake, self.toml = cloud, fake, toml

    def server(self) -> tuple[str, str]:
        server = self.picked()
        (port,) = server.ports
        self.set(server.uuid, hostname="web-1")
        # as Nova names the ports of its servers where Neutron has the extension
        names = {"dns_name": "web-1", "dns_domain": "", "current_dns_name": "", "current_dns_domain": ""}
        self.cloud.insert(
            "neutron", "portdnses", port_id=port, previous_dns_name="", previous_dns_domain="", **names
        )  # fmt: skip
        return server.uuid, port

    def picked(self) -> Server:
        """A server with one port of Nova's making."""
        found = self.cloud.pick("active")
        assert [vif["preserve_on_delete"] for vif in vifs(self.cloud, found)] == [False]
        return found

    def delete(self, server: str) -> None:
        self.fake.delete_server(None, server)

    def lose(self, server: str) -> None:
        database, row = self.fake.server(server)
        self.cloud.update(database, "instances", {"uuid": server}, deleted=row["id"])

    def started_without_nics(self, server: str) -> None:
        database, _ = self.fake.server(server)
        values = {"network_info": "[]", "updated_at": self.cloud.ago(90_000)}
        self.cloud.update(database, "instance_info_caches", {"instance_uuid": server}, **values)
        self.cloud.update("neutron", "ports", {"device_id": server}, status="DOWN")

    def port(self, port: str) -> Shown | None:
        try:
            row = self.fake.port(port)
        except RefusedError:
            return None
        fixed = self.cloud.rows("neutron", "SELECT ip_address FROM ipallocations WHERE port_id = :p", {"p": port})
        addresses = sorted(one["ip_address"] for one in fixed)
        names = self.cloud.rows("neutron", "SELECT dns_name FROM portdnses WHERE port_id = :p", {"p": port})
        return {"id": port, "device_id": row["device_id"], "device_owner": row["device_owner"],
                "host": row["host"] or "", "addresses": addresses,
                "dns_name": names[0]["dns_name"] if names else ""}  # fmt: skip

    def rest(self, server: str) -> None: ...

    def set(self, server: str, **values: Any) -> None:
        self.cloud.update(self.fake.server(server)[0], "instances", {"uuid": server}, **values)


@pytest.fixture
def site(built: Cloud, fake: Fake, config: Config) -> FakeSite:
    """The fake, and the databases that it serves."""
    return FakeSite(built, fake, Path(str(config.origin)))


class TestKeeping(Keeping):
    """On the fake."""

    def test_a_port_that_is_kept_does_not_end(self, site: FakeSite, typed: Any) -> None:
        """Somebody wanted it kept: that has to be taken back first."""
        _, port = site.server()
        assert typed("port", "keep", port, *ALL)[0] == Exit.REPAIRED
        code, _, err = typed("port", "detach", port, "--delete", *ALL)
        assert (code, "port release" in err) == (Exit.STOPPED, True), err
        assert site.port(port) is not None

    def test_a_server_that_is_gone_by_rows(self, site: FakeSite, typed: Any) -> None:
        """As by the API: the name of its server goes with it, and comes back."""
        server, port = site.server()
        site.lose(server)
        before = site.port(port)
        code, out, err = typed("port", "detach", port, *ALL, "--via", "db", "-f", "json")
        assert code == Exit.REPAIRED, err
        after = site.port(port)
        assert after is not None
        assert (after["device_id"], after["dns_name"]) == ("", "")
        assert typed("run", "undo", json.loads(out)["run"], "--yes")[0] == Exit.CLEAN
        assert site.port(port) == before

    @pytest.mark.attack("attaches ports again that the guest still has")
    def test_a_guest_that_has_its_nic(self, site: FakeSite, typed: Any) -> None:
        """An agent has found its interface: attached again, the guest would be without network."""
        server, port = site.server()
        site.started_without_nics(server)
        site.cloud.update("neutron", "ports", {"id": port}, status="ACTIVE")
        before = site.port(port)
        words = ("--check", "info-cache-empty", "--server", server, "--allow-db", "--repair", "reattach-ports")
        code, out, err = typed("plan", "create", *words, "-f", "json")
        assert code == Exit.FINDINGS, err
        (left,) = json.loads(out)["not_repaired"]
        assert f"port {port} is ACTIVE on" in left["reason"]
        assert f"'stackmend server recreate {server} --keep-ports'" in left["reason"]
        assert site.port(port) == before

    @pytest.mark.attack("takes a port from a server that Nova is at work on")
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"task_state": "rebuilding"}, "is busy"),
            ({"vm_state": "rescued"}, "is rescued"),
            ({"vm_state": "shelved_offloaded"}, "is shelved_offloaded"),
            ({"vm_state": "soft-delete"}, "is soft-delete"),
        ],
        ids=lambda found: next(iter(found.values())) if isinstance(found, dict) else "",
    )
    def test_a_server_that_is_not_at_rest(self, site: FakeSite, typed: Any, values: Shown, words: str) -> None:
        """Refused, and nothing is sent."""
        server, port = site.server()
        assert typed("port", "keep", port, *ALL)[0] == Exit.REPAIRED
        before = site.port(port)
        site.set(server, **values)
        code, _, err = typed("port", "detach", port, *ALL)
        site.set(server, vm_state="active", task_state=None)
        assert (code, words in err) == (Exit.STOPPED, True), err
        assert site.port(port) == before


class Overwriting(HandClock):
    """A clock in whose first pause a refresh that read the old cache writes it."""

    def __init__(self, then: Any) -> None:
        super().__init__()
        self.then = [then]

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        if self.then:
            self.then.pop()()
        super().sleep(seconds)


def healing(site: FakeSite, seconds: int) -> Config:
    """The same cloud, with Nova's healer set."""
    nova = site.toml.parent / "nova.conf"
    nova.write_text(f"[DEFAULT]\nheal_instance_info_cache_interval = {seconds}\n", encoding="utf-8")
    site.toml.write_text(site.toml.read_text() + f'\n[files]\nnova = "{nova}"\n', encoding="utf-8")
    return load(str(site.toml))


def flagged(site: FakeSite, server: Server, kept: bool) -> None:
    """Write the flag of a server's only port."""
    (vif,) = vifs(site.cloud, server)
    write(site.cloud, server, json.dumps([{**vif, "preserve_on_delete": kept}]))


@pytest.mark.attack("writes the old cache back: a refresh that was under way had read it")
def test_a_value_that_does_not_hold(site: FakeSite) -> None:
    """It is seen at the next look, and said."""
    config, server = healing(site, 60), site.picked()
    flagged(site, server, kept=True)
    clock = Overwriting(lambda: flagged(site, server, kept=False))
    found = keeping.hold(config, server.ports[0], True, clock=clock)
    assert (found.holds, found.now, found.server) == (False, False, server.uuid)
    assert len(clock.slept) == 1


def test_a_value_that_nova_has_refreshed(site: FakeSite) -> None:
    """A refresh that writes what was written has read it: there is nothing more to wait for."""
    config, server = healing(site, 60), site.picked()
    flagged(site, server, kept=True)

    def refresh() -> None:
        where = {"instance_uuid": server.uuid}
        site.cloud.update(server.database, "instance_info_caches", where, updated_at=site.cloud.ago(-5))

    clock = Overwriting(refresh)
    found = keeping.hold(config, server.ports[0], True, clock=clock)
    assert (found.holds, found.refreshed) == (True, True)
    assert len(clock.slept) == 1


@pytest.mark.parametrize(("interval", "waited"), [(60, 120.0), (7, 14.0), (0, 0.0), (-1, 0.0)])
def test_how_long_is_looked(site: FakeSite, interval: int, waited: float) -> None:
    """Two intervals of the healer, whatever else is on the host; not at all where it is off."""
    config, server = healing(site, interval), site.picked()
    flagged(site, server, kept=True)
    clock = HandClock()
    found = keeping.hold(config, server.ports[0], True, clock=clock)
    assert (found.holds, found.waited, found.is_configured) == (True, waited, True)
    assert max(clock.slept, default=0.0) <= 5.0


def test_a_cache_that_was_emptied(site: FakeSite) -> None:
    """Then nothing says that the port is kept: it did not hold."""
    config, server = healing(site, 60), site.picked()
    flagged(site, server, kept=True)
    clock = Overwriting(lambda: write(site.cloud, server, "[]"))
    found = keeping.hold(config, server.ports[0], True, clock=clock)
    assert (found.holds, found.now) == (False, None)
