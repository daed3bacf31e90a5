# SPDX-License-Identifier: Apache-2.0
"""Why what hypervisors show forbids a repair: functions for ``unless`` of repairs.

Each answers "" where nothing speaks against it. That is never a proof: what was not read, or not seen, forbids nothing,
and allows nothing either.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stackmend.cloud.evidence import attachments
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.sight import Seen, Sighted
from stackmend.model.step import Step

#: codes of findings about what a server that does not exist has left
_GONE = frozenset({"deleted", "unknown"})


def disk_used(target: Row, live: Live, seen: Sighted, steps: Sequence[Step]) -> str:
    """A guest that runs has the volume, and of its server no other attachment remains."""
    del steps
    return users_left(live, seen, target["volume"], {str(target.get("server") or "")})


def volume_used(target: Row, live: Live, seen: Sighted, steps: Sequence[Step]) -> str:
    """A guest that runs has the volume, whatever records say of it."""
    del live, steps
    users = [one for one in seen.with_volume(target["volume"]) if one.runs]
    return f"{_users(users)} volume {target['volume']}, and may be writing to it" if users else ""


def users_left(live: Live, seen: Sighted, volume: object, gone: Collection[str]) -> str:
    """A guest that runs has the volume, and its server is one of ``gone`` or has no attachment in Cinder."""
    kept = {str(a["instance_uuid"]) for a in attachments.read(live, volume).attachments} - set(gone)
    users = [one for one in seen.with_volume(volume) if one.runs and one.domain.uuid not in kept]
    return f"{_users(users)} volume {volume}, and may be writing to it" if users else ""


def nic_used(target: Row, live: Live, seen: Sighted, steps: Sequence[Step]) -> str:
    """A guest that runs has the port."""
    del live, steps
    users = [one for one in seen.with_port(target["port"]) if one.runs]
    return f"{_users(users)} port {target['port']} as a NIC" if users else ""


def nic_or_guest(target: Row, live: Live, seen: Sighted, steps: Sequence[Step]) -> str:
    """Likewise, or the guest runs of a server that is gone: the port may be how its users reach it."""
    if target.get("code") in _GONE and (why := guest_runs(target, live, seen, steps)):
        return why
    return nic_used(target, live, seen, steps)


def guest_runs(target: Row, live: Live, seen: Sighted, steps: Sequence[Step]) -> str:
    """The guest of the server, or of the consumer of an allocation, runs."""
    del live, steps
    server = target.get("server") or target.get("consumer")
    running = seen.running(server)
    return f"the guest of server {server} runs on {' and '.join(running)}" if running else ""


def elsewhere(target: Row, live: Live, seen: Sighted, steps: Sequence[Step]) -> str:
    """The guest runs on another host than the row says, or on several."""
    del live, steps
    return _not_alone_on(target, seen, str(target["host"] or "no host"))


def not_found_there(target: Row, live: Live, seen: Sighted, steps: Sequence[Step]) -> str:
    """The guest runs elsewhere than the other records say; or it is off, and defined on Nova's host alone."""
    del live, steps
    found, host = str(target["found_host"]), str(target["host"])
    if why := _not_alone_on(target, seen, found):
        return why
    defined = {one.host for one in seen.guests(target["server"])}
    if host in defined and found not in defined and seen.read(found):
        return f"server {target['server']} is off, but defined on {host}, and not on {found}"
    return ""


def _not_alone_on(target: Row, seen: Sighted, host: str) -> str:
    running = seen.running(target["server"])
    if not running or set(running) == {host}:
        return ""
    return f"the guest of server {target['server']} runs on {' and '.join(running)}, not on {host} alone"


def _users(users: Sequence[Seen]) -> str:
    names = ", ".join(dict.fromkeys(f"{one.domain.uuid} on {one.host}" for one in users))
    return f"domain {names} runs and has"
