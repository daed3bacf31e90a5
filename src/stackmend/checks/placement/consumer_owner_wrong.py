# SPDX-License-Identifier: Apache-2.0
"""Placement records a server's allocation for another project.

## What is wrong
The consumer of a live server belongs to a project other than the server's.

## Why it matters
Where usage is counted from Placement (`[quota] count_usage_from_placement`, or unified limits) one project pays for the
servers of another, and cannot create servers although it has none.

## How it comes about
`placement-manage db online_data_migrations` made consumers of old allocations for an "incomplete" project, or the
server was given to another project by SQL.

## How to see it by hand
`openstack resource provider allocation show <server>` shows `project_id`; `openstack server show <server>` shows the
right one.

## Repair and its risk
`correct-consumer-owner` sets project and user as in the server's row. Nothing is lost.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="consumer-owner-wrong",
    catalogue="E9",
    severity=Severity.WARNING,
    message="Placement counts the allocation of server {server} for project {found}, not for its own, {project}",
    resource=("server", "server"),
    key=("server",),
    needs=frozenset({"placement", "cells"}),
    reads={
        "nova_instances": {"uuid": "server"},
        "placement_consumers": {"uuid": "server"},
        "placement_projects": {"id": "placement_consumers.project_id"},
    },
    ages={"idle": 600},
    sql="""
        SELECT s.uuid AS server, s.cell, s.project_id AS project, p.external_id AS found
          FROM servers s
          JOIN placement_consumers c ON c.uuid = s.uuid
          JOIN placement_projects p ON p.id = c.project_id
         WHERE NULLIF(p.external_id, s.project_id) IS NOT NULL AND s.project_id IS NOT NULL
           AND COALESCE(s.vm_state, '') <> 'deleted' AND s.created_at < $idle""",
)
