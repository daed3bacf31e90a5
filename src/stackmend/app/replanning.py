# SPDX-License-Identifier: Apache-2.0
"""Plans the repairs of a plan file again when it is applied: on current databases and APIs, at the time of the plan."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from stackmend.app import apis
from stackmend.app.outside.hosts import Watch, known, watching
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
        with _watched(self._config, self._session, actions) as watch:
            return self._differing(actions, watch)

    def _differing(self, actions: Sequence[tuple[Action, Row]], watch: Watch | None) -> Mapping[str, str]:
        found: dict[str, str] = {}
        left = list(actions)
        ways = ["auto", "api"] if any(action.strategy == "api" for action, _ in actions) else ["auto"]
        for via in (*ways, "db"):
            if not left:
                break
            with (
                apis.reading(self._config, self._session, via) as (api, why),
                self._believed.live(api, self._moment, watch.state if watch else None) as live,
            ):
                if via != "db" and api is None and why:
                    continue
                live.expect([target or action.target for action, target in left])
                differing = replan.differing(left, live, waits, describe, watch.looks if watch else None)
            # report the first answer: it considered the most
            found = {name: found.get(name, reason) for name, reason in differing.items()}
            left = [(action, target) for action, target in left if action.id in differing]
        return found


def looking_again(config: Config, session: CloudSession) -> replan.Again:
    """Implements :data:`stackmend.engine.planning.replan.Again` for a run that is resumed.

    Its rows are guarded by its steps; what it rests on beside them is asked again.
    """

    def again(actions: Sequence[tuple[Action, Row]]) -> Mapping[str, str]:
        with _watched(config, session, actions) as watch:
            if watch is None:
                return {}
            with session.believed().live() as live:
                return replan.unlike(actions, live, watch.looks)

    return again


@contextmanager
def _watched(config: Config, session: CloudSession, actions: Sequence[tuple[Action, Row]]) -> Iterator[Watch | None]:
    """A new look at the hypervisors on which these actions rest; None if they rest on none."""
    seen = {host for action, _ in actions for host in action.seen}
    if not seen:
        yield None
        return
    with watching(config, {}, wanted=True) as watch:
        # a file is not believed: the name of a host becomes part of an address
        watch.look(seen & known(session))
        yield watch
