# SPDX-License-Identifier: Apache-2.0
"""Runs and their outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from stackmend.model.journal import RunRecord, RunResult, RunState
from stackmend.model.plan import Action
from stackmend.model.step import Gate, writes
from stackmend.report.changes import statement
from stackmend.report.document import Document
from stackmend.report.plans import chosen
from stackmend.report.sheets import JournalledRun, Sheet, requests, sheet
from stackmend.report.view import PLAIN, TextContext
from stackmend.report.words import count, lasted, pace

COLUMNS = (
    ("ID", "id"),
    ("Kind", "kind"),
    ("State", "state"),
    ("Started", "created_at"),
    ("Ended", "ended_at"),
    ("Operator", "operator"),
    ("Host", "host"),
    ("Undoes", "undoes"),
)
RESULT = (("Run", "run"), ("Done", "done"), ("Stale", "stale"), ("Failed", "failed"), ("In Doubt", "in_doubt"))


def result(outcome: RunResult) -> Document:
    """The result of apply, resume and undo (docs/schemas/result.json)."""
    return Document(data=outcome.as_dict(), columns=RESULT)


def sentences(outcome: RunResult, what: str = "done") -> list[str]:
    """The same in words, for stderr; ``what``: the outcome of the repairs."""
    lines = [f"{count(outcome.done, 'repair')} {what} ({count(outcome.steps, 'change')})"]
    if outcome.already:
        lines[0] += f", {outcome.already} of them already done"
    rest = {"stale": outcome.stale, "failed": outcome.failed, "IN DOUBT": outcome.in_doubt, "not started": outcome.left}
    lines[0] += "".join(f", {number} {word}" for word, number in rest.items() if number)
    lines += list(outcome.notes)
    lines += [f"by hand: {text}" for text in outcome.manual]
    if outcome.remaining:
        lines.append(f"the checks still find {count(len(outcome.remaining), 'of these finding', 'of these findings')}")
    return lines


def record(run: RunRecord) -> dict[str, object]:
    """A run as JSON values."""
    return {
        "id": run.id,
        "kind": run.kind,
        "state": run.state.value,
        "created_at": _to_the_second(run.created_at),
        "ended_at": _to_the_second(run.ended_at),
        "operator": run.operator,
        "host": run.host,
        "pid": run.pid,
        "plan": run.plan,
        "sha256": run.sha256,
        "cloud": run.cloud,
        "version": run.version,
        "undoes": run.undoes,
    }


def _to_the_second(moment: str) -> str:
    return datetime.fromisoformat(moment).isoformat(timespec="seconds") if moment else ""


def runs(found: Iterable[RunRecord]) -> Document:
    """The list of runs (docs/schemas/runs.json)."""
    return Document(data=[record(run) for run in found], columns=COLUMNS)


def steps(happened: JournalledRun) -> list[dict[str, object]]:
    """Every step with the state of its last entry, without the rows before and after."""
    of_step = happened.of_step()
    rows: list[dict[str, object]] = []
    for action in happened.actions:
        for number, step in enumerate(action.steps):
            entries = of_step.get(len(rows), [])
            last = entries[-1] if entries else None
            rows.append(
                {
                    "step": len(rows),
                    "action": action.id,
                    "number": number + 1,
                    "repair": action.repair,
                    "resource": {"type": action.resource_type, "id": action.resource_id},
                    "kind": step.kind,
                    "state": last.state.value if last else "planned",
                    "at": last.at if last else "",
                    "note": last.note if last else "",
                    "requests": requests(entries),
                    "statement": statement(action, number),
                }
            )
    return rows


def _progress(actions: Sequence[Action], rows: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """How many of the steps that change something, or wait for a human, are done."""
    every = [step for action in actions for step in action.steps]
    counted = [row for row, step in zip(rows, every, strict=True) if writes(step) or isinstance(step, Gate)]
    return {"done": sum(row["state"] == "done" for row in counted), "total": len(counted)}


def _pace(found: RunRecord, progress: Mapping[str, int]) -> str:
    done, total = progress["done"], progress["total"]
    end = datetime.fromisoformat(found.ended_at) if found.ended_at else datetime.now(UTC)
    seconds = (end - datetime.fromisoformat(found.created_at)).total_seconds()
    if found.state is RunState.RUNNING:
        return pace(done, total, seconds)
    return f"{done:,} of {total:,} done" + (f" in {lasted(seconds)}" if found.ended_at else "")


def run(
    happened: JournalledRun, view: TextContext = PLAIN, ids: Sequence[str] = (), repairs: Sequence[str] = ()
) -> Document:
    """One run with its steps (docs/schemas/run.json). ``ids``, ``repairs``: only these; UsageError for unknown ones."""
    shown = _chosen(happened, ids, repairs)
    every = steps(happened)
    wanted = {action.id for action in shown}
    said = [{"at": _to_the_second(remark.at), "text": remark.text} for remark in happened.remarks]
    data = record(happened.run) | {"steps": [row for row in every if row["action"] in wanted], "remarks": said}
    data["progress"] = _progress(happened.actions, every)
    return Document(data=data, columns=COLUMNS, text=_sheet(happened, shown, every, view).text)


def ticket_document(
    happened: JournalledRun, view: TextContext = PLAIN, ids: Sequence[str] = (), repairs: Sequence[str] = ()
) -> Sheet:
    """The same for attaching to a ticket: :mod:`stackmend.report.attachments` writes it."""
    return _sheet(happened, _chosen(happened, ids, repairs), steps(happened), view)


def _chosen(happened: JournalledRun, ids: Sequence[str], repairs: Sequence[str]) -> tuple[Action, ...]:
    return chosen(happened.actions, ids, repairs, f"run {happened.run.id}")


def _sheet(
    happened: JournalledRun, shown: Sequence[Action], every: Sequence[Mapping[str, object]], view: TextContext
) -> Sheet:
    return sheet(happened, _pace(happened.run, _progress(happened.actions, every)), shown, view)
