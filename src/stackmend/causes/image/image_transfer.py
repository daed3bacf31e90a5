# SPDX-License-Identifier: Apache-2.0
"""The image did not come over whole: too large for the flavor, too slow, cut off, or not what its checksum says.

## What happens

nova-compute or Cinder fetches the image and converts it. The virtual size may exceed the flavor's disk, the connection
may break, or the checksum of the content may differ from the one that Glance recorded.

## How it shows

``FlavorDiskSmallerThanImage``, ``ImageUnacceptable``, "Corrupt image download" or ``IncompleteRead``, or "Connection
broken" in a traceback with ``download`` or ``fetch``.

## What speaks against it

"could not be found" means that the content is missing, and "No space left" means that storage is full. Both are other
causes.

## What to do

Compare the size and hash of the content with the image's size and os_hash_value. Use a larger flavor, or upload the
image again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_LARGE = (
    r"FlavorDiskSmallerThan(?:Image|MinDisk)|Flavor's disk is (?:too small|smaller)|virtual size \S+ "
    r"(?:larger|exceeds)|Image virtual size is \S+ and doesn't fit|ImageUnacceptable[^\n]*size"
)
_BAD = (
    r"Corrupt image download|Image \S+ is unacceptable: (?P<why>[^\n]*)|CorruptedImage|HashMismatch"
    r"|[Cc]hecksum.*(?:mismatch|does not match|not match)|ImageUnacceptable"
)
_BROKEN = (
    r"IncompleteRead|Connection broken|ConnectionResetError|ReadTimeout|Error finding address for "
    r".*images|CommunicationError|GlanceConnectionFailed|Connection to glance host .* failed"
    r"|ImageCopyFailure|Failed to copy image"
)
_FETCH = r"download|fetch|image"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if the image arrived, but not as it should."""
    levels = ("ERROR", "CRITICAL", "WARNING")
    large, bad = story.find(_LARGE), story.find(_BAD, levels=levels)
    broken = [
        m for m in story.find(_BROKEN, services=("nova", "cinder"), levels=levels) if re.search(_FETCH, m.entry.whole)
    ]
    bad = [m for m in bad if not re.search(_LARGE, m.entry.whole) and "no associated data" not in m.entry.whole]
    if not (large or bad or broken):
        return
    what = (
        "is too large for the flavor's disk"
        if large
        else "is not what Glance recorded, or of a kind that is refused"
        if bad
        else "was not transferred whole: the connection to Glance broke"
    )
    image = next(iter(story.of("image")), "")
    yield Verdict(
        statement=f"the image {image or ''} of {about(story)} {what} {hosts(large or bad or broken)}".replace(
            "  ", " "
        ),
        evidence=evidence(large, bad, broken),
        confidence=Confidence.CERTAIN if large or bad else Confidence.LIKELY,
        confirm=(
            (
                "openstack image show IMAGE: size, virtual_size, os_hash_value; compare with the "
                "content on each Glance node"
            ),
        ),
        remedies=(
            "use a flavor whose disk is larger"
            if large
            else "upload the image again"
            if bad
            else "see glance-api and the balancer of that minute",
        ),
    )


CAUSE = Cause(
    name="image-transfer",
    judge=judge,
    signs=(
        r"FlavorDiskSmallerThan",
        r"Corrupt image download",
        r"ImageUnacceptable",
        r"Connection to glance host .* failed",
    ),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
