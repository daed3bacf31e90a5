# SPDX-License-Identifier: Apache-2.0
"""What tests ask of a plan."""

from __future__ import annotations

from stackmend.model.plan import Action, Plan
from stackmend.model.step import ApiCall, Manual, Risk
from stackmend_lab.simulated.things import Server


def refused(plan: Plan) -> str:
    """Why the whole may not be begun."""
    assert plan.actions == ()
    return plan.not_repaired[0].reason


def lane(plan: Plan, server: Server) -> Action:
    """The first lane of a server."""
    return next(action for action in plan.actions if action.resource_id == server.id)


def manual(plan: Plan, server: Server) -> str:
    """What is printed of a server that is left."""
    action = lane(plan, server)
    assert action.risk is Risk.MANUAL
    assert not action.runnable
    return " ".join(step.text for step in action.steps if isinstance(step, Manual))


def operations(plan: Plan, server: Server) -> list[str]:
    """Names of the calls of its first lane."""
    return [step.name for step in lane(plan, server).steps if isinstance(step, ApiCall)]
