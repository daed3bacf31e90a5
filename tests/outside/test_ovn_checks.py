# SPDX-License-Identifier: Apache-2.0
"""Checks of OVN: every way in which it differs from Neutron is found alone, and what looks so is not."""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import audits, snapshots
from stackmend.cli.shell import main
from stackmend.config.ovn import OvnSettings
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import Report
from stackmend.model.errors import ConfigError, Exit
from stackmend.model.finding import State
from stackmend.tables.outside import services
from stackmend.tables.outside.ovn import SERVICE
from stackmend_lab.cloud import Cloud, build

from ..support import ovn_servers
from . import ovn_mirror
from .ovn_mirror import Mirror, port, switch
from .ovn_plants import (
    LOOK_ALIKES,
    PLANTS,
    Alike,
    Plant,
    down_in_neutron,
    gateway_gone,
    ha_chassis_gone,
    port_lost,
    restored_port,
)

CHECKS = tuple(name for name, check in catalogue.outside_checks().items() if SERVICE in services(check.reads))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose Neutron has recorded everything for OVN."""
    if why := ovn_servers.why_not():
        pytest.skip(why)
    cloud = build(tmp_path_factory.mktemp("ovn") / "cloud", servers=80, seed=17, hosts=4)
    ovn_mirror.record(cloud)
    cloud.save()
    yield cloud
    cloud.close()


@pytest.fixture
def mirror(built: Cloud) -> Iterator[Mirror]:
    """It, with a real OVN that has all of it."""
    built.reset()
    with tempfile.TemporaryDirectory(prefix="ovn") as name, ovn_servers.begun(Path(name)) as ovn:
        found = Mirror(built, ovn)
        found.fill()
        yield found


@pytest.fixture
def config(mirror: Mirror, tmp_path: Path) -> Config:
    """Databases, and where OVN is."""
    path = tmp_path / "stackmend.toml"
    ovn = mirror.ovn
    places = f'[ovn]\nnorthbound = "{ovn.northbound.remote}"\nsouthbound = "{ovn.southbound.remote}"\n'
    path.write_text(f'{mirror.cloud.toml()}[state]\ndirectory = "{tmp_path}/state"\n{places}'
                    if "[state]" not in mirror.cloud.toml() else f"{mirror.cloud.toml()}{places}")  # fmt: skip
    return load(str(path))


def look(config: Config, *checks: str, **more: Any) -> Report:
    """An audit of these checks, or of all that read OVN."""
    return audits.audit(config, checks=checks or CHECKS, settle=0, **{"outside": {SERVICE: ()}, "young": True, **more})


def found(report: Report) -> list[tuple[str, dict[str, Any]]]:
    """(check, key) of each finding; every check must have an answer."""
    assert report.incomplete == {}
    return [(finding.check, dict(finding.key)) for finding in report.findings]


def test_every_code_has_a_plant() -> None:
    """Each check is shown on a real OVN, with every code it has."""
    codes = {name: set(catalogue.outside_checks()[name].codes) for name in CHECKS}
    assert {check: set(some) for check, some in PLANTS.items()} == codes


def test_an_ovn_that_is_as_neutron_is_has_no_finding(config: Config) -> None:
    """Every check answers, and finds nothing."""
    report = look(config)
    assert found(report) == []
    assert report.exit is Exit.CLEAN


CASES = [
    pytest.param(check, code, make, id=f"{check}:{make.__name__}")
    for check, codes in PLANTS.items()
    for code, some in codes.items()
    for make in some
]


@pytest.mark.parametrize(("check", "code", "make"), CASES)
def test_each_damage_is_found_and_nothing_else(
    mirror: Mirror, config: Config, check: str, code: str, make: Plant
) -> None:
    """All checks of OVN run: the one finding is the damage, and nothing in OVN changes by looking."""
    key = make(mirror)
    before = mirror.ovn.dump()
    report = look(config)
    wanted = [(check, key)]
    if code == "twice":  # the other one is found, too
        (row,) = [one for one in report.findings if dict(one.key) != key]
        assert row.evidence["host"] == report.findings[0].evidence["host"]
        wanted.append((check, dict(row.key)))
    assert sorted(found(report), key=str) == sorted(wanted, key=str)
    assert {finding.evidence["code"] for finding in report.findings} == {code}
    assert {finding.state for finding in report.findings} == {State.CONFIRMED}
    assert mirror.ovn.dump() == before


def test_what_ovn_explains_is_said_once(mirror: Mirror, config: Config) -> None:
    """A port that is DOWN for a lost event is one finding, of OVN, and none of the agents that may be to blame."""
    key = down_in_neutron(mirror)
    alone = audits.audit(config, checks=("port-status-drift",), settle=0)
    assert [finding.key["port"] for finding in alone.findings] == [key["port"]]
    (both,) = look(config, "port-status-drift", "ovn-port-status-drift").findings
    assert (both.check, both.key["port"], both.explains) == ("ovn-port-status-drift", key["port"], 1)


@pytest.mark.parametrize("make", LOOK_ALIKES.values(), ids=list(LOOK_ALIKES))
def test_what_looks_like_damage_is_left_alone(mirror: Mirror, config: Config, make: Alike) -> None:
    """Every check answers, and finds nothing."""
    make(mirror)
    assert found(look(config)) == []


def test_nothing_is_concluded_from_an_ovn_of_another_cloud(mirror: Mirror, config: Config) -> None:
    """An empty OVN, and one of other ports, are not believed: no finding, every check incomplete, with the numbers."""
    with tempfile.TemporaryDirectory(prefix="ovn") as name, ovn_servers.begun(Path(name)) as other:
        at = OvnSettings(northbound=other.northbound.remote, southbound=other.southbound.remote)
        empty = look(replace(config, ovn=at))
        assert empty.findings == ()
        assert set(empty.incomplete) == set(CHECKS)
        assert all("it has 0 of the" in why for why in empty.incomplete.values())
        assert empty.exit is Exit.INCOMPLETE
        foreign = Mirror(mirror.cloud, other)
        words = [word for number in range(200) for word in port(_foreign(foreign, number))]
        foreign.fill()
        foreign.nb(*switch(_FOREIGN), *words)
        many = look(replace(config, ovn=at))
        assert many.findings == ()
        assert all("another cloud's, or is Neutron's an old copy" in why for why in many.incomplete.values())


_FOREIGN = "5f0d0c3a-0000-4000-8000-000000000001"


def _foreign(mirror: Mirror, number: int) -> dict[str, Any]:
    return {
        "id": mirror.new_id(), "network_id": _FOREIGN, "name": f"p{number}", "device_id": "", "device_owner": "",
        "project_id": "", "revision_number": 1, "admin_state_up": True, "host": "", "mac_address": "02:00:00:00:00:01",
    }  # fmt: skip


@pytest.mark.parametrize("side", ["northbound", "southbound"])
def test_half_an_ovn_is_none(mirror: Mirror, config: Config, side: str) -> None:
    """One database that does not answer leaves every check without an answer, which is named."""
    port_lost(mirror)
    getattr(mirror.ovn, side).close()
    report = look(config)
    assert report.findings == ()
    assert set(report.incomplete) == set(CHECKS)
    remote = getattr(mirror.ovn, side).remote
    assert all(remote in why for why in report.incomplete.values())


def test_without_an_ovn_its_checks_are_silent(config: Config) -> None:
    """An audit that does not read OVN runs none of them; that OVN could be read is said where one is configured."""
    report = audits.audit(config, checks=(), about=("nobody",), settle=0)
    assert not set(CHECKS) & set(report.checks)
    assert any("OVN's databases were not read" in note and "--ovn" in note for note in report.notes)
    alone = audits.audit(replace(config, ovn=None), checks=(), about=("nobody",), settle=0)
    assert not any("OVN" in note for note in alone.notes)
    with pytest.raises(ConfigError, match="no OVN is configured"):
        look(replace(config, ovn=None))


def test_a_snapshot_has_what_was_read_of_ovn(mirror: Mirror, config: Config, tmp_path: Path) -> None:
    """Made with --ovn, it is audited later, after OVN has ended; its findings are candidates."""
    key = port_lost(mirror)
    folder = tmp_path / "snapshot"
    snapshots.create(config, into=str(folder), outside={SERVICE: ()})
    mirror.ovn.northbound.close()
    report = audits.audit(config, checks=CHECKS, snapshot=str(folder))
    assert found(report) == [("ovn-object-missing", key)]
    assert report.findings[0].state is State.CANDIDATE


def test_the_command_says_what_to_do(mirror: Mirror, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """audit --ovn lists the finding; its page names Neutron's tool, the mode that changes nothing first."""
    key = port_lost(mirror)
    words = [
        "--config",
        config.origin,
        "audit",
        "--ovn",
        "--settle",
        "0",
        "-f",
        "json",
        "--check",
        "ovn-object-missing",
    ]
    assert main(words) == Exit.FINDINGS
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["check"], row["key"]) == ("ovn-object-missing", key)
    by_hand = catalogue.outside_checks()["ovn-object-missing"].by_hand
    assert by_hand.index("sync_mode log") < by_hand.index("sync_mode repair")


def test_the_number_of_a_revision_is_set_as_the_plan_says(mirror: Mirror, config: Config) -> None:
    """The command for a revision that is ahead, run as it is printed: then nothing is found any more."""
    restored_port(mirror)
    (finding,) = look(config).findings
    said = catalogue.outside_checks()["ovn-revision-ahead"].by_hand.format_map(finding.evidence)
    command = said.partition("ovn-nbctl ")[2].partition(", then")[0]
    mirror.ovn.nb(*shlex.split(command))
    assert found(look(config)) == []


def test_a_chassis_is_taken_from_its_gateways_as_the_finding_says(mirror: Mirror, config: Config) -> None:
    """The commands for a chassis that is gone, run as they are printed: they find who has it, and then nothing does."""
    for make in (gateway_gone, ha_chassis_gone):
        make(mirror)
        (finding,) = look(config).findings
        said = catalogue.outside_checks()["ovn-chassis-stale"].by_hand.format_map(finding.evidence)
        listed, named, taken = (shlex.split(one) for one in re.findall(r"ovn-nbctl ([^;]*)", said))
        assert mirror.ovn.quiet(*listed).count("_uuid") == 1
        owner = mirror.ovn.quiet(*named).strip()
        mirror.ovn.nb(*(owner if word in ("PORT", "GROUP") else word for word in taken))
        assert found(look(config)) == []


def test_a_chassis_that_gateways_and_groups_count_on_is_taken_from_both(mirror: Mirror, config: Config) -> None:
    """One finding with a way for each, and each with a row of its own table."""
    gateway_gone(mirror)
    mirror.nb("ha-chassis-group-add", "g", "--", "ha-chassis-group-add-chassis", "g", "gone", "1")
    (finding,) = look(config).findings
    assert finding.evidence["where"] == "Gateway_Chassis, HA_Chassis"
    for table, column in (("Logical_Router_Port", "gateway_chassis"), ("HA_Chassis_Group", "ha_chassis")):
        named = re.search(rf"find {table} '({column}.*?)'", str(finding.evidence["way"]))
        assert named is not None
        assert mirror.ovn.quiet("--bare", "--columns=name", "find", table, named[1]).strip()
