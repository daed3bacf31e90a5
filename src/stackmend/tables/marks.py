# SPDX-License-Identifier: Apache-2.0
"""Rows that tell how old the data of a database are, and whether it is a copy of another one. All are collected."""

from __future__ import annotations

#: where services report every ten seconds or so: service -> table, time
BEATS = {
    "nova": ("services", "updated_at"),
    "neutron": ("agents", "heartbeat_timestamp"),
    "cinder": ("services", "updated_at"),
}
#: rows whose key is never given to another: service -> table, key, and what the row of a key has for ever
FACTS = {
    "nova_api": ("instance_mappings", "id", "instance_uuid"),
    "nova": ("instances", "id", "uuid"),
    "neutron": ("standardattributes", "id", "created_at"),
    "cinder": ("volumes", "id", "created_at"),
    "glance": ("images", "id", "created_at"),
    "placement": ("resource_providers", "id", "uuid"),
    "keystone": ("project", "id", "domain_id"),
}
#: where migrations say how far they came; the second until they were rewritten for alembic
VERSIONS = (("alembic_version", "version_num"), ("migrate_version", "version"))
