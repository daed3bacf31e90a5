# SPDX-License-Identifier: Apache-2.0
"""Placement's database (services 1.5). The dead copies of its tables in nova_api and the cells are never read (R5)."""

from __future__ import annotations

from stackmend.tables import Column, ColumnType, Table, ints, text, times

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
            *ints("generation", "project_id", "user_id"),
            # since Xena; without it, as where it is NULL, a consumer may be a server's or a migration's
            Column("consumer_type_id", ColumnType.INT, optional=True),
            *times("created_at", "updated_at"),
        ),
    ),
    Table(service="placement", name="projects", columns=(*ints("id"), *text("external_id"))),
    Table(service="placement", name="users", columns=(*ints("id"), *text("external_id"))),
    Table(
        service="placement",
        name="inventories",
        columns=(
            *ints("id", "resource_provider_id", "resource_class_id", "total", "reserved"),
            Column("allocation_ratio", ColumnType.FLOAT),
        ),
    ),
    # providers that Nova made
    Table(
        service="placement",
        name="resource_provider_traits",
        label="placement_compute_traits",
        columns=(Column("resource_provider_id", ColumnType.INT, expr="t.resource_provider_id"),),
        join="JOIN traits k ON k.id = t.trait_id",
        where="k.name = 'COMPUTE_NODE'",
    ),
    Table(service="placement", name="consumer_types", columns=(*ints("id"), *text("name")), optional=True),
    Table(service="placement", name="resource_classes", columns=(*ints("id"), *text("name"))),
)
