# SPDX-License-Identifier: Apache-2.0
"""Plans the actions of a plan file again when it is applied: an action that comes out differently is not executed.

Repairs are pure: the same finding, rows and time give the same steps, byte for byte. So this detects steps that
somebody added to a file, removed or changed, and plans whose underlying rows have changed (docs/adr/0021). The rows of
a finding are those the check returns now, never those in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest

from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.confirm import Confirmed
from stackmend.engine.planning.planner import Arguments
from stackmend.engine.planning.step_text import Describe, Waits, literal, marked
from stackmend.engine.running.lanes import Lane
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.finding import Row
from stackmend.model.plan import Action, Plan, canonical, step_dict
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.sight import HostLook, Sighted
from stackmend.model.step import Step

#: (actions with what their checks return now, {} for requests) -> {id of an action: why it would be planned
#: differently}
Again = Callable[[Sequence[tuple[Action, Row]]], Mapping[str, str]]

#: how far a plan's time may be from its creation, before and after: clock difference and duration of planning
_BEFORE, _AFTER = timedelta(minutes=2), timedelta(hours=1)


def moment_of(plan: Plan) -> str:
    """The time for which the steps of a plan were made; if the file has none, the time that its steps mention most."""
    if plan.now:
        return plan.now
    made = datetime.fromisoformat(plan.created_at).replace(tzinfo=None)
    counted: Counter[str] = Counter()
    for action in plan.actions:
        for step in action.steps:
            for values in (getattr(step, "after", {}), getattr(step, "values", {})):
                counted.update(v for v in values.values() if isinstance(v, str) and _near(v, made))
    return counted.most_common(1)[0][0] if counted else ""


def _near(text: str, made: datetime) -> bool:
    try:
        return made - _BEFORE <= datetime.fromisoformat(text).replace(tzinfo=None) <= made + _AFTER
    except ValueError:
        return False


def changed_lanes(lanes: Sequence[Lane], answer: Confirmed, again: Again) -> dict[Lane, str]:
    """Those of the lanes not yet begun that would now be planned differently, with the reason."""
    fresh = {lane.action.id: lane for lane in lanes if lane.open and lane.at == 0 and not lane.begun}
    actions = [lane.action for lane in fresh.values()]
    about = [(a, answer.rows[a.check][a.fingerprint] if a.check else {}) for a in actions]
    return {fresh[name]: why for name, why in again(about).items()}


def differing(
    actions: Sequence[tuple[Action, Row]],
    live: Live,
    waits: Waits,
    describe: Describe,
    looks: Mapping[str, HostLook] | None = None,
) -> dict[str, str]:
    """Id -> why the repair would plan that action differently; unchanged actions are left out.

    ``looks``: the hypervisors on which the actions rest (:attr:`stackmend.model.plan.Action.seen`), read anew.
    """
    seen = Sighted(looks or {})
    found = {}
    for action, target in actions:
        if why := _unlike(action, target, live, seen):
            found[action.id] = why
            continue
        again = _steps(action, target, live, waits)
        if isinstance(again, str):
            found[action.id] = again
        elif why := _difference(action.steps, again, describe):
            found[action.id] = why
    return found


def unlike(actions: Sequence[tuple[Action, Row]], live: Live, looks: Mapping[str, HostLook]) -> dict[str, str]:
    """Id -> why what hypervisors show now forbids an action that rests on what they showed."""
    seen = Sighted(looks)
    return {action.id: why for action, target in actions if (why := _unlike(action, target, live, seen))}


def _unlike(action: Action, target: Row, live: Live, seen: Sighted) -> str:
    """Why what hypervisors show now forbids an action that rests on what they showed, or ""."""
    check = catalogue.tabled().get(action.check)
    if not action.seen or check is None or check.sight is None:
        return "" if not action.seen else f"findings of {action.check or 'a request'} are not seen on hypervisors"
    for host in sorted(action.seen):
        if not seen.read(host):
            problem = seen.looks[host].problem if host in seen.looks else "it was not asked"
            return f"it rests on what hypervisor {host} showed, which cannot be read now: {problem}"
    shown = check.sight.shown(target, seen)
    other = [
        f"hypervisor {host} showed when this was planned: {was}; it shows now: {now}"
        for host, was in sorted(action.seen.items())
        if (now := shown.get(host, "nothing of it")) != was
    ]
    if other:
        return "; ".join(other)
    try:
        why = catalogue.repairs()[action.repair].unless(target, live, seen, action.steps)
    except SourceError as problem:
        return f"it could not be planned again: {problem.message}"
    return f"hypervisors forbid it: {why}" if why else ""


def _steps(action: Action, target: Row, live: Live, waits: Waits) -> tuple[Step, ...] | str:
    strategy = catalogue.repairs()[action.repair].strategies[action.strategy]
    try:
        return marked(strategy(target if action.check else Arguments(action.repair, action.target), live), waits)
    except CannotRepair as answer:
        return f"{action.repair} cannot be done now: {answer}"
    except (SourceError, UsageError) as problem:
        return f"it could not be planned again: {problem.message}"


def _difference(planned: Sequence[Step], again: Sequence[Step], describe: Describe) -> str:
    for number, (one, other) in enumerate(zip_longest(planned, again), 1):
        if one is None:
            return f"planned again, it has an additional step: {_step_text(other, describe)}"
        if other is None:
            return f"planned again, it lacks step {number}: {_step_text(one, describe)}"
        if _bytes(one) != _bytes(other):
            return f"planned again, its step {number} is {_step_text(other, describe)}, not {_step_text(one, describe)}"
    return ""


def _step_text(step: Step, describe: Describe) -> str:
    return literal(step, describe)[:400]


def _bytes(step: Step) -> bytes:
    return canonical(step_dict(step))
