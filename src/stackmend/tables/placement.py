# SPDX-License-Identifier: Apache-2.0
"""Placement's database (services 1.5). The dead copies of its tables in nova_api and the cells are never read (R5)."""

from __future__ import annotations

from stackmend.tables import Table, ints, text, times

TABLES = (
    Table(
        service="placement",
        name="resource_providers",
        columns=(
            *ints("id"),
            *text("uuid", "name"),
            *ints("generation", "root_provider_id", "parent_provider_id"),
        ),
    ),
    Table(
        service="placement",
        name="allocations",
        columns=(
            *ints("id", "resource_provider_id"),
            *text("consumer_id"),
            *ints("resource_class_id", "used"),
            *times("created_at", "updated_at"),
        ),
    ),
    Table(
        service="placement",
        name="consumers",
        columns=(
            *ints("id"),
            *text("uuid"),
            *ints("generation", "consumer_type_id"),
            *times("created_at", "updated_at"),
        ),
    ),
    Table(service="placement", name="consumer_types", columns=(*ints("id"), *text("name")), optional=True),
    Table(service="placement", name="resource_classes", columns=(*ints("id"), *text("name"))),
)
