# SPDX-License-Identifier: Apache-2.0
"""A plan as text for review: a summary, then a block per repair."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from stackmend.model.errors import UsageError
from stackmend.model.plan import Action, Plan, Unrepaired, to_json
from stackmend.model.step import Risk
from stackmend.report import changes
from stackmend.report.document import Document
from stackmend.report.view import PLAIN, TextContext
from stackmend.report.words import count, listed

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


def plan(shown: Plan, view: TextContext = PLAIN) -> Document:
    """The plan (docs/schemas/plan.json): as text, or its actions as records."""
    # bytes as the plan file writes them
    return Document(data=json.loads(to_json(shown.as_dict())), columns=COLUMNS, text=text(shown, view))


def text(shown: Plan, view: TextContext = PLAIN) -> str:
    """The whole plan in words."""
    return "\n".join(_lines(shown, view))


def headline(shown: Plan) -> str:
    """One line of numbers."""
    counts = shown.counts
    parts = [f"{count(counts['actions'], 'repair')} with {count(counts['steps'], 'change')}"]
    right = sum(left.done for left in shown.not_repaired)
    rest = {
        "by hand": counts["manual"],
        "to do in a later plan": counts["deferred"],
        "not repaired": counts["not_repaired"] - right,
        "already right": right,
    }
    return ", ".join([*parts, *(f"{number} {word}" for word, number in rest.items() if number)])


def narrowed(shown: Plan, ids: Sequence[str], repairs: Sequence[str]) -> Plan:
    """The plan reduced to these actions and repairs. UsageError for one that it does not have."""
    if not ids and not repairs:
        return shown
    actions = chosen(shown.actions, ids, repairs, "the plan")
    deferred, not_repaired = (
        tuple(one for one in left if one.repair in repairs) for left in (shown.deferred, shown.not_repaired)
    )
    return replace(shown, actions=actions, deferred=deferred, not_repaired=not_repaired)


def chosen(actions: Sequence[Action], ids: Sequence[str], repairs: Sequence[str], what: str) -> tuple[Action, ...]:
    """The actions with these ids and of these repairs. UsageError for one that ``what`` does not have."""
    for wanted, word, known in (
        (ids, "action", [one.id for one in actions]),
        (repairs, "repair", sorted({one.repair for one in actions})),
    ):
        for name in wanted:
            if name not in known:
                raise UsageError(f"{what} has no {word} '{name}'", f"It has: {listed(known, 40) or 'none'}.")
    return tuple(one for one in actions if (not ids or one.id in ids) and (not repairs or one.repair in repairs))


def heading(action: Action) -> str:
    """Id, repair, the consent it needs, and the means (API or database)."""
    return f"{action.id}  {action.repair} ({_risk(action.risk)}, by {action.strategy})"


def _risk(risk: Risk) -> str:
    return risk.value if risk is Risk.SAFE else risk.value.upper()


_UNSIGNED = (
    "No trusted key has signed this file. The output is derived from its steps; text that only the file claims is"
    " marked."
)


def _lines(shown: Plan, view: TextContext) -> Iterator[str]:
    yield from view.wrapped(f"plan {shown.id}, made {shown.created_at} by stackmend {shown.version}", "")
    yield headline(shown)
    if not view.vouched:
        yield from view.wrapped(_UNSIGNED, "")
    yield from _summary(shown, view)
    yield from _seen(shown, view)
    for action in shown.runnable:
        yield ""
        yield from _action(action, view, shown.workflow)
    if shown.runnable and view.rows and not view.sql:
        yield ""
        yield from view.wrapped(
            "A row is changed only if it still matches this plan. Use --sql to see every statement with its guards.", ""
        )
    yield from _by_hand(shown.manual, view, shown.workflow)
    yield from _left("later (rows of an earlier repair: create a new plan after this one)", shown.deferred, view)
    yield from _left("not repaired", [left for left in shown.not_repaired if not left.done], view)
    yield from _left("already right", [left for left in shown.not_repaired if left.done], view)
    yield from _left_out(shown, view)
    limits = shown.limits
    yield ""
    yield from view.wrapped(
        f"limits: {count(limits.max_rows, 'row')} in all, {limits.max_share:.0%} of a table "
        f"(but always {limits.share_floor}), stop after {count(limits.max_failures, 'failure')}",
        "",
    )


def _summary(shown: Plan, view: TextContext) -> Iterator[str]:
    """Numbers of repairs, rows by database and table, what needs consent, what cannot be undone."""
    risks = {action.repair: action.risk for action in shown.runnable}
    numbers = Counter(action.repair for action in shown.runnable)
    if numbers:
        yield "repairs:"
    yield from (f"  {number:>6,}  {name} ({_risk(risks[name])})" for name, number in sorted(numbers.items()))
    rows = changes.tally(shown.runnable)
    if rows:
        yield "changes:"
    for where, what, marks in rows:
        told = ", ".join(f"{number:,} {_MARKS[mark][number != 1]}" for mark, number in sorted(marks.items()))
        yield from view.wrapped(f"{where} {what}: {told}", "  ", "      ")
    if shown.needs_consent:
        yield from view.wrapped(f"needs consent by --accept: {', '.join(shown.needs_consent)}", "", "  ")
    gone = [action.id for action in shown.runnable if action.irreversible]
    if gone:
        yield from view.wrapped(f"IRREVERSIBLE: {', '.join(gone)}", "", "  ")


_MARKS = {
    "+": ("row new (+)", "rows new (+)"),
    "~": ("row changed (~)", "rows changed (~)"),
    "-": ("row deleted (-)", "rows deleted (-)"),
    "call": ("call", "calls"),
    "command": ("command", "commands"),
}


def _seen(shown: Plan, view: TextContext) -> Iterator[str]:
    """Facts that a workflow found out, except those about objects in its lanes."""
    if not shown.workflow or not shown.facts:
        return
    acted = {action.resource_id for action in shown.actions}
    yield ""
    yield "seen:" if view.vouched else "the file says that it has seen:"
    for name, value in shown.facts.items():
        if isinstance(value, Mapping) and (
            len(value) > _ON_A_LINE or any(isinstance(one, Mapping) for one in value.values())
        ):
            for key, one in value.items():
                if key not in acted:
                    yield from view.wrapped(f"{name}: {key}: {_words(one)}", "  ", "    ")
        else:
            yield from view.wrapped(f"{name}: {_words(value)}", "  ", "    ")


def _words(value: object) -> str:
    """A fact on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items() if one not in (None, "", [], {}))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(_words(one) for one in value) or "none"
    return "unknown" if value is None else str(value)


def _action(action: Action, view: TextContext, workflow: str) -> Iterator[str]:
    yield from view.wrapped(heading(action), "", "    ")
    yield from view.about(action.resource_type, action.resource_id)
    yield from why(action, view, workflow)
    if not view.rows:
        return
    if not view.sql:
        yield from changes.guards(action.steps, view)
    for number, step in enumerate(action.steps):
        if view.sql or not changes.is_guard(step):
            yield from changes.lines(action, number, view)


def why(action: Action, view: TextContext, workflow: str = "") -> Iterator[str]:
    """The reason for it, what may be lost, and the evidence for and against it."""
    says = view.with_names(action.message, action.resource_type, action.resource_id)
    # of a repair it is made of the finding again; of a workflow it is what the plan says
    doubted = [] if view.vouched or not workflow else [says]
    if not doubted:
        yield from view.wrapped(f"{action.check + ': ' if action.check else ''}{says}", "    ")
    if action.why:
        yield from view.wrapped(f"what may be lost: {action.why}", "    ", "      ")
    told = [
        *doubted,
        *([f"by {action.strategy}, because {action.instead}"] if action.instead else []),
        *action.evidence,
    ]
    if view.vouched:
        yield from (line for one in told for line in view.wrapped(one, "    ", "      "))
    elif len(told) == 1:
        yield from view.wrapped(f"the file says: {told[0]}", "    ", "      ")
    elif told:
        yield "    the file says:"
        yield from (line for one in told for line in view.wrapped(one, "      ", "        "))


def _by_hand(actions: Sequence[Action], view: TextContext, workflow: str) -> Iterator[str]:
    if not actions:
        return
    yield ""
    yield f"by hand{'' if view.vouched else ', as the file says'} (stackmend never does these):"
    for action in actions:
        yield from view.wrapped(f"{action.id}  {action.repair}" if action.repair else action.id, "", "    ")
        yield from view.about(action.resource_type, action.resource_id)
        yield from why(action, view, workflow)
        for number in range(len(action.steps)):
            for line in changes.statement(action, number).splitlines():
                yield from view.wrapped(line, "      ")


def _left(title: str, left: Sequence[Unrepaired], view: TextContext) -> Iterator[str]:
    if not left:
        return
    yield ""
    yield f"{title}:" if view.vouched else f"{title}, as the file says:"
    for one in left:
        called = view.called(one.resource_type, one.resource_id)
        says = view.with_names(one.reason, one.resource_type, one.resource_id)
        yield from view.wrapped(f"{one.check or one.repair}  {called}: {says}", "  ", "      ")


def _left_out(shown: Plan, view: TextContext) -> Iterator[str]:
    if not shown.incomplete:
        return
    yield ""
    yield from view.wrapped("INCOMPLETE: these checks have no answer, so nothing is planned for them:", "")
    for check, reason in sorted(shown.incomplete.items()):
        yield from view.wrapped(f"{check}: {reason}", "  ", "      ")
