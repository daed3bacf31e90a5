# SPDX-License-Identifier: Apache-2.0
"""Placement's API as an administrator sees it: providers, inventories and allocations.

Every function may raise SourceError, if Placement does not answer.
"""

from __future__ import annotations

from stackmend.model.api import Resource, segment
from stackmend.model.protocols import Api

#: nested providers, with their root
_TREE = "1.14"


def named(api: Api, node: str) -> list[Resource]:
    """The providers of this name, which is that of the compute node."""
    body = api.get("placement", f"/resource_providers?name={segment(node)}", _TREE) or {}
    return list(body.get("resource_providers", ()))


def tree(api: Api, root: str) -> list[Resource]:
    """A provider with those nested in it."""
    body = api.get("placement", f"/resource_providers?in_tree={segment(root)}", _TREE) or {}
    return list(body.get("resource_providers", ()))


def allocations(api: Api, provider: object) -> Resource:
    """Each consumer with its allocation on a provider."""
    return _part(api, provider, "allocations")


def usages(api: Api, provider: object) -> Resource:
    """Each resource class with the amount allocated."""
    return _part(api, provider, "usages")


def inventories(api: Api, provider: object) -> Resource:
    """Each resource class with a provider's inventory of it."""
    return _part(api, provider, "inventories")


def _part(api: Api, provider: object, part: str) -> Resource:
    body = api.get("placement", f"/resource_providers/{segment(provider)}/{part}", _TREE) or {}
    found: Resource = body.get(part) or {}
    return found


def few(api: Api) -> list[str]:
    """Ids of some providers, to recognise a cloud."""
    return [
        str(one["uuid"])
        for one in (api.get("placement", "/resource_providers", _TREE) or {}).get("resource_providers", ())[:5]
    ]
