# SPDX-License-Identifier: Apache-2.0
"""Neutron's own tool as a second witness: it names what the checks find, and nothing else of that kind."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackmend.app import audits
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.tables.outside.ovn import SERVICE
from stackmend_lab.cloud import build

from ..support import ovn_servers
from . import ovn_mirror, ovn_plants
from .ovn_mirror import Mirror

SERVICES = Path(os.environ.get("STACKMEND_SERVICES", Path(__file__).parents[2] / ".services")).absolute()
TOOL = SERVICES / "bin" / "neutron-ovn-db-sync-util"
OBJECTS = ("ovn-object-missing", "ovn-object-orphan")
#: what it logs of an object that one side lacks
_MISSING = re.compile(r"(Port|Network|Router) found in Neutron but not in OVN NB DB, \w+[ _]id=([-0-9a-f]{36})")
_ORPHAN = re.compile(
    r"(Port|Network|Router) found in OVN NB DB but not in Neutron, \w+[ _]id=(?:neutron-)?([-0-9a-f]{36})"
)

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="the services are not installed: scripts/setup.sh services")


@dataclass
class Place:
    """A cloud with its OVN, and the configuration of Neutron for both."""

    mirror: Mirror
    folder: Path
    config: Config

    def sync(self, mode: str) -> str:
        """What Neutron's tool logs."""
        words = [str(TOOL), "--config-file", str(self.folder / "neutron.conf"), "--ovn-neutron_sync_mode", mode]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout + done.stderr

    def look(self, *checks: str) -> set[tuple[str, str, str]]:
        """(check, code, id) of each finding."""
        report = audits.audit(self.config, checks=checks, settle=0, outside={SERVICE: ()})
        assert report.incomplete == {}
        return {(one.check, str(one.evidence["code"]), str(one.resource_id)) for one in report.findings}


@pytest.fixture
def place() -> Iterator[Place]:
    """A small cloud of its own, since the tool also writes to Neutron's database."""
    if why := ovn_servers.why_not():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="ovn") as name:
        folder = Path(name)
        cloud = build(folder / "cloud", servers=80, seed=17, hosts=4)
        ovn_mirror.record(cloud)
        with ovn_servers.begun(folder) as ovn:
            mirror = Mirror(cloud, ovn)
            mirror.fill()
            places = f'[ovn]\nnorthbound = "{ovn.northbound.remote}"\nsouthbound = "{ovn.southbound.remote}"\n'
            (folder / "stackmend.toml").write_text(f"{cloud.toml()}{places}")
            (folder / "neutron.conf").write_text(_neutron(mirror, folder))
            yield Place(mirror, folder, load(str(folder / "stackmend.toml")))
        cloud.close()


def _neutron(mirror: Mirror, folder: Path) -> str:
    ovn = mirror.ovn
    return f"""[DEFAULT]
core_plugin = ml2
service_plugins = ovn-router
transport_url = fake://
state_path = {folder}
[oslo_concurrency]
lock_path = {folder}
[database]
connection = {mirror.cloud.databases["neutron"]}
[ml2]
mechanism_drivers = ovn
type_drivers = local,geneve,vxlan,vlan,flat
extension_drivers = port_security
[ml2_type_geneve]
vni_ranges = 1:100
max_header_size = 38
[ovn]
ovn_nb_connection = {ovn.northbound.remote}
ovn_sb_connection = {ovn.southbound.remote}
"""


def _named(log: str) -> set[tuple[str, str, str]]:
    patterns = zip(OBJECTS, (_MISSING, _ORPHAN), strict=True)
    return {(check, kind.lower(), name) for check, pattern in patterns for kind, name in pattern.findall(log)}


def test_neutrons_own_tool_names_the_same_objects(place: Place) -> None:
    """In the mode that only logs it names each object that is missing or too much, no other; nothing in OVN changes.

    Nothing is said of a port whose status differs: for that there is a check of its own.
    """
    mirror = place.mirror
    assert _named(place.sync("log")) == place.look(*OBJECTS) == set()
    keys = {
        (check, str(key["code"]), str(key["resource"]))
        for check in OBJECTS
        for key in (plants[0](mirror) for plants in ovn_plants.PLANTS[check].values())
    }
    status = ovn_plants.down_in_neutron(mirror)["port"]
    before = mirror.ovn.dump()
    log = place.sync("log")
    assert mirror.ovn.dump() == before
    assert _named(log) == place.look(*OBJECTS) == keys
    assert place.look("ovn-port-status-drift") == {("ovn-port-status-drift", "up", status)}


def test_its_log_mode_writes_to_neutrons_database(place: Place) -> None:
    """It starts ML2 with the configuration it is given, which makes the table of free segments anew: the page warns."""
    cloud = place.mirror.cloud
    count = "SELECT COUNT(*) AS n FROM ml2_geneve_allocations"
    assert cloud.rows("neutron", count) == [{"n": 0}]
    place.sync("log")
    assert cloud.rows("neutron", count) == [{"n": 100}]


def test_it_takes_the_switches_of_segments_for_those_of_no_network(place: Place) -> None:
    """What it logs so, it deletes in repair: every finding that names this mode warns of it. No check finds them."""
    mirror = place.mirror
    conf = place.folder / "neutron.conf"
    conf.write_text(f"{conf.read_text()}logical_switch_per_vlan_segment = true\n")
    ovn_plants.switches_of_segments(mirror)
    (segment,) = mirror.cloud.rows("neutron", "SELECT id FROM networksegments WHERE physical_network = 'rack1'")
    assert place.look() == set()
    assert ("ovn-object-orphan", "network", segment["id"]) in _named(place.sync("log"))
    naming = [one for one in catalogue.every_check().values() if "sync_mode repair" in one.by_hand]
    assert {one.name for one in naming} == {"ovn-db-drift", *OBJECTS}
    assert all("logical_switch_per_vlan_segment" in one.by_hand for one in naming)


#: whether an event goes to every worker, or to the one that the hash ring names: of an agent, and of a port
_RING = """
from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import ovsdb_monitor
for event in (ovsdb_monitor.ChassisAgentEvent, ovsdb_monitor.LogicalSwitchPortCreateEvent):
    print(getattr(event, "GLOBAL", False))
"""


def test_a_worker_sets_the_status_of_its_share_of_the_ports() -> None:
    """The event of a port is for one worker of the hash ring, not for each: a restart of one is not enough."""
    words = [str(SERVICES / "bin" / "python"), "-W", "ignore", "-c", _RING]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.returncode) == (["True", "False"], 0), done.stderr
    assert "its share" in " ".join(catalogue.every_check()["ovn-port-status-drift"].by_hand.split())
