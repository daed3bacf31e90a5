# SPDX-License-Identifier: Apache-2.0
"""Keystone's database (services 1.7): projects and ids of users, read-only; no credential table is ever read."""

from __future__ import annotations

from stackmend.tables import Table, bools, kept, text

TABLES = (
    Table(
        service="keystone",
        name="project",
        columns=(*text("id", "domain_id"), *bools("enabled", "is_domain")),
    ),
    # everybody whom Keystone itself manages, and all others who have logged in
    Table(service="keystone", name="user", columns=text("id")),
    # users of directories (LDAP): Keystone gives them ids of its own, but for those of a directory that is the default
    Table(
        service="keystone",
        name="id_mapping",
        label="keystone_directory_ids",
        columns=text("public_id"),
        where="t.entity_type = 'user'",
    ),
    Table(
        service="keystone",
        name="nonlocal_user",
        label="keystone_unmapped_users",
        columns=text("user_id"),
        join="LEFT JOIN id_mapping m ON m.public_id = t.user_id",
        where="m.public_id IS NULL",
    ),
    kept("keystone", "trust", "keystone_kept_trusts", where="t.deleted_at IS NOT NULL", child="deleted"),
    kept("keystone", "trust", "keystone_kept_trusts", "t.expires_at", "t.deleted_at IS NULL", "expired"),
)
