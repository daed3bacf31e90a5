# SPDX-License-Identifier: Apache-2.0
"""Findings that must be repaired before a workflow touches the servers of a host, as the checks report them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stackmend.app.audits import audit
from stackmend.cloud import compute
from stackmend.config.settings import Config
from stackmend.engine.auditing import catalogue
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Api, Progress

#: deeds on a host that was off: its servers have not been idle for long, but have to be judged now
_AT_ONCE = frozenset({"start", "rebuild"})


def dangers(config: Config, api: Api, host: str, deed: str, progress: Progress) -> Mapping[str, Sequence[str]]:
    """Server of ``host`` -> findings that hinder ``deed`` (``Check.hinders``), in words.

    SourceError if one of the checks could not be run: that is not "no finding".
    """
    servers = [str(one["id"]) for one in compute.servers_on(api, host)]
    known = {name: check for name, check in catalogue.checks().items() if deed in check.hinders}
    if not servers or not known:
        return {}
    if deed in _AT_ONCE:
        now = {name: dict.fromkeys(check.ages, 0) for name, check in known.items()}
        config = replace(config, ages={**config.ages, **now})
    report = audit(config, checks=tuple(known), about=servers, settle=0, progress=progress)
    for name, reason in report.incomplete.items():
        raise SourceError(
            f"check {name} could not be run: {reason}",
            f"Fix that, or use --no-audit: servers that it would damage to {deed} then go unnoticed.",
        )
    found: dict[str, list[str]] = {}
    for one in report.findings:
        server = str(one.key.get("server") or one.resource_id)
        if server in servers:
            found.setdefault(server, []).append(f"{one.check}: {one.message}")
    return found
