# SPDX-License-Identifier: Apache-2.0
"""Nobody answered: the conductor, the scheduler or nova-compute of the host is down, or hangs.

## What happens

A call waits in the queue of a service that is not running. The caller gives up after ``rpc_response_timeout``. A build
that was sent as a cast stays in BUILD for ever.

## How it shows

``MessagingTimeout`` although RabbitMQ could be reached throughout; "Service is unavailable"; the last message logged by
the service that should have continued is older than the request.

## What speaks against it

Services reconnected to RabbitMQ around that time: then the message was lost.

## What to do

Start the service, and read its log to find out why it stopped. Messages that wait in a durable queue are then processed
without further help.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_TIMEOUT = r"MessagingTimeout|Timed out waiting for a reply to message ID"
_SAYS = (
    r"ComputeServiceUnavailable|Compute service of (?P<host>\S+) is unavailable|ServiceUnavailable: "
    r".*(?P<what>conductor|scheduler|compute)|Timed out waiting for (?P<waited>nova-conductor)"
)
_LOST = r"AMQP server on \S+ is unreachable|due to a missing queue"
_METHOD = (
    r"(?:method|func)[ =:'\"]+(?P<method>\w+)|in (?P<frame>build_instances"
    r"|schedule_and_build_instances|select_destinations|object_class_action_versions|object_action"
    r"|reserve_block_device_name|live_migrate_instance)\b"
)
_WHO = {
    "select_destinations": "nova-scheduler", "object_class_action_versions": "nova-conductor",
    "object_action": "nova-conductor", "schedule_and_build_instances": "nova-conductor",
    "build_instances": "nova-conductor", "live_migrate_instance": "nova-conductor",
    "reserve_block_device_name": "nova-compute",
}  # fmt: skip


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if a call got no answer, or one service reports another as down, while messaging worked throughout."""
    timeouts, says = story.find(_TIMEOUT), story.find(_SAYS)
    if not (timeouts or says) or [m for m in story.find(_LOST) if m.entry.trouble]:
        return
    methods = [m.found["method"] or m.found["frame"] for m in story.find(_METHOD, levels=("ERROR", "CRITICAL"))]
    named = listed(
        [_WHO.get(name, "") for name in methods] + [m.found["waited"] or m.found["what"] or "" for m in says]
    )
    host = listed(m.found["host"] or "" for m in says)
    who = f"nova-compute of {host}" if host else named or "the service that was called"
    yield Verdict(
        statement=f"{who} did not answer, and {about(story)} waited for it",
        evidence=evidence(says, timeouts),
        confidence=Confidence.CERTAIN if says else Confidence.LIKELY if named else Confidence.POSSIBLE,
        confirm=(
            "openstack compute service list: State and Updated At of that service",
            "its own log: does it end before the request?",
        ),
        remedies=(
            f"stackmend host status {host}" if host else "openstack compute service list",
            "start it, then repeat the operation",
        ),
    )


CAUSE = Cause(
    name="service-down",
    judge=judge,
    signs=(r"MessagingTimeout", r"ComputeServiceUnavailable"),
    explains=frozenset({"no-valid-host"}),
)
