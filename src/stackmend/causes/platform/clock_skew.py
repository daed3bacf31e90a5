# SPDX-License-Identifier: Apache-2.0
"""Clocks of hosts differ, and something that rests on time went wrong for it.

## What happens

Services are judged by the age of their last report, tokens by their expiry, and messages by their time to live. A host
whose clock is wrong by more than ``service_down_time`` is taken for down although it works, or for up although it is
dead.

## How it shows

By the logs of both hosts, requests arrive before they were sent. Services flap between up and down. Tokens are refused
as expired or as not yet valid.

## What speaks against it

A difference of whole hours: these are probably logs in local time. A difference without any consequence is only
reported, not blamed.

## What to do

Run ``chronyc tracking`` on both hosts. Correct the clock, then repeat the operation.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import evidence
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_FOLLOWS = (
    r"Seems service.*is down|is down\. Last time this was heard|ComputeServiceUnavailable|Filter "
    r"ComputeFilter returned 0|[Tt]oken.*(?:expired|not yet valid)|clock skew"
    r"|System clock (?:was stepped|wrong)|Can't synchronise|is still in use|Service \S+ is (?:down|not alive)"
)
_ALLOWED = 2.0


def judge(story: Story) -> Iterator[Verdict]:
    """Blame the clock if it is wrong by seconds and something that depends on time failed."""
    wrong = [clock for clock in story.clocks if abs(clock.ahead) >= _ALLOWED]
    follows = story.find(_FOLLOWS)
    if not wrong or not follows:
        return
    worst = max(wrong, key=lambda clock: abs(clock.ahead))
    direction = "ahead of" if worst.ahead > 0 else "behind"
    whole = abs(worst.ahead) >= 1800 and abs(worst.ahead / 1800 - round(worst.ahead / 1800)) < 0.02
    yield Verdict(
        statement=f"the clock of {worst.host} is {abs(worst.ahead):.1f} s {direction} that of {worst.reference} "
        f"(shown by {worst.requests} requests)",
        evidence=evidence(follows),
        confidence=Confidence.POSSIBLE if whole else Confidence.LIKELY,
        confirm=(f"chronyc tracking on {worst.host} and on {worst.reference}",),
        against=("the difference is of whole half hours: that log may be in local time, see --utc-offset",)
        if whole
        else (),
        remedies=("correct the clock of the host, then repeat the operation",),
    )


CAUSE = Cause(
    name="clock-skew", judge=judge, signs=(r"System clock wrong by", r"Can't synchronise"), words=("System clock",)
)
