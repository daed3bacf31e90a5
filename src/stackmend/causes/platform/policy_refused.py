# SPDX-License-Identifier: Apache-2.0
"""A policy does not allow the request: the role or the scope is missing.

## What happens

Each service checks requests against its policy rules. After an upgrade, the new defaults (reader, manager, no system
scope) refuse what was allowed before. Service accounts without the role "service" or "admin" fail in the middle of
operations.

## How it shows

"Policy check for ... failed", ``PolicyNotAuthorized``, "You are not authorized", 403.

## What speaks against it

The 403 names a quota: then a quota was reached.

## What to do

Assign the role, or correct the policy. Compare ``enforce_new_defaults`` and ``enforce_scope`` before and after the
upgrade.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_REFUSED = (
    r"Policy check for (?P<rule>[\w:.-]+) failed|PolicyNotAuthorized(?:: "
    r"(?P<other>[\w:.-]+)[^\n]*)?|Policy doesn't allow (?P<allow>[\w:.-]+)"
    r"|rule:(?P<neutron>[\w:.-]+) is disallowed by policy|You are not authorized to perform the "
    r"requested action|InvalidScope|disallowed by policy"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame the policy if it refused a request about this object."""
    found = [m for m in story.find(_REFUSED) if failed(story, m) and m.entry.level != "DEBUG"]
    if not found:
        return
    rule = listed((g for m in found for g in m.found.groups() if g), 2)
    who = listed(m.entry.service for m in found)
    yield Verdict(
        statement=(
            f"{who or 'a service'} refused a request about {about(story)} by policy{f' ({rule})' if rule else ''}"
        ),
        evidence=evidence(found),
        confidence=Confidence.CERTAIN,
        confirm=(f"oslopolicy-checker --access TOKEN.json --rule {rule or 'RULE'}",),
        remedies=("openstack role assignment list --user USER --names", "correct the policy of that service"),
    )


CAUSE = Cause(
    name="policy-refused",
    judge=judge,
    signs=(r"Policy check for \S+ failed", r"PolicyNotAuthorized", r"is disallowed by policy"),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
