# SPDX-License-Identifier: Apache-2.0
"""A quota of the project was reached.

## What happens

Nova, Cinder and Neutron refuse requests that would exceed the project's quota. A server's ports count against the
quota in Neutron, which refuses them only when the host is already building the server.

## How it shows

"Quota exceeded", "Maximum number of ports exceeded", ``OverQuota``, ``VolumeLimitExceeded``; 403 or 413 from the API.

## What speaks against it

Nothing, if the service says so. But the project may use less than the recorded usage says: recorded usages can be
wrong.

## What to do

Free something, or raise the quota. Leftovers count too, such as ports without a server and volumes stuck in a
transitional status.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_OVER = (
    r"Quota exceeded for (?P<what>[\w, ]+?)(?::|;|$| but)|Quota exceeded for resources: "
    r"\['?(?P<resources>[\w', ]+)'?\]|OverQuota\w*: (?P<over>[^\n]*)"
    r"|Maximum number of (?P<many>\w+) exceeded|(?P<kind>Volume|Snapshot|Gigabytes|Port)\w*LimitExceeded|QuotaError"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame the quota if a service refused something for this object because of it."""
    found = [m for m in story.find(_OVER) if failed(story, m) or m.entry.kind != "log" or story.id in m.entry.whole]
    if not found:
        return
    what = listed(((group or "").strip(" '") for m in found for group in m.found.groups() if group), 3)
    yield Verdict(
        statement=(
            f"{listed(m.entry.service for m in found) or 'a service'} refused {about(story)}: the "
            f"quota of the project is used up{f' ({what})' if what else ''}"
        ),
        evidence=evidence(found),
        confidence=Confidence.CERTAIN,
        confirm=("openstack quota show --usage PROJECT",),
        remedies=(
            "stackmend audit --check port-without-server --check extra-ports-on-server  # leftovers count too",
            "openstack quota set PROJECT, or delete what is not needed",
        ),
    )


CAUSE = Cause(
    name="quota-exceeded",
    judge=judge,
    signs=(r"Quota exceeded", r"OverQuota", r"Maximum number of ports exceeded", r"LimitExceeded"),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
