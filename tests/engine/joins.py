# SPDX-License-Identifier: Apache-2.0
"""Joins in the SQL of checks that no key selects: what they cost grows with the square of a cloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from stackmend.engine.auditing.statements import parsed, texts

#: columns of few values: of ten thousand servers a hundred are on one host, and each would meet all ports there
FEW = frozenset(
    {
        *("host", "node", "launched_on", "source_compute", "dest_compute", "name", "cell", "cell_id", "project_id"),
        *("status", "attach_status", "vm_state", "task_state", "power_state", "deleted", "device_owner"),
        *("vif_type", "vnic_type", "resource_class_id", "generation", "code", "child", "kind"),
    }
)
#: tables of a row or a few for each host or cell, for which those columns are a key
OF_HOSTS = frozenset(
    {
        *("nova_services", "nova_compute_nodes", "nova_api_host_mappings", "nova_api_cell_mappings", "cells"),
        *("placement_resource_providers", "placement_resource_classes"),
    }
)
#: one row
SINGLE = frozenset({"clock"})


def unkeyed_joins(sql: str) -> list[str]:
    """Joins of two tables, in the statement or a view of it, that no equality between columns of both selects.

    An equality of columns of few values selects only where one side has one row for each: a table of hosts, or a query
    that groups by them. One with ``clock`` is no join: it has one row.
    """
    return [join for text in texts(sql) for join in _unkeyed(parsed(text))]


def _unkeyed(tree: Any) -> Iterator[str]:
    steps = {step.alias: step.this for step in tree.find_all(exp.CTE)}
    for select in tree.find_all(exp.Select):
        source = select.args.get("from_") or select.args.get("from")
        where = select.args.get("where")
        before = {source.this.alias_or_name: source.this} if source else {}
        for join in select.args.get("joins") or ():
            conditions = [c for c in (join.args.get("on"), where.this if where else None) if c is not None]
            equal = [one for condition in conditions for one in _all_of(condition)]
            if not _single(join.this) and not all(map(_single, before.values())):
                pairs = [pair for one in equal if (pair := _between(one, join.this.alias_or_name, set(before)))]
                if not _selects(join, pairs, before, steps):
                    yield join.sql("duckdb")
            before[join.this.alias_or_name] = join.this


def _single(source: Any) -> bool:
    return isinstance(source, exp.Table) and source.name in SINGLE


def _selects(
    join: Any, pairs: list[tuple[list[Any], list[Any]]], before: dict[str, Any], steps: dict[str, Any]
) -> bool:
    """Whether a key of the join has many values, or one row of a side for each of its values."""
    using = {key.name for key in join.args.get("using") or ()}
    columns = using | {column.name for own, others in pairs for column in own + others}
    if columns - FEW:
        return True
    sides = {join.this.alias_or_name: join.this} | before
    named = {column.table for own, others in pairs for column in own + others} | ({*sides} if using else set())
    own_keys = using | {column.name for own, _ in pairs for column in own}
    made = [steps.get(source.name, source) for name, source in sides.items() if name in named]
    return any(_of_hosts(source) or _grouped(source, own_keys) for source in made)


def _of_hosts(source: Any) -> bool:
    return {table.name for table in source.find_all(exp.Table)} <= OF_HOSTS


def _grouped(source: Any, keys: set[str]) -> bool:
    """Whether a query has one row for each value of these columns."""
    select = source.this if isinstance(source, exp.Subquery) else source
    if isinstance(select, exp.Union) and select.args.get("distinct"):
        by = {one.alias_or_name for one in select.selects}
        return bool(by) and by <= keys
    if not isinstance(select, exp.Select) or not keys:
        return False
    group = select.args.get("group")
    by = {one.name for one in group.expressions} if group else set()
    if select.args.get("distinct"):
        by = {one.alias_or_name for one in select.expressions}
    return bool(by) and by <= keys


def _all_of(condition: Any) -> list[Any]:
    """The conditions that have to hold all: what stands under OR or NOT selects nothing by itself."""
    if isinstance(condition, exp.Paren):
        return _all_of(condition.this)
    if isinstance(condition, exp.And):
        return _all_of(condition.left) + _all_of(condition.right)
    return [condition]


def _between(equal: Any, name: str, before: set[str]) -> tuple[list[Any], list[Any]] | None:
    """(columns of the joined table, columns of tables before it) of an equality between both; None of any other."""
    if not isinstance(equal, (exp.EQ, exp.NullSafeEQ)):
        return None
    left, right = ([*side.find_all(exp.Column)] for side in (equal.left, equal.right))
    for own, others in ((left, right), (right, left)):
        tables = {column.table for column in others}
        if {column.table for column in own} == {name} and tables and tables <= before:
            return own, others
    return None
