# SPDX-License-Identifier: Apache-2.0
"""Users that are deleted and still own something (catalogue K2)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import OLD


def _key_pair(cloud: CloudRows, user: str, name: str, age: float = OLD) -> None:
    cloud.insert(
        "nova_api", "key_pairs", name=name, user_id=user, fingerprint="d4:1d:8c:d9", type="ssh",
        public_key="ssh-ed25519 AAAAC3Nza rehearsal", created_at=cloud.ago(age),
    )  # fmt: skip


def _created_by(cloud: CloudRows, user: str) -> None:
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, user_id=user)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Somebody left two key pairs."""
    user = uuid.uuid4().hex
    _key_pair(cloud, user, "laptop")
    _key_pair(cloud, user, "old laptop")
    return {"user": user, "code": "keypairs"}


def no_address(cloud: CloudRows) -> dict[str, Any]:
    """One that Nova's API does not find by its name: it was made under /v2, which allows any."""
    user = uuid.uuid4().hex
    _key_pair(cloud, user, "laptop")
    _key_pair(cloud, user, "Büro")
    return {"user": user, "code": "keypairs"}


def servers(cloud: CloudRows) -> dict[str, Any]:
    """Somebody left a server."""
    user = uuid.uuid4().hex
    _created_by(cloud, user)
    return {"user": user, "code": "servers"}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"no_address": no_address, "servers": servers}
NOT_REPAIRED = {"servers": "who looks after them"}


def of_a_user(cloud: CloudRows) -> None:
    """The key pair of a user who exists."""
    user = cloud.rows("keystone", f"SELECT id FROM {cloud.quoted('user')} ORDER BY id")[0]["id"]
    _key_pair(cloud, user, f"key-{uuid.uuid4().hex[:6]}")


def of_a_directory(cloud: CloudRows) -> None:
    """A server of a user of a directory, who has never logged in since Keystone remembers that."""
    user = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
    cloud.insert(
        "keystone", "id_mapping", public_id=user, domain_id="default", local_id=f"u-{user[:8]}", entity_type="user"
    )
    _created_by(cloud, user)


def of_another_form(cloud: CloudRows) -> None:
    """A server whose creator has an id that Keystone gives to nobody of its own: a directory's, or a federation's."""
    _created_by(cloud, "jdoe")
    _created_by(cloud, hashlib.sha256(uuid.uuid4().bytes).hexdigest())


def just_made(cloud: CloudRows) -> None:
    """A key pair of a user who was created after Keystone was read."""
    _key_pair(cloud, uuid.uuid4().hex, "new", age=60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "of_a_user": of_a_user,
    "of_a_directory": of_a_directory,
    "of_another_form": of_another_form,
    "just_made": just_made,
}
