# SPDX-License-Identifier: Apache-2.0
"""Build servers as users do, verify that each got exactly what was requested, and delete them.

## What it does
Each canary is a server with a unique name, which is also its tag, and with the batch in its metadata. One wave is built
at a time (`--parallel`). Each canary must become active, with one port on each requested network, its addresses, and
the volume or image that it boots from, all of them in use; if it has a console, that must show something. Its ports get
its tag. Then the wave is deleted, whatever the result, together with any ports that are left, and the next one begins.
So there are never more canaries than in one wave.

## Guards
The image, flavor and networks exist and fit each other, and the quotas of the account's project have room for a wave.
Only servers with the name, tag and metadata of a canary, and ports with its tag, are deleted. Volumes that Nova creates
carry no mark: they are deleted with their server.

## Undo
None: whatever it builds, it deletes. If it is killed, `stackmend run resume` continues it, and
`stackmend canary --clean-up` deletes what is left of any batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from stackmend.cloud import canaries
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.canaries import (
    BuildCanary,
    CanaryProved,
    DropCanaryPort,
    MarkCanaryPort,
    RemoveCanary,
)
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Risk, Step
from stackmend.model.values import real, texts, whole
from stackmend.model.workflow import LaneDraft, Sight, Workflow


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """Two lanes per canary: one builds and proves it, one deletes it."""
    number, parallel = whole(arguments["count"]), whole(arguments.get("parallel") or 1)
    size, limit = whole(arguments.get("volume") or 0), real(arguments.get("timeout") or 600)
    image = canaries.image(sight.api, str(arguments.get("image") or ""), size)
    flavor = canaries.flavor(sight.api, str(arguments.get("flavor") or ""), image, size)
    networks = tuple(str(canaries.network(sight.api, one)["id"]) for one in texts(arguments.get("networks")))
    hosts = texts(arguments.get("hosts"))
    if why := sight.api.lacks(BuildCanary):
        raise CannotRepair(why)
    if short := canaries.lacking(sight.api, flavor, min(number, parallel), len(networks), size):
        raise UsageError(
            f"the quotas of this project have no room for {min(number, parallel)} canaries: {'; '.join(short)}",
            "Use a smaller --parallel, or raise them: 'openstack quota set'.",
        )
    batch = hashlib.sha256(f"{sight.now} {number} {sight.api.account().project}".encode()).hexdigest()[:8]
    sight.facts.update(
        batch=batch, count=number, parallel=parallel, image=image["name"], flavor=flavor["name"], volume=size,
        networks=list(texts(arguments.get("networks"))), hosts=list(hosts),
    )  # fmt: skip
    asked = {
        "flavor": str(flavor["id"]), "image": str(image["id"]), "networks": networks, "volume": size,
    }  # fmt: skip
    for at in range(number):
        name, host, wave = canaries.named(batch, at + 1), hosts[at % len(hosts)] if hosts else "", at // parallel
        build = BuildCanary(name=name, batch=batch, host=host, limit=limit, **asked)  # type: ignore[arg-type]
        prove = CanaryProved(
            name=name, host=host, console=bool(arguments.get("console", True)), limit=min(limit, 180.0), **asked,  # type: ignore[arg-type]
        )  # fmt: skip
        where = f" on {host}" if host else ""
        yield LaneDraft(
            resource_type="server", resource_id=name, stage=2 * wave, target={"canary": name, "what": "build"},
            message=f"{name} (flavor {flavor['name']}, image {image['name']}) is built{where} and proved",
            steps=(build.call({"server": "absent"}), prove.call(), *_marked(name, len(networks))),
            slots=(f"to:{host}",) if host else (),
        )  # fmt: skip
        yield LaneDraft(
            resource_type="server", resource_id=name, stage=2 * wave + 1, target={"canary": name, "what": "clean"},
            message=f"{name} is deleted",
            steps=(*_marked(name, len(networks)), *_away(name, len(networks))),
        )  # fmt: skip


def _marked(name: str, ports: int) -> Iterator[Step]:
    for number in range(1, ports + 1):
        yield MarkCanaryPort(name=name, number=number).call()


def _away(name: str, ports: int) -> Iterator[Step]:
    yield RemoveCanary(name=name).call()
    for most in reversed(range(ports)):
        yield DropCanaryPort(name=name, most=most).call()


WORKFLOW = Workflow(name="prove-cloud", risk=Risk.SAFE, lanes=lanes)
