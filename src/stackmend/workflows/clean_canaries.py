# SPDX-License-Identifier: Apache-2.0
"""Delete what is left of canaries: servers and ports of one batch, or of all batches.

## What it does
Deletes every server that has the name, tag and metadata of a canary, and every port that has its tag. This includes the
servers of a batch that is still running: if others may be proving this cloud, name the batch.

## Guards
Nothing else is touched: a server that only has the name of a canary stays. Each is looked up again just before it is
deleted.

## Undo
None: canaries hold no data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stackmend.cloud import canaries
from stackmend.cloud.canaries import Left
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.canaries import DropCanaryPort, RemoveCanary
from stackmend.model.step import Risk, Step
from stackmend.model.workflow import LaneDraft, Sight, Workflow


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane per canary."""
    batch = str(arguments.get("batch") or "")
    if batch and not re.fullmatch("[0-9a-f]{8}", batch):
        raise UsageError(f"{batch!r} is no batch of canaries", "It has eight hex digits, and is part of their names.")
    found: dict[str, list[Left]] = {}
    for one in canaries.there(sight.api, batch):
        found.setdefault(one.canary, []).append(one)
    for name, some in sorted(found.items()):
        kinds = [one.kind for one in some]
        yield LaneDraft(
            resource_type="server",
            resource_id=name,
            message=f"{name}: {kinds.count('server')} server and {kinds.count('port')} ports are deleted",
            steps=tuple(_away(name, kinds)),
            target={"canary": name, "what": "clean", "ids": [one.id for one in some]},
        )


def _away(name: str, kinds: list[str]) -> Iterator[Step]:
    if "server" in kinds:
        yield RemoveCanary(name=name).call()
    for most in reversed(range(kinds.count("port"))):
        yield DropCanaryPort(name=name, most=most).call()


WORKFLOW = Workflow(name="clean-canaries", risk=Risk.SAFE, lanes=lanes)
