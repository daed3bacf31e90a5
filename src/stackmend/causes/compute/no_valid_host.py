# SPDX-License-Identifier: Apache-2.0
"""The scheduler found no host: a filter, or Placement, left none.

## What happens

Placement returns the resource providers that have enough room and the required traits and aggregates. The scheduler's
filters then remove hosts one after another. When no host is left, the build fails and the server stays in cell0 with
status ERROR.

## How it shows

nova-scheduler logs "Filter X returned 0 hosts" or "Got no allocation candidates from the Placement API". The server's
fault says "No valid host was found".

## What speaks against it

"Exceeded maximum number of retries" or "Exhausted all hosts": then hosts were found, but the build failed on each of
them. The reason is in the logs of those hosts.

## What to do

Look at what the filter or the query asked for. Check the room (inventory, allocations without an owner), hosts that are
disabled or down, traits, aggregates and availability zones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stackmend.causes._fits import about, evidence
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Entry, Match, Story

_ANY = r"NoValidHost|No valid host was found|There are not enough hosts available"
_FILTER = r"Filter (?P<filter>\w+) returned 0 hosts"
_REMOVED = r"Filtering removed all hosts for the request.*Filter results: (?P<steps>\[.*\])"
_EMPTY = r"Got no allocation candidates from the Placement API"
_RETRIED = r"Exceeded maximum number of retries|Exhausted all hosts|MaxRetriesExceeded"
_WHY = {
    "ComputeFilter": "every host left is disabled or its nova-compute is down",
    "AvailabilityZoneFilter": "none of the hosts left is in the availability zone asked for",
    "AggregateInstanceExtraSpecsFilter": "no aggregate with the extra specs of the flavor has a host left",
    "ServerGroupAntiAffinityFilter": "every host left has a member of the anti-affinity group already",
    "ServerGroupAffinityFilter": "the host of the affinity group is not among those left",
    "ImagePropertiesFilter": "no host left supports the architecture, hypervisor or mode that the image asks for",
    "PciPassthroughFilter": "no host left has the PCI device free that the flavor asks for",
    "NUMATopologyFilter": "no host left can fit the guest's NUMA topology, pinned CPUs or pages",
    "ComputeCapabilitiesFilter": "no host left has the capabilities in the flavor's extra specs",
    "DifferentHostFilter": "every host left is one that the hint excludes",
    "SameHostFilter": "the host that the hint asks for is not among those left",
}


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if no host was found, but not if hosts were found and the build failed on them."""
    matches = story.find(_ANY)
    filters, empty, removed = story.find(_FILTER), story.find(_EMPTY), story.find(_REMOVED)
    retried = story.find(_RETRIED)
    if not (matches or filters or empty or removed) or (retried and not (filters or empty)):
        return
    down = story.find(r"nova-compute.*(?:is down|forced.down)|ComputeServiceUnavailable")
    reason, why, sure = _reason(filters, removed, empty)
    yield Verdict(
        statement=f"no host was found for {about(story)}: {reason}",
        evidence=evidence(filters, removed, empty, matches, down),
        confidence=Confidence.CERTAIN if sure else Confidence.POSSIBLE,
        confirm=(why,),
        against=("hosts were found and the build failed on them first: look there",) if retried else (),
        remedies=(
            "stackmend audit --check allocation-orphan  # room that nobody uses",
            "stackmend audit --check allocation-wrong-provider",
            "openstack compute service list --service nova-compute  # hosts that are disabled or down",
        ),
    )


def _reason(filters: list[Match], removed: list[Match], empty: list[Match]) -> tuple[str, str, bool]:
    if filters or removed:
        name = filters[-1].found["filter"] if filters else _last(removed[-1].entry)
        why = _WHY.get(name, "see what this filter asks for in Nova's documentation")
        return (
            f"the filter {name} left none ({why})",
            f"'Filter results' of nova-scheduler say how many hosts {name} began with",
            True,
        )
    if empty:
        return (
            "Placement has no provider with the room, the traits and the aggregates asked for",
            "openstack allocation candidate list --resource VCPU=.. --resource MEMORY_MB=.. --resource DISK_GB=..",
            True,
        )
    return "the scheduler's log does not say why", "give the log of nova-scheduler with --logs", False


def _last(entry: Entry) -> str:
    names = re.findall(r"\('?(\w+Filter)'?", entry.text)
    return names[-1] if names else "of the scheduler"


CAUSE = Cause(
    name="no-valid-host",
    judge=judge,
    signs=(_FILTER.replace("(?P<filter>", "(?:"), _EMPTY, r"No valid host was found"),
)
