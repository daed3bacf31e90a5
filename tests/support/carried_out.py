# SPDX-License-Identifier: Apache-2.0
"""A single step, begun and polled to its end as in a run."""

from __future__ import annotations

from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.hosts.executor import HostExecutor
from stackmend.model.step import CallStep
from stackmend.model.writer import Pending, StepResult


def carried_out(executor: ApiExecutor | HostExecutor, step: CallStep, mark: str = "") -> StepResult:
    """Carry out a step and return its result; time passes by the executor's clock."""
    found = executor.begin(step, mark)
    while isinstance(found, Pending):
        clock = executor._clock
        clock.sleep(max(0.0, (found.at - clock.now()).total_seconds()))
        found = executor.go_on(found)
    return found
