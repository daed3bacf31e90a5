# SPDX-License-Identifier: Apache-2.0
"""The network has no address left.

## What happens

Neutron allocates addresses from the allocation pools of the subnets. When servers, leftover ports, DHCP ports and
router ports have taken all of them, Neutron refuses the port and the build fails on the host.

## How it shows

``IpAddressGenerationFailure`` or "No more IP addresses available on network" in neutron-server's log;
``NoMoreFixedIps`` or "No fixed IP addresses available" in Nova's.

## What speaks against it

The port quota was reached, or a specific address was asked for and is in use.

## What to do

Remove ports that nobody uses, or add a subnet or an allocation pool.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_NAMED = (
    r"No more IP addresses available (?:on|for) (?:network|subnet) (?P<network>[0-9a-f-]{36})"
    r"|No fixed IP addresses available for network: (?P<nova>[0-9a-f-]{36})"
)
_ANY = r"IpAddressGenerationFailure|NoMoreFixedIps|No more IP addresses available"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if Neutron or Nova says so."""
    named = [m for m in story.find(_NAMED) if m.entry.level != "DEBUG"]
    found = named or [m for m in story.find(_ANY) if m.entry.level != "DEBUG"]
    if not found:
        return
    network = listed((m.found["network"] or m.found["nova"] for m in named), 1)
    yield Verdict(
        statement=f"network {network or '?'} has no address left for {about(story)}",
        evidence=evidence(found),
        confidence=Confidence.CERTAIN,
        confirm=(f"openstack ip availability show {network or 'NETWORK'}",),
        remedies=(
            "stackmend audit --check port-without-server --check extra-ports-on-server  # addresses that nobody uses",
            "add a subnet, or an allocation pool",
        ),
    )


CAUSE = Cause(
    name="addresses-exhausted",
    judge=judge,
    signs=(
        r"No more IP addresses available",
        r"IpAddressGenerationFailure",
        r"NoMoreFixedIps",
        r"No fixed IP addresses available",
    ),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
