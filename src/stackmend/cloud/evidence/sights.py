# SPDX-License-Identifier: Apache-2.0
"""What can be seen of findings on hypervisors: a function a kind of question, for ``sight`` of the checks.

Only a guest that runs decides anything. One that is defined and off, or is not there, does not: it may have been shut
off a moment ago, its host may have been restarted, and it may be on a host that was not read.
"""

from __future__ import annotations

from functools import partial

from stackmend.model.finding import Row, Says
from stackmend.model.sight import Seen, Sight, Sighted

_NOTHING = (Says.UNKNOWN, "")


def whereabouts(found: str, host: str = "host") -> Sight:
    """For the claim that a server is not on ``host``, as Nova has it, but on ``found`` (columns)."""
    return Sight(judge=partial(_where, found=found, host=host), hosts=(host, found))


def guest(*hosts: str, server: str = "server") -> Sight:
    """For findings whose repair depends on whether, and where, the guest of the server runs."""
    return Sight(judge=partial(_guest, server=server), server=server, hosts=hosts or ("host",))


def unproved(launched: str, host: str = "host") -> Sight:
    """For the claim that nothing shows a server to be on ``host``: its guest does, if it runs there alone."""
    return Sight(judge=partial(_unproved, launched=launched, host=host), hosts=(host, launched))


def disk(*hosts: str) -> Sight:
    """For findings that leave open whether a guest, on these hosts or on any that has it, has the volume."""
    return Sight(judge=_disk, volume="volume", hosts=hosts)


def nic(*hosts: str) -> Sight:
    """For findings that leave open whether a guest has the port as a NIC."""
    return Sight(judge=_nic, port="port", hosts=hosts)


def _where(row: Row, seen: Sighted, *, found: str, host: str) -> tuple[Says, str]:
    ours, theirs = str(row[host]), str(row[found])
    running = set(seen.running(row["server"]))
    if len(running) > 1:
        return Says.UNKNOWN, f"its guest runs on {' and '.join(sorted(running))} at once"
    if running == {ours}:
        if seen.read(theirs):
            return Says.CONTRADICTS, f"its guest runs on {ours}, as Nova says: what the other records say is wrong"
        return Says.UNKNOWN, f"its guest runs on {ours}, as Nova says; whether also on {theirs} is unknown"
    if running:
        also = "" if seen.read(ours) else f"; whether also on {ours} is unknown"
        return Says.SUPPORTS, f"its guest runs on {min(running)}{also}"
    return _NOTHING


def _unproved(row: Row, seen: Sighted, *, launched: str, host: str) -> tuple[Says, str]:
    running = set(seen.running(row["server"]))
    if running == {str(row[host])} and seen.read(row[launched]):
        return Says.CONTRADICTS, f"its guest runs on {row[host]}, and not on {row[launched]}"
    return (Says.UNKNOWN, f"its guest runs on {' and '.join(sorted(running))}") if running else _NOTHING


def _guest(row: Row, seen: Sighted, *, server: str) -> tuple[Says, str]:
    running = seen.running(row[server])
    return (Says.UNKNOWN, f"its guest runs on {' and '.join(running)}") if running else _NOTHING


def _disk(row: Row, seen: Sighted) -> tuple[Says, str]:
    return _device(row, seen, seen.with_volume(row["volume"]), "the volume")


def _nic(row: Row, seen: Sighted) -> tuple[Says, str]:
    return _device(row, seen, seen.with_port(row["port"]), "the port")


def _device(row: Row, seen: Sighted, having: tuple[Seen, ...], what: str) -> tuple[Says, str]:
    users = [one for one in having if one.runs]
    if users:
        hosts = " and ".join(dict.fromkeys(one.host for one in users))
        return Says.SUPPORTS, f"a guest that runs on {hosts} has {what}"
    running = seen.running(row.get("server"))
    return (Says.SUPPORTS, f"its guest runs on {' and '.join(running)} without {what}") if running else _NOTHING
