# SPDX-License-Identifier: Apache-2.0
"""The changes of a step for people: old and new columns, members of JSON documents, guards on one line.

Everything is derived from the step. ``--sql`` shows the literal statement.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stackmend.model.plan import Action
from stackmend.model.step import (
    ApiCall,
    BumpRow,
    DeleteRow,
    ExpectNone,
    ExpectRow,
    Gate,
    HostCommand,
    InsertRow,
    Manual,
    Step,
    UpdateRow,
    Value,
    irreversible,
)
from stackmend.report.clean import printable
from stackmend.report.members import Member, difference, document, leaves
from stackmend.report.table import columns
from stackmend.report.view import TextContext
from stackmend.report.words import count

#: characters of a text that are shown whole; of a longer one what surrounds the difference
_WHOLE, _AROUND = 200, 16
#: members of a document, new or gone, that are shown; and of those that differ
_LEAVES, _MEMBERS = 8, 40
#: where a network cache has the fixed addresses of a NIC: deep down, and what one looks for
_ADDRESS = re.compile(r"\.ips\[\d+\]\.address$")
#: what guards nothing but the rows it names
Guard = ExpectRow | ExpectNone


def is_guard(step: Step) -> bool:
    """True for a step that only checks a condition."""
    return isinstance(step, Guard)


def lines(action: Action, number: int, view: TextContext, said: str = "") -> list[str]:
    """What step ``number`` (from 0) of an action does; its first line has its number from 1, and what is ``said``."""
    step = action.steps[number]
    head = f"    {number + 1:>2}. "
    below = " " * len(head)
    head += said
    mark = "  IRREVERSIBLE" if irreversible(step) else ""
    if view.sql:
        return _literal(action, number, head, below, mark, vouched=view.vouched)
    if isinstance(step, UpdateRow):
        return _updated(step, view, head, below)
    if isinstance(step, InsertRow | DeleteRow):
        return _whole_row(step, view, head, below)
    if isinstance(step, BumpRow):
        by = f"{'-' if step.by < 0 else '+'} {abs(step.by)}"
        return view.wrapped(f"~ {_row(step.table, step.pk)} ({step.database}): {step.column} {by}", head, below + "  ")
    words = _words(action, number, "" if view.vouched else ", as the file says")
    return [line for text in words.splitlines() for line in view.wrapped(text + mark, head, below)]


def statement(action: Action, number: int) -> str:
    """The literal statement of step ``number`` (from 0)."""
    if number < len(action.statements):
        return action.statements[number]
    step = action.steps[number]
    return step.text if isinstance(step, Manual) else step.kind


def guards(steps: Sequence[Step], view: TextContext, indent: str = "    ") -> list[str]:
    """All conditions in one sentence."""
    rows = Counter((one.table, one.database) for one in steps if isinstance(one, ExpectRow))
    single = {(one.table, one.database): one for one in steps if isinstance(one, ExpectRow)}
    there = [
        f"{_row(table, single[table, database].pk) if number == 1 else f'{number} rows of {table}'} ({database})"
        for (table, database), number in rows.items()
    ]
    none: dict[str, dict[str, None]] = {}
    for one in steps:
        if isinstance(one, ExpectNone):
            none.setdefault(one.table, {})[one.database] = None
    parts = [f"{_and(there)} as planned"] if there else []
    lacking = [f"{table} ({', '.join(databases)})" for table, databases in none.items()]
    parts += [f"no such row in {_and(lacking)}"] if lacking else []
    return view.wrapped(f"only with {'; '.join(parts)}", indent, indent + "  ") if parts else []


def tally(actions: Sequence[Action]) -> list[tuple[str, str, Counter[str]]]:
    """(database, or service, or "hosts"; table; how many of ``+``, ``~``, ``-`` and calls) of what is changed."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for step in (step for action in actions for step in action.steps):
        if isinstance(step, UpdateRow | BumpRow | InsertRow | DeleteRow):
            mark = "+" if isinstance(step, InsertRow) else "-" if isinstance(step, DeleteRow) else "~"
            found.setdefault((step.database, step.table), Counter())[mark] += 1
        elif isinstance(step, ApiCall) and not step.waits:
            found.setdefault((f"{step.service} API", step.name), Counter())["call"] += 1
        elif isinstance(step, HostCommand) and step.argv:
            found.setdefault(("hosts", step.host or "this machine"), Counter())["command"] += 1
    return [(where, what, numbers) for (where, what), numbers in sorted(found.items())]


def shown(value: Value) -> str:
    """A value of a row."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes {value[:16].hex()}{'...' if len(value) > 16 else ''}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


# -- rows


def _row(table: str, pk: Mapping[str, Value]) -> str:
    if len(pk) == 1:
        return f"{table} {_bare(next(iter(pk.values())))}"
    return f"{table} {' '.join(f'{name}={_bare(value)}' for name, value in pk.items())}"


def _bare(value: Value) -> str:
    return value if isinstance(value, str) else shown(value)


def _updated(step: UpdateRow, view: TextContext, head: str, below: str) -> list[str]:
    """The changed columns: on one line if they fit, else one line each."""
    title = f"~ {_row(step.table, step.pk)} ({step.database})"
    new = {name: value for name, value in step.after.items() if step.before.get(name) != value or name in step.pk}
    documents = {name: _documents(step.before.get(name), after) for name, after in new.items()}
    changes = {name: f" {view.arrow} ".join(_pair(step.before.get(name), after)) for name, after in new.items()}
    short = f"{title}: {', '.join(f'{name} {text}' for name, text in changes.items()) or 'nothing changes'}"
    if not any(documents.values()) and columns(head) + columns(short) <= view.width:
        return view.wrapped(short, head, below)
    found = view.wrapped(title, head, below)
    room = max(map(len, changes), default=0)
    for name, text in changes.items():
        pair = documents[name]
        if pair is not None:
            found += [f"{below}  {name}", *_document(*pair, view, below + "    ")]
        else:
            found += view.wrapped(text, f"{below}  {name:<{room}}  ", f"{below}    ")
    return found


def _pair(before: Value, after: Value) -> tuple[str, str]:
    """Old and new value; of long texts with a common beginning and end, only the part between."""
    if not (isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > _WHOLE):
        return _cut(before), _cut(after)
    same = _alike(before, after)
    rest = min(len(before), len(after)) - same
    tail = min(rest, _alike(before[::-1], after[::-1]))
    start, end = max(0, same - _AROUND), max(0, tail - _AROUND)
    return _cut(before, start, end), _cut(after, start, end)


def _alike(one: str, other: str) -> int:
    """Length of their common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))


def _cut(value: Value, start: int = 0, end: int = 0) -> str:
    if not isinstance(value, str) or len(value) <= _WHOLE:
        return shown(value)
    middle = value[start : len(value) - end]
    more = len(middle) > _WHOLE
    text = shown(middle[:_WHOLE])
    return f"{'...' if start else ''}{text}{'...' if end or more else ''} ({len(value):,} characters)"


def _whole_row(step: InsertRow | DeleteRow, view: TextContext, head: str, below: str) -> list[str]:
    """An inserted or deleted row, without its empty columns."""
    own: Mapping[str, Value] = {} if isinstance(step, InsertRow) else step.pk
    values = step.values if isinstance(step, InsertRow) else step.before
    title = f"+ a row of {step.table}" if isinstance(step, InsertRow) else f"- {_row(step.table, own)}"
    found = view.wrapped(f"{title} ({step.database})", head, below)
    plain = []
    for name, value in values.items():
        inner = document(value)
        if inner is None and value is not None and name not in own:
            plain.append(f"{name} {_cut(value)}")
    found += view.wrapped(", ".join(plain), below + "  ")
    for name, value in values.items():
        if (inner := document(value)) is not None:
            found += view.wrapped(f"{name} {_members(inner)}", below + "  ", below + "    ")
    if isinstance(step, InsertRow) and step.sealed:
        found.append(f"{below}  and the secret columns, sealed in the journal")
    return found


# -- documents


def _documents(before: Value, after: Value) -> tuple[object, object] | None:
    """The two documents, if both values are documents, or one is and the other is empty."""
    old, new = document(before), document(after)
    if old is None and new is None:
        return None
    if old is None and before in (None, ""):
        old = type(new)()
    if new is None and after in (None, ""):
        new = type(old)()
    return None if old is None or new is None else (old, new)


def _document(old: object, new: object, view: TextContext, indent: str) -> Iterator[str]:
    found = difference(old, new)
    if found is None:
        yield from view.wrapped("nested too deeply to compare: --sql shows it", indent)
        return
    if not found:
        yield from view.wrapped("is rewritten with the same content", indent)
    for one in found[:_MEMBERS]:
        yield from view.wrapped(_member(one, view.arrow), indent, indent + "    ")
    if len(found) > _MEMBERS:
        yield from view.wrapped(f"... and {len(found) - _MEMBERS:,} more: --sql shows them", indent)


def _member(one: Member, arrow: str) -> str:
    if one.mark == "+":
        return f"+ {one.path} {_members(one.after, one.path)}"
    if one.mark == "-":
        return f"- {one.path} {_members(one.before, one.path)}"
    return f"~ {one.path} {_members(one.before)} {arrow} {_members(one.after)}"


def _members(value: object, path: str = "") -> str:
    """A value of a document; of a list or an object its first members, without what stands in ``path`` or is null."""
    if not value or not isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= _WHOLE else f"{text[:_WHOLE]}... ({len(text):,} characters)"
    if isinstance(value, list):
        more = f", and {len(value) - _LEAVES:,} more" if len(value) > _LEAVES else ""
        return f"[{', '.join(map(_members, value[:_LEAVES]))}{more}]"
    every = leaves(value)
    telling: list[tuple[str, Any]] = []
    for one in every:
        known = one[1] is None or (isinstance(one[1], str) and one[1] in (path[1:-1], *(v for _, v in telling)))
        if not known and len(telling) < _LEAVES:
            telling.append(one)
    telling += [one for one in every if _ADDRESS.search(one[0]) and one not in telling][:_LEAVES]
    left = len(every) - len(telling)
    more = f", and {count(left, 'member')} more" if left else ""
    return f"{{{', '.join(f'{name} {_members(one)}' for name, one in telling)}{more}}}"


# -- calls, commands, words


def _literal(action: Action, number: int, head: str, below: str, mark: str, *, vouched: bool) -> list[str]:
    """The statement as it is, for a DBA: not folded, so that it can be copied."""
    step = action.steps[number]
    you = f"{head}you: " if vouched else f"{head}you, as the file says: "
    first = f"{head}if " if is_guard(step) else you if isinstance(step, Gate | Manual) else head
    found = [printable(line) for line in statement(action, number).splitlines()] or [""]
    return [f"{first}{found[0]}{mark}", *(below + line for line in found[1:])]


def _words(action: Action, number: int, by: str = "") -> str:
    step, text = action.steps[number], statement(action, number)
    if isinstance(step, Gate):
        return f"gate {step.name}: continues when you acknowledge{by}: {step.text}"
    if isinstance(step, Manual):
        return f"you{by}: {step.text}"
    if isinstance(step, ApiCall):
        return f"{'waits: ' if step.waits else '> '}{text}"
    return f"$ {text}" if isinstance(step, HostCommand) else f"if {text}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
