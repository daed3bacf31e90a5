# SPDX-License-Identifier: Apache-2.0
"""A host aggregate has a member that is no compute host.

## What is wrong
`nova_api.aggregate_hosts` names a host of which no cell has a nova-compute, a compute node or a server.

## Why it matters
The member cannot be removed through the API, which answers 404 for its host; an aggregate that has members cannot be
deleted. If a new machine gets the old name, it is in that aggregate and its availability zone from the start.

## How it comes about
The compute service was deleted by SQL, or by a release that left memberships behind; the host was renamed.

## How to see it by hand
`openstack aggregate show <aggregate>`, beside `openstack compute service list --service nova-compute`.

## Repair and its risk
`drop-aggregate-host` deletes the membership. Nothing is lost: a host that is installed again is added again by hand.
Whether the aggregates of Placement agree is not checked: `nova-manage placement sync_aggregates` adds what they lack.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER

CHECK = Check(
    name="aggregate-host-orphan",
    catalogue="C11",
    severity=Severity.INFO,
    message="host aggregate number {aggregate_id} has member {host}, but no cell has a compute host of that name",
    resource=("host", "host"),
    key=("host", "aggregate_id"),
    needs=EVERY_SERVER,
    reads={
        "nova_api_aggregate_hosts": {"host": "host"},
        "nova_services": {"host": "host"},
        "nova_compute_nodes": {"host": "host"},
        "nova_instances": {"host": "host"},
    },
    sql="""
        SELECT DISTINCT a.host, a.aggregate_id
          FROM nova_api_aggregate_hosts a
          LEFT JOIN (SELECT DISTINCT host FROM nova_services WHERE NOT deleted AND "binary" = 'nova-compute') v
            ON v.host = a.host
          LEFT JOIN (SELECT DISTINCT host FROM nova_compute_nodes WHERE NOT deleted) n ON n.host = a.host
          LEFT JOIN (SELECT DISTINCT host FROM nova_instances WHERE NOT deleted) i ON i.host = a.host
         WHERE a.host IS NOT NULL AND v.host IS NULL AND n.host IS NULL AND i.host IS NULL""",
)
