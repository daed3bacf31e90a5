# SPDX-License-Identifier: Apache-2.0
"""Work waited for a lock that somebody held for very long, or that nobody alive holds.

## What happens

Services serialise work on one object and on the files of a host (cached base images, qcow2 disks). If the holder of a
lock hangs, or a process died and left its lock file on shared storage, everything queued behind it waits.

## How it shows

"Lock ... acquired ... waited 612.3s" or "held 900s" (at the level DEBUG), "Failed to get "write" lock" and "Is another
process using the image" from QEMU, "Cannot acquire state change lock" from libvirt.

## What speaks against it

The wait was short: under a minute, nothing is concluded. Or the wait was long but nothing went wrong: an image is
fetched once, and everything else waits for it.

## What to do

Find the holder: the process that the message of QEMU or libvirt names, or whichever process on any host has the file
open.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_WAITED = r"Lock ['\"](?P<lock>[^'\"]+)['\"].{0,300}?(?:waited|held) (?P<seconds>\d+(?:\.\d+)?)s"
_FILE = (
    r"Failed to get [\"']?(?:shared )?[\"']?\w*[\"']? ?lock|Is another process using the image"
    r"|Cannot acquire state change lock \(held by (?P<job>[^)]*)\)|Timed out during operation: "
    r"cannot acquire state change lock"
)
_LONG = 60.0


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if a file lock or a libvirt lock was refused, or something waited for more than a minute."""
    waited = [m for m in story.find(_WAITED) if float(m.found["seconds"]) >= _LONG] if any(story.trouble()) else []
    refused = story.find(_FILE, levels=("ERROR", "CRITICAL", "WARNING"))
    if not (waited or refused):
        return
    what = (
        "the disk is locked by another process"
        if refused and "acquire state" not in refused[0].entry.whole
        else "libvirt's lock of the guest was not released"
    )
    longest = max((float(m.found["seconds"]) for m in waited), default=0.0)
    yield Verdict(
        statement=f"{about(story)} waited for a lock {hosts(refused or waited)}: "
        + (what if refused else f"{waited[0].found['lock']}, {longest:.0f} seconds"),
        evidence=evidence(refused, waited),
        confidence=Confidence.CERTAIN if refused else Confidence.LIKELY,
        confirm=(
            "on the host: lslocks, fuser DISK, virsh domjobinfo GUEST",
            "on shared storage: the same on the other hosts",
        ),
        remedies=(
            "stackmend server where SERVER  # does the guest run elsewhere?",
            "end the holder only when it is known to be dead",
        ),
    )


CAUSE = Cause(
    name="stale-lock",
    judge=judge,
    signs=(r"Failed to get \"?(?:shared )?\"?\w*\"? ?lock", r"Cannot acquire state change lock"),
    explains=frozenset({"guest-refused", "build-rescheduled", "no-valid-host"}),
)
