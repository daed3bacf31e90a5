# SPDX-License-Identifier: Apache-2.0
"""Derives everything a human reads in a plan file from its steps again, as the file is not trusted (docs/adr/0021).

Risk, possible losses, statements, messages and the object of an action come from the steps, the repair and the check of
*this* version. What none of its repairs or workflows can ask for is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from stackmend import __version__
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import findings_of
from stackmend.engine.planning.planner import asked, faulty
from stackmend.engine.planning.step_text import Describe, Waits, literal, marked
from stackmend.engine.planning.vocabulary import command, foreign
from stackmend.model.errors import PlanFileError
from stackmend.model.finding import State, jsonable
from stackmend.model.plan import Action, Limits, Plan
from stackmend.model.step import ApiCall, HostCommand, Risk, Step

#: number of faults named in the message
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VettingContext:
    """The knowledge available where a plan file is read."""

    describe: Describe
    waits: Waits
    settings: Mapping[str, object] | None  #: of hosts and hooks; None if no configuration is available
    vouched: bool = False  #: the plan is signed with a trusted key


def vetted(plan: Plan, judge: VettingContext, file: str) -> Plan:
    """The plan with everything derivable derived again. PlanFileError for what this version cannot have planned."""
    actions, faults = [], []
    for action in plan.actions:
        fault = _fault(plan, action, judge)
        if not fault:
            derived, fault = _derived(action, judge)
            actions.append(derived)
            if plan.version == __version__:
                fault = fault or _weaker(action, derived)
        if fault:
            faults.append(f"{action.id}: {fault}")
    if len({action.id for action in plan.actions}) != len(plan.actions):
        faults.append("two actions have the same id")
    if faults:
        more = f" (and {len(faults) - _NAMED} more)" if len(faults) > _NAMED else ""
        other = (
            "" if plan.version == __version__ else f" It was made by stackmend {plan.version}; this is {__version__}."
        )
        raise PlanFileError(
            f"{file} contains actions that this stackmend does not plan: {'; '.join(faults[:_NAMED])}{more}",
            f"Do not apply it: make a new plan, and find out who changed this one.{other}",
        )
    return replace(plan, actions=tuple(actions))


def reworded(said: Plan, true: Plan) -> tuple[str, ...]:
    """The actions of a file whose statements are written otherwise than :func:`vetted` has made them of their steps."""
    own = {action.id: action.statements for action in true.actions}
    return tuple(action.id for action in said.actions if action.statements not in ((), own[action.id]))


def bounded(limits: Limits, allowed: Limits) -> Limits:
    """The limits of a file, restricted to those allowed here."""
    return replace(
        limits,
        max_rows=min(limits.max_rows, allowed.max_rows),
        max_share=min(limits.max_share, allowed.max_share),
        share_floor=min(limits.share_floor, allowed.share_floor),
        max_failures=min(limits.max_failures, allowed.max_failures),
    )


def _fault(plan: Plan, action: Action, judge: VettingContext) -> str:
    """Why this version cannot have planned it, or ""."""
    if plan.workflow:
        if plan.workflow not in catalogue.workflows() or action.repair != plan.workflow or action.check:
            return f"there is no workflow {action.repair}"
    else:
        repair = catalogue.repairs().get(action.repair)
        if repair is None:
            return f"there is no repair {action.repair}"
        if action.strategy not in repair.strategies:
            return f"{action.repair} has no strategy {action.strategy}"
        if action.check and repair not in catalogue.offered(action.check, action.target.get("code")):
            return f"{action.repair} does not repair findings of {action.check}"
    return next((fault for step in action.steps for fault in _faults(action, step, judge)), "")


def _faults(action: Action, step: Step, judge: VettingContext) -> Iterator[str]:
    if fault := faulty(step) or foreign(action.repair, step):
        yield fault
    if isinstance(step, ApiCall):
        for call in (step, *((step.inverse,) if step.inverse else ())):
            if call.fault:
                yield call.fault
    if isinstance(step, HostCommand) and (fault := command(action.repair, step, judge.settings, vouched=judge.vouched)):
        yield fault


def _derived(action: Action, judge: VettingContext) -> tuple[Action, str]:
    """(the action as this version would show it, why it cannot be shown)."""
    steps = marked(action.steps, judge.waits)
    try:
        statements = tuple(literal(step, judge.describe) for step in steps)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return action, "the arguments of a call do not match its operation"
    if action.repair in catalogue.workflows():
        risk, why = catalogue.workflows()[action.repair].judged(steps)
        return replace(action, steps=steps, statements=statements, risk=risk, why=why or action.why), ""
    found = _of_repair(replace(action, steps=steps, statements=statements))
    return (found, "") if found else (action, f"{action.check or action.repair} does not match the object it names")


def _of_repair(action: Action) -> Action | None:
    """The repair's action as derived from the finding or request in it; None if that gives another action."""
    repair = catalogue.repairs()[action.repair]
    try:
        if action.check:
            (finding,) = findings_of(catalogue.tabled()[action.check], [action.target], State.CONFIRMED)
        else:
            finding = asked(repair, action.target)
    except (KeyError, TypeError, ValueError):
        return None
    if finding.fingerprint != action.fingerprint:
        return None
    return replace(
        action,
        risk=repair.risk,
        why=repair.why,
        stage=catalogue.stage(repair.name),
        required=False,
        slots=(),
        key=jsonable(finding.key),
        resource_type=finding.resource_type,
        resource_id=finding.resource_id,
        message=finding.message,
    )


def _weaker(said: Action, true: Action) -> str:
    """What a file of this same version understates compared with its steps, or ""."""
    order = [Risk.SAFE, Risk.UNSAFE, Risk.MANUAL]
    if order.index(said.risk) < order.index(true.risk):
        return f"its risk is {true.risk.value}, but the file says {said.risk.value}"
    return ""
