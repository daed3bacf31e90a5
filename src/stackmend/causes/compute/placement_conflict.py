# SPDX-License-Identifier: Apache-2.0
"""Placement refused an allocation: no room although the scheduler saw some, or others wrote at the same time.

## What happens

Between the scheduler's query and its claim, another request takes the room; or an allocation that no longer has an
owner holds it. Placement answers 409. Nova retries a few times, then gives up.

## How it shows

"Unable to submit allocation", "would exceed the capacity", "Another thread concurrently updated the data".

## What speaks against it

A successful claim followed the conflict.

## What to do

Look for allocations without an owner on that resource provider.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_REFUSED = (
    r"Unable to (?:submit|create|allocate)\b[^\n]*allocation|would exceed the capacity|The "
    r"requested amount would exceed|Over capacity for (?P<resource>\w+) on resource provider "
    r"(?P<provider>[0-9a-f-]{36})"
    r"|AllocationUpdateFailed|AllocationCreateFailed|Failed to create allocations for instance"
)
_RACE = r"Another thread concurrently updated|concurrent_update|ConcurrentUpdateDetected|generation conflict"
_HEALTHY = r"Instance spawned successfully|Took [\d.]+ seconds to build"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if a claim for this object was refused and no later claim succeeded."""
    refused = [
        m
        for m in story.find(_REFUSED)
        if failed(story, m) or "nova" in m.entry.service or m.entry.service.startswith("placement")
    ]
    race = [m for m in story.find(_RACE) if failed(story, m)]
    if not (refused or race) or (story.find(_HEALTHY) and not any(m.entry.trouble for m in refused)):
        return
    full = [m for m in refused if "exceed" in m.entry.whole or "Over capacity" in m.entry.whole]
    providers = listed(m.found["provider"] or "" for m in refused)
    yield Verdict(
        statement=f"Placement refused the allocation of {about(story)}: "
        + (
            f"no room left on provider {providers or '(see the message)'}"
            if full
            else "others changed the same provider at the same time"
        ),
        evidence=evidence(refused, race),
        confidence=Confidence.CERTAIN if refused else Confidence.LIKELY,
        confirm=("openstack resource provider show --allocations PROVIDER: consumers that are no servers any more",),
        remedies=(
            "stackmend audit --check allocation-orphan --check allocation-wrong-provider",
            "stackmend plan create --check allocation-orphan",
        ),
    )


CAUSE = Cause(
    name="placement-conflict",
    judge=judge,
    signs=(
        r"Over capacity for \w+ on resource provider",
        r"Another thread concurrently updated",
        r"Unable to submit allocation",
    ),
    words=("Over capacity for",),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
