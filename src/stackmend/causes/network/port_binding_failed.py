# SPDX-License-Identifier: Apache-2.0
"""Neutron could not bind a port to the host: no mechanism driver took it.

## What happens

neutron-server offers the port to its mechanism drivers, which look at the agents on the host. If no agent on that host
is alive, or none serves the segment (physical network, tunnel type), no driver binds the port and Neutron marks it
``binding_failed``.

## How it shows

"Failed to bind port ... on host ..." in neutron-server's log; "Binding failed for port ..., please check neutron logs"
in nova-compute's.

## What speaks against it

The port was bound, but its interface was never plugged: that is a VIF plugging timeout.

## What to do

Check that the agent on that host is alive and has the bridge mapping of the network. Then build the server again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_SERVER = r"Failed to bind port (?P<port>[0-9a-f-]{36}) on host (?P<host>[\w.-]+)"
_COMPUTE = (
    r"Binding failed for port (?P<port>[0-9a-f-]{36})(?: and host (?P<host>[\w.-]+?)\.)?"
    r"|PortBindingFailed|Unsupported VIF type (?:binding_failed|unbound)"
)
_DEAD = (
    r"Refusing to bind port \S+ to dead agent|AGENT.*dead|Attempting to bind with dead agent|No "
    r"agents? .*(?:host|alive)"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if Neutron says so, or Nova on its behalf."""
    neutron, nova = story.find(_SERVER, services=("neutron",)), story.find(_COMPUTE, services=("nova",))
    if not (neutron or nova):
        return
    dead = story.find(_DEAD, services=("neutron",))
    named = [m for m in (*neutron, *nova) if m.found.groupdict().get("port")]
    host = listed([*(m.found["host"] or "" for m in named), *(m.entry.host for m in nova)], 1)
    port = listed((m.found["port"] for m in named), 2) or "of it"
    yield Verdict(
        statement=f"port {port} of {about(story)} could not be bound to host {host or '?'}"
        + (": the agent there is dead" if dead else ": no mechanism driver took it"),
        evidence=evidence(neutron, nova, dead),
        confidence=Confidence.CERTAIN if neutron or dead else Confidence.LIKELY,
        confirm=(
            f"openstack network agent list --host {host or 'HOST'}: alive, and with the bridge mapping of the network?",
        ),
        remedies=(
            f"stackmend host status {host or 'HOST'}",
            "start the agent, or correct its bridge_mappings or tunnel_types; then build again",
            "stackmend audit --check port-binding-wrong-host",
        ),
    )


CAUSE = Cause(
    name="port-binding-failed",
    judge=judge,
    signs=(r"Failed to bind port \S+ on host", r"Binding failed for port"),
    words=("to dead agent", "with dead agent"),
    explains=frozenset({"build-rescheduled", "no-valid-host", "vif-plugging-timeout"}),
)
