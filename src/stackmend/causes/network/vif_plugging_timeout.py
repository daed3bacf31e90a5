# SPDX-License-Identifier: Apache-2.0
"""Nova waited for an interface to be plugged, and Neutron never said that it was.

## What happens

nova-compute plugs the interface and waits for the event ``network-vif-plugged``. The agent on the host, or OVN, has to
notice the interface, wire it and report it. neutron-server then notifies nova-api. If any of these is late or dead, the
build fails after ``vif_plugging_timeout``.

## How it shows

"Timeout waiting for [('network-vif-plugged', ...)]" and ``VirtualInterfaceCreateException`` in nova-compute's log.

## What speaks against it

"Binding failed" is logged instead: then the port was never bound at all.

## What to do

Check whether the agent on that host is alive or in a full resync. Read neutron-server's log for the port, and check how
neutron-server notifies Nova ([nova] in neutron.conf).
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_TIMEOUT = (
    r"Timeout waiting for \[\(?['\"]network-vif-plugged|Timeout waiting for \[\('network-vif"
    r"|VirtualInterfaceCreateException|Virtual Interface creation failed"
)
_PORT = r"network-vif-plugged['\"]?,? u?['\"]?(?P<port>[0-9a-f-]{36})"
_DEAD = (
    r"(?:agent|Agent).*(?:is down|dead|not alive|heartbeat)|AgentNotFound|loop.*stalled|Failed to "
    r"notify nova|Nova event.*(?:failed|error)"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if Nova waited in vain although the port was bound."""
    waited = story.find(_TIMEOUT, services=("nova",))
    if not waited or story.find(r"Binding failed for port|PortBindingFailed|Failed to bind port"):
        return
    ports = [match.found["port"] for match in story.find(_PORT, services=("nova",)) if match.entry.level != "DEBUG"]
    dead = story.find(_DEAD, services=("neutron",))
    late = [m for m in story.find(r"network-vif-plugged") if m.entry.service.startswith("nova-api")]
    came = (
        late
        and waited[0].entry.at is not None
        and late[-1].entry.at is not None
        and late[-1].entry.at > waited[0].entry.at
    )
    where = hosts(waited)
    yield Verdict(
        statement=f"nova-compute {where} waited in vain for the network of {about(story)}"
        + (f": port {listed(ports)} was never reported as plugged" if ports and not came else "")
        + (": the event came, but too late" if came else ""),
        evidence=evidence(waited, dead, late),
        confidence=Confidence.CERTAIN,
        confirm=(
            f"openstack network agent list: is the agent {where} alive?",
            "the log of the agent there at that time: did it see the interface, and when",
        ),
        against=("nova-api did get the event, after the wait was over: the agent is slow, not dead",) if came else (),
        remedies=(
            "restart the agent of that host once its log is kept; then build again",
            f"stackmend host status {listed(m.entry.host for m in waited) or 'HOST'}",
        ),
    )


CAUSE = Cause(
    name="vif-plugging-timeout",
    judge=judge,
    signs=(r"Timeout waiting for \[\('network-vif-plugged", r"VirtualInterfaceCreateException"),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
