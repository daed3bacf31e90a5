# SPDX-License-Identifier: Apache-2.0
"""Gates: points in a plan where a human decides."""

from __future__ import annotations

from collections.abc import Callable, Collection

from stackmend.model.step import CallStep, Gate, StepState
from stackmend.model.writer import Pending, StepResult

#: asks the person at the terminal; False if there is none, or the answer is no
AskOperator = Callable[[Gate], bool]


def unattended(gate: Gate) -> bool:
    """There is nobody to ask."""
    del gate
    return False


class GateExecutor:
    """Implements :class:`stackmend.model.protocols.Executor` for gates: open if acknowledged by name or on request."""

    def __init__(self, acknowledged: Collection[str] = (), ask: AskOperator = unattended) -> None:
        self._acknowledged, self._ask = frozenset(acknowledged), ask

    def begin(self, step: CallStep, mark: str) -> StepResult | Pending:
        """Ask; a gate that stays closed holds its lane, and the run can be resumed."""
        del mark
        gate = _gate(step)
        if gate.name in self._acknowledged:
            return StepResult(StepState.DONE, "acknowledged by name")
        if self._ask(gate):
            return StepResult(StepState.DONE, "acknowledged")
        return StepResult(StepState.HELD, f"gate {gate.name} waits to be acknowledged: {gate.text}")

    def go_on(self, pending: Pending) -> StepResult | Pending:
        """A gate is never in progress."""
        return pending

    def probe(self, step: CallStep) -> StepState:
        """A gate not acknowledged in the journal is asked again."""
        _gate(step)
        return StepState.PLANNED


def _gate(step: CallStep) -> Gate:
    if isinstance(step, Gate):
        return step
    raise TypeError(f"{step.kind} is not a gate")
