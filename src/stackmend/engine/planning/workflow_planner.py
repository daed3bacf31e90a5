# SPDX-License-Identifier: Apache-2.0
"""Makes the plan of a workflow: its lanes in the order of their stages."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace

from stackmend import __version__
from stackmend.engine.auditing import catalogue
from stackmend.engine.planning.cascade import taken_along
from stackmend.engine.planning.planner import Arguments, faulty
from stackmend.engine.planning.step_text import Describe, Waits, literal, marked, named, never_waits
from stackmend.engine.planning.vocabulary import foreign
from stackmend.model.errors import UsageError
from stackmend.model.plan import Action, Limits, Plan, Unrepaired
from stackmend.model.repair import CannotRepair
from stackmend.model.step import ApiCall, Gate, HostCommand, Manual, Risk, RowStep
from stackmend.model.workflow import LaneDraft, Sight, Workflow


def workflow_of(name: str, known: Mapping[str, Workflow] | None = None) -> Workflow:
    """The workflow of this name; UsageError if there is none."""
    found = (catalogue.workflows() if known is None else known).get(name)
    if found is None:
        raise UsageError(f"there is no workflow {name!r}", f"Available: {', '.join(catalogue.workflows())}.")
    return found


def plan(
    workflow: Workflow,
    arguments: Mapping[str, object],
    sight: Sight,
    *,
    cloud: str,
    limits: Limits,
    gates: bool = False,
    describe: Describe = named,
    waits: Waits = never_waits,
) -> Plan:
    """The plan; if the workflow must not be begun, it has no action and the reason in ``not_repaired``.

    ``gates``: keep the gates of the workflow, else they are left out. UsageError for a missing argument, SourceError if
    something it has to know could not be read.
    """
    try:
        drafts = list(workflow.lanes(Arguments(workflow.name, arguments), sight))
    except CannotRepair as answer:
        return _plan(workflow, (), _refused(workflow, arguments, str(answer)), sight, cloud, limits)
    actions: list[Action] = []
    for draft in sorted(drafts, key=lambda one: one.stage):
        draft = _whole(draft, sight)
        draft = replace(draft, steps=marked(draft.steps, waits))
        if action := _action(workflow, draft, f"a{len(actions) + 1}", gates, describe):
            actions.append(action)
    return _plan(workflow, tuple(actions), (), sight, cloud, limits)


def _whole(draft: LaneDraft, sight: Sight) -> LaneDraft:
    """The lane; made manual if its rows would affect others that it does not name."""
    rows = [step for step in draft.steps if isinstance(step, RowStep)]
    if not rows or sight.live is None or not (why := taken_along(rows, sight.live)):
        return draft
    return replace(draft, steps=(Manual(text=f"not begun: {why}"),), risk=Risk.MANUAL, why=why)


def _plan(
    workflow: Workflow,
    actions: tuple[Action, ...],
    left: tuple[Unrepaired, ...],
    sight: Sight,
    cloud: str,
    limits: Limits,
) -> Plan:
    return Plan(
        id=secrets.token_hex(6),
        created_at=sight.now,
        cloud=cloud,
        version=__version__,
        actions=actions,
        not_repaired=left,
        limits=limits,
        workflow=workflow.name,
        facts=_json(sight.facts),
    )


def _refused(workflow: Workflow, arguments: Mapping[str, object], reason: str) -> tuple[Unrepaired, ...]:
    kind, name = next(iter(arguments.items()), ("", ""))
    return (
        Unrepaired(
            check="",
            fingerprint="",
            resource_type=kind,
            resource_id=str(name),
            message=workflow.name,
            reason=reason,
            repair=workflow.name,
        ),
    )


def _action(workflow: Workflow, draft: LaneDraft, name: str, gates: bool, describe: Describe) -> Action | None:
    steps = tuple(step for step in draft.steps if gates or not isinstance(step, Gate))
    if not steps:
        return None
    risk, why = workflow.judged(steps)
    if draft.risk not in (None, risk):
        raise catalogue.CatalogueError(f"workflow {workflow.name} calls a lane {draft.risk}, its steps say {risk}")
    if fault := next(filter(None, (faulty(step) or foreign(workflow.name, step) for step in steps)), ""):
        raise catalogue.CatalogueError(f"workflow {workflow.name} is refused: {fault}")
    return Action(
        id=name,
        check="",
        key={draft.resource_type: draft.resource_id},
        fingerprint="",
        resource_type=draft.resource_type,
        resource_id=draft.resource_id,
        message=draft.message,
        target=_json(draft.target),
        repair=workflow.name,
        strategy=_strategy(draft),
        risk=risk,
        stage=draft.stage,
        steps=steps,
        statements=tuple(literal(step, describe) for step in steps),
        why=draft.why or why,
        # a lane with a gate stops there
        required=draft.required or any(isinstance(step, Gate) for step in steps),
        slots=draft.slots,
        evidence=draft.evidence,
    )


def _json(values: Mapping[str, object]) -> dict[str, object]:
    """The values as JSON, at any depth."""
    found: dict[str, object] = json.loads(json.dumps(values, default=str))
    return found


def _strategy(draft: LaneDraft) -> str:
    """How it is done: "api", "db", "host", several joined by "+", or "hand"."""
    kinds = {
        "db": any(isinstance(step, RowStep) for step in draft.steps),
        "api": any(isinstance(step, ApiCall) for step in draft.steps),
        "host": any(isinstance(step, HostCommand) for step in draft.steps),
    }
    return "+".join(name for name, there in kinds.items() if there) or "hand"
