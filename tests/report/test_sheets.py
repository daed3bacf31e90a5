# SPDX-License-Identifier: Apache-2.0
"""A run as a person reads it, and as a file for a ticket."""

from __future__ import annotations

from html.parser import HTMLParser
from textwrap import dedent

import pytest

from stackmend.model.journal import JournalEntry, Remark, RunRecord, RunState
from stackmend.model.naming import Named
from stackmend.model.step import Risk, StepState
from stackmend.report.attachments import html, markdown
from stackmend.report.runs import run, steps, ticket_document
from stackmend.report.sheets import JournalledRun
from stackmend.report.view import TextContext

from .test_plans import CALL, action

OURS, THEIRS = "req-11111111-1111-5111-8111-111111111111", "req-22222222-2222-4222-8222-222222222222"
RECORD = RunRecord(
    id="20261121-031502-7f3a",
    kind="apply",
    plan="p1",
    sha256="0",
    cloud="c",
    version="0.1.0",
    operator="ada",
    host="ctl1",
    pid=7,
    created_at="2026-11-21T23:59:50.123456+00:00",
    ended_at="2026-11-22T00:00:20.000000+00:00",
    state=RunState.STOPPED,
)
DAY, NEXT = "2026-11-21T23:59:55+00:00", "2026-11-22T00:00:10+00:00"
CALLED = action(2, steps=(CALL,), statements=("[compute API] DELETE /servers/s",), risk=Risk.UNSAFE, why="it")
HAPPENED = JournalledRun(
    run=RECORD,
    actions=(action(1), CALLED, action(3)),
    entries=(
        JournalEntry(0, StepState.DONE, at=DAY),
        JournalEntry(1, StepState.INTENT, at=DAY),
        JournalEntry(1, StepState.DONE, at=DAY),
        JournalEntry(2, StepState.INTENT, note=f"known to the services as {OURS}", at=NEXT),
        JournalEntry(2, StepState.DONE, note=f"done ({THEIRS})", at=NEXT),
        JournalEntry(3, StepState.STALE, note="volumes v reads otherwise", at=NEXT),
    ),
    remarks=(Remark("2026-11-22T00:00:15.5+00:00", "told to stop"),),
)


def test_a_run_at_80_columns():
    """Who, when, what came of each repair; each step with its time and state, and the requests that were made."""
    view = TextContext(names={("server", "s"): Named("web-01", "shop")})
    assert run(HAPPENED, view).text == dedent(f"""\
        run 20261121-031502-7f3a: apply, stopped
          by ada on ctl1, from 2026-11-21 23:59:50 to 2026-11-22 00:00:20
          plan p1, stackmend 0.1.0; times are UTC
          repairs: 2 done, 1 stale
          steps: 2 of 3 done in 30 s
          2026-11-22 00:00:15  told to stop

        a1  some-repair (safe, by db): done
          web-01  s
            project shop
            some-check: this server is odd
            only with volumes v (cinder) as planned
             2. 23:59:55 done  - allocations 7 (placement)
                  blob 1 bytes ff

        a2  some-repair (UNSAFE, by db): done
          web-01  s
            project shop
            some-check: this server is odd
            what may be lost: it
             1. 2026-11-22 00:00:10 done  > [compute API] DELETE /servers/s
                IRREVERSIBLE
                  done
                  2 requests: {OURS},
                  {THEIRS}

        a3  some-repair (safe, by db): stale
          web-01  s
            project shop
            some-check: this server is odd
            only with volumes v (cinder) as planned
             1. 2026-11-22 00:00:10 stale  if SELECT guard
                  volumes v reads otherwise
             2. - allocations 7 (placement)
                  blob 1 bytes ff""")


def test_the_document_has_numbers_and_requests():
    """Of each step: its number in the run from 0, in its action from 1, and the names of its requests."""
    rows = steps(HAPPENED)
    assert [(row["step"], row["action"], row["number"]) for row in rows] == [
        (0, "a1", 1), (1, "a1", 2), (2, "a2", 1), (3, "a3", 1), (4, "a3", 2),
    ]  # fmt: skip
    assert rows[2]["requests"] == [OURS, THEIRS]
    assert rows[0]["requests"] == []


def test_a_run_can_be_narrowed():
    """To actions; its numbers are still those of the whole."""
    shown = run(HAPPENED, ids=["a3"])
    assert "a1  " not in shown.text
    assert "repairs: 2 done, 1 stale" in shown.text
    assert {row["action"] for row in shown.data["steps"]} == {"a3"}
    assert shown.data["progress"] == {"done": 2, "total": 3}


class _Tags(HTMLParser):
    """Notes the tags and attributes of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        """Note it."""
        self.tags.append(tag)
        self.attributes += attrs


HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=y> [a](http://e) @all #1 ````\n```\n# x\x1b\u202e"


def _hostile():
    evil = action(1, message=HOSTILE, resource_id=HOSTILE, why=HOSTILE, statements=(HOSTILE, HOSTILE))
    happened = JournalledRun(
        run=RECORD,
        actions=(evil,),
        entries=(JournalEntry(1, StepState.FAILED, note=HOSTILE, at=NEXT),),
        remarks=(Remark(NEXT, HOSTILE),),
    )
    view = TextContext(names={("server", HOSTILE): Named(HOSTILE, HOSTILE, HOSTILE)})
    return ticket_document(happened, view), ticket_document(happened, TextContext(sql=True))


@pytest.mark.attack("a name, a note or a statement in a report is markup or a script")
def test_a_page_holds_no_markup_of_others():
    """The page has the tags that we write, loads nothing, and runs nothing."""
    text = html(*_hostile())
    page = _Tags()
    page.feed(text)
    assert set(page.tags) == {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "pre", "table", "tr", "th", "td", "a", "span",
        "details", "summary",
    }  # fmt: skip
    assert {name for name, _ in page.attributes} == {"lang", "charset", "http-equiv", "content", "href", "id", "class"}
    assert [value for name, value in page.attributes if name == "href"] == ["#a1"]
    assert "default-src 'none'" in text
    assert "\u202e" not in text
    assert "\x1b" not in text


@pytest.mark.attack("a name, a note or a statement in a report is markup or a script")
def test_markdown_holds_no_markup_of_others():
    """Everything from the cloud is fenced text, and no fence in it is as long as ours."""
    inside = ""
    for line in markdown(*_hostile()).splitlines():
        fence = line[: len(line) - len(line.lstrip("`"))]
        if not inside and len(fence) >= 3:
            inside = fence
        elif inside and line == inside:
            inside = ""
        elif not inside:
            assert line == "" or line == "Statements:" or line.startswith(("# `", "## `"))
    assert inside == ""


def test_a_report_has_every_statement():
    """Both forms have the facts, the steps and the statements with their guards."""
    for form in (html, markdown):
        text = form(ticket_document(HAPPENED), ticket_document(HAPPENED, TextContext(sql=True)))
        for part in ("run 20261121-031502-7f3a: apply, stopped", "told to stop", "volumes v reads otherwise", THEIRS):
            assert part in text
        assert "23:59:55 done  DELETE FROM allocations" in text
        assert text.count("if SELECT guard") == 3
