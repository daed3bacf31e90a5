# SPDX-License-Identifier: Apache-2.0
"""Ports that are reserved, and addresses that are recovered: the same tests on rows that speak HTTP and on Neutron."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from stackmend.app.apis import SystemClock
from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.session import ApiSession
from stackmend.model.errors import Exit
from stackmend.model.operations.reserved_ports import DropReserved, ReservePort
from stackmend.model.protocols import Session
from stackmend.model.step import StepState

from ...support.carried_out import carried_out
from ...support.meanwhile import Meanwhile
from .typed import Typed

MARK = "reserved by stackmend, "
Shown = dict[str, Any]


class Place(Protocol):
    """A network with a subnet."""

    network: str
    subnet: str
    gateway: str
    project: str  #: whose ports are made there


class Site(Protocol):
    """Neutron, and an account of it."""

    toml: Path
    domain: str  #: in which Neutron names ports

    def account(self) -> tuple[str, Path]:
        """(name of the cloud, its clouds.yaml)."""
        ...

    def place(self) -> Place: ...
    def nearly_full(self, left: int) -> tuple[Place, str]:
        """A small subnet that has so many free addresses, and one of these."""
        ...

    def hold(self, place: Place, address: str, owner: str = "", device: str = "") -> str:
        """Let a port have an address; its id."""
        ...

    def free(self, port: str) -> None: ...
    def give(self, port: str) -> None:
        """Put a port on a server."""
        ...

    def ports(self, place: Place) -> list[Shown]: ...
    def allow(self, place: Place, ports: int | None) -> None:
        """Let the quota leave room for so many ports more; None: for any number."""
        ...

    def an_address(self, place: Place) -> str:
        """One that nobody has, outside the allocation pool where there is one."""
        ...


def addresses(port: Shown) -> list[str]:
    """Those of a port."""
    return sorted(one["ip_address"] for one in port["fixed_ips"])


def having(site: Site, place: Place, address: str) -> list[Shown]:
    """Ports with an address."""
    return [port for port in site.ports(place) if address in addresses(port)]


def reserved(site: Site, place: Place) -> list[Shown]:
    """Ports that a reservation has made."""
    return [port for port in site.ports(place) if str(port["description"]).startswith(MARK)]


class Reservations(Typed):
    """What holds on each; ``site`` is a fixture of its own."""

    def test_an_address_that_was_just_freed(self, site: Site, typed: Any) -> None:
        """A port of the project has it; twice is refused, with who has it; undo gives it up."""
        place = site.place()
        address = site.an_address(place)
        site.free(site.hold(place, address))
        words = ("port", "recover-ip", address, "--network", place.network, "--project", place.project)
        code, out, err = typed(*words)
        assert (code, having(site, place, address)) == (Exit.FINDINGS, []), err
        assert "nothing was changed" in err
        code, out, err = typed(*words, "--yes", "-f", "json")
        assert code == Exit.REPAIRED, err
        (port,) = having(site, place, address)
        assert (port["project_id"], port["device_id"], port["name"]) == (place.project, "", f"recovered-{address}")
        code, _, err = typed(*words)
        assert code == Exit.STOPPED
        assert f"{address} is taken: port {port['id']}" in err
        assert f"openstack server create --port {port['id']}" in err
        assert typed("run", "undo", json.loads(out)["run"], "--yes")[0] == Exit.CLEAN
        assert having(site, place, address) == []

    @pytest.mark.parametrize(
        ("owner", "words"),
        [
            ("network:dhcp", "a DHCP server of the network"),
            ("network:router_ha_interface", "an HA router's own address"),
            ("compute:nova", "of server"),
        ],
    )
    def test_an_address_that_somebody_has(self, site: Site, typed: Any, owner: str, words: str) -> None:
        """Refused, with who it is; nothing is made."""
        place = site.place()
        address = site.an_address(place)
        device = "" if owner.startswith("network:") else "0d0e4f6a-6a4d-4d9e-9d0c-6f3b8f0f2a11"
        port = site.hold(place, address, owner, device)
        try:
            asked = ("port", "recover-ip", address, "--network", place.network, "--project", place.project)
            code, _, err = typed(*asked, "--yes")
            assert code == Exit.STOPPED
            assert f"{address} is taken" in err
            assert words in err
            assert port in err
            assert reserved(site, place) == []
        finally:
            site.free(port)

    def test_an_address_that_no_server_may_have(self, site: Site, typed: Any) -> None:
        """The gateway of the subnet is no address of a server."""
        place = site.place()
        code, _, err = typed("port", "recover-ip", place.gateway, "--network", place.network, "--yes")
        assert (code, "is the gateway of subnet" in err) == (Exit.STOPPED, True), err

    def test_a_port_is_reserved(self, site: Site, typed: Any) -> None:
        """By address and by name, for a project; undo deletes it."""
        place = site.place()
        address = site.an_address(place)
        words = ("--network", place.network, "--name", "web-1", "--project", place.project, "--fixed-ip", address)
        code, out, err = typed("port", "reserve", *words, "--yes", "-f", "json")
        assert code == Exit.REPAIRED, err
        (port,) = reserved(site, place)
        assert (port["name"], port["project_id"], addresses(port)) == ("web-1", place.project, [address])
        assert typed("run", "undo", json.loads(out)["run"], "--yes")[0] == Exit.CLEAN
        assert reserved(site, place) == []

    def test_a_dns_name(self, site: Site, typed: Any) -> None:
        """The port has it, which is looked at; a second port with it is told of; undo deletes the port."""
        place = site.place()
        name = f"Web-1.{site.domain}"
        asked = ("port", "reserve", "--network", place.network, "--name", name)
        code, out, err = typed(*asked)
        assert code == Exit.FINDINGS, err
        assert "must have the hostname web-1" in " ".join(out.split())
        code, out, err = typed(*asked, "--yes", "-f", "json")
        assert code == Exit.REPAIRED, err
        (port,) = reserved(site, place)
        assert (port["name"], port["dns_name"]) == (name, "web-1")
        code, shown, _ = typed(*asked)
        assert f"port {port['id']} has this name as well" in " ".join(shown.split())
        assert typed("run", "undo", json.loads(out)["run"], "--yes")[0] == Exit.CLEAN
        assert reserved(site, place) == []

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("web-1.elsewhere.org", "Neutron would call it web-1."),
            ("web_1.example.org", "is not a DNS name"),
            ("web-1.", "Neutron would call it web-1."),
        ],
    )
    def test_a_name_that_no_port_can_have(self, site: Site, typed: Any, name: str, words: str) -> None:
        """Refused, with the name that Neutron would make of it; nothing is made."""
        place = site.place()
        code, _, err = typed("port", "reserve", "--network", place.network, "--name", name, "--yes")
        assert (code, words in err) == (Exit.USAGE, True), err
        assert reserved(site, place) == []

    def test_a_port_that_a_server_has_got_is_not_taken_back(self, site: Site, typed: Any) -> None:
        """Undo leaves it, and says so."""
        place = site.place()
        code, out, err = typed("port", "reserve", "--network", place.network, "--yes", "-f", "json")
        assert code == Exit.REPAIRED, err
        (port,) = reserved(site, place)
        site.give(port["id"])
        code, out, err = typed("run", "undo", json.loads(out)["run"], "--yes")
        assert code not in (Exit.CLEAN, Exit.REPAIRED)
        assert [one["id"] for one in reserved(site, place)] == [port["id"]]
        site.free(port["id"])

    @pytest.mark.attack("puts a reserved port on a server between the last look at it and its deletion")
    def test_a_port_that_a_server_gets_at_the_last_moment(self, site: Site) -> None:
        """Neutron refuses: it is the server's now, and nothing is lost."""
        place = site.place()
        made = ReservePort(reservation="reserved for a test", network=place.network, name="one", project=place.project)
        drop = DropReserved(reservation=made.reservation, network=place.network).made()
        session = ApiSession.open(*site.account())
        try:
            assert carried_out(ApiExecutor(lambda: session, SystemClock()), made.call()).state is StepState.DONE
            (port,) = [one for one in site.ports(place) if one["description"] == made.reservation]
            meanwhile = Meanwhile(session, "DELETE", lambda: site.give(port["id"]))
            executor = ApiExecutor(lambda: cast("Session", meanwhile), SystemClock())
            outcome = carried_out(executor, drop)
            assert outcome.state is StepState.STALE, outcome.note
            assert "device_id is" in outcome.note
            assert "Constrained to" in outcome.note
            assert port["id"] in {one["id"] for one in site.ports(place)}
            assert carried_out(executor, replace(drop, expect={})).state is StepState.DONE
            assert port["id"] not in {one["id"] for one in site.ports(place)}
        finally:
            session.close()

    def test_drawn_until_it_is_there(self, site: Site, typed: Any) -> None:
        """A subnet that is nearly full gives it sooner or later; of all ports that were made it is the one left."""
        place, address = site.nearly_full(4)
        asked = ("port", "recover-ip", address, "--network", place.network, "--project", place.project)
        code, out, err = typed(*asked, "--max-ports", "6", "--yes", "-f", "json")
        assert code == Exit.REPAIRED, err
        assert [addresses(port) for port in reserved(site, place)] == [[address]]
        code, out, err = typed("run", "undo", json.loads(out)["run"], "--yes")
        assert code == Exit.CLEAN, err
        assert reserved(site, place) == []

    def test_no_more_than_the_quota_has_room_for(self, site: Site, typed: Any) -> None:
        """Fewer ports than were allowed, none where there is no room; whatever comes of it, no other port is left."""
        place, address = site.nearly_full(4)
        asked = ("port", "recover-ip", address, "--network", place.network, "--project", place.project)
        try:
            site.allow(place, 2)
            code, _, err = typed(*asked, "--max-ports", "6", "--yes")
            assert code in (Exit.REPAIRED, Exit.STOPPED, Exit.IN_DOUBT), err
            left = [addresses(port) for port in reserved(site, place)]
            assert left == ([[address]] if code == Exit.REPAIRED else [])
            for port in reserved(site, place):
                site.free(port["id"])
            site.allow(place, 0)
            code, _, err = typed(*asked, "--yes")
            assert code == Exit.STOPPED
            assert "leaves no room for one more port" in err
        finally:
            site.allow(place, None)

    @pytest.mark.attack("kills the program while it makes ports to find an address")
    def test_killed_in_the_middle(self, site: Site, typed: Any) -> None:
        """What it has made is cleared away by run resume, and the address is kept."""
        place, address = site.nearly_full(6)
        asked = ["port", "recover-ip", address, "--network", place.network, "--project", place.project]
        line = [sys.executable, "-m", "stackmend", "--config", str(site.toml), *asked, "--max-ports", "8", "--yes"]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ))
        try:
            while process.poll() is None and not reserved(site, place):
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
        code, out, _ = typed("run", "list", "-f", "json")
        run = json.loads(out)[0]["id"]
        code, _, err = typed("run", "resume", run)
        assert code in (Exit.REPAIRED, Exit.CLEAN), err
        assert [addresses(port) for port in reserved(site, place)] == [[address]]
        assert typed("run", "undo", run, "--yes")[0] == Exit.CLEAN
        assert reserved(site, place) == []
