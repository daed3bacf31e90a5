# SPDX-License-Identifier: Apache-2.0
"""Hypervisors as a source of tables: many at a time, in bounded time, those that fail by name, nothing secret."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pyarrow import parquet

from stackmend.drivers.hosts import libvirt, looking, traces, virsh
from stackmend.drivers.hosts.hypervisors import Hypervisors
from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.model.errors import HostUnreachable, SourceError
from stackmend.model.objects.facts import Domain, DomainDisk, Interface
from stackmend.tables.outside import of_service, outside
from stackmend.tables.outside.hosts import PARTS

from ...outside.hypervisors import Guest
from ...outside.hypervisors import Hypervisors as Standing
from ...support.libvirt_daemon import Libvirt, daemon

SERVER = "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"
OTHER = "6c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"
PORT = "7d0a1c8e-1a53-4b1f-8a0e-2f6f3f0b9c11"
VOLUME = "0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10"
LABELS = of_service("host")


def quiet(what: str, done: int, of: int | None) -> None:
    """No progress."""
    del what, done, of


def rows(folder: Path, label: str) -> list[dict[str, object]]:
    """What a snapshot has in a table."""
    return [row for file in sorted((folder / label).glob("*.parquet")) for row in parquet.read_table(file).to_pylist()]


def test_two_hundred_hosts_of_which_three_fail(tmp_path: Path) -> None:
    """One is dead, one hangs for ever, one refuses: each is named with its reason, the others are read whole.

    Real processes with the real library; the whole takes no longer than it takes the slow one to be given up.
    """
    standing = Standing(tmp_path / "hosts")
    names = [f"c{number:03}" for number in range(200)]
    for number, host in enumerate(names):
        standing.put(host, Guest(uuid=f"{number:08x}-7d53-4d40-9d38-3c0a2f1a6f55"))
    standing.file("c007").unlink()
    standing.file("c070").unlink()
    os.mkfifo(standing.file("c070"))  # nobody writes: libvirt waits for it without end
    standing.file("c170").write_text("<node><domain/></node>")
    source = Hypervisors(partial(looking.domains, f"test://{standing.folder}/{{host}}.xml", limit=12.0), names)
    begin = time.monotonic()
    found = source.collect(LABELS, tmp_path, quiet)
    assert time.monotonic() - begin < 60
    failed = {one.database: one.error for one in found if one.error}
    assert set(failed) == {"host:c007", "host:c070", "host:c170"}
    assert "c007 cannot be reached" in failed["host:c007"]
    assert "c070 did not answer within 12 s" in failed["host:c070"]
    assert "c170" in failed["host:c170"]
    there = {row["host"] for row in rows(tmp_path, "host_visits")}
    assert there == set(names) - {"c007", "c070", "c170"}
    assert {row["host"] for row in rows(tmp_path, "host_domains")} == there
    left = [name for name in os.listdir("/proc") if name.isdigit() and str(standing.folder) in command_of(name)]
    assert left == []


def test_a_look_ends_by_itself_if_nobody_ends_it(tmp_path: Path) -> None:
    """The audit was killed while a host hung: the process does not wait for that host for ever."""
    os.mkfifo(tmp_path / "c1.xml")
    words = (sys.executable, "-m", looking.__name__, f"test://{tmp_path}/{{host}}.xml", "c1", "2")
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, b"")


def command_of(pid: str) -> str:
    """The command line of a process, "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_nothing_secret_is_kept(tmp_path: Path) -> None:
    """The password of a console and the secret of Ceph are in a definition, and in none of the tables."""
    standing = Standing(tmp_path / "hosts")
    guest = Guest(uuid=SERVER, disks=({"image": f"volumes/volume-{VOLUME}", "serial": VOLUME},),
                  nics=({"mac": "FA:16:3e:00:00:01", "port": PORT},))  # fmt: skip
    standing.put("c1", guest)
    source = Hypervisors(partial(looking.domains, f"test://{standing.folder}/{{host}}.xml", limit=30.0), ["c1"])
    (found,) = source.collect(LABELS, tmp_path, quiet)
    assert found.rows == {"host_disks": 1, "host_domains": 1, "host_interfaces": 1, "host_visits": 1}
    (disk,) = rows(tmp_path, "host_disks")
    assert disk == {"host": "c1", "uuid": SERVER, "target": "vda", "kind": "network", "protocol": "rbd",
                    "source": f"volumes/volume-{VOLUME}", "serial": VOLUME}  # fmt: skip
    (nic,) = rows(tmp_path, "host_interfaces")
    assert (nic["mac"], nic["port_id"]) == ("fa:16:3e:00:00:01", PORT)
    everything = repr([rows(tmp_path, label) for label in LABELS])
    assert "hidden-pw" in standing.file("c1").read_text()
    assert "hidden-pw" not in everything
    assert "ceph" not in everything
    assert all(
        set(row) == {c.name for c in outside()[label].columns} for label in LABELS for row in rows(tmp_path, label)
    )


class Cluster:
    """Hosts at the port: who was asked is counted."""

    def __init__(self, hosts: dict[str, list[Domain] | None]) -> None:
        self.hosts, self.asked = hosts, list[str]()

    def read(self, host: str) -> list[Domain]:
        """What runs there."""
        self.asked.append(host)
        found = self.hosts[host]
        if found is None:
            raise SourceError(f"libvirt of {host} is away")
        return found


def domain(uuid: str) -> Domain:
    """One that runs."""
    return Domain(uuid=uuid, name="instance-1", state="running", id=1)


def test_a_second_look_asks_only_the_hosts_concerned(tmp_path: Path) -> None:
    """Those that had the domain, and those that the finding names; each once, however many tables are read."""
    cluster = Cluster({"c1": [domain(SERVER)], "c2": [domain(OTHER)], "c3": [], "c4": None})
    source = Hypervisors(cluster.read, sorted(cluster.hosts))
    source.collect(LABELS, tmp_path, quiet)
    cluster.asked.clear()
    look = source.look([{"server": SERVER, "host": "c3"}])
    assert look.read("host_domains", {"uuid": [SERVER]}).column("host").to_pylist() == ["c1"]
    assert look.read("host_visits", {"host": ["c3"]}).column("host").to_pylist() == ["c3"]
    assert look.read("host_interfaces", {"uuid": [SERVER]}).num_rows == 0
    assert sorted(cluster.asked) == ["c1", "c3"]


def test_a_second_look_that_fails_is_no_absence(tmp_path: Path) -> None:
    """A host that answered the first time and does not now: an error, not "no such domain"."""
    cluster = Cluster({"c1": [domain(SERVER)], "c2": []})
    source = Hypervisors(cluster.read, sorted(cluster.hosts))
    source.collect(LABELS, tmp_path, quiet)
    cluster.hosts["c1"] = None
    with pytest.raises(SourceError, match="hypervisor c1 could not be read: libvirt of c1 is away"):
        source.look([{"server": SERVER}]).read("host_domains", {"uuid": [SERVER]})


def test_a_host_that_failed_at_first_does_not_silence_the_second_look(tmp_path: Path) -> None:
    """A finding may name it, as that of a guest whose server is there: nothing is concluded from it either time."""
    cluster = Cluster({"c1": [domain(SERVER)], "c2": None})
    source = Hypervisors(cluster.read, sorted(cluster.hosts))
    source.collect(LABELS, tmp_path, quiet)
    cluster.asked.clear()
    look = source.look([{"server": SERVER, "host": "c1", "lives_on": "c2"}])
    assert look.read("host_domains", {"uuid": [SERVER]}).column("host").to_pylist() == ["c1"]
    assert cluster.asked == ["c1"]
    with pytest.raises(SourceError, match="hypervisor c2 could not be read"):
        look.read("host_visits", {"host": ["c2"]})


def test_a_dead_host_among_empty_ones_does_not_silence_the_second_look(tmp_path: Path) -> None:
    """After a loss of power nothing runs anywhere: those that answered are asked again, the dead one is not."""
    cluster = Cluster({"c1": [], "c2": None})
    source = Hypervisors(cluster.read, sorted(cluster.hosts))
    source.collect(LABELS, tmp_path, quiet)
    cluster.asked.clear()
    look = source.look([{"server": SERVER, "host": "c1"}])
    assert look.read("host_domains", {"uuid": [SERVER]}).num_rows == 0
    assert cluster.asked == ["c1"]


def test_no_table_of_theirs_no_visit(tmp_path: Path) -> None:
    """An audit of checks that read databases alone does not ask them."""
    cluster = Cluster({"c1": []})
    assert Hypervisors(cluster.read, ["c1"]).collect({"nova_instances"}, tmp_path, quiet) == []
    assert cluster.asked == []


# -- real guests


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Libvirt]:
    """A libvirtd with a guest that runs, one that is paused, and one that is only defined."""
    folder = tmp_path_factory.mktemp("libvirt")
    found = daemon(folder)
    try:
        for number, uuid in enumerate((SERVER, OTHER, VOLUME)):
            disk = folder / f"{uuid}.qcow2"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1M"], check=True)
            (folder / f"{uuid}.xml").write_text(_definition(uuid, number, disk))
            found.virsh("define", str(folder / f"{uuid}.xml"))
        found.virsh("start", SERVER)
        found.virsh("autostart", SERVER)
        found.virsh("start", OTHER)
        found.virsh("suspend", OTHER)
        yield found
    finally:
        found.stop()


def _definition(uuid: str, number: int, disk: Path) -> str:
    return (
        f"<domain type='qemu'><name>instance-{number:08x}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>"
        "<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>"
        f"<nova:name>server {number}</nova:name></nova:instance></metadata>"
        "<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
        "<emulator>/usr/bin/qemu-system-x86_64</emulator><disk type='file' device='disk'>"
        f"<driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/>"
        f"<serial>{VOLUME}</serial></disk>"
        f"<interface type='user'><mac address='fa:16:3e:00:00:0{number}'/><model type='virtio'/></interface>"
        "<graphics type='vnc' port='-1' passwd='hidden'/></devices></domain>"
    )


def assert_as_defined(real: list[Domain]) -> None:
    """What was read is what was defined, started and paused."""
    by_uuid = {one.uuid: one for one in real}
    assert set(by_uuid) == {SERVER, OTHER, VOLUME}
    states = {one.uuid: (one.state, one.id is not None, one.persistent, one.autostart) for one in real}
    assert states == {
        SERVER: ("running", True, True, True),
        OTHER: ("paused", True, True, False),
        VOLUME: ("shutoff", False, True, False),
    }
    assert {one.reason for one in real if one.uuid == OTHER} == {"user"}
    one = by_uuid[SERVER]
    assert (one.name, one.server, one.nova, one.vcpus, one.memory) == ("instance-00000000", "server 0", True, 1, 32768)
    assert one.machine.startswith("pc-i440fx")
    (disk,) = one.disks
    assert disk == DomainDisk(target="vda", source=disk.source, kind="file", serial=VOLUME)
    assert disk.source.endswith(f"{SERVER}.qcow2")
    assert one.interfaces == (Interface(mac="fa:16:3e:00:00:00", target=one.interfaces[0].target),)


def test_real_guests_by_virsh_on_their_host(real: Libvirt) -> None:
    """States, devices and sizes of real QEMU guests, as defined; by one command over the transport."""
    routes = Routes(local=frozenset({"c1"}), container=real.inside)
    assert_as_defined(virsh.domains(Transport(routes).inside(), "c1", 60.0))


def test_real_guests_and_what_is_beside_them_by_one_command(real: Libvirt, tmp_path: Path) -> None:
    """The guests from the container of libvirt, the rest from the host; a part of that may be unreadable."""
    (tmp_path / f"{SERVER}_resize").mkdir()
    transport = Transport(Routes(local=frozenset({"c1"})))
    place = traces.Place(instances=str(tmp_path), container=real.inside)
    found, beside = traces.with_domains(transport, "c1", place, 60.0)
    assert_as_defined(found)
    assert set(beside.parts) == set(PARTS)
    assert [(one.server, one.role) for one in beside.directories] == [(SERVER, "resize")]
    found, beside = traces.with_domains(transport, "c1", replace(place, instances=str(tmp_path / "none")), 60.0)
    assert_as_defined(found)
    assert "directories" in {part for part, why in beside.parts.items() if why}


def test_real_guests_by_the_library(real: Libvirt) -> None:
    """The same by libvirt's own connection, read-only."""
    uri = f"qemu+unix:///system?socket=/proc/{real.inside[1].partition('=')[2]}/root/run/libvirt/libvirt-sock-ro"
    here = socket.gethostname()
    found = looking.domains(uri, here, 60.0)
    assert_as_defined(found)
    assert libvirt.domains(uri, here) == found
    with pytest.raises(SourceError, match=f"it leads to {here}, which is not another-host"):
        libvirt.domains(uri, "another-host")


@pytest.mark.parametrize(
    ("word", "reason"),
    [("migrating", "migration"), ("saving", "save"), ("dumping", "dump"), ("post-copy", "post-copy"),
     ("creating snapshot", "creating snapshot"), ("I/O error", "I/O error"), ("unknown", "")],
)  # fmt: skip
def test_virsh_has_words_of_its_own_for_why_a_guest_is_paused(tmp_path: Path, word: str, reason: str) -> None:
    """They become those of the library, by which checks judge: a guest that is being moved does not hang."""
    xml = f"<domain><name>instance-1</name><uuid>{SERVER}</uuid></domain>"
    (tmp_path / "virsh").write_text(
        "#!/bin/sh\ncase $* in"
        f" *list*) echo {SERVER} ;;"
        " *dominfo*) printf 'Id: 3\\nState: paused\\nPersistent: yes\\nAutostart: disable\\n' ;;"
        f" *domstate*) echo 'paused ({word})' ;;"
        f" *dumpxml*) echo '{xml}' ;;"
        " *) exit 1 ;; esac\n"
    )
    (tmp_path / "virsh").chmod(0o755)
    routes = Routes(local=frozenset({"c1"}), prefix=("env", f"PATH={tmp_path}:/usr/bin:/bin"))
    (found,) = virsh.domains(Transport(routes), "c1", 60.0)
    assert (found.state, found.reason) == ("paused", reason)


def test_a_host_whose_libvirt_is_down(tmp_path: Path) -> None:
    """It is reached and has no libvirt: an error that names it, never "no domains"."""
    (tmp_path / "virsh").write_text("#!/bin/sh\necho 'error: failed to connect to the hypervisor' >&2\nexit 1\n")
    (tmp_path / "virsh").chmod(0o755)
    routes = Routes(local=frozenset({"c1"}), prefix=("env", f"PATH={tmp_path}:/usr/bin:/bin"))
    with pytest.raises(SourceError, match="virsh of c1 does not answer: error: failed to connect"):
        virsh.domains(Transport(routes), "c1", 60.0)


def test_a_host_without_a_way() -> None:
    """As for any other command on a host."""
    with pytest.raises(HostUnreachable, match="no access to c1 is configured"):
        virsh.domains(Transport(Routes()), "c1", 60.0)
