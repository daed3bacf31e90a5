# SPDX-License-Identifier: Apache-2.0
"""A resource provider does not belong to the tree that it is part of.

## What is wrong
Each provider names its parent and the root of its tree. The root is missing (code `no-root`), a provider without a
parent names another one as its root (`not-its-own`), a child names another root than its parent does (`other-root`), or
a provider is its own ancestor (`loop`).

## Why it matters
Placement searches trees by their root. Providers outside their tree are not offered, or are offered with the resources
of another host. Upgrades refuse to run while a root is missing.

## How it comes about
Rows from before Rocky that `placement-manage db online_data_migrations` never completed, or providers moved by SQL.

## How to see it by hand
`openstack resource provider show <provider>` (`root_provider_uuid`, `parent_provider_uuid`), or `SELECT id, uuid,
parent_provider_id, root_provider_id FROM resource_providers;`

## Repair and its risk
`mend-provider-root` sets the root to the topmost ancestor. Nothing is lost. In a loop only somebody who knows the
devices can tell which of the providers is the topmost.
"""

from stackmend.model.check import Check, Obstacle, Severity

CHECK = Check(
    name="provider-tree-broken",
    catalogue="E11",
    severity=Severity.ERROR,
    message="resource provider {provider} ({name}): {code}",
    codes={
        "no-root": "it names no root provider",
        "not-its-own": "it has no parent, but names another provider as its root",
        "other-root": "its parent belongs to another tree than it does itself",
        "loop": "it is its own ancestor",
    },
    resource=("provider", "provider"),
    key=("provider",),
    needs=frozenset({"placement"}),
    reads={"placement_resource_providers": {}},
    spares=frozenset({"placement_resource_providers.rootless"}),
    obstacles=(
        Obstacle(
            codes=frozenset({"no-root"}),
            what="placement-status fails on it, and so does the migration to Train",
            source="placement/cmd/status.py, _check_root_provider_ids;"
            " placement/db/sqlalchemy/alembic/versions/611cd6dffd7b",
        ),
    ),
    by_hand=(
        "find out which provider is the topmost, then clear its parent: UPDATE resource_providers SET"
        " parent_provider_id = NULL, root_provider_id = id WHERE uuid = '{provider}'"
    ),
    sql="""
        SELECT p.uuid AS provider, p.name,
               CASE WHEN p.parent_provider_id = p.id OR a.parent_provider_id = p.id THEN 'loop'
                    WHEN p.root_provider_id IS NULL THEN 'no-root'
                    WHEN p.parent_provider_id IS NULL THEN 'not-its-own'
                    ELSE 'other-root' END AS code
          FROM placement_resource_providers p
          LEFT JOIN placement_resource_providers a ON a.id = p.parent_provider_id
         WHERE p.root_provider_id IS NULL OR a.parent_provider_id = p.id
            OR (p.parent_provider_id IS NULL AND NULLIF(p.root_provider_id, p.id) IS NOT NULL)
            OR (a.id IS NOT NULL AND NULLIF(p.root_provider_id, a.root_provider_id) IS NOT NULL)""",
)
