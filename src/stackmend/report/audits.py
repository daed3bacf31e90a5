# SPDX-License-Identifier: Apache-2.0
"""An audit for people: grouped, worst first, one entry per object; identifiers are never broken across lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from stackmend.model.check import Severity
from stackmend.model.finding import Finding, Says, State
from stackmend.model.naming import UNNAMED, Named, Object
from stackmend.report.table import columns
from stackmend.report.view import titled, with_names
from stackmend.report.words import WIDTH, count, listed, wrapped

#: findings that are listed in full; of longer lists so many of each group are
MANY, SOME = 200, 10
#: findings of one group that are listed at most
FOLDED = 100
_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class GroupBy(StrEnum):
    """How findings are grouped."""

    CHECK = "check"
    SERVER = "server"
    PROJECT = "project"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class PageContext:
    """The data of the page besides the findings."""

    titles: Mapping[str, str]  #: check -> the first line of its page
    names: Mapping[Object, Named]  #: (resource type, id) -> what people call it
    now: datetime  #: UTC, aware
    by: GroupBy = GroupBy.CHECK
    width: int = WIDTH

    def named(self, finding: Finding) -> Named:
        """Name, project and host of the finding's object."""
        return self.names.get((finding.resource_type, finding.resource_id), UNNAMED)


def page(findings: Iterable[Finding], view: PageContext) -> str:
    """The findings as text, "" if there are none."""
    groups: dict[str, list[Finding]] = {}
    ordered = sorted(findings, key=lambda f: (f.state is State.WAIVED, _RANK[f.severity], f.check, f.resource_id))
    for finding in ordered:
        groups.setdefault(_group(finding, view), []).append(finding)
    most = FOLDED if len(ordered) <= MANY else SOME
    parts = [_section(name, found, most, view) for name, found in groups.items()]
    return "\n\n".join("\n".join(lines) for lines in parts)


def tally(findings: Sequence[Finding], areas: Mapping[str, str], view: PageContext) -> list[str]:
    """Numbers by area and, for several projects, by project; ``areas``: check -> area. [] for fewer than 2 findings."""
    if len(findings) < 2:
        return []
    by_area = Counter(areas.get(f.check, "other") for f in findings)
    by_project = Counter(project for f in findings if (project := view.named(f).project))
    lines = wrapped(f"by area: {_counts(by_area)}", view.width, hang="  ")
    if len(by_project) > 1:
        lines += wrapped(f"by project: {_counts(by_project)}", view.width, hang="  ")
    return lines


def _counts(counter: Counter[str]) -> str:
    return listed([f"{name} {number}" for name, number in counter.most_common()])


def _group(finding: Finding, view: PageContext) -> str:
    named = view.named(finding)
    if view.by is GroupBy.SERVER:
        server = finding.resource_id if finding.resource_type == "server" else str(finding.evidence.get("server") or "")
        name = view.names.get(("server", server), UNNAMED).name
        return " ".join(part for part in ("server", name, server) if part) if server else "of no server"
    if view.by is GroupBy.PROJECT:
        return f"project {named.project}" if named.project else "of no known project"
    if view.by is GroupBy.HOST:
        return f"host {named.host}" if named.host else "on no host"
    return finding.check


def _section(name: str, found: Sequence[Finding], most: int, view: PageContext) -> list[str]:
    worst = min(found, key=lambda f: _RANK[f.severity])
    of_check = view.by is GroupBy.CHECK
    what = Counter(f.resource_type for f in found)
    lines, counts = [f"{worst.severity.value.upper():<8} {name}"], _counted(what)
    if columns(f"{lines[0]}   {counts}") <= view.width:
        lines[0] += f"   {counts}"
    else:
        lines += wrapped(counts, view.width, " " * 9)
    if of_check and (title := view.titles.get(name)):
        lines += wrapped(title, view.width)
    for finding in found[:most]:
        lines += ["", *_entry(finding, view, of_check=of_check)]
    if len(found) > most:
        alone = f"--check {name}, or " if of_check and len(found) <= FOLDED else ""
        lines += ["", f"  ... and {len(found) - most:,} more: {alone}-f table for all of them"]
    return lines


def _counted(what: Counter[str]) -> str:
    return ", ".join(count(number, kind.replace("_", " ")) for kind, number in sorted(what.items()))


def _entry(finding: Finding, view: PageContext, *, of_check: bool) -> Iterator[str]:
    named = view.named(finding)
    yield from titled(named.name or finding.resource_type, finding.resource_id, view.width)
    about = [f"project {named.project}"] if named.project else []
    about += [f"host {named.host}"] if named.host else []
    about += [f"found for {age}"] if finding.first_seen and (age := _age(finding.first_seen, view.now)) else []
    yield from wrapped(", ".join([*about, f"finding {finding.fingerprint}"]), view.width, "    ")
    says = with_names(finding.message, finding.resource_type, finding.resource_id, view.names)
    text = says if of_check else f"{finding.severity.value}, {finding.check}: {says}"
    yield from wrapped(text, view.width, "    ")
    yield from (line for note in _notes(finding) for line in wrapped(note, view.width, "    "))


def _notes(finding: Finding) -> Iterator[str]:
    if finding.explains:
        yield f"it explains {count(finding.explains, 'other finding')}"
    if finding.state is State.WAIVED:
        yield f"waived: {finding.waiver}"
    elif finding.api is not None and finding.api.says is Says.CONTRADICTS:
        yield f"not confirmed, the services contradict it: {finding.api.reason}"
    elif finding.unsure:
        yield f"not confirmed: {finding.unsure}"
    elif finding.state is State.CANDIDATE:
        yield "not confirmed: it was seen only once"
    if finding.hosts is not None:
        if finding.hosts.reason:
            yield f"seen on hypervisors: {finding.hosts.reason}"
        yield from finding.hosts.lines


def _age(since: str, now: datetime) -> str:
    """``3 days``; "" for less than an hour."""
    gone = now - datetime.fromisoformat(since)
    if gone >= timedelta(days=2):
        return f"{gone.days} days"
    hours = int(gone / timedelta(hours=1))
    return count(hours, "hour") if hours > 0 else ""
