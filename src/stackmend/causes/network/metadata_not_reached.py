# SPDX-License-Identifier: Apache-2.0
"""The guest runs, but got no address or no metadata: DHCP or the metadata service did not answer.

## What happens

cloud-init asks for an address, then for metadata from 169.254.169.254. If the network's DHCP agent or metadata proxy is
dead, or the port is not wired, the guest boots without SSH keys and network, and cannot be reached.

## How it shows

On the console: "No lease", "Calling 'http://169.254.169.254/...' failed", "url_helper.py ... bad status". In the logs
of the agents: errors for this network or port.

## What speaks against it

The port is DOWN: then nothing is wired, and no agent can help.

## What to do

Check the agents of the network and their namespaces.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_CONSOLE = (
    r"Calling 'http://169\.254\.169\.254\S*' failed|url_helper\.py\[WARNING\].*169\.254|No lease, "
    r"failing|No DHCPOFFERS received|giving up on md after|Giving up on md from|cirros-ds.*failed"
    r"|dhclient.*no working leases"
)
_AGENT = (
    r"(?:metadata|dhcp).*(?:[Uu]nable|[Ff]ailed|Exception|timed out)|Failed to get metadata for "
    r"instance|Unexpected error\..*metadata|Unable to enable dhcp"
)
_PROXY = (
    r"Failed to get metadata for (?:ip|instance)|X-Instance-ID.*does not match|\"GET /(?:openstack"
    r"|latest|2009-04-04)/\S* HTTP/1\.[01]\" status: (?:404|500|503)"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if the console or an agent of the network says so."""
    console = story.find(_CONSOLE)
    agent = [
        m
        for m in story.find(
            _AGENT,
            services=("neutron-dhcp", "neutron-metadata", "neutron-ovn-metadata"),
            levels=("ERROR", "CRITICAL", "WARNING"),
        )
        if m.entry.ids
    ]
    proxy = story.find(_PROXY, services=("nova", "neutron-metadata", "neutron-ovn-metadata"))
    if not console and not (agent and proxy) and not [m for m in proxy if m.entry.trouble]:
        return
    no_lease = [m for m in console if "lease" in m.entry.whole or "DHCPOFFER" in m.entry.whole]
    what = "an address by DHCP" if no_lease else "its metadata"
    yield Verdict(
        statement=f"{about(story)} runs and did not get {what}",
        evidence=evidence(console, agent, proxy),
        confidence=Confidence.CERTAIN if console and (agent or proxy) else Confidence.LIKELY,
        confirm=(
            "openstack network agent list --network NETWORK: DHCP and metadata agents alive?",
            "tcpdump on the tap device while the guest asks",
        ),
        remedies=(
            f"stackmend server console {story.id if story.kind == 'server' else 'SERVER'} --tail 200",
            "restart the agent that is dead; then reboot the guest",
        ),
    )


CAUSE = Cause(
    name="metadata-not-reached",
    judge=judge,
    signs=(r"169\.254\.169\.254\S* failed", r"No DHCPOFFERS received", r"Failed to get metadata for"),
)
