# SPDX-License-Identifier: Apache-2.0
"""Plans the repairs of a plan file again when it is applied: on current databases and APIs, at the time of the plan."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from stackmend.app import apis
from stackmend.app.session import BELIEVED, CloudSession
from stackmend.config.settings import Config
from stackmend.drivers.api.operations import describe, waits
from stackmend.engine.planning import replan
from stackmend.engine.planning.planner import enforce
from stackmend.model.errors import PlanFileError
from stackmend.model.finding import Row
from stackmend.model.plan import Action, Plan


class Replanning:
    """Implements :data:`stackmend.engine.planning.replan.Again` for the plan of a file."""

    def __init__(self, config: Config, session: CloudSession, plan: Plan) -> None:
        """PlanFileError for a time in the future, LimitError for more than the limits allow."""
        self._config, self._session = config, session
        self._believed, self._judged = session, -BELIEVED
        self._moment = replan.moment_of(plan)
        if not session.databases.addresses:
            return
        with session.live() as live:
            if self._moment and self._moment[:19] > live.now()[:19]:
                raise PlanFileError(
                    f"plan {plan.id} was made at {self._moment}, which is in the future", "Make a new one."
                )
            enforce(plan, live.count)

    def __call__(self, actions: Sequence[tuple[Action, Row]]) -> Mapping[str, str]:
        """Id -> why it would not be planned the same way.

        A plan does not record ``--via``: an action counts if any value that leads to its strategy yields it.
        """
        if time.monotonic() - self._judged > BELIEVED:
            self._believed, self._judged = self._session.believed(), time.monotonic()
        found: dict[str, str] = {}
        left = list(actions)
        ways = ["auto", "api"] if any(action.strategy == "api" for action, _ in actions) else ["auto"]
        for via in (*ways, "db"):
            if not left:
                break
            with (
                apis.reading(self._config, self._session, via) as (api, why),
                self._believed.live(api, self._moment) as live,
            ):
                if via != "db" and api is None and why:
                    continue
                live.expect([target or action.target for action, target in left])
                differing = replan.differing(left, live, waits, describe)
            # report the first answer: it considered the most
            found = {name: found.get(name, reason) for name, reason in differing.items()}
            left = [(action, target) for action, target in left if action.id in differing]
        return found
