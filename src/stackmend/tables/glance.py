# SPDX-License-Identifier: Apache-2.0
"""Glance's database (services 1.6)."""

from __future__ import annotations

from stackmend.tables import DELETED, Table, text, times

TABLES = (
    Table(
        service="glance",
        name="images",
        columns=(*text("id", "status", "owner", "visibility"), *times("created_at", "updated_at"), DELETED),
    ),
)

SECRETS = {("glance", "image_locations"): ("value", "meta_data")}
