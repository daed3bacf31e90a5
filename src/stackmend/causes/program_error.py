# SPDX-License-Identifier: Apache-2.0
"""A service failed by an error of its own program, or by data that it did not expect.

## What happens

The code of a service raises an exception that nothing handles: a value is missing or has the wrong type, or a function
takes other parameters. The reason is a bug, a package that does not fit the others, a local patch, or damaged data in a
table.

## How it shows

A traceback in one of the object's own requests ends with ``TypeError``, ``AttributeError``, ``KeyError`` or the like.
The deepest frame in the service's code is where the error surfaced. The fault itself may be in a caller.

## What speaks against it

The error names something outside the program, such as a file, a connection or a refusal. Such errors have causes of
their own.

## What to do

Compare the package versions on that host with those on a host that works. Search the service's bug tracker for the last
line of the traceback and the function.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Match, Story

_ERROR = re.compile(
    r"^(?P<type>TypeError|AttributeError|KeyError|IndexError|NameError|UnboundLocalError|ZeroDivisionError|AssertionError"
    r"|NotImplemented\w+|RecursionError|UnicodeDecodeError|UnicodeEncodeError|Exception)(?:: (?P<why>.*))?$",
    re.MULTILINE,
)
_FRAME = re.compile(
    r'File "\S*?/(?P<file>(?:nova|neutron|cinder|glance|keystone|placement|os_vif'
    r'|os_brick)/[\w/]+\.py)", line \d+, in (?P<function>\w+)'
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame the first such error in the object's own messages."""
    found = [
        m
        for m in story.find(_ERROR, levels=("ERROR", "CRITICAL"))
        if (failed(story, m) or story.id in m.entry.whole) and "Traceback" in m.entry.whole
    ]
    if not found:
        return
    match, where = found[0], _where(found[0])
    why = (match.found["why"] or "")[:120]
    what = match.found["type"] + (f": {why}" if why else "")
    at = f" in {where[0]}, function {where[1]}" if where else ""
    yield Verdict(
        statement=(
            f"{match.entry.service or 'a service'} failed by an error of its own program while it worked on "
            f"{about(story)}: {what}{at}"
        ),
        evidence=evidence(found),
        confidence=Confidence.LIKELY,
        confirm=(
            (
                "the same operation on another host, or with another object: a bug shows "
                "everywhere, damaged data with this one"
            ),
        ),
        remedies=(
            "compare the versions of the packages with those of a host that works",
            (
                f"search the bug tracker of the service for {match.found['type']} and "
                f"{where[1] if where else 'the function'}"
            ),
        ),
    )


def _where(match: Match) -> tuple[str, str] | None:
    """File and function of the deepest frame in a service's code, in the traceback that ends with this error."""
    text = match.entry.whole[: match.found.start()]
    frames = list(_FRAME.finditer(text[text.rfind("Traceback (most recent call last)") :]))
    return (frames[-1]["file"], frames[-1]["function"]) if frames else None


CAUSE = Cause(
    name="program-error",
    judge=judge,
    signs=(r"(?:^|\n)(?:TypeError|AttributeError|KeyError|UnboundLocalError|NameError)(?::|\n|$)",),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
