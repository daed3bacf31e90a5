# SPDX-License-Identifier: Apache-2.0
"""Record real output for the how-to pages: docs/how-to/recorded/*.txt. Nothing in those files is written by hand.

``python scripts/record_pages.py`` runs the commands on the embedded cloud. A test compares the texts with a new run.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1]))  # for what the tests have: services that answer, disks of guests

from record_pictures import SEED, shown, typed

from stackmend_lab.cloud import build
from stackmend_lab.plants.cinder import volume_stuck_detaching
from stackmend_lab.plants.neutron import port_without_server
from stackmend_lab.plants.nova import info_cache_empty, preserve_on_delete_wrong

PAGES = Path(__file__).parents[1] / "docs" / "how-to" / "recorded"


def record(folder: Path) -> dict[str, str]:
    """Name -> recorded text, from one cloud with one inconsistency per page."""
    with closing(build(folder / "cloud", servers=60, seed=SEED)) as cloud:
        (folder / "cloud.toml").write_text(cloud.toml().partition("[state]")[0], encoding="utf-8")
        kept = preserve_on_delete_wrong.plant(cloud)
        emptied = info_cache_empty.plant(cloud)
        left = port_without_server.VARIANTS["unknown"](cloud)
        volume_stuck_detaching.plant(cloud)
    found = (
        _port(folder, kept["port"], kept["server"])
        | _left(folder, left["port"])
        | _cache(folder, emptied["server"])
        | _volume(folder)
    )
    found |= _address(folder / "deleted")
    return {name: text.replace(str(folder), "/var/lib/stackmend") for name, text in found.items()}


def _address(folder: Path) -> dict[str, str]:
    """A server that was deleted with its port; Neutron answers from its rows, as in the tests."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.drivers.api.serving import serving
    from tests.drivers.api.test_reservations import FakeSite, ReservingFake

    folder.mkdir()
    with (
        closing(build(folder / "cloud", servers=60, seed=SEED)) as cloud,
        serving(ReservingFake(cloud, folder)) as fake,
    ):
        site = FakeSite(cloud, fake, folder)
        server, row = site.with_address()
        site.free(server.ports[0])
        site.delete(server)
        api = f'[api]\ncloud = "fake"\nclouds = "{fake.clouds_yaml()}"\n'
        (folder / "cloud.toml").write_text(f"{cloud.toml().partition('[state]')[0]}{api}", encoding="utf-8")
        recover = ("port", "recover-ip", row["ip_address"])
        return {
            "address-lost": shown(folder, "port", "find", row["ip_address"], width=120),
            "address-plan": shown(folder, *recover, width=80),
            "address-back": shown(folder, *recover, "--yes", width=80),
            "address-found": shown(folder, "port", "find", row["ip_address"], width=120),
        }


def _port(folder: Path, port: str, server: str) -> dict[str, str]:
    """A port that its owner created, and that Nova would delete with its server."""
    address = typed(folder, "port", "show", port, "-f", "value", "-c", "addresses").split()[0]
    of_server = ("port", "list", "--server", server)
    columns = [word for name in ("port", "addresses", "fate") for word in ("-c", name)]
    return {
        "port-find": shown(folder, "port", "find", address, width=120),
        "port-list": shown(folder, *of_server, *columns, width=120),
        "port-audit": shown(folder, "audit", "--check", "preserve-on-delete-wrong", width=80),
        "port-keep-plan": shown(folder, "port", "keep", port, "--allow-db", width=80),
        "port-keep": shown(folder, "port", "keep", port, "--allow-db", "--yes", width=80),
        "port-kept": shown(folder, *of_server, *columns, width=120),
    }


def _left(folder: Path, port: str) -> dict[str, str]:
    """A port whose server is unknown."""
    detach = ("port", "detach", port, "--allow-db", "--yes", "--accept", "detach-port")
    return {
        "port-left": shown(folder, "audit", "--check", "port-without-server", width=80),
        "port-left-detach": shown(folder, *detach, width=80),
    }


def _cache(folder: Path, server: str) -> dict[str, str]:
    """A server whose network cache is empty."""
    audit = ("audit", "--check", "info-cache-empty")
    rebuild = ("server", "cache", "rebuild", server, "--allow-db")
    return {
        "cache-audit": shown(folder, *audit, width=80),
        "cache-plan": shown(folder, *rebuild, width=80),
        "cache-rebuild": shown(folder, *rebuild, "--yes", width=80),
        "cache-rebuilt": shown(folder, *audit, width=80),
    }


def _volume(folder: Path) -> dict[str, str]:
    """A volume that is stuck in detaching."""
    check = ("--check", "volume-stuck-detaching")
    return {
        "detaching-audit": shown(folder, "audit", *check, width=80),
        "detaching-plan": shown(folder, "plan", "create", *check, "--allow-db", "--out", "plan.json", width=80),
        "detaching-show": shown(folder, "plan", "show", "plan.json", width=80),
        "detaching-apply": shown(folder, "plan", "apply", "plan.json", "--yes", width=80),
        "detaching-done": shown(folder, "audit", *check, width=80),
    }


def of_hosts(folder: Path) -> dict[str, str]:
    """A host is drained and returned, with two servers that run and one that is stopped: on simulated services."""
    from tests.drivers.api.serving import serving
    from tests.support.served_simulation import ServedSimulation
    from tests.support.simulated_servers import Told

    folder.mkdir()
    cloud = Told(seed=SEED, hosts=3, latency=3.0)
    for name, kind in (("api-1", "active"), ("api-2", "active"), ("batch-1", "stopped")):
        cloud.put(kind, name=name)
    with serving(ServedSimulation(cloud, folder)) as services:
        account = f'[api]\ncloud = "fake"\nclouds = "{services.clouds_yaml()}"\n'
        (folder / "cloud.toml").write_text(account, encoding="utf-8")
        # without databases nothing can be audited before
        drain = ("host", "drain", "c01", "--cold", "--parallel", "1", "--reason", "CHG-1234", "--no-audit")
        found = {
            "drain-plan": shown(folder, *drain, width=100),
            "drain": shown(folder, *drain, "--yes", width=100),
            "drained": shown(folder, "host", "status", "c01", width=100),
        }
        run = typed(folder, "run", "list", "-f", "value", "-c", "id").split()[0]
        back = ("host", "return", "c01", "--network", "net1", "--back-from", run, "--yes")
        found["returned"] = shown(folder, *back, width=100)
    return {name: text.replace(str(folder), "/var/lib/stackmend") for name, text in found.items()}


#: files of the guest, and what it wrote last: that is in the journal of its file system alone
_LOGS = b"Nov 29 03:12:44 web-0 systemd[1]: Starting daily apt upgrade...\n"
_LAST = (
    b"Nov 29 03:14:07 web-0 kernel: XFS (vdb1): Mounting V5 Filesystem\n"
    b"Nov 29 03:14:08 web-0 kernel: Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n"
)
_SYSTEM = {b"etc/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', b"var/log/syslog": _LOGS}


def of_disks(folder: Path) -> dict[str, str]:
    """The disks of a guest that crashed are read: real ones, of a server of an embedded cloud and of its Nova."""
    from tests.app.test_inspection import Locking
    from tests.drivers.api.serving import serving

    from stackmend.model.objects.disks import INSTANCES

    folder.mkdir()
    with closing(build(folder / "cloud", servers=60, seed=SEED)) as cloud:
        server = cloud.pick("active")
        cloud.update(server.database, "instances", {"uuid": server.uuid}, display_name="web-0")
        services = Locking(cloud, folder)
        services.locks = {}
        # as long as the path that stands in the docs: lines are broken by it
        home = tempfile.TemporaryDirectory(prefix="instances-", dir="/tmp")
        assert len(home.name) == len(INSTANCES)  # noqa: S101 - else the docs are others on each machine
        with serving(services), home as instances:
            _guest(Path(instances) / server.uuid / "disk", folder)
            hosts = f'[hosts]\ntransport = "local"\nlocal = ["{server.host}"]\ninstances_path = "{instances}"\n'
            # whether it is installed differs between machines
            hosts += "libguestfs = 0\n"
            toml = cloud.toml().partition("[state]")[0] + services.toml() + hosts
            (folder / "cloud.toml").write_text(toml, encoding="utf-8")
            found = _inspected(folder, "web-0")
    real = {instances: INSTANCES, str(folder): "/var/lib/stackmend"}
    return {name: re.sub("|".join(real), lambda path: real[path[0]], text) for name, text in found.items()}


def _guest(disk: Path, folder: Path) -> None:
    """A qcow2 on a raw base with GPT and LVM, and a configuration drive."""
    from tests.support import guest_disks as made

    from stackmend.model.objects.disks import INSTANCES

    files = {**_SYSTEM, b"var/log/wtmp": made.wtmp((2, "2026-11-29T02:58:00"))}
    root = made.crashed(made.ext4(folder / "root", files), "/var/log/kern.log", _LAST)
    boot = made.ext4(folder / "boot", {b"grub/grub.cfg": b"set default=0\n"}, 8 * made.MIB)
    swap = made.sparse(folder / "swap", 4 * made.MIB)
    made.tool("mkswap", "-q", swap)
    parts = {"root": (root, [5, 6, 7, 8, 0, 1, 2, 3]), "swap": (swap, [4])}
    physical = made.physical_volume(folder / "physical", "vg0", parts)
    base = disk.parent.parent / "_base" / ("3f" * 20)
    for place in (base, disk):
        place.parent.mkdir(parents=True)
    made.partitioned(base, "gpt", [(made.LINUX, boot), (made.LVM, physical)])
    made.overlay(disk, base)
    drive = made.sparse(disk.with_name("disk.config"), made.MIB)
    (folder / "meta_data.json").write_text('{"hostname": "web-0"}\n', encoding="utf-8")
    made.tool("mkfs.vfat", "-n", "config-2", drive)
    made.tool("mmd", "-i", drive, "::/openstack", "::/openstack/latest")
    made.tool("mcopy", "-i", drive, folder / "meta_data.json", "::/openstack/latest/meta_data.json")
    told = {f"{INSTANCES}/{disk.parent.name}/disk": "qcow2", f"{INSTANCES}/{disk.parent.name}/disk.config": "raw"}
    disk.with_name("disk.info").write_text(json.dumps(told), encoding="utf-8")


def _inspected(folder: Path, server: str) -> dict[str, str]:
    def said(*words: str) -> str:
        # what a listing says of when a file was written, without seconds
        return re.sub(r"(?<=2026-11-21 )\d\d:\d\d(?= )", "03:15", shown(folder, "disk", *words, width=100))

    inspect = ("inspect", server, "--approved-by", "Ann Owner", "--ticket", "CHG-1234")
    return {
        "disk-plan": said(*inspect),
        "disk-inspected": said(*inspect, "--yes", "--accept", "inspect-disk"),
        "disk-show": said("show", server),
        "disk-log": said("log", server, "--lines", "3"),
        "disk-ls": said("ls", server, "/var/log"),
        "disk-copied": said("copy-out", server, "/var/log", "web-0-log"),
        "disk-config": said("cat", server, "/openstack/latest/meta_data.json", "--disk", "config"),
        "disk-released": said("release", server, "--yes"),
    }


def main() -> None:
    """Record all texts."""
    PAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        found = record(here) | of_disks(here / "disks") | of_hosts(here / "hosts")
    for name, text in found.items():
        (PAGES / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
