# SPDX-License-Identifier: Apache-2.0
"""The table of a bench run, as it goes into docs/explanation/performance.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: the targets with a million servers: (what, key, sign, bound, unit)
TARGETS = (
    ("audit / (a) `mariadb --quick` of the same columns", ("audit_to_a",), "≤", 1.2, "x"),
    ("audit / (b) raw socket drain of the same queries", ("audit_to_b",), "", None, "x"),
    ("(c) cross-schema SQL in the server / checks alone", ("c_to_checks",), "≥", 25, "x"),
    ("batched repairs / single journalled statements", ("batched_to_single",), "≥", 25, "x"),
    ("audit: peak memory", ("audit", "peak_rss_mib"), "≤", 800, "MiB"),
    ("audit: peak spill", ("audit", "peak_spill_mib"), "≤", 1024, "MiB"),
)
PLAIN = (
    ("audit, wall", ("audit", "seconds"), "s"),
    ("audit, CPU", ("audit", "cpu_seconds"), "s"),
    ("(a) `mariadb --quick`, wall", ("a_mariadb_quick", "seconds"), "s"),
    ("(b) raw drain, wall", ("b_raw_drain", "seconds"), "s"),
    ("checks alone, wall", ("checks", "seconds"), "s"),
    ("(c) SQL in the server, wall", ("c_sql_in_server", "seconds"), "s"),
    ("repairs, batched", ("repairs_batched_per_second",), "/s"),
    ("repairs, single journalled", ("repairs_single_journalled_per_second",), "/s"),
)


def table(results: Mapping[str, Any]) -> str:
    """A Markdown table of the measured values and the targets."""
    lines = [
        f"{results['servers']:,} servers, {results['rows']:,} rows read, {results['wire_mib']:,} MiB on the wire,"
        f" {results['findings']} findings; {results['machine']}",
        "",
        "| | measured | target |",
        "|---|---:|---:|",
    ]
    for what, path, sign, bound, unit in TARGETS:
        aim = f"{sign} {bound:g} {unit}" if bound is not None else ""
        lines.append(f"| {what} | {_value(results, path)} {unit} | {aim} |")
    lines += [f"| {what} | {_value(results, path)} {unit} | |" for what, path, unit in PLAIN]
    each = 1e6 * results["audit"]["seconds"] / results["servers"]
    return "\n".join([*lines, f"| audit, wall for each server | {each:.0f} µs | |", ""])


def _value(results: Mapping[str, Any], path: tuple[str, ...]) -> str:
    value: Any = results
    for name in path:
        value = value[name]
    return f"{value:,}"
