# SPDX-License-Identifier: Apache-2.0
"""The host got a connection to a volume, and no device came of it: wrong initiator, no portal, no path of multipath.

## What happens

Cinder exports the volume to the initiator that the host reported. os-brick logs in and waits for the device. No device
appears if the initiator's name was changed or is used by two hosts, the portals cannot be reached, or multipathd does
not answer.

## How it shows

``VolumeDeviceNotFound``, ``TargetPortalNotFound`` or "Could not find any paths for the volume" in the log of
nova-compute or Cinder; "iscsiadm" or "multipath" with an error code.

## What speaks against it

cinder-volume logs an error for the same request: then the back end refused.

## What to do

On the host, check that the initiator's name is unique, that the portals can be reached and that multipathd is running.
Then attach the volume again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_PATHS = (
    r"VolumeDeviceNotFound|Volume device not found at|TargetPortals?NotFound|Unable to find "
    r"target portal|VolumePathsNotFound|Could not find any paths for the volume"
    r"|NoFibreChannelVolumeDeviceFound|Unable to find a Fibre Channel volume device|iscsiadm: "
    r"(?P<iscsi>[^\n]+)|multipathd? .*(?:error|timeout|failed)|FailedISCSITargetPortalLogin"
    r"|NVMe.*(?:connect|not found).*(?:fail|error)"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if the host looked for a device in vain."""
    found = story.find(_PATHS, services=("nova", "cinder", "os_brick"), levels=("ERROR", "CRITICAL", "WARNING"))
    hard = [m for m in found if m.entry.trouble]
    if not hard:
        return
    refused = story.find(r"Driver initialize connection failed", services=("cinder",), levels=("ERROR",))
    initiator = [
        m
        for m in found
        if m.found["iscsi"] and ("authorization" in m.found["iscsi"] or "initiator" in m.found["iscsi"])
    ]
    yield Verdict(
        statement=f"no device came of the volume of {about(story)} {hosts(hard)}"
        + (": the target refused the initiator" if initiator else ": no path to it was found"),
        evidence=evidence(hard, found, refused),
        confidence=Confidence.LIKELY if refused else Confidence.CERTAIN,
        confirm=("on the host: cat /etc/iscsi/initiatorname.iscsi, iscsiadm -m session, multipath -ll",),
        against=("cinder-volume reports an error for the same volume: the back end may have refused first",)
        if refused
        else (),
        remedies=(
            "stackmend volume list --host HOST  # what else of that host is affected",
            "mend the paths, then attach again",
        ),
    )


CAUSE = Cause(
    name="volume-path-missing",
    judge=judge,
    signs=(r"VolumeDeviceNotFound", r"VolumePathsNotFound", r"TargetPortals?NotFound", r"Volume device not found at"),
    explains=frozenset({"build-rescheduled", "no-valid-host", "guest-refused"}),
)
