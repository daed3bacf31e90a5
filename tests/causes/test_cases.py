# SPDX-License-Identifier: Apache-2.0
"""Every cause is blamed for what it did, in the words of real services, and not for what only looks like it.

The cases are described in judging.py.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stackmend.app.diagnosing import Asked, diagnose
from stackmend.config.settings import Config
from stackmend.engine.diagnosing import catalogue
from stackmend.engine.diagnosing.judge import judged
from stackmend.engine.diagnosing.summary import cause_of
from stackmend.model.diagnosing.timeline import Entry, Story
from stackmend.report.pages import page

from .judging import NAMES, TABLE, Case, cases, table

SECTIONS = ["What happens", "How it shows", "What speaks against it", "What to do"]

EVERY = cases()


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_a_case(case: Case, tmp_path: Path) -> None:
    """The cause is found with its words, or is not blamed; no other cause is blamed unless the case names it."""
    found, also = case.diagnosed(tmp_path), case.also
    blamed = {one.cause: one for one in found.blamed}
    if not case.guilty:
        assert set(blamed) == also
        return
    assert case.cause in blamed
    assert set(blamed) - {case.cause} <= also
    own = blamed[case.cause]
    assert own.consequence_of == ""
    assert own.verdict.confidence.value == case.facts["confidence"]
    assert [word for word in case.facts["says"].split() if word not in own.verdict.statement] == []
    assert own.verdict.evidence
    assert own.verdict.confirm
    assert own.verdict.remedies


def test_every_cause_has_both() -> None:
    """Every cause has a case and a look-alike that must not be blamed, and no case names an unknown cause."""
    for name in catalogue.causes():
        kinds = {case.guilty for case in EVERY if case.cause == name}
        assert kinds == {True, False}, name
    assert {case.cause for case in EVERY} == set(catalogue.causes())
    assert len(catalogue.causes()) >= 25


def test_every_sign_is_a_pattern() -> None:
    """Every sign compiles; a message with a sign counts under its cause, and one without any sign has no cause."""
    assert cause_of("nothing in particular") == ""
    assert cause_of("Failed\nTypeError: no") == "program-error"


def test_the_table_of_the_docs_is_what_comes_out(tmp_path: Path) -> None:
    """The table in the docs has the outcome of every case (scripts/record_accuracy.py writes it)."""
    outcomes = [(case, case.outcome(tmp_path / str(number))) for number, case in enumerate(EVERY)]
    assert TABLE.read_text() == table(outcomes)


@pytest.mark.parametrize("name", sorted(catalogue.causes()))
def test_every_cause_has_a_whole_page(name: str) -> None:
    """The page of a cause has a first line and the four sections."""
    parts = page(catalogue.pages()[name])
    assert parts.title
    assert list(parts.sections) == SECTIONS
    assert all(parts.sections.values())


def test_nothing_is_concluded_of_nothing(tmp_path: Path) -> None:
    """In a healthy story no cause is blamed, and no step is missing."""
    server = NAMES["S"]
    head = f"INFO nova.compute.manager {NAMES['CTX']} [instance: {server}]"
    lines = ("Claim successful on node c01", "Took 0.5 seconds to spawn the instance on the hypervisor.",
             "Took 1.2 seconds to build instance.")  # fmt: skip
    text = "".join(f"2026-11-29 12:00:0{n}.000 7 {head} {line}\n" for n, line in enumerate(lines))
    (tmp_path / "nova-compute.log").write_text(text)
    found = diagnose(Config(), Asked(kind="server", text=server, logs=(str(tmp_path),)))
    assert (found.blamed, found.first_error, found.missing) == ((), None, "")


def test_a_silent_failure_is_told_by_the_step_that_is_missing(tmp_path: Path) -> None:
    """If there is no error anywhere, the answer is where the story ends."""
    server = NAMES["S"]
    text = (
        f"2026-11-29 12:00:00.000 7 INFO nova.compute.claims {NAMES['CTX']} [instance: {server}] "
        f"Claim successful on c01\n"
    )
    (tmp_path / "nova-compute.log").write_text(text)
    found = diagnose(Config(), Asked(kind="server", text=server, logs=(str(tmp_path),)))
    assert found.blamed == ()
    assert found.last_step is not None
    assert "Claim successful" in found.last_step.text
    assert found.missing == "the disk is made of the image"


@pytest.mark.parametrize(
    "filling",
    ["a", " ", 'apparmor="DENIED" operation="open" ', "GET /v2/images/ ", "error ", 'Lock "', "agent ", "bind "],
)
def test_no_message_keeps_a_cause_busy(filling: str) -> None:
    """All causes together take only seconds for a message of 60,000 characters made of the beginnings of patterns."""
    long = Entry(
        at=0.0, text=filling * (60_000 // len(filling)), level="ERROR", service="nova-compute", ids=frozenset({"x"})
    )
    begun = time.monotonic()
    judged(Story(kind="server", id="x", entries=(long,)))
    assert time.monotonic() - begun < 10
