# SPDX-License-Identifier: Apache-2.0
"""A build failed on a host and was tried on another, and ports of the first try stayed with the server.

## What happens

nova-compute fails to spawn a server after its network was allocated. The conductor sends the build to the next host,
which allocates the network again. If the first host does not release its ports, or dies before it can, the server ends
up with more ports than anybody asked for, and only one of them ever becomes active.

## How it shows

Within minutes, several hosts ask Neutron for ports for the same server (``device_id``). nova-compute logs that the
instance failed to spawn on one of them, and the conductor logs that the build was re-scheduled.

## What speaks against it

The server was being moved (live migration, resize, evacuation): then it is normal for several hosts to ask for its
ports.

## What to do

Find out why the first host failed. That is the root cause, and this is only its trace. Then remove the leftover ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, hosts, listed
from stackmend.cloud.diagnosing.log_lines import asked
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Entry, Story

_FAILED = (
    r"Instance failed to spawn|Failed to build and run instance|was re-scheduled|BuildAbortException"
    r"|RescheduledException|Error from last host: "
)
_MOVED = r"[Ll]ive.?migrat|_resize|finish_resize|Migrating|rebuild_instance|[Ee]vacuat|os-migrateLive"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if several hosts asked for ports for this server, or the services say that its build was rescheduled."""
    if story.kind != "server":
        return
    failed = story.find(_FAILED, levels=("ERROR", "CRITICAL"))  # other messages of that time name the error too
    moved = bool(story.find(_MOVED)) or any(e.kind == "migration" for e in story.entries)
    askers: dict[str, list[Entry]] = {}
    for entry in story.entries:
        request = asked(entry.text)
        if request is None or "ports" not in request.path or f"device_id={story.id}" not in request.path:
            continue
        askers.setdefault(request.client.partition(",")[0], []).append(entry)
    several = len(askers) > 1 and not moved
    sent_on = [m for m in failed if re.search("re-scheduled|Rescheduled|Error from last host", m.entry.whole)]
    tries = [
        row
        for row in story.rows.get("instance_actions_events", ())
        if row.get("event") == "compute__do_build_and_run_instance"
    ]
    on = {str(row.get("host")) for row in tries if row.get("host")}
    if not failed or not (several or sent_on or len(on) > 1):
        return
    ports = [str(row.get("id")) for row in story.rows.get("ports", ())]
    asking = f"; {listed(askers)} asked Neutron for ports of it" if several else ""
    left = f"; Neutron has {len(ports)} ports of it" if len(ports) > 1 else ""
    yield Verdict(
        statement=f"the build of {about(story)} failed {hosts(failed)} and was sent on to another host{asking}{left}",
        evidence=evidence(failed, [entry for some in askers.values() for entry in some[:2]]),
        confidence=Confidence.CERTAIN if sent_on or several else Confidence.LIKELY,
        confirm=(f"openstack port list --server {story.id}: ports that are DOWN beside one that is ACTIVE",),
        remedies=(
            f"stackmend port list --server {story.id}",
            f"stackmend plan create --check extra-ports-on-server --server {story.id}",
        ),
    )


CAUSE = Cause(
    name="build-rescheduled",
    judge=judge,
    signs=(r"was re-scheduled:", r"RescheduledException"),
    explains=frozenset({"no-valid-host"}),
)
