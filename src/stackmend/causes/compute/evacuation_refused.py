# SPDX-License-Identifier: Apache-2.0
"""An evacuation was refused because Nova takes the host's service for up.

## What happens

Nova evacuates only from a host whose nova-compute service is down. A host that has just died counts as up until
``service_down_time`` has passed since its last report. A host whose guests have died but whose service still runs
stays up.

## How it shows

"Compute service of ... is still in use" (409) from nova-api.

## What speaks against it

The host really works: then an evacuation would start its guests twice.

## What to do

Prove that the host is dead, then evacuate it. stackmend fences the host first and sets its service to forced-down.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_IN_USE = r"Compute service of (?P<host>\S+) is still in use|ComputeServiceInUse"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if Nova says so."""
    found = story.find(_IN_USE)
    if not found:
        return
    host = next((m.found["host"] for m in found if m.found["host"]), "")
    yield Verdict(
        statement=f"the evacuation of {about(story)} was refused: nova-compute of {host or 'its host'} counts as up",
        evidence=evidence(found),
        confidence=Confidence.CERTAIN,
        confirm=(f"openstack compute service list --host {host or 'HOST'}: State and Updated At",),
        against=("if the host works, its guests run: an evacuation would start them twice",),
        remedies=(f"stackmend host evacuate {host or 'HOST'}  # proves first that it is dead",),
    )


CAUSE = Cause(name="evacuation-refused", judge=judge, signs=(r"Compute service of \S+ is still in use",))
