# SPDX-License-Identifier: Apache-2.0
"""Hosts whose services are managed in different ways, each the least that behaves like the real thing.

A host is a mount namespace: the folders of its services lie in a folder of the test, and nothing of this machine is
touched. What configuration management does again and again is :meth:`Machine.managed`. booted.py has the real ones.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from stackmend.drivers.hosts.transport import Routes, Transport

HOST = "c01"
#: folders of a host that are its own
OWN = ("/var/lib", "/etc/systemd/system", "/etc/init.d", *(f"/etc/rc{level}.d" for level in "0123456S"))

#: systemctl(1) of systemd 252: masks are links to /dev/null in /etc and refuse a unit that lies there; a masked unit
#: cannot be started; one whose condition does not hold is not started, and that is no error
SYSTEMCTL = r"""#!/bin/sh
units=@/units etc=/etc/systemd/system
verb=$1; shift
props= now=
while :; do case $1 in -p) props="$props $2"; shift 2 ;; --now) now=yes; shift ;; *) break ;; esac; done
[ -d "$units" ] || { echo "System has not been booted with systemd as init system (PID 1)." >&2; exit 1; }
masked() { [ "$(readlink "$etc/$1")" = /dev/null ]; }
case $verb in
daemon-reload) exit 0 ;;
show)
  [ "$props" != " Version" ] || { echo Version=252; exit 0; }
  load=not-found active=inactive file= path=
  if [ -d "$units/$1" ]; then
    load=loaded active=$(cat "$units/$1/active") file=enabled path=$(cat "$units/$1/path")
  fi
  if masked "$1"; then load=masked file=masked path=$etc/$1; fi
  for p in $props; do case $p in
    LoadState) echo "LoadState=$load" ;; ActiveState) echo "ActiveState=$active" ;;
    UnitFileState) echo "UnitFileState=$file" ;; FragmentPath) echo "FragmentPath=$path" ;;
  esac; done ;;
mask)
  if ! masked "$1"; then
    [ ! -e "$etc/$1" ] || { echo "Failed to mask unit: File $etc/$1 already exists." >&2; exit 1; }
    ln -s /dev/null "$etc/$1"
  fi
  [ -z "$now" ] || echo inactive >"$units/$1/active" ;;
unmask) ! masked "$1" || rm "$etc/$1" ;;
start)
  ! masked "$1" || { echo "Failed to start $1: Unit $1 is masked." >&2; exit 1; }
  [ -d "$units/$1" ] || { echo "Failed to start $1: Unit $1 not found." >&2; exit 5; }
  if grep -qsx 'ConditionPathExists=!/' "$etc/$1.d"/*.conf; then exit 0; fi
  echo active >"$units/$1/active" ;;
stop) echo inactive >"$units/$1/active" ;;
*) echo "Unknown command verb $verb." >&2; exit 1 ;;
esac
"""

#: docker(1): what is stopped stays so until somebody starts it, or the daemon begins anew and its policy says so
DOCKER = r"""#!/bin/sh
at=@/containers
verb=$1; shift
for name; do :; done
[ -d "$at/$name" ] || { echo "Error response from daemon: No such container: $name" >&2; exit 1; }
case $verb in
inspect)
  policy=$(cat "$at/$name/policy"); count=0
  case $policy in *:*) count=${policy#*:} policy=${policy%:*} ;; esac
  case $4 in *Maximum*) policy=$policy:$count ;; esac
  echo "$(cat "$at/$name/running") $policy" ;;
update) echo "${1#--restart=}" >"$at/$name/policy"; echo "$name" ;;
stop) echo false >"$at/$name/running"; echo "$name" ;;
start) echo true >"$at/$name/running"; echo "$name" ;;
*) exit 125 ;;
esac
"""

INIT = r"""#!/bin/sh
### BEGIN INIT INFO
# Provides: nova-compute
# Required-Start: $remote_fs
# Required-Stop: $remote_fs
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: a service
### END INIT INFO
case $1 in
start) touch /var/lib/running ;;
stop) rm -f /var/lib/running ;;
status) [ -e /var/lib/running ] || exit 3 ;;
esac
"""


#: chkconfig(8): in the run levels of a service, what starts it becomes what stops it, and back
CHKCONFIG = r"""#!/bin/sh
case $2 in off) from=S to=K ;; on) from=K to=S ;; *) exit 1 ;; esac
for level in 2 3 4 5; do
  for link in /etc/rc$level.d/$from[0-9][0-9]"$1"; do
    [ ! -L "$link" ] || mv "$link" "/etc/rc$level.d/$to${link#/etc/rc$level.d/$from}"
  done
done
"""


class Machine:
    """A host with folders of its own, and programs that manage its services."""

    hidden: ClassVar[tuple[str, ...]] = ()  #: programs that it does not have

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder, folder / "bin"
        self.programs.mkdir(parents=True)
        binds = []
        for path in OWN:
            own = folder / "root" / path[1:]
            own.mkdir(parents=True, exist_ok=True)
            if Path(path).is_dir():
                binds.append(f"mount --bind {own} {path} && ")
        (nothing := folder / "nothing").touch()
        binds += [f"mount --bind {nothing} {path} && " for path in self.hidden if Path(path).exists()]
        namespace = ("unshare", "-m") if os.getuid() == 0 else ("unshare", "-rm")
        script = f'{"".join(binds)}PATH={self.programs}:/usr/sbin:/usr/bin:/sbin:/bin exec "$@"'
        self.transport = Transport(
            Routes(transport="local", local=frozenset({HOST}), prefix=(*namespace, "sh", "-c", script, "inside"))
        )
        # this machine's own would be found otherwise
        for name in ("systemctl", "docker", "podman"):
            self.program(name, "#!/bin/sh\nexit 1\n")

    @staticmethod
    def why_not() -> str:
        """Why there can be none; "" where there can."""
        return ""

    def program(self, name: str, text: str) -> None:
        """Install one."""
        (self.programs / name).write_text(text.replace("@", str(self.folder)))
        (self.programs / name).chmod(0o755)

    def path(self, path: str) -> Path:
        """Where a path of the host is for the test."""
        return self.folder / "root" / path[1:]

    def run(self, *argv: str) -> int:
        """The exit code of a command there."""
        return self.transport.run(HOST, argv).code

    def state(self) -> dict[str, object]:
        """Every file of the host, with what is in it and its mode."""
        found: dict[str, object] = {}
        for folder in ("root", "units", "containers"):
            for path in sorted((self.folder / folder).rglob("*")):
                if path.is_symlink():
                    found[str(path)] = os.readlink(path)
                elif path.is_file():
                    found[str(path)] = (path.read_text(), path.stat().st_mode)
        return found

    def runs(self) -> bool:
        """Whether any service does, by what the fakes know."""
        words = [path.read_text() for path in self.folder.glob("units/*/active")]
        words += [path.read_text() for path in self.folder.glob("containers/*/running")]
        return bool({"active\n", "true\n"} & set(words)) or self.path("/var/lib/running").exists()

    def managed(self, manager: str, name: str) -> None:
        """What configuration management does when it finds a service stopped, and a restart of the host."""
        if manager in ("systemd", "condition"):
            self.run("systemctl", "start", name)
        elif manager == "init":
            self.run("service", name, "start")
            if any(self.path("/etc/rc2.d").glob("S*")):
                self.run("sh", f"/etc/init.d/{name}", "start")
        elif (self.folder / "containers" / name / "policy").read_text().strip() != "no":
            self.run(manager, "start", name)

    def close(self) -> None:
        """Nothing runs there but what was asked for."""

    # -- services

    def unit(self, name: str, *, active: bool = True, own: bool = False, masked: bool = False) -> None:
        """A unit of systemd, in /usr/lib or (``own``) in /etc."""
        self.program("systemctl", SYSTEMCTL)
        (at := self.folder / "units" / name).mkdir(parents=True)
        (at / "active").write_text("active\n" if active else "inactive\n")
        (at / "path").write_text(f"/{'etc' if own else 'usr/lib'}/systemd/system/{name}\n")
        if own:
            self.path(f"/etc/systemd/system/{name}").write_text("[Service]\n")
        if masked:
            self.path(f"/etc/systemd/system/{name}").symlink_to("/dev/null")

    def container(self, name: str, *, running: bool = True, policy: str = "unless-stopped", by: str = "docker") -> None:
        """A container."""
        self.program(by, DOCKER)
        (at := self.folder / "containers" / name).mkdir(parents=True)
        (at / "running").write_text("true\n" if running else "false\n")
        (at / "policy").write_text(f"{policy}\n")

    def script(self, name: str, *, running: bool = True) -> None:
        """A script in /etc/init.d, begun at every start of the machine."""
        at = self.path(f"/etc/init.d/{name}")
        at.write_text(INIT)
        at.chmod(0o755)
        for level in "2345":
            self.path(f"/etc/rc{level}.d/S01{name}").symlink_to(f"../init.d/{name}")
        for level in "016":
            self.path(f"/etc/rc{level}.d/K01{name}").symlink_to(f"../init.d/{name}")
        if running:
            self.path("/var/lib/running").touch()


class RedHat(Machine):
    """One of the time before systemd: chkconfig instead of update-rc.d."""

    hidden = ("/usr/sbin/update-rc.d",)

    def script(self, name: str, *, running: bool = True) -> None:
        """A script in /etc/init.d, begun at every start of the machine."""
        super().script(name, running=running)
        self.program("chkconfig", CHKCONFIG)
