# SPDX-License-Identifier: Apache-2.0
"""Glance's database (services 1.6)."""

from __future__ import annotations

from stackmend.tables import DELETED, Column, Table, ints, text, times

#: of a location what kind of store it is in; the rest of it may hold an account of the store, or be encrypted
_SCHEME = """CASE WHEN t.value LIKE 'file:%' THEN 'file' WHEN t.value LIKE 'rbd:%' THEN 'rbd'
 WHEN t.value LIKE 'swift%' THEN 'swift' WHEN t.value LIKE 's3%' THEN 's3' WHEN t.value LIKE 'cinder:%' THEN 'cinder'
 WHEN t.value LIKE 'http%' THEN 'http' ELSE 'other' END"""

TABLES = (
    Table(
        service="glance",
        name="images",
        columns=(
            *text("id", "name", "status", "owner", "visibility", "checksum", "os_hash_algo", "os_hash_value"),
            *ints("size"),
            *times("created_at", "updated_at"),
            DELETED,
        ),
    ),
    Table(
        service="glance",
        name="image_locations",
        columns=(*ints("id"), *text("image_id", "status"), Column("scheme", expr=_SCHEME), DELETED),
    ),
)

SECRETS = {("glance", "image_locations"): ("value", "meta_data")}
