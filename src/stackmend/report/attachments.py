# SPDX-License-Identifier: Apache-2.0
"""A run as one file to attach to a ticket: HTML or Markdown, without links, mentions or scripts.

Everything from the cloud is escaped, preformatted text; the page loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape

from stackmend.report.clean import printable
from stackmend.report.sheets import Sheet

_STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222;background:#fff}
pre{background:#f6f6f6;padding:.8em;overflow-x:auto;font:13px/1.4 ui-monospace,monospace}
h2{font-size:1.05em;margin:2em 0 .3em}.state{padding:.1em .5em;border-radius:.3em;background:#ddd}
.done{background:#cfe8cf}.failed,.stale,.in-doubt{background:#f4c7c3}
table{border-collapse:collapse}td,th{padding:.2em .8em .2em 0;text-align:left}
"""


def html(sheet: Sheet, literal: Sheet) -> str:
    """A complete page; ``literal``: the same run with its statements."""
    rows = "\n".join(
        f'<tr><td><a href="#{_anchor(block.id)}">{_text(block.id)}</a></td>'
        f"<td>{_text(block.title.partition('  ')[2])}</td><td>{_badge(block.state)}</td></tr>"
        for block in sheet.blocks
    )
    sections = "\n".join(
        f'<h2 id="{_anchor(block.id)}">{_text(block.title)} {_badge(block.state)}</h2>\n'
        f"<pre>{_lines(block.lines)}</pre>\n"
        f"<details><summary>Statements</summary><pre>{_lines(_statements(block.id, literal))}</pre></details>"
        for block in sheet.blocks
    )
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{_text(sheet.title)}</title>
<style>
{_STYLE}</style>
</head>
<body>
<h1>{_text(sheet.title)}</h1>
<pre>{_lines((*sheet.facts, *sheet.remarks))}</pre>
<table>
<tr><th>action</th><th>repair</th><th>state</th></tr>
{rows}
</table>
{sections}
</body>
</html>
"""


def markdown(sheet: Sheet, literal: Sheet) -> str:
    """The same as Markdown, limited to what every tracker renders alike: headings and fenced text."""
    parts = [f"# {_code(sheet.title)}", _fenced((*sheet.facts, *sheet.remarks))]
    for block in sheet.blocks:
        parts += [f"## {_code(f'{block.title}: {block.state}')}", _fenced(block.lines)]
        parts += ["Statements:", _fenced(_statements(block.id, literal), "sql")]
    return "\n\n".join(parts) + "\n"


#: end of a file's name -> what writes such a file, of a run and the same run with its statements
FORMS: Mapping[str, Callable[[Sheet, Sheet], str]] = {".html": html, ".htm": html, ".md": markdown}


def _statements(id_: str, literal: Sheet) -> Sequence[str]:
    """The lines of a block that are numbered statements, without the object, which is in the heading."""
    lines = next(block.lines for block in literal.blocks if block.id == id_)
    first = next((at for at, line in enumerate(lines) if re.match(r" {4}[ \d]\d+\. ", line)), len(lines))
    return [line[4:] for line in lines[first:]]


def _text(text: str) -> str:
    return escape(printable(text))


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(map(_text, lines))


def _anchor(id_: str) -> str:
    return re.sub(r"\W", "-", id_)


def _badge(state: str) -> str:
    return f'<span class="state {_anchor(state)}">{_text(state)}</span>'


def _code(text: str) -> str:
    """Inline code, in which nothing is markup; its fence is longer than any in the text."""
    text = printable(text)
    fence = "`" * (_run_of_ticks(text) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _fenced(lines: Sequence[str], language: str = "text") -> str:
    body = [printable(line) for line in lines]
    fence = "`" * max(3, *(_run_of_ticks(line) + 1 for line in body), 3)
    return "\n".join([f"{fence}{language}", *body, fence])


def _run_of_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
