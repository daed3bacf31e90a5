# SPDX-License-Identifier: Apache-2.0
"""Make a resource provider name the topmost of its ancestors as its root.

## What it does
Sets `root_provider_id` to the topmost ancestor of the provider, itself if it has no parent.

## Guards
The provider, and each of its ancestors, is unchanged since the plan. Refused if the ancestors form a loop.

## Undo
The old root is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Risk, Step
from stackmend.repairs.common import change

_TABLE = "resource_providers"


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database; none if the root is right."""
    provider = live.row("placement", _TABLE, {"uuid": str(target["provider"])})
    if provider is None:
        return
    line = [provider]
    while (above := line[-1]["parent_provider_id"]) is not None:
        parent = live.row("placement", _TABLE, {"id": above})
        if parent is None or any(parent["id"] == one["id"] for one in line):
            raise CannotRepair(f"the ancestors of provider {provider['uuid']} have no topmost one")
        line.append(parent)
    top = line[-1]
    if provider["root_provider_id"] == top["id"]:
        return
    for row in line[1:]:
        expect = {name: row[name] for name in ("uuid", "parent_provider_id")}
        yield ExpectRow(database="placement", table=_TABLE, pk={"id": row["id"]}, expect=expect)
    after = {"root_provider_id": top["id"]}
    yield change(live, "placement", _TABLE, provider, after, ("uuid", "parent_provider_id"))


REPAIR = Repair(
    name="mend-provider-root",
    risk=Risk.SAFE,
    removes={"resource_providers.root_provider_id": "the root follows from the parents"},
    resource="provider",
    checks=("provider-tree-broken",),
    codes=frozenset({"no-root", "not-its-own", "other-root"}),
    strategies={"db": db},
    no_api="Placement's API derives the root from the parent and does not set it",
)
