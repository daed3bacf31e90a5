# SPDX-License-Identifier: Apache-2.0
"""Keystone's database (services 1.7): projects, read-only; no credential table is ever read."""

from __future__ import annotations

from stackmend.tables import Table, bools, text

TABLES = (
    Table(
        service="keystone",
        name="project",
        columns=(*text("id", "domain_id"), *bools("enabled", "is_domain")),
    ),
)
