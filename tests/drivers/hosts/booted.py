# SPDX-License-Identifier: Apache-2.0
"""A host on which a real systemd runs, in namespaces of its own; it sees no units but those of the test.

Needs root, and systemd as Debian has it. What lies in the folders of this machine is hidden there, so that nothing that
systemd does at the start of a machine (temporary files, file systems, devices) happens to this one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from stackmend.drivers.hosts.transport import Routes, Transport

from .conftest import below, until
from .managers import HOST, OWN, Machine

SYSTEMD = Path("/lib/systemd/systemd")
_GROUPS = Path("/sys/fs/cgroup")
_UNITS = "/usr/lib/systemd/system"
_GENERATORS = "/usr/lib/systemd/system-generators"
_SERVICE = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n"

#: $1 the folder of the host; its control groups are below what this process is in
_BOOT = rf"""set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
cp {_GENERATORS}/systemd-sysv-generator /run/
mount -t tmpfs tmpfs {_GENERATORS}
mv /run/systemd-sysv-generator {_GENERATORS}/
if [ -e {_GROUPS}/cgroup.controllers ]; then mount -t cgroup2 cgroup2 {_GROUPS}
else
  mount -t tmpfs tmpfs {_GROUPS}
  mkdir {_GROUPS}/systemd {_GROUPS}/unified
  mount -t cgroup -o none,name=systemd,xattr cgroup {_GROUPS}/systemd
  mount -t cgroup2 cgroup2 {_GROUPS}/unified
fi
mount --bind "$1/units" {_UNITS}
for path in {" ".join(OWN)}; do [ ! -d "$path" ] || mount --bind "$1/root$path" "$path"; done
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test \
  {SYSTEMD} --system --unit=test.target --log-target=console --show-status=no
"""


def why_not() -> str:
    """Why no systemd can run here; "" where one can."""
    if os.getuid() != 0:
        return "only root may begin a systemd"
    if not SYSTEMD.exists() or not shutil.which("systemctl"):
        return "systemd is not installed"
    return "" if _hierarchies() else "systemd has no control groups here"


def _hierarchies() -> list[Path]:
    if (_GROUPS / "cgroup.controllers").exists():
        return [_GROUPS]
    return [path for path in (_GROUPS / "systemd", _GROUPS / "unified") if path.is_dir()]


class Booted(Machine):
    """Its units are real; what the stand-ins tell by files, systemd tells."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.programs / "systemctl").unlink()
        (units := folder / "units").mkdir()
        for name in ("test", "sysinit", "basic", "shutdown"):
            (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        self._groups = [path / f"stackmend-test-{os.getpid()}" for path in _hierarchies()]
        for path in self._groups:
            path.mkdir()
        join = "".join(f"echo $$ >{path}/cgroup.procs && " for path in self._groups)
        apart = "unshare --fork --pid --mount --uts --ipc --cgroup --propagation private --kill-child"
        with (folder / "log").open("wb") as log:
            self._outer = subprocess.Popen(
                ["sh", "-c", f'{join}exec {apart} sh -c "$0" boot "$1"', _BOOT, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            until(lambda: bool(below(self._outer.pid)), "there is no process 1")
            inside = ("nsenter", "-t", str(below(self._outer.pid)[0]), "-m", "-p", "-u", "-i", "-C")
            path = f"PATH={self.programs}:/usr/sbin:/usr/bin:/sbin:/bin"
            self.transport = Transport(
                Routes(transport="local", local=frozenset({HOST}), prefix=(*inside, "env", path))
            )
            until(lambda: self.run("systemctl", "show", "-p", "Version") == 0, (folder / "log").read_text())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it, with everything that it runs."""
        for pid in below(self._outer.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
        self._outer.wait()
        for group in self._groups:
            # a group goes once those in it have
            for path in (*sorted(group.rglob("*/"), reverse=True), group):
                if path.is_dir():
                    until(lambda path=path: _removed(path), f"{path} is still used")

    def unit(
        self, name: str, *, active: bool = True, own: bool = False, masked: bool = False, text: str = _SERVICE
    ) -> None:
        """A unit, in /usr/lib or (``own``) in /etc."""
        at = self.path("/etc/systemd/system") if own else self.folder / "units"
        (at / name).write_text(text)
        for words in (("daemon-reload",), *[("start", name)] * active, *[("mask", name)] * masked):
            assert self.run("systemctl", *words) == 0, (self.folder / "log").read_text()

    def script(self, name: str, *, running: bool = True) -> None:
        """A script in /etc/init.d, of which systemd makes a unit."""
        super().script(name, running=False)
        for words in (("daemon-reload",), *[("start", name)] * running):
            assert self.run("systemctl", *words) == 0, (self.folder / "log").read_text()

    def state(self) -> dict[str, object]:
        """Every file, and whether each service runs."""
        return super().state() | {name: self._active(name) for name in self._services()}

    def runs(self) -> bool:
        """Whether any service does."""
        return any(map(self._active, self._services())) or super().runs()

    def _services(self) -> set[str]:
        folders = (self.folder / "units", self.path("/etc/systemd/system"))
        return {path.name for folder in folders for path in folder.glob("*.service")}

    def _active(self, name: str) -> bool:
        return self.run("systemctl", "is-active", "--quiet", name) == 0


def _removed(path: Path) -> bool:
    with contextlib.suppress(OSError):
        path.rmdir()
    return not path.exists()
