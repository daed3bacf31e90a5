# SPDX-License-Identifier: Apache-2.0
"""Hosts with a real systemd, and with a real Docker, in namespaces of their own; only root may begin them.

What lies in the folders of this machine is hidden there, so that nothing that systemd does at the start of a machine
(temporary files, file systems, devices) happens to this one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import ClassVar, NoReturn

from stackmend.drivers.hosts.transport import Routes, Transport

from .conftest import PATH, below, until
from .managers import HOST, OWN, Machine

_GROUPS = Path("/sys/fs/cgroup")
#: no two hosts share a control group: the last processes of one may still be leaving when the next begins
_NUMBERS = itertools.count(1)
#: Docker's programs where the machine has none: scripts/setup.sh test
_DOCKER = Path(__file__).parents[3] / ".uv" / "docker"


class NotHereError(Exception):
    """This machine does not let a host begin, whatever is tried on it."""


class Apart(Machine):
    """A host whose process 1 is the test's own."""

    _cannot: ClassVar[str] = ""  #: why none could be begun before

    def __init__(self, folder: Path, script: str, *namespaces: str, ready: tuple[str, ...]) -> None:
        if self._cannot:
            raise NotHereError(self._cannot)
        super().__init__(folder)
        group = f"stackmend-test-{os.getpid()}-{next(_NUMBERS)}"
        self.groups = [path / group for path in hierarchies()]
        try:
            for path in self.groups:
                path.mkdir()
        except OSError as problem:
            self._give_up(f"no control groups can be made: {problem}")
        binds = "".join(f"mount --bind {self.path(path)} {path}\n" for path in OWN if Path(path).is_dir())
        apart = ("unshare", "--fork", "--kill-child", "--pid", "--mount", "--propagation=private", *namespaces)
        with (folder / "log").open("wb") as log:
            self._outer = subprocess.Popen(
                ["sh", "-c", self.join() + 'exec "$@"', "join", *apart, "sh", "-ec", f"{_BEGIN}{binds}{script}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "GROUP": group},
            )
        try:
            self._begin(ready)
        except AssertionError:
            self.close()
            last = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
            self._give_up(f"it does not begin: {''.join(last) or 'not a word'}")
        except BaseException:
            self.close()
            raise

    def _begin(self, ready: tuple[str, ...]) -> None:
        until(lambda: bool(below(self._outer.pid)) or self._outer.poll() is not None, "there is no process 1")
        assert below(self._outer.pid), "it has ended"
        self.inside = ("nsenter", "-t", str(below(self._outer.pid)[0]), "-m", "-p")
        search = ("env", f"PATH={self.programs}:{self.search()}", *_libraries())
        self.transport = Transport(Routes(transport="local", local=frozenset({HOST}), prefix=(*self.inside, *search)))
        until(lambda: self._outer.poll() is not None or self.run(*ready) == 0, "it does not answer")
        assert self._outer.poll() is None, "it has ended"

    def _give_up(self, why: str) -> NoReturn:
        type(self)._cannot = why
        raise NotHereError(why)

    def join(self) -> str:
        """What a shell does to belong to the groups of the host."""
        return ""

    def search(self) -> str:
        """Where programs of the host are."""
        return "/usr/sbin:/usr/bin:/sbin:/bin"

    def close(self) -> None:
        """End it, with everything that it runs."""
        for pid in below(self._outer.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
        self._outer.wait()
        for group in self.groups:
            # a group goes once those in it have
            until(lambda group=group: _removed(group), f"{group} is still used")


class Booted(Apart):
    """Its units are real; what the fakes tell by files, systemd tells. It sees no units but those of the test."""

    def __init__(self, folder: Path) -> None:
        (units := folder / "units").mkdir(parents=True)
        for name in ("test", "sysinit", "basic", "shutdown"):
            (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        script = _BOOT + f"mount --bind {units} /usr/lib/systemd/system\n{_SYSTEMD}"
        ready = ("systemctl", "show", "-p", "Version")
        super().__init__(folder, script, "--uts", "--ipc", "--cgroup", ready=ready)

    @staticmethod
    def why_not() -> str:
        """Why there can be none; "" where there can."""
        if os.getuid() != 0:
            return "only root may begin a systemd"
        if not Path("/lib/systemd/systemd").exists() or not shutil.which("systemctl"):
            return "systemd is not installed"
        return "" if hierarchies() else "systemd has no control groups here"

    def join(self) -> str:
        """Below these systemd makes its own."""
        (self.programs / "systemctl").unlink()
        mine = [path for path in self.groups if path.parent.name in ("cgroup", "systemd", "unified")]
        return "".join(f"echo $$ >{path}/cgroup.procs\n" for path in mine)

    def unit(self, name: str, *, active: bool = True, own: bool = False, masked: bool = False, text: str = "") -> None:
        """A unit, in /usr/lib or (``own``) in /etc."""
        at = self.path("/etc/systemd/system") if own else self.folder / "units"
        (at / name).write_text(text or "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n")
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


class Docked(Apart):
    """Its containers are Docker's."""

    def __init__(self, folder: Path) -> None:
        daemon = (
            f"while :; do env PATH={self.search()} {' '.join(_libraries())} dockerd --data-root={folder}/docker"
            " --storage-driver=vfs --bridge=none --iptables=false --ip6tables=false --exec-opt"
            ' native.cgroupdriver=cgroupfs --cgroup-parent="/$GROUP" || :; done'
        )
        super().__init__(folder, daemon, "--net", ready=("docker", "version"))

    @staticmethod
    def why_not() -> str:
        """Why there can be none; "" where there can."""
        if os.getuid() != 0:
            return "only root may begin Docker's daemon"
        here = shutil.which("dockerd", path=PATH) or (_DOCKER / "usr/sbin/dockerd").exists()
        return "" if here else "there is no Docker: make test unpacks it on a Debian"

    def join(self) -> str:
        """Its daemon stays where the test is; only containers are put below."""
        (self.programs / "docker").unlink()
        return ""

    def search(self) -> str:
        """Docker's own programs before the machine's."""
        return f"{_DOCKER}/usr/bin:{_DOCKER}/usr/sbin:{super().search()}"

    def container(self, name: str, *, running: bool = True, policy: str = "unless-stopped", by: str = "docker") -> None:
        """A container that sleeps, of an image made of what that takes."""
        assert by == "docker"
        image = self.folder / "image.tar"
        with tarfile.open(image, "w", dereference=True) as tar:
            for path in (_SLEEP, *_needed(_SLEEP)):
                tar.add(path)
        assert self.run("docker", "import", str(image), "test") == 0
        how = ("--network=none", "--stop-signal=KILL", f"--restart={policy}", "--name", name)
        assert self.run("docker", "create", *how, "test", _SLEEP, "infinity") == 0
        if running:
            begun = self.transport.run(HOST, ("docker", "start", name))
            assert begun.code == 0, f"{begun}\n{(self.folder / 'log').read_text(errors='replace')[-2000:]}"

    def state(self) -> dict[str, object]:
        """Every file, and what Docker says of each container."""
        words = "{{.Name}} {{.State.Running}} {{json .HostConfig.RestartPolicy}}"
        said = self.transport.run(HOST, ("sh", "-c", 'docker inspect -f "$0" $(docker ps -aq)', words)).out
        return super().state() | {"containers": said}

    def runs(self) -> bool:
        """Whether any container does."""
        return bool(self.transport.run(HOST, ("docker", "ps", "-q")).out)

    def managed(self, manager: str, name: str) -> None:
        """The daemon begins anew, as with the host: it starts what its policy says."""
        self.run("pkill", "-x", "dockerd")
        until(lambda: self.run("pgrep", "-x", "dockerd") == 0 and self.run("docker", "version") == 0, "no daemon")


#: what a host has of its own before anything is begun on it
_BEGIN = "mount -t proc proc /proc\nmount -t tmpfs tmpfs /run\n"

#: its control groups are below what this process is in; of what makes units, only that which does so of init scripts
_BOOT = rf"""generators=/usr/lib/systemd/system-generators
cp $generators/systemd-sysv-generator /run/
mount -t tmpfs tmpfs $generators
mv /run/systemd-sysv-generator $generators/
if [ -e {_GROUPS}/cgroup.controllers ]; then mount -t cgroup2 cgroup2 {_GROUPS}
else
  mount -t tmpfs tmpfs {_GROUPS}
  mkdir {_GROUPS}/systemd {_GROUPS}/unified
  mount -t cgroup -o none,name=systemd,xattr cgroup {_GROUPS}/systemd
  mount -t cgroup2 cgroup2 {_GROUPS}/unified
fi
"""
_SYSTEMD = (
    "exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test"
    " /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no"
)
_SLEEP = "/bin/sleep"


def hierarchies() -> list[Path]:
    """Where control groups are made: one folder, or in older layouts several."""
    if (_GROUPS / "cgroup.controllers").exists():
        return [_GROUPS]
    return [path for path in sorted(_GROUPS.glob("*")) if (path / "cgroup.procs").exists() and not path.is_symlink()]


def _libraries() -> list[str]:
    return [f"LD_LIBRARY_PATH={at}" for at in sorted(_DOCKER.glob("usr/lib/*-linux-gnu"))]


def _needed(program: str) -> list[str]:
    """The libraries of a program."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [word for word in said.split() if word.startswith("/")]


def _removed(group: Path) -> bool:
    """Remove it with those below, some of which may go by themselves."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()
