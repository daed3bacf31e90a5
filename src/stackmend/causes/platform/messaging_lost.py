# SPDX-License-Identifier: Apache-2.0
"""A message between services was lost or came too late: RabbitMQ was not reached, or a reply had nowhere to go.

## What happens

Services talk to each other through RabbitMQ. If a RabbitMQ node restarts, a network partition heals or a queue is gone,
calls wait for a reply that never comes and fail after ``rpc_response_timeout``. Casts are lost silently.

## How it shows

"AMQP server on ... is unreachable", "Reconnected to AMQP server", "The reply ... failed to send ... missing queue", and
``MessagingTimeout`` around the same time.

## What speaks against it

A timeout although the connection was never lost: then the service that should have answered is down or busy.

## What to do

Look in RabbitMQ's log of that minute for a partition, a memory alarm or a restart. Lost operations are not resumed:
repeat them, and run an audit to find what they left behind.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed, listed, times
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story, near

_LOST = (
    r"AMQP server on (?P<node>\S+) is unreachable|AMQP server (?P<other>\S+) closed the connection"
    r"|Unable to connect to AMQP server|Connection failed: .*(?:ECONNREFUSED|Connection refused"
    r"|timed out)"
)
_BROKER = (
    r"closing AMQP connection|memory resource limit alarm|Mnesia.*partition|inconsistent_database"
    r"|node \S+ down|RabbitMQ is asked to stop|missed heartbeats"
)
_REPLY = (
    r"The reply \S+ failed to send after \d+ seconds due to a missing queue|MessageUndeliverable"
    r"|queue '?reply_\S+ .*not found|no queue 'reply_"
)
_TIMEOUT = r"MessagingTimeout|Timed out waiting for a reply to message ID"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if the connection was lost within a few minutes of the failure."""
    lost = [m for m in story.find(_LOST) if m.entry.level != "INFO"]
    reply, broker = story.find(_REPLY), story.find(_BROKER, services=("rabbitmq",))
    timeouts = story.find(_TIMEOUT)
    hit = [m for m in timeouts if any(near(m.entry, other.entry, 300) for other in (*lost, *reply, *broker))]
    if not hit and not (lost and any(failed(story, match) for match in (*lost, *reply))):
        return
    nodes = listed(m.found["node"] or m.found["other"] or "" for m in lost)
    yield Verdict(
        statement=f"messages about {about(story)} were lost or late: "
        + (
            f"RabbitMQ{f' on {nodes}' if nodes else ''} was not reached ({times(len(lost))})"
            if lost
            else "a reply had no queue to go to"
            if reply
            else "the broker closed connections"
        )
        + (f", and {len(hit)} calls ended without an answer" if hit else ""),
        evidence=evidence(lost, reply, broker, hit),
        confidence=Confidence.CERTAIN if hit and (lost or reply) else Confidence.LIKELY,
        confirm=(
            "RabbitMQ's log of that minute: restart, partition or memory alarm",
            "rabbitmqctl list_queues name messages consumers",
        ),
        against=() if hit else ("no call of this object ended without an answer",),
        remedies=(
            "repeat the operation once the broker is well",
            "stackmend audit  # what the interrupted operation left",
        ),
    )


CAUSE = Cause(
    name="messaging-lost",
    judge=judge,
    signs=(r"AMQP server on \S+ is unreachable", r"failed to send after \d+ seconds due to a missing queue"),
    words=(
        "AMQP server",
        "due to a missing queue",
        "closing AMQP connection",
        "resource limit alarm",
        "missed heartbeats",
    ),
    explains=frozenset({"service-down", "build-rescheduled", "no-valid-host"}),
)
