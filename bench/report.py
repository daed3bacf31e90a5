# SPDX-License-Identifier: Apache-2.0
"""The table of a bench run, as it goes into docs/explanation/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Target = tuple[str, tuple[str, ...], str, float | None, str]

#: the targets with a million servers: (what, key, sign, bound, unit)
TARGETS = (
    ("audit / (a) `mariadb --quick` of the same columns", ("audit_to_a",), "≤", 1.2, "x"),
    ("audit / (b) raw socket drain of the same queries", ("audit_to_b",), "", None, "x"),
    ("(c) cross-schema SQL in the server / checks alone", ("c_to_checks",), "≥", 25, "x"),
    ("batched repairs / single journalled statements", ("batched_to_single",), "≥", 25, "x"),
    ("audit: peak memory", ("audit", "peak_rss_mib"), "≤", 800, "MiB"),
    ("audit: peak spill", ("audit", "peak_spill_mib"), "≤", 1024, "MiB"),
)
#: those of a cloud with 2 % of its servers broken, compared with itself while it was clean
AGED = (
    ("an old cloud / the same, clean: `audit`", ("aged", "audit_to_clean"), "≤", 2, "x"),
    ("an old cloud / the same, clean: `plan create`", ("aged", "plan_to_clean"), "≤", 2, "x"),
    ("an old cloud / the same, clean: `audit`, CPU", ("aged", "audit_cpu_to_clean"), "≤", 2, "x"),
    ("an old cloud / the same, clean: `plan create`, CPU", ("aged", "plan_cpu_to_clean"), "≤", 2, "x"),
    ("an old cloud: `audit`, peak memory", ("aged", "dirty", "audit", "peak_rss_mib"), "≤", 800, "MiB"),
    ("an old cloud: `plan create`, peak memory", ("aged", "dirty", "plan", "peak_rss_mib"), "≤", 800, "MiB"),
    ("an old cloud: `plan create`, peak spill", ("aged", "dirty", "plan", "peak_spill_mib"), "≤", 1024, "MiB"),
)
#: what a check may cost: seconds of CPU up to a million servers, and memory and spill together (MiB)
SECONDS, TOGETHER = 3.0, 1024
#: servers up to which no check may spill
SMALL = 100_000
#: checks that the documentation names, the dearest first
SHOWN = 12
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
    lines += _measured(results, TARGETS)
    if "aged" in results:  # runs of before were without
        lines += _measured(results, AGED)
    lines += [f"| {what} | {_value(results, path)} {unit} | |" for what, path, unit in PLAIN]
    each = 1e6 * results["audit"]["seconds"] / results["servers"]
    return "\n".join([*lines, f"| audit, wall for each server | {each:.0f} µs | |", ""])


def aged(results: Mapping[str, Any]) -> str:
    """The same of a run that has only compared an old cloud with itself while it was clean."""
    both = results["aged"]
    lines = [
        f"{results['servers']:,} servers, {both['dirty']['findings']:,} findings when old; {results['machine']}",
        "",
        "| | measured | target |",
        "|---|---:|---:|",
        *_measured(results, AGED),
    ]
    for command in ("audit", "plan"):
        seconds = " and ".join(f"{both[state][command]['cpu_seconds']:,}" for state in ("clean", "dirty"))
        lines.append(f"| `{'plan create' if command == 'plan' else command}`, CPU, clean and old | {seconds} s | |")
    return "\n".join([*lines, ""])


def each_check(results: Mapping[str, Any], most: int = SHOWN) -> str:
    """The cost of the dearest checks, with the sum of all, and those beyond their share."""
    checks = results["each_check"]
    total = sum(cost["cpu_seconds"] for cost in checks.values())
    over = beyond(results)
    lines = [
        f"{len(checks)} checks on a snapshot of {results['servers']:,} servers: {total:.1f} s of CPU together;"
        f" {results['machine']}. "
        + ("Each is within its share." if not over else "Beyond its share: " + _told(over) + "."),
        "",
        "| check | CPU s | memory of the process at most, MiB | spill MiB | findings |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, cost in list(checks.items())[:most]:
        rows = "no answer" if cost["rows"] is None else f"{cost['rows']:,}"
        lines.append(
            f"| `{name}` | {cost['cpu_seconds']:.2f} | {cost['peak_rss_mib']:,} | {cost['peak_spill_mib']:,} | {rows} |"
        )
    if len(checks) > most:
        rest = sum(cost["cpu_seconds"] for cost in list(checks.values())[most:])
        lines.append(f"| the other {len(checks) - most} together | {rest:.2f} | | | |")
    return "\n".join([*lines, ""])


def beyond(results: Mapping[str, Any]) -> dict[str, str]:
    """Checks that cost more than a check may -> what."""
    servers = results["servers"]
    found = {}
    for name, cost in results["each_check"].items():
        both = cost["peak_rss_mib"] + cost["peak_spill_mib"]
        told = {
            "no answer": cost["rows"] is None,
            f"{cost['cpu_seconds']:.1f} s of CPU": cost["cpu_seconds"] > SECONDS * max(1.0, servers / 1e6),
            f"{both:,} MiB": both > TOGETHER,
            f"{cost['peak_spill_mib']:,} MiB spilled": servers <= SMALL and cost["peak_spill_mib"] > 0,
        }
        if any(told.values()):
            found[name] = ", ".join(what for what, too_much in told.items() if too_much)
    return found


def _told(over: Mapping[str, str]) -> str:
    return "; ".join(f"`{name}` ({what})" for name, what in over.items())


def _measured(results: Mapping[str, Any], targets: Iterable[Target]) -> list[str]:
    """A line of the table for each target."""
    lines = []
    for what, path, sign, bound, unit in targets:
        aim = f"{sign} {bound:g} {unit}" if bound is not None else ""
        lines.append(f"| {what} | {_value(results, path)} {unit} | {aim} |")
    return lines


def _value(results: Mapping[str, Any], path: tuple[str, ...]) -> str:
    value: Any = results
    for name in path:
        value = value[name]
    return f"{value:,}"
