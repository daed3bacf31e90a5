# SPDX-License-Identifier: Apache-2.0
"""A live migration did not end: the guest wrote memory faster than it was copied.

## What happens

QEMU copies memory in rounds. A busy guest on a slow link changes as much memory during each round as was copied. Nova
aborts the migration after ``live_migration_completion_timeout``, or, if so configured, switches to post-copy or forces
completion.

## How it shows

"Migration running for N secs, memory M% remaining" with a percentage that does not fall; "Live migration not completed
after N sec".

## What speaks against it

The migration failed at once. Then look for a CPU mismatch, a port in use or a refused connection.

## What to do

Help it to converge (auto-converge, post-copy), give it more bandwidth, or force it to complete. At night, when the
guest is less busy, it may simply work.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_LATE = (
    r"Live migration not completed after (?P<seconds>\d+) sec|did not converge|Migration operation "
    r"timed out|exceeds? the completion timeout"
)
_RUNNING = r"Migration running for (?P<seconds>\d+) secs?, memory (?P<left>\d+)% remaining"
_ABORTED = (
    r"operation aborted: migration|migration (?:out )?job: canceled by client|Migration operation "
    r"has aborted|migration.*was cancell?ed"
)
_GROWS = 3


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if the migration was aborted by its timeout, or the remaining memory did not fall."""
    late, running, aborted = story.find(_LATE), story.find(_RUNNING), story.find(_ABORTED)
    left = [int(match.found["left"]) for match in running]
    stuck = len(left) >= _GROWS and left[-1] > 10 and min(left[-_GROWS:]) >= max(left[-_GROWS:]) - 5
    if not late and not (stuck and aborted):
        return
    yield Verdict(
        statement=f"the live migration of {about(story)} did not converge {hosts(late or running)}"
        + (f": {left[-1]} % of its memory was left after {running[-1].found['seconds']} s" if left else ""),
        evidence=evidence(late, running[-3:], aborted),
        confidence=Confidence.CERTAIN if late else Confidence.LIKELY,
        confirm=("virsh domjobinfo on the source during the next try: Dirty rate against Memory bandwidth",),
        remedies=(
            "[libvirt] live_migration_permit_auto_converge or live_migration_permit_post_copy on both hosts",
            "openstack server migration force complete SERVER MIGRATION",
            "stackmend audit --check port-binding-inactive-leftover  # what the aborted migration left",
        ),
    )


CAUSE = Cause(
    name="live-migration-not-converging",
    judge=judge,
    signs=(r"Live migration not completed after",),
)
