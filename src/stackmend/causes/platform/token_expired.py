# SPDX-License-Identifier: Apache-2.0
"""A token expired in the middle of a long operation.

## What happens

Nova works with the user's token for minutes or hours (snapshots, shelving, large images, migrations with volumes). When
the token expires, the next service answers 401 and the operation stops half done. If Nova also sends a service token
(``[service_user] send_service_user_token``), the services accept the expired token.

## How it shows

``Unauthorized`` or 401 from Glance, Cinder or Neutron, in a request in which earlier calls to them succeeded.

## What speaks against it

Every call gets a 401, from the first one on: then the account or the configuration is wrong.

## What to do

Enable service tokens in all services. Raise the token expiry in Keystone if operations take that long.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Entry, Story

_REFUSED = (
    r"Unauthorized|HTTP 401|\(HTTP 401\)|HTTPUnauthorized|TokenExpired|[Tt]oken (?:has )?expired"
    r"|This request requires authentication|The request you have made requires authentication"
)
_LONG = 300.0


def judge(story: Story) -> Iterator[Verdict]:
    """Blame the token if it was refused after the request had gone well for minutes."""
    refused = [m for m in story.find(_REFUSED, levels=("ERROR", "CRITICAL", "WARNING")) if failed(story, m)]
    for match in refused:
        begun = [e for e in story.entries if e.request and e.request == match.entry.request and e.at is not None]
        if match.entry.at is None or not begun:
            continue
        lasted = match.entry.at - min(e.at or 0.0 for e in begun)
        said = "xpired" in match.entry.whole
        if lasted < _LONG and not said:
            continue
        yield _verdict(story, match.entry, begun, lasted)
        return


def _verdict(story: Story, entry: Entry, begun: list[Entry], lasted: float) -> Verdict:
    return Verdict(
        statement=(
            f"the token expired in the middle of an operation on {about(story)}: "
            f"{entry.service or 'a service'} was refused {lasted / 60:.0f} minutes after the request began"
        ),
        evidence=evidence(begun[:2], [entry]),
        confidence=Confidence.CERTAIN if "xpired" in entry.whole and lasted >= _LONG else Confidence.LIKELY,
        confirm=(
            "[token] expiration in keystone.conf; [service_user] send_service_user_token in nova.conf and cinder.conf",
        ),
        remedies=(
            "turn on service tokens, then repeat the operation",
            "stackmend audit  # what the half operation left",
        ),
    )


CAUSE = Cause(name="token-expired", judge=judge, signs=(r"TokenExpired", r"[Tt]oken (?:has )?expired"))
