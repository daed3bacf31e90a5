# SPDX-License-Identifier: Apache-2.0
"""A plan as text that a human can read and sign off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stackmend.model.plan import Action, Left, Plan
from stackmend.model.step import Gate, Manual, Risk, irreversible, writes
from stackmend.report.document import Document
from stackmend.report.words import count

COLUMNS = (
    ("Action", "id"),
    ("Repair", "repair"),
    ("Risk", "risk"),
    ("By", "strategy"),
    ("Resource Type", "resource_type"),
    ("Resource", "resource_id"),
    ("Message", "message"),
)
#: of what a workflow has seen
_ON_A_LINE = 4


def plan(shown: Plan, *, detail: bool = True) -> Document:
    """The plan (docs/schemas/plan.json): as text, or its actions as records."""
    data = shown.as_dict()
    return Document(data=_plain(data), columns=COLUMNS, text=text(shown, detail=detail))


def text(shown: Plan, *, detail: bool = True) -> str:
    """The whole plan in words; without ``detail`` the statements are left out."""
    return "\n".join(_lines(shown, detail))


def headline(shown: Plan) -> str:
    """One line of numbers."""
    counts = shown.counts
    parts = [f"{count(counts['actions'], 'repair')} with {count(counts['steps'], 'change')}"]
    parts += [f"{counts[key]} {word}" for key, word in _REST if counts[key]]
    return ", ".join(parts)


_REST = (("manual", "by hand"), ("deferred", "to do in a later plan"), ("not_repaired", "not repaired"))


def _lines(shown: Plan, detail: bool) -> Iterator[str]:
    yield f"plan {shown.id}, made {shown.created_at} by stackmend {shown.version}"
    yield headline(shown)
    if shown.needs_consent:
        yield f"needs consent: {', '.join(f'--accept {name}' for name in shown.needs_consent)}"
    gone = [action.id for action in shown.runnable if action.irreversible]
    if gone:
        yield f"IRREVERSIBLE: {', '.join(gone)}"
    yield from _seen(shown)
    for action in shown.runnable:
        yield ""
        yield from _action(action, detail)
    yield from _by_hand(shown.manual)
    yield from _left("later (rows of an earlier repair: make a new plan after this one)", shown.deferred)
    yield from _left("not repaired", shown.not_repaired)
    yield from _left_out(shown)
    limits = shown.limits
    yield ""
    yield (
        f"limits: {count(limits.max_rows, 'row')} in all, {limits.max_share:.0%} of a table "
        f"(but always {limits.share_floor}), stop after {count(limits.max_failures, 'failure')}"
    )


def _seen(shown: Plan) -> Iterator[str]:
    """What a workflow has found out before; of what it acts on, its lanes tell."""
    if not shown.workflow or not shown.facts:
        return
    acted = {action.resource_id for action in shown.actions}
    yield ""
    yield "seen:"
    for name, value in shown.facts.items():
        if isinstance(value, Mapping) and (
            len(value) > _ON_A_LINE or any(isinstance(one, Mapping) for one in value.values())
        ):
            yield from (f"  {name}: {key}: {_words(one)}" for key, one in value.items() if key not in acted)
        else:
            yield f"  {name}: {_words(value)}"


def _words(value: object) -> str:
    """A fact on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items() if one not in (None, "", [], {}))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(_words(one) for one in value) or "none"
    return "unknown" if value is None else str(value)


def _action(action: Action, detail: bool) -> Iterator[str]:
    risk = action.risk.value if action.risk is Risk.SAFE else action.risk.value.upper()
    yield f"{action.id}  {action.repair} ({risk}, by {action.strategy})  {action.resource_type} {action.resource_id}"
    yield f"    {action.check + ': ' if action.check else ''}{action.message}"
    if action.why:
        yield f"    what may be lost: {action.why}"
    if action.instead:
        yield f"    by {action.strategy}, for {action.instead}"
    yield from (f"    {line}" for line in action.evidence)
    if not detail:
        return
    for number, step in enumerate(action.steps):
        mark = "  IRREVERSIBLE" if irreversible(step) else ""
        label = f"{number + 1:>3}." if writes(step) else "you:" if isinstance(step, Gate | Manual) else " if "
        for line in _statement(action, number).splitlines():
            yield f"    {label} {line}{mark}"
            label, mark = "    ", ""


def _statement(action: Action, number: int) -> str:
    if number < len(action.statements):
        return action.statements[number]
    step = action.steps[number]
    return step.text if isinstance(step, Manual) else step.kind


def _by_hand(actions: Sequence[Action]) -> Iterator[str]:
    if not actions:
        return
    yield ""
    yield "by hand (stackmend never does these):"
    for action in actions:
        yield f"  {action.id}  {action.resource_type} {action.resource_id}: {action.message}"
        for number in range(len(action.steps)):
            for line in _statement(action, number).splitlines():
                yield f"      {line}"


def _left(title: str, left: Sequence[Left]) -> Iterator[str]:
    if not left:
        return
    yield ""
    yield f"{title}:"
    for one in left:
        yield f"  {one.check}  {one.resource_type} {one.resource_id}: {one.reason}"


def _left_out(shown: Plan) -> Iterator[str]:
    if not shown.incomplete:
        return
    yield ""
    yield "INCOMPLETE: these checks have no answer, so nothing is planned for them:"
    for check, reason in sorted(shown.incomplete.items()):
        yield f"  {check}: {reason}"


def _plain(data: object) -> object:
    """The plan's values with bytes as the plan file writes them."""
    import json

    from stackmend.model.plan import to_json

    return json.loads(to_json(data))
