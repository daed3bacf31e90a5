# SPDX-License-Identifier: Apache-2.0
"""The storage back end refused to export a volume, or to let the host connect to it.

## What happens

Nova asks Cinder for a connection, and cinder-volume asks the back end to export the volume to the host's initiator. The
export fails: the back end cannot be reached, it does not know the host, a limit is reached, or the volume is exported
elsewhere.

## How it shows

"Driver initialize connection failed", "Create export of volume failed" or ``VolumeBackendAPIException`` in
cinder-volume's log; ``VolumeAttachFailed`` or "Failed to attach volume" in Nova's.

## What speaks against it

Cinder completed its part, and the attachment failed on the host: then the paths are missing there.

## What to do

Correct the back end, then attach the volume again. An audit finds what is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_CINDER = (
    r"Driver initialize connection failed|Create export (?:of|for) volume failed"
    r"|initialize_connection.*(?:fail|error)|Unable to fetch connection information from backend"
    r"|Bad or unexpected response from the storage volume backend API: (?P<why>[^\n]*)"
    r"|VolumeBackendAPIException|Update driver status failed|Unable to get connector|Invalid "
    r"input received: Connector doesn't have required information"
)
_NOVA = (
    r"Driver failed to attach volume|Failed to attach (?:volume )?(?P<volume>[0-9a-f-]{36})?"
    r"|VolumeAttachFailed|Failed to create attachment|Update attachment failed|Create attachment "
    r"failed"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame the back end if Cinder could not provide a connection."""
    cinder = story.find(_CINDER, services=("cinder",), levels=("ERROR", "CRITICAL"))
    nova = story.find(_NOVA, services=("nova",), levels=("ERROR", "CRITICAL", "WARNING"))
    if not cinder:
        return
    why = listed((m.found["why"] or "" for m in cinder), 1)
    volumes = listed([story.id] if story.kind == "volume" else story.of("volume"), 2)
    yield Verdict(
        statement=(
            f"the storage back end refused volume "
            f"{volumes or '?'}{'' if story.kind == 'volume' else f' of {about(story)}'} "
            f"{hosts(cinder)}{f': {why}' if why else ''}"
        ),
        evidence=evidence(cinder, nova),
        confidence=Confidence.CERTAIN,
        confirm=(
            "cinder-volume's log of that minute, and the back end's own",
            "openstack volume service list: is cinder-volume up?",
        ),
        remedies=(
            "correct the back end, then attach again",
            "stackmend audit --check volume-status-attachment-mismatch --check attachment-deleted-incompletely",
        ),
    )


CAUSE = Cause(
    name="volume-attach-refused",
    judge=judge,
    signs=(
        r"Driver initialize connection failed",
        r"VolumeBackendAPIException",
        r"Create export (?:of|for) volume failed",
    ),
    explains=frozenset({"build-rescheduled", "no-valid-host", "volume-path-missing"}),
)
