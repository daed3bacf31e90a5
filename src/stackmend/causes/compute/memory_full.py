# SPDX-License-Identifier: Apache-2.0
"""The host ran out of memory: the kernel ended a guest or a service, or QEMU could not start.

## What happens

Guests, their overhead and the services together need more memory than the host has. The kernel kills the largest
process, most often a guest, and Nova later finds the guest shut down.

## How it shows

"Out of memory: Killed process ... (qemu...)" in the kernel log, or "Cannot allocate memory" from QEMU. Nova logs that
the instance shut down by itself.

## What speaks against it

The guest shut itself down: then there is nothing in the kernel log.

## What to do

Reserve more memory for the host (``reserved_host_memory_mb``), lower ``ram_allocation_ratio``, or move servers away.
Then start the guest again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_KILLED = r"(?:Out of memory: Kill(?:ed)? process|oom-kill:.*task=|Killed process) ?\d* ?,?\(?(?P<what>[\w-]+)?"
_NONE = r"Cannot allocate memory|\[Errno 12\]|cannot set up guest memory|MemoryError"
_GONE = (
    r"During sync_power_state the instance|Instance is not \(soft-\)?deleted|shutdown by itself"
    r"|shutting down, reason=(?:crashed|failed)|Instance destroyed unexpectedly"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame memory if the kernel killed something on a host of this story, or an allocation of memory failed."""
    mine = {entry.host for entry in story.entries if story.id in entry.ids or entry.request in story.ids}
    killed = [m for m in story.find(_KILLED) if not mine or m.entry.host in mine or not m.entry.host]
    refused = story.find(_NONE, levels=("ERROR", "CRITICAL", "WARNING"), services=("nova", "qemu", "libvirt"))
    gone = story.find(_GONE)
    guests = [m for m in killed if "qemu" in (m.found["what"] or m.entry.text) or "kvm" in m.entry.text]
    if not refused and not (guests and gone) and not (killed and any(story.trouble())):
        return
    yield Verdict(
        statement=f"memory ran out {hosts(guests or killed or refused)}: "
        + (
            "the kernel killed a guest, which Nova found shut down"
            if guests and gone
            else "the kernel killed a process"
            if killed
            else f"none was left for {about(story)}"
        ),
        evidence=evidence(guests or killed, refused, gone),
        confidence=Confidence.CERTAIN if refused or (guests and gone) else Confidence.POSSIBLE,
        confirm=("journalctl -k | grep -i 'out of memory' on the host; free -m",),
        against=() if refused or guests else ("the process that was killed is no guest",),
        remedies=("stackmend host drain HOST --reason memory", "openstack server start SERVER, once there is room"),
    )


CAUSE = Cause(
    name="memory-full",
    judge=judge,
    signs=(r"Out of memory: Kill", r"Cannot allocate memory", r"oom-kill:"),
    words=("Out of memory", "oom-kill", "Cannot allocate memory"),
    explains=frozenset({"guest-refused", "build-rescheduled", "no-valid-host", "service-down"}),
)
