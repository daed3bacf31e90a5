# SPDX-License-Identifier: Apache-2.0
"""Keystone's API."""

from __future__ import annotations

from stackmend.model.api import segment
from stackmend.model.protocols import Api


def project_name(api: Api, project: str) -> str:
    """The name of a project, "" if none has this id. SourceError if Keystone does not answer."""
    body = api.get("identity", f"/projects/{segment(project)}") or {}
    return str((body.get("project") or {}).get("name") or "")
