# SPDX-License-Identifier: Apache-2.0
"""Services of a host under any manager: stopped so that configuration management cannot start them, and restored.

For each manager there are a few shell scripts. The previous state of a service is written to a file on the host, under
:data:`HELD`, so that a later start restores exactly that, even after a reboot, and from another machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackmend.model.errors import SourceError
from stackmend.model.protocols import Hosts
from stackmend.model.repair import CannotRepair
from stackmend.model.step import HostCommand

HELD = "/var/lib/stackmend/held"
#: seconds for a service to stop or start; nova-compute finishes its operations first
_LIMIT = 300.0

#: prints the state of each service: "record SERVICE ...", "systemd SERVICE UNIT Key=value ...",
#: "docker SERVICE NAME RUNNING POLICY", "init SERVICE NAME RUNNING ENABLED MODE"
_LOOK = r"""held=$1; shift
systemctl show -p Version >/dev/null 2>&1 && systemd=yes
for s in "$@"; do
  u=$(printf %s "$s" | tr - _)
  [ ! -e "$held/$s" ] || echo "record $s $(cat "$held/$s")"
  if [ -n "$systemd" ]; then
    for n in "$s" "openstack-$s" "kolla-$u-container" "tripleo_$u" "container-$u"; do
      p="-p LoadState -p ActiveState -p UnitFileState -p FragmentPath"
      f=$(systemctl show $p "$n.service" | tr '\n' ' ') || exit 3
      c=; [ ! -e "/etc/systemd/system/$n.service.d/stackmend.conf" ] || c=Held=yes
      echo "systemd $s $n.service $f $c"
    done
  elif [ -e "/etc/init.d/$s" ]; then
    r=inactive; ! sh "/etc/init.d/$s" status >/dev/null 2>&1 || r=active
    e=disabled; ! ls /etc/rc[2-5].d/S[0-9][0-9]"$s" >/dev/null 2>&1 || e=enabled
    echo "init $s $s $r $e $(stat -c %a "/etc/init.d/$s")"
  fi
  for c in docker podman; do
    f='{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}'
    ! command -v $c >/dev/null || ! i=$($c inspect --type container -f "$f" "$u" 2>/dev/null) || echo "$c $s $u $i"
  done
done"""

#: $1 the name, $2 its previous state, $3 the file that records it: written first, and never over an older one
_REMEMBER = 'set -e; mkdir -p "${3%/*}"; [ -e "$3" ] || printf "%s\\n" "$2" >"$3"; '
_FORGET = '; rm -f "$3"'
#: a unit of the operator's own, in /etc, cannot be masked: a condition that never holds has the same effect
_CONDITION = 'd="/etc/systemd/system/$1.d"; '
#: for a masked unit systemd ignores how it is to be stopped (ExecStop=, KillMode=): processes that a neutron agent is
#: meant to leave running would be killed (seen with systemd 252). So the condition prevents its start until it has
#: ended and is masked.
_HOLD = (
    _CONDITION + 'mkdir -p "$d"; printf "[Unit]\\nConditionPathExists=!/\\n" >"$d/stackmend.conf"; '
    'systemctl daemon-reload; systemctl stop "$1"'
)
_RELEASE = _CONDITION + 'rm -f "$d/stackmend.conf"; rmdir "$d" 2>/dev/null || :; systemctl daemon-reload'


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One service on a host."""

    service: str  #: OpenStack's name of it: "nova-compute"
    manager: str  #: "systemd", "condition" (systemd, a unit in /etc), "docker", "podman", "init"
    name: str  #: of the unit or container
    active: bool
    #: further state to restore: "masked" or "free", a restart policy, or "enabled 755"
    before: str
    held: bool = False  #: it was stopped by stackmend and is still blocked

    @property
    def line(self) -> str:
        """Its previous state, in one line of text."""
        return f"{self.manager} {self.name} {'active' if self.active else 'inactive'} {self.before}"


def units(hosts: Hosts, host: str, services: Sequence[str]) -> dict[str, Unit]:
    """Service -> its manager on the host. CannotRepair if there is none, SourceError if it cannot be inspected."""
    for service in services:
        if not service.replace("-", "").replace("_", "").isalnum():
            raise CannotRepair(f"{service!r} is not a valid service name")
    done = hosts.run(host, ("sh", "-c", _LOOK, "look", HELD, *services))
    if done.code != 0:
        why = done.err.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit code {done.code}"]
        raise SourceError(
            f"the services of {host} cannot be inspected: {why[0]}", "Check [hosts] prefix: root is required."
        )
    lines = [words for line in done.out.decode("utf-8", "replace").splitlines() if len(words := line.split()) > 2]
    records = {words[1]: words[2:] for words in lines if words[0] == "record"}
    found = {}
    for service in services:
        there = [unit for words in lines if words[1] == service and (unit := _unit(words)) is not None]
        if not there:
            raise CannotRepair(
                f"{host} has no service {service}: no systemd unit, docker or podman container, or /etc/init.d script."
                f" Specify it with --service under its name on the host"
            )
        # of a unit and the container it runs, the unit; of several, the running one
        unit = next((u for u in there if u.active), next((u for u in there if u.held), there[0]))
        found[service] = _remembered(unit, records.get(service, []))
    return found


def _unit(words: Sequence[str]) -> Unit | None:
    kind, service, name, *rest = words
    if kind == "systemd":
        values = dict(word.split("=", 1) for word in rest if "=" in word)
        if values.get("LoadState") not in ("loaded", "masked"):
            return None
        masked = values.get("UnitFileState") == "masked" or values["LoadState"] == "masked"
        own = values.get("FragmentPath", "").startswith("/etc/systemd/system/") and not masked
        return Unit(
            service=service,
            manager="condition" if own else "systemd",
            name=name,
            # a service that is starting or stopping does not count as stopped
            active=values.get("ActiveState") not in ("inactive", "failed"),
            before="masked" if masked else "free",
            held="Held" in values,
        )
    if kind in ("docker", "podman"):
        running, policy = rest
        plain = policy if policy.startswith("on-failure") and not policy.endswith(":0") else policy.partition(":")[0]
        return Unit(service=service, manager=kind, name=name, active=running == "true", before=plain or "no")
    if kind == "init":
        running, enabled, mode = rest
        return Unit(
            service=service, manager=kind, name=name, active=running == "active", before=f"{enabled} {mode.zfill(3)}"
        )
    return None


def _remembered(unit: Unit, record: Sequence[str]) -> Unit:
    """The unit with its state before it was stopped, if that was recorded."""
    if len(record) < 4 or record[:2] != [unit.manager, unit.name]:
        return unit
    return Unit(
        service=unit.service,
        manager=unit.manager,
        name=unit.name,
        active=record[2] == "active",
        before=" ".join(record[3:]),
        held=True,
    )


def stop(host: str, unit: Unit) -> HostCommand:
    """Stop it and keep it stopped: nothing on the host can start it, even after a reboot."""
    return HostCommand(
        host=host,
        argv=_command(_REMEMBER + _STOP[_kind(unit)], unit),
        probe=_command(_STOPPED[_kind(unit)], unit),
        inverse=_command(_back(unit), unit),
        limit=_LIMIT,
    )


def start(host: str, unit: Unit) -> HostCommand:
    """Restore its previous state; without a record it is released and started."""
    was = unit if unit.held else _free(unit)
    return HostCommand(
        host=host,
        argv=_command(_back(was), was),
        probe=_command(_given_back(was), was),
        inverse=_command(_REMEMBER + _STOP[_kind(was)], was),
        limit=_LIMIT,
    )


def held(host: str, found: Mapping[str, Unit]) -> str:
    """The services found, in words, for the plan."""
    return "; ".join(f"{unit.service} is {unit.manager}'s {unit.name}" for unit in found.values()) + f" on {host}"


def hook(
    settings: Mapping[str, Any], name: str, host: str, *, back: str = "", wanted: str = "", limit: float = 600.0
) -> HostCommand | None:
    """The operator's local command for a machine's power; None if none is configured.

    ``wanted``: what ``power_status`` must print when it is done ("on", "off"); ``back``: the hook that undoes it.
    """

    def words(of: str) -> tuple[str, ...]:
        return tuple(str(word).replace("{host}", host) for word in settings.get(f"hooks.{of}") or ())

    argv = words(name)
    if not argv:
        return None
    status = words("power_status") if wanted else ()
    probe = ("sh", "-c", _POWER, "power", wanted, *status) if status else ()
    return HostCommand(host="", argv=argv, probe=probe, inverse=(words(back) or None) if back else None, limit=limit)


#: $1 the wanted state, then the hook: "Chassis Power is off" and "off" are equivalent; anything else is undecided
_POWER = (
    'w=$1; shift; s=$("$@") || exit 2; case $(printf %s "$s" | tr A-Z a-z | tail -n 1) in '
    '*off) n=off ;; *on) n=on ;; *) echo "neither on nor off: $s" >&2; exit 2 ;; esac; [ "$n" = "$w" ]'
)


def _command(script: str, unit: Unit) -> tuple[str, ...]:
    return ("sh", "-c", script, unit.manager, unit.name, unit.line, f"{HELD}/{unit.service}")


def _kind(unit: Unit) -> str:
    return "container" if unit.manager in ("docker", "podman") else unit.manager


def _free(unit: Unit) -> Unit:
    before = {"systemd": "free", "condition": "free", "init": "enabled 755"}.get(unit.manager, unit.before)
    return Unit(service=unit.service, manager=unit.manager, name=unit.name, active=True, before=before)


_ACTIVE = 'a=$(systemctl show -p ActiveState "$1") || exit 2; a=${a#*=}; '
_INSPECT = (
    'i=$("$0" inspect --type container -f "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}" "$1") || exit 2; '
)

_STOP = {
    "systemd": f'{_HOLD}; systemctl mask "$1"; {_RELEASE}',
    "condition": _HOLD,
    "container": '"$0" update --restart=no "$1" >/dev/null; "$0" stop "$1" >/dev/null',
    "init": 'service "$1" stop; if command -v update-rc.d >/dev/null; then update-rc.d "$1" disable; '
    'else chkconfig "$1" off; fi; chmod a-x "/etc/init.d/$1"',
}

_STOPPED = {
    "systemd": _ACTIVE + 'f=$(systemctl show -p UnitFileState "$1") || exit 2; '
    'case "$a ${f#*=}" in "inactive masked"|"failed masked") exit 0 ;; esac; exit 1',
    "condition": _ACTIVE
    + _CONDITION
    + '[ -e "$d/stackmend.conf" ] || exit 1; case "$a" in inactive|failed) exit 0 ;; esac; exit 1',
    "container": _INSPECT + 'case "$i" in "false no"|"false ") exit 0 ;; esac; exit 1',
    "init": '[ ! -x "/etc/init.d/$1" ]',
}


def _back(unit: Unit) -> str:
    """The script that restores a service to the state in this unit."""
    run = unit.active
    if unit.manager in ("systemd", "condition"):
        script = f"set -e; {_RELEASE}"
        script += '; systemctl unmask "$1"' if unit.manager == "systemd" else ""
        script += '; systemctl start "$1"' if run else ""
        script += '; systemctl mask "$1"' if unit.before == "masked" else ""
    elif unit.manager == "init":
        enabled, mode = unit.before.split()
        enable = 'if command -v update-rc.d >/dev/null; then update-rc.d "$1" enable; else chkconfig "$1" on; fi'
        script = f'set -e; chmod {mode} "/etc/init.d/$1"' + (f"; {enable}" if enabled == "enabled" else "")
        script += '; service "$1" start' if run else ""
    else:
        script = f'set -e; "$0" update --restart={unit.before} "$1" >/dev/null'
        script += '; "$0" start "$1" >/dev/null' if run else ""
    return script + _FORGET


def _given_back(unit: Unit) -> str:
    """The probe for that: no record is left, and the service is in its previous state."""
    script = '[ ! -e "$3" ] || exit 1; '
    if unit.manager in ("systemd", "condition"):
        wanted = "active" if unit.active else "inactive"
        masked = "masked" if unit.before == "masked" else "*"
        free = "" if unit.before == "masked" else '[ "${f#*=}" != masked ] || exit 1; '
        condition = _CONDITION + '[ ! -e "$d/stackmend.conf" ] || exit 1; ' if unit.manager == "condition" else ""
        look = 'f=$(systemctl show -p UnitFileState "$1") || exit 2; '
        return (
            f'{script}{condition}{_ACTIVE}{look}{free}case "$a ${{f#*=}}" in {wanted}\\ {masked}) ;; *) exit 1 ;; esac'
        )
    if unit.manager == "init":
        return script + ('service "$1" status >/dev/null 2>&1 || exit 1' if unit.active else '[ -x "/etc/init.d/$1" ]')
    wanted = f"{'true' if unit.active else 'false'} {unit.before.partition(':')[0]}"
    return f'{script}{_INSPECT}[ "$i" = "{wanted}" ]'


#: patterns of recorded states: nothing in which a shell could see more
_BEFORE = {
    "systemd": r"masked|free",
    "condition": r"masked|free",
    "init": r"(enabled|disabled) [0-7]{3,4}",
    "docker": r"no|always|unless-stopped|on-failure(:\d+)?",
    "podman": r"no|always|unless-stopped|on-failure(:\d+)?",
}


def own_command(argv: tuple[str, ...]) -> bool:
    """Whether it is one of the commands above: rebuilt from the unit that it names, it is the same."""
    try:
        _, _, _, _, _, line, held = argv
        manager, name, active, before = line.split(" ", 3)
    except ValueError:
        return False
    if not re.fullmatch(r"[\w@][\w@.:\\-]*", name) or not re.fullmatch(_BEFORE.get(manager, "(?!)"), before):
        return False
    service = held.removeprefix(f"{HELD}/")
    unit = Unit(service=service, manager=manager, name=name, active=active == "active", before=before)
    known = (_REMEMBER + _STOP[_kind(unit)], _STOPPED[_kind(unit)], _back(unit), _given_back(unit))
    return "/" not in service and any(argv == _command(script, unit) for script in known)
