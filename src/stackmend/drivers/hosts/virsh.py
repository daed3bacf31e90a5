# SPDX-License-Identifier: Apache-2.0
"""The guests of a host by virsh on that host, for sites where libvirt itself cannot be reached from here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stackmend.drivers.hosts.domains import STATES, defined
from stackmend.drivers.hosts.words import last_line
from stackmend.hosts.scripts import script
from stackmend.model.errors import SourceError
from stackmend.model.objects.facts import Domain
from stackmend.model.protocols import Hosts

#: what virsh calls the states
_WORDS = dict(zip(("no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "pmsuspended"),
                  STATES, strict=True))  # fmt: skip
#: why one is paused, where virsh has other words than :mod:`.libvirt` (virsh-domain-monitor.c: virshDomainPausedReason)
_REASONS = {"unknown": "", "migrating": "migration", "saving": "save", "dumping": "dump"}
_REASON = re.compile(r"paused \((.*)\)")
_LINE = re.compile(r"^([^:]+):\s*(.*)$", re.MULTILINE)


#: texts that the script says of each domain, and the one that ends them
PARTS, END = 3, "end"


def domains(hosts: Hosts, host: str, limit: float) -> list[Domain]:
    """Every domain of a host, running or not; SourceError unless all were read within ``limit`` seconds."""
    done = hosts.run(host, ("sh", "-c", script("domains"), "stackmend"), limit=limit)
    parts = done.out.decode(errors="replace").split("\0")
    if done.code != 0 or parts[-2:] != [END, ""]:
        raise SourceError(*silent(host, last_line(done.err) or f"exit code {done.code}"))
    return parsed(host, parts[:-2])


def silent(host: str, why: str) -> tuple[str, str]:
    """What to say of a host whose domains could not be read, and a hint."""
    hint = f"Try 'virsh --readonly --connect qemu:///system list' on {host}."
    return f"virsh of {host} does not answer: {why}", hint


def parsed(host: str, parts: Sequence[str]) -> list[Domain]:
    """The domains in what the script said, by uuid; SourceError if it is not understood."""
    try:
        found = [_domain(*three) for three in zip(*(parts[at::PARTS] for at in range(PARTS)), strict=True)]
    except (ValueError, KeyError) as problem:
        raise SourceError(f"virsh of {host} answers what is not understood: {problem}") from None
    return sorted(found, key=lambda domain: domain.uuid)


def _domain(info: str, state: str, xml: str) -> Domain:
    said, reason = dict(_LINE.findall(info)), _REASON.search(state)
    return defined(
        xml,
        state=_WORDS.get(said["State"].strip(), said["State"].strip()),
        id=int(said["Id"]) if said["Id"].strip().isdecimal() else None,
        reason=_REASONS.get(reason[1], reason[1]) if reason else "",
        persistent=said.get("Persistent", "").strip() == "yes",
        autostart=said.get("Autostart", "").strip() == "enable",
    )
