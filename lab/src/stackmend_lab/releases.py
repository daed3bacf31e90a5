# SPDX-License-Identifier: Apache-2.0
"""The schemas of older releases, as differences.

``schema/releases/<release>.json`` says, by service, what to change in the description of the *next newer* release to
get this one: a JSON merge patch (RFC 7396; ``null`` removes a member). So a file reads as what the services' migrations
changed between the two, in reverse. ``scripts/describe_releases.py`` writes the files.

The order of columns is not kept: nothing reads rows by position. Two things are those of the newest release: which of a
service's tables take the default charset of their database, and Cinder's rows in ``quota_classes``.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from stackmend.tables.releases import NEWEST, RELEASES

Description = dict[str, Any]


def older(newest: Description, service: str, release: str) -> Description:
    """The description of a service's schema in a release, from that in the newest one; KeyError for another release."""
    if release not in RELEASES:
        raise KeyError(release)
    description = newest
    for name in reversed(RELEASES[RELEASES.index(release) :]):
        if name != NEWEST:
            description = merged(description, _patches(name).get(service, {}))
    return description


def _patches(release: str) -> dict[str, Any]:
    text = resources.files("stackmend_lab").joinpath("schema", "releases", f"{release}.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def merged(value: Any, patch: Any) -> Any:
    """The value after a JSON merge patch; neither of the two is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), change)
    return result


def difference(old: Any, new: Any) -> Any:
    """The merge patch that makes ``new`` of ``old``."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    patch: dict[str, Any] = dict.fromkeys(old.keys() - new.keys())
    for name, value in new.items():
        if name not in old or old[name] != value:
            patch[name] = difference(old.get(name), value)
    return dict(sorted(patch.items()))
