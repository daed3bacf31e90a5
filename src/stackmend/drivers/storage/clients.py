# SPDX-License-Identifier: Apache-2.0
"""Who has images of a pool open, who holds their locks, and whom the cluster has blocklisted."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from stackmend.drivers import asking
from stackmend.drivers.storage.commands import documents, printed
from stackmend.hosts.scripts import script
from stackmend.model.errors import SourceError
from stackmend.model.objects.storage import BackEnd, Clients, Opened
from stackmend.model.protocols import Hosts

#: images of one call, and number of calls at a time
_PART, _AT_ONCE = 100, 4
_RANGE = "range "
#: address, or range of them -> until when it is blocklisted
Bars = Mapping[str, str]


def ceph(back_end: BackEnd) -> tuple[str, ...]:
    """The program ``ceph``, with the account and in the container of ``rbd``. SourceError if that has another name."""
    program = back_end.program or ("rbd",)
    found = tuple(re.sub(r"(^|/)rbd$", r"\1ceph", word) for word in program)
    if found == program:
        raise SourceError(f"program of [storage.{back_end.name}] does not name rbd, so it is not known how ceph is run")
    return found


def opened(hosts: Hosts, back_end: BackEnd, names: Sequence[str]) -> Opened:
    """Who has these open. What is not known is said of each by name, and nothing is raised."""
    bars, bars_unread = _bars(hosts, back_end)
    parts = [names[start : start + _PART] for start in range(0, len(names), _PART)]
    clients: list[Clients] = []
    unread: dict[str, str] = {}
    for answer, problems in asking.each(lambda part: _part(hosts, back_end, part), parts, _AT_ONCE, "", asking.unseen):
        unread |= problems
        for name, shown in answer.items():
            try:
                clients.append(_clients(name, *shown, bars))
            except (KeyError, TypeError) as problem:
                unread[name] = f"rbd answers what is not understood: {problem!r}"
    return Opened(clients=tuple(clients), unread=unread, bars_unread=bars_unread)


def _part(hosts: Hosts, back_end: BackEnd, names: Sequence[str]) -> tuple[dict[str, tuple[Any, Any]], dict[str, str]]:
    """(Name -> its locks and watchers, name -> why they are not known); nothing of an image that is gone."""
    program = back_end.program or ("rbd",)
    argv = ("sh", "-c", script("rbd_clients"), "stackmend", back_end.place, *program)
    stdin, called = "".join(f"{name}\n" for name in names).encode(), (*program, "status", back_end.place)
    try:
        lines = printed(hosts, back_end, argv, stdin, called).decode().splitlines()
    except (SourceError, UnicodeDecodeError) as problem:
        return {}, dict.fromkeys(names, str(problem))
    found: dict[str, tuple[Any, Any]] = {}
    unread = dict.fromkeys(names, "its line is missing in the answer")
    for line in lines:
        name, _, rest = line.partition("\t")
        first, _, second = rest.partition("\t")
        if first == "unread":
            unread[name] = second or "rbd lock ls failed"
            continue
        unread.pop(name, None)
        if first not in ("", "gone"):
            try:
                found[name] = (json.loads(first), json.loads(second)["watchers"])
            except (ValueError, KeyError, TypeError) as problem:
                unread[name] = f"rbd answers what is not understood: {problem!r}"
    return found, unread


def _clients(name: str, locks: Any, watchers: Any, bars: Bars) -> Clients:
    """Of one image. A lock that several hold together is nobody's: it was not taken in order to write."""
    there = {_plain(one["address"]): f"client.{one['client']}" for one in watchers}
    if len(locks) != 1:
        return Clients(name=name, watchers=tuple(sorted(there)))
    (lock,) = locks
    owner, locker = _plain(lock["address"]), str(lock["locker"])
    return Clients(
        name=name,
        watchers=tuple(sorted(there)),
        owner=owner,
        locker=locker,
        lock=str(lock["id"]),
        managed=str(lock["id"]).startswith("auto "),  # librbd/ManagedLock.cc: "auto <cookie>"
        alive=owner in there or locker in there.values(),
        barred=_barred(owner, bars),
    )


def _plain(address: str) -> str:
    """Without the protocol that some releases write before it."""
    return re.sub(r"^(?:v1|v2|any):", "", str(address))


def _bars(hosts: Hosts, back_end: BackEnd) -> tuple[Bars, str]:
    """(Who is blocklisted, why that is not known). Releases with ranges print them as a second document."""
    try:
        found = documents(hosts, back_end, (*ceph(back_end), "osd", "blocklist", "ls", "--format", "json"))
        every = [one for some in found for one in some]
        return {
            _RANGE + one["range"] if "range" in one else _plain(one["addr"]): str(one["until"]) for one in every
        }, ""
    except SourceError as problem:
        return {}, problem.message
    except (KeyError, TypeError, AttributeError) as problem:
        return {}, f"ceph osd blocklist ls answers what is not understood: {problem!r}"


def _barred(address: str, bars: Bars) -> str:
    """Until when: by itself, with every client of its machine (``IP:0/0``), or with a range (``IP:0/BITS``)."""
    host = address.rpartition(":")[0]
    until = bars.get(address) or bars.get(f"{host}:0/0", "")
    within = (end for entry, end in bars.items() if entry.startswith(_RANGE) and _within(host, entry[len(_RANGE) :]))
    return until or next(within, "")


def _within(host: str, entry: str) -> bool:
    network, _, bits = entry.rpartition(":0/")
    try:
        return ipaddress.ip_address(host.strip("[]")) in ipaddress.ip_network(f"{network.strip('[]')}/{bits}", False)
    except ValueError:
        return False
