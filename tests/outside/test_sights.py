# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a finding on hypervisors, without any: domains as libvirt shows them."""

from __future__ import annotations

import pytest

from stackmend.cloud.evidence.sights import disk, guest, nic, unproved, whereabouts
from stackmend.engine.auditing import catalogue
from stackmend.model.finding import Says
from stackmend.model.objects.facts import Domain, DomainDisk, Interface
from stackmend.model.sight import HostLook, Seen, Sighted

SERVER = "5e1f0000-0000-4000-8000-000000000001"
OTHER = "5e1f0000-0000-4000-8000-000000000002"
VOLUME = "0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10"
PORT = "5743a410-0017-400b-8000-0000000008c8"
AT = "2026-11-30 03:12:00"
ROW = {"server": SERVER, "host": "c1", "found_host": "c2", "launched_on": "c2", "volume": VOLUME, "port": PORT}


def domain(
    state: str = "running",
    *,
    uuid: str = SERVER,
    disks: tuple[DomainDisk, ...] = (),
    nics: tuple[Interface, ...] = (),
) -> Domain:
    """One as libvirt shows it."""
    off = state in ("shutoff", "crashed")
    return Domain(uuid=uuid, name="x", state=state, id=None if off else 7, disks=disks, interfaces=nics)


def hosts(**domains: Domain | str | None) -> Sighted:
    """Hypervisors, each with one domain, none, or the reason why it could not be read."""
    return Sighted(
        {
            host: HostLook(host=host, end=AT, problem=one)
            if isinstance(one, str)
            else HostLook(host=host, end=AT, domains=(one,) if one else ())
            for host, one in domains.items()
        }
    )


@pytest.mark.parametrize(
    ("seen", "says", "part"),
    [
        (hosts(c1=domain(), c2=None), Says.CONTRADICTS, "runs on c1, as Nova says"),
        (hosts(c1=domain(), c2="no route"), Says.UNKNOWN, "whether also on c2 is unknown"),
        (hosts(c1=domain()), Says.UNKNOWN, "whether also on c2 is unknown"),
        (hosts(c1=domain(), c2=domain()), Says.UNKNOWN, "c1 and c2 at once"),
        (hosts(c1=domain(), c2=domain("shutoff")), Says.CONTRADICTS, "runs on c1"),
        (hosts(c1=None, c2=domain()), Says.SUPPORTS, "runs on c2"),
        (hosts(c1="no route", c2=domain()), Says.SUPPORTS, "runs on c2; whether also on c1 is unknown"),
        (hosts(c1=None, c2=domain("paused")), Says.SUPPORTS, "runs on c2"),
        (hosts(c1=None, c2=None, c3=domain()), Says.SUPPORTS, "runs on c3"),
        (hosts(c1=domain("shutoff"), c2=None), Says.UNKNOWN, ""),
        (hosts(c1=None, c2=None), Says.UNKNOWN, ""),
        (hosts(c1="no route", c2="no route"), Says.UNKNOWN, ""),
    ],
)
def test_only_a_guest_that_runs_decides_where_a_server_is(seen: Sighted, says: Says, part: str) -> None:
    """And only together with a complete look at the host that it is said to be on."""
    witness = whereabouts("found_host").witness(ROW, seen)
    assert (witness.says, part in witness.reason) == (says, True)
    assert len(witness.lines) >= 2


def test_a_line_a_host_with_its_time_and_what_was_not_seen() -> None:
    """What was read, what failed, and what nobody asked for are three different things."""
    witness = whereabouts("found_host").witness(ROW, hosts(c1=domain("blocked"), c2="libvirt does not answer"))
    assert witness.lines == (
        f"on c1, read at {AT} UTC: its domain is running",
        "c2 could not be seen: libvirt does not answer",
    )
    assert dict(witness.seen) == {"c1": "its domain is running"}
    assert (
        whereabouts("found_host").witness(ROW, hosts(c1=None)).lines[1] == "c2 could not be seen: it was not asked for"
    )


def test_a_server_is_proved_by_its_guest() -> None:
    """Launched elsewhere, and no record tells how it came: it runs there, and not where it was launched."""
    sight = unproved("launched_on")
    assert sight.witness(ROW, hosts(c1=domain(), c2=None)).says is Says.CONTRADICTS
    assert sight.witness(ROW, hosts(c1=domain())).says is Says.UNKNOWN
    assert sight.witness(ROW, hosts(c1=None, c2=domain())).says is Says.UNKNOWN


def test_a_volume_is_known_by_its_serial_or_its_name() -> None:
    """Libvirt shows the first for what Nova attached, the second for root disks of old releases."""
    serial = DomainDisk(target="vdb", source="/dev/dm-3", kind="block", serial=VOLUME.upper())
    named = DomainDisk(target="vdc", source=f"volumes/volume-{VOLUME}", kind="network", protocol="rbd")
    backing = DomainDisk(target="vdd", source="/srv/volume-x", kind="file")
    for one in (serial, named):
        (found,) = hosts(c1=domain(disks=(one, backing))).with_volume(VOLUME)
        assert (found.host, found.device, found.runs) == ("c1", one.target, True)
    assert hosts(c1=domain(disks=(backing,))).with_volume(VOLUME) == ()
    assert hosts(c1=domain(disks=(serial,))).with_volume(None) == ()


def test_a_port_is_known_by_its_id_or_its_tap() -> None:
    """Open vSwitch has the id in the definition; behind a bridge there is only the name of the tap."""
    for one in (Interface(mac="fa", port=PORT), Interface(mac="fa", target=f"tap{PORT[:11]}")):
        assert [found.host for found in hosts(c1=domain(nics=(one,))).with_port(PORT)] == ["c1"]
    assert hosts(c1=domain(nics=(Interface(mac="fa"),))).with_port(PORT) == ()
    assert hosts(c1=domain(nics=(Interface(mac="fa"),))).with_port("") == ()


def test_devices_are_told_of_whoever_has_them() -> None:
    """The guest itself, another one, or none; one that is off uses nothing."""
    sight = disk("host")
    mine = DomainDisk(target="vdb", source="", kind="network", serial=VOLUME)
    has = sight.witness(ROW, hosts(c1=domain(disks=(mine,))))
    assert (has.says, has.reason) == (Says.SUPPORTS, "a guest that runs on c1 has the volume")
    assert has.seen == {"c1": "its domain is running, with it as vdb"}
    lacks = sight.witness(ROW, hosts(c1=domain()))
    assert (lacks.says, lacks.reason) == (Says.SUPPORTS, "its guest runs on c1 without the volume")
    assert lacks.seen == {"c1": f"its domain is running, without volume {VOLUME}"}
    other = sight.witness(ROW, hosts(c1=None, c4=domain(uuid=OTHER, disks=(mine,))))
    assert other.reason == "a guest that runs on c4 has the volume"
    assert other.seen["c4"] == f"no domain of server {SERVER}, domain {OTHER}, running, has it as vdb"
    off = sight.witness(ROW, hosts(c1=domain("shutoff", disks=(mine,))))
    assert (off.says, off.reason) == (Says.UNKNOWN, "")
    wears = nic("host").witness(ROW, hosts(c1=domain(nics=(Interface(mac="fa", target="tap1", port=PORT),))))
    assert wears.seen == {"c1": "its domain is running, with it as tap1"}


def test_where_nothing_is_to_be_seen_there_is_no_witness() -> None:
    """A finding without a host, of which no host has a domain: no line, and nothing to bind a plan to."""
    witness = guest().witness({"server": SERVER, "host": None}, hosts(c1=None))
    assert (witness.lines, dict(witness.seen), witness.says) == ((), {}, Says.UNKNOWN)


def test_states_that_change_by_themselves_are_one() -> None:
    """A guest that waits for its disk at this moment is running, as a plan is compared with it word for word."""
    assert {Seen("c1", domain(state)).state for state in ("running", "blocked", "nostate")} == {"running"}
    assert Seen("c1", domain("paused")).state == "paused"


@pytest.mark.parametrize("name", [name for name, check in catalogue.every_check().items() if check.sight])
def test_a_sight_looks_into_columns_that_the_findings_have(name: str) -> None:
    """A column with the server, the volume or the port that a check does not return shows nothing, in silence."""
    check = catalogue.every_check()[name]
    sight = check.sight
    assert sight is not None
    # a volume may be of no server
    wanted = [
        *([] if sight.volume else [sight.server]),
        *filter(None, (sight.volume, sight.port)),
        *(h for h in sight.hosts if h != "host"),
    ]
    for column in wanted:
        assert f" AS {column}" in check.sql or f".{column}" in check.sql or f" {column}," in check.sql, column
