# SPDX-License-Identifier: Apache-2.0
"""What must be mended before the servers of a host are started: asked of the checks, for a workflow cannot audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from stackmend.app import apis
from stackmend.app.audits import audit
from stackmend.app.config import Config
from stackmend.app.session import Session, silent
from stackmend.engine import catalogue
from stackmend.model.errors import ApiError, SourceError
from stackmend.model.ports import Progress

#: checks whose finding makes a start or a hard reboot destructive, or futile (catalogue W2.4)
DANGERS = (
    "info-cache-empty",
    "info-cache-row-missing-or-deleted",
    "info-cache-stale-port",
    "nova-bdm-cinder-detached",
    "port-binding-wrong-host",
    "server-half-purged",
    "server-wrong-host",
)


def dangers(config: Config, host: str, progress: Progress = silent) -> Mapping[str, list[str]]:
    """Server of ``host`` -> findings by which its start does harm, in words.

    ApiError without an API; SourceError where one of the checks has no answer: no answer is not "no finding".
    """
    session = Session.looking(config)
    with apis.reading(config, session, "auto") as (api, why):
        if api is None:
            raise ApiError(f"recover-host needs the services' APIs: {why}", "Name a cloud: [api] cloud, or OS_CLOUD.")
        path = f"/servers/detail?all_tenants=1&host={quote(host, safe='')}"
        servers = [str(one["id"]) for one in api.every("compute", path, "servers", "2.53")]
    if not servers:
        return {}
    known = tuple(name for name in DANGERS if name in catalogue.checks())
    # what the power sync has just stopped is not idle for long, and is to be started now
    now = {name: dict.fromkeys(catalogue.checks()[name].ages, 0) for name in known}
    report = audit(
        replace(config, ages={**config.ages, **now}), checks=known, servers=servers, settle=0, progress=progress
    )
    for name, reason in report.incomplete.items():
        raise SourceError(
            f"check {name} has no answer: {reason}",
            "Mend that, or say --no-audit: then nothing tells which servers a start would harm.",
        )
    found: dict[str, list[str]] = {}
    for one in report.findings:
        server = str(one.key.get("server") or one.resource_id)
        if server in servers:
            found.setdefault(server, []).append(f"{one.check}: {one.message}")
    return found
