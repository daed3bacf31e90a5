# SPDX-License-Identifier: Apache-2.0
"""Create the request spec of a live server anew.

## What it does
Inserts a row in `nova_api.request_specs`: the flavor of the server's `instance_extra`, its project, user, image and
server group, one instance, no availability zone and no other hints. It is written in a version that every supported
release of Nova reads.

## Guards
The server's row is unchanged since the plan, and nobody has created a spec in the meantime. Refused for servers with a
NUMA topology or PCI requests, whose flavor cannot be read, or whose image properties bind them to certain hosts: only
Nova's own code can write these.

## Undo
The row is deleted again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from stackmend.cloud.request_specs import request_spec
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import Repair
from stackmend.model.step import ExpectRow, InsertRow, Record, Risk, Step
from stackmend.repairs.common import the_server


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the API database; none if there is a spec."""
    database, server = the_server(target, live)
    name = str(server["uuid"])
    if live.rows("nova_api", "request_specs", {"instance_uuid": name}):
        return
    spec = request_spec(live, database, server)
    names = ("uuid", "deleted", "project_id", "user_id", "instance_type_id", "image_ref")
    yield ExpectRow(
        database=database, table="instances", pk={"id": server["id"]}, expect={name: server[name] for name in names}
    )
    values: Record = {"instance_uuid": name, "spec": json.dumps(spec), "created_at": server["created_at"]}
    yield InsertRow(database="nova_api", table="request_specs", key={"instance_uuid": name}, values=values)


REPAIR = Repair(
    name="restore-request-spec",
    risk=Risk.UNSAFE,
    checks=("request-spec-missing",),
    strategies={"db": db},
    no_api="no API shows or writes request specs",
    why="hints and an availability zone requested by its owner are lost, so a later move may disregard them",
)
