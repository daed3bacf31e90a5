# SPDX-License-Identifier: Apache-2.0
"""The guests of a host by virsh on that host, for sites where libvirt itself cannot be reached from here."""

from __future__ import annotations

import re

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


def domains(hosts: Hosts, host: str, limit: float) -> list[Domain]:
    """Every domain of a host, running or not; SourceError unless all were read within ``limit`` seconds."""
    done = hosts.run(host, ("sh", "-c", script("domains"), "stackmend"), limit=limit)
    parts = done.out.decode(errors="replace").split("\0")
    if done.code != 0 or parts[-2:] != ["end", ""]:
        why = last_line(done.err) or f"exit code {done.code}"
        raise SourceError(
            f"virsh of {host} does not answer: {why}",
            f"Try 'virsh --readonly --connect qemu:///system list' on {host}.",
        )
    try:
        found = [_domain(*three) for three in zip(parts[:-2:3], parts[1:-2:3], parts[2:-2:3], strict=True)]
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
