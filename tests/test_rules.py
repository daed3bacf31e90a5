# SPDX-License-Identifier: Apache-2.0
"""Every code that a comment or a page cites can be looked up in the project's own documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stackmend.engine.auditing import catalogue

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
#: R2, RW4, G-IDLE
RULE = re.compile(r"(?<![\w-])(RW?[1-9]|G-[A-Z]{2,}(?:-[A-Z]+)?)(?![\w-])")
#: "services 1.3": a section of docs/reference/services.md
SECTION = re.compile(r"\bservices ([12]\.\d)\b")
#: "catalogue A7": an inconsistency, known by the check that finds it
ENTRY = re.compile(r"\bcatalogue ([A-J]\d{1,2})\b")
#: pages of somebody else's, which a reader of the repository does not have
FOREIGN = re.compile(r"\b(design|perf|style|features|anchors2)\.md\b|\bcatalogue (?:\d\.\d|R[1-9]|W\d|Part \d)")


def texts() -> Iterator[tuple[str, str]]:
    """(path, text) of everything that may cite."""
    for folder, pattern in (("src", "*.py"), ("lab", "*.py"), ("tests", "*.py"), ("bench", "*.py"), ("docs", "*.md")):
        for path in sorted((ROOT / folder).rglob(pattern)):
            if "_build" not in path.parts and path != Path(__file__):
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def cited(pattern: re.Pattern[str]) -> dict[str, str]:
    """Code -> one of the files that cite it."""
    return {match[1] or match[0]: path for path, text in texts() for match in pattern.finditer(text)}


def test_every_rule_that_is_cited_is_defined() -> None:
    """docs/reference/rules.md defines each code once."""
    defined = re.findall(r"^\| \*\*(\S+)\*\* \|", (REFERENCE / "rules.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(defined) == len(set(defined))
    lost = {code: path for code, path in cited(RULE).items() if code not in defined}
    assert lost == {}


def test_every_fact_that_is_cited_has_a_section() -> None:
    """A number that a comment gives is a heading of docs/reference/services.md."""
    sections = re.findall(r"^### ([12]\.\d) ", (REFERENCE / "services.md").read_text(encoding="utf-8"), re.MULTILINE)
    found = cited(SECTION)
    assert found
    assert {code: path for code, path in found.items() if code not in sections} == {}


def test_every_entry_that_is_cited_has_a_check() -> None:
    """An entry that is cited is found by a check, whose page says what it is."""
    known = {check.catalogue for check in catalogue.every_check().values()}
    assert {code: path for code, path in cited(ENTRY).items() if code not in known} == {}


def test_no_page_is_cited_that_a_reader_does_not_have() -> None:
    """Working papers of the developers are not cited."""
    assert cited(FOREIGN) == {}
