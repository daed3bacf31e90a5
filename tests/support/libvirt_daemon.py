# SPDX-License-Identifier: Apache-2.0
"""A separate libvirtd with real QEMU guests, in a mount namespace: the machine's own libvirt is not touched.

Guests run under emulation, without an operating system: a test has QEMU write through their disks instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: where Debian has its system programs
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_PROGRAMS = ("libvirtd", "virsh", "qemu-system-x86_64", "unshare", "nsenter")
_UP = """set -e
for d in /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt; do
  mkdir -p $d
  mount -t tmpfs none $d
done
(cat /etc/passwd; echo libvirt-qemu:x:64055:64055::/nonexistent:/bin/false) > /run/libvirt/passwd
(cat /etc/group; echo libvirt-qemu:x:64055:; echo kvm:x:64056:) > /run/libvirt/group
mount --bind /run/libvirt/passwd /etc/passwd
mount --bind /run/libvirt/group /etc/group
cat > /etc/libvirt/qemu.conf <<E
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
stdio_handler = "file"
E
printf 'auth_unix_rw = "none"\\nauth_unix_ro = "none"\\n' > /etc/libvirt/libvirtd.conf
exec libvirtd -f /etc/libvirt/libvirtd.conf --pid-file /run/libvirt/libvirtd.pid
"""


class Libvirt:
    """A daemon and its guests."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "libvirtd.log"
        with self._log.open("wb") as log:
            self._outer = subprocess.Popen(
                ["unshare", "--mount", "--fork", "--kill-child", "sh", "-c", _UP], stdout=log, stderr=log,
                env={**os.environ, "PATH": _PATH},
            )  # fmt: skip
        end = time.monotonic() + 60
        self.inside: tuple[str, ...] = ()
        while not self._answers():
            assert self._outer.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        if not children:
            return False
        #: the prefix with which a command finds this daemon, as with a container runtime
        self.inside = ("nsenter", f"--target={children[0]}", "--mount")
        done = subprocess.run(
            [*self.inside, "virsh", "--connect", "qemu:///system", "list"], capture_output=True, check=False
        )
        return done.returncode == 0

    def virsh(self, *words: str) -> str:
        """Run virsh, which must succeed; returns its output."""
        argv = [*self.inside, "virsh", "--quiet", "--connect", "qemu:///system", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def start(self, uuid: str, disk: Path, form: str = "qcow2", config: Path | None = None) -> None:
        """Start a guest with this disk, and a config drive attached as Nova does."""
        drive = (
            f"<disk type='file' device='cdrom'><driver name='qemu' type='raw' cache='none'/><source file='{config}'/>"
            "<target dev='hda' bus='ide'/><readonly/></disk>"
        )
        xml = self._folder / f"{uuid}.xml"
        xml.write_text(
            f"<domain type='qemu'><name>instance-{uuid[:8]}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>"
            "<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
            "<emulator>/usr/bin/qemu-system-x86_64</emulator><disk type='file' device='disk'>"
            f"<driver name='qemu' type='{form}' cache='none'/><source file='{disk}'/>"
            f"<target dev='vda' bus='virtio'/></disk>{drive if config else ''}</devices></domain>"
        )
        self.virsh("create", str(xml))

    def write(self, uuid: str, at: int, size: int, byte: int) -> None:
        """Write through a guest's disk, as the guest would."""
        command = f'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P {byte} {at} {size}"'
        before = self._log_of(uuid)
        assert not (said := self.virsh("qemu-monitor-command", uuid, "--hmp", command).strip()), said
        # QEMU writes the outcome to its log
        said = self._log_of(uuid)[len(before) :]
        assert f"wrote {size}/{size} bytes" in said, said

    def _log_of(self, uuid: str) -> str:
        argv = [*self.inside, "cat", f"/var/log/libvirt/qemu/instance-{uuid[:8]}.log"]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    @contextmanager
    def exported(self, disk: Path, place: Path) -> Iterator[None]:
        """Serve a disk over NBD, read-only, on a socket."""
        command = ["qemu-nbd", "--read-only", "--persistent", "--format=raw", f"--socket={place}", "--export-name=x"]
        with subprocess.Popen([*command, str(disk)]) as server:
            try:
                while not place.exists():
                    assert server.poll() is None
                    time.sleep(0.01)
                yield
            finally:
                server.kill()

    def job(self, uuid: str) -> str:
        """The backup in progress, "" if there is none."""
        argv = [*self.inside, "virsh", "--quiet", "--connect", "qemu:///system", "backup-dumpxml", uuid]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    def stop(self) -> None:
        """Stop the guests and the daemon."""
        for uuid in self.virsh("list", "--uuid").split():
            self.virsh("destroy", uuid)
        self._outer.kill()
        self._outer.wait()


def daemon(folder: Path) -> Libvirt:
    """A running daemon; skips the test if this machine has no libvirt or forbids it."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"copies of running guests are made by libvirt and QEMU, as root: {', '.join(missing) or 'no root'}"
        )
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace")
    return Libvirt(folder)
