# SPDX-License-Identifier: Apache-2.0
"""A diagnosis and a summary of failures, for people on a terminal and as documents for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any, Protocol

from stackmend.model.diagnosing.cause import Blamed, Diagnosis
from stackmend.model.diagnosing.logs import Looked
from stackmend.model.diagnosing.timeline import Entry, Story
from stackmend.report.document import Document

#: the columns of the table of causes
_CAUSES = (
    ("Cause", "cause"), ("Confidence", "confidence"), ("What Happened", "statement"),
    ("Consequence Of", "consequence_of"),
)  # fmt: skip
GROUPS = (
    ("Count", "count"), ("Before", "before"), ("New", "new"), ("Level", "level"), ("Cause", "cause"),
    ("Message", "template"), ("Hosts", "hosts"),
)  # fmt: skip
#: the most lines of a timeline without --all, lines of a traceback, and characters of a message
_SHOWN, _TRACE, _LONGEST = 40, 3, 220


class Summary(Protocol):
    """The failures of a time window, the most frequent first."""

    @property
    def groups(self) -> Sequence[Any]: ...
    @property
    def looked(self) -> Looked: ...
    def as_dict(self) -> dict[str, Any]: ...


def diagnosis(found: Diagnosis, *, width: int = 100, whole: bool = False) -> Document:
    """The causes, the evidence for and against each, and the timeline (docs/schemas/diagnosis.json)."""
    return Document(data=found.as_dict(), columns=_CAUSES, text="\n".join(_lines(found, min(width or 100, 120), whole)))


def _lines(found: Diagnosis, width: int, whole: bool) -> Iterator[str]:
    story = found.story
    yield f"{story.kind} {story.id}{f' ({story.name})' if story.name else ''}"
    yield ""
    if not found.blamed:
        yield from _nothing(found, width)
    for number, blamed in enumerate(found.blamed, 1):
        yield from _cause(number, blamed, width)
    if found.blamed and found.first_error is not None:
        yield from _wrapped(f"first error: {line(found.first_error)}", width)
    for clock in story.clocks:
        direction = "ahead of" if clock.ahead > 0 else "behind"
        yield from _wrapped(
            f"clock: {clock.host} is at least {abs(clock.ahead):.1f} s {direction} "
            f"{clock.reference}, as {clock.requests} "
            f"requests show; its times below are corrected",
            width,
        )
    yield ""
    yield f"timeline (UTC), {len(story.entries)} entries"
    yield from _timeline(story, found.blamed, whole)
    yield ""
    yield from _wrapped(looked(story.looked, found.unread, story.cut), width)


def _nothing(found: Diagnosis, width: int) -> Iterator[str]:
    yield "no cause of the catalogue fits"
    if found.first_error is not None:
        yield from _wrapped(f"first error: {line(found.first_error)}", width, "  ")
    else:
        yield "  nothing in what was read is an error"
    if found.last_step is not None:
        yield from _wrapped(f"last step that went well: {line(found.last_step)}", width, "  ")
    if found.missing:
        yield from _wrapped(f"the step that should have followed is nowhere: {found.missing}", width, "  ")
    yield ""


def _cause(number: int, blamed: Blamed, width: int) -> Iterator[str]:
    verdict = blamed.verdict
    behind = f", a consequence of {blamed.consequence_of}" if blamed.consequence_of else ""
    yield f"{number}. {blamed.cause} ({verdict.confidence.value}{behind})"
    yield from _wrapped(verdict.statement, width, "   ")
    for entry in verdict.evidence:
        yield f"   | {line(entry)}"
        if raised := _raised(entry):
            yield f"   |   {raised}"
    for head, texts in (("to confirm", verdict.confirm), ("against it", verdict.against), ("to do", verdict.remedies)):
        for text in texts:
            yield from _wrapped(f"{head}: {text}", width, "   ")
    yield ""


def _timeline(story: Story, blamed: Sequence[Blamed], whole: bool) -> Iterator[str]:
    evidence = {id(entry) for one in blamed for entry in one.verdict.evidence}
    entries = list(story.entries)
    left = 0
    if not whole and len(entries) > _SHOWN:
        chosen = [e for e in entries if id(e) in evidence or (e.level != "DEBUG" and (e.trouble or e.kind != "log"))]
        rest = [e for e in entries if e.level != "DEBUG" and e not in chosen]
        keep = {id(e) for e in (*chosen[:_SHOWN], *rest[: max(0, _SHOWN - len(chosen))])}
        left = len(entries) - len(keep)
        entries = [e for e in entries if id(e) in keep]
    for entry in entries:
        yield f"{'>' if id(entry) in evidence else ' '} {line(entry)}"
    if left:
        yield f"  and {left} more: --all shows them"


def line(entry: Entry) -> str:
    """An entry on one line."""
    where = " ".join(word for word in (entry.host, entry.service) if word) or entry.kind
    level = f"{entry.level} " if entry.level not in ("INFO", "DEBUG") else ""
    text = " ".join(entry.text.split()) or entry.more.partition("\n")[0]
    return f"{clock(entry.at)} {where}: {level}{text[:_LONGEST]}{'...' if len(text) > _LONGEST else ''}"


def clock(at: float | None) -> str:
    """A time to the millisecond, or dashes if it is unknown."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if at is not None else "-" * 23


def _raised(entry: Entry) -> str:
    lines = [text for text in entry.more.splitlines() if text and not text[0].isspace() and ":" in text]
    return lines[-1][:_LONGEST] if len(lines) > 0 and "Traceback" in entry.more else ""


def looked(found: Looked, unread: Mapping[str, str], cut: str) -> str:
    """One sentence about what was read."""
    parts = [f"read {found.files} logs, {found.size / 1e6:,.0f} MB, and {found.records:,} messages of them"]
    if found.damaged:
        parts.append(f"{found.damaged} damaged lines were left out")
    if found.skipped:
        parts.append(f"{found.skipped} files are older than the window")
    if cut:
        parts.append(cut)
    parts += [f"not read: {name}: {why}" for name, why in sorted(unread.items())]
    return "; ".join(parts)


def _wrapped(text: str, width: int, indent: str = "") -> Iterator[str]:
    yield from wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def summary(found: Summary, *, width: int = 100) -> Document:
    """What fails most, the most frequent first (docs/schemas/diagnosis-summary.json)."""
    return Document(data=found.as_dict(), columns=GROUPS, text="\n".join(_summary(found, min(width or 100, 120))))


def _summary(found: Summary, width: int) -> Iterator[str]:
    data = found.as_dict()
    yield f"{data['since']} to {data['until']}"
    yield ""
    for group in data["groups"]:
        new = "new" if group["new"] else f"{group['before']} before"
        named = f"  [{group['cause']}]" if group["cause"] else ""
        hosts = ", ".join(f"{name} {count}" for name, count in list(group["hosts"].items())[:4])
        servers = f", {group['servers']} servers" if group["servers"] else ""
        yield f"{group['count']:>6}  {group['level']}{named}  ({new}; {hosts}{servers})"
        yield from _wrapped(group["template"], width, " " * 8)
        example = group["examples"][0]
        if example["text"] != group["template"]:
            yield f"        e.g. {(example['at'] or '')[:19]} {' '.join(example['text'].split())[:160]}"
    if not data["groups"]:
        yield "nothing failed"
    yield ""
    yield from _wrapped(looked(found.looked, data["looked"]["unread"], ""), width)
