# SPDX-License-Identifier: Apache-2.0
"""A policy does not allow the request: the role or the scope is missing.

## What happens

Each service checks requests against its policy rules. After an upgrade, the new defaults (reader, manager, no system
scope) refuse what was allowed before. Service accounts without the role "service" or "admin" fail in the middle of
operations.

## How it shows

"Policy check for ... failed", ``PolicyNotAuthorized``, "You are not authorized", 403. Nova of 2026 logs the rule only
at DEBUG: otherwise there is nothing but its answer, 403.

## What speaks against it

The 403 names a quota: then a quota was reached.

## What to do

Assign the role, or correct the policy. Compare ``enforce_new_defaults`` and ``enforce_scope`` before and after the
upgrade.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed, listed
from stackmend.cloud.diagnosing.log_lines import asked
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_REFUSED = (
    r"Policy check for (?P<rule>[\w:.-]+) failed|PolicyNotAuthorized(?:: "
    r"(?P<other>[\w:.-]+)[^\n]*)?|Policy doesn't allow (?P<allow>[\w:.-]+)"
    r"|rule:(?P<neutron>[\w:.-]+) is disallowed by policy|You are not authorized to perform the "
    r"requested action|InvalidScope|disallowed by policy"
)
#: how services say why they refuse
_SAID = r"(?i)exception thrown|quota|exceeded|client error|traceback"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame the policy if it refused a request about this object."""
    found = [m for m in story.find(_REFUSED) if failed(story, m) and m.entry.level != "DEBUG"]
    if not found:
        yield from _unsaid(story)
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


def _unsaid(story: Story) -> Iterator[Verdict]:
    """A request that was answered with 403, and nothing else: Nova logs the rule of such a refusal only at DEBUG."""
    mine = [entry for entry in story.entries if entry.request == story.id]
    answers = [entry for entry in mine if (request := asked(entry.text)) and request.status == 403]
    if story.kind != "request" or not answers or any(re.search(_SAID, entry.whole) for entry in mine):
        return
    yield Verdict(
        statement=f"{listed(e.service for e in answers)} answered {about(story)} with 403 and does not say why",
        evidence=evidence(answers),
        confidence=Confidence.POSSIBLE,
        confirm=("repeat it with debug = true in that service: 'Policy check for RULE failed'",),
        against=("a quota that is used up is answered with 403 as well, though services log that",),
        remedies=("openstack role assignment list --user USER --names", "correct the policy of that service"),
    )


CAUSE = Cause(
    name="policy-refused",
    judge=judge,
    signs=(r"Policy check for \S+ failed", r"PolicyNotAuthorized", r"is disallowed by policy"),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
