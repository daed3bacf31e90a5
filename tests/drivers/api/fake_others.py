# SPDX-License-Identifier: Apache-2.0
"""Calls of the fake about things that belong to no server: images, key pairs, what is shared with projects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .fake_interfaces import RefusedError, Reply

if TYPE_CHECKING:
    from .fake import Fake


class Others:
    """Part of the fake."""

    def image_versions(self: Fake, _: Any) -> Reply:
        links = [{"rel": "self", "href": f"{self.url}/image/v2/"}]
        return 300, {"versions": [{"id": "v2.17", "status": "CURRENT", "links": links}]}

    def show_image(self: Fake, _: Any, name: str) -> Reply:
        sql = "SELECT id, name, status, checksum, os_hash_value FROM images WHERE id = :i AND deleted = 0"
        return 200, self.need("image", "glance", sql, i=name)

    def register_image(self: Fake, body: Any) -> Reply:
        """Glance remembers the ids of deleted images."""
        if self.row("glance", "SELECT id FROM images WHERE id = :i", i=body["id"]):
            raise RefusedError(409, f"Image ID {body['id']} already exists!")
        now = self.cloud.ago(0)
        values = {"min_disk": 0, "min_ram": 0, "protected": 0, "os_hidden": 0, "created_at": now, "updated_at": now}
        self.cloud.insert("glance", "images", **body, status="queued", deleted=0, owner="p" * 32, **values)
        return 201, {**body, "status": "queued"}

    def delete_image(self: Fake, _: Any, name: str) -> Reply:
        self.need("image", "glance", "SELECT id FROM images WHERE id = :i AND deleted = 0", i=name)
        gone = {"status": "deleted", "deleted": 1, "deleted_at": self.cloud.ago(0)}
        self.cloud.update("glance", "images", {"id": name}, **gone)
        return 204, None

    def show_entry(self: Fake, _: Any, name: str) -> Reply:
        sql = "SELECT id, target_project, object_id, action FROM networkrbacs WHERE id = :e"
        return 200, {"rbac_policy": self.need("RBAC policy", "neutron", sql, e=name)}

    def delete_entry(self: Fake, _: Any, name: str) -> Reply:
        sql = "SELECT object_id, target_project FROM networkrbacs WHERE id = :e"
        row = self.need("RBAC policy", "neutron", sql, e=name)
        used = "SELECT id FROM ports WHERE network_id = :n AND project_id = :p"
        if self.row("neutron", used, n=row["object_id"], p=row["target_project"]):
            raise RefusedError(409, f"RBAC policy on object {row['object_id']} cannot be removed")
        self.cloud.delete("neutron", "networkrbacs", {"id": name})
        return 204, None

    def show_key_pair(self: Fake, _: Any, name: str, user: str) -> Reply:
        sql = "SELECT name, fingerprint, user_id FROM key_pairs WHERE name = :n AND user_id = :u"
        # Nova compares names with the path as WSGI gives it, in Latin-1: it finds none with other letters than ASCII
        return 200, {"keypair": self.need("keypair", "nova_api", sql, n=unquote(name, "latin-1"), u=user)}

    def delete_key_pair(self: Fake, _: Any, name: str, user: str) -> Reply:
        self.show_key_pair(None, name, user)
        self.cloud.delete("nova_api", "key_pairs", {"name": unquote(name), "user_id": user})
        return 204, None


def routes(fake: Fake) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
    """What they answer."""
    one = "([^/?]+)"
    yield "GET", "/image/?", fake.image_versions
    yield "POST", "/image/v2/images", fake.register_image
    yield "GET", f"/image/v2/images/{one}", fake.show_image
    yield "DELETE", f"/image/v2/images/{one}", fake.delete_image
    yield "GET", f"/network/v2.0/rbac-policies/{one}", fake.show_entry
    yield "DELETE", f"/network/v2.0/rbac-policies/{one}", fake.delete_entry
    yield "GET", rf"/compute/v2.1/os-keypairs/{one}\?user_id={one}", fake.show_key_pair
    yield "DELETE", rf"/compute/v2.1/os-keypairs/{one}\?user_id={one}", fake.delete_key_pair
