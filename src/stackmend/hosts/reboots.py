# SPDX-License-Identifier: Apache-2.0
"""Facts about a restarted host: its boot time, what ran before, and what its nova-compute reports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stackmend.cloud import compute
from stackmend.cloud.servers import Server
from stackmend.hosts.fencing import moment
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.operations.compute import ConsoleMoves, ConsoleSeen, GuestPower
from stackmend.model.workflow import Sight

#: seconds before a boot during which the host was shutting down: libvirt stops guests, and nova-compute records it
GOING_DOWN = 900
#: actions that do not change a guest's power state
_BESIDE = frozenset(
    {
        "lock", "unlock", "createImage", "createBackup", "attach_volume", "detach_volume", "attach_interface",
        "detach_interface", "swap_volume", "extend_volume", "addFixedIp", "removeFixedIp", "changePassword",
        "live-migration", "live_migration_cancel", "live_migration_force_complete", "attach_share", "detach_share",
        "resetState", "trigger_crash_dump",
    }
)  # fmt: skip
#: where packages and containers keep the log of nova-compute
_LOGS = ("/var/log/nova/nova-compute.log", "/var/log/kolla/nova/nova-compute.log")
_LOG_LINES = 20000
#: log messages of nova-compute and oslo.messaging about their connection
_CONNECTED = re.compile(r"Reconnected to AMQP server|Connected to AMQP server")
_LOST = re.compile(r"AMQP server .* is unreachable|Connection failed: .*(?:ECONNREFUSED|refused|timed out)", re.I)


def boot(sight: Sight, host: str, since: str) -> datetime | None:
    """The boot time: from the operator, else from the kernel; None if neither is known."""
    if since:
        try:
            return moment(since)
        except ValueError:
            raise UsageError(f"--since {since} is not a time", "Write it as 2026-11-21T03:00:00, in UTC.") from None
    if sight.hosts is None:
        return None
    try:
        done = sight.hosts.run(host, ("cat", "/proc/stat"))
    except SourceError as problem:
        sight.facts["boot_unknown"] = problem.message
        return None
    match = re.search(rb"^btime (\d+)$", done.out, re.M)
    return datetime.fromtimestamp(int(match[1]), UTC) if match else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerAction:
    """The latest action that changed the power of a server."""

    action: str
    at: datetime | None
    nobody: bool  #: no user requested it: nova-compute did it on its own
    failed: bool = False


def newest(sight: Sight, server: str) -> PowerAction | None:
    """The last power action of a server, None if none is recorded.

    If a guest is found off, nova-compute asks its own API to stop the server, in a context without user
    (nova/compute/manager.py: _sync_instance_power_state): that is a ``stop`` without a user.
    """
    every = [one for one in compute.actions(sight.api, server) if one["action"] not in _BESIDE]
    one = max(every, key=lambda one: str(one["start_time"]), default=None)
    if one is None:
        return None
    return PowerAction(
        action=str(one["action"]),
        at=moment(one["start_time"]),
        nobody=not one.get("user_id"),
        failed=bool(one.get("message")),
    )


def by_sync(stop: PowerAction | None, booted: datetime | None) -> bool | None:
    """Whether nova-compute stopped it when its host went down or came up; None if unknown."""
    if stop is None or stop.action != "stop" or not stop.nobody:
        return False
    if booted is None or stop.at is None:
        return None
    return stop.at >= booted - timedelta(seconds=GOING_DOWN)


def running(sight: Sight, guest: Server) -> bool | None:
    """Whether the hypervisor runs it now; None if unknown. SourceError if nova-compute does not answer."""
    return sight.api.look(GuestPower(server=guest.id))["running"]


def console(sight: Sight, guest: Server) -> ConsoleSeen:
    """What its console shows now: ``console`` (a digest, None without one) and ``shows``."""
    return sight.api.look(ConsoleMoves(server=guest.id, before=None))


def log(sight: Sight, host: str) -> Sequence[str]:
    """The last lines of nova-compute's log, () if it cannot be read."""
    if sight.hosts is None:
        return ()
    try:
        done = sight.hosts.run(host, ("tail", "-q", "-n", str(_LOG_LINES), *_LOGS))
    except SourceError as problem:
        sight.facts["log_unknown"] = problem.message
        return ()
    return done.out.decode(errors="replace").splitlines()


def connected(lines: Sequence[str]) -> str:
    """The last line of the log that reports the loss of RabbitMQ; "" if there is none, or it was restored."""
    for line in reversed(lines):
        if _CONNECTED.search(line):
            return ""
        if _LOST.search(line):
            return line.strip()[:300]
    return ""


def reason(lines: Sequence[str], server: str) -> str:
    """The last error in the log about a server, else ""."""
    found = (line for line in reversed(lines) if server in line and re.search(r"\b(?:ERROR|CRITICAL)\b", line))
    line = next(found, "")
    return re.sub(r"^.*?\b(?:ERROR|CRITICAL)\b\s+\S+\s+(?:\[[^\]]*\]\s*)*", "", line).strip()[:300]
