# SPDX-License-Identifier: Apache-2.0
"""A diagnosis as one HTML page: the timeline drawn by host, the causes and their evidence. It loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from stackmend.model.diagnosing.cause import Blamed, Diagnosis
from stackmend.model.diagnosing.timeline import Entry
from stackmend.report.clean import printable
from stackmend.report.diagnosing.diagnoses import clock, looked

_STYLE = """\
:root{color-scheme:light dark;--line:#8884;--dim:#777;--bad:#c0392b;--warn:#b7791f;--ok:#2c6e49;--mark:#fff3bf}
@media (prefers-color-scheme:dark){:root{--bad:#ff8a80;--warn:#ffd479;--ok:#8fd19e;--mark:#4a4000}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;max-width:95em;margin:1.5em auto;padding:0 1em}
h1{font-size:1.3em;overflow-wrap:anywhere}h2{font-size:1.1em;margin:2em 0 .5em}h3{font-size:1em;margin:1.2em 0 .2em}
.badge{padding:.1em .5em;border-radius:.3em;border:1px solid var(--line);font-size:.85em}
.certain{border-color:var(--bad);color:var(--bad)}.likely{border-color:var(--warn);color:var(--warn)}
pre{padding:.6em;overflow-x:auto;border:1px solid var(--line);font:13px/1.4 ui-monospace,monospace;white-space:pre-wrap}
.lanes{overflow-x:auto;border:1px solid var(--line)}svg{width:100%;min-width:640px;height:auto;display:block}
svg text{font:12px ui-monospace,monospace;fill:currentColor}svg line{stroke:var(--line)}
circle{fill:var(--dim)}circle.ERROR,circle.CRITICAL{fill:var(--bad)}circle.WARNING{fill:var(--warn)}
circle.action,circle.event,circle.object,circle.migration{fill:var(--ok)}
ol.time{list-style:none;padding:0;margin:0}ol.time>li{border-top:1px solid var(--line);padding:.25em 0}
ol.time>li.evidence{background:var(--mark)}
.at,.who{font:13px ui-monospace,monospace;color:var(--dim);margin-right:.8em}
.ERROR>.what,.CRITICAL>.what{color:var(--bad)}.WARNING>.what{color:var(--warn)}.what{overflow-wrap:anywhere}
"""
_WIDTH, _ROW, _LEFT = 1000, 22, 190


def html(found: Diagnosis) -> str:
    """The whole page."""
    story = found.story
    title = f"{story.kind} {story.name or story.id}"
    marked = {id(entry): f"e{number}" for number, entry in enumerate(story.entries)}
    evidence = {id(entry) for one in found.blamed for entry in one.verdict.evidence}
    causes = "\n".join(_cause(one, marked) for one in found.blamed) or f"<p>{_text(_nothing(found))}</p>"
    clocks = "".join(
        f"<li>{_text(one.host)}: at least {one.ahead:+.1f} s against {_text(one.reference)} "
        f"({one.requests} requests)</li>"
        for one in story.clocks
    )
    entries = "\n".join(_entry(entry, marked[id(entry)], id(entry) in evidence) for entry in story.entries)
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{_text(title)}: diagnosis</title>
<style>
{_STYLE}</style>
</head>
<body>
<h1>{_text(title)}{f" <small>{_text(story.id)}</small>" if story.name else ""}</h1>
<h2>Causes</h2>
{causes}
{f"<h2>Clocks</h2><ul>{clocks}</ul>" if clocks else ""}
<h2>Timeline</h2>
{_drawing(story.entries, marked)}
<ol class="time">
{entries}
</ol>
<h2>What was read</h2>
<p>{_text(looked(story.looked, found.unread, story.cut))}</p>
</body>
</html>
"""


def _nothing(found: Diagnosis) -> str:
    parts = ["No cause of the catalogue fits."]
    if found.first_error is not None:
        parts.append(f"First error: {clock(found.first_error.at)} {found.first_error.text}")
    if found.last_step is not None:
        parts.append(f"Last step that went well: {clock(found.last_step.at)} {found.last_step.text}")
    if found.missing:
        parts.append(f"The step that should have followed is nowhere: {found.missing}.")
    return " ".join(parts)


def _cause(blamed: Blamed, marked: dict[int, str]) -> str:
    verdict = blamed.verdict
    behind = f" a consequence of {blamed.consequence_of}" if blamed.consequence_of else ""
    links = ", ".join(
        f'<a href="#{marked[id(entry)]}">{_text(_label(entry))}</a>'
        for entry in verdict.evidence
        if id(entry) in marked
    )
    lists = "".join(
        f"<h3>{head}</h3><ul>{''.join(f'<li>{_text(one)}</li>' for one in texts)}</ul>"
        for head, texts in (
            ("To confirm", verdict.confirm),
            ("What speaks against it", verdict.against),
            ("What to do", verdict.remedies),
        )
        if texts
    )
    return (
        f'<section><h3>{_text(blamed.cause)} <span class="badge {verdict.confidence.value}">{verdict.confidence.value}'
        f"</span>{_text(behind)}</h3><p>{_text(verdict.statement)}</p><p>Evidence: {links}</p>{lists}</section>"
    )


def _label(entry: Entry) -> str:
    """The text of a link to an entry: its time, or its host and service if the time is unknown."""
    return clock(entry.at) if entry.at is not None else f"{entry.host} {entry.service or entry.kind}".strip()


def _entry(entry: Entry, name: str, evidence: bool) -> str:
    more = (
        f"<details><summary>traceback</summary><pre>{_text(entry.more, keep=chr(10))}</pre></details>"
        if entry.more
        else ""
    )
    who = " ".join(word for word in (entry.host, entry.service or entry.kind) if word)
    return (
        f'<li id="{name}" class="{_text(entry.level)}{" evidence" if evidence else ""}"><span class="at">'
        f'{_text(clock(entry.at))}</span><span class="who">{_text(who)}</span><span '
        f'class="what">{_text(entry.text)}</span>'
        f"{more}</li>"
    )


def _drawing(entries: Sequence[Entry], marked: dict[int, str]) -> str:
    """Draw one lane for each host and one dot for each entry; nothing if no entry has a time."""
    timed = [entry for entry in entries if entry.at is not None and entry.kind != "finding"]
    if not timed:
        return ""
    lanes = list(dict.fromkeys(entry.host or entry.service or entry.kind for entry in timed))
    first, last = timed[0].at or 0.0, max(entry.at or 0.0 for entry in timed)
    span = max(last - first, 0.001)
    height = _ROW * (len(lanes) + 2)
    parts = []
    for number, lane in enumerate(lanes):
        y = _ROW * (number + 1)
        parts.append(f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - 10}" y2="{y}"/>')
        parts.append(f'<text x="4" y="{y + 4}">{_text(lane[:24])}</text>')
    for entry in sorted(timed, key=lambda one: (one.trouble, one.level == "WARNING")):  # trouble is drawn last, on top
        x = _LEFT + ((entry.at or first) - first) / span * (_WIDTH - _LEFT - 14)
        y = _ROW * (lanes.index(entry.host or entry.service or entry.kind) + 1)
        size = 5 if entry.level in ("ERROR", "CRITICAL", "WARNING") else 3.5
        parts.append(
            f'<a href="#{marked[id(entry)]}"><circle class="{_text(entry.level)} '
            f'{_text(entry.kind)}" cx="{x:.1f}" cy="{y}" '
            f'r="{size}"><title>{_text(f"{clock(entry.at)} {entry.text[:120]}")}</title></circle></a>'
        )
    y = height - 8
    parts.append(f'<text x="{_LEFT}" y="{y}">{_text(clock(first))}</text>')
    parts.append(f'<text x="{_WIDTH - 10}" y="{y}" text-anchor="end">{_text(clock(last))}</text>')
    drawn = f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="timeline by host">{"".join(parts)}</svg>'
    return f'<div class="lanes">{drawn}</div>'


def _text(text: str, keep: str = "") -> str:
    return escape(printable(text, keep=keep))
