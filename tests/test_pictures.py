# SPDX-License-Identifier: Apache-2.0
"""What people see is as the docs show it: the pictures are of a run like this one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from stackmend.report.table import columns

from .support.by_path import loaded
from .support.guest_disks import needs_sandbox

pytestmark = pytest.mark.builds

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
AGAIN = "python scripts/record_pictures.py records them again, if it is meant to look so"


pictures = loaded(ROOT / "scripts" / "record_pictures.py")
pages = loaded(ROOT / "scripts" / "record_pages.py")


def test_audit_plan_and_run_look_as_in_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of audit, plan show and run show at 80 and 160 columns, of a cloud whose names come from a seed."""
    for name in ("NO_COLOR", "FORCE_COLOR", "STACKMEND_ROOT", "STACKMEND_LAYOUT"):
        monkeypatch.delenv(name, raising=False)
    for name, text in pictures.record(tmp_path).items():
        assert text == (IMAGES / f"{name}.txt").read_text(encoding="utf-8"), f"{name}: {AGAIN}"
        assert max(map(columns, text.splitlines())) <= int(name.rpartition("-")[2])


def test_how_to_pages_show_what_is_printed(tmp_path: Path) -> None:
    """The recorded output of the how-to pages is that of a run like this one."""
    assert_recorded(pages.record(tmp_path))


def test_how_to_pages_show_what_is_read_of_disks(tmp_path: Path) -> None:
    """The recorded output of an inspection is that of one like it."""
    needs_sandbox()
    assert_recorded(pages.of_disks(tmp_path / "disks"))


def test_how_to_pages_show_how_a_host_is_drained(tmp_path: Path) -> None:
    """The recorded output of a drain and a return is that of ones like them."""
    assert_recorded(pages.of_hosts(tmp_path / "hosts"))


def assert_recorded(found: Mapping[str, str]) -> None:
    """These texts are those of the docs."""
    again = "python scripts/record_pages.py records them again, if it is meant to look so"
    for name, text in found.items():
        assert text == (pages.PAGES / f"{name}.txt").read_text(encoding="utf-8"), f"{name}: {again}"


def test_everything_recorded_is_on_a_page() -> None:
    """Each recorded text is shown by a how-to page."""
    shown = "".join(page.read_text(encoding="utf-8") for page in pages.PAGES.parent.glob("*.md"))
    assert [path.name for path in pages.PAGES.glob("*.txt") if f"recorded/{path.name}" not in shown] == []


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*-*.txt")), ids=lambda path: path.stem)
def test_a_picture_is_of_its_text(path: Path) -> None:
    """Each picture is the one that its text makes."""
    svg = path.with_suffix(".svg").read_text(encoding="utf-8")
    assert svg == pictures.picture(path.stem, path.read_text(encoding="utf-8")), AGAIN


def test_every_picture_is_shown() -> None:
    """The page of the docs has all of them."""
    page = (ROOT / "docs" / "reference" / "output.md").read_text(encoding="utf-8")
    names = [path.stem for path in IMAGES.glob("*-*.txt")]
    assert {name.rpartition("-")[0] for name in names} >= {"audit", "plan-show", "run-show"}
    assert [name for name in names if f"images/{name}.svg" not in page] == []


def test_the_picture_of_the_front_page_fits_a_screen() -> None:
    """README and index show at most thirty lines of a terminal."""
    svg = (IMAGES / "demo.svg").read_text(encoding="utf-8")
    assert 10 <= svg.count('id="stackmend-demo-line-') + 1 <= 30
