# SPDX-License-Identifier: Apache-2.0
"""The processors of two hosts differ: the guest's CPU is not possible on the target.

## What happens

Before a live migration, Nova compares the guest's CPU (with ``host-model`` and ``host-passthrough``, the source host's
CPU) with that of the target. It refuses the migration if only one of them has a flag. A newer microcode or kernel is
enough to make that difference.

## How it shows

"Unacceptable CPU info: CPU doesn't have compatibility", ``MigrationPreCheckError``; "guest CPU doesn't match
specification: missing features" from libvirt.

## What speaks against it

The same guest has moved between these hosts before. Then the hardware is not at fault: a microcode update changed the
flags.

## What to do

Configure a CPU model that all hosts of the aggregate support (``cpu_models``). Until then, use cold migration.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_CPU = (
    r"Unacceptable CPU info: (?P<why>[^\n]*)|InvalidCPUInfo|CPU doesn't have compatibility|guest "
    r"CPU doesn't match specification: (?P<missing>[^\n]*)"
    r"|CPU is incompatible with host CPU|not compatible with host CPU|the CPU is incompatible"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame the CPUs if Nova or libvirt says so."""
    found = [m for m in story.find(_CPU) if m.entry.level != "DEBUG"]
    if not found:
        return
    why = listed(((m.found["missing"] or m.found["why"] or "").strip() for m in found), 1)
    yield Verdict(
        statement=f"the CPU of {about(story)} is not possible on the target{f': {why[:200]}' if why else ''}",
        evidence=evidence(found),
        confidence=Confidence.CERTAIN,
        confirm=(
            "virsh cpu-compare on the target with the <cpu> of the guest's definition",
            "microcode and kernel of both hosts",
        ),
        remedies=(
            (
                "set [libvirt] cpu_mode = custom and cpu_models to one that all hosts have; hard "
                "reboot guests to take it over"
            ),
            "move it cold: openstack server migrate SERVER",
        ),
    )


CAUSE = Cause(
    name="cpu-incompatible",
    judge=judge,
    signs=(r"Unacceptable CPU info", r"guest CPU doesn't match specification", r"InvalidCPUInfo"),
    explains=frozenset({"guest-refused", "no-valid-host", "live-migration-not-converging"}),
)
