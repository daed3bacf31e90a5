# SPDX-License-Identifier: Apache-2.0
"""Steps in human-readable form: the literal SQL of row steps, for a DBA to read, refuse, or run by hand."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace

from stackmend.model.step import (
    ApiCall,
    BumpRow,
    DeleteRow,
    ExpectNone,
    ExpectRow,
    Gate,
    HostCommand,
    InsertRow,
    Step,
    UpdateRow,
    Value,
    Values,
)

#: puts an API call into words: the drivers know its method and path
Describe = Callable[[ApiCall], str]


#: whether a call sends nothing, and only its outcome is awaited
Waits = Callable[[ApiCall], bool]


def marked(steps: Iterable[Step], waits: Waits) -> tuple[Step, ...]:
    """The steps, with calls that only wait marked as such: they cannot be irreversible."""
    return tuple(replace(step, waits=True) if isinstance(step, ApiCall) and waits(step) else step for step in steps)


def never_waits(call: ApiCall) -> bool:
    """The default if nothing is known of the operations: every call sends something."""
    del call
    return False


def named(call: ApiCall) -> str:
    """An API call by the name of its operation."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return f"[{call.service} API] {call.name}({arguments})"


def literal(step: Step, describe: Describe = named) -> str:
    """One line: the database in brackets, then SQL for MariaDB and MySQL; guards as EXISTS."""
    if isinstance(step, ApiCall):
        return describe(step)
    if isinstance(step, HostCommand):
        waits = "" if step.argv else "wait until this succeeds: "
        return f"[{step.host or 'this machine'}] {waits}{' '.join(map(_word, step.argv or step.probe))}"
    if isinstance(step, Gate):
        return f"[gate {step.name}] continues when acknowledged: {step.text}"
    if isinstance(step, UpdateRow | InsertRow | DeleteRow | BumpRow | ExpectRow | ExpectNone):
        return f"[{step.database}] {_sql(step)}"
    return step.text


def _word(word: str) -> str:
    """One word of a command; a script is abbreviated to its first and last line, as the plan file has the rest."""
    lines = word.strip().splitlines()
    return shlex.quote(word) if len(lines) < 4 else f"'{lines[0]} ...{len(lines) - 2} lines... {lines[-1]}'"


def _sql(step: UpdateRow | InsertRow | DeleteRow | BumpRow | ExpectRow | ExpectNone) -> str:
    table = _name(step.table)
    if isinstance(step, UpdateRow):
        return f"UPDATE {table} SET {_list(step.after)} WHERE {_where({**step.before, **step.pk})};"
    if isinstance(step, InsertRow):
        names = ", ".join(_name(c) for c in step.values)
        values = ", ".join(value(v) for v in step.values.values())
        more = " -- and the columns sealed in the journal" if step.sealed else ""
        return f"INSERT INTO {table} ({names}) VALUES ({values});{more}"
    if isinstance(step, DeleteRow):
        return f"DELETE FROM {table} WHERE {_where({**step.before, **step.pk})};"
    if isinstance(step, BumpRow):
        column = _name(step.column)
        if step.left is not None:
            to = f"CASE {column} WHEN {step.left} THEN {column} - {step.by} ELSE {column} + {step.by} END"
        else:
            to = f"{column} {'-' if step.by < 0 else '+'} {abs(step.by)}"
        return f"UPDATE {table} SET {column} = {to} WHERE {_where(step.pk)};"
    if isinstance(step, ExpectRow):
        return f"EXISTS (SELECT 1 FROM {table} WHERE {_where({**step.pk, **step.expect})})"
    return f"NOT EXISTS (SELECT 1 FROM {table} WHERE {_where(step.where)})"


def value(of: Value) -> str:
    """A value as an SQL literal."""
    if of is None:
        return "NULL"
    if isinstance(of, bytes):
        return f"X'{of.hex()}'"
    if isinstance(of, str):
        return "'" + of.replace("\\", "\\\\").replace("'", "''") + "'"
    return str(int(of)) if isinstance(of, bool) else str(of)


def _name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _list(values: Values) -> str:
    return ", ".join(f"{_name(column)} = {value(v)}" for column, v in values.items())


def _where(values: Values) -> str:
    return " AND ".join(
        f"{_name(column)} IS NULL" if v is None else f"{_name(column)} = {value(v)}" for column, v in values.items()
    )
