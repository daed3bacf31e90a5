# SPDX-License-Identifier: Apache-2.0
"""A disk, its inodes, or a pool of a back end is full.

## What happens

Fetching an image, creating or extending a disk, or writing a log fails with "No space left on device" on the compute
host, in Glance's store or on Cinder's back end.

## How it shows

``ENOSPC``, ``[Errno 28]``, "Insufficient free space", ``StorageFull``, "is paused ... I/O error" of guests.

## What speaks against it

There is free space again soon afterwards: a base image may have been removed since. The disk was full all the same.

## What to do

Run ``df -h`` and ``df -i`` on the host. The host checks find unused base images and directories of servers that no
longer exist.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed, hosts
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_FULL = (
    r"No space left on device|\[Errno 28\]|ENOSPC|StorageFull|Image storage media is full"
    r"|Insufficient free (?:virtual )?space|There is not enough disk space"
    r"|InsufficientFreeSpace|Disk quota exceeded|block I/O error.*ENOSPC|write failed: No space"
)
_INODES = r"inode"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if something for this object could not be written."""
    full = [
        m
        for m in story.find(_FULL, levels=("ERROR", "CRITICAL", "WARNING"))
        if failed(story, m) or m.entry.service in ("qemu", "libvirt")
    ]
    if not full:
        return
    where = hosts(full)
    yield Verdict(
        statement=(
            f"storage is full {where}: {full[-1].entry.service or 'a service'} could not write for {about(story)}"
        ),
        evidence=evidence(full),
        confidence=Confidence.CERTAIN,
        confirm=(f"df -h and df -i {where}",),
        remedies=(
            "stackmend audit --visit-hosts --check base-file-unused --check instance-dir-orphan",
            "stackmend host drain HOST --reason 'disk full'",
        ),
    )


CAUSE = Cause(
    name="storage-full",
    judge=judge,
    signs=(
        r"No space left on device",
        r"StorageFull",
        r"InsufficientFreeSpace",
        r"Insufficient free (?:virtual )?space",
    ),
    words=("No space left",),
    explains=frozenset({"build-rescheduled", "no-valid-host", "guest-refused", "database-lost", "image-transfer"}),
)
